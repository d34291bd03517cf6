//! Blobs in append-only files.
//!
//! Pack files hold 256 MB; only one is written to, and only at its end.
//! A group of blobs is one append and one fdatasync. Packs describe themselves:
//! each [record] carries the blob's address and label, so what refers
//! to them can be rebuilt should the metadata be lost.
//!
//! ```text
//! packs/00/0000000000000012.pack       number 0x12, sixteen hex digits; the directory is number / 4096
//! packs/00/0000000000000012.idx        what is where in it; made when it is needed, and of no importance
//! packs/00/0000000000000012.pack.new   being written by a sweep; removed when the store is opened
//! packs/dict/0002.zdict                a dictionary of the store's own, and its copy
//! packs/synced                         how far the pack that is appended to is known to be durable
//! ```
//!
//! After a crash that pack may end in a torn group, which nobody was promised.
//! Opening reads it from the last place known to be durable and cuts it behind
//! its last good record. All others were complete when the next was begun, and
//! are not read at opening.
//!
//! | file | what it does |
//! |---|---|
//! | [`record`] | the format |
//! | `dictionaries` | what blobs are compressed with |
//! | `recover` | opening |
//! | `scan` | finding the records of a pack, with or without its index |
//! | `rewrite` | copying what is still wanted, and removing the rest |

pub(crate) mod dictionaries;
pub mod record;
mod recover;
mod rewrite;
mod scan;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::{Mutex, RwLock};

use crate::backend::Written;
use crate::blob::dictionary::Dictionaries;
use crate::blob::{
    BlobFile, BlobLoc, BlobStore, Listing, LiveSet, Note, SealedBlob, SweepOptions, SweepReport,
};
use crate::disk::{Disk, DiskFile, RealDisk};
use crate::error::{Error, Result};
use record::{FILE_HEADER, Header, Origin};

/// Packs of one directory.
const FAN_OUT: u64 = 4096;
/// Open files; more are closed and opened again.
const OPEN_FILES: usize = 256;
/// Blobs up to this length are gathered into one write.
const GATHER: usize = 64 << 10;
/// Reads beyond this length go where they may block.
const SHORT: u64 = 256 << 10;

/// In the directory of the packs while a backup is restored into it: what is
/// there is not whole.
pub(crate) const RESTORING: &str = "RESTORING";

/// What is said of a directory with that mark.
pub(crate) fn unfinished(dir: &Path) -> Error {
    Error::Invalid(format!(
        "{} holds what a restore that was broken off left, and not a whole store: restore again into the same place, or remove it",
        dir.display()
    ))
}

/// The blob store in pack files.
#[derive(Debug)]
pub struct Packs {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    limit: u64,
    reserve: u64,
    tail: Mutex<Tail>,
    /// Length of each pack; of the one being appended to, what is durable.
    packs: Mutex<BTreeMap<u64, u64>>,
    files: RwLock<HashMap<u64, Arc<dyn DiskFile>>>,
    dictionaries: Arc<Dictionaries>,
    /// Held while a sweep runs.
    sweeping: tokio::sync::Mutex<()>,
    syncs: AtomicU64,
    bytes: AtomicU64,
}

/// Where the next record goes.
#[derive(Debug)]
struct Tail {
    /// The pack that is appended to, if there is one.
    pack: Option<Open>,
    /// The number of the next pack.
    next: u64,
    synced: Arc<dyn DiskFile>,
    /// Set by a failure after which the file's state is not known.
    broken: Option<String>,
}

#[derive(Debug, Clone)]
struct Open {
    number: u64,
    file: Arc<dyn DiskFile>,
    end: u64,
}

impl Packs {
    /// Opens the packs in a directory, or creates it. A pack is ended at
    /// `limit` bytes. With less than `reserve` bytes of room on the device
    /// nothing is written.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Full`].
    pub fn open(dir: &Path, limit: u64, reserve: u64) -> Result<Self> {
        Self::open_on(Arc::new(RealDisk), dir, limit, reserve)
    }

    /// [`Packs::open`] on another disk.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Full`].
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path, limit: u64, reserve: u64) -> Result<Self> {
        let failed = |error| Error::io(format!("opening the packs in {}", dir.display()), error);
        disk.create_dir(dir).map_err(failed)?;
        if disk.open(&dir.join(RESTORING)).is_ok() {
            return Err(unfinished(dir));
        }
        // A restore may have ended a moment ago: its mark must not come back.
        disk.sync_dir(dir).map_err(failed)?;
        let path = dir.join("synced");
        let synced = match disk.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(&path),
            file => file,
        };
        let synced = synced.map_err(failed)?;
        let found = recover::run(&*disk, dir, &*synced)?;
        let dictionaries = Arc::new(dictionaries::open(&*disk, dir)?);
        let next = found.packs.last_key_value().map_or(0, |(last, _)| last + 1);
        if let Some(open) = &found.tail {
            // A process that was killed may have made it just now. What is
            // appended must not be lost with its name.
            let path = pack_path(dir, open.number);
            disk.sync_dir(path.parent().unwrap_or(dir))
                .and_then(|()| disk.sync_dir(dir))
                .map_err(failed)?;
        }
        Ok(Packs {
            disk,
            dir: dir.to_owned(),
            limit,
            reserve,
            tail: Mutex::new(Tail {
                pack: found.tail,
                next,
                synced,
                broken: None,
            }),
            packs: Mutex::new(found.packs),
            files: RwLock::default(),
            dictionaries,
            sweeping: tokio::sync::Mutex::default(),
            syncs: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    fn put_now(&self, items: &[SealedBlob]) -> Result<Vec<BlobLoc>> {
        let mut tail = self.tail.lock();
        if let Some(why) = &tail.broken {
            return Err(Error::Poisoned(why.clone()));
        }
        if self.room()? < self.reserve {
            return Err(Error::Full);
        }
        let headers: Vec<Header> = items.iter().map(Header::of).collect();
        let total: u64 = headers.iter().map(Header::record_len).sum();
        let fits =
            |open: &Open| open.end == FILE_HEADER || open.end.saturating_add(total) <= self.limit;
        let open = match tail.pack.clone().filter(fits) {
            Some(open) => open,
            None => self.begin_next(&mut tail)?,
        };
        let context = || format!("appending to {}", self.path(open.number).display());
        let locs = match append(&open, items, &headers) {
            Ok(locs) => locs,
            Err(error) => {
                // Nothing was synced nor promised: as if it had not been.
                let undone = open.file.set_len(open.end);
                let error = Error::io(context(), error);
                if undone.is_err() || error.is_fatal() {
                    tail.broken = Some(error.to_string());
                    return Err(Error::Poisoned(error.to_string()));
                }
                return Err(error);
            }
        };
        if let Err(error) = open.file.sync() {
            // The kernel may have dropped the pages: nothing can be said of them.
            let why = format!("syncing, {}: {error}", context());
            tail.broken = Some(why.clone());
            return Err(Error::Poisoned(why));
        }
        let end = open.end + total;
        recover::note(&*tail.synced, open.number, end);
        self.packs.lock().insert(open.number, end);
        tail.pack = Some(Open { end, ..open });
        self.syncs.fetch_add(1, Relaxed);
        self.bytes.fetch_add(total, Relaxed);
        Ok(locs)
    }

    /// Writes down that these are no longer wanted, so that they do not come
    /// back should the metadata be lost. The next sync makes it durable.
    fn delete_now(&self, locs: &[BlobLoc]) -> Result<()> {
        let mut tail = self.tail.lock();
        // The next pack is not begun for this.
        match tail.pack.clone().filter(|_| tail.broken.is_none()) {
            Some(open) => self.append_unsynced(&mut tail, open, locs.iter().map(Header::deletion)),
            None => Ok(()),
        }
    }

    fn note_now(&self, note: &Note) -> Result<()> {
        let mut tail = self.tail.lock();
        let open = match tail.pack.clone() {
            Some(open) => open,
            None => self.begin_next(&mut tail)?,
        };
        self.append_unsynced(&mut tail, open, [Header::note(note)].into_iter())
    }

    /// Appends short records; the next sync makes them durable.
    fn append_unsynced(
        &self,
        tail: &mut Tail,
        open: Open,
        records: impl Iterator<Item = (Header, impl AsRef<[u8]>)>,
    ) -> Result<()> {
        if let Some(why) = &tail.broken {
            return Err(Error::Poisoned(why.clone()));
        }
        let mut bytes = BytesMut::new();
        for (header, payload) in records {
            header.write(open.number, open.end + bytes.len() as u64, &mut bytes);
            bytes.put_slice(payload.as_ref());
            bytes.put_bytes(0, header.padding());
        }
        if let Err(error) = open.file.write_at(&bytes, open.end) {
            let error = Error::io("noting what became of blobs", error);
            if open.file.set_len(open.end).is_err() || error.is_fatal() {
                tail.broken = Some(error.to_string());
                return Err(Error::Poisoned(error.to_string()));
            }
            return Err(error);
        }
        let end = open.end + bytes.len() as u64;
        tail.pack = Some(Open { end, ..open });
        self.bytes.fetch_add(bytes.len() as u64, Relaxed);
        Ok(())
    }

    /// Begins the next pack to append to. The one before it is complete then:
    /// it never changes again.
    fn begin_next(&self, tail: &mut Tail) -> Result<Open> {
        if let Some(last) = &tail.pack {
            let durable = self.packs.lock().get(&last.number).copied();
            if durable.is_some_and(|durable| durable < last.end) {
                // What was noted in it since the last sync.
                if let Err(error) = last.file.sync() {
                    let why = format!("syncing {}: {error}", self.path(last.number).display());
                    tail.broken = Some(why.clone());
                    return Err(Error::Poisoned(why));
                }
                self.packs.lock().insert(last.number, last.end);
                self.syncs.fetch_add(1, Relaxed);
            }
        }
        let open = self.begin(tail.next)?;
        tail.next += 1;
        tail.pack = Some(open.clone());
        Ok(open)
    }

    /// What is appended from now on goes to another pack, unless this one is
    /// empty.
    fn seal_tail(&self) -> Result<()> {
        let mut tail = self.tail.lock();
        if tail.broken.is_none()
            && tail
                .pack
                .as_ref()
                .is_some_and(|open| open.end > FILE_HEADER)
        {
            self.begin_next(&mut tail)?;
        }
        Ok(())
    }

    /// Creates a pack; its name and header are durable when it returns.
    fn begin(&self, number: u64) -> Result<Open> {
        let path = self.path(number);
        let run = || {
            self.directory_of(number)?;
            let file = self.disk.create(&path)?;
            file.write_at(&record::file_header(number, Origin::Appended), 0)?;
            file.sync()?;
            self.disk.sync_dir(path.parent().unwrap_or(&self.dir))?;
            io::Result::Ok(file)
        };
        let file = run().map_err(|error| {
            // It is not begun: a later one may have its number.
            let _ = self.disk.remove(&path);
            Error::io(format!("creating {}", path.display()), error)
        })?;
        self.packs.lock().insert(number, FILE_HEADER);
        let end = FILE_HEADER;
        Ok(Open { number, file, end })
    }

    /// Makes the directory that a pack is in.
    fn directory_of(&self, number: u64) -> io::Result<()> {
        let path = self.path(number);
        let parent = path.parent().unwrap_or(&self.dir);
        self.disk.create_dir(parent)?;
        // Also if it is there: whoever made it may have been stopped, or
        // refused, before it was durable.
        self.disk.sync_dir(&self.dir)
    }

    fn file(&self, number: u64) -> Result<Arc<dyn DiskFile>> {
        if let Some(file) = self.files.read().get(&number) {
            return Ok(Arc::clone(file));
        }
        let path = self.path(number);
        let file = self.disk.open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Error::Corrupt(format!("the pack {} is missing", path.display()))
            }
            _ => Error::io(format!("opening {}", path.display()), error),
        })?;
        let mut files = self.files.write();
        if files.len() >= OPEN_FILES {
            // Any half will do: what is in use comes back at the next read.
            let mut keep = false;
            files.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
        files.insert(number, Arc::clone(&file));
        Ok(file)
    }

    fn room(&self) -> Result<u64> {
        self.disk.room(&self.dir).map_err(|error| {
            Error::io(
                format!("asking for the room at {}", self.dir.display()),
                error,
            )
        })
    }

    fn path(&self, number: u64) -> PathBuf {
        pack_path(&self.dir, number)
    }

    /// The number of the pack that is appended to.
    fn tail_number(&self) -> Option<u64> {
        self.tail.lock().pack.as_ref().map(|open| open.number)
    }
}

#[async_trait]
impl BlobStore for Packs {
    async fn put(&self, items: &[SealedBlob]) -> Result<Vec<BlobLoc>> {
        self.put_now(items)
    }

    async fn get(&self, loc: &BlobLoc, range: Range<u64>) -> Result<Bytes> {
        let end = range.end.min(loc.len);
        let start = range.start.min(end);
        let file = self.file(loc.file)?;
        let offset = loc.offset.saturating_add(start);
        let number = loc.file;
        if end - start <= SHORT {
            return read(&*file, number, offset..offset + (end - start));
        }
        tokio::task::spawn_blocking(move || read(&*file, number, offset..offset + (end - start)))
            .await
            .map_err(|error| Error::io("reading a pack", io::Error::other(error)))?
    }

    async fn delete(&self, locs: &[BlobLoc]) -> Result<()> {
        self.delete_now(locs)
    }

    async fn note(&self, note: &Note) -> Result<()> {
        self.note_now(note)
    }

    async fn sweep(&self, live: &dyn LiveSet, options: &SweepOptions) -> Result<SweepReport> {
        let _turn = self.sweeping.lock().await;
        rewrite::run(self, live, options).await
    }

    async fn list(&self, from: (u64, u64), limit: usize) -> Result<Listing> {
        scan::list(self, from, limit)
    }

    async fn files(&self) -> Result<Vec<BlobFile>> {
        let tail = self.tail.lock();
        if let Some(why) = &tail.broken {
            return Err(Error::Poisoned(why.clone()));
        }
        let written = tail.pack.as_ref().map(|open| open.number);
        let packs = self.packs.lock();
        let file = |(number, len): (&u64, &u64)| BlobFile {
            name: name(*number),
            path: self.path(*number),
            len: *len,
            sealed: Some(*number) != written,
        };
        let mut files: Vec<BlobFile> = packs.iter().map(file).collect();
        for (number, len) in self.dictionaries.lens() {
            files.extend(dictionaries::names(number).map(|name| BlobFile {
                path: self.dir.join(&name),
                name,
                len: dictionaries::file_len(len),
                sealed: true,
            }));
        }
        Ok(files)
    }

    fn dictionaries(&self) -> Arc<Dictionaries> {
        Arc::clone(&self.dictionaries)
    }

    async fn keep_dictionary(&self, bytes: Bytes) -> Result<u16> {
        let _turn = self.sweeping.lock().await;
        if self.room()? < self.reserve {
            return Err(Error::Full);
        }
        let number = self.dictionaries.next()?;
        dictionaries::keep(&*self.disk, &self.dir, number, &bytes)?;
        self.dictionaries.add(number, bytes)?;
        self.syncs.fetch_add(2, Relaxed);
        Ok(number)
    }

    async fn held(&self) -> Result<u64> {
        Ok(self.packs.lock().values().sum())
    }

    fn stat(&self) -> Written {
        Written {
            syncs: self.syncs.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }

    async fn close(&self) -> Result<()> {
        // Everything promised is synced already.
        let _turn = self.sweeping.lock().await;
        self.files.write().clear();
        let mut tail = self.tail.lock();
        tail.pack = None;
        tail.broken = Some("the packs are closed".into());
        Ok(())
    }
}

fn read(file: &dyn DiskFile, number: u64, range: Range<u64>) -> Result<Bytes> {
    let len = (range.end - range.start) as usize;
    // A damaged row must not ask for more memory than there are bytes.
    if len as u64 > SHORT && file.size().is_ok_and(|size| size < range.end) {
        return Err(ends_before(number, &range));
    }
    let mut bytes = BytesMut::zeroed(len);
    match file.read_at(&mut bytes, range.start) {
        Ok(()) => Ok(bytes.freeze()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(ends_before(number, &range))
        }
        Err(error) => Err(Error::io(format!("reading pack {number:016x}"), error)),
    }
}

fn ends_before(number: u64, range: &Range<u64>) -> Error {
    Error::Corrupt(format!("pack {number:016x} ends before {range:?}"))
}

/// Writes the records one behind the other.
fn append(open: &Open, items: &[SealedBlob], headers: &[Header]) -> io::Result<Vec<BlobLoc>> {
    let mut locs = Vec::with_capacity(items.len());
    let mut buffer = BytesMut::new();
    let mut written = open.end;
    let mut at = open.end;
    for (item, header) in items.iter().zip(headers) {
        header.write(open.number, at, &mut buffer);
        buffer.put_slice(&item.label);
        locs.push(header.loc(open.number, at));
        if item.bytes.len() > GATHER {
            open.file.write_at(&buffer, written)?;
            written += buffer.len() as u64;
            buffer.clear();
            open.file.write_at(&item.bytes, written)?;
            written += item.bytes.len() as u64;
        } else {
            buffer.put_slice(&item.bytes);
        }
        at += header.record_len();
        buffer.put_bytes(0, header.padding());
    }
    open.file.write_at(&buffer, written)?;
    Ok(locs)
}

pub(crate) fn pack_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(name(number))
}

/// The path of a pack in the directory of the packs.
fn name(number: u64) -> String {
    format!("{:02x}/{number:016x}.pack", number / FAN_OUT)
}

/// Bytes of room on the device of a directory.
pub(crate) fn room(dir: &Path) -> Result<u64> {
    RealDisk
        .room(dir)
        .map_err(|error| Error::io(format!("asking for the room at {}", dir.display()), error))
}
