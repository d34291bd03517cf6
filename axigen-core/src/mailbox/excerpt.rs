//! Those parts of a message that something looks at.

use std::ops::Range;

use axigen_store::blob::{Recipe, Stretch};
use bytes::{Bytes, BytesMut};

use super::{
    Mailboxes,
    error::Result,
    item::Content,
    structure::{Leaf, Structure},
};

/// Ranges with less than this between them are read as one, in bytes.
const GAP: u64 = 16 * 1024;
/// A first look is at no more than one byte of so many.
const LITTLE: u64 = 4;

/// Pieces of a message: what was read of it.
#[derive(Debug, Clone, Default)]
pub struct Excerpt {
    /// Where each begins; ascending, none overlapping another.
    pieces: Vec<(u64, Bytes)>,
    /// Parts in base64 whose bytes are known without it: where each begins, ascending.
    decoded: Vec<(u64, Bytes)>,
    /// What is to be read still.
    rest: Vec<Range<u64>>,
}

impl Excerpt {
    /// All of a message.
    pub fn whole(raw: impl Into<Bytes>) -> Excerpt {
        Excerpt {
            pieces: vec![(0, raw.into())],
            ..Excerpt::default()
        }
    }

    /// A range of the message, as far as it was read in one piece with its
    /// beginning.
    pub fn get(&self, range: Range<u64>) -> &[u8] {
        let at = self.pieces.partition_point(|(at, _)| *at <= range.start);
        let piece = at.checked_sub(1).and_then(|at| self.pieces.get(at));
        let Some((start, bytes)) = piece else {
            return &[];
        };
        let within =
            |n: u64| usize::try_from(n - start).map_or(bytes.len(), |n| n.min(bytes.len()));
        bytes
            .get(within(range.start)..within(range.end.max(range.start)))
            .unwrap_or(&[])
    }

    /// The bytes of a part in base64 that begins here, without its base64, if that was not to be
    /// undone.
    pub(super) fn decoded(&self, start: u64) -> Option<&[u8]> {
        let found = self.decoded.binary_search_by_key(&start, |(at, _)| *at);
        self.decoded.get(found.ok()?).map(|(_, bytes)| &bytes[..])
    }

    /// Whether all was read that a search looks at.
    pub(super) fn is_complete(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes up what was read of a range. The leaves ascend.
    fn add(&mut self, stretches: Vec<Stretch>, leaves: &[Leaf<'_>]) {
        let mut joined: Option<(u64, BytesMut)> = None;
        let mut stretches = stretches.into_iter().peekable();
        while let Some(stretch) = stretches.next() {
            // Of a part, and all of it but empty lines.
            let is_part = |leaf: &Leaf<'_>| {
                let behind = leaf.content.end.checked_sub(stretch.end());
                leaf.content.start == stretch.start
                    && leaf.encoding.eq_ignore_ascii_case(b"base64")
                    && match (behind, stretches.peek()) {
                        (Some(0), _) => true,
                        (Some(behind), Some(next)) if next.recipe == Recipe::Plain => {
                            let behind = usize::try_from(behind).unwrap_or(usize::MAX);
                            let behind = next.bytes.get(..behind);
                            behind.is_some_and(|bytes| bytes.iter().all(|b| b"\r\n".contains(b)))
                        }
                        _ => false,
                    }
            };
            let at = leaves.partition_point(|leaf| leaf.content.start < stretch.start);
            let mut here = leaves.get(at..).unwrap_or_default().iter();
            let mut here = here
                .by_ref()
                .take_while(|leaf| leaf.content.start == stretch.start);
            if stretch.recipe != Recipe::Plain && here.any(is_part) {
                self.pieces.extend(joined.take().map(frozen));
                self.decoded.push((stretch.start, stretch.bytes));
                continue;
            }
            let follows = stretches
                .peek()
                .is_some_and(|next| next.recipe != Recipe::Plain);
            match &mut joined {
                Some((_, joined)) => joined.extend_from_slice(&stretch.content()),
                // What nothing follows that might belong to it is not copied.
                None if !follows => self.pieces.push((stretch.start, stretch.content())),
                None => joined = Some((stretch.start, BytesMut::from(&stretch.content()[..]))),
            }
        }
        self.pieces.extend(joined.map(frozen));
    }
}

fn frozen((start, bytes): (u64, BytesMut)) -> (u64, Bytes) {
    (start, bytes.freeze())
}

/// What a search for text looks at: the header, the headers of the parts, and
/// the parts that are text; ascending.
pub(super) fn of_texts(structure: &Structure) -> Vec<Range<u64>> {
    let mut ranges = vec![structure.header()];
    ranges.extend(structure.inner_headers());
    for leaf in structure.leaves() {
        if leaf.is_text() {
            ranges.push(leaf.content.clone());
        }
    }
    ranges.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(GAP) => {
                last.end = last.end.max(range.end);
            }
            _ => joined.push(range),
        }
    }
    joined
}

/// Where a first look at these ranges ends: behind a part before which there is little, compared
/// with what is behind it. What is looked for may be there.
fn first_look(structure: &Structure, ranges: &[Range<u64>]) -> Option<u64> {
    let all: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    let (mut cut, mut before) = (None, 0);
    let mut ranges = ranges.iter().peekable();
    // Both ascend.
    for leaf in structure.leaves().iter().filter(|leaf| leaf.is_text()) {
        let end = leaf.content.end;
        while let Some(passed) = ranges.next_if(|range| range.end <= end) {
            before += passed.end - passed.start;
        }
        let begun = ranges
            .peek()
            .map_or(0, |range| end.saturating_sub(range.start));
        if (1..=all / LITTLE).contains(&(before + begun)) {
            cut = Some(end);
        }
    }
    cut
}

impl Mailboxes {
    /// Reads what a search looks at; the beginning only where that is little of it.
    ///
    /// # Errors
    /// As [`body`](Mailboxes::body).
    pub(super) async fn excerpt(
        &self,
        content: &Content,
        structure: &Structure,
    ) -> Result<Excerpt> {
        let ranges = of_texts(structure);
        let mut excerpt = Excerpt::default();
        let Some(cut) = first_look(structure, &ranges) else {
            excerpt.rest = ranges;
            return self.rest_of(excerpt, content, structure).await;
        };
        let mut rest = Vec::new();
        for range in ranges {
            let (first, second) = (
                range.start..range.end.min(cut),
                range.start.max(cut)..range.end,
            );
            excerpt.rest.extend((!first.is_empty()).then_some(first));
            rest.extend((!second.is_empty()).then_some(second));
        }
        let mut excerpt = self.rest_of(excerpt, content, structure).await?;
        excerpt.rest = rest;
        Ok(excerpt)
    }

    /// Reads what was not read yet.
    ///
    /// # Errors
    /// As [`body`](Mailboxes::body).
    pub(super) async fn rest_of(
        &self,
        mut excerpt: Excerpt,
        content: &Content,
        structure: &Structure,
    ) -> Result<Excerpt> {
        let leaves = structure.leaves();
        for range in std::mem::take(&mut excerpt.rest) {
            let stretches = self.part_kept(content, range).await?;
            excerpt.add(stretches, &leaves);
        }
        Ok(excerpt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_given() {
        let excerpt = Excerpt {
            pieces: vec![
                (0, Bytes::from_static(b"header")),
                (100, Bytes::from_static(b"text")),
            ],
            ..Excerpt::default()
        };
        assert_eq!(excerpt.get(0..6), b"header");
        assert_eq!(excerpt.get(2..50), b"ader");
        assert_eq!(excerpt.get(50..60), b"");
        assert_eq!(excerpt.get(101..103), b"ex");
        assert_eq!(excerpt.get(101..u64::MAX), b"ext");
        assert_eq!(Excerpt::default().get(0..5), b"");
        assert_eq!(Excerpt::whole(&b"all"[..]).get(0..2), b"al");
    }

    #[test]
    fn attachments_are_not_looked_at() {
        let text = "text ".repeat(10);
        let data = "YWJj".repeat(10_000);
        let raw = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{text}\r\n--b\r\n\
             Content-Type: image/png\r\n\r\n{data}\r\n--b\r\nContent-Type: text/html\r\n\r\n{text}\r\n--b--\r\n"
        );
        let ranges = of_texts(&Structure::parse(raw.as_bytes()));
        assert_eq!(ranges.len(), 2);
        let read: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        assert!(read < 400, "{ranges:?}");
    }
}
