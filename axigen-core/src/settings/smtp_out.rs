//! What can be set for SMTP Outgoing: how mail travels to other hosts.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use axigen_proto::smtp::address::DomainName;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::values::{Size, Span};

/// How much TLS is wanted on the way to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsPolicy {
    /// None, even where it is offered.
    None,
    /// Where it is offered; any certificate will do. What a passive listener
    /// could read otherwise is hidden.
    #[default]
    May,
    /// Always; any certificate will do.
    Encrypt,
    /// Always, with a certificate for the host's name by an authority that is
    /// trusted.
    Verify,
    /// Always, with a certificate that DNS names, proved by DNSSEC (TLSA,
    /// RFC 7672).
    Dane,
}

/// Where mail for some domains goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum RouteTarget {
    /// To the hosts that DNS names for the domain.
    #[default]
    Mx,
    /// To a host.
    Host {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
        /// TLS begins with the connection.
        implicit_tls: bool,
        /// LMTP instead of SMTP.
        lmtp: bool,
    },
    /// To an LMTP server on this machine.
    Socket(PathBuf),
    /// To a transport of the application, by its name.
    Transport(String),
}

const SCHEMES: [(&str, u16, bool, bool); 4] = [
    ("smtp://", 25, false, false),
    ("submission://", 587, false, false),
    ("smtps://", 465, true, false),
    ("lmtp://", 24, false, true),
];

impl FromStr for RouteTarget {
    type Err = String;
    fn from_str(text: &str) -> Result<RouteTarget, String> {
        let wrong = || {
            format!(
                "{text:?} is no target; targets are \"mx\", \"smtp://host\", \"submission://host\", \
                 \"smtps://host\", \"lmtp://host\", each with :port if it is not the usual one, \
                 and \"lmtp:/path/of/a/socket\"; an application may have \"transport:name\""
            )
        };
        if text == "mx" {
            return Ok(RouteTarget::Mx);
        }
        if let Some(name) = text.strip_prefix("transport:") {
            let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            let is_name = !name.is_empty() && name.chars().all(is_word);
            let target = is_name.then(|| RouteTarget::Transport(name.to_owned()));
            return target.ok_or_else(wrong);
        }
        if let Some(path) = text
            .strip_prefix("lmtp:/")
            .filter(|path| !path.starts_with('/'))
        {
            return Ok(RouteTarget::Socket(PathBuf::from(format!("/{path}"))));
        }
        let known = SCHEMES
            .iter()
            .find_map(|known| Some((known, text.strip_prefix(known.0)?)));
        let ((_, port, implicit_tls, lmtp), rest) = known.ok_or_else(wrong)?;
        let (host, port) = match rest.rsplit_once(':') {
            // An address of IPv6 stands in brackets, so a colon behind them is a port's.
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse::<u16>().ok().filter(|&port| port > 0))
            }
            _ => (rest, Some(*port)),
        };
        let literal = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = match literal {
            Some(address) => address
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| wrong())?
                .to_string(),
            None if host.parse::<std::net::Ipv4Addr>().is_ok() => host.to_owned(),
            None => DomainName::new(host)
                .map_err(|_| wrong())?
                .as_str()
                .to_lowercase(),
        };
        Ok(RouteTarget::Host {
            host,
            port: port.ok_or_else(wrong)?,
            implicit_tls: *implicit_tls,
            lmtp: *lmtp,
        })
    }
}

impl fmt::Display for RouteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteTarget::Mx => f.write_str("mx"),
            RouteTarget::Transport(name) => write!(f, "transport:{name}"),
            RouteTarget::Socket(path) => write!(f, "lmtp:{}", path.display()),
            RouteTarget::Host {
                host,
                port,
                implicit_tls,
                lmtp,
            } => {
                let kind = |(_, _, implicit, to_lmtp): &&(&str, u16, bool, bool)| {
                    implicit == implicit_tls && to_lmtp == lmtp
                };
                let usual = SCHEMES.iter().filter(kind).find(|known| known.1 == *port);
                let scheme = usual.or(SCHEMES.iter().find(kind));
                let scheme = scheme.map_or("smtp://", |(scheme, ..)| scheme);
                match host.contains(':') {
                    true => write!(f, "{scheme}[{host}]:{port}"),
                    false => write!(f, "{scheme}{host}:{port}"),
                }
            }
        }
    }
}

impl Serialize for RouteTarget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RouteTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RouteTarget, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A way for the mail of some domains. The first that names a domain counts;
/// without one its mail goes to the hosts that DNS names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// The domains, as "example.org"; ".example.org" means those below it, and
    /// "*" all.
    pub domains: Vec<String>,
    /// "mx", or a host: "smtp://relay.example.net", "submission://…" (port 587),
    /// "smtps://…" (TLS from the first byte), "lmtp://…", each with ":port" if it
    /// is not the usual one, or "lmtp:/path/of/a/socket". "mx" if it is not set: then
    /// the route only says how.
    #[serde(default)]
    #[schemars(with = "String")]
    pub to: RouteTarget,
    /// none, may, encrypt, verify or dane; what smtp_out.tls says if it is not set, and
    /// verify where somebody logs in: a password is not for whoever answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsPolicy>,
    /// Who logs in at the host; empty logs in nobody. It is done under TLS only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// File whose first line is the password.
    #[serde(default, skip_serializing_if = "no_path")]
    pub password_file: PathBuf,
    /// Most sessions at the same time; what smtp_out.lane_sessions says if it is
    /// not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<usize>,
    /// Shortest time between two messages; what smtp_out.pace says if it is not
    /// set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Span>,
    /// The name the server introduces itself with; what smtp_out.hostname says if
    /// it is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Our addresses that connections come from, at most one of each family; what
    /// smtp_out.source says if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub source: Vec<IpAddr>,
}

fn no_path(path: &std::path::Path) -> bool {
    path.as_os_str().is_empty()
}

/// SMTP Outgoing: the queue, and the way to other hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SmtpOutSettings {
    /// Whether mail travels to other hosts. Without it only local recipients are
    /// accepted.
    pub enable: bool,
    /// Processing threads of its own; 0 means it shares the server's.
    pub threads: usize,
    /// The name the server introduces itself with; the server's own if it is
    /// empty. Other hosts want it to be the name of the address that the
    /// connection comes from.
    pub hostname: String,
    /// Our addresses that connections come from, at most one of each family;
    /// without one the system chooses.
    #[schemars(with = "Vec<String>")]
    pub source: Vec<IpAddr>,
    /// none, may, encrypt, verify or dane: how much TLS is wanted of hosts that no
    /// route says more of. With may and encrypt, what domains ask for by DANE and
    /// MTA-STS comes on top; with verify MTA-STS does.
    pub tls: TlsPolicy,
    /// Whether what hosts ask for by DANE (TLSA records, RFC 7672) is done. It needs
    /// dns.validate.
    pub dane: bool,
    /// PEM file with the authorities whose certificates are trusted; empty means
    /// those of the system.
    pub authorities: PathBuf,
    /// The port of the hosts that DNS names: 25, as everywhere; another one is
    /// for tests only.
    pub mx_port: u16,
    /// Most sessions at the same time, to all hosts together.
    pub sessions: usize,
    /// Most sessions at the same time for one domain or relay host. It begins
    /// with two, and grows as messages arrive.
    pub lane_sessions: usize,
    /// Shortest time between two messages to one domain or relay host; "0s" is no
    /// limit.
    pub pace: Span,
    /// Most bytes of messages that filters look at on their way out at a time;
    /// the others wait. Without filters messages are read as they are sent.
    pub memory: Size,
    /// Most recipients of one transaction.
    pub recipients: usize,
    /// Most messages over one connection.
    pub session_messages: usize,
    /// Whether policies of MTA-STS are also fetched from, and reports sent to,
    /// hosts in private networks and on this machine. Anybody's domain can name
    /// such a host.
    pub https_inward: bool,
    /// Whether every message goes by BDAT to hosts that offer CHUNKING; otherwise
    /// only those that cannot go in another way.
    pub chunking: bool,
    /// How long a connection is kept for the next message.
    pub idle_timeout: Span,
    /// Longest wait for a connection.
    pub connect_timeout: Span,
    /// Longest wait for the answer to a command; the standard asks for 5 minutes.
    pub command_timeout: Span,
    /// Longest wait for the answer to a message; the standard asks for 10 minutes.
    pub end_timeout: Span,
    /// The wait after the first try that failed, the second, and so on; the last
    /// one is repeated. Also how long a domain is left alone that cannot be
    /// reached.
    pub retry: Vec<Span>,
    /// A message that could not be delivered comes back after this long.
    pub expire: Span,
    /// A notice that could not be delivered is given up after this long.
    pub expire_notice: Span,
    /// The sender is told once if it takes longer than this; "0s" never tells.
    pub tell_delay: Span,
    /// A longer message is not returned whole in a notice of failure, only its
    /// header, unless its sender asked for one or the other.
    pub notice_size: Size,
    /// What domains ask for by MTA-STS.
    pub mta_sts: StsSettings,
    /// Reports about TLS (RFC 8460).
    pub tls_reports: TlsReportSettings,
    /// Ways of their own for some domains: relay hosts, static routes, how much TLS.
    pub routes: Vec<RouteSettings>,
}

impl Default for SmtpOutSettings {
    fn default() -> SmtpOutSettings {
        let minutes = |minutes: u64| Span(Duration::from_secs(minutes * 60));
        SmtpOutSettings {
            enable: false,
            threads: 0,
            hostname: String::new(),
            source: Vec::new(),
            tls: TlsPolicy::May,
            dane: true,
            authorities: PathBuf::new(),
            mx_port: 25,
            sessions: 200,
            lane_sessions: 20,
            pace: Span(Duration::ZERO),
            memory: Size(256 * 1024 * 1024),
            recipients: 100,
            session_messages: 100,
            chunking: false,
            https_inward: false,
            idle_timeout: Span(Duration::from_secs(3)),
            connect_timeout: Span(Duration::from_secs(30)),
            command_timeout: minutes(5),
            end_timeout: minutes(10),
            retry: [5, 10, 20, 40, 60, 120, 240].map(minutes).into(),
            expire: minutes(5 * 24 * 60),
            expire_notice: minutes(2 * 24 * 60),
            tell_delay: minutes(4 * 60),
            notice_size: Size(50 * 1024),
            mta_sts: StsSettings::default(),
            tls_reports: TlsReportSettings::default(),
            routes: Vec::new(),
        }
    }
}

/// Policies that domains publish by HTTPS (MTA-STS, RFC 8461).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StsSettings {
    /// Whether they are looked for and kept to.
    pub enable: bool,
    /// Longest time to fetch one.
    pub timeout: Span,
    /// One that is older is fetched again, before it ends.
    pub refresh: Span,
    /// Most policies that are kept; beyond it the oldest are forgotten.
    pub policies: usize,
}

/// Reports to domains that ask for them how TLS to them fared, once a day; and
/// those of others about us.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsReportSettings {
    /// Whether sessions are counted and reports are sent.
    pub enable: bool,
    /// The address reports come from, where one can ask about them.
    pub from: String,
    /// What this server's owner is called in reports; smtp_out.hostname if it is
    /// empty.
    pub organization: String,
    /// Most domains of a day that are counted.
    pub domains: usize,
    /// A local address others send their reports to: they are summarised in the log
    /// as they arrive. Empty for none.
    pub receive: String,
}

impl Default for TlsReportSettings {
    fn default() -> TlsReportSettings {
        TlsReportSettings {
            enable: false,
            from: String::new(),
            organization: String::new(),
            domains: 10_000,
            receive: String::new(),
        }
    }
}

impl Default for StsSettings {
    fn default() -> StsSettings {
        StsSettings {
            enable: true,
            timeout: Span(Duration::from_secs(60)),
            refresh: Span(Duration::from_secs(24 * 3600)),
            policies: 100_000,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn targets_are_read_and_written() {
        for (text, shown) in [
            ("mx", "mx"),
            ("smtp://Relay.Example", "smtp://relay.example:25"),
            ("smtp://relay.example:2525", "smtp://relay.example:2525"),
            (
                "submission://relay.example",
                "submission://relay.example:587",
            ),
            ("smtps://192.0.2.1", "smtps://192.0.2.1:465"),
            ("lmtp://[2001:db8::1]:2400", "lmtp://[2001:db8::1]:2400"),
            ("lmtp:/run/lmtp", "lmtp:/run/lmtp"),
        ] {
            let target: RouteTarget = text.parse().unwrap();
            assert_eq!(target.to_string(), shown);
            assert_eq!(shown.parse::<RouteTarget>().unwrap(), target);
        }
        for bad in [
            "",
            "MX",
            "relay.example",
            "smtp://",
            "smtp://a b",
            "smtp://x:0",
            "smtp://x:70000",
            "smtp://[x]:25",
            "http://x",
        ] {
            assert!(bad.parse::<RouteTarget>().is_err(), "{bad}");
        }
    }
}
