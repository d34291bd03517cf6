//! Certificates and versions of TLS.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::Span;

/// The certificate and its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// PEM file with the certificate chain, the server's own first. Empty means
    /// no TLS.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
    /// The oldest version of TLS that is spoken.
    pub minimum: TlsVersion,
    /// The newest version of TLS that is spoken.
    pub maximum: TlsVersion,
    /// Longest wait for a TLS handshake of a client.
    pub handshake_timeout: Span,
    /// More certificates, for clients that name the server they want (SNI). Who
    /// names none, or one that is not there, is shown the one above.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateSettings>,
}

impl Default for TlsSettings {
    fn default() -> TlsSettings {
        TlsSettings {
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            minimum: TlsVersion::V1_2,
            maximum: TlsVersion::V1_3,
            handshake_timeout: Span(Duration::from_secs(30)),
            certificates: Vec::new(),
        }
    }
}

impl TlsSettings {
    /// The versions that are spoken.
    pub fn versions(&self) -> TlsVersions {
        TlsVersions {
            minimum: self.minimum,
            maximum: self.maximum,
        }
    }
}

/// The oldest and the newest version of TLS that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsVersions {
    /// The oldest.
    pub minimum: TlsVersion,
    /// The newest; not older than the oldest.
    pub maximum: TlsVersion,
}

impl Default for TlsVersions {
    fn default() -> TlsVersions {
        TlsSettings::default().versions()
    }
}

/// A certificate, its key, and the names it is shown for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateSettings {
    /// PEM file with the certificate chain, the server's own first.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
    /// The names it is shown for, as "mail.example.org" or "*.example.org". Empty
    /// means those that stand in the certificate.
    #[serde(default)]
    pub names: Vec<String>,
}

/// The files of certificates, to change them.
pub(super) fn paths_mut(list: &mut [CertificateSettings]) -> impl Iterator<Item = &mut PathBuf> {
    list.iter_mut()
        .flat_map(|one| [&mut one.certificate, &mut one.key])
}

/// A version of TLS.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum TlsVersion {
    /// TLS 1.2 ([RFC 5246](https://www.rfc-editor.org/rfc/rfc5246)), which
    /// programs of before 2018 need.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3 ([RFC 8446](https://www.rfc-editor.org/rfc/rfc8446)).
    #[serde(rename = "1.3")]
    V1_3,
}
