//! What mail asks of DNS, behind a small trait.
//!
//! | file | what it is |
//! |---|---|
//! | this | [`Resolver`] and its answers |
//! | [`system`] | the real one: a caching stub resolver that may validate DNSSEC |
//! | [`records`] | what a domain should publish for its mail |
//! | [`zone`] | answers from a zone file, for the demo and for tests |

pub mod records;
pub mod system;
pub mod zone;

use std::fmt::Debug;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;

pub use system::SystemResolver;
pub use zone::ZoneResolver;

/// Answers questions about names. All names are without the dot at the end; a
/// name with letters beyond ASCII is asked for by its A-labels
/// ([`to_ascii`]).
#[async_trait]
pub trait Resolver: Debug + Send + Sync + 'static {
    /// Where mail for a name goes.
    async fn mx(&self, name: &str) -> Result<Answer<Mx>>;
    /// The addresses of a name, of both families; either may be missing.
    async fn addresses(&self, name: &str) -> Result<Answer<IpAddr>>;
    /// The texts of a name, the strings of each put together
    /// ([RFC 7208 §3.3](https://www.rfc-editor.org/rfc/rfc7208#section-3.3)).
    async fn texts(&self, name: &str) -> Result<Answer<Vec<u8>>>;
    /// What certificates a service has, by its whole name, as in
    /// `_25._tcp.mx.example.org` (RFC 6698 §3).
    async fn tlsa(&self, name: &str) -> Result<Answer<Tlsa>>;
    /// The names of an address.
    async fn names(&self, address: IpAddr) -> Result<Answer<String>>;
}

/// The records of one name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The records, in no order that means anything; empty if there are none.
    pub records: Vec<T>,
    /// Whether the name exists, perhaps with records of other types.
    pub exists: bool,
    /// Whether DNSSEC proves all of it, also that there are no records.
    pub secure: bool,
    /// The name the records stand under, where aliases (CNAME) end.
    pub name: String,
    /// How long it holds.
    pub ttl: Duration,
}

impl<T> Answer<T> {
    /// No record of this type.
    pub fn none(name: &str, exists: bool, secure: bool) -> Answer<T> {
        Answer {
            records: Vec::new(),
            exists,
            secure,
            name: name.to_owned(),
            ttl: Duration::ZERO,
        }
    }
}

/// A host that takes mail, and how much it is preferred (less is more).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mx {
    /// 0 to 65535; the smallest is tried first.
    pub preference: u16,
    /// The host; empty where the domain takes no mail (RFC 7505).
    pub host: String,
}

/// What DNS says of a certificate
/// ([RFC 6698 §2.1](https://www.rfc-editor.org/rfc/rfc6698#section-2.1)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    /// Certificate usage.
    pub usage: u8,
    /// Selector.
    pub selector: u8,
    /// Matching type.
    pub matching: u8,
    /// Certificate association data.
    pub data: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no name that DNS could know.
    #[error("{0:?} is no domain name")]
    BadName(String),
    /// What DNS says contradicts its signatures; it must not be believed.
    #[error("what DNS says of {0} is not what was signed (DNSSEC)")]
    Bogus(String),
    /// No server answers, or none can; later may help.
    #[error("DNS does not answer about {0}: {1}")]
    Unanswered(String, String),
}

/// An answer, or why there is none.
pub type Result<T> = std::result::Result<T, Error>;

/// The A-labels of a name, in lower case: what is asked of DNS and shown to
/// other hosts.
///
/// # Errors
/// [`Error::BadName`].
pub fn to_ascii(name: &str) -> Result<String> {
    let trimmed = name.strip_suffix('.').unwrap_or(name);
    let bad = || Error::BadName(name.to_owned());
    let ascii = match trimmed.is_ascii() {
        true => trimmed.to_ascii_lowercase(),
        false => idna::domain_to_ascii(trimmed).map_err(|_| bad())?,
    };
    let label = |label: &str| {
        let clean = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(clean)
    };
    match ascii.len() <= 253 && ascii.split('.').all(label) {
        true => Ok(ascii),
        false => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_become_labels() {
        for (name, ascii) in [
            ("Example.ORG", "example.org"),
            ("example.org.", "example.org"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("_25._tcp.mx.example", "_25._tcp.mx.example"),
        ] {
            assert_eq!(to_ascii(name).unwrap(), ascii);
        }
        let long = "a".repeat(64);
        let longer = "a.".repeat(130);
        for bad in ["", ".", "a..b", "a b", "a/b", "a\0b", &long, &longer] {
            assert!(to_ascii(bad).is_err(), "{bad:?}");
        }
    }
}
