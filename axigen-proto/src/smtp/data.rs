//! The bytes of a message as DATA and BDAT carry them, on the receiving side.
//!
//! Bodies never pass through a grammar: [`DotReader`] looks for the few bytes
//! that matter and hands out the rest as slices of the input buffer.

use bytes::{Bytes, BytesMut};
use memchr::memchr3;

use crate::frame::Framer;

/// Slices shorter than this are joined before they are handed out, so that a
/// message of nothing but dots does not become millions of events.
const SMALL: usize = 1024;

/// Size at which joined slices are handed out.
const JOINED: usize = 16 * 1024;

/// What is not allowed in a message that is made of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A CR or LF by itself.
    BareLineEnd,
    /// A NUL.
    Nul,
}

/// Which faults matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checks {
    pub(super) bare_line_ends: bool,
    pub(super) nul: bool,
}

impl Checks {
    fn matters(self, fault: Fault) -> bool {
        match fault {
            Fault::BareLineEnd => self.bare_line_ends,
            Fault::Nul => self.nul,
        }
    }
}

/// What [`DotReader::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Some of the message, dots removed.
    Body(Bytes),
    /// CRLF.CRLF was read.
    End,
}

/// Reads a message up to CRLF.CRLF and removes the dots that were added for
/// the way (RFC 5321 §4.5.2).
///
/// A line starts after CRLF and nowhere else: a dot behind a bare LF or CR is
/// part of the message, whatever follows it (CVE-2023-51764).
#[derive(Debug)]
pub(super) struct DotReader {
    checks: Checks,
    line_start: bool,
    discard: bool,
    faults: Faults,
    consumed: u64,
    joined: BytesMut,
    held: Option<Bytes>,
}

/// Why a scan stopped.
enum Stop {
    /// All was scanned, or the last bytes need those that follow.
    More,
    /// The next byte is a dot to remove.
    Dot,
    /// The next three bytes end the message.
    End,
}

impl DotReader {
    /// A reader at the start of a message, which is the start of a line.
    pub(super) fn new(checks: Checks) -> Self {
        Self {
            checks,
            line_start: true,
            discard: false,
            faults: Faults::default(),
            consumed: 0,
            joined: BytesMut::new(),
            held: None,
        }
    }

    /// The first fault that was found and matters. From then on nothing more is
    /// handed out but the end.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.faults.first
    }

    /// Hands out nothing more but the end.
    pub(super) fn discard(&mut self) {
        self.discard = true;
        self.joined = BytesMut::new();
        self.held = None;
    }

    /// Bytes read so far, dots and all.
    pub(super) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// The next piece; `None` when more input is needed. Two bytes at most are
    /// left unread then.
    pub(super) fn next(&mut self, input: &mut Framer) -> Option<Piece> {
        loop {
            if let Some(held) = self.held.take() {
                return Some(Piece::Body(held));
            }
            let (length, stop) = self.scan(input.unread());
            let run = input.take(length);
            self.consumed += length as u64;
            if self.faults.first.is_some() && !self.discard {
                self.discard();
            }
            match stop {
                Stop::More => return self.hand_out(run).or_else(|| self.flush()),
                Stop::Dot => {
                    input.skip(1);
                    self.consumed += 1;
                    if let Some(piece) = self.hand_out(run) {
                        return Some(piece);
                    }
                }
                Stop::End => {
                    // What is left of the message first; the end stays unread and is found again.
                    if let Some(piece) = self.hand_out(run).or_else(|| self.flush()) {
                        return Some(piece);
                    }
                    input.skip(3);
                    self.consumed += 3;
                    return Some(Piece::End);
                }
            }
        }
    }

    /// Hands out a run, or joins it to others when it is small.
    fn hand_out(&mut self, run: Bytes) -> Option<Piece> {
        if self.discard || run.is_empty() {
            return None;
        }
        if run.len() < SMALL {
            self.joined.extend_from_slice(&run);
            return if self.joined.len() >= JOINED {
                self.flush()
            } else {
                None
            };
        }
        match self.flush() {
            None => Some(Piece::Body(run)),
            joined => {
                self.held = Some(run);
                joined
            }
        }
    }

    fn flush(&mut self) -> Option<Piece> {
        if self.joined.is_empty() {
            return None;
        }
        Some(Piece::Body(self.joined.split().freeze()))
    }

    /// How many bytes of `input` are message as they stand, and what comes next.
    fn scan(&mut self, input: &[u8]) -> (usize, Stop) {
        let mut at = 0;
        loop {
            if self.line_start {
                match &input[at..] {
                    [] => return (at, Stop::More),
                    [b'.', b'\r', b'\n', ..] => return (at, Stop::End),
                    [b'.'] | [b'.', b'\r'] => return (at, Stop::More),
                    [b'.', ..] => {
                        self.line_start = false;
                        return (at, Stop::Dot);
                    }
                    _ => self.line_start = false,
                }
            }
            let Some(found) = memchr3(b'\r', b'\n', 0, &input[at..]) else {
                return (input.len(), Stop::More);
            };
            at += found;
            match &input[at..] {
                [b'\r', b'\n', ..] => {
                    self.line_start = true;
                    at += 2;
                }
                [b'\r'] => return (at, Stop::More),
                [0, ..] => {
                    self.found(Fault::Nul);
                    at += 1;
                }
                _ => {
                    self.found(Fault::BareLineEnd);
                    at += 1;
                }
            }
        }
    }

    fn found(&mut self, fault: Fault) {
        self.faults.found(self.checks, fault);
    }
}

/// The first fault of a message that matters: the same however the message is cut.
#[derive(Debug, Default)]
struct Faults {
    first: Option<Fault>,
}

impl Faults {
    fn found(&mut self, checks: Checks, fault: Fault) {
        if self.first.is_none() && checks.matters(fault) {
            self.first = Some(fault);
        }
    }
}

/// Looks for faults in a message that comes in counted pieces (BDAT).
#[derive(Debug)]
pub(super) struct LineCheck {
    checks: Checks,
    after_cr: bool,
}

impl LineCheck {
    pub(super) fn new(checks: Checks) -> Self {
        Self {
            checks,
            after_cr: false,
        }
    }

    /// Takes the next bytes; says what is wrong with them first.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<Fault> {
        let mut at = 0;
        let &first = bytes.first()?;
        let mut faults = Faults::default();
        if std::mem::take(&mut self.after_cr) {
            if first == b'\n' {
                at = 1;
            } else {
                faults.found(self.checks, Fault::BareLineEnd);
            }
        }
        while let Some(found) = memchr3(b'\r', b'\n', 0, &bytes[at..]) {
            at += found;
            match &bytes[at..] {
                [b'\r', b'\n', ..] => at += 2,
                [b'\r'] => {
                    self.after_cr = true;
                    at += 1;
                }
                [0, ..] => {
                    faults.found(self.checks, Fault::Nul);
                    at += 1;
                }
                _ => {
                    faults.found(self.checks, Fault::BareLineEnd);
                    at += 1;
                }
            }
        }
        faults.first
    }

    /// The message is complete.
    pub(super) fn end(&mut self) -> Option<Fault> {
        let mut faults = Faults::default();
        if std::mem::take(&mut self.after_cr) {
            faults.found(self.checks, Fault::BareLineEnd);
        }
        faults.first
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STRICT: Checks = Checks {
        bare_line_ends: true,
        nul: true,
    };
    const LAX: Checks = Checks {
        bare_line_ends: false,
        nul: false,
    };

    /// The message, whether its end was seen, the fault, and what was left unread.
    fn read(input: &[u8], chunk: usize, checks: Checks) -> (Vec<u8>, bool, Option<Fault>, Vec<u8>) {
        let mut framer = Framer::new();
        let mut reader = DotReader::new(checks);
        let mut body = Vec::new();
        let mut ended = false;
        for piece in input.chunks(chunk.max(1)) {
            framer.push(BytesMut::from(piece));
            while !ended {
                match reader.next(&mut framer) {
                    Some(Piece::Body(bytes)) => {
                        assert!(!bytes.is_empty());
                        body.extend_from_slice(&bytes);
                    }
                    Some(Piece::End) => ended = true,
                    None => {
                        assert!(framer.len() <= 2, "{} bytes held", framer.len());
                        break;
                    }
                }
            }
        }
        (body, ended, reader.fault(), framer.unread().to_vec())
    }

    /// RFC 5321 §4.5.2 word by word, on the whole input at once.
    fn reference(input: &[u8]) -> (Vec<u8>, bool, Vec<u8>) {
        let mut body = Vec::new();
        let mut rest = input;
        loop {
            if let Some(after) = rest.strip_prefix(b".\r\n") {
                return (body, true, after.to_vec());
            }
            let line = rest.strip_prefix(b".").unwrap_or(rest);
            match line.windows(2).position(|w| w == b"\r\n") {
                Some(end) => {
                    body.extend_from_slice(&line[..end + 2]);
                    rest = &line[end + 2..];
                }
                None => {
                    body.extend_from_slice(line);
                    return (body, false, Vec::new());
                }
            }
        }
    }

    #[test]
    fn only_crlf_dot_crlf_ends_a_message_at_every_chunk_size() {
        for (input, want) in [
            (&b".\r\n"[..], &b""[..]),
            (b"\r\n.\r\n", b"\r\n"),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"..\r\n.\r\n", b".\r\n"),
            (b".a\r\n..b\r\n...\r\n.\r\n", b"a\r\n.b\r\n..\r\n"),
            (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n"),
            (b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n"),
            (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n"),
            (b"a\r.\rb\r\n.\r\n", b"a\r.\rb\r\n"),
            (b"a\r\n.\rb\r\n.\r\n", b"a\r\n\rb\r\n"),
            (b"a\r.\r\nb\r\n.\r\n", b"a\r.\r\nb\r\n"),
            (b"a\n.\rb\r\n.\r\n", b"a\n.\rb\r\n"),
            (b"a\r\n\0.\r\nb\r\n.\r\n", b"a\r\n\0.\r\nb\r\n"),
            (b"a\r\n.\0\r\nb\r\n.\r\n", b"a\r\n\0\r\nb\r\n"),
            (b"a\r\n.\r\r\nb\r\n.\r\n", b"a\r\n\r\r\nb\r\n"),
            (b"a\r\r\n.\r\n", b"a\r\r\n"),
            (b"\n\n.\r\n\r\n.\r\n", b"\n\n.\r\n\r\n"),
        ] {
            for chunk in 1..=input.len() {
                let (body, ended, fault, rest) = read(input, chunk, LAX);
                assert_eq!(body, want, "{input:?} by {chunk}");
                assert!(ended && fault.is_none() && rest.is_empty(), "{input:?}");
                let (_, ended, fault, rest) = read(input, chunk, STRICT);
                assert!(ended && rest.is_empty(), "{input:?}");
                let strays = input.iter().enumerate().any(|(n, b)| match b {
                    b'\n' => n == 0 || input[n - 1] != b'\r',
                    b'\r' => input.get(n + 1) != Some(&b'\n'),
                    0 => true,
                    _ => false,
                });
                assert_eq!(fault.is_some(), strays, "{input:?} by {chunk}");
            }
        }
    }

    #[test]
    fn a_large_run_is_handed_out_without_a_copy() {
        let mut framer = Framer::new();
        let buffer = BytesMut::from(&vec![b'x'; 100_000][..]);
        let address = buffer.as_ptr();
        framer.push(buffer);
        let mut reader = DotReader::new(STRICT);
        match reader.next(&mut framer) {
            Some(Piece::Body(bytes)) => {
                assert_eq!(bytes.len(), 100_000);
                assert_eq!(bytes.as_ptr(), address);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_message_of_dots_comes_in_few_pieces() {
        let mut framer = Framer::new();
        framer.push(BytesMut::from("..\r\n".repeat(100_000).as_bytes()));
        let mut reader = DotReader::new(STRICT);
        let (mut pieces, mut length) = (0, 0);
        while let Some(Piece::Body(bytes)) = reader.next(&mut framer) {
            pieces += 1;
            length += bytes.len();
        }
        assert_eq!(length, 300_000);
        assert!(pieces < 25, "{pieces}");
    }

    proptest! {
        #[test]
        fn as_the_standard_says(
            input in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a'), Just(0)], 0..60),
            chunk in 1usize..8,
        ) {
            let mut input = input;
            input.extend_from_slice(b"\r\n.\r\nrest");
            let (body, ended, rest) = reference(&input);
            let (got, got_ended, _, _) = read(&input, chunk, LAX);
            prop_assert_eq!(got, body);
            prop_assert_eq!(got_ended, ended);
            let (_, _, _, unread) = read(&input, input.len(), LAX);
            prop_assert_eq!(unread, rest);
        }

        #[test]
        fn counted_pieces_are_checked_alike_however_they_are_cut(
            input in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a'), Just(0)], 0..20),
            chunk in 1usize..8,
        ) {
            let faults = |size: usize| {
                let mut check = LineCheck::new(STRICT);
                let mut first = None;
                for piece in input.chunks(size) {
                    first = first.or(check.feed(piece));
                }
                first.or(check.end())
            };
            prop_assert_eq!(faults(chunk), faults(64));
        }
    }
}
