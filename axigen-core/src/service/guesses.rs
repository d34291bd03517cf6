//! One connection's logins: what they are answered, and what a wrong password
//! costs.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axigen_proto::TlsInfo;
use axigen_proto::sasl::{Answer, Ask, Refusal};

use super::Context;
use crate::directory::Login;

/// How long the answer to the first wrong password of a connection waits; it
/// doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest an answer waits.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Logins of one connection. How many may fail is a limit of the session; what
/// they cost over all connections is in [`crate::login`].
#[derive(Debug)]
pub(crate) struct Guesses {
    peer: IpAddr,
    wrong: u32,
}

impl Guesses {
    /// Of a connection from this peer.
    pub(crate) fn of(peer: IpAddr) -> Guesses {
        Guesses { peer, wrong: 0 }
    }

    /// Answers what an authentication asks. A login is given with an answer that
    /// accepts; the service may still refuse it, and says with
    /// [`decided`](Guesses::decided) what became of it.
    pub(crate) async fn answer(
        &self,
        context: &Context,
        tls: Option<&TlsInfo>,
        ask: &Ask,
    ) -> (Answer, Option<Login>) {
        let logins = &context.logins;
        // What follows on keys has waited already; a certificate cannot be guessed.
        if matches!(
            ask,
            Ask::Password { .. } | Ask::Keys { .. } | Ask::Token { .. }
        ) {
            let settings = context.settings.load_full();
            let wait =
                logins
                    .attempts
                    .wait(self.peer, ask.name(), &settings.logins, Instant::now());
            let Some(wait) = wait else {
                tracing::warn!(peer = %self.peer, user = ask.name(), "too many failed logins: one more was refused");
                return (Answer::Refuse(Refusal::TooMany), None);
            };
            tokio::time::sleep(wait).await;
        }
        match ask {
            Ask::Token { authzid, token } => logins.token(&context.directory, authzid, token).await,
            Ask::External { authzid } => logins.external(&context.directory, authzid, tls).await,
            _ => context.directory.answer(ask).await,
        }
    }

    /// Counts how a login went, and waits before a wrong one is answered.
    pub(crate) async fn decided(&mut self, context: &Context, ask: &Ask, answer: &Answer) {
        let attempts = &context.logins.attempts;
        match answer {
            Answer::Refuse(Refusal::BadCredentials) | Answer::RefuseToken(_) => {
                let settings = context.settings.load_full();
                attempts.failed(self.peer, ask.name(), &settings.logins, Instant::now());
                // Behind those that are trusted are many people; accounts pay there.
                let trusted = &settings.logins.trusted;
                if !trusted.iter().any(|peers| peers.contains(self.peer)) {
                    context.bans.fault(self.peer, 1);
                }
                tracing::info!(peer = %self.peer, user = ask.name(), "a login failed");
                tokio::time::sleep(self.next_wait()).await;
            }
            Answer::Accept | Answer::AcceptAs(_) => {
                let accepted = match answer {
                    Answer::AcceptAs(name) => Some(name.as_str()),
                    _ => ask.name(),
                };
                if let Some(name) = accepted {
                    let settings = context.settings.load_full();
                    attempts.succeeded(self.peer, name, &settings.logins, Instant::now());
                }
            }
            Answer::Keys(_) | Answer::Refuse(_) => {}
        }
    }

    fn next_wait(&mut self) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(2u32.saturating_pow(self.wrong));
        self.wrong = self.wrong.saturating_add(1);
        wait.min(LONGEST_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_guess_waits_longer() {
        let mut guesses = Guesses::of(IpAddr::from([127, 0, 0, 1]));
        let waits: Vec<u128> = (0..7).map(|_| guesses.next_wait().as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 5000, 5000]);
        guesses.wrong = u32::MAX;
        assert_eq!(guesses.next_wait(), LONGEST_WAIT);
    }
}
