//! The small values of IMAP: tags, mailbox names, flags, dates, attributes.

use std::fmt;
use std::sync::Arc;

/// The tag of a command, returned in its completion response.
///
/// ```text
/// tag = 1*<any ASTRING-CHAR except "+">
/// ```
/// [RFC 9051 §2.2.1](https://www.rfc-editor.org/rfc/rfc9051#section-2.2.1)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag(Box<str>);

impl Tag {
    /// Makes a tag; `None` when the text is empty or holds a byte that a tag
    /// may not hold.
    pub fn new(text: &str) -> Option<Tag> {
        Self::from_bytes(text.as_bytes())
    }

    /// As [`Tag::new`], from bytes off the wire.
    pub fn from_bytes(bytes: &[u8]) -> Option<Tag> {
        if bytes.is_empty() || !bytes.iter().all(|&b| is_tag_char(b)) {
            return None;
        }
        std::str::from_utf8(bytes)
            .ok()
            .map(|text| Tag(text.to_owned().into_boxed_str()))
    }

    /// A tag of a letter and a number.
    pub(crate) fn numbered(number: u64) -> Tag {
        Tag(format!("A{number}").into_boxed_str())
    }

    /// The tag's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A mailbox name in UTF-8, whatever form it had on the wire (modified UTF-7
/// in IMAP4rev1, UTF-8 in IMAP4rev2). INBOX is always spelled in capitals.
///
/// It is what the peer sent: it may be empty, hold `..` or control characters
/// other than NUL, CR and LF. What a name may be is decided by whoever keeps mailboxes.
/// [RFC 9051 §5.1](https://www.rfc-editor.org/rfc/rfc9051#section-5.1)
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName(String);

impl MailboxName {
    /// Wraps a name; `inbox` in any case becomes `INBOX`.
    pub fn new(name: impl Into<String>) -> MailboxName {
        let name = name.into();
        // RFC 9051 §5.1: INBOX is case-insensitive.
        if name.eq_ignore_ascii_case("INBOX") {
            MailboxName("INBOX".to_owned())
        } else {
            MailboxName(name)
        }
    }

    /// The name in UTF-8.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in UTF-8, owned.
    pub fn into_string(self) -> String {
        self.0
    }

    /// Whether this is the INBOX.
    pub fn is_inbox(&self) -> bool {
        self.0 == "INBOX"
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for MailboxName {
    fn from(name: &str) -> Self {
        MailboxName::new(name)
    }
}

impl From<String> for MailboxName {
    fn from(name: String) -> Self {
        MailboxName::new(name)
    }
}

/// A message flag.
/// [RFC 9051 §2.3.2](https://www.rfc-editor.org/rfc/rfc9051#section-2.3.2)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Flag {
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Seen`
    Seen,
    /// `\Draft`
    Draft,
    /// `\Recent` (RFC 3501 only). A client cannot set it: ignore it in STORE
    /// and APPEND. Never sent once IMAP4rev2 is enabled.
    Recent,
    /// A keyword, without backslash, in the case the peer used.
    Keyword(Arc<str>),
    /// A system flag this program does not know, without its backslash.
    Extension(Arc<str>),
}

impl Flag {
    /// The flag of this name (with its backslash if it has one); `None` when
    /// the text is not a flag.
    pub fn new(text: &str) -> Option<Flag> {
        let (system, name) = match text.strip_prefix('\\') {
            Some(name) => (true, name),
            None => (false, text),
        };
        if name.is_empty() || !name.bytes().all(is_atom_char) {
            return None;
        }
        if !system {
            return Some(Flag::Keyword(name.into()));
        }
        Some(match name.to_ascii_lowercase().as_str() {
            "answered" => Flag::Answered,
            "flagged" => Flag::Flagged,
            "deleted" => Flag::Deleted,
            "seen" => Flag::Seen,
            "draft" => Flag::Draft,
            "recent" => Flag::Recent,
            _ => Flag::Extension(name.into()),
        })
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flag::Answered => f.write_str("\\Answered"),
            Flag::Flagged => f.write_str("\\Flagged"),
            Flag::Deleted => f.write_str("\\Deleted"),
            Flag::Seen => f.write_str("\\Seen"),
            Flag::Draft => f.write_str("\\Draft"),
            Flag::Recent => f.write_str("\\Recent"),
            Flag::Keyword(name) => f.write_str(name),
            Flag::Extension(name) => write!(f, "\\{name}"),
        }
    }
}

/// What a mailbox is for.
/// [RFC 6154 §2](https://www.rfc-editor.org/rfc/rfc6154#section-2)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpecialUse {
    /// `\All`
    All,
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Flagged`
    Flagged,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

impl SpecialUse {
    /// All of them.
    pub const EVERY: [SpecialUse; 7] = [
        SpecialUse::All,
        SpecialUse::Archive,
        SpecialUse::Drafts,
        SpecialUse::Flagged,
        SpecialUse::Junk,
        SpecialUse::Sent,
        SpecialUse::Trash,
    ];

    /// The attribute's name with its backslash.
    pub fn as_str(self) -> &'static str {
        match self {
            SpecialUse::All => "\\All",
            SpecialUse::Archive => "\\Archive",
            SpecialUse::Drafts => "\\Drafts",
            SpecialUse::Flagged => "\\Flagged",
            SpecialUse::Junk => "\\Junk",
            SpecialUse::Sent => "\\Sent",
            SpecialUse::Trash => "\\Trash",
        }
    }
}

/// A data item of STATUS.
/// [RFC 9051 §6.3.11](https://www.rfc-editor.org/rfc/rfc9051#section-6.3.11)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusItem {
    /// Number of messages.
    Messages,
    /// Number of messages with `\Recent` (RFC 3501 only). Never sent once
    /// IMAP4rev2 is enabled.
    Recent,
    /// The next UID.
    UidNext,
    /// The UIDVALIDITY.
    UidValidity,
    /// Number of messages without `\Seen`.
    Unseen,
    /// Number of messages with `\Deleted`.
    Deleted,
    /// Total size of the messages in bytes (RFC 8438).
    Size,
    /// The modification number of the last change (RFC 7162).
    HighestModSeq,
    /// Largest message that can be appended, in bytes (RFC 7889).
    AppendLimit,
    /// Bytes that EXPUNGE would free, in units of 1024 (RFC 9208).
    DeletedStorage,
    /// The mailbox's identifier (RFC 8474), which is no number.
    MailboxId,
}

impl StatusItem {
    /// The item's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            StatusItem::Messages => "MESSAGES",
            StatusItem::Recent => "RECENT",
            StatusItem::UidNext => "UIDNEXT",
            StatusItem::UidValidity => "UIDVALIDITY",
            StatusItem::Unseen => "UNSEEN",
            StatusItem::Deleted => "DELETED",
            StatusItem::Size => "SIZE",
            StatusItem::HighestModSeq => "HIGHESTMODSEQ",
            StatusItem::AppendLimit => "APPENDLIMIT",
            StatusItem::DeletedStorage => "DELETED-STORAGE",
            StatusItem::MailboxId => "MAILBOXID",
        }
    }
}

/// A date without time or zone, as SEARCH uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// A date of the Gregorian calendar; `None` when there is no such day.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Date> {
        (year <= 9999 && day >= 1 && day <= days_in_month(year, month)?).then_some(Date {
            year,
            month,
            day,
        })
    }

    /// Days since 1970-01-01 (negative before).
    pub fn days(self) -> i64 {
        days_from_civil(i64::from(self.year), self.month, self.day)
    }

    /// The date that is so many days after 1970-01-01, kept within the years 0 to 9999.
    pub fn from_days(days: i64) -> Date {
        let days = days.clamp(FIRST_DAY, LAST_DAY);
        let (year, month, day) = civil_from_days(days);
        Date {
            year: u16::try_from(year).unwrap_or(0),
            month,
            day,
        }
    }

    /// The year, 0 to 9999.
    pub fn year(self) -> u16 {
        self.year
    }

    /// The month, 1 to 12.
    pub fn month(self) -> u8 {
        self.month
    }

    /// The day, 1 to 31.
    pub fn day(self) -> u8 {
        self.day
    }
}

impl fmt::Display for Date {
    /// `date-day "-" date-month "-" date-year`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}-{:04}",
            self.day,
            month_name(self.month),
            self.year
        )
    }
}

/// A moment and the zone it was given in: INTERNALDATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DateTime {
    /// Seconds since 1970-01-01 00:00:00 UTC.
    pub unix: i64,
    /// Minutes east of UTC.
    pub zone: i16,
}

impl DateTime {
    /// A local date and time of day in a zone; `None` when out of range. The
    /// leap second 60 becomes 59.
    pub fn new(date: Date, hour: u8, minute: u8, second: u8, zone: i16) -> Option<DateTime> {
        if hour > 23 || minute > 59 || second > 60 || zone.unsigned_abs() >= 24 * 60 {
            return None;
        }
        let local = date.days() * 86_400
            + i64::from(hour) * 3600
            + i64::from(minute) * 60
            + i64::from(second.min(59));
        Some(DateTime {
            unix: local - i64::from(zone) * 60,
            zone,
        })
    }

    /// The date in its own zone.
    pub fn date(self) -> Date {
        Date::from_days(self.local().div_euclid(86_400))
    }

    fn local(self) -> i64 {
        self.unix.saturating_add(i64::from(self.zone) * 60)
    }
}

impl fmt::Display for DateTime {
    /// The inside of
    /// `date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.date();
        let second = self.local().rem_euclid(86_400);
        let zone = self.zone.unsigned_abs();
        write!(
            f,
            "{:2}-{}-{:04} {:02}:{:02}:{:02} {}{:02}{:02}",
            date.day,
            month_name(date.month),
            date.year,
            second / 3600,
            second / 60 % 60,
            second % 60,
            if self.zone < 0 { '-' } else { '+' },
            zone / 60 % 100,
            zone % 60,
        )
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const FIRST_DAY: i64 = -719_528; // 0000-01-01
const LAST_DAY: i64 = 2_932_896; // 9999-12-31

fn month_name(month: u8) -> &'static str {
    MONTHS
        .get(usize::from(month).wrapping_sub(1))
        .copied()
        .unwrap_or("Jan")
}

/// The number of the month of this name, in any case.
pub(crate) fn month_number(name: &[u8]) -> Option<u8> {
    let at = MONTHS
        .iter()
        .position(|month| month.as_bytes().eq_ignore_ascii_case(name))?;
    u8::try_from(at + 1).ok()
}

fn days_in_month(year: u16, month: u8) -> Option<u8> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    })
}

/// Days since 1970-01-01 of a date, counting years from March so that the leap day comes last.
fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (
        year,
        u8::try_from(month).unwrap_or(1),
        u8::try_from(day).unwrap_or(1),
    )
}

/// ```text
/// ATOM-CHAR      = <any CHAR except atom-specials>
/// atom-specials  = "(" / ")" / "{" / SP / CTL / list-wildcards / quoted-specials / resp-specials
/// ```
pub(crate) fn is_atom_char(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e)
        && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// `ASTRING-CHAR = ATOM-CHAR / resp-specials`
pub(crate) fn is_astring_char(byte: u8) -> bool {
    is_atom_char(byte) || byte == b']'
}

/// `<any ASTRING-CHAR except "+">`
pub(crate) fn is_tag_char(byte: u8) -> bool {
    is_astring_char(byte) && byte != b'+'
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_and_days() {
        assert_eq!(Date::new(1970, 1, 1).unwrap().days(), 0);
        assert_eq!(Date::new(2000, 3, 1).unwrap().days(), 11_017);
        assert_eq!(Date::new(0, 1, 1).unwrap().days(), FIRST_DAY);
        assert_eq!(Date::new(9999, 12, 31).unwrap().days(), LAST_DAY);
        assert_eq!(Date::new(2023, 2, 29), None);
        assert_eq!(Date::new(2024, 2, 30), None);
        assert_eq!(Date::new(2024, 13, 1), None);
        assert_eq!(Date::new(2024, 1, 0), None);
    }

    #[test]
    fn date_time_text() {
        // The example of RFC 3501 §6.3.11's neighbour, FETCH INTERNALDATE in §7.4.2.
        let at = DateTime::new(Date::new(1996, 7, 17).unwrap(), 2, 44, 25, -420).unwrap();
        assert_eq!(at.to_string(), "17-Jul-1996 02:44:25 -0700");
        assert_eq!(at.unix, 837_596_665);
        let at = DateTime { unix: 0, zone: 330 };
        assert_eq!(at.to_string(), " 1-Jan-1970 05:30:00 +0530");
        let far = DateTime {
            unix: i64::MAX,
            zone: i16::MIN,
        };
        assert!(far.to_string().contains("-9999 "));
    }

    #[test]
    fn flags_by_name() {
        assert_eq!(Flag::new("\\SEEN"), Some(Flag::Seen));
        assert_eq!(Flag::new("$Junk"), Some(Flag::Keyword("$Junk".into())));
        assert_eq!(Flag::new("\\X").unwrap().to_string(), "\\X");
        assert_eq!(Flag::new("a b"), None);
        assert_eq!(Flag::new("\\"), None);
        assert_eq!(Flag::new("\\*"), None);
    }

    #[test]
    fn tags() {
        assert!(Tag::new("A001").is_some());
        assert!(Tag::new("a]b").is_some());
        for bad in ["", "+", "a+b", "a b", "a(b", "ä", "*"] {
            assert_eq!(Tag::new(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn days_round_trip(days in FIRST_DAY..=LAST_DAY) {
            let date = Date::from_days(days);
            prop_assert_eq!(date.days(), days);
            prop_assert_eq!(Date::new(date.year(), date.month(), date.day()), Some(date));
        }
    }
}
