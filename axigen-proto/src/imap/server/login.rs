//! LOGIN and AUTHENTICATE.

use sha2::{Digest, Sha256};

use super::{Event, Phase, Server};
use crate::frame::Line;
use crate::imap::command::Secret;
use crate::imap::response::{Code, Status};
use crate::imap::types::Tag;
use crate::sasl::{self, Answer, Channel, Identity, Mechanism, Refusal, Step};
use crate::session::{Close, Misuse, Violation};

impl Server {
    /// The answer to [`Event::Auth`].
    ///
    /// # Errors
    /// [`Misuse`] when no login awaits an answer.
    pub fn answer(&mut self, answer: Answer) -> Result<(), Misuse> {
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::Sasl {
                tag,
                mut exchange,
                asked: true,
            } => {
                let step = exchange.answer(answer);
                self.sasl_step(tag, exchange, step);
            }
            Phase::Closed => self.phase = Phase::Closed,
            other => {
                self.phase = other;
                return Err(Misuse("no login awaits an answer"));
            }
        }
        Ok(())
    }

    /// [RFC 9051 §6.2.3](https://www.rfc-editor.org/rfc/rfc9051#section-6.2.3)
    pub(super) fn login(&mut self, tag: Tag, user: &str, password: &Secret) {
        if !self.may_send_password() {
            return self.complain(Some(&tag), privacy_required());
        }
        let (exchange, step) = sasl::Server::with_password(user.as_bytes(), password.0.as_bytes());
        self.sasl_step(tag, Box::new(exchange), step);
    }

    /// [RFC 9051 §6.2.2](https://www.rfc-editor.org/rfc/rfc9051#section-6.2.2)
    pub(super) fn authenticate(&mut self, tag: Tag, name: &str, initial: Option<&Secret>) {
        let known =
            Mechanism::from_name(name).filter(|known| self.config.mechanisms.contains(known));
        let offered = self.mechanisms();
        // One that needs a password may be used once TLS runs; one for which something else is
        // missing is not offered.
        let known = known.filter(|known| offered.contains(known) || known.is_plaintext());
        let Some(mechanism) = known else {
            return self.complain(
                Some(&tag),
                Status::no("This mechanism is not offered").with(Code::Cannot),
            );
        };
        if mechanism.is_plaintext() && !self.may_send_password() {
            return self.complain(Some(&tag), privacy_required());
        }
        let initial = match initial.map(|text| sasl::decode_line(text.0.as_bytes())) {
            None => None,
            Some(Ok(bytes)) => Some(zeroize::Zeroizing::new(bytes)),
            Some(Err(_)) => return self.complain(Some(&tag), bad_base64()),
        };
        let channel = Channel::of(self.tls.as_ref()).offering(&offered);
        let exchange = sasl::Server::new(mechanism, &self.next_nonce()).on(channel);
        let mut exchange = Box::new(exchange);
        let step = exchange.step(initial.as_ref().map(|bytes| bytes.as_slice()));
        self.sasl_step(tag, exchange, step);
    }

    /// Takes a line of the client in AUTHENTICATE.
    pub(super) fn read_sasl(&mut self) -> bool {
        let Some(line) = self.input.line(self.config.limits.command_before_login) else {
            return false;
        };
        let Phase::Sasl {
            tag, mut exchange, ..
        } = std::mem::replace(&mut self.phase, Phase::Command)
        else {
            return false;
        };
        let status = match line {
            // RFC 9051 §6.2.2: a client cancels with a single asterisk.
            Line::Complete(line) if line.as_ref() == b"*" => match exchange.refused() {
                Some(refusal) => {
                    self.refuse_login(&tag, refusal);
                    return true;
                }
                None => Status::bad("AUTHENTICATE was cancelled"),
            },
            Line::Complete(line) => match sasl::decode_line(&line) {
                Ok(response) => {
                    let response = zeroize::Zeroizing::new(response);
                    let step = exchange.step(Some(&response));
                    self.sasl_step(tag, exchange, step);
                    return true;
                }
                Err(_) => bad_base64(),
            },
            Line::BareLf(_) => Status::bad("A line has to end with CRLF, not with LF alone"),
            Line::TooLong => Status::bad("The response is too long").with(Code::TooBig),
        };
        self.complain(Some(&tag), status);
        true
    }

    /// Does what the mechanism wants next.
    fn sasl_step(&mut self, tag: Tag, exchange: Box<sasl::Server>, step: Step) {
        let asked = match step {
            Step::Challenge(challenge) => {
                self.out.proceed(&sasl::encode_line(&challenge));
                false
            }
            Step::Ask(ask) => {
                self.events.push_back(Event::Auth(ask));
                true
            }
            Step::Accept(identity) => return self.logged_in(&tag, identity),
            Step::Refuse(refusal) => return self.refuse_login(&tag, refusal),
            Step::Malformed(why) => {
                return self.complain(Some(&tag), Status::bad(format!("No login: {why}")));
            }
        };
        self.phase = Phase::Sasl {
            tag,
            exchange,
            asked,
        };
    }

    fn logged_in(&mut self, tag: &Tag, identity: Identity) {
        self.identity = Some(identity.clone());
        self.rearm = true;
        let code = Code::Capability(self.capabilities());
        self.tagged(tag, &Status::ok("Logged in").with(code));
        self.events.push_back(Event::LoggedIn(identity));
    }

    fn refuse_login(&mut self, tag: &Tag, refusal: Refusal) {
        // RFC 5530 §3
        let (code, text) = match refusal {
            Refusal::BadCredentials => (
                Code::AuthenticationFailed,
                "The user name or the password is wrong",
            ),
            Refusal::NotAuthorized => (
                Code::AuthorizationFailed,
                "This account may not log in here",
            ),
            Refusal::Disabled => (
                Code::Expired,
                "The account is closed or its password expired",
            ),
            Refusal::TooMany => (Code::Limit, "Too many logins, try again later"),
            Refusal::Unavailable => (
                Code::Unavailable,
                "The login cannot be checked now, try again later",
            ),
        };
        self.tagged(tag, &Status::no(text).with(code));
        self.auth_failures += 1;
        if self.auth_failures >= self.config.limits.auth_failures {
            self.end(
                Some(Status::no("Too many failed logins")),
                Close::Violate(Violation::TooManyAuthFailures),
            );
        }
    }

    /// Another nonce for each login, as unpredictable as the session's seed.
    fn next_nonce(&mut self) -> [u8; 32] {
        self.logins += 1;
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(self.logins.to_be_bytes());
        hash.finalize().into()
    }
}

fn privacy_required() -> Status {
    Status::no("A password may only be sent inside TLS").with(Code::PrivacyRequired)
}

fn bad_base64() -> Status {
    Status::bad("The response is not valid base64")
}
