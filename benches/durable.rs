//! Durable deliveries: a file for each message, as in maildir, beside the
//! store on each of its engines.
//!
//! ```text
//! durable [--count 2000] [--size 10240]
//! ```
//!
//! Each message is durable before the next of the same writer begins. A file:
//! written under another name, fsync, rename, fsync of its directory. The
//! store: a put and a commit of what a delivery writes. Bytes are those that
//! the process caused to be written, as /proc/self/io counts them, for each
//! byte of mail. `AXIGEN_BENCH_DIR` says on which disk.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axigen_store::store::{Engine, Options};
use axigen_store::{AccountId, Batch, BlobIn, Op, Part, Store};
use bytes::Bytes;

const WRITERS: [usize; 3] = [1, 10, 50];

fn option(name: &str, default: usize) -> usize {
    let mut args = std::env::args();
    match args.find(|arg| arg == name) {
        Some(_) => args.next().unwrap().parse().unwrap(),
        None => default,
    }
}

/// Text that compresses about as mail does and is like no other.
fn mail(seed: usize, len: usize) -> Vec<u8> {
    let mut state = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut mail = Vec::with_capacity(len + 32);
    while mail.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = ["message", "index", "flag", "queue", "mailbox", "sync"];
        let word = word[(state >> 32) as usize % 6];
        mail.extend_from_slice(format!("{word} {:x} ", state & 0xff_ffff).as_bytes());
    }
    mail.truncate(len);
    mail
}

/// Bytes that this process caused to be written to a disk, up to now.
fn written() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find(|line| line.starts_with("write_bytes"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

fn file(dir: &Path, number: usize, mail: &[u8]) {
    let (new, name) = (
        dir.join(format!("tmp-{number}")),
        dir.join(format!("{number}")),
    );
    let mut file = File::create(&new).unwrap();
    file.write_all(mail).unwrap();
    file.sync_all().unwrap();
    fs::rename(&new, &name).unwrap();
    File::open(dir).unwrap().sync_all().unwrap();
}

/// As many directories as accounts, as a mail server has.
fn files(dir: &Path, writers: usize, count: usize, size: usize) -> Duration {
    for account in 0..100 {
        fs::create_dir(dir.join(format!("{account}"))).unwrap();
    }
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for writer in 0..writers {
            scope.spawn(move || {
                for n in (writer..count).step_by(writers) {
                    file(&dir.join(format!("{}", n % 100)), n, &mail(n, size));
                }
            });
        }
    });
    begin.elapsed()
}

/// A message, and the five rows of 500 bytes that a delivery writes.
async fn deliver(store: &Store, number: usize, mail: Vec<u8>) {
    let blob = BlobIn::new(mail, Bytes::from_static(&[b'l'; 40]));
    let blob = store.put(vec![blob]).await.unwrap().remove(0);
    let row = |name: &str, len: usize| Op::Set {
        key: Bytes::from(format!("{name}{number:08}")).into(),
        val: Bytes::from(vec![b'x'; len]).into(),
    };
    let rows = [("m", 400), ("u", 36), ("t", 8), ("c", 20)];
    let mut ops: Vec<Op> = rows.iter().map(|(name, len)| row(name, *len)).collect();
    ops.push(Op::Add {
        key: "q".into(),
        delta: 1,
        min: None,
        max: None,
        slot: None,
    });
    ops.push(Op::Retain(blob));
    let part = Part {
        account: AccountId(1 + number as u64 % 100),
        ops,
        advance: true,
        ..Part::default()
    };
    store.commit(Batch { parts: vec![part] }).await.unwrap();
}

async fn stored(store: &Store, writers: usize, count: usize, size: usize) -> Duration {
    let begin = Instant::now();
    let running: Vec<_> = (0..writers)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in (writer..count).step_by(writers) {
                    deliver(&store, n, mail(n, size)).await;
                }
            })
        })
        .collect();
    for task in running {
        task.await.unwrap();
    }
    begin.elapsed()
}

fn directory() -> tempfile::TempDir {
    let base = std::env::var_os("AXIGEN_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::TempDir::new_in(base).unwrap()
}

struct Run {
    took: Duration,
    syncs: f64,
    written: u64,
}

fn show(what: &str, writers: usize, count: usize, size: usize, run: &Run) {
    println!(
        "| {what} | {writers} | {:.0} | {:.2} | {:.2} |",
        count as f64 / run.took.as_secs_f64(),
        run.syncs,
        run.written as f64 / (count * size) as f64
    );
}

#[tokio::main]
async fn main() {
    let (count, size) = (option("--count", 2000), option("--size", 10_240));
    println!(
        "| {size} bytes each | writers | msg/s | syncs for each | bytes written for each byte |"
    );
    println!("|---|---|---|---|---|");
    for writers in WRITERS {
        let dir = directory();
        let before = written();
        let took = files(dir.path(), writers, count, size);
        let run = Run {
            took,
            syncs: 2.0,
            written: written() - before,
        };
        show("a file each", writers, count, size, &run);
    }
    for engine in Engine::ALL {
        for writers in WRITERS {
            let dir = directory();
            let mut options = Options::default();
            options.engine = engine;
            options.upkeep = Duration::ZERO;
            let store = Store::open_with(dir.path(), options).await.unwrap();
            let (before, stat) = (written(), store.stat());
            let took = stored(&store, writers, count, size).await;
            let now = store.stat();
            let syncs = now.meta.syncs + now.blobs.syncs - stat.meta.syncs - stat.blobs.syncs;
            let run = Run {
                took,
                syncs: syncs as f64 / count as f64,
                written: written() - before,
            };
            show(
                &format!("the store on {engine}"),
                writers,
                count,
                size,
                &run,
            );
            store.close().await.unwrap();
        }
    }
}
