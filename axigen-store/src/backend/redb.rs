//! The second embedded engine: rows in [redb](https://docs.rs/redb), a B+ tree
//! in one file whose pages are copied before they are changed.
//!
//! One transaction and one sync for a group. It writes several times what
//! fjall writes, and is slower by as much, but is another design by other
//! people: the way out if the first engine should fail.
//!
//! redb checks its own checksums after a crash only, so each row carries one
//! that is checked whenever the row is read:
//!
//! | value in the file |
//! |---|
//! | CRC-32C of key and value (4 bytes, little-endian), value |
//!
//! Each commit has a number, which is also written down beside the database
//! once it is durable: if damage made redb fall back to the state before an
//! acknowledged commit, that is noticed.
//!
//! ```text
//! rows           the database
//! acknowledged   number of the last commit (8 bytes, big-endian), its CRC-32C
//! ```

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTableMetadata, StorageBackend,
    TableDefinition, TableError,
};

use super::arena::Arena;
use super::{KeyRange, Limits, Maintain, Report, Snapshot, Written};
use crate::batch::Key;
use crate::blocking::{Blocking, Engine};
use crate::disk::{Disk, DiskFile, RealDisk};
use crate::error::{Error, Result};
use crate::page::Page;

/// Reads of up to this many rows run where the caller stands, as with fjall.
const DIRECT: usize = 256;
/// Longer files are not compacted beside other work: everything waits
/// meanwhile, and it may take long.
const COMPACTED: u64 = 1 << 30;
/// Of a row's value, its checksum.
const SUM: usize = 4;

/// The database, in its directory.
pub(crate) const ROWS: &str = "rows";
const ACKNOWLEDGED: &str = "acknowledged";

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
/// What the adapter notes for itself: the number of the last commit.
const NOTES: TableDefinition<'_, &str, u64> = TableDefinition::new("notes");
const COMMITS: &str = "commits";

type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// redb as an [`Engine`]. The caller sees to it that nobody else has the
/// directory open.
pub struct Redb {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    cache: usize,
    /// No batch is begun with less room than this on the device.
    reserve: u64,
    open: RwLock<Option<Database>>,
    number: Mutex<Number>,
    tally: Arc<Tally>,
}

/// The number of the last commit.
#[derive(Debug)]
struct Number {
    last: u64,
    /// Where it is written down.
    note: Arc<dyn DiskFile>,
}

/// What was done to the file.
#[derive(Debug, Default)]
struct Tally {
    syncs: AtomicU64,
    bytes: AtomicU64,
    /// A write found no space.
    full: AtomicBool,
}

impl std::fmt::Debug for Redb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redb").field("dir", &self.dir).finish()
    }
}

impl Redb {
    /// Opens the database in a directory, or creates it. `cache` is memory for
    /// its pages in bytes. With less than `reserve` bytes of room on the device
    /// every write gives [`Error::Full`].
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`], [`Error::Full`].
    pub fn open(dir: &Path, cache: u64, reserve: u64) -> Result<Self> {
        Self::open_on(Arc::new(RealDisk), dir, cache, reserve)
    }

    /// [`Redb::open`] on another disk than the operating system's.
    ///
    /// # Errors
    /// As [`Redb::open`].
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path, cache: u64, reserve: u64) -> Result<Self> {
        let failed = |error| Error::io(format!("opening the metadata in {}", dir.display()), error);
        disk.create_dir(dir).map_err(failed)?;
        let found = disk.list(dir).map_err(failed)?;
        let has = |name: &str| found.iter().any(|entry| entry.name == name);
        let note = match has(ACKNOWLEDGED) {
            true => disk.open(&dir.join(ACKNOWLEDGED)),
            false => disk.create(&dir.join(ACKNOWLEDGED)),
        };
        let note = note.map_err(failed)?;
        let noted = noted(&*note);
        let redb = Redb {
            disk,
            dir: dir.to_owned(),
            cache: usize::try_from(cache).unwrap_or(usize::MAX),
            reserve,
            open: RwLock::new(None),
            number: Mutex::new(Number { last: 0, note }),
            tally: Arc::default(),
        };
        if !has(ROWS) {
            redb.create()?;
        }
        *redb.open.write() = Some(redb.database(ROWS)?);
        let last = redb.last()?;
        if last < noted {
            return Err(Error::Corrupt(format!(
                "the metadata in {} end with commit {last}, and {noted} was acknowledged",
                dir.display()
            )));
        }
        redb.number.lock().last = last;
        redb.tally.syncs.store(0, Relaxed);
        redb.tally.bytes.store(0, Relaxed);
        Ok(redb)
    }

    /// As a backend.
    pub fn into_backend(self) -> Blocking<Redb> {
        Blocking::new(self, DIRECT)
    }

    /// Under another name first: what a creation leaves that is broken off
    /// cannot be opened.
    fn create(&self) -> Result<()> {
        const NEW: &str = "rows.new";
        let failed = |error| {
            Error::io(
                format!("creating metadata in {}", self.dir.display()),
                error,
            )
        };
        let new = self.dir.join(NEW);
        drop(self.disk.create(&new).map_err(failed)?);
        let db = self.database(NEW)?;
        self.guarded("creating the metadata", true, || {
            let change = db.begin_write()?;
            drop(change.open_table(TABLE)?);
            change.open_table(NOTES)?.insert(COMMITS, 0)?;
            change.commit()?;
            Ok(db.close()?)
        })?;
        let rename = self.disk.rename(&new, &self.dir.join(ROWS));
        let named = rename.and_then(|()| self.disk.sync_dir(&self.dir));
        named.map_err(failed)
    }

    fn database(&self, name: &str) -> Result<Database> {
        let path = self.dir.join(name);
        let failed = |error| Error::io(format!("opening {}", path.display()), error);
        let file = self.disk.open(&path).map_err(failed)?;
        if name == ROWS && file.size().map_err(failed)? == 0 {
            // redb would make a new one of it.
            return Err(Error::Corrupt(format!("{} is empty", path.display())));
        }
        let file = Device {
            file,
            tally: Arc::clone(&self.tally),
        };
        self.guarded("opening the metadata", false, || {
            let mut builder = Database::builder();
            Ok(builder
                .set_cache_size(self.cache)
                .create_with_backend(file)?)
        })
    }

    /// The number of the last commit, as the database has it.
    fn last(&self) -> Result<u64> {
        self.with("reading the metadata", |db| {
            let notes = db.begin_read()?.open_table(NOTES)?;
            let last = notes.get(COMMITS)?;
            last.map(|last| last.value())
                .ok_or_else(|| redb::Error::Corrupted("no number of the last commit".into()))
        })
    }

    fn with<T>(
        &self,
        what: &str,
        run: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T> {
        let open = self.open.read();
        let db = open.as_ref().ok_or(Error::Closed)?;
        self.guarded(what, false, || run(db))
    }

    /// redb panics where it finds its pages in disorder. What a panic leaves
    /// of a write is not known.
    fn guarded<T>(
        &self,
        what: &str,
        writes: bool,
        run: impl FnOnce() -> Result<T, redb::Error>,
    ) -> Result<T> {
        let context = || format!("{what} in {}", self.dir.display());
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(done) => done.map_err(|error| failure(context(), error)),
            Err(_) if writes => Err(Error::Poisoned(format!("{}: redb gave up", context()))),
            Err(_) => Err(Error::Corrupt(format!("{}: redb gave up", context()))),
        }
    }

    /// A page of a range, of a snapshot or of now.
    fn read(&self, range: &KeyRange, at: Option<&Table>) -> Result<Page> {
        let page = self.with("reading the metadata", |db| {
            let now = match at {
                None => Some(table(db)?),
                Some(_) => None,
            };
            let Some(table) = at.or(now.as_ref()) else {
                return Ok(Ok(Arena::default()));
            };
            let mut rows = table.range::<&[u8]>(&range.from[..]..&range.to[..])?;
            let mut page = Arena::default();
            while page.len() <= range.limit {
                let row = if range.reverse {
                    rows.next_back()
                } else {
                    rows.next()
                };
                let Some(row) = row else { break };
                let (key, value) = row?;
                let Some(value) = checked(key.value(), value.value()) else {
                    return Ok(Err(self.damaged()));
                };
                page.push(key.value(), if range.keys_only { &[] } else { value });
            }
            Ok(Ok(page))
        })??;
        let mut rows = page.rows();
        let next = Page::cut(&mut rows, range.limit, range.reverse);
        Ok(Page { rows, next })
    }

    fn damaged(&self) -> Error {
        Error::Corrupt(format!("a row of the metadata in {}", self.dir.display()))
    }

    /// One transaction.
    fn change(
        &self,
        ranges: &[(Key, Key)],
        points: &BTreeMap<Key, Option<Bytes>>,
        number: u64,
    ) -> Result<(), redb::Error> {
        let open = self.open.read();
        let db = open.as_ref().ok_or(redb::Error::DatabaseClosed)?;
        let mut change = db.begin_write()?;
        change.set_durability(Durability::Immediate)?;
        {
            let mut table = change.open_table(TABLE)?;
            for (from, to) in ranges.iter().filter(|(from, to)| from < to) {
                table.retain_in::<&[u8], _>(&from[..]..&to[..], |_, _| false)?;
            }
            for (key, value) in points {
                match value {
                    Some(value) => {
                        let mut room = table.insert_reserve(&key[..], SUM + value.len())?;
                        let (sum, rest) = room.as_mut().split_at_mut(SUM);
                        sum.copy_from_slice(&checksum(key, value));
                        rest.copy_from_slice(value);
                    }
                    None => drop(table.remove(&key[..])?),
                }
            }
        }
        change.open_table(NOTES)?.insert(COMMITS, number)?;
        Ok(change.commit()?)
    }

    /// After a write that found no space redb does nothing more until it is
    /// opened again; then all of the commit is there or nothing. Says which.
    fn begin_again(&self, number: u64) -> Result<bool> {
        let mut open = self.open.write();
        if open.take().is_none() {
            return Err(Error::Closed);
        }
        *open = Some(self.database(ROWS)?);
        drop(open);
        Ok(self.last()? == number)
    }
}

impl Engine for Redb {
    fn limits(&self) -> Limits {
        Limits {
            key: 4096,
            value: 16 << 20,
            batch: 32 << 20,
            shared: false,
        }
    }

    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        self.with("reading the metadata", |db| {
            let table = table(db)?;
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                let value = table.get(&key[..])?;
                let value = value.map(|found| {
                    checked(key, found.value())
                        .map(Bytes::copy_from_slice)
                        .ok_or_else(|| self.damaged())
                });
                values.push(value.transpose());
            }
            Ok(values)
        })?
        .into_iter()
        .collect()
    }

    fn range(&self, range: &KeyRange, at: Option<&Snapshot>) -> Result<Page> {
        if range.from >= range.to || range.limit == 0 {
            return Ok(Page::default());
        }
        let at = match at {
            None => None,
            Some(snapshot) => Some(
                snapshot
                    .downcast::<Table>()
                    .ok_or_else(|| Error::Invalid("a snapshot of another backend".into()))?,
            ),
        };
        match self.read(range, at) {
            // Not closed, as `with` found it open: opened again, without what
            // the snapshot was of.
            Err(Error::Closed) if at.is_some() && self.open.read().is_some() => Err(
                Error::Unavailable("the snapshot was of before the device was full".into()),
            ),
            page => page,
        }
    }

    fn write(&self, ranges: &[(Key, Key)], points: &BTreeMap<Key, Option<Bytes>>) -> Result<()> {
        let context = || format!("writing the metadata in {}", self.dir.display());
        let room = self.disk.room(&self.dir);
        if room.map_err(|error| Error::io(context(), error))? < self.reserve {
            return Err(Error::Full);
        }
        self.tally.full.store(false, Relaxed);
        let mut number = self.number.lock();
        let next = number.last + 1;
        let done = catch_unwind(AssertUnwindSafe(|| self.change(ranges, points, next)));
        let error = match done {
            Ok(Ok(())) => {
                number.write_down(next);
                return Ok(());
            }
            Ok(Err(redb::Error::DatabaseClosed)) => return Err(Error::Closed),
            Ok(Err(error)) => format!("{}: {error}", context()),
            Err(_) => format!("{}: redb gave up", context()),
        };
        if !self.tally.full.load(Relaxed) {
            // What is on disk is not known.
            return Err(Error::Poisoned(error));
        }
        match self.begin_again(next) {
            Ok(true) => {
                number.write_down(next);
                Ok(())
            }
            Ok(false) => Err(Error::Full),
            Err(again) => Err(Error::Poisoned(format!("{error}, and then: {again}"))),
        }
    }

    fn snapshot(&self) -> Result<Snapshot> {
        self.with("reading the metadata", |db| Ok(Snapshot::new(table(db)?)))
    }

    /// Everything waits meanwhile, so a file of more than 1 GB is left as it
    /// is, and so is one of which there are snapshots. redb itself uses the
    /// room of deleted rows for new ones.
    fn maintain(&self, task: Maintain) -> Result<Report> {
        let Maintain::Compact = task;
        let size = || {
            let file = self
                .disk
                .open(&self.dir.join(ROWS))
                .and_then(|file| file.size());
            file.map_err(|error| Error::io(format!("compacting {}", self.dir.display()), error))
        };
        let before = size()?;
        let mut report = Report {
            before,
            after: before,
        };
        if before > COMPACTED {
            return Ok(report);
        }
        let mut open = self.open.write();
        let db = open.as_mut().ok_or(Error::Closed)?;
        let done = self.guarded("compacting the metadata", true, || match db.compact() {
            Err(redb::CompactionError::TransactionInProgress) => Ok(()),
            done => Ok(done.map(|_| ())?),
        });
        if let Err(error) = done {
            // No row has changed; redb goes on only when it is opened again.
            *open = None;
            *open = Some(self.database(ROWS)?);
            return Err(error);
        }
        drop(open);
        report.after = size()?;
        Ok(report)
    }

    fn rows(&self) -> Option<u64> {
        self.with("reading the metadata", |db| Ok(table(db)?.len()?))
            .ok()
    }

    /// Of bytes, all that were written to the file.
    fn stat(&self) -> Written {
        Written {
            syncs: self.tally.syncs.load(Relaxed),
            bytes: self.tally.bytes.load(Relaxed),
        }
    }

    fn close(&self) -> Result<()> {
        let Some(db) = self.open.write().take() else {
            return Ok(());
        };
        match self.guarded("closing the metadata", true, || Ok(db.close()?)) {
            // All rows are durable; the next opening takes longer.
            Err(Error::Full) => Ok(()),
            closed => closed,
        }
    }
}

impl Number {
    /// Not synced: after a loss of power it may be old, never ahead. Failing
    /// is no harm either.
    fn write_down(&mut self, number: u64) {
        self.last = number;
        let mut note = [0; 12];
        note[..8].copy_from_slice(&number.to_be_bytes());
        let crc = crc32c::crc32c(&note[..8]);
        note[8..].copy_from_slice(&crc.to_be_bytes());
        let _ = self.note.write_at(&note, 0);
    }
}

/// The number of the last commit that is known to be acknowledged.
fn noted(note: &dyn DiskFile) -> u64 {
    let mut bytes = [0; 12];
    if note.read_at(&mut bytes, 0).is_err() {
        return 0;
    }
    match bytes.split_first_chunk::<8>() {
        Some((number, crc)) if crc32c::crc32c(number).to_be_bytes() == *crc => {
            u64::from_be_bytes(*number)
        }
        _ => 0,
    }
}

fn table(db: &Database) -> Result<Table, redb::Error> {
    match db.begin_read()?.open_table(TABLE) {
        // It is there from the creation on.
        Err(TableError::TableDoesNotExist(_)) => {
            Err(redb::Error::Corrupted("the table is missing".into()))
        }
        table => Ok(table?),
    }
}

fn checksum(key: &[u8], value: &[u8]) -> [u8; SUM] {
    crc32c::crc32c_append(crc32c::crc32c(key), value).to_le_bytes()
}

/// A row's value, if it is what was written.
fn checked<'v>(key: &[u8], stored: &'v [u8]) -> Option<&'v [u8]> {
    let (sum, value) = stored.split_first_chunk::<SUM>()?;
    (*sum == checksum(key, value)).then_some(value)
}

fn failure(context: String, error: redb::Error) -> Error {
    match error {
        redb::Error::Io(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                Error::Corrupt(format!("{context}: {error}"))
            }
            _ => Error::io(context, error),
        },
        redb::Error::PreviousIo | redb::Error::LockPoisoned(_) => {
            Error::Poisoned(format!("{context}: {error}"))
        }
        redb::Error::DatabaseClosed => Error::Closed,
        redb::Error::DatabaseAlreadyOpen => Error::Locked(context),
        error => Error::Corrupt(format!("{context}: {error}")),
    }
}

/// The file below redb. Its lock is the store's.
#[derive(Debug)]
struct Device {
    file: Arc<dyn DiskFile>,
    tally: Arc<Tally>,
}

impl Device {
    fn noted(&self, done: io::Result<()>) -> io::Result<()> {
        if let Err(error) = &done
            && matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        {
            self.tally.full.store(true, Relaxed);
        }
        done
    }
}

impl StorageBackend for Device {
    fn len(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.noted(self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.tally.syncs.fetch_add(1, Relaxed);
        // Even if it found no space: what was written before is in no known
        // state, and must not be read again as if it were durable.
        self.file.sync().map_err(|error| {
            self.tally.full.store(false, Relaxed);
            io::Error::other(error)
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.tally.bytes.fetch_add(data.len() as u64, Relaxed);
        self.noted(self.file.write_at(data, offset))
    }
}
