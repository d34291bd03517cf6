//! CATENATE ([RFC 4469](https://www.rfc-editor.org/rfc/rfc4469)): a message put
//! together of texts and of what is on the server already.

use nom::Parser;
use nom::bytes::complete::{tag, tag_no_case};
use nom::combinator::value;
use nom::sequence::preceded;

use super::multiappend::{AppendPiece, utf8_literal};
use crate::imap::parse::fault::{Parsed, expect, expected};
use crate::imap::parse::values::{astring_text, sp};

/// `"CATENATE" SP "("`
pub(crate) fn open(input: &[u8]) -> Parsed<'_, ()> {
    value((), tag_no_case("CATENATE (")).parse(input)
}

/// ```text
/// cat-part     = text-literal / url / utf8-literal
/// text-literal = "TEXT" SP literal
/// url          = "URL" SP astring
/// ```
/// One part with the space before it, up to its literal; or the end of the list.
pub(crate) fn part(first: bool, input: &[u8]) -> Parsed<'_, AppendPiece> {
    if !first && let Some(rest) = input.strip_prefix(b")") {
        return Ok((rest, AppendPiece::End));
    }
    let (rest, ()) = match first {
        true => (input, ()),
        false => expect("a space or )", value((), tag(" "))).parse(input)?,
    };
    let url = preceded(tag_no_case("URL"), preceded(sp, astring_text)).parse(rest);
    match url {
        Ok((rest, url)) => return Ok((rest, AppendPiece::Url(url))),
        Err(error) if rest.len() > 3 && is_url(rest) => return Err(error),
        Err(_) => {}
    }
    let text: Parsed<'_, _> = tag_no_case("TEXT ").parse(rest);
    match text {
        Ok((b"", _)) => Ok((b"", AppendPiece::Text)),
        Ok((behind, _)) => Err(expected(behind, "a literal")),
        Err(_) => expect("TEXT, URL or UTF8", utf8_literal).parse(rest),
    }
}

fn is_url(input: &[u8]) -> bool {
    input
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"URL "))
}

/// Whether the text stops where the URL of a part comes, which may be a literal.
pub(crate) fn awaits_url(text: &[u8]) -> bool {
    text.len() > 4
        && text.get(text.len() - 4..).is_some_and(is_url)
        && matches!(text.get(text.len() - 5), Some(b' ' | b'('))
}
