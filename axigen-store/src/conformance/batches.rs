//! What one batch does.

use super::{ONE, Outcome, Subject, TWO, add, batch, counter, ensure, key, part, same, set, value};
use crate::batch::{Batch, Expect, Op, Part, Patch, Slot, Template};
use crate::error::{Error, Result};

fn conflicts<T: std::fmt::Debug>(result: Result<T>, part: usize, index: usize) -> Outcome {
    let right =
        matches!(result, Err(Error::Conflict { part: p, index: i }) if (p, i) == (part, index));
    ensure(right, || {
        format!("wanted a conflict at part {part}, assert {index}, got {result:?}")
    })
}

pub(super) async fn asserts(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let asserting = |asserts: Vec<(&str, Expect)>, ops: Vec<Op>| Batch {
        parts: vec![Part {
            asserts: asserts.into_iter().map(|(k, e)| (key(k), e)).collect(),
            ..part(ONE, ops)
        }],
    };
    let equals = |text: &str| Expect::Equals(key(text));
    store
        .commit(asserting(vec![("a", Expect::Absent)], vec![set("a", "1")]))
        .await?;
    let again = asserting(vec![("a", Expect::Absent)], vec![set("a", "2")]);
    conflicts(store.commit(again).await, 0, 0)?;
    store
        .commit(asserting(
            vec![
                ("a", Expect::Present),
                ("a", equals("1")),
                ("b", Expect::Absent),
            ],
            vec![set("a", "3"), Op::Delete(key("b"))],
        ))
        .await?;
    let stale = asserting(
        vec![("a", Expect::Present), ("a", equals("1"))],
        vec![set("a", "4")],
    );
    conflicts(store.commit(stale).await, 0, 1)?;
    let missing = asserting(vec![("b", Expect::Present)], vec![]);
    conflicts(store.commit(missing).await, 0, 0)?;
    let prefix = asserting(vec![("a", equals(""))], vec![]);
    conflicts(store.commit(prefix).await, 0, 0)?;
    // An assert speaks of what was before the batch.
    store
        .commit(asserting(
            vec![("c", Expect::Absent)],
            vec![set("c", "1"), set("c", "2")],
        ))
        .await?;
    same(
        "after conflicts",
        value(&store, ONE, "a").await?,
        Some(key("3")),
    )?;
    same("sequence after conflicts", store.seq(ONE).await?, 3)
}

pub(super) async fn counters(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let bounded = |delta, min, max| {
        let key = key("n");
        batch(
            ONE,
            vec![Op::Add {
                key,
                delta,
                min,
                max,
                slot: Some(3),
            }],
        )
    };
    let commit = store.commit(bounded(5, Some(0), Some(10))).await?;
    same("a slot", commit.parts[0].slots[3], 5)?;
    same("other slots", commit.parts[0].slots[2], 0)?;
    store.commit(bounded(5, None, Some(10))).await?;
    for (delta, min, max) in [
        (1, None, Some(10)),
        (-11, Some(0), None),
        (i64::MAX, None, None),
        (0, Some(11), None),
    ] {
        let result = store.commit(bounded(delta, min, max)).await;
        ensure(
            matches!(result, Err(Error::Bound { part: 0, index: 0 })),
            || format!("adding {delta} within {min:?}..={max:?} gave {result:?}"),
        )?;
    }
    store.commit(bounded(-20, Some(-10), None)).await?;
    same("a counter", counter(&store, ONE, "n").await?, -10)?;
    let twice = store
        .commit(batch(ONE, vec![add("n", 3), add("n", 4), add("fresh", -1)]))
        .await;
    ensure(twice.is_ok(), || format!("adding twice gave {twice:?}"))?;
    same(
        "added twice in a batch",
        counter(&store, ONE, "n").await?,
        -3,
    )?;
    same("a fresh counter", counter(&store, ONE, "fresh").await?, -1)?;
    store
        .commit(batch(ONE, vec![set("text", "seven"), add("m", 1)]))
        .await?;
    let result = store
        .commit(batch(ONE, vec![add("m", 1), add("text", 1)]))
        .await;
    ensure(matches!(result, Err(Error::Corrupt(_))), || {
        format!("adding to what is no counter gave {result:?}")
    })?;
    same("a counter beside it", counter(&store, ONE, "m").await?, 1)
}

fn holes(bytes: &[u8], patches: &[(usize, u8, Slot)]) -> Template {
    Template {
        bytes: bytes.to_vec().into(),
        patches: patches
            .iter()
            .map(|&(at, width, slot)| Patch { at, width, slot })
            .collect(),
    }
}

pub(super) async fn templates(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let uid = |delta| Op::Add {
        key: key("uid"),
        delta,
        min: None,
        max: None,
        slot: Some(0),
    };
    for n in 1..=3u64 {
        let ops = vec![
            uid(10),
            Op::Set {
                key: holes(b"m\0\0\0\0", &[(1, 4, Slot::Counter(0))]),
                val: holes(&[9; 18], &[(1, 8, Slot::Seq), (9, 8, Slot::Counter(0))]),
            },
        ];
        let commit = store.commit(batch(ONE, ops)).await?;
        same("a sequence number", commit.parts[0].seq, n)?;
        let name = [&b"m"[..], &(n as u32 * 10).to_be_bytes()].concat();
        let wanted = [&[9][..], &n.to_be_bytes(), &(n * 10).to_be_bytes(), &[9]].concat();
        let got = store.get(ONE, &[key(name)]).await?;
        same("a filled value", got, vec![Some(wanted.into())])?;
    }
    let filled = |patches: &[(usize, u8, Slot)]| {
        let val = holes(&[0; 8], patches);
        Op::Set {
            key: key("bad").into(),
            val,
        }
    };
    let big = Op::Add {
        key: key("big"),
        delta: 1 << 32,
        min: None,
        max: None,
        slot: Some(1),
    };
    let negative = Op::Add {
        key: key("negative"),
        delta: -1,
        min: None,
        max: None,
        slot: Some(1),
    };
    for op in [big, negative] {
        let ops = vec![op, filled(&[(0, 4, Slot::Counter(1))])];
        let result = store.commit(batch(ONE, ops)).await;
        ensure(
            matches!(result, Err(Error::Bound { part: 0, index: 1 })),
            || format!("a number that does not fit its hole gave {result:?}"),
        )?;
    }
    for op in [
        filled(&[(1, 8, Slot::Seq)]),
        filled(&[(usize::MAX, 8, Slot::Seq)]),
        filled(&[(0, 2, Slot::Seq)]),
        filled(&[(0, 8, Slot::Counter(5))]),
        filled(&[(0, 8, Slot::Counter(16))]),
        Op::Add {
            key: key("uid"),
            delta: 1,
            min: None,
            max: None,
            slot: Some(16),
        },
    ] {
        let result = store.commit(batch(ONE, vec![uid(1), op.clone()])).await;
        ensure(matches!(result, Err(Error::Invalid(_))), || {
            format!("{op:?} gave {result:?}")
        })?;
    }
    same("after failures", counter(&store, ONE, "uid").await?, 30)?;
    same("after failures", value(&store, ONE, "bad").await?, None)?;
    same("sequence after failures", store.seq(ONE).await?, 3)
}

pub(super) async fn ops_go_in_order(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    store
        .commit(batch(
            ONE,
            vec![set("a", "0"), set("b", "0"), set("e", "0")],
        ))
        .await?;
    let ops = vec![
        set("a", "1"),
        Op::Delete(key("a")),
        set("c", "1"),
        set("b", "1"),
        Op::DeleteRange(key("b"), key("d")),
        set("c", "2"),
        set("d", "1"),
        set("d", "2"),
        Op::Delete(key("nothing")),
        Op::DeleteRange(key("z"), key("a")),
        add("n", 5),
        Op::Delete(key("n")),
        add("n", 1),
    ];
    store.commit(batch(ONE, ops)).await?;
    let rows = store.scan(ONE, key(""), key("n")).await?;
    let wanted = [("c", "2"), ("d", "2"), ("e", "0")].map(|(k, v)| (key(k), key(v)));
    same("rows", rows, wanted.to_vec())?;
    same(
        "a counter deleted between",
        counter(&store, ONE, "n").await?,
        1,
    )?;
    let everything = Op::DeleteRange(key(""), key("\u{7f}"));
    store.commit(batch(ONE, vec![everything])).await?;
    same("rows", store.scan(ONE, key(""), key("z")).await?, vec![])?;
    same("the sequence stays", store.seq(ONE).await?, 3)
}

pub(super) async fn all_or_nothing(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let both = |expect| Batch {
        parts: vec![
            part(ONE, vec![set("a", "1"), add("n", 1)]),
            Part {
                asserts: vec![(key("x"), Expect::Absent), (key("b"), expect)],
                ..part(TWO, vec![set("b", "1"), add("n", 1)])
            },
        ],
    };
    conflicts(store.commit(both(Expect::Present)).await, 1, 1)?;
    for account in [ONE, TWO] {
        same(
            "nothing is there",
            store.scan(account, key(""), key("z")).await?,
            vec![],
        )?;
        same("no sequence", store.seq(account).await?, 0)?;
    }
    let commit = store.commit(both(Expect::Absent)).await?;
    let accounts: Vec<_> = commit.parts.iter().map(|p| (p.account, p.seq)).collect();
    same("parts in order", accounts, vec![(ONE, 1), (TWO, 1)])?;
    // The last op of the last part fails: all before it goes too.
    let late = Batch {
        parts: vec![
            part(
                ONE,
                vec![set("a", "2"), Op::DeleteRange(key("n"), key("o"))],
            ),
            part(
                TWO,
                vec![
                    set("b", "2"),
                    Op::Add {
                        key: key("n"),
                        delta: -2,
                        min: Some(0),
                        max: None,
                        slot: None,
                    },
                ],
            ),
        ],
    };
    let result = store.commit(late).await;
    ensure(
        matches!(result, Err(Error::Bound { part: 1, index: 1 })),
        || format!("{result:?}"),
    )?;
    for (account, name) in [(ONE, "a"), (TWO, "b")] {
        same(
            "a value",
            value(&store, account, name).await?,
            Some(key("1")),
        )?;
        same("a counter", counter(&store, account, "n").await?, 1)?;
        same("a sequence", store.seq(account).await?, 1)?;
    }
    Ok(())
}

pub(super) async fn sequence_numbers(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let still = |ops| Batch {
        parts: vec![Part {
            advance: false,
            ..part(ONE, ops)
        }],
    };
    let commit = store.commit(still(vec![set("a", "1")])).await?;
    same("without advance", commit.parts[0].seq, 0)?;
    let commit = store.commit(batch(ONE, vec![])).await?;
    same("an empty change", commit.parts[0].seq, 1)?;
    let commit = store.commit(still(vec![set("a", "2")])).await?;
    same("without advance", commit.parts[0].seq, 1)?;
    same("of another account", store.seq(TWO).await?, 0)?;
    let commit = store.commit(Batch::default()).await?;
    same("no parts", commit.parts.len(), 0)
}
