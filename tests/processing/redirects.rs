//! Mail that filters send on to other addresses.

use std::net::TcpListener;

use async_trait::async_trait;
use axigen_core::delivery::Outcome;
use axigen_core::dns::ZoneResolver;
use axigen_core::engine::Engine;
use axigen_core::filter::{self, Disposition, Filter, Message, Recipient};
use axigen_core::settings::TlsMode;
use axigen_core::store::Store;
use axigen_tests::engines::{Server, ZONE, named, noon, sending, until};
use axigen_tests::wire::Wire;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hosts::account;

/// Sends on what an account gets.
#[derive(Debug)]
struct On(&'static [(&'static str, &'static [&'static str])]);

#[async_trait]
impl Filter for On {
    fn name(&self) -> &str {
        "on"
    }
    async fn pre_delivery(&self, _: &Message, to: &mut Recipient) -> filter::Result<Disposition> {
        let told = self.0.iter().find(|(account, _)| *account == to.address);
        Ok(told.map_or(Disposition::Continue, |(_, to)| {
            Disposition::Redirect(to.iter().map(|to| (*to).to_owned()).collect())
        }))
    }
}

const RULES: &[(&str, &[&str])] = &[
    ("ann@here.test", &["bob@there.test"]),
    (
        "carl@here.test",
        &["bob@there.test", "carl@here.test", "dora@here.test"],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_send_mail_elsewhere() {
    let clock = noon();
    let door = TcpListener::bind("127.0.0.4:0").unwrap();
    let port = door.local_addr().unwrap().port();
    let there = Server::new(named("mx.there.test"), ZONE, &clock, "bob@there.test").await;
    let engine = &there.engine;
    engine.serve("smtp_in", door, TlsMode::None).unwrap();

    let mut settings = sending(port);
    settings.submission.future_release = "7d".parse().unwrap();
    let engine = Engine::builder(Store::memory().await.unwrap())
        .settings(settings)
        .resolver(ZoneResolver::parse(ZONE).unwrap())
        .clock(clock.clone())
        .filter(1, On(RULES))
        .build()
        .unwrap();
    engine.directory().add_domain("here.test").await.unwrap();
    let user = account(&engine, "ann@here.test").await;
    let carl = account(&engine, "carl@here.test").await;
    let dora = account(&engine, "dora@here.test").await;
    let here = Server { engine, user };
    let engine = &here.engine;
    engine.start_service("smtp_out").await.unwrap();
    let listen = |service| {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        engine.serve(service, socket, TlsMode::None).unwrap()
    };
    let (mx, submission) = (listen("smtp_in"), listen("submission"));
    let send = |sender: &str, to: &[&str]| {
        tokio::task::block_in_place(|| {
            let mut wire = Wire::connect(&mx.to_string());
            wire.smtp_reply();
            wire.smtp("EHLO x.test");
            wire.smtp(&format!("MAIL FROM:<{sender}>"));
            for to in to {
                let said = wire.smtp(&format!("RCPT TO:<{to}>"));
                assert!(said.starts_with("250"), "{said}");
            }
            wire.smtp("DATA");
            let said = wire.smtp("Subject: on\r\n\r\nhello\r\n.");
            assert!(said.starts_with("250"), "{said}");
        })
    };
    let counts = async || {
        let carl = here.mailbox(carl, "INBOX").await.len();
        let dora = here.mailbox(dora, "INBOX").await.len();
        let there = there.inbox().await.len();
        (here.inbox().await.len(), carl, dora, there)
    };

    // Handed on to another host in a name of the domain that hands it on.
    send("eve@far.test", &["ann@here.test"]);
    until(async || counts().await == (0, 0, 0, 1)).await;
    let text = there.inbox().await.remove(0);
    let sender = text.lines().next().unwrap();
    assert!(
        sender.starts_with("Return-Path: <SRS0=") && sender.ends_with("=far.test=eve@here.test>"),
        "{text}"
    );
    // Each address once, however many filters name it.
    send("eve@far.test", &["ann@here.test", "carl@here.test"]);
    until(async || counts().await == (0, 1, 1, 2)).await;
    until(async || here.queued().await == 0).await;
    // A notice, which has no sender, keeps it so.
    send("", &["ann@here.test"]);
    until(async || counts().await == (0, 1, 1, 3)).await;
    let text = there.inbox().await.pop().unwrap();
    assert!(text.starts_with("Return-Path: <>\r\n"), "{text}");

    // What was held is sent on when it is due, out of the queue in the same batch.
    let plain = STANDARD.encode("\0dora@here.test\0secret");
    tokio::task::block_in_place(|| {
        let mut wire = Wire::connect(&submission.to_string());
        wire.smtp_reply();
        wire.smtp("EHLO x.test");
        wire.smtp(&format!("AUTH PLAIN {plain}"));
        wire.smtp("MAIL FROM:<dora@here.test> HOLDFOR=60");
        wire.smtp("RCPT TO:<ann@here.test>");
        wire.smtp("DATA");
        let said = wire.smtp("Subject: held\r\n\r\nhello\r\n.");
        assert!(said.starts_with("250"), "{said}");
    });
    assert_eq!((counts().await, here.queued().await), ((0, 1, 1, 3), 1));
    clock.advance(std::time::Duration::from_secs(61));
    until(async || counts().await == (0, 1, 1, 4)).await;
    until(async || here.queued().await == 0).await;
    let text = there.inbox().await.pop().unwrap();
    assert!(
        text.starts_with("Return-Path: <dora@here.test>\r\n"),
        "{text}"
    );

    // A failure elsewhere finds who sent it.
    there
        .engine
        .directory()
        .remove_account("bob@there.test")
        .await
        .unwrap();
    let outcome = {
        let delivery = engine.delivery();
        let accepted = delivery.accept(Some(("ann", "here.test")), true, None);
        let envelope = axigen_core::delivery::Envelope::new("i", "dora@here.test");
        let raw = bytes::Bytes::from_static(b"Subject: lost\r\n\r\nx\r\n");
        let one = axigen_core::delivery::Answers::One;
        let accepted = [accepted.await.unwrap()];
        delivery
            .deliver(raw, &envelope, &accepted, one)
            .await
            .remove(0)
    };
    assert_eq!(outcome, Outcome::Queued);
    until(async || counts().await.2 == 2).await;
    let text = here.mailbox(dora, "INBOX").await.pop().unwrap();
    assert!(
        text.contains("Final-Recipient: rfc822;bob@there.test\r\nAction: failed\r\n"),
        "{text}"
    );
}
