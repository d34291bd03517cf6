//! Which certificates of other hosts are trusted: TLS configurations of our
//! client side.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion,
};

use super::tls::{Error, certificates, provider, spoken};
use crate::settings::TlsVersions;

/// A client that takes any certificate: it is about those who listen, not about
/// who is at the other end (RFC 7435: some protection most of the time).
///
/// # Errors
/// [`Error::Certificate`] if rustls refuses the configuration.
pub fn anybody() -> Result<Arc<ClientConfig>, Error> {
    let config = anybody_with(spoken(TlsVersions::default()))?;
    Ok(Arc::new(config))
}

/// The same, for these versions of TLS only.
///
/// # Errors
/// [`Error::Certificate`] if rustls refuses the configuration.
pub fn anybody_with(versions: &[&'static SupportedProtocolVersion]) -> Result<ClientConfig, Error> {
    let provider = provider();
    Ok(ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth())
}

/// A client that trusts the authorities in a PEM file, or, if the path is empty,
/// those of the system.
///
/// # Errors
/// [`Error::File`] naming the file, [`Error::Certificate`].
pub fn authorities(path: &Path) -> Result<Arc<ClientConfig>, Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(spoken(TlsVersions::default()))?
        .with_root_certificates(roots(path)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The authorities in a PEM file, or, if the path is empty, those of the system.
pub(crate) fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if path.as_os_str().is_empty() {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "authorities of the system could not be read");
        }
        roots.add_parsable_certificates(found.certs);
    } else {
        for authority in certificates(path)? {
            roots.add(authority).map_err(|error| Error::File {
                path: path.to_path_buf(),
                why: error.to_string(),
            })?;
        }
    }
    Ok(roots)
}

/// Takes every certificate; the handshake itself is checked as always.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
