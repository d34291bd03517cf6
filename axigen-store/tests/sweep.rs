//! Space comes back, and nothing that is wanted goes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::time::Duration;

use axigen_store::blob::{Note, SweepOptions};
use axigen_store::store::Options;
use axigen_store::{AccountId, Batch, BlobIn, BlobRef, Op, Part, Store};
use bytes::Bytes;
use tempfile::TempDir;

const ONE: AccountId = AccountId(1);

fn at_once() -> SweepOptions {
    let mut options = SweepOptions::default();
    options.grace = Duration::ZERO;
    options.rate = u64::MAX;
    options
}

async fn open(dir: &Path) -> Store {
    let mut options = Options::default();
    options.pack = 30_000;
    options.upkeep = Duration::ZERO;
    Store::open_with(dir, options).await.unwrap()
}

/// Text that can be compressed well, and better with more effort.
fn text(n: usize) -> Bytes {
    let mut text = String::new();
    let mut random = blake3::Hasher::new()
        .update(&n.to_be_bytes())
        .finalize_xof();
    while text.len() < 6_000 {
        let mut word = [0];
        random.fill(&mut word);
        text += [
            "please ",
            "regards ",
            "attached ",
            "invoice ",
            "meeting ",
            "42 ",
            "x",
        ][usize::from(word[0]) % 7];
    }
    text.into()
}

async fn put(store: &Store, content: &Bytes) -> BlobRef {
    let blob = BlobIn {
        bytes: content.clone(),
        label: "a label".into(),
        pieces: Vec::new(),
    };
    store.put(vec![blob]).await.unwrap().remove(0)
}

async fn change(store: &Store, op: Op) {
    let part = Part {
        account: ONE,
        ops: vec![op],
        advance: true,
        ..Part::default()
    };
    store.commit(Batch { parts: vec![part] }).await.unwrap();
}

fn packs(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir.join("packs/00"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn packs_are_rewritten_and_removed() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).await;
    let mut blobs = Vec::new();
    for n in 0..300 {
        let content = text(n);
        let blob = put(&store, &content).await;
        change(&store, Op::Retain(blob.clone())).await;
        blobs.push((blob, content));
    }
    let before = store.space().await.unwrap();
    assert_eq!(
        before.dead,
        32 * packs(dir.path()).len() as u64,
        "headers only"
    );
    let mut kept = Vec::new();
    for (n, (blob, content)) in blobs.into_iter().enumerate() {
        // The first packs lose everything, the others two of three.
        if n > 100 && n % 3 == 0 {
            kept.push((blob, content));
        } else {
            change(&store, Op::Release(blob)).await;
        }
    }
    let report = store.sweep(at_once()).await.unwrap();
    assert_eq!(report.forgotten, 300 - kept.len() as u64);
    assert!(report.removed >= 5 && report.moved >= 40, "{report:?}");
    let after = store.space().await.unwrap();
    assert!(after.held * 2 < before.held, "{before:?} {after:?}");
    // Compressed harder by the way.
    assert!(after.live * 100 < before.live * 33, "{before:?} {after:?}");
    assert_eq!(after.blobs, kept.len() as u64);
    for (blob, content) in &kept {
        assert_eq!(store.read(blob, 0..u64::MAX).await.unwrap(), content);
    }
    // There is nothing more to do.
    let report = store.sweep(at_once()).await.unwrap();
    assert_eq!((report.removed, report.moved), (0, 0));
    store.close().await.unwrap();
    let names = packs(dir.path());
    std::fs::write(
        dir.path().join("packs/00/00000000000000ff.pack.new"),
        "half",
    )
    .unwrap();
    let store = open(dir.path()).await;
    let now: Vec<_> = packs(dir.path());
    assert_eq!(now, names, "the half one is removed, nothing else changed");
    for (blob, content) in &kept {
        assert_eq!(store.read(blob, 0..u64::MAX).await.unwrap(), content);
    }
    let more = put(&store, &text(1000)).await;
    change(&store, Op::Retain(more.clone())).await;
    assert_eq!(store.read(&more, 0..u64::MAX).await.unwrap(), text(1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_and_never_retained_goes_after_an_opening() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).await;
    let mut blobs = Vec::new();
    for n in 0..150 {
        blobs.push((put(&store, &text(n)).await, n));
    }
    // They wait for their batches.
    let report = store.sweep(at_once()).await.unwrap();
    assert_eq!(report.removed, 0, "{report:?}");
    change(&store, Op::Retain(blobs[7].0.clone())).await;
    store.close().await.unwrap();
    let store = open(dir.path()).await;
    let report = store.sweep(at_once()).await.unwrap();
    assert!(report.removed >= 1 && report.moved <= 1, "{report:?}");
    let kept = store.read(&blobs[7].0, 0..u64::MAX).await.unwrap();
    assert_eq!(kept, text(7));
    assert!(store.read(&blobs[8].0, 0..u64::MAX).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_pack_is_not_removed() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).await;
    let mut blobs = Vec::new();
    for n in 0..100 {
        let blob = put(&store, &text(n)).await;
        change(&store, Op::Retain(blob.clone())).await;
        blobs.push(blob);
    }
    for blob in &blobs[4..] {
        change(&store, Op::Release(blob.clone())).await;
    }
    let first = dir.path().join("packs/00/0000000000000000.pack");
    let good = std::fs::read(&first).unwrap();
    // One in a header, one in a body.
    let mut bad = good.clone();
    bad[40] ^= 1;
    let second = 32 + usize::from(u16::from_be_bytes([good[46], good[47]])) + 64;
    let payload = u64::from_be_bytes(good[48..56].try_into().unwrap()) as usize;
    bad[(second + payload).next_multiple_of(8) + 64 + 7 + 30] ^= 1;
    std::fs::write(&first, &bad).unwrap();
    let report = store.sweep(at_once()).await.unwrap();
    assert_eq!(report.damaged, 1, "{report:?}");
    assert!(report.removed >= 1 && report.moved == 2, "{report:?}");
    assert!(first.exists());
    for n in [2, 3] {
        assert_eq!(store.read(&blobs[n], 0..u64::MAX).await.unwrap(), text(n));
    }
    assert!(store.read(&blobs[1], 0..u64::MAX).await.is_err());
    // The header is not needed to read.
    assert_eq!(store.read(&blobs[0], 0..u64::MAX).await.unwrap(), text(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_sweeps_by_itself_and_closes_meanwhile() {
    let dir = TempDir::new().unwrap();
    let mut options = Options::default();
    options.pack = 30_000;
    options.upkeep = Duration::from_millis(20);
    options.sweep = at_once();
    let store = Store::open_with(dir.path(), options.clone()).await.unwrap();
    for n in 0..60 {
        let blob = put(&store, &text(n)).await;
        change(&store, Op::Retain(blob.clone())).await;
        change(&store, Op::Release(blob)).await;
    }
    let mut waited = 0;
    while store.space().await.unwrap().unreferenced_blobs > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        waited += 1;
        assert!(waited < 500, "nothing was swept");
    }
    store.close().await.unwrap();
    for _ in 0..20 {
        let store = Store::open_with(dir.path(), options.clone()).await.unwrap();
        let blob = put(&store, &text(1)).await;
        change(&store, Op::Retain(blob.clone())).await;
        change(&store, Op::Release(blob)).await;
        tokio::time::sleep(Duration::from_millis(15)).await;
        store.close().await.unwrap();
    }
}

async fn notes(store: &Store) -> Vec<Bytes> {
    let mut notes = Vec::new();
    let mut from = Some((0, 0));
    while let Some(place) = from {
        let page = store.list_blobs(place, 100).await.unwrap();
        notes.extend(page.notes.into_iter().map(|note| note.bytes));
        from = page.next;
    }
    notes.sort();
    notes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_stays_as_long_as_one_of_its_blobs() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).await;
    let mut blobs = Vec::new();
    for n in 0..40 {
        let blob = put(&store, &text(n)).await;
        change(&store, Op::Retain(blob.clone())).await;
        blobs.push(blob);
    }
    let note = |about: &[usize], bytes: &'static str| Note {
        about: about.iter().map(|n| blobs[*n].hash).collect(),
        bytes: bytes.into(),
    };
    for note in [
        note(&[], "of none"),
        note(&[1], "of one that goes"),
        note(&[2], "of one that stays"),
        note(&[1, 2], "of both"),
    ] {
        store.note(note).await.unwrap();
    }
    // They are there once something else is.
    let after = put(&store, &text(40)).await;
    change(&store, Op::Retain(after)).await;
    let all = [
        "of both",
        "of none",
        "of one that goes",
        "of one that stays",
    ];
    assert_eq!(notes(&store).await, all);
    // Twice, so that the second rewrites what the first wrote.
    let mut everything = at_once();
    everything.percent = 101;
    everything.tail = true;
    store.sweep(everything.clone()).await.unwrap();
    assert_eq!(notes(&store).await, all);
    for (n, blob) in blobs.iter().enumerate() {
        if n != 2 {
            change(&store, Op::Release(blob.clone())).await;
        }
    }
    for _ in 0..2 {
        let swept = store.sweep(everything.clone()).await.unwrap();
        assert!(swept.removed > 0, "{swept:?}");
    }
    let left = ["of both", "of none", "of one that stays"];
    assert_eq!(notes(&store).await, left);
    store.close().await.unwrap();
    let store = open(dir.path()).await;
    assert_eq!(notes(&store).await, left);
    assert_eq!(store.read(&blobs[2], 0..u64::MAX).await.unwrap(), text(2));
}
