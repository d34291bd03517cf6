//! The parameters of MAIL and RCPT.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag_no_case, take_while, take_while1};
use nom::character::complete::{char, satisfy, space1};
use nom::combinator::{all_consuming, opt, recognize, value};
use nom::multi::many0;
use nom::sequence::{pair, preceded};

use super::{Parsed, SyntaxError};
use crate::smtp::command::{BodyType, Mail, Submitter};
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
    let twice = Err(SyntaxError::argument("a parameter is given twice"));
    match (keyword.to_ascii_uppercase().as_str(), value) {
        ("SIZE", Some(text)) => {
            let size = size_value(text)?;
            if mail.size.replace(size).is_some() {
                return twice;
            }
        }
        ("BODY", Some(text)) => {
            let body = body_value(text)?;
            if mail.body.replace(body).is_some() {
                return twice;
            }
        }
        ("SMTPUTF8", None) => {
            if std::mem::replace(&mut mail.smtputf8, true) {
                return twice;
            }
        }
        ("AUTH", Some(text)) => {
            let auth = auth_value(text)?;
            if mail.auth.replace(auth).is_some() {
                return twice;
            }
        }
        ("SIZE" | "BODY" | "AUTH", None) => {
            return Err(SyntaxError::argument("the parameter needs a value"));
        }
        ("SMTPUTF8", Some(_)) => {
            return Err(SyntaxError::argument("SMTPUTF8 takes no value"));
        }
        _ => return Err(SyntaxError(standard::UNKNOWN_PARAMETER)),
    }
    Ok(())
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
