//! SORT: messages in an order. [RFC 5256 §3](https://www.rfc-editor.org/rfc/rfc5256#section-3)

use axigen_proto::imap::extensions::sort::{SortBy, SortCriterion};

use super::brief::Brief;
use super::types::Row;

/// Messages to be sorted. Of each only what the criteria compare is held, as
/// bytes whose order is that of the messages.
#[derive(Debug)]
pub struct Sorter {
    criteria: Vec<SortCriterion>,
    messages: Vec<Message>,
    keys: Vec<u8>,
}

#[derive(Debug)]
struct Message {
    /// The first bytes of its key.
    first: u64,
    /// Where it is in all keys.
    start: usize,
    end: usize,
    uid: u32,
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
            keys: Vec::new(),
        }
    }

    /// Whether a criterion needs more than the row.
    pub fn needs_brief(&self) -> bool {
        let from_row = |by| matches!(by, SortBy::Arrival | SortBy::Size | SortBy::Relevancy);
        !self.criteria.iter().all(|criterion| from_row(criterion.by))
    }

    /// Takes a message; those that are equal in all criteria stay as they came.
    /// `relevancy` is how well it answers the search, up to 100.
    pub fn push(&mut self, row: &Row, brief: Option<&Brief<'_>>, relevancy: u8) {
        let start = self.keys.len();
        for criterion in &self.criteria {
            let from = self.keys.len();
            match criterion.by {
                // RFC 6203 §6: the best come first.
                SortBy::Relevancy => self.keys.push(!relevancy),
                by => put_key(by, row, brief, &mut self.keys),
            }
            if criterion.reverse {
                let key = self.keys.get_mut(from..).unwrap_or_default();
                key.iter_mut().for_each(|byte| *byte = !*byte);
            }
        }
        let key = self.keys.get(start..).unwrap_or_default();
        let mut first = [0; 8];
        for (to, from) in first.iter_mut().zip(key) {
            *to = *from;
        }
        self.messages.push(Message {
            first: u64::from_be_bytes(first),
            start,
            end: self.keys.len(),
            uid: row.uid,
        });
    }

    /// Their UIDs in order.
    pub fn sorted(mut self) -> Vec<u32> {
        let keys = &self.keys;
        let key = |of: &Message| keys.get(of.start..of.end);
        // Stable: RFC 5256 §3: equal ones by sequence number, never in reverse.
        self.messages.sort_by(|a, b| {
            let order = a.first.cmp(&b.first);
            order.then_with(|| key(a).cmp(&key(b)))
        });
        self.messages.iter().map(|message| message.uid).collect()
    }
}

/// Appends what one criterion compares.
fn put_key(by: SortBy, row: &Row, brief: Option<&Brief<'_>>, out: &mut Vec<u8>) {
    // The sign's bit turned: below zero comes first.
    let signed = |number: i64| (number as u64 ^ 1 << 63).to_be_bytes();
    let text = match by {
        SortBy::Arrival => return out.extend_from_slice(&signed(row.internal_date)),
        SortBy::Size => return out.extend_from_slice(&row.size.to_be_bytes()),
        // Of the search, not of the message.
        SortBy::Relevancy => return,
        SortBy::Date => {
            let sent = brief.map_or(row.internal_date, |brief| brief.sent(row));
            return out.extend_from_slice(&signed(sent));
        }
        SortBy::Subject => brief.map(|brief| brief.subject),
        SortBy::Cc => brief.map(|brief| brief.cc),
        SortBy::From => brief.map(|brief| brief.from),
        SortBy::To => brief.map(|brief| brief.to),
        SortBy::DisplayFrom => brief.map(|brief| brief.display_from),
        SortBy::DisplayTo => brief.map(|brief| brief.display_to),
    };
    // Ended by what is before everything that a longer one has there.
    for &byte in text.unwrap_or_default() {
        match byte {
            0 => out.extend_from_slice(&[0, 1]),
            byte => out.push(byte),
        }
    }
    out.extend_from_slice(&[0, 0]);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::mailbox::brief;
    use crate::mailbox::structure::Structure;
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
            let brief = brief::encode(&Structure::parse(mail.as_bytes()), mail.as_bytes());
            sorter.push(&row, Brief::decode(&brief).as_ref(), 100);
        }
        sorter.sorted()
    }

    #[test]
    fn keys_are_in_the_order_of_what_they_are_of() {
        let mut keys = Vec::new();
        for text in [
            "", "\0", "\0\0", "\0\u{1}", "\u{1}", "a", "a\0", "a\0b", "a\u{1}", "aa", "b",
        ] {
            let mail = format!("Subject: {text}\r\n\r\n");
            let bytes = brief::encode(&Structure::parse(mail.as_bytes()), mail.as_bytes());
            let brief = Brief {
                subject: text.as_bytes(),
                ..Brief::decode(&bytes).unwrap()
            };
            let row = Row {
                uid: 1,
                item: ItemId(1),
                modseq: 1,
                flags: Flags::default(),
                internal_date: 0,
                internal_zone: 0,
                size: 0,
                saved: 0,
            };
            let mut key = Vec::new();
            put_key(SortBy::Subject, &row, Some(&brief), &mut key);
            keys.push(key);
        }
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
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
