//! A message for a client that has not said that it knows UTF-8: its headers as
//! ASCII. POP3 shows it without UTF8
//! ([RFC 6856 §2.1](https://www.rfc-editor.org/rfc/rfc6856#section-2.1)), IMAP shows single
//! headers so without UTF8=ACCEPT
//! ([RFC 9755 §8](https://www.rfc-editor.org/rfc/rfc9755#section-8)).
//!
//! That is the header of the message and, since the surrogate has to be a message
//! of the old format altogether, those of its parts and of messages in it (RFC 2045
//! §3, RFC 2046 §5). Bodies go as they are: 8bit is allowed in them.

mod fetched;
mod field;

use bytes::{Bytes, BytesMut};

pub use fetched::{body_structure, envelope, header};
use field::GLOBAL;

/// Longest header field that is looked at as a whole; of what goes on behind it,
/// characters beyond ASCII become question marks.
const FIELD_LIMIT: usize = 64 * 1024;
/// Longest line that can be a boundary: RFC 2046 §5.1.1 has 70 characters, some
/// programs more.
const BOUNDARY_LIMIT: usize = 512;
/// Deepest nesting of parts whose headers are rewritten.
const DEPTH: usize = 64;

/// Rewrites a message that comes in pieces.
#[derive(Debug)]
pub(crate) struct Surrogate {
    /// The field so far, as long as it may go on.
    field: BytesMut,
    /// The end of what came: in a header not yet a whole line, in a body the
    /// beginning of a line that may be a boundary.
    line: BytesMut,
    in_body: bool,
    /// In a body: whether a line begins here.
    at_start: bool,
    /// Of the header that is being read: what comes behind it.
    kind: Kind,
    /// Whether that is not encoded.
    plain: bool,
    /// A field that says message/global, until it is known whether what it is
    /// about can be rewritten.
    global: Option<BytesMut>,
    /// The multiparts that are open, the innermost last.
    open: Vec<Boundary>,
}

/// What a header is the header of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Something without headers of its own.
    Leaf,
    Multipart(Boundary),
    Message,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Boundary {
    text: String,
    /// Its parts are messages if they do not say otherwise (RFC 2046 §5.1.5).
    digest: bool,
}

impl Default for Surrogate {
    fn default() -> Surrogate {
        Surrogate {
            field: BytesMut::new(),
            line: BytesMut::new(),
            in_body: false,
            at_start: true,
            kind: Kind::Leaf,
            plain: true,
            global: None,
            open: Vec::new(),
        }
    }
}

impl Surrogate {
    /// The next piece. Without a copy of bodies.
    pub(crate) fn piece(&mut self, bytes: &Bytes) -> Vec<Bytes> {
        let mut out = Out::default();
        let mut at = 0;
        while at < bytes.len() {
            at = match self.in_body {
                _ if self.is_done() => {
                    out.slice(bytes.slice(at..));
                    bytes.len()
                }
                true => self.body(bytes, at, &mut out),
                false => self.header(bytes, at, &mut out),
            };
        }
        out.finish()
    }

    /// Whether no more headers come.
    pub(crate) fn is_done(&self) -> bool {
        self.in_body && self.open.is_empty() && self.line.is_empty()
    }

    /// What is left when the message ends.
    pub(crate) fn end(mut self) -> Bytes {
        let mut out = BytesMut::new();
        let line = self.line.split();
        if self.in_body {
            out.extend_from_slice(&line);
        } else {
            self.add(&line, &mut out);
            self.flush(&mut out);
            self.give_global(false, &mut out);
        }
        out.freeze()
    }

    /// Reads a line of a header; gives where it ends.
    fn header(&mut self, bytes: &Bytes, at: usize, out: &mut Out) -> usize {
        let out = &mut out.copied;
        let Some(end) = memchr::memchr(b'\n', &bytes[at..]) else {
            self.line.extend_from_slice(&bytes[at..]);
            // A line without an end must not fill the memory.
            if self.line.len() > FIELD_LIMIT {
                let line = self.line.split();
                self.add(&line, out);
            }
            return bytes.len();
        };
        self.line.extend_from_slice(&bytes[at..=at + end]);
        let line = self.line.split();
        let blank = matches!(&line[..], b"\r\n" | b"\n");
        if blank || !line.starts_with(b" ") && !line.starts_with(b"\t") {
            self.flush(out);
        }
        if blank {
            self.end_header(out);
            out.extend_from_slice(&line);
        } else if self.is_boundary(&line) {
            // A part without a blank line, and so without a body.
            self.give_global(false, out);
            out.extend_from_slice(&line);
            self.cross(&line);
        } else {
            self.add(&line, out);
        }
        at + end + 1
    }

    /// Passes a stretch of a body on, up to a boundary; gives where it ends.
    fn body(&mut self, bytes: &Bytes, at: usize, out: &mut Out) -> usize {
        let rest = &bytes[at..];
        if !self.line.is_empty() || self.at_start && rest.first() == Some(&b'-') {
            let end = memchr::memchr(b'\n', rest);
            let length = self.line.len() + end.map_or(rest.len(), |end| end + 1);
            if length > BOUNDARY_LIMIT {
                // Too long for one.
                out.copied.extend_from_slice(&self.line.split());
                self.at_start = false;
                return at;
            }
            let to = at + end.map_or(rest.len(), |end| end + 1);
            self.line.extend_from_slice(&bytes[at..to]);
            if end.is_some() {
                let line = self.line.split();
                out.copied.extend_from_slice(&line);
                self.at_start = true;
                self.cross(&line);
            }
            return to;
        }
        let mut to = at;
        while let Some(end) = memchr::memchr(b'\n', &bytes[to..]) {
            to += end + 1;
            self.at_start = true;
            if bytes.get(to) == Some(&b'-') {
                break;
            }
        }
        if !self.at_start || bytes.get(to).is_some_and(|next| *next != b'-') {
            self.at_start = to == bytes.len();
            to = bytes.len();
        }
        out.slice(bytes.slice(at..to));
        to
    }

    fn is_boundary(&self, line: &[u8]) -> bool {
        let mut open = self.open.iter();
        open.any(|boundary| boundary.delimits(line).is_some())
    }

    /// Goes on behind a line that may be a boundary, of an outer multipart as
    /// well: then the inner ones have no end of their own (RFC 2046 §5.1.2).
    fn cross(&mut self, line: &[u8]) {
        for at in (0..self.open.len()).rev() {
            let Some(boundary) = self.open.get(at) else {
                return;
            };
            let Some(closes) = boundary.delimits(line) else {
                continue;
            };
            let digest = boundary.digest;
            self.open.truncate(if closes { at } else { at + 1 });
            self.at_start = true;
            self.in_body = closes;
            if !closes {
                self.begin_header(digest);
            }
            return;
        }
    }

    fn begin_header(&mut self, digest: bool) {
        self.in_body = false;
        self.plain = true;
        self.kind = match digest {
            true => Kind::Message,
            false => Kind::Leaf,
        };
    }

    fn end_header(&mut self, out: &mut BytesMut) {
        self.in_body = true;
        self.at_start = true;
        let kind = std::mem::replace(&mut self.kind, Kind::Leaf);
        self.give_global(self.plain && kind == Kind::Message, out);
        match kind {
            Kind::Multipart(boundary) if self.plain && self.open.len() < DEPTH => {
                self.open.push(boundary);
            }
            Kind::Message if self.plain => self.begin_header(false),
            _ => {}
        }
    }

    /// Writes the field that was held back.
    fn give_global(&mut self, rewritten: bool, out: &mut BytesMut) {
        if let Some(field) = self.global.take() {
            match rewritten {
                true => out.extend_from_slice(&field::as_rfc822(&field)),
                false => out.extend_from_slice(&field),
            }
        }
    }

    fn add(&mut self, line: &[u8], out: &mut BytesMut) {
        if self.field.len() + line.len() > FIELD_LIMIT {
            self.flush(out);
        }
        match line.len() > FIELD_LIMIT {
            true => out.extend(line.iter().map(|&b| if b.is_ascii() { b } else { b'?' })),
            false => self.field.extend_from_slice(line),
        }
    }

    fn flush(&mut self, out: &mut BytesMut) {
        let field = self.field.split();
        let mut is_global = false;
        if let Some((kind, boundary)) = field::content_type(&field) {
            is_global = kind == GLOBAL;
            self.kind = Kind::of(&kind, boundary);
        } else if let Some(encoding) = field::encoding(&field) {
            self.plain = matches!(encoding.as_str(), "7bit" | "8bit" | "binary");
        }
        let field = match field.is_ascii() {
            true => field,
            false => BytesMut::from(field::rewritten(&field).as_bytes()),
        };
        match is_global && self.global.is_none() {
            true => self.global = Some(field),
            false => out.extend_from_slice(&field),
        }
    }
}

impl Kind {
    fn of(kind: &str, boundary: Option<String>) -> Kind {
        match (kind.strip_prefix("multipart/"), boundary) {
            (Some(of), Some(text)) if !text.is_empty() && text.len() < BOUNDARY_LIMIT / 2 => {
                Kind::Multipart(Boundary {
                    text,
                    digest: of == "digest",
                })
            }
            _ if kind == "message/rfc822" || kind == GLOBAL => Kind::Message,
            _ => Kind::Leaf,
        }
    }
}

impl Boundary {
    /// Whether a line is this boundary, and then whether it is the last one.
    fn delimits(&self, line: &[u8]) -> Option<bool> {
        let rest = line.strip_prefix(b"--")?;
        let rest = rest.strip_prefix(self.text.as_bytes())?;
        // RFC 2046 §5.1.1: white space behind it is nothing.
        match rest.trim_ascii_end() {
            b"" => Some(false),
            b"--" => Some(true),
            _ => None,
        }
    }
}

/// What goes out: copies and slices in their order.
#[derive(Debug, Default)]
struct Out {
    pieces: Vec<Bytes>,
    copied: BytesMut,
}

impl Out {
    fn slice(&mut self, bytes: Bytes) {
        if !self.copied.is_empty() {
            self.pieces.push(self.copied.split().freeze());
        }
        if !bytes.is_empty() {
            self.pieces.push(bytes);
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        if !self.copied.is_empty() {
            self.pieces.push(self.copied.freeze());
        }
        self.pieces
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn run(message: &[u8], chunk: usize) -> Vec<u8> {
        let mut surrogate = Surrogate::default();
        let mut out = Vec::new();
        for piece in message.chunks(chunk) {
            for bytes in surrogate.piece(&Bytes::copy_from_slice(piece)) {
                out.extend_from_slice(&bytes);
            }
        }
        out.extend_from_slice(&surrogate.end());
        out
    }

    #[test]
    fn at_every_chunk_size() {
        let cases: [(&[u8], &str); 9] = [
            (
                b"From: a@b\r\nSubject: plain\r\n\tfolded\r\n\r\nbody \xc3\xa4\r\n",
                "From: a@b\r\nSubject: plain\r\n\tfolded\r\n\r\nbody ä\r\n",
            ),
            (
                "Subject: Grüße aus Köln heute\r\n\r\nx".as_bytes(),
                "Subject: =?utf-8?B?R3LDvMOfZQ==?= aus =?utf-8?B?S8O2bG4=?= heute\r\n\r\nx",
            ),
            (
                "Subject: été là\r\n\r\n".as_bytes(),
                "Subject: =?utf-8?B?w6l0w6kgbMOg?=\r\n\r\n",
            ),
            (
                b"Subject: caf\xe9\r\n\r\n",
                "Subject: =?unknown-8bit?B?Y2Fm6Q==?=\r\n\r\n",
            ),
            (
                "From: \"Jörg, M.\" <joerg@b.test>, ann@b.test\r\nTo: jörg@b.test,\r\n Ann <ann@bücher.test>\r\n\r\n"
                    .as_bytes(),
                "From: =?utf-8?B?SsO2cmcsIE0u?=\r\n <joerg@b.test>,\r\n ann@b.test\r\nTo: <removed@internationalized-address.invalid>,\r\n \"Ann\" <removed@internationalized-address.invalid>\r\n\r\n",
            ),
            (
                "Name\u{e4}: x\nSubject: \u{e4}\n\nbody".as_bytes(),
                "Name?: x\nSubject: =?utf-8?B?w6Q=?=\n\nbody",
            ),
            ("no header \u{e4}".as_bytes(), "no header ?"),
            ("Subject: \u{e4}".as_bytes(), "Subject: =?utf-8?B?w6Q=?="),
            (b"", ""),
        ];
        for (message, want) in cases {
            for chunk in 1..=message.len().max(1) {
                let got = run(message, chunk);
                assert_eq!(String::from_utf8_lossy(&got), want, "in pieces of {chunk}");
            }
        }
    }

    /// What is beyond ASCII in headers of parts and of messages in it.
    #[test]
    fn headers_inside() {
        let message = "Subject: \u{e4}\r\nContent-Type: multipart/mixed;\r\n boundary=\"out er\"\r\n\r\n\
            Pre\u{e4}mble: \u{e4}\r\n--no\r\n\r\n\
            --out er\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Description: \u{e4}\r\n\r\n\
            Body: \u{e4}\r\n--outer\r\n- \r\n\
            --out er  \r\nContent-Disposition: attachment; filename=\"\u{e4}.txt\"\r\n\r\nx\r\n\
            --out er\r\nContent-Type: message/global\r\nContent-Description: \u{e4}\r\n\r\n\
            Subject: \u{e4}\r\nContent-Type: multipart/digest; boundary=in\r\n\r\n\
            --in\r\n\r\nSubject: \u{e4}\r\n\r\nBody: \u{e4}\r\n\
            --in\r\nContent-Type: text/plain\r\n\r\nBody: \u{e4}\r\n\
            --out er\r\nContent-Type: message/global\r\nContent-Transfer-Encoding: base64\r\n\r\n\
            Subject: \u{e4}\r\n\r\n\
            --out er--\r\n--in\r\nSubject: \u{e4}\r\n\r\n";
        let word = "=?utf-8?B?w6Q=?=";
        let want = message
            .replace(
                "message/global\r\nContent-Description: \u{e4}",
                "Content-Description: \u{e4}\r\nContent-Type: message/rfc822",
            )
            .replace("Content-Type: Content-D", "Content-D")
            .replace(
                "attachment; filename=\"\u{e4}.txt\"",
                "attachment;\r\n filename*=utf-8''%C3%A4.txt",
            )
            .replace(
                "Content-Description: \u{e4}",
                &format!("Content-Description: {word}"),
            );
        // The first three subjects are in headers, the last two are not.
        let want = want.replacen("Subject: \u{e4}", &format!("Subject: {word}"), 3);
        let want = want.replace(
            "Content-Type: message/global\r\nContent-Transfer-Encoding: base64",
            "Content-Transfer-Encoding: base64\r\nContent-Type: message/global",
        );
        for chunk in 1..=message.len() {
            let got = run(message.as_bytes(), chunk);
            assert_eq!(String::from_utf8_lossy(&got), want, "in pieces of {chunk}");
        }
        // With bare line feeds as well.
        let (message, want) = (message.replace("\r\n", "\n"), want.replace("\r\n", "\n"));
        let want = want.replace(";\n filename*", ";\r\n filename*");
        let got = run(message.as_bytes(), 7);
        assert_eq!(String::from_utf8_lossy(&got), want);
    }

    #[test]
    fn a_body_is_not_copied_and_a_long_line_not_kept() {
        let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
        let mut surrogate = Surrogate::default();
        surrogate.piece(&Bytes::from_static(head.as_bytes()));
        let body = Bytes::from("line\r\n".repeat(1000));
        let pieces = surrogate.piece(&body);
        assert_eq!(pieces.len(), 1);
        assert_eq!(pieces[0].as_ptr(), body.as_ptr());
        let long = Bytes::from(format!("--{}", "b".repeat(100_000)));
        let pieces = surrogate.piece(&long);
        assert!(surrogate.line.is_empty());
        assert_eq!(pieces.concat(), long);
        // Nesting without end costs no more than its boundaries.
        let nested: String = (0..1000)
            .map(|n| {
                format!(
                    "--b{n}\r\nContent-Type: multipart/x; boundary=b{}\r\n\r\n",
                    n + 1
                )
            })
            .collect();
        let nested = format!("Content-Type: multipart/x; boundary=b0\r\n\r\n{nested}");
        let mut surrogate = Surrogate::default();
        surrogate.piece(&Bytes::from(nested.clone()));
        assert_eq!(surrogate.open.len(), DEPTH);
        assert_eq!(run(nested.as_bytes(), 100), nested.as_bytes());
    }

    #[test]
    fn long_words_are_divided_between_characters() {
        let subject = format!("Subject: {}\r\n\r\n", "ä€".repeat(200));
        let got = String::from_utf8(run(subject.as_bytes(), 100)).unwrap();
        let mut back = String::new();
        for line in got.trim_end().trim_start_matches("Subject:").lines() {
            let line = line.trim();
            assert!(line.len() <= 75, "{line}");
            let word = line.strip_prefix("=?utf-8?B?").unwrap();
            let bytes = STANDARD.decode(word.strip_suffix("?=").unwrap()).unwrap();
            back.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        assert_eq!(back, "ä€".repeat(200));
    }

    #[test]
    fn endless_fields_and_lines_are_bounded() {
        let line = [b"X: ".as_slice(), &vec![0xe4; 1_000_000], b"\r\n\r\nbody"].concat();
        let folded = [
            b"X: a\r\n".as_slice(),
            &b"\t\xe4\r\n".repeat(300_000),
            b"\r\nbody",
        ]
        .concat();
        for message in [line, folded] {
            let mut surrogate = Surrogate::default();
            let mut out = Vec::new();
            for piece in message.chunks(1000) {
                for bytes in surrogate.piece(&Bytes::copy_from_slice(piece)) {
                    out.extend_from_slice(&bytes);
                }
                assert!(surrogate.field.len() + surrogate.line.len() <= 2 * FIELD_LIMIT + 1000);
            }
            assert!(out.ends_with(b"\r\n\r\nbody"));
            assert!(out.is_ascii());
        }
        // What is ASCII is as it was, however long.
        let long = [
            b"X: ".as_slice(),
            &vec![b'x'; 200_000],
            b"\r\nTo: a@b",
            &b",\r\n a@b".repeat(20_000),
            b"\r\n\r\nbody",
        ]
        .concat();
        assert_eq!(run(&long, 1000), long);
    }

    proptest::proptest! {
        #[test]
        fn headers_are_ascii_and_bodies_as_they_were(
            header in "([A-Z]{1,3}: ?[a-zä\" <>@,(]{0,30}\r\n){0,4}",
            body in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
            chunk in 1usize..50,
        ) {
            let message = [header.as_bytes(), b"\r\n", &body].concat();
            let got = run(&message, chunk);
            proptest::prop_assert!(got.ends_with(&body));
            let before = &got[..got.len() - body.len()];
            proptest::prop_assert!(before.is_ascii());
            if header.is_ascii() {
                proptest::prop_assert_eq!(got, message);
            }
        }

        /// Whatever stands in the parts, their headers are ASCII and their bodies
        /// as they were, however it is cut.
        #[test]
        fn parts_in_any_pieces(
            parts in proptest::collection::vec(
                ("([A-Z]{1,3}: ?[a-zä\" <>@,;=(]{0,20}\r\n){0,3}", "[a-zä\r\n-]{0,30}"),
                0..5
            ),
            chunk in 1usize..50,
        ) {
            let mut message = String::from("Content-Type: multipart/mixed; boundary=Q\r\n\r\n");
            for (header, body) in &parts {
                message += &format!("--Q\r\n{header}\r\n{body}\r\n");
            }
            message += "--Q--\r\nä\r\n";
            let got = String::from_utf8(run(message.as_bytes(), chunk)).unwrap();
            proptest::prop_assert_eq!(&got, &String::from_utf8(run(message.as_bytes(), 1)).unwrap());
            let mut rest = got.as_str();
            for (_, body) in &parts {
                let (_, behind) = rest.split_once("--Q\r\n").unwrap();
                let (header, behind) = match behind.strip_prefix("\r\n") {
                    Some(behind) => ("", behind),
                    None => behind.split_once("\r\n\r\n").unwrap(),
                };
                proptest::prop_assert!(header.is_ascii(), "{}", header);
                proptest::prop_assert!(behind.starts_with(body.as_str()));
                rest = behind.get(body.len()..).unwrap();
            }
        }

        #[test]
        fn nothing_panics(noise in proptest::collection::vec(proptest::num::u8::ANY, 0..300), chunk in 1usize..50) {
            proptest::prop_assert_eq!(run(&noise, chunk), run(&noise, 1));
        }
    }
}
