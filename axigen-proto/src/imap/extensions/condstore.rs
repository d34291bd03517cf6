//! CONDSTORE and QRESYNC ([RFC 7162](https://www.rfc-editor.org/rfc/rfc7162)):
//! modification numbers, changes under a condition, and what a client missed.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case};
use nom::combinator::map;
use nom::sequence::{delimited, preceded};

use super::partial::{PartialRange, partial_range};
use crate::imap::command::SearchKey;
use crate::imap::parse::fault::{Parsed, expect, expected, refused};
use crate::imap::parse::values::{
    list1, number64, nz_number, quoted, sequence_set, sp, string_text, word,
};
use crate::imap::response::Status;
use crate::imap::sequence::{NumberSet, SequenceNumber, SequenceSet};
use crate::imap::types::Flag;

/// What SELECT and EXAMINE are asked besides the mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectParameters {
    /// CONDSTORE: modification numbers are told from now on.
    pub condstore: bool,
    /// QRESYNC: what the client knows of the mailbox.
    pub qresync: Option<Resync>,
}

/// What a client knows of a mailbox that it opens again.
/// [RFC 7162 §3.2.5](https://www.rfc-editor.org/rfc/rfc7162#section-3.2.5)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resync {
    /// The UIDVALIDITY; if the mailbox has another, the rest counts for nothing.
    pub uid_validity: u32,
    /// The modification number up to which it knows all changes; never 0.
    pub modseq: u64,
    /// The UIDs it asks about; `None` means all.
    pub known: Option<NumberSet>,
    /// Some sequence numbers and the UIDs they stood for, as many of each.
    pub matched: Option<(NumberSet, NumberSet)>,
}

/// What limits a FETCH.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FetchModifiers {
    /// CHANGEDSINCE: only messages that changed after this number. Asks for
    /// MODSEQ, too.
    pub changed_since: Option<u64>,
    /// VANISHED: also the UIDs that are gone since then; only in UID FETCH.
    pub vanished: bool,
    /// PARTIAL: only these of the messages that are named
    /// ([RFC 9394 §3.3](https://www.rfc-editor.org/rfc/rfc9394#section-3.3));
    /// only in UID FETCH.
    pub partial: Option<PartialRange>,
}

/// The flag whose modification number a search means. This server keeps one
/// number for all flags of a message, so it is read and not used
/// ([RFC 7162 §3.1.5](https://www.rfc-editor.org/rfc/rfc7162#section-3.1.5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModSeqEntry {
    /// The flag.
    pub flag: Flag,
    /// Whose value.
    pub kind: EntryType,
}

/// What the name of an entry begins with.
pub(crate) const ENTRY: &str = "/flags/";

/// `entry-type-req = entry-type-resp / "all"`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum EntryType {
    Private,
    Shared,
    All,
}

impl EntryType {
    /// Its name in commands.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryType::Private => "priv",
            EntryType::Shared => "shared",
            EntryType::All => "all",
        }
    }
}

/// ```text
/// select-params = SP "(" select-param *(SP select-param) ")"
/// select-param  = condstore-param / "QRESYNC" SP "(" uidvalidity SP mod-sequence-value
///                 [SP known-uids] [SP seq-match-data] ")"
/// ```
pub(crate) fn select_parameters(input: &[u8]) -> Parsed<'_, SelectParameters> {
    enum One {
        Condstore,
        Qresync(Resync),
    }
    fn one(input: &[u8]) -> Parsed<'_, One> {
        let (rest, name) = expect("a parameter of SELECT", word)(input)?;
        match name.as_str() {
            "CONDSTORE" => Ok((rest, One::Condstore)),
            "QRESYNC" => map(preceded(sp, resync), One::Qresync).parse(rest),
            _ => Err(expected(input, "CONDSTORE or QRESYNC")),
        }
    }
    let (rest, given) = given(one, input)?;
    let mut parameters = SelectParameters::default();
    for one in given {
        match one {
            One::Condstore => parameters.condstore = true,
            One::Qresync(_) if parameters.qresync.is_some() => {
                return Err(refused(input, Status::bad("QRESYNC stands there twice")));
            }
            One::Qresync(resync) => parameters.qresync = Some(resync),
        }
    }
    Ok((rest, parameters))
}

fn resync(input: &[u8]) -> Parsed<'_, Resync> {
    let (rest, (_, uid_validity, (), modseq)) = (
        expect("(", tag("(")),
        expect("a UIDVALIDITY", nz_number),
        sp,
        modseq_value,
    )
        .parse(input)?;
    let (rest, known) = match rest {
        [b' ', next, ..] if *next != b'(' => map(preceded(sp, known_set), Some).parse(rest)?,
        _ => (rest, None),
    };
    let pairs = delimited(
        tag("("),
        (known_set, preceded(sp, known_set)),
        expect(")", tag(")")),
    );
    let (rest, matched) = match rest.first() {
        Some(b' ') => map(
            preceded(sp, expect("a list of numbers and UIDs", pairs)),
            Some,
        )
        .parse(rest)?,
        _ => (rest, None),
    };
    if let Some((numbers, uids)) = &matched
        && numbers.count() != uids.count()
    {
        return Err(refused(
            input,
            Status::bad("There have to be as many UIDs as sequence numbers"),
        ));
    }
    let (rest, _) = expect(")", tag(")"))(rest)?;
    let resync = Resync {
        uid_validity,
        modseq,
        known,
        matched,
    };
    Ok((rest, resync))
}

/// `known-uids = sequence-set ; "*" is not allowed`
fn known_set(input: &[u8]) -> Parsed<'_, NumberSet> {
    let (rest, set) = sequence_set(input)?;
    let open = |end: SequenceNumber| end == SequenceNumber::Largest;
    match &set {
        SequenceSet::Ranges(ranges)
            if !ranges
                .iter()
                .any(|range| open(range.from) || open(range.to)) =>
        {
            Ok((rest, set.resolve(0)))
        }
        _ => Err(expected(input, "a set without * and $")),
    }
}

/// `mod-sequence-value = 1*DIGIT`, from 1 and below 2^63.
fn modseq_value(input: &[u8]) -> Parsed<'_, u64> {
    let (rest, number) = number64(input)?;
    match number {
        0 => Err(expected(input, "a modification number above 0")),
        number => Ok((rest, number)),
    }
}

/// ```text
/// fetch-modifiers = SP "(" fetch-modifier *(SP fetch-modifier) ")"
/// fetch-modifier  = "CHANGEDSINCE" SP mod-sequence-value / "VANISHED" / "PARTIAL" SP partial-range
/// ```
/// 0 is taken too, as clients send it that know nothing yet.
pub(crate) fn fetch_modifiers(uid: bool, input: &[u8]) -> Parsed<'_, FetchModifiers> {
    enum One {
        Since(u64),
        Vanished,
        Partial(PartialRange),
    }
    let since = preceded((tag_no_case("CHANGEDSINCE"), sp), map(number64, One::Since));
    let partial = preceded(tag_no_case("PARTIAL"), map(partial_range, One::Partial));
    let vanished = map(tag_no_case("VANISHED"), |_| One::Vanished);
    let one = expect(
        "CHANGEDSINCE, VANISHED or PARTIAL",
        alt((since, vanished, partial)),
    );
    let (rest, given) = given(one, input)?;
    let mut modifiers = FetchModifiers::default();
    for one in given {
        let twice = match one {
            One::Since(since) => modifiers.changed_since.replace(since).is_some(),
            One::Vanished => std::mem::replace(&mut modifiers.vanished, true),
            One::Partial(range) => modifiers.partial.replace(range).is_some(),
        };
        if twice {
            return Err(refused(input, Status::bad("A modifier stands there twice")));
        }
    }
    // RFC 7162 §3.2.6
    if modifiers.vanished && (!uid || modifiers.changed_since.is_none()) {
        return Err(refused(
            input,
            Status::bad("VANISHED goes with UID FETCH and CHANGEDSINCE only"),
        ));
    }
    if modifiers.partial.is_some() && !uid {
        return Err(refused(
            input,
            Status::bad("PARTIAL goes with UID FETCH only"),
        ));
    }
    Ok((rest, modifiers))
}

/// ```text
/// store-modifiers = SP "(" store-modifier ")"
/// store-modifier  = "UNCHANGEDSINCE" SP mod-sequence-valzer
/// ```
pub(crate) fn store_modifier(input: &[u8]) -> Parsed<'_, Option<u64>> {
    let since = preceded(
        (expect("UNCHANGEDSINCE", tag_no_case("UNCHANGEDSINCE")), sp),
        number64,
    );
    if !input.starts_with(b" (") {
        return Ok((input, None));
    }
    let in_parentheses = delimited(tag("("), since, expect(")", tag(")")));
    map(preceded(sp, in_parentheses), Some).parse(input)
}

/// `[SP "(" parameter *(SP parameter) ")"]`
fn given<'a, T>(one: impl FnMut(&'a [u8]) -> Parsed<'a, T>, input: &'a [u8]) -> Parsed<'a, Vec<T>> {
    match input.starts_with(b" (") {
        true => preceded(sp, list1(one)).parse(input),
        false => Ok((input, Vec::new())),
    }
}

/// ```text
/// search-modsequence = "MODSEQ" [SP entry-name SP entry-type-req] SP mod-sequence-valzer
/// entry-name         = DQUOTE "/flags/" attr-flag DQUOTE
/// ```
pub(crate) fn search_key(input: &[u8]) -> Parsed<'_, SearchKey> {
    let (rest, ()) = sp(input)?;
    let (rest, entry) = match rest.first() {
        Some(b'"') => {
            quoted(rest)?;
            let (after, name) = string_text(rest)?;
            let flag = name
                .split_at_checked(ENTRY.len())
                .filter(|(start, _)| start.eq_ignore_ascii_case(ENTRY))
                .and_then(|(_, flag)| Flag::new(flag))
                .ok_or_else(|| expected(rest, "/flags/ and a flag"))?;
            let (after, kind) = preceded(sp, entry_type).parse(after)?;
            let (after, ()) = sp(after)?;
            (after, Some(ModSeqEntry { flag, kind }))
        }
        _ => (rest, None),
    };
    let (rest, since) = number64(rest)?;
    Ok((rest, SearchKey::ModSeq { entry, since }))
}

fn entry_type(input: &[u8]) -> Parsed<'_, EntryType> {
    let (rest, name) = expect("priv, shared or all", word)(input)?;
    let kind = match name.as_str() {
        "PRIV" => EntryType::Private,
        "SHARED" => EntryType::Shared,
        "ALL" => EntryType::All,
        _ => return Err(expected(input, "priv, shared or all")),
    };
    Ok((rest, kind))
}
