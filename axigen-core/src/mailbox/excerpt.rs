//! Those parts of a message that something looks at.

use std::ops::Range;

use bytes::Bytes;

use super::{Mailboxes, error::Result, item::Content, structure::Structure};

/// Ranges with less than this between them are read as one, in bytes.
const GAP: u64 = 16 * 1024;

/// Pieces of a message: what was read of it.
#[derive(Debug, Clone, Default)]
pub struct Excerpt {
    /// Where each begins; ascending, none overlapping another.
    pieces: Vec<(u64, Bytes)>,
}

impl Excerpt {
    /// All of a message.
    pub fn whole(raw: impl Into<Bytes>) -> Excerpt {
        Excerpt {
            pieces: vec![(0, raw.into())],
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

impl Mailboxes {
    /// Ranges of a message, which ascend.
    ///
    /// # Errors
    /// As [`body`](Mailboxes::body).
    pub(super) async fn excerpt(
        &self,
        content: &Content,
        ranges: &[Range<u64>],
    ) -> Result<Excerpt> {
        let mut pieces = Vec::with_capacity(ranges.len());
        for range in ranges {
            pieces.push((range.start, self.part(content, range.clone()).await?));
        }
        Ok(Excerpt { pieces })
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
