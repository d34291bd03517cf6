//! The grammar of what searches return: SEARCH, SORT, THREAD, ESEARCH, VANISHED.

use nom::Parser;
use nom::bytes::complete::{tag, tag_no_case};
use nom::sequence::{delimited, preceded};

use super::status::{in_parentheses, range, uid_set};
use super::strings::{any_value, astring_text, close, is_nil, mailbox, open, spaces};
use super::{Counted, name, trailing};
use crate::imap::extensions::context::Shift;
use crate::imap::extensions::multisearch::FoundIn;
use crate::imap::extensions::partial;
use crate::imap::extensions::sort::{ThreadNode, Threads};
use crate::imap::parse::fault::{Fault, Parsed, expected};
use crate::imap::parse::values::{number, number64, nz_number, sp};
use crate::imap::response::{Esearch, Numbers, Response};
use crate::imap::types::Tag;

/// `*(SP nz-number) [SP "(" "MODSEQ" SP mod-sequence-value ")"]`
pub(super) fn numbers<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Numbers> {
    let mut found = Numbers::default();
    let mut rest = input;
    loop {
        rest = spaces(rest);
        match rest.first() {
            Some(b'0'..=b'9') => {
                counted.numbers(1, rest)?;
                let (behind, number) = nz_number(rest)?;
                found.numbers.push(number);
                rest = behind;
            }
            Some(b'(') => {
                let inside = preceded((tag_no_case("MODSEQ"), sp), number64);
                let (behind, modseq) = delimited(tag("("), inside, tag(")")).parse(rest)?;
                found.modseq = Some(modseq);
                rest = behind;
            }
            _ => return Ok((rest, found)),
        }
    }
}

/// ```text
/// thread-data    = "THREAD" [SP 1*thread-list]
/// thread-list    = "(" (thread-members / thread-nested) ")"
/// thread-members = nz-number *(SP nz-number) [SP thread-nested]
/// thread-nested  = 2*thread-list
/// ```
/// Nothing here recurses: threads are as deep as there are messages.
pub(super) fn thread<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Response> {
    let mut threads = Threads::default();
    // Of each list that is open: the message that what follows hangs on.
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut rest = input;
    loop {
        rest = spaces(rest);
        match rest.first() {
            Some(b'(') => {
                // RFC 5256 §4: a list that begins with lists has a parent that is not there.
                if let Some(None) = open.last() {
                    hang(counted, &mut threads, &mut open, None, rest)?;
                }
                counted.numbers(1, rest)?;
                open.push(None);
                rest = &rest[1..];
            }
            Some(b')') if open.pop().is_some() => rest = &rest[1..],
            Some(b'0'..=b'9') if !open.is_empty() => {
                let (behind, number) = nz_number(rest)?;
                hang(counted, &mut threads, &mut open, Some(number), rest)?;
                rest = behind;
            }
            None if open.is_empty() => return Ok((rest, Response::Thread(threads))),
            _ => return Err(expected(rest, "threads")),
        }
    }
}

/// Adds a message to the list that is open.
fn hang<'a>(
    counted: &Counted<'_>,
    threads: &mut Threads,
    open: &mut [Option<usize>],
    number: Option<u32>,
    at: &'a [u8],
) -> Result<(), nom::Err<Fault<'a>>> {
    counted.numbers(1, at)?;
    let new = threads.nodes.len();
    let (inner, outer) = match open.split_last_mut() {
        Some((inner, outer)) => (inner, outer.last().copied().flatten()),
        None => return Ok(()),
    };
    match inner.or(outer).and_then(|at| threads.nodes.get_mut(at)) {
        Some(parent) => parent.children.push(new),
        None => threads.roots.push(new),
    }
    threads.nodes.push(ThreadNode {
        number,
        children: Vec::new(),
    });
    *inner = Some(new);
    Ok(())
}

/// ```text
/// esearch-response   = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)
/// search-correlator  = SP "(" one-correlator *(SP one-correlator) ")"
/// one-correlator     = ("TAG" SP tag-string) / ("MAILBOX" SP astring) /
///                      ("UIDVALIDITY" SP nz-number)
/// search-return-data = "MIN" SP nz-number / "MAX" SP nz-number / "ALL" SP sequence-set /
///                      "COUNT" SP number / "MODSEQ" SP mod-sequence-value /
///                      "PARTIAL" SP "(" partial-range SP (sequence-set / nil) ")" /
///                      search-modifier-name SP search-return-value
/// ```
pub(super) fn esearch<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Response> {
    let mut found = Esearch::default();
    let mut rest = spaces(input);
    if let Some(inside) = rest.strip_prefix(b"(") {
        rest = correlators(counted, inside, &mut found)?;
    }
    loop {
        rest = spaces(rest);
        if rest.is_empty() {
            return Ok((rest, Response::Esearch(found)));
        }
        counted.item(rest)?;
        let (behind, name) = name(rest)?;
        if name == "UID" {
            found.uid = true;
            rest = behind;
            continue;
        }
        let (value, ()) = sp(behind)?;
        rest = match name.as_str() {
            "MIN" => kept(nz_number(value)?, &mut found.min),
            "MAX" => kept(nz_number(value)?, &mut found.max),
            "COUNT" => kept(number64(value)?, &mut found.count),
            "MODSEQ" => kept(number64(value)?, &mut found.modseq),
            "ALL" => {
                let (behind, all) = in_order(counted, value)?;
                found.all = all;
                behind
            }
            "PARTIAL" => {
                let (behind, range) = partial::range(open(value)?)?;
                let (behind, ()) = sp(behind)?;
                let (behind, results) = match is_nil(behind) {
                    true => (&behind[3..], Vec::new()),
                    false => in_order(counted, behind)?,
                };
                found.partial = Some((range, results));
                close(behind)?
            }
            "RELEVANCY" => {
                let score = |i| -> Parsed<'_, u8> {
                    let (rest, score) = nz_number(i)?;
                    let score = u8::try_from(score).map_err(|_| expected(i, "a score"))?;
                    Ok((rest, score))
                };
                kept(in_parentheses(counted, value, score)?, &mut found.relevancy)
            }
            "ADDTO" => {
                let (behind, shifts) = shifts(counted, value)?;
                found.add_to.extend(shifts);
                behind
            }
            "REMOVEFROM" => {
                let (behind, shifts) = shifts(counted, value)?;
                found.remove_from.extend(shifts);
                behind
            }
            _ => any_value(value)?.0,
        };
    }
}

/// `one-correlator *(SP one-correlator) ")"`; what is unknown is skipped.
fn correlators<'a>(
    counted: &Counted<'_>,
    input: &'a [u8],
    found: &mut Esearch,
) -> Result<&'a [u8], nom::Err<Fault<'a>>> {
    let (mut in_mailbox, mut uid_validity) = (None, None);
    let mut rest = input;
    loop {
        counted.item(rest)?;
        let (behind, name) = name(rest)?;
        let (value, ()) = sp(behind)?;
        rest = match name.as_str() {
            "TAG" => {
                let (behind, text) = astring_text(value)?;
                found.tag = Tag::new(&text);
                behind
            }
            "MAILBOX" => kept(mailbox(counted, value)?, &mut in_mailbox),
            "UIDVALIDITY" => kept(nz_number(value)?, &mut uid_validity),
            _ => any_value(value)?.0,
        };
        if let Some(next) = rest.strip_prefix(b" ") {
            rest = next;
            continue;
        }
        // RFC 7377 §2.1: one of the two is nothing without the other.
        found.found_in = in_mailbox
            .zip(uid_validity)
            .map(|(mailbox, uid_validity)| FoundIn {
                mailbox,
                uid_validity,
            });
        return close(rest);
    }
}

fn kept<'a, T>((rest, value): (&'a [u8], T), place: &mut Option<T>) -> &'a [u8] {
    *place = Some(value);
    rest
}

/// `sequence-set` whose order is kept (RFC 5267 §3.2). How many numbers there
/// are is counted before they are written out.
fn in_order<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Vec<u32>> {
    let mut rest = input;
    let mut numbers = Vec::new();
    loop {
        let (behind, (low, high)) = range(rest)?;
        counted.numbers(u64::from(high - low) + 1, rest)?;
        numbers.extend(low..=high);
        match behind.strip_prefix(b",") {
            Some(more) => rest = more,
            None => return Ok((behind, numbers)),
        }
    }
}

/// `"(" context-position SP sequence-set *(SP context-position SP sequence-set) ")"`
fn shifts<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Vec<Shift>> {
    let mut rest = open(input)?;
    let mut shifts = Vec::new();
    loop {
        let (behind, (position, ())) = (number, sp).parse(rest)?;
        let (behind, numbers) = in_order(counted, behind)?;
        shifts.push(Shift { position, numbers });
        match behind.strip_prefix(b" ") {
            Some(more) => rest = more,
            None => return Ok((close(behind)?, shifts)),
        }
    }
}

/// `expunged-resp = "VANISHED" [SP "(EARLIER)"] SP known-uids`
pub(super) fn vanished<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Response> {
    let (rest, ()) = sp(input)?;
    let (rest, earlier) = match rest.first() {
        Some(b'(') => {
            let (rest, _) = (tag_no_case("(EARLIER)"), sp).parse(rest)?;
            (rest, true)
        }
        _ => (rest, false),
    };
    let (rest, uids) = uid_set(counted, rest)?;
    Ok((trailing(rest), Response::Vanished { earlier, uids }))
}

/// ```text
/// uidbatches-response = "UIDBATCHES" search-correlator [SP uid-range *("," uid-range)]
/// ```
pub(super) fn uid_batches<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Response> {
    let start = spaces(input);
    let inside = preceded((tag_no_case("TAG"), sp), astring_text);
    let (behind, text) = delimited(tag("("), inside, tag(")")).parse(start)?;
    let tag = Tag::new(&text).ok_or_else(|| expected(start, "a tag"))?;
    let mut rest = spaces(behind);
    let mut batches = Vec::new();
    while !rest.is_empty() {
        counted.numbers(1, rest)?;
        let (behind, (low, high)) = range(rest)?;
        batches.push((high, low));
        rest = match behind.strip_prefix(b",") {
            Some(more) => more,
            None => {
                rest = behind;
                break;
            }
        };
    }
    Ok((trailing(rest), Response::UidBatches { tag, batches }))
}
