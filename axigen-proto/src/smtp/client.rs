//! The client session: SMTP and LMTP.
//!
//! After the greeting the session introduces itself, starts TLS and logs in as
//! the configuration says, and hands out [`Event::Ready`]. Then, as often as
//! wanted: [`Client::send`] an envelope, wait for [`Event::WantBody`], give the
//! message with [`Client::body`] and [`Client::finish`], and read the outcome in
//! [`Event::Sent`]. [`Client::quit`] says goodbye. Between transactions
//! [`Client::ask`] asks a [`Question`].
//!
//! ```text
//! Ready ─ send ─> Rcpt*  ─> WantBody ─ body* finish ─> Sent     (again Ready for send)
//!                        └> Refused                             (again Ready for send)
//! anywhere: Failed, then Close
//! ```
//!
//! Commands are pipelined where the server offers it. Nothing a caller passes
//! can become a command of its own: addresses are checked values, and the
//! message goes out in lines that only CRLF ends.

mod opening;
mod plan;
mod transaction;

use std::collections::{HashSet, VecDeque};
use std::mem;
use std::time::Instant;

use bytes::Bytes;

use super::address::{Domain, HelloName, ReversePath};
use super::capability::Capabilities;
use super::command::{BodyType, Command, Rcpt, Submitter};
use super::deliver_by::DeliverBy;
use super::dsn::{EnvelopeId, Ret};
use super::encode;
use super::etrn::Node;
use super::future_release::{FutureRelease, Hold};
use super::parse;
use super::priority::Priority;
use super::reply::Reply;
use super::solicit::Solicitation;
pub use super::stuffing::LineEnds;
use super::stuffing::Outbox;
use crate::frame::{Framer, Line};
use crate::limits::SmtpClientLimits;
use crate::sasl::Mechanism;
use crate::sasl::client::{self as sasl, ClientError, Credentials};
pub use crate::session::StartTls;
use crate::session::{Close, Input, Misuse, Output, Session, TlsInfo, Upgrade, Violation, Wait};

use transaction::Transaction;

/// Which protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// SMTP (RFC 5321): one answer for all recipients.
    Smtp,
    /// LMTP (RFC 2033): one answer for each recipient.
    Lmtp,
}

/// How a client session behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which protocol is spoken.
    pub role: Role,
    /// The name the client introduces itself with.
    pub hello: HelloName,
    /// Whether STARTTLS is used.
    pub starttls: StartTls,
    /// Whether TLS starts with the connection (port 465). The session waits
    /// for [`Input::Upgraded`] before it does anything.
    pub implicit_tls: bool,
    /// Who logs in; `None` sends without a login.
    pub credentials: Option<Credentials>,
    /// The mechanisms that may be used, the preferred one first.
    pub mechanisms: Vec<Mechanism>,
    /// Whether a password may be sent in the clear (PLAIN and LOGIN without
    /// TLS).
    pub plaintext_password: bool,
    /// Whether to pipeline where the server offers it.
    pub pipelining: bool,
    /// Whether to send with BDAT where the server offers it. (A binary message
    /// is sent with BDAT in any case.)
    pub chunking: bool,
    /// What to do with a CR or LF by itself, or a NUL, in a message.
    pub line_ends: LineEnds,
    /// Sizes, counts and times.
    pub limits: SmtpClientLimits,
}

impl Config {
    /// The usual behaviour: STARTTLS if offered, no login, pipelining, DATA.
    pub fn new(role: Role, hello: HelloName) -> Self {
        Self {
            role,
            hello,
            starttls: StartTls::IfOffered,
            implicit_tls: false,
            credentials: None,
            mechanisms: Mechanism::ALL.to_vec(),
            plaintext_password: false,
            pipelining: true,
            chunking: false,
            line_ends: LineEnds::Normalise,
            limits: SmtpClientLimits::default(),
        }
    }
}

/// Sender, recipients and kind of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope {
    /// Where failure notices go.
    pub from: ReversePath,
    /// Where the message goes, and which notices about each are wanted; at
    /// least one.
    pub recipients: Vec<Rcpt>,
    /// The message's size in bytes, announced where the server wants to know.
    pub size: Option<u64>,
    /// What kind of bytes the message has; `None` says nothing about it.
    pub body: Option<BodyType>,
    /// Whether the message's headers hold UTF-8. Addresses beyond ASCII ask for
    /// SMTPUTF8 by themselves.
    pub smtputf8: bool,
    /// Who submitted the message, for a server that trusts us (RFC 4954 §5).
    /// Sent where the server offers AUTH.
    pub submitter: Option<Submitter>,
    /// What of the message a failure notice returns (RFC 3461 §4.3). This, the
    /// next, and the recipients' parameters are sent where the server offers
    /// DSN; otherwise [`Omitted`] says that they were not.
    pub ret: Option<Ret>,
    /// The sender's name for the transaction (RFC 3461 §4.4).
    pub envid: Option<EnvelopeId>,
    /// By when the message must be delivered, counted from [`Client::send`]
    /// (RFC 2852). A message that is to be returned goes only to a server that
    /// offers DELIVERBY.
    pub by: Option<DeliverBy>,
    /// How long the server holds the message, counted from [`Client::send`]. It
    /// goes only to a server that offers FUTURERELEASE (RFC 4865).
    pub hold: Option<Hold>,
    /// How urgent the message is; sent where the server offers MT-PRIORITY
    /// (RFC 6710 §4.2, §4.3).
    pub priority: Option<Priority>,
    /// Whether the message may go inside TLS only, here and further on. It goes
    /// only where this session is inside TLS and the server offers REQUIRETLS
    /// (RFC 8689 §4.2.1). That the server is the right one, the application
    /// makes sure of when it verifies the certificate.
    pub require_tls: bool,
    /// The classes of solicitation the message belongs to; sent where the
    /// server offers NO-SOLICITING, and refused where it names one of them
    /// (RFC 3865).
    pub solicit: Option<Solicitation>,
}

impl Envelope {
    /// An envelope without anything special. A recipient is a
    /// [`ForwardPath`](super::address::ForwardPath), or an [`Rcpt`] when there
    /// is more to say about it.
    pub fn new(from: ReversePath, recipients: impl IntoIterator<Item = impl Into<Rcpt>>) -> Self {
        Self {
            from,
            recipients: recipients.into_iter().map(Into::into).collect(),
            size: None,
            body: None,
            smtputf8: false,
            submitter: None,
            ret: None,
            envid: None,
            by: None,
            hold: None,
            priority: None,
            require_tls: false,
            solicit: None,
        }
    }

    fn needs_smtputf8(&self) -> bool {
        self.smtputf8
            || !self.from.is_ascii()
            || self.recipients.iter().any(|rcpt| !rcpt.to.is_ascii())
    }
}

/// What the session tells its application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The session takes an envelope: [`Client::send`].
    Ready(Capabilities),
    /// The server has decided about a recipient.
    Rcpt {
        /// Its place in the envelope.
        index: usize,
        /// The decision.
        reply: Reply,
    },
    /// The answer to a [`Question`]. The session takes another, or an envelope.
    Answer(Reply),
    /// At least one recipient is accepted: give the message.
    WantBody,
    /// The message was sent, and the server has decided about it. The session
    /// takes another envelope.
    Sent {
        /// The decision for each recipient that was accepted before: the same
        /// for all in SMTP, each its own in LMTP.
        replies: Vec<Delivery>,
        /// What of the envelope the server was not told.
        omitted: Omitted,
    },
    /// Nobody gets this message. The session takes another envelope.
    Refused {
        /// How far it came.
        stage: Stage,
        /// Why.
        refusal: Refusal,
    },
    /// The session is over; [`Output::Close`] follows.
    Failed(Failure),
}

/// What a server is asked between transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// VRFY: is this a user?
    Vrfy(String),
    /// EXPN: who is on this list?
    Expn(String),
    /// ETRN: send what waits for this node (RFC 1985). For a server that offers
    /// it.
    Etrn(Node),
}

/// What of an envelope the server was not told, because it does not offer the
/// extension. What is asked for there falls to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Omitted {
    /// The parameters of DSN. Whoever asked for a notice of success must be
    /// sent one that says `relayed` (RFC 3461 §5.2.2 (b)).
    pub dsn: bool,
    /// The time by which delivery was asked for, of a message that is not to be
    /// returned. Whoever did not forbid notices must be sent one that says
    /// `relayed` (RFC 2852 §4.1.4.2).
    pub deliver_by: bool,
    /// The priority (RFC 6710 §4.3).
    pub priority: bool,
    /// The classes of solicitation.
    pub solicit: bool,
}

/// The server's decision about a message for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The recipient's place in the envelope.
    pub recipient: usize,
    /// The decision: 2xx means that the server is responsible now.
    pub reply: Reply,
}

/// How far a transaction came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Before or at MAIL.
    Mail,
    /// Every recipient was refused.
    Rcpt,
    /// At DATA, or at a BDAT before the last.
    Data,
}

/// Why a transaction was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The server says so.
    #[error("the server answered {0}")]
    Reply(Reply),
    /// An address or header needs SMTPUTF8, and the server has it not.
    #[error("the server does not offer SMTPUTF8")]
    NeedsSmtpUtf8,
    /// The message needs 8BITMIME or BINARYMIME, and the server has it not.
    #[error("the server does not take messages of type {}", .0.as_str())]
    NeedsBodyType(BodyType),
    /// The message must be returned when it is late, and the server has not
    /// DELIVERBY (RFC 2852 §4.1.4.1).
    #[error("the server does not offer DELIVERBY")]
    NeedsDeliverBy,
    /// The message must be returned after less time than the server needs at
    /// least, in seconds (RFC 2852 §4.1.4.1).
    #[error("the server needs at least {0} seconds to deliver")]
    DeliverByTooSoon(u32),
    /// The message is to be held, and the server has not FUTURERELEASE.
    #[error("the server does not offer FUTURERELEASE")]
    NeedsFutureRelease,
    /// The message is to be held longer than the server announced to hold any
    /// (RFC 4865 §4.1).
    #[error("the server holds messages for {} seconds and until {} at most", .0.interval, .0.until)]
    HeldTooLong(FutureRelease),
    /// The message is to be held beyond the time to deliver it in (RFC 4865
    /// §5.2.1).
    #[error("the message is to be held beyond the time to deliver it in")]
    HeldBeyondDeliverBy,
    /// The message may go inside TLS only, and this session is not, or the
    /// server has not REQUIRETLS. RFC 8689 §4.2.1 has the codes for a notice:
    /// 5.7.10 without TLS, 5.7.30 otherwise.
    #[error("the message requires TLS, {}", if *.tls { "and the server does not offer REQUIRETLS" } else { "which this session has not" })]
    NeedsRequireTls {
        /// Whether the session is inside TLS.
        tls: bool,
    },
    /// The envelope has more recipients than the server takes in one
    /// transaction (RFC 9422 §4.2): send it in parts of that many.
    #[error("the server takes {0} recipients at a time")]
    TooManyRecipients(u32),
    /// The session has had as many transactions as the server takes (RFC 9422
    /// §4.1): go on in another session.
    #[error("the server takes {0} transactions in a session")]
    TooManyTransactions(u32),
    /// The recipients of the session would have more domains than the server
    /// takes (RFC 9422 §4.3): send what is beyond that in another session.
    #[error("the server takes recipients of {0} domains in a session")]
    TooManyDomains(u32),
    /// The server does not want messages of this class (RFC 3865 §2.1).
    #[error("the server does not want messages of class {0}")]
    Solicitation(String),
    /// The message is larger than the server announced to take, in bytes.
    #[error("the server takes messages of up to {0} bytes")]
    TooLarge(u64),
}

/// Why a session failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server refused the connection, or EHLO and HELO.
    #[error("the server refused the session: {0}")]
    Refused(Reply),
    /// The server ends the session (421).
    #[error("the server closes the connection: {0}")]
    Closing(Reply),
    /// STARTTLS is required but not offered.
    #[error("the server does not offer STARTTLS")]
    TlsNotOffered,
    /// STARTTLS is required but refused.
    #[error("the server refused STARTTLS: {0}")]
    TlsRefused(Reply),
    /// The server sent something between its answer to STARTTLS and the
    /// handshake (CVE-2011-0411).
    #[error("the server sent plaintext behind STARTTLS")]
    PlaintextAfterStartTls,
    /// No mechanism is allowed here and offered there.
    #[error("the server offers no login that is allowed here")]
    NoMechanism,
    /// The login was refused.
    #[error("login refused: {0}")]
    AuthRefused(Reply),
    /// The login went wrong before the server decided about it.
    #[error("login failed: {0}")]
    Auth(#[from] ClientError),
    /// The server sent what is no reply.
    #[error("not a valid reply: {0}")]
    BadReply(&'static str),
    /// The server sent a reply that has no place here.
    #[error("unexpected reply: {0}")]
    UnexpectedReply(Reply),
    /// The message holds a CR or LF by itself, and policy is to refuse it.
    #[error("the message holds a CR or LF by itself")]
    BareLineEnd,
    /// The message holds a NUL, and policy is to refuse it.
    #[error("the message holds a NUL")]
    Nul,
    /// The server closed the connection.
    #[error("the server closed the connection")]
    PeerGone,
    /// The server did not answer in time.
    #[error("the server did not answer in time")]
    TimedOut,
}

/// An SMTP or LMTP client session.
#[derive(Debug)]
pub struct Client {
    config: Config,
    nonce: [u8; 32],
    input: Framer,
    partial: Partial,
    eof: bool,
    out: Outbox,
    events: VecDeque<Event>,
    upgrade: bool,
    close: Option<Close>,
    phase: Phase,
    expect: VecDeque<Expect>,
    deadline: Option<Instant>,
    rearm: bool,
    tls: Option<TlsInfo>,
    tls_refused: bool,
    capabilities: Capabilities,
    login: Option<Box<sasl::Client>>,
    logged_in: bool,
    needs_reset: bool,
    transaction: Option<Transaction>,
    /// MAIL so far.
    mails: u32,
    /// The domains of the recipients so far, where the server limits them.
    domains: HashSet<Domain>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A TLS handshake runs.
    Handshake,
    /// Before [`Event::Ready`].
    Opening,
    /// Ready for an envelope.
    Idle,
    /// MAIL and RCPT.
    Envelope,
    /// The application gives the message.
    Body,
    /// The message is out; the decision is not in.
    Ending,
    /// A question is out.
    Asking,
    /// QUIT is out.
    Quitting,
}

/// What the next reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Greeting,
    Hello,
    Helo,
    StartTls,
    Auth,
    Rset,
    Mail,
    Rcpt(usize),
    Data,
    Chunk,
    /// The decision about the message; in LMTP about the n-th accepted recipient.
    Final(usize),
    /// The decision about an empty message nobody gets: DATA was answered 354
    /// though every recipient was refused.
    Void,
    Question,
    Quit,
}

/// The lines of a reply that is not complete.
#[derive(Debug, Default)]
struct Partial {
    code: u16,
    lines: Vec<String>,
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
                Phase::Opening
            },
            config,
            nonce,
            input: Framer::new(),
            partial: Partial::default(),
            eof: false,
            out: Outbox::default(),
            events: VecDeque::new(),
            upgrade: false,
            close: None,
            expect: VecDeque::from([Expect::Greeting]),
            deadline: None,
            rearm: true,
            tls: None,
            tls_refused: false,
            capabilities: Capabilities::default(),
            login: None,
            logged_in: false,
            needs_reset: false,
            transaction: None,
            mails: 0,
            domains: HashSet::new(),
        }
    }

    /// Starts a transaction.
    ///
    /// # Errors
    /// [`Misuse`] when the session is not ready for one, or when there is no
    /// recipient.
    pub fn send(&mut self, envelope: Envelope) -> Result<(), Misuse> {
        if self.phase != Phase::Idle || self.close.is_some() {
            return Err(Misuse("the session is not ready for an envelope"));
        }
        if envelope.recipients.is_empty() {
            return Err(Misuse("an envelope needs a recipient"));
        }
        self.rearm = true;
        self.start(envelope);
        Ok(())
    }

    /// Asks the server something; [`Event::Answer`] follows.
    ///
    /// # Errors
    /// [`Misuse`] inside a transaction, when a text is empty or holds a control
    /// character, and when the server does not offer ETRN.
    pub fn ask(&mut self, question: Question) -> Result<(), Misuse> {
        if self.phase != Phase::Idle || self.close.is_some() {
            return Err(Misuse("the session is not between transactions"));
        }
        let command = match question {
            Question::Vrfy(text) | Question::Expn(text)
                if text.trim().is_empty() || text.chars().any(char::is_control) =>
            {
                return Err(Misuse("that cannot stand in a command"));
            }
            Question::Etrn(_) if !self.capabilities.etrn => {
                return Err(Misuse("the server does not offer ETRN"));
            }
            Question::Vrfy(text) => Command::Vrfy(text),
            Question::Expn(text) => Command::Expn(text),
            Question::Etrn(node) => Command::Etrn(node),
        };
        self.rearm = true;
        self.phase = Phase::Asking;
        self.command(&command, Expect::Question);
        Ok(())
    }

    /// Gives the next piece of the message, cut anywhere. Poll after each
    /// piece: the session keeps what has not been sent.
    ///
    /// # Errors
    /// [`Misuse`] when the session has not asked for the message.
    pub fn body(&mut self, bytes: Bytes) -> Result<(), Misuse> {
        if self.phase != Phase::Body || self.close.is_some() {
            return Err(Misuse("the session has not asked for a message"));
        }
        self.rearm = true;
        self.body_piece(bytes);
        Ok(())
    }

    /// The message is complete.
    ///
    /// # Errors
    /// [`Misuse`] when the session has not asked for the message.
    pub fn finish(&mut self) -> Result<(), Misuse> {
        if self.phase != Phase::Body || self.close.is_some() {
            return Err(Misuse("the session has not asked for a message"));
        }
        self.rearm = true;
        self.body_end();
        Ok(())
    }

    /// Says goodbye; [`Close::Finish`] follows when the server has answered.
    ///
    /// # Errors
    /// [`Misuse`] inside a transaction. [`Client::abort`] ends that.
    pub fn quit(&mut self) -> Result<(), Misuse> {
        if self.phase != Phase::Idle || self.close.is_some() {
            return Err(Misuse("the session is not between transactions"));
        }
        self.rearm = true;
        self.phase = Phase::Quitting;
        self.command(&Command::Quit, Expect::Quit);
        Ok(())
    }

    /// Ends the session at once. A message that has not been finished is not
    /// delivered (RFC 5321 §4.1.1.10).
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

    /// Bytes held, for tests of the limits.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        let partial: usize = self.partial.lines.iter().map(String::len).sum();
        self.input.len() + partial
    }

    /// Writes a command and remembers what its reply will answer.
    fn command(&mut self, command: &Command, expect: Expect) {
        self.out.write(|out| encode::command(command, out));
        self.expect.push_back(expect);
    }

    fn fail(&mut self, failure: Failure) {
        if self.close.is_some() {
            return;
        }
        let close = match failure {
            Failure::PlaintextAfterStartTls => Close::Violate(Violation::PlaintextAfterStartTls),
            Failure::BadReply(_) | Failure::UnexpectedReply(_) => {
                Close::Violate(Violation::NotThisProtocol)
            }
            Failure::PeerGone => Close::PeerGone,
            Failure::TimedOut => Close::TimedOut,
            _ => Close::Finish,
        };
        // Only where the server waits for a command can it read a goodbye.
        let polite = matches!(
            failure,
            Failure::Refused(_)
                | Failure::TlsNotOffered
                | Failure::TlsRefused(_)
                | Failure::NoMechanism
                | Failure::AuthRefused(_)
        );
        if polite {
            self.out.write(|out| encode::command(&Command::Quit, out));
        }
        self.events.push_back(Event::Failed(failure));
        self.end(close);
    }

    fn end(&mut self, close: Close) {
        if self.close.is_none() {
            self.close = Some(close);
            self.input.clear();
            self.expect.clear();
            self.transaction = None;
        }
    }

    /// Uses a line of the input. `false` when there is none.
    fn advance(&mut self) -> bool {
        if self.close.is_some() || self.phase == Phase::Handshake {
            return false;
        }
        match self.input.line(self.config.limits.reply_line) {
            None => return false,
            Some(Line::Complete(line)) => self.reply_line(&line),
            Some(Line::BareLf(_)) => {
                self.fail(Failure::BadReply("a line ends with a LF by itself"));
            }
            Some(Line::TooLong) => self.fail(Failure::BadReply("a line is too long")),
        }
        true
    }

    fn reply_line(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let Some(parsed) = parse::reply_line(&text) else {
            return self.fail(Failure::BadReply("a line does not start with a code"));
        };
        if self.partial.lines.is_empty() {
            self.partial.code = parsed.code;
        } else if self.partial.code != parsed.code {
            // RFC 5321 §4.2.1
            return self.fail(Failure::BadReply("the code changes within a reply"));
        }
        if self.partial.lines.len() >= self.config.limits.reply_lines {
            return self.fail(Failure::BadReply("it has too many lines"));
        }
        // What comes from outside is shown and logged: no control characters.
        let clean = |c: char| if c.is_control() { '?' } else { c };
        self.partial
            .lines
            .push(parsed.text.chars().map(clean).collect());
        if parsed.last {
            self.rearm = true;
            let partial = mem::take(&mut self.partial);
            self.reply(partial);
        }
    }

    fn reply(&mut self, partial: Partial) {
        let reply = partial.to_reply();
        let Some(expect) = self.expect.pop_front() else {
            return self.fail(if reply.code == 421 {
                Failure::Closing(reply)
            } else {
                Failure::UnexpectedReply(reply)
            });
        };
        // RFC 5321 §3.8: 421 answers anything.
        if reply.code == 421 && expect != Expect::Quit {
            return self.fail(if expect == Expect::Greeting {
                Failure::Refused(reply)
            } else {
                Failure::Closing(reply)
            });
        }
        match expect {
            Expect::Greeting | Expect::Hello | Expect::Helo | Expect::StartTls | Expect::Auth => {
                self.opening_reply(expect, reply, &partial.lines)
            }
            Expect::Quit => self.end(Close::Finish),
            Expect::Question if reply.is_intermediate() => {
                self.fail(Failure::UnexpectedReply(reply));
            }
            Expect::Question => {
                self.phase = Phase::Idle;
                self.events.push_back(Event::Answer(reply));
            }
            // What the answer to RSET is does not matter: MAIL will tell.
            Expect::Rset => self.pump(),
            _ => self.transaction_reply(expect, reply),
        }
    }

    fn wait(&mut self, now: Instant) -> Wait {
        let limits = &self.config.limits;
        let timeout = match (self.phase, self.expect.front()) {
            (Phase::Handshake, _) => Some(limits.command_timeout),
            (_, Some(Expect::Greeting)) => Some(limits.greeting_timeout),
            (_, Some(Expect::Data)) => Some(limits.data_timeout),
            (_, Some(Expect::Final(_) | Expect::Void)) => Some(limits.end_timeout),
            (_, Some(Expect::Quit)) => Some(limits.quit_timeout),
            (Phase::Body, _) => Some(limits.block_timeout),
            (_, Some(_)) => Some(limits.command_timeout),
            (_, None) => None,
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
}

impl Partial {
    /// The lines as one reply; an enhanced code is taken off each line that has
    /// the same.
    fn to_reply(&self) -> Reply {
        let class = self.code / 100;
        let enhanced = self
            .lines
            .first()
            .and_then(|line| parse::enhanced_code(line))
            .map(|(enhanced, _)| enhanced)
            .filter(|enhanced| u16::from(enhanced.class) == class);
        let lines: Vec<&str> = self
            .lines
            .iter()
            .map(|line| match parse::enhanced_code(line) {
                Some((code, text)) if Some(code) == enhanced => text,
                _ => line,
            })
            .collect();
        Reply {
            code: self.code,
            enhanced,
            text: lines.join("\n").into(),
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
                    self.fail(Failure::TimedOut);
                }
            }
            Input::Upgraded(info) => self.upgraded(info),
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<Event> {
        loop {
            if let Some(bytes) = self.out.pop() {
                return Output::Transmit(bytes);
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
            if self.eof {
                // After QUIT the server may close without a word.
                if self.phase == Phase::Quitting {
                    self.end(Close::Finish);
                } else {
                    self.fail(Failure::PeerGone);
                }
                continue;
            }
            return Output::Wait(self.wait(now));
        }
    }
}
