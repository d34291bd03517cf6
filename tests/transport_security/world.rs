//! The server that sends, and what became of its mail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axigen_core::clock::ManualClock;
use axigen_core::delivery::{Answers, Envelope, Outcome};
use axigen_core::directory::NewAccount;
use axigen_core::dns::{Resolver, ZoneResolver};
use axigen_core::engine::{Builder, Engine};
use axigen_core::net::https;
use axigen_core::settings::{Settings, SmtpOutSettings};
use axigen_core::store::{AccountId, Store};
use bytes::Bytes;

use crate::certificates::Authority;
use crate::host::Host;
use crate::web::Web;

pub(crate) const MAIL: &str = "From: ann@here.test\r\nSubject: hello\r\n\r\nhello\r\n";

/// A server with one user, Ann.
pub(crate) struct Sender {
    pub(crate) engine: Engine,
    user: AccountId,
}

/// What the sending server is made of.
pub(crate) struct Setup<'s> {
    pub(crate) zone: ZoneResolver,
    pub(crate) authority: &'s Authority,
    /// The port of all hosts.
    pub(crate) host: &'s Host,
    pub(crate) web: Option<&'s Web>,
    pub(crate) clock: &'s ManualClock,
}

impl Setup<'_> {
    pub(crate) async fn sender(&self, change: impl FnOnce(&mut SmtpOutSettings)) -> Sender {
        self.sender_over(Store::memory().await.unwrap(), change)
            .await
    }

    /// The same over a store that may have been used before.
    pub(crate) async fn sender_over(
        &self,
        store: Store,
        change: impl FnOnce(&mut SmtpOutSettings),
    ) -> Sender {
        let mut settings = Settings {
            hostname: "mail.here.test".into(),
            ..Settings::default()
        };
        settings.smtp_out.enable = true;
        settings.smtp_out.mx_port = self.host.address.port();
        settings.smtp_out.authorities = self.authority.file();
        change(&mut settings.smtp_out);
        let resolver: Arc<dyn Resolver> = Arc::new(self.zone.clone());
        let port = self.web.map_or(9, |web| web.address.port());
        let client = https::Client::new(resolver, &self.authority.file())
            .unwrap()
            .inward(true);
        let zone = self.zone.clone();
        Sender::start(store, settings, self.clock, |builder| {
            builder.resolver(zone).https(client.with_port(port))
        })
        .await
    }
}

impl Sender {
    /// A server with Ann on it, made of a store and settings.
    pub(crate) async fn start(
        store: Store,
        settings: Settings,
        clock: &ManualClock,
        with: impl FnOnce(Builder) -> Builder,
    ) -> Sender {
        let builder = Engine::builder(store)
            .settings(settings)
            .clock(clock.clone());
        let engine = with(builder).build().unwrap();
        let directory = engine.directory();
        let user = match directory.add_domain("here.test").await {
            Ok(_) => {
                let new = NewAccount {
                    address: "ann@here.test".into(),
                    password: "secret".into(),
                    ..NewAccount::default()
                };
                directory.add_account(new).await.unwrap().id
            }
            // The store was used before.
            Err(_) => directory.account("ann@here.test").await.unwrap().id,
        };
        engine.start_service("smtp_out").await.unwrap();
        Sender { engine, user }
    }

    pub(crate) async fn send(&self, to: &str) {
        self.send_as(to, MAIL, false).await;
    }

    pub(crate) async fn send_as(&self, to: &str, mail: &str, require_tls: bool) {
        let delivery = self.engine.delivery();
        let (local, domain) = to.split_once('@').unwrap();
        let accepted = delivery
            .accept(Some((local, domain)), true, None)
            .await
            .unwrap();
        let envelope = Envelope {
            require_tls,
            ..Envelope::new("id1", "ann@here.test")
        };
        let raw = Bytes::copy_from_slice(mail.as_bytes());
        let outcomes = delivery
            .deliver(raw, &envelope, &[accepted], Answers::One)
            .await;
        assert_eq!(outcomes, [Outcome::Queued]);
    }

    /// What the last try of the only entry said, once it was tried.
    pub(crate) async fn waits(&self) -> String {
        let said = async || {
            let queue = self.engine.queue();
            let listing = queue.list(&Default::default(), None, 10).await.unwrap();
            let [listed] = listing.entries.as_slice() else {
                return None;
            };
            let last = listed.entry.recipients[0].last.clone()?;
            Some(format!("{} {}", last.status, last.words))
        };
        until(async || said().await.is_some()).await;
        said().await.unwrap()
    }

    /// How often the only entry was tried.
    pub(crate) async fn attempts(&self) -> u32 {
        let listing = self
            .engine
            .queue()
            .list(&Default::default(), None, 10)
            .await
            .unwrap();
        listing
            .entries
            .iter()
            .map(|listed| listed.entry.attempts)
            .sum()
    }

    pub(crate) async fn empty(&self) -> bool {
        self.engine.queue().stat().await.unwrap().entries == 0
    }

    /// What lies in Ann's INBOX.
    pub(crate) async fn inbox(&self) -> Vec<String> {
        let mailboxes = self.engine.mailboxes();
        let Ok(inbox) = mailboxes.find(self.user, "INBOX").await else {
            return Vec::new();
        };
        let uids: Vec<u32> = (1..inbox.uid_next).collect();
        let mut texts = Vec::new();
        for row in mailboxes.rows(self.user, inbox.id, &uids).await.unwrap() {
            let body = mailboxes.body(self.user, row.item, 0..u64::MAX).await;
            texts.push(String::from_utf8(body.unwrap().to_vec()).unwrap());
        }
        texts
    }
}

/// Until something is true; everything here takes moments.
pub(crate) async fn until<F: Future<Output = bool>>(mut what: impl FnMut() -> F) {
    let start = Instant::now();
    while !what().await {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "it does not come true"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn noon() -> ManualClock {
    ManualClock::new("2026-11-28T12:00:00Z".parse().unwrap())
}
