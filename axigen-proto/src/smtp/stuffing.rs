//! The bytes of a message as DATA and BDAT carry them, on the sending side.

use bytes::Bytes;
use memchr::memchr3;

pub(super) use crate::outbox::Outbox;

/// What to do with a CR or LF by itself, or a NUL, in a message that is to be
/// sent. Neither goes out as it is, except with BODY=BINARYMIME: another server
/// could take the former for a line end, or throw the latter away, and take a
/// dot next to it for the end of the message. (No text has a NUL: RFC 2045 §2.7, §2.8,
/// RFC 5321 §2.3.8.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineEnds {
    /// Make CRLF of it, and leave a NUL away. This breaks a signature over the
    /// body.
    Normalise,
    /// Do not send the message.
    Refuse,
}

/// What the message holds, when policy is to refuse it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsendable {
    /// A CR or LF by itself.
    BareLineEnd,
    /// A NUL.
    Nul,
}

/// Makes lines of a message, and adds dots where DATA needs them
/// (RFC 5321 §4.5.2).
#[derive(Debug)]
pub(super) struct Stuffer {
    /// `None` hands the bytes on as they are (BINARYMIME).
    line_ends: Option<LineEnds>,
    dots: bool,
    line_start: bool,
    after_cr: bool,
}

impl Stuffer {
    /// For DATA.
    pub(super) fn dots(line_ends: LineEnds) -> Self {
        Self {
            line_ends: Some(line_ends),
            dots: true,
            line_start: true,
            after_cr: false,
        }
    }

    /// For BDAT; `None` for a binary message.
    pub(super) fn counted(line_ends: Option<LineEnds>) -> Self {
        Self {
            line_ends,
            dots: false,
            line_start: true,
            after_cr: false,
        }
    }

    /// Takes the next piece of the message, cut anywhere.
    pub(super) fn write(&mut self, bytes: Bytes, out: &mut Outbox) -> Result<(), Unsendable> {
        if self.line_ends.is_none() {
            out.push(bytes);
            return Ok(());
        }
        let (mut run, mut at) = (0, 0);
        if self.after_cr && !bytes.is_empty() {
            self.after_cr = false;
            if bytes.first() == Some(&b'\n') {
                (run, at) = (1, 1);
            } else {
                self.refuse(Unsendable::BareLineEnd)?;
            }
            self.line_end(out);
        }
        loop {
            if self.dots && self.line_start && bytes.get(at) == Some(&b'.') {
                out.push(bytes.slice(run..at));
                out.push(Bytes::from_static(b"."));
                run = at;
            }
            // Behind a NUL that is left away a dot still stands at the line's start.
            if bytes.get(at).is_some_and(|&byte| byte != 0) {
                self.line_start = false;
            }
            let Some(found) = memchr3(b'\r', b'\n', 0, &bytes[at..]) else {
                out.push(bytes.slice(run..));
                return Ok(());
            };
            at += found;
            match &bytes[at..] {
                [b'\r', b'\n', ..] => {
                    self.line_start = true;
                    at += 2;
                }
                [b'\r'] => {
                    out.push(bytes.slice(run..at));
                    self.after_cr = true;
                    return Ok(());
                }
                [0, ..] => {
                    self.refuse(Unsendable::Nul)?;
                    out.push(bytes.slice(run..at));
                    at += 1;
                    run = at;
                }
                _ => {
                    self.refuse(Unsendable::BareLineEnd)?;
                    out.push(bytes.slice(run..at));
                    self.line_end(out);
                    at += 1;
                    run = at;
                }
            }
        }
    }

    /// The message is complete. For DATA this writes the line with the dot.
    pub(super) fn finish(&mut self, out: &mut Outbox) -> Result<(), Unsendable> {
        if self.after_cr {
            self.after_cr = false;
            self.refuse(Unsendable::BareLineEnd)?;
            self.line_end(out);
        }
        if self.dots {
            // RFC 5321 §4.1.1.4: the CRLF before the dot belongs to the message.
            if !self.line_start {
                self.line_end(out);
            }
            out.push(Bytes::from_static(b".\r\n"));
        }
        Ok(())
    }

    fn refuse(&self, why: Unsendable) -> Result<(), Unsendable> {
        match self.line_ends {
            Some(LineEnds::Refuse) => Err(why),
            Some(LineEnds::Normalise) | None => Ok(()),
        }
    }

    fn line_end(&mut self, out: &mut Outbox) {
        out.push(Bytes::from_static(b"\r\n"));
        self.line_start = true;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;

    fn stuffed(input: &[u8], chunk: usize, mut stuffer: Stuffer) -> Result<Vec<u8>, Unsendable> {
        let mut out = Outbox::default();
        for piece in input.chunks(chunk.max(1)) {
            stuffer.write(Bytes::copy_from_slice(piece), &mut out)?;
        }
        stuffer.finish(&mut out)?;
        let length = out.len();
        let mut all = Vec::new();
        while let Some(bytes) = out.pop() {
            all.extend_from_slice(&bytes);
        }
        assert_eq!(all.len() as u64, length);
        assert_eq!(out.len(), 0);
        Ok(all)
    }

    #[test]
    fn dots_and_line_ends_at_every_chunk_size() {
        for (input, want) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r.\rb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r\r\n.b", b"a\r\n\r\n..b\r\n.\r\n"),
            (b"a\r", b"a\r\n.\r\n"),
            (b"\n\r", b"\r\n\r\n.\r\n"),
            (b"x.y\r\n..z", b"x.y\r\n...z\r\n.\r\n"),
            (b"a\r\n\0.\r\nb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r\n.\0\r\nb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r\0\n.\0\r\0\nb", b"a\r\n\r\n..\r\n\r\nb\r\n.\r\n"),
            (b"\0\0.\0", b"..\r\n.\r\n"),
            (b"\0", b".\r\n"),
        ] {
            for chunk in 1..=input.len().max(1) {
                let got = stuffed(input, chunk, Stuffer::dots(LineEnds::Normalise)).unwrap();
                assert_eq!(got, want, "{input:?} by {chunk}");
                let refused = stuffed(input, chunk, Stuffer::dots(LineEnds::Refuse));
                let bare = String::from_utf8_lossy(input)
                    .replace("\r\n", "")
                    .contains(['\r', '\n', '\0']);
                assert_eq!(refused.is_err(), bare, "{input:?} by {chunk}");
            }
        }
    }

    #[test]
    fn counted_bytes_have_no_dots_and_binary_ones_stay() {
        let normal = Stuffer::counted(Some(LineEnds::Normalise));
        assert_eq!(stuffed(b".a\n.b", 1, normal).unwrap(), b".a\r\n.b");
        let normal = Stuffer::counted(Some(LineEnds::Normalise));
        assert_eq!(stuffed(b"\0a\r\0\n", 1, normal).unwrap(), b"a\r\n\r\n");
        let binary = Stuffer::counted(None);
        assert_eq!(stuffed(b".a\n.\r\0b", 1, binary).unwrap(), b".a\n.\r\0b");
    }

    #[test]
    fn a_large_piece_is_not_copied() {
        let bytes = Bytes::from(vec![b'x'; 100_000]);
        let address = bytes.as_ptr();
        let mut out = Outbox::default();
        let mut stuffer = Stuffer::dots(LineEnds::Refuse);
        stuffer.write(bytes, &mut out).unwrap();
        assert_eq!(out.pop().unwrap().as_ptr(), address);
    }

    proptest! {
        #[test]
        fn what_goes_out_never_ends_early(
            input in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a'), Just(0)], 0..60),
            chunk in 1usize..8,
        ) {
            let out = stuffed(&input, chunk, Stuffer::dots(LineEnds::Normalise)).unwrap();
            let text = String::from_utf8(out).unwrap();
            // No CR or LF by itself, and the only line with a single dot is the last.
            prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']));
            let lines: Vec<&str> = text.strip_suffix("\r\n").unwrap().split("\r\n").collect();
            let dots: Vec<usize> = (0..lines.len()).filter(|&n| lines[n] == ".").collect();
            prop_assert_eq!(dots, vec![lines.len() - 1]);
        }
    }
}
