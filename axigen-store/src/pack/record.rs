//! The records of a pack, and its header.
//!
//! A record begins at a multiple of 8:
//!
//! | bytes | meaning |
//! |---|---|
//! | 4 | `AXR2` |
//! | 4 | CRC-32C of the pack's number, the record's offset (8 bytes each) and the 56 bytes that follow |
//! | 4 | CRC-32C of label and payload |
//! | 1 | kind: 1 a blob, 2 a deletion, 3 a note |
//! | 1 | 0 |
//! | 2 | length of the label |
//! | 8 | length of the payload |
//! | 8 | length of the content; of a note, the number of blobs it is about |
//! | 32 | BLAKE3-256 of the content; of a note, zeros |
//! | n | label |
//! | n | payload |
//! | 0 to 7 | zeros |
//!
//! Numbers are big-endian. The payload of a blob is [sealed](crate::blob::seal)
//! and says itself how it is compressed and with which dictionary. A deletion
//! says that one record of the blob with this hash is no longer wanted: pack
//! and offset of that record's payload, 8 bytes each. A note's payload is the
//! hashes of the blobs it is about, and then whatever its writer put there.
//!
//! The first checksum holds the place, so that a mail that contains a record
//! is not taken for one; and it is of the header alone, so that records can be
//! found without reading what they hold.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::blob::{BlobLoc, Note, SealedBlob};

/// Length of a pack's header.
pub const FILE_HEADER: u64 = 32;
/// Length of a record's header.
pub const HEADER: usize = 64;
/// What a record begins with.
pub const MAGIC: [u8; 4] = *b"AXR2";

const FILE_MAGIC: [u8; 8] = *b"AXIGENPK";
const FILE_VERSION: u32 = 2;

/// How a pack came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// New blobs were appended to it.
    Appended,
    /// What was still wanted of other packs, in one go: it was complete when
    /// it got its name.
    Rewritten,
}

/// The header of pack `number`: `AXIGENPK`, version (4 bytes), CRC-32C of all
/// else (4), number (8), origin (1: 0 appended, 1 rewritten), zeros (7).
pub fn file_header(number: u64, origin: Origin) -> [u8; FILE_HEADER as usize] {
    let mut rest = [0; 24];
    rest[..4].copy_from_slice(&FILE_VERSION.to_be_bytes());
    rest[8..16].copy_from_slice(&number.to_be_bytes());
    rest[16] = match origin {
        Origin::Appended => 0,
        Origin::Rewritten => 1,
    };
    let crc = crc32c::crc32c(&rest);
    let mut header = [0; FILE_HEADER as usize];
    header[..8].copy_from_slice(&FILE_MAGIC);
    header[8..].copy_from_slice(&rest);
    header[12..16].copy_from_slice(&crc.to_be_bytes());
    header
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A blob.
    Blob,
    /// A record that is no longer wanted is named.
    Deletion,
    /// What became of blobs, see [`Note`].
    Note,
}

/// The header of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// Length of the label.
    pub label: u16,
    /// Length of the payload.
    pub payload: u64,
    /// Length of the content.
    pub raw: u64,
    /// BLAKE3-256 of the content.
    pub hash: [u8; 32],
    /// CRC-32C of label and payload.
    pub body: u32,
}

impl Header {
    /// The header for a blob. Its label must not be longer than 65,535 bytes.
    pub fn of(blob: &SealedBlob) -> Self {
        Header {
            kind: Kind::Blob,
            label: blob.label.len() as u16,
            payload: blob.bytes.len() as u64,
            raw: blob.raw_len,
            hash: blob.hash,
            body: crc32c::crc32c_append(crc32c::crc32c(&blob.label), &blob.bytes),
        }
    }

    /// Header and payload that say that this is no longer wanted.
    pub fn deletion(of: &BlobLoc) -> (Self, [u8; 16]) {
        let mut payload = [0; 16];
        payload[..8].copy_from_slice(&of.file.to_be_bytes());
        payload[8..].copy_from_slice(&of.offset.to_be_bytes());
        let header = Header {
            kind: Kind::Deletion,
            label: 0,
            payload: payload.len() as u64,
            raw: 0,
            hash: of.hash,
            body: crc32c::crc32c(&payload),
        };
        (header, payload)
    }

    /// Header and payload of a note.
    pub fn note(note: &Note) -> (Self, Bytes) {
        let mut payload = BytesMut::with_capacity(32 * note.about.len() + note.bytes.len());
        note.about.iter().for_each(|hash| payload.put_slice(hash));
        payload.put_slice(&note.bytes);
        let header = Header {
            kind: Kind::Note,
            label: 0,
            payload: payload.len() as u64,
            raw: note.about.len() as u64,
            hash: [0; 32],
            body: crc32c::crc32c(&payload),
        };
        (header, payload.freeze())
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

    /// Where the blob of a record at this place is.
    pub fn loc(&self, pack: u64, offset: u64) -> BlobLoc {
        BlobLoc {
            hash: self.hash,
            file: pack,
            offset: offset.saturating_add(self.payload_at()),
            len: self.payload,
            extra: (self.record_len() - self.payload) as u32,
        }
    }

    /// Writes the header of a record at `offset` of pack `pack`.
    pub fn write(&self, pack: u64, offset: u64, out: &mut BytesMut) {
        let mut rest = BytesMut::with_capacity(HEADER);
        rest.put_u32(self.body);
        rest.put_u8(match self.kind {
            Kind::Blob => 1,
            Kind::Deletion => 2,
            Kind::Note => 3,
        });
        rest.put_u8(0);
        rest.put_u16(self.label);
        rest.put_u64(self.payload);
        rest.put_u64(self.raw);
        rest.put_slice(&self.hash);
        out.put_slice(&MAGIC);
        out.put_u32(sum(pack, offset, &rest));
        out.put_slice(&rest);
    }

    /// Reads the header at `offset` of pack `pack`; `None` if there is none.
    pub fn read(mut bytes: &[u8], pack: u64, offset: u64) -> Option<Self> {
        let magic = bytes.try_get_u32().ok()?;
        let wanted = bytes.try_get_u32().ok()?;
        let mut rest = bytes.get(..HEADER - 8)?;
        if magic.to_be_bytes() != MAGIC || sum(pack, offset, rest) != wanted {
            return None;
        }
        let body = rest.try_get_u32().ok()?;
        let kind = match (rest.try_get_u8().ok()?, rest.try_get_u8().ok()?) {
            (1, 0) => Kind::Blob,
            (2, 0) => Kind::Deletion,
            (3, 0) => Kind::Note,
            _ => return None,
        };
        Some(Header {
            kind,
            label: rest.try_get_u16().ok()?,
            payload: rest.try_get_u64().ok()?,
            raw: rest.try_get_u64().ok()?,
            hash: rest.try_into().ok()?,
            body,
        })
    }
}

/// Pack and payload offset of the record that a deletion names.
pub fn deleted(payload: &[u8]) -> Option<(u64, u64)> {
    let (file, offset) = payload.split_first_chunk::<8>()?;
    let offset = offset.try_into().ok()?;
    Some((u64::from_be_bytes(*file), u64::from_be_bytes(offset)))
}

/// The note of a record with this header.
pub fn noted(header: &Header, payload: &Bytes) -> Option<Note> {
    let hashes = usize::try_from(header.raw).ok()?.checked_mul(32)?;
    let about = payload.get(..hashes)?;
    Some(Note {
        about: about.as_chunks::<32>().0.to_vec(),
        bytes: payload.slice(hashes..),
    })
}

fn sum(pack: u64, offset: u64, rest: &[u8]) -> u32 {
    let place = crc32c::crc32c(&pack.to_be_bytes());
    let place = crc32c::crc32c_append(place, &offset.to_be_bytes());
    crc32c::crc32c_append(place, rest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn headers_come_back_and_belong_to_their_place() {
        let loc = BlobLoc {
            hash: [3; 32],
            file: 9,
            offset: 1 << 33,
            len: 77,
            extra: 80,
        };
        let (deletion, payload) = Header::deletion(&loc);
        assert_eq!(deleted(&payload), Some((9, 1 << 33)));
        let blob = Header::of(&SealedBlob {
            hash: [7; 32],
            raw_len: 1 << 40,
            parts: Vec::new(),
            label: bytes::Bytes::from_static(b"label"),
            bytes: bytes::Bytes::from_static(b"sealed"),
        });
        assert_eq!(blob.record_len(), 80);
        let note = Note {
            about: vec![[1; 32], [2; 32]],
            bytes: Bytes::from_static(b"moved"),
        };
        let (header, payload) = Header::note(&note);
        assert_eq!(noted(&header, &payload), Some(note));
        assert_eq!(noted(&header, &payload.slice(..63)), None);
        for header in [deletion, blob, header] {
            let mut bytes = BytesMut::new();
            header.write(5, 4096, &mut bytes);
            assert_eq!(bytes.len(), HEADER);
            assert_eq!(Header::read(&bytes, 5, 4096), Some(header.clone()));
            assert_eq!(Header::read(&bytes, 5, 4104), None);
            assert_eq!(Header::read(&bytes, 6, 4096), None);
            assert_eq!(Header::read(&bytes[..63], 5, 4096), None);
            for bit in 0..HEADER * 8 {
                let mut bad = bytes.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Header::read(&bad, 5, 4096), None, "bit {bit}");
            }
        }
    }
}
