//! What a server offers: the lines of its answer to EHLO or LHLO.

use super::future_release::{FutureRelease, Interval};
use super::priority::PriorityPolicy;
use super::solicit::Solicitation;
use crate::sasl::Mechanism;

/// What a server announces with LIMITS
/// ([RFC 9422](https://www.rfc-editor.org/rfc/rfc9422)): numbers of 1 to
/// 999,999. `None` says nothing about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Limits {
    /// MAILMAX: MAIL in one session, refused ones included (§4.1).
    pub mail: Option<u32>,
    /// RCPTMAX: RCPT in one transaction, refused ones included (§4.2).
    pub rcpt: Option<u32>,
    /// RCPTDOMAINMAX: domains of the recipients of one session (§4.3).
    pub rcpt_domain: Option<u32>,
}

impl Limits {
    const NAMES: [&'static str; 3] = ["MAILMAX", "RCPTMAX", "RCPTDOMAINMAX"];

    fn of(mut self, name: &str, value: Option<u32>) -> Self {
        match name {
            "MAILMAX" => self.mail = value,
            "RCPTMAX" => self.rcpt = value,
            _ => self.rcpt_domain = value,
        }
        self
    }

    /// Limits of a server that has these; a number that is 0 or beyond six
    /// digits is none.
    pub(super) fn announced(mail: u32, rcpt: usize, rcpt_domain: usize) -> Option<Self> {
        let known = |n: u32| (1..=999_999).contains(&n).then_some(n);
        let this = Self {
            mail: known(mail),
            rcpt: u32::try_from(rcpt).ok().and_then(known),
            rcpt_domain: u32::try_from(rcpt_domain).ok().and_then(known),
        };
        (this != Self::default()).then_some(this)
    }

    /// `limits-param = limit-name-value 0*[SP limit-name-value]` (§3). `None`
    /// for what is not of this grammar (§3.7); a limit that is not known, or
    /// whose value is wrong, is as if it were not there.
    fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut this = None;
        for word in words {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            let name_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            let value_byte = |b: u8| b.is_ascii_graphic() && b != b';';
            let good = !name.is_empty()
                && name.bytes().all(name_byte)
                && value.is_none_or(|value| !value.is_empty() && value.bytes().all(value_byte));
            if !good {
                return None;
            }
            let name = name.to_ascii_uppercase();
            let limits = this.get_or_insert(Self::default());
            if Self::NAMES.contains(&name.as_str()) {
                // `%x31-39 0*5DIGIT`
                let number = value.filter(|v| {
                    v.len() <= 6 && !v.starts_with('0') && v.bytes().all(|b| b.is_ascii_digit())
                });
                *limits = limits.of(&name, number.and_then(|v| v.parse().ok()));
            }
        }
        this
    }
}

/// The extensions a server offers in the present state of a session
/// ([RFC 5321 §4.1.1.1](https://www.rfc-editor.org/rfc/rfc5321#section-4.1.1.1)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The name the server calls itself.
    pub hostname: String,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// SIZE (RFC 1870): `Some(None)` when offered without a limit.
    pub size: Option<Option<u64>>,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// CHUNKING (RFC 3030): BDAT.
    pub chunking: bool,
    /// BINARYMIME (RFC 3030).
    pub binarymime: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// DSN (RFC 3461): RET, ENVID, NOTIFY and ORCPT.
    pub dsn: bool,
    /// ETRN (RFC 1985).
    pub etrn: bool,
    /// EXPN (RFC 5321 §3.5.2).
    pub expn: bool,
    /// REQUIRETLS (RFC 8689).
    pub requiretls: bool,
    /// DELIVERBY (RFC 2852): `Some(None)` when offered without a word about the
    /// shortest time, in seconds, in which a message can be delivered or
    /// returned.
    pub deliver_by: Option<Option<u32>>,
    /// FUTURERELEASE (RFC 4865), with both its limits.
    pub future_release: Option<FutureRelease>,
    /// MT-PRIORITY (RFC 6710), with the name of the policy if it is told.
    pub mt_priority: Option<Option<PriorityPolicy>>,
    /// LIMITS (RFC 9422).
    pub limits: Option<Limits>,
    /// NO-SOLICITING (RFC 3865), with the classes that are not wanted from
    /// anybody.
    pub no_soliciting: Option<Option<Solicitation>>,
    /// The mechanisms of AUTH (RFC 4954) that this crate knows.
    pub auth: Vec<Mechanism>,
    /// Lines that this crate does not know, as they came.
    pub other: Vec<String>,
}

impl Capabilities {
    /// The lines of the reply, without codes: the name first, then one
    /// extension a line.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.hostname.clone()];
        for (offered, word) in [
            (self.pipelining, "PIPELINING"),
            (self.eight_bit_mime, "8BITMIME"),
            (self.smtputf8, "SMTPUTF8"),
            (self.chunking, "CHUNKING"),
            (self.binarymime, "BINARYMIME"),
            (self.enhanced_status_codes, "ENHANCEDSTATUSCODES"),
            (self.starttls, "STARTTLS"),
            (self.dsn, "DSN"),
            (self.etrn, "ETRN"),
            (self.expn, "EXPN"),
            (self.requiretls, "REQUIRETLS"),
        ] {
            if offered {
                lines.push(word.to_owned());
            }
        }
        if let Some(limit) = self.size {
            // RFC 1870 §4: 0 means that there is no fixed limit.
            lines.push(format!("SIZE {}", limit.unwrap_or(0)));
        }
        if let Some(minimum) = self.deliver_by {
            let minimum = minimum.map(|seconds| format!(" {seconds}"));
            lines.push(format!("DELIVERBY{}", minimum.unwrap_or_default()));
        }
        if let Some(limits) = self.future_release {
            lines.push(format!("FUTURERELEASE {limits}"));
        }
        if let Some(policy) = &self.mt_priority {
            let policy = policy
                .as_ref()
                .map(|policy| format!(" {}", policy.as_str()));
            lines.push(format!("MT-PRIORITY{}", policy.unwrap_or_default()));
        }
        if let Some(limits) = self.limits {
            let mut line = "LIMITS".to_owned();
            let values = [limits.mail, limits.rcpt, limits.rcpt_domain];
            for (name, value) in Limits::NAMES.iter().zip(values) {
                if let Some(value) = value {
                    line.push_str(&format!(" {name}={value}"));
                }
            }
            lines.push(line);
        }
        if let Some(unwanted) = &self.no_soliciting {
            let unwanted = unwanted.as_ref().map(|list| format!(" {list}"));
            lines.push(format!("NO-SOLICITING{}", unwanted.unwrap_or_default()));
        }
        if !self.auth.is_empty() {
            let mut line = "AUTH".to_owned();
            for mechanism in &self.auth {
                line.push(' ');
                line.push_str(mechanism.name());
            }
            lines.push(line);
        }
        lines.extend(self.other.iter().cloned());
        lines
    }

    /// Reads the lines of a reply. What is not understood lands in `other`.
    pub fn from_lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut lines = lines.into_iter();
        let mut this = Self::default();
        if let Some(first) = lines.next() {
            // RFC 5321 §4.1.1.1: domain, then an optional greeting.
            this.hostname = first.split(' ').next().unwrap_or_default().to_owned();
        }
        for line in lines {
            this.line(line);
        }
        this
    }

    fn line(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let Some(keyword) = words.next() else {
            return;
        };
        match keyword.to_ascii_uppercase().as_str() {
            "PIPELINING" => self.pipelining = true,
            "8BITMIME" => self.eight_bit_mime = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "CHUNKING" => self.chunking = true,
            "BINARYMIME" => self.binarymime = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "STARTTLS" => self.starttls = true,
            "DSN" => self.dsn = true,
            "ETRN" => self.etrn = true,
            "EXPN" => self.expn = true,
            "REQUIRETLS" => self.requiretls = true,
            "LIMITS" => self.limits = Limits::parse(words),
            "NO-SOLICITING" => {
                self.no_soliciting = Some(words.next().and_then(|word| word.parse().ok()));
            }
            "MT-PRIORITY" => {
                let policy = words.next().and_then(|name| PriorityPolicy::new(name).ok());
                self.mt_priority = Some(policy);
            }
            "FUTURERELEASE" => {
                // RFC 4865 §3: both limits are required; without them it is not offered.
                let interval = words.next().and_then(|word| word.parse().ok());
                let until = words.next().and_then(|word| word.parse().ok());
                self.future_release = interval
                    .and_then(|seconds| Interval::new(seconds).ok())
                    .zip(until)
                    .map(|(interval, until)| FutureRelease { interval, until });
            }
            "DELIVERBY" => {
                // RFC 2852 §2: `[1*9DIGIT] *( "," extension-token )`
                let minimum = words.next().and_then(|word| word.split(',').next());
                self.deliver_by = Some(minimum.and_then(|n| n.parse::<u32>().ok()));
            }
            "SIZE" => {
                let limit = words.next().and_then(|n| n.parse::<u64>().ok());
                self.size = Some(limit.filter(|&n| n != 0));
            }
            "AUTH" => {
                for mechanism in words.filter_map(Mechanism::from_name) {
                    if !self.auth.contains(&mechanism) {
                        self.auth.push(mechanism);
                    }
                }
            }
            _ => self.other.push(line.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lines_come_back_as_they_were_written() {
        let all = Capabilities {
            hostname: "mx.test".to_owned(),
            pipelining: true,
            size: Some(Some(1000)),
            eight_bit_mime: true,
            smtputf8: true,
            chunking: true,
            binarymime: true,
            enhanced_status_codes: true,
            starttls: true,
            dsn: true,
            etrn: true,
            expn: true,
            requiretls: true,
            deliver_by: Some(Some(240)),
            limits: Limits::announced(5, 20, 999_999),
            no_soliciting: Some(Some("net.example:ADV,b".parse().unwrap())),
            mt_priority: Some(Some(PriorityPolicy::new("MIXER").unwrap())),
            future_release: Some(FutureRelease {
                interval: Interval::MAX,
                until: "2030-01-01T00:00:00Z".parse().unwrap(),
            }),
            auth: vec![Mechanism::Plain, Mechanism::ScramSha256],
            other: vec!["X-NEW a b".to_owned()],
        };
        for capabilities in [all, Capabilities::default()] {
            let lines = capabilities.lines();
            let back = Capabilities::from_lines(lines.iter().map(String::as_str));
            assert_eq!(back, capabilities);
        }
    }

    #[test]
    fn odd_lines_are_read_with_care() {
        let read = Capabilities::from_lines([
            "mx.test greets you",
            "size",
            "auth plain PLAIN cram-md5 Login",
            "",
            "  ",
            "AUTH=PLAIN",
        ]);
        assert_eq!(read.hostname, "mx.test");
        assert_eq!(read.size, Some(None));
        assert_eq!(read.auth, [Mechanism::Plain, Mechanism::Login]);
        assert_eq!(read.other, ["AUTH=PLAIN"]);
        for odd in [
            "FUTURERELEASE",
            "FUTURERELEASE 0 2030-01-01T00:00:00Z",
            "FUTURERELEASE 1 x",
        ] {
            let read = Capabilities::from_lines(["x", odd]);
            assert_eq!(read.future_release, None, "{odd}");
        }
        // The example of RFC 9422 §5, and what §3.7 says of errors.
        let read = Capabilities::from_lines(["x", "LIMITS RCPTMAX=20 MAILMAX=5"]);
        assert_eq!(read.limits, Limits::announced(5, 20, 0));
        let read = Capabilities::from_lines(["x", "limits rcptmax=1 X-NEW a=b=c MAILMAX=05"]);
        assert_eq!(read.limits, Limits::announced(0, 1, 0));
        for odd in [
            "LIMITS",
            "LIMITS RCPTMAX=20 =",
            "LIMITS RCPTMAX=20 a;b",
            "LIMITS RCPTMAX=",
        ] {
            assert_eq!(Capabilities::from_lines(["x", odd]).limits, None, "{odd}");
        }
        for odd in ["0", "1000000", "-1", "x", "+5"] {
            let line = format!("LIMITS RCPTMAX={odd}");
            let read = Capabilities::from_lines(["x", &line]);
            assert_eq!(read.limits, Some(Limits::default()), "{odd}");
        }
        let read = Capabilities::from_lines(["x", "NO-SOLICITING"]);
        assert_eq!(read.no_soliciting, Some(None));
        let read = Capabilities::from_lines(["x", "deliverby 240,x,y"]);
        assert_eq!(read.deliver_by, Some(Some(240)));
        for odd in [
            "DELIVERBY",
            "DELIVERBY ,x",
            "DELIVERBY -1",
            "DELIVERBY 99999999999",
        ] {
            let read = Capabilities::from_lines(["x", odd]);
            assert_eq!(read.deliver_by, Some(None), "{odd}");
        }
        let read = Capabilities::from_lines(["x", "SIZE 99999999999999999999999"]);
        assert_eq!(read.size, Some(None));
        assert_eq!(Capabilities::from_lines([]).hostname, "");
    }
}
