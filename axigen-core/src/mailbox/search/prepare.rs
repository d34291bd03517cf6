//! A key of the command with its strings folded and its sets resolved.

use axigen_proto::imap::command::SearchKey;
use axigen_proto::imap::sequence::{NumberSet, SequenceSet};
use axigen_proto::imap::types::{Date, Flag};

use super::nearly::nearly;
use super::{Context, Key};
use crate::mailbox::needle::Needle;
use crate::mailbox::types::Flags;

pub(super) fn prepare(key: &SearchKey, context: &Context<'_>) -> Key {
    let has = Key::System;
    let lacks = |flag| Key::Not(Box::new(Key::System(flag)));
    let both = |a, b| Key::And(vec![a, b]);
    let recent = || Key::Recent(context.recent.clone());
    let day = |date: &Date| date.days();
    let header = |name: &str, text: &String| Key::Header(name.to_owned(), Needle::new(text));
    let addresses = |name: &'static str, text: &String| Key::Addresses(name, Needle::new(text));
    match key {
        SearchKey::And(keys) => Key::And(keys.iter().map(|key| prepare(key, context)).collect()),
        SearchKey::Not(key) => Key::Not(Box::new(prepare(key, context))),
        SearchKey::Fuzzy(key) => Key::Nearly(Box::new(nearly(key, context))),
        SearchKey::Or(a, b) => {
            Key::Or(Box::new(prepare(a, context)), Box::new(prepare(b, context)))
        }
        SearchKey::Sequence(SequenceSet::Saved) | SearchKey::Uid(SequenceSet::Saved) => {
            Key::Uid(context.saved.clone())
        }
        SearchKey::Sequence(set) => Key::Sequence(set.resolve(context.messages)),
        SearchKey::Uid(set) => Key::Uid(set.resolve(context.largest_uid)),
        SearchKey::All => Key::All,
        SearchKey::Answered => has(Flags::ANSWERED),
        SearchKey::Deleted => has(Flags::DELETED),
        SearchKey::Draft => has(Flags::DRAFT),
        SearchKey::Flagged => has(Flags::FLAGGED),
        SearchKey::Seen => has(Flags::SEEN),
        SearchKey::Unanswered => lacks(Flags::ANSWERED),
        SearchKey::Undeleted => lacks(Flags::DELETED),
        SearchKey::Undraft => lacks(Flags::DRAFT),
        SearchKey::Unflagged => lacks(Flags::FLAGGED),
        SearchKey::Unseen => lacks(Flags::SEEN),
        SearchKey::New => both(recent(), lacks(Flags::SEEN)),
        SearchKey::Old => Key::Not(Box::new(recent())),
        SearchKey::Recent => recent(),
        SearchKey::Keyword(flag) => keyword(flag),
        SearchKey::Unkeyword(flag) => Key::Not(Box::new(keyword(flag))),
        SearchKey::Bcc(text) => addresses("Bcc", text),
        SearchKey::Cc(text) => addresses("Cc", text),
        SearchKey::From(text) => addresses("From", text),
        SearchKey::Subject(text) => header("Subject", text),
        SearchKey::To(text) => addresses("To", text),
        SearchKey::Header(name, text) => header(name, text),
        SearchKey::Body(text) => Key::Body(Needle::new(text)),
        SearchKey::Text(text) => Key::Text(Needle::new(text)),
        SearchKey::Before(date) => Key::Internal(i64::MIN, day(date)),
        SearchKey::On(date) => Key::Internal(day(date), day(date) + 1),
        SearchKey::Since(date) => Key::Internal(day(date), i64::MAX),
        SearchKey::SentBefore(date) => Key::Sent(i64::MIN, day(date)),
        SearchKey::SentOn(date) => Key::Sent(day(date), day(date) + 1),
        SearchKey::SentSince(date) => Key::Sent(day(date), i64::MAX),
        // RFC 8514 §4.3: by the save date, whose zone is UTC here.
        SearchKey::SavedBefore(date) => Key::Saved(i64::MIN, day(date)),
        SearchKey::SavedOn(date) => Key::Saved(day(date), day(date) + 1),
        SearchKey::SavedSince(date) => Key::Saved(day(date), i64::MAX),
        SearchKey::SaveDateSupported => Key::All,
        // RFC 5032 §3: by the internal date, to the second.
        SearchKey::UidAfter(uid) => Key::Uid(range(uid.checked_add(1), Some(u32::MAX))),
        SearchKey::UidBefore(uid) => Key::Uid(range(Some(1), uid.checked_sub(1))),
        SearchKey::Younger(seconds) => Key::Arrived(context.now - i64::from(*seconds), i64::MAX),
        SearchKey::Older(seconds) => Key::Arrived(i64::MIN, context.now - i64::from(*seconds)),
        SearchKey::Larger(size) => Key::Larger(*size),
        SearchKey::Smaller(size) => Key::Smaller(*size),
        SearchKey::EmailId(id) => Key::EmailId(id.clone()),
        // Messages have no such identifier here: RFC 8474 §5.2.
        SearchKey::ThreadId(_) => Key::Not(Box::new(Key::All)),
        // One number for all flags: which of them is meant makes no difference.
        SearchKey::ModSeq { since, .. } => Key::Changed(*since),
    }
}

/// UIDs from one to another; none where an end is beyond all.
fn range(from: Option<u32>, to: Option<u32>) -> NumberSet {
    let mut set = NumberSet::new();
    if let (Some(from), Some(to)) = (from, to) {
        set.push_range(from, to);
    }
    set
}

fn keyword(flag: &Flag) -> Key {
    match flag {
        Flag::Answered => Key::System(Flags::ANSWERED),
        Flag::Flagged => Key::System(Flags::FLAGGED),
        Flag::Deleted => Key::System(Flags::DELETED),
        Flag::Seen => Key::System(Flags::SEEN),
        Flag::Draft => Key::System(Flags::DRAFT),
        Flag::Keyword(name) | Flag::Extension(name) => Key::Keyword(name.to_string()),
        Flag::Recent => Key::Keyword(String::new()),
    }
}
