//! Keys of the directory in the system range, each kind behind its letter.

use axigen_store::{Key, Op, Patch, Slot, Template};
use bytes::Bytes;

pub(super) const NEXT_ID: &[u8] = b"dir/next";
pub(super) const DECOY_SECRET: &[u8] = b"dir/decoy";
pub(super) const SENDER_SECRET: &[u8] = b"dir/srs";

pub(super) fn domain(name: &str) -> Key {
    join(b"dir/d/", name.as_bytes())
}

/// How many accounts and aliases a domain has.
pub(super) fn members(domain: &str) -> Key {
    join(b"dir/n/", domain.as_bytes())
}

/// One account or alias more or less.
pub(super) fn count_member(domain: &str, delta: i64) -> Op {
    Op::Add {
        key: members(domain),
        delta,
        min: None,
        max: None,
        slot: None,
    }
}

/// An address leads to an account id or to an alias record.
pub(super) fn address(local: &str, domain: &str) -> Key {
    // The domain first, so that a domain's addresses are one range.
    join(b"dir/a/", format!("{domain}\0{local}").as_bytes())
}

pub(super) fn addresses(domain: &str) -> (Key, Key) {
    (
        join(b"dir/a/", format!("{domain}\0").as_bytes()),
        join(b"dir/a/", format!("{domain}\x01").as_bytes()),
    )
}

pub(super) fn alias(local: &str, domain: &str) -> Key {
    join(b"dir/x/", format!("{domain}\0{local}").as_bytes())
}

pub(super) fn aliases(domain: &str) -> (Key, Key) {
    (
        join(b"dir/x/", format!("{domain}\0").as_bytes()),
        join(b"dir/x/", format!("{domain}\x01").as_bytes()),
    )
}

pub(super) fn account(id: u64) -> Key {
    join(b"dir/i/", &id.to_be_bytes())
}

/// The id of an account as a value, given at commit.
pub(super) fn new_id(slot: u8) -> Template {
    Template {
        bytes: Bytes::from_static(&[0; 8]),
        patches: vec![Patch {
            at: 0,
            width: 8,
            slot: Slot::Counter(slot),
        }],
    }
}

/// The key of an account whose id is given at commit.
pub(super) fn new_account(slot: u8) -> Template {
    let bytes = account(0);
    let at = bytes.len() - 8;
    Template {
        bytes,
        patches: vec![Patch {
            at,
            width: 8,
            slot: Slot::Counter(slot),
        }],
    }
}

/// The account of a domain's public folders.
pub(super) fn public(domain: &str) -> Key {
    join(b"dir/p/", domain.as_bytes())
}

pub(super) fn class(name: &str) -> Key {
    join(b"dir/c/", name.as_bytes())
}

/// An account's id in a key or a value; 0, which is nobody's, if it is none.
pub(super) fn number(bytes: Option<&[u8; 8]>) -> u64 {
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// All keys of a kind.
pub(super) fn all(kind: u8) -> (Key, Key) {
    (
        Bytes::from(vec![b'd', b'i', b'r', b'/', kind, b'/']),
        Bytes::from(vec![b'd', b'i', b'r', b'/', kind, b'0']),
    )
}

fn join(prefix: &[u8], rest: &[u8]) -> Key {
    [prefix, rest].concat().into()
}
