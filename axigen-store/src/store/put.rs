//! Putting blobs: hash, look whether it is there, compress, group.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::line::wait;
use super::pending::Known;
use super::stat::add;
use super::{Shared, Store};
use crate::backend::key;
use crate::blob::dictionary::Effort;
use crate::blob::seal::{Kind, seal};
use crate::blob::{BlobIn, BlobRef, BlobRow, LABEL, Place, SealedBlob};
use crate::error::{Error, Result};

/// Sealed bytes up to this length ride in their row, if there is no label:
/// what salvage rebuilds must be among the blobs.
const INLINE: usize = 1024;
/// Up to this much content is hashed and compressed where the caller stands.
const SHORT: usize = 128 << 10;

impl Store {
    /// Makes blobs durable and gives their addresses, in order. What is in the
    /// store already is not written again. A blob that no batch retains within
    /// an hour may be forgotten, and sooner if the store is closed.
    ///
    /// # Errors
    /// [`Error::Full`] when there is no space (the store goes on),
    /// [`Error::TooLarge`] for a label beyond [`LABEL`].
    pub async fn put(&self, blobs: Vec<BlobIn>) -> Result<Vec<BlobRef>> {
        let shared = &self.inner.shared;
        shared.health.writable()?;
        if let Some(long) = blobs.iter().find(|blob| blob.label.len() > LABEL) {
            return Err(Error::TooLarge(format!(
                "a label of {} bytes, at most {LABEL} are allowed",
                long.label.len()
            )));
        }
        add(&shared.counters.puts, blobs.len());
        let contents: Vec<Bytes> = blobs.iter().map(|blob| blob.bytes.clone()).collect();
        let length = contents.iter().map(Bytes::len).sum();
        let refs = off_task(length, move || {
            let address = |content: &Bytes| BlobRef {
                hash: *blake3::hash(content).as_bytes(),
                len: content.len() as u64,
            };
            contents.iter().map(address).collect::<Vec<_>>()
        })
        .await?;
        let unknown = shared.unknown(&refs, blobs).await?;
        if unknown.is_empty() {
            return Ok(refs);
        }
        let length = unknown.iter().map(|(_, blob)| blob.bytes.len()).sum();
        let sealed = off_task(length, move || {
            let sealed = |(address, blob): (BlobRef, BlobIn)| SealedBlob {
                hash: address.hash,
                raw_len: address.len,
                parts: Vec::new(),
                label: blob.label,
                bytes: seal(Kind::Content, &blob.bytes, &address.hash, Effort::Quick),
            };
            unknown.into_iter().map(sealed).collect::<Vec<_>>()
        })
        .await?;
        let (short, long): (Vec<_>, Vec<_>) = sealed
            .into_iter()
            .partition(|blob| blob.label.is_empty() && blob.bytes.len() <= INLINE);
        add(&shared.counters.inline, short.len());
        for blob in short {
            let place = Place::Inline {
                label: blob.label.clone(),
                bytes: blob.bytes.clone(),
            };
            let row = BlobRow::new(&blob, place);
            shared.pending.insert(blob.hash, row);
        }
        if !long.is_empty() {
            let bytes = long
                .iter()
                .map(|blob| blob.bytes.len() + blob.label.len())
                .sum();
            self.inner.puts.ask(long, bytes).await?;
        }
        Ok(refs)
    }
}

impl Shared {
    /// Those that are not in the store, each once. All are held: no sweep
    /// takes what is there before the caller's batch retains it.
    async fn unknown(
        &self,
        refs: &[BlobRef],
        blobs: Vec<BlobIn>,
    ) -> Result<Vec<(BlobRef, BlobIn)>> {
        let mut unknown = Vec::new();
        let mut ask = Vec::new();
        let mut seen = HashSet::new();
        for (address, blob) in refs.iter().zip(blobs) {
            if !seen.insert(address.hash) {
                continue;
            }
            match self.pending.hold(&address.hash) {
                Known::Yes => {}
                Known::Ask => ask.push((address.clone(), blob)),
                Known::No => unknown.push((address.clone(), blob)),
            }
        }
        let keys: Vec<_> = ask
            .iter()
            .map(|(address, _)| key::blob(&address.hash))
            .collect();
        let rows = self.backend.get(&keys).await?;
        let absent = ask.into_iter().zip(rows).filter(|(_, row)| row.is_none());
        unknown.extend(absent.map(|(blob, _)| blob));
        add(&self.counters.known, refs.len() - unknown.len());
        Ok(unknown)
    }

    /// The work of the first stage: all blobs of the group in one write and
    /// one sync.
    pub(super) fn put_group(self: &Arc<Self>, group: Vec<Vec<SealedBlob>>) -> Vec<Result<()>> {
        let asked = group.len();
        // Two writers may bring the same content at the same time.
        let mut unique = HashMap::new();
        for blob in group.into_iter().flatten() {
            if self.pending.get(&blob.hash).is_none() {
                unique.entry(blob.hash).or_insert(blob);
            }
        }
        let items: Vec<SealedBlob> = unique.into_values().collect();
        if items.is_empty() {
            return vec![Ok(()); asked];
        }
        add(&self.counters.put_groups, 1);
        self.counters
            .largest_put_group
            .fetch_max(items.len() as u64, Relaxed);
        // A sweep may see them in the blob store before we know their places.
        self.pending.arrive(items.iter().map(|item| item.hash));
        let done = wait(self.blobs.put(&items)).map(|locs| {
            for (item, loc) in items.iter().zip(locs) {
                let row = BlobRow::new(item, Place::of(&loc));
                self.pending.insert(item.hash, row);
            }
        });
        self.pending.arrived();
        vec![done; asked]
    }
}

/// Runs work on so many bytes: here if it is short, else where it may block.
async fn off_task<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    if bytes <= SHORT {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::io("preparing a blob", std::io::Error::other(error)))
}
