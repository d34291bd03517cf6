//! Filters in order: server, then domain, then account, each by priority.

use std::sync::Arc;

use axigen_proto::smtp::reply::Reply;

use super::{
    Connection, Disposition, Filter, Message, NextHop, Recipient, Result, Transaction, Verdict,
};

/// For whom a filter runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For all mail.
    Server,
    /// For recipients of this domain: `rcpt` and `pre_delivery` only.
    Domain(String),
    /// For the recipient of this address: `rcpt` and `pre_delivery` only.
    Account(String),
}

#[derive(Debug, Clone)]
struct Link {
    level: Level,
    priority: u16,
    filter: Arc<dyn Filter>,
}

/// Filters in order. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    links: Arc<Vec<Link>>,
}

impl Chain {
    /// A chain without filters: everything passes.
    pub fn new() -> Chain {
        Chain::default()
    }

    /// Adds a filter. Within a level, the lower priority runs first; equal
    /// ones in the order they were added.
    pub fn add(&mut self, level: Level, priority: u16, filter: Arc<dyn Filter>) {
        let rank = |level: &Level| match level {
            Level::Server => 0,
            Level::Domain(_) => 1,
            Level::Account(_) => 2,
        };
        let links = Arc::make_mut(&mut self.links);
        let key = (rank(&level), priority);
        let at = links.partition_point(|link| (rank(&link.level), link.priority) <= key);
        links.insert(
            at,
            Link {
                level,
                priority,
                filter,
            },
        );
    }

    /// Whether there is no filter at all.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Asks all about a new connection.
    pub async fn connect(&self, conn: &mut Connection) -> Verdict {
        for filter in self.of_server() {
            if let Some(verdict) = stop(filter, "connect", filter.connect(conn).await) {
                return verdict;
            }
        }
        Verdict::Continue
    }

    /// Asks all about the peer's name.
    pub async fn helo(&self, conn: &mut Connection) -> Verdict {
        for filter in self.of_server() {
            if let Some(verdict) = stop(filter, "helo", filter.helo(conn).await) {
                return verdict;
            }
        }
        Verdict::Continue
    }

    /// Asks all about the sender.
    pub async fn mail(&self, tx: &mut Transaction) -> Verdict {
        for filter in self.of_server() {
            if let Some(verdict) = stop(filter, "mail", filter.mail(tx).await) {
                return verdict;
            }
        }
        Verdict::Continue
    }

    /// Asks all about a recipient.
    pub async fn rcpt(&self, tx: &mut Transaction, rcpt: &mut Recipient) -> Verdict {
        for filter in self.of_recipient(&rcpt.address.clone()) {
            if let Some(verdict) = stop(filter, "rcpt", filter.rcpt(tx, rcpt).await) {
                return verdict;
            }
        }
        Verdict::Continue
    }

    /// Asks all before the message comes.
    pub async fn data(&self, tx: &mut Transaction) -> Verdict {
        for filter in self.of_server() {
            if let Some(verdict) = stop(filter, "data", filter.data(tx).await) {
                return verdict;
            }
        }
        Verdict::Continue
    }

    /// Asks all about the message, then applies the edits.
    pub async fn end_of_message(&self, tx: &mut Transaction, msg: &mut Message) -> Verdict {
        let mut verdict = Verdict::Continue;
        for filter in self.of_server() {
            if let Some(stopped) = stop(
                filter,
                "end_of_message",
                filter.end_of_message(tx, msg).await,
            ) {
                verdict = stopped;
                break;
            }
        }
        msg.apply();
        verdict
    }

    /// Asks all about delivery to one recipient.
    pub async fn pre_delivery(&self, msg: &Message, rcpt: &mut Recipient) -> Disposition {
        for filter in self.of_recipient(&rcpt.address.clone()) {
            match filter.pre_delivery(msg, rcpt).await {
                Ok(Disposition::Continue) => {}
                Ok(disposition) => return disposition,
                Err(error) => {
                    tracing::warn!(filter = filter.name(), stage = "pre_delivery", %error, "a filter failed");
                    return Disposition::Defer(std::time::Duration::from_secs(300));
                }
            }
        }
        Disposition::Continue
    }

    /// Asks all about sending to another host.
    pub async fn pre_send(&self, msg: &mut Message, hop: &mut NextHop) -> Disposition {
        for filter in self.of_server() {
            match filter.pre_send(msg, hop).await {
                Ok(Disposition::Continue) => {}
                Ok(disposition) => return disposition,
                Err(error) => {
                    tracing::warn!(filter = filter.name(), stage = "pre_send", %error, "a filter failed");
                    return Disposition::Defer(std::time::Duration::from_secs(300));
                }
            }
        }
        msg.apply();
        Disposition::Continue
    }

    fn of_server(&self) -> impl Iterator<Item = &Arc<dyn Filter>> {
        self.links
            .iter()
            .filter(|link| link.level == Level::Server)
            .map(|link| &link.filter)
    }

    fn of_recipient(&self, address: &str) -> impl Iterator<Item = &Arc<dyn Filter>> {
        let address = address.to_lowercase();
        self.links.iter().filter_map(move |link| {
            let concerns = match &link.level {
                Level::Server => true,
                Level::Domain(domain) => address
                    .rsplit_once('@')
                    .is_some_and(|(_, given)| given.eq_ignore_ascii_case(domain)),
                Level::Account(account) => address.eq_ignore_ascii_case(account),
            };
            concerns.then_some(&link.filter)
        })
    }
}

/// The verdict, if it ends the stage. A failure is `451 4.7.1`.
fn stop(filter: &Arc<dyn Filter>, stage: &str, verdict: Result<Verdict>) -> Option<Verdict> {
    match verdict {
        Ok(Verdict::Continue) => None,
        Ok(verdict) => {
            tracing::info!(filter = filter.name(), stage, ?verdict, "a filter decided");
            Some(verdict)
        }
        Err(error) => {
            tracing::warn!(filter = filter.name(), stage, %error, "a filter failed");
            Some(Verdict::Reject(Reply::new(
                451,
                (4, 7, 1),
                "a filter failed, try again later",
            )))
        }
    }
}
