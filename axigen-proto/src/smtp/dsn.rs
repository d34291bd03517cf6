//! What a sender wants to hear about its message: the parameters of the DSN
//! extension ([RFC 3461](https://www.rfc-editor.org/rfc/rfc3461)), with the
//! address type `utf-8` of [RFC 6533](https://www.rfc-editor.org/rfc/rfc6533).
//!
//! As with addresses, every value is checked when it is made, so one that
//! exists can be written into a command.

use std::fmt;

use super::address::{ForwardPath, Mailbox};
use super::command::ValueError;
use super::encode;

/// Longest value of `ENVID=` as it is written, in bytes (RFC 3461 §4.4).
pub const MAX_ENVID: usize = 100;

/// Longest value of `ORCPT=` as it is written, in bytes (RFC 3461 §4.2).
pub const MAX_ORCPT: usize = 500;

/// The address type of an original recipient beyond ASCII (RFC 6533 §3).
const UTF8: &str = "utf-8";

/// How much of the message a failure notice returns: MAIL's `RET=` (RFC 3461
/// §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ret {
    /// All of it.
    Full,
    /// Its header only.
    Headers,
}

impl Ret {
    /// The parameter's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Ret::Full => "FULL",
            Ret::Headers => "HDRS",
        }
    }
}

/// When a notice about a recipient is wanted: RCPT's `NOTIFY=` (RFC 3461
/// §4.1). With no condition set it is `NEVER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Notify {
    /// When the message is delivered.
    pub success: bool,
    /// When it cannot be delivered.
    pub failure: bool,
    /// When it is late.
    pub delay: bool,
}

impl Notify {
    /// No notice, whatever happens.
    pub const NEVER: Notify = Notify {
        success: false,
        failure: false,
        delay: false,
    };

    /// Whether no notice is wanted at all.
    pub fn is_never(self) -> bool {
        self == Self::NEVER
    }
}

/// As on the wire: `NEVER`, or the conditions with commas between them.
impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (self.success, "SUCCESS"),
            (self.failure, "FAILURE"),
            (self.delay, "DELAY"),
        ];
        let words: Vec<&str> = words.iter().filter(|w| w.0).map(|w| w.1).collect();
        match words.as_slice() {
            [] => f.write_str("NEVER"),
            words => f.write_str(&words.join(",")),
        }
    }
}

/// The sender's own name for the transaction, which stands in every notice
/// about it: MAIL's `ENVID=` (RFC 3461 §4.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EnvelopeId(String);

impl EnvelopeId {
    /// Checks and takes an identifier.
    ///
    /// # Errors
    /// When it is empty, holds anything but printable ASCII and spaces, or is
    /// longer than [`MAX_ENVID`] when written as xtext.
    pub fn new(text: impl Into<String>) -> Result<Self, ValueError> {
        let text = text.into();
        if text.is_empty() {
            return Err(ValueError("the envelope identifier is empty"));
        }
        if !is_printable(&text) {
            return Err(ValueError(
                "the envelope identifier holds what is not printable ASCII",
            ));
        }
        if encode::xtext(&text).len() > MAX_ENVID {
            return Err(ValueError("the envelope identifier is too long"));
        }
        Ok(Self(text))
    }

    /// The identifier, decoded.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whom the message was addressed to in the first place: RCPT's `ORCPT=`
/// (RFC 3461 §4.2). It goes along with the message unchanged, case included
/// (§5.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OriginalRecipient {
    kind: String,
    address: String,
}

impl OriginalRecipient {
    /// Makes one of an address type (`rfc822`, `utf-8`, `x400`, ...) and an
    /// address of that type, which is given as it is, not encoded.
    ///
    /// # Errors
    /// When the type is no atom; when the address holds anything but printable
    /// ASCII and spaces; with type `utf-8`, when it is no mailbox of RFC 6531;
    /// when both together are longer than [`MAX_ORCPT`] as they are written.
    pub fn new(kind: impl Into<String>, address: impl Into<String>) -> Result<Self, ValueError> {
        let this = Self {
            kind: kind.into(),
            address: address.into(),
        };
        if this.kind.is_empty() || !this.kind.bytes().all(is_atom_byte) {
            return Err(ValueError("the address type of ORCPT is not an atom"));
        }
        if this.is_utf8() {
            // RFC 6533 §3: it follows the rules of a mailbox once it is decoded.
            if this.address.parse::<Mailbox>().is_err() {
                return Err(ValueError("the original recipient is not a mailbox"));
            }
        } else if !is_printable(&this.address) {
            return Err(ValueError(
                "the original recipient holds what is not printable ASCII",
            ));
        }
        if encode::original_recipient(&this, true).len() > MAX_ORCPT {
            return Err(ValueError("the original recipient is too long"));
        }
        Ok(this)
    }

    /// The recipient of a RCPT that came without ORCPT, for the relay that
    /// adds it (RFC 3461 §5.2.1 (d)). `None` when the address cannot be
    /// written within the limit, and for `<Postmaster>`, which has no domain.
    pub fn of(to: &ForwardPath) -> Option<Self> {
        let mailbox = to.mailbox()?;
        let kind = if mailbox.is_ascii() { "rfc822" } else { UTF8 };
        Self::new(kind, mailbox.to_string()).ok()
    }

    /// The address type, in its own case.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The address, decoded.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the address is of type `utf-8`.
    pub fn is_utf8(&self) -> bool {
        self.kind.eq_ignore_ascii_case(UTF8)
    }

    /// Whether it can be written within [`MAX_ORCPT`] where SMTPUTF8 is not in
    /// use: the form in ASCII is longer.
    pub fn fits_ascii(&self) -> bool {
        encode::original_recipient(self, false).len() <= MAX_ORCPT
    }
}

/// Type and address, as the fields of a notice write them (RFC 3464 §2.3.1).
impl fmt::Display for OriginalRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{}", self.kind, self.address)
    }
}

/// RFC 3461 §4.2, §4.4: printable (graphic and white space) US-ASCII.
fn is_printable(text: &str) -> bool {
    text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

/// `addr-type = atom`, of RFC 822 §3.3, and without the `=` that no value of a
/// parameter may hold.
fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\".[]=".contains(&byte)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn what_cannot_be_written_cannot_be_made() {
        for text in ["", "a\r\nRCPT TO:<x@y>", "a\0", "a\tb", "é", "\u{7f}"] {
            assert!(EnvelopeId::new(text).is_err(), "{text:?}");
        }
        for (kind, address) in [
            ("", "a@b"),
            ("rfc 822", "a@b"),
            ("rfc;822", "a@b"),
            ("a=b", "a@b"),
            ("rfc822\r\n", "a@b"),
            ("réc", "a@b"),
            ("rfc822", "a@b\r\nDATA"),
            ("rfc822", "a\0@b"),
            ("rfc822", "jörg@b"),
            ("utf-8", "jörg"),
            ("utf-8", "jörg@b\n"),
            ("UTF-8", ""),
        ] {
            assert!(
                OriginalRecipient::new(kind, address).is_err(),
                "{kind:?} {address:?}"
            );
        }
    }

    #[test]
    fn lengths_are_those_on_the_wire() {
        assert!(EnvelopeId::new("x".repeat(100)).is_ok());
        assert!(EnvelopeId::new("x".repeat(101)).is_err());
        // Each space is written with three bytes.
        assert!(EnvelopeId::new(" ".repeat(33)).is_ok());
        assert!(EnvelopeId::new(" ".repeat(34)).is_err());
        assert!(OriginalRecipient::new("rfc822", "x".repeat(493)).is_ok());
        assert!(OriginalRecipient::new("rfc822", "x".repeat(494)).is_err());
        let long = OriginalRecipient::new("utf-8", format!("{}@b.test", "é".repeat(120))).unwrap();
        assert!(!long.fits_ascii());
        let short = OriginalRecipient::new("utf-8", "jörg@b.test").unwrap();
        assert!(short.fits_ascii());
    }

    #[test]
    fn notices_are_wanted_never_or_when() {
        assert_eq!(Notify::NEVER.to_string(), "NEVER");
        assert!(Notify::default().is_never());
        let all = Notify {
            success: true,
            failure: true,
            delay: true,
        };
        assert_eq!(all.to_string(), "SUCCESS,FAILURE,DELAY");
        assert!(!all.is_never());
    }

    #[test]
    fn the_recipient_itself_becomes_the_original_one() {
        let of = |text: &str| {
            let to = ForwardPath::Mailbox(text.parse().unwrap());
            OriginalRecipient::of(&to).map(|original| original.to_string())
        };
        assert_eq!(of("Joe@Example.test").unwrap(), "rfc822;Joe@Example.test");
        assert_eq!(of("jörg@b.test").unwrap(), "utf-8;jörg@b.test");
        assert_eq!(OriginalRecipient::of(&ForwardPath::Postmaster), None);
    }
}
