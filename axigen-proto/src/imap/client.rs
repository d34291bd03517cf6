//! The client's side of an IMAP connection.
//!
//! After the greeting the session asks what the server offers, starts TLS, logs
//! in and begins to compress as the configuration says, and hands out
//! [`Event::Ready`]. From then on commands go out with [`Client::send`],
//! [`Client::append`] and [`Client::idle`]. Several may be under way at once;
//! each ends with an [`Event::Done`] of its tag. What the server says in between
//! comes as [`Event::Response`].
//!
//! ```text
//! Ready ─ send ─> Response*                               ─> Done
//!       ─ send(Fetch) ─> (BodyStart BodyPart* BodyEnd)* Response ─> Done
//!       ─ append ─> (WantBody, body)*                     ─> Done
//!       ─ idle ─> Idling, Response*, done                 ─> Done
//!       ─ logout ─> Close
//! anywhere: Failed, then Close
//! ```
//!
//! Of messages nothing is held: the bytes of a body come as they arrive, those
//! of an APPEND are asked for as they leave. Everything else that a server could
//! make large has a [limit](crate::limits::ImapClientLimits). What a server says
//! that this crate does not know comes out as it is, in values called `Other`.
//!
//! Which commands may be sent without awaiting the end of others is the caller's
//! to know: [RFC 9051 §5.5](https://www.rfc-editor.org/rfc/rfc9051#section-5.5).
//! The session itself only holds back what follows an ENABLE, since that changes
//! how names are written.

mod capability;
mod commands;
mod frame;
mod opening;
mod untagged;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::command::FetchAttribute;
use super::response::{Response, Status};
use super::types::Tag;
use crate::limits::ImapClientLimits;
use crate::outbox::Outbox;
use crate::sasl::Mechanism;
use crate::sasl::client::{self as sasl, ClientError, Credentials};
pub use crate::session::StartTls;
use crate::session::{Close, Input, Misuse, Output, Session, TlsInfo, Upgrade, Violation, Wait};

pub use self::capability::Capabilities;
use self::commands::{Idle, Outgoing, Writing};
use self::frame::ResponseFramer;

/// How a client session behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether STARTTLS is used.
    pub starttls: StartTls,
    /// Whether TLS starts with the connection (port 993). The session waits
    /// for [`Input::Upgraded`] before it does anything.
    pub implicit_tls: bool,
    /// Who logs in. With `None` the session is ready without a login, which is
    /// of use only where the server greets with PREAUTH.
    pub credentials: Option<Credentials>,
    /// The mechanisms that may be used, the preferred one first. Where the
    /// server offers none of them, the command LOGIN is used if LOGIN is among
    /// them.
    pub mechanisms: Vec<Mechanism>,
    /// Whether a password may be sent in the clear (PLAIN, LOGIN without TLS).
    pub plaintext_password: bool,
    /// Whether to compress where the server offers it (RFC 4978).
    pub compress: bool,
    /// Sizes, counts and times.
    pub limits: ImapClientLimits,
}

impl Default for Config {
    /// TLS required, no login, no compression.
    fn default() -> Self {
        Self {
            starttls: StartTls::Required,
            implicit_tls: false,
            credentials: None,
            mechanisms: Mechanism::ALL.to_vec(),
            plaintext_password: false,
            compress: false,
            limits: ImapClientLimits::default(),
        }
    }
}

/// What the session tells its application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The session takes commands.
    Ready(Capabilities),
    /// An untagged response. Of a FETCH those items that were no bytes of a
    /// message.
    Response(Response),
    /// A FETCH response goes on with bytes of a message.
    BodyStart {
        /// The message's sequence number; `None` once UIDONLY is enabled.
        seq: Option<u32>,
        /// Its UID, if the server has told it before the bytes.
        uid: Option<u32>,
        /// What was asked for, by its response name: without PEEK; of a partial
        /// the offset, and how many bytes there are.
        attribute: FetchAttribute,
        /// How many bytes follow.
        size: u64,
    },
    /// The next of them.
    BodyPart(Bytes),
    /// There are no more of them.
    BodyEnd,
    /// APPEND goes on: give the next piece of the message with [`Client::body`].
    /// Comes again each time a piece has left, until all bytes are there.
    WantBody {
        /// The command's tag.
        tag: Tag,
        /// How many bytes are missing.
        left: u64,
    },
    /// IDLE has begun; changes come as [`Event::Response`].
    Idling {
        /// The command's tag.
        tag: Tag,
    },
    /// A command has ended.
    Done {
        /// Its tag.
        tag: Tag,
        /// How.
        status: Status,
    },
    /// The session is over; [`Output::Close`] follows.
    Failed(Failure),
}

/// Why a session failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server refused the connection.
    #[error("the server refused the session: {0}")]
    Refused(Status),
    /// The server ends the session.
    #[error("the server closes the connection: {0}")]
    Closing(Status),
    /// STARTTLS is required but not offered.
    #[error("the server does not offer STARTTLS")]
    TlsNotOffered,
    /// STARTTLS is required but refused.
    #[error("the server refused STARTTLS: {0}")]
    TlsRefused(Status),
    /// TLS is required, but the server greeted with PREAUTH, after which no
    /// STARTTLS is possible (RFC 9051 §11.1).
    #[error("the server logged us in without TLS")]
    PreauthWithoutTls,
    /// The server sent something between its answer to STARTTLS and the
    /// handshake (CVE-2011-0411).
    #[error("the server sent plaintext behind STARTTLS")]
    PlaintextAfterStartTls,
    /// No mechanism is allowed here and offered there.
    #[error("the server offers no login that is allowed here")]
    NoMechanism,
    /// The login was refused.
    #[error("login refused: {0}")]
    AuthRefused(Status),
    /// The login went wrong before the server decided about it.
    #[error("login failed: {0}")]
    Auth(#[from] ClientError),
    /// The server refused to say what it offers.
    #[error("the server does not say what it offers: {0}")]
    NoCapabilities(Status),
    /// The server sent what is no response, or one beyond the limits.
    #[error("not a valid response: {0}")]
    BadResponse(Violation),
    /// The server sent a response that has no place here.
    #[error("unexpected response: {0}")]
    Unexpected(&'static str),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    PeerGone,
    /// The server did not answer in time.
    #[error("the server did not answer in time")]
    TimedOut,
}

/// An IMAP client session.
#[derive(Debug)]
pub struct Client {
    config: Config,
    nonce: [u8; 32],
    input: ResponseFramer,
    eof: bool,
    out: Outbox,
    events: VecDeque<Event>,
    upgrade: Option<Upgrade>,
    close: Option<Close>,
    phase: Phase,
    deadline: Option<Instant>,
    rearm: bool,
    tls: Option<TlsInfo>,
    tls_refused: bool,
    compress_refused: bool,
    compressed: bool,
    capabilities: Capabilities,
    login: Option<Box<sasl::Client>>,
    challenges: u32,
    logged_in: bool,
    /// Whether names are UTF-8.
    utf8: bool,
    tags: u64,
    /// Commands that await their end.
    sent: Vec<Sent>,
    /// Commands that await their turn.
    queue: VecDeque<Outgoing>,
    /// The command that is not complete on the wire.
    writing: Option<Writing>,
    idle: Option<Idle>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A TLS handshake runs.
    Handshake,
    /// Before the greeting.
    Greeting,
    /// Before [`Event::Ready`].
    Opening,
    /// Commands may be sent.
    Ready,
    /// LOGOUT is out.
    Leaving,
}

/// A command that awaits its end.
#[derive(Debug)]
struct Sent {
    tag: Tag,
    kind: Kind,
}

/// What the end of a command changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Capability,
    StartTls,
    Login,
    Compress,
    Enable,
    Idle,
    Logout,
    Plain,
}

impl Client {
    /// A session at its beginning. `nonce` must be fresh, unpredictable bytes
    /// for each session: SCRAM needs them, and this crate draws no random
    /// numbers.
    pub fn new(config: Config, nonce: [u8; 32]) -> Self {
        Self {
            phase: if config.implicit_tls {
                Phase::Handshake
            } else {
                Phase::Greeting
            },
            config,
            nonce,
            input: ResponseFramer::default(),
            eof: false,
            out: Outbox::default(),
            events: VecDeque::new(),
            upgrade: None,
            close: None,
            deadline: None,
            rearm: true,
            tls: None,
            tls_refused: false,
            compress_refused: false,
            compressed: false,
            capabilities: Capabilities::default(),
            login: None,
            challenges: 0,
            logged_in: false,
            utf8: false,
            tags: 0,
            sent: Vec::new(),
            queue: VecDeque::new(),
            writing: None,
            idle: None,
        }
    }

    /// Ends the session at once. What is under way may be carried out or not.
    pub fn abort(&mut self) {
        self.end(Close::Finish);
    }

    /// What the server offers in the present state.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// What is known of TLS, once it is active.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }

    /// Whether what goes over the wire is compressed.
    pub fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// Bytes of input held, for tests of the limits.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.input.held()
    }

    fn fail(&mut self, failure: Failure) {
        if self.close.is_some() {
            return;
        }
        let close = match failure {
            Failure::PlaintextAfterStartTls => Close::Violate(Violation::PlaintextAfterStartTls),
            Failure::BadResponse(violation) => Close::Violate(violation),
            Failure::Unexpected(_) => Close::Violate(Violation::NotThisProtocol),
            Failure::PeerGone => Close::PeerGone,
            Failure::TimedOut => Close::TimedOut,
            _ => Close::Finish,
        };
        match failure {
            Failure::TlsNotOffered
            | Failure::TlsRefused(_)
            | Failure::NoMechanism
            | Failure::AuthRefused(_) => self.say_goodbye(),
            // RFC 9051 §6.2.2: an exchange is cancelled by an asterisk.
            Failure::Auth(_) => self.out.push(Bytes::from_static(b"*\r\n")),
            _ => {}
        }
        self.events.push_back(Event::Failed(failure));
        self.end(close);
    }

    fn end(&mut self, close: Close) {
        if self.close.is_none() {
            self.close = Some(close);
            self.input.clear();
            self.upgrade = None;
            self.login = None;
            self.sent = Vec::new();
            self.queue = VecDeque::new();
            self.writing = None;
            self.idle = None;
        }
    }

    fn wait(&mut self, now: Instant) -> Wait {
        let limits = &self.config.limits;
        let timeout = match self.phase {
            Phase::Greeting => Some(limits.greeting_timeout),
            Phase::Leaving => Some(limits.logout_timeout),
            Phase::Handshake => Some(limits.command_timeout),
            _ if self.idle.as_ref().is_some_and(Idle::runs) => Some(limits.idle_refresh),
            _ if !self.sent.is_empty() => Some(limits.command_timeout),
            _ => None,
        };
        match timeout {
            None => {
                self.deadline = None;
                self.rearm = true;
            }
            Some(timeout) if self.rearm => {
                self.deadline = now.checked_add(timeout);
                self.rearm = false;
            }
            Some(_) => {}
        }
        Wait {
            read: self.phase != Phase::Handshake,
            deadline: self.deadline,
        }
    }

    /// Whether the session takes commands.
    fn check_ready(&self) -> Result<(), Misuse> {
        match self.phase {
            Phase::Ready if self.close.is_none() => Ok(()),
            _ => Err(Misuse("the session is not ready for commands")),
        }
    }

    /// Takes what has been found in the input; whether there was anything.
    fn advance(&mut self) -> bool {
        if self.close.is_some() || self.phase == Phase::Handshake {
            return false;
        }
        let Some(frame) = self.input.next(&self.config.limits) else {
            return false;
        };
        self.rearm |= !self.idle.as_ref().is_some_and(Idle::runs);
        self.framed(frame);
        true
    }

    fn timed_out(&mut self) {
        match &self.idle {
            Some(idle) if idle.runs() => self.end_idle(),
            _ => self.fail(Failure::TimedOut),
        }
    }
}

impl Session for Client {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            _ if self.close.is_some() => {}
            Input::Bytes(_) if self.eof => {}
            Input::Bytes(bytes) if bytes.is_empty() => {}
            Input::Bytes(_) if self.phase == Phase::Handshake => {
                self.fail(Failure::PlaintextAfterStartTls);
            }
            Input::Bytes(bytes) => self.input.push(bytes),
            Input::Eof => self.eof = true,
            Input::Timeout => {
                if self.deadline.is_some_and(|deadline| now >= deadline) {
                    self.timed_out();
                }
            }
            Input::Upgraded(info) => self.upgraded(info),
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<Event> {
        loop {
            // Before everything that an application may say to what it is told.
            if let Some(upgrade) = self.upgrade.take() {
                return Output::Upgrade(upgrade);
            }
            if let Some(bytes) = self.out.pop() {
                return Output::Transmit(bytes);
            }
            if let Some(event) = self.events.pop_front() {
                return Output::Event(event);
            }
            if let Some(close) = self.close {
                return Output::Close(close);
            }
            if let Some(event) = self.want_body() {
                return Output::Event(event);
            }
            if self.advance() {
                continue;
            }
            if self.eof {
                // After LOGOUT the server may close without a word.
                match self.phase {
                    Phase::Leaving => self.end(Close::Finish),
                    _ => self.fail(Failure::PeerGone),
                }
                continue;
            }
            return Output::Wait(self.wait(now));
        }
    }
}
