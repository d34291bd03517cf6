//! The files of an index, for tantivy.
//!
//! Read with positioned reads, not mapped: a mapped file that somebody cuts
//! short ends the whole process. A large file is opened for each read, so that
//! an index of many segments holds no file descriptors, and a file that is not
//! the one it was is noticed; so one that is deleted while it is in use goes
//! when it is not in use any more. Small ones that are replaced as a whole
//! (which segments there are) are sealed with a hash.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tantivy::HasLen;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, Directory, DirectoryLock, FileHandle, Lock, OwnedBytes, TerminatingWrite,
    WatchCallback, WatchHandle, WritePtr,
};

/// Files up to this many bytes are kept in memory while they are in use.
const SMALL: u64 = 16 * 1024;
/// The longest wait for one of tantivy's locks.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes read at once when small reads follow each other, as when segments are
/// joined or many words of the dictionary are gone through.
const AHEAD: usize = 64 * 1024;
/// Reads that leave out so few bytes follow each other.
const SKIPPED: usize = 4 * 1024;
const SEAL: usize = blake3::OUT_LEN;

/// A directory of files. The store's own lock keeps other processes away.
#[derive(Debug, Clone)]
pub(super) struct Files {
    dir: Arc<PathBuf>,
    locks: Arc<Locks>,
    uses: Arc<Mutex<HashMap<PathBuf, Use>>>,
}

/// How a large file is used.
#[derive(Debug, Default)]
struct Use {
    handles: usize,
    deleted: bool,
}

#[derive(Debug, Default)]
struct Locks {
    held: Mutex<HashSet<PathBuf>>,
    given_back: Condvar,
}

struct Held {
    locks: Arc<Locks>,
    path: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.locks.held.lock().remove(&self.path);
        self.locks.given_back.notify_all();
    }
}

impl Files {
    pub(super) fn new(dir: &Path) -> Files {
        Files {
            dir: Arc::new(dir.to_owned()),
            locks: Arc::default(),
            uses: Arc::default(),
        }
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.dir.join(path)
    }
}

fn cannot_read(error: io::Error, path: &Path) -> OpenReadError {
    match error.kind() {
        io::ErrorKind::NotFound => OpenReadError::FileDoesNotExist(path.to_owned()),
        _ => OpenReadError::wrap_io_error(error, path.to_owned()),
    }
}

impl Directory for Files {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        let open = || -> io::Result<Arc<dyn FileHandle>> {
            let full = self.at(path);
            let file = File::open(&full)?;
            let state = State::of(&file)?;
            if state.length <= SMALL {
                let mut bytes = vec![0; usize::try_from(state.length).unwrap_or(0)];
                file.read_exact_at(&mut bytes, 0)?;
                return Ok(Arc::new(OwnedBytes::new(bytes)));
            }
            self.uses.lock().entry(full.clone()).or_default().handles += 1;
            let uses = self.uses.clone();
            Ok(Arc::new(Large {
                path: full,
                state,
                uses,
                ahead: Mutex::default(),
            }))
        };
        open().map_err(|error| cannot_read(error, path))
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        let full = self.at(path);
        if let Some(used) = self.uses.lock().get_mut(&full) {
            used.deleted = true;
            return Ok(());
        }
        fs::remove_file(full).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => DeleteError::FileDoesNotExist(path.to_owned()),
            _ => DeleteError::IoError {
                io_error: Arc::new(error),
                filepath: path.to_owned(),
            },
        })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.at(path)
            .try_exists()
            .map_err(|error| cannot_read(error, path))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let made = File::options()
            .write(true)
            .create_new(true)
            .open(self.at(path));
        match made {
            Ok(file) => Ok(BufWriter::new(Box::new(Written(file)))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(OpenWriteError::FileAlreadyExists(path.to_owned()))
            }
            Err(error) => Err(OpenWriteError::wrap_io_error(error, path.to_owned())),
        }
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let read = || {
            let mut bytes = fs::read(self.at(path))?;
            let content = bytes.len().saturating_sub(SEAL);
            let (data, seal) = bytes.split_at(content);
            if blake3::hash(data).as_bytes() != seal {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the file is not as it was written",
                ));
            }
            bytes.truncate(content);
            Ok(bytes)
        };
        read().map_err(|error| cannot_read(error, path))
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        let new = self.at(&path.with_extension("new"));
        let mut file = File::create(&new)?;
        file.write_all(data)?;
        file.write_all(blake3::hash(data).as_bytes())?;
        file.sync_data()?;
        fs::rename(&new, self.at(path))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&*self.dir)?.sync_all()
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        let mut held = self.locks.held.lock();
        while held.contains(&lock.filepath) {
            let waited = lock.is_blocking
                && !self
                    .locks
                    .given_back
                    .wait_for(&mut held, PATIENCE)
                    .timed_out();
            if !waited {
                return Err(LockError::LockBusy);
            }
        }
        held.insert(lock.filepath.clone());
        Ok(DirectoryLock::from(Box::new(Held {
            locks: self.locks.clone(),
            path: lock.filepath.clone(),
        })))
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        // Readers are told after each commit.
        Ok(WatchHandle::empty())
    }
}

/// By what a file is known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl State {
    fn of(file: &File) -> io::Result<State> {
        let meta = file.metadata()?;
        Ok(State {
            inode: meta.ino(),
            length: meta.len(),
            changed: (meta.mtime(), meta.mtime_nsec()),
        })
    }
}

#[derive(Debug)]
struct Large {
    path: PathBuf,
    state: State,
    uses: Arc<Mutex<HashMap<PathBuf, Use>>>,
    ahead: Mutex<Ahead>,
}

/// What was read last.
#[derive(Debug, Default)]
struct Ahead {
    /// Where it ended.
    end: usize,
    /// More than was asked for, and where that begins.
    start: usize,
    bytes: Option<OwnedBytes>,
}

impl Ahead {
    fn get(&self, range: &Range<usize>) -> Option<OwnedBytes> {
        let bytes = self.bytes.as_ref()?;
        let from = range.start.checked_sub(self.start)?;
        let to = range.end.checked_sub(self.start)?;
        (from <= to && to <= bytes.len()).then(|| bytes.slice(from..to))
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        let mut uses = self.uses.lock();
        let Some(used) = uses.get_mut(&self.path) else {
            return;
        };
        used.handles -= 1;
        if used.handles > 0 {
            return;
        }
        if used.deleted {
            // If it stays, it is removed when the index is opened.
            let _ = fs::remove_file(&self.path);
        }
        uses.remove(&self.path);
    }
}

impl HasLen for Large {
    fn len(&self) -> usize {
        usize::try_from(self.state.length).unwrap_or(usize::MAX)
    }
}

impl FileHandle for Large {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        let follows = {
            let mut ahead = self.ahead.lock();
            let follows = (ahead.end..=ahead.end.saturating_add(SKIPPED)).contains(&range.start);
            ahead.end = range.end;
            if let Some(bytes) = ahead.get(&range) {
                return Ok(bytes);
            }
            follows && range.len() < AHEAD / 2
        };
        if !follows {
            return self.read(range);
        }
        let start = range.start;
        let bytes = self.read(start..self.len().min(start.saturating_add(AHEAD)).max(range.end))?;
        let asked = bytes.slice(0..range.len());
        let mut ahead = self.ahead.lock();
        (ahead.start, ahead.bytes) = (start, Some(bytes));
        Ok(asked)
    }
}

impl Large {
    fn read(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        let file = File::open(&self.path)?;
        if State::of(&file)? != self.state {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} was changed by another program", self.path.display()),
            ));
        }
        // A range beyond the end comes from damaged bytes; it must not cost memory.
        if range.end > self.len() || range.start > range.end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; range.len()];
        file.read_exact_at(&mut bytes, range.start as u64)?;
        Ok(OwnedBytes::new(bytes))
    }
}

/// A new file; durable once it is ended.
struct Written(File);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl TerminatingWrite for Written {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_changed_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        let name = Path::new("meta.json");
        files.atomic_write(name, b"one").unwrap();
        files.atomic_write(name, b"two").unwrap();
        assert_eq!(files.atomic_read(name).unwrap(), b"two");
        let mut bytes = fs::read(dir.path().join(name)).unwrap();
        bytes[0] ^= 1;
        fs::write(dir.path().join(name), &bytes).unwrap();
        assert!(files.atomic_read(name).is_err());
        fs::write(dir.path().join(name), b"short").unwrap();
        assert!(files.atomic_read(name).is_err());

        let name = Path::new("large");
        let mut file = files.open_write(name).unwrap();
        file.write_all(&vec![7; 100_000]).unwrap();
        file.terminate().unwrap();
        assert!(files.open_write(name).is_err());
        let handle = files.get_file_handle(name).unwrap();
        assert_eq!(&handle.read_bytes(5..8).unwrap()[..], [7, 7, 7]);
        assert!(handle.read_bytes(99_000..100_001).is_err());
        for _ in 0..2 {
            assert!(handle.read_bytes(usize::MAX - 1..usize::MAX).is_err());
        }
        assert!(handle.read_bytes(usize::MAX..usize::MAX).is_err());
        // Deleted while it is in use, it is there until it is not.
        files.delete(name).unwrap();
        let other = files.get_file_handle(name).unwrap();
        drop(handle);
        assert_eq!(&other.read_bytes(5..8).unwrap()[..], [7, 7, 7]);
        drop(other);
        assert!(!files.exists(name).unwrap());
        assert!(files.delete(name).is_err());

        let mut file = files.open_write(name).unwrap();
        file.write_all(&vec![7; 100_000]).unwrap();
        file.terminate().unwrap();
        let handle = files.get_file_handle(name).unwrap();
        File::options()
            .write(true)
            .open(dir.path().join(name))
            .unwrap()
            .set_len(50_000)
            .unwrap();
        assert!(handle.read_bytes(5..8).is_err());
    }

    #[test]
    fn reads_that_follow_each_other_read_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        let name = Path::new("large");
        let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        let mut file = files.open_write(name).unwrap();
        file.write_all(&bytes).unwrap();
        file.terminate().unwrap();
        let handle = files.get_file_handle(name).unwrap();
        for (step, length) in [
            (100, 100),
            (130, 100),
            (40_000, 40_000),
            (5000, 9000),
            (7, 300),
        ] {
            for start in (0..bytes.len() - length).step_by(step) {
                let range = start..start + length;
                assert_eq!(
                    &handle.read_bytes(range.clone()).unwrap()[..],
                    &bytes[range]
                );
            }
        }
        let end = 299_990..300_000;
        assert_eq!(&handle.read_bytes(end.clone()).unwrap()[..], &bytes[end]);
        assert!(handle.read_bytes(300_000..300_001).is_err());
    }

    #[test]
    fn locks_are_one_holders() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        let lock = Lock {
            filepath: "lock".into(),
            is_blocking: false,
        };
        let held = files.acquire_lock(&lock).unwrap();
        assert!(files.clone().acquire_lock(&lock).is_err());
        drop(held);
        assert!(files.acquire_lock(&lock).is_ok());
    }
}
