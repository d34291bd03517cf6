//! Copying and moving messages inside an account.

use axigen_store::{AccountId, Expect, Slot, batch::CommitPart};
use bytes::Bytes;

use super::{
    Mailboxes,
    draft::{CHUNK, Draft, TRIES, contended},
    error::Result,
    item::Item,
    keys,
    label::Event,
    log::Record,
    row::Read,
    select::ascending,
    types::{Copied, MailboxId, Quota},
};

const UID: u8 = 0;
const ITEM: u8 = 1;
/// Most bytes of item records one batch copies.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

impl Mailboxes {
    /// Copies: new items on the same content, flags and dates kept, new UIDs
    /// in the order of the old ones. UIDs that are gone are left out. `quota`
    /// is the most bytes the account may hold afterwards.
    ///
    /// All or nothing
    /// ([RFC 9051 §6.4.7](https://www.rfc-editor.org/rfc/rfc9051#section-6.4.7)):
    /// up to a thousand messages are one batch; if a later batch of more fails,
    /// what the earlier ones copied is removed again.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`](super::Error::NoSuchMailbox) if either is missing, [`Error::OverQuota`](super::Error::OverQuota) with
    /// target 0, [`Error::Store`](super::Error::Store).
    pub async fn copy(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: &[u32],
        to: MailboxId,
        quota: Quota,
    ) -> Result<Copied> {
        let source = self.record(account, from).await?.name;
        let target = self.record(account, to).await?;
        let uid_validity = target.uid_validity;
        let event = Event::Copied {
            account,
            from: source,
            to: target.name,
        };
        let uids = ascending(uids);
        let mut copied = Copied {
            uid_validity,
            uids: Vec::with_capacity(uids.len()),
        };
        let mut rest = uids.as_slice();
        while !rest.is_empty() {
            match self
                .copy_chunk(account, from, rest, to, quota, &event)
                .await
            {
                Ok((done, pairs)) => {
                    copied.uids.extend(pairs);
                    rest = rest.get(done..).unwrap_or_default();
                }
                Err(error) => {
                    let made: Vec<u32> = copied.uids.iter().map(|&(_, new)| new).collect();
                    if !made.is_empty()
                        && let Err(again) = self.erase(account, to, &made, false).await
                    {
                        tracing::warn!(
                            account = account.0,
                            error = %again,
                            "a failed copy could not be taken back wholly"
                        );
                    }
                    return Err(error);
                }
            }
        }
        Ok(copied)
    }

    /// Moves: the items keep their ids, flags and dates; new UIDs in the order
    /// of the old ones, also within one mailbox. UIDs that are gone are left
    /// out. A message is never in both mailboxes and never in neither
    /// ([RFC 6851 §3.3](https://www.rfc-editor.org/rfc/rfc6851#section-3.3)).
    /// Up to a thousand messages are one batch; if a later batch of more
    /// fails, the earlier ones stay moved.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`](super::Error::NoSuchMailbox) if either is missing, [`Error::Store`](super::Error::Store).
    pub async fn move_(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: &[u32],
        to: MailboxId,
    ) -> Result<Copied> {
        let source = self.record(account, from).await?.name;
        let target = self.record(account, to).await?;
        let uid_validity = target.uid_validity;
        let event = Event::Moved {
            account,
            from: source,
            to: target.name,
        };
        let uids = ascending(uids);
        let mut moved = Copied {
            uid_validity,
            uids: Vec::with_capacity(uids.len()),
        };
        for chunk in uids.chunks(CHUNK) {
            moved
                .uids
                .extend(self.move_chunk(account, from, chunk, to, &event).await?);
        }
        Ok(moved)
    }

    /// Copies the first messages of `uids`; returns how many UIDs it looked at.
    async fn copy_chunk(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: &[u32],
        to: MailboxId,
        quota: Quota,
        event: &Event,
    ) -> Result<(usize, Vec<(u32, u32)>)> {
        let chunk = uids.get(..CHUNK).unwrap_or(uids);
        for _ in 0..TRIES {
            let rows = self.read_rows(account, from, chunk).await?;
            let (contents, whole) = self.contents(account, &rows).await?;
            let Some((last, _)) = contents.last() else {
                // Either all are gone, or what is left was expunged just now.
                match rows.is_empty() {
                    true => return Ok((chunk.len(), Vec::new())),
                    false => continue,
                }
            };
            let done = match whole {
                true => chunk.len(),
                false => chunk.partition_point(|uid| *uid <= last.uid),
            };
            let mut draft = Draft::new(account);
            draft.mailbox_exists(from);
            draft.mailbox_exists(to);
            draft.quota(quota, 0);
            let mut hashes = Vec::with_capacity(contents.len());
            for (read, record) in &contents {
                // Its content must not go while it is copied; its flags may
                // change.
                draft.expect(keys::item(read.row.item), Expect::Present);
                let uid = draft.next_uid(to, UID);
                let id = draft.next_item(ITEM);
                draft.add_row(to, uid, &read.row, Some(id));
                draft.set(keys::new_item(id), record.clone());
                let item = Item::decode(record)?;
                item.retain(&mut draft);
                hashes.push(item.content.hash);
            }
            draft.note(event.clone(), hashes);
            let count = contents.len() as u32;
            draft.log(Record::added(to, Slot::Counter(UID), count));
            if let Some(commit) = self.commit(vec![draft]).await? {
                let sources = contents.iter().map(|(read, _)| read.uid);
                return Ok((done, pairs(sources, count, commit.parts.first())));
            }
            self.must_exist(account, from).await?;
            self.must_exist(account, to).await?;
        }
        Err(contended())
    }

    /// Item records of rows, up to [`CHUNK_BYTES`]; those just expunged are
    /// left out. The flag says whether all rows were looked at.
    async fn contents<'r>(
        &self,
        account: AccountId,
        rows: &'r [Read],
    ) -> Result<(Vec<(&'r Read, Bytes)>, bool)> {
        let (mut contents, mut bytes) = (Vec::with_capacity(rows.len()), 0);
        for rows in rows.chunks(100) {
            let keys: Vec<_> = rows.iter().map(|read| keys::item(read.row.item)).collect();
            for (read, record) in rows.iter().zip(self.store.get(account, &keys).await?) {
                let Some(record) = record else { continue };
                if bytes > CHUNK_BYTES {
                    return Ok((contents, false));
                }
                bytes += record.len();
                contents.push((read, record));
            }
        }
        Ok((contents, true))
    }

    /// The contents of messages; those just expunged are left out.
    async fn hashes(&self, account: AccountId, rows: &[Read]) -> Result<Vec<[u8; 32]>> {
        let mut hashes = Vec::with_capacity(rows.len());
        for rows in rows.chunks(100) {
            let keys: Vec<_> = rows.iter().map(|read| keys::item(read.row.item)).collect();
            for record in self.store.get(account, &keys).await?.iter().flatten() {
                hashes.push(Item::decode(record)?.content.hash);
            }
        }
        Ok(hashes)
    }

    async fn move_chunk(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: &[u32],
        to: MailboxId,
        event: &Event,
    ) -> Result<Vec<(u32, u32)>> {
        for _ in 0..TRIES {
            let rows = self.read_rows(account, from, uids).await?;
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let sources: Vec<u32> = rows.iter().map(|read| read.uid).collect();
            let mut draft = Draft::new(account);
            draft.mailbox_exists(from);
            draft.mailbox_exists(to);
            for read in &rows {
                draft.remove_row(from, read);
                let uid = draft.next_uid(to, UID);
                draft.add_row(to, uid, &read.row, None);
            }
            draft.note(event.clone(), self.hashes(account, &rows).await?);
            let count = sources.len() as u32;
            draft.log(Record::vanished(from, &sources));
            draft.log(Record::added(to, Slot::Counter(UID), count));
            if let Some(commit) = self.commit(vec![draft]).await? {
                return Ok(pairs(sources, count, commit.parts.first()));
            }
            self.must_exist(account, from).await?;
            self.must_exist(account, to).await?;
        }
        Err(contended())
    }
}

/// Old UIDs with their new ones, which follow each other up to the slot's
/// value.
fn pairs(
    sources: impl IntoIterator<Item = u32>,
    count: u32,
    part: Option<&CommitPart>,
) -> Vec<(u32, u32)> {
    let last = part.map_or(0, |part| part.slots[usize::from(UID)]) as u32;
    let first = (last + 1).saturating_sub(count);
    sources.into_iter().zip(first..).collect()
}
