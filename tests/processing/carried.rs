//! Mail that the application carries.

use axigen_core::delivery::{Answers, Envelope, Parcel, Transport};
use axigen_core::engine::Engine;
use axigen_proto::smtp::reply::Reply;
use axigen_tests::engines::{Server, noon, sending, until};

use crate::hosts::account;

/// Keeps what it is given, and answers as the user's name says.
#[derive(Debug, Clone, Default)]
struct Fax(std::sync::Arc<parking_lot::Mutex<Vec<String>>>);

#[async_trait::async_trait]
impl Transport for Fax {
    fn name(&self) -> &str {
        "fax"
    }

    async fn carry(&self, parcel: &Parcel<'_>) -> Vec<Reply> {
        let text = String::from_utf8(parcel.message.to_vec()).unwrap();
        self.0.lock().push(text);
        let reply = |to: &str| match to.split('@').next() {
            Some("busy") => Some(Reply::new(451, (4, 3, 2), "the line is busy")),
            Some("wrong") => Some(Reply::new(550, (5, 1, 1), "no such number")),
            Some("silent") => None,
            _ => Some(Reply::ok()),
        };
        let to = parcel.entry.recipients.iter();
        to.map_while(|to| reply(&to.address)).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_the_application_carries() {
    let fax = Fax::default();
    let mut settings = sending(25);
    let route = "domains = [\"fax.test\"]\nto = \"transport:fax\"";
    let text = format!("[smtp_out]\nenable = true\n[[smtp_out.routes]]\n{route}\n");
    settings.smtp_out = axigen_core::settings::parse(&text).unwrap().smtp_out;
    let engine = |fax: Option<Fax>| {
        let settings = settings.clone();
        async move {
            let store = axigen_core::store::Store::memory().await.unwrap();
            let builder = Engine::builder(store).settings(settings).clock(noon());
            match fax {
                Some(fax) => builder.transport(fax).build().unwrap(),
                None => builder.build().unwrap(),
            }
        }
    };
    let error = engine(None)
        .await
        .start_service("smtp_out")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("the transport fax"), "{error}");

    let engine = engine(Some(fax.clone())).await;
    engine.directory().add_domain("here.test").await.unwrap();
    let user = account(&engine, "ann@here.test").await;
    let here = Server { engine, user };
    here.engine.start_service("smtp_out").await.unwrap();
    let delivery = here.engine.delivery();
    let mut accepted = Vec::new();
    for to in ["one", "wrong", "busy", "silent"] {
        let address = Some((to, "fax.test"));
        accepted.push(delivery.accept(address, true, None).await.unwrap());
    }
    let raw = "Return-Path: <ann@here.test>\r\nSubject: dial\r\n\r\nx\r\n";
    let mut envelope = Envelope::new("i", "ann@here.test");
    envelope.own = raw.find("\r\n").unwrap() + 2;
    delivery
        .deliver(raw.into(), &envelope, &accepted, Answers::One)
        .await;
    until(async || here.inbox().await.len() == 1).await;
    let text = here.inbox().await.remove(0);
    assert!(
        text.contains("Final-Recipient: rfc822;wrong@fax.test\r\n"),
        "{text}"
    );
    assert!(
        text.contains("no such number") && !text.contains("busy@"),
        "{text}"
    );
    assert_eq!(*fax.0.lock(), ["Subject: dial\r\n\r\nx\r\n"]);
    let listing = here
        .engine
        .queue()
        .list(&Default::default(), None, 9)
        .await
        .unwrap();
    let waiting: Vec<&str> = listing.entries[0]
        .entry
        .recipients
        .iter()
        .map(|to| to.address.as_str())
        .collect();
    assert_eq!(waiting, ["busy@fax.test", "silent@fax.test"]);
}
