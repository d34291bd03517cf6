//! The grammar of FETCH.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case};
use nom::combinator::{cut, map, opt, value};
use nom::multi::separated_list1;
use nom::sequence::{delimited, preceded};

use super::fault::{Parsed, expect, expected, refused};
use super::values::{astring_text, list1, number64, nz_number, sequence_set, sp, word};
use crate::imap::command::{Command, Fetch, FetchAttribute, Partial, Section, SectionText};
use crate::imap::extensions::{binary, condstore, preview};
use crate::imap::response::Status;

/// ```text
/// fetch = "FETCH" SP sequence-set SP
///         ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")
///         [fetch-modifiers]
/// ```
pub(crate) fn fetch(uid: bool, input: &[u8]) -> Parsed<'_, Command> {
    let (rest, (set, attributes)) =
        (preceded(sp, sequence_set), preceded(sp, attributes)).parse(input)?;
    let (rest, modifiers) = condstore::fetch_modifiers(uid, rest)?;
    let fetch = Fetch {
        uid,
        set,
        attributes,
        modifiers,
    };
    Ok((rest, Command::Fetch(fetch)))
}

fn attributes(input: &[u8]) -> Parsed<'_, Vec<FetchAttribute>> {
    if input.first() == Some(&b'(') {
        return list1(attribute)(input);
    }
    if let Ok((rest, name)) = word(input)
        && let Some(attributes) = expand(&name)
    {
        return Ok((rest, attributes));
    }
    map(attribute, |attribute| vec![attribute]).parse(input)
}

/// `"(" fetch-att *(SP fetch-att) ")"`
pub(crate) fn attribute_list(input: &[u8]) -> Parsed<'_, Vec<FetchAttribute>> {
    list1(attribute)(input)
}

/// The macros ALL, FAST and FULL (RFC 9051 §6.4.5).
fn expand(name: &str) -> Option<Vec<FetchAttribute>> {
    use FetchAttribute::{Body, Envelope, Flags, InternalDate, Rfc822Size};
    Some(match name {
        "ALL" => vec![Flags, InternalDate, Rfc822Size, Envelope],
        "FAST" => vec![Flags, InternalDate, Rfc822Size],
        "FULL" => vec![Flags, InternalDate, Rfc822Size, Envelope, Body],
        _ => return None,
    })
}

/// ```text
/// fetch-att = "ENVELOPE" / "FLAGS" / "INTERNALDATE" / "RFC822" [".HEADER" / ".SIZE" / ".TEXT"] /
///             "BODY" ["STRUCTURE"] / "UID" / "BODY" section [partial] /
///             "BODY.PEEK" section [partial] / "BINARY" [".PEEK"] section-binary [partial] /
///             "BINARY.SIZE" section-binary / "MODSEQ" / "EMAILID" / "THREADID" / preview
/// ```
pub(crate) fn attribute(input: &[u8]) -> Parsed<'_, FetchAttribute> {
    let (rest, name) = expect("a data item of FETCH", word).parse(input)?;
    let bracket = rest.first() == Some(&b'[');
    let simple = match name.as_str() {
        "BODY" | "BODY.PEEK" if bracket => {
            let (rest, (section, partial)) = (section, opt(partial)).parse(rest)?;
            return Ok((
                rest,
                FetchAttribute::BodySection {
                    section,
                    partial,
                    peek: name == "BODY.PEEK",
                },
            ));
        }
        "BINARY" | "BINARY.PEEK" => {
            let (rest, (part, partial)) = (binary::section_binary, opt(partial)).parse(rest)?;
            return Ok((
                rest,
                FetchAttribute::Binary {
                    part,
                    partial,
                    peek: name == "BINARY.PEEK",
                },
            ));
        }
        "BINARY.SIZE" => {
            let (rest, part) = binary::section_binary(rest)?;
            return Ok((rest, FetchAttribute::BinarySize { part }));
        }
        "BODY" => FetchAttribute::Body,
        "BODYSTRUCTURE" => FetchAttribute::BodyStructure,
        "ENVELOPE" => FetchAttribute::Envelope,
        "FLAGS" => FetchAttribute::Flags,
        "INTERNALDATE" => FetchAttribute::InternalDate,
        "SAVEDATE" => FetchAttribute::SaveDate,
        "EMAILID" => FetchAttribute::EmailId,
        "THREADID" => FetchAttribute::ThreadId,
        "PREVIEW" => return preview::preview(rest),
        "MODSEQ" => FetchAttribute::ModSeq,
        "RFC822" => FetchAttribute::Rfc822,
        "RFC822.HEADER" => FetchAttribute::Rfc822Header,
        "RFC822.SIZE" => FetchAttribute::Rfc822Size,
        "RFC822.TEXT" => FetchAttribute::Rfc822Text,
        "UID" => FetchAttribute::Uid,
        _ => return Err(expected(input, "a data item of FETCH")),
    };
    Ok((rest, simple))
}

/// ```text
/// section         = "[" [section-spec] "]"
/// section-spec    = section-msgtext / (section-part ["." section-text])
/// section-part    = nz-number *("." nz-number)
/// ```
pub(crate) fn section(input: &[u8]) -> Parsed<'_, Section> {
    delimited(
        expect("[", tag("[")),
        alt((
            map(
                (section_part, opt(preceded(tag("."), section_text))),
                |(part, text)| Section {
                    part,
                    text: text.unwrap_or_default(),
                },
            ),
            map(section_msgtext, |text| Section {
                part: Vec::new(),
                text,
            }),
            map(tag(""), |_| Section::default()),
        )),
        expect("]", tag("]")),
    )
    .parse(input)
}

/// `section-part = nz-number *("." nz-number)`
pub(crate) fn section_part(input: &[u8]) -> Parsed<'_, Vec<u32>> {
    separated_list1(tag("."), nz_number).parse(input)
}

/// `section-text = section-msgtext / "MIME"`
fn section_text(input: &[u8]) -> Parsed<'_, SectionText> {
    alt((
        section_msgtext,
        value(SectionText::Mime, tag_no_case("MIME")),
    ))
    .parse(input)
}

/// ```text
/// section-msgtext = "HEADER" / "HEADER.FIELDS" [".NOT"] SP header-list / "TEXT"
/// header-list     = "(" header-fld-name *(SP header-fld-name) ")"
/// ```
fn section_msgtext(input: &[u8]) -> Parsed<'_, SectionText> {
    alt((
        map(
            preceded((tag_no_case("HEADER.FIELDS.NOT"), sp), list1(astring_text)),
            SectionText::HeaderFieldsNot,
        ),
        map(
            preceded((tag_no_case("HEADER.FIELDS"), sp), list1(astring_text)),
            SectionText::HeaderFields,
        ),
        value(SectionText::Header, tag_no_case("HEADER")),
        value(SectionText::Text, tag_no_case("TEXT")),
    ))
    .parse(input)
}

/// `partial = "<" number64 "." nz-number64 ">"`
fn partial(input: &[u8]) -> Parsed<'_, Partial> {
    let (rest, (offset, length)) = preceded(
        tag("<"),
        cut((
            number64,
            preceded(expect(".", tag(".")), number64),
            expect(">", tag(">")),
        )),
    )
    .map(|(offset, length, _)| (offset, length))
    .parse(input)?;
    if length == 0 {
        return Err(refused(
            input,
            Status::bad("The length of a partial has to be above 0"),
        ));
    }
    Ok((rest, Partial { offset, length }))
}
