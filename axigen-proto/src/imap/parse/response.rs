//! The grammar of responses, as a client reads them.
//!
//! It runs once, on a complete response: its lines and literals have been
//! collected under limits before. Servers are forgiven much: what is unknown, or
//! not as the grammar has it, comes out as [`Response::Other`],
//! [`FetchItem::Other`](crate::imap::response::FetchItem::Other) or
//! [`Code::Other`](crate::imap::response::Code::Other). Only a line that is no
//! response at all, and one that holds more than the limits allow, is a fault.

mod fetch;
mod mailbox;
mod search;
mod status;
mod strings;
mod structure;

use std::cell::Cell;

use bytes::Bytes;
use nom::Parser;
use nom::bytes::complete::take_while1;

use self::strings::{atom_text, nstring_text, spaces, string_text};
use super::fault::{Fault, Parsed, expected};
use super::values::{number, sp};
use crate::imap::response::{Response, Status, StatusKind};
use crate::imap::types::Tag;
use crate::session::Violation;

pub(crate) use self::fetch::data_name;

/// What the grammar of responses depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseGrammar {
    /// Whether names of mailboxes are UTF-8: IMAP4rev2 or UTF8=ACCEPT is
    /// enabled. Otherwise modified UTF-7.
    pub utf8: bool,
    /// How deep parentheses may be nested in what is read as a value; deeper
    /// ones come out as they are.
    pub nesting: usize,
    /// Most names, flags, addresses, parts and the like in one response.
    pub items: usize,
    /// Most numbers in one response.
    pub numbers: usize,
}

impl Default for ResponseGrammar {
    fn default() -> Self {
        Self {
            utf8: false,
            nesting: 100,
            items: 100_000,
            numbers: 2_000_000,
        }
    }
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// An untagged response.
    Untagged(Response),
    /// The end of a command.
    Tagged(Tag, Status),
    /// `+`: the client is to go on. A challenge of AUTHENTICATE is the text.
    Continue(String),
}

/// Reads one complete response, literals included, without its last CRLF.
///
/// ```text
/// response         = *(continue-req / response-data) response-done
/// continue-req     = "+" SP (resp-text / base64) CRLF
/// response-data    = "*" SP (resp-cond-state / resp-cond-bye / mailbox-data / message-data /
///                    capability-data / enable-data) CRLF
/// response-tagged  = tag SP resp-cond-state CRLF
/// ```
///
/// # Errors
/// [`Violation::NotThisProtocol`] for what is no response, and
/// [`Violation::TooLarge`] for one that holds too many items or numbers.
pub fn response(grammar: &ResponseGrammar, input: &[u8]) -> Result<Reply, Violation> {
    // Servers are known that write a plus alone.
    if let Some(rest) = input.strip_prefix(b"+") {
        let text = rest.strip_prefix(b" ").unwrap_or(rest);
        return Ok(Reply::Continue(status::text(text)));
    }
    let Some(data) = input.strip_prefix(b"* ") else {
        return match tagged(input) {
            Ok((_, (tag, status))) => Ok(Reply::Tagged(tag, status)),
            Err(_) => Err(Violation::NotThisProtocol),
        };
    };
    let counted = Counted::new(grammar);
    match untagged(&counted, data) {
        Ok((b"", response)) => Ok(Reply::Untagged(response)),
        _ if counted.exceeded.get() => Err(Violation::TooLarge),
        _ => Ok(Reply::Untagged(Response::Other(Bytes::copy_from_slice(
            data,
        )))),
    }
}

/// `response-tagged = tag SP resp-cond-state CRLF`
fn tagged(input: &[u8]) -> Parsed<'_, (Tag, Status)> {
    let (rest, tag) = super::tag(input)?;
    let (rest, ()) = sp(rest)?;
    let (after, name) = name(rest)?;
    let kind = kind(&name).ok_or_else(|| expected(rest, "OK, NO or BAD"))?;
    Ok((b"", (tag, status::resp_text(kind, after))))
}

/// `resp-cond-state = ("OK" / "NO" / "BAD") SP resp-text`
fn kind(name: &str) -> Option<StatusKind> {
    match name {
        "OK" => Some(StatusKind::Ok),
        "NO" => Some(StatusKind::No),
        "BAD" => Some(StatusKind::Bad),
        _ => None,
    }
}

/// The grammar, and how much of its limits a response has used.
struct Counted<'g> {
    grammar: &'g ResponseGrammar,
    items: Cell<usize>,
    numbers: Cell<usize>,
    exceeded: Cell<bool>,
}

impl<'g> Counted<'g> {
    fn new(grammar: &'g ResponseGrammar) -> Self {
        Self {
            grammar,
            items: Cell::new(grammar.items),
            numbers: Cell::new(grammar.numbers),
            exceeded: Cell::new(false),
        }
    }

    /// Another item.
    fn item<'a>(&self, at: &'a [u8]) -> Result<(), nom::Err<Fault<'a>>> {
        self.take(&self.items, 1, at)
    }

    /// So many numbers more.
    fn numbers<'a>(&self, count: u64, at: &'a [u8]) -> Result<(), nom::Err<Fault<'a>>> {
        self.take(&self.numbers, count, at)
    }

    fn take<'a>(
        &self,
        left: &Cell<usize>,
        count: u64,
        at: &'a [u8],
    ) -> Result<(), nom::Err<Fault<'a>>> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        match left.get().checked_sub(count) {
            Some(less) => {
                left.set(less);
                Ok(())
            }
            None => {
                self.exceeded.set(true);
                Err(expected(at, "fewer items"))
            }
        }
    }
}

/// The name of a response, in capitals.
fn name(input: &[u8]) -> Parsed<'_, String> {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let (rest, name) = take_while1(letter).parse(input)?;
    let name = String::from_utf8_lossy(name).to_ascii_uppercase();
    Ok((rest, name))
}

fn untagged<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Response> {
    if input.first().is_some_and(u8::is_ascii_digit) {
        let (rest, number) = number(input)?;
        let (rest, ()) = sp(rest)?;
        return message(counted, number, rest);
    }
    let (rest, name) = name(input)?;
    if let Some(kind) = kind(&name) {
        let status = status::resp_text(kind, rest);
        return Ok((b"", Response::Status(status)));
    }
    match name.as_str() {
        "BYE" => Ok((b"", Response::Bye(status::resp_text(StatusKind::Ok, rest)))),
        "PREAUTH" => {
            let status = status::resp_text(StatusKind::Ok, rest);
            Ok((b"", Response::Preauth(status)))
        }
        "FLAGS" => {
            let (rest, ()) = sp(rest)?;
            let (rest, (flags, _)) = status::flags(counted, rest)?;
            Ok((trailing(rest), Response::Flags(flags)))
        }
        "CAPABILITY" => {
            let (rest, names) = names(counted, rest)?;
            Ok((rest, Response::Capability(names)))
        }
        "ENABLED" => {
            let (rest, names) = names(counted, rest)?;
            Ok((rest, Response::Enabled(names)))
        }
        "ID" => id(counted, rest),
        "SEARCH" | "SORT" => {
            let (rest, found) = search::numbers(counted, rest)?;
            let response = match name.as_str() {
                "SORT" => Response::Sort(found),
                _ => Response::Search(found),
            };
            Ok((trailing(rest), response))
        }
        "THREAD" => search::thread(counted, rest),
        "ESEARCH" => search::esearch(counted, rest),
        "VANISHED" => search::vanished(counted, rest),
        "UIDBATCHES" => search::uid_batches(counted, rest),
        _ => mailbox::response(counted, &name, rest),
    }
}

/// ```text
/// mailbox-data =/ number SP "EXISTS" / number SP "RECENT"
/// message-data = nz-number SP ("EXPUNGE" / (("FETCH" / "UIDFETCH") SP msg-att))
/// ```
fn message<'a>(counted: &Counted<'_>, number: u32, input: &'a [u8]) -> Parsed<'a, Response> {
    let (rest, name) = name(input)?;
    let response = match name.as_str() {
        "EXISTS" => Response::Exists(number),
        "RECENT" => Response::Recent(number),
        "EXPUNGE" => Response::Expunge(number),
        "FETCH" | "UIDFETCH" => {
            let (rest, ()) = sp(rest)?;
            let (rest, items) = fetch::items(counted, rest)?;
            let response = match name.as_str() {
                "FETCH" => Response::Fetch { seq: number, items },
                _ => Response::UidFetch { uid: number, items },
            };
            return Ok((trailing(rest), response));
        }
        _ => return Err(expected(input, "a known response about a message")),
    };
    Ok((trailing(rest), response))
}

/// Spaces at the end of a line mean nothing; servers are known that write them.
fn trailing(rest: &[u8]) -> &[u8] {
    spaces(rest)
}

/// `*(SP capability)`
fn names<'a>(
    counted: &Counted<'_>,
    mut rest: &'a [u8],
) -> Parsed<'a, Vec<std::borrow::Cow<'static, str>>> {
    let mut names = Vec::new();
    loop {
        rest = spaces(rest);
        if rest.is_empty() {
            return Ok((rest, names));
        }
        let (behind, name) = atom_text(rest)?;
        counted.item(rest)?;
        names.push(name.into());
        rest = behind;
    }
}

/// ```text
/// id-response    = "ID" SP id-params-list
/// id-params-list = "(" [string SP nstring *(SP string SP nstring)] ")" / nil
/// ```
fn id<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Response> {
    let (rest, ()) = sp(input)?;
    if strings::is_nil(rest) {
        return Ok((trailing(&rest[3..]), Response::Id(Vec::new())));
    }
    let mut rest = strings::open(rest)?;
    let mut pairs = Vec::new();
    loop {
        rest = spaces(rest);
        if let Some(behind) = rest.strip_prefix(b")") {
            return Ok((trailing(behind), Response::Id(pairs)));
        }
        counted.item(rest)?;
        let (behind, (name, (), value)) = (string_text, sp, nstring_text).parse(rest)?;
        pairs.push((name, value));
        rest = behind;
    }
}
