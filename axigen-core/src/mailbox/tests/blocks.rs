//! Rows in blocks, and what stands beside them.

use super::*;
use crate::mailbox::keys;

/// Folding only when told.
async fn still() -> Mailboxes {
    fresh_with(Options {
        uid_validity: Some(1000),
        block_rows: 4,
        fold_at: u32::MAX,
        ..Options::default()
    })
    .await
}

/// How many keys the mailbox has of a kind.
async fn held(m: &Mailboxes, mailbox: MailboxId, tag: u8) -> usize {
    m.scan_marks(ALICE, keys::of_mailbox(tag, mailbox))
        .await
        .unwrap()
        .len()
}

#[tokio::test]
async fn folding_changes_nothing_that_is_seen() {
    let m = still().await;
    let inbox = fill(&m, "INBOX", 11).await;
    let keyword = FlagChange::Add(words(Flags::SEEN, &["work"]));
    m.store_flags(ALICE, inbox, &[2, 7], &keyword, None)
        .await
        .unwrap();
    let (uids, modseq) = m.uids(ALICE, inbox).await.unwrap();
    let rows = m.rows(ALICE, inbox, &uids).await.unwrap();
    m.fold(ALICE, inbox).await.unwrap();
    assert_eq!(held(&m, inbox, keys::ROW).await, 0);
    assert_eq!(held(&m, inbox, keys::BLOCK_UIDS).await, 3);
    assert_eq!(m.uids(ALICE, inbox).await.unwrap(), (uids.clone(), modseq));
    assert_eq!(m.rows(ALICE, inbox, &uids).await.unwrap(), rows);
    for uid in uids {
        let row = m.rows(ALICE, inbox, &[uid]).await.unwrap();
        assert_eq!(row, [rows[uid as usize - 1].clone()]);
    }
    assert_eq!(m.rows(ALICE, inbox, &[12, 400]).await.unwrap(), []);
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn many_rows_of_a_block_change_in_it() {
    let m = fresh_with(Options {
        uid_validity: Some(1000),
        block_rows: 4,
        rewrite_at: 3,
        fold_at: u32::MAX,
        ..Options::default()
    })
    .await;
    let inbox = fill(&m, "INBOX", 9).await;
    let all: Vec<u32> = (1..=9).collect();
    m.fold(ALICE, inbox).await.unwrap();
    let before = m.rows(ALICE, inbox, &all).await.unwrap();
    // Three of the first block, two of the second: only these stand beside it.
    let change = FlagChange::Add(words(Flags::SEEN | Flags::DELETED, &["work"]));
    let chosen = [1, 2, 4, 5, 7];
    let stored = m.store_flags(ALICE, inbox, &chosen, &change, None);
    let stored = stored.await.unwrap();
    assert_eq!(held(&m, inbox, keys::ROW).await, 2);
    let (_, modseq) = m.uids(ALICE, inbox).await.unwrap();
    let rows = m.rows(ALICE, inbox, &all).await.unwrap();
    for (row, before) in rows.iter().zip(&before) {
        match chosen.contains(&row.uid) {
            true => assert!(row.modseq == modseq && row.flags.has_keyword("work")),
            false => assert_eq!(row, before),
        }
    }
    let told: Vec<_> = rows
        .iter()
        .filter(|row| chosen.contains(&row.uid))
        .collect();
    assert_eq!(stored.rows.iter().collect::<Vec<_>>(), told);
    sound(&m, ALICE).await;
    // Rows that stand beside a block that is written again still count first.
    let change = FlagChange::Remove(Flags::from(Flags::SEEN));
    m.store_flags(ALICE, inbox, &all, &change, None)
        .await
        .unwrap();
    let change = FlagChange::Add(Flags::from(Flags::FLAGGED));
    m.store_flags(ALICE, inbox, &all, &change, None)
        .await
        .unwrap();
    let rows = m.rows(ALICE, inbox, &all).await.unwrap();
    let right = |row: &Row| row.flags.has(Flags::FLAGGED) && !row.flags.has(Flags::SEEN);
    assert!(rows.iter().all(right));
    assert_eq!(m.expunge(ALICE, inbox, None).await.unwrap(), chosen);
    sound(&m, ALICE).await;
    m.fold(ALICE, inbox).await.unwrap();
    let left = m.rows(ALICE, inbox, &all).await.unwrap();
    let stay: Vec<Row> = rows
        .into_iter()
        .filter(|row| !chosen.contains(&row.uid))
        .collect();
    assert_eq!(left, stay);
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn more_than_one_batch_changes_leaves_nothing_beside_blocks() {
    let m = fresh_with(Options {
        uid_validity: Some(1000),
        block_rows: 500,
        fold_at: u32::MAX,
        ..Options::default()
    })
    .await;
    let inbox = fill(&m, "INBOX", 5).await;
    let many = fill(&m, "Many", 1).await;
    for (from, count) in [(inbox, 5), (many, 6), (many, 12)] {
        let uids: Vec<u32> = (1..=count).collect();
        m.copy(ALICE, from, &uids, many, Quota::NONE).await.unwrap();
    }
    let uids: Vec<u32> = (1..=24).collect();
    for _ in 0..200 {
        m.copy(ALICE, many, &uids, many, Quota::NONE).await.unwrap();
    }
    let (uids, before) = m.uids(ALICE, many).await.unwrap();
    assert_eq!(uids.len(), 4824);
    m.fold(ALICE, many).await.unwrap();
    let change = FlagChange::Add(Flags::from(Flags::FLAGGED));
    let stored = m.store_flags(ALICE, many, &uids, &change, None);
    assert_eq!(stored.await.unwrap().rows.len(), uids.len());
    // The first batch ends where the eighth block does.
    assert_eq!(held(&m, many, keys::ROW).await, 0);
    let rows = m.rows(ALICE, many, &uids).await.unwrap();
    for row in &rows {
        let batch = if row.uid <= 4000 { 1 } else { 2 };
        assert_eq!(row.modseq, before + batch, "{}", row.uid);
        assert!(row.flags.has(Flags::FLAGGED));
    }
    sound(&m, ALICE).await;
}

/// Base subjects, in the order of the UIDs.
async fn subjects(m: &Mailboxes, mailbox: MailboxId) -> Vec<(u32, Vec<u8>)> {
    let uids = uids(m, mailbox).await;
    let rows = m.rows(ALICE, mailbox, &uids).await.unwrap();
    let mut subjects = Vec::new();
    m.briefs(ALICE, mailbox, &rows, |row, brief| {
        subjects.push((row.uid, brief.subject.to_vec()));
    })
    .await
    .unwrap();
    subjects
}

#[tokio::test]
async fn messages_in_brief_are_where_their_rows_are() {
    let m = still().await;
    let inbox = fill(&m, "INBOX", 7).await;
    // Too long to be kept.
    let long = "x".repeat(2000);
    m.append(message(&long), &[to(ALICE, "INBOX")])
        .await
        .unwrap();
    fill(&m, "INBOX", 2).await;
    let alone = subjects(&m, inbox).await;
    assert_eq!(alone.len(), 10);
    assert_eq!(alone[3], (4, b"MESSAGE 3".to_vec()));
    assert_eq!(alone[7], (8, long.to_ascii_uppercase().into_bytes()));
    m.fold(ALICE, inbox).await.unwrap();
    assert_eq!(held(&m, inbox, keys::BLOCK_BRIEFS).await, 3);
    assert_eq!(subjects(&m, inbox).await, alone);
    // Some go, some come: folded and not.
    m.remove(ALICE, inbox, &[2, 3, 8]).await.unwrap();
    fill(&m, "INBOX", 3).await;
    let mixed = subjects(&m, inbox).await;
    assert_eq!(mixed.len(), 10);
    assert_eq!(mixed[1], alone[3]);
    m.fold(ALICE, inbox).await.unwrap();
    assert_eq!(subjects(&m, inbox).await, mixed);
    sound(&m, ALICE).await;
    let all = uids(&m, inbox).await;
    m.remove(ALICE, inbox, &all).await.unwrap();
    m.fold(ALICE, inbox).await.unwrap();
    assert_eq!(held(&m, inbox, keys::BLOCK_BRIEFS).await, 0);
}

#[tokio::test]
async fn what_another_writes_is_seen() {
    // Two who share nothing but the store.
    let m = still().await;
    let other = Mailboxes::new(m.store.clone());
    let inbox = fill(&m, "INBOX", 8).await;
    m.fold(ALICE, inbox).await.unwrap();
    assert_eq!(uids(&m, inbox).await.len(), 8);
    let seen = FlagChange::Add(Flags::from(Flags::SEEN));
    other
        .store_flags(ALICE, inbox, &[3], &seen, None)
        .await
        .unwrap();
    other.remove(ALICE, inbox, &[5]).await.unwrap();
    let rows = m.rows(ALICE, inbox, &[3, 5]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].flags.has(Flags::SEEN));
    assert_eq!(uids(&m, inbox).await, [1, 2, 3, 4, 6, 7, 8]);
}

#[tokio::test]
async fn what_stands_beside_a_block_counts_first() {
    let m = still().await;
    let inbox = fill(&m, "INBOX", 8).await;
    m.fold(ALICE, inbox).await.unwrap();
    let seen = FlagChange::Add(Flags::from(Flags::SEEN | Flags::DELETED));
    m.store_flags(ALICE, inbox, &[1, 4, 5], &seen, None)
        .await
        .unwrap();
    let row = m.rows(ALICE, inbox, &[4]).await.unwrap();
    assert!(row[0].flags.has(Flags::SEEN));
    // One that was changed and one that was not go.
    assert_eq!(m.expunge(ALICE, inbox, Some(&[4])).await.unwrap(), [4]);
    assert_eq!(m.remove(ALICE, inbox, &[6]).await.unwrap(), [6]);
    assert_eq!(uids(&m, inbox).await, [1, 2, 3, 5, 7, 8]);
    assert_eq!(m.rows(ALICE, inbox, &[4, 6]).await.unwrap(), []);
    let all: Vec<u32> = (1..=8).collect();
    assert_eq!(m.rows(ALICE, inbox, &all).await.unwrap().len(), 6);
    assert!(m.remove(ALICE, inbox, &[4, 6]).await.unwrap().is_empty());
    fill(&m, "INBOX", 2).await;
    sound(&m, ALICE).await;
    let rows = m.rows(ALICE, inbox, &(1..=20).collect::<Vec<_>>()).await;
    let rows = rows.unwrap();
    m.fold(ALICE, inbox).await.unwrap();
    assert_eq!(held(&m, inbox, keys::ROW).await, 0);
    assert_eq!(held(&m, inbox, keys::GONE).await, 0);
    let again = m.rows(ALICE, inbox, &(1..=20).collect::<Vec<_>>()).await;
    assert_eq!(again.unwrap(), rows);
    assert_eq!(uids(&m, inbox).await, [1, 2, 3, 5, 7, 8, 9, 10]);
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn empty_blocks_go() {
    let m = still().await;
    let inbox = fill(&m, "INBOX", 12).await;
    m.fold(ALICE, inbox).await.unwrap();
    let removed = m.remove(ALICE, inbox, &[1, 5, 6, 7, 8, 12]).await.unwrap();
    assert_eq!(removed.len(), 6);
    m.fold(ALICE, inbox).await.unwrap();
    assert_eq!(held(&m, inbox, keys::BLOCK_UIDS).await, 2);
    assert_eq!(uids(&m, inbox).await, [2, 3, 4, 9, 10, 11]);
    m.remove(ALICE, inbox, &[2, 3, 4, 9, 10, 11]).await.unwrap();
    m.fold(ALICE, inbox).await.unwrap();
    assert_eq!(held(&m, inbox, keys::BLOCK_UIDS).await, 0);
    assert_eq!(held(&m, inbox, keys::BLOCK_ROWS).await, 0);
    fill(&m, "INBOX", 1).await;
    m.fold(ALICE, inbox).await.unwrap();
    assert_eq!(uids(&m, inbox).await, [13]);
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn a_mailbox_with_blocks_is_copied_moved_and_deleted() {
    let m = still().await;
    m.create(ALICE, "Work", None).await.unwrap();
    let work = fill(&m, "Work", 9).await;
    m.fold(ALICE, work).await.unwrap();
    let inbox = m.find(ALICE, "INBOX").await.unwrap().id;
    m.copy(ALICE, work, &[2, 3], inbox, Quota::NONE)
        .await
        .unwrap();
    let moved = m.move_(ALICE, work, &[5, 9], inbox).await.unwrap();
    assert_eq!(moved.uids.len(), 2);
    let flag = FlagChange::Add(Flags::from(Flags::FLAGGED));
    m.store_flags(ALICE, work, &[1], &flag, None).await.unwrap();
    fill(&m, "Work", 2).await;
    sound(&m, ALICE).await;
    m.delete(ALICE, "Work").await.unwrap();
    for tag in [keys::ROW, keys::GONE, keys::BLOCK_UIDS, keys::BLOCK_ROWS] {
        assert_eq!(held(&m, work, tag).await, 0);
    }
    let report = sound(&m, ALICE).await;
    assert_eq!(report.messages, 4);
}

#[tokio::test]
async fn folds_and_changes_at_the_same_time_lose_nothing() {
    let m = still().await;
    let inbox = fill(&m, "INBOX", 40).await;
    let folding = {
        let m = m.clone();
        tokio::spawn(async move {
            for _ in 0..60 {
                m.fold(ALICE, inbox).await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    };
    for round in 0..10u32 {
        let flags = [Flags::SEEN, Flags::FLAGGED, Flags::ANSWERED][round as usize % 3];
        let change = FlagChange::Add(Flags::from(flags));
        let all: Vec<u32> = (1..=40).collect();
        let Flagged { rows, .. } = m
            .store_flags(ALICE, inbox, &all, &change, None)
            .await
            .unwrap();
        assert_eq!(rows.len(), 40 - 2 * round as usize, "round {round}");
        let gone = [2 * round + 1, 2 * round + 2];
        assert_eq!(m.remove(ALICE, inbox, &gone).await.unwrap(), gone);
        let found = m.rows(ALICE, inbox, &all).await.unwrap();
        assert_eq!(found.len(), 38 - 2 * round as usize);
    }
    folding.await.unwrap();
    assert_eq!(uids(&m, inbox).await, (21..=40).collect::<Vec<u32>>());
    sound(&m, ALICE).await;
}
