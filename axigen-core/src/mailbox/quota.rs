//! What an account holds. The limits themselves are settings and come with each
//! call that brings messages; they are enforced by the store in the same batch.
//!
//! Since when an account is full is written down when a message had no room, and
//! forgotten in the batch that makes room. What is written down, big-endian: when,
//! in milliseconds since 1970; bytes and messages the account held then; most
//! bytes and messages it was allowed, all bits set where there was no limit.

use axigen_store::{AccountId, Batch, Expect, Op, Part};
use bytes::Bytes;
use jiff::Timestamp;

use super::{
    Mailboxes,
    draft::{TRIES, contended},
    error::Result,
    keys::{self, Account},
    types::{MailboxId, Options, Quota},
};

/// Rows read together.
const PAGE: usize = 1000;

impl Mailboxes {
    /// Bytes and messages the account holds, from its counters. Messages of a
    /// mailbox that is being deleted count until they are removed.
    ///
    /// # Errors
    /// [`Error::Store`](super::Error::Store).
    pub async fn usage(&self, account: AccountId) -> Result<(u64, u64)> {
        let wanted = [
            keys::account(Account::Bytes),
            keys::account(Account::Messages),
        ];
        let got = self.store.get(account, &wanted).await?;
        let at = |index: usize| got.get(index).map_or(0, keys::number).max(0) as u64;
        Ok((at(0), at(1)))
    }

    /// Since when the account has had no room under `quota`, for an account that
    /// there was no room in just now. If it is not known yet, it is `now`, and
    /// durable.
    ///
    /// # Errors
    /// [`Error::Store`](super::Error::Store).
    pub async fn full_since(
        &self,
        account: AccountId,
        quota: Quota,
        now: Timestamp,
    ) -> Result<Timestamp> {
        for _ in 0..TRIES {
            let (row, held) = self.fullness(account).await?;
            let known = row.as_deref().and_then(Full::decode);
            let since = match known {
                Some(known) if known.quota == quota => return Ok(known.since),
                // A larger quota that what was held then fits into was room.
                Some(known) if !quota.admits(known.held, (1, 1)) => known.since,
                _ => now,
            };
            let full = Full { since, held, quota };
            let expect = row.map_or(Expect::Absent, Expect::Equals);
            let part = Part {
                account,
                asserts: vec![(keys::full(), expect)],
                ops: vec![Op::Set {
                    key: keys::full().into(),
                    val: full.encode().into(),
                }],
                advance: false,
            };
            match self.store.commit(Batch { parts: vec![part] }).await {
                Ok(_) => return Ok(since),
                Err(axigen_store::Error::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended())
    }

    /// What a batch that takes messages from an account does besides: if there is
    /// room afterwards, the account is not full any more.
    pub(super) async fn room_made(&self, part: &mut Part, bytes: i64, messages: i64) -> Result<()> {
        let (row, held) = self.fullness(part.account).await?;
        let Some(row) = row else { return Ok(()) };
        let left = |held: u64, delta: i64| held.saturating_add_signed(delta);
        let left = (left(held.0, bytes), left(held.1, messages));
        if Full::decode(&row).is_none_or(|full| full.quota.admits(left, (1, 1))) {
            part.ops.push(Op::Delete(keys::full()));
        }
        Ok(())
    }

    /// What is written down of an account that is full, and what it holds.
    async fn fullness(&self, account: AccountId) -> Result<(Option<Bytes>, (u64, u64))> {
        let wanted = [
            keys::full(),
            keys::account(Account::Bytes),
            keys::account(Account::Messages),
        ];
        let mut got = self.store.get(account, &wanted).await?;
        let at = |index: usize| got.get(index).map_or(0, keys::number).max(0) as u64;
        let held = (at(1), at(2));
        Ok((got.first_mut().and_then(Option::take), held))
    }

    /// How many mailboxes the account has.
    ///
    /// # Errors
    /// [`Error::Store`](super::Error::Store).
    pub async fn count(&self, account: AccountId) -> Result<u32> {
        let wanted = [keys::account(Account::Mailboxes)];
        let got = self.store.get(account, &wanted).await?;
        let count = got.first().map_or(0, keys::number);
        Ok(u32::try_from(count).unwrap_or(0))
    }

    /// Bytes of the messages of a mailbox that carry `\Deleted`. Only these
    /// are read.
    ///
    /// # Errors
    /// [`Error::Store`](super::Error::Store).
    pub async fn deleted_size(&self, account: AccountId, mailbox: MailboxId) -> Result<u64> {
        let marks = keys::of_mailbox(keys::DELETED, mailbox);
        let mut size = 0u64;
        for page in self.scan_marks(account, marks).await?.chunks(PAGE) {
            let rows = self.rows(account, mailbox, page).await?;
            size += rows.iter().map(|row| row.size).sum::<u64>();
        }
        Ok(size)
    }

    /// The limits this was made with.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }
}

/// An account that had no room for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Full {
    since: Timestamp,
    /// Bytes and messages.
    held: (u64, u64),
    quota: Quota,
}

impl Full {
    fn encode(&self) -> Bytes {
        let limit = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
        let numbers = [
            u64::try_from(self.since.as_millisecond()).unwrap_or_default(),
            self.held.0,
            self.held.1,
            limit(self.quota.bytes),
            limit(self.quota.messages),
        ];
        let mut row = Vec::with_capacity(40);
        for number in numbers {
            row.extend_from_slice(&number.to_be_bytes());
        }
        row.into()
    }

    fn decode(row: &[u8]) -> Option<Full> {
        let (numbers, []) = row.as_chunks::<8>() else {
            return None;
        };
        let [since, bytes, messages, most_bytes, most_messages] = numbers else {
            return None;
        };
        let number = |of: &[u8; 8]| u64::from_be_bytes(*of);
        let limit = |of: &[u8; 8]| Some(number(of)).filter(|&limit| limit != u64::MAX);
        let since = i64::try_from(number(since)).ok()?;
        Some(Full {
            since: Timestamp::from_millisecond(since).ok()?,
            held: (number(bytes), number(messages)),
            quota: Quota {
                bytes: limit(most_bytes),
                messages: limit(most_messages),
            },
        })
    }
}
