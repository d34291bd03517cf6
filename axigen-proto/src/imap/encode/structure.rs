//! ENVELOPE and BODYSTRUCTURE written as bytes.

use bytes::Bytes;

use super::Encoder;
use crate::imap::structure::{
    Address, BodyStructure, Envelope, Extension, Multipart, NString, Part, PartKind,
};

/// Deepest structure that is written; what lies below is shown as
/// application/octet-stream. Our own parser stops earlier.
const DEPTH: usize = 100;

impl Encoder<'_> {
    /// ```text
    /// envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP
    ///            env-to SP env-cc SP env-bcc SP env-in-reply-to SP env-message-id ")"
    /// ```
    pub fn envelope(&mut self, envelope: &Envelope) {
        self.put("(");
        self.optional(&envelope.date);
        self.put(" ");
        self.optional(&envelope.subject);
        for addresses in [
            &envelope.from,
            &envelope.sender,
            &envelope.reply_to,
            &envelope.to,
            &envelope.cc,
            &envelope.bcc,
        ] {
            self.put(" ");
            self.addresses(addresses);
        }
        self.put(" ");
        self.optional(&envelope.in_reply_to);
        self.put(" ");
        self.optional(&envelope.message_id);
        self.put(")");
    }

    /// `"(" 1*address ")" / nil`
    fn addresses(&mut self, addresses: &[Address]) {
        if addresses.is_empty() {
            self.put("NIL");
            return;
        }
        self.put("(");
        for address in addresses {
            self.put("(");
            self.optional(&address.name);
            self.put(" ");
            self.optional(&address.adl);
            self.put(" ");
            self.optional(&address.mailbox);
            self.put(" ");
            self.optional(&address.host);
            self.put(")");
        }
        self.put(")");
    }

    /// `body = "(" (body-type-1part / body-type-mpart) ")"`, with extension
    /// data for BODYSTRUCTURE and without for BODY.
    pub fn body_structure(&mut self, body: &BodyStructure, extended: bool) {
        self.body(body, extended, 0);
    }

    fn body(&mut self, body: &BodyStructure, extended: bool, depth: usize) {
        if depth >= DEPTH {
            self.put("(\"application\" \"octet-stream\" NIL NIL NIL \"binary\" 0)");
            return;
        }
        self.put("(");
        match body {
            BodyStructure::Single(part) => self.single(part, extended, depth),
            BodyStructure::Multipart(multipart) => self.multipart(multipart, extended, depth),
        }
        self.put(")");
    }

    /// ```text
    /// body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part]
    /// body-ext-1part  = body-fld-md5 [SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc]]]
    /// ```
    fn single(&mut self, part: &Part, extended: bool, depth: usize) {
        self.string(&part.media_type);
        self.put(" ");
        self.string(&part.subtype);
        self.put(" ");
        self.params(&part.params);
        self.put(" ");
        self.optional(&part.id);
        self.put(" ");
        self.optional(&part.description);
        self.put(" ");
        self.string(&part.encoding);
        self.print(format_args!(" {}", part.size));
        match &part.kind {
            PartKind::Basic => {}
            PartKind::Text { lines } => self.print(format_args!(" {lines}")),
            PartKind::Message {
                envelope,
                body,
                lines,
            } => {
                self.put(" ");
                self.envelope(envelope);
                self.put(" ");
                self.body(body, extended, depth + 1);
                self.print(format_args!(" {lines}"));
            }
        }
        if extended {
            self.put(" ");
            self.optional(&part.md5);
            self.extension(&part.extension);
        }
    }

    /// ```text
    /// body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart]
    /// body-ext-mpart  = body-fld-param [SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc]]]
    /// ```
    fn multipart(&mut self, multipart: &Multipart, extended: bool, depth: usize) {
        if multipart.parts.is_empty() {
            let extension = if extended { " NIL NIL NIL NIL" } else { "" };
            self.put("(\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0");
            self.put(extension);
            self.put(")");
        }
        for part in &multipart.parts {
            self.body(part, extended, depth + 1);
        }
        self.put(" ");
        self.string(&multipart.subtype);
        if extended {
            self.put(" ");
            self.params(&multipart.params);
            self.extension(&multipart.extension);
        }
    }

    /// `SP body-fld-dsp SP body-fld-lang SP body-fld-loc`
    fn extension(&mut self, extension: &Extension) {
        match &extension.disposition {
            None => self.put(" NIL"),
            Some((kind, params)) => {
                self.put(" (");
                self.string(kind);
                self.put(" ");
                self.params(params);
                self.put(")");
            }
        }
        match extension.language.as_slice() {
            [] => self.put(" NIL"),
            languages => {
                self.put(" (");
                for (index, language) in languages.iter().enumerate() {
                    if index > 0 {
                        self.put(" ");
                    }
                    self.string(language);
                }
                self.put(")");
            }
        }
        self.put(" ");
        self.optional(&extension.location);
    }

    /// `body-fld-param = "(" string SP string *(SP string SP string) ")" / nil`
    fn params(&mut self, params: &[(Bytes, Bytes)]) {
        if params.is_empty() {
            self.put("NIL");
            return;
        }
        self.put("(");
        for (index, (name, value)) in params.iter().enumerate() {
            if index > 0 {
                self.put(" ");
            }
            self.string(name);
            self.put(" ");
            self.string(value);
        }
        self.put(")");
    }

    fn optional(&mut self, text: &NString) {
        self.nstring(text.as_deref());
    }
}
