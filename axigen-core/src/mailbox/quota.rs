//! What an account holds. The limits themselves are settings and come with each
//! call that brings messages; they are enforced by the store in the same batch.

use axigen_store::AccountId;

use super::{
    Mailboxes,
    error::Result,
    keys::{self, Account},
    types::{MailboxId, Options},
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
