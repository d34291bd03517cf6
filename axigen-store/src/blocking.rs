//! Makes a backend of an engine that blocks.
//!
//! An embedded engine has plain methods and knows nothing of groups. Around
//! it, [`Blocking`] resolves each group, keeps the rows that every commit needs
//! at hand, and decides where a read runs.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::backend::resolve::{reads, resolve};
use crate::backend::{Backend, KeyRange, Limits, Maintain, Report, Request, Snapshot, Written};
use crate::batch::{Commit, Key};
use crate::error::{Error, Result};
use crate::page::Page;
use crate::store::clock;

/// An ordered map of bytes whose calls block.
pub trait Engine: Debug + Send + Sync + 'static {
    /// See [`Backend::limits`].
    fn limits(&self) -> Limits;

    /// See [`Backend::get`].
    ///
    /// # Errors
    /// Those of the engine.
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>>;

    /// See [`Backend::range`].
    ///
    /// # Errors
    /// Those of the engine.
    fn range(&self, range: &KeyRange, at: Option<&Snapshot>) -> Result<Page>;

    /// One atomic write, durable on `Ok`: first all keys of these ranges go,
    /// then the points are set, or deleted where there is no value. Never
    /// called twice at the same time.
    ///
    /// # Errors
    /// Nothing is written after an error that is not
    /// [fatal](Error::is_fatal).
    fn write(&self, ranges: &[(Key, Key)], points: &BTreeMap<Key, Option<Bytes>>) -> Result<()>;

    /// See [`Backend::snapshot`].
    ///
    /// # Errors
    /// Those of the engine.
    fn snapshot(&self) -> Result<Snapshot>;

    /// See [`Backend::maintain`].
    ///
    /// # Errors
    /// Those of the engine.
    fn maintain(&self, task: Maintain) -> Result<Report>;

    /// About how many rows there are, if that is known without counting them.
    fn rows(&self) -> Option<u64> {
        None
    }

    /// See [`Backend::stat`].
    fn stat(&self) -> Written;

    /// See [`Backend::room`].
    fn room(&self) -> Option<u64> {
        None
    }

    /// See [`Backend::close`].
    ///
    /// # Errors
    /// Those of the engine.
    fn close(&self) -> Result<()>;
}

/// An [`Engine`] as a [`Backend`].
#[derive(Debug)]
pub struct Blocking<E> {
    engine: Arc<E>,
    direct: usize,
    rows: Mutex<Cache>,
}

impl<E: Engine> Blocking<E> {
    /// Reads of up to `direct` rows run where the caller stands, longer ones
    /// on a thread that may block. For an engine that keeps its rows in memory
    /// a change of threads costs more than dozens of rows; give 0 to one that
    /// goes to the disk for each.
    pub fn new(engine: E, direct: usize) -> Self {
        Blocking {
            engine: Arc::new(engine),
            direct,
            rows: Mutex::default(),
        }
    }

    async fn off_task<T: Send + 'static>(
        &self,
        read: impl FnOnce(&E) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let engine = Arc::clone(&self.engine);
        tokio::task::spawn_blocking(move || read(&engine))
            .await
            .map_err(|error| Error::io("reading", std::io::Error::other(error)))?
    }

    fn commit_now(&self, group: &[Request]) -> Result<Vec<Result<Commit>>> {
        let keys = reads(group);
        let mut rows = self.rows.lock();
        let missing: Vec<Key> = keys
            .iter()
            .filter(|key| rows.get(key).is_none())
            .cloned()
            .collect();
        for (key, value) in missing.iter().zip(self.engine.get(&missing)?) {
            rows.put(key.clone(), value);
        }
        let values: Vec<_> = keys
            .iter()
            .map(|key| rows.get(key).unwrap_or_default())
            .collect();
        let mut resolved = resolve(group, &keys, &values, clock());
        if resolved.ranges.is_empty() && resolved.points.is_empty() {
            return Ok(resolved.outcomes);
        }
        match self.engine.write(&resolved.ranges, &resolved.points) {
            Ok(()) => {
                rows.forget(&resolved.ranges);
                for (key, value) in resolved.points {
                    if rows.get(&key).is_some() {
                        rows.put(key, value);
                    }
                }
                rows.trim();
            }
            Err(error) => {
                *rows = Cache::default();
                for outcome in resolved.outcomes.iter_mut().filter(|o| o.is_ok()) {
                    *outcome = Err(error.clone());
                }
            }
        }
        Ok(resolved.outcomes)
    }
}

#[async_trait]
impl<E: Engine> Backend for Blocking<E> {
    fn limits(&self) -> Limits {
        self.engine.limits()
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        if keys.len() <= self.direct {
            return self.engine.get(keys);
        }
        let keys = keys.to_vec();
        self.off_task(move |engine| engine.get(&keys)).await
    }

    async fn range(&self, range: &KeyRange, at: Option<&Snapshot>) -> Result<Page> {
        if range.limit <= self.direct {
            return self.engine.range(range, at);
        }
        // Most ranges are short whatever their limit: read the first rows
        // here, and only if there are more go elsewhere for the rest.
        let snapshot = match at {
            Some(snapshot) => snapshot.clone(),
            None => self.engine.snapshot()?,
        };
        let mut rest = range.clone();
        let mut page = Page::default();
        if self.direct > 0 {
            let first = KeyRange {
                limit: self.direct,
                ..range.clone()
            };
            page = self.engine.range(&first, Some(&snapshot))?;
            rest.limit = range.limit - page.rows.len();
            match page.next.take() {
                None => return Ok(page),
                Some(next) if rest.reverse => rest.to = next,
                Some(next) => rest.from = next,
            }
        }
        let rest = self
            .off_task(move |engine| engine.range(&rest, Some(&snapshot)))
            .await?;
        page.rows.extend(rest.rows);
        page.next = rest.next;
        Ok(page)
    }

    async fn commit(&self, group: &[Request]) -> Vec<Result<Commit>> {
        self.commit_now(group)
            .unwrap_or_else(|error| vec![Err(error); group.len()])
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        self.engine.snapshot()
    }

    async fn maintain(&self, task: Maintain) -> Result<Report> {
        self.off_task(move |engine| engine.maintain(task)).await
    }

    fn stat(&self) -> Written {
        self.engine.stat()
    }

    fn room(&self) -> Option<u64> {
        self.engine.room()
    }

    async fn close(&self) -> Result<()> {
        self.off_task(Engine::close).await
    }
}

/// Rows in one generation.
const GENERATION: usize = 16_384;
/// Longer rows are read again.
const SHORT: usize = 256;

/// The rows that commits depend on: sequence numbers, counters, references.
/// Each is read and written by every delivery to its account. Only commits
/// change rows, and they pass here, so it is never out of date.
#[derive(Debug, Default)]
struct Cache {
    /// What was used lately goes in here; when it is full, it becomes `old`
    /// and what was in `old` is forgotten.
    young: HashMap<Key, Option<Bytes>>,
    old: HashMap<Key, Option<Bytes>>,
}

impl Cache {
    fn get(&mut self, key: &Key) -> Option<Option<Bytes>> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.young.insert(key.clone(), value.clone());
        Some(value)
    }

    fn put(&mut self, key: Key, value: Option<Bytes>) {
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    fn forget(&mut self, ranges: &[(Key, Key)]) {
        for (from, to) in ranges {
            let outside = |key: &Key, _: &mut Option<Bytes>| key < from || key >= to;
            self.young.retain(outside);
            self.old.retain(outside);
        }
    }

    /// Called between groups, so that a group finds all it put in.
    fn trim(&mut self) {
        let long = |value: &Option<Bytes>| value.as_ref().is_some_and(|v| v.len() > SHORT);
        if self.young.len() > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.old.retain(|_, value| !long(value));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_cache_keeps_the_latest_and_forgets_the_oldest() {
        let mut cache = Cache::default();
        let key = |n: usize| Key::from(format!("{n:06}"));
        cache.put(key(0), Some("a".into()));
        for n in 1..=GENERATION {
            cache.put(key(n), None);
        }
        cache.trim();
        assert!(cache.young.is_empty());
        assert_eq!(cache.get(&key(0)), Some(Some("a".into())));
        cache.put(key(0), Some("b".into()));
        for n in 0..=GENERATION {
            cache.put(key(100_000 + n), None);
        }
        cache.trim();
        assert_eq!(cache.get(&key(1)), None);
        assert_eq!(cache.get(&key(0)), Some(Some("b".into())));
        cache.forget(&[(key(0), key(1))]);
        assert_eq!(cache.get(&key(0)), None);
        assert_eq!(cache.get(&key(100_001)), Some(None));
    }
}
