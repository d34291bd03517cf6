//! One account's part of a batch while it is being put together.
//!
//! Whoever changes mailboxes says here what happens to rows; the counters, the
//! mailbox's modification number, the quota and the log follow from it, in the
//! same batch.

use std::collections::BTreeMap;

use axigen_store::{
    AccountId, Batch, Commit, Expect, Key, Op, Part, Slot, Template, blob::BlobRef,
};

use super::{
    Mailboxes,
    beside::Written,
    error::{Error, Result},
    keys::{self, Account, Counter},
    label::{self, Event},
    row::{Origin, Read, Stored},
    types::{MailboxId, Quota},
};

/// How often a change is tried again after others were faster.
pub(super) const TRIES: usize = 100;
/// Most messages one batch changes.
pub(super) const CHUNK: usize = 1000;

/// A part of a batch that is being put together.
#[derive(Debug)]
pub(super) struct Draft {
    part: Part,
    records: u16,
    mailboxes: BTreeMap<MailboxId, Delta>,
    bounds: Vec<(usize, Bound)>,
    /// Most bytes, and who is to blame.
    quota_bytes: Option<(u64, usize)>,
    /// Most messages, and who is to blame.
    quota_messages: Option<(u64, usize)>,
    gone: Option<MailboxId>,
    /// What happened, for the day the metadata is lost.
    notes: Vec<(Event, Vec<[u8; 32]>)>,
    /// The block that was asserted last.
    block: Option<(MailboxId, u32)>,
}

/// What a counter that has bounds counts.
#[derive(Debug, Clone, Copy)]
enum Bound {
    Quota { target: usize },
    TooMany(&'static str),
}

/// What happens to a mailbox's counters.
#[derive(Debug, Default, Clone, Copy)]
struct Delta {
    messages: i64,
    unseen: i64,
    deleted: i64,
    size: i64,
    written: Written,
}

impl Draft {
    pub(super) fn new(account: AccountId) -> Self {
        Draft {
            part: Part {
                account,
                asserts: Vec::new(),
                ops: Vec::new(),
                advance: true,
            },
            records: 0,
            mailboxes: BTreeMap::new(),
            bounds: Vec::new(),
            quota_bytes: None,
            quota_messages: None,
            gone: None,
            notes: Vec::new(),
            block: None,
        }
    }

    pub(super) fn account(&self) -> AccountId {
        self.part.account
    }

    /// The account's sequence number stays: nothing that others must see.
    pub(super) fn quiet(mut self) -> Self {
        self.part.advance = false;
        self
    }

    /// The account may hold this much afterwards; if it would hold more,
    /// `target` is to blame. The smallest of several counts.
    pub(super) fn quota(&mut self, quota: Quota, target: usize) {
        let tighten = |known: &mut Option<(u64, usize)>, limit: Option<u64>| {
            if let Some(limit) = limit
                && known.is_none_or(|(least, _)| limit < least)
            {
                *known = Some((limit, target));
            }
        };
        tighten(&mut self.quota_bytes, quota.bytes);
        tighten(&mut self.quota_messages, quota.messages);
    }

    pub(super) fn expect(&mut self, key: Key, expect: Expect) {
        self.part.asserts.push((key, expect));
    }

    pub(super) fn set(&mut self, key: impl Into<Template>, val: impl Into<Template>) {
        self.part.ops.push(Op::Set {
            key: key.into(),
            val: val.into(),
        });
    }

    pub(super) fn delete(&mut self, key: Key) {
        self.part.ops.push(Op::Delete(key));
    }

    pub(super) fn delete_range(&mut self, (from, to): (Key, Key)) {
        self.part.ops.push(Op::DeleteRange(from, to));
    }

    pub(super) fn retain(&mut self, blob: &BlobRef) {
        self.part.ops.push(Op::Retain(blob.clone()));
    }

    pub(super) fn release(&mut self, blob: &BlobRef) {
        self.part.ops.push(Op::Release(blob.clone()));
    }

    pub(super) fn log(&mut self, record: Template) {
        self.set(keys::new_log(self.records), record);
        self.records += 1;
    }

    /// Notes beside the contents what happens to them, see
    /// [`label`](super::label).
    pub(super) fn note(&mut self, event: Event, about: Vec<[u8; 32]>) {
        self.notes.push((event, about));
    }

    /// Adds to a counter that follows from nothing else.
    pub(super) fn add_to_key(&mut self, key: Key, delta: i64) {
        self.add_to(key, delta, None, None);
    }

    /// Adds to a counter of the account.
    pub(super) fn add(&mut self, which: Account, delta: i64) {
        self.add_to(keys::account(which), delta, None, None);
    }

    /// Adds to a counter of the account that may not exceed `max`.
    pub(super) fn add_within(&mut self, which: Account, delta: i64, max: u32, what: &'static str) {
        self.bounds
            .push((self.part.ops.len(), Bound::TooMany(what)));
        self.add_to(keys::account(which), delta, Some(max.into()), None);
    }

    /// The next item id, for `slot`.
    pub(super) fn next_item(&mut self, slot: u8) -> Slot {
        self.add_to(keys::account(Account::Item), 1, None, Some(slot));
        Slot::Counter(slot)
    }

    /// The mailbox's next UID, for `slot`.
    pub(super) fn next_uid(&mut self, mailbox: MailboxId, slot: u8) -> Slot {
        self.bounds.push((
            self.part.ops.len(),
            Bound::TooMany("messages were ever put into the mailbox: its UIDs are used up"),
        ));
        // RFC 9051 §2.3.1.1: UIDs have 32 bits; UIDNEXT must have room too.
        let key = keys::counter(mailbox, Counter::LastUid);
        self.add_to(key, 1, Some(i64::from(u32::MAX) - 1), Some(slot));
        Slot::Counter(slot)
    }

    /// The mailbox has a modification number from its first day.
    pub(super) fn touch(&mut self, mailbox: MailboxId) {
        self.mailboxes.entry(mailbox).or_default();
    }

    /// Puts a message under the UID in `uid`. With `item`, its item is new too.
    pub(super) fn add_row(
        &mut self,
        mailbox: MailboxId,
        uid: Slot,
        row: &Stored,
        item: Option<Slot>,
    ) {
        let value = match item {
            Some(slot) => row.encode_new(slot),
            None => row.encode(),
        };
        self.set(keys::new_in_mailbox(keys::ROW, mailbox, uid), value);
        self.wrote(mailbox, None);
        if row.deleted() {
            let mark = keys::new_in_mailbox(keys::DELETED, mailbox, uid);
            self.set(mark, &b""[..]);
        }
        self.count(mailbox, row, 1);
    }

    /// Takes a message out of a mailbox, if it is as it was read.
    pub(super) fn remove_row(&mut self, mailbox: MailboxId, old: &Read) {
        self.expect_row(mailbox, old);
        match &old.origin {
            Origin::Single(_) => self.delete(keys::row(mailbox, old.uid)),
            Origin::Over(_) => {
                self.delete(keys::row(mailbox, old.uid));
                self.set(keys::gone(mailbox, old.uid), &b""[..]);
            }
            Origin::Block(..) => self.set(keys::gone(mailbox, old.uid), &b""[..]),
        }
        self.wrote(mailbox, Some(old.uid));
        if old.row.deleted() {
            self.delete(keys::deleted(mailbox, old.uid));
        }
        self.count(mailbox, &old.row, -1);
    }

    /// Changes a message's row, if it is as it was read.
    pub(super) fn change_row(&mut self, mailbox: MailboxId, old: &Read, new: &Stored) {
        self.expect_row(mailbox, old);
        let value = match &old.origin {
            Origin::Single(_) => new.encode(),
            Origin::Over(_) | Origin::Block(..) => new.encode_over(),
        };
        self.set(keys::row(mailbox, old.uid), value);
        self.wrote(mailbox, Some(old.uid));
        self.changed_row(mailbox, old, new);
    }

    /// What follows from a row that is written in another way.
    pub(super) fn changed_row(&mut self, mailbox: MailboxId, old: &Read, new: &Stored) {
        match (old.row.deleted(), new.deleted()) {
            (false, true) => self.set(keys::deleted(mailbox, old.uid), &b""[..]),
            (true, false) => self.delete(keys::deleted(mailbox, old.uid)),
            _ => {}
        }
        self.count(mailbox, &old.row, -1);
        self.count(mailbox, new, 1);
    }

    /// A message goes with the block it is in.
    pub(super) fn removed_with_block(&mut self, mailbox: MailboxId, row: &Stored) {
        self.count(mailbox, row, -1);
    }

    /// The row is as it was read.
    pub(super) fn expect_row(&mut self, mailbox: MailboxId, old: &Read) {
        let key = keys::row(mailbox, old.uid);
        match &old.origin {
            Origin::Single(bytes) | Origin::Over(bytes) => {
                self.expect(key, Expect::Equals(bytes.clone()));
            }
            Origin::Block(first, bytes) => {
                self.expect(key, Expect::Absent);
                self.expect(keys::gone(mailbox, old.uid), Expect::Absent);
                // Rows of one block follow each other: once is enough.
                if self.block != Some((mailbox, *first)) {
                    self.block = Some((mailbox, *first));
                    let key = keys::block_rows(mailbox, *first);
                    self.expect(key, Expect::Equals(bytes.clone()));
                }
            }
        }
    }

    /// Something was written beside the mailbox's blocks.
    fn wrote(&mut self, mailbox: MailboxId, uid: Option<u32>) {
        let written = &mut self.mailboxes.entry(mailbox).or_default().written;
        written.count += 1;
        written.lowest = match (written.lowest, uid) {
            (Some(lowest), Some(uid)) => Some(lowest.min(uid)),
            (lowest, uid) => lowest.or(uid),
        };
    }

    /// What was written beside the blocks of which mailbox.
    fn written(&self) -> Vec<(AccountId, MailboxId, Written)> {
        let account = self.part.account;
        let mailboxes = self.mailboxes.iter();
        mailboxes
            .filter(|(_, delta)| delta.written.count > 0)
            .map(|(mailbox, delta)| (account, *mailbox, delta.written))
            .collect()
    }

    /// Bytes and messages that the account holds more, or fewer, afterwards.
    fn change(&self) -> (i64, i64) {
        let all = self.mailboxes.values();
        all.fold((0, 0), |(bytes, messages), delta| {
            (bytes + delta.size, messages + delta.messages)
        })
    }

    /// The part, with the counters that follow from its rows.
    fn finish(mut self) -> (Part, Vec<(usize, Bound)>) {
        let (bytes, messages) = self.change();
        for (mailbox, delta) in std::mem::take(&mut self.mailboxes) {
            if self.gone == Some(mailbox) {
                continue;
            }
            for (which, delta) in [
                (Counter::Messages, delta.messages),
                (Counter::Unseen, delta.unseen),
                (Counter::Deleted, delta.deleted),
                (Counter::Size, delta.size),
            ] {
                if delta != 0 {
                    self.add_to(keys::counter(mailbox, which), delta, None, None);
                }
            }
            if self.part.advance {
                self.set(
                    keys::counter(mailbox, Counter::Modseq),
                    Template {
                        bytes: bytes::Bytes::from_static(&[0; 8]),
                        patches: vec![axigen_store::Patch {
                            at: 0,
                            width: 8,
                            slot: Slot::Seq,
                        }],
                    },
                );
            }
        }
        self.add_to_quota(Account::Messages, messages, self.quota_messages);
        self.add_to_quota(Account::Bytes, bytes, self.quota_bytes);
        (self.part, self.bounds)
    }

    /// Adds to a counter of the account that has a quota.
    fn add_to_quota(&mut self, which: Account, delta: i64, quota: Option<(u64, usize)>) {
        if delta == 0 {
            return;
        }
        // What makes room is always allowed, also above the quota.
        let quota = quota.filter(|_| delta > 0);
        if let Some((_, target)) = quota {
            self.bounds
                .push((self.part.ops.len(), Bound::Quota { target }));
        }
        let max = quota.map(|(max, _)| i64::try_from(max).unwrap_or(i64::MAX));
        self.add_to(keys::account(which), delta, max, None);
    }

    fn count(&mut self, mailbox: MailboxId, row: &Stored, sign: i64) {
        let delta = self.mailboxes.entry(mailbox).or_default();
        delta.messages += sign;
        delta.unseen += sign * i64::from(row.unseen());
        delta.deleted += sign * i64::from(row.deleted());
        delta.size += sign * row.size as i64;
    }

    fn add_to(&mut self, key: Key, delta: i64, max: Option<i64>, slot: Option<u8>) {
        self.part.ops.push(Op::Add {
            key,
            delta,
            min: None,
            max,
            slot,
        });
    }

    /// The mailbox is still there.
    pub(super) fn mailbox_exists(&mut self, mailbox: MailboxId) {
        self.expect(keys::mailbox(mailbox), Expect::Present);
    }

    /// The mailbox is being removed and has no counters any more; what its
    /// messages are to the account still counts.
    pub(super) fn without_counters(&mut self, mailbox: MailboxId) {
        self.gone = Some(mailbox);
    }
}

impl Mailboxes {
    /// Does a batch of drafts, durable on `Ok`; `None` if others were faster
    /// and the caller must read again.
    pub(super) async fn commit(&self, drafts: Vec<Draft>) -> Result<Option<Commit>> {
        self.commit_beside(drafts, None).await
    }

    /// The same, with one more part at its end.
    pub(super) async fn commit_beside(
        &self,
        mut drafts: Vec<Draft>,
        beside: Option<Part>,
    ) -> Result<Option<Commit>> {
        let notes: Vec<_> = drafts
            .iter_mut()
            .flat_map(|draft| std::mem::take(&mut draft.notes))
            .collect();
        let written: Vec<_> = drafts.iter().flat_map(Draft::written).collect();
        let changes: Vec<(i64, i64)> = drafts.iter().map(Draft::change).collect();
        let (mut parts, bounds): (Vec<Part>, Vec<Vec<(usize, Bound)>>) =
            drafts.into_iter().map(Draft::finish).unzip();
        for (part, (bytes, messages)) in parts.iter_mut().zip(changes) {
            if bytes < 0 || messages < 0 {
                self.room_made(part, bytes, messages).await?;
            }
        }
        parts.extend(beside);
        let places = written.iter().filter_map(|(account, mailbox, written)| {
            written.lowest.map(|lowest| ((*account, *mailbox), lowest))
        });
        let writing = self.shared.beside.writing(places);
        match self.store.commit(Batch { parts }).await {
            Ok(commit) => {
                writing.written();
                for (account, mailbox, written) in written {
                    self.fold_if_due(account, mailbox, written.count);
                }
                for (event, about) in notes {
                    label::note(&self.store, event, about).await;
                }
                Ok(Some(commit))
            }
            Err(axigen_store::Error::Conflict { .. }) => {
                writing.refused();
                tokio::task::yield_now().await;
                Ok(None)
            }
            Err(axigen_store::Error::Bound { part, index }) => {
                writing.refused();
                let bound = bounds
                    .get(part)
                    .and_then(|part| part.iter().find(|(op, _)| *op == index));
                Err(match bound {
                    Some((_, Bound::Quota { target })) => Error::OverQuota { target: *target },
                    Some((_, Bound::TooMany(what))) => Error::TooMany(what),
                    None => axigen_store::Error::Bound { part, index }.into(),
                })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Others were faster each time.
pub(super) fn contended() -> Error {
    axigen_store::Error::Conflict { part: 0, index: 0 }.into()
}
