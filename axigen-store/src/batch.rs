//! What one atomic change consists of.
//!
//! A [`Batch`] is all or nothing. It has one [`Part`] for each account it
//! changes, so that a message for many recipients is one batch. Each part's
//! account gets the next number of its own gap-free sequence, given at commit;
//! keys and values may hold that number, or the new value of a counter, by way
//! of a [`Template`]. So appends by many writers never conflict.

use bytes::Bytes;

use crate::blob::BlobRef;

/// Names a key range that belongs together and has one change sequence.
/// Zero is the system's own range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AccountId(pub u64);

impl AccountId {
    /// The system's own range: directory, settings, queue.
    pub const SYSTEM: AccountId = AccountId(0);

    /// The store's own range (blob index). Not open to batches and reads of
    /// the caller.
    pub(crate) const STORE: AccountId = AccountId(u64::MAX);
}

/// A key inside an account's range. The store puts the account before it, so
/// equal keys of two accounts never meet. Never empty: the empty key is where
/// the account's sequence number is kept.
pub type Key = Bytes;

/// One atomic change.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The changes, by account; one part for each account.
    pub parts: Vec<Part>,
}

/// The part of a batch that concerns one account.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// Whose keys these are.
    pub account: AccountId,
    /// What must hold, or nothing of the batch is done.
    pub asserts: Vec<(Key, Expect)>,
    /// What is done, in order.
    pub ops: Vec<Op>,
    /// Whether the account's sequence number advances (it does for every
    /// change that others must see).
    pub advance: bool,
}

/// What an assert asks of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// The key does not exist.
    Absent,
    /// The key exists.
    Present,
    /// The key exists with this value.
    Equals(Bytes),
}

/// One step of a batch.
#[derive(Debug, Clone)]
pub enum Op {
    /// Sets a key.
    Set {
        /// The key, perhaps with numbers given at commit.
        key: Template,
        /// The value, perhaps with numbers given at commit.
        val: Template,
    },
    /// Removes a key; nothing happens if it is not there.
    Delete(Key),
    /// Removes all keys from the first (inclusive) to the second (exclusive).
    DeleteRange(Key, Key),
    /// Adds to a counter (8 bytes, big-endian, signed; absent means 0).
    /// Outside `min..=max` the batch fails with
    /// [`Error::Bound`](crate::Error::Bound).
    Add {
        /// The counter's key.
        key: Key,
        /// What is added.
        delta: i64,
        /// The smallest value allowed afterwards.
        min: Option<i64>,
        /// The largest value allowed afterwards.
        max: Option<i64>,
        /// Where the new value goes, for templates of later ops of the same
        /// part: slot 0 to 15.
        slot: Option<u8>,
    },
    /// Adds a reference to a blob, which must be in the store or come from
    /// [`Store::put`](crate::Store::put).
    Retain(BlobRef),
    /// Removes a reference to a blob. Its bytes are deleted some time after
    /// the last reference went.
    Release(BlobRef),
}

/// Bytes with holes that are filled at commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The bytes; a hole holds zeros.
    pub bytes: Bytes,
    /// The holes.
    pub patches: Vec<Patch>,
}

/// One hole of a [`Template`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patch {
    /// Offset of the hole.
    pub at: usize,
    /// Width of the hole in bytes, 4 or 8; numbers are big-endian. A number
    /// that does not fit fails the batch with
    /// [`Error::Bound`](crate::Error::Bound).
    pub width: u8,
    /// What goes in.
    pub slot: Slot,
}

/// A number given at commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The account's new sequence number.
    Seq,
    /// The value an earlier [`Op::Add`] of the same part put into this slot.
    Counter(u8),
}

impl<T: Into<Bytes>> From<T> for Template {
    /// Bytes without holes.
    fn from(bytes: T) -> Self {
        Template {
            bytes: bytes.into(),
            patches: Vec::new(),
        }
    }
}

/// What a durable batch was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// For each part of the batch, in order.
    pub parts: Vec<CommitPart>,
}

/// What one part of a durable batch was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitPart {
    /// The account.
    pub account: AccountId,
    /// The account's sequence number of this change; without
    /// [`Part::advance`], the last one.
    pub seq: u64,
    /// The slots' values.
    pub slots: [i64; 16],
}
