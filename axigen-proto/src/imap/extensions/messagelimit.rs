//! MESSAGELIMIT and SAVELIMIT ([RFC 9738](https://www.rfc-editor.org/rfc/rfc9738)):
//! how many messages one command may be about.

use std::num::NonZeroU32;

use nom::Parser;
use nom::combinator::opt;
use nom::sequence::preceded;

use crate::imap::parse::fault::Parsed;
use crate::imap::parse::values::{nz_number, sp};
use crate::imap::response::Code;

/// What is announced. A server announces one of the two, not both
/// ([RFC 9738 §3](https://www.rfc-editor.org/rfc/rfc9738#section-3)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MessageLimit {
    /// No limit.
    #[default]
    None,
    /// MESSAGELIMIT: for all commands about messages.
    Messages(NonZeroU32),
    /// SAVELIMIT: only for COPY and APPEND.
    Saves(NonZeroU32),
}

impl MessageLimit {
    /// The name among the capabilities.
    pub fn capability(self) -> Option<String> {
        match self {
            MessageLimit::None => None,
            MessageLimit::Messages(most) => Some(format!("MESSAGELIMIT={most}")),
            MessageLimit::Saves(most) => Some(format!("SAVELIMIT={most}")),
        }
    }

    /// Most messages that a command reads, changes or moves.
    pub fn of_messages(self) -> Option<u32> {
        match self {
            MessageLimit::Messages(most) => Some(most.get()),
            MessageLimit::None | MessageLimit::Saves(_) => None,
        }
    }

    /// Most messages that a command makes copies of, or brings.
    pub fn of_saves(self) -> Option<u32> {
        match self {
            MessageLimit::Messages(most) | MessageLimit::Saves(most) => Some(most.get()),
            MessageLimit::None => None,
        }
    }
}

/// `resp-text-code =/ "MESSAGELIMIT" SP message-limit [SP uniqueid]`, behind the
/// name and its space.
pub(crate) fn code(input: &[u8]) -> Parsed<'_, Code> {
    let (rest, (limit, lowest)) = (nz_number, opt(preceded(sp, nz_number))).parse(input)?;
    Ok((rest, Code::MessageLimit { limit, lowest }))
}
