//! What senders are told when they ask for it.

use std::net::TcpListener;

use axigen_core::settings::TlsMode;
use axigen_tests::engines::{Server, ZONE, named, noon, until};
use axigen_tests::wire::Wire;

use crate::hosts::hosts;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_may_ask_to_be_told() {
    let hosts = hosts(&noon(), |_| ()).await;
    hosts.alias("bob@here.test", &["bob@there.test"]).await;
    hosts
        .alias("all@here.test", &["bob@there.test", "carl@here.test"])
        .await;
    let ask = " RET=HDRS ENVID=QQ314";
    for (rcpt, says) in [
        (
            "<carl@here.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Carl+40here.test",
            "Original-Recipient: rfc822;Carl@here.test\r\nFinal-Recipient: rfc822;carl@here.test\r\nAction: delivered\r\nStatus: 2.1.5\r\n",
        ),
        (
            "<all@here.test> NOTIFY=SUCCESS",
            "Final-Recipient: rfc822;all@here.test\r\nAction: expanded\r\n",
        ),
        // The last of three hosts tells it, through the second.
        (
            "<bob@here.test> NOTIFY=SUCCESS ORCPT=rfc822;bob+40here.test",
            "Original-Recipient: rfc822;bob@here.test\r\nFinal-Recipient: rfc822;bob@there.test\r\nAction: delivered\r\n",
        ),
    ] {
        let said = hosts.knock(ask, &[rcpt]);
        assert!(said.starts_with("250"), "{rcpt}: {said}");
        let text = hosts.notice().await;
        assert!(text.contains(says), "{rcpt}: {text}");
        assert!(text.contains("Original-Envelope-Id: QQ314\r\n"), "{text}");
        assert!(
            text.contains("\r\nContent-Type: text/rfc822-headers\r\n"),
            "{text}"
        );
        let mailboxes = hosts.far.engine.mailboxes();
        let inbox = mailboxes.find(hosts.far.user, "INBOX").await.unwrap();
        let uids: Vec<u32> = (1..inbox.uid_next).collect();
        let gone = mailboxes.remove(hosts.far.user, inbox.id, &uids).await;
        assert_eq!(gone.unwrap().len(), 1);
    }
    until(async || hosts.here.queued().await == 0 && hosts.there.queued().await == 0).await;
    // Whoever does not ask, or asks for none, is told nothing.
    for rcpt in [
        "<carl@here.test>",
        "<carl@here.test> NOTIFY=NEVER",
        "<carl@here.test> NOTIFY=FAILURE",
    ] {
        assert!(hosts.knock("", &[rcpt]).starts_with("250"));
    }
    assert_eq!(hosts.here.queued().await, 0);
    assert!(hosts.far.inbox().await.is_empty());
}

/// Without a queue no notice could be sent, so none can be asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_is_not_offered() {
    let server = Server::new(named("mx.here.test"), ZONE, &noon(), "carl@here.test").await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let door = server
        .engine
        .serve("smtp_in", socket, TlsMode::None)
        .unwrap();
    tokio::task::block_in_place(|| {
        let mut wire = Wire::connect(&door.to_string());
        wire.smtp_reply();
        let offered = wire.smtp("EHLO x.test");
        assert!(
            !offered.contains("DSN") && !offered.contains("ETRN"),
            "{offered}"
        );
        assert!(offered.contains("LIMITS RCPTMAX=100"), "{offered}");
        let said = wire.smtp("MAIL FROM:<a@x.test> RET=HDRS");
        assert!(said.starts_with("555"), "{said}");
    });
}
