//! The grammar of commands: [RFC 3501 §9](https://www.rfc-editor.org/rfc/rfc3501#section-9) and
//! [RFC 9051 §9](https://www.rfc-editor.org/rfc/rfc9051#section-9).
//!
//! It runs once, on a complete command: the lines and literals have been
//! collected under limits before. Each function's doc is its ABNF rule.

pub(crate) mod fault;
pub(crate) mod fetch;
pub mod response;
pub(crate) mod search;
pub(crate) mod values;

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag_no_case, take_while1};
use nom::combinator::{map, opt};
use nom::sequence::preceded;

pub(crate) use self::fault::Fault;
use self::fault::{Parsed, expect, expected, failed};
use self::values::{
    astring_text, atom, base64_text, flag, flag_list, list_mailbox, list1, mailbox, reference,
    sequence_set, sp, spaced1, word,
};
use super::command::name::Name;
use super::command::{Command, Select, Store, StoreAction};
use super::extensions::{
    acl, compress, condstore, context, enable, esearch, id, list_extended, metadata, multiappend,
    multisearch, notify, quota, replace, sort, special_use, uidbatches, urlauth,
};
use super::response::Status;
use super::separator::Separator;
use super::types::{StatusItem, Tag, is_tag_char};

/// What the grammar depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grammar {
    /// Whether IMAP4rev2 is enabled: mailbox names are then UTF-8.
    pub rev2: bool,
    /// Whether UTF8=ACCEPT is enabled (RFC 9755): likewise.
    pub utf8_accept: bool,
    /// How deep search keys may be nested.
    pub nesting: usize,
    /// What separates the levels of names.
    pub separator: Separator,
}

impl Default for Grammar {
    fn default() -> Self {
        Grammar {
            rev2: false,
            utf8_accept: false,
            nesting: 64,
            separator: Separator::Slash,
        }
    }
}

impl Grammar {
    /// Whether quoted strings and names are UTF-8.
    pub(crate) fn utf8(&self) -> bool {
        self.rev2 || self.utf8_accept
    }
}

/// A command that was not understood, or not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Its tag, if it had one.
    pub tag: Option<Tag>,
    /// The answer: BAD, or NO where the text is well formed but impossible.
    pub status: Status,
}

/// Reads one complete command, literals included, without its last CRLF. Of
/// APPEND it reads what stands before the message, up to the literal's size.
///
/// ```text
/// command = tag SP (command-any / command-auth / command-nonauth / command-select) CRLF
/// ```
pub fn command(grammar: &Grammar, input: &[u8]) -> Result<(Tag, Command), Rejection> {
    let Head { tag, name, rest } = head(input)?;
    match arguments(grammar, name, input, rest) {
        Ok(command) => Ok((tag, command)),
        Err(status) => Err(Rejection {
            tag: Some(tag),
            status,
        }),
    }
}

/// The beginning of a command.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) tag: Tag,
    pub(crate) name: Name,
    /// What follows the name, with the space before it.
    pub(crate) rest: &'a [u8],
}

/// Reads `tag SP name`, which costs next to nothing however long the rest is.
pub(crate) fn head(input: &[u8]) -> Result<Head<'_>, Rejection> {
    let (rest, tag) = match tag(input) {
        Ok(found) => found,
        Err(_) => {
            return Err(Rejection {
                tag: None,
                status: Status::bad(if input.is_empty() {
                    "Expected a command, found an empty line"
                } else {
                    "Expected a tag and a command"
                }),
            });
        }
    };
    let reject = |text: &'static str| Rejection {
        tag: Some(tag.clone()),
        status: Status::bad(text),
    };
    let Some(rest) = rest.strip_prefix(b" ") else {
        return Err(reject("Expected a space and a command behind the tag"));
    };
    let (rest, first) = name_word(rest).map_err(|_| reject("Expected the name of a command"))?;
    let (rest, name) = if first.eq_ignore_ascii_case(b"UID") {
        let second = rest.strip_prefix(b" ").map(name_word);
        let Some(Ok((rest, second))) = second else {
            return Err(reject("Expected a command behind UID"));
        };
        (rest, Name::find(second, true))
    } else {
        (rest, Name::find(first, false))
    };
    match name {
        Some(name) => Ok(Head { tag, name, rest }),
        None => Err(reject("Unknown command")),
    }
}

/// `tag = 1*<any ASTRING-CHAR except "+">`
pub(crate) fn tag(input: &[u8]) -> Parsed<'_, Tag> {
    let (rest, text) = take_while1(is_tag_char).parse(input)?;
    Tag::from_bytes(text)
        .map(|tag| (rest, tag))
        .ok_or_else(|| expected(input, "a tag"))
}

fn name_word(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while1(|b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')).parse(input)
}

/// Reads the arguments of a command, `rest` of the whole `input`.
pub(crate) fn arguments(
    grammar: &Grammar,
    name: Name,
    input: &[u8],
    rest: &[u8],
) -> Result<Command, Status> {
    let left = match body(grammar, name, rest) {
        Ok((b"", command)) => return Ok(command),
        Ok((left, _)) => expected(left, "the end of the command"),
        Err(error) => error,
    };
    Err(failed(input, left))
}

/// Whether the beginning of a command's arguments asks for its result to be saved
/// (RFC 5182), even if the rest is refused.
pub(crate) fn saves(grammar: &Grammar, name: Name, rest: &[u8]) -> bool {
    let returns = match name {
        Name::Search | Name::UidSearch | Name::Sort | Name::UidSort => {
            map(esearch::return_options, |(returns, _)| returns).parse(rest)
        }
        Name::Esearch => multisearch::return_options(grammar, rest),
        _ => return false,
    };
    returns.is_ok_and(|(_, returns)| returns.save)
}

fn body<'a>(grammar: &Grammar, name: Name, input: &'a [u8]) -> Parsed<'a, Command> {
    let one_mailbox = |input: &'a [u8]| preceded(sp, |i| mailbox(grammar, i)).parse(input);
    match name {
        Name::Append => map(|i| multiappend::append(grammar, i), Command::Append).parse(input),
        Name::Authenticate => authenticate(input),
        Name::CancelUpdate => context::cancel_update(input),
        Name::Capability => Ok((input, Command::Capability)),
        Name::Check => Ok((input, Command::Check)),
        Name::Close => Ok((input, Command::Close)),
        Name::Compress => compress::compress(input),
        Name::Copy => copy(grammar, false, input),
        Name::Create => create(grammar, input),
        Name::Delete => {
            one_mailbox(input).map(|(rest, mailbox)| (rest, Command::Delete { mailbox }))
        }
        Name::DeleteAcl => acl::delete_acl(grammar, input),
        Name::Enable => enable::enable(input),
        Name::Esearch => multisearch::esearch(grammar, input),
        Name::Examine => map(|i| select(grammar, i), Command::Examine).parse(input),
        Name::Expunge => Ok((input, Command::Expunge)),
        Name::Fetch => fetch::fetch(false, input),
        Name::GenUrlAuth => urlauth::generate(input),
        Name::GetAcl => acl::get_acl(grammar, input),
        Name::GetMetadata => metadata::get_metadata(grammar, input),
        Name::GetQuota => quota::get_quota(input),
        Name::GetQuotaRoot => quota::get_quota_root(grammar, input),
        Name::Id => id::id(input),
        Name::Idle => Ok((input, Command::Idle)),
        Name::List => list_extended::list(grammar, input),
        Name::ListRights => acl::list_rights(grammar, input),
        Name::Login => login(input),
        Name::Logout => Ok((input, Command::Logout)),
        Name::Lsub => lsub(grammar, input),
        Name::Move => move_messages(grammar, false, input),
        Name::MyRights => acl::my_rights(grammar, input),
        Name::Namespace => Ok((input, Command::Namespace)),
        Name::Noop => Ok((input, Command::Noop)),
        Name::Notify => notify::notify(grammar, input),
        Name::Rename => rename(grammar, input),
        Name::Replace => map(|i| replace::replace(grammar, false, i), Command::Append).parse(input),
        Name::ResetKey => urlauth::reset(grammar, input),
        Name::UrlFetch => urlauth::fetch(input),
        Name::Search => search::search(grammar, false, input),
        Name::Select => map(|i| select(grammar, i), Command::Select).parse(input),
        Name::SetAcl => acl::set_acl(grammar, input),
        Name::SetMetadata => metadata::set_metadata(grammar, input),
        Name::Sort => sort::sort(grammar, false, input),
        Name::StartTls => Ok((input, Command::StartTls)),
        Name::Status => status(grammar, input),
        Name::Store => store(false, input),
        Name::Subscribe => {
            one_mailbox(input).map(|(rest, mailbox)| (rest, Command::Subscribe { mailbox }))
        }
        Name::Thread => sort::thread(grammar, false, input),
        Name::UidBatches => uidbatches::uid_batches(input),
        Name::UidCopy => copy(grammar, true, input),
        // RFC 4315 §2.1: uid-expunge = "UID" SP "EXPUNGE" SP sequence-set
        Name::UidExpunge => map(preceded(sp, sequence_set), |set| Command::UidExpunge {
            set,
        })
        .parse(input),
        Name::UidFetch => fetch::fetch(true, input),
        Name::UidMove => move_messages(grammar, true, input),
        Name::UidReplace => {
            map(|i| replace::replace(grammar, true, i), Command::Append).parse(input)
        }
        Name::UidSearch => search::search(grammar, true, input),
        Name::UidSort => sort::sort(grammar, true, input),
        Name::UidStore => store(true, input),
        Name::UidThread => sort::thread(grammar, true, input),
        Name::Unauthenticate => Ok((input, Command::Unauthenticate)),
        Name::Unselect => Ok((input, Command::Unselect)),
        Name::Unsubscribe => {
            one_mailbox(input).map(|(rest, mailbox)| (rest, Command::Unsubscribe { mailbox }))
        }
    }
}

/// `select = "SELECT" SP mailbox [select-params]` (RFC 4466 §2.1)
fn select<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Select> {
    let (rest, mailbox) = preceded(sp, |i| mailbox(grammar, i)).parse(input)?;
    let (rest, parameters) = condstore::select_parameters(rest)?;
    let select = Select {
        mailbox,
        parameters,
    };
    Ok((rest, select))
}

/// ```text
/// authenticate     = "AUTHENTICATE" SP auth-type [SP initial-resp] *(CRLF base64)
/// initial-resp     = (base64 / "=")
/// ```
fn authenticate(input: &[u8]) -> Parsed<'_, Command> {
    let (rest, (mechanism, initial)) = (
        preceded(sp, expect("a mechanism", atom)),
        opt(preceded(sp, expect("base64", base64_text))),
    )
        .parse(input)?;
    Ok((
        rest,
        Command::Authenticate {
            mechanism: mechanism.to_ascii_uppercase(),
            initial: initial.map(|text| text.to_owned().into()),
        },
    ))
}

/// `login = "LOGIN" SP userid SP password`, both astrings.
fn login(input: &[u8]) -> Parsed<'_, Command> {
    map(
        (
            preceded(sp, expect("a user name", astring_text)),
            preceded(sp, expect("a password", astring_text)),
        ),
        |(user, password)| Command::Login {
            user,
            password: password.into(),
        },
    )
    .parse(input)
}

/// ```text
/// create = "CREATE" SP mailbox [SP "(" create-param *(SP create-param) ")"]
/// ```
fn create<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Command> {
    map(
        (
            preceded(sp, |i| mailbox(grammar, i)),
            opt(preceded(sp, special_use::create_params)),
        ),
        |(mailbox, special_use)| Command::Create {
            mailbox,
            special_use: special_use.unwrap_or_default(),
        },
    )
    .parse(input)
}

/// `rename = "RENAME" SP mailbox SP mailbox`
fn rename<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Command> {
    map(
        (
            preceded(sp, |i| mailbox(grammar, i)),
            preceded(sp, |i| mailbox(grammar, i)),
        ),
        |(from, to)| Command::Rename { from, to },
    )
    .parse(input)
}

/// `lsub = "LSUB" SP mailbox SP list-mailbox`
fn lsub<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Command> {
    map(
        (
            preceded(sp, |i| reference(grammar, i)),
            preceded(sp, |i| list_mailbox(grammar, i)),
        ),
        |(reference, pattern)| Command::Lsub { reference, pattern },
    )
    .parse(input)
}

/// `status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"`
fn status<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Command> {
    map(
        (
            preceded(sp, |i| mailbox(grammar, i)),
            preceded(sp, list1(status_item)),
        ),
        |(mailbox, items)| Command::Status { mailbox, items },
    )
    .parse(input)
}

/// ```text
/// status-att = "MESSAGES" / "UIDNEXT" / "UIDVALIDITY" / "UNSEEN" / "DELETED" / "SIZE" / "RECENT" /
///              "HIGHESTMODSEQ" / "APPENDLIMIT" / "DELETED-STORAGE" / "MAILBOXID"
/// ```
pub(crate) fn status_item(input: &[u8]) -> Parsed<'_, StatusItem> {
    let (rest, name) = expect("a STATUS item", word).parse(input)?;
    let item = match name.as_str() {
        "MESSAGES" => StatusItem::Messages,
        "RECENT" => StatusItem::Recent,
        "UIDNEXT" => StatusItem::UidNext,
        "UIDVALIDITY" => StatusItem::UidValidity,
        "UNSEEN" => StatusItem::Unseen,
        "DELETED" => StatusItem::Deleted,
        "SIZE" => StatusItem::Size,
        "HIGHESTMODSEQ" => StatusItem::HighestModSeq,
        "APPENDLIMIT" => StatusItem::AppendLimit,
        "MAILBOXID" => StatusItem::MailboxId,
        "DELETED-STORAGE" => StatusItem::DeletedStorage,
        _ => return Err(expected(input, "a STATUS item")),
    };
    Ok((rest, item))
}

/// ```text
/// store           = "STORE" SP sequence-set [store-modifiers] SP store-att-flags
/// store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))
/// ```
fn store(uid: bool, input: &[u8]) -> Parsed<'_, Command> {
    let (rest, set) = preceded(sp, sequence_set).parse(input)?;
    let (rest, unchanged_since) = condstore::store_modifier(rest)?;
    let (rest, ()) = sp(rest)?;
    let (behind, action) = match rest.split_first() {
        Some((b'+', behind)) => (behind, StoreAction::Add),
        Some((b'-', behind)) => (behind, StoreAction::Remove),
        _ => (rest, StoreAction::Replace),
    };
    let (rest, silent) = expect(
        "FLAGS, +FLAGS or -FLAGS",
        preceded(tag_no_case("FLAGS"), opt(tag_no_case(".SILENT"))),
    )(behind)?;
    let (rest, flags) = preceded(sp, alt((flag_list, spaced1(flag)))).parse(rest)?;
    Ok((
        rest,
        Command::Store(Store {
            uid,
            set,
            unchanged_since,
            action,
            silent: silent.is_some(),
            flags,
        }),
    ))
}

/// `copy = "COPY" SP sequence-set SP mailbox`
fn copy<'a>(grammar: &Grammar, uid: bool, input: &'a [u8]) -> Parsed<'a, Command> {
    map(
        (
            preceded(sp, sequence_set),
            preceded(sp, |i| mailbox(grammar, i)),
        ),
        |(set, mailbox)| Command::Copy { uid, set, mailbox },
    )
    .parse(input)
}

/// `move = "MOVE" SP sequence-set SP mailbox` (RFC 6851)
fn move_messages<'a>(grammar: &Grammar, uid: bool, input: &'a [u8]) -> Parsed<'a, Command> {
    map(
        (
            preceded(sp, sequence_set),
            preceded(sp, |i| mailbox(grammar, i)),
        ),
        |(set, mailbox)| Command::Move { uid, set, mailbox },
    )
    .parse(input)
}
