//! The parameters of MAIL and RCPT.
//!
//! Every parameter that this crate knows is parsed here; whether the server
//! offers it is the session's business.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag_no_case, take_while, take_while1};
use nom::character::complete::{char, satisfy, space1};
use nom::combinator::{all_consuming, opt, recognize, value};
use nom::multi::many0;
use nom::sequence::{pair, preceded};

use super::{Parsed, SyntaxError};
use crate::smtp::command::{BodyType, Mail, Rcpt, Submitter};
use crate::smtp::deliver_by::{ByMode, DeliverBy};
use crate::smtp::dsn::{EnvelopeId, MAX_ENVID, MAX_ORCPT, Notify, OriginalRecipient, Ret};
use crate::smtp::future_release::{Hold, Interval};
use crate::smtp::priority::Priority;
use crate::smtp::standard;

/// A parameter's name and its value, if it has one.
pub(super) type Parameter<'a> = (&'a str, Option<&'a str>);

/// `Mail-parameters = esmtp-param *(SP esmtp-param)`
pub(super) fn parameters(input: &str) -> Result<Vec<Parameter<'_>>, SyntaxError> {
    let parsed: Parsed<'_, _> = all_consuming(many0(preceded(space1, esmtp_param))).parse(input);
    match parsed {
        Ok((_, parameters)) => Ok(parameters),
        Err(_) => Err(SyntaxError::argument(
            "parameters behind the address have the form KEYWORD or KEYWORD=value",
        )),
    }
}

/// ```text
/// esmtp-param   = esmtp-keyword ["=" esmtp-value]
/// esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
/// esmtp-value   = 1*(%d33-60 / %d62-126 / UTF8-non-ascii)   ; RFC 6531 §3.3
/// ```
fn esmtp_param(input: &str) -> Parsed<'_, Parameter<'_>> {
    let keyword = recognize(pair(
        satisfy(|c| c.is_ascii_alphanumeric()),
        take_while(|c: char| c.is_ascii_alphanumeric() || c == '-'),
    ));
    let value = take_while1(|c: char| !c.is_ascii() || (c.is_ascii_graphic() && c != '='));
    pair(keyword, opt(preceded(char('='), value))).parse(input)
}

pub(super) fn mail_parameter(
    mail: &mut Mail,
    keyword: &str,
    value: Option<&str>,
) -> Result<(), SyntaxError> {
    match (keyword.to_ascii_uppercase().as_str(), value) {
        ("SIZE", Some(text)) => once(&mut mail.size, size_value(text)?),
        ("BODY", Some(text)) => once(&mut mail.body, body_value(text)?),
        ("SMTPUTF8", None) => flag(&mut mail.smtputf8),
        ("AUTH", Some(text)) => once(&mut mail.auth, auth_value(text)?),
        ("RET", Some(text)) => once(&mut mail.ret, ret_value(text)?),
        ("ENVID", Some(text)) => once(&mut mail.envid, envid_value(text)?),
        ("BY", Some(text)) => once(&mut mail.by, by_value(text)?),
        ("SOLICIT", Some(text)) => once(&mut mail.solicit, text.parse()?),
        ("REQUIRETLS", None) => flag(&mut mail.require_tls),
        ("MT-PRIORITY", Some(text)) => once(&mut mail.priority, priority_value(text)?)
            .map_err(|_| SyntaxError(standard::BAD_PRIORITY)),
        ("MT-PRIORITY", None) => Err(SyntaxError(standard::BAD_PRIORITY)),
        ("HOLDFOR", Some(text)) => hold(mail, Hold::For(holdfor_value(text)?)),
        ("HOLDUNTIL", Some(text)) => hold(mail, Hold::Until(text.parse()?)),
        (
            "SIZE" | "BODY" | "AUTH" | "RET" | "ENVID" | "BY" | "HOLDFOR" | "HOLDUNTIL" | "SOLICIT",
            None,
        ) => Err(NEEDS_VALUE),
        ("SMTPUTF8" | "REQUIRETLS", Some(_)) => Err(TAKES_NO_VALUE),
        _ => Err(SyntaxError(standard::UNKNOWN_PARAMETER)),
    }
}

pub(super) fn rcpt_parameter(
    rcpt: &mut Rcpt,
    keyword: &str,
    value: Option<&str>,
) -> Result<(), SyntaxError> {
    match (keyword.to_ascii_uppercase().as_str(), value) {
        ("NOTIFY", Some(text)) => once(&mut rcpt.notify, notify_value(text)?),
        ("ORCPT", Some(text)) => once(&mut rcpt.orcpt, orcpt_value(text)?),
        ("NOTIFY" | "ORCPT", None) => Err(NEEDS_VALUE),
        _ => Err(SyntaxError(standard::UNKNOWN_PARAMETER)),
    }
}

const NEEDS_VALUE: SyntaxError = SyntaxError(standard::PARAMETER_NEEDS_VALUE);
const TAKES_NO_VALUE: SyntaxError = SyntaxError(standard::PARAMETER_TAKES_NO_VALUE);
const TWICE: SyntaxError = SyntaxError(standard::PARAMETER_TWICE);

/// Keeps the value of a parameter that may stand once only.
fn once<T>(place: &mut Option<T>, value: T) -> Result<(), SyntaxError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(TWICE),
    }
}

/// Notes a parameter without value that may stand once only.
fn flag(place: &mut bool) -> Result<(), SyntaxError> {
    match std::mem::replace(place, true) {
        false => Ok(()),
        true => Err(TWICE),
    }
}

/// `size-value = 1*20DIGIT` (RFC 1870 §3)
fn size_value(text: &str) -> Result<u64, SyntaxError> {
    if text.is_empty() || text.len() > 20 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(SyntaxError::argument("SIZE is a number of up to 20 digits"));
    }
    // Beyond 64 bits it is larger than every limit, so the largest number will do.
    Ok(text.parse().unwrap_or(u64::MAX))
}

/// `body-value = "7BIT" / "8BITMIME" / "BINARYMIME"` (RFC 6152 §2, RFC 3030 §3)
fn body_value(text: &str) -> Result<BodyType, SyntaxError> {
    let body = alt((
        value(BodyType::SevenBit, tag_no_case("7BIT")),
        value(BodyType::EightBitMime, tag_no_case("8BITMIME")),
        value(BodyType::BinaryMime, tag_no_case("BINARYMIME")),
    ));
    let parsed: Parsed<'_, _> = all_consuming(body).parse(text);
    match parsed {
        Ok((_, body)) => Ok(body),
        Err(_) => Err(SyntaxError::argument(
            "BODY is 7BIT, 8BITMIME or BINARYMIME",
        )),
    }
}

/// `auth-value = xtext / "<>"`: a mailbox in the encoding of RFC 3461 §4
/// (RFC 4954 §5)
fn auth_value(text: &str) -> Result<Submitter, SyntaxError> {
    if text == "<>" {
        return Ok(Submitter::Unknown);
    }
    xtext(text)
        .and_then(|text| text.parse().ok())
        .map(Submitter::Mailbox)
        .ok_or(SyntaxError::argument("AUTH is <> or a mailbox in xtext"))
}

/// `"FULL" / "HDRS"` (RFC 3461 §4.3)
fn ret_value(text: &str) -> Result<Ret, SyntaxError> {
    match text.to_ascii_uppercase().as_str() {
        "FULL" => Ok(Ret::Full),
        "HDRS" => Ok(Ret::Headers),
        _ => Err(SyntaxError::argument("RET is FULL or HDRS")),
    }
}

/// `envid-parameter = "ENVID=" xtext`, of up to 100 characters (RFC 3461 §4.4)
fn envid_value(text: &str) -> Result<EnvelopeId, SyntaxError> {
    if text.len() > MAX_ENVID {
        return Err(SyntaxError::argument("ENVID is longer than 100 characters"));
    }
    let text = xtext(text).ok_or(SyntaxError::argument("ENVID is not valid xtext"))?;
    Ok(EnvelopeId::new(text)?)
}

/// ```text
/// notify-esmtp-value  = "NEVER" / 1#notify-list-element
/// notify-list-element = "SUCCESS" / "FAILURE" / "DELAY"     ; RFC 3461 §4.1
/// ```
fn notify_value(text: &str) -> Result<Notify, SyntaxError> {
    const USAGE: &str = "NOTIFY is NEVER, or any of SUCCESS, FAILURE and DELAY";
    if text.eq_ignore_ascii_case("NEVER") {
        return Ok(Notify::NEVER);
    }
    let mut notify = Notify::NEVER;
    for word in text.split(',') {
        let place = match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => &mut notify.success,
            "FAILURE" => &mut notify.failure,
            "DELAY" => &mut notify.delay,
            _ => return Err(SyntaxError::argument(USAGE)),
        };
        *place = true;
    }
    Ok(notify)
}

/// `original-recipient-address = addr-type ";" xtext`, of up to 500 characters
/// (RFC 3461 §4.2); with the type `utf-8` no xtext but
/// `utf-8-addr-xtext / utf-8-addr-unitext` (RFC 6533 §3)
fn orcpt_value(text: &str) -> Result<OriginalRecipient, SyntaxError> {
    if text.len() > MAX_ORCPT {
        return Err(SyntaxError::argument("ORCPT is longer than 500 characters"));
    }
    let (kind, address) = text
        .split_once(';')
        .ok_or(SyntaxError::argument("the syntax is ORCPT=type;address"))?;
    let address = if kind.eq_ignore_ascii_case("utf-8") {
        unitext(address)
    } else {
        xtext(address)
    };
    let address = address.ok_or(SyntaxError::argument("the address in ORCPT is ill encoded"))?;
    Ok(OriginalRecipient::new(kind, address)?)
}

/// ```text
/// utf-8-addr-xtext    = 1*(QCHAR / EmbeddedUnicodeChar)
/// utf-8-addr-unitext  = 1*(QUCHAR / EmbeddedUnicodeChar)
/// QCHAR               = %x21-2A / %x2C-3C / %x3E-5B / %x5D-7E
/// QUCHAR              = QCHAR / UTF8-2 / UTF8-3 / UTF8-4
/// EmbeddedUnicodeChar = "\x" "{" HEXPOINT "}"               ; RFC 6533 §3
/// ```
/// A HEXPOINT is in capitals, without needless zeros in front, and stands for
/// a space, `+`, `=`, `\` or a character beyond ASCII. (The grammar has control
/// characters too, but no mailbox has them.)
fn unitext(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = match c {
            '\\' => {
                let (digits, after) = rest.strip_prefix("\\x{")?.split_once('}')?;
                out.push(hexpoint(digits)?);
                after
            }
            '+' | '=' => return None,
            c if c.is_ascii_graphic() || !c.is_ascii() => {
                out.push(c);
                rest.get(c.len_utf8()..)?
            }
            _ => return None,
        };
    }
    Some(out)
}

fn hexpoint(digits: &str) -> Option<char> {
    let canonical = (2..=6).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|digit| hex_digit(digit).is_some());
    if !canonical {
        return None;
    }
    let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
    (!c.is_ascii() || matches!(c, ' ' | '+' | '=' | '\\')).then_some(c)
}

/// ```text
/// by-value = by-time ";" by-mode [by-trace]
/// by-time  = ["-" / "+"] 1*9DIGIT
/// by-mode  = "N" / "R"
/// by-trace = "T"                       ; RFC 2852 §4
/// ```
fn by_value(text: &str) -> Result<DeliverBy, SyntaxError> {
    const USAGE: SyntaxError = SyntaxError(standard::BAD_BY);
    let (time, mode) = text.split_once(';').ok_or(USAGE)?;
    let (negative, digits) = match time.as_bytes().first() {
        Some(b'-') => (true, &time[1..]),
        Some(b'+') => (false, &time[1..]),
        _ => (false, time),
    };
    let number: i32 = digits_value(digits, 9).ok_or(USAGE)?;
    let seconds = if negative { -number } else { number };
    let (mode, trace) = match mode.to_ascii_uppercase().as_str() {
        "N" => (ByMode::Notify, false),
        "NT" => (ByMode::Notify, true),
        "R" => (ByMode::Return, false),
        "RT" => (ByMode::Return, true),
        _ => return Err(USAGE),
    };
    Ok(DeliverBy::new(seconds, mode, trace)?)
}

/// `future-release-integer = %x31-39 *8DIGIT` (RFC 4865 §3)
fn holdfor_value(text: &str) -> Result<Interval, SyntaxError> {
    let number = digits_value(text, 9).filter(|_| !text.starts_with('0'));
    Ok(Interval::new(number.ok_or(SyntaxError::argument(
        "HOLDFOR is a number of 1 to 999999999",
    ))?)?)
}

/// RFC 4865 §4.2 (9): one of the two, and once.
fn hold(mail: &mut Mail, value: Hold) -> Result<(), SyntaxError> {
    once(&mut mail.hold, value).map_err(|_| SyntaxError(standard::HELD_TWICE))
}

/// `priority-value = (["-"] NZDIGIT) / "0"` (RFC 6710 §7); 501 with 5.5.2 is what
/// §4.1 wants for anything else, and for a second one.
fn priority_value(text: &str) -> Result<Priority, SyntaxError> {
    let bad = SyntaxError(standard::BAD_PRIORITY);
    let number = match text.as_bytes() {
        [digit @ b'0'..=b'9'] => i8::try_from(digit - b'0'),
        [b'-', digit @ b'1'..=b'9'] => i8::try_from(digit - b'0').map(|number| -number),
        _ => return Err(bad),
    };
    Priority::new(number.map_err(|_| bad)?).map_err(|_| bad)
}

/// `1*nDIGIT`
fn digits_value<T: std::str::FromStr>(text: &str, most: usize) -> Option<T> {
    let good = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| good)
}

/// ```text
/// xtext   = *( xchar / hexchar )
/// xchar   = any CHAR between "!" and "~" except "+" and "="
/// hexchar = "+" 2HEXDIG in capitals     ; RFC 3461 §4
/// ```
fn xtext(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?),
            b'=' => return None,
            byte if byte.is_ascii_graphic() => out.push(byte),
            _ => return None,
        }
    }
    String::from_utf8(out).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
