//! Header fields for a client that knows only ASCII.
//!
//! What stands in them beyond ASCII becomes encoded words
//! ([RFC 2047](https://www.rfc-editor.org/rfc/rfc2047)), in parameters what
//! [RFC 2231](https://www.rfc-editor.org/rfc/rfc2231) has for them. An address that
//! has any itself cannot be written in ASCII; it becomes one that nobody has, and
//! its owner's name stays.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes in one encoded word, so that it stays within 75 characters (RFC 2047 §2).
const WORD: usize = 42;
/// Most characters of one piece of a parameter.
const PIECE: usize = 60;
/// Stands for an address beyond ASCII. RFC 2606 §2: nobody has it.
pub(super) const REMOVED: &str = "removed@internationalized-address.invalid";
/// A message whose header fields may be UTF-8 (RFC 6532 §3.7).
pub(super) const GLOBAL: &str = "message/global";

/// A field in ASCII.
pub(super) fn rewritten(field: &[u8]) -> String {
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
    let (text, charset) = read(&unfolded);
    let Some((name, value)) = text.split_once(':') else {
        return text.replace(|c: char| !c.is_ascii(), "?") + end;
    };
    let name = name.replace(|c: char| !c.is_ascii(), "?");
    let value = match is_of_addresses(&name) {
        true => addresses(value, charset),
        false if has_parameters(&name) => parameters(value, charset),
        false => words(value, charset),
    };
    format!("{name}: {}{end}", value.trim_start())
}

/// Bytes as text, and the charset it is in.
pub(super) fn read(bytes: &[u8]) -> (String, &'static str) {
    // RFC 1428 §3: what is not known to be UTF-8 has a charset that says so.
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), "utf-8"),
        Err(_) => (
            bytes.iter().map(|&b| char::from(b)).collect(),
            "unknown-8bit",
        ),
    }
}

/// Whether a field's value has parameters (RFC 2045 §5, RFC 2183 §2): an encoded
/// word may not stand for one (RFC 2047 §5).
fn has_parameters(name: &str) -> bool {
    let name = name.trim();
    name.eq_ignore_ascii_case("content-type") || name.eq_ignore_ascii_case("content-disposition")
}

/// A value with parameters, of which those beyond ASCII say which charset they
/// are in ([RFC 2231 §4](https://www.rfc-editor.org/rfc/rfc2231#section-4)).
fn parameters(text: &str, charset: &str) -> String {
    let parts = split(text, ';');
    let written = parts.into_iter().enumerate().map(|(at, part)| {
        match (part.is_ascii(), part.split_once('=')) {
            (true, _) => part.to_owned(),
            (false, Some((name, value))) if at > 0 => parameter(name.trim(), value.trim(), charset),
            _ => part.replace(|c: char| !c.is_ascii(), "?"),
        }
    });
    written.collect::<Vec<String>>().join(";\r\n ")
}

/// One parameter beyond ASCII.
pub(super) fn parameter(name: &str, value: &str, charset: &str) -> String {
    let name = name.replace(|c: char| !c.is_ascii(), "?");
    let byte = |byte: u8| format!("%{byte:02X}");
    let bytes = |c: char| -> Vec<u8> {
        match charset {
            "utf-8" => c.encode_utf8(&mut [0; 4]).as_bytes().to_vec(),
            // These are bytes that were made characters.
            _ => vec![u8::try_from(u32::from(c)).unwrap_or(b'?')],
        }
    };
    if name.ends_with('*') {
        // It says already which charset it is in.
        let escaped = |c: char| match c.is_ascii() {
            true => c.to_string(),
            false => bytes(c).into_iter().map(byte).collect(),
        };
        return format!("{name}={}", value.chars().map(escaped).collect::<String>());
    }
    let value = match value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) {
        Some(quoted) => unquoted(quoted),
        None => value.to_owned(),
    };
    let escaped: Vec<String> = value
        .chars()
        .map(
            |c| match c.is_ascii_alphanumeric() || "!#$&+-.^_`|~".contains(c) {
                true => c.to_string(),
                false => bytes(c).into_iter().map(byte).collect(),
            },
        )
        .collect();
    // One of several pieces keeps its number (RFC 2231 §4.1).
    let (name, piece) = match name.split_once('*') {
        Some((name, piece)) => (name.to_owned(), Some(piece.to_owned())),
        None => (name, None),
    };
    if let Some(piece) = piece {
        let first = if piece == "0" {
            format!("{charset}''")
        } else {
            String::new()
        };
        return format!("{name}*{piece}*={first}{}", escaped.concat());
    }
    if escaped.iter().map(String::len).sum::<usize>() <= PIECE {
        return format!("{name}*={charset}''{}", escaped.concat());
    }
    // A long one is divided, between characters.
    let mut pieces: Vec<String> = vec![String::new()];
    for c in escaped {
        if pieces
            .last()
            .is_some_and(|last| last.len() + c.len() > PIECE)
        {
            pieces.push(String::new());
        }
        if let Some(last) = pieces.last_mut() {
            last.push_str(&c);
        }
    }
    let pieces = pieces.iter().enumerate().map(|(n, piece)| match n {
        0 => format!("{name}*0*={charset}''{piece}"),
        n => format!("{name}*{n}*={piece}"),
    });
    pieces.collect::<Vec<String>>().join(";\r\n ")
}

/// The text of a quoted string.
fn unquoted(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    text
}

/// What a Content-Type field says: the type in lower case, and the boundary.
pub(super) fn content_type(field: &[u8]) -> Option<(String, Option<String>)> {
    let value = value_of(field, "content-type")?;
    let mut parts = split(&value, ';').into_iter();
    let kind = uncommented(parts.next()?).trim().to_ascii_lowercase();
    let mut boundary = None;
    for part in parts {
        let Some((name, value)) = part.split_once('=') else {
            continue;
        };
        if uncommented(name).trim().eq_ignore_ascii_case("boundary") {
            let value = value.trim();
            boundary.get_or_insert(match value.strip_prefix('"') {
                Some(rest) => {
                    let end = rest.char_indices().scan(false, |escaped, (at, c)| {
                        let was = std::mem::replace(escaped, c == '\\' && !*escaped);
                        Some((at, c == '"' && !was))
                    });
                    let end = end.filter(|(_, is_end)| *is_end).map(|(at, _)| at).next();
                    unquoted(&rest[..end.unwrap_or(rest.len())])
                }
                None => uncommented(value).trim().to_owned(),
            });
        }
    }
    Some((kind, boundary))
}

/// What a Content-Transfer-Encoding field says, in lower case.
pub(super) fn encoding(field: &[u8]) -> Option<String> {
    let value = value_of(field, "content-transfer-encoding")?;
    Some(uncommented(&value).trim().to_ascii_lowercase())
}

/// The value of a field, if it has this name, without its folding.
fn value_of(field: &[u8], name: &str) -> Option<String> {
    let colon = field.iter().position(|b| *b == b':')?;
    let (is, value) = (&field[..colon], &field[colon + 1..]);
    if !is.trim_ascii().eq_ignore_ascii_case(name.as_bytes()) {
        return None;
    }
    let value = String::from_utf8_lossy(value);
    Some(value.replace(['\r', '\n'], ""))
}

/// Without comments (RFC 5322 §3.2.2).
fn uncommented(text: &str) -> String {
    let (mut depth, mut escaped) = (0u32, false);
    text.chars()
        .filter(|c| {
            let was_escaped = escaped;
            escaped = *c == '\\' && !was_escaped;
            match c {
                '(' if !was_escaped => {
                    depth += 1;
                    false
                }
                ')' if !was_escaped && depth > 0 => {
                    depth -= 1;
                    false
                }
                _ => depth == 0,
            }
        })
        .collect()
}

/// A message/global as what it is once its headers are ASCII (RFC 6532 §3.7).
pub(super) fn as_rfc822(field: &[u8]) -> Vec<u8> {
    let lower = field.to_ascii_lowercase();
    let at = lower
        .windows(GLOBAL.len())
        .position(|of| of == GLOBAL.as_bytes());
    match at {
        Some(at) => [&field[..at], b"message/rfc822", &field[at + GLOBAL.len()..]].concat(),
        None => field.to_vec(),
    }
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
pub(super) fn words(text: &str, charset: &str) -> String {
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
    let mailboxes: Vec<String> = split(text, ',')
        .into_iter()
        .map(|mailbox| match mailbox.is_ascii() {
            true => mailbox.to_owned(),
            false => address(mailbox, charset),
        })
        .collect();
    mailboxes.join(",\r\n ")
}

/// Splits where this character is neither quoted, in a comment nor in angle
/// brackets.
fn split(text: &str, separator: char) -> Vec<&str> {
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
            c if c == separator && !quoted && depth == 0 && !angle => {
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

    fn ascii(field: &str) -> String {
        rewritten(field.as_bytes())
    }

    #[test]
    fn parameters_keep_their_names() {
        for (field, want) in [
            (
                "Content-Disposition: attachment; size=3;\r\n filename=\"Grüße; 1.pdf\"\r\n",
                "Content-Disposition: attachment;\r\n size=3;\r\n filename*=utf-8''Gr%C3%BC%C3%9Fe%3B%201.pdf\r\n",
            ),
            (
                "Content-Type: text/plain; name=ä.txt\r\n",
                "Content-Type: text/plain;\r\n name*=utf-8''%C3%A4.txt\r\n",
            ),
            (
                "Content-Type: x/y; name*=utf-8''ä%20b; a=\"b\"\r\n",
                "Content-Type: x/y;\r\n name*=utf-8''%C3%A4%20b;\r\n a=\"b\"\r\n",
            ),
            (
                "Content-Type: x/y; name*0=\"ä\"; name*1=\"ö\"\r\n",
                "Content-Type: x/y;\r\n name*0*=utf-8''%C3%A4;\r\n name*1*=%C3%B6\r\n",
            ),
            ("Content-Type: ä/b\r\n", "Content-Type: ?/b\r\n"),
            ("Content-Type: x/y; ä\r\n", "Content-Type: x/y;\r\n ?\r\n"),
            (
                "Content-Description: Grüße hier\r\n",
                "Content-Description: =?utf-8?B?R3LDvMOfZQ==?= hier\r\n",
            ),
        ] {
            assert_eq!(ascii(field), want);
        }
        assert_eq!(
            rewritten(b"Content-Type: x/y; name=\"caf\xe9\"\r\n"),
            "Content-Type: x/y;\r\n name*=unknown-8bit''caf%E9\r\n"
        );
        let long = ascii(&format!(
            "Content-Disposition: a; filename=\"{}\"\r\n",
            "ä".repeat(100)
        ));
        assert!(
            long.is_ascii() && long.lines().all(|line| line.len() < 100),
            "{long}"
        );
        assert!(long.contains(" filename*0*=utf-8''%C3%A4") && long.contains(" filename*9*=%C3"));
    }

    #[test]
    fn types_and_boundaries() {
        for (field, kind, boundary) in [
            (
                "Content-Type: multipart/mixed; boundary=b",
                "multipart/mixed",
                Some("b"),
            ),
            (
                "CONTENT-TYPE : Multipart/Mixed ; Boundary=\"a b;\\\"c\"",
                "multipart/mixed",
                Some("a b;\"c"),
            ),
            (
                "Content-Type: multipart/x (c;d);\r\n\tboundary=q (z)",
                "multipart/x",
                Some("q"),
            ),
            (
                "Content-Type: multipart/x; boundary=\"q\" (z\")",
                "multipart/x",
                Some("q"),
            ),
            ("Content-Type: text/plain; x", "text/plain", None),
            ("Content-Type:", "", None),
        ] {
            let (is, of) = content_type(field.as_bytes()).unwrap();
            assert_eq!((is.as_str(), of.as_deref()), (kind, boundary), "{field}");
        }
        assert_eq!(content_type(b"Subject: x"), None);
        assert_eq!(content_type(b"no colon"), None);
        let field = b"Content-Transfer-Encoding: (a) Base64 \r\n";
        assert_eq!(encoding(field).as_deref(), Some("base64"));
        assert_eq!(
            as_rfc822(b"Content-Type: Message/Global; a=b\r\n"),
            b"Content-Type: message/rfc822; a=b\r\n"
        );
    }
}
