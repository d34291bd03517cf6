//! The queue looked at: which entries there are, and what each of them waits
//! for.
//!
//! A listing goes by pages: a page looks at a bounded number of rows, however
//! few of them are meant, so that a queue of a million is gone through in
//! bounded memory and nobody waits long for one answer. What is asked of a
//! message, a lane, a domain or a recipient, and what is held or being sent, is
//! found by an index and costs what there is of it; all else looks at all rows.

use std::fmt;
use std::str::FromStr;

use axigen_store::{AccountId, Key};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::entry::{Entry, EntryId};
use super::keys::{self, Counter};
use super::{Queue, Result, dispatch, index};

/// Rows that are read in one step.
pub(super) const PAGE: usize = 500;
/// Most rows one page of a listing looks at.
const LOOKED_AT: usize = 10_000;

/// What the queue holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// Entries.
    pub entries: u64,
    /// Of these, those that are held.
    pub held: u64,
    /// Recipients.
    pub recipients: u64,
    /// Bytes of the entries' messages; a message to several hops counts for each.
    pub bytes: u64,
}

/// What an entry waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is being sent at this moment.
    Active,
    /// For somebody who releases it.
    Held,
    /// For its turn: its time has come.
    Due,
    /// For its time, or for its lane, which rests because its hosts could not
    /// be reached.
    Deferred,
}

impl State {
    const ALL: [(State, &'static str); 4] = [
        (State::Active, "active"),
        (State::Held, "held"),
        (State::Due, "due"),
        (State::Deferred, "deferred"),
    ];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = State::ALL.iter();
        let name = all.find(|(state, _)| state == self);
        f.pad(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for State {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<State, String> {
        let mut all = State::ALL.iter();
        let found = all.find(|(_, name)| name.eq_ignore_ascii_case(text));
        found.map(|(state, _)| *state).ok_or_else(|| {
            format!("{text:?} is no state of an entry: they are active, held, due, deferred")
        })
    }
}

/// Which entries are meant. What is left open fits all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// The entries of the message with this number in the queue.
    pub message: Option<u64>,
    /// Our id of the message, as in log lines and `Received`.
    pub mail: Option<String>,
    /// The lane: a domain, or the name of a route.
    pub lane: Option<String>,
    /// The sender: an address, or `@domain`; empty for notices.
    pub sender: Option<String>,
    /// A recipient that is still waited for: an address, or `@domain`.
    pub recipient: Option<String>,
    /// The domain of a recipient that is still waited for.
    pub domain: Option<String>,
    /// What it waits for.
    pub state: Option<State>,
    /// It came before.
    pub before: Option<Timestamp>,
    /// It came then or later.
    pub since: Option<Timestamp>,
}

impl Filter {
    /// Whether an entry is meant that waits for `state`.
    pub fn matches(&self, entry: &Entry, state: State) -> bool {
        let domain = self.domain.as_ref().map(|domain| format!("@{domain}"));
        let to = |wanted: Option<&str>| {
            let mut recipients = entry.recipients.iter();
            wanted.is_none() || recipients.any(|to| is_address(wanted, &to.address))
        };
        same(self.mail.as_deref(), &entry.mail)
            && same(self.lane.as_deref(), &entry.lane)
            && self.state.is_none_or(|wanted| wanted == state)
            && self.before.is_none_or(|before| entry.came < before)
            && self.since.is_none_or(|since| entry.came >= since)
            && is_address(self.sender.as_deref(), &entry.sender)
            && to(self.recipient.as_deref())
            && to(domain.as_deref())
    }

    /// A name that whatever is meant is found by in the index.
    fn name(&self) -> Option<String> {
        let domain = self.domain.as_ref().map(|domain| domain.to_lowercase());
        let of_recipient = || index::domain(self.recipient.as_deref()?);
        let lane = || self.lane.as_ref().map(|lane| lane.to_lowercase());
        domain.or_else(of_recipient).or_else(lane)
    }

    /// Whether it fits everything.
    pub fn is_open(&self) -> bool {
        *self == Filter::default()
    }
}

fn same(wanted: Option<&str>, value: &str) -> bool {
    wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
}

/// Whether an address is the one that is wanted, or of the `@domain`.
fn is_address(wanted: Option<&str>, value: &str) -> bool {
    let Some(wanted) = wanted else { return true };
    let (wanted, value) = (wanted.to_lowercase(), value.to_lowercase());
    match wanted.starts_with('@') {
        true => value.ends_with(&wanted),
        false => value == wanted,
    }
}

/// An entry, and what it waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Its name.
    pub id: EntryId,
    /// The entry.
    pub entry: Entry,
    /// What it waits for.
    pub state: State,
    /// When it is tried next; `None` while it is held or being sent.
    pub next: Option<Timestamp>,
}

/// Some entries, in the order they came.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The entries; there may be none though there are more to come.
    pub entries: Vec<Listed>,
    /// Where to go on; `None` at the end.
    pub next: Option<EntryId>,
}

impl Queue {
    /// What the queue holds; costs the same however much that is.
    ///
    /// # Errors
    /// [`Error::Store`](super::Error::Store).
    pub async fn stat(&self) -> Result<Stat> {
        let wanted = [
            Counter::Entries,
            Counter::Held,
            Counter::Recipients,
            Counter::Bytes,
        ];
        let [entries, held, recipients, bytes] = self.counters(wanted).await?;
        Ok(Stat {
            entries,
            held,
            recipients,
            bytes,
        })
    }

    /// The number of the message that came last.
    ///
    /// # Errors
    /// [`Error::Store`](super::Error::Store).
    pub async fn last(&self) -> Result<u64> {
        let [number] = self.counters([Counter::Number]).await?;
        Ok(number)
    }

    async fn counters<const N: usize>(&self, which: [Counter; N]) -> Result<[u64; N]> {
        let wanted = which.map(keys::counter);
        let got = self.inner.store.get(AccountId::SYSTEM, &wanted).await?;
        let mut counts = [0; N];
        for (count, value) in counts.iter_mut().zip(got) {
            let bytes = value.as_ref().and_then(|value| value.first_chunk::<8>());
            *count = bytes.map_or(0, |bytes| i64::from_be_bytes(*bytes).max(0) as u64);
        }
        Ok(counts)
    }

    /// An entry with what it waits for now.
    pub(super) fn listed(&self, id: EntryId, entry: Entry) -> Listed {
        let now = self.now();
        let rest = dispatch::resting(self, &entry.lane);
        let (state, next) = match rest {
            _ if self.inner.claimed.lock().contains(&id) => (State::Active, None),
            _ if entry.held => (State::Held, None),
            Some(until) => (State::Deferred, Some(entry.due.max(until))),
            None if entry.due > now => (State::Deferred, Some(entry.due)),
            None => (State::Due, Some(now)),
        };
        Listed {
            id,
            entry,
            state,
            next,
        }
    }

    /// An entry as it is now, and what it waits for.
    ///
    /// # Errors
    /// [`Error::NotFound`](super::Error::NotFound),
    /// [`Error::Corrupt`](super::Error::Corrupt),
    /// [`Error::Store`](super::Error::Store).
    pub async fn show(&self, id: EntryId) -> Result<Listed> {
        Ok(self.listed(id, self.get(id).await?))
    }

    /// At most `limit` entries that are meant, from one on. It looks at a bounded
    /// number of rows: a page may be short, or empty, and others follow.
    ///
    /// # Errors
    /// [`Error::Store`](super::Error::Store); an entry that cannot be read is
    /// left out and logged.
    pub async fn list(
        &self,
        filter: &Filter,
        from: Option<EntryId>,
        limit: usize,
    ) -> Result<Listing> {
        let mut look = Look {
            queue: self,
            filter,
            limit,
            looked_at: 0,
            listing: Listing::default(),
        };
        let first = from.unwrap_or(EntryId::FIRST);
        if let Some(mail) = &filter.mail {
            let ids = self.of_message(mail).await?;
            look.among(ids.into_iter().filter(|id| *id >= first).collect())
                .await?;
        } else if filter.state == Some(State::Active) {
            let mut ids: Vec<EntryId> = self.inner.claimed.lock().iter().copied().collect();
            ids.retain(|id| *id >= first);
            ids.sort_unstable();
            look.among(ids).await?;
        } else if let Some(message) = filter.message {
            let (start, end) = keys::all_of_message(message);
            look.at_all(keys::entry(first).max(start), end).await?;
        } else if let Some(name) = filter.name() {
            self.indexed().await?;
            let (start, end) = keys::all_of_name(&name);
            look.found(keys::at(&start, first), end).await?;
        } else if filter.state == Some(State::Held) {
            look.found(keys::held(first), keys::all(keys::HELD).1)
                .await?;
        } else {
            look.at_all(keys::entry(first), keys::all(keys::ENTRY).1)
                .await?;
        }
        Ok(look.listing)
    }

    /// The entries of a message, by our id of it.
    ///
    /// # Errors
    /// [`Error::Store`](super::Error::Store).
    pub async fn of_message(&self, mail: &str) -> Result<Vec<EntryId>> {
        let (from, to) = keys::all_of_mail(mail);
        let rows = self.inner.store.scan(AccountId::SYSTEM, from, to).await?;
        Ok(rows
            .iter()
            .filter_map(|(key, _)| keys::id_of(key))
            .collect())
    }
}

/// A listing that is being made.
struct Look<'l> {
    queue: &'l Queue,
    filter: &'l Filter,
    limit: usize,
    looked_at: usize,
    listing: Listing,
}

impl Look<'_> {
    /// Rows to be read next: one more than is wanted says where to go on.
    fn page(&self) -> usize {
        let left = self.limit.saturating_sub(self.listing.entries.len());
        left.saturating_add(1).min(PAGE)
    }

    /// Looks at an entry; `false` if the page ends before it.
    fn at(&mut self, id: EntryId, row: Option<&Bytes>) -> bool {
        if self.listing.entries.len() >= self.limit || self.looked_at >= LOOKED_AT {
            self.listing.next = Some(id);
            return false;
        }
        self.looked_at += 1;
        // Without a row it went a moment ago.
        match row.map(|row| Entry::decode(id, row)) {
            Some(Ok(entry)) => {
                let message = self.filter.message;
                let listed = self.queue.listed(id, entry);
                if message.is_none_or(|message| id.message == message)
                    && self.filter.matches(&listed.entry, listed.state)
                {
                    self.listing.entries.push(listed);
                }
            }
            Some(Err(error)) => tracing::error!(%error, "the queue holds what cannot be read"),
            None => {}
        }
        true
    }

    /// Looks at all entries in a range of their own keys.
    async fn at_all(&mut self, mut from: Key, to: Key) -> Result<()> {
        while from < to {
            let page = self
                .queue
                .rows(from, to.clone(), self.page(), false)
                .await?;
            for (key, row) in &page.rows {
                if let Some(id) = keys::id_of(key)
                    && !self.at(id, Some(row))
                {
                    return Ok(());
                }
            }
            match page.next {
                Some(next) => from = next,
                None => break,
            }
        }
        Ok(())
    }

    /// Looks at the entries that a range of an index names.
    async fn found(&mut self, mut from: Key, to: Key) -> Result<()> {
        while from < to {
            let page = self.queue.rows(from, to.clone(), self.page(), true).await?;
            let ids = page.rows.iter().filter_map(|(key, _)| keys::id_of(key));
            if !self.among(ids.collect()).await? {
                break;
            }
            match page.next {
                Some(next) => from = next,
                None => break,
            }
        }
        Ok(())
    }

    /// Looks at entries whose names are known; `false` if the page ends among them.
    async fn among(&mut self, ids: Vec<EntryId>) -> Result<bool> {
        for some in ids.chunks(PAGE) {
            let wanted: Vec<Key> = some.iter().map(|id| keys::entry(*id)).collect();
            let store = &self.queue.inner.store;
            let rows = store.get(AccountId::SYSTEM, &wanted).await?;
            for (id, row) in some.iter().zip(rows) {
                if !self.at(*id, row.as_ref()) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_left_open_fits_all() {
        let entry = super::super::entry::tests::entry();
        let fits = |filter: Filter| filter.matches(&entry, State::Due);
        assert!(fits(Filter::default()) && Filter::default().is_open());
        let text = |text: &str| Some(text.to_owned());
        for (good, bad) in [
            ("ann@HERE.test", "an@here.test"),
            ("@here.test", "@ere.test"),
        ] {
            let from = |sender: &str| Filter {
                sender: text(sender),
                ..Filter::default()
            };
            assert!(fits(from(good)), "{good}");
            assert!(!fits(from(bad)) && !from(bad).is_open(), "{bad}");
        }
        let to = |domain: &str| Filter {
            domain: text(domain),
            ..Filter::default()
        };
        assert!(fits(to("There.test")));
        assert!(!fits(to("here.test")));
        let when = |before: Option<Timestamp>, since: Option<Timestamp>| Filter {
            before,
            since,
            ..Filter::default()
        };
        assert!(fits(when(None, Some(entry.came))));
        assert!(!fits(when(Some(entry.came), None)));
        let state = |state: State| Filter {
            state: Some(state),
            ..Filter::default()
        };
        assert!(fits(state(State::Due)) && !fits(state(State::Held)));
        for (state, name) in State::ALL {
            assert_eq!(state.to_string(), name);
            assert_eq!(name.parse(), Ok(state));
        }
        assert!("heldd".parse::<State>().is_err());
    }
}
