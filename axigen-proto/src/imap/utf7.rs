//! Modified UTF-7, the form of mailbox names in IMAP4rev1.
//!
//! Printable US-ASCII stands for itself, `&` is written `&-`, and everything
//! else is UTF-16 in base64 between `&` and `-`, with `,` in place of `/`.
//! [RFC 3501 §5.1.3](https://www.rfc-editor.org/rfc/rfc3501#section-5.1.3)

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

const BASE64: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// Why a name is not modified UTF-7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Utf7Error {
    /// A byte outside printable US-ASCII.
    #[error("a byte outside printable US-ASCII")]
    NotAscii,
    /// `&` without its `-`.
    #[error("an & without its -")]
    Unterminated,
    /// What stands between `&` and `-` is not base64.
    #[error("invalid base64 behind an &")]
    BadBase64,
    /// The base64 does not hold UTF-16.
    #[error("invalid UTF-16 behind an &")]
    BadUtf16,
    /// A name has exactly one form; this is another one.
    #[error("not the shortest form")]
    NotCanonical,
}

/// Writes a name in modified UTF-7.
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            flush(&mut shifted, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0u16; 2];
            for unit in c.encode_utf16(&mut units) {
                shifted.extend_from_slice(&unit.to_be_bytes());
            }
        }
    }
    flush(&mut shifted, &mut out);
    out
}

fn flush(shifted: &mut Vec<u8>, out: &mut String) {
    if !shifted.is_empty() {
        out.push('&');
        BASE64.encode_string(&shifted, out);
        out.push('-');
        shifted.clear();
    }
}

/// Reads a name in modified UTF-7.
///
/// Only the one form that [`encode`] writes is taken, so that two different
/// spellings never name one mailbox (RFC 3501 §5.1.3 forbids the others).
pub fn decode(input: &[u8]) -> Result<String, Utf7Error> {
    if !input.iter().all(|b| matches!(b, b' '..=b'~')) {
        return Err(Utf7Error::NotAscii);
    }
    let mut out = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.iter().position(|&b| b == b'&') {
        push_ascii(&mut out, &rest[..at]);
        let shifted = &rest[at + 1..];
        let end = shifted
            .iter()
            .position(|&b| b == b'-')
            .ok_or(Utf7Error::Unterminated)?;
        if end == 0 {
            out.push('&');
        } else {
            let bytes = BASE64
                .decode(&shifted[..end])
                .map_err(|_| Utf7Error::BadBase64)?;
            let (pairs, odd) = bytes.as_chunks::<2>();
            if !odd.is_empty() {
                return Err(Utf7Error::BadUtf16);
            }
            for c in char::decode_utf16(pairs.iter().map(|&pair| u16::from_be_bytes(pair))) {
                out.push(c.map_err(|_| Utf7Error::BadUtf16)?);
            }
        }
        rest = &shifted[end + 1..];
    }
    push_ascii(&mut out, rest);
    if encode(&out).as_bytes() == input {
        Ok(out)
    } else {
        Err(Utf7Error::NotCanonical)
    }
}

fn push_ascii(out: &mut String, ascii: &[u8]) {
    out.extend(ascii.iter().map(|&b| char::from(b)));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_rfc_3501() {
        let name = "~peter/mail/\u{53f0}\u{5317}/\u{65e5}\u{672c}\u{8a9e}";
        let wire = "~peter/mail/&U,BTFw-/&ZeVnLIqe-";
        assert_eq!(encode(name), wire);
        assert_eq!(decode(wire.as_bytes()).unwrap(), name);
    }

    #[test]
    fn some_names() {
        for (name, wire) in [
            ("", ""),
            ("INBOX", "INBOX"),
            ("a&b", "a&-b"),
            ("&", "&-"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("\u{1f600}", "&2D3eAA-"),
            ("ä-", "&AOQ--"),
            ("ä&", "&AOQ-&-"),
            ("\t", "&AAk-"),
        ] {
            assert_eq!(encode(name), wire);
            assert_eq!(decode(wire.as_bytes()).unwrap(), name);
        }
    }

    #[test]
    fn refused() {
        for (wire, error) in [
            (&b"&"[..], Utf7Error::Unterminated),
            (b"&AOQ", Utf7Error::Unterminated),
            // RFC 3501: "&Jjo!" is not a valid mailbox name.
            (b"&Jjo!", Utf7Error::Unterminated),
            (b"&Jjo!-", Utf7Error::BadBase64),
            (b"&U/BTFw-", Utf7Error::BadBase64),
            (b"&AO-", Utf7Error::BadBase64),
            (b"&AOQA-", Utf7Error::BadUtf16),
            (b"&2D0-", Utf7Error::BadUtf16),
            // A printable character in base64; superfluous shifts.
            (b"&AGE-", Utf7Error::NotCanonical),
            (b"&U,BTFw-&ZeVnLIqe-", Utf7Error::NotCanonical),
            (b"\xc3\xa4", Utf7Error::NotAscii),
            (b"a\x00", Utf7Error::NotAscii),
        ] {
            assert_eq!(decode(wire), Err(error), "{}", wire.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn names_round_trip(name in any::<String>()) {
            let wire = encode(&name);
            prop_assert!(wire.bytes().all(|b| matches!(b, b' '..=b'~')));
            prop_assert_eq!(decode(wire.as_bytes()), Ok(name));
        }

        #[test]
        fn whatever_comes_has_one_form_or_none(wire in any::<Vec<u8>>()) {
            if let Ok(name) = decode(&wire) {
                prop_assert_eq!(encode(&name).into_bytes(), wire);
            }
        }

        /// A name with one byte changed, left out or put in is another name or none.
        #[test]
        fn a_spoilt_form_never_means_the_same(
            name in "[a-z&/äß日\u{1f600}\u{1}]{0,12}",
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            how in 0..3,
        ) {
            let right = encode(&name).into_bytes();
            let mut wire = right.clone();
            let position = at.index(wire.len() + 1);
            match how {
                0 => wire.insert(position, byte),
                _ if position == wire.len() => {}
                1 => drop(wire.remove(position)),
                _ => wire[position] = byte,
            }
            if wire != right {
                prop_assert_ne!(decode(&wire).ok(), Some(name));
            }
        }

        #[test]
        fn what_is_read_is_written_the_same(wire in "[a-z&,A-Z0-9/+-]{0,20}") {
            if let Ok(name) = decode(wire.as_bytes()) {
                prop_assert_eq!(encode(&name), wire);
            }
        }
    }
}
