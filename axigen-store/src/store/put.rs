//! Putting blobs: hash, look whether it is there, compress, group.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::cut::{Item, Raw, address, check, cut_up, seal_item};
use super::line::wait;
use super::pending::{Hold, Known};
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
        let mut hold = shared.pending.begin();
        let unknown = shared.unknown(&refs, &mut hold).await?;
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
            hold.promise(&refs);
            return Ok(refs);
        }
        let length = unknown.iter().map(|(_, blob)| blob.bytes.len()).sum();
        let cut = unknown.iter().any(|(_, blob)| !blob.pieces.is_empty());
        let raws = match cut {
            true => {
                let parts = off_task(length, move || cut_up(unknown)).await?;
                shared.kept_once(parts, &mut hold).await?
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
        let dictionaries = Arc::clone(&shared.dictionaries);
        let items = off_task(length, move || {
            let seal = |raw| seal_item(raw, &dictionaries);
            raws.into_iter().map(seal).collect::<Vec<_>>()
        });
        let (short, long): (Vec<_>, Vec<_>) = items.await?.into_iter().partition(|item| item.short);
        add(&shared.counters.inline, short.len());
        for Item { blob, .. } in short {
            let place = Place::Inline {
                label: blob.label.clone(),
                bytes: blob.bytes.clone(),
            };
            let row = BlobRow::new(&blob, place);
            shared.pending.insert(vec![(blob.hash, row)]);
        }
        if !long.is_empty() {
            let bytes = long
                .iter()
                .map(|item| item.blob.bytes.len() + item.blob.label.len())
                .sum();
            self.inner.puts.ask(long, bytes).await?;
        }
        hold.promise(&refs);
        Ok(refs)
    }
}

impl Shared {
    /// Which of these are not in the store, each once. All are held: no sweep
    /// takes what is there before the caller's batch retains it.
    async fn unknown(&self, refs: &[BlobRef], hold: &mut Hold<'_>) -> Result<HashSet<usize>> {
        let mut unknown = HashSet::new();
        let mut ask = Vec::new();
        let mut seen = HashSet::new();
        for (at, address) in refs.iter().enumerate() {
            if !seen.insert(address.hash) {
                continue;
            }
            match hold.add(&address.hash) {
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
    async fn kept_once(
        &self,
        (mut wholes, pieces): (Vec<Raw>, Vec<Raw>),
        hold: &mut Hold<'_>,
    ) -> Result<Vec<Raw>> {
        let refs: Vec<BlobRef> = pieces.iter().map(|raw| raw.address.clone()).collect();
        let unknown = self.unknown(&refs, hold).await?;
        let mut composed: HashSet<[u8; 32]> = wholes
            .iter()
            .filter(|whole| whole.cuts.iter().any(|cut| cut.apart().is_some()))
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
        for whole in &mut wholes {
            whole
                .cuts
                .retain(|cut| cut.apart().is_none_or(|kept| !composed.contains(kept)));
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
        let flat = self.flatten(&mut unique);
        let items: Vec<SealedBlob> = unique.into_values().map(|item| item.blob).collect();
        let done = flat.and_then(|()| self.put_items(&items));
        vec![done; asked]
    }

    fn put_items(&self, items: &[SealedBlob]) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        add(&self.counters.put_groups, 1);
        self.counters
            .largest_put_group
            .fetch_max(items.len() as u64, Relaxed);
        // A sweep may see them in the blob store before we know their places.
        self.pending.arrive(items.iter().map(|item| item.hash));
        let done = wait(self.blobs.put(items)).map(|locs| {
            let rows = items.iter().zip(locs);
            let row = |item, loc| BlobRow::new(item, Place::of(&loc));
            let rows = rows.map(|(item, loc)| (item.hash, row(item, loc)));
            let rows: Vec<_> = rows.collect();
            for (hash, row) in &rows {
                // What comes is read soon.
                self.places.put(*hash, &row.clone().into());
            }
            self.pending.insert(rows);
        });
        self.pending.arrived();
        done
    }

    /// Two writers may bring the same content, one as a piece and one put
    /// together from pieces: so that no piece is ever put together itself,
    /// what has such a one is kept whole.
    fn flatten(&self, unique: &mut HashMap<[u8; 32], Item>) -> Result<()> {
        let pieces: HashSet<[u8; 32]> = unique
            .values()
            .flat_map(|item| item.blob.parts.iter().copied())
            .collect();
        if pieces.is_empty() {
            return Ok(());
        }
        // In this order: what waits for its row goes from there to the backend.
        let (mut composed, mut ask) = (HashSet::new(), Vec::new());
        for hash in pieces {
            match self.pending.get(&hash) {
                Some(row) if !row.parts.is_empty() => drop(composed.insert(hash)),
                Some(_) => {}
                None => ask.push(hash),
            }
        }
        let keys: Vec<_> = ask.iter().map(key::blob).collect();
        for (hash, row) in ask.iter().zip(wait(self.backend.get(&keys))?) {
            let is = match row.as_ref().map(BlobRow::decode).transpose()? {
                Some(row) => !row.parts.is_empty(),
                None => unique
                    .get(hash)
                    .is_some_and(|item| !item.blob.parts.is_empty()),
            };
            if is {
                composed.insert(*hash);
            }
        }
        for (hash, item) in unique {
            if item.blob.parts.iter().any(|part| composed.contains(part))
                && let Some(whole) = &item.whole
            {
                item.blob.bytes = seal(
                    Kind::Content,
                    whole,
                    hash,
                    &self.dictionaries,
                    Effort::Quick,
                );
                item.blob.parts.clear();
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::blob::{Piece, Recipe, SweepOptions};
    use crate::{AccountId, Batch, Op, Part};

    /// A blob that has another in its midst, as a piece.
    fn around(inner: &Bytes, name: &str) -> BlobIn {
        let bytes = [name.as_bytes(), inner, b"end"].concat();
        let range = name.len()..name.len() + inner.len();
        let recipe = Recipe::Plain;
        let mut blob = BlobIn::new(bytes, Bytes::new());
        let apart = true;
        blob.pieces = vec![Piece {
            range,
            recipe,
            apart,
        }];
        blob
    }

    /// A put just before it waits for its group.
    async fn begin<'a>(store: &'a Store, blob: &BlobIn) -> (BlobRef, Vec<Item>, Hold<'a>) {
        let shared = &store.inner.shared;
        let mut hold = shared.pending.begin();
        let address = address(&blob.bytes);
        let refs = std::slice::from_ref(&address);
        assert_eq!(shared.unknown(refs, &mut hold).await.unwrap().len(), 1);
        let parts = cut_up(vec![(address.clone(), blob.clone())]);
        let raws = shared.kept_once(parts, &mut hold).await.unwrap();
        let seal = |raw| seal_item(raw, &shared.dictionaries);
        (address, raws.into_iter().map(seal).collect(), hold)
    }

    async fn commit(store: &Store, op: Op) {
        let part = Part {
            account: AccountId(1),
            asserts: Vec::new(),
            ops: vec![op],
            advance: false,
        };
        store.commit(Batch { parts: vec![part] }).await.unwrap();
    }

    fn group(store: &Store, group: Vec<Vec<Item>>) {
        for done in store.inner.shared.put_group(group) {
            done.unwrap();
        }
    }

    #[tokio::test]
    async fn nothing_stays_of_what_was_brought_in_two_forms() {
        let noise = Bytes::from(blake3::hash(b"noise").as_bytes().repeat(100));
        let inner = around(&noise, "inner");
        let outer = around(&inner.bytes, "outer");
        for (first, second) in [(&inner, &outer), (&outer, &inner)] {
            // In one group; in two, with both begun before; and with the
            // first one's batch in between.
            for way in 0..3 {
                let store = Store::memory().await.unwrap();
                let (one, items, hold) = begin(&store, first).await;
                let (two, more, other) = begin(&store, second).await;
                match way {
                    0 => {
                        group(&store, vec![items, more]);
                        hold.promise(std::slice::from_ref(&one));
                    }
                    _ => {
                        group(&store, vec![items]);
                        hold.promise(std::slice::from_ref(&one));
                        if way == 2 {
                            commit(&store, Op::Retain(one.clone())).await;
                        }
                        group(&store, vec![more]);
                    }
                }
                other.promise(std::slice::from_ref(&two));
                if way != 2 {
                    commit(&store, Op::Retain(one.clone())).await;
                }
                commit(&store, Op::Retain(two.clone())).await;
                for (address, blob) in [(&one, first), (&two, second)] {
                    let read = store.read(address, 0..u64::MAX).await.unwrap();
                    assert_eq!(read, blob.bytes);
                }
                let rows = [&one, &two].map(|address| store.inner.shared.row(&address.hash));
                for row in rows {
                    for part in row.await.unwrap().unwrap().parts {
                        let part = store.inner.shared.row(&part).await.unwrap().unwrap();
                        assert!(part.parts.is_empty(), "a piece put together from pieces");
                    }
                }
                for address in [one, two] {
                    commit(&store, Op::Release(address)).await;
                }
                for _ in 0..2 {
                    let options = SweepOptions {
                        grace: std::time::Duration::ZERO,
                        ..SweepOptions::default()
                    };
                    store.sweep(options).await.unwrap();
                }
                let space = store.space().await.unwrap();
                assert_eq!((space.blobs, space.unreferenced_blobs), (0, 0), "{way}");
            }
        }
    }
}
