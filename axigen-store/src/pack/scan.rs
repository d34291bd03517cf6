//! Finding the records of a pack.
//!
//! By their headers, one after the other; what is damaged is skipped. Of a
//! pack that is complete the result is kept beside it as an index:
//!
//! | bytes | meaning |
//! |---|---|
//! | 8 | `AXIGENIX` |
//! | 4 | version, 1 |
//! | 4 | CRC-32C of all that follows |
//! | 8 | number of the pack |
//! | 8 | length of the pack |
//! | 72 each | a record: its offset (8), its header (64) |
//!
//! An index that does not fit its pack, or is damaged or missing, is made
//! anew; nothing depends on it.

use bytes::{Buf, BufMut, BytesMut};

use super::record::{FILE_HEADER, HEADER, Header, Kind, MAGIC, deleted, noted};
use super::{Packs, read};
use crate::blob::{Listed, Listing};
use crate::disk::DiskFile;
use crate::error::{Error, Result};

/// Bytes read at a time.
pub(super) const CHUNK: usize = 1 << 20;
const INDEX_MAGIC: &[u8; 8] = b"AXIGENIX";
const INDEX_VERSION: u32 = 1;
const INDEX_HEAD: usize = 32;

/// A record: where it begins, its header.
pub(super) type Found = (u64, Header);

/// The records of a pack.
pub(super) fn records(packs: &Packs, number: u64) -> Result<Vec<Found>> {
    let Some(len) = packs.packs.lock().get(&number).copied() else {
        return Ok(Vec::new());
    };
    if packs.tail_number() == Some(number) {
        return walk(packs, number, len);
    }
    let path = packs.path(number).with_extension("idx");
    let kept = packs.disk.open(&path).and_then(|file| {
        let mut bytes = vec![0; file.size()? as usize];
        file.read_at(&mut bytes, 0)?;
        Ok(bytes)
    });
    if let Some(found) = kept.ok().and_then(|bytes| decode(&bytes, number, len)) {
        return Ok(found);
    }
    let found = walk(packs, number, len)?;
    // If it fails, it is made again the next time.
    let _ = packs
        .disk
        .create(&path)
        .and_then(|file| file.write_at(&encode(&found, number, len), 0));
    Ok(found)
}

fn walk(packs: &Packs, number: u64, len: u64) -> Result<Vec<Found>> {
    let file = packs.file(number)?;
    headers(&*file, number, FILE_HEADER, len)
        .map_err(|error| Error::io(format!("reading pack {number:016x}"), error))
}

/// All headers between two places. What the records hold is not looked at.
pub(super) fn headers(
    file: &dyn DiskFile,
    pack: u64,
    from: u64,
    len: u64,
) -> std::io::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut at = from;
    let mut head = [0; HEADER];
    while at + (HEADER as u64) <= len {
        file.read_at(&mut head, at)?;
        let header = Header::read(&head, pack, at);
        match header.map(|header| (at.saturating_add(header.record_len()), header)) {
            Some((end, header)) if end <= len => {
                found.push((at, header));
                at = end;
            }
            _ => match find_magic(file, at + 8, len)? {
                Some(next) => at = next,
                None => break,
            },
        }
    }
    Ok(found)
}

/// Where the next record may begin, at or behind `at`.
pub(super) fn find_magic(file: &dyn DiskFile, at: u64, len: u64) -> std::io::Result<Option<u64>> {
    let mut pos = at.next_multiple_of(8);
    let mut chunk = vec![0; CHUNK];
    while pos + (HEADER as u64) <= len {
        let part = &mut chunk[..CHUNK.min((len - pos) as usize)];
        file.read_at(part, pos)?;
        if let Some(found) = part.chunks(8).position(|word| word.starts_with(&MAGIC)) {
            return Ok(Some(pos + 8 * found as u64));
        }
        pos += part.len() as u64;
    }
    Ok(None)
}

fn encode(found: &[Found], pack: u64, len: u64) -> BytesMut {
    let mut rest = BytesMut::with_capacity(16 + found.len() * 72);
    rest.put_u64(pack);
    rest.put_u64(len);
    for (at, header) in found {
        rest.put_u64(*at);
        header.write(pack, *at, &mut rest);
    }
    let mut out = BytesMut::with_capacity(16 + rest.len());
    out.put_slice(INDEX_MAGIC);
    out.put_u32(INDEX_VERSION);
    out.put_u32(crc32c::crc32c(&rest));
    out.put_slice(&rest);
    out
}

fn decode(bytes: &[u8], pack: u64, len: u64) -> Option<Vec<Found>> {
    let (mut head, mut entries) = bytes.split_at_checked(INDEX_HEAD)?;
    let fits = head.get(..8)? == INDEX_MAGIC && {
        head.advance(8);
        head.get_u32() == INDEX_VERSION
            && head.get_u32() == crc32c::crc32c(bytes.get(16..)?)
            && head.get_u64() == pack
            && head.get_u64() == len
    };
    if !fits {
        return None;
    }
    let mut found = Vec::with_capacity(entries.len() / 72);
    while !entries.is_empty() {
        let at = entries.try_get_u64().ok()?;
        let header = Header::read(entries.get(..HEADER)?, pack, at)?;
        entries.advance(HEADER);
        found.push((at, header));
    }
    Some(found)
}

/// See [`BlobStore::list`](crate::blob::BlobStore::list).
pub(super) fn list(packs: &Packs, from: (u64, u64), limit: usize) -> Result<Listing> {
    let mut listing = Listing::default();
    let numbers: Vec<u64> = packs
        .packs
        .lock()
        .range(from.0..)
        .map(|(n, _)| *n)
        .collect();
    for number in numbers {
        let start = if number == from.0 { from.1 } else { 0 };
        let mut file = None;
        for (at, header) in records(packs, number)? {
            if at < start {
                continue;
            }
            if listing.blobs.len() + listing.notes.len() >= limit {
                listing.next = Some((number, at));
                return Ok(listing);
            }
            let file = match &file {
                Some(file) => file,
                None => file.insert(packs.file(number)?),
            };
            match header.kind {
                Kind::Blob => {
                    let label = at + HEADER as u64..at + header.payload_at();
                    listing.blobs.push(Listed {
                        loc: header.loc(number, at),
                        raw_len: header.raw,
                        label: read(&**file, number, label)?,
                    });
                }
                Kind::Deletion | Kind::Note => {
                    let payload = at + header.payload_at();
                    let payload = read(&**file, number, payload..payload + header.payload)?;
                    if crc32c::crc32c(&payload) != header.body {
                        continue;
                    }
                    match header.kind {
                        Kind::Note => listing.notes.extend(noted(&header, &payload)),
                        _ => listing.deleted.extend(deleted(&payload)),
                    }
                }
            }
        }
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;
    use tempfile::TempDir;

    use super::*;
    use crate::blob::{BlobLoc, BlobStore, SealedBlob};

    fn blob(n: u8, len: usize) -> SealedBlob {
        SealedBlob {
            hash: [n; 32],
            raw_len: len as u64,
            parts: Vec::new(),
            label: Bytes::from(vec![n; usize::from(n)]),
            bytes: vec![n; len].into(),
        }
    }

    async fn all(packs: &Packs) -> (Vec<BlobLoc>, Vec<(u64, u64)>) {
        let (mut locs, mut deleted, mut from) = (Vec::new(), Vec::new(), (0, 0));
        loop {
            let page = packs.list(from, 3).await.unwrap();
            assert!(page.blobs.len() <= 3);
            for blob in &page.blobs {
                assert_eq!(blob.label, vec![blob.loc.hash[0]; blob.label.len()]);
                assert_eq!(blob.label.len(), usize::from(blob.loc.hash[0]));
            }
            locs.extend(page.blobs.into_iter().map(|blob| blob.loc));
            deleted.extend(page.deleted);
            match page.next {
                Some(next) => from = next,
                None => return (locs, deleted),
            }
        }
    }

    #[tokio::test]
    async fn everything_is_listed_whether_or_not_there_is_an_index() {
        let dir = TempDir::new().unwrap();
        let packs = Packs::open(dir.path(), 10_000, 0).unwrap();
        let mut locs = Vec::new();
        for n in 1..30 {
            locs.extend(packs.put_now(&[blob(n, 900)]).unwrap());
        }
        packs.delete(&locs[3..5]).await.unwrap();
        let gone: Vec<_> = locs[3..5]
            .iter()
            .map(|loc| (loc.file, loc.offset))
            .collect();
        packs.put_now(&[blob(30, 5)]).unwrap();
        let (found, deleted) = all(&packs).await;
        assert_eq!(found[..29], locs);
        assert_eq!((found.len(), &deleted), (30, &gone));
        let indexes = || {
            let dir = std::fs::read_dir(dir.path().join("00")).unwrap();
            let paths = dir.map(|entry| entry.unwrap().path());
            paths
                .filter(|path| path.extension().unwrap() == "idx")
                .collect::<Vec<_>>()
        };
        assert!(indexes().len() >= 2);
        let again = all(&packs).await;
        assert_eq!(again, (found.clone(), deleted.clone()));
        // Damaged, cut and foreign ones are not believed.
        for path in indexes() {
            let good = std::fs::read(&path).unwrap();
            for bad in [
                good[..good.len() - 5].to_vec(),
                [&good[..40], &[9], &good[41..]].concat(),
                std::fs::read(&indexes()[0]).unwrap(),
                Vec::new(),
            ] {
                std::fs::write(&path, bad).unwrap();
                assert_eq!(all(&packs).await, (found.clone(), deleted.clone()));
                assert_eq!(std::fs::read(&path).unwrap(), good);
            }
        }
    }
}
