//! Creating, finding, renaming, deleting, subscribing.
#![allow(clippy::unwrap_used)]

use super::*;

#[tokio::test]
async fn an_account_begins_with_six_subscribed_mailboxes() {
    let m = fresh().await;
    let list = m.list(ALICE).await.unwrap();
    let seen: Vec<_> = list
        .iter()
        .map(|info| (info.name.as_str(), info.special_use, info.subscribed))
        .collect();
    assert_eq!(
        seen,
        [
            ("INBOX", None, true),
            ("Archive", Some(SpecialUse::Archive), true),
            ("Drafts", Some(SpecialUse::Drafts), true),
            ("Junk", Some(SpecialUse::Junk), true),
            ("Sent", Some(SpecialUse::Sent), true),
            ("Trash", Some(SpecialUse::Trash), true),
        ]
    );
    let inbox = &list[0];
    assert_eq!((inbox.uid_next, inbox.messages, inbox.unseen), (1, 0, 0));
    assert!(inbox.highest_modseq > 0);
    // Again does nothing, also when the user threw one away.
    m.delete(ALICE, "Junk").await.unwrap();
    m.create_account(ALICE).await.unwrap();
    assert_eq!(m.list(ALICE).await.unwrap().len(), 5);
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn uid_validity_is_the_time_unless_said_otherwise() {
    let m = fresh_with(Options::default()).await;
    let inbox = m.find(ALICE, "INBOX").await.unwrap();
    assert!(inbox.uid_validity > 1_700_000_000);
}

#[tokio::test]
async fn a_name_made_again_has_a_greater_uid_validity_and_another_id() {
    let m = fresh().await;
    let mut last: Option<MailboxInfo> = None;
    for _ in 0..3 {
        let now = m.create(ALICE, "x", None).await.unwrap();
        if let Some(last) = last {
            assert!(now.uid_validity > last.uid_validity && now.id > last.id);
            assert!(matches!(
                m.info(ALICE, last.id).await,
                Err(Error::NoSuchMailbox)
            ));
        }
        m.delete(ALICE, "x").await.unwrap();
        last = Some(now);
    }
}

#[tokio::test]
async fn create_makes_parents_and_refuses_what_is_there() {
    let m = fresh().await;
    let made = m
        .create(ALICE, "a/b/c/", Some(SpecialUse::Flagged))
        .await
        .unwrap();
    assert_eq!(made.name, "a/b/c");
    assert_eq!(made.special_use, Some(SpecialUse::Flagged));
    assert!(!made.subscribed);
    let parent = m.find(ALICE, "a/b").await.unwrap();
    assert_eq!(parent.special_use, None);
    for name in ["a", "a/b", "inbox", "InBoX"] {
        assert!(matches!(
            m.create(ALICE, name, None).await,
            Err(Error::AlreadyExists)
        ));
    }
    for name in ["", "a//b", "x*", "%", "../a", "a\r\n"] {
        assert!(matches!(
            m.create(ALICE, name, None).await,
            Err(Error::BadName(_))
        ));
    }
    assert_eq!(
        m.create(ALICE, "inbox/below", None).await.unwrap().name,
        "INBOX/below"
    );
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn find_knows_inbox_in_any_case_and_nothing_else() {
    let m = fresh().await;
    assert_eq!(m.find(ALICE, "iNbOx").await.unwrap().name, "INBOX");
    for name in ["junk", "", "a//", "\0", "nothing"] {
        assert!(matches!(
            m.find(ALICE, name).await,
            Err(Error::NoSuchMailbox)
        ));
    }
    // RFC 9051 §5.1: composed and decomposed spellings are one name.
    let made = m.create(ALICE, "\u{fc}", None).await.unwrap();
    assert_eq!(m.find(ALICE, "u\u{308}").await.unwrap().id, made.id);
}

#[tokio::test]
async fn delete_leaves_children_and_the_name_as_a_parent() {
    let m = fresh().await;
    m.create(ALICE, "a/b", None).await.unwrap();
    fill(&m, "a", 3).await;
    fill(&m, "a/b", 2).await;
    m.delete(ALICE, "a").await.unwrap();
    let list = m.list(ALICE).await.unwrap();
    assert_eq!(names::missing_parents(&list), ["a"]);
    assert!(list.iter().any(|info| info.name == "a/b"));
    assert_eq!(m.usage(ALICE).await.unwrap().1, 2);
    assert!(matches!(
        m.delete(ALICE, "a").await,
        Err(Error::HasChildren)
    ));
    assert!(matches!(
        m.delete(ALICE, "INBOX").await,
        Err(Error::InboxIsPermanent)
    ));
    assert!(matches!(
        m.delete(ALICE, "zzz").await,
        Err(Error::NoSuchMailbox)
    ));
    assert!(m.create(ALICE, "a", None).await.unwrap().messages == 0);
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn an_interrupted_deletion_goes_on() {
    let m = fresh().await;
    let gone = fill(&m, "gone", 30).await;
    m.condemn(ALICE, "gone").await.unwrap();
    // The program ended here. Nothing can reach the messages.
    assert_eq!(sound(&m, ALICE).await.deletions, 1);
    assert_eq!(m.usage(ALICE).await.unwrap().1, 30);
    let flags = FlagChange::Add(Flags::from(Flags::SEEN));
    assert!(matches!(
        m.store_flags(ALICE, gone, &[1], &flags, None).await,
        Err(Error::NoSuchMailbox)
    ));
    assert!(matches!(
        m.remove(ALICE, gone, &[1]).await,
        Err(Error::NoSuchMailbox)
    ));
    assert!(matches!(
        m.uids(ALICE, gone).await,
        Err(Error::NoSuchMailbox)
    ));
    m.create_account(ALICE).await.unwrap();
    let report = sound(&m, ALICE).await;
    assert_eq!((report.deletions, report.messages), (0, 0));
    assert_eq!(m.usage(ALICE).await.unwrap(), (0, 0));
}

#[tokio::test]
async fn rename_takes_everything_below_along() {
    let m = fresh().await;
    let id = fill(&m, "a/b/c", 2).await;
    let before = m.info(ALICE, id).await.unwrap();
    m.rename(ALICE, "a/b", "x/y").await.unwrap();
    let names = names(&m, ALICE).await;
    assert_eq!(names[5..], ["Trash", "a", "x", "x/y", "x/y/c"]);
    let after = m.find(ALICE, "x/y/c").await.unwrap();
    assert_eq!(
        MailboxInfo {
            name: "a/b/c".into(),
            ..after
        },
        before
    );
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn rename_keeps_the_rules() {
    let m = fresh().await;
    m.create(ALICE, "a/b", None).await.unwrap();
    m.create(ALICE, "c/b", None).await.unwrap();
    assert!(matches!(
        m.rename(ALICE, "a", "a/b/d").await,
        Err(Error::BadName(_))
    ));
    for (from, to) in [("a", "c"), ("a", "a"), ("a", "inbox"), ("INBOX", "a")] {
        assert!(
            matches!(m.rename(ALICE, from, to).await, Err(Error::AlreadyExists)),
            "{from} {to}"
        );
    }
    assert!(matches!(
        m.rename(ALICE, "nothing", "d").await,
        Err(Error::NoSuchMailbox)
    ));
    assert!(matches!(
        m.rename(ALICE, "a", "x*").await,
        Err(Error::BadName(_))
    ));
    // A child in the way, although the name itself is free.
    m.delete(ALICE, "c").await.unwrap();
    assert!(matches!(
        m.rename(ALICE, "a", "c").await,
        Err(Error::AlreadyExists)
    ));
    // Names below would become too long.
    let long = "l".repeat(999);
    assert!(matches!(
        m.rename(ALICE, "a", &long).await,
        Err(Error::BadName(_))
    ));
    // A parent that is no mailbox itself can be renamed; so can a name into
    // the place of its parent.
    m.rename(ALICE, "c", "d").await.unwrap();
    assert!(m.find(ALICE, "d/b").await.is_ok());
    m.rename(ALICE, "d/b", "d").await.unwrap();
    assert!(m.find(ALICE, "d").await.is_ok());
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn a_name_moves_up_into_its_own_way() {
    let m = fresh().await;
    m.create(ALICE, "a/b/b/b", None).await.unwrap();
    let top = m.find(ALICE, "a/b").await.unwrap().id;
    m.delete(ALICE, "a").await.unwrap();
    m.rename(ALICE, "a/b", "a").await.unwrap();
    assert_eq!(m.find(ALICE, "a").await.unwrap().id, top);
    let names = names(&m, ALICE).await;
    assert_eq!(names[6..], ["a", "a/b", "a/b/b"]);
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn renaming_inbox_moves_its_messages_only() {
    let m = fresh().await;
    let inbox = fill(&m, "INBOX", 3).await;
    m.create(ALICE, "INBOX/below", None).await.unwrap();
    m.rename(ALICE, "inbox", "INBOX/old").await.unwrap();
    let old = m.find(ALICE, "INBOX/old").await.unwrap();
    assert_eq!((old.messages, old.uid_next), (3, 4));
    let now = m.find(ALICE, "INBOX").await.unwrap();
    assert_eq!((now.id, now.messages, now.uid_next), (inbox, 0, 4));
    assert!(m.find(ALICE, "INBOX/below").await.is_ok());
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn subscriptions_outlive_mailboxes() {
    let m = fresh().await;
    m.create(ALICE, "a", None).await.unwrap();
    for name in ["a", "a", "not there"] {
        m.subscribe(ALICE, name, true).await.unwrap();
    }
    m.subscribe(ALICE, "inbox", false).await.unwrap();
    m.subscribe(ALICE, "INBOX", false).await.unwrap();
    m.delete(ALICE, "a").await.unwrap();
    assert_eq!(
        m.subscriptions(ALICE).await.unwrap(),
        [
            "Archive",
            "Drafts",
            "Junk",
            "Sent",
            "Trash",
            "a",
            "not there"
        ]
    );
    assert!(!m.find(ALICE, "INBOX").await.unwrap().subscribed);
    assert!(matches!(
        m.subscribe(ALICE, "..", true).await,
        Err(Error::BadName(_))
    ));
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn limits_are_the_accounts() {
    let m = fresh_with(Options {
        mailboxes: 8,
        ..Options::default()
    })
    .await;
    m.create(ALICE, "a/b", None).await.unwrap();
    assert!(matches!(
        m.create(ALICE, "c", None).await,
        Err(Error::TooMany(_))
    ));
    let delivered = m.append(message("x"), &[to(ALICE, "c")]).await;
    assert!(matches!(delivered, Err(Error::TooMany(_))));
    m.create(BOB, "c", None).await.unwrap();
    m.delete(ALICE, "a").await.unwrap();
    m.create(ALICE, "c", None).await.unwrap();
    for number in 0..10 {
        let name = format!("name {number}");
        m.subscribe(ALICE, &name, true).await.unwrap();
    }
    assert!(matches!(
        m.subscribe(ALICE, "one more", true).await,
        Err(Error::TooMany(_))
    ));
    sound(&m, ALICE).await;
}

#[tokio::test]
async fn a_removed_account_leaves_nothing() {
    let m = fresh().await;
    fill(&m, "INBOX", 5).await;
    let both = [to(ALICE, "a"), flagged(BOB, "INBOX", words(0, &["$x"]))];
    let kept = m.append(message("both"), &both).await.unwrap()[1];
    m.remove_account(ALICE).await.unwrap();
    assert!(m.list(ALICE).await.unwrap().is_empty());
    assert!(m.subscriptions(ALICE).await.unwrap().is_empty());
    assert_eq!(m.usage(ALICE).await.unwrap(), (0, 0));
    let report = sound(&m, ALICE).await;
    assert_eq!((report.mailboxes, report.messages), (0, 0));
    // Bob's copy of the same content is still there.
    let body = m.body(BOB, kept.item, 0..u64::MAX).await.unwrap();
    assert_eq!(body, message("both").raw);
    m.remove_account(ALICE).await.unwrap();
    sound(&m, BOB).await;
}
