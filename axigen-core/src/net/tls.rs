//! TLS by rustls with aws-lc-rs: certificates from PEM files, a self-signed one
//! for the demo, handshakes on both sides.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axigen_proto::TlsInfo;
use bytes::Bytes;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{Acceptor, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

use super::by_name::ByName;
use super::certificate;
use super::stream::Io;
use crate::settings::{CertificateSettings, TlsSettings, TlsVersion, TlsVersions};

/// What can be wrong with a certificate or its key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read, or is not PEM.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate and the key do not go together, or rustls refuses them.
    #[error("the certificate and its key cannot be used: {0}")]
    Certificate(#[from] rustls::Error),
    /// A self-signed certificate could not be made.
    #[error("a self-signed certificate could not be made: {0}")]
    SelfSigned(#[from] rcgen::Error),
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A server configuration from PEM files: the chain, the server's own
/// certificate first, and its private key. Other versions of TLS than `versions`
/// are refused.
///
/// # Errors
/// [`Error::File`] naming the file, or [`Error::Certificate`].
pub fn from_files(
    chain: &Path,
    key: &Path,
    versions: TlsVersions,
) -> Result<Arc<ServerConfig>, Error> {
    by_name((chain, key), &[], versions)
}

/// A server configuration with a certificate and its key for everybody who
/// names no other server, and more for those who do.
///
/// # Errors
/// [`Error::File`] naming the file, or [`Error::Certificate`].
pub fn by_name(
    (chain, key): (&Path, &Path),
    more: &[CertificateSettings],
    versions: TlsVersions,
) -> Result<Arc<ServerConfig>, Error> {
    configured(Arc::new(named((chain, key), more)?), versions, None)
}

fn named((chain, key): (&Path, &Path), more: &[CertificateSettings]) -> Result<ByName, Error> {
    let mut all = ByName::new(read(chain, key)?);
    for one in more {
        all.add(read(&one.certificate, &one.key)?, &one.names);
    }
    Ok(all)
}

/// The certificate a client that asks for a name is shown by a listener with these
/// certificates of its own, or else with the server's; `None` without any.
///
/// # Errors
/// As [`by_name`].
pub(crate) fn shown(
    own: &[CertificateSettings],
    settings: &TlsSettings,
    name: &str,
) -> Result<Option<CertificateDer<'static>>, Error> {
    let all = match listed(own)? {
        Some(all) => all,
        None if settings.certificate.as_os_str().is_empty() => return Ok(None),
        None => {
            let first = (&*settings.certificate, &*settings.key);
            named(first, &settings.certificates)?
        }
    };
    Ok(all.shown(name).cert.first().cloned())
}

/// The same from a list of certificates whose first is for everybody who names
/// no other server. `None` for an empty one.
///
/// # Errors
/// As [`by_name`].
pub(crate) fn of_list(
    list: &[CertificateSettings],
    versions: TlsVersions,
) -> Result<Option<Arc<ServerConfig>>, Error> {
    match listed(list)? {
        Some(all) => configured(Arc::new(all), versions, None).map(Some),
        None => Ok(None),
    }
}

fn listed(list: &[CertificateSettings]) -> Result<Option<ByName>, Error> {
    let Some((first, more)) = list.split_first() else {
        return Ok(None);
    };
    let key = read(&first.certificate, &first.key)?;
    let mut all = ByName::new(key.clone());
    all.add(key, &first.names);
    for one in more {
        all.add(read(&one.certificate, &one.key)?, &one.names);
    }
    Ok(Some(all))
}

/// Whether a certificate and its key can be used.
///
/// # Errors
/// [`Error::File`] naming the file, or [`Error::Certificate`].
pub(crate) fn check(one: &CertificateSettings) -> Result<(), Error> {
    read(&one.certificate, &one.key).map(drop)
}

fn read(chain: &Path, key: &Path) -> Result<Arc<CertifiedKey>, Error> {
    let certificates = certificates(chain)?;
    let key =
        PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error, "private key"))?;
    Ok(Arc::new(CertifiedKey::from_der(
        certificates,
        key,
        &provider(),
    )?))
}

/// A server configuration with a certificate made now, signed by itself. For
/// the demo and for tests: no client trusts it.
///
/// # Errors
/// [`Error::SelfSigned`].
pub fn self_signed(names: &[String]) -> Result<Arc<ServerConfig>, Error> {
    let made = rcgen::generate_simple_self_signed(names.to_vec())?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let chain = vec![made.cert.der().clone()];
    let key = CertifiedKey::from_der(chain, key.into(), &provider())?;
    configured(
        Arc::new(ByName::new(Arc::new(key))),
        TlsVersions::default(),
        None,
    )
}

/// The same server with other versions of TLS; with authorities in a PEM
/// file, it also asks clients for a certificate that one of them has signed, and
/// takes those who have none too.
///
/// # Errors
/// [`Error::File`] naming the file, or [`Error::Certificate`].
pub fn of_listener(
    server: &ServerConfig,
    versions: TlsVersions,
    authorities: Option<&Path>,
) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::clone(&*configured(
        server.cert_resolver.clone(),
        versions,
        authorities,
    )?);
    config.alpn_protocols.clone_from(&server.alpn_protocols);
    Ok(Arc::new(config))
}

fn configured(
    certificates: Arc<dyn ResolvesServerCert>,
    versions: TlsVersions,
    authorities: Option<&Path>,
) -> Result<Arc<ServerConfig>, Error> {
    let builder =
        ServerConfig::builder_with_provider(provider()).with_protocol_versions(spoken(versions))?;
    let builder = match authorities {
        Some(authorities) => builder.with_client_cert_verifier(verifier(authorities)?),
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(builder.with_cert_resolver(certificates)))
}

/// Verifies client certificates against the authorities in a PEM file.
pub(crate) fn verifier(authorities: &Path) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let wrong = |why: String| Error::File {
        path: authorities.to_path_buf(),
        why,
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(authorities)? {
        let added = roots.add(authority);
        added.map_err(|error| wrong(error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| wrong(error.to_string()))
}

/// The certificates in a PEM file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|found| match found.is_empty() {
            true => Err(pem::Error::NoItemsFound),
            false => Ok(found),
        })
        .map_err(|error| wrong(path, error, "certificate"))
}

fn wrong(path: &Path, error: pem::Error, what: &str) -> Error {
    Error::File {
        path: path.to_path_buf(),
        why: match error {
            pem::Error::Io(error) => error.to_string(),
            pem::Error::NoItemsFound => format!("there is no {what} in it"),
            other => format!("it is not a PEM file: {other}"),
        },
    }
}

/// The versions as rustls has them. A newest that is older than the oldest, which
/// settings do not allow, is as new as that.
pub(crate) fn spoken(versions: TlsVersions) -> &'static [&'static SupportedProtocolVersion] {
    const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    match (versions.minimum, versions.maximum) {
        (TlsVersion::V1_2, TlsVersion::V1_3) => BOTH,
        (TlsVersion::V1_2, TlsVersion::V1_2) => &BOTH[1..],
        (TlsVersion::V1_3, _) => &BOTH[..1],
    }
}

/// Runs the server's side of a handshake.
pub(super) async fn accept(
    io: Box<dyn Io>,
    config: Arc<ServerConfig>,
) -> io::Result<(Box<dyn Io>, TlsInfo)> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
    // The connection does not tell which certificate it showed; this is how it chooses.
    let key = config.cert_resolver.resolve(start.client_hello());
    let shown = key.and_then(|key| key.cert.first().cloned());
    let stream = start.into_stream(config).await?;
    let (_, session) = stream.get_ref();
    let mut info = info(session, session.server_name());
    info.server_end_point = shown.and_then(|shown| certificate::end_point(&shown));
    let client = session.peer_certificates().and_then(|chain| chain.first());
    info.client_certificate = client.map(|client| Bytes::copy_from_slice(client));
    Ok((Box::new(stream), info))
}

/// Runs the client's side of a handshake.
pub(super) async fn connect(
    io: Box<dyn Io>,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> io::Result<(Box<dyn Io>, TlsInfo)> {
    let asked = name.to_str().into_owned();
    let stream = TlsConnector::from(config).connect(name, io).await?;
    let (_, session) = stream.get_ref();
    let mut info = info(session, Some(&asked));
    let server = session.peer_certificates().and_then(|chain| chain.first());
    info.server_end_point = server.and_then(|server| certificate::end_point(server));
    Ok((Box::new(stream), info))
}

fn info<D>(session: &rustls::ConnectionCommon<D>, server_name: Option<&str>) -> TlsInfo {
    // RFC 9266 §2: an exporter with this label, 32 bytes, and an empty context. §4.2: with TLS 1.2
    // only where the extended master secret was agreed on, of which rustls does not tell.
    let exporter = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => session
            .export_keying_material([0u8; 32], b"EXPORTER-Channel-Binding", Some(b""))
            .ok(),
        _ => None,
    };
    TlsInfo {
        version: match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2".into(),
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3".into(),
            other => format!("{other:?}"),
        },
        cipher: session
            .negotiated_cipher_suite()
            .map(|suite| format!("{:?}", suite.suite()).replace("TLS13_", "TLS_"))
            .unwrap_or_default(),
        server_name: server_name.map(str::to_owned),
        exporter: exporter.map(|bytes| Bytes::copy_from_slice(&bytes)),
        server_end_point: None,
        client_certificate: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["mx.example.org".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["mx.example.org".to_owned()]).unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let chain = file("chain.pem", &made.cert.pem());
        let key = file("key.pem", &made.signing_key.serialize_pem());
        let wrong_key = file("other.pem", &other.signing_key.serialize_pem());
        let empty = file("empty.pem", "nothing\n");
        let broken = file(
            "broken.pem",
            "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
        );
        let missing = dir.path().join("missing.pem");
        let try_ = |chain: &Path, key: &Path| match from_files(chain, key, TlsVersions::default()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        assert_eq!(try_(&chain, &key), "");
        for (chain, key, says) in [
            (&missing, &key, "missing.pem: No such file"),
            (&chain, &missing, "missing.pem: No such file"),
            (&empty, &key, "empty.pem: there is no certificate in it"),
            (&chain, &empty, "empty.pem: there is no private key in it"),
            (&broken, &key, "broken.pem: it is not a PEM file"),
            (&chain, &chain, "chain.pem: there is no private key in it"),
            (&chain, &wrong_key, "cannot be used"),
        ] {
            let said = try_(chain, key);
            assert!(said.contains(says), "{said:?} does not say {says:?}");
        }
    }
}
