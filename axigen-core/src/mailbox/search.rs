//! SEARCH: which messages match. [RFC 9051 §6.4.4](https://www.rfc-editor.org/rfc/rfc9051#section-6.4.4)
//!
//! A key is evaluated with what is at hand. Flags and dates need only the row;
//! when the answer depends on the structure or on the bytes, [`Answer`] says
//! so, and nothing is loaded that is not needed.

//!
//! | file | what it is |
//! |---|---|
//! | `prepare` | keys made ready |
//! | `nearly` | FUZZY |
//! | `texts`, `decode`, `words` | the texts of a message; their encodings; encoded words |
//! | `wanted` | what an index of words is asked |

mod decode;
mod nearly;
mod prepare;
mod texts;
mod wanted;
mod words;

use axigen_proto::imap::command::SearchKey;
use axigen_proto::imap::extensions::objectid::ObjectId;
use axigen_proto::imap::sequence::NumberSet;

use super::casemap::casemap;
use super::excerpt::Excerpt;
use super::fuzzy::{self, Fuzzy};
use super::needle::Needle;
use super::structure::{Structure, header_fields};
use super::types::Row;
use nearly::{is_fuzzy, near, score};
use prepare::prepare;
use texts::{addresses, in_header, in_leaves};
use wanted::{learn, wanted};

pub use decode::transfer_decoded;
pub use texts::each_text;
pub(super) use texts::text_of;
pub use wanted::{Part, Wanted};
pub(super) use words::decode_words;

/// How well a message answers that has what was asked for, as it was asked for.
pub const BEST: u8 = fuzzy::BEST;

/// Longest header block searched in, in bytes.
pub const HEADER: u64 = 4 * 1024 * 1024;

/// A search, ready to be asked about messages.
#[derive(Debug)]
pub struct Search {
    key: Key,
    fuzzy: bool,
}

/// What surrounds a search.
#[derive(Debug, Clone, Copy)]
pub struct Context<'c> {
    /// The largest sequence number: how many messages there are.
    pub messages: u32,
    /// The largest UID; 0 for an empty mailbox.
    pub largest_uid: u32,
    /// Seconds since 1970: what YOUNGER and OLDER count from.
    pub now: i64,
    /// What SEARCH RETURN (SAVE) kept, as UIDs.
    pub saved: &'c NumberSet,
    /// UIDs that are \Recent in this session.
    pub recent: &'c NumberSet,
}

/// What is at hand of a message.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'m> {
    /// Its sequence number.
    pub seq: u32,
    /// Its row.
    pub row: &'m Row,
    /// Its identifier, once it was asked for.
    pub email_id: Option<&'m ObjectId>,
    /// Its structure, once it was asked for.
    pub structure: Option<&'m Structure>,
    /// Its header block, once it was asked for.
    pub header: Option<&'m [u8]>,
    /// Its texts, once they were asked for.
    pub raw: Option<&'m Excerpt>,
}

/// Whether a message matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// It does not.
    No,
    /// It does.
    Yes,
    /// Load the identifier and ask again.
    NeedsEmailId,
    /// Load the structure and ask again.
    NeedsStructure,
    /// Load the header block and ask again.
    NeedsHeader,
    /// Load structure and texts, or more of its texts, and ask again.
    NeedsBody,
}

impl Answer {
    fn of(yes: bool) -> Answer {
        if yes { Answer::Yes } else { Answer::No }
    }

    /// Whether something was found in what was read of a message.
    fn of_text(found: bool, raw: &Excerpt) -> Answer {
        match found || raw.is_complete() {
            true => Answer::of(found),
            false => Answer::NeedsBody,
        }
    }
}

/// A key with its strings folded and its sets resolved.
#[derive(Debug)]
enum Key {
    All,
    And(Vec<Key>),
    Or(Box<Key>, Box<Key>),
    Not(Box<Key>),
    Sequence(NumberSet),
    Uid(NumberSet),
    System(u8),
    Keyword(String),
    Recent(NumberSet),
    /// Days since 1970, by the internal date: from (inclusive), to (exclusive).
    Internal(i64, i64),
    Sent(i64, i64),
    /// Days since 1970, by the save date.
    Saved(i64, i64),
    /// Seconds since 1970, by the internal date: from, to, both inclusive.
    Arrived(i64, i64),
    Larger(u64),
    Smaller(u64),
    /// Changed at this number or later.
    Changed(u64),
    EmailId(ObjectId),
    Header(String, Needle),
    /// A field of addresses, as ENVELOPE shows it.
    Addresses(&'static str, Needle),
    Body(Needle),
    Text(Needle),
    /// What is nearly so, too: strings in it are looked for by their words.
    Nearly(Box<Key>),
    FuzzyHeader(String, Fuzzy),
    FuzzyAddresses(&'static str, Fuzzy),
    FuzzyBody(Fuzzy),
    FuzzyText(Fuzzy),
}

impl Search {
    /// Prepares a search.
    pub fn new(keys: &[SearchKey], context: &Context<'_>) -> Search {
        let key = Key::And(keys.iter().map(|key| prepare(key, context)).collect());
        let fuzzy = is_fuzzy(&key);
        Search { key, fuzzy }
    }

    /// Whether something in it may be inexact.
    pub fn is_fuzzy(&self) -> bool {
        self.fuzzy
    }

    /// How well a message that matches does so, from 1 to 100
    /// ([RFC 6203 §4](https://www.rfc-editor.org/rfc/rfc6203#section-4)), by what
    /// is at hand. The index has no part in it.
    pub fn relevancy(&self, candidate: &Candidate<'_>) -> u8 {
        score(&self.key, candidate).unwrap_or(fuzzy::BEST).max(1)
    }

    /// What every message that matches has in its texts, as far as that can be
    /// said.
    pub fn wanted(&self) -> Wanted {
        wanted(&self.key)
    }

    /// Takes over what is known before any message is looked at: messages of
    /// these UIDs (ascending) have what is wanted, one of the texts in
    /// [`wanted`](Search::wanted).
    pub fn learn(&mut self, wanted: &Wanted, uids: &[u32]) {
        learn(&mut self.key, wanted, uids);
    }

    /// Whether a message matches, by what is at hand.
    pub fn matches(&self, candidate: &Candidate<'_>) -> Answer {
        evaluate(&self.key, candidate)
    }
}

fn evaluate(key: &Key, of: &Candidate<'_>) -> Answer {
    match key {
        Key::All => Answer::Yes,
        Key::And(keys) => {
            // One cheap no spares loading for the others.
            let mut worst = Answer::Yes;
            for key in keys {
                match evaluate(key, of) {
                    Answer::No => return Answer::No,
                    Answer::Yes => {}
                    needs if worst == Answer::Yes || needs < worst => worst = needs,
                    _ => {}
                }
            }
            worst
        }
        Key::Or(a, b) => match (evaluate(a, of), evaluate(b, of)) {
            (Answer::Yes, _) | (_, Answer::Yes) => Answer::Yes,
            (Answer::No, other) | (other, Answer::No) => other,
            (a, b) => a.min(b),
        },
        Key::Not(key) => match evaluate(key, of) {
            Answer::Yes => Answer::No,
            Answer::No => Answer::Yes,
            needs => needs,
        },
        Key::Sequence(set) => Answer::of(set.contains(of.seq)),
        Key::Uid(set) | Key::Recent(set) => Answer::of(set.contains(of.row.uid)),
        Key::System(flag) => Answer::of(of.row.flags.has(*flag)),
        Key::Keyword(name) => Answer::of(of.row.flags.has_keyword(name)),
        // RFC 9051 §6.4.4: dates are compared without time and zone, as they stand.
        Key::Internal(from, to) => {
            let day =
                (of.row.internal_date + i64::from(of.row.internal_zone) * 60).div_euclid(86_400);
            Answer::of((*from..*to).contains(&day))
        }
        Key::Sent(from, to) => match of.structure {
            None => Answer::NeedsStructure,
            Some(structure) => Answer::of(structure.sent().is_some_and(|(seconds, zone)| {
                (*from..*to).contains(&(seconds + i64::from(zone) * 60).div_euclid(86_400))
            })),
        },
        Key::Saved(from, to) => {
            let day = of.row.saved.div_euclid(86_400);
            Answer::of((*from..*to).contains(&day))
        }
        Key::Arrived(from, to) => Answer::of((*from..=*to).contains(&of.row.internal_date)),
        Key::Larger(size) => Answer::of(of.row.size > *size),
        Key::Smaller(size) => Answer::of(of.row.size < *size),
        Key::EmailId(id) => match of.email_id {
            None => Answer::NeedsEmailId,
            Some(of) => Answer::of(of == id),
        },
        Key::Changed(since) => Answer::of(of.row.modseq >= *since),
        Key::Header(_, text) | Key::Body(text) | Key::Text(text) if text.knows(of.row.uid) => {
            Answer::Yes
        }
        Key::Header(name, text) => match of.header {
            None => Answer::NeedsHeader,
            Some(header) => Answer::of(
                header_fields(header)
                    .any(|field| field.is(name) && text.is_in(&decode_words(field.value))),
            ),
        },
        Key::Addresses(name, text) => match of.header {
            None => Answer::NeedsHeader,
            Some(header) => Answer::of(
                header_fields(header)
                    .any(|field| field.is(name) && text.is_in(&addresses(field.value))),
            ),
        },
        Key::Body(text) => match (of.structure, of.raw) {
            (Some(structure), Some(raw)) => {
                Answer::of_text(in_leaves(structure, raw, text, false), raw)
            }
            _ => Answer::NeedsBody,
        },
        Key::Nearly(key) => evaluate(key, of),
        Key::FuzzyHeader(..) | Key::FuzzyAddresses(..) => match of.header {
            None => Answer::NeedsHeader,
            Some(_) => Answer::of(near(key, of) > 0),
        },
        Key::FuzzyBody(_) | Key::FuzzyText(_) => match (of.structure, of.raw) {
            // How well it does depends on all of it.
            (Some(_), Some(raw)) if raw.is_complete() => Answer::of(near(key, of) > 0),
            _ => Answer::NeedsBody,
        },
        Key::Text(text) => match (of.structure, of.raw) {
            (Some(structure), Some(raw)) => {
                let found =
                    in_header(structure, raw, text) || in_leaves(structure, raw, text, true);
                Answer::of_text(found, raw)
            }
            _ => Answer::NeedsBody,
        },
    }
}

/// A text as it is compared: by i;unicode-casemap
/// ([RFC 5255 §4.3](https://www.rfc-editor.org/rfc/rfc5255#section-4.3)). What one
/// character becomes depends on nothing around it, so a part of a text is a
/// part of the folded text too.
pub(super) fn fold(text: &str) -> String {
    casemap(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axigen_proto::imap::types::{Date, Flag};

    use super::super::types::{Flags, ItemId};
    use super::texts::slice;
    use super::*;

    const RAW: &[u8] = b"From: =?utf-8?Q?J=C3=BCrgen?= =?utf-8?B?IE3DvGxsZXI=?= <j@x.test>\r\nTo: Pete(a chap) <pete(his account)@silly.test>\r\nSubject: Invoice\r\n for May\r\nDate: Mon, 2 Mar 2026 23:30:00 -0500\r\nX-Tag: \r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe and a soft=\r\nbreak\r\n--b\r\nContent-Type: application/x-thing; name=hidden.bin\r\nContent-Transfer-Encoding: base64\r\n\r\nbmVlZGxl\r\n--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+bmVlZGxlPC9iPg==\r\n--b--\r\n";

    fn row() -> Row {
        // 2026-03-02 23:00 in a zone five hours west: the next day in UTC.
        Row {
            uid: 7,
            item: ItemId(1),
            modseq: 1,
            flags: Flags::new(Flags::SEEN, ["$Work".into()]),
            internal_date: 1_772_510_400,
            internal_zone: -300,
            size: RAW.len() as u64,
            // Half past midnight of the 5th.
            saved: 1_772_671_800,
        }
    }

    fn found(key: SearchKey) -> bool {
        let (saved, recent) = (NumberSet::new(), std::iter::once(7).collect());
        let context = Context {
            messages: 3,
            largest_uid: 9,
            now: row().internal_date + 100,
            saved: &saved,
            recent: &recent,
        };
        let search = Search::new(std::slice::from_ref(&key), &context);
        let structure = Structure::parse(RAW);
        let row = row();
        let header = slice(RAW, structure.header());
        let raw = Excerpt::whole(RAW);
        let mut candidate = Candidate {
            seq: 2,
            row: &row,
            email_id: None,
            structure: None,
            header: None,
            raw: None,
        };
        let email_id = ObjectId::new("M0123").unwrap();
        for _ in 0..5 {
            match search.matches(&candidate) {
                Answer::Yes => return true,
                Answer::No => return false,
                Answer::NeedsEmailId => candidate.email_id = Some(&email_id),
                Answer::NeedsStructure => candidate.structure = Some(&structure),
                Answer::NeedsHeader => candidate.header = Some(header),
                Answer::NeedsBody => {
                    (candidate.structure, candidate.raw) = (Some(&structure), Some(&raw))
                }
            }
        }
        panic!("{key:?} asks for ever");
    }

    fn text(s: &str) -> String {
        s.to_owned()
    }

    #[test]
    fn keys() {
        let date = |d| Date::new(2026, 3, d).unwrap();
        let yes = [
            SearchKey::All,
            SearchKey::Seen,
            SearchKey::Unflagged,
            SearchKey::Recent,
            SearchKey::Keyword(Flag::new("$WORK").unwrap()),
            SearchKey::From(text("jürgen müller")),
            SearchKey::From(text("X.TEST")),
            SearchKey::To(text("pete@silly.test")),
            SearchKey::Header(text("to"), text("chap")),
            SearchKey::Subject(text("invoice for")),
            SearchKey::Header(text("x-tag"), text("")),
            SearchKey::Body(text("grüße")),
            SearchKey::Body(text("softbreak")),
            SearchKey::Body(text("NEEDLE")),
            SearchKey::Text(text("hidden.bin")),
            SearchKey::Text(text("may")),
            SearchKey::On(date(2)),
            SearchKey::Since(date(2)),
            SearchKey::Before(date(3)),
            SearchKey::SentOn(date(2)),
            SearchKey::SentSince(date(1)),
            SearchKey::SavedOn(date(5)),
            SearchKey::SavedBefore(date(6)),
            SearchKey::SavedSince(date(5)),
            SearchKey::SaveDateSupported,
            SearchKey::Larger(10),
            SearchKey::EmailId(ObjectId::new("M0123").unwrap()),
            SearchKey::UidAfter(6),
            SearchKey::UidBefore(8),
            SearchKey::Younger(100),
            SearchKey::Younger(u32::MAX),
            SearchKey::Older(100),
            SearchKey::Older(1),
            SearchKey::Smaller(1_000_000),
            SearchKey::Not(Box::new(SearchKey::Body(text("absent")))),
            SearchKey::Or(
                Box::new(SearchKey::Body(text("absent"))),
                Box::new(SearchKey::Subject(text("may"))),
            ),
        ];
        for key in yes {
            assert!(found(key.clone()), "{key:?}");
        }
        let no = [
            SearchKey::Unseen,
            SearchKey::New,
            SearchKey::Old,
            SearchKey::Keyword(Flag::new("work").unwrap()),
            SearchKey::To(text("his account")),
            SearchKey::Header(text("to"), text("pete@silly.test")),
            SearchKey::Header(text("x-none"), text("")),
            SearchKey::Body(text("invoice")),
            SearchKey::Body(text("hidden")),
            SearchKey::Text(text("bmVlZGxl")),
            SearchKey::SavedOn(date(4)),
            SearchKey::SavedBefore(date(5)),
            SearchKey::SavedSince(date(6)),
            SearchKey::On(date(3)),
            SearchKey::SentBefore(date(2)),
            SearchKey::Larger(RAW.len() as u64),
            SearchKey::EmailId(ObjectId::new("M0124").unwrap()),
            SearchKey::ThreadId(ObjectId::new("M0123").unwrap()),
            SearchKey::ModSeq {
                entry: None,
                since: u64::MAX,
            },
            SearchKey::UidAfter(7),
            SearchKey::UidAfter(u32::MAX),
            SearchKey::UidBefore(7),
            SearchKey::UidBefore(1),
            SearchKey::Younger(99),
            SearchKey::Older(101),
            SearchKey::And(vec![SearchKey::Seen, SearchKey::Body(text("absent"))]),
        ];
        for key in no {
            assert!(!found(key.clone()), "{key:?}");
        }
    }

    #[test]
    fn cheap_keys_spare_the_body() {
        let (saved, recent) = (NumberSet::new(), NumberSet::new());
        let context = Context {
            messages: 3,
            largest_uid: 9,
            now: row().internal_date + 100,
            saved: &saved,
            recent: &recent,
        };
        let search = Search::new(&[SearchKey::Body(text("x")), SearchKey::Flagged], &context);
        let row = row();
        let candidate = Candidate {
            seq: 2,
            row: &row,
            email_id: None,
            structure: None,
            header: None,
            raw: None,
        };
        assert_eq!(search.matches(&candidate), Answer::No);
    }
}
