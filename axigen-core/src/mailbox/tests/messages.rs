//! Messages in, their flags, copies, moves and ends.
#![allow(clippy::unwrap_used)]

use super::*;

#[tokio::test]
async fn one_message_for_many() {
    let m = fresh().await;
    let targets = [
        to(ALICE, "INBOX"),
        flagged(BOB, "new/place", words(Flags::SEEN, &["$work"])),
        to(ALICE, "inbox"),
        flagged(ALICE, "Archive", Flags::from(Flags::FLAGGED)),
    ];
    let got = m.append(message("hello"), &targets).await.unwrap();
    let inbox = m.find(ALICE, "INBOX").await.unwrap();
    let archive = m.find(ALICE, "Archive").await.unwrap();
    let place = m.find(BOB, "new/place").await.unwrap();
    assert_eq!(
        got.iter().map(|a| (a.mailbox, a.uid)).collect::<Vec<_>>(),
        [(inbox.id, 1), (place.id, 1), (inbox.id, 2), (archive.id, 1)]
    );
    assert!(got[0].item < got[2].item && got[2].item < got[3].item);
    assert_eq!(got[0].modseq, got[3].modseq);
    assert_eq!(got[1].uid_validity, place.uid_validity);
    assert_eq!((inbox.messages, inbox.unseen, inbox.uid_next), (2, 2, 3));
    assert_eq!(inbox.highest_modseq, got[0].modseq);
    assert_eq!((place.messages, place.unseen), (1, 0));
    let rows = m.rows(BOB, place.id, &[1, 2]).await.unwrap();
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((row.item, row.modseq), (got[1].item, got[1].modseq));
    assert_eq!(row.flags, words(Flags::SEEN, &["$work"]));
    assert_eq!((row.internal_date, row.internal_zone), (1_700_000_000, 120));
    let raw = message("hello").raw;
    assert_eq!(row.size, raw.len() as u64);
    for (appended, account) in [(&got[0], ALICE), (&got[1], BOB)] {
        let body = m.body(account, appended.item, 0..u64::MAX).await.unwrap();
        assert_eq!(body, raw);
    }
    sound(&m, ALICE).await;
    sound(&m, BOB).await;
}

#[tokio::test]
async fn all_or_nothing() {
    let m = fresh().await;
    let gone = Target {
        mailbox: Place::Id(MailboxId(999)),
        ..to(BOB, "")
    };
    let full = Target {
        quota: Quota::of_bytes(10),
        ..to(BOB, "INBOX")
    };
    let named = |name: &str| [to(ALICE, "INBOX"), to(BOB, name)];
    let of = |last: Target| [to(ALICE, "INBOX"), last];
    let got = m.append(message("x"), &of(gone)).await;
    assert!(matches!(got, Err(Error::NoSuchMailbox)));
    let got = m.append(message("x"), &of(full)).await;
    assert!(matches!(got, Err(Error::OverQuota { target: 1 })));
    let got = m.append(message("x"), &named("a//b")).await;
    assert!(matches!(got, Err(Error::BadName(_))));
    let bad = flagged(BOB, "INBOX", words(0, &["a b"]));
    let got = m.append(message("x"), &of(bad)).await;
    assert!(matches!(got, Err(Error::BadKeyword(_))));
    assert_eq!(m.usage(ALICE).await.unwrap(), (0, 0));
    assert_eq!(m.find(ALICE, "INBOX").await.unwrap().uid_next, 1);
    assert!(m.append(message("x"), &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn delivery_to_an_account_never_prepared() {
    let m = fresh().await;
    let carol = AccountId(99);
    m.append(message("x"), &[to(carol, "inbox")]).await.unwrap();
    assert_eq!(m.list(carol).await.unwrap().len(), 6);
    let dave = AccountId(100);
    m.append(message("x"), &[to(dave, "INBOX/deep/er")])
        .await
        .unwrap();
    assert_eq!(m.list(dave).await.unwrap().len(), 8);
    sound(&m, carol).await;
    sound(&m, dave).await;
}

#[tokio::test]
async fn fifteen_mailboxes_of_an_account_at_once() {
    let m = fresh().await;
    let targets: Vec<_> = (0..16).map(|n| to(ALICE, &format!("m{n}"))).collect();
    let got = m.append(message("x"), &targets).await;
    assert!(matches!(got, Err(Error::TooMany(_))));
    let got = m.append(message("x"), &targets[..15]).await.unwrap();
    for (appended, number) in got.iter().zip(0..) {
        assert_eq!(appended.uid, 1);
        let info = m.info(ALICE, appended.mailbox).await.unwrap();
        assert_eq!(info.name, format!("m{number}"));
    }
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn quota_to_the_byte() {
    let m = fresh().await;
    let size = message("x").raw.len() as u64;
    let within = |quota: u64| {
        [Target {
            quota: Quota::of_bytes(quota),
            ..to(ALICE, "INBOX")
        }]
    };
    m.append(message("x"), &within(size)).await.unwrap();
    let got = m.append(message("x"), &within(2 * size - 1)).await;
    assert!(matches!(got, Err(Error::OverQuota { target: 0 })));
    m.append(message("x"), &within(2 * size)).await.unwrap();
    let inbox = m.find(ALICE, "INBOX").await.unwrap().id;
    let archive = m.find(ALICE, "Archive").await.unwrap().id;
    let got = m
        .copy(
            ALICE,
            inbox,
            &[1, 2],
            archive,
            Quota::of_bytes(4 * size - 1),
        )
        .await;
    assert!(matches!(got, Err(Error::OverQuota { target: 0 })));
    m.copy(ALICE, inbox, &[1, 2], archive, Quota::of_bytes(4 * size))
        .await
        .unwrap();
    // Above a quota that was lowered, everything that makes room still works.
    m.move_(ALICE, inbox, &[1], archive).await.unwrap();
    m.remove(ALICE, archive, &[1, 2]).await.unwrap();
    assert_eq!(m.usage(ALICE).await.unwrap(), (2 * size, 2));
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn a_quota_of_messages() {
    let m = fresh().await;
    let inbox = fill(&m, "INBOX", 2).await;
    let archive = m.find(ALICE, "Archive").await.unwrap().id;
    let most = |messages| Quota {
        bytes: None,
        messages: Some(messages),
    };
    let target = |messages| Target {
        quota: most(messages),
        ..to(ALICE, "INBOX")
    };
    let got = m.append(message("x"), &[target(2)]).await;
    assert!(matches!(got, Err(Error::OverQuota { target: 0 })));
    m.append(message("x"), &[target(3)]).await.unwrap();
    let got = m.copy(ALICE, inbox, &[1, 2], archive, most(4)).await;
    assert!(matches!(got, Err(Error::OverQuota { target: 0 })));
    m.copy(ALICE, inbox, &[1, 2], archive, most(5))
        .await
        .unwrap();
    assert_eq!(m.usage(ALICE).await.unwrap().1, 5);
    let flags = FlagChange::Add(Flags::from(Flags::DELETED));
    m.store_flags(ALICE, inbox, &[1, 3], &flags, None)
        .await
        .unwrap();
    let rows = m.rows(ALICE, inbox, &[1, 3]).await.unwrap();
    let size = rows.iter().map(|row| row.size).sum::<u64>();
    assert_eq!(m.deleted_size(ALICE, inbox).await.unwrap(), size);
    assert_eq!(m.deleted_size(ALICE, archive).await.unwrap(), 0);
    let all = m.list(ALICE).await.unwrap();
    assert_eq!(m.count(ALICE).await.unwrap() as usize, all.len());
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn flags_change_only_what_changes() {
    let m = fresh().await;
    let inbox = fill(&m, "INBOX", 3).await;
    let seen = FlagChange::Add(words(Flags::SEEN, &["$Work", "todo"]));
    let Flagged { rows, modified, .. } = m
        .store_flags(ALICE, inbox, &[3, 1, 9, 3], &seen, None)
        .await
        .unwrap();
    assert!(modified.is_empty());
    assert_eq!(rows.iter().map(|row| row.uid).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(rows[0].flags, words(Flags::SEEN, &["$Work", "todo"]));
    assert_eq!(rows[0].modseq, rows[1].modseq);
    let info = m.info(ALICE, inbox).await.unwrap();
    assert_eq!((info.unseen, info.highest_modseq), (1, rows[0].modseq));

    // The same again, in another case: nothing is written.
    let again = FlagChange::Add(words(Flags::SEEN, &["$WORK"]));
    let Flagged { rows, .. } = m
        .store_flags(ALICE, inbox, &[1, 3], &again, None)
        .await
        .unwrap();
    assert_eq!(rows[0].flags, words(Flags::SEEN, &["$Work", "todo"]));
    let after = m.info(ALICE, inbox).await.unwrap();
    assert_eq!(after, info);

    let less = FlagChange::Remove(words(Flags::SEEN, &["TODO", "never seen", "(bad"]));
    let Flagged { rows, .. } = m
        .store_flags(ALICE, inbox, &[1], &less, None)
        .await
        .unwrap();
    assert_eq!(rows[0].flags, words(0, &["$Work"]));
    let exactly = FlagChange::Replace(Flags::from(Flags::DELETED | Flags::DRAFT));
    let Flagged { rows, .. } = m
        .store_flags(ALICE, inbox, &[1, 2], &exactly, None)
        .await
        .unwrap();
    assert_eq!(rows[0].flags, Flags::from(Flags::DELETED | Flags::DRAFT));
    let info = m.info(ALICE, inbox).await.unwrap();
    assert_eq!((info.unseen, info.deleted), (2, 2));
    assert_eq!(
        m.keywords(ALICE).await.unwrap(),
        ["$Work".into(), "todo".into()] as [Arc<str>; 2]
    );
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn unchanged_since_leaves_newer_rows_alone() {
    let m = fresh().await;
    let inbox = fill(&m, "INBOX", 3).await;
    let since = m.info(ALICE, inbox).await.unwrap().highest_modseq;
    let flag = FlagChange::Add(Flags::from(Flags::FLAGGED));
    m.store_flags(ALICE, inbox, &[2], &flag, None)
        .await
        .unwrap();
    let seen = FlagChange::Add(Flags::from(Flags::SEEN));
    let Flagged { rows, modified, .. } = m
        .store_flags(ALICE, inbox, &[1, 2, 3], &seen, Some(since))
        .await
        .unwrap();
    assert_eq!(modified, [2]);
    assert_eq!(rows.iter().map(|row| row.uid).collect::<Vec<_>>(), [1, 3]);
    let two = &m.rows(ALICE, inbox, &[2]).await.unwrap()[0];
    assert!(!two.flags.has(Flags::SEEN));
}

#[tokio::test]
async fn unchanged_since_0_adds_keywords_that_are_not_set() {
    let m = fresh().await;
    let inbox = fill(&m, "INBOX", 2).await;
    let sent = FlagChange::Add(words(0, &["$MDNSent"]));
    let first = m.store_flags(ALICE, inbox, &[1], &sent, Some(0)).await;
    let first = first.unwrap();
    assert!(first.modified.is_empty());
    assert!(first.rows[0].flags.has_keyword("$MDNSent"));
    assert!(first.before[0] < first.rows[0].modseq);
    let both = m.store_flags(ALICE, inbox, &[1, 2], &sent, Some(0)).await;
    let both = both.unwrap();
    assert_eq!((both.modified, both.rows[0].uid), (vec![1], 2));
    // A system flag always exists, set or not (RFC 7162 §3.1.3).
    let seen = FlagChange::Add(words(Flags::SEEN, &["$New"]));
    let none = m.store_flags(ALICE, inbox, &[1, 2], &seen, Some(0)).await;
    assert_eq!(none.unwrap().modified, [1, 2]);
}

#[tokio::test]
async fn keywords_are_bounded() {
    let m = fresh_with(Options {
        keywords: 3,
        ..Options::default()
    })
    .await;
    let inbox = fill(&m, "INBOX", 1).await;
    let add = |keywords: &[&str]| FlagChange::Add(words(0, keywords));
    let two = add(&["a", "b"]);
    m.store_flags(ALICE, inbox, &[1], &two, None).await.unwrap();
    let more = add(&["c", "d"]);
    let got = m.store_flags(ALICE, inbox, &[1], &more, None).await;
    assert!(matches!(got, Err(Error::TooMany(_))));
    let target = flagged(ALICE, "INBOX", words(0, &["A", "c"]));
    m.append(message("x"), &[target]).await.unwrap();
    let many: Vec<String> = (0..101).map(|n| format!("k{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let got = m.store_flags(ALICE, inbox, &[1], &add(&many), None).await;
    assert!(matches!(got, Err(Error::TooMany(_))));
    // Another process has a table of its own and finds the names all the same.
    let other = Mailboxes::new(m.store.clone());
    let rows = other.rows(ALICE, inbox, &[1, 2]).await.unwrap();
    assert_eq!(rows[0].flags, words(0, &["a", "b"]));
    assert_eq!(rows[1].flags, words(0, &["a", "c"]));
}

#[tokio::test]
async fn copies_are_new_items_with_the_same_content() {
    let m = fresh().await;
    let inbox = fill(&m, "INBOX", 3).await;
    let archive = m.find(ALICE, "Archive").await.unwrap();
    let flags = FlagChange::Add(words(Flags::SEEN | Flags::DELETED, &["$k"]));
    m.store_flags(ALICE, inbox, &[3], &flags, None)
        .await
        .unwrap();
    let copied = m
        .copy(ALICE, inbox, &[3, 1, 77], archive.id, Quota::NONE)
        .await
        .unwrap();
    assert_eq!(copied.uid_validity, archive.uid_validity);
    assert_eq!(copied.uids, [(1, 1), (3, 2)]);
    let old = m.rows(ALICE, inbox, &[1, 3]).await.unwrap();
    let new = m.rows(ALICE, archive.id, &[1, 2]).await.unwrap();
    for (old, new) in old.iter().zip(&new) {
        assert_ne!(old.item, new.item);
        assert_eq!(old.flags, new.flags);
        assert!(new.modseq > old.modseq);
    }
    // The original goes; the copy's content stays.
    m.expunge(ALICE, inbox, None).await.unwrap();
    let gone = m.body(ALICE, old[1].item, 0..9).await;
    assert!(matches!(gone, Err(Error::NoSuchMessage)));
    let body = m.body(ALICE, new[1].item, 0..u64::MAX).await.unwrap();
    assert_eq!(body, message("message 2").raw);
    let got = m
        .copy(ALICE, inbox, &[1], MailboxId(999), Quota::NONE)
        .await;
    assert!(matches!(got, Err(Error::NoSuchMailbox)));
    let none = m
        .copy(ALICE, inbox, &[77], archive.id, Quota::NONE)
        .await
        .unwrap();
    assert!(none.uids.is_empty());
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn a_large_copy_is_all_or_nothing() {
    let m = fresh().await;
    let inbox = fill(&m, "INBOX", 10).await;
    let archive = m.find(ALICE, "Archive").await.unwrap().id;
    while uids(&m, inbox).await.len() < 2500 {
        let all = uids(&m, inbox).await;
        let room = 2500 - all.len();
        let some = &all[..all.len().min(room)];
        let copied = m
            .copy(ALICE, inbox, some, inbox, Quota::NONE)
            .await
            .unwrap();
        assert_eq!(copied.uids.len(), some.len());
    }
    let all = uids(&m, inbox).await;
    assert_eq!(all, (1..=2500).collect::<Vec<_>>());
    let (bytes, _) = m.usage(ALICE).await.unwrap();
    let got = m
        .copy(
            ALICE,
            inbox,
            &all,
            archive,
            Quota::of_bytes(bytes + bytes / 2),
        )
        .await;
    assert!(matches!(got, Err(Error::OverQuota { .. })));
    assert_eq!(m.info(ALICE, archive).await.unwrap().messages, 0);
    assert_eq!(m.usage(ALICE).await.unwrap(), (bytes, 2500));

    let moved = m.move_(ALICE, inbox, &all, archive).await.unwrap();
    assert!(moved.uids.is_sorted() && moved.uids.len() == 2500);
    let flags = FlagChange::Add(Flags::from(Flags::DELETED));
    let there = uids(&m, archive).await;
    let Flagged { rows, .. } = m
        .store_flags(ALICE, archive, &there, &flags, None)
        .await
        .unwrap();
    assert_eq!(rows.len(), 2500);
    sound(&m, ALICE).await;
    assert_eq!(m.expunge(ALICE, archive, None).await.unwrap(), there);
    assert_eq!(sound(&m, ALICE).await.messages, 0);
}

#[tokio::test]
async fn moves_keep_the_item() {
    let m = fresh().await;
    let inbox = fill(&m, "INBOX", 3).await;
    let archive = m.find(ALICE, "Archive").await.unwrap().id;
    let before = m.rows(ALICE, inbox, &[2, 3]).await.unwrap();
    let moved = m.move_(ALICE, inbox, &[3, 2], archive).await.unwrap();
    assert_eq!(moved.uids, [(2, 1), (3, 2)]);
    let after = m.rows(ALICE, archive, &[1, 2]).await.unwrap();
    assert_eq!(before[0].item, after[0].item);
    assert_eq!(before[1].item, after[1].item);
    assert_eq!(uids(&m, inbox).await, [1]);
    // Within one mailbox: new UIDs, nothing lost.
    let moved = m.move_(ALICE, archive, &[1], archive).await.unwrap();
    assert_eq!(moved.uids, [(1, 3)]);
    assert_eq!(uids(&m, archive).await, [2, 3]);
    let last = &m.rows(ALICE, archive, &[3]).await.unwrap()[0];
    assert_eq!(last.item, before[0].item);
    let got = m.move_(ALICE, inbox, &[1], MailboxId(999)).await;
    assert!(matches!(got, Err(Error::NoSuchMailbox)));
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn expunge_takes_the_deleted_only() {
    let m = fresh().await;
    let inbox = fill(&m, "INBOX", 5).await;
    let deleted = FlagChange::Add(Flags::from(Flags::DELETED));
    m.store_flags(ALICE, inbox, &[1, 2, 4], &deleted, None)
        .await
        .unwrap();
    let kept = FlagChange::Remove(Flags::from(Flags::DELETED));
    m.store_flags(ALICE, inbox, &[2], &kept, None)
        .await
        .unwrap();
    assert_eq!(
        m.expunge(ALICE, inbox, Some(&[1, 2, 3])).await.unwrap(),
        [1]
    );
    assert_eq!(m.expunge(ALICE, inbox, None).await.unwrap(), [4]);
    assert!(m.expunge(ALICE, inbox, None).await.unwrap().is_empty());
    assert_eq!(m.remove(ALICE, inbox, &[5, 3, 4]).await.unwrap(), [3, 5]);
    assert_eq!(uids(&m, inbox).await, [2]);
    // UIDs are never given again.
    m.remove(ALICE, inbox, &[2]).await.unwrap();
    assert_eq!(fill(&m, "INBOX", 1).await, inbox);
    assert_eq!(uids(&m, inbox).await, [6]);
    assert_eq!(sound(&m, ALICE).await.messages, 1);
}

#[tokio::test]
async fn structures_and_ranges() {
    let m = fresh().await;
    let got = m.append(message("x"), &[to(ALICE, "INBOX")]).await.unwrap();
    let item = got[0].item;
    let raw = message("x").raw;
    let end = raw.len() as u64;
    for (range, wanted) in [
        (0..end, &raw[..]),
        (3..7, &raw[3..7]),
        (3..u64::MAX, &raw[3..]),
        (end..u64::MAX, &[][..]),
        (u64::MAX - 1..u64::MAX, &[][..]),
    ] {
        assert_eq!(m.body(ALICE, item, range).await.unwrap(), wanted);
    }
    let empty = NewMessage {
        raw: Bytes::new(),
        ..message("")
    };
    let none = m.append(empty, &[to(ALICE, "INBOX")]).await.unwrap()[0];
    assert_eq!(m.body(ALICE, none.item, 0..1).await.unwrap(), "");
    assert!(m.structure(ALICE, item).await.is_ok());
    let some = m
        .structures(ALICE, &[item, ItemId(999), none.item])
        .await
        .unwrap();
    assert!(some[0].is_some() && some[1].is_none() && some[2].is_some());
    let gone = m.structure(ALICE, ItemId(999)).await;
    assert!(matches!(gone, Err(Error::NoSuchMessage)));
    // Not another account's.
    assert!(m.body(BOB, item, 0..1).await.is_err());
}

#[tokio::test]
async fn a_large_structure_is_kept_once() {
    let m = fresh().await;
    let recipients: Vec<String> = (0..800)
        .map(|n| format!("someone{n}@example.test"))
        .collect();
    let raw = format!("To: {}\r\n\r\nx\r\n", recipients.join(",\r\n "));
    let structure = structure::Structure::parse(raw.as_bytes()).encode();
    assert!(structure.len() > item::MOST_INLINE);
    let large = NewMessage {
        raw: raw.clone().into(),
        ..message("")
    };
    let targets = [to(ALICE, "INBOX"), to(BOB, "INBOX")];
    let got = m.append(large, &targets).await.unwrap();
    let archive = m.find(ALICE, "Archive").await.unwrap().id;
    let copied = m
        .copy(ALICE, got[0].mailbox, &[1], archive, Quota::NONE)
        .await;
    assert_eq!(copied.unwrap().uids, [(1, 1)]);
    // Two blobs, content and structure, however many items.
    let blobs = m.store.space().await.unwrap().blobs;
    assert_eq!(blobs, 2);
    assert_eq!(m.remove(ALICE, got[0].mailbox, &[1]).await.unwrap(), [1]);
    m.remove_account(BOB).await.unwrap();
    assert_eq!(m.store.space().await.unwrap().blobs, blobs);
    let item = m.rows(ALICE, archive, &[1]).await.unwrap()[0].item;
    let read = m.structure(ALICE, item).await.unwrap();
    assert_eq!(read.encode(), structure);
    assert_eq!(m.body(ALICE, item, 0..u64::MAX).await.unwrap(), raw);
    sound(&m, ALICE).await;
    // The last reference gone, both are dead.
    m.delete(ALICE, "Archive").await.unwrap();
    assert_eq!(m.store.space().await.unwrap().blobs, 0);
}

#[tokio::test]
async fn recent_is_told_once() {
    let m = fresh().await;
    let inbox = fill(&m, "INBOX", 2).await;
    assert_eq!(m.recent(ALICE, inbox, false).await.unwrap(), 1);
    assert_eq!(m.recent(ALICE, inbox, true).await.unwrap(), 1);
    assert_eq!(m.recent(ALICE, inbox, true).await.unwrap(), 3);
    fill(&m, "INBOX", 1).await;
    let other = Mailboxes::new(m.store.clone());
    assert_eq!(other.recent(ALICE, inbox, true).await.unwrap(), 3);
    assert_eq!(m.recent(ALICE, inbox, false).await.unwrap(), 4);
    let got = m.recent(ALICE, MailboxId(99), true).await;
    assert!(matches!(got, Err(Error::NoSuchMailbox)));
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn changes_come_from_the_log_and_without_it() {
    let m = fresh().await;
    let inbox = fill(&m, "INBOX", 4).await;
    let (_, start) = m.uids(ALICE, inbox).await.unwrap();
    assert_eq!(
        m.changes(ALICE, inbox, start).await.unwrap(),
        Changes {
            modseq: start,
            highest_modseq: start,
            ..Changes::default()
        }
    );
    m.remove(ALICE, inbox, &[2]).await.unwrap();
    let seen = FlagChange::Add(Flags::from(Flags::SEEN));
    m.store_flags(ALICE, inbox, &[3], &seen, None)
        .await
        .unwrap();
    fill(&m, "INBOX", 1).await;
    fill(&m, "Archive", 1).await; // of no concern
    let changes = m.changes(ALICE, inbox, start).await.unwrap();
    let rows: Vec<u32> = changes.rows.iter().map(|row| row.uid).collect();
    assert_eq!(rows, [3, 5]);
    assert!(changes.vanished.iter().eq([2]));
    let info = m.info(ALICE, inbox).await.unwrap();
    assert_eq!(changes.highest_modseq, info.highest_modseq);
    assert!(changes.modseq > start);

    m.cut_log(ALICE, start + 1).await.unwrap();
    assert_eq!(m.log_floor(ALICE).await.unwrap(), start + 1);
    m.cut_log(ALICE, 1).await.unwrap(); // never back
    assert_eq!(m.log_floor(ALICE).await.unwrap(), start + 1);
    let compared = m.changes(ALICE, inbox, start).await.unwrap();
    assert_eq!(compared.rows, changes.rows);
    assert!(compared.vanished.iter().eq([2]));
    let tail = m.changes(ALICE, inbox, start + 1).await.unwrap();
    assert_eq!(tail.rows, changes.rows);
    assert!(tail.vanished.is_empty());
    m.cut_log(ALICE, u64::MAX).await.unwrap();
    assert_eq!(m.log_floor(ALICE).await.unwrap(), changes.modseq);
    sound(&m, ALICE).await;
    let got = m.changes(ALICE, MailboxId(99), 0).await;
    assert!(matches!(got, Err(Error::NoSuchMailbox)));
}

#[tokio::test]
async fn verify_sees_what_is_wrong() {
    use super::draft::Draft;
    let m = fresh().await;
    let inbox = fill(&m, "INBOX", 2).await;
    let mut draft = Draft::new(ALICE).quiet();
    draft.delete(keys::row(inbox, 1));
    draft.delete(keys::name("Junk"));
    m.commit(vec![draft]).await.unwrap().unwrap();
    let report = m.verify(ALICE).await.unwrap();
    let problems = report.problems.join("\n");
    for wanted in [
        "cannot be found by its name",
        "item 1 is in no mailbox",
        "messages of \"INBOX\" is 2, counted 1",
        "unseen of \"INBOX\" is 2, counted 1",
        "messages of the account is 2, counted 1",
    ] {
        assert!(problems.contains(wanted), "{wanted} not in:\n{problems}");
    }
}

#[tokio::test]
async fn following_the_log_misses_and_tears_nothing() {
    let m = fresh().await;
    m.create_account(ALICE).await.unwrap();
    let inbox = m.find(ALICE, "INBOX").await.unwrap().id;
    let start = m.last_change(ALICE).await.unwrap();
    fill(&m, "INBOX", 5).await;
    let archive = m.create(ALICE, "Box", None).await.unwrap().id;
    m.move_(ALICE, inbox, &[1, 2], archive).await.unwrap();
    let seen = FlagChange::Add(Flags::from(Flags::SEEN));
    m.store_flags(ALICE, inbox, &[3], &seen, None)
        .await
        .unwrap();
    m.remove(ALICE, inbox, &[4, 5]).await.unwrap();
    m.delete(ALICE, "Box").await.unwrap();
    for most in [1, 2, 3, 1000] {
        let (mut at, mut stretches) = (start, 0);
        let mut whole = Stretch::default();
        loop {
            let stretch = m.follow(ALICE, at, most).await.unwrap().unwrap();
            assert!(stretch.upto > at || !stretch.more);
            at = stretch.upto;
            stretches += 1;
            for (mine, theirs) in [
                (&mut whole.came, stretch.came),
                (&mut whole.gone, stretch.gone),
            ] {
                for (mailbox, uids) in theirs {
                    mine.entry(mailbox).or_default().extend(uids);
                }
            }
            whole.folders.extend(stretch.folders);
            if !stretch.more {
                break;
            }
        }
        assert_eq!(at, m.last_change(ALICE).await.unwrap());
        assert_eq!(stretches == 1, most == 1000, "{most}");
        let came = [(inbox, (1..=5).collect()), (archive, (1..=2).collect())];
        assert_eq!(whole.came, came.into());
        assert_eq!(whole.gone, [(inbox, [1, 2, 4, 5].into())].into());
        assert_eq!(whole.folders, [archive].into());
    }
    let there = m.mailbox_ids(ALICE).await.unwrap();
    assert!(there.contains(&inbox) && !there.contains(&archive));
    m.cut_log(ALICE, start + 2).await.unwrap();
    assert_eq!(m.follow(ALICE, start + 1, 9).await.unwrap(), None);
    assert!(m.follow(ALICE, start + 2, 9).await.unwrap().is_some());
    let epoch = m.epoch().await.unwrap();
    assert_eq!(m.epoch().await.unwrap(), epoch);
    m.end_epoch().await.unwrap();
    assert_ne!(m.epoch().await.unwrap(), epoch);
}
