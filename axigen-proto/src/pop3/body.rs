//! A message on the wire: every line ended by CRLF, dots stuffed, and for TOP
//! only the header and the first lines (RFC 1939 §3, §7).

use bytes::{BufMut, Bytes, BytesMut};

use crate::surrogate::Surrogate;

/// Writes a message that comes in pieces.
#[derive(Debug)]
pub struct Writer {
    /// Lines of the body still to send; `None` means all.
    lines: Option<u64>,
    in_header: bool,
    /// Bytes of the line so far: 0 at its start.
    column: usize,
    /// The last byte was a CR whose LF has not come.
    cr: bool,
    done: bool,
    /// Makes the header ASCII, until it is over.
    surrogate: Option<Surrogate>,
}

impl Writer {
    /// A writer of a whole message, or of its header and `lines` of its body.
    pub fn new(lines: Option<u64>) -> Writer {
        Writer {
            lines,
            in_header: true,
            column: 0,
            cr: false,
            done: false,
            surrogate: None,
        }
    }

    /// The same for a client that has not said UTF8: what stands in the header
    /// beyond ASCII is written in ASCII (RFC 6856 §2.1).
    #[must_use]
    pub fn for_ascii(mut self) -> Writer {
        self.surrogate = Some(Surrogate::default());
        self
    }

    /// Whether nothing more of the message is wanted.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The next piece as it goes on the wire. Without a copy where nothing has
    /// to be changed.
    pub fn piece(&mut self, bytes: &Bytes) -> Vec<Bytes> {
        let Some(mut surrogate) = self.surrogate.take() else {
            return self.write(bytes);
        };
        let pieces = surrogate.piece(bytes);
        if !surrogate.is_done() {
            self.surrogate = Some(surrogate);
        }
        pieces.iter().flat_map(|piece| self.write(piece)).collect()
    }

    fn write(&mut self, bytes: &Bytes) -> Vec<Bytes> {
        let mut out = Vec::new();
        let mut from = 0;
        let mut at = 0;
        while at < bytes.len() && !self.done {
            if self.column == 0 && !self.cr && bytes[at] == b'.' {
                // RFC 1939 §3: a dot at a line start is doubled.
                push(&mut out, bytes.slice(from..at));
                out.push(Bytes::from_static(b"."));
                from = at;
            }
            let line = &bytes[at..];
            let Some(end) = memchr::memchr(b'\n', line) else {
                self.column += line.len();
                self.cr = line.last() == Some(&b'\r');
                at = bytes.len();
                break;
            };
            let after_cr = match end {
                0 => self.cr,
                end => line[end - 1] == b'\r',
            };
            if !after_cr {
                // Stored mail may have bare line feeds; POP3 has none.
                push(&mut out, bytes.slice(from..at + end));
                out.push(Bytes::from_static(b"\r\n"));
                from = at + end + 1;
            }
            let length = self.column + end
                - usize::from(after_cr && end > 0)
                - usize::from(after_cr && end == 0 && self.column > 0);
            at += end + 1;
            self.column = 0;
            self.cr = false;
            self.line_ended(length == 0);
        }
        push(&mut out, bytes.slice(from..at));
        out
    }

    fn line_ended(&mut self, blank: bool) {
        if self.in_header {
            self.in_header = !blank;
            self.done = blank && self.lines == Some(0);
        } else if let Some(lines) = &mut self.lines {
            *lines = lines.saturating_sub(1);
            self.done = *lines == 0;
        }
    }

    /// The end of the message on the wire.
    pub fn end(mut self) -> Vec<Bytes> {
        let left = self.surrogate.take().map(Surrogate::end);
        let mut pieces = left.map_or_else(Vec::new, |left| self.write(&left));
        let mut out = BytesMut::with_capacity(5);
        if self.column > 0 || self.cr {
            out.put_slice(if self.cr { b"\n" } else { b"\r\n" });
        }
        out.put_slice(b".\r\n");
        pieces.push(out.freeze());
        pieces
    }
}

fn push(out: &mut Vec<Bytes>, bytes: Bytes) {
    if !bytes.is_empty() {
        out.push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(message: &str, lines: Option<u64>, chunk: usize) -> String {
        let mut writer = Writer::new(lines);
        let mut out = Vec::new();
        for piece in message.as_bytes().chunks(chunk) {
            for bytes in writer.piece(&Bytes::copy_from_slice(piece)) {
                out.extend_from_slice(&bytes);
            }
            if writer.is_done() {
                break;
            }
        }
        for bytes in writer.end() {
            out.extend_from_slice(&bytes);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn at_every_chunk_size() {
        for (message, lines, want) in [
            (
                "A: b\r\n\r\n.x\r\n..\r\n.\r\n",
                None,
                "A: b\r\n\r\n..x\r\n...\r\n..\r\n.\r\n",
            ),
            ("A: b\n\nx\n", None, "A: b\r\n\r\nx\r\n.\r\n"),
            ("no end", None, "no end\r\n.\r\n"),
            ("ends in cr\r", None, "ends in cr\r\n.\r\n"),
            ("", None, ".\r\n"),
            ("A: b\r\n\r\n1\r\n2\r\n3\r\n", Some(0), "A: b\r\n\r\n.\r\n"),
            (
                "A: b\r\n\r\n1\r\n2\r\n3\r\n",
                Some(2),
                "A: b\r\n\r\n1\r\n2\r\n.\r\n",
            ),
            ("A: b\r\n\r\n1\r\n", Some(9), "A: b\r\n\r\n1\r\n.\r\n"),
            ("A: b\r\n\r\n.\r\n.\r\n", Some(1), "A: b\r\n\r\n..\r\n.\r\n"),
            ("only header\r\n", Some(3), "only header\r\n.\r\n"),
        ] {
            for chunk in 1..=message.len().max(1) {
                assert_eq!(
                    wire(message, lines, chunk),
                    want,
                    "{message:?} in pieces of {chunk}"
                );
            }
        }
    }
}
