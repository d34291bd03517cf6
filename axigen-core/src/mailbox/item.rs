//! An item's content: its blob and its structure.
//!
//! The record is a version byte, the blob's length (8 bytes) and hash (32),
//! then the structure record as [`Structure::encode`] made it.

use std::{ops::Range, sync::Arc};

use axigen_store::{AccountId, blob::BlobRef};
use bytes::Bytes;

use super::{
    Mailboxes,
    error::{Error, Result},
    keys,
    structure::Structure,
    types::ItemId,
};

const VERSION: u8 = 1;
const HEAD: usize = 41;

/// The record of an item.
pub(super) fn encode(blob: &BlobRef, structure: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(HEAD + structure.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&blob.len.to_be_bytes());
    bytes.extend_from_slice(&blob.hash);
    bytes.extend_from_slice(structure);
    bytes.into()
}

/// The blob of a record.
pub(super) fn blob(record: &[u8]) -> Result<BlobRef> {
    let read = || {
        let (&version, rest) = record.split_first()?;
        let (len, rest) = rest.split_first_chunk::<8>()?;
        let (hash, _) = rest.split_first_chunk::<32>()?;
        (version == VERSION).then(|| BlobRef {
            hash: *hash,
            len: u64::from_be_bytes(*len),
        })
    };
    read().ok_or_else(|| Error::corrupt("an item's record"))
}

impl Mailboxes {
    /// The structure record of an item, parsed at arrival.
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`] if it was expunged, [`Error::Store`].
    pub async fn structure(&self, account: AccountId, item: ItemId) -> Result<Arc<Structure>> {
        let got = self.structures(account, &[item]).await?;
        got.into_iter().flatten().next().ok_or(Error::NoSuchMessage)
    }

    /// Structure records of many items in one read, in the order asked for;
    /// `None` for an item that is gone.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn structures(
        &self,
        account: AccountId,
        items: &[ItemId],
    ) -> Result<Vec<Option<Arc<Structure>>>> {
        let keys: Vec<_> = items.iter().map(|&item| keys::item(item)).collect();
        let records = self.store.get(account, &keys).await?;
        let mut structures = Vec::with_capacity(items.len());
        for record in records {
            structures.push(match record {
                Some(record) => self.decode_structure(&record).await?.map(Arc::new),
                None => None,
            });
        }
        Ok(structures)
    }

    /// Bytes of a message; the range is cut to its size.
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`] if it was expunged, [`Error::Store`], also
    /// when the bytes on disk do not have the checksum they were written with.
    pub async fn body(&self, account: AccountId, item: ItemId, range: Range<u64>) -> Result<Bytes> {
        let mut got = self.store.get(account, &[keys::item(item)]).await?;
        let record = got.pop().flatten().ok_or(Error::NoSuchMessage)?;
        let blob = blob(&record)?;
        let end = range.end.min(blob.len);
        let start = range.start.min(end);
        if start == end {
            return Ok(Bytes::new());
        }
        Ok(self.store.read(&blob, start..end).await?)
    }

    async fn decode_structure(&self, record: &Bytes) -> Result<Option<Structure>> {
        let bytes = record.get(HEAD..).unwrap_or_default();
        if let Some(structure) = Structure::decode(bytes) {
            return Ok(Some(structure));
        }
        // Written by another version of the structure record: the message
        // itself is the truth.
        let blob = blob(record)?;
        let raw = match self.store.read(&blob, 0..blob.len).await {
            Ok(raw) => raw,
            Err(axigen_store::Error::NotFound) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(parse(raw).await))
    }
}

/// Parses a message, a large one beside the event loop.
pub(super) async fn parse(raw: Bytes) -> Structure {
    const LARGE: usize = 256 * 1024;
    if raw.len() < LARGE {
        return Structure::parse(&raw);
    }
    let copy = raw.clone();
    match tokio::task::spawn_blocking(move || Structure::parse(&copy)).await {
        Ok(structure) => structure,
        // The runtime is shutting down.
        Err(_) => Structure::parse(&raw),
    }
}
