//! The blobs, in pieces, so that a part of a long one is read without the rest.
//!
//! In a file of their own and not beside the rows: SQLite has one writer for
//! each file, and the store puts the next blobs while it commits the last rows.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use axigen_store::backend::Written;
use axigen_store::blob::{
    BlobLoc, BlobStore, Listed, Listing, LiveSet, SealedBlob, SweepOptions, SweepReport,
};
use axigen_store::{Error, Result};
use bytes::Bytes;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::database::Database;

/// AUTOINCREMENT: a number that was given up is never given again, so a place
/// means one blob for ever. `part.bytes` is the sum over the blobs of a part.
const SCHEMA: &str = "
    CREATE TABLE blob (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        hash BLOB NOT NULL,
        len INTEGER NOT NULL,
        raw_len INTEGER NOT NULL,
        label BLOB NOT NULL
    ) STRICT;
    CREATE TABLE piece (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
    CREATE TABLE part (part INTEGER PRIMARY KEY, bytes INTEGER NOT NULL) STRICT;
";

/// Length of a piece in bytes; the last one of a blob is shorter.
const PIECE: usize = 256 << 10;
/// Pieces of a blob have the numbers from `number * PIECES` on: 16 GB is the longest.
const PIECES: i64 = 1 << 16;
/// So many blobs in a row are what the store calls a file. It counts the bytes
/// that are wanted of each, so a sweep looks only where something is not.
const PART: i64 = 1024;
/// Longer reads go to a thread that may block.
const SHORT: u64 = 64 << 10;
/// Blobs looked at, or free pages given back, in one step.
const STEP: usize = 256;

/// The blobs.
#[derive(Debug)]
pub(crate) struct Blobs {
    database: Arc<Database>,
}

impl Blobs {
    /// Opens or makes them.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let database = Arc::new(Database::open(path, SCHEMA)?);
        Ok(Blobs { database })
    }

    fn remove(&self, locs: &[BlobLoc]) -> Result<u64> {
        self.database.write(0, |transaction| {
            let mut freed = 0;
            for loc in locs {
                freed += remove(transaction, loc.offset as i64)?;
            }
            Ok(freed as u64)
        })
    }

    /// Parts that hold more than is wanted of them.
    async fn with_dead(&self, live: &dyn LiveSet) -> Result<Vec<i64>> {
        // First what is held: what is put after it is not missed by the other.
        let held = self.database.read(|connection| {
            let mut select = connection.prepare_cached("SELECT part, bytes FROM part")?;
            let rows =
                select.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        let wanted = live.by_file().await?;
        let wanted = |part: i64| wanted.get(&(part as u64)).copied().unwrap_or_default();
        let dead = held
            .into_iter()
            .filter(|(part, held)| (*held as u64) > wanted(*part));
        Ok(dead.map(|(part, _)| part).collect())
    }

    /// Some of the blobs from a number on, before another.
    fn some(&self, from: i64, to: i64, limit: usize) -> Result<Vec<Listed>> {
        self.database.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT number, hash, len, raw_len, label FROM blob
                 WHERE number >= ?1 AND number < ?2 ORDER BY number LIMIT ?3",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            select.query_map([from, to, limit], listed)?.collect()
        })
    }
}

#[async_trait]
impl BlobStore for Blobs {
    async fn put(&self, items: &[SealedBlob]) -> Result<Vec<BlobLoc>> {
        let most = PIECE as u64 * PIECES as u64;
        if items.iter().any(|item| item.bytes.len() as u64 > most) {
            return Err(Error::TooLarge(format!("a blob beyond {most} bytes")));
        }
        let bytes = items.iter().map(|item| item.bytes.len()).sum();
        self.database.write(bytes, |transaction| {
            items.iter().map(|item| insert(transaction, item)).collect()
        })
    }

    async fn get(&self, loc: &BlobLoc, range: Range<u64>) -> Result<Bytes> {
        let range = range.start.min(loc.len)..range.end.min(loc.len);
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        if range.end - range.start <= SHORT {
            return read(&self.database, loc.offset, range);
        }
        let (database, number) = (Arc::clone(&self.database), loc.offset);
        tokio::task::spawn_blocking(move || read(&database, number, range))
            .await
            .map_err(|error| Error::io("reading a blob", std::io::Error::other(error)))?
    }

    async fn delete(&self, locs: &[BlobLoc]) -> Result<()> {
        self.remove(locs).map(drop)
    }

    async fn sweep(&self, live: &dyn LiveSet, options: &SweepOptions) -> Result<SweepReport> {
        let mut report = SweepReport::default();
        // A backup under way may still want what no row names any more.
        if !live.may_remove() {
            return Ok(report);
        }
        for part in self.with_dead(live).await? {
            let (mut from, to) = (part * PART, (part + 1) * PART);
            loop {
                let blobs = self.some(from, to, STEP)?;
                let Some(last) = blobs.last() else { break };
                from = last.loc.offset as i64 + 1;
                let locs: Vec<BlobLoc> = blobs.into_iter().map(|blob| blob.loc).collect();
                // What nobody names now nobody will: who brings the same
                // content again gets a new place for it.
                let live = live.live(&locs).await?;
                let dead = locs.into_iter().zip(live).filter(|(_, live)| !live);
                let dead: Vec<BlobLoc> = dead.map(|(loc, _)| loc).collect();
                if !dead.is_empty() {
                    report.removed += dead.len() as u64;
                    report.freed += self.remove(&dead)?;
                }
            }
        }
        // Free pages are used again; only when there are many does the file shrink.
        loop {
            let (size, free) = self.database.size()?;
            if (size - free).saturating_mul(100) >= size.saturating_mul(options.percent) {
                return Ok(report);
            }
            self.database.shrink(STEP as u64)?;
            let shrunk = size.saturating_sub(self.database.size()?.0);
            if shrunk == 0 {
                return Ok(report);
            }
            live.pace(shrunk).await?;
        }
    }

    async fn list(&self, from: (u64, u64), limit: usize) -> Result<Listing> {
        let first = i64::try_from(from.1).unwrap_or(i64::MAX);
        let mut blobs = self.some(first, i64::MAX, limit.saturating_add(1))?;
        let next = match blobs.len() > limit {
            true => blobs.pop().map(|blob| (blob.loc.file, blob.loc.offset)),
            false => None,
        };
        Ok(Listing {
            blobs,
            next,
            ..Listing::default()
        })
    }

    async fn held(&self) -> Result<u64> {
        Ok(self.database.size()?.0)
    }

    fn stat(&self) -> Written {
        self.database.written()
    }

    async fn close(&self) -> Result<()> {
        self.database.close()
    }
}

fn insert(transaction: &Transaction<'_>, item: &SealedBlob) -> rusqlite::Result<BlobLoc> {
    let len = item.bytes.len() as i64;
    let mut blob = transaction
        .prepare_cached("INSERT INTO blob (hash, len, raw_len, label) VALUES (?1, ?2, ?3, ?4)")?;
    blob.execute(params![
        item.hash,
        len,
        item.raw_len as i64,
        &item.label[..]
    ])?;
    let number = transaction.last_insert_rowid();
    let mut piece = transaction.prepare_cached("INSERT INTO piece VALUES (?1, ?2)")?;
    for (at, bytes) in item.bytes.chunks(PIECE).enumerate() {
        piece.execute(params![number * PIECES + at as i64, bytes])?;
    }
    account(transaction, number, len)?;
    Ok(place(number, item.hash, len))
}

/// Removes a blob, if it is there, and gives its length.
fn remove(transaction: &Transaction<'_>, number: i64) -> rusqlite::Result<i64> {
    let mut blob =
        transaction.prepare_cached("DELETE FROM blob WHERE number = ?1 RETURNING len")?;
    let len: Option<i64> = blob.query_row([number], |row| row.get(0)).optional()?;
    let Some(len) = len else { return Ok(0) };
    let mut pieces = transaction.prepare_cached("DELETE FROM piece WHERE id >= ?1 AND id < ?2")?;
    pieces.execute([number * PIECES, (number + 1) * PIECES])?;
    account(transaction, number, -len)?;
    Ok(len)
}

fn account(transaction: &Transaction<'_>, number: i64, bytes: i64) -> rusqlite::Result<()> {
    let mut add = transaction.prepare_cached(
        "INSERT INTO part VALUES (?1, ?2) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes",
    )?;
    add.execute([number / PART, bytes])?;
    let mut empty = transaction.prepare_cached("DELETE FROM part WHERE part = ?1 AND bytes = 0")?;
    empty.execute([number / PART])?;
    Ok(())
}

/// Reads pieces and cuts them to the range, which is not empty.
fn read(database: &Database, number: u64, range: Range<u64>) -> Result<Bytes> {
    let (piece, pieces) = (PIECE as u64, PIECES as u64);
    let first = range.start / piece;
    let ids = number * pieces + first..=number * pieces + (range.end - 1) / piece;
    let wanted = (range.start - first * piece) as usize..(range.end - first * piece) as usize;
    let bytes = database.read(|connection| {
        let mut select = connection
            .prepare_cached("SELECT bytes FROM piece WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?;
        let mut rows = select.query([*ids.start() as i64, *ids.end() as i64])?;
        let mut bytes = Vec::with_capacity(wanted.end);
        while let Some(row) = rows.next()? {
            bytes.extend_from_slice(row.get_ref(0)?.as_blob()?);
        }
        Ok(bytes)
    })?;
    // Given up meanwhile: whoever reads looks again where it is.
    if bytes.len() < wanted.end {
        return Err(Error::NotFound);
    }
    Ok(Bytes::from(bytes).slice(wanted))
}

fn listed(row: &Row<'_>) -> rusqlite::Result<Listed> {
    Ok(Listed {
        loc: place(row.get(0)?, row.get(1)?, row.get(2)?),
        raw_len: row.get::<_, i64>(3)? as u64,
        label: row.get::<_, Vec<u8>>(4)?.into(),
    })
}

fn place(number: i64, hash: [u8; 32], len: i64) -> BlobLoc {
    BlobLoc {
        hash,
        file: (number / PART) as u64,
        offset: number as u64,
        len: len as u64,
        extra: 0,
    }
}
