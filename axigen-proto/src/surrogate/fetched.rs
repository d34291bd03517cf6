//! What IMAP's FETCH shows of headers, as ASCII.

use std::borrow::Cow;

use bytes::Bytes;

use super::Surrogate;
use super::field::{self, REMOVED};
use crate::imap::structure::{Address, BodyStructure, Envelope, Extension, NString, PartKind};

/// A header block as ASCII, its blank line included; as it is if it is ASCII.
pub fn header(block: &[u8]) -> Cow<'_, [u8]> {
    if block.is_ascii() {
        return Cow::Borrowed(block);
    }
    let mut surrogate = Surrogate::default();
    let mut out = Vec::with_capacity(block.len() * 2);
    for piece in surrogate.piece(&Bytes::copy_from_slice(block)) {
        out.extend_from_slice(&piece);
    }
    out.extend_from_slice(&surrogate.end());
    Cow::Owned(out)
}

/// An envelope as ASCII: texts as encoded words, an address that has no form in
/// ASCII as one that nobody has.
pub fn envelope(envelope: &mut Envelope) {
    let Envelope {
        date,
        subject,
        from,
        sender,
        reply_to,
        to,
        cc,
        bcc,
        in_reply_to,
        message_id,
    } = envelope;
    for text in [date, subject, in_reply_to, message_id] {
        text_in_ascii(text);
    }
    for addresses in [from, sender, reply_to, to, cc, bcc] {
        addresses.iter_mut().for_each(address_in_ascii);
    }
}

/// A body structure as ASCII: parameters as
/// [RFC 2231 §4](https://www.rfc-editor.org/rfc/rfc2231#section-4) has them, other texts as
/// encoded words.
pub fn body_structure(body: &mut BodyStructure) {
    match body {
        BodyStructure::Single(part) => {
            parameters_in_ascii(&mut part.params);
            for text in [&mut part.id, &mut part.description, &mut part.md5] {
                text_in_ascii(text);
            }
            for text in [&mut part.media_type, &mut part.subtype, &mut part.encoding] {
                in_ascii(text);
            }
            extension_in_ascii(&mut part.extension);
            if let PartKind::Message { envelope, body, .. } = &mut part.kind {
                self::envelope(envelope);
                body_structure(body);
            }
        }
        BodyStructure::Multipart(multipart) => {
            parameters_in_ascii(&mut multipart.params);
            in_ascii(&mut multipart.subtype);
            extension_in_ascii(&mut multipart.extension);
            multipart.parts.iter_mut().for_each(body_structure);
        }
    }
}

fn extension_in_ascii(extension: &mut Extension) {
    if let Some((kind, parameters)) = &mut extension.disposition {
        in_ascii(kind);
        parameters_in_ascii(parameters);
    }
    extension.language.iter_mut().for_each(in_ascii);
    text_in_ascii(&mut extension.location);
}

fn address_in_ascii(address: &mut Address) {
    text_in_ascii(&mut address.name);
    text_in_ascii(&mut address.adl);
    let beyond = |text: &NString| text.as_ref().is_some_and(|text| !text.is_ascii());
    if address.host.is_none() {
        // The name of a group.
        text_in_ascii(&mut address.mailbox);
    } else if (beyond(&address.mailbox) || beyond(&address.host))
        && let Some((local, domain)) = REMOVED.split_once('@')
    {
        address.mailbox = Some(Bytes::from_static(local.as_bytes()));
        address.host = Some(Bytes::from_static(domain.as_bytes()));
    }
}

fn text_in_ascii(text: &mut NString) {
    if let Some(text) = text {
        in_ascii(text);
    }
}

fn in_ascii(text: &mut Bytes) {
    if !text.is_ascii() {
        let (value, charset) = field::read(text);
        *text = field::words(&value, charset).replace("\r\n", "").into();
    }
}

fn parameters_in_ascii(parameters: &mut Vec<(Bytes, Bytes)>) {
    if parameters
        .iter()
        .all(|(name, value)| name.is_ascii() && value.is_ascii())
    {
        return;
    }
    let mut shown = Vec::with_capacity(parameters.len());
    for (mut name, value) in std::mem::take(parameters) {
        in_ascii(&mut name);
        if value.is_ascii() {
            shown.push((name, value));
            continue;
        }
        let (text, charset) = field::read(&value);
        let written = field::parameter(&String::from_utf8_lossy(&name), &text, charset);
        // A long one is in pieces.
        for piece in written.split(";\r\n ") {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            shown.push((name.to_owned().into(), value.to_owned().into()));
        }
    }
    *parameters = shown;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_fetch_shows_of_a_header() {
        let text = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
        let of = |name: &str, mailbox: &str, host: &str| Address {
            name: text(name),
            mailbox: text(mailbox),
            host: text(host),
            ..Address::default()
        };
        let plain = Envelope {
            subject: text("plain"),
            from: vec![of("Ann", "ann", "b.test")],
            ..Envelope::default()
        };
        let mut same = plain.clone();
        envelope(&mut same);
        assert_eq!(same, plain);
        let mut found = Envelope {
            subject: text(&"Grüße ".repeat(9)),
            from: vec![of("Jörg", "joerg", "b.test"), of("Ann", "änn", "b.test")],
            to: vec![of("x", "x", "bücher.test")],
            message_id: Some(Bytes::from_static(b"<\xe9@x>")),
            ..Envelope::default()
        };
        envelope(&mut found);
        let shown = format!("{found:?}");
        assert!(shown.is_ascii() && !shown.contains("\\r"), "{shown}");
        let removed = ("removed", "internationalized-address.invalid");
        assert_eq!(found.from[0], of("=?utf-8?B?SsO2cmc=?=", "joerg", "b.test"));
        assert_eq!(found.from[1], of("Ann", removed.0, removed.1));
        assert_eq!(found.to[0], of("x", removed.0, removed.1));
        assert_eq!(found.message_id, text("=?unknown-8bit?B?POlAeD4=?="));

        let mut parameters = vec![
            (Bytes::from_static(b"name"), Bytes::from("Grün 1.txt")),
            (Bytes::from_static(b"x*"), Bytes::from_static(b"\xe9")),
            (Bytes::from_static(b"y"), Bytes::from_static(b"z")),
        ];
        parameters_in_ascii(&mut parameters);
        let shown: Vec<String> = parameters
            .iter()
            .map(|(name, value)| [&name[..], b"=", value].concat())
            .map(|pair| String::from_utf8(pair).unwrap())
            .collect();
        assert_eq!(shown, ["name*=utf-8''Gr%C3%BCn%201.txt", "x*=%E9", "y=z"]);
        assert_eq!(
            header("A: ä\r\nB: c\r\n\r\n".as_bytes()).as_ref(),
            b"A: =?utf-8?B?w6Q=?=\r\nB: c\r\n\r\n"
        );
    }
}
