//! SMTP Outgoing: takes what is ready from the queue to other hosts.
//!
//! One task fills the window of the queue and opens sessions; each session
//! serves one lane, message after message over one connection, and settles what
//! it sent before it takes the next. What is told to senders is told when an
//! entry is settled, in the same batch.
//!
//! | file | what it is |
//! |---|---|
//! | this | the service and its loop |
//! | `session` | one lane's messages, one after the other |
//! | `hosts` | which hosts a lane leads to, in which order |
//! | `connect` | a connection to one of them, ready for a message |
//! | `transaction` | one message over a connection, and what was said |
//! | `outcome` | what becomes of an entry after a try |

mod connect;
mod hosts;
mod outcome;
mod session;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::delivery::{Delivery, Outgoing};
use crate::dns::Resolver;
use crate::error::Error;
use crate::filter::Chain;
use crate::net::trust;
use crate::queue::route::Routes;
use crate::queue::schedule::later;
use crate::queue::{BEGIN_AGAIN, Dispatcher, Queue};

/// How long a failing store is left alone.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// SMTP Outgoing.
#[derive(Debug)]
pub(crate) struct SmtpOut {
    queue: Queue,
    delivery: Delivery,
    filters: Chain,
    resolver: Arc<dyn Resolver>,
    routes: Arc<Routes>,
    dispatcher: Dispatcher,
    tls: Tls,
    /// Room for messages that filters look at, in kilobytes.
    room: Semaphore,
    room_size: u32,
}

/// TLS by how much is wanted.
#[derive(Debug)]
struct Tls {
    anybody: Arc<ClientConfig>,
    trusted: Arc<ClientConfig>,
}

impl SmtpOut {
    /// The service over a queue.
    ///
    /// # Errors
    /// [`Error::Tls`] for authorities that cannot be read.
    pub(crate) fn new(
        outgoing: &Outgoing,
        delivery: Delivery,
        filters: Chain,
        resolver: Arc<dyn Resolver>,
    ) -> Result<SmtpOut, Error> {
        let routes = outgoing.routes.load_full();
        let tls = Tls {
            anybody: trust::anybody()?,
            trusted: trust::authorities(&routes.settings().authorities)?,
        };
        let queue = outgoing.queue.clone();
        let kilobytes = (routes.settings().memory.0 / 1024).max(1);
        let room_size = u32::try_from(kilobytes).unwrap_or(u32::MAX);
        Ok(SmtpOut {
            room: Semaphore::new(room_size as usize),
            room_size,
            dispatcher: Dispatcher::new(queue.clone(), Box::new(Arc::clone(&routes))),
            queue,
            delivery,
            filters,
            resolver,
            routes,
            tls,
        })
    }

    /// Sends until `stop` says so; what is on its way then may finish in `grace`.
    /// What does not is cut off, and sent anew after the next start.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>, grace: Duration) {
        let this = Arc::new(self);
        let most = this.routes.settings().sessions;
        let mut sessions = JoinSet::new();
        loop {
            let next = match this.dispatcher.fill().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(%error, "the queue could not be read");
                    Some(later(this.queue.clock().now(), STORE_PAUSE))
                }
            };
            // The clock may be set back.
            let again = later(this.queue.clock().now(), BEGIN_AGAIN);
            let next = next.map_or(again, |next| next.min(again));
            while let Some((id, claim)) = this.dispatcher.overdue() {
                this.overdue(id).await;
                drop(claim);
            }
            while sessions.len() < most
                && let Some(lane) = this.dispatcher.wants_session()
            {
                sessions.spawn(Arc::clone(&this).session(lane, stop.clone()));
            }
            tokio::select! {
                () = this.dispatcher.woken() => {}
                () = this.queue.clock().sleep_until(next) => {}
                Some(ended) = sessions.join_next(), if !sessions.is_empty() => {
                    if let Err(error) = ended && error.is_panic() {
                        tracing::error!(%error, "a bug in SMTP Outgoing: the session is closed");
                    }
                }
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        let rest = async { while sessions.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, rest).await.is_err() {
            tracing::warn!(
                service = "smtp_out",
                sessions = sessions.len(),
                "sessions did not end in time and were cut off"
            );
            sessions.shutdown().await;
        }
    }
}
