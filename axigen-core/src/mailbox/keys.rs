//! The keys of an account's mailboxes.
//!
//! The first byte says what a key is; this module owns 0x10 to 0x2f inside an
//! account's range. Numbers are big-endian, so keys sort as numbers do.
//!
//! | key | value |
//! |---|---|
//! | `10 which` | a counter of the account |
//! | `11 name` | mailbox id (4 bytes) |
//! | `12 mailbox` | the mailbox's record, see [`folders`](super::folders) |
//! | `13 mailbox which` | a counter of the mailbox |
//! | `14 mailbox uid` | a message in a mailbox, see [`row`](super::row) |
//! | `15 mailbox uid` | nothing: the message carries `\Deleted` |
//! | `16 item` | blob and structure of an item, see [`item`](super::item) |
//! | `17 seq ordinal` | what a change changed, see [`log`](super::log) |
//! | `18 word` | a keyword's name |
//! | `19 name` | nothing: the name is subscribed |
//! | `1a mailbox` | nothing: deleted, its messages are being removed |
//! | `1b mailbox uid` | the UIDs of a block, see [`block`](super::block) |
//! | `1c mailbox uid` | the rows of a block |
//! | `1d mailbox uid` | nothing: the message is in a block but removed |
//! | `1e` | in the system's range only: see [`follow`](super::follow) |
//! | `20 mailbox` | who may do what with it, see [`acl`](super::acl) |
//! | `21 mailbox reader uid` | what another account has of `\Seen`, see [`seen`](super::seen) |
//! | `22 mailbox` | how often that changed |
//! | `22 mailbox reader` | how many messages the reader has seen |
//! | `24 mailbox reader name` | a note about the mailbox, see [`annotations`](super::annotations) |
//! | `25 name` | a private note of the account itself |
//! | `26` | since when the account is full, see [`quota`](super::quota) |
//! | `27 owner mailbox` | the account's key for URLs into the mailbox, see [`access_keys`](super::access_keys) |
//! | `23 owner` | the owner shares mailboxes with this account; in the system's range, with everyone |

use axigen_store::{AccountId, Key, Patch, Slot, Template};
use bytes::Bytes;

use super::types::{ItemId, MailboxId};

/// First and end (exclusive) of all keys of this module.
pub(super) const ALL: (u8, u8) = (0x10, 0x30);
const ACCOUNT: u8 = 0x10;
pub(super) const NAME: u8 = 0x11;
pub(super) const MAILBOX: u8 = 0x12;
pub(super) const COUNTER: u8 = 0x13;
pub(super) const ROW: u8 = 0x14;
pub(super) const DELETED: u8 = 0x15;
pub(super) const ITEM: u8 = 0x16;
pub(super) const LOG: u8 = 0x17;
pub(super) const WORD: u8 = 0x18;
pub(super) const SUBSCRIPTION: u8 = 0x19;
pub(super) const CONDEMNED: u8 = 0x1a;
pub(super) const BLOCK_UIDS: u8 = 0x1b;
pub(super) const BLOCK_ROWS: u8 = 0x1c;
pub(super) const GONE: u8 = 0x1d;
const EPOCH: u8 = 0x1e;
pub(super) const BLOCK_BRIEFS: u8 = 0x1f;
pub(super) const ACCESS: u8 = 0x20;
pub(super) const SEEN: u8 = 0x21;
pub(super) const READER: u8 = 0x22;
pub(super) const SHARED: u8 = 0x23;
pub(super) const ANNOTATION: u8 = 0x24;
pub(super) const ACCOUNT_ANNOTATION: u8 = 0x25;
const FULL: u8 = 0x26;
pub(super) const ACCESS_KEY: u8 = 0x27;
/// Where the name begins in a key of [`annotation`].
pub(super) const ANNOTATION_NAME: usize = 13;

/// A counter of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    /// The last item id given.
    Item = 0,
    /// The last mailbox id given.
    Mailbox = 1,
    /// The last UID validity given.
    Validity = 2,
    /// How many mailboxes.
    Mailboxes = 3,
    /// Bytes of all messages.
    Bytes = 4,
    /// How many messages.
    Messages = 5,
    /// How many subscribed names.
    Subscriptions = 6,
    /// Changes up to this one are no longer in the log.
    Floor = 7,
}

/// A counter of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counter {
    /// The last UID given.
    LastUid = 0,
    /// How many messages.
    Messages = 1,
    /// How many without `\Seen`.
    Unseen = 2,
    /// How many with `\Deleted`.
    Deleted = 3,
    /// Bytes of all messages.
    Size = 4,
    /// The last change's number.
    Modseq = 5,
    /// The first UID that no session was told of.
    Recent = 6,
}

/// All counters of a mailbox, in the order of their keys.
pub(super) const COUNTERS: [Counter; 7] = [
    Counter::LastUid,
    Counter::Messages,
    Counter::Unseen,
    Counter::Deleted,
    Counter::Size,
    Counter::Modseq,
    Counter::Recent,
];

pub(super) fn account(which: Account) -> Key {
    Bytes::copy_from_slice(&[ACCOUNT, which as u8])
}

pub(super) fn name(name: &str) -> Key {
    tagged(NAME, name.as_bytes())
}

pub(super) fn mailbox(id: MailboxId) -> Key {
    tagged(MAILBOX, &id.0.to_be_bytes())
}

pub(super) fn counter(id: MailboxId, which: Counter) -> Key {
    let mut key = Vec::with_capacity(6);
    key.push(COUNTER);
    key.extend_from_slice(&id.0.to_be_bytes());
    key.push(which as u8);
    key.into()
}

pub(super) fn row(id: MailboxId, uid: u32) -> Key {
    in_mailbox(ROW, id, uid)
}

/// `first` is the block's own key.
pub(super) fn block_uids(id: MailboxId, first: u32) -> Key {
    in_mailbox(BLOCK_UIDS, id, first)
}

pub(super) fn block_rows(id: MailboxId, first: u32) -> Key {
    in_mailbox(BLOCK_ROWS, id, first)
}

pub(super) fn block_briefs(id: MailboxId, first: u32) -> Key {
    in_mailbox(BLOCK_BRIEFS, id, first)
}

/// The mark of a message that is in a block but removed.
pub(super) fn gone(id: MailboxId, uid: u32) -> Key {
    in_mailbox(GONE, id, uid)
}

pub(super) fn deleted(id: MailboxId, uid: u32) -> Key {
    in_mailbox(DELETED, id, uid)
}

/// The key of a row (or, with [`DELETED`], of its mark) whose UID is given at
/// commit.
pub(super) fn new_in_mailbox(tag: u8, id: MailboxId, uid: Slot) -> Template {
    Template {
        bytes: in_mailbox(tag, id, 0),
        patches: vec![Patch {
            at: 5,
            width: 4,
            slot: uid,
        }],
    }
}

pub(super) fn item(id: ItemId) -> Key {
    tagged(ITEM, &id.0.to_be_bytes())
}

/// The key of an item whose id is given at commit.
pub(super) fn new_item(id: Slot) -> Template {
    Template {
        bytes: item(ItemId(0)),
        patches: vec![Patch {
            at: 1,
            width: 8,
            slot: id,
        }],
    }
}

/// The first key of a change's records.
pub(super) fn log(seq: u64) -> Key {
    tagged(LOG, &seq.to_be_bytes())
}

/// Of the system, not of an account.
pub(super) fn epoch() -> Key {
    Bytes::copy_from_slice(&[EPOCH])
}

/// The change a record's key belongs to.
pub(super) fn log_seq(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*key.get(1..)?.first_chunk::<8>()?))
}

/// The key of a record of the change that is being committed.
pub(super) fn new_log(ordinal: u16) -> Template {
    let mut key = Vec::with_capacity(11);
    key.push(LOG);
    key.extend_from_slice(&[0; 8]);
    key.extend_from_slice(&ordinal.to_be_bytes());
    Template {
        bytes: key.into(),
        patches: vec![Patch {
            at: 1,
            width: 8,
            slot: Slot::Seq,
        }],
    }
}

pub(super) fn word(id: u16) -> Key {
    tagged(WORD, &id.to_be_bytes())
}

pub(super) fn subscription(name: &str) -> Key {
    tagged(SUBSCRIPTION, name.as_bytes())
}

pub(super) fn condemned(id: MailboxId) -> Key {
    tagged(CONDEMNED, &id.0.to_be_bytes())
}

/// Who may do what with a mailbox.
pub(super) fn access(id: MailboxId) -> Key {
    tagged(ACCESS, &id.0.to_be_bytes())
}

/// Whether a reader has seen a message.
pub(super) fn seen(id: MailboxId, reader: AccountId, uid: u32) -> Key {
    let mut key = Vec::with_capacity(17);
    key.push(SEEN);
    key.extend_from_slice(&id.0.to_be_bytes());
    key.extend_from_slice(&reader.0.to_be_bytes());
    key.extend_from_slice(&uid.to_be_bytes());
    key.into()
}

/// How often it changed what readers have seen of a mailbox.
pub(super) fn readers(id: MailboxId) -> Key {
    tagged(READER, &id.0.to_be_bytes())
}

/// How many messages of a mailbox a reader has seen.
pub(super) fn reader(id: MailboxId, reader: AccountId) -> Key {
    let mut key = Vec::with_capacity(13);
    key.push(READER);
    key.extend_from_slice(&id.0.to_be_bytes());
    key.extend_from_slice(&reader.0.to_be_bytes());
    key.into()
}

/// The mailbox in a key.
pub(super) fn mailbox_of(key: &[u8]) -> Option<u32> {
    key.get(1..5).and_then(trailing_u32)
}

/// The reader in a key of [`seen`] and [`reader`]; `None` for that of [`readers`].
pub(super) fn reader_of(key: &[u8]) -> Option<AccountId> {
    Some(AccountId(u64::from_be_bytes(
        *key.get(5..)?.first_chunk::<8>()?,
    )))
}

/// An owner shares mailboxes.
pub(super) fn shared(owner: AccountId) -> Key {
    tagged(SHARED, &owner.0.to_be_bytes())
}

/// A note about a mailbox; reader 0 is everyone.
pub(super) fn annotation(id: MailboxId, reader: AccountId, name: &str) -> Key {
    let mut key = Vec::with_capacity(ANNOTATION_NAME + name.len());
    key.push(ANNOTATION);
    key.extend_from_slice(&id.0.to_be_bytes());
    key.extend_from_slice(&reader.0.to_be_bytes());
    key.extend_from_slice(name.as_bytes());
    key.into()
}

/// First and end of a reader's notes about a mailbox. Names begin with `/`.
pub(super) fn annotations(id: MailboxId, reader: AccountId) -> (Key, Key) {
    (annotation(id, reader, "/"), annotation(id, reader, "0"))
}

/// A private note of the account itself.
pub(super) fn account_annotation(name: &str) -> Key {
    tagged(ACCOUNT_ANNOTATION, name.as_bytes())
}

/// Since when the account is full.
pub(super) fn full() -> Key {
    Bytes::copy_from_slice(&[FULL])
}

/// The key by which an account makes URLs into a mailbox.
pub(super) fn access_key(owner: AccountId, id: MailboxId) -> Key {
    let mut key = Vec::with_capacity(13);
    key.push(ACCESS_KEY);
    key.extend_from_slice(&owner.0.to_be_bytes());
    key.extend_from_slice(&id.0.to_be_bytes());
    key.into()
}

/// First and end of all keys with a tag.
pub(super) fn all(tag: u8) -> (Key, Key) {
    (
        Bytes::copy_from_slice(&[tag]),
        Bytes::copy_from_slice(&[tag + 1]),
    )
}

/// First and end of a mailbox's keys with a tag.
pub(super) fn of_mailbox(tag: u8, id: MailboxId) -> (Key, Key) {
    let end = match id.0.checked_add(1) {
        Some(next) => tagged(tag, &next.to_be_bytes()),
        None => Bytes::copy_from_slice(&[tag + 1]),
    };
    (tagged(tag, &id.0.to_be_bytes()), end)
}

/// First and end of the names below this one.
pub(super) fn names_below(name: &str) -> (Key, Key) {
    // `0` is the character after the separator `/`.
    (
        tagged(NAME, format!("{name}/").as_bytes()),
        tagged(NAME, format!("{name}0").as_bytes()),
    )
}

/// The end (exclusive) of a range whose last key this is.
pub(super) fn after(key: &Key) -> Key {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next.into()
}

/// The number at the end of a key.
pub(super) fn trailing_u32(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*key.last_chunk::<4>()?))
}

/// A counter's value; absent means 0, as the store sees it.
pub(super) fn number(value: &Option<Bytes>) -> i64 {
    value
        .as_ref()
        .and_then(|bytes| Some(i64::from_be_bytes(*bytes.first_chunk::<8>()?)))
        .unwrap_or(0)
}

fn in_mailbox(tag: u8, id: MailboxId, uid: u32) -> Key {
    let mut key = Vec::with_capacity(9);
    key.push(tag);
    key.extend_from_slice(&id.0.to_be_bytes());
    key.extend_from_slice(&uid.to_be_bytes());
    key.into()
}

fn tagged(tag: u8, rest: &[u8]) -> Key {
    let mut key = Vec::with_capacity(1 + rest.len());
    key.push(tag);
    key.extend_from_slice(rest);
    key.into()
}
