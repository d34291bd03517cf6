//! Random steps against a model that is too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::future::join_all;

use super::blobs::at_once;
use super::{Dice, Outcome, Subject, Wrong, ensure, key, same};
use crate::batch::{AccountId, Batch, Expect, Key, Op, Part, Patch, Slot, Template};
use crate::blob::{BlobIn, BlobRef};
use crate::error::Error;
use crate::page::Range;
use crate::store::Store;

const ACCOUNTS: u64 = 3;
const NAMES: u64 = 12;

/// All that a store knows, the plain way.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    rows: BTreeMap<(AccountId, Key), Bytes>,
    seqs: BTreeMap<AccountId, u64>,
    refs: BTreeMap<[u8; 32], u64>,
}

/// How a batch ends.
#[derive(Debug, PartialEq)]
enum End {
    Done(Vec<u64>),
    Conflict(usize, usize),
    Bound(usize, usize),
    NotFound,
    NoCounter,
}

impl Model {
    fn commit(&mut self, batch: &Batch, put: &BTreeMap<[u8; 32], Bytes>) -> End {
        let mut after = self.clone();
        match after.run(batch, put) {
            Ok(seqs) => {
                *self = after;
                End::Done(seqs)
            }
            Err(end) => end,
        }
    }

    fn run(&mut self, batch: &Batch, put: &BTreeMap<[u8; 32], Bytes>) -> Result<Vec<u64>, End> {
        for (number, part) in batch.parts.iter().enumerate() {
            for (index, (name, expect)) in part.asserts.iter().enumerate() {
                let row = self.rows.get(&(part.account, name.clone()));
                let holds = match expect {
                    Expect::Absent => row.is_none(),
                    Expect::Present => row.is_some(),
                    Expect::Equals(value) => row == Some(value),
                };
                if !holds {
                    return Err(End::Conflict(number, index));
                }
            }
        }
        let mut seqs = Vec::new();
        for (number, part) in batch.parts.iter().enumerate() {
            let seq = self.seqs.entry(part.account).or_default();
            *seq += u64::from(part.advance);
            let seq = *seq;
            seqs.push(seq);
            let mut slots = [0; 16];
            for (index, op) in part.ops.iter().enumerate() {
                let at = |name: &Key| (part.account, name.clone());
                match op {
                    Op::Set { key, val } => {
                        let filled = |template: &Template| {
                            let mut bytes = template.bytes.to_vec();
                            for patch in &template.patches {
                                let number = match patch.slot {
                                    Slot::Seq => seq as i64,
                                    Slot::Counter(slot) => slots[usize::from(slot)],
                                };
                                bytes[patch.at..patch.at + 8]
                                    .copy_from_slice(&number.to_be_bytes());
                            }
                            Bytes::from(bytes)
                        };
                        self.rows.insert(at(&filled(key)), filled(val));
                    }
                    Op::Delete(name) => {
                        self.rows.remove(&at(name));
                    }
                    Op::DeleteRange(from, to) => {
                        self.rows.retain(|(account, name), _| {
                            *account != part.account || name < from || name >= to
                        });
                    }
                    Op::Add {
                        key,
                        delta,
                        min,
                        max,
                        slot,
                    } => {
                        let before = match self.rows.get(&at(key)) {
                            None => 0,
                            Some(row) => match row[..].try_into() {
                                Ok(row) => i64::from_be_bytes(row),
                                Err(_) => return Err(End::NoCounter),
                            },
                        };
                        let sum = i128::from(before) + i128::from(*delta);
                        let low = i128::from(min.unwrap_or(i64::MIN));
                        let high = i128::from(max.unwrap_or(i64::MAX));
                        if sum < low || sum > high {
                            return Err(End::Bound(number, index));
                        }
                        slots[usize::from(slot.unwrap_or(15))] = sum as i64;
                        self.rows
                            .insert(at(key), (sum as i64).to_be_bytes().to_vec().into());
                    }
                    Op::Retain(blob) => {
                        if !put.contains_key(&blob.hash) {
                            return Err(End::NotFound);
                        }
                        *self.refs.entry(blob.hash).or_default() += 1;
                    }
                    Op::Release(blob) => match self.refs.get_mut(&blob.hash) {
                        Some(refs) if *refs > 0 => *refs -= 1,
                        _ => return Err(End::NotFound),
                    },
                }
            }
        }
        Ok(seqs)
    }
}

/// One random name: few, so that batches meet, and some a prefix of another.
fn name(dice: &mut Dice) -> Key {
    let n = dice.below(NAMES);
    key(if n.is_multiple_of(3) {
        format!("k{n}\0")
    } else {
        format!("k{n}")
    })
}

fn content(number: u64) -> Bytes {
    let mut dice = Dice(number);
    let len = [3, 700, 3_000][number as usize % 3];
    Bytes::from(dice.noise(len))
}

fn blob(dice: &mut Dice) -> BlobRef {
    let content = content(dice.below(6));
    BlobRef {
        hash: *blake3::hash(&content).as_bytes(),
        len: content.len() as u64,
    }
}

fn op(dice: &mut Dice, filled: &mut bool) -> Op {
    match dice.below(12) {
        0..4 => {
            let mut val = Template::from(key(vec![b'v'; 1 + dice.below(20) as usize]));
            let slot = if *filled && dice.below(2) == 0 {
                Slot::Counter(0)
            } else {
                Slot::Seq
            };
            if dice.below(2) == 0 {
                val.bytes = Bytes::from(vec![0; 9]);
                val.patches.push(Patch {
                    at: 1,
                    width: 8,
                    slot,
                });
            }
            let mut name = Template::from(name(dice));
            if dice.below(4) == 0 {
                name.bytes = [&b"s"[..], &[0; 8]].concat().into();
                name.patches.push(Patch {
                    at: 1,
                    width: 8,
                    slot,
                });
            }
            Op::Set { key: name, val }
        }
        4 => Op::Delete(name(dice)),
        5 => Op::DeleteRange(name(dice), name(dice)),
        6..9 => {
            *filled = true;
            Op::Add {
                key: key(format!("n{}", dice.below(3))),
                delta: dice.below(9) as i64 - 4,
                min: (dice.below(2) == 0).then_some(-5),
                max: (dice.below(2) == 0).then_some(12),
                slot: Some(0),
            }
        }
        9 => Op::Retain(blob(dice)),
        10 => Op::Release(blob(dice)),
        _ => Op::Set {
            key: key(format!("n{}", dice.below(3))).into(),
            val: key(vec![0; 8 - (dice.below(8) == 0) as usize]).into(),
        },
    }
}

fn random(dice: &mut Dice) -> Batch {
    let first = dice.below(ACCOUNTS);
    let parts = (0..1 + dice.below(2)).map(|n| {
        let asserts = (0..dice.below(3)).map(|_| {
            let expect = match dice.below(6) {
                0..3 => Expect::Absent,
                3..5 => Expect::Present,
                _ => Expect::Equals(key(vec![b'v'; 1 + dice.below(5) as usize])),
            };
            (name(dice), expect)
        });
        let asserts = asserts.collect();
        let mut filled = false;
        Part {
            account: AccountId((first + n) % ACCOUNTS),
            asserts,
            ops: (0..dice.below(6)).map(|_| op(dice, &mut filled)).collect(),
            advance: dice.below(4) != 0,
        }
    });
    Batch {
        parts: parts.collect(),
    }
}

pub(super) async fn play(subject: &dyn Subject, seeds: &[u64]) -> Outcome {
    let mut store = subject.fresh().await?;
    let mut model = Model::default();
    let mut put = BTreeMap::new();
    // Put and not retained since: no sweep takes them.
    let mut held = BTreeSet::new();
    for seed in seeds {
        let mut dice = Dice(*seed);
        let context = |wrong: Wrong| Wrong(format!("at seed {seed}: {}", wrong.0));
        match dice.below(100) {
            0..70 => commit(&store, &mut model, &put, &mut held, &mut dice)
                .await
                .map_err(context)?,
            70..76 => {
                let content = content(dice.below(6));
                let label = Bytes::new();
                let refs = store
                    .put(vec![BlobIn {
                        bytes: content.clone(),
                        label,
                        pieces: Vec::new(),
                    }])
                    .await?;
                put.insert(refs[0].hash, content);
                held.insert(refs[0].hash);
            }
            76..78 => {
                store.sweep(at_once()).await?;
                model.refs.retain(|hash, refs| {
                    let stays = *refs > 0 || held.contains(hash);
                    if !stays {
                        put.remove(hash);
                    }
                    stays
                });
            }
            78..99 => read(&store, &model, &mut dice).await.map_err(context)?,
            _ => {
                store.close().await?;
                store = match subject.reopen().await {
                    Some(store) => store?,
                    None => {
                        model = Model::default();
                        put.clear();
                        subject.fresh().await?
                    }
                };
                held.clear();
                // What no batch ever retained may be gone.
                put.retain(|hash, _| model.refs.contains_key(hash));
                whole(&store, &model).await.map_err(context)?;
            }
        }
    }
    whole(&store, &model).await?;
    for (hash, content) in put {
        let blob = BlobRef {
            hash,
            len: content.len() as u64,
        };
        same("a blob", store.read(&blob, 0..u64::MAX).await?, content)?;
    }
    let held = model.refs.values().filter(|refs| **refs > 0).count();
    same("blobs referred to", store.space().await?.blobs, held as u64)
}

async fn commit(
    store: &Store,
    model: &mut Model,
    put: &BTreeMap<[u8; 32], Bytes>,
    held: &mut BTreeSet<[u8; 32]>,
    dice: &mut Dice,
) -> Outcome {
    let batches: Vec<_> = (0..1 + dice.below(5)).map(|_| random(dice)).collect();
    // Polled in this order, they queue in this order, most of them as one group.
    let outcomes = join_all(batches.iter().cloned().map(|batch| store.commit(batch))).await;
    for (batch, outcome) in batches.iter().zip(outcomes) {
        let wanted = model.commit(batch, put);
        if matches!(wanted, End::Done(_)) {
            let ops = batch.parts.iter().flat_map(|part| &part.ops);
            for op in ops {
                if let Op::Retain(blob) = op {
                    held.remove(&blob.hash);
                }
            }
        }
        let got = match outcome {
            Ok(commit) => End::Done(commit.parts.iter().map(|part| part.seq).collect()),
            Err(Error::Conflict { part, index }) => End::Conflict(part, index),
            Err(Error::Bound { part, index }) => End::Bound(part, index),
            Err(Error::NotFound) => End::NotFound,
            Err(Error::Corrupt(_)) => End::NoCounter,
            Err(error) => return Err(error.into()),
        };
        ensure(got == wanted, || {
            format!("{batch:?} gave {got:?}, wanted {wanted:?}")
        })?;
    }
    Ok(())
}

async fn read(store: &Store, model: &Model, dice: &mut Dice) -> Outcome {
    let account = AccountId(dice.below(ACCOUNTS));
    let names: Vec<_> = (0..dice.below(8)).map(|_| name(dice)).collect();
    let wanted: Vec<_> = names
        .iter()
        .map(|name| model.rows.get(&(account, name.clone())).cloned())
        .collect();
    same("a get", store.get(account, &names).await?, wanted)?;
    let range = Range {
        account,
        from: name(dice),
        to: name(dice),
        limit: 1 + dice.below(6) as usize,
        reverse: dice.below(2) == 0,
        keys_only: false,
    };
    let mut wanted: Vec<(Key, Bytes)> = model
        .rows
        .iter()
        .filter(|((owner, name), _)| *owner == account && *name >= range.from && *name < range.to)
        .map(|((_, name), value)| (name.clone(), value.clone()))
        .collect();
    if range.reverse {
        wanted.reverse();
    }
    let more = wanted.len() > range.limit;
    wanted.truncate(range.limit);
    let page = store.range(range).await?;
    same("a page", page.rows, wanted)?;
    same("whether more follow", page.next.is_some(), more)?;
    let seq = model.seqs.get(&account).copied().unwrap_or_default();
    same("the sequence", store.seq(account).await?, seq)
}

async fn whole(store: &Store, model: &Model) -> Outcome {
    for account in (0..ACCOUNTS).map(AccountId) {
        let wanted: Vec<_> = model
            .rows
            .iter()
            .filter(|((owner, _), _)| *owner == account)
            .map(|((_, name), value)| (name.clone(), value.clone()))
            .collect();
        same(
            "all rows",
            store.scan(account, key(""), key("\u{7f}")).await?,
            wanted,
        )?;
    }
    Ok(())
}
