#![allow(clippy::unwrap_used)]
use async_trait::async_trait;
use tokio::io::AsyncReadExt;

use super::super::rules::Denied;
use super::*;
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
}

fn start(tls: TlsMode, connections: u32, panics: bool) -> Running {
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let gate = Gate::new(
        &[],
        ConnectionLimits {
            connections: Some(connections),
            ..ConnectionLimits::default()
        },
    );
    let stop = watch::channel(false).0;
    let task = tokio::spawn(run(
        TcpListener::from_std(socket).unwrap(),
        Arc::new(ListenerSettings::new(address, tls)),
        None,
        gate.clone(),
        Arc::new(Greeter { panics }),
        stop.subscribe(),
        Duration::from_secs(5),
    ));
    Running {
        address,
        gate,
        stop,
        task,
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
        let server = start(tls, 1, false);
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
    let server = start(TlsMode::None, 1, true);
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
async fn a_port_in_use_is_said_so() {
    let taken = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let error = bind(taken.local_addr().unwrap()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}
