//! Which mail a client asks a server to send it now: the argument of ETRN
//! ([RFC 1985](https://www.rfc-editor.org/rfc/rfc1985)).

use std::fmt;
use std::str::FromStr;

use super::address::DomainName;
use super::command::ValueError;

/// What the name in ETRN stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// No option character: mail for this host.
    Host,
    /// `@`: mail for this domain and all below it.
    Subdomains,
    /// `#`: a queue that the server calls so.
    Queue,
}

/// `[<option character>]<node name>`
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    kind: NodeKind,
    name: String,
}

impl Node {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When the name of a host or domain is none, and when that of a queue has
    /// not 1 to 255 printable ASCII characters without spaces.
    pub fn new(kind: NodeKind, name: impl Into<String>) -> Result<Self, ValueError> {
        let name = name.into();
        let good = match kind {
            NodeKind::Host | NodeKind::Subdomains => DomainName::new(name.as_str()).is_ok(),
            NodeKind::Queue => {
                (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
            }
        };
        match good {
            true => Ok(Self { kind, name }),
            false => Err(ValueError(
                "ETRN needs the name of a host, @domain or #queue",
            )),
        }
    }

    /// What the name stands for.
    pub fn kind(&self) -> NodeKind {
        self.kind
    }

    /// The name, without the option character.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// As on the wire.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = match self.kind {
            NodeKind::Host => "",
            NodeKind::Subdomains => "@",
            NodeKind::Queue => "#",
        };
        write!(f, "{option}{}", self.name)
    }
}

impl FromStr for Node {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.as_bytes().first() {
            Some(b'@') => Self::new(NodeKind::Subdomains, &text[1..]),
            Some(b'#') => Self::new(NodeKind::Queue, &text[1..]),
            _ => Self::new(NodeKind::Host, text),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn nodes_come_back_as_they_were_written() {
        for (text, kind) in [
            ("mx.example.test", NodeKind::Host),
            ("@example.test", NodeKind::Subdomains),
            ("#uucp!x", NodeKind::Queue),
            ("bücher.test", NodeKind::Host),
        ] {
            let node: Node = text.parse().unwrap();
            assert_eq!(node.kind(), kind);
            assert_eq!(node.to_string(), text);
        }
        for text in [
            "", "@", "#", "a b", "@a..b", "#a b", "a\r\n", "#a\0", "#é", "@@a",
        ] {
            assert!(text.parse::<Node>().is_err(), "{text:?}");
        }
    }
}
