//! Quoted-printable and base64 ([RFC 2045 §6.7, §6.8](https://www.rfc-editor.org/rfc/rfc2045#section-6.7)),
//! a piece at a time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest line of quoted-printable, its soft line break included.
const QUOTED_LINE: usize = 76;
/// Bytes that make a line of base64.
const BASE64_LINE: usize = 57;

/// Writes text in quoted-printable; its lines stay lines.
#[derive(Debug, Default)]
pub(super) struct QuotedPrintable {
    /// Where in the line the next byte goes.
    column: usize,
    /// A space or tab that may be the last of its line.
    space: Option<u8>,
}

impl QuotedPrintable {
    /// Takes a piece of a line, without its end, and whether the line ends behind
    /// it.
    pub(super) fn push(&mut self, bytes: &[u8], ends: bool, out: &mut Vec<u8>) {
        for &byte in bytes {
            if let Some(space) = self.space.take() {
                self.put(&[space], out);
            }
            match byte {
                b' ' | b'\t' => self.space = Some(byte),
                b'=' | 0..=0x1f | 0x7f.. => self.put(&escaped(byte), out),
                _ => self.put(&[byte], out),
            }
        }
        if ends {
            if let Some(space) = self.space.take() {
                self.put(&escaped(space), out);
            }
            out.extend_from_slice(b"\r\n");
            self.column = 0;
        }
    }

    fn put(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if self.column + text.len() >= QUOTED_LINE {
            out.extend_from_slice(b"=\r\n");
            self.column = 0;
        }
        out.extend_from_slice(text);
        self.column += text.len();
    }

    /// The end, perhaps in the middle of a line.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        if let Some(space) = self.space.take() {
            self.put(&escaped(space), out);
        }
    }
}

fn escaped(byte: u8) -> [u8; 3] {
    let digit = |value: u8| match value {
        0..=9 => b'0' + value,
        _ => b'A' + value - 10,
    };
    [b'=', digit(byte >> 4), digit(byte & 15)]
}

/// Writes bytes in base64, line ends included.
#[derive(Debug, Default)]
pub(super) struct Base64 {
    line: Vec<u8>,
    /// A line has ended, and what follows is not known yet.
    ended: bool,
}

impl Base64 {
    /// Takes a piece of a line, without its end, and whether the line ends behind
    /// it.
    pub(super) fn push(&mut self, bytes: &[u8], ends: bool, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.ended, ends) {
            self.put(b"\r\n", out);
        }
        self.put(bytes, out);
    }

    fn put(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let room = BASE64_LINE - self.line.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.line.extend_from_slice(now);
            bytes = later;
            if self.line.len() == BASE64_LINE {
                self.flush(out);
            }
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        if !self.line.is_empty() {
            out.extend_from_slice(STANDARD.encode(&self.line).as_bytes());
            out.extend_from_slice(b"\r\n");
            self.line.clear();
        }
    }

    /// The end; a line end before a delimiter is not part of what is written.
    pub(super) fn finish(mut self, delimiter: bool, out: &mut Vec<u8>) {
        if self.ended && !delimiter {
            self.put(b"\r\n", out);
        }
        self.flush(out);
    }
}
