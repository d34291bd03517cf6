//! ENVELOPE and BODYSTRUCTURE as FETCH shows them.
//!
//! Texts are the bytes of the message (RFC 2047 words left as they are, fields
//! unfolded); an [`NString`] of `None` is NIL. [`Bytes`] lets all of them share
//! one record.

use bytes::Bytes;

/// `nstring`: bytes, or `None` for NIL.
pub type NString = Option<Bytes>;

/// The envelope of a message.
/// [RFC 9051 §7.5.2](https://www.rfc-editor.org/rfc/rfc9051#section-7.5.2)
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Date field.
    pub date: NString,
    /// Subject field.
    pub subject: NString,
    /// From field. The lists are NIL when empty.
    pub from: Vec<Address>,
    /// Sender field; the From field when absent.
    pub sender: Vec<Address>,
    /// Reply-To field; the From field when absent.
    pub reply_to: Vec<Address>,
    /// To field.
    pub to: Vec<Address>,
    /// Cc field.
    pub cc: Vec<Address>,
    /// Bcc field.
    pub bcc: Vec<Address>,
    /// In-Reply-To field.
    pub in_reply_to: NString,
    /// Message-ID field.
    pub message_id: NString,
}

/// An address of an envelope.
///
/// A group begins with an address that has a mailbox (the group's name) and no
/// host, and ends with one that has neither.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// Display name.
    pub name: NString,
    /// Source route (obsolete).
    pub adl: NString,
    /// Local part, or a group's name.
    pub mailbox: NString,
    /// Domain.
    pub host: NString,
}

/// The structure of a message's body.
/// [RFC 9051 §7.5.2](https://www.rfc-editor.org/rfc/rfc9051#section-7.5.2)
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyStructure {
    /// A single part.
    Single(Box<Part>),
    /// A multipart.
    Multipart(Multipart),
}

/// `body-type-1part`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Media type, as in `text`.
    pub media_type: Bytes,
    /// Media subtype, as in `plain`.
    pub subtype: Bytes,
    /// Parameters of Content-Type.
    pub params: Vec<(Bytes, Bytes)>,
    /// Content-ID.
    pub id: NString,
    /// Content-Description.
    pub description: NString,
    /// Content-Transfer-Encoding, `7bit` when absent.
    pub encoding: Bytes,
    /// Size in bytes, as transferred.
    pub size: u64,
    /// What depends on the media type.
    pub kind: PartKind,
    /// Content-MD5.
    pub md5: NString,
    /// Content-Disposition and what follows it.
    pub extension: Extension,
}

/// What a single part has besides, by its media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartKind {
    /// Nothing.
    Basic,
    /// `text/*`
    Text {
        /// Number of lines.
        lines: u64,
    },
    /// `message/rfc822` or `message/global`
    Message {
        /// The inner message's envelope.
        envelope: Box<Envelope>,
        /// The inner message's structure.
        body: Box<BodyStructure>,
        /// Number of lines of the inner message.
        lines: u64,
    },
}

/// `body-type-mpart`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multipart {
    /// The parts. When there is none, an empty text/plain stands for it on the
    /// wire, since the grammar wants one.
    pub parts: Vec<BodyStructure>,
    /// Media subtype, as in `mixed`.
    pub subtype: Bytes,
    /// Parameters of Content-Type.
    pub params: Vec<(Bytes, Bytes)>,
    /// Content-Disposition and what follows it.
    pub extension: Extension,
}

/// Extension data that single parts and multiparts have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extension {
    /// Content-Disposition with its parameters.
    pub disposition: Option<(Bytes, Vec<(Bytes, Bytes)>)>,
    /// Content-Language.
    pub language: Vec<Bytes>,
    /// Content-Location.
    pub location: NString,
}
