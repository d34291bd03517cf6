//! A day's reports to the domains that want them
//! ([RFC 8460 §5](https://www.rfc-editor.org/rfc/rfc8460#section-5)).

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use axigen_proto::tls_rpt::{self, Place};
use axigen_store::Op;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;

use super::format::{Counted, DateRange, Report};
use super::{Reports, keys};
use crate::delivery::headers::date;
use crate::delivery::{Answers, Envelope};
use crate::net::https::Request;
use crate::queue::salt;

/// A day in seconds.
const DAY: i64 = 86_400;
/// RFC 8460 §4.1: reports do not all come at midnight.
const SPREAD: u64 = 4 * 3600;
/// Days after which a report that could not be sent is dropped.
const GIVE_UP: u32 = 3;
/// Longest time for a report by HTTPS, and most bytes of the answer.
const TIMEOUT: Duration = Duration::from_secs(60);
const ANSWER: usize = 64 * 1024;
/// What a report is, compressed.
const MEDIA_TYPE: &str = "application/tlsrpt+gzip";
/// Most base64 in a line, in bytes of what it stands for.
const LINE: usize = 57;

impl Reports {
    /// Sends the reports whose time has come.
    pub(super) async fn send_due(&self) {
        let now = self.clock.now();
        let today = self.today();
        for (day, domain, counted) in self.over(today).await {
            let wait = i64::try_from(salt(domain.as_bytes()) % SPREAD).unwrap_or_default();
            let due = (i64::from(day) + 1) * DAY + wait;
            if now.as_second() < due {
                continue;
            }
            let old = today.saturating_sub(day) > GIVE_UP;
            if self.send(day, &domain, counted, now).await || old {
                self.commit(vec![Op::Delete(keys::report(day, &domain))])
                    .await;
            }
        }
    }

    /// Whether there is nothing more to do for this report.
    async fn send(&self, day: u32, domain: &str, counted: Vec<Counted>, now: Timestamp) -> bool {
        if counted.is_empty() {
            return true;
        }
        let texts = match self.resolver.texts(&format!("_smtp._tls.{domain}")).await {
            Ok(answer) => answer.records,
            Err(error) => {
                tracing::info!(domain, %error, "where a TLS report goes is not known now");
                return false;
            }
        };
        let places = tls_rpt::places(&texts);
        if places.is_empty() {
            return true;
        }
        let Some(letter) = self.letter(day, domain, counted) else {
            return true;
        };
        let mut sent = false;
        for place in places {
            let outcome = match &place {
                Place::Mail(address) => self.by_mail(&letter, address, now).await,
                Place::Https { host, port, path } => {
                    self.by_https(&letter, host, *port, path).await
                }
                _ => continue,
            };
            match outcome {
                Ok(()) => {
                    tracing::info!(domain, ?place, id = letter.id, "a TLS report was sent");
                    sent = true;
                }
                Err(why) => tracing::warn!(domain, ?place, why, "a TLS report could not be sent"),
            }
        }
        sent
    }

    fn letter(&self, day: u32, domain: &str, policies: Vec<Counted>) -> Option<Letter> {
        let begin = i64::from(day) * DAY;
        let end = begin + DAY - 1;
        let at = |second| Timestamp::from_second(second).ok().map(|at| at.to_string());
        // The same day gives the same id: a report that comes twice is known by it.
        let id = format!("{begin}.{domain}@{}", self.hostname);
        let organization = match self.settings.organization.as_str() {
            "" => self.hostname.clone(),
            name => name.to_owned(),
        };
        let report = Report {
            organization_name: organization,
            date_range: DateRange {
                start_datetime: at(begin)?,
                end_datetime: at(end)?,
            },
            contact_info: self.settings.from.clone(),
            report_id: id.clone(),
            policies,
        };
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&serde_json::to_vec(&report).ok()?).ok()?;
        Some(Letter {
            name: format!("{}!{domain}!{begin}!{end}.json.gz", self.hostname),
            domain: domain.to_owned(),
            body: gzip.finish().ok()?.into(),
            id,
        })
    }

    async fn by_https(
        &self,
        letter: &Letter,
        host: &str,
        port: Option<u16>,
        path: &str,
    ) -> Result<(), String> {
        let request = Request {
            host: host.to_owned(),
            port,
            path: path.to_owned(),
            body: Some((MEDIA_TYPE, letter.body.clone())),
            most: ANSWER,
            timeout: TIMEOUT,
        };
        let answer = self.https.request(request).await;
        match answer.map_err(|error| error.to_string())?.status {
            200..=299 => Ok(()),
            status => Err(format!("the answer has status {status}")),
        }
    }

    async fn by_mail(&self, letter: &Letter, to: &str, now: Timestamp) -> Result<(), String> {
        let (local, domain) = to.rsplit_once('@').ok_or("no address")?;
        let accepted = self
            .delivery
            .accept(Some((local, domain)), true, None)
            .await;
        let accepted = accepted.map_err(|why| format!("{why:?}"))?;
        let id = crate::service::smtp_in::message_id();
        let raw = letter.compose(&self.hostname, &self.settings.from, to, &id, now);
        let envelope = Envelope::new(id, "");
        let outcomes = self
            .delivery
            .deliver(raw, &envelope, &[accepted], Answers::One)
            .await;
        match outcomes.first() {
            Some(outcome) if outcome.is_taken() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }
}

/// A report, ready to be sent.
struct Letter {
    id: String,
    name: String,
    domain: String,
    body: Bytes,
}

impl Letter {
    /// As a message (RFC 8460 §5.3). It goes even where TLS fails, which is what it
    /// is about (RFC 8689 §3).
    fn compose(&self, hostname: &str, from: &str, to: &str, id: &str, now: Timestamp) -> Bytes {
        let mut out = String::with_capacity(self.body.len() * 3 / 2 + 1024);
        let Letter { domain, name, .. } = self;
        let boundary = format!("=_{id}");
        let _ = write!(
            out,
            "From: <{from}>\r\nTo: <{to}>\r\nDate: {}\r\nMessage-ID: <{id}@{hostname}>\r\n\
             Subject: Report Domain: {domain}\r\n Submitter: {hostname}\r\n Report-ID: <{}>\r\n\
             TLS-Report-Domain: {domain}\r\nTLS-Report-Submitter: {hostname}\r\n\
             TLS-Required: No\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"{boundary}\"\r\n\r\n\
             --{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
             This is a report of {hostname} about TLS on the way to {domain}.\r\n\r\n\
             --{boundary}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment;\r\n filename=\"{name}\"\r\n\r\n",
            date(now),
            self.id
        );
        for piece in self.body.chunks(LINE) {
            STANDARD.encode_string(piece, &mut out);
            out.push_str("\r\n");
        }
        let _ = write!(out, "\r\n--{boundary}--\r\n");
        out.into()
    }
}
