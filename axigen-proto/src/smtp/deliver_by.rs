//! By when a message must be delivered: MAIL's parameter `BY=` of the DELIVERBY
//! extension ([RFC 2852](https://www.rfc-editor.org/rfc/rfc2852)).

use std::fmt;

use super::command::ValueError;

/// Largest number of seconds, in the future and in the past (RFC 2852 §4).
pub const MAX_SECONDS: i32 = 999_999_999;

/// What happens to a message that is not delivered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByMode {
    /// `R`: it goes back to its sender as undeliverable.
    Return,
    /// `N`: its sender is told that it is late, and delivery goes on.
    Notify,
}

/// `BY=`: the time that is left, and what happens afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeliverBy {
    seconds: i32,
    mode: ByMode,
    trace: bool,
}

impl DeliverBy {
    /// `seconds` is the time from now, negative when it has passed; with
    /// `trace`, each relay sends the sender a notice.
    ///
    /// # Errors
    /// When it is further away than [`MAX_SECONDS`], and when a message is to be
    /// returned after a time that is not in the future (RFC 2852 §4).
    pub fn new(seconds: i32, mode: ByMode, trace: bool) -> Result<Self, ValueError> {
        if !(-MAX_SECONDS..=MAX_SECONDS).contains(&seconds) {
            return Err(ValueError("BY has a time of up to 9 digits"));
        }
        if mode == ByMode::Return && seconds <= 0 {
            return Err(ValueError("BY with R needs a time in the future"));
        }
        Ok(Self {
            seconds,
            mode,
            trace,
        })
    }

    /// Seconds until the message must be delivered, counted from MAIL; negative
    /// when that has passed.
    pub fn seconds(self) -> i32 {
        self.seconds
    }

    /// What happens afterwards.
    pub fn mode(self) -> ByMode {
        self.mode
    }

    /// Whether each relay tells the sender that it has handed the message on.
    pub fn trace(self) -> bool {
        self.trace
    }

    /// What the next server is told, `elapsed` seconds later (RFC 2852 §4.1.4).
    /// `None` when a message that must be returned has run out of time.
    pub fn after(self, elapsed: u32) -> Option<Self> {
        let left = i64::from(self.seconds) - i64::from(elapsed);
        let left = left.max(i64::from(-MAX_SECONDS));
        Self::new(i32::try_from(left).ok()?, self.mode, self.trace).ok()
    }
}

/// As on the wire.
impl fmt::Display for DeliverBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            ByMode::Return => "R",
            ByMode::Notify => "N",
        };
        let trace = if self.trace { "T" } else { "" };
        write!(f, "{};{mode}{trace}", self.seconds)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_message_is_returned_only_in_the_future() {
        for seconds in [0, -1, 1_000_000_000, i32::MIN, i32::MAX] {
            assert!(
                DeliverBy::new(seconds, ByMode::Return, true).is_err(),
                "{seconds}"
            );
        }
        let late = DeliverBy::new(-120, ByMode::Notify, false).unwrap();
        assert_eq!(late.to_string(), "-120;N");
        let soon = DeliverBy::new(120, ByMode::Return, true).unwrap();
        assert_eq!(soon.to_string(), "120;RT");
    }

    #[test]
    fn time_passes_on_the_way() {
        let by = DeliverBy::new(120, ByMode::Return, true).unwrap();
        assert_eq!(by.after(20).unwrap().seconds(), 100);
        assert_eq!(by.after(120), None);
        let by = DeliverBy::new(-MAX_SECONDS, ByMode::Notify, false).unwrap();
        assert_eq!(by.after(u32::MAX), Some(by));
    }
}
