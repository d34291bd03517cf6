//! When a try is repeated, when the sender is told of a delay, when it is over.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::entry::Entry;

/// The times of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The wait after the first try, the second, …; the last one is repeated.
    pub retry: Vec<Duration>,
    /// A message is given up this long after it came
    /// ([RFC 5321 §4.5.4.1](https://www.rfc-editor.org/rfc/rfc5321#section-4.5.4.1)
    /// wants four to five days).
    pub expire: Duration,
    /// A notice that nobody is told of is given up this long after it was made.
    pub expire_notice: Duration,
    /// The sender is told once when it takes longer than this; zero never tells.
    pub tell_delay: Duration,
}

impl Default for Schedule {
    fn default() -> Schedule {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        Schedule {
            retry: [5, 10, 20, 40, 60, 120, 240].map(minutes).into(),
            expire: Duration::from_secs(5 * 86_400),
            expire_notice: Duration::from_secs(2 * 86_400),
            tell_delay: Duration::from_secs(4 * 3600),
        }
    }
}

impl Schedule {
    /// The wait after so many tries (at least one), moved by up to a tenth, so
    /// that what failed together does not come back together. `salt` says how
    /// far it is moved.
    pub fn wait(&self, attempts: u32, salt: u64) -> Duration {
        let at = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let wait = self.retry.get(at).or(self.retry.last()).copied();
        let wait = wait.unwrap_or(Duration::from_secs(300));
        // 90 % to 110 % of it, in steps of a thousandth.
        let share = u32::try_from(salt % 201).unwrap_or(100) + 900;
        wait * share / 1000
    }

    /// When a message that came now is given up.
    pub fn expires(&self, came: Timestamp, notice: bool) -> Timestamp {
        let after = match notice {
            true => self.expire_notice,
            false => self.expire,
        };
        later(came, after)
    }

    /// When its sender is told that it takes longer.
    pub fn tells(&self, came: Timestamp, notice: bool) -> Option<Timestamp> {
        let wanted = !notice && !self.tell_delay.is_zero();
        wanted.then(|| later(came, self.tell_delay))
    }
}

/// A time later than another; the end of time at the latest.
pub fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// When an entry has to be looked at even if its lane does not move: the sender
/// is to be told something.
pub fn deadline(entry: &Entry) -> Timestamp {
    match entry.tell {
        Some(tell) => entry.expires.min(tell),
        None => entry.expires,
    }
}

const TRY: u8 = 0;
const DEADLINE: u8 = 1;

/// What the schedule says of an entry, beside its time and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row<'r> {
    /// Not a try: its lane does not move, and the sender is to be told.
    pub(super) overdue: bool,
    pub(super) deadline: i64,
    pub(super) lane: &'r str,
}

/// The row of an entry in the schedule.
pub(super) fn row(entry: &Entry, overdue: bool) -> Bytes {
    encode(overdue, deadline(entry).as_millisecond(), &entry.lane)
}

pub(super) fn encode(overdue: bool, deadline: i64, lane: &str) -> Bytes {
    let mut row = Vec::with_capacity(9 + lane.len());
    row.push(if overdue { DEADLINE } else { TRY });
    row.extend_from_slice(&deadline.to_be_bytes());
    row.extend_from_slice(lane.as_bytes());
    row.into()
}

pub(super) fn decode(row: &[u8]) -> Option<Row<'_>> {
    let (&kind, rest) = row.split_first()?;
    let (deadline, lane) = rest.split_first_chunk::<8>()?;
    Some(Row {
        overdue: match kind {
            TRY => false,
            DEADLINE => true,
            _ => return None,
        },
        deadline: i64::from_be_bytes(*deadline),
        lane: std::str::from_utf8(lane).ok()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn waits_grow_and_the_last_is_repeated() {
        let schedule = Schedule::default();
        let minutes = |attempts| schedule.wait(attempts, 100).as_secs() / 60;
        let waits: Vec<u64> = (1..=9).map(minutes).collect();
        assert_eq!(waits, [5, 10, 20, 40, 60, 120, 240, 240, 240]);
        assert_eq!(schedule.wait(0, 100), schedule.wait(1, 100));
        assert_eq!(schedule.wait(u32::MAX, 0), Duration::from_secs(12_960));
        for salt in 0..1000 {
            let wait = schedule.wait(1, salt).as_secs();
            assert!((270..=330).contains(&wait), "{wait}");
        }
        let nothing = Schedule {
            retry: Vec::new(),
            ..Schedule::default()
        };
        assert!(!nothing.wait(3, 0).is_zero());
    }

    #[test]
    fn the_deadline_is_the_first_thing_to_tell() {
        let mut entry = super::super::entry::tests::entry();
        entry.tell = Some(entry.came);
        assert_eq!(deadline(&entry), entry.came);
        entry.tell = None;
        assert_eq!(deadline(&entry), entry.expires);
    }

    #[test]
    fn rows_are_read_back() {
        let entry = super::super::entry::tests::entry();
        for overdue in [false, true] {
            let bytes = row(&entry, overdue);
            let read = decode(&bytes).unwrap();
            assert_eq!(read.lane, "there.test");
            assert_eq!(read.overdue, overdue);
            assert_eq!(read.deadline, deadline(&entry).as_millisecond());
            for cut in 0..9 {
                assert_eq!(decode(&bytes[..cut]), None);
            }
        }
        assert_eq!(decode(&[7; 20]), None);
    }
}
