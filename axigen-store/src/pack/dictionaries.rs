//! The store's own [dictionaries](crate::blob::dictionary), beside the packs.
//!
//! ```text
//! packs/dict/0002.zdict   number 2, four hex digits
//! packs/dict/0002.copy    the same bytes once more
//! packs/dict/0002.new     being written; removed when the store is opened
//! ```
//!
//! Whatever was compressed with one is lost without it, so each is kept twice,
//! and one that is damaged or missing is made anew from the other when the
//! store is opened. Numbers are big-endian:
//!
//! | bytes | meaning |
//! |---|---|
//! | 8 | `AXIGENZD` |
//! | 4 | version, 1 |
//! | 4 | the dictionary's number, as in its name |
//! | 4 | its length |
//! | 32 | its BLAKE3-256 |
//! | 4 | CRC-32C of the 52 bytes above |
//! | rest | the dictionary, as zstd made it |

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::blob::dictionary::{Dictionaries, LONGEST, MAIL};
use crate::disk::Disk;
use crate::error::{Error, Result};

/// Their directory, in that of the packs.
const DIR: &str = "dict";
const MAGIC: &[u8; 8] = b"AXIGENZD";
const VERSION: u32 = 1;
const HEAD: usize = 56;
const ORIGINAL: &str = "zdict";
const COPY: &str = "copy";
const NEW: &str = "new";

/// The name of a file within the directory of the packs.
pub(super) fn names(number: u16) -> [String; 2] {
    [ORIGINAL, COPY].map(|kind| format!("{DIR}/{number:04x}.{kind}"))
}

/// The length of a file, header included.
pub(super) fn file_len(dictionary: usize) -> u64 {
    (HEAD + dictionary) as u64
}

/// What the directory of the packs has; nothing is changed. A dictionary of
/// which no file is whole is left out, and named beside.
pub(crate) fn read(disk: &dyn Disk, packs: &Path) -> Result<(Dictionaries, Vec<u16>)> {
    let (known, lost) = (Dictionaries::new(), look(disk, packs)?);
    let mut missing = Vec::new();
    for (number, found) in lost {
        match found.whole {
            Some(bytes) => known.add(number, bytes)?,
            None => missing.push(number),
        }
    }
    Ok((known, missing))
}

/// As [`read`], of a store that is being opened: what one of two files has is
/// given to the other, what was being written is removed.
pub(super) fn open(disk: &dyn Disk, packs: &Path) -> Result<Dictionaries> {
    let known = Dictionaries::new();
    for (number, found) in look(disk, packs)? {
        let Some(bytes) = found.whole else {
            tracing::error!(
                number,
                "a dictionary is missing or damaged, and its copy too: what was compressed with it cannot be read"
            );
            continue;
        };
        for path in found.poor {
            match write(disk, &path, number, &bytes) {
                Ok(()) => {
                    tracing::warn!(path = %path.display(), "a dictionary was made anew from its copy");
                }
                // It is there once, which is enough to go on.
                Err(error) => tracing::error!(%error, "a dictionary is there only once"),
            }
        }
        known.add(number, bytes)?;
    }
    Ok(known)
}

/// Keeps one more, durably.
pub(super) fn keep(disk: &dyn Disk, packs: &Path, number: u16, bytes: &Bytes) -> Result<()> {
    let dir = packs.join(DIR);
    let failed = |error| Error::io(format!("keeping a dictionary in {}", dir.display()), error);
    disk.create_dir(&dir).map_err(failed)?;
    disk.sync_dir(packs).map_err(failed)?;
    for name in names(number) {
        write(disk, &packs.join(name), number, bytes)?;
    }
    Ok(())
}

fn write(disk: &dyn Disk, path: &Path, number: u16, bytes: &Bytes) -> Result<()> {
    let mut content = BytesMut::with_capacity(HEAD + bytes.len());
    content.put_slice(MAGIC);
    content.put_u32(VERSION);
    content.put_u32(u32::from(number));
    content.put_u32(bytes.len() as u32);
    content.put_slice(blake3::hash(bytes).as_bytes());
    let sum = crc32c::crc32c(&content);
    content.put_u32(sum);
    content.put_slice(bytes);
    let new = path.with_extension(NEW);
    let run = || {
        let file = disk.create(&new)?;
        file.write_at(&content, 0)?;
        file.sync()?;
        drop(file);
        disk.rename(&new, path)?;
        disk.sync_dir(path.parent().unwrap_or(path))
    };
    run().map_err(|error| {
        let _ = disk.remove(&new);
        Error::io(format!("writing {}", path.display()), error)
    })
}

#[derive(Default)]
struct Found {
    whole: Option<Bytes>,
    /// Files that are not there, or not whole.
    poor: Vec<PathBuf>,
}

fn look(disk: &dyn Disk, packs: &Path) -> Result<BTreeMap<u16, Found>> {
    let dir = packs.join(DIR);
    let entries = match disk.list(&dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.map_err(|error| Error::io(format!("listing {}", dir.display()), error)),
    }?;
    let mut found: BTreeMap<u16, Found> = BTreeMap::new();
    for entry in entries {
        let Some((digits, kind)) = entry.name.split_once('.') else {
            continue;
        };
        let number = u16::from_str_radix(digits, 16)
            .ok()
            .filter(|number| digits.len() == 4 && *number > MAIL);
        if let (Some(number), ORIGINAL | COPY) = (number, kind) {
            found.entry(number).or_default();
        }
    }
    for (number, found) in &mut found {
        for name in names(*number) {
            let path = packs.join(name);
            match read_one(disk, &path, *number) {
                Ok(Some(bytes)) => found.whole = Some(bytes),
                Ok(None) => found.poor.push(path),
                Err(error) => {
                    tracing::error!(%error, path = %path.display(), "a dictionary cannot be read");
                    found.poor.push(path);
                }
            }
        }
    }
    Ok(found)
}

/// `None` if it is not there or not whole.
fn read_one(disk: &dyn Disk, path: &Path, number: u16) -> io::Result<Option<Bytes>> {
    let file = match disk.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let len = file.size()?;
    if len < HEAD as u64 || len > file_len(LONGEST) {
        return Ok(None);
    }
    let mut bytes = BytesMut::zeroed(len as usize);
    file.read_at(&mut bytes, 0)?;
    let bytes = bytes.freeze();
    let mut head = bytes.slice(..HEAD);
    let content = bytes.slice(HEAD..);
    let sum = crc32c::crc32c(&head[..HEAD - 4]);
    let mut magic = [0; 8];
    head.copy_to_slice(&mut magic);
    let (version, is, len) = (head.get_u32(), head.get_u32(), head.get_u32());
    let mut hash = [0; 32];
    head.copy_to_slice(&mut hash);
    let whole = magic == *MAGIC
        && version == VERSION
        && is == u32::from(number)
        && len as usize == content.len()
        && head.get_u32() == sum
        && *blake3::hash(&content).as_bytes() == hash;
    Ok((whole && !content.is_empty()).then_some(content))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::disk::RealDisk;

    const BYTES: &[u8] = b"as if it were a dictionary";

    fn current(dir: &Path) -> (u16, Vec<u16>) {
        let (known, missing) = read(&RealDisk, dir).unwrap();
        (known.current(), missing)
    }

    #[test]
    fn one_file_of_two_is_enough_and_makes_the_other_anew() {
        let dir = tempfile::TempDir::new().unwrap();
        let dir = dir.path();
        assert_eq!(current(dir), (MAIL, Vec::new()));
        keep(&RealDisk, dir, 2, &Bytes::from_static(BYTES)).unwrap();
        assert_eq!(current(dir), (2, Vec::new()));
        let paths = names(2).map(|name| dir.join(name));
        let good = std::fs::read(&paths[0]).unwrap();
        assert_eq!(good.len() as u64, file_len(BYTES.len()));
        assert_eq!(good, std::fs::read(&paths[1]).unwrap());
        for path in &paths {
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                std::fs::write(path, &bad).unwrap();
                assert_eq!(current(dir), (2, Vec::new()), "bit {bit}");
            }
            for len in 0..good.len() {
                std::fs::write(path, &good[..len]).unwrap();
                assert_eq!(current(dir), (2, Vec::new()), "length {len}");
            }
            open(&RealDisk, dir).unwrap();
            assert_eq!(std::fs::read(path).unwrap(), good);
            std::fs::remove_file(path).unwrap();
            assert_eq!(open(&RealDisk, dir).unwrap().current(), 2);
            assert_eq!(std::fs::read(path).unwrap(), good);
        }
        for path in &paths {
            std::fs::write(path, &good[1..]).unwrap();
        }
        assert_eq!(current(dir), (MAIL, vec![2]));
    }
}
