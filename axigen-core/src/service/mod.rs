//! Services: one event loop each, over a session and the mailbox API. They
//! parse nothing and know no keys.

mod counted;
mod guesses;
pub mod imap;
pub mod pop3;
pub mod smtp_in;
pub(crate) mod smtp_out;
mod turns;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use axigen_proto::Session;
use rustls::ServerConfig;
use tokio::sync::watch;

use crate::delivery::Delivery;
use crate::directory::Directory;
use crate::filter::Chain;
use crate::login::Logins;
use crate::mailbox::Mailboxes;
use crate::net::bans::Bans;
use crate::net::rules::Denied;
use crate::net::{Conn, Stream};
use crate::search::SearchIndex;
use crate::settings::{ListenerSettings, Settings, TlsMode};

/// What serves connections of one protocol.
#[async_trait]
pub trait Service: std::fmt::Debug + Send + Sync + 'static {
    /// The name in settings and logs: `smtp_in`, `imap`, …
    fn name(&self) -> &'static str;

    /// Serves one connection to its end. Watches `peer.stop` and ends the
    /// session politely between two commands when it turns true.
    async fn serve(&self, stream: Stream, peer: Peer);

    /// What a connection that is denied is told before it is closed, line ends
    /// included; nothing by default. Not used where TLS comes first.
    fn refusal(&self, denied: Denied) -> &'static str {
        let _ = denied;
        ""
    }
}

/// The other side of a connection, and the listener it came through.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The peer's address.
    pub addr: SocketAddr,
    /// Our address.
    pub local: SocketAddr,
    /// TLS on this listener, if there is a certificate.
    pub tls: Option<Arc<ServerConfig>>,
    /// The listener's settings.
    pub listener: Arc<ListenerSettings>,
    /// Longest TLS handshake.
    pub handshake_timeout: Duration,
    /// Longest wait for a peer that reads nothing of what it is sent.
    pub write_timeout: Duration,
    /// Who pays for faults, and how; nobody without it.
    pub bans: Option<Bans>,
    /// Turns true when the server shuts down.
    pub stop: watch::Receiver<bool>,
}

impl Peer {
    /// Whether TLS starts with the connection.
    pub fn implicit_tls(&self) -> bool {
        self.listener.tls == TlsMode::Implicit
    }

    /// The connection, driven by a session, with TLS as the listener has it and
    /// faults counted. `None` if it begins with TLS and there is no certificate.
    pub fn connection<S: Session>(&self, stream: Stream, session: S) -> Option<Conn<S>> {
        let conn = match (self.implicit_tls(), self.tls.clone()) {
            (true, tls) => Conn::server_tls(stream, session, tls?),
            (false, tls) => Conn::server(stream, session, tls),
        };
        let conn = conn
            .handshake_timeout(self.handshake_timeout)
            .write_timeout(self.write_timeout);
        Some(match &self.bans {
            Some(bans) => conn.watched(bans.clone(), self.addr.ip()),
            None => conn,
        })
    }

    /// How long a session waits here for what the service waits so long for.
    pub fn idle_timeout(&self, of_service: Duration) -> Duration {
        let here = self.listener.idle_timeout.map(|span| span.0);
        here.map_or(of_service, |here| here.min(of_service))
    }

    /// Waits until the server shuts down.
    pub async fn stopped(&mut self) {
        if self.stop.wait_for(|stop| *stop).await.is_err() {
            // The engine is gone: as good as stopped.
        }
    }
}

/// What all services work with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context {
    /// Mailboxes of all accounts.
    pub mailboxes: Mailboxes,
    /// Who exists and who may log in.
    pub directory: Directory,
    /// From recipients to mailboxes.
    pub delivery: Delivery,
    /// Filters in order.
    pub filters: Chain,
    /// The settings as they are now.
    pub settings: Arc<ArcSwap<Settings>>,
    /// How one logs in besides by password, and how often.
    pub logins: Logins,
    /// What peers did wrong, and who is banned for it.
    pub bans: Bans,
    /// Which messages a search need not look at.
    pub search: SearchIndex,
    /// Bytes of messages on their way in, all connections together.
    pub in_flight: InFlight,
}

/// The budget for bytes of messages on their way in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct InFlight {
    used: Arc<AtomicU64>,
    limit: Arc<AtomicU64>,
}

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub struct Share {
    used: Arc<AtomicU64>,
    bytes: u64,
}

impl InFlight {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> InFlight {
        InFlight {
            used: Arc::default(),
            limit: Arc::new(AtomicU64::new(limit)),
        }
    }

    /// Another budget from now on; what has grown beyond it already stays.
    pub(crate) fn change(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// An empty share, to grow as bytes come.
    pub fn share(&self) -> Share {
        Share {
            used: self.used.clone(),
            bytes: 0,
        }
    }

    /// Grows a share. `false` if the budget does not allow it.
    pub fn grow(&self, share: &mut Share, bytes: u64) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.limit.load(Ordering::Relaxed) {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        share.bytes += bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A nonce for a session's authentication exchanges.
pub(crate) fn nonce() -> Option<[u8; 32]> {
    crate::directory::random()
        .inspect_err(|error| tracing::error!(%error, "no session can be served"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_given_back() {
        let budget = InFlight::new(100);
        let (mut a, mut b) = (budget.share(), budget.share());
        assert!(budget.grow(&mut a, 60));
        assert!(!budget.grow(&mut b, 60));
        assert!(budget.grow(&mut b, 40));
        drop(a);
        assert!(budget.grow(&mut b, 60));
    }
}
