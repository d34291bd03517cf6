//! From the greeting to [`Event::Ready`]: capabilities, STARTTLS, login,
//! compression.

use bytes::Bytes;
use zeroize::Zeroizing;

use super::{Capabilities, Client, Event, Failure, Kind, Phase, StartTls};
use crate::imap::command::{Command, Secret};
use crate::imap::response::{Code, Response, Status, StatusKind};
use crate::sasl::client::{self as sasl, ClientError};
use crate::sasl::{Channel, Mechanism, decode_line, encode_line};
use crate::session::{TlsInfo, Upgrade, Violation};

/// Longest initial response, in base64; a longer one goes by itself, for the
/// sake of servers that take only short commands.
const MAX_INITIAL: usize = 4096;

impl Client {
    /// [RFC 9051 §7.1](https://www.rfc-editor.org/rfc/rfc9051#section-7.1): OK,
    /// PREAUTH or BYE.
    pub(super) fn greeting(&mut self, response: Response) {
        match response {
            Response::Status(status) if status.kind == StatusKind::Ok => {
                self.phase = Phase::Opening;
                self.learn_from(&status);
                self.open();
            }
            Response::Preauth(status) => {
                // RFC 9051 §11.1: STARTTLS is not possible any more, and whoever sits in between
                // may have put the greeting here for that (CVE-2020-12398 and others).
                if self.tls.is_none() && self.config.starttls == StartTls::Required {
                    return self.fail(Failure::PreauthWithoutTls);
                }
                self.phase = Phase::Opening;
                self.tls_refused = true;
                self.logged_in = true;
                self.learn_from(&status);
                self.open();
            }
            Response::Bye(status) => self.fail(Failure::Refused(status)),
            _ => self.fail(Failure::BadResponse(Violation::NotThisProtocol)),
        }
    }

    /// Capabilities may stand in the code of an OK.
    pub(super) fn learn_from(&mut self, status: &Status) {
        if let (StatusKind::Ok, Some(Code::Capability(names))) = (status.kind, &status.code) {
            self.capabilities = Capabilities::new(names.iter().map(|name| &**name));
        }
    }

    /// Does what comes next before the session is ready.
    fn open(&mut self) {
        if self.capabilities.is_empty() {
            return self.command(Command::Capability, Kind::Capability);
        }
        if self.tls.is_none() && !self.tls_refused {
            match self.config.starttls {
                StartTls::Required if !self.capabilities.has("STARTTLS") => {
                    return self.fail(Failure::TlsNotOffered);
                }
                StartTls::IfOffered | StartTls::Required if self.capabilities.has("STARTTLS") => {
                    return self.command(Command::StartTls, Kind::StartTls);
                }
                _ => {}
            }
        }
        if self.config.credentials.is_some() && !self.logged_in {
            return self.log_in();
        }
        let compress = self.config.compress && self.logged_in && !self.compress_refused;
        if compress && !self.compressed && self.capabilities.has("COMPRESS=DEFLATE") {
            return self.command(Command::Compress, Kind::Compress);
        }
        self.phase = Phase::Ready;
        self.events
            .push_back(Event::Ready(self.capabilities.clone()));
    }

    /// The end of a command that belongs to the opening.
    pub(super) fn opened(&mut self, kind: Kind, status: Status) {
        let done = status.kind == StatusKind::Ok;
        if done {
            self.learn_from(&status);
        }
        match kind {
            Kind::Capability if !done || self.capabilities.is_empty() => {
                self.fail(Failure::NoCapabilities(status));
            }
            Kind::StartTls if done => {
                // CVE-2011-0411: whoever can write into the connection could put responses here
                // that would count as sent inside TLS.
                if !self.input.is_empty() {
                    return self.fail(Failure::PlaintextAfterStartTls);
                }
                self.phase = Phase::Handshake;
                self.upgrade = Some(Upgrade::Tls);
            }
            Kind::StartTls if self.config.starttls == StartTls::Required => {
                self.fail(Failure::TlsRefused(status));
            }
            Kind::StartTls => {
                self.tls_refused = true;
                self.open();
            }
            Kind::Login => self.login_ended(status, done),
            Kind::Compress if done => {
                // What the server sends from here on is compressed, and was taken for plain text.
                if !self.input.is_empty() {
                    return self.fail(Failure::Unexpected("bytes behind the answer to COMPRESS"));
                }
                self.compressed = true;
                self.upgrade = Some(Upgrade::Deflate);
                self.open();
            }
            Kind::Compress => {
                self.compress_refused = true;
                self.open();
            }
            _ => self.open(),
        }
    }

    /// The handshake is done.
    pub(super) fn upgraded(&mut self, info: TlsInfo) {
        if self.phase != Phase::Handshake {
            return;
        }
        self.tls = Some(info);
        self.rearm = true;
        // RFC 9051 §6.2.1: what was said before the handshake is forgotten.
        self.input.clear();
        self.capabilities = Capabilities::default();
        if self.config.implicit_tls {
            self.phase = Phase::Greeting;
        } else {
            self.phase = Phase::Opening;
            self.open();
        }
    }

    fn log_in(&mut self) {
        let Some(credentials) = self.config.credentials.clone() else {
            return;
        };
        let offered = self.capabilities.mechanisms();
        let channel = Channel::of(self.tls.as_ref()).offering(&offered);
        let plaintext = self.tls.is_some() || self.config.plaintext_password;
        let wanted = &self.config.mechanisms;
        let chosen = credentials.choose(wanted, &offered, &channel, plaintext);
        // RFC 9051 §6.2.3: the command LOGIN, unless the server forbids it.
        let by_command = wanted.contains(&Mechanism::Login) && plaintext;
        // Capabilities that come while this runs are those after the login.
        let before = std::mem::take(&mut self.capabilities);
        let Some(mechanism) = chosen else {
            let may = by_command && !before.has("LOGINDISABLED");
            let command = credentials.as_login().filter(|_| may);
            return match command {
                Some((user, password)) => {
                    let command = Command::Login {
                        user: user.to_owned(),
                        password: password.to_owned().into(),
                    };
                    self.begin_with(command, Kind::Login, before.unasked_literal());
                }
                None => self.fail(Failure::NoMechanism),
            };
        };
        let start = |credentials| {
            let login = sasl::Client::new(mechanism, credentials, &self.nonce);
            Box::new(login.on(channel.clone()))
        };
        let mut login = start(credentials.clone());
        let initial = match login.initial() {
            // RFC 4959 §3: one that is empty.
            Some(initial) if before.has("SASL-IR") && initial.is_empty() => Some("=".to_owned()),
            Some(initial) if before.has("SASL-IR") && initial.len() <= MAX_INITIAL => {
                Some(encode_line(&initial))
            }
            Some(_) => {
                // Said when the server asks for it.
                login = start(credentials);
                None
            }
            None => None,
        };
        self.login = Some(login);
        let mechanism = mechanism.name().to_owned();
        let initial = initial.map(Secret::from);
        self.command(Command::Authenticate { mechanism, initial }, Kind::Login);
    }

    /// The server's next message in AUTHENTICATE.
    pub(super) fn challenge(&mut self, text: &str) {
        self.challenges += 1;
        let Some(login) = self.login.as_mut() else {
            return;
        };
        if self.challenges > self.config.limits.challenges {
            return self.fail(Failure::Auth(ClientError::TooManyChallenges));
        }
        let Ok(challenge) = decode_line(text.trim_ascii().as_bytes()) else {
            return self.fail(Failure::Auth(ClientError::Challenge("it is not base64")));
        };
        match login.respond(&challenge) {
            Ok(response) => {
                let mut line = Zeroizing::new(encode_line(&response));
                line.push_str("\r\n");
                self.out.push(Bytes::copy_from_slice(line.as_bytes()));
            }
            Err(error) => self.fail(Failure::Auth(error)),
        }
    }

    fn login_ended(&mut self, status: Status, done: bool) {
        let login = self.login.take();
        if !done {
            return self.fail(Failure::AuthRefused(status));
        }
        // With SCRAM the server has to have proved itself.
        if let Some(Err(error)) = login.map(|login| login.finish()) {
            return self.fail(Failure::Auth(error));
        }
        self.logged_in = true;
        self.open();
    }
}
