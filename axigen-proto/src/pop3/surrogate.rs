//! A message for a client that has not said UTF8: its header as ASCII
//! ([RFC 6856 §2.1](https://www.rfc-editor.org/rfc/rfc6856#section-2.1)).
//!
//! What stands in the header beyond ASCII becomes encoded words
//! ([RFC 2047](https://www.rfc-editor.org/rfc/rfc2047)). An address that has any
//! itself cannot be written in ASCII; it becomes one that nobody has, and its
//! owner's name stays. Header fields inside of parts, and bodies, go as they are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};

/// Longest header field that is looked at as a whole; of what goes on behind it,
/// characters beyond ASCII become question marks.
const FIELD_LIMIT: usize = 64 * 1024;
/// Bytes in one encoded word, so that it stays within 75 characters (RFC 2047 §2).
const WORD: usize = 42;
/// Stands for an address beyond ASCII. RFC 2606 §2: nobody has it.
const REMOVED: &str = "removed@internationalized-address.invalid";

/// Rewrites a message that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Surrogate {
    /// The field so far, as long as it may go on.
    field: BytesMut,
    /// The end of what came, not yet a whole line.
    line: BytesMut,
    in_body: bool,
}

impl Surrogate {
    /// The next piece. Without a copy once the header is over.
    pub(super) fn piece(&mut self, bytes: &Bytes) -> Vec<Bytes> {
        if self.in_body {
            return vec![bytes.clone()];
        }
        let mut out = BytesMut::new();
        let mut at = 0;
        while let Some(end) = memchr::memchr(b'\n', &bytes[at..]) {
            self.line.extend_from_slice(&bytes[at..=at + end]);
            at += end + 1;
            let line = self.line.split();
            let blank = matches!(&line[..], b"\r\n" | b"\n");
            if blank || !line.starts_with(b" ") && !line.starts_with(b"\t") {
                self.flush(&mut out);
            }
            if blank {
                self.in_body = true;
                out.extend_from_slice(&line);
                return vec![out.freeze(), bytes.slice(at..)];
            }
            self.add(&line, &mut out);
        }
        self.line.extend_from_slice(&bytes[at..]);
        // A line without an end must not fill the memory.
        if self.line.len() > FIELD_LIMIT {
            let line = self.line.split();
            self.add(&line, &mut out);
        }
        vec![out.freeze()]
    }

    /// Whether the header is over.
    pub(super) fn is_done(&self) -> bool {
        self.in_body
    }

    /// What is left when the message ends within its header.
    pub(super) fn end(mut self) -> Bytes {
        let mut out = BytesMut::new();
        if !self.in_body {
            let line = self.line.split();
            self.add(&line, &mut out);
            self.flush(&mut out);
        }
        out.freeze()
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
        match field.is_ascii() {
            true => out.extend_from_slice(&field),
            false => out.extend_from_slice(rewritten(&field).as_bytes()),
        }
    }
}

/// A field in ASCII.
fn rewritten(field: &[u8]) -> String {
    let end = match field {
        [.., b'\r', b'\n'] => "\r\n",
        [.., b'\n'] => "\n",
        _ => "",
    };
    let unfolded: Vec<u8> = field
        .iter()
        .copied()
        .filter(|b| !matches!(b, b'\r' | b'\n'))
        .collect();
    // RFC 1428 §3: what is not known to be UTF-8 has a charset that says so.
    let (text, charset) = match std::str::from_utf8(&unfolded) {
        Ok(text) => (text.to_owned(), "utf-8"),
        Err(_) => (
            unfolded.iter().map(|&b| char::from(b)).collect(),
            "unknown-8bit",
        ),
    };
    let Some((name, value)) = text.split_once(':') else {
        return text.replace(|c: char| !c.is_ascii(), "?") + end;
    };
    let name = name.replace(|c: char| !c.is_ascii(), "?");
    let value = match is_of_addresses(&name) {
        true => addresses(value, charset),
        false => words(value, charset),
    };
    format!("{name}: {}{end}", value.trim_start())
}

/// Whether a field holds addresses (RFC 5322 §3.6.2, §3.6.3, §3.6.6; RFC 6854).
fn is_of_addresses(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    let name = name.strip_prefix("resent-").unwrap_or(&name);
    matches!(
        name,
        "from"
            | "sender"
            | "reply-to"
            | "to"
            | "cc"
            | "bcc"
            | "return-path"
            | "disposition-notification-to"
    )
}

/// Text in which each word beyond ASCII is an encoded one. Words beside each
/// other are encoded together: white space between encoded words is nothing
/// (RFC 2047 §6.2).
fn words(text: &str, charset: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut run: Vec<&str> = Vec::new();
    for word in text.split([' ', '\t']) {
        if word.is_ascii() {
            if !run.is_empty() {
                out.push(encoded(&run.join(" "), charset));
                run.clear();
            }
            out.push(word.to_owned());
        } else {
            run.push(word);
        }
    }
    if !run.is_empty() {
        out.push(encoded(&run.join(" "), charset));
    }
    out.join(" ")
}

/// `encoded-word = "=?" charset "?" encoding "?" encoded-text "?="`, as many as
/// are needed, each on a line of its own (RFC 2047 §2).
fn encoded(text: &str, charset: &str) -> String {
    let mut words = Vec::new();
    let mut bytes = Vec::with_capacity(WORD);
    let mut word = |bytes: &mut Vec<u8>| {
        words.push(format!("=?{charset}?B?{}?=", STANDARD.encode(&*bytes)));
        bytes.clear();
    };
    for c in text.chars() {
        let mut buffer = [0; 4];
        let next = match charset {
            "utf-8" => c.encode_utf8(&mut buffer).as_bytes(),
            // These are bytes that were made characters.
            _ => {
                buffer[0] = u8::try_from(u32::from(c)).unwrap_or(b'?');
                &buffer[..1]
            }
        };
        // RFC 2047 §5: a character is never divided.
        if bytes.len() + next.len() > WORD {
            word(&mut bytes);
        }
        bytes.extend_from_slice(next);
    }
    word(&mut bytes);
    words.join("\r\n ")
}

/// A list of addresses in ASCII.
fn addresses(text: &str, charset: &str) -> String {
    let mailboxes: Vec<String> = parts(text)
        .into_iter()
        .map(|mailbox| match mailbox.is_ascii() {
            true => mailbox.to_owned(),
            false => address(mailbox, charset),
        })
        .collect();
    mailboxes.join(",\r\n ")
}

/// Splits at commas that are neither quoted, in a comment nor in angle brackets.
fn parts(text: &str) -> Vec<&str> {
    let (mut quoted, mut depth, mut angle, mut escaped) = (false, 0u32, false, false);
    let (mut parts, mut from) = (Vec::new(), 0);
    for (at, c) in text.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match c {
            '\\' => escaped = true,
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            '<' if !quoted && depth == 0 => angle = true,
            '>' if !quoted && depth == 0 => angle = false,
            ',' if !quoted && depth == 0 && !angle => {
                parts.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts
}

/// One mailbox: the name as encoded words, the address as it is if it can be.
fn address(mailbox: &str, charset: &str) -> String {
    let (name, address) = match mailbox.rsplit_once('<') {
        Some((name, rest)) => (name, rest.split('>').next().unwrap_or_default()),
        // Nothing but an address, and it is not ASCII.
        None => return format!("<{REMOVED}>"),
    };
    let address = match address.is_ascii() {
        true => address,
        false => REMOVED,
    };
    let name = name.trim();
    // Inside quotes an encoded word would be text (RFC 2047 §5).
    let name = match name.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
        Some(inside) => inside.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => name.to_owned(),
    };
    match (name.is_empty(), name.is_ascii()) {
        (true, _) => format!("<{address}>"),
        (false, true) => format!(
            "\"{}\" <{address}>",
            name.replace('\\', "\\\\").replace('"', "\\\"")
        ),
        (false, false) => format!("{}\r\n <{address}>", encoded(&name, charset)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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

        #[test]
        fn nothing_panics(noise in proptest::collection::vec(proptest::num::u8::ANY, 0..300), chunk in 1usize..50) {
            proptest::prop_assert_eq!(run(&noise, chunk), run(&noise, 1));
        }
    }
}
