//! The server's side of an IMAP connection. (Signatures first.)
//!
//! ```text
//! Connected ──greet()──> not authenticated ──Auth/answer()──> authenticated ──SELECT──> selected
//! ```
//! One command at a time reaches the application. It sends untagged responses
//! and ends the command with [`Server::finish`]; only then is the next command
//! read. The session follows the state by itself: a SELECT that is finished with OK selects.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::command::{Append, Command, FetchAttribute};
use super::response::{FetchItem, Response, Status};
use super::types::Tag;
use crate::limits::ImapLimits;
use crate::sasl;
use crate::session::{Input, Misuse, Output, Session, TlsInfo};

/// What a session is allowed to do; shared by all sessions of a listener.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of this host, shown in the greeting.
    pub hostname: String,
    /// Limits.
    pub limits: ImapLimits,
    /// Whether STARTTLS can be done.
    pub starttls: bool,
    /// Whether passwords may be sent without TLS (loopback, tests).
    pub allow_plaintext_login: bool,
    /// Mechanisms of AUTHENTICATE, in the order they are shown.
    pub mechanisms: Vec<sasl::Mechanism>,
    /// Whether IMAP4rev2 is offered besides IMAP4rev1.
    pub rev2: bool,
    /// LITERAL+ when true (any size), LITERAL- when false (at most 4096 bytes). RFC 7888.
    pub literal_plus: bool,
    /// What ID answers (RFC 2971), as name and value; empty for NIL.
    pub id: Vec<(String, String)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            limits: ImapLimits::default(),
            starttls: false,
            allow_plaintext_login: false,
            mechanisms: vec![sasl::Mechanism::ScramSha256, sasl::Mechanism::Plain],
            rev2: true,
            literal_plus: true,
            id: Vec::new(),
        }
    }
}

/// What the session tells its application.
#[derive(Debug)]
pub enum Event {
    /// A client is there: answer with [`Server::greet`] or [`Server::bye`].
    Connected,
    /// A login needs a decision: answer with [`Server::answer`].
    Auth(sasl::Ask),
    /// The client has logged in. Needs no answer; comes before any command.
    LoggedIn(sasl::Identity),
    /// The client said who made it (ID). Needs no answer.
    ClientId(Vec<(String, Option<String>)>),
    /// A command: send what it asks for with [`Server::untagged`], then
    /// [`Server::finish`]. Only commands that need a mailbox store come here
    /// (see [`Command`]); what the state forbids has been refused already.
    Command {
        /// The command's tag, for `finish`.
        tag: Tag,
        /// The command.
        command: Command,
    },
    /// APPEND. Answer with [`Server::proceed`] to get the message, or refuse with
    /// [`Server::finish`]. A message beyond the limit has been refused already.
    AppendStart {
        /// The command's tag, for `finish`.
        tag: Tag,
        /// Mailbox, flags and date.
        append: Append,
        /// Size of the message in bytes.
        size: u64,
    },
    /// The next piece of the message. Needs no answer.
    AppendBody(Bytes),
    /// The message is complete: end the command with [`Server::finish`].
    AppendEnd {
        /// The command's tag.
        tag: Tag,
    },
    /// The command was broken behind its message: drop the message. The session
    /// has answered. Needs no answer.
    AppendAborted,
    /// IDLE has begun (RFC 2177): send changes with [`Server::untagged`] as they happen.
    IdleStart {
        /// The command's tag.
        tag: Tag,
    },
    /// IDLE is over: send what is left and end the command with [`Server::finish`].
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
        /// Whether it was opened by EXAMINE, or SELECT ended with [READ-ONLY].
        read_only: bool,
    },
    /// The connection is ending.
    Logout,
}

/// The server's side of an IMAP connection.
#[derive(Debug)]
pub struct Server {
    _config: Arc<Config>,
}

#[allow(unused_variables, clippy::todo)]
impl Server {
    /// A session. `seed` must be fresh random bytes: SCRAM's nonces are made of it.
    pub fn new(config: Arc<Config>, seed: [u8; 32]) -> Server {
        Server { _config: config }
    }
    /// Answers [`Event::Connected`]: sends the greeting.
    pub fn greet(&mut self) -> Result<(), Misuse> {
        todo!()
    }
    /// Ends the connection with `* BYE` from any state: too many connections,
    /// the server stops, the account is gone. In the middle of a literal it
    /// just closes, since the client would take the BYE for data.
    pub fn bye(&mut self, status: Status) {
        todo!()
    }
    /// Answers [`Event::Auth`].
    pub fn answer(&mut self, answer: sasl::Answer) -> Result<(), Misuse> {
        todo!()
    }
    /// Sends an untagged response: during a command, during IDLE, or between commands.
    pub fn untagged(&mut self, response: &Response) -> Result<(), Misuse> {
        todo!()
    }
    /// Answers [`Event::AppendStart`]: the message may come.
    pub fn proceed(&mut self) -> Result<(), Misuse> {
        todo!()
    }
    /// Ends the command of this tag. SELECT and EXAMINE change the state by
    /// it: OK selects (read-only for EXAMINE or the code READ-ONLY), NO leaves no
    /// mailbox selected. CLOSE and UNSELECT that end with OK leave the mailbox.
    pub fn finish(&mut self, tag: &Tag, status: Status) -> Result<(), Misuse> {
        todo!()
    }
    /// Leaves the selected mailbox without the client's doing: it was deleted.
    /// Sends `* OK [CLOSED]`.
    pub fn unselect(&mut self) -> Result<(), Misuse> {
        todo!()
    }
    /// Begins a FETCH response whose data are streamed: then any number of
    /// [`Server::fetch_item`] and [`Server::fetch_data`], then [`Server::fetch_end`].
    pub fn fetch_begin(&mut self, seq: u32) -> Result<(), Misuse> {
        todo!()
    }
    /// One small item of a FETCH response begun with [`Server::fetch_begin`].
    pub fn fetch_item(&mut self, item: &FetchItem) -> Result<(), Misuse> {
        todo!()
    }
    /// An item of exactly `len` bytes, which follow by [`Server::body`].
    pub fn fetch_data(&mut self, attribute: &FetchAttribute, len: u64) -> Result<(), Misuse> {
        todo!()
    }
    /// The next bytes announced by [`Server::fetch_data`], in pieces of any size;
    /// not copied. Look at [`Server::pending_output`] between pieces.
    pub fn body(&mut self, bytes: Bytes) -> Result<(), Misuse> {
        todo!()
    }
    /// Ends a FETCH response.
    pub fn fetch_end(&mut self) -> Result<(), Misuse> {
        todo!()
    }
    /// Closes at once, without BYE: for a failure in the middle of announced data.
    pub fn abort(&mut self) {
        todo!()
    }
    /// Bytes made and not yet taken by [`Session::poll_output`].
    pub fn pending_output(&self) -> usize {
        todo!()
    }
    /// The connection's state.
    pub fn state(&self) -> State {
        todo!()
    }
    /// Whether the client has enabled IMAP4rev2 ([`Response::found`] asks for it).
    pub fn is_rev2(&self) -> bool {
        todo!()
    }
    /// The TLS below, if any.
    pub fn tls(&self) -> Option<&TlsInfo> {
        todo!()
    }
    /// Who has logged in.
    pub fn identity(&self) -> Option<&sasl::Identity> {
        todo!()
    }
}

#[allow(unused_variables, clippy::todo)]
impl Session for Server {
    type Event = Event;
    fn handle_input(&mut self, now: Instant, input: Input) {
        todo!()
    }
    fn poll_output(&mut self, now: Instant) -> Output<Event> {
        todo!()
    }
}
