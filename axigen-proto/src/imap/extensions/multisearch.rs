//! MULTISEARCH ([RFC 7377](https://www.rfc-editor.org/rfc/rfc7377)): a search in
//! several mailboxes, which need not be open.

use nom::Parser;
use nom::bytes::complete::{tag, tag_no_case};
use nom::combinator::{cut, map, opt};
use nom::sequence::delimited;

use super::esearch;
use super::notify::{NotifyMailboxes, filter_mailboxes};
use crate::imap::command::{Command, FetchAttribute, SearchKey, SearchReturn};
use crate::imap::parse::Grammar;
use crate::imap::parse::fault::{Parsed, expect, refused};
use crate::imap::parse::search::program;
use crate::imap::parse::values::sp;
use crate::imap::response::Status;
use crate::imap::sequence::SequenceSet;
use crate::imap::types::MailboxName;

/// ESEARCH. What it finds is always told by UIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultiSearch {
    /// In which mailboxes, at least one choice; the open one if IN was not given.
    pub sources: Vec<NotifyMailboxes>,
    /// RETURN options; ALL if RETURN was not given.
    pub returns: SearchReturn,
    /// What of new messages among the results is told, with UPDATE (RFC 5465 §7).
    pub update_items: Vec<FetchAttribute>,
    /// What to look for; several keys all have to match.
    pub keys: Vec<SearchKey>,
}

impl MultiSearch {
    /// Whether the open mailbox is asked for by that, not by its name.
    pub fn names_selected(&self) -> bool {
        self.sources.contains(&NotifyMailboxes::Selected)
    }

    /// Whether it needs a mailbox that is open
    /// ([RFC 7377 §2.2](https://www.rfc-editor.org/rfc/rfc7377#section-2.2)).
    pub fn needs_selected(&self) -> bool {
        self.names_selected() || self.returns.update
    }
}

/// What correlates a response with a mailbox
/// ([RFC 7377 §2.1](https://www.rfc-editor.org/rfc/rfc7377#section-2.1)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundIn {
    /// MAILBOX
    pub mailbox: MailboxName,
    /// UIDVALIDITY
    pub uid_validity: u32,
}

/// ```text
/// esearch             = "ESEARCH" [SP esearch-source-opts] [SP search-return-opts]
///                       SP search-program
/// esearch-source-opts = "IN" SP "(" source-mbox [SP "(" scope-options ")"] ")"
/// source-mbox         = filter-mailboxes *(SP filter-mailboxes)
/// ```
pub(crate) fn esearch<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Command> {
    let (rest, sources) = opt(|i| sources(grammar, i)).parse(input)?;
    let (rest, (returns, update_items)) = esearch::returns(rest)?;
    let (rest, keys) = program(grammar, rest)?;
    esearch::check_relevancy(input, returns, false, &keys)?;
    let search = MultiSearch {
        sources: sources.unwrap_or_else(|| vec![NotifyMailboxes::Selected]),
        returns: returns.unwrap_or(SearchReturn {
            all: true,
            ..SearchReturn::default()
        }),
        update_items,
        keys,
    };
    // RFC 7377 §2.2: what SAVE keeps, and `$` names, is in the open mailbox.
    let saved = |key: &SearchKey| {
        matches!(
            key,
            SearchKey::Sequence(SequenceSet::Saved) | SearchKey::Uid(SequenceSet::Saved)
        )
    };
    let only_selected = search
        .sources
        .iter()
        .all(|source| *source == NotifyMailboxes::Selected);
    let why = match only_selected {
        false if search.returns.save => "SAVE is for the open mailbox alone",
        false if search.keys.iter().any(|key| key.any(&saved)) => {
            "$ names messages of the open mailbox alone"
        }
        _ => return Ok((rest, Command::MultiSearch(search))),
    };
    Err(refused(input, Status::bad(why)))
}

/// `[SP esearch-source-opts] SP search-return-opts`
pub(crate) fn return_options<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, SearchReturn> {
    let (rest, _) = opt(|i| sources(grammar, i)).parse(input)?;
    map(esearch::return_options, |(returns, _)| returns).parse(rest)
}

/// `SP esearch-source-opts`. No scope options are known.
fn sources<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Vec<NotifyMailboxes>> {
    let (rest, _) = (sp, tag_no_case("IN"), sp).parse(input)?;
    let list = |input: &'a [u8]| -> Parsed<'a, Vec<NotifyMailboxes>> {
        let (mut rest, first) = source(grammar, input)?;
        let mut all = vec![first];
        while let Some(next) = rest.strip_prefix(b" ") {
            if next.starts_with(b"(") {
                let status = Status::bad("Scope options are not known here");
                return Err(refused(next, status));
            }
            let (behind, source) = source(grammar, next)?;
            all.push(source);
            rest = behind;
        }
        Ok((rest, all))
    };
    // Behind IN nothing else can be meant.
    cut(delimited(
        expect("(", tag("(")),
        list,
        expect(")", tag(")")),
    ))
    .parse(rest)
}

/// `filter-mailboxes`, of which `selected-delayed` makes no sense here.
fn source<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, NotifyMailboxes> {
    let (rest, source) = filter_mailboxes(grammar, input)?;
    if source == NotifyMailboxes::SelectedDelayed {
        let status = Status::bad("selected-delayed is for NOTIFY only");
        return Err(refused(input, status));
    }
    Ok((rest, source))
}
