//! The server session.
//!
//! After a login the application gives the maildrop's messages once, with
//! [`Server::open`]; the session then answers STAT, LIST, UIDL, DELE, RSET and
//! NOOP by itself and asks for a message only when its content is wanted.
//!
//! | event | awaits |
//! |---|---|
//! | `Connected` | `greet` or `refuse` |
//! | `Auth` | `answer` |
//! | `LoggedIn` | `open` or `refuse` |
//! | `Retrieve` | `begin`, `body`…, `end`; or `fail` |
//! | `Quit` | `finish` |
//!
//! Messages are deleted only when the client says QUIT: a connection that
//! breaks deletes nothing (RFC 1939 §6).

mod commands;
mod login;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::body::Writer;
use super::text::{Language, Text};
use crate::frame::Framer;
use crate::limits::Pop3Limits;
use crate::sasl::{self, Ask, Identity, Mechanism};
use crate::session::{Close, Input, Misuse, Output, Session, TlsInfo, Upgrade, Violation, Wait};

/// Answers to pipelined commands are collected up to this size.
const FLUSH: usize = 4096;

/// How a session behaves. One value serves any number of them.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of this host, shown in the greeting.
    pub hostname: String,
    /// Sizes, counts and times.
    pub limits: Pop3Limits,
    /// Whether TLS starts with the connection (port 995).
    pub implicit_tls: bool,
    /// Whether STLS is offered.
    pub stls: bool,
    /// Whether passwords may be sent without TLS (loopback, tests).
    pub allow_plaintext_login: bool,
    /// Mechanisms of AUTH, in the order they are shown.
    pub mechanisms: Vec<Mechanism>,
    /// What CAPA says of the implementation; empty says nothing.
    pub implementation: String,
    /// What CAPA says of leaving mail here, before a login: of all users alike,
    /// or the least that any has.
    pub expire: Expire,
    /// Whether [`expire`](Config::expire) may be another for the one who logs in.
    pub expire_varies: bool,
    /// Seconds that must lie between two logins of an account; 0 is none. The
    /// application sees to it ([`Failure::LoginDelay`]); this is what CAPA says.
    pub login_delay: u32,
    /// The language that `LANG *` chooses.
    pub language: Language,
}

/// How long mail may be left here (RFC 2449 §6.7). The application sees to it at
/// QUIT; this is what CAPA says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expire {
    /// As long as the client likes.
    #[default]
    Never,
    /// So many days; 0 means that what was fetched is deleted at QUIT.
    Days(u32),
}

impl Default for Config {
    fn default() -> Config {
        Config {
            hostname: "localhost".into(),
            limits: Pop3Limits::default(),
            implicit_tls: false,
            stls: false,
            allow_plaintext_login: false,
            mechanisms: vec![Mechanism::ScramSha256, Mechanism::Plain],
            implementation: String::new(),
            expire: Expire::Never,
            expire_varies: false,
            login_delay: 0,
            language: Language::English,
        }
    }
}

/// What the session tells its application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A client is there.
    Connected,
    /// A login needs a decision.
    Auth(Ask),
    /// The client has logged in: open its maildrop.
    LoggedIn(Identity),
    /// The content of a message is wanted (RETR, TOP).
    Retrieve {
        /// Index of the message in what was given to [`Server::open`], from 0.
        index: usize,
        /// Whether only header and some lines are wanted: stop when
        /// [`Server::body`] says so.
        top: bool,
    },
    /// QUIT: delete these messages, by index, then say how it went.
    Quit {
        /// Indexes of the messages marked as deleted, ascending.
        deleted: Vec<usize>,
        /// Those of the others that were fetched as a whole, ascending.
        fetched: Vec<usize>,
    },
}

/// A message of the maildrop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Size in bytes.
    pub size: u64,
    /// Unique id: 1 to 70 characters from `!` to `~` (RFC 1939 §7).
    pub uid: String,
}

/// Why a request of the client failed, as far as it may know (RFC 2449 §8, RFC 3206).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Another session has the maildrop: `[IN-USE]`.
    InUse,
    /// It may work later: `[SYS/TEMP]`.
    Temporary,
    /// It will not work until somebody mends it: `[SYS/PERM]`.
    Permanent,
    /// The last login was only a moment ago: `[LOGIN-DELAY]`.
    LoginDelay,
}

/// A POP3 session.
#[derive(Debug)]
pub struct Server {
    config: Arc<Config>,
    seed: [u8; 32],
    logins: u64,
    input: Framer,
    eof: bool,
    out: VecDeque<Bytes>,
    line: BytesMut,
    events: VecDeque<Event>,
    upgrade: bool,
    close: Option<Close>,
    phase: Phase,
    tls: Option<TlsInfo>,
    user: Option<String>,
    maildrop: Vec<Message>,
    deleted: Vec<bool>,
    fetched: Vec<bool>,
    /// The message that is being sent as a whole.
    sending: Option<usize>,
    expire: Expire,
    utf8: bool,
    language: Language,
    errors: u32,
    auth_failures: u32,
    started: Option<Instant>,
    deadline: Option<Instant>,
    rearm: bool,
}

#[derive(Debug)]
enum Phase {
    /// A TLS handshake runs; whether the greeting was said before it.
    Handshake {
        greeted: bool,
    },
    New,
    Greet,
    /// Before login.
    Authorization,
    /// An authentication runs (AUTH, or PASS); whether the application is to answer.
    Sasl {
        exchange: Box<sasl::Server>,
        asked: bool,
    },
    /// The maildrop is being opened.
    Opening,
    /// After login.
    Transaction,
    /// LIST or UIDL of all is being said, as far as there is room for it.
    Listing {
        show: fn(&Message) -> String,
        next: usize,
    },
    /// A message is being sent; its writer once it has begun.
    Sending(Option<Writer>, Option<u64>),
    /// Deletions are being done.
    Update,
    Closed,
}

impl Server {
    /// A session at its beginning. `seed` must be fresh, unpredictable bytes
    /// for each session: SCRAM's nonces are made of it.
    pub fn new(config: impl Into<Arc<Config>>, seed: [u8; 32]) -> Server {
        let config = config.into();
        Server {
            phase: match config.implicit_tls {
                true => Phase::Handshake { greeted: false },
                false => Phase::New,
            },
            config,
            seed,
            logins: 0,
            input: Framer::new(),
            eof: false,
            out: VecDeque::new(),
            line: BytesMut::new(),
            events: VecDeque::new(),
            upgrade: false,
            close: None,
            tls: None,
            user: None,
            maildrop: Vec::new(),
            deleted: Vec::new(),
            fetched: Vec::new(),
            sending: None,
            expire: Expire::Never,
            utf8: false,
            language: Language::English,
            errors: 0,
            auth_failures: 0,
            started: None,
            deadline: None,
            rearm: true,
        }
    }

    /// The answer to [`Event::Connected`]: the greeting. It has no timestamp,
    /// because APOP is not offered.
    ///
    /// # Errors
    /// [`Misuse`] when no client awaits it.
    pub fn greet(&mut self) -> Result<(), Misuse> {
        match self.phase {
            Phase::Greet => {
                let greeting = format!("+OK {} POP3 server ready", self.config.hostname);
                self.say(&greeting);
                self.phase = Phase::Authorization;
                Ok(())
            }
            Phase::Closed => Ok(()),
            _ => Err(Misuse("no client awaits a greeting")),
        }
    }

    /// The answer to [`Event::LoggedIn`]: the maildrop's messages, and how long
    /// they may stay there.
    ///
    /// # Errors
    /// [`Misuse`] when no login awaits it.
    pub fn open(&mut self, messages: Vec<Message>, expire: Expire) -> Result<(), Misuse> {
        match self.phase {
            Phase::Opening => {
                self.deleted = vec![false; messages.len()];
                self.fetched = vec![false; messages.len()];
                self.maildrop = messages;
                self.expire = expire;
                self.ok_with(Text::Messages, self.maildrop.len() as u64);
                self.phase = Phase::Transaction;
                self.rearm = true;
                Ok(())
            }
            Phase::Closed => Ok(()),
            _ => Err(Misuse("no maildrop is to be opened")),
        }
    }

    /// Refuses the client ([`Event::Connected`]: and closes) or its maildrop
    /// ([`Event::LoggedIn`]: it may log in again).
    ///
    /// # Errors
    /// [`Misuse`] when nothing awaits it.
    pub fn refuse(&mut self, failure: Failure, text: Text) -> Result<(), Misuse> {
        match self.phase {
            Phase::Greet => {
                self.say_error(failure, text);
                self.end(Close::Finish);
                Ok(())
            }
            Phase::Opening => {
                self.say_error(failure, text);
                self.phase = Phase::Authorization;
                Ok(())
            }
            Phase::Closed => Ok(()),
            _ => Err(Misuse("nothing is to be refused")),
        }
    }

    /// Begins the message that [`Event::Retrieve`] asked for.
    ///
    /// # Errors
    /// [`Misuse`] when none was asked for.
    pub fn begin(&mut self, size: u64) -> Result<(), Misuse> {
        match &mut self.phase {
            Phase::Sending(writer @ None, lines) => {
                let whole = lines.is_none();
                let new = Writer::new(*lines);
                *writer = Some(if self.utf8 { new } else { new.for_ascii() });
                // The size is of the message, not of what TOP leaves of it.
                match whole {
                    true => self.ok_with(Text::Octets, size),
                    false => self.ok(Text::Top),
                }
                Ok(())
            }
            Phase::Closed => Ok(()),
            _ => Err(Misuse("no message was asked for")),
        }
    }

    /// The next piece of the message. `false` when no more of it is wanted
    /// (TOP).
    ///
    /// # Errors
    /// [`Misuse`] when no message was begun.
    pub fn body(&mut self, bytes: &Bytes) -> Result<bool, Misuse> {
        match &mut self.phase {
            Phase::Sending(Some(writer), _) => {
                let pieces = writer.piece(bytes);
                let more = !writer.is_done();
                self.flush_line();
                self.out.extend(pieces);
                Ok(more)
            }
            Phase::Closed => Ok(false),
            _ => Err(Misuse("no message was begun")),
        }
    }

    /// Ends the message.
    ///
    /// # Errors
    /// [`Misuse`] when no message was begun.
    pub fn end_message(&mut self) -> Result<(), Misuse> {
        match std::mem::replace(&mut self.phase, Phase::Transaction) {
            Phase::Sending(Some(writer), _) => {
                self.flush_line();
                self.out.extend(writer.end());
                if let Some(mark) = self.sending.take().and_then(|at| self.fetched.get_mut(at)) {
                    *mark = true;
                }
                self.rearm = true;
                Ok(())
            }
            Phase::Closed => {
                self.phase = Phase::Closed;
                Ok(())
            }
            other => {
                self.phase = other;
                Err(Misuse("no message was begun"))
            }
        }
    }

    /// The message that was asked for cannot be had. Once it was begun the
    /// connection is closed, since there is no other way to say so.
    ///
    /// # Errors
    /// [`Misuse`] when none was asked for.
    pub fn fail(&mut self, failure: Failure, text: Text) -> Result<(), Misuse> {
        match &self.phase {
            Phase::Sending(None, _) => {
                self.say_error(failure, text);
                self.phase = Phase::Transaction;
                self.rearm = true;
                Ok(())
            }
            Phase::Sending(Some(_), _) => {
                self.end(Close::Finish);
                Ok(())
            }
            Phase::Closed => Ok(()),
            _ => Err(Misuse("no message was asked for")),
        }
    }

    /// The answer to [`Event::Quit`]: whether the deletions are done.
    ///
    /// # Errors
    /// [`Misuse`] when QUIT was not said.
    pub fn finish(&mut self, done: Result<(), Text>) -> Result<(), Misuse> {
        match self.phase {
            Phase::Update => {
                match done {
                    Ok(()) => self.ok(Text::Goodbye),
                    // RFC 1939 §6: some messages were not removed.
                    Err(text) => self.say_error(Failure::Temporary, text),
                }
                self.end(Close::Finish);
                Ok(())
            }
            Phase::Closed => Ok(()),
            _ => Err(Misuse("QUIT was not said")),
        }
    }

    /// Ends the session: the server stops. Nothing is deleted.
    pub fn shut_down(&mut self) {
        if self.close.is_none() {
            if !matches!(
                self.phase,
                Phase::Sending(Some(_), _) | Phase::Listing { .. }
            ) {
                self.say_error(Failure::Temporary, Text::ShuttingDown);
            }
            self.end(Close::Finish);
        }
    }

    /// Bytes made and not yet taken.
    pub fn pending_output(&self) -> usize {
        self.out.iter().map(Bytes::len).sum::<usize>() + self.line.len()
    }

    /// Whether the client can be sent away without harm.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Authorization | Phase::Transaction) && self.input.is_empty()
    }

    fn say(&mut self, text: &str) {
        // A control character would be taken for another line. What is said is ASCII until the
        // client has chosen another language (RFC 6856 §3.2).
        for c in text.chars() {
            let mut buffer = [0; 4];
            let c = if c.is_control() { '?' } else { c };
            self.line
                .extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
        }
        self.line.extend_from_slice(b"\r\n");
    }

    fn ok(&mut self, text: Text) {
        let text = format!("+OK {}", text.in_language(self.language));
        self.say(&text);
    }

    fn ok_with(&mut self, text: Text, number: u64) {
        let text = text.in_language(self.language);
        let text = format!("+OK {}", text.replace('%', &number.to_string()));
        self.say(&text);
    }

    fn error(&mut self, text: Text) {
        let text = format!("-ERR {}", text.in_language(self.language));
        self.say(&text);
    }

    fn say_error(&mut self, failure: Failure, text: Text) {
        let code = match failure {
            Failure::InUse => "IN-USE",
            Failure::Temporary => "SYS/TEMP",
            Failure::Permanent => "SYS/PERM",
            Failure::LoginDelay => "LOGIN-DELAY",
        };
        let text = format!("-ERR [{code}] {}", text.in_language(self.language));
        self.say(&text);
    }

    fn flush_line(&mut self) {
        if !self.line.is_empty() {
            self.out.push_back(self.line.split().freeze());
        }
    }

    /// A fault of the client. Too many of them end the session.
    fn complain(&mut self, text: Text) {
        self.error(text);
        self.count_error();
    }

    fn count_error(&mut self) {
        self.errors += 1;
        if self.errors >= self.config.limits.errors {
            self.error(Text::TooManyErrors);
            self.end(Close::Violate(Violation::TooManyErrors));
        }
    }

    fn end(&mut self, close: Close) {
        self.flush_line();
        self.phase = Phase::Closed;
        self.events.clear();
        self.input.clear();
        self.close = Some(close);
    }

    fn is_waiting_for_application(&self) -> bool {
        matches!(
            self.phase,
            Phase::Greet
                | Phase::Sasl { asked: true, .. }
                | Phase::Opening
                | Phase::Sending(..)
                | Phase::Update
        )
    }

    /// Whether the deadline of the last wait has passed.
    fn is_due(&self, now: Instant) -> bool {
        !self.is_waiting_for_application() && self.deadline.is_some_and(|deadline| now >= deadline)
    }

    fn set_deadline(&mut self, now: Instant) {
        let started = *self.started.get_or_insert(now);
        if std::mem::take(&mut self.rearm) {
            let limits = &self.config.limits;
            self.deadline = match self.phase {
                Phase::Transaction | Phase::Listing { .. } | Phase::Sending(..) | Phase::Update => {
                    now.checked_add(limits.idle_timeout)
                }
                // However busy it looks: a login takes no longer.
                _ => started.checked_add(limits.login_timeout),
            };
        }
    }
}

impl Session for Server {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, input: Input) {
        self.started.get_or_insert(now);
        if self.close.is_some() {
            return;
        }
        match input {
            // CVE-2011-0411: what came before the handshake did not come inside TLS.
            Input::Bytes(bytes) if matches!(self.phase, Phase::Handshake { .. }) => {
                if !bytes.is_empty() {
                    self.end(Close::Violate(Violation::PlaintextAfterStartTls));
                }
            }
            Input::Bytes(bytes) => self.input.push(bytes),
            Input::Eof => self.eof = true,
            Input::Timeout if !self.is_due(now) => {}
            Input::Timeout => {
                if !matches!(
                    self.phase,
                    Phase::Handshake { .. } | Phase::Sending(Some(_), _) | Phase::Listing { .. }
                ) {
                    // RFC 1939 §3: closed without deleting anything.
                    self.say_error(Failure::Temporary, Text::TimedOut);
                }
                self.end(Close::TimedOut);
            }
            Input::Upgraded(info) => {
                // Only a handshake that was due changes what bytes mean.
                self.phase = match self.phase {
                    Phase::Handshake { greeted: true } => Phase::Authorization,
                    Phase::Handshake { greeted: false } | Phase::New => Phase::New,
                    _ => return,
                };
                self.input.clear();
                self.tls = Some(info);
                self.rearm = true;
            }
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<Event> {
        loop {
            if let Some(bytes) = self.out.pop_front() {
                return Output::Transmit(bytes);
            }
            if self.line.len() >= FLUSH {
                self.flush_line();
                continue;
            }
            if let Some(event) = self.events.pop_front() {
                return Output::Event(event);
            }
            if !self.line.is_empty()
                && (self.upgrade || self.close.is_some() || self.is_waiting_for_application())
            {
                self.flush_line();
                continue;
            }
            if let Some(close) = self.close {
                return Output::Close(close);
            }
            if std::mem::take(&mut self.upgrade) {
                return Output::Upgrade(Upgrade::Tls);
            }
            if matches!(self.phase, Phase::New) {
                self.phase = Phase::Greet;
                return Output::Event(Event::Connected);
            }
            if let Phase::Listing { show, next } = self.phase {
                self.list_on(show, next);
                continue;
            }
            if self.read() {
                continue;
            }
            if !self.line.is_empty() {
                self.flush_line();
                continue;
            }
            if self.eof && !self.is_waiting_for_application() {
                self.end(Close::PeerGone);
                continue;
            }
            self.set_deadline(now);
            let waiting = self.is_waiting_for_application();
            return Output::Wait(Wait {
                read: !waiting,
                deadline: if waiting { None } else { self.deadline },
            });
        }
    }

    fn faults(&self) -> u32 {
        self.errors
    }
}

#[cfg(test)]
mod tests;
