//! Bytes cut into responses under limits. What a FETCH response holds of a
//! message is handed on as it comes and never collected.

use bytes::{Bytes, BytesMut};

use crate::frame::{Framer, Line};
use crate::imap::command::FetchAttribute;
use crate::imap::extensions::literal::announced;
use crate::imap::parse::response::data_name;
use crate::limits::ImapClientLimits;
use crate::session::Violation;

/// Longest piece of a message handed on at once.
const PIECE: usize = 64 * 1024;

/// What was cut off.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A whole response with its small literals, without its last CRLF. What
    /// was handed on of a FETCH response is missing from it.
    Response(Bytes),
    /// A FETCH response goes on with bytes of a message.
    Start(Start),
    /// The next of them.
    Part(Bytes),
    /// There are no more.
    End,
    /// The server does what no server may do.
    Fault(Violation),
}

/// What is known when bytes of a message begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) seq: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) attribute: FetchAttribute,
    pub(super) size: u64,
}

/// Unread bytes, and the response that is being collected.
#[derive(Debug, Default)]
pub(super) struct ResponseFramer {
    input: Framer,
    /// Lines (with their CRLF) and small literals so far.
    response: BytesMut,
    /// Bytes of the small literal that are still to come.
    wanted: usize,
    /// Bytes of a message that are still to come.
    body: Option<u64>,
    /// Where a FETCH response stands.
    fetch: Option<Fetch>,
}

/// How far a FETCH response has been looked at: what its parentheses and quotes
/// are, and which item stands where.
#[derive(Debug)]
struct Fetch {
    seq: Option<u32>,
    uid: Option<u32>,
    depth: usize,
    quoted: bool,
    escaped: bool,
    /// Inside the brackets of an item's name.
    section: bool,
    /// Where the word begins that is being looked at, in the list itself.
    word: usize,
    /// Where the word before it began.
    before: usize,
}

impl ResponseFramer {
    /// Adds bytes read from the server.
    pub(super) fn push(&mut self, bytes: BytesMut) {
        self.input.push(bytes);
    }

    /// Whether no byte is unread.
    pub(super) fn is_empty(&self) -> bool {
        self.input.is_empty() && self.response.is_empty()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.input.clear();
        *self = Self::default();
    }

    /// Bytes held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.input.len() + self.response.len()
    }

    /// The next frame; `None` when bytes are missing.
    pub(super) fn next(&mut self, limits: &ImapClientLimits) -> Option<Frame> {
        if let Some(left) = self.body {
            return self.part(left);
        }
        if self.wanted > 0 {
            let bytes = self.input.take(self.wanted);
            self.wanted -= bytes.len();
            self.response.extend_from_slice(&bytes);
            if self.wanted > 0 {
                return None;
            }
        }
        loop {
            let left = limits.response.saturating_sub(self.response.len());
            let line = match self.input.line(left)? {
                Line::Complete(line) => line,
                Line::BareLf(_) => return Some(Frame::Fault(Violation::NotThisProtocol)),
                Line::TooLong => return Some(Frame::Fault(Violation::TooLarge)),
            };
            let first = self.response.is_empty();
            if first && !has_data(&line) {
                return Some(Frame::Response(line));
            }
            let literal = announced(&line);
            if first {
                if literal.is_none() {
                    return Some(Frame::Response(line));
                }
                self.fetch = Fetch::begins(&line);
            }
            let from = self.response.len();
            self.response.extend_from_slice(&line);
            if let Some(fetch) = &mut self.fetch {
                fetch.look(&self.response, from);
            }
            let Some(literal) = literal else {
                self.fetch = None;
                return Some(Frame::Response(std::mem::take(&mut self.response).freeze()));
            };
            let announcement = self.response.len() - literal.length;
            if let Some(fetch) = &mut self.fetch
                && let Some(attribute) = fetch.data(&self.response, announcement, literal.size)
            {
                let start = Start {
                    seq: fetch.seq,
                    uid: fetch.uid,
                    attribute,
                    size: literal.size,
                };
                // What was handed on stands in the response no more.
                self.response.truncate(fetch.before);
                fetch.word = fetch.before;
                self.body = Some(literal.size);
                return Some(Frame::Start(start));
            }
            let size = usize::try_from(literal.size).unwrap_or(usize::MAX);
            self.response.extend_from_slice(b"\r\n");
            let fits = size <= limits.literal
                && self.response.len().saturating_add(size) <= limits.response;
            if !fits {
                return Some(Frame::Fault(Violation::TooLarge));
            }
            let bytes = self.input.take(size);
            self.wanted = size - bytes.len();
            self.response.extend_from_slice(&bytes);
            if self.wanted > 0 {
                return None;
            }
        }
    }

    fn part(&mut self, left: u64) -> Option<Frame> {
        if left == 0 {
            self.body = None;
            return Some(Frame::End);
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
        let bytes = self.input.take(most);
        if bytes.is_empty() {
            return None;
        }
        self.body = Some(left - bytes.len() as u64);
        Some(Frame::Part(bytes))
    }
}

/// Whether a line may hold literals: what is text for people may end in what
/// looks like one.
fn has_data(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"* ") else {
        return false;
    };
    let end = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
    let name = &rest[..end];
    ![&b"OK"[..], b"NO", b"BAD", b"BYE", b"PREAUTH"]
        .iter()
        .any(|text| name.eq_ignore_ascii_case(text))
}

impl Fetch {
    /// `"*" SP nz-number SP ("FETCH" / "UIDFETCH") SP "("`
    fn begins(line: &[u8]) -> Option<Fetch> {
        let rest = line.strip_prefix(b"* ")?;
        let end = rest.iter().position(|b| !b.is_ascii_digit())?;
        let (digits, rest) = rest.split_at(end);
        let number = number(digits)?;
        let is = |name: &[u8]| {
            let start = rest.get(..name.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        let (seq, uid) = match () {
            () if is(b" FETCH (") => (Some(number), None),
            // RFC 9586 §3.3
            () if is(b" UIDFETCH (") => (None, Some(number)),
            () => return None,
        };
        Some(Fetch {
            seq,
            uid,
            depth: 0,
            quoted: false,
            escaped: false,
            section: false,
            word: 0,
            before: 0,
        })
    }

    /// Looks at what was added from `from` on.
    fn look(&mut self, response: &[u8], from: usize) {
        for (at, &byte) in response.iter().enumerate().skip(from) {
            if self.quoted {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.quoted = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.quoted = true,
                b']' => self.section = false,
                _ if self.section => {}
                b'[' if self.depth == 1 => self.section = true,
                b'(' => {
                    self.depth += 1;
                    if self.depth == 1 {
                        (self.before, self.word) = (at + 1, at + 1);
                    }
                }
                b')' => self.depth = self.depth.saturating_sub(1),
                b' ' if self.depth == 1 => {
                    let name = response.get(self.before..self.word.saturating_sub(1));
                    let value = response.get(self.word..at).unwrap_or_default();
                    if name.is_some_and(|name| name.eq_ignore_ascii_case(b"UID")) {
                        self.uid = number(value).or(self.uid);
                    }
                    (self.before, self.word) = (self.word, at + 1);
                }
                _ => {}
            }
        }
    }

    /// What of a message the literal announced at `announcement` holds.
    fn data(&self, response: &[u8], announcement: usize, size: u64) -> Option<FetchAttribute> {
        let here = self.depth == 1 && !self.section && !self.quoted && self.word == announcement;
        let name = response.get(self.before..self.word.checked_sub(1)?)?;
        if here { data_name(name, size) } else { None }
    }
}

/// A number that is none of the message's own.
fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn limits() -> ImapClientLimits {
        ImapClientLimits {
            response: 200,
            literal: 20,
            ..ImapClientLimits::default()
        }
    }

    /// What comes out, parts joined.
    fn frames(input: &[u8], chunk: usize) -> Vec<Frame> {
        let mut framer = ResponseFramer::default();
        let mut out: Vec<Frame> = Vec::new();
        for piece in input.chunks(chunk) {
            framer.push(BytesMut::from(piece));
            while let Some(frame) = framer.next(&limits()) {
                match (out.last_mut(), frame) {
                    (Some(Frame::Part(have)), Frame::Part(more)) => {
                        *have = [&have[..], &more[..]].concat().into();
                    }
                    (_, Frame::Fault(fault)) => {
                        out.push(Frame::Fault(fault));
                        return out;
                    }
                    (_, frame) => out.push(frame),
                }
            }
            assert!(framer.held() <= 202 + chunk, "{}", framer.held());
        }
        out
    }

    fn shown(frames: &[Frame]) -> Vec<String> {
        frames
            .iter()
            .map(|frame| match frame {
                Frame::Response(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Frame::Start(start) => {
                    let seq = start.seq.unwrap_or_default();
                    format!("{seq} {:?} {}", start.uid, start.size)
                }
                Frame::Part(bytes) => format!("part {}", String::from_utf8_lossy(bytes)),
                Frame::End => "end".to_owned(),
                Frame::Fault(fault) => fault.to_string(),
            })
            .collect()
    }

    fn at_every_chunk(input: &str) -> Vec<String> {
        let whole = frames(input.as_bytes(), input.len());
        for chunk in 1..input.len() {
            assert_eq!(frames(input.as_bytes(), chunk), whole, "chunk size {chunk}");
        }
        shown(&whole)
    }

    #[test]
    fn bodies_are_handed_on() {
        let input = "* 7 FETCH (UID 9 BODY[1.HEADER.FIELDS (\"x]\" TO)]<3> {5}\r\n(\r\n) FLAGS (a[b) RFC822 {0}\r\n BINARY[2] ~{2}\r\n\0x ENVELOPE (\"BODY[] \" {3}\r\nabc) BODY[] NIL)\r\nA1 OK done {7}\r\n* OK yes {9}\r\n+ {1}\r\n";
        assert_eq!(
            at_every_chunk(input),
            [
                "7 Some(9) 5",
                "part (\r\n) ",
                "end",
                "7 Some(9) 0",
                "end",
                "7 Some(9) 2",
                "part \0x",
                "end",
                "* 7 FETCH (UID 9 FLAGS (a[b)   ENVELOPE (\"BODY[] \" {3}\r\nabc) BODY[] NIL)",
                "A1 OK done {7}",
                "* OK yes {9}",
                "+ {1}",
            ]
        );
    }

    #[test]
    fn bodies_by_uid() {
        let input = "* 25996 UIDFETCH (FLAGS () BODY[] {1}\r\nx)\r\n";
        assert_eq!(
            at_every_chunk(input),
            [
                "0 Some(25996) 1",
                "part x",
                "end",
                "* 25996 UIDFETCH (FLAGS () )"
            ]
        );
    }

    #[test]
    fn what_only_looks_like_a_body_is_none() {
        for (input, want) in [
            (
                "* 1 FETCH (X (BODY[] {3}\r\nabc))\r\n",
                "* 1 FETCH (X (BODY[] {3}\r\nabc))",
            ),
            (
                "* 1 FETCH (BODY[HEADER.FIELDS ({2}\r\nTO)] NIL)\r\n",
                "* 1 FETCH (BODY[HEADER.FIELDS ({2}\r\nTO)] NIL)",
            ),
            (
                "* LIST () \"/\" {4}\r\nBODY\r\n",
                "* LIST () \"/\" {4}\r\nBODY",
            ),
            (
                "* 1 FETCH (BODY[ {2}\r\nTO)\r\n",
                "* 1 FETCH (BODY[ {2}\r\nTO)",
            ),
        ] {
            assert_eq!(at_every_chunk(input), [want]);
        }
    }

    #[test]
    fn everything_has_a_limit() {
        let long = "x".repeat(201);
        for (input, want) in [
            (format!("* X {long}\r\n"), "a line or literal was too large"),
            ("* X {21}\r\n".to_owned(), "a line or literal was too large"),
            (
                "* X {20}\r\n12345678901234567890".repeat(12),
                "a line or literal was too large",
            ),
            (
                "* X {99999999999999999999}\r\n".to_owned(),
                "a line or literal was too large",
            ),
            (
                "* OK x\n".to_owned(),
                "the peer does not speak this protocol",
            ),
        ] {
            assert_eq!(at_every_chunk(&input), [want]);
        }
        // Bodies have none, however many there are.
        let many = format!(
            "* 1 FETCH ({})\r\n",
            "BODY[] {300}\r\n".to_owned() + &"y".repeat(300)
        );
        assert_eq!(at_every_chunk(&many).len(), 4);
        let many = format!("* 1 FETCH ({})\r\n", "BODY[] {1}\r\nx ".repeat(100));
        assert_eq!(at_every_chunk(&many).len(), 301);
    }
}
