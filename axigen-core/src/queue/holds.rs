//! What users have held before it goes on
//! ([RFC 4865](https://www.rfc-editor.org/rfc/rfc4865)): a row for each entry whose
//! time has not come, by account and time, so that what one user has is counted
//! without looking at what others have.
//!
//! | key | value |
//! |---|---|
//! | `3e account until message part` | the message's length |

use axigen_store::{AccountId, Key, Op, Range};
use bytes::Bytes;

use super::entry::{Entry, EntryId};
use super::{Queue, Result, keys, millis};

const HOLD: u8 = 0x3e;
/// Rows read at a time.
const PAGE: usize = 1000;

impl Queue {
    /// How many messages, and how many bytes, an account has held whose time has
    /// not come. It costs what the account has held.
    ///
    /// # Errors
    /// [`Error::Store`](super::Error::Store).
    pub async fn held_by(&self, account: AccountId) -> Result<(u64, u64)> {
        let (mut messages, mut bytes) = (0, 0u64);
        let mut last = None;
        let now = millis(self.now()).max(0).saturating_add(1);
        let end = prefix(account.0.saturating_add(1), 0).into();
        let mut from = Some(Key::from(prefix(account.0, now)));
        while let Some(start) = from {
            let range = Range {
                account: AccountId::SYSTEM,
                from: start,
                to: Key::clone(&end),
                limit: PAGE,
                reverse: false,
                keys_only: false,
            };
            let page = self.inner.store.range(range).await?;
            for (key, length) in &page.rows {
                // Entries of one message are held until the same time.
                let message = keys::id_of(key).map(|id| id.message);
                if message.is_none() || message == last {
                    continue;
                }
                last = message;
                messages += 1;
                let length = length
                    .first_chunk::<8>()
                    .map_or(0, |n| u64::from_be_bytes(*n));
                bytes = bytes.saturating_add(length);
            }
            from = page.next;
        }
        Ok((messages, bytes))
    }
}

/// What a new entry writes; its message's number is given at commit.
pub(super) fn added(id: EntryId, entry: &Entry) -> Option<Op> {
    let key = key(id, entry)?;
    Some(Op::Set {
        key: keys::new(key),
        val: length(entry).into(),
    })
}

/// What an entry writes that waits on.
pub(super) fn kept(id: EntryId, entry: &Entry) -> Option<Op> {
    let key = key(id, entry)?;
    Some(Op::Set {
        key: key.into(),
        val: length(entry).into(),
    })
}

/// What is forgotten of an entry that is settled.
pub(super) fn forgotten(id: EntryId, entry: &Entry) -> Option<Op> {
    key(id, entry).map(Op::Delete)
}

fn length(entry: &Entry) -> Bytes {
    Bytes::copy_from_slice(&entry.size().to_be_bytes())
}

fn key(id: EntryId, entry: &Entry) -> Option<Key> {
    let hold = entry.hold?;
    let mut key = prefix(hold.account, millis(hold.until));
    key.extend_from_slice(&id.encode());
    Some(key.into())
}

fn prefix(account: u64, until: i64) -> Vec<u8> {
    let mut key = Vec::with_capacity(27);
    key.push(HOLD);
    key.extend_from_slice(&account.to_be_bytes());
    key.extend_from_slice(&until.max(0).to_be_bytes());
    key
}
