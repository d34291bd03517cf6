//! The machine's metadata: a map whose commits are written and synced whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use axigen_store::backend::resolve::{reads, resolve};
use axigen_store::backend::{
    Backend, KeyRange, Limits, Maintain, Report, Request, Snapshot, Written,
};
use axigen_store::{Commit, Error, Key, Page, Result};
use bytes::Bytes;

use super::{Fault, Kind, Machine, State, Survives, Verdict, broken, mix, off};

type Map = BTreeMap<Key, Bytes>;

#[derive(Debug, Default, Clone)]
pub(super) struct Rows {
    now: Arc<Map>,
    durable: Arc<Map>,
    /// A commit that was begun and that nobody was told of.
    perhaps: Option<Arc<Map>>,
}

impl Rows {
    pub(super) fn stop(&mut self, survives: Survives) {
        let perhaps = self.perhaps.take();
        let found = match survives {
            Survives::Synced => None,
            Survives::Everything | Survives::Process => perhaps.or(Some(Arc::clone(&self.now))),
            Survives::Some(seed) => match mix(seed, 7) % 3 {
                0 => None,
                1 => Some(Arc::clone(&self.now)),
                _ => perhaps.or(Some(Arc::clone(&self.now))),
            },
        };
        if let Some(found) = found {
            self.durable = found;
        }
        self.now = Arc::clone(&self.durable);
    }
}

#[derive(Debug)]
pub(super) struct MachineRows {
    machine: Machine,
    life: u64,
}

impl MachineRows {
    pub(super) fn of(machine: &Machine) -> Self {
        MachineRows {
            machine: machine.clone(),
            life: machine.state.lock().life,
        }
    }

    fn with<T>(&self, run: impl FnOnce(&mut State) -> T) -> Result<T> {
        let mut state = self.machine.state.lock();
        state
            .on(self.life)
            .map_err(|error| Error::io("the metadata", error))?;
        Ok(run(&mut state))
    }
}

#[async_trait]
impl Backend for MachineRows {
    fn limits(&self) -> Limits {
        Limits {
            key: 4096,
            value: 16 << 20,
            batch: 32 << 20,
            shared: false,
        }
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        let rows = self.with(|state| Arc::clone(&state.rows.now))?;
        Ok(keys.iter().map(|key| rows.get(key).cloned()).collect())
    }

    async fn range(&self, range: &KeyRange, at: Option<&Snapshot>) -> Result<Page> {
        let now = self.with(|state| Arc::clone(&state.rows.now))?;
        let rows = match at {
            None => now,
            Some(at) => at
                .downcast::<Arc<Map>>()
                .cloned()
                .ok_or_else(|| Error::Invalid("a snapshot of another backend".into()))?,
        };
        Ok(page(&rows, range))
    }

    async fn commit(&self, group: &[Request]) -> Vec<Result<Commit>> {
        let all = |error: Error| vec![Err(error); group.len()];
        let run = |state: &mut State| {
            let keys = reads(group);
            let rows = &state.rows.now;
            let values: Vec<_> = keys.iter().map(|key| rows.get(key).cloned()).collect();
            let resolved = resolve(group, &keys, &values, now());
            let mut next = (**rows).clone();
            for (from, to) in resolved.ranges {
                next.retain(|key, _| *key < from || *key >= to);
            }
            for (key, value) in resolved.points {
                match value {
                    Some(value) => next.insert(key, value),
                    None => next.remove(&key),
                };
            }
            let next = Arc::new(next);
            let verdict = match state.step(self.life, Kind::Commit) {
                Ok(verdict) => verdict,
                Err(error) => return all(Error::io("the metadata", error)),
            };
            let error = match verdict {
                Verdict::Do => {
                    state.rows.now = Arc::clone(&next);
                    state.rows.durable = next;
                    return resolved.outcomes;
                }
                Verdict::Fault(Fault::Lies) => {
                    state.rows.now = next;
                    return resolved.outcomes;
                }
                Verdict::Fault(Fault::Full) => return all(Error::Full),
                Verdict::Fault(Fault::StopsBefore) => off(),
                Verdict::Fault(Fault::StopsAfter) => {
                    state.rows.now = Arc::clone(&next);
                    state.rows.durable = next;
                    off()
                }
                Verdict::Fault(Fault::StopsAmid) => {
                    state.rows.perhaps = Some(next);
                    off()
                }
                Verdict::Fault(_) => {
                    state.rows.perhaps = Some(next);
                    broken()
                }
            };
            all(Error::io("syncing the metadata", error))
        };
        match self.with(run) {
            Ok(outcomes) => outcomes,
            Err(error) => all(error),
        }
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        self.with(|state| Snapshot::new(Arc::clone(&state.rows.now)))
    }

    async fn maintain(&self, _task: Maintain) -> Result<Report> {
        Ok(Report::default())
    }

    fn stat(&self) -> Written {
        Written::default()
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn page(rows: &Map, range: &KeyRange) -> Page {
    if range.from >= range.to || range.limit == 0 {
        return Page::default();
    }
    let all = rows.range(range.from.clone()..range.to.clone());
    let row = |(key, value): (&Key, &Bytes)| {
        let value = match range.keys_only {
            true => Bytes::new(),
            false => value.clone(),
        };
        (key.clone(), value)
    };
    let one_more = range.limit.saturating_add(1);
    let mut rows: Vec<(Key, Bytes)> = match range.reverse {
        true => all.rev().take(one_more).map(row).collect(),
        false => all.take(one_more).map(row).collect(),
    };
    let next = Page::cut(&mut rows, range.limit, range.reverse);
    Page { rows, next }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
