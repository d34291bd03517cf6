//! Policies of MTA-STS ([RFC 8461](https://www.rfc-editor.org/rfc/rfc8461)):
//! found by DNS, fetched by HTTPS, and kept in the store as long as they hold.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axigen_proto::mta_sts::{self, Mode, Policy};
use axigen_store::{AccountId, Batch, Op, Part, Range, Store};
use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Flaw;
use super::keys;
use crate::clock::Clock;
use crate::dns::Resolver;
use crate::net::https::{self, Https, Request};
use crate::queue::salt;
use crate::queue::schedule::later;
use crate::settings::StsSettings;

/// A policy may have so many bytes (RFC 8461 §3.3 proposes 64 KB).
const POLICY_BYTES: usize = 64 * 1024;
/// A policy that could not be fetched is not fetched again for so long (RFC 8461
/// §3.3 asks for five minutes or more).
const PAUSE: Duration = Duration::from_secs(300);
/// Domains whose policies could not be fetched that are remembered.
const FAILURES: usize = 10_000;
/// How often it is looked which policies are old.
const ROUND: Duration = Duration::from_secs(3600);
/// Rows read at a time.
const PAGE: usize = 500;
/// Domains share so many locks: one policy is fetched once at a time.
const LOCKS: usize = 64;

/// The policies of domains.
#[derive(Debug)]
pub(crate) struct Sts {
    store: Store,
    clock: Arc<dyn Clock>,
    resolver: Arc<dyn Resolver>,
    https: Arc<dyn Https>,
    settings: StsSettings,
    failures: Mutex<HashMap<String, Failure>>,
    locks: Vec<tokio::sync::Mutex<()>>,
}

/// A policy that could not be fetched.
#[derive(Debug, Clone)]
struct Failure {
    id: String,
    until: Timestamp,
    flaw: Flaw,
    why: String,
}

/// What is known of a domain.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// The policy that holds.
    pub(crate) policy: Option<Arc<Kept>>,
    /// What was wrong when it was looked for.
    pub(crate) flaw: Option<(Flaw, String)>,
}

/// A policy that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) id: String,
    pub(crate) policy: Policy,
    fetched: Timestamp,
}

/// Its row.
#[derive(Serialize, Deserialize)]
struct Row {
    id: String,
    /// When it was fetched.
    fetched: Timestamp,
    /// As it was published.
    policy: String,
}

impl Kept {
    fn until(&self) -> Timestamp {
        later(
            self.fetched,
            Duration::from_secs(self.policy.max_age.into()),
        )
    }

    fn encode(&self) -> Option<Bytes> {
        let row = Row {
            id: self.id.clone(),
            fetched: self.fetched,
            policy: self.policy.to_string(),
        };
        serde_json::to_vec(&row).ok().map(Bytes::from)
    }

    fn decode(bytes: &[u8]) -> Option<Kept> {
        let row: Row = serde_json::from_slice(bytes).ok()?;
        Some(Kept {
            policy: Policy::parse(row.policy.as_bytes()).ok()?,
            id: row.id,
            fetched: row.fetched,
        })
    }
}

impl Sts {
    pub(crate) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        resolver: Arc<dyn Resolver>,
        https: Arc<dyn Https>,
        settings: StsSettings,
    ) -> Sts {
        Sts {
            store,
            clock,
            resolver,
            https,
            settings,
            failures: Mutex::default(),
            locks: (0..LOCKS).map(|_| tokio::sync::Mutex::default()).collect(),
        }
    }

    /// The policy of a domain, fetched if there is a new one.
    pub(crate) async fn policy(&self, domain: &str) -> Found {
        if !self.settings.enable {
            return Found::default();
        }
        let lock = self
            .locks
            .get((salt(domain.as_bytes()) % LOCKS as u64) as usize);
        let _one = match lock {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        let now = self.clock.now();
        let kept = self.kept(domain).await.filter(|kept| kept.until() > now);
        let known = |kept: Option<Kept>, flaw| Found {
            policy: kept.map(Arc::new),
            flaw,
        };
        let texts = match self.resolver.texts(&format!("_mta-sts.{domain}")).await {
            Ok(answer) => answer.records,
            Err(error) => {
                tracing::debug!(domain, %error, "no record of MTA-STS is known");
                return known(kept, None);
            }
        };
        // RFC 8461 §3.1, §3.3: without a record one that is kept holds on.
        let id = match mta_sts::record_id(&texts) {
            Ok(id) => id,
            Err(mta_sts::Error::NoRecord) => return known(kept, None),
            Err(error) => {
                tracing::info!(domain, %error, "the record of MTA-STS is not valid");
                return known(kept, Some((Flaw::StsPolicyInvalid, error.to_string())));
            }
        };
        if kept.as_ref().is_some_and(|kept| kept.id == id) {
            return known(kept, None);
        }
        let failed = self.failures.lock().get(domain).cloned();
        if let Some(failed) = failed.filter(|failed| failed.id == id && failed.until > now) {
            return known(kept, Some((failed.flaw, failed.why)));
        }
        match self.fetch(domain, &id).await {
            Ok(new) => known(Some(new), None),
            Err((flaw, why)) => {
                tracing::warn!(domain, why, "the policy of MTA-STS could not be fetched");
                let mut failures = self.failures.lock();
                if failures.len() >= FAILURES {
                    failures.retain(|_, failure| failure.until > now);
                }
                if failures.len() < FAILURES {
                    let failure = Failure {
                        id,
                        until: later(now, PAUSE),
                        flaw,
                        why: why.clone(),
                    };
                    failures.insert(domain.to_owned(), failure);
                }
                drop(failures);
                known(kept, Some((flaw, why)))
            }
        }
    }

    /// Fetches a policy and keeps it
    /// ([RFC 8461 §3.3](https://www.rfc-editor.org/rfc/rfc8461#section-3.3)).
    async fn fetch(&self, domain: &str, id: &str) -> Result<Kept, (Flaw, String)> {
        let request = Request {
            host: format!("mta-sts.{domain}"),
            port: None,
            path: "/.well-known/mta-sts.txt".into(),
            body: None,
            most: POLICY_BYTES,
            timeout: self.settings.timeout.0,
        };
        let answer = self.https.request(request).await.map_err(|error| {
            let flaw = match error {
                https::Error::Tls(..) => Flaw::StsWebpkiInvalid,
                _ => Flaw::StsPolicyFetchError,
            };
            (flaw, error.to_string())
        })?;
        if answer.status != 200 {
            let why = format!("mta-sts.{domain} answered with status {}", answer.status);
            return Err((Flaw::StsPolicyFetchError, why));
        }
        // RFC 8461 §3.2: a host where anybody may put files shows them as other types.
        if answer.media_type != "text/plain" {
            let why = format!("the policy is {:?}, not text/plain", answer.media_type);
            return Err((Flaw::StsPolicyInvalid, why));
        }
        let policy = Policy::parse(&answer.body);
        let policy = policy.map_err(|error| (Flaw::StsPolicyInvalid, error.to_string()))?;
        let kept = Kept {
            id: id.to_owned(),
            policy,
            fetched: self.clock.now(),
        };
        tracing::info!(
            domain,
            id,
            mode = kept.policy.mode.as_str(),
            max_age = kept.policy.max_age,
            "a policy of MTA-STS was fetched"
        );
        self.failures.lock().remove(domain);
        self.keep(domain, &kept).await;
        Ok(kept)
    }

    async fn kept(&self, domain: &str) -> Option<Kept> {
        let key = keys::policy(domain);
        match self.store.get(AccountId::SYSTEM, &[key]).await {
            Ok(rows) => Kept::decode(&rows.into_iter().next()??),
            Err(error) => {
                tracing::error!(domain, %error, "a policy of MTA-STS could not be read");
                None
            }
        }
    }

    /// What cannot be kept is fetched again.
    async fn keep(&self, domain: &str, kept: &Kept) {
        let Some(row) = kept.encode() else { return };
        let set = Op::Set {
            key: keys::policy(domain).into(),
            val: row.into(),
        };
        self.commit(vec![set]).await;
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
            tracing::error!(%error, "policies of MTA-STS could not be kept");
        }
    }

    /// Fetches policies again before they end, and forgets those that have
    /// ended, until `stop` says so. RFC 8461 §3.3: who keeps others from
    /// fetching a policy must do it for longer than it holds.
    pub(crate) async fn refresh(&self, mut stop: watch::Receiver<bool>) {
        loop {
            let next = later(self.clock.now(), ROUND);
            tokio::select! {
                () = self.round() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            tokio::select! {
                () = self.clock.sleep_until(next) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn round(&self) {
        let now = self.clock.now();
        let (from, to) = keys::policies();
        let mut range = Range {
            account: AccountId::SYSTEM,
            from,
            to,
            limit: PAGE,
            reverse: false,
            keys_only: false,
        };
        let mut left: Vec<(Timestamp, String)> = Vec::new();
        loop {
            let page = match self.store.range(range.clone()).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, "policies of MTA-STS could not be read");
                    return;
                }
            };
            let mut gone = Vec::new();
            for (key, row) in &page.rows {
                let kept = Kept::decode(row).filter(|kept| kept.until() > now);
                match (kept, keys::domain_of(key)) {
                    (Some(kept), Some(domain)) => {
                        let fetched = self.renew(domain, &kept, now).await;
                        left.push((fetched, domain.to_owned()));
                    }
                    _ => gone.push(Op::Delete(key.clone())),
                }
            }
            if !gone.is_empty() {
                self.commit(gone).await;
            }
            match page.next {
                Some(next) => range.from = next,
                None => break,
            }
        }
        // Those beyond the limit that were not looked at for the longest time go.
        if let Some(beyond) = left.len().checked_sub(self.settings.policies)
            && beyond > 0
        {
            left.sort();
            let old = left.into_iter().take(beyond);
            let ops = old.map(|(_, domain)| Op::Delete(keys::policy(&domain)));
            self.commit(ops.collect()).await;
        }
    }

    /// Fetches a policy again if it was not for a while; says when it was.
    async fn renew(&self, domain: &str, kept: &Kept, now: Timestamp) -> Timestamp {
        if later(kept.fetched, self.settings.refresh.0) > now {
            return kept.fetched;
        }
        let texts = self.resolver.texts(&format!("_mta-sts.{domain}")).await;
        let id = texts.ok().map(|answer| mta_sts::record_id(&answer.records));
        // Without a record there is nothing new; the old one ends when it ends.
        let Some(Ok(id)) = id else {
            return kept.fetched;
        };
        match self.fetch(domain, &id).await {
            Ok(new) => new.fetched,
            Err((_, why)) => {
                if kept.policy.mode != Mode::None {
                    tracing::warn!(domain, why, until = %kept.until(), "the policy of MTA-STS could not be fetched again; the old one holds on");
                }
                kept.fetched
            }
        }
    }
}
