//! Settings that change while everything runs.

use std::net::TcpListener;

use axigen_core::error::Error;
use axigen_core::settings::{Action, ListenAddress, ListenerSettings, Settings, TlsMode};
use tokio::net::{TcpStream, UnixStream};

use crate::world::{Client, GREETINGS, plain, rule, services, world};

/// A port that nobody has.
fn free() -> ListenAddress {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().into()
}

fn at(address: &ListenAddress) -> ListenerSettings {
    ListenerSettings {
        address: address.clone(),
        ..plain()
    }
}

async fn greets(address: &ListenAddress, greeting: &str) -> bool {
    match TcpStream::connect(address.tcp().unwrap()).await {
        Ok(tcp) => Client::new(tcp).line().await.starts_with(greeting),
        Err(_) => false,
    }
}

#[tokio::test]
async fn rules_and_limits_touch_nobody_who_is_there() {
    let world = world(|_| {}).await;
    for (n, (name, greeting)) in GREETINGS.into_iter().enumerate() {
        let address = world.engine.addresses(name)[0];
        let mut open = Client::from([127, 0, 7, 1], address).await;
        assert!(open.line().await.starts_with(greeting));
        for change in [
            |settings: &mut Settings| settings.rules = vec![rule(Action::Deny, "127.0.0.0/8")],
            |settings: &mut Settings| {
                settings.rules.clear();
                for common in services(settings) {
                    common.rules = vec![rule(Action::Deny, "127.0.7.1")];
                }
            },
            |settings: &mut Settings| {
                for common in services(settings) {
                    common.rules.clear();
                    common.listeners[0].rules = vec![rule(Action::Deny, "127.0.7.0-127.0.7.9")];
                }
            },
            |settings: &mut Settings| {
                for common in services(settings) {
                    common.listeners[0].rules.clear();
                    common.listeners[0].limits.connections = Some(1);
                }
            },
        ] {
            world.change(change).await.unwrap();
            assert_eq!(world.engine.addresses(name), [address]);
            let said = Client::from([127, 0, 7, 1], address).await.line().await;
            assert!(!said.starts_with(greeting), "{said}");
            let command = ["NOOP", "A NOOP", "CAPA"][n];
            let said = open.ask(command).await;
            assert!(
                ["250", "A OK", "+OK"].iter().any(|ok| said.starts_with(ok)),
                "{said}"
            );
            while n == 2 && open.line().await != ".\r\n" {}
            assert_eq!(world.engine.connections(name), 1);
        }
        let all = |settings: &mut Settings| {
            for common in services(settings) {
                common.listeners[0].limits.connections = None;
            }
        };
        world.change(all).await.unwrap();
        let said = Client::from([127, 0, 7, 1], address).await.line().await;
        assert!(said.starts_with(greeting), "{said}");
    }
}

#[tokio::test]
async fn listeners_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (free(), free());
    let world = world(|settings| settings.imap.common.listeners = vec![at(&one)]).await;
    let mut open = Client::connect(one.tcp().unwrap()).await;
    open.line().await;
    let path = dir.path().join("imap.sock");
    let unix = ListenerSettings {
        plaintext_login: true,
        ..ListenerSettings::unix(path.clone(), TlsMode::None)
    };
    world
        .change(|settings| settings.imap.common.listeners.extend([at(&two), unix]))
        .await
        .unwrap();
    assert!(greets(&one, "* OK").await && greets(&two, "* OK").await);
    let mut local = Client::new(UnixStream::connect(&path).await.unwrap());
    assert!(local.line().await.starts_with("* OK"));
    world
        .change(|settings| settings.imap.common.listeners = vec![at(&two)])
        .await
        .unwrap();
    assert_eq!(world.engine.listeners("imap"), std::slice::from_ref(&two));
    assert!(!greets(&one, "* OK").await && greets(&two, "* OK").await);
    assert!(!path.exists());
    // The port is free for others at once.
    drop(TcpListener::bind(one.tcp().unwrap()).unwrap());
    // Who came through them stays, and counts.
    assert!(open.ask("A NOOP").await.starts_with("A OK"));
    assert!(local.ask("A NOOP").await.starts_with("A OK"));
    assert!(world.engine.connections("imap") >= 2);
    // And is told when the service ends.
    world.engine.stop("imap").await.unwrap();
    assert!(open.line().await.starts_with("* BYE"));
    assert!(local.line().await.starts_with("* BYE"));
    assert!(!greets(&two, "* OK").await);
}

#[tokio::test]
async fn what_cannot_be_bound_changes_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken: ListenAddress = taken
        .local_addr()
        .map(|address| {
            std::mem::forget(taken);
            address.into()
        })
        .unwrap();
    let (one, two) = (free(), free());
    let world = world(|settings| settings.imap.common.listeners = vec![at(&one)]).await;
    let before = world.engine.settings();
    let error = world
        .change(|settings| {
            settings.rules = vec![rule(Action::Deny, "127.0.0.0/8")];
            settings.imap.common.listeners = vec![at(&two), at(&taken)];
            settings.pop3.common.enable = false;
        })
        .await
        .unwrap_err();
    match &error {
        Error::Bind {
            service: "imap",
            address,
            ..
        } => assert_eq!(*address, taken),
        other => panic!("{other}"),
    }
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
    assert_eq!(*world.engine.settings(), *before);
    assert!(greets(&one, "* OK").await && !greets(&two, "* OK").await);
    assert_eq!(world.engine.running(), ["imap", "pop3", "smtp_in"]);
    // Nor does what is wrong in itself.
    let error = world
        .change(|settings| {
            settings.imap.common.listeners[0].proxy.header_size.0 = 1;
            settings.imap.common.listeners[0].rules = vec![rule(Action::Deny, "127.0.0.1")];
            settings.imap.common.listeners[0].rules[0].priority = 0;
        })
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("imap.listeners.proxy.header_size"),
        "{error}"
    );
    assert!(error.contains("imap.listeners.rules.priority"), "{error}");
    assert!(greets(&one, "* OK").await);
}

#[tokio::test]
async fn services_start_and_stop_and_hand_addresses_over() {
    let (one, two, three) = (free(), free(), free());
    let world = world(|settings| {
        settings.imap.common.listeners = vec![at(&one)];
        settings.pop3.common.listeners = vec![at(&two)];
        settings.smtp_in.common.listeners = vec![at(&three)];
    })
    .await;
    // All change places.
    world
        .change(|settings| {
            settings.imap.common.listeners = vec![at(&two)];
            settings.pop3.common.listeners = vec![at(&three)];
            settings.smtp_in.common.listeners = vec![at(&one)];
        })
        .await
        .unwrap();
    assert!(greets(&two, "* OK").await);
    assert!(greets(&three, "+OK").await);
    assert!(greets(&one, "220").await);
    // A service ends, another one that did not run takes its place.
    world
        .change(|settings| {
            settings.pop3.common.enable = false;
            settings.lmtp.common.enable = true;
            settings.lmtp.common.listeners = vec![at(&three)];
        })
        .await
        .unwrap();
    assert_eq!(world.engine.running(), ["imap", "lmtp", "smtp_in"]);
    assert!(greets(&three, "220").await);
    let lmtp = Client::connect(three.tcp().unwrap()).await;
    let mut lmtp = lmtp;
    lmtp.line().await;
    assert!(lmtp.ask("LHLO x.example").await.starts_with("250"));
    // A service that somebody stopped stays stopped.
    world.engine.stop("imap").await.unwrap();
    world
        .change(|settings| settings.imap.common.rules = vec![rule(Action::Deny, "10.0.0.1")])
        .await
        .unwrap();
    assert_eq!(world.engine.running(), ["lmtp", "smtp_in"]);
    world.engine.start_service("imap").await.unwrap();
    assert!(greets(&two, "* OK").await);
}

#[tokio::test]
async fn listeners_of_the_application_stay() {
    let world = world(|_| {}).await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = world
        .engine
        .serve("imap", socket, TlsMode::None)
        .unwrap()
        .into();
    world
        .change(|settings| settings.imap.common.listeners = vec![plain(), plain()])
        .await
        .unwrap();
    assert!(greets(&address, "* OK").await);
    assert_eq!(world.engine.addresses("imap").len(), 3);
    // The server's rules are for them too.
    world
        .change(|settings| settings.rules = vec![rule(Action::Deny, "127.0.0.1")])
        .await
        .unwrap();
    assert!(!greets(&address, "* OK").await);
}
