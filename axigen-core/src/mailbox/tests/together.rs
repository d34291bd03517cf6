//! Many at once: numbers have no gaps, counters are exact, quotas hold.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_deliver_into_one_mailbox_until_it_is_full() {
    const TASKS: usize = 50;
    const EACH: usize = 12;
    const ROOM: usize = 451;
    let m = fresh().await;
    let size = message("same size 000").raw.len() as u64;
    let start = m.store.seq(ALICE).await.unwrap();
    let tasks = (0..TASKS).map(|task| {
        let m = m.clone();
        tokio::spawn(async move {
            let mut got = Vec::new();
            let mut refused = 0;
            for number in 0..EACH {
                let message = message(&format!("same size {:03}", task * EACH + number));
                let target = Target {
                    quota: Quota::of_bytes(size * ROOM as u64),
                    ..to(ALICE, "INBOX")
                };
                match m.append(message, &[target]).await {
                    Ok(appended) => got.push(appended[0]),
                    Err(Error::OverQuota { target: 0 }) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            // What one task delivers, one after the other, ascends.
            assert!(got.is_sorted_by(|a, b| a.uid < b.uid && a.modseq < b.modseq));
            (got, refused)
        })
    });
    let mut all = Vec::new();
    let mut refused = 0;
    for result in join_all(tasks).await {
        let (got, no) = result.unwrap();
        all.extend(got);
        refused += no;
    }
    assert_eq!((all.len(), refused), (ROOM, TASKS * EACH - ROOM));
    let uids: BTreeSet<u32> = all.iter().map(|a| a.uid).collect();
    assert!(uids.into_iter().eq(1..=ROOM as u32));
    let modseqs: BTreeSet<u64> = all.iter().map(|a| a.modseq).collect();
    assert!(modseqs.into_iter().eq(start + 1..=start + ROOM as u64));
    let items: BTreeSet<ItemId> = all.iter().map(|a| a.item).collect();
    assert_eq!(items.len(), ROOM);
    let info = m.find(ALICE, "INBOX").await.unwrap();
    assert_eq!((info.messages, info.unseen), (ROOM as u32, ROOM as u32));
    assert_eq!(info.size, size * ROOM as u64);
    assert_eq!(info.highest_modseq, start + ROOM as u64);
    let changes = m.changes(ALICE, info.id, start).await.unwrap();
    assert_eq!(changes.rows.len(), ROOM);
    sound(&m, ALICE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_need_new_mailboxes() {
    let m = fresh().await;
    let carol = AccountId(50);
    let tasks = (0..50).map(|task| {
        let m = m.clone();
        tokio::spawn(async move {
            let own = format!("own/{task}");
            let targets = [to(carol, "shared/new"), to(carol, &own), to(ALICE, "fresh")];
            m.append(message("x"), &targets).await.unwrap()
        })
    });
    let mut uids = BTreeSet::new();
    for result in join_all(tasks).await {
        let got = result.unwrap();
        assert_eq!(got[1].uid, 1);
        uids.insert(got[0].uid);
    }
    assert!(uids.into_iter().eq(1..=50));
    assert_eq!(m.list(carol).await.unwrap().len(), 6 + 2 + 51);
    assert_eq!(m.find(ALICE, "fresh").await.unwrap().messages, 50);
    sound(&m, carol).await;
    sound(&m, ALICE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everyone_does_everything() {
    let m = fresh().await;
    let a = fill(&m, "a", 60).await;
    let b = m.create(ALICE, "b", None).await.unwrap().id;
    let tasks = (0..24u32).map(|task| {
        let m = m.clone();
        tokio::spawn(async move {
            for round in 0..8u32 {
                let pick: Vec<u32> = (1..=60)
                    .filter(|n| (n * 7 + task + round) % 5 == 0)
                    .collect();
                let (from, into) = if round % 2 == 0 { (a, b) } else { (b, a) };
                match task % 8 {
                    0 => drop(m.append(message("new"), &[to(ALICE, "a")]).await.unwrap()),
                    1 => drop(
                        m.copy(ALICE, from, &pick[..3], into, Quota::NONE)
                            .await
                            .unwrap(),
                    ),
                    2 => drop(m.move_(ALICE, from, &pick, into).await.unwrap()),
                    3 => drop(m.expunge(ALICE, from, None).await.unwrap()),
                    4 => {
                        let deleted = FlagChange::Add(words(Flags::DELETED, &["k1"]));
                        m.store_flags(ALICE, from, &pick[..2], &deleted, None)
                            .await
                            .unwrap();
                    }
                    5 => {
                        let word = format!("word{round}");
                        let seen = FlagChange::Replace(words(Flags::SEEN, &[&word]));
                        m.store_flags(ALICE, from, &pick, &seen, None)
                            .await
                            .unwrap();
                    }
                    6 => {
                        let name = format!("passing {task}");
                        m.append(message("x"), &[to(ALICE, &name)]).await.unwrap();
                        let other = format!("{name} renamed");
                        m.rename(ALICE, &name, &other).await.unwrap();
                        m.delete(ALICE, &other).await.unwrap();
                    }
                    _ => {
                        // A picture taken at any moment, brought up to date, is
                        // a later picture.
                        let (uids, modseq) = m.uids(ALICE, from).await.unwrap();
                        let rows = m.rows(ALICE, from, &uids).await.unwrap();
                        assert!(rows.is_sorted_by_key(|row| row.uid));
                        let changes = m.changes(ALICE, from, modseq).await.unwrap();
                        assert!(changes.modseq >= modseq);
                    }
                }
            }
        })
    });
    for result in join_all(tasks).await {
        result.unwrap();
    }
    sound(&m, ALICE).await;
    let list = m.list(ALICE).await.unwrap();
    assert_eq!(list.len(), 8);
    for info in [
        m.info(ALICE, a).await.unwrap(),
        m.info(ALICE, b).await.unwrap(),
    ] {
        let (uids, _) = m.uids(ALICE, info.id).await.unwrap();
        let rows = m.rows(ALICE, info.id, &uids).await.unwrap();
        assert_eq!(rows.len(), info.messages as usize);
        let all = m.changes(ALICE, info.id, 0).await.unwrap();
        assert_eq!(all.rows, rows);
        for row in rows {
            let body = m.body(ALICE, row.item, 0..u64::MAX).await.unwrap();
            assert_eq!(body.len() as u64, row.size);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn delivery_while_the_mailbox_is_deleted() {
    let m = fresh().await;
    for _ in 0..10 {
        fill(&m, "x", 5).await;
        let id = m.find(ALICE, "x").await.unwrap().id;
        let by_id = Target {
            mailbox: Place::Id(id),
            ..to(ALICE, "")
        };
        let delivering = (0..10).map(|_| {
            let (m, target) = (m.clone(), by_id.clone());
            tokio::spawn(async move { m.append(message("x"), &[target]).await })
        });
        let delivering: Vec<_> = delivering.collect();
        m.delete(ALICE, "x").await.unwrap();
        for result in join_all(delivering).await {
            assert!(matches!(result.unwrap(), Ok(_) | Err(Error::NoSuchMailbox)));
        }
        assert_eq!(sound(&m, ALICE).await.messages, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3u32 {
        let store = Store::open(dir.path()).await.unwrap();
        let m = Mailboxes::new(store.clone());
        m.create_account(ALICE).await.unwrap();
        assert_eq!(m.find(ALICE, "INBOX").await.unwrap().messages, round * 30);
        let tasks = (0..30).map(|task| {
            let m = m.clone();
            let text = format!("round {round} task {task}");
            let target = flagged(ALICE, "INBOX", words(0, &[&format!("round{round}")]));
            tokio::spawn(async move { m.append(message(&text), &[target]).await.unwrap() })
        });
        let mut uids = BTreeSet::new();
        for result in join_all(tasks).await {
            uids.insert(result.unwrap()[0].uid);
        }
        assert!(uids.into_iter().eq(round * 30 + 1..=round * 30 + 30));
        let inbox = m.find(ALICE, "INBOX").await.unwrap().id;
        let (uids, _) = m.uids(ALICE, inbox).await.unwrap();
        for row in m.rows(ALICE, inbox, &uids).await.unwrap() {
            let body = m.body(ALICE, row.item, 0..u64::MAX).await.unwrap();
            let text = String::from_utf8(body.to_vec()).unwrap();
            let [word] = &row.flags.keywords[..] else {
                panic!("{row:?}");
            };
            let number = word.strip_prefix("round").unwrap();
            assert!(text.contains(&format!("Subject: round {number} task")));
        }
        sound(&m, ALICE).await;
        store.close().await.unwrap();
    }
}
