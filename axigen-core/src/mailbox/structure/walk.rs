//! From bytes to parts (RFC 2045, RFC 2046), whatever the bytes are.

use axigen_proto::imap::structure::{Address, Envelope, Extension};
use bytes::Bytes;

use super::fields::{Field, header_fields, media_type, with_params};
use super::{ADDRESSES, HEADER, Inner, NESTING, Node, PARTS, Structure, TEXTS, addresses, param};

/// What is left of the limits.
struct Room {
    parts: usize,
    addresses: usize,
    texts: usize,
}

impl Room {
    /// Makes room for a text; `None` if there is none left for it.
    fn take(&mut self, text: Bytes) -> Option<Bytes> {
        self.texts = self.texts.checked_sub(text.len())?;
        Some(text)
    }

    /// Those parameters that there is room for.
    fn take_params(&mut self, mut params: Vec<(Bytes, Bytes)>) -> Vec<(Bytes, Bytes)> {
        params.retain(|(name, value)| self.take_all(&[name, value]));
        params
    }

    /// Those addresses that there is room for.
    fn take_addresses(&mut self, mut list: Vec<Address>) -> Vec<Address> {
        let kept = list.iter().position(|address| {
            let parts = [&address.name, &address.adl, &address.mailbox, &address.host];
            let parts: Vec<&Bytes> = parts.into_iter().flatten().collect();
            !self.take_all(&parts)
        });
        list.truncate(kept.unwrap_or(list.len()));
        list
    }

    fn take_all(&mut self, texts: &[&Bytes]) -> bool {
        let length = texts.iter().map(|text| text.len()).sum();
        let left = self.texts.checked_sub(length);
        self.texts = left.unwrap_or(self.texts);
        left.is_some()
    }
}

pub(super) fn message(raw: &[u8]) -> Structure {
    let mut room = Room {
        parts: PARTS,
        addresses: ADDRESSES,
        texts: TEXTS,
    };
    let header = header_of(raw, 0, raw.len());
    let envelope = envelope(header, &mut room);
    let sent = envelope.date.as_ref().and_then(|date| sent(date));
    let root = entity(raw, 0, raw.len(), false, 0, &mut room);
    Structure {
        envelope,
        sent,
        root,
    }
}

/// Where the header of an entity ends, its blank line included.
pub(super) fn header_end(raw: &[u8], start: usize, end: usize) -> usize {
    let mut at = start;
    while let Some(line) = raw.get(at..end).filter(|line| !line.is_empty()) {
        let length = memchr(line).map_or(line.len(), |at| at + 1);
        at += length;
        if matches!(line.get(..length), Some(b"\r\n" | b"\n")) {
            break;
        }
    }
    at
}

/// The header block of an entity, as far as it is looked into.
fn header_of(raw: &[u8], start: usize, end: usize) -> &[u8] {
    let header_end = header_end(raw, start, end);
    raw.get(start..header_end.min(start.saturating_add(HEADER)))
        .unwrap_or(&[])
}

/// The first line feed. The standard library's search is vectorised for this form.
fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&b| b == b'\n')
}

fn entity(
    raw: &[u8],
    start: usize,
    end: usize,
    in_digest: bool,
    depth: usize,
    room: &mut Room,
) -> Node {
    room.parts = room.parts.saturating_sub(1);
    let body = header_end(raw, start, end);
    let content = raw.get(body..end).unwrap_or(&[]);
    let mut node = Node {
        header: start as u64,
        body: body as u64,
        end: end as u64,
        lines: 0,
        // RFC 2045 §5.2 and RFC 2046 §5.1.5: what holds without Content-Type.
        media_type: Bytes::from_static(if in_digest { b"message" } else { b"text" }),
        subtype: Bytes::from_static(if in_digest { b"rfc822" } else { b"plain" }),
        params: Vec::new(),
        id: None,
        description: None,
        encoding: Bytes::from_static(b"7bit"),
        md5: None,
        extension: Extension::default(),
        inner: Inner::Nothing,
    };
    let header = raw
        .get(start..body.min(start.saturating_add(HEADER)))
        .unwrap_or(&[]);
    let mut typed = false;
    for field in header_fields(header) {
        typed |= describe(&mut node, &field, room);
    }
    if !typed && !in_digest {
        // RFC 2045 §5.2: the default charset is US-ASCII.
        node.params = vec![(
            Bytes::from_static(b"charset"),
            Bytes::from_static(b"us-ascii"),
        )];
    }
    if depth < NESTING && room.parts > 0 {
        if node.media_type.eq_ignore_ascii_case(b"multipart") {
            let boundary = param(&node.params, b"boundary").map(|b| b.trim_ascii_end().to_vec());
            let in_digest = node.subtype.eq_ignore_ascii_case(b"digest");
            let ranges = match &boundary {
                Some(boundary) if !boundary.is_empty() => parts(content, boundary, room.parts),
                _ => Vec::new(),
            };
            let mut children = Vec::with_capacity(ranges.len());
            for (from, to) in ranges {
                // The parts before it may have had many of their own.
                if room.parts == 0 {
                    break;
                }
                children.push(entity(
                    raw,
                    body + from,
                    body + to,
                    in_digest,
                    depth + 1,
                    room,
                ));
            }
            node.inner = Inner::Parts(children);
            return node;
        }
        let plain = !node.encoding.eq_ignore_ascii_case(b"base64")
            && !node.encoding.eq_ignore_ascii_case(b"quoted-printable");
        if plain
            && node.media_type.eq_ignore_ascii_case(b"message")
            && (node.subtype.eq_ignore_ascii_case(b"rfc822")
                || node.subtype.eq_ignore_ascii_case(b"global"))
        {
            let inner_envelope = envelope(header_of(raw, body, end), room);
            let inner = entity(raw, body, end, false, depth + 1, room);
            node.lines = count_lines(content);
            node.inner = Inner::Message(Box::new(inner_envelope), Box::new(inner));
            return node;
        }
    } else if node.media_type.eq_ignore_ascii_case(b"multipart") {
        // Too deep: the grammar has no multipart without parts, so it is opaque.
        node.media_type = Bytes::from_static(b"application");
        node.subtype = Bytes::from_static(b"octet-stream");
    }
    if node.media_type.eq_ignore_ascii_case(b"text") {
        node.lines = count_lines(content);
    }
    node
}

/// Takes what a field says of its entity. Whether it was a Content-Type that
/// could be understood.
fn describe(node: &mut Node, field: &Field<'_>, room: &mut Room) -> bool {
    // Every field of interest begins with this.
    if !field
        .name
        .get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"content-"))
    {
        return false;
    }
    if field.is("Content-Type") {
        let (value, params) = with_params(&field.unfolded());
        if let Some((media_type, subtype)) = media_type(&value)
            && room.take_all(&[&media_type, &subtype])
        {
            node.media_type = media_type;
            node.subtype = subtype;
            node.params = room.take_params(params);
            return true;
        }
    } else if field.is("Content-Transfer-Encoding") {
        let (value, _) = with_params(&field.unfolded());
        if let Some(value) = room.take(value).filter(|value| !value.is_empty()) {
            node.encoding = value;
        }
    } else if field.is("Content-ID") {
        node.id = room.take(field.unfolded());
    } else if field.is("Content-Description") {
        node.description = room.take(field.unfolded());
    } else if field.is("Content-MD5") {
        node.md5 = room.take(field.unfolded());
    } else if field.is("Content-Disposition") {
        let (value, params) = with_params(&field.unfolded());
        if let Some(value) = room.take(value).filter(|value| !value.is_empty()) {
            node.extension.disposition = Some((value, room.take_params(params)));
        }
    } else if field.is("Content-Language") {
        let unfolded = field.unfolded();
        node.extension.language = unfolded
            .split(|&b| b == b',')
            .map(|language| Bytes::copy_from_slice(language.trim_ascii()))
            .filter(|language| !language.is_empty())
            .take(super::PARAMETERS)
            .map_while(|language| room.take(language))
            .collect();
    } else if field.is("Content-Location") {
        node.extension.location = room.take(field.unfolded());
    }
    false
}

fn count_lines(content: &[u8]) -> u64 {
    content.iter().filter(|&&b| b == b'\n').count() as u64
}

/// The parts between the boundary lines (RFC 2046 §5.1.1), as ranges of the
/// content; the line end before a boundary line belongs to the boundary.
fn parts(content: &[u8], boundary: &[u8], room: usize) -> Vec<(usize, usize)> {
    let mut parts = Vec::new();
    let mut open: Option<usize> = None;
    let mut at = 0;
    while at < content.len() {
        let line = content.get(at..).unwrap_or(&[]);
        let length = memchr(line).map_or(line.len(), |at| at + 1);
        let line = line.get(..length).unwrap_or(&[]);
        if let Some(last) = delimiter(line, boundary) {
            if let Some(from) = open.take() {
                let mut to = at;
                if to > from && content.get(to - 1) == Some(&b'\n') {
                    to -= 1;
                    if to > from && content.get(to - 1) == Some(&b'\r') {
                        to -= 1;
                    }
                }
                parts.push((from, to));
            }
            if last {
                return parts;
            }
            if parts.len() + 1 >= room {
                // What comes behind belongs to the last part.
                parts.push((at + length, content.len()));
                return parts;
            }
            open = Some(at + length);
        }
        at += length;
    }
    if let Some(from) = open {
        parts.push((from.min(content.len()), content.len()));
    }
    parts
}

/// Whether a line is a boundary line, and if so, whether it is the last.
fn delimiter(line: &[u8], boundary: &[u8]) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
    let (last, rest) = match rest.strip_prefix(b"--") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    rest.trim_ascii().is_empty().then_some(last)
}

fn envelope(header: &[u8], room: &mut Room) -> Envelope {
    let mut envelope = Envelope::default();
    let mut sender = Vec::new();
    let mut reply_to = Vec::new();
    for field in header_fields(header) {
        let slot = match field.name.len() {
            2 if field.is("To") => &mut envelope.to,
            2 if field.is("Cc") => &mut envelope.cc,
            3 if field.is("Bcc") => &mut envelope.bcc,
            4 if field.is("From") => &mut envelope.from,
            6 if field.is("Sender") => &mut sender,
            8 if field.is("Reply-To") => &mut reply_to,
            _ => {
                let text = match field.name.len() {
                    4 if field.is("Date") => &mut envelope.date,
                    7 if field.is("Subject") => &mut envelope.subject,
                    10 if field.is("Message-ID") => &mut envelope.message_id,
                    11 if field.is("In-Reply-To") => &mut envelope.in_reply_to,
                    _ => continue,
                };
                // The first of several counts.
                if text.is_none() {
                    *text = room.take(field.unfolded());
                }
                continue;
            }
        };
        if slot.is_empty() {
            *slot = addresses::parse(field.value, &mut room.addresses);
            *slot = room.take_addresses(std::mem::take(slot));
        }
    }
    // RFC 9051 §7.5.2: without them they are the From field.
    envelope.sender = if sender.is_empty() {
        envelope.from.clone()
    } else {
        sender
    };
    envelope.reply_to = if reply_to.is_empty() {
        envelope.from.clone()
    } else {
        reply_to
    };
    envelope
}

/// Seconds since 1970 and the zone in minutes east.
fn sent(date: &[u8]) -> Option<(i64, i16)> {
    let date = mail_parser::DateTime::parse_rfc822(std::str::from_utf8(date).ok()?)?;
    if !date.is_valid() {
        return None;
    }
    let minutes = i16::from(date.tz_hour) * 60 + i16::from(date.tz_minute);
    let zone = if date.tz_before_gmt {
        -minutes
    } else {
        minutes
    };
    Some((date.to_timestamp(), zone))
}
