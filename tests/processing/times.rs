//! Times that senders set.

use std::net::TcpListener;

use axigen_core::settings::TlsMode;
use axigen_tests::engines::{noon, until};
use axigen_tests::wire::Wire;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hosts::{account, hosts};

/// A message that is held goes nowhere before its time, not into mailboxes here
/// either; one that must be there in time comes back when it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_that_senders_set() {
    let clock = noon();
    let hosts = hosts(&clock, |settings| {
        settings.submission.future_release = "7d".parse().unwrap();
    })
    .await;
    let engine = &hosts.here.engine;
    let dora = account(engine, "dora@here.test").await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let door = engine.serve("submission", socket, TlsMode::None).unwrap();
    let plain = STANDARD.encode("\0carl@here.test\0secret");
    let submit = |mail: &str, rcpts: &[&str]| {
        tokio::task::block_in_place(|| {
            let mut wire = Wire::connect(&door.to_string());
            wire.smtp_reply();
            let offered = wire.smtp("EHLO x.test");
            assert!(
                offered.contains("FUTURERELEASE 604800 2026-12-05T"),
                "{offered}"
            );
            assert!(offered.contains("DELIVERBY"), "{offered}");
            wire.smtp(&format!("AUTH PLAIN {plain}"));
            let said = wire.smtp(&format!("MAIL FROM:<carl@here.test>{mail}"));
            if !said.starts_with("250") {
                return said;
            }
            for rcpt in rcpts {
                let said = wire.smtp(&format!("RCPT TO:{rcpt}"));
                assert!(said.starts_with("250"), "{said}");
            }
            wire.smtp("DATA");
            wire.smtp("Subject: held\r\n\r\nhello\r\n.")
        })
    };
    for (mail, code) in [
        (" HOLDFOR=604801", "501"),
        (" HOLDUNTIL=2027-01-01T00:00:00Z", "501"),
        (" HOLDUNTIL=2026-11-28T14:00:00Z BY=3600;R", "501"),
    ] {
        let said = submit(mail, &[]);
        assert!(said.starts_with(code), "{mail}: {said}");
    }
    let all = [
        "<bob@there.test>",
        "<dora@here.test> NOTIFY=SUCCESS",
        "<carl@here.test>",
    ];
    assert!(submit(" HOLDFOR=3600", &all).starts_with("250"));
    let counts = async || {
        let dora = hosts.here.mailbox(dora, "INBOX").await.len();
        (
            hosts.there.inbox().await.len(),
            dora,
            hosts.here.inbox().await.len(),
        )
    };
    clock.advance(std::time::Duration::from_secs(3500));
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!((counts().await, hosts.here.queued().await), ((0, 0, 0), 3));
    clock.advance(std::time::Duration::from_secs(200));
    // Two for Carl: the message, and that Dora has it.
    until(async || counts().await == (1, 1, 2)).await;
    until(async || hosts.here.queued().await == 0).await;
    let texts = hosts.here.inbox().await;
    assert!(
        texts
            .iter()
            .any(|text| text.contains("Action: delivered\r\n")),
        "{texts:?}"
    );
    let held = texts
        .iter()
        .find(|text| text.contains("Subject: held\r\n\r\n"));
    assert!(held.is_some_and(|text| text.starts_with("Return-Path: <carl@here.test>")));

    // Who is not there any more when it is due.
    assert!(submit(" HOLDFOR=60", &["<dora@here.test>"]).starts_with("250"));
    hosts
        .directory()
        .remove_account("dora@here.test")
        .await
        .unwrap();
    clock.advance(std::time::Duration::from_secs(100));
    until(async || hosts.here.inbox().await.len() == 3).await;
    let text = hosts.here.inbox().await.pop().unwrap();
    assert!(
        text.contains("Action: failed\r\nStatus: 5.1.1\r\n"),
        "{text}"
    );

    // In time, and each relay is told.
    assert!(submit(" BY=600;RT", &["<bob@there.test>"]).starts_with("250"));
    until(async || hosts.here.inbox().await.len() == 4).await;
    let text = hosts.here.inbox().await.pop().unwrap();
    assert!(text.contains("Action: relayed\r\n"), "{text}");
    assert_eq!(hosts.there.inbox().await.len(), 2);
    // Too late: it comes back, or its sender is told and it is tried on.
    hosts.there.engine.stop("smtp_in").await.unwrap();
    for (by, action, left) in [("R", "failed", 0), ("N", "delayed", 1)] {
        let before = hosts.here.inbox().await.len();
        assert!(submit(&format!(" BY=600;{by}"), &["<bob@there.test>"]).starts_with("250"));
        clock.advance(std::time::Duration::from_secs(601));
        until(async || hosts.here.inbox().await.len() > before).await;
        let text = hosts.here.inbox().await.pop().unwrap();
        assert!(
            text.contains(&format!("Action: {action}\r\n")),
            "{by}: {text}"
        );
        assert_eq!(hosts.here.queued().await, left);
    }
}

/// How much an account may have held: messages, bytes, and how long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_much_is_held() {
    let clock = noon();
    let hosts = hosts(&clock, |settings| {
        settings.submission.future_release = "7d".parse().unwrap();
    })
    .await;
    let engine = &hosts.here.engine;
    let dora = account(engine, "dora@here.test").await;
    let limits = [
        ("hold_messages", "3"),
        ("hold_size", "4000"),
        ("hold_time", "1d"),
    ];
    hosts.set("carl@here.test", &limits).await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let door = engine.serve("submission", socket, TlsMode::None).unwrap();
    let submit = |user: &str, mail: &str, lines: usize| {
        tokio::task::block_in_place(|| {
            let mut wire = Wire::connect(&door.to_string());
            wire.smtp_reply();
            wire.smtp("EHLO x.test");
            let plain = STANDARD.encode(format!("\0{user}@here.test\0secret"));
            wire.smtp(&format!("AUTH PLAIN {plain}"));
            let said = wire.smtp(&format!("MAIL FROM:<{user}@here.test>{mail}"));
            if !said.starts_with("250") {
                return said;
            }
            // Two ways, one message.
            wire.smtp("RCPT TO:<bob@there.test>");
            wire.smtp("RCPT TO:<dora@here.test>");
            wire.smtp("DATA");
            let body = "0123456789abcdef\r\n".repeat(lines);
            wire.smtp(&format!("Subject: held\r\n\r\n{body}."))
        })
    };
    let (taken, too_much, too_long) = ("250", "552 5.7.16", "501 5.5.4");
    let case = |user: &str, mail: &str, lines: usize, says: &str| {
        let said = submit(user, mail, lines);
        assert!(said.starts_with(says), "{user}{mail} {lines}: {said}");
    };
    // How long: what the service allows, and what the account is allowed.
    case("carl", " HOLDFOR=86401", 1, too_long);
    case("carl", " HOLDUNTIL=2026-11-29T12:00:01Z", 1, too_long);
    case("dora", " HOLDFOR=604801", 1, too_long);
    // How much: declared, or seen at the end.
    case("carl", " HOLDFOR=60 SIZE=4001", 1, too_much);
    case("carl", " HOLDFOR=60", 300, too_much);
    assert_eq!(hosts.here.queued().await, 0);
    case("carl", " HOLDFOR=86400", 100, taken);
    case("carl", " HOLDFOR=600 SIZE=3000", 1, too_much);
    case("carl", " HOLDFOR=600", 150, too_much);
    // How many.
    case("carl", " HOLDFOR=600", 1, taken);
    case("carl", " HOLDUNTIL=2026-11-28T12:20:00Z", 1, taken);
    case("carl", " HOLDFOR=60", 1, too_much);
    assert_eq!(hosts.here.queued().await, 6);
    // What others have held, and what is not held, does not count.
    case("dora", " HOLDFOR=60", 300, taken);
    case("carl", "", 300, taken);
    until(async || hosts.here.queued().await == 8).await;
    // What has gone on makes room.
    clock.advance(std::time::Duration::from_secs(601));
    case("carl", " HOLDFOR=600", 1, taken);
    case("carl", " HOLDFOR=600", 1, too_much);
    // What is called back, too.
    let queue = engine.queue();
    let listing = queue.list(&Default::default(), None, 99).await.unwrap();
    let tomorrow = "2026-11-29T00:00:00Z".parse().unwrap();
    let ids = listing.entries.iter().filter(|at| {
        let hold = at.entry.hold;
        hold.is_some_and(|hold| hold.until > tomorrow)
    });
    for at in ids.map(|at| at.id).collect::<Vec<_>>() {
        case("carl", " HOLDFOR=600", 1, too_much);
        queue.drop_entry(at).await.unwrap();
    }
    case("carl", " HOLDFOR=600", 100, taken);
    case("carl", " HOLDFOR=600", 1, too_much);
    clock.advance(std::time::Duration::from_secs(2000));
    until(async || hosts.here.queued().await == 0).await;
    assert_eq!(
        engine.queue().held_by(hosts.here.user).await.unwrap(),
        (0, 0)
    );
    let inbox = hosts.here.mailbox(dora, "INBOX").await;
    assert_eq!(inbox.len(), 6, "{inbox:?}");
}
