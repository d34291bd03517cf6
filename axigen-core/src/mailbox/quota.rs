//! What an account holds. The limit itself is a setting and comes with each
//! call that brings bytes; it is enforced by the store in the same batch.

use axigen_store::AccountId;

use super::{
    Mailboxes,
    error::Result,
    keys::{self, Account},
};

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
}
