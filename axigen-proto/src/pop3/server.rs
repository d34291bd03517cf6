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

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::body::Writer;
use super::command::Command;
use super::parse;
use crate::frame::{Framer, Line};
use crate::limits::Pop3Limits;
use crate::sasl::{self, Answer, Ask, Identity, Mechanism, Refusal, Step};
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
    /// An authentication runs; whether the application is to answer.
    Sasl {
        exchange: Box<sasl::Server>,
        asked: bool,
    },
    /// PASS awaits its answer.
    Password {
        user: String,
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

    /// The answer to [`Event::Auth`].
    ///
    /// # Errors
    /// [`Misuse`] when no login awaits one.
    pub fn answer(&mut self, answer: Answer) -> Result<(), Misuse> {
        match std::mem::replace(&mut self.phase, Phase::Authorization) {
            Phase::Password { user } => match answer {
                Answer::Accept => self.logged_in(Identity {
                    authcid: user.clone(),
                    authzid: user,
                }),
                Answer::Refuse(refusal) => self.refuse_login(refusal),
                Answer::Keys(_) => {
                    self.phase = Phase::Password { user };
                    return Err(Misuse("a password is to be judged"));
                }
            },
            Phase::Sasl {
                mut exchange,
                asked: true,
            } => {
                let step = exchange.answer(answer);
                self.sasl_step(exchange, step);
            }
            Phase::Closed => self.phase = Phase::Closed,
            other => {
                self.phase = other;
                return Err(Misuse("no login awaits an answer"));
            }
        }
        Ok(())
    }

    /// The answer to [`Event::LoggedIn`]: the maildrop's messages.
    ///
    /// # Errors
    /// [`Misuse`] when no login awaits it.
    pub fn open(&mut self, messages: Vec<Message>) -> Result<(), Misuse> {
        match self.phase {
            Phase::Opening => {
                self.deleted = vec![false; messages.len()];
                self.maildrop = messages;
                let text = format!("+OK {} messages", self.maildrop.len());
                self.say(&text);
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
    pub fn refuse(&mut self, failure: Failure, text: &str) -> Result<(), Misuse> {
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
                // The size is of the message, not of what TOP leaves of it.
                let text = match lines {
                    None => format!("+OK {size} octets"),
                    Some(_) => "+OK top of the message follows".into(),
                };
                *writer = Some(Writer::new(*lines));
                self.say(&text);
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
                self.out.push_back(writer.end());
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
    pub fn fail(&mut self, failure: Failure, text: &str) -> Result<(), Misuse> {
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
    pub fn finish(&mut self, done: Result<(), &str>) -> Result<(), Misuse> {
        match self.phase {
            Phase::Update => {
                match done {
                    Ok(()) => self.say("+OK goodbye"),
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
                self.say_error(Failure::Temporary, "the server is shutting down");
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
        // What is not printable would be taken for another line.
        self.line.extend(
            text.bytes()
                .map(|b| if (b' '..0x7f).contains(&b) { b } else { b'?' }),
        );
        self.line.extend_from_slice(b"\r\n");
    }

    fn say_error(&mut self, failure: Failure, text: &str) {
        let code = match failure {
            Failure::InUse => "IN-USE",
            Failure::Temporary => "SYS/TEMP",
            Failure::Permanent => "SYS/PERM",
        };
        let text = format!("-ERR [{code}] {text}");
        self.say(&text);
    }

    fn flush_line(&mut self) {
        if !self.line.is_empty() {
            self.out.push_back(self.line.split().freeze());
        }
    }

    /// A fault of the client. Too many of them end the session.
    fn complain(&mut self, text: &str) {
        let text = format!("-ERR {text}");
        self.say(&text);
        self.errors += 1;
        if self.errors >= self.config.limits.errors {
            self.say("-ERR too many errors");
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

    fn may_send_password(&self) -> bool {
        self.tls.is_some() || self.config.allow_plaintext_login
    }

    /// Reads one line. `false` when there is nothing to do.
    fn read(&mut self) -> bool {
        let in_sasl = match &self.phase {
            Phase::Authorization | Phase::Transaction => false,
            Phase::Sasl { asked: false, .. } => true,
            _ => return false,
        };
        let limits = &self.config.limits;
        let limit = if in_sasl {
            limits.auth_line
        } else {
            limits.command_line.max(limits.auth_line)
        };
        let Some(line) = self.input.line(limit) else {
            return false;
        };
        self.rearm = true;
        let line = match line {
            Line::Complete(line) => line,
            Line::BareLf(_) => {
                self.phase_after_fault();
                self.complain("a line has to end with CRLF, not with LF alone");
                return true;
            }
            Line::TooLong => {
                self.phase_after_fault();
                self.complain("the line is too long");
                return true;
            }
        };
        if in_sasl {
            self.sasl_line(&line);
            return true;
        }
        // RFC 2449 §4: only AUTH may be longer than the others.
        let is_auth = line
            .get(..4)
            .is_some_and(|word| word.eq_ignore_ascii_case(b"AUTH"));
        if line.len() > self.config.limits.command_line && !is_auth {
            self.complain("the line is too long");
            return true;
        }
        match parse::command(&line) {
            Ok(command) => self.command(command),
            Err(error) => self.complain(&error.to_string()),
        }
        true
    }

    fn phase_after_fault(&mut self) {
        if matches!(self.phase, Phase::Sasl { .. }) {
            self.phase = Phase::Authorization;
        }
    }

    fn command(&mut self, command: Command) {
        let logged_in = matches!(self.phase, Phase::Transaction);
        match command {
            Command::Capa => self.capa(logged_in),
            Command::Quit if logged_in => {
                let deleted = self
                    .deleted
                    .iter()
                    .enumerate()
                    .filter(|(_, d)| **d)
                    .map(|(at, _)| at)
                    .collect();
                self.phase = Phase::Update;
                self.events.push_back(Event::Quit { deleted });
            }
            Command::Quit => {
                self.say("+OK goodbye");
                self.end(Close::Finish);
            }
            Command::User(_)
            | Command::Pass(_)
            | Command::Auth { .. }
            | Command::Apop
            | Command::Stls
                if logged_in =>
            {
                self.complain("you are logged in already");
            }
            Command::User(name) if self.may_send_password() => {
                self.user = Some(name);
                // Whether the name exists is not told.
                self.say("+OK now the password");
            }
            Command::User(_) | Command::Pass(_) if !self.may_send_password() => {
                self.complain("start TLS first (STLS)");
            }
            Command::User(_) => {}
            Command::Pass(password) => self.pass(password.0),
            Command::Auth {
                mechanism: None, ..
            } => self.list_mechanisms(),
            Command::Auth {
                mechanism: Some(name),
                initial,
            } => {
                let initial = initial
                    .map(|initial| sasl::decode_line(initial.0.as_bytes()).map(Zeroizing::new));
                match initial.transpose() {
                    Ok(initial) => {
                        self.authenticate(&name, initial.as_ref().map(|bytes| bytes.as_slice()))
                    }
                    Err(_) => self.complain("that is not valid base64"),
                }
            }
            Command::Apop => self
                .complain("APOP is not offered: it needs the password in the clear on the server"),
            Command::Stls => self.stls(),
            _ if !logged_in => self.complain("log in first"),
            Command::Noop => self.say("+OK"),
            Command::Rset => {
                self.deleted.fill(false);
                self.say("+OK");
            }
            Command::Stat => {
                let (count, size) = self.total();
                let text = format!("+OK {count} {size}");
                self.say(&text);
            }
            Command::List(number) => self.listing(number, |message| message.size.to_string()),
            Command::Uidl(number) => self.listing(number, |message| message.uid.clone()),
            Command::Retr(number) => self.retrieve(number, None),
            Command::Top(number, lines) => self.retrieve(number, Some(lines)),
            Command::Dele(number) => {
                if let Some(index) = self.find(number) {
                    if let Some(mark) = self.deleted.get_mut(index) {
                        *mark = true;
                    }
                    self.say("+OK marked");
                }
            }
        }
    }

    /// [RFC 2449 §5](https://www.rfc-editor.org/rfc/rfc2449#section-5)
    fn capa(&mut self, logged_in: bool) {
        let mut lines = vec![
            "+OK capabilities".to_owned(),
            "TOP".into(),
            "UIDL".into(),
            "RESP-CODES".into(),
            "AUTH-RESP-CODE".into(),
            "PIPELINING".into(),
        ];
        // RFC 2449 §6.2, §6.3: the same before and after login.
        if self.may_send_password() {
            lines.push("USER".into());
        }
        let mechanisms = self.offered();
        if !mechanisms.is_empty() {
            lines.push(format!("SASL {}", mechanisms.join(" ")));
        }
        // RFC 2595 §4: before login only.
        if !logged_in && self.config.stls && self.tls.is_none() {
            lines.push("STLS".into());
        }
        // RFC 2449 §6.7, §6.9: mail is kept until the client deletes it.
        lines.push("EXPIRE NEVER".into());
        if !self.config.implementation.is_empty() {
            lines.push(format!("IMPLEMENTATION {}", self.config.implementation));
        }
        for line in lines {
            self.say(&line);
        }
        self.say(".");
    }

    fn offered(&self) -> Vec<&'static str> {
        let offered =
            |mechanism: &&Mechanism| !mechanism.is_plaintext() || self.may_send_password();
        self.config
            .mechanisms
            .iter()
            .filter(offered)
            .map(|mechanism| mechanism.name())
            .collect()
    }

    /// [RFC 5034 §4](https://www.rfc-editor.org/rfc/rfc5034#section-4): AUTH alone, as RFC 1734's clients use it.
    fn list_mechanisms(&mut self) {
        self.say("+OK mechanisms");
        for mechanism in self.offered() {
            self.say(mechanism);
        }
        self.say(".");
    }

    fn stls(&mut self) {
        if !self.config.stls || self.tls.is_some() {
            return self.complain("STLS is not available");
        }
        // CVE-2011-0411: whatever came behind STLS came without TLS.
        if !self.input.is_empty() {
            self.say("-ERR nothing may be sent behind STLS before the handshake");
            return self.end(Close::Violate(Violation::PlaintextAfterStartTls));
        }
        self.say("+OK start TLS now");
        self.user = None;
        self.phase = Phase::Handshake { greeted: true };
        self.upgrade = true;
    }

    fn pass(&mut self, password: Zeroizing<String>) {
        let Some(user) = self.user.take() else {
            return self.complain("say USER first");
        };
        // The rules of the mechanisms hold here too.
        match sasl::password_ask(b"", user.as_bytes(), password.as_bytes()) {
            Ok(ask) => {
                self.events.push_back(Event::Auth(ask));
                self.phase = Phase::Password { user };
            }
            Err(why) => self.complain(why),
        }
    }

    fn authenticate(&mut self, name: &str, initial: Option<&[u8]>) {
        let known =
            Mechanism::from_name(name).filter(|known| self.config.mechanisms.contains(known));
        let Some(mechanism) = known else {
            return self.complain("this mechanism is not offered");
        };
        if mechanism.is_plaintext() && !self.may_send_password() {
            return self.complain("start TLS first (STLS)");
        }
        self.logins += 1;
        let nonce: [u8; 32] = Sha256::new()
            .chain_update(self.seed)
            .chain_update(self.logins.to_be_bytes())
            .finalize()
            .into();
        let mut exchange = Box::new(sasl::Server::new(mechanism, &nonce));
        let step = exchange.step(initial);
        self.sasl_step(exchange, step);
    }

    fn sasl_line(&mut self, line: &[u8]) {
        let Phase::Sasl { mut exchange, .. } =
            std::mem::replace(&mut self.phase, Phase::Authorization)
        else {
            return;
        };
        if line == b"*" {
            return self.complain("the authentication was cancelled");
        }
        match sasl::decode_line(line) {
            Ok(response) => {
                let response = Zeroizing::new(response);
                let step = exchange.step(Some(&response));
                self.sasl_step(exchange, step);
            }
            Err(_) => self.complain("that is not valid base64"),
        }
    }

    fn sasl_step(&mut self, exchange: Box<sasl::Server>, step: Step) {
        match step {
            Step::Challenge(challenge) => {
                let text = format!("+ {}", sasl::encode_line(&challenge));
                self.say(&text);
                self.phase = Phase::Sasl {
                    exchange,
                    asked: false,
                };
            }
            Step::Ask(ask) => {
                self.events.push_back(Event::Auth(ask));
                self.phase = Phase::Sasl {
                    exchange,
                    asked: true,
                };
            }
            Step::Accept(identity) => self.logged_in(identity),
            Step::Refuse(refusal) => self.refuse_login(refusal),
            Step::Malformed(why) => self.complain(why),
        }
    }

    fn logged_in(&mut self, identity: Identity) {
        self.phase = Phase::Opening;
        self.events.push_back(Event::LoggedIn(identity));
    }

    fn refuse_login(&mut self, refusal: Refusal) {
        self.phase = Phase::Authorization;
        self.rearm = true;
        // RFC 3206 §6 and RFC 2449 §8.1.
        self.say(match refusal {
            Refusal::BadCredentials => "-ERR [AUTH] user or password is wrong",
            Refusal::NotAuthorized => "-ERR [AUTH] this login is not allowed here",
            Refusal::Disabled => "-ERR [AUTH] the account is disabled",
            Refusal::TooMany => "-ERR [SYS/TEMP] too many logins, try again later",
            Refusal::Unavailable => "-ERR [SYS/TEMP] logins cannot be checked now",
        });
        self.auth_failures += 1;
        if self.auth_failures >= self.config.limits.auth_failures {
            self.end(Close::Violate(Violation::TooManyAuthFailures));
        }
    }

    /// Messages and bytes that are not marked.
    fn total(&self) -> (usize, u64) {
        let left = self
            .maildrop
            .iter()
            .zip(&self.deleted)
            .filter(|(_, deleted)| !**deleted);
        left.fold((0, 0), |(count, size), (message, _)| {
            (count + 1, size + message.size)
        })
    }

    /// A message that exists and is not marked; complains otherwise.
    fn find(&mut self, number: u32) -> Option<usize> {
        let index = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
        match index.and_then(|index| self.deleted.get(index).map(|deleted| (index, *deleted))) {
            Some((index, false)) => Some(index),
            Some((_, true)) => {
                self.complain("the message is marked as deleted");
                None
            }
            None => {
                self.complain("there is no such message");
                None
            }
        }
    }

    fn listing(&mut self, number: Option<u32>, show: fn(&Message) -> String) {
        if let Some(number) = number {
            if let Some(index) = self.find(number)
                && let Some(message) = self.maildrop.get(index)
            {
                let text = format!("+OK {number} {}", show(message));
                self.say(&text);
            }
            return;
        }
        self.say("+OK");
        self.phase = Phase::Listing { show, next: 0 };
    }

    /// Goes on with a listing until there is enough to send: the list of a
    /// maildrop of a million messages is never in memory as a whole.
    fn list_on(&mut self, show: fn(&Message) -> String, from: usize) {
        for index in from..self.maildrop.len() {
            if self.line.len() >= FLUSH {
                self.phase = Phase::Listing { show, next: index };
                return;
            }
            if let (Some(message), Some(false)) =
                (self.maildrop.get(index), self.deleted.get(index))
            {
                let text = format!("{} {}", index + 1, show(message));
                self.say(&text);
            }
        }
        self.say(".");
        self.phase = Phase::Transaction;
    }

    fn retrieve(&mut self, number: u32, lines: Option<u64>) {
        if let Some(index) = self.find(number) {
            self.phase = Phase::Sending(None, lines);
            self.events.push_back(Event::Retrieve {
                index,
                top: lines.is_some(),
            });
        }
    }

    fn is_waiting_for_application(&self) -> bool {
        matches!(
            self.phase,
            Phase::Greet
                | Phase::Sasl { asked: true, .. }
                | Phase::Password { .. }
                | Phase::Opening
                | Phase::Sending(..)
                | Phase::Update
        )
    }

    fn set_deadline(&mut self, now: Instant) {
        let started = *self.started.get_or_insert(now);
        if std::mem::take(&mut self.rearm) {
            self.deadline = Some(match self.phase {
                Phase::Transaction | Phase::Listing { .. } | Phase::Sending(..) | Phase::Update => {
                    now + self.config.limits.idle_timeout
                }
                // However busy it looks: a login takes no longer.
                _ => started + self.config.limits.login_timeout,
            });
        }
    }
}

impl Session for Server {
    type Event = Event;

    fn handle_input(&mut self, _now: Instant, input: Input) {
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
            Input::Timeout => {
                if !matches!(
                    self.phase,
                    Phase::Handshake { .. } | Phase::Sending(Some(_), _) | Phase::Listing { .. }
                ) {
                    // RFC 1939 §3: closed without deleting anything.
                    self.say("-ERR [SYS/TEMP] timed out while waiting for you");
                }
                self.end(Close::TimedOut);
            }
            Input::Upgraded(info) => {
                self.tls = Some(info);
                if let Phase::Handshake { greeted } = self.phase {
                    self.phase = if greeted {
                        Phase::Authorization
                    } else {
                        Phase::New
                    };
                    self.rearm = true;
                }
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
}

#[cfg(test)]
mod tests;
