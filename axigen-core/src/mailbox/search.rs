//! SEARCH: which messages match. [RFC 9051 §6.4.4](https://www.rfc-editor.org/rfc/rfc9051#section-6.4.4)
//!
//! A key is evaluated with what is at hand. Flags and dates need only the row;
//! when the answer depends on the structure or on the bytes, [`Answer`] says
//! so, and nothing is loaded that is not needed.

use std::borrow::Cow;

use axigen_proto::imap::command::SearchKey;
use axigen_proto::imap::extensions::objectid::ObjectId;
use axigen_proto::imap::sequence::{NumberSet, SequenceSet};
use axigen_proto::imap::types::{Date, Flag};
use axigen_store::blob::encoding::base64;
use base64::Engine as _;

use super::casemap::casemap;
use super::excerpt::Excerpt;
use super::needle::Needle;
use super::structure::{Leaf, Structure, address_list, header_fields};
use super::types::{Flags, Row};

/// Longest header block searched in, in bytes.
pub const HEADER: u64 = 4 * 1024 * 1024;

/// A search, ready to be asked about messages.
#[derive(Debug)]
pub struct Search {
    key: Key,
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
}

impl Search {
    /// Prepares a search.
    pub fn new(keys: &[SearchKey], context: &Context<'_>) -> Search {
        Search {
            key: Key::And(keys.iter().map(|key| prepare(key, context)).collect()),
        }
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
    fn of_field(name: &[u8]) -> Part {
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

fn wanted(key: &Key) -> Wanted {
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

fn learn(key: &mut Key, known: &Wanted, uids: &[u32]) {
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

fn prepare(key: &SearchKey, context: &Context<'_>) -> Key {
    let has = Key::System;
    let lacks = |flag| Key::Not(Box::new(Key::System(flag)));
    let both = |a, b| Key::And(vec![a, b]);
    let recent = || Key::Recent(context.recent.clone());
    let day = |date: &Date| date.days();
    let header = |name: &str, text: &String| Key::Header(name.to_owned(), Needle::new(text));
    let addresses = |name: &'static str, text: &String| Key::Addresses(name, Needle::new(text));
    match key {
        SearchKey::And(keys) => Key::And(keys.iter().map(|key| prepare(key, context)).collect()),
        SearchKey::Not(key) => Key::Not(Box::new(prepare(key, context))),
        SearchKey::Or(a, b) => {
            Key::Or(Box::new(prepare(a, context)), Box::new(prepare(b, context)))
        }
        SearchKey::Sequence(SequenceSet::Saved) | SearchKey::Uid(SequenceSet::Saved) => {
            Key::Uid(context.saved.clone())
        }
        SearchKey::Sequence(set) => Key::Sequence(set.resolve(context.messages)),
        SearchKey::Uid(set) => Key::Uid(set.resolve(context.largest_uid)),
        SearchKey::All => Key::All,
        SearchKey::Answered => has(Flags::ANSWERED),
        SearchKey::Deleted => has(Flags::DELETED),
        SearchKey::Draft => has(Flags::DRAFT),
        SearchKey::Flagged => has(Flags::FLAGGED),
        SearchKey::Seen => has(Flags::SEEN),
        SearchKey::Unanswered => lacks(Flags::ANSWERED),
        SearchKey::Undeleted => lacks(Flags::DELETED),
        SearchKey::Undraft => lacks(Flags::DRAFT),
        SearchKey::Unflagged => lacks(Flags::FLAGGED),
        SearchKey::Unseen => lacks(Flags::SEEN),
        SearchKey::New => both(recent(), lacks(Flags::SEEN)),
        SearchKey::Old => Key::Not(Box::new(recent())),
        SearchKey::Recent => recent(),
        SearchKey::Keyword(flag) => keyword(flag),
        SearchKey::Unkeyword(flag) => Key::Not(Box::new(keyword(flag))),
        SearchKey::Bcc(text) => addresses("Bcc", text),
        SearchKey::Cc(text) => addresses("Cc", text),
        SearchKey::From(text) => addresses("From", text),
        SearchKey::Subject(text) => header("Subject", text),
        SearchKey::To(text) => addresses("To", text),
        SearchKey::Header(name, text) => header(name, text),
        SearchKey::Body(text) => Key::Body(Needle::new(text)),
        SearchKey::Text(text) => Key::Text(Needle::new(text)),
        SearchKey::Before(date) => Key::Internal(i64::MIN, day(date)),
        SearchKey::On(date) => Key::Internal(day(date), day(date) + 1),
        SearchKey::Since(date) => Key::Internal(day(date), i64::MAX),
        SearchKey::SentBefore(date) => Key::Sent(i64::MIN, day(date)),
        SearchKey::SentOn(date) => Key::Sent(day(date), day(date) + 1),
        SearchKey::SentSince(date) => Key::Sent(day(date), i64::MAX),
        // RFC 8514 §4.3: by the save date, whose zone is UTC here.
        SearchKey::SavedBefore(date) => Key::Saved(i64::MIN, day(date)),
        SearchKey::SavedOn(date) => Key::Saved(day(date), day(date) + 1),
        SearchKey::SavedSince(date) => Key::Saved(day(date), i64::MAX),
        SearchKey::SaveDateSupported => Key::All,
        // RFC 5032 §3: by the internal date, to the second.
        SearchKey::Younger(seconds) => Key::Arrived(context.now - i64::from(*seconds), i64::MAX),
        SearchKey::Older(seconds) => Key::Arrived(i64::MIN, context.now - i64::from(*seconds)),
        SearchKey::Larger(size) => Key::Larger(*size),
        SearchKey::Smaller(size) => Key::Smaller(*size),
        SearchKey::EmailId(id) => Key::EmailId(id.clone()),
        // Messages have no such identifier here: RFC 8474 §5.2.
        SearchKey::ThreadId(_) => Key::Not(Box::new(Key::All)),
        // One number for all flags: which of them is meant makes no difference.
        SearchKey::ModSeq { since, .. } => Key::Changed(*since),
    }
}

fn keyword(flag: &Flag) -> Key {
    match flag {
        Flag::Answered => Key::System(Flags::ANSWERED),
        Flag::Flagged => Key::System(Flags::FLAGGED),
        Flag::Deleted => Key::System(Flags::DELETED),
        Flag::Seen => Key::System(Flags::SEEN),
        Flag::Draft => Key::System(Flags::DRAFT),
        Flag::Keyword(name) | Flag::Extension(name) => Key::Keyword(name.to_string()),
        Flag::Recent => Key::Keyword(String::new()),
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

/// A field of addresses as ENVELOPE shows it, which is what FROM, TO, CC and
/// BCC look in ([RFC 9051 §6.4.4](https://www.rfc-editor.org/rfc/rfc9051#section-6.4.4)):
/// without comments and quoting.
fn addresses(value: &[u8]) -> String {
    let mut out = String::new();
    for address in address_list(value) {
        let text = |part: &Option<bytes::Bytes>| {
            let part = part.as_deref().unwrap_or(&[]);
            decode_words(part).into_owned()
        };
        let (name, mailbox, host) = (
            text(&address.name),
            text(&address.mailbox),
            text(&address.host),
        );
        if !out.is_empty() {
            out.push_str(", ");
        }
        match address.host {
            // A group's name, or its end.
            None => out.push_str(&mailbox),
            Some(_) if name.is_empty() => out.extend([&mailbox, "@", &host]),
            Some(_) => out.extend([&name, " <", &mailbox, "@", &host, ">"]),
        }
    }
    out
}

fn slice(raw: &[u8], range: std::ops::Range<u64>) -> &[u8] {
    let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(raw.len());
    raw.get(at(range.start)..at(range.end)).unwrap_or(&[])
}

fn in_header(structure: &Structure, raw: &Excerpt, text: &Needle) -> bool {
    header_contains(raw.get(structure.header()), text)
}

fn header_contains(block: &[u8], text: &Needle) -> bool {
    header_fields(block).any(|field| text.is_in(&decode_words(field.whole)))
}

fn in_leaves(structure: &Structure, raw: &Excerpt, text: &Needle, with_mime: bool) -> bool {
    // RFC 9051 §6.4.4: TEXT looks into MIME header fields, too.
    let mut headers = structure.inner_headers().into_iter();
    (with_mime && headers.any(|header| header_contains(raw.get(header), text)))
        || structure.leaves().into_iter().any(|leaf| {
            let is_in = |shown: &str| text.is_in(shown);
            match raw.decoded(leaf.content.start) {
                Some(bytes) => {
                    let charset = leaf.charset.map(|c| &c[..]);
                    leaf.is_text() && is_in(&charset_decoded(charset, bytes))
                }
                None => leaf_text(&leaf, raw.get(leaf.content.clone()), is_in),
            }
        })
}

/// What a leaf's text gives, of which this is the content; false for one that
/// has none.
fn leaf_text(leaf: &Leaf<'_>, content: &[u8], see: impl FnOnce(&str) -> bool) -> bool {
    leaf.is_text() && see(&text_of(leaf, content))
}

/// The text of a leaf, of whose content this was read.
pub(super) fn text_of<'c>(leaf: &Leaf<'_>, content: &'c [u8]) -> Cow<'c, str> {
    let charset = leaf.charset.map(|c| &c[..]);
    match transfer_decoded(leaf.encoding, content) {
        None => charset_decoded(charset, content),
        Some(Cow::Borrowed(content)) => charset_decoded(charset, content),
        Some(Cow::Owned(content)) => Cow::Owned(charset_decoded_owned(charset, content)),
    }
}

/// Shows every text that [`Search::matches`] looks for strings in, folded as
/// it folds them, and where it stands: what a word index is made of. False if
/// the message cannot be shown in full, so that an index must not be trusted
/// with it.
pub fn each_text(structure: &Structure, raw: &[u8], mut see: impl FnMut(Part, &str)) -> bool {
    let header = structure.header();
    let mut whole = header.end.saturating_sub(header.start) <= HEADER;
    for field in header_fields(slice(raw, header)) {
        let part = Part::of_field(field.name);
        let shown = decode_words(field.whole);
        // HEADER looks at the value alone, and bytes in the name may have made
        // it read differently.
        let value = decode_words(field.value);
        // What it reads like then is in one of the two only.
        if !shown.ends_with(&*value) {
            see(part, &fold(&value));
            whole = false;
        }
        see(part, &fold(&shown));
        if part == Part::Address {
            see(Part::Envelope, &fold(&addresses(field.value)));
        }
    }
    for header in structure.inner_headers() {
        for field in header_fields(slice(raw, header)) {
            see(Part::Mime, &fold(&decode_words(field.whole)));
        }
    }
    for leaf in structure.leaves() {
        leaf_text(&leaf, slice(raw, leaf.content.clone()), |shown| {
            see(Part::Body, &fold(shown));
            false
        });
    }
    whole
}

/// Content without its transfer encoding; `None` if it cannot be undone.
pub fn transfer_decoded<'c>(encoding: &[u8], content: &'c [u8]) -> Option<Cow<'c, [u8]>> {
    let is = |name: &[u8]| encoding.eq_ignore_ascii_case(name);
    if is(b"base64") {
        // What is no base64 is passed over (RFC 2045 §6.8).
        return base64_decoded(content).map(Cow::Owned);
    }
    if is(b"quoted-printable") {
        return mail_parser::decoders::quoted_printable::quoted_printable_decode(content)
            .map(Cow::Owned);
    }
    (is(b"7bit") || is(b"8bit") || is(b"binary")).then_some(Cow::Borrowed(content))
}

/// Base64 in lines. What is as it should be, nearly all, is decoded many bytes at a time.
fn base64_decoded(content: &[u8]) -> Option<Vec<u8>> {
    let mut dense = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
        let (line, ending) = rest.split_at(end);
        dense.extend_from_slice(line);
        rest = ending.get(1..).unwrap_or_default();
    }
    dense.extend_from_slice(rest);
    match base64().decode(&dense) {
        Ok(decoded) => Some(decoded),
        Err(_) => mail_parser::decoders::base64::base64_decode(content),
    }
}

fn encoding(charset: Option<&[u8]>) -> &'static encoding_rs::Encoding {
    charset
        .and_then(encoding_rs::Encoding::for_label)
        .unwrap_or(encoding_rs::UTF_8)
}

fn charset_decoded<'c>(charset: Option<&[u8]>, content: &'c [u8]) -> Cow<'c, str> {
    encoding(charset).decode_without_bom_handling(content).0
}

/// The same, without a copy of what is UTF-8 already.
fn charset_decoded_owned(charset: Option<&[u8]>, content: Vec<u8>) -> String {
    let content = match encoding(charset) == encoding_rs::UTF_8 {
        true => match String::from_utf8(content) {
            Ok(text) => return text,
            Err(error) => error.into_bytes(),
        },
        false => content,
    };
    charset_decoded(charset, &content).into_owned()
}

/// A header value unfolded, with its encoded words decoded (RFC 2047).
pub(super) fn decode_words(value: &[u8]) -> Cow<'_, str> {
    let text = match std::str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        // Raw 8-bit that is not UTF-8 is mostly this.
        Err(_) => {
            encoding_rs::WINDOWS_1252
                .decode_without_bom_handling(value)
                .0
        }
    };
    let text = match text.contains(['\r', '\n']) {
        true => Cow::Owned(text.replace(['\r', '\n'], "")),
        false => text,
    };
    if !text.contains("=?") {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest: &str = &text;
    let mut after_word = false;
    while let Some(start) = rest.find("=?") {
        let (before, from) = rest.split_at(start);
        match encoded_word(from) {
            Some((word, length)) => {
                // RFC 2047 §6.2: white space between two encoded words is not shown.
                if !(after_word && before.trim().is_empty()) {
                    out.push_str(before);
                }
                out.push_str(&word);
                rest = from.get(length..).unwrap_or("");
                after_word = true;
            }
            None => {
                out.push_str(before);
                out.push_str("=?");
                rest = from.get(2..).unwrap_or("");
                after_word = false;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// `=?charset?encoding?text?=` at the start, decoded, and its length.
fn encoded_word(text: &str) -> Option<(String, usize)> {
    let inner = text.strip_prefix("=?")?;
    let mut parts = inner.splitn(3, '?');
    let (charset, encoding, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let end = rest.find("?=")?;
    let word = rest.get(..end)?;
    if charset.len() > 75 || word.len() > 1024 {
        return None;
    }
    let bytes = match encoding {
        "b" | "B" => mail_parser::decoders::base64::base64_decode(word.as_bytes())?,
        "q" | "Q" => {
            let spaced = word.replace('_', " ");
            q_decoded(spaced.as_bytes())
        }
        _ => return None,
    };
    // RFC 2231 §5: a language may stand behind the charset.
    let charset = charset.split('*').next().unwrap_or(charset);
    let decoded = charset_decoded(Some(charset.as_bytes()), &bytes).into_owned();
    let length = 2 + charset_length(inner)? + 1 + encoding.len() + 1 + end + 2;
    Some((decoded, length))
}

fn charset_length(inner: &str) -> Option<usize> {
    inner.find('?')
}

fn q_decoded(text: &[u8]) -> Vec<u8> {
    let hex = |b: u8| (b as char).to_digit(16);
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if byte == b'='
            && let (Some(&a), Some(&b)) = (text.get(at + 1), text.get(at + 2))
            && let (Some(a), Some(b)) = (hex(a), hex(b))
        {
            out.push((a * 16 + b) as u8);
            at += 3;
            continue;
        }
        out.push(byte);
        at += 1;
    }
    out
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
    use super::super::types::ItemId;
    use super::*;

    const RAW: &[u8] = b"From: =?utf-8?Q?J=C3=BCrgen?= =?utf-8?B?IE3DvGxsZXI=?= <j@x.test>\r\nTo: Pete(a chap) <pete(his account)@silly.test>\r\nSubject: Invoice\r\n for May\r\nDate: Mon, 2 Mar 2026 23:30:00 -0500\r\nX-Tag: \r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe and a soft=\r\nbreak\r\n--b\r\nContent-Type: application/x-thing; name=hidden.bin\r\nContent-Transfer-Encoding: base64\r\n\r\nbmVlZGxl\r\n--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+bmVlZGxlPC9iPg==\r\n--b--\r\n";

    #[test]
    fn base64_is_decoded_as_ever() {
        let tolerant = mail_parser::decoders::base64::base64_decode;
        for coded in [
            &b""[..],
            b"QUJD",
            b"QUJD\r\nREVG\r\n",
            b"QUI=\r\n",
            b"QQ==",
            b"QQ",
            b"QUI",
            b"QR==",
            b"QUI=\r\nQUJD\r\n",
            b"QU JD\tRE\r\nVG",
            b"QUJD!REVG",
            b"\r\n\r\n",
            b"====",
        ] {
            assert_eq!(
                base64_decoded(coded),
                tolerant(coded),
                "{}",
                coded.escape_ascii()
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_base64_is_decoded_as_ever(content in ".{0,300}", cut in 1usize..90) {
            let coded = base64().encode(&content);
            let lines: Vec<&str> = coded.as_bytes().chunks(cut).map(|line| std::str::from_utf8(line).unwrap()).collect();
            let coded = lines.join("\r\n");
            let decoded = base64_decoded(coded.as_bytes());
            proptest::prop_assert_eq!(decoded.as_deref(), Some(content.as_bytes()));
            proptest::prop_assert_eq!(decoded, mail_parser::decoders::base64::base64_decode(coded.as_bytes()));
            for charset in [None, Some(&b"us-ascii"[..]), Some(b"iso-8859-15"), Some(b"utf-16le")] {
                let text = charset_decoded(charset, content.as_bytes()).into_owned();
                proptest::prop_assert_eq!(charset_decoded_owned(charset, content.clone().into_bytes()), text);
            }
        }
    }

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

    #[test]
    fn encoded_words() {
        for (value, want) in [
            ("=?utf-8?q?a_b?= c", "a b c"),
            ("=?utf-8?q?a?=  =?utf-8?q?b?=", "ab"),
            ("x =?iso-8859-1*de?Q?=FC?= y", "x ü y"),
            ("=?bad", "=?bad"),
            ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
            ("=?nonsense?Q?a?=", "a"),
            ("a\r\n b", "a b"),
        ] {
            assert_eq!(decode_words(value.as_bytes()), want, "{value}");
        }
        assert_eq!(decode_words(b"caf\xe9"), "café");
    }
}
