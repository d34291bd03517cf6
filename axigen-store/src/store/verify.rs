//! Looking whether everything is there and agrees, and setting right what
//! does not.
//!
//! Both are for a store that nobody else uses meanwhile: a change between two
//! looks would be taken for damage.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::line::wait;
use super::salvage::commit;
use super::{Shared, Store, clock};
use crate::backend::{Upkeep, key};
use crate::batch::Key;
use crate::blob::{BlobRef, BlobRow};
use crate::error::{Error, Result};

/// Problems beyond this many are counted, not described.
const DESCRIBED: usize = 1000;
/// Rows set right in one batch.
const BATCH: usize = 500;

/// References that there should be to each blob, by hash.
pub type References = HashMap<[u8; 32], u64>;

/// What [`Store::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Blobs that have rows.
    pub blobs: u64,
    /// Bytes of their contents that were read and compared.
    pub bytes: u64,
    /// What is wrong; the first thousand.
    pub problems: Vec<Problem>,
    /// How much is wrong.
    pub problem_count: u64,
}

/// Something that is wrong with a blob, or with what the store notes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The bytes are not what was written, or not there.
    Damaged {
        /// The blob.
        hash: [u8; 32],
        /// What is wrong with it.
        why: String,
    },
    /// It is referred to and has no row.
    Missing {
        /// The blob.
        hash: [u8; 32],
    },
    /// It is referred to another number of times than its row says.
    References {
        /// The blob.
        hash: [u8; 32],
        /// What the row says.
        row: u64,
        /// How many there are.
        counted: u64,
    },
    /// Its row cannot be read.
    Row {
        /// The blob.
        hash: [u8; 32],
    },
    /// It has references and is marked to be forgotten, or neither.
    Grave {
        /// The blob.
        hash: [u8; 32],
    },
    /// Another number of bytes of a file is named by rows than is noted.
    File {
        /// The file.
        file: u64,
        /// What is noted.
        noted: i64,
        /// How many there are.
        counted: i64,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Damaged { hash, why } => write!(f, "blob {}: {why}", Short(hash)),
            Problem::Missing { hash } => {
                write!(f, "blob {}: referred to, and not in the store", Short(hash))
            }
            Problem::References { hash, row, counted } => write!(
                f,
                "blob {}: its row says {row} references, there are {counted}",
                Short(hash)
            ),
            Problem::Row { hash } => write!(f, "blob {}: its row cannot be read", Short(hash)),
            Problem::Grave { hash } => write!(
                f,
                "blob {}: marked to be forgotten and referred to, or neither",
                Short(hash)
            ),
            Problem::File {
                file,
                noted,
                counted,
            } => write!(
                f,
                "pack {file:016x}: {noted} bytes are noted as wanted, {counted} are"
            ),
        }
    }
}

/// Enough of a hash to find it.
struct Short<'h>(&'h [u8; 32]);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl VerifyReport {
    fn problem(&mut self, problem: Problem) {
        self.problem_count += 1;
        if self.problems.len() < DESCRIBED {
            self.problems.push(problem);
        }
    }
}

impl Store {
    /// Reads every blob and compares checksums, references, and the notes of
    /// what is to be forgotten and of what each file holds. `references` are
    /// those of the caller; without `contents` the bytes are not read. Changes
    /// nothing. `progress` is called with the blobs done, and their number.
    ///
    /// # Errors
    /// Those of the backend and the blob store; damage is a [`Problem`].
    pub async fn verify(
        &self,
        references: &References,
        contents: bool,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<VerifyReport> {
        let shared = &self.inner.shared;
        shared.health.readable()?;
        let mut report = VerifyReport::default();
        let rows = shared.rows(&mut report).await?;
        report.blobs = rows.len() as u64;
        let counted = counted(references, &rows);
        for (hash, counted) in &counted {
            if !rows.contains_key(hash) && *counted > 0 {
                report.problem(Problem::Missing { hash: *hash });
            }
        }
        for (done, (hash, row)) in rows.iter().enumerate() {
            progress(done as u64, report.blobs);
            let counted = counted.get(hash).copied().unwrap_or(0);
            if counted != row.refs {
                report.problem(Problem::References {
                    hash: *hash,
                    row: row.refs,
                    counted,
                });
            }
            if contents {
                let blob = BlobRef {
                    hash: *hash,
                    len: row.raw_len,
                };
                match self.read(&blob, 0..u64::MAX).await {
                    Ok(bytes) => report.bytes += bytes.len() as u64,
                    Err(Error::Corrupt(why)) => {
                        report.problem(Problem::Damaged { hash: *hash, why });
                    }
                    Err(error @ Error::NotFound) => report.problem(Problem::Damaged {
                        hash: *hash,
                        why: error.to_string(),
                    }),
                    Err(error) => return Err(error),
                }
            }
        }
        let wanted = notes(&rows);
        for (key, is, should) in shared.wrong_notes(&wanted).await? {
            report.problem(described(&key, is.as_deref(), should.as_deref()));
        }
        progress(report.blobs, report.blobs);
        Ok(report)
    }

    /// Sets right what [`Store::verify`] finds wrong with rows and notes, given
    /// the caller's references. A blob that has no row, or cannot be read where
    /// its row says, is looked for among all that the blob store holds; without
    /// `contents`, whether they can be read is not tried. Gives what could not
    /// be mended: blobs that are lost.
    ///
    /// # Errors
    /// Those of the backend and the blob store.
    pub async fn repair(
        &self,
        references: &References,
        contents: bool,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Vec<[u8; 32]>> {
        let shared = &self.inner.shared;
        shared.health.writable()?;
        let mut rows = shared.rows(&mut VerifyReport::default()).await?;
        let mut broken: Vec<[u8; 32]> = Vec::new();
        let total = rows.len() as u64;
        for (done, (hash, row)) in rows.iter().enumerate() {
            progress(done as u64, total);
            if !contents {
                break;
            }
            let blob = BlobRef {
                hash: *hash,
                len: row.raw_len,
            };
            match self.read(&blob, 0..u64::MAX).await {
                Ok(_) => {}
                Err(Error::Corrupt(_) | Error::NotFound) => broken.push(*hash),
                Err(error) => return Err(error),
            }
        }
        let all = counted(references, &rows);
        broken.extend(all.keys().filter(|hash| !rows.contains_key(*hash)));
        // Parts of what is put together may be what is broken.
        let parts: Vec<_> = broken
            .iter()
            .filter_map(|hash| rows.get(hash))
            .flat_map(|row| row.parts.iter().copied())
            .collect();
        broken.extend(parts);
        let lost = self.look_for(&broken, &mut rows)?;
        for hash in &lost {
            rows.remove(hash);
        }
        let counted = counted(references, &rows);
        let now = clock();
        for (hash, row) in &mut rows {
            let refs = counted.get(hash).copied().unwrap_or(0);
            if refs > 0 {
                row.zero_since = 0;
            } else if row.refs > 0 || row.zero_since == 0 {
                row.zero_since = now;
            }
            row.refs = refs;
        }
        let wanted: BTreeMap<Key, bytes::Bytes> = notes(&rows)
            .into_iter()
            .chain(
                rows.iter()
                    .map(|(hash, row)| (key::blob(hash), row.encode())),
            )
            .collect();
        let wrong = shared.wrong_in(b"bfg", &wanted).await?;
        let mends: Vec<Upkeep> = wrong
            .into_iter()
            .map(|(key, from, to)| Upkeep::Mend { key, from, to })
            .collect();
        for batch in mends.chunks(BATCH) {
            let batch = batch.to_vec();
            let store = self.clone();
            tokio::task::spawn_blocking(move || commit(&store, batch))
                .await
                .map_err(|error| Error::io("repairing", std::io::Error::other(error)))??;
        }
        progress(total, total);
        Ok(lost)
    }

    fn readable(&self, hash: &[u8; 32], row: &BlobRow) -> bool {
        let blob = BlobRef {
            hash: *hash,
            len: row.raw_len,
        };
        wait(self.read(&blob, 0..u64::MAX)).is_ok()
    }

    /// Looks for blobs in all that the blob store holds; gives those that are
    /// nowhere.
    fn look_for(
        &self,
        broken: &[[u8; 32]],
        rows: &mut HashMap<[u8; 32], BlobRow>,
    ) -> Result<Vec<[u8; 32]>> {
        if broken.is_empty() {
            return Ok(Vec::new());
        }
        let shared = &self.inner.shared;
        let places = shared.places(|_| true)?;
        let mut wanted: Vec<[u8; 32]> = broken.to_vec();
        let mut lost = Vec::new();
        let mut looked = std::collections::HashSet::new();
        while let Some(hash) = wanted.pop() {
            if !looked.insert(hash) {
                continue;
            }
            let found = match places.get(&hash) {
                Some(places) => shared.find(&hash, places)?.ok(),
                None => None,
            };
            match found {
                Some(row) => {
                    wanted.extend(row.parts.iter().filter(|part| !rows.contains_key(*part)));
                    rows.insert(hash, row);
                }
                // A short one is in its row, and nowhere else.
                None if rows.get(&hash).is_some_and(|row| self.readable(&hash, row)) => {}
                None => lost.push(hash),
            }
        }
        // What is put together from something lost is lost.
        let of_lost: Vec<_> = rows
            .iter()
            .filter(|(hash, row)| {
                !lost.contains(hash) && row.parts.iter().any(|part| lost.contains(part))
            })
            .map(|(hash, _)| *hash)
            .collect();
        lost.extend(of_lost);
        Ok(lost)
    }
}

/// References of the caller, and those that blobs have to their parts.
fn counted(references: &References, rows: &HashMap<[u8; 32], BlobRow>) -> References {
    let mut counted = references.clone();
    for part in rows.values().flat_map(|row| &row.parts) {
        *counted.entry(*part).or_default() += 1;
    }
    counted
}

/// What the store should note of these rows: what may be forgotten, and what
/// each file holds.
fn notes(rows: &HashMap<[u8; 32], BlobRow>) -> BTreeMap<Key, bytes::Bytes> {
    let mut files: BTreeMap<u64, i64> = BTreeMap::new();
    let mut notes = BTreeMap::new();
    for (hash, row) in rows {
        if row.refs == 0 {
            notes.insert(key::grave(row.zero_since, hash), bytes::Bytes::new());
        }
        if let Some((file, bytes)) = row.place.held() {
            *files.entry(file).or_default() += bytes as i64;
        }
    }
    notes.extend(files.into_iter().map(|(file, bytes)| {
        let bytes = bytes::Bytes::copy_from_slice(&bytes.to_be_bytes());
        (key::file(file), bytes)
    }));
    notes
}

fn described(key: &Key, is: Option<&[u8]>, should: Option<&[u8]>) -> Problem {
    let number = |value: Option<&[u8]>| {
        let bytes = value.and_then(|value| value.first_chunk::<8>());
        bytes.map_or(0, |bytes| i64::from_be_bytes(*bytes))
    };
    if let Some((_, hash)) = super::sweep::grave(key) {
        return Problem::Grave { hash };
    }
    Problem::File {
        file: key::rest(key)
            .first_chunk::<8>()
            .map_or(0, |file| u64::from_be_bytes(*file)),
        noted: number(is),
        counted: number(should),
    }
}

type Wrong = (Key, Option<bytes::Bytes>, Option<bytes::Bytes>);

impl Shared {
    /// All rows of blobs that can be read.
    async fn rows(&self, report: &mut VerifyReport) -> Result<HashMap<[u8; 32], BlobRow>> {
        let mut rows = HashMap::new();
        for (key, value) in self.own(b'b').await? {
            let hash: [u8; 32] = key::rest(&key)
                .try_into()
                .map_err(|_| Error::Corrupt("the key of a blob".into()))?;
            match BlobRow::decode(&value) {
                Ok(row) => {
                    rows.insert(hash, row);
                }
                Err(_) => report.problem(Problem::Row { hash }),
            }
        }
        Ok(rows)
    }

    async fn wrong_notes(&self, wanted: &BTreeMap<Key, bytes::Bytes>) -> Result<Vec<Wrong>> {
        self.wrong_in(b"fg", wanted).await
    }

    /// The store's own rows of these kinds that are not as they should be: what
    /// they are, what they should be.
    async fn wrong_in(
        &self,
        kinds: &[u8],
        wanted: &BTreeMap<Key, bytes::Bytes>,
    ) -> Result<Vec<Wrong>> {
        let mut missing = wanted.clone();
        let mut wrong = Vec::new();
        for kind in kinds {
            for (key, value) in self.own(*kind).await? {
                match missing.remove(&key) {
                    Some(should) if should == value => {}
                    should => wrong.push((key, Some(value), should)),
                }
            }
        }
        wrong.extend(
            missing
                .into_iter()
                .map(|(key, should)| (key, None, Some(should))),
        );
        Ok(wrong)
    }

    /// The store's own rows of a kind.
    async fn own(&self, kind: u8) -> Result<Vec<(Key, bytes::Bytes)>> {
        let snapshot = self.backend.snapshot().await?;
        let mut rows = Vec::new();
        self.each_own(kind, Some(&snapshot), |key, value| {
            rows.push((key, value));
            Ok(())
        })
        .await?;
        Ok(rows)
    }
}
