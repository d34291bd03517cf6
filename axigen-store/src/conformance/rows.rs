//! Keys, order, ranges, pages, limits, snapshots.

use bytes::Bytes;

use super::{ONE, Outcome, Subject, TWO, Wrong, batch, ensure, key, same, set};
use crate::batch::{AccountId, Key, Op};
use crate::error::{Error, Result};
use crate::page::{Page, Range};

fn range(account: AccountId, from: &[u8], to: &[u8]) -> Range {
    Range {
        account,
        from: Bytes::copy_from_slice(from),
        to: Bytes::copy_from_slice(to),
        limit: 1000,
        reverse: false,
        keys_only: false,
    }
}

fn keys(page: &Page) -> Vec<Key> {
    page.rows.iter().map(|(key, _)| key.clone()).collect()
}

pub(super) async fn order_and_ranges(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let names: [&[u8]; 9] = [
        b"\0",
        b"\0\0",
        b"\0a",
        b"A",
        b"a",
        b"a\0",
        b"ab",
        b"b",
        b"\xff\xff",
    ];
    // Neighbours whose numbers share bytes, so that a slip in the flat key shows.
    let accounts = [0, 1, 2, 255, 256, 257, 1 << 56, u64::MAX - 1].map(AccountId);
    for account in accounts {
        let ops = names.iter().rev().map(|name| {
            let value = [&account.0.to_be_bytes(), *name].concat();
            set(*name, value)
        });
        store.commit(batch(account, ops.collect())).await?;
    }
    for account in accounts {
        let all = store.range(range(account, b"", b"\xff\xff\xff")).await?;
        same("all keys in order", keys(&all), names.map(key).to_vec())?;
        for (name, value) in &all.rows {
            let wanted = [&account.0.to_be_bytes()[..], name].concat();
            same("a value", &value[..], &wanted[..])?;
        }
        let some = store.range(range(account, b"a", b"b")).await?;
        let wanted = [&b"a"[..], b"a\0", b"ab"].map(key).to_vec();
        same("from is in, to is not", keys(&some), wanted)?;
        let none = store.range(range(account, b"b", b"a")).await?;
        same("a range from behind its end", keys(&none), vec![])?;
        let none = store.range(range(account, b"a", b"a")).await?;
        same("an empty range", keys(&none), vec![])?;
    }
    let wanted = vec![key("a"), key("nothing"), key("b"), key("a")];
    let got = store.get(ONE, &wanted).await?;
    let present: Vec<bool> = got.iter().map(Option::is_some).collect();
    same(
        "get, in the order asked",
        present,
        vec![true, false, true, true],
    )?;
    let none = store.get(AccountId(77), &[key("a")]).await?;
    same("an account without rows", none, vec![None])?;
    Ok(())
}

pub(super) async fn pages(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let names: Vec<Key> = (0..10).map(|n| key(format!("k{n}"))).collect();
    let ops = names.iter().map(|name| set(name.to_vec(), "value"));
    store.commit(batch(ONE, ops.collect())).await?;
    for reverse in [false, true] {
        for limit in [1, 2, 3, 5, 9, 10, 11, usize::MAX] {
            let mut wanted = names.clone();
            let mut asked = range(ONE, b"", b"l");
            (asked.limit, asked.reverse) = (limit, reverse);
            if reverse {
                wanted.reverse();
            }
            let mut got = Vec::new();
            loop {
                let page = store.range(asked.clone()).await?;
                ensure(page.rows.len() <= limit, || {
                    "a page beyond its limit".into()
                })?;
                got.extend(keys(&page));
                match page.next {
                    None => break,
                    Some(_) if page.rows.is_empty() => {
                        return Err(Wrong("an empty page with a next".into()));
                    }
                    Some(next) if reverse => asked.to = next,
                    Some(next) => asked.from = next,
                }
            }
            same(&format!("pages of {limit}, reverse {reverse}"), got, wanted)?;
        }
    }
    let mut asked = range(ONE, b"", b"l");
    asked.keys_only = true;
    let page = store.range(asked.clone()).await?;
    same("keys only", keys(&page), names)?;
    ensure(page.rows.iter().all(|(_, value)| value.is_empty()), || {
        "keys_only gave values".into()
    })?;
    asked.limit = 0;
    let page = store.range(asked).await?;
    same("a page of nothing", (page.rows.len(), page.next), (0, None))?;
    Ok(())
}

pub(super) async fn long_ranges(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let rows: Vec<(Key, Bytes)> = (0..5000u32)
        .map(|n| (key(format!("{n:05}")), Bytes::from(vec![n as u8; 50])))
        .collect();
    for some in rows.chunks(700) {
        let ops = some.iter().map(|(k, v)| set(k.to_vec(), v.to_vec()));
        store.commit(batch(ONE, ops.collect())).await?;
    }
    store.commit(batch(TWO, vec![set("x", "y")])).await?;
    let got = store.scan(ONE, key(""), key("9")).await?;
    ensure(got == rows, || format!("a scan gave {} rows", got.len()))?;
    for limit in [255, 256, 257, 1000, 4999, 5000, 5001] {
        for reverse in [false, true] {
            let mut asked = range(ONE, b"", b"9");
            (asked.limit, asked.reverse) = (limit, reverse);
            let page = store.range(asked).await?;
            let count = limit.min(rows.len());
            let wanted: Vec<_> = if reverse {
                rows.iter().rev().take(count).cloned().collect()
            } else {
                rows[..count].to_vec()
            };
            ensure(page.rows == wanted, || format!("a long page of {limit}"))?;
            same(
                "whether more follow",
                page.next.is_some(),
                limit < rows.len(),
            )?;
        }
    }
    let many: Vec<Key> = rows.iter().step_by(7).map(|(key, _)| key.clone()).collect();
    let got = store.get(ONE, &many).await?;
    let wanted: Vec<_> = rows
        .iter()
        .step_by(7)
        .map(|(_, v)| Some(v.clone()))
        .collect();
    ensure(got == wanted, || "a get of many keys".into())?;
    let doomed = Op::DeleteRange(key("00010"), key("04990"));
    store.commit(batch(ONE, vec![doomed])).await?;
    let left = store.scan(ONE, key(""), key("9")).await?;
    ensure(left == [&rows[..10], &rows[4990..]].concat(), || {
        format!("{} rows are left of a range deleted", left.len())
    })
}

pub(super) async fn limits(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let limits = store.limits();
    ensure(limits.key >= 1024 && limits.value >= 1 << 20, || {
        format!("{limits:?}: keys of 1 KB and values of 1 MB must be possible")
    })?;
    let long_key = vec![b'k'; limits.key];
    let long_value = vec![b'v'; limits.value];
    let ops = vec![set(long_key.clone(), ""), set("v", long_value.clone())];
    store.commit(batch(ONE, ops)).await?;
    let got = store.get(ONE, &[key(long_key.clone()), key("v")]).await?;
    ensure(got == [Some(Bytes::new()), Some(long_value.into())], || {
        "the longest key and value do not come back".into()
    })?;
    let too_large = |result: Result<_>| {
        ensure(matches!(result, Err(Error::TooLarge(_))), || {
            "beyond a limit, and no TooLarge".into()
        })
    };
    let longer = [&long_key[..], b"k"].concat();
    too_large(store.commit(batch(ONE, vec![set(longer, "")])).await)?;
    let longer = vec![0; limits.value + 1];
    too_large(store.commit(batch(ONE, vec![set("v", longer)])).await)?;
    let many = limits.batch / limits.value + 1;
    let value = Bytes::from(vec![0; limits.value]);
    let ops = (0..many).map(|n| Op::Set {
        key: key(format!("{n}")).into(),
        val: value.clone().into(),
    });
    too_large(store.commit(batch(ONE, ops.collect())).await)?;
    let invalid = [
        store.commit(batch(ONE, vec![set("", "x")])).await.err(),
        store.commit(batch(AccountId(u64::MAX), vec![])).await.err(),
        store.get(ONE, &[Key::new()]).await.err(),
        store.get(AccountId(u64::MAX), &[key("b")]).await.err(),
        store
            .range(range(AccountId(u64::MAX), b"", b"c"))
            .await
            .err(),
    ];
    for (number, error) in invalid.iter().enumerate() {
        ensure(matches!(error, Some(Error::Invalid(_))), || {
            format!("call {number} is invalid and gave {error:?}")
        })?;
    }
    Ok(())
}

pub(super) async fn snapshots(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh().await?;
    let rows = |page: Page| page.rows;
    let all = range(ONE, b"", b"z");
    store
        .commit(batch(
            ONE,
            vec![set("a", "1"), set("b", "1"), set("c", "1")],
        ))
        .await?;
    let before = rows(store.range(all.clone()).await?);
    let snapshot = store.snapshot().await?;
    store
        .commit(batch(
            ONE,
            vec![
                set("a", "2"),
                Op::Delete(key("b")),
                Op::DeleteRange(key("c"), key("d")),
                set("d", "2"),
            ],
        ))
        .await?;
    let seen = rows(store.range_at(all.clone(), &snapshot).await?);
    same("what a snapshot shows", seen, before.clone())?;
    let now = rows(store.range(all.clone()).await?);
    let wanted = vec![(key("a"), key("2")), (key("d"), key("2"))];
    same("what is there now", now, wanted)?;
    let other = snapshot.clone();
    drop(snapshot);
    let seen = rows(store.range_at(all, &other).await?);
    same("what a clone of a snapshot shows", seen, before)
}
