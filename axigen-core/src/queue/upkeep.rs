//! The queue's part of verify and repair: what it refers to, whether each entry
//! has its place in the schedule and in the index by name, whether the counters
//! are right.

use std::collections::{HashMap, HashSet};

use axigen_store::store::References;
use axigen_store::{AccountId, Batch, Key, Op, Part, Range, Store};
use bytes::Bytes;

use super::entry::{Entry, EntryId};
use super::index::{self, Progress};
use super::keys::{self, Counter};
use super::{Result, counted, millis, schedule};

/// Rows read at a time.
const PAGE: usize = 1000;
/// The counters that follow from the entries.
const COUNTED: [Counter; 4] = [
    Counter::Entries,
    Counter::Held,
    Counter::Recipients,
    Counter::Bytes,
];

/// What the queue holds of contents.
///
/// # Errors
/// Of the store.
pub(crate) async fn references(store: &Store, references: &mut References) -> Result<()> {
    let mut pages = Pages::of(keys::ENTRY, false);
    while let Some(rows) = pages.next(store).await? {
        for (key, row) in rows {
            if let Some(Ok(entry)) = keys::id_of(&key).map(|id| Entry::decode(id, &row)) {
                *references.entry(entry.content.hash).or_default() += 1;
            }
        }
    }
    Ok(())
}

/// What is wrong with the queue, in sentences.
///
/// # Errors
/// Of the store.
pub(crate) async fn verify(store: &Store) -> Result<Vec<String>> {
    Ok(look(store, &HashSet::new()).await?.0)
}

/// Sets right what [`verify`] finds, and removes entries whose content is lost
/// or that cannot be read; says what it did.
///
/// # Errors
/// Of the store.
pub(crate) async fn repair(store: &Store, lost: &HashSet<[u8; 32]>) -> Result<Vec<String>> {
    let (said, ops) = look(store, lost).await?;
    for some in ops.chunks(PAGE) {
        let part = Part {
            account: AccountId::SYSTEM,
            asserts: Vec::new(),
            ops: some.to_vec(),
            advance: false,
        };
        store.commit(Batch { parts: vec![part] }).await?;
    }
    Ok(said)
}

async fn look(store: &Store, lost: &HashSet<[u8; 32]>) -> Result<(Vec<String>, Vec<Op>)> {
    let mut look = Look {
        placed: placed(store).await?,
        ..Look::default()
    };
    let got = store.get(AccountId::SYSTEM, &[keys::indexed()]).await?;
    let got = got.into_iter().flatten().next();
    // Otherwise whoever opens the store makes the rest.
    let whole = Progress::decode(got.as_deref()) == Progress::Whole;
    let mut pages = Pages::of(keys::ENTRY, false);
    while let Some(rows) = pages.next(store).await? {
        let mut names = Vec::new();
        for (key, row) in rows {
            let Some(id) = keys::id_of(&key) else {
                continue;
            };
            let entry = Entry::decode(id, &row);
            if let Some(entry) = look.entry(id, entry, lost) {
                names.extend(index::names(&entry).into_iter().map(|name| (id, name)));
            }
        }
        if whole {
            look.names(store, names).await?;
        }
    }
    look.stale(store).await?;
    look.counters(store).await?;
    Ok((look.said, look.ops))
}

/// What is found, and what sets it right.
#[derive(Default)]
struct Look {
    said: Vec<String>,
    ops: Vec<Op>,
    /// Entries that are waiting for a time, for their lane, or held.
    placed: HashSet<EntryId>,
    counts: HashMap<Key, i64>,
}

impl Look {
    /// Looks at an entry; gives it back if it stays.
    fn entry(
        &mut self,
        id: EntryId,
        entry: Result<Entry>,
        lost: &HashSet<[u8; 32]>,
    ) -> Option<Entry> {
        let entry = match entry {
            Ok(entry) if lost.contains(&entry.content.hash) => {
                let to = entry.recipients.iter().map(|to| to.address.as_str());
                let to = to.collect::<Vec<_>>().join(", ");
                self.said.push(format!(
                    "queue: the message of entry {id}, from <{}> to {to}, is lost; the entry is removed",
                    entry.sender,
                ));
                self.ops.push(Op::Delete(keys::entry(id)));
                self.ops.push(Op::Delete(keys::of_mail(&entry.mail, id)));
                let names = index::names(&entry).into_iter();
                let names = names.map(|name| Op::Delete(keys::of_name(&name, id)));
                self.ops.extend(names);
                return None;
            }
            Ok(entry) => entry,
            Err(error) => {
                self.said
                    .push(format!("queue: {error}; the entry is removed"));
                self.ops.push(Op::Delete(keys::entry(id)));
                return None;
            }
        };
        for op in counted(&entry, 1) {
            if let Op::Add { key, delta, .. } = op {
                *self.counts.entry(key).or_default() += delta;
            }
        }
        if !self.placed.contains(&id) {
            self.said
                .push(format!("queue: entry {id} has no place in the schedule"));
            let (key, val) = match entry.held {
                true => (keys::held(id), Bytes::new()),
                false => (
                    keys::due(millis(entry.due), id),
                    schedule::row(&entry, false),
                ),
            };
            self.set(key, val);
        }
        Some(entry)
    }

    /// Looks whether entries are found by their names.
    async fn names(&mut self, store: &Store, names: Vec<(EntryId, String)>) -> Result<()> {
        for some in names.chunks(PAGE) {
            let wanted: Vec<Key> = some
                .iter()
                .map(|(id, name)| keys::of_name(name, *id))
                .collect();
            let rows = store.get(AccountId::SYSTEM, &wanted).await?;
            for ((id, name), (key, row)) in some.iter().zip(wanted.into_iter().zip(rows)) {
                if row.is_none() {
                    self.said
                        .push(format!("queue: entry {id} is not found by {name}"));
                    self.set(key, Bytes::new());
                }
            }
        }
        Ok(())
    }

    /// Looks for names of entries that are not there, or have them no more.
    async fn stale(&mut self, store: &Store) -> Result<()> {
        let mut pages = Pages::of(keys::OF_NAME, true);
        while let Some(rows) = pages.next(store).await? {
            let keys = rows.into_iter().map(|(key, _)| key);
            let named = keys.filter_map(|key| Some((keys::id_of(&key)?, key)));
            let named: Vec<(EntryId, Key)> = named.collect();
            let wanted: Vec<Key> = named.iter().map(|(id, _)| keys::entry(*id)).collect();
            let entries = store.get(AccountId::SYSTEM, &wanted).await?;
            for ((id, key), row) in named.into_iter().zip(entries) {
                let entry = row.and_then(|row| Entry::decode(id, &row).ok());
                let name = keys::name_of(&key).unwrap_or_default();
                if !entry.is_some_and(|entry| index::names(&entry).contains(name)) {
                    self.said
                        .push(format!("queue: {name} leads to entry {id}, wrongly"));
                    self.ops.push(Op::Delete(key));
                }
            }
        }
        Ok(())
    }

    async fn counters(&mut self, store: &Store) -> Result<()> {
        let wanted = COUNTED.map(keys::counter);
        let got = store.get(AccountId::SYSTEM, &wanted).await?;
        for ((which, key), value) in COUNTED.iter().zip(wanted).zip(got) {
            let is = value.as_ref().and_then(|value| value.first_chunk::<8>());
            let is = is.map_or(0, |bytes| i64::from_be_bytes(*bytes));
            let should = self.counts.get(&key).copied().unwrap_or_default();
            if is != should {
                self.said.push(format!(
                    "queue: the counter {which:?} says {is} instead of {should}"
                ));
                self.ops.push(Op::Add {
                    key,
                    delta: should - is,
                    min: None,
                    max: None,
                    slot: None,
                });
            }
        }
        Ok(())
    }

    fn set(&mut self, key: Key, val: Bytes) {
        self.ops.push(Op::Set {
            key: key.into(),
            val: val.into(),
        });
    }
}

/// Entries that are waiting for a time, for their lane, or held.
async fn placed(store: &Store) -> Result<HashSet<EntryId>> {
    let mut placed = HashSet::new();
    for tag in [keys::DUE, keys::PARKED, keys::HELD] {
        let mut pages = Pages::of(tag, true);
        while let Some(rows) = pages.next(store).await? {
            placed.extend(rows.iter().filter_map(|(key, _)| keys::id_of(key)));
        }
    }
    Ok(placed)
}

/// All rows with a tag, by the page.
struct Pages {
    next: Option<Range>,
}

impl Pages {
    fn of(tag: u8, keys_only: bool) -> Pages {
        let (from, to) = keys::all(tag);
        let next = Some(Range {
            account: AccountId::SYSTEM,
            from,
            to,
            limit: PAGE,
            reverse: false,
            keys_only,
        });
        Pages { next }
    }

    async fn next(&mut self, store: &Store) -> Result<Option<Vec<(Key, Bytes)>>> {
        let Some(range) = self.next.take() else {
            return Ok(None);
        };
        let page = store.range(range.clone()).await?;
        self.next = page.next.map(|from| Range { from, ..range });
        Ok(Some(page.rows))
    }
}
