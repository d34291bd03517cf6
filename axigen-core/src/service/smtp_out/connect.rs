//! A connection to one of a lane's hosts, ready for a message.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axigen_proto::limits::SmtpClientLimits;
use axigen_proto::sasl::client::Credentials;
use axigen_proto::smtp::address::HelloName;
use axigen_proto::smtp::client::{Client, Config, Event, Role, StartTls};
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::timeout;

use super::SmtpOut;
use super::hosts::{At, Host, NoHost, find};
use super::security::{Asked, Unfit, Wish};
use crate::net::{Conn, Stream};
use crate::queue::route::{Hop, Route};
use crate::transport::verify::Seen;
use crate::transport::{Flaw, Level};

/// Addresses that are tried for one message, all hosts together: each may take
/// as long as a connection may.
const TRIES: usize = 8;

/// A connection that is ready for a message.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) conn: Conn<Client>,
    /// The host, for notices and logs.
    pub(super) host: String,
    pub(super) lmtp: bool,
    /// It does not leave this machine.
    pub(super) local: bool,
    /// Messages that went over it.
    pub(super) sent: usize,
    /// How it is protected, in words.
    pub(super) tls: String,
    /// It was opened for a message of this wish.
    wish: Wish,
    /// Who is at the other end is the right host.
    proved: bool,
}

impl Link {
    /// Says goodbye.
    pub(super) async fn quit(mut self) {
        if self.conn.session().quit().is_ok() {
            while let Ok(Some(_)) = self.conn.next().await {}
        }
    }

    /// Whether a message of this wish may go over it.
    pub(super) fn serves(&self, wish: Wish) -> bool {
        match wish {
            Wish::Usual => self.wish != Wish::Optional,
            Wish::Required => self.proved,
            Wish::Optional => true,
        }
    }
}

/// One try to reach a host.
#[derive(Clone, Copy)]
pub(super) struct Try<'t> {
    pub(super) route: &'t Route,
    pub(super) host: &'t Host,
    pub(super) address: Option<SocketAddr>,
    pub(super) asked: &'t Asked,
    pub(super) wish: Wish,
}

/// What was seen of TLS on the way, however the try ended.
#[derive(Default)]
pub(super) struct Outcome {
    /// Our end of the connection.
    pub(super) ours: Option<IpAddr>,
    pub(super) seen: Seen,
    /// There is TLS.
    pub(super) tls: bool,
    /// Why there is none though it was offered.
    pub(super) failed: Option<Unfit>,
}

/// What a try to reach a host ended with.
pub(super) enum Failed {
    /// TLS went wrong, and without it nothing is sent.
    Unfit(Unfit),
    /// TLS went wrong; without it there may be a way.
    Tls(Unfit),
    Other(String),
}

/// What was met on the way to a lane's hosts.
#[derive(Default)]
struct Met {
    unfit: Option<(String, Unfit)>,
    other: Option<(String, String)>,
}

impl Met {
    /// What it means for a message of this wish.
    fn verdict(self, wish: Wish) -> (Option<String>, NoHost) {
        match (self.unfit, self.other) {
            // RFC 8689 §4.2.1: when no host is left, the message comes back.
            (Some((host, unfit)), None) if wish == Wish::Required => {
                (Some(host), NoHost::Never(unfit.never, unfit.why))
            }
            (Some((host, unfit)), None) => (Some(host), NoHost::Unfit(unfit.status, unfit.why)),
            // One that cannot be reached now may be the one that is fit.
            (Some((host, unfit)), Some((_, other))) => {
                let why = format!("{}; another host: {other}", unfit.why);
                (Some(host), NoHost::Unfit(unfit.status, why))
            }
            (None, Some((host, why))) => (Some(host), NoHost::NotNow(why)),
            (None, None) => (None, NoHost::NotNow("there is no host to try".into())),
        }
    }
}

impl SmtpOut {
    /// A connection to the first of a route's hosts that takes one and is fit for
    /// the message.
    pub(super) async fn connect(
        &self,
        route: &Route,
        wish: Wish,
    ) -> Result<Link, (Option<String>, NoHost)> {
        let port = self.routes.settings().mx_port;
        let found = find(self.resolver.as_ref(), route, port).await;
        let hosts = found.map_err(|none| (None, none))?;
        let sts = self.sts_of(route, wish).await;
        if let Hop::Mx(domain) = &route.to {
            self.report_policy(domain, &sts);
        }
        let mut met = Met::default();
        let mut left = TRIES;
        for host in &hosts {
            let unfit = |unfit: Unfit| {
                tracing::warn!(
                    host = host.name,
                    flaw = unfit.flaw.as_str(),
                    why = unfit.why,
                    "a host is not fit for the message"
                );
                Some((host.name.clone(), unfit))
            };
            let asked = match self.asked(route, host, &sts, wish).await {
                Ok(asked) => asked,
                Err(why) => {
                    self.report_unfit(route, host, &sts, &why);
                    met.unfit = unfit(why);
                    continue;
                }
            };
            let addresses = match &host.at {
                At::Addresses(addresses) => addresses.as_slice(),
                At::Socket(_) => &[],
            };
            let tries = addresses.len().max(1);
            for at in 0..tries.min(left) {
                left -= 1;
                let address = addresses.get(at).copied();
                let one = Try {
                    route,
                    host,
                    address,
                    asked: &asked,
                    wish,
                };
                let mut seen = Outcome::default();
                let reached = self.reach(&one, &mut seen).await;
                self.report(&one, &sts, &seen, &reached);
                match reached {
                    Ok(link) => return Ok(link),
                    Err(Failed::Unfit(why) | Failed::Tls(why)) => met.unfit = unfit(why),
                    Err(Failed::Other(why)) => {
                        tracing::info!(host = host.name, why, "a host cannot be reached");
                        met.other = Some((host.name.clone(), why));
                    }
                }
            }
        }
        Err(met.verdict(wish))
    }

    /// One address; where TLS is only welcome, again without it if it fails.
    async fn reach(&self, one: &Try<'_>, seen: &mut Outcome) -> Result<Link, Failed> {
        let Try { host, asked, .. } = *one;
        let link = match self.open(one, seen).await {
            // RFC 7435 §4.3 and RFC 3207 §4.1: what cannot be encrypted is still sent.
            Err(Failed::Tls(unfit))
                if matches!(asked.level, Level::Welcome) && !host.implicit_tls =>
            {
                let why = unfit.why.clone();
                tracing::info!(host = host.name, why, "TLS failed; it is tried without");
                let plain = Asked {
                    level: Level::Plain,
                    ..asked.clone()
                };
                let without = Try {
                    asked: &plain,
                    ..*one
                };
                let mut link = self.open(&without, &mut Outcome::default()).await?;
                link.tls = format!("none: {why}");
                seen.failed = Some(unfit);
                link
            }
            opened => opened?,
        };
        tracing::info!(
            host = link.host,
            tls = link.tls,
            policy = %asked.basis,
            "connected"
        );
        Ok(link)
    }

    async fn open(&self, one: &Try<'_>, outcome: &mut Outcome) -> Result<Link, Failed> {
        let Try {
            route,
            host,
            address,
            asked,
            wish,
        } = *one;
        let other = |why: String| Failed::Other(why);
        let config = self.config(route, host, &asked.level).map_err(other)?;
        let wait = self.routes.settings().connect_timeout.0;
        let stream = match (&host.at, address) {
            (At::Socket(path), _) => {
                let stream = timeout(wait, UnixStream::connect(path)).await;
                Stream::new(reached(stream, wait).map_err(other)?)
            }
            (At::Addresses(_), Some(address)) => {
                let stream = timeout(wait, dial(address, &route.source)).await;
                let stream = reached(stream, wait).map_err(other)?;
                outcome.ours = stream.local_addr().ok().map(|address| address.ip());
                let _ = stream.set_nodelay(true);
                Stream::from(stream)
            }
            (At::Addresses(_), None) => return Err(other("it has no address".into())),
        };
        let nonce = crate::service::nonce().ok_or_else(|| other("no randomness".into()))?;
        let session = Client::new(config, nonce);
        let (tls, seen) = self
            .trust
            .client(&asked.level)
            .map_err(|error| other(error.to_string()))?;
        let name = ServerName::try_from(asked.name.clone());
        let plain = matches!(asked.level, Level::Plain) && !host.implicit_tls;
        let mut conn = match (host.implicit_tls, name) {
            (true, Ok(name)) => Conn::client_tls(stream, session, tls, name),
            (false, Ok(name)) if !plain => Conn::client(stream, session, Some((tls, name))),
            (false, _) if plain => Conn::client(stream, session, None),
            (_, Err(error)) => return Err(other(error.to_string())),
            (false, Ok(_)) => Conn::client(stream, session, None),
        };
        let asks = |why: &str| format!("{why}; {} is what {} asks for", asked.level, asked.basis);
        loop {
            match conn.next().await {
                Ok(Some(Event::Ready(offered))) => {
                    let seen = seen.lock().clone();
                    outcome.seen = seen.clone();
                    outcome.tls = conn.session().tls().is_some();
                    let local = matches!(host.at, At::Socket(_));
                    let proved = local
                        || (asked.chosen
                            && conn.session().tls().is_some()
                            && match asked.level {
                                Level::Dane(_) => seen.dane,
                                _ => matches!(seen.authority, Some(Ok(()))),
                            });
                    // RFC 8689 §4.2.1
                    if wish == Wish::Required && !local && !offered.requiretls {
                        let why = "the message requires TLS all the way, and the host does not offer REQUIRETLS";
                        return Err(Failed::Unfit(Unfit::no_proof(
                            Flaw::ValidationFailure,
                            why.into(),
                        )));
                    }
                    let tls = match conn.session().tls() {
                        None if local => "none: it is on this machine".into(),
                        None if plain => "none: the settings ask for none".into(),
                        None => "none: the host does not offer it".into(),
                        Some(tls) => format!(
                            "{} {}, {}",
                            tls.version,
                            tls.cipher,
                            match (seen.dane, &seen.authority) {
                                (true, _) => "verified by DANE",
                                (false, Some(Ok(()))) => "verified",
                                (false, _) => "not verified",
                            }
                        ),
                    };
                    return Ok(Link {
                        conn,
                        host: host.name.clone(),
                        lmtp: host.lmtp,
                        local,
                        sent: 0,
                        tls,
                        wish,
                        proved,
                    });
                }
                Ok(Some(Event::Failed(failure))) => {
                    use axigen_proto::smtp::client::Failure;
                    let why = failure.to_string();
                    return Err(match failure {
                        Failure::TlsNotOffered => Failed::Unfit(Unfit::no_tls(asks(&why))),
                        Failure::TlsRefused(_) | Failure::PlaintextAfterStartTls => {
                            Failed::Tls(Unfit::no_tls(asks(&why)))
                        }
                        _ => Failed::Other(why),
                    });
                }
                Ok(Some(_)) => {}
                Ok(None) => return Err(other("the host closed the connection".into())),
                Err(error) => {
                    let tls = conn.session().tls().is_none() && is_tls(&error);
                    let why = error.to_string();
                    if !tls {
                        return Err(Failed::Other(why));
                    }
                    let flaw = match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                        Some(error) => Flaw::of(error),
                        None => Flaw::ValidationFailure,
                    };
                    outcome.seen = seen.lock().clone();
                    return Err(Failed::Tls(Unfit::no_proof(flaw, asks(&why))));
                }
            }
        }
    }

    fn config(&self, route: &Route, host: &Host, level: &Level) -> Result<Config, String> {
        let settings = self.routes.settings();
        let hello = HelloName::new(route.hostname.as_str()).map_err(|error| error.to_string())?;
        let role = if host.lmtp { Role::Lmtp } else { Role::Smtp };
        let mut config = Config::new(role, hello);
        config.implicit_tls = host.implicit_tls;
        config.starttls = match level {
            Level::Plain => StartTls::Never,
            Level::Welcome => StartTls::IfOffered,
            _ if host.implicit_tls => StartTls::Never,
            Level::Encrypted | Level::Authority | Level::Dane(_) => StartTls::Required,
        };
        config.chunking = settings.chunking;
        config.limits = SmtpClientLimits {
            command_timeout: settings.command_timeout.0,
            end_timeout: settings.end_timeout.0,
            ..SmtpClientLimits::default()
        };
        if let Some((user, file)) = &route.login {
            let text = std::fs::read_to_string(file)
                .map_err(|error| format!("{}: {error}", file.display()))?;
            let password = text.lines().next().unwrap_or_default();
            let credentials = Credentials::new(user.as_str(), password);
            config.credentials = Some(credentials.map_err(|error| error.to_string())?);
            if config.starttls == StartTls::IfOffered {
                // A password is not given away to who takes TLS out of the conversation.
                config.starttls = StartTls::Required;
            }
        }
        Ok(config)
    }
}

/// A failure inside the handshake, not of the network below it.
fn is_tls(error: &std::io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(|inner| inner.is::<rustls::Error>())
        || error.kind() == std::io::ErrorKind::InvalidData
        || (error.kind() == std::io::ErrorKind::UnexpectedEof)
}

fn reached<T>(
    stream: Result<std::io::Result<T>, tokio::time::error::Elapsed>,
    wait: Duration,
) -> Result<T, String> {
    match stream {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("no connection: {error}")),
        Err(_) => Err(format!("no connection in {} s", wait.as_secs())),
    }
}

async fn dial(to: SocketAddr, source: &[IpAddr]) -> std::io::Result<TcpStream> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    let ours = source.iter().find(|ip| ip.is_ipv4() == to.is_ipv4());
    if let Some(ours) = ours {
        socket.bind(SocketAddr::new(*ours, 0))?;
    }
    socket.connect(to).await
}
