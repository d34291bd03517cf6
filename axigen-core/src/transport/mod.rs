//! Who may read mail on its way to other hosts, and who may claim to be one of
//! them: what settings and the domains themselves ask of a connection.
//!
//! | file | what it is |
//! |---|---|
//! | this | [`Level`], [`Basis`], [`Flaw`]: what is asked, who asks, what can be wrong |
//! | `verify` | certificates of hosts, against authorities or DANE |
//! | `dane` | TLSA records against certificates (RFC 6698, RFC 7672) |
//! | `sts` | policies of MTA-STS, kept in the store (RFC 8461) |
//! | `report` | reports to domains, and of others about us (RFC 8460) |
//! | `keys` | what the store sees |

pub(crate) mod dane;
mod keys;
pub(crate) mod report;
pub(crate) mod sts;
pub(crate) mod verify;

use std::fmt;
use std::sync::Arc;

use axigen_proto::mta_sts::Mode;
use rustls::CertificateError;

use dane::Dane;

/// What a connection must have before a message goes over it.
#[derive(Debug, Clone)]
pub(crate) enum Level {
    /// TLS is not even tried.
    Plain,
    /// TLS where it is offered, with any certificate.
    Welcome,
    /// TLS, with any certificate.
    Encrypted,
    /// TLS, with a certificate for the host's name by an authority that is
    /// trusted.
    Authority,
    /// TLS, with a certificate that DNS names.
    Dane(Arc<Dane>),
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Plain => "no TLS",
            Level::Welcome => "TLS where it is offered",
            Level::Encrypted => "TLS",
            Level::Authority => "TLS with a certificate for its name",
            Level::Dane(_) => "TLS with a certificate that DNS names",
        })
    }
}

/// Who asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// The settings of this server.
    Settings,
    /// TLSA records of the host (RFC 7672).
    Dane,
    /// The policy of the domain (RFC 8461).
    Sts(Mode),
    /// The sender of the message, who wants it so (RFC 8689 §2).
    Required,
    /// The sender of the message, who wants no policy (RFC 8689 §3).
    Optional,
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Basis::Settings => f.write_str("the setting tls"),
            Basis::Dane => f.write_str("DANE"),
            Basis::Sts(mode) => write!(f, "MTA-STS ({})", mode.as_str()),
            Basis::Required => f.write_str("REQUIRETLS"),
            Basis::Optional => f.write_str("TLS-Required: No"),
        }
    }
}

/// What is wrong with a host, by the names of
/// [RFC 8460 §4.3](https://www.rfc-editor.org/rfc/rfc8460#section-4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Flaw {
    StartTlsNotSupported,
    CertificateHostMismatch,
    CertificateExpired,
    CertificateNotTrusted,
    ValidationFailure,
    TlsaInvalid,
    DnssecInvalid,
    DaneRequired,
    StsPolicyFetchError,
    StsPolicyInvalid,
    StsWebpkiInvalid,
}

impl Flaw {
    /// The name in reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Flaw::StartTlsNotSupported => "starttls-not-supported",
            Flaw::CertificateHostMismatch => "certificate-host-mismatch",
            Flaw::CertificateExpired => "certificate-expired",
            Flaw::CertificateNotTrusted => "certificate-not-trusted",
            Flaw::ValidationFailure => "validation-failure",
            Flaw::TlsaInvalid => "tlsa-invalid",
            Flaw::DnssecInvalid => "dnssec-invalid",
            Flaw::DaneRequired => "dane-required",
            Flaw::StsPolicyFetchError => "sts-policy-fetch-error",
            Flaw::StsPolicyInvalid => "sts-policy-invalid",
            Flaw::StsWebpkiInvalid => "sts-webpki-invalid",
        }
    }

    /// What a failure of the handshake is.
    pub(crate) fn of(error: &rustls::Error) -> Flaw {
        match error {
            rustls::Error::InvalidCertificate(error) => match error {
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => Flaw::CertificateHostMismatch,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Flaw::CertificateExpired
                }
                _ => Flaw::CertificateNotTrusted,
            },
            _ => Flaw::ValidationFailure,
        }
    }
}
