//! The values the mailbox API speaks in.

use std::sync::Arc;

use axigen_proto::imap::sequence::NumberSet;
use axigen_store::AccountId;
use bytes::Bytes;

/// Names a mailbox inside its account; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId(pub u32);

/// Names an item (one message) inside its account; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub u64);

/// What a mailbox is for
/// ([RFC 6154 §2](https://www.rfc-editor.org/rfc/rfc6154#section-2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialUse {
    /// `\All`
    All,
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Flagged`
    Flagged,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

/// Flags of an item: system flags as bits, keywords by name (case preserved,
/// compared without case).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// See [`Flags::SEEN`] and the others.
    pub system: u8,
    /// Keywords, sorted without case, unique.
    pub keywords: Vec<Arc<str>>,
}

impl Flags {
    /// `\Seen`
    pub const SEEN: u8 = 1;
    /// `\Answered`
    pub const ANSWERED: u8 = 2;
    /// `\Flagged`
    pub const FLAGGED: u8 = 4;
    /// `\Deleted`
    pub const DELETED: u8 = 8;
    /// `\Draft`
    pub const DRAFT: u8 = 16;
    /// All system flags.
    pub const SYSTEM: u8 = 31;

    /// System flags and keywords in any order; of keywords that differ in case
    /// only, the first stays.
    pub fn new(system: u8, keywords: impl IntoIterator<Item = Arc<str>>) -> Self {
        let mut flags = Flags {
            system: system & Flags::SYSTEM,
            keywords: keywords.into_iter().collect(),
        };
        flags
            .keywords
            .sort_by_cached_key(|word| word.to_ascii_lowercase());
        flags
            .keywords
            .dedup_by(|later, first| later.eq_ignore_ascii_case(first));
        flags
    }

    /// Whether all these system flags are set.
    pub fn has(&self, system: u8) -> bool {
        self.system & system == system
    }

    /// Whether the keyword is set, in any case.
    pub fn has_keyword(&self, keyword: &str) -> bool {
        self.keywords
            .iter()
            .any(|word| word.eq_ignore_ascii_case(keyword))
    }
}

impl From<u8> for Flags {
    /// System flags only.
    fn from(system: u8) -> Self {
        Flags {
            system: system & Flags::SYSTEM,
            keywords: Vec::new(),
        }
    }
}

/// A mailbox as LIST, STATUS and SELECT show it. Counters come from the same
/// batch as the change that moved them; reading them never scans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxInfo {
    /// Its name for this program.
    pub id: MailboxId,
    /// Full name in UTF-8, levels separated by `/`; the inbox is `INBOX`.
    pub name: String,
    /// Grows with every mailbox made in the account, so that a name that is
    /// deleted and made again never shows its old value.
    pub uid_validity: u32,
    /// The UID the next message will get, or a smaller one that is given.
    pub uid_next: u32,
    /// The modification number of the last change in the mailbox.
    pub highest_modseq: u64,
    /// How many messages.
    pub messages: u32,
    /// How many without `\Seen`.
    pub unseen: u32,
    /// How many with `\Deleted`.
    pub deleted: u32,
    /// Bytes of all messages.
    pub size: u64,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
    /// Whether its name is subscribed.
    pub subscribed: bool,
}

/// One message in a mailbox: all that FETCH needs without opening anything
/// else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its UID, unique and ascending in the mailbox.
    pub uid: u32,
    /// The item, for structure and content.
    pub item: ItemId,
    /// The modification number of its last change.
    pub modseq: u64,
    /// Its flags.
    pub flags: Flags,
    /// Seconds since 1970.
    pub internal_date: i64,
    /// The zone the date was given in, minutes east.
    pub internal_zone: i16,
    /// Size of the message in bytes (RFC822.SIZE).
    pub size: u64,
    /// When it came into this mailbox, in seconds since 1970 (RFC 8514).
    pub saved: i64,
}

/// A message that goes into mailboxes.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// The whole message, CRLF line ends, as it will be read.
    pub raw: Bytes,
    /// Seconds since 1970.
    pub internal_date: i64,
    /// The zone the date was given in, minutes east.
    pub internal_zone: i16,
}

/// Where a message goes.
#[derive(Debug, Clone)]
pub struct Target {
    /// Whose mailbox.
    pub account: AccountId,
    /// Which mailbox.
    pub mailbox: Place,
    /// Flags the message begins with.
    pub flags: Flags,
    /// What the account may hold after this.
    pub quota: Quota,
}

/// What an account may hold; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of all messages.
    pub bytes: Option<u64>,
    /// How many messages.
    pub messages: Option<u64>,
}

impl Quota {
    /// No limit.
    pub const NONE: Quota = Quota {
        bytes: None,
        messages: None,
    };

    /// A limit on bytes alone.
    pub fn of_bytes(bytes: u64) -> Quota {
        Quota {
            bytes: Some(bytes),
            ..Quota::NONE
        }
    }

    /// Whether an account that holds so many bytes and messages may get so
    /// many more.
    pub fn admits(&self, held: (u64, u64), more: (u64, u64)) -> bool {
        let within = |limit: Option<u64>, held: u64, more: u64| {
            limit.is_none_or(|limit| held.saturating_add(more) <= limit)
        };
        within(self.bytes, held.0, more.0) && within(self.messages, held.1, more.1)
    }
}

/// The message that another one replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaces {
    /// Whose mailbox it is in.
    pub account: AccountId,
    /// Which mailbox.
    pub mailbox: MailboxId,
    /// Its UID there.
    pub uid: u32,
}

/// A mailbox by id or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// By id; [`Error::NoSuchMailbox`](super::Error::NoSuchMailbox) if it is
    /// gone.
    Id(MailboxId),
    /// By name, created with its parents if it is not there (delivery). INBOX
    /// always exists.
    Named(String),
}

/// Where a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Its UID validity.
    pub uid_validity: u32,
    /// The message's UID there.
    pub uid: u32,
    /// The item made for it.
    pub item: ItemId,
    /// The account's modification number of this change.
    pub modseq: u64,
}

/// What became of copied or moved messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// UID validity of the mailbox they went to.
    pub uid_validity: u32,
    /// Source UID and the new one, both ascending.
    pub uids: Vec<(u32, u32)>,
}

/// How flags change.
#[derive(Debug, Clone)]
pub enum FlagChange {
    /// Exactly these.
    Replace(Flags),
    /// These as well.
    Add(Flags),
    /// Without these.
    Remove(Flags),
}

/// What changed in a mailbox since a modification number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The account's sequence number these changes lead up to. A row may be
    /// newer than this; it is then reported again the next time.
    pub modseq: u64,
    /// Rows that are new or whose flags changed, by UID.
    pub rows: Vec<Row>,
    /// UIDs that are gone; some may be of messages that came and went in
    /// between.
    pub vanished: NumberSet,
    /// The number of the mailbox's last change among these, or before them.
    pub highest_modseq: u64,
}

/// Which messages of a mailbox a stretch of changes is about, without their rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// The account's sequence number these changes lead up to.
    pub modseq: u64,
    /// The number of the mailbox's last change among these, or before them.
    pub highest_modseq: u64,
    /// The last UID that was given.
    pub last_uid: u32,
    /// UIDs that came or whose flags changed, ascending. Where the log does
    /// not reach back far enough, all that are there.
    pub changed: Vec<u32>,
    /// UIDs that are gone, or where the log does not reach back, all that are
    /// not there.
    pub vanished: NumberSet,
}

/// What a change of flags did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flagged {
    /// The messages as they are now, ascending; those that are gone are left out.
    pub rows: Vec<Row>,
    /// The modification number each of them had before.
    pub before: Vec<u64>,
    /// UIDs left alone because they had changed meanwhile.
    pub modified: Vec<u32>,
}

/// Limits of an account's mailboxes, and where UID validity begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What names of new mailboxes may be.
    pub names: super::names::Limits,
    /// Most mailboxes of an account.
    pub mailboxes: u32,
    /// Most keywords ever used in an account; they are never forgotten.
    pub keywords: u16,
    /// The smallest UID validity a new mailbox gets; `None` means the time in
    /// seconds, so that an account made anew under an old address never shows
    /// a value that a client still remembers.
    pub uid_validity: Option<u32>,
    /// Rows of one block of a mailbox.
    pub block_rows: usize,
    /// When so many rows of one block change at once, the block is written
    /// again: a row that stands beside it takes more room than five in it, and
    /// the next fold would write the block, too.
    pub rewrite_at: usize,
    /// So many rows of a mailbox stand by themselves before they are folded
    /// into blocks in the background.
    pub fold_at: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            names: super::names::Limits::default(),
            mailboxes: 10_000,
            keywords: 1000,
            uid_validity: None,
            block_rows: 512,
            rewrite_at: 16,
            fold_at: 2048,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_sorted_and_unique_without_case() {
        let flags = Flags::new(0xff, ["b".into(), "A".into(), "a".into(), "$c".into()]);
        assert_eq!(flags.system, Flags::SYSTEM);
        let words: Vec<&str> = flags.keywords.iter().map(|word| &**word).collect();
        assert_eq!(words, ["$c", "A", "b"]);
        assert!(flags.has_keyword("B") && !flags.has_keyword("d"));
        assert!(flags.has(Flags::SEEN | Flags::DRAFT));
        assert!(!Flags::from(Flags::SEEN).has(Flags::SEEN | Flags::DRAFT));
    }
}
