//! The row that says where a blob is and how often it is referred to.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::seal::own_len;
use super::{BlobLoc, SealedBlob};
use crate::error::{Error, Result};

/// The row of a blob, at [`key::blob`](crate::backend::key::blob).
///
/// | bytes | meaning |
/// |---|---|
/// | 1 | version, 2 |
/// | 1 | place: 0 inline, 1 in the blob store |
/// | 8 | references |
/// | 8 | since when there are none (seconds since 1970), else 0 |
/// | 8 | length of the content |
/// | 8 | length of what its frames hold: less than the content if there are parts |
/// | 2 | number of parts |
/// | 32 each | the parts: blobs that it is put together from |
/// | 8, 8, 8, 4 | in the blob store: file, offset, length, extra |
/// | 4, n, rest | inline: length of the label, label, sealed bytes |
///
/// Numbers are big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRow {
    /// How many references there are.
    pub refs: u64,
    /// Seconds since 1970 when the last reference went; 0 while there are
    /// some.
    pub zero_since: u64,
    /// Length of the content in bytes.
    pub raw_len: u64,
    /// Length of what its own frames hold.
    pub own_len: u64,
    /// The blobs that it is put together from, each once. It holds a
    /// reference to each of them as long as this row exists.
    pub parts: Vec<[u8; 32]>,
    /// Where the bytes are.
    pub place: Place,
}

/// Where a blob's sealed bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the row itself.
    Inline {
        /// See [`BlobIn::label`](super::BlobIn::label).
        label: Bytes,
        /// The sealed bytes.
        bytes: Bytes,
    },
    /// In the blob store.
    Stored {
        /// See [`BlobLoc::file`](super::BlobLoc::file).
        file: u64,
        /// See [`BlobLoc::offset`](super::BlobLoc::offset).
        offset: u64,
        /// Length of the sealed bytes.
        len: u64,
        /// See [`BlobLoc::extra`](super::BlobLoc::extra).
        extra: u32,
    },
}

const VERSION: u8 = 2;
const INLINE: u8 = 0;
const STORED: u8 = 1;

impl Place {
    /// The place that a blob store gave.
    pub fn of(loc: &BlobLoc) -> Self {
        Place::Stored {
            file: loc.file,
            offset: loc.offset,
            len: loc.len,
            extra: loc.extra,
        }
    }

    /// The place in the blob store of the blob with this hash.
    pub fn loc(&self, hash: &[u8; 32]) -> Option<BlobLoc> {
        match *self {
            Place::Inline { .. } => None,
            Place::Stored {
                file,
                offset,
                len,
                extra,
            } => Some(BlobLoc {
                hash: *hash,
                file,
                offset,
                len,
                extra,
            }),
        }
    }

    /// File and bytes there, in the blob store.
    pub fn held(&self) -> Option<(u64, u64)> {
        match *self {
            Place::Inline { .. } => None,
            Place::Stored {
                file, len, extra, ..
            } => Some((file, len.saturating_add(u64::from(extra)))),
        }
    }
}

impl BlobRow {
    /// A row without references.
    pub fn new(blob: &SealedBlob, place: Place) -> Self {
        BlobRow {
            refs: 0,
            zero_since: 0,
            raw_len: blob.raw_len,
            own_len: own_len(&blob.bytes),
            parts: blob.parts.clone(),
            place,
        }
    }

    /// The row as bytes.
    pub fn encode(&self) -> Bytes {
        let mut row = BytesMut::with_capacity(64);
        row.put_u8(VERSION);
        row.put_u8(match self.place {
            Place::Inline { .. } => INLINE,
            Place::Stored { .. } => STORED,
        });
        row.put_u64(self.refs);
        row.put_u64(self.zero_since);
        row.put_u64(self.raw_len);
        row.put_u64(self.own_len);
        row.put_u16(self.parts.len() as u16);
        for part in &self.parts {
            row.put_slice(part);
        }
        match &self.place {
            Place::Inline { label, bytes } => {
                row.put_u32(label.len() as u32);
                row.put_slice(label);
                row.put_slice(bytes);
            }
            Place::Stored {
                file,
                offset,
                len,
                extra,
            } => {
                row.put_u64(*file);
                row.put_u64(*offset);
                row.put_u64(*len);
                row.put_u32(*extra);
            }
        }
        row.freeze()
    }

    /// Reads a row.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not one.
    pub fn decode(row: &Bytes) -> Result<Self> {
        Self::parse(row.clone())
            .ok_or_else(|| Error::Corrupt(format!("a blob's row of {} bytes", row.len())))
    }

    fn parse(mut row: Bytes) -> Option<Self> {
        let version = row.try_get_u8().ok()?;
        let place = row.try_get_u8().ok()?;
        if version != VERSION {
            return None;
        }
        let refs = row.try_get_u64().ok()?;
        let zero_since = row.try_get_u64().ok()?;
        let raw_len = row.try_get_u64().ok()?;
        let own_len = row.try_get_u64().ok()?;
        let parts = usize::from(row.try_get_u16().ok()?) * 32;
        if row.len() < parts {
            return None;
        }
        let parts = row
            .split_to(parts)
            .chunks_exact(32)
            .filter_map(|part| part.try_into().ok())
            .collect();
        let place = match place {
            INLINE => {
                let label = row.try_get_u32().ok()? as usize;
                if row.len() < label {
                    return None;
                }
                Place::Inline {
                    label: row.split_to(label),
                    bytes: row,
                }
            }
            STORED if row.len() == 28 => Place::Stored {
                file: row.get_u64(),
                offset: row.get_u64(),
                len: row.get_u64(),
                extra: row.get_u32(),
            },
            _ => return None,
        };
        Some(BlobRow {
            refs,
            zero_since,
            raw_len,
            own_len,
            parts,
            place,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rows() -> [BlobRow; 2] {
        let row = BlobRow {
            refs: 3,
            zero_since: 0,
            raw_len: 5,
            own_len: 5,
            parts: Vec::new(),
            place: Place::Inline {
                label: Bytes::from_static(b"label"),
                bytes: Bytes::from_static(b"sealed"),
            },
        };
        let stored = BlobRow {
            refs: 0,
            zero_since: 1_700_000_000,
            raw_len: u64::MAX,
            own_len: 17,
            parts: vec![[1; 32], [9; 32]],
            place: Place::Stored {
                file: 12,
                offset: 64,
                len: 1 << 40,
                extra: 80,
            },
        };
        [row, stored]
    }

    #[test]
    fn comes_back_as_it_went() {
        for row in rows() {
            assert_eq!(BlobRow::decode(&row.encode()).unwrap(), row);
        }
    }

    #[test]
    fn cut_rows_are_corrupt() {
        let [inline, stored] = rows().map(|row| row.encode());
        for len in 0..stored.len() {
            assert!(BlobRow::decode(&stored.slice(..len)).is_err(), "{len}");
        }
        for len in 0..inline.len() - b"sealed".len() {
            assert!(BlobRow::decode(&inline.slice(..len)).is_err(), "{len}");
        }
    }
}
