//! The server side of one authentication, whatever the mechanism.

use super::login::Login;
use super::scram::Scram;
use super::{Answer, Ask, Identity, Mechanism, Refusal, Step, plain};

use bytes::Bytes;

/// The server side of one authentication.
///
/// Feed it the client's messages with [`step`](Server::step) and the
/// application's answers with [`answer`](Server::answer); each returns what to
/// do next. After [`Step::Accept`], [`Step::Refuse`] or [`Step::Malformed`] it
/// is over: drop it.
#[derive(Debug)]
pub struct Server {
    exchange: Exchange,
    /// Whom a password was asked for.
    asked: Option<Identity>,
}

#[derive(Debug)]
enum Exchange {
    Plain,
    Login(Login),
    Scram(Box<Scram>),
}

impl Server {
    /// Starts a mechanism. `nonce` must be fresh, unpredictable bytes, never
    /// used for another exchange: this crate draws no random numbers, so the
    /// session's owner hands a seed in.
    pub fn new(mechanism: Mechanism, nonce: &[u8]) -> Server {
        let exchange = match mechanism {
            Mechanism::Plain => Exchange::Plain,
            Mechanism::Login => Exchange::Login(Login::default()),
            Mechanism::ScramSha256 => Exchange::Scram(Box::new(Scram::new(nonce))),
        };
        Server {
            exchange,
            asked: None,
        }
    }

    /// Takes the client's message, decoded; `None` at the start, when the
    /// client sent no initial response.
    pub fn step(&mut self, response: Option<&[u8]>) -> Step {
        if self.asked.is_some() {
            return Step::Malformed("no response was expected");
        }
        let step = match &mut self.exchange {
            Exchange::Plain => match response {
                None => Step::Challenge(Bytes::new()),
                Some(response) => to_step(plain::parse(response)),
            },
            Exchange::Login(login) => login.step(response),
            Exchange::Scram(scram) => scram.step(response),
        };
        self.remember(step)
    }

    /// An authentication whose name and password came in commands of the
    /// protocol's own: LOGIN of IMAP, USER and PASS of POP3. What PLAIN asks of
    /// names and passwords holds for them too. The step is what to do first.
    pub fn with_password(user: &[u8], password: &[u8]) -> (Server, Step) {
        let mut server = Server {
            exchange: Exchange::Plain,
            asked: None,
        };
        let step = server.remember(to_step(plain::ask(b"", user, password)));
        (server, step)
    }

    /// Remembers whom a password is asked for: who is let in later is precisely
    /// the one who was asked about.
    fn remember(&mut self, step: Step) -> Step {
        let Step::Ask(Ask::Password {
            authzid,
            authcid,
            password,
        }) = &step
        else {
            return step;
        };
        // RFC 4616 §2: a password has at least one character. There are directories that take a
        // login without one for an anonymous one (LDAP's simple bind), so none is asked.
        if password.is_empty() {
            return Step::Refuse(Refusal::BadCredentials);
        }
        let authzid = if authzid.is_empty() { authcid } else { authzid };
        self.asked = Some(Identity {
            authcid: authcid.clone(),
            authzid: authzid.clone(),
        });
        step
    }

    /// Takes the application's answer to [`Step::Ask`]. An answer that does
    /// not fit the question is a refusal.
    pub fn answer(&mut self, answer: Answer) -> Step {
        if let Exchange::Scram(scram) = &mut self.exchange {
            return scram.answer(answer);
        }
        match (self.asked.take(), answer) {
            (Some(identity), Answer::Accept) => Step::Accept(identity),
            (_, Answer::Refuse(why)) => Step::Refuse(why),
            _ => Step::Refuse(Refusal::Unavailable),
        }
    }
}

fn to_step(ask: Result<Ask, &'static str>) -> Step {
    match ask {
        Ok(ask) => Step::Ask(ask),
        Err(why) => Step::Malformed(why),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn plain_and_login() {
        let mut server = Server::new(Mechanism::Plain, b"n");
        assert!(matches!(server.step(None), Step::Challenge(c) if c.is_empty()));
        assert!(matches!(server.step(Some(b"\0u\0p")), Step::Ask(_)));
        assert!(
            matches!(server.step(Some(b"\0u\0p")), Step::Malformed(_)),
            "a question is open"
        );
        let Step::Accept(identity) = server.answer(Answer::Accept) else {
            panic!()
        };
        assert_eq!(identity.authzid, "u");
        assert!(
            matches!(server.answer(Answer::Accept), Step::Refuse(_)),
            "nothing was asked"
        );

        let mut server = Server::new(Mechanism::Login, b"n");
        assert!(matches!(server.step(None), Step::Challenge(c) if &c[..] == b"Username:"));
        assert!(matches!(server.step(Some(b"u")), Step::Challenge(c) if &c[..] == b"Password:"));
        assert!(
            matches!(server.step(Some(b"p")), Step::Ask(Ask::Password { password, .. }) if password.as_str() == "p")
        );
        assert!(matches!(
            server.answer(Answer::Refuse(Refusal::BadCredentials)),
            Step::Refuse(Refusal::BadCredentials)
        ));
        let mut server = Server::new(Mechanism::Login, b"n");
        assert!(
            matches!(server.step(Some(b"u")), Step::Challenge(c) if &c[..] == b"Password:"),
            "an initial response is the user"
        );
        assert!(matches!(
            Server::new(Mechanism::Login, b"n").step(Some(b"")),
            Step::Malformed(_)
        ));
    }

    #[test]
    fn a_password_that_came_by_other_commands() {
        let (mut server, step) = Server::with_password("\u{ff41}nn".as_bytes(), b"p");
        assert!(matches!(step, Step::Ask(Ask::Password { authcid, .. }) if authcid == "ann"));
        let Step::Accept(identity) = server.answer(Answer::Accept) else {
            panic!()
        };
        assert_eq!(
            (identity.authcid.as_str(), identity.authzid.as_str()),
            ("ann", "ann"),
            "the one who was asked about, not what was sent"
        );
        for (user, password) in [(&b""[..], &b"p"[..]), (b"a\tb", b"p"), (b"a", b"\0")] {
            let (_, step) = Server::with_password(user, password);
            assert!(matches!(step, Step::Malformed(_)), "{user:?} {password:?}");
        }
    }

    #[test]
    fn an_empty_password_is_never_asked_about() {
        let refused = |step| matches!(step, Step::Refuse(Refusal::BadCredentials));
        // A soft hyphen is mapped to nothing.
        for password in ["", "\u{ad}"] {
            let (mut server, step) = Server::with_password(b"ann", password.as_bytes());
            assert!(refused(step));
            assert!(matches!(server.answer(Answer::Accept), Step::Refuse(_)));
            let message = format!("\0ann\0{password}");
            let mut server = Server::new(Mechanism::Plain, b"n");
            assert!(refused(server.step(Some(message.as_bytes()))));
            let mut server = Server::new(Mechanism::Login, b"n");
            server.step(Some(b"ann"));
            assert!(refused(server.step(Some(password.as_bytes()))));
        }
    }

    #[test]
    fn a_refused_answer_ends_scram_too() {
        let mut server = Server::new(Mechanism::ScramSha256, b"n");
        assert!(matches!(
            server.step(Some(b"n,,n=u,r=x")),
            Step::Ask(Ask::Keys { .. })
        ));
        assert!(
            matches!(
                server.answer(Answer::Accept),
                Step::Refuse(Refusal::Unavailable)
            ),
            "keys were asked for"
        );
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(mechanism in 0..3usize, messages in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..80), 0..6)) {
            let mut server = Server::new(Mechanism::ALL[mechanism], b"n");
            for message in &messages {
                if let Step::Ask(_) = server.step(Some(message)) {
                    server.answer(Answer::Keys(None));
                }
            }
        }
    }
}
