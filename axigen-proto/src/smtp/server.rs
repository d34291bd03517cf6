//! The server session: MX, message submission and LMTP.
//!
//! The session reads commands, refuses by itself whatever is wrong in syntax,
//! sequence or size, and asks the application about the rest with an
//! [`Event`]. Events that await a decision are answered with
//! [`Server::reply`]: the reply's code *is* the decision, 2xx for yes, 4xx and
//! 5xx for no, 421 for no and goodbye. [`Event::Auth`] is answered with
//! [`Server::answer`]. Until then the session asks for no more input.
//!
//! | event | awaits | what a 2xx does |
//! |---|---|---|
//! | `Connected` | `reply` | sends the greeting of the configuration |
//! | `Hello` | `reply` | sends name and extensions |
//! | `Auth` | `answer` | |
//! | `Mail`, `Rcpt` | `reply` | sends that reply |
//! | `Vrfy`, `Expn`, `Etrn` | `reply` | sends that reply |
//! | `Data` | `reply` | asks for the message (354), or takes the BDAT chunk |
//! | `Body` | nothing | |
//! | `EndOfMessage` | `reply`; in LMTP once for each accepted recipient | sends that reply |
//! | `Reset` | nothing | |
//!
//! A session that is refused with 554 on `Connected` answers 503 to everything
//! but QUIT (RFC 5321 §3.1).

mod auth;
mod commands;
mod transfer;

use std::collections::{HashSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::address::Domain;
use super::command::{Hello, HelloVerb, Mail, Rcpt};
use super::encode;
use super::etrn::Node;
use super::future_release::FutureRelease;
use super::priority::PriorityPolicy;
use super::reply::Reply;
use super::solicit::{MAX_KEYWORDS, Solicitation};
use super::standard::{self, Standard};
use crate::frame::{Framer, Line};
use crate::limits::SmtpLimits;
use crate::sasl::{self, Ask, Identity, Mechanism};
use crate::session::{Close, Input, Misuse, Output, Session, TlsInfo, Upgrade, Violation, Wait};

use transfer::{Chunk, Transaction};

/// Replies are collected up to this size before they are sent, when the peer
/// pipelines commands that need no decision.
const FLUSH: usize = 4096;

/// What kind of server this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes mail from other servers (RFC 5321).
    Mx,
    /// Takes mail from its users (RFC 6409).
    Submission,
    /// Takes mail for delivery, with a reply for each recipient (RFC 2033).
    Lmtp,
}

/// Whether STARTTLS is there, and whether it is a must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StartTls {
    /// Not offered.
    Unavailable,
    /// Offered.
    Offered,
    /// Offered, and nothing but EHLO, NOOP, STARTTLS and QUIT is allowed
    /// before it (RFC 3207 §4).
    Required,
}

/// What to do with a message that holds what it should not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyPolicy {
    /// Swallow it to its end and refuse it with `550 5.6.11`.
    Refuse,
    /// Hand it out as it is. It never ends a message early.
    Keep,
}

/// What happens to VRFY and EXPN, which tell strangers who has mail here
/// (RFC 5321 §7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lookups {
    /// They are answered 252, which says nothing.
    Evade,
    /// They are answered 502.
    Refuse,
    /// They become [`Event::Vrfy`] and [`Event::Expn`], where a login is
    /// required after it only. EXPN is offered in the answer to EHLO.
    Ask,
}

/// Which extensions are offered. What is not is not taken either: a parameter
/// of it is answered `555`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extensions {
    /// PIPELINING (RFC 2920). When off it is not announced; commands that come
    /// together are still answered one after the other.
    pub pipelining: bool,
    /// SIZE (RFC 1870). The limit holds in any case.
    pub size: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// BINARYMIME (RFC 3030); needs `chunking`.
    pub binarymime: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// DSN (RFC 3461): MAIL has `RET=` and `ENVID=`, RCPT has `NOTIFY=` and
    /// `ORCPT=`. The application must send the notices they ask for, or hand
    /// them on.
    pub dsn: bool,
    /// DELIVERBY (RFC 2852): MAIL has `BY=`. The number is the shortest time, in
    /// seconds, in which the service can say that a message is to be returned;
    /// 0 announces none. The application must return or report what is late.
    pub deliver_by: Option<u32>,
    /// FUTURERELEASE (RFC 4865): MAIL has `HOLDFOR=` and `HOLDUNTIL=`, within
    /// these limits. Only submission may offer it (§4.2), so in another role it
    /// has no effect. The application must hold the messages, and must itself
    /// compare `HOLDUNTIL=` with `BY=` ([`standard::HELD_BEYOND_BY`]).
    pub future_release: Option<FutureRelease>,
    /// MT-PRIORITY (RFC 6710): MAIL has `MT-PRIORITY=`. `Some(None)` does not
    /// tell the policy. The application decides whose priority counts.
    pub mt_priority: Option<Option<PriorityPolicy>>,
    /// REQUIRETLS (RFC 8689): MAIL has `REQUIRETLS`. It is offered and taken
    /// inside TLS only. The application must hand such a message on inside
    /// verified TLS, to a server that offers it too, or return it.
    pub requiretls: bool,
    /// LIMITS (RFC 9422): announces `recipients`, `transactions` and
    /// `recipient_domains` of [`SmtpLimits`], which hold in any case.
    pub limits: bool,
    /// NO-SOLICITING (RFC 3865): MAIL has `SOLICIT=`. A message of a class that
    /// is named here is refused; `Some(None)` names none. What each recipient
    /// does not want is the application's business, and so is the field
    /// `Solicitation:` of the message.
    pub no_soliciting: Option<Option<Solicitation>>,
    /// ETRN (RFC 1985): the command becomes [`Event::Etrn`]. When off it is
    /// answered 502.
    pub etrn: bool,
}

impl Default for Extensions {
    /// Those that need nothing of the application are on, the others off.
    fn default() -> Self {
        Self {
            pipelining: true,
            size: true,
            eight_bit_mime: true,
            smtputf8: true,
            chunking: true,
            binarymime: true,
            enhanced_status_codes: true,
            dsn: false,
            deliver_by: None,
            future_release: None,
            mt_priority: None,
            requiretls: false,
            limits: false,
            no_soliciting: None,
            etrn: false,
        }
    }
}

/// How a server session behaves. One value serves any number of sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What kind of server this is.
    pub role: Role,
    /// The name the server calls itself in greeting and EHLO.
    pub hostname: String,
    /// What the greeting says behind the name.
    pub greeting: String,
    /// Sizes, counts and times.
    pub limits: SmtpLimits,
    /// Whether STARTTLS is offered.
    pub starttls: StartTls,
    /// Whether TLS starts with the connection (port 465). The session waits
    /// for [`Input::Upgraded`] before it does anything.
    pub implicit_tls: bool,
    /// The mechanisms of AUTH that are allowed without TLS.
    pub auth_plaintext: Vec<Mechanism>,
    /// The mechanisms of AUTH that are allowed inside TLS.
    pub auth_tls: Vec<Mechanism>,
    /// Whether MAIL needs a login before it.
    pub auth_required: bool,
    /// Which extensions are on.
    pub extensions: Extensions,
    /// What happens to VRFY.
    pub vrfy: Lookups,
    /// What happens to EXPN.
    pub expn: Lookups,
    /// A CR or LF by itself inside a message (not with BODY=BINARYMIME).
    pub bare_line_ends: BodyPolicy,
    /// A NUL inside a message (not with BODY=BINARYMIME).
    pub nul: BodyPolicy,
}

impl Config {
    /// The usual behaviour of a role: everything on that needs no certificate
    /// and no directory. Submission requires a login, and allows it inside TLS
    /// only.
    pub fn new(role: Role, hostname: impl Into<String>) -> Self {
        let submission = role == Role::Submission;
        Self {
            role,
            hostname: hostname.into(),
            greeting: match role {
                Role::Lmtp => "LMTP ready".to_owned(),
                Role::Mx | Role::Submission => "ESMTP ready".to_owned(),
            },
            limits: SmtpLimits::default(),
            starttls: StartTls::Unavailable,
            implicit_tls: false,
            auth_plaintext: Vec::new(),
            auth_tls: if submission {
                Mechanism::PASSWORD.to_vec()
            } else {
                Vec::new()
            },
            auth_required: submission,
            extensions: Extensions::default(),
            vrfy: Lookups::Evade,
            expn: Lookups::Evade,
            bare_line_ends: BodyPolicy::Refuse,
            nul: BodyPolicy::Refuse,
        }
    }
}

/// What the session tells its application. The module's front page says which
/// events await an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A client is there.
    Connected,
    /// EHLO, HELO or LHLO.
    Hello(Hello),
    /// A login needs the application.
    Auth(Ask),
    /// MAIL: a transaction begins.
    Mail(Mail),
    /// RCPT: one more recipient.
    Rcpt(Rcpt),
    /// VRFY: is this a user, and by which name? 250 with the mailbox, 251 or
    /// 551 with where mail for it goes, 252, 550 or 553 (RFC 5321 §3.5.3).
    Vrfy(String),
    /// EXPN: who is on this list? 250 with a mailbox on each line, 252 or 550.
    Expn(String),
    /// ETRN: send what waits for this node, over another connection; 250 to
    /// 253, 458 or 459 (RFC 1985 §5).
    Etrn(Node),
    /// DATA or the first BDAT: the message is about to come, for at least one
    /// recipient.
    Data,
    /// A piece of the message, as it was before it was dot-stuffed.
    Body(Bytes),
    /// The message is complete. A 2xx takes responsibility for it (RFC 5321
    /// §6.1), so it may be given only when the message is safe.
    EndOfMessage,
    /// The transaction is gone without a message: RSET, another EHLO, or a
    /// message that the session refused.
    Reset,
}

/// An SMTP or LMTP server session.
#[derive(Debug)]
pub struct Server {
    config: Arc<Config>,
    nonce: [u8; 32],
    logins: u64,
    input: Framer,
    eof: bool,
    out: BytesMut,
    events: VecDeque<Event>,
    upgrade: bool,
    close: Option<Close>,
    phase: Phase,
    awaiting: Awaiting,
    deadline: Option<Instant>,
    rearm: bool,
    tls: Option<TlsInfo>,
    hello: Option<Hello>,
    identity: Option<Identity>,
    transaction: Option<Transaction>,
    /// MAIL so far.
    mails: u32,
    /// The domains of the recipients so far, as far as they are limited.
    domains: HashSet<Domain>,
    errors: u32,
    auth_failures: u32,
}

/// What the next bytes are.
#[derive(Debug)]
enum Phase {
    /// Nothing: a TLS handshake runs.
    Handshake,
    /// Nothing: the greeting comes first.
    Greet,
    /// A command.
    Command,
    /// A command, to be answered 503: the connection was refused.
    Refused,
    /// A response of the client in an AUTH exchange.
    Auth(Box<sasl::Server>),
    /// A dot-stuffed message.
    Data(Box<super::data::DotReader>),
    /// A chunk of known length.
    Chunk(Chunk),
}

/// Which decision of the application is outstanding.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Awaiting {
    Nothing,
    Connected,
    Hello(Hello),
    Auth,
    Mail(Box<Mail>),
    Rcpt,
    Lookup,
    Data,
    Chunk,
    EndOfMessage { left: usize },
}

impl Server {
    /// A session at its beginning. `nonce` must be fresh, unpredictable bytes
    /// for each session: SCRAM needs them, and this crate draws no random
    /// numbers.
    pub fn new(config: impl Into<Arc<Config>>, nonce: [u8; 32]) -> Self {
        let config = config.into();
        Self {
            phase: if config.implicit_tls {
                Phase::Handshake
            } else {
                Phase::Greet
            },
            config,
            nonce,
            logins: 0,
            input: Framer::new(),
            eof: false,
            out: BytesMut::new(),
            events: VecDeque::new(),
            upgrade: false,
            close: None,
            awaiting: Awaiting::Nothing,
            deadline: None,
            rearm: true,
            tls: None,
            hello: None,
            identity: None,
            transaction: None,
            mails: 0,
            domains: HashSet::new(),
            errors: 0,
            auth_failures: 0,
        }
    }

    /// The decision about the last event: 2xx for yes, 4xx or 5xx for no, 421
    /// for no and the end of the session. 354 is a yes to [`Event::Data`] too.
    ///
    /// # Errors
    /// [`Misuse`] when no event awaits a reply, or when the code is none of
    /// those; the event keeps waiting then.
    pub fn reply(&mut self, reply: Reply) -> Result<(), Misuse> {
        if matches!(self.awaiting, Awaiting::Nothing | Awaiting::Auth) {
            return Err(Misuse("no event awaits a reply"));
        }
        let data = matches!(self.awaiting, Awaiting::Data | Awaiting::Chunk);
        if !(200..600).contains(&reply.code) || (reply.is_intermediate() && !data) {
            return Err(Misuse("a decision has a code of class 2, 4 or 5"));
        }
        self.rearm = true;
        if reply.code == 421 {
            self.say(&reply);
            self.end(Close::Finish);
            return Ok(());
        }
        let yes = !reply.is_negative();
        match mem::replace(&mut self.awaiting, Awaiting::Nothing) {
            Awaiting::Nothing | Awaiting::Auth => {}
            Awaiting::Connected => self.connected(yes, &reply),
            Awaiting::Hello(hello) => self.hello_decided(hello, yes, &reply),
            Awaiting::Mail(mail) => {
                if yes {
                    self.transaction = Some(Transaction::new(&self.config, &mail));
                }
                self.say(&reply);
            }
            Awaiting::Rcpt => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.recipient(yes);
                }
                self.say(&reply);
            }
            Awaiting::Lookup => self.say(&reply),
            Awaiting::Data => self.data_decided(yes, &reply),
            Awaiting::Chunk => self.chunk_decided(yes, reply),
            Awaiting::EndOfMessage { left } => {
                self.say(&reply);
                if left > 1 {
                    self.awaiting = Awaiting::EndOfMessage { left: left - 1 };
                } else {
                    self.transaction = None;
                }
            }
        }
        Ok(())
    }

    /// The answer to [`Event::Auth`].
    ///
    /// # Errors
    /// [`Misuse`] when no login awaits an answer.
    pub fn answer(&mut self, answer: sasl::Answer) -> Result<(), Misuse> {
        let Phase::Auth(login) = &mut self.phase else {
            return Err(Misuse("no login is going on"));
        };
        if self.awaiting != Awaiting::Auth {
            return Err(Misuse("no login awaits an answer"));
        }
        self.awaiting = Awaiting::Nothing;
        self.rearm = true;
        let step = login.answer(answer);
        self.auth_step(step);
        Ok(())
    }

    /// Ends the session with this reply, whatever it is doing: for a server
    /// that shuts down ([`standard::SHUTTING_DOWN`]). What awaits a decision is
    /// forgotten.
    pub fn close(&mut self, reply: &Reply) {
        if self.close.is_none() {
            // During a handshake nothing can be said in the clear.
            if !matches!(self.phase, Phase::Handshake) {
                self.say(reply);
            }
            self.end(Close::Finish);
        }
    }

    /// Whether the client can be sent away without harm: it is between
    /// transactions and has sent nothing that is unanswered.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Command | Phase::Refused)
            && self.awaiting == Awaiting::Nothing
            && self.transaction.is_none()
            && self.input.is_empty()
    }

    /// The configuration of this session.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What is known of TLS, once it is active.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }

    /// How the client introduced itself, once that was accepted.
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// Who has logged in.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Number of recipients accepted in the transaction that is open.
    pub fn recipients(&self) -> usize {
        self.transaction.as_ref().map_or(0, Transaction::recipients)
    }

    /// Bytes held, for tests of the limits.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.input.len() + self.out.len() + self.events.len()
    }

    fn connected(&mut self, yes: bool, reply: &Reply) {
        if yes {
            let text = format!("{} {}", self.config.hostname, self.config.greeting);
            // RFC 2034 §4: the greeting has no enhanced code.
            encode::reply(&Reply::plain(220, text), false, &mut self.out);
            self.phase = Phase::Command;
        } else {
            encode::reply(reply, false, &mut self.out);
            self.phase = Phase::Refused;
        }
    }

    /// Appends a reply to the output.
    fn say(&mut self, reply: &Reply) {
        let enhanced = self.config.extensions.enhanced_status_codes;
        encode::reply(reply, enhanced, &mut self.out);
    }

    fn say_standard(&mut self, row: Standard) {
        self.say(&row.into());
    }

    /// A reply for a fault of the peer. Too many of them end the session.
    fn complain(&mut self, reply: impl Into<Reply>) {
        self.say(&reply.into());
        self.errors += 1;
        if self.errors > self.config.limits.errors {
            self.say_standard(standard::TOO_MANY_ERRORS);
            self.end(Close::Violate(Violation::TooManyErrors));
        }
    }

    /// Hands out an event and waits for its answer.
    fn ask(&mut self, event: Event, awaiting: Awaiting) {
        self.events.push_back(event);
        self.awaiting = awaiting;
    }

    /// Ends the session once all output is out.
    fn end(&mut self, close: Close) {
        if self.close.is_none() {
            self.close = Some(close);
            self.awaiting = Awaiting::Nothing;
            self.input.clear();
        }
    }

    /// Forgets the transaction and says so.
    fn reset(&mut self) {
        if self.transaction.take().is_some() {
            self.events.push_back(Event::Reset);
        }
    }

    /// Uses some of the input. `false` when there is nothing to do.
    fn advance(&mut self) -> bool {
        if self.close.is_some() || self.awaiting != Awaiting::Nothing {
            return false;
        }
        match &mut self.phase {
            Phase::Handshake => false,
            Phase::Greet => {
                self.ask(Event::Connected, Awaiting::Connected);
                true
            }
            Phase::Command | Phase::Refused => {
                // A TLS record of type handshake: the client started TLS where it is not spoken.
                let line_start = !self.input.is_discarding();
                if self.hello.is_none() && line_start && self.input.unread().first() == Some(&0x16)
                {
                    self.say_standard(standard::NOT_THIS_PROTOCOL);
                    self.end(Close::Violate(Violation::NotThisProtocol));
                    return true;
                }
                let limits = &self.config.limits;
                let mut limit = limits.command_line;
                // `SOLICIT=` may be as long as all the rest together.
                if self.config.extensions.no_soliciting.is_some() {
                    limit = limit.saturating_add(MAX_KEYWORDS);
                }
                // RFC 4954 §4 keeps AUTH within the limit of commands, but clients send whole tokens
                // with it.
                let word = self.input.unread().get(..4);
                if line_start && word.is_some_and(|word| word.eq_ignore_ascii_case(b"AUTH")) {
                    limit = limit.max(limits.auth_line);
                }
                match self.input.line(limit) {
                    None => return false,
                    Some(Line::Complete(line)) => self.command_line(&line),
                    Some(Line::BareLf(_)) => self.complain(standard::BARE_LINE_END),
                    Some(Line::TooLong) => self.complain(standard::LINE_TOO_LONG),
                }
                self.rearm = true;
                true
            }
            Phase::Auth(_) => match self.input.line(self.config.limits.auth_line) {
                None => false,
                Some(line) => {
                    self.auth_line(line);
                    self.rearm = true;
                    true
                }
            },
            Phase::Data(_) => self.read_data(),
            Phase::Chunk(_) => self.read_chunk(),
        }
    }

    fn wait(&mut self, now: Instant) -> Wait {
        let timeout = match self.phase {
            _ if self.awaiting != Awaiting::Nothing => None,
            Phase::Data(_) | Phase::Chunk(_) => Some(self.config.limits.data_timeout),
            _ => Some(self.config.limits.command_timeout),
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
            read: self.awaiting == Awaiting::Nothing && !matches!(self.phase, Phase::Handshake),
            deadline: self.deadline,
        }
    }

    fn upgraded(&mut self, info: TlsInfo) {
        match self.phase {
            Phase::Handshake => {
                self.phase = if self.tls.is_none() && self.config.implicit_tls {
                    Phase::Greet
                } else {
                    Phase::Command
                };
                // RFC 3207 §4.2: what was said before the handshake is forgotten.
                self.input.clear();
                self.hello = None;
                self.identity = None;
                self.transaction = None;
                self.tls = Some(info);
                self.rearm = true;
            }
            Phase::Greet => {
                self.input.clear();
                self.tls = Some(info);
            }
            // Only a handshake that was due changes what bytes mean.
            _ => {}
        }
    }

    fn timed_out(&mut self, now: Instant) {
        let due = self.deadline.is_some_and(|deadline| now >= deadline);
        if self.close.is_some() || self.awaiting != Awaiting::Nothing || !due {
            return;
        }
        // During a handshake nothing can be said in the clear.
        if !matches!(self.phase, Phase::Handshake) {
            self.say_standard(standard::TIMED_OUT);
        }
        self.end(Close::TimedOut);
    }
}

impl Session for Server {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            // A driver that reads on after the end, or while the handshake runs, is not served.
            Input::Bytes(_) if self.close.is_some() || self.eof => {}
            Input::Bytes(bytes) if bytes.is_empty() => {}
            Input::Bytes(_) if matches!(self.phase, Phase::Handshake) => {
                self.end(Close::Violate(Violation::PlaintextAfterStartTls));
            }
            Input::Bytes(bytes) => {
                // A command has a deadline as a whole, a message for each piece.
                if matches!(self.phase, Phase::Data(_) | Phase::Chunk(_)) {
                    self.rearm = true;
                }
                self.input.push(bytes);
            }
            Input::Eof => self.eof = true,
            Input::Timeout => self.timed_out(now),
            Input::Upgraded(info) => self.upgraded(info),
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<Event> {
        loop {
            let turn = !self.events.is_empty() || self.upgrade || self.close.is_some();
            if self.out.len() >= FLUSH || (turn && !self.out.is_empty()) {
                return Output::Transmit(self.out.split().freeze());
            }
            if let Some(event) = self.events.pop_front() {
                return Output::Event(event);
            }
            if let Some(close) = self.close {
                return Output::Close(close);
            }
            if mem::take(&mut self.upgrade) {
                return Output::Upgrade(Upgrade::Tls);
            }
            if self.advance() {
                continue;
            }
            if !self.out.is_empty() {
                return Output::Transmit(self.out.split().freeze());
            }
            if self.eof && self.awaiting == Awaiting::Nothing {
                self.end(Close::PeerGone);
                continue;
            }
            return Output::Wait(self.wait(now));
        }
    }

    fn faults(&self) -> u32 {
        self.errors
    }
}

/// Whether the client speaks with extensions.
fn is_extended(hello: &Option<Hello>) -> bool {
    hello
        .as_ref()
        .is_some_and(|hello| hello.verb != HelloVerb::Helo)
}
