//! A thousand peers at once: limits are exact, memory and time have bounds.

use std::time::{Duration, Instant};

use axigen_core::settings::{ConnectionLimits, Span};
use tokio::io::AsyncReadExt;

use crate::world::{GREETINGS, tcp_from, world};
use crate::{alone, memory};

/// How many peers come.
const PEERS: usize = 1000;
/// Longest time that all of them may take, and most memory for one of them:
/// this is a machine with other work to do, and no optimised build.
const TIME: Duration = Duration::from_secs(60);
const MEMORY: usize = 128 * 1024;

/// The address of a peer, each another one.
fn address(n: usize) -> [u8; 4] {
    let (high, low) = (n / 250, n % 250);
    [
        127,
        1,
        u8::try_from(high).unwrap(),
        u8::try_from(low + 1).unwrap(),
    ]
}

/// What each of them is told first; their connections stay open.
async fn all_at_once(
    address_of: impl Fn(usize) -> [u8; 4],
    server: std::net::SocketAddr,
) -> (Vec<String>, Vec<tokio::net::TcpStream>) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..PEERS {
        let ip = address_of(n);
        tasks.spawn(async move {
            let mut tcp = tcp_from(ip, server).await.unwrap();
            let mut said = vec![0; 256];
            let n = tcp.read(&mut said).await.unwrap_or(0);
            said.truncate(n);
            (String::from_utf8(said).unwrap(), tcp)
        });
    }
    tasks.join_all().await.into_iter().unzip()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_peers_and_no_more_than_there_may_be() {
    let _alone = alone().await;
    for (name, greeting) in GREETINGS {
        let world = world(|settings| {
            settings.limits.connections = Some(600);
            settings.limits.peer_connections = Some(3);
        })
        .await;
        let server = world.engine.addresses(name)[0];
        let (begun, before) = (Instant::now(), memory());
        let (said, open) = all_at_once(address, server).await;
        let used = memory().saturating_sub(before);
        let greeted = said
            .iter()
            .filter(|said| said.starts_with(greeting))
            .count();
        let refused = said
            .iter()
            .filter(|said| said.contains("too many connections"))
            .count();
        assert_eq!((greeted, refused), (600, 400), "{name}");
        assert_eq!(world.engine.connections(name), 600, "{name}");
        assert!(begun.elapsed() < TIME, "{name}: {:?}", begun.elapsed());
        assert!(used < PEERS * MEMORY, "{name}: {used} bytes");
        // All places are given back.
        drop(open);
        while world.engine.connections(name) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert!(begun.elapsed() < TIME, "{name}: places are not given back");
        }
        // Ten of each of a hundred: three of each come in.
        let (said, open) = all_at_once(|n| address(n % 100), server).await;
        let greeted = said
            .iter()
            .filter(|said| said.starts_with(greeting))
            .count();
        assert_eq!(greeted, 300, "{name}");
        assert_eq!(world.engine.connections(name), 300, "{name}");
        drop(open);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_peers_in_one_interval() {
    let _alone = alone().await;
    let world = world(|settings| {
        settings.limits = ConnectionLimits {
            interval_connections: Some(450),
            peer_interval_connections: Some(4),
            interval: Some(Span(Duration::from_secs(60))),
            ..settings.limits.clone()
        };
    })
    .await;
    let server = world.engine.addresses("imap")[0];
    for _ in 0..2 {
        let (said, _open) = all_at_once(address, server).await;
        let greeted = said.iter().filter(|said| said.starts_with("* OK")).count();
        assert_eq!(greeted, 450);
        world.clock.advance(Duration::from_secs(60));
    }
    let (said, _open) = all_at_once(|n| address(n % 100), server).await;
    let greeted = said.iter().filter(|said| said.starts_with("* OK")).count();
    assert_eq!(greeted, 400);
}
