//! Certificates of hosts: what is asked of them, and what was seen.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::Level;
use crate::net::tls::{self, provider, spoken};
use crate::settings::TlsVersions;

/// The authorities that are trusted.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    provider: Arc<CryptoProvider>,
    /// `None` trusts nobody: the system names no authority.
    authorities: Option<Arc<WebPkiServerVerifier>>,
}

/// What a certificate proved.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// It is for the host's name by an authority that is trusted, or what is
    /// wrong; `None` before a certificate was seen.
    pub(crate) authority: Option<Result<(), rustls::Error>>,
    /// DNS names it.
    pub(crate) dane: bool,
}

impl Trust {
    /// Trusts these.
    ///
    /// # Errors
    /// [`tls::Error::File`].
    pub(crate) fn new(authorities: &std::path::Path) -> Result<Trust, tls::Error> {
        let roots = crate::net::trust::roots(authorities)?;
        Ok(Trust::of(roots))
    }

    fn of(roots: RootCertStore) -> Trust {
        let provider = provider();
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        Trust {
            authorities: built.build().ok(),
            provider,
        }
    }

    /// TLS for one connection, and what will have been seen of it.
    pub(crate) fn client(
        &self,
        level: &Level,
    ) -> Result<(Arc<ClientConfig>, Arc<Mutex<Seen>>), rustls::Error> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let verifier = Verifier {
            trust: self.clone(),
            level: level.clone(),
            seen: Arc::clone(&seen),
        };
        let config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(spoken(TlsVersions::default()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok((Arc::new(config), seen))
    }
}

/// Decides about the certificate of one connection.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    level: Level,
    seen: Arc<Mutex<Seen>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        host: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authority = match &self.trust.authorities {
            Some(trusted) => trusted
                .verify_server_cert(host, chain, name, ocsp, now)
                .map(|_| ()),
            None => Err(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer,
            )),
        };
        self.seen.lock().authority = Some(authority.clone());
        match &self.level {
            Level::Plain | Level::Welcome | Level::Encrypted => {}
            Level::Authority => authority?,
            Level::Dane(dane) => {
                dane.verify(&self.trust.provider, host, chain, now)?;
                self.seen.lock().dane = true;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.trust.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.trust.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = &self.trust.provider;
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
