//! Reading everything now and then, before somebody needs it.
//!
//! Damage that nobody looks at for years is found when the backup that could
//! have mended it is long gone. So the store reads all its blobs once a week,
//! a little at a time and no faster than it is told, and remembers where it is.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::line::wait;
use super::{Shared, Store, clock};
use crate::backend::{KeyRange, Request, Upkeep, key};
use crate::batch::Batch;
use crate::blob::{BlobRow, Place, seal};
use crate::error::{Error, Result};

/// Rows read at a time.
const PAGE: usize = 64;
/// Damaged blobs beyond this many are counted, not named.
const NAMED: usize = 1000;
/// Where it is noted how far it is.
const NOTE: &str = "scrub";
const VERSION: u8 = 1;

/// How the store is scrubbed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScrubOptions {
    /// How often everything is read. Zero: only when [`Store::scrub`] is
    /// called. 7 days.
    pub every: Duration,
    /// Most bytes read in a second. 8 MB.
    pub rate: u64,
    /// How long it goes on at a time: with each upkeep of the store, or in one
    /// call. 2 min.
    pub turn: Duration,
}

impl Default for ScrubOptions {
    fn default() -> Self {
        ScrubOptions {
            every: Duration::from_secs(7 * 24 * 3600),
            rate: 8 << 20,
            turn: Duration::from_secs(120),
        }
    }
}

/// What one turn of scrubbing found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Blobs read.
    pub blobs: u64,
    /// Sealed bytes of these.
    pub bytes: u64,
    /// Blobs that are damaged; the first thousand.
    pub damaged: Vec<[u8; 32]>,
    /// How many are damaged.
    pub damaged_count: u64,
    /// Whether it came to the end: the next turn begins anew.
    pub whole: bool,
}

/// How far scrubbing is, from one opening of the store to the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// When the round that is on its way began, in seconds since 1970; 0 if
    /// none is.
    pub began: u64,
    /// When everything had been read the last time; 0 for never.
    pub ended: u64,
    /// Blobs read in the round that is on its way.
    pub blobs: u64,
    /// Damaged blobs in that round, or, between two, in the last one.
    pub damaged: u64,
    /// The blob it goes on behind.
    cursor: [u8; 32],
}

impl Scrubbed {
    fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(65);
        bytes.put_u8(VERSION);
        for number in [self.began, self.ended, self.blobs, self.damaged] {
            bytes.put_u64(number);
        }
        bytes.put_slice(&self.cursor);
        bytes.freeze()
    }

    /// What is no such note counts as none: it is made anew.
    fn decode(mut bytes: &[u8]) -> Self {
        if bytes.len() != 65 || bytes.get_u8() != VERSION {
            return Self::default();
        }
        let [began, ended, blobs, damaged] = [(); 4].map(|()| bytes.get_u64());
        let mut cursor = [0; 32];
        bytes.copy_to_slice(&mut cursor);
        Scrubbed {
            began,
            ended,
            blobs,
            damaged,
            cursor,
        }
    }
}

impl Store {
    /// Reads blobs and compares their checksums, from where the last turn
    /// ended, until everything is read or [`ScrubOptions::turn`] is over.
    /// Beside everything else, no faster than [`ScrubOptions::rate`]. Damage is
    /// logged, and counted in [`Stat::damaged`](super::Stat::damaged). The
    /// store does this by itself, see [`Options::scrub`](super::Options::scrub).
    ///
    /// # Errors
    /// Those of the backend and the blob store; damage is none.
    pub async fn scrub(&self, options: ScrubOptions) -> Result<ScrubReport> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.scrub_here(&options))
            .await
            .map_err(|error| Error::io("scrubbing", std::io::Error::other(error)))?
    }

    /// How far scrubbing is.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn scrubbed(&self) -> Result<Scrubbed> {
        let shared = &self.inner.shared;
        shared.health.readable()?;
        Ok(Scrubbed::decode(
            shared.scrub_note().await?.as_deref().unwrap_or_default(),
        ))
    }

    /// A turn, if it is time for one.
    pub(super) fn scrub_if_due(&self, options: &ScrubOptions) -> Result<()> {
        if options.every.is_zero() {
            return Ok(());
        }
        let so_far = wait(self.scrubbed())?;
        let due = so_far.ended.saturating_add(options.every.as_secs());
        if so_far.began == 0 && clock() < due {
            return Ok(());
        }
        self.scrub_here(options).map(drop)
    }

    /// [`Store::scrub`] where the caller stands.
    fn scrub_here(&self, options: &ScrubOptions) -> Result<ScrubReport> {
        let shared = Arc::clone(&self.inner.shared);
        shared.health.writable()?;
        let _turn = wait(shared.scrubbing.lock());
        let noted = wait(shared.scrub_note())?;
        let mut so_far = Scrubbed::decode(noted.as_deref().unwrap_or_default());
        if so_far.began == 0 {
            so_far = Scrubbed {
                began: clock(),
                ended: so_far.ended,
                ..Scrubbed::default()
            };
        }
        let mut report = ScrubReport::default();
        let begin = Instant::now();
        let ended = loop {
            report.whole = shared.scrub_page(&mut so_far, &mut report)?;
            if report.whole {
                so_far.ended = clock();
                so_far.began = 0;
                so_far.cursor = [0; 32];
                break Ok(());
            }
            if begin.elapsed() >= options.turn {
                break Ok(());
            }
            // What was read is noted also if the store is being closed.
            if let Err(error) = self.rest(begin, report.bytes, options) {
                break Err(error);
            }
        };
        let mend = Upkeep::Mend {
            key: key::note(NOTE),
            from: noted,
            to: Some(so_far.encode()),
        };
        let request = Request {
            upkeep: vec![mend],
            ..Request::from(Batch::default())
        };
        // If it fails, these blobs are read again.
        match wait(self.inner.commits.ask(request, 200)) {
            Ok(_) | Err(Error::Closed | Error::Full) => {}
            Err(error) => return Err(error),
        }
        if report.whole {
            tracing::info!(
                blobs = so_far.blobs,
                damaged = so_far.damaged,
                "read everything"
            );
        }
        ended.map(|()| report)
    }

    /// Keeps to the rate.
    fn rest(&self, begin: Instant, bytes: u64, options: &ScrubOptions) -> Result<()> {
        let wanted = Duration::from_secs_f64(bytes as f64 / options.rate.max(1) as f64);
        // Not longer than the turn is.
        let until = wanted.min(options.turn);
        loop {
            self.inner.shared.health.writable()?;
            // Nobody else has the store any more: this must not keep it open.
            if Arc::strong_count(&self.inner) == 1 {
                return Err(Error::Closed);
            }
            match until.checked_sub(begin.elapsed()) {
                None | Some(Duration::ZERO) => return Ok(()),
                Some(left) => std::thread::sleep(left.min(Duration::from_millis(200))),
            }
        }
    }
}

impl Shared {
    async fn scrub_note(&self) -> Result<Option<Bytes>> {
        let rows = self.backend.get(&[key::note(NOTE)]).await?;
        Ok(rows.into_iter().next().flatten())
    }

    /// Reads the next blobs; whether they were the last.
    fn scrub_page(&self, so_far: &mut Scrubbed, report: &mut ScrubReport) -> Result<bool> {
        let (first, to) = key::all(b'b');
        let from = match so_far.blobs {
            0 => first,
            // The key behind the last one.
            _ => {
                let mut next = BytesMut::from(&key::blob(&so_far.cursor)[..]);
                next.put_u8(0);
                next.freeze()
            }
        };
        let range = KeyRange {
            from,
            to,
            limit: PAGE,
            reverse: false,
            keys_only: false,
        };
        let page = wait(self.backend.range(&range, None))?;
        for (key, value) in page.rows {
            let hash: [u8; 32] = key::rest(&key)
                .try_into()
                .map_err(|_| Error::Corrupt("the key of a blob".into()))?;
            so_far.cursor = hash;
            so_far.blobs += 1;
            report.blobs += 1;
            let checked = match BlobRow::decode(&value) {
                Ok(row) => self.scrub_blob(&hash, row),
                Err(error) => Err(error),
            };
            match checked {
                Ok(bytes) => report.bytes += bytes,
                Err(Error::Corrupt(why)) => {
                    so_far.damaged += 1;
                    report.damaged_count += 1;
                    self.counters.damaged.fetch_add(1, Relaxed);
                    if report.damaged.len() < NAMED {
                        report.damaged.push(hash);
                    }
                    let hash = blake3::Hash::from_bytes(hash).to_hex();
                    tracing::error!(
                        blob = %hash,
                        "{why}; `axigen store repair` looks for another copy"
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok(page.next.is_none())
    }

    /// Reads one, wherever it is moved to meanwhile; gives its sealed bytes.
    fn scrub_blob(&self, hash: &[u8; 32], mut row: BlobRow) -> Result<u64> {
        loop {
            let failed = match self.scrub_place(hash, &row) {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error,
            };
            match wait(self.row(hash))? {
                Some(now) if now.place != row.place => row = now,
                Some(_) => return Err(failed),
                // Forgotten.
                None => return Ok(0),
            }
        }
    }

    fn scrub_place(&self, hash: &[u8; 32], row: &BlobRow) -> Result<u64> {
        match &row.place {
            Place::Stored { len, .. } => {
                let loc = row.place.loc(hash);
                let loc = loc.ok_or_else(|| Error::Corrupt("the place of a blob".into()))?;
                let read = self.read_at(hash, &loc, row.raw_len)?;
                if read.parts != row.parts {
                    return Err(Error::Corrupt("the parts of a blob".into()));
                }
                Ok(*len)
            }
            Place::Inline { bytes, .. } => {
                let (_, held) = seal::unseal(bytes, hash, &self.dictionaries)?;
                if blake3::hash(&held).as_bytes() != hash {
                    return Err(Error::Corrupt("the content of a blob".into()));
                }
                Ok(bytes.len() as u64)
            }
        }
    }
}
