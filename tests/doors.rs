//! An engine with SMTP, IMAP and POP3 on loopback, and a small client.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axigen_core::clock::ManualClock;
use axigen_core::engine::{Builder, Engine};
use axigen_core::error::Error;
use axigen_core::settings::{
    AccessRule, Action, Common, ConnectionLimits, ListenerSettings, Settings, TlsMode,
};
use axigen_store::Store;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Longest wait for anything that should come at once.
pub const SOON: Duration = Duration::from_secs(30);

/// Services and how they greet.
pub const GREETINGS: [(&str, &str); 3] = [("smtp_in", "220 "), ("imap", "* OK "), ("pop3", "+OK ")];

/// An engine that runs.
#[derive(Debug)]
pub struct World {
    /// It.
    pub engine: Engine,
    /// Its clock.
    pub clock: ManualClock,
}

impl World {
    /// Changes its settings while it runs.
    ///
    /// # Errors
    /// Those of [`Engine::apply`].
    pub async fn change(&self, change: impl FnOnce(&mut Settings)) -> Result<(), Error> {
        let mut settings = (*self.engine.settings()).clone();
        change(&mut settings);
        self.engine.apply(settings).await
    }
}

/// What each of [`GREETINGS`] is set to.
pub fn services(settings: &mut Settings) -> [&mut Common; 3] {
    [
        &mut settings.smtp_in.common,
        &mut settings.imap.common,
        &mut settings.pop3.common,
    ]
}

/// A listener on a port that the system chooses.
pub fn plain() -> ListenerSettings {
    let mut listener = ListenerSettings::new("127.0.0.1:0".parse().unwrap(), TlsMode::None);
    listener.plaintext_login = true;
    listener
}

/// Settings of such an engine, changed.
pub fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings {
        hostname: "mx.example.test".into(),
        ..Settings::default()
    };
    for common in services(&mut settings) {
        common.enable = true;
        common.listeners = vec![plain()];
    }
    change(&mut settings);
    settings
}

/// An engine over a store in memory, with settings changed.
pub async fn world(change: impl FnOnce(&mut Settings)) -> World {
    build(Store::memory().await.unwrap(), change, |builder| builder).await
}

/// The same over a store, built in a way of one's own.
pub async fn build(
    store: Store,
    change: impl FnOnce(&mut Settings),
    more: impl FnOnce(Builder) -> Builder,
) -> World {
    let clock = ManualClock::new("2026-11-28T12:00:00Z".parse().unwrap());
    let builder = Engine::builder(store)
        .settings(settings(change))
        .clock(clock.clone());
    let engine = more(builder).build().unwrap();
    let directory = engine.directory();
    if directory.add_domain("example.test").await.is_ok() {
        let alice = "alice@example.test".to_owned();
        directory.add_accounts("secret", &[alice]).await.unwrap();
    }
    engine.start().await.unwrap();
    World { engine, clock }
}

/// A rule for these peers.
pub fn rule(action: Action, peers: &str) -> AccessRule {
    AccessRule {
        action,
        peers: vec![peers.parse().unwrap()],
        priority: 500,
        limits: ConnectionLimits::default(),
    }
}

/// Something that is read and written.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A client that speaks in lines.
pub struct Client {
    /// Its connection.
    pub wire: Box<dyn Wire>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Over a connection.
    pub fn new(wire: impl Wire + 'static) -> Client {
        Client {
            wire: Box::new(wire),
        }
    }

    /// Connects.
    pub async fn connect(address: SocketAddr) -> Client {
        Client::new(TcpStream::connect(address).await.unwrap())
    }

    /// From an address of this machine's loopback network.
    pub async fn from(ip: [u8; 4], address: SocketAddr) -> Client {
        Client::new(tcp_from(ip, address).await.unwrap())
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.write_all(bytes.as_ref()).await.unwrap();
        self.wire.flush().await.unwrap();
    }

    /// A line with its end, or what came of it before the end of the stream.
    pub async fn line(&mut self) -> String {
        let mut line = Vec::new();
        let reading = async {
            while line.last() != Some(&b'\n') {
                match self.wire.read_u8().await {
                    Ok(byte) => line.push(byte),
                    Err(_) => break,
                }
            }
        };
        timeout(SOON, reading).await.expect("a line in time");
        String::from_utf8(line).unwrap()
    }

    /// Everything up to the end of the stream.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let reading = self.wire.read_to_end(&mut rest);
        let _ = timeout(SOON, reading).await.expect("the end in time");
        rest
    }

    /// Sends a line; the first line of the answer.
    pub async fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        self.line().await
    }

    /// SMTP, after the greeting: one mail.
    pub async fn deliver(&mut self, to: &str, text: &str) {
        for (command, code) in [
            ("HELO client.example".to_owned(), "250"),
            ("MAIL FROM:<bob@elsewhere.test>".to_owned(), "250"),
            (format!("RCPT TO:<{to}>"), "250"),
            ("DATA".to_owned(), "354"),
            (format!("{text}\r\n."), "250"),
        ] {
            let said = self.ask(&command).await;
            assert!(said.starts_with(code), "{command}: {said}");
        }
    }

    /// POP3, after the greeting: alice's first mail.
    pub async fn first_mail(&mut self) -> String {
        self.ask("USER alice@example.test").await;
        let said = self.ask("PASS secret").await;
        assert!(said.starts_with("+OK"), "{said}");
        let said = self.ask("RETR 1").await;
        assert!(said.starts_with("+OK"), "{said}");
        let mut mail = String::new();
        loop {
            match self.line().await {
                line if line == ".\r\n" || line.is_empty() => return mail,
                line => mail.push_str(&line),
            }
        }
    }
}

/// A connection from an address of our own.
pub async fn tcp_from(ip: [u8; 4], address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::from(ip), 0))?;
    socket.connect(address).await
}
