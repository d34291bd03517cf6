//! The grammar of status responses and their codes.

use std::borrow::Cow;

use nom::Parser;
use nom::bytes::complete::take_while1;

use super::strings::{astring_text, close, open, spaces};
use super::{Counted, ResponseGrammar};
use crate::imap::extensions::objectid::ObjectId;
use crate::imap::extensions::{context, messagelimit};
use crate::imap::parse::fault::{Parsed, expected};
use crate::imap::parse::values::{number64, nz_number, sp};
use crate::imap::response::{Code, Status, StatusKind};
use crate::imap::sequence::NumberSet;
use crate::imap::types::Flag;

/// Text of a server, to be shown and logged: no control characters.
pub(super) fn text(text: &[u8]) -> String {
    let clean = |c: char| if c.is_control() { '?' } else { c };
    String::from_utf8_lossy(text).chars().map(clean).collect()
}

/// ```text
/// resp-text = ["[" resp-text-code "]" SP] text
/// ```
/// Behind the name, with the space before it. Whatever stands there is taken.
pub(super) fn resp_text(kind: StatusKind, input: &[u8]) -> Status {
    let input = input.strip_prefix(b" ").unwrap_or(input);
    let (rest, code) = match coded(input) {
        Some((rest, code)) => (rest.strip_prefix(b" ").unwrap_or(rest), Some(code)),
        None => (input, None),
    };
    Status {
        kind,
        code,
        text: text(rest).into(),
    }
}

/// `"[" resp-text-code "]"`, if it is one.
fn coded(input: &[u8]) -> Option<(&[u8], Code)> {
    let inside = input.strip_prefix(b"[")?;
    // The codes have little in them, so these are limits of the line only.
    let grammar = ResponseGrammar::default();
    if let Ok((rest, code)) = known(&Counted::new(&grammar), inside)
        && let Some(rest) = rest.strip_prefix(b"]")
    {
        return Some((rest, code));
    }
    // atom [SP 1*<any TEXT-CHAR except "]">]
    let end = inside.iter().position(|&b| b == b']')?;
    let (code, rest) = inside.split_at(end);
    let code = text(code);
    match code.is_empty() {
        true => None,
        false => Some((&rest[1..], Code::Other(code))),
    }
}

/// [RFC 9051 §7.1](https://www.rfc-editor.org/rfc/rfc9051#section-7.1),
/// [RFC 5530](https://www.rfc-editor.org/rfc/rfc5530)
fn known<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Code> {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let (rest, name) = take_while1(letter).parse(input)?;
    let name = String::from_utf8_lossy(name).to_ascii_uppercase();
    let plain = match name.as_str() {
        "ALERT" => Code::Alert,
        "ALREADYEXISTS" => Code::AlreadyExists,
        "AUTHENTICATIONFAILED" => Code::AuthenticationFailed,
        "AUTHORIZATIONFAILED" => Code::AuthorizationFailed,
        "INPROGRESS" if rest.first() == Some(&b']') => Code::InProgress {
            tag: None,
            done: None,
            goal: None,
        },
        "BADCHARSET" if rest.first() == Some(&b']') => Code::BadCharset(Vec::new()),
        "CANNOT" => Code::Cannot,
        "CLIENTBUG" => Code::ClientBug,
        "CLOSED" => Code::Closed,
        "COMPRESSIONACTIVE" => Code::CompressionActive,
        "CONTACTADMIN" => Code::ContactAdmin,
        "CORRUPTION" => Code::Corruption,
        "EXPIRED" => Code::Expired,
        "EXPUNGEISSUED" => Code::ExpungeIssued,
        "HASCHILDREN" => Code::HasChildren,
        "INUSE" => Code::InUse,
        "LIMIT" => Code::Limit,
        "NONEXISTENT" => Code::NonExistent,
        "NOPERM" => Code::NoPerm,
        "NOTIFICATIONOVERFLOW" => Code::NotificationOverflow,
        "NOTSAVED" => Code::NotSaved,
        "OVERQUOTA" => Code::OverQuota,
        "PARSE" => Code::Parse,
        "PRIVACYREQUIRED" => Code::PrivacyRequired,
        "READ-ONLY" => Code::ReadOnly,
        "READ-WRITE" => Code::ReadWrite,
        "SERVERBUG" => Code::ServerBug,
        "TOOBIG" => Code::TooBig,
        "TOOFEW" => Code::TooFew,
        "TOOMANY" => Code::TooMany,
        "TRYCREATE" => Code::TryCreate,
        "UIDNOTSTICKY" => Code::UidNotSticky,
        "UIDREQUIRED" => Code::UidRequired,
        "UNAVAILABLE" => Code::Unavailable,
        "UNKNOWN-CTE" => Code::UnknownCte,
        "USEATTR" => Code::UseAttr,
        _ => {
            let (rest, ()) = sp(rest)?;
            return with_value(counted, &name, rest);
        }
    };
    Ok((rest, plain))
}

fn with_value<'a>(counted: &Counted<'_>, name: &str, input: &'a [u8]) -> Parsed<'a, Code> {
    match name {
        // RFC 4315 §3: resp-code-apnd = "APPENDUID" SP nz-number SP append-uid
        "APPENDUID" => {
            let (rest, (uid_validity, ())) = (nz_number, sp).parse(input)?;
            let (rest, uids) = uid_set(counted, rest)?;
            Ok((rest, Code::AppendUid { uid_validity, uids }))
        }
        // RFC 4315 §3: resp-code-copy = "COPYUID" SP nz-number SP uid-set SP uid-set
        "COPYUID" => {
            let (rest, (uid_validity, ())) = (nz_number, sp).parse(input)?;
            let (rest, from) = uid_set(counted, rest)?;
            let (rest, ()) = sp(rest)?;
            let (rest, to) = uid_set(counted, rest)?;
            let code = Code::CopyUid {
                uid_validity,
                from,
                to,
            };
            Ok((rest, code))
        }
        // RFC 4467 §9: "URLMECH" SP "INTERNAL" *(SP mechanism ["=" base64])
        "URLMECH" => {
            let mut rest = input;
            let mut mechanisms = Vec::new();
            loop {
                let word = |b: u8| b.is_ascii_graphic() && b != b']';
                let (behind, name) = take_while1(word).parse(rest)?;
                counted.item(rest)?;
                mechanisms.push(String::from_utf8_lossy(name).into_owned().into());
                rest = spaces(behind);
                if rest.first() == Some(&b']') {
                    return Ok((rest, Code::UrlMech(mechanisms)));
                }
            }
        }
        // RFC 4469 §5: badurl-response-code = "BADURL" SP url-resp-text
        "BADURL" => {
            let (rest, url) = take_while1(|b: u8| b != b']').parse(input)?;
            let url = String::from_utf8_lossy(url).into_owned();
            Ok((rest, Code::BadUrl(url)))
        }
        "BADCHARSET" => {
            let (rest, names) = in_parentheses(counted, input, astring_text)?;
            let names = names.into_iter().map(Cow::Owned).collect();
            Ok((rest, Code::BadCharset(names)))
        }
        // RFC 5465 §8: which events those are is of no use to a client that named others.
        "BADEVENT" => {
            let (rest, _) = in_parentheses(counted, input, astring_text)?;
            Ok((rest, Code::BadEvent))
        }
        "CAPABILITY" => {
            let mut rest = input;
            let mut names = Vec::new();
            loop {
                let word = |b: u8| !matches!(b, 0..=b' ' | b']' | 0x7f);
                let (behind, name) = take_while1(word).parse(rest)?;
                counted.item(rest)?;
                names.push(String::from_utf8_lossy(name).into_owned().into());
                rest = spaces(behind);
                if rest.first() == Some(&b']') {
                    return Ok((rest, Code::Capability(names)));
                }
            }
        }
        "INPROGRESS" => context::in_progress(input),
        "MESSAGELIMIT" => messagelimit::code(input),
        "NOUPDATE" => context::no_update(input),
        "HIGHESTMODSEQ" => {
            let (rest, number) = number64(input)?;
            Ok((rest, Code::HighestModSeq(number)))
        }
        // RFC 8474 §4.1: "MAILBOXID" SP "(" objectid ")"
        "MAILBOXID" => {
            let (rest, id) = object_id(input)?;
            Ok((rest, Code::MailboxId(id)))
        }
        // RFC 5464 §5
        "METADATA" => {
            let letter = |b: u8| b.is_ascii_alphabetic();
            let (rest, what) = take_while1(letter).parse(input)?;
            let sized =
                |rest| -> Parsed<'a, u64> { sp(rest).and_then(|(rest, ())| number64(rest)) };
            match what.to_ascii_uppercase().as_slice() {
                b"LONGENTRIES" => sized(rest).map(|(rest, n)| (rest, Code::MetadataLongEntries(n))),
                b"MAXSIZE" => sized(rest).map(|(rest, n)| (rest, Code::MetadataMaxSize(n))),
                b"TOOMANY" => Ok((rest, Code::MetadataTooMany)),
                b"NOPRIVATE" => Ok((rest, Code::MetadataNoPrivate)),
                _ => Err(expected(input, "a known code")),
            }
        }
        "MODIFIED" => {
            let (rest, set) = uid_set(counted, input)?;
            Ok((rest, Code::Modified(set)))
        }
        "PERMANENTFLAGS" => {
            let (rest, (flags, keywords)) = flags(counted, input)?;
            Ok((rest, Code::PermanentFlags { flags, keywords }))
        }
        "UIDNEXT" => {
            let (rest, number) = nz_number(input)?;
            Ok((rest, Code::UidNext(number)))
        }
        "UIDVALIDITY" => {
            let (rest, number) = nz_number(input)?;
            Ok((rest, Code::UidValidity(number)))
        }
        "UNSEEN" => {
            let (rest, number) = nz_number(input)?;
            Ok((rest, Code::Unseen(number)))
        }
        _ => Err(expected(input, "a known code")),
    }
}

/// `"(" objectid ")"`
pub(super) fn object_id(input: &[u8]) -> Parsed<'_, ObjectId> {
    let inside = open(input)?;
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let (rest, text) = take_while1(letter).parse(inside)?;
    let id = ObjectId::new(&String::from_utf8_lossy(text));
    let id = id.ok_or_else(|| expected(inside, "an object identifier"))?;
    Ok((close(rest)?, id))
}

/// `"(" [item *(SP item)] ")"`
pub(super) fn in_parentheses<'a, T>(
    counted: &Counted<'_>,
    input: &'a [u8],
    mut item: impl FnMut(&'a [u8]) -> Parsed<'a, T>,
) -> Parsed<'a, Vec<T>> {
    let mut rest = open(input)?;
    let mut items = Vec::new();
    loop {
        rest = spaces(rest);
        if let Some(behind) = rest.strip_prefix(b")") {
            return Ok((behind, items));
        }
        counted.item(rest)?;
        let (behind, one) = item(rest)?;
        items.push(one);
        rest = behind;
    }
}

/// ```text
/// flag-list = "(" [flag *(SP flag)] ")"
/// flag-perm = flag / "\*"
/// ```
/// And whether `\*` is among them. What can be no flag is left out.
pub(super) fn flags<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, (Vec<Flag>, bool)> {
    let word = |b: u8| !matches!(b, 0..=b' ' | b'(' | b')' | 0x7f);
    let one = |i: &'a [u8]| -> Parsed<'a, &'a [u8]> { take_while1(word).parse(i) };
    let (rest, names) = in_parentheses(counted, input, one)?;
    let keywords = names.contains(&&b"\\*"[..]);
    let flags = names
        .into_iter()
        .filter_map(|name| Flag::new(&String::from_utf8_lossy(name)))
        .collect();
    Ok((rest, (flags, keywords)))
}

/// `uid-set = (uniqueid / uid-range) *("," uid-set)`
pub(super) fn uid_set<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, NumberSet> {
    let mut rest = input;
    let mut ranges = Vec::new();
    loop {
        let (behind, range) = range(rest)?;
        counted.numbers(1, rest)?;
        ranges.push(range);
        rest = match behind.strip_prefix(b",") {
            Some(more) => more,
            None => {
                // Ranges that come in any other order cost more than they should.
                ranges.sort_unstable();
                let mut set = NumberSet::new();
                for (low, high) in ranges {
                    set.push_range(low, high);
                }
                return Ok((behind, set));
            }
        };
    }
}

/// `seq-range = nz-number [":" nz-number]`, the smaller end first.
pub(super) fn range(input: &[u8]) -> Parsed<'_, (u32, u32)> {
    let (rest, from) = nz_number(input)?;
    match rest.strip_prefix(b":") {
        None => Ok((rest, (from, from))),
        Some(behind) => {
            let (rest, to) = nz_number(behind)?;
            Ok((rest, (from.min(to), from.max(to))))
        }
    }
}
