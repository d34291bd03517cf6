//! Feeding the index: a background task follows the change log of every
//! account.
//!
//! What is indexed and how far the log was followed are one commit of the
//! index, so ending the program at any point loses nothing and repeats little.
//! An account that is new to the index is first read from its rows, in the
//! order of mailboxes and UIDs, and then followed from the change at which that
//! began.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axigen_store::AccountId;
use axigen_store::store::AllWatcher;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

use super::shard::{Cursor, Due, Epoch, Fault, Shard, Terms, Writer};
use super::{Inner, SHARDS, SearchIndex, State, shard_of};
use crate::directory::Directory;
use crate::mailbox::structure::Structure;
use crate::mailbox::{Error, MailboxId, Mailboxes, Row, Stretch};

/// Bytes of messages read before they are given to the writer.
const READ: u64 = 8 * 1024 * 1024;
/// Rows read together.
const ROWS: usize = 500;
/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_secs(30);

/// Feeds a [`SearchIndex`]. One for each index.
#[derive(Debug)]
pub struct Feeder {
    index: SearchIndex,
    mailboxes: Mailboxes,
    directory: Directory,
    stop: watch::Receiver<bool>,
}

/// A feeder that runs in the background.
#[derive(Debug)]
pub struct Feeding {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Feeding {
    /// Writes what was indexed, and ends.
    pub async fn end(self) {
        self.stop.send_replace(true);
        let _ = self.task.await;
    }
}

/// Why feeding stopped.
#[derive(Debug)]
enum Stop {
    /// It was told to.
    Told,
    /// The index of this shard.
    Index(Fault),
    /// The mail of this account.
    Mail(AccountId, Error),
    /// The list of accounts.
    Accounts(crate::directory::Error),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Index(fault)
    }
}

type Outcome<T> = Result<T, Stop>;

/// What a message's words are in.
type Content = (Arc<Structure>, Bytes);

/// Accounts that changed.
type Changed = BTreeSet<AccountId>;

impl Feeder {
    /// Starts feeding on the runtime this is called in. `None` if there is no
    /// index to feed.
    pub fn start(
        index: SearchIndex,
        mailboxes: Mailboxes,
        directory: Directory,
    ) -> Option<Feeding> {
        index.inner.as_ref()?;
        let (stop, told) = watch::channel(false);
        let feeder = Feeder {
            index,
            mailboxes,
            directory,
            stop: told,
        };
        let task = tokio::spawn(feeder.run());
        Some(Feeding { stop, task })
    }

    /// Brings the index to what the mail is now, and ends. `progress` is told
    /// how many messages were indexed so far.
    ///
    /// # Errors
    /// What prevents it, in words.
    pub async fn catch_up(
        index: SearchIndex,
        mailboxes: Mailboxes,
        directory: Directory,
        mut progress: impl FnMut(u64) + Send + Sync,
    ) -> Result<(), String> {
        let Some(inner) = index.inner.clone() else {
            return Ok(());
        };
        let (_stop, told) = watch::channel(false);
        let feeder = Feeder {
            index,
            mailboxes,
            directory,
            stop: told,
        };
        let failed = |stop| match stop {
            Stop::Told => "it was stopped".to_owned(),
            Stop::Index(fault) => fault.to_string(),
            Stop::Mail(account, error) => format!("account {}: {error}", account.0),
            Stop::Accounts(error) => error.to_string(),
        };
        let repaired = feeder.repair(&inner).await;
        repaired.map_err(|(_, stop)| failed(stop))?;
        let mut behind = feeder.behind(&inner).await.map_err(failed)?;
        let mut tally = Tally {
            indexed: 0,
            tell: &mut progress,
        };
        feeder
            .feed(&inner, &mut behind, &mut tally)
            .await
            .map_err(|(_, stop)| failed(stop))
    }

    async fn run(self) {
        let Some(inner) = self.index.inner.clone() else {
            return;
        };
        // From before anything is read.
        let mut watcher = self.mailboxes.watch_all();
        let mut changed = Changed::new();
        inner.again.store(true, Ordering::Release);
        let mut failed_before = false;
        while !self.told() {
            let mut quiet = Tally {
                indexed: 0,
                tell: &mut |_| {},
            };
            let done = self.round(&inner, &mut changed, &mut quiet).await;
            let failed = done.is_err();
            match done {
                Ok(()) => {}
                Err((_, Stop::Told)) => break,
                Err((number, Stop::Index(fault))) => inner.broke(number, &fault),
                Err((_, Stop::Mail(account, error))) => {
                    tracing::warn!(account = account.0, %error, "mail cannot be indexed now");
                }
                Err((_, Stop::Accounts(error))) => {
                    tracing::warn!(%error, "accounts to be indexed are not known now");
                }
            }
            // What goes wrong twice will not be better at once.
            let pause = match failed && failed_before {
                true => PAUSE.max(inner.settings.delay.0),
                false => inner.settings.delay.0,
            };
            failed_before = failed;
            if !self.wait(&inner, &mut watcher, &mut changed, pause).await {
                break;
            }
        }
        self.flush(&inner).await;
    }

    /// Waits for changes, then for `pause` to collect more. False when told to
    /// stop.
    async fn wait(
        &self,
        inner: &Inner,
        watcher: &mut AllWatcher,
        changed: &mut Changed,
        pause: Duration,
    ) -> bool {
        let mut stop = self.stop.clone();
        if changed.is_empty() && !inner.again.load(Ordering::Acquire) {
            tokio::select! {
                changes = watcher.changed() => {
                    changed.extend(changes.into_iter().map(|change| change.account));
                }
                () = inner.wake.notified() => {}
                _ = stop.wait_for(|stop| *stop) => return false,
            }
        }
        let pause = tokio::time::sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return true,
                changes = watcher.changed() => {
                    changed.extend(changes.into_iter().map(|change| change.account));
                }
                _ = stop.wait_for(|stop| *stop) => return false,
            }
        }
    }

    fn told(&self) -> bool {
        // An engine that is gone is as good as one that says so.
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    async fn round(
        &self,
        inner: &Arc<Inner>,
        changed: &mut Changed,
        tally: &mut Tally<'_>,
    ) -> Result<(), (usize, Stop)> {
        if inner.again.swap(false, Ordering::AcqRel) {
            let behind = match self.repair(inner).await {
                Ok(()) => self.behind(inner).await.map_err(|stop| (0, stop)),
                Err(failure) => Err(failure),
            };
            match behind {
                Ok(behind) => changed.extend(behind),
                Err(failure) => {
                    inner.again.store(true, Ordering::Release);
                    return Err(failure);
                }
            }
        }
        self.feed(inner, changed, tally).await
    }

    /// Opens and checks the shards that were not looked at yet; throws broken
    /// ones away.
    async fn repair(&self, inner: &Arc<Inner>) -> Result<(), (usize, Stop)> {
        let epoch = self.epoch().await.map_err(|stop| (0, stop))?;
        for number in 0..SHARDS {
            if self.told() {
                return Err((number, Stop::Told));
            }
            if matches!(state(inner, number), State::Closed) {
                self.open(inner, number, epoch).await;
            }
            if matches!(state(inner, number), State::Broken(_)) {
                let dir = inner.dir_of(number);
                let removed = blocking(move || match std::fs::remove_dir_all(dir) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
                    _ => Ok(()),
                });
                removed.await.map_err(|fault| (number, fault.into()))?;
                set(inner, number, State::Absent, HashMap::new());
            }
        }
        Ok(())
    }

    async fn epoch(&self) -> Outcome<Epoch> {
        let epoch = self.mailboxes.epoch().await;
        epoch.map_err(|error| Stop::Mail(AccountId::SYSTEM, error))
    }

    async fn open(&self, inner: &Arc<Inner>, number: usize, epoch: Epoch) {
        let dir = inner.dir_of(number);
        if !Shard::exists(&dir) {
            set(inner, number, State::Absent, HashMap::new());
            return;
        }
        let opened = blocking(move || {
            let shard = Shard::open(&dir, epoch)?;
            let view = shard.view()?;
            let cursors = view.cursors(&shard)?;
            Ok((Arc::new(shard), Arc::new(view), cursors))
        });
        match opened.await {
            Ok((shard, view, mut cursors)) => {
                self.without_later(&mut cursors).await;
                set(inner, number, State::Ready(shard, view), cursors);
            }
            Err(fault) => inner.broke(number, &fault),
        }
    }

    /// Forgets cursors beyond what their account's log says: the store was
    /// brought back from somewhere, and the index is of other mail.
    async fn without_later(&self, cursors: &mut HashMap<AccountId, Cursor>) {
        let mut later = Vec::new();
        for (&account, cursor) in cursors.iter() {
            match self.mailboxes.last_change(account).await {
                Ok(seq) if seq >= cursor.seq => {}
                _ => later.push(account),
            }
        }
        for account in later {
            cursors.remove(&account);
        }
    }

    /// Accounts whose mail is not all in the index, and those that are in it
    /// but gone.
    async fn behind(&self, inner: &Inner) -> Outcome<Changed> {
        let accounts = self.directory.accounts().await.map_err(Stop::Accounts)?;
        let public = self.directory.all_public_folders().await;
        let public = public.map_err(Stop::Accounts)?;
        let mut there: Changed = accounts.into_iter().map(|account| account.id).collect();
        there.extend(public.into_iter().map(|(_, account)| account));
        for slot in &inner.slots {
            there.extend(slot.read().cursors.keys());
        }
        let mut behind = Changed::new();
        for account in there {
            let seq = self.mailboxes.last_change(account).await;
            let seq = seq.map_err(|error| Stop::Mail(account, error))?;
            let reached = cursor(inner, account);
            if reached.is_none_or(|at| at.seq != seq || at.scanned.is_some()) {
                behind.insert(account);
            }
        }
        Ok(behind)
    }

    /// Indexes what changed in these accounts, and takes out of the set those
    /// that are done.
    async fn feed(
        &self,
        inner: &Arc<Inner>,
        changed: &mut Changed,
        tally: &mut Tally<'_>,
    ) -> Result<(), (usize, Stop)> {
        changed.remove(&AccountId::SYSTEM);
        let mut shards: BTreeMap<usize, Vec<AccountId>> = BTreeMap::new();
        for &account in changed.iter() {
            shards.entry(shard_of(account)).or_default().push(account);
        }
        let mut failure = Ok(());
        for (number, accounts) in shards {
            match self.feed_shard(inner, number, &accounts, tally).await {
                Ok(()) => accounts.iter().for_each(|account| {
                    changed.remove(account);
                }),
                Err(Stop::Told) => return Err((number, Stop::Told)),
                // The other shards need not wait.
                Err(stop) => failure = Err((number, stop)),
            }
        }
        failure
    }

    async fn feed_shard(
        &self,
        inner: &Arc<Inner>,
        number: usize,
        accounts: &[AccountId],
        tally: &mut Tally<'_>,
    ) -> Outcome<()> {
        let mut work = Work {
            feeder: self,
            inner,
            number,
            writer: None,
            staged: HashMap::new(),
            pending: 0,
            tally,
        };
        let mut outcome = Ok(());
        for &account in accounts {
            match work.account(account).await {
                Ok(()) => {}
                // The other accounts need not wait.
                Err(Stop::Mail(account, error)) => outcome = Err(Stop::Mail(account, error)),
                // What is in so far is kept.
                Err(Stop::Told) => {
                    work.commit().await?;
                    return Err(Stop::Told);
                }
                Err(other) => return Err(other),
            }
        }
        work.end().await?;
        outcome
    }

    /// Writes down how far each account is, so that the logs are not read again.
    async fn flush(&self, inner: &Arc<Inner>) {
        for number in 0..SHARDS {
            let Some(slot) = inner.slots.get(number) else {
                continue;
            };
            let (shard, view, cursors) = {
                let slot = slot.read();
                let State::Ready(shard, view) = &slot.state else {
                    continue;
                };
                (shard.clone(), view.clone(), slot.cursors.clone())
            };
            let memory = inner.settings.memory.0;
            let done = blocking(move || {
                let kept = view.cursors(&shard)?;
                let mut later = cursors;
                later.retain(|account, at| kept.get(account).is_some_and(|kept| kept != at));
                if later.is_empty() {
                    return Ok(());
                }
                let mut writer = shard.writer(memory)?;
                for (account, at) in later {
                    writer.set_cursor(account, at)?;
                }
                writer.commit()
            });
            if let Err(fault) = done.await {
                tracing::warn!(shard = number, %fault, "a search index was not brought up to date");
            }
        }
    }
}

/// How much was done.
struct Tally<'t> {
    indexed: u64,
    tell: &'t mut (dyn FnMut(u64) + Send + Sync),
}

/// Feeding one shard.
struct Work<'w, 't> {
    feeder: &'w Feeder,
    inner: &'w Arc<Inner>,
    number: usize,
    /// There while there is something to write.
    writer: Option<Arc<Writer>>,
    /// Cursors that hold once what was given to the writer is committed;
    /// `None` for an account that is gone.
    staged: HashMap<AccountId, Option<Cursor>>,
    /// Messages given to the writer.
    pending: usize,
    tally: &'w mut Tally<'t>,
}

impl Work<'_, '_> {
    async fn account(&mut self, account: AccountId) -> Outcome<()> {
        let failed = |error| Stop::Mail(account, error);
        let mailboxes = &self.feeder.mailboxes;
        loop {
            if self.feeder.told() {
                return Err(Stop::Told);
            }
            let reached = match self.staged.get(&account) {
                Some(staged) => *staged,
                None => cursor(self.inner, account),
            };
            let there = mailboxes.mailbox_ids(account).await.map_err(failed)?;
            if there.is_empty() {
                if reached.is_some() {
                    self.writer().await?.remove(account, None, None)?;
                    self.staged.insert(account, None);
                }
                return Ok(());
            }
            let Some(reached) = reached else {
                self.begin(account).await?;
                continue;
            };
            let seq = mailboxes.last_change(account).await.map_err(failed)?;
            if reached.seq > seq {
                // The mail is older than the index: it was brought back from
                // somewhere.
                self.begin(account).await?;
                continue;
            }
            if reached.scanned.is_some() {
                self.scan(account, reached, &there).await?;
                continue;
            }
            let batch = self.inner.settings.batch as usize;
            let followed = mailboxes.follow(account, reached.seq, batch).await;
            let Some(stretch) = followed.map_err(failed)? else {
                self.begin(account).await?;
                continue;
            };
            let more = stretch.more;
            self.stretch(account, &stretch, &there).await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// An account from the beginning.
    async fn begin(&mut self, account: AccountId) -> Outcome<()> {
        let seq = self.feeder.mailboxes.last_change(account).await;
        let seq = seq.map_err(|error| Stop::Mail(account, error))?;
        let writer = self.writer().await?;
        writer.remove(account, None, None)?;
        let cursor = Cursor {
            seq,
            scanned: Some((MailboxId(0), 0)),
        };
        writer.set_cursor(account, cursor)?;
        self.staged.insert(account, Some(cursor));
        Ok(())
    }

    /// What was there when the account was begun.
    async fn scan(&mut self, account: AccountId, from: Cursor, there: &[MailboxId]) -> Outcome<()> {
        let mut at = from;
        for &mailbox in there {
            let uids = match self.feeder.mailboxes.uids(account, mailbox).await {
                Ok((uids, _)) => uids,
                // It was deleted just now.
                Err(Error::NoSuchMailbox) => continue,
                Err(error) => return Err(Stop::Mail(account, error)),
            };
            let rest = uids
                .iter()
                .position(|uid| !at.reaches((mailbox, *uid)))
                .and_then(|first| uids.get(first..))
                .unwrap_or_default();
            for uids in rest.chunks(ROWS) {
                self.add(account, mailbox, uids).await?;
                at.scanned = uids.last().map(|last| (mailbox, *last));
                self.writer().await?.set_cursor(account, at)?;
                self.staged.insert(account, Some(at));
                self.commit_if_due().await?;
                if self.feeder.told() {
                    return Err(Stop::Told);
                }
            }
        }
        at.scanned = None;
        self.writer().await?.set_cursor(account, at)?;
        self.staged.insert(account, Some(at));
        Ok(())
    }

    /// A piece of the change log.
    async fn stretch(
        &mut self,
        account: AccountId,
        stretch: &Stretch,
        there: &[MailboxId],
    ) -> Outcome<()> {
        let dead = |mailbox: &MailboxId| there.binary_search(mailbox).is_err();
        let at = Cursor {
            seq: stretch.upto,
            scanned: None,
        };
        let nothing = stretch.came.is_empty() && stretch.gone.is_empty();
        if nothing && !stretch.folders.iter().any(dead) && !self.staged.contains_key(&account) {
            // Flags only: nothing to write.
            if let Some(slot) = self.inner.slots.get(self.number)
                && let Some(cursor) = slot.write().cursors.get_mut(&account)
            {
                *cursor = at;
            }
            return Ok(());
        }
        let writer = self.writer().await?;
        for &mailbox in stretch.folders.iter().filter(|id| dead(id)) {
            writer.remove(account, Some(mailbox), None)?;
        }
        for (&mailbox, uids) in &stretch.gone {
            for &uid in uids {
                writer.remove(account, Some(mailbox), Some(uid))?;
            }
        }
        for (&mailbox, uids) in &stretch.came {
            let gone = stretch.gone.get(&mailbox);
            let stay = |uid: &&u32| gone.is_none_or(|gone| !gone.contains(uid));
            let uids: Vec<u32> = uids.iter().filter(stay).copied().collect();
            for &uid in &uids {
                // It may be in already, from the scan.
                writer.remove(account, Some(mailbox), Some(uid))?;
            }
            for uids in uids.chunks(ROWS) {
                self.add(account, mailbox, uids).await?;
            }
        }
        writer.set_cursor(account, at)?;
        self.staged.insert(account, Some(at));
        // Nobody else may hold it at a commit.
        drop(writer);
        self.commit_if_due().await
    }

    /// Messages into the writer.
    async fn add(&mut self, account: AccountId, mailbox: MailboxId, uids: &[u32]) -> Outcome<()> {
        let failed = |error| Stop::Mail(account, error);
        let mailboxes = &self.feeder.mailboxes;
        let rows = mailboxes.rows(account, mailbox, uids).await;
        let rows: Vec<Row> = rows.map_err(failed)?;
        let items: Vec<_> = rows.iter().map(|row| row.item).collect();
        let structures = match mailboxes.structures(account, &items).await {
            Ok(structures) => structures,
            Err(error) if is_damage(&error) => self.one_by_one(account, &rows).await?,
            Err(error) => return Err(failed(error)),
        };
        let largest = self.inner.settings.largest.0;
        let (mut read, mut bytes) = (Vec::new(), 0);
        for (row, structure) in rows.iter().zip(structures) {
            let due = Due {
                place: (mailbox, row.uid),
                item: row.item,
                size: row.size,
            };
            let raw = match (&structure, due.size <= largest) {
                (Some(_), true) => match mailboxes.body(account, due.item, 0..due.size).await {
                    Ok(raw) => Some(raw),
                    // It was expunged just now.
                    Err(Error::NoSuchMessage) => continue,
                    Err(error) if is_damage(&error) => None,
                    Err(error) => return Err(failed(error)),
                },
                _ => None,
            };
            bytes += raw.as_ref().map_or(0, |raw| raw.len() as u64);
            read.push((due, structure.zip(raw)));
            if bytes >= READ {
                self.write(account, std::mem::take(&mut read)).await?;
                bytes = 0;
            }
        }
        self.write(account, read).await
    }

    /// Structures where one of them cannot be read.
    async fn one_by_one(
        &self,
        account: AccountId,
        rows: &[Row],
    ) -> Outcome<Vec<Option<Arc<Structure>>>> {
        let mut structures = Vec::with_capacity(rows.len());
        for row in rows {
            let got = self.feeder.mailboxes.structure(account, row.item).await;
            structures.push(match got {
                Ok(structure) => Some(structure),
                Err(Error::NoSuchMessage) => None,
                Err(error) if is_damage(&error) => None,
                Err(error) => return Err(Stop::Mail(account, error)),
            });
        }
        Ok(structures)
    }

    /// Words of messages into the writer. Of a message that cannot be read no
    /// words are known, so every search looks at it and meets the error itself.
    async fn write(
        &mut self,
        account: AccountId,
        read: Vec<(Due, Option<Content>)>,
    ) -> Outcome<()> {
        if read.is_empty() {
            return Ok(());
        }
        let count = read.len();
        let writer = self.writer().await?;
        blocking(move || {
            for (due, content) in read {
                let terms = match content {
                    Some((structure, raw)) => Terms::of(account, &structure, &raw),
                    None => Terms::unknown(account),
                };
                writer.add(account, due.place, &terms)?;
            }
            Ok(())
        })
        .await?;
        self.pending += count;
        self.tally.indexed += count as u64;
        (self.tally.tell)(self.tally.indexed);
        Ok(())
    }

    /// The writer, opened if need be, and with it the shard.
    async fn writer(&mut self) -> Outcome<Arc<Writer>> {
        if let Some(writer) = &self.writer {
            return Ok(writer.clone());
        }
        let shard = match state(self.inner, self.number) {
            State::Ready(shard, _) => shard,
            State::Absent => {
                let dir = self.inner.dir_of(self.number);
                let epoch = self.feeder.epoch().await?;
                let made = blocking(move || {
                    let shard = Shard::create(&dir, epoch)?;
                    let view = shard.view()?;
                    Ok((Arc::new(shard), Arc::new(view)))
                });
                let (shard, view) = made.await?;
                set(
                    self.inner,
                    self.number,
                    State::Ready(shard.clone(), view),
                    HashMap::new(),
                );
                shard
            }
            State::Closed => return Err(Fault::Damaged("it is not open".into()).into()),
            State::Broken(why) => return Err(Fault::Damaged(why).into()),
        };
        let memory = self.inner.settings.memory.0;
        let writer = blocking(move || Ok(Arc::new(shard.writer(memory)?))).await?;
        self.writer = Some(writer.clone());
        Ok(writer)
    }

    async fn commit_if_due(&mut self) -> Outcome<()> {
        match self.pending >= self.inner.settings.batch as usize {
            true => self.commit().await,
            false => Ok(()),
        }
    }

    /// Makes durable what was given to the writer, and lets searches see it.
    async fn commit(&mut self) -> Outcome<()> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        let Some(mut writer) = Arc::into_inner(writer) else {
            return Err(Fault::Damaged("its writer is in use".into()).into());
        };
        let writer = blocking(move || {
            writer.commit()?;
            Ok(writer)
        })
        .await?;
        self.writer = Some(Arc::new(writer));
        self.pending = 0;
        self.publish().await
    }

    async fn publish(&mut self) -> Outcome<()> {
        let State::Ready(shard, _) = state(self.inner, self.number) else {
            return Err(Fault::Damaged("it is being built anew".into()).into());
        };
        let view = blocking(move || shard.view()).await?;
        let staged = std::mem::take(&mut self.staged);
        if let Some(slot) = self.inner.slots.get(self.number) {
            let mut slot = slot.write();
            // Unless a search found it broken meanwhile.
            if let State::Ready(_, of_slot) = &mut slot.state {
                *of_slot = Arc::new(view);
                for (account, cursor) in staged {
                    match cursor {
                        Some(cursor) => slot.cursors.insert(account, cursor),
                        None => slot.cursors.remove(&account),
                    };
                }
            }
        }
        Ok(())
    }

    /// The last commit; small segments are joined before the writer goes.
    async fn end(mut self) -> Outcome<()> {
        if self.writer.is_none() {
            return Ok(());
        }
        self.commit().await?;
        let Some(writer) = self.writer.take().and_then(Arc::into_inner) else {
            return Ok(());
        };
        let mut stop = self.feeder.stop.clone();
        tokio::select! {
            finished = blocking(move || writer.finish()) => finished?,
            // Joining goes on in its thread for as long as the program runs;
            // what it leaves unfinished is removed the next time.
            _ = stop.wait_for(|stop| *stop) => return Err(Stop::Told),
        }
        self.publish().await
    }
}

fn set(inner: &Inner, number: usize, state: State, cursors: HashMap<AccountId, Cursor>) {
    if let Some(slot) = inner.slots.get(number) {
        let mut slot = slot.write();
        slot.state = state;
        slot.cursors = cursors;
    }
}

fn state(inner: &Inner, number: usize) -> State {
    let slot = inner.slots.get(number);
    slot.map(|slot| slot.read().state.clone())
        .unwrap_or_default()
}

fn cursor(inner: &Inner, account: AccountId) -> Option<Cursor> {
    let slot = inner.slots.get(shard_of(account))?.read();
    slot.cursors.get(&account).copied()
}

/// Whether a message cannot be read now and never will.
fn is_damage(error: &Error) -> bool {
    matches!(
        error,
        Error::Store(axigen_store::Error::Corrupt(_) | axigen_store::Error::NotFound)
    )
}

/// Work on the index, beside the event loop. A panic of tantivy's is a fault.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let caught = spawn_blocking(|| catch_unwind(AssertUnwindSafe(work)));
    match caught.await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err(Fault::Damaged("working on it failed".into())),
        Err(_) => Err(Fault::Damaged("the program is ending".into())),
    }
}
