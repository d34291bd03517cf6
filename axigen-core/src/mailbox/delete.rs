//! Deleting mailboxes and accounts.
//!
//! A mailbox disappears in one small batch, however many messages it has; from
//! then on nothing can reach them. Its messages are removed after that, in
//! batches of bounded size, before the call returns; if the program ends in
//! between, the next call goes on.

use std::collections::BTreeMap;

use axigen_store::{AccountId, Expect, Key, Range};

use super::{
    Mailboxes,
    draft::{CHUNK, Draft, TRIES, contended},
    error::{Error, Result},
    folders::{delete_counters, id_bytes},
    item::Item,
    keys::{self, Account},
    label::Event,
    log::Record,
    names::INBOX,
    row::{Read, Stored},
    select::uid_of,
    types::MailboxId,
};

impl Mailboxes {
    /// Deletes a mailbox and its messages. What is below it stays, and the
    /// name is then a parent only
    /// ([RFC 9051 §6.3.5](https://www.rfc-editor.org/rfc/rfc9051#section-6.3.5)).
    ///
    /// # Errors
    /// [`Error::InboxIsPermanent`]; [`Error::HasChildren`] if the name is a
    /// parent only; [`Error::NoSuchMailbox`]; [`Error::Store`].
    pub async fn delete(&self, account: AccountId, name: &str) -> Result<()> {
        let name = self.kept_name(account, name).await?;
        if name == INBOX {
            return Err(Error::InboxIsPermanent);
        }
        self.condemn(account, &name).await?;
        self.finish_deletions(account).await
    }

    /// Makes a mailbox unreachable and notes that its messages must go.
    pub(super) async fn condemn(&self, account: AccountId, name: &str) -> Result<()> {
        for _ in 0..TRIES {
            let Some(id) = self.id_of(account, name).await? else {
                return Err(match self.below(account, name).await?.is_empty() {
                    true => Error::NoSuchMailbox,
                    false => Error::HasChildren,
                });
            };
            let mut draft = Draft::new(account);
            draft.expect(keys::name(name), Expect::Equals(id_bytes(id)));
            draft.mailbox_exists(id);
            draft.delete(keys::name(name));
            draft.delete(keys::mailbox(id));
            draft.delete(keys::access(id));
            delete_counters(id, &mut draft);
            draft.set(keys::condemned(id), &b""[..]);
            draft.add(Account::Mailboxes, -1);
            draft.log(Record::folder(id));
            let name = name.to_owned();
            draft.note(Event::Deleted { account, name }, Vec::new());
            if self.commit(vec![draft]).await?.is_some() {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Removes all of an account's mailboxes, messages and settings of theirs,
    /// and gives their contents back. The account must not be reachable any
    /// more (take it out of the directory first), and its id must never be
    /// given again. Going on after an interruption is calling it again.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn remove_account(&self, account: AccountId) -> Result<()> {
        self.forget_table(account);
        for _ in 0..TRIES {
            let mut draft = Draft::new(account);
            draft.delete_range(keys::all(keys::NAME));
            draft.delete_range(keys::all(keys::MAILBOX));
            if self.commit(vec![draft]).await?.is_none() {
                continue;
            }
            while self.remove_items(account).await? {}
            let (from, to) = keys::ALL;
            let mut draft = Draft::new(account);
            draft.note(Event::Ended { account }, Vec::new());
            draft.delete_range((Key::copy_from_slice(&[from]), Key::copy_from_slice(&[to])));
            if self.commit(vec![draft]).await?.is_none() {
                continue;
            }
            self.forget_table(account);
            return Ok(());
        }
        Err(contended())
    }

    /// Removes a page of items; whether there was one.
    async fn remove_items(&self, account: AccountId) -> Result<bool> {
        let (from, to) = keys::all(keys::ITEM);
        let page = self.page(account, from, to, CHUNK).await?;
        if page.is_empty() {
            return Ok(false);
        }
        let mut draft = Draft::new(account).quiet();
        for (key, record) in page {
            draft.expect(key.clone(), Expect::Present);
            Item::decode(&record)?.release(&mut draft);
            draft.delete(key);
        }
        // On a conflict another call removes them too.
        self.commit(vec![draft]).await?;
        Ok(true)
    }

    /// Removes the messages of mailboxes that were deleted.
    pub(super) async fn finish_deletions(&self, account: AccountId) -> Result<()> {
        let condemned = self.scan_marks(account, keys::all(keys::CONDEMNED)).await?;
        for id in condemned {
            self.finish_deletion(account, MailboxId(id)).await?;
        }
        Ok(())
    }

    async fn finish_deletion(&self, account: AccountId, mailbox: MailboxId) -> Result<()> {
        let mut tries = 0;
        while tries < TRIES {
            let mut draft = Draft::new(account).quiet();
            draft.expect(keys::condemned(mailbox), Expect::Present);
            draft.without_counters(mailbox);
            let last = !self.remove_block(account, mailbox, &mut draft).await?
                && !self.remove_singles(account, mailbox, &mut draft).await?;
            if last {
                draft.delete_range(keys::of_mailbox(keys::SEEN, mailbox));
                draft.delete_range(keys::of_mailbox(keys::READER, mailbox));
                draft.delete_range(keys::of_mailbox(keys::ANNOTATION, mailbox));
                draft.delete(keys::access_key(account, mailbox));
                draft.delete(keys::condemned(mailbox));
            }
            match self.commit(vec![draft]).await? {
                Some(_) if last => return Ok(()),
                Some(_) => tries = 0,
                None => {
                    // Another call may have finished it.
                    let key = keys::condemned(mailbox);
                    if self.store.get(account, &[key]).await? == [None] {
                        return Ok(());
                    }
                    tries += 1;
                }
            }
        }
        Err(contended())
    }

    /// The first block of a mailbox that is being removed, with what stands
    /// beside it; false if there is none.
    async fn remove_block(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        draft: &mut Draft,
    ) -> Result<bool> {
        let (from, to) = keys::of_mailbox(keys::BLOCK_UIDS, mailbox);
        let Some((key, _)) = self.page(account, from, to, 1).await?.into_iter().next() else {
            return Ok(false);
        };
        let first = uid_of(&key)?;
        let rows_key = keys::block_rows(mailbox, first);
        let block = self.blocks(account, mailbox, &[first]).await?.pop();
        let Some(block) = block else {
            // Without its rows nothing is known of it.
            draft.expect(rows_key, Expect::Absent);
            draft.delete(keys::block_briefs(mailbox, first));
            draft.delete(key);
            return Ok(true);
        };
        let end = block.uids.last().copied().unwrap_or(first);
        let mut rows: BTreeMap<u32, Stored> = block.rows()?.collect();
        let to = keys::after(&keys::row(mailbox, end));
        for (key, bytes) in self
            .store
            .scan(account, keys::row(mailbox, first), to)
            .await?
        {
            if rows.contains_key(&uid_of(&key)?) {
                draft.expect(key.clone(), Expect::Equals(bytes));
                draft.delete(key);
            }
        }
        let marks = (
            keys::gone(mailbox, first),
            keys::after(&keys::gone(mailbox, end)),
        );
        for uid in self.scan_marks(account, marks).await? {
            rows.remove(&uid);
            draft.delete(keys::gone(mailbox, uid));
        }
        draft.expect(rows_key.clone(), Expect::Equals(block.bytes.clone()));
        draft.delete(rows_key);
        draft.delete(keys::block_briefs(mailbox, first));
        draft.delete(key);
        let items = rows.values().map(|row| row.item).collect();
        for row in rows.values() {
            draft.removed_with_block(mailbox, row);
        }
        self.release_items(account, items, draft).await?;
        Ok(true)
    }

    /// Some single rows of a mailbox that is being removed and has no blocks
    /// any more; false if there are none.
    async fn remove_singles(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        draft: &mut Draft,
    ) -> Result<bool> {
        let (from, to) = keys::of_mailbox(keys::ROW, mailbox);
        let mut rows = Vec::new();
        for (key, bytes) in self.page(account, from, to, CHUNK).await? {
            rows.push(Read::single(uid_of(&key)?, bytes)?);
        }
        self.take_out(account, mailbox, &rows, draft).await?;
        Ok(!rows.is_empty())
    }

    /// The first rows of a range.
    pub(super) async fn page(
        &self,
        account: AccountId,
        from: Key,
        to: Key,
        limit: usize,
    ) -> Result<Vec<(Key, bytes::Bytes)>> {
        let page = self
            .store
            .range(Range {
                account,
                from,
                to,
                limit,
                reverse: false,
                keys_only: false,
            })
            .await?;
        Ok(page.rows)
    }
}
