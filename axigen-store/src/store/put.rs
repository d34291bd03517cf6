//! Putting blobs: hash, look whether it is there, compress, group.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::{BufMut, Bytes, BytesMut};

use super::line::wait;
use super::pending::Known;
use super::stat::add;
use super::{Shared, Store};
use crate::backend::key;
use crate::blob::dictionary::Effort;
use crate::blob::pieces::{self, MOST, Segment};
use crate::blob::seal::{Kind, seal};
use crate::blob::{BlobIn, BlobRef, BlobRow, LABEL, Piece, Place, Recipe, SealedBlob};
use crate::error::{Error, Result};

/// Sealed bytes up to this length ride in their row, if there is no label:
/// what salvage rebuilds must be among the blobs.
const INLINE: usize = 1024;
/// Up to this much content is hashed and compressed where the caller stands.
const SHORT: usize = 128 << 10;

/// A blob on its way to the blob store.
#[derive(Debug)]
pub(super) struct Item {
    blob: SealedBlob,
    /// The content, if the blob is put together from pieces: should one of
    /// these turn out to be put together itself, this is kept instead.
    whole: Option<Bytes>,
    /// It may ride in its row.
    short: bool,
}

/// What is to be sealed.
struct Raw {
    address: BlobRef,
    bytes: Bytes,
    label: Bytes,
    /// Where it is cut, and what is kept of each piece.
    cuts: Vec<(Range<usize>, Recipe, BlobRef)>,
    piece: bool,
}

impl Store {
    /// Makes blobs durable and gives their addresses, in order. What is in the
    /// store already is not written again. A blob that no batch retains within
    /// an hour may be forgotten, and sooner if the store is closed.
    ///
    /// # Errors
    /// [`Error::Full`] when there is no space (the store goes on),
    /// [`Error::TooLarge`] for a label beyond [`LABEL`], [`Error::Invalid`]
    /// for pieces that lie outside the content or on each other.
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
        let unknown: Vec<(BlobRef, BlobIn)> = refs
            .iter()
            .zip(blobs)
            .enumerate()
            .filter(|(at, _)| unknown.contains(at))
            .map(|(_, (address, blob))| (address.clone(), blob))
            .collect();
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

fn check(blob: &BlobIn) -> Result<()> {
    if blob.label.len() > LABEL {
        return Err(Error::TooLarge(format!(
            "a label of {} bytes, at most {LABEL} are allowed",
            blob.label.len()
        )));
    }
    let mut end = 0;
    for Piece { range, .. } in &blob.pieces {
        if range.start < end || range.end < range.start || range.end > blob.bytes.len() {
            return Err(Error::Invalid(format!(
                "a piece {range:?} of {} bytes, the one before ends at {end}",
                blob.bytes.len()
            )));
        }
        end = range.end;
    }
    Ok(())
}

fn address(content: &Bytes) -> BlobRef {
    BlobRef {
        hash: *blake3::hash(content).as_bytes(),
        len: content.len() as u64,
    }
}

/// Cuts the blobs; gives the pieces as well, each once.
fn cut_up(blobs: Vec<(BlobRef, BlobIn)>) -> (Vec<Raw>, Vec<Raw>) {
    let (mut wholes, mut pieces) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for (of, blob) in blobs {
        let mut cuts = Vec::new();
        for Piece { range, recipe } in blob.pieces.into_iter().take(MOST) {
            let bytes = blob.bytes.slice(range.clone());
            // A recipe is used only if it gives back these very bytes.
            let (recipe, bytes) = match recipe.kept(&bytes) {
                Some(kept) => (recipe, kept),
                None => (Recipe::Plain, bytes),
            };
            let kept = address(&bytes);
            // All of the content is no piece of it.
            if bytes.is_empty() || kept.hash == of.hash {
                continue;
            }
            if seen.insert(kept.hash) {
                pieces.push(Raw {
                    address: kept.clone(),
                    bytes,
                    label: Bytes::new(),
                    cuts: Vec::new(),
                    piece: true,
                });
            }
            cuts.push((range, recipe, kept));
        }
        wholes.push(Raw {
            address: of,
            bytes: blob.bytes,
            label: blob.label,
            cuts,
            piece: false,
        });
    }
    (wholes, pieces)
}

fn seal_item(raw: Raw) -> Item {
    let Raw {
        address,
        bytes,
        label,
        cuts,
        piece,
    } = raw;
    let mut parts: Vec<[u8; 32]> = cuts.iter().map(|(.., kept)| kept.hash).collect();
    parts.sort_unstable();
    parts.dedup();
    let (sealed, whole) = if cuts.is_empty() {
        let sealed = seal(Kind::Content, &bytes, &address.hash, Effort::Quick);
        (sealed, None)
    } else {
        let mut segments = Vec::new();
        let mut own = BytesMut::new();
        let mut at = 0;
        let mut own_until = |end: usize, at: usize, segments: &mut Vec<Segment>| {
            if let Some(part) = bytes.get(at..end).filter(|part| !part.is_empty()) {
                segments.push(Segment::Own(part.len() as u64));
                own.put_slice(part);
            }
        };
        for (range, recipe, from) in cuts {
            own_until(range.start, at, &mut segments);
            segments.push(Segment::Made {
                len: range.len() as u64,
                from,
                recipe,
            });
            at = range.end;
        }
        own_until(bytes.len(), at, &mut segments);
        let mut list = pieces::encode(&segments);
        list.put_slice(&own);
        let sealed = seal(Kind::Pieces, &list, &address.hash, Effort::Quick);
        (sealed, Some(bytes))
    };
    Item {
        // What salvage needs must be among the blobs: what has a label, and
        // what that is put together from.
        short: label.is_empty() && !piece && parts.is_empty() && sealed.len() <= INLINE,
        blob: SealedBlob {
            hash: address.hash,
            raw_len: address.len,
            parts,
            label,
            bytes: sealed,
        },
        whole,
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
        self.flatten(&mut unique);
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
        vec![done; asked]
    }
}

impl Shared {
    /// Two writers may bring the same content, one as a piece and one put
    /// together from pieces: so that no piece is ever put together itself,
    /// what has such a one is kept whole.
    fn flatten(&self, unique: &mut HashMap<[u8; 32], Item>) {
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
        for hash in nested {
            if let Some(item) = unique.get_mut(&hash)
                && let Some(whole) = &item.whole
            {
                item.blob.bytes = seal(Kind::Content, whole, &hash, Effort::Quick);
                item.blob.parts.clear();
            }
        }
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
