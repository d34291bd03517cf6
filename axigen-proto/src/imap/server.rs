//! The server's side of an IMAP connection.
//!
//! ```text
//! Connected ──greet()──> not authenticated ──Auth/answer()──> authenticated ──SELECT──> selected
//! ```
//! One command at a time reaches the application. It sends untagged responses
//! with [`Server::untagged`] and ends the command with [`Server::finish`]; only
//! then is the next command read. The session follows the state by itself: a
//! SELECT that is finished with OK selects.
//!
//! | event | awaits |
//! |---|---|
//! | `Connected` | `greet` or `bye` |
//! | `Auth` | `answer` |
//! | `LoggedIn`, `ClientId`, `NothingSaved` | nothing |
//! | `Command` | `finish` |
//! | `AppendStart`, `AppendNext`, `AppendText`, `AppendUrl` | `proceed`, or `finish` to refuse |
//! | `AppendBody`, `AppendAborted` | nothing |
//! | `AppendEnd` | `finish` |
//! | `IdleStart` | nothing; the end of IDLE comes as `IdleEnd` |
//! | `IdleEnd` | `finish` |
//!
//! The session does by itself: CAPABILITY, LOGOUT, STARTTLS, ENABLE, ID, the
//! base64 of AUTHENTICATE, COMPRESS, NOOP before login, the permission for literals, and
//! every refusal of a command that is malformed, unknown, too large, or out of place.
//!
//! Once the session has closed, its methods do nothing and return `Ok`: a
//! timeout may come while the application is about to send something.

mod append;
mod capability;
mod commands;
mod idle;
mod login;
mod output;
mod respond;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::command::{Append, Command};
use super::extensions::enable::Enabled;
use super::extensions::literal::Literal;
use super::extensions::messagelimit::MessageLimit;
use super::extensions::multiappend::{AppendPiece, Inside};
use super::frame::CommandFramer;
use super::response::{Code, Response, Status, StatusKind};
use super::separator::Separator;
use super::types::{DateTime, Flag, Tag};
use crate::limits::ImapLimits;
use crate::sasl;
use crate::session::{Close, Input, Misuse, Output, Session, TlsInfo, Upgrade, Violation, Wait};

use output::Outbox;

/// Answers to pipelined commands are collected up to this size before they are sent.
const FLUSH: usize = 4096;

/// What sessions are allowed to do. One value serves any number of them.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of this host, shown in the greeting.
    pub hostname: String,
    /// Sizes, counts and times.
    pub limits: ImapLimits,
    /// Whether TLS starts with the connection (port 993): the session waits for
    /// [`Input::Upgraded`] before it does anything.
    pub implicit_tls: bool,
    /// Whether STARTTLS is offered.
    pub starttls: bool,
    /// Whether passwords may be sent without TLS (loopback, tests).
    pub allow_plaintext_login: bool,
    /// Mechanisms of AUTHENTICATE, in the order they are shown.
    pub mechanisms: Vec<sasl::Mechanism>,
    /// Whether IMAP4rev2 is offered besides IMAP4rev1.
    pub rev2: bool,
    /// LITERAL+ when true (any size), LITERAL- when false (at most 4096 bytes). RFC 7888.
    pub literal_plus: bool,
    /// What separates the levels of names, for the client.
    pub separator: Separator,
    /// Whether COMPRESS is offered (RFC 4978).
    pub compress: bool,
    /// How many messages a command may be about, as the application has it
    /// (RFC 9738); the session only announces it.
    pub message_limit: MessageLimit,
    /// What ID answers (RFC 2971), as name and value; empty for NIL.
    pub id: Vec<(String, String)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            limits: ImapLimits::default(),
            implicit_tls: false,
            starttls: false,
            allow_plaintext_login: false,
            mechanisms: vec![sasl::Mechanism::ScramSha256, sasl::Mechanism::Plain],
            rev2: true,
            literal_plus: true,
            separator: Separator::default(),
            compress: true,
            message_limit: MessageLimit::None,
            id: Vec::new(),
        }
    }
}

/// What the session tells its application. The module's front page says which
/// events await an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A client is there.
    Connected,
    /// A login needs a decision.
    Auth(sasl::Ask),
    /// The client has logged in. Comes before any command.
    LoggedIn(sasl::Identity),
    /// The client said who made it (ID); empty for NIL.
    ClientId(Vec<(String, Option<String>)>),
    /// A command that needs mailboxes (see [`Command`]). It is well formed and
    /// fits the state; a mailbox that is open read-only gets no command that
    /// changes it.
    Command {
        /// The command's tag, for `finish`.
        tag: Tag,
        /// The command.
        command: Command,
    },
    /// A search that was to be saved was refused with NO. The session has
    /// answered; what was saved before is to be forgotten
    /// ([RFC 5182 §2.1](https://www.rfc-editor.org/rfc/rfc5182#section-2.1)).
    NothingSaved,
    /// APPEND or REPLACE. A message beyond the limit has been refused already.
    AppendStart {
        /// The command's tag, for `finish`.
        tag: Tag,
        /// Mailbox, flags and date.
        append: Append,
        /// Size of the message in bytes; 0 where it comes in parts (CATENATE).
        size: u64,
    },
    /// Another message of the command begins
    /// ([RFC 3502](https://www.rfc-editor.org/rfc/rfc3502)); the one before is complete.
    AppendNext {
        /// The command's tag, for `finish`.
        tag: Tag,
        /// Flags it begins with.
        flags: Vec<Flag>,
        /// Its internal date; absent means now.
        date: Option<DateTime>,
        /// Size of the message in bytes; 0 where it comes in parts (CATENATE).
        size: u64,
    },
    /// The next part of the message is a text that follows
    /// ([RFC 4469](https://www.rfc-editor.org/rfc/rfc4469)).
    AppendText {
        /// The command's tag, for `finish`.
        tag: Tag,
        /// Its size in bytes.
        size: u64,
    },
    /// The next part of the message is what this URL names
    /// ([RFC 4469](https://www.rfc-editor.org/rfc/rfc4469)).
    AppendUrl {
        /// The command's tag, for `finish`.
        tag: Tag,
        /// As it came.
        url: String,
    },
    /// The next piece of the message or text. Bytes are NUL in a literal8 only
    /// ([RFC 3516 §4.4](https://www.rfc-editor.org/rfc/rfc3516#section-4.4)). The command may be ended early with
    /// [`Server::finish`]; the rest of the message is then thrown away.
    AppendBody(Bytes),
    /// The command, and so its last message, is complete.
    AppendEnd {
        /// The command's tag, for `finish`.
        tag: Tag,
    },
    /// The command was broken in its message or behind it: drop the message. The
    /// session has answered, or will at the end of the command.
    AppendAborted,
    /// IDLE has begun (RFC 2177): send changes with [`Server::untagged`] as they happen.
    IdleStart {
        /// The command's tag.
        tag: Tag,
    },
    /// IDLE is over: send what is left, then `finish`.
    IdleEnd {
        /// The command's tag, for `finish`.
        tag: Tag,
    },
}

/// The state of a connection.
/// [RFC 9051 §3](https://www.rfc-editor.org/rfc/rfc9051#section-3)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Before login.
    NotAuthenticated,
    /// Logged in, no mailbox is selected.
    Authenticated,
    /// A mailbox is selected.
    Selected {
        /// Whether it was opened by EXAMINE, or SELECT ended with READ-ONLY.
        read_only: bool,
    },
    /// The connection is ending.
    Logout,
}

/// The server's side of an IMAP connection.
#[derive(Debug)]
pub struct Server {
    config: Arc<Config>,
    seed: [u8; 32],
    logins: u64,
    input: CommandFramer,
    eof: bool,
    out: Outbox,
    events: VecDeque<Event>,
    upgrade: Option<Upgrade>,
    close: Option<Close>,
    phase: Phase,
    compressed: bool,
    /// Of the account that has logged in, where it is smaller than the session's.
    append_limit: Option<u64>,
    tls: Option<TlsInfo>,
    identity: Option<sasl::Identity>,
    /// The selected mailbox, and whether it is read-only.
    selected: Option<bool>,
    enabled: Enabled,
    errors: u32,
    auth_failures: u32,
    started: Option<Instant>,
    deadline: Option<Instant>,
    rearm: bool,
    /// When a client in IDLE is sent the next remark.
    remark: Option<Instant>,
    /// What its account has narrower than the session.
    of_account: AccountLimits,
}

/// Limits of an account that has logged in, where they are narrower than those
/// of the session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// Longest command without its literals.
    pub command: Option<usize>,
    /// Largest literal that is not a message.
    pub literal: Option<usize>,
    /// Longest wait for the next command.
    pub idle_timeout: Option<Duration>,
}

/// What the session is doing.
#[derive(Debug)]
enum Phase {
    /// A TLS handshake runs; `greeted` as the connection was before it.
    Handshake { greeted: bool },
    /// The application has not been told of the client.
    New,
    /// The greeting is to be decided.
    Greet,
    /// A command is read.
    Command,
    /// The application carries out a command.
    Busy { tag: Tag, kind: Kind },
    /// AUTHENTICATE or LOGIN; `asked` while the application is to answer.
    Sasl {
        tag: Tag,
        exchange: Box<sasl::Server>,
        asked: bool,
    },
    /// A piece of APPEND awaits its decision.
    AppendAsked {
        open: Open,
        /// Pieces not yet told of, the one that awaits its decision included if
        /// it has data.
        pieces: VecDeque<AppendPiece>,
        /// The literal at the end of the pieces; none at the end of the command.
        literal: Option<Literal>,
    },
    /// The message, or a text that is a part of it, comes.
    AppendBody {
        open: Open,
        left: u64,
        /// Whether it is a literal8.
        binary: bool,
    },
    /// What follows behind a literal comes.
    AppendTail { open: Open },
    /// IDLE; DONE is awaited.
    Idle { tag: Tag },
    /// The session has closed.
    Closed,
}

/// An APPEND or REPLACE that is being read.
#[derive(Debug, Clone)]
struct Open {
    tag: Tag,
    /// Where the text goes on behind the next literal.
    inside: Inside,
    /// Whether there is one message only (REPLACE).
    single: bool,
}

/// What ending a command changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing.
    Plain,
    /// SELECT or EXAMINE.
    Select { examine: bool },
    /// CLOSE or UNSELECT.
    Leave,
    /// UNAUTHENTICATE.
    Forget,
    /// IDLE that something else than DONE has ended.
    BrokenIdle,
}

impl Server {
    /// A session at its beginning. `seed` must be fresh, unpredictable bytes
    /// for each session: SCRAM's nonces are made of it, and this crate draws no
    /// random numbers.
    pub fn new(config: impl Into<Arc<Config>>, seed: [u8; 32]) -> Server {
        let config = config.into();
        Server {
            out: Outbox::new(config.separator),
            phase: if config.implicit_tls {
                Phase::Handshake { greeted: false }
            } else {
                Phase::New
            },
            config,
            seed,
            logins: 0,
            input: CommandFramer::new(),
            eof: false,
            events: VecDeque::new(),
            upgrade: None,
            compressed: false,
            append_limit: None,
            close: None,
            tls: None,
            identity: None,
            selected: None,
            enabled: Enabled::default(),
            errors: 0,
            auth_failures: 0,
            started: None,
            deadline: None,
            rearm: true,
            remark: None,
            of_account: AccountLimits::default(),
        }
    }

    /// The answer to [`Event::Connected`]: sends the greeting.
    ///
    /// # Errors
    /// [`Misuse`] when there is no client to greet.
    pub fn greet(&mut self) -> Result<(), Misuse> {
        match self.phase {
            Phase::Greet => {}
            Phase::Closed => return Ok(()),
            _ => return Err(Misuse("no client awaits a greeting")),
        }
        self.phase = Phase::Command;
        let text = format!("{} IMAP server ready", self.config.hostname);
        let code = Code::Capability(self.capabilities());
        self.say(&Response::Status(Status::ok(text).with(code)));
        Ok(())
    }

    /// Ends the connection with `* BYE` from any state: too many connections,
    /// the server stops, the account is gone. In the middle of announced data it
    /// just closes, since the client would take the BYE for data.
    pub fn bye(&mut self, status: Status) {
        if self.close.is_none() {
            self.end(Some(status), Close::Finish);
        }
    }

    /// Closes at once, without BYE: for a failure in the middle of announced data.
    pub fn abort(&mut self) {
        if self.close.is_none() {
            self.end(None, Close::Finish);
        }
    }

    /// Ends the command of this tag.
    ///
    /// SELECT and EXAMINE change the state by it: OK selects (read-only for
    /// EXAMINE or the code READ-ONLY; READ-ONLY or READ-WRITE is added when
    /// there is no code), anything else leaves no mailbox selected. CLOSE and
    /// UNSELECT that end with OK leave the mailbox.
    ///
    /// # Errors
    /// [`Misuse`] when no command of this tag awaits its end, or a FETCH
    /// response is open.
    pub fn finish(&mut self, tag: &Tag, status: Status) -> Result<(), Misuse> {
        if self.is_closed() {
            return Ok(());
        }
        if self.out.is_open() {
            return Err(Misuse("a FETCH response is open"));
        }
        match &self.phase {
            Phase::Busy { tag: open, kind } if open == tag => {
                let kind = *kind;
                self.phase = Phase::Command;
                self.rearm = true;
                self.finish_kind(tag, kind, status);
                Ok(())
            }
            Phase::AppendAsked { open, .. }
            | Phase::AppendBody { open, .. }
            | Phase::AppendTail { open }
                if open.tag == *tag =>
            {
                self.rearm = true;
                self.refuse_append(status);
                Ok(())
            }
            _ => Err(Misuse("no command of this tag awaits its end")),
        }
    }

    /// Narrows the limits for the account that logs in, until UNAUTHENTICATE.
    pub fn limit(&mut self, limits: AccountLimits) {
        self.of_account = limits;
    }

    /// Largest message the account that has logged in may append, in bytes,
    /// where that is less than the limit of the session
    /// ([RFC 7889](https://www.rfc-editor.org/rfc/rfc7889)).
    pub fn limit_append(&mut self, bytes: u64) {
        self.append_limit = Some(bytes);
    }

    /// Largest message that can be appended now, in bytes.
    pub fn append_limit(&self) -> u64 {
        let of_account = self.append_limit.unwrap_or(u64::MAX);
        self.config.limits.message_size.min(of_account)
    }

    /// Leaves the selected mailbox without the client's doing, for instance
    /// because it was deleted. Sends `* OK [CLOSED]`.
    ///
    /// # Errors
    /// [`Misuse`] when no mailbox is selected.
    pub fn unselect(&mut self) -> Result<(), Misuse> {
        if self.is_closed() {
            return Ok(());
        }
        if self.out.is_open() {
            return Err(Misuse("a FETCH response is open"));
        }
        if self.selected.take().is_none() {
            return Err(Misuse("no mailbox is selected"));
        }
        self.say(&Response::ok(Code::Closed, "The mailbox is closed"));
        Ok(())
    }

    /// The connection's state.
    pub fn state(&self) -> State {
        match (self.close, &self.identity, self.selected) {
            (Some(_), ..) => State::Logout,
            (None, None, _) => State::NotAuthenticated,
            (None, Some(_), None) => State::Authenticated,
            (None, Some(_), Some(read_only)) => State::Selected { read_only },
        }
    }

    /// Whether the client has enabled IMAP4rev2 ([`Response::found`] asks for it).
    pub fn is_rev2(&self) -> bool {
        self.enabled.rev2
    }

    /// What the client has enabled.
    pub fn enabled(&self) -> Enabled {
        self.enabled
    }

    /// Whether the client can be sent away without harm: no command is being
    /// read or carried out. An IDLE is no obstacle.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Command | Phase::Idle { .. })
            && self.input.is_empty()
            && !self.out.is_open()
    }

    /// The configuration of this session.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What is known of TLS, once it is active.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }

    /// Who has logged in.
    pub fn identity(&self) -> Option<&sasl::Identity> {
        self.identity.as_ref()
    }

    /// Bytes of input held.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.input.held()
    }

    fn is_closed(&self) -> bool {
        self.close.is_some()
    }

    fn say(&mut self, response: &Response) {
        self.out.response(self.enabled, response);
    }

    fn tagged(&mut self, tag: &Tag, status: &Status) {
        self.out.tagged(self.enabled, tag, status);
    }

    /// Answers a command that was refused, and counts it if it was wrong.
    fn complain(&mut self, tag: Option<&Tag>, status: Status) {
        let wrong = status.kind == StatusKind::Bad;
        match tag {
            Some(tag) => self.tagged(tag, &status),
            None => self.say(&Response::Status(status)),
        }
        if wrong {
            self.errors += 1;
            if self.errors >= self.config.limits.errors {
                self.end(
                    Some(Status::bad("Too many errors")),
                    Close::Violate(Violation::TooManyErrors),
                );
            }
        }
    }

    /// Ends the session, with a BYE where one can be said.
    fn end(&mut self, bye: Option<Status>, close: Close) {
        let handshake = matches!(self.phase, Phase::Handshake { .. });
        if let Some(status) = bye
            && !handshake
            && !self.out.is_open()
        {
            self.say(&Response::Bye(status));
        }
        self.out.close();
        self.events.clear();
        self.upgrade = None;
        self.input.clear();
        self.phase = Phase::Closed;
        self.close = Some(close);
    }

    /// Takes one step; whether there was one to take.
    fn advance(&mut self) -> bool {
        let advanced = match &self.phase {
            Phase::New => {
                self.phase = Phase::Greet;
                self.events.push_back(Event::Connected);
                true
            }
            Phase::Command => self.read_command(),
            Phase::Sasl { asked: false, .. } => self.read_sasl(),
            Phase::AppendBody { .. } => self.read_message(),
            Phase::AppendTail { .. } => self.read_tail(),
            Phase::Idle { .. } => self.read_idle(),
            Phase::Handshake { .. }
            | Phase::Greet
            | Phase::Busy { .. }
            | Phase::Sasl { .. }
            | Phase::AppendAsked { .. }
            | Phase::Closed => return false,
        };
        if !advanced && self.eof {
            self.end(None, Close::PeerGone);
            return true;
        }
        advanced
    }

    fn wants_input(&self) -> bool {
        !self.eof
            && matches!(
                self.phase,
                Phase::Command
                    | Phase::Sasl { asked: false, .. }
                    | Phase::AppendBody { .. }
                    | Phase::AppendTail { .. }
                    | Phase::Idle { .. }
            )
    }

    /// The deadline of a wait that begins now.
    fn next_deadline(&mut self, now: Instant) -> Option<Instant> {
        let limits = &self.config.limits;
        if self.identity.is_none() {
            // Measured from the beginning, so that a slow dribble gains nothing.
            let handshake = matches!(self.phase, Phase::Handshake { .. });
            let deadline = self
                .started
                .unwrap_or(now)
                .checked_add(limits.login_timeout);
            return deadline.filter(|_| self.wants_input() || handshake);
        }
        if !self.wants_input() {
            return None;
        }
        if self.rearm || self.deadline.is_none() {
            self.rearm = false;
            let timeout = self.of_account.idle_timeout.unwrap_or(limits.idle_timeout);
            self.deadline = now.checked_add(timeout.min(limits.idle_timeout));
        }
        self.deadline
    }

    /// When a client in IDLE is to hear something, if nothing happens.
    fn next_remark(&mut self, now: Instant) -> Option<Instant> {
        let every = self.config.limits.idle_remark;
        if every.is_zero() || !matches!(self.phase, Phase::Idle { .. }) {
            self.remark = None;
        } else if self.remark.is_none() {
            self.remark = now.checked_add(every);
        }
        self.remark
    }

    /// A deadline of the last wait has passed.
    fn timeout(&mut self, now: Instant) {
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|at| now >= at);
        if passed(self.next_deadline(now)) {
            // RFC 9051 §5.4, in IDLE as well: RFC 2177 §3.
            let text = if self.identity.is_some() {
                "Nothing was heard for too long"
            } else {
                "The login took too long"
            };
            self.end(Some(Status::ok(text)), Close::TimedOut);
        } else if passed(self.next_remark(now)) {
            self.remark = None;
            // Inside of a response there is no place for another.
            if !self.out.is_open() {
                self.say(&Response::Status(Status::ok("Still here")));
            }
        }
    }
}

impl Session for Server {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, input: Input) {
        self.started.get_or_insert(now);
        if self.is_closed() {
            return;
        }
        match input {
            Input::Bytes(bytes) if matches!(self.phase, Phase::Handshake { .. }) => {
                // CVE-2011-0411: bytes that came before the handshake are not
                // commands that came inside TLS.
                if !bytes.is_empty() {
                    self.end(None, Close::Violate(Violation::PlaintextAfterStartTls));
                }
            }
            Input::Bytes(bytes) => {
                self.rearm = true;
                self.input.push(bytes);
            }
            Input::Eof => {
                self.eof = true;
                if matches!(self.phase, Phase::Handshake { .. }) {
                    self.end(None, Close::PeerGone);
                }
            }
            Input::Timeout => self.timeout(now),
            Input::Upgraded(info) => {
                // Only a handshake that was due changes what bytes mean.
                self.phase = match self.phase {
                    Phase::Handshake { greeted: true } => Phase::Command,
                    Phase::Handshake { greeted: false } | Phase::New => Phase::New,
                    _ => return,
                };
                self.input.clear();
                self.tls = Some(info);
            }
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<Event> {
        self.started.get_or_insert(now);
        loop {
            let stop = self.out.len() >= FLUSH
                || !self.events.is_empty()
                || self.upgrade.is_some()
                || self.is_closed();
            if !stop && self.advance() {
                continue;
            }
            if let Some(bytes) = self.out.pop() {
                return Output::Transmit(bytes);
            }
            if let Some(event) = self.events.pop_front() {
                return Output::Event(event);
            }
            if let Some(upgrade) = self.upgrade.take() {
                return Output::Upgrade(upgrade);
            }
            if let Some(close) = self.close {
                return Output::Close(close);
            }
            self.input.rest();
            return Output::Wait(Wait {
                read: self.wants_input(),
                deadline: [self.next_deadline(now), self.next_remark(now)]
                    .into_iter()
                    .flatten()
                    .min(),
            });
        }
    }

    fn faults(&self) -> u32 {
        self.errors
    }
}
