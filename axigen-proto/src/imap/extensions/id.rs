//! ID ([RFC 2971](https://www.rfc-editor.org/rfc/rfc2971)): who made the other side.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case};
use nom::combinator::value;

use crate::imap::command::Command;
use crate::imap::parse::fault::{Parsed, expect, expected, refused};
use crate::imap::parse::values::{astring_text, sp};
use crate::imap::response::Status;

// RFC 2971 §3.3: at most 30 pairs, names of 30 and values of 1024 bytes.
const PAIRS: usize = 30;
const NAME: usize = 30;
const VALUE: usize = 1024;

/// ```text
/// id             = "ID" SP id-params-list
/// id-params-list = "(" [string SP nstring *(SP string SP nstring)] ")" / nil
/// ```
/// Clients are met that write atoms (`ID (name imaplib2)`); they are taken.
pub(crate) fn id(input: &[u8]) -> Parsed<'_, Command> {
    let (start, ()) = sp(input)?;
    let (mut rest, empty) = expect(
        "NIL or a list of names and values",
        alt((
            value(true, tag_no_case("NIL")),
            value(true, tag("()")),
            value(false, tag("(")),
        )),
    )(start)?;
    let mut pairs = Vec::new();
    if empty {
        return Ok((rest, Command::Id(pairs)));
    }
    loop {
        let (behind, (name, ())) = (astring_text, sp).parse(rest)?;
        let (after, value) = astring_text(behind)?;
        let is_nil = behind.get(..value.len()) == Some(value.as_bytes());
        let value = (!is_nil || !value.eq_ignore_ascii_case("NIL")).then_some(value);
        // CVE-2026-42391: a list without a bound.
        if pairs.len() == PAIRS {
            return Err(refused(rest, Status::bad("ID holds more than 30 pairs")));
        }
        if name.len() > NAME || value.as_ref().is_some_and(|value| value.len() > VALUE) {
            return Err(refused(
                rest,
                Status::bad("A name or value of ID is too long"),
            ));
        }
        pairs.push((name, value));
        match after.split_first() {
            Some((b' ', behind)) => rest = behind,
            Some((b')', behind)) => return Ok((behind, Command::Id(pairs))),
            _ => return Err(expected(after, "a space or )")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_atoms() {
        for (line, wanted) in [
            (&b" NIL"[..], vec![]),
            (b" (\"name\" NIL)", vec![("name", None)]),
            (b" (\"name\" \"NIL\")", vec![("name", Some("NIL"))]),
            (b" (name imaplib2)", vec![("name", Some("imaplib2"))]),
            (
                b" (name {1}\r\nx version nil)",
                vec![("name", Some("x")), ("version", None)],
            ),
        ] {
            let (rest, command) = id(line).unwrap();
            assert!(rest.is_empty());
            let wanted = wanted
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
            assert_eq!(command, Command::Id(wanted.collect()));
        }
        for line in [&b" (name)"[..], b" (name (x))", b" (name x", b" name"] {
            assert!(id(line).is_err());
        }
    }
}
