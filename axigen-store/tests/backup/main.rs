//! A backup of a running store, restored, is the store as it was at one
//! moment; what is no whole backup is refused, and no accident harms the store.
//!
//! To be killed, a backup or restore runs in this test started as a child.
//! `AXIGEN_BACKUP_SECONDS` sets how long writers work beside backups (3).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod killed;
mod odd_disk;
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use axigen_store::backend::Memory;
use axigen_store::pack::Packs;
use axigen_store::store::{BackupStage, Engine, RestoreOptions, Space};
use axigen_store::{AccountId, Error, Store};
use futures_util::future::join_all;
use tempfile::TempDir;

use odd_disk::Odd;
use world::*;

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
