//! One request by HTTPS, behind a small trait: policies of MTA-STS are fetched
//! and reports are sent with it.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::tls;
use crate::dns::Resolver;

/// Addresses of a host that are tried.
const ADDRESSES: usize = 4;
/// Most fields of an answer's header, and most bytes of it.
const HEADER_FIELDS: usize = 100;
const HEADER_BYTES: usize = 32 * 1024;

/// Does requests by HTTPS. Certificates are verified, and redirections are not
/// followed: they are answers like others.
#[async_trait]
pub trait Https: Debug + Send + Sync + 'static {
    /// Does one request and reads its answer.
    async fn request(&self, request: Request) -> Result<Answer, Error>;
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The host, by its name.
    pub host: String,
    /// The port; `None` is the usual one.
    pub port: Option<u16>,
    /// Path and query, from its slash on.
    pub path: String,
    /// What is sent (POST), and its type; without it this is a GET.
    pub body: Option<(&'static str, Bytes)>,
    /// The answer may have so many bytes.
    pub most: usize,
    /// Longest wait for all of it.
    pub timeout: Duration,
}

/// What a host answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200 is what one wants.
    pub status: u16,
    /// The type of the body, without parameters, in lower case.
    pub media_type: String,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No host can be reached.
    #[error("{0} cannot be reached: {1}")]
    Unreached(String, String),
    /// Its certificate is not for it, or TLS failed.
    #[error("TLS with {0} failed: {1}")]
    Tls(String, String),
    /// What it says is no HTTP.
    #[error("{0} does not speak HTTP: {1}")]
    Http(String, String),
    /// The answer is longer than was asked for.
    #[error("the answer of {0} is longer than {1} bytes")]
    TooLong(String, usize),
    /// It took too long.
    #[error("{0} did not answer in {1} s")]
    TimedOut(String, u64),
}

/// The client that is used if no other is given.
#[derive(Debug)]
pub struct Client {
    resolver: Arc<dyn Resolver>,
    tls: Arc<ClientConfig>,
    port: u16,
    /// Whether addresses that are not public are asked as well.
    inward: bool,
}

impl Client {
    /// A client that finds hosts by this resolver and trusts the authorities in
    /// a PEM file, or those of the system if the path is empty.
    ///
    /// # Errors
    /// [`tls::Error`].
    pub fn new(resolver: Arc<dyn Resolver>, authorities: &Path) -> Result<Client, tls::Error> {
        Ok(Client {
            resolver,
            tls: super::trust::authorities(authorities)?,
            port: 443,
            inward: false,
        })
    }

    /// The same, also for hosts in private networks and on this machine. Without
    /// it they are not asked: who may name a host (a domain that mail is sent to
    /// may) must not have us look around behind the firewall.
    #[must_use]
    pub fn inward(mut self, inward: bool) -> Client {
        self.inward = inward;
        self
    }

    /// The same with another usual port; for tests.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Client {
        self.port = port;
        self
    }

    async fn run(&self, request: Request) -> Result<Answer, Error> {
        let host = request.host.clone();
        let http = |error: &dyn std::error::Error| Error::Http(host.clone(), said(error));
        let stream = self.dial(&request).await?;
        let name = ServerName::try_from(host.clone())
            .map_err(|error| Error::Tls(host.clone(), error.to_string()))?;
        let stream = TlsConnector::from(self.tls.clone())
            .connect(name, stream)
            .await
            .map_err(|error| Error::Tls(host.clone(), error.to_string()))?;
        let (mut sender, connection) = http1::Builder::new()
            .max_headers(HEADER_FIELDS)
            .max_buf_size(HEADER_BYTES)
            .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| http(&error))?;
        let mut made = hyper::Request::builder()
            .uri(&request.path)
            .header(HOST, &host)
            .header(USER_AGENT, "axigen");
        let body = match request.body {
            Some((media_type, body)) => {
                made = made
                    .method(hyper::Method::POST)
                    .header(CONTENT_TYPE, media_type)
                    .header(CONTENT_LENGTH, body.len());
                body
            }
            None => Bytes::new(),
        };
        let made = made.body(Full::new(body)).map_err(|error| http(&error))?;
        let exchange = async {
            let answer = sender.send_request(made).await;
            let answer = answer.map_err(|error| http(&error))?;
            let status = answer.status().as_u16();
            let media_type = answer.headers().get(CONTENT_TYPE);
            let media_type = media_type.and_then(|value| value.to_str().ok());
            let media_type = media_type.unwrap_or_default();
            let media_type = media_type.split(';').next().unwrap_or_default();
            let media_type = media_type.trim().to_ascii_lowercase();
            let mut incoming = answer.into_body();
            let mut body = BytesMut::new();
            while let Some(frame) = incoming.frame().await {
                let frame = frame.map_err(|error| http(&error))?;
                let data = frame.into_data().unwrap_or_default();
                if body.len() + data.len() > request.most {
                    return Err(Error::TooLong(host.clone(), request.most));
                }
                body.extend_from_slice(&data);
            }
            Ok(Answer {
                status,
                media_type,
                body: body.freeze(),
            })
        };
        tokio::pin!(exchange);
        // The connection is driven beside the exchange, and ends with it.
        tokio::select! {
            answer = &mut exchange => answer,
            ended = connection => match ended {
                Ok(()) => exchange.await,
                Err(error) => Err(http(&error)),
            },
        }
    }

    async fn dial(&self, request: &Request) -> Result<TcpStream, Error> {
        let host = &request.host;
        let unreached = |why: String| Error::Unreached(host.clone(), why);
        let found = self.resolver.addresses(host).await;
        let found = found.map_err(|error| unreached(error.to_string()))?;
        let mut addresses = found.records;
        // Both families, IPv6 first.
        addresses.sort_by_key(IpAddr::is_ipv4);
        let mut last = "it has no address".to_owned();
        if !self.inward && !addresses.is_empty() {
            addresses.retain(is_public);
            last = "it has no public address".to_owned();
        }
        let port = request.port.unwrap_or(self.port);
        for address in addresses.into_iter().take(ADDRESSES) {
            // One that is silent leaves time for the next.
            let wait = request.timeout / 3;
            let dialed = TcpStream::connect(SocketAddr::new(address, port));
            match tokio::time::timeout(wait, dialed).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = format!("no connection in {} s", wait.as_secs()),
            }
        }
        Err(unreached(last))
    }
}

#[async_trait]
impl Https for Client {
    async fn request(&self, request: Request) -> Result<Answer, Error> {
        let (host, timeout) = (request.host.clone(), request.timeout);
        let late = |_| Error::TimedOut(host, timeout.as_secs());
        tokio::time::timeout(timeout, self.run(request))
            .await
            .map_err(late)?
    }
}

/// Whether an address belongs to the internet at large, and not to a private
/// network, to this machine or to nobody (RFC 6890); what stands for an address
/// of IPv4 is looked at as that.
fn is_public(address: &IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(a == 0
                || a >= 240
                || v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_documentation()
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || (a, b, c) == (192, 0, 0))
        }
        IpAddr::V6(v6) => {
            let segments = v6.segments();
            let within = match segments {
                // NAT64 (RFC 6052) and 6to4 (RFC 3056) name an address of IPv4.
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
                    let bits = (u32::from(high) << 16) | u32::from(low);
                    is_public(&IpAddr::V4(bits.into()))
                }
                _ => true,
            };
            // 2000::/3 is all that was ever given out.
            let given_out = segments[0] & 0xe000 == 0x2000 || segments[0] == 0x64;
            within && given_out && !matches!(segments, [0x2001, 0xdb8, ..])
        }
    }
}

/// An error with those behind it.
fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_public() {
        for public in [
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "2a00::1",
            "64:ff9b::808:808",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(&public.parse().unwrap()), "{public}");
        }
        for inside in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "172.16.0.1",
            "192.168.1.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001:db8::1",
        ] {
            assert!(!is_public(&inside.parse().unwrap()), "{inside}");
        }
    }
}
