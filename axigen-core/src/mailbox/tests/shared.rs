//! Mailboxes that others read: what each has seen, counted under contention,
//! copies between accounts, and damage.

use std::collections::HashSet;

use axigen_proto::imap::extensions::acl::{Change, Rights};
use axigen_store::{Batch, Key, Op, Part};
use proptest::prelude::*;

use super::*;
use crate::mailbox::WhenGone;
use crate::mailbox::acl::Who;

const CY: AccountId = AccountId(9);

fn view(mailbox: MailboxId, reader: AccountId) -> View {
    View {
        account: ALICE,
        mailbox,
        reader,
        rights: Rights::ALL,
    }
}

fn seen() -> Flags {
    Flags::from(Flags::SEEN)
}

async fn seen_uids(mailboxes: &Mailboxes, view: &View) -> Vec<u32> {
    let (uids, _) = mailboxes.uids(view.account, view.mailbox).await.unwrap();
    let rows = mailboxes.rows_of(view, &uids).await.unwrap();
    let seen = rows.iter().filter(|row| row.flags.has(Flags::SEEN));
    seen.map(|row| row.uid).collect()
}

/// A step of somebody.
#[derive(Debug, Clone)]
enum Step {
    Store {
        who: usize,
        uids: Vec<u32>,
        change: u8,
    },
    Remove(Vec<u32>),
    Move(Vec<u32>),
    Append,
}

fn step() -> impl Strategy<Value = Step> {
    let uids = || prop::collection::vec(1u32..14, 1..5);
    prop_oneof![
        4 => (0usize..3, uids(), 0u8..3).prop_map(|(who, uids, change)| Step::Store { who, uids, change }),
        1 => uids().prop_map(Step::Remove),
        1 => uids().prop_map(Step::Move),
        1 => Just(Step::Append),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Three readers, the owner among them, against plain sets.
    #[test]
    fn each_has_seen_what_it_has_seen(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mailboxes = fresh().await;
            let inbox = fill(&mailboxes, "INBOX", 8).await;
            let other = mailboxes.create(ALICE, "Other", None).await.unwrap().id;
            let views = [view(inbox, ALICE), view(inbox, BOB), view(inbox, CY)];
            let mut there: Vec<u32> = (1..=8).collect();
            let mut model: [HashSet<u32>; 3] = Default::default();
            for step in steps {
                match step {
                    Step::Store { who, uids, change } => {
                        let change_of = match change {
                            0 => FlagChange::Add(seen()),
                            1 => FlagChange::Remove(seen()),
                            _ => FlagChange::Replace(seen()),
                        };
                        let before = mailboxes.last_change(ALICE).await.unwrap();
                        let done = mailboxes.store_flags_of(&views[who], &uids, &change_of, None).await.unwrap();
                        for uid in uids.into_iter().filter(|uid| there.contains(uid)) {
                            match change {
                                1 => model[who].remove(&uid),
                                _ => model[who].insert(uid),
                            };
                        }
                        // What is told of a change is what it did, and who else looks is told
                        // of nothing but what is common.
                        for row in &done.rows {
                            prop_assert_eq!(row.flags.has(Flags::SEEN), model[who].contains(&row.uid));
                        }
                        for (at, reader) in views.iter().enumerate() {
                            let changes = mailboxes.changes_of(reader, before).await.unwrap();
                            let changed = done.rows.iter().zip(&done.before).filter(|(row, before)| row.modseq != **before);
                            let wanted: Vec<u32> = match at == who || who == 0 {
                                true => changed.map(|(row, _)| row.uid).collect(),
                                false => Vec::new(),
                            };
                            let told: Vec<u32> = changes.rows.iter().map(|row| row.uid).collect();
                            prop_assert_eq!(told, wanted);
                        }
                    }
                    Step::Remove(uids) => {
                        mailboxes.remove(ALICE, inbox, &uids).await.unwrap();
                        there.retain(|uid| !uids.contains(uid));
                    }
                    Step::Move(uids) => {
                        mailboxes.move_(ALICE, inbox, &uids, other).await.unwrap();
                        there.retain(|uid| !uids.contains(uid));
                    }
                    Step::Append => {
                        let at = mailboxes.append(message("more"), &[to(ALICE, "INBOX")]).await.unwrap();
                        there.push(at[0].uid);
                    }
                }
                for (reader, model) in views.iter().zip(&mut model) {
                    model.retain(|uid| there.contains(uid));
                    let mut wanted: Vec<u32> = model.iter().copied().collect();
                    wanted.sort_unstable();
                    prop_assert_eq!(&seen_uids(&mailboxes, reader).await, &wanted);
                    let info = mailboxes.info_of(reader).await.unwrap();
                    prop_assert_eq!(info.unseen as usize, there.len() - wanted.len());
                }
            }
            sound(&mailboxes, ALICE).await;
            mailboxes.delete(ALICE, "Other").await.unwrap();
            sound(&mailboxes, ALICE).await;
            Ok(())
        })?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_readers_at_once_count_right() {
    let mailboxes = fresh().await;
    let inbox = fill(&mailboxes, "INBOX", 40).await;
    let mut work = tokio::task::JoinSet::new();
    for reader in 20..26 {
        let mailboxes = mailboxes.clone();
        work.spawn(async move {
            let view = view(inbox, AccountId(reader));
            for round in 0..10u32 {
                let uids: Vec<u32> = (1..=40).filter(|uid| (uid + round) % 3 == 0).collect();
                let change = match round % 3 {
                    2 => FlagChange::Remove(seen()),
                    _ => FlagChange::Add(seen()),
                };
                mailboxes
                    .store_flags_of(&view, &uids, &change, None)
                    .await
                    .unwrap();
            }
        });
    }
    let removing = mailboxes.clone();
    work.spawn(async move {
        for uid in 10..30 {
            removing.remove(ALICE, inbox, &[uid]).await.unwrap();
        }
    });
    while let Some(done) = work.join_next().await {
        done.unwrap();
    }
    let report = sound(&mailboxes, ALICE).await;
    assert_eq!(report.messages, 20);
}

#[tokio::test]
async fn between_two_accounts() {
    let mailboxes = fresh().await;
    let work = mailboxes.create(ALICE, "Work", None).await.unwrap().id;
    let flags = words(Flags::SEEN | Flags::FLAGGED, &["$Mine", "$b"]);
    for flags in [flags, Flags::default()] {
        let target = flagged(BOB, "INBOX", flags);
        mailboxes.append(message("x"), &[target]).await.unwrap();
    }
    let inbox = mailboxes.find(BOB, "INBOX").await.unwrap().id;
    let own = View::own(BOB, inbox);
    let full = Quota {
        bytes: None,
        messages: Some(1),
    };
    let error = mailboxes
        .copy_of(&own, &[1, 2], &view(work, BOB), full, WhenGone::LeaveOut)
        .await;
    assert!(matches!(error, Err(Error::OverQuota { .. })));
    let copied = mailboxes
        .copy_of(
            &own,
            &[1, 2, 9],
            &view(work, BOB),
            Quota::NONE,
            WhenGone::LeaveOut,
        )
        .await
        .unwrap();
    assert_eq!(copied.uids, [(1, 1), (2, 2)]);
    assert_eq!(seen_uids(&mailboxes, &view(work, BOB)).await, [1]);
    assert_eq!(
        seen_uids(&mailboxes, &View::own(ALICE, work)).await,
        [0u32; 0]
    );
    let rows = mailboxes.rows(ALICE, work, &[1]).await.unwrap();
    assert_eq!(rows[0].flags, words(Flags::FLAGGED, &["$Mine", "$b"]));
    // One who may set no flags brings none.
    let plain = View {
        rights: Rights::INSERT,
        ..view(work, BOB)
    };
    let moved = mailboxes
        .move_of(&own, &[1, 2], &plain, Quota::NONE, WhenGone::LeaveOut)
        .await
        .unwrap();
    assert_eq!(moved.uids, [(1, 3), (2, 4)]);
    let rows = mailboxes.rows(ALICE, work, &[3, 4]).await.unwrap();
    assert!(rows.iter().all(|row| row.flags == Flags::default()));
    assert!(mailboxes.uids(BOB, inbox).await.unwrap().0.is_empty());
    let body = mailboxes.body(ALICE, rows[0].item, 0..100).await.unwrap();
    assert_eq!(body, message("x").raw);
    sound(&mailboxes, ALICE).await;
    sound(&mailboxes, BOB).await;
}

#[tokio::test]
async fn wrong_marks_are_found_and_mended() {
    let mailboxes = fresh().await;
    let inbox = fill(&mailboxes, "INBOX", 4).await;
    let bob = view(inbox, BOB);
    let add = FlagChange::Add(seen());
    mailboxes
        .store_flags_of(&bob, &[1, 2], &add, None)
        .await
        .unwrap();
    let rights = Rights::LOOKUP;
    mailboxes
        .set_access(
            ALICE,
            inbox,
            (Who::Account(BOB), false),
            Change::Add,
            rights,
        )
        .await
        .unwrap();
    assert_eq!(mailboxes.sharers(BOB).await.unwrap(), [ALICE]);
    let write = async |key: Key, val: &[u8]| {
        let part = Part {
            account: ALICE,
            ops: vec![Op::Set {
                key: key.into(),
                val: Bytes::copy_from_slice(val).into(),
            }],
            ..Part::default()
        };
        let batch = Batch { parts: vec![part] };
        mailboxes.store.commit(batch).await.unwrap();
    };
    for (key, val) in [
        (keys::reader(inbox, BOB), &7i64.to_be_bytes()[..]),
        (keys::reader(inbox, CY), &1i64.to_be_bytes()[..]),
        (keys::seen(inbox, BOB, 99), b"\x01\0\0\0\0\0\0\0\x05"),
    ] {
        write(key, val).await;
        assert!(mailboxes.verify(ALICE).await.unwrap().problem_count > 0);
        let done = mailboxes.repair(ALICE, &HashSet::new()).await.unwrap();
        assert_eq!(done.mended.len(), 1, "{done:?}");
        sound(&mailboxes, ALICE).await;
    }
    assert_eq!(mailboxes.info_of(&bob).await.unwrap().unseen, 2);
}
