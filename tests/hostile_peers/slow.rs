//! Peers that are slow or mean harm: they cost little, and not for long.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axigen_core::net::tls;
use axigen_core::settings::{Settings, Span, TlsMode};
use axigen_store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::{Client, GREETINGS, SOON, World, build, plain, services, world};
use crate::{alone, memory};

/// Most memory that one hostile peer may cost.
const MEMORY: usize = 24 * 1024 * 1024;
/// How long the server waits for a command here.
const PATIENCE: Duration = Duration::from_secs(2);

fn impatient(settings: &mut Settings) {
    for common in services(settings) {
        common.listeners[0].idle_timeout = Some(Span(PATIENCE));
    }
}

/// Somebody else is served as always.
async fn others_are_served(world: &World) {
    for (name, greeting) in GREETINGS {
        let mut client = Client::connect(world.engine.addresses(name)[0]).await;
        assert!(client.line().await.starts_with(greeting), "{name}");
    }
}

async fn nobody_is_left(world: &World, name: &str) {
    let waiting = async {
        while world.engine.connections(name) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, waiting)
        .await
        .expect("the connection is closed");
}

/// Sends piece after piece until the server has closed the connection; how
/// long it took.
async fn send_until_closed(address: SocketAddr, piece: &[u8], pause: Duration) -> Duration {
    let begun = Instant::now();
    let tcp = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = tcp.into_split();
    let reading = tokio::spawn(async move {
        let mut sink = vec![0; 64 * 1024];
        while matches!(read.read(&mut sink).await, Ok(1..)) {}
    });
    let writing = async {
        while write.write_all(piece).await.is_ok() && !reading.is_finished() {
            tokio::time::sleep(pause).await;
        }
    };
    timeout(SOON, writing).await.expect("the server closes it");
    begun.elapsed()
}

#[tokio::test]
async fn a_command_byte_by_byte_is_cut_off_as_a_whole() {
    let _alone = alone().await;
    let world = world(impatient).await;
    for (name, _) in GREETINGS {
        let address = world.engine.addresses(name)[0];
        // Never silent for as long as the server waits, and never done.
        let took = send_until_closed(address, b"A", Duration::from_millis(100)).await;
        assert!(took < PATIENCE * 5, "{name}: {took:?}");
        nobody_is_left(&world, name).await;
    }
    others_are_served(&world).await;
}

#[tokio::test]
async fn a_hundred_slow_peers_are_gone_together() {
    let _alone = alone().await;
    let world = world(impatient).await;
    for (name, _) in GREETINGS {
        let address = world.engine.addresses(name)[0];
        let mut slow = tokio::task::JoinSet::new();
        let begun = Instant::now();
        for _ in 0..100 {
            slow.spawn(send_until_closed(address, b"N", Duration::from_millis(200)));
        }
        others_are_served(&world).await;
        slow.join_all().await;
        assert!(begun.elapsed() < PATIENCE * 6, "{name}");
        nobody_is_left(&world, name).await;
    }
}

#[tokio::test]
async fn a_line_without_end_holds_no_memory() {
    let _alone = alone().await;
    let world = world(impatient).await;
    for (name, _) in GREETINGS {
        let before = memory();
        let address = world.engine.addresses(name)[0];
        // From the first moment: nothing of it waits for the greeting.
        let took = send_until_closed(address, &[b'x'; 64 * 1024], Duration::ZERO).await;
        let used = memory().saturating_sub(before);
        assert!(took < PATIENCE * 5, "{name}: {took:?}");
        assert!(used < MEMORY, "{name}: {used} bytes");
        nobody_is_left(&world, name).await;
    }
    others_are_served(&world).await;
}

#[tokio::test]
async fn noise_before_the_greeting_ends_it() {
    let _alone = alone().await;
    let world = world(impatient).await;
    for (name, _) in GREETINGS {
        for noise in [
            &b"\0"[..],
            b"\n",
            b"\r\n",
            b"\xff\xfe\r\n",
            b"\x16\x03\x01\x02\0\x01",
        ] {
            let before = memory();
            let address = world.engine.addresses(name)[0];
            let piece = noise.repeat(4096);
            let took = send_until_closed(address, &piece, Duration::ZERO).await;
            assert!(took < PATIENCE * 6, "{name} {noise:?}: {took:?}");
            let used = memory().saturating_sub(before);
            assert!(used < MEMORY, "{name} {noise:?}: {used} bytes");
            nobody_is_left(&world, name).await;
        }
    }
    others_are_served(&world).await;
}

#[tokio::test]
async fn handshakes_that_do_not_end_are_ended() {
    let _alone = alone().await;
    let tls = tls::self_signed(&["localhost".into()]).unwrap();
    let world = build(
        Store::memory().await.unwrap(),
        |settings| {
            settings.tls.handshake_timeout = Span(Duration::from_secs(1));
            for common in services(settings) {
                let mut listener = plain();
                listener.tls = TlsMode::Implicit;
                common.listeners = vec![listener];
            }
        },
        |builder| builder.tls(tls),
    )
    .await;
    // The beginning of a ClientHello that says it has 16 KB.
    let hello = [
        &b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03"[..],
        &[7; 40],
    ]
    .concat();
    for (name, _) in GREETINGS {
        let address = world.engine.addresses(name)[0];
        let begun = Instant::now();
        let mut silent = Client::connect(address).await;
        assert_eq!(silent.rest().await, b"");
        let took = begun.elapsed();
        assert!(
            took > Duration::from_millis(900) && took < PATIENCE * 5,
            "{took:?}"
        );
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(&hello).await.unwrap();
        let begun = Instant::now();
        // Each byte comes in time, all of them do not.
        while half.write_all(b"\x07").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(begun.elapsed() < PATIENCE * 5, "{name}: it goes on");
        }
        // What is no handshake ends at once.
        let took = send_until_closed(address, b"EHLO client.example\r\n", Duration::ZERO).await;
        assert!(took < Duration::from_secs(5), "{took:?}");
        nobody_is_left(&world, name).await;
    }
}

#[tokio::test]
async fn who_asks_and_never_reads_is_not_read_any_more() {
    let _alone = alone().await;
    let world = world(|_| {}).await;
    for (name, command) in [
        ("smtp_in", "NOOP\r\n"),
        ("imap", "A NOOP\r\n"),
        ("pop3", "CAPA\r\n"),
    ] {
        let before = memory();
        let tcp = TcpStream::connect(world.engine.addresses(name)[0])
            .await
            .unwrap();
        let (read, mut write) = tcp.into_split();
        let piece = command.repeat(8192);
        let mut sent = 0;
        // Until nothing more goes through.
        while let Ok(Ok(())) =
            timeout(Duration::from_secs(2), write.write_all(piece.as_bytes())).await
        {
            sent += piece.len();
            assert!(sent < 512 * 1024 * 1024, "{name}: it reads without end");
        }
        let used = memory().saturating_sub(before);
        assert!(used < MEMORY, "{name}: {used} bytes");
        others_are_served(&world).await;
        drop((read, write));
        nobody_is_left(&world, name).await;
    }
}

#[tokio::test]
async fn who_asks_and_never_reads_is_closed() {
    let _alone = alone().await;
    let here = Duration::from_secs(1);
    let world = world(|settings| {
        settings.write_timeout = Span(here * 3);
        for common in services(settings) {
            common.listeners[0].write_timeout = Some(Span(here));
        }
        // What is set nowhere nearer is the server's.
        settings.pop3.common.listeners[0].write_timeout = None;
    })
    .await;
    for (name, _) in GREETINGS {
        let command = match name {
            "imap" => "A CAPABILITY\r\n",
            "pop3" => "CAPA\r\n",
            _ => "HELP\r\n",
        };
        let wait = if name == "pop3" { here * 3 } else { here };
        let tcp = TcpStream::connect(world.engine.addresses(name)[0])
            .await
            .unwrap();
        let (_unread, mut write) = tcp.into_split();
        let piece = command.repeat(8192);
        let mut stuck = Instant::now();
        while let Ok(Ok(())) = timeout(SOON, write.write_all(piece.as_bytes())).await {
            stuck = Instant::now();
        }
        // It is the server that closes: this side has done nothing.
        nobody_is_left(&world, name).await;
        let took = stuck.elapsed();
        assert!(took > wait / 2 && took < wait * 8, "{name}: {took:?}");
    }
    others_are_served(&world).await;
}

#[tokio::test]
async fn half_a_connection_is_not_kept() {
    let _alone = alone().await;
    let world = world(impatient).await;
    for (name, greeting) in GREETINGS {
        let address = world.engine.addresses(name)[0];
        // The peer says that it sends nothing more, and is still there.
        let mut client = Client::connect(address).await;
        client.wire.shutdown().await.unwrap();
        let rest = client.rest().await;
        assert!(rest.starts_with(greeting.as_bytes()), "{name}");
        nobody_is_left(&world, name).await;
        // The peer is there and says nothing, ever.
        let silent: Vec<TcpStream> = {
            let mut silent = Vec::new();
            for _ in 0..50 {
                silent.push(TcpStream::connect(address).await.unwrap());
            }
            silent
        };
        nobody_is_left(&world, name).await;
        drop(silent);
    }
    others_are_served(&world).await;
}
