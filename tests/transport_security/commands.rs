//! `axigen dns-records` and `axigen demo --zone`.

use std::process::Command;

use axigen_core::dns::{Resolver, ZoneResolver};
use axigen_tests::demo::{Demo, Port, binary};
use axigen_tests::tool;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::host::{Host, Offers};
use crate::world::until;

fn axigen(args: &[&str]) -> tool::Said {
    let mut command = Command::new(binary());
    command.args(args);
    tool::finish(command, b"")
}

#[tokio::test]
async fn records_of_a_new_server() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_str().unwrap();
    let made = axigen(&["init", at, "--hostname", "mail.example.test"]);
    assert_eq!(made.code, Some(0), "{}", made.text);
    let said = axigen(&[
        "dns-records",
        "example.test",
        "--dir",
        at,
        "--address",
        "192.0.2.7",
    ]);
    assert_eq!(said.code, Some(0), "{}", said.text);
    let zone = ZoneResolver::parse(&String::from_utf8(said.out).unwrap()).unwrap();
    let mx = zone.mx("example.test").await.unwrap();
    assert_eq!(mx.records[0].host, "mail.example.test");
    let addresses = zone.addresses("mail.example.test").await.unwrap();
    assert!(addresses.records.contains(&"192.0.2.7".parse().unwrap()));
    for name in [
        "example.test",
        "mail.example.test",
        "_mta-sts.example.test",
        "_smtp._tls.example.test",
    ] {
        assert_eq!(zone.texts(name).await.unwrap().records.len(), 1, "{name}");
    }
    let said = axigen(&["dns-records", "a b", "--dir", at]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("is no domain name"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_sends_by_a_zone() {
    let host = Host::start(Offers::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let zone = dir.path().join("zone");
    std::fs::write(
        &zone,
        "there.test. MX 10 mx.there.test.\nmx.there.test. A 127.0.0.1\n",
    )
    .unwrap();
    let port = host.address.port().to_string();
    let demo = Demo::start(&["--zone", zone.to_str().unwrap(), "--mx-port", &port]);
    let stream = TcpStream::connect(demo.addr(Port::Submission))
        .await
        .unwrap();
    let mut io = BufReader::new(stream);
    let login = STANDARD.encode("\0alice@example.test\0demo");
    let mut code = String::new();
    for command in [
        "",
        "EHLO client.test\r\n",
        &format!("AUTH PLAIN {login}\r\n"),
        "MAIL FROM:<alice@example.test>\r\n",
        "RCPT TO:<bob@there.test>\r\n",
        "DATA\r\n",
        "Subject: out\r\n\r\nhello\r\n.\r\n",
    ] {
        io.write_all(command.as_bytes()).await.unwrap();
        loop {
            code.clear();
            io.read_line(&mut code).await.unwrap();
            if code.get(3..4) != Some("-") {
                break;
            }
        }
        assert!(code.starts_with(['2', '3']), "{command:?}: {code}");
    }
    until(async || host.arrived().len() == 1).await;
    assert!(host.arrived()[0].text.contains("Subject: out\r\n"));
    let mut demo = demo;
    assert!(demo.stop().success());
}
