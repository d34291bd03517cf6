//! BINARY ([RFC 3516](https://www.rfc-editor.org/rfc/rfc3516)): parts without
//! their transfer encoding, and messages with NUL bytes by literal8.

use nom::Parser;
use nom::bytes::complete::tag;
use nom::combinator::{map, opt};
use nom::multi::separated_list1;
use nom::sequence::delimited;

use crate::imap::parse::fault::{Parsed, expect};
use crate::imap::parse::values::nz_number;

/// `section-binary = "[" [section-part] "]"`
pub(crate) fn section_binary(input: &[u8]) -> Parsed<'_, Vec<u32>> {
    delimited(
        expect("[", tag("[")),
        map(
            opt(separated_list1(tag("."), nz_number)),
            Option::unwrap_or_default,
        ),
        expect("]", tag("]")),
    )
    .parse(input)
}
