//! What a filter sees, and what it may record.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axigen_proto::TlsInfo;
use axigen_store::AccountId;
use bytes::Bytes;

/// The connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The peer's address.
    pub peer: IpAddr,
    /// The service it talks to: `smtp_in`, `submission`, `lmtp`.
    pub service: String,
    /// What it called itself, once it did.
    pub helo: Option<String>,
    /// TLS, once it runs.
    pub tls: Option<TlsInfo>,
    /// The address of who logged in.
    pub authenticated: Option<String>,
}

/// The transaction: one message in the making.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    /// The connection it comes over.
    pub connection: Connection,
    /// Our id of the message, also in every log line and in `Received`.
    pub id: String,
    /// The envelope sender; empty for a bounce.
    pub sender: String,
    /// Recipients accepted so far.
    pub recipients: Vec<Recipient>,
    /// Size the client declared, in bytes.
    pub declared_size: Option<u64>,
    scores: BTreeMap<String, f64>,
    marks: BTreeMap<String, String>,
}

impl Transaction {
    /// A transaction at its beginning.
    pub fn new(connection: Connection, id: String, sender: String) -> Transaction {
        Transaction {
            connection,
            id,
            sender,
            recipients: Vec::new(),
            declared_size: None,
            scores: BTreeMap::new(),
            marks: BTreeMap::new(),
        }
    }

    /// Adds to the message's score under a name (`spam`, `phishing`).
    pub fn add_score(&mut self, name: &str, points: f64) {
        *self.scores.entry(name.to_owned()).or_default() += points;
    }

    /// The score under a name.
    pub fn score(&self, name: &str) -> f64 {
        self.scores.get(name).copied().unwrap_or(0.0)
    }

    /// Notes something for later filters and the log.
    pub fn mark(&mut self, name: &str, value: &str) {
        self.marks.insert(name.to_owned(), value.to_owned());
    }

    /// What was noted under a name.
    pub fn marked(&self, name: &str) -> Option<&str> {
        self.marks.get(name).map(String::as_str)
    }
}

/// One recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The address as the peer gave it.
    pub address: String,
    /// The account, at [`pre_delivery`](super::Filter::pre_delivery).
    pub account: Option<AccountId>,
}

/// The message, with what filters want changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    raw: Bytes,
    edits: Vec<Edit>,
}

/// A change of the header. Edits are recorded and applied once, after all
/// filters of the stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// A new field above all others.
    Prepend(String, String),
    /// Every field of that name is removed.
    Remove(String),
}

impl Message {
    /// A message as it came.
    pub fn new(raw: Bytes) -> Message {
        Message {
            raw,
            edits: Vec::new(),
        }
    }

    /// The message as it came; edits are not in it yet.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The first field of that name, unfolded, as it came.
    pub fn header(&self, name: &str) -> Option<String> {
        header_fields(&self.raw)
            .find(|field| is_named(field, name))
            .map(|field| {
                let value = field.splitn(2, |&b| b == b':').nth(1).unwrap_or(&[]);
                let text = String::from_utf8_lossy(value);
                text.replace("\r\n", "").replace('\n', "").trim().to_owned()
            })
    }

    /// Records a new field at the top, folded where it is long. Control
    /// characters are taken out of the value, so nothing can be smuggled in; a
    /// field whose name is no field name is not added
    /// ([RFC 5322 §3.6.8](https://www.rfc-editor.org/rfc/rfc5322#section-3.6.8)).
    pub fn add_header(&mut self, name: &str, value: &str) {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
            tracing::warn!(name, "a filter adds a header whose name cannot be");
            return;
        }
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        self.edits.push(Edit::Prepend(name.to_owned(), value));
    }

    /// Records the removal of every field of that name that the message came
    /// with; those that filters add stay.
    pub fn remove_header(&mut self, name: &str) {
        self.edits.push(Edit::Remove(name.to_owned()));
    }

    /// What was recorded.
    pub fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// The message with all edits applied, and nothing recorded any more.
    pub fn apply(&mut self) {
        if self.edits.is_empty() {
            return;
        }
        let edits = std::mem::take(&mut self.edits);
        let mut out = Vec::with_capacity(self.raw.len() + 256);
        for edit in edits.iter().rev() {
            if let Edit::Prepend(name, value) = edit {
                out.extend_from_slice(fold(name, value).as_bytes());
            }
        }
        let mut used = 0;
        for field in header_fields(&self.raw) {
            let removed = edits
                .iter()
                .any(|edit| matches!(edit, Edit::Remove(name) if is_named(field, name)));
            if !removed {
                out.extend_from_slice(field);
            }
            used += field.len();
        }
        out.extend_from_slice(self.raw.get(used..).unwrap_or(&[]));
        self.raw = out.into();
    }
}

/// A field with its line ends, folded at spaces so that lines stay below 78
/// characters where they can, and below 998 bytes in any case (RFC 5322
/// §2.1.1, §2.2.3).
fn fold(name: &str, value: &str) -> String {
    let mut out = format!("{name}:");
    let mut line = out.len();
    for word in value.split(' ').filter(|word| !word.is_empty()) {
        if line + 1 + word.len() > 78 && line > name.len() + 1 {
            out.push_str("\r\n");
            line = 0;
        }
        out.push(' ');
        line += 1;
        for c in word.chars() {
            if line + c.len_utf8() > 998 {
                out.push_str("\r\n ");
                line = 1;
            }
            out.push(c);
            line += c.len_utf8();
        }
    }
    out.push_str("\r\n");
    out
}

pub(crate) fn is_named(field: &[u8], name: &str) -> bool {
    let end = field.iter().position(|&b| b == b':').unwrap_or(0);
    field
        .get(..end)
        .is_some_and(|given| given.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes()))
}

/// The header's fields, folded lines and line ends included.
pub(crate) fn header_fields(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        let mut end = 0;
        loop {
            let line = rest.get(end..)?;
            let length = line
                .iter()
                .position(|&b| b == b'\n')
                .map_or(line.len(), |at| at + 1);
            let line = line.get(..length)?;
            if end == 0 && (line.is_empty() || matches!(line, b"\r\n" | b"\n")) {
                return None;
            }
            if end > 0 && !matches!(line.first(), Some(b' ' | b'\t')) {
                break;
            }
            end += length;
            if length == 0 {
                break;
            }
        }
        let (field, after) = rest.split_at(end);
        rest = after;
        Some(field)
    })
}

/// Where a message goes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHop {
    /// The recipient's domain.
    pub domain: String,
    /// The host to connect to, once it is known.
    pub host: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn edits_are_applied_once() {
        let mut message = Message::new(Bytes::from_static(
            b"A: 1\r\nb: 2\r\n folded\r\nB : 3\r\n\r\nB: body\r\n",
        ));
        assert_eq!(message.header("B").as_deref(), Some("2 folded"));
        message.add_header("X-One", "1\r\nInjected: yes");
        message.add_header("X-Two", "2");
        message.remove_header("B");
        message.apply();
        assert_eq!(
            &message.raw()[..],
            b"X-Two: 2\r\nX-One: 1Injected: yes\r\nA: 1\r\n\r\nB: body\r\n"
        );
        message.apply();
        assert!(message.edits().is_empty());
        for name in ["", "a b", "a:b", "a\r\nb", "\u{e4}"] {
            message.add_header(name, "x");
        }
        assert!(message.edits().is_empty(), "these are no names");
    }

    #[test]
    fn long_fields_are_folded() {
        for value in [
            "short".to_owned(),
            "word ".repeat(400),
            "x".repeat(5000),
            "\u{2603}".repeat(1000),
            format!("{} {} end", "a".repeat(77), "b".repeat(990)),
        ] {
            let mut message = Message::new(Bytes::from_static(b"A: 1\r\n\r\nbody"));
            message.add_header("X-Long", &value);
            message.apply();
            let raw = String::from_utf8(message.raw().to_vec()).unwrap();
            let lines: Vec<&str> = raw.split("\r\n").collect();
            assert!(lines.iter().all(|line| line.len() <= 998));
            assert_eq!(header_fields(raw.as_bytes()).count(), 2, "{raw}");
            let words = |text: &str| text.replace([' ', '\r', '\n'], "");
            assert_eq!(
                words(&message.header("x-long").unwrap()),
                words(&value),
                "nothing is lost"
            );
        }
    }

    #[test]
    fn headers_of_odd_messages() {
        for raw in [
            &b""[..],
            b"\r\n",
            b"\r\nbody",
            b"no end",
            b" folded first\r\nA: 1\r\n",
            b"A: 1\r\n\tx",
            b"\n\n",
        ] {
            let mut message = Message::new(Bytes::copy_from_slice(raw));
            message.remove_header("nothing");
            message.apply();
            assert_eq!(&message.raw()[..], raw);
        }
    }
}
