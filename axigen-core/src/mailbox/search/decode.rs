//! Content without its transfer encoding, and in UTF-8.

use std::borrow::Cow;

use axigen_store::blob::encoding::base64;
use base64::Engine as _;

/// Content without its transfer encoding; `None` if it cannot be undone.
pub fn transfer_decoded<'c>(encoding: &[u8], content: &'c [u8]) -> Option<Cow<'c, [u8]>> {
    let is = |name: &[u8]| encoding.eq_ignore_ascii_case(name);
    if is(b"base64") {
        // What is no base64 is passed over (RFC 2045 §6.8).
        return base64_decoded(content).map(Cow::Owned);
    }
    if is(b"quoted-printable") {
        return mail_parser::decoders::quoted_printable::quoted_printable_decode(content)
            .map(Cow::Owned);
    }
    (is(b"7bit") || is(b"8bit") || is(b"binary")).then_some(Cow::Borrowed(content))
}

/// Base64 in lines. What is as it should be, nearly all, is decoded many bytes at a time.
fn base64_decoded(content: &[u8]) -> Option<Vec<u8>> {
    let mut dense = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
        let (line, ending) = rest.split_at(end);
        dense.extend_from_slice(line);
        rest = ending.get(1..).unwrap_or_default();
    }
    dense.extend_from_slice(rest);
    match base64().decode(&dense) {
        Ok(decoded) => Some(decoded),
        Err(_) => mail_parser::decoders::base64::base64_decode(content),
    }
}

fn encoding(charset: Option<&[u8]>) -> &'static encoding_rs::Encoding {
    charset
        .and_then(encoding_rs::Encoding::for_label)
        .unwrap_or(encoding_rs::UTF_8)
}

pub(super) fn charset_decoded<'c>(charset: Option<&[u8]>, content: &'c [u8]) -> Cow<'c, str> {
    encoding(charset).decode_without_bom_handling(content).0
}

/// The same, without a copy of what is UTF-8 already.
pub(super) fn charset_decoded_owned(charset: Option<&[u8]>, content: Vec<u8>) -> String {
    let content = match encoding(charset) == encoding_rs::UTF_8 {
        true => match String::from_utf8(content) {
            Ok(text) => return text,
            Err(error) => error.into_bytes(),
        },
        false => content,
    };
    charset_decoded(charset, &content).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn base64_is_decoded_as_ever() {
        let tolerant = mail_parser::decoders::base64::base64_decode;
        for coded in [
            &b""[..],
            b"QUJD",
            b"QUJD\r\nREVG\r\n",
            b"QUI=\r\n",
            b"QQ==",
            b"QQ",
            b"QUI",
            b"QR==",
            b"QUI=\r\nQUJD\r\n",
            b"QU JD\tRE\r\nVG",
            b"QUJD!REVG",
            b"\r\n\r\n",
            b"====",
        ] {
            assert_eq!(
                base64_decoded(coded),
                tolerant(coded),
                "{}",
                coded.escape_ascii()
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_base64_is_decoded_as_ever(content in ".{0,300}", cut in 1usize..90) {
            let coded = base64().encode(&content);
            let lines: Vec<&str> = coded.as_bytes().chunks(cut).map(|line| std::str::from_utf8(line).unwrap()).collect();
            let coded = lines.join("\r\n");
            let decoded = base64_decoded(coded.as_bytes());
            proptest::prop_assert_eq!(decoded.as_deref(), Some(content.as_bytes()));
            proptest::prop_assert_eq!(decoded, mail_parser::decoders::base64::base64_decode(coded.as_bytes()));
            for charset in [None, Some(&b"us-ascii"[..]), Some(b"iso-8859-15"), Some(b"utf-16le")] {
                let text = charset_decoded(charset, content.as_bytes()).into_owned();
                proptest::prop_assert_eq!(charset_decoded_owned(charset, content.clone().into_bytes()), text);
            }
        }
    }
}
