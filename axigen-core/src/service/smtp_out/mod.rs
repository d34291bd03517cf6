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
//! | `security` | what is asked of a host: DANE, MTA-STS, what its sender wants |
//! | `report` | what domains are told of TLS to them |
//! | `connect` | a connection to one of them, ready for a message |
//! | `transaction` | one message over a connection, and what was said |
//! | `carry` | mail that a transport of the application carries |
//! | `arrive` | mail that stays here, and was held |
//! | `outcome` | what becomes of an entry after a try |

mod arrive;
mod carry;
mod connect;
mod hosts;
mod outcome;
mod report;
mod security;
mod session;
mod transaction;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::delivery::{Delivery, Transport};
use crate::dns::Resolver;
use crate::error::Error;
use crate::filter::Chain;
use crate::net::{Https, https};
use crate::queue::route::Routes;
use crate::queue::schedule::later;
use crate::queue::{BEGIN_AGAIN, Dispatcher, Queue};
use crate::settings::RouteTarget;
use crate::transport::report::Reports;
use crate::transport::sts::Sts;
use crate::transport::verify::Trust;
use security::Refused;

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
    trust: Trust,
    sts: Arc<Sts>,
    reports: Arc<Reports>,
    transports: Vec<Arc<dyn Transport>>,
    /// Lanes whose hosts were not fit for mail a moment ago.
    refused: Mutex<HashMap<Arc<str>, Refused>>,
    /// Room for messages that filters look at, in kilobytes.
    room: Semaphore,
    room_size: u32,
}

/// The service, with everything that can fail done. Made of it, it takes the place
/// of whoever dispatches, who has to be gone by then.
pub(crate) type Prepared = Box<dyn FnOnce() -> SmtpOut + Send>;

impl SmtpOut {
    /// The service over a queue.
    ///
    /// # Errors
    /// [`Error::Tls`] for authorities that cannot be read; [`Error::Service`] for a
    /// route to a transport that is not there.
    pub(crate) fn prepare(
        queue: Queue,
        routes: Routes,
        delivery: Delivery,
        filters: Chain,
        resolver: Arc<dyn Resolver>,
        https: Option<Arc<dyn Https>>,
        transports: Vec<Arc<dyn Transport>>,
    ) -> Result<Prepared, Error> {
        let routes = Arc::new(routes);
        for target in routes.settings().routes.iter().map(|route| &route.to) {
            if let RouteTarget::Transport(name) = target
                && !transports.iter().any(|of| of.name() == name)
            {
                let why = format!(
                    "a route of smtp_out leads to the transport {name}, which is not there"
                );
                return Err(Error::Service(why));
            }
        }
        let authorities = &routes.settings().authorities;
        let trust = Trust::new(authorities)?;
        let https = match https {
            Some(https) => https,
            None => {
                let client = https::Client::new(Arc::clone(&resolver), authorities)?;
                Arc::new(client.inward(routes.settings().https_inward))
            }
        };
        let sts = Arc::new(Sts::new(
            queue.store().clone(),
            Arc::clone(queue.clock()),
            Arc::clone(&resolver),
            Arc::clone(&https),
            routes.settings().mta_sts.clone(),
        ));
        let own = &routes.settings().hostname;
        let reports = Arc::new(Reports::new(
            queue.store().clone(),
            Arc::clone(queue.clock()),
            Arc::clone(&resolver),
            https,
            delivery.clone(),
            routes.settings().tls_reports.clone(),
            match own.is_empty() {
                true => routes.hostname(),
                false => own,
            },
        ));
        let kilobytes = (routes.settings().memory.0 / 1024).max(1);
        let room_size = u32::try_from(kilobytes).unwrap_or(u32::MAX);
        Ok(Box::new(move || SmtpOut {
            transports,
            room: Semaphore::new(room_size as usize),
            room_size,
            dispatcher: Dispatcher::new(queue.clone(), Box::new(Arc::clone(&routes))),
            queue,
            delivery,
            filters,
            resolver,
            routes,
            trust,
            sts,
            reports,
            refused: Mutex::default(),
        }))
    }

    /// Sends until `stop` says so; what is on its way then may finish in `grace`.
    /// What does not is cut off, and sent anew after the next start.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>, grace: Duration) {
        let this = Arc::new(self);
        let most = this.routes.settings().sessions;
        let mut sessions = JoinSet::new();
        let sts = Arc::clone(&this.sts);
        let refresh = tokio::spawn({
            let stop = stop.clone();
            async move { sts.refresh(stop).await }
        });
        let index = tokio::spawn({
            let queue = this.queue.clone();
            async move {
                // Whoever needs it before tries again, and says so.
                if let Err(error) = queue.indexed().await {
                    tracing::error!(%error, "the queue's index by domain could not be made");
                }
            }
        });
        let reporting = tokio::spawn(Arc::clone(&this.reports).run(stop.clone()));
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
        refresh.abort();
        index.abort();
        let rest = async {
            while sessions.join_next().await.is_some() {}
            let _ = reporting.await;
            this.reports.keep().await;
        };
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
