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
