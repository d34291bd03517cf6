//! Servers inside the test's own process, with a zone for DNS and a clock that is
//! told to go on.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use axigen_core::clock::ManualClock;
use axigen_core::delivery::{Answers, Envelope, Outcome};
use axigen_core::directory::NewAccount;
use axigen_core::dns::ZoneResolver;
use axigen_core::engine::Engine;
use axigen_core::mailbox::Row;
use axigen_core::settings::{Settings, TlsMode};
use axigen_core::store::{AccountId, Store};
use bytes::Bytes;

/// What [`Server::send`] sends.
pub const MAIL: &str = "From: ann@here.test\r\nSubject: hello\r\n\r\nhello\r\n";

/// A server with one user.
#[derive(Debug)]
pub struct Server {
    /// It.
    pub engine: Engine,
    /// Its user.
    pub user: AccountId,
}

impl Server {
    /// Over a store in memory.
    pub async fn new(settings: Settings, zone: &str, clock: &ManualClock, user: &str) -> Server {
        let store = Store::memory().await.unwrap();
        Server::over(store, settings, zone, clock, user).await
    }

    /// Over a store.
    pub async fn over(
        store: Store,
        settings: Settings,
        zone: &str,
        clock: &ManualClock,
        user: &str,
    ) -> Server {
        let engine = Engine::builder(store)
            .settings(settings)
            .resolver(ZoneResolver::parse(zone).unwrap())
            .clock(clock.clone())
            .build()
            .unwrap();
        let (_, domain) = user.split_once('@').unwrap();
        engine.directory().add_domain(domain).await.unwrap();
        let new = NewAccount {
            address: user.into(),
            password: "secret".into(),
            ..NewAccount::default()
        };
        let user = engine.directory().add_account(new).await.unwrap().id;
        Server { engine, user }
    }

    /// What lies in the user's INBOX.
    pub async fn inbox(&self) -> Vec<String> {
        self.mailbox(self.user, "INBOX").await
    }

    /// What lies in a mailbox.
    pub async fn mailbox(&self, user: AccountId, name: &str) -> Vec<String> {
        let mailboxes = self.engine.mailboxes();
        let Ok(inbox) = mailboxes.find(user, name).await else {
            return Vec::new();
        };
        let uids: Vec<u32> = (1..inbox.uid_next).collect();
        let rows: Vec<Row> = mailboxes.rows(user, inbox.id, &uids).await.unwrap();
        let mut texts = Vec::new();
        for row in rows {
            let body = mailboxes.body(user, row.item, 0..u64::MAX).await.unwrap();
            texts.push(String::from_utf8(body.to_vec()).unwrap());
        }
        texts
    }

    /// Sends a message from the user to somebody elsewhere.
    pub async fn send(&self, to: &str) -> Outcome {
        let delivery = self.engine.delivery();
        let (local, domain) = to.split_once('@').unwrap();
        let accepted = delivery
            .accept(Some((local, domain)), true, None)
            .await
            .unwrap();
        let envelope = Envelope::new("id1", "ann@here.test");
        let outcomes = delivery
            .deliver(
                Bytes::from_static(MAIL.as_bytes()),
                &envelope,
                &[accepted],
                Answers::One,
            )
            .await;
        outcomes[0].clone()
    }

    /// Entries of the queue.
    pub async fn queued(&self) -> u64 {
        self.engine.queue().stat().await.unwrap().entries
    }
}

/// Until something is true; everything here takes moments.
pub async fn until<F: Future<Output = bool>>(mut what: impl FnMut() -> F) {
    let start = Instant::now();
    while !what().await {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "it does not come true"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A clock that stands at noon.
pub fn noon() -> ManualClock {
    ManualClock::new("2026-11-28T12:00:00Z".parse().unwrap())
}

/// A server that sends nothing.
pub fn named(hostname: &str) -> Settings {
    Settings {
        hostname: hostname.into(),
        ..Settings::default()
    }
}

/// A server that sends to hosts at this port.
pub fn sending(port: u16) -> Settings {
    let mut settings = named("mail.here.test");
    settings.smtp_out.enable = true;
    settings.smtp_out.mx_port = port;
    settings
}

/// One port that is free on 127.0.0.2, 127.0.0.3 and 127.0.0.4: hosts that one zone
/// tells apart.
pub fn three_addresses() -> [TcpListener; 3] {
    for _ in 0..100 {
        let first = TcpListener::bind("127.0.0.2:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let others = ["127.0.0.3", "127.0.0.4"].map(|ip| TcpListener::bind((ip, port)));
        if let [Ok(second), Ok(third)] = others {
            return [first, second, third];
        }
    }
    panic!("no port is free on three addresses");
}

/// Where [`three`] servers are.
pub const ZONE: &str = "
far.test.        MX 10 mx.far.test.
mx.far.test.     A 127.0.0.2
here.test.       MX 10 mx.here.test.
mx.here.test.    A 127.0.0.3
there.test.      MX 10 mx.there.test.
mx.there.test.   A 127.0.0.4
";

/// Three servers that know one another and run: Ann's far away, Carl's here, Bob's
/// there; and where the one here takes mail. `change` may have other settings for
/// each, told apart by their host names.
pub async fn three(
    clock: &ManualClock,
    mut change: impl FnMut(&mut Settings),
) -> ([Server; 3], SocketAddr) {
    let sockets = three_addresses();
    let door = sockets[1].local_addr().unwrap();
    let mut settings = |name: &str| {
        let mut settings = Settings {
            hostname: name.into(),
            ..sending(door.port())
        };
        change(&mut settings);
        settings
    };
    let servers = [
        Server::new(settings("mx.far.test"), ZONE, clock, "ann@far.test").await,
        Server::new(settings("mx.here.test"), ZONE, clock, "carl@here.test").await,
        Server::new(settings("mx.there.test"), ZONE, clock, "bob@there.test").await,
    ];
    for (server, socket) in servers.iter().zip(sockets) {
        let engine = &server.engine;
        engine.serve("smtp_in", socket, TlsMode::None).unwrap();
        engine.start_service("smtp_out").await.unwrap();
    }
    (servers, door)
}
