//! Where blobs are that were put or read lately, so that who reads one need not
//! look up its row: among many rows that costs as much as reading a short blob.
//!
//! Only for reading, and only a hint. A blob's content never changes, and its
//! bytes carry its address and checksums; so what is read at a place that is out
//! of date is either right or an error, and then the row is asked.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::blob::{BlobRow, Place};

/// Blobs in one generation; there are two. Some 1.5 MB each.
const GENERATION: usize = 16_384;

/// What reading a blob needs of its row.
#[derive(Debug, Clone)]
pub(super) struct Located {
    /// Length of the content in bytes.
    pub(super) raw_len: u64,
    /// Whether it is put together from other blobs.
    pub(super) has_parts: bool,
    /// Where its bytes are.
    pub(super) place: Place,
}

impl From<BlobRow> for Located {
    fn from(row: BlobRow) -> Self {
        Located {
            raw_len: row.raw_len,
            has_parts: !row.parts.is_empty(),
            place: row.place,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Places {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// What was used lately goes in here; when it is full, it becomes `old`, and
    /// what was in `old` is forgotten.
    young: HashMap<[u8; 32], Located>,
    old: HashMap<[u8; 32], Located>,
}

impl Places {
    pub(super) fn get(&self, hash: &[u8; 32]) -> Option<Located> {
        let mut known = self.known.lock();
        if let Some(located) = known.young.get(hash) {
            return Some(located.clone());
        }
        let located = known.old.remove(hash)?;
        known.put(*hash, located.clone());
        Some(located)
    }

    pub(super) fn put(&self, hash: [u8; 32], located: &Located) {
        // What is in the row itself is not kept twice.
        if matches!(located.place, Place::Stored { .. }) {
            self.known.lock().put(hash, located.clone());
        }
    }

    /// It is elsewhere now, or nowhere.
    pub(super) fn forget(&self, hash: &[u8; 32]) {
        let mut known = self.known.lock();
        known.young.remove(hash);
        known.old.remove(hash);
    }

    /// Rows were set right: nothing is known any more.
    pub(super) fn forget_all(&self) {
        *self.known.lock() = Known::default();
    }
}

impl Known {
    fn put(&mut self, hash: [u8; 32], located: Located) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&hash);
        self.young.insert(hash, located);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;

    use super::*;

    fn at(offset: u64) -> Located {
        Located {
            raw_len: 5,
            has_parts: false,
            place: Place::Stored {
                file: 1,
                offset,
                len: 9,
                extra: 0,
            },
        }
    }

    fn hash(number: usize) -> [u8; 32] {
        *blake3::hash(&number.to_be_bytes()).as_bytes()
    }

    #[test]
    fn the_latest_is_kept_and_the_oldest_forgotten() {
        let places = Places::default();
        for number in 0..3 * GENERATION {
            places.put(hash(number), &at(number as u64));
            assert!(places.get(&hash(0)).is_some(), "{number}");
        }
        assert!(places.get(&hash(1)).is_none());
        let last = 3 * GENERATION - 1;
        assert_eq!(
            places.get(&hash(last)).unwrap().place,
            at(last as u64).place
        );
        let known = places.known.lock();
        assert!(known.young.len() + known.old.len() <= 2 * GENERATION);
        drop(known);
        places.put(hash(last), &at(7));
        assert_eq!(places.get(&hash(last)).unwrap().place, at(7).place);
        places.forget(&hash(last));
        assert!(places.get(&hash(last)).is_none());
        places.forget_all();
        assert!(places.get(&hash(0)).is_none());
    }

    #[test]
    fn what_is_in_a_row_is_not_kept_twice() {
        let places = Places::default();
        let place = Place::Inline {
            label: Bytes::new(),
            bytes: Bytes::from_static(b"sealed"),
        };
        let inline = Located { place, ..at(0) };
        places.put(hash(1), &inline);
        assert!(places.get(&hash(1)).is_none());
    }
}
