//! What salvage reads: labels, and notes of what became of blobs later.

use super::Store;
use super::line::wait;
use crate::blob::{Listing, Note};
use crate::error::{Error, Result};

impl Store {
    /// Keeps a note beside the blobs. It is there once other blobs were put,
    /// or the store was closed; a loss of power before that may lose it.
    ///
    /// # Errors
    /// Those of the blob store.
    pub async fn note(&self, note: Note) -> Result<()> {
        self.inner.shared.health.writable()?;
        let blobs = self.inner.shared.blobs.clone();
        // It waits while a group of blobs is being synced.
        tokio::task::spawn_blocking(move || wait(blobs.note(&note)))
            .await
            .map_err(|error| Error::io("writing a note", std::io::Error::other(error)))?
    }

    /// The blobs and notes that are kept, whatever the rows say, from a place
    /// on: see [`BlobStore::list`](crate::blob::BlobStore::list).
    ///
    /// # Errors
    /// Those of the blob store.
    pub async fn list_blobs(&self, from: (u64, u64), limit: usize) -> Result<Listing> {
        self.inner.shared.health.readable()?;
        let blobs = self.inner.shared.blobs.clone();
        tokio::task::spawn_blocking(move || wait(blobs.list(from, limit)))
            .await
            .map_err(|error| Error::io("listing blobs", std::io::Error::other(error)))?
    }
}
