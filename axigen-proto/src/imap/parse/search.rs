//! The grammar of SEARCH.

use nom::Parser;
use nom::bytes::complete::tag_no_case;
use nom::combinator::{map, opt};
use nom::sequence::preceded;

use super::Grammar;
use super::fault::{Parsed, expect, expected, refused};
use super::values::{
    astring_text, atom, date, list1, number64, nz_number, sequence_set, sp, spaced1, word,
};
use crate::imap::command::{Command, Search, SearchKey};
use crate::imap::extensions::{condstore, esearch, objectid};
use crate::imap::response::{Code, Status};
use crate::imap::types::{Date, Flag};

/// ```text
/// search = "SEARCH" [search-return-opts] SP search-program
/// ```
pub(crate) fn search<'a>(grammar: &Grammar, uid: bool, input: &'a [u8]) -> Parsed<'a, Command> {
    let (rest, (returns, update_items)) = esearch::returns(input)?;
    let (rest, keys) = program(grammar, rest)?;
    esearch::check_relevancy(input, returns, false, &keys)?;
    let search = Search {
        uid,
        returns,
        update_items,
        keys,
    };
    Ok((rest, Command::Search(search)))
}

/// `SP search-program`
///
/// ```text
/// search-program = ["CHARSET" SP charset SP] search-key *(SP search-key)
/// ```
pub(crate) fn program<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Vec<SearchKey>> {
    let (rest, (named, ())) = (opt(charset), sp).parse(input)?;
    // RFC 9755 §3: BAD, since all strings are UTF-8 already.
    if named.is_some() && grammar.utf8_accept {
        let text = "SEARCH takes no CHARSET once UTF8=ACCEPT is enabled: all strings are UTF-8";
        return Err(refused(input, Status::bad(text)));
    }
    spaced1(|i| search_key(grammar, 0, i))(rest)
}

/// `search-criteria = charset 1*(SP search-key)`, as SORT and THREAD have it (RFC 5256 §5).
pub(crate) fn criteria<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Vec<SearchKey>> {
    let (rest, (_, (), ())) = (sp, known_charset, sp).parse(input)?;
    spaced1(|i| search_key(grammar, 0, i))(rest)
}

/// `SP "CHARSET" SP charset`
fn charset(input: &[u8]) -> Parsed<'_, ()> {
    preceded((sp, tag_no_case("CHARSET"), sp), known_charset).parse(input)
}

/// `charset = atom / quoted`. RFC 9051 §6.4.4: US-ASCII and UTF-8 must be known; others are refused
/// with BADCHARSET.
fn known_charset(input: &[u8]) -> Parsed<'_, ()> {
    let (rest, name) = astring_text(input)?;
    if ["UTF-8", "US-ASCII"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(&name))
    {
        return Ok((rest, ()));
    }
    Err(refused(
        input,
        Status::no("This charset is not supported")
            .with(Code::BadCharset(vec!["US-ASCII".into(), "UTF-8".into()])),
    ))
}

/// ```text
/// search-key = "ALL" / "ANSWERED" / "BCC" SP astring / "BEFORE" SP date / "BODY" SP astring /
///              "CC" SP astring / "DELETED" / "FLAGGED" / "FROM" SP astring /
///              "KEYWORD" SP flag-keyword / "NEW" / "OLD" / "ON" SP date / "RECENT" / "SEEN" /
///              "SINCE" SP date / "SUBJECT" SP astring / "TEXT" SP astring / "TO" SP astring /
///              "UNANSWERED" / "UNDELETED" / "UNFLAGGED" / "UNKEYWORD" SP flag-keyword /
///              "UNSEEN" / "DRAFT" / "HEADER" SP header-fld-name SP astring /
///              "LARGER" SP number64 / "NOT" SP search-key / "OR" SP search-key SP search-key /
///              "SENTBEFORE" SP date / "SENTON" SP date / "SENTSINCE" SP date /
///              "SMALLER" SP number64 / "UID" SP sequence-set / "UNDRAFT" / sequence-set /
///              "(" search-key *(SP search-key) ")"
/// ```
fn search_key<'a>(grammar: &Grammar, depth: usize, input: &'a [u8]) -> Parsed<'a, SearchKey> {
    if depth > grammar.nesting {
        return Err(refused(
            input,
            Status::bad("The search is nested too deeply").with(Code::Limit),
        ));
    }
    let inner = |i| search_key(grammar, depth + 1, i);
    match input.first() {
        Some(b'(') => return map(list1(inner), SearchKey::And).parse(input),
        Some(b'0'..=b'9' | b'*' | b'$') => {
            return map(sequence_set, SearchKey::Sequence).parse(input);
        }
        _ => {}
    }
    let (rest, name) = expect("a search key", word).parse(input)?;
    let simple = match name.as_str() {
        "NOT" => {
            return map(preceded(sp, inner), |key| SearchKey::Not(Box::new(key))).parse(rest);
        }
        // RFC 6203 §7: search-key =/ "FUZZY" SP search-key
        "FUZZY" => {
            return map(preceded(sp, inner), |key| SearchKey::Fuzzy(Box::new(key))).parse(rest);
        }
        "OR" => {
            return map((preceded(sp, inner), preceded(sp, inner)), |(a, b)| {
                SearchKey::Or(Box::new(a), Box::new(b))
            })
            .parse(rest);
        }
        "BCC" => return text(SearchKey::Bcc, rest),
        "BODY" => return text(SearchKey::Body, rest),
        "CC" => return text(SearchKey::Cc, rest),
        "FROM" => return text(SearchKey::From, rest),
        "SUBJECT" => return text(SearchKey::Subject, rest),
        "TEXT" => return text(SearchKey::Text, rest),
        "TO" => return text(SearchKey::To, rest),
        "HEADER" => {
            return map(
                (preceded(sp, astring_text), preceded(sp, astring_text)),
                |(field, value)| SearchKey::Header(field, value),
            )
            .parse(rest);
        }
        "BEFORE" => return day(SearchKey::Before, rest),
        "ON" => return day(SearchKey::On, rest),
        // RFC 8514 §4.3
        "SAVEDATESUPPORTED" => SearchKey::SaveDateSupported,
        "SAVEDBEFORE" => return day(SearchKey::SavedBefore, rest),
        "SAVEDON" => return day(SearchKey::SavedOn, rest),
        "SAVEDSINCE" => return day(SearchKey::SavedSince, rest),
        "SINCE" => return day(SearchKey::Since, rest),
        "SENTBEFORE" => return day(SearchKey::SentBefore, rest),
        "SENTON" => return day(SearchKey::SentOn, rest),
        "SENTSINCE" => return day(SearchKey::SentSince, rest),
        "LARGER" => return map(preceded(sp, number64), SearchKey::Larger).parse(rest),
        "SMALLER" => return map(preceded(sp, number64), SearchKey::Smaller).parse(rest),
        "KEYWORD" => return map(keyword, SearchKey::Keyword).parse(rest),
        "UNKEYWORD" => return map(keyword, SearchKey::Unkeyword).parse(rest),
        // RFC 5032 §2: search-key =/ ("OLDER" / "YOUNGER") SP nz-number
        "OLDER" => return map(preceded(sp, nz_number), SearchKey::Older).parse(rest),
        "YOUNGER" => return map(preceded(sp, nz_number), SearchKey::Younger).parse(rest),
        // RFC 9738 §5: search-key =/ ("UIDAFTER" / "UIDBEFORE") SP uniqueid
        "UIDAFTER" => return map(preceded(sp, nz_number), SearchKey::UidAfter).parse(rest),
        "UIDBEFORE" => return map(preceded(sp, nz_number), SearchKey::UidBefore).parse(rest),
        // RFC 8474 §5.4
        "EMAILID" => return map(objectid::object_id, SearchKey::EmailId).parse(rest),
        "THREADID" => return map(objectid::object_id, SearchKey::ThreadId).parse(rest),
        "MODSEQ" => return condstore::search_key(rest),
        "UID" => return map(preceded(sp, sequence_set), SearchKey::Uid).parse(rest),
        "ALL" => SearchKey::All,
        "ANSWERED" => SearchKey::Answered,
        "DELETED" => SearchKey::Deleted,
        "DRAFT" => SearchKey::Draft,
        "FLAGGED" => SearchKey::Flagged,
        "NEW" => SearchKey::New,
        "OLD" => SearchKey::Old,
        "RECENT" => SearchKey::Recent,
        "SEEN" => SearchKey::Seen,
        "UNANSWERED" => SearchKey::Unanswered,
        "UNDELETED" => SearchKey::Undeleted,
        "UNDRAFT" => SearchKey::Undraft,
        "UNFLAGGED" => SearchKey::Unflagged,
        "UNSEEN" => SearchKey::Unseen,
        _ => return Err(expected(input, "a search key")),
    };
    Ok((rest, simple))
}

fn text(make: fn(String) -> SearchKey, input: &[u8]) -> Parsed<'_, SearchKey> {
    map(preceded(sp, astring_text), make).parse(input)
}

fn day(make: fn(Date) -> SearchKey, input: &[u8]) -> Parsed<'_, SearchKey> {
    map(preceded(sp, date), make).parse(input)
}

/// `SP flag-keyword`
fn keyword(input: &[u8]) -> Parsed<'_, Flag> {
    map(preceded(sp, atom), |name| Flag::Keyword(name.into())).parse(input)
}
