//! Reading the lists of fjall's tables before fjall does.
//!
//! Which tables a tree has is written in a file `vN`, and which of these is the
//! right one in the file `current`, with a checksum that fjall writes and does
//! not look at: damage would leave out tables, or end the process. Here it is
//! looked at. Tables carry checksums of their own, which fjall keeps to.
//!
//! `current`: N (8), XXH3-128 of the file (16), 0; little-endian.

use std::io::{ErrorKind, Read};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Result};

/// Looks at every tree in a directory.
///
/// # Errors
/// [`Error::Corrupt`] with the file, [`Error::Io`].
pub(super) fn check(dir: &Path) -> Result<()> {
    let trees = dir.join("keyspaces");
    let failed = |error| Error::io(format!("listing {}", trees.display()), error);
    let entries = match std::fs::read_dir(&trees) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        tree(&entry.map_err(failed)?.path())?;
    }
    Ok(())
}

fn tree(dir: &Path) -> Result<()> {
    let path = dir.join("current");
    let current = match std::fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return unfinished(dir),
        current => {
            current.map_err(|error| Error::io(format!("reading {}", path.display()), error))?
        }
    };
    let corrupt = |path: &Path| Error::Corrupt(format!("the file {}", path.display()));
    let (number, sum) = fields(&current).ok_or_else(|| corrupt(&path))?;
    let of = dir.join(format!("v{number}"));
    match checksum(&of) {
        Ok(found) if found == sum => Ok(()),
        Ok(_) => Err(Error::Corrupt(format!(
            "the file {}, or its checksum in {}",
            of.display(),
            path.display()
        ))),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::Corrupt(format!(
            "the file {}: it names {}, which is missing",
            path.display(),
            of.display()
        ))),
        Err(error) => Err(Error::io(format!("reading {}", of.display()), error)),
    }
}

/// A tree without `current` was not finished; then it has no tables.
fn unfinished(dir: &Path) -> Result<()> {
    let tables = std::fs::read_dir(dir.join("tables")).map(|mut tables| tables.next().is_some());
    match tables {
        Ok(true) => Err(Error::Corrupt(format!(
            "the file {} is missing",
            dir.join("current").display()
        ))),
        _ => Ok(()),
    }
}

fn fields(current: &[u8]) -> Option<(u64, u128)> {
    let (number, rest) = current.split_first_chunk::<8>()?;
    let (sum, kind) = rest.split_first_chunk::<16>()?;
    (kind == [0]).then(|| (u64::from_le_bytes(*number), u128::from_le_bytes(*sum)))
}

fn checksum(path: &Path) -> std::io::Result<u128> {
    let mut file = std::fs::File::open(path)?;
    let mut sum = Xxh3::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(sum.digest128()),
            read => sum.update(chunk.get(..read).unwrap_or_default()),
        }
    }
}
