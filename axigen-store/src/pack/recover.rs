//! What is done to the packs at opening.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::record::{FILE_HEADER, HEADER, Header, MAGIC, Sum, file_header};
use crate::error::{Error, Result};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The newest pack: number, file, end.
    pub(super) newest: Option<(u64, Arc<File>, u64)>,
    /// Bytes of all packs.
    pub(super) held: u64,
}

/// Finds the packs and makes the newest fit to be appended to.
pub(super) fn run(dir: &Path, synced: &File) -> Result<Found> {
    let packs = list(dir)?;
    let mut held: u64 = packs.iter().map(|(_, len)| *len).sum();
    let Some((number, len)) = packs.into_iter().max() else {
        return Ok(Found { newest: None, held });
    };
    let path = super::pack_path(dir, number);
    let failed = |error| Error::io(format!("recovering {}", path.display()), error);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    let mut header = [0; FILE_HEADER as usize];
    if len < FILE_HEADER
        || file.read_exact_at(&mut header, 0).is_err()
        || header != file_header(number)
    {
        if len > FILE_HEADER {
            // Its records may still be good, so nothing is changed: the next
            // one goes to a new pack.
            tracing::error!(pack = %path.display(), "the header of the newest pack is damaged");
            return Ok(Found {
                newest: Some((number, Arc::new(file), u64::MAX)),
                held,
            });
        }
        // Made, and the machine stopped before anything was in it.
        file.set_len(0)
            .and_then(|()| file.write_all_at(&file_header(number), 0))
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        held = held - len + FILE_HEADER;
        return Ok(Found {
            newest: Some((number, Arc::new(file), FILE_HEADER)),
            held,
        });
    }
    let from = match noted(synced) {
        Some((pack, end)) if pack == number && end <= len => end,
        Some((pack, end)) if pack == number => {
            tracing::error!(
                pack = %path.display(), len, end,
                "the newest pack is shorter than what was synced: blobs are missing"
            );
            FILE_HEADER
        }
        _ => FILE_HEADER,
    };
    let end = last_good(&file, number, from, len).map_err(failed)?;
    if end < len {
        tracing::warn!(
            pack = %path.display(), from = len, to = end,
            "cut a torn end that nobody was promised"
        );
        file.set_len(end)
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        held -= len - end;
    }
    Ok(Found {
        newest: Some((number, Arc::new(file), end)),
        held,
    })
}

/// Numbers and lengths of all packs.
fn list(dir: &Path) -> Result<Vec<(u64, u64)>> {
    let failed = |error| Error::io(format!("listing {}", dir.display()), error);
    let mut packs = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_type().map_err(failed)?.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(entry.path()).map_err(failed)? {
            let file = file.map_err(failed)?;
            let name = file.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_suffix(".pack"))
                .filter(|digits| digits.len() == 16)
                .and_then(|digits| u64::from_str_radix(digits, 16).ok());
            if let Some(number) = number {
                packs.push((number, file.metadata().map_err(failed)?.len()));
            }
        }
    }
    Ok(packs)
}

/// The end of the last good record at or behind `from`, rounded up to where a
/// record may begin. What is bad before a good record is left as it is: it may
/// be damage to something that was promised, and is no reason to cut the rest.
fn last_good(file: &File, pack: u64, from: u64, len: u64) -> std::io::Result<u64> {
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
fn check(file: &File, pack: u64, at: u64, len: u64) -> std::io::Result<Option<u64>> {
    let mut head = [0; HEADER];
    file.read_exact_at(&mut head, at)?;
    let Some((header, wanted)) = Header::read(&head) else {
        return Ok(None);
    };
    let end = match at.checked_add(header.record_len()) {
        Some(end) if end <= len => end,
        _ => return Ok(None),
    };
    let mut sum = Sum::new(pack, at);
    sum.add(&head[8..]);
    let mut left = u64::from(header.label) + header.payload;
    let mut pos = at + HEADER as u64;
    let mut chunk = vec![0; CHUNK.min(left as usize)];
    while left > 0 {
        let part = &mut chunk[..CHUNK.min(left as usize)];
        file.read_exact_at(part, pos)?;
        sum.add(part);
        pos += part.len() as u64;
        left -= part.len() as u64;
    }
    Ok((sum.value() == wanted).then_some(end))
}

/// Where the next record may begin, at or behind `at`.
fn find_magic(file: &File, at: u64, len: u64) -> std::io::Result<Option<u64>> {
    let mut pos = at.next_multiple_of(8);
    let mut chunk = vec![0; CHUNK];
    while pos + (HEADER as u64) <= len {
        let part = &mut chunk[..CHUNK.min((len - pos) as usize)];
        file.read_exact_at(part, pos)?;
        if let Some(found) = part.chunks(8).position(|word| word.starts_with(&MAGIC)) {
            return Ok(Some(pos + 8 * found as u64));
        }
        pos += part.len() as u64;
    }
    Ok(None)
}

/// Notes how far the newest pack is durable. Written after the sync and not
/// synced itself: after a loss of power it may be old, never ahead. Failing is
/// no harm either: more is read at the next opening.
pub(super) fn note(synced: &File, pack: u64, end: u64) {
    let mut note = [0; 20];
    note[..8].copy_from_slice(&pack.to_be_bytes());
    note[8..16].copy_from_slice(&end.to_be_bytes());
    let crc = crc32c::crc32c(&note[..16]);
    note[16..].copy_from_slice(&crc.to_be_bytes());
    let _ = synced.write_all_at(&note, 0);
}

fn noted(synced: &File) -> Option<(u64, u64)> {
    let mut note = [0; 20];
    synced.read_exact_at(&mut note, 0).ok()?;
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
