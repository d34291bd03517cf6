//! TLSA records against certificates
//! ([RFC 6698](https://www.rfc-editor.org/rfc/rfc6698),
//! [RFC 7672](https://www.rfc-editor.org/rfc/rfc7672)).

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use sha2::{Digest, Sha256, Sha512};

use crate::dns::Tlsa;

/// DANE-TA: an authority of the domain's own.
const AUTHORITY: u8 = 2;
/// DANE-EE: the host's own certificate or key.
const HOST: u8 = 3;
/// Records of a host that are looked at.
const RECORDS: usize = 64;
/// Certificates of a host that are looked at.
const CHAIN: usize = 10;

/// What proves a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dane {
    records: Vec<Tlsa>,
    /// The names a certificate of a domain's own authority may be for: the base
    /// of the TLSA records and the domain the mail goes to (RFC 7672 §3.2.2).
    names: Vec<ServerName<'static>>,
}

impl Dane {
    /// Those of a host's records that can be used; `None` if none can: then TLS
    /// is asked for all the same, with any certificate (RFC 7672 §2.2).
    pub(crate) fn new(records: &[Tlsa], names: &[&str]) -> Option<Dane> {
        let good: Vec<&Tlsa> = records.iter().take(RECORDS).filter(is_usable).collect();
        // RFC 7671 §9: of the digests of one kind only the strongest counts.
        let strong = |of: &Tlsa, matching: u8| {
            let same = |other: &&Tlsa| {
                (other.usage, other.selector, other.matching) == (of.usage, of.selector, matching)
            };
            good.iter().copied().any(|other| same(&other))
        };
        let kept = good.iter().copied();
        let records: Vec<Tlsa> = kept
            .filter(|record| record.matching != 1 || !strong(record, 2))
            .cloned()
            .collect();
        let names = names
            .iter()
            .filter_map(|name| ServerName::try_from((*name).to_owned()).ok());
        (!records.is_empty()).then(|| Dane {
            records,
            names: names.collect(),
        })
    }

    /// The records as a zone file writes them.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |record: &Tlsa| {
            let hex: String = record
                .data
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let Tlsa {
                usage,
                selector,
                matching,
                ..
            } = record;
            format!("{usage} {selector} {matching} {hex}")
        };
        self.records.iter().map(text).collect()
    }

    /// Whether a host's certificates are what DNS says.
    pub(crate) fn verify(
        &self,
        provider: &Arc<CryptoProvider>,
        host: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        // RFC 7672 §3.1.1: neither names nor dates count.
        let own = self.records.iter().filter(|record| record.usage == HOST);
        if own.into_iter().any(|record| matches(record, host)) {
            return Ok(());
        }
        let mut wrong = CertificateError::UnknownIssuer;
        let chain = chain.get(..CHAIN.min(chain.len())).unwrap_or_default();
        let mut roots = RootCertStore::empty();
        for record in self
            .records
            .iter()
            .filter(|record| record.usage == AUTHORITY)
        {
            for certificate in chain.iter().filter(|one| matches(record, one)) {
                // One that cannot be read as an authority proves nothing.
                let _ = roots.add(certificate.clone().into_owned());
            }
            // RFC 7672 §3.1.2: a whole certificate need not be sent by the host.
            if (record.selector, record.matching) == (0, 0) {
                let _ = roots.add(CertificateDer::from(record.data.clone()));
            }
        }
        if !roots.is_empty() {
            let built =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                    .build();
            let verifier = built.map_err(|error| rustls::Error::General(error.to_string()))?;
            for name in &self.names {
                match verifier.verify_server_cert(host, chain, name, &[], now) {
                    Ok(_) => return Ok(()),
                    Err(rustls::Error::InvalidCertificate(error)) => wrong = error,
                    Err(error) => return Err(error),
                }
            }
        }
        Err(rustls::Error::InvalidCertificate(wrong))
    }
}

/// RFC 7672 §3.1.3: usages 0 and 1 name authorities that a mail host cannot
/// know; such records are as if they were not there, as are those of kinds that
/// are not known and those whose data cannot be.
fn is_usable(record: &&Tlsa) -> bool {
    matches!(record.usage, AUTHORITY | HOST)
        && record.selector <= 1
        && match record.matching {
            0 => !record.data.is_empty(),
            1 => record.data.len() == 32,
            2 => record.data.len() == 64,
            _ => false,
        }
}

/// RFC 6698 §2.1.2, §2.1.3: the certificate or its key, whole or by a digest.
fn matches(record: &Tlsa, certificate: &CertificateDer<'_>) -> bool {
    let selected = match record.selector {
        0 => certificate.to_vec(),
        _ => match ParsedCertificate::try_from(certificate) {
            Ok(parsed) => parsed.subject_public_key_info().to_vec(),
            Err(_) => return false,
        },
    };
    match record.matching {
        0 => selected == record.data,
        1 => Sha256::digest(&selected).as_slice() == record.data,
        _ => Sha512::digest(&selected).as_slice() == record.data,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::net::tls::provider;
    use std::slice;

    fn record(usage: u8, selector: u8, matching: u8, certificate: &[u8]) -> Tlsa {
        let der = CertificateDer::from(certificate);
        let selected = match selector {
            0 => certificate.to_vec(),
            _ => {
                let parsed = ParsedCertificate::try_from(&der).unwrap();
                parsed.subject_public_key_info().to_vec()
            }
        };
        let data = match matching {
            0 => selected,
            1 => Sha256::digest(&selected).to_vec(),
            _ => Sha512::digest(&selected).to_vec(),
        };
        Tlsa {
            usage,
            selector,
            matching,
            data,
        }
    }

    #[test]
    fn certificates_that_dns_names() {
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root_key = rcgen::KeyPair::generate().unwrap();
        let root = authority.self_signed(&root_key).unwrap();
        let issuer = rcgen::Issuer::new(authority, root_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["mx.test".to_owned()]).unwrap();
        let host = params.signed_by(&key, &issuer).unwrap();
        let other = rcgen::generate_simple_self_signed(["mx.test".to_owned()]).unwrap();
        let now = UnixTime::now();
        let check = |records: &[Tlsa], names: &[&str], chain: &[CertificateDer<'_>]| {
            let dane = Dane::new(records, names).unwrap();
            dane.verify(&provider(), host.der(), chain, now)
        };
        let chain = [root.der().clone()];
        for selector in [0, 1] {
            for matching in [0, 1, 2] {
                let good = record(HOST, selector, matching, host.der());
                check(slice::from_ref(&good), &["elsewhere.test"], &[]).unwrap();
                let bad = record(HOST, selector, matching, other.cert.der());
                check(slice::from_ref(&bad), &["mx.test"], &chain).unwrap_err();
                check(&[bad, good], &["mx.test"], &[]).unwrap();
                let of_authority = record(AUTHORITY, selector, matching, root.der());
                check(slice::from_ref(&of_authority), &["mx.test"], &chain).unwrap();
                check(
                    slice::from_ref(&of_authority),
                    &["x.test", "mx.test"],
                    &chain,
                )
                .unwrap();
                // An authority's certificate for somebody else.
                let wrong = check(&[of_authority], &["elsewhere.test"], &chain);
                assert!(
                    wrong
                        .unwrap_err()
                        .to_string()
                        .contains("not valid for name")
                );
            }
        }
        // Not sent by the host, but whole in DNS; and a digest of what is not sent.
        let whole = record(AUTHORITY, 0, 0, root.der());
        check(&[whole], &["mx.test"], &[]).unwrap();
        let digest = record(AUTHORITY, 0, 1, root.der());
        check(&[digest], &["mx.test"], &[]).unwrap_err();
        // The host's own certificate is no authority.
        let own = record(AUTHORITY, 0, 1, host.der());
        check(&[own], &["mx.test"], &chain).unwrap_err();
    }

    #[test]
    fn records_that_cannot_be_used() {
        let data = vec![1; 32];
        let of = |usage, selector, matching| Tlsa {
            usage,
            selector,
            matching,
            data: data.clone(),
        };
        for bad in [
            of(0, 1, 1),
            of(1, 1, 1),
            of(4, 0, 1),
            of(3, 2, 1),
            of(3, 1, 2),
            of(3, 1, 3),
        ] {
            assert_eq!(Dane::new(&[bad], &[]), None);
        }
        let strong = Tlsa {
            matching: 2,
            data: vec![2; 64],
            ..of(3, 1, 1)
        };
        let both = Dane::new(&[of(3, 1, 1), strong.clone(), of(3, 0, 1)], &[]).unwrap();
        assert_eq!(both.records, [strong, of(3, 0, 1)]);
    }
}
