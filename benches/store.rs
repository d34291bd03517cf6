//! Durable commits and reads of the embedded store.
//!
//! `cargo bench -p axigen-benches --bench store`; the directory is made where
//! `AXIGEN_BENCH_DIR` says, or in the temporary directory.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use axigen_store::{
    AccountId, Batch, BlobIn, BlobRef, Op, Part, Patch, Range, Slot, Store, Template,
};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn directory() -> tempfile::TempDir {
    let base = std::env::var_os("AXIGEN_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    tempfile::TempDir::new_in(base).unwrap()
}

/// Text of `len` bytes that compresses as mail does and is like no other.
fn mail(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut mail = Vec::with_capacity(len + 16);
    while mail.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word =
            ["message", "index", "flag", "queue", "mailbox", "sync"][(state >> 32) as usize % 6];
        mail.extend_from_slice(word.as_bytes());
        mail.extend_from_slice(format!(" {:x} ", state & 0xff_ffff).as_bytes());
    }
    mail.truncate(len);
    mail.into()
}

/// What a delivery writes: six keys, 545 bytes.
fn delivery(account: u64, n: u64, blob: Option<BlobRef>) -> Batch {
    let set = |key: String, len: usize| Op::Set {
        key: Bytes::from(key).into(),
        val: Bytes::from(vec![b'x'; len]).into(),
    };
    let log = Op::Set {
        key: Template {
            bytes: vec![b'c', 0, 0, 0, 0, 0, 0, 0, 0].into(),
            patches: vec![Patch {
                at: 1,
                width: 8,
                slot: Slot::Seq,
            }],
        },
        val: Bytes::from(vec![b'x'; 20]).into(),
    };
    let quota = Op::Add {
        key: "q".into(),
        delta: 8000,
        min: Some(0),
        max: None,
        slot: None,
    };
    let mut ops = vec![
        set(format!("m{n:08}"), 400),
        set(format!("u{n:08}"), 24),
        set(format!("t{n:08}"), 8),
        log,
        quota,
    ];
    ops.extend(blob.map(Op::Retain));
    let part = Part {
        account: AccountId(account),
        ops,
        advance: true,
        ..Part::default()
    };
    Batch { parts: vec![part] }
}

/// `count` deliveries by `tasks` tasks; the time until the last is durable.
async fn deliver(store: &Store, tasks: u64, count: u64, first: u64, body: usize) -> Duration {
    let bodies: Arc<[Bytes]> = (0..64).map(|n| mail(n, body)).collect();
    let began = Instant::now();
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let (store, bodies) = (store.clone(), Arc::clone(&bodies));
            tokio::spawn(async move {
                for n in (first + task..first + count).step_by(tasks as usize) {
                    let blob = match body {
                        0 => None,
                        _ => {
                            let mut bytes = bodies[n as usize % bodies.len()].to_vec();
                            bytes[..8].copy_from_slice(&n.to_be_bytes());
                            let blob = BlobIn {
                                bytes: bytes.into(),
                                label: Bytes::new(),
                                pieces: Vec::new(),
                            };
                            store.put(vec![blob]).await.unwrap().pop()
                        }
                    };
                    store.commit(delivery(1 + n % 100, n, blob)).await.unwrap();
                }
            })
        })
        .collect();
    for task in running {
        task.await.unwrap();
    }
    began.elapsed()
}

fn commits(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("durable delivery");
    group.sample_size(10).throughput(Throughput::Elements(1));
    group.measurement_time(Duration::from_secs(8));
    for (name, body) in [("545 B", 0), ("545 B and 8 KB blob", 8192)] {
        for tasks in [1, 10, 50] {
            let dir = directory();
            let store = runtime.block_on(Store::open(dir.path())).unwrap();
            let mut first = 0;
            group.bench_function(format!("{name}, {tasks} tasks"), |b| {
                b.iter_custom(|count| {
                    let took = runtime.block_on(deliver(&store, tasks, count, first, body));
                    first += count;
                    took
                });
            });
            let stat = store.stat();
            let each = |n: u64| n as f64 / stat.batches.max(1) as f64;
            println!(
                "    for each delivery: {:.3} syncs of rows, {:.3} of packs; {:.0} bytes of rows, {:.0} of packs; largest group {}",
                each(stat.meta.syncs),
                each(stat.blobs.syncs),
                each(stat.meta.bytes),
                each(stat.blobs.bytes),
                stat.largest_commit_group
            );
            runtime.block_on(store.close()).unwrap();
        }
    }
}

fn reads(c: &mut Criterion) {
    const ROWS: u64 = 20_000;
    let runtime = runtime();
    let dir = directory();
    let store = runtime.block_on(Store::open(dir.path())).unwrap();
    let (short, long) = runtime.block_on(async {
        deliver(&store, 50, ROWS, 0, 0).await;
        let blob = |len| BlobIn {
            bytes: mail(7, len),
            label: Bytes::new(),
            pieces: Vec::new(),
        };
        let mut refs = store.put(vec![blob(8192), blob(20 << 20)]).await.unwrap();
        (refs.remove(0), refs.remove(0))
    });
    let mut group = c.benchmark_group("read");
    let mut n = 0;
    let mut next = || {
        n = (n + 7919) % ROWS;
        (AccountId(1 + n % 100), Bytes::from(format!("m{n:08}")))
    };
    group.bench_function("one row", |b| {
        b.iter(|| {
            let (account, key) = next();
            assert!(runtime.block_on(store.get(account, &[key])).unwrap()[0].is_some());
        });
    });
    for limit in [50, 200, 100_000] {
        group.throughput(Throughput::Elements(200.min(limit as u64)));
        group.bench_function(format!("range of 200 rows, limit {limit}"), |b| {
            b.iter(|| {
                let range = Range {
                    account: next().0,
                    from: "u".into(),
                    to: "v".into(),
                    limit,
                    reverse: false,
                    keys_only: false,
                };
                let page = runtime.block_on(store.range(range)).unwrap();
                assert_eq!(page.rows.len(), limit.min(200));
            });
        });
    }
    group.throughput(Throughput::Bytes(8192));
    group.bench_function("a blob of 8 KB", |b| {
        b.iter(|| runtime.block_on(store.read(&short, 0..u64::MAX)).unwrap());
    });
    group.bench_function("8 KB inside a blob of 20 MB", |b| {
        b.iter(|| {
            runtime
                .block_on(store.read(&long, 9_000_000..9_008_192))
                .unwrap()
        });
    });
    group.throughput(Throughput::Bytes(20 << 20));
    group.bench_function("a blob of 20 MB", |b| {
        b.iter(|| runtime.block_on(store.read(&long, 0..u64::MAX)).unwrap());
    });
    drop(group);
    runtime.block_on(store.close()).unwrap();
}

criterion_group!(benches, commits, reads);
criterion_main!(benches);
