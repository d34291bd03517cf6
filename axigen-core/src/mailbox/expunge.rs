//! Removing messages.

use axigen_store::AccountId;

use super::{
    Mailboxes,
    draft::{CHUNK, Draft, TRIES, contended},
    error::{Error, Result},
    item::Item,
    keys,
    label::Event,
    log::Record,
    row::Read,
    select::ascending,
    types::{ItemId, MailboxId},
};

/// Most messages that one batch removes at the end of a POP3 session. Each takes
/// some four kilobytes of memory until the batch is committed, and some hundred
/// bytes of the 32 MB that a batch may have; a hundred thousand have no room there.
pub const REMOVED_AT_ONCE: usize = 10_000;

impl Mailboxes {
    /// UIDs of the messages that carry `\\Deleted`, ascending, found without reading
    /// the others.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn deleted(&self, account: AccountId, mailbox: MailboxId) -> Result<Vec<u32>> {
        self.scan_marks(account, keys::of_mailbox(keys::DELETED, mailbox))
            .await
    }

    /// Removes those of `uids` that carry `\Deleted`; `None` means all that
    /// carry it, found without reading the others. Returns the UIDs removed,
    /// ascending. A message whose `\Deleted` is taken off at the same moment
    /// stays. Up to a thousand messages are one batch.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`],
    /// [`Error::Store`].
    pub async fn expunge(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: Option<&[u32]>,
    ) -> Result<Vec<u32>> {
        let uids = match uids {
            Some(uids) => ascending(uids),
            None => self.deleted(account, mailbox).await?,
        };
        self.erase(account, mailbox, &uids, true).await
    }

    /// Removes these messages whatever their flags (POP3 QUIT). Returns the UIDs
    /// removed, ascending; those that were gone already are left out.
    ///
    /// All or nothing up to [`REMOVED_AT_ONCE`] messages, which are one batch; of
    /// more, some may be gone after an error.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`],
    /// [`Error::Store`].
    pub async fn remove(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
    ) -> Result<Vec<u32>> {
        let uids = ascending(uids);
        self.erase_by(account, mailbox, &uids, false, REMOVED_AT_ONCE)
            .await
    }

    pub(super) async fn erase(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
        only_deleted: bool,
    ) -> Result<Vec<u32>> {
        self.erase_by(account, mailbox, uids, only_deleted, CHUNK)
            .await
    }

    async fn erase_by(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
        only_deleted: bool,
        at_once: usize,
    ) -> Result<Vec<u32>> {
        let event = Event::Removed {
            account,
            from: self.record(account, mailbox).await?.name,
        };
        let mut removed = Vec::new();
        for chunk in uids.chunks(at_once) {
            let whole = self.erase_chunk(account, mailbox, chunk, only_deleted, &event);
            match whole.await {
                // Messages of many parts: better in smaller batches than never.
                Err(Error::Store(axigen_store::Error::TooLarge(_))) if chunk.len() > CHUNK => {
                    for chunk in chunk.chunks(CHUNK) {
                        let some = self.erase_chunk(account, mailbox, chunk, only_deleted, &event);
                        removed.extend(some.await?);
                    }
                }
                whole => removed.extend(whole?),
            }
        }
        Ok(removed)
    }

    async fn erase_chunk(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
        only_deleted: bool,
        event: &Event,
    ) -> Result<Vec<u32>> {
        for _ in 0..TRIES {
            let mut rows = self.read_rows(account, mailbox, uids).await?;
            rows.retain(|read| read.row.deleted() || !only_deleted);
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let removed: Vec<u32> = rows.iter().map(|read| read.uid).collect();
            let mut draft = Draft::new(account);
            draft.mailbox_exists(mailbox);
            let hashes = self.take_out(account, mailbox, &rows, &mut draft).await?;
            for hashes in hashes.chunks(CHUNK) {
                draft.note(event.clone(), hashes.to_vec());
            }
            draft.log(Record::vanished(mailbox, &removed));
            if self.commit(vec![draft]).await?.is_some() {
                return Ok(removed);
            }
            self.must_exist(account, mailbox).await?;
        }
        Err(contended())
    }

    /// Takes messages and their items out; gives the hashes of their contents.
    pub(super) async fn take_out(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        rows: &[Read],
        draft: &mut Draft,
    ) -> Result<Vec<[u8; 32]>> {
        for read in rows {
            draft.remove_row(mailbox, read);
        }
        let uids: Vec<u32> = rows.iter().map(|read| read.uid).collect();
        self.forget_marks(account, mailbox, &uids, draft).await?;
        let items = rows.iter().map(|read| read.row.item).collect();
        self.release_items(account, items, draft).await
    }

    /// Takes items out; gives the hashes of their contents.
    pub(super) async fn release_items(
        &self,
        account: AccountId,
        items: Vec<ItemId>,
        draft: &mut Draft,
    ) -> Result<Vec<[u8; 32]>> {
        let mut hashes = Vec::with_capacity(items.len());
        // Their records are larger than what is kept of them here.
        for items in items.chunks(CHUNK) {
            let keys: Vec<_> = items.iter().copied().map(keys::item).collect();
            let records = self.store.get(account, &keys).await?;
            for (key, record) in keys.into_iter().zip(records) {
                // An item can be missing only if another session expunged it (then
                // the row's assert fails) or the store was damaged (then the row
                // must not stay for ever).
                if let Some(record) = record {
                    let item = Item::decode(&record)?;
                    item.release(draft);
                    draft.delete(key);
                    hashes.push(item.content.hash);
                }
            }
        }
        Ok(hashes)
    }
}
