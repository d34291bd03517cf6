//! Blobs: large pieces of bytes, kept once by content address.
//!
//! [`Store::put`](crate::Store::put) hashes and compresses a blob; what comes
//! out is *sealed* ([`seal`]) and goes to a [`BlobStore`], or, when it is
//! short, into the blob's row. The row ([`BlobRow`]) in the backend says where
//! a blob is and counts the references to it; it is written by the first batch
//! that retains the blob.

pub mod dictionary;
mod row;
pub mod seal;

use std::fmt::Debug;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::backend::Written;
use crate::error::Result;

pub use row::{BlobRow, Place};

/// A blob in the store: its address and its length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobRef {
    /// BLAKE3-256 of the content.
    pub hash: [u8; 32],
    /// Length of the content in bytes.
    pub len: u64,
}

/// What goes into [`Store::put`](crate::Store::put).
#[derive(Debug, Clone)]
pub struct BlobIn {
    /// The content.
    pub bytes: Bytes,
    /// An opaque label that stands beside the content on disk and lets
    /// `salvage` rebuild what refers to it if the metadata is lost. Of content
    /// that is in the store already, the first label stays. At most 64 KB.
    pub label: Bytes,
}

/// A blob as it goes to a [`BlobStore`].
#[derive(Debug, Clone)]
pub struct SealedBlob {
    /// BLAKE3-256 of the content.
    pub hash: [u8; 32],
    /// Length of the content in bytes.
    pub raw_len: u64,
    /// See [`BlobIn::label`].
    pub label: Bytes,
    /// The content, [sealed](seal).
    pub bytes: Bytes,
}

/// Where a [`BlobStore`] put a blob. What the numbers mean is its own matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobLoc {
    /// BLAKE3-256 of the content.
    pub hash: [u8; 32],
    /// Which file, or any number that the blob store likes.
    pub file: u64,
    /// Where in the file.
    pub offset: u64,
    /// Length of the sealed bytes.
    pub len: u64,
}

/// Keeps sealed bytes.
///
/// Nothing is deleted yet: a blob without references stays, so that its last
/// reference may be undone and a new put of the same content can use it. Giving
/// space back is an upkeep that this trait will get a method for.
#[async_trait]
pub trait BlobStore: Debug + Send + Sync + 'static {
    /// Keeps a group of blobs, and says where, in order. All are durable on
    /// `Ok`. After an error none may be counted on; one that
    /// [is fatal](crate::Error::is_fatal) poisons the store.
    ///
    /// The store calls this from one thread of its own, one group at a time,
    /// so it may block.
    async fn put(&self, items: &[SealedBlob]) -> Result<Vec<BlobLoc>>;

    /// Reads a part of the sealed bytes; cut to their length. Whoever reads
    /// them checks their checksums.
    async fn get(&self, loc: &BlobLoc, range: Range<u64>) -> Result<Bytes>;

    /// Bytes held on disk, those that nothing refers to included.
    async fn held(&self) -> Result<u64>;

    /// What was written so far.
    fn stat(&self) -> Written {
        Written::default()
    }

    /// Closes.
    async fn close(&self) -> Result<()>;
}
