//! REQUIRETLS from one end to the other, in one run: in by SMTP Incoming, out by
//! SMTP Outgoing, or back to its sender (RFC 8689).

use std::net::Ipv4Addr;

use axigen_core::dns::ZoneResolver;
use axigen_core::settings::{Settings, TlsMode};
use axigen_core::store::Store;
use axigen_tests::wire::Wire;
use tokio::net::TcpListener;

use crate::certificates::Authority;
use crate::host::{Host, Offers};
use crate::world::{Sender, noon, until};

const OFFERED: &[&str] = &["REQUIRETLS"];

/// One port that is free on all of these addresses.
async fn sockets(addresses: &[Ipv4Addr]) -> Vec<TcpListener> {
    let (first, others) = addresses.split_first().unwrap();
    'again: for _ in 0..100 {
        let mut all = vec![TcpListener::bind((*first, 0)).await.unwrap()];
        let port = all[0].local_addr().unwrap().port();
        for other in others {
            match TcpListener::bind((*other, port)).await {
                Ok(socket) => all.push(socket),
                Err(_) => continue 'again,
            }
        }
        return all;
    }
    panic!("no port is free on all addresses");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_requires_tls_comes_in_and_goes_out_by_it() {
    let authority = Authority::new();
    let good = |name: &str| Some(authority.signs(&[name]).server);
    // A domain for each host: its certificate, what it offers, whether DNS proves
    // it, and the status with which mail comes back.
    let hosts = [
        ("good", good("mx.good.test"), OFFERED, true, None),
        (
            "silent",
            good("mx.silent.test"),
            &[][..],
            true,
            Some("5.7.30"),
        ),
        (
            "other",
            good("mx.elsewhere.test"),
            OFFERED,
            true,
            Some("5.7.30"),
        ),
        (
            "unproved",
            good("mx.unproved.test"),
            OFFERED,
            false,
            Some("5.7.30"),
        ),
        ("open", None, OFFERED, true, Some("5.7.10")),
    ];
    let addresses: Vec<Ipv4Addr> = (0..hosts.len())
        .map(|at| Ipv4Addr::new(127, 0, 0, 20 + u8::try_from(at).unwrap()))
        .collect();
    let sockets = sockets(&addresses).await;
    let port = sockets[0].local_addr().unwrap().port();
    let mut zone = String::new();
    for ((name, ..), address) in hosts.iter().zip(&addresses) {
        zone.push_str(&format!(
            "{name}.test. MX 10 mx.{name}.test.\nmx.{name}.test. A {address}\n"
        ));
    }
    let proved = ZoneResolver::parse(&zone).unwrap().signed();
    let unproved = ZoneResolver::parse(&zone).unwrap();
    let running: Vec<Host> = sockets
        .into_iter()
        .zip(&hosts)
        .map(|(socket, (_, tls, words, ..))| {
            let offers = Offers {
                tls: tls.clone(),
                words,
                ..Offers::default()
            };
            Host::on(socket, offers)
        })
        .collect();

    for ((name, tls, _, is_proved, comes_back), host) in hosts.iter().zip(&running) {
        let mut settings = Settings {
            hostname: "mail.here.test".into(),
            ..Settings::default()
        };
        settings.smtp_out.enable = true;
        settings.smtp_out.mx_port = port;
        settings.smtp_out.authorities = authority.file();
        let resolver = match is_proved {
            true => proved.clone(),
            false => unproved.clone(),
        };
        let ours = authority.signs(&["mail.here.test"]).server;
        let store = Store::memory().await.unwrap();
        let sender = Sender::start(store, settings, &noon(), |builder| {
            builder.resolver(resolver).tls(ours)
        })
        .await;
        let engine = &sender.engine;
        let to = [format!("bob@{name}.test")];
        engine
            .directory()
            .add_alias("out@here.test", &to)
            .await
            .unwrap();
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let door = engine
            .serve("smtp_in", socket, TlsMode::Starttls)
            .unwrap()
            .to_string();
        let send = |require_tls: bool| {
            tokio::task::block_in_place(|| {
                let mut wire = Wire::connect(&door);
                wire.smtp_reply();
                let offered = wire.smtp("EHLO x.test");
                assert!(!offered.contains("REQUIRETLS"), "{offered}");
                // RFC 8689 §4.1: not without TLS.
                let said = wire.smtp("MAIL FROM:<ann@here.test> REQUIRETLS");
                assert!(said.starts_with('5'), "{said}");
                wire.smtp("STARTTLS");
                let mut wire = wire.start_tls();
                let offered = wire.smtp("EHLO x.test");
                assert!(offered.contains("REQUIRETLS"), "{offered}");
                let word = if require_tls { " REQUIRETLS" } else { "" };
                let said = wire.smtp(&format!("MAIL FROM:<ann@here.test>{word}"));
                assert!(said.starts_with("250"), "{said}");
                wire.smtp("RCPT TO:<out@here.test>");
                wire.smtp("DATA");
                let said = wire.smtp("Subject: secret\r\n\r\nthe plan\r\n.");
                assert!(said.starts_with("250"), "{said}");
            });
        };
        send(true);
        until(async || sender.empty().await).await;
        match comes_back {
            None => {
                let arrived = host.arrived().remove(0);
                assert!(arrived.tls, "{arrived:?}");
                assert!(arrived.mail.contains(" REQUIRETLS"), "{arrived:?}");
                assert!(arrived.text.contains("\r\nthe plan\r\n"), "{arrived:?}");
                assert!(sender.inbox().await.is_empty());
            }
            Some(status) => {
                assert!(host.arrived().is_empty(), "{name}");
                let inbox = sender.inbox().await;
                assert_eq!(inbox.len(), 1, "{name}: {inbox:?}");
                let says = format!("Action: failed\r\nStatus: {status}\r\n");
                assert!(inbox[0].contains(&says), "{name}: {}", inbox[0]);
                assert!(!inbox[0].contains("the plan"), "{name}: {}", inbox[0]);
            }
        }
        // Whoever does not ask for it gets there.
        send(false);
        until(async || sender.empty().await).await;
        let last = host.arrived().pop().unwrap();
        assert!(!last.mail.contains("REQUIRETLS"), "{last:?}");
        assert_eq!(last.tls, tls.is_some(), "{name}");
        engine.shutdown().await.unwrap();
    }
}
