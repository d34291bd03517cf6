//! Who may send as whom, and who may ask what.

use std::net::TcpListener;

use axigen_core::settings::{Settings, TlsMode, Told};
use axigen_tests::engines::{noon, until};
use axigen_tests::wire::Wire;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hosts::hosts;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_as_whom() {
    let hosts = hosts(&noon(), |_| ()).await;
    hosts.alias("sales@here.test", &["carl@here.test"]).await;
    let options = [
        ("send_as", "boss@here.test, @partner.test"),
        ("sent_copy", "true"),
    ];
    hosts.set("carl@here.test", &options).await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let engine = &hosts.here.engine;
    let door = engine.serve("submission", socket, TlsMode::None).unwrap();
    let plain = STANDARD.encode("\0carl@here.test\0secret");
    tokio::task::block_in_place(|| {
        let mut wire = Wire::connect(&door.to_string());
        wire.smtp_reply();
        assert!(wire.smtp("EHLO x.test").contains("DSN"));
        assert!(wire.smtp(&format!("AUTH PLAIN {plain}")).starts_with("235"));
        for (sender, code) in [
            ("carl@here.test", "250"),
            ("carl+x@here.test", "250"),
            ("sales@here.test", "250"),
            ("Boss@Here.test", "250"),
            ("anybody@partner.test", "250"),
            ("other@here.test", "553"),
            ("x@sub.partner.test", "553"),
            ("ann@far.test", "553"),
        ] {
            let said = wire.smtp(&format!("MAIL FROM:<{sender}>"));
            assert!(said.starts_with(code), "{sender}: {said}");
            wire.smtp("RSET");
        }
        wire.smtp("MAIL FROM:<boss@here.test>");
        wire.smtp("RCPT TO:<bob@there.test>");
        wire.smtp("RCPT TO:<carl@here.test>");
        wire.smtp("DATA");
        let said = wire.smtp("Subject: one\r\nBcc: x@y.test\r\n\r\nhello\r\n.");
        assert!(said.starts_with("250"), "{said}");
    });
    let sent = hosts.here.mailbox(hosts.here.user, "Sent").await;
    assert!(
        sent.len() == 1 && sent[0].contains("Subject: one"),
        "{sent:?}"
    );
    assert!(!sent[0].contains("Bcc"), "{sent:?}");
    assert_eq!(hosts.here.inbox().await.len(), 1);
    until(async || hosts.there.inbox().await.len() == 1).await;
    let mailboxes = engine.mailboxes();
    let info = mailboxes.find(hosts.here.user, "Sent").await.unwrap();
    assert_eq!((info.messages, info.unseen), (1, 0));
    // A full account sends all the same, and keeps no copy.
    let options = [
        ("send_as", "boss@here.test"),
        ("sent_copy", "true"),
        ("quota", "1B"),
    ];
    hosts.set("carl@here.test", &options).await;
    tokio::task::block_in_place(|| {
        let mut wire = Wire::connect(&door.to_string());
        wire.smtp_reply();
        wire.smtp("EHLO x.test");
        wire.smtp(&format!("AUTH PLAIN {plain}"));
        wire.smtp("MAIL FROM:<carl@here.test>");
        wire.smtp("RCPT TO:<bob@there.test>");
        wire.smtp("DATA");
        let said = wire.smtp("Subject: two\r\n\r\nhello\r\n.");
        assert!(said.starts_with("250"), "{said}");
    });
    until(async || hosts.there.inbox().await.len() == 2).await;
    assert_eq!(hosts.here.mailbox(hosts.here.user, "Sent").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_ask_what() {
    let asked = |settings: &mut Settings| {
        settings.smtp_in.vrfy = Told::Everybody;
        settings.smtp_in.expn = Told::Everybody;
        settings.smtp_in.etrn_peers = vec!["127.0.0.0/8".parse().unwrap()];
        settings.smtp_in.no_soliciting = vec!["org.example:ADV".into()];
        settings.smtp_in.mt_priority = true;
    };
    let clock = noon();
    let hosts = hosts(&clock, asked).await;
    hosts
        .alias("all@here.test", &["carl@here.test", "bob@there.test"])
        .await;
    // It waits: nobody is there yet.
    hosts.there.engine.stop("smtp_in").await.unwrap();
    hosts.here.send("bob@there.test").await;
    until(async || {
        let queue = hosts.here.engine.queue();
        let listing = queue.list(&Default::default(), None, 9).await.unwrap();
        listing.entries.iter().any(|at| at.entry.attempts > 0)
    })
    .await;
    let again = TcpListener::bind(("127.0.0.4", hosts.door.port())).unwrap();
    hosts
        .there
        .engine
        .serve("smtp_in", again, TlsMode::None)
        .unwrap();
    let address = hosts.door.to_string();
    tokio::task::block_in_place(|| {
        let mut wire = Wire::connect(&address);
        wire.smtp_reply();
        let offered = wire.smtp("EHLO x.test");
        for word in [
            "DSN",
            "ETRN",
            "EXPN",
            "MT-PRIORITY",
            "NO-SOLICITING org.example:ADV",
        ] {
            assert!(offered.contains(word), "{word}: {offered}");
        }
        for (command, says) in [
            ("VRFY <carl@here.test>", "250 2.1.5 <carl@here.test>"),
            ("VRFY all@here.test", "250 2.1.5 <all@here.test>"),
            ("VRFY nobody@here.test", "550 5.1.1"),
            ("VRFY bob@there.test", "252"),
            ("VRFY carl", "553 5.1.3"),
            ("EXPN all@here.test", "250-2.1.5 <carl@here.test>"),
            ("EXPN carl@here.test", "550 5.2.4"),
            ("ETRN #all", "459"),
            ("ETRN nothing.test", "251"),
            ("MAIL FROM:<a@x.test> SOLICIT=org.example:ADV", "550"),
            ("MAIL FROM:<a@x.test> MT-PRIORITY=9", "250"),
            ("RSET", "250"),
            ("ETRN there.test", "250 2.0.0"),
        ] {
            let said = wire.smtp(command);
            assert!(said.starts_with(says), "{command}: {said}");
        }
    });
    until(async || hosts.there.inbox().await.len() == 1).await;
}
