//! The row that says where a blob is and how often it is referred to.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::{Error, Result};

/// The row of a blob, at [`key::blob`](crate::backend::key::blob).
///
/// | bytes | meaning |
/// |---|---|
/// | 1 | version, 1 |
/// | 1 | place: 0 inline, 1 in the blob store |
/// | 8 | references |
/// | 8 | since when there are none (seconds since 1970), else 0 |
/// | 8 | length of the content |
/// | 8, 8, 8 | in the blob store: file, offset, length |
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
    },
}

const VERSION: u8 = 1;
const INLINE: u8 = 0;
const STORED: u8 = 1;

impl BlobRow {
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
        match &self.place {
            Place::Inline { label, bytes } => {
                row.put_u32(label.len() as u32);
                row.put_slice(label);
                row.put_slice(bytes);
            }
            Place::Stored { file, offset, len } => {
                row.put_u64(*file);
                row.put_u64(*offset);
                row.put_u64(*len);
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
            STORED if row.len() == 24 => Place::Stored {
                file: row.get_u64(),
                offset: row.get_u64(),
                len: row.get_u64(),
            },
            _ => return None,
        };
        Some(BlobRow {
            refs,
            zero_since,
            raw_len,
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
            place: Place::Inline {
                label: Bytes::from_static(b"label"),
                bytes: Bytes::from_static(b"sealed"),
            },
        };
        let stored = BlobRow {
            refs: 0,
            zero_since: 1_700_000_000,
            raw_len: u64::MAX,
            place: Place::Stored {
                file: 12,
                offset: 64,
                len: 1 << 40,
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
