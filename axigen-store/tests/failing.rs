//! A backend that fails or hangs: nothing is acknowledged any more, nobody is
//! left waiting, what is there can still be read.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axigen_store::backend::memory::MemoryBlobs;
use axigen_store::backend::{
    Backend, KeyRange, Limits, Maintain, Memory, Report, Request, Snapshot,
};
use axigen_store::store::Options;
use axigen_store::{AccountId, Batch, BlobIn, Commit, Error, Key, Op, Page, Part, Result, Store};
use bytes::Bytes;

const WELL: u8 = 0;
const BROKEN: u8 = 1;
const FULL: u8 = 2;
const HANGING: u8 = 3;

#[derive(Debug, Default)]
struct Moody {
    rows: Memory,
    mood: AtomicU8,
    commits: AtomicUsize,
}

#[async_trait]
impl Backend for Moody {
    fn limits(&self) -> Limits {
        self.rows.limits()
    }
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        self.rows.get(keys).await
    }
    async fn range(&self, range: &KeyRange, at: Option<&Snapshot>) -> Result<Page> {
        self.rows.range(range, at).await
    }
    async fn commit(&self, group: &[Request]) -> Vec<Result<Commit>> {
        self.commits.fetch_add(1, SeqCst);
        let error = match self.mood.load(SeqCst) {
            WELL => return self.rows.commit(group).await,
            BROKEN => Error::io("syncing", std::io::Error::other("the cable fell out")),
            FULL => Error::Full,
            _ => {
                std::thread::sleep(Duration::from_secs(3));
                return self.rows.commit(group).await;
            }
        };
        vec![Err(error); group.len()]
    }
    async fn snapshot(&self) -> Result<Snapshot> {
        self.rows.snapshot().await
    }
    async fn maintain(&self, task: Maintain) -> Result<Report> {
        self.rows.maintain(task).await
    }
    async fn close(&self) -> Result<()> {
        self.rows.close().await
    }
}

async fn store() -> (Arc<Moody>, Store) {
    let backend = Arc::new(Moody::default());
    let mut options = Options::default();
    options.hang = Duration::from_millis(200);
    let store = Store::over(backend.clone(), Arc::new(MemoryBlobs::new()), options);
    let store = store.await.unwrap();
    store.commit(batch("well")).await.unwrap();
    (backend, store)
}

const ONE: AccountId = AccountId(1);

fn batch(name: &'static str) -> Batch {
    let ops = vec![Op::Set {
        key: Bytes::from(name).into(),
        val: Bytes::new().into(),
    }];
    let part = Part {
        account: ONE,
        ops,
        advance: true,
        ..Part::default()
    };
    Batch { parts: vec![part] }
}

/// How many are waiting when it goes wrong.
async fn many(store: &Store) -> Vec<Result<Commit>> {
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(batch("more")).await })
        })
        .collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

async fn takes_no_writes(store: &Store) {
    let commit = store.commit(batch("later")).await;
    assert!(matches!(commit, Err(Error::Poisoned(_))), "{commit:?}");
    let blob = BlobIn {
        bytes: vec![1; 5000].into(),
        label: Bytes::new(),
        pieces: Vec::new(),
    };
    let put = store.put(vec![blob]).await;
    assert!(matches!(put, Err(Error::Poisoned(_))), "{put:?}");
    assert_eq!(store.seq(ONE).await.unwrap(), 1);
    let rows = store.scan(ONE, "".into(), "z".into()).await.unwrap();
    assert_eq!(rows, [("well".into(), Bytes::new())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_sync_nothing_is_acknowledged() {
    let (backend, store) = store().await;
    backend.mood.store(BROKEN, SeqCst);
    let before = backend.commits.load(SeqCst);
    for outcome in many(&store).await {
        assert!(matches!(
            outcome,
            Err(Error::Io { .. } | Error::Poisoned(_))
        ));
    }
    assert_eq!(
        backend.commits.load(SeqCst),
        before + 1,
        "the backend was asked again"
    );
    // Even if the next would work: what the last one left is not known.
    backend.mood.store(WELL, SeqCst);
    takes_no_writes(&store).await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_backend_goes_on_when_there_is_room() {
    let (backend, store) = store().await;
    backend.mood.store(FULL, SeqCst);
    for outcome in many(&store).await {
        assert!(matches!(outcome, Err(Error::Full)));
    }
    backend.mood.store(WELL, SeqCst);
    store.commit(batch("again")).await.unwrap();
    assert_eq!(store.seq(ONE).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_hangs_leaves_nobody_waiting() {
    let (backend, store) = store().await;
    backend.mood.store(HANGING, SeqCst);
    let began = Instant::now();
    for outcome in many(&store).await {
        assert!(matches!(outcome, Err(Error::Poisoned(why)) if why.contains("not known")));
    }
    takes_no_writes(&store).await;
    let closed = store.close().await;
    assert!(matches!(closed, Err(Error::Poisoned(_))), "{closed:?}");
    drop(store);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}
