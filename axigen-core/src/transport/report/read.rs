//! Reports of others about TLS on the way to us: found in mail to an address
//! that is set, and summarised in the log.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::GzDecoder;
use mail_parser::{MessageParser, MimeHeaders};
use tokio::sync::Semaphore;

use super::format::Report;

/// A longer message is not looked at, in bytes.
const MESSAGE: usize = 10 << 20;
/// A report may have so many bytes.
const REPORT: u64 = 16 << 20;
/// Policies and kinds of failures of a report that are told.
const POLICIES: usize = 20;
const KINDS: usize = 20;
/// Reports that are read at a time; those beyond are not looked at.
const AT_ONCE: usize = 2;

/// Reads reports that come to an address.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    address: Arc<str>,
    room: Arc<Semaphore>,
}

impl Reader {
    /// For mail to this address.
    pub(crate) fn new(address: &str) -> Reader {
        Reader {
            address: address.to_ascii_lowercase().into(),
            room: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Looks at a message that was delivered, beside everything else.
    pub(crate) fn delivered<'a>(&self, raw: &Bytes, mut to: impl Iterator<Item = &'a str>) {
        if raw.len() > MESSAGE || !to.any(|to| to.eq_ignore_ascii_case(&self.address)) {
            return;
        }
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            tracing::info!("a TLS report is not looked at: too many at a time");
            return;
        };
        let raw = raw.clone();
        tokio::task::spawn_blocking(move || {
            match find(&raw) {
                Some(Ok(report)) => tell(&report),
                Some(Err(why)) => tracing::warn!(why, "a TLS report cannot be read"),
                None => {}
            }
            drop(room);
        });
    }
}

/// The report in a message, if there is one.
fn find(raw: &[u8]) -> Option<Result<Report, String>> {
    let message = MessageParser::new().parse(raw)?;
    message.parts.iter().find_map(|part| {
        let kind = part.content_type()?;
        if !kind.ctype().eq_ignore_ascii_case("application") {
            return None;
        }
        let subtype = kind.subtype()?.to_ascii_lowercase();
        let bytes = part.contents();
        match subtype.as_str() {
            "tlsrpt+gzip" => {
                let mut plain = Vec::new();
                let read = GzDecoder::new(bytes)
                    .take(REPORT + 1)
                    .read_to_end(&mut plain);
                Some(match read {
                    Ok(_) if plain.len() as u64 > REPORT => {
                        Err(format!("it has more than {REPORT} bytes"))
                    }
                    Ok(_) => parse(&plain),
                    Err(error) => Err(error.to_string()),
                })
            }
            "tlsrpt+json" => Some(parse(bytes)),
            _ => None,
        }
    })
}

fn parse(json: &[u8]) -> Result<Report, String> {
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

fn tell(report: &Report) {
    for counted in report.policies.iter().take(POLICIES) {
        tracing::info!(
            from = report.organization_name,
            id = report.report_id,
            begin = report.date_range.start_datetime,
            domain = counted.policy.policy_domain,
            policy = counted.policy.policy_type,
            good = counted.summary.total_successful_session_count,
            failed = counted.summary.total_failure_session_count,
            "a TLS report"
        );
        for failures in counted.failure_details.iter().take(KINDS) {
            tracing::warn!(
                from = report.organization_name,
                domain = counted.policy.policy_domain,
                result = failures.result_type,
                host = failures.receiving_mx_hostname,
                sender = failures.sending_mta_ip,
                count = failures.failed_session_count,
                why = failures.failure_reason_code,
                "TLS to this server failed, says a TLS report"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use super::*;

    /// As in RFC 8460 appendix B, shortened.
    const JSON: &str = r#"{
        "organization-name": "Company-X",
        "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
        "contact-info": "sts-reporting@company-x.example",
        "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
        "policies": [{
            "policy": {"policy-type": "sts", "policy-string": ["version: STSv1", "mode: testing"],
                       "policy-domain": "company-y.example", "mx-host": "*.mail.company-y.example"},
            "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
            "failure-details": [{"result-type": "certificate-expired", "sending-mta-ip": "2001:db8::1",
                "receiving-mx-hostname": "mx1.mail.company-y.example", "failed-session-count": 100}]
        }]}"#;

    fn mail(kind: &str, body: &[u8]) -> Vec<u8> {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(body);
        format!(
            "Content-Type: multipart/report; report-type=tlsrpt; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--b\r\n\
             Content-Type: application/{kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n{text}\r\n--b--\r\n"
        )
        .into_bytes()
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(body).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn reports_are_found() {
        for mail in [
            mail("tlsrpt+gzip", &gzip(JSON.as_bytes())),
            mail("tlsrpt+json", JSON.as_bytes()),
        ] {
            let report = find(&mail).unwrap().unwrap();
            assert_eq!(report.policies[0].summary.total_failure_session_count, 303);
            assert_eq!(
                report.policies[0].failure_details[0].failed_session_count,
                100
            );
            tell(&report);
        }
    }

    #[test]
    fn what_is_none_is_said() {
        assert!(find(b"Subject: hello\r\n\r\nhello\r\n").is_none());
        assert!(find(&mail("pdf", b"x")).is_none());
        let bomb = gzip(&vec![b' '; (REPORT + 10) as usize]);
        for bad in [
            mail("tlsrpt+json", b"{}"),
            mail("tlsrpt+gzip", JSON.as_bytes()),
            mail("tlsrpt+gzip", &bomb),
            mail("tlsrpt+json", "[".repeat(100_000).as_bytes()),
        ] {
            assert!(find(&bad).unwrap().is_err());
        }
    }
}
