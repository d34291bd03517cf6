//! A message's structure, parsed once at arrival and kept as a compact record:
//! envelope, body structure, the offsets of its parts.
//!
//! FETCH of ENVELOPE, BODYSTRUCTURE and header fields never parses the message
//! again; a part is a range of its bytes.
//!
//! | file | what it is |
//! |---|---|
//! | `walk` | MIME: header blocks, boundaries, parts |
//! | `fields` | header fields, parameters |
//! | `addresses` | address lists |
//! | `record` | the compact record |
//! | `binary` | NUL bytes |

mod addresses;
mod binary;
mod fields;
mod record;
mod walk;

use std::ops::Range;

use axigen_proto::imap::structure::{
    Address, BodyStructure, Envelope, Extension, Multipart, NString, Part, PartKind,
};
use bytes::Bytes;

pub use binary::{NulOutsideOfParts, without_nul};
pub use fields::{Field, header_fields};

/// Deepest nesting of parts; deeper ones are opaque.
pub const NESTING: usize = 50;
/// Most parts of a message, those within others counted; what comes behind
/// belongs to the last, or is left out of the structure.
pub const PARTS: usize = 10_000;
/// Most parameters of one field.
pub const PARAMETERS: usize = 200;
/// Most addresses of a message's header.
pub const ADDRESSES: usize = 10_000;
/// Longest text kept of one field, in bytes.
pub const TEXT: usize = 64 * 1024;
/// Longest header block looked into, in bytes.
pub const HEADER: usize = 1024 * 1024;
/// Most bytes of texts kept of a message, of all its headers together; what comes
/// behind is left out. So a structure is small, however large the message is: many
/// parts may each have long headers.
pub const TEXTS: usize = 2 * 1024 * 1024;

/// The addresses of a field, as ENVELOPE shows them, up to [`ADDRESSES`].
pub fn address_list(value: &[u8]) -> Vec<Address> {
    let mut room = ADDRESSES;
    addresses::parse(value, &mut room)
}

/// Where the header of a message ends, its blank line included.
pub fn header_end(message: &[u8]) -> usize {
    walk::header_end(message, 0, message.len())
}

/// The structure of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    envelope: Envelope,
    sent: Option<(i64, i16)>,
    root: Node,
}

/// One entity: a message or a part.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    /// Where its header begins, where its body begins, where it ends.
    header: u64,
    body: u64,
    end: u64,
    lines: u64,
    media_type: Bytes,
    subtype: Bytes,
    params: Vec<(Bytes, Bytes)>,
    id: NString,
    description: NString,
    encoding: Bytes,
    md5: NString,
    extension: Extension,
    inner: Inner,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Inner {
    /// A leaf.
    Nothing,
    /// The parts of a multipart.
    Parts(Vec<Node>),
    /// The message inside message/rfc822.
    Message(Box<Envelope>, Box<Node>),
}

/// What is asked for of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The part's content; of the message itself, all of it.
    Whole,
    /// The header of a message, its blank line included.
    Header,
    /// The body of a message.
    Text,
    /// The MIME header of a part.
    Mime,
}

impl Structure {
    /// Parses a message. Never fails: what cannot be understood is text/plain.
    /// Linear in the message's size, within the limits of this module.
    pub fn parse(raw: &[u8]) -> Structure {
        walk::message(raw)
    }

    /// The compact record.
    pub fn encode(&self) -> Vec<u8> {
        record::encode(self)
    }

    /// Reads a record back; `None` for one that [`encode`](Structure::encode)
    /// did not write.
    pub fn decode(record: &[u8]) -> Option<Structure> {
        record::decode(Bytes::copy_from_slice(record))
    }

    /// The envelope ([RFC 9051 §7.5.2](https://www.rfc-editor.org/rfc/rfc9051#section-7.5.2)).
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// When the message was sent, by its Date field: seconds since 1970 and
    /// the zone in minutes east.
    pub fn sent(&self) -> Option<(i64, i16)> {
        self.sent
    }

    /// The header block, its blank line included.
    pub fn header(&self) -> Range<u64> {
        self.root.header..self.root.body
    }

    /// The body structure.
    pub fn body_structure(&self) -> BodyStructure {
        body_structure(&self.root)
    }

    /// Where a section stands in the message; `None` if there is no such part.
    /// Parts are numbered as in RFC 9051 §6.4.5.1.
    pub fn section(&self, path: &[u32], section: Section) -> Option<Range<u64>> {
        let Some(node) = self.find(path)? else {
            let root = &self.root;
            return Some(match section {
                Section::Whole => root.header..root.end,
                Section::Header | Section::Mime => root.header..root.body,
                Section::Text => root.body..root.end,
            });
        };
        Some(match (section, &node.inner) {
            (Section::Whole, _) => node.body..node.end,
            (Section::Mime, _) => node.header..node.body,
            (Section::Header, Inner::Message(_, inner)) => inner.header..inner.body,
            (Section::Text, Inner::Message(_, inner)) => inner.body..inner.end,
            _ => return None,
        })
    }

    /// The transfer encoding of a part and where its content stands, for
    /// BINARY. Of the message itself, its own.
    pub fn encoding(&self, path: &[u32]) -> Option<(&Bytes, Range<u64>)> {
        let node = self.find(path)?.unwrap_or(&self.root);
        Some((&node.encoding, node.body..node.end))
    }

    /// Every leaf: its media type, charset, transfer encoding and place. For search.
    pub fn leaves(&self) -> Vec<Leaf<'_>> {
        let mut leaves = Vec::new();
        let mut stack = vec![&self.root];
        while let Some(node) = stack.pop() {
            match &node.inner {
                Inner::Nothing => leaves.push(Leaf {
                    media_type: &node.media_type,
                    subtype: &node.subtype,
                    is_attachment: is_attachment(&node.extension),
                    charset: param(&node.params, b"charset"),
                    encoding: &node.encoding,
                    content: node.body..node.end,
                }),
                Inner::Parts(parts) => stack.extend(parts.iter().rev()),
                Inner::Message(_, inner) => stack.push(inner),
            }
        }
        leaves
    }

    /// The header blocks inside the message, but for its own: those of parts,
    /// and of messages in it. For search.
    pub fn inner_headers(&self) -> Vec<Range<u64>> {
        let mut headers = Vec::new();
        let mut stack = vec![&self.root];
        while let Some(node) = stack.pop() {
            if !std::ptr::eq(node, &self.root) {
                headers.push(node.header..node.body);
            }
            match &node.inner {
                Inner::Nothing => {}
                Inner::Parts(parts) => stack.extend(parts.iter().rev()),
                Inner::Message(_, inner) => stack.push(inner),
            }
        }
        headers
    }

    /// The node of a path; `Some(None)` for the message itself.
    fn find(&self, path: &[u32]) -> Option<Option<&Node>> {
        let mut found: Option<&Node> = None;
        for &number in path {
            let index = usize::try_from(number).ok()?.checked_sub(1)?;
            // A message's numbers count the parts of its body.
            let (node, is_message) = match found {
                None => (&self.root, true),
                Some(node) => match &node.inner {
                    Inner::Message(_, inner) => (inner.as_ref(), true),
                    _ => (node, false),
                },
            };
            found = Some(match &node.inner {
                Inner::Parts(parts) => parts.get(index)?,
                // A body that is not a multipart is part 1 of its message.
                _ if is_message && index == 0 => node,
                _ => return None,
            });
        }
        Some(found)
    }
}

/// A part that has no parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf<'s> {
    /// Media type, as in `text`.
    pub media_type: &'s Bytes,
    /// Subtype, as in `plain`.
    pub subtype: &'s Bytes,
    /// Whether Content-Disposition calls it an attachment.
    pub is_attachment: bool,
    /// The charset parameter.
    pub charset: Option<&'s Bytes>,
    /// Content-Transfer-Encoding.
    pub encoding: &'s Bytes,
    /// Its content, as transferred.
    pub content: Range<u64>,
}

impl Leaf<'_> {
    /// Whether its content is text that a search for text looks at.
    pub fn is_text(&self) -> bool {
        self.media_type.eq_ignore_ascii_case(b"text")
            || self.media_type.eq_ignore_ascii_case(b"message")
    }
}

fn is_attachment(extension: &Extension) -> bool {
    let disposition = extension.disposition.as_ref();
    disposition.is_some_and(|(kind, _)| kind.eq_ignore_ascii_case(b"attachment"))
}

fn param<'p>(params: &'p [(Bytes, Bytes)], name: &[u8]) -> Option<&'p Bytes> {
    params
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn body_structure(node: &Node) -> BodyStructure {
    if let Inner::Parts(parts) = &node.inner {
        return BodyStructure::Multipart(Multipart {
            parts: parts.iter().map(body_structure).collect(),
            subtype: node.subtype.clone(),
            params: node.params.clone(),
            extension: node.extension.clone(),
        });
    }
    let kind = match &node.inner {
        Inner::Message(envelope, inner) => PartKind::Message {
            envelope: envelope.clone(),
            body: Box::new(body_structure(inner)),
            lines: node.lines,
        },
        _ if node.media_type.eq_ignore_ascii_case(b"text") => PartKind::Text { lines: node.lines },
        _ => PartKind::Basic,
    };
    BodyStructure::Single(Box::new(Part {
        media_type: node.media_type.clone(),
        subtype: node.subtype.clone(),
        params: node.params.clone(),
        id: node.id.clone(),
        description: node.description.clone(),
        encoding: node.encoding.clone(),
        size: node.end - node.body,
        kind,
        md5: node.md5.clone(),
        extension: node.extension.clone(),
    }))
}

#[cfg(test)]
mod tests;
