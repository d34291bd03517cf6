//! What can be set for DNS: who is asked, and what is believed.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::values::Span;
use crate::dns::system::Options;

/// DNS: where mail for other hosts goes, and what they ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DnsSettings {
    /// The servers that are asked, as "192.0.2.1", "192.0.2.1:5353" or
    /// `[2001:db8::1]:53`; without any, those of the system.
    #[schemars(with = "Vec<String>")]
    #[serde(deserialize_with = "servers")]
    pub servers: Vec<SocketAddr>,
    /// Whether signatures (DNSSEC) are checked, by this server itself. Without it
    /// DANE has no effect.
    pub validate: bool,
    /// File with the keys of DNSSEC that are trusted, as DNSKEY records; empty means
    /// those of the root.
    pub trust_anchors: PathBuf,
    /// Longest wait for a server.
    pub timeout: Span,
    /// How often a server that does not answer is asked.
    pub attempts: usize,
    /// Most answers that are kept in memory.
    pub cache: u64,
}

impl Default for DnsSettings {
    fn default() -> DnsSettings {
        let options = Options::default();
        DnsSettings {
            servers: options.servers,
            validate: options.validate,
            trust_anchors: PathBuf::new(),
            timeout: Span(options.timeout),
            attempts: options.attempts,
            cache: options.cache,
        }
    }
}

impl DnsSettings {
    /// How a resolver works with these settings.
    pub fn options(&self) -> Options {
        Options {
            servers: self.servers.clone(),
            validate: self.validate,
            trust_anchors: self.trust_anchors.clone(),
            timeout: self.timeout.0,
            attempts: self.attempts,
            cache: self.cache,
        }
    }
}

fn servers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SocketAddr>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let read = |text: &String| -> Result<SocketAddr, D::Error> {
        let with_port = text.parse::<SocketAddr>();
        with_port
            .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)))
            .map_err(|_| de::Error::custom(format!("{text:?} is no address of a DNS server")))
    };
    texts.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn servers_with_and_without_port() {
        let text = "servers = [\"192.0.2.1\", \"[2001:db8::1]:5353\", \"2001:db8::2\"]";
        let settings: DnsSettings = toml::from_str(text).unwrap();
        let shown: Vec<String> = settings.servers.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["192.0.2.1:53", "[2001:db8::1]:5353", "[2001:db8::2]:53"]
        );
        assert!(toml::from_str::<DnsSettings>("servers = [\"ns.test\"]").is_err());
    }
}
