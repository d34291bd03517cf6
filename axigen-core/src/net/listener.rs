//! Accepts connections, asks the gate, and hands them to a service.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::Stream;
use super::rules::Gate;
use crate::service::{Peer, Service};
use crate::settings::{ListenerSettings, TlsMode};

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
/// that are open.
pub(crate) async fn run(
    listener: TcpListener,
    settings: Arc<ListenerSettings>,
    tls: Option<Arc<ServerConfig>>,
    gate: Gate,
    service: Arc<dyn Service>,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) {
    let mut open = JoinSet::new();
    let mut pause = Duration::ZERO;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
            Some(ended) = open.join_next(), if !open.is_empty() => {
                look_at(service.as_ref(), &ended);
                continue;
            }
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
                if settings.tls != TlsMode::Implicit {
                    refuse(tcp, service.refusal(denied));
                }
                continue;
            }
        };
        let _ = tcp.set_nodelay(true);
        let local = tcp.local_addr().unwrap_or(settings.address);
        let peer = Peer {
            addr,
            local,
            tls: tls.clone(),
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
    let rest = async {
        while let Some(ended) = open.join_next().await {
            look_at(service.as_ref(), &ended);
        }
    };
    if tokio::time::timeout(grace, rest).await.is_err() {
        tracing::warn!(
            service = service.name(),
            connections = open.len(),
            "connections did not end in time and were cut off"
        );
    }
}

/// Says why, if the peer can be told without waiting for it: what is written
/// first on a connection always fits its buffer.
fn refuse(tcp: TcpStream, why: &str) {
    if let Ok(mut tcp) = tcp.into_std() {
        let _ = tcp.write(why.as_bytes());
    }
}

/// A connection has ended; a panic ends only its own.
fn look_at(service: &dyn Service, ended: &Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(service = service.name(), %error, "a bug in the service: the connection is closed");
    }
}

#[cfg(test)]
mod tests;
