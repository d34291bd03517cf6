//! From the greeting to [`Event::Ready`]: EHLO, STARTTLS, AUTH.

use super::{Client, Event, Expect, Failure, Phase, Role, StartTls};
use crate::sasl::Channel;
use crate::sasl::client as sasl;
use crate::session::TlsInfo;
use crate::smtp::capability::Capabilities;
use crate::smtp::command::{Command, Hello, HelloVerb, InitialResponse};
use crate::smtp::encode;
use crate::smtp::parse;
use crate::smtp::reply::Reply;

/// Longest initial response, so that the command stays within 512 bytes
/// (RFC 4954 §4).
const MAX_INITIAL: usize = 350;

impl Client {
    pub(super) fn opening_reply(&mut self, expect: Expect, reply: Reply, lines: &[String]) {
        match expect {
            Expect::Greeting if reply.code == 220 => self.hello(),
            Expect::Greeting if reply.is_negative() => self.fail(Failure::Refused(reply)),
            Expect::Hello if reply.is_positive() => {
                self.capabilities = Capabilities::from_lines(lines.iter().map(String::as_str));
                self.secured();
            }
            // RFC 5321 §3.2: a server that does not know EHLO is asked with HELO.
            Expect::Hello if reply.is_permanent() && self.config.role == Role::Smtp => {
                self.introduce(HelloVerb::Helo, Expect::Helo);
            }
            Expect::Helo if reply.is_positive() => {
                // Without EHLO there are no extensions.
                self.capabilities = Capabilities {
                    hostname: Capabilities::from_lines(lines.iter().map(String::as_str)).hostname,
                    ..Capabilities::default()
                };
                self.secured();
            }
            Expect::Hello | Expect::Helo if reply.is_negative() => {
                self.fail(Failure::Refused(reply));
            }
            Expect::StartTls if reply.code == 220 => {
                // CVE-2011-0411: whoever can write into the connection could put replies here that
                // would count as sent inside TLS.
                if self.input.is_empty() {
                    self.upgrade = true;
                    self.phase = Phase::Handshake;
                } else {
                    self.fail(Failure::PlaintextAfterStartTls);
                }
            }
            Expect::StartTls if reply.is_negative() => {
                if self.config.starttls == StartTls::Required {
                    self.fail(Failure::TlsRefused(reply));
                } else {
                    self.tls_refused = true;
                    self.secured();
                }
            }
            Expect::Auth => self.auth_reply(reply),
            _ => self.fail(Failure::UnexpectedReply(reply)),
        }
    }

    /// The handshake is done.
    pub(super) fn upgraded(&mut self, info: TlsInfo) {
        if self.phase != Phase::Handshake {
            return;
        }
        self.phase = Phase::Opening;
        self.tls = Some(info);
        self.rearm = true;
        // RFC 3207 §4.2: what was said before the handshake is forgotten.
        self.input.clear();
        self.capabilities = Capabilities::default();
        if !self.config.implicit_tls {
            self.hello();
        }
    }

    fn hello(&mut self) {
        match self.config.role {
            Role::Smtp => self.introduce(HelloVerb::Ehlo, Expect::Hello),
            Role::Lmtp => self.introduce(HelloVerb::Lhlo, Expect::Hello),
        }
    }

    fn introduce(&mut self, verb: HelloVerb, expect: Expect) {
        let name = self.config.hello.clone();
        self.command(&Command::Hello(Hello { verb, name }), expect);
    }

    /// The server's extensions are known: TLS, login, and we are ready.
    fn secured(&mut self) {
        if self.tls.is_none() && !self.tls_refused {
            match self.config.starttls {
                StartTls::Required if !self.capabilities.starttls => {
                    return self.fail(Failure::TlsNotOffered);
                }
                StartTls::IfOffered | StartTls::Required if self.capabilities.starttls => {
                    return self.command(&Command::StartTls, Expect::StartTls);
                }
                _ => {}
            }
        }
        if self.config.credentials.is_some() && !self.logged_in {
            return self.log_in();
        }
        self.phase = Phase::Idle;
        self.events
            .push_back(Event::Ready(self.capabilities.clone()));
    }

    fn log_in(&mut self) {
        let Some(credentials) = self.config.credentials.clone() else {
            return;
        };
        let channel = Channel::of(self.tls.as_ref()).offering(&self.capabilities.auth);
        let plaintext = self.tls.is_some() || self.config.plaintext_password;
        let (wanted, offered) = (&self.config.mechanisms, &self.capabilities.auth);
        let mechanism = credentials.choose(wanted, offered, &channel, plaintext);
        let Some(mechanism) = mechanism else {
            return self.fail(Failure::NoMechanism);
        };
        let start = |credentials| {
            let login = sasl::Client::new(mechanism, credentials, &self.nonce);
            Box::new(login.on(channel.clone()))
        };
        let mut login = start(credentials.clone());
        let initial = match login.initial() {
            Some(initial) if initial.len() > MAX_INITIAL => {
                // Said again when the server asks for it.
                login = start(credentials);
                None
            }
            initial => initial.map(InitialResponse),
        };
        self.login = Some(login);
        let mechanism = mechanism.name().to_owned();
        self.command(&Command::Auth { mechanism, initial }, Expect::Auth);
    }

    fn auth_reply(&mut self, reply: Reply) {
        let Some(mut login) = self.login.take() else {
            return self.fail(Failure::UnexpectedReply(reply));
        };
        if reply.code == 334 {
            let Ok(challenge) = parse::base64(reply.text.trim().as_bytes()) else {
                return self.fail(Failure::BadReply("a challenge is not base64"));
            };
            match login.respond(&challenge) {
                Ok(response) => {
                    self.out.write(|out| encode::base64_line(&response, out));
                    self.expect.push_back(Expect::Auth);
                    self.login = Some(login);
                }
                Err(error) => self.fail(Failure::Auth(error)),
            }
        } else if reply.is_positive() {
            match login.finish() {
                Ok(()) => {
                    self.logged_in = true;
                    self.secured();
                }
                Err(error) => self.fail(Failure::Auth(error)),
            }
        } else if reply.is_negative() {
            self.fail(Failure::AuthRefused(reply));
        } else {
            self.fail(Failure::UnexpectedReply(reply));
        }
    }
}
