//! Trace headers, loop detection, and what submission adds and removes.

use std::fmt::Write;

use bytes::Bytes;

use crate::filter::Message;
use crate::filter::header_fields as fields;

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
        let mut out = format!("Return-Path: <{}>\r\n", clean(sender));
        // RFC 5321 §4.4: a name that is no domain is written as a comment would
        // be misread, so only letters, digits and what addresses need pass.
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
            let _ = write!(out, "\r\n\tfor <{}>", clean(recipient));
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

/// How many hops a message has made (RFC 5321 §6.3).
pub fn received_count(raw: &[u8]) -> usize {
    fields(raw)
        .filter(|field| is_named(field, "Received"))
        .count()
}

/// What a submission server does to a message (RFC 6409 §8): a missing `Date`
/// and `Message-ID` are added, `Bcc` is removed. Everything else stays as it is.
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
    if has("Bcc") {
        message.remove_header("Bcc");
    }
    message.apply();
    message.raw().clone()
}

fn is_named(field: &[u8], name: &str) -> bool {
    let end = field.iter().position(|&b| b == b':').unwrap_or(0);
    field
        .get(..end)
        .is_some_and(|given| given.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes()))
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
    fn hops() {
        assert_eq!(
            received_count(
                b"Received: a\r\n\tb\r\nreceived: c\r\nX-Received: d\r\n\r\nReceived: e\r\n"
            ),
            2
        );
    }
}
