//! Flat keys: how accounts, sequence numbers and the blob index share one
//! ordered map.
//!
//! | flat key | value |
//! |---|---|
//! | account (8 bytes, big-endian) | the account's sequence number (8 bytes, big-endian) |
//! | account, key | the caller's |
//! | `ff` eight times, `b`, BLAKE3 | a [`BlobRow`](crate::blob::BlobRow) |
//! | `ff` eight times, `f`, file (8) | bytes of the file that rows of blobs name (8, signed) |
//! | `ff` eight times, `g`, time (8), BLAKE3 | nothing: since then nothing refers to the blob (seconds since 1970) |
//! | `ff` eight times, `s`, name | something the store notes for itself |
//!
//! An account is one contiguous range, its sequence number included, so it can
//! be moved as one.

use bytes::{BufMut, Bytes, BytesMut};

use crate::batch::{AccountId, Key};

/// Length of the account before each key.
pub const PREFIX: usize = 8;

/// The flat key of an account's key.
pub fn flat(account: AccountId, key: &[u8]) -> Key {
    let mut flat = BytesMut::with_capacity(PREFIX + key.len());
    flat.put_u64(account.0);
    flat.put_slice(key);
    flat.freeze()
}

/// The flat key of a bound of a range. The empty key, where the sequence
/// number is, lies outside every range of the caller.
pub fn bound(account: AccountId, key: &[u8]) -> Key {
    flat(account, if key.is_empty() { &[0] } else { key })
}

/// Where an account's sequence number is.
pub fn seq(account: AccountId) -> Key {
    Bytes::copy_from_slice(&account.0.to_be_bytes())
}

/// Where a blob's row is.
pub fn blob(hash: &[u8; 32]) -> Key {
    own(b'b', hash)
}

/// Where the bytes of a file that rows name are counted.
pub fn file(number: u64) -> Key {
    own(b'f', &number.to_be_bytes())
}

/// Where it is written that nothing refers to a blob any more.
pub fn grave(since: u64, hash: &[u8; 32]) -> Key {
    let mut rest = [0; 40];
    rest[..8].copy_from_slice(&since.to_be_bytes());
    rest[8..].copy_from_slice(hash);
    own(b'g', &rest)
}

/// Where the store notes something for itself.
pub fn note(name: &str) -> Key {
    own(b's', name.as_bytes())
}

/// First and end (exclusive) of the store's own keys of one kind.
pub(crate) fn all(kind: u8) -> (Key, Key) {
    (own(kind, &[]), own(kind + 1, &[]))
}

/// What follows the kind in one of the store's own keys.
pub(crate) fn rest(key: &Key) -> &[u8] {
    key.get(PREFIX + 1..).unwrap_or_default()
}

fn own(kind: u8, rest: &[u8]) -> Key {
    let mut flat = BytesMut::with_capacity(PREFIX + 1 + rest.len());
    flat.put_u64(AccountId::STORE.0);
    flat.put_u8(kind);
    flat.put_slice(rest);
    flat.freeze()
}
