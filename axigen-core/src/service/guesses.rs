//! Slows down who guesses passwords.

use std::time::Duration;

use axigen_proto::sasl::{Answer, Refusal};

/// How long the answer to the first wrong password of a connection waits; it
/// doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest an answer waits.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Wrong passwords of one connection. How many there may be is a limit of the
/// session.
#[derive(Debug, Default)]
pub(crate) struct Guesses(u32);

impl Guesses {
    /// Waits before a wrong password is answered.
    pub(crate) async fn slow_down(&mut self, answer: &Answer) {
        if matches!(answer, Answer::Refuse(Refusal::BadCredentials)) {
            tokio::time::sleep(self.next_wait()).await;
        }
    }

    fn next_wait(&mut self) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(2u32.saturating_pow(self.0));
        self.0 = self.0.saturating_add(1);
        wait.min(LONGEST_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_guess_waits_longer() {
        let mut guesses = Guesses::default();
        let waits: Vec<u128> = (0..7).map(|_| guesses.next_wait().as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 5000, 5000]);
        guesses.0 = u32::MAX;
        assert_eq!(guesses.next_wait(), LONGEST_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn only_wrong_passwords_wait() {
        let mut guesses = Guesses::default();
        let start = tokio::time::Instant::now();
        guesses.slow_down(&Answer::Accept).await;
        guesses
            .slow_down(&Answer::Refuse(Refusal::Unavailable))
            .await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        guesses
            .slow_down(&Answer::Refuse(Refusal::BadCredentials))
            .await;
        assert!(start.elapsed() >= FIRST_WAIT);
    }
}
