//! Blobs: parts, single instance, references.

use std::time::Duration;

use bytes::Bytes;

use super::{Dice, ONE, Outcome, Subject, Wrong, add, batch, counter, ensure, same};
use crate::batch::Op;
use crate::blob::{BlobIn, BlobRef, Piece, Recipe, SweepOptions};
use crate::error::{Error, Result};
use crate::store::{Store, TrainOptions};

async fn put(store: &Store, content: impl Into<Bytes>) -> Result<BlobRef, Wrong> {
    let blob = BlobIn {
        bytes: content.into(),
        label: Bytes::from_static(b"label"),
        pieces: Vec::new(),
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
        pieces: Vec::new(),
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
        let again = || async {
            // A label would be noted.
            let refs = store.put(vec![BlobIn::new(content.clone(), "")]).await?;
            Ok::<_, Wrong>(refs.into_iter().next().unwrap_or_else(|| first.clone()))
        };
        same("put again, pending", again().await?, first.clone())?;
        store
            .commit(batch(ONE, vec![Op::Retain(first.clone())]))
            .await?;
        same("put again, retained", again().await?, first.clone())?;
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
        pieces: Vec::new(),
    });
    let refs = store.put(twice.to_vec()).await?;
    same(
        "addresses in order",
        refs.iter().map(|b| b.len).collect(),
        vec![3000, 6000, 3000],
    )
}

/// Bytes in base64, 76 to a line.
fn base64(bytes: &[u8]) -> Vec<u8> {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines = text.as_bytes().chunks(76);
    lines.flat_map(|line| [line, b"\r\n"].concat()).collect()
}

/// Content around an attachment, and where that is.
fn around(attachment: &[u8], before: &[u8], after: &[u8]) -> (Bytes, Piece) {
    let text = base64(attachment);
    let range = before.len()..before.len() + text.len();
    let recipe = Recipe::Base64 {
        line: 76,
        crlf: true,
        ended: true,
    };
    let content = [before, &text, after].concat().into();
    let apart = true;
    let piece = Piece {
        range,
        recipe,
        apart,
    };
    (content, piece)
}

async fn put_cut(store: &Store, bytes: &Bytes, pieces: Vec<Piece>) -> Result<BlobRef, Wrong> {
    let blob = BlobIn {
        bytes: bytes.clone(),
        label: Bytes::from_static(b"label"),
        pieces,
    };
    let refs = store.put(vec![blob]).await?;
    refs.into_iter()
        .next()
        .ok_or_else(|| Wrong("put gave nothing".into()))
}

async fn same_ranges(store: &Store, dice: &mut Dice, blob: &BlobRef, content: &Bytes) -> Outcome {
    let mut ranges = vec![0..u64::MAX, 0..1, blob.len - 1..blob.len];
    for _ in 0..30 {
        let start = dice.below(blob.len);
        ranges.push(start..start + 1 + dice.below([3, 900, 200_000][start as usize % 3]));
    }
    for range in ranges {
        let got = store.read(blob, range.clone()).await?;
        let wanted = range.start as usize..range.end.min(blob.len) as usize;
        ensure(got == content[wanted], || format!("{range:?} is wrong"))?;
        let (mut at, mut made) = (range.start, Vec::new());
        for stretch in store.read_kept(blob, range.clone()).await? {
            ensure(stretch.start == at, || {
                format!("{range:?} as kept: {at} is missing")
            })?;
            at = stretch.end();
            made.extend_from_slice(&stretch.content());
        }
        ensure(got == made, || format!("{range:?} as kept is wrong"))?;
    }
    Ok(())
}

pub(super) async fn pieces(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let mut dice = Dice(5);
    let attachment = dice.noise(310_001);
    let text = content(&mut dice, 70_000);
    let mut blobs = Vec::new();
    let mut written = Vec::new();
    for n in 0..4u8 {
        let before = content(&mut dice, 500 + usize::from(n));
        let (mut content, piece) = around(&attachment, &before, b"\r\n--boundary\r\n");
        let start = content.len();
        content = [&content[..], &text, b"end"].concat().into();
        let plain = Piece {
            range: start..start + text.len(),
            recipe: Recipe::Plain,
            apart: true,
        };
        let before = store.stat().blobs.bytes;
        let blob = put_cut(&store, &content, vec![piece, plain]).await?;
        // Half of them are read before a batch retains them.
        if n % 2 == 0 {
            same_ranges(&store, &mut dice, &blob, &content).await?;
        }
        store
            .commit(batch(ONE, vec![Op::Retain(blob.clone())]))
            .await?;
        written.push(store.stat().blobs.bytes - before);
        same_ranges(&store, &mut dice, &blob, &content).await?;
        blobs.push((blob, content));
    }
    // A store that counts what it writes wrote the attachment once.
    ensure(written[1..].iter().all(|bytes| *bytes < 20_000), || {
        format!("pieces were written again: {written:?}")
    })?;
    let space = store.space().await?;
    same("blobs", space.blobs, 6)?;
    same("references of the caller", space.references, 4)?;
    let raw: u64 = blobs.iter().map(|(blob, _)| blob.len).sum();
    same("raw bytes", space.raw, raw)?;
    ensure(space.deduplicated < raw / 3, || format!("{space:?}"))?;
    // The attachment by itself is the same blob.
    let alone = put(&store, attachment.clone()).await?;
    let got = store.read(&alone, 0..u64::MAX).await?;
    ensure(got == attachment, || "the attachment alone".into())?;
    // A blob made of pieces as a piece: nothing is ever two steps away.
    let (first, content) = blobs[0].clone();
    let (outer, mut piece) = around(&content, b"forwarded\r\n", b"--\r\n");
    let nested = put_cut(&store, &outer, vec![piece.clone()]).await?;
    same_ranges(&store, &mut dice, &nested, &outer).await?;
    // A recipe that does not fit, and pieces that make no sense.
    piece.range.start += 1;
    let odd = Bytes::from([&outer[..], b"!"].concat());
    let blob = put_cut(&store, &odd, vec![piece.clone()]).await?;
    same_ranges(&store, &mut dice, &blob, &odd).await?;
    piece.range.end = odd.len() + 1;
    let result = put_cut(
        &store,
        &Bytes::from([&odd[..], b"?"].concat()),
        vec![piece.clone(), piece],
    )
    .await;
    ensure(result.is_err(), || "pieces upon each other".into())?;
    // The pieces stay as long as anything is made of them.
    store.sweep(at_once()).await?;
    for (blob, _) in &blobs[1..] {
        let gone = batch(ONE, vec![Op::Release(blob.clone())]);
        store.commit(gone).await?;
    }
    let report = store.sweep(at_once()).await?;
    same("forgotten", report.forgotten, 3)?;
    same_ranges(&store, &mut dice, &first, &content).await?;
    store.commit(batch(ONE, vec![Op::Release(first)])).await?;
    // The attachment was put by itself and waits for its batch.
    store
        .commit(batch(ONE, vec![Op::Retain(alone.clone())]))
        .await?;
    store.sweep(at_once()).await?;
    store.sweep(at_once()).await?;
    let space = store.space().await?;
    same(
        "blobs left",
        (space.blobs, space.unreferenced_blobs),
        (1, 0),
    )?;
    let got = store.read(&alone, 0..u64::MAX).await?;
    ensure(got == attachment, || "the attachment at the end".into())
}

/// Short parts in base64 are kept decoded among the blob's own bytes, beside
/// parts that are blobs.
pub(super) async fn pieces_within(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let mut dice = Dice(7);
    let attachment = dice.noise(40_000);
    let mut contents = Vec::new();
    for len in [1, 56, 57, 3_000, 20_000, 300_000] {
        let text = content(&mut dice, len);
        let (first, mut one) = around(&text, b"head\r\n", b"\r\n--b\r\n");
        one.apart = false;
        let (second, mut two) = around(&text[..len.div_ceil(2)], &first, b"\r\n--b\r\n");
        two.apart = false;
        let (third, apart) = around(&attachment, &second, b"\r\n--b--\r\n");
        for pieces in [
            vec![one.clone()],
            vec![one.clone(), two.clone()],
            vec![one, two, apart],
        ] {
            let content = match pieces.len() {
                1 => first.clone(),
                2 => second.clone(),
                _ => third.clone(),
            };
            let blob = put_cut(&store, &content, pieces).await?;
            let retain = Op::Retain(blob.clone());
            store.commit(batch(ONE, vec![retain])).await?;
            same_ranges(&store, &mut dice, &blob, &content).await?;
            contents.push((blob, content));
        }
    }
    let space = store.space().await?;
    same("blobs", space.blobs, contents.len() as u64 + 1)?;
    // Not base64 to its end, and so kept as it is.
    let (odd, mut piece) = around(b"text of some length", b"head", b"*");
    piece.range.end += 1;
    piece.apart = false;
    let blob = put_cut(&store, &odd, vec![piece]).await?;
    same_ranges(&store, &mut dice, &blob, &odd).await?;
    // A blob like these as a piece of another.
    for (blob, content) in contents {
        let (outer, piece) = around(&content, b"outer", b"");
        let outer_blob = put_cut(&store, &outer, vec![piece]).await?;
        same_ranges(&store, &mut dice, &outer_blob, &outer).await?;
        store.commit(batch(ONE, vec![Op::Release(blob)])).await?;
    }
    Ok(())
}

/// A blob store that keeps dictionaries keeps them for good; one that keeps
/// none says so.
pub(super) async fn own_dictionary(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let text = |n: u32| format!("zeppelin::{n}::quartz::oyster::{}::lantern::violin", n * 7);
    let mut refs = Vec::new();
    for n in 0..600 {
        let blob = put(&store, text(n)).await?;
        store
            .commit(batch(ONE, vec![Op::Retain(blob.clone())]))
            .await?;
        refs.push(blob);
    }
    match store.train(TrainOptions::default()).await {
        Err(Error::Invalid(_)) => return Ok(()),
        trained => ensure(trained?.kept.is_some(), || "no dictionary was kept".into())?,
    }
    for n in 600..700 {
        let blob = put(&store, text(n)).await?;
        store
            .commit(batch(ONE, vec![Op::Retain(blob.clone())]))
            .await?;
        refs.push(blob);
    }
    let options = SweepOptions {
        percent: 101,
        tail: true,
        ..SweepOptions::default()
    };
    store.sweep(options).await?;
    for (n, blob) in (0..).zip(&refs) {
        let read = store.read(blob, 0..u64::MAX).await?;
        same("a blob", read, Bytes::from(text(n)))?;
    }
    Ok(())
}

/// The same content comes as a piece and as a whole at the same moment.
pub(super) async fn pieces_by_many(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let mut dice = Dice(6);
    for round in 0..40 {
        let attachment = Bytes::from(dice.noise(40_000));
        let (inner, piece) = around(&attachment, format!("inner {round}").as_bytes(), b"--");
        let (outer, whole) = around(&inner, format!("outer {round}").as_bytes(), b"--");
        let puts = (0..8).map(|n| {
            let (store, inner, outer) = (store.clone(), inner.clone(), outer.clone());
            let (piece, whole) = (piece.clone(), whole.clone());
            async move {
                let blob = match n % 2 {
                    0 => put_cut(&store, &inner, vec![piece]).await?,
                    _ => put_cut(&store, &outer, vec![whole]).await?,
                };
                store
                    .commit(batch(ONE, vec![Op::Retain(blob.clone())]))
                    .await?;
                let got = store.read(&blob, 0..u64::MAX).await?;
                let wanted = if n % 2 == 0 { inner } else { outer };
                ensure(got == wanted, || "put by many at once".into())?;
                Ok::<_, Wrong>(blob)
            }
        });
        let puts = puts.map(tokio::spawn);
        for blob in futures_util::future::join_all(puts).await {
            let blob = blob.map_err(|error| Wrong(error.to_string()))??;
            store.commit(batch(ONE, vec![Op::Release(blob)])).await?;
        }
    }
    for _ in 0..3 {
        store.sweep(at_once()).await?;
    }
    let space = store.space().await?;
    same(
        "blobs left",
        (space.blobs, space.unreferenced_blobs),
        (0, 0),
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

/// What a sweep is asked in these tests: nothing waits for a day.
pub(super) fn at_once() -> SweepOptions {
    SweepOptions {
        grace: Duration::ZERO,
        rate: u64::MAX,
        ..SweepOptions::default()
    }
}

pub(super) async fn sweeping(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let mut dice = Dice(4);
    let mut kept = Vec::new();
    let mut released = Vec::new();
    for n in 0..60u64 {
        let len = [90, 3_000, 20_000, 300_000][n as usize % 4];
        let content = Bytes::from(content(&mut dice, len));
        let blob = put(&store, content.clone()).await?;
        if n % 7 != 6 {
            // One in seven is put and not retained.
            store
                .commit(batch(ONE, vec![Op::Retain(blob.clone())]))
                .await?;
        }
        if n % 7 < 5 {
            released.push((blob, content));
        } else {
            kept.push((blob, content));
        }
    }
    for (blob, _) in &released {
        store
            .commit(batch(ONE, vec![Op::Release(blob.clone())]))
            .await?;
    }
    // Not yet: the last reference went a moment ago.
    let report = store.sweep(SweepOptions::default()).await?;
    same("forgotten too early", report.forgotten, 0)?;
    for (blob, content) in released.iter().chain(&kept) {
        same("a blob", &store.read(blob, 0..u64::MAX).await?, content)?;
    }
    // What is put, or retained, again stays.
    let (again, content) = released.remove(0);
    put(&store, content.clone()).await?;
    kept.push((again, content));
    let (again, content) = released.remove(1);
    store
        .commit(batch(ONE, vec![Op::Retain(again.clone())]))
        .await?;
    kept.push((again, content));
    let held = store.space().await?.held;
    let report = store.sweep(at_once()).await?;
    same("forgotten", report.forgotten, released.len() as u64)?;
    for (blob, content) in &kept {
        same(
            "what is kept",
            &store.read(blob, 0..u64::MAX).await?,
            content,
        )?;
    }
    let (all, _): (Vec<_>, Vec<_>) = kept.iter().cloned().unzip();
    for blob in all {
        store.commit(batch(ONE, vec![Op::Retain(blob)])).await?;
    }
    for (blob, content) in &released {
        let gone = store.read(blob, 0..u64::MAX).await;
        ensure(matches!(gone, Err(Error::NotFound)), || {
            format!("a forgotten blob: {gone:?}")
        })?;
        let retained = store
            .commit(batch(ONE, vec![Op::Retain(blob.clone())]))
            .await;
        ensure(matches!(retained, Err(Error::NotFound)), || {
            format!("a forgotten blob was retained: {retained:?}")
        })?;
        let back = put(&store, content.clone()).await?;
        same("put once more", &back, blob)?;
        store.commit(batch(ONE, vec![Op::Retain(back)])).await?;
        same("its bytes", &store.read(blob, 0..u64::MAX).await?, content)?;
    }
    let space = store.space().await?;
    same("blobs", space.blobs, 60)?;
    same("unreferenced", space.unreferenced_blobs, 0)?;
    ensure(space.held < 2 * held, || {
        format!("{held} bytes became {} by sweeping", space.held)
    })
}

/// Readers and writers do not notice a sweep.
pub(super) async fn sweeping_beside_everything(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let work = (0..6u64).map(|writer| {
        let store = store.clone();
        async move {
            let mut dice = Dice(100 + writer);
            let mut kept: Vec<(BlobRef, Bytes)> = Vec::new();
            for n in 0..60usize {
                let len = [700, 9_000, 30_000][n % 3];
                let content = Bytes::from(dice.noise(len));
                let blob = put(&store, content.clone()).await?;
                tokio::task::yield_now().await;
                store
                    .commit(batch(ONE, vec![Op::Retain(blob.clone())]))
                    .await?;
                kept.push((blob, content));
                if n % 3 != 0 {
                    let gone = dice.below(kept.len() as u64) as usize;
                    let (gone, _) = kept.swap_remove(gone);
                    store.commit(batch(ONE, vec![Op::Release(gone)])).await?;
                }
                let which = dice.below(kept.len() as u64) as usize;
                if let Some((blob, content)) = kept.get(which) {
                    let got = store.read(blob, 0..u64::MAX).await?;
                    ensure(got == content, || "a blob is another".into())?;
                    let got = store.read(blob, 100..300).await?;
                    ensure(got == content.slice(100..300), || {
                        "a part is another".into()
                    })?;
                }
            }
            Ok::<_, Wrong>(kept)
        }
    });
    let work = futures_util::future::try_join_all(work);
    let sweeping = async {
        loop {
            store.sweep(at_once()).await?;
            tokio::task::yield_now().await;
        }
        #[allow(unreachable_code)]
        Ok::<(), Error>(())
    };
    let kept = match futures_util::future::select(Box::pin(work), Box::pin(sweeping)).await {
        futures_util::future::Either::Left((kept, _)) => kept?,
        futures_util::future::Either::Right((failed, _)) => {
            failed?;
            Vec::new()
        }
    };
    store.sweep(at_once()).await?;
    for (blob, content) in kept.iter().flatten() {
        let got = store.read(blob, 0..u64::MAX).await?;
        ensure(got == content, || "a blob is another at the end".into())?;
    }
    let space = store.space().await?;
    same("blobs", space.blobs, kept.iter().flatten().count() as u64)
}
