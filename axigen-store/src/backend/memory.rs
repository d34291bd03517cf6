//! A backend and a blob store in memory: for tests, and the shortest example
//! of both traits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::resolve::{reads, resolve};
use super::{Backend, KeyRange, Limits, Maintain, Report, Request, Snapshot};
use crate::batch::{Commit, Key};
use crate::blob::{
    BlobLoc, BlobStore, Dictionaries, Listed, Listing, LiveSet, Note, SealedBlob, SweepOptions,
    SweepReport,
};
use crate::error::{Error, Result};
use crate::page::Page;
use crate::store::clock;

type Rows = BTreeMap<Key, Bytes>;

/// Rows in memory. Gone when it is dropped.
#[derive(Debug, Default)]
pub struct Memory {
    /// A snapshot is a clone of the `Arc`; a commit beside a snapshot copies
    /// the map first.
    rows: RwLock<Arc<Rows>>,
    closed: AtomicBool,
}

impl Memory {
    /// Without rows.
    pub fn new() -> Self {
        Self::default()
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        Ok(())
    }
}

#[async_trait]
impl Backend for Memory {
    fn limits(&self) -> Limits {
        Limits {
            key: 4096,
            value: 16 << 20,
            batch: 32 << 20,
            shared: false,
        }
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        self.check_open()?;
        let rows = self.rows.read();
        Ok(keys.iter().map(|key| rows.get(key).cloned()).collect())
    }

    async fn range(&self, range: &KeyRange, at: Option<&Snapshot>) -> Result<Page> {
        self.check_open()?;
        let rows = match at {
            None => self.rows.read().clone(),
            Some(snapshot) => snapshot
                .downcast::<Arc<Rows>>()
                .ok_or_else(|| Error::Invalid("a snapshot of another backend".into()))?
                .clone(),
        };
        Ok(page(&rows, range))
    }

    async fn commit(&self, group: &[Request]) -> Vec<Result<Commit>> {
        if let Err(error) = self.check_open() {
            return vec![Err(error); group.len()];
        }
        let mut rows = self.rows.write();
        let keys = reads(group);
        let values: Vec<_> = keys.iter().map(|key| rows.get(key).cloned()).collect();
        let resolved = resolve(group, &keys, &values, clock());
        let rows = Arc::make_mut(&mut rows);
        for (from, to) in resolved.ranges {
            let doomed: Vec<Key> = rows.range(from..to).map(|(key, _)| key.clone()).collect();
            for key in doomed {
                rows.remove(&key);
            }
        }
        for (key, value) in resolved.points {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        resolved.outcomes
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        self.check_open()?;
        Ok(Snapshot::new(self.rows.read().clone()))
    }

    async fn maintain(&self, _task: Maintain) -> Result<Report> {
        self.check_open()?;
        Ok(Report::default())
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}

fn page(rows: &Rows, range: &KeyRange) -> Page {
    // BTreeMap::range panics when the start is behind the end.
    if range.from >= range.to || range.limit == 0 {
        return Page::default();
    }
    let all = rows.range(range.from.clone()..range.to.clone());
    let row = |(key, value): (&Key, &Bytes)| {
        let value = if range.keys_only {
            Bytes::new()
        } else {
            value.clone()
        };
        (key.clone(), value)
    };
    let one_more = range.limit.saturating_add(1);
    let mut rows: Vec<(Key, Bytes)> = if range.reverse {
        all.rev().take(one_more).map(row).collect()
    } else {
        all.take(one_more).map(row).collect()
    };
    let next = Page::cut(&mut rows, range.limit, range.reverse);
    Page { rows, next }
}

/// Blobs in memory. Gone when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryBlobs {
    blobs: Mutex<Blobs>,
    dictionaries: Arc<Dictionaries>,
}

#[derive(Debug, Default)]
struct Blobs {
    /// By number, which is what a place is named by.
    kept: BTreeMap<u64, SealedBlob>,
    last: u64,
    notes: Vec<Note>,
}

impl MemoryBlobs {
    /// Without blobs.
    pub fn new() -> Self {
        Self::default()
    }
}

fn loc(number: u64, blob: &SealedBlob) -> BlobLoc {
    BlobLoc {
        hash: blob.hash,
        file: 0,
        offset: number,
        len: blob.bytes.len() as u64,
        extra: 0,
    }
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn put(&self, items: &[SealedBlob]) -> Result<Vec<BlobLoc>> {
        let mut blobs = self.blobs.lock();
        let mut locs = Vec::with_capacity(items.len());
        for item in items {
            blobs.last += 1;
            let number = blobs.last;
            blobs.kept.insert(number, item.clone());
            locs.push(loc(number, item));
        }
        Ok(locs)
    }

    async fn get(&self, loc: &BlobLoc, range: std::ops::Range<u64>) -> Result<Bytes> {
        let blobs = self.blobs.lock();
        let blob = blobs.kept.get(&loc.offset).ok_or(Error::NotFound)?;
        let end = range.end.min(blob.bytes.len() as u64) as usize;
        let start = (range.start as usize).min(end);
        Ok(blob.bytes.slice(start..end))
    }

    async fn delete(&self, locs: &[BlobLoc]) -> Result<()> {
        let mut blobs = self.blobs.lock();
        for loc in locs {
            blobs.kept.remove(&loc.offset);
        }
        Ok(())
    }

    fn dictionaries(&self) -> Arc<Dictionaries> {
        Arc::clone(&self.dictionaries)
    }

    async fn keep_dictionary(&self, bytes: Bytes) -> Result<u16> {
        let number = self.dictionaries.next()?;
        self.dictionaries.add(number, bytes)?;
        Ok(number)
    }

    async fn note(&self, note: &Note) -> Result<()> {
        self.blobs.lock().notes.push(note.clone());
        Ok(())
    }

    async fn sweep(&self, live: &dyn LiveSet, _options: &SweepOptions) -> Result<SweepReport> {
        // Those that no row ever named. What comes from now on is not looked at.
        let all: Vec<BlobLoc> = {
            let blobs = self.blobs.lock();
            blobs.kept.iter().map(|(n, blob)| loc(*n, blob)).collect()
        };
        let wanted = live.live(&all).await?;
        let mut report = SweepReport::default();
        let mut blobs = self.blobs.lock();
        for (loc, _) in all.iter().zip(wanted).filter(|(_, wanted)| !wanted) {
            if blobs.kept.remove(&loc.offset).is_some() {
                report.removed += 1;
                report.freed += loc.len;
            }
        }
        Ok(report)
    }

    async fn list(&self, from: (u64, u64), limit: usize) -> Result<Listing> {
        let blobs = self.blobs.lock();
        let mut rest = blobs.kept.range(from.1..);
        let listed = |(number, blob): (&u64, &SealedBlob)| Listed {
            loc: loc(*number, blob),
            raw_len: blob.raw_len,
            label: blob.label.clone(),
        };
        Ok(Listing {
            blobs: rest.by_ref().take(limit).map(listed).collect(),
            deleted: Vec::new(),
            // All of them on the first page.
            notes: match from {
                (0, 0) => blobs.notes.clone(),
                _ => Vec::new(),
            },
            next: rest.next().map(|(number, _)| (0, *number)),
        })
    }

    async fn held(&self) -> Result<u64> {
        let blobs = self.blobs.lock();
        Ok(blobs.kept.values().map(|b| b.bytes.len() as u64).sum())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
