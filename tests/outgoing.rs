//! Mail that travels: real servers in one process, a zone file for DNS, and a
//! clock that is told to go on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axigen_core::clock::ManualClock;
use axigen_core::delivery::Outcome;
use axigen_core::settings::{AccountSettings, TlsMode};
use axigen_core::store::pack::Packs;
use axigen_core::store::{Store, store};
use axigen_tests::engines::{MAIL, Server, named, noon, sending, until};
use axigen_tests::machine::{Fault, Kind, Machine};

const ZONE: &str = "
there.test.      MX 10 mx.there.test.
mx.there.test.   A 127.0.0.1
null.test.       MX 0 .
";

async fn pair(clock: &ManualClock) -> (Server, Server) {
    let there = Server::new(named("mx.there.test"), ZONE, clock, "bob@there.test").await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = there
        .engine
        .serve("smtp_in", socket, TlsMode::None)
        .unwrap();
    let here = Server::new(sending(address.port()), ZONE, clock, "ann@here.test").await;
    (here, there)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_travels_by_mx() {
    let clock = noon();
    let (here, there) = pair(&clock).await;
    here.engine.start_service("smtp_out").await.unwrap();
    assert_eq!(here.send("bob@there.test").await, Outcome::Queued);
    until(async || there.inbox().await.len() == 1).await;
    let text = there.inbox().await.remove(0);
    assert!(
        text.starts_with("Return-Path: <ann@here.test>\r\nReceived: from mail.here.test"),
        "{text}"
    );
    assert!(text.ends_with(MAIL), "{text}");
    until(async || here.queued().await == 0).await;
    let stat = here.engine.queue().stat().await.unwrap();
    assert_eq!(stat, axigen_core::queue::list::Stat::default());
    assert!(here.inbox().await.is_empty());
    here.engine.shutdown().await.unwrap();
    there.engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_is_told_of_failures() {
    let clock = noon();
    let (here, _there) = pair(&clock).await;
    here.engine.start_service("smtp_out").await.unwrap();
    for (to, says) in [
        ("nobody@there.test", "Status: 5.1.1\r\n"),
        ("x@null.test", "Status: 5.1.10\r\n"),
        ("x@nowhere.test", "Status: 5.1.2\r\n"),
    ] {
        let before = here.inbox().await.len();
        assert_eq!(here.send(to).await, Outcome::Queued);
        until(async || here.inbox().await.len() > before).await;
        let text = here.inbox().await.pop().unwrap();
        assert!(text.contains(says), "{text}");
        assert!(
            text.contains(&format!("Final-Recipient: rfc822;{to}\r\n")),
            "{text}"
        );
        assert!(text.contains("\r\nSubject: hello\r\n"), "{text}");
        assert_eq!(here.queued().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_down_is_tried_again_and_given_up() {
    let clock = noon();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let mut settings = sending(port);
    // One after the other, so that nobody still tries when the clock goes on.
    settings.smtp_out.lane_sessions = 1;
    let here = Server::new(settings, ZONE, &clock, "ann@here.test").await;
    here.engine.start_service("smtp_out").await.unwrap();
    for _ in 0..3 {
        here.send("bob@there.test").await;
    }
    let tried = async || {
        let listing = here
            .engine
            .queue()
            .list(&Default::default(), None, 10)
            .await
            .unwrap();
        listing
            .entries
            .iter()
            .map(|listed| listed.entry.attempts)
            .sum::<u32>()
    };
    until(async || tried().await == 1).await;
    // The domain rests; one of the three is tried first when it has rested.
    clock.advance(Duration::from_secs(6 * 60));
    until(async || tried().await >= 2).await;
    assert_eq!(here.queued().await, 3);
    assert!(here.inbox().await.is_empty());
    // Four hours later the sender is told once for each message.
    clock.advance(Duration::from_secs(4 * 3600));
    until(async || here.inbox().await.len() == 3).await;
    for text in here.inbox().await {
        assert!(text.contains("Action: delayed\r\n"), "{text}");
        assert!(
            text.contains("Will-Retry-Until: Thu, 03 Dec 2026 12:00:00 +0000\r\n"),
            "{text}"
        );
    }
    clock.advance(Duration::from_secs(86_400));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(here.inbox().await.len(), 3, "told once");
    // After five days they come back.
    clock.advance(Duration::from_secs(4 * 86_400));
    until(async || here.queued().await == 0).await;
    let inbox = here.inbox().await;
    assert_eq!(inbox.len(), 6);
    for text in inbox.get(3..).unwrap() {
        assert!(
            text.contains("Action: failed\r\nStatus: 5.4.7\r\n"),
            "{text}"
        );
    }
}

/// What a host has taken is not sent to it again because it could not be noted
/// here: the session keeps it in mind until it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_settled_at_once_is_not_sent_twice() {
    let clock = noon();
    let machine = Machine::with_directory(Path::new("/packs"));
    let packs = Packs::open_on(machine.disk(), Path::new("/packs"), 1 << 20, 0).unwrap();
    let mut options = store::Options::default();
    // Nothing by itself: every step is one of a message.
    options.upkeep = Duration::ZERO;
    let store = Store::over(machine.rows(), Arc::new(packs), options)
        .await
        .unwrap();
    let there = Server::new(named("mx.there.test"), ZONE, &clock, "bob@there.test").await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = there
        .engine
        .serve("smtp_in", socket, TlsMode::None)
        .unwrap();
    let settings = sending(address.port());
    let here = Server::over(store, settings, ZONE, &clock, "ann@here.test").await;
    here.engine.start_service("smtp_out").await.unwrap();
    // What is left is noted a moment later, which is a step too.
    let sent = async || {
        here.send("bob@there.test").await;
        until(async || here.queued().await == 0).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
    };
    // The first one makes files.
    sent().await;
    let before = machine.steps().len();
    sent().await;
    let steps = machine.steps();
    let commits = steps.iter().enumerate().skip(before);
    let commits = commits.filter(|(_, kind)| **kind == Kind::Commit);
    let last = commits.map(|(at, _)| at - before).next_back().unwrap();
    machine.fail_at(machine.steps().len() + last, Fault::Full);
    here.send("bob@there.test").await;
    until(async || there.inbox().await.len() == 3).await;
    assert_eq!(
        here.queued().await,
        1,
        "the step that failed was another one"
    );
    until(async || here.queued().await == 0).await;
    assert_eq!(there.inbox().await.len(), 3);
    here.engine.shutdown().await.unwrap();
}

/// A host that says nothing holds up no shutdown, and nothing is lost by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_host_does_not_hold_up_a_shutdown() {
    let clock = noon();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = sending(silent.local_addr().unwrap().port());
    settings.shutdown_timeout = "1s".parse().unwrap();
    let here = Server::new(settings, ZONE, &clock, "ann@here.test").await;
    here.engine.start_service("smtp_out").await.unwrap();
    here.send("bob@there.test").await;
    let met = tokio::task::spawn_blocking(move || silent.accept().unwrap());
    let _connection = met.await.unwrap();
    let start = Instant::now();
    here.engine.stop("smtp_out").await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(here.queued().await, 1);
    here.engine.shutdown().await.unwrap();
}

/// A sender whose mailbox is full is told all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_mailbox_gets_notices() {
    let clock = noon();
    let (here, _there) = pair(&clock).await;
    here.engine.start_service("smtp_out").await.unwrap();
    let full = AccountSettings {
        quota: Some("1".parse().unwrap()),
        ..AccountSettings::default()
    };
    here.engine
        .directory()
        .set_account_settings("ann@here.test", &full)
        .await
        .unwrap();
    here.send("nobody@there.test").await;
    until(async || here.inbox().await.len() == 1).await;
    assert_eq!(here.queued().await, 0);
}

/// Another route, while a message waits: the next try goes there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_change_while_mail_waits() {
    let clock = noon();
    let (pair_here, there) = pair(&clock).await;
    let door = there.engine.addresses("smtp_in")[0];
    drop(pair_here);
    // Nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = closed.local_addr().unwrap();
    drop(closed);
    let by = |to: std::net::SocketAddr, more: &str| {
        let text = format!(
            "hostname = \"mail.here.test\"\n[smtp_out]\nenable = true\n{more}\n\
             [[smtp_out.routes]]\ndomains = [\"there.test\"]\nto = \"smtp://{to}\"\n"
        );
        axigen_core::settings::parse(&text).unwrap()
    };
    let here = Server::new(by(dead, ""), ZONE, &clock, "ann@here.test").await;
    let engine = &here.engine;
    engine.start().await.unwrap();
    assert_eq!(here.send("bob@there.test").await, Outcome::Queued);
    let entry = async || {
        let listing = engine.queue().list(&Default::default(), None, 9).await;
        listing.unwrap().entries.pop().map(|at| at.entry)
    };
    until(async || entry().await.is_some_and(|entry| entry.attempts == 1)).await;
    assert_eq!(entry().await.unwrap().lane, format!("=smtp://{dead}"));

    engine.apply(by(door, "")).await.unwrap();
    clock.advance(Duration::from_secs(600));
    until(async || there.inbox().await.len() == 1).await;
    until(async || here.queued().await == 0).await;
    assert_eq!(engine.running(), ["smtp_out"]);

    // The schedule, and who is told of a delay.
    engine
        .apply(by(
            dead,
            "expire = \"1h\"\nretry = [\"1m\"]\ntell_delay = \"10m\"",
        ))
        .await
        .unwrap();
    assert_eq!(here.send("bob@there.test").await, Outcome::Queued);
    until(async || entry().await.is_some_and(|entry| entry.attempts == 1)).await;
    clock.advance(Duration::from_secs(601));
    until(async || here.inbox().await.len() == 1).await;
    clock.advance(Duration::from_secs(3600));
    until(async || here.inbox().await.len() == 2).await;
    assert_eq!(here.queued().await, 0);
    let text = here.inbox().await.pop().unwrap();
    assert!(text.contains("Status: 5.4.7\r\n"), "{text}");

    // What cannot be is told, and changes nothing.
    let mut wrong = by(door, "");
    wrong.smtp_out.authorities = "/nowhere/authorities.pem".into();
    let error = engine.apply(wrong).await.unwrap_err();
    assert!(
        error.to_string().contains("smtp_out.authorities"),
        "{error}"
    );
    let mut nobodys = by(door, "");
    nobodys.smtp_out.routes[0].to = "transport:fax".parse().unwrap();
    let error = engine.apply(nobodys).await.unwrap_err();
    assert!(error.to_string().contains("the transport fax"), "{error}");
    for (text, option) in [
        ("directory = \"elsewhere\"\n", "directory"),
        ("[store]\nengine = \"redb\"\n", "store.engine"),
    ] {
        let other = axigen_core::settings::parse(text).unwrap();
        let mut settings = by(door, "");
        settings.directory = other.directory;
        settings.store = other.store;
        let said = engine.apply(settings).await.unwrap_err().to_string();
        assert!(
            said.contains(&format!("{option}: it cannot be changed")),
            "{said}"
        );
    }
    // The way is still the old one.
    assert_eq!(here.send("bob@there.test").await, Outcome::Queued);
    assert_eq!(entry().await.unwrap().lane, format!("=smtp://{dead}"));

    // Switched off, nothing is sent or taken; on again, it goes on.
    let mut off = by(door, "");
    off.smtp_out.enable = false;
    engine.apply(off).await.unwrap();
    assert!(engine.running().is_empty());
    let refused = engine
        .delivery()
        .accept(Some(("bob", "there.test")), true, None)
        .await;
    assert_eq!(refused, Err(axigen_core::delivery::Refused::NoOutgoing));
    engine.apply(by(door, "")).await.unwrap();
    clock.advance(Duration::from_secs(600));
    until(async || there.inbox().await.len() == 2).await;
    engine.shutdown().await.unwrap();
    there.engine.shutdown().await.unwrap();
}
