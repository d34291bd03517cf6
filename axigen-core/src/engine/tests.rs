#![allow(clippy::unwrap_used)]
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::net::Stream;
use crate::service::Peer;

const SOON: Duration = Duration::from_secs(20);

fn loopback(tls: TlsMode) -> ListenerSettings {
    ListenerSettings::new("127.0.0.1:0".parse().unwrap(), tls)
}

/// All services on ports the system chooses, each twice.
fn settings() -> Settings {
    let mut settings = Settings {
        hostname: "mx.example.test".into(),
        ..Settings::default()
    };
    for common in [
        &mut settings.smtp_in.common,
        &mut settings.submission.common,
        &mut settings.lmtp.common,
        &mut settings.imap.common,
        &mut settings.pop3.common,
    ] {
        common.enable = true;
        common.listeners = vec![loopback(TlsMode::Starttls), loopback(TlsMode::None)];
    }
    settings
}

async fn engine(settings: Settings) -> Engine {
    let store = Store::memory().await.unwrap();
    Engine::builder(store).settings(settings).build().unwrap()
}

type Client = BufReader<TcpStream>;

async fn connect(address: SocketAddr) -> (Client, String) {
    let mut client = BufReader::new(TcpStream::connect(address).await.unwrap());
    let greeting = line(&mut client).await;
    (client, greeting)
}

async fn line(client: &mut Client) -> String {
    let mut line = String::new();
    timeout(SOON, client.read_line(&mut line))
        .await
        .unwrap()
        .unwrap();
    line
}

async fn command(client: &mut Client, command: &str) -> String {
    client
        .get_mut()
        .write_all(format!("{command}\r\n").as_bytes())
        .await
        .unwrap();
    line(client).await
}

#[tokio::test]
async fn services_start_stop_and_start_again() {
    let engine = engine(settings()).await;
    engine.start().await.unwrap();
    assert_eq!(
        engine.running(),
        ["imap", "lmtp", "pop3", "smtp_in", "submission"]
    );
    for (name, greeting) in [
        ("smtp_in", "220 mx.example.test "),
        ("submission", "220 mx.example.test "),
        ("lmtp", "220 mx.example.test "),
        ("imap", "* OK "),
        ("pop3", "+OK "),
    ] {
        let addresses = engine.addresses(name);
        assert_eq!(addresses.len(), 2, "{name}");
        for address in addresses {
            let (_client, said) = connect(address).await;
            assert!(said.starts_with(greeting), "{name} said {said}");
        }
    }
    assert!(matches!(engine.start().await, Err(Error::Service(_))));
    assert!(matches!(
        engine.start_service("imap").await,
        Err(Error::Service(_))
    ));

    let address = engine.addresses("imap")[0];
    let (mut client, _) = connect(address).await;
    assert_eq!(engine.connections("imap"), 1);
    engine.stop("imap").await.unwrap();
    assert!(line(&mut client).await.starts_with("* BYE "));
    assert_eq!(line(&mut client).await, "");
    assert!(TcpStream::connect(address).await.is_err());
    assert_eq!(engine.addresses("imap"), []);
    assert!(matches!(engine.stop("imap").await, Err(Error::Service(_))));
    // The others have noticed nothing.
    connect(engine.addresses("pop3")[0]).await;

    engine.start_service("imap").await.unwrap();
    connect(engine.addresses("imap")[0]).await;
    engine.shutdown().await.unwrap();
    assert_eq!(engine.running(), [""; 0]);
}

#[tokio::test]
async fn threads_of_its_own() {
    let mut settings = settings();
    settings.smtp_in.common.threads = 2;
    let engine = engine(settings).await;
    engine.start().await.unwrap();
    let (mut client, _) = connect(engine.addresses("smtp_in")[0]).await;
    assert!(
        command(&mut client, "EHLO client.example")
            .await
            .starts_with("250")
    );
    // Stopping must not block or panic inside asynchronous code.
    timeout(SOON, engine.stop("smtp_in"))
        .await
        .unwrap()
        .unwrap();
    engine.start_service("smtp_in").await.unwrap();
    connect(engine.addresses("smtp_in")[0]).await;
    // Nor may dropping an engine that runs.
    drop(engine);
}

#[tokio::test]
async fn a_shutdown_lets_a_message_come_to_its_end() {
    let engine = engine(settings()).await;
    engine.directory().add_domain("example.test").await.unwrap();
    engine
        .directory()
        .add_accounts("secret", &["alice@example.test".to_owned()])
        .await
        .unwrap();
    engine.start().await.unwrap();
    let (mut client, _) = connect(engine.addresses("lmtp")[0]).await;
    let mut said = command(&mut client, "LHLO client.example").await;
    while said.starts_with("250-") {
        said = line(&mut client).await;
    }
    for (say, code) in [
        ("MAIL FROM:<bob@example.org>", "250"),
        ("RCPT TO:<alice@example.test>", "250"),
        ("DATA", "354"),
        ("Subject: in flight\r\n", ""),
    ] {
        match code {
            "" => client.get_mut().write_all(say.as_bytes()).await.unwrap(),
            code => assert!(command(&mut client, say).await.starts_with(code), "{say}"),
        }
    }
    let (idle, _) = connect(engine.addresses("lmtp")[0]).await;
    let mut idle = idle;
    let stopping = tokio::spawn({
        let engine = engine.clone();
        async move { engine.stop("lmtp").await }
    });
    assert!(line(&mut idle).await.starts_with("421 "));
    client
        .get_mut()
        .write_all(b"\r\nkept\r\n.\r\n")
        .await
        .unwrap();
    assert!(line(&mut client).await.starts_with("250 "));
    assert!(line(&mut client).await.starts_with("421 "));
    timeout(SOON, stopping).await.unwrap().unwrap().unwrap();
    let alice = engine
        .directory()
        .account("alice@example.test")
        .await
        .unwrap();
    let (_, messages) = engine.mailboxes().usage(alice.id).await.unwrap();
    assert_eq!(messages, 1);
}

#[tokio::test]
async fn a_shutdown_ends_although_a_peer_does_nothing() {
    let mut settings = settings();
    settings.shutdown_timeout = crate::settings::Span(Duration::from_millis(300));
    let engine = engine(settings).await;
    engine.start().await.unwrap();
    let (mut client, _) = connect(engine.addresses("smtp_in")[0]).await;
    assert!(
        command(&mut client, "HELO client.example")
            .await
            .starts_with("250")
    );
    assert!(
        command(&mut client, "MAIL FROM:<>")
            .await
            .starts_with("250")
    );
    timeout(SOON, engine.shutdown()).await.unwrap().unwrap();
    let mut rest = String::new();
    let _ = client.read_to_string(&mut rest).await;
    assert_eq!(rest, "");
}

#[tokio::test]
async fn listeners_that_would_be_unsafe_are_refused() {
    let engine = engine(Settings::default()).await;
    let everywhere = || TcpListener::bind("0.0.0.0:0").unwrap();
    let mut open = ListenerSettings::new("0.0.0.0:0".parse().unwrap(), TlsMode::None);
    open.plaintext_login = true;
    let imap = engine.service("imap").unwrap();
    let refused = engine.run(imap, vec![(everywhere(), open)]).unwrap_err();
    assert!(
        refused.to_string().contains("logins without TLS"),
        "{refused}"
    );
    let refused = engine
        .serve("imap", everywhere(), TlsMode::Implicit)
        .unwrap_err();
    assert!(refused.to_string().contains("no certificate"), "{refused}");
    let refused = engine
        .serve("imapd", everywhere(), TlsMode::None)
        .unwrap_err();
    assert!(
        refused.to_string().contains("there is no service imapd"),
        "{refused}"
    );
    assert_eq!(engine.running(), [""; 0]);
}

#[tokio::test]
async fn a_port_in_use_names_service_and_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut settings = settings();
    settings.pop3.common.listeners = vec![ListenerSettings::new(address, TlsMode::None)];
    let engine = engine(settings).await;
    match engine.start().await {
        Err(Error::Bind {
            service: "pop3",
            address: of,
            ..
        }) => assert_eq!(of, ListenAddress::Tcp(address)),
        other => panic!("{other:?}"),
    }
    assert_eq!(engine.running(), [""; 0], "nothing runs");
}

/// A service of an application's own.
#[derive(Debug)]
struct Echo;

#[async_trait]
impl Service for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    async fn serve(&self, stream: Stream, _peer: Peer) {
        let (mut reader, mut writer) = tokio::io::split(stream.into_inner());
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    }
}

#[tokio::test]
async fn a_service_of_ones_own() {
    let engine = engine(Settings::default()).await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    engine
        .run(Arc::new(Echo), vec![(socket, loopback(TlsMode::None))])
        .unwrap();
    let mut client = BufReader::new(
        TcpStream::connect(engine.addresses("echo")[0])
            .await
            .unwrap(),
    );
    assert_eq!(command(&mut client, "hello").await, "hello\r\n");
    drop(client);
    engine.shutdown().await.unwrap();
}
