//! Accepts connections, asks the gate, and hands them to a service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinSet};

use super::bans::Bans;
use super::proxy;
use super::rules::{Denied, Gate, Pass};
use super::socket::{Accepting, Incoming, Kept, Socket};
use super::stream::Stream;
use crate::clock::Clock;
use crate::service::{Peer, Service};
use crate::settings::{ListenerSettings, TlsMode};

/// What a listener goes by. All of it can be changed while it listens; who is
/// connected is not touched.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) gate: Gate,
    way: ArcSwap<Way>,
}

/// How connections are taken.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) settings: Arc<ListenerSettings>,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) handshake_timeout: Duration,
    pub(crate) write_timeout: Duration,
}

impl Door {
    pub(crate) fn new(gate: Gate, way: Way) -> Door {
        Door {
            gate,
            way: ArcSwap::from_pointee(way),
        }
    }

    /// New connections are taken so from now on.
    pub(crate) fn change(&self, way: Way) {
        self.way.store(Arc::new(way));
    }

    pub(crate) fn settings(&self) -> Arc<ListenerSettings> {
        self.way.load().settings.clone()
    }
}

/// What listeners share.
#[derive(Debug, Clone)]
pub(crate) struct House {
    pub(crate) service: Arc<dyn Service>,
    pub(crate) bans: Bans,
    pub(crate) clock: Arc<dyn Clock>,
    /// Turns true when the service ends.
    pub(crate) stop: watch::Receiver<bool>,
    /// How long it then waits for connections that are open.
    pub(crate) grace: Duration,
}

/// A listener that is ready to [run](Listening::run).
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) door: Arc<Door>,
    pub(crate) house: House,
    accepting: Accepting,
    kept: Kept,
    close: oneshot::Receiver<()>,
    closed: oneshot::Sender<Socket>,
}

/// Closes a listener and gets its socket.
#[derive(Debug)]
pub(crate) struct Closer {
    close: oneshot::Sender<()>,
    closed: oneshot::Receiver<Socket>,
}

impl Closer {
    /// No new connections; those that are open go on. The socket still listens
    /// until it is dropped. `None` if it was closed already.
    pub(crate) async fn close(self) -> Option<Socket> {
        self.close.send(()).ok()?;
        self.closed.await.ok()
    }
}

impl Listening {
    /// Makes a socket part of the runtime this is called in.
    pub(crate) fn new(
        socket: Socket,
        door: Arc<Door>,
        house: House,
    ) -> std::io::Result<(Listening, Closer)> {
        let (accepting, kept) = socket.accepting()?;
        let (close, told_to_close) = oneshot::channel();
        let (give_back, closed) = oneshot::channel();
        let listening = Listening {
            door,
            house,
            accepting,
            kept,
            close: told_to_close,
            closed: give_back,
        };
        Ok((listening, Closer { close, closed }))
    }

    /// Serves connections until the listener is closed, and those that are open
    /// then until they end. When the service ends it waits for them no longer
    /// than its grace lasts.
    pub(crate) async fn run(self) {
        let Listening {
            door,
            house,
            accepting,
            kept,
            mut close,
            closed,
        } = self;
        let service = house.service.as_ref();
        let mut stop = house.stop.clone();
        let mut open = JoinSet::new();
        let mut pause = Duration::ZERO;
        let wanted = loop {
            let accepted = tokio::select! {
                accepted = accepting.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break false,
                Ok(()) = &mut close, if !close.is_terminated() => break true,
                Some(ended) = open.join_next(), if !open.is_empty() => {
                    look_at(service, &ended);
                    continue;
                }
            };
            match accepted {
                Ok((incoming, addr)) => {
                    pause = Duration::ZERO;
                    take(&door, &house, incoming, addr, &mut open);
                }
                Err(error) => {
                    // Out of descriptors, or the peer left already: do not spin.
                    tracing::warn!(service = service.name(), %error, "a connection could not be accepted");
                    pause = (pause * 2).clamp(Duration::from_millis(5), Duration::from_secs(1));
                    tokio::time::sleep(pause).await;
                }
            }
        };
        match accepting.into_socket(kept) {
            Ok(socket) if wanted => drop(closed.send(socket)),
            // Nobody comes in any more, however long those that are open may stay.
            _ => drop(closed),
        }
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                ended = open.join_next() => match ended {
                    Some(ended) => look_at(service, &ended),
                    None => return,
                },
            }
        }
        let rest = async {
            while let Some(ended) = open.join_next().await {
                look_at(service, &ended);
            }
        };
        if tokio::time::timeout(house.grace, rest).await.is_err() {
            tracing::warn!(
                service = service.name(),
                connections = open.len(),
                "connections did not end in time and were cut off"
            );
        }
    }
}

/// A connection has come. Decides at once what can be decided at once, so that
/// nobody who is denied costs a task.
fn take(door: &Door, house: &House, incoming: Incoming, addr: SocketAddr, open: &mut JoinSet<()>) {
    let way = door.way.load_full();
    if way.settings.proxy.is_from(addr.ip()) {
        match door.gate.hold() {
            Ok(pass) => {
                let house = house.clone();
                open.spawn(async move { behind_proxy(&way, house, incoming, addr, pass).await });
            }
            Err(denied) => refuse(&way, house, incoming, addr, denied),
        }
        return;
    }
    match enter(&door.gate, house, addr) {
        Ok(pass) => {
            let peer = peer(&way, house, addr, incoming.local());
            let service = house.service.clone();
            open.spawn(async move {
                service.serve(incoming.into_stream(), peer).await;
                drop(pass);
            });
        }
        Err(denied) => refuse(&way, house, incoming, addr, denied),
    }
}

fn enter(gate: &Gate, house: &House, addr: SocketAddr) -> Result<Pass, Denied> {
    if house.bans.is_banned(addr.ip()) {
        return Err(Denied::Banned);
    }
    gate.enter(addr.ip(), house.clock.now())
}

fn peer(way: &Way, house: &House, addr: SocketAddr, local: Option<SocketAddr>) -> Peer {
    Peer {
        addr,
        local: local
            .or(way.settings.address.tcp())
            .unwrap_or(crate::settings::UNIX_PEER),
        tls: way.tls.clone(),
        listener: way.settings.clone(),
        handshake_timeout: way.handshake_timeout,
        write_timeout: way.write_timeout,
        bans: Some(house.bans.clone()),
        stop: house.stop.clone(),
    }
}

fn refuse(way: &Way, house: &House, incoming: Incoming, addr: SocketAddr, denied: Denied) {
    let service = house.service.as_ref();
    tracing::info!(service = service.name(), peer = %addr, ?denied, "a connection was denied");
    if way.settings.tls != TlsMode::Implicit {
        incoming.refuse(service.refusal(denied));
    }
}

/// A proxy has connected: who is behind it decides about everything else.
async fn behind_proxy(
    way: &Way,
    mut house: House,
    incoming: Incoming,
    proxy: SocketAddr,
    mut pass: Pass,
) {
    let name = house.service.name();
    let local = incoming.local();
    let reading = async {
        match incoming {
            Incoming::Tcp(tcp) => proxy::read(tcp, &way.settings.proxy).await,
            Incoming::Unix(unix) => proxy::read(unix, &way.settings.proxy).await,
        }
    };
    let read = tokio::select! {
        read = reading => read,
        _ = house.stop.wait_for(|stop| *stop) => return,
    };
    let (header, stream) = match read {
        Ok(read) => read,
        Err(error) => {
            // The standard has no words for it: the connection is dropped.
            tracing::warn!(service = name, %proxy, %error, "a proxy's connection was dropped");
            return;
        }
    };
    let addr = header.source().unwrap_or(proxy);
    let local = header.destination().or(local);
    let admitted = match house.bans.is_banned(addr.ip()) {
        true => Err(Denied::Banned),
        false => pass.admit(addr.ip(), house.clock.now()),
    };
    if let Err(denied) = admitted {
        tracing::info!(service = name, peer = %addr, %proxy, ?denied, "a connection was denied");
        if way.settings.tls != TlsMode::Implicit {
            say(stream, house.service.refusal(denied)).await;
        }
        return;
    }
    tracing::debug!(service = name, peer = %addr, %proxy, "a proxy passes a connection on");
    let peer = peer(way, &house, addr, local);
    house.service.serve(stream, peer).await;
    drop(pass);
}

/// Says why to who is denied; what is written first always fits the buffer.
async fn say(stream: Stream, why: &str) {
    use tokio::io::AsyncWriteExt;
    let mut io = stream.into_inner();
    let _ = io.write(why.as_bytes()).await;
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
