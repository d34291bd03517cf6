//! A TLS client that takes any certificate: the demo makes its own.

use axigen_core::net::trust::anybody_with;
use rustls::{ClientConfig, SupportedProtocolVersion};

/// A client configuration that takes any certificate.
pub fn any_certificate() -> ClientConfig {
    any_certificate_with(rustls::DEFAULT_VERSIONS)
}

/// The same, with these versions of TLS only.
pub fn any_certificate_with(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    anybody_with(versions).expect("versions of TLS that rustls knows")
}
