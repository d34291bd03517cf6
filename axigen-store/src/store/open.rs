//! The directory of the embedded store.
//!
//! ```text
//! FORMAT      version of the layout, and which engine holds the rows
//! LOCK        locked while a process has the store open
//! store.id    names this store for ever
//! meta/       rows, held by fjall,
//! meta.redb   or by redb
//! packs/      blobs
//! ```
//!
//! What FORMAT says is true. Rows of another engine beside those it names are
//! what a migration left when it was killed.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Engine, Options, Store};
use crate::error::{Error, Result};
use crate::pack::{Packs, RESTORING, unfinished};

const FORMAT: &str = "axigen store, layout 3\n";
/// The layout that FORMAT names.
pub(super) const LAYOUT: u32 = 3;
/// Before the engine's name, in the second line of FORMAT. Without the line it
/// is fjall.
const ENGINE: &str = "engine ";

/// An open directory. Dropping it lets others open it.
#[derive(Debug)]
pub(super) struct Root {
    /// Locked while it lives.
    _lock: File,
    /// FORMAT is not written yet.
    fresh: bool,
    engine: Engine,
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
            let root = Root::open(&dir, wanted.engine)?;
            let packs = Packs::open(&dir.join("packs"), wanted.pack, wanted.reserve)?;
            let rows = root.engine.open(&root.rows(), &wanted)?;
            root.made(&dir)?;
            Ok((root, packs, rows))
        });
        let (root, packs, backend) = opening
            .await
            .map_err(|error| Error::io("opening the store", std::io::Error::other(error)))??;
        Store::start(backend, Arc::new(packs), options, Some(root)).await
    }
}

impl Root {
    /// `wanted` is for a new store.
    fn open(dir: &Path, wanted: Engine) -> Result<Self> {
        let failed = |error| Error::io(format!("opening the store at {}", dir.display()), error);
        std::fs::create_dir_all(dir).map_err(failed)?;
        let lock = lock(dir)?;
        let Some(engine) = known_format(dir)? else {
            prepare(dir)?;
            return Ok(Root {
                _lock: lock,
                fresh: true,
                engine: wanted,
                dir: dir.to_owned(),
            });
        };
        let root = Root::found(dir, lock, engine)?;
        for other in Engine::ALL.into_iter().filter(|other| *other != engine) {
            if other.is_in(dir) {
                tracing::warn!(
                    "{} is left over from a migration; `axigen store migrate --to {engine}` removes it",
                    dir.join(other.entry()).display()
                );
            }
        }
        Ok(root)
    }

    /// Of a store that is there.
    pub(super) fn existing(dir: &Path) -> Result<Self> {
        // To look for it must not make a LOCK anywhere.
        if known_format(dir)?.is_none() {
            return Err(Error::Invalid(format!(
                "{} is no store: there is no FORMAT in it",
                dir.display()
            )));
        }
        let lock = lock(dir)?;
        // A migration may have ended a moment ago.
        match known_format(dir)? {
            Some(engine) => Root::found(dir, lock, engine),
            None => Err(Error::Invalid(format!("{} is no store", dir.display()))),
        }
    }

    fn found(dir: &Path, lock: File, engine: Engine) -> Result<Self> {
        if !engine.is_in(dir) {
            // To begin with an empty one would look as if all were well.
            return Err(Error::Corrupt(format!(
                "the metadata of the store at {} is missing: FORMAT says that {} holds it, but {} is not there; `axigen store salvage` makes it anew from the packs",
                dir.display(),
                engine,
                engine.entry()
            )));
        }
        // Whoever made FORMAT may have been killed before its name was durable.
        sync(dir)
            .map_err(|error| Error::io(format!("opening the store at {}", dir.display()), error))?;
        Ok(Root {
            _lock: lock,
            fresh: false,
            engine,
            dir: dir.to_owned(),
        })
    }

    /// Which engine holds the rows.
    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    /// Where they are.
    pub(super) fn rows(&self) -> PathBuf {
        self.dir.join(self.engine.entry())
    }

    /// FORMAT names another engine from now on, whose rows are all there.
    pub(super) fn switch(&mut self, to: Engine) -> Result<()> {
        say_format(&self.dir, to)
            .map_err(|error| Error::io(format!("switching to {to}"), error))?;
        self.engine = to;
        Ok(())
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// As [`Root::open`], of a directory of which nothing but the packs needs
    /// to be there.
    pub(super) fn for_salvage(dir: &Path, wanted: Engine) -> Result<Self> {
        if !dir.join("packs").is_dir() {
            return Err(Error::Invalid(format!(
                "{} holds no packs, and so nothing that could be salvaged",
                dir.display()
            )));
        }
        let lock = lock(dir)?;
        let known = known_format(dir)?;
        let id = dir.join("store.id");
        if !id.exists() {
            write(&id, &identifier()?)
                .map_err(|error| Error::io(format!("creating {}", id.display()), error))?;
        }
        Ok(Root {
            _lock: lock,
            fresh: known.is_none(),
            engine: known.unwrap_or(wanted),
            dir: dir.to_owned(),
        })
    }

    /// For a restore: of a directory that holds nothing, or what a restore
    /// that was broken off left.
    pub(super) fn for_restore(dir: &Path, engine: Engine) -> Result<Self> {
        let failed = |error| Error::io(format!("restoring into {}", dir.display()), error);
        std::fs::create_dir_all(dir).map_err(failed)?;
        let check = || -> Result<()> {
            if dir.join("packs").join(RESTORING).exists() {
                return Ok(());
            }
            for entry in std::fs::read_dir(dir).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                // A restore that was killed before its first step left LOCK.
                if !["LOCK", "lost+found"].iter().any(|known| name == **known) {
                    return Err(Error::Invalid(format!(
                        "{} is not empty, it holds {}: a backup is restored into a directory of its own",
                        dir.display(),
                        name.display()
                    )));
                }
            }
            Ok(())
        };
        // To look must not make a LOCK anywhere.
        check()?;
        let lock = lock_any(dir)?;
        check()?;
        Ok(Root {
            _lock: lock,
            fresh: true,
            engine,
            dir: dir.to_owned(),
        })
    }

    /// Called once all parts are there. FORMAT comes last, so that a store
    /// whose making was broken off is made again.
    pub(super) fn made(&self, dir: &Path) -> Result<()> {
        if !self.fresh {
            return Ok(());
        }
        say_format(dir, self.engine)
            .map_err(|error| Error::io(format!("creating a store at {}", dir.display()), error))
    }
}

fn say_format(dir: &Path, engine: Engine) -> std::io::Result<()> {
    let new = dir.join("FORMAT.new");
    write(&new, &format!("{FORMAT}{ENGINE}{engine}\n"))?;
    // The names of the parts must be durable before FORMAT says so.
    sync(dir)?;
    std::fs::rename(&new, dir.join("FORMAT"))?;
    sync(dir)
}

fn sync(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

fn lock(dir: &Path) -> Result<File> {
    if dir.join("packs").join(RESTORING).exists() {
        return Err(unfinished(dir));
    }
    lock_any(dir)
}

fn lock_any(dir: &Path) -> Result<File> {
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

/// The engine that FORMAT names, if it is there and says what this version
/// knows.
fn known_format(dir: &Path) -> Result<Option<Engine>> {
    let format = dir.join("FORMAT");
    // Damage to it is no failure of the disk.
    let text = match std::fs::read(&format) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Error::io(
                format!("opening the store at {}", dir.display()),
                error,
            ));
        }
    };
    let refused = |why: String| Error::Invalid(format!("{} says {why}", format.display()));
    let Some(rest) = text.strip_prefix(FORMAT) else {
        return Err(refused(format!(
            "{:?}; this version knows {:?}",
            text.trim_end(),
            FORMAT.trim_end()
        )));
    };
    if rest.is_empty() {
        return Ok(Some(Engine::Fjall));
    }
    let name = rest
        .strip_prefix(ENGINE)
        .and_then(|rest| rest.strip_suffix('\n'));
    match name.map(str::parse) {
        Some(Ok(engine)) => Ok(Some(engine)),
        Some(Err(_)) => Err(refused(format!(
            "that the rows are held by {:?}; this version knows {}",
            name.unwrap_or_default(),
            Engine::ALL.map(Engine::name).join(" and ")
        ))),
        None => Err(refused(format!("{:?}", text.trim_end()))),
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
            "meta.redb",
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
