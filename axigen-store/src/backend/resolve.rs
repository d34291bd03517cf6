//! Turns a group of batches into plain sets and deletes.
//!
//! The part of a commit that is the same for every backend: asserts, counters
//! with bounds, sequence numbers without gaps, templates, blob references. A
//! pure function of the batches and of the rows they depend on, which are
//! known beforehand, so that a backend reads them in one go:
//!
//! ```text
//! let keys = reads(&group);
//! let values = ... read these keys ...;
//! let resolved = resolve(&group, &keys, &values, now);
//! ... delete resolved.ranges, then apply resolved.points, in one durable write ...
//! return resolved.outcomes
//! ```
//!
//! The group's earlier batches are seen by the later ones through an overlay.
//! A batch that fails leaves no trace in it, nor in what is written.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::{Request, Upkeep, key};
use crate::batch::{AccountId, Commit, CommitPart, Expect, Key, Op, Part, Slot, Template};
use crate::blob::{BlobRef, BlobRow, Place};
use crate::error::{Error, Result};

/// What a group comes to.
#[derive(Debug)]
pub struct Resolved {
    /// One for each batch. An `Ok` may be answered once the writes are
    /// durable.
    pub outcomes: Vec<Result<Commit>>,
    /// Ranges to delete, before the points are applied.
    pub ranges: Vec<(Key, Key)>,
    /// Keys to set, or to delete (`None`). Each key occurs once.
    pub points: BTreeMap<Key, Option<Bytes>>,
}

/// The flat keys whose values [`resolve`] must be given: ascending, each once.
pub fn reads(group: &[Request]) -> Vec<Key> {
    let mut keys = Vec::new();
    for (hash, row) in group.iter().flat_map(|request| &request.fresh) {
        keys.push(key::blob(hash));
        about(row, &mut keys);
    }
    for upkeep in group.iter().flat_map(|request| &request.upkeep) {
        match upkeep {
            Upkeep::Move { hash, from, to } => {
                keys.push(key::blob(hash));
                let files = [from, to].into_iter().filter_map(Place::held);
                keys.extend(files.map(|(file, _)| key::file(file)));
            }
            Upkeep::Forget { hash, row } => {
                keys.push(key::blob(hash));
                about(row, &mut keys);
            }
            Upkeep::Mend { key, .. } => keys.push(key.clone()),
        }
    }
    for part in group.iter().flat_map(|request| &request.batch.parts) {
        keys.push(key::seq(part.account));
        for (key, _) in &part.asserts {
            keys.push(key::flat(part.account, key));
        }
        for op in &part.ops {
            match op {
                Op::Add { key, .. } => keys.push(key::flat(part.account, key)),
                Op::Retain(blob) | Op::Release(blob) => keys.push(key::blob(&blob.hash)),
                Op::Set { .. } | Op::Delete(_) | Op::DeleteRange(..) => {}
            }
        }
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The other rows that change when a row of a blob comes or goes.
fn about(row: &BlobRow, keys: &mut Vec<Key>) {
    keys.extend(row.parts.iter().map(key::blob));
    keys.extend(row.place.held().map(|(file, _)| key::file(file)));
}

/// Resolves a group. `keys` are those of [`reads`], `values` what they hold
/// now, in the same order; `now` is seconds since 1970 (it goes into rows of
/// blobs that lose their last reference).
pub fn resolve(group: &[Request], keys: &[Key], values: &[Option<Bytes>], now: u64) -> Resolved {
    let mut view = View {
        keys,
        values,
        group: Overlay::default(),
        batch: Overlay::default(),
        now,
    };
    let outcomes = group
        .iter()
        .map(|request| {
            view.batch = Overlay::default();
            let commit = view.run(request)?;
            let done = std::mem::take(&mut view.batch);
            view.group.absorb(done);
            Ok(commit)
        })
        .collect();
    Resolved {
        outcomes,
        ranges: view.group.ranges,
        points: view.group.points,
    }
}

/// Changes not yet written: first the ranges go, then the points come.
#[derive(Debug, Default)]
struct Overlay {
    ranges: Vec<(Key, Key)>,
    points: BTreeMap<Key, Option<Bytes>>,
}

impl Overlay {
    /// What this overlay says of a key: nothing, or its value.
    fn get(&self, key: &Key) -> Option<Option<Bytes>> {
        if let Some(value) = self.points.get(key) {
            return Some(value.clone());
        }
        self.ranges
            .iter()
            .any(|(from, to)| from <= key && key < to)
            .then_some(None)
    }

    fn delete_range(&mut self, from: Key, to: Key) {
        if from < to {
            self.points.retain(|key, _| *key < from || *key >= to);
            self.ranges.push((from, to));
        }
    }

    fn absorb(&mut self, later: Overlay) {
        for (from, to) in later.ranges {
            self.delete_range(from, to);
        }
        self.points.extend(later.points);
    }
}

/// The rows as the batch at hand sees them.
struct View<'a> {
    keys: &'a [Key],
    values: &'a [Option<Bytes>],
    group: Overlay,
    batch: Overlay,
    now: u64,
}

impl View<'_> {
    fn get(&self, key: &Key) -> Result<Option<Bytes>> {
        if let Some(value) = self.batch.get(key).or_else(|| self.group.get(key)) {
            return Ok(value);
        }
        self.keys
            .binary_search(key)
            .ok()
            .and_then(|at| self.values.get(at))
            .cloned()
            .ok_or_else(|| Error::Invalid("the backend did not read what `reads` asked".into()))
    }

    fn set(&mut self, key: Key, value: Bytes) {
        self.batch.points.insert(key, Some(value));
    }

    fn run(&mut self, request: &Request) -> Result<Commit> {
        // All asserts speak of the state before the batch.
        for (number, part) in request.batch.parts.iter().enumerate() {
            self.check(number, part)?;
        }
        for (index, upkeep) in request.upkeep.iter().enumerate() {
            self.upkeep(index, upkeep)?;
        }
        let parts = request
            .batch
            .parts
            .iter()
            .enumerate()
            .map(|(number, part)| self.part(number, part, request))
            .collect::<Result<_>>()?;
        Ok(Commit { parts })
    }

    fn check(&self, number: usize, part: &Part) -> Result<()> {
        for (index, (key, expect)) in part.asserts.iter().enumerate() {
            let value = self.get(&key::flat(part.account, key))?;
            let holds = match expect {
                Expect::Absent => value.is_none(),
                Expect::Present => value.is_some(),
                Expect::Equals(wanted) => value.as_ref() == Some(wanted),
            };
            if !holds {
                return Err(Error::Conflict {
                    part: number,
                    index,
                });
            }
        }
        Ok(())
    }

    fn part(&mut self, number: usize, part: &Part, request: &Request) -> Result<CommitPart> {
        let seq_key = key::seq(part.account);
        let last = match self.get(&seq_key)? {
            None => 0,
            Some(bytes) => u64::from_be_bytes(eight(&bytes)?),
        };
        let seq = last + u64::from(part.advance);
        if part.advance {
            self.set(seq_key, Bytes::copy_from_slice(&seq.to_be_bytes()));
        }
        let mut given = Given {
            seq,
            slots: [None; 16],
        };
        for (index, op) in part.ops.iter().enumerate() {
            let bound = || Error::Bound {
                part: number,
                index,
            };
            match op {
                Op::Set { key, val } => {
                    let key = given.key(part.account, key)?.ok_or_else(bound)?;
                    let val = given.fill(val)?.ok_or_else(bound)?;
                    self.set(key, val);
                }
                Op::Delete(key) => {
                    self.batch.points.insert(key::flat(part.account, key), None);
                }
                Op::DeleteRange(from, to) => self
                    .batch
                    .delete_range(key::bound(part.account, from), key::bound(part.account, to)),
                Op::Add {
                    key,
                    delta,
                    min,
                    max,
                    slot,
                } => {
                    let key = key::flat(part.account, key);
                    let before = match self.get(&key)? {
                        None => 0,
                        Some(bytes) => i64::from_be_bytes(eight(&bytes)?),
                    };
                    let after = before
                        .checked_add(*delta)
                        .filter(|n| min.is_none_or(|min| *n >= min))
                        .filter(|n| max.is_none_or(|max| *n <= max))
                        .ok_or_else(bound)?;
                    if let Some(slot) = slot {
                        *given.slot(*slot)? = Some(after);
                    }
                    self.set(key, Bytes::copy_from_slice(&after.to_be_bytes()));
                }
                Op::Retain(blob) => self.retain(blob, request)?,
                Op::Release(blob) => self.release(blob)?,
            }
        }
        Ok(CommitPart {
            account: part.account,
            seq,
            slots: given.slots.map(Option::unwrap_or_default),
        })
    }

    fn retain(&mut self, blob: &BlobRef, request: &Request) -> Result<()> {
        if let Some(row) = self.blob(&blob.hash)? {
            return self.refer(&blob.hash, row);
        }
        let row = fresh(&blob.hash, request)?;
        for part in &row.parts {
            let row = match self.blob(part)? {
                Some(row) => row,
                None => {
                    let row = fresh(part, request)?;
                    self.count(&row, 1)?;
                    row
                }
            };
            self.refer(part, row)?;
        }
        self.count(&row, 1)?;
        self.refer(&blob.hash, row)
    }

    fn release(&mut self, blob: &BlobRef) -> Result<()> {
        let row = self.blob(&blob.hash)?.ok_or(Error::NotFound)?;
        self.unrefer(&blob.hash, row, self.now)
    }

    fn blob(&self, hash: &[u8; 32]) -> Result<Option<BlobRow>> {
        let row = self.get(&key::blob(hash))?;
        row.as_ref().map(BlobRow::decode).transpose()
    }

    /// One reference more.
    fn refer(&mut self, hash: &[u8; 32], mut row: BlobRow) -> Result<()> {
        if row.refs == 0 && row.zero_since > 0 {
            let grave = key::grave(row.zero_since, hash);
            self.batch.points.insert(grave, None);
        }
        row.refs += 1;
        row.zero_since = 0;
        self.set(key::blob(hash), row.encode());
        Ok(())
    }

    /// One reference less; with the last one it is noted since when.
    fn unrefer(&mut self, hash: &[u8; 32], mut row: BlobRow, since: u64) -> Result<()> {
        // A release too many would take a reference that is another's.
        row.refs = row.refs.checked_sub(1).ok_or(Error::NotFound)?;
        if row.refs == 0 {
            row.zero_since = since.max(1);
            self.set(key::grave(row.zero_since, hash), Bytes::new());
        }
        self.set(key::blob(hash), row.encode());
        Ok(())
    }

    /// A row begins (1) or ceases (-1) to name its place.
    fn count(&mut self, row: &BlobRow, times: i64) -> Result<()> {
        let Some((file, bytes)) = row.place.held() else {
            return Ok(());
        };
        let key = key::file(file);
        let before = match self.get(&key)? {
            None => 0,
            Some(bytes) => i64::from_be_bytes(eight(&bytes)?),
        };
        let after = before.wrapping_add(times.wrapping_mul(bytes as i64));
        let after = (after != 0).then(|| Bytes::copy_from_slice(&after.to_be_bytes()));
        self.batch.points.insert(key, after);
        Ok(())
    }

    fn upkeep(&mut self, index: usize, upkeep: &Upkeep) -> Result<()> {
        let conflict = || Error::Conflict { part: 0, index };
        match upkeep {
            Upkeep::Move { hash, from, to } => {
                if let Some(mut row) = self.blob(hash)?
                    && row.place == *from
                {
                    self.count(&row, -1)?;
                    row.place = to.clone();
                    self.count(&row, 1)?;
                    self.set(key::blob(hash), row.encode());
                }
            }
            Upkeep::Forget { hash, row } => {
                let now = self.blob(hash)?;
                if row.refs != 0 || now.as_ref() != Some(row) {
                    return Err(conflict());
                }
                self.count(row, -1)?;
                for part in &row.parts {
                    // A part that is lost is no reason to keep the rest.
                    if let Some(part_row) = self.blob(part)?
                        && part_row.refs > 0
                    {
                        self.unrefer(part, part_row, row.zero_since)?;
                    }
                }
                self.batch.points.insert(key::blob(hash), None);
                let grave = key::grave(row.zero_since, hash);
                self.batch.points.insert(grave, None);
            }
            Upkeep::Mend { key, from, to } => {
                if self.get(key)? != *from {
                    return Err(conflict());
                }
                self.batch.points.insert(key.clone(), to.clone());
            }
        }
        Ok(())
    }
}

/// The row of a blob that was put and has none yet.
fn fresh(hash: &[u8; 32], request: &Request) -> Result<BlobRow> {
    request
        .fresh
        .iter()
        .find(|(known, _)| known == hash)
        .map(|(_, row)| row.clone())
        .ok_or(Error::NotFound)
}

/// The numbers one part was given so far.
struct Given {
    seq: u64,
    slots: [Option<i64>; 16],
}

impl Given {
    fn slot(&mut self, number: u8) -> Result<&mut Option<i64>> {
        self.slots
            .get_mut(usize::from(number))
            .ok_or_else(|| Error::Invalid(format!("there are 16 slots, none numbered {number}")))
    }

    /// Fills a key's holes and puts the account before it.
    fn key(&self, account: AccountId, template: &Template) -> Result<Option<Key>> {
        if template.patches.is_empty() {
            return Ok(Some(key::flat(account, &template.bytes)));
        }
        Ok(self
            .fill(template)?
            .map(|filled| key::flat(account, &filled)))
    }

    /// Fills the holes; `None` if a number does not fit.
    fn fill(&self, template: &Template) -> Result<Option<Bytes>> {
        if template.patches.is_empty() {
            return Ok(Some(template.bytes.clone()));
        }
        let mut filled = BytesMut::from(&template.bytes[..]);
        for patch in &template.patches {
            let number = match patch.slot {
                Slot::Seq => i128::from(self.seq),
                Slot::Counter(slot) => i128::from(
                    self.slots
                        .get(usize::from(slot))
                        .copied()
                        .flatten()
                        .ok_or_else(|| {
                            Error::Invalid(format!(
                                "no earlier counter of the part fills slot {slot}"
                            ))
                        })?,
                ),
            };
            let hole = patch
                .at
                .checked_add(usize::from(patch.width))
                .and_then(|end| filled.get_mut(patch.at..end))
                .ok_or_else(|| Error::Invalid("a patch outside its template".into()))?;
            match patch.width {
                4 => match u32::try_from(number) {
                    Ok(number) => hole.copy_from_slice(&number.to_be_bytes()),
                    Err(_) => return Ok(None),
                },
                // A counter below zero keeps its sign, a sequence number has none.
                8 => hole.copy_from_slice(&(number as u64).to_be_bytes()),
                width => {
                    return Err(Error::Invalid(format!(
                        "a patch is 4 or 8 bytes wide, not {width}"
                    )));
                }
            }
        }
        Ok(Some(filled.freeze()))
    }
}

fn eight(bytes: &[u8]) -> Result<[u8; 8]> {
    bytes
        .try_into()
        .map_err(|_| Error::Corrupt(format!("a counter of {} bytes instead of 8", bytes.len())))
}
