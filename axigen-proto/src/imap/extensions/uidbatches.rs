//! UIDBATCHES ([RFC 10022](https://www.rfc-editor.org/rfc/rfc10022)): ranges of
//! UIDs that hold as many messages each, so that a client can fetch a mailbox in
//! pieces.

use nom::Parser;
use nom::bytes::complete::tag;
use nom::combinator::opt;
use nom::sequence::preceded;

use crate::imap::command::Command;
use crate::imap::parse::fault::{Parsed, expect, refused};
use crate::imap::parse::values::{nz_number, sp};
use crate::imap::response::{Code, Status};

/// Smallest batch that is given (RFC 10022 §3.1.3.2: this one and larger ones must be).
pub const SMALLEST: u32 = 500;
/// Most messages that all batches asked for at once may hold (RFC 10022
/// §3.1.5; §3.1.7: as many must be given).
pub const MOST: u64 = 100_000;

/// UIDBATCHES.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UidBatches {
    /// Most messages of a batch.
    pub size: u32,
    /// Which batches, from 1, the one of the highest UIDs; both ends included.
    /// `None` means all.
    pub range: Option<(u32, u32)>,
}

impl UidBatches {
    /// What speaks against it.
    pub fn refusal(&self) -> Option<Status> {
        if self.size < SMALLEST {
            let status = Status::no("A batch has to be of 500 messages or more");
            return Some(status.with(Code::TooFew));
        }
        let (from, to) = self.range?;
        let messages = (u64::from(to) - u64::from(from) + 1).saturating_mul(self.size.into());
        (messages > MOST).then(|| {
            Status::no("These batches are of more than 100000 messages").with(Code::TooMany)
        })
    }

    /// The batches of a mailbox that holds these UIDs, ascending: the higher end
    /// of each before its lower one. They follow each other without a gap, from
    /// the highest UID down to 1.
    pub fn of(&self, uids: &[u32]) -> Vec<(u32, u32)> {
        let size = (self.size as usize).max(1);
        let (from, to) = self.range.unwrap_or((1, u32::MAX));
        let skip = (from as usize).saturating_sub(1);
        let count = (to as usize).saturating_sub(skip);
        let of = |batch: usize| {
            // Index of the highest UID of the batch.
            let high = batch
                .checked_mul(size)
                .and_then(|before| uids.len().checked_sub(before.checked_add(1)?))?;
            let below = high.checked_sub(size).and_then(|at| uids.get(at));
            Some((*uids.get(high)?, below.map_or(1, |uid| uid + 1)))
        };
        (skip..).take(count).map_while(of).collect()
    }
}

/// ```text
/// uidbatches  = "UIDBATCHES" SP nz-number [SP batch-range]
/// batch-range = nz-number ":" nz-number
/// ```
pub(crate) fn uid_batches(input: &[u8]) -> Parsed<'_, Command> {
    let number = || expect("the size of a batch", nz_number);
    let ends = (
        expect("the number of a batch", nz_number),
        preceded(
            expect(":", tag(":")),
            expect("the number of a batch", nz_number),
        ),
    );
    let (rest, (size, range)) = (preceded(sp, number()), opt(preceded(sp, ends))).parse(input)?;
    if range.is_some_and(|(from, to)| from > to) {
        let status = Status::bad("The first batch has to come before the last");
        return Err(refused(input, status.with(Code::ClientBug)));
    }
    Ok((rest, Command::UidBatches(UidBatches { size, range })))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn batches(size: u32, range: Option<(u32, u32)>) -> UidBatches {
        UidBatches { size, range }
    }

    #[test]
    fn batches_of_a_mailbox() {
        let uids = [2, 3, 5, 8, 13, 21, 34];
        let all = batches(3, None).of(&uids);
        assert_eq!(all, [(34, 9), (8, 3), (2, 1)]);
        assert_eq!(batches(3, Some((2, 2))).of(&uids), [(8, 3)]);
        assert_eq!(batches(3, Some((2, 9))).of(&uids), all[1..]);
        assert_eq!(batches(3, Some((4, 9))).of(&uids), []);
        assert_eq!(batches(7, None).of(&uids), [(34, 1)]);
        assert_eq!(batches(u32::MAX, None).of(&uids), [(34, 1)]);
        assert_eq!(batches(1, Some((u32::MAX, u32::MAX))).of(&uids), []);
        assert_eq!(batches(500, None).of(&[]), []);
    }

    #[test]
    fn limits() {
        let code = |of: UidBatches| of.refusal().and_then(|status| status.code);
        assert_eq!(code(batches(499, None)), Some(Code::TooFew));
        assert_eq!(code(batches(500, None)), None);
        assert_eq!(code(batches(500, Some((1, 200)))), None);
        assert_eq!(code(batches(500, Some((1, 201)))), Some(Code::TooMany));
        let most = batches(u32::MAX, Some((1, u32::MAX)));
        assert_eq!(code(most), Some(Code::TooMany));
    }

    proptest! {
        #[test]
        fn every_message_is_in_one_batch(
            uids in prop::collection::btree_set(1u32.., 1..200),
            size in 1u32..50,
        ) {
            let uids: Vec<u32> = uids.into_iter().collect();
            let all = batches(size, None).of(&uids);
            prop_assert_eq!(all.first().map(|batch| batch.0), uids.last().copied());
            prop_assert_eq!(all.last().map(|batch| batch.1), Some(1));
            for pair in all.windows(2) {
                prop_assert_eq!(pair[0].1 - 1, pair[1].0);
            }
            let (last, others) = all.split_last().unwrap();
            let held = |&(high, low): &(u32, u32)| {
                uids.iter().filter(|&&uid| low <= uid && uid <= high).count()
            };
            prop_assert!(others.iter().all(|batch| held(batch) == size as usize));
            prop_assert!((1..=size as usize).contains(&held(last)));
        }
    }
}
