//! The power goes while the metadata are written: of the last batch, any part
//! may be on the disk, in any order. The store opens with everything that was
//! acknowledged, and without any of the rest.
//!
//! And the other way round: what was acknowledged and is torn all the same is
//! an error, and the file is left as it is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axigen_store::store::Options;
use axigen_store::{AccountId, Batch, Error, Op, Part, Store};
use bytes::Bytes;
use tempfile::TempDir;

const ONE: AccountId = AccountId(1);
/// What a disk writes at once.
const SECTOR: usize = 512;

async fn open(dir: &Path) -> Result<Store, Error> {
    let mut options = Options::default();
    options.reserve = 0;
    options.upkeep = Duration::ZERO;
    Store::open_with(dir, options).await
}

fn value(number: usize) -> Bytes {
    let mut bytes = vec![0; 3_000];
    blake3::Hasher::new()
        .update(&number.to_be_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes.into()
}

async fn write(store: &Store, number: usize) {
    let set = |part: usize| Op::Set {
        key: Bytes::from(format!("{number:04}/{part}")).into(),
        val: value(number * 10 + part).into(),
    };
    let part = Part {
        account: ONE,
        ops: (0..3).map(set).collect(),
        advance: true,
        ..Part::default()
    };
    store.commit(Batch { parts: vec![part] }).await.unwrap();
}

/// So many batches are there, whole.
async fn holds(store: &Store, batches: usize) {
    let rows = store.scan(ONE, "".into(), "z".into()).await.unwrap();
    assert_eq!(store.seq(ONE).await.unwrap() as usize, batches);
    assert_eq!(rows.len(), batches * 3);
    for (at, (key, found)) in rows.iter().enumerate() {
        let (number, part) = (at / 3, at % 3);
        assert_eq!(key, &Bytes::from(format!("{number:04}/{part}")));
        assert_eq!(found, &value(number * 10 + part));
    }
}

struct Files {
    _dir: TempDir,
    path: PathBuf,
    journal: PathBuf,
    note: PathBuf,
    /// The journal with the last batch, cut where its content ends.
    whole: Vec<u8>,
    /// Where the last batch begins.
    last: usize,
    /// The note of the batch before the last, and the last one.
    notes: [Vec<u8>; 2],
}

fn content(journal: &Path) -> Vec<u8> {
    let mut bytes = fs::read(journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes.truncate(end + 1);
    bytes
}

/// A store with these many batches and one more. Some of them are in a journal
/// that was opened again.
async fn make(batches: usize) -> Files {
    let memory = Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => TempDir::new_in(memory).unwrap(),
        false => TempDir::new().unwrap(),
    };
    let path = dir.path().join("store");
    let store = open(&path).await.unwrap();
    for number in 0..batches / 2 {
        write(&store, number).await;
    }
    store.close().await.unwrap();
    let store = open(&path).await.unwrap();
    for number in batches / 2..batches {
        write(&store, number).await;
    }
    let journals = fs::read_dir(path.join("meta")).unwrap();
    let mut journals: Vec<PathBuf> = journals
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "jnl"))
        .collect();
    assert_eq!(journals.len(), 1);
    let journal = journals.remove(0);
    let note = path.join("meta/acknowledged");
    let (before, old) = (content(&journal), fs::read(&note).unwrap());
    write(&store, batches).await;
    let (whole, new) = (content(&journal), fs::read(&note).unwrap());
    store.close().await.unwrap();
    assert!(whole.starts_with(&before) && whole.len() > before.len() + 9_000);
    Files {
        path,
        journal,
        note,
        last: before.len(),
        whole,
        notes: [old, new],
        _dir: dir,
    }
}

/// All the ways in which the last batch can be on the disk in part.
fn torn(files: &Files) -> Vec<Vec<u8>> {
    let (whole, last) = (&files.whole, files.last);
    let mut torn = Vec::new();
    // Cut, with and without the zeros of a file that is longer.
    for at in (last..whole.len()).step_by(97).chain(last..last + 40) {
        torn.push(whole[..at].to_vec());
        torn.push([&whole[..at], &[0; 5_000]].concat());
    }
    for at in whole.len() - 40..whole.len() {
        torn.push(whole[..at].to_vec());
    }
    // Some sectors are written, others not.
    let sectors = (whole.len() - last) / SECTOR + 1;
    for seed in 0..200u64 {
        let mut bytes = whole.clone();
        let mut lost = 0;
        for sector in 0..sectors {
            let from = last.next_multiple_of(SECTOR) - SECTOR + sector * SECTOR;
            let (from, to) = (from.max(last), (from + SECTOR).min(whole.len()));
            let chosen =
                blake3::hash(&[seed.to_be_bytes(), (sector as u64).to_be_bytes()].concat());
            let kept = match seed {
                // One is missing; all but one; any.
                0..50 => sector as u64 % 50 != seed,
                50..80 => sector as u64 % 30 == seed - 50,
                _ => chosen.as_bytes()[0] < 128,
            };
            if !kept && from < to && bytes[from..to].iter().any(|byte| *byte != 0) {
                bytes[from..to].fill(0);
                lost += 1;
            }
        }
        if lost > 0 {
            torn.push(bytes);
        }
    }
    torn
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_batch_is_cut_and_nothing_else() {
    let files = make(9).await;
    let torn = torn(&files);
    assert!(torn.len() > 400, "{}", torn.len());
    for bytes in torn {
        // The note of the batch before, or none that got to the disk.
        for note in [&files.notes[0][..], &[]] {
            fs::write(&files.journal, &bytes).unwrap();
            fs::write(&files.note, note).unwrap();
            let store = open(&files.path).await.expect("it opens");
            holds(&store, 9).await;
            write(&store, 9).await;
            store.close().await.unwrap();
            drop(store);
            let store = open(&files.path).await.unwrap();
            holds(&store, 10).await;
            store.close().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_never_cut() {
    let files = make(9).await;
    for bytes in torn(&files).into_iter().step_by(7) {
        fs::write(&files.journal, &bytes).unwrap();
        fs::write(&files.note, &files.notes[1]).unwrap();
        let error = open(&files.path).await.unwrap_err();
        assert!(matches!(&error, Error::Corrupt(_)), "{error}");
        let last = files.whole.len() - files.last;
        if bytes.len() > files.last && bytes[files.last..].iter().any(|byte| *byte != 0) {
            let said = error.to_string();
            assert!(
                said.contains(".jnl") && said.contains("acknowledged"),
                "{said}"
            );
            assert_eq!(fs::read(&files.journal).unwrap(), bytes, "{last}");
        }
    }
    // Damage that has something behind it.
    for at in (0..files.last).step_by(411) {
        let mut bytes = files.whole.clone();
        bytes[at] ^= 4;
        fs::write(&files.journal, &bytes).unwrap();
        fs::write(&files.note, b"").unwrap();
        let error = open(&files.path).await.unwrap_err();
        assert!(
            matches!(&error, Error::Corrupt(what) if what.contains(".jnl")),
            "{at}: {error}"
        );
        assert_eq!(fs::read(&files.journal).unwrap(), bytes);
    }
    fs::write(&files.journal, &files.whole).unwrap();
    let store = open(&files.path).await.unwrap();
    holds(&store, 10).await;
}
