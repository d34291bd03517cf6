//! What a search wants of texts, for an index of words, and what an index knows.

use super::Key;

/// Where a text stands in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The field Subject.
    Subject,
    /// A field of addresses.
    Address,
    /// Such a field, as ENVELOPE shows it: TEXT does not look there.
    Envelope,
    /// Another field of the message's header.
    Field,
    /// A field of a part's header.
    Mime,
    /// A part's content.
    Body,
}

impl Part {
    /// Where TEXT looks.
    pub const ALL: [Part; 5] = [
        Part::Subject,
        Part::Address,
        Part::Field,
        Part::Mime,
        Part::Body,
    ];

    /// The part that a field of the message's header belongs to.
    pub(super) fn of_field(name: &[u8]) -> Part {
        let is = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
        if is(&"Subject") {
            Part::Subject
        } else if ["From", "To", "Cc", "Bcc", "Sender", "Reply-To"]
            .iter()
            .any(is)
        {
            Part::Address
        } else {
            Part::Field
        }
    }
}

/// What a message must have in its texts to match a search. A message that
/// lacks it does not match; one that has it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing is known.
    Anything,
    /// A string, folded, in a text of one of these parts.
    Text(Vec<Part>, String),
    /// All of these.
    All(Vec<Wanted>),
    /// One of the two.
    Either(Box<Wanted>, Box<Wanted>),
}

pub(super) fn wanted(key: &Key) -> Wanted {
    match key {
        Key::And(keys) => Wanted::All(keys.iter().map(wanted).collect()),
        Key::Or(a, b) => Wanted::Either(Box::new(wanted(a)), Box::new(wanted(b))),
        // With an empty string HEADER asks whether the field is there at all.
        Key::Header(_, text) | Key::Addresses(_, text) | Key::Body(text) | Key::Text(text)
            if text.is_empty() =>
        {
            Wanted::Anything
        }
        Key::Header(name, text) => {
            let part = Part::of_field(name.as_bytes());
            Wanted::Text(vec![part], text.folded().to_owned())
        }
        Key::Addresses(_, text) => {
            let parts = vec![Part::Address, Part::Envelope];
            Wanted::Text(parts, text.folded().to_owned())
        }
        Key::Body(text) => Wanted::Text(vec![Part::Body], text.folded().to_owned()),
        Key::Text(text) => Wanted::Text(Part::ALL.to_vec(), text.folded().to_owned()),
        // NOT: that a word is missing tells nothing about the message's words.
        _ => Wanted::Anything,
    }
}

pub(super) fn learn(key: &mut Key, known: &Wanted, uids: &[u32]) {
    let is_known = wanted(key) == *known;
    match key {
        Key::And(keys) => keys.iter_mut().for_each(|key| learn(key, known, uids)),
        Key::Or(a, b) => {
            learn(a, known, uids);
            learn(b, known, uids);
        }
        Key::Not(key) => learn(key, known, uids),
        Key::Body(text) | Key::Text(text) if is_known => text.learn(uids),
        // Only of this field is it known which one it is; and its name is among
        // the words, but not looked at.
        Key::Header(name, text)
            if is_known
                && name.eq_ignore_ascii_case("Subject")
                && !"SUBJECT".contains(text.folded()) =>
        {
            text.learn(uids);
        }
        _ => {}
    }
}
