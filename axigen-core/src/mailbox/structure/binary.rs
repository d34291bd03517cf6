//! NUL bytes, which only BINARY brings
//! ([RFC 3516 §4.4](https://www.rfc-editor.org/rfc/rfc3516#section-4.4)): the parts that hold
//! them are written in base64, and nothing is lost. So every client can fetch the message, also
//! one that does not know BINARY.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::fields::header_fields;
use super::{Inner, Node, Structure};

/// Bytes that become one line of base64 (RFC 2045 §6.8: at most 76 characters).
const LINE: usize = 57;

/// A NUL where no transfer encoding can hide it: in a header, outside of all
/// parts, or in a part that is encoded already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NulOutsideOfParts;

/// The message without NUL bytes; `None` if it has none.
///
/// # Errors
/// [`NulOutsideOfParts`]
pub fn without_nul(message: &[u8]) -> Result<Option<Vec<u8>>, NulOutsideOfParts> {
    if memchr::memchr(0, message).is_none() {
        return Ok(None);
    }
    let structure = Structure::parse(message);
    let mut edits: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
    let mut stack = vec![&structure.root];
    while let Some(node) = stack.pop() {
        match &node.inner {
            Inner::Nothing => encode(message, node, &mut edits)?,
            Inner::Parts(parts) => stack.extend(parts.iter().rev()),
            Inner::Message(_, inner) => stack.push(inner),
        }
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut out = Vec::with_capacity(message.len() + message.len() / 2);
    let mut at = 0;
    for (range, new) in &edits {
        out.extend_from_slice(message.get(at..range.start).unwrap_or_default());
        out.extend_from_slice(new);
        at = range.end;
    }
    out.extend_from_slice(message.get(at..).unwrap_or_default());
    match memchr::memchr(0, &out) {
        Some(_) => Err(NulOutsideOfParts),
        None => Ok(Some(out)),
    }
}

/// What has to be changed so that a leaf holds no NUL.
fn encode(
    message: &[u8],
    leaf: &Node,
    edits: &mut Vec<(Range<usize>, Vec<u8>)>,
) -> Result<(), NulOutsideOfParts> {
    let at = |offset: u64| usize::try_from(offset).map_err(|_| NulOutsideOfParts);
    let (header_at, body_at, end) = (at(leaf.header)?, at(leaf.body)?, at(leaf.end)?);
    let header = message.get(header_at..body_at).unwrap_or_default();
    let body = message.get(body_at..end).unwrap_or_default();
    if memchr::memchr(0, body).is_none() {
        return Ok(());
    }
    let plain = ["7bit", "8bit", "binary"]
        .iter()
        .any(|known| leaf.encoding.eq_ignore_ascii_case(known.as_bytes()));
    let mut fields = Vec::new();
    let mut is_mime = false;
    for field in header_fields(header) {
        if field.is("Content-Transfer-Encoding") {
            let offset = field.whole.as_ptr() as usize - header.as_ptr() as usize;
            fields.push(header_at + offset..header_at + offset + field.whole.len());
        }
        // RFC 2045 §6.4: what has parts is never encoded as a whole.
        let value = field.value.trim_ascii_start();
        let begins = |word: &[u8]| {
            let start = value.get(..word.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        if field.is("Content-Type") && (begins(b"multipart/") || begins(b"message/")) {
            return Err(NulOutsideOfParts);
        }
        is_mime |= field.is("MIME-Version");
    }
    if !plain {
        return Err(NulOutsideOfParts);
    }
    let mut new = Vec::new();
    if header_at == 0 && !is_mime {
        new.extend_from_slice(b"MIME-Version: 1.0\r\n");
    }
    new.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n");
    match fields.split_first() {
        Some((first, others)) => {
            edits.push((first.clone(), new));
            edits.extend(others.iter().map(|range| (range.clone(), Vec::new())));
        }
        None => {
            let blank = if header.ends_with(b"\r\n") { 2 } else { 1 };
            let end = body_at.saturating_sub(blank).max(header_at);
            edits.push((end..end, new));
        }
    }
    let mut text = String::with_capacity(body.len() / LINE * 78 + 80);
    for (index, line) in body.chunks(LINE).enumerate() {
        if index > 0 {
            text.push_str("\r\n");
        }
        STANDARD.encode_string(line, &mut text);
    }
    // What ends a part before its boundary is no part of it.
    if end == message.len() {
        text.push_str("\r\n");
    }
    edits.push((body_at..end, text.into_bytes()));
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::mailbox::search::transfer_decoded;

    /// The decoded contents of all leaves.
    fn contents(message: &[u8]) -> Vec<Vec<u8>> {
        let structure = Structure::parse(message);
        let leaves = structure.leaves();
        let contents = leaves.iter().map(|leaf| {
            let range = leaf.content.start as usize..leaf.content.end as usize;
            let decoded = transfer_decoded(leaf.encoding, &message[range]);
            decoded.unwrap().into_owned()
        });
        contents.collect()
    }

    #[test]
    fn parts_with_nul_are_encoded_and_no_others() {
        let cases: [(&[u8], &[u8]); 6] = [
            (
                b"Content-Transfer-Encoding: binary\r\nSubject: x\r\n\r\na\0b",
                b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\nSubject: x\r\n\r\nYQBi\r\n",
            ),
            (
                b"MIME-Version: 1.0\r\nSubject: x\r\n\r\n\0\r\n",
                b"MIME-Version: 1.0\r\nSubject: x\r\nContent-Transfer-Encoding: base64\r\n\r\nAA0K\r\n",
            ),
            (
                b"\r\n\0",
                b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==\r\n",
            ),
            (
                b"MIME-Version: 1.0\r\ncontent-transfer-ENCODING:\r\n 8BIT\r\nA: b\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\0",
                b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\nA: b\r\n\r\nAA==\r\n",
            ),
            (
                b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n--b\r\n\r\nplain\r\n--b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\xff\r\n--b--\r\n",
                b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n--b\r\n\r\nplain\r\n--b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\nAP8=\r\n--b--\r\n",
            ),
            (
                b"MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\n\0",
                b"MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==\r\n",
            ),
        ];
        for (message, want) in cases {
            let got = without_nul(message).unwrap().unwrap();
            assert_eq!(
                got.escape_ascii().to_string(),
                want.escape_ascii().to_string()
            );
            assert_eq!(contents(&got), contents(message));
        }
        assert_eq!(without_nul(b"Subject: x\r\n\r\ny").unwrap(), None);
        let long = [b"A: b\r\n\r\n".as_slice(), &[0; 1000]].concat();
        let got = without_nul(&long).unwrap().unwrap();
        assert!(got.split(|&b| b == b'\n').all(|line| line.len() <= 77));
        assert_eq!(contents(&got), contents(&long));
    }

    #[test]
    fn where_no_encoding_helps() {
        for bad in [
            &b"a\0b\0c"[..],
            b"Subject: \0\r\n\r\nx",
            b"Content-Transfer-Encoding: base64\r\n\r\nAA\0=",
            b"Content-Transfer-Encoding: x-none\r\n\r\n\0",
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n\0\r\n--b\r\n\r\nx\r\n--b--\r\n",
            b"Content-Type: multipart/mixed\r\n\r\n\0",
            b"Content-Type: message/partial\r\n\r\n\0",
        ] {
            assert_eq!(
                without_nul(bad),
                Err(NulOutsideOfParts),
                "{}",
                bad.escape_ascii()
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost(body in proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..300)) {
            let message = [b"MIME-Version: 1.0\r\nContent-Type: application/x\r\n\r\n".as_slice(), &body].concat();
            match without_nul(&message).unwrap() {
                None => prop_assert!(!body.contains(&0)),
                Some(got) => {
                    prop_assert!(!got.contains(&0));
                    prop_assert_eq!(contents(&got), vec![body]);
                }
            }
        }

        #[test]
        fn anything(noise in proptest::collection::vec(prop_oneof![
            Just(0u8), Just(b'\n'), Just(b'-'), Just(b'b'), Just(b':'), any::<u8>()
        ], 0..200)) {
            let message = [b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".as_slice(), &noise].concat();
            if let Ok(Some(got)) = without_nul(&message) {
                prop_assert!(!got.contains(&0));
            }
        }
    }
}
