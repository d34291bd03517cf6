//! What a store did since it was opened.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::backend::Written;

/// Counters since opening, for measurements and monitoring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stat {
    /// What the backend wrote.
    pub meta: Written,
    /// What the blob store wrote.
    pub blobs: Written,
    /// Batches done.
    pub batches: u64,
    /// Groups the batches went in.
    pub commit_groups: u64,
    /// Most batches in one group.
    pub largest_commit_group: u64,
    /// Blobs given to put.
    pub puts: u64,
    /// Of these, how many were in the store already.
    pub known: u64,
    /// Of these, how many were short enough to ride in their row.
    pub inline: u64,
    /// Groups the others went in.
    pub put_groups: u64,
    /// Most blobs in one group.
    pub largest_put_group: u64,
    /// Damaged blobs that a [scrub](crate::Store::scrub) found.
    pub damaged: u64,
}

/// The counters behind [`Stat`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) batches: AtomicU64,
    pub(super) commit_groups: AtomicU64,
    pub(super) largest_commit_group: AtomicU64,
    pub(super) puts: AtomicU64,
    pub(super) known: AtomicU64,
    pub(super) inline: AtomicU64,
    pub(super) put_groups: AtomicU64,
    pub(super) largest_put_group: AtomicU64,
    pub(super) damaged: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self, meta: Written, blobs: Written) -> Stat {
        Stat {
            meta,
            blobs,
            batches: self.batches.load(Relaxed),
            commit_groups: self.commit_groups.load(Relaxed),
            largest_commit_group: self.largest_commit_group.load(Relaxed),
            puts: self.puts.load(Relaxed),
            known: self.known.load(Relaxed),
            inline: self.inline.load(Relaxed),
            put_groups: self.put_groups.load(Relaxed),
            largest_put_group: self.largest_put_group.load(Relaxed),
            damaged: self.damaged.load(Relaxed),
        }
    }
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Relaxed);
}
