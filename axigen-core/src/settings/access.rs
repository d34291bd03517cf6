//! Who may connect, and how often: rules, limits, addresses of peers.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::values::Span;

/// Addresses of peers, as "192.0.2.7" (one), "2001:db8::/32" (a network) or
/// "192.0.2.10-192.0.2.20" (a range, both ends included). An IPv4 address that
/// is written as an IPv6 one (`::ffff:192.0.2.7`) is the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peers {
    first: IpAddr,
    last: IpAddr,
}

impl Peers {
    /// All addresses from one to another. `None` if they are not of the same
    /// family, or in the wrong order.
    pub fn range(first: IpAddr, last: IpAddr) -> Option<Peers> {
        let (canonical, until) = (first.to_canonical(), last.to_canonical());
        let peers = match canonical.is_ipv4() == until.is_ipv4() {
            true => Peers {
                first: canonical,
                last: until,
            },
            // Of one that begins or ends outside of those that are IPv4's.
            false => Peers { first, last },
        };
        let one_family = peers.first.is_ipv4() == peers.last.is_ipv4();
        (one_family && peers.first <= peers.last).then_some(peers)
    }

    /// Whether a peer is one of them.
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        peer.is_ipv4() == self.first.is_ipv4() && self.first <= peer && peer <= self.last
    }

    /// The first of them.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// The network they are, if they are one.
    fn network(&self) -> Option<IpNet> {
        match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let mut nets = Ipv4Subnets::new(first, last, 0);
                nets.next().filter(|_| nets.next().is_none()).map(IpNet::V4)
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                let mut nets = Ipv6Subnets::new(first, last, 0);
                nets.next().filter(|_| nets.next().is_none()).map(IpNet::V6)
            }
            _ => None,
        }
    }
}

impl From<IpNet> for Peers {
    fn from(net: IpNet) -> Peers {
        let (first, last) = (net.network(), net.broadcast());
        Peers::range(first, last).unwrap_or(Peers { first, last })
    }
}

impl From<IpAddr> for Peers {
    fn from(peer: IpAddr) -> Peers {
        let peer = peer.to_canonical();
        Peers {
            first: peer,
            last: peer,
        }
    }
}

impl FromStr for Peers {
    type Err = String;
    fn from_str(text: &str) -> Result<Peers, String> {
        let wrong = || format!("{text:?} is neither an address nor a network nor a range");
        if let Ok(peer) = text.parse::<IpAddr>() {
            return Ok(peer.into());
        }
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(net.into());
        }
        let (first, last) = text.split_once('-').ok_or_else(wrong)?;
        let end = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| wrong());
        Peers::range(end(first)?, end(last)?)
            .ok_or_else(|| format!("{text:?} is no range: it must go up, within IPv4 or IPv6"))
    }
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network() {
            _ if self.first == self.last => self.first.fmt(f),
            Some(net) => net.fmt(f),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl Serialize for Peers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Peers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Peers, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for Peers {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Peers".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// This machine.
pub(super) fn loopback() -> Vec<Peers> {
    ["127.0.0.0/8", "::1"]
        .iter()
        .filter_map(|peers| peers.parse().ok())
        .collect()
}

/// Limits on connections; each listener counts its own. What a listener leaves
/// open is the service's, then the server's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionLimits {
    /// Most connections at the same time; 0 lets nobody in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 10_000)]
    pub connections: Option<u32>,
    /// Most connections of one peer address at the same time; 0 lets nobody in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 1000)]
    pub peer_connections: Option<u32>,
    /// Most new connections in an interval; 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_connections: Option<u32>,
    /// Most new connections of one peer address in an interval; 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_interval_connections: Option<u32>,
    /// How long an interval is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "1m")]
    pub interval: Option<Span>,
}

impl ConnectionLimits {
    /// These, and what they leave open from `parent`.
    #[must_use]
    pub fn or(self, parent: &ConnectionLimits) -> ConnectionLimits {
        ConnectionLimits {
            connections: self.connections.or(parent.connections),
            peer_connections: self.peer_connections.or(parent.peer_connections),
            interval_connections: self.interval_connections.or(parent.interval_connections),
            peer_interval_connections: self
                .peer_interval_connections
                .or(parent.peer_interval_connections),
            interval: self.interval.or(parent.interval),
        }
    }
}

/// The server's limits on connections, where nothing nearer is set.
pub fn default_connection_limits() -> ConnectionLimits {
    ConnectionLimits {
        connections: Some(10_000),
        peer_connections: Some(1000),
        interval_connections: Some(0),
        peer_interval_connections: Some(0),
        interval: Some(Span(Duration::from_secs(60))),
    }
}

/// What a rule does with the peers it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Let them in.
    Allow,
    /// Keep them out.
    Deny,
}

/// A rule that accepts or denies connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessRule {
    /// allow or deny.
    pub action: Action,
    /// The peers: addresses, networks or ranges, as "192.0.2.7", "2001:db8::/32"
    /// or "192.0.2.10-192.0.2.20".
    pub peers: Vec<Peers>,
    /// 1 to 1000; the smallest that names the peer decides, of two that are equal
    /// the one that stands first.
    #[serde(default = "default_priority")]
    pub priority: u16,
    /// Limits of its own for the peers an allow rule lets in. Of what is set here
    /// only the connections that this rule let in count; the rest is the
    /// listener's.
    #[serde(default)]
    pub limits: ConnectionLimits,
}

fn default_priority() -> u16 {
    500
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_networks_and_ranges() {
        for (text, shown, inside, outside) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.7/32", "192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.77/24", "192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("0.0.0.0/0", "0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "::/0", "2001:db8::1", "192.0.2.1"),
            (
                "192.0.2.10-192.0.2.20",
                "192.0.2.10-192.0.2.20",
                "192.0.2.20",
                "192.0.2.21",
            ),
            (
                "192.0.2.0 - 192.0.2.127",
                "192.0.2.0/25",
                "192.0.2.0",
                "192.0.1.255",
            ),
            (
                "2001:db8::/32",
                "2001:db8::/32",
                "2001:db8:ffff::1",
                "2001:db9::",
            ),
            (
                "2001:db8::1-2001:db8::3",
                "2001:db8::1-2001:db8::3",
                "2001:db8::2",
                "2001:db8::4",
            ),
            (
                "::ffff:192.0.2.7",
                "192.0.2.7",
                "::ffff:192.0.2.7",
                "192.0.2.8",
            ),
            (
                "::ffff:192.0.2.0/120",
                "192.0.2.0/24",
                "192.0.2.9",
                "192.0.3.0",
            ),
            (
                "::ffff:192.0.2.1-192.0.2.2",
                "192.0.2.1-192.0.2.2",
                "192.0.2.2",
                "192.0.2.3",
            ),
        ] {
            let peers: Peers = text.parse().unwrap();
            assert_eq!(peers.to_string(), shown);
            assert_eq!(shown.parse::<Peers>().unwrap(), peers);
            assert!(peers.contains(ip(inside)), "{text} has {inside}");
            assert!(!peers.contains(ip(outside)), "{text} has not {outside}");
        }
        for text in [
            "",
            "-",
            "everybody",
            "192.0.2.7/33",
            "192.0.2.7-",
            "192.0.2.7-192.0.2.6",
            "192.0.2.7-2001:db8::1",
            "::1-192.0.2.7",
            "192.0.2.1-192.0.2.2-192.0.2.3",
            "192.0.2.0/24-192.0.3.0/24",
        ] {
            assert!(text.parse::<Peers>().is_err(), "{text}");
        }
    }
}
