//! What an administrator does with the queue, as library calls: hold, release,
//! retry, drop, one entry or many in one batch. What sends a notice too is in
//! [`Delivery`](crate::delivery::Delivery::bounce); what only looks is in
//! [`list`](super::list).
//!
//! All of it works on entries as they are on disk, also while nothing is sent.
//! An entry that is being sent at this moment cannot be changed
//! ([`Error::Busy`]): what the other host is about to decide would be lost.

use std::collections::BTreeSet;

use axigen_store::AccountId;
use bytes::Bytes;
use jiff::Timestamp;

use super::entry::{Entry, EntryId};
use super::list::{Filter, PAGE};
use super::{Claim, Error, Queue, Result, Settled, keys};

/// Entries that are read to see whether there is one.
const FEW: usize = 20;

/// What is done to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is not tried until it is released. It expires neither.
    Hold,
    /// What was held is tried, at once.
    Release,
    /// It is tried now instead of when it is due. A held one stays held.
    Retry,
    /// It is removed; nobody is told.
    Drop,
}

impl Change {
    /// What becomes of an entry.
    fn apply(self, entry: &Entry, now: Timestamp) -> Settled {
        let mut new = entry.clone();
        match self {
            Change::Hold => new.held = true,
            Change::Release => {
                new.held = false;
                new.due = now;
            }
            Change::Retry => new.due = now,
            Change::Drop => return Settled::Gone,
        }
        Settled::Waits(Box::new(new))
    }

    /// Whether there is nothing to do.
    fn is_done(self, entry: &Entry) -> bool {
        match self {
            Change::Hold => entry.held,
            Change::Release => !entry.held,
            Change::Retry | Change::Drop => false,
        }
    }
}

/// An entry that is to be changed, as it was read.
struct Taken {
    id: EntryId,
    entry: Entry,
    row: Bytes,
    settled: Settled,
    _claim: Claim,
}

impl Queue {
    /// Keeps an entry from being tried until it is released. It expires
    /// neither.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Busy`], [`Error::Store`].
    pub async fn hold(&self, id: EntryId) -> Result<()> {
        self.change(id, Change::Hold).await.map(drop)
    }

    /// Lets a held entry be tried, at once.
    ///
    /// # Errors
    /// As [`hold`](Queue::hold).
    pub async fn release(&self, id: EntryId) -> Result<()> {
        self.change(id, Change::Release).await.map(drop)
    }

    /// Tries an entry now instead of when it is due, also if its lane rests. A
    /// held one stays held.
    ///
    /// # Errors
    /// As [`hold`](Queue::hold).
    pub async fn retry(&self, id: EntryId) -> Result<()> {
        self.change(id, Change::Retry).await.map(drop)
    }

    /// Removes an entry; nobody is told.
    ///
    /// # Errors
    /// As [`hold`](Queue::hold).
    pub async fn drop_entry(&self, id: EntryId) -> Result<Entry> {
        self.change(id, Change::Drop).await
    }

    /// Changes an entry; gives it as it was.
    ///
    /// # Errors
    /// As [`hold`](Queue::hold).
    pub async fn change(&self, id: EntryId, change: Change) -> Result<Entry> {
        let changed = self.change_all(&[id], change).await?;
        let (_, changed) = changed.into_iter().next().ok_or(Error::NotFound(id))?;
        changed
    }

    /// Changes entries in one batch: all of those that are there and that nobody
    /// sends at this moment. Gives each as it was, or why it was left alone, in
    /// their order.
    ///
    /// # Errors
    /// [`Error::Store`]; nothing was changed then.
    pub async fn change_all(
        &self,
        ids: &[EntryId],
        change: Change,
    ) -> Result<Vec<(EntryId, Result<Entry>)>> {
        let changed = self.changed(ids, change).await;
        // Also what was left as it is: who dispatches may have passed it by.
        self.stir();
        changed
    }

    async fn changed(
        &self,
        ids: &[EntryId],
        change: Change,
    ) -> Result<Vec<(EntryId, Result<Entry>)>> {
        let now = self.now();
        // Named twice, it is changed once.
        let mut named = BTreeSet::new();
        let ids: Vec<EntryId> = ids.iter().copied().filter(|id| named.insert(*id)).collect();
        let claims: Vec<Option<Claim>> = ids.iter().map(|id| self.claim(*id)).collect();
        let wanted: Vec<_> = ids.iter().map(|id| keys::entry(*id)).collect();
        let rows = self.inner.store.get(AccountId::SYSTEM, &wanted).await?;
        let mut taken = Vec::with_capacity(ids.len());
        for ((id, claim), row) in ids.iter().copied().zip(claims).zip(rows) {
            taken.push(match (claim, row) {
                (None, _) => Err((id, Error::Busy(id))),
                (_, None) => Err((id, Error::NotFound(id))),
                (Some(claim), Some(row)) => match Entry::decode(id, &row) {
                    Ok(entry) => Ok(Taken {
                        id,
                        settled: change.apply(&entry, now),
                        entry,
                        row,
                        _claim: claim,
                    }),
                    Err(error) => Err((id, error)),
                },
            });
        }
        let (mut ops, mut asserts) = (Vec::new(), Vec::new());
        for taken in taken.iter().flatten() {
            if change.is_done(&taken.entry) {
                continue;
            }
            let (some, unchanged) =
                self.settling(taken.id, &taken.entry, &taken.row, &taken.settled)?;
            ops.extend(some);
            asserts.push(unchanged);
        }
        if !ops.is_empty() {
            self.commit(ops, asserts).await?;
        }
        if change == Change::Drop {
            for taken in taken.iter().flatten() {
                self.left(&taken.entry, &taken.settled);
            }
        }
        let mut lanes = BTreeSet::new();
        let done = taken.into_iter().map(|taken| match taken {
            Ok(taken) => {
                if change == Change::Retry && !taken.entry.held {
                    lanes.insert(taken.entry.lane.clone());
                }
                (taken.id, Ok(taken.entry))
            }
            Err((id, error)) => (id, Err(error)),
        });
        let done = done.collect();
        self.wake_lanes(lanes);
        Ok(done)
    }

    /// Tries everything of a lane now, also if it rests because its hosts could
    /// not be reached; says how many entries were waiting for a later time.
    /// What is held stays held. Costs what the lane holds.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn retry_lane(&self, lane: &str) -> Result<u64> {
        // What is parked comes back with the lane.
        let (mut from, mut count) = (None, 0);
        loop {
            let page = self.list(&of_lane(lane), from, PAGE).await?;
            let now = self.now();
            let later = page.entries.iter();
            let later = later.filter(|listed| !listed.entry.held && listed.entry.due > now);
            let ids: Vec<EntryId> = later.map(|listed| listed.id).collect();
            if !ids.is_empty() {
                // What is left alone is being tried, or it was.
                let changed = self.change_all(&ids, Change::Retry).await?;
                count += changed.iter().filter(|(_, done)| done.is_ok()).count() as u64;
            }
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        self.wake_lane(lane);
        Ok(count)
    }

    /// Whether anything waits for a lane that nobody holds.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn is_waiting(&self, lane: &str) -> Result<bool> {
        let mut from = None;
        loop {
            let page = self.list(&of_lane(lane), from, FEW).await?;
            if page.entries.iter().any(|listed| !listed.entry.held) {
                return Ok(true);
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(false),
            }
        }
    }

    /// Lets a lane be tried that rests because its hosts could not be reached;
    /// what failed before is forgotten.
    pub fn wake_lane(&self, lane: &str) {
        self.wake_lanes(BTreeSet::from([lane.to_owned()]));
    }

    fn wake_lanes(&self, lanes: BTreeSet<String>) {
        let mut fresh = self.inner.fresh.lock();
        if fresh.wanted {
            fresh.lanes.extend(lanes);
        }
        drop(fresh);
        self.inner.wake.notify_one();
    }
}

fn of_lane(lane: &str) -> Filter {
    Filter {
        lane: Some(lane.to_owned()),
        ..Filter::default()
    }
}
