//! A blob put together from others: its own bytes, and pieces that are blobs
//! of their own, so that what occurs in many blobs is kept once.
//!
//! A piece may be kept decoded, with a [`Recipe`] that gives back its very
//! bytes; that is tried before it is used. Pieces too short to be blobs of
//! their own are kept decoded among the own bytes: what base64 hides from the
//! compressor is in sight there. What the frames of such a blob hold:
//!
//! | bytes | meaning |
//! |---|---|
//! | 2 | number of segments |
//! | 1, 8 | for each segment: kind, length in the content |
//! | 32, 8 | of kinds 1 and 2: address and length of a blob |
//! | 8 | of kind 3: length of the own bytes that it is made from |
//! | 4, 1 | of kinds 2 and 3: characters in a line (0: all in one), line ends (1: CRLF, not LF; 2: also behind the last line) |
//! | rest | own bytes, those of all segments of kinds 0 and 3 |
//!
//! Kind 0 is own bytes, 1 a blob as it is, 2 a blob in base64
//! ([RFC 4648 §4](https://www.rfc-editor.org/rfc/rfc4648#section-4)), 3 own
//! bytes in base64.
//! Numbers are big-endian. A piece is never itself put together from pieces.

use std::ops::Range;

use base64::Engine;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use memchr::memchr2;

use super::BlobRef;
use super::encoding::base64;
use crate::error::{Error, Result};

/// Most pieces of one blob; what is beyond stays its own.
pub const MOST: usize = 256;

/// A part of a blob's content that is not kept as it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where in the content.
    pub range: Range<usize>,
    /// How its bytes come from those that are kept. Should it not give back
    /// exactly these bytes, they are kept as they are.
    pub recipe: Recipe,
    /// As a blob of its own: what occurs in many blobs is kept once. If not,
    /// among the own bytes of the blob.
    pub apart: bool,
}

/// A stretch of a blob's content, in the form it is kept in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Where it begins in the content.
    pub start: u64,
    /// Its length in the content.
    pub len: u64,
    /// What it is made from.
    pub bytes: Bytes,
    /// How.
    pub recipe: Recipe,
}

impl Stretch {
    /// Bytes as they stand in the content.
    pub fn plain(start: u64, bytes: Bytes) -> Stretch {
        Stretch {
            start,
            len: bytes.len() as u64,
            bytes,
            recipe: Recipe::Plain,
        }
    }

    /// Where it ends in the content.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }

    /// Its bytes as they stand in the content.
    pub fn content(&self) -> Bytes {
        let kept = self.bytes.len() as u64;
        self.recipe.make(&(0..self.len), &self.bytes, kept)
    }
}

/// How bytes are made from those that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// They are the same.
    Plain,
    /// By encoding in base64.
    Base64 {
        /// Characters in a line; 0 for one single line.
        line: u32,
        /// Lines end with CRLF, not LF.
        crlf: bool,
        /// The last line ends too.
        ended: bool,
    },
}

impl Recipe {
    /// What would have to be kept of these bytes. `None` if this recipe does
    /// not give them back, exactly.
    pub fn kept(&self, bytes: &Bytes) -> Option<Bytes> {
        if *self == Recipe::Plain {
            return Some(bytes.clone());
        }
        let mut dense = Vec::with_capacity(bytes.len());
        let mut rest: &[u8] = bytes;
        while let Some(end) = memchr2(b'\r', b'\n', rest) {
            let (line, ending) = rest.split_at(end);
            dense.extend_from_slice(line);
            rest = ending.get(1..).unwrap_or_default();
        }
        dense.extend_from_slice(rest);
        let kept = Bytes::from(base64().decode(dense).ok()?);
        let len = self.made_len(kept.len() as u64);
        (len == bytes.len() as u64 && self.make(&(0..len), &kept, kept.len() as u64) == *bytes)
            .then_some(kept)
    }

    /// How many bytes are made from so many.
    pub fn made_len(&self, kept: u64) -> u64 {
        match Layout::of(self, kept) {
            None => kept,
            Some(layout) => layout.len(),
        }
    }

    /// Which kept bytes a range of what is made needs; `kept` is the length of
    /// all.
    pub fn needs(&self, range: &Range<u64>, kept: u64) -> Range<u64> {
        let Some(layout) = Layout::of(self, kept) else {
            return range.start.min(kept)..range.end.min(kept);
        };
        let first = layout.characters_before(range.start) / 4 * 3;
        let last = layout.characters_before(range.end).div_ceil(4) * 3;
        first.min(kept)..last.min(kept)
    }

    /// Makes a range; `bytes` are those that it [needs](Recipe::needs), `kept`
    /// is the length of all.
    pub fn make(&self, range: &Range<u64>, bytes: &Bytes, kept: u64) -> Bytes {
        if *self == Recipe::Plain {
            return bytes.clone();
        }
        let mut out = BytesMut::new();
        self.make_into(range, bytes, kept, &mut out);
        out.freeze()
    }

    /// [`make`](Recipe::make), behind what is in `out`.
    pub fn make_into(&self, range: &Range<u64>, bytes: &[u8], kept: u64, out: &mut BytesMut) {
        let Some(layout) = Layout::of(self, kept) else {
            out.put_slice(bytes);
            return;
        };
        let end = range.end.min(layout.len());
        let mut at = range.start;
        let mut characters = Characters::of(bytes, base64());
        // Whole groups of four are made; the range may begin within one.
        characters.skip((layout.characters_before(at) % 4) as usize);
        let (mut line, mut column) = (at / layout.period(), at % layout.period());
        while at < end {
            if column == 0 && layout.line == USUAL as u64 {
                // Whole lines, of characters and with an ending behind them.
                let wanted = (end - at) / layout.period();
                let left = layout.characters.saturating_sub(1) / layout.line;
                let most = wanted.min(left.saturating_sub(line));
                let made = characters.take_lines(most, layout.ending, out);
                line += made;
                at += made * layout.period();
                if at >= end {
                    break;
                }
            }
            let start = line.saturating_mul(layout.line);
            let length = layout.line.min(layout.characters.saturating_sub(start));
            let count = match length.checked_sub(column) {
                Some(left @ 1..) => characters.take(left.min(end - at) as usize, out) as u64,
                _ => {
                    let ending = layout.ending.get((column - length) as usize..);
                    let ending = ending.unwrap_or_default();
                    let count = ending.len().min((end - at) as usize);
                    out.put_slice(ending.get(..count).unwrap_or_default());
                    count as u64
                }
            };
            if count == 0 {
                break;
            }
            (at, column) = (at + count, column + count);
            if column == length + layout.ending.len() as u64 {
                (line, column) = (line + 1, 0);
            }
        }
    }
}

/// Characters in a line, mostly: RFC 2045 §6.8 allows no more.
const USUAL: usize = 76;

/// Bytes as the characters of base64, encoded a little at a time.
struct Characters<'b, E> {
    engine: &'b E,
    bytes: &'b [u8],
    encoded: [u8; AT_ONCE / 3 * 4],
    /// Those that were encoded and not taken.
    ready: Range<usize>,
}

/// Bytes encoded at a time. A multiple of three, as only the last ones are padded, that makes
/// whole lines of the usual length.
const AT_ONCE: usize = 64 * (USUAL / 4 * 3);

impl<'b, E: Engine> Characters<'b, E> {
    fn of(bytes: &'b [u8], engine: &'b E) -> Self {
        Characters {
            engine,
            bytes,
            encoded: [0; AT_ONCE / 3 * 4],
            ready: 0..0,
        }
    }

    /// Makes some ready; none at the end.
    fn encode(&mut self) {
        let (now, later) = self.bytes.split_at(self.bytes.len().min(AT_ONCE));
        self.bytes = later;
        let length = self.engine.encode_slice(now, &mut self.encoded);
        self.ready = 0..length.unwrap_or(0);
    }

    /// Passes over some, less than are encoded at once.
    fn skip(&mut self, count: usize) {
        if count > 0 {
            self.encode();
            self.ready.start = count.min(self.ready.end);
        }
    }

    /// Takes so many, and says how many there were.
    fn take(&mut self, count: usize, out: &mut BytesMut) -> usize {
        let mut left = count;
        while left > 0 {
            if self.ready.is_empty() {
                self.encode();
            }
            let end = self.ready.end.min(self.ready.start + left);
            let part = self.encoded.get(self.ready.start..end).unwrap_or_default();
            if part.is_empty() {
                break;
            }
            out.put_slice(part);
            left -= part.len();
            self.ready.start = end;
        }
        count - left
    }

    /// Takes so many lines of the usual length, or as many as are ready in one piece, and says
    /// how many that were.
    fn take_lines(&mut self, most: u64, ending: &[u8], out: &mut BytesMut) -> u64 {
        let mut taken = 0;
        while taken < most {
            if self.ready.is_empty() {
                self.encode();
            }
            let ready = self.encoded.get(self.ready.clone()).unwrap_or_default();
            let (lines, _) = ready.as_chunks::<USUAL>();
            let count = (lines.len() as u64).min(most - taken);
            let lines = lines.get(..count as usize).unwrap_or_default();
            if lines.is_empty() {
                break;
            }
            out.reserve(lines.len() * (USUAL + ending.len()));
            for line in lines {
                // Lengths that are known here: no call for each of millions of lines.
                out.extend_from_slice(line);
                match ending {
                    b"\r\n" => out.extend_from_slice(b"\r\n"),
                    other => out.extend_from_slice(other),
                }
            }
            self.ready.start += lines.len() * USUAL;
            taken += count;
        }
        taken
    }
}

/// Lines of base64.
struct Layout {
    /// Of all lines.
    characters: u64,
    /// Of one line.
    line: u64,
    ending: &'static [u8],
    ended: bool,
}

impl Layout {
    /// `None` where there are no lines.
    fn of(recipe: &Recipe, kept: u64) -> Option<Self> {
        let Recipe::Base64 { line, crlf, ended } = *recipe else {
            return None;
        };
        let characters = kept.div_ceil(3).saturating_mul(4);
        Some(Layout {
            characters,
            line: match line {
                0 => characters.max(1),
                line => u64::from(line),
            },
            ending: if crlf { b"\r\n" } else { b"\n" },
            ended,
        })
    }

    fn period(&self) -> u64 {
        self.line.saturating_add(self.ending.len() as u64)
    }

    fn len(&self) -> u64 {
        let lines = self.characters.div_ceil(self.line).max(1);
        let endings = lines - u64::from(!self.ended);
        self.characters
            .saturating_add(endings.saturating_mul(self.ending.len() as u64))
    }

    fn characters_before(&self, at: u64) -> u64 {
        let (line, column) = (at / self.period(), at % self.period());
        line.saturating_mul(self.line)
            .saturating_add(column.min(self.line))
            .min(self.characters)
    }
}

/// A segment of a blob's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// So many own bytes.
    Own(u64),
    /// Made from a blob.
    Made {
        /// Length in the content.
        len: u64,
        /// The blob.
        from: BlobRef,
        /// How.
        recipe: Recipe,
    },
    /// Made from own bytes.
    Within {
        /// Length in the content.
        len: u64,
        /// Length of the own bytes.
        kept: u64,
        /// How.
        recipe: Recipe,
    },
}

impl Segment {
    /// Length in the content.
    pub fn len(&self) -> u64 {
        match self {
            Segment::Own(len) | Segment::Made { len, .. } | Segment::Within { len, .. } => *len,
        }
    }

    /// How many own bytes it is made from.
    pub fn own(&self) -> u64 {
        match self {
            Segment::Own(len) => *len,
            Segment::Within { kept, .. } => *kept,
            Segment::Made { .. } => 0,
        }
    }

    /// Whether it is of no length.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The list of segments, to which the own bytes are appended.
pub fn encode(segments: &[Segment]) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u16(segments.len() as u16);
    for segment in segments {
        match segment {
            Segment::Own(len) => {
                out.put_u8(0);
                out.put_u64(*len);
            }
            Segment::Made { len, from, recipe } => {
                out.put_u8(match recipe {
                    Recipe::Plain => 1,
                    Recipe::Base64 { .. } => 2,
                });
                out.put_u64(*len);
                out.put_slice(&from.hash);
                out.put_u64(from.len);
                put_recipe(&mut out, recipe);
            }
            Segment::Within { len, kept, recipe } => {
                out.put_u8(3);
                out.put_u64(*len);
                out.put_u64(*kept);
                put_recipe(&mut out, recipe);
            }
        }
    }
    out
}

fn put_recipe(out: &mut BytesMut, recipe: &Recipe) {
    if let Recipe::Base64 { line, crlf, ended } = recipe {
        out.put_u32(*line);
        out.put_u8(u8::from(*crlf) | u8::from(*ended) << 1);
    }
}

/// The segments, and the length of their list.
///
/// # Errors
/// [`Error::Corrupt`] if these bytes do not begin with a list.
pub fn decode(bytes: &[u8]) -> Result<(Vec<Segment>, u64)> {
    let mut rest = bytes;
    parse(&mut rest)
        .map(|segments| (segments, (bytes.len() - rest.len()) as u64))
        .ok_or_else(|| Error::Corrupt("the list of a blob's pieces".into()))
}

fn parse(bytes: &mut &[u8]) -> Option<Vec<Segment>> {
    let count = bytes.try_get_u16().ok()?;
    let mut segments = Vec::new();
    for _ in 0..count {
        let kind = bytes.try_get_u8().ok()?;
        let len = bytes.try_get_u64().ok()?;
        if kind == 0 {
            segments.push(Segment::Own(len));
            continue;
        }
        if kind == 3 {
            let kept = bytes.try_get_u64().ok()?;
            let recipe = take_base64(bytes)?;
            segments.push(Segment::Within { len, kept, recipe });
            continue;
        }
        let (hash, rest) = bytes.split_first_chunk::<32>()?;
        *bytes = rest;
        let from = BlobRef {
            hash: *hash,
            len: bytes.try_get_u64().ok()?,
        };
        let recipe = match kind {
            1 => Recipe::Plain,
            2 => take_base64(bytes)?,
            _ => return None,
        };
        segments.push(Segment::Made { len, from, recipe });
    }
    Some(segments)
}

fn take_base64(bytes: &mut &[u8]) -> Option<Recipe> {
    let line = bytes.try_get_u32().ok()?;
    let flags = bytes.try_get_u8().ok()?;
    Some(Recipe::Base64 {
        line,
        crlf: flags & 1 != 0,
        ended: flags & 2 != 0,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_other_programs_write_is_given_back() {
        let text = b"SGVsbG8s\r\nIFdvcmxk\r\nIQ==\r\n";
        let recipe = Recipe::Base64 {
            line: 8,
            crlf: true,
            ended: true,
        };
        let bytes = Bytes::from_static(text);
        assert_eq!(recipe.kept(&bytes).unwrap(), &b"Hello, World!"[..]);
        // Each of these differs in something a recipe would lose.
        for odd in [
            &b"SGVsbG8s\r\nIFdvcmxk\r\nIQ=="[..],
            b"SGVsbG8s\nIFdvcmxk\r\nIQ==\r\n",
            b"SGVsbG8sI\r\nFdvcmxkIQ\r\n==\r\n",
            b"SGVsbG8s\r\nIFdvcmxk\r\nIR==\r\n",
            b"SGVsbG8s\r\nIFdvcmxk\r\nIQ\r\n",
            b"SGVsbG8s\r\n\r\nIFdvcmxk\r\nIQ==\r\n",
            b"SGVsbG8s \r\nIFdvcmxk\r\nIQ==\r\n",
            b"",
        ] {
            assert_eq!(recipe.kept(&Bytes::copy_from_slice(odd)), None);
        }
    }

    fn recipes() -> impl Strategy<Value = Recipe> {
        let lines = prop_oneof![Just(0), Just(76), Just(60), Just(64), 1u32..100];
        (lines, any::<bool>(), any::<bool>()).prop_map(|(line, crlf, ended)| Recipe::Base64 {
            line,
            crlf,
            ended,
        })
    }

    proptest! {
        #[test]
        fn every_range_is_made_from_what_it_needs(
            recipe in recipes(),
            content in prop::collection::vec(any::<u8>(), 1..400),
            cuts in prop::collection::vec((any::<u16>(), any::<u16>()), 20),
        ) {
            let content = Bytes::from(content);
            let kept = content.len() as u64;
            let len = recipe.made_len(kept);
            let whole = recipe.make(&(0..len), &content, kept);
            prop_assert_eq!(whole.len() as u64, len);
            prop_assert_eq!(recipe.kept(&whole), Some(content.clone()));
            for (a, b) in cuts {
                let (a, b) = (u64::from(a) % (len + 1), u64::from(b) % (len + 1));
                let range = a.min(b)..a.max(b);
                let needs = recipe.needs(&range, kept);
                let part = content.slice(needs.start as usize..needs.end as usize);
                let made = recipe.make(&range, &part, kept);
                prop_assert_eq!(&made, &whole[range.start as usize..range.end as usize]);
            }
        }

        #[test]
        fn lists_come_back(parts in prop::collection::vec((any::<u64>(), any::<bool>(), recipes()), 0..50)) {
            let segments: Vec<Segment> = parts
                .into_iter()
                .map(|(len, own, recipe)| match own {
                    true => Segment::Own(len),
                    false if len % 3 == 0 => Segment::Within { len, kept: len / 4, recipe },
                    false => {
                        let hash = *blake3::hash(&len.to_be_bytes()).as_bytes();
                        let recipe = if len % 2 == 0 { Recipe::Plain } else { recipe };
                        Segment::Made { len, from: BlobRef { hash, len: len / 2 }, recipe }
                    }
                })
                .collect();
            let mut list = encode(&segments);
            let len = list.len() as u64;
            list.put_slice(b"own bytes");
            prop_assert_eq!(decode(&list).unwrap(), (segments, len));
            for cut in 0..len as usize {
                prop_assert!(decode(&list[..cut]).is_err());
            }
        }
    }
}
