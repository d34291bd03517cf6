//! Accepts connections, asks the gate, and hands them to a service.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Stream;
use super::rules::Gate;
use crate::service::{Peer, Service};
use crate::settings::ListenerSettings;

/// Connections the kernel keeps waiting for us.
const BACKLOG: u32 = 1024;

/// Binds a listener's address.
///
/// # Errors
/// Of the operating system; a port in use is [`io::ErrorKind::AddrInUse`].
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // A restart need not wait for old connections to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Serves connections until `stop` says so, then waits up to `grace` for those
/// that are open. Must run inside the runtime that serves them.
pub(crate) async fn run(
    listener: std::net::TcpListener,
    settings: Arc<ListenerSettings>,
    gate: Gate,
    service: Arc<dyn Service>,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut open = JoinSet::new();
    let mut pause = Duration::ZERO;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = open.join_next(), if !open.is_empty() => continue,
        };
        let (tcp, addr) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or the peer left already: do not spin.
                tracing::warn!(service = service.name(), %error, "a connection could not be accepted");
                pause = (pause * 2).clamp(Duration::from_millis(5), Duration::from_secs(1));
                tokio::time::sleep(pause).await;
                continue;
            }
        };
        pause = Duration::ZERO;
        let pass = match gate.enter(addr.ip(), Instant::now()) {
            Ok(pass) => pass,
            Err(denied) => {
                tracing::info!(service = service.name(), peer = %addr, ?denied, "a connection was denied");
                continue;
            }
        };
        let _ = tcp.set_nodelay(true);
        let local = tcp.local_addr().unwrap_or(settings.address);
        let peer = Peer {
            addr,
            local,
            listener: settings.clone(),
            stop: stop.clone(),
        };
        let service = service.clone();
        open.spawn(async move {
            service.serve(Stream::from(tcp), peer).await;
            drop(pass);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(grace, async { while open.join_next().await.is_some() {} }).await;
    Ok(())
}
