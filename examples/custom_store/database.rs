//! One SQLite file: a connection that writes, some that read, and its errors by kind.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axigen_store::backend::Written;
use axigen_store::{Error, Result};
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

/// Connections for reading that are kept while nobody reads. More are opened
/// when more are needed: one that waited for a snapshot to end could wait for
/// as long as a backup takes.
const IDLE: usize = 8;
/// Of each connection, in KiB.
const CACHE: i64 = 8 << 10;
/// Of our tables. Another number in the file means another program's, or a
/// later version's.
const VERSION: i64 = 1;

/// One SQLite file.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    /// `None` once it is closed.
    writer: Mutex<Option<Connection>>,
    readers: Arc<Pool>,
    syncs: AtomicU64,
    bytes: AtomicU64,
}

/// `None` once it is closed.
type Pool = Mutex<Option<Vec<Connection>>>;

impl Database {
    /// Opens the file, or makes it with this schema.
    pub(crate) fn open(path: &Path, schema: &str) -> Result<Self> {
        let run = || {
            let writer = Connection::open(path)?;
            // Before the first table is made, or it has no effect: what is
            // deleted can be given back to the disk.
            writer.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
            // Readers and the writer do not wait for each other, and a commit
            // is one append and one sync.
            writer.pragma_update(None, "journal_mode", "WAL")?;
            // NORMAL would sync at checkpoints only: a commit would survive
            // kill -9, but not a loss of power, and the store has promised both.
            writer.pragma_update(None, "synchronous", "FULL")?;
            // Without it, macOS leaves what was synced in the drive's memory.
            writer.pragma_update(None, "fullfsync", true)?;
            writer.pragma_update(None, "checkpoint_fullfsync", true)?;
            writer.pragma_update(None, "cache_size", -CACHE)?;
            // A long snapshot lets the log grow; after it, it shrinks again.
            writer.pragma_update(None, "journal_size_limit", 64 << 20)?;
            let version: i64 = writer.pragma_query_value(None, "user_version", |row| row.get(0))?;
            if version == 0 {
                // One transaction: what was made by half is made again.
                let made = writer.unchecked_transaction()?;
                made.execute_batch(schema)?;
                made.pragma_update(None, "user_version", VERSION)?;
                made.commit()?;
            }
            Ok((writer, version))
        };
        let (writer, version) = run().map_err(|error| failure(path, "opening", error))?;
        if version != 0 && version != VERSION {
            return Err(Error::Invalid(format!(
                "{} has version {version}; this program knows {VERSION}",
                path.display()
            )));
        }
        Ok(Database {
            path: path.to_owned(),
            writer: Mutex::new(Some(writer)),
            readers: Arc::new(Mutex::new(Some(Vec::new()))),
            syncs: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    /// One transaction, durable on `Ok`. After an error nothing of it is
    /// there, unless the error is fatal. `bytes` are counted as written.
    pub(crate) fn write<T>(
        &self,
        bytes: usize,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let mut writer = self.writer.lock();
        let writer = writer.as_mut().ok_or(Error::Closed)?;
        let run = || {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = change(&transaction)?;
            // Dropped without this, it is rolled back.
            transaction.commit()?;
            Ok(done)
        };
        let done = run().map_err(|error| failure(&self.path, "writing", error));
        if !writer.is_autocommit() {
            return Err(Error::Poisoned(format!(
                "{}: a transaction could not be rolled back",
                self.path.display()
            )));
        }
        if done.is_ok() {
            self.syncs.fetch_add(1, Relaxed);
            self.bytes.fetch_add(bytes as u64, Relaxed);
        }
        done
    }

    /// Reads, all as of one moment.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.begin()?.read(read)
    }

    /// A view that stays as it is now, on a connection of its own.
    pub(crate) fn view(&self) -> Result<View> {
        let view = self.begin()?;
        // BEGIN alone does not look at the file: the first read decides what
        // moment is seen.
        view.read(|connection| {
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        })?;
        Ok(view)
    }

    /// An error once it is closed.
    pub(crate) fn check_open(&self) -> Result<()> {
        match *self.readers.lock() {
            Some(_) => Ok(()),
            None => Err(Error::Closed),
        }
    }

    fn begin(&self) -> Result<View> {
        let idle = match self.readers.lock().as_mut() {
            Some(idle) => idle.pop(),
            None => return Err(Error::Closed),
        };
        let run = || {
            let connection = match idle {
                Some(connection) => connection,
                None => self.reader()?,
            };
            connection.execute_batch("BEGIN")?;
            Ok(connection)
        };
        let connection = run().map_err(|error| failure(&self.path, "reading", error))?;
        Ok(View {
            path: self.path.clone(),
            connection: Some(connection),
            home: Arc::clone(&self.readers),
        })
    }

    fn reader(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(&self.path, flags)?;
        reader.pragma_update(None, "cache_size", -CACHE)?;
        Ok(reader)
    }

    /// Length of the file in bytes, and how much of it is free, without what
    /// the log holds.
    pub(crate) fn size(&self) -> Result<(u64, u64)> {
        self.read(|connection| {
            let pragma =
                |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            let page = pragma("page_size")?;
            let bytes = |pages: i64| u64::try_from(pages * page).unwrap_or_default();
            Ok((
                bytes(pragma("page_count")?),
                bytes(pragma("freelist_count")?),
            ))
        })
    }

    /// Gives up to so many free pages back to the disk. Writers wait for that
    /// long, so it is done in small steps.
    pub(crate) fn shrink(&self, pages: u64) -> Result<()> {
        let writer = self.writer.lock();
        let writer = writer.as_ref().ok_or(Error::Closed)?;
        let run = || {
            let mut vacuum = writer.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
            let mut steps = vacuum.query([])?;
            while steps.next()?.is_some() {}
            Ok(())
        };
        run().map_err(|error| failure(&self.path, "shrinking", error))
    }

    /// Copies the log into the file, as far as no reader still needs it.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        let writer = self.writer.lock();
        let writer = writer.as_ref().ok_or(Error::Closed)?;
        writer
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
            .map_err(|error| failure(&self.path, "copying the log", error))
    }

    /// Syncs and bytes so far. What SQLite itself copies from the log to the
    /// file is not counted.
    pub(crate) fn written(&self) -> Written {
        Written {
            syncs: self.syncs.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }

    /// Closes. The last connection that goes copies the log into the file.
    pub(crate) fn close(&self) -> Result<()> {
        drop(self.readers.lock().take());
        match self.writer.lock().take() {
            Some(writer) => writer
                .close()
                .map_err(|(_, error)| failure(&self.path, "closing", error)),
            None => Ok(()),
        }
    }

    /// For tests: the connection that writes, while it is open.
    #[cfg(test)]
    pub(crate) fn with_writer<T>(&self, run: impl FnOnce(&Connection) -> T) -> Option<T> {
        self.writer.lock().as_ref().map(run)
    }
}

/// What one moment looked like: a read transaction. While it lives, SQLite's
/// log cannot be emptied.
#[derive(Debug)]
pub(crate) struct View {
    path: PathBuf,
    connection: Option<Connection>,
    home: Arc<Pool>,
}

impl View {
    /// Reads as of that moment.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let connection = self.connection.as_ref().ok_or(Error::Closed)?;
        read(connection).map_err(|error| failure(&self.path, "reading", error))
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        // One that cannot end its transaction is of no more use.
        if connection.execute_batch("COMMIT").is_ok()
            && let Some(idle) = self.home.lock().as_mut()
            && idle.len() < IDLE
        {
            idle.push(connection);
        }
    }
}

/// An error of SQLite by kind: the store decides by the kind whether it goes
/// on, so that a full disk does not look like a broken one.
pub(crate) fn failure(path: &Path, what: &str, error: rusqlite::Error) -> Error {
    let context = format!("{what} {}", path.display());
    match error.sqlite_error_code() {
        // The transaction is rolled back, the file is as it was.
        Some(ErrorCode::DiskFull) => Error::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Corrupt(format!("{context}: {error}"))
        }
        // Another program has it open and writes: that passes.
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::Unavailable(format!("{context}: {error}"))
        }
        Some(ErrorCode::TooBig) => Error::TooLarge(format!("{context}: {error}")),
        // A column with a type that we never write.
        None if matches!(error, rusqlite::Error::InvalidColumnType(..)) => {
            Error::Corrupt(format!("{context}: {error}"))
        }
        // Above all a write or sync that failed. It is fatal: nobody knows
        // what is on disk until the file is opened again.
        _ => Error::Io {
            context,
            source: Arc::new(error),
        },
    }
}
