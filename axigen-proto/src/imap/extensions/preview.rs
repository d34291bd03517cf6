//! PREVIEW ([RFC 8970](https://www.rfc-editor.org/rfc/rfc8970)): how a message
//! begins, as text.

use nom::Parser;
use nom::bytes::complete::tag_no_case;
use nom::sequence::preceded;

use crate::imap::command::FetchAttribute;
use crate::imap::parse::fault::{Parsed, expect};
use crate::imap::parse::values::{list1, sp};

/// `"PREVIEW" [SP "(" preview-mod *(SP preview-mod) ")"]`, behind its name. The
/// only modifier is LAZY.
pub(crate) fn preview(input: &[u8]) -> Parsed<'_, FetchAttribute> {
    if !input.starts_with(b" (") {
        return Ok((input, FetchAttribute::Preview { lazy: false }));
    }
    let modifiers = list1(expect("LAZY", tag_no_case("LAZY")));
    let (rest, _) = preceded(sp, modifiers).parse(input)?;
    Ok((rest, FetchAttribute::Preview { lazy: true }))
}
