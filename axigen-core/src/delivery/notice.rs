//! Notices to senders: what became of a message, in the standard's format
//! ([RFC 3464](https://www.rfc-editor.org/rfc/rfc3464) in a multipart/report,
//! [RFC 6522](https://www.rfc-editor.org/rfc/rfc6522); addresses beyond ASCII by
//! [RFC 6533](https://www.rfc-editor.org/rfc/rfc6533)).

use std::fmt::Write;

use axigen_proto::smtp::reply::EnhancedCode;
use bytes::Bytes;
use jiff::Timestamp;

use super::headers::date;
use crate::filter::header_fields;
use crate::queue::entry::{Action, Body, Entry, Fate};

/// As RFC 3464 §2.3.3 writes it.
fn word_of(action: Action) -> &'static str {
    match action {
        Action::Failed => "failed",
        Action::Delayed => "delayed",
        Action::Delivered => "delivered",
        Action::Relayed => "relayed",
        Action::Expanded => "expanded",
    }
}

/// A notice to be written.
#[derive(Debug)]
pub struct Notice<'n> {
    /// This server.
    pub hostname: &'n str,
    /// Our id of the notice.
    pub id: &'n str,
    /// Now.
    pub now: Timestamp,
    /// The message it is about.
    pub entry: &'n Entry,
    /// What became of it, for at least one recipient.
    pub fates: &'n [Fate],
    /// The message as it came.
    pub original: &'n Bytes,
    /// A message longer than this, in bytes, is not returned whole, unless its
    /// sender asked for that; with `None` none is.
    pub whole: Option<u64>,
}

impl Notice<'_> {
    /// The worst of it.
    fn action(&self) -> Action {
        let actions = self.fates.iter().map(|fate| fate.action);
        actions.max().unwrap_or(Action::Failed)
    }

    /// Whether something in it needs more than ASCII in headers and fields.
    fn is_utf8(&self) -> bool {
        !self.entry.sender.is_ascii()
            || self.entry.utf8
            || self
                .fates
                .iter()
                .any(|fate| !fate.recipient.address.is_ascii())
    }

    /// RFC 3461 §4.3: `RET` counts for failures; in other notices only the
    /// header comes back. Without it what is long stays here.
    fn returns_whole(&self) -> bool {
        let Some(most) = self.whole else {
            return false;
        };
        // A notice is made of lines, which a binary message need not be.
        self.action() == Action::Failed
            && self.entry.body != Body::Binary
            && match self.entry.notices.full {
                Some(full) => full,
                None => self.original.len() as u64 <= most,
            }
    }

    /// The notice as a message; it has no sender, so that nobody answers it
    /// with another (RFC 3464 §2, RFC 5321 §4.5.5).
    pub fn compose(&self) -> Bytes {
        let utf8 = self.is_utf8();
        let boundary = self.boundary();
        let returned = match self.returns_whole() {
            true => self.original.clone(),
            false => header_of(self.original),
        };
        let eight = utf8 || !returned.is_ascii();
        let mut out = String::with_capacity(2048);
        self.header(&mut out, &boundary, eight);
        // RFC 6533 §3: with addresses beyond ASCII the parts have other types.
        let (status, whole, header) = match utf8 {
            true => (
                "message/global-delivery-status",
                "message/global",
                "message/global-headers",
            ),
            false => (
                "message/delivery-status",
                "message/rfc822",
                "text/rfc822-headers",
            ),
        };
        let charset = if utf8 { "utf-8" } else { "us-ascii" };
        let transfer = |eight: bool| match eight {
            true => "Content-Transfer-Encoding: 8bit\r\n",
            false => "",
        };
        let _ = write!(
            out,
            "--{boundary}\r\nContent-Type: text/plain; charset={charset}\r\n{}\r\n",
            transfer(utf8)
        );
        self.text(&mut out);
        let _ = write!(
            out,
            "\r\n--{boundary}\r\nContent-Type: {status}\r\n{}\r\n",
            transfer(utf8)
        );
        self.status(&mut out, utf8);
        let kind = if self.returns_whole() { whole } else { header };
        let _ = write!(
            out,
            "\r\n--{boundary}\r\nContent-Type: {kind}\r\n{}\r\n",
            transfer(!returned.is_ascii())
        );
        let mut bytes = Vec::with_capacity(out.len() + returned.len() + 100);
        bytes.extend_from_slice(out.as_bytes());
        bytes.extend_from_slice(&returned);
        if !returned.ends_with(b"\r\n") {
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        bytes.into()
    }

    /// A line that stands in no part: made of what the message cannot know.
    fn boundary(&self) -> String {
        let mut boundary = format!("=_{}", word(self.id));
        while contains(self.original, boundary.as_bytes()) {
            boundary.push('_');
        }
        boundary
    }

    fn header(&self, out: &mut String, boundary: &str, eight: bool) {
        let subject = match self.action() {
            Action::Failed => "Undelivered mail returned to sender",
            Action::Delayed => "Delayed mail, still being tried",
            Action::Delivered | Action::Relayed | Action::Expanded => {
                "Successful mail delivery report"
            }
        };
        let host = word(self.hostname);
        let _ = write!(
            out,
            "From: Mail Delivery System <MAILER-DAEMON@{host}>\r\n\
             To: <{}>\r\n\
             Subject: {subject}\r\n\
             Date: {}\r\n\
             Message-ID: <{}@{host}>\r\n\
             Auto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\
             \tboundary=\"{boundary}\"\r\n",
            line(&self.entry.sender),
            date(self.now),
            word(self.id),
        );
        if let Some(id) = message_id(self.original) {
            let _ = write!(out, "References: {id}\r\nIn-Reply-To: {id}\r\n");
        }
        if eight {
            out.push_str("Content-Transfer-Encoding: 8bit\r\n");
        }
        out.push_str("\r\n");
    }

    /// For people.
    fn text(&self, out: &mut String) {
        let _ = write!(
            out,
            "This is the mail system at host {}.\r\n\r\n",
            word(self.hostname)
        );
        for action in [
            Action::Failed,
            Action::Delayed,
            Action::Relayed,
            Action::Delivered,
            Action::Expanded,
        ] {
            let mut fates = self.fates.iter().filter(|fate| fate.action == action);
            let Some(first) = fates.next() else { continue };
            out.push_str(sentence(action));
            if action == Action::Delayed {
                let until = date(self.entry.expires);
                let _ = write!(out, "It will be tried until {until}.\r\n");
            }
            for fate in std::iter::once(first).chain(fates) {
                let _ = write!(out, "\r\n<{}>: ", line(&fate.recipient.address));
                if let Some(host) = fate.host.as_deref().filter(|_| fate.said.remote) {
                    let _ = write!(out, "host {} said: ", word(host));
                }
                out.push_str(&line(&fate.said.words));
                out.push_str("\r\n");
            }
            out.push_str("\r\n");
        }
    }

    /// For programs: RFC 3464 §2.
    fn status(&self, out: &mut String, utf8: bool) {
        if let Some(id) = &self.entry.notices.envelope_id {
            let _ = write!(out, "Original-Envelope-Id: {}\r\n", line(id));
        }
        let _ = write!(
            out,
            "Reporting-MTA: dns; {}\r\nArrival-Date: {}\r\n",
            word(self.hostname),
            date(self.entry.came)
        );
        for fate in self.fates {
            out.push_str("\r\n");
            let recipient = &fate.recipient;
            if let Some(original) = &recipient.original {
                let (kind, address) = original.split_once(';').unwrap_or(("rfc822", original));
                let _ = write!(
                    out,
                    "Original-Recipient: {};{}\r\n",
                    word(kind),
                    line(address)
                );
            }
            // RFC 6533 §3: an address beyond ASCII has a type of its own.
            let kind = match recipient.address.is_ascii() || !utf8 {
                true => "rfc822",
                false => "utf-8",
            };
            let _ = write!(
                out,
                "Final-Recipient: {kind};{}\r\nAction: {}\r\nStatus: {}\r\n",
                line(&recipient.address),
                word_of(fate.action),
                status_of(fate)
            );
            if let Some(host) = &fate.host {
                let _ = write!(out, "Remote-MTA: dns; {}\r\n", word(host));
            }
            // RFC 3464 §2.3.6: `smtp` for what another host said; what we say has no
            // registered type but `x-`.
            let kind = if fate.said.remote { "smtp" } else { "x-axigen" };
            let _ = write!(
                out,
                "Diagnostic-Code: {kind}; {}\r\n",
                folded(&fate.said.words)
            );
            if let Some(last) = &self.entry.last {
                let _ = write!(out, "Last-Attempt-Date: {}\r\n", date(last.at));
            }
            if fate.action == Action::Delayed {
                let until = date(self.entry.expires);
                let _ = write!(out, "Will-Retry-Until: {until}\r\n");
            }
        }
    }
}

/// For people, before the recipients it is about.
fn sentence(action: Action) -> &'static str {
    match action {
        Action::Failed => {
            "Your message could not be delivered to one or more recipients. It is\r\n\
             returned below, whole or its header.\r\n"
        }
        Action::Delayed => {
            "This is a warning only; you do not need to send your message again.\r\n\
             It has not been delivered yet.\r\n"
        }
        Action::Delivered => "Your message was delivered.\r\n",
        Action::Relayed => {
            "Your message was handed to a mail system that does not report success.\r\n\
             You will hear no more of it unless it fails.\r\n"
        }
        Action::Expanded => "Your message went to an address that stands for others.\r\n",
    }
}

/// RFC 3464 §2.3.4: the class says what the action says.
fn status_of(fate: &Fate) -> EnhancedCode {
    let class = match fate.action {
        Action::Failed => 5,
        Action::Delayed => 4,
        Action::Delivered | Action::Relayed | Action::Expanded => 2,
    };
    match fate.said.status.class == class {
        true => fate.said.status,
        false => EnhancedCode {
            class,
            ..fate.said.status
        },
    }
}

/// The header of a message, without the empty line.
fn header_of(raw: &Bytes) -> Bytes {
    let length: usize = header_fields(raw).map(<[u8]>::len).sum();
    raw.slice(..length)
}

/// The message's own id, if it can be quoted as it is.
fn message_id(raw: &[u8]) -> Option<String> {
    let field = header_fields(raw).find(|field| crate::filter::is_named(field, "Message-ID"))?;
    let value = field.splitn(2, |&byte| byte == b':').nth(1)?;
    let id = std::str::from_utf8(value).ok()?.trim();
    let whole = id.starts_with('<') && id.ends_with('>');
    let clean = id.bytes().all(|byte| byte.is_ascii_graphic()) && id.len() < 500;
    (whole && clean).then(|| id.to_owned())
}

/// What stands alone in a field: one word.
fn word(text: &str) -> String {
    let clean = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '<' | '>' | ';');
    text.chars()
        .map(|c| if clean(c) { c } else { '?' })
        .collect()
}

/// One line of anything.
fn line(text: &str) -> String {
    let text = text.trim().replace("\r\n", " ");
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(clean).take(900).collect()
}

/// A long value over several lines (RFC 5322 §2.2.3).
fn folded(text: &str) -> String {
    let mut out = String::new();
    let mut length = 20;
    for word in line(text).split(' ') {
        if length + word.len() > 76 && length > 20 {
            out.push_str("\r\n");
            length = 0;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
        length += word.len() + 1;
    }
    out
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(text, what).is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::queue::entry::{Recipient, Said};
    use mail_parser::{MessageParser, MimeHeaders, PartType};

    fn entry() -> Entry {
        crate::queue::entry::tests::entry()
    }

    fn fate(address: &str, action: Action) -> Fate {
        Fate {
            recipient: Recipient::new(address),
            action,
            said: Said {
                status: (5, 1, 1).into(),
                words: "550 5.1.1 no such user here".into(),
                remote: true,
            },
            host: Some("mx.there.test".into()),
        }
    }

    fn compose(entry: &Entry, fates: &[Fate], original: &[u8], whole: u64) -> String {
        let notice = Notice {
            hostname: "here.test",
            id: "n1",
            now: "2026-11-28T13:00:00Z".parse().unwrap(),
            entry,
            fates,
            original: &Bytes::copy_from_slice(original),
            whole: Some(whole),
        };
        String::from_utf8(notice.compose().to_vec()).unwrap()
    }

    const MAIL: &[u8] = b"Message-ID: <1@here.test>\r\nSubject: hi\r\n\r\n=_n1 body\r\n";

    #[test]
    fn others_read_what_we_write() {
        let mut entry = entry();
        entry.notices.envelope_id = Some("QQ314159".into());
        let mut one = fate("bob@there.test", Action::Failed);
        one.recipient.original = Some("rfc822;robert@there.test".into());
        let text = compose(
            &entry,
            &[one, fate("eve@there.test", Action::Failed)],
            MAIL,
            1000,
        );
        let parsed = MessageParser::new().parse(&text).unwrap();
        let kind = parsed.content_type().unwrap();
        assert_eq!(
            (kind.c_type.as_ref(), kind.subtype()),
            ("multipart", Some("report"))
        );
        assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
        assert_eq!(parsed.parts.len(), 4, "{text}");
        let status = parsed.parts[2].contents();
        let status = std::str::from_utf8(status).unwrap();
        for field in [
            "Original-Envelope-Id: QQ314159\r\n",
            "Reporting-MTA: dns; here.test\r\n",
            "Original-Recipient: rfc822;robert@there.test\r\n",
            "Final-Recipient: rfc822;bob@there.test\r\n",
            "Final-Recipient: rfc822;eve@there.test\r\n",
            "Action: failed\r\n",
            "Status: 5.1.1\r\n",
            "Remote-MTA: dns; mx.there.test\r\n",
            "Diagnostic-Code: smtp; 550 5.1.1 no such user here\r\n",
        ] {
            assert!(status.contains(field), "{field} is not in\n{status}");
        }
        let PartType::Message(returned) = &parsed.parts[3].body else {
            panic!("{text}");
        };
        assert_eq!(returned.raw_message(), MAIL);
        assert!(text.contains("In-Reply-To: <1@here.test>\r\n"));
        assert!(text.contains("Auto-Submitted: auto-replied\r\n"));
        assert!(text.lines().all(|line| line.len() <= 998));
    }

    #[test]
    fn how_much_comes_back() {
        let mut entry = entry();
        let failed = [fate("bob@there.test", Action::Failed)];
        let whole = |entry: &Entry, fates: &[Fate], limit| {
            let text = compose(entry, fates, MAIL, limit);
            assert!(text.contains("Subject: hi\r\n"));
            text.contains("=_n1 body")
        };
        assert!(whole(&entry, &failed, 1000));
        assert!(!whole(&entry, &failed, 10));
        entry.notices.full = Some(true);
        assert!(whole(&entry, &failed, 10));
        assert!(!whole(
            &entry,
            &[fate("bob@there.test", Action::Delayed)],
            1000
        ));
        entry.notices.full = Some(false);
        assert!(!whole(&entry, &failed, 1000));
    }

    #[test]
    fn a_delay_says_until_when() {
        let entry = entry();
        let text = compose(&entry, &[fate("bob@there.test", Action::Delayed)], MAIL, 0);
        assert!(
            text.contains("Action: delayed\r\nStatus: 4.1.1\r\n"),
            "{text}"
        );
        assert!(text.contains("Will-Retry-Until: Thu, 03 Dec 2026 12:00:00 +0000\r\n"));
    }

    #[test]
    fn addresses_beyond_ascii_have_parts_of_their_own() {
        let text = compose(
            &entry(),
            &[fate("bob@bücher.test", Action::Failed)],
            MAIL,
            1000,
        );
        assert!(text.contains("Content-Type: message/global-delivery-status\r\n"));
        assert!(text.contains("Content-Type: message/global\r\n"));
        assert!(text.contains("Final-Recipient: utf-8;bob@bücher.test\r\n"));
    }

    #[test]
    fn nothing_another_host_says_becomes_a_line() {
        let mut evil = fate("bob@there.test", Action::Failed);
        evil.said.words = "550 no\r\nFinal-Recipient: rfc822;x@y\r\n\r\n--=_n1--".into();
        evil.host = Some("a\r\nb".into());
        let text = compose(&entry(), &[evil], MAIL, 1000);
        assert!(!text.contains("\r\nFinal-Recipient: rfc822;x@y"));
        assert_eq!(text.matches("\r\n--=_n1_--").count(), 1);
        assert!(text.contains("Remote-MTA: dns; a??b"));
    }
}
