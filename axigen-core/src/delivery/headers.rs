//! Trace headers, loop detection, and what submission adds and removes.

use std::fmt::Write;

use bytes::Bytes;

use crate::filter::{Message, header_fields as fields, is_named};

/// Where a message came from, for its `Received` header.
#[derive(Debug, Clone, Default)]
pub struct Trace<'t> {
    /// What the peer called itself.
    pub helo: &'t str,
    /// The peer's address.
    pub peer: &'t str,
    /// This server.
    pub hostname: &'t str,
    /// Our id of the message.
    pub id: &'t str,
    /// LMTP instead of SMTP.
    pub lmtp: bool,
    /// EHLO instead of HELO.
    pub extended: bool,
    /// TLS: version and cipher suite.
    pub tls: Option<(&'t str, &'t str)>,
    /// The peer had logged in.
    pub authenticated: bool,
    /// SMTPUTF8 was used.
    pub utf8: bool,
    /// The recipient, when there was only one: with several it would tell each
    /// of the others.
    pub recipient: Option<&'t str>,
}

impl Trace<'_> {
    /// The protocol's registered name (RFC 3848, RFC 6531 §4.3).
    fn with(&self) -> String {
        let mut name = String::new();
        if self.utf8 {
            name.push_str("UTF8");
        }
        match (self.lmtp, self.extended) {
            (true, _) => name.push_str("LMTP"),
            (false, true) if self.utf8 => name.push_str("SMTP"),
            (false, true) => name.push_str("ESMTP"),
            (false, false) => name.push_str("SMTP"),
        }
        if self.tls.is_some() {
            name.push('S');
        }
        if self.authenticated {
            name.push('A');
        }
        name
    }

    /// `Return-Path` and `Received` (RFC 5321 §4.4), to stand above the message.
    pub fn headers(&self, sender: &str, now: jiff::Timestamp) -> String {
        let mut out = format!("Return-Path: <{}>\r\n", path(sender));
        // What the peer says of itself may be any printable word: what could
        // be misread as syntax is replaced.
        let _ = write!(
            out,
            "Received: from {} ([{}])\r\n",
            clean(self.helo),
            clean(self.peer)
        );
        if let Some((version, cipher)) = self.tls {
            let _ = write!(
                out,
                "\t(using {} with cipher {})\r\n",
                clean(version),
                clean(cipher)
            );
        }
        let _ = write!(
            out,
            "\tby {} with {} id {}",
            clean(self.hostname),
            self.with(),
            clean(self.id)
        );
        if let Some(recipient) = self.recipient {
            let _ = write!(out, "\r\n\tfor <{}>", path(recipient));
        }
        let _ = write!(out, ";\r\n\t{}\r\n", date(now));
        out
    }
}

/// The date as RFC 5322 §3.3 writes it, in UTC.
pub fn date(now: jiff::Timestamp) -> String {
    now.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// Nothing that could end a line, open a comment or close a bracket.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() || matches!(c, '(' | ')' | '<' | '>' | ';') || c.is_whitespace() {
                '?'
            } else {
                c
            }
        })
        .collect()
}

/// An address was checked when it was read, so its quotes hold together; only
/// what could end the line is replaced here.
fn path(address: &str) -> String {
    address
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// How many hops a message has made (RFC 5321 §6.3).
pub fn received_count(raw: &[u8]) -> usize {
    fields(raw)
        .filter(|field| is_named(field, "Received"))
        .count()
}

/// What a submission server does to a message (RFC 6409 §8): a missing `Date`
/// and `Message-ID` are added, `Bcc` is removed; so is `Return-Path`, which a
/// message cannot have before it was delivered (RFC 5321 §4.4). Everything else
/// stays as it is.
pub fn submitted(raw: Bytes, id: &str, hostname: &str, now: jiff::Timestamp) -> Bytes {
    let has = |name: &str| fields(&raw).any(|field| is_named(field, name));
    let mut message = Message::new(raw.clone());
    if !has("Message-ID") {
        message.add_header(
            "Message-ID",
            &format!("<{}@{}>", clean(id), clean(hostname)),
        );
    }
    if !has("Date") {
        message.add_header("Date", &date(now));
    }
    for name in ["Bcc", "Return-Path"] {
        if has(name) {
            message.remove_header(name);
        }
    }
    message.apply();
    message.raw().clone()
}

/// Whether the sender rather has a message arrive than protected: one field
/// `TLS-Required: No`
/// ([RFC 8689 §3](https://www.rfc-editor.org/rfc/rfc8689#section-3)).
pub fn tls_optional(raw: &[u8]) -> bool {
    let mut found = fields(raw).filter(|field| is_named(field, "TLS-Required"));
    let (Some(field), None) = (found.next(), found.next()) else {
        return false;
    };
    let value = field.splitn(2, |&byte| byte == b':').nth(1);
    value.is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"no"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn noon() -> jiff::Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn trace_headers() {
        let trace = Trace {
            helo: "client.example",
            peer: "192.0.2.7",
            hostname: "mx.example.org",
            id: "abc",
            extended: true,
            tls: Some(("TLSv1.3", "TLS_AES_256_GCM_SHA384")),
            authenticated: true,
            recipient: Some("a@example.org"),
            ..Trace::default()
        };
        assert_eq!(
            trace.headers("x@y.test", noon()),
            "Return-Path: <x@y.test>\r\nReceived: from client.example ([192.0.2.7])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)\r\n\tby mx.example.org with ESMTPSA id abc\r\n\tfor <a@example.org>;\r\n\tMon, 23 Nov 2026 12:00:00 +0000\r\n"
        );
    }

    #[test]
    fn nothing_can_be_injected() {
        let trace = Trace {
            helo: "x\r\nBcc: all",
            peer: "p",
            hostname: "h",
            id: "i",
            ..Trace::default()
        };
        let headers = trace.headers("a\r\nb>", noon());
        assert_eq!(headers.lines().count(), 4, "{headers}");
        assert!(headers.contains("with SMTP id"));
    }

    #[test]
    fn quoted_addresses_stay_whole() {
        let trace = Trace {
            recipient: Some("\"a <b>; (c)\"@x.test"),
            ..Trace::default()
        };
        let headers = trace.headers("\"x y\"@z.test", noon());
        assert!(headers.starts_with("Return-Path: <\"x y\"@z.test>\r\n"));
        assert!(headers.contains("\tfor <\"a <b>; (c)\"@x.test>;\r\n"));
    }

    #[test]
    fn protocol_names() {
        let name = |lmtp, extended, tls: bool, authenticated, utf8| {
            Trace {
                lmtp,
                extended,
                tls: tls.then_some(("", "")),
                authenticated,
                utf8,
                ..Trace::default()
            }
            .with()
        };
        assert_eq!(name(false, false, false, false, false), "SMTP");
        assert_eq!(name(false, true, true, true, false), "ESMTPSA");
        assert_eq!(name(true, true, true, false, false), "LMTPS");
        assert_eq!(name(false, true, true, true, true), "UTF8SMTPSA");
        assert_eq!(name(true, true, false, false, true), "UTF8LMTP");
    }

    #[test]
    fn submission_adds_and_removes() {
        let raw = Bytes::from_static(
            b"From: a@b\r\nBcc: secret@x,\r\n other@x\r\nSubject: s\r\n\r\nBcc: body\r\n",
        );
        let done = submitted(raw, "id1", "h.example", noon());
        let want = b"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <id1@h.example>\r\nFrom: a@b\r\nSubject: s\r\n\r\nBcc: body\r\n";
        assert_eq!(&done[..], &want[..]);
        let whole = Bytes::from_static(b"date: x\r\nMESSAGE-ID: <y>\r\n\r\nbody");
        assert_eq!(submitted(whole.clone(), "i", "h", noon()), whole);
    }

    #[test]
    fn tls_that_is_not_required() {
        for (header, optional) in [
            ("TLS-Required: No\r\n", true),
            ("Subject: x\r\ntls-required:\r\n no \r\nTo: y\r\n", true),
            ("TLS-Required: Yes\r\n", false),
            ("TLS-Required: No\r\nTLS-Required: No\r\n", false),
            ("Subject: TLS-Required: No\r\n", false),
            ("\r\nTLS-Required: No\r\n", false),
        ] {
            let raw = format!("{header}\r\nbody\r\n");
            assert_eq!(tls_optional(raw.as_bytes()), optional, "{header:?}");
        }
    }

    #[test]
    fn hops() {
        assert_eq!(
            received_count(
                b"Received: a\r\n\tb\r\nreceived: c\r\nX-Received: d\r\n\r\nReceived: e\r\n"
            ),
            2
        );
    }
}
