//! The store, above any backend: group commit, sequence numbers, single
//! instance, compression, changes announced.
//!
//! Two threads of its own form the pipeline of a write: the first takes all
//! blobs that wait, has them appended and synced once; the second takes all
//! batches that wait, has them resolved, written and synced once. One works on
//! the next group while the other syncs this one. A group is whatever came while
//! the last one was on its way to the disk; nothing waits for a timer but what
//! says that it has the time ([`Store::commit_patiently`]).

mod adopt;
mod backup;
mod check;
mod companion;
mod cut;
mod engine;
mod line;
pub(crate) mod migrate;
mod note;
mod open;
mod pending;
mod places;
mod put;
mod read;
mod reading;
mod rows;
mod salvage;
mod scrub;
mod space;
mod stage;
mod stat;
mod sweep;
mod train;
mod upkeep;
mod verify;
mod watch;

use std::collections::BTreeSet;
use std::ops;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::backend::{
    Backend, KeyRange, Limits, Maintain, Memory, Report, Request, Snapshot, Upkeep as OwnRows, key,
    memory,
};
use crate::batch::{AccountId, Batch, Commit, Key, Op};
use crate::blob::{BlobRef, BlobRow, BlobStore, Dictionaries, Stretch, SweepOptions};
use crate::error::{Error, Result};
use crate::page::{Page, Range};

use companion::Companions;
use line::{Health, Line, Watchdog, wait};
use pending::Pending;
use places::Places;
use stat::{Counters, add};
use upkeep::Upkeep;
use watch::Watchers;

pub use backup::{
    Backup, BackupCheck, BackupOptions, BackupProgress, BackupStage, RestoreOptions, Restored,
};
pub use engine::Engine;
pub use reading::{PIECE, Reading};
pub use salvage::{Salvage, SalvageReport};
pub use scrub::{ScrubOptions, ScrubReport, Scrubbed};
pub use space::Space;
pub use stat::Stat;
pub use train::{TrainOptions, Trained};
pub use verify::{Problem, References, VerifyReport};
pub use watch::{AllWatcher, Change, SomeWatcher, Watcher};

/// Rows in one page of a scan.
const SCAN: usize = 1024;

/// A durable store. Cheap to clone; all clones are one store.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// How a store is opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Which engine holds the rows of a new store; one that is there keeps its
    /// own. [`Engine::Fjall`].
    pub engine: Engine,
    /// Memory for rows read from disk, in bytes. 64 MB.
    pub cache: u64,
    /// A pack file is ended at this length in bytes. 256 MB.
    pub pack: u64,
    /// With less room than this on the device, in bytes, no blob is written:
    /// [`Error::Full`]. With less than half of it no batch is done that adds
    /// references to blobs, and with less than an eighth none at all. So what
    /// is written always finds its place, and what is full can be emptied.
    /// 64 MB.
    pub reserve: u64,
    /// A group that is not on disk after this long is reported, and the store
    /// poisoned, instead of leaving its writers waiting. 30 s.
    pub hang: Duration,
    /// How often space is given back, see [`Store::sweep`]. Zero: only when
    /// that is called. 10 min.
    pub upkeep: Duration,
    /// How the store sweeps by itself.
    pub sweep: SweepOptions,
    /// How the store reads all its blobs by itself, to find damage early.
    /// Only with [`upkeep`](Options::upkeep).
    pub scrub: ScrubOptions,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            engine: Engine::default(),
            cache: 64 << 20,
            pack: 256 << 20,
            reserve: 64 << 20,
            hang: Duration::from_secs(30),
            upkeep: Duration::from_secs(600),
            sweep: SweepOptions::default(),
            scrub: ScrubOptions::default(),
        }
    }
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    puts: Arc<Line<Vec<cut::Item>, ()>>,
    commits: Arc<Line<Request, Commit>>,
    _watchdog: Watchdog,
    upkeep: OnceLock<Upkeep>,
    companions: Companions,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(upkeep) = self.upkeep.get() {
            upkeep.stop();
        }
        self.puts.stop();
        self.commits.stop();
    }
}

/// What the two stages and the readers share.
#[derive(Debug)]
struct Shared {
    backend: Arc<dyn Backend>,
    blobs: Arc<dyn BlobStore>,
    /// Those of the blob store.
    dictionaries: Arc<Dictionaries>,
    limits: Limits,
    pending: Pending,
    places: Places,
    watchers: Watchers,
    counters: Counters,
    health: Arc<Health>,
    /// One sweep at a time.
    sweeping: tokio::sync::Mutex<()>,
    /// One scrub at a time.
    scrubbing: tokio::sync::Mutex<()>,
    /// With less room than this nothing more is referred to.
    tight: u64,
    /// Backups that copy files now.
    pins: AtomicUsize,
    /// Where they go.
    targets: Mutex<BTreeSet<PathBuf>>,
    /// Held by each backup as long as it works.
    backups: tokio::sync::RwLock<()>,
    /// Held while blobs are forgotten, and by a backup while it takes its pin.
    moment: tokio::sync::Mutex<()>,
    /// The directory's lock, given back on close.
    root: Mutex<Option<open::Root>>,
}

impl Store {
    /// In memory, for tests. Gone with the last clone.
    ///
    /// # Errors
    /// [`Error::Io`] if no thread can be started.
    pub async fn memory() -> Result<Store> {
        let backend = Arc::new(Memory::new());
        let blobs = Arc::new(memory::MemoryBlobs::new());
        Store::over(backend, blobs, Options::default()).await
    }

    /// Above any backend and blob store. Called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Io`] if no thread can be started, and what the backend's
    /// [`hints`](Backend::hints) gives.
    pub async fn over(
        backend: Arc<dyn Backend>,
        blobs: Arc<dyn BlobStore>,
        options: Options,
    ) -> Result<Store> {
        Store::start(backend, blobs, options, None).await
    }

    async fn start(
        backend: Arc<dyn Backend>,
        blobs: Arc<dyn BlobStore>,
        options: Options,
        root: Option<open::Root>,
    ) -> Result<Store> {
        let shared = Arc::new(Shared {
            limits: backend.limits(),
            dictionaries: blobs.dictionaries(),
            backend,
            blobs,
            pending: Pending::default(),
            places: Places::default(),
            watchers: Watchers::default(),
            counters: Counters::default(),
            health: Arc::default(),
            sweeping: tokio::sync::Mutex::default(),
            scrubbing: tokio::sync::Mutex::default(),
            tight: options.reserve / 2,
            pins: AtomicUsize::new(0),
            targets: Mutex::default(),
            backups: tokio::sync::RwLock::default(),
            moment: tokio::sync::Mutex::default(),
            root: Mutex::new(root),
        });
        let (first, second) = (Arc::clone(&shared), Arc::clone(&shared));
        let puts = Line::start("store blobs", Arc::clone(&shared.health), move |group| {
            first.put_group(group)
        })?;
        let commits = Line::start("store commit", Arc::clone(&shared.health), move |group| {
            second.commit_group(group)
        })?;
        let (watched_puts, watched_commits) = (Arc::downgrade(&puts), Arc::downgrade(&commits));
        let watchdog = Watchdog::start(vec![watched_puts, watched_commits], options.hang)?;
        shared.follow_hints().await?;
        let inner = Arc::new(Inner {
            shared,
            puts,
            commits,
            _watchdog: watchdog,
            upkeep: OnceLock::new(),
            companions: Companions::default(),
        });
        if !options.upkeep.is_zero() {
            let weak = Arc::downgrade(&inner);
            let upkeep = Upkeep::start(weak, &options)?;
            let _ = inner.upkeep.set(upkeep);
        }
        Ok(Store { inner })
    }

    /// Reads keys of one account, in order, all as of one moment.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty key.
    pub async fn get(&self, account: AccountId, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        let shared = &self.inner.shared;
        shared.health.readable()?;
        check::account(account)?;
        let mut flat = Vec::with_capacity(keys.len());
        for key in keys {
            check::key(key, &shared.limits)?;
            flat.push(key::flat(account, key));
        }
        shared.backend.get(&flat).await
    }

    /// Reads a page, as of one moment.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn range(&self, range: Range) -> Result<Page> {
        self.inner.shared.range(range, None).await
    }

    /// Reads a page as of a [`Store::snapshot`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for the snapshot of another backend.
    pub async fn range_at(&self, range: Range, at: &Snapshot) -> Result<Page> {
        self.inner.shared.range(range, Some(at)).await
    }

    /// A view that stays as it is now. While it lives, what it shows is not
    /// given back to the disk: hold it for a backup, not for a session.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        self.inner.shared.health.readable()?;
        self.inner.shared.backend.snapshot().await
    }

    /// All rows from `from` (inclusive) to `to` (exclusive), as of one moment.
    /// They are held in memory: for ranges known to be short.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn scan(&self, account: AccountId, from: Key, to: Key) -> Result<Vec<(Key, Bytes)>> {
        let mut range = Range {
            account,
            from,
            to,
            limit: SCAN,
            reverse: false,
            keys_only: false,
        };
        let first = self.range(range.clone()).await?;
        if first.next.is_none() {
            return Ok(first.rows);
        }
        // Several pages agree only if they are of one snapshot.
        let snapshot = self.snapshot().await?;
        let mut rows = Vec::new();
        loop {
            let page = self.range_at(range.clone(), &snapshot).await?;
            rows.extend(page.rows);
            match page.next {
                Some(next) => range.from = next,
                None => return Ok(rows),
            }
        }
    }

    /// Reads a part of a blob, cut to its length, checksums verified. A blob
    /// that was put can be read before a batch retains it.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Corrupt`] when the bytes on disk are
    /// not what was written.
    pub async fn read(&self, blob: &BlobRef, range: ops::Range<u64>) -> Result<Bytes> {
        self.inner.shared.health.readable()?;
        self.inner.shared.read(blob, range).await
    }

    /// The same, in the form it is kept in: what is made by a [recipe](crate::blob::Recipe) from
    /// other bytes, and lies within the range as a whole, comes as those. One stretch follows the
    /// other; those that are plain are as long as they can be.
    ///
    /// # Errors
    /// As [`read`](Store::read).
    pub async fn read_kept(&self, blob: &BlobRef, range: ops::Range<u64>) -> Result<Vec<Stretch>> {
        self.inner.shared.health.readable()?;
        self.inner.shared.read_as(blob, range, read::As::Kept).await
    }

    /// Does a batch; `Ok` only once it is durable. It is done even if the
    /// caller stops waiting.
    ///
    /// # Errors
    /// After [`Error::Conflict`], [`Error::Bound`], [`Error::Full`],
    /// [`Error::TooLarge`], [`Error::Invalid`], [`Error::NotFound`] (a blob
    /// that is not there, or a release more than there are references) and
    /// [`Error::Corrupt`] (a counter that is not one) nothing of the batch was
    /// done. After [`Error::Poisoned`] and [`Error::Io`] it may or may not be
    /// found after the next opening, but never in part.
    pub async fn commit(&self, batch: Batch) -> Result<Commit> {
        let (request, bytes) = self.request(batch)?;
        self.inner.commits.ask(request, bytes).await
    }

    /// The same for a batch that nobody waits for: it waits a moment, two
    /// milliseconds at most, for another one to share its sync with. As durable as
    /// any other once this is `Ok`.
    ///
    /// # Errors
    /// As [`commit`](Store::commit).
    pub async fn commit_patiently(&self, batch: Batch) -> Result<Commit> {
        let (request, bytes) = self.request(batch)?;
        self.inner.commits.ask_patiently(request, bytes).await
    }

    /// A batch on its way, and its bytes.
    fn request(&self, batch: Batch) -> Result<(Request, usize)> {
        let shared = &self.inner.shared;
        shared.health.writable()?;
        let mut request = Request::from(batch);
        request.fresh = shared.fresh(&request.batch);
        let bytes = check::request(&request, &shared.limits)?;
        Ok((request, bytes))
    }

    /// The account's last sequence number, 0 before the first change.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn seq(&self, account: AccountId) -> Result<u64> {
        self.inner.shared.health.readable()?;
        check::account(account)?;
        let row = self.inner.shared.backend.get(&[key::seq(account)]).await?;
        match row.into_iter().next().flatten() {
            None => Ok(0),
            Some(row) => row[..]
                .try_into()
                .map(u64::from_be_bytes)
                .map_err(|_| Error::Corrupt("a sequence number".into())),
        }
    }

    /// The accounts that have rows, ascending. Reads a key of each.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn accounts(&self) -> Result<Vec<AccountId>> {
        let shared = &self.inner.shared;
        shared.health.readable()?;
        let mut accounts = Vec::new();
        let mut range = KeyRange {
            from: Bytes::new(),
            to: key::seq(AccountId::STORE),
            limit: 1,
            reverse: false,
            keys_only: true,
        };
        loop {
            let page = shared.backend.range(&range, None).await?;
            let key = page.rows.first().map(|(key, _)| key.clone());
            let account = key.as_deref().and_then(<[u8]>::first_chunk::<8>);
            let Some(account) = account.map(|account| u64::from_be_bytes(*account)) else {
                return Ok(accounts);
            };
            accounts.push(AccountId(account));
            range.from = key::seq(AccountId(account.saturating_add(1)));
        }
    }

    /// Watches an account from now on: a change that a read after this call
    /// does not show is announced.
    pub fn watch(&self, account: AccountId) -> Watcher {
        self.inner.shared.watchers.watch(account)
    }

    /// Watches the accounts that are added to it.
    pub fn watch_some(&self) -> SomeWatcher {
        self.inner.shared.watchers.watch_some()
    }

    /// Watches every account from now on.
    pub fn watch_all(&self) -> AllWatcher {
        self.inner.shared.watchers.watch_all()
    }

    /// The directory it is in; `None` for one that is not in files, or that
    /// is closed.
    pub fn directory(&self) -> Option<PathBuf> {
        let root = self.inner.shared.root.lock();
        root.as_ref().map(|root| root.dir().to_owned())
    }

    /// Which engine holds its rows; `None` for one that is not in a directory
    /// of its own, or that is closed.
    pub fn engine(&self) -> Option<Engine> {
        let root = self.inner.shared.root.lock();
        root.as_ref().map(open::Root::engine)
    }

    /// The largest key, value and batch.
    pub fn limits(&self) -> Limits {
        self.inner.shared.limits
    }

    /// Counters since opening.
    pub fn stat(&self) -> Stat {
        let shared = &self.inner.shared;
        shared
            .counters
            .read(shared.backend.stat(), shared.blobs.stat())
    }

    /// Does a piece of upkeep of the backend. Safe beside everything else.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn maintain(&self, task: Maintain) -> Result<Report> {
        self.inner.shared.health.writable()?;
        self.inner.shared.backend.maintain(task).await
    }

    /// Finishes what was asked before, and closes. Every call after it, also
    /// of another clone, gives [`Error::Closed`]; a second close does nothing.
    ///
    /// # Errors
    /// Those of the backend and the blob store, and [`Error::Poisoned`] when a
    /// write hangs: then the directory stays locked until the process ends.
    pub async fn close(&self) -> Result<()> {
        let shared = &self.inner.shared;
        if !shared.health.close() {
            return Ok(());
        }
        if let Some(upkeep) = self.inner.upkeep.get() {
            upkeep.stop();
        }
        self.inner.puts.finish().await;
        self.inner.commits.finish().await;
        shared.health.not_hung()?;
        // They see that it is closed, and break off.
        let _none = shared.backups.write().await;
        let blobs = shared.blobs.close().await;
        let backend = shared.backend.close().await;
        drop(shared.root.lock().take());
        blobs.and(backend)
    }
}

impl Shared {
    async fn range(&self, range: Range, at: Option<&Snapshot>) -> Result<Page> {
        self.health.readable()?;
        check::account(range.account)?;
        let flat = KeyRange {
            from: key::bound(range.account, &range.from),
            to: key::bound(range.account, &range.to),
            limit: range.limit,
            reverse: range.reverse,
            keys_only: range.keys_only,
        };
        let mut page = self.backend.range(&flat, at).await?;
        let bare = |key: &mut Key| *key = key.slice(key::PREFIX.min(key.len())..);
        page.rows.iter_mut().for_each(|(key, _)| bare(key));
        page.next.iter_mut().for_each(bare);
        Ok(page)
    }

    /// The work of the second stage: all batches of the group in one write
    /// and one sync.
    fn commit_group(&self, mut group: Vec<Request>) -> Vec<Result<Commit>> {
        add(&self.counters.commit_groups, 1);
        self.counters
            .largest_commit_group
            .fetch_max(group.len() as u64, Relaxed);
        // A sweep may have moved what waited here: first it says so, then the
        // rows to be written are looked up once more.
        for upkeep in group.iter().flat_map(|request| &request.upkeep) {
            if let OwnRows::Move { hash, from, to } = upkeep {
                self.pending.relocate(hash, from, to);
            }
        }
        for request in &mut group {
            request.fresh = self.fresh(&request.batch);
        }
        let outcomes = self.commit_what_fits(&group);
        for upkeep in group.iter().flat_map(|request| &request.upkeep) {
            match upkeep {
                OwnRows::Move { hash, .. } | OwnRows::Forget { hash, .. } => {
                    self.places.forget(hash);
                }
                OwnRows::Mend { .. } => self.places.forget_all(),
            }
        }
        for (request, outcome) in group.iter().zip(&outcomes) {
            let Ok(commit) = outcome else { continue };
            add(
                &self.counters.batches,
                usize::from(request.upkeep.is_empty()),
            );
            self.pending
                .settle(retained(&request.batch).map(|blob| &blob.hash));
            for (part, given) in request.batch.parts.iter().zip(&commit.parts) {
                if part.advance {
                    self.watchers.announce(Change {
                        account: given.account,
                        seq: given.seq,
                    });
                }
            }
        }
        outcomes
    }

    /// Commits; with little room, not what needs more of it.
    fn commit_what_fits(&self, group: &[Request]) -> Vec<Result<Commit>> {
        // The system is asked only where the answer matters.
        let tight = self.tight > 0
            && group.iter().any(grows)
            && self.backend.room().is_some_and(|room| room < self.tight);
        if !tight {
            return wait(self.backend.commit(group));
        }
        let fits: Vec<Request> = group.iter().filter(|r| !grows(r)).cloned().collect();
        let mut done = match fits.is_empty() {
            true => Vec::new(),
            false => wait(self.backend.commit(&fits)),
        }
        .into_iter();
        let outcome = |request| match grows(request) {
            true => Err(Error::Full),
            false => done.next().unwrap_or(Err(Error::Full)),
        };
        group.iter().map(outcome).collect()
    }

    /// The rows of what a batch retains and what waits for its row, with those
    /// of its parts.
    fn fresh(&self, batch: &Batch) -> Vec<([u8; 32], BlobRow)> {
        let mut fresh = Vec::new();
        for blob in retained(batch) {
            let Some(row) = self.pending.get(&blob.hash) else {
                continue;
            };
            let parts = row.parts.iter();
            fresh.extend(parts.filter_map(|part| Some((*part, self.pending.get(part)?))));
            fresh.push((blob.hash, row));
        }
        fresh
    }

    /// Announces what other nodes changed.
    async fn follow_hints(self: &Arc<Self>) -> Result<()> {
        let Some(mut hints) = self.backend.hints().await? else {
            return Ok(());
        };
        let shared: Weak<Shared> = Arc::downgrade(self);
        tokio::spawn(async move {
            use futures_util::StreamExt;
            while let Some(change) = hints.next().await {
                match shared.upgrade() {
                    Some(shared) => shared.watchers.announce(change),
                    None => return,
                }
            }
        });
        Ok(())
    }
}

/// Whether it adds more references than it takes away.
fn grows(request: &Request) -> bool {
    let ops = request.batch.parts.iter().flat_map(|part| &part.ops);
    let more = ops.fold(0i64, |more, op| match op {
        Op::Retain(_) => more + 1,
        Op::Release(_) => more - 1,
        _ => more,
    });
    more > 0
}

fn retained(batch: &Batch) -> impl Iterator<Item = &BlobRef> {
    let ops = batch.parts.iter().flat_map(|part| &part.ops);
    ops.filter_map(|op| match op {
        Op::Retain(blob) => Some(blob),
        _ => None,
    })
}

/// Seconds since 1970.
pub(crate) fn clock() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
