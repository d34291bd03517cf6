//! USER and PASS, AUTH, STLS.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Event, Phase, Server};
use crate::pop3::text::{Language, Text};
use crate::sasl::{self, Answer, Channel, Identity, Mechanism, Refusal, Step};
use crate::session::{Close, Misuse, Violation};

impl Server {
    /// The answer to [`Event::Auth`].
    ///
    /// # Errors
    /// [`Misuse`] when no login awaits one.
    pub fn answer(&mut self, answer: Answer) -> Result<(), Misuse> {
        match std::mem::replace(&mut self.phase, Phase::Authorization) {
            Phase::Sasl {
                mut exchange,
                asked: true,
            } => {
                let step = exchange.answer(answer);
                self.sasl_step(exchange, step);
            }
            Phase::Closed => self.phase = Phase::Closed,
            other => {
                self.phase = other;
                return Err(Misuse("no login awaits an answer"));
            }
        }
        Ok(())
    }

    pub(super) fn may_send_password(&self) -> bool {
        self.tls.is_some() || self.config.allow_plaintext_login
    }

    pub(super) fn offered(&self) -> Vec<Mechanism> {
        sasl::offered(
            &self.config.mechanisms,
            self.tls.as_ref(),
            self.config.allow_plaintext_login,
        )
    }

    /// [RFC 5034 §4](https://www.rfc-editor.org/rfc/rfc5034#section-4): AUTH alone, as RFC 1734's clients use it.
    pub(super) fn list_mechanisms(&mut self) {
        self.ok(Text::Mechanisms);
        for mechanism in self.offered() {
            self.say(mechanism.name());
        }
        self.say(".");
    }

    pub(super) fn stls(&mut self) {
        if !self.config.stls || self.tls.is_some() {
            return self.complain(Text::NoStls);
        }
        // CVE-2011-0411: whatever came behind STLS came without TLS.
        if !self.input.is_empty() {
            self.error(Text::NothingBehindStls);
            return self.end(Close::Violate(Violation::PlaintextAfterStartTls));
        }
        self.ok(Text::StartTlsNow);
        // RFC 2595 §4: what the client said before is forgotten; somebody in between may have said
        // it (RFC 6856 §7).
        self.user = None;
        self.utf8 = false;
        self.language = Language::English;
        self.phase = Phase::Handshake { greeted: true };
        self.upgrade = true;
    }

    pub(super) fn pass(&mut self, password: &str) {
        let Some(user) = self.user.take() else {
            return self.complain(Text::SayUserFirst);
        };
        let (exchange, step) = sasl::Server::with_password(user.as_bytes(), password.as_bytes());
        self.sasl_step(Box::new(exchange), step);
    }

    pub(super) fn authenticate(&mut self, name: &str, initial: Option<&[u8]>) {
        let known =
            Mechanism::from_name(name).filter(|known| self.config.mechanisms.contains(known));
        let offered = self.offered();
        let known = known.filter(|known| offered.contains(known) || known.is_plaintext());
        let Some(mechanism) = known else {
            return self.complain(Text::NoMechanism);
        };
        if mechanism.is_plaintext() && !self.may_send_password() {
            return self.complain(Text::StartTlsFirst);
        }
        self.logins += 1;
        let nonce: [u8; 32] = Sha256::new()
            .chain_update(self.seed)
            .chain_update(self.logins.to_be_bytes())
            .finalize()
            .into();
        let channel = Channel::of(self.tls.as_ref()).offering(&offered);
        let mut exchange = Box::new(sasl::Server::new(mechanism, &nonce).on(channel));
        let step = exchange.step(initial);
        self.sasl_step(exchange, step);
    }

    pub(super) fn sasl_line(&mut self, line: &[u8]) {
        let Phase::Sasl { mut exchange, .. } =
            std::mem::replace(&mut self.phase, Phase::Authorization)
        else {
            return;
        };
        if line == b"*" {
            return match exchange.refused() {
                Some(refusal) => self.refuse_login(refusal),
                None => self.complain(Text::Cancelled),
            };
        }
        match sasl::decode_line(line) {
            Ok(response) => {
                let response = Zeroizing::new(response);
                let step = exchange.step(Some(&response));
                self.sasl_step(exchange, step);
            }
            Err(_) => self.complain(Text::BadBase64),
        }
    }

    fn sasl_step(&mut self, exchange: Box<sasl::Server>, step: Step) {
        match step {
            Step::Challenge(challenge) => {
                let text = format!("+ {}", sasl::encode_line(&challenge));
                self.say(&text);
                self.phase = Phase::Sasl {
                    exchange,
                    asked: false,
                };
            }
            Step::Ask(ask) => {
                self.events.push_back(Event::Auth(ask));
                self.phase = Phase::Sasl {
                    exchange,
                    asked: true,
                };
            }
            Step::Accept(identity) => self.logged_in(identity),
            Step::Refuse(refusal) => self.refuse_login(refusal),
            // The mechanisms speak English only.
            Step::Malformed(why) if self.language == Language::English => {
                self.say(&format!("-ERR {why}"));
                self.count_error();
            }
            Step::Malformed(_) => self.complain(Text::BadLogin),
        }
    }

    fn logged_in(&mut self, identity: Identity) {
        self.phase = Phase::Opening;
        self.events.push_back(Event::LoggedIn(identity));
    }

    fn refuse_login(&mut self, refusal: Refusal) {
        self.phase = Phase::Authorization;
        self.rearm = true;
        // RFC 3206 §6 and RFC 2449 §8.1.
        let (code, text) = match refusal {
            Refusal::BadCredentials => ("AUTH", Text::BadCredentials),
            Refusal::NotAuthorized => ("AUTH", Text::NotAllowed),
            Refusal::Disabled => ("AUTH", Text::Disabled),
            Refusal::TooMany => ("SYS/TEMP", Text::TooManyLogins),
            Refusal::Unavailable => ("SYS/TEMP", Text::CannotCheck),
        };
        let text = format!("-ERR [{code}] {}", text.in_language(self.language));
        self.say(&text);
        self.auth_failures += 1;
        if self.auth_failures >= self.config.limits.auth_failures {
            self.end(Close::Violate(Violation::TooManyAuthFailures));
        }
    }
}
