//! Mail that aliases and accounts hand on.

use axigen_core::delivery::{Answers, Envelope};
use axigen_tests::engines::{noon, until};

use crate::hosts::{account, hosts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_handed_on_travels_in_our_name() {
    let hosts = hosts(&noon(), |_| ()).await;
    hosts.alias("bob@here.test", &["bob@there.test"]).await;
    assert!(hosts.knock("", &["<bob@here.test>"]).starts_with("250"));
    until(async || hosts.there.inbox().await.len() == 1).await;
    let text = hosts.there.inbox().await.remove(0);
    let sender = text.lines().next().unwrap();
    assert!(
        sender.starts_with("Return-Path: <SRS0=") && sender.ends_with("=far.test=ann@here.test>"),
        "{text}"
    );
    // One of our own users sends in its own name.
    let address = Some(("bob", "here.test"));
    let delivery = hosts.here.engine.delivery();
    let accepted = delivery.accept(address, false, None).await.unwrap();
    let envelope = Envelope::new("i", "carl@here.test");
    let raw = bytes::Bytes::from_static(b"Subject: x\r\n\r\nx\r\n");
    let one = Answers::One;
    delivery.deliver(raw, &envelope, &[accepted], one).await;
    until(async || hosts.there.inbox().await.len() == 2).await;
    let text = hosts.there.inbox().await.pop().unwrap();
    assert!(
        text.starts_with("Return-Path: <carl@here.test>\r\n"),
        "{text}"
    );
}

/// The notice comes to us, and goes on to who sent the message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_behind_an_alias_finds_its_sender() {
    let hosts = hosts(&noon(), |_| ()).await;
    hosts.alias("gone@here.test", &["gone@there.test"]).await;
    assert!(hosts.knock("", &["<gone@here.test>"]).starts_with("250"));
    let text = hosts.notice().await;
    assert!(
        text.contains("Action: failed\r\nStatus: 5.1.1\r\n"),
        "{text}"
    );
    assert!(
        text.contains("Final-Recipient: rfc822;gone@there.test\r\n"),
        "{text}"
    );
    // Nobody can make such a name up, and it stands for nobody else.
    for made_up in [
        "SRS0=aaaaaaaa=aa=far.test=ann@here.test",
        "srs1=x=y=z@here.test",
    ] {
        let said = hosts.knock("", &[&format!("<{made_up}>")]);
        assert!(said.starts_with("550 5.1.1"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_hand_on_and_domains_catch() {
    let hosts = hosts(&noon(), |_| ()).await;
    let dora = account(&hosts.here.engine, "dora@here.test").await;
    let counts = async || {
        let carl = hosts.here.inbox().await.len();
        let dora = hosts.here.mailbox(dora, "INBOX").await.len();
        (carl, dora, hosts.there.inbox().await.len())
    };
    hosts
        .set(
            "carl@here.test",
            &[("forward", "bob@there.test, dora@here.test")],
        )
        .await;
    assert!(hosts.knock("", &["<carl@here.test>"]).starts_with("250"));
    until(async || counts().await == (1, 1, 1)).await;
    // Nothing stays, and nobody gets it twice.
    let on = [("forward", "bob@there.test"), ("forward_keep", "false")];
    hosts.set("carl@here.test", &on).await;
    hosts
        .alias("both@here.test", &["carl@here.test", "bob@there.test"])
        .await;
    assert!(hosts.knock("", &["<both@here.test>"]).starts_with("250"));
    until(async || counts().await == (1, 1, 2)).await;
    // Around in a circle: where nothing would stay, everything does.
    hosts
        .set(
            "carl@here.test",
            &[("forward", "dora@here.test"), ("forward_keep", "false")],
        )
        .await;
    hosts
        .set(
            "dora@here.test",
            &[("forward", "carl@here.test"), ("forward_keep", "false")],
        )
        .await;
    assert!(hosts.knock("", &["<carl@here.test>"]).starts_with("250"));
    until(async || counts().await == (2, 2, 2)).await;

    let said = hosts.knock("", &["<nobody@here.test>"]);
    assert!(said.starts_with("550 5.1.1"), "{said}");
    hosts.set("dora@here.test", &[]).await;
    let mut domain = hosts
        .directory()
        .domain("here.test")
        .await
        .unwrap()
        .unwrap();
    domain.catch_all = Some("dora@here.test".into());
    hosts.directory().set_domain(&domain).await.unwrap();
    assert!(hosts.knock("", &["<nobody@here.test>"]).starts_with("250"));
    until(async || counts().await == (2, 3, 2)).await;
}
