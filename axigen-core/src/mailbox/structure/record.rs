//! The compact record of a structure.
//!
//! A version byte, then fields in a fixed order. Numbers are LEB128 varints,
//! texts a length and their bytes; a text that may be absent has its length
//! and 1, 0 being absent. Sender and Reply-To that equal From are one byte.

use axigen_proto::imap::structure::{Address, Envelope, Extension, NString};
use bytes::Bytes;

use super::{Inner, NESTING, Node, Structure};

const VERSION: u8 = 1;

pub(super) fn encode(structure: &Structure) -> Vec<u8> {
    let mut out = Writer(vec![VERSION]);
    out.envelope(&structure.envelope);
    match structure.sent {
        Some((seconds, zone)) => {
            out.0.push(1);
            out.0.extend_from_slice(&seconds.to_be_bytes());
            out.0.extend_from_slice(&zone.to_be_bytes());
        }
        None => out.0.push(0),
    }
    out.node(&structure.root);
    out.0
}

pub(super) fn decode(record: Bytes) -> Option<Structure> {
    let mut read = Reader {
        bytes: record,
        at: 0,
    };
    if read.byte()? != VERSION {
        return None;
    }
    let envelope = read.envelope()?;
    let sent = match read.byte()? {
        0 => None,
        _ => Some((
            i64::from_be_bytes(read.array()?),
            i16::from_be_bytes(read.array()?),
        )),
    };
    let root = read.node(0)?;
    (read.at == read.bytes.len()).then_some(Structure {
        envelope,
        sent,
        root,
    })
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number as u8 & 0x7f) | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text);
    }

    fn maybe(&mut self, text: &NString) {
        match text {
            Some(text) => {
                self.number(text.len() as u64 + 1);
                self.0.extend_from_slice(text);
            }
            None => self.0.push(0),
        }
    }

    fn params(&mut self, params: &[(Bytes, Bytes)]) {
        self.number(params.len() as u64);
        for (name, value) in params {
            self.text(name);
            self.text(value);
        }
    }

    fn addresses(&mut self, addresses: &[Address]) {
        self.number(addresses.len() as u64);
        for address in addresses {
            for field in [&address.name, &address.adl, &address.mailbox, &address.host] {
                self.maybe(field);
            }
        }
    }

    fn envelope(&mut self, envelope: &Envelope) {
        for text in [
            &envelope.date,
            &envelope.subject,
            &envelope.in_reply_to,
            &envelope.message_id,
        ] {
            self.maybe(text);
        }
        self.addresses(&envelope.from);
        for like_from in [&envelope.sender, &envelope.reply_to] {
            self.0.push(u8::from(*like_from != envelope.from));
            if *like_from != envelope.from {
                self.addresses(like_from);
            }
        }
        for addresses in [&envelope.to, &envelope.cc, &envelope.bcc] {
            self.addresses(addresses);
        }
    }

    fn node(&mut self, node: &Node) {
        self.number(node.header);
        self.number(node.body - node.header);
        self.number(node.end - node.body);
        self.number(node.lines);
        self.text(&node.media_type);
        self.text(&node.subtype);
        self.params(&node.params);
        self.maybe(&node.id);
        self.maybe(&node.description);
        self.text(&node.encoding);
        self.maybe(&node.md5);
        match &node.extension.disposition {
            Some((value, params)) => {
                self.0.push(1);
                self.text(value);
                self.params(params);
            }
            None => self.0.push(0),
        }
        self.number(node.extension.language.len() as u64);
        for language in &node.extension.language {
            self.text(language);
        }
        self.maybe(&node.extension.location);
        match &node.inner {
            Inner::Nothing => self.0.push(0),
            Inner::Parts(parts) => {
                self.0.push(1);
                self.number(parts.len() as u64);
                for part in parts {
                    self.node(part);
                }
            }
            Inner::Message(envelope, inner) => {
                self.0.push(2);
                self.envelope(envelope);
                self.node(inner);
            }
        }
    }
}

struct Reader {
    bytes: Bytes,
    at: usize,
}

impl Reader {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(*array)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<Bytes> {
        let end = self.at.checked_add(usize::try_from(length).ok()?)?;
        if end > self.bytes.len() {
            return None;
        }
        let text = self.bytes.slice(self.at..end);
        self.at = end;
        Some(text)
    }

    fn text(&mut self) -> Option<Bytes> {
        let length = self.number()?;
        self.take(length)
    }

    fn maybe(&mut self) -> Option<NString> {
        match self.number()? {
            0 => Some(None),
            length => self.take(length - 1).map(Some),
        }
    }

    /// A count of things that take a byte each at least.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.bytes.len() - self.at).then_some(count)
    }

    fn params(&mut self) -> Option<Vec<(Bytes, Bytes)>> {
        (0..self.count()?)
            .map(|_| Some((self.text()?, self.text()?)))
            .collect()
    }

    fn addresses(&mut self) -> Option<Vec<Address>> {
        (0..self.count()?)
            .map(|_| {
                Some(Address {
                    name: self.maybe()?,
                    adl: self.maybe()?,
                    mailbox: self.maybe()?,
                    host: self.maybe()?,
                })
            })
            .collect()
    }

    fn envelope(&mut self) -> Option<Envelope> {
        let (date, subject, in_reply_to, message_id) =
            (self.maybe()?, self.maybe()?, self.maybe()?, self.maybe()?);
        let from = self.addresses()?;
        let mut like_from = || match self.byte()? {
            0 => Some(from.clone()),
            _ => self.addresses(),
        };
        let (sender, reply_to) = (like_from()?, like_from()?);
        let (to, cc, bcc) = (self.addresses()?, self.addresses()?, self.addresses()?);
        Some(Envelope {
            date,
            subject,
            from,
            sender,
            reply_to,
            to,
            cc,
            bcc,
            in_reply_to,
            message_id,
        })
    }

    fn node(&mut self, depth: usize) -> Option<Node> {
        if depth > NESTING + 1 {
            return None;
        }
        let header = self.number()?;
        let body = header.checked_add(self.number()?)?;
        let end = body.checked_add(self.number()?)?;
        Some(Node {
            header,
            body,
            end,
            lines: self.number()?,
            media_type: self.text()?,
            subtype: self.text()?,
            params: self.params()?,
            id: self.maybe()?,
            description: self.maybe()?,
            encoding: self.text()?,
            md5: self.maybe()?,
            extension: Extension {
                disposition: match self.byte()? {
                    0 => None,
                    _ => Some((self.text()?, self.params()?)),
                },
                language: (0..self.count()?)
                    .map(|_| self.text())
                    .collect::<Option<_>>()?,
                location: self.maybe()?,
            },
            inner: match self.byte()? {
                0 => Inner::Nothing,
                1 => Inner::Parts(
                    (0..self.count()?)
                        .map(|_| self.node(depth + 1))
                        .collect::<Option<_>>()?,
                ),
                2 => Inner::Message(Box::new(self.envelope()?), Box::new(self.node(depth + 1)?)),
                _ => return None,
            },
        })
    }
}
