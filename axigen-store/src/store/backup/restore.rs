//! Making a store of a backup.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::super::line::wait;
use super::super::open::Root;
use super::super::rows::{Sum, each_page};
use super::super::{Engine, Options, Store, engine::reopen};
use super::files::{self, Pace};
use super::manifest::Manifest;
use super::{BackupProgress, BackupStage, ID, PACKS, Say, dump, each_of};
use crate::backend::{Backend, Request, Upkeep};
use crate::batch::{Batch, Key};
use crate::blocking;
use crate::disk::{Disk, RealDisk};
use crate::error::{Error, Result};
use crate::pack::RESTORING;

/// Bytes of rows after which they are written, durably, as one batch.
const BATCH: usize = 8 << 20;

/// How a backup is restored, or checked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// Which engine shall hold the rows. `None`: the one that held them when
    /// the backup was made.
    pub engine: Option<Engine>,
    /// Memory for rows, in bytes. 64 MB.
    pub cache: u64,
    /// Most bytes read in a second. No limit.
    pub rate: u64,
    /// The files of the backup, and the packs. The operating system's.
    pub disk: Arc<dyn Disk>,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        RestoreOptions {
            engine: None,
            cache: 64 << 20,
            rate: u64::MAX,
            disk: Arc::new(RealDisk),
        }
    }
}

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// The moment that the store shows, in seconds since 1970.
    pub pinned: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of them.
    pub row_bytes: u64,
    /// Files of blobs.
    pub packs: u64,
    /// Bytes of these.
    pub pack_bytes: u64,
}

impl Store {
    /// Makes a store in a directory, which is made, or is empty, or holds what
    /// a restore that was broken off left, of a backup. The store then is
    /// exactly what the other was at the backup's moment: rows, sequence
    /// numbers, counters, blobs, its name. Everything is copied, so that what
    /// becomes of the store leaves the backup as it is. `progress` is called
    /// now and then. The store is not opened.
    ///
    /// Before anything is made, it is checked that the backup is complete and
    /// each file has its length; the rows are compared with their checksums
    /// while they are read, and read again when they are written. What blobs
    /// contain is not looked at: [`Store::check_backup`] does that, or
    /// [`Store::verify`] afterwards.
    ///
    /// As long as it is not done, killed or not, nothing opens the directory:
    /// [`Error::Invalid`] says why. A second restore clears it and begins anew.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a backup that is not complete, or of a version
    /// this one does not know, and for a directory that holds something else;
    /// [`Error::Locked`]; [`Error::Corrupt`] if something of the backup is
    /// damaged or missing; [`Error::Full`]; [`Error::Io`]. What was written is
    /// removed as far as possible, but the mark that there is no whole store.
    pub async fn restore(
        backup: &Path,
        dir: &Path,
        options: RestoreOptions,
        mut progress: impl FnMut(BackupProgress) + Send + 'static,
    ) -> Result<Restored> {
        let (backup, dir) = (absolute(backup)?, absolute(dir)?);
        off_task("restoring a backup", move || {
            let mut say = |stage, done, of| progress(BackupProgress { stage, done, of });
            into_directory(&backup, &dir, &options, &mut say)
        })
        .await
    }

    /// [`Store::restore`] for a store [over](Store::over) a backend of another
    /// kind: the rows go to `backend`, which has none, and the files of the
    /// blobs to the directory `packs`. The backend gets its rows in batches of
    /// [`Upkeep::Mend`].
    /// [`Packs::open`](crate::pack::Packs::open) refuses the directory as long
    /// as it is not done; a second restore removes the rows and files that are
    /// there, and begins anew. The backend must not be that of an open store.
    ///
    /// # Errors
    /// As [`Store::restore`], and those of the backend.
    pub async fn restore_over(
        backup: &Path,
        packs: &Path,
        backend: Arc<dyn Backend>,
        options: RestoreOptions,
        mut progress: impl FnMut(BackupProgress) + Send + 'static,
    ) -> Result<Restored> {
        let (backup, packs) = (absolute(backup)?, absolute(packs)?);
        off_task("restoring a backup", move || {
            let mut say = |stage, done, of| progress(BackupProgress { stage, done, of });
            over(&backup, &packs, &*backend, &options, &mut say)
        })
        .await
    }
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|error| Error::io(format!("looking for {}", path.display()), error))
}

/// Does what blocks where it may.
pub(super) async fn off_task<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::io(what, std::io::Error::other(error)))?
}

fn into_directory(
    backup: &Path,
    dir: &Path,
    options: &RestoreOptions,
    say: &mut Say<'_>,
) -> Result<Restored> {
    let disk = &*options.disk;
    let manifest = Manifest::read(disk, backup)?;
    let engine = options.engine.or(manifest.engine).unwrap_or_default();
    let root = Root::for_restore(dir, engine)?;
    let packs = dir.join(PACKS);
    begin(disk, &packs)?;
    let clear = || -> Result<()> {
        Engine::ALL
            .iter()
            .try_for_each(|engine| engine.remove(dir))?;
        for name in ["FORMAT", "FORMAT.new", ID] {
            gone(std::fs::remove_file(dir.join(name)), dir)?;
        }
        empty(disk, &packs)
    };
    clear()?;
    let mut build = || -> Result<Restored> {
        let restored = copy_packs(disk, backup, &packs, &manifest, options, say)?;
        if manifest.files.contains_key(ID) {
            let id = backup.join(ID);
            let id = files::read_all(disk, &id, 4096)
                .map_err(|error| Error::io(format!("reading {}", id.display()), error))?;
            files::write_all(&RealDisk, &dir.join(ID), &id)?;
        }
        let with = Options {
            cache: options.cache,
            // What there is room for shall be restored.
            reserve: 0,
            ..Options::default()
        };
        let rows = engine.bare(&root.rows(), &with)?;
        let sum = fill(disk, backup, &manifest, BATCH, options, say, |batch| {
            let batch: BTreeMap<Key, Option<Bytes>> = batch
                .into_iter()
                .map(|(key, value)| (key, Some(value)))
                .collect();
            rows.write(&[], &batch)
        })?;
        rows.close()?;
        drop(rows);
        // Opened again, so that what is in the files is compared, and not what
        // is in memory.
        let rows = reopen(|| engine.bare(&root.rows(), &with))?;
        let snapshot = blocking::Engine::snapshot(&*rows)?;
        compare(&sum, say, |each| {
            each_page(|range| rows.range(range, Some(&snapshot)), each)
        })?;
        drop(snapshot);
        rows.close()?;
        root.made(dir)?;
        Ok(restored)
    };
    let restored = match build() {
        Ok(restored) => restored,
        Err(error) => {
            // Room for who runs short of it. The next restore does it if this
            // fails too.
            let _ = clear();
            return Err(error);
        }
    };
    end(disk, &packs)?;
    say(BackupStage::Done, restored.rows, Some(restored.rows));
    Ok(restored)
}

fn over(
    backup: &Path,
    packs: &Path,
    backend: &dyn Backend,
    options: &RestoreOptions,
    say: &mut Say<'_>,
) -> Result<Restored> {
    let disk = &*options.disk;
    let manifest = Manifest::read(disk, backup)?;
    let begun = disk.open(&packs.join(RESTORING)).is_ok();
    if !begun {
        let failed = |error| Error::io(format!("restoring into {}", packs.display()), error);
        let mut rows = false;
        each_of(backend, |page| {
            rows |= !page.is_empty();
            Ok(())
        })?;
        let there = match disk.list(packs) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            there => there.map_err(failed)?,
        };
        let there = there.iter().find(|entry| entry.name != "lost+found");
        if let Some(there) = there {
            return Err(Error::Invalid(format!(
                "{} is not empty, it holds {}: a backup is restored into a directory of its own",
                packs.display(),
                there.name
            )));
        }
        if rows {
            return Err(Error::Invalid(
                "the backend holds rows: a backup is restored into one that has none".into(),
            ));
        }
    }
    begin(disk, packs)?;
    let most = BATCH.min(backend.limits().batch / 2);
    let clear = || -> Result<()> {
        each_of(backend, |page| {
            let mut mends = Vec::new();
            for (key, value) in page {
                mends.push(Upkeep::Mend {
                    key,
                    from: Some(value),
                    to: None,
                });
            }
            commit(backend, mends)
        })?;
        empty(disk, packs)
    };
    clear()?;
    let mut build = || -> Result<Restored> {
        let restored = copy_packs(disk, backup, packs, &manifest, options, say)?;
        let sum = fill(disk, backup, &manifest, most, options, say, |batch| {
            let mend = |(key, value)| Upkeep::Mend {
                key,
                from: None,
                to: Some(value),
            };
            commit(backend, batch.into_iter().map(mend).collect())
        })?;
        compare(&sum, say, |each| each_of(backend, each))?;
        Ok(restored)
    };
    let restored = match build() {
        Ok(restored) => restored,
        Err(error) => {
            let _ = clear();
            return Err(error);
        }
    };
    end(disk, packs)?;
    say(BackupStage::Done, restored.rows, Some(restored.rows));
    Ok(restored)
}

fn commit(backend: &dyn Backend, upkeep: Vec<Upkeep>) -> Result<()> {
    if upkeep.is_empty() {
        return Ok(());
    }
    let request = Request {
        upkeep,
        ..Request::from(Batch::default())
    };
    let mut outcomes = wait(backend.commit(&[request])).into_iter();
    outcomes.next().unwrap_or(Err(Error::NotFound)).map(drop)
}

/// From here on the directory is marked.
fn begin(disk: &dyn Disk, packs: &Path) -> Result<()> {
    files::make_dir(disk, packs)?;
    let mark = packs.join(RESTORING);
    if disk.open(&mark).is_err() {
        files::write_all(disk, &mark, b"")?;
    }
    sync(disk, packs)
}

/// It is a whole store from here on.
fn end(disk: &dyn Disk, packs: &Path) -> Result<()> {
    let mark = packs.join(RESTORING);
    gone(disk.remove(&mark), packs)?;
    sync(disk, packs)
}

fn sync(disk: &dyn Disk, dir: &Path) -> Result<()> {
    disk.sync_dir(dir)
        .map_err(|error| Error::io(format!("syncing {}", dir.display()), error))
}

fn gone(removed: std::io::Result<()>, dir: &Path) -> Result<()> {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io(format!("clearing {}", dir.display()), error))
        }
        _ => Ok(()),
    }
}

/// Removes all packs, but not the mark.
fn empty(disk: &dyn Disk, packs: &Path) -> Result<()> {
    let mark = packs.join(RESTORING);
    files::clear(disk, packs, &|path| path == mark)
}

fn copy_packs(
    disk: &dyn Disk,
    backup: &Path,
    packs: &Path,
    manifest: &Manifest,
    options: &RestoreOptions,
    say: &mut Say<'_>,
) -> Result<Restored> {
    let look = || Ok(());
    let mut pace = Pace::new(options.rate, &look);
    let files = manifest.files.iter();
    let files: Vec<(&str, u64)> = files
        .filter_map(|(name, len)| Some((name.strip_prefix(PACKS)?.strip_prefix('/')?, *len)))
        .collect();
    let all = files.iter().map(|(_, len)| len).sum();
    let mut done = 0;
    let mut dirs: Vec<PathBuf> = Vec::new();
    for (name, len) in &files {
        let target = packs.join(name);
        let dir = target.parent().unwrap_or(packs);
        if dirs.last().is_none_or(|last| last != dir) {
            files::make_dir(disk, dir)?;
            dirs.push(dir.to_owned());
        }
        let source = backup.join(PACKS).join(name);
        files::copy(disk, &source, &target, *len, &mut pace, |bytes| {
            done += bytes;
            say(BackupStage::Packs, done, Some(all));
        })?;
    }
    for dir in &dirs {
        sync(disk, dir)?;
    }
    Ok(Restored {
        pinned: manifest.pinned,
        rows: manifest.rows,
        row_bytes: manifest.row_bytes,
        packs: files.len() as u64,
        pack_bytes: all,
    })
}

/// Reads the dump and has its rows written, about `most` bytes at a time.
fn fill(
    disk: &dyn Disk,
    backup: &Path,
    manifest: &Manifest,
    most: usize,
    options: &RestoreOptions,
    say: &mut Say<'_>,
    mut write: impl FnMut(Vec<(Key, Bytes)>) -> Result<()>,
) -> Result<Sum> {
    let look = || Ok(());
    let mut pace = Pace::new(options.rate, &look);
    let mut reader = dump::Reader::open(disk, &backup.join(dump::NAME))?;
    let mut waiting = Vec::new();
    let mut bytes = 0;
    while let Some(rows) = reader.next()? {
        for (key, value) in rows {
            let len = key.len() + value.len();
            if bytes + len > most && !waiting.is_empty() {
                write(std::mem::take(&mut waiting))?;
                bytes = 0;
            }
            bytes += len;
            waiting.push((key, value));
            pace.take(len as u64)?;
        }
        say(BackupStage::Rows, reader.sum().rows, Some(manifest.rows));
    }
    if !waiting.is_empty() {
        write(waiting)?;
    }
    manifest.agrees(reader.sum())?;
    Ok(reader.sum().clone())
}

type Each<'e> = &'e mut dyn FnMut(Vec<(Key, Bytes)>) -> Result<()>;

/// Compares what is there with what was given.
fn compare(
    given: &Sum,
    say: &mut Say<'_>,
    read: impl FnOnce(Each<'_>) -> Result<()>,
) -> Result<()> {
    let mut got = Sum::default();
    let mut said = 0;
    read(&mut |rows| {
        for (key, value) in rows {
            got.add(&key, &value);
        }
        if got.rows - said >= 20_000 {
            said = got.rows;
            say(BackupStage::Comparing, said, Some(given.rows));
        }
        Ok(())
    })?;
    if !got.is(given) {
        return Err(Error::Corrupt(format!(
            "{} rows are found where {} were written, or they are others",
            got.rows, given.rows
        )));
    }
    Ok(())
}
