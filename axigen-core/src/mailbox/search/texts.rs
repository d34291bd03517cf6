//! The texts of a message that strings are looked for in.

use std::borrow::Cow;
use std::ops::Range;

use super::decode::{charset_decoded, charset_decoded_owned, transfer_decoded};
use super::wanted::Part;
use super::words::decode_words;
use super::{HEADER, fold};
use crate::mailbox::excerpt::Excerpt;
use crate::mailbox::needle::Needle;
use crate::mailbox::structure::{Leaf, Structure, address_list, header_fields};

/// A field of addresses as ENVELOPE shows it, which is what FROM, TO, CC and
/// BCC look in ([RFC 9051 §6.4.4](https://www.rfc-editor.org/rfc/rfc9051#section-6.4.4)):
/// without comments and quoting.
pub(super) fn addresses(value: &[u8]) -> String {
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

pub(super) fn slice(raw: &[u8], range: Range<u64>) -> &[u8] {
    let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(raw.len());
    raw.get(at(range.start)..at(range.end)).unwrap_or(&[])
}

pub(super) fn in_header(structure: &Structure, raw: &Excerpt, text: &Needle) -> bool {
    header_contains(raw.get(structure.header()), text)
}

fn header_contains(block: &[u8], text: &Needle) -> bool {
    header_fields(block).any(|field| text.is_in(&decode_words(field.whole)))
}

pub(super) fn in_leaves(
    structure: &Structure,
    raw: &Excerpt,
    text: &Needle,
    with_mime: bool,
) -> bool {
    // RFC 9051 §6.4.4: TEXT looks into MIME header fields, too.
    let mut headers = structure.inner_headers().into_iter();
    (with_mime && headers.any(|header| header_contains(raw.get(header), text)))
        || structure
            .leaves()
            .into_iter()
            .any(|leaf| text_read(&leaf, raw, |shown| text.is_in(shown)))
}

/// What a leaf's text gives, as far as it was read; false for one that has none.
pub(super) fn text_read(leaf: &Leaf<'_>, raw: &Excerpt, see: impl FnOnce(&str) -> bool) -> bool {
    match raw.decoded(leaf.content.start) {
        Some(bytes) => {
            let charset = leaf.charset.map(|c| &c[..]);
            leaf.is_text() && see(&charset_decoded(charset, bytes))
        }
        None => leaf_text(leaf, raw.get(leaf.content.clone()), see),
    }
}

/// What a leaf's text gives, of which this is the content; false for one that
/// has none.
fn leaf_text(leaf: &Leaf<'_>, content: &[u8], see: impl FnOnce(&str) -> bool) -> bool {
    leaf.is_text() && see(&text_of(leaf, content))
}

/// The text of a leaf, of whose content this was read.
pub(in crate::mailbox) fn text_of<'c>(leaf: &Leaf<'_>, content: &'c [u8]) -> Cow<'c, str> {
    let charset = leaf.charset.map(|c| &c[..]);
    match transfer_decoded(leaf.encoding, content) {
        None => charset_decoded(charset, content),
        Some(Cow::Borrowed(content)) => charset_decoded(charset, content),
        Some(Cow::Owned(content)) => Cow::Owned(charset_decoded_owned(charset, content)),
    }
}

/// Shows every text that `Search::matches` looks for strings in, folded as
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
