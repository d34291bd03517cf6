//! Reading a blob piece by piece.

use std::ops::Range;

use bytes::Bytes;

use super::Store;
use super::read::{As, Held, SHORT, joined};
use crate::blob::BlobRef;
use crate::error::{Error, Result};

/// Most bytes of one piece of a [`Reading`].
pub const PIECE: u64 = SHORT;

/// Reads one blob, from its beginning on, mostly, and piece by piece: what is
/// read and inflated for one piece and belongs to the next one too is kept, at
/// most two frames of 256 KB.
#[derive(Debug)]
pub struct Reading {
    store: Store,
    blob: BlobRef,
    held: Held,
}

impl Store {
    /// Reads a blob piece by piece.
    pub fn reading(&self, blob: &BlobRef) -> Reading {
        Reading {
            store: self.clone(),
            blob: blob.clone(),
            held: Held::default(),
        }
    }
}

impl Reading {
    /// A part of the blob, cut to its length, and to [`PIECE`] bytes.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn read(&mut self, range: Range<u64>) -> Result<Bytes> {
        let shared = &self.store.inner.shared;
        shared.health.readable()?;
        let hash = self.blob.hash;
        let row = shared.located(&hash).await?.ok_or(Error::NotFound)?;
        let start = range.start.min(row.raw_len);
        let end = range.end.min(row.raw_len).min(start.saturating_add(PIECE));
        let stretches = shared.settled(hash, row, start..end, As::Content, &mut self.held, 0);
        Ok(joined(stretches.await?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base64::Engine;

    use super::*;
    use crate::blob::encoding::base64;
    use crate::blob::{BlobIn, Piece, Recipe, SweepOptions};
    use crate::{AccountId, Batch, Op, Part};

    fn noise(name: &str, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let mut hasher = blake3::Hasher::new();
        hasher.update(name.as_bytes());
        hasher.finalize_xof().fill(&mut bytes);
        bytes
    }

    fn lines(bytes: &[u8]) -> Vec<u8> {
        let text = base64().encode(bytes);
        let lines: Vec<&[u8]> = text.as_bytes().chunks(76).collect();
        [lines.join(&b"\r\n"[..]), b"\r\n".to_vec()].concat()
    }

    /// Text, a table that can be compressed, noise and more text, both in base64 and
    /// blobs of their own, and one in base64 among the own bytes: of many frames all.
    fn message() -> BlobIn {
        let text = "From: an author whose words are many\r\n".repeat(9000);
        let table: Vec<u8> = (0..90_000u64)
            .flat_map(|n| format!("{};", n * n % 977).into_bytes())
            .collect();
        let mut bytes = text.clone().into_bytes();
        let mut pieces = Vec::new();
        for (content, apart) in [
            (table, true),
            (noise("apart", 700_001), true),
            (noise("within", 20_000), false),
        ] {
            let made = lines(&content);
            pieces.push(Piece {
                range: bytes.len()..bytes.len() + made.len(),
                recipe: Recipe::Base64 {
                    line: 76,
                    crlf: true,
                    ended: true,
                },
                apart,
            });
            bytes.extend_from_slice(&made);
            bytes.extend_from_slice(text.as_bytes());
        }
        let mut blob = BlobIn::new(bytes, Bytes::new());
        blob.pieces = pieces;
        blob
    }

    async fn keep(store: &Store, blob: &BlobIn) -> BlobRef {
        let address = store.put(vec![blob.clone()]).await.unwrap().pop().unwrap();
        let part = Part {
            account: AccountId(1),
            asserts: Vec::new(),
            ops: vec![Op::Retain(address.clone())],
            advance: false,
        };
        store.commit(Batch { parts: vec![part] }).await.unwrap();
        address
    }

    #[tokio::test]
    async fn pieces_of_any_length_make_up_the_blob() {
        let store = Store::memory().await.unwrap();
        let plain = BlobIn::new(noise("plain", 600_000), Bytes::new());
        for blob in [message(), plain, BlobIn::new("short", "")] {
            let address = keep(&store, &blob).await;
            for length in [9973, 128 << 10, 256 << 10, u64::MAX] {
                let mut reading = store.reading(&address);
                let mut read = Vec::new();
                loop {
                    let at = read.len() as u64;
                    let piece = reading.read(at..at.saturating_add(length)).await.unwrap();
                    assert!(piece.len() as u64 <= length.min(PIECE));
                    if piece.is_empty() {
                        break;
                    }
                    read.extend_from_slice(&piece);
                }
                assert!(read == blob.bytes, "{length}");
            }
            // In any order.
            let mut reading = store.reading(&address);
            let most = blob.bytes.len() as u64;
            let mut state = 7u64;
            for _ in 0..300 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                let start = (state >> 33) % most;
                let end = most.min(start + (state >> 20) % PIECE);
                let piece = reading.read(start..end).await.unwrap();
                assert!(piece == blob.bytes[start as usize..end as usize]);
            }
        }
    }

    #[tokio::test]
    async fn what_is_moved_and_compressed_anew_meanwhile_is_read_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let blob = message();
        let address = keep(&store, &blob).await;
        let mut reading = store.reading(&address);
        let mut read = Vec::new();
        for turn in 0.. {
            let at = read.len() as u64;
            let piece = reading.read(at..at + 100_000).await.unwrap();
            if piece.is_empty() {
                break;
            }
            read.extend_from_slice(&piece);
            if turn == 1 {
                // Something that goes, so that the pack is worth rewriting.
                let other = keep(&store, &BlobIn::new(noise(&turn.to_string(), 9 << 20), "")).await;
                let part = Part {
                    account: AccountId(1),
                    asserts: Vec::new(),
                    ops: vec![Op::Release(other)],
                    advance: false,
                };
                store.commit(Batch { parts: vec![part] }).await.unwrap();
                let options = SweepOptions {
                    grace: std::time::Duration::ZERO,
                    rate: u64::MAX,
                    tail: true,
                    ..SweepOptions::default()
                };
                let mut moved = 0;
                for _ in 0..2 {
                    moved += store.sweep(options.clone()).await.unwrap().moved;
                }
                assert!(moved > 0, "turn {turn}");
            }
        }
        assert!(read == blob.bytes);
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_found() {
        let store = Store::memory().await.unwrap();
        let nothing = BlobRef {
            hash: [1; 32],
            len: 5,
        };
        let read = store.reading(&nothing).read(0..5).await;
        assert!(matches!(read, Err(Error::NotFound)));
    }
}
