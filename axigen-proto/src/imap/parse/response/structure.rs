//! The grammar of ENVELOPE and BODYSTRUCTURE.

use nom::Parser;

use bytes::Bytes;

use super::Counted;
use super::strings::{any_value, close, is_nil, nstring, open, spaces};
use crate::imap::parse::fault::{Parsed, expected};
use crate::imap::parse::values::{number64, sp};
use crate::imap::structure::{
    Address, BodyStructure, Envelope, Extension, Multipart, NString, Part, PartKind,
};

/// ```text
/// envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP
///            env-to SP env-cc SP env-bcc SP env-in-reply-to SP env-message-id ")"
/// ```
pub(super) fn envelope<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Envelope> {
    let mut envelope = Envelope::default();
    let (rest, (date, (), subject)) = (nstring, sp, nstring).parse(open(input)?)?;
    (envelope.date, envelope.subject) = (date, subject);
    let mut rest = rest;
    for list in [
        &mut envelope.from,
        &mut envelope.sender,
        &mut envelope.reply_to,
        &mut envelope.to,
        &mut envelope.cc,
        &mut envelope.bcc,
    ] {
        let (behind, ()) = sp(rest)?;
        let (behind, addresses) = addresses(counted, behind)?;
        *list = addresses;
        rest = behind;
    }
    let (rest, ((), in_reply_to, (), message_id)) = (sp, nstring, sp, nstring).parse(rest)?;
    (envelope.in_reply_to, envelope.message_id) = (in_reply_to, message_id);
    Ok((close(rest)?, envelope))
}

/// ```text
/// "(" 1*address ")" / nil
/// address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"
/// ```
fn addresses<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Vec<Address>> {
    if is_nil(input) {
        return Ok((&input[3..], Vec::new()));
    }
    let mut rest = open(input)?;
    let mut addresses = Vec::new();
    loop {
        rest = spaces(rest);
        if let Some(behind) = rest.strip_prefix(b")") {
            return Ok((behind, addresses));
        }
        counted.item(rest)?;
        let (behind, (name, (), adl, (), mailbox, (), host)) =
            (nstring, sp, nstring, sp, nstring, sp, nstring).parse(open(rest)?)?;
        addresses.push(Address {
            name,
            adl,
            mailbox,
            host,
        });
        rest = close(behind)?;
    }
}

/// `body = "(" (body-type-1part / body-type-mpart) ")"`, with or without
/// extension data.
pub(super) fn body<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, BodyStructure> {
    nested(counted, input, counted.grammar.nesting)
}

/// The same, `depth` levels deep at most.
fn nested<'a>(counted: &Counted<'_>, input: &'a [u8], depth: usize) -> Parsed<'a, BodyStructure> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(expected(input, "less nesting"));
    };
    counted.item(input)?;
    let inside = open(input)?;
    match inside.first() {
        Some(b'(') => multipart(counted, inside, depth),
        _ => single(counted, inside, depth),
    }
}

/// ```text
/// body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart]
/// body-ext-mpart  = body-fld-param [SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc
///                   *(SP body-extension)]]]
/// ```
fn multipart<'a>(
    counted: &Counted<'_>,
    input: &'a [u8],
    depth: usize,
) -> Parsed<'a, BodyStructure> {
    let mut parts = Vec::new();
    let mut rest = input;
    while rest.first() == Some(&b'(') {
        let (behind, part) = nested(counted, rest, depth)?;
        parts.push(part);
        rest = spaces(behind);
    }
    let (rest, subtype) = text(rest)?;
    let (rest, params) = match more(rest) {
        Some(rest) => params(counted, rest)?,
        None => (rest, Vec::new()),
    };
    let (rest, extension) = extension(counted, rest)?;
    let multipart = Multipart {
        parts,
        subtype,
        params,
        extension,
    };
    Ok((rest, BodyStructure::Multipart(multipart)))
}

/// ```text
/// body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part]
/// body-fields     = body-fld-param SP body-fld-id SP body-fld-desc SP body-fld-enc SP
///                   body-fld-octets
/// body-ext-1part  = body-fld-md5 [SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc
///                   *(SP body-extension)]]]
/// ```
fn single<'a>(counted: &Counted<'_>, input: &'a [u8], depth: usize) -> Parsed<'a, BodyStructure> {
    let (rest, (media_type, (), subtype, ())) = (text, sp, text, sp).parse(input)?;
    let (rest, params) = params(counted, rest)?;
    let (rest, ((), id, (), description)) = (sp, nstring, sp, nstring).parse(rest)?;
    let (rest, ((), encoding, (), size)) = (sp, text, sp, number64).parse(rest)?;
    let (rest, kind) = kind(counted, &media_type, rest, depth)?;
    let (rest, md5) = match more(rest) {
        Some(rest) => nstring(rest)?,
        None => (rest, None),
    };
    let (rest, extension) = extension(counted, rest)?;
    let part = Part {
        media_type,
        subtype,
        params,
        id,
        description,
        encoding,
        size,
        kind,
        md5,
        extension,
    };
    Ok((rest, BodyStructure::Single(Box::new(part))))
}

/// ```text
/// body-type-msg   = media-message SP body-fields SP envelope SP body SP body-fld-lines
/// body-type-text  = media-text SP body-fields SP body-fld-lines
/// ```
/// Told by what stands there: some servers show a message as any other part.
fn kind<'a>(
    counted: &Counted<'_>,
    media_type: &Bytes,
    input: &'a [u8],
    depth: usize,
) -> Parsed<'a, PartKind> {
    match input {
        [b' ', b'(', ..] if media_type.eq_ignore_ascii_case(b"message") => {
            let (rest, envelope) = envelope(counted, &input[1..])?;
            let (rest, ()) = sp(rest)?;
            let (rest, body) = nested(counted, rest, depth)?;
            let (rest, ((), lines)) = (sp, number64).parse(rest)?;
            let kind = PartKind::Message {
                envelope: Box::new(envelope),
                body: Box::new(body),
                lines,
            };
            Ok((rest, kind))
        }
        [b' ', b'0'..=b'9', ..] => {
            let (rest, lines) = number64(&input[1..])?;
            Ok((rest, PartKind::Text { lines }))
        }
        _ => Ok((input, PartKind::Basic)),
    }
}

/// `[SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc *(SP body-extension)]]] ")"`
fn extension<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Extension> {
    let mut extension = Extension::default();
    let mut rest = input;
    if let Some(start) = more(rest) {
        (rest, extension.disposition) = disposition(counted, start)?;
        if let Some(start) = more(rest) {
            (rest, extension.language) = languages(counted, start)?;
            if let Some(start) = more(rest) {
                (rest, extension.location) = nstring(start)?;
            }
        }
    }
    // RFC 9051 §7.5.2: what follows is for the future.
    while let Some(start) = more(rest) {
        rest = any_value(start)?.0;
    }
    Ok((close(spaces(rest))?, extension))
}

type Params = Vec<(Bytes, Bytes)>;

/// `body-fld-dsp = "(" string SP body-fld-param ")" / nil`
fn disposition<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Option<(Bytes, Params)>> {
    if is_nil(input) {
        return Ok((&input[3..], None));
    }
    let (rest, (kind, ())) = (text, sp).parse(open(input)?)?;
    let (rest, params) = params(counted, rest)?;
    Ok((close(rest)?, Some((kind, params))))
}

/// `body-fld-lang = nstring / "(" string *(SP string) ")"`
fn languages<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Vec<Bytes>> {
    match input.first() {
        Some(b'(') => super::status::in_parentheses(counted, input, text),
        _ => {
            let (rest, one) = nstring(input)?;
            Ok((rest, one.into_iter().collect()))
        }
    }
}

/// `body-fld-param = "(" string SP string *(SP string SP string) ")" / nil`
fn params<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Params> {
    if is_nil(input) {
        return Ok((&input[3..], Vec::new()));
    }
    super::status::in_parentheses(counted, input, |i| {
        let (rest, (name, (), value)) = (text, sp, text).parse(i)?;
        Ok((rest, (name, value)))
    })
}

/// A string; a NIL where none may be is an empty one.
fn text(input: &[u8]) -> Parsed<'_, Bytes> {
    let (rest, text): (_, NString) = nstring(input)?;
    Ok((rest, text.unwrap_or_default()))
}

/// What stands behind a space, if something does before the list ends.
fn more(input: &[u8]) -> Option<&[u8]> {
    let rest = spaces(input);
    match rest.first() {
        None | Some(b')') => None,
        Some(_) if rest.len() == input.len() => None,
        Some(_) => Some(rest),
    }
}
