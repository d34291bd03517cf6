//! Copying and moving messages, inside an account and from one to another.

use axigen_store::{AccountId, Expect, Slot};
use bytes::Bytes;

use super::{
    Mailboxes,
    draft::{CHUNK, Draft, TRIES, contended},
    error::{Error, Result},
    folders::Folder,
    item::Item,
    keys,
    keywords::Words,
    label::{Arrival, Event, now},
    log::Record,
    row::{Read, Stored},
    select::ascending,
    types::{Copied, FlagChange, Flags, MailboxId, Quota},
    view::View,
};

const UID: u8 = 0;
const ITEM: u8 = 1;
/// Most bytes of item records one batch copies.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// What becomes of a copy or a move of messages of which some are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenGone {
    /// They are left out.
    LeaveOut,
    /// Nothing is done.
    Refuse,
}

impl WhenGone {
    /// Whether so many of the messages are there that it goes on.
    fn admits(self, there: usize, wanted: usize) -> Result<()> {
        match self == WhenGone::Refuse && there < wanted {
            true => Err(Error::NoSuchMessage),
            false => Ok(()),
        }
    }
}

/// From where to where.
#[derive(Debug)]
struct Way<'v> {
    when_gone: WhenGone,
    from: &'v View,
    to: &'v View,
    source: Folder,
    target: Folder,
    quota: Quota,
}

/// What a batch did.
#[derive(Debug, Default)]
struct Done {
    /// UIDs it looked at.
    looked_at: usize,
    /// Old and new UIDs.
    pairs: Vec<(u32, u32)>,
    /// New ones that the reader has seen, and whose rows do not say so.
    seen: Vec<u32>,
}

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
    /// [`Error::NoSuchMailbox`] if either is missing, [`Error::OverQuota`] with
    /// target 0, [`Error::Store`].
    pub async fn copy(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: &[u32],
        to: MailboxId,
        quota: Quota,
    ) -> Result<Copied> {
        let (from, to) = (View::own(account, from), View::own(account, to));
        self.copy_of(&from, uids, &to, quota, WhenGone::LeaveOut)
            .await
    }

    /// [`copy`](Mailboxes::copy) by one who looks at both mailboxes, which may
    /// be of two accounts. Flags that the reader may not give there are left
    /// out; the quota is that of the account it goes to.
    ///
    /// # Errors
    /// As [`copy`](Mailboxes::copy); [`Error::NoSuchMessage`] with
    /// [`WhenGone::Refuse`]: nothing was copied then.
    pub async fn copy_of(
        &self,
        from: &View,
        uids: &[u32],
        to: &View,
        quota: Quota,
        when_gone: WhenGone,
    ) -> Result<Copied> {
        let way = self.way(from, to, quota, when_gone).await?;
        let uids = ascending(uids);
        let mut copied = Copied {
            uid_validity: way.target.uid_validity,
            uids: Vec::with_capacity(uids.len()),
        };
        let mut rest = uids.as_slice();
        while !rest.is_empty() {
            match self.copy_chunk(&way, rest).await {
                Ok(done) => {
                    copied.uids.extend(done.pairs);
                    rest = rest.get(done.looked_at..).unwrap_or_default();
                    self.mark_seen(to, &done.seen).await;
                }
                Err(error) => {
                    let made: Vec<u32> = copied.uids.iter().map(|&(_, new)| new).collect();
                    if !made.is_empty()
                        && let Err(again) = self.erase(to.account, to.mailbox, &made, false).await
                    {
                        tracing::warn!(
                            account = to.account.0,
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
    /// [`Error::NoSuchMailbox`] if either is missing, [`Error::Store`].
    pub async fn move_(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: &[u32],
        to: MailboxId,
    ) -> Result<Copied> {
        let (from, to) = (View::own(account, from), View::own(account, to));
        self.move_of(&from, uids, &to, Quota::NONE, WhenGone::LeaveOut)
            .await
    }

    /// [`move_`](Mailboxes::move_) by one who looks at both mailboxes. Between
    /// two accounts messages become new items, and the quota of the account they
    /// go to counts.
    ///
    /// # Errors
    /// As [`move_`](Mailboxes::move_); [`Error::OverQuota`] with target 0;
    /// [`Error::NoSuchMessage`] with [`WhenGone::Refuse`]: nothing was moved then.
    /// If a message goes while more than a thousand are moved, those that were
    /// moved before are given, and the rest stays where it is.
    pub async fn move_of(
        &self,
        from: &View,
        uids: &[u32],
        to: &View,
        quota: Quota,
        when_gone: WhenGone,
    ) -> Result<Copied> {
        let way = self.way(from, to, quota, when_gone).await?;
        let uids = ascending(uids);
        let mut moved = Copied {
            uid_validity: way.target.uid_validity,
            uids: Vec::with_capacity(uids.len()),
        };
        if when_gone == WhenGone::Refuse && uids.len() > CHUNK {
            // Before the first batch, since that one stays.
            let rows = self.read_rows(from.account, from.mailbox, &uids).await?;
            when_gone.admits(rows.len(), uids.len())?;
        }
        let mut rest = uids.as_slice();
        while !rest.is_empty() {
            let done = match from.account == to.account {
                true => self.move_chunk(&way, rest).await,
                false => self.move_across(&way, rest).await,
            };
            let done = match done {
                Err(Error::NoSuchMessage) if !moved.uids.is_empty() => break,
                done => done?,
            };
            moved.uids.extend(done.pairs);
            rest = rest.get(done.looked_at..).unwrap_or_default();
            self.mark_seen(to, &done.seen).await;
        }
        Ok(moved)
    }

    async fn way<'v>(
        &self,
        from: &'v View,
        to: &'v View,
        quota: Quota,
        when_gone: WhenGone,
    ) -> Result<Way<'v>> {
        Ok(Way {
            when_gone,
            from,
            to,
            source: self.record(from.account, from.mailbox).await?,
            target: self.record(to.account, to.mailbox).await?,
            quota,
        })
    }

    /// What the reader had seen stays seen. The messages are there already: who
    /// was told that they are not would bring them a second time.
    async fn mark_seen(&self, to: &View, uids: &[u32]) {
        if uids.is_empty() {
            return;
        }
        let seen = FlagChange::Add(Flags::from(Flags::SEEN));
        if let Err(error) = self.store_flags_of(to, uids, &seen, None).await {
            tracing::warn!(
                account = to.account.0,
                %error,
                "messages were copied without the reader's \\Seen"
            );
        }
    }

    /// Copies the first messages of `uids`.
    async fn copy_chunk(&self, way: &Way<'_>, uids: &[u32]) -> Result<Done> {
        let (from, to) = (way.from, way.to);
        let chunk = uids.get(..CHUNK).unwrap_or(uids);
        for _ in 0..TRIES {
            let rows = self.read_rows(from.account, from.mailbox, chunk).await?;
            way.when_gone.admits(rows.len(), chunk.len())?;
            let (contents, whole) = self.contents(from.account, &rows).await?;
            if whole && way.when_gone.admits(contents.len(), rows.len()).is_err() {
                // One was expunged just now: its row is gone, too.
                continue;
            }
            let Some((last, _)) = contents.last() else {
                // Either all are gone, or what is left was expunged just now.
                match rows.is_empty() {
                    true => return Ok(Done::all(chunk)),
                    false => continue,
                }
            };
            let looked_at = match whole {
                true => chunk.len(),
                false => chunk.partition_point(|uid| *uid <= last.uid),
            };
            let mut drafts = vec![Draft::new(to.account)];
            if from.account != to.account {
                drafts.push(Draft::new(from.account).quiet());
            }
            if let Some(source) = drafts.last_mut() {
                source.mailbox_exists(from.mailbox);
                for (read, _) in &contents {
                    // Its content must not go while it is copied; its flags
                    // may change.
                    source.expect(keys::item(read.row.item), Expect::Present);
                }
            }
            let mut seen = Vec::new();
            if let Some(target) = drafts.first_mut() {
                seen = self.bring(way, &contents, target).await?;
            }
            if let Some(commit) = self.commit(drafts).await? {
                let last = commit
                    .parts
                    .first()
                    .map(|part| part.slots[usize::from(UID)]);
                let sources: Vec<u32> = contents.iter().map(|(read, _)| read.uid).collect();
                return Ok(Done::new(looked_at, sources, last, &seen));
            }
            self.must_exist(from.account, from.mailbox).await?;
            self.must_exist(to.account, to.mailbox).await?;
        }
        Err(contended())
    }

    /// Puts messages as new items into a batch; gives the source UIDs of those
    /// that the reader has seen and whose new rows do not say so.
    async fn bring(
        &self,
        way: &Way<'_>,
        contents: &[(&Read, Bytes)],
        target: &mut Draft,
    ) -> Result<Vec<u32>> {
        let to = way.to;
        target.mailbox_exists(to.mailbox);
        target.quota(way.quota, 0);
        let rows: Vec<&Read> = contents.iter().map(|(read, _)| *read).collect();
        let (new, seen) = self.translated(way, &rows, target).await?;
        let mut hashes = Vec::with_capacity(contents.len());
        for ((_, record), row) in contents.iter().zip(&new) {
            let uid = target.next_uid(to.mailbox, UID);
            let id = target.next_item(ITEM);
            target.add_row(to.mailbox, uid, row, Some(id));
            target.set(keys::new_item(id), record.clone());
            let item = Item::decode(record)?;
            item.retain(target);
            if way.from.account == to.account {
                hashes.push(item.content.hash);
                continue;
            }
            // For salvage it is as if the message had been delivered.
            let arrival = Arrival {
                account: to.account,
                mailbox: way.target.name.clone(),
                flags: row.system,
            };
            let event = Event::Delivered {
                internal_date: row.internal_date,
                internal_zone: row.internal_zone,
                places: vec![arrival],
            };
            target.note(event, vec![item.content.hash]);
        }
        if way.from.account == to.account {
            let event = Event::Copied {
                account: to.account,
                from: way.source.name.clone(),
                to: way.target.name.clone(),
            };
            target.note(event, hashes);
        }
        let count = new.len() as u32;
        target.log(Record::added(to.mailbox, Slot::Counter(UID), count));
        Ok(seen)
    }

    /// Rows as they are to be where they go: flags that the reader may give,
    /// keywords with the numbers of that account.
    async fn translated(
        &self,
        way: &Way<'_>,
        rows: &[&Read],
        target: &mut Draft,
    ) -> Result<(Vec<Stored>, Vec<u32>)> {
        let (from, to) = (way.from, way.to);
        let uids: Vec<u32> = rows.iter().map(|read| read.uid).collect();
        let marks = match from.guest() {
            Some(guest) => Some(self.marks(from.account, from.mailbox, guest, &uids).await?),
            None => None,
        };
        let mut words = self.translator(way, rows).await?;
        let allowed = to.allowed();
        let now = now();
        let mut seen = Vec::new();
        let mut new = Vec::with_capacity(rows.len());
        for read in rows {
            let mut row = read.row.clone();
            let has_seen = match &marks {
                Some(marks) => marks.get(&read.uid).is_some_and(|mark| mark.seen),
                None => !row.unseen(),
            };
            // RFC 8514 §3: it is saved there now.
            row.saved = now;
            // The row's own is what the account it is in has seen.
            let owner_has_seen = match (from.account == to.account, to.guest()) {
                (true, _) => !row.unseen(),
                (false, None) => has_seen,
                (false, Some(_)) => false,
            };
            if to.guest().is_some() && has_seen {
                seen.push(read.uid);
            }
            row.system &= !Flags::SEEN & (allowed.system | Flags::SEEN);
            if owner_has_seen {
                row.system |= Flags::SEEN;
            }
            match (&mut words, allowed.keywords) {
                (_, false) => row.words.clear(),
                (Some((known, words)), true) => {
                    row.words = words.numbers(&known.flags(&row)?.keywords)?;
                }
                (None, true) => {}
            }
            new.push(row);
        }
        if let Some((_, words)) = &words {
            words.write(target);
        }
        Ok((new, seen))
    }

    /// The keywords of both accounts, if they are two.
    async fn translator(&self, way: &Way<'_>, rows: &[&Read]) -> Result<Option<(Words, Words)>> {
        let (from, to) = (way.from, way.to);
        if from.account == to.account {
            return Ok(None);
        }
        let rows: Vec<Read> = rows.iter().map(|read| (*read).clone()).collect();
        let known = self.words(from.account, &[], &rows).await?;
        let mut names = Vec::new();
        for read in &rows {
            names.extend(known.flags(&read.row)?.keywords);
        }
        let words = self.words(to.account, &names, &[]).await?;
        Ok(Some((known, words)))
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

    /// Moves the first messages of `uids` inside an account.
    async fn move_chunk(&self, way: &Way<'_>, uids: &[u32]) -> Result<Done> {
        let (account, from, to) = (way.from.account, way.from.mailbox, way.to.mailbox);
        let chunk = uids.get(..CHUNK).unwrap_or(uids);
        for _ in 0..TRIES {
            let rows = self.read_rows(account, from, chunk).await?;
            way.when_gone.admits(rows.len(), chunk.len())?;
            if rows.is_empty() {
                return Ok(Done::all(chunk));
            }
            let sources: Vec<u32> = rows.iter().map(|read| read.uid).collect();
            let mut draft = Draft::new(account);
            draft.mailbox_exists(from);
            draft.mailbox_exists(to);
            let reads: Vec<&Read> = rows.iter().collect();
            let (new, seen) = self.translated(way, &reads, &mut draft).await?;
            for (read, row) in rows.iter().zip(&new) {
                draft.remove_row(from, read);
                let uid = draft.next_uid(to, UID);
                draft.add_row(to, uid, row, None);
            }
            self.forget_marks(account, from, &sources, &mut draft)
                .await?;
            let event = Event::Moved {
                account,
                from: way.source.name.clone(),
                to: way.target.name.clone(),
            };
            draft.note(event, self.hashes(account, &rows).await?);
            let count = sources.len() as u32;
            draft.log(Record::vanished(from, &sources));
            draft.log(Record::added(to, Slot::Counter(UID), count));
            if let Some(commit) = self.commit(vec![draft]).await? {
                let last = commit
                    .parts
                    .first()
                    .map(|part| part.slots[usize::from(UID)]);
                return Ok(Done::new(chunk.len(), sources, last, &seen));
            }
            self.must_exist(account, from).await?;
            self.must_exist(account, to).await?;
        }
        Err(contended())
    }

    /// Moves the first messages of `uids` to another account, in one batch of
    /// both.
    async fn move_across(&self, way: &Way<'_>, uids: &[u32]) -> Result<Done> {
        let (from, to) = (way.from, way.to);
        let chunk = uids.get(..CHUNK).unwrap_or(uids);
        for _ in 0..TRIES {
            let mut rows = self.read_rows(from.account, from.mailbox, chunk).await?;
            way.when_gone.admits(rows.len(), chunk.len())?;
            let (contents, whole) = self.contents(from.account, &rows).await?;
            if whole && way.when_gone.admits(contents.len(), rows.len()).is_err() {
                continue;
            }
            let kept: Vec<u32> = contents.iter().map(|(read, _)| read.uid).collect();
            let looked_at = match (contents.last(), whole) {
                (None, _) if rows.is_empty() => return Ok(Done::all(chunk)),
                (None, _) => continue,
                (Some(_), true) => chunk.len(),
                (Some((last, _)), false) => chunk.partition_point(|uid| *uid <= last.uid),
            };
            let mut target = Draft::new(to.account);
            let seen = self.bring(way, &contents, &mut target).await?;
            rows.retain(|read| kept.binary_search(&read.uid).is_ok());
            let mut source = Draft::new(from.account);
            source.mailbox_exists(from.mailbox);
            let hashes = self
                .take_out(from.account, from.mailbox, &rows, &mut source)
                .await?;
            let event = Event::Removed {
                account: from.account,
                from: way.source.name.clone(),
            };
            source.note(event, hashes);
            source.log(Record::vanished(from.mailbox, &kept));
            if let Some(commit) = self.commit(vec![target, source]).await? {
                let last = commit
                    .parts
                    .first()
                    .map(|part| part.slots[usize::from(UID)]);
                return Ok(Done::new(looked_at, kept, last, &seen));
            }
            self.must_exist(from.account, from.mailbox).await?;
            self.must_exist(to.account, to.mailbox).await?;
        }
        Err(contended())
    }
}

impl Done {
    /// Nothing is left of these.
    fn all(chunk: &[u32]) -> Done {
        Done {
            looked_at: chunk.len(),
            ..Done::default()
        }
    }

    /// New UIDs follow each other up to `last`.
    fn new(looked_at: usize, sources: Vec<u32>, last: Option<i64>, seen: &[u32]) -> Done {
        let last = last.unwrap_or(0) as u32;
        let first = (last + 1).saturating_sub(sources.len() as u32);
        let pairs: Vec<(u32, u32)> = sources.into_iter().zip(first..).collect();
        let is_seen = |pair: &&(u32, u32)| seen.binary_search(&pair.0).is_ok();
        Done {
            looked_at,
            seen: pairs.iter().filter(is_seen).map(|(_, new)| *new).collect(),
            pairs,
        }
    }
}
