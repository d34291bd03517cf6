//! Listeners with real sockets: where they listen, who may connect and how
//! often, TLS, proxies, bans, changes while they run, load, hostile peers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod banned;
mod changes;
mod external;
mod proxies;
mod rebound;
mod secured;
mod table;

use axigen_tests::doors as world;

use std::time::Duration;

use axigen_core::settings::{Action, ConnectionLimits, ListenerSettings, Span, TlsMode};
use tokio::net::UnixStream;

use world::{Client, GREETINGS, World, plain, rule, world};

#[tokio::test]
async fn ipv4_ipv6_and_unix_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(|settings| {
        for (n, common) in world::services(settings).into_iter().enumerate() {
            let mut six = plain();
            six.address = "[::1]:0".parse().unwrap();
            let mut unix =
                ListenerSettings::unix(dir.path().join(format!("{n}.sock")), TlsMode::None);
            unix.plaintext_login = true;
            common.listeners.extend([six, unix]);
        }
    })
    .await;
    for (n, (name, greeting)) in GREETINGS.into_iter().enumerate() {
        let tcp = world.engine.addresses(name);
        assert_eq!(tcp.len(), 2, "{name}");
        assert!(tcp[0].is_ipv4() && tcp[1].is_ipv6());
        for address in tcp {
            let mut client = Client::connect(address).await;
            assert!(client.line().await.starts_with(greeting));
        }
        let path = dir.path().join(format!("{n}.sock"));
        let listeners = world.engine.listeners(name);
        assert!(listeners.contains(&path.clone().into()), "{listeners:?}");
        let mut client = Client::new(UnixStream::connect(&path).await.unwrap());
        assert!(client.line().await.starts_with(greeting));
        assert_eq!(world.engine.connections(name), 1);
    }
    // A mail and a login through sockets that have no address.
    let mut smtp = Client::new(
        UnixStream::connect(dir.path().join("0.sock"))
            .await
            .unwrap(),
    );
    smtp.line().await;
    smtp.deliver("alice@example.test", "Subject: by a socket\r\n\r\nhello")
        .await;
    let mut pop = Client::new(
        UnixStream::connect(dir.path().join("2.sock"))
            .await
            .unwrap(),
    );
    pop.line().await;
    let mail = pop.first_mail().await;
    assert!(mail.contains("[127.0.0.1]"), "{mail}");
    assert!(mail.contains("Subject: by a socket"), "{mail}");
    world.engine.shutdown().await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn intervals_by_a_clock_that_stands_still() {
    let world = world(|settings| {
        settings.limits = ConnectionLimits {
            interval_connections: Some(5),
            peer_interval_connections: Some(2),
            interval: Some(Span(Duration::from_secs(3600))),
            ..settings.limits.clone()
        };
    })
    .await;
    for (name, greeting) in GREETINGS {
        let address = world.engine.addresses(name)[0];
        for _ in 0..3 {
            let mut greeted = Vec::new();
            for peer in [1, 1, 1, 2, 2, 2, 3, 3] {
                let said = Client::from([127, 0, 3, peer], address).await.line().await;
                assert!(
                    said.starts_with(greeting) || said.contains("too many connections"),
                    "{said}"
                );
                greeted.push(said.starts_with(greeting));
            }
            let wanted = [true, true, false, true, true, false, true, false];
            assert_eq!(greeted, wanted, "{name}");
            world.clock.advance(Duration::from_secs(3599));
            let said = Client::from([127, 0, 3, 9], address).await.line().await;
            assert!(said.contains("too many connections"), "{said}");
            world.clock.advance(Duration::from_secs(1));
        }
    }
}

#[tokio::test]
async fn rules_of_server_listener_and_service() {
    let world = world(|settings| {
        settings.rules = vec![
            rule(Action::Deny, "127.0.1.1"),
            rule(Action::Allow, "127.0.1.2-127.0.1.3"),
        ];
        for common in world::services(settings) {
            common.listeners[0].rules = vec![
                rule(Action::Deny, "127.0.1.0/28"),
                rule(Action::Allow, "127.0.2.0/24"),
            ];
            common.rules = vec![rule(Action::Deny, "127.0.2.0/23")];
        }
    })
    .await;
    for (name, greeting) in GREETINGS {
        let address = world.engine.addresses(name)[0];
        for (peer, lets_in) in [
            ([127, 0, 1, 1], false),
            ([127, 0, 1, 2], true),
            ([127, 0, 1, 3], true),
            ([127, 0, 1, 4], false),
            ([127, 0, 1, 16], true),
            ([127, 0, 2, 1], true),
            ([127, 0, 3, 1], false),
            ([127, 0, 4, 1], true),
        ] {
            let said = Client::from(peer, address).await.line().await;
            assert_eq!(
                said.starts_with(greeting),
                lets_in,
                "{name} {peer:?}: {said}"
            );
            assert_eq!(
                said.contains("you may not connect here"),
                !lets_in,
                "{said}"
            );
        }
    }
}

#[tokio::test]
async fn a_listener_waits_less_long_than_its_service() {
    let world = world(|settings| {
        for common in world::services(settings) {
            common.listeners[0].idle_timeout = Some(Span(Duration::from_secs(1)));
        }
    })
    .await;
    let world: &World = &world;
    let silent = GREETINGS.map(|(name, greeting)| async move {
        let begun = std::time::Instant::now();
        let mut client = Client::connect(world.engine.addresses(name)[0]).await;
        assert!(client.line().await.starts_with(greeting));
        client.rest().await;
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(900), "{name}: {took:?}");
        assert!(took < Duration::from_secs(10), "{name}: {took:?}");
    });
    for client in silent {
        client.await;
    }
}
