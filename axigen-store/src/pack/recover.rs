//! What is done to the packs at opening.

use std::collections::BTreeMap;
use std::path::Path;

use super::record::{FILE_HEADER, HEADER, Header, Origin, file_header};
use super::scan::{CHUNK, find_magic};
use super::{Open, pack_path};
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, Result};

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The pack to append to.
    pub(super) tail: Option<Open>,
    /// Length of each pack.
    pub(super) packs: BTreeMap<u64, u64>,
}

/// Finds the packs and makes the one that was appended to fit for more.
pub(super) fn run(disk: &dyn Disk, dir: &Path, synced: &dyn DiskFile) -> Result<Found> {
    let mut packs = list(disk, dir)?;
    let mut tail = None;
    // Rewritten ones were complete when they got their names.
    for (&number, len) in packs.iter_mut().rev() {
        let path = pack_path(dir, number);
        let failed = |error| Error::io(format!("recovering {}", path.display()), error);
        let file = disk.open(&path).map_err(failed)?;
        let mut header = [0; FILE_HEADER as usize];
        let whole = *len >= FILE_HEADER && file.read_at(&mut header, 0).is_ok();
        if whole && header == file_header(number, Origin::Rewritten) {
            continue;
        }
        let end = if whole && header == file_header(number, Origin::Appended) {
            let end = last_good(&*file, number, begin(synced, &path, number, *len), *len)
                .map_err(failed)?;
            if end < *len {
                tracing::warn!(
                    pack = %path.display(), from = *len, to = end,
                    "cut a torn end that nobody was promised"
                );
                file.set_len(end)
                    .and_then(|()| file.sync())
                    .map_err(failed)?;
            }
            end
        } else if *len <= FILE_HEADER {
            // Made, and the machine stopped before anything was in it.
            file.set_len(0)
                .and_then(|()| file.write_at(&file_header(number, Origin::Appended), 0))
                .and_then(|()| file.sync())
                .map_err(failed)?;
            FILE_HEADER
        } else {
            // Its records may still be good, so nothing is changed: the next
            // one goes to a new pack.
            tracing::error!(pack = %path.display(), "the header of the newest pack is damaged");
            break;
        };
        *len = end;
        tail = Some(Open { number, file, end });
        break;
    }
    Ok(Found { tail, packs })
}

/// Up to where the pack needs no check.
fn begin(synced: &dyn DiskFile, path: &Path, number: u64, len: u64) -> u64 {
    match noted(synced) {
        Some((pack, end)) if pack == number && end <= len => end,
        Some((pack, end)) if pack == number => {
            tracing::error!(
                pack = %path.display(), len, end,
                "the newest pack is shorter than what was synced: blobs are missing"
            );
            FILE_HEADER
        }
        _ => FILE_HEADER,
    }
}

/// Numbers and lengths of all packs; what a sweep left unfinished is removed.
fn list(disk: &dyn Disk, dir: &Path) -> Result<BTreeMap<u64, u64>> {
    let failed = |error| Error::io(format!("listing {}", dir.display()), error);
    let mut packs = BTreeMap::new();
    for entry in disk.list(dir).map_err(failed)? {
        if !entry.is_dir {
            continue;
        }
        let inner = dir.join(&entry.name);
        for file in disk.list(&inner).map_err(failed)? {
            if file.name.ends_with(".pack.new") {
                let _ = disk.remove(&inner.join(&file.name));
            }
            let number = file
                .name
                .strip_suffix(".pack")
                .filter(|digits| digits.len() == 16)
                .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                .filter(|number| *number < u64::MAX);
            if let Some(number) = number {
                packs.insert(number, file.len);
            }
        }
    }
    Ok(packs)
}

/// The end of the last good record at or behind `from`, rounded up to where a
/// record may begin. What is bad before a good record is left as it is: it may
/// be damage to something that was promised, and is no reason to cut the rest.
fn last_good(file: &dyn DiskFile, pack: u64, from: u64, len: u64) -> std::io::Result<u64> {
    let mut good = from;
    let mut at = from;
    while at + (HEADER as u64) <= len {
        match check(file, pack, at, len)? {
            Some(next) => {
                if at > good {
                    tracing::error!(pack, from = good, to = at, "skipped damage inside a pack");
                }
                good = next;
                at = next;
            }
            None => match find_magic(file, at + 8, len)? {
                Some(next) => at = next,
                None => break,
            },
        }
    }
    Ok(good)
}

/// Checks the record at `at`; gives where the next begins.
fn check(file: &dyn DiskFile, pack: u64, at: u64, len: u64) -> std::io::Result<Option<u64>> {
    let mut head = [0; HEADER];
    file.read_at(&mut head, at)?;
    let Some(header) = Header::read(&head, pack, at) else {
        return Ok(None);
    };
    let end = match at.checked_add(header.record_len()) {
        Some(end) if end <= len => end,
        _ => return Ok(None),
    };
    let mut sum = 0;
    let mut left = u64::from(header.label) + header.payload;
    let mut pos = at + HEADER as u64;
    let mut chunk = vec![0; CHUNK.min(left as usize)];
    while left > 0 {
        let part = &mut chunk[..CHUNK.min(left as usize)];
        file.read_at(part, pos)?;
        sum = crc32c::crc32c_append(sum, part);
        pos += part.len() as u64;
        left -= part.len() as u64;
    }
    Ok((sum == header.body).then_some(end))
}

/// Notes how far the pack that is appended to is durable. Written after the sync and not
/// synced itself: after a loss of power it may be old, never ahead. Failing is
/// no harm either: more is read at the next opening.
pub(super) fn note(synced: &dyn DiskFile, pack: u64, end: u64) {
    let mut note = [0; 20];
    note[..8].copy_from_slice(&pack.to_be_bytes());
    note[8..16].copy_from_slice(&end.to_be_bytes());
    let crc = crc32c::crc32c(&note[..16]);
    note[16..].copy_from_slice(&crc.to_be_bytes());
    let _ = synced.write_at(&note, 0);
}

fn noted(synced: &dyn DiskFile) -> Option<(u64, u64)> {
    let mut note = [0; 20];
    synced.read_at(&mut note, 0).ok()?;
    let (place, crc) = note.split_first_chunk::<16>()?;
    let (pack, end) = place.split_first_chunk::<8>()?;
    if crc32c::crc32c(place).to_be_bytes() != *crc {
        return None;
    }
    Some((
        u64::from_be_bytes(*pack),
        u64::from_be_bytes(end.try_into().ok()?),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;
    use tempfile::TempDir;

    use super::*;
    use crate::blob::{BlobLoc, BlobStore, SealedBlob};
    use crate::pack::record::MAGIC;
    use crate::pack::{Packs, pack_path};

    fn blob(seed: u8, len: usize) -> SealedBlob {
        let mut bytes = vec![0; len];
        let mut noise = blake3::Hasher::new().update(&[seed]).finalize_xof();
        noise.fill(&mut bytes);
        SealedBlob {
            hash: [seed; 32],
            raw_len: len as u64,
            parts: Vec::new(),
            label: Bytes::from(vec![seed; usize::from(seed)]),
            bytes: bytes.into(),
        }
    }

    fn open(dir: &Path) -> Packs {
        Packs::open(dir, 100_000, 0).unwrap()
    }

    fn end(packs: &Packs) -> u64 {
        packs.tail.lock().pack.as_ref().unwrap().end
    }

    async fn is_there(packs: &Packs, loc: &BlobLoc, blob: &SealedBlob) -> bool {
        matches!(packs.get(loc, 0..u64::MAX).await, Ok(bytes) if bytes == blob.bytes)
    }

    /// A pack with three promised blobs; its directory, their places, its end.
    fn promised() -> (TempDir, Vec<BlobLoc>, u64) {
        let dir = TempDir::new().unwrap();
        let packs = open(dir.path());
        let locs = packs
            .put_now(&[blob(1, 500), blob(2, 3), blob(3, 9000)])
            .unwrap();
        let end = end(&packs);
        (dir, locs, end)
    }

    #[tokio::test]
    async fn a_tail_torn_at_any_byte_is_cut() {
        let (dir, locs, before) = promised();
        let note = std::fs::read(dir.path().join("synced")).unwrap();
        let packs = open(dir.path());
        let last = packs.put_now(&[blob(5, 333)]).unwrap().remove(0);
        let after = end(&packs);
        drop(packs);
        let path = pack_path(dir.path(), 0);
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.len() as u64, after);
        for cut in before..=after {
            // The note is of the last group, or lost.
            for note in [&note[..], &[]] {
                std::fs::write(&path, &whole[..cut as usize]).unwrap();
                std::fs::write(dir.path().join("synced"), note).unwrap();
                let packs = open(dir.path());
                let kept = if cut == after { after } else { before };
                assert_eq!(end(&packs), kept, "cut at {cut}");
                assert_eq!(packs.held().await.unwrap(), kept);
                for (loc, seed) in locs.iter().zip([blob(1, 500), blob(2, 3), blob(3, 9000)]) {
                    assert!(is_there(&packs, loc, &seed).await);
                }
                let next = packs.put_now(&[blob(6, 400)]).unwrap().remove(0);
                assert!(is_there(&packs, &next, &blob(6, 400)).await);
                assert_eq!(is_there(&packs, &last, &blob(5, 333)).await, cut == after);
            }
        }
    }

    #[tokio::test]
    async fn a_tail_of_anything_else_is_cut() {
        let (dir, _, before) = promised();
        let path = pack_path(dir.path(), 0);
        let whole = std::fs::read(&path).unwrap();
        let moved = whole[FILE_HEADER as usize..].to_vec();
        let noise = blob(9, 5000).bytes.to_vec();
        let half = [&MAGIC[..], &[0; 60], &[0xff; 8]].concat();
        // A good record at another place is not one: a mail may contain it.
        for tail in [
            vec![0; 4096],
            noise,
            half,
            MAGIC.repeat(100),
            moved,
            vec![0; 5],
        ] {
            std::fs::write(&path, [&whole[..], &tail].concat()).unwrap();
            assert_eq!(end(&open(dir.path())), before);
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
    }

    #[tokio::test]
    async fn damage_before_a_good_record_cuts_nothing() {
        let (dir, locs, before) = promised();
        std::fs::remove_file(dir.path().join("synced")).unwrap();
        let path = pack_path(dir.path(), 0);
        let whole = std::fs::read(&path).unwrap();
        for at in (FILE_HEADER..locs[1].offset).step_by(13) {
            let mut bad = whole.clone();
            bad[at as usize] ^= 0x40;
            std::fs::write(&path, &bad).unwrap();
            let packs = open(dir.path());
            assert_eq!(end(&packs), before, "damage at {at}");
            assert!(is_there(&packs, &locs[2], &blob(3, 9000)).await);
        }
    }

    #[tokio::test]
    async fn a_pack_begun_and_not_finished_is_begun_again() {
        let (dir, locs, _) = promised();
        let path = pack_path(dir.path(), 1);
        for len in 0..=FILE_HEADER as usize {
            std::fs::write(&path, &file_header(1, Origin::Appended)[..len]).unwrap();
            let packs = open(dir.path());
            let loc = packs.put_now(&[blob(4, 700)]).unwrap().remove(0);
            assert_eq!(loc.file, 1);
            assert!(is_there(&packs, &loc, &blob(4, 700)).await);
            assert!(is_there(&packs, &locs[0], &blob(1, 500)).await);
        }
    }

    #[tokio::test]
    async fn a_damaged_header_sends_the_next_blob_elsewhere() {
        let (dir, locs, before) = promised();
        let path = pack_path(dir.path(), 0);
        let mut bad = std::fs::read(&path).unwrap();
        bad[9] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        let packs = open(dir.path());
        let loc = packs.put_now(&[blob(4, 700)]).unwrap().remove(0);
        assert_eq!(loc.file, 1);
        assert!(is_there(&packs, &locs[2], &blob(3, 9000)).await);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), before);
    }

    #[tokio::test]
    async fn packs_end_at_their_limit_and_go_on_after_opening() {
        let dir = TempDir::new().unwrap();
        let mut locs = Vec::new();
        for round in 0..4 {
            let packs = open(dir.path());
            for n in 0..5 {
                let item = blob(round * 5 + n + 1, 30_000);
                locs.push((
                    packs
                        .put_now(std::slice::from_ref(&item))
                        .unwrap()
                        .remove(0),
                    item,
                ));
            }
        }
        let packs = open(dir.path());
        let big = blob(99, 300_000);
        locs.push((
            packs.put_now(std::slice::from_ref(&big)).unwrap().remove(0),
            big,
        ));
        assert!(locs.is_sorted_by_key(|(loc, _)| (loc.file, loc.offset)));
        assert_eq!(locs.last().unwrap().0.file, 7);
        for (loc, item) in &locs {
            assert!(is_there(&packs, loc, item).await);
        }
    }
}
