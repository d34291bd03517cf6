//! `COMPLETE`, see the [module above](super).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::Path;

use super::super::Engine;
use super::super::open::LAYOUT;
use super::files::read_all;
use crate::disk::Disk;
use crate::error::{Error, Result};

/// Its name in a backup.
pub(super) const COMPLETE: &str = "COMPLETE";
/// What it is called as long as the backup is not complete.
pub(super) const INCOMPLETE: &str = "INCOMPLETE";
const FIRST: &str = "axigen backup, version 1";
/// Longest manifest, in bytes.
const MOST: u64 = 1 << 30;

/// What a backup consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) engine: Option<Engine>,
    /// Seconds since 1970.
    pub(super) pinned: u64,
    pub(super) rows: u64,
    pub(super) row_bytes: u64,
    pub(super) rows_hash: [u8; 32],
    /// Lengths by name.
    pub(super) files: BTreeMap<String, u64>,
}

impl Manifest {
    /// The manifest of a backup; checks that all files are there, with their
    /// lengths.
    pub(super) fn read(disk: &dyn Disk, backup: &Path) -> Result<Self> {
        let path = backup.join(COMPLETE);
        let bytes = match read_all(disk, &path, MOST) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let begun = disk.open(&backup.join(INCOMPLETE)).is_ok();
                return Err(Error::Invalid(match begun {
                    true => format!(
                        "the backup in {} is not complete: it was broken off, and cannot be restored",
                        backup.display()
                    ),
                    false => format!(
                        "{} is no complete backup: there is no {COMPLETE} in it",
                        backup.display()
                    ),
                }));
            }
            bytes => {
                bytes.map_err(|error| Error::io(format!("reading {}", path.display()), error))?
            }
        };
        let manifest = Self::parse(&bytes).map_err(|why| match why {
            Why::Damaged => Error::Corrupt(format!("{} is damaged", path.display())),
            Why::Unknown(line) => Error::Invalid(format!(
                "{} says {line:?}; this program knows {FIRST:?} of layout {LAYOUT}",
                path.display()
            )),
        })?;
        for (name, len) in &manifest.files {
            let path = backup.join(name);
            let is = match disk.open(&path).and_then(|file| file.size()) {
                Ok(is) => is,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Err(Error::Corrupt(format!(
                        "{} is missing: the backup is not whole",
                        path.display()
                    )));
                }
                Err(error) => {
                    return Err(Error::io(format!("opening {}", path.display()), error));
                }
            };
            if is != *len {
                return Err(Error::Corrupt(format!(
                    "{} has {is} bytes and should have {len}: the backup is not whole",
                    path.display()
                )));
            }
        }
        Ok(manifest)
    }

    pub(super) fn encode(&self) -> String {
        let mut text = format!("{FIRST}\nlayout {LAYOUT}\n");
        let engine = self.engine.map_or("none", Engine::name);
        // Writing to a String does not fail.
        let _ = writeln!(text, "engine {engine}\npinned {}", self.pinned);
        let _ = writeln!(text, "rows {}\nrow-bytes {}", self.rows, self.row_bytes);
        let _ = writeln!(
            text,
            "rows-blake3 {}",
            blake3::Hash::from_bytes(self.rows_hash).to_hex()
        );
        for (name, len) in &self.files {
            let _ = writeln!(text, "file {len} {name}");
        }
        let sum = blake3::hash(text.as_bytes()).to_hex();
        let _ = writeln!(text, "blake3 {sum}");
        text
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Self, Why> {
        let damaged = || Why::Damaged;
        let text = std::str::from_utf8(bytes).map_err(|_| Why::Damaged)?;
        let body = text.strip_suffix('\n').ok_or_else(damaged)?;
        let at = body.rfind('\n').ok_or_else(damaged)? + 1;
        let (body, sum) = body.split_at_checked(at).ok_or_else(damaged)?;
        if sum != format!("blake3 {}", blake3::hash(body.as_bytes()).to_hex()) {
            return Err(Why::Damaged);
        }
        let mut lines = body.lines();
        for known in [FIRST.to_owned(), format!("layout {LAYOUT}")] {
            let line = lines.next().ok_or_else(damaged)?;
            if line != known {
                return Err(Why::Unknown(line.to_owned()));
            }
        }
        let mut field =
            |name: &str| -> Option<&str> { lines.next()?.strip_prefix(name)?.strip_prefix(' ') };
        let mut parse = || -> Option<Manifest> {
            Some(Manifest {
                engine: match field("engine")? {
                    "none" => None,
                    name => Some(name.parse().ok()?),
                },
                pinned: field("pinned")?.parse().ok()?,
                rows: field("rows")?.parse().ok()?,
                row_bytes: field("row-bytes")?.parse().ok()?,
                rows_hash: *blake3::Hash::from_hex(field("rows-blake3")?)
                    .ok()?
                    .as_bytes(),
                files: BTreeMap::new(),
            })
        };
        let mut manifest = parse().ok_or_else(damaged)?;
        for line in lines {
            let (len, name) = line
                .strip_prefix("file ")
                .and_then(|file| file.split_once(' '))
                .filter(|(_, name)| is_name(name))
                .ok_or_else(damaged)?;
            let len = len.parse().map_err(|_| Why::Damaged)?;
            if manifest.files.insert(name.to_owned(), len).is_some() {
                return Err(Why::Damaged);
            }
        }
        Ok(manifest)
    }
}

enum Why {
    Damaged,
    Unknown(String),
}

/// Whether a backup may have a file of this name: no way out of its directory.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.split('/').all(|part| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !part.is_empty() && !part.starts_with('.') && part.bytes().all(known)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_and_no_flipped_bit_is_believed() {
        let manifest = Manifest {
            engine: Some(Engine::Redb),
            pinned: 1_790_000_000,
            rows: 17,
            row_bytes: 4000,
            rows_hash: [0xab; 32],
            files: [("rows.dump".to_owned(), 9), ("packs/00/1.pack".into(), 0)].into(),
        };
        let text = manifest.encode();
        assert!(matches!(Manifest::parse(text.as_bytes()), Ok(found) if found == manifest));
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bad = text.clone().into_bytes();
                bad[at] ^= 1 << bit;
                assert!(Manifest::parse(&bad).is_err(), "byte {at}, bit {bit}");
            }
            assert!(Manifest::parse(&text.as_bytes()[..at]).is_err());
        }
    }

    #[test]
    fn names_stay_inside() {
        for good in ["rows.dump", "packs/00/0000000000000012.pack"] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "", "/etc/x", "../x", "a/../b", "a//b", "a/", ".x", "a b", "ä",
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
