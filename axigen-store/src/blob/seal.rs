//! Sealed bytes: a blob as it lies on disk.
//!
//! The content is cut into frames of 256 KB, each compressed by itself when
//! that pays (zstd level 1) and each with its own checksum, so that a part of a
//! large blob is read without inflating all of it:
//!
//! | bytes | meaning |
//! |---|---|
//! | 8 for each frame | length (top bit: not compressed) and CRC-32C of the frame as stored, each 4 bytes big-endian |
//! | 4 | CRC-32C of the blob's address and the table above, big-endian |
//! | rest | the frames |
//!
//! The number of frames follows from the length of the content; empty content
//! has none.

use std::cell::RefCell;
use std::ops::Range;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::{Error, Result};

/// Bytes of content in one frame.
pub const FRAME: u64 = 256 << 10;
const ENTRY: u64 = 8;
const PLAIN: u32 = 1 << 31;
const LEVEL: i32 = 1;

thread_local! {
    // A context is half a megabyte: made once for each thread.
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Seals content; `hash` is its address.
pub fn seal(content: &[u8], hash: &[u8; 32]) -> Bytes {
    let frames = content.chunks(FRAME as usize);
    let table = table_len(content.len() as u64) as usize;
    let mut sealed = BytesMut::with_capacity(table + content.len() / 2 + 64);
    sealed.resize(table, 0);
    let mut entries = BytesMut::with_capacity(table);
    for frame in frames {
        let start = sealed.len();
        let mut mark = 0;
        // Less than an eighth saved is not worth the inflating.
        match compress(frame) {
            Some(small) if small.len() <= frame.len() - frame.len() / 8 => {
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
    let sum = checksum(hash, &entries);
    entries.put_u32(sum);
    if let Some(table) = sealed.get_mut(..table) {
        table.copy_from_slice(&entries);
    }
    sealed.freeze()
}

/// Length of the table before the frames, for content of `raw_len` bytes.
pub fn table_len(raw_len: u64) -> u64 {
    raw_len.div_ceil(FRAME) * ENTRY + 4
}

/// Where the frames of a blob are.
#[derive(Debug)]
pub struct Table {
    raw_len: u64,
    /// Offset in the sealed bytes, entry.
    frames: Vec<(u64, u32, u32)>,
}

impl Table {
    /// Reads the table, which is the first [`table_len`] bytes of `sealed`;
    /// `sealed_len` is the length of all.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the checksum or the lengths are wrong.
    pub fn read(mut sealed: &[u8], hash: &[u8; 32], raw_len: u64, sealed_len: u64) -> Result<Self> {
        let corrupt = || Error::Corrupt("the frame table of a blob".into());
        let table = table_len(raw_len);
        if sealed_len < table || (sealed.len() as u64) < table {
            return Err(corrupt());
        }
        let sum = checksum(hash, &sealed[..table as usize - 4]);
        let mut frames = Vec::with_capacity(raw_len.div_ceil(FRAME) as usize);
        let mut offset = table;
        while sealed.remaining() > 4 && (frames.len() as u64) < raw_len.div_ceil(FRAME) {
            let (len, crc) = (sealed.get_u32(), sealed.get_u32());
            frames.push((offset, len, crc));
            offset += u64::from(len & !PLAIN);
        }
        if sealed.try_get_u32() != Ok(sum) || offset != sealed_len {
            return Err(corrupt());
        }
        Ok(Table { raw_len, frames })
    }

    /// Which frames a range of the content needs.
    pub fn frames(&self, range: &Range<u64>) -> Range<usize> {
        let last = (range.end.min(self.raw_len)).div_ceil(FRAME) as usize;
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

    /// The content of these frames; `stored` are the bytes of their
    /// [span](Table::span).
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a checksum is wrong.
    pub fn open(&self, frames: &Range<usize>, stored: &[u8]) -> Result<Bytes> {
        let base = self.span(frames).start;
        let mut content = BytesMut::new();
        content.reserve(frames.len() * (FRAME.min(self.raw_len) as usize));
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
            let raw = (self.raw_len - number as u64 * FRAME).min(FRAME) as usize;
            if len & PLAIN != 0 {
                if frame.len() != raw {
                    return Err(corrupt("the length"));
                }
                content.put_slice(frame);
            } else {
                let start = content.len();
                content.resize(start + raw, 0);
                let target = content.get_mut(start..).unwrap_or_default();
                if decompress(frame, target) != Some(raw) {
                    return Err(corrupt("the compression"));
                }
            }
        }
        Ok(content.freeze())
    }
}

/// The address is in it, so that the bytes of another blob are never taken for
/// those of this one.
fn checksum(hash: &[u8; 32], table: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(hash), table)
}

fn compress(frame: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = zstd::bulk::Compressor::new(LEVEL).ok();
        }
        slot.as_mut()?.compress(frame).ok()
    })
}

fn decompress(frame: &[u8], target: &mut [u8]) -> Option<usize> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = zstd::bulk::Decompressor::new().ok();
        }
        slot.as_mut()?.decompress_to_buffer(frame, target).ok()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HASH: &[u8; 32] = &[7; 32];

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

    fn open(sealed: &[u8], raw_len: u64, range: Range<u64>) -> Result<Bytes> {
        let table = Table::read(sealed, HASH, raw_len, sealed.len() as u64)?;
        let frames = table.frames(&range);
        let span = table.span(&frames);
        table.open(&frames, &sealed[span.start as usize..span.end as usize])
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
            let sealed = seal(&content, HASH);
            assert_eq!(open(&sealed, len as u64, 0..len as u64).unwrap(), content);
        }
    }

    #[test]
    fn a_part_needs_only_its_frames() {
        let content = content(5 * FRAME as usize + 17);
        let sealed = seal(&content, HASH);
        let table = Table::read(&sealed, HASH, content.len() as u64, sealed.len() as u64).unwrap();
        assert_eq!(table.frames(&(FRAME..FRAME + 1)), 1..2);
        assert_eq!(table.frames(&(FRAME - 1..FRAME + 1)), 0..2);
        assert_eq!(table.frames(&(5 * FRAME..u64::MAX)), 5..6);
        assert_eq!(table.frames(&(7 * FRAME..u64::MAX)).len(), 0);
        let part = open(&sealed, content.len() as u64, FRAME..3 * FRAME).unwrap();
        assert_eq!(part, content[FRAME as usize..3 * FRAME as usize]);
    }

    #[test]
    fn a_flipped_bit_is_never_served() {
        let content = content(FRAME as usize + 300);
        let sealed = seal(&content, HASH);
        let bits = (0..2000).map(|n| n * (sealed.len() * 8 - 1) / 1999);
        for bit in bits {
            let mut bad = sealed.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            let got = open(&bad, content.len() as u64, 0..content.len() as u64);
            assert!(matches!(got, Err(Error::Corrupt(_))), "bit {bit}");
        }
        for len in 0..200 {
            assert!(open(&sealed[..len], content.len() as u64, 0..1).is_err());
        }
    }
}
