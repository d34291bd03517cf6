//! An item's content: its blob and its structure.
//!
//! The record is a version byte, the content's length (8 bytes) and hash (32),
//! then, with version 1, the structure record as [`Structure::encode`] made it,
//! or, with version 2, length and hash of a blob that holds it: a large
//! structure is then not written again for each recipient and each copy. With
//! versions 3 and 4 the length (2 bytes) and the bytes of the message
//! [in brief](super::brief) stand before the structure.

use std::{ops::Range, sync::Arc};

use axigen_store::{
    AccountId,
    blob::{BlobRef, Stretch},
    store::Reading,
};
use bytes::Bytes;

use super::{
    Mailboxes,
    draft::Draft,
    error::{Error, Result},
    keys,
    structure::Structure,
    types::ItemId,
};

const INLINE: u8 = 1;
const APART: u8 = 2;
const BRIEF_INLINE: u8 = 3;
const BRIEF_APART: u8 = 4;
/// Structures beyond this many bytes are kept apart.
pub(super) const MOST_INLINE: usize = 8 * 1024;

/// What an item's record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) content: BlobRef,
    pub(super) structure: Kept,
    /// The message in brief; empty if that is not kept.
    pub(super) brief: Bytes,
}

/// Where a message's bytes are. They never change, and are there for a while
/// after the message went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content(BlobRef);

/// Where an item's structure is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept {
    /// In the record.
    Inline(Bytes),
    /// In a blob.
    Apart(BlobRef),
}

impl Item {
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(match (&self.structure, self.brief.is_empty()) {
            (Kept::Inline(_), true) => INLINE,
            (Kept::Apart(_), true) => APART,
            (Kept::Inline(_), false) => BRIEF_INLINE,
            (Kept::Apart(_), false) => BRIEF_APART,
        });
        put_blob(&self.content, &mut bytes);
        if !self.brief.is_empty() {
            bytes.extend_from_slice(&(self.brief.len() as u16).to_be_bytes());
            bytes.extend_from_slice(&self.brief);
        }
        match &self.structure {
            Kept::Inline(structure) => bytes.extend_from_slice(structure),
            Kept::Apart(blob) => put_blob(blob, &mut bytes),
        }
        bytes.into()
    }

    pub(super) fn decode(record: &Bytes) -> Result<Item> {
        decode(record).ok_or_else(|| Error::corrupt("an item's record"))
    }

    /// Refers to the item's blobs once more.
    pub(super) fn retain(&self, draft: &mut Draft) {
        draft.retain(&self.content);
        if let Kept::Apart(blob) = &self.structure {
            draft.retain(blob);
        }
    }

    /// Gives the item's blobs back.
    pub(super) fn release(&self, draft: &mut Draft) {
        draft.release(&self.content);
        if let Kept::Apart(blob) = &self.structure {
            draft.release(blob);
        }
    }
}

fn decode(record: &Bytes) -> Option<Item> {
    let (&version, rest) = record.split_first()?;
    let (content, rest) = take_blob(rest)?;
    let (brief, rest) = match version {
        INLINE | APART => (Bytes::new(), rest),
        BRIEF_INLINE | BRIEF_APART => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (brief, rest) = rest.split_at_checked(length)?;
            (record.slice_ref(brief), rest)
        }
        _ => return None,
    };
    let structure = match version {
        INLINE | BRIEF_INLINE => Kept::Inline(record.slice_ref(rest)),
        _ => match take_blob(rest)? {
            (blob, []) => Kept::Apart(blob),
            _ => return None,
        },
    };
    Some(Item {
        content,
        structure,
        brief,
    })
}

fn put_blob(blob: &BlobRef, out: &mut Vec<u8>) {
    out.extend_from_slice(&blob.len.to_be_bytes());
    out.extend_from_slice(&blob.hash);
}

fn take_blob(bytes: &[u8]) -> Option<(BlobRef, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<8>()?;
    let (hash, rest) = rest.split_first_chunk::<32>()?;
    let blob = BlobRef {
        hash: *hash,
        len: u64::from_be_bytes(*len),
    };
    Some((blob, rest))
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

    /// The structure record of an item and where its bytes are, in one read.
    ///
    /// # Errors
    /// As [`structure`](Mailboxes::structure).
    pub(super) async fn opened(
        &self,
        account: AccountId,
        item: ItemId,
    ) -> Result<(Structure, Content)> {
        let records = self.store.get(account, &[keys::item(item)]).await?;
        let record = records.into_iter().flatten().next();
        let record = record.ok_or(Error::NoSuchMessage)?;
        let structure = self.decode_structure(&record).await?;
        let structure = structure.ok_or(Error::NoSuchMessage)?;
        Ok((structure, Content(Item::decode(&record)?.content)))
    }

    /// Where the contents of many items are, in the order asked for; `None` for
    /// an item that is gone.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn content_of(
        &self,
        account: AccountId,
        items: &[ItemId],
    ) -> Result<Vec<Option<Content>>> {
        let keys: Vec<_> = items.iter().map(|&item| keys::item(item)).collect();
        let records = self.store.get(account, &keys).await?;
        let content = |record| Ok(Content(Item::decode(&record)?.content));
        let contents = records.into_iter().map(|record| record.map(content));
        contents.map(Option::transpose).collect()
    }

    /// Bytes of a content; the range is cut to its size.
    ///
    /// # Errors
    /// As [`body`](Mailboxes::body).
    pub async fn part(&self, Content(blob): &Content, range: Range<u64>) -> Result<Bytes> {
        let end = range.end.min(blob.len);
        let start = range.start.min(end);
        if start == end {
            return Ok(Bytes::new());
        }
        Ok(self.store.read(blob, start..end).await?)
    }

    /// Reads a content piece by piece, from its beginning on, mostly: nothing is read
    /// twice.
    pub fn reading(&self, Content(blob): &Content) -> Reading {
        self.store.reading(blob)
    }

    /// As [`part`](Mailboxes::part), but what is kept without its base64 comes without it.
    ///
    /// # Errors
    /// As [`body`](Mailboxes::body).
    pub(super) async fn part_kept(
        &self,
        Content(blob): &Content,
        range: Range<u64>,
    ) -> Result<Vec<Stretch>> {
        Ok(self.store.read_kept(blob, range).await?)
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
        let got = self.content_of(account, &[item]).await?.pop();
        let content = got.flatten().ok_or(Error::NoSuchMessage)?;
        self.part(&content, range).await
    }

    pub(super) async fn decode_structure(&self, record: &Bytes) -> Result<Option<Structure>> {
        let item = Item::decode(record)?;
        let bytes = match item.structure {
            Kept::Inline(bytes) => Some(bytes),
            Kept::Apart(blob) => self.whole(&blob).await?,
        };
        if let Some(structure) = bytes.and_then(|bytes| Structure::decode(&bytes)) {
            return Ok(Some(structure));
        }
        // Written by another version of the structure record: the message
        // itself is the truth.
        match self.whole(&item.content).await? {
            Some(raw) => Ok(Some(parse(raw).await)),
            None => Ok(None),
        }
    }

    /// A whole blob; `None` if it was released a moment ago.
    async fn whole(&self, blob: &BlobRef) -> Result<Option<Bytes>> {
        match self.store.read(blob, 0..blob.len).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(axigen_store::Error::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_survive_and_others_are_corrupt() {
        let blob = |byte| BlobRef {
            hash: [byte; 32],
            len: u64::from(byte) << 20,
        };
        for structure in [
            Kept::Inline(Bytes::new()),
            Kept::Inline(Bytes::from_static(b"structure")),
            Kept::Apart(blob(9)),
        ] {
            for brief in [&b""[..], b"in brief"] {
                let item = Item {
                    content: blob(7),
                    structure: structure.clone(),
                    brief: Bytes::from_static(brief),
                };
                assert_eq!(Item::decode(&item.encode()).unwrap(), item);
            }
        }
        let apart = Item {
            content: blob(7),
            structure: Kept::Apart(blob(9)),
            brief: Bytes::from_static(b"in brief"),
        };
        let bytes = apart.encode();
        for cut in 0..bytes.len() {
            assert!(Item::decode(&bytes.slice(..cut)).is_err());
        }
        let longer = Bytes::from([&bytes[..], b"x"].concat());
        assert!(Item::decode(&longer).is_err());
        assert!(Item::decode(&Bytes::from(vec![5; 100])).is_err());
    }
}
