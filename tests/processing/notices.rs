//! What stands in notices, and who gets none: RFC 3461, 3464, 6533, 3834.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axigen_core::settings::TlsMode;
use axigen_tests::engines::{noon, until};
use axigen_tests::wire::Wire;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hosts::{Hosts, hosts};

fn submission(hosts: &Hosts) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let engine = &hosts.here.engine;
    engine.serve("submission", socket, TlsMode::None).unwrap()
}

/// A message of Carl's.
fn submit(door: SocketAddr, mail: &str, rcpt: &str, message: &str) {
    tokio::task::block_in_place(|| {
        let mut wire = Wire::connect(&door.to_string());
        wire.smtp_reply();
        wire.smtp("EHLO x.test");
        let plain = STANDARD.encode("\0carl@here.test\0secret");
        wire.smtp(&format!("AUTH PLAIN {plain}"));
        for (command, code) in [
            (format!("MAIL FROM:<carl@here.test>{mail}"), "250"),
            (format!("RCPT TO:{rcpt}"), "250"),
            ("DATA".to_owned(), "354"),
            (format!("{message}\r\n."), "250"),
        ] {
            let said = wire.smtp(&command);
            assert!(said.starts_with(code), "{command}: {said}");
        }
    });
}

impl Hosts {
    /// Carl's next notice, which is taken out.
    async fn told(&self) -> String {
        let here = &self.here;
        until(async || !here.inbox().await.is_empty()).await;
        let mut inbox = here.inbox().await;
        assert_eq!(inbox.len(), 1, "{inbox:?}");
        let mailboxes = here.engine.mailboxes();
        let info = mailboxes.find(here.user, "INBOX").await.unwrap();
        let uids: Vec<u32> = (1..info.uid_next).collect();
        mailboxes.remove(here.user, info.id, &uids).await.unwrap();
        let text = inbox.remove(0);
        // Nobody answers it, and no program takes it for a person's.
        assert!(text.starts_with("Return-Path: <>\r\n"), "{text}");
        let once = text.matches("Auto-Submitted: auto-replied\r\n").count();
        assert_eq!(once, 1, "{text}");
        assert!(text.contains("report-type=delivery-status"), "{text}");
        text
    }
}

const MAIL: &str = "Subject: hello\r\nMessage-ID: <1@here.test>\r\n\r\nthe body";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_much_of_the_message_comes_back() {
    let hosts = hosts(&noon(), |settings| {
        settings.smtp_out.notice_size = "10KB".parse().unwrap();
    })
    .await;
    let door = submission(&hosts);
    let long = format!("{MAIL}\r\n{}", "0123456789abcdef\r\n".repeat(1000));
    for (mail, message, whole) in [
        ("", MAIL, true),
        (" RET=FULL", MAIL, true),
        (" RET=HDRS", MAIL, false),
        ("", &long, false),
        (" RET=FULL", &long, true),
        (" RET=HDRS", &long, false),
    ] {
        submit(door, mail, "<nobody@there.test>", message);
        let text = hosts.told().await;
        let case = format!("{mail} {}: {text}", message.len());
        assert!(
            text.contains("Action: failed\r\nStatus: 5.1.1\r\n"),
            "{case}"
        );
        assert!(text.contains("In-Reply-To: <1@here.test>\r\n"), "{case}");
        let kind = match whole {
            true => "\r\nContent-Type: message/rfc822\r\n",
            false => "\r\nContent-Type: text/rfc822-headers\r\n",
        };
        assert!(text.contains(kind), "{case}");
        assert!(text.contains("\r\nSubject: hello\r\n"), "{case}");
        assert_eq!(text.contains("\r\nthe body\r\n"), whole, "{case}");
        assert_eq!(
            text.matches("0123456789abcdef").count() == 1000,
            whole && message.len() > 1000,
            "{case}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_beyond_ascii() {
    let hosts = hosts(&noon(), |_| ()).await;
    let door = submission(&hosts);
    let message = "Subject: grüße\r\n\r\nbücher";
    for (ret, kind, whole) in [
        (" RET=FULL", "message/global", true),
        (" RET=HDRS", "message/global-headers", false),
    ] {
        let mail = format!(" SMTPUTF8 BODY=8BITMIME{ret}");
        let rcpt = "<bücher@there.test> ORCPT=utf-8;büro@there.test";
        submit(door, &mail, rcpt, message);
        let text = hosts.told().await;
        for says in [
            "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n",
            "Original-Recipient: utf-8;büro@there.test\r\n",
            "Final-Recipient: utf-8;bücher@there.test\r\nAction: failed\r\nStatus: 5.1.1\r\n",
            &format!("Content-Type: {kind}\r\nContent-Transfer-Encoding: 8bit\r\n"),
            "\r\nSubject: grüße\r\n",
        ] {
            assert!(text.contains(says), "{says}: {text}");
        }
        assert_eq!(text.contains("\r\n\r\nbücher"), whole, "{text}");
        for ascii in ["message/delivery-status", "rfc822"] {
            assert!(!text.contains(ascii), "{ascii}: {text}");
        }
    }
    // With addresses in ASCII the notice is as ever, whatever the message holds.
    submit(door, " BODY=8BITMIME", "<nobody@there.test>", message);
    let text = hosts.told().await;
    for says in [
        "Content-Type: message/delivery-status\r\n",
        "Final-Recipient: rfc822;nobody@there.test\r\n",
        "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_of_a_delay_and_who_of_a_failure() {
    let clock = noon();
    let hosts = hosts(&clock, |settings| {
        settings.smtp_out.tell_delay = "4h".parse().unwrap();
        settings.smtp_out.expire = "5d".parse().unwrap();
    })
    .await;
    hosts.there.engine.stop("smtp_in").await.unwrap();
    let door = submission(&hosts);
    let here = &hosts.here;
    for (notify, delay, failure) in [
        ("", true, true),
        (" NOTIFY=DELAY", true, false),
        (" NOTIFY=FAILURE", false, true),
        (" NOTIFY=FAILURE,DELAY", true, true),
        (" NOTIFY=SUCCESS", false, false),
        (" NOTIFY=NEVER", false, false),
    ] {
        submit(door, "", &format!("<bob@there.test>{notify}"), MAIL);
        assert_eq!(here.queued().await, 1);
        clock.advance(Duration::from_secs(4 * 3600 + 1));
        if delay {
            let text = hosts.told().await;
            for says in [
                "Subject: Delayed mail, still being tried\r\n",
                "Action: delayed\r\nStatus: 4.4.1\r\n",
                "Will-Retry-Until: ",
                "Content-Type: text/rfc822-headers\r\n",
            ] {
                assert!(text.contains(says), "{notify} {says}: {text}");
            }
        }
        // Once, and not again.
        clock.advance(Duration::from_secs(2 * 86_400));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(here.inbox().await.is_empty(), "{notify}");
        clock.advance(Duration::from_secs(3 * 86_400));
        if failure {
            let text = hosts.told().await;
            assert!(
                text.contains("Action: failed\r\nStatus: 5.4.7\r\n"),
                "{notify}: {text}"
            );
        }
        until(async || here.queued().await == 0).await;
        assert!(here.inbox().await.is_empty(), "{notify}");
    }
}

/// RFC 5321 §4.5.5: no notice about a notice, whatever becomes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_notice_about_a_notice() {
    let clock = noon();
    let hosts = hosts(&clock, |settings| {
        settings.smtp_out.expire_notice = "1d".parse().unwrap();
    })
    .await;
    hosts.alias("gone@here.test", &["gone@there.test"]).await;
    let (here, there) = (&hosts.here, &hosts.there);
    let knock = |rcpt: &str| {
        tokio::task::block_in_place(|| {
            let mut wire = Wire::connect(&hosts.door.to_string());
            wire.smtp_reply();
            wire.smtp("EHLO mx.far.test");
            wire.smtp("MAIL FROM:<>");
            wire.smtp(&format!("RCPT TO:{rcpt}"));
            wire.smtp("DATA");
            let said = wire.smtp("Subject: a notice\r\n\r\nhello\r\n.");
            assert!(said.starts_with("250"), "{said}");
        })
    };
    // It fails at once, whatever is asked for; it arrives, and nobody is told.
    for rcpt in [
        "<gone@here.test>",
        "<gone@here.test> NOTIFY=FAILURE,DELAY,SUCCESS",
        "<carl@here.test> NOTIFY=SUCCESS",
    ] {
        knock(rcpt);
        until(async || here.queued().await == 0).await;
    }
    assert_eq!(here.inbox().await.len(), 1, "the message itself");
    // It waits, and is given up, earlier than others are.
    there.engine.stop("smtp_in").await.unwrap();
    hosts.alias("bob@here.test", &["bob@there.test"]).await;
    knock("<bob@here.test> NOTIFY=FAILURE,DELAY");
    assert_eq!(here.queued().await, 1);
    clock.advance(Duration::from_secs(86_401));
    until(async || here.queued().await == 0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(here.inbox().await.len(), 1);
    for server in [&hosts.far, there] {
        assert!(server.inbox().await.is_empty());
    }
}
