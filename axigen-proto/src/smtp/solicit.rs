//! Classes of solicitation: what NO-SOLICITING says is not wanted, and what
//! MAIL's parameter `SOLICIT=` says a message is
//! ([RFC 3865](https://www.rfc-editor.org/rfc/rfc3865)).

use std::fmt;
use std::str::FromStr;

use super::command::ValueError;

/// Longest list as it is written, in bytes (RFC 3865 §2.2).
pub const MAX_KEYWORDS: usize = 1000;

/// One solicitation class keyword or more, as in
/// `net.example:ADV,org.example:ADV:ADLT`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Solicitation(Vec<String>);

impl Solicitation {
    /// The keywords, at least one.
    pub fn keywords(&self) -> &[String] {
        &self.0
    }

    /// The first of these keywords that is among the others. Case makes no
    /// difference, since the first part of a keyword is a domain.
    pub fn first_of(&self, others: &Solicitation) -> Option<&str> {
        self.0
            .iter()
            .find(|keyword| others.0.iter().any(|o| o.eq_ignore_ascii_case(keyword)))
            .map(String::as_str)
    }
}

/// As on the wire.
impl fmt::Display for Solicitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// ```text
/// Solicitation-keywords = word 0*("," word)     ; up to 1000 characters
/// word                  = ALPHA 0*(wordchar)
/// wordchar              = "." / "-" / "_" / ":" / ALPHA / DIGIT   ; RFC 3865 §2.2
/// ```
impl FromStr for Solicitation {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.len() > MAX_KEYWORDS {
            return Err(ValueError(
                "the solicitation keywords are longer than 1000 characters",
            ));
        }
        let word = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_alphabetic())
                && word
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b))
        };
        if !text.split(',').all(word) {
            return Err(ValueError(
                "solicitation keywords are words with commas between them",
            ));
        }
        Ok(Self(text.split(',').map(str::to_owned).collect()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn keywords_are_words() {
        let list: Solicitation = "net.example:ADV,org.example:ADV:ADLT".parse().unwrap();
        assert_eq!(list.keywords().len(), 2);
        assert_eq!(list.to_string(), "net.example:ADV,org.example:ADV:ADLT");
        let other: Solicitation = "a,ORG.example:adv:ADLT".parse().unwrap();
        assert_eq!(list.first_of(&other), Some("org.example:ADV:ADLT"));
        assert_eq!(list.first_of(&"b".parse().unwrap()), None);
        for bad in [
            "",
            ",",
            "a,",
            "1a",
            "a b",
            "a\r\n",
            "é",
            "a=b",
            &"x".repeat(1001),
        ] {
            assert!(bad.parse::<Solicitation>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(1000).parse::<Solicitation>().is_ok());
    }
}
