//! Reading fjall's journals before fjall does.
//!
//! fjall ends a journal at the first thing in it that it does not understand
//! and cuts the rest off, so that one flipped bit would silently take all
//! batches behind it; and a batch torn by a loss of power, whose end got to the
//! disk and whose middle did not, would keep it from opening at all. Here the
//! two are told apart: what was never acknowledged is cut, anything else is an
//! error, and the file stays as it is.
//!
//! One thing tells: each of our batches carries its number (the row
//! [`NUMBER`]). A batch is begun only when the one before it is durable, so
//! damage with a good batch behind it is damage to something acknowledged; and
//! so is damage to the last one, if its number is [noted](super::noted).
//!
//! The format is that of fjall's layout 3; numbers are little-endian:
//!
//! | bytes | meaning |
//! |---|---|
//! | 13 | begin: 1, how many items (4), sequence number (8) |
//! | n | items: 2, kind (1), compression (1), keyspace (8), length of the key (2), of the value (4), of the value here (4), key, value; or 4, keyspace (8) |
//! | 13 | end: 3, XXH3 of the items (8), `FJL`, 3 |

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::NUMBER;
use crate::error::{Error, Result};

const BEGIN: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: [u8; 4] = *b"FJL\x03";
/// Read at first, and at least.
const CHUNK: usize = 256 << 10;

/// Looks at all journals in a directory, of which `noted` is the last number
/// known to be acknowledged. What was not acknowledged is cut off the last.
///
/// # Errors
/// [`Error::Corrupt`] with file and place, [`Error::Io`].
pub(super) fn check(dir: &Path, noted: u64) -> Result<()> {
    let journals = journals(dir)?;
    let mut before = None;
    for (at, path) in journals.iter().enumerate() {
        let failed = |error| Error::io(format!("reading {}", path.display()), error);
        let read = read(path, before).map_err(failed)?;
        before = read.last.or(before);
        let Some(damage) = read.damage else { continue };
        let corrupt = |what: &str| {
            Error::Corrupt(format!(
                "the journal {} at {}: {what}",
                path.display(),
                read.good
            ))
        };
        if at + 1 < journals.len() {
            return Err(corrupt("a batch is damaged"));
        }
        if damage.goes_on {
            return Err(corrupt("a batch is damaged, others follow it"));
        }
        if before.is_some_and(|(_, number)| number < noted) {
            return Err(corrupt("the last batch is damaged, and was acknowledged"));
        }
        tracing::warn!(
            journal = %path.display(), at = read.good,
            "cut a torn batch that nobody was promised"
        );
        File::options()
            .write(true)
            .open(path)
            .and_then(|file| {
                file.set_len(read.good)?;
                file.sync_all()
            })
            .map_err(|error| Error::io(format!("cutting {}", path.display()), error))?;
    }
    Ok(())
}

/// The journals, the one that is appended to last.
fn journals(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::io(format!("listing {}", dir.display()), error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse::<u64>().ok());
        found.extend(number.map(|number| (number, path)));
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// What a journal holds.
struct Journal {
    /// Where its last good batch ends.
    good: u64,
    /// Sequence number and our number of the last batch.
    last: Option<(u64, u64)>,
    damage: Option<Damage>,
}

struct Damage {
    /// There is a good batch behind it.
    goes_on: bool,
}

fn read(path: &Path, mut last: Option<(u64, u64)>) -> std::io::Result<Journal> {
    let mut file = File::open(path)?;
    let mut buffer = Vec::new();
    let (mut at, mut good) = (0, 0);
    let mut ended = false;
    loop {
        let rest = buffer.get(at..).unwrap_or_default();
        match batch(rest) {
            Parsed::Batch(batch) if batch.follows(last) => {
                at += batch.len;
                good += batch.len as u64;
                if let Some(number) = batch.number {
                    last = Some((batch.sequence, number));
                }
            }
            Parsed::More if !ended => {
                buffer.drain(..at);
                at = 0;
                // Twice as much, so that a large batch is not begun too often.
                let more = buffer.len().max(CHUNK) as u64;
                ended = (&mut file).take(more).read_to_end(&mut buffer)? == 0;
            }
            Parsed::Batch(_) | Parsed::More | Parsed::Bad => break,
        }
    }
    buffer.drain(..at);
    // What is written to comes with zeros behind it.
    let mut zeros = buffer.iter().all(|byte| *byte == 0);
    while zeros && !ended {
        buffer.clear();
        ended = (&mut file).take(1 << 20).read_to_end(&mut buffer)? == 0;
        zeros = buffer.iter().all(|byte| *byte == 0);
    }
    let damage = if zeros {
        None
    } else {
        file.read_to_end(&mut buffer)?;
        let behind = |at: usize| buffer.get(at..).map(batch);
        let goes_on = (1..buffer.len()).any(|at| matches!(behind(at), Some(Parsed::Batch(_))));
        Some(Damage { goes_on })
    };
    Ok(Journal { good, last, damage })
}

struct Batch {
    len: usize,
    /// Not under fjall's checksum.
    sequence: u64,
    /// None of one that an older version of this program wrote.
    number: Option<u64>,
}

impl Batch {
    fn follows(&self, last: Option<(u64, u64)>) -> bool {
        last.is_none_or(|(sequence, number)| {
            self.sequence > sequence && self.number.is_none_or(|mine| mine == number + 1)
        })
    }
}

enum Parsed {
    Batch(Batch),
    /// It may go on behind these bytes.
    More,
    Bad,
}

/// The batch that these bytes begin with.
fn batch(bytes: &[u8]) -> Parsed {
    let mut rest = Rest(bytes);
    match rest.batch() {
        Some(Ok(batch)) => Parsed::Batch(Batch {
            len: bytes.len() - rest.0.len(),
            ..batch
        }),
        Some(Err(())) => Parsed::Bad,
        None => Parsed::More,
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// Nothing if the bytes end before it does.
    fn batch(&mut self) -> Option<Result<Batch, ()>> {
        let [begin] = self.array()?;
        if begin != BEGIN {
            return Some(Err(()));
        }
        let count = u32::from_le_bytes(self.array()?);
        let sequence = u64::from_le_bytes(self.array()?);
        let mut number = None;
        let mut sum = Xxh3::new();
        for _ in 0..count {
            let item = self.0;
            match self.item()? {
                Ok(Some(mine)) => number = Some(mine),
                Ok(None) => {}
                Err(()) => return Some(Err(())),
            }
            sum.update(item.get(..item.len() - self.0.len()).unwrap_or_default());
        }
        let [end] = self.array()?;
        if end != END {
            return Some(Err(()));
        }
        let wanted = u64::from_le_bytes(self.array()?);
        let magic: [u8; 4] = self.array()?;
        if wanted != sum.digest() || magic != MAGIC {
            return Some(Err(()));
        }
        Some(Ok(Batch {
            len: 0,
            sequence,
            number,
        }))
    }

    /// An item; our number, if it is that.
    fn item(&mut self) -> Option<Result<Option<u64>, ()>> {
        let [tag] = self.array()?;
        match tag {
            ITEM => {}
            CLEAR => return self.take(8).map(|_| Ok(None)),
            _ => return Some(Err(())),
        }
        let [_kind, compression] = self.array()?;
        if compression > 1 {
            return Some(Err(()));
        }
        self.take(8)?;
        let key = usize::from(u16::from_le_bytes(self.array()?));
        let real = u32::from_le_bytes(self.array()?);
        let value = u32::from_le_bytes(self.array()?);
        if compression == 0 && real != value {
            return Some(Err(()));
        }
        let (key, value) = (self.take(key)?, self.take(value as usize)?);
        let number = (key == NUMBER).then(|| value.try_into().map(u64::from_be_bytes));
        Some(Ok(number.and_then(Result::ok)))
    }
}
