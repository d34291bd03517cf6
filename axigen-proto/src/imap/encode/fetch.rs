//! FETCH responses, whole and begun.

use bytes::BufMut;

use super::Encoder;
use crate::imap::command::{FetchAttribute, Section, SectionText};
use crate::imap::response::FetchItem;

impl Encoder<'_> {
    /// `"*" SP nz-number SP "FETCH" SP "("`
    pub fn fetch_begin(&mut self, seq: u32) {
        self.print(format_args!("* {seq} FETCH ("));
    }

    /// `"*" SP uniqueid SP "UIDFETCH" SP "("`
    pub fn uid_fetch_begin(&mut self, uid: u32) {
        self.print(format_args!("* {uid} UIDFETCH ("));
    }

    /// The items of a FETCH response, with its end.
    pub(super) fn fetch_items(&mut self, items: &[FetchItem]) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.put(" ");
            }
            self.fetch_item(item);
        }
        self.put(")");
    }

    /// `msg-att-dynamic / msg-att-static`
    pub fn fetch_item(&mut self, item: &FetchItem) {
        match item {
            FetchItem::Flags(flags) => {
                self.put("FLAGS ");
                self.flags(flags, false);
            }
            FetchItem::Uid(uid) => self.print(format_args!("UID {uid}")),
            FetchItem::InternalDate(at) => self.print(format_args!("INTERNALDATE \"{at}\"")),
            FetchItem::SaveDate(Some(at)) => self.print(format_args!("SAVEDATE \"{at}\"")),
            FetchItem::SaveDate(None) => self.put("SAVEDATE NIL"),
            FetchItem::ModSeq(modseq) => self.print(format_args!("MODSEQ ({modseq})")),
            FetchItem::EmailId(id) => self.print(format_args!("EMAILID ({id})")),
            FetchItem::ThreadId(Some(id)) => self.print(format_args!("THREADID ({id})")),
            FetchItem::ThreadId(None) => self.put("THREADID NIL"),
            FetchItem::Preview(text) => {
                self.put("PREVIEW ");
                self.nstring(text.as_ref().map(String::as_bytes));
            }
            FetchItem::Rfc822Size(size) => self.print(format_args!("RFC822.SIZE {size}")),
            FetchItem::Envelope(envelope) => {
                self.put("ENVELOPE ");
                self.envelope(envelope);
            }
            FetchItem::Body(body) => {
                self.put("BODY ");
                self.body_structure(body, false);
            }
            FetchItem::BodyStructure(body) => {
                self.put("BODYSTRUCTURE ");
                self.body_structure(body, true);
            }
            FetchItem::BinarySize { part, size } => {
                self.put("BINARY.SIZE[");
                self.part(part);
                self.print(format_args!("] {size}"));
            }
            FetchItem::Other { name, value } => {
                self.print(format_args!("{name} "));
                self.out.put_slice(value);
            }
            FetchItem::Data { attribute, data } => match data {
                None => {
                    self.fetch_name(attribute);
                    self.put(" NIL");
                }
                Some(data) => {
                    let nul = data.contains(&0);
                    self.fetch_literal(attribute, data.len() as u64, nul);
                    self.out.put_slice(data);
                }
            },
        }
    }

    /// The name of a data item and the announcement of its literal; the bytes follow.
    ///
    /// ```text
    /// "BODY" section ["<" number ">"] SP nstring /
    /// "BINARY" section-binary ["<" number ">"] SP (nstring / literal8)
    /// ```
    /// `nul` where the bytes of BINARY may hold NUL.
    pub fn fetch_literal(&mut self, attribute: &FetchAttribute, len: u64, nul: bool) {
        self.fetch_name(attribute);
        // RFC 3516 §4.3: decoded bytes may hold NUL, which only a literal8 may; without it
        // they go as a string.
        let tilde = if nul && matches!(attribute, FetchAttribute::Binary { .. }) {
            "~"
        } else {
            ""
        };
        self.print(format_args!(" {tilde}{{{len}}}\r\n"));
    }

    pub(super) fn fetch_name(&mut self, attribute: &FetchAttribute) {
        let name = match attribute {
            FetchAttribute::BodySection {
                section, partial, ..
            } => {
                self.put("BODY");
                self.section(section);
                if let Some(partial) = partial {
                    self.print(format_args!("<{}>", partial.offset));
                }
                return;
            }
            FetchAttribute::Binary { part, partial, .. } => {
                self.put("BINARY[");
                self.part(part);
                self.put("]");
                if let Some(partial) = partial {
                    self.print(format_args!("<{}>", partial.offset));
                }
                return;
            }
            FetchAttribute::BinarySize { part } => {
                self.put("BINARY.SIZE[");
                self.part(part);
                "]"
            }
            FetchAttribute::Body => "BODY",
            FetchAttribute::BodyStructure => "BODYSTRUCTURE",
            FetchAttribute::Envelope => "ENVELOPE",
            FetchAttribute::Flags => "FLAGS",
            FetchAttribute::InternalDate => "INTERNALDATE",
            FetchAttribute::SaveDate => "SAVEDATE",
            FetchAttribute::EmailId => "EMAILID",
            FetchAttribute::ThreadId => "THREADID",
            FetchAttribute::Preview { lazy: false } => "PREVIEW",
            FetchAttribute::Preview { lazy: true } => "PREVIEW (LAZY)",
            FetchAttribute::ModSeq => "MODSEQ",
            FetchAttribute::Rfc822 => "RFC822",
            FetchAttribute::Rfc822Header => "RFC822.HEADER",
            FetchAttribute::Rfc822Size => "RFC822.SIZE",
            FetchAttribute::Rfc822Text => "RFC822.TEXT",
            FetchAttribute::Uid => "UID",
        };
        self.put(name);
    }

    pub(crate) fn section(&mut self, section: &Section) {
        self.put("[");
        self.part(&section.part);
        let dot = if section.part.is_empty() { "" } else { "." };
        let (name, fields) = match &section.text {
            SectionText::Full => {
                self.put("]");
                return;
            }
            SectionText::Header => ("HEADER", None),
            SectionText::HeaderFields(fields) => ("HEADER.FIELDS", Some(fields)),
            SectionText::HeaderFieldsNot(fields) => ("HEADER.FIELDS.NOT", Some(fields)),
            SectionText::Text => ("TEXT", None),
            SectionText::Mime => ("MIME", None),
        };
        self.print(format_args!("{dot}{name}"));
        if let Some(fields) = fields {
            self.put(" (");
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    self.put(" ");
                }
                self.astring(field.to_ascii_uppercase().as_bytes());
            }
            self.put(")");
        }
        self.put("]");
    }

    pub(super) fn part(&mut self, part: &[u32]) {
        for (index, number) in part.iter().enumerate() {
            if index > 0 {
                self.put(".");
            }
            self.print(format_args!("{number}"));
        }
    }
}
