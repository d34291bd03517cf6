//! Answers from a zone file: `axigen demo --zone FILE`, and tests.
//!
//! The file is a master file
//! ([RFC 1035 §5](https://www.rfc-editor.org/rfc/rfc1035#section-5)) that may
//! hold records of any names. Names ending in `.bogus.test` fail as names whose
//! signatures are wrong; everything else counts as signed where
//! [`ZoneResolver::signed`] says so.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::proto::serialize::txt::Parser;

use super::system::{mx_of, plain, text_of, tlsa_of};
use super::{Answer, Error, Mx, Resolver, Result, Tlsa, to_ascii};

/// Aliases that are followed.
const ALIASES: usize = 8;

/// Knows what stands in a zone file, and nothing else.
#[derive(Debug, Clone, Default)]
pub struct ZoneResolver {
    records: BTreeMap<String, Vec<(RData, u32)>>,
    signed: bool,
}

impl ZoneResolver {
    /// Reads a zone file.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn from_file(path: &Path) -> std::result::Result<ZoneResolver, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        ZoneResolver::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Reads the text of a zone file. Names are relative to the root unless it
    /// says `$ORIGIN`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> std::result::Result<ZoneResolver, String> {
        // The parser wants a start of authority, which these files need not have.
        let whole = format!("$ORIGIN .\n$TTL 60\n@ SOA . . 1 60 60 60 60\n{text}\n");
        let parsed = Parser::new(whole, None, Some(Name::root())).parse();
        let (_, sets) = parsed.map_err(|error| error.to_string())?;
        let mut records: BTreeMap<String, Vec<(RData, u32)>> = BTreeMap::new();
        for set in sets.values() {
            for record in set.records_without_rrsigs() {
                let name = plain(&record.name);
                if !name.is_empty() {
                    let of_name = records.entry(name).or_default();
                    of_name.push((record.data.clone(), record.ttl));
                }
            }
        }
        Ok(ZoneResolver {
            records,
            signed: false,
        })
    }

    /// The same zone, signed: its answers are secure.
    #[must_use]
    pub fn signed(mut self) -> ZoneResolver {
        self.signed = true;
        self
    }

    fn find<T>(&self, name: &str, of: impl Fn(&RData) -> Option<T>) -> Result<Answer<T>> {
        let mut name = to_ascii(name)?;
        if name.ends_with(".bogus.test") {
            return Err(Error::Bogus(name));
        }
        for _ in 0..ALIASES {
            let Some(known) = self.records.get(&name) else {
                let below = format!(".{name}");
                let exists = self.records.keys().any(|other| other.ends_with(&below));
                return Ok(Answer::none(&name, exists, self.signed));
            };
            let alias = known.iter().find_map(|(data, _)| match data {
                RData::CNAME(to) => Some(plain(to)),
                _ => None,
            });
            if let Some(alias) = alias {
                name = alias;
                continue;
            }
            let found = known
                .iter()
                .filter_map(|(data, ttl)| Some((of(data)?, *ttl)));
            let (records, ttls): (Vec<T>, Vec<u32>) = found.unzip();
            let ttl = ttls.into_iter().min().unwrap_or_default();
            return Ok(Answer {
                records,
                exists: true,
                secure: self.signed,
                name,
                ttl: Duration::from_secs(ttl.into()),
            });
        }
        Err(Error::Unanswered(name, "too many aliases".to_owned()))
    }
}

#[async_trait]
impl Resolver for ZoneResolver {
    async fn mx(&self, name: &str) -> Result<Answer<Mx>> {
        self.find(name, mx_of)
    }

    async fn addresses(&self, name: &str) -> Result<Answer<IpAddr>> {
        self.find(name, RData::ip_addr)
    }

    async fn texts(&self, name: &str) -> Result<Answer<Vec<u8>>> {
        self.find(name, text_of)
    }

    async fn tlsa(&self, name: &str) -> Result<Answer<Tlsa>> {
        self.find(name, tlsa_of)
    }

    async fn names(&self, address: IpAddr) -> Result<Answer<String>> {
        let name = plain(&Name::from(address));
        let pointer = |data: &RData| match data.record_type() {
            RecordType::PTR => super::system::pointer_of(data),
            _ => None,
        };
        self.find(&name, pointer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ZONE: &str = r#"
example.test.        MX    10 mx1.example.test.
                     MX    20 mx2.example.test.
                     TXT   "v=spf1 " "-all"
mx1.example.test.    A     127.0.0.1
                     AAAA  ::1
www.example.test.    CNAME mx1.example.test.
null.test.           MX    0 .
_25._tcp.mx1.example.test. TLSA 3 1 1 (
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef )
1.0.0.127.in-addr.arpa. PTR mx1.example.test.
loop.test.           CNAME loop.test.
"#;

    #[tokio::test]
    async fn a_zone_answers() {
        let zone = ZoneResolver::parse(ZONE).unwrap();
        let mut mx = zone.mx("Example.Test").await.unwrap();
        mx.records.sort();
        assert_eq!(
            mx.records,
            [(10, "mx1.example.test"), (20, "mx2.example.test")].map(|(preference, host)| Mx {
                preference,
                host: host.to_owned()
            })
        );
        assert!(!mx.secure && mx.exists);
        let of_alias = zone.addresses("www.example.test").await.unwrap();
        assert_eq!(of_alias.name, "mx1.example.test");
        assert_eq!(of_alias.records.len(), 2);
        let null = zone.mx("null.test").await.unwrap();
        assert_eq!(null.records[0].host, "");
        let text = zone.texts("example.test").await.unwrap();
        assert_eq!(text.records, [b"v=spf1 -all".to_vec()]);
        let tlsa = zone.tlsa("_25._tcp.mx1.example.test").await.unwrap();
        assert_eq!((tlsa.records[0].usage, tlsa.records[0].data.len()), (3, 32));
        let names = zone.names("127.0.0.1".parse().unwrap()).await.unwrap();
        assert_eq!(names.records, ["mx1.example.test"]);
        let empty = zone.tlsa("mx1.example.test").await.unwrap();
        assert!(empty.exists && empty.records.is_empty());
        assert!(!zone.mx("nowhere.test").await.unwrap().exists);
        assert!(zone.mx("test").await.unwrap().exists);
        assert!(
            zone.clone()
                .signed()
                .mx("nowhere.test")
                .await
                .unwrap()
                .secure
        );
        assert!(zone.mx("loop.test").await.is_err());
        let bogus = zone.mx("x.bogus.test").await;
        assert!(matches!(bogus, Err(Error::Bogus(_))));
    }

    #[test]
    fn a_bad_zone_is_refused() {
        assert!(ZoneResolver::parse("example.test. MX ten mx").is_err());
        assert!(ZoneResolver::from_file(Path::new("/nonexistent")).is_err());
    }
}
