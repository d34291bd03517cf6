//! A thousand peers at once: limits are exact, memory and time have bounds.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axigen_core::settings::{Action, ConnectionLimits, Span};
use tokio::io::AsyncReadExt;

use crate::world::{GREETINGS, rule, tcp_from, world};
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

/// Rules of three levels, and a thousand who come at the same time: each is
/// answered as the rules say, and a rule's limit is exact.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_peers_and_rules() {
    let _alone = alone().await;
    let world = world(|settings| {
        // 250 peers for each network.
        settings.rules = vec![rule(Action::Deny, "127.1.0.0/24")];
        let imap = &mut settings.imap.common;
        imap.listeners[0].rules = vec![
            rule(Action::Allow, "127.1.0.0/23"),
            rule(Action::Deny, "127.1.2.1-127.1.2.100"),
        ];
        imap.listeners[0].rules[0].limits.connections = Some(70);
        imap.rules = vec![
            rule(Action::Deny, "127.1.2.0/24"),
            rule(Action::Allow, "127.1.2.101-127.1.2.250"),
        ];
        imap.rules[1].priority = 1;
    })
    .await;
    let server = world.engine.addresses("imap")[0];
    let (said, open) = all_at_once(address, server).await;
    // They are in the order in which they were answered.
    let count = |network: u8, what: &str| {
        let of_network = said.iter().zip(&open).filter(|(_, tcp)| {
            matches!(tcp.local_addr().unwrap().ip(), IpAddr::V4(ip) if ip.octets()[2] == network)
        });
        of_network.filter(|(said, _)| said.contains(what)).count()
    };
    let (greeting, denied, many) = ("* OK", "you may not connect", "too many connections");
    for (network, wanted) in [
        // The server's rule comes before the listener's.
        (0, [0, 250, 0]),
        // As many as the rule lets in.
        (1, [70, 0, 180]),
        // The listener's before the service's, and the smaller priority.
        (2, [150, 100, 0]),
        // Whom no rule names.
        (3, [250, 0, 0]),
    ] {
        let got = [greeting, denied, many].map(|what| count(network, what));
        assert_eq!(got, wanted, "{network}");
    }
    assert_eq!(world.engine.connections("imap"), 470);
    drop(open);
}
