//! The server side of one authentication, whatever the mechanism.

use super::login::Login;
use super::oauth::OAuth;
use super::scram::Scram;
use super::{Answer, Ask, Channel, Identity, Mechanism, Refusal, Step, plain};

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
    OAuth(OAuth),
    External,
}

impl Server {
    /// Starts a mechanism. `nonce` must be fresh, unpredictable bytes, never
    /// used for another exchange: this crate draws no random numbers, so the
    /// session's owner hands a seed in.
    pub fn new(mechanism: Mechanism, nonce: &[u8]) -> Server {
        let scram = |binds| Exchange::Scram(Box::new(Scram::new(nonce, binds)));
        let exchange = match mechanism {
            Mechanism::Plain => Exchange::Plain,
            Mechanism::Login => Exchange::Login(Login::default()),
            Mechanism::ScramSha256 => scram(false),
            Mechanism::ScramSha256Plus => scram(true),
            Mechanism::OAuthBearer | Mechanism::XOAuth2 => Exchange::OAuth(OAuth::new(mechanism)),
            Mechanism::External => Exchange::External,
        };
        Server {
            exchange,
            asked: None,
        }
    }

    /// Says what the exchange runs in: without it SCRAM has nothing to bind to.
    #[must_use]
    pub fn on(mut self, channel: Channel) -> Server {
        if let Exchange::Scram(scram) = &mut self.exchange {
            scram.on(channel);
        }
        self
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
            Exchange::OAuth(oauth) => oauth.step(response),
            Exchange::External => external(response),
        };
        self.remember(step)
    }

    /// The refusal that only waits for the client's last message: a client that
    /// cancels now was refused all the same (RFC 7628 §3.2.3).
    pub fn refused(&self) -> Option<Refusal> {
        match &self.exchange {
            Exchange::OAuth(oauth) => oauth.refused(),
            _ => None,
        }
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
        if let Step::Ask(Ask::External { authzid }) = &step {
            self.asked = Some(Identity {
                authcid: String::new(),
                authzid: authzid.clone(),
            });
        }
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
        match &mut self.exchange {
            Exchange::Scram(scram) => return scram.answer(answer),
            Exchange::OAuth(oauth) => return oauth.answer(answer),
            Exchange::Plain | Exchange::Login(_) | Exchange::External => {}
        }
        match (self.asked.take(), answer) {
            (Some(identity), Answer::Accept) if !identity.authcid.is_empty() => {
                Step::Accept(identity)
            }
            // Only EXTERNAL does not say who it is.
            (Some(identity), Answer::AcceptAs(authcid)) if identity.authcid.is_empty() => {
                let authzid = match identity.authzid.as_str() {
                    "" => authcid.clone(),
                    _ => identity.authzid,
                };
                Step::Accept(Identity { authcid, authzid })
            }
            (_, Answer::Refuse(why)) => Step::Refuse(why),
            _ => Step::Refuse(Refusal::Unavailable),
        }
    }
}

/// `client-message = [ authz-id-string ]`, UTF-8 without NUL (RFC 4422 appendix A.1).
fn external(response: Option<&[u8]>) -> Step {
    let Some(response) = response else {
        return Step::Challenge(Bytes::new());
    };
    to_step(plain::name(response).map(|authzid| Ask::External { authzid }))
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

    #[test]
    fn external_is_whoever_the_application_says() {
        for (sent, authzid) in [(&b""[..], ""), (b"boss@example.test", "boss@example.test")] {
            let mut server = Server::new(Mechanism::External, b"n");
            assert!(matches!(server.step(None), Step::Challenge(c) if c.is_empty()));
            assert!(
                matches!(server.step(Some(sent)), Step::Ask(Ask::External { authzid: asked }) if asked == authzid)
            );
            let Step::Accept(identity) = server.answer(Answer::AcceptAs("ann@example.test".into()))
            else {
                panic!()
            };
            assert_eq!(identity.authcid, "ann@example.test");
            let acts_as = if authzid.is_empty() {
                "ann@example.test"
            } else {
                authzid
            };
            assert_eq!(identity.authzid, acts_as);
        }
        let mut server = Server::new(Mechanism::External, b"n");
        server.step(Some(b""));
        assert!(
            matches!(
                server.answer(Answer::Accept),
                Step::Refuse(Refusal::Unavailable)
            ),
            "nobody was named"
        );
        for bad in [&b"a\0b"[..], b"\xff", b"a\x01"] {
            let mut server = Server::new(Mechanism::External, b"n");
            assert!(matches!(server.step(Some(bad)), Step::Malformed(_)));
        }
        // Nobody who proved a password is let in as somebody else.
        let (mut server, _) = Server::with_password(b"ann", b"p");
        assert!(matches!(
            server.answer(Answer::AcceptAs("boss".into())),
            Step::Refuse(Refusal::Unavailable)
        ));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(mechanism in 0..Mechanism::ALL.len(), messages in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..80), 0..6)) {
            let mut server = Server::new(Mechanism::ALL[mechanism], b"n");
            for message in &messages {
                if let Step::Ask(_) = server.step(Some(message)) {
                    server.answer(Answer::Keys(None));
                }
            }
        }
    }
}
