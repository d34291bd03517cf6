//! Everything that can be wrong with an account, made wrong on purpose: verify
//! finds it, repair sets it right, verify finds nothing, and what could be kept
//! was kept.

use std::collections::HashSet;

use axigen_store::{Batch, Key, Op, Part};

use super::*;
use crate::mailbox::item::Item;
use crate::mailbox::keys::{Account, Counter};
use crate::mailbox::repair::Repaired;

async fn write(mailboxes: &Mailboxes, ops: Vec<Op>) {
    let part = Part {
        account: ALICE,
        ops,
        ..Part::default()
    };
    let batch = Batch { parts: vec![part] };
    mailboxes.store.commit(batch).await.unwrap();
}

fn set(key: Key, val: impl Into<Bytes>) -> Op {
    Op::Set {
        key: key.into(),
        val: val.into().into(),
    }
}

/// Fourteen messages in INBOX, most in blocks, one changed and one removed
/// since; three in Work.
async fn used() -> (Mailboxes, MailboxId, MailboxId) {
    // Folded when the test says so.
    let mailboxes = fresh_with(Options {
        uid_validity: Some(1000),
        block_rows: 3,
        fold_at: 1000,
        ..Options::default()
    })
    .await;
    mailboxes.create(ALICE, "Work", None).await.unwrap();
    let inbox = fill(&mailboxes, "INBOX", 12).await;
    let work = fill(&mailboxes, "Work", 3).await;
    mailboxes.fold(ALICE, inbox).await.unwrap();
    fill(&mailboxes, "INBOX", 2).await;
    let seen = words(Flags::SEEN | Flags::DELETED, &["$x"]);
    mailboxes
        .store_flags(ALICE, inbox, &[2, 13], &FlagChange::Add(seen), None)
        .await
        .unwrap();
    mailboxes.remove(ALICE, inbox, &[5]).await.unwrap();
    (mailboxes, inbox, work)
}

async fn mended(mailboxes: &Mailboxes, what: &str) -> Repaired {
    let found = mailboxes.verify(ALICE).await.unwrap();
    assert!(found.problem_count > 0, "{what}: verify sees nothing");
    let done = mailboxes.repair(ALICE, &HashSet::new()).await.unwrap();
    let left = mailboxes.verify(ALICE).await.unwrap();
    assert_eq!(left.problems, Vec::<String>::new(), "{what}");
    done
}

async fn count(mailboxes: &Mailboxes, name: &str) -> usize {
    let id = mailboxes.find(ALICE, name).await.unwrap().id;
    uids(mailboxes, id).await.len()
}

#[tokio::test]
async fn what_is_right_is_left_alone() {
    let (mailboxes, ..) = used().await;
    let before = mailboxes.store.seq(ALICE).await.unwrap();
    let done = mailboxes.repair(ALICE, &HashSet::new()).await.unwrap();
    assert_eq!(done, Repaired::default());
    assert_eq!(mailboxes.store.seq(ALICE).await.unwrap(), before);
}

#[tokio::test]
async fn counters_and_indexes_are_counted_again() {
    let (mailboxes, inbox, _) = used().await;
    let nine = 9i64.to_be_bytes().to_vec();
    let mut ops: Vec<Op> = keys::COUNTERS
        .into_iter()
        .filter(|which| *which != Counter::LastUid && *which != Counter::Modseq)
        .map(|which| set(keys::counter(inbox, which), nine.clone()))
        .collect();
    ops.push(set(
        keys::counter(inbox, Counter::LastUid),
        3i64.to_be_bytes().to_vec(),
    ));
    for which in [Account::Messages, Account::Bytes, Account::Mailboxes] {
        ops.push(set(keys::account(which), nine.clone()));
    }
    for which in [Account::Item, Account::Mailbox, Account::Validity] {
        ops.push(set(keys::account(which), 1i64.to_be_bytes().to_vec()));
    }
    ops.push(Op::Delete(keys::deleted(inbox, 2)));
    ops.push(set(keys::deleted(inbox, 3), ""));
    ops.push(set(keys::counter(MailboxId(77), Counter::Size), nine));
    write(&mailboxes, ops).await;
    mended(&mailboxes, "counters").await;
    assert_eq!(count(&mailboxes, "INBOX").await, 13);
    // New numbers are new.
    let appended = mailboxes
        .append(message("new"), &[to(ALICE, "INBOX")])
        .await
        .unwrap();
    assert_eq!(appended[0].uid, 15);
    let info = mailboxes.find(ALICE, "INBOX").await.unwrap();
    assert_eq!((info.messages, info.unseen, info.deleted), (14, 12, 2));
    mailboxes.verify(ALICE).await.unwrap();
}

#[tokio::test]
async fn names_lead_to_mailboxes_again() {
    let (mailboxes, inbox, work) = used().await;
    write(
        &mailboxes,
        vec![
            Op::Delete(keys::name("Work")),
            set(keys::name("Nowhere"), 99u32.to_be_bytes().to_vec()),
        ],
    )
    .await;
    mended(&mailboxes, "names").await;
    assert_eq!(count(&mailboxes, "Work").await, 3);
    // Two that claim one name and one UID validity.
    let folder = mailboxes.record(ALICE, inbox).await.unwrap();
    write(&mailboxes, vec![set(keys::mailbox(work), folder.encode())]).await;
    mended(&mailboxes, "one name").await;
    assert_eq!(count(&mailboxes, "INBOX").await, 13);
    let other = format!("Repaired {}", work.0);
    assert_eq!(count(&mailboxes, &other).await, 3);
    // A record that says nothing.
    write(&mailboxes, vec![set(keys::mailbox(work), "?")]).await;
    let found = mailboxes.verify(ALICE).await;
    assert!(found.is_err() || found.unwrap().problem_count > 0);
    mailboxes.repair(ALICE, &HashSet::new()).await.unwrap();
    let left = mailboxes.verify(ALICE).await.unwrap();
    assert_eq!(left.problems, Vec::<String>::new());
    let other = format!("Recovered {}", work.0);
    assert_eq!(count(&mailboxes, &other).await, 3);
}

#[tokio::test]
async fn rows_stand_where_they_belong() {
    let (mailboxes, inbox, _) = used().await;
    let row = |uid| keys::row(inbox, uid);
    let get = async |key: Key| {
        let got = mailboxes.store.get(ALICE, &[key]).await.unwrap();
        got[0].clone().unwrap()
    };
    // A row over a block's claims to be alone, and the other way round.
    let mut over = get(row(2)).await.to_vec();
    over[0] = 1;
    let mut alone = get(row(14)).await.to_vec();
    alone[0] = 2;
    // A mark of nothing; a size that is not the message's.
    let mut sized = get(row(13)).await.to_vec();
    sized[28..36].copy_from_slice(&1u64.to_be_bytes());
    write(
        &mailboxes,
        vec![
            set(row(2), over),
            set(row(14), alone),
            set(row(13), sized),
            set(keys::gone(inbox, 40), ""),
        ],
    )
    .await;
    mended(&mailboxes, "rows").await;
    assert_eq!(count(&mailboxes, "INBOX").await, 13);
}

#[tokio::test]
async fn messages_without_rows_come_into_the_inbox() {
    let (mailboxes, inbox, work) = used().await;
    // Of one the row, of others the block's rows, are gone or unreadable.
    let blocks = mailboxes.block_lists(ALICE, inbox, 0, u32::MAX).await;
    let first = blocks.unwrap()[0].0;
    write(
        &mailboxes,
        vec![
            Op::Delete(keys::row(work, 2)),
            set(keys::row(work, 3), "torn"),
            set(keys::block_rows(inbox, first), "torn"),
        ],
    )
    .await;
    let before = mailboxes.verify(ALICE).await;
    assert!(before.is_err() || before.unwrap().problem_count > 0);
    let done = mailboxes.repair(ALICE, &HashSet::new()).await.unwrap();
    assert!(done.recovered >= 3, "{done:?}");
    let left = mailboxes.verify(ALICE).await.unwrap();
    assert_eq!(left.problems, Vec::<String>::new());
    let all = count(&mailboxes, "INBOX").await + count(&mailboxes, "Work").await;
    assert_eq!(all, 16);
}

#[tokio::test]
async fn what_is_lost_is_taken_out_and_named() {
    let (mailboxes, inbox, work) = used().await;
    let rows = mailboxes.rows(ALICE, work, &[2]).await.unwrap();
    let key = keys::item(rows[0].item);
    let record = mailboxes.store.get(ALICE, &[key]).await.unwrap();
    let item = Item::decode(record[0].as_ref().unwrap()).unwrap();
    // A row whose item is gone, of a block and alone.
    let rows = mailboxes.rows(ALICE, inbox, &[3, 14]).await.unwrap();
    let gone = rows.iter().map(|row| Op::Delete(keys::item(row.item)));
    write(&mailboxes, gone.collect()).await;
    let lost = HashSet::from([item.content.hash]);
    let done = mailboxes.repair(ALICE, &lost).await.unwrap();
    // INBOX and Work hold the same messages.
    assert!(done.lost.contains(&("Work".to_owned(), 2)), "{done:?}");
    let left = mailboxes.verify(ALICE).await.unwrap();
    assert_eq!(left.problems, Vec::<String>::new());
    assert_eq!(count(&mailboxes, "Work").await, 2);
    // A client that knew the old state is told to read anew.
    let floor = mailboxes.log_floor(ALICE).await.unwrap();
    assert_eq!(floor, mailboxes.store.seq(ALICE).await.unwrap());
}
