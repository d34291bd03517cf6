//! Client certificates: an authority that signs them, and clients that show them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::ClientConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::any_certificate::any_certificate;

/// Signs client certificates.
#[derive(Debug)]
pub struct ClientIssuer {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: tempfile::TempDir,
}

impl ClientIssuer {
    /// One of the test's own, with its certificate in a file.
    pub fn new() -> ClientIssuer {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("clients.pem"), issuer.pem()).unwrap();
        ClientIssuer { issuer, dir }
    }

    /// The file with its certificate.
    pub fn authorities(&self) -> PathBuf {
        self.dir.path().join("clients.pem")
    }

    /// A directory that goes with it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A certificate for these addresses, and its key.
    pub fn certificate(&self, addresses: &[&str]) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = addresses
            .iter()
            .map(|address| SanType::Rfc822Name((*address).try_into().unwrap()))
            .collect();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate, key)
    }

    /// A client configuration that shows a certificate for these addresses.
    pub fn client(&self, addresses: &[&str]) -> ClientConfig {
        let (certificate, key) = self.certificate(addresses);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = vec![certificate.der().clone()];
        let mut config = any_certificate();
        let resolver = rustls::sign::CertifiedKey::new(
            chain,
            config
                .crypto_provider()
                .key_provider
                .load_private_key(key)
                .unwrap(),
        );
        config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(resolver));
        config
    }
}

impl Default for ClientIssuer {
    fn default() -> ClientIssuer {
        ClientIssuer::new()
    }
}
