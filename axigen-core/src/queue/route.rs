//! Which way mail goes: the lane of a recipient, and what a lane means.
//!
//! A domain whose mail goes to the hosts DNS names is a lane of its own, by its
//! name. A relay host is one lane for all the domains that go there, so that
//! its sessions and limits are shared; its name begins with `=`, which no
//! domain does.

use std::time::Duration;

use super::dispatch::Lanes;
use super::lane::LaneLimits;
use super::schedule::Schedule;
use crate::dns;
use crate::settings::{RouteSettings, RouteTarget, Settings, SmtpOutSettings, TlsPolicy};

/// The lane of what does not leave this server: notices that are owed to
/// senders, and mail that is held before it goes into mailboxes. No target of a
/// route is called so.
pub const HERE: &str = "=here";

/// The ways that settings name.
#[derive(Debug, Clone)]
pub struct Routes {
    settings: SmtpOutSettings,
    /// The server's own name.
    hostname: String,
}

/// A lane's way.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Where it leads.
    pub to: Hop,
    /// How much TLS is wanted.
    pub tls: TlsPolicy,
    /// The name we introduce ourselves with.
    pub hostname: String,
    /// Our addresses that the connection comes from.
    pub source: Vec<std::net::IpAddr>,
    /// Who logs in there, and where the password is.
    pub login: Option<(String, std::path::PathBuf)>,
}

/// Where a lane leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hop {
    /// To the hosts DNS names for this domain.
    Mx(String),
    /// To this address: the domain is an address literal.
    Literal(std::net::IpAddr),
    /// As a route says.
    Fixed(RouteTarget),
}

impl Routes {
    /// The ways of these settings.
    pub fn new(settings: SmtpOutSettings, hostname: &str) -> Routes {
        Routes {
            settings,
            hostname: hostname.to_owned(),
        }
    }

    /// The ways of a server's settings.
    pub fn of(settings: &Settings) -> Routes {
        Routes::new(settings.smtp_out.clone(), &settings.hostname)
    }

    /// The settings they come from.
    pub fn settings(&self) -> &SmtpOutSettings {
        &self.settings
    }

    /// The server's own name.
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// The times of the queue.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            retry: self.settings.retry.iter().map(|span| span.0).collect(),
            expire: self.settings.expire.0,
            expire_notice: self.settings.expire_notice.0,
            tell_delay: self.settings.tell_delay.0,
        }
    }

    /// The lane of a recipient, by its domain as an address writes it.
    ///
    /// # Errors
    /// [`dns::Error::BadName`].
    pub fn lane(&self, domain: &str) -> Result<String, dns::Error> {
        let name = match domain.strip_prefix('[') {
            Some(_) => domain.to_ascii_lowercase(),
            None => dns::to_ascii(domain)?,
        };
        Ok(match self.named(&name) {
            Some(RouteSettings { to, .. }) if *to != RouteTarget::Mx => format!("={to}"),
            _ => name,
        })
    }

    /// What a lane means now; `None` if no route leads there any more.
    pub fn route(&self, lane: &str) -> Option<Route> {
        let (to, of) = match lane.strip_prefix('=') {
            Some(target) => {
                let target: RouteTarget = target.parse().ok()?;
                let of = self.settings.routes.iter().find(|of| of.to == target)?;
                (Hop::Fixed(target), Some(of))
            }
            None => {
                let of = self.named(lane);
                if of.is_some_and(|of| of.to != RouteTarget::Mx) {
                    return None;
                }
                let literal = lane
                    .strip_prefix('[')
                    .and_then(|rest| rest.strip_suffix(']'));
                let hop = match literal {
                    Some(text) => {
                        let text = text.strip_prefix("ipv6:").unwrap_or(text);
                        Hop::Literal(text.parse().ok()?)
                    }
                    None => Hop::Mx(lane.to_owned()),
                };
                (hop, of)
            }
        };
        let settings = &self.settings;
        let first = |names: [&str; 3]| {
            let named = names.into_iter().find(|name| !name.is_empty());
            named.unwrap_or_default().to_owned()
        };
        let own = of.map_or("", |of| of.hostname.as_str());
        let source = of.map(|of| &of.source).filter(|source| !source.is_empty());
        let login = of.filter(|of| !of.user.is_empty());
        Some(Route {
            to,
            tls: of.and_then(|of| of.tls).unwrap_or(match login {
                Some(_) => TlsPolicy::Verify,
                None => settings.tls,
            }),
            hostname: first([own, &settings.hostname, &self.hostname]),
            source: source.unwrap_or(&settings.source).clone(),
            login: login.map(|of| (of.user.clone(), of.password_file.clone())),
        })
    }

    /// The first route that names a domain.
    fn named(&self, name: &str) -> Option<&RouteSettings> {
        let fits = |pattern: &String| match pattern.strip_prefix('.') {
            _ if pattern == "*" => true,
            Some(parent) => {
                let parent = dns::to_ascii(parent).unwrap_or_default();
                let rest = name.strip_suffix(&parent);
                rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            None => dns::to_ascii(pattern).is_ok_and(|pattern| pattern == name),
        };
        self.settings
            .routes
            .iter()
            .find(|route| route.domains.iter().any(fits))
    }

    fn of_lane(&self, lane: &str) -> Option<&RouteSettings> {
        match lane.strip_prefix('=') {
            Some(target) => {
                let target: RouteTarget = target.parse().ok()?;
                self.settings.routes.iter().find(|of| of.to == target)
            }
            None => self.named(lane),
        }
    }
}

impl Lanes for Routes {
    fn limits(&self, lane: &str) -> LaneLimits {
        let of = self.of_lane(lane);
        let sessions = of.and_then(|of| of.sessions);
        let pace = of.and_then(|of| of.pace);
        LaneLimits {
            sessions: sessions.unwrap_or(self.settings.lane_sessions).max(1),
            pace: pace.unwrap_or(self.settings.pace).0,
        }
    }

    fn rest(&self, lane: &str, failures: u32) -> Duration {
        self.schedule().wait(failures, super::salt(lane.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn routes() -> Routes {
        let text = r#"
            [[routes]]
            domains = ["mx.example.org"]
            to = "mx"
            tls = "verify"
            [[routes]]
            domains = [".example.org", "b\u00fccher.test"]
            to = "submission://relay.test"
            user = "us"
            password_file = "/p"
            sessions = 3
            hostname = "out.test"
            [[routes]]
            domains = ["old.test"]
            to = "lmtp:/run/lmtp"
        "#;
        Routes::new(toml::from_str(text).unwrap(), "here.test")
    }

    #[test]
    fn domains_lead_to_lanes() {
        let routes = routes();
        for (domain, lane) in [
            ("Example.ORG", "example.org"),
            ("a.example.org", "=submission://relay.test:587"),
            ("xexample.org", "xexample.org"),
            ("mx.example.org", "mx.example.org"),
            ("bücher.test", "=submission://relay.test:587"),
            ("old.test", "=lmtp:/run/lmtp"),
            ("[IPv6:2001:db8::1]", "[ipv6:2001:db8::1]"),
        ] {
            assert_eq!(routes.lane(domain).unwrap(), lane);
        }
        assert!(routes.lane("a b").is_err());
    }

    #[test]
    fn lanes_lead_somewhere() {
        let routes = routes();
        let relay = routes.route("=submission://relay.test:587").unwrap();
        assert_eq!(relay.hostname, "out.test");
        assert_eq!(relay.login.unwrap().0, "us");
        assert_eq!(relay.tls, TlsPolicy::Verify);
        assert_eq!(routes.limits("=submission://relay.test:587").sessions, 3);
        let mx = routes.route("mx.example.org").unwrap();
        assert_eq!(
            (mx.to, mx.tls),
            (Hop::Mx("mx.example.org".into()), TlsPolicy::Verify)
        );
        assert_eq!(routes.route("x.test").unwrap().hostname, "here.test");
        let literal = routes.route("[ipv6:2001:db8::1]").unwrap();
        assert_eq!(literal.to, Hop::Literal("2001:db8::1".parse().unwrap()));
        let literal = routes.route("[192.0.2.1]").unwrap();
        assert_eq!(literal.to, Hop::Literal("192.0.2.1".parse().unwrap()));
        // The settings have changed since.
        assert_eq!(routes.route("=smtp://gone.test:25"), None);
        assert_eq!(routes.route("old.test"), None);
        assert_eq!(routes.limits("x.test").sessions, 20);
    }
}
