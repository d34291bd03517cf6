//! The PROXY protocol: from trusted proxies, and from nobody else.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axigen_core::net::tls;
use axigen_core::settings::{Action, Settings, Size, Span, TlsMode};
use axigen_proto::proxy::Header;
use axigen_store::Store;
use axigen_tests::any_certificate::any_certificate;
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use crate::world::{Client, GREETINGS, build, plain, rule, services, tcp_from, world};

/// A proxy of this machine, and what it passes on.
const PROXY: [u8; 4] = [127, 0, 5, 1];

fn behind_proxy(settings: &mut Settings) {
    for common in services(settings) {
        let proxy = &mut common.listeners[0].proxy;
        proxy.from = vec!["127.0.5.0/24".parse().unwrap()];
        proxy.timeout = Span(Duration::from_secs(1));
        proxy.header_size = Size(600);
    }
}

fn tcp(source: &str, destination: &str) -> Header {
    Header::tcp(source.parse().unwrap(), destination.parse().unwrap()).unwrap()
}

fn four() -> Header {
    tcp("203.0.113.7:4000", "198.51.100.1:25")
}

fn six() -> Header {
    tcp("[2001:db8::7]:4000", "[2001:db8::1]:25")
}

async fn greeted(address: SocketAddr, header: &[u8]) -> String {
    let mut client = Client::from(PROXY, address).await;
    client.send(header).await;
    client.line().await
}

#[tokio::test]
async fn headers_of_both_versions() {
    let world = world(behind_proxy).await;
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00".to_vec();
    let unspecified = b"\r\n\r\n\0\r\nQUIT\n\x21\x00\x00\x03abc".to_vec();
    let mut fields = four().to_v2();
    fields[15] += 8;
    fields.extend(b"\x04\x00\x05abcde");
    for (name, greeting) in GREETINGS {
        let address = world.engine.addresses(name)[0];
        for header in [
            four().to_v1().into_bytes(),
            six().to_v1().into_bytes(),
            four().to_v2(),
            six().to_v2(),
            Header::Unspecified.to_v1().into_bytes(),
            Header::Unspecified.to_v2(),
            local.clone(),
            unspecified.clone(),
            fields.clone(),
        ] {
            let said = greeted(address, &header).await;
            assert!(said.starts_with(greeting), "{name} {header:?}: {said}");
        }
        // In pieces, and with the first commands behind it.
        let mut client = Client::from(PROXY, address).await;
        for byte in four().to_v1().bytes() {
            client.send([byte]).await;
        }
        client.send("NOOP\r\n").await;
        assert!(client.line().await.starts_with(greeting));
    }
}

#[tokio::test]
async fn the_client_is_who_the_proxy_names() {
    let world = world(|settings| {
        behind_proxy(settings);
        settings.rules = vec![
            rule(Action::Deny, "203.0.113.66"),
            rule(Action::Deny, "2001:db8:66::/48"),
        ];
        for common in services(settings) {
            common.limits.peer_connections = Some(2);
        }
    })
    .await;
    for (name, greeting) in GREETINGS {
        let address = world.engine.addresses(name)[0];
        for denied in ["203.0.113.66:1", "[2001:db8:66::1]:1"] {
            let to = if denied.starts_with('[') {
                "[::1]:1"
            } else {
                "127.0.0.1:1"
            };
            let header = tcp(denied, to);
            for header in [header.to_v1().into_bytes(), header.to_v2()] {
                let said = greeted(address, &header).await;
                assert!(said.contains("you may not connect here"), "{said}");
            }
        }
        // Two of each client, though all come from the proxy.
        let mut open = Vec::new();
        for client in ["203.0.113.1:1", "203.0.113.2:1", "203.0.113.3:1"] {
            let header = tcp(client, "198.51.100.1:25").to_v2();
            for lets_in in [true, true, false] {
                let mut client = Client::from(PROXY, address).await;
                client.send(&header).await;
                let said = client.line().await;
                assert_eq!(said.starts_with(greeting), lets_in, "{name}: {said}");
                open.push(client);
            }
        }
        // The proxy itself is a peer as well.
        let said = greeted(address, &Header::Unspecified.to_v2()).await;
        assert!(said.starts_with(greeting), "{said}");
    }
    let mut smtp = Client::from(PROXY, world.engine.addresses("smtp_in")[0]).await;
    smtp.send(four().to_v2()).await;
    smtp.line().await;
    smtp.deliver("alice@example.test", "Subject: from afar\r\n\r\nhello")
        .await;
    // Without a header in front: from an address that is no proxy.
    let mut pop = Client::from([127, 0, 6, 1], world.engine.addresses("pop3")[0]).await;
    assert!(pop.line().await.starts_with("+OK"));
    let mail = pop.first_mail().await;
    assert!(mail.contains("[203.0.113.7]"), "{mail}");
    assert!(!mail.contains("127.0.5.1"), "{mail}");
}

#[tokio::test]
async fn every_truncation_ends_the_connection() {
    let world = world(behind_proxy).await;
    let address = world.engine.addresses("smtp_in")[0];
    for header in [
        four().to_v1().into_bytes(),
        Header::Unspecified.to_v1().into_bytes(),
        four().to_v2(),
        six().to_v2(),
        Header::Unspecified.to_v2(),
    ] {
        for end in 0..header.len() {
            let mut client = Client::from(PROXY, address).await;
            client.send(&header[..end]).await;
            client.wire.shutdown().await.unwrap();
            assert_eq!(client.rest().await, b"", "{end} bytes of {header:?}");
        }
    }
    while world.engine.connections("smtp_in") > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_is_no_header_ends_the_connection() {
    let world = world(behind_proxy).await;
    let long = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"[..], &[0; 400]].concat();
    for (name, _) in GREETINGS {
        let address = world.engine.addresses(name)[0];
        for header in [
            &b"EHLO client.example\r\n"[..],
            b"PROXY TCP4 203.0.113.7 198.51.100.1 4000\r\n",
            b"PROXY TCP4 203.0.113.7 2001:db8::1 4000 25\r\n",
            b"PROXY TCP4 203.0.113.777 198.51.100.1 4000 25\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0b\0\0\0\0\0\0\0\0\0\0\0",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x51\x00\x00",
            &long,
            &[b'x'; 4096],
        ] {
            let mut client = Client::from(PROXY, address).await;
            client.send(header).await;
            assert_eq!(client.rest().await, b"", "{header:?}");
        }
    }
}

#[tokio::test]
async fn a_header_that_does_not_come_ends_it_in_time() {
    let world = world(behind_proxy).await;
    let address = world.engine.addresses("imap")[0];
    let begun = Instant::now();
    let mut silent = Client::from(PROXY, address).await;
    assert_eq!(silent.rest().await, b"");
    assert!(begun.elapsed() >= Duration::from_millis(900));
    // Byte by byte is no faster and no slower.
    let begun = Instant::now();
    let mut slow = tcp_from(PROXY, address).await.unwrap();
    for byte in four().to_v1().bytes().cycle() {
        if slow.write_all(&[byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    while world.engine.connections("imap") > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn who_waits_for_a_header_counts() {
    let world = world(|settings| {
        behind_proxy(settings);
        settings.imap.common.limits.connections = Some(3);
        settings.imap.common.listeners[0].proxy.timeout = Span(Duration::from_secs(20));
    })
    .await;
    let address = world.engine.addresses("imap")[0];
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(Client::from(PROXY, address).await);
    }
    while world.engine.connections("imap") < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let said = Client::from(PROXY, address).await.line().await;
    assert!(said.contains("too many connections"), "{said}");
    let mut first = held.remove(0);
    first.send(four().to_v1()).await;
    assert!(first.line().await.starts_with("* OK"));
    assert_eq!(world.engine.connections("imap"), 3);
}

#[tokio::test]
async fn from_others_it_is_garbage() {
    let world = world(behind_proxy).await;
    for (name, wrong) in [
        ("smtp_in", "500 5.5.1"),
        ("imap", "* BAD"),
        ("pop3", "-ERR"),
    ] {
        let address = world.engine.addresses(name)[0];
        let mut client = Client::from([127, 0, 6, 1], address).await;
        client.line().await;
        let said = match name {
            // There "PROXY" is the tag of a command that there is not.
            "imap" => {
                client
                    .ask("PROXY TCP4 203.0.113.7 198.51.100.1 4000 25")
                    .await
            }
            _ => client.ask(four().to_v1().trim_end()).await,
        };
        let wrong = if name == "imap" { "PROXY BAD" } else { wrong };
        assert!(said.starts_with(wrong), "{name}: {said}");
        let mut client = Client::from([127, 0, 6, 1], address).await;
        client.line().await;
        client.send(four().to_v2()).await;
        client.send("\r\n").await;
        let said = client.line().await;
        let refused = ["500 ", "503 ", "554 ", "421 ", "* BAD", "* BYE", "-ERR"];
        assert!(
            said.is_empty() || refused.iter().any(|start| said.starts_with(start)),
            "{name}: {said}"
        );
    }
}

#[tokio::test]
async fn tls_begins_behind_the_header() {
    let store = Store::memory().await.unwrap();
    let tls = tls::self_signed(&["localhost".into()]).unwrap();
    let world = build(
        store,
        |settings| {
            let mut listener = plain();
            listener.plaintext_login = false;
            listener.tls = TlsMode::Implicit;
            settings.imap.common.listeners = vec![listener];
            behind_proxy(settings);
        },
        |builder| builder.tls(tls),
    )
    .await;
    let mut tcp = tcp_from(PROXY, world.engine.addresses("imap")[0])
        .await
        .unwrap();
    tcp.write_all(&six().to_v2()).await.unwrap();
    let connector = TlsConnector::from(std::sync::Arc::new(any_certificate()));
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = Client::new(connector.connect(name, tcp).await.unwrap());
    assert!(client.line().await.starts_with("* OK"));
}
