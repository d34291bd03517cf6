//! Putting blobs: hash, look whether it is there, compress, group.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::cut::{Item, Raw, address, check, cut_up, seal_item};
use super::line::wait;
use super::pending::Known;
use super::stat::add;
use super::{Shared, Store};
use crate::backend::key;
use crate::blob::dictionary::Effort;
use crate::blob::seal::{Kind, seal};
use crate::blob::{BlobIn, BlobRef, BlobRow, Note, Place, SealedBlob};
use crate::error::{Error, Result};

/// Up to this much content is hashed and compressed where the caller stands.
const SHORT: usize = 128 << 10;

impl Store {
    /// Makes blobs durable and gives their addresses, in order. What is in the
    /// store already is not written again. A blob that no batch retains within
    /// an hour may be forgotten, and sooner if the store is closed.
    ///
    /// # Errors
    /// [`Error::Full`] when there is no space (the store goes on),
    /// [`Error::TooLarge`] for a label beyond [`LABEL`](crate::blob::LABEL),
    /// [`Error::Invalid`] for pieces that lie outside the content or on each other.
    pub async fn put(&self, blobs: Vec<BlobIn>) -> Result<Vec<BlobRef>> {
        let shared = &self.inner.shared;
        shared.health.writable()?;
        for blob in &blobs {
            check(blob)?;
        }
        add(&shared.counters.puts, blobs.len());
        let contents: Vec<Bytes> = blobs.iter().map(|blob| blob.bytes.clone()).collect();
        let length = contents.iter().map(Bytes::len).sum();
        let refs = off_task(length, move || {
            contents.iter().map(address).collect::<Vec<_>>()
        });
        let refs = refs.await?;
        let unknown = shared.unknown(&refs).await?;
        add(&shared.counters.known, refs.len() - unknown.len());
        let (mut new, mut labels) = (Vec::new(), Vec::new());
        for (at, (address, blob)) in refs.iter().zip(blobs).enumerate() {
            if unknown.contains(&at) {
                new.push((address.clone(), blob));
            } else if !blob.label.is_empty() {
                // The first one's label stands there already.
                labels.push(Note {
                    about: vec![address.hash],
                    bytes: blob.label,
                });
            }
        }
        let unknown = new;
        for note in labels {
            self.note(note).await?;
        }
        if unknown.is_empty() {
            return Ok(refs);
        }
        let length = unknown.iter().map(|(_, blob)| blob.bytes.len()).sum();
        let cut = unknown.iter().any(|(_, blob)| !blob.pieces.is_empty());
        let raws = match cut {
            true => {
                let parts = off_task(length, move || cut_up(unknown)).await?;
                shared.kept_once(parts).await?
            }
            false => {
                let raw = |(address, blob): (BlobRef, BlobIn)| Raw {
                    address,
                    bytes: blob.bytes,
                    label: blob.label,
                    cuts: Vec::new(),
                    piece: false,
                };
                unknown.into_iter().map(raw).collect()
            }
        };
        let items = off_task(length, move || {
            raws.into_iter().map(seal_item).collect::<Vec<_>>()
        });
        let (short, long): (Vec<_>, Vec<_>) = items.await?.into_iter().partition(|item| item.short);
        add(&shared.counters.inline, short.len());
        for Item { blob, .. } in short {
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
                .map(|item| item.blob.bytes.len() + item.blob.label.len())
                .sum();
            self.inner.puts.ask(long, bytes).await?;
        }
        Ok(refs)
    }
}

impl Shared {
    /// Which of these are not in the store, each once. All are held: no sweep
    /// takes what is there before the caller's batch retains it.
    async fn unknown(&self, refs: &[BlobRef]) -> Result<HashSet<usize>> {
        let mut unknown = HashSet::new();
        let mut ask = Vec::new();
        let mut seen = HashSet::new();
        for (at, address) in refs.iter().enumerate() {
            if !seen.insert(address.hash) {
                continue;
            }
            match self.pending.hold(&address.hash) {
                Known::Yes => {}
                Known::Ask => ask.push(at),
                Known::No => {
                    unknown.insert(at);
                }
            }
        }
        let hashes = ask.iter().filter_map(|at| refs.get(*at));
        let keys: Vec<_> = hashes.map(|address| key::blob(&address.hash)).collect();
        let rows = self.backend.get(&keys).await?;
        let absent = ask.into_iter().zip(rows).filter(|(_, row)| row.is_none());
        unknown.extend(absent.map(|(at, _)| at));
        Ok(unknown)
    }

    /// Of wholes and their pieces, what is to be written. What is known as put
    /// together from pieces is none of another: then the whole keeps its bytes.
    async fn kept_once(&self, (mut wholes, pieces): (Vec<Raw>, Vec<Raw>)) -> Result<Vec<Raw>> {
        let refs: Vec<BlobRef> = pieces.iter().map(|raw| raw.address.clone()).collect();
        let unknown = self.unknown(&refs).await?;
        let mut composed: HashSet<[u8; 32]> = wholes
            .iter()
            .filter(|whole| !whole.cuts.is_empty())
            .map(|whole| whole.address.hash)
            .collect();
        for (at, address) in refs.iter().enumerate() {
            if !unknown.contains(&at)
                && self
                    .row(&address.hash)
                    .await?
                    .is_none_or(|row| !row.parts.is_empty())
            {
                composed.insert(address.hash);
            }
        }
        for address in refs.iter().filter(|piece| composed.contains(&piece.hash)) {
            self.pending.let_go(&address.hash);
        }
        for whole in &mut wholes {
            whole
                .cuts
                .retain(|(.., kept)| !composed.contains(&kept.hash));
        }
        let pieces = pieces.into_iter().enumerate();
        let pieces = pieces
            .filter(|(at, raw)| unknown.contains(at) && !composed.contains(&raw.address.hash));
        wholes.extend(pieces.map(|(_, raw)| raw));
        Ok(wholes)
    }

    /// The work of the first stage: all blobs of the group in one write and
    /// one sync.
    pub(super) fn put_group(self: &Arc<Self>, group: Vec<Vec<Item>>) -> Vec<Result<()>> {
        let asked = group.len();
        // Two writers may bring the same content at the same time.
        let mut unique: HashMap<[u8; 32], Item> = HashMap::new();
        for item in group.into_iter().flatten() {
            if self.pending.get(&item.blob.hash).is_none() {
                unique.entry(item.blob.hash).or_insert(item);
            }
        }
        let unneeded = self.flatten(&mut unique);
        let items = unique.into_values().map(|item| item.blob);
        let items: Vec<SealedBlob> = items.collect();
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
        for part in unneeded {
            self.pending.let_go(&part);
        }
        vec![done; asked]
    }
}

impl Shared {
    /// Two writers may bring the same content, one as a piece and one put
    /// together from pieces: so that no piece is ever put together itself,
    /// what has such a one is kept whole. Gives the pieces that it then does
    /// not need.
    fn flatten(&self, unique: &mut HashMap<[u8; 32], Item>) -> Vec<[u8; 32]> {
        let composed = |hash: &[u8; 32]| match self.pending.get(hash) {
            Some(row) => !row.parts.is_empty(),
            None => unique
                .get(hash)
                .is_some_and(|item| !item.blob.parts.is_empty()),
        };
        let nested: Vec<[u8; 32]> = unique
            .values()
            .filter(|item| item.blob.parts.iter().any(composed))
            .map(|item| item.blob.hash)
            .collect();
        let mut unneeded = Vec::new();
        for hash in nested {
            if let Some(item) = unique.get_mut(&hash)
                && let Some(whole) = &item.whole
            {
                item.blob.bytes = seal(Kind::Content, whole, &hash, Effort::Quick);
                unneeded.append(&mut item.blob.parts);
            }
        }
        unneeded
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
