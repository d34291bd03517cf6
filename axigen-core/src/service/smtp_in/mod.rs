//! SMTP Incoming, submission and LMTP: one event loop for the three.
//!
//! Filters have their say at each stage while the peer waits; a message is
//! acknowledged when it is durable in every mailbox it goes to.
//!
//! | file | what it is |
//! |---|---|
//! | this | the service and its loop |
//! | `talk` | one connection: what the service says to each event |
//! | `message` | one message: its bytes, and what happens at its end |
//! | `questions` | VRFY, EXPN and ETRN |
//! | `replies` | what decisions and failures sound like |

mod message;
mod questions;
pub(crate) mod replies;
mod talk;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use axigen_proto::smtp::server::{Config, Event, Lookups, Role, Server, StartTls};
use axigen_proto::smtp::standard;
use tracing::Instrument;

use super::counted::Connections;
use super::turns::Turns;
use super::{Context, Peer, Service, nonce};
use crate::filter::Connection;
use crate::net::rules::Denied;
use crate::net::{Conn, Stream};
use crate::settings::{SmtpSettings, TlsMode, Told};
pub(crate) use message::message_id;
use talk::Talk;

/// SMTP Incoming, submission or LMTP.
#[derive(Debug)]
pub struct SmtpIn {
    role: Role,
    context: Context,
    /// Connections by account.
    open: Connections,
    /// Who has mail held takes turns.
    holds: Turns,
}

impl SmtpIn {
    /// Takes mail from other servers.
    pub fn mx(context: Context) -> SmtpIn {
        SmtpIn {
            role: Role::Mx,
            context,
            open: Connections::default(),
            holds: Turns::default(),
        }
    }

    /// Takes mail from the server's own users.
    pub fn submission(context: Context) -> SmtpIn {
        SmtpIn {
            role: Role::Submission,
            context,
            open: Connections::default(),
            holds: Turns::default(),
        }
    }

    /// Takes mail from a server in front.
    pub fn lmtp(context: Context) -> SmtpIn {
        SmtpIn {
            role: Role::Lmtp,
            context,
            open: Connections::default(),
            holds: Turns::default(),
        }
    }

    fn config(&self, settings: &SmtpSettings, hostname: &str, peer: &Peer) -> Config {
        let mut config = Config::new(self.role, hostname);
        config.limits = settings.session_limits();
        let limits = &mut config.limits;
        limits.command_timeout = peer.idle_timeout(limits.command_timeout);
        limits.data_timeout = peer.idle_timeout(limits.data_timeout);
        config.implicit_tls = peer.implicit_tls();
        config.starttls = match peer.listener.tls {
            TlsMode::Starttls if peer.tls.is_some() => StartTls::Offered,
            _ => StartTls::Unavailable,
        };
        let asked = |told: Told| match (told, self.role) {
            (Told::Everybody, _) | (Told::Users, Role::Submission) => Lookups::Ask,
            (Told::Nobody | Told::Users, _) => Lookups::Evade,
        };
        config.vrfy = asked(settings.vrfy);
        config.expn = asked(settings.expn);
        let travels = self.context.delivery.sends_notices();
        let from = peer.addr.ip().to_canonical();
        let may_etrn = settings.etrn_peers.iter().any(|peers| peers.contains(from));
        let extensions = &mut config.extensions;
        extensions.dsn = settings.dsn && travels;
        extensions.requiretls = settings.requiretls && travels;
        extensions.limits = settings.limits_announced;
        extensions.deliver_by = (settings.deliver_by && travels).then_some(0);
        extensions.future_release = match travels {
            true => settings.longest_hold(self.context.delivery.now()),
            false => None,
        };
        extensions.mt_priority = settings.mt_priority.then_some(None);
        // Checked when the settings were read.
        let refused = settings.refused_solicitation().unwrap_or_default();
        extensions.no_soliciting = refused.map(Some);
        extensions.etrn = may_etrn && travels;
        if self.role == Role::Submission {
            config.auth_tls = self.context.logins.mechanisms();
            if peer.listener.plaintext_login {
                config.auth_plaintext.clone_from(&config.auth_tls);
            }
        }
        config
    }
}

#[async_trait]
impl Service for SmtpIn {
    fn name(&self) -> &'static str {
        match self.role {
            Role::Mx => "smtp_in",
            Role::Submission => "submission",
            Role::Lmtp => "lmtp",
        }
    }

    /// RFC 5321 §3.8: 421 before the connection is closed; §3.1: 554 where there
    /// is no service for this peer.
    fn refusal(&self, denied: Denied) -> &'static str {
        match denied {
            Denied::Rule => "554 5.7.1 you may not connect here\r\n",
            Denied::Banned => "421 4.7.0 too many faults, try again later\r\n",
            _ => "421 4.7.0 too many connections, try again later\r\n",
        }
    }

    async fn serve(&self, stream: Stream, mut peer: Peer) {
        let Some(nonce) = nonce() else { return };
        let all = self.context.settings.load_full();
        let settings = match self.role {
            Role::Mx => &all.smtp_in,
            Role::Submission => &all.submission,
            Role::Lmtp => &all.lmtp,
        };
        let session = Server::new(Arc::new(self.config(settings, &all.hostname, &peer)), nonce);
        let Some(mut conn) = peer.connection(stream, session) else {
            return;
        };
        let connection = Connection {
            peer: peer.addr.ip(),
            service: self.name().to_owned(),
            helo: None,
            tls: None,
            authenticated: None,
        };
        let mut talk = Talk::new(
            self.role,
            &self.context,
            &all.hostname,
            settings.received_headers,
            connection,
            (self.open.clone(), self.holds.clone()),
        );
        let span = tracing::info_span!("connection", service = self.name(), peer = %peer.addr);
        converse(&mut conn, &mut talk, &mut peer)
            .instrument(span)
            .await;
    }
}

/// The loop, until the connection is closed.
async fn converse(conn: &mut Conn<Server>, talk: &mut Talk<'_>, peer: &mut Peer) {
    let mut stopping = false;
    loop {
        let event = tokio::select! {
            event = conn.next() => event,
            () = peer.stopped(), if !stopping => {
                stopping = true;
                conn.unwatched();
                // Between two transactions; a message that is coming is taken first.
                if !talk.in_transaction() {
                    conn.session().close(&standard::SHUTTING_DOWN.into());
                }
                continue;
            }
        };
        let event = match event {
            Ok(Some(event)) => event,
            Ok(None) => {
                tracing::debug!(why = ?conn.close_reason(), "closed");
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "the connection failed");
                return;
            }
        };
        if matches!(event, Event::Connected | Event::Hello(_)) {
            talk.encrypted(conn.tls_info());
        }
        if let Err(misuse) = talk.event(conn.session(), event).await {
            tracing::error!(%misuse, "a bug in the service: the connection is closed");
            return;
        }
        if stopping && !talk.in_transaction() {
            conn.session().close(&standard::SHUTTING_DOWN.into());
        }
    }
}
