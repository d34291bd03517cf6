//! kill -9 at random moments: what was acknowledged is there, once and whole.
//!
//! The test starts itself as a child that writes without end and says after
//! each commit that it is done; the child is killed, the store opened and
//! compared with what it said. `AXIGEN_CRASH_ROUNDS` sets how often (8).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use axigen_store::blob::SweepOptions;
use axigen_store::store::Options;
use axigen_store::{AccountId, Batch, BlobIn, BlobRef, Op, Part, Patch, Slot, Store, Template};
use bytes::Bytes;

const DIR: &str = "AXIGEN_CRASH_DIR";
const ROUND: &str = "AXIGEN_CRASH_ROUND";
const WRITERS: u64 = 24;
/// The account that all writers write to.
const SHARED: AccountId = AccountId(1000);

/// The content of one blob: short ones ride in their row, long ones have
/// several frames.
fn content(name: &str) -> Bytes {
    let hash = blake3::hash(name.as_bytes());
    let len = match hash.as_bytes()[0] {
        0..60 => 150,
        60..240 => 8_000,
        _ => 600_000,
    };
    let mut content = vec![0; len];
    blake3::Hasher::new()
        .update(name.as_bytes())
        .finalize_xof()
        .fill(&mut content);
    content.into()
}

fn address(content: &Bytes) -> BlobRef {
    BlobRef {
        hash: *blake3::hash(content).as_bytes(),
        len: content.len() as u64,
    }
}

async fn open(dir: &Path) -> Store {
    let mut options = Options::default();
    options.pack = 3_000_000;
    options.upkeep = Duration::ZERO;
    Store::open_with(dir, options)
        .await
        .expect("the store opens without repair")
}

/// One batch: a row and a counter of the writer, a row of the shared log named
/// after its sequence number, a reference.
fn batch(writer: u64, name: &str, blob: BlobRef) -> Batch {
    let count = Op::Add {
        key: "count".into(),
        delta: 1,
        min: None,
        max: None,
        slot: None,
    };
    let log = Template {
        bytes: [&b"log/"[..], &[0; 8]].concat().into(),
        patches: vec![Patch {
            at: 4,
            width: 8,
            slot: Slot::Seq,
        }],
    };
    let row = Op::Set {
        key: Bytes::from(format!("m/{name}")).into(),
        val: Bytes::from(blob.hash.to_vec()).into(),
    };
    let entry = Op::Set {
        key: log,
        val: Bytes::from(name.to_owned()).into(),
    };
    let part = |account, ops| Part {
        account,
        ops,
        advance: true,
        ..Part::default()
    };
    Batch {
        parts: vec![
            part(
                AccountId(writer),
                vec![row, count.clone(), Op::Retain(blob)],
            ),
            part(SHARED, vec![entry, count]),
        ],
    }
}

/// Takes back what [`batch`] did, except that the log says so.
fn removal(writer: u64, name: &str, blob: BlobRef) -> Batch {
    let mut batch = batch(writer, &format!("-{name}"), blob.clone());
    let count = Op::Add {
        key: "count".into(),
        delta: -1,
        min: Some(0),
        max: None,
        slot: None,
    };
    let row = Op::Delete(Bytes::from(format!("m/{name}")));
    batch.parts[0].ops = vec![row, count, Op::Release(blob)];
    batch
}

fn sweep() -> SweepOptions {
    let mut options = SweepOptions::default();
    options.grace = Duration::ZERO;
    options.rate = u64::MAX;
    options
}

/// The child: does nothing unless the parent set its variables.
#[test]
fn child() {
    let (Ok(dir), Ok(round)) = (std::env::var(DIR), std::env::var(ROUND)) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = open(Path::new(&dir)).await;
        say("open");
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (store, round) = (store.clone(), round.clone());
                tokio::spawn(async move {
                    let mut mine = Vec::new();
                    for n in 0u64.. {
                        let name = format!("{writer}/{round}/{n}");
                        let label = Bytes::from(name.clone());
                        let blob = BlobIn {
                            bytes: content(&name),
                            label,
                            pieces: Vec::new(),
                        };
                        let blob = store.put(vec![blob]).await.unwrap().remove(0);
                        let add = batch(writer, &name, blob.clone());
                        store.commit(add).await.unwrap();
                        say(&name);
                        mine.push((name, blob));
                        // Two of three go again, the older ones first.
                        if n % 3 > 0 {
                            let (name, blob) = mine.remove(mine.len() / 2);
                            let remove = removal(writer, &name, blob);
                            store.commit(remove).await.unwrap();
                            say(&format!("-{name}"));
                        }
                    }
                })
            })
            .collect();
        let sweeps = tokio::spawn(async move {
            loop {
                store.sweep(sweep()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        for writer in writers {
            writer.await.unwrap();
        }
        sweeps.await.unwrap();
    });
}

/// One write, so that a line is whole or missing.
fn say(what: &str) {
    std::io::stderr()
        .write_all(format!("acked {what}\n").as_bytes())
        .unwrap();
}

/// Writes until it is killed; gives what it said.
fn write_and_kill(dir: &Path, round: u64, after: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut acked = lines.map_while(Result::ok).filter_map(|line| {
        let acked = line.strip_prefix("acked ");
        assert!(acked.is_some() || line.is_empty(), "the child says: {line}");
        acked.map(str::to_owned)
    });
    assert_eq!(acked.next().as_deref(), Some("open"));
    let killer = std::thread::spawn(move || {
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let acked = acked.collect();
    killer.join().unwrap();
    acked
}

#[test]
fn what_was_acknowledged_is_there_once_and_whole() {
    let rounds = std::env::var("AXIGEN_CRASH_ROUNDS").map_or(8, |n| n.parse().unwrap());
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("store");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut acked = BTreeSet::new();
    for round in 0..rounds {
        let random = blake3::hash(format!("{round}{:?}", std::time::Instant::now()).as_bytes());
        let after = Duration::from_millis(20 + u64::from(random.as_bytes()[0]) * 3);
        let said = write_and_kill(&path, round, after);
        println!("round {round}: {} acknowledged in {after:?}", said.len());
        for name in said {
            assert!(acked.insert(name), "acknowledged twice");
        }
        runtime.block_on(verify(&path, &acked));
    }
    assert!(
        acked.len() as u64 > rounds,
        "the child did not get to write"
    );
}

async fn verify(path: &Path, acked: &BTreeSet<String>) {
    let store = open(path).await;
    let log = store
        .scan(SHARED, "log/".into(), "log0".into())
        .await
        .unwrap();
    let mut logged = BTreeSet::new();
    for (n, (key, name)) in log.iter().enumerate() {
        let seq = u64::from_be_bytes(key[4..].try_into().unwrap());
        assert_eq!(seq, n as u64 + 1, "the log has a gap or a double");
        assert!(logged.insert(String::from_utf8(name.to_vec()).unwrap()));
    }
    assert_eq!(store.seq(SHARED).await.unwrap(), log.len() as u64);
    let lost: Vec<_> = acked.difference(&logged).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let mut wanted: BTreeSet<&str> = logged.iter().map(String::as_str).collect();
    for name in &logged {
        if let Some(removed) = name.strip_prefix('-') {
            wanted.remove(name.as_str());
            assert!(wanted.remove(removed), "removed and never there");
        }
    }
    let mut found = BTreeSet::new();
    for writer in (0..WRITERS).map(AccountId) {
        let rows = store.scan(writer, "m/".into(), "m0".into()).await.unwrap();
        let count = store
            .get(writer, &["count".into()])
            .await
            .unwrap()
            .remove(0);
        let count = count.map_or(0, |row| i64::from_be_bytes(row[..].try_into().unwrap()));
        assert_eq!(count as usize, rows.len(), "rows and counter of one batch");
        let of = |name: &String| {
            let name = name.strip_prefix('-').unwrap_or(name);
            name.split('/').next() == Some(writer.0.to_string().as_str())
        };
        let batches = logged.iter().filter(|name| of(name)).count();
        assert_eq!(store.seq(writer).await.unwrap() as usize, batches);
        for (key, hash) in rows {
            let name = String::from_utf8(key[2..].to_vec()).unwrap();
            let content = content(&name);
            let blob = address(&content);
            assert_eq!(hash[..], blob.hash, "the row of {name}");
            let got = store.read(&blob, 0..u64::MAX).await;
            assert!(
                got.expect("a blob that a row names") == content,
                "the blob of {name}"
            );
            assert!(found.insert(name));
        }
    }
    assert!(
        found.iter().map(String::as_str).eq(wanted.iter().copied()),
        "two parts of one batch"
    );
    let space = store.space().await.unwrap();
    assert_eq!(space.blobs as usize, found.len(), "references");
    store.close().await.unwrap();
}
