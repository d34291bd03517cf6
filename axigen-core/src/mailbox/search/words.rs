//! Encoded words. [RFC 2047](https://www.rfc-editor.org/rfc/rfc2047)

use std::borrow::Cow;

use super::decode::charset_decoded;

/// Longest text of an encoded word that is decoded, in bytes; RFC 2047 §2 allows
/// 75 for all of it, and some programs write longer ones.
const WORD: usize = 1024;

/// A header value unfolded, with its encoded words decoded (RFC 2047).
pub(in crate::mailbox) fn decode_words(value: &[u8]) -> Cow<'_, str> {
    let text = match std::str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        // Raw 8-bit that is not UTF-8 is mostly this.
        Err(_) => {
            encoding_rs::WINDOWS_1252
                .decode_without_bom_handling(value)
                .0
        }
    };
    let text = match text.contains(['\r', '\n']) {
        true => Cow::Owned(text.replace(['\r', '\n'], "")),
        false => text,
    };
    if !text.contains("=?") {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest: &str = &text;
    let mut after_word = false;
    while let Some(start) = rest.find("=?") {
        let (before, from) = rest.split_at(start);
        match encoded_word(from) {
            Some((word, length)) => {
                // RFC 2047 §6.2: white space between two encoded words is not shown.
                if !(after_word && before.trim().is_empty()) {
                    out.push_str(before);
                }
                out.push_str(&word);
                rest = from.get(length..).unwrap_or("");
                after_word = true;
            }
            None => {
                out.push_str(before);
                out.push_str("=?");
                rest = from.get(2..).unwrap_or("");
                after_word = false;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// `=?charset?encoding?text?=` at the start, decoded, and its length.
fn encoded_word(text: &str) -> Option<(String, usize)> {
    let inner = text.strip_prefix("=?")?;
    let mut parts = inner.splitn(3, '?');
    let (charset, encoding, rest) = (parts.next()?, parts.next()?, parts.next()?);
    if charset.len() > 75 {
        return None;
    }
    // Not to the end of the field: it may hold many that begin and never end.
    let within = rest.as_bytes().get(..WORD + 2).unwrap_or(rest.as_bytes());
    let end = memchr::memmem::find(within, b"?=")?;
    let word = rest.get(..end)?;
    let bytes = match encoding {
        "b" | "B" => mail_parser::decoders::base64::base64_decode(word.as_bytes())?,
        "q" | "Q" => {
            let spaced = word.replace('_', " ");
            q_decoded(spaced.as_bytes())
        }
        _ => return None,
    };
    // RFC 2231 §5: a language may stand behind the charset.
    let charset = charset.split('*').next().unwrap_or(charset);
    let decoded = charset_decoded(Some(charset.as_bytes()), &bytes).into_owned();
    let length = 2 + charset_length(inner)? + 1 + encoding.len() + 1 + end + 2;
    Some((decoded, length))
}

fn charset_length(inner: &str) -> Option<usize> {
    inner.find('?')
}

fn q_decoded(text: &[u8]) -> Vec<u8> {
    let hex = |b: u8| (b as char).to_digit(16);
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if byte == b'='
            && let (Some(&a), Some(&b)) = (text.get(at + 1), text.get(at + 2))
            && let (Some(a), Some(b)) = (hex(a), hex(b))
        {
            out.push((a * 16 + b) as u8);
            at += 3;
            continue;
        }
        out.push(byte);
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_begin_and_never_end_cost_no_square() {
        // CVE-2026-27852 and the like: a header full of them.
        let begun = std::time::Instant::now();
        for one in [
            "=?x?q? ",
            "=?",
            "=?=",
            "=?x?",
            "=?x?b?a",
            "=?x?q?a?=",
            "? =?",
        ] {
            let text = one.repeat((1 << 20) / one.len());
            let shown = decode_words(text.as_bytes());
            assert!(shown.len() <= text.len(), "{one}");
        }
        let long = format!("=?x?q?{}?=", "a".repeat(WORD));
        assert_eq!(decode_words(long.as_bytes()), "a".repeat(WORD));
        let longer = format!("=?x?q?{}?=", "a".repeat(WORD + 1));
        assert_eq!(decode_words(longer.as_bytes()), longer);
        assert!(begun.elapsed() < std::time::Duration::from_secs(30));
    }

    #[test]
    fn encoded_words() {
        for (value, want) in [
            ("=?utf-8?q?a_b?= c", "a b c"),
            ("=?utf-8?q?a?=  =?utf-8?q?b?=", "ab"),
            ("x =?iso-8859-1*de?Q?=FC?= y", "x ü y"),
            ("=?bad", "=?bad"),
            ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
            ("=?nonsense?Q?a?=", "a"),
            ("a\r\n b", "a b"),
        ] {
            assert_eq!(decode_words(value.as_bytes()), want, "{value}");
        }
        assert_eq!(decode_words(b"caf\xe9"), "café");
    }
}
