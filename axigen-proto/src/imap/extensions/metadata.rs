//! METADATA and METADATA-SERVER
//! ([RFC 5464](https://www.rfc-editor.org/rfc/rfc5464)): notes about mailboxes and
//! the server, and LIST-METADATA ([RFC 9590](https://www.rfc-editor.org/rfc/rfc9590)).

use std::borrow::Cow;

use bytes::Bytes;
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::tag_no_case;
use nom::combinator::{map, opt, value};
use nom::sequence::{preceded, terminated};

use crate::imap::command::Command;
use crate::imap::parse::Grammar;
use crate::imap::parse::fault::{Parsed, expect, refused};
use crate::imap::parse::values::{astring, list1, literal, mailbox, number, sp, string, word};
use crate::imap::response::Status;
use crate::imap::types::MailboxName;

/// Longest name of an entry, in bytes.
pub const ENTRY: usize = 512;

/// The name of an entry, in lower case: names do not depend on it (§3.2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(String);

impl EntryName {
    /// Checks a name: a path that begins with `/private/` or `/shared/`, of
    /// printable ASCII without `*` and `%`, no level empty
    /// ([§3.2](https://www.rfc-editor.org/rfc/rfc5464#section-3.2)).
    pub fn new(name: &str) -> Option<EntryName> {
        let name = name.to_ascii_lowercase();
        let path = name.strip_prefix('/')?;
        let (scope, rest) = path.split_once('/')?;
        let fits = name.len() <= ENTRY
            && matches!(scope, "private" | "shared")
            && rest.split('/').all(|level| !level.is_empty())
            && name
                .bytes()
                .all(|byte| (0x20..0x7f).contains(&byte) && !matches!(byte, b'*' | b'%'));
        fits.then_some(EntryName(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is for one user alone.
    pub fn is_private(&self) -> bool {
        self.0.starts_with("/private/")
    }
}

/// How far below an entry GETMETADATA looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Depth {
    /// The entry alone.
    #[default]
    Zero,
    /// And those one level below.
    One,
    /// And all below.
    Infinity,
}

impl Depth {
    /// Whether an entry is this one, or so far below it.
    pub fn covers(self, of: &EntryName, entry: &EntryName) -> bool {
        let Some(rest) = entry.0.strip_prefix(of.as_str()) else {
            return false;
        };
        match (rest.strip_prefix('/'), self) {
            (None, _) => rest.is_empty(),
            (Some(_), Depth::Zero) => false,
            (Some(below), Depth::One) => !below.contains('/'),
            (Some(_), Depth::Infinity) => true,
        }
    }
}

/// A command of METADATA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metadata {
    /// GETMETADATA (§4.2)
    Get {
        /// Which mailbox; the empty name is the server.
        mailbox: MailboxName,
        /// Larger values are left out.
        max_size: Option<u32>,
        /// How far below the entries.
        depth: Depth,
        /// Which entries, at least one.
        entries: Vec<EntryName>,
    },
    /// SETMETADATA (§4.3)
    Set {
        /// Which mailbox; the empty name is the server.
        mailbox: MailboxName,
        /// Entries and values; `None` removes one.
        values: Vec<(EntryName, Option<Bytes>)>,
    },
}

/// `* METADATA` (§4.4)
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataResponse {
    /// Entries and their values; `None` is NIL.
    Values {
        /// Which mailbox; the empty name is the server.
        mailbox: MailboxName,
        /// At least one.
        values: Vec<(EntryName, Option<Bytes>)>,
    },
    /// Entries that were changed.
    Changed {
        /// Which mailbox; the empty name is the server.
        mailbox: MailboxName,
        /// At least one.
        entries: Vec<EntryName>,
    },
}

/// ```text
/// getmetadata         = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries
/// getmetadata-options = "(" getmetadata-option *(SP getmetadata-option) ")"
/// ```
/// The examples of the standard have the options behind the mailbox; both are
/// taken.
pub(crate) fn get_metadata<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Command> {
    // No name of a mailbox begins so.
    let (rest, before) = match input.starts_with(b" (") {
        true => map(preceded(sp, options), Some).parse(input)?,
        false => (input, None),
    };
    let (rest, mailbox) = preceded(sp, |i| mailbox(grammar, i)).parse(rest)?;
    let (rest, behind) = match before {
        None => opt(preceded(sp, terminated(options, sp_ahead))).parse(rest)?,
        Some(_) => (rest, None),
    };
    let (rest, entries) = preceded(sp, entries).parse(rest)?;
    let (max_size, depth) = before.or(behind).unwrap_or_default();
    let get = Metadata::Get {
        mailbox,
        max_size,
        depth,
        entries,
    };
    Ok((rest, Command::Metadata(get)))
}

/// A space follows: what stood before it were not the entries.
fn sp_ahead(input: &[u8]) -> Parsed<'_, ()> {
    nom::combinator::peek(sp).parse(input)
}

enum Choice {
    MaxSize(u32),
    Depth(Depth),
}

type Options = (Option<u32>, Depth);

fn options(input: &[u8]) -> Parsed<'_, Options> {
    map(list1(option), |chosen| {
        let mut options = Options::default();
        for choice in chosen {
            match choice {
                Choice::MaxSize(size) => options.0 = Some(size),
                Choice::Depth(depth) => options.1 = depth,
            }
        }
        options
    })
    .parse(input)
}

/// ```text
/// getmetadata-option = "MAXSIZE" SP number / "DEPTH" SP ("0" / "1" / "infinity")
/// ```
fn option(input: &[u8]) -> Parsed<'_, Choice> {
    let size = preceded((tag_no_case("MAXSIZE"), sp), number);
    let depth = alt((
        value(Depth::Zero, tag_no_case("0")),
        value(Depth::One, tag_no_case("1")),
        value(Depth::Infinity, tag_no_case("infinity")),
    ));
    let depth = preceded(
        (tag_no_case("DEPTH"), sp),
        expect("0, 1 or infinity", depth),
    );
    expect(
        "MAXSIZE or DEPTH",
        alt((map(size, Choice::MaxSize), map(depth, Choice::Depth))),
    )(input)
}

/// `entries = entry / "(" entry *(SP entry) ")"`
pub(crate) fn entries(input: &[u8]) -> Parsed<'_, Vec<EntryName>> {
    match input.first() {
        Some(b'(') => list1(entry)(input),
        _ => map(entry, |entry| vec![entry]).parse(input),
    }
}

/// `entry = astring   ; slash-separated path, MUST NOT contain "*" or "%"`
pub(crate) fn entry(input: &[u8]) -> Parsed<'_, EntryName> {
    let (rest, name) = expect("the name of an entry", astring)(input)?;
    match EntryName::new(&String::from_utf8_lossy(&name)) {
        Some(entry) => Ok((rest, entry)),
        None => Err(refused(
            input,
            Status::bad(
                "The name of an entry begins with /private/ or /shared/ and has no *, % or empty level",
            ),
        )),
    }
}

/// ```text
/// setmetadata  = "SETMETADATA" SP mailbox SP entry-values
/// entry-values = "(" entry-value *(SP entry-value) ")"
/// entry-value  = entry SP value
/// ```
pub(crate) fn set_metadata<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Command> {
    let (rest, mailbox) = preceded(sp, |i| mailbox(grammar, i)).parse(input)?;
    let (rest, values) = preceded(sp, list1(entry_value)).parse(rest)?;
    let set = Metadata::Set { mailbox, values };
    Ok((rest, Command::Metadata(set)))
}

fn entry_value(input: &[u8]) -> Parsed<'_, (EntryName, Option<Bytes>)> {
    let (rest, entry) = entry(input)?;
    let (rest, value) = preceded(sp, expect("a value", entry_data)).parse(rest)?;
    Ok((rest, (entry, value)))
}

/// `value = nstring / literal8`
fn entry_data(input: &[u8]) -> Parsed<'_, Option<Bytes>> {
    let owned = |text: Cow<'_, [u8]>| Bytes::copy_from_slice(&text);
    match input.first() {
        Some(b'"' | b'{') => map(string, |text| Some(owned(text))).parse(input),
        // A literal8 without NUL is like a literal; one with NUL is refused.
        Some(b'~') => map(preceded(tag_no_case("~"), literal), |text| {
            Some(owned(text))
        })
        .parse(input),
        _ => {
            let (rest, nil) = word(input)?;
            match nil.as_str() {
                "NIL" => Ok((rest, None)),
                _ => Err(refused(input, Status::bad("A value is a string or NIL"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names() {
        for good in [
            "/shared/comment",
            "/private/vendor/vendor.coi/x",
            "/PRIVATE/Comment",
            "/shared/a b",
        ] {
            let name = EntryName::new(good).unwrap();
            assert_eq!(name.as_str(), good.to_ascii_lowercase());
        }
        for bad in [
            "",
            "/",
            "/shared",
            "/shared/",
            "/shared//x",
            "/shared/x/",
            "/other/x",
            "shared/x",
            "/shared/*",
            "/private/%",
            "/shared/ä",
            "/shared/\0",
        ] {
            assert_eq!(EntryName::new(bad), None, "{bad}");
        }
        assert!(EntryName::new(&format!("/shared/{}", "x".repeat(ENTRY))).is_none());
    }

    #[test]
    fn depths() {
        let name = |text| EntryName::new(text).unwrap();
        let of = name("/shared/a");
        for (entry, wanted) in [
            ("/shared/a", [true, true, true]),
            ("/shared/a/b", [false, true, true]),
            ("/shared/a/b/c", [false, false, true]),
            ("/shared/ab", [false, false, false]),
            ("/private/a", [false, false, false]),
        ] {
            let entry = name(entry);
            let covers = [Depth::Zero, Depth::One, Depth::Infinity].map(|d| d.covers(&of, &entry));
            assert_eq!(covers, wanted, "{entry:?}");
        }
    }
}
