//! The shape every protocol session has.
//!
//! A session is a state machine. It is told what happened with
//! [`Session::handle_input`] and asked what to do next with
//! [`Session::poll_output`]. Between two polls the application may call the
//! session's own methods (a reply, a challenge, a piece of a body). After any
//! call, poll until [`Output::Wait`] or [`Output::Close`].

use std::fmt;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

/// A protocol state machine without I/O.
pub trait Session {
    /// What the session tells its application.
    type Event;

    /// Takes a fact from outside. Never fails: what is wrong with the input
    /// becomes a reply on the wire or a [`Close`].
    ///
    /// `now` is the caller's clock; deadlines in [`Wait`] are on the same clock.
    fn handle_input(&mut self, now: Instant, input: Input);

    /// Says what to do next. Must be called until it returns [`Output::Wait`]
    /// or [`Output::Close`]; after `Close` it returns the same `Close` again.
    fn poll_output(&mut self, now: Instant) -> Output<Self::Event>;

    /// How many faults of the peer the session has counted: commands that are
    /// none, in the wrong place or beyond a limit. Failed logins are not among
    /// them. A server's driver may let the peer pay for them.
    fn faults(&self) -> u32 {
        0
    }
}

/// A fact from outside.
#[derive(Debug)]
pub enum Input {
    /// Bytes read from the peer. The session keeps what it does not use yet.
    Bytes(BytesMut),
    /// The peer closed its sending side.
    Eof,
    /// The deadline of the last [`Wait`] has passed.
    Timeout,
    /// The upgrade asked for by [`Output::Upgrade`] is done. For TLS this is
    /// also how a session on an implicit-TLS port learns of the handshake,
    /// before its first poll.
    Upgraded(TlsInfo),
}

/// What to do next, in wire order.
#[derive(Debug)]
pub enum Output<E> {
    /// Send these bytes to the peer.
    Transmit(Bytes),
    /// Something the application must know; many events wait for its answer.
    Event(E),
    /// Flush all output, then change the transport. TLS is answered with
    /// [`Input::Upgraded`]; bytes that the peer sent before the handshake have
    /// been discarded by the session (CVE-2011-0411). Compression needs no
    /// answer.
    Upgrade(Upgrade),
    /// Nothing to do until new input, an application call, or the deadline.
    Wait(Wait),
    /// Flush all output and close the connection.
    Close(Close),
}

/// What a waiting session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Whether the session wants bytes. `false` while an event awaits the
    /// application's answer: the driver should not read, so that a peer cannot
    /// fill memory by pipelining.
    pub read: bool,
    /// When to call [`Session::handle_input`] with [`Input::Timeout`].
    pub deadline: Option<Instant>,
}

/// A change of the transport below the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// Start TLS (server or client side, as the session is).
    Tls,
    /// Start DEFLATE compression in both directions (RFC 4978).
    Deflate,
}

/// Whether a client uses STARTTLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StartTls {
    /// Never.
    Never,
    /// When the server offers it; the session goes on in any case.
    IfOffered,
    /// Always; without it the session fails.
    Required,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// Both sides agreed: QUIT, LOGOUT, or the application asked for it.
    Finish,
    /// The peer went away.
    PeerGone,
    /// A deadline passed.
    TimedOut,
    /// The peer broke a limit or a rule too often.
    Violate(Violation),
}

/// A fault of the peer that ends the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// More bad commands than allowed.
    TooManyErrors,
    /// More failed logins than allowed.
    TooManyAuthFailures,
    /// A line, literal or command beyond its limit.
    TooLarge,
    /// Bytes behind STARTTLS, before the handshake (CVE-2011-0411).
    PlaintextAfterStartTls,
    /// Something that is not this protocol at all.
    NotThisProtocol,
    /// A command whose length cannot be known, so that what follows it cannot
    /// be told from commands (a malformed BDAT).
    LostSync,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Violation::TooManyErrors => "too many errors",
            Violation::TooManyAuthFailures => "too many failed logins",
            Violation::TooLarge => "a line or literal was too large",
            Violation::PlaintextAfterStartTls => "plaintext was sent behind STARTTLS",
            Violation::NotThisProtocol => "the peer does not speak this protocol",
            Violation::LostSync => "a malformed command hid where the next one begins",
        })
    }
}

/// What the driver knows of a finished TLS handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsInfo {
    /// Protocol version as in `TLSv1.3`.
    pub version: String,
    /// Cipher suite as in `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The server name the client asked for, if it did.
    pub server_name: Option<String>,
    /// Channel binding data of type `tls-exporter` (RFC 9266), if available.
    pub exporter: Option<Bytes>,
    /// Channel binding data of type `tls-server-end-point` (RFC 5929 §4), if
    /// available.
    pub server_end_point: Option<Bytes>,
    /// The client's certificate in DER, once it was verified.
    pub client_certificate: Option<Bytes>,
}

/// The application called a session method that does not fit the session's
/// state: a bug in the caller, never the peer's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("session misused: {0}")]
pub struct Misuse(pub &'static str);
