//! Three servers that know one another.

use std::net::SocketAddr;

use axigen_core::clock::ManualClock;
use axigen_core::directory::{Directory, NewAccount};
use axigen_core::engine::Engine;
use axigen_core::settings::{AccountSettings, Settings};
use axigen_core::store::AccountId;
use axigen_tests::engines::{Server, three, until};
use axigen_tests::wire::Wire;

/// Three servers that know one another.
pub(crate) struct Hosts {
    pub(crate) far: Server,
    pub(crate) here: Server,
    pub(crate) there: Server,
    /// Where `here` takes mail.
    pub(crate) door: SocketAddr,
}

pub(crate) async fn hosts(clock: &ManualClock, change: impl FnOnce(&mut Settings)) -> Hosts {
    let mut change = Some(change);
    let (servers, door) = three(clock, |settings| {
        if settings.hostname == "mx.here.test"
            && let Some(change) = change.take()
        {
            change(settings);
        }
    })
    .await;
    let [far, here, there] = servers;
    Hosts {
        far,
        here,
        there,
        door,
    }
}

impl Hosts {
    pub(crate) fn directory(&self) -> &Directory {
        self.here.engine.directory()
    }

    pub(crate) async fn alias(&self, name: &str, targets: &[&str]) {
        let targets: Vec<String> = targets.iter().map(|to| (*to).to_owned()).collect();
        self.directory().add_alias(name, &targets).await.unwrap();
    }

    pub(crate) async fn set(&self, account: &str, options: &[(&str, &str)]) {
        let mut settings = AccountSettings::default();
        for (option, value) in options {
            settings.set(option, value).unwrap();
        }
        let set = self.directory().set_account_settings(account, &settings);
        set.await.unwrap();
    }

    /// A message from far away to somebody here; the last reply.
    pub(crate) fn knock(&self, mail: &str, rcpts: &[&str]) -> String {
        let address = self.door.to_string();
        tokio::task::block_in_place(|| {
            let mut wire = Wire::connect(&address);
            wire.smtp_reply();
            wire.smtp("EHLO mx.far.test");
            let said = wire.smtp(&format!("MAIL FROM:<ann@far.test>{mail}"));
            assert!(said.starts_with("250"), "{said}");
            for rcpt in rcpts {
                let said = wire.smtp(&format!("RCPT TO:{rcpt}"));
                if !said.starts_with("250") {
                    return said;
                }
            }
            wire.smtp("DATA");
            let said = wire.smtp("Subject: hello\r\nFrom: ann@far.test\r\n\r\nhello\r\n.");
            wire.smtp("QUIT");
            said
        })
    }

    /// The next notice that Ann gets.
    pub(crate) async fn notice(&self) -> String {
        until(async || !self.far.inbox().await.is_empty()).await;
        let mut inbox = self.far.inbox().await;
        assert_eq!(inbox.len(), 1, "{inbox:?}");
        inbox.remove(0)
    }
}

pub(crate) async fn account(engine: &Engine, address: &str) -> AccountId {
    let new = NewAccount {
        address: address.into(),
        password: "secret".into(),
        ..NewAccount::default()
    };
    engine.directory().add_account(new).await.unwrap().id
}
