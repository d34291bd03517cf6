//! A message in a mailbox, as its bytes.
//!
//! One version byte (3; 4 for a row that stands before the one in a block),
//! then fields of fixed width, then two bytes for each keyword, so that a row of
//! a message without keywords is 44 bytes. Rows of versions 1 and 2 have no save
//! date, and are read as saved on their internal date. Nothing else in this
//! crate knows the layout. Rows end up in blocks, see [`block`](super::block).

use axigen_store::{Patch, Slot, Template};
use bytes::Bytes;

use super::{
    error::{Error, Result},
    types::{Flags, ItemId},
};

const VERSION: u8 = 3;
const OVER: u8 = 4;
const OLD: [u8; 2] = [1, 2];
const MODSEQ_AT: usize = 2;
const ITEM_AT: usize = 10;
const FIXED: usize = 44;

/// What the store keeps of a message in a mailbox; keywords as numbers of the
/// account's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) modseq: u64,
    pub(super) item: ItemId,
    pub(super) system: u8,
    /// Ascending.
    pub(super) words: Vec<u16>,
    pub(super) internal_date: i64,
    pub(super) internal_zone: i16,
    pub(super) size: u64,
    /// When it came into this mailbox, in seconds since 1970.
    pub(super) saved: i64,
}

impl Stored {
    /// The bytes, with the modification number given at commit.
    pub(super) fn encode(&self) -> Template {
        let mut bytes = Vec::with_capacity(FIXED + 2 * self.words.len());
        bytes.push(VERSION);
        bytes.push(self.system);
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&self.item.0.to_be_bytes());
        bytes.extend_from_slice(&self.internal_date.to_be_bytes());
        bytes.extend_from_slice(&self.internal_zone.to_be_bytes());
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(&self.saved.to_be_bytes());
        for word in &self.words {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        Template {
            bytes: bytes.into(),
            patches: vec![Patch {
                at: MODSEQ_AT,
                width: 8,
                slot: Slot::Seq,
            }],
        }
    }

    /// As [`encode`](Stored::encode), for a message that is in a block.
    pub(super) fn encode_over(&self) -> Template {
        let mut template = self.encode();
        let mut bytes = template.bytes.to_vec();
        if let Some(version) = bytes.first_mut() {
            *version = OVER;
        }
        template.bytes = bytes.into();
        template
    }

    /// The bytes, with the item's id given at commit too.
    pub(super) fn encode_new(&self, item: Slot) -> Template {
        let mut template = self.encode();
        template.patches.push(Patch {
            at: ITEM_AT,
            width: 8,
            slot: item,
        });
        template
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Stored> {
        decode(bytes).ok_or_else(|| Error::corrupt("a message's row"))
    }

    pub(super) fn unseen(&self) -> bool {
        self.system & Flags::SEEN == 0
    }

    pub(super) fn deleted(&self) -> bool {
        self.system & Flags::DELETED != 0
    }
}

/// A row as it was read: its UID, where it stood, its meaning.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub(super) uid: u32,
    pub(super) origin: Origin,
    pub(super) row: Stored,
}

/// Where a row stood, with its bytes for asserts.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// By itself, and in no block.
    Single(Bytes),
    /// By itself, before the one in a block.
    Over(Bytes),
    /// In the block of this key.
    Block(u32, Bytes),
}

impl Read {
    /// Of a single row.
    pub(super) fn single(uid: u32, bytes: Bytes) -> Result<Read> {
        let row = Stored::decode(&bytes)?;
        let origin = match bytes.first() {
            // The even ones.
            Some(version) if version % 2 == 0 => Origin::Over(bytes),
            _ => Origin::Single(bytes),
        };
        Ok(Read { uid, origin, row })
    }
}

fn decode(bytes: &[u8]) -> Option<Stored> {
    let (&[version, system], rest) = bytes.split_first_chunk::<2>()?;
    let (modseq, rest) = rest.split_first_chunk::<8>()?;
    let (item, rest) = rest.split_first_chunk::<8>()?;
    let (date, rest) = rest.split_first_chunk::<8>()?;
    let (zone, rest) = rest.split_first_chunk::<2>()?;
    let (size, rest) = rest.split_first_chunk::<8>()?;
    let date = i64::from_be_bytes(*date);
    let (saved, rest) = match version {
        VERSION | OVER => {
            let (saved, rest) = rest.split_first_chunk::<8>()?;
            (i64::from_be_bytes(*saved), rest)
        }
        _ if OLD.contains(&version) => (date, rest),
        _ => return None,
    };
    if rest.len() % 2 != 0 {
        return None;
    }
    Some(Stored {
        modseq: u64::from_be_bytes(*modseq),
        item: ItemId(u64::from_be_bytes(*item)),
        system,
        words: rest
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect(),
        internal_date: date,
        internal_zone: i16::from_be_bytes(*zone),
        size: u64::from_be_bytes(*size),
        saved,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let row = Stored {
            modseq: 0,
            item: ItemId(77),
            system: Flags::SEEN | Flags::DELETED,
            words: vec![1, 999],
            internal_date: -5,
            internal_zone: -330,
            size: 1 << 40,
            saved: 99,
        };
        let template = row.encode();
        assert_eq!(Stored::decode(&template.bytes).unwrap(), row);
        assert_eq!(template.bytes.len(), FIXED + 4);
        assert!(row.deleted() && !row.unseen());
    }

    #[test]
    fn old_rows_were_saved_on_their_internal_date() {
        let mut old = vec![1, Flags::SEEN];
        old.extend_from_slice(&[0; 15]);
        old.push(77);
        old.extend_from_slice(&1_700_000_000i64.to_be_bytes());
        old.extend_from_slice(&[0; 2]);
        old.extend_from_slice(&9u64.to_be_bytes());
        old.extend_from_slice(&[0, 5]);
        for version in OLD {
            old[0] = version;
            let row = Stored::decode(&old).unwrap();
            assert_eq!((row.saved, row.size), (1_700_000_000, 9));
            assert_eq!((row.item, row.words), (ItemId(77), vec![5]));
            let read = Read::single(1, old.clone().into()).unwrap();
            assert_eq!(matches!(read.origin, Origin::Over(_)), version == 2);
        }
    }

    #[test]
    fn other_bytes_are_corrupt_not_a_panic() {
        let good = Stored {
            modseq: 0,
            item: ItemId(1),
            system: 0,
            words: vec![],
            internal_date: 0,
            internal_zone: 0,
            size: 0,
            saved: 0,
        }
        .encode()
        .bytes;
        for cut in 0..good.len() {
            assert!(Stored::decode(&good[..cut]).is_err());
        }
        let mut other = good.to_vec();
        other[0] = 5;
        assert!(Stored::decode(&other).is_err());
        other[0] = VERSION;
        other.push(0);
        assert!(Stored::decode(&other).is_err());
    }
}
