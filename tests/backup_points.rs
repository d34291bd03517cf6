//! Every crash point of a backup and of a restore: each of their writes, syncs,
//! links, renames, removals and commits fails, finds no space, writes half,
//! lies, or is the last one before the power goes. Each time the store has lost
//! nothing; what says that it is a complete backup gives back exactly the
//! state at its moment, anything else is refused; what a restore left is the
//! whole store or is refused; and both can be done again in the same place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::panic
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axigen_store::backend::{
    Backend, KeyRange, Limits, Maintain, Memory, Report, Request, Snapshot,
};
use axigen_store::pack::Packs;
use axigen_store::store::{BackupOptions, Options, RestoreOptions};
use axigen_store::{
    AccountId, Batch, BlobIn, BlobRef, Commit, Error, Key, Op, Page, Part, Result, Store,
};
use axigen_tests::machine::{Fault, Kind, Machine, Survives};
use bytes::Bytes;

const ONE: AccountId = AccountId(1);
const LIVE: &str = "/live";
const BACKUP: &str = "/backup";
const AGAIN: &str = "/again";
/// A pack ends after two or three blobs.
const PACK: u64 = 12_000;

const SURVIVALS: [Survives; 6] = [
    Survives::Synced,
    Survives::Everything,
    Survives::Some(1),
    Survives::Some(2),
    Survives::Some(3),
    Survives::Process,
];

type Rows = Vec<(Key, Bytes)>;

fn content(n: u64) -> Bytes {
    let mut bytes = vec![0; if n.is_multiple_of(3) { 100 } else { 4_000 }];
    let mut noise = blake3::Hasher::new()
        .update(&n.to_be_bytes())
        .finalize_xof();
    noise.fill(&mut bytes);
    bytes.into()
}

async fn store(rows: Arc<dyn Backend>, machine: &Machine, dir: &str) -> Result<Store> {
    let packs = Packs::open_on(machine.disk(), Path::new(dir), PACK, 0)?;
    let mut options = Options::default();
    options.upkeep = Duration::ZERO;
    Store::over(rows, Arc::new(packs), options).await
}

async fn deliver(store: &Store, n: u64) -> Result<()> {
    let blob = BlobIn::new(content(n), Bytes::from(format!("label {n}")));
    let blob = store.put(vec![blob]).await?.remove(0);
    let row = Op::Set {
        key: Bytes::from(format!("m/{n:04}")).into(),
        val: Bytes::copy_from_slice(&n.to_be_bytes()).into(),
    };
    let part = Part {
        account: ONE,
        ops: vec![row, Op::Retain(blob)],
        advance: true,
        ..Part::default()
    };
    let batch = Batch { parts: vec![part] };
    store.commit(batch).await.map(drop)
}

/// What is in a store: which messages, all of which can be read.
async fn messages(store: &Store) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    let mut references = axigen_store::store::References::new();
    for (_, n) in store.scan(ONE, "m/".into(), "m0".into()).await? {
        let n = u64::from_be_bytes(n[..].try_into().unwrap());
        let content = content(n);
        let blob = BlobRef {
            hash: *blake3::hash(&content).as_bytes(),
            len: content.len() as u64,
        };
        assert!(store.read(&blob, 0..u64::MAX).await? == content, "{n}");
        references.insert(blob.hash, 1);
        found.push(n);
    }
    assert_eq!(store.seq(ONE).await?, found.len() as u64);
    let report = store.verify(&references, true, |_, _| {}).await?;
    assert_eq!(report.problems, []);
    Ok(found)
}

async fn rows(backend: &dyn Backend) -> Rows {
    let all = KeyRange {
        from: Bytes::new(),
        to: Bytes::from_static(&[0xff; 9]),
        limit: 1 << 20,
        reverse: false,
        keys_only: false,
    };
    backend.range(&all, None).await.unwrap().rows
}

async fn back_up(store: &Store, machine: &Machine) -> Result<()> {
    let mut options = BackupOptions::default();
    options.rate = u64::MAX;
    options.disk = machine.disk();
    let made = store.backup(Path::new(BACKUP), options, |_| {}).await?;
    assert!(made.linked > 0 && made.written > 0);
    Ok(())
}

fn reading(machine: &Machine) -> RestoreOptions {
    let mut options = RestoreOptions::default();
    options.disk = machine.disk();
    options
}

async fn restore(machine: &Machine, to: &str, rows: Arc<dyn Backend>) -> Result<()> {
    let (from, to) = (Path::new(BACKUP), Path::new(to));
    let restored = Store::restore_over(from, to, rows, reading(machine), |_| {});
    restored.await.map(drop)
}

async fn check(machine: &Machine) -> Result<u64> {
    let checked = Store::check_backup(Path::new(BACKUP), reading(machine), |_| {});
    checked.await.map(|found| found.damaged_count)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Points and steps visited, by kind.
#[derive(Debug, Default)]
struct Visits {
    kinds: BTreeMap<Kind, usize>,
    points: usize,
    starts: usize,
    /// How often the backup or the restored store was complete, and how often
    /// refused.
    whole: usize,
    refused: usize,
}

#[test]
fn backup() {
    runtime().block_on(async {
        let machine = Machine::with_directory(Path::new(LIVE));
        let live = store(machine.rows(), &machine, LIVE).await.unwrap();
        for n in 0..12 {
            deliver(&live, n).await.unwrap();
        }
        live.close().await.unwrap();
        machine.restart(Survives::Synced);
        let wanted = rows(&*machine.rows()).await;

        // Opening, the backup, another delivery: which steps are whose.
        let unharmed = machine.fork();
        let live = store(unharmed.rows(), &unharmed, LIVE).await.unwrap();
        let first = unharmed.steps().len();
        back_up(&live, &unharmed).await.unwrap();
        let last = unharmed.steps().len();
        deliver(&live, 12).await.unwrap();
        let mut visits = Visits::default();
        for (at, kind) in unharmed.steps()[..last].iter().copied().enumerate() {
            if at < first {
                continue;
            }
            *visits.kinds.entry(kind).or_default() += 1;
            for fault in Fault::ALL {
                if !fault.happens_to(kind) {
                    continue;
                }
                visits.points += 1;
                let context = format!("step {at} ({kind:?}) {fault:?}");
                let harmed = machine.fork();
                harmed.fail_at(at, fault);
                let live = store(harmed.rows(), &harmed, LIVE).await.unwrap();
                let made = back_up(&live, &harmed).await;
                let delivered = deliver(&live, 12).await;
                if !fault.stops() {
                    // Whatever became of the backup, the store goes on.
                    delivered.as_ref().expect(&context);
                    assert_eq!(messages(&live).await.unwrap().len(), 13, "{context}");
                }
                if fault == Fault::Full && kind != Kind::Link {
                    assert!(matches!(made, Err(Error::Full)), "{context}: {made:?}");
                }
                let sure = made.is_ok() && fault != Fault::Lies;
                for survives in SURVIVALS {
                    let context = format!("{context}, then {survives:?}");
                    visits.starts += 1;
                    let again = harmed.fork();
                    again.restart(survives);
                    look(
                        &again,
                        &wanted,
                        sure,
                        delivered.is_ok(),
                        &mut visits,
                        &context,
                    )
                    .await;
                }
            }
        }
        println!("a backup: {visits:?}");
        assert!(visits.whole > 50 && visits.refused > 500, "{visits:?}");
    });
}

/// The store has lost nothing; the backup is whole, or refused and made anew.
async fn look(
    machine: &Machine,
    wanted: &Rows,
    sure: bool,
    delivered: bool,
    visits: &mut Visits,
    context: &str,
) {
    let live = store(machine.rows(), machine, LIVE).await.unwrap();
    let found = messages(&live).await.unwrap();
    assert!(
        found.len() == 13 || (found.len() == 12 && !delivered),
        "{context}: {found:?}"
    );
    match check(machine).await {
        Ok(damaged) => {
            assert_eq!(damaged, 0, "{context}");
            visits.whole += 1;
            let memory = Arc::new(Memory::new());
            restore(machine, AGAIN, memory.clone())
                .await
                .expect(context);
            assert!(rows(&*memory).await == *wanted, "{context}: other rows");
            let again = store(memory, machine, AGAIN).await.unwrap();
            assert_eq!(messages(&again).await.unwrap().len(), 12, "{context}");
        }
        Err(error @ (Error::Invalid(_) | Error::Corrupt(_))) => {
            assert!(!sure, "{context}: made and gone: {error}");
            visits.refused += 1;
            match back_up(&live, machine).await {
                Ok(()) => assert_eq!(check(machine).await.expect(context), 0, "{context}"),
                // After a lie COMPLETE may be there and not what it names, or
                // the directory without its mark.
                Err(Error::Invalid(why)) => assert!(
                    ["already", "not empty"]
                        .iter()
                        .any(|said| why.contains(said))
                        && context.contains("Lies"),
                    "{context}: {why}"
                ),
                Err(error) => panic!("{context}: once more: {error}"),
            }
        }
        Err(error) => panic!("{context}: {error}"),
    }
    drop(live);
}

/// Rows that come in small batches, so that there are several.
#[derive(Debug)]
struct Narrow(Arc<dyn Backend>);

#[async_trait]
impl Backend for Narrow {
    fn limits(&self) -> Limits {
        Limits {
            batch: 1_200,
            ..self.0.limits()
        }
    }
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        self.0.get(keys).await
    }
    async fn range(&self, range: &KeyRange, at: Option<&Snapshot>) -> Result<Page> {
        self.0.range(range, at).await
    }
    async fn commit(&self, group: &[Request]) -> Vec<Result<Commit>> {
        self.0.commit(group).await
    }
    async fn snapshot(&self) -> Result<Snapshot> {
        self.0.snapshot().await
    }
    async fn maintain(&self, task: Maintain) -> Result<Report> {
        self.0.maintain(task).await
    }
    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

async fn restore_here(machine: &Machine) -> Result<()> {
    restore(machine, AGAIN, Arc::new(Narrow(machine.rows()))).await
}

#[test]
fn restoring() {
    runtime().block_on(async {
        // The rows of the store that is backed up are elsewhere: the machine's
        // are for the one that is restored.
        let machine = Machine::with_directory(Path::new(LIVE));
        let source = Arc::new(Memory::new());
        let live = store(source.clone(), &machine, LIVE).await.unwrap();
        for n in 0..18 {
            deliver(&live, n).await.unwrap();
        }
        back_up(&live, &machine).await.unwrap();
        live.close().await.unwrap();
        let wanted = {
            let memory = Arc::new(Memory::new());
            let fork = machine.fork();
            restore(&fork, AGAIN, memory.clone()).await.unwrap();
            rows(&*memory).await
        };
        machine.restart(Survives::Synced);
        assert_eq!(check(&machine).await.unwrap(), 0);

        let unharmed = machine.fork();
        restore_here(&unharmed).await.unwrap();
        let mut visits = Visits::default();
        for (at, kind) in unharmed.steps().into_iter().enumerate() {
            *visits.kinds.entry(kind).or_default() += 1;
            for fault in Fault::ALL {
                if !fault.happens_to(kind) {
                    continue;
                }
                visits.points += 1;
                let harmed = machine.fork();
                harmed.fail_at(at, fault);
                let done = restore_here(&harmed).await;
                let sure = done.is_ok() && fault != Fault::Lies;
                for survives in SURVIVALS {
                    let context = format!("step {at} ({kind:?}) {fault:?}, then {survives:?}");
                    visits.starts += 1;
                    let again = harmed.fork();
                    again.restart(survives);
                    look_again(&again, &wanted, sure, &mut visits, &context).await;
                }
            }
        }
        println!("a restore: {visits:?}");
        assert!(visits.kinds[&Kind::Commit] > 2, "{visits:?}");
        assert!(visits.whole > 50 && visits.refused > 500, "{visits:?}");
    });
}

/// What is there is the whole store, or nothing, or refused; a second restore
/// makes it the whole store.
async fn look_again(
    machine: &Machine,
    wanted: &Rows,
    sure: bool,
    visits: &mut Visits,
    context: &str,
) {
    let lied = context.contains("Lies");
    assert_eq!(check(machine).await.expect(context), 0, "{context}");
    let opened = machine.fork();
    let whole = match store(opened.rows(), &opened, AGAIN).await {
        Err(Error::Invalid(why)) => {
            assert!(why.contains("broken off"), "{context}: {why}");
            false
        }
        Err(error) => panic!("{context}: {error}"),
        Ok(store) => {
            let there = rows(&*opened.rows()).await;
            let packs = opened.disk().list(Path::new(AGAIN)).unwrap();
            let packs = packs.iter().any(|entry| entry.is_dir);
            let same = there == *wanted;
            // Before its first step there is nothing.
            let nothing = there.is_empty() && !packs;
            assert!(same || nothing || lied, "{context}: something between");
            if same && !lied {
                assert_eq!(messages(&store).await.unwrap().len(), 18, "{context}");
            }
            same
        }
    };
    assert!(whole || !sure, "{context}: done and gone");
    if whole {
        visits.whole += 1;
        return;
    }
    visits.refused += 1;
    match restore_here(machine).await {
        Ok(()) => {}
        // The mark was never durable.
        Err(Error::Invalid(why)) if lied && why.contains("not empty") => return,
        Err(Error::Invalid(why)) if lied && why.contains("holds rows") => return,
        Err(error) => panic!("{context}: once more: {error}"),
    }
    machine.restart(Survives::Synced);
    assert!(rows(&*machine.rows()).await == *wanted, "{context}");
    let store = store(machine.rows(), machine, AGAIN).await.unwrap();
    assert_eq!(messages(&store).await.unwrap().len(), 18, "{context}");
    deliver(&store, 18).await.unwrap();
    assert_eq!(messages(&store).await.unwrap().len(), 19, "{context}");
}
