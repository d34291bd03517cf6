//! Several at once: writers, readers, watchers; closing and opening again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use super::{
    ONE, Outcome, Subject, TWO, Wrong, add, batch, counter, ensure, key, part, same, set, value,
};
use crate::batch::{AccountId, Batch, Expect, Op, Part, Patch, Slot, Template};
use crate::blob::BlobIn;
use crate::error::Error;
use crate::page::Range;
use crate::store::Change;

const WRITERS: u64 = 32;
const EACH: u64 = 25;

pub(super) async fn sequence_without_gaps(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let tasks = (0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut given = Vec::new();
            for n in 0..EACH {
                // A row named after the number it was given, in both accounts.
                let log = Op::Set {
                    key: Template {
                        bytes: vec![b'c', 0, 0, 0, 0, 0, 0, 0, 0].into(),
                        patches: vec![Patch {
                            at: 1,
                            width: 8,
                            slot: Slot::Seq,
                        }],
                    },
                    val: Bytes::from(format!("{writer}/{n}")).into(),
                };
                let parts = vec![part(ONE, vec![log.clone()]), part(TWO, vec![log])];
                let commit = store.commit(Batch { parts }).await?;
                given.push((commit.parts[0].seq, commit.parts[1].seq));
            }
            Ok::<_, Error>(given)
        })
    });
    let mut given = Vec::new();
    for task in join_all(tasks).await {
        let mine = task.map_err(|error| Wrong(error.to_string()))??;
        ensure(mine.is_sorted(), || "numbers of one writer go back".into())?;
        given.extend(mine);
    }
    given.sort_unstable();
    let all: Vec<_> = (1..=WRITERS * EACH).map(|n| (n, n)).collect();
    ensure(given == all, || "the numbers have gaps or doubles".into())?;
    for account in [ONE, TWO] {
        same("the last number", store.seq(account).await?, WRITERS * EACH)?;
        let rows = store.scan(account, key("c"), key("d")).await?;
        same("rows of the log", rows.len() as u64, WRITERS * EACH)?;
    }
    Ok(())
}

pub(super) async fn counters_never_lose(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let tasks = (0..WRITERS).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut done = 0;
            for _ in 0..EACH {
                let quota = Op::Add {
                    key: key("quota"),
                    delta: 1,
                    min: None,
                    max: Some((WRITERS * EACH / 2) as i64),
                    slot: None,
                };
                let parts = vec![part(TWO, vec![add("all", 1)]), part(ONE, vec![quota])];
                match store.commit(Batch { parts }).await {
                    Ok(_) => done += 1,
                    Err(Error::Bound { part: 1, index: 0 }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(done)
        })
    });
    let mut done = 0;
    for task in join_all(tasks).await {
        done += task.map_err(|error| Wrong(error.to_string()))??;
    }
    let half = (WRITERS * EACH / 2) as i64;
    same("batches within the bound", done, half)?;
    same(
        "the counter with a bound",
        counter(&store, ONE, "quota").await?,
        half,
    )?;
    same(
        "the counter beside it",
        counter(&store, TWO, "all").await?,
        half,
    )
}

pub(super) async fn failures_leave_no_trace(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    store.commit(batch(ONE, vec![set("keep", "1")])).await?;
    // Asked for in this order at once, most of them become one group.
    let claim = |n: u64| Batch {
        parts: vec![Part {
            asserts: vec![(key("claim"), Expect::Absent)],
            ..part(ONE, vec![set("claim", format!("{n}")), add("won", 1)])
        }],
    };
    let wreck = Batch {
        parts: vec![
            part(
                ONE,
                vec![
                    Op::DeleteRange(key("a"), key("z")),
                    set("trace", "x"),
                    add("won", 100),
                ],
            ),
            Part {
                asserts: vec![(key("never"), Expect::Present)],
                ..part(TWO, vec![])
            },
        ],
    };
    let batches = (0..20).flat_map(|n| [claim(n), wreck.clone()]);
    let outcomes = join_all(batches.map(|batch| store.commit(batch))).await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    same("how many claimed", won, 1)?;
    let rows = store.scan(ONE, key(""), key("z")).await?;
    let wanted = vec![
        (key("claim"), key("0")),
        (key("keep"), key("1")),
        (key("won"), key(1i64.to_be_bytes())),
    ];
    same("rows", rows, wanted)?;
    same("the sequence", store.seq(ONE).await?, 2)
}

pub(super) async fn readers_see_whole_batches(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let names: Vec<_> = (0..40).map(|n| key(format!("{n:02}"))).collect();
    let write = |n: u64| {
        let ops = names.iter().map(|name| set(name.to_vec(), format!("{n}")));
        batch(ONE, ops.collect())
    };
    store.commit(write(0)).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (store, names, stop) = (store.clone(), names.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut last = 0;
            while !stop.load(Ordering::Relaxed) {
                let got: Vec<_> = store
                    .get(ONE, &names)
                    .await?
                    .into_iter()
                    .flatten()
                    .collect();
                let page = store
                    .range(Range {
                        account: ONE,
                        from: key(""),
                        to: key("z"),
                        limit: 100,
                        reverse: false,
                        keys_only: false,
                    })
                    .await?;
                let rows: Vec<_> = page.rows.into_iter().map(|(_, value)| value).collect();
                for seen in [got, rows] {
                    ensure(
                        seen.len() == 40 && seen.iter().all(|v| *v == seen[0]),
                        || format!("half a batch was seen: {seen:?}"),
                    )?;
                    let number = std::str::from_utf8(&seen[0])
                        .ok()
                        .and_then(|n| n.parse().ok());
                    ensure(number >= Some(last), || "a reader went back in time".into())?;
                    last = number.unwrap_or(last);
                }
                tokio::task::yield_now().await;
            }
            Ok::<_, Wrong>(())
        })
    };
    for n in 1..150 {
        store.commit(write(n)).await?;
        let seen = value(&store, ONE, "00").await?;
        same("one's own write", seen, Some(key(format!("{n}"))))?;
    }
    stop.store(true, Ordering::Relaxed);
    reader.await.map_err(|error| Wrong(error.to_string()))?
}

pub(super) async fn changes_are_announced(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let mut watcher = store.watch(ONE);
    let mut other = store.watch(TWO);
    let soon = Duration::from_secs(10);
    for n in 1..=3 {
        store.commit(batch(ONE, vec![add("n", 1)])).await?;
        let change = tokio::time::timeout(soon, watcher.changed()).await;
        same(
            "a change",
            change.ok(),
            Some(Change {
                account: ONE,
                seq: n,
            }),
        )?;
    }
    let quiet = Batch {
        parts: vec![Part {
            advance: false,
            ..part(ONE, vec![add("n", 1)])
        }],
    };
    store.commit(quiet).await?;
    let bound = Op::Add {
        key: key("n"),
        delta: 0,
        min: Some(99),
        max: None,
        slot: None,
    };
    ensure(store.commit(batch(ONE, vec![bound])).await.is_err(), || {
        "a bound".into()
    })?;
    let moment = Duration::from_millis(30);
    let change = tokio::time::timeout(moment, watcher.changed()).await;
    same("after what is no change", change.ok(), None)?;
    let change = tokio::time::timeout(moment, other.changed()).await;
    same("of another account", change.ok(), None)?;
    // Announcements may be lost: whoever comes late finds all in the rows.
    for _ in 0..5 {
        store.commit(batch(TWO, vec![])).await?;
    }
    let late = store.watch(TWO);
    same("what a late watcher reads", store.seq(TWO).await?, 5)?;
    let change = tokio::time::timeout(soon, other.changed()).await;
    same(
        "changes that came as one",
        change.ok(),
        Some(Change {
            account: TWO,
            seq: 5,
        }),
    )?;
    drop(late);
    store.commit(batch(TWO, vec![])).await?;
    let change = tokio::time::timeout(soon, other.changed()).await;
    same(
        "after another watcher went",
        change.ok(),
        Some(Change {
            account: TWO,
            seq: 6,
        }),
    )
}

pub(super) async fn closing(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let other = store.clone();
    // What was asked before the close is done.
    let commits: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(batch(ONE, vec![add("n", 1)])).await })
        })
        .collect();
    store.commit(batch(ONE, vec![add("n", 1)])).await?;
    store.close().await?;
    store.close().await?;
    for commit in commits {
        let outcome = commit.await.map_err(|error| Wrong(error.to_string()))?;
        ensure(matches!(outcome, Ok(_) | Err(Error::Closed)), || {
            format!("{outcome:?}")
        })?;
    }
    let blob = crate::blob::BlobRef {
        hash: [0; 32],
        len: 1,
    };
    let errors = [
        other.get(ONE, &[key("n")]).await.err(),
        other.scan(ONE, key(""), key("z")).await.err(),
        other.commit(batch(ONE, vec![])).await.err(),
        other.put(vec![]).await.err(),
        other.read(&blob, 0..1).await.err(),
        other.seq(ONE).await.err(),
        other.snapshot().await.err(),
        other.space().await.err(),
    ];
    for (number, error) in errors.iter().enumerate() {
        ensure(matches!(error, Some(Error::Closed)), || {
            format!("call {number} on a closed store gave {error:?}")
        })?;
    }
    Ok(())
}

pub(super) async fn reopening(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let contents: Vec<Bytes> = [300usize, 9_000, 600_000]
        .map(|len| Bytes::from(vec![len as u8; len]))
        .into_iter()
        .chain([Bytes::from(super::Dice(9).noise(20_000))])
        .collect();
    let blob_in = |bytes: &Bytes| BlobIn {
        bytes: bytes.clone(),
        label: key("label"),
        pieces: Vec::new(),
    };
    let blobs = store.put(contents.iter().map(blob_in).collect()).await?;
    let mut ops: Vec<Op> = blobs.iter().cloned().map(Op::Retain).collect();
    ops.extend([set("a", "1"), add("n", 7)]);
    store.commit(batch(ONE, ops)).await?;
    store
        .commit(batch(AccountId(300), vec![set("b", "1")]))
        .await?;
    store.close().await?;
    drop(store);
    for round in 1..4u64 {
        let Some(store) = subject.reopen().await else {
            return Ok(());
        };
        let store = store?;
        same("a row", value(&store, ONE, "a").await?, Some(key("1")))?;
        same(
            "a row",
            value(&store, AccountId(300), "b").await?,
            Some(key("1")),
        )?;
        same(
            "a counter",
            counter(&store, ONE, "n").await?,
            6 + round as i64,
        )?;
        same("the sequence", store.seq(ONE).await?, round)?;
        for (blob, content) in blobs.iter().zip(&contents) {
            let got = store.read(blob, 0..u64::MAX).await?;
            ensure(got == *content, || format!("a blob of {} bytes", blob.len))?;
        }
        same(
            "references",
            store.space().await?.blobs,
            contents.len() as u64,
        )?;
        let written = store.stat().blobs.bytes;
        // Without labels, which would be noted.
        let again = contents
            .iter()
            .map(|content| BlobIn::new(content.clone(), ""));
        store.put(again.collect()).await?;
        same("what put again writes", store.stat().blobs.bytes, written)?;
        let commit = store.commit(batch(ONE, vec![add("n", 1)])).await?;
        same("the next number", commit.parts[0].seq, round + 1)?;
        if round % 2 == 0 {
            store.close().await?;
        }
        // Else it is dropped without a close, and nothing may be lost by that.
    }
    Ok(())
}
