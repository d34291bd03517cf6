//! ENABLE ([RFC 5161](https://www.rfc-editor.org/rfc/rfc5161)).

use nom::Parser;
use nom::combinator::map;
use nom::sequence::preceded;

use crate::imap::command::Command;
use crate::imap::parse::fault::{Parsed, expect};
use crate::imap::parse::values::{atom, sp, spaced1};

/// `enable = "ENABLE" 1*(SP capability)`
pub(crate) fn enable(input: &[u8]) -> Parsed<'_, Command> {
    map(
        preceded(sp, spaced1(expect("a capability", atom))),
        |names| Command::Enable(names.into_iter().map(str::to_ascii_uppercase).collect()),
    )
    .parse(input)
}
