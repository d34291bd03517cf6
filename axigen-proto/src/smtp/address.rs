//! Mailboxes, domains and paths.
//!
//! Every value here is checked when it is made, so one that exists can be
//! written into a command without injecting another.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::str::FromStr;

use super::parse;

/// Longest local part in bytes. RFC 5321 §4.5.3.1.1 asks for 64 at least; bounce
/// addresses that encode a recipient are longer in practice.
pub const MAX_LOCAL_PART: usize = 255;

/// Longest domain in bytes (RFC 5321 §4.5.3.1.2).
pub const MAX_DOMAIN: usize = 255;

/// Longest label of a domain in bytes (RFC 1035 §2.3.4).
pub const MAX_LABEL: usize = 63;

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(pub(crate) &'static str);

/// A mailbox, `local-part@domain`
/// ([RFC 5321 §4.1.2](https://www.rfc-editor.org/rfc/rfc5321#section-4.1.2),
/// with UTF-8 as in [RFC 6531 §3.3](https://www.rfc-editor.org/rfc/rfc6531#section-3.3)).
///
/// The local part is kept without quotes: `"joe"@x` and `joe@x` are the same
/// mailbox. `Display` quotes it again where it must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mailbox {
    local: String,
    domain: Domain,
}

impl Mailbox {
    /// Makes a mailbox of a local part (without quotes) and a domain.
    ///
    /// # Errors
    /// When the local part holds a control character or is longer than
    /// [`MAX_LOCAL_PART`].
    pub fn new(local: impl Into<String>, domain: Domain) -> Result<Self, AddressError> {
        let local = local.into();
        if local.len() > MAX_LOCAL_PART {
            return Err(AddressError("the local part is too long"));
        }
        // RFC 5321 §4.1.2: quoted strings hold printable characters only.
        if local.chars().any(char::is_control) {
            return Err(AddressError("the local part holds a control character"));
        }
        Ok(Self { local, domain })
    }

    /// The local part without quotes and backslashes, in its own case.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether the mailbox can be used without SMTPUTF8 (RFC 6531).
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.domain.is_ascii()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if parse::is_dot_string(&self.local) {
            f.write_str(&self.local)?;
        } else {
            f.write_str("\"")?;
            for c in self.local.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
            f.write_str("\"")?;
        }
        write!(f, "@{}", self.domain)
    }
}

impl FromStr for Mailbox {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse::whole_mailbox(text)
    }
}

/// The part of a mailbox behind the `@`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Domain {
    /// A name, as in `example.test`.
    Name(DomainName),
    /// An address literal, as in `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
    Address(IpAddr),
}

impl Domain {
    /// Whether the domain can be used without SMTPUTF8 (RFC 6531).
    pub fn is_ascii(&self) -> bool {
        match self {
            Domain::Name(name) => name.as_str().is_ascii(),
            Domain::Address(_) => true,
        }
    }

    /// The name; `None` for an address literal.
    pub fn name(&self) -> Option<&DomainName> {
        match self {
            Domain::Name(name) => Some(name),
            Domain::Address(_) => None,
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Domain::Name(name) => name.fmt(f),
            // RFC 5321 §4.1.3
            Domain::Address(IpAddr::V4(ip)) => write!(f, "[{ip}]"),
            Domain::Address(IpAddr::V6(ip)) => write!(f, "[IPv6:{ip}]"),
        }
    }
}

impl FromStr for Domain {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse::whole_domain(text)
    }
}

/// A domain name of letters, digits, hyphens and dots, or with U-labels
/// (RFC 5890) where SMTPUTF8 is in use.
///
/// The text is kept as it came; comparison ignores the case of ASCII letters.
/// An underscore is taken as a letter: names with one exist, and nothing in
/// the protocol gives it a meaning.
#[derive(Debug, Clone)]
pub struct DomainName(String);

impl DomainName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When a label is empty, too long, starts or ends with a hyphen, or holds
    /// a character that no host name has.
    pub fn new(name: impl Into<String>) -> Result<Self, AddressError> {
        let name = name.into();
        if name.len() > MAX_DOMAIN {
            return Err(AddressError("the domain is too long"));
        }
        for label in name.split('.') {
            if label.is_empty() {
                return Err(AddressError("the domain has an empty label"));
            }
            if label.len() > MAX_LABEL {
                return Err(AddressError("a label of the domain is too long"));
            }
            if label.starts_with('-') || label.ends_with('-') {
                return Err(AddressError(
                    "a label of the domain starts or ends with a hyphen",
                ));
            }
            if !label.chars().all(is_label_char) {
                return Err(AddressError(
                    "the domain holds a character that no host name has",
                ));
            }
        }
        Ok(Self(name))
    }

    /// The name as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Letters, digits and hyphens; beyond ASCII whatever is no space, no control
/// character and no other form of the dot (RFC 3490 §3.1).
pub(super) fn is_label_char(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || c == '-' || c == '_'
    } else {
        !c.is_control()
            && !c.is_whitespace()
            && !matches!(c, '\u{3002}' | '\u{ff0e}' | '\u{ff61}' | '\u{feff}')
    }
}

impl PartialEq for DomainName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for DomainName {}

impl Hash for DomainName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.0.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
        state.write_u8(0xff);
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where failure notices go: the argument of MAIL FROM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: nobody wants a notice.
    Null,
    /// A mailbox. A source route in front of it is dropped (RFC 5321 §C).
    Mailbox(Mailbox),
}

impl ReversePath {
    /// The mailbox; `None` for `<>`.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// Whether the path can be used without SMTPUTF8 (RFC 6531).
    pub fn is_ascii(&self) -> bool {
        self.mailbox().is_none_or(Mailbox::is_ascii)
    }
}

/// With angle brackets, as on the wire.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReversePath::Null => f.write_str("<>"),
            ReversePath::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

/// Where a message goes: the argument of RCPT TO.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain (RFC 5321 §4.5.1).
    Postmaster,
    /// A mailbox. A source route in front of it is dropped (RFC 5321 §C).
    Mailbox(Mailbox),
}

impl ForwardPath {
    /// The mailbox; `None` for `<Postmaster>`.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            ForwardPath::Postmaster => None,
            ForwardPath::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// Whether the path can be used without SMTPUTF8 (RFC 6531).
    pub fn is_ascii(&self) -> bool {
        self.mailbox().is_none_or(Mailbox::is_ascii)
    }
}

/// With angle brackets, as on the wire.
impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForwardPath::Postmaster => f.write_str("<Postmaster>"),
            ForwardPath::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

/// The name a client gives in EHLO, HELO or LHLO.
///
/// RFC 5321 §4.1.4 asks for a domain or an address literal, but forbids to
/// refuse mail because of it, and many clients send something else. So every
/// printable ASCII word is taken; [`HelloName::domain`] says whether it keeps
/// the grammar.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HelloName(String);

impl HelloName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When the name is empty, longer than 255 bytes, or holds anything but
    /// printable ASCII without spaces.
    pub fn new(name: impl Into<String>) -> Result<Self, AddressError> {
        let name = name.into();
        if name.is_empty() || name.len() > MAX_DOMAIN {
            return Err(AddressError("the name must have 1 to 255 characters"));
        }
        if !name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(AddressError(
                "the name must be printable ASCII without spaces",
            ));
        }
        Ok(Self(name))
    }

    /// The name as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain or address literal, if the name is one.
    pub fn domain(&self) -> Option<Domain> {
        self.0.parse().ok()
    }
}

impl fmt::Display for HelloName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn mailboxes_come_back_as_the_grammar_writes_them() {
        for (text, local, shown) in [
            ("joe@example.test", "joe", "joe@example.test"),
            ("\"joe\"@example.test", "joe", "joe@example.test"),
            (
                "\"joe \\\"b\\\"\"@a.b",
                "joe \"b\"",
                "\"joe \\\"b\\\"\"@a.b",
            ),
            ("\"a@b\"@c.d", "a@b", "\"a@b\"@c.d"),
            ("\"\"@c.d", "", "\"\"@c.d"),
            ("\"a..b\"@c.d", "a..b", "\"a..b\"@c.d"),
            ("x@[192.0.2.1]", "x", "x@[192.0.2.1]"),
            ("x@[ipv6:2001:DB8::1]", "x", "x@[IPv6:2001:db8::1]"),
            ("jörg@bücher.test", "jörg", "jörg@bücher.test"),
            ("a+b{c}~@x-y.test", "a+b{c}~", "a+b{c}~@x-y.test"),
        ] {
            let mailbox: Mailbox = text.parse().unwrap();
            assert_eq!(mailbox.local(), local, "{text}");
            assert_eq!(mailbox.to_string(), shown);
            assert_eq!(shown.parse::<Mailbox>().unwrap(), mailbox);
        }
    }

    #[test]
    fn what_is_no_mailbox_is_refused() {
        let long_label = format!("a@{}.test", "x".repeat(64));
        let long_local = format!("{}@b.test", "x".repeat(256));
        let long_domain = format!("a@{}test", "xxxxxxxx.".repeat(32));
        for text in [
            "",
            "a",
            "@",
            "a@",
            "@b",
            ".a@b",
            "a.@b",
            "a..b@c",
            "a b@c",
            "a@b c",
            "a@-b",
            "a@b-",
            "a@b..c",
            "a@.b",
            "a@b.",
            "a@b\r\nRCPT TO:<x@y>",
            "\"a\r\n\"@b",
            "\"a\0\"@b",
            "\"a\\\n\"@b",
            "\"a@b",
            "a@[1.2.3]",
            "a@[1.2.3.256]",
            "a@[01.2.3.4]",
            "a@[IPv6:::g]",
            "a@[2001:db8::1]",
            "a@[tag:x]",
            "a@b\u{3002}c",
            "a@b\u{a0}c",
            "a@b>",
            "a>@b",
            &long_label,
            &long_local,
            &long_domain,
        ] {
            assert!(text.parse::<Mailbox>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn domains_compare_without_case_and_local_parts_with_it() {
        let a: Mailbox = "Joe@Example.TEST".parse().unwrap();
        let b: Mailbox = "Joe@example.test".parse().unwrap();
        let c: Mailbox = "joe@example.test".parse().unwrap();
        assert_eq!(a, b);
        assert_ne!(b, c);
        let set: std::collections::HashSet<_> = [a, b].into_iter().collect();
        assert_eq!(set.len(), 1);
    }

    #[test]
    fn hello_names_are_taken_as_clients_send_them() {
        assert!(HelloName::new("my_pc").unwrap().domain().is_some());
        assert!(HelloName::new("[192.0.2.1]").unwrap().domain().is_some());
        assert!(HelloName::new("192.0.2.1:x").unwrap().domain().is_none());
        assert!(HelloName::new("a b").is_err());
        assert!(HelloName::new("").is_err());
        assert!(HelloName::new("a\r\n").is_err());
    }
}
