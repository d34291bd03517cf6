//! Giving back the space of blobs that nothing refers to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use parking_lot::Mutex;

use super::line::{Line, wait};
use super::{Shared, Store, clock};
use crate::backend::{KeyRange, Request, Upkeep, key};
use crate::batch::{Batch, Commit};
use crate::blob::{BlobLoc, BlobRow, LiveSet, Place, SweepOptions, SweepReport};
use crate::error::{Error, Result};

/// Blobs forgotten at a time.
const BATCH: usize = 256;
/// What is read and written before the rate is looked at, in bytes.
const STRIDE: u64 = 1 << 20;

impl Store {
    /// Forgets blobs whose last reference went longer ago than
    /// [`SweepOptions::grace`], and has the blob store give
    /// back their space and that of blobs no batch ever retained. Beside
    /// everything else, no faster than [`SweepOptions::rate`].
    /// The store does this by itself every
    /// [`Options::upkeep`](super::Options::upkeep).
    ///
    /// # Errors
    /// Those of the backend and the blob store. Nothing is lost by one; the
    /// next sweep goes on.
    pub async fn sweep(&self, options: SweepOptions) -> Result<SweepReport> {
        self.inner.shared.health.writable()?;
        let sweeper = self.sweeper(&options);
        let work = tokio::task::spawn_blocking(move || wait(sweeper.run(&options)));
        work.await
            .map_err(|error| Error::io("sweeping", std::io::Error::other(error)))?
    }

    /// [`Store::sweep`] where the caller stands.
    pub(super) fn sweep_here(&self, options: &SweepOptions) -> Result<SweepReport> {
        self.inner.shared.health.writable()?;
        let sweeper = self.sweeper(options);
        wait(sweeper.run(options))
    }

    fn sweeper(&self, options: &SweepOptions) -> Sweeper {
        Sweeper {
            shared: Arc::clone(&self.inner.shared),
            commits: Arc::clone(&self.inner.commits),
            grace: options.grace,
            rate: options.rate.max(1),
            pace: Mutex::new((Instant::now(), 0)),
        }
    }
}

struct Sweeper {
    shared: Arc<Shared>,
    commits: Arc<Line<Request, Commit>>,
    grace: Duration,
    rate: u64,
    /// Since when how many bytes.
    pace: Mutex<(Instant, u64)>,
}

impl Sweeper {
    async fn run(&self, options: &SweepOptions) -> Result<SweepReport> {
        // Whoever stops waiting for a sweep does not end it.
        let _turn = self.shared.sweeping.lock().await;
        self.shared.pending.expire();
        let forgotten = self.forget().await?;
        let mut report = self.shared.blobs.sweep(self, options).await?;
        report.forgotten = forgotten;
        if report.removed > 0 || report.moved > 0 {
            tracing::info!(?report, "gave space back");
        }
        Ok(report)
    }

    /// Removes the rows of blobs that nothing has referred to for long enough.
    async fn forget(&self) -> Result<u64> {
        let shared = &self.shared;
        let until = clock().saturating_sub(self.grace.as_secs());
        let (from, _) = key::all(b'g');
        let mut range = KeyRange {
            from,
            to: key::grave(until.saturating_add(1), &[0; 32]),
            limit: BATCH,
            reverse: false,
            keys_only: true,
        };
        let mut forgotten = 0;
        loop {
            shared.health.writable()?;
            let page = shared.backend.range(&range, None).await?;
            let graves: Vec<(u64, [u8; 32])> =
                page.rows.iter().filter_map(|(key, _)| grave(key)).collect();
            let keys: Vec<_> = graves.iter().map(|(_, hash)| key::blob(hash)).collect();
            let rows = shared.backend.get(&keys).await?;
            let mut asked = Vec::new();
            for ((since, hash), row) in graves.into_iter().zip(rows) {
                let Some(row) = row.as_ref().map(BlobRow::decode).transpose()? else {
                    continue;
                };
                if row.refs == 0 && row.zero_since == since && shared.pending.condemn(&hash) {
                    asked.push((hash, row));
                }
            }
            // A backup has the rows and what is noted of them as of one moment.
            let _moment = shared.moment.lock().await;
            let done = join_all(asked.iter().map(|(hash, row)| {
                let upkeep = Upkeep::Forget {
                    hash: *hash,
                    row: row.clone(),
                };
                self.commits.ask(request(vec![upkeep]), 100)
            }))
            .await;
            let mut gone = Vec::new();
            let mut failed = None;
            for ((hash, row), done) in asked.iter().zip(done) {
                shared.pending.acquit(hash);
                match done {
                    Ok(_) => {
                        forgotten += 1;
                        gone.extend(row.place.loc(hash));
                    }
                    // It is referred to again.
                    Err(Error::Conflict { .. }) => {}
                    Err(error) => failed = Some(error),
                }
            }
            if !gone.is_empty() {
                shared.blobs.delete(&gone).await?;
            }
            if let Some(error) = failed {
                return Err(error);
            }
            match page.next {
                Some(next) => range.from = next,
                None => return Ok(forgotten),
            }
        }
    }
}

#[async_trait]
impl LiveSet for Sweeper {
    async fn by_file(&self) -> Result<BTreeMap<u64, u64>> {
        // Those that wait first: they move to the rows. Counting one twice
        // keeps a file, missing one would not.
        let mut files = BTreeMap::new();
        self.shared.pending.count(&mut files);
        for (file, bytes) in self.shared.by_file().await? {
            let sum: &mut u64 = files.entry(file).or_default();
            *sum = sum.saturating_add(bytes);
        }
        Ok(files)
    }

    async fn live(&self, locs: &[BlobLoc]) -> Result<Vec<bool>> {
        // In this order: what is being written comes to wait for its row, and
        // from there it moves to the backend.
        let pending = &self.shared.pending;
        let arriving: Vec<bool> = locs.iter().map(|loc| pending.arrives(&loc.hash)).collect();
        let pending: Vec<Option<BlobRow>> = locs.iter().map(|loc| pending.get(&loc.hash)).collect();
        let keys: Vec<_> = locs.iter().map(|loc| key::blob(&loc.hash)).collect();
        let rows = self.shared.backend.get(&keys).await?;
        let names = |row: &BlobRow, loc: &BlobLoc| match row.place {
            Place::Stored { file, offset, .. } => (file, offset) == (loc.file, loc.offset),
            Place::Inline { .. } => false,
        };
        let mut live = Vec::with_capacity(locs.len());
        for (((loc, arriving), pending), row) in locs.iter().zip(arriving).zip(pending).zip(rows) {
            let row = row.as_ref().map(BlobRow::decode).transpose()?;
            let named = [pending, row].iter().flatten().any(|row| names(row, loc));
            live.push(arriving || named);
        }
        Ok(live)
    }

    async fn known(&self, hashes: &[[u8; 32]]) -> Result<Vec<bool>> {
        let pending = &self.shared.pending;
        let mut known: Vec<bool> = hashes
            .iter()
            .map(|hash| pending.arrives(hash) || pending.get(hash).is_some())
            .collect();
        let keys: Vec<_> = hashes.iter().map(key::blob).collect();
        let rows = self.shared.backend.get(&keys).await?;
        for (known, row) in known.iter_mut().zip(rows) {
            *known |= row.is_some();
        }
        Ok(known)
    }

    async fn moved(&self, moves: Vec<(BlobLoc, BlobLoc)>) -> Result<()> {
        let upkeep: Vec<Upkeep> = moves
            .iter()
            .map(|(from, to)| Upkeep::Move {
                hash: from.hash,
                from: Place::of(from),
                to: Place::of(to),
            })
            .collect();
        let bytes = upkeep.len() * 100;
        self.commits.ask(request(upkeep), bytes).await?;
        Ok(())
    }

    fn may_remove(&self) -> bool {
        self.shared.pins.load(Acquire) == 0
    }

    async fn pace(&self, bytes: u64) -> Result<()> {
        self.shared.health.writable()?;
        let pause = {
            let mut pace = self.pace.lock();
            pace.1 += bytes;
            if pace.1 < STRIDE {
                return Ok(());
            }
            let wanted = pace.1 as f64 / self.rate as f64;
            let taken = pace.0.elapsed().as_secs_f64();
            *pace = (Instant::now(), 0);
            wanted - taken
        };
        if pause > 0.0 {
            // This thread is the sweep's own.
            std::thread::sleep(Duration::from_secs_f64(pause.min(10.0)));
        }
        Ok(())
    }
}

impl Shared {
    /// Bytes that rows name, by file.
    pub(super) async fn by_file(&self) -> Result<BTreeMap<u64, u64>> {
        let mut files = BTreeMap::new();
        self.each_own(b'f', None, |key, count| {
            let number = key::rest(&key).try_into().map(u64::from_be_bytes);
            let count = count[..].try_into().map(i64::from_be_bytes);
            let (Ok(number), Ok(count)) = (number, count) else {
                return Err(Error::Corrupt("the count of a file".into()));
            };
            // Less than nothing is wrong, and no reason to remove anything.
            files.insert(number, u64::try_from(count).unwrap_or(u64::MAX));
            Ok(())
        })
        .await?;
        Ok(files)
    }
}

/// Time and blob of a grave's key.
pub(super) fn grave(key: &bytes::Bytes) -> Option<(u64, [u8; 32])> {
    let (since, hash) = key::rest(key).split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*since), hash.try_into().ok()?))
}

fn request(upkeep: Vec<Upkeep>) -> Request {
    Request {
        upkeep,
        ..Request::from(Batch::default())
    }
}
