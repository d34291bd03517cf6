//! Sealed bytes: a blob as it lies on disk.
//!
//! The bytes are cut into frames of 256 KB, each compressed by itself when
//! that pays and each with its own checksum, so that a part of a large blob is
//! read without inflating all of it:
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | version, 1 |
//! | 1 | what the frames hold: 0 the content, 1 a list of [pieces](super::pieces) |
//! | 2 | the [dictionary] of the compressed frames |
//! | 8 | length of what the frames hold |
//! | 8 for each frame | length (top bit: not compressed) and CRC-32C of the frame as stored, each 4 bytes |
//! | 4 | CRC-32C of the blob's address and everything above |
//! | rest | the frames |
//!
//! Numbers are big-endian. The number of frames follows from the length; of
//! nothing there is none.

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::dictionary::{self, Dictionaries, Effort};
use crate::error::{Error, Result};

/// Bytes in one frame.
pub const FRAME: u64 = 256 << 10;
/// Length of what stands before the table.
pub const HEAD: u64 = 12;
const ENTRY: u64 = 8;
const VERSION: u8 = 1;
const PLAIN: u32 = 1 << 31;

/// What the frames hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The content.
    Content,
    /// A list of pieces that the content is put together from.
    Pieces,
}

/// Seals bytes; `hash` is the address of the blob.
pub fn seal(
    kind: Kind,
    bytes: &[u8],
    hash: &[u8; 32],
    dictionaries: &Dictionaries,
    effort: Effort,
) -> Bytes {
    let table = (HEAD + count(bytes.len() as u64) * ENTRY + 4) as usize;
    let mut sealed = BytesMut::with_capacity(table + bytes.len() / 2 + 64);
    sealed.resize(table, 0);
    let mut entries = BytesMut::with_capacity(table);
    let mut used = dictionary::NONE;
    for frame in bytes.chunks(FRAME as usize) {
        let start = sealed.len();
        let mut mark = 0;
        // Less than an eighth saved is not worth the inflating.
        // A second dictionary that comes in between is not for this blob: all
        // its frames have the same one.
        match dictionaries.compress(frame, effort) {
            Some((number, small))
                if small.len() <= frame.len() - frame.len() / 8
                    && (used == dictionary::NONE || used == number) =>
            {
                used = number;
                sealed.put_slice(&small);
            }
            _ => {
                mark = PLAIN;
                sealed.put_slice(frame);
            }
        }
        let stored = sealed.get(start..).unwrap_or_default();
        entries.put_u32(stored.len() as u32 | mark);
        entries.put_u32(crc32c::crc32c(stored));
    }
    let mut head = BytesMut::with_capacity(table);
    head.put_u8(VERSION);
    head.put_u8(match kind {
        Kind::Content => 0,
        Kind::Pieces => 1,
    });
    head.put_u16(used);
    head.put_u64(bytes.len() as u64);
    head.put_slice(&entries);
    let sum = checksum(hash, &head);
    head.put_u32(sum);
    if let Some(place) = sealed.get_mut(..table) {
        place.copy_from_slice(&head);
    }
    sealed.freeze()
}

/// Length of what the frames of sealed bytes hold; of the first [`HEAD`] bytes.
pub fn own_len(sealed: &[u8]) -> u64 {
    sealed
        .get(4..12)
        .and_then(|len| len.try_into().ok())
        .map_or(0, u64::from_be_bytes)
}

/// Length of head and table, of which `head` is the beginning, [`HEAD`] bytes
/// or more; the sealed bytes have `sealed_len`.
///
/// # Errors
/// [`Error::Corrupt`] if it cannot be the beginning of sealed bytes.
pub fn table_len(head: &[u8], sealed_len: u64) -> Result<u64> {
    let len: Option<[u8; 8]> = head.get(4..12).and_then(|len| len.try_into().ok());
    len.map(u64::from_be_bytes)
        .and_then(|len| count(len).checked_mul(ENTRY)?.checked_add(HEAD + 4))
        .filter(|table| *table <= sealed_len)
        .ok_or_else(corrupt_table)
}

/// Where the frames of a blob are.
#[derive(Debug)]
pub struct Table {
    kind: Kind,
    dictionary: u16,
    len: u64,
    /// Offset in the sealed bytes, length and mark, checksum.
    frames: Vec<(u64, u32, u32)>,
}

impl Table {
    /// Reads head and table, which are the first [`table_len`] bytes of
    /// `sealed`; `sealed_len` is the length of all.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the checksum or the lengths are wrong, or a later
    /// version wrote it.
    pub fn read(sealed: &[u8], hash: &[u8; 32], sealed_len: u64) -> Result<Self> {
        let table = table_len(sealed, sealed_len)?;
        let (all, sum) = usize::try_from(table)
            .ok()
            .and_then(|table| sealed.get(..table)?.split_last_chunk::<4>())
            .ok_or_else(corrupt_table)?;
        if checksum(hash, all) != u32::from_be_bytes(*sum) {
            return Err(corrupt_table());
        }
        Self::parse(all, table, sealed_len).ok_or_else(corrupt_table)
    }

    fn parse(mut all: &[u8], table: u64, sealed_len: u64) -> Option<Self> {
        let version = all.try_get_u8().ok()?;
        let kind = match all.try_get_u8().ok()? {
            0 => Kind::Content,
            1 => Kind::Pieces,
            _ => return None,
        };
        let dictionary = all.try_get_u16().ok()?;
        let len = all.try_get_u64().ok()?;
        let mut frames = Vec::with_capacity(all.len() / ENTRY as usize);
        let mut offset = table;
        while !all.is_empty() {
            let (len, crc) = (all.try_get_u32().ok()?, all.try_get_u32().ok()?);
            frames.push((offset, len, crc));
            offset += u64::from(len & !PLAIN);
        }
        (version == VERSION && offset == sealed_len).then_some(Table {
            kind,
            dictionary,
            len,
            frames,
        })
    }

    /// What the frames hold.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Length of what the frames hold.
    pub fn content_len(&self) -> u64 {
        self.len
    }

    /// Which frames a range needs.
    pub fn frames(&self, range: &Range<u64>) -> Range<usize> {
        let last = count(range.end.min(self.len)) as usize;
        ((range.start / FRAME) as usize).min(last)..last
    }

    /// Which sealed bytes these frames are.
    pub fn span(&self, frames: &Range<usize>) -> Range<u64> {
        let wanted = self.frames.get(frames.clone()).unwrap_or_default();
        match (wanted.first(), wanted.last()) {
            (Some((start, ..)), Some((end, len, _))) => *start..end + u64::from(len & !PLAIN),
            _ => 0..0,
        }
    }

    /// What these frames hold; `stored` are the bytes of their
    /// [span](Table::span).
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a checksum is wrong, or the dictionary is not
    /// there.
    pub fn open(
        &self,
        frames: &Range<usize>,
        stored: &Bytes,
        dictionaries: &Dictionaries,
    ) -> Result<Bytes> {
        self.open_behind(&[], frames, stored, dictionaries)
    }

    /// The same, behind bytes that stand before it.
    ///
    /// # Errors
    /// As [`open`](Table::open).
    pub fn open_behind(
        &self,
        before: &[u8],
        frames: &Range<usize>,
        stored: &Bytes,
        dictionaries: &Dictionaries,
    ) -> Result<Bytes> {
        let base = self.span(frames).start;
        let mut content = Vec::new();
        if !before.is_empty() {
            let end = (self.len).min(frames.end as u64 * FRAME);
            let more = end.saturating_sub(frames.start as u64 * FRAME);
            content.reserve_exact(before.len() + more as usize);
            content.extend_from_slice(before);
        }
        for number in frames.clone() {
            let corrupt =
                |what: &str| Error::Corrupt(format!("{what} of frame {number} of a blob"));
            let (offset, len, crc) = self
                .frames
                .get(number)
                .copied()
                .ok_or_else(|| corrupt("the place"))?;
            let start = (offset - base) as usize;
            let frame = stored
                .get(start..start + (len & !PLAIN) as usize)
                .ok_or_else(|| corrupt("the length"))?;
            if crc32c::crc32c(frame) != crc {
                return Err(corrupt("the checksum"));
            }
            let raw = (self.len - number as u64 * FRAME).min(FRAME) as usize;
            if len & PLAIN != 0 {
                if frame.len() != raw {
                    return Err(corrupt("the length"));
                }
                if frames.len() == 1 && before.is_empty() {
                    return Ok(stored.slice_ref(frame));
                }
                content.extend_from_slice(frame);
            } else {
                let length = dictionaries.decompress(self.dictionary, frame, raw, &mut content);
                if length != Some(raw) {
                    return Err(match dictionaries.knows(self.dictionary) {
                        true => corrupt("the compression"),
                        false => Error::Corrupt(format!(
                            "dictionary {}, which frame {number} of a blob needs, is missing",
                            self.dictionary
                        )),
                    });
                }
            }
        }
        Ok(content.into())
    }
}

/// What whole sealed bytes hold, and as what.
///
/// # Errors
/// [`Error::Corrupt`] if a checksum is wrong.
pub fn unseal(
    sealed: &Bytes,
    hash: &[u8; 32],
    dictionaries: &Dictionaries,
) -> Result<(Kind, Bytes)> {
    let table = Table::read(sealed, hash, sealed.len() as u64)?;
    let frames = 0..table.frames.len();
    let span = table.span(&frames);
    let stored = sealed.get(span.start as usize..span.end as usize);
    let stored = sealed.slice_ref(stored.unwrap_or_default());
    let held = table.open(&frames, &stored, dictionaries)?;
    Ok((table.kind, held))
}

fn count(len: u64) -> u64 {
    len.div_ceil(FRAME)
}

fn corrupt_table() -> Error {
    Error::Corrupt("the frame table of a blob".into())
}

/// The address is in it, so that the bytes of another blob are never taken for
/// those of this one.
fn checksum(hash: &[u8; 32], table: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(hash), table)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HASH: &[u8; 32] = &[7; 32];

    fn seal(content: &[u8]) -> Bytes {
        let dictionaries = Dictionaries::new();
        super::seal(Kind::Content, content, HASH, &dictionaries, Effort::Quick)
    }

    /// Half prose, half noise, so that some frames are compressed and some not.
    fn content(len: usize) -> Vec<u8> {
        let mut state = 1u64;
        (0..len)
            .map(|at| {
                if at < len / 2 {
                    b"the quick brown fox "[at % 20]
                } else {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                    (state >> 56) as u8
                }
            })
            .collect()
    }

    fn open(sealed: &[u8], range: Range<u64>) -> Result<Bytes> {
        let table = Table::read(sealed, HASH, sealed.len() as u64)?;
        let frames = table.frames(&range);
        let span = table.span(&frames);
        let stored = Bytes::copy_from_slice(&sealed[span.start as usize..span.end as usize]);
        table.open(&frames, &stored, &Dictionaries::new())
    }

    #[test]
    fn every_length_comes_back() {
        for len in [
            0,
            1,
            2,
            1000,
            FRAME as usize - 1,
            FRAME as usize,
            FRAME as usize + 1,
            900_000,
        ] {
            let content = content(len);
            for (kind, effort) in [
                (Kind::Content, Effort::Quick),
                (Kind::Pieces, Effort::Thorough),
            ] {
                let sealed = super::seal(kind, &content, HASH, &Dictionaries::new(), effort);
                assert_eq!(open(&sealed, 0..len as u64).unwrap(), content);
                let (back, whole) = unseal(&sealed, HASH, &Dictionaries::new()).unwrap();
                assert_eq!((back, &whole[..]), (kind, &content[..]));
            }
        }
    }

    #[test]
    fn the_dictionary_is_named_where_it_is_needed() {
        let dictionary_of = |sealed: Bytes| u16::from_be_bytes([sealed[2], sealed[3]]);
        assert_eq!(
            dictionary_of(seal(b"Content-Type: text/plain; charset=utf-8\r\n")),
            dictionary::MAIL
        );
        let noise = &content(4000)[2000..];
        assert_eq!(dictionary_of(seal(noise)), dictionary::NONE);
    }

    #[test]
    fn a_part_needs_only_its_frames() {
        let content = content(5 * FRAME as usize + 17);
        let sealed = seal(&content);
        let table = Table::read(&sealed, HASH, sealed.len() as u64).unwrap();
        assert_eq!(table.frames(&(FRAME..FRAME + 1)), 1..2);
        assert_eq!(table.frames(&(FRAME - 1..FRAME + 1)), 0..2);
        assert_eq!(table.frames(&(5 * FRAME..u64::MAX)), 5..6);
        assert_eq!(table.frames(&(7 * FRAME..u64::MAX)).len(), 0);
        let part = open(&sealed, FRAME..3 * FRAME).unwrap();
        assert_eq!(part, content[FRAME as usize..3 * FRAME as usize]);
    }

    #[test]
    fn a_flipped_bit_is_never_served() {
        let content = content(FRAME as usize + 300);
        let sealed = seal(&content);
        let early = 0..300;
        let bits = early.chain((0..2000).map(|n| n * (sealed.len() * 8 - 1) / 1999));
        for bit in bits {
            let mut bad = sealed.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            let got = open(&bad, 0..content.len() as u64);
            assert!(matches!(got, Err(Error::Corrupt(_))), "bit {bit}");
        }
        for len in 0..200 {
            assert!(open(&sealed[..len], 0..1).is_err());
        }
        assert!(Table::read(&sealed, &[8; 32], sealed.len() as u64).is_err());
    }
}
