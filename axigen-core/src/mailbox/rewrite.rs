//! Many rows of one block changed at once: then the block is written again, a
//! few kilobytes, and not a row beside it for each.

use std::collections::BTreeMap;

use axigen_store::{AccountId, Expect};
use bytes::Bytes;

use super::{
    Mailboxes, block,
    draft::Draft,
    error::Result,
    fold::Block,
    keys::{self, Counter},
    row::{Origin, Read, Stored},
    types::MailboxId,
};

/// The blocks that one batch writes again, each as it was read.
#[derive(Debug)]
pub(super) struct Rewrite {
    /// The mailbox's modification number, from before anything was read: while
    /// it is the same, nothing came to stand before a row of a block.
    modseq: Option<Bytes>,
    blocks: BTreeMap<u32, Changing>,
}

#[derive(Debug)]
struct Changing {
    block: Block,
    new: BTreeMap<u32, Stored>,
}

impl Rewrite {
    /// None: each changed row stands by itself.
    pub(super) fn none() -> Rewrite {
        Rewrite {
            modseq: None,
            blocks: BTreeMap::new(),
        }
    }
}

impl Mailboxes {
    /// The mailbox's modification number as it is kept.
    pub(super) async fn kept_modseq(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<Option<Bytes>> {
        let key = keys::counter(mailbox, Counter::Modseq);
        let got = self.store.get(account, &[key]).await?;
        Ok(got.into_iter().next().flatten())
    }

    /// Blocks of which many of these rows are. `modseq` is
    /// [`kept_modseq`](Mailboxes::kept_modseq) from before they were read.
    pub(super) async fn rewrite(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        rows: &[Read],
        modseq: Option<Bytes>,
    ) -> Result<Rewrite> {
        let mut counts: BTreeMap<u32, (usize, &Bytes)> = BTreeMap::new();
        for read in rows {
            if let Origin::Block(first, bytes) = &read.origin {
                counts.entry(*first).or_insert((0, bytes)).0 += 1;
            }
        }
        counts.retain(|_, (count, _)| *count >= self.shared.options.rewrite_at);
        let firsts: Vec<u32> = counts.keys().copied().collect();
        let mut rewrite = Rewrite {
            modseq,
            blocks: BTreeMap::new(),
        };
        for block in self.blocks(account, mailbox, &firsts).await? {
            // Another one by now: the batch would be refused.
            if counts
                .get(&block.first)
                .is_some_and(|(_, read)| **read == block.bytes)
            {
                let new = BTreeMap::new();
                rewrite.blocks.insert(block.first, Changing { block, new });
            }
        }
        Ok(rewrite)
    }
}

impl Draft {
    /// Changes a message's row, if it is as it was read: in its block, if that
    /// one is written again.
    pub(super) fn change_row_in(
        &mut self,
        rewrite: &mut Rewrite,
        mailbox: MailboxId,
        old: &Read,
        new: &Stored,
    ) {
        let changing = match &old.origin {
            Origin::Block(first, _) => rewrite.blocks.get_mut(first),
            _ => None,
        };
        match changing {
            Some(changing) => {
                changing.new.insert(old.uid, new.clone());
                self.changed_row(mailbox, old, new);
            }
            None => self.change_row(mailbox, old, new),
        }
    }

    /// Writes the blocks again.
    pub(super) fn write_again(&mut self, mailbox: MailboxId, rewrite: Rewrite) -> Result<()> {
        let Rewrite { modseq, blocks } = rewrite;
        let changing = blocks.into_values();
        let changing: Vec<_> = changing.filter(|block| !block.new.is_empty()).collect();
        if !changing.is_empty() {
            let key = keys::counter(mailbox, Counter::Modseq);
            self.expect(key, modseq.map_or(Expect::Absent, Expect::Equals));
        }
        for Changing { block, new } in changing {
            let rows: Vec<(u32, Stored)> = block.rows()?.collect();
            let rows = rows.iter().map(|(uid, row)| match new.get(uid) {
                Some(new) => (new, true),
                None => (row, false),
            });
            let key = keys::block_rows(mailbox, block.first);
            self.set(key.clone(), block::encode_stamped(rows));
            self.expect(key, Expect::Equals(block.bytes.clone()));
        }
        Ok(())
    }
}
