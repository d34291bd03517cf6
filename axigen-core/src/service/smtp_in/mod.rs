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
//! | `replies` | what decisions and failures sound like |

mod message;
mod replies;
mod talk;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use axigen_proto::smtp::server::{Config, Event, Role, Server, StartTls};
use axigen_proto::smtp::standard;
use tracing::Instrument;

use super::counted::Connections;
use super::{Context, Peer, Service, nonce};
use crate::filter::Connection;
use crate::net::rules::Denied;
use crate::net::{Conn, Stream};
use crate::settings::{SmtpSettings, TlsMode};
pub(crate) use message::message_id;
use talk::Talk;

/// SMTP Incoming, submission or LMTP.
#[derive(Debug)]
pub struct SmtpIn {
    role: Role,
    context: Context,
    /// Connections by account.
    open: Connections,
}

impl SmtpIn {
    /// Takes mail from other servers.
    pub fn mx(context: Context) -> SmtpIn {
        SmtpIn {
            role: Role::Mx,
            context,
            open: Connections::default(),
        }
    }

    /// Takes mail from the server's own users.
    pub fn submission(context: Context) -> SmtpIn {
        SmtpIn {
            role: Role::Submission,
            context,
            open: Connections::default(),
        }
    }

    /// Takes mail from a server in front.
    pub fn lmtp(context: Context) -> SmtpIn {
        SmtpIn {
            role: Role::Lmtp,
            context,
            open: Connections::default(),
        }
    }

    fn config(&self, settings: &SmtpSettings, hostname: &str, peer: &Peer) -> Config {
        let mut config = Config::new(self.role, hostname);
        config.limits = settings.session_limits();
        config.implicit_tls = peer.implicit_tls();
        config.starttls = match peer.listener.tls {
            TlsMode::Starttls if peer.tls.is_some() => StartTls::Offered,
            _ => StartTls::Unavailable,
        };
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
        let mut conn = match (peer.implicit_tls(), peer.tls.clone()) {
            (true, Some(tls)) => Conn::server_tls(stream, session, tls),
            (true, None) => return,
            (false, tls) => Conn::server(stream, session, tls),
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
            self.open.clone(),
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
