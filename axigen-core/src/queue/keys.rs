//! The keys of the queue in the system's range.
//!
//! The first byte says what a key is; this module owns 0x30 to 0x3f. Numbers
//! are big-endian, so keys sort as numbers do; times are milliseconds since 1970.
//!
//! | key | value |
//! |---|---|
//! | `30 which` | a counter |
//! | `31 message part` | an entry, see [`entry`](super::entry) |
//! | `32 due message part` | the lane of an entry that is to be looked at then |
//! | `33 lane 00 message part` | nothing: the entry waits for its lane to have room |
//! | `34 message part` | nothing: the entry is held |
//! | `35 id 00 message part` | nothing: the entry is of the message with this id |
//! | `36 name 00 message part` | nothing: the entry goes by this lane, or to this domain, see [`index`](super::index) |
//! | `3e account until message part` | what an account has held, see [`holds`](super::holds) |
//!
//! Of the counters, `30 05` is none: it says how far the rows of `36` are there.

use axigen_store::{Key, Patch, Slot, Template};
use bytes::Bytes;

use super::entry::EntryId;

const COUNTER: u8 = 0x30;
pub(super) const ENTRY: u8 = 0x31;
pub(super) const DUE: u8 = 0x32;
pub(super) const PARKED: u8 = 0x33;
pub(super) const HELD: u8 = 0x34;
const OF_MAIL: u8 = 0x35;
pub(super) const OF_NAME: u8 = 0x36;
/// What stands behind the counters.
const INDEXED: u8 = 5;

/// The slot of the message's number.
pub(super) const NUMBER: u8 = 0;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counter {
    /// The last message number given.
    Number = 0,
    /// Entries.
    Entries = 1,
    /// Those that are held.
    Held = 2,
    /// Recipients.
    Recipients = 3,
    /// Bytes of all entries' messages.
    Bytes = 4,
}

pub(super) fn counter(which: Counter) -> Key {
    Bytes::copy_from_slice(&[COUNTER, which as u8])
}

pub(super) fn entry(id: EntryId) -> Key {
    with_id(&[ENTRY], id)
}

pub(super) fn due(at: i64, id: EntryId) -> Key {
    let mut prefix = [0; 9];
    let (tag, time) = prefix.split_at_mut(1);
    tag.fill(DUE);
    time.copy_from_slice(&at.max(0).to_be_bytes());
    with_id(&prefix, id)
}

pub(super) fn parked(lane: &str, id: EntryId) -> Key {
    with_id(&named(PARKED, lane), id)
}

pub(super) fn held(id: EntryId) -> Key {
    with_id(&[HELD], id)
}

pub(super) fn of_mail(mail: &str, id: EntryId) -> Key {
    with_id(&named(OF_MAIL, mail), id)
}

pub(super) fn of_name(name: &str, id: EntryId) -> Key {
    with_id(&named(OF_NAME, name), id)
}

/// How far the rows of [`of_name`] are there.
pub(super) fn indexed() -> Key {
    Bytes::copy_from_slice(&[COUNTER, INDEXED])
}

/// The key, of an entry whose message number is given at commit.
pub(super) fn new(key: Key) -> Template {
    let at = key.len() - EntryId::LENGTH;
    Template {
        bytes: key,
        patches: vec![Patch {
            at,
            width: 8,
            slot: Slot::Counter(NUMBER),
        }],
    }
}

/// The entry a key is about.
pub(super) fn id_of(key: &[u8]) -> Option<EntryId> {
    EntryId::decode(key.last_chunk::<{ EntryId::LENGTH }>()?)
}

/// The time in a key of [`due`].
pub(super) fn time_of(key: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(*key.get(1..)?.first_chunk::<8>()?))
}

/// The name in a key of [`parked`], or of [`of_name`].
pub(super) fn name_of(key: &[u8]) -> Option<&str> {
    let name = key.get(1..key.len().checked_sub(EntryId::LENGTH + 1)?)?;
    std::str::from_utf8(name).ok()
}

/// First and end of all keys with a tag.
pub(super) fn all(tag: u8) -> (Key, Key) {
    (
        Bytes::copy_from_slice(&[tag]),
        Bytes::copy_from_slice(&[tag + 1]),
    )
}

/// First and end of the entries of a message.
pub(super) fn all_of_message(message: u64) -> (Key, Key) {
    let first = EntryId { message, part: 0 };
    let last = EntryId {
        message,
        part: u16::MAX,
    };
    (entry(first), after(&entry(last)))
}

/// First and end of what is parked in a lane.
pub(super) fn parked_in(lane: &str) -> (Key, Key) {
    range(named(PARKED, lane))
}

/// First and end of the entries that go by a lane, or to a domain.
pub(super) fn all_of_name(name: &str) -> (Key, Key) {
    range(named(OF_NAME, name))
}

/// The key, of another entry.
pub(super) fn at(key: &[u8], id: EntryId) -> Key {
    with_id(key, id)
}

/// First and end of the entries of a message, by our id of it.
pub(super) fn all_of_mail(mail: &str) -> (Key, Key) {
    range(named(OF_MAIL, mail))
}

/// The end (exclusive) of a range whose last key this is.
pub(super) fn after(key: &[u8]) -> Key {
    [key, &[0]].concat().into()
}

fn range(name: Vec<u8>) -> (Key, Key) {
    let mut end = name.clone();
    if let Some(last) = end.last_mut() {
        *last = 1;
    }
    (name.into(), end.into())
}

/// A name, ended by NUL, which no name holds.
fn named(tag: u8, name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 2);
    out.push(tag);
    out.extend(name.bytes().filter(|&byte| byte != 0));
    out.push(0);
    out
}

fn with_id(prefix: &[u8], id: EntryId) -> Key {
    [prefix, &id.encode()].concat().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_say_what_they_are_of() {
        let id = EntryId {
            message: 0x0102_0304_0506_0708,
            part: 9,
        };
        for key in [
            entry(id),
            due(77, id),
            parked("mx.test", id),
            held(id),
            of_mail("abc", id),
            of_name("mx.test", id),
        ] {
            assert_eq!(id_of(&key), Some(id));
        }
        assert_eq!(time_of(&due(77, id)), Some(77));
        assert_eq!(name_of(&parked("mx.test", id)), Some("mx.test"));
        assert_eq!(name_of(&of_name("mx.test", id)), Some("mx.test"));
        assert_eq!(name_of(b"\x33"), None);
        assert_eq!(id_of(b"\x31123"), None);
        let (from, to) = parked_in("mx.test");
        assert!(from <= parked("mx.test", id) && parked("mx.test", id) < to);
        assert!(parked("mx.test.example", id) >= to);
        assert!(due(77, id) < due(78, id));
        let (from, to) = all_of_name("mx.test");
        assert_eq!(at(&from, id), of_name("mx.test", id));
        assert!(from <= of_name("mx.test", id) && of_name("mx.test", id) < to);
        // Where the counters are, and none of them.
        assert!(!indexed().is_empty() && indexed() != counter(Counter::Bytes));
    }
}
