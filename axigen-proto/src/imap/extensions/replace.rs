//! REPLACE ([RFC 8508](https://www.rfc-editor.org/rfc/rfc8508)): a message in
//! place of another, in one step.

use nom::Parser;
use nom::combinator::map;
use nom::sequence::preceded;

use super::multiappend::append_message;
use crate::imap::command::{Append, Replaced};
use crate::imap::parse::Grammar;
use crate::imap::parse::fault::{Parsed, expect};
use crate::imap::parse::values::{sequence_number, sp};

/// ```text
/// replace     = "REPLACE" SP seq-number SP mailbox append-message
/// uid-replace = "UID" SP "REPLACE" SP uniqueid SP mailbox append-message
/// ```
/// Read like APPEND.
pub(crate) fn replace<'a>(grammar: &Grammar, uid: bool, input: &'a [u8]) -> Parsed<'a, Append> {
    let number = preceded(sp, expect("the number of one message", sequence_number));
    let (rest, replaced) = map(number, |number| Replaced { uid, number }).parse(input)?;
    append_message(grammar, Some(replaced), rest)
}
