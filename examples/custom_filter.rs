//! A filter of one's own: refuses a subject, marks the rest, and shows what arrives.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use async_trait::async_trait;
use axigen_core::delivery::{Answers, Envelope, Outcome};
use axigen_core::directory::NewAccount;
use axigen_core::engine::Engine;
use axigen_core::filter::{
    Connection, Filter, Message, Result, Transaction, Verdict, fail_open, with_timeout,
};
use axigen_core::proto::smtp::reply::Reply;
use axigen_core::store::Store;

/// Refuses mail that shouts, scores the rest.
#[derive(Debug)]
struct NoShouting;

#[async_trait]
impl Filter for NoShouting {
    fn name(&self) -> &str {
        "no-shouting"
    }

    async fn end_of_message(&self, tx: &mut Transaction, msg: &mut Message) -> Result<Verdict> {
        let subject = msg.header("Subject").unwrap_or_default();
        if subject.len() > 5 && subject == subject.to_uppercase() {
            return Ok(Verdict::Reject(Reply::new(
                550,
                (5, 7, 1),
                "please do not shout",
            )));
        }
        tx.add_score("politeness", 1.0);
        msg.add_header("X-Politeness", &tx.score("politeness").to_string());
        Ok(Verdict::Continue)
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    // Slow or broken, it must not keep mail from passing.
    let filter = fail_open(with_timeout(Duration::from_secs(5), NoShouting));
    let engine = Engine::builder(Store::memory().await?)
        .filter(100, filter)
        .build()?;
    engine.directory().add_domain("example.test").await?;
    let address = "ann@example.test".to_owned();
    let ann = NewAccount {
        address: address.clone(),
        password: "secret".into(),
        ..NewAccount::default()
    };
    engine.directory().add_account(ann).await?;

    // What the SMTP service does at the end of a message, by hand.
    for subject in ["Hello", "BUY THIS NOW"] {
        let connection = Connection {
            peer: [192, 0, 2, 1].into(),
            service: "smtp_in".into(),
            helo: None,
            tls: None,
            authenticated: None,
        };
        let mut tx = Transaction::new(connection, "example".into(), "bob@elsewhere.test".into());
        let mut message = Message::new(
            format!("Subject: {subject}\r\n\r\nbody\r\n")
                .into_bytes()
                .into(),
        );
        let verdict = engine
            .context()
            .filters
            .end_of_message(&mut tx, &mut message)
            .await;
        println!("{subject}: {verdict:?}");
        if verdict == Verdict::Continue {
            let to = engine
                .delivery()
                .accept(Some(("ann", "example.test")), false, None)
                .await;
            let to = to.map_err(|refused| format!("{refused:?}"))?;
            let envelope = Envelope::new("example", "bob@elsewhere.test");
            let outcome = engine
                .delivery()
                .deliver(message.raw().clone(), &envelope, &[to], Answers::One)
                .await;
            assert_eq!(outcome, [Outcome::Delivered]);
            println!(
                "  delivered: {}",
                String::from_utf8_lossy(message.raw())
                    .lines()
                    .next()
                    .unwrap_or_default()
            );
        }
    }
    Ok(engine.shutdown().await?)
}
