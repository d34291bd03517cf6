//! Blobs that were put and that no durable batch retains yet.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::blob::{BlobRef, BlobRow, Place};

/// How long a blob waits for the batch that retains it. Long enough for any
/// transaction; a writer that gave up must not hold memory for ever.
const WAIT: Duration = Duration::from_secs(3600);
/// How many may wait before the forgotten ones are looked for.
const MANY: usize = 4096;

/// See the module. While a blob is here it is not swept: its writer was told
/// that it is in the store, or is about to be, or a blob that waits here is
/// put together from it.
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
    /// How many puts are under way that bring it.
    puts: u32,
    /// Of how many blobs here it is a piece.
    wholes: u32,
    /// A writer was told that it is in the store, and may retain it.
    promised: bool,
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

/// What a put holds, until it ends.
#[derive(Debug)]
pub(super) struct Hold<'a> {
    pending: &'a Pending,
    hashes: Vec<[u8; 32]>,
}

impl Hold<'_> {
    /// Holds one more: from now on it is not swept.
    pub(super) fn add(&mut self, hash: &[u8; 32]) -> Known {
        self.hashes.push(*hash);
        self.pending.hold(hash)
    }

    /// Ends with the promise that these are in the store.
    pub(super) fn promise(self, blobs: &[BlobRef]) {
        let mut table = self.pending.blobs.lock();
        for blob in blobs {
            if let Some(held) = table.held.get_mut(&blob.hash) {
                held.promised = true;
            }
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut table = self.pending.blobs.lock();
        for hash in &self.hashes {
            if let Some(held) = table.held.get_mut(hash) {
                held.puts = held.puts.saturating_sub(1);
                table.drop_unneeded(*hash);
            }
        }
    }
}

impl Pending {
    /// The row that a blob will get.
    pub(super) fn get(&self, hash: &[u8; 32]) -> Option<BlobRow> {
        self.blobs.lock().held.get(hash)?.row.clone()
    }

    /// For a put that begins.
    pub(super) fn begin(&self) -> Hold<'_> {
        self.blobs.lock().clean();
        Hold {
            pending: self,
            hashes: Vec::new(),
        }
    }

    fn hold(&self, hash: &[u8; 32]) -> Known {
        let mut table = self.blobs.lock();
        let condemned = table.condemned.contains(hash);
        let held = table.held(hash);
        held.since = Instant::now();
        held.puts += 1;
        match held.row {
            Some(_) => Known::Yes,
            None if condemned => Known::No,
            None => Known::Ask,
        }
    }

    /// These are durable and will get these rows. All at once: a blob that is
    /// known has its pieces known. What no put brings any more is not kept.
    pub(super) fn insert(&self, rows: Vec<([u8; 32], BlobRow)>) {
        let mut table = self.blobs.lock();
        let hashes: Vec<[u8; 32]> = rows.iter().map(|(hash, _)| *hash).collect();
        for (hash, row) in rows {
            for part in &row.parts {
                table.held(part).wholes += 1;
            }
            let before = table.held(&hash).row.replace(row);
            table.part_from(before);
        }
        for hash in hashes {
            table.drop_unneeded(hash);
        }
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

    /// A durable batch retained them: their rows are in the backend, and those
    /// of their pieces.
    pub(super) fn settle<'a>(&self, hashes: impl Iterator<Item = &'a [u8; 32]>) {
        let mut table = self.blobs.lock();
        for hash in hashes {
            if let Some(held) = table.held.get_mut(hash) {
                held.promised = false;
                let row = held.row.take();
                table.part_from(row);
                table.drop_unneeded(*hash);
            }
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
    fn held(&mut self, hash: &[u8; 32]) -> &mut Held {
        self.held.entry(*hash).or_insert_with(|| Held {
            row: None,
            since: Instant::now(),
            puts: 0,
            wholes: 0,
            promised: false,
        })
    }

    /// A row that named its pieces is here no more.
    fn part_from(&mut self, row: Option<BlobRow>) {
        for part in row.map(|row| row.parts).unwrap_or_default() {
            if let Some(held) = self.held.get_mut(&part) {
                held.wholes = held.wholes.saturating_sub(1);
                self.drop_unneeded(part);
            }
        }
    }

    fn drop_unneeded(&mut self, hash: [u8; 32]) {
        let Some(held) = self.held.get(&hash) else {
            return;
        };
        if held.puts == 0 && held.wholes == 0 && !held.promised {
            let held = self.held.remove(&hash);
            self.part_from(held.and_then(|held| held.row));
        }
    }

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
        let mut late = Vec::new();
        for (hash, held) in &mut self.held {
            if held.promised && now.duration_since(held.since) >= wait {
                held.promised = false;
                late.push(*hash);
            }
        }
        for hash in late {
            self.drop_unneeded(hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn row(parts: &[[u8; 32]]) -> BlobRow {
        BlobRow {
            refs: 0,
            zero_since: 0,
            raw_len: 1,
            own_len: 1,
            parts: parts.to_vec(),
            place: Place::Inline {
                label: Bytes::new(),
                bytes: Bytes::new(),
            },
        }
    }

    fn blob(hash: [u8; 32]) -> BlobRef {
        BlobRef { hash, len: 1 }
    }

    const WHOLE: [u8; 32] = [1; 32];
    const PIECE: [u8; 32] = [2; 32];

    #[test]
    fn what_is_held_is_not_condemned_and_what_is_condemned_is_written_anew() {
        let pending = Pending::default();
        let mut hold = pending.begin();
        assert_eq!(hold.add(&WHOLE), Known::Ask);
        assert!(!pending.condemn(&WHOLE));
        pending.settle([WHOLE].iter());
        assert!(!pending.condemn(&WHOLE), "the put goes on");
        hold.promise(&[blob(WHOLE)]);
        assert!(!pending.condemn(&WHOLE), "promised");
        pending.settle([WHOLE].iter());
        assert!(pending.condemn(&WHOLE));
        let mut hold = pending.begin();
        assert_eq!(hold.add(&WHOLE), Known::No);
        pending.acquit(&WHOLE);
        assert!(!pending.condemn(&WHOLE));
        drop(hold);
        assert!(pending.condemn(&WHOLE));
    }

    #[test]
    fn pieces_are_held_as_long_as_a_blob_waits_that_has_them() {
        let pending = Pending::default();
        let mut hold = pending.begin();
        hold.add(&WHOLE);
        hold.add(&PIECE);
        pending.insert(vec![(WHOLE, row(&[PIECE])), (PIECE, row(&[]))]);
        hold.promise(&[blob(WHOLE)]);
        assert!(pending.get(&PIECE).is_some());
        // Brought once more, in another form.
        let mut other = pending.begin();
        assert_eq!(other.add(&WHOLE), Known::Yes);
        pending.insert(vec![(WHOLE, row(&[]))]);
        assert!(pending.get(&PIECE).is_none());
        pending.settle([WHOLE].iter());
        other.promise(&[blob(WHOLE)]);
        pending.settle([WHOLE].iter());
        assert!(pending.blobs.lock().held.is_empty());
    }

    #[test]
    fn what_nobody_waits_for_is_let_go() {
        let pending = Pending::default();
        let mut hold = pending.begin();
        hold.add(&WHOLE);
        hold.add(&PIECE);
        drop(hold);
        // Its writer went away meanwhile.
        pending.insert(vec![(WHOLE, row(&[PIECE])), (PIECE, row(&[]))]);
        assert!(pending.blobs.lock().held.is_empty());
        let mut hold = pending.begin();
        hold.add(&WHOLE);
        pending.insert(vec![(WHOLE, row(&[PIECE])), (PIECE, row(&[]))]);
        hold.promise(&[blob(WHOLE)]);
        pending.blobs.lock().expire(Duration::from_secs(9));
        assert_eq!(pending.blobs.lock().held.len(), 2);
        pending.blobs.lock().expire(Duration::ZERO);
        assert!(pending.blobs.lock().held.is_empty());
    }
}
