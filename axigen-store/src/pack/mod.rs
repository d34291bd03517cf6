//! Blobs in append-only files.
//!
//! Pack files hold 256 MB; only the newest is written to, and only at its end.
//! A group of blobs is one append and one fdatasync. Packs describe themselves:
//! each [record] carries the blob's address and label, so what refers
//! to them can be rebuilt should the metadata be lost.
//!
//! ```text
//! packs/00/0000000000000012.pack   number 0x12, sixteen hex digits; the directory is number / 4096
//! packs/synced                     how far the newest pack is known to be durable
//! ```
//!
//! After a crash the newest pack may end in a torn group, which nobody was
//! promised. Opening reads it from the last place known to be durable and cuts
//! it behind its last good record.

pub mod record;
mod recover;

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::{Mutex, RwLock};

use crate::backend::Written;
use crate::blob::{BlobLoc, BlobStore, SealedBlob};
use crate::error::{Error, Result};
use record::{FILE_HEADER, Header};

/// Packs of one directory.
const FAN_OUT: u64 = 4096;
/// Open files; more are closed and opened again.
const OPEN_FILES: usize = 256;
/// Blobs up to this length are gathered into one write.
const GATHER: usize = 64 << 10;
/// Reads beyond this length go where they may block.
const SHORT: u64 = 256 << 10;

/// The blob store in pack files.
#[derive(Debug)]
pub struct Packs {
    dir: PathBuf,
    limit: u64,
    reserve: u64,
    tail: Mutex<Tail>,
    files: RwLock<HashMap<u64, Arc<File>>>,
    held: AtomicU64,
    syncs: AtomicU64,
    bytes: AtomicU64,
}

/// Where the next record goes.
#[derive(Debug)]
struct Tail {
    /// The newest pack and its end, once there is one.
    pack: Option<(u64, Arc<File>, u64)>,
    synced: File,
    /// Set by a failure after which the file's state is not known.
    broken: Option<String>,
}

impl Packs {
    /// Opens the packs in a directory, or creates it. A pack is ended at
    /// `limit` bytes. With less than `reserve` bytes of room on the device
    /// nothing is written.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Full`].
    pub fn open(dir: &Path, limit: u64, reserve: u64) -> Result<Self> {
        let path = dir.join("synced");
        let synced = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| Error::io(format!("opening {}", path.display()), error))?;
        let found = recover::run(dir, &synced)?;
        Ok(Packs {
            dir: dir.to_owned(),
            limit,
            reserve,
            tail: Mutex::new(Tail {
                pack: found.newest,
                synced,
                broken: None,
            }),
            files: RwLock::default(),
            held: AtomicU64::new(found.held),
            syncs: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    fn put_now(&self, items: &[SealedBlob]) -> Result<Vec<BlobLoc>> {
        let mut tail = self.tail.lock();
        if let Some(why) = &tail.broken {
            return Err(Error::Poisoned(why.clone()));
        }
        if room(&self.dir)? < self.reserve {
            return Err(Error::Full);
        }
        let headers: Vec<Header> = items.iter().map(Header::of).collect();
        let total: u64 = headers.iter().map(Header::record_len).sum();
        let fits = |(_, _, end): &(u64, Arc<File>, u64)| {
            *end == FILE_HEADER || end.saturating_add(total) <= self.limit
        };
        let (number, file, start) = match tail.pack.take_if(|pack| fits(pack)) {
            Some(pack) => pack,
            None => {
                let last = tail.pack.as_ref().map(|(number, ..)| *number);
                let number = last.map_or(0, |number| number + 1);
                let file = create(&self.dir, number)?;
                self.held.fetch_add(FILE_HEADER, Relaxed);
                (number, Arc::new(file), FILE_HEADER)
            }
        };
        tail.pack = Some((number, Arc::clone(&file), start));
        let context = || format!("appending to {}", pack_path(&self.dir, number).display());
        let locs = match append(&file, number, start, items, &headers) {
            Ok(locs) => locs,
            Err(error) => {
                // Nothing was synced nor promised: as if it had not been.
                let undone = file.set_len(start);
                let error = Error::io(context(), error);
                if undone.is_err() || error.is_fatal() {
                    tail.broken = Some(error.to_string());
                    return Err(Error::Poisoned(error.to_string()));
                }
                return Err(error);
            }
        };
        if let Err(error) = file.sync_data() {
            // The kernel may have dropped the pages: nothing can be said of them.
            let why = format!("syncing, {}: {error}", context());
            tail.broken = Some(why.clone());
            return Err(Error::Poisoned(why));
        }
        let end = start + total;
        tail.pack = Some((number, file, end));
        recover::note(&tail.synced, number, end);
        self.held.fetch_add(total, Relaxed);
        self.syncs.fetch_add(1, Relaxed);
        self.bytes.fetch_add(total, Relaxed);
        Ok(locs)
    }

    fn file(&self, number: u64) -> Result<Arc<File>> {
        if let Some(file) = self.files.read().get(&number) {
            return Ok(Arc::clone(file));
        }
        let path = pack_path(&self.dir, number);
        let file = File::open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::Corrupt(format!("the pack {} is missing", path.display()))
            }
            _ => Error::io(format!("opening {}", path.display()), error),
        })?;
        let file = Arc::new(file);
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
        let read = move || {
            let mut bytes = BytesMut::zeroed((end - start) as usize);
            match file.read_exact_at(&mut bytes, offset) {
                Ok(()) => Ok(bytes.freeze()),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    Err(Error::Corrupt(format!(
                        "pack {number:016x} ends before offset {offset} + {}",
                        end - start
                    )))
                }
                Err(error) => Err(Error::io(format!("reading pack {number:016x}"), error)),
            }
        };
        if end - start <= SHORT {
            return read();
        }
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| Error::io("reading a pack", std::io::Error::other(error)))?
    }

    async fn held(&self) -> Result<u64> {
        Ok(self.held.load(Relaxed))
    }

    fn stat(&self) -> Written {
        Written {
            syncs: self.syncs.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }

    async fn close(&self) -> Result<()> {
        // Everything promised is synced already.
        self.files.write().clear();
        let mut tail = self.tail.lock();
        tail.pack = None;
        tail.broken = Some("the packs are closed".into());
        Ok(())
    }
}

/// Writes the records one behind the other.
fn append(
    file: &File,
    pack: u64,
    start: u64,
    items: &[SealedBlob],
    headers: &[Header],
) -> std::io::Result<Vec<BlobLoc>> {
    let mut locs = Vec::with_capacity(items.len());
    let mut buffer = BytesMut::new();
    let mut written = start;
    let mut at = start;
    for (item, header) in items.iter().zip(headers) {
        header.write(pack, at, item, &mut buffer);
        let offset = at + header.payload_at();
        if item.bytes.len() > GATHER {
            file.write_all_at(&buffer, written)?;
            written += buffer.len() as u64;
            buffer.clear();
            file.write_all_at(&item.bytes, written)?;
            written += item.bytes.len() as u64;
        } else {
            buffer.put_slice(&item.bytes);
        }
        at += header.record_len();
        buffer.put_bytes(0, header.padding());
        locs.push(BlobLoc {
            hash: item.hash,
            file: pack,
            offset,
            len: item.bytes.len() as u64,
        });
    }
    file.write_all_at(&buffer, written)?;
    Ok(locs)
}

/// Creates a pack; its name and header are durable when it returns.
fn create(dir: &Path, number: u64) -> Result<File> {
    let path = pack_path(dir, number);
    let run = || {
        let parent = path.parent().unwrap_or(dir);
        if !parent.is_dir() {
            std::fs::create_dir_all(parent)?;
            File::open(dir)?.sync_all()?;
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .read(true)
            .open(&path)?;
        file.write_all_at(&record::file_header(number), 0)?;
        file.sync_all()?;
        File::open(parent)?.sync_all()?;
        Ok(file)
    };
    run().map_err(|error| Error::io(format!("creating {}", path.display()), error))
}

fn pack_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{:02x}", number / FAN_OUT))
        .join(format!("{number:016x}.pack"))
}

/// Bytes of room on the device of a directory.
pub(crate) fn room(dir: &Path) -> Result<u64> {
    let device = rustix::fs::statvfs(dir).map_err(|error| {
        Error::io(
            format!("asking for the room at {}", dir.display()),
            error.into(),
        )
    })?;
    Ok(device.f_bavail.saturating_mul(device.f_frsize))
}
