//! Blobs that were put and that no durable batch retains yet.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::blob::BlobRow;

/// How long a blob waits for the batch that retains it. Long enough for any
/// transaction; a writer that gave up must not hold memory for ever.
const WAIT: Duration = Duration::from_secs(3600);
/// How many may wait before the forgotten ones are looked for.
const MANY: usize = 4096;

/// See the module. While a blob is here it must not be swept: its writer was
/// told that it is in the store.
#[derive(Debug, Default)]
pub(super) struct Pending {
    blobs: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    rows: HashMap<[u8; 32], (BlobRow, Instant)>,
    swept: Option<Instant>,
}

impl Pending {
    pub(super) fn get(&self, hash: &[u8; 32]) -> Option<BlobRow> {
        self.blobs.lock().rows.get(hash).map(|(row, _)| row.clone())
    }

    pub(super) fn insert(&self, hash: [u8; 32], row: BlobRow) {
        let now = Instant::now();
        let mut table = self.blobs.lock();
        if table.rows.len() >= MANY
            && table
                .swept
                .is_none_or(|at| now.duration_since(at) > WAIT / 60)
        {
            table.swept = Some(now);
            table
                .rows
                .retain(|_, (_, since)| now.duration_since(*since) < WAIT);
        }
        table.rows.insert(hash, (row, now));
    }

    /// A durable batch retained them: their rows are in the backend.
    pub(super) fn settle<'a>(&self, hashes: impl Iterator<Item = &'a [u8; 32]>) {
        let mut table = self.blobs.lock();
        for hash in hashes {
            table.rows.remove(hash);
        }
    }
}
