//! Which parts of a message are not kept as they came.
//!
//! A mail that is sent on has other headers and the same attachment. So parts
//! of 32 KB and more are blobs of their own, kept once wherever else they
//! occur. Base64 is taken off where it can be made again, also of shorter
//! parts: a third less, and the compressor sees the text in it. Whether it can
//! is tried by the store, which keeps the bytes as they are otherwise.

use std::ops::Range;

use axigen_store::blob::{Piece, Recipe};

use super::structure::Structure;

/// Shorter parts stay in the message: finding them again would cost more than
/// they take.
const LEAST: u64 = 32 * 1024;
/// Shorter parts keep their base64: what it hides is less than the place of
/// the part takes.
const LEAST_DECODED: u64 = 256;

/// The parts to be kept once, in order.
pub(super) fn pieces(structure: &Structure, raw: &[u8]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for leaf in structure.leaves() {
        let Range { start, end } = leaf.content;
        let after = pieces.last().map_or(0, |last| last.range.end);
        let base64 = leaf.encoding.eq_ignore_ascii_case(b"base64");
        let apart = end.saturating_sub(start) >= LEAST;
        let least = if base64 { LEAST_DECODED } else { LEAST };
        if end.saturating_sub(start) < least {
            continue;
        }
        let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end)) else {
            continue;
        };
        let Some(content) = raw.get(start..end) else {
            continue;
        };
        if start < after {
            continue;
        }
        let (range, recipe) = match base64.then(|| lines(content)).flatten() {
            Some((length, recipe)) => (start..start + length, recipe),
            None => (start..end, Recipe::Plain),
        };
        if apart || recipe != Recipe::Plain {
            pieces.push(Piece {
                range,
                recipe,
                apart,
            });
        }
    }
    pieces
}

/// How the lines of base64 look, by the first one, and how far they go: empty
/// lines behind them are not of them.
fn lines(content: &[u8]) -> Option<(usize, Recipe)> {
    let last = content
        .iter()
        .rposition(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let text = last + 1;
    let first = content
        .get(..text)?
        .iter()
        .position(|byte| matches!(byte, b'\r' | b'\n'));
    let ending_at = first.unwrap_or(text);
    let rest = content.get(ending_at..)?;
    let crlf = rest.starts_with(b"\r\n");
    let line = match first {
        Some(0) => return None,
        Some(line) => u32::try_from(line).ok()?,
        None => 0,
    };
    let ending: &[u8] = if crlf { b"\r\n" } else { b"\n" };
    let ended = content.get(text..)?.starts_with(ending);
    let length = text + if ended { ending.len() } else { 0 };
    Some((length, Recipe::Base64 { line, crlf, ended }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base64::{Engine, engine::general_purpose::STANDARD};
    use bytes::Bytes;

    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1u64;
        (0..len)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect()
    }

    fn encoded(bytes: &[u8], line: usize, ending: &str) -> String {
        let text = STANDARD.encode(bytes);
        let lines = text.as_bytes().chunks(line);
        lines
            .map(|line| format!("{}{ending}", std::str::from_utf8(line).unwrap()))
            .collect()
    }

    fn message(body: &str) -> Vec<u8> {
        format!(
            "Subject: x\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=b\r\n\r\n\
             --b\r\n\r\nshort\r\n\
             --b\r\nContent-Type: application/pdf\r\n\
             Content-Transfer-Encoding: Base64\r\n\r\n{body}\r\n--b--\r\n"
        )
        .into_bytes()
    }

    #[test]
    fn base64_of_any_shape_is_decoded() {
        let attachment = noise(50_000);
        for (line, ending, behind) in [
            (76, "\r\n", ""),
            (72, "\r\n", "\r\n\r\n"),
            (64, "\n", ""),
            (75, "\r\n", "\r\n"),
            (usize::MAX, "", ""),
        ] {
            let raw = message(&format!("{}{behind}", encoded(&attachment, line, ending)));
            let pieces = pieces(&Structure::parse(&raw), &raw);
            assert_eq!(pieces.len(), 1, "{line}");
            let piece = Bytes::copy_from_slice(&raw[pieces[0].range.clone()]);
            assert_eq!(pieces[0].recipe.kept(&piece).unwrap(), attachment, "{line}");
        }
    }

    #[test]
    fn what_is_short_stays_in_the_message() {
        let content = noise(20_000);
        let raw = message(&encoded(&content, 76, "\r\n"));
        let cut = pieces(&Structure::parse(&raw), &raw);
        assert_eq!((cut.len(), cut[0].apart), (1, false));
        let piece = Bytes::copy_from_slice(&raw[cut[0].range.clone()]);
        assert_eq!(cut[0].recipe.kept(&piece).unwrap(), content);
        for body in [encoded(&noise(150), 76, "\r\n"), "text\r\n".repeat(3_000)] {
            let raw = format!("Content-Transfer-Encoding: base64\r\n\r\n{body}");
            let found = pieces(&Structure::parse(raw.as_bytes()), raw.as_bytes());
            assert!(body.starts_with("text") || found.is_empty(), "{found:?}");
            let raw = format!("Subject: x\r\n\r\n{body}").into_bytes();
            assert_eq!(pieces(&Structure::parse(&raw), &raw), []);
        }
    }

    #[test]
    fn what_is_otherwise_encoded_is_kept_as_it_is() {
        let text = "All work and no play\r\n".repeat(3_000);
        let raw = message(&text);
        let cut = pieces(&Structure::parse(&raw), &raw);
        // It says base64 and is none: the store will find out.
        let piece = Bytes::copy_from_slice(&raw[cut[0].range.clone()]);
        assert_eq!(cut[0].recipe.kept(&piece), None);
        let plain = format!("Subject: x\r\n\r\n{text}").into_bytes();
        let cut = pieces(&Structure::parse(&plain), &plain);
        assert_eq!((cut.len(), cut[0].recipe), (1, Recipe::Plain));
        assert_eq!(cut[0].range, 14..plain.len());
    }
}
