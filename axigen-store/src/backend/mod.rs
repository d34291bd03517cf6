//! What keeps the rows: the trait, and the backends of this crate.
//!
//! A backend is one ordered map of bytes with atomic, durable writes. It knows
//! nothing of accounts, sequence numbers, counters or blobs: the
//! [`Store`](crate::Store) above it makes flat keys (see [`key`]), and
//! [`resolve`] turns a group of batches into plain sets and deletes. So a
//! backend is a few hundred lines, and fewer still on top of
//! [`Blocking`](crate::blocking::Blocking).

mod arena;
pub mod embedded;
pub mod key;
pub mod memory;
pub mod redb;
pub mod resolve;

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;

use crate::batch::{Batch, Commit, Key};
use crate::blob::{BlobRow, Place};
use crate::error::Result;
use crate::page::Page;
use crate::store::Change;

pub use embedded::Embedded;
pub use memory::Memory;
pub use redb::Redb;

/// An ordered map of bytes with atomic batches. Keys are compared bytewise.
///
/// Every backend must pass [`conformance`](crate::conformance).
#[async_trait]
pub trait Backend: Debug + Send + Sync + 'static {
    /// The largest key, value and batch.
    fn limits(&self) -> Limits;

    /// The values of these keys, in order, all as of one moment: of a batch
    /// either everything is seen or nothing.
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>>;

    /// The rows of a range, as of one moment, or of a snapshot's.
    async fn range(&self, range: &KeyRange, at: Option<&Snapshot>) -> Result<Page>;

    /// Does a group of batches, in order, each all or nothing, each seeing
    /// those before it. Gives one outcome for each. `Ok` only once the batch
    /// is durable; one physical sync for the group is enough.
    ///
    /// The store calls this from one thread of its own, one group at a time,
    /// so it may block. An outcome that [is fatal](crate::Error::is_fatal)
    /// poisons the store; any other error means that nothing of that batch
    /// was done.
    async fn commit(&self, group: &[Request]) -> Vec<Result<Commit>>;

    /// A view that stays as it is now.
    async fn snapshot(&self) -> Result<Snapshot>;

    /// Changes made by other nodes on the same data: coalesced, may be lost,
    /// never the truth. `None` for a backend of one process, whose changes
    /// the store announces itself.
    async fn hints(&self) -> Result<Option<BoxStream<'static, Change>>> {
        Ok(None)
    }

    /// Does a piece of upkeep.
    async fn maintain(&self, task: Maintain) -> Result<Report>;

    /// What was written so far.
    fn stat(&self) -> Written {
        Written::default()
    }

    /// Bytes of room where the rows are, if that can be known. With little
    /// left the store refuses what makes more of it before the backend has to.
    fn room(&self) -> Option<u64> {
        None
    }

    /// Closes: everything acknowledged is on disk, every lock is given back.
    /// Calls after it give [`Error::Closed`](crate::Error::Closed).
    async fn close(&self) -> Result<()>;
}

/// What a backend can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest key in bytes, without the account.
    pub key: usize,
    /// Longest value in bytes.
    pub value: usize,
    /// All keys and values of one batch, in bytes.
    pub batch: usize,
    /// Whether several nodes may have the same data open.
    pub shared: bool,
}

/// A range of flat keys.
#[derive(Debug, Clone)]
pub struct KeyRange {
    /// First key, inclusive.
    pub from: Key,
    /// End, exclusive.
    pub to: Key,
    /// Most rows in one page; 0 gives an empty page.
    pub limit: usize,
    /// From the end to the start.
    pub reverse: bool,
    /// Without values.
    pub keys_only: bool,
}

/// One batch on its way to a backend.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is to be done.
    pub batch: Batch,
    /// Rows of the blobs that the batch retains and that were put but may
    /// have no row yet: the first [`Op::Retain`](crate::Op::Retain) writes the
    /// row. (A blob is durable before a row refers to it, never the reverse.)
    pub fresh: Vec<([u8; 32], BlobRow)>,
    /// What the store does to its own rows besides.
    pub upkeep: Vec<Upkeep>,
}

/// What the store does to its own rows.
#[derive(Debug, Clone)]
pub enum Upkeep {
    /// The bytes of a blob are also elsewhere. If its row still names the
    /// first place, it names the second now; else nothing happens.
    Move {
        /// The blob.
        hash: [u8; 32],
        /// Where the row says that it is.
        from: Place,
        /// Where it will say.
        to: Place,
    },
    /// A blob that nothing refers to is forgotten, and the references to its
    /// parts go. The batch fails with [`Error::Conflict`](crate::Error::Conflict) unless its row is
    /// exactly this one.
    Forget {
        /// The blob.
        hash: [u8; 32],
        /// Its row.
        row: BlobRow,
    },
    /// A row is set right: one of a blob, a count, a note. The batch fails
    /// with [`Error::Conflict`](crate::Error::Conflict) unless it is exactly this now.
    Mend {
        /// The flat key, one of the store's own.
        key: Key,
        /// What it must be.
        from: Option<Bytes>,
        /// What it will be.
        to: Option<Bytes>,
    },
}

impl From<Batch> for Request {
    fn from(batch: Batch) -> Self {
        Request {
            batch,
            fresh: Vec::new(),
            upkeep: Vec::new(),
        }
    }
}

/// A view of a backend that does not change. What is inside is the backend's
/// own matter. Dropping it lets the backend free what only it still showed.
#[derive(Clone)]
pub struct Snapshot(Arc<dyn Any + Send + Sync>);

impl Snapshot {
    /// Wraps a backend's own kind of snapshot.
    pub fn new<T: Send + Sync + 'static>(inner: T) -> Self {
        Snapshot(Arc::new(inner))
    }

    /// The backend's own kind, or `None` if another backend made it.
    pub fn downcast<T: 'static>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Snapshot")
    }
}

/// A piece of upkeep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Maintain {
    /// Makes deleted rows give back their space.
    Compact,
}

/// What a piece of upkeep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Bytes on disk before.
    pub before: u64,
    /// Bytes on disk after.
    pub after: u64,
}

/// What was written to disk since opening.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Syncs.
    pub syncs: u64,
    /// Bytes handed over to be written. Not counted is what an engine writes
    /// again by itself, as in a compaction.
    pub bytes: u64,
}
