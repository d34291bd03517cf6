//! The queue's part of verify and repair: what it refers to, whether each entry
//! has its place in the schedule, whether the counters are right.

use std::collections::{HashMap, HashSet};

use axigen_store::store::References;
use axigen_store::{AccountId, Batch, Key, Op, Part, Range, Store};
use bytes::Bytes;

use super::entry::{Entry, EntryId};
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
    for (_, entry) in entries(store).await? {
        if let Ok(entry) = entry {
            *references.entry(entry.content.hash).or_default() += 1;
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
    let mut said = Vec::new();
    let mut ops = Vec::new();
    let placed = placed(store).await?;
    let mut counts: HashMap<Key, i64> = HashMap::new();
    for (id, entry) in entries(store).await? {
        let entry = match entry {
            Ok(entry) if lost.contains(&entry.content.hash) => {
                let to: Vec<&str> = entry
                    .recipients
                    .iter()
                    .map(|to| to.address.as_str())
                    .collect();
                said.push(format!(
                    "queue: the message of entry {id}, from <{}> to {}, is lost; the entry is removed",
                    entry.sender,
                    to.join(", ")
                ));
                ops.push(Op::Delete(keys::entry(id)));
                ops.push(Op::Delete(keys::of_mail(&entry.mail, id)));
                continue;
            }
            Ok(entry) => entry,
            Err(error) => {
                said.push(format!("queue: {error}; the entry is removed"));
                ops.push(Op::Delete(keys::entry(id)));
                continue;
            }
        };
        for op in counted(&entry, 1) {
            if let Op::Add { key, delta, .. } = op {
                *counts.entry(key).or_default() += delta;
            }
        }
        if !placed.contains(&id) {
            said.push(format!("queue: entry {id} has no place in the schedule"));
            let (key, val) = match entry.held {
                true => (keys::held(id), Bytes::new()),
                false => (
                    keys::due(millis(entry.due), id),
                    schedule::row(&entry, false),
                ),
            };
            ops.push(Op::Set {
                key: key.into(),
                val: val.into(),
            });
        }
    }
    let wanted = COUNTED.map(keys::counter);
    let got = store.get(AccountId::SYSTEM, &wanted).await?;
    for ((which, key), value) in COUNTED.iter().zip(wanted).zip(got) {
        let is = value.as_ref().and_then(|value| value.first_chunk::<8>());
        let is = is.map_or(0, |bytes| i64::from_be_bytes(*bytes));
        let should = counts.get(&key).copied().unwrap_or_default();
        if is != should {
            said.push(format!(
                "queue: the counter {which:?} says {is} instead of {should}"
            ));
            ops.push(Op::Add {
                key,
                delta: should - is,
                min: None,
                max: None,
                slot: None,
            });
        }
    }
    Ok((said, ops))
}

/// Entries that are waiting for a time, for their lane, or held.
async fn placed(store: &Store) -> Result<HashSet<EntryId>> {
    let mut placed = HashSet::new();
    for tag in [keys::DUE, keys::PARKED, keys::HELD] {
        for (key, _) in rows(store, tag, true).await? {
            placed.extend(keys::id_of(&key));
        }
    }
    Ok(placed)
}

async fn entries(store: &Store) -> Result<Vec<(EntryId, Result<Entry>)>> {
    let rows = rows(store, keys::ENTRY, false).await?;
    let rows = rows.into_iter();
    Ok(rows
        .filter_map(|(key, value)| {
            let id = keys::id_of(&key)?;
            Some((id, Entry::decode(id, &value)))
        })
        .collect())
}

async fn rows(store: &Store, tag: u8, keys_only: bool) -> Result<Vec<(Key, Bytes)>> {
    let (from, to) = keys::all(tag);
    let mut range = Range {
        account: AccountId::SYSTEM,
        from,
        to,
        limit: PAGE,
        reverse: false,
        keys_only,
    };
    let mut rows = Vec::new();
    loop {
        let page = store.range(range.clone()).await?;
        rows.extend(page.rows);
        match page.next {
            Some(next) => range.from = next,
            None => return Ok(rows),
        }
    }
}
