//! Certificates by the name a client asks for (SNI).

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate;
use crate::dns;

/// Chooses a certificate: the one for the very name, then one for all names of
/// its domain (`*.example.org`), then the first.
///
/// RFC 6066 §3: a server that does not know the name may go on with another
/// certificate; clients that are content with any would be shut out otherwise.
#[derive(Debug)]
pub(super) struct ByName {
    first: Arc<CertifiedKey>,
    names: HashMap<String, Arc<CertifiedKey>>,
}

impl ByName {
    /// With the one for everybody who names no other.
    pub(super) fn new(first: Arc<CertifiedKey>) -> ByName {
        let mut all = ByName {
            first: first.clone(),
            names: HashMap::new(),
        };
        all.add(first, &[]);
        all
    }

    /// One more, for these names, or if there are none for those that stand in
    /// it. Whoever came first keeps its names.
    pub(super) fn add(&mut self, key: Arc<CertifiedKey>, names: &[String]) {
        let own = match names.is_empty() {
            true => key.cert.first().map(|own| certificate::dns_names(own)),
            false => None,
        };
        for name in own.as_deref().unwrap_or(names) {
            if let Some(name) = normal(name) {
                self.names.entry(name).or_insert_with(|| key.clone());
            }
        }
    }

    /// What a client that asks for a name is shown.
    pub(super) fn shown(&self, name: &str) -> &Arc<CertifiedKey> {
        self.find(name).unwrap_or(&self.first)
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if let Some(found) = self.names.get(&name) {
            return Some(found);
        }
        // RFC 9525 §6.3: a wildcard stands for the whole leftmost label, and for one only.
        let (_, domain) = name.split_once('.')?;
        self.names.get(&format!("*.{domain}"))
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.find(name));
        Some(named.unwrap_or(&self.first).clone())
    }
}

/// A name as it is compared, or `None` if no client can ask for it.
pub(crate) fn normal(name: &str) -> Option<String> {
    match name.strip_prefix("*.") {
        Some(domain) => Some(format!("*.{}", dns::to_ascii(domain).ok()?)),
        None => dns::to_ascii(name).ok(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;

    fn key(names: &[&str]) -> Arc<CertifiedKey> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let chain = vec![made.cert.der().clone()];
        let provider = super::super::tls::provider();
        Arc::new(CertifiedKey::from_der(chain, key.into(), &provider).unwrap())
    }

    #[test]
    fn the_very_name_then_the_domain_then_the_first() {
        let first = key(&["mail.example.org"]);
        let wild = key(&["*.example.org"]);
        let given = key(&["ignored.example"]);
        let mut all = ByName::new(first.clone());
        all.add(wild.clone(), &[]);
        let names = [
            "Bücher.example",
            "imap.example.org",
            "mail.example.org",
            "a b",
        ];
        all.add(given.clone(), &names.map(str::to_owned));
        for (name, found) in [
            ("mail.example.org", Some(&first)),
            ("MAIL.example.ORG.", Some(&first)),
            ("pop.example.org", Some(&wild)),
            ("a.pop.example.org", None),
            ("example.org", None),
            ("imap.example.org", Some(&given)),
            ("xn--bcher-kva.example", Some(&given)),
            ("ignored.example", None),
            ("", None),
        ] {
            let is = all.find(name);
            assert_eq!(is.map(Arc::as_ptr), found.map(Arc::as_ptr), "{name}");
        }
    }
}
