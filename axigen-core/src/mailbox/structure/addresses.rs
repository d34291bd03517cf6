//! Address lists as ENVELOPE shows them (RFC 5322 §3.4), read leniently.

use axigen_proto::imap::structure::Address;
use bytes::Bytes;

/// Parses an address list. `room` is how many addresses may still be kept.
pub(super) fn parse(value: &[u8], room: &mut usize) -> Vec<Address> {
    let mut list = List {
        rest: value,
        out: Vec::new(),
        now: Building::default(),
        in_group: false,
    };
    while *room > list.out.len() {
        let Some((&byte, rest)) = list.rest.split_first() else {
            break;
        };
        list.rest = rest;
        match byte {
            b',' => list.finish(),
            b';' => {
                list.finish();
                if std::mem::take(&mut list.in_group) {
                    list.out.push(Address::default());
                }
            }
            b':' if list.now.angle.is_none() && !list.in_group => {
                // A group's name; its mark is an address without a host.
                let name = std::mem::take(&mut list.now).phrase;
                list.in_group = true;
                list.out.push(Address {
                    mailbox: Some(name.into()),
                    ..Address::default()
                });
            }
            b'"' => list.quoted(),
            b'(' => list.comment(),
            b'<' => list.angle(),
            b'\r' | b'\n' | 0 => {}
            b' ' | b'\t' => list.now.space = true,
            _ => list.now.push(byte),
        }
    }
    list.finish();
    if list.in_group {
        list.out.push(Address::default());
    }
    *room = room.saturating_sub(list.out.len());
    list.out
}

struct List<'v> {
    rest: &'v [u8],
    out: Vec<Address>,
    now: Building,
    in_group: bool,
}

/// An address in the making.
#[derive(Default)]
struct Building {
    /// Words in front, one space between them.
    phrase: Vec<u8>,
    /// The same without spaces: an address without angle brackets.
    spec: Vec<u8>,
    space: bool,
    angle: Option<Vec<u8>>,
    comment: Vec<u8>,
}

impl Building {
    fn push(&mut self, byte: u8) {
        if std::mem::take(&mut self.space) && !self.phrase.is_empty() {
            self.phrase.push(b' ');
        }
        self.phrase.push(byte);
        self.spec.push(byte);
    }
}

impl List<'_> {
    fn finish(&mut self) {
        let now = std::mem::take(&mut self.now);
        let text = |bytes: Vec<u8>| Some(Bytes::from(bytes)).filter(|bytes| !bytes.is_empty());
        let (spec, name) = match now.angle {
            Some(spec) => (spec, text(now.phrase).or(text(now.comment))),
            // A comment alone is no address.
            None if now.spec.is_empty() => return,
            None => (now.spec, text(now.comment)),
        };
        if spec.is_empty() && name.is_none() {
            return;
        }
        let (adl, spec) = match (spec.first(), spec.iter().position(|&b| b == b':')) {
            // RFC 5322 §4.4: an obsolete source route.
            (Some(b'@'), Some(colon)) => (
                text(spec.get(..colon).unwrap_or(&[]).to_vec()),
                spec.get(colon + 1..).unwrap_or(&[]).to_vec(),
            ),
            _ => (None, spec),
        };
        let (mailbox, host) = match spec.iter().rposition(|&b| b == b'@') {
            Some(at) => (
                spec.get(..at).unwrap_or(&[]).to_vec(),
                spec.get(at + 1..).unwrap_or(&[]).to_vec(),
            ),
            // NIL would make it a group.
            None => (spec, Vec::new()),
        };
        self.out.push(Address {
            name,
            adl,
            mailbox: Some(mailbox.into()),
            host: Some(host.into()),
        });
    }

    fn quoted(&mut self) {
        if std::mem::take(&mut self.now.space) && !self.now.phrase.is_empty() {
            self.now.phrase.push(b' ');
        }
        while let Some((&byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            let byte = match byte {
                b'"' => break,
                b'\\' => match self.escaped() {
                    Some(next) => next,
                    None => continue,
                },
                b'\r' | b'\n' | 0 => continue,
                byte => byte,
            };
            self.now.phrase.push(byte);
            self.now.spec.push(byte);
        }
    }

    /// What stands behind a backslash, unless it ends the line: that can be
    /// quoted by nothing.
    fn escaped(&mut self) -> Option<u8> {
        let (&next, rest) = self.rest.split_first()?;
        if matches!(next, b'\r' | b'\n' | 0) {
            return None;
        }
        self.rest = rest;
        Some(next)
    }

    fn comment(&mut self) {
        self.now.space = true;
        self.now.comment = self.inside_comment();
    }

    /// What is left of a comment, the nested ones included, up to its end.
    fn inside_comment(&mut self) -> Vec<u8> {
        let mut comment = Vec::new();
        let mut depth = 1usize;
        while let Some((&byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            match byte {
                b'(' => depth += 1,
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                b'\\' => {
                    comment.extend(self.escaped());
                    continue;
                }
                b'\r' | b'\n' | 0 => continue,
                _ => {}
            }
            comment.push(byte);
        }
        comment
    }

    fn angle(&mut self) {
        let mut spec = Vec::new();
        let mut quoted = false;
        while let Some((&byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            match byte {
                b'>' if !quoted => break,
                b'"' => quoted = !quoted,
                // RFC 5322 §3.4.1: comments around the atoms are not of the address.
                b'(' if !quoted => drop(self.inside_comment()),
                b'\\' if quoted => {
                    spec.extend(self.escaped());
                }
                b' ' | b'\t' if !quoted => {}
                b'\r' | b'\n' | 0 => {}
                _ => spec.push(byte),
            }
        }
        self.now.angle = Some(spec);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(value: &str) -> Vec<String> {
        let field = |bytes: Option<Bytes>| {
            bytes.map_or("NIL".into(), |b| String::from_utf8_lossy(&b).into_owned())
        };
        parse(value.as_bytes(), &mut 100)
            .into_iter()
            .map(|a| {
                format!(
                    "{}|{}|{}|{}",
                    field(a.name),
                    field(a.adl),
                    field(a.mailbox),
                    field(a.host)
                )
            })
            .collect()
    }

    #[test]
    fn lists() {
        for (value, want) in [
            ("a@b", vec!["NIL|NIL|a|b"]),
            (
                "Terry Gray <gray@cac.washington.edu>",
                vec!["Terry Gray|NIL|gray|cac.washington.edu"],
            ),
            (
                "\"Doe, \\\"J\\\"\" <j@x>, k@y (Kay)",
                vec!["Doe, \"J\"|NIL|j|x", "Kay|NIL|k|y"],
            ),
            ("<@r1,@r2:a@b>", vec!["NIL|@r1,@r2|a|b"]),
            (
                "A Group:Ed <ed@x>,joe@y;, z@z",
                vec![
                    "NIL|NIL|A Group|NIL",
                    "Ed|NIL|ed|x",
                    "NIL|NIL|joe|y",
                    "NIL|NIL|NIL|NIL",
                    "NIL|NIL|z|z",
                ],
            ),
            (
                "undisclosed-recipients:;",
                vec!["NIL|NIL|undisclosed-recipients|NIL", "NIL|NIL|NIL|NIL"],
            ),
            ("\"a b\"@c", vec!["NIL|NIL|a b|c"]),
            ("MAILER-DAEMON", vec!["NIL|NIL|MAILER-DAEMON|"]),
            ("  , ,,", vec![]),
            (
                "Pete(A wonderful \\) chap) <pete(his account)@silly.test(his host)>",
                vec!["Pete|NIL|pete|silly.test"],
            ),
            ("<\"a(b\"@c (d (e) f) .g>", vec!["NIL|NIL|a(b|c.g"]),
            ("open \"quote <a@b>", vec!["NIL|NIL|openquote <a|b>"]),
            ("(only a comment \\", vec![]),
            ("(a comment), b@c", vec!["NIL|NIL|b|c"]),
            ("a@b (comment \\\r\n", vec!["comment |NIL|a|b"]),
            ("\"quote \\\r\n <a@b>", vec!["NIL|NIL|quote  <a|b>"]),
            ("<\"a\\\r\n\"@b\\>", vec!["NIL|NIL|a|b\\"]),
        ] {
            assert_eq!(shown(value), want, "{value}");
        }
    }

    #[test]
    fn bounded() {
        let many = "a@b,".repeat(1000);
        let mut room = 10;
        assert_eq!(parse(many.as_bytes(), &mut room).len(), 10);
        assert_eq!(room, 0);
    }
}
