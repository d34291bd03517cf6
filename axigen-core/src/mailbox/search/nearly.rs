//! FUZZY: what a key asks for inside of it, and how well a message has that.
//! [RFC 6203](https://www.rfc-editor.org/rfc/rfc6203)

use std::borrow::Cow;

use axigen_proto::imap::command::SearchKey;

use super::{
    Answer, Candidate, Context, Key, addresses, decode_words, evaluate, prepare, texts::text_read,
};
use crate::mailbox::fuzzy::{self, Fuzzy};
use crate::mailbox::structure::header_fields;

/// The same key, with its strings looked for by their words.
pub(super) fn nearly(key: &SearchKey, context: &Context<'_>) -> Key {
    let both = |key: &SearchKey| Box::new(nearly(key, context));
    let addresses = |name, text: &String| Key::FuzzyAddresses(name, Fuzzy::new(text));
    match key {
        SearchKey::And(keys) => Key::And(keys.iter().map(|key| nearly(key, context)).collect()),
        SearchKey::Or(a, b) => Key::Or(both(a), both(b)),
        SearchKey::Fuzzy(key) => nearly(key, context),
        SearchKey::Bcc(text) => addresses("Bcc", text),
        SearchKey::Cc(text) => addresses("Cc", text),
        SearchKey::From(text) => addresses("From", text),
        SearchKey::To(text) => addresses("To", text),
        SearchKey::Subject(text) => Key::FuzzyHeader("Subject".to_owned(), Fuzzy::new(text)),
        SearchKey::Header(name, text) => Key::FuzzyHeader(name.clone(), Fuzzy::new(text)),
        SearchKey::Body(text) => Key::FuzzyBody(Fuzzy::new(text)),
        SearchKey::Text(text) => Key::FuzzyText(Fuzzy::new(text)),
        // RFC 6203 §5: what is no string is as exact as ever; so is what must not
        // be so.
        key => prepare(key, context),
    }
}

pub(super) fn is_fuzzy(key: &Key) -> bool {
    match key {
        Key::Nearly(_) => true,
        Key::And(keys) => keys.iter().any(is_fuzzy),
        Key::Or(a, b) => is_fuzzy(a) || is_fuzzy(b),
        Key::Not(key) => is_fuzzy(key),
        _ => false,
    }
}

/// How well a message has what is asked for: 0 if it has not; `None` if what is
/// needed for that is not at hand, or nothing inexact was asked.
pub(super) fn score(key: &Key, of: &Candidate<'_>) -> Option<u8> {
    match key {
        Key::Nearly(key) => Some(near(key, of)),
        // Each of them has its say.
        Key::And(keys) => {
            let scores: Vec<u8> = keys.iter().filter_map(|key| score(key, of)).collect();
            let total: usize = scores.iter().map(|&score| usize::from(score)).sum();
            u8::try_from(total.checked_div(scores.len())?).ok()
        }
        Key::Or(a, b) => score(a, of).max(score(b, of)),
        _ => None,
    }
}

/// How well a message has what is asked for inside of FUZZY.
pub(super) fn near(key: &Key, of: &Candidate<'_>) -> u8 {
    match key {
        Key::And(keys) => {
            let scores: Vec<u8> = keys.iter().map(|key| near(key, of)).collect();
            match scores.contains(&0) {
                true => 0,
                false => {
                    let total: usize = scores.iter().map(|&score| usize::from(score)).sum();
                    let mean = total / scores.len().max(1);
                    u8::try_from(mean).unwrap_or(fuzzy::BEST)
                }
            }
        }
        Key::Or(a, b) => near(a, of).max(near(b, of)),
        Key::FuzzyHeader(name, text) => {
            let fields = header_fields(of.header.unwrap_or_default());
            let fields = fields.filter(|field| field.is(name));
            fuzzy::best_of(text, fields.map(|field| decode_words(field.value)))
        }
        Key::FuzzyAddresses(name, text) => {
            let fields = header_fields(of.header.unwrap_or_default());
            let fields = fields.filter(|field| field.is(name));
            let fields = fields.map(|field| Cow::Owned(addresses(field.value)));
            fuzzy::best_of(text, fields)
        }
        Key::FuzzyBody(text) => near_leaves(of, text),
        Key::FuzzyText(text) => {
            let (Some(structure), Some(raw)) = (of.structure, of.raw) else {
                return 0;
            };
            let fields = header_fields(raw.get(structure.header()));
            let in_header = fuzzy::best_of(text, fields.map(|field| decode_words(field.whole)));
            in_header.max(near_leaves(of, text))
        }
        key => match evaluate(key, of) {
            Answer::Yes => fuzzy::BEST,
            _ => 0,
        },
    }
}

fn near_leaves(of: &Candidate<'_>, text: &Fuzzy) -> u8 {
    let (Some(structure), Some(raw)) = (of.structure, of.raw) else {
        return 0;
    };
    let mut most = 0;
    for leaf in structure.leaves() {
        text_read(&leaf, raw, |shown| {
            most = most.max(text.score(shown));
            false
        });
    }
    most
}
