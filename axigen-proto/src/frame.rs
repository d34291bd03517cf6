//! Bytes cut into lines and blocks under named limits, before any grammar runs.
//!
//! A [`Framer`] owns the bytes that a session has read and not yet used. It
//! finds the next line, or hands out raw blocks (a literal, a BDAT chunk).
//! Only CRLF ends a line: a line that a bare LF ends is handed out marked as
//! such, so that the session can refuse it at once instead of waiting for ever.

use bytes::{Buf, Bytes, BytesMut};

/// One line, cut off the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line that CRLF ended; the CRLF is removed. The content may still hold
    /// a bare CR: grammars refuse it.
    Complete(Bytes),
    /// A line that a bare LF ended; the LF is removed. It is never a valid
    /// command.
    BareLf(Bytes),
    /// A line beyond the limit. All of it was discarded, its end included.
    TooLong,
}

/// How much of the end of a line that is too long is remembered, in bytes.
const LOST_END: usize = 32;

/// Unread bytes of a session, with a cursor that never scans a byte twice.
#[derive(Debug, Default)]
pub struct Framer {
    buf: BytesMut,
    scanned: usize,
    discarding: bool,
    /// The end of the line that was lost, with its line end.
    lost: Vec<u8>,
}

impl Framer {
    /// An empty framer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes read from the peer. Without a copy when nothing is unread.
    pub fn push(&mut self, bytes: BytesMut) {
        if self.buf.is_empty() {
            self.buf = bytes;
            self.scanned = 0;
        } else {
            self.buf.extend_from_slice(&bytes);
        }
    }

    /// Number of unread bytes.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// Whether no byte is unread.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// The unread bytes, for a session that frames by itself (DATA).
    pub fn unread(&self) -> &[u8] {
        &self.buf
    }

    /// Forgets everything unread (after STARTTLS, at close).
    pub fn clear(&mut self) {
        self.buf = BytesMut::new();
        self.scanned = 0;
        self.discarding = false;
        self.lost = Vec::new();
    }

    /// Cuts the next line, without its line end, of at most `limit` bytes.
    /// `None` while the line is incomplete and within the limit.
    ///
    /// The bytes of a line beyond the limit are dropped as they come, so an
    /// endless line holds no memory; [`Line::TooLong`] is reported once, when
    /// its end is seen.
    pub fn line(&mut self, limit: usize) -> Option<Line> {
        let Some(at) = self.buf[self.scanned..].iter().position(|&b| b == b'\n') else {
            // One byte more: the CR of a line that is exactly at the limit.
            if self.discarding || self.buf.len() > limit + 1 {
                if !std::mem::replace(&mut self.discarding, true) {
                    self.lost.clear();
                }
                remember(&mut self.lost, &self.buf);
                self.buf.clear();
            }
            self.scanned = self.buf.len();
            return None;
        };
        let end = self.scanned + at;
        self.scanned = 0;
        let mut line = self.buf.split_to(end + 1).freeze();
        if std::mem::take(&mut self.discarding) {
            remember(&mut self.lost, &line);
            return Some(Line::TooLong);
        }
        self.lost.clear();
        let crlf = line.len() >= 2 && line[line.len() - 2] == b'\r';
        let length = line.len() - if crlf { 2 } else { 1 };
        if length > limit {
            remember(&mut self.lost, &line);
            return Some(Line::TooLong);
        }
        line.truncate(length);
        Some(if crlf {
            Line::Complete(line)
        } else {
            Line::BareLf(line)
        })
    }

    /// The end of the line that was just reported as [`Line::TooLong`], without
    /// its line end; at most 32 bytes. What the line announces there comes
    /// although the line is lost.
    pub fn lost_end(&self) -> &[u8] {
        let line = self.lost.strip_suffix(b"\n").unwrap_or(&self.lost);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        &line[line.len().saturating_sub(LOST_END)..]
    }

    /// Whether a line beyond its limit is being thrown away right now.
    pub fn is_discarding(&self) -> bool {
        self.discarding
    }

    /// Takes up to `max` unread bytes as a block; empty when none are there.
    pub fn take(&mut self, max: usize) -> Bytes {
        let n = max.min(self.buf.len());
        self.scanned = self.scanned.saturating_sub(n);
        self.buf.split_to(n).freeze()
    }

    /// Drops `n` unread bytes (at most all of them).
    pub fn skip(&mut self, n: usize) {
        let n = n.min(self.buf.len());
        self.scanned = self.scanned.saturating_sub(n);
        self.buf.advance(n);
    }
}

/// Keeps the end of what a lost line consists of, a line end besides.
fn remember(lost: &mut Vec<u8>, more: &[u8]) {
    const KEPT: usize = LOST_END + 2;
    lost.extend_from_slice(&more[more.len().saturating_sub(KEPT)..]);
    lost.drain(..lost.len().saturating_sub(KEPT));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8], chunk: usize, limit: usize) -> Vec<Line> {
        let mut framer = Framer::new();
        let mut out = Vec::new();
        for piece in input.chunks(chunk) {
            framer.push(BytesMut::from(piece));
            while let Some(line) = framer.line(limit) {
                out.push(line);
            }
            assert!(framer.len() <= limit + 1 + chunk);
        }
        out
    }

    #[test]
    fn chunking_changes_nothing() {
        let input = b"EHLO x\r\nbare\nlonglonglong\r\n\r\n12345678\r\n123456789\r\nend\r\n";
        let want = vec![
            Line::Complete(Bytes::from_static(b"EHLO x")),
            Line::BareLf(Bytes::from_static(b"bare")),
            Line::TooLong,
            Line::Complete(Bytes::new()),
            Line::Complete(Bytes::from_static(b"12345678")),
            Line::TooLong,
            Line::Complete(Bytes::from_static(b"end")),
        ];
        for chunk in 1..=input.len() {
            assert_eq!(lines(input, chunk, 8), want, "chunk size {chunk}");
        }
    }

    #[test]
    fn the_end_of_a_lost_line_is_known() {
        let long = "x".repeat(100);
        for (line, want) in [
            (format!("{long} {{5+}}"), format!("{} {{5+}}", &long[..27])),
            ("123456789".to_owned(), "123456789".to_owned()),
        ] {
            for end in ["\r\n", "\n"] {
                let input = format!("{line}{end}");
                for chunk in 1..=input.len() {
                    let mut framer = Framer::new();
                    let mut found = None;
                    for piece in input.as_bytes().chunks(chunk) {
                        framer.push(BytesMut::from(piece));
                        found = found.or(framer.line(8));
                    }
                    assert_eq!(found, Some(Line::TooLong));
                    assert_eq!(framer.lost_end(), want.as_bytes(), "in pieces of {chunk}");
                }
            }
        }
    }

    #[test]
    fn an_endless_line_holds_no_memory() {
        let mut framer = Framer::new();
        for _ in 0..10_000 {
            framer.push(BytesMut::from(&[b'x'; 1000][..]));
            assert_eq!(framer.line(512), None);
            assert!(framer.len() <= 513);
        }
        framer.push(BytesMut::from(&b"\r\nQUIT\r\n"[..]));
        assert_eq!(framer.line(512), Some(Line::TooLong));
        assert_eq!(
            framer.line(512),
            Some(Line::Complete(Bytes::from_static(b"QUIT")))
        );
    }
}
