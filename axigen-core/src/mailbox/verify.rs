//! Counting again: does what an account's counters and indexes say agree with
//! its messages?

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use axigen_store::AccountId;

use super::{
    Mailboxes, block,
    error::{Error, Result},
    folders::{self, Folder},
    item::{Item, Kept},
    keys::{self, Account, COUNTERS, Counter},
    row::{Origin, Read, Stored},
    types::MailboxId,
};

/// Problems beyond this many are counted, not described.
const DESCRIBED: usize = 100;

/// What [`Mailboxes::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Mailboxes seen.
    pub mailboxes: u64,
    /// Messages seen, also of mailboxes that are being deleted.
    pub messages: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// Mailboxes whose deletion was interrupted and goes on with the next
    /// call.
    pub deletions: u64,
    /// What does not agree, in sentences; the first hundred.
    pub problems: Vec<String>,
    /// How many problems there are.
    pub problem_count: u64,
    /// The account changed while it was read, so that problems may be none.
    pub unstable: bool,
}

impl Report {
    fn problem(&mut self, what: impl FnOnce() -> String) {
        self.problem_count += 1;
        if self.problems.len() < DESCRIBED {
            self.problems.push(what());
        }
    }

    fn compare(&mut self, what: impl FnOnce() -> String, counter: i64, counted: i64) {
        if counter != counted {
            self.problem(|| format!("{} is {counter}, counted {counted}", what()));
        }
    }
}

/// What a mailbox's messages add up to.
#[derive(Debug, Default)]
struct Counted {
    messages: i64,
    unseen: i64,
    deleted: BTreeSet<u32>,
    size: i64,
    last_uid: u32,
    modseq: u64,
}

impl Mailboxes {
    /// Reads all of an account's rows, items, names and counters and compares
    /// them. Nothing is changed. Contents are not read; their checksums are the
    /// store's business.
    ///
    /// # Errors
    /// [`Error::Store`], also for records that cannot be read at all.
    pub async fn verify(&self, account: AccountId) -> Result<Report> {
        // A fold changes no number, so nobody would see it come between.
        let _no_fold = self.shared.folding.lock().await;
        let mut left = 3;
        loop {
            let before = self.store.seq(account).await?;
            let mut report = self.verify_once(account, before).await?;
            left -= 1;
            report.unstable = self.store.seq(account).await? != before;
            if !report.unstable || report.problem_count == 0 || left == 0 {
                return Ok(report);
            }
        }
    }

    /// Adds the references that an account's messages have to blobs.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn references(
        &self,
        account: AccountId,
        references: &mut axigen_store::store::References,
    ) -> Result<()> {
        let (from, to) = keys::all(keys::ITEM);
        let mut range = axigen_store::Range {
            account,
            from,
            to,
            limit: 1000,
            reverse: false,
            keys_only: false,
        };
        loop {
            let page = self.store.range(range.clone()).await?;
            for (_, record) in &page.rows {
                // One that cannot be read refers to nothing any more.
                let Ok(item) = Item::decode(record) else {
                    continue;
                };
                *references.entry(item.content.hash).or_default() += 1;
                if let Kept::Apart(blob) = item.structure {
                    *references.entry(blob.hash).or_default() += 1;
                }
            }
            match page.next {
                Some(next) => range.from = next,
                None => return Ok(()),
            }
        }
    }

    async fn verify_once(&self, account: AccountId, seq: u64) -> Result<Report> {
        let mut report = Report::default();
        let folders = self.verify_names(account, &mut report).await?;
        let condemned: BTreeSet<u32> = self
            .scan_marks(account, keys::all(keys::CONDEMNED))
            .await?
            .into_iter()
            .collect();
        report.deletions = condemned.len() as u64;
        let (counted, uids) = self.verify_rows(account, &mut report).await?;
        let there = |id, uid| uids.contains(&(id, uid)) || condemned.contains(&id);
        for (what, ..) in self.wrong_marks(account, there).await? {
            report.problem(|| what);
        }
        for id in counted.keys() {
            if !folders.contains_key(id) && !condemned.contains(id) {
                report.problem(|| format!("messages of mailbox {id}, which does not exist"));
            }
        }
        self.verify_counters(account, seq, &folders, &counted, &mut report)
            .await?;
        self.verify_log(account, seq, &mut report).await?;
        Ok(report)
    }

    /// Names and mailboxes name each other, one to one.
    async fn verify_names(
        &self,
        account: AccountId,
        report: &mut Report,
    ) -> Result<BTreeMap<u32, Folder>> {
        let (from, to) = keys::all(keys::MAILBOX);
        let mut mailboxes = BTreeMap::new();
        for (key, record) in self.store.scan(account, from, to).await? {
            let id = keys::trailing_u32(&key).ok_or_else(|| Error::corrupt("a key"))?;
            mailboxes.insert(id, Folder::decode(&record)?);
        }
        report.mailboxes = mailboxes.len() as u64;
        let (from, to) = keys::all(keys::NAME);
        let mut named = BTreeSet::new();
        for (key, value) in self.store.scan(account, from, to).await? {
            let id = folders::id(value)?.0;
            named.insert(id);
            let name = key.get(1..).unwrap_or_default();
            if mailboxes
                .get(&id)
                .is_none_or(|folder| folder.name.as_bytes() != name)
            {
                let name = String::from_utf8_lossy(name).into_owned();
                report.problem(|| format!("the name {name:?} leads to mailbox {id}"));
            }
        }
        let mut validities = HashMap::new();
        for (id, folder) in &mailboxes {
            if !named.contains(id) {
                report.problem(|| format!("mailbox {id} cannot be found by its name"));
            }
            if let Some(other) = validities.insert(folder.uid_validity, id) {
                report.problem(|| format!("mailboxes {other} and {id} have one UID validity"));
            }
        }
        Ok(mailboxes)
    }

    /// Rows, and the items behind them; which UIDs there are.
    async fn verify_rows(
        &self,
        account: AccountId,
        report: &mut Report,
    ) -> Result<(BTreeMap<u32, Counted>, HashSet<(u32, u32)>)> {
        let (from, to) = keys::all(keys::ITEM);
        let mut items: HashMap<u64, u64> = HashMap::new();
        for (key, record) in self.store.scan(account, from, to).await? {
            let id = key.last_chunk::<8>().map(|id| u64::from_be_bytes(*id));
            let id = id.ok_or_else(|| Error::corrupt("a key"))?;
            items.insert(id, Item::decode(&record)?.content.len);
        }
        let words = self.keywords(account).await?.len();
        let last_item = self.account_counter(account, Account::Item).await?;
        let mut counted: BTreeMap<u32, Counted> = BTreeMap::new();
        let mut uids = HashSet::new();
        for ((id, uid), row) in self.merged_rows(account, report).await? {
            uids.insert((id, uid));
            let mailbox = counted.entry(id).or_default();
            mailbox.messages += 1;
            mailbox.unseen += i64::from(row.unseen());
            mailbox.size += row.size as i64;
            mailbox.last_uid = uid;
            mailbox.modseq = mailbox.modseq.max(row.modseq);
            if row.deleted() {
                mailbox.deleted.insert(uid);
            }
            report.messages += 1;
            report.bytes += row.size;
            match items.remove(&row.item.0) {
                Some(len) if len == row.size => {}
                Some(len) => report.problem(|| {
                    format!(
                        "UID {uid} of mailbox {id} has {} bytes, not {len}",
                        row.size
                    )
                }),
                None => report.problem(|| {
                    format!(
                        "UID {uid} of mailbox {id} has no item of its own: {}",
                        row.item.0
                    )
                }),
            }
            if row.item.0 as i64 > last_item {
                report.problem(|| format!("item {} was never given", row.item.0));
            }
            if row.words.iter().any(|word| usize::from(*word) >= words) {
                report.problem(|| format!("UID {uid} of mailbox {id} has an unknown keyword"));
            }
        }
        for item in items.keys() {
            report.problem(|| format!("item {item} is in no mailbox"));
        }
        Ok((counted, uids))
    }

    /// Every row of every mailbox: those of blocks, those beside them.
    async fn merged_rows(
        &self,
        account: AccountId,
        report: &mut Report,
    ) -> Result<BTreeMap<(u32, u32), Stored>> {
        let corrupt = || Error::corrupt("a row's key");
        let place = |key: &[u8]| -> Option<(u32, u32)> {
            let mailbox = key.get(1..5).and_then(keys::trailing_u32)?;
            Some((mailbox, key.get(5..).and_then(keys::trailing_u32)?))
        };
        let mut rows = BTreeMap::new();
        let (from, to) = keys::all(keys::BLOCK_UIDS);
        let lists = self.store.scan(account, from, to).await?;
        let (from, to) = keys::all(keys::BLOCK_ROWS);
        let values = self.store.scan(account, from, to).await?;
        if lists.len() != values.len() {
            report.problem(|| {
                let (lists, values) = (lists.len(), values.len());
                format!("{lists} blocks have UIDs, {values} have rows")
            });
        }
        let values: HashMap<_, _> = values
            .iter()
            .filter_map(|(key, value)| Some((place(key)?, value)))
            .collect();
        let mut end = (0, 0);
        for (key, list) in lists {
            let (id, first) = place(&key).ok_or_else(corrupt)?;
            let uids = block::decode_list(&list)?;
            let Some(bytes) = values.get(&(id, first)) else {
                report.problem(|| format!("block {first} of mailbox {id} has no rows"));
                continue;
            };
            let of_block = block::decode_rows(bytes, uids.len())?;
            let last = uids.last().copied().unwrap_or(first);
            if uids.first().is_none_or(|uid| *uid < first) || end >= (id, first) {
                report.problem(|| {
                    format!("block {first} of mailbox {id} is not in its place: {uids:?}")
                });
            }
            end = (id, last);
            rows.extend(uids.iter().map(|uid| (id, *uid)).zip(of_block));
        }
        let (from, to) = keys::all(keys::ROW);
        for (key, bytes) in self.store.scan(account, from, to).await? {
            let (id, uid) = place(&key).ok_or_else(corrupt)?;
            let read = Read::single(uid, bytes)?;
            let over = matches!(read.origin, Origin::Over(_));
            if rows.insert((id, uid), read.row).is_some() != over {
                report.problem(|| format!("UID {uid} of mailbox {id}: over a block's row {over}"));
            }
        }
        let (from, to) = keys::all(keys::GONE);
        for (key, _) in self.store.scan(account, from, to).await? {
            let (id, uid) = place(&key).ok_or_else(corrupt)?;
            if rows.remove(&(id, uid)).is_none() {
                report.problem(|| format!("UID {uid} of mailbox {id} is marked but not there"));
            }
        }
        Ok(rows)
    }

    async fn verify_counters(
        &self,
        account: AccountId,
        seq: u64,
        folders: &BTreeMap<u32, Folder>,
        counted: &BTreeMap<u32, Counted>,
        report: &mut Report,
    ) -> Result<()> {
        let none = Counted::default();
        for (id, folder) in folders {
            let mailbox = MailboxId(*id);
            let of = counted.get(id).unwrap_or(&none);
            let name = &folder.name;
            let wanted = COUNTERS.map(|which| keys::counter(mailbox, which));
            let got = self.store.get(account, &wanted).await?;
            let counter = |which: Counter| got.get(which as usize).map_or(0, keys::number);
            for (what, which, actual) in [
                ("messages", Counter::Messages, of.messages),
                ("unseen", Counter::Unseen, of.unseen),
                ("deleted", Counter::Deleted, of.deleted.len() as i64),
                ("size", Counter::Size, of.size),
            ] {
                report.compare(|| format!("{what} of {name:?}"), counter(which), actual);
            }
            if counter(Counter::LastUid) < i64::from(of.last_uid) {
                report.problem(|| format!("UID {} of {name:?} was never given", of.last_uid));
            }
            let highest = counter(Counter::Modseq) as u64;
            if highest < of.modseq || highest > seq || highest == 0 {
                report.problem(|| {
                    format!(
                        "the highest modification number of {name:?} is {highest}, \
                         its messages' is {}, the account's {seq}",
                        of.modseq
                    )
                });
            }
            let marks = keys::of_mailbox(keys::DELETED, mailbox);
            let marks = self.scan_marks(account, marks).await?;
            if !of.deleted.iter().eq(&marks) {
                report.problem(|| format!("the index of \\Deleted of {name:?} is wrong"));
            }
        }
        let (from, to) = keys::all(keys::COUNTER);
        for (key, _) in self.store.scan(account, from, to).await? {
            let id = key.get(1..5).and_then(keys::trailing_u32).unwrap_or(0);
            if !folders.contains_key(&id) {
                report.problem(|| format!("a counter of mailbox {id}, which does not exist"));
            }
        }
        let (messages, bytes) = (report.messages as i64, report.bytes as i64);
        let subscribed = self.subscriptions(account).await?.len() as i64;
        for (what, which, actual) in [
            ("mailboxes", Account::Mailboxes, folders.len() as i64),
            ("messages", Account::Messages, messages),
            ("bytes", Account::Bytes, bytes),
            ("subscriptions", Account::Subscriptions, subscribed),
        ] {
            let counter = self.account_counter(account, which).await?;
            report.compare(|| format!("{what} of the account"), counter, actual);
        }
        let last = folders.keys().next_back().copied().unwrap_or(0);
        if self.account_counter(account, Account::Mailbox).await? < i64::from(last) {
            report.problem(|| format!("mailbox {last} was never given"));
        }
        let last = folders.values().map(|folder| folder.uid_validity).max();
        if self.account_counter(account, Account::Validity).await? < i64::from(last.unwrap_or(0)) {
            report.problem(|| "a UID validity was never given".to_owned());
        }
        Ok(())
    }

    /// The log lies between its floor and the account's number.
    async fn verify_log(&self, account: AccountId, seq: u64, report: &mut Report) -> Result<()> {
        let floor = self.log_floor(account).await?;
        let (from, to) = keys::all(keys::LOG);
        let rows = self.store.scan(account, from, to).await?;
        let number = |key: &[u8]| {
            let seq = key.get(1..9).and_then(|seq| seq.first_chunk::<8>());
            seq.map_or(0, |seq| u64::from_be_bytes(*seq))
        };
        let first = rows.first().map(|(key, _)| number(key));
        let last = rows.last().map(|(key, _)| number(key));
        if first.is_some_and(|first| first <= floor) || last.is_some_and(|last| last > seq) {
            report.problem(|| {
                format!("the log has {first:?} to {last:?}, not within {floor} and {seq}")
            });
        }
        self.each_record(account, floor, |_, _| {}).await
    }

    pub(super) async fn account_counter(&self, account: AccountId, which: Account) -> Result<i64> {
        let got = self.store.get(account, &[keys::account(which)]).await?;
        Ok(got.first().map_or(0, keys::number))
    }
}
