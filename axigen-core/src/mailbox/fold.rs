//! Single rows, and marks of removed ones, folded into blocks in the background.
//!
//! A fold changes nothing that anybody sees, so it has no number in the change
//! log. What it read is asserted: a change that came between makes it read again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use axigen_store::{AccountId, Expect, Key};
use bytes::Bytes;

use super::{
    Mailboxes, block, brief,
    draft::{Draft, TRIES},
    error::Result,
    item::Item,
    keys,
    row::Stored,
    select::uid_of,
    types::MailboxId,
};

/// Most single rows and marks that one batch folds.
const BATCH: usize = 2048;
/// Items read together.
const ITEMS: usize = 200;
/// Most blocks that one batch writes again.
const BLOCKS: usize = 32;

/// A block as it is written: its key and what it holds.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) first: u32,
    pub(super) uids: Vec<u32>,
    /// Its rows as they were read.
    pub(super) bytes: Bytes,
}

impl Block {
    /// Its rows, with their UIDs ascending.
    pub(super) fn rows(&self) -> Result<impl Iterator<Item = (u32, Stored)> + use<'_>> {
        let rows = block::decode_rows(&self.bytes, self.uids.len())?;
        Ok(self.uids.iter().copied().zip(rows))
    }
}

/// What one batch folds: up to some UID, everything that stands beside blocks.
#[derive(Debug, Default)]
struct Loose {
    rows: Vec<(u32, Bytes)>,
    gone: Vec<u32>,
}

/// What is to be done next.
#[derive(Debug)]
enum Step {
    Nothing,
    Again,
    /// With the last UID it folds.
    Write(Box<Draft>, u32),
}

impl Mailboxes {
    /// Folds the mailbox in the background if much stands beside its blocks.
    pub(super) fn fold_if_due(&self, account: AccountId, mailbox: MailboxId, written: u32) {
        let at = self.shared.options.fold_at;
        if !self.shared.beside.is_due(account, mailbox, written, at) {
            return;
        }
        let mailboxes = self.clone();
        tokio::spawn(async move {
            if let Err(error) = mailboxes.fold(account, mailbox).await {
                tracing::debug!(%error, "a mailbox was not folded");
            }
        });
    }

    /// Folds what stands beside the mailbox's blocks into them. Done in the
    /// background when it is worth it; calling it is never needed.
    ///
    /// # Errors
    /// [`Error::Store`](super::Error::Store).
    pub async fn fold(&self, account: AccountId, mailbox: MailboxId) -> Result<()> {
        let _one = self.shared.folding.lock().await;
        let mut look = self.shared.beside.look(account, mailbox);
        let folded = self.fold_from(account, mailbox, &mut look.from).await;
        look.end();
        folded
    }

    /// Folds from a UID on, and moves it behind what was folded.
    async fn fold_from(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        from: &mut u32,
    ) -> Result<()> {
        let mut tries = 0;
        while tries < TRIES {
            let loose = self.loose(account, mailbox, *from).await?;
            let committed = match self.fold_draft(account, mailbox, loose).await? {
                Step::Nothing => return Ok(()),
                Step::Again => None,
                Step::Write(draft, last) => self
                    .commit(vec![*draft])
                    .await?
                    .map(|_| last.saturating_add(1)),
            };
            match committed {
                Some(next) => (*from, tries) = (next, 0),
                None => tries += 1,
            }
        }
        Ok(())
    }

    /// The first single rows and marks from a UID on, as many as one batch
    /// folds.
    async fn loose(&self, account: AccountId, mailbox: MailboxId, from: u32) -> Result<Loose> {
        let mut end = u32::MAX;
        let (_, to) = keys::of_mailbox(keys::ROW, mailbox);
        let page = self
            .page(account, keys::row(mailbox, from), to, BATCH)
            .await?;
        let full = page.len() == BATCH;
        let mut rows = page
            .into_iter()
            .map(|(key, bytes)| Ok((uid_of(&key)?, bytes)))
            .collect::<Result<Vec<_>>>()?;
        if full && let Some((last, _)) = rows.last() {
            end = *last;
        }
        let (_, to) = keys::of_mailbox(keys::GONE, mailbox);
        let page = self
            .page(account, keys::gone(mailbox, from), to, BATCH)
            .await?;
        let full = page.len() == BATCH;
        let mut gone = page
            .iter()
            .map(|(key, _)| uid_of(key))
            .collect::<Result<Vec<_>>>()?;
        if full && let Some(last) = gone.last() {
            end = end.min(*last);
        }
        // Both are whole up to here.
        rows.retain(|(uid, _)| *uid <= end);
        gone.retain(|uid| *uid <= end);
        Ok(Loose { rows, gone })
    }

    /// The batch that folds them.
    async fn fold_draft(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        loose: Loose,
    ) -> Result<Step> {
        let of_rows = loose.rows.iter().map(|(uid, _)| *uid);
        let touched = of_rows.chain(loose.gone.iter().copied());
        let (Some(lowest), Some(highest)) = (touched.clone().min(), touched.max()) else {
            return Ok(Step::Nothing);
        };
        let index = self.block_lists(account, mailbox, lowest, highest).await?;
        let firsts: Vec<u32> = index.iter().map(|(first, _)| *first).collect();
        // The block whose stretch a UID lies in; the first reaches down to 0.
        let block_of = |uid: u32| {
            firsts
                .partition_point(|first| *first <= uid)
                .saturating_sub(1)
        };

        let mut draft = Draft::new(account).quiet();
        draft.mailbox_exists(mailbox);
        let mut stretches: BTreeMap<usize, BTreeMap<u32, Option<Stored>>> = BTreeMap::new();
        let changes = loose
            .rows
            .iter()
            .map(|(uid, bytes)| Ok((*uid, Some(Stored::decode(bytes)?))))
            .chain(loose.gone.iter().map(|uid| Ok((*uid, None))))
            .collect::<Result<BTreeMap<u32, Option<Stored>>>>()?;
        for (uid, change) in changes {
            let at = block_of(uid);
            if stretches.len() == BLOCKS && !stretches.contains_key(&at) {
                break;
            }
            stretches.entry(at).or_default().insert(uid, change);
        }
        let wanted: Vec<u32> = stretches
            .keys()
            .filter_map(|at| firsts.get(*at).copied())
            .collect();
        let mut blocks = self
            .blocks(account, mailbox, &wanted)
            .await?
            .into_iter()
            .map(|block| (block.first, block))
            .collect::<BTreeMap<u32, Block>>();
        let mut done = BTreeSet::new();
        for (at, changes) in stretches {
            let old = firsts.get(at).and_then(|first| blocks.remove(first));
            let mut rows = match &old {
                Some(block) => block.rows()?.collect(),
                // Its list stands there, its rows went a moment ago: again.
                None if firsts.get(at).is_some() => return Ok(Step::Again),
                None => BTreeMap::new(),
            };
            for (uid, change) in changes {
                done.insert(uid);
                match change {
                    Some(row) => drop(rows.insert(uid, row)),
                    None => drop(rows.remove(&uid)),
                }
            }
            if let Some(block) = &old {
                draft.expect(
                    keys::block_rows(mailbox, block.first),
                    Expect::Equals(block.bytes.clone()),
                );
            }
            let briefs = self
                .briefs_of(account, mailbox, old.as_ref(), &rows)
                .await?;
            self.write_stretch(&mut draft, mailbox, old.as_ref(), &rows, &briefs);
        }
        for (uid, bytes) in loose.rows {
            if done.contains(&uid) {
                let key = keys::row(mailbox, uid);
                draft.expect(key.clone(), Expect::Equals(bytes));
                draft.delete(key);
            }
        }
        for uid in loose.gone {
            if done.contains(&uid) {
                let key = keys::gone(mailbox, uid);
                draft.expect(key.clone(), Expect::Present);
                draft.delete(key);
            }
        }
        let last = done.last().copied().unwrap_or(highest);
        Ok(Step::Write(Box::new(draft), last))
    }

    /// Messages of a stretch in brief, in their order: what the block has that
    /// they are in, and of the others what their items have.
    async fn briefs_of(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        old: Option<&Block>,
        rows: &BTreeMap<u32, Stored>,
    ) -> Result<Vec<Bytes>> {
        let mut known = HashMap::new();
        if let Some(block) = old {
            let key = keys::block_briefs(mailbox, block.first);
            let got = self.store.get(account, &[key]).await?.pop().flatten();
            let of_block = got.and_then(|bytes| brief::decode_block(&bytes, block.uids.len()));
            known.extend(block.uids.iter().copied().zip(of_block.unwrap_or_default()));
        }
        let others = rows.iter().filter(|(uid, _)| !known.contains_key(uid));
        let others: Vec<(u32, Key)> = others
            .map(|(uid, row)| (*uid, keys::item(row.item)))
            .collect();
        for page in others.chunks(ITEMS) {
            let keys: Vec<Key> = page.iter().map(|(_, key)| key.clone()).collect();
            let records = self.store.get(account, &keys).await?;
            for ((uid, _), record) in page.iter().zip(records) {
                if let Some(record) = record {
                    // Not all of the record, which is larger.
                    let brief = Bytes::copy_from_slice(&Item::decode(&record)?.brief);
                    known.insert(*uid, brief);
                }
            }
        }
        let briefs = rows.keys().map(|uid| known.remove(uid).unwrap_or_default());
        Ok(briefs.collect())
    }

    /// The blocks that take the place of one.
    fn write_stretch(
        &self,
        draft: &mut Draft,
        mailbox: MailboxId,
        old: Option<&Block>,
        rows: &BTreeMap<u32, Stored>,
        briefs: &[Bytes],
    ) {
        let uids: Vec<u32> = rows.keys().copied().collect();
        let stored: Vec<&Stored> = rows.values().collect();
        let size = self.shared.options.block_rows.max(1);
        let mut kept = false;
        let chunks = uids.chunks(size).zip(stored.chunks(size));
        for ((uids, stored), briefs) in chunks.zip(briefs.chunks(size)) {
            let Some(&first) = uids.first() else { continue };
            kept |= old.is_some_and(|block| block.first == first);
            draft.set(keys::block_uids(mailbox, first), block::encode_list(uids));
            draft.set(
                keys::block_rows(mailbox, first),
                block::encode_rows(stored.iter().copied()),
            );
            draft.set(
                keys::block_briefs(mailbox, first),
                brief::encode_block(briefs.iter().map(|brief| &brief[..])),
            );
        }
        if let Some(block) = old.filter(|_| !kept) {
            draft.delete(keys::block_uids(mailbox, block.first));
            draft.delete(keys::block_rows(mailbox, block.first));
            draft.delete(keys::block_briefs(mailbox, block.first));
        }
    }
}
