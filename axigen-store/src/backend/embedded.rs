//! The embedded engine: rows in [fjall](https://docs.rs/fjall), an LSM tree.
//!
//! fjall's journal is the only log: one batch and one fdatasync for a group.
//! Used of it are plain batches and one keyspace; not its key-value
//! separation, clear, FIFO compaction or optimistic transactions. All reads go
//! through a snapshot: without one, fjall shows a batch while it is still being
//! applied.
//!
//! Whatever happens to the files, nothing may go missing silently, and fjall
//! does not look at all of its own checksums: so its files are
//! looked at (`journal`) before it opens them. Beside them lies a file
//! `acknowledged` with the number of the last batch that was acknowledged;
//! each batch carries its number, and one that is missing after opening is an
//! error.

mod journal;
mod versions;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use parking_lot::{Mutex, RwLock};

use super::arena::Arena;
use super::{KeyRange, Limits, Maintain, Report, Snapshot, Written};
use crate::batch::Key;
use crate::blocking::{Blocking, Engine};
use crate::error::{Error, Result};
use crate::pack::room;
use crate::page::Page;

/// Reads of up to this many rows run where the caller stands. Measured: a row
/// of a range costs 0.6 us, a get 2 us, and going on in another thread 20 to
/// 50 us.
const DIRECT: usize = 256;
/// Rows not yet in a table. What the journal must replay at open is a small
/// multiple of it.
const MEMTABLE: u64 = 32 << 20;
/// fjall's smallest, and the length its journal files have anyway.
const JOURNAL: u64 = 64 << 20;

/// The row that holds the number of the last batch: the flat key of the note
/// `batches`.
pub(crate) const NUMBER: &[u8] = b"\xff\xff\xff\xff\xff\xff\xff\xffsbatches";

/// The embedded backend.
pub type Embedded = Blocking<Fjall>;

/// fjall as an [`Engine`].
pub struct Fjall {
    dir: PathBuf,
    /// No batch is begun with less room than this on the device.
    reserve: u64,
    open: RwLock<Option<Open>>,
    syncs: AtomicU64,
    bytes: AtomicU64,
}

/// The number of the last batch.
struct Number {
    last: u64,
    /// Where it is written down. Locked while the database is open.
    note: File,
}

#[derive(Clone)]
struct Open {
    db: Database,
    rows: Keyspace,
    number: Arc<Mutex<Number>>,
}

impl std::fmt::Debug for Fjall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fjall").field("dir", &self.dir).finish()
    }
}

impl Fjall {
    /// Opens the database in a directory, or creates it. `cache` is memory for
    /// blocks of tables in bytes. With less than `reserve` bytes of room on
    /// the device every write gives [`Error::Full`]: fjall itself cannot go on
    /// after a write that failed.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Corrupt`], [`Error::Io`].
    pub fn open(dir: &Path, cache: u64, reserve: u64) -> Result<Self> {
        let failed = |error| Error::io(format!("opening the metadata in {}", dir.display()), error);
        std::fs::create_dir_all(dir).map_err(failed)?;
        let note = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(dir.join("acknowledged"))
            .map_err(failed)?;
        // What another process writes to must not be taken for torn.
        match note.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked(dir.display().to_string())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let noted = noted(&note);
        if is_of_known_layout(dir) {
            versions::check(dir)?;
            journal::check(dir, noted)?;
        }
        let db = Database::builder(dir)
            .cache_size(cache)
            .max_journaling_size(JOURNAL)
            .open()
            .map_err(|error| failure(dir, "opening the metadata", error))?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE);
        let rows = db
            .keyspace("rows", options)
            .map_err(|error| failure(dir, "opening the metadata", error))?;
        let last = rows
            .get(NUMBER)
            .map_err(|error| failure(dir, "opening the metadata", error))?;
        let last = last.map_or(Ok(0), |last| last[..].try_into().map(u64::from_be_bytes));
        let last = last.map_err(|_| Error::Corrupt("the number of the last batch".into()))?;
        if last < noted {
            return Err(Error::Corrupt(format!(
                "the metadata in {} end with batch {last}, and {noted} was acknowledged",
                dir.display()
            )));
        }
        Ok(Fjall {
            dir: dir.to_owned(),
            reserve,
            open: RwLock::new(Some(Open {
                db,
                rows,
                number: Arc::new(Mutex::new(Number { last, note })),
            })),
            syncs: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    /// As a backend.
    pub fn into_backend(self) -> Embedded {
        Blocking::new(self, DIRECT)
    }

    fn with<T>(&self, what: &str, run: impl FnOnce(&Open) -> fjall::Result<T>) -> Result<T> {
        let open = self.open.read();
        let open = open.as_ref().ok_or(Error::Closed)?;
        run(open).map_err(|error| failure(&self.dir, what, error))
    }
}

impl Engine for Fjall {
    fn limits(&self) -> Limits {
        Limits {
            key: 4096,
            value: 16 << 20,
            batch: 32 << 20,
            shared: false,
        }
    }

    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        self.with("reading the metadata", |open| {
            let snapshot = open.db.snapshot();
            keys.iter()
                .map(|key| {
                    let value = snapshot.get(&open.rows, key)?;
                    // A copy: the engine's slice would keep its whole block.
                    Ok(value.map(|value| Bytes::copy_from_slice(&value)))
                })
                .collect()
        })
    }

    fn range(&self, range: &KeyRange, at: Option<&Snapshot>) -> Result<Page> {
        if range.from >= range.to || range.limit == 0 {
            return Ok(Page::default());
        }
        let at = match at {
            None => None,
            Some(snapshot) => Some(
                snapshot
                    .downcast::<fjall::Snapshot>()
                    .ok_or_else(|| Error::Invalid("a snapshot of another backend".into()))?,
            ),
        };
        self.with("reading the metadata", |open| {
            let now = at.is_none().then(|| open.db.snapshot());
            let Some(snapshot) = at.or(now.as_ref()) else {
                return Ok(Page::default());
            };
            let mut rows = snapshot.range(&open.rows, range.from.clone()..range.to.clone());
            let mut page = Arena::default();
            while page.len() <= range.limit {
                let row = if range.reverse {
                    rows.next_back()
                } else {
                    rows.next()
                };
                let Some(row) = row else { break };
                if range.keys_only {
                    page.push(&row.key()?, &[]);
                } else {
                    let (key, value) = row.into_inner()?;
                    page.push(&key, &value);
                }
            }
            let mut rows = page.rows();
            let next = Page::cut(&mut rows, range.limit, range.reverse);
            Ok(Page { rows, next })
        })
    }

    fn write(&self, ranges: &[(Key, Key)], points: &BTreeMap<Key, Option<Bytes>>) -> Result<()> {
        if room(&self.dir)? < self.reserve {
            return Err(Error::Full);
        }
        self.with("writing the metadata", |open| {
            let mut batch = open.db.batch().durability(Some(PersistMode::SyncData));
            let mut bytes = 0;
            if !ranges.is_empty() {
                let snapshot = open.db.snapshot();
                for (from, to) in ranges {
                    for row in snapshot.range(&open.rows, from.clone()..to.clone()) {
                        let key = row.key()?;
                        // Of two changes of a key in one batch none is the later.
                        if !points.contains_key(&key[..]) {
                            bytes += key.len();
                            batch.remove(&open.rows, key);
                        }
                    }
                }
            }
            for (key, value) in points {
                bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
                match value {
                    Some(value) => batch.insert(&open.rows, &key[..], &value[..]),
                    None => batch.remove(&open.rows, &key[..]),
                }
            }
            if !batch.is_empty() {
                let mut number = open.number.lock();
                let next = number.last + 1;
                batch.insert(&open.rows, NUMBER, next.to_be_bytes());
                batch.commit()?;
                number.last = next;
                number.write_down();
                self.syncs.fetch_add(1, Relaxed);
                self.bytes.fetch_add(bytes as u64, Relaxed);
            }
            Ok(())
        })
        // After a failed write only the next opening tells what is on disk.
        .map_err(|error| match error {
            Error::Full => Error::Poisoned("no space left while writing the metadata".into()),
            error => error,
        })
    }

    fn snapshot(&self) -> Result<Snapshot> {
        self.with("reading the metadata", |open| {
            Ok(Snapshot::new(open.db.snapshot()))
        })
    }

    fn maintain(&self, task: Maintain) -> Result<Report> {
        // Not under the lock, so that a close need not wait for it.
        let open = self.open.read().clone().ok_or(Error::Closed)?;
        let run = || {
            let before = open.db.disk_space()?;
            match task {
                Maintain::Compact => {
                    // What is in the journal only, first.
                    open.rows.rotate_memtable_and_wait()?;
                    open.rows.major_compact()?;
                }
            }
            let after = open.db.disk_space()?;
            Ok(Report { before, after })
        };
        run().map_err(|error| failure(&self.dir, "compacting the metadata", error))
    }

    fn rows(&self) -> Option<u64> {
        let rows = self.with("reading the metadata", |open| {
            Ok(open.rows.approximate_len() as u64)
        });
        rows.ok()
    }

    fn stat(&self) -> Written {
        Written {
            syncs: self.syncs.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }

    fn room(&self) -> Option<u64> {
        room(&self.dir).ok()
    }

    fn close(&self) -> Result<()> {
        drop(self.open.write().take());
        Ok(())
    }
}

impl Number {
    /// Not synced: after a loss of power it may be old, never ahead. Failing
    /// is no harm either.
    fn write_down(&self) {
        let mut note = [0; 12];
        note[..8].copy_from_slice(&self.last.to_be_bytes());
        let crc = crc32c::crc32c(&note[..8]);
        note[8..].copy_from_slice(&crc.to_be_bytes());
        let _ = self.note.write_all_at(&note, 0);
    }
}

/// The number of the last batch that is known to be acknowledged.
fn noted(note: &File) -> u64 {
    let mut bytes = [0; 12];
    if note.read_exact_at(&mut bytes, 0).is_err() {
        return 0;
    }
    match bytes.split_first_chunk::<8>() {
        Some((number, crc)) if crc32c::crc32c(number).to_be_bytes() == *crc => {
            u64::from_be_bytes(*number)
        }
        _ => 0,
    }
}

/// Whether its files are of the layout that we know. Of another one, fjall
/// says what is to be done.
fn is_of_known_layout(dir: &Path) -> bool {
    std::fs::read(dir.join("version")).is_ok_and(|version| version.starts_with(b"FJL\x03"))
}

fn failure(dir: &Path, what: &str, error: fjall::Error) -> Error {
    use fjall::LsmError;
    let context = format!("{what} in {}", dir.display());
    match error {
        // A file that is shorter than it says, or not there.
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error))
            if matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::NotFound
            ) =>
        {
            Error::Corrupt(format!("{context}: {error}"))
        }
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => {
            Error::io(context, error)
        }
        fjall::Error::Poisoned => Error::Poisoned(context),
        fjall::Error::Locked => Error::Locked(dir.display().to_string()),
        fjall::Error::KeyspaceDeleted => Error::Io {
            context,
            source: Arc::new(error),
        },
        error => Error::Corrupt(format!("{context}: {error}")),
    }
}
