//! The driver: carries bytes between a stream and a protocol session, and
//! hands the session's events to a service.
//!
//! A service is a plain loop:
//!
//! ```text
//! while let Some(event) = conn.next().await? {
//!     match event { … => conn.session().reply(…)?, … }
//! }
//! ```
//!
//! While the session waits, the driver reads and writes at the same time: a
//! client may send twenty thousand commands before it reads the first reply.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axigen_proto::{Close, Input, Output, Session, TlsInfo, Upgrade, Violation, Wait};
use bytes::{Buf, Bytes, BytesMut};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

use super::bans::Bans;
use super::deflate::Deflated;
use super::stream::{Io, Stream};
use super::tls;

/// Above this many unsent bytes nothing more is read from the peer, and the
/// session is not asked for more.
pub const UNSENT_HIGH: usize = 512 * 1024;
/// [`Conn::flush`] returns when no more than this many bytes are unsent.
pub const UNSENT_LOW: usize = 64 * 1024;
/// A service that streams bodies lets so many bytes come together before it flushes: a write
/// wakes the peer, which costs as much as copying a hundred kilobytes.
pub const STREAMED: usize = 192 * 1024;
/// Longest wait for a peer that reads nothing of what it is sent, where nothing else
/// is said.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest wait for one more of the last bytes of a closing connection to leave. A
/// peer that reads slowly gets them all, if that takes no longer than
/// [`WRITE_TIMEOUT`].
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a peer to close its side after ours is closed, while it is
/// still sending: closing at once would make the system send a reset, which may
/// overtake our last words.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// Most bytes thrown away while waiting for that.
pub const LINGER_BYTES: usize = 1024 * 1024;
/// Longest TLS handshake, where nothing else is said.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// Pieces that one write sends: a body and what stands before it are two.
const SLICES: usize = 64;
/// A read into a buffer of this size on the stack costs an idle connection nothing.
const SMALL_READ: usize = 8 * 1024;
/// Once a peer fills the small buffer, reads go straight into one of this size.
const LARGE_READ: usize = 64 * 1024;

/// A session on a stream.
pub struct Conn<S: Session> {
    session: S,
    transport: Transport,
    tls: Tls,
    tls_info: Option<TlsInfo>,
    unsent: VecDeque<Bytes>,
    unsent_bytes: usize,
    /// The stream may keep bytes it took (TLS does) until it is flushed.
    unflushed: bool,
    /// What follows once all output has left.
    upgrading: Option<Upgrade>,
    /// When the patience with a peer ends that asks for much and reads nothing.
    stalled: Option<Instant>,
    large_reads: bool,
    eof: bool,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
    close: Option<Close>,
    /// When the last bytes must have left, and how many were left when last looked.
    closing: Option<(Instant, usize)>,
    /// Our side is closed; so many bytes were thrown away since.
    lingering: Option<usize>,
    handshake_timeout: Duration,
    write_timeout: Duration,
    /// Whose faults count.
    watched: Option<Watched>,
}

/// What a session counts as faults costs the peer.
struct Watched {
    bans: Bans,
    peer: IpAddr,
    /// Faults that were seen.
    faults: u32,
    /// Nothing more is done for the peer until then.
    until: Option<Instant>,
}

/// A TLS handshake that runs.
type Handshake = Pin<Box<dyn Future<Output = io::Result<(Box<dyn Io>, TlsInfo)>> + Send>>;

enum Transport {
    Open(Box<dyn Io>),
    Handshake(Handshake, Instant),
    Closed,
}

enum Tls {
    None,
    Server(Arc<ServerConfig>),
    Client(Arc<ClientConfig>, ServerName<'static>),
}

impl<S: Session> std::fmt::Debug for Conn<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn")
            .field("tls", &self.tls_info)
            .field("unsent", &self.unsent_bytes)
            .field("close", &self.close)
            .finish_non_exhaustive()
    }
}

impl<S: Session> Conn<S> {
    /// The server side of a connection. `tls` serves STARTTLS and the like.
    pub fn server(stream: Stream, session: S, tls: Option<Arc<ServerConfig>>) -> Conn<S> {
        Conn::new(stream, session, tls.map_or(Tls::None, Tls::Server))
    }

    /// The server side of a connection that begins with a TLS handshake.
    pub fn server_tls(stream: Stream, session: S, tls: Arc<ServerConfig>) -> Conn<S> {
        let mut conn = Conn::new(stream, session, Tls::Server(tls));
        conn.begin_handshake();
        conn
    }

    /// The same with a longest TLS handshake of its own.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Conn<S> {
        self.handshake_timeout = timeout;
        if let Transport::Handshake(_, deadline) = &mut self.transport {
            *deadline = Instant::now() + timeout;
        }
        self
    }

    /// The same with a longest wait of its own for a peer that reads nothing.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Conn<S> {
        self.write_timeout = timeout;
        self
    }

    /// Lets the peer pay for what the session counts as faults: it waits, and in
    /// the end it is banned.
    #[must_use]
    pub fn watched(mut self, bans: Bans, peer: IpAddr) -> Conn<S> {
        self.watched = Some(Watched {
            bans,
            peer,
            faults: 0,
            until: None,
        });
        self
    }

    /// The peer pays for nothing any more: the server shuts down, and who waits
    /// for its faults would keep it.
    pub fn unwatched(&mut self) {
        if self
            .watched
            .take()
            .is_some_and(|watched| watched.until.is_some())
        {
            self.timer = None;
        }
    }

    /// The client side of a connection. `tls` serves STARTTLS.
    pub fn client(
        stream: Stream,
        session: S,
        tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    ) -> Conn<S> {
        Conn::new(
            stream,
            session,
            tls.map_or(Tls::None, |(config, name)| Tls::Client(config, name)),
        )
    }

    /// The client side of a connection that begins with a TLS handshake.
    pub fn client_tls(
        stream: Stream,
        session: S,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Conn<S> {
        let mut conn = Conn::new(stream, session, Tls::Client(config, name));
        conn.begin_handshake();
        conn
    }

    fn new(stream: Stream, session: S, tls: Tls) -> Conn<S> {
        Conn {
            session,
            transport: Transport::Open(stream.0),
            tls,
            tls_info: None,
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            unflushed: false,
            upgrading: None,
            stalled: None,
            large_reads: false,
            eof: false,
            timer: None,
            close: None,
            closing: None,
            lingering: None,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            watched: None,
        }
    }

    /// The session, for its own methods.
    pub fn session(&mut self) -> &mut S {
        &mut self.session
    }

    /// What is known of TLS, once it runs.
    pub fn tls_info(&self) -> Option<&TlsInfo> {
        self.tls_info.as_ref()
    }

    /// Why the session ended, after [`next`](Conn::next) returned `None`.
    pub fn close_reason(&self) -> Option<Close> {
        self.close
    }

    /// The session's next event; `None` after the connection was closed, which
    /// [`close_reason`](Conn::close_reason) explains.
    ///
    /// Cancel safe: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// A failure of the stream or the TLS handshake; a service that asks for
    /// the next event while the session still awaits its answer to the last.
    pub async fn next(&mut self) -> io::Result<Option<S::Event>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Sends until at most [`UNSENT_LOW`] bytes are unsent, so that a service
    /// can stream a large answer piece by piece. Reads nothing.
    ///
    /// # Errors
    /// A failure of the stream; a peer that reads nothing for as long as
    /// [`write_timeout`](Conn::write_timeout) says.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.drain_session()?;
        self.send_down_to(UNSENT_LOW).await
    }

    /// Sends all there is to send, for a service that will be busy for a while
    /// and does not want the peer to wait for what is already decided.
    ///
    /// # Errors
    /// As [`flush`](Conn::flush).
    pub async fn flush_all(&mut self) -> io::Result<()> {
        self.drain_session()?;
        self.send_down_to(0).await
    }

    /// Takes what the session wants to transmit, up to its next wait. Events
    /// cannot come here: they follow input, and none was given.
    fn drain_session(&mut self) -> io::Result<()> {
        loop {
            match self.session.poll_output(Instant::now()) {
                Output::Transmit(bytes) => self.enqueue(bytes),
                Output::Wait(_) | Output::Close(_) => return Ok(()),
                Output::Event(_) | Output::Upgrade(_) => {
                    return Err(io::Error::other("flush was called with an event pending"));
                }
            }
        }
    }

    async fn send_down_to(&mut self, low: usize) -> io::Result<()> {
        let most = self.write_timeout;
        while self.unsent_bytes > low || (low == 0 && self.unflushed) {
            // Any progress starts the clock anew.
            let progress = poll_fn(|cx| match self.unsent_bytes {
                0 => self.poll_flush(cx),
                _ => self.poll_send(cx),
            });
            match tokio::time::timeout(most, progress).await {
                Ok(sent) => sent?,
                Err(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the peer does not read",
                    ));
                }
            }
        }
        Ok(())
    }

    fn enqueue(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.unsent_bytes += bytes.len();
            self.unsent.push_back(bytes);
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<S::Event>>> {
        loop {
            if let Transport::Handshake(handshake, deadline) = &mut self.transport {
                let deadline = *deadline;
                match handshake.as_mut().poll(cx) {
                    Poll::Ready(Ok((io, info))) => {
                        self.transport = Transport::Open(io);
                        self.timer = None;
                        self.tls_info = Some(info.clone());
                        self.session
                            .handle_input(Instant::now(), Input::Upgraded(info));
                    }
                    Poll::Ready(Err(error)) => {
                        self.transport = Transport::Closed;
                        return Poll::Ready(Err(error));
                    }
                    Poll::Pending => {
                        if self.poll_timer(cx, Some(deadline)) {
                            self.transport = Transport::Closed;
                            return Poll::Ready(Err(io::Error::new(
                                io::ErrorKind::TimedOut,
                                "TLS handshake",
                            )));
                        }
                        return Poll::Pending;
                    }
                }
            }
            if let Some(close) = self.close {
                return self.poll_close(cx, close);
            }
            if let Some(upgrade) = self.upgrading {
                match self.poll_drain(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
                self.upgrading = None;
                match upgrade {
                    Upgrade::Tls if !self.begin_handshake() => {
                        return Poll::Ready(Err(io::Error::other(
                            "TLS was started but is not configured",
                        )));
                    }
                    Upgrade::Tls => {}
                    Upgrade::Deflate => self.begin_deflate(),
                }
                continue;
            }
            if self.unsent_bytes > UNSENT_HIGH {
                if self.poll_relieve(cx).is_pending() {
                    return Poll::Pending;
                }
                continue;
            }
            if self.poll_penance(cx).is_pending() {
                return Poll::Pending;
            }
            let output = self.session.poll_output(Instant::now());
            self.count_faults();
            match output {
                Output::Transmit(bytes) => self.enqueue(bytes),
                Output::Event(event) => return Poll::Ready(Ok(Some(event))),
                // All output leaves before. The session has said `Upgrade` once and will not
                // again.
                Output::Upgrade(upgrade) => self.upgrading = Some(upgrade),
                Output::Close(close) => {
                    if let (Close::Violate(violation), Some(watched)) = (close, &self.watched)
                        && !is_counted(violation)
                    {
                        watched.bans.fault(watched.peer, 1);
                    }
                    self.close = Some(close);
                    self.timer = None;
                }
                Output::Wait(wait) => match self.poll_wait(cx, wait) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// Counts what the session found wrong since it was asked last.
    fn count_faults(&mut self) {
        let faults = self.session.faults();
        if let Some(watched) = &mut self.watched
            && faults > watched.faults
        {
            let banned = watched.bans.fault(watched.peer, faults - watched.faults);
            watched.faults = faults;
            let wait = watched.bans.wait(watched.peer, faults);
            if !wait.is_zero() {
                tracing::debug!(peer = %watched.peer, faults, banned, ?wait, "a peer waits for its faults");
                watched.until = Some(Instant::now() + wait);
            }
        }
    }

    /// Waits until the peer has paid; what it was told already still leaves.
    fn poll_penance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.watched.as_ref().and_then(|watched| watched.until) else {
            return Poll::Ready(());
        };
        if !self.poll_timer(cx, Some(until)) {
            match self.poll_drain(cx) {
                Poll::Ready(Err(_)) => self.peer_gone(),
                Poll::Ready(Ok(())) | Poll::Pending => return Poll::Pending,
            }
        }
        self.timer = None;
        if let Some(watched) = &mut self.watched {
            watched.until = None;
        }
        Poll::Ready(())
    }

    /// Sends until the session may be asked for more: commands sent in one go
    /// whose answers nobody reads would fill the memory otherwise.
    fn poll_relieve(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.unsent_bytes > UNSENT_HIGH {
            match self.poll_send(cx) {
                Poll::Ready(Ok(())) => self.stalled = None,
                Poll::Ready(Err(_)) => self.peer_gone(),
                Poll::Pending => {
                    let timeout = self.write_timeout;
                    let deadline = *self.stalled.get_or_insert_with(|| Instant::now() + timeout);
                    if !self.poll_timer(cx, Some(deadline)) {
                        return Poll::Pending;
                    }
                    self.timer = None;
                    self.close = Some(Close::TimedOut);
                    // Last words would not be read either.
                    self.unsent.clear();
                    self.unsent_bytes = 0;
                    self.unflushed = false;
                    self.transport = Transport::Closed;
                    break;
                }
            }
        }
        self.stalled = None;
        Poll::Ready(())
    }

    /// Nothing can be sent any more; the session decides what that means.
    fn peer_gone(&mut self) {
        self.unsent.clear();
        self.unsent_bytes = 0;
        self.unflushed = false;
        self.eof = true;
        self.session.handle_input(Instant::now(), Input::Eof);
    }

    /// Reads and writes at the same time. Ready when the session has
    /// something to look at.
    fn poll_wait(&mut self, cx: &mut Context<'_>, wait: Wait) -> Poll<io::Result<()>> {
        let mut pending = false;
        match self.poll_drain(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => {
                self.peer_gone();
                return Poll::Ready(Ok(()));
            }
            Poll::Pending => pending = true,
        }
        if wait.read && !self.eof && self.unsent_bytes <= UNSENT_HIGH {
            match self.poll_read(cx) {
                Poll::Ready(input) => {
                    self.session.handle_input(Instant::now(), input);
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending => pending = true,
            }
        }
        if self.poll_timer(cx, wait.deadline) {
            self.timer = None;
            self.session.handle_input(Instant::now(), Input::Timeout);
            return Poll::Ready(Ok(()));
        }
        if !pending && !wait.read {
            return Poll::Ready(Err(io::Error::other(
                "the session awaits the service's answer",
            )));
        }
        if !pending && self.eof && wait.deadline.is_none() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Poll::Pending
    }

    /// Whether the deadline has passed.
    fn poll_timer(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> bool {
        let Some(deadline) = deadline else {
            self.timer = None;
            return false;
        };
        match &mut self.timer {
            Some((at, _)) if *at == deadline => {}
            Some((at, sleep)) => {
                *at = deadline;
                sleep.as_mut().reset(deadline.into());
            }
            none => *none = Some((deadline, Box::pin(sleep_until(deadline.into())))),
        }
        match &mut self.timer {
            Some((_, sleep)) => sleep.as_mut().poll(cx).is_ready(),
            None => false,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        let Transport::Open(io) = &mut self.transport else {
            return Poll::Ready(Input::Eof);
        };
        let (bytes, filled) = if self.large_reads {
            let mut bytes = BytesMut::zeroed(LARGE_READ);
            let mut buf = ReadBuf::new(&mut bytes);
            let read = Pin::new(io).poll_read(cx, &mut buf);
            let n = buf.filled().len();
            match read {
                Poll::Pending => {
                    self.large_reads = false;
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) if n > 0 => {}
                Poll::Ready(_) => {
                    self.eof = true;
                    return Poll::Ready(Input::Eof);
                }
            }
            bytes.truncate(n);
            (bytes, n >= SMALL_READ)
        } else {
            let mut small = [0u8; SMALL_READ];
            let mut buf = ReadBuf::new(&mut small);
            match Pin::new(io).poll_read(cx, &mut buf) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) => {
                    self.eof = true;
                    return Poll::Ready(Input::Eof);
                }
            }
            (
                BytesMut::from(buf.filled()),
                buf.filled().len() == SMALL_READ,
            )
        };
        self.large_reads = filled;
        Poll::Ready(Input::Bytes(bytes))
    }

    /// Sends some of what is unsent.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Transport::Open(io) = &mut self.transport else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (slot, bytes) in slices.iter_mut().zip(&self.unsent) {
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        let sent =
            match Pin::new(&mut *io).poll_write_vectored(cx, slices.get(..count).unwrap_or(&[])) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(sent)) => sent,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            };
        self.unsent_bytes = self.unsent_bytes.saturating_sub(sent);
        let mut left = sent;
        while left > 0 {
            let Some(first) = self.unsent.front_mut() else {
                break;
            };
            if first.len() > left {
                first.advance(left);
                break;
            }
            left -= first.len();
            self.unsent.pop_front();
        }
        self.unflushed = true;
        if self.unsent.is_empty() {
            // An idle connection keeps no buffer.
            self.unsent = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Makes the stream send what it keeps.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Transport::Open(io) = &mut self.transport else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let flushed = Pin::new(io).poll_flush(cx);
        self.unflushed &= !matches!(flushed, Poll::Ready(Ok(())));
        flushed
    }

    /// Sends everything.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let step = match (self.unsent_bytes, self.unflushed) {
                (0, false) => return Poll::Ready(Ok(())),
                (0, true) => self.poll_flush(cx),
                _ => self.poll_send(cx),
            };
            match step {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
        }
    }

    /// Sends what is left, says goodbye, and is done.
    fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        close: Close,
    ) -> Poll<io::Result<Option<S::Event>>> {
        if self.lingering.is_none() {
            let said = match self.poll_drain(cx) {
                Poll::Ready(Ok(())) => self.poll_shutdown(cx),
                other => other,
            };
            match said {
                Poll::Ready(Ok(())) => {
                    self.lingering = Some(0);
                    self.timer = None;
                }
                Poll::Pending if !self.poll_impatience(cx) => return Poll::Pending,
                // The peer is gone, or does not read.
                _ => self.transport = Transport::Closed,
            }
        }
        let deadline = match &self.timer {
            Some((at, _)) => *at,
            None => Instant::now() + LINGER_TIMEOUT,
        };
        while let (Some(thrown_away), false) = (self.lingering, self.eof) {
            match self.poll_read(cx) {
                Poll::Ready(Input::Bytes(bytes)) if thrown_away < LINGER_BYTES => {
                    self.lingering = Some(thrown_away + bytes.len());
                }
                Poll::Ready(_) => break,
                // Who has agreed to the end sends nothing more.
                Poll::Pending if close == Close::Finish && thrown_away == 0 => break,
                Poll::Pending if self.poll_timer(cx, Some(deadline)) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        self.transport = Transport::Closed;
        self.timer = None;
        Poll::Ready(Ok(None))
    }

    /// Whether the last bytes have had their time: any progress starts the clock
    /// anew, until the whole has taken too long.
    fn poll_impatience(&mut self, cx: &mut Context<'_>) -> bool {
        // The time by which the timer runs.
        let now = tokio::time::Instant::now().into_std();
        let (end, seen) = self.closing.unwrap_or((now + WRITE_TIMEOUT, usize::MAX));
        let deadline = match &self.timer {
            Some((at, _)) if self.unsent_bytes >= seen => *at,
            _ => end.min(now + CLOSE_TIMEOUT),
        };
        self.closing = Some((end, self.unsent_bytes));
        self.poll_timer(cx, Some(deadline))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Open(io) => Pin::new(io).poll_shutdown(cx),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// All that is read and sent from now on is compressed.
    fn begin_deflate(&mut self) {
        let transport = std::mem::replace(&mut self.transport, Transport::Closed);
        self.transport = match transport {
            Transport::Open(io) => Transport::Open(Box::new(Deflated::new(io))),
            other => other,
        };
    }

    /// `false` if TLS is not configured.
    fn begin_handshake(&mut self) -> bool {
        let Transport::Open(io) = std::mem::replace(&mut self.transport, Transport::Closed) else {
            return false;
        };
        let deadline = Instant::now() + self.handshake_timeout;
        self.transport = match &self.tls {
            Tls::None => return false,
            Tls::Server(config) => {
                Transport::Handshake(Box::pin(tls::accept(io, config.clone())), deadline)
            }
            Tls::Client(config, name) => Transport::Handshake(
                Box::pin(tls::connect(io, config.clone(), name.clone())),
                deadline,
            ),
        };
        true
    }
}

/// Whether what led to this was counted one by one.
fn is_counted(violation: Violation) -> bool {
    matches!(
        violation,
        Violation::TooManyErrors | Violation::TooManyAuthFailures
    )
}

#[cfg(test)]
mod tests;
