//! TLS by rustls with aws-lc-rs: certificates from PEM files, a self-signed one
//! for the demo, handshakes on both sides.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axigen_proto::TlsInfo;
use bytes::Bytes;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::stream::Io;

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
    #[error("the certificate cannot be used: {0}")]
    Certificate(#[from] rustls::Error),
    /// A self-signed certificate could not be made.
    #[error("a self-signed certificate could not be made: {0}")]
    SelfSigned(#[from] rcgen::Error),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A server configuration from PEM files: the chain, the server's own
/// certificate first, and its private key. TLS 1.2 and 1.3.
///
/// # Errors
/// [`Error::File`] naming the file, or [`Error::Certificate`].
pub fn from_files(chain: &Path, key: &Path) -> Result<Arc<ServerConfig>, Error> {
    let wrong = |path: &Path, why: String| Error::File {
        path: path.to_path_buf(),
        why,
    };
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(chain, error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong(chain, "there is no certificate in it".into()));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error.to_string()))?;
    server(certificates, key)
}

/// A server configuration with a certificate made now, signed by itself. For
/// the demo and for tests: no client trusts it.
///
/// # Errors
/// [`Error::SelfSigned`].
pub fn self_signed(names: &[String]) -> Result<Arc<ServerConfig>, Error> {
    let made = rcgen::generate_simple_self_signed(names.to_vec())?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    server(vec![made.cert.der().clone()], key.into())
}

fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, Error> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

/// Runs the server's side of a handshake.
pub(super) async fn accept(
    io: Box<dyn Io>,
    config: Arc<ServerConfig>,
) -> io::Result<(Box<dyn Io>, TlsInfo)> {
    let stream = TlsAcceptor::from(config).accept(io).await?;
    let (_, session) = stream.get_ref();
    let info = info(session, session.server_name());
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
    let info = info(session, Some(&asked));
    Ok((Box::new(stream), info))
}

fn info<D>(session: &rustls::ConnectionCommon<D>, server_name: Option<&str>) -> TlsInfo {
    // RFC 9266 §4: a TLS 1.3 exporter with this label, 32 bytes, no context.
    let exporter = session.export_keying_material([0u8; 32], b"EXPORTER-Channel-Binding", None);
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
        exporter: exporter.ok().map(|bytes| Bytes::copy_from_slice(&bytes)),
    }
}
