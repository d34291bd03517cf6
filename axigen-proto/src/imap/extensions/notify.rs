//! NOTIFY ([RFC 5465](https://www.rfc-editor.org/rfc/rfc5465)): which changes a
//! client wants to hear of, and of which mailboxes.

use nom::Parser;
use nom::bytes::complete::{tag, tag_no_case};
use nom::combinator::{map, value};
use nom::sequence::{delimited, preceded};

use crate::imap::command::{Command, FetchAttribute};
use crate::imap::parse::Grammar;
use crate::imap::parse::fault::{Parsed, expect, refused};
use crate::imap::parse::fetch::attribute;
use crate::imap::parse::values::{list1, mailbox, sp, spaced1, word};
use crate::imap::response::{Code, Status};
use crate::imap::types::MailboxName;

/// Most groups of events in one command: each is held against every mailbox
/// that changes.
const GROUPS: usize = 64;

/// What NOTIFY asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notify {
    /// NONE: no word of anything.
    Silent,
    /// SET.
    Set {
        /// Whether a STATUS response is wanted now for each mailbox that is watched.
        status: bool,
        /// What is watched, at least one.
        groups: Vec<EventGroup>,
    },
}

/// Mailboxes, and what of them is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventGroup {
    /// Which mailboxes.
    pub mailboxes: NotifyMailboxes,
    /// Which events; none for NONE.
    pub events: Vec<NotifyEvent>,
}

/// `filter-mailboxes`, of NOTIFY and of ESEARCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyMailboxes {
    /// The one that is open, at once.
    Selected,
    /// The one that is open, but EXPUNGE only where it does not shift the
    /// numbers in a command.
    SelectedDelayed,
    /// Those that mail is delivered to.
    Inboxes,
    /// All of the user's own.
    Personal,
    /// Those that are subscribed.
    Subscribed,
    /// These and all below them.
    Subtree(Vec<MailboxName>),
    /// These and those one level below them; of ESEARCH
    /// ([RFC 7377 §2.2](https://www.rfc-editor.org/rfc/rfc7377#section-2.2)).
    SubtreeOne(Vec<MailboxName>),
    /// These.
    Mailboxes(Vec<MailboxName>),
}

/// `event`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyEvent {
    /// A message came. Of the open mailbox, these items are to be told of it.
    MessageNew(Vec<FetchAttribute>),
    /// A message is gone.
    MessageExpunge,
    /// Flags changed.
    FlagChange,
    /// A mailbox was made, removed or renamed.
    MailboxName,
    /// A subscription changed.
    SubscriptionChange,
    /// Entries of a mailbox changed (RFC 5464).
    MailboxMetadataChange,
    /// Entries of the server changed (RFC 5464).
    ServerMetadataChange,
}

impl NotifyEvent {
    /// Names of the events that are known.
    pub const NAMES: [&str; 7] = [
        "MessageNew",
        "MessageExpunge",
        "FlagChange",
        "MailboxName",
        "SubscriptionChange",
        "MailboxMetadataChange",
        "ServerMetadataChange",
    ];

    /// Its name in commands.
    pub fn as_str(&self) -> &'static str {
        match self {
            NotifyEvent::MessageNew(_) => "MessageNew",
            NotifyEvent::MessageExpunge => "MessageExpunge",
            NotifyEvent::FlagChange => "FlagChange",
            NotifyEvent::MailboxName => "MailboxName",
            NotifyEvent::SubscriptionChange => "SubscriptionChange",
            NotifyEvent::MailboxMetadataChange => "MailboxMetadataChange",
            NotifyEvent::ServerMetadataChange => "ServerMetadataChange",
        }
    }

    fn is_of_messages(&self) -> bool {
        !matches!(
            self,
            NotifyEvent::MailboxName
                | NotifyEvent::SubscriptionChange
                | NotifyEvent::MailboxMetadataChange
                | NotifyEvent::ServerMetadataChange
        )
    }
}

impl NotifyMailboxes {
    fn is_selected(&self) -> bool {
        matches!(
            self,
            NotifyMailboxes::Selected | NotifyMailboxes::SelectedDelayed
        )
    }
}

/// ```text
/// notify     = "NOTIFY" SP (notify-set / "NONE")
/// notify-set = "SET" [SP "STATUS"] SP event-group *(SP event-group)
/// ```
pub(crate) fn notify<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Command> {
    let (start, ()) = sp(input)?;
    let (rest, name) = expect("SET or NONE", word)(start)?;
    match name.as_str() {
        "NONE" => return Ok((rest, Command::Notify(Notify::Silent))),
        "SET" => {}
        _ => return Err(refused(start, Status::bad("Expected SET or NONE"))),
    }
    let (rest, ()) = sp(rest)?;
    let (rest, status) = match rest.first() {
        Some(b'(') => (rest, false),
        _ => (
            expect("STATUS or a group of events", tag_no_case("STATUS")),
            sp,
        )
            .map(|_| true)
            .parse(rest)?,
    };
    let (rest, groups) = spaced1(|i| group(grammar, i))(rest)?;
    if groups.len() > GROUPS {
        let status = Status::no("NOTIFY holds more than 64 groups of events");
        return Err(refused(input, status.with(Code::NotificationOverflow)));
    }
    // RFC 5465 §6.1
    let selected = groups.iter().filter(|group| group.mailboxes.is_selected());
    if selected.count() > 1 {
        return Err(refused(
            input,
            Status::bad("The open mailbox can be named only once"),
        ));
    }
    Ok((rest, Command::Notify(Notify::Set { status, groups })))
}

/// `event-group = "(" filter-mailboxes SP events ")"`
fn group<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, EventGroup> {
    let inside = (
        |i| filter_mailboxes(grammar, i),
        preceded(sp, expect("a list of events or NONE", events)),
    );
    let (rest, (mailboxes, events)) =
        delimited(expect("(", tag("(")), inside, expect(")", tag(")"))).parse(input)?;
    if matches!(mailboxes, NotifyMailboxes::SubtreeOne(_)) {
        let status = Status::bad("subtree-one is for ESEARCH only");
        return Err(refused(input, status));
    }
    let has = |wanted: &str| events.iter().any(|event| event.as_str() == wanted);
    let (new, gone) = (has("MessageNew"), has("MessageExpunge"));
    // RFC 5465 §5
    if new != gone || (has("FlagChange") && !new) {
        return Err(refused(
            input,
            Status::bad("MessageNew and MessageExpunge go together, and FlagChange with both"),
        ));
    }
    let asks_items =
        |event: &NotifyEvent| matches!(event, NotifyEvent::MessageNew(items) if !items.is_empty());
    let why = match mailboxes.is_selected() {
        // RFC 5465 §6.1
        true if !events.iter().all(NotifyEvent::is_of_messages) => {
            "Of the open mailbox only messages can be watched"
        }
        // RFC 5465 §8
        false if events.iter().any(asks_items) => {
            "Items of new messages are told of the open mailbox only"
        }
        _ => return Ok((rest, EventGroup { mailboxes, events })),
    };
    Err(refused(input, Status::bad(why)))
}

/// ```text
/// filter-mailboxes = "selected" / "selected-delayed" / "inboxes" / "personal" / "subscribed" /
///                    ("subtree" SP one-or-more-mailbox) /
///                    ("subtree-one" SP one-or-more-mailbox) /
///                    ("mailboxes" SP one-or-more-mailbox)
/// ```
pub(crate) fn filter_mailboxes<'a>(
    grammar: &Grammar,
    input: &'a [u8],
) -> Parsed<'a, NotifyMailboxes> {
    let (rest, name) = expect("which mailboxes", word)(input)?;
    let names = |i: &'a [u8]| -> Parsed<'a, Vec<MailboxName>> {
        let (rest, ()) = sp(i)?;
        match rest.first() {
            Some(b'(') => list1(|i| mailbox(grammar, i))(rest),
            _ => map(|i| mailbox(grammar, i), |name| vec![name]).parse(rest),
        }
    };
    let filter = match name.as_str() {
        "SELECTED" => NotifyMailboxes::Selected,
        "SELECTED-DELAYED" => NotifyMailboxes::SelectedDelayed,
        "INBOXES" => NotifyMailboxes::Inboxes,
        "PERSONAL" => NotifyMailboxes::Personal,
        "SUBSCRIBED" => NotifyMailboxes::Subscribed,
        "SUBTREE-ONE" => return map(names, NotifyMailboxes::SubtreeOne).parse(rest),
        "SUBTREE" => return map(names, NotifyMailboxes::Subtree).parse(rest),
        "MAILBOXES" => return map(names, NotifyMailboxes::Mailboxes).parse(rest),
        _ => return Err(refused(input, Status::bad("Unknown choice of mailboxes"))),
    };
    Ok((rest, filter))
}

/// `events = ("(" event *(SP event) ")") / "NONE"`
fn events(input: &[u8]) -> Parsed<'_, Vec<NotifyEvent>> {
    match input.first() {
        Some(b'(') => list1(event)(input),
        _ => value(Vec::new(), tag_no_case("NONE")).parse(input),
    }
}

/// ```text
/// message-event = "MessageNew" [SP "(" fetch-att *(SP fetch-att) ")"] / "MessageExpunge" /
///                 "FlagChange" / "AnnotationChange"
/// ```
fn event(input: &[u8]) -> Parsed<'_, NotifyEvent> {
    let (rest, name) = expect("an event", word)(input)?;
    let event = match name.as_str() {
        "MESSAGENEW" if rest.starts_with(b" (") => {
            let items = preceded(sp, list1(attribute));
            return map(items, NotifyEvent::MessageNew).parse(rest);
        }
        "MESSAGENEW" => NotifyEvent::MessageNew(Vec::new()),
        "MESSAGEEXPUNGE" => NotifyEvent::MessageExpunge,
        "FLAGCHANGE" => NotifyEvent::FlagChange,
        "MAILBOXNAME" => NotifyEvent::MailboxName,
        "SUBSCRIPTIONCHANGE" => NotifyEvent::SubscriptionChange,
        "MAILBOXMETADATACHANGE" => NotifyEvent::MailboxMetadataChange,
        "SERVERMETADATACHANGE" => NotifyEvent::ServerMetadataChange,
        // RFC 5465 §3.1: NO, and the names of those that are known.
        _ => {
            return Err(refused(
                input,
                Status::no("This event is not known here").with(Code::BadEvent),
            ));
        }
    };
    Ok((rest, event))
}
