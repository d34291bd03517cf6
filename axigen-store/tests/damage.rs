//! Damaged, cut, locked, foreign and full directories.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use axigen_store::store::Options;
use axigen_store::{AccountId, Batch, BlobIn, BlobRef, Error, Op, Part, Store};
use bytes::Bytes;
use tempfile::TempDir;

const ONE: AccountId = AccountId(1);

fn noise(seed: u8, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    blake3::Hasher::new()
        .update(&[seed])
        .finalize_xof()
        .fill(&mut bytes);
    bytes.into()
}

async fn deliver(store: &Store, content: &Bytes) -> Result<BlobRef, Error> {
    let blob = BlobIn {
        bytes: content.clone(),
        label: "label".into(),
        pieces: Vec::new(),
    };
    let blob = store.put(vec![blob]).await?.remove(0);
    let ops = vec![Op::Retain(blob.clone())];
    let part = Part {
        account: ONE,
        ops,
        advance: true,
        ..Part::default()
    };
    store.commit(Batch { parts: vec![part] }).await?;
    Ok(blob)
}

fn pack(dir: &Path) -> PathBuf {
    dir.join("packs/00/0000000000000000.pack")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_never_served() {
    let dir = TempDir::new().unwrap();
    let contents = [
        noise(1, 3_000),
        Bytes::from(vec![7; 500_000]),
        noise(3, 300_000),
    ];
    let store = Store::open(dir.path()).await.unwrap();
    let mut blobs = Vec::new();
    for content in &contents {
        blobs.push(deliver(&store, content).await.unwrap());
    }
    let good = fs::read(pack(dir.path())).unwrap();
    let (mut refused, mut served) = (0, 0);
    for n in 0..1200 {
        // All bits of the first record, then here and there.
        let bit = if n < 600 { n * 7 } else { n * 131_071 } % (good.len() * 8);
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(pack(dir.path()), &bad).unwrap();
        for (blob, content) in blobs.iter().zip(&contents) {
            for range in [0..u64::MAX, 100..200, 290_000..299_000] {
                let end = range.end.min(blob.len) as usize;
                let wanted = content.slice((range.start as usize).min(end)..end);
                match store.read(blob, range).await {
                    Ok(got) => {
                        assert!(got == wanted, "bit {bit} was served");
                        served += 1;
                    }
                    Err(Error::Corrupt(_)) => refused += 1,
                    Err(error) => panic!("bit {bit}: {error}"),
                }
            }
        }
    }
    assert!(
        refused > 500 && served > 500,
        "refused {refused}, served {served}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_lost_its_end_serves_the_rest() {
    let dir = TempDir::new().unwrap();
    let contents = [noise(1, 3_000), noise(2, 3_000), noise(3, 3_000)];
    let store = Store::open(dir.path()).await.unwrap();
    let mut blobs = Vec::new();
    for content in &contents {
        blobs.push(deliver(&store, content).await.unwrap());
    }
    store.close().await.unwrap();
    let good = fs::read(pack(dir.path())).unwrap();
    fs::write(pack(dir.path()), &good[..good.len() - 1]).unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    for (blob, content) in blobs.iter().zip(&contents).take(2) {
        assert_eq!(store.read(blob, 0..u64::MAX).await.unwrap(), content);
    }
    let lost = store.read(&blobs[2], 0..u64::MAX).await;
    assert!(matches!(lost, Err(Error::Corrupt(_))), "{lost:?}");
    let more = deliver(&store, &noise(4, 3_000)).await.unwrap();
    assert_eq!(
        store.read(&more, 0..u64::MAX).await.unwrap(),
        noise(4, 3_000)
    );
    // Another record lies there now, and is not taken for the lost one.
    let lost = store.read(&blobs[2], 0..u64::MAX).await;
    assert!(matches!(lost, Err(Error::Corrupt(_))), "{lost:?}");
    store.close().await.unwrap();
    fs::remove_file(pack(dir.path())).unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let lost = store.read(&blobs[0], 0..u64::MAX).await;
    assert!(matches!(lost, Err(Error::Corrupt(what)) if what.contains("missing")));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_at_a_time() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let second = Store::open(dir.path()).await.unwrap_err();
    assert!(matches!(second, Error::Locked(_)));
    let text = second.to_string();
    assert!(
        text.contains("in use by another process") && text.contains(dir.path().to_str().unwrap())
    );
    let id = fs::read_to_string(dir.path().join("store.id")).unwrap();
    assert_eq!(id.len(), 37);
    store.close().await.unwrap();
    let again = Store::open(dir.path()).await.unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("store.id")).unwrap(), id);
    drop(again);
    Store::open(dir.path()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_and_future_directories_are_left_alone() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("holiday.jpg"), "x").unwrap();
    let error = Store::open(dir.path()).await.unwrap_err().to_string();
    assert!(error.contains("holiday.jpg"), "{error}");
    let dir = TempDir::new().unwrap();
    Store::open(dir.path())
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    fs::write(dir.path().join("FORMAT"), "axigen store, layout 9\n").unwrap();
    let error = Store::open(dir.path()).await.unwrap_err().to_string();
    assert!(
        error.contains("layout 9") && error.contains("layout 3"),
        "{error}"
    );
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    deliver(&store, &noise(1, 5000)).await.unwrap();
    store.close().await.unwrap();
    // A store whose parts are missing is not taken for a new one.
    fs::rename(dir.path().join("meta"), dir.path().join("gone")).unwrap();
    let error = Store::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt(what) if what.contains("is missing")));
    fs::rename(dir.path().join("gone"), dir.path().join("meta")).unwrap();
    fs::remove_file(dir.path().join("FORMAT")).unwrap();
    let error = Store::open(dir.path()).await.unwrap_err().to_string();
    assert!(error.contains("part of the store is missing"), "{error}");
    // One whose making was broken off is made again.
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    store.close().await.unwrap();
    fs::remove_file(dir.path().join("FORMAT")).unwrap();
    Store::open(dir.path()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_device_refuses_and_goes_on() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let blob = deliver(&store, &noise(1, 5000)).await.unwrap();
    store.close().await.unwrap();
    let mut options = Options::default();
    // More than any device has free.
    options.reserve = u64::MAX;
    let store = Store::open_with(dir.path(), options).await.unwrap();
    for _ in 0..3 {
        let result = deliver(&store, &noise(2, 5000)).await;
        assert!(matches!(result, Err(Error::Full)), "{result:?}");
        let short = deliver(&store, &noise(3, 50)).await;
        assert!(matches!(short, Err(Error::Full)), "{short:?}");
    }
    assert_eq!(
        store.read(&blob, 0..u64::MAX).await.unwrap(),
        noise(1, 5000)
    );
    assert_eq!(store.seq(ONE).await.unwrap(), 1);
    store.close().await.unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    deliver(&store, &noise(2, 5000)).await.unwrap();
    assert_eq!(store.seq(ONE).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_writers_share_their_syncs() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let writers: Vec<_> = (0..50u8)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..20usize {
                    let content = [noise(writer, 3000), n.to_string().into()].concat();
                    deliver(&store, &content.into()).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let stat = store.stat();
    assert_eq!((stat.batches, stat.puts), (1000, 1000));
    assert_eq!(
        (stat.meta.syncs, stat.blobs.syncs),
        (stat.commit_groups, stat.put_groups)
    );
    assert!(stat.meta.syncs + stat.blobs.syncs < 1000, "{stat:?}");
    assert!(stat.largest_commit_group > 3, "{stat:?}");
}
