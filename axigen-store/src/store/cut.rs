//! A blob on its way into the store: cut into pieces, sealed.

use std::collections::HashSet;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use crate::blob::dictionary::{Dictionaries, Effort};
use crate::blob::pieces::{self, MOST, Segment};
use crate::blob::seal::{Kind, seal};
use crate::blob::{BlobIn, BlobRef, LABEL, Piece, Recipe, SealedBlob};
use crate::error::{Error, Result};

/// Sealed bytes up to this length ride in their row, if there is no label:
/// what salvage rebuilds must be among the blobs.
const INLINE: usize = 1024;

/// What is kept of a piece.
#[derive(Debug)]
pub(super) enum Kept {
    /// A blob.
    Apart(BlobRef),
    /// These bytes, among the own ones.
    Within(Bytes),
}

/// A place where a blob is cut.
#[derive(Debug)]
pub(super) struct Cut {
    range: Range<usize>,
    recipe: Recipe,
    kept: Kept,
}

impl Cut {
    /// The blob that it is made from.
    pub(super) fn apart(&self) -> Option<&[u8; 32]> {
        match &self.kept {
            Kept::Apart(blob) => Some(&blob.hash),
            Kept::Within(_) => None,
        }
    }
}

/// What is to be sealed.
pub(super) struct Raw {
    pub(super) address: BlobRef,
    pub(super) bytes: Bytes,
    pub(super) label: Bytes,
    /// Where it is cut, and what is kept of each piece.
    pub(super) cuts: Vec<Cut>,
    pub(super) piece: bool,
}

/// A blob on its way to the blob store.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) blob: SealedBlob,
    /// The content, if the blob is put together from pieces: should one of
    /// these turn out to be put together itself, this is kept instead.
    pub(super) whole: Option<Bytes>,
    /// It may ride in its row.
    pub(super) short: bool,
}

pub(super) fn check(blob: &BlobIn) -> Result<()> {
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

pub(super) fn address(content: &Bytes) -> BlobRef {
    BlobRef {
        hash: *blake3::hash(content).as_bytes(),
        len: content.len() as u64,
    }
}

/// Cuts the blobs; gives the pieces as well, each once.
pub(super) fn cut_up(blobs: Vec<(BlobRef, BlobIn)>) -> (Vec<Raw>, Vec<Raw>) {
    let (mut wholes, mut pieces) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for (of, blob) in blobs {
        let mut cuts = Vec::new();
        for piece in blob.pieces.into_iter().take(MOST) {
            let Piece {
                range,
                recipe,
                apart,
            } = piece;
            let bytes = blob.bytes.slice(range.clone());
            if !apart {
                if let (Recipe::Base64 { .. }, Some(kept)) = (recipe, recipe.kept(&bytes)) {
                    let kept = Kept::Within(kept);
                    cuts.push(Cut {
                        range,
                        recipe,
                        kept,
                    });
                }
                continue;
            }
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
            let kept = Kept::Apart(kept);
            cuts.push(Cut {
                range,
                recipe,
                kept,
            });
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

pub(super) fn seal_item(raw: Raw, dictionaries: &Dictionaries) -> Item {
    let Raw {
        address,
        bytes,
        label,
        cuts,
        piece,
    } = raw;
    let mut parts: Vec<[u8; 32]> = cuts.iter().filter_map(Cut::apart).copied().collect();
    parts.sort_unstable();
    parts.dedup();
    let (sealed, whole) = if cuts.is_empty() {
        let sealed = seal(
            Kind::Content,
            &bytes,
            &address.hash,
            dictionaries,
            Effort::Quick,
        );
        (sealed, None)
    } else {
        let mut segments = Vec::new();
        let mut own = BytesMut::new();
        let mut at = 0;
        let own_until = |range, segments: &mut Vec<Segment>, own: &mut BytesMut| {
            if let Some(part) = bytes
                .get::<Range<usize>>(range)
                .filter(|part| !part.is_empty())
            {
                segments.push(Segment::Own(part.len() as u64));
                own.put_slice(part);
            }
        };
        for Cut {
            range,
            recipe,
            kept,
        } in cuts
        {
            own_until(at..range.start, &mut segments, &mut own);
            let len = range.len() as u64;
            segments.push(match kept {
                Kept::Apart(from) => Segment::Made { len, from, recipe },
                Kept::Within(bytes) => {
                    own.put_slice(&bytes);
                    let kept = bytes.len() as u64;
                    Segment::Within { len, kept, recipe }
                }
            });
            at = range.end;
        }
        own_until(at..bytes.len(), &mut segments, &mut own);
        let mut list = pieces::encode(&segments);
        list.put_slice(&own);
        let sealed = seal(
            Kind::Pieces,
            &list,
            &address.hash,
            dictionaries,
            Effort::Quick,
        );
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
