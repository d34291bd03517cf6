//! Blobs: parts, single instance, references.

use bytes::Bytes;

use super::{Dice, ONE, Outcome, Subject, Wrong, add, batch, counter, ensure, same};
use crate::batch::Op;
use crate::blob::{BlobIn, BlobRef};
use crate::error::{Error, Result};
use crate::store::Store;

async fn put(store: &Store, content: impl Into<Bytes>) -> Result<BlobRef, Wrong> {
    let blob = BlobIn {
        bytes: content.into(),
        label: Bytes::from_static(b"label"),
    };
    let refs = store.put(vec![blob]).await?;
    refs.into_iter()
        .next()
        .ok_or_else(|| Wrong("put gave nothing".into()))
}

/// Text and noise in turns, so that some of it can be compressed.
fn content(dice: &mut Dice, len: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(len + 1000);
    while content.len() < len {
        let noise = dice.below(900) as usize;
        content.extend(dice.noise(noise));
        let line = format!("Subject: what goes in comes out, {noise}\r\n");
        content.extend(line.repeat(dice.below(40) as usize).bytes());
    }
    content.truncate(len);
    content
}

pub(super) async fn parts(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let mut dice = Dice(1);
    let mut blobs = Vec::new();
    for len in [
        0, 1, 7, 600, 1024, 5_000, 70_000, 262_143, 262_144, 262_145, 1_500_000,
    ] {
        let content = content(&mut dice, len);
        let blob = put(&store, content.clone()).await?;
        same("the length", blob.len, len as u64)?;
        let hash = *blake3::hash(&content).as_bytes();
        same("the address", blob.hash, hash)?;
        // One in three is never retained and must be readable all the same.
        if len % 3 != 0 {
            store
                .commit(batch(ONE, vec![Op::Retain(blob.clone())]))
                .await?;
        }
        blobs.push((blob, content));
    }
    let noise = dice.noise(400_000);
    blobs.push((put(&store, noise.clone()).await?, noise));
    for (blob, content) in &blobs {
        let len = blob.len;
        let mut ranges = vec![0..len, 0..u64::MAX, len..len + 9, u64::MAX - 1..u64::MAX];
        for _ in 0..12 {
            let start = dice.below(len + 1);
            ranges.push(start..start + dice.below(len + 1 - start));
            ranges.push(start..start + 1);
        }
        for frame in (0..len).step_by(262_144) {
            ranges.push(frame.saturating_sub(1)..frame + 1);
            ranges.push(frame..frame + 262_144);
        }
        for range in ranges {
            let got = store.read(blob, range.clone()).await?;
            let wanted = range.start.min(len) as usize..range.end.min(len) as usize;
            ensure(got == content[wanted], || {
                format!("{range:?} of a blob of {len} bytes is wrong")
            })?;
        }
    }
    let nowhere = BlobRef {
        hash: [1; 32],
        len: 5,
    };
    let result = store.read(&nowhere, 0..5).await;
    ensure(matches!(result, Err(Error::NotFound)), || {
        format!("{result:?}")
    })?;
    let long = BlobIn {
        bytes: Bytes::new(),
        label: vec![0; 70_000].into(),
    };
    let result = store.put(vec![long]).await;
    ensure(matches!(result, Err(Error::TooLarge(_))), || {
        format!("{result:?}")
    })
}

pub(super) async fn single_instance(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let mut dice = Dice(2);
    for len in [100, 30_000] {
        let content = Bytes::from(dice.noise(len));
        let first = put(&store, content.clone()).await?;
        let written = store.stat().blobs;
        same(
            "put again, pending",
            put(&store, content.clone()).await?,
            first.clone(),
        )?;
        store
            .commit(batch(ONE, vec![Op::Retain(first.clone())]))
            .await?;
        same(
            "put again, retained",
            put(&store, content.clone()).await?,
            first.clone(),
        )?;
        same("what that wrote", store.stat().blobs, written)?;
        same("its bytes", store.read(&first, 0..u64::MAX).await?, content)?;
    }
    let shared = Bytes::from(dice.noise(50_000));
    let before = store.stat().blobs.bytes;
    let puts = (0..16).map(|_| put(&store, shared.clone()));
    for blob in futures_util::future::join_all(puts).await {
        let got = store.read(&blob?, 0..u64::MAX).await?;
        ensure(got == shared, || "a blob put by many at once".into())?;
    }
    let written = store.stat().blobs.bytes - before;
    ensure(written < 2 * shared.len() as u64, || {
        format!("a blob put by many at once was written more than once: {written} bytes")
    })?;
    let twice = [1, 2, 1].map(|n| BlobIn {
        bytes: vec![n; 3000 * usize::from(n)].into(),
        label: Bytes::new(),
    });
    let refs = store.put(twice.to_vec()).await?;
    same(
        "addresses in order",
        refs.iter().map(|b| b.len).collect(),
        vec![3000, 6000, 3000],
    )
}

pub(super) async fn references(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let mut dice = Dice(3);
    for len in [200, 40_000] {
        let content = Bytes::from(dice.noise(len));
        let unknown = BlobRef {
            hash: *blake3::hash(&content).as_bytes(),
            len: len as u64,
        };
        let not_found = |result: Result<_>| {
            ensure(matches!(result, Err(Error::NotFound)), || {
                format!("{result:?}")
            })
        };
        not_found(
            store
                .commit(batch(ONE, vec![Op::Retain(unknown.clone())]))
                .await,
        )?;
        not_found(store.commit(batch(ONE, vec![Op::Release(unknown)])).await)?;
        let blob = put(&store, content.clone()).await?;
        let retain = || Op::Retain(blob.clone());
        let release = || Op::Release(blob.clone());
        // A batch that fails counts no reference.
        let failing = Op::Add {
            key: "n".into(),
            delta: -1,
            min: Some(0),
            max: None,
            slot: None,
        };
        let result = store.commit(batch(ONE, vec![retain(), failing])).await;
        ensure(result.is_err(), || "a bound was not kept".into())?;
        not_found(store.commit(batch(ONE, vec![release()])).await)?;
        store
            .commit(batch(ONE, vec![retain(), retain(), add("done", 1)]))
            .await?;
        store
            .commit(batch(ONE, vec![release(), retain(), release()]))
            .await?;
        store.commit(batch(ONE, vec![release()])).await?;
        not_found(
            store
                .commit(batch(ONE, vec![add("done", 1), release()]))
                .await,
        )?;
        // Without references, and yet a new put and a new reference find it.
        same(
            "put after the last release",
            put(&store, content.clone()).await?,
            blob.clone(),
        )?;
        store.commit(batch(ONE, vec![retain()])).await?;
        same("its bytes", store.read(&blob, 0..u64::MAX).await?, content)?;
    }
    same("batches done", counter(&store, ONE, "done").await?, 2)?;
    let space = store.space().await?;
    same("blobs referred to", space.blobs, 2)
}
