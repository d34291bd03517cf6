//! The record of a blob in a pack, and the header of a pack.
//!
//! A record begins at a multiple of 8:
//!
//! | bytes | meaning |
//! |---|---|
//! | 4 | `AXR1` |
//! | 4 | CRC-32C of the pack's number, the record's offset (8 bytes each) and everything below up to the padding |
//! | 1 | kind: 1, a blob |
//! | 1 | codec: 1, the frames of [`seal`](crate::blob::seal) |
//! | 2 | the [dictionary](crate::blob::dictionary) of the payload; 0, none |
//! | 4 | length of the label |
//! | 8 | length of the payload |
//! | 8 | length of the content |
//! | 32 | BLAKE3-256 of the content |
//! | n | label |
//! | n | payload |
//! | 0 to 7 | zeros |
//!
//! Numbers are big-endian. The checksum holds the place, so that a mail that
//! contains a record is not taken for one.

use bytes::{Buf, BufMut, BytesMut};

use crate::blob::SealedBlob;
use crate::blob::seal::dictionary_of;

/// Length of a pack's header.
pub const FILE_HEADER: u64 = 32;
/// Length of a record's header.
pub const HEADER: usize = 64;
/// What a record begins with.
pub const MAGIC: [u8; 4] = *b"AXR1";

const FILE_MAGIC: [u8; 8] = *b"AXIGENPK";
const FILE_VERSION: u32 = 1;
const BLOB: u8 = 1;
const FRAMES: u8 = 1;

/// The header of pack `number`: `AXIGENPK`, version (4 bytes), CRC-32C of all
/// else (4), number (8), zeros (8).
pub fn file_header(number: u64) -> [u8; FILE_HEADER as usize] {
    let mut rest = [0; 24];
    rest[..4].copy_from_slice(&FILE_VERSION.to_be_bytes());
    rest[8..16].copy_from_slice(&number.to_be_bytes());
    let crc = crc32c::crc32c(&rest);
    let mut header = [0; FILE_HEADER as usize];
    header[..8].copy_from_slice(&FILE_MAGIC);
    header[8..].copy_from_slice(&rest);
    header[12..16].copy_from_slice(&crc.to_be_bytes());
    header
}

/// The header of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Length of the label.
    pub label: u32,
    /// Length of the payload.
    pub payload: u64,
    /// Length of the content.
    pub raw: u64,
    /// BLAKE3-256 of the content.
    pub hash: [u8; 32],
}

impl Header {
    /// The header for a blob.
    pub fn of(blob: &SealedBlob) -> Self {
        Header {
            label: blob.label.len() as u32,
            payload: blob.bytes.len() as u64,
            raw: blob.raw_len,
            hash: blob.hash,
        }
    }

    /// Where the payload begins in the record.
    pub fn payload_at(&self) -> u64 {
        HEADER as u64 + u64::from(self.label)
    }

    /// Zeros behind the payload.
    pub fn padding(&self) -> usize {
        let len = self.payload_at().wrapping_add(self.payload);
        (len.wrapping_neg() % 8) as usize
    }

    /// Length of the whole record.
    pub fn record_len(&self) -> u64 {
        self.payload_at()
            .saturating_add(self.payload)
            .saturating_add(self.padding() as u64)
    }

    /// Writes header and label of the record at `offset` of pack `pack`.
    pub fn write(&self, pack: u64, offset: u64, blob: &SealedBlob, out: &mut BytesMut) {
        let mut rest = BytesMut::with_capacity(HEADER);
        rest.put_u8(BLOB);
        rest.put_u8(FRAMES);
        rest.put_u16(dictionary_of(&blob.bytes));
        rest.put_u32(self.label);
        rest.put_u64(self.payload);
        rest.put_u64(self.raw);
        rest.put_slice(&self.hash);
        let mut sum = Sum::new(pack, offset);
        sum.add(&rest);
        sum.add(&blob.label);
        sum.add(&blob.bytes);
        out.put_slice(&MAGIC);
        out.put_u32(sum.0);
        out.put_slice(&rest);
        out.put_slice(&blob.label);
    }

    /// Reads a header; gives the checksum that label and payload must lead to.
    /// `None` if it is not one.
    pub fn read(mut bytes: &[u8]) -> Option<(Self, u32)> {
        let magic = bytes.try_get_u32().ok()?;
        let sum = bytes.try_get_u32().ok()?;
        let kind = bytes.try_get_u8().ok()?;
        let codec = bytes.try_get_u8().ok()?;
        let _dictionary = bytes.try_get_u16().ok()?;
        if magic.to_be_bytes() != MAGIC || kind != BLOB || codec != FRAMES {
            return None;
        }
        let header = Header {
            label: bytes.try_get_u32().ok()?,
            payload: bytes.try_get_u64().ok()?,
            raw: bytes.try_get_u64().ok()?,
            hash: bytes.get(..32)?.try_into().ok()?,
        };
        Some((header, sum))
    }
}

/// The running checksum of a record.
#[derive(Debug)]
pub struct Sum(u32);

impl Sum {
    /// Of a record at this place.
    pub fn new(pack: u64, offset: u64) -> Self {
        let place = crc32c::crc32c(&pack.to_be_bytes());
        Sum(crc32c::crc32c_append(place, &offset.to_be_bytes()))
    }

    /// Takes in more bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0 = crc32c::crc32c_append(self.0, bytes);
    }

    /// The checksum.
    pub fn value(&self) -> u32 {
        self.0
    }
}
