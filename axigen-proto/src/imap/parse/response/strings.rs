//! Strings as servers write them: bytes of any kind, and more atoms than the
//! grammar knows.

use nom::Parser;
use nom::bytes::complete::{tag, take, take_while1};
use nom::combinator::opt;
use nom::sequence::delimited;

use bytes::Bytes;

use super::Counted;
use crate::imap::parse::fault::{Fault, Parsed, expected};
use crate::imap::parse::values::number64;
use crate::imap::types::MailboxName;
use crate::imap::utf7;

/// What ends a word that stands by itself.
fn is_word_char(byte: u8) -> bool {
    !matches!(byte, 0..=b' ' | b'(' | b')' | b'"' | b'{' | 0x7f)
}

/// `*SP`
pub(super) fn spaces(input: &[u8]) -> &[u8] {
    let at = input.iter().position(|&b| b != b' ');
    &input[at.unwrap_or(input.len())..]
}

/// `"("`
pub(super) fn open(input: &[u8]) -> Result<&[u8], nom::Err<Fault<'_>>> {
    input.strip_prefix(b"(").ok_or_else(|| expected(input, "("))
}

/// `")"`
pub(super) fn close(input: &[u8]) -> Result<&[u8], nom::Err<Fault<'_>>> {
    input.strip_prefix(b")").ok_or_else(|| expected(input, ")"))
}

/// Whether NIL stands here, as a word.
pub(super) fn is_nil(input: &[u8]) -> bool {
    let word = input
        .get(..3)
        .is_some_and(|w| w.eq_ignore_ascii_case(b"NIL"));
    word && !input.get(3).is_some_and(|&b| is_word_char(b))
}

/// `1*ATOM-CHAR`, and what else is no delimiter.
pub(super) fn atom(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while1(is_word_char).parse(input)
}

pub(super) fn atom_text(input: &[u8]) -> Parsed<'_, String> {
    let (rest, text) = atom(input)?;
    Ok((rest, String::from_utf8_lossy(text).into_owned()))
}

/// `string = quoted / literal / literal8`
pub(super) fn string(input: &[u8]) -> Parsed<'_, Bytes> {
    match input.first() {
        Some(b'"') => quoted(input),
        Some(b'{' | b'~') => literal(input),
        _ => Err(expected(input, "a string")),
    }
}

pub(super) fn string_text(input: &[u8]) -> Parsed<'_, String> {
    let (rest, text) = string(input)?;
    Ok((rest, String::from_utf8_lossy(&text).into_owned()))
}

/// `nstring = string / nil`
pub(super) fn nstring(input: &[u8]) -> Parsed<'_, Option<Bytes>> {
    match is_nil(input) {
        true => Ok((&input[3..], None)),
        false => string(input).map(|(rest, text)| (rest, Some(text))),
    }
}

pub(super) fn nstring_text(input: &[u8]) -> Parsed<'_, Option<String>> {
    let (rest, text) = nstring(input)?;
    let text = text.map(|text| String::from_utf8_lossy(&text).into_owned());
    Ok((rest, text))
}

/// `astring = 1*ASTRING-CHAR / string`
pub(super) fn astring(input: &[u8]) -> Parsed<'_, Bytes> {
    match input.first() {
        Some(b'"' | b'{') => string(input),
        _ => {
            let (rest, text) = atom(input)?;
            Ok((rest, Bytes::copy_from_slice(text)))
        }
    }
}

pub(super) fn astring_text(input: &[u8]) -> Parsed<'_, String> {
    let (rest, text) = astring(input)?;
    Ok((rest, String::from_utf8_lossy(&text).into_owned()))
}

/// ```text
/// quoted = DQUOTE *QUOTED-CHAR DQUOTE
/// ```
/// A backslash takes the special meaning from any character.
fn quoted(input: &[u8]) -> Parsed<'_, Bytes> {
    let body = &input[1..];
    let (mut escaped, mut escapes, mut end) = (false, false, None);
    for (at, &byte) in body.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => (escaped, escapes) = (true, true),
            b'"' => {
                end = Some(at);
                break;
            }
            b'\r' | b'\n' => break,
            _ => {}
        }
    }
    let Some(end) = end else {
        return Err(expected(&body[body.len()..], "the closing quote"));
    };
    let (text, rest) = (&body[..end], &body[end + 1..]);
    if !escapes {
        return Ok((rest, Bytes::copy_from_slice(text)));
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => bytes.next().copied().unwrap_or(byte),
            byte => byte,
        });
    }
    Ok((rest, plain.into()))
}

/// ```text
/// literal  = "{" number64 ["+"] "}" CRLF *CHAR8
/// literal8 = "~{" number64 "}" CRLF *OCTET
/// ```
/// Its size has been checked when the response was framed.
fn literal(input: &[u8]) -> Parsed<'_, Bytes> {
    let (rest, size) = delimited(
        (opt(tag("~")), tag("{")),
        number64,
        (opt(tag("+")), tag("}\r\n")),
    )
    .parse(input)?;
    let size = usize::try_from(size).map_err(|_| expected(input, "a smaller literal"))?;
    let (rest, bytes) = take(size).parse(rest)?;
    Ok((rest, Bytes::copy_from_slice(bytes)))
}

/// `mailbox = "INBOX" / astring`. A name that is not in the form it should have
/// is taken as it is.
pub(super) fn mailbox<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, MailboxName> {
    let (rest, name) = astring(input)?;
    Ok((rest, MailboxName::new(decoded(counted, &name))))
}

/// Text that is modified UTF-7 before UTF-8 is enabled.
pub(super) fn decoded(counted: &Counted<'_>, name: &[u8]) -> String {
    let as_it_is = || String::from_utf8_lossy(name).into_owned();
    match counted.grammar.utf8 {
        true => as_it_is(),
        false => utf7::decode(name).unwrap_or_else(|_| as_it_is()),
    }
}

/// A value of any kind, which is skipped: what an extension may hold.
///
/// ```text
/// tagged-ext-val  = tagged-ext-simple / "(" [tagged-ext-comp] ")"
/// tagged-ext-comp = astring / tagged-ext-comp *(SP tagged-ext-comp) / "(" tagged-ext-comp ")"
/// ```
/// Nothing here recurses, so it may be as deep as it likes.
pub(super) fn any_value(input: &[u8]) -> Parsed<'_, &[u8]> {
    let mut rest = input;
    let mut depth = 0usize;
    loop {
        rest = match rest.first() {
            Some(b'(') => {
                depth += 1;
                &rest[1..]
            }
            Some(b')') if depth > 0 => {
                depth -= 1;
                &rest[1..]
            }
            Some(b' ') if depth > 0 => &rest[1..],
            Some(b'"' | b'{') => skip_string(rest)?,
            Some(b'~') if rest.get(1) == Some(&b'{') => skip_string(rest)?,
            _ => atom(rest)?.0,
        };
        if depth == 0 {
            let length = input.len() - rest.len();
            return Ok((rest, &input[..length]));
        }
    }
}

/// What stands behind a string.
fn skip_string(input: &[u8]) -> Result<&[u8], nom::Err<Fault<'_>>> {
    string(input).map(|(rest, _)| rest)
}
