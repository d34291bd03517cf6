//! Logins with client certificates (EXTERNAL) at a listener for submission with a
//! certificate, rules, limits and versions of TLS of its own.

use std::sync::Arc;

use axigen_core::settings::{Action, ListenerSettings, Settings, TlsMode, TlsVersion};
use axigen_tests::any_certificate::any_certificate;
use axigen_tests::client_issuer::ClientIssuer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::{ClientConfig, ProtocolVersion};
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::secured::make;
use crate::world::{Client, rule, tcp_from, world};

const ALICE: &str = "alice@example.test";

/// What the server says when somebody comes from there; `None` if there is no TLS.
async fn from(
    ip: [u8; 4],
    server: std::net::SocketAddr,
    config: ClientConfig,
) -> Option<(Client, Option<ProtocolVersion>)> {
    let tcp = tcp_from(ip, server).await.ok()?;
    let name = ServerName::try_from("submit.example.test").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    let stream = stream.await.ok()?;
    let version = stream.get_ref().1.protocol_version();
    let mut client = Client::new(stream);
    let greeting = client.line().await;
    greeting.starts_with("220 ").then_some((client, version))
}

/// The mechanisms that are offered.
async fn offered(client: &mut Client) -> String {
    let mut line = client.ask("EHLO x.example").await;
    let mut mechanisms = String::new();
    loop {
        if let Some(list) = line.get(4..).and_then(|line| line.strip_prefix("AUTH ")) {
            mechanisms = list.trim_end().to_owned();
        }
        if line.starts_with("250 ") {
            return mechanisms;
        }
        line = client.line().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_at_a_listener_with_rules() {
    let issuer = ClientIssuer::new();
    let own = make(issuer.dir(), "own", &["submit.example.test"]);
    let everybodys = make(issuer.dir(), "all", &["mail.example.test"]);
    let world = world(|settings: &mut Settings| {
        settings.tls.certificate = everybodys.files.certificate.clone();
        settings.tls.key = everybodys.files.key.clone();
        let mut asking = ListenerSettings::new("127.0.0.1:0".parse().unwrap(), TlsMode::Implicit);
        asking.certificates = vec![own.files.clone()];
        asking.client_authorities = issuer.authorities();
        asking.tls_maximum = Some(TlsVersion::V1_2);
        asking.limits.peer_connections = Some(2);
        asking.rules = vec![
            rule(Action::Allow, "127.0.5.0/24"),
            rule(Action::Deny, "127.0.0.0/8"),
        ];
        asking.rules[0].limits.peer_connections = Some(1);
        let plain = ListenerSettings::new("127.0.0.1:0".parse().unwrap(), TlsMode::Implicit);
        settings.submission.common.enable = true;
        settings.submission.common.listeners = vec![asking, plain];
        settings.rules = vec![rule(Action::Deny, "127.0.5.66")];
    })
    .await;
    let servers = world.engine.addresses("submission");
    let alice = || issuer.client(&[ALICE]);

    // Whom the rules keep out does not get as far as TLS.
    for ip in [[127, 0, 5, 66], [127, 0, 6, 1]] {
        assert!(from(ip, servers[0], alice()).await.is_none(), "{ip:?}");
    }
    // A mail, after a login with nothing but the certificate.
    let (mut client, version) = from([127, 0, 5, 1], servers[0], alice()).await.unwrap();
    assert_eq!(version, Some(ProtocolVersion::TLSv1_2));
    let mechanisms = offered(&mut client).await;
    assert!(mechanisms.contains("EXTERNAL"), "{mechanisms}");
    assert!(client.ask("AUTH EXTERNAL =").await.starts_with("235"));
    for (command, code) in [
        ("MAIL FROM:<eve@example.test>", "553"),
        ("MAIL FROM:<alice@example.test>", "250"),
        ("RCPT TO:<alice@example.test>", "250"),
        ("DATA", "354"),
        ("Subject: by certificate\r\n\r\nhello\r\n.", "250"),
    ] {
        let said = client.ask(command).await;
        assert!(said.starts_with(code), "{command}: {said}");
    }
    // The rule's limit is for those it lets in.
    assert!(from([127, 0, 5, 1], servers[0], alice()).await.is_none());
    let (mut second, _) = from([127, 0, 5, 2], servers[0], alice()).await.unwrap();
    // Somebody else's address is not for this certificate.
    let eve = STANDARD.encode("eve@example.test");
    offered(&mut second).await;
    let said = second.ask(&format!("AUTH EXTERNAL {eve}")).await;
    assert!(said.starts_with("535"), "{said}");
    // Who has no certificate, and where none is asked for.
    let without = any_certificate();
    let (mut none, _) = from([127, 0, 5, 3], servers[0], without).await.unwrap();
    assert!(!offered(&mut none).await.contains("EXTERNAL"));
    assert!(!none.ask("AUTH EXTERNAL =").await.starts_with("235"));
    let (mut other, version) = from([127, 0, 6, 1], servers[1], alice()).await.unwrap();
    assert_eq!(version, Some(ProtocolVersion::TLSv1_3));
    assert!(!offered(&mut other).await.contains("EXTERNAL"));
    // By an authority that is not this listener's there is no TLS.
    let stranger = ClientIssuer::new().client(&[ALICE]);
    assert!(from([127, 0, 5, 4], servers[0], stranger).await.is_none());

    // The rules change, and nobody who is there notices.
    world
        .change(|settings| {
            settings.submission.common.listeners[0].rules = vec![rule(Action::Deny, "127.0.5.1")];
        })
        .await
        .unwrap();
    assert!(client.ask("NOOP").await.starts_with("250"));
    assert!(from([127, 0, 5, 1], servers[0], alice()).await.is_none());
    assert!(from([127, 0, 6, 1], servers[0], alice()).await.is_some());
}
