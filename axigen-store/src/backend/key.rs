//! Flat keys: how accounts, sequence numbers and the blob index share one
//! ordered map.
//!
//! | flat key | value |
//! |---|---|
//! | account (8 bytes, big-endian) | the account's sequence number (8 bytes, big-endian) |
//! | account, key | the caller's |
//! | `ff` eight times, `b`, BLAKE3 | a [`BlobRow`](crate::blob::BlobRow) |
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
    let mut flat = BytesMut::with_capacity(PREFIX + 1 + hash.len());
    flat.put_u64(AccountId::STORE.0);
    flat.put_u8(b'b');
    flat.put_slice(hash);
    flat.freeze()
}
