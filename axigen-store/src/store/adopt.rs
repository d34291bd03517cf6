//! Blobs that the blob store holds and no row names: read, checked, and given
//! rows.

use std::collections::{HashMap, HashSet};

use super::Shared;
use super::line::wait;
use crate::backend::{Upkeep, key};
use crate::blob::seal::{self, Kind};
use crate::blob::{BlobLoc, BlobRow, Place, SealedBlob, pieces};
use crate::error::{Error, Result};

/// Blobs listed at a time.
const PAGE: usize = 1024;

/// Where blobs are, by hash; the newest place comes last.
pub(super) type Places = HashMap<[u8; 32], Vec<(BlobLoc, u64)>>;

impl Shared {
    /// Every place of a blob that was not given up, of those that are wanted.
    pub(super) fn places(&self, wanted: impl Fn(&[u8; 32]) -> bool) -> Result<Places> {
        let mut gone = HashSet::new();
        let mut places = Places::new();
        let mut from = (0, 0);
        loop {
            let page = wait(self.blobs.list(from, PAGE))?;
            gone.extend(page.deleted);
            for blob in page.blobs {
                if wanted(&blob.loc.hash) {
                    let known = places.entry(blob.loc.hash).or_default();
                    known.push((blob.loc, blob.raw_len));
                }
            }
            match page.next {
                Some(next) => from = next,
                None => break,
            }
        }
        for known in places.values_mut() {
            known.retain(|(loc, _)| !gone.contains(&(loc.file, loc.offset)));
        }
        places.retain(|_, known| !known.is_empty());
        Ok(places)
    }

    /// The row, without references, of a blob that is at one of these places:
    /// the newest that can be read. `None` with the reasons if none can.
    pub(super) fn find(
        &self,
        hash: &[u8; 32],
        places: &[(BlobLoc, u64)],
    ) -> Result<std::result::Result<BlobRow, Vec<String>>> {
        let mut damage = Vec::new();
        for (loc, raw_len) in places.iter().rev() {
            match self.read_at(hash, loc, *raw_len) {
                Ok(row) => return Ok(Ok(row)),
                Err(Error::Corrupt(why)) => damage.push(format!(
                    "file {:016x}, offset {}: {why}",
                    loc.file, loc.offset
                )),
                Err(error) => return Err(error),
            }
        }
        Ok(Err(damage))
    }

    pub(super) fn read_at(&self, hash: &[u8; 32], loc: &BlobLoc, raw_len: u64) -> Result<BlobRow> {
        let sealed = wait(self.blobs.get(loc, 0..loc.len))?;
        let (kind, held) = seal::unseal(&sealed, hash, &self.dictionaries)?;
        let wrong = || Error::Corrupt("the content of a blob".into());
        let parts = match kind {
            Kind::Content if blake3::hash(&held).as_bytes() == hash => Vec::new(),
            Kind::Content => return Err(wrong()),
            Kind::Pieces => {
                let (segments, _) = pieces::decode(&held)?;
                let mut parts: Vec<[u8; 32]> = segments
                    .iter()
                    .filter_map(|segment| match segment {
                        pieces::Segment::Own(_) | pieces::Segment::Within { .. } => None,
                        pieces::Segment::Made { from, .. } => Some(from.hash),
                    })
                    .collect();
                parts.sort_unstable();
                parts.dedup();
                parts
            }
        };
        let blob = SealedBlob {
            hash: *hash,
            raw_len,
            parts,
            label: bytes::Bytes::new(),
            bytes: sealed,
        };
        Ok(BlobRow::new(&blob, Place::of(loc)))
    }
}

/// What writes the row of a blob that has none.
pub(super) fn write(hash: &[u8; 32], row: &BlobRow) -> Vec<Upkeep> {
    let mut upkeep = vec![Upkeep::Mend {
        key: key::blob(hash),
        from: None,
        to: Some(row.encode()),
    }];
    if row.refs == 0 {
        upkeep.push(Upkeep::Mend {
            key: key::grave(row.zero_since, hash),
            from: None,
            to: Some(bytes::Bytes::new()),
        });
    }
    upkeep
}
