//! What blobs take.

use std::collections::HashMap;

use bytes::Bytes;

use super::{SCAN, Shared, Store};
use crate::backend::{KeyRange, Snapshot, key};
use crate::batch::Key;
use crate::blob::{BlobRow, Place};
use crate::error::{Error, Result};

/// What the blobs of a store come to, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Blobs that are referred to.
    pub blobs: u64,
    /// References to them.
    pub references: u64,
    /// What they would take if each reference were a copy.
    pub raw: u64,
    /// What they take with one copy of each, and of each part.
    pub deduplicated: u64,
    /// Their sealed bytes, those that ride in rows included.
    pub live: u64,
    /// Blobs without references that are still kept.
    pub unreferenced_blobs: u64,
    /// Sealed bytes of these.
    pub unreferenced: u64,
    /// All that the blob store holds.
    pub held: u64,
    /// Of this, what no row names: blobs that no batch retained, and those
    /// that are forgotten and whose space was not given back yet.
    pub dead: u64,
}

impl Store {
    /// Counts what blobs take, by reading all their rows.
    ///
    /// # Errors
    /// Those of the backend, and [`Error::Corrupt`] for a row that is none.
    pub async fn space(&self) -> Result<Space> {
        let shared = &self.inner.shared;
        shared.health.readable()?;
        let mut space = Space {
            held: shared.blobs.held().await?,
            ..Space::default()
        };
        let mut named: u64 = 0;
        let mut inner: HashMap<[u8; 32], u64> = HashMap::new();
        let snapshot = shared.backend.snapshot().await?;
        shared
            .each_blob(&snapshot, |_, row| {
                let len = match &row.place {
                    Place::Inline { bytes, .. } => bytes.len() as u64,
                    Place::Stored { len, .. } => *len,
                };
                named += row.place.held().map_or(0, |(_, bytes)| bytes);
                for part in &row.parts {
                    *inner.entry(*part).or_default() += 1;
                }
                if row.refs > 0 {
                    space.blobs += 1;
                    space.references += row.refs;
                    space.raw = space
                        .raw
                        .saturating_add(row.raw_len.saturating_mul(row.refs));
                    space.deduplicated += row.own_len;
                    space.live += len;
                } else {
                    space.unreferenced_blobs += 1;
                    space.unreferenced += len;
                }
                Ok(())
            })
            .await?;
        // References that blobs have to their parts are none of the caller's.
        let inner: Vec<_> = inner.into_iter().collect();
        for inner in inner.chunks(SCAN) {
            let keys: Vec<_> = inner.iter().map(|(hash, _)| key::blob(hash)).collect();
            let rows = shared.backend.get(&keys).await?;
            for ((_, times), row) in inner.iter().zip(rows) {
                let row = row.as_ref().map(BlobRow::decode).transpose()?;
                let raw = row.map_or(0, |row| row.raw_len.saturating_mul(*times));
                space.references = space.references.saturating_sub(*times);
                space.raw = space.raw.saturating_sub(raw);
            }
        }
        space.dead = space.held.saturating_sub(named);
        Ok(space)
    }
}

impl Shared {
    /// Calls with each row of a blob.
    pub(super) async fn each_blob(
        &self,
        snapshot: &Snapshot,
        mut each: impl FnMut([u8; 32], BlobRow) -> Result<()>,
    ) -> Result<()> {
        self.each_own(b'b', Some(snapshot), |key, row| {
            let hash = key::rest(&key)
                .try_into()
                .map_err(|_| Error::Corrupt("the key of a blob".into()))?;
            each(hash, BlobRow::decode(&row)?)
        })
        .await
    }

    /// Calls with each of the store's own rows of one kind.
    pub(super) async fn each_own(
        &self,
        kind: u8,
        snapshot: Option<&Snapshot>,
        mut each: impl FnMut(Key, Bytes) -> Result<()>,
    ) -> Result<()> {
        let (from, to) = key::all(kind);
        let mut range = KeyRange {
            from,
            to,
            limit: SCAN,
            reverse: false,
            keys_only: false,
        };
        loop {
            let page = self.backend.range(&range, snapshot).await?;
            for (key, value) in page.rows {
                each(key, value)?;
            }
            match page.next {
                Some(next) => range.from = next,
                None => return Ok(()),
            }
        }
    }
}
