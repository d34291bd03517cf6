//! What mailboxes and messages are called for ever.
//! [RFC 8474](https://www.rfc-editor.org/rfc/rfc8474)
//!
//! A mailbox is called by its account and its id, which no renaming changes and
//! nothing else ever gets. A message is called by the hash of its content: the
//! same wherever it is copied or moved.

use axigen_proto::imap::extensions::objectid::ObjectId;
use axigen_store::AccountId;

use super::{
    Mailboxes,
    error::{Error, Result},
    item::Item,
    keys,
    types::{ItemId, MailboxId},
};

/// Bytes of the hash that name a message: no two of them are ever the same.
const HASH: usize = 20;

/// A mailbox's identifier.
pub fn mailbox_object(account: AccountId, mailbox: MailboxId) -> Option<ObjectId> {
    ObjectId::new(&format!("F{:x}-{:x}", account.0, mailbox.0))
}

impl Mailboxes {
    /// Identifiers of messages, in the order asked for; `None` for an item that
    /// is gone.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn email_ids(
        &self,
        account: AccountId,
        items: &[ItemId],
    ) -> Result<Vec<Option<ObjectId>>> {
        let keys: Vec<_> = items.iter().map(|&item| keys::item(item)).collect();
        let records = self.store.get(account, &keys).await?;
        let ids = records.iter().map(|record| match record {
            Some(record) => Ok(of_hash(&Item::decode(record)?.content.hash)),
            None => Ok(None),
        });
        ids.collect()
    }

    /// A message's identifier.
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`], [`Error::Store`].
    pub async fn email_id(&self, account: AccountId, item: ItemId) -> Result<ObjectId> {
        let ids = self.email_ids(account, &[item]).await?;
        ids.into_iter().flatten().next().ok_or(Error::NoSuchMessage)
    }
}

fn of_hash(hash: &[u8; 32]) -> Option<ObjectId> {
    let mut text = String::with_capacity(1 + 2 * HASH);
    text.push('M');
    for byte in hash.iter().take(HASH) {
        text.push_str(&format!("{byte:02x}"));
    }
    ObjectId::new(&text)
}
