//! The real resolver: a stub that asks the servers of the system, or those it is
//! given, keeps answers as long as they hold, and may validate DNSSEC itself.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::{Answer, Error, Mx, Resolver, Result, Tlsa, to_ascii};

/// How the resolver works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The servers that are asked; without any, those the system names.
    pub servers: Vec<SocketAddr>,
    /// Whether signatures are checked (DNSSEC). Without it nothing is secure,
    /// and DANE has no effect.
    pub validate: bool,
    /// Longest wait for a server.
    pub timeout: Duration,
    /// How often a server that does not answer is asked.
    pub attempts: usize,
    /// Most answers that are kept.
    pub cache: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            servers: Vec::new(),
            validate: true,
            timeout: Duration::from_secs(5),
            attempts: 2,
            cache: 10_000,
        }
    }
}

/// Asks real servers.
#[derive(Clone)]
pub struct SystemResolver {
    inner: TokioResolver,
    validate: bool,
}

impl std::fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemResolver")
            .field("validate", &self.validate)
            .finish_non_exhaustive()
    }
}

impl SystemResolver {
    /// A resolver. Called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Unanswered`] if the system's configuration cannot be read.
    pub fn new(options: &Options) -> Result<SystemResolver> {
        let wrong = |error: NetError| Error::Unanswered("anything".into(), error.to_string());
        let provider = TokioRuntimeProvider::default();
        let mut builder = match options.servers.as_slice() {
            [] => TokioResolver::builder(provider).map_err(wrong)?,
            servers => {
                let servers = servers.iter().map(name_server).collect();
                let config = ResolverConfig::from_parts(None, Vec::new(), servers);
                TokioResolver::builder_with_config(config, provider)
            }
        };
        let opts: &mut ResolverOpts = builder.options_mut();
        opts.validate = options.validate;
        opts.timeout = options.timeout;
        opts.attempts = options.attempts;
        opts.cache_size = options.cache;
        // What another host would not see must not decide where mail goes.
        opts.use_hosts_file = ResolveHosts::Never;
        opts.edns0 = true;
        opts.try_tcp_on_error = true;
        Ok(SystemResolver {
            inner: builder.build().map_err(wrong)?,
            validate: options.validate,
        })
    }

    async fn ask<T>(
        &self,
        name: &str,
        kind: RecordType,
        of: impl Fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>> {
        let ascii = to_ascii(name)?;
        // A dot at its end keeps the system's search list out of it.
        let asked =
            Name::from_ascii(format!("{ascii}.")).map_err(|_| Error::BadName(name.to_owned()))?;
        match self.inner.lookup(asked, kind).await {
            Ok(lookup) => self.answer(&ascii, kind, &lookup, of),
            Err(error) => self.failed(&ascii, error),
        }
    }

    fn answer<T>(
        &self,
        name: &str,
        kind: RecordType,
        lookup: &Lookup,
        of: impl Fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>> {
        let mut answer = Answer::none(name, true, self.validate);
        for record in lookup.answers() {
            if self.validate {
                if record.proof.is_bogus() {
                    return Err(Error::Bogus(name.to_owned()));
                }
                // Signatures themselves are not signed.
                answer.secure &=
                    record.proof.is_secure() || record.record_type() == RecordType::RRSIG;
            }
            if record.record_type() == kind
                && let Some(found) = of(&record.data)
            {
                answer.name = plain(&record.name);
                answer.records.push(found);
            }
        }
        let left = lookup
            .valid_until()
            .saturating_duration_since(Instant::now());
        answer.ttl = left;
        Ok(answer)
    }

    fn failed<T>(&self, name: &str, error: NetError) -> Result<Answer<T>> {
        let unanswered = |why: String| Err(Error::Unanswered(name.to_owned(), why));
        match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => {
                let exists = match none.response_code {
                    ResponseCode::NoError => true,
                    ResponseCode::NXDomain => false,
                    other => return unanswered(other.to_string()),
                };
                let mut answer = Answer::none(name, exists, false);
                answer.ttl = Duration::from_secs(none.negative_ttl.unwrap_or_default().into());
                Ok(answer)
            }
            NetError::Dns(DnsError::Nsec {
                response, proof, ..
            }) => {
                if proof.is_bogus() {
                    return Err(Error::Bogus(name.to_owned()));
                }
                let exists = response.response_code != ResponseCode::NXDomain;
                Ok(Answer::none(name, exists, proof.is_secure()))
            }
            NetError::Dns(DnsError::DnssecBogus) => Err(Error::Bogus(name.to_owned())),
            other => unanswered(other.to_string()),
        }
    }
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn mx(&self, name: &str) -> Result<Answer<Mx>> {
        self.ask(name, RecordType::MX, mx_of).await
    }

    async fn addresses(&self, name: &str) -> Result<Answer<IpAddr>> {
        let (four, six) = tokio::join!(
            self.ask(name, RecordType::A, RData::ip_addr),
            self.ask(name, RecordType::AAAA, RData::ip_addr),
        );
        // One family is enough, if the other is not known to be forged.
        let (mut four, six) = match (four, six) {
            (Err(error @ Error::Bogus(_)), _) | (_, Err(error @ Error::Bogus(_))) => {
                return Err(error);
            }
            (Ok(four), Ok(six)) => (four, six),
            (Ok(one), Err(_)) | (Err(_), Ok(one)) if !one.records.is_empty() => return Ok(one),
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        if four.records.is_empty() {
            four.name.clone_from(&six.name);
            four.ttl = six.ttl;
        } else if !six.records.is_empty() {
            four.ttl = four.ttl.min(six.ttl);
        }
        four.records.extend(six.records);
        four.exists |= six.exists;
        four.secure &= six.secure;
        Ok(four)
    }

    async fn texts(&self, name: &str) -> Result<Answer<Vec<u8>>> {
        self.ask(name, RecordType::TXT, text_of).await
    }

    async fn tlsa(&self, name: &str) -> Result<Answer<Tlsa>> {
        self.ask(name, RecordType::TLSA, tlsa_of).await
    }

    async fn names(&self, address: IpAddr) -> Result<Answer<String>> {
        let name = plain(&Name::from(address));
        self.ask(&name, RecordType::PTR, pointer_of).await
    }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

/// A name as we write it: lower case, no dot at its end.
pub(super) fn plain(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

pub(super) fn mx_of(data: &RData) -> Option<Mx> {
    match data {
        RData::MX(mx) => Some(Mx {
            preference: mx.preference,
            host: plain(&mx.exchange),
        }),
        _ => None,
    }
}

pub(super) fn text_of(data: &RData) -> Option<Vec<u8>> {
    match data {
        RData::TXT(text) => Some(text.txt_data.concat()),
        _ => None,
    }
}

pub(super) fn tlsa_of(data: &RData) -> Option<Tlsa> {
    match data {
        RData::TLSA(tlsa) => Some(Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        }),
        _ => None,
    }
}

pub(super) fn pointer_of(data: &RData) -> Option<String> {
    match data {
        RData::PTR(name) => Some(plain(name)),
        _ => None,
    }
}
