//! Which accounts a client certificate stands for.

use std::fmt;

use async_trait::async_trait;

use crate::net::ClientCertificate;

/// Says which accounts a TLS client certificate may log in to with EXTERNAL
/// ([RFC 4422 appendix A](https://www.rfc-editor.org/rfc/rfc4422#appendix-A)).
/// The certificate was verified already, against the authorities that the
/// listener names. Given to an engine with
/// [`Builder::certificates`](crate::engine::Builder::certificates); without one it
/// is [`ByAddress`].
#[async_trait]
pub trait CertificateMapper: fmt::Debug + Send + Sync + 'static {
    /// Addresses of accounts; the first is meant when the client names none.
    ///
    /// # Errors
    /// Why it cannot be said now; the text is logged and the client told to try
    /// again.
    async fn accounts(&self, certificate: &ClientCertificate) -> Result<Vec<String>, String>;
}

/// A certificate stands for the mail addresses in its subjectAltName.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByAddress;

#[async_trait]
impl CertificateMapper for ByAddress {
    async fn accounts(&self, certificate: &ClientCertificate) -> Result<Vec<String>, String> {
        Ok(certificate.addresses())
    }
}
