//! Faults: what they cost, and the bans they lead to.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axigen_core::settings::{FaultSettings, Settings, Span};
use axigen_store::Store;

use crate::world::{Client, GREETINGS, build, world};

const BAD: [u8; 4] = [127, 0, 8, 1];
const GOOD: [u8; 4] = [127, 0, 8, 2];

/// Nobody is trusted, nobody waits, ten faults ban for ten minutes.
fn strict(settings: &mut Settings) {
    settings.faults = FaultSettings {
        wait: Span(Duration::ZERO),
        ban_after: 10,
        trusted: vec!["127.0.9.0/24".parse().unwrap()],
        ..FaultSettings::default()
    };
    settings.logins.trusted = vec!["127.0.10.0/24".parse().unwrap()];
    settings.logins.account_failures = 1000;
}

async fn misbehave(ip: [u8; 4], address: SocketAddr, faults: usize) {
    let mut client = Client::from(ip, address).await;
    client.line().await;
    for _ in 0..faults {
        let said = client.ask("FROB FROB").await;
        assert!(
            ["500", "FROB BAD", "-ERR"]
                .iter()
                .any(|no| said.starts_with(no)),
            "{said}"
        );
    }
}

#[tokio::test]
async fn bad_commands_ban_and_a_ban_ends() {
    for (name, greeting) in GREETINGS {
        let world = world(strict).await;
        let address = world.engine.addresses(name)[0];
        misbehave(BAD, address, 5).await;
        misbehave(BAD, address, 4).await;
        assert_eq!(world.engine.bans(), []);
        let mut open = Client::from(BAD, address).await;
        assert!(open.line().await.starts_with(greeting));
        open.ask("FROB FROB").await;
        // It may stay, but not come again, to no service.
        let command = ["NOOP", "A NOOP", "CAPA"];
        let at = GREETINGS.iter().position(|(of, _)| *of == name).unwrap();
        let said = open.ask(command[at]).await;
        assert!(
            ["250", "A OK", "+OK"].iter().any(|ok| said.starts_with(ok)),
            "{said}"
        );
        for (name, greeting) in GREETINGS {
            let address = world.engine.addresses(name)[0];
            let said = Client::from(BAD, address).await.line().await;
            assert!(said.contains("too many faults"), "{said}");
            let said = Client::from(GOOD, address).await.line().await;
            assert!(said.starts_with(greeting), "{said}");
        }
        let bans = world.engine.bans();
        assert_eq!(bans.len(), 1);
        assert_eq!(bans[0].peer.to_string(), "127.0.8.1/32");
        assert_eq!((bans[0].times, bans[0].faults), (1, 10));
        world.clock.advance(Duration::from_secs(599));
        let said = Client::from(BAD, address).await.line().await;
        assert!(said.contains("too many faults"), "{said}");
        world.clock.advance(Duration::from_secs(1));
        let said = Client::from(BAD, address).await.line().await;
        assert!(said.starts_with(greeting), "{said}");
        assert_eq!(world.engine.bans(), []);
        // The next one is longer.
        misbehave(BAD, address, 10).await;
        let bans = world.engine.bans();
        assert_eq!(bans[0].until, bans[0].since + Duration::from_secs(1200));
        assert!(world.engine.lift_ban(BAD.into()).await.unwrap());
        assert!(!world.engine.lift_ban(BAD.into()).await.unwrap());
        let said = Client::from(BAD, address).await.line().await;
        assert!(said.starts_with(greeting), "{said}");
    }
}

#[tokio::test]
async fn failed_logins_are_faults() {
    let world = world(strict).await;
    let pop3 = world.engine.addresses("pop3")[0];
    let imap = world.engine.addresses("imap")[0];
    let tries = (0..10).map(|n| async move {
        match n % 2 {
            0 => {
                let mut client = Client::from(BAD, imap).await;
                client.line().await;
                let said = client.ask("A LOGIN alice@example.test wrong").await;
                assert!(said.starts_with("A NO"), "{said}");
            }
            _ => {
                let mut client = Client::from(BAD, pop3).await;
                client.line().await;
                client.ask("USER alice@example.test").await;
                let said = client.ask("PASS wrong").await;
                assert!(said.starts_with("-ERR"), "{said}");
            }
        }
    });
    for one in tries {
        one.await;
    }
    let said = Client::from(BAD, imap).await.line().await;
    assert!(said.starts_with("* BYE [UNAVAILABLE]"), "{said}");
    // Not those of web mail, behind which many people are.
    for _ in 0..12 {
        let mut client = Client::from([127, 0, 10, 1], imap).await;
        client.line().await;
        client.ask("A LOGIN alice@example.test wrong").await;
    }
    assert_eq!(world.engine.bans().len(), 1);
    assert_eq!(world.engine.clear_bans().await.unwrap(), 1);
    let said = Client::from(BAD, imap).await.line().await;
    assert!(said.starts_with("* OK"), "{said}");
}

#[tokio::test]
async fn whoever_speaks_another_protocol_is_at_fault() {
    let world = world(|settings| {
        strict(settings);
        settings.faults.ban_after = 1;
    })
    .await;
    let address = world.engine.addresses("smtp_in")[0];
    let mut client = Client::from(BAD, address).await;
    client.line().await;
    client
        .send("GET / HTTP/1.1\r\nHost: mx.example.test\r\n\r\n")
        .await;
    client.rest().await;
    assert_eq!(world.engine.bans().len(), 1);
}

#[tokio::test]
async fn who_is_trusted_is_never_banned() {
    let world = world(strict).await;
    let address = world.engine.addresses("imap")[0];
    for _ in 0..4 {
        misbehave([127, 0, 9, 1], address, 20).await;
    }
    assert_eq!(world.engine.bans(), []);
    let said = Client::from([127, 0, 9, 1], address).await.line().await;
    assert!(said.starts_with("* OK"), "{said}");
}

#[tokio::test]
async fn a_restart_lifts_no_ban() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let first = build(store, strict, |builder| builder).await;
    misbehave(BAD, first.engine.addresses("imap")[0], 10).await;
    let bans = first.engine.bans();
    assert_eq!(bans.len(), 1);
    first.engine.shutdown().await.unwrap();
    drop(first);
    let store = Store::open(dir.path()).await.unwrap();
    let again = build(store, strict, |builder| builder).await;
    assert_eq!(again.engine.bans(), bans);
    let address = again.engine.addresses("pop3")[0];
    let said = Client::from(BAD, address).await.line().await;
    assert!(said.contains("too many faults"), "{said}");
    assert_eq!(again.engine.clear_bans().await.unwrap(), 1);
    again.engine.shutdown().await.unwrap();
    drop(again);
    let store = Store::open(dir.path()).await.unwrap();
    let last = build(store, strict, |builder| builder).await;
    assert_eq!(last.engine.bans(), []);
    misbehave(BAD, last.engine.addresses("imap")[0], 10).await;
    last.engine.shutdown().await.unwrap();
    drop(last);
    axigen_tests::verify::verify(dir.path());
}

#[tokio::test]
async fn who_waits_does_not_keep_the_server_from_stopping() {
    let world = world(|settings| {
        strict(settings);
        settings.faults.free = 0;
        settings.faults.wait = Span(Duration::from_secs(100));
        settings.faults.longest_wait = Span(Duration::from_secs(100));
        settings.shutdown_timeout = Span(Duration::from_secs(60));
    })
    .await;
    let mut waiting = Vec::new();
    for (name, _) in GREETINGS {
        let mut client = Client::from(BAD, world.engine.addresses(name)[0]).await;
        client.line().await;
        client.ask("FROB FROB").await;
        waiting.push(client);
    }
    let begun = Instant::now();
    world.engine.shutdown().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20));
    for client in &mut waiting {
        client.rest().await;
    }
}

#[tokio::test]
async fn further_faults_of_a_connection_wait_longer() {
    for (name, _) in GREETINGS {
        let world = world(|settings| {
            strict(settings);
            settings.faults.free = 2;
            settings.faults.ban_after = 0;
            settings.faults.wait = Span(Duration::from_secs(1));
            settings.faults.longest_wait = Span(Duration::from_secs(2));
        })
        .await;
        let address = world.engine.addresses(name)[0];
        let mut client = Client::from(BAD, address).await;
        client.line().await;
        let mut took = Vec::new();
        for _ in 0..5 {
            let begun = Instant::now();
            client.ask("FROB FROB").await;
            took.push(begun.elapsed().as_millis());
        }
        // The third is answered, and what comes behind it waits.
        let waits = [0, 0, 0, 900, 1900];
        for (took, wait) in took.iter().zip(waits) {
            assert!(
                (wait..wait + 900).contains(took),
                "{name}: {took} ms, not {wait}"
            );
        }
        // Sent all at once they are answered at once, but nothing behind them is.
        let mut client = Client::from(BAD, address).await;
        client.line().await;
        let begun = Instant::now();
        client.send("FROB FROB\r\n".repeat(5)).await;
        for _ in 0..5 {
            client.line().await;
        }
        client.ask("FROB FROB").await;
        assert!(begun.elapsed() > Duration::from_millis(1900), "{name}");
    }
}
