//! The directory of the embedded store.
//!
//! ```text
//! FORMAT     version of the layout
//! LOCK       locked while a process has the store open
//! store.id   names this store for ever
//! meta/      rows
//! packs/     blobs
//! ```

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Options, Store};
use crate::backend::embedded::Fjall;
use crate::error::{Error, Result};
use crate::pack::Packs;

const FORMAT: &str = "axigen store, layout 3\n";

/// An open directory. Dropping it lets others open it.
#[derive(Debug)]
pub(super) struct Root {
    /// Locked while it lives.
    _lock: File,
    /// FORMAT is not written yet.
    fresh: bool,
    dir: PathBuf,
}

impl Store {
    /// The embedded backend in a directory, created if it is not there.
    ///
    /// # Errors
    /// [`Error::Locked`] while another process (or another `Store` of this
    /// one) has it open, [`Error::Invalid`] if the directory holds something
    /// else or a layout this version does not know, [`Error::Corrupt`],
    /// [`Error::Io`].
    pub async fn open(dir: &Path) -> Result<Store> {
        Store::open_with(dir, Options::default()).await
    }

    /// [`Store::open`] with options.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_with(dir: &Path, options: Options) -> Result<Store> {
        let dir = dir.to_owned();
        let wanted = options.clone();
        // Recovery may read hundreds of megabytes.
        let opening = tokio::task::spawn_blocking(move || {
            let root = Root::open(&dir)?;
            let packs = Packs::open(&dir.join("packs"), wanted.pack, wanted.reserve)?;
            // Rows need less room than blobs, and without them no blob is of use.
            let rows = Fjall::open(&dir.join("meta"), wanted.cache, wanted.reserve / 8)?;
            root.made(&dir)?;
            Ok((root, packs, rows))
        });
        let (root, packs, rows) = opening
            .await
            .map_err(|error| Error::io("opening the store", std::io::Error::other(error)))??;
        let backend = Arc::new(rows.into_backend());
        Store::start(backend, Arc::new(packs), options, Some(root)).await
    }
}

impl Root {
    fn open(dir: &Path) -> Result<Self> {
        let failed = |error| Error::io(format!("opening the store at {}", dir.display()), error);
        std::fs::create_dir_all(dir).map_err(failed)?;
        let lock = lock(dir)?;
        let fresh = !known_format(dir)?;
        if fresh {
            prepare(dir)?;
        } else if !dir.join("meta").is_dir() {
            // To begin with an empty one would look as if all were well.
            return Err(Error::Corrupt(format!(
                "the metadata of the store at {} is missing; `axigen store salvage` makes it anew from the packs",
                dir.display()
            )));
        }
        // Whoever made FORMAT may have been killed before its name was durable.
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(failed)?;
        Ok(Root {
            _lock: lock,
            fresh,
            dir: dir.to_owned(),
        })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// As [`Root::open`], of a directory of which nothing but the packs needs
    /// to be there.
    pub(super) fn for_salvage(dir: &Path) -> Result<Self> {
        if !dir.join("packs").is_dir() {
            return Err(Error::Invalid(format!(
                "{} holds no packs, and so nothing that could be salvaged",
                dir.display()
            )));
        }
        let lock = lock(dir)?;
        let fresh = !known_format(dir)?;
        let id = dir.join("store.id");
        if !id.exists() {
            write(&id, &identifier()?)
                .map_err(|error| Error::io(format!("creating {}", id.display()), error))?;
        }
        Ok(Root {
            _lock: lock,
            fresh,
            dir: dir.to_owned(),
        })
    }

    /// Called once all parts are there. FORMAT comes last, so that a store
    /// whose making was broken off is made again.
    pub(super) fn made(&self, dir: &Path) -> Result<()> {
        if !self.fresh {
            return Ok(());
        }
        let run = || {
            let new = dir.join("FORMAT.new");
            write(&new, FORMAT)?;
            // The names of the parts must be durable before FORMAT says so.
            File::open(dir)?.sync_all()?;
            std::fs::rename(&new, dir.join("FORMAT"))?;
            File::open(dir)?.sync_all()
        };
        run().map_err(|error| Error::io(format!("creating a store at {}", dir.display()), error))
    }
}

fn lock(dir: &Path) -> Result<File> {
    let failed = |error| Error::io(format!("opening the store at {}", dir.display()), error);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join("LOCK"))
        .map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::Locked(dir.display().to_string())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Whether FORMAT is there and says what this version knows.
fn known_format(dir: &Path) -> Result<bool> {
    let format = dir.join("FORMAT");
    // Damage to it is no failure of the disk.
    let text = std::fs::read(&format).map(|text| String::from_utf8_lossy(&text).into_owned());
    match text {
        Ok(text) if text == FORMAT => Ok(true),
        Ok(text) => Err(Error::Invalid(format!(
            "{} says {:?}; this version knows {:?}",
            format.display(),
            text.trim_end(),
            FORMAT.trim_end()
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io(
            format!("opening the store at {}", dir.display()),
            error,
        )),
    }
}

/// Looks whether a store may be made here, and begins it.
fn prepare(dir: &Path) -> Result<()> {
    let failed = |error| Error::io(format!("creating a store at {}", dir.display()), error);
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let ours = [
            "LOCK",
            "store.id",
            "FORMAT.new",
            "meta",
            "packs",
            "lost+found",
        ];
        if !ours.iter().any(|known| name == **known) {
            return Err(Error::Invalid(format!(
                "{} is not a store and not empty: it holds {}",
                dir.display(),
                name.display()
            )));
        }
    }
    let packs = dir.join("packs");
    std::fs::create_dir_all(&packs).map_err(failed)?;
    for entry in std::fs::read_dir(&packs).map_err(failed)? {
        if entry.map_err(failed)?.path().is_dir() {
            return Err(Error::Invalid(format!(
                "{} holds packs but no FORMAT: part of the store is missing",
                dir.display()
            )));
        }
    }
    write(&dir.join("store.id"), &identifier()?).map_err(failed)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A random UUID ([RFC 9562 §5.4](https://www.rfc-editor.org/rfc/rfc9562#section-5.4)) and a line end.
fn identifier() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::io("asking for random bytes", std::io::Error::other(error)))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!(
        "{}-{}-{}-{}-{}\n",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    ))
}
