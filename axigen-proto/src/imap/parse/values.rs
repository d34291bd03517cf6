//! The grammar of the small values: numbers, strings, mailboxes, flags, dates, sets.

use std::borrow::Cow;

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_while, take_while_m_n, take_while1};
use nom::combinator::{map, opt, value};
use nom::sequence::{delimited, preceded, terminated};

use super::Grammar;
use super::fault::{Parsed, cannot, expect, expected, refused};
use crate::imap::command::ListPattern;
use crate::imap::response::{Code, Status};
use crate::imap::sequence::{SequenceNumber, SequenceRange, SequenceSet};
use crate::imap::types::{
    Date, DateTime, Flag, MailboxName, is_astring_char, is_atom_char, month_number,
};
use crate::imap::utf7;

/// Longest pattern of LIST. Names are far shorter, and matching costs pattern times name.
const PATTERN_LIMIT: usize = 1024;

/// `SP = %x20`
pub(crate) fn sp(input: &[u8]) -> Parsed<'_, ()> {
    expect("a space", value((), tag(" "))).parse(input)
}

/// `item *(SP item)`. What follows a space has to be an item.
pub(crate) fn spaced1<'a, T>(
    mut item: impl FnMut(&'a [u8]) -> Parsed<'a, T>,
) -> impl FnMut(&'a [u8]) -> Parsed<'a, Vec<T>> {
    move |input| {
        let (mut rest, first) = item(input)?;
        let mut items = vec![first];
        while let Some(behind) = rest.strip_prefix(b" ") {
            let (after, next) = item(behind)?;
            items.push(next);
            rest = after;
        }
        Ok((rest, items))
    }
}

/// `"(" item *(SP item) ")"`
pub(crate) fn list1<'a, T>(
    item: impl FnMut(&'a [u8]) -> Parsed<'a, T>,
) -> impl FnMut(&'a [u8]) -> Parsed<'a, Vec<T>> {
    let mut list = delimited(
        expect("(", tag("(")),
        spaced1(item),
        expect("a space or )", tag(")")),
    );
    move |input| list.parse(input)
}

/// `"(" [item *(SP item)] ")"`
pub(crate) fn list0<'a, T>(
    item: impl FnMut(&'a [u8]) -> Parsed<'a, T>,
) -> impl FnMut(&'a [u8]) -> Parsed<'a, Vec<T>> {
    let mut list = list1(item);
    move |input| match input.strip_prefix(b"()") {
        Some(rest) => Ok((rest, Vec::new())),
        None => list(input),
    }
}

/// `atom = 1*ATOM-CHAR`
pub(crate) fn atom(input: &[u8]) -> Parsed<'_, &str> {
    let (rest, atom) = expect("an atom", take_while1(is_atom_char)).parse(input)?;
    let text = std::str::from_utf8(atom).map_err(|_| expected(input, "an atom"))?;
    Ok((rest, text))
}

/// A word of letters, digits, `-`, `.` and `=`: a keyword of the grammar, in capitals.
pub(crate) fn word(input: &[u8]) -> Parsed<'_, String> {
    map(
        take_while_m_n(1, 32, |b: u8| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'=')
        }),
        |word: &[u8]| {
            word.iter()
                .map(|b| char::from(b.to_ascii_uppercase()))
                .collect()
        },
    )
    .parse(input)
}

/// ```text
/// astring = 1*ASTRING-CHAR / string
/// ```
pub(crate) fn astring(input: &[u8]) -> Parsed<'_, Cow<'_, [u8]>> {
    expect(
        "a string",
        alt((map(take_while1(is_astring_char), Cow::Borrowed), string)),
    )
    .parse(input)
}

/// An astring that has to be UTF-8.
pub(crate) fn astring_text(input: &[u8]) -> Parsed<'_, String> {
    let (rest, bytes) = astring(input)?;
    Ok((rest, utf8(input, bytes)?))
}

/// `string = quoted / literal`
pub(crate) fn string(input: &[u8]) -> Parsed<'_, Cow<'_, [u8]>> {
    expect("a quoted string or a literal", alt((quoted, literal))).parse(input)
}

/// A string that has to be UTF-8.
pub(crate) fn string_text(input: &[u8]) -> Parsed<'_, String> {
    let (rest, bytes) = string(input)?;
    Ok((rest, utf8(input, bytes)?))
}

fn utf8<'a>(at: &'a [u8], bytes: Cow<'_, [u8]>) -> Result<String, nom::Err<super::Fault<'a>>> {
    String::from_utf8(bytes.into_owned())
        .map_err(|_| refused(at, Status::bad("A text is not valid UTF-8")))
}

/// ```text
/// quoted      = DQUOTE *QUOTED-CHAR DQUOTE
/// QUOTED-CHAR = <any TEXT-CHAR except quoted-specials> /
///               "\" quoted-specials / UTF8-2 / UTF8-3 / UTF8-4
/// ```
/// UTF-8 is RFC 9051's and RFC 9755's (§3: what is not valid is BAD). RFC 3501 knows no
/// meaning for such bytes; they are taken before either is enabled as well, since clients
/// send words to search for and passwords so.
pub(crate) fn quoted(input: &[u8]) -> Parsed<'_, Cow<'_, [u8]>> {
    let Some(body) = input.strip_prefix(b"\"") else {
        return Err(expected(input, "a quoted string"));
    };
    let mut escaped = false;
    let mut end = None;
    let mut escapes = 0usize;
    for (at, &byte) in body.iter().enumerate() {
        if escaped {
            if !matches!(byte, b'"' | b'\\') {
                return Err(expected(&body[at..], "\" or \\ behind a \\"));
            }
            escaped = false;
            continue;
        }
        match byte {
            b'\\' => {
                escaped = true;
                escapes += 1;
            }
            b'"' => {
                end = Some(at);
                break;
            }
            0 | b'\r' | b'\n' => {
                return Err(expected(
                    &body[at..],
                    "a character that a quoted string may hold",
                ));
            }
            _ => {}
        }
    }
    let Some(end) = end else {
        return Err(expected(&body[body.len()..], "the closing quote"));
    };
    let (text, rest) = (&body[..end], &body[end + 1..]);
    if std::str::from_utf8(text).is_err() {
        return Err(refused(
            input,
            Status::bad("A quoted string is not valid UTF-8"),
        ));
    }
    if escapes == 0 {
        return Ok((rest, Cow::Borrowed(text)));
    }
    let mut plain = Vec::with_capacity(text.len() - escapes);
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(if byte == b'\\' {
            bytes.next().copied().unwrap_or(byte)
        } else {
            byte
        });
    }
    Ok((rest, Cow::Owned(plain)))
}

/// ```text
/// literal = "{" number64 ["+"] "}" CRLF *CHAR8
/// ```
/// Its size has been checked when the command was framed.
pub(crate) fn literal(input: &[u8]) -> Parsed<'_, Cow<'_, [u8]>> {
    let (rest, size) = delimited(
        tag("{"),
        number64,
        (
            opt(tag("+")),
            expect("} at the end of the line", tag("}\r\n")),
        ),
    )
    .parse(input)?;
    let size = usize::try_from(size).map_err(|_| expected(input, "a smaller literal"))?;
    let (rest, bytes) = expect("the bytes of the literal", take(size)).parse(rest)?;
    if bytes.contains(&0) {
        return Err(refused(input, Status::bad("A literal holds a NUL byte")));
    }
    Ok((rest, Cow::Borrowed(bytes)))
}

/// `number = 1*DIGIT`, below 2^32.
pub(crate) fn number(input: &[u8]) -> Parsed<'_, u32> {
    let (rest, number) = number64(input)?;
    match u32::try_from(number) {
        Ok(number) => Ok((rest, number)),
        Err(_) => Err(expected(input, "a number below 4294967296")),
    }
}

/// `number64 = 1*DIGIT`, below 2^63.
pub(crate) fn number64(input: &[u8]) -> Parsed<'_, u64> {
    let (rest, digits) =
        expect("a number", take_while1(|b: u8| b.is_ascii_digit())).parse(input)?;
    let mut number: u64 = 0;
    for digit in digits {
        number = number
            .checked_mul(10)
            .and_then(|n| n.checked_add(u64::from(digit - b'0')))
            .filter(|&n| n < 1 << 63)
            .ok_or_else(|| expected(input, "a number below 9223372036854775808"))?;
    }
    Ok((rest, number))
}

/// `nz-number = digit-nz *DIGIT`
pub(crate) fn nz_number(input: &[u8]) -> Parsed<'_, u32> {
    if input.first() == Some(&b'0') {
        return Err(expected(input, "a number that does not begin with 0"));
    }
    number(input)
}

/// ```text
/// mailbox = "INBOX" / astring
/// ```
pub(crate) fn mailbox<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, MailboxName> {
    let (rest, name) = expect("a mailbox name", astring).parse(input)?;
    Ok((rest, MailboxName::new(mailbox_text(grammar, input, &name)?)))
}

/// The reference name of LIST: a mailbox name, or empty.
pub(crate) fn reference<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, String> {
    let (rest, name) = expect("a reference name", astring).parse(input)?;
    if name.len() > PATTERN_LIMIT {
        return Err(too_long(input));
    }
    Ok((rest, mailbox_text(grammar, input, &name)?))
}

/// ```text
/// list-mailbox = 1*list-char / string
/// list-char    = ATOM-CHAR / list-wildcards / resp-specials
/// ```
pub(crate) fn list_mailbox<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, ListPattern> {
    let (rest, pattern) = expect(
        "a mailbox pattern",
        alt((
            map(
                take_while1(|b| is_astring_char(b) || matches!(b, b'%' | b'*')),
                Cow::Borrowed,
            ),
            string,
        )),
    )
    .parse(input)?;
    if pattern.len() > PATTERN_LIMIT {
        return Err(too_long(input));
    }
    Ok((rest, ListPattern(mailbox_text(grammar, input, &pattern)?)))
}

fn too_long(at: &[u8]) -> nom::Err<super::Fault<'_>> {
    refused(
        at,
        Status::bad("The mailbox pattern is too long").with(Code::Limit),
    )
}

/// A mailbox name off the wire: UTF-8 once IMAP4rev2 is enabled (RFC 9051
/// §5.1) or UTF8=ACCEPT (RFC 9755 §3), modified UTF-7 before (RFC 3501 §5.1.3).
fn mailbox_text<'a>(
    grammar: &Grammar,
    at: &'a [u8],
    name: &[u8],
) -> Result<String, nom::Err<super::Fault<'a>>> {
    let text = if grammar.utf8() {
        std::str::from_utf8(name)
            .map_err(|_| cannot(at, "The mailbox name is not valid UTF-8"))?
            .to_owned()
    } else {
        utf7::decode(name)
            .map_err(|_| cannot(at, "The mailbox name is not valid modified UTF-7"))?
    };
    if text.bytes().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
        return Err(cannot(at, "The mailbox name holds a line break or a NUL"));
    }
    Ok(match grammar.separator.swap(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(swapped) => swapped,
    })
}

/// ```text
/// flag = "\Answered" / "\Flagged" / "\Deleted" / "\Seen" / "\Draft" /
///        flag-keyword / flag-extension
/// ```
pub(crate) fn flag(input: &[u8]) -> Parsed<'_, Flag> {
    let (rest, (backslash, name)) =
        expect("a flag", (opt(tag("\\")), take_while1(is_atom_char))).parse(input)?;
    let length = name.len() + backslash.map_or(0, <[u8]>::len);
    std::str::from_utf8(&input[..length])
        .ok()
        .and_then(Flag::new)
        .map(|flag| (rest, flag))
        .ok_or_else(|| expected(input, "a flag"))
}

/// `flag-list = "(" [flag *(SP flag)] ")"`
pub(crate) fn flag_list(input: &[u8]) -> Parsed<'_, Vec<Flag>> {
    list0(flag)(input)
}

/// ```text
/// sequence-set = (seq-number / seq-range) ["," sequence-set] / seq-last-command
/// seq-range    = seq-number ":" seq-number
/// ```
pub(crate) fn sequence_set(input: &[u8]) -> Parsed<'_, SequenceSet> {
    if let Some(rest) = input.strip_prefix(b"$") {
        return Ok((rest, SequenceSet::Saved));
    }
    let (mut rest, first) = expect("a message set", sequence_range).parse(input)?;
    let mut ranges = vec![first];
    while let Some(behind) = rest.strip_prefix(b",") {
        let (after, next) = sequence_range(behind)?;
        ranges.push(next);
        rest = after;
    }
    Ok((rest, SequenceSet::Ranges(ranges)))
}

fn sequence_range(input: &[u8]) -> Parsed<'_, SequenceRange> {
    let (rest, from) = sequence_number(input)?;
    match rest.strip_prefix(b":") {
        None => Ok((rest, SequenceRange { from, to: from })),
        Some(behind) => {
            let (rest, to) = sequence_number(behind)?;
            Ok((rest, SequenceRange { from, to }))
        }
    }
}

/// `seq-number = nz-number / "*"`
pub(crate) fn sequence_number(input: &[u8]) -> Parsed<'_, SequenceNumber> {
    alt((
        value(SequenceNumber::Largest, tag("*")),
        map(nz_number, SequenceNumber::Number),
    ))
    .parse(input)
}

/// `date = date-text / DQUOTE date-text DQUOTE`
pub(crate) fn date(input: &[u8]) -> Parsed<'_, Date> {
    expect(
        "a date such as 1-Jan-2024",
        alt((delimited(tag("\""), date_text, tag("\"")), date_text)),
    )
    .parse(input)
}

/// `date-text = date-day "-" date-month "-" date-year`
fn date_text(input: &[u8]) -> Parsed<'_, Date> {
    let (rest, day) = take_while_m_n(1, 2, |b: u8| b.is_ascii_digit()).parse(input)?;
    month_and_year(input, rest, day)
}

fn month_and_year<'a>(start: &'a [u8], rest: &'a [u8], day: &[u8]) -> Parsed<'a, Date> {
    let (rest, (month, year)) =
        (delimited(tag("-"), take(3usize), tag("-")), digits(4)).parse(rest)?;
    let wrong = || expected(start, "a day that is in the calendar");
    let month = month_number(month).ok_or_else(wrong)?;
    let day = decimal(day);
    u8::try_from(day)
        .ok()
        .and_then(|day| Date::new(year, month, day))
        .map(|date| (rest, date))
        .ok_or_else(wrong)
}

/// ```text
/// date-time      = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
/// date-day-fixed = (SP DIGIT) / 2DIGIT
/// time           = 2DIGIT ":" 2DIGIT ":" 2DIGIT
/// zone           = ("+" / "-") 4DIGIT
/// ```
pub(crate) fn date_time(input: &[u8]) -> Parsed<'_, DateTime> {
    let (rest, day) = preceded(
        tag("\""),
        alt((
            preceded(tag(" "), take_while_m_n(1, 1, |b: u8| b.is_ascii_digit())),
            take_while_m_n(2, 2, |b: u8| b.is_ascii_digit()),
        )),
    )
    .parse(input)?;
    let (rest, date) = month_and_year(input, rest, day)?;
    let (rest, (hour, minute, second)) = preceded(
        sp,
        (
            terminated(digits(2), tag(":")),
            terminated(digits(2), tag(":")),
            digits(2),
        ),
    )
    .parse(rest)?;
    let (rest, (sign, zone)) =
        delimited(sp, (alt((tag("+"), tag("-"))), digits(4)), tag("\"")).parse(rest)?;
    let (zone_hours, zone_minutes) = (zone / 100, zone % 100);
    let minutes = i16::try_from(zone_hours * 60 + zone_minutes)
        .ok()
        .filter(|_| zone_minutes < 60);
    let small = |n: u16| u8::try_from(n).unwrap_or(u8::MAX);
    minutes
        .map(|minutes| if sign == b"-" { -minutes } else { minutes })
        .and_then(|zone| DateTime::new(date, small(hour), small(minute), small(second), zone))
        .map(|at| (rest, at))
        .ok_or_else(|| expected(input, "a date and time that exist"))
}

/// Exactly `count` digits, at most 4.
fn digits<'a>(count: usize) -> impl Parser<&'a [u8], Output = u16, Error = super::Fault<'a>> {
    map(
        take_while_m_n(count, count, |b: u8| b.is_ascii_digit()),
        decimal,
    )
}

fn decimal(digits: &[u8]) -> u16 {
    digits.iter().fold(0, |number: u16, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u16::from(digit - b'0'))
    })
}

/// Everything up to the end: base64 of an initial response.
pub(crate) fn base64_text(input: &[u8]) -> Parsed<'_, &str> {
    let (rest, text) =
        take_while(|b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
            .parse(input)?;
    let text = std::str::from_utf8(text).map_err(|_| expected(input, "base64"))?;
    if text.is_empty() {
        return Err(expected(input, "base64"));
    }
    Ok((rest, text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn strings() {
        assert_eq!(&*astring(b"ab]c d").unwrap().1, b"ab]c");
        assert_eq!(&*astring(b"\"a \\\"b\\\\\" x").unwrap().1, b"a \"b\\");
        assert_eq!(&*astring(b"{3}\r\na\r\nx").unwrap().1, b"a\r\n");
        assert_eq!(&*astring(b"{3+}\r\nabcx").unwrap().1, b"abc");
        assert_eq!(&*astring("\"ä\"".as_bytes()).unwrap().1, "ä".as_bytes());
        for bad in [
            &b""[..],
            b"(",
            b"\"a",
            b"\"a\\n\"",
            b"\"a\rb\"",
            b"\"\xff\"",
            b"{3}\r\nab",
            b"{1}\r\n\0",
            b"{1}x",
            b"{99999999999999999999999}\r\n",
            b"\"a\\",
        ] {
            assert!(astring(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn dates() {
        assert_eq!(
            date(b"1-Feb-1994").unwrap().1,
            Date::new(1994, 2, 1).unwrap()
        );
        assert_eq!(
            date(b"\"01-feb-1994\"").unwrap().1,
            Date::new(1994, 2, 1).unwrap()
        );
        for bad in [
            &b"30-Feb-2024"[..],
            b"1-Foo-2024",
            b"1-Jan-24",
            b"\"1-Jan-2024",
            b"001-Jan-2024",
            b"0-Jan-2024",
        ] {
            assert!(date(bad).is_err(), "{}", bad.escape_ascii());
        }
        let (_, at) = date_time(b"\" 7-Feb-1994 21:52:25 -0800\"").unwrap();
        assert_eq!(at.to_string(), " 7-Feb-1994 21:52:25 -0800");
        for bad in [
            &b"\"7-Feb-1994 21:52:25 -0800\""[..],
            b"\" 7-Feb-1994 24:52:25 -0800\"",
            b"\" 7-Feb-1994 21:60:25 -0800\"",
            b"\" 7-Feb-1994 21:52:25 -0860\"",
            b"\" 7-Feb-1994 21:52:25 -9900\"",
            b"\" 7-Feb-1994 21:52:25 0800\"",
            b" 7-Feb-1994 21:52:25 +0800",
        ] {
            assert!(date_time(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn sets() {
        for good in ["1", "*", "1:*", "*:4", "2,4:7,9,12:*", "$", "4294967295"] {
            let (rest, set) = sequence_set(good.as_bytes()).unwrap();
            assert!(rest.is_empty());
            assert_eq!(set.to_string(), good);
        }
        for bad in [
            "",
            "0",
            "01",
            "1:",
            ":1",
            "4294967296",
            "1,",
            "1:2:3",
            "-1",
            "$,1",
        ] {
            assert!(
                !matches!(sequence_set(bad.as_bytes()), Ok((b"", _))),
                "{bad}"
            );
        }
    }
}
