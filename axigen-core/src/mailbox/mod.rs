//! Mailbox rules, written once above the store: mailboxes, items, flags, UIDs,
//! modification numbers, counters, quota.
//!
//! The public face is free of store keys: it is also the in-process API for
//! embedders.
//!
//! (Signatures agreed on first; bodies are written next, each in the file its
//! name suggests: append, select, flags, expunge, search, changes, quota.)

use std::sync::Arc;

use axigen_store::{AccountId, Store};
use bytes::Bytes;

/// Names a mailbox inside its account; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId(pub u32);

/// Names an item (one message) inside its account; never reused. Shown as EMAILID later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub u64);

/// What a mailbox is for (RFC 6154).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SpecialUse {
    All,
    Archive,
    Drafts,
    Flagged,
    Junk,
    Sent,
    Trash,
}

/// Flags of an item: system flags as bits, keywords by name (case preserved,
/// compared without case).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// See [`Flags::SEEN`] and the others.
    pub system: u8,
    /// Keywords, sorted, unique.
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
}

/// A mailbox as LIST, STATUS and SELECT show it. Counters come from the same
/// batch as the change that moved them; reading them never scans.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct MailboxInfo {
    pub id: MailboxId,
    /// Full name in UTF-8, levels separated by `/`; the inbox is `INBOX`.
    pub name: String,
    pub uid_validity: u32,
    pub uid_next: u32,
    pub highest_modseq: u64,
    pub messages: u32,
    pub unseen: u32,
    pub deleted: u32,
    pub size: u64,
    pub special_use: Option<SpecialUse>,
    pub subscribed: bool,
}

/// One message in a mailbox: all that FETCH needs without opening anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Row {
    pub uid: u32,
    pub item: ItemId,
    pub modseq: u64,
    pub flags: Flags,
    /// Seconds since 1970, and the zone it was given in, minutes east.
    pub internal_date: i64,
    pub internal_zone: i16,
    /// Size of the message in bytes (RFC822.SIZE).
    pub size: u64,
}

/// A message that goes into mailboxes.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct NewMessage {
    /// The whole message, CRLF line ends, as it will be read.
    pub raw: Bytes,
    pub internal_date: i64,
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
    /// Most bytes the account may hold after this; `None` is no limit.
    pub quota: Option<u64>,
}

/// A mailbox by id or by name.
#[derive(Debug, Clone)]
pub enum Place {
    /// By id; [`Error::NoSuchMailbox`] if it is gone.
    Id(MailboxId),
    /// By name, created if it is not there (delivery). INBOX always exists.
    Named(String),
}

/// Where a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Appended {
    pub mailbox: MailboxId,
    pub uid_validity: u32,
    pub uid: u32,
    pub item: ItemId,
    pub modseq: u64,
}

/// What became of copied or moved messages: source UID and its new one, in order.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Copied {
    pub uid_validity: u32,
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
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// The account's sequence number these changes lead up to.
    pub modseq: u64,
    /// Rows that are new or whose flags changed, by UID.
    pub rows: Vec<Row>,
    /// UIDs that are gone, ascending.
    pub vanished: Vec<u32>,
}

/// What can go wrong with a mailbox.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Error {
    #[error("there is no mailbox of that name")]
    NoSuchMailbox,
    #[error("a mailbox of that name exists already")]
    AlreadyExists,
    #[error("a mailbox name may not {0}")]
    BadName(&'static str),
    #[error("INBOX cannot be deleted")]
    InboxIsPermanent,
    /// Only for a name that is itself no mailbox any more (RFC 9051 §6.3.5).
    #[error("the name has children and is itself no mailbox")]
    HasChildren,
    #[error("the message is gone")]
    NoSuchMessage,
    #[error("a keyword may not {0}")]
    BadKeyword(&'static str),
    /// `target` is the index of the target whose quota is used up.
    #[error("the account is over its quota")]
    OverQuota { target: usize },
    #[error("too many {0}")]
    TooMany(&'static str),
    #[error(transparent)]
    Store(#[from] axigen_store::Error),
}
/// A result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// All mailboxes of all accounts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mailboxes {
    #[allow(dead_code)]
    store: Store,
}

#[allow(unused_variables, clippy::todo, missing_docs)]
impl Mailboxes {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    // --- mailboxes (folders.rs) ---
    /// Creates INBOX and the special-use mailboxes of a new account. Idempotent.
    pub async fn create_account(&self, account: AccountId) -> Result<()> {
        todo!()
    }
    /// Removes all of an account, blobs released.
    pub async fn remove_account(&self, account: AccountId) -> Result<()> {
        todo!()
    }
    /// All mailboxes by name (INBOX first), with counters.
    pub async fn list(&self, account: AccountId) -> Result<Vec<MailboxInfo>> {
        todo!()
    }
    /// Subscribed names, also of mailboxes that are gone (RFC 3501 §6.3.9).
    pub async fn subscriptions(&self, account: AccountId) -> Result<Vec<String>> {
        todo!()
    }
    /// By name; INBOX in any case.
    pub async fn find(&self, account: AccountId, name: &str) -> Result<MailboxInfo> {
        todo!()
    }
    pub async fn info(&self, account: AccountId, mailbox: MailboxId) -> Result<MailboxInfo> {
        todo!()
    }
    /// Creates a mailbox and its missing parents.
    pub async fn create(
        &self,
        account: AccountId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxInfo> {
        todo!()
    }
    pub async fn delete(&self, account: AccountId, name: &str) -> Result<()> {
        todo!()
    }
    /// Renames a mailbox and all below it; of INBOX, moves its messages (RFC 9051 §6.3.6).
    pub async fn rename(&self, account: AccountId, from: &str, to: &str) -> Result<()> {
        todo!()
    }
    pub async fn subscribe(&self, account: AccountId, name: &str, on: bool) -> Result<()> {
        todo!()
    }

    // --- messages in (append.rs) ---
    /// Puts one message into all targets: blob once, one batch, all or nothing, durable on Ok.
    /// Used by SMTP, LMTP, APPEND and everything else that brings a message.
    pub async fn append(&self, message: NewMessage, targets: &[Target]) -> Result<Vec<Appended>> {
        todo!()
    }

    // --- reading (select.rs, fetch.rs) ---
    /// All UIDs, ascending, and the modification number they stand for.
    pub async fn uids(&self, account: AccountId, mailbox: MailboxId) -> Result<(Vec<u32>, u64)> {
        todo!()
    }
    /// Rows of these UIDs (ascending); UIDs that are gone are left out. Work is proportional to `uids`;
    /// dense sets are read as one range.
    pub async fn rows(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
    ) -> Result<Vec<Row>> {
        todo!()
    }
    /// The structure record of an item, parsed at arrival (see `structure`).
    pub async fn structure(
        &self,
        account: AccountId,
        item: ItemId,
    ) -> Result<Arc<structure::Structure>> {
        todo!()
    }
    /// Structure records of many items in one read; `None` for an item that is gone.
    pub async fn structures(
        &self,
        account: AccountId,
        items: &[ItemId],
    ) -> Result<Vec<Option<Arc<structure::Structure>>>> {
        todo!()
    }
    /// Bytes of a message; the range is cut to its size.
    pub async fn body(
        &self,
        account: AccountId,
        item: ItemId,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes> {
        todo!()
    }
    /// First UID that no session has been told as \Recent; with `take`, marks all as told (RFC 3501 §2.3.2).
    pub async fn recent(&self, account: AccountId, mailbox: MailboxId, take: bool) -> Result<u32> {
        todo!()
    }
    /// What changed since `modseq`, from the change log; work proportional to the changes.
    pub async fn changes(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        modseq: u64,
    ) -> Result<Changes> {
        todo!()
    }
    /// Woken when anything of the account changes.
    pub fn watch(&self, account: AccountId) -> axigen_store::store::Watcher {
        self.store.watch(account)
    }

    // --- changing (flags.rs, copy.rs, expunge.rs) ---
    /// Changes flags; returns the rows as they are now (those still there). `unchanged_since` as in
    /// CONDSTORE: rows changed after it are left alone and returned in the second list.
    pub async fn store_flags(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
        change: &FlagChange,
        unchanged_since: Option<u64>,
    ) -> Result<(Vec<Row>, Vec<u32>)> {
        todo!()
    }
    /// Copies: new items on the same content, one batch. `quota` is the most bytes the account may
    /// hold afterwards, else [`Error::OverQuota`] with target 0.
    pub async fn copy(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: &[u32],
        to: MailboxId,
        quota: Option<u64>,
    ) -> Result<Copied> {
        todo!()
    }
    /// Moves: the items keep their ids and flags, one batch.
    pub async fn move_(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: &[u32],
        to: MailboxId,
    ) -> Result<Copied> {
        todo!()
    }
    /// Removes those of `uids` that carry \Deleted; `None` means all that carry it. Returns the UIDs removed.
    pub async fn expunge(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: Option<&[u32]>,
    ) -> Result<Vec<u32>> {
        todo!()
    }
    /// Removes these messages whatever their flags (POP3 QUIT), one batch.
    pub async fn remove(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
    ) -> Result<Vec<u32>> {
        todo!()
    }
    /// Bytes and messages the account holds.
    pub async fn usage(&self, account: AccountId) -> Result<(u64, u64)> {
        todo!()
    }
}

pub mod structure;
