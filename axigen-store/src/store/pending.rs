//! Blobs that were put and that no durable batch retains yet.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::blob::{BlobRow, Place};

/// How long a blob waits for the batch that retains it. Long enough for any
/// transaction; a writer that gave up must not hold memory for ever.
const WAIT: Duration = Duration::from_secs(3600);
/// How many may wait before the forgotten ones are looked for.
const MANY: usize = 4096;

/// See the module. While a blob is here it is not swept: its writer was told
/// that it is in the store.
#[derive(Debug, Default)]
pub(super) struct Pending {
    blobs: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    held: HashMap<[u8; 32], Held>,
    /// About to be forgotten: whoever puts one of these writes it anew.
    condemned: HashSet<[u8; 32]>,
    /// Being written: in the blob store perhaps, and not yet held.
    arriving: HashSet<[u8; 32]>,
    cleaned: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    /// Its row, if it may have none in the backend.
    row: Option<BlobRow>,
    since: Instant,
    /// How many hold it.
    times: u32,
}

/// What is known of a blob that is being put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It was put and waits for its row.
    Yes,
    /// The backend knows; what it says stays true.
    Ask,
    /// It is not in the store, or will not be for long.
    No,
}

impl Pending {
    /// The row that a blob will get.
    pub(super) fn get(&self, hash: &[u8; 32]) -> Option<BlobRow> {
        self.blobs.lock().held.get(hash)?.row.clone()
    }

    /// Holds a blob: from now on it is not swept.
    pub(super) fn hold(&self, hash: &[u8; 32]) -> Known {
        let mut table = self.blobs.lock();
        table.clean();
        let condemned = table.condemned.contains(hash);
        let now = Instant::now();
        let held = table.held.entry(*hash).or_insert(Held {
            row: None,
            since: now,
            times: 0,
        });
        held.since = now;
        held.times += 1;
        match held.row {
            Some(_) => Known::Yes,
            None if condemned => Known::No,
            None => Known::Ask,
        }
    }

    /// Whoever held it does not need it after all.
    pub(super) fn let_go(&self, hash: &[u8; 32]) {
        let mut table = self.blobs.lock();
        if let Some(held) = table.held.get_mut(hash) {
            held.times = held.times.saturating_sub(1);
            // Nobody was told of it, or will retain it.
            if held.times == 0 {
                table.held.remove(hash);
            }
        }
    }

    /// It is durable and will get this row.
    pub(super) fn insert(&self, hash: [u8; 32], row: BlobRow) {
        let mut table = self.blobs.lock();
        table.clean();
        let since = Instant::now();
        let times = table.held.get(&hash).map_or(1, |held| held.times);
        let row = Some(row);
        table.held.insert(hash, Held { row, since, times });
    }

    /// The blob store begins to write these.
    pub(super) fn arrive(&self, hashes: impl Iterator<Item = [u8; 32]>) {
        self.blobs.lock().arriving.extend(hashes);
    }

    /// Those were written, or not.
    pub(super) fn arrived(&self) {
        self.blobs.lock().arriving.clear();
    }

    /// Whether it is being written.
    pub(super) fn arrives(&self, hash: &[u8; 32]) -> bool {
        self.blobs.lock().arriving.contains(hash)
    }

    /// A durable batch retained them: their rows are in the backend.
    pub(super) fn settle<'a>(&self, hashes: impl Iterator<Item = &'a [u8; 32]>) {
        let mut table = self.blobs.lock();
        for hash in hashes {
            table.held.remove(hash);
        }
    }

    /// Forgets those whose writer gave up.
    pub(super) fn expire(&self) {
        self.blobs.lock().expire(WAIT);
    }

    /// Condemns a blob to be forgotten, unless somebody holds it.
    pub(super) fn condemn(&self, hash: &[u8; 32]) -> bool {
        let mut table = self.blobs.lock();
        !table.held.contains_key(hash) && table.condemned.insert(*hash)
    }

    /// It is forgotten, or after all not.
    pub(super) fn acquit(&self, hash: &[u8; 32]) {
        self.blobs.lock().condemned.remove(hash);
    }

    /// Adds the bytes of those that wait for their rows, by file.
    pub(super) fn count(&self, files: &mut BTreeMap<u64, u64>) {
        for held in self.blobs.lock().held.values() {
            if let Some((file, bytes)) = held.row.as_ref().and_then(|row| row.place.held()) {
                let sum = files.entry(file).or_default();
                *sum = sum.saturating_add(bytes);
            }
        }
    }

    /// Its bytes are elsewhere.
    pub(super) fn relocate(&self, hash: &[u8; 32], from: &Place, to: &Place) {
        if let Some(held) = self.blobs.lock().held.get_mut(hash)
            && let Some(row) = &mut held.row
            && row.place == *from
        {
            row.place = to.clone();
        }
    }
}

impl Table {
    /// Now and then, if there are many.
    fn clean(&mut self) {
        let due = |at: Instant| at.elapsed() > WAIT / 60;
        if self.held.len() >= MANY && self.cleaned.is_none_or(due) {
            self.expire(WAIT);
        }
    }

    fn expire(&mut self, wait: Duration) {
        let now = Instant::now();
        self.cleaned = Some(now);
        self.held
            .retain(|_, held| now.duration_since(held.since) < wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_not_condemned_and_what_is_condemned_is_not_held() {
        let pending = Pending::default();
        assert_eq!(pending.hold(&[1; 32]), Known::Ask);
        assert!(!pending.condemn(&[1; 32]));
        pending.settle([[1; 32]].iter());
        assert!(pending.condemn(&[1; 32]));
        assert_eq!(pending.hold(&[1; 32]), Known::No);
        pending.acquit(&[1; 32]);
        assert_eq!(pending.hold(&[1; 32]), Known::Ask);
        assert_eq!(pending.hold(&[1; 32]), Known::Ask);
        pending.let_go(&[1; 32]);
        // Also who was told that it goes holds it.
        pending.let_go(&[1; 32]);
        assert!(!pending.condemn(&[1; 32]));
        pending.let_go(&[1; 32]);
        assert!(pending.condemn(&[1; 32]));
    }
}
