//! From one engine to another and back: all rows arrive, and whenever a
//! migration is killed the store opens with all of them.
//!
//! A migration is killed by starting this test as a child that ends itself, as
//! by kill -9, at one of the steps a migration reports; each of them is tried.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use axigen_store::store::{Engine, Options};
use axigen_store::{AccountId, Batch, BlobIn, Error, Key, Op, Part, Stage, Store, migrate};
use bytes::Bytes;
use futures_util::future::join_all;
use tempfile::TempDir;

const ACCOUNTS: u64 = 5;
const DIR: &str = "AXIGEN_MIGRATE_DIR";
const TO: &str = "AXIGEN_MIGRATE_TO";
/// At which report the child ends itself.
const AT: &str = "AXIGEN_MIGRATE_AT";

fn noise(seed: u64, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    let mut noise = blake3::Hasher::new()
        .update(&seed.to_be_bytes())
        .finalize_xof();
    noise.fill(&mut bytes);
    bytes.into()
}

/// Waits until a store that was closed can be opened: children that other
/// tests start at this very moment have its files, and with them its locks,
/// until they begin.
fn unlocked(dir: &Path) {
    let locks = ["LOCK", "meta/lock"].map(|name| fs::File::open(dir.join(name)));
    for lock in locks.into_iter().flatten() {
        for _ in 0..500 {
            match lock.try_lock() {
                Ok(()) => break,
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

async fn open(dir: &Path, engine: Engine) -> Store {
    unlocked(dir);
    let mut options = Options::default();
    options.engine = engine;
    options.upkeep = Duration::ZERO;
    Store::open_with(dir, options).await.unwrap()
}

async fn change(store: &Store, account: u64, ops: Vec<Op>) {
    let part = Part {
        account: AccountId(account),
        ops,
        advance: true,
        ..Part::default()
    };
    store.commit(Batch { parts: vec![part] }).await.unwrap();
}

fn set(key: &str, value: Bytes) -> Op {
    Op::Set {
        key: Bytes::from(key.to_owned()).into(),
        val: value.into(),
    }
}

/// Rows short and long, counters, blobs in rows and in packs, rows that went
/// again. Of `large` rows there are as many as need several batches.
async fn fill(store: &Store, large: u64) {
    let mails = (0..200).map(async |n| {
        let content = noise(n, if n % 2 == 0 { 200 } else { 4_000 });
        let blob = BlobIn::new(content, Bytes::from(format!("label {n}")));
        let blob = store.put(vec![blob]).await.unwrap().remove(0);
        let add = Op::Add {
            key: "count".into(),
            delta: 1,
            min: None,
            max: None,
            slot: None,
        };
        let row = set(&format!("m/{n:04}"), blob.hash.to_vec().into());
        let ops = vec![row, add, Op::Retain(blob.clone())];
        change(store, n % ACCOUNTS, ops).await;
        if n % 10 == 9 {
            let row = Op::Delete(Bytes::from(format!("m/{n:04}")));
            change(store, n % ACCOUNTS, vec![row, Op::Release(blob)]).await;
        }
    });
    join_all(mails).await;
    join_all((0..large).map(async |n| {
        let ops = vec![set(&format!("large/{n:04}"), noise(n, 90_000))];
        change(store, n % ACCOUNTS, ops).await;
    }))
    .await;
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    accounts: Vec<(u64, Vec<(Key, Bytes)>)>,
    blobs: Vec<Bytes>,
    space: axigen_store::store::Space,
}

/// All that can be seen of a store.
async fn look(store: &Store) -> Seen {
    let mut accounts = Vec::new();
    for account in (0..ACCOUNTS).map(AccountId) {
        let rows = store.scan(account, "".into(), "z".into()).await.unwrap();
        accounts.push((store.seq(account).await.unwrap(), rows));
    }
    let mut blobs = Vec::new();
    for (key, hash) in accounts.iter().flat_map(|(_, rows)| rows) {
        if key.starts_with(b"m/") {
            let blob = axigen_store::BlobRef {
                hash: hash[..].try_into().unwrap(),
                len: 0,
            };
            blobs.push(store.read(&blob, 0..u64::MAX).await.unwrap());
        }
    }
    let space = store.space().await.unwrap();
    Seen {
        accounts,
        blobs,
        space,
    }
}

/// Opens, looks, closes. The engine wanted is the one that it has not got:
/// what is in the directory counts.
async fn seen(dir: &Path, wanted: Engine) -> Seen {
    let store = open(dir, wanted).await;
    let seen = look(&store).await;
    store.close().await.unwrap();
    seen
}

fn other(engine: Engine) -> Engine {
    match engine {
        Engine::Fjall => Engine::Redb,
        Engine::Redb => Engine::Fjall,
    }
}

/// What the directory says about its rows, and whose are there.
fn engines(dir: &Path) -> (Engine, Vec<Engine>) {
    let format = fs::read_to_string(dir.join("FORMAT")).unwrap();
    let named = format.lines().nth(1).unwrap().strip_prefix("engine ");
    let there = [("meta", Engine::Fjall), ("meta.redb", Engine::Redb)];
    let there = there.iter().filter(|(name, _)| dir.join(name).exists());
    let there = there.map(|(_, engine)| *engine).collect();
    (named.unwrap().parse().unwrap(), there)
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back() {
    for from in Engine::ALL {
        let to = other(from);
        let dir = TempDir::new().unwrap();
        let store = open(dir.path(), from).await;
        fill(&store, 130).await;
        let before = look(&store).await;
        store.close().await.unwrap();
        assert_eq!(engines(dir.path()), (from, vec![from]));
        let mut stages: Vec<Stage> = Vec::new();
        let (mut last, mut of) = (0, None);
        unlocked(dir.path());
        let done = migrate(dir.path(), to, |progress| {
            if stages.last() != Some(&progress.stage) {
                stages.push(progress.stage);
            }
            (last, of) = (progress.rows, progress.of);
        });
        let done = done.unwrap();
        assert_eq!((done.from, done.rows, Some(done.rows)), (from, last, of));
        assert!(done.rows > 500 && done.bytes > 11_000_000, "{done:?}");
        assert_eq!(
            stages,
            [
                Stage::Clearing,
                Stage::Copying,
                Stage::Verifying,
                Stage::Switching,
                Stage::Removing,
                Stage::Done
            ]
        );
        assert_eq!(engines(dir.path()), (to, vec![to]));
        assert_eq!(seen(dir.path(), from).await, before);
        // It goes on as a store, and comes back with what was written since.
        let store = open(dir.path(), from).await;
        change(&store, 1, vec![set("later", "x".into())]).await;
        let later = look(&store).await;
        assert_ne!(later, before);
        store.close().await.unwrap();
        assert_eq!(migrate_closed(dir.path(), from).from, to);
        assert_eq!(engines(dir.path()), (from, vec![from]));
        assert_eq!(seen(dir.path(), to).await, later);
    }
}

/// The child: does nothing unless the parent set its variables.
#[test]
fn child() {
    let (Ok(dir), Ok(to), Ok(at)) = (std::env::var(DIR), std::env::var(TO), std::env::var(AT))
    else {
        return;
    };
    let at: usize = at.parse().unwrap();
    let mut reports = 0;
    migrate(Path::new(&dir), to.parse().unwrap(), |_| {
        if reports == at {
            std::process::abort();
        }
        reports += 1;
    })
    .unwrap();
}

fn start(dir: &Path, to: Engine, at: usize) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(TO, to.name())
        .env(AT, at.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn migrate_closed(dir: &Path, to: Engine) -> axigen_store::Migrated {
    unlocked(dir);
    migrate(dir, to, |_| {}).unwrap()
}

/// After a kill: all rows are there, whichever engine holds them; the store
/// takes writes, and the migration can be done again.
async fn survives(dir: &Path, to: Engine, before: &Seen) -> Engine {
    let (engine, _) = engines(dir);
    let store = open(dir, other(engine)).await;
    assert_eq!(&look(&store).await, before);
    change(&store, 2, vec![set("after the kill", "x".into())]).await;
    let after = look(&store).await;
    store.close().await.unwrap();
    let done = migrate_closed(dir, to);
    assert_eq!(done.from, engine);
    assert_eq!(engines(dir), (to, vec![to]));
    let left: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["FORMAT", "LOCK", "store.id", "packs"].contains(&name.as_str()))
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(seen(dir, to).await, after);
    engine
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_it_has_all_rows() {
    for from in Engine::ALL {
        let to = other(from);
        let dir = TempDir::new().unwrap();
        let (whole, tried) = (dir.path().join("whole"), dir.path().join("tried"));
        let store = open(&whole, from).await;
        fill(&store, 130).await;
        let before = look(&store).await;
        store.close().await.unwrap();
        let mut found = Vec::new();
        for at in 0.. {
            copy(&whole, &tried);
            let ended = start(&tried, to, at).wait().unwrap();
            if ended.success() {
                assert_eq!(engines(&tried), (to, vec![to]));
                break;
            }
            assert_eq!(ended.code(), None, "it was killed");
            found.push(survives(&tried, to, &before).await);
            fs::remove_dir_all(&tried).unwrap();
        }
        // Clearing, copying from its beginning and after each batch, verifying,
        // switching: still the old engine. Removing, done: the new one.
        println!("{from}: {} steps", found.len());
        assert!(found.len() >= 7, "{found:?}");
        let switch = found.len() - 2;
        assert!(found[..switch].iter().all(|engine| *engine == from));
        assert!(found[switch..].iter().all(|engine| *engine == to));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_has_all_rows() {
    for from in Engine::ALL {
        let to = other(from);
        let dir = TempDir::new().unwrap();
        let (whole, tried) = (dir.path().join("whole"), dir.path().join("tried"));
        let store = open(&whole, from).await;
        fill(&store, 130).await;
        let before = look(&store).await;
        store.close().await.unwrap();
        copy(&whole, &tried);
        let began = Instant::now();
        assert!(start(&tried, to, usize::MAX).wait().unwrap().success());
        let takes = began.elapsed();
        let rounds = 6;
        for round in 0..rounds {
            fs::remove_dir_all(&tried).unwrap();
            copy(&whole, &tried);
            let mut child = start(&tried, to, usize::MAX);
            std::thread::sleep(takes * round / rounds);
            child.kill().unwrap();
            child.wait().unwrap();
            survives(&tried, to, &before).await;
        }
    }
}

/// Between writing the new FORMAT and naming it so.
#[tokio::test(flavor = "multi_thread")]
async fn a_format_that_is_not_named_so_does_not_count() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), Engine::Fjall).await;
    fill(&store, 1).await;
    let before = look(&store).await;
    store.close().await.unwrap();
    let new = "axigen store, layout 3\nengine redb\n";
    for cut in [0, 10, new.len()] {
        fs::write(dir.path().join("FORMAT.new"), &new[..cut]).unwrap();
        assert_eq!(seen(dir.path(), Engine::Redb).await, before);
    }
    migrate_closed(dir.path(), Engine::Redb);
    assert_eq!(seen(dir.path(), Engine::Redb).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_migrated_is_left_alone() {
    let dir = TempDir::new().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("nowhere")] {
        let error = migrate(&path, Engine::Redb, |_| {}).unwrap_err();
        assert!(matches!(&error, Error::Invalid(why) if why.contains("is no store")));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let store = open(dir.path(), Engine::Fjall).await;
    fill(&store, 1).await;
    let before = look(&store).await;
    let error = migrate(dir.path(), Engine::Redb, |_| panic!("it began")).unwrap_err();
    assert!(matches!(error, Error::Locked(_)), "{error}");
    store.close().await.unwrap();
    // To where it is: only what was left is removed.
    fs::create_dir(dir.path().join("meta.redb")).unwrap();
    fs::write(dir.path().join("meta.redb/rows"), "left over").unwrap();
    let done = migrate_closed(dir.path(), Engine::Fjall);
    assert_eq!((done.from, done.rows), (Engine::Fjall, 0));
    assert_eq!(engines(dir.path()), (Engine::Fjall, vec![Engine::Fjall]));
    assert_eq!(seen(dir.path(), Engine::Redb).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_says_which_engine_it_is_of() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), Engine::Redb).await;
    fill(&store, 1).await;
    let before = look(&store).await;
    store.close().await.unwrap();
    let format = dir.path().join("FORMAT");
    let redb = fs::read_to_string(&format).unwrap();
    assert_eq!(redb, "axigen store, layout 3\nengine redb\n");
    for (text, why) in [
        ("axigen store, layout 3\nengine lmdb\n", "\"lmdb\""),
        ("axigen store, layout 3\nengine redb", "layout 3"),
        ("axigen store, layout 3\nmore\n", "more"),
        ("axigen store, layout 2\n", "layout 3"),
    ] {
        fs::write(&format, text).unwrap();
        let error = Store::open(dir.path()).await.unwrap_err();
        assert!(
            matches!(&error, Error::Invalid(said) if said.contains(why)),
            "{error}"
        );
    }
    // What says nothing about it is of before there were two.
    fs::write(&format, "axigen store, layout 3\n").unwrap();
    let error = Store::open(dir.path()).await.unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt(why) if why.contains("fjall") && why.contains("missing")),
        "{error}"
    );
    fs::write(&format, &redb).unwrap();
    assert_eq!(seen(dir.path(), Engine::Fjall).await, before);
    fs::rename(dir.path().join("meta.redb"), dir.path().join("gone")).unwrap();
    let error = Store::open(dir.path()).await.unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt(why) if why.contains("meta.redb is not there")),
        "{error}"
    );
}
