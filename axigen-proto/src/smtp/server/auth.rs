//! AUTH ([RFC 4954](https://www.rfc-editor.org/rfc/rfc4954)).

use bytes::BufMut;
use sha2::{Digest, Sha256};

use super::{Awaiting, Event, Phase, Server, is_extended};
use crate::frame::Line;
use crate::sasl::{self, Channel, Mechanism, Refusal, Step};
use crate::session::{Close, Violation};
use crate::smtp::command::InitialResponse;
use crate::smtp::standard::{self, Standard};
use crate::smtp::{encode, parse};

impl Server {
    /// Starts a login.
    pub(super) fn auth(&mut self, name: &str, initial: Option<InitialResponse>) {
        if !self.has_auth() {
            return self.complain(standard::NOT_IMPLEMENTED);
        }
        if self.identity.is_some() {
            return self.complain(standard::ALREADY_AUTHENTICATED);
        }
        if self.transaction.is_some() {
            return self.complain(standard::AUTH_IN_TRANSACTION);
        }
        if !is_extended(&self.hello) {
            return self.complain(standard::AUTH_NEEDS_EHLO);
        }
        let Some(mechanism) = Mechanism::from_name(name) else {
            return self.complain(standard::UNKNOWN_MECHANISM);
        };
        let offered = self.mechanisms();
        if !offered.contains(&mechanism) {
            let inside_tls = self.tls.is_none() && self.config.auth_tls.contains(&mechanism);
            return self.complain(if inside_tls {
                standard::TLS_FOR_MECHANISM
            } else {
                standard::UNKNOWN_MECHANISM
            });
        }
        let channel = Channel::of(self.tls.as_ref()).offering(&offered);
        let login = sasl::Server::new(mechanism, &self.next_nonce()).on(channel);
        let mut login = Box::new(login);
        let step = login.step(initial.as_ref().map(|response| response.0.as_slice()));
        self.phase = Phase::Auth(login);
        self.auth_step(step);
    }

    /// Takes a line of the client in a login.
    pub(super) fn auth_line(&mut self, line: Line) {
        let row = match line {
            Line::BareLf(_) => standard::BARE_LINE_END,
            Line::TooLong => standard::AUTH_LINE_TOO_LONG,
            // RFC 4954 §4
            Line::Complete(line) if line.as_ref() == b"*" => {
                let refused = match &self.phase {
                    Phase::Auth(login) => login.refused(),
                    _ => None,
                };
                if let Some(refusal) = refused {
                    self.phase = Phase::Command;
                    return self.refuse_login(refusal);
                }
                standard::AUTH_CANCELLED
            }
            Line::Complete(line) => match parse::base64(&line) {
                Err(error) => error.0,
                Ok(response) => {
                    if let Phase::Auth(login) = &mut self.phase {
                        let step = login.step(Some(&response));
                        self.auth_step(step);
                    }
                    return;
                }
            },
        };
        self.phase = Phase::Command;
        self.complain(row);
    }

    /// Does what the mechanism wants next.
    pub(super) fn auth_step(&mut self, step: Step) {
        match step {
            Step::Challenge(challenge) => {
                self.out.put_slice(b"334 ");
                encode::base64_line(&challenge, &mut self.out);
            }
            Step::Ask(ask) => self.ask(Event::Auth(ask), Awaiting::Auth),
            Step::Accept(identity) => {
                self.phase = Phase::Command;
                self.identity = Some(identity);
                self.say_standard(standard::AUTHENTICATED);
            }
            Step::Refuse(refusal) => {
                self.phase = Phase::Command;
                self.refuse_login(refusal);
            }
            Step::Malformed(text) => {
                self.phase = Phase::Command;
                self.complain(Standard {
                    code: 501,
                    enhanced: (5, 5, 2),
                    text,
                });
            }
        }
    }

    fn refuse_login(&mut self, refusal: Refusal) {
        self.say_standard(match refusal {
            Refusal::BadCredentials => standard::BAD_CREDENTIALS,
            Refusal::NotAuthorized => standard::NOT_AUTHORIZED,
            Refusal::Disabled => standard::ACCOUNT_DISABLED,
            Refusal::TooMany => standard::TOO_MANY_LOGINS,
            Refusal::Unavailable => standard::AUTH_UNAVAILABLE,
        });
        self.auth_failures += 1;
        if self.auth_failures >= self.config.limits.auth_failures {
            self.say_standard(standard::TOO_MANY_AUTH_FAILURES);
            self.end(Close::Violate(Violation::TooManyAuthFailures));
        }
    }

    /// Another nonce for each login, as unpredictable as the session's.
    fn next_nonce(&mut self) -> [u8; 32] {
        self.logins += 1;
        let mut hash = Sha256::new();
        hash.update(self.nonce);
        hash.update(self.logins.to_be_bytes());
        hash.finalize().into()
    }
}
