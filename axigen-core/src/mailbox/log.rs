//! The change log's records: what one change changed.
//!
//! Every change of an account that others must see writes at least one record
//! under its sequence number, so what a client missed is read from the tail of
//! the log and never by comparing mailboxes.

use axigen_store::{AccountId, Patch, Slot, Template};

use super::{
    error::{Error, Result},
    types::MailboxId,
};

const ADDED: u8 = 1;
const FLAGS: u8 = 2;
const VANISHED: u8 = 3;
const FOLDER: u8 = 4;
const SEEN: u8 = 5;
const ANNOTATED: u8 = 6;
/// Most UIDs of one record: far more than one batch changes, and little
/// enough that damaged bytes cannot fill the memory.
const MOST_UIDS: usize = 1 << 20;

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// Messages came; their UIDs follow each other.
    Added {
        mailbox: MailboxId,
        last: u32,
        count: u32,
    },
    /// Flags of these UIDs (ascending) changed.
    Flags { mailbox: MailboxId, uids: Vec<u32> },
    /// These UIDs (ascending) are gone.
    Vanished { mailbox: MailboxId, uids: Vec<u32> },
    /// The mailbox was made, renamed or deleted, or other accounts may do
    /// something else with it; 0 if only a subscription changed, or who shares
    /// mailboxes with the account.
    Folder { mailbox: MailboxId },
    /// A note of this name changed; mailbox 0 is the account itself, reader 0
    /// everyone.
    Annotated {
        mailbox: MailboxId,
        reader: AccountId,
        name: String,
    },
    /// What another account has seen of these UIDs (ascending) changed.
    Seen {
        mailbox: MailboxId,
        reader: AccountId,
        uids: Vec<u32>,
    },
}

impl Record {
    /// A record of messages whose last UID is given at commit.
    pub(super) fn added(mailbox: MailboxId, last: Slot, count: u32) -> Template {
        let mut bytes = head(ADDED, mailbox);
        let at = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&count.to_be_bytes());
        Template {
            bytes: bytes.into(),
            patches: vec![Patch {
                at,
                width: 4,
                slot: last,
            }],
        }
    }

    pub(super) fn flags(mailbox: MailboxId, uids: &[u32]) -> Template {
        with_uids(FLAGS, mailbox, uids)
    }

    pub(super) fn vanished(mailbox: MailboxId, uids: &[u32]) -> Template {
        with_uids(VANISHED, mailbox, uids)
    }

    pub(super) fn folder(mailbox: MailboxId) -> Template {
        head(FOLDER, mailbox).into()
    }

    pub(super) fn seen(mailbox: MailboxId, reader: AccountId, uids: &[u32]) -> Template {
        let mut bytes = head(SEEN, mailbox);
        bytes.extend_from_slice(&reader.0.to_be_bytes());
        encode_uids(uids, &mut bytes);
        bytes.into()
    }

    pub(super) fn annotated(mailbox: MailboxId, reader: AccountId, name: &str) -> Template {
        let mut bytes = head(ANNOTATED, mailbox);
        bytes.extend_from_slice(&reader.0.to_be_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Record> {
        decode(bytes).ok_or_else(|| Error::corrupt("a record of the change log"))
    }
}

fn decode(bytes: &[u8]) -> Option<Record> {
    let (&kind, rest) = bytes.split_first()?;
    let (mailbox, rest) = rest.split_first_chunk::<4>()?;
    let mailbox = MailboxId(u32::from_be_bytes(*mailbox));
    Some(match kind {
        ADDED => {
            let (last, rest) = rest.split_first_chunk::<4>()?;
            let (count, rest) = rest.split_first_chunk::<4>()?;
            if !rest.is_empty() {
                return None;
            }
            let (last, count) = (u32::from_be_bytes(*last), u32::from_be_bytes(*count));
            if count > last || count as usize > MOST_UIDS {
                return None;
            }
            Record::Added {
                mailbox,
                last,
                count,
            }
        }
        FLAGS => Record::Flags {
            mailbox,
            uids: decode_uids(rest)?,
        },
        VANISHED => Record::Vanished {
            mailbox,
            uids: decode_uids(rest)?,
        },
        FOLDER => Record::Folder { mailbox },
        ANNOTATED => {
            let (reader, rest) = rest.split_first_chunk::<8>()?;
            Record::Annotated {
                mailbox,
                reader: AccountId(u64::from_be_bytes(*reader)),
                name: std::str::from_utf8(rest).ok()?.to_owned(),
            }
        }
        SEEN => {
            let (reader, rest) = rest.split_first_chunk::<8>()?;
            Record::Seen {
                mailbox,
                reader: AccountId(u64::from_be_bytes(*reader)),
                uids: decode_uids(rest)?,
            }
        }
        _ => return None,
    })
}

fn head(kind: u8, mailbox: MailboxId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    bytes.push(kind);
    bytes.extend_from_slice(&mailbox.0.to_be_bytes());
    bytes
}

fn with_uids(kind: u8, mailbox: MailboxId, uids: &[u32]) -> Template {
    let mut bytes = head(kind, mailbox);
    encode_uids(uids, &mut bytes);
    bytes.into()
}

/// Ascending UIDs as runs: for each the distance from the end of the one
/// before, and its length less one, seven bits a byte.
pub(super) fn encode_uids(uids: &[u32], out: &mut Vec<u8>) {
    let mut end = 0; // one past the last run
    let mut rest = uids;
    while let Some(&first) = rest.first() {
        let run = rest
            .iter()
            .zip(first..)
            .take_while(|(uid, expected)| *uid == expected)
            .count();
        put_varint(first - end, out);
        put_varint(run as u32 - 1, out);
        end = first + run as u32;
        rest = &rest[run..];
    }
}

pub(super) fn decode_uids(mut bytes: &[u8]) -> Option<Vec<u32>> {
    let mut uids = Vec::new();
    let mut end = 0u32;
    while !bytes.is_empty() {
        let first = end.checked_add(take_varint(&mut bytes)?)?;
        let last = first.checked_add(take_varint(&mut bytes)?)?;
        end = last.checked_add(1)?;
        if (last - first) as usize >= MOST_UIDS - uids.len().min(MOST_UIDS) {
            return None;
        }
        uids.extend(first..=last);
    }
    Some(uids)
}

fn put_varint(mut number: u32, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0u32;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u32::from(byte & 0x7f).checked_mul(1 << shift)?;
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

    #[test]
    fn a_run_is_short_however_long() {
        let mailbox = MailboxId(3);
        let uids: Vec<u32> = (70_000..80_000).collect();
        let record = Record::vanished(mailbox, &uids);
        assert_eq!(record.bytes.len(), 5 + 3 + 2);
        assert_eq!(
            Record::decode(&record.bytes).unwrap(),
            Record::Vanished { mailbox, uids }
        );
    }

    #[test]
    fn added_has_its_hole_where_the_last_uid_is_read() {
        let template = Record::added(MailboxId(9), Slot::Counter(1), 2);
        let mut bytes = template.bytes.to_vec();
        let at = template.patches[0].at;
        bytes[at..at + 4].copy_from_slice(&12u32.to_be_bytes());
        assert_eq!(
            Record::decode(&bytes).unwrap(),
            Record::Added {
                mailbox: MailboxId(9),
                last: 12,
                count: 2
            }
        );
    }

    proptest! {
        #[test]
        fn uids_survive(uids in prop::collection::btree_set(1u32..u32::MAX, 0..50)) {
            let uids: Vec<u32> = uids.into_iter().collect();
            let mut bytes = Vec::new();
            encode_uids(&uids, &mut bytes);
            prop_assert_eq!(decode_uids(&bytes), Some(uids));
        }

        #[test]
        fn no_bytes_panic_or_fill_the_memory(
            kind in ADDED..=ANNOTATED + 1,
            bytes in prop::collection::vec(any::<u8>(), 0..16),
        ) {
            let record = Record::decode(&[&[kind, 0, 0, 0, 1][..], &bytes].concat());
            if let Ok(
                Record::Flags { uids, .. }
                | Record::Vanished { uids, .. }
                | Record::Seen { uids, .. },
            ) = record
            {
                prop_assert!(uids.len() <= MOST_UIDS);
            }
        }
    }
}
