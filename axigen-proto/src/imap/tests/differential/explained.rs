//! Where the two grammars differ, and why we keep ours.

use imap_codec::imap_types::command::CommandBody;

use super::{Different, ours_of};
use crate::imap::command::{Command, Fetch};
use crate::imap::extensions::condstore::FetchModifiers;
use crate::imap::parse::Rejection;
use crate::imap::response::StatusKind;
use crate::imap::types::StatusItem;

fn twice_reversed(line: &[u8]) -> bool {
    let line = line.to_ascii_uppercase();
    line.windows(16).any(|words| words == b"REVERSE REVERSE ")
}

/// Why the two may differ on a line. Anything else is a bug of ours.
pub(super) fn explained(
    line: &[u8],
    ours: &Result<Command, Rejection>,
    theirs: &Result<CommandBody<'static>, String>,
) -> Option<Different> {
    match (ours, theirs) {
        (Ok(_), Ok(_)) => None,
        (Err(_), Err(_)) => Some("both refuse"),
        (Ok(Command::Id(_)), Err(_)) => {
            Some("we take atoms in ID, as clients are met that write them")
        }
        (Ok(Command::Sort(_)), Err(_)) if twice_reversed(line) => {
            Some("REVERSE REVERSE is REVERSE")
        }
        (Ok(ours), Err(_)) => newer(line, ours),
        (Err(ours), Ok(theirs)) => {
            let text = ours.status.text.as_ref();
            if ours.status.kind == StatusKind::No {
                return Some("we refuse what is well formed but impossible here");
            }
            if let Err(why) = ours_of(theirs) {
                return Some(why);
            }
            if text.contains("nested too deeply") {
                return Some("another limit");
            }
            if text.contains("a number below 9223372036854775808") {
                return Some("RFC 7162 §7: numbers of 63 bits");
            }
            if text.contains("more than 30 pairs") || text.contains("value of ID is too long") {
                return Some("RFC 2971 §3.3 has limits");
            }
            if text.contains("end of the command") && line.ends_with(b" ") {
                return Some("they take a space at the end");
            }
            if matches!(theirs, CommandBody::Id { .. }) && line.ends_with(b" )") {
                return Some("they take a space before the closing parenthesis");
            }
            if leading_zero(line) {
                return Some("RFC 3501: nz-number = digit-nz *DIGIT");
            }
            None
        }
    }
}

/// Whether a number begins with 0.
fn leading_zero(line: &[u8]) -> bool {
    line.windows(3)
        .any(|w| !w[0].is_ascii_alphanumeric() && w[1] == b'0' && w[2].is_ascii_digit())
}

/// What we take and they do not.
fn newer(line: &[u8], ours: &Command) -> Option<Different> {
    let debug = format!("{ours:?}");
    if !line.is_ascii() {
        return Some("RFC 9051: UTF-8 in quoted strings");
    }
    if debug.contains("Saved") {
        return Some("RFC 5182: $");
    }
    for (word, why) in [
        ("Fuzzy", "RFC 6203"),
        ("UidAfter", "RFC 9738"),
        ("UidBefore", "RFC 9738"),
        ("EmailId", "RFC 8474"),
        ("ThreadId", "RFC 8474"),
        ("MailboxId", "RFC 8474"),
        ("Preview {", "RFC 8970"),
    ] {
        if debug.contains(word) {
            return Some(why);
        }
    }
    match ours {
        Command::Authenticate {
            initial: Some(initial),
            ..
        } if crate::sasl::decode_line(initial.0.as_bytes()).is_err() => {
            Some("the session decodes the base64, and refuses it then")
        }
        Command::Create { special_use, .. } if !special_use.is_empty() => {
            Some("RFC 6154: CREATE with USE")
        }
        Command::List(list) if list.extended => Some("RFC 5258: LIST with options"),
        Command::List(list) if !list.returns.status.is_empty() => Some("RFC 5819"),
        Command::Search(search) if search.returns.is_some() => Some("RFC 4731: RETURN"),
        Command::Status { items, .. } if items.contains(&StatusItem::Size) => {
            Some("RFC 8438: SIZE")
        }
        Command::Status { items, .. } if items.contains(&StatusItem::AppendLimit) => {
            Some("RFC 7889: APPENDLIMIT")
        }
        Command::Unauthenticate => Some("RFC 8437"),
        Command::CancelUpdate(_) => Some("RFC 5267"),
        Command::UidBatches(_) => Some("RFC 10022"),
        Command::MultiSearch(_) => Some("RFC 7377"),
        Command::Acl(_) => Some("RFC 4314"),
        Command::Metadata(_) => Some("RFC 5464"),
        Command::UrlAuth(_) => Some("RFC 4467"),
        Command::List(list) if list.returns.my_rights => Some("RFC 8440"),
        Command::Notify(_) => Some("RFC 5465"),
        Command::Sort(sort) if sort.returns.is_some() => Some("RFC 5267: RETURN"),
        Command::Fetch(fetch) if fetch.modifiers.partial.is_some() => Some("RFC 9394"),
        Command::Sort(_) if debug.contains("by: Display") => Some("RFC 5957"),
        Command::Fetch(Fetch {
            modifiers:
                FetchModifiers {
                    changed_since: Some(0),
                    ..
                },
            ..
        }) => Some("clients that know nothing yet send 0"),
        Command::Search(_) | Command::Sort(_) | Command::Thread(_) | Command::Fetch(_)
            if debug.contains("Save") =>
        {
            Some("RFC 8514")
        }
        Command::Search(_) | Command::Sort(_) | Command::Thread(_) | Command::Fetch(_)
            if debug.contains_large() =>
        {
            Some("RFC 9051: numbers of 63 bits")
        }
        _ => None,
    }
}

trait ContainsLarge {
    fn contains_large(&self) -> bool;
}

impl ContainsLarge for String {
    /// Whether a number above 32 bits stands in the text.
    fn contains_large(&self) -> bool {
        self.split(|c: char| !c.is_ascii_digit())
            .any(|digits| digits.parse::<u64>().is_ok_and(|n| n > u64::from(u32::MAX)))
    }
}
