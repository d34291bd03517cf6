//! The client side of the mechanisms.
//!
//! A session sends [`Client::initial`] if there is one, answers every challenge
//! with [`Client::respond`], and asks [`Client::finish`] when the server says
//! that the login succeeded: with SCRAM the server must have proved by then
//! that it knows the password too.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::oauth;
use super::scram::mac;
use super::{Channel, Mechanism, TOKEN_LIMIT, prepare};

/// Fewest iterations that are accepted from a server (RFC 7677 §4).
const MIN_ITERATIONS: u32 = 4096;

/// Most iterations that are accepted from a server: it would cost the client
/// seconds of work.
const MAX_ITERATIONS: u32 = 5_000_000;

/// Longest complaint of a server about a token that is kept.
const COMPLAINT_LIMIT: usize = 4096;

/// Who logs in, and with what.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    authzid: String,
    authcid: String,
    /// The password, or the token.
    password: Zeroizing<String>,
    kind: Kind,
}

/// What there is to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Password,
    Token,
    Certificate,
}

impl Credentials {
    /// A user and its password.
    ///
    /// # Errors
    /// [`ClientError::Credentials`] when one of them is empty or holds a NUL,
    /// which no mechanism can carry.
    pub fn new(
        authcid: impl Into<String>,
        password: impl Into<String>,
    ) -> Result<Self, ClientError> {
        let (authcid, password) = (authcid.into(), Zeroizing::new(password.into()));
        if authcid.is_empty() || password.is_empty() {
            return Err(ClientError::Credentials);
        }
        if authcid.contains('\0') || password.contains('\0') {
            return Err(ClientError::Credentials);
        }
        Ok(Self {
            authzid: String::new(),
            authcid,
            password,
            kind: Kind::Password,
        })
    }

    /// A bearer token, for OAUTHBEARER and XOAUTH2, and whose it is.
    ///
    /// # Errors
    /// [`ClientError::Token`] when it is empty, too long or not made of the
    /// characters of a token; [`ClientError::Credentials`] for the name.
    pub fn token(
        authcid: impl Into<String>,
        token: impl Into<String>,
    ) -> Result<Self, ClientError> {
        let (authcid, token) = (authcid.into(), Zeroizing::new(token.into()));
        if !oauth::is_b64token(&token) || token.len() > TOKEN_LIMIT {
            return Err(ClientError::Token);
        }
        if authcid.is_empty() || authcid.chars().any(char::is_control) {
            return Err(ClientError::Credentials);
        }
        Ok(Self {
            authzid: String::new(),
            authcid,
            password: token,
            kind: Kind::Token,
        })
    }

    /// The certificate that was shown in the TLS handshake, for EXTERNAL.
    pub fn certificate() -> Self {
        Self {
            authzid: String::new(),
            authcid: String::new(),
            password: Zeroizing::default(),
            kind: Kind::Certificate,
        }
    }

    /// Whether these are what a mechanism needs.
    pub fn fit(&self, mechanism: Mechanism) -> bool {
        let needs = match mechanism {
            Mechanism::OAuthBearer | Mechanism::XOAuth2 => Kind::Token,
            Mechanism::External => Kind::Certificate,
            Mechanism::Plain
            | Mechanism::Login
            | Mechanism::ScramSha256
            | Mechanism::ScramSha256Plus => Kind::Password,
        };
        self.kind == needs
    }

    /// Acts as somebody else than the one who logs in.
    ///
    /// # Errors
    /// [`ClientError::Credentials`] when the name holds a NUL.
    pub fn acting_as(mut self, authzid: impl Into<String>) -> Result<Self, ClientError> {
        self.authzid = authzid.into();
        if self.authzid.contains('\0') {
            return Err(ClientError::Credentials);
        }
        Ok(self)
    }

    /// The first of the mechanisms `wanted` that is offered and can be used with
    /// these in such a channel. Without `plaintext` none that shows the password.
    pub(crate) fn choose(
        &self,
        wanted: &[Mechanism],
        offered: &[Mechanism],
        channel: &Channel,
        plaintext: bool,
    ) -> Option<Mechanism> {
        wanted.iter().copied().find(|mechanism| {
            offered.contains(mechanism)
                && self.fit(*mechanism)
                && (plaintext || !mechanism.is_plaintext())
                && (*mechanism != Mechanism::ScramSha256Plus || channel.can_bind())
        })
    }

    /// Name and password, if they are all there is to say.
    pub(crate) fn as_login(&self) -> Option<(&str, &str)> {
        let plain = self.authzid.is_empty() && self.kind == Kind::Password;
        plain.then_some((self.authcid.as_str(), self.password.as_str()))
    }
}

impl fmt::Debug for Credentials {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("authzid", &self.authzid)
            .field("authcid", &self.authcid)
            .finish_non_exhaustive()
    }
}

/// Why a login cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// A name or password that no mechanism can carry.
    #[error("user and password must not be empty and must not hold a NUL")]
    Credentials,
    /// A token that is none.
    #[error(
        "a token has letters, digits and -._~+/ with = at its end, and at most {TOKEN_LIMIT} of them"
    )]
    Token,
    /// The server's challenge is not what the mechanism prescribes.
    #[error("the server's challenge is not valid: {0}")]
    Challenge(&'static str),
    /// The server claims success but has not proved that it knows the password.
    #[error("the server did not prove that it knows the password")]
    ServerNotProved,
    /// SCRAM-SHA-256-PLUS without TLS, or without anything to bind to in it.
    #[error("there is no channel that the login could be bound to")]
    NoChannel,
    /// The mechanism has nothing more to say.
    #[error("the server asks for more than the mechanism has to say")]
    TooManyChallenges,
}

/// The client side of one login.
pub struct Client {
    credentials: Credentials,
    channel: Channel,
    /// The channel binding of SCRAM's messages: the GS2 header, then the data.
    bound: Vec<u8>,
    complaint: Option<String>,
    state: State,
}

enum State {
    Plain,
    LoginUser,
    LoginPassword,
    OAuth(Mechanism),
    /// A token was sent; a challenge now says why it is not good.
    OAuthSent(Mechanism),
    External,
    ScramFirst {
        nonce: String,
        binds: bool,
    },
    ScramFinal {
        nonce: String,
        first_bare: String,
    },
    ScramVerify {
        server_signature: [u8; 32],
    },
    Done,
    /// Something went wrong: success is not believed any more.
    Failed,
}

impl fmt::Debug for Client {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Starts a mechanism. `nonce` must be fresh, unpredictable bytes.
    pub fn new(mechanism: Mechanism, credentials: Credentials, nonce: &[u8]) -> Self {
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginUser,
            Mechanism::OAuthBearer | Mechanism::XOAuth2 => State::OAuth(mechanism),
            Mechanism::External => State::External,
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => State::ScramFirst {
                nonce: BASE64.encode(nonce),
                binds: mechanism == Mechanism::ScramSha256Plus,
            },
        };
        Self {
            credentials,
            channel: Channel::default(),
            bound: Vec::new(),
            complaint: None,
            state,
        }
    }

    /// Says what the login runs in, and with
    /// [`Channel::offering`](Channel::offering) what the server offers in it:
    /// without it SCRAM-SHA-256-PLUS has nothing to bind to, and nobody notices
    /// when it was taken out of what the server offers.
    #[must_use]
    pub fn on(mut self, channel: Channel) -> Self {
        self.channel = channel;
        self
    }

    /// What the server says is wrong with the token, in JSON (RFC 7628 §3.2.2).
    pub fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    /// The message that goes first, for a mechanism in which the client speaks
    /// first.
    pub fn initial(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        match self.state {
            State::LoginUser | State::LoginPassword => None,
            _ => self.respond(b"").ok(),
        }
    }

    /// The answer to a challenge (decoded).
    ///
    /// # Errors
    /// When the challenge is not what the mechanism prescribes; the session
    /// should cancel the exchange.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Zeroizing<Vec<u8>>, ClientError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Plain => {
                self.state = State::Done;
                Ok(self.plain())
            }
            State::LoginUser => {
                self.state = State::LoginPassword;
                Ok(Zeroizing::new(self.credentials.authcid.clone().into()))
            }
            State::LoginPassword => {
                self.state = State::Done;
                Ok(Zeroizing::new(
                    self.credentials.password.as_bytes().to_vec(),
                ))
            }
            State::OAuth(mechanism) => {
                let Credentials {
                    authzid, authcid, ..
                } = &self.credentials;
                let name = if authzid.is_empty() { authcid } else { authzid };
                self.state = State::OAuthSent(mechanism);
                Ok(oauth::message(mechanism, name, &self.credentials.password))
            }
            State::OAuthSent(mechanism) => {
                let kept = challenge.get(..COMPLAINT_LIMIT).unwrap_or(challenge);
                self.complaint = Some(String::from_utf8_lossy(kept).into_owned());
                // RFC 7628 §3.2.3. The state stays failed.
                Ok(Zeroizing::new(match mechanism {
                    Mechanism::OAuthBearer => vec![1],
                    _ => Vec::new(),
                }))
            }
            State::External => {
                self.state = State::Done;
                Ok(Zeroizing::new(self.credentials.authzid.clone().into()))
            }
            State::ScramFirst { nonce, binds } => {
                let bare = format!("n={},r={nonce}", escape(&self.credentials.authcid));
                let header = self.bind(binds)?;
                let message = format!("{header}{bare}");
                self.state = State::ScramFinal {
                    nonce,
                    first_bare: bare,
                };
                Ok(Zeroizing::new(message.into_bytes()))
            }
            State::ScramFinal { nonce, first_bare } => {
                let first = ServerFirst::parse(challenge, &nonce)?;
                let (message, server_signature) = self.proof(&first, &first_bare);
                self.state = State::ScramVerify { server_signature };
                Ok(message)
            }
            State::ScramVerify { server_signature } => {
                verify(challenge, &server_signature)?;
                self.state = State::Done;
                Ok(Zeroizing::new(Vec::new()))
            }
            State::Done | State::Failed => Err(ClientError::TooManyChallenges),
        }
    }

    /// The server says that the login succeeded.
    ///
    /// # Errors
    /// [`ClientError::ServerNotProved`] when it says so too early.
    pub fn finish(&self) -> Result<(), ClientError> {
        match self.state {
            // A token was sent and the server has nothing against it.
            State::Done | State::OAuthSent(_) => Ok(()),
            _ => Err(ClientError::ServerNotProved),
        }
    }

    /// RFC 4616 §2: `message = [authzid] UTF8NUL authcid UTF8NUL passwd`
    fn plain(&self) -> Zeroizing<Vec<u8>> {
        let Credentials {
            authzid,
            authcid,
            password,
            ..
        } = &self.credentials;
        let length = authzid.len() + authcid.len() + password.len() + 2;
        let mut message = Zeroizing::new(Vec::with_capacity(length));
        message.extend_from_slice(authzid.as_bytes());
        message.push(0);
        message.extend_from_slice(authcid.as_bytes());
        message.push(0);
        message.extend_from_slice(password.as_bytes());
        message
    }

    /// RFC 5802 §7: the GS2 header, which says whether the client binds.
    fn bind(&mut self, binds: bool) -> Result<String, ClientError> {
        let kind = self.channel.preferred();
        let flag = match (binds, kind) {
            (true, Some(kind)) => format!("p={kind}"),
            (true, None) => return Err(ClientError::NoChannel),
            // RFC 5802 §6: it could bind, and the server does not offer it.
            (false, Some(_)) if !self.channel.is_plus_offered() => "y".to_owned(),
            (false, _) => "n".to_owned(),
        };
        let header = match self.credentials.authzid.as_str() {
            "" => format!("{flag},,"),
            authzid => format!("{flag},a={},", escape(authzid)),
        };
        self.bound = header.clone().into_bytes();
        if let Some(data) = kind
            .filter(|_| binds)
            .and_then(|kind| self.channel.data(kind))
        {
            self.bound.extend_from_slice(data);
        }
        Ok(header)
    }

    /// RFC 5802 §3: the client's last message, and what the server must answer.
    fn proof(&self, first: &ServerFirst<'_>, first_bare: &str) -> (Zeroizing<Vec<u8>>, [u8; 32]) {
        let mut salted = Zeroizing::new([0; 32]);
        // RFC 5802 §2.2. What cannot be prepared is not the password, and fails.
        let password = Zeroizing::new(prepare(&self.credentials.password).unwrap_or_default());
        pbkdf2::pbkdf2_hmac::<Sha256>(
            password.as_bytes(),
            &first.salt,
            first.iterations,
            salted.as_mut_slice(),
        );
        let client_key = Zeroizing::new(mac(&*salted, &[b"Client Key"]));
        let server_key = Zeroizing::new(mac(&*salted, &[b"Server Key"]));
        let stored_key: [u8; 32] = Sha256::digest(client_key.as_slice()).into();
        let binding = BASE64.encode(&self.bound);
        let without_proof = format!("c={binding},r={}", first.nonce);
        let auth_message = format!("{first_bare},{},{without_proof}", first.message);
        let mut proof = Zeroizing::new(mac(&stored_key, &[auth_message.as_bytes()]));
        for (byte, key) in proof.iter_mut().zip(client_key.iter()) {
            *byte ^= key;
        }
        let message = format!("{without_proof},p={}", BASE64.encode(proof.as_slice()));
        let server_signature = mac(&*server_key, &[auth_message.as_bytes()]);
        (Zeroizing::new(message.into_bytes()), server_signature)
    }
}

/// `server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count ["," extensions]`
/// (RFC 5802 §7)
struct ServerFirst<'a> {
    message: &'a str,
    nonce: &'a str,
    salt: Bytes,
    iterations: u32,
}

impl<'a> ServerFirst<'a> {
    fn parse(challenge: &'a [u8], client_nonce: &str) -> Result<Self, ClientError> {
        let message =
            std::str::from_utf8(challenge).map_err(|_| ClientError::Challenge("not UTF-8"))?;
        let mut attributes = message.split(',');
        let mut attribute = |name| {
            attributes
                .next()
                .and_then(|text| text.strip_prefix(name))
                .ok_or(ClientError::Challenge("an attribute is missing"))
        };
        // A mandatory extension ("m=") stands first, so it is refused here.
        let nonce = attribute("r=")?;
        let salt = attribute("s=")?;
        let iterations = attribute("i=")?;
        // RFC 5802 §5.1: the server adds its own part to our nonce.
        if nonce.len() <= client_nonce.len() || !nonce.starts_with(client_nonce) {
            return Err(ClientError::Challenge("the nonce is not ours"));
        }
        let salt = BASE64
            .decode(salt)
            .map_err(|_| ClientError::Challenge("the salt is not base64"))?;
        let iterations = iterations
            .parse()
            .ok()
            .filter(|count| (MIN_ITERATIONS..=MAX_ITERATIONS).contains(count))
            .ok_or(ClientError::Challenge(
                "the iteration count is out of range",
            ))?;
        Ok(Self {
            message,
            nonce,
            salt: salt.into(),
            iterations,
        })
    }
}

/// `server-final-message = (server-error / verifier) ["," extensions]` (RFC 5802 §7)
fn verify(challenge: &[u8], server_signature: &[u8; 32]) -> Result<(), ClientError> {
    let verifier = std::str::from_utf8(challenge)
        .ok()
        .and_then(|text| text.split(',').next())
        .and_then(|text| text.strip_prefix("v="))
        .and_then(|text| BASE64.decode(text).ok())
        .ok_or(ClientError::Challenge("no verifier"))?;
    if bool::from(verifier.ct_eq(server_signature)) {
        Ok(())
    } else {
        Err(ClientError::ServerNotProved)
    }
}

/// RFC 5802 §5.1: `=` and `,` in a name.
fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    /// The example of RFC 7677 §3.
    fn example() -> Client {
        let credentials = Credentials::new("user", "pencil").unwrap();
        let mut client = Client::new(Mechanism::ScramSha256, credentials, b"");
        client.state = State::ScramFirst {
            nonce: "rOprNGfwEbeRWgbNEkqO".to_owned(),
            binds: false,
        };
        client
    }

    const FIRST: &[u8] =
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    #[test]
    fn the_example_of_rfc_7677() {
        let mut client = example();
        assert_eq!(
            text(&client.initial().unwrap()),
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
        );
        assert_eq!(
            text(&client.respond(FIRST).unwrap()),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(client.finish(), Err(ClientError::ServerNotProved));
        let last = client.respond(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert!(last.unwrap().is_empty());
        assert_eq!(client.finish(), Ok(()));
    }

    #[test]
    fn a_server_that_cheats_is_found_out() {
        for first in [
            &b""[..],
            b"\xff",
            b"r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            b"r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1",
            b"r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000",
            b"r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096",
            b"m=x,r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        ] {
            let mut client = example();
            client.initial().unwrap();
            assert!(client.respond(first).is_err(), "{first:?}");
        }
        for last in [
            &b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="[..],
            b"v=",
            b"e=other-error",
            b"",
        ] {
            let mut client = example();
            client.initial().unwrap();
            client.respond(FIRST).unwrap();
            assert!(client.respond(last).is_err(), "{last:?}");
            assert_eq!(client.finish(), Err(ClientError::ServerNotProved));
        }
    }

    #[test]
    fn plain_and_login() {
        let credentials = Credentials::new("tim", "tanstaaftanstaaf").unwrap();
        let mut client = Client::new(Mechanism::Plain, credentials.clone(), b"");
        assert_eq!(text(&client.initial().unwrap()), "\0tim\0tanstaaftanstaaf");
        assert_eq!(client.finish(), Ok(()));
        assert_eq!(
            client.respond(b"more?"),
            Err(ClientError::TooManyChallenges)
        );
        let mut client = Client::new(Mechanism::Login, credentials.clone(), b"");
        assert_eq!(client.initial(), None);
        assert_eq!(text(&client.respond(b"Username:").unwrap()), "tim");
        assert_eq!(
            text(&client.respond(b"Password:").unwrap()),
            "tanstaaftanstaaf"
        );
        assert_eq!(client.finish(), Ok(()));
        let acting = credentials.acting_as("boss").unwrap();
        assert!(!format!("{acting:?}").contains("tanstaaf"));
        let mut client = Client::new(Mechanism::Plain, acting, b"");
        assert_eq!(
            text(&client.initial().unwrap()),
            "boss\0tim\0tanstaaftanstaaf"
        );
        assert!(Credentials::new("a\0b", "c").is_err());
        assert!(Credentials::new("a", "").is_err());
    }

    #[test]
    fn names_are_escaped() {
        let credentials = Credentials::new("a=b,c", "x")
            .unwrap()
            .acting_as("d,e")
            .unwrap();
        let mut client = Client::new(Mechanism::ScramSha256, credentials, b"123");
        assert_eq!(
            text(&client.initial().unwrap()),
            "n,a=d=2Ce,n=a=3Db=2Cc,r=MTIz"
        );
    }
}
