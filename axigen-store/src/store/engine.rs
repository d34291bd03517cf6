//! Which engine holds a store's rows.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::Options;
use crate::backend::Backend;
use crate::backend::embedded::Fjall;
use crate::backend::redb::{self, Redb};
use crate::blocking;
use crate::error::{Error, Result};

/// Which embedded engine holds the rows of a store. A store keeps the one it
/// was made with until it is [migrated](crate::migrate).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Engine {
    /// [fjall](crate::backend::Embedded), an LSM tree: the faster one.
    #[default]
    Fjall,
    /// [redb](crate::backend::Redb), a B+ tree.
    Redb,
}

impl Engine {
    /// All there are.
    pub const ALL: [Engine; 2] = [Engine::Fjall, Engine::Redb];

    /// Its name, as FORMAT and the settings have it.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Fjall => "fjall",
            Engine::Redb => "redb",
        }
    }

    /// Where the rows are, in the store's directory.
    pub(super) fn entry(self) -> &'static str {
        match self {
            Engine::Fjall => "meta",
            Engine::Redb => "meta.redb",
        }
    }

    /// Whether there are rows.
    pub(super) fn is_in(self, dir: &Path) -> bool {
        let path = dir.join(self.entry());
        match self {
            Engine::Fjall => path.is_dir(),
            Engine::Redb => path.join(redb::ROWS).is_file(),
        }
    }

    /// Removes what is there of its rows.
    pub(super) fn remove(self, dir: &Path) -> Result<()> {
        remove(&dir.join(self.entry()))
    }

    /// The rows at a path, made if they are not there.
    pub(super) fn open(self, path: &Path, options: &Options) -> Result<Arc<dyn Backend>> {
        // Rows need less room than blobs, and without them no blob is of use.
        let (cache, reserve) = (options.cache, options.reserve / 8);
        Ok(match self {
            Engine::Fjall => Arc::new(Fjall::open(path, cache, reserve)?.into_backend()),
            Engine::Redb => Arc::new(Redb::open(path, cache, reserve)?.into_backend()),
        })
    }

    /// As [`Engine::open`], without what makes a backend of it.
    pub(super) fn bare(self, path: &Path, options: &Options) -> Result<Box<dyn blocking::Engine>> {
        let (cache, reserve) = (options.cache, options.reserve / 8);
        Ok(match self {
            Engine::Fjall => Box::new(Fjall::open(path, cache, reserve)?),
            Engine::Redb => Box::new(Redb::open(path, cache, reserve)?),
        })
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Engine {
    type Err = Error;

    fn from_str(name: &str) -> Result<Engine> {
        let found = Engine::ALL.into_iter().find(|engine| engine.name() == name);
        found.ok_or_else(|| {
            Error::Invalid(format!(
                "{name:?} is no engine; there are {}",
                Engine::ALL.map(Engine::name).join(" and ")
            ))
        })
    }
}

/// Removes a file or a directory, if it is there.
pub(super) fn remove(path: &Path) -> Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("removing {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

/// An engine that was just closed may still be locked for a moment: a process
/// that is being started has the files of the one that starts it.
pub(super) fn reopen<T>(open: impl Fn() -> Result<T>) -> Result<T> {
    for _ in 0..200 {
        match open() {
            Err(Error::Locked(_)) => std::thread::sleep(std::time::Duration::from_millis(10)),
            opened => return opened,
        }
    }
    open()
}

/// Where rows grow that will take the place of others.
pub(super) fn beside(engine: Engine, dir: &Path, what: &str) -> PathBuf {
    dir.join(format!("{}.{what}", engine.entry()))
}
