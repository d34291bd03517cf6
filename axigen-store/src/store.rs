//! The store, above any backend. (Signatures; the body is written next.)

use crate::{batch::*, blob::*, error::*, page::*};
use bytes::Bytes;
use std::path::Path;

/// A durable store. Cheap to clone; all clones are one store.
#[derive(Debug, Clone)]
pub struct Store {}

/// Says that an account changed. Coalesced; may be lost; the change log is the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Whose
    pub account: AccountId,
    /// Latest sequence number seen
    pub seq: u64,
}

/// Receives changes of one account.
#[derive(Debug)]
pub struct Watcher {}

#[allow(unused_variables, clippy::todo, missing_docs)]
impl Store {
    /// In memory, for tests.
    pub async fn memory() -> Result<Store> {
        todo!()
    }
    /// The embedded backend in a directory, created if it is not there.
    pub async fn open(dir: &Path) -> Result<Store> {
        todo!()
    }
    /// Reads keys of one account, in order.
    pub async fn get(&self, account: AccountId, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        todo!()
    }
    /// Reads a page.
    pub async fn range(&self, range: Range) -> Result<Page> {
        todo!()
    }
    /// All rows of a range, page by page.
    pub async fn scan(&self, account: AccountId, from: Key, to: Key) -> Result<Vec<(Key, Bytes)>> {
        todo!()
    }
    /// Makes blobs durable (group commit, single instance, compressed). Not yet referenced: retain it in a batch.
    pub async fn put(&self, blobs: Vec<BlobIn>) -> Result<Vec<BlobRef>> {
        todo!()
    }
    /// Bytes of a blob, checksums verified.
    pub async fn read(&self, blob: &BlobRef, range: std::ops::Range<u64>) -> Result<Bytes> {
        todo!()
    }
    /// Does a batch; Ok only once it is durable.
    pub async fn commit(&self, batch: Batch) -> Result<Commit> {
        todo!()
    }
    /// The account's last sequence number.
    pub async fn seq(&self, account: AccountId) -> Result<u64> {
        todo!()
    }
    /// Watches an account.
    pub fn watch(&self, account: AccountId) -> Watcher {
        todo!()
    }
    /// Waits until everything acknowledged is on disk and closes.
    pub async fn close(&self) -> Result<()> {
        todo!()
    }
}

impl Watcher {
    /// Waits for the next change (cancel safe).
    pub async fn changed(&mut self) -> Change {
        todo!()
    }
}
