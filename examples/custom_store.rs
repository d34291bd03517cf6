//! Shows how to write a storage backend of your own: here one in memory, which passes the public conformance suite.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use async_trait::async_trait;
use axigen_store::backend::memory::MemoryBlobs;
use axigen_store::backend::resolve::{reads, resolve};
use axigen_store::backend::{Backend, KeyRange, Limits, Maintain, Report, Request, Snapshot};
use axigen_store::store::Options;
use axigen_store::{Commit, Error, Key, Page, Result, Store, conformance};
use bytes::Bytes;
use tokio::sync::RwLock;

type Rows = BTreeMap<Key, Bytes>;

/// A sorted map behind a lock. Replace the map by your database.
#[derive(Debug, Default)]
struct Mine {
    rows: RwLock<Rows>,
    closed: AtomicBool,
}

impl Mine {
    fn open(&self) -> Result<()> {
        match self.closed.load(SeqCst) {
            true => Err(Error::Closed),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Backend for Mine {
    fn limits(&self) -> Limits {
        Limits {
            key: 2048,
            value: 1 << 20,
            batch: 8 << 20,
            shared: false,
        }
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        self.open()?;
        let rows = self.rows.read().await;
        Ok(keys.iter().map(|key| rows.get(key).cloned()).collect())
    }

    async fn range(&self, range: &KeyRange, at: Option<&Snapshot>) -> Result<Page> {
        self.open()?;
        let now = self.rows.read().await;
        let rows = at.and_then(Snapshot::downcast::<Rows>).unwrap_or(&now);
        if range.from >= range.to || range.limit == 0 {
            return Ok(Page::default());
        }
        let found = rows.range(range.from.clone()..range.to.clone());
        let row = |(key, value): (&Key, &Bytes)| match range.keys_only {
            true => (key.clone(), Bytes::new()),
            false => (key.clone(), value.clone()),
        };
        // One more than asked tells whether another page follows.
        let most = range.limit.saturating_add(1);
        let mut rows: Vec<_> = match range.reverse {
            true => found.rev().take(most).map(row).collect(),
            false => found.take(most).map(row).collect(),
        };
        let next = Page::cut(&mut rows, range.limit, range.reverse);
        Ok(Page { rows, next })
    }

    /// Asserts, counters, sequence numbers, templates and references are the
    /// same for all backends: `resolve` leaves plain writes.
    async fn commit(&self, group: &[Request]) -> Vec<Result<Commit>> {
        if let Err(error) = self.open() {
            return vec![Err(error); group.len()];
        }
        let mut rows = self.rows.write().await;
        let keys = reads(group);
        let values: Vec<_> = keys.iter().map(|key| rows.get(key).cloned()).collect();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let resolved = resolve(group, &keys, &values, now.as_secs());
        // A database does the following in one transaction, and syncs it.
        for (from, to) in resolved.ranges {
            rows.retain(|key, _| *key < from || *key >= to);
        }
        for (key, value) in resolved.points {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        resolved.outcomes
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        self.open()?;
        Ok(Snapshot::new(self.rows.read().await.clone()))
    }

    async fn maintain(&self, _task: Maintain) -> Result<Report> {
        Ok(Report::default())
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, SeqCst);
        Ok(())
    }
}

async fn store() -> Result<Store> {
    let blobs = Arc::new(MemoryBlobs::new());
    Store::over(Arc::new(Mine::default()), blobs, Options::default()).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    conformance::run(&store).await?;
    println!("the backend passes the conformance suite");
    Ok(())
}
