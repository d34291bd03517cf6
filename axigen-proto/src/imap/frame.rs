//! Bytes cut into commands: lines and the literals between them, under limits.
//!
//! A literal is never taken before [`CommandFramer::accept`]; what is refused
//! is either not sent by the client (synchronising) or thrown away as it comes.

use bytes::{Bytes, BytesMut};

use super::extensions::literal::{Literal, announced};
use super::parse;
use super::response::Status;
use super::types::Tag;
use crate::frame::{Framer, Line};

/// A tag longer than this is not remembered for an over-long command.
const TAG_LIMIT: usize = 256;

/// What was cut off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A whole command, its literals included, without its last CRLF.
    Command(Bytes),
    /// The command announces a literal: decide on [`CommandFramer::so_far`] with
    /// `accept`, `forget` or `discard`.
    Literal(Literal),
    /// A line beyond the limit, all of it thrown away, and the literal that it
    /// announces.
    TooLong(Option<Tag>, Option<Literal>),
    /// A line that a bare LF ended; the command is forgotten. Likewise.
    BareLf(Option<Tag>, Option<Literal>),
    /// A refused command has been thrown away to its end: answer it now.
    Discarded(Option<Tag>, Status),
    /// The rest of a refused command is larger than anyone needs.
    Flood,
}

/// Unread bytes, and the command that is being collected.
#[derive(Debug, Default)]
pub(crate) struct CommandFramer {
    input: Framer,
    hint: Hint,
    /// Lines (with their CRLF) and literals so far.
    command: BytesMut,
    /// Bytes of the announcement at the end of `command`.
    announcement: usize,
    lines: usize,
    literals: usize,
    literal_bytes: usize,
    /// Bytes of the accepted literal that are still to come.
    wanted: usize,
    discard: Option<Box<Discard>>,
}

/// The tag of the line being read, in case the line is lost.
#[derive(Debug, Default)]
enum Hint {
    #[default]
    Unknown,
    Known(Tag),
    None,
}

#[derive(Debug)]
struct Discard {
    tag: Option<Tag>,
    status: Status,
    left: u64,
    budget: u64,
}

impl CommandFramer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds bytes read from the peer.
    pub(crate) fn push(&mut self, bytes: BytesMut) {
        self.input.push(bytes);
    }

    /// Whether no byte is unread.
    pub(crate) fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    /// Bytes held.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.input.len() + self.command.len()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.input.clear();
        self.discard = None;
        self.forget();
    }

    /// Gives memory back while the peer is silent.
    pub(crate) fn rest(&mut self) {
        if self.input.is_empty() && !self.input.is_discarding() {
            self.input.clear();
        }
    }

    /// The next frame of a command whose lines have at most `limit` bytes
    /// together; `None` when bytes are missing.
    pub(crate) fn next(&mut self, limit: usize) -> Option<Frame> {
        if self.discard.is_some() {
            return self.next_discarded(limit);
        }
        if self.wanted > 0 {
            let bytes = self.input.take(self.wanted);
            self.wanted -= bytes.len();
            self.command.extend_from_slice(&bytes);
            if self.wanted > 0 {
                return None;
            }
        }
        // The limit counts the line ends too.
        let left = limit.saturating_sub(self.lines).saturating_sub(2);
        self.look_for_tag(left);
        let line = self.input.line(left)?;
        let literal = self.announced(&line);
        Some(match line {
            Line::TooLong => Frame::TooLong(self.end(), literal),
            Line::BareLf(_) => Frame::BareLf(self.end(), literal),
            Line::Complete(line) => match literal {
                Some(literal) => {
                    self.lines += line.len() + 2;
                    self.announcement = literal.length;
                    self.command.extend_from_slice(&line);
                    Frame::Literal(literal)
                }
                None if self.command.is_empty() => {
                    self.forget();
                    Frame::Command(line)
                }
                None => {
                    self.command.extend_from_slice(&line);
                    let command = std::mem::take(&mut self.command).freeze();
                    self.forget();
                    Frame::Command(command)
                }
            },
        })
    }

    /// The command up to the literal that was announced, without the announcement.
    pub(crate) fn so_far(&self) -> &[u8] {
        let end = self.command.len().saturating_sub(self.announcement);
        self.command.get(..end).unwrap_or_default()
    }

    /// Number of literals taken, and their bytes.
    pub(crate) fn taken(&self) -> (usize, usize) {
        (self.literals, self.literal_bytes)
    }

    /// Bytes of an accepted literal that are still to come.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted
    }

    /// Takes the literal that was announced.
    pub(crate) fn accept(&mut self, size: usize) {
        self.command.extend_from_slice(b"\r\n");
        self.announcement = 0;
        self.literals += 1;
        self.literal_bytes += size;
        self.wanted = size;
    }

    /// Forgets the command; the client sends no more of it.
    pub(crate) fn forget(&mut self) {
        self.command = BytesMut::new();
        self.hint = Hint::Unknown;
        self.announcement = 0;
        self.lines = 0;
        self.literals = 0;
        self.literal_bytes = 0;
        self.wanted = 0;
    }

    /// Throws away `left` bytes and the rest of the command behind them, of at
    /// most `budget` bytes, and then hands `status` back.
    pub(crate) fn discard(&mut self, tag: Option<Tag>, status: Status, left: u64, budget: u64) {
        self.forget();
        self.discard = Some(Box::new(Discard {
            tag,
            status,
            left,
            budget,
        }));
    }

    /// Up to `max` bytes of a message; empty when none are there.
    pub(crate) fn message(&mut self, max: u64) -> Bytes {
        self.input.take(usize::try_from(max).unwrap_or(usize::MAX))
    }

    /// The literal that a line announces, however the line itself fares: what a
    /// client sends unasked comes also behind a line that is lost, and must not
    /// be taken for commands.
    pub(crate) fn announced(&self, line: &Line) -> Option<Literal> {
        match line {
            Line::Complete(line) | Line::BareLf(line) => announced(line),
            Line::TooLong => announced(self.input.lost_end()),
        }
    }

    /// A line that is no command: of AUTHENTICATE, of IDLE, behind a message.
    pub(crate) fn line(&mut self, limit: usize) -> Option<Line> {
        self.input.line(limit)
    }

    fn next_discarded(&mut self, limit: usize) -> Option<Frame> {
        loop {
            let discard = self.discard.as_mut()?;
            if discard.left > discard.budget {
                return Some(Frame::Flood);
            }
            let here = self.input.len();
            let skipped = usize::try_from(discard.left).unwrap_or(here).min(here);
            self.input.skip(skipped);
            discard.left -= skipped as u64;
            discard.budget -= skipped as u64;
            if discard.left > 0 {
                return None;
            }
            let line = self.input.line(limit)?;
            let literal = self.announced(&line);
            match (literal, &mut self.discard) {
                (Some(literal), Some(discard)) if !literal.synchronising => {
                    discard.left = literal.size;
                    // The line counts too, so that this has an end.
                    let length = match &line {
                        Line::Complete(line) | Line::BareLf(line) => line.len(),
                        Line::TooLong => limit,
                    };
                    discard.budget = discard.budget.saturating_sub(length as u64);
                }
                _ => {
                    let discard = self.discard.take()?;
                    return Some(Frame::Discarded(discard.tag, discard.status));
                }
            }
        }
    }

    fn end(&mut self) -> Option<Tag> {
        let tag = match std::mem::take(&mut self.hint) {
            Hint::Known(tag) => Some(tag),
            Hint::Unknown | Hint::None => None,
        };
        self.forget();
        tag
    }

    /// Remembers the tag as soon as it is there. Once per command. It looks no
    /// further than a line of `limit` bytes is surely held, so that it finds the
    /// same however the bytes come.
    fn look_for_tag(&mut self, limit: usize) {
        if !matches!(self.hint, Hint::Unknown) {
            return;
        }
        let start = self.input.unread();
        let window = TAG_LIMIT.min(limit + 1);
        let start = &start[..start.len().min(window)];
        self.hint = match parse::tag(start) {
            Ok((rest, tag)) if rest.first() == Some(&b' ') => Hint::Known(tag),
            Ok((b"", _)) if start.len() < window => Hint::Unknown,
            Err(_) if start.is_empty() => Hint::Unknown,
            _ => Hint::None,
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// Frames of `input`, all literals up to 10 bytes accepted.
    fn frames(input: &[u8], chunk: usize, limit: usize) -> Vec<Frame> {
        let mut framer = CommandFramer::new();
        let mut out = Vec::new();
        for piece in input.chunks(chunk) {
            framer.push(BytesMut::from(piece));
            while let Some(frame) = framer.next(limit) {
                match &frame {
                    Frame::Literal(literal) if literal.size <= 10 => {
                        framer.accept(literal.size as usize);
                    }
                    Frame::TooLong(tag, Some(literal)) | Frame::BareLf(tag, Some(literal)) => {
                        framer.discard(tag.clone(), Status::no("lost"), literal.size, 100);
                    }
                    Frame::Literal(literal) => {
                        let tag = parse::head(framer.so_far()).ok().map(|head| head.tag);
                        framer.discard(tag, Status::no("large"), literal.size, 100);
                    }
                    Frame::Flood => {
                        out.push(frame);
                        return out;
                    }
                    _ => {}
                }
                out.push(frame);
            }
            assert!(framer.held() <= limit + 10 + chunk);
        }
        out
    }

    #[test]
    fn chunking_changes_nothing() {
        let long = "x".repeat(60);
        let input = format!(
            "a NOOP\r\nb LOGIN {{3+}}\r\na\r\n {{0}}\r\n x\r\nc CREATE {{50+}}\r\n{}{{5+}}\r\n12345\r\nlf NOOP\nlong {long}\r\n{long} {long}\r\nd NOOP\r\ne LIST {{1+}}\r\n1{long}\r\nf {{101+}}\r\n",
            "y".repeat(50),
        );
        let whole = frames(input.as_bytes(), input.len(), 48);
        let commands: Vec<_> = whole
            .iter()
            .filter(|frame| !matches!(frame, Frame::Literal(_)))
            .collect();
        assert_eq!(commands.len(), 9);
        assert_eq!(*commands[0], Frame::Command(Bytes::from_static(b"a NOOP")));
        assert_eq!(
            *commands[1],
            Frame::Command(Bytes::from_static(b"b LOGIN {3+}\r\na\r\n {0}\r\n x"))
        );
        assert_eq!(
            *commands[2],
            Frame::Discarded(Tag::new("c"), Status::no("large"))
        );
        assert_eq!(*commands[3], Frame::BareLf(Tag::new("lf"), None));
        assert_eq!(*commands[4], Frame::TooLong(Tag::new("long"), None));
        assert_eq!(*commands[5], Frame::TooLong(None, None));
        assert_eq!(*commands[6], Frame::Command(Bytes::from_static(b"d NOOP")));
        assert_eq!(*commands[7], Frame::TooLong(Tag::new("e"), None));
        assert_eq!(*commands[8], Frame::Flood);
        for chunk in 1..input.len() {
            assert_eq!(frames(input.as_bytes(), chunk, 48), whole, "chunk {chunk}");
        }
    }

    #[test]
    fn what_a_lost_line_announces_is_thrown_away() {
        let long = "x".repeat(60);
        let input = format!(
            "a {long} {{8+}}\r\nb NOOP\r\n\r\nc NOOP {{8+}}\nd NOOP\r\n{long} {{8+}}\r\ne NOOP\r\n{{8+}}\nf NOOP\r\n\r\ng NOOP\r\n",
        );
        let whole = frames(input.as_bytes(), input.len(), 48);
        let literal = announced(b"{8+}");
        let want = [
            Frame::TooLong(Tag::new("a"), literal),
            Frame::Discarded(Tag::new("a"), Status::no("lost")),
            Frame::BareLf(Tag::new("c"), literal),
            Frame::Discarded(Tag::new("c"), Status::no("lost")),
            Frame::Command(Bytes::from_static(b"g NOOP")),
        ];
        assert_eq!(whole, want);
        for chunk in 1..input.len() {
            assert_eq!(frames(input.as_bytes(), chunk, 48), whole, "chunk {chunk}");
        }
    }
}
