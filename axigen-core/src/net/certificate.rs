//! What is read of certificates: the mail addresses they are for, and the hash
//! that a login can be bound to. Whether to trust one is decided by rustls.

use bytes::Bytes;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::directory::normalise;

/// A client's certificate that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    der: Bytes,
}

impl ClientCertificate {
    /// From its DER form (RFC 5280 §4.1).
    pub fn new(der: Bytes) -> ClientCertificate {
        ClientCertificate { der }
    }

    /// Its DER form.
    pub fn der(&self) -> &Bytes {
        &self.der
    }

    /// The mail addresses it is for: each `rfc822Name` of its subjectAltName
    /// (RFC 5280 §4.2.1.6) that is an address.
    pub fn addresses(&self) -> Vec<String> {
        let names = alternative_names(&self.der).unwrap_or_default();
        let addresses = names.filter(|(tag, _)| *tag == RFC822_NAME);
        addresses
            .filter_map(|(_, name)| std::str::from_utf8(name).ok())
            .filter(|name| name.is_ascii() && normalise(name).is_ok())
            .map(str::to_owned)
            .collect()
    }
}

/// The names of servers it is for: each `dNSName` of its subjectAltName
/// (RFC 5280 §4.2.1.6).
pub(super) fn dns_names(certificate: &[u8]) -> Vec<String> {
    let names = alternative_names(certificate).unwrap_or_default();
    let names = names.filter(|(tag, _)| *tag == DNS_NAME);
    names
        .filter_map(|(_, name)| std::str::from_utf8(name).ok())
        .map(str::to_owned)
        .collect()
}

/// The data of the channel binding `tls-server-end-point`: the hash of the
/// server's certificate, by the hash function of its signature (RFC 5929 §4.1).
/// `None` where the signature has none of its own, as with Ed25519.
pub(super) fn end_point(certificate: &[u8]) -> Option<Bytes> {
    let hash = match signature_hash(certificate)? {
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    };
    Some(hash.into())
}

#[derive(Debug, PartialEq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
/// `rfc822Name [1] IA5String`
const RFC822_NAME: u8 = 0x81;
/// `dNSName [2] IA5String`
const DNS_NAME: u8 = 0x82;
/// `extensions [3] EXPLICIT Extensions`
const EXTENSIONS: u8 = 0xa3;
/// `id-ce-subjectAltName`, 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// `Certificate = SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }`
fn signature_hash(certificate: &[u8]) -> Option<Hash> {
    let mut fields = Values(Values(certificate).expect(SEQUENCE)?);
    fields.expect(SEQUENCE)?;
    let mut algorithm = Values(fields.expect(SEQUENCE)?);
    let oid = algorithm.expect(OBJECT_IDENTIFIER)?;
    // 1.2.840.113549.1.1: PKCS 1 (RFC 8017 appendix C); 1.2.840.10045.4.3: ECDSA (RFC 5758 §3.2).
    const PKCS_1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    if let Some(rest) = oid.strip_prefix(PKCS_1) {
        return match rest {
            // RFC 5929 §4.1: instead of MD5 and SHA-1.
            [4 | 5 | 11] => Some(Hash::Sha256),
            [12] => Some(Hash::Sha384),
            [13] => Some(Hash::Sha512),
            [10] => pss_hash(algorithm),
            _ => None,
        };
    }
    match oid.strip_prefix(ECDSA)? {
        [1] | [3, 2] => Some(Hash::Sha256),
        [3, 3] => Some(Hash::Sha384),
        [3, 4] => Some(Hash::Sha512),
        _ => None,
    }
}

/// `RSASSA-PSS-params = SEQUENCE { hashAlgorithm [0] HashAlgorithm DEFAULT sha1, ... }`
/// (RFC 8017 appendix A.2.3)
fn pss_hash(mut algorithm: Values<'_>) -> Option<Hash> {
    let mut parameters = Values(algorithm.expect(SEQUENCE)?);
    let Some((0xa0, hash)) = parameters.next() else {
        return Some(Hash::Sha256);
    };
    let oid = Values(Values(hash).expect(SEQUENCE)?).expect(OBJECT_IDENTIFIER)?;
    // 2.16.840.1.101.3.4.2: SHA-2 (RFC 5758 §2); 1.3.14.3.2.26: SHA-1.
    match oid {
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 1] | [0x2b, 0x0e, 0x03, 0x02, 0x1a] => {
            Some(Hash::Sha256)
        }
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 2] => Some(Hash::Sha384),
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 3] => Some(Hash::Sha512),
        _ => None,
    }
}

/// The names of the extension subjectAltName.
fn alternative_names(certificate: &[u8]) -> Option<Values<'_>> {
    let mut certificate = Values(Values(certificate).expect(SEQUENCE)?);
    let mut tbs = Values(certificate.expect(SEQUENCE)?);
    let extensions = tbs.find_map(|(tag, value)| (tag == EXTENSIONS).then_some(value))?;
    Values(Values(extensions).expect(SEQUENCE)?).find_map(|(_, extension)| {
        let mut fields = Values(extension);
        if fields.expect(OBJECT_IDENTIFIER)? != SUBJECT_ALT_NAME {
            return None;
        }
        let value = fields.find_map(|(tag, value)| (tag == OCTET_STRING).then_some(value))?;
        Values(value).expect(SEQUENCE).map(Values)
    })
}

/// Values of DER one behind the other, as tag and content; ends at the first
/// that is not whole.
#[derive(Debug, Clone, Copy, Default)]
struct Values<'a>(&'a [u8]);

impl<'a> Values<'a> {
    /// The content of the next value, if it has this tag.
    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(found, _)| *found == tag)
            .map(|(_, content)| content)
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            // More than four bytes of length, or an indefinite one, is no certificate's.
            let count = usize::from(first & 0x7f);
            if !(1..=4).contains(&count) {
                return None;
            }
            let (bytes, after) = rest.split_at_checked(count)?;
            length = bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            rest = after;
        }
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn made(names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["mx.example.test".to_owned()]).unwrap();
        for name in names {
            let name = SanType::Rfc822Name((*name).try_into().unwrap());
            params.subject_alt_names.push(name);
        }
        let key = KeyPair::generate_for(algorithm).unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn addresses_of_a_certificate() {
        let der = made(
            &["ann@example.test", "no address", "bob@example.test"],
            &rcgen::PKCS_ECDSA_P256_SHA256,
        );
        let certificate = ClientCertificate::new(der.into());
        assert_eq!(
            certificate.addresses(),
            ["ann@example.test", "bob@example.test"]
        );
        assert_eq!(dns_names(certificate.der()), ["mx.example.test"]);
        let none = ClientCertificate::new(made(&[], &rcgen::PKCS_ECDSA_P256_SHA256).into());
        assert_eq!(none.addresses(), Vec::<String>::new());
    }

    /// RFC 5929 §4.1
    #[test]
    fn the_hash_is_that_of_the_signature() {
        let der = made(&[], &rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(end_point(&der).unwrap(), Sha256::digest(&der).as_slice());
        let der = made(&[], &rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(end_point(&der).unwrap(), Sha384::digest(&der).as_slice());
        let der = made(&[], &rcgen::PKCS_ED25519);
        assert_eq!(end_point(&der), None);
    }

    #[test]
    fn rsa_signatures_by_their_oid() {
        let certificate = |algorithm: &[u8]| {
            let algorithm = value(SEQUENCE, algorithm);
            let tbs = value(SEQUENCE, b"");
            value(SEQUENCE, &[tbs, algorithm].concat())
        };
        let pkcs_1 = |last: u8| {
            let mut oid = vec![0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
            oid.push(last);
            value(OBJECT_IDENTIFIER, &oid)
        };
        for (last, hash) in [
            (5, Some(Hash::Sha256)),
            (11, Some(Hash::Sha256)),
            (12, Some(Hash::Sha384)),
            (13, Some(Hash::Sha512)),
            (99, None),
        ] {
            assert_eq!(signature_hash(&certificate(&pkcs_1(last))), hash);
        }
        let sha512 = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 3];
        let hash = value(SEQUENCE, &value(OBJECT_IDENTIFIER, &sha512));
        let parameters = value(SEQUENCE, &value(0xa0, &hash));
        let pss = [pkcs_1(10), parameters].concat();
        assert_eq!(signature_hash(&certificate(&pss)), Some(Hash::Sha512));
        let sha1 = [pkcs_1(10), value(SEQUENCE, b"")].concat();
        assert_eq!(signature_hash(&certificate(&sha1)), Some(Hash::Sha256));
    }

    fn value(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[tag, length], content].concat()
    }

    #[test]
    fn broken_ones_are_nobodys() {
        let der = made(&["ann@example.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
        for end in 0..der.len() {
            let cut = ClientCertificate::new(Bytes::copy_from_slice(&der[..end]));
            assert_eq!(cut.addresses(), Vec::<String>::new());
            assert_eq!(end_point(cut.der()), None);
            assert_eq!(dns_names(cut.der()), Vec::<String>::new());
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(at in 0usize..600, byte: u8, noise in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            let mut der = made(&["ann@example.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
            let at = at % der.len();
            der[at] = byte;
            for der in [der, noise] {
                end_point(&der);
                dns_names(&der);
                ClientCertificate::new(der.into()).addresses();
            }
        }
    }
}
