//! The commands of SMTP and LMTP as values.

use std::fmt;

use zeroize::Zeroizing;

use super::address::{ForwardPath, HelloName, Mailbox, ReversePath};
use super::deliver_by::DeliverBy;
use super::dsn::{EnvelopeId, Notify, OriginalRecipient, Ret};
use super::etrn::Node;
use super::future_release::Hold;
use super::priority::Priority;
use super::solicit::Solicitation;

/// Why a value cannot stand in a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub(crate) &'static str);

/// A command with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `EHLO`, `HELO` or `LHLO`.
    Hello(Hello),
    /// `MAIL FROM`: starts a transaction.
    Mail(Mail),
    /// `RCPT TO`: one more recipient.
    Rcpt(Rcpt),
    /// `DATA`: the message follows, ended by a line with a single dot.
    Data,
    /// `BDAT`: a piece of the message of a known length follows (RFC 3030).
    Bdat {
        /// Length of the piece in bytes.
        size: u64,
        /// Whether this is the last piece.
        last: bool,
    },
    /// `RSET`: forget the transaction.
    Rset,
    /// `NOOP`: nothing. An argument is ignored.
    Noop,
    /// `VRFY`: is this a user?
    Vrfy(String),
    /// `EXPN`: who is on this list?
    Expn(String),
    /// `ETRN`: send what waits for this host (RFC 1985).
    Etrn(Node),
    /// `HELP`.
    Help,
    /// `QUIT`: say goodbye.
    Quit,
    /// `STARTTLS` (RFC 3207).
    StartTls,
    /// `AUTH` (RFC 4954).
    Auth {
        /// Name of the mechanism in capitals, known to us or not.
        mechanism: String,
        /// The response that came with the command.
        initial: Option<InitialResponse>,
    },
}

/// How a client introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Which of the three commands it used.
    pub verb: HelloVerb,
    /// The name it gave.
    pub name: HelloName,
}

/// The three commands of introduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HelloVerb {
    /// SMTP with extensions.
    Ehlo,
    /// SMTP without extensions.
    Helo,
    /// LMTP (RFC 2033 §4.1).
    Lhlo,
}

impl HelloVerb {
    /// The command word.
    pub fn as_str(self) -> &'static str {
        match self {
            HelloVerb::Ehlo => "EHLO",
            HelloVerb::Helo => "HELO",
            HelloVerb::Lhlo => "LHLO",
        }
    }
}

/// Sender and parameters of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mail {
    /// Where failure notices go.
    pub from: ReversePath,
    /// `SIZE=`: the message's size in bytes as the client estimates it
    /// (RFC 1870). A number beyond 64 bits is kept as the largest one.
    pub size: Option<u64>,
    /// `BODY=` (RFC 6152, RFC 3030).
    pub body: Option<BodyType>,
    /// `SMTPUTF8`: addresses or headers hold UTF-8 (RFC 6531).
    pub smtputf8: bool,
    /// `AUTH=`: who submitted the message, as another server says
    /// (RFC 4954 §5). Worth only what the client is trusted.
    pub auth: Option<Submitter>,
    /// `RET=`: what of the message a failure notice returns (RFC 3461 §4.3).
    pub ret: Option<Ret>,
    /// `ENVID=`: the sender's name for the transaction (RFC 3461 §4.4).
    pub envid: Option<EnvelopeId>,
    /// `BY=`: by when the message must be delivered (RFC 2852).
    pub by: Option<DeliverBy>,
    /// `HOLDFOR=` or `HOLDUNTIL=`: how long the message is held (RFC 4865).
    pub hold: Option<Hold>,
    /// `MT-PRIORITY=`: how urgent the message is (RFC 6710). Worth only what the
    /// client is trusted: nobody unknown may raise it (§4.1).
    pub priority: Option<Priority>,
    /// `REQUIRETLS`: the message goes on inside verified TLS only (RFC 8689).
    pub require_tls: bool,
    /// `SOLICIT=`: the classes of solicitation the message belongs to
    /// (RFC 3865 §2.3).
    pub solicit: Option<Solicitation>,
}

impl Mail {
    /// A sender without parameters.
    pub fn new(from: ReversePath) -> Self {
        Self {
            from,
            size: None,
            body: None,
            smtputf8: false,
            auth: None,
            ret: None,
            envid: None,
            by: None,
            hold: None,
            priority: None,
            require_tls: false,
            solicit: None,
        }
    }

    /// Whether there is any parameter.
    pub fn has_parameters(&self) -> bool {
        *self != Self::new(self.from.clone())
    }
}

/// A recipient and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rcpt {
    /// Where the message goes.
    pub to: ForwardPath,
    /// `NOTIFY=`: which notices are wanted (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// `ORCPT=`: whom the message was addressed to in the first place
    /// (RFC 3461 §4.2).
    pub orcpt: Option<OriginalRecipient>,
}

impl Rcpt {
    /// A recipient without parameters.
    pub fn new(to: ForwardPath) -> Self {
        Self {
            to,
            notify: None,
            orcpt: None,
        }
    }

    /// Whether there is any parameter.
    pub fn has_parameters(&self) -> bool {
        self.notify.is_some() || self.orcpt.is_some()
    }
}

impl From<ForwardPath> for Rcpt {
    fn from(to: ForwardPath) -> Self {
        Self::new(to)
    }
}

/// What kind of bytes a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyType {
    /// Lines of ASCII.
    SevenBit,
    /// Lines of any bytes but NUL, CR and LF (RFC 6152).
    EightBitMime,
    /// Any bytes at all; BDAT only (RFC 3030).
    BinaryMime,
}

impl BodyType {
    /// The parameter's value.
    pub fn as_str(self) -> &'static str {
        match self {
            BodyType::SevenBit => "7BIT",
            BodyType::EightBitMime => "8BITMIME",
            BodyType::BinaryMime => "BINARYMIME",
        }
    }
}

/// The value of MAIL's parameter `AUTH=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitter {
    /// `<>`: not known, or not trusted.
    Unknown,
    /// The mailbox of the one who submitted the message.
    Mailbox(Mailbox),
}

/// The response that came with AUTH, decoded; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct InitialResponse(pub Zeroizing<Vec<u8>>);

impl fmt::Debug for InitialResponse {
    /// Without the response, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InitialResponse(..)")
    }
}
