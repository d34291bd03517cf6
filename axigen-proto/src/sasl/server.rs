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
            Exchange::Plain => match response.map(plain::parse) {
                None => Step::Challenge(Bytes::new()),
                Some(Ok(ask)) => Step::Ask(ask),
                Some(Err(why)) => Step::Malformed(why),
            },
            Exchange::Login(login) => login.step(response),
            Exchange::Scram(scram) => scram.step(response),
        };
        if let Step::Ask(Ask::Password {
            authzid, authcid, ..
        }) = &step
        {
            let authzid = if authzid.is_empty() { authcid } else { authzid };
            self.asked = Some(Identity {
                authcid: authcid.clone(),
                authzid: authzid.clone(),
            });
        }
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
