//! kill -9, at every report of a backup and of a restore, and at any moment.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axigen_store::store::{Engine, RestoreOptions};
use axigen_store::{Error, Store};
use tempfile::TempDir;

use super::world::*;

const DIR: &str = "AXIGEN_BACKUP_DIR";
const WHAT: &str = "AXIGEN_BACKUP_WHAT";
/// At which report the child ends itself.
const AT: &str = "AXIGEN_BACKUP_AT";

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
        .args([
            "killed::child",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
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
