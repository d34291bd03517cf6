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
use crate::net::{Conn, Stream};
use crate::queue::route::Route;
use crate::settings::TlsPolicy;

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
    /// Messages that went over it.
    pub(super) sent: usize,
}

impl Link {
    /// Says goodbye.
    pub(super) async fn quit(mut self) {
        if self.conn.session().quit().is_ok() {
            while let Ok(Some(_)) = self.conn.next().await {}
        }
    }
}

/// What a try to reach a host ended with.
enum Failed {
    /// TLS went wrong; without it there may be a way.
    Tls(String),
    Other(String),
}

impl SmtpOut {
    /// A connection to the first of a route's hosts that takes one.
    pub(super) async fn connect(&self, route: &Route) -> Result<Link, (Option<String>, NoHost)> {
        let port = self.routes.settings().mx_port;
        let found = find(self.resolver.as_ref(), route, port).await;
        let hosts = found.map_err(|none| (None, none))?;
        let mut last = (None, "there is no host to try".to_owned());
        let mut left = TRIES;
        for host in &hosts {
            let addresses = match &host.at {
                At::Addresses(addresses) => addresses.as_slice(),
                At::Socket(_) => &[],
            };
            let tries = addresses.len().max(1);
            for at in 0..tries.min(left) {
                left -= 1;
                match self.reach(route, host, addresses.get(at)).await {
                    Ok(link) => return Ok(link),
                    Err(why) => {
                        tracing::info!(host = host.name, why, "a host cannot be reached");
                        last = (Some(host.name.clone()), why);
                    }
                }
            }
        }
        let (host, why) = last;
        Err((host, NoHost::NotNow(why)))
    }

    /// One address; where TLS is only welcome, again without it if it fails.
    async fn reach(
        &self,
        route: &Route,
        host: &Host,
        address: Option<&SocketAddr>,
    ) -> Result<Link, String> {
        match self.open(route, host, address, route.tls).await {
            Ok(link) => Ok(link),
            // RFC 7435 §4.3 and RFC 3207 §4.1: what cannot be encrypted is still sent.
            Err(Failed::Tls(why)) if route.tls == TlsPolicy::May && !host.implicit_tls => {
                tracing::info!(host = host.name, why, "TLS failed; it is tried without");
                match self.open(route, host, address, TlsPolicy::None).await {
                    Ok(link) => Ok(link),
                    Err(Failed::Tls(why) | Failed::Other(why)) => Err(why),
                }
            }
            Err(Failed::Tls(why) | Failed::Other(why)) => Err(why),
        }
    }

    async fn open(
        &self,
        route: &Route,
        host: &Host,
        address: Option<&SocketAddr>,
        policy: TlsPolicy,
    ) -> Result<Link, Failed> {
        let other = |why: String| Failed::Other(why);
        let config = self.config(route, host, policy).map_err(other)?;
        let wait = self.routes.settings().connect_timeout.0;
        let stream = match (&host.at, address) {
            (At::Socket(path), _) => {
                let stream = timeout(wait, UnixStream::connect(path)).await;
                Stream::new(reached(stream, wait).map_err(other)?)
            }
            (At::Addresses(_), Some(address)) => {
                let stream = timeout(wait, dial(*address, &route.source)).await;
                let stream = reached(stream, wait).map_err(other)?;
                let _ = stream.set_nodelay(true);
                Stream::from(stream)
            }
            (At::Addresses(_), None) => return Err(other("it has no address".into())),
        };
        let nonce = crate::service::nonce().ok_or_else(|| other("no randomness".into()))?;
        let session = Client::new(config, nonce);
        let tls = match policy {
            TlsPolicy::Verify => self.tls.trusted.clone(),
            _ => self.tls.anybody.clone(),
        };
        let name = ServerName::try_from(host.name.clone());
        let mut conn = match (host.implicit_tls, name) {
            (true, Ok(name)) => Conn::client_tls(stream, session, tls, name),
            (true, Err(error)) => return Err(other(error.to_string())),
            (false, Ok(name)) if policy != TlsPolicy::None => {
                Conn::client(stream, session, Some((tls, name)))
            }
            (false, _) => Conn::client(stream, session, None),
        };
        loop {
            match conn.next().await {
                Ok(Some(Event::Ready(_))) => {
                    return Ok(Link {
                        conn,
                        host: host.name.clone(),
                        lmtp: host.lmtp,
                        sent: 0,
                    });
                }
                Ok(Some(Event::Failed(failure))) => {
                    use axigen_proto::smtp::client::Failure;
                    let why = failure.to_string();
                    return Err(match failure {
                        Failure::TlsRefused(_) | Failure::PlaintextAfterStartTls => {
                            Failed::Tls(why)
                        }
                        _ => Failed::Other(why),
                    });
                }
                Ok(Some(_)) => {}
                Ok(None) => return Err(other("the host closed the connection".into())),
                Err(error) => {
                    let tls = conn.session().tls().is_none() && is_tls(&error);
                    let why = error.to_string();
                    return Err(if tls {
                        Failed::Tls(why)
                    } else {
                        Failed::Other(why)
                    });
                }
            }
        }
    }

    fn config(&self, route: &Route, host: &Host, policy: TlsPolicy) -> Result<Config, String> {
        let settings = self.routes.settings();
        let hello = HelloName::new(route.hostname.as_str()).map_err(|error| error.to_string())?;
        let role = if host.lmtp { Role::Lmtp } else { Role::Smtp };
        let mut config = Config::new(role, hello);
        config.implicit_tls = host.implicit_tls;
        config.starttls = match policy {
            TlsPolicy::None => StartTls::Never,
            TlsPolicy::May => StartTls::IfOffered,
            TlsPolicy::Encrypt | TlsPolicy::Verify if host.implicit_tls => StartTls::Never,
            TlsPolicy::Encrypt | TlsPolicy::Verify => StartTls::Required,
        };
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
