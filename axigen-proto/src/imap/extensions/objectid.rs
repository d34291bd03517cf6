//! OBJECTID ([RFC 8474](https://www.rfc-editor.org/rfc/rfc8474)): names for
//! mailboxes and messages that outlive renaming and moving.

use std::fmt;

use crate::imap::parse::fault::{Parsed, expect, expected};
use crate::imap::parse::values::{atom, sp};

/// Most characters of an identifier (RFC 8474 §7).
const LENGTH: usize = 255;

/// `objectid = 1*255(ALPHA / DIGIT / "_" / "-")`
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(Box<str>);

impl ObjectId {
    /// Makes an identifier; `None` when the text is none.
    pub fn new(text: &str) -> Option<ObjectId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        let fits = (1..=LENGTH).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| ObjectId(text.into()))
    }

    /// The identifier's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `SP objectid`
pub(crate) fn object_id(input: &[u8]) -> Parsed<'_, ObjectId> {
    let (start, ()) = sp(input)?;
    let (rest, text) = expect("an object identifier", atom)(start)?;
    match ObjectId::new(text) {
        Some(id) => Ok((rest, id)),
        None => Err(expected(start, "an object identifier")),
    }
}
