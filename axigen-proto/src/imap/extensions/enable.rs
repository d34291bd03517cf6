//! ENABLE ([RFC 5161](https://www.rfc-editor.org/rfc/rfc5161)).

use std::borrow::Cow;

use nom::Parser;
use nom::combinator::map;
use nom::sequence::preceded;

use crate::imap::command::Command;
use crate::imap::parse::fault::{Parsed, expect};
use crate::imap::parse::values::{atom, sp, spaced1};

/// What a client has enabled, by ENABLE or by asking for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Enabled {
    /// IMAP4rev2 (RFC 9051).
    pub rev2: bool,
    /// CONDSTORE (RFC 7162): modification numbers are told.
    pub condstore: bool,
    /// QRESYNC (RFC 7162): VANISHED instead of EXPUNGE.
    pub qresync: bool,
    /// METADATA or METADATA-SERVER (RFC 5464): changes of entries are told.
    pub metadata: bool,
    /// UIDONLY (RFC 9586): UIDs instead of sequence numbers.
    pub uidonly: bool,
    /// UTF8=ACCEPT (RFC 9755): UTF-8 in names, quoted strings and headers.
    pub utf8_accept: bool,
}

impl Enabled {
    /// Whether VANISHED takes the place of EXPUNGE
    /// ([RFC 9586 §3.4](https://www.rfc-editor.org/rfc/rfc9586#section-3.4)).
    pub fn vanished(&self) -> bool {
        self.qresync || self.uidonly
    }

    /// Whether names and quoted strings are UTF-8, both ways: by UTF8=ACCEPT
    /// ([RFC 9755 §3](https://www.rfc-editor.org/rfc/rfc9755#section-3)) or by IMAP4rev2, which
    /// contains it.
    pub fn utf8(&self) -> bool {
        self.rev2 || self.utf8_accept
    }

    /// Enables what these names stand for, and gives the names of what was not
    /// enabled before. Unknown names are ignored (RFC 5161 §3.1).
    pub(crate) fn enable(&mut self, names: &[String], rev2: bool) -> Vec<Cow<'static, str>> {
        let mut new = Vec::new();
        for name in names {
            let (known, flag) = match name.as_str() {
                "IMAP4REV2" if rev2 => ("IMAP4rev2", &mut self.rev2),
                "CONDSTORE" => ("CONDSTORE", &mut self.condstore),
                "QRESYNC" => ("QRESYNC", &mut self.qresync),
                "METADATA" => ("METADATA", &mut self.metadata),
                "METADATA-SERVER" => ("METADATA-SERVER", &mut self.metadata),
                "UIDONLY" => ("UIDONLY", &mut self.uidonly),
                "UTF8=ACCEPT" => ("UTF8=ACCEPT", &mut self.utf8_accept),
                _ => continue,
            };
            if !std::mem::replace(flag, true) {
                new.push(known.into());
            }
        }
        // RFC 7162 §3.2.3: ENABLE QRESYNC is a CONDSTORE enabling command.
        self.condstore |= self.qresync;
        new
    }
}

/// `enable = "ENABLE" 1*(SP capability)`
pub(crate) fn enable(input: &[u8]) -> Parsed<'_, Command> {
    map(
        preceded(sp, spaced1(expect("a capability", atom))),
        |names| Command::Enable(names.into_iter().map(str::to_ascii_uppercase).collect()),
    )
    .parse(input)
}
