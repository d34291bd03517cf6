//! Authentication mechanisms (RFC 4422), used by SMTP, IMAP and POP3 alike.
//!
//! A protocol session owns a [`Server`] while an authentication runs. What the
//! mechanism needs from the application comes out as an [`Ask`] inside the
//! session's own `Auth` event, and goes back as an [`Answer`] through the
//! session's `answer` method.

mod base64;
mod channel;
pub mod client;
mod login;
mod oauth;
mod plain;
mod prepare;
mod scram;
mod server;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use zeroize::Zeroizing;

pub use base64::{BadBase64, decode_line, encode_line};
pub use channel::{Channel, offered};
pub use prepare::{Prohibited, prepare};
pub use scram::ITERATIONS;
pub use server::Server;

/// Longest user name, in bytes.
pub const NAME_LIMIT: usize = 512;
/// Longest password, in bytes.
pub const PASSWORD_LIMIT: usize = 1024;
/// Longest SCRAM message of a client, in bytes.
pub const SCRAM_MESSAGE_LIMIT: usize = 4096;

/// Longest bearer token, in bytes.
pub const TOKEN_LIMIT: usize = 8192;

/// A mechanism this crate implements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// PLAIN (RFC 4616): the password itself, so only inside TLS.
    Plain,
    /// LOGIN: the obsolete form of PLAIN that some clients still insist on.
    Login,
    /// SCRAM-SHA-256 (RFC 5802, RFC 7677).
    ScramSha256,
    /// SCRAM-SHA-256-PLUS: the same, bound to the TLS connection it runs in.
    ScramSha256Plus,
    /// OAUTHBEARER (RFC 7628): a token instead of a password.
    OAuthBearer,
    /// XOAUTH2: the form of OAUTHBEARER that came before the standard.
    XOAuth2,
    /// EXTERNAL (RFC 4422 appendix A): who a TLS client certificate names.
    External,
}

impl Mechanism {
    /// All of them, the one to prefer first.
    pub const ALL: [Mechanism; 7] = [
        Mechanism::External,
        Mechanism::OAuthBearer,
        Mechanism::XOAuth2,
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha256,
        Mechanism::Plain,
        Mechanism::Login,
    ];

    /// Those that need a password and nothing else, the one to prefer first.
    pub const PASSWORD: [Mechanism; 4] = [
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha256,
        Mechanism::Plain,
        Mechanism::Login,
    ];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Mechanism::OAuthBearer => "OAUTHBEARER",
            Mechanism::XOAuth2 => "XOAUTH2",
            Mechanism::External => "EXTERNAL",
        }
    }

    /// By name, in any case of letters.
    pub fn from_name(name: &str) -> Option<Mechanism> {
        Mechanism::ALL
            .into_iter()
            .find(|m| m.name().eq_ignore_ascii_case(name))
    }

    /// Whether a password or a token crosses the wire in the clear, so that the
    /// mechanism is only for use inside TLS.
    pub fn is_plaintext(self) -> bool {
        matches!(
            self,
            Mechanism::Plain | Mechanism::Login | Mechanism::OAuthBearer | Mechanism::XOAuth2
        )
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the server side needs to know from the application.
#[derive(Clone, PartialEq, Eq)]
pub enum Ask {
    /// Check this password, which is never empty. Answer with
    /// [`Answer::Accept`] or [`Answer::Refuse`].
    Password {
        /// Whom to act as; empty means the same as `authcid`.
        authzid: String,
        /// Who logs in.
        authcid: String,
        /// The password in the clear, prepared; wiped when dropped.
        password: Zeroizing<String>,
    },
    /// Give the SCRAM keys of this user. Answer with [`Answer::Keys`]. For an
    /// unknown user [`ScramKeys::decoy`] with a secret that lasts gives the same
    /// salt at each login, as those who exist have it. With `None` the exchange
    /// goes on too, but the salt is another at each login: whoever asks twice
    /// learns that the user does not exist.
    Keys {
        /// Who logs in.
        authcid: String,
    },
    /// The client has proved that it knows the password of `authcid`. Answer
    /// with [`Answer::Accept`] or, for instance when the account is closed,
    /// [`Answer::Refuse`].
    Authorize {
        /// Whom to act as; empty means the same as `authcid`.
        authzid: String,
        /// Who has logged in.
        authcid: String,
    },
    /// The client does not know the password of `authcid`, or there is no such
    /// user; the mechanism has found out by itself. The login fails whatever the
    /// answer is: this is for counting it, and for letting it wait.
    WrongProof {
        /// Who tried to log in.
        authcid: String,
    },
    /// Check this bearer token. Answer with [`Answer::AcceptAs`],
    /// [`Answer::RefuseToken`] or [`Answer::Refuse`].
    Token {
        /// Whom to act as; empty means whoever the token was made for.
        authzid: String,
        /// The token, of the alphabet of RFC 6750 §2.1, or nothing from a client that
        /// asks which scope is needed (RFC 7628 §4.3); wiped when dropped.
        token: Zeroizing<String>,
    },
    /// The client wants in by what is known of it outside of this protocol, its
    /// TLS certificate. Answer with [`Answer::AcceptAs`] or [`Answer::Refuse`].
    External {
        /// Whom to act as; empty means whoever the certificate names.
        authzid: String,
    },
}

impl Ask {
    /// The name that was given, if one was: whose failed logins these are.
    pub fn name(&self) -> Option<&str> {
        let name = match self {
            Ask::Password { authcid, .. }
            | Ask::Keys { authcid }
            | Ask::Authorize { authcid, .. }
            | Ask::WrongProof { authcid } => authcid,
            Ask::Token { authzid, .. } | Ask::External { authzid } => authzid,
        };
        (!name.is_empty()).then_some(name)
    }
}

impl fmt::Debug for Ask {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ask::Password {
                authzid, authcid, ..
            } => f
                .debug_struct("Password")
                .field("authzid", authzid)
                .field("authcid", authcid)
                .finish_non_exhaustive(),
            Ask::Keys { authcid } => f.debug_struct("Keys").field("authcid", authcid).finish(),
            Ask::Authorize { authzid, authcid } => f
                .debug_struct("Authorize")
                .field("authzid", authzid)
                .field("authcid", authcid)
                .finish(),
            Ask::WrongProof { authcid } => f
                .debug_struct("WrongProof")
                .field("authcid", authcid)
                .finish(),
            Ask::Token { authzid, .. } => f
                .debug_struct("Token")
                .field("authzid", authzid)
                .finish_non_exhaustive(),
            Ask::External { authzid } => f
                .debug_struct("External")
                .field("authzid", authzid)
                .finish(),
        }
    }
}

/// The application's answer to an [`Ask`].
#[derive(Debug, Clone)]
pub enum Answer {
    /// The login is good.
    Accept,
    /// The login is good, and this is who logs in: for [`Ask::Token`] and
    /// [`Ask::External`], where the client need not say so.
    AcceptAs(String),
    /// The login is not good.
    Refuse(Refusal),
    /// The token is not good.
    RefuseToken(TokenRefusal),
    /// The keys that were asked for; `None` for an unknown user.
    Keys(Option<ScramKeys>),
}

/// Why a login was refused, as far as the peer may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Wrong user or password: 535 5.7.8, `NO [AUTHENTICATIONFAILED]`.
    BadCredentials,
    /// The account may not log in here, or may not act as `authzid`: 535 5.7.8, NO
    /// `[AUTHORIZATIONFAILED]`.
    NotAuthorized,
    /// The account is locked, or its password expired: 535 5.7.13, `NO [EXPIRED]`.
    Disabled,
    /// Too many logins or connections: 454 4.7.0, `NO [LIMIT]`.
    TooMany,
    /// The directory could not be asked: 454 4.7.0, `NO [UNAVAILABLE]`.
    Unavailable,
}

/// Why a token was refused, and where a better one can be had
/// (RFC 7628 §3.2.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenRefusal {
    /// The token itself is good, but not for this.
    pub scope_too_small: bool,
    /// The scope that a token must have.
    pub scope: Option<String>,
    /// Where the configuration of the OpenID provider is found, an https URL.
    pub openid_configuration: Option<String>,
}

/// What a server keeps of a password for SCRAM-SHA-256 (RFC 5803).
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Salt of the password hash.
    pub salt: Bytes,
    /// Iteration count of the password hash.
    pub iterations: u32,
    /// `StoredKey` of RFC 5802 §3.
    pub stored_key: [u8; 32],
    /// `ServerKey` of RFC 5802 §3.
    pub server_key: [u8; 32],
}

impl fmt::Debug for ScramKeys {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// What the mechanism wants next.
#[derive(Debug)]
pub enum Step {
    /// Send this challenge (raw; the protocol adds base64).
    Challenge(Bytes),
    /// Ask the application, then call [`Server::answer`].
    Ask(Ask),
    /// Done: the peer is `authcid`, acting as `authzid` (the same if it did not ask).
    Accept(Identity),
    /// Refused by the application, or by the mechanism itself (`BadCredentials`).
    Refuse(Refusal),
    /// The peer's message is not valid for this mechanism: 501 5.5.2, BAD.
    Malformed(&'static str),
}

/// Who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who proved a password.
    pub authcid: String,
    /// Whom the session acts as.
    pub authzid: String,
}
