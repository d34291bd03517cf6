//! Setting right what [`Mailboxes::verify`] finds.
//!
//! Only what is wrong is touched, so that an interrupted repair is gone on with
//! by calling it again. Messages come first: counters, indexes and the log
//! follow from them. Clients that were connected before read everything anew.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use axigen_store::{AccountId, Key, Patch, Slot, Template, blob::BlobIn, blob::BlobRef};
use bytes::Bytes;

use super::{
    Mailboxes, block,
    draft::Draft,
    error::{Error, Result},
    folders::{self, Folder, id_bytes},
    item::{self, Item, Kept},
    keys::{self, Account, COUNTERS, Counter},
    names::{self, INBOX},
    row::{Origin, Read, Stored},
    types::{Flags, MailboxId, NewMessage, Place, Quota, Target},
};

/// Keys set or deleted in one batch.
const BATCH: usize = 500;

/// What [`Mailboxes::repair`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Messages whose content is lost, taken out: mailbox and UID.
    pub lost: Vec<(String, u32)>,
    /// Messages that were in no mailbox and are in INBOX now.
    pub recovered: u64,
    /// What else was set right, in sentences.
    pub mended: Vec<String>,
}

/// Where a row is, with what it says.
#[derive(Debug, Clone)]
struct Found {
    row: Stored,
    in_block: bool,
}

type Rows = BTreeMap<(u32, u32), Found>;

/// Changes on their way: written when they are many.
struct Mend<'m> {
    mailboxes: &'m Mailboxes,
    account: AccountId,
    draft: Draft,
    ops: usize,
    report: Repaired,
}

impl Mend<'_> {
    async fn set(&mut self, key: Key, value: impl Into<Template>) -> Result<()> {
        self.draft.set(key, value);
        self.count().await
    }

    async fn delete(&mut self, key: Key) -> Result<()> {
        self.draft.delete(key);
        self.count().await
    }

    async fn count(&mut self) -> Result<()> {
        self.ops += 1;
        match self.ops >= BATCH {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<()> {
        let draft = std::mem::replace(&mut self.draft, Draft::new(self.account));
        if std::mem::take(&mut self.ops) > 0 {
            // Nothing is asserted.
            self.mailboxes.commit(vec![draft]).await?;
        }
        Ok(())
    }

    fn say(&mut self, what: String) {
        self.report.mended.push(what);
    }
}

impl Mailboxes {
    /// Sets an account's rows, counters, indexes and names right. Messages
    /// whose content is among the `lost` blobs are taken out; items that are in
    /// no mailbox come into INBOX. For an account that nobody uses meanwhile;
    /// afterwards the store must [count references](axigen_store::Store::repair).
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn repair(&self, account: AccountId, lost: &HashSet<[u8; 32]>) -> Result<Repaired> {
        self.finish_deletions(account).await?;
        self.shared.beside.forget(account);
        self.shared.listed.forget(account);
        let mut mend = Mend {
            mailboxes: self,
            account,
            draft: Draft::new(account),
            ops: 0,
            report: Repaired::default(),
        };
        let mut folders = self.repair_names(account, &mut mend).await?;
        let mut rows = self.repair_places(account, &mut mend).await?;
        self.adopt_mailboxes(&rows, &mut folders, &mut mend).await?;
        let orphans = self
            .repair_items(account, &mut rows, &folders, lost, &mut mend)
            .await?;
        self.repair_counters(account, &folders, &rows, &mut mend)
            .await?;
        let there = |id, uid| rows.contains_key(&(id, uid));
        for (what, key, value) in self.wrong_marks(account, there).await? {
            mend.say(what);
            match value {
                Some(value) => mend.set(key, value).await?,
                None => mend.delete(key).await?,
            }
        }
        mend.flush().await?;
        self.forget_table(account);
        self.shared.beside.forget(account);
        self.shared.listed.forget(account);
        for (key, content) in orphans {
            self.recover(account, key, content, &mut mend).await?;
        }
        Ok(mend.report)
    }

    /// Names and mailboxes name each other, one to one.
    async fn repair_names(
        &self,
        account: AccountId,
        mend: &mut Mend<'_>,
    ) -> Result<BTreeMap<u32, Folder>> {
        let (from, to) = keys::all(keys::MAILBOX);
        let mut folders = BTreeMap::new();
        for (key, record) in self.store.scan(account, from, to).await? {
            match (keys::trailing_u32(&key), Folder::decode(&record)) {
                (Some(id), Ok(folder)) => drop(folders.insert(id, folder)),
                _ => {
                    mend.say("a mailbox's record could not be read".into());
                    mend.delete(key).await?;
                }
            }
        }
        let (from, to) = keys::all(keys::NAME);
        let mut named = BTreeMap::new();
        for (key, value) in self.store.scan(account, from, to).await? {
            let id = folders::id(value).map_or(0, |id| id.0);
            let name = key.get(1..).unwrap_or_default();
            match folders.get(&id) {
                Some(folder) if folder.name.as_bytes() == name => {
                    named.insert(folder.name.clone(), id);
                }
                _ => {
                    let name = String::from_utf8_lossy(name).into_owned();
                    mend.say(format!("the name {name:?} led to no mailbox"));
                    mend.delete(key).await?;
                }
            }
        }
        let mut validities = HashSet::new();
        let mut next = folders.values().map(|folder| folder.uid_validity).max();
        let ids: Vec<u32> = folders.keys().copied().collect();
        for id in ids {
            let Some(folder) = folders.get_mut(&id) else {
                continue;
            };
            let mut changed = false;
            if named.get(&folder.name) != Some(&id) {
                if named.contains_key(&folder.name) || names::normalise(&folder.name).is_err() {
                    folder.name = format!("Repaired {id}");
                }
                named.insert(folder.name.clone(), id);
                mend.say(format!(
                    "mailbox {:?} could not be found by its name",
                    folder.name
                ));
                changed = true;
            }
            if !validities.insert(folder.uid_validity) {
                let new = next.unwrap_or(0).saturating_add(1);
                next = Some(new);
                mend.say(format!("{:?} had the UID validity of another", folder.name));
                folder.uid_validity = new;
                changed = true;
            }
            if changed {
                mend.set(keys::name(&folder.name), id_bytes(MailboxId(id)))
                    .await?;
                mend.set(keys::mailbox(MailboxId(id)), folder.encode())
                    .await?;
            }
        }
        Ok(folders)
    }

    /// Rows where they belong: in blocks, before those, alone.
    async fn repair_places(&self, account: AccountId, mend: &mut Mend<'_>) -> Result<Rows> {
        let mut rows = self.repair_blocks(account, mend).await?;
        let (from, to) = keys::all(keys::ROW);
        for (key, bytes) in self.store.scan(account, from, to).await? {
            let read = place(&key).map(|at| (at, Read::single(at.1, bytes)));
            let Some((at, Ok(read))) = read else {
                mend.say("a message's row could not be read".into());
                mend.delete(key).await?;
                continue;
            };
            let in_block = rows.contains_key(&at);
            if in_block != matches!(read.origin, Origin::Over(_)) {
                mend.say(format!("UID {} of mailbox {} was misplaced", at.1, at.0));
                write(mend, at, &read.row, in_block).await?;
            }
            let row = read.row;
            rows.insert(at, Found { row, in_block });
        }
        let (from, to) = keys::all(keys::GONE);
        for (key, _) in self.store.scan(account, from, to).await? {
            let known = place(&key).and_then(|at| rows.remove(&at));
            if known.is_none_or(|found| !found.in_block) {
                mend.say("a message that is not there was marked as removed".into());
                mend.delete(key).await?;
            }
        }
        Ok(rows)
    }

    async fn repair_blocks(&self, account: AccountId, mend: &mut Mend<'_>) -> Result<Rows> {
        let (from, to) = keys::all(keys::BLOCK_UIDS);
        let lists = self.store.scan(account, from, to).await?;
        let (from, to) = keys::all(keys::BLOCK_ROWS);
        let values = self.store.scan(account, from, to).await?;
        let mut values: HashMap<_, _> = values
            .into_iter()
            .map(|(key, value)| (place(&key), (key, value)))
            .collect();
        let mut rows = Rows::new();
        let mut end = (0, 0);
        let mut known = HashSet::new();
        for (key, list) in lists {
            let read = || -> Option<_> {
                let at = place(&key)?;
                let uids = block::decode_list(&list).ok()?;
                let (_, bytes) = values.get(&Some(at))?;
                let of_block = block::decode_rows(bytes, uids.len()).ok()?;
                let ends = (at.0, *uids.last()?);
                let fits = uids.first().is_some_and(|uid| *uid >= at.1) && end < at;
                fits.then_some((at, uids, of_block, ends))
            };
            match read() {
                Some((at, uids, of_block, ends)) => {
                    values.remove(&Some(at));
                    known.insert(at);
                    end = ends;
                    for (uid, row) in uids.into_iter().zip(of_block) {
                        let in_block = true;
                        rows.insert((at.0, uid), Found { row, in_block });
                    }
                }
                None => {
                    mend.say("a block of messages could not be read".into());
                    mend.delete(key).await?;
                }
            }
        }
        for (key, _) in values.into_values() {
            mend.say("rows of a block had no UIDs".into());
            mend.delete(key).await?;
        }
        let (from, to) = keys::all(keys::BLOCK_BRIEFS);
        for key in self
            .store
            .scan(account, from, to)
            .await?
            .into_iter()
            .map(|(key, _)| key)
        {
            if !place(&key).is_some_and(|at| known.contains(&at)) {
                mend.say("messages in brief were of no block".into());
                mend.delete(key).await?;
            }
        }
        Ok(rows)
    }

    /// Mailboxes for messages whose mailbox is not there.
    async fn adopt_mailboxes(
        &self,
        rows: &Rows,
        folders: &mut BTreeMap<u32, Folder>,
        mend: &mut Mend<'_>,
    ) -> Result<()> {
        let used: BTreeSet<u32> = rows.keys().map(|(mailbox, _)| *mailbox).collect();
        let validity = folders.values().map(|folder| folder.uid_validity).max();
        let mut next = validity.unwrap_or(0).max(self.first_validity() as u32);
        let inbox = folders.values().any(|folder| folder.name == INBOX);
        let missing: Vec<u32> = used
            .into_iter()
            .filter(|id| !folders.contains_key(id))
            .collect();
        for (number, id) in missing.into_iter().enumerate() {
            next = next.saturating_add(1);
            let name = match number == 0 && !inbox {
                true => INBOX.to_owned(),
                false => format!("Recovered {id}"),
            };
            mend.say(format!(
                "messages of mailbox {id}, whose record is lost, are in {name:?}"
            ));
            let folder = Folder {
                uid_validity: next,
                special_use: None,
                name,
            };
            mend.set(keys::name(&folder.name), id_bytes(MailboxId(id)))
                .await?;
            mend.set(keys::mailbox(MailboxId(id)), folder.encode())
                .await?;
            folders.insert(id, folder);
        }
        Ok(())
    }

    /// Each row has an item of its own that can be read. Gives the items that
    /// no row has.
    async fn repair_items(
        &self,
        account: AccountId,
        rows: &mut Rows,
        folders: &BTreeMap<u32, Folder>,
        lost: &HashSet<[u8; 32]>,
        mend: &mut Mend<'_>,
    ) -> Result<Vec<(Key, BlobRef)>> {
        let mut items: HashMap<u64, (Key, BlobRef)> = HashMap::new();
        let mut gone = HashSet::new();
        let (from, to) = keys::all(keys::ITEM);
        for (key, record) in self.store.scan(account, from, to).await? {
            let id = key
                .last_chunk::<8>()
                .map_or(0, |id| u64::from_be_bytes(*id));
            let item = Item::decode(&record).ok();
            let Some(item) = item.filter(|item| !lost.contains(&item.content.hash)) else {
                mend.delete(key).await?;
                gone.insert(id);
                continue;
            };
            if let Kept::Apart(blob) = &item.structure
                && lost.contains(&blob.hash)
            {
                mend.say("the structure of a message was parsed anew".into());
                let raw = self.store.read(&item.content, 0..u64::MAX).await?;
                let structure = Bytes::from(item::parse(raw).await.encode());
                let put = vec![BlobIn::new(structure, Bytes::new())];
                // The store counts references afterwards.
                let apart = self.store.put(put).await?.into_iter().next();
                let apart = apart.ok_or_else(|| Error::corrupt("an answer of the store"))?;
                mend.draft.retain(&apart);
                let anew = Item {
                    content: item.content.clone(),
                    structure: Kept::Apart(apart),
                    brief: item.brief.clone(),
                };
                mend.set(key.clone(), anew.encode()).await?;
            }
            items.insert(id, (key, item.content));
        }
        let words = self.keywords(account).await?.len();
        let mut dropped = Vec::new();
        for (at, found) in rows.iter_mut() {
            let item = items.remove(&found.row.item.0);
            let name = folders.get(&at.0).map_or("", |folder| &folder.name);
            let Some((_, content)) = item else {
                match gone.contains(&found.row.item.0) {
                    true => mend.report.lost.push((name.to_owned(), at.1)),
                    false => mend.say(format!("UID {} of {name:?} had no message", at.1)),
                }
                remove(mend, *at, found.in_block).await?;
                dropped.push(*at);
                continue;
            };
            let known = |word: &u16| usize::from(*word) < words;
            if content.len != found.row.size || !found.row.words.iter().all(known) {
                mend.say(format!("the row of UID {} of {name:?} was wrong", at.1));
                found.row.size = content.len;
                found.row.words.retain(known);
                write(mend, *at, &found.row, found.in_block).await?;
            }
        }
        for at in dropped {
            rows.remove(&at);
        }
        Ok(items.into_values().collect())
    }

    /// Everything that follows from the messages.
    async fn repair_counters(
        &self,
        account: AccountId,
        folders: &BTreeMap<u32, Folder>,
        rows: &Rows,
        mend: &mut Mend<'_>,
    ) -> Result<()> {
        let (mut messages, mut bytes) = (0i64, 0i64);
        for (id, folder) in folders {
            let mailbox = MailboxId(*id);
            let of = || rows.range((*id, 0)..=(*id, u32::MAX));
            let count = of().count() as i64;
            let size = of().map(|(_, found)| found.row.size as i64).sum();
            let unseen = of().filter(|(_, found)| found.row.unseen()).count() as i64;
            let deleted: BTreeSet<u32> = of()
                .filter(|(_, found)| found.row.deleted())
                .map(|((_, uid), _)| *uid)
                .collect();
            let last = of().next_back().map_or(0, |((_, uid), _)| i64::from(*uid));
            messages += count;
            bytes += size;
            let wanted = COUNTERS.map(|which| keys::counter(mailbox, which));
            let got = self.store.get(account, &wanted).await?;
            let is = |which: Counter| got.get(which as usize).map_or(0, keys::number);
            for (what, which, should) in [
                ("messages", Counter::Messages, count),
                ("unseen", Counter::Unseen, unseen),
                ("deleted", Counter::Deleted, deleted.len() as i64),
                ("size", Counter::Size, size),
                ("last UID", Counter::LastUid, last.max(is(Counter::LastUid))),
            ] {
                if is(which) != should {
                    let (name, is) = (&folder.name, is(which));
                    mend.say(format!("{what} of {name:?}: {is}, should be {should}"));
                    let value = should.to_be_bytes().to_vec();
                    mend.set(keys::counter(mailbox, which), value).await?;
                }
            }
            let marks = keys::of_mailbox(keys::DELETED, mailbox);
            let marks: BTreeSet<u32> = self.scan_marks(account, marks).await?.into_iter().collect();
            for uid in marks.symmetric_difference(&deleted) {
                mend.say(format!("the index of \\Deleted of {:?}", folder.name));
                let key = keys::deleted(mailbox, *uid);
                match deleted.contains(uid) {
                    true => mend.set(key, &b""[..]).await?,
                    false => mend.delete(key).await?,
                }
            }
        }
        let (from, to) = keys::all(keys::COUNTER);
        for (key, _) in self.store.scan(account, from, to).await? {
            let id = key.get(1..5).and_then(keys::trailing_u32).unwrap_or(0);
            if !folders.contains_key(&id) {
                mend.say(format!("a counter of mailbox {id}, which does not exist"));
                mend.delete(key).await?;
            }
        }
        let last = |given: Option<u32>| i64::from(given.unwrap_or(0));
        let item = rows.values().map(|found| found.row.item.0).max();
        let validity = folders.values().map(|folder| folder.uid_validity).max();
        for (what, which, should, least) in [
            ("mailboxes", Account::Mailboxes, folders.len() as i64, false),
            ("messages", Account::Messages, messages, false),
            ("bytes", Account::Bytes, bytes, false),
            (
                "subscriptions",
                Account::Subscriptions,
                self.subscriptions(account).await?.len() as i64,
                false,
            ),
            (
                "last mailbox",
                Account::Mailbox,
                last(folders.keys().next_back().copied()),
                true,
            ),
            ("last UID validity", Account::Validity, last(validity), true),
            ("last item", Account::Item, item.unwrap_or(0) as i64, true),
        ] {
            let is = self.account_counter(account, which).await?;
            if is < should || !least && is != should {
                mend.say(format!("{what} of the account: {is}, should be {should}"));
                let value = should.to_be_bytes().to_vec();
                mend.set(keys::account(which), value).await?;
            }
        }
        mend.flush().await?;
        if mend.report.mended.is_empty() && mend.report.lost.is_empty() {
            return Ok(());
        }
        // What clients knew may be wrong: everything is newer than that, and
        // the log begins here.
        let now = || Template {
            bytes: Bytes::from_static(&[0; 8]),
            patches: vec![Patch {
                at: 0,
                width: 8,
                slot: Slot::Seq,
            }],
        };
        for id in folders.keys() {
            let key = keys::counter(MailboxId(*id), Counter::Modseq);
            mend.set(key, now()).await?;
        }
        mend.draft.delete_range(keys::all(keys::LOG));
        mend.set(keys::account(Account::Floor), now()).await?;
        mend.flush().await
    }

    /// Puts the content of an item that is in no mailbox into INBOX.
    async fn recover(
        &self,
        account: AccountId,
        key: Key,
        content: BlobRef,
        mend: &mut Mend<'_>,
    ) -> Result<()> {
        let raw = self.store.read(&content, 0..u64::MAX).await?;
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let message = NewMessage {
            raw,
            internal_date: now.as_secs() as i64,
            internal_zone: 0,
        };
        let inbox = Target {
            account,
            mailbox: Place::Named(INBOX.to_owned()),
            flags: Flags::default(),
            quota: Quota::NONE,
        };
        self.append(message, &[inbox]).await?;
        mend.report.recovered += 1;
        mend.delete(key).await?;
        mend.flush().await
    }
}

/// Mailbox and UID of a key.
fn place(key: &[u8]) -> Option<(u32, u32)> {
    let mailbox = key.get(1..5).and_then(keys::trailing_u32)?;
    Some((mailbox, key.get(5..).and_then(keys::trailing_u32)?))
}

async fn write(mend: &mut Mend<'_>, at: (u32, u32), row: &Stored, in_block: bool) -> Result<()> {
    let value = match in_block {
        true => row.encode_over(),
        false => row.encode(),
    };
    mend.set(keys::row(MailboxId(at.0), at.1), value).await
}

async fn remove(mend: &mut Mend<'_>, at: (u32, u32), in_block: bool) -> Result<()> {
    let mailbox = MailboxId(at.0);
    if in_block {
        mend.set(keys::gone(mailbox, at.1), &b""[..]).await?;
    }
    mend.delete(keys::row(mailbox, at.1)).await
}
