//! The rows: [`Engine`] on one table. [`Blocking`](axigen_store::blocking::Blocking) makes a `Backend` of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use axigen_store::backend::{KeyRange, Limits, Maintain, Report, Snapshot, Written};
use axigen_store::blocking::Engine;
use axigen_store::{Error, Key, Page, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::{OptionalExtension, params};

use crate::database::{Database, View};

/// WITHOUT ROWID: the table is itself the ordered map, not a heap beside an
/// index. BLOBs are compared bytewise, as a backend's keys must be.
const SCHEMA: &str = "
    CREATE TABLE row (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID, STRICT;
";

/// The rows.
#[derive(Debug)]
pub(crate) struct Rows {
    database: Database,
    /// Held as long as the store is open, see [`lock`].
    lock: Mutex<Option<File>>,
}

/// So that only one process has the store open: SQLite would let in a second
/// one, which would see changes, but `Blocking` remembers rows and would not.
pub(crate) fn lock(dir: &Path) -> Result<File> {
    let failed = |error| Error::io(format!("locking {}", dir.display()), error);
    let lock = File::create(dir.join("LOCK")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::Locked(dir.display().to_string())),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

impl Rows {
    /// Opens or makes the rows of the store that is locked.
    pub(crate) fn open(path: &Path, lock: File) -> Result<Self> {
        Ok(Rows {
            database: Database::open(path, SCHEMA)?,
            lock: Mutex::new(Some(lock)),
        })
    }

    /// The file below, for tests.
    #[cfg(test)]
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }
}

impl Engine for Rows {
    fn limits(&self) -> Limits {
        // SQLite could do more: what is promised here is what is tested.
        Limits {
            key: 2048,
            value: 16 << 20,
            batch: 32 << 20,
            shared: false,
        }
    }

    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        self.database.read(|connection| {
            let mut select = connection.prepare_cached("SELECT value FROM row WHERE key = ?1")?;
            keys.iter()
                .map(|key| {
                    let value = select.query_row([&key[..]], |row| row.get::<_, Vec<u8>>(0));
                    Ok(value.optional()?.map(Bytes::from))
                })
                .collect()
        })
    }

    fn range(&self, range: &KeyRange, at: Option<&Snapshot>) -> Result<Page> {
        if range.from >= range.to || range.limit == 0 {
            return Ok(Page::default());
        }
        let value = if range.keys_only { "x''" } else { "value" };
        let order = if range.reverse { "DESC" } else { "ASC" };
        let select = format!(
            "SELECT key, {value} FROM row WHERE key >= ?1 AND key < ?2 ORDER BY key {order} LIMIT ?3"
        );
        // One more than asked tells whether another page follows.
        let most = i64::try_from(range.limit.saturating_add(1)).unwrap_or(i64::MAX);
        let read = |connection: &rusqlite::Connection| {
            let mut select = connection.prepare_cached(&select)?;
            let wanted = params![&range.from[..], &range.to[..], most];
            let rows = select.query_map(wanted, |row| {
                let (key, value): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
                Ok((Key::from(key), Bytes::from(value)))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let mut rows = match at {
            None => self.database.read(read)?,
            Some(snapshot) => {
                self.database.check_open()?;
                let view = snapshot.downcast::<Mutex<View>>();
                let view =
                    view.ok_or_else(|| Error::Invalid("a snapshot of another backend".into()))?;
                view.lock().read(read)?
            }
        };
        let next = Page::cut(&mut rows, range.limit, range.reverse);
        Ok(Page { rows, next })
    }

    fn write(&self, ranges: &[(Key, Key)], points: &BTreeMap<Key, Option<Bytes>>) -> Result<()> {
        let length =
            |(key, value): (&Key, &Option<Bytes>)| key.len() + value.as_ref().map_or(0, Bytes::len);
        let bytes = points.iter().map(length).sum();
        self.database.write(bytes, |transaction| {
            let mut clear =
                transaction.prepare_cached("DELETE FROM row WHERE key >= ?1 AND key < ?2")?;
            let mut set = transaction.prepare_cached("REPLACE INTO row VALUES (?1, ?2)")?;
            let mut remove = transaction.prepare_cached("DELETE FROM row WHERE key = ?1")?;
            for (from, to) in ranges {
                clear.execute([&from[..], &to[..]])?;
            }
            for (key, value) in points {
                match value {
                    Some(value) => set.execute([&key[..], &value[..]])?,
                    None => remove.execute([&key[..]])?,
                };
            }
            Ok(())
        })
    }

    fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot::new(Mutex::new(self.database.view()?)))
    }

    fn maintain(&self, task: Maintain) -> Result<Report> {
        let (before, mut free) = self.database.size()?;
        if task == Maintain::Compact {
            while free > 0 {
                self.database.shrink(256)?;
                let left = self.database.size()?.1;
                if left >= free {
                    break;
                }
                free = left;
            }
            self.database.checkpoint()?;
        }
        let (after, _) = self.database.size()?;
        Ok(Report { before, after })
    }

    fn stat(&self) -> Written {
        self.database.written()
    }

    fn close(&self) -> Result<()> {
        let closed = self.database.close();
        drop(self.lock.lock().take());
        closed
    }
}
