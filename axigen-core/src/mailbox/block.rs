//! Rows in blocks: up to a few hundred messages of a mailbox in two values.
//!
//! A block has a key of its own, a UID: it holds messages from that one up to
//! the next block's. Under `1b mailbox uid` stand its UIDs as runs, so that a
//! mailbox of a million is listed from two thousand small values; under
//! `1c mailbox uid` stand its rows in the order of the UIDs.
//!
//! Blocks are written by [`fold`](super::fold) only. What happens to a message
//! in a block stands beside it until then: its changed row as a single one, its
//! removal as a mark. So a single row counts before the block's.
//!
//! Rows are a version byte (2; 3 where the modification number of the batch that
//! wrote the block follows, 8 bytes, because rows have it), then for each row the
//! numbers below, seven bits a byte, where "difference" is to the row before, with its sign in the lowest bit:
//! flags, number of keywords (of version 3: twice that, and 1 more for a row with
//! the block's modification number, of which no difference follows), keywords,
//! difference of the modification number, of the item, of the internal date in
//! seconds, zone (sign in the lowest bit), size, and the difference of the save
//! date from the row's internal date. The last is missing in version 1.

use axigen_store::{Patch, Slot, Template};
use bytes::Bytes;

use super::{
    error::{Error, Result},
    log::{decode_uids, encode_uids},
    row::Stored,
    types::ItemId,
};

const VERSION: u8 = 2;
const WITHOUT_SAVED: u8 = 1;
const STAMPED: u8 = 3;
const STAMP_AT: usize = 1;

/// The UIDs of a block, ascending.
pub(super) fn encode_list(uids: &[u32]) -> Bytes {
    let mut bytes = Vec::new();
    encode_uids(uids, &mut bytes);
    bytes.into()
}

/// The UIDs of a block, ascending.
pub(super) fn decode_list(bytes: &[u8]) -> Result<Vec<u32>> {
    decode_uids(bytes).ok_or_else(|| Error::corrupt("the UIDs of a block"))
}

/// The rows of a block.
pub(super) fn encode_rows<'r>(rows: impl IntoIterator<Item = &'r Stored>) -> Bytes {
    let mut bytes = vec![VERSION];
    let mut writer = Writer::default();
    for row in rows {
        bytes.push(row.system);
        put(row.words.len() as u64, &mut bytes);
        writer.rest(row, false, &mut bytes);
    }
    bytes.into()
}

/// The rows of a block, of which some get the modification number that is given
/// at commit.
pub(super) fn encode_stamped<'r>(rows: impl IntoIterator<Item = (&'r Stored, bool)>) -> Template {
    let mut bytes = vec![STAMPED];
    bytes.extend_from_slice(&[0; 8]);
    let mut writer = Writer::default();
    for (row, stamped) in rows {
        bytes.push(row.system);
        put(2 * row.words.len() as u64 + u64::from(stamped), &mut bytes);
        writer.rest(row, stamped, &mut bytes);
    }
    Template {
        bytes: bytes.into(),
        patches: vec![Patch {
            at: STAMP_AT,
            width: 8,
            slot: Slot::Seq,
        }],
    }
}

/// What differences are to.
#[derive(Default)]
struct Writer {
    modseq: u64,
    item: u64,
    date: i64,
}

impl Writer {
    /// What follows the number of keywords.
    fn rest(&mut self, row: &Stored, stamped: bool, bytes: &mut Vec<u8>) {
        for word in &row.words {
            put(u64::from(*word), bytes);
        }
        if !stamped {
            put(zigzag(row.modseq.wrapping_sub(self.modseq) as i64), bytes);
            self.modseq = row.modseq;
        }
        put(zigzag(row.item.0.wrapping_sub(self.item) as i64), bytes);
        put(zigzag(row.internal_date.wrapping_sub(self.date)), bytes);
        put(zigzag(i64::from(row.internal_zone)), bytes);
        put(row.size, bytes);
        put(zigzag(row.saved.wrapping_sub(row.internal_date)), bytes);
        (self.item, self.date) = (row.item.0, row.internal_date);
    }
}

/// The rows of a block of `count` messages.
pub(super) fn decode_rows(bytes: &[u8], count: usize) -> Result<Vec<Stored>> {
    rows(bytes, count).ok_or_else(|| Error::corrupt("the rows of a block"))
}

fn rows(bytes: &[u8], count: usize) -> Option<Vec<Stored>> {
    let (&version, mut rest) = bytes.split_first()?;
    let stamp = match version {
        VERSION | WITHOUT_SAVED => None,
        STAMPED => {
            let (stamp, behind) = rest.split_first_chunk::<8>()?;
            rest = behind;
            Some(u64::from_be_bytes(*stamp))
        }
        _ => return None,
    };
    // A row has seven bytes at least.
    if count > rest.len() / 7 {
        return None;
    }
    let mut rows: Vec<Stored> = Vec::with_capacity(count);
    let (mut modseq, mut item, mut date) = (0u64, 0u64, 0i64);
    for _ in 0..count {
        let (&system, behind) = rest.split_first()?;
        rest = behind;
        let words = take(&mut rest)?;
        let (words, stamp) = match stamp {
            Some(stamp) => (words / 2, (words % 2 == 1).then_some(stamp)),
            None => (words, None),
        };
        let words = usize::try_from(words).ok()?;
        if words > rest.len() {
            return None;
        }
        let words = (0..words)
            .map(|_| u16::try_from(take(&mut rest)?).ok())
            .collect::<Option<Vec<u16>>>()?;
        if stamp.is_none() {
            modseq = modseq.wrapping_add(unzigzag(take(&mut rest)?) as u64);
        }
        item = item.wrapping_add(unzigzag(take(&mut rest)?) as u64);
        date = date.wrapping_add(unzigzag(take(&mut rest)?));
        let mut row = Stored {
            modseq: stamp.unwrap_or(modseq),
            item: ItemId(item),
            system,
            words,
            internal_date: date,
            internal_zone: i16::try_from(unzigzag(take(&mut rest)?)).ok()?,
            size: take(&mut rest)?,
            saved: date,
        };
        if version != WITHOUT_SAVED {
            row.saved = date.wrapping_add(unzigzag(take(&mut rest)?));
        }
        rows.push(row);
    }
    rest.is_empty().then_some(rows)
}

pub(super) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

pub(super) fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn row() -> impl Strategy<Value = Stored> {
        let words = prop::collection::vec(any::<u16>(), 0..3);
        (
            any::<u64>(),
            any::<u64>(),
            any::<u8>(),
            words,
            any::<i64>(),
            any::<i16>(),
            any::<u64>(),
            any::<i64>(),
        )
            .prop_map(
                |(modseq, item, system, words, internal_date, internal_zone, size, saved)| Stored {
                    modseq,
                    item: ItemId(item),
                    system,
                    words,
                    internal_date,
                    internal_zone,
                    size,
                    saved,
                },
            )
    }

    #[test]
    fn rows_as_they_usually_are_take_few_bytes() {
        let rows: Vec<Stored> = (0..500)
            .map(|n| Stored {
                modseq: 5000 + n,
                item: ItemId(90_000 + n),
                system: 1,
                words: vec![],
                internal_date: 1_790_000_000 + 600 * n as i64,
                internal_zone: 0,
                size: 8000 + n,
                saved: 1_790_000_000 + 600 * n as i64,
            })
            .collect();
        let bytes = encode_rows(&rows);
        assert!(bytes.len() < 11 * rows.len(), "{}", bytes.len());
        assert_eq!(decode_rows(&bytes, 500).unwrap(), rows);
        // The form before: without the last number, here a byte, of each row.
        let mut old = vec![WITHOUT_SAVED];
        for at in 0..rows.len() {
            let upto = encode_rows(&rows[..=at]).len();
            let from = encode_rows(&rows[..at]).len();
            old.extend_from_slice(&bytes[from..upto - 1]);
        }
        assert_eq!(decode_rows(&old, 500).unwrap(), rows);
    }

    proptest! {
        #[test]
        fn rows_survive(rows in prop::collection::vec(row(), 0..20)) {
            let bytes = encode_rows(&rows);
            prop_assert_eq!(decode_rows(&bytes, rows.len()).unwrap(), rows.clone());
            prop_assert!(decode_rows(&bytes, rows.len() + 1).is_err());
            for cut in 0..bytes.len() {
                prop_assert!(rows.is_empty() || decode_rows(&bytes[..cut], rows.len()).is_err());
            }
        }

        #[test]
        fn some_rows_get_the_number_of_the_batch(
            rows in prop::collection::vec((row(), any::<bool>()), 0..20), stamp in any::<u64>(),
        ) {
            let template = encode_stamped(rows.iter().map(|(row, stamped)| (row, *stamped)));
            let mut bytes = template.bytes.to_vec();
            let at = template.patches[0].at;
            bytes[at..at + 8].copy_from_slice(&stamp.to_be_bytes());
            let want: Vec<Stored> = rows
                .into_iter()
                .map(|(row, stamped)| Stored { modseq: if stamped { stamp } else { row.modseq }, ..row })
                .collect();
            prop_assert_eq!(decode_rows(&bytes, want.len()).unwrap(), want.clone());
            for cut in 0..bytes.len() {
                prop_assert!(want.is_empty() || decode_rows(&bytes[..cut], want.len()).is_err());
            }
        }

        #[test]
        fn other_bytes_are_corrupt_not_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), count in 0usize..10) {
            let _ = decode_rows(&bytes, count);
            let _ = decode_list(&bytes);
        }
    }
}
