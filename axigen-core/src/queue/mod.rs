//! The queue: messages on their way to other hosts.
//!
//! A message that travels has one [`Entry`] for each next hop, on disk before
//! the message is acknowledged, in the same batch that puts it into local
//! mailboxes. An entry waits for its time, is tried, and is settled: it is
//! gone, or it waits again; what the sender is to be told travels in the same
//! batch. So whatever happens, each recipient is either in the queue, or
//! delivered, or the sender was told.
//!
//! Nothing is in memory that the rows do not say: the dispatcher holds a
//! window of what is ready, of bounded size, and a step costs the same with a
//! hundred entries and with a million. Entries whose lane is full or in trouble
//! are *parked* beside the schedule, so they are not met again and again.
//!
//! | file | what it is |
//! |---|---|
//! | this | [`Queue`]: entries in, read, settled |
//! | [`entry`] | what is kept of a message on its way |
//! | `dispatch`, `lane` | what is ready, by lane |
//! | [`schedule`] | when a try is repeated, when the sender is told, when it is over |
//! | [`list`] | which entries there are, and what they wait for |
//! | `index` | entries by lane and by domain |
//! | [`control`] | what an administrator does: hold, release, retry, drop |
//! | [`route`] | which way mail goes |
//! | `holds` | what users have held |
//! | `label` | what stands beside messages for salvage |
//! | `upkeep` | verify and repair |
//! | `keys` | what the store sees |

pub mod control;
mod dispatch;
pub mod entry;
mod holds;
mod index;
mod keys;
pub(crate) mod label;
mod lane;
pub mod list;
pub mod route;
pub mod schedule;
#[cfg(test)]
mod tests;
pub(crate) mod upkeep;

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use axigen_store::{
    AccountId, Batch, Expect, Key, Op, Page, Part, Range, Store, batch::CommitPart,
};
use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, OnceCell};

use crate::clock::Clock;
use entry::{Entry, EntryId};
use keys::Counter;

pub(crate) use dispatch::{BEGIN_AGAIN, Dispatcher, Ready, Work};
pub(crate) use lane::Trouble;
pub use list::State;

/// Most entries of one message.
pub const ENTRIES_PER_MESSAGE: usize = u16::MAX as usize;

/// Entries that came while the dispatcher was busy, kept for it in memory.
const FRESH: usize = 10_000;
/// A message that is longer, in bytes, is read from the store when it is sent.
const FRESH_MESSAGE: usize = 64 << 10;
/// Most bytes of messages that wait in memory to be sent at once; those beyond
/// are read from the store.
pub(crate) const FRESH_BYTES: usize = 32 << 20;

/// A failure of the queue.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such entry, or not any more.
    #[error("there is no entry {0} in the queue")]
    NotFound(EntryId),
    /// It is being sent at this moment.
    #[error("entry {0} is being sent at this moment; try again when that has ended")]
    Busy(EntryId),
    /// Nothing is sent from here, so nobody can be told either.
    #[error(
        "SMTP Outgoing is not enabled on this server ([smtp_out] enable), so no notice can be made"
    )]
    NotSending,
    /// A message for more next hops than [`ENTRIES_PER_MESSAGE`].
    #[error("a message to more than {ENTRIES_PER_MESSAGE} next hops")]
    TooMany,
    /// What was written is not what is read.
    #[error("{0} cannot be read: {1}")]
    Corrupt(String, String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] axigen_store::Error),
}

impl Error {
    /// Whether somebody else was faster.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Error::Store(axigen_store::Error::Conflict { .. }))
    }

    /// Whether what is kept is damaged or lost: trying again does not help.
    pub(crate) fn is_damage(&self) -> bool {
        use axigen_store::Error as Store;
        matches!(
            self,
            Error::Corrupt(..) | Error::Store(Store::Corrupt(_) | Store::NotFound)
        )
    }
}

/// A result of the queue.
pub type Result<T> = std::result::Result<T, Error>;

/// The queue. Cheap to clone; all clones are one queue.
#[derive(Debug, Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    /// Entries somebody works on: the dispatcher's senders, an administrator.
    claimed: Mutex<HashSet<EntryId>>,
    fresh: Mutex<Fresh>,
    /// The window of whoever dispatches.
    window: Mutex<Weak<Mutex<dispatch::Window>>>,
    leaving: Mutex<label::Leaving>,
    /// Set once the index by name is whole.
    indexed: OnceCell<()>,
    wake: Notify,
}

/// What the dispatcher has not looked at yet.
#[derive(Debug, Default)]
struct Fresh {
    /// Whether somebody dispatches; otherwise nothing is kept for it.
    wanted: bool,
    ready: Vec<Ready>,
    bytes: usize,
    /// Something came that is not in `ready`: the schedule has to be read.
    more: bool,
    /// Something came that is due then.
    next: Option<Timestamp>,
    /// Lanes that are to be tried although they rest.
    lanes: Vec<String>,
}

/// The right to work on an entry, given back when dropped.
#[derive(Debug)]
pub struct Claim {
    queue: Queue,
    id: EntryId,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.queue.inner.claimed.lock().remove(&self.id);
    }
}

/// What becomes of an entry.
#[derive(Debug, Clone)]
pub(crate) enum Settled {
    /// Nobody waits for it any more.
    Gone,
    /// It waits, in this form.
    Waits(Box<Entry>),
}

impl Settled {
    /// When it is due again, if it is.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        match self {
            Settled::Gone => None,
            Settled::Waits(entry) => Some(entry.due),
        }
    }
}

impl Queue {
    /// The queue in a store.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Queue {
        Queue {
            inner: Arc::new(Inner {
                store,
                clock,
                claimed: Mutex::default(),
                fresh: Mutex::default(),
                window: Mutex::default(),
                leaving: Mutex::default(),
                indexed: OnceCell::new(),
                wake: Notify::new(),
            }),
        }
    }

    /// The clock it goes by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The store it is in.
    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// An entry as it is now.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`], [`Error::Store`].
    pub async fn get(&self, id: EntryId) -> Result<Entry> {
        Ok(self.read(id).await?.0)
    }

    /// An entry, and its row as it was read.
    pub(crate) async fn read(&self, id: EntryId) -> Result<(Entry, Bytes)> {
        let got = self
            .inner
            .store
            .get(AccountId::SYSTEM, &[keys::entry(id)])
            .await?
            .pop();
        let row = got.flatten().ok_or(Error::NotFound(id))?;
        Ok((Entry::decode(id, &row)?, row))
    }

    /// The message of an entry, as it travels.
    ///
    /// # Errors
    /// [`Error::Store`], also for damaged content.
    pub async fn message(&self, entry: &Entry) -> Result<Bytes> {
        self.piece(entry, 0..entry.size()).await
    }

    /// The message of an entry with what does not travel, as it was stored.
    ///
    /// # Errors
    /// As [`message`](Queue::message).
    pub(crate) async fn whole(&self, entry: &Entry) -> Result<Bytes> {
        let blob = &entry.content;
        Ok(self.inner.store.read(blob, 0..blob.len).await?)
    }

    /// A piece of the message of an entry, as it travels.
    ///
    /// # Errors
    /// As [`message`](Queue::message).
    pub async fn piece(&self, entry: &Entry, range: std::ops::Range<u64>) -> Result<Bytes> {
        let (blob, skip) = (&entry.content, u64::from(entry.skip));
        let from = skip.saturating_add(range.start).min(blob.len);
        let to = skip.saturating_add(range.end).min(blob.len);
        if from >= to {
            return Ok(Bytes::new());
        }
        Ok(self.inner.store.read(blob, from..to).await?)
    }

    /// The right to work on an entry; `None` while somebody else has it.
    pub(crate) fn claim(&self, id: EntryId) -> Option<Claim> {
        let taken = self.inner.claimed.lock().insert(id);
        taken.then(|| Claim {
            queue: self.clone(),
            id,
        })
    }

    /// What a batch does, in the system's part, to put one message's entries
    /// into the queue.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub(crate) fn additions(&self, entries: &[Entry]) -> Result<Vec<Op>> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let mut ops = vec![Op::Add {
            key: keys::counter(Counter::Number),
            delta: 1,
            min: None,
            max: None,
            slot: Some(keys::NUMBER),
        }];
        let set = |key, val: Bytes| Op::Set {
            key: keys::new(key),
            val: val.into(),
        };
        for (part, entry) in entries.iter().enumerate() {
            let part = u16::try_from(part).map_err(|_| Error::TooMany)?;
            let id = EntryId { message: 0, part };
            ops.push(set(keys::entry(id), entry.encode()?));
            ops.push(set(keys::of_mail(&entry.mail, id), Bytes::new()));
            for name in index::names(entry) {
                ops.push(set(keys::of_name(&name, id), Bytes::new()));
            }
            ops.push(match entry.held {
                true => set(keys::held(id), Bytes::new()),
                false => set(
                    keys::due(millis(entry.due), id),
                    schedule::row(entry, false),
                ),
            });
            ops.push(Op::Retain(entry.content.clone()));
            ops.extend(counted(entry, 1));
            ops.extend(holds::added(id, entry));
        }
        Ok(ops)
    }

    /// Entries whose [additions](Queue::additions) are durable. `raw` is the
    /// message as it was stored: what is sent at once need not be read again.
    pub(crate) fn added(&self, part: &CommitPart, entries: Vec<Entry>, raw: &Bytes) {
        let number = part.slots.get(usize::from(keys::NUMBER)).copied();
        let message = number.unwrap_or_default() as u64;
        let now = self.now();
        let mut fresh = self.inner.fresh.lock();
        if !fresh.wanted {
            return;
        }
        for (part, entry) in (0u16..).zip(entries) {
            let id = EntryId { message, part };
            if entry.held || entry.due > now {
                if !entry.held {
                    fresh.next = Some(fresh.next.map_or(entry.due, |next| next.min(entry.due)));
                }
                continue;
            }
            if fresh.ready.len() >= FRESH {
                fresh.more = true;
                continue;
            }
            let fits = raw.len() <= FRESH_MESSAGE && fresh.bytes + raw.len() <= FRESH_BYTES;
            let raw = fits.then(|| raw.clone());
            fresh.bytes += raw.as_ref().map_or(0, Bytes::len);
            fresh.ready.push(Ready::fresh(id, entry, raw));
        }
        drop(fresh);
        self.inner.wake.notify_one();
    }

    /// The right to change an entry.
    pub(crate) fn take(&self, id: EntryId) -> Result<Claim> {
        self.claim(id).ok_or(Error::Busy(id))
    }

    /// Says that entries may be due that were not before.
    pub(crate) fn stir(&self) {
        self.inner.fresh.lock().more = true;
        self.inner.wake.notify_one();
    }

    /// Puts a message that goes to nobody here into the queue.
    ///
    /// # Errors
    /// [`Error::TooMany`], [`Error::Store`]. Nothing was queued then.
    pub(crate) async fn enqueue(
        &self,
        raw: Bytes,
        entries: impl FnOnce(&axigen_store::BlobRef) -> Vec<Entry>,
        more: Vec<Op>,
        asserts: Vec<(Key, Expect)>,
    ) -> Result<()> {
        // What they say of the content is right once it is known.
        let mut entries = entries(&axigen_store::BlobRef {
            hash: [0; 32],
            len: raw.len() as u64,
        });
        let content = self.put(&raw, &entries).await?;
        for entry in &mut entries {
            entry.content = content.clone();
        }
        let mut ops = more;
        ops.extend(self.additions(&entries)?);
        let part = self.commit(ops, asserts).await?;
        self.added(&part, entries, &raw);
        Ok(())
    }

    /// What a batch does, in the system's part, to settle an entry that was
    /// read as it is in `row`.
    pub(crate) fn settling(
        &self,
        id: EntryId,
        entry: &Entry,
        row: &Bytes,
        settled: &Settled,
    ) -> Result<(Vec<Op>, (Key, Expect))> {
        let mut ops = vec![
            Op::Delete(keys::due(millis(entry.due), id)),
            Op::Delete(keys::due(millis(schedule::deadline(entry)), id)),
            Op::Delete(keys::parked(&entry.lane, id)),
        ];
        if entry.held {
            ops.push(Op::Delete(keys::held(id)));
        }
        ops.extend(counted(entry, -1));
        ops.extend(holds::forgotten(id, entry));
        match settled {
            Settled::Gone => {
                ops.push(Op::Delete(keys::entry(id)));
                ops.push(Op::Delete(keys::of_mail(&entry.mail, id)));
                let names = index::names(entry).into_iter();
                ops.extend(names.map(|name| Op::Delete(keys::of_name(&name, id))));
                ops.push(Op::Release(entry.content.clone()));
            }
            Settled::Waits(new) => {
                ops.push(Op::Set {
                    key: keys::entry(id).into(),
                    val: new.encode()?.into(),
                });
                ops.extend(index::changed(id, entry, new));
                let (key, val) = match new.held {
                    true => (keys::held(id), Bytes::new()),
                    false => (keys::due(millis(new.due), id), schedule::row(new, false)),
                };
                ops.push(Op::Set {
                    key: key.into(),
                    val: val.into(),
                });
                ops.extend(counted(new, 1));
                ops.extend(holds::kept(id, new));
            }
        }
        let unchanged = (keys::entry(id), Expect::Equals(row.clone()));
        Ok((ops, unchanged))
    }

    /// Settles an entry; nobody is told.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) async fn settle(
        &self,
        id: EntryId,
        entry: &Entry,
        row: &Bytes,
        settled: &Settled,
    ) -> Result<()> {
        let (ops, unchanged) = self.settling(id, entry, row, settled)?;
        // What arrives meanwhile takes it along: that saves a sync for each message.
        let store = &self.inner.store;
        store.commit_patiently(batch(ops, vec![unchanged])).await?;
        self.left(entry, settled);
        Ok(())
    }

    /// Makes several entries of one, with other ways to go.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) async fn divide(
        &self,
        id: EntryId,
        entry: &Entry,
        row: &Bytes,
        first: Entry,
        others: Vec<Entry>,
    ) -> Result<()> {
        let settled = Settled::Waits(Box::new(first));
        let (mut ops, unchanged) = self.settling(id, entry, row, &settled)?;
        ops.extend(self.additions(&others)?);
        self.commit(ops, vec![unchanged]).await?;
        self.stir();
        Ok(())
    }

    /// A page of the queue's rows.
    async fn rows(&self, from: Key, to: Key, limit: usize, keys_only: bool) -> Result<Page> {
        let range = Range {
            account: AccountId::SYSTEM,
            from,
            to,
            limit,
            reverse: false,
            keys_only,
        };
        Ok(self.inner.store.range(range).await?)
    }

    async fn commit(&self, ops: Vec<Op>, asserts: Vec<(Key, Expect)>) -> Result<CommitPart> {
        let mut commit = self.inner.store.commit(batch(ops, asserts)).await?;
        let missing = || Error::Corrupt("an answer of the store".into(), "no part".into());
        commit.parts.pop().ok_or_else(missing)
    }
}

fn batch(ops: Vec<Op>, asserts: Vec<(Key, Expect)>) -> Batch {
    let part = Part {
        account: AccountId::SYSTEM,
        asserts,
        ops,
        // Who watches the system's range watches the directory.
        advance: false,
    };
    Batch { parts: vec![part] }
}

/// What an entry is to the counters.
fn counted(entry: &Entry, sign: i64) -> impl Iterator<Item = Op> {
    let recipients = i64::try_from(entry.recipients.len()).unwrap_or(i64::MAX);
    let bytes = i64::try_from(entry.size()).unwrap_or(i64::MAX);
    let counts = [
        (Counter::Entries, 1),
        (Counter::Held, i64::from(entry.held)),
        (Counter::Recipients, recipients),
        (Counter::Bytes, bytes),
    ];
    let counts = counts.into_iter().filter(|(_, count)| *count != 0);
    counts.map(move |(which, count)| Op::Add {
        key: keys::counter(which),
        delta: sign * count,
        min: None,
        max: None,
        slot: None,
    })
}

/// A number that looks like chance and is always the same for the same bytes.
pub(crate) fn salt(of: &[u8]) -> u64 {
    let hash = blake3::hash(of);
    hash.as_bytes()
        .first_chunk::<8>()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn millis(at: Timestamp) -> i64 {
    at.as_millisecond()
}
