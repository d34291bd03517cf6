//! SORT: messages in an order. [RFC 5256 §3](https://www.rfc-editor.org/rfc/rfc5256#section-3)

use std::cmp::Ordering;

use axigen_proto::imap::extensions::sort::{SortBy, SortCriterion};
use axigen_proto::imap::structure::{Address, Envelope};

use super::casemap::casemap;
use super::search::decode_words;
use super::structure::Structure;
use super::subject::BaseSubject;
use super::types::Row;

/// Messages to be sorted. Of each only what the criteria compare is held.
#[derive(Debug)]
pub struct Sorter {
    criteria: Vec<SortCriterion>,
    messages: Vec<Message>,
}

#[derive(Debug)]
struct Message {
    uid: u32,
    keys: Vec<Key>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(i128),
    Text(String),
}

impl Sorter {
    /// A sorter with no messages.
    pub fn new(criteria: &[SortCriterion]) -> Sorter {
        // What was compared once decides nothing a second time.
        let mut once: Vec<SortCriterion> = Vec::new();
        for criterion in criteria {
            if !once.iter().any(|known| known.by == criterion.by) {
                once.push(*criterion);
            }
        }
        Sorter {
            criteria: once,
            messages: Vec::new(),
        }
    }

    /// Whether a criterion needs more than the row.
    pub fn needs_structure(&self) -> bool {
        let from_row = |by| matches!(by, SortBy::Arrival | SortBy::Size);
        !self.criteria.iter().all(|criterion| from_row(criterion.by))
    }

    /// Takes a message; those that are equal in all criteria stay as they came.
    pub fn push(&mut self, row: &Row, structure: Option<&Structure>) {
        let keys = self.criteria.iter();
        let keys = keys.map(|criterion| key(criterion.by, row, structure));
        self.messages.push(Message {
            uid: row.uid,
            keys: keys.collect(),
        });
    }

    /// Their UIDs in order.
    pub fn sorted(mut self) -> Vec<u32> {
        let criteria = &self.criteria;
        // Stable: RFC 5256 §3: equal ones by sequence number, never in reverse.
        self.messages.sort_by(|a, b| {
            let keys = a.keys.iter().zip(&b.keys).zip(criteria);
            for ((a, b), criterion) in keys {
                let order = match criterion.reverse {
                    false => a.cmp(b),
                    true => b.cmp(a),
                };
                if order != Ordering::Equal {
                    return order;
                }
            }
            Ordering::Equal
        });
        self.messages.iter().map(|message| message.uid).collect()
    }
}

/// When a message was sent, in seconds since 1970; its internal date when it
/// does not say. RFC 5256 §2.2
pub(super) fn sent(row: &Row, structure: Option<&Structure>) -> i64 {
    let sent = structure.and_then(Structure::sent);
    sent.map_or(row.internal_date, |(seconds, _)| seconds)
}

fn key(by: SortBy, row: &Row, structure: Option<&Structure>) -> Key {
    let of = |list: fn(&Envelope) -> &[Address], shown: fn(&Address) -> String| {
        let first = structure.and_then(|structure| list(structure.envelope()).first());
        Key::Text(first.map(shown).unwrap_or_default())
    };
    match by {
        SortBy::Arrival => Key::Number(row.internal_date.into()),
        SortBy::Size => Key::Number(row.size.into()),
        SortBy::Date => Key::Number(sent(row, structure).into()),
        SortBy::Subject => {
            let subject = structure.and_then(|structure| structure.envelope().subject.as_ref());
            Key::Text(subject.map_or(String::new(), |subject| BaseSubject::of(subject).text))
        }
        SortBy::Cc => of(|envelope| &envelope.cc, mailbox),
        SortBy::From => of(|envelope| &envelope.from, mailbox),
        SortBy::To => of(|envelope| &envelope.to, mailbox),
        SortBy::DisplayFrom => of(|envelope| &envelope.from, display),
        SortBy::DisplayTo => of(|envelope| &envelope.to, display),
    }
}

fn mailbox(address: &Address) -> String {
    let mailbox = address.mailbox.as_ref();
    mailbox.map_or(String::new(), |mailbox| casemap(&decode_words(mailbox)))
}

/// RFC 5957 §3: the display name, else `mailbox@host`; of a group its name.
fn display(address: &Address) -> String {
    let name = address
        .name
        .as_ref()
        .map(|name| casemap(&decode_words(name)));
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        return name;
    }
    match &address.host {
        Some(host) => format!("{}@{}", mailbox(address), casemap(&decode_words(host))),
        None => mailbox(address),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::mailbox::types::{Flags, ItemId};

    fn order(criteria: &[(bool, SortBy)]) -> Vec<u32> {
        let mails: [(&str, i64); 5] = [
            (
                "From: Zoe <a@x>\r\nTo: team: b@x, c@x;\r\nSubject: Re: beta\r\nDate: Mon, 02 Mar 2026 10:00:00 +0200\r\n\r\n",
                50,
            ),
            (
                "From: b@y\r\nSubject: alpha\r\nDate: Mon, 02 Mar 2026 09:00:00 +0000\r\n\r\nlonger text",
                40,
            ),
            (
                "From: \"=?utf-8?q?=C3=84nne?=\" <c@x>\r\nCc: Q@x\r\nSubject: [l] BETA\r\n\r\n",
                30,
            ),
            (
                "From: Zoe <a@x>\r\nSubject: alpha (fwd)\r\nDate: nonsense\r\n\r\n",
                20,
            ),
            ("\r\n", 10),
        ];
        let criteria: Vec<_> = criteria
            .iter()
            .map(|&(reverse, by)| SortCriterion { reverse, by })
            .collect();
        let mut sorter = Sorter::new(&criteria);
        for (uid, (mail, date)) in (1..).zip(mails) {
            let row = Row {
                uid,
                item: ItemId(uid.into()),
                modseq: 1,
                flags: Flags::default(),
                internal_date: date,
                internal_zone: 0,
                size: mail.len() as u64,
                saved: date,
            };
            sorter.push(&row, Some(&Structure::parse(mail.as_bytes())));
        }
        sorter.sorted()
    }

    #[test]
    fn by_each_criterion() {
        assert_eq!(order(&[(false, SortBy::Arrival)]), [5, 4, 3, 2, 1]);
        assert_eq!(order(&[(true, SortBy::Arrival)]), [1, 2, 3, 4, 5]);
        // 08:00 and 09:00 in UTC; the others have their internal dates.
        assert_eq!(order(&[(false, SortBy::Date)]), [5, 4, 3, 1, 2]);
        assert_eq!(order(&[(false, SortBy::Size)]), [5, 4, 3, 2, 1]);
        assert_eq!(order(&[(false, SortBy::Subject)]), [5, 2, 4, 1, 3]);
        assert_eq!(order(&[(false, SortBy::From)]), [5, 1, 4, 2, 3]);
        assert_eq!(order(&[(true, SortBy::From)]), [3, 2, 1, 4, 5]);
        assert_eq!(order(&[(false, SortBy::Cc)]), [1, 2, 4, 5, 3]);
        assert_eq!(order(&[(false, SortBy::To)]), [2, 3, 4, 5, 1]);
        assert_eq!(order(&[(false, SortBy::DisplayFrom)]), [5, 3, 2, 1, 4]);
        assert_eq!(order(&[(false, SortBy::DisplayTo)]), [2, 3, 4, 5, 1]);
        let both = [(false, SortBy::Subject), (true, SortBy::Arrival)];
        assert_eq!(order(&both), [5, 2, 4, 1, 3]);
        let both = [(true, SortBy::Subject), (false, SortBy::Size)];
        assert_eq!(order(&both), [3, 1, 4, 2, 5]);
    }
}
