//! What a domain publishes to say that its mail comes under TLS
//! ([RFC 8461](https://www.rfc-editor.org/rfc/rfc8461)): the record in DNS and the
//! policy that is fetched by HTTPS. Fetching them is done elsewhere.

use std::fmt;

/// The longest a policy may be kept, in seconds (RFC 8461 §3.2).
pub const MAX_AGE: u32 = 31_557_600;
/// Host names of a policy that are kept; a domain with more has made a mistake.
pub const PATTERNS: usize = 1000;
/// The beginning of a record, and what the version of a policy is.
const VERSION: &str = "STSv1";

/// What is wrong with a record or a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no record that begins with `v=STSv1;`.
    #[error("there is no record of MTA-STS")]
    NoRecord,
    /// There are several, so none counts (RFC 8461 §3.1).
    #[error("there are {0} records of MTA-STS")]
    Several(usize),
    /// It does not follow the grammar.
    #[error("{0}")]
    Syntax(String),
}

fn syntax<T>(what: impl Into<String>) -> Result<T, Error> {
    Err(Error::Syntax(what.into()))
}

/// The id of a domain's policy, from the texts of `_mta-sts.domain`
/// ([RFC 8461 §3.1](https://www.rfc-editor.org/rfc/rfc8461#section-3.1)). It changes
/// when the policy does.
///
/// # Errors
/// [`Error`]; then the domain has no policy as far as DNS says.
pub fn record_id<T: AsRef<[u8]>>(texts: &[T]) -> Result<String, Error> {
    let texts = texts
        .iter()
        .filter_map(|text| std::str::from_utf8(text.as_ref()).ok());
    let found: Vec<&str> = texts.filter(|text| is_record(text)).collect();
    let text = match found.as_slice() {
        [] => return Err(Error::NoRecord),
        [text] => text,
        several => return Err(Error::Several(several.len())),
    };
    let fields = text.split(';').skip(1).map(|field| field.trim_matches(WSP));
    for field in fields.filter(|field| !field.is_empty()) {
        let Some((name, value)) = field.split_once('=') else {
            return syntax(format!("{field:?} is no field of a record"));
        };
        if name.trim_matches(WSP) != "id" {
            continue;
        }
        let value = value.trim_matches(WSP);
        let good = |byte: u8| byte.is_ascii_alphanumeric();
        return match (1..=32).contains(&value.len()) && value.bytes().all(good) {
            true => Ok(value.to_owned()),
            false => syntax(format!("{value:?} is no id")),
        };
    }
    syntax("the record has no id")
}

const WSP: [char; 2] = [' ', '\t'];

fn is_record(text: &str) -> bool {
    let rest = text
        .strip_prefix("v=")
        .and_then(|rest| rest.strip_prefix(VERSION));
    rest.is_some_and(|rest| rest.trim_start_matches(WSP).starts_with(';'))
}

/// What a policy asks of senders
/// ([RFC 8461 §5](https://www.rfc-editor.org/rfc/rfc8461#section-5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Not to deliver where it cannot be kept.
    Enforce,
    /// To report where it cannot be kept, and to deliver.
    Testing,
    /// Nothing: the domain has no policy any more.
    None,
}

impl Mode {
    /// As a policy writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        }
    }
}

/// A name of a policy, or all one label below one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    name: String,
    below: bool,
}

impl Pattern {
    /// Reads `mx.example.org` or `*.example.org`; `None` for other texts.
    pub fn new(text: &str) -> Option<Pattern> {
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let label = |label: &str| {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (1..=63).contains(&label.len()) && label.bytes().all(good)
        };
        let good = name.len() <= 253 && name.split('.').all(label);
        good.then(|| Pattern {
            name: name.to_ascii_lowercase(),
            below,
        })
    }

    /// Whether it names a host; `*` stands for one label
    /// ([RFC 8461 §4.1](https://www.rfc-editor.org/rfc/rfc8461#section-4.1)).
    pub fn names(&self, host: &str) -> bool {
        match (self.below, host.split_once('.')) {
            (true, Some((first, rest))) => {
                !first.is_empty() && rest.eq_ignore_ascii_case(&self.name)
            }
            (true, None) => false,
            (false, _) => host.eq_ignore_ascii_case(&self.name),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.below {
            true => write!(f, "*.{}", self.name),
            false => f.write_str(&self.name),
        }
    }
}

/// A policy ([RFC 8461 §3.2](https://www.rfc-editor.org/rfc/rfc8461#section-3.2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What it asks of senders.
    pub mode: Mode,
    /// How long it holds, in seconds; at most [`MAX_AGE`].
    pub max_age: u32,
    /// The hosts that take the domain's mail; at least one unless the mode is
    /// none.
    pub mx: Vec<Pattern>,
}

impl Policy {
    /// Reads a policy as it was fetched. Fields that are not known are passed
    /// over, and of those that stand once the first counts.
    ///
    /// # Errors
    /// [`Error::Syntax`].
    pub fn parse(text: &[u8]) -> Result<Policy, Error> {
        let Ok(text) = std::str::from_utf8(text) else {
            return syntax("the policy is not UTF-8");
        };
        let (mut version, mut mode, mut max_age) = (None, None, None);
        let mut mx = Vec::new();
        for line in text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.trim_matches(WSP).is_empty() {
                continue;
            }
            let Some((key, value)) = line.split_once(':') else {
                return syntax(format!("{line:?} is no field of a policy"));
            };
            let value = value.trim_matches(WSP);
            match key {
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age = max_age.or(Some(value)),
                "mx" => match Pattern::new(value) {
                    Some(_) if mx.len() >= PATTERNS => {
                        return syntax(format!("the policy names more than {PATTERNS} hosts"));
                    }
                    Some(pattern) => mx.push(pattern),
                    None => return syntax(format!("{value:?} is no name of a host")),
                },
                _ => {}
            }
        }
        if version != Some(VERSION) {
            return syntax(format!("the policy is not of version {VERSION}"));
        }
        let mode = match mode {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            Some(other) => return syntax(format!("{other:?} is no mode")),
            None => return syntax("the policy has no mode"),
        };
        let digits =
            |age: &&str| (1..=10).contains(&age.len()) && age.bytes().all(|b| b.is_ascii_digit());
        let Some(max_age) = max_age
            .filter(digits)
            .and_then(|age| age.parse::<u64>().ok())
        else {
            return syntax("the policy does not say how long it holds (max_age)");
        };
        if mx.is_empty() && mode != Mode::None {
            return syntax("the policy names no host (mx)");
        }
        Ok(Policy {
            mode,
            max_age: u32::try_from(max_age).unwrap_or(MAX_AGE).min(MAX_AGE),
            mx,
        })
    }

    /// Whether a host may take the domain's mail.
    pub fn names(&self, host: &str) -> bool {
        self.mx.iter().any(|pattern| pattern.names(host))
    }
}

/// As it is published.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version: {VERSION}\r\nmode: {}\r\n", self.mode.as_str())?;
        for pattern in &self.mx {
            write!(f, "mx: {pattern}\r\n")?;
        }
        write!(f, "max_age: {}\r\n", self.max_age)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records() {
        for text in [
            "v=STSv1; id=20160831085700Z;",
            "v=STSv1;id=20160831085700Z",
            "v=STSv1 ; x=y ; id=20160831085700Z ; ",
        ] {
            assert_eq!(record_id(&[text]).unwrap(), "20160831085700Z", "{text}");
        }
        let both = ["v=spf1 -all", "v=STSv1; id=1;"];
        assert_eq!(record_id(&both).unwrap(), "1");
        assert_eq!(record_id::<&str>(&[]), Err(Error::NoRecord));
        assert_eq!(record_id(&["v=STSv2; id=1"]), Err(Error::NoRecord));
        assert_eq!(record_id(&["v=STSv1"]), Err(Error::NoRecord));
        let two = ["v=STSv1; id=1;", "v=STSv1; id=2;"];
        assert_eq!(record_id(&two), Err(Error::Several(2)));
        let long = format!("v=STSv1; id={}", "a".repeat(33));
        for bad in [
            "v=STSv1;",
            "v=STSv1; id=",
            "v=STSv1; id=a-b",
            "v=STSv1; id",
            &long,
        ] {
            assert!(matches!(record_id(&[bad]), Err(Error::Syntax(_))), "{bad}");
        }
    }

    #[test]
    fn policies() {
        let text = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\n\
                     mx: *.Example.net\r\nfuture: x: y\r\nmode: none\r\nmax_age: 604800\r\n";
        let policy = Policy::parse(text).unwrap();
        assert_eq!((policy.mode, policy.max_age), (Mode::Enforce, 604_800));
        for (host, named) in [
            ("mail.example.com", true),
            ("MAIL.example.com", true),
            ("a.example.net", true),
            ("a.b.example.net", false),
            ("example.net", false),
            ("x.mail.example.com", false),
            (".example.net", false),
        ] {
            assert_eq!(policy.names(host), named, "{host}");
        }
        let again = Policy::parse(policy.to_string().as_bytes()).unwrap();
        assert_eq!(again, policy);
        let none = Policy::parse(b"version:STSv1\nmode:none\nmax_age:9999999999").unwrap();
        assert_eq!((none.mode, none.max_age), (Mode::None, MAX_AGE));
        let many = format!(
            "version: STSv1\nmode: enforce\nmax_age: 1\n{}",
            "mx: a.test\n".repeat(1001)
        );
        for bad in [
            "",
            "version: STSv1\nmode: enforce\nmax_age: 1",
            "version: STSv2\nmode: none\nmax_age: 1",
            "mode: none\nmax_age: 1",
            "version: STSv1\nmode: maybe\nmax_age: 1",
            "version: STSv1\nmode: none",
            "version: STSv1\nmode: none\nmax_age: -1",
            "version: STSv1\nmode: none\nmax_age: 99999999999",
            "version: STSv1\nmode: enforce\nmx: a b\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmx: *.\nmax_age: 1",
            "<html>",
            &many,
        ] {
            assert!(Policy::parse(bad.as_bytes()).is_err(), "{bad:.80}");
        }
        assert!(Policy::parse(b"version: STSv1\xff").is_err());
    }
}
