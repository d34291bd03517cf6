//! A message that is to be held: MAIL's parameters `HOLDFOR=` and `HOLDUNTIL=`
//! of the FUTURERELEASE extension
//! ([RFC 4865](https://www.rfc-editor.org/rfc/rfc4865)).

use std::fmt;
use std::str::FromStr;

use super::command::ValueError;
use crate::imap::types::{Date, DateTime};
use crate::imap::url::rfc3339;

/// A length of time: `future-release-integer`, 1 to 999,999,999 seconds
/// (RFC 4865 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(u32);

impl Interval {
    /// The longest.
    pub const MAX: Interval = Interval(999_999_999);

    /// So many seconds.
    ///
    /// # Errors
    /// When it is 0, or more than [`Interval::MAX`].
    pub fn new(seconds: u32) -> Result<Self, ValueError> {
        if seconds == 0 || seconds > Self::MAX.0 {
            return Err(ValueError("a time to hold has 1 to 999999999 seconds"));
        }
        Ok(Self(seconds))
    }

    /// In seconds.
    pub fn seconds(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A moment: `date-time` of RFC 3339 §5.6, which is written in UTC (RFC 4865
/// §3) and kept in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

impl Moment {
    /// So many seconds after 1970-01-01 00:00:00 UTC.
    ///
    /// # Errors
    /// When that is not within the years 0 to 9999.
    pub fn from_unix(seconds: i64) -> Result<Self, ValueError> {
        let day = seconds.div_euclid(86_400);
        if Date::from_days(day).days() != day {
            return Err(ValueError("a date has a year of 0 to 9999"));
        }
        Ok(Self(seconds))
    }

    /// Seconds after 1970-01-01 00:00:00 UTC.
    pub fn unix(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = DateTime {
            unix: self.0,
            zone: 0,
        }
        .date();
        let second = self.0.rem_euclid(86_400);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            date.year(),
            date.month(),
            date.day(),
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }
}

impl FromStr for Moment {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let unix = rfc3339(text).ok_or(ValueError("not a date and time of RFC 3339"))?;
        Self::from_unix(unix)
    }
}

/// How long a message is held before it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hold {
    /// `HOLDFOR=`: so long, counted from MAIL.
    For(Interval),
    /// `HOLDUNTIL=`: until then.
    Until(Moment),
}

/// As notices repeat it (RFC 4865 §5.1.2).
impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hold::For(interval) => write!(f, "for;{interval}"),
            Hold::Until(moment) => write!(f, "until;{moment}"),
        }
    }
}

/// What a server announces with FUTURERELEASE (RFC 4865 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FutureRelease {
    /// The longest time it holds a message for.
    pub interval: Interval,
    /// The last moment it holds a message until.
    pub until: Moment,
}

impl FutureRelease {
    /// Whether a message may be held so long (RFC 4865 §4.2).
    pub fn allows(&self, hold: Hold) -> bool {
        match hold {
            Hold::For(interval) => interval <= self.interval,
            Hold::Until(moment) => moment <= self.until,
        }
    }
}

impl fmt::Display for FutureRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.interval, self.until)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn moments_are_those_of_rfc_3339() {
        for (text, shown) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("2007-05-31t23:59:60.25z", "2007-05-31T23:59:59Z"),
            ("1996-12-19T16:39:57-08:00", "1996-12-20T00:39:57Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(moment.to_string(), shown, "{text}");
            assert_eq!(shown.parse::<Moment>().unwrap(), moment);
        }
        for text in [
            "",
            "2007-05-31",
            "2007-05-31T23:59:59",
            "2007-02-29T00:00:00Z",
            "2007-05-31T24:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "0000-01-01T00:00:00+01:00",
            "2007-05-31T23:59:59Z\r\n",
        ] {
            assert!(text.parse::<Moment>().is_err(), "{text:?}");
        }
        assert!(Moment::from_unix(i64::MAX).is_err());
        assert!(Moment::from_unix(i64::MIN).is_err());
    }

    #[test]
    fn intervals_have_nine_digits() {
        assert!(Interval::new(0).is_err());
        assert!(Interval::new(1_000_000_000).is_err());
        assert_eq!(Interval::new(999_999_999).unwrap(), Interval::MAX);
    }
}
