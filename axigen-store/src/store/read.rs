//! Reading blobs.

use std::ops::Range;

use bytes::Bytes;

use super::Shared;
use super::line::wait;
use crate::backend::key;
use crate::blob::{BlobRef, BlobRow, Place, seal};
use crate::error::{Error, Result};

/// Content up to this length is read where the caller stands: a page that is
/// in the cache and 50 us of inflating cost less than a change of threads.
const SHORT: u64 = 128 << 10;
/// Read at first of a long blob: the table of up to 128 MB.
const HEAD: u64 = 4096;

impl Shared {
    /// The row of a blob that is in the store or pending.
    pub(super) async fn row(&self, hash: &[u8; 32]) -> Result<Option<BlobRow>> {
        // The pending table first: a row moves from there to the backend, so
        // in this order it cannot be missed.
        if let Some(row) = self.pending.get(hash) {
            return Ok(Some(row));
        }
        let rows = self.backend.get(&[key::blob(hash)]).await?;
        match rows.into_iter().next().flatten() {
            Some(row) => BlobRow::decode(&row).map(Some),
            None => Ok(None),
        }
    }

    pub(super) async fn read(
        self: &std::sync::Arc<Self>,
        blob: &BlobRef,
        range: Range<u64>,
    ) -> Result<Bytes> {
        let row = self.row(&blob.hash).await?.ok_or(Error::NotFound)?;
        let range = range.start.min(row.raw_len)..range.end.min(row.raw_len);
        if range.end.saturating_sub(range.start) <= SHORT {
            return self.settled(blob.hash, row, range).await;
        }
        let shared = self.clone();
        let hash = blob.hash;
        let long = tokio::task::spawn_blocking(move || wait(shared.settled(hash, row, range)));
        long.await
            .map_err(|error| Error::io("reading a blob", std::io::Error::other(error)))?
    }

    /// Reads; and should the blob have been moved since its row was read,
    /// reads where it is now.
    async fn settled(&self, hash: [u8; 32], mut row: BlobRow, range: Range<u64>) -> Result<Bytes> {
        loop {
            let failed = match self.part(hash, &row, range.clone()).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error,
            };
            match self.row(&hash).await? {
                Some(now) if now.place != row.place => row = now,
                Some(_) => return Err(failed),
                None => return Err(Error::NotFound),
            }
        }
    }

    /// Reads and checks the frames that a range needs.
    async fn part(&self, hash: [u8; 32], row: &BlobRow, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let source = Source {
            shared: self,
            hash,
            place: &row.place,
        };
        let sealed_len = source.len();
        let whole = range == (0..row.raw_len);
        // One read is enough when all is wanted or there is not much.
        let at_once = whole || sealed_len <= seal::FRAME;
        let mut head = source
            .get(0..if at_once { sealed_len } else { HEAD })
            .await?;
        let table_len = seal::table_len(&head, sealed_len)?;
        if table_len > head.len() as u64 {
            head = source.get(0..table_len).await?;
        }
        let table = seal::Table::read(&head, &hash, sealed_len)?;
        if table.kind() != seal::Kind::Content || table.content_len() != row.raw_len {
            return Err(Error::Corrupt("the length of a blob".into()));
        }
        let frames = table.frames(&range);
        let span = table.span(&frames);
        let content = if at_once {
            let stored = head.get(span.start as usize..span.end as usize);
            table.open(&frames, stored.unwrap_or_default())?
        } else {
            table.open(&frames, &source.get(span).await?)?
        };
        if whole && *blake3::hash(&content).as_bytes() != hash {
            return Err(Error::Corrupt("the hash of a blob".into()));
        }
        let first = frames.start as u64 * seal::FRAME;
        let cut = (range.start - first) as usize..(range.end - first) as usize;
        if cut.end > content.len() {
            return Err(Error::Corrupt("the length of a blob".into()));
        }
        Ok(content.slice(cut))
    }
}

/// The sealed bytes of one blob.
struct Source<'a> {
    shared: &'a Shared,
    hash: [u8; 32],
    place: &'a Place,
}

impl Source<'_> {
    fn len(&self) -> u64 {
        match self.place {
            Place::Inline { bytes, .. } => bytes.len() as u64,
            Place::Stored { len, .. } => *len,
        }
    }

    async fn get(&self, range: Range<u64>) -> Result<Bytes> {
        if let Place::Inline { bytes, .. } = self.place {
            let end = range.end.min(self.len());
            return Ok(bytes.slice(range.start.min(end) as usize..end as usize));
        }
        match self.place.loc(&self.hash) {
            Some(loc) => self.shared.blobs.get(&loc, range).await,
            None => Err(Error::NotFound),
        }
    }
}
