//! The grammar of FETCH responses.

use nom::Parser;
use nom::bytes::complete::{tag, take_while1};
use nom::combinator::opt;
use nom::sequence::delimited;

use bytes::Bytes;

use super::status::{flags, object_id};
use super::strings::{any_value, close, is_nil, nstring, nstring_text, open, spaces};
use super::{Counted, structure};
use crate::imap::command::{FetchAttribute, Partial};
use crate::imap::extensions::binary::section_binary;
use crate::imap::parse::fault::{Parsed, expected};
use crate::imap::parse::fetch::section;
use crate::imap::parse::values::{date_time, number64, nz_number, sp};
use crate::imap::response::FetchItem;

/// ```text
/// msg-att = "(" (msg-att-dynamic / msg-att-static)
///           *(SP (msg-att-dynamic / msg-att-static)) ")"
/// ```
/// An item that is unknown, or not as the grammar has it, comes out as it is.
pub(super) fn items<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Vec<FetchItem>> {
    let mut rest = open(input)?;
    let mut items = Vec::new();
    loop {
        rest = spaces(rest);
        if let Some(behind) = rest.strip_prefix(b")") {
            return Ok((behind, items));
        }
        counted.item(rest)?;
        let (behind, item) = match item(counted, rest) {
            Ok(known) => known,
            Err(fault) if counted.exceeded.get() => return Err(fault),
            Err(_) => other(rest)?,
        };
        items.push(item);
        rest = behind;
    }
}

/// A name without the section that may follow it.
fn item_name(input: &[u8]) -> Parsed<'_, String> {
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let (rest, name) = take_while1(letter).parse(input)?;
    Ok((rest, String::from_utf8_lossy(name).into_owned()))
}

fn other(input: &[u8]) -> Parsed<'_, FetchItem> {
    let (rest, name) = item_name(input)?;
    let (behind, section) = match rest.first() {
        Some(b'[') => {
            let end = rest.iter().position(|&b| b == b']');
            rest.split_at(end.map_or(rest.len(), |end| end + 1))
        }
        _ => (&rest[..0], rest),
    };
    let name = format!("{name}{}", String::from_utf8_lossy(behind));
    let (value, ()) = sp(section)?;
    let (rest, value) = any_value(value)?;
    let value = Bytes::copy_from_slice(value);
    Ok((rest, FetchItem::Other { name, value }))
}

/// ```text
/// msg-att-dynamic = "FLAGS" SP "(" [flag-fetch *(SP flag-fetch)] ")" / "MODSEQ" SP "(" .. ")"
/// msg-att-static  = "ENVELOPE" SP envelope / "INTERNALDATE" SP date-time /
///                   "RFC822.SIZE" SP number64 / "BODY" ["STRUCTURE"] SP body /
///                   "BODY" section ["<" number ">"] SP nstring / "UID" SP uniqueid /
///                   "BINARY" section-binary SP (nstring / literal8) /
///                   "BINARY.SIZE" section-binary SP number / "EMAILID" SP "(" objectid ")" /
///                   "THREADID" SP ("(" objectid ")" / nil) / "PREVIEW" SP nstring /
///                   "SAVEDATE" SP (date-time / nil)
/// ```
fn item<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, FetchItem> {
    if let Ok((rest, mut attribute)) = data_attribute(input) {
        let (rest, ()) = sp(rest)?;
        let (rest, data) = nstring(rest)?;
        set_length(
            &mut attribute,
            data.as_ref().map_or(0, |data| data.len() as u64),
        );
        return Ok((rest, FetchItem::Data { attribute, data }));
    }
    let (rest, name) = item_name(input)?;
    let name = name.to_ascii_uppercase();
    if name == "BINARY.SIZE" {
        let (rest, (part, (), size)) = (section_binary, sp, number64).parse(rest)?;
        return Ok((rest, FetchItem::BinarySize { part, size }));
    }
    let (value, ()) = sp(rest)?;
    Ok(match name.as_str() {
        "FLAGS" => {
            let (rest, (flags, _)) = flags(counted, value)?;
            (rest, FetchItem::Flags(flags))
        }
        "UID" => {
            let (rest, uid) = nz_number(value)?;
            (rest, FetchItem::Uid(uid))
        }
        "MODSEQ" => {
            let (rest, modseq) = number64(open(value)?)?;
            (close(rest)?, FetchItem::ModSeq(modseq))
        }
        "INTERNALDATE" => {
            let (rest, at) = date_time(value)?;
            (rest, FetchItem::InternalDate(at))
        }
        // RFC 8514 §5: "SAVEDATE" SP (date-time / nil)
        "SAVEDATE" if is_nil(value) => (&value[3..], FetchItem::SaveDate(None)),
        "SAVEDATE" => {
            let (rest, at) = date_time(value)?;
            (rest, FetchItem::SaveDate(Some(at)))
        }
        "RFC822.SIZE" => {
            let (rest, size) = number64(value)?;
            (rest, FetchItem::Rfc822Size(size))
        }
        "ENVELOPE" => {
            let (rest, envelope) = structure::envelope(counted, value)?;
            (rest, FetchItem::Envelope(envelope))
        }
        "BODY" => {
            let (rest, body) = structure::body(counted, value)?;
            (rest, FetchItem::Body(body))
        }
        "BODYSTRUCTURE" => {
            let (rest, body) = structure::body(counted, value)?;
            (rest, FetchItem::BodyStructure(body))
        }
        "EMAILID" => {
            let (rest, id) = object_id(value)?;
            (rest, FetchItem::EmailId(id))
        }
        "THREADID" if is_nil(value) => (&value[3..], FetchItem::ThreadId(None)),
        "THREADID" => {
            let (rest, id) = object_id(value)?;
            (rest, FetchItem::ThreadId(Some(id)))
        }
        "PREVIEW" => {
            let (rest, text) = nstring_text(value)?;
            (rest, FetchItem::Preview(text))
        }
        _ => return Err(expected(input, "a known item")),
    })
}

/// The name of an item whose value are bytes of a message.
///
/// ```text
/// "BODY" section ["<" number ">"] / "BINARY" section-binary ["<" number ">"] /
/// "RFC822" [".HEADER" / ".TEXT"]
/// ```
fn data_attribute(input: &[u8]) -> Parsed<'_, FetchAttribute> {
    let (rest, name) = item_name(input)?;
    let bracket = rest.first() == Some(&b'[');
    let (rest, attribute) = match name.to_ascii_uppercase().as_str() {
        "RFC822" => return Ok((rest, FetchAttribute::Rfc822)),
        "RFC822.HEADER" => return Ok((rest, FetchAttribute::Rfc822Header)),
        "RFC822.TEXT" => return Ok((rest, FetchAttribute::Rfc822Text)),
        "BODY" if bracket => {
            let (rest, section) = section(rest)?;
            let (rest, partial) = origin(rest)?;
            let attribute = FetchAttribute::BodySection {
                section,
                partial,
                peek: false,
            };
            (rest, attribute)
        }
        "BINARY" if bracket => {
            let (rest, part) = section_binary(rest)?;
            let (rest, partial) = origin(rest)?;
            let attribute = FetchAttribute::Binary {
                part,
                partial,
                peek: false,
            };
            (rest, attribute)
        }
        _ => return Err(expected(input, "a name of data")),
    };
    Ok((rest, attribute))
}

/// `["<" number ">"]`
fn origin(input: &[u8]) -> Parsed<'_, Option<Partial>> {
    let (rest, offset) = opt(delimited(tag("<"), number64, tag(">"))).parse(input)?;
    let partial = offset.map(|offset| Partial { offset, length: 0 });
    Ok((rest, partial))
}

fn set_length(attribute: &mut FetchAttribute, size: u64) {
    if let FetchAttribute::BodySection {
        partial: Some(partial),
        ..
    }
    | FetchAttribute::Binary {
        partial: Some(partial),
        ..
    } = attribute
    {
        partial.length = size;
    }
}

/// What is asked for by the name of an item whose value is a literal of so many
/// bytes; `None` if they are not bytes of a message.
pub(crate) fn data_name(name: &[u8], size: u64) -> Option<FetchAttribute> {
    match data_attribute(name) {
        Ok((b"", mut attribute)) => {
            set_length(&mut attribute, size);
            Some(attribute)
        }
        _ => None,
    }
}
