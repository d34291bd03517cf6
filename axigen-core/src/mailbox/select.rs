//! Reading a mailbox: its UIDs and the rows behind them.

use axigen_store::{AccountId, Expect, Range};

use super::{
    Mailboxes, block,
    draft::{Draft, TRIES, contended},
    error::{Error, Result},
    fold::Block,
    keys::{self, Counter},
    row::{Origin, Read},
    types::{MailboxId, Row},
};

/// UIDs looked up together.
const BATCH: usize = 1000;
/// A range is read whole if at least one in this many of its UIDs is asked for.
const DENSE: u64 = 4;
/// Blocks read together.
const BLOCKS: usize = 64;
/// Rows of one page of a scan.
const PAGE: usize = 10_000;

impl Mailboxes {
    /// All UIDs, ascending, and the modification number they stand for: every
    /// change after it is still to be asked for with
    /// [`changes`](Mailboxes::changes).
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`], [`Error::Store`].
    pub async fn uids(&self, account: AccountId, mailbox: MailboxId) -> Result<(Vec<u32>, u64)> {
        let mut left = 3;
        loop {
            let modseq = self.store.seq(account).await?;
            let known = self.modseq_of(account, mailbox).await?;
            let listed = (known <= modseq).then(|| self.shared.listed.get(account, mailbox, known));
            if let Some(uids) = listed.flatten() {
                return Ok((uids.to_vec(), modseq));
            }
            let uids = self.scan_uids(account, mailbox).await?;
            let highest = self.modseq_of(account, mailbox).await?;
            if highest <= modseq {
                if known == highest {
                    self.shared.listed.put(account, mailbox, highest, &uids);
                }
                return Ok((uids, modseq));
            }
            left -= 1;
            // If the mailbox changed meanwhile, what was read may be partly
            // newer than `modseq`. Changes since then are reported again and
            // say the same, so after some attempts that is good enough.
            if left == 0 {
                return Ok((uids, modseq));
            }
        }
    }

    /// The mailbox's last change.
    async fn modseq_of(&self, account: AccountId, mailbox: MailboxId) -> Result<u64> {
        let wanted = [
            keys::mailbox(mailbox),
            keys::counter(mailbox, Counter::Modseq),
        ];
        let got = self.store.get(account, &wanted).await?;
        match got.as_slice() {
            [Some(_), highest] => Ok(keys::number(highest) as u64),
            _ => Err(Error::NoSuchMailbox),
        }
    }

    /// Rows of these UIDs, ascending; UIDs that are gone are left out. Work is
    /// proportional to `uids`; dense sets are read as one range.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn rows(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
    ) -> Result<Vec<Row>> {
        let uids = ascending(uids);
        let read = self.read_rows(account, mailbox, &uids).await?;
        self.shown(account, &read).await
    }

    /// The first UID that no session has been told of as `\Recent`; with
    /// `take`, all that are there now count as told, and no other caller gets
    /// them again
    /// ([RFC 3501 §2.3.2](https://www.rfc-editor.org/rfc/rfc3501#section-2.3.2)).
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`], [`Error::Store`].
    pub async fn recent(&self, account: AccountId, mailbox: MailboxId, take: bool) -> Result<u32> {
        let floor_key = keys::counter(mailbox, Counter::Recent);
        let wanted = [
            keys::mailbox(mailbox),
            floor_key.clone(),
            keys::counter(mailbox, Counter::LastUid),
        ];
        for _ in 0..TRIES {
            let got = self.store.get(account, &wanted).await?;
            let [Some(_), floor, last] = got.as_slice() else {
                return Err(Error::NoSuchMailbox);
            };
            let first = keys::number(floor).max(1);
            let next = keys::number(last).saturating_add(1);
            if !take || next <= first {
                return Ok(first as u32);
            }
            let mut draft = Draft::new(account).quiet();
            draft.mailbox_exists(mailbox);
            draft.expect(
                floor_key.clone(),
                floor.clone().map_or(Expect::Absent, Expect::Equals),
            );
            draft.set(floor_key.clone(), next.to_be_bytes().to_vec());
            if self.commit(vec![draft]).await?.is_some() {
                return Ok(first as u32);
            }
        }
        Err(contended())
    }

    /// Rows as they are stored; `uids` must ascend.
    ///
    /// What stands beside the blocks is read before them: a fold in between
    /// moves rows into blocks, where they are found then, never the other way.
    pub(super) async fn read_rows(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
    ) -> Result<Vec<Read>> {
        let mut rows = Vec::with_capacity(uids.len());
        let mut rest = uids.to_vec();
        for _ in 0..TRIES {
            rest = self
                .read_beside_blocks(account, mailbox, &rest, &mut rows)
                .await?;
            let (Some(&first), Some(&last)) = (rest.first(), rest.last()) else {
                break;
            };
            let index = self.block_lists(account, mailbox, first, last).await?;
            rest.retain(|uid| in_block(&index, *uid).is_some());
            let mut wanted: Vec<u32> = rest
                .iter()
                .filter_map(|uid| in_block(&index, *uid))
                .collect();
            wanted.dedup();
            let mut found = Vec::with_capacity(rest.len());
            for block in self.blocks(account, mailbox, &wanted).await? {
                let from = rest.partition_point(|uid| *uid < block.first);
                let mut wanted = rest.get(from..).unwrap_or_default();
                for (uid, row) in block.rows()? {
                    let passed = wanted.partition_point(|wanted| *wanted < uid);
                    wanted = wanted.get(passed..).unwrap_or_default();
                    match wanted.first() {
                        Some(&first) if first == uid => {}
                        Some(_) => continue,
                        None => break,
                    }
                    found.push(uid);
                    let origin = Origin::Block(block.first, block.bytes.clone());
                    rows.push(Read { uid, origin, row });
                }
            }
            // A fold moved the others into another block, or they are gone.
            rest.retain(|uid| found.binary_search(uid).is_err());
        }
        if !rest.is_empty() {
            return Err(contended());
        }
        rows.sort_unstable_by_key(|read| read.uid);
        Ok(rows)
    }

    /// Single rows of these UIDs, into `rows`. Returns the UIDs that are
    /// neither among them nor marked as removed.
    async fn read_beside_blocks(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
        rows: &mut Vec<Read>,
    ) -> Result<Vec<u32>> {
        let low = self.shared.beside.low(account, mailbox);
        let (folded, uids) = uids.split_at(uids.partition_point(|uid| *uid < low));
        let mut left = folded.to_vec();
        let (Some(&first), Some(&last)) = (uids.first(), uids.last()) else {
            return Ok(left);
        };
        let span = u64::from(last - first) + 1;
        if uids.len() > 4 && span <= DENSE * uids.len() as u64 {
            let to = keys::after(&keys::row(mailbox, last));
            let singles = self
                .store
                .scan(account, keys::row(mailbox, first), to)
                .await?;
            let to = keys::after(&keys::gone(mailbox, last));
            let gone = self
                .scan_marks(account, (keys::gone(mailbox, first), to))
                .await?;
            let mut singles = singles.into_iter().peekable();
            for &uid in uids {
                while let Some((key, bytes)) = singles.peek() {
                    match uid_of(key)?.cmp(&uid) {
                        std::cmp::Ordering::Less => drop(singles.next()),
                        std::cmp::Ordering::Equal => {
                            rows.push(Read::single(uid, bytes.clone())?);
                            break;
                        }
                        std::cmp::Ordering::Greater => break,
                    }
                }
                let found = rows.last().is_some_and(|read| read.uid == uid);
                if !found && gone.binary_search(&uid).is_err() {
                    left.push(uid);
                }
            }
            return Ok(left);
        }
        for uids in uids.chunks(BATCH) {
            let keys: Vec<_> = uids
                .iter()
                .flat_map(|&uid| [keys::row(mailbox, uid), keys::gone(mailbox, uid)])
                .collect();
            let got = self.store.get(account, &keys).await?;
            for (&uid, pair) in uids.iter().zip(got.chunks_exact(2)) {
                match pair {
                    [Some(bytes), _] => rows.push(Read::single(uid, bytes.clone())?),
                    [None, None] => left.push(uid),
                    _ => {}
                }
            }
        }
        Ok(left)
    }

    /// The blocks in whose stretch UIDs from `first` to `last` may lie: their
    /// keys and their UIDs, ascending.
    pub(super) async fn block_lists(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        first: u32,
        last: u32,
    ) -> Result<Vec<(u32, Vec<u32>)>> {
        let mut from = keys::block_uids(mailbox, first);
        let to = keys::after(&keys::block_uids(mailbox, last));
        if first > 0
            && let Some(block) = self.block_at(account, mailbox, first).await?
        {
            from = keys::block_uids(mailbox, block);
        }
        self.store
            .scan(account, from, to)
            .await?
            .into_iter()
            .map(|(key, list)| Ok((uid_of(&key)?, block::decode_list(&list)?)))
            .collect()
    }

    /// The key of the block in whose stretch a UID lies; `None` below the first.
    pub(super) async fn block_at(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uid: u32,
    ) -> Result<Option<u32>> {
        let (from, _) = keys::of_mailbox(keys::BLOCK_UIDS, mailbox);
        let before = Range {
            account,
            from,
            to: keys::after(&keys::block_uids(mailbox, uid)),
            limit: 1,
            reverse: true,
            keys_only: true,
        };
        let found = self.store.range(before).await?.rows.into_iter().next();
        found.map(|(key, _)| uid_of(&key)).transpose()
    }

    /// Blocks by their keys, each as of one moment; those that a fold took
    /// away a moment ago are left out.
    pub(super) async fn blocks(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        firsts: &[u32],
    ) -> Result<Vec<Block>> {
        let mut blocks = Vec::with_capacity(firsts.len());
        for firsts in firsts.chunks(BLOCKS) {
            let keys: Vec<_> = firsts
                .iter()
                .flat_map(|&first| {
                    [
                        keys::block_uids(mailbox, first),
                        keys::block_rows(mailbox, first),
                    ]
                })
                .collect();
            let got = self.store.get(account, &keys).await?;
            for (&first, pair) in firsts.iter().zip(got.chunks_exact(2)) {
                if let [Some(list), Some(bytes)] = pair {
                    blocks.push(Block {
                        first,
                        uids: block::decode_list(list)?,
                        bytes: bytes.clone(),
                    });
                }
            }
        }
        Ok(blocks)
    }

    /// [`Error::NoSuchMailbox`] unless it is there.
    pub(super) async fn must_exist(&self, account: AccountId, mailbox: MailboxId) -> Result<()> {
        let got = self.store.get(account, &[keys::mailbox(mailbox)]).await?;
        match got.as_slice() {
            [Some(_)] => Ok(()),
            _ => Err(Error::NoSuchMailbox),
        }
    }

    /// The UIDs of a mailbox, ascending. In the order of
    /// [`read_rows`](Mailboxes::read_rows): blocks last.
    pub(super) async fn scan_uids(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<Vec<u32>> {
        let mut look = self.shared.beside.look(account, mailbox);
        let low = look.from;
        let (_, to) = keys::of_mailbox(keys::ROW, mailbox);
        let singles = self
            .scan_marks(account, (keys::row(mailbox, low), to))
            .await?;
        let (_, to) = keys::of_mailbox(keys::GONE, mailbox);
        let gone = self
            .scan_marks(account, (keys::gone(mailbox, low), to))
            .await?;
        let count = u32::try_from(singles.len() + gone.len()).unwrap_or(u32::MAX);
        if count >= self.shared.options.fold_at {
            self.fold_if_due(account, mailbox, count);
        }
        let mut uids = Vec::new();
        for (_, list) in self.block_lists(account, mailbox, 0, u32::MAX).await? {
            uids.extend(list);
        }
        // A message that comes now is behind all others.
        let loose = singles.first().into_iter().chain(gone.first()).min();
        let behind = uids.last().map(|last| last.saturating_add(1));
        look.from = loose.copied().or(behind).unwrap_or(look.from);
        look.end();
        if uids.is_empty() {
            return Ok(singles);
        }
        uids.extend(singles);
        uids.sort_unstable();
        uids.dedup();
        if !gone.is_empty() {
            uids.retain(|uid| gone.binary_search(uid).is_err());
        }
        Ok(uids)
    }

    /// The numbers at the end of the keys of a range, without values.
    pub(super) async fn scan_marks(
        &self,
        account: AccountId,
        (mut from, to): (axigen_store::Key, axigen_store::Key),
    ) -> Result<Vec<u32>> {
        let mut uids = Vec::new();
        loop {
            let page = self
                .store
                .range(Range {
                    account,
                    from,
                    to: to.clone(),
                    limit: PAGE,
                    reverse: false,
                    keys_only: true,
                })
                .await?;
            for (key, _) in &page.rows {
                uids.push(uid_of(key)?);
            }
            match page.next {
                Some(next) => from = next,
                None => return Ok(uids),
            }
        }
    }
}

/// UIDs in order, each once.
pub(super) fn ascending(uids: &[u32]) -> Vec<u32> {
    let mut uids = uids.to_vec();
    uids.sort_unstable();
    uids.dedup();
    uids
}

/// The key of the block that lists a UID.
fn in_block(index: &[(u32, Vec<u32>)], uid: u32) -> Option<u32> {
    let at = index
        .partition_point(|(first, _)| *first <= uid)
        .checked_sub(1)?;
    let (first, list) = index.get(at)?;
    list.binary_search(&uid).ok().map(|_| *first)
}

pub(super) fn uid_of(key: &[u8]) -> Result<u32> {
    keys::trailing_u32(key).ok_or_else(|| Error::corrupt("a key"))
}
