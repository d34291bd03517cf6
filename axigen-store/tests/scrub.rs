//! The scrub reads everything, a turn at a time, and says what is damaged.
#![allow(clippy::unwrap_used, clippy::field_reassign_with_default)]

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use axigen_store::blob::{BlobIn, BlobRef, Piece, Recipe};
use axigen_store::store::{Options, ScrubOptions};
use axigen_store::{AccountId, Batch, Op, Part, Store};

fn options() -> Options {
    let mut options = Options::default();
    options.upkeep = Duration::ZERO;
    options.reserve = 0;
    options
}

/// No pause, and all of it in one turn.
fn quick() -> ScrubOptions {
    let mut scrub = ScrubOptions::default();
    scrub.rate = u64::MAX;
    scrub
}

fn noise(n: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&n.to_be_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// Blobs of every kind: short in their rows, in packs, put together.
async fn fill(store: &Store, count: u64) -> Vec<BlobRef> {
    let blob = |n: u64| match n % 3 {
        0 => BlobIn::new(noise(n, 40), ""),
        1 => BlobIn::new(noise(n, 3000), "a label"),
        _ => {
            let mut blob = BlobIn::new(noise(n, 50_000), "a label");
            blob.pieces = vec![Piece {
                range: 1000..40_000,
                recipe: Recipe::Plain,
                apart: true,
            }];
            blob
        }
    };
    let refs = store.put((0..count).map(blob).collect()).await.unwrap();
    let part = Part {
        account: AccountId(1),
        ops: refs.iter().cloned().map(Op::Retain).collect(),
        ..Part::default()
    };
    store.commit(Batch { parts: vec![part] }).await.unwrap();
    refs
}

fn pack(dir: &Path) -> std::path::PathBuf {
    dir.join("packs/00/0000000000000000.pack")
}

#[tokio::test]
async fn everything_is_read_a_turn_at_a_time_across_openings() {
    let dir = tempfile::TempDir::new().unwrap();
    let store = Store::open_with(dir.path(), options()).await.unwrap();
    let refs = fill(&store, 300).await;
    // 300, and 100 parts.
    let whole = store.scrub(quick()).await.unwrap();
    assert_eq!((whole.blobs, whole.damaged_count), (400, 0));
    assert!(whole.whole && whole.bytes > 100 * 50_000);
    let ended = store.scrubbed().await.unwrap();
    assert_eq!((ended.began, ended.blobs, ended.damaged), (0, 400, 0));
    assert!(ended.ended > 0);
    // Turns that are over at once read a page each.
    let mut short = quick();
    short.turn = Duration::ZERO;
    let first = store.scrub(short.clone()).await.unwrap();
    assert!(!first.whole && first.blobs < 400);
    store.close().await.unwrap();
    drop(store);
    let store = Store::open_with(dir.path(), options()).await.unwrap();
    let so_far = store.scrubbed().await.unwrap();
    assert!(so_far.began > 0);
    assert_eq!((so_far.blobs, so_far.ended), (first.blobs, ended.ended));
    let mut blobs = first.blobs;
    loop {
        let turn = store.scrub(short.clone()).await.unwrap();
        blobs += turn.blobs;
        if turn.whole {
            break;
        }
    }
    assert_eq!(blobs, 400);
    // What is gone is not missed.
    let part = Part {
        account: AccountId(1),
        ops: refs.into_iter().map(Op::Release).collect(),
        ..Part::default()
    };
    store.commit(Batch { parts: vec![part] }).await.unwrap();
    assert_eq!(store.scrub(quick()).await.unwrap().damaged_count, 0);
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_is_damaged_is_named_and_the_rest_goes_on() {
    let dir = tempfile::TempDir::new().unwrap();
    let store = Store::open_with(dir.path(), options()).await.unwrap();
    let refs = fill(&store, 60).await;
    store.close().await.unwrap();
    drop(store);
    // Three bytes, far from each other.
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(pack(dir.path()))
        .unwrap();
    let len = file.metadata().unwrap().len();
    for part in [1, 2, 3] {
        let at = len * part / 4;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    }
    file.sync_all().unwrap();
    let store = Store::open_with(dir.path(), options()).await.unwrap();
    let report = store.scrub(quick()).await.unwrap();
    assert!(report.whole);
    assert_eq!(report.blobs, 80);
    assert_eq!(report.damaged_count, 3, "{report:?}");
    assert_eq!(store.stat().damaged, 3);
    assert_eq!(store.scrubbed().await.unwrap().damaged, 3);
    // Every blob that cannot be read is one of these, or has one as its part.
    let damaged: BTreeSet<_> = report.damaged.iter().collect();
    let mut unreadable = 0;
    for blob in &refs {
        let read = store.read(blob, 0..u64::MAX).await;
        assert!(read.is_err() || !damaged.contains(&blob.hash));
        unreadable += u64::from(read.is_err());
    }
    // A blob and its part may both have been hit: then one fewer cannot be read.
    assert!((2..=3).contains(&unreadable), "{unreadable}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_store_does_it_by_itself_and_keeps_to_its_rate() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut with = options();
    with.upkeep = Duration::from_millis(20);
    let store = Store::open_with(dir.path(), with).await.unwrap();
    fill(&store, 60).await;
    let wait = async {
        while store.scrubbed().await.unwrap().ended == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait)
        .await
        .unwrap();
    // Not again for a week.
    let ended = store.scrubbed().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(store.scrubbed().await.unwrap(), ended);
    // A slow one is broken off when the store is closed.
    let mut slow = quick();
    slow.rate = 1;
    let other = store.clone();
    let scrub = tokio::spawn(async move { other.scrub(slow).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    store.close().await.unwrap();
    let broken_off = tokio::time::timeout(Duration::from_secs(30), scrub).await;
    // Closed, or done before: 80 blobs are two pages.
    assert!(broken_off.unwrap().unwrap().is_err());
}
