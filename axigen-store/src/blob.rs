//! Blobs: large pieces of bytes, kept once by content address.

use bytes::Bytes;

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
    /// `salvage` rebuild what refers to it if the metadata is lost.
    pub label: Bytes,
}
