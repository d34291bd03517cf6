//! What can be set for a listener: where it listens, TLS, proxies.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::access::{AccessRule, ConnectionLimits, Peers};
use super::tls::{CertificateSettings, TlsSettings, TlsVersion, TlsVersions};
use super::values::{Size, Span};

/// How a listener uses TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// No TLS at all.
    None,
    /// The client may start TLS (STARTTLS, STLS).
    #[default]
    Starttls,
    /// TLS from the first byte.
    Implicit,
}

/// Where a listener listens: `0.0.0.0:25`, `[::]:993` or `unix:/run/lmtp.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An address and a port of TCP. An IPv6 one takes IPv6 only.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// The address and port of TCP.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            ListenAddress::Tcp(address) => Some(*address),
            ListenAddress::Unix(_) => None,
        }
    }

    /// Whether only this machine can connect.
    pub fn is_local(&self) -> bool {
        match self {
            ListenAddress::Tcp(address) => address.ip().to_canonical().is_loopback(),
            ListenAddress::Unix(_) => true,
        }
    }

    /// Whether the system chooses the port.
    pub fn is_any_port(&self) -> bool {
        self.tcp().is_some_and(|address| address.port() == 0)
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> ListenAddress {
        ListenAddress::Tcp(address)
    }
}

impl From<PathBuf> for ListenAddress {
    fn from(path: PathBuf) -> ListenAddress {
        ListenAddress::Unix(path)
    }
}

const UNIX: &str = "unix:";

impl FromStr for ListenAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<ListenAddress, String> {
        if let Some(path) = text.strip_prefix(UNIX) {
            return match path {
                "" => Err(format!("{text:?} names no path")),
                path => Ok(ListenAddress::Unix(path.into())),
            };
        }
        let wrong = || {
            format!(
                "{text:?} is no address with a port like \"0.0.0.0:25\" or \"[::]:25\", and no path like \"unix:/run/lmtp.sock\""
            )
        };
        text.parse().map(ListenAddress::Tcp).map_err(|_| wrong())
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => address.fmt(f),
            ListenAddress::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl Serialize for ListenAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ListenAddress, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for ListenAddress {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ListenAddress".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// The permissions of a Unix socket, as in `"0660"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl FromStr for FileMode {
    type Err = String;
    fn from_str(text: &str) -> Result<FileMode, String> {
        let octal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        u32::from_str_radix(text, 8)
            .ok()
            .filter(|mode| octal && *mode <= 0o777)
            .map(FileMode)
            .ok_or_else(|| format!("{text:?} is no mode like \"0660\""))
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FileMode, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for FileMode {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FileMode".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// Proxies in front of a listener, which say whose connections they pass on by
/// the PROXY protocol, version 1 or 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProxySettings {
    /// The proxies. Each of their connections must begin with a PROXY header, and
    /// rules, limits and bans are for the peer it names. From all others it is as
    /// wrong as any garbage. Whoever comes through a Unix socket is "127.0.0.1".
    pub from: Vec<Peers>,
    /// Longest wait for the header.
    pub timeout: Span,
    /// Longest header of version 2, of which all but the addresses is skipped.
    pub header_size: Size,
}

impl Default for ProxySettings {
    fn default() -> ProxySettings {
        ProxySettings {
            from: Vec::new(),
            timeout: Span(Duration::from_secs(5)),
            header_size: Size(4096),
        }
    }
}

impl ProxySettings {
    /// Whether this peer is one of the proxies.
    pub fn is_from(&self, peer: IpAddr) -> bool {
        self.from.iter().any(|peers| peers.contains(peer))
    }

    fn is_unset(&self) -> bool {
        *self == ProxySettings::default()
    }
}

/// Where a service listens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerSettings {
    /// Address and port, as `0.0.0.0:25` or `[::]:993` (IPv6 only), or the path of
    /// a Unix socket, as "unix:/run/lmtp.sock".
    pub address: ListenAddress,
    /// Who may connect to a Unix socket: its permissions.
    #[serde(default = "default_mode")]
    pub socket_mode: FileMode,
    /// none, starttls or implicit.
    #[serde(default)]
    pub tls: TlsMode,
    /// The oldest version of TLS that is spoken here, instead of tls.minimum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_minimum: Option<TlsVersion>,
    /// The newest version of TLS that is spoken here, instead of tls.maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_maximum: Option<TlsVersion>,
    /// Whether a login may cross the wire without TLS. Allowed on loopback
    /// addresses and Unix sockets only.
    #[serde(default)]
    pub plaintext_login: bool,
    /// PEM file with the authorities whose client certificates are asked for: who
    /// has one may log in with it (EXTERNAL), the others as always. Empty means
    /// that nobody is asked.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub client_authorities: PathBuf,
    /// Longest wait for the next command here, where it is shorter than the
    /// service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = "5m")]
    pub idle_timeout: Option<Span>,
    /// Longest wait here for a peer that reads nothing, instead of the server's
    /// write_timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = "5m")]
    pub write_timeout: Option<Span>,
    /// Limits on connections.
    #[serde(default)]
    pub limits: ConnectionLimits,
    /// Proxies that say whose connections they pass on.
    #[serde(default, skip_serializing_if = "ProxySettings::is_unset")]
    pub proxy: ProxySettings,
    /// Certificates of this listener instead of those of `[tls]`. The first is for
    /// clients that name no server, or one that is not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateSettings>,
    /// Rules that accept or deny, looked at by priority: first the server's, then
    /// these, then the service's; the first that names the peer decides. Without
    /// one it is let in. Whoever comes through a Unix socket is "127.0.0.1".
    #[serde(default)]
    pub rules: Vec<AccessRule>,
}

fn default_mode() -> FileMode {
    FileMode(0o660)
}

fn is_empty(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

/// Who comes through a Unix socket, where an address is needed.
pub(crate) const UNIX_PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl ListenerSettings {
    /// A listener on an address, everything else as it is by default.
    pub fn new(address: SocketAddr, tls: TlsMode) -> ListenerSettings {
        ListenerSettings::at(address.into(), tls)
    }

    /// The same on a Unix socket.
    pub fn unix(path: impl Into<PathBuf>, tls: TlsMode) -> ListenerSettings {
        ListenerSettings::at(ListenAddress::Unix(path.into()), tls)
    }

    /// The versions of TLS that are spoken here, where `server` has those for all.
    pub fn tls_versions(&self, server: &TlsSettings) -> TlsVersions {
        TlsVersions {
            minimum: self.tls_minimum.unwrap_or(server.minimum),
            maximum: self.tls_maximum.unwrap_or(server.maximum),
        }
    }

    fn at(address: ListenAddress, tls: TlsMode) -> ListenerSettings {
        ListenerSettings {
            address,
            socket_mode: default_mode(),
            tls,
            tls_minimum: None,
            tls_maximum: None,
            plaintext_login: false,
            client_authorities: PathBuf::new(),
            idle_timeout: None,
            write_timeout: None,
            limits: ConnectionLimits::default(),
            proxy: ProxySettings::default(),
            certificates: Vec::new(),
            rules: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_written_as_they_are_read() {
        for (text, local) in [
            ("0.0.0.0:25", false),
            ("127.0.0.5:25", true),
            ("[::1]:25", true),
            ("[::]:993", false),
            ("unix:/run/lmtp.sock", true),
            ("unix:relative", true),
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.is_local(), local, "{text}");
        }
        for text in ["", "here", "25", "unix:", "127.0.0.1", "/run/x.sock"] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn modes_are_octal() {
        for (text, mode) in [("0660", 0o660), ("600", 0o600), ("0777", 0o777), ("0", 0)] {
            assert_eq!(text.parse(), Ok(FileMode(mode)));
        }
        for text in ["", "0888", "1777", "+660", "rw", "-1"] {
            assert!(text.parse::<FileMode>().is_err(), "{text}");
        }
        assert_eq!(FileMode(0o660).to_string(), "0660");
    }
}
