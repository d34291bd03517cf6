//! The files below the packs.
//!
//! A thin layer over the operating system, there so that tests can put a disk
//! below the packs that fails, writes short, or forgets what was not synced.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Files and directories.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Opens a file that is there.
    ///
    /// # Errors
    /// Those of the operating system.
    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>>;

    /// Creates a file, or makes it empty. Its name is durable only after
    /// [`sync_dir`](Disk::sync_dir).
    ///
    /// # Errors
    /// Those of the operating system.
    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>>;

    /// What is in a directory, in any order.
    ///
    /// # Errors
    /// Those of the operating system.
    fn list(&self, dir: &Path) -> Result<Vec<Entry>>;

    /// Creates a directory and those above it; nothing happens if it is there.
    ///
    /// # Errors
    /// Those of the operating system.
    fn create_dir(&self, dir: &Path) -> Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// Those of the operating system.
    fn sync_dir(&self, dir: &Path) -> Result<()>;

    /// Gives a file another name; one that has it already is replaced.
    ///
    /// # Errors
    /// Those of the operating system.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Gives a file a second name, which no file must have yet. A disk that
    /// cannot do it need not: whoever asks copies then.
    ///
    /// # Errors
    /// Those of the operating system.
    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        let _ = (from, to);
        Err(ErrorKind::Unsupported.into())
    }

    /// Removes a file. Who has it open can go on reading it.
    ///
    /// # Errors
    /// Those of the operating system.
    fn remove(&self, path: &Path) -> Result<()>;

    /// Bytes of room on the device of a directory.
    ///
    /// # Errors
    /// Those of the operating system.
    fn room(&self, dir: &Path) -> Result<u64>;
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Its length.
    ///
    /// # Errors
    /// Those of the operating system.
    fn size(&self) -> Result<u64>;

    /// Fills the buffer with what is at this offset.
    ///
    /// # Errors
    /// [`ErrorKind::UnexpectedEof`] when the file ends before; those of the
    /// operating system.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()>;

    /// Writes all of it at this offset. After an error any part of it may
    /// have been written.
    ///
    /// # Errors
    /// Those of the operating system.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()>;

    /// Cuts it.
    ///
    /// # Errors
    /// Those of the operating system.
    fn set_len(&self, len: u64) -> Result<()>;

    /// Makes content and length durable.
    ///
    /// # Errors
    /// Those of the operating system. What was not synced before is then in
    /// no known state.
    fn sync(&self) -> Result<()>;
}

/// What is in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name; one that is no text is left out.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Length in bytes, of a file.
    pub len: u64,
}

/// The operating system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            // Of a medium that cannot be written, what is there can be read.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                File::open(path)?
            }
            file => file?,
        };
        Ok(Arc::new(RealFile(file)))
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .read(true)
            .open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn list(&self, dir: &Path) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let about = match entry.metadata() {
                // Removed a moment ago.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                about => about?,
            };
            entries.push(Entry {
                name,
                is_dir: about.is_dir(),
                len: about.len(),
            });
        }
        Ok(entries)
    }

    fn create_dir(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        File::open(dir)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        std::fs::remove_file(path)
    }

    fn room(&self, dir: &Path) -> Result<u64> {
        let device = rustix::fs::statvfs(dir)?;
        Ok(device.f_bavail.saturating_mul(device.f_frsize))
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn size(&self) -> Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> Result<()> {
        self.0.sync_data()
    }
}
