#![allow(clippy::unwrap_used)]
use async_trait::async_trait;
use axigen_store::Store;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::*;
use crate::clock::SystemClock;
use crate::settings::ConnectionLimits;

/// Sends one line and stays until the server stops; panics on request.
#[derive(Debug)]
struct Greeter {
    panics: bool,
}

#[async_trait]
impl Service for Greeter {
    fn name(&self) -> &'static str {
        "greeter"
    }

    async fn serve(&self, _stream: Stream, mut peer: Peer) {
        assert!(!self.panics, "on request");
        peer.stopped().await;
    }

    fn refusal(&self, denied: Denied) -> &'static str {
        match denied {
            Denied::Rule => "go away\r\n",
            _ => "later\r\n",
        }
    }
}

struct Running {
    address: SocketAddr,
    gate: Gate,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    closer: Closer,
}

async fn start(tls: TlsMode, connections: u32, panics: bool) -> Running {
    let any = "127.0.0.1:0".parse().unwrap();
    let settings = ListenerSettings::new(any, tls);
    let socket = Socket::bind(&settings.address, settings.socket_mode).unwrap();
    let address = socket.address().unwrap().tcp().unwrap();
    let gate = Gate::new(
        &[],
        ConnectionLimits {
            connections: Some(connections),
            ..ConnectionLimits::default()
        },
    );
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let stop = watch::channel(false).0;
    let way = Way {
        settings: Arc::new(settings),
        tls: None,
        handshake_timeout: Duration::from_secs(5),
        write_timeout: Duration::from_secs(5),
    };
    let house = House {
        service: Arc::new(Greeter { panics }),
        bans: Bans::new(
            Store::memory().await.unwrap(),
            clock.clone(),
            Arc::default(),
        ),
        clock,
        stop: stop.subscribe(),
        grace: Duration::from_secs(5),
    };
    let door = Arc::new(Door::new(gate.clone(), way));
    let (listening, closer) = Listening::new(socket, door, house).unwrap();
    Running {
        address,
        gate,
        stop,
        task: tokio::spawn(listening.run()),
        closer,
    }
}

async fn said(mut tcp: TcpStream) -> String {
    let mut said = String::new();
    tcp.read_to_string(&mut said).await.unwrap();
    said
}

#[tokio::test]
async fn who_is_denied_is_told_unless_tls_comes_first() {
    for (tls, told) in [(TlsMode::Starttls, "later\r\n"), (TlsMode::Implicit, "")] {
        let server = start(tls, 1, false).await;
        let first = TcpStream::connect(server.address).await.unwrap();
        while server.gate.open() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let second = TcpStream::connect(server.address).await.unwrap();
        assert_eq!(said(second).await, told);
        assert_eq!(server.gate.open(), 1);
        server.stop.send_replace(true);
        server.task.await.unwrap();
        assert_eq!(server.gate.open(), 0);
        assert_eq!(said(first).await, "");
    }
}

#[tokio::test]
async fn a_panic_ends_one_connection_and_gives_its_place_back() {
    let server = start(TlsMode::None, 1, true).await;
    for _ in 0..5 {
        let tcp = TcpStream::connect(server.address).await.unwrap();
        assert_eq!(said(tcp).await, "");
        while server.gate.open() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    server.stop.send_replace(true);
    server.task.await.unwrap();
}

#[tokio::test]
async fn who_is_connected_stays_when_the_listener_is_closed() {
    let server = start(TlsMode::None, 9, false).await;
    let first = TcpStream::connect(server.address).await.unwrap();
    while server.gate.open() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(server.closer.close().await.unwrap());
    assert!(TcpStream::connect(server.address).await.is_err());
    assert_eq!(server.gate.open(), 1);
    assert!(!server.task.is_finished());
    server.stop.send_replace(true);
    server.task.await.unwrap();
    assert_eq!(said(first).await, "");
}
