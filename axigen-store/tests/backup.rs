//! A backup of a running store, restored, is the store as it was at one
//! moment; what is no whole backup is refused, and no accident harms the store.
//!
//! To be killed, a backup or restore runs in this test started as a child.
//! `AXIGEN_BACKUP_SECONDS` sets how long writers work beside backups (3).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use axigen_store::backend::embedded::Fjall;
use axigen_store::backend::{Backend, KeyRange, Memory, Redb};
use axigen_store::blob::SweepOptions;
use axigen_store::disk::{Disk, DiskFile, Entry, RealDisk};
use axigen_store::pack::Packs;
use axigen_store::store::{
    BackupOptions, BackupStage, Engine, Options, RestoreOptions, Restored, Space, VerifyReport,
};
use axigen_store::{
    AccountId, Batch, BlobIn, BlobRef, Error, Key, Op, Part, Patch, Slot, Store, Template,
};
use bytes::Bytes;
use futures_util::future::join_all;
use tempfile::TempDir;

const WRITERS: u64 = 8;
const SHARED: AccountId = AccountId(99);
const DIR: &str = "AXIGEN_BACKUP_DIR";
const WHAT: &str = "AXIGEN_BACKUP_WHAT";
/// At which report the child ends itself.
const AT: &str = "AXIGEN_BACKUP_AT";

fn noise(seed: &str, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    let mut noise = blake3::Hasher::new().update(seed.as_bytes()).finalize_xof();
    noise.fill(&mut bytes);
    bytes.into()
}

/// What a message of this name contains: short ones ride in rows.
fn content(name: &str) -> Bytes {
    let sum: usize = name.bytes().map(usize::from).sum();
    noise(name, [90, 4_000, 9_000, 30_000][sum % 4])
}

fn address(content: &Bytes) -> BlobRef {
    BlobRef {
        hash: *blake3::hash(content).as_bytes(),
        len: content.len() as u64,
    }
}

fn options(engine: Engine) -> Options {
    let mut options = Options::default();
    options.engine = engine;
    options.pack = 150_000;
    options.upkeep = Duration::ZERO;
    options
}

async fn open(dir: &Path, engine: Engine) -> Store {
    try_open(dir, engine).await.unwrap()
}

/// A child that another test starts has, for a moment, the locks of this
/// process.
async fn try_open(dir: &Path, engine: Engine) -> axigen_store::Result<Store> {
    for _ in 0..200 {
        match Store::open_with(dir, options(engine)).await {
            Err(Error::Locked(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            opened => return opened,
        }
    }
    Store::open_with(dir, options(engine)).await
}

fn fast() -> BackupOptions {
    let mut options = BackupOptions::default();
    options.rate = u64::MAX;
    options
}

/// Everything that can be rewritten is, and nothing is kept that is not wanted.
fn sweep() -> SweepOptions {
    let mut options = SweepOptions::default();
    options.grace = Duration::ZERO;
    options.rate = u64::MAX;
    options.percent = 100;
    options
}

async fn put(store: &Store, name: &str) -> BlobRef {
    let blob = BlobIn::new(content(name), Bytes::from(format!("label {name}")));
    store.put(vec![blob]).await.unwrap().remove(0)
}

/// One batch: a row and a counter of the writer, a row of the shared log named
/// after its sequence number, a reference.
fn batch(writer: u64, name: &str, blob: BlobRef) -> Batch {
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
            part(AccountId(writer), vec![row, count(1), Op::Retain(blob)]),
            part(SHARED, vec![entry, count(1)]),
        ],
    }
}

fn count(delta: i64) -> Op {
    Op::Add {
        key: "count".into(),
        delta,
        min: Some(0),
        max: None,
        slot: None,
    }
}

/// Takes back what [`batch`] did, except that the log says so.
fn removal(writer: u64, name: &str, blob: BlobRef) -> Batch {
    let mut batch = batch(writer, &format!("-{name}"), blob.clone());
    let row = Op::Delete(Bytes::from(format!("m/{name}")));
    batch.parts[0].ops = vec![row, count(-1), Op::Release(blob)];
    batch
}

/// A row that changes again and again, as flags do; its value says how often,
/// as does a counter in the same batch.
fn flag(writer: u64, times: i64) -> Batch {
    let row = Op::Set {
        key: "flags".into(),
        val: Bytes::copy_from_slice(&times.to_be_bytes()).into(),
    };
    let mut add = count(1);
    if let Op::Add { key, .. } = &mut add {
        *key = "changes".into();
    }
    let part = Part {
        account: AccountId(writer),
        ops: vec![row, add],
        ..Part::default()
    };
    Batch { parts: vec![part] }
}

/// Delivers, flags and removes until it is told to end.
async fn write(store: Store, writer: u64, prefix: &str, end: Arc<AtomicBool>) {
    let (mut mine, mut flags) = (Vec::new(), 0);
    let before = store.get(AccountId(writer), &["changes".into()]).await;
    if let Some(row) = before.unwrap().remove(0) {
        flags = i64::from_be_bytes(row[..].try_into().unwrap());
    }
    for n in 0u64.. {
        if end.load(SeqCst) {
            return;
        }
        let name = format!("{prefix}/{writer}/{n}");
        let blob = put(&store, &name).await;
        store
            .commit(batch(writer, &name, blob.clone()))
            .await
            .unwrap();
        mine.push((name, blob));
        flags += 1;
        store.commit(flag(writer, flags)).await.unwrap();
        if n % 3 > 0 {
            let (name, blob) = mine.remove(mine.len() / 2);
            store.commit(removal(writer, &name, blob)).await.unwrap();
        }
    }
}

async fn sweep_on(store: Store, end: Arc<AtomicBool>) -> u64 {
    let mut removed = 0;
    while !end.load(SeqCst) {
        removed += store.sweep(sweep()).await.unwrap().removed;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    removed
}

/// A store with a few hundred messages, some of them removed.
async fn filled(dir: &Path, engine: Engine, mails: u64) -> Store {
    let store = open(dir, engine).await;
    let deliver = async |n: u64| {
        let (writer, name) = (n % WRITERS, format!("first/{}/{n}", n % WRITERS));
        let blob = put(&store, &name).await;
        let add = batch(writer, &name, blob.clone());
        store.commit(add).await.unwrap();
        if n % 5 == 4 {
            store.commit(removal(writer, &name, blob)).await.unwrap();
        }
    };
    // Not too many at a time: what is put together is in one pack.
    for n in (0..mails).step_by(7) {
        join_all((n..mails.min(n + 7)).map(&deliver)).await;
    }
    store
}

/// Rows, counters and log agree with each other, contents are whole, and
/// nothing is counted wrong. Gives the length of the log.
async fn consistent(store: &Store) -> u64 {
    let log = store
        .scan(SHARED, "log/".into(), "log0".into())
        .await
        .unwrap();
    let mut wanted: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for (n, (key, name)) in log.iter().enumerate() {
        let seq = u64::from_be_bytes(key[4..].try_into().unwrap());
        assert_eq!(seq, n as u64 + 1, "the log has a gap or a double");
        let name = String::from_utf8(name.to_vec()).unwrap();
        let writer = |name: &str| name.split('/').nth(1).unwrap().parse().unwrap();
        match name.strip_prefix('-') {
            Some(removed) => {
                let of = wanted.entry(writer(removed)).or_default();
                assert!(of.remove(removed), "removed and never there");
            }
            None => assert!(wanted.entry(writer(&name)).or_default().insert(name)),
        }
    }
    assert_eq!(store.seq(SHARED).await.unwrap(), log.len() as u64);
    let mut references = HashMap::new();
    for writer in 0..WRITERS {
        let rows = store
            .scan(AccountId(writer), "m/".into(), "m0".into())
            .await
            .unwrap();
        let keys = ["count".into(), "flags".into(), "changes".into()];
        let values = store.get(AccountId(writer), &keys).await.unwrap();
        let number = |at: usize| {
            let value = values[at].as_ref();
            value.map_or(0, |row| i64::from_be_bytes(row[..].try_into().unwrap()))
        };
        assert_eq!(number(0) as usize, rows.len(), "rows and counter");
        assert_eq!(number(1), number(2), "two rows of one batch");
        let mut found = BTreeSet::new();
        for (key, hash) in rows {
            let name = String::from_utf8(key[2..].to_vec()).unwrap();
            let content = content(&name);
            let blob = address(&content);
            assert_eq!(hash[..], blob.hash, "the row of {name}");
            let got = store.read(&blob, 0..u64::MAX).await;
            assert!(got.expect("a blob that a row names") == content, "{name}");
            *references.entry(blob.hash).or_default() += 1;
            found.insert(name);
        }
        assert_eq!(found, wanted.remove(&writer).unwrap_or_default());
    }
    clean(&store.verify(&references, true, |_, _| {}).await.unwrap());
    log.len() as u64
}

fn clean(report: &VerifyReport) {
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
}

/// Every row there is, but what fjall counts for itself.
async fn rows(dir: &Path) -> Vec<(Key, Bytes)> {
    // Once it can be opened, nobody has it.
    let store = open(dir, Engine::Fjall).await;
    store.close().await.unwrap();
    let backend: Box<dyn Backend> = match dir.join("meta").is_dir() {
        true => Box::new(
            Fjall::open(&dir.join("meta"), 8 << 20, 0)
                .unwrap()
                .into_backend(),
        ),
        false => Box::new(
            Redb::open(&dir.join("meta.redb"), 8 << 20, 0)
                .unwrap()
                .into_backend(),
        ),
    };
    let rows = rows_of(&*backend).await;
    backend.close().await.unwrap();
    rows
}

async fn rows_of(backend: &dyn Backend) -> Vec<(Key, Bytes)> {
    let range = KeyRange {
        from: Bytes::new(),
        to: Bytes::from_static(&[0xff; 9]),
        limit: usize::MAX - 1,
        reverse: false,
        keys_only: false,
    };
    let mut rows = backend.range(&range, None).await.unwrap().rows;
    rows.retain(|(key, _)| !key.ends_with(b"sbatches"));
    rows
}

/// All files of a directory, by name.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), fs::read(path).unwrap())),
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    for (path, bytes) in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, bytes).unwrap();
    }
}

async fn try_restore(backup: &Path, dir: &Path) -> axigen_store::Result<Restored> {
    Store::restore(backup, dir, RestoreOptions::default(), |_| {}).await
}

async fn restore(backup: &Path, dir: &Path) -> Restored {
    try_restore(backup, dir).await.unwrap()
}

async fn restore_over(
    backup: &Path,
    packs: &Path,
    rows: &Arc<Memory>,
) -> axigen_store::Result<Restored> {
    let options = RestoreOptions::default();
    Store::restore_over(backup, packs, rows.clone(), options, |_| {}).await
}

async fn check(backup: &Path) -> axigen_store::Result<axigen_store::store::BackupCheck> {
    Store::check_backup(backup, RestoreOptions::default(), |_| {}).await
}

/// The backup is whole, and the store made of it is consistent.
async fn restores(backup: &Path, again: &Path) -> u64 {
    let found = check(backup).await.unwrap();
    assert_eq!(found.damaged, Vec::<String>::new());
    restore(backup, again).await;
    let store = open(again, Engine::Fjall).await;
    let log = consistent(&store).await;
    store.close().await.unwrap();
    log
}

// ------------------------------------------------------------------ exactness

#[tokio::test(flavor = "multi_thread")]
async fn what_is_restored_is_exactly_what_was() {
    for (engine, target) in [
        (Engine::Fjall, None),
        (Engine::Redb, None),
        (Engine::Fjall, Some(Engine::Redb)),
        (Engine::Redb, Some(Engine::Fjall)),
    ] {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        let store = filled(&at("store"), engine, 200).await;
        store.close().await.unwrap();
        let before = rows(&at("store")).await;
        let store = open(&at("store"), engine).await;
        let space: Space = store.space().await.unwrap();
        let mut stages = Vec::new();
        let (said, saying) = std::sync::mpsc::channel();
        let say = move |progress| said.send(progress).unwrap();
        let made = store.backup(&at("backup"), fast(), say).await.unwrap();
        for progress in saying.iter() {
            if stages.last() != Some(&progress.stage) {
                stages.push(progress.stage);
            }
        }
        use BackupStage::{Done, Packs, Rows};
        assert_eq!(stages, [Packs, Rows, Done]);
        assert_eq!(made.rows as usize, before.len());
        assert!(made.packs > 5 && made.linked > 100_000, "{made:?}");
        // Life goes on: everything there was goes.
        for writer in 0..WRITERS {
            let account = AccountId(writer);
            for (key, hash) in store.scan(account, "m/".into(), "m0".into()).await.unwrap() {
                let name = String::from_utf8(key[2..].to_vec()).unwrap();
                let blob = address(&content(&name));
                assert_eq!(hash[..], blob.hash);
                store.commit(removal(writer, &name, blob)).await.unwrap();
            }
        }
        store.sweep(sweep()).await.unwrap();
        assert_eq!(store.space().await.unwrap().blobs, 0);
        store.close().await.unwrap();

        let mut options = RestoreOptions::default();
        options.engine = target;
        let (backup, again) = (at("backup"), at("again"));
        let kept = files(&backup);
        let done = Store::restore(&backup, &again, options, |_| {})
            .await
            .unwrap();
        assert_eq!((done.rows, done.pinned), (made.rows, made.pinned));
        let format = fs::read_to_string(again.join("FORMAT")).unwrap();
        let wanted = target.unwrap_or(engine);
        assert!(format.ends_with(&format!("engine {wanted}\n")), "{format}");
        assert!(rows(&again).await == before, "the very same rows");
        assert_eq!(
            fs::read(again.join("store.id")).unwrap(),
            fs::read(at("store").join("store.id")).unwrap()
        );
        let store = open(&again, engine).await;
        assert_eq!(store.space().await.unwrap(), space);
        consistent(&store).await;

        // A backup of it is the same backup, whoever holds the rows now.
        store.backup(&at("second"), fast(), |_| {}).await.unwrap();
        let dump = |dir: &str| fs::read(at(dir).join("rows.dump")).unwrap();
        assert!(dump("second") == dump("backup"));
        // What becomes of it leaves the backup alone.
        let name = "later/3/1";
        let blob = put(&store, name).await;
        store.commit(batch(3, name, blob)).await.unwrap();
        store.sweep(sweep()).await.unwrap();
        consistent(&store).await;
        store.close().await.unwrap();
        assert!(files(&backup) == kept);
        restores(&at("second"), &at("third")).await;
        assert!(rows(&at("third")).await == before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_writers_and_sweeps_it_shows_one_moment() {
    let seconds = std::env::var("AXIGEN_BACKUP_SECONDS").map_or(3, |n| n.parse().unwrap());
    for engine in Engine::ALL {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        let store = filled(&at("store"), engine, 100).await;
        let end = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write(store.clone(), writer, "beside", end.clone())))
            .collect();
        let sweeps = tokio::spawn(sweep_on(store.clone(), end.clone()));
        let began = Instant::now();
        let mut made = Vec::new();
        // Two at a time; the one by links, the other by copies and slower.
        while began.elapsed() < Duration::from_secs(seconds) || made.len() < 4 {
            let names = [made.len(), made.len() + 1].map(|n| at(&format!("backup {n}")));
            let mut slow = fast();
            slow.link = false;
            slow.rate = 4 << 20;
            let acked = store.seq(SHARED).await.unwrap();
            let both = [(&names[0], fast()), (&names[1], slow)];
            let both = both.map(async |(to, options)| {
                store.backup(to, options, |_| {}).await.unwrap();
            });
            join_all(both).await;
            let most = store.seq(SHARED).await.unwrap();
            made.extend(names.map(|name| (name, acked..=most)));
        }
        end.store(true, SeqCst);
        for writer in writers {
            writer.await.unwrap();
        }
        let removed = sweeps.await.unwrap();
        consistent(&store).await;
        // No pin is left: what was held back goes now.
        for _ in 0..2 {
            store.sweep(sweep()).await.unwrap();
        }
        let space = store.space().await.unwrap();
        assert!(space.held < 2 * space.live + 400_000, "{space:?}");
        store.close().await.unwrap();
        println!("{engine}: {} backups, {removed} packs removed", made.len());
        assert!(removed > 0);
        let mut logs = BTreeSet::new();
        for (n, (backup, between)) in made.iter().enumerate() {
            if n >= 12 {
                break;
            }
            let again = at("again");
            let log = restores(backup, &again).await;
            assert!(between.contains(&log), "{log} is not in {between:?}");
            logs.insert(log);
            fs::remove_dir_all(again).unwrap();
        }
        assert!(logs.len() > 2, "the store changed between: {logs:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn complete_packs_are_linked_and_what_changes_is_copied() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let store = filled(&at("store"), Engine::Fjall, 100).await;
    let made = store.backup(&at("linked"), fast(), |_| {}).await.unwrap();
    let mut options = fast();
    options.link = false;
    let copied = store.backup(&at("copied"), options, |_| {}).await.unwrap();
    let mut options = fast();
    options.disk = Arc::new(Odd::default());
    let odd = store.backup(&at("odd"), options, |_| {}).await.unwrap();
    assert_eq!((copied.linked, odd.linked), (0, 0));
    assert_eq!(made.linked + made.written, copied.written);
    assert_eq!(odd.written, copied.written);
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let names: Vec<PathBuf> = files(&at("linked").join("packs"))
        .into_keys()
        .map(|path| path.strip_prefix(at("linked")).unwrap().to_owned())
        .collect();
    for (n, name) in names.iter().enumerate() {
        let [live, linked, copied] = ["store", "linked", "copied"].map(|dir| at(dir).join(name));
        assert_eq!(
            inode(&live) == inode(&linked),
            n + 1 < names.len(),
            "{name:?}"
        );
        assert_ne!(inode(&live), inode(&copied));
    }
    // Appending, a kill with a torn end, another opening, a sweep: no file of a
    // backup changes.
    let before = files(&at("linked"));
    for n in 0..20 {
        let name = format!("after/1/{n}");
        let blob = put(&store, &name).await;
        store.commit(batch(1, &name, blob)).await.unwrap();
    }
    store.close().await.unwrap();
    let last = files(&at("store/packs/00")).into_keys().rfind(|path| {
        path.extension()
            .is_some_and(|extension| extension == "pack")
    });
    let mut last = fs::File::options()
        .append(true)
        .open(last.unwrap())
        .unwrap();
    io::Write::write_all(&mut last, b"AXR2 and what was not finished").unwrap();
    let store = open(&at("store"), Engine::Fjall).await;
    store.sweep(sweep()).await.unwrap();
    consistent(&store).await;
    store.close().await.unwrap();
    assert!(files(&at("linked")) == before);
    for name in ["linked", "copied", "odd"] {
        restores(&at(name), &at(&format!("{name} again"))).await;
    }
}

// ------------------------------------------------------------- what is refused

fn refused<T: std::fmt::Debug>(result: axigen_store::Result<T>, why: &str) {
    let error = result.unwrap_err();
    assert!(
        matches!(error, Error::Invalid(_) | Error::Corrupt(_)) && error.to_string().contains(why),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_damaged_byte_is_noticed() {
    let dir = TempDir::new().unwrap();
    let (good, bad) = (dir.path().join("good"), dir.path().join("bad"));
    let store = filled(&dir.path().join("store"), Engine::Fjall, 12).await;
    store.backup(&good, fast(), |_| {}).await.unwrap();
    store.close().await.unwrap();
    copy(&good, &bad);
    let (mut tried, mut restores) = (0, 0);
    for name in ["rows.dump", "COMPLETE"] {
        let whole = fs::read(good.join(name)).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(bad.join(name), bytes).unwrap();
            let error = check(&bad).await.unwrap_err();
            let said = matches!(error, Error::Corrupt(_) | Error::Invalid(_));
            assert!(
                said && error.to_string().contains(name),
                "{name} {at}: {error}"
            );
            tried += 1;
            if at % 97 == 0 {
                let again = dir.path().join(format!("again {restores}"));
                restores += 1;
                refused(try_restore(&bad, &again).await, name);
                if again.exists() {
                    refused(Store::open(&again).await, "broken off");
                }
                // The whole one goes to the same place.
                restore(&good, &again).await;
                let store = open(&again, Engine::Fjall).await;
                consistent(&store).await;
                store.close().await.unwrap();
            }
        }
        fs::write(bad.join(name), &whole).unwrap();
        for len in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(bad.join(name), &whole[..len]).unwrap();
            refused(check(&bad).await, name);
        }
        fs::write(bad.join(name), whole).unwrap();
    }
    println!("{tried} bytes, {restores} restores");
    assert_eq!(check(&bad).await.unwrap().damaged_count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_to_a_blob_is_noticed() {
    let dir = TempDir::new().unwrap();
    let (good, bad) = (dir.path().join("good"), dir.path().join("bad"));
    let store = filled(&dir.path().join("store"), Engine::Redb, 40).await;
    store.backup(&good, fast(), |_| {}).await.unwrap();
    store.close().await.unwrap();
    copy(&good, &bad);
    let whole = check(&bad).await.unwrap();
    assert!(whole.blobs == 40 && whole.damaged_count == 0, "{whole:?}");
    let pack = PathBuf::from("packs/00/0000000000000000.pack");
    let bytes = fs::read(good.join(&pack)).unwrap();
    let (mut noticed, mut tried) = (0, 0);
    for at in (0..bytes.len()).step_by(211) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        fs::write(bad.join(&pack), damaged).unwrap();
        noticed += check(&bad).await.unwrap().damaged_count;
        tried += 1;
    }
    // Behind the file's header all is records of blobs that have rows.
    assert!(tried - noticed <= 3, "{noticed} of {tried}");
    for (len, why) in [(bytes.len() - 1, "should have"), (0, "should have")] {
        fs::write(bad.join(&pack), &bytes[..len]).unwrap();
        refused(check(&bad).await, why);
    }
    fs::write(bad.join(&pack), [&bytes[..], b"x"].concat()).unwrap();
    refused(check(&bad).await, "should have");
    fs::remove_file(bad.join(&pack)).unwrap();
    refused(check(&bad).await, "missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_whole_is_refused_and_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let store = filled(&at("store"), Engine::Fjall, 30).await;
    store.backup(&at("good"), fast(), |_| {}).await.unwrap();
    for name in ["packs/00/0000000000000000.pack", "rows.dump", "store.id"] {
        copy(&at("good"), &at("bad"));
        fs::remove_file(at("bad").join(name)).unwrap();
        refused(try_restore(&at("bad"), &at("new")).await, "missing");
        assert!(!at("new").exists());
    }
    copy(&at("good"), &at("bad"));
    fs::rename(at("bad/COMPLETE"), at("bad/INCOMPLETE")).unwrap();
    refused(check(&at("bad")).await, "broken off");
    fs::remove_file(at("bad/INCOMPLETE")).unwrap();
    refused(check(&at("bad")).await, "no COMPLETE");
    refused(check(&at("nowhere")).await, "no COMPLETE");
    // The dump of another backup.
    let name = "other/1/1";
    let blob = put(&store, name).await;
    store.commit(batch(1, name, blob)).await.unwrap();
    store.backup(&at("other"), fast(), |_| {}).await.unwrap();
    copy(&at("good"), &at("bad"));
    fs::copy(at("other/rows.dump"), at("bad/rows.dump")).unwrap();
    assert!(check(&at("bad")).await.is_err());
    // Places that hold something.
    for place in ["good", "store", "store/packs"] {
        let backup = store.backup(&at(place), fast(), |_| {}).await;
        let why = if place == "good" {
            "already"
        } else {
            "not empty"
        };
        refused(backup, why);
        refused(try_restore(&at("good"), &at(place)).await, "not empty");
    }
    let same = at("same");
    let twice = [0, 1].map(|_| store.backup(&same, fast(), |_| {}));
    let twice = join_all(twice).await;
    let done = twice.iter().filter(|done| done.is_ok()).count();
    assert_eq!(done, 1, "{twice:?}");
    // A store that is open, and made by a restore.
    restore(&at("good"), &at("open")).await;
    let open = open(&at("open"), Engine::Fjall).await;
    refused(try_restore(&at("good"), &at("open")).await, "not empty");
    open.close().await.unwrap();
    consistent(&store).await;
    store.close().await.unwrap();
    let closed = store.backup(&at("closed"), fast(), |_| {}).await;
    assert!(matches!(closed, Err(Error::Closed)));
    assert!(!at("closed").exists());
    let memory = Store::memory().await.unwrap();
    refused(memory.backup(&at("memory"), fast(), |_| {}).await, "files");
    assert!(!at("memory").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_store_and_odd_places() {
    for engine in Engine::ALL {
        let dir = TempDir::new().unwrap();
        let store = open(&dir.path().join("store"), engine).await;
        let to = dir.path().join("a/long/way/down");
        fs::create_dir_all(dir.path().join("a")).unwrap();
        let made = store.backup(&to, fast(), |_| {}).await.unwrap();
        assert_eq!((made.rows, made.packs), (0, 0));
        store.close().await.unwrap();
        let again = dir.path().join("this/too");
        restore(&to, &again).await;
        let store = open(&again, engine).await;
        assert_eq!(consistent(&store).await, 0);
        let blob = put(&store, "x/1/1").await;
        store.commit(batch(1, "x/1/1", blob)).await.unwrap();
        assert_eq!(consistent(&store).await, 1);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_kind() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let options = || options(Engine::Fjall);
    let over = async |rows: &Arc<Memory>, packs: &Path| {
        let packs = Packs::open(packs, 150_000, 0)?;
        Store::over(rows.clone(), Arc::new(packs), options()).await
    };
    let rows = Arc::new(Memory::new());
    let store = over(&rows, &at("packs")).await.unwrap();
    for n in 0..50 {
        let name = format!("n/2/{n}");
        let blob = put(&store, &name).await;
        store.commit(batch(2, &name, blob)).await.unwrap();
    }
    store.backup(&at("backup"), fast(), |_| {}).await.unwrap();
    let before = rows_of(&*rows).await;
    // To the same kind, and to an embedded store.
    let again = Arc::new(Memory::new());
    restore_over(&at("backup"), &at("packs again"), &again)
        .await
        .unwrap();
    assert!(rows_of(&*again).await == before);
    let store_again = over(&again, &at("packs again")).await.unwrap();
    assert_eq!(consistent(&store_again).await, 50);
    restores(&at("backup"), &at("embedded")).await;
    assert!(self::rows(&at("embedded")).await == before);
    // Not over what is there.
    for (to, why) in [(at("packs again"), "not empty"), (at("new"), "holds rows")] {
        refused(restore_over(&at("backup"), &to, &again).await, why);
    }
    // What was broken off is cleared.
    fs::write(at("packs again/RESTORING"), "").unwrap();
    refused(over(&again, &at("packs again")).await, "broken off");
    restore_over(&at("backup"), &at("packs again"), &again)
        .await
        .unwrap();
    assert!(rows_of(&*again).await == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_breaks_it_off() {
    for engine in Engine::ALL {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        let store = filled(&at("store"), engine, 60).await;
        let mut slow = fast();
        slow.rate = 20_000;
        slow.link = false;
        let began = Arc::new(AtomicBool::new(false));
        let (working, say) = (store.clone(), began.clone());
        let to = at("backup");
        let backup = tokio::spawn(async move {
            let said = working.backup(&to, slow, move |_| say.store(true, SeqCst));
            said.await
        });
        while !began.load(SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let closing = Instant::now();
        store.close().await.unwrap();
        assert!(closing.elapsed() < Duration::from_secs(5));
        // Nothing holds the directory any more.
        let store = open(&at("store"), engine).await;
        assert!(matches!(backup.await.unwrap(), Err(Error::Closed)));
        refused(check(&at("backup")).await, "broken off");
        consistent(&store).await;
        store.backup(&at("backup"), fast(), |_| {}).await.unwrap();
        store.close().await.unwrap();
        restores(&at("backup"), &at("again")).await;
    }
}

// ------------------------------------------------------------------- disk full

/// The operating system's disk, without links, and full after so many bytes.
#[derive(Debug, Clone)]
struct Odd {
    left: Arc<AtomicU64>,
    room: u64,
}

impl Default for Odd {
    fn default() -> Self {
        Odd {
            left: Arc::new(AtomicU64::new(u64::MAX)),
            room: u64::MAX,
        }
    }
}

#[derive(Debug)]
struct OddFile(Arc<dyn DiskFile>, Odd);

impl Disk for Odd {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OddFile(RealDisk.open(path)?, self.clone())))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OddFile(RealDisk.create(path)?, self.clone())))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        RealDisk.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn room(&self, _dir: &Path) -> io::Result<u64> {
        Ok(self.room)
    }
}

impl DiskFile for OddFile {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let takes = bytes.len() as u64;
        let fits = |left: u64| left.checked_sub(takes);
        match self.1.left.fetch_update(SeqCst, SeqCst, fits) {
            Ok(_) => self.0.write_at(bytes, offset),
            Err(_) => Err(ErrorKind::StorageFull.into()),
        }
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_harms_nobody() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let store = filled(&at("store"), Engine::Fjall, 30).await;
    let with = |left: u64| {
        let mut options = fast();
        let left = Arc::new(AtomicU64::new(left));
        options.disk = Arc::new(Odd {
            left,
            room: u64::MAX,
        });
        options
    };
    let needs = store
        .backup(&at("whole"), with(1 << 40), |_| {})
        .await
        .unwrap();
    let mut rounds = 0;
    for left in (0..needs.written + 300).step_by(needs.written as usize / 25) {
        let full = store.backup(&at("backup"), with(left), |_| {}).await;
        assert!(matches!(full, Err(Error::Full)), "{left}: {full:?}");
        refused(check(&at("backup")).await, "broken off");
        // What was written is gone, so that there is room.
        let bytes: usize = files(&at("backup")).values().map(Vec::len).sum();
        assert_eq!(bytes, 0, "{left}");
        let name = format!("full/1/{left}");
        let blob = put(&store, &name).await;
        store.commit(batch(1, &name, blob.clone())).await.unwrap();
        store.commit(removal(1, &name, blob)).await.unwrap();
        rounds += 1;
    }
    assert!(rounds > 20);
    // The store needs what is left.
    let mut tight = with(1 << 40);
    tight.disk = Arc::new(Odd {
        room: 1 << 20,
        ..Odd::default()
    });
    let full = store.backup(&at("backup"), tight, |_| {}).await;
    assert!(matches!(full, Err(Error::Full)));
    consistent(&store).await;
    store.backup(&at("backup"), fast(), |_| {}).await.unwrap();
    store.close().await.unwrap();
    // Restoring to a full disk.
    for left in (0..needs.written / 2).step_by(needs.written as usize / 10) {
        let mut options = RestoreOptions::default();
        let left = Arc::new(AtomicU64::new(left));
        options.disk = Arc::new(Odd { left, room: 0 });
        let full = Store::restore(&at("backup"), &at("again"), options, |_| {}).await;
        assert!(matches!(full, Err(Error::Full)), "{full:?}");
        refused(Store::open(&at("again")).await, "broken off");
    }
    restores(&at("backup"), &at("again")).await;
}

// --------------------------------------------------------------------- kill -9

/// The child: does nothing unless the parent set its variables.
#[test]
fn child() {
    let (Ok(dir), Ok(what), Ok(at)) = (std::env::var(DIR), std::env::var(WHAT), std::env::var(AT))
    else {
        return;
    };
    let at: usize = at.parse().unwrap();
    let dir = PathBuf::from(dir);
    let (backup, again) = (dir.join("backup"), dir.join("again"));
    let mut reports = 0;
    let progress = move |_| {
        if reports == at {
            std::process::abort();
        }
        reports += 1;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let engine: Engine = match what.split_once(' ') {
            Some((_, engine)) => engine.parse().unwrap(),
            None => Engine::Fjall,
        };
        if what.starts_with("restore") {
            let mut options = RestoreOptions::default();
            options.engine = Some(engine);
            Store::restore(&backup, &again, options, progress)
                .await
                .unwrap();
            return;
        }
        let store = open(&dir.join("store"), engine).await;
        let end = Arc::new(AtomicBool::new(false));
        let prefix = format!("killed {}", std::process::id());
        for writer in 0..WRITERS {
            let (store, end, prefix) = (store.clone(), end.clone(), prefix.clone());
            tokio::spawn(async move { write(store, writer, &prefix, end).await });
        }
        tokio::spawn(sweep_on(store.clone(), end));
        let mut options = fast();
        options.rate = 8 << 20;
        options.link = !backup.join("INCOMPLETE").exists();
        store.backup(&backup, options, progress).await.unwrap();
        std::process::exit(0);
    });
}

fn start(dir: &Path, what: &str, engine: Engine, at: usize) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(WHAT, format!("{what} {engine}"))
        .env(AT, at.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_killed_harms_nobody() {
    for engine in Engine::ALL {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        let store = filled(&at("store"), engine, 100).await;
        store.close().await.unwrap();
        let (mut killed, mut whole) = (0, 0);
        for round in 0..14u64 {
            // At a report, or at any moment.
            let mut child = match round % 2 {
                0 => start(dir.path(), "backup", engine, round as usize * 2),
                _ => start(dir.path(), "backup", engine, usize::MAX),
            };
            if round % 2 == 1 {
                std::thread::sleep(Duration::from_millis(40 + 35 * round));
                child.kill().unwrap();
            }
            child.wait().unwrap();
            let store = open(&at("store"), engine).await;
            consistent(&store).await;
            match check(&at("backup")).await {
                Ok(found) => {
                    assert_eq!(found.damaged, Vec::<String>::new());
                    whole += 1;
                }
                Err(error) => {
                    assert!(matches!(error, Error::Invalid(_)), "{error}");
                    refused(try_restore(&at("backup"), &at("no")).await, "complete");
                    killed += 1;
                    // What is left of it is no hindrance.
                    if round % 4 > 1 {
                        store.backup(&at("backup"), fast(), |_| {}).await.unwrap();
                    }
                }
            }
            store.close().await.unwrap();
            if at("backup/COMPLETE").exists() {
                restores(&at("backup"), &at("again")).await;
                fs::remove_dir_all(at("again")).unwrap();
                fs::remove_dir_all(at("backup")).unwrap();
            }
        }
        println!("{engine}: {killed} killed, {whole} done before");
        assert!(killed >= 5, "{killed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_is_no_store_and_can_be_repeated() {
    for engine in Engine::ALL {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        let store = filled(&at("store"), Engine::Fjall, 100).await;
        store.backup(&at("backup"), fast(), |_| {}).await.unwrap();
        store.close().await.unwrap();
        let wanted = rows(&at("store")).await;
        let kept = files(&at("backup"));
        let mut killed = 0;
        for report in 0.. {
            let ended = start(dir.path(), "restore", engine, report).wait().unwrap();
            if ended.success() {
                break;
            }
            assert_eq!(ended.code(), None, "it was killed");
            killed += 1;
            // Its last report comes when all is done.
            match try_open(&at("again"), engine).await {
                Ok(store) => {
                    consistent(&store).await;
                    store.close().await.unwrap();
                    assert!(rows(&at("again")).await == wanted);
                    fs::remove_dir_all(at("again")).unwrap();
                }
                refusal => refused(refusal, "broken off"),
            }
        }
        assert!(killed > 5, "{killed}");
        assert!(rows(&at("again")).await == wanted);
        let rounds = 8;
        for round in 0..rounds {
            fs::remove_dir_all(at("again")).unwrap();
            let mut child = start(dir.path(), "restore", engine, usize::MAX);
            std::thread::sleep(Duration::from_millis(5 + 12 * round));
            child.kill().unwrap();
            child.wait().unwrap();
            match try_open(&at("again"), engine).await {
                // Before its first step, or after its last.
                Ok(store) => {
                    let log = store.seq(SHARED).await.unwrap();
                    store.close().await.unwrap();
                    assert!(log == 0 || rows(&at("again")).await == wanted);
                    fs::remove_dir_all(at("again")).unwrap();
                }
                refusal => refused(refusal, "broken off"),
            }
            restores(&at("backup"), &at("again")).await;
            assert!(rows(&at("again")).await == wanted);
        }
        assert!(files(&at("backup")) == kept);
    }
}
