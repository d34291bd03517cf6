//! Which hosts a lane leads to, and in which order they are tried
//! ([RFC 5321 §5.1](https://www.rfc-editor.org/rfc/rfc5321#section-5.1)).

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use axigen_proto::smtp::reply::EnhancedCode;

use crate::dns::{self, Answer, Mx, Resolver};
use crate::queue::route::{Hop, Route};
use crate::settings::RouteTarget;

/// Hosts of a domain that are tried; who has more has made a mistake.
const HOSTS: usize = 10;
/// Addresses of a host that are tried.
const ADDRESSES: usize = 6;

/// A host to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// Its name, or its address where it has none.
    pub(super) name: String,
    /// Where it can be.
    pub(super) at: At,
    pub(super) implicit_tls: bool,
    pub(super) lmtp: bool,
    pub(super) proof: Proof,
}

/// What is proved of a host before it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Proof {
    /// It is the host the mail is for: DNSSEC proves it, or the settings say so.
    pub(super) chosen: bool,
    /// The names its TLSA records may stand under, the first one first
    /// ([RFC 7672 §2.2.3](https://www.rfc-editor.org/rfc/rfc7672#section-2.2.3)); none
    /// where DNS proves nothing about its addresses.
    pub(super) bases: Vec<String>,
}

/// Where a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    Addresses(Vec<SocketAddr>),
    Socket(PathBuf),
}

/// Why there is no host to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoHost {
    /// And there will be none: the message comes back.
    Never(EnhancedCode, String),
    /// Later there may be one.
    NotNow(String),
    /// There is one, but not as this message needs it; others may go there.
    Unfit(EnhancedCode, String),
}

/// The hosts a route leads to, the first to be tried first.
pub(super) async fn find(
    resolver: &dyn Resolver,
    route: &Route,
    mx_port: u16,
) -> Result<Vec<Host>, NoHost> {
    match &route.to {
        Hop::Mx(domain) => of_domain(resolver, domain, &route.hostname, mx_port).await,
        Hop::Literal(address) => Ok(vec![plain(
            address.to_string(),
            vec![SocketAddr::new(*address, mx_port)],
        )]),
        Hop::Fixed(RouteTarget::Mx | RouteTarget::Transport(_)) => {
            Err(NoHost::NotNow("the route leads nowhere".into()))
        }
        Hop::Fixed(RouteTarget::Socket(path)) => Ok(vec![Host {
            name: path.display().to_string(),
            at: At::Socket(path.clone()),
            implicit_tls: false,
            lmtp: true,
            proof: Proof {
                chosen: true,
                bases: Vec::new(),
            },
        }]),
        Hop::Fixed(RouteTarget::Host {
            host,
            port,
            implicit_tls,
            lmtp,
        }) => {
            let (addresses, bases) = match host.parse::<IpAddr>() {
                Ok(address) => (vec![address], Vec::new()),
                Err(_) => {
                    let found = addresses(resolver, host).await.map_err(NoHost::NotNow)?;
                    let bases = bases(host, &found);
                    (found.records, bases)
                }
            };
            let at = addresses.into_iter().map(|ip| SocketAddr::new(ip, *port));
            Ok(vec![Host {
                implicit_tls: *implicit_tls,
                lmtp: *lmtp,
                proof: Proof {
                    chosen: true,
                    bases,
                },
                ..plain(host.clone(), at.collect())
            }])
        }
    }
}

fn plain(name: String, addresses: Vec<SocketAddr>) -> Host {
    Host {
        name,
        at: At::Addresses(addresses),
        implicit_tls: false,
        lmtp: false,
        proof: Proof::default(),
    }
}

/// Where a host's TLSA records may be: under the name its aliases end at, then
/// under its own. An alias that leads out of what is signed leaves its own name,
/// whose zone may be signed.
fn bases(host: &str, found: &Answer<IpAddr>) -> Vec<String> {
    let own = host.to_ascii_lowercase();
    match (found.secure, found.name == own) {
        (true, true) => vec![own],
        (true, false) => vec![found.name.clone(), own],
        (false, false) => vec![own],
        (false, true) => Vec::new(),
    }
}

async fn of_domain(
    resolver: &dyn Resolver,
    domain: &str,
    own: &str,
    port: u16,
) -> Result<Vec<Host>, NoHost> {
    let answer = match resolver.mx(domain).await {
        Ok(answer) => answer,
        Err(error @ dns::Error::BadName(_)) => {
            return Err(NoHost::Never((5, 1, 2).into(), error.to_string()));
        }
        Err(error) => return Err(NoHost::NotNow(error.to_string())),
    };
    let mut names = answer.records;
    if names.is_empty() {
        // RFC 5321 §5.1: without MX the domain itself is the host, if it has addresses.
        let found = resolver.addresses(domain).await;
        let found = found.map_err(|error| NoHost::NotNow(error.to_string()))?;
        if found.records.is_empty() {
            let why = match answer.exists || found.exists {
                true => format!("no host takes mail for {domain}"),
                false => format!("there is no domain {domain}"),
            };
            return Err(NoHost::Never((5, 1, 2).into(), why));
        }
        let proof = Proof {
            chosen: answer.secure,
            bases: bases(domain, &found),
        };
        let at = order(found.records, port);
        return Ok(vec![Host {
            proof,
            ..plain(domain.to_owned(), at)
        }]);
    }
    // RFC 7505 §3: one host without a name.
    if names.iter().all(|mx| mx.host.is_empty()) {
        let why = format!("{domain} takes no mail (null MX)");
        return Err(NoHost::Never((5, 1, 10).into(), why));
    }
    names.retain(|mx| !mx.host.is_empty());
    shuffle(&mut names);
    if let Some(we) = names.iter().find(|mx| mx.host.eq_ignore_ascii_case(own)) {
        // RFC 5321 §5.1: neither to ourselves nor to those behind us.
        let preference = we.preference;
        names.retain(|mx| mx.preference < preference);
        if names.is_empty() {
            let why =
                format!("mail for {domain} loops back to this server, which does not know it");
            return Err(NoHost::Never((5, 4, 6).into(), why));
        }
    }
    let mut hosts = Vec::new();
    let mut wrong = String::new();
    for mx in names.into_iter().take(HOSTS) {
        match addresses(resolver, &mx.host).await {
            Ok(found) => {
                let proof = Proof {
                    chosen: answer.secure,
                    bases: bases(&mx.host, &found),
                };
                let at = order(found.records, port);
                hosts.push(Host {
                    proof,
                    ..plain(mx.host, at)
                });
            }
            Err(why) => wrong = why,
        }
    }
    match hosts.is_empty() {
        true => Err(NoHost::NotNow(wrong)),
        false => Ok(hosts),
    }
}

async fn addresses(resolver: &dyn Resolver, host: &str) -> Result<Answer<IpAddr>, String> {
    match resolver.addresses(host).await {
        Ok(found) if found.records.is_empty() => Err(format!("{host} has no address")),
        Ok(found) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}

/// By preference; among equals by chance, so that they share the work.
fn shuffle(names: &mut [Mx]) {
    let seed: [u8; 8] = crate::directory::random().unwrap_or_default();
    names.sort_by_cached_key(|mx| {
        let chance = crate::queue::salt(&[&seed, mx.host.as_bytes()].concat());
        (mx.preference, chance)
    });
}

/// Both families in turn, IPv6 first: when one does not work the other is near.
fn order(addresses: Vec<IpAddr>, port: u16) -> Vec<SocketAddr> {
    let (mut six, mut four): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.into_iter().partition(IpAddr::is_ipv6);
    let mut ordered = Vec::new();
    while ordered.len() < ADDRESSES && (!six.is_empty() || !four.is_empty()) {
        ordered.extend(six.pop());
        ordered.extend(four.pop());
    }
    ordered.truncate(ADDRESSES);
    ordered
        .into_iter()
        .map(|ip| SocketAddr::new(ip, port))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::dns::ZoneResolver;
    use crate::settings::TlsPolicy;

    const ZONE: &str = "
two.test.   MX 20 b.two.test.
            MX 10 a.two.test.
a.two.test. A 192.0.2.1
            A 192.0.2.2
            AAAA 2001:db8::1
b.two.test. A 192.0.2.3
bare.test.  A 192.0.2.4
null.test.  MX 0 .
self.test.  MX 10 here.test.
            MX 20 b.two.test.
back.test.  MX 10 a.two.test.
            MX 20 here.test.
            MX 30 b.two.test.
text.test.  TXT \"no mail here\"
dead.test.  MX 10 nowhere.test.
equal.test. MX 10 a.two.test.
            MX 10 b.two.test.
";

    async fn hosts(domain: &str) -> Result<Vec<(String, usize)>, NoHost> {
        let zone = ZoneResolver::parse(ZONE).unwrap();
        let route = Route {
            to: Hop::Mx(domain.into()),
            tls: TlsPolicy::May,
            hostname: "here.test".into(),
            source: Vec::new(),
            login: None,
        };
        let found = find(&zone, &route, 25).await?;
        let names = found.into_iter().map(|host| match host.at {
            At::Addresses(at) => (host.name, at.len()),
            At::Socket(_) => (host.name, 0),
        });
        Ok(names.collect())
    }

    #[tokio::test]
    async fn hosts_by_preference() {
        let named = |names: &[(&str, usize)]| {
            let names = names
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count));
            Ok(names.collect::<Vec<_>>())
        };
        let both = named(&[("a.two.test", 3), ("b.two.test", 1)]);
        assert_eq!(hosts("two.test").await, both);
        assert_eq!(hosts("bare.test").await, named(&[("bare.test", 1)]));
        assert_eq!(hosts("back.test").await, named(&[("a.two.test", 3)]));
        let mut firsts = std::collections::BTreeSet::new();
        for _ in 0..64 {
            firsts.insert(hosts("equal.test").await.unwrap()[0].0.clone());
        }
        assert_eq!(firsts.len(), 2, "equals share the work");
    }

    #[tokio::test]
    async fn no_host_now_or_never() {
        for (domain, code) in [
            ("null.test", (5, 1, 10)),
            ("self.test", (5, 4, 6)),
            ("text.test", (5, 1, 2)),
            ("gone.test", (5, 1, 2)),
        ] {
            let NoHost::Never(said, why) = hosts(domain).await.unwrap_err() else {
                panic!("{domain}");
            };
            assert_eq!(said, code.into(), "{domain}");
            assert!(why.contains(domain), "{why}");
        }
        for domain in ["dead.test", "x.bogus.test"] {
            assert!(
                matches!(hosts(domain).await, Err(NoHost::NotNow(_))),
                "{domain}"
            );
        }
    }

    #[test]
    fn families_take_turns() {
        let ips = ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|ip| ip.parse().unwrap());
        let ordered = order(ips.to_vec(), 25);
        let families: Vec<bool> = ordered.iter().map(SocketAddr::is_ipv6).collect();
        assert_eq!(families, [true, false, false]);
    }
}
