//! Names of mailboxes.
//!
//! A name is UTF-8 with levels separated by `/`. It is at most 1000 bytes and
//! 32 levels; no level is empty, `.` or `..`; there are no control characters
//! and no line or paragraph separators; a new name has no `*` and no `%`, which
//! LIST could not ask for. A first level that spells INBOX in any case is
//! `INBOX` ([RFC 9051 §5.1](https://www.rfc-editor.org/rfc/rfc9051#section-5.1)).
//! Names are kept in Unicode's Normalization Form C, so that composed and
//! decomposed spellings are one name
//! ([RFC 9051 §5.1](https://www.rfc-editor.org/rfc/rfc9051#section-5.1),
//! [RFC 5198 §3](https://www.rfc-editor.org/rfc/rfc5198#section-3)); otherwise they
//! are compared byte by byte. [`Limits`] are for new names and can be set lower.

use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::{
    error::{Error, Result},
    types::MailboxInfo,
};

/// The inbox.
pub const INBOX: &str = "INBOX";
/// Separates the levels of a name.
pub const SEPARATOR: char = '/';
/// Longest name, in bytes.
pub const MAX_BYTES: usize = 1000;
/// Most levels of a name.
pub const MAX_LEVELS: usize = 32;

/// What a new name may be. Names that are there already stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest name, in bytes; [`MAX_BYTES`] holds in any case.
    pub bytes: usize,
    /// Longest level of a name, in bytes.
    pub level_bytes: usize,
    /// Most levels; [`MAX_LEVELS`] holds in any case.
    pub levels: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            bytes: MAX_BYTES,
            level_bytes: 255,
            levels: MAX_LEVELS,
        }
    }
}

impl Limits {
    /// Whether a name in its kept form is within them ([`Error::BadName`]).
    pub fn check(&self, name: &str) -> Result<()> {
        if name.len() > self.bytes {
            return Err(Error::BadName("be that long"));
        }
        if name.split(SEPARATOR).count() > self.levels {
            return Err(Error::BadName("have so many levels"));
        }
        match name
            .split(SEPARATOR)
            .any(|level| level.len() > self.level_bytes)
        {
            true => Err(Error::BadName("have so long a level")),
            false => Ok(()),
        }
    }
}

/// A name in the form it is kept in, or the rule it breaks
/// ([`Error::BadName`]).
pub fn normalise(name: &str) -> Result<String> {
    // The length first: what is normalised is never large.
    if name.len() > MAX_BYTES || is_nfc(name) {
        return as_given(name);
    }
    as_given(&name.nfc().collect::<String>())
}

/// The same without Unicode's normalisation: how names were kept before there
/// was any.
pub(crate) fn as_given(name: &str) -> Result<String> {
    if name.is_empty() {
        return Err(Error::BadName("be empty"));
    }
    if name.len() > MAX_BYTES {
        return Err(Error::BadName("be longer than 1000 bytes"));
    }
    if name
        .chars()
        .any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
    {
        return Err(Error::BadName("have control characters"));
    }
    for (level, component) in name.split(SEPARATOR).enumerate() {
        if level == MAX_LEVELS {
            return Err(Error::BadName("have more than 32 levels"));
        }
        match component {
            "" => return Err(Error::BadName("have an empty level")),
            "." | ".." => return Err(Error::BadName("have a level `.` or `..`")),
            _ => {}
        }
    }
    // RFC 9051 §5.1: the case-insensitive name INBOX is reserved.
    Ok(match name.split_at_checked(INBOX.len()) {
        Some((first, rest))
            if first.eq_ignore_ascii_case(INBOX)
                && (rest.is_empty() || rest.starts_with(SEPARATOR)) =>
        {
            format!("{INBOX}{rest}")
        }
        _ => name.to_owned(),
    })
}

/// The same for a name that is to be made.
pub fn normalise_new(name: &str) -> Result<String> {
    if name.contains(['*', '%']) {
        return Err(Error::BadName("have `*` or `%`"));
    }
    // RFC 9051 §6.3.4: a trailing separator only announces children; the name
    // made is without it.
    normalise(match name.strip_suffix(SEPARATOR) {
        Some(rest) if !rest.is_empty() => rest,
        _ => name,
    })
}

/// The names above this one, the highest first.
pub fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices(SEPARATOR).map(|(at, _)| &name[..at])
}

/// Names that have mailboxes below them but are none themselves, in order.
/// LIST shows them as `\NonExistent`
/// ([RFC 9051 §7.3.1](https://www.rfc-editor.org/rfc/rfc9051#section-7.3.1)).
pub fn missing_parents(mailboxes: &[MailboxInfo]) -> Vec<String> {
    let present: std::collections::BTreeSet<&str> =
        mailboxes.iter().map(|info| info.name.as_str()).collect();
    let missing: std::collections::BTreeSet<&str> = present
        .iter()
        .flat_map(|name| parents(name))
        .filter(|name| !present.contains(name))
        .collect();
    missing.into_iter().map(str::to_owned).collect()
}

/// The order of LIST: INBOX first, then level by level.
pub(super) fn order(a: &str, b: &str) -> std::cmp::Ordering {
    (a != INBOX)
        .cmp(&(b != INBOX))
        .then_with(|| a.split(SEPARATOR).cmp(b.split(SEPARATOR)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rules() {
        for bad in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "./a",
            "a\0b",
            "a\r\nb",
            "\u{7f}",
            "\u{85}",
            "a\u{2028}",
        ] {
            assert!(matches!(normalise(bad), Err(Error::BadName(_))), "{bad:?}");
        }
        for good in [
            "a",
            "a.b",
            "...",
            "Entwürfe/ß",
            "a b",
            "~x",
            "&-",
            "*",
            "日本語",
        ] {
            assert_eq!(normalise(good).unwrap(), good);
        }
        assert!(normalise_new("a*").is_err() && normalise_new("%").is_err());
        assert_eq!(normalise_new("a/b/").unwrap(), "a/b");
        assert!(normalise_new("a//").is_err() && normalise_new("/").is_err());
    }

    #[test]
    fn limits() {
        assert!(normalise(&"x".repeat(MAX_BYTES)).is_ok());
        assert!(normalise(&"x".repeat(MAX_BYTES + 1)).is_err());
        assert!(normalise(&["x"; MAX_LEVELS].join("/")).is_ok());
        assert!(normalise(&["x"; MAX_LEVELS + 1].join("/")).is_err());
        assert!(normalise(&"x/".repeat(1 << 20)).is_err());
    }

    #[test]
    fn limits_of_new_names() {
        let limits = Limits {
            bytes: 10,
            level_bytes: 4,
            levels: 3,
        };
        for (name, fits) in [
            ("1234/1234", true),
            ("1234/1234/1", false),
            ("12345", false),
            ("a/b/c", true),
            ("a/b/c/d", false),
            ("ää", true),
            ("äää", false),
        ] {
            assert_eq!(limits.check(name).is_ok(), fits, "{name}");
        }
    }

    #[test]
    fn spellings_of_one_text_are_one_name() {
        for (given, kept) in [
            ("Entwu\u{308}rfe", "Entwürfe"),
            ("\u{212b}ngstro\u{308}m/\u{2126}", "\u{c5}ngström/\u{3a9}"),
            ("\u{1100}\u{1161}", "\u{ac00}"),
            // Compatible, but not the same.
            ("\u{fb01}", "\u{fb01}"),
        ] {
            assert_eq!(normalise(given).unwrap(), kept);
            assert_eq!(normalise_new(given).unwrap(), kept);
        }
        // One that grows: it is looked at again.
        assert!(normalise(&"\u{1d160}".repeat(MAX_BYTES / 4)).is_err());
    }

    #[test]
    fn inbox_in_any_case() {
        assert_eq!(normalise("inBox").unwrap(), "INBOX");
        assert_eq!(normalise("inbox/x").unwrap(), "INBOX/x");
        assert_eq!(normalise("inboxes").unwrap(), "inboxes");
        assert_eq!(normalise("a/inbox").unwrap(), "a/inbox");
    }

    #[test]
    fn levels() {
        assert_eq!(parents("a/b/c").collect::<Vec<_>>(), ["a", "a/b"]);
        assert_eq!(parents("a").count(), 0);
        let mut names = ["b", "a.c", "a/b", "a", "INBOX", "INBOX/x"];
        names.sort_by(|a, b| order(a, b));
        assert_eq!(names, ["INBOX", "INBOX/x", "a", "a/b", "a.c", "b"]);
    }

    proptest! {
        #[test]
        fn normal_names_stay(name in "\\PC{0,40}") {
            if let Ok(normal) = normalise(&name) {
                prop_assert_eq!(normalise(&normal).unwrap(), normal);
            }
        }
    }
}
