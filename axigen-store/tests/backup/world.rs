//! A store that is written to, and what must be true of it.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use axigen_store::backend::embedded::Fjall;
use axigen_store::backend::{Backend, KeyRange, Memory, Redb};
use axigen_store::blob::SweepOptions;
use axigen_store::store::{BackupOptions, Engine, Options, RestoreOptions, Restored, VerifyReport};
use axigen_store::{
    AccountId, Batch, BlobIn, BlobRef, Error, Key, Op, Part, Patch, Slot, Store, Template,
};
use bytes::Bytes;
use futures_util::future::join_all;

pub(crate) const WRITERS: u64 = 8;
pub(crate) const SHARED: AccountId = AccountId(99);

pub(crate) fn noise(seed: &str, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    let mut noise = blake3::Hasher::new().update(seed.as_bytes()).finalize_xof();
    noise.fill(&mut bytes);
    bytes.into()
}

/// What a message of this name contains: short ones ride in rows.
pub(crate) fn content(name: &str) -> Bytes {
    let sum: usize = name.bytes().map(usize::from).sum();
    noise(name, [90, 4_000, 9_000, 30_000][sum % 4])
}

pub(crate) fn address(content: &Bytes) -> BlobRef {
    BlobRef {
        hash: *blake3::hash(content).as_bytes(),
        len: content.len() as u64,
    }
}

pub(crate) fn options(engine: Engine) -> Options {
    let mut options = Options::default();
    options.engine = engine;
    options.pack = 150_000;
    options.upkeep = Duration::ZERO;
    options
}

pub(crate) async fn open(dir: &Path, engine: Engine) -> Store {
    try_open(dir, engine).await.unwrap()
}

/// A child that another test starts has, for a moment, the locks of this
/// process.
pub(crate) async fn try_open(dir: &Path, engine: Engine) -> axigen_store::Result<Store> {
    for _ in 0..200 {
        match Store::open_with(dir, options(engine)).await {
            Err(Error::Locked(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            opened => return opened,
        }
    }
    Store::open_with(dir, options(engine)).await
}

pub(crate) fn fast() -> BackupOptions {
    let mut options = BackupOptions::default();
    options.rate = u64::MAX;
    options
}

/// Everything that can be rewritten is, and nothing is kept that is not wanted.
pub(crate) fn sweep() -> SweepOptions {
    let mut options = SweepOptions::default();
    options.grace = Duration::ZERO;
    options.rate = u64::MAX;
    options.percent = 100;
    options
}

pub(crate) async fn put(store: &Store, name: &str) -> BlobRef {
    let blob = BlobIn::new(content(name), Bytes::from(format!("label {name}")));
    store.put(vec![blob]).await.unwrap().remove(0)
}

/// One batch: a row and a counter of the writer, a row of the shared log named
/// after its sequence number, a reference.
pub(crate) fn batch(writer: u64, name: &str, blob: BlobRef) -> Batch {
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

pub(crate) fn count(delta: i64) -> Op {
    Op::Add {
        key: "count".into(),
        delta,
        min: Some(0),
        max: None,
        slot: None,
    }
}

/// Takes back what [`batch`] did, except that the log says so.
pub(crate) fn removal(writer: u64, name: &str, blob: BlobRef) -> Batch {
    let mut batch = batch(writer, &format!("-{name}"), blob.clone());
    let row = Op::Delete(Bytes::from(format!("m/{name}")));
    batch.parts[0].ops = vec![row, count(-1), Op::Release(blob)];
    batch
}

/// A row that changes again and again, as flags do; its value says how often,
/// as does a counter in the same batch.
pub(crate) fn flag(writer: u64, times: i64) -> Batch {
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
pub(crate) async fn write(store: Store, writer: u64, prefix: &str, end: Arc<AtomicBool>) {
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

pub(crate) async fn sweep_on(store: Store, end: Arc<AtomicBool>) -> u64 {
    let mut removed = 0;
    while !end.load(SeqCst) {
        removed += store.sweep(sweep()).await.unwrap().removed;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    removed
}

/// A store with a few hundred messages, some of them removed.
pub(crate) async fn filled(dir: &Path, engine: Engine, mails: u64) -> Store {
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
pub(crate) async fn consistent(store: &Store) -> u64 {
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

pub(crate) fn clean(report: &VerifyReport) {
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
}

/// Every row there is, but what fjall counts for itself.
pub(crate) async fn rows(dir: &Path) -> Vec<(Key, Bytes)> {
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

pub(crate) async fn rows_of(backend: &dyn Backend) -> Vec<(Key, Bytes)> {
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
pub(crate) fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
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

pub(crate) fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    for (path, bytes) in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, bytes).unwrap();
    }
}

pub(crate) async fn try_restore(backup: &Path, dir: &Path) -> axigen_store::Result<Restored> {
    Store::restore(backup, dir, RestoreOptions::default(), |_| {}).await
}

pub(crate) async fn restore(backup: &Path, dir: &Path) -> Restored {
    try_restore(backup, dir).await.unwrap()
}

pub(crate) async fn restore_over(
    backup: &Path,
    packs: &Path,
    rows: &Arc<Memory>,
) -> axigen_store::Result<Restored> {
    let options = RestoreOptions::default();
    Store::restore_over(backup, packs, rows.clone(), options, |_| {}).await
}

pub(crate) async fn check(backup: &Path) -> axigen_store::Result<axigen_store::store::BackupCheck> {
    Store::check_backup(backup, RestoreOptions::default(), |_| {}).await
}

/// The backup is whole, and the store made of it is consistent.
pub(crate) async fn restores(backup: &Path, again: &Path) -> u64 {
    let found = check(backup).await.unwrap();
    assert_eq!(found.damaged, Vec::<String>::new());
    restore(backup, again).await;
    let store = open(again, Engine::Fjall).await;
    let log = consistent(&store).await;
    store.close().await.unwrap();
    log
}

/// Refused, with these words.
pub(crate) fn refused<T: std::fmt::Debug>(result: axigen_store::Result<T>, why: &str) {
    let error = result.unwrap_err();
    assert!(
        matches!(error, Error::Invalid(_) | Error::Corrupt(_)) && error.to_string().contains(why),
        "{error}"
    );
}
