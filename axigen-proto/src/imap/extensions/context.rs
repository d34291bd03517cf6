//! CONTEXT=SEARCH and CONTEXT=SORT ([RFC 5267](https://www.rfc-editor.org/rfc/rfc5267)):
//! results that are kept up to date. And INPROGRESS
//! ([RFC 9585](https://www.rfc-editor.org/rfc/rfc9585)), for those that take long.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case};
use nom::combinator::{map, value};
use nom::sequence::{delimited, preceded};

use crate::imap::command::Command;
use crate::imap::encode::Encoder;
use crate::imap::parse::fault::{Parsed, expected};
use crate::imap::parse::values::{number, quoted, sp, spaced1};
use crate::imap::response::Code;
use crate::imap::types::Tag;

/// Results that came or went together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    /// `context-position`: the place of the first among the results, from 1; 0
    /// where results stand in the order of the mailbox.
    pub position: u32,
    /// Sequence numbers or UIDs, in the order of the results.
    pub numbers: Vec<u32>,
}

/// `cancelupdate = "CANCELUPDATE" 1*(SP quoted)`
pub(crate) fn cancel_update(input: &[u8]) -> Parsed<'_, Command> {
    map(preceded(sp, spaced1(quoted_tag)), Command::CancelUpdate).parse(input)
}

fn quoted_tag(input: &[u8]) -> Parsed<'_, Tag> {
    let (rest, text) = quoted(input)?;
    let tag = Tag::from_bytes(&text).ok_or_else(|| expected(input, "a tag in quotes"))?;
    Ok((rest, tag))
}

/// `"NOUPDATE" SP quoted`, behind its name.
pub(crate) fn no_update(input: &[u8]) -> Parsed<'_, Code> {
    map(quoted_tag, Code::NoUpdate).parse(input)
}

/// ```text
/// "INPROGRESS" [SP "(" (quoted / nil) SP (number / nil) SP (nz-number / nil) ")"] ; behind its name
/// ```
pub(crate) fn in_progress(input: &[u8]) -> Parsed<'_, Code> {
    fn some_number(input: &[u8]) -> Parsed<'_, Option<u32>> {
        alt((value(None, tag_no_case("NIL")), map(number, Some))).parse(input)
    }
    let of = alt((value(None, tag_no_case("NIL")), map(quoted_tag, Some)));
    let inside = (of, preceded(sp, some_number), preceded(sp, some_number));
    let (rest, (tag, done, goal)) = delimited(tag("("), inside, tag(")")).parse(input)?;
    Ok((rest, Code::InProgress { tag, done, goal }))
}

impl Encoder<'_> {
    /// ```text
    /// ret-data-addto      = "ADDTO" SP "(" context-position SP sequence-set
    ///                       *(SP context-position SP sequence-set) ")"
    /// ret-data-removefrom = "REMOVEFROM" SP "(" ... ")"
    /// ```
    pub(crate) fn shifts(&mut self, name: &str, shifts: &[Shift]) {
        if shifts.is_empty() {
            return;
        }
        self.print(format_args!(" {name} ("));
        for (index, shift) in shifts.iter().enumerate() {
            let space = if index > 0 { " " } else { "" };
            self.print(format_args!("{space}{} ", shift.position));
            self.in_order(&shift.numbers);
        }
        self.put(")");
    }
}
