//! Reports to domains about TLS on the way to them
//! ([RFC 8460](https://www.rfc-editor.org/rfc/rfc8460)): counted in memory, merged
//! into the store every few minutes and when sending stops, sent when the day
//! is over. What was counted since the last merge is lost with the machine's
//! power; nothing else depends on it.
//!
//! | file | what it is |
//! |---|---|
//! | this | counting, the rows of the days |
//! | `format` | a report as JSON |
//! | `send` | a day's reports to those who want them |
//! | `read` | reports of others about us |

pub(crate) mod format;
pub(crate) mod read;
mod send;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axigen_store::{AccountId, Batch, Op, Part, Range, Store};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Flaw, keys};
use crate::clock::Clock;
use crate::delivery::Delivery;
use crate::dns::Resolver;
use crate::net::Https;
use crate::queue::schedule::later;
use crate::settings::TlsReportSettings;
use format::{Counted, Failures, Identity, Summary};

/// Policies of a domain that are told apart in a day.
const POLICIES: usize = 10;
/// Kinds of failures that are told apart under one policy; more are counted only.
const KINDS: usize = 100;
/// Most letters of a reason.
const REASON: usize = 200;
/// How often what was counted goes to the store, and reports are sent.
const ROUND: Duration = Duration::from_secs(300);
/// Rows read at a time.
const PAGE: usize = 100;

/// Counts sessions, and reports them.
#[derive(Debug)]
pub(crate) struct Reports {
    store: Store,
    clock: Arc<dyn Clock>,
    resolver: Arc<dyn Resolver>,
    https: Arc<dyn Https>,
    delivery: Delivery,
    settings: TlsReportSettings,
    hostname: String,
    /// What was counted since it was merged last, by day and domain.
    counts: Mutex<HashMap<(u32, String), Vec<Counted>>>,
}

/// A session that ended, well or not, as far as TLS is concerned.
#[derive(Debug)]
pub(crate) struct Session<'s> {
    pub(crate) policy: Identity,
    pub(crate) failure: Option<(Flaw, &'s str)>,
    pub(crate) host: Option<&'s str>,
    pub(crate) ours: Option<IpAddr>,
    pub(crate) theirs: Option<IpAddr>,
}

impl Reports {
    pub(crate) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        resolver: Arc<dyn Resolver>,
        https: Arc<dyn Https>,
        delivery: Delivery,
        settings: TlsReportSettings,
        hostname: &str,
    ) -> Reports {
        Reports {
            store,
            clock,
            resolver,
            https,
            delivery,
            settings,
            hostname: hostname.to_owned(),
            counts: Mutex::default(),
        }
    }

    /// Counts a session, if there are to be reports.
    pub(crate) fn note(&self, session: Session<'_>) {
        if !self.settings.enable {
            return;
        }
        let key = (self.today(), session.policy.policy_domain.clone());
        let (good, bad) = match session.failure {
            None => (1, 0),
            Some(_) => (0, 1),
        };
        let failures = session.failure.map(|(flaw, why)| Failures {
            result_type: flaw.as_str().to_owned(),
            sending_mta_ip: session.ours.map(|ip| ip.to_string()),
            receiving_mx_hostname: session.host.map(str::to_owned),
            receiving_ip: session.theirs.map(|ip| ip.to_string()),
            failed_session_count: 1,
            failure_reason_code: Some(why.chars().take(REASON).collect()),
        });
        let counted = Counted {
            policy: session.policy,
            summary: Summary {
                total_successful_session_count: good,
                total_failure_session_count: bad,
            },
            failure_details: failures.into_iter().collect(),
        };
        let mut counts = self.counts.lock();
        let full = counts.len() >= self.settings.domains;
        match counts.get_mut(&key) {
            Some(known) => merge(known, counted),
            None if full => {}
            None => {
                counts.insert(key, vec![counted]);
            }
        }
    }

    fn today(&self) -> u32 {
        day_of(self.clock.now())
    }

    /// Keeps and sends what there is until `stop` says so.
    pub(crate) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        if !self.settings.enable {
            return;
        }
        loop {
            self.keep().await;
            self.send_due().await;
            let next = later(self.clock.now(), ROUND);
            tokio::select! {
                () = self.clock.sleep_until(next) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Merges what was counted into the store.
    pub(crate) async fn keep(&self) {
        let counts = std::mem::take(&mut *self.counts.lock());
        for ((day, domain), new) in counts {
            let key = keys::report(day, &domain);
            let mut all = match self
                .store
                .get(AccountId::SYSTEM, std::slice::from_ref(&key))
                .await
            {
                Ok(rows) => rows.into_iter().next().flatten(),
                Err(error) => {
                    tracing::error!(%error, domain, "what was counted for a report is lost");
                    continue;
                }
            }
            .and_then(|row| serde_json::from_slice::<Vec<Counted>>(&row).ok())
            .unwrap_or_default();
            for counted in new {
                merge(&mut all, counted);
            }
            let Ok(row) = serde_json::to_vec(&all) else {
                continue;
            };
            let set = Op::Set {
                key: key.into(),
                val: Bytes::from(row).into(),
            };
            self.commit(vec![set]).await;
        }
    }

    async fn commit(&self, ops: Vec<Op>) {
        let part = Part {
            account: AccountId::SYSTEM,
            asserts: Vec::new(),
            ops,
            advance: false,
        };
        let batch = Batch { parts: vec![part] };
        if let Err(error) = self.store.commit(batch).await {
            tracing::error!(%error, "what was counted for reports could not be kept");
        }
    }

    /// The rows of days that are over.
    async fn over(&self, today: u32) -> Vec<(u32, String, Vec<Counted>)> {
        let (from, to) = keys::reports_before(today);
        let mut range = Range {
            account: AccountId::SYSTEM,
            from,
            to,
            limit: PAGE,
            reverse: false,
            keys_only: false,
        };
        let mut found = Vec::new();
        loop {
            let page = match self.store.range(range.clone()).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, "what was counted for reports could not be read");
                    return found;
                }
            };
            for (key, row) in &page.rows {
                if let Some((day, domain)) = keys::report_of(key) {
                    let counted = serde_json::from_slice(row).unwrap_or_default();
                    found.push((day, domain.to_owned(), counted));
                }
            }
            match page.next {
                Some(next) if found.len() < self.settings.domains => range.from = next,
                _ => return found,
            }
        }
    }
}

/// The day of a time, counted from 1970.
fn day_of(at: jiff::Timestamp) -> u32 {
    u32::try_from(at.as_second().max(0) / 86_400).unwrap_or(u32::MAX)
}

/// Adds to what is known, of a bounded number of policies and kinds of failures.
fn merge(all: &mut Vec<Counted>, new: Counted) {
    let Some(known) = all.iter_mut().find(|known| known.policy == new.policy) else {
        if all.len() < POLICIES {
            all.push(new);
        }
        return;
    };
    let (sum, more) = (&mut known.summary, new.summary);
    sum.total_successful_session_count += more.total_successful_session_count;
    sum.total_failure_session_count += more.total_failure_session_count;
    for failures in new.failure_details {
        let details = &mut known.failure_details;
        let full = details.len() >= KINDS;
        match details.iter_mut().find(|known| known.are_like(&failures)) {
            Some(known) => known.failed_session_count += failures.failed_session_count,
            None if full => {}
            None => details.push(failures),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_has_bounds() {
        let counted = |domain: &str, kind: &str| Counted {
            policy: Identity {
                policy_type: "sts".into(),
                policy_string: vec!["version: STSv1".into()],
                policy_domain: domain.into(),
                mx_host: vec![],
            },
            summary: Summary {
                total_successful_session_count: 0,
                total_failure_session_count: 1,
            },
            failure_details: vec![Failures {
                result_type: kind.into(),
                failed_session_count: 1,
                ..Failures::default()
            }],
        };
        let mut all = Vec::new();
        for at in 0..2 * KINDS {
            merge(&mut all, counted("a.test", &at.to_string()));
            merge(&mut all, counted("a.test", "0"));
        }
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].summary.total_failure_session_count, 4 * KINDS as u64);
        assert_eq!(all[0].failure_details.len(), KINDS);
        assert_eq!(
            all[0].failure_details[0].failed_session_count,
            2 * KINDS as u64 + 1
        );
        for at in 0..2 * POLICIES {
            merge(&mut all, counted(&at.to_string(), "x"));
        }
        assert_eq!(all.len(), POLICIES);
    }
}
