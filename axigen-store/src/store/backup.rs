//! Backups of a running store, and making a store of one again.
//!
//! A backup is a directory:
//!
//! ```text
//! COMPLETE      what it consists of; comes last
//! rows.dump     all rows, in order, whichever engine held them
//! packs/...     the files of the blobs, as they are in the store
//! store.id      as in the store
//! INCOMPLETE    instead of COMPLETE: the backup is being made, or was broken off
//! ```
//!
//! It shows the store as it was at one moment, the pin: a snapshot of the rows,
//! and the packs as far as they are durable then. A blob is durable before a
//! row names it, so whatever the rows name is in these packs; they may hold
//! blobs besides that no row named yet. While the pin is held a sweep removes
//! no pack. Packs that are complete never change again, so they get a second
//! name (a hard link) and are not copied, unless the backup is on another file
//! system; of the one that is appended to, what is durable is copied.
//!
//! So a backup beside its store costs little, and keeps nobody from losing both
//! with the disk: copy it elsewhere, or make it there.
//!
//! # Format of rows.dump
//! Numbers are big-endian. The header has 32 bytes:
//!
//! | bytes | meaning |
//! |---|---|
//! | 8 | `AXIGENRD` |
//! | 4 | version, 1 |
//! | 4 | layout of the store, as in FORMAT |
//! | 12 | zeros |
//! | 4 | CRC-32C of the 28 bytes above |
//!
//! Then come chunks:
//!
//! | bytes | meaning |
//! |---|---|
//! | 4 | `AXRC` |
//! | 4 | CRC-32C of everything below |
//! | 8 | number of the chunk, from 0 |
//! | 4 | rows in it |
//! | 4 | length of the rows |
//! | 4 | length of the rows as they are here |
//! | 4 | zeros |
//! | rest | the rows, compressed: one zstd frame without a dictionary |
//!
//! A row is the length of its key (4 bytes), the length of its value (4), the
//! [flat key](crate::backend::key), the value. Keys ascend strictly, also from
//! chunk to chunk. The end has 64 bytes, and nothing follows:
//!
//! | bytes | meaning |
//! |---|---|
//! | 4 | `AXRE` |
//! | 4 | CRC-32C of everything below |
//! | 8 | number of chunks |
//! | 8 | number of rows |
//! | 8 | length of all rows, uncompressed |
//! | 32 | BLAKE3-256 of all rows, uncompressed |
//!
//! What an engine counts for itself (fjall its batches) is no row and not in
//! it.
//!
//! # Format of COMPLETE
//! Lines, each ending with a line feed, in this order:
//!
//! ```text
//! axigen backup, version 1
//! layout 3
//! engine fjall
//! pinned 1790000000
//! rows 12345
//! row-bytes 678901
//! rows-blake3 0123...
//! file 268435456 packs/00/0000000000000012.pack
//! file 301234 rows.dump
//! blake3 89ab...
//! ```
//!
//! `engine` is `none` for a backend of another kind; `pinned` is the moment in
//! seconds since 1970; the three about rows are what the end of the dump says;
//! there is a `file` line with length and name for each file; the last line is
//! the BLAKE3-256 of everything above it. A backup without COMPLETE, or in which
//! a file is missing or has another length, is no backup.

mod check;
mod dump;
mod files;
mod manifest;
mod restore;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::AcqRel;

use bytes::Bytes;

use super::line::wait;
use super::rows::each_page;
use super::{Engine, Shared, Store, clock};
use crate::backend::{Backend, KeyRange, Snapshot};
use crate::batch::Key;
use crate::blob::BlobFile;
use crate::disk::{Disk, RealDisk};
use crate::error::{Error, Result};

use files::Pace;
use manifest::{COMPLETE, INCOMPLETE, Manifest};

pub use check::BackupCheck;
pub use restore::{RestoreOptions, Restored};

/// The blobs' files, in a backup.
const PACKS: &str = "packs";
const ID: &str = "store.id";

/// How a backup is made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackupOptions {
    /// Most bytes read and written in a second. What is linked costs nothing.
    /// 64 MB.
    pub rate: u64,
    /// How hard rows are compressed: a level of zstd. 3.
    pub level: i32,
    /// Whether packs that are complete get a second name, where that is
    /// possible, instead of being copied. Yes.
    pub link: bool,
    /// With less room than this where the backup goes, in bytes, it is broken
    /// off: on the same device the store needs the rest. 64 MB.
    pub reserve: u64,
    /// The files of the backup. The operating system's.
    pub disk: Arc<dyn Disk>,
}

impl Default for BackupOptions {
    fn default() -> Self {
        BackupOptions {
            rate: 64 << 20,
            level: 3,
            link: true,
            reserve: 64 << 20,
            disk: Arc::new(RealDisk),
        }
    }
}

/// A backup that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// The moment that it shows, in seconds since 1970.
    pub pinned: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of them, uncompressed.
    pub row_bytes: u64,
    /// Files of blobs.
    pub packs: u64,
    /// Bytes of these that were linked and take no room of their own.
    pub linked: u64,
    /// Bytes that were written.
    pub written: u64,
}

/// What a backup or a restore is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackupStage {
    /// Linking or copying packs. Counted in bytes.
    Packs,
    /// Writing rows, to the backup or from it. Counted in rows.
    Rows,
    /// Restored rows are read again and compared. Counted in rows.
    Comparing,
    /// Blobs of a backup are read. Counted in rows of the backup.
    Blobs,
    /// All is done.
    Done,
}

/// How far a backup or a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupProgress {
    /// What it is doing.
    pub stage: BackupStage,
    /// How much of it is done.
    pub done: u64,
    /// How much there is, if that is known.
    pub of: Option<u64>,
}

type Say<'s> = dyn FnMut(BackupStage, u64, Option<u64>) + 's;

impl Store {
    /// Makes a backup of the store as it is now in a directory, which is made,
    /// or is empty, or holds what a backup that was broken off left. Works
    /// beside everything else and blocks nobody; several may run, each into its
    /// own directory. `progress` is called now and then. It is done even if the
    /// caller stops waiting, and broken off when the store is closed.
    ///
    /// ```
    /// # use axigen_store::store::{BackupOptions, RestoreOptions};
    /// # use axigen_store::{AccountId, Batch, Op, Part, Store};
    /// # #[tokio::main] async fn main() -> axigen_store::Result<()> {
    /// # let dir = tempfile::TempDir::new().unwrap();
    /// # let dir = dir.path();
    /// # let ops = vec![Op::Set { key: "key".into(), val: "value".into() }];
    /// # let part = Part { account: AccountId(1), ops, advance: true, ..Part::default() };
    /// let store = Store::open(&dir.join("store")).await?;
    /// store.commit(Batch { parts: vec![part] }).await?;
    /// let made = store.backup(&dir.join("backup"), BackupOptions::default(), |_| {}).await?;
    ///
    /// // And back, somewhere else.
    /// let options = RestoreOptions::default();
    /// Store::restore(&dir.join("backup"), &dir.join("again"), options, |_| {}).await?;
    /// let again = Store::open(&dir.join("again")).await?;
    /// assert_eq!(again.seq(AccountId(1)).await?, 1);
    /// # assert!(made.rows > 0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for a store that is not in files, a directory that
    /// holds something else, or is the target of another backup now;
    /// [`Error::Full`]; [`Error::Closed`] when the store is closed meanwhile;
    /// [`Error::Corrupt`] if a pack is shorter than it was; those of the backend
    /// and [`Error::Io`]. None does any harm to the store. What was written is
    /// removed as far as possible; `INCOMPLETE` stays, and nothing that has it
    /// can be restored. The next backup may go to the same place.
    pub async fn backup(
        &self,
        to: &Path,
        options: BackupOptions,
        mut progress: impl FnMut(BackupProgress) + Send + 'static,
    ) -> Result<Backup> {
        let shared = Arc::clone(&self.inner.shared);
        shared.health.writable()?;
        let to = std::path::absolute(to)
            .map_err(|error| Error::io(format!("a backup to {}", to.display()), error))?;
        let work = move || {
            let mut say = |stage, done, of| progress(BackupProgress { stage, done, of });
            take(&shared, &to, &options, &mut say)
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::io("making a backup", std::io::Error::other(error)))?
    }
}

/// While it lives, no sweep removes a file.
struct Pin<'s>(&'s Shared);

impl<'s> Pin<'s> {
    fn take(shared: &'s Shared) -> Self {
        shared.pins.fetch_add(1, AcqRel);
        Pin(shared)
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        self.0.pins.fetch_sub(1, AcqRel);
    }
}

/// A directory that no other backup of this store goes to.
struct Target<'s>(&'s Shared, PathBuf);

impl<'s> Target<'s> {
    fn of(shared: &'s Shared, to: &Path) -> Result<Self> {
        if !shared.targets.lock().insert(to.to_owned()) {
            return Err(Error::Invalid(format!(
                "another backup into {} is being made",
                to.display()
            )));
        }
        Ok(Target(shared, to.to_owned()))
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        self.0.targets.lock().remove(&self.1);
    }
}

/// What the backup shows.
struct Moment<'s> {
    snapshot: Snapshot,
    files: Vec<BlobFile>,
    pinned: u64,
    id: Option<Bytes>,
    engine: Option<Engine>,
    _pin: Pin<'s>,
}

fn take(shared: &Shared, to: &Path, options: &BackupOptions, say: &mut Say<'_>) -> Result<Backup> {
    let disk = &*options.disk;
    // A store is closed only when nothing reads its snapshots any more.
    let _working = wait(shared.backups.read());
    shared.health.writable()?;
    let _target = Target::of(shared, to)?;
    // Before anything is made: some stores cannot be backed up.
    let moment = moment(shared)?;
    begin(disk, to)?;
    let written = write(shared, to, options, moment, say);
    let (manifest, backup) = match written {
        Ok(written) => written,
        Err(error) => {
            // Room for who runs short of it. If this fails too, the next
            // backup to this place does it.
            let _ = empty(disk, to);
            return Err(error);
        }
    };
    complete(disk, to, &manifest)?;
    say(BackupStage::Done, backup.rows, Some(backup.rows));
    Ok(backup)
}

fn moment(shared: &Shared) -> Result<Moment<'_>> {
    // In this order: what a row of the snapshot names was durable before, and
    // is removed by nobody from before the snapshot on.
    let pin = Pin::take(shared);
    let _still = wait(shared.moment.lock());
    let snapshot = wait(shared.backend.snapshot())?;
    let files = wait(shared.blobs.files())?;
    let root = shared.root.lock();
    let id = root.as_ref().map(|root| {
        let path = root.dir().join(ID);
        std::fs::read(&path)
            .map_err(|error| Error::io(format!("reading {}", path.display()), error))
    });
    Ok(Moment {
        snapshot,
        files,
        pinned: clock(),
        id: id.transpose()?.map(Bytes::from),
        engine: root.as_ref().map(super::open::Root::engine),
        _pin: pin,
    })
}

/// Makes the directory, or sees to it that it is as good as empty.
fn begin(disk: &dyn Disk, to: &Path) -> Result<()> {
    files::make_dir(disk, to)?;
    let failed = |error| Error::io(format!("a backup to {}", to.display()), error);
    let entries = disk.list(to).map_err(failed)?;
    let has = |name: &str| entries.iter().any(|entry| entry.name == name);
    if has(COMPLETE) {
        return Err(Error::Invalid(format!(
            "{} holds a backup already: each goes to a directory of its own",
            to.display()
        )));
    }
    if has(INCOMPLETE) {
        return empty(disk, to);
    }
    if let Some(other) = entries.iter().find(|entry| entry.name != "lost+found") {
        return Err(Error::Invalid(format!(
            "{} is not empty, it holds {}: a backup goes to a directory of its own",
            to.display(),
            other.name
        )));
    }
    files::write_all(disk, &to.join(INCOMPLETE), b"")?;
    disk.sync_dir(to).map_err(failed)
}

/// Removes all that a backup may have written, but not the mark.
fn empty(disk: &dyn Disk, to: &Path) -> Result<()> {
    files::clear(disk, &to.join(PACKS), &|_| false)?;
    for name in [dump::NAME, ID] {
        match disk.remove(&to.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format!("clearing {}", to.display()), error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn write(
    shared: &Shared,
    to: &Path,
    options: &BackupOptions,
    moment: Moment<'_>,
    say: &mut Say<'_>,
) -> Result<(Manifest, Backup)> {
    let disk = &*options.disk;
    let look = || -> Result<()> {
        shared.health.readable()?;
        let room = disk.room(to);
        match room.map_err(|error| Error::io(format!("a backup to {}", to.display()), error))? {
            room if room < options.reserve => Err(Error::Full),
            _ => Ok(()),
        }
    };
    look()?;
    let mut pace = Pace::new(options.rate, &look);
    let mut backup = Backup {
        pinned: moment.pinned,
        rows: 0,
        row_bytes: 0,
        packs: moment.files.len() as u64,
        linked: 0,
        written: 0,
    };
    let mut manifest = Manifest {
        engine: moment.engine,
        pinned: moment.pinned,
        ..Manifest::default()
    };
    for file in &moment.files {
        let name = format!("{PACKS}/{}", file.name);
        if !manifest::is_name(&name) {
            return Err(Error::Invalid(format!(
                "a backup cannot hold a file of the name {:?}",
                file.name
            )));
        }
        manifest.files.insert(name, file.len);
    }
    packs(to, options, &moment, &mut pace, &mut backup, say)?;
    if let Some(id) = &moment.id {
        files::write_all(disk, &to.join(ID), id)?;
        manifest.files.insert(ID.to_owned(), id.len() as u64);
    }
    // The pin is not needed any more, but the snapshot.
    let snapshot = moment.snapshot.clone();
    drop(moment);
    let path = to.join(dump::NAME);
    let mut writer = dump::Writer::create(disk, &path, options.level)?;
    let mut rows = 0;
    let read = |range: &KeyRange| wait(shared.backend.range(range, Some(&snapshot)));
    each_page(read, |page| {
        for (key, value) in page {
            writer.push(&key, &value)?;
            pace.take((key.len() + value.len()) as u64)?;
            rows += 1;
        }
        say(BackupStage::Rows, rows, None);
        Ok(())
    })?;
    let (len, sum) = writer.finish()?;
    manifest.files.insert(dump::NAME.to_owned(), len);
    backup.written += len;
    (manifest.rows, manifest.row_bytes) = (sum.rows, sum.bytes);
    manifest.rows_hash = sum.hash();
    (backup.rows, backup.row_bytes) = (sum.rows, sum.bytes);
    Ok((manifest, backup))
}

/// Links and copies the files of the blobs.
fn packs(
    to: &Path,
    options: &BackupOptions,
    moment: &Moment<'_>,
    pace: &mut Pace<'_>,
    backup: &mut Backup,
    say: &mut Say<'_>,
) -> Result<()> {
    let disk = &*options.disk;
    let all: u64 = moment.files.iter().map(|file| file.len).sum();
    let mut done = 0;
    let mut dirs: Vec<PathBuf> = Vec::new();
    for file in &moment.files {
        let target = to.join(PACKS).join(&file.name);
        let dir = target.parent().unwrap_or(to);
        if dirs.last().is_none_or(|last| last != dir) {
            files::make_dir(disk, dir)?;
            dirs.push(dir.to_owned());
        }
        let linked = options.link && file.sealed && link(disk, file, &target)?;
        if linked {
            backup.linked += file.len;
            done += file.len;
            // As often as after a megabyte, however long it is.
            pace.take(4096)?;
        } else {
            files::copy(disk, &file.path, &target, file.len, pace, |bytes| {
                done += bytes;
                say(BackupStage::Packs, done, Some(all));
            })?;
            backup.written += file.len;
        }
        say(BackupStage::Packs, done, Some(all));
    }
    for dir in dirs {
        disk.sync_dir(&dir)
            .map_err(|error| Error::io(format!("syncing {}", dir.display()), error))?;
    }
    Ok(())
}

/// Gives a file that does not change any more a second name. `false` if it must
/// be copied.
fn link(disk: &dyn Disk, file: &BlobFile, target: &Path) -> Result<bool> {
    let failed = |error| Error::io(format!("reading {}", file.path.display()), error);
    let source = disk.open(&file.path).map_err(failed)?;
    // A part of a file cannot be linked.
    if source.size().map_err(failed)? != file.len {
        return Ok(false);
    }
    if let Err(error) = disk.link(&file.path, target) {
        // Another file system, or one that has no links, or not so many.
        tracing::debug!(%error, to = %target.display(), "copying instead of linking");
        return Ok(false);
    }
    // Notes in it need not have been synced.
    let synced = disk.open(target).and_then(|file| file.sync());
    synced.map_err(|error| Error::io(format!("syncing {}", target.display()), error))?;
    Ok(true)
}

/// The backup is there from here on.
fn complete(disk: &dyn Disk, to: &Path, manifest: &Manifest) -> Result<()> {
    let mark = to.join(INCOMPLETE);
    let run = || {
        let file = disk.open(&mark)?;
        file.write_at(manifest.encode().as_bytes(), 0)?;
        file.sync()?;
        // The names of all else must be durable before this one.
        disk.sync_dir(to)?;
        disk.rename(&mark, &to.join(COMPLETE))?;
        disk.sync_dir(to)
    };
    run().map_err(|error| Error::io(format!("completing the backup in {}", to.display()), error))
}

/// The rows of a backend, in order, a page at a time.
fn each_of(backend: &dyn Backend, each: impl FnMut(Vec<(Key, Bytes)>) -> Result<()>) -> Result<()> {
    let snapshot = wait(backend.snapshot())?;
    each_page(|range| wait(backend.range(range, Some(&snapshot))), each)
}
