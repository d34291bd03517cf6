//! An authority of the test's own, and certificates by it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// Signs certificates; whoever reads its file trusts them.
pub(crate) struct Authority {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) der: CertificateDer<'static>,
}

/// A certificate and what a host needs to show it.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) server: Arc<ServerConfig>,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Each its own name, so that one does not look for another's signature.
        static MADE: AtomicUsize = AtomicUsize::new(1);
        let name = format!("authority {}", MADE.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("authority.pem"), made.pem()).unwrap();
        Authority {
            dir,
            issuer: Issuer::new(params, key),
            der: made.der().clone(),
        }
    }

    /// Its certificate, as a file.
    pub(crate) fn file(&self) -> PathBuf {
        Path::join(self.dir.path(), "authority.pem")
    }

    /// A certificate for some names, shown together with the authority's own.
    pub(crate) fn signs(&self, names: &[&str]) -> Identity {
        let params = CertificateParams::new(
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>(),
        );
        self.sign(params.unwrap())
    }

    /// One that ended long ago.
    pub(crate) fn signs_expired(&self, names: &[&str]) -> Identity {
        let params = CertificateParams::new(
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>(),
        );
        let mut params = params.unwrap();
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let chain = vec![made.der().clone(), self.der.clone()];
        let provider = Arc::new(aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key.into())
            .unwrap();
        Identity {
            der: made.der().clone(),
            server: Arc::new(server),
        }
    }
}
