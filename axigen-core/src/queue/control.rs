//! What an administrator does with the queue, as library calls.
//!
//! All of it works on entries as they are on disk, also while nothing is sent.
//! An entry that is being sent at this moment cannot be changed
//! ([`Error::Busy`]): what the other host is about to decide would be lost.

use axigen_store::{AccountId, Range};

use super::entry::{Entry, EntryId};
use super::keys::{self, Counter};
use super::{Claim, Error, Queue, Result, Settled};

/// Rows that are looked at in one step.
const PAGE: usize = 500;

/// What the queue holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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

/// Which entries are meant. What is left open fits all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Our id of the message.
    pub mail: Option<String>,
    /// The lane: a domain, or the name of a route.
    pub lane: Option<String>,
    /// The sender: an address, or `@domain`; empty for notices.
    pub sender: Option<String>,
    /// A recipient that is still waited for: an address, or `@domain`.
    pub recipient: Option<String>,
    /// Held, or not.
    pub held: Option<bool>,
}

impl Filter {
    /// Whether an entry is meant.
    pub fn matches(&self, entry: &Entry) -> bool {
        let same = |wanted: &Option<String>, value: &str| {
            wanted
                .as_ref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
        };
        let is_address = |wanted: &Option<String>, value: &str| {
            wanted.as_ref().is_none_or(|wanted| {
                let value = value.to_lowercase();
                let wanted = wanted.to_lowercase();
                match wanted.starts_with('@') {
                    true => value.ends_with(&wanted),
                    false => value == wanted,
                }
            })
        };
        let mut recipients = entry.recipients.iter();
        same(&self.mail, &entry.mail)
            && same(&self.lane, &entry.lane)
            && is_address(&self.sender, &entry.sender)
            && self.held.is_none_or(|held| held == entry.held)
            && (self.recipient.is_none()
                || recipients.any(|to| is_address(&self.recipient, &to.address)))
    }
}

/// Some entries, in the order they came.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The entries.
    pub entries: Vec<(EntryId, Entry)>,
    /// Where to go on; `None` at the end.
    pub next: Option<EntryId>,
}

impl Queue {
    /// What the queue holds; costs the same however much that is.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn stat(&self) -> Result<Stat> {
        let wanted = [
            Counter::Entries,
            Counter::Held,
            Counter::Recipients,
            Counter::Bytes,
        ]
        .map(keys::counter);
        let got = self.inner.store.get(AccountId::SYSTEM, &wanted).await?;
        let mut counts = got.into_iter().map(|value| {
            let bytes = value.as_ref().and_then(|value| value.first_chunk::<8>());
            bytes.map_or(0, |bytes| i64::from_be_bytes(*bytes).max(0) as u64)
        });
        let mut next = || counts.next().unwrap_or_default();
        Ok(Stat {
            entries: next(),
            held: next(),
            recipients: next(),
            bytes: next(),
        })
    }

    /// At most `limit` entries that fit, from one on.
    ///
    /// # Errors
    /// [`Error::Store`]; an entry that cannot be read is left out and logged.
    pub async fn list(
        &self,
        filter: &Filter,
        from: Option<EntryId>,
        limit: usize,
    ) -> Result<Listing> {
        let (start, to) = keys::all(keys::ENTRY);
        let mut range = Range {
            account: AccountId::SYSTEM,
            from: from.map_or(start, keys::entry),
            to,
            limit: PAGE,
            reverse: false,
            keys_only: false,
        };
        let mut listing = Listing::default();
        loop {
            let page = self.inner.store.range(range.clone()).await?;
            for (key, value) in &page.rows {
                let Some(id) = keys::id_of(key) else { continue };
                let entry = match Entry::decode(id, value) {
                    Ok(entry) => entry,
                    Err(error) => {
                        tracing::error!(%error, "the queue holds what cannot be read");
                        continue;
                    }
                };
                if !filter.matches(&entry) {
                    continue;
                }
                if listing.entries.len() >= limit {
                    listing.next = Some(id);
                    return Ok(listing);
                }
                listing.entries.push((id, entry));
            }
            match page.next {
                Some(next) => range.from = next,
                None => return Ok(listing),
            }
        }
    }

    /// The entries of a message, by our id of it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn of_message(&self, mail: &str) -> Result<Vec<EntryId>> {
        let (from, to) = keys::all_of_mail(mail);
        let rows = self.inner.store.scan(AccountId::SYSTEM, from, to).await?;
        Ok(rows
            .iter()
            .filter_map(|(key, _)| keys::id_of(key))
            .collect())
    }

    /// Keeps an entry from being tried until it is released. It expires
    /// neither.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Busy`], [`Error::Store`].
    pub async fn hold(&self, id: EntryId) -> Result<()> {
        self.change(id, |entry| entry.held = true).await
    }

    /// Lets a held entry be tried, at once.
    ///
    /// # Errors
    /// As [`hold`](Queue::hold).
    pub async fn release(&self, id: EntryId) -> Result<()> {
        let now = self.now();
        self.change(id, |entry| {
            entry.held = false;
            entry.due = now;
        })
        .await
    }

    /// Tries an entry now instead of when it is due. A held one stays held.
    ///
    /// # Errors
    /// As [`hold`](Queue::hold).
    pub async fn retry(&self, id: EntryId) -> Result<()> {
        let now = self.now();
        self.change(id, |entry| entry.due = now).await
    }

    /// Tries everything of a lane now, also if it rests because its hosts could
    /// not be reached; says how many entries were waiting for a later time.
    /// What is held stays held.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn retry_lane(&self, lane: &str) -> Result<u64> {
        let filter = Filter {
            lane: Some(lane.to_owned()),
            held: Some(false),
            ..Filter::default()
        };
        let (mut from, mut count) = (None, 0);
        loop {
            let listing = self.list(&filter, from, PAGE).await?;
            for (id, entry) in listing.entries {
                if entry.due <= self.now() {
                    continue;
                }
                match self.retry(id).await {
                    Ok(()) => count += 1,
                    // It is being tried, or it was.
                    Err(Error::Busy(_) | Error::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            match listing.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        let mut fresh = self.inner.fresh.lock();
        if fresh.wanted {
            fresh.lanes.push(lane.to_owned());
        }
        drop(fresh);
        self.inner.wake.notify_one();
        Ok(count)
    }

    /// Removes an entry; nobody is told.
    ///
    /// # Errors
    /// As [`hold`](Queue::hold).
    pub async fn drop_entry(&self, id: EntryId) -> Result<Entry> {
        let _claim = self.take(id)?;
        let (entry, row) = self.read(id).await?;
        self.settle(id, &entry, &row, &Settled::Gone).await?;
        Ok(entry)
    }

    async fn change(&self, id: EntryId, with: impl FnOnce(&mut Entry)) -> Result<()> {
        let claim = self.take(id)?;
        let (entry, row) = self.read(id).await?;
        let mut new = entry.clone();
        with(&mut new);
        self.settle(id, &entry, &row, &Settled::Waits(Box::new(new)))
            .await?;
        drop(claim);
        self.stir();
        Ok(())
    }

    /// The right to change an entry.
    pub(crate) fn take(&self, id: EntryId) -> Result<Claim> {
        self.claim(id).ok_or(Error::Busy(id))
    }
}
