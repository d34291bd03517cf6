//! Looking whether a backup could be restored.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::super::Store;
use super::super::rows::Sum;
use super::files::Pace;
use super::manifest::Manifest;
use super::restore::{RestoreOptions, absolute, off_task};
use super::{BackupProgress, BackupStage, PACKS, Say, dump};
use crate::backend::key;
use crate::blob::seal::{self, Kind};
use crate::blob::{BlobRow, Dictionaries, Place, pieces};
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, Result};
use crate::pack::pack_path;
use crate::pack::record::{HEADER, Header};

/// Damaged blobs beyond this many are counted, not described.
const DESCRIBED: usize = 1000;
/// Packs that are open at a time.
const OPEN: usize = 256;

/// What [`Store::check_backup`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupCheck {
    /// The moment that the backup shows, in seconds since 1970.
    pub pinned: u64,
    /// Rows.
    pub rows: u64,
    /// Blobs that rows name.
    pub blobs: u64,
    /// Sealed bytes of these that were read.
    pub bytes: u64,
    /// What is wrong with blobs, in sentences; the first thousand.
    pub damaged: Vec<String>,
    /// How many are damaged.
    pub damaged_count: u64,
}

impl Store {
    /// Reads all of a backup and compares checksums: of the list of its files,
    /// of the rows, and of each blob that a row names, with its label. Of a
    /// backend and blobs in [packs](crate::pack).
    ///
    /// # Errors
    /// As [`Store::restore`] for a backup that cannot be restored; a damaged
    /// blob is none, but in [`BackupCheck::damaged`].
    pub async fn check_backup(
        backup: &Path,
        options: RestoreOptions,
        mut progress: impl FnMut(BackupProgress) + Send + 'static,
    ) -> Result<BackupCheck> {
        let backup = absolute(backup)?;
        off_task("checking a backup", move || {
            let mut say = |stage, done, of| progress(BackupProgress { stage, done, of });
            check(&backup, &options, &mut say)
        })
        .await
    }
}

fn check(backup: &Path, options: &RestoreOptions, say: &mut Say<'_>) -> Result<BackupCheck> {
    let disk = &*options.disk;
    let manifest = Manifest::read(disk, backup)?;
    let look = || Ok(());
    let mut pace = Pace::new(options.rate, &look);
    let mut packs = Packs {
        disk,
        dictionaries: crate::pack::dictionaries::read(disk, &backup.join(PACKS))?.0,
        dir: backup.join(PACKS),
        open: HashMap::new(),
    };
    let mut found = BackupCheck {
        pinned: manifest.pinned,
        rows: manifest.rows,
        ..BackupCheck::default()
    };
    let (first, end) = key::all(b'b');
    let mut reader = dump::Reader::open(disk, &backup.join(dump::NAME))?;
    while let Some(rows) = reader.next()? {
        let mut blobs = Vec::new();
        for (key, value) in rows.iter().filter(|(key, _)| *key >= first && *key < end) {
            pace.take((key.len() + value.len()) as u64)?;
            let hash = key::rest(key).try_into();
            let hash: [u8; 32] = hash.map_err(|_| Error::Corrupt("the key of a blob".into()))?;
            found.blobs += 1;
            match BlobRow::decode(value) {
                Ok(row) => blobs.push((hash, row)),
                Err(error) => found.damage(&hash, &error),
            }
        }
        // In the order of the disk.
        blobs.sort_by_key(|(hash, row)| row.place.loc(hash).map(|loc| (loc.file, loc.offset)));
        for (hash, row) in blobs {
            match packs.check(&hash, &row) {
                Ok(bytes) => {
                    found.bytes += bytes;
                    pace.take(bytes)?;
                }
                Err(error @ Error::Corrupt(_)) => found.damage(&hash, &error),
                Err(error) => return Err(error),
            }
        }
        say(BackupStage::Blobs, reader.sum().rows, Some(manifest.rows));
    }
    manifest.agrees(reader.sum())?;
    say(BackupStage::Done, manifest.rows, Some(manifest.rows));
    Ok(found)
}

impl BackupCheck {
    fn damage(&mut self, hash: &[u8; 32], error: &Error) {
        self.damaged_count += 1;
        if self.damaged.len() < DESCRIBED {
            let hash = blake3::Hash::from_bytes(*hash).to_hex();
            self.damaged.push(format!("blob {hash}: {error}"));
        }
    }
}

impl Manifest {
    /// An error if the dump is not the one that belongs to it.
    pub(super) fn agrees(&self, sum: &Sum) -> Result<()> {
        let says = (self.rows, self.row_bytes, self.rows_hash);
        if says != (sum.rows, sum.bytes, sum.hash()) {
            return Err(Error::Corrupt(format!(
                "{} is not the one that belongs to this backup: it has {} rows, there should be {}, or they are others",
                dump::NAME,
                sum.rows,
                self.rows
            )));
        }
        Ok(())
    }
}

/// The packs of a backup.
struct Packs<'d> {
    disk: &'d dyn Disk,
    dir: PathBuf,
    dictionaries: Dictionaries,
    open: HashMap<u64, Arc<dyn DiskFile>>,
}

impl Packs<'_> {
    /// Reads a blob; gives how much that was.
    fn check(&mut self, hash: &[u8; 32], row: &BlobRow) -> Result<u64> {
        let sealed = match &row.place {
            Place::Inline { bytes, .. } => bytes.clone(),
            Place::Stored { .. } => self.record(hash, row)?,
        };
        let (kind, held) = seal::unseal(&sealed, hash, &self.dictionaries)?;
        let corrupt = || Error::Corrupt("its content is another".into());
        match kind {
            Kind::Content if blake3::hash(&held).as_bytes() != hash => return Err(corrupt()),
            Kind::Content if !row.parts.is_empty() => return Err(corrupt()),
            Kind::Content => {}
            Kind::Pieces => {
                let (segments, _) = pieces::decode(&held)?;
                let known = segments.iter().all(|segment| match segment {
                    pieces::Segment::Own(_) | pieces::Segment::Within { .. } => true,
                    pieces::Segment::Made { from, .. } => row.parts.contains(&from.hash),
                });
                if !known {
                    return Err(corrupt());
                }
            }
        }
        Ok(sealed.len() as u64)
    }

    /// The sealed bytes, and the record around them checked.
    fn record(&mut self, hash: &[u8; 32], row: &BlobRow) -> Result<Bytes> {
        let corrupt = |what: &str| Error::Corrupt(what.to_owned());
        let loc = row.place.loc(hash).ok_or_else(|| corrupt("no place"))?;
        // Label and padding: the record begins at a multiple of 8.
        let beside = u64::from(loc.extra).saturating_sub(HEADER as u64);
        let label = beside - (beside.wrapping_sub(loc.offset) % 8).min(beside);
        let begin = loc.offset.checked_sub(HEADER as u64 + label);
        let begin = begin.ok_or_else(|| corrupt("its place is none"))?;
        let file = self.file(loc.file)?;
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::UnexpectedEof => corrupt("its pack ends before it"),
            _ => Error::io(format!("reading pack {:016x}", loc.file), error),
        };
        let len = (HEADER as u64 + label).saturating_add(loc.len);
        if file.size().map_err(failed)?.saturating_sub(begin) < len {
            return Err(corrupt("its pack ends before it"));
        }
        let mut bytes = BytesMut::zeroed(len as usize);
        file.read_at(&mut bytes, begin).map_err(failed)?;
        let mut body = bytes.freeze();
        let head = body.split_to(HEADER);
        let header = Header::read(&head, loc.file, begin)
            .filter(|header| header.loc(loc.file, begin) == loc)
            .ok_or_else(|| corrupt("there is no record of it where its row says"))?;
        if crc32c::crc32c(&body) != header.body {
            return Err(corrupt("the checksum of its record"));
        }
        Ok(body.split_off(label as usize))
    }

    fn file(&mut self, number: u64) -> Result<Arc<dyn DiskFile>> {
        if let Some(file) = self.open.get(&number) {
            return Ok(Arc::clone(file));
        }
        let path = pack_path(&self.dir, number);
        let file = self.disk.open(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::Corrupt(format!("the pack {number:016x} is missing")),
            _ => Error::io(format!("opening {}", path.display()), error),
        })?;
        if self.open.len() >= OPEN {
            self.open.clear();
        }
        self.open.insert(number, Arc::clone(&file));
        Ok(file)
    }
}
