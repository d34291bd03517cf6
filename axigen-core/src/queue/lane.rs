//! A lane: everything that goes one way, to one domain or one relay host.
//!
//! A lane remembers trouble. When its hosts cannot be reached it *rests*, longer
//! each time, and then one session tries before others follow. Nothing of it is
//! on disk: after a restart a lane is tried once to find out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::dispatch::Ready;
use super::schedule::later;

/// Sessions a lane begins with; each message that arrives allows one more.
const FIRST_SESSIONS: usize = 2;

/// How much of a lane's mail is on its way at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaneLimits {
    /// Most sessions at the same time.
    pub(crate) sessions: usize,
    /// Shortest time between the beginnings of two messages; zero is no limit.
    pub(crate) pace: Duration,
}

/// What is known of a lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) ready: VecDeque<Ready>,
    /// Rows may be parked for it.
    pub(super) parked: bool,
    pub(super) limits: LaneLimits,
    /// Sessions that are open, and those of them with nothing to do.
    pub(super) sessions: usize,
    pub(super) idle: usize,
    /// Wakes sessions that have nothing to do.
    pub(super) more: Arc<Notify>,
    /// Sessions that are allowed now.
    allowed: usize,
    /// Nothing is tried before.
    rest: Option<Timestamp>,
    /// How often in a row it could not be reached.
    failures: u32,
    /// What was said then.
    pub(super) trouble: Option<Trouble>,
    /// The next message may begin then.
    next: Option<Timestamp>,
    /// It stands in the line of those that want a session.
    pub(super) in_line: bool,
}

/// Why a lane rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// The host that was tried last.
    pub(crate) host: Option<String>,
    /// What became of it.
    pub(crate) what: String,
}

impl Lane {
    pub(super) fn new(limits: LaneLimits) -> Lane {
        Lane {
            ready: VecDeque::new(),
            parked: false,
            allowed: FIRST_SESSIONS.min(limits.sessions),
            limits,
            sessions: 0,
            idle: 0,
            more: Arc::default(),
            rest: None,
            failures: 0,
            trouble: None,
            next: None,
            in_line: false,
        }
    }

    pub(super) fn rests(&self) -> bool {
        self.rest.is_some()
    }

    pub(super) fn rested(&mut self) {
        self.rest = None;
    }

    /// Another session would find something to do.
    pub(super) fn wants_session(&self) -> bool {
        !self.rests() && self.sessions < self.allowed && self.ready.len() > self.idle
    }

    /// Nothing would be forgotten with it.
    pub(super) fn is_over(&self) -> bool {
        let nothing = self.ready.is_empty() && self.sessions == 0 && !self.parked;
        nothing && !self.rests() && self.failures == 0
    }

    /// Whether the next message must wait, and until when.
    pub(super) fn pace(&mut self, now: Timestamp) -> Option<Timestamp> {
        if self.limits.pace.is_zero() {
            return None;
        }
        if let Some(next) = self.next
            && next > now
        {
            return Some(next);
        }
        self.next = Some(later(now, self.limits.pace));
        None
    }

    /// A message arrived.
    pub(super) fn worked(&mut self) {
        self.failures = 0;
        self.trouble = None;
        self.allowed = (self.allowed + 1).min(self.limits.sessions);
    }

    /// None of its hosts could be reached; it rests, and until when.
    pub(super) fn failed(
        &mut self,
        trouble: Trouble,
        now: Timestamp,
        wait: impl FnOnce(u32) -> Duration,
    ) -> Timestamp {
        if let Some(rest) = self.rest {
            // Several sessions met the same trouble: it counts once.
            return rest;
        }
        self.failures = self.failures.saturating_add(1);
        self.trouble = Some(trouble);
        self.allowed = 1;
        let until = later(now, wait(self.failures));
        self.rest = Some(until);
        until
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn lane() -> Lane {
        Lane::new(LaneLimits {
            sessions: 4,
            pace: Duration::ZERO,
        })
    }

    #[test]
    fn success_opens_a_lane_and_trouble_closes_it() {
        let mut lane = lane();
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(lane.allowed, 2);
        for _ in 0..10 {
            lane.worked();
        }
        assert_eq!(lane.allowed, 4);
        let trouble = || Trouble {
            host: None,
            what: "down".into(),
        };
        let wait = |failures: u32| Duration::from_secs(u64::from(failures) * 10);
        let until = lane.failed(trouble(), now, wait);
        assert_eq!(until.as_second(), 10);
        // The others that were open meet the same trouble.
        assert_eq!(lane.failed(trouble(), until, wait), until);
        assert!(lane.rests() && !lane.is_over());
        lane.rested();
        assert_eq!(lane.failed(trouble(), until, wait).as_second(), 30);
        lane.rested();
        assert_eq!(lane.allowed, 1, "one tries first");
        lane.worked();
        assert!(lane.is_over());
        assert_eq!(lane.trouble, None);
    }

    #[test]
    fn a_pace_is_kept() {
        let mut lane = Lane::new(LaneLimits {
            sessions: 1,
            pace: Duration::from_secs(2),
        });
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(lane.pace(now), None);
        let next = lane.pace(now).unwrap();
        assert_eq!(next.as_second(), 2);
        assert_eq!(lane.pace(next), None);
        assert!(lane.pace(next).is_some());
    }
}
