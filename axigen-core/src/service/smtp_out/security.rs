//! What is asked of a host before a message goes there: by the settings, by its
//! domain (DANE, MTA-STS), by the message's sender.

use std::sync::Arc;
use std::time::Duration;

use axigen_proto::mta_sts::Mode;
use axigen_proto::smtp::reply::EnhancedCode;
use jiff::Timestamp;

use super::SmtpOut;
use super::hosts::{At, Host};
use crate::dns::{self, Tlsa};
use crate::queue::entry::Entry;
use crate::queue::route::{Hop, Route};
use crate::queue::schedule::later;
use crate::settings::{RouteTarget, TlsPolicy};
use crate::transport::dane::Dane;
use crate::transport::sts::Found;
use crate::transport::{Basis, Flaw, Level};

/// So long a lane's mail is not tried again after its hosts were not fit for it.
const PAUSE: Duration = Duration::from_secs(60);
/// Lanes of which that is remembered.
const LANES: usize = 10_000;

/// What a message's sender wants of its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing beyond what is usual.
    Usual,
    /// TLS with verified hosts all the way (RFC 8689 §2).
    Required,
    /// That it arrives (RFC 8689 §3).
    Optional,
}

impl Wish {
    pub(super) fn of(entry: &Entry) -> Wish {
        match (entry.require_tls, entry.tls_optional) {
            (true, _) => Wish::Required,
            (false, true) => Wish::Optional,
            (false, false) => Wish::Usual,
        }
    }
}

/// What is asked of a connection to a host.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) level: Level,
    /// Who asks for it.
    pub(super) basis: Basis,
    /// The name that is asked for, and that a certificate is to be for.
    pub(super) name: String,
    /// It is known to be the host the mail is for.
    pub(super) chosen: bool,
}

/// Why a host does not get a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit {
    /// For a message that waits for better times.
    pub(super) status: EnhancedCode,
    /// For one that requires TLS, and comes back.
    pub(super) never: EnhancedCode,
    pub(super) flaw: Flaw,
    pub(super) why: String,
}

impl Unfit {
    /// There is no TLS.
    pub(super) fn no_tls(why: String) -> Unfit {
        Unfit {
            status: (4, 7, 4).into(),
            never: (5, 7, 10).into(),
            flaw: Flaw::StartTlsNotSupported,
            why,
        }
    }

    /// There is, but not with whom it should be.
    pub(super) fn no_proof(flaw: Flaw, why: String) -> Unfit {
        Unfit {
            status: (4, 7, 5).into(),
            never: (5, 7, 30).into(),
            flaw,
            why,
        }
    }
}

/// What was wrong with a lane's hosts, and how long that is not asked again.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    until: Timestamp,
    host: Option<String>,
    status: EnhancedCode,
    why: String,
}

impl SmtpOut {
    /// Why the lane's hosts were not fit for mail a moment ago.
    pub(super) fn refusal(&self, lane: &str) -> Option<(Option<String>, EnhancedCode, String)> {
        let known = self.refused.lock().get(lane).cloned()?;
        let fresh = known.until > self.queue.clock().now();
        fresh.then_some((known.host, known.status, known.why))
    }

    /// The lane's hosts are not fit for mail.
    pub(super) fn refuse(
        &self,
        lane: &Arc<str>,
        host: Option<String>,
        status: EnhancedCode,
        why: String,
    ) {
        let now = self.queue.clock().now();
        let mut refused = self.refused.lock();
        if refused.len() >= LANES {
            refused.retain(|_, refused| refused.until > now);
        }
        if refused.len() < LANES {
            let new = Refused {
                until: later(now, PAUSE),
                host,
                status,
                why,
            };
            refused.insert(lane.clone(), new);
        }
    }

    /// What the domain's own policy says, where one counts.
    pub(super) async fn sts_of(&self, route: &Route, wish: Wish) -> Found {
        match &route.to {
            // RFC 8689 §4.2.2: with TLS optional no policy counts.
            Hop::Mx(domain) if route.tls != TlsPolicy::None && wish != Wish::Optional => {
                self.sts.policy(domain).await
            }
            _ => Found::default(),
        }
    }

    /// What is asked of a host.
    pub(super) async fn asked(
        &self,
        route: &Route,
        host: &Host,
        sts: &Found,
        wish: Wish,
    ) -> Result<Asked, Unfit> {
        let own = |level, basis| Asked {
            level,
            basis,
            name: host.name.clone(),
            chosen: host.proof.chosen,
        };
        if matches!(host.at, At::Socket(_)) {
            return Ok(own(Level::Plain, Basis::Settings));
        }
        let by_settings = match route.tls {
            TlsPolicy::None if wish == Wish::Required => {
                let why = "the message requires TLS, which the settings turn off for this way";
                return Err(Unfit::no_tls(why.into()));
            }
            TlsPolicy::None => return Ok(own(Level::Plain, Basis::Settings)),
            TlsPolicy::May if wish == Wish::Optional => {
                return Ok(own(Level::Welcome, Basis::Optional));
            }
            TlsPolicy::May => Level::Welcome,
            TlsPolicy::Encrypt => Level::Encrypted,
            TlsPolicy::Verify => Level::Authority,
            TlsPolicy::Dane => return self.by_dane_alone(route, host).await,
        };
        let dane = self.routes.settings().dane
            && wish != Wish::Optional
            && !matches!(route.tls, TlsPolicy::Verify);
        if dane
            && let Some(asked) = self.by_dane(route, host).await?
            // Records that prove nothing are not enough for who wants proof.
            && (wish != Wish::Required || matches!(asked.level, Level::Dane(_)))
        {
            return Ok(asked);
        }
        let mut asked = own(by_settings, Basis::Settings);
        if let (Some(kept), Hop::Mx(domain)) = (&sts.policy, &route.to) {
            let named = kept.policy.names(&host.name);
            match kept.policy.mode {
                // RFC 8461 §4.1, §5: a host that is not named gets nothing.
                Mode::Enforce if !named => {
                    let why = format!(
                        "the MTA-STS policy of {domain} does not name {} among its hosts",
                        host.name
                    );
                    return Err(Unfit::no_proof(Flaw::ValidationFailure, why));
                }
                Mode::Enforce => {
                    asked.level = Level::Authority;
                    asked.basis = Basis::Sts(Mode::Enforce);
                    asked.chosen = true;
                }
                Mode::Testing => {
                    asked.chosen |= named;
                    if matches!(asked.level, Level::Welcome) {
                        asked.basis = Basis::Sts(Mode::Testing);
                    }
                }
                Mode::None => {}
            }
        }
        if wish == Wish::Required {
            // RFC 8689 §4.2.1: the host's name by DNSSEC or MTA-STS, and a certificate for it.
            if !asked.chosen {
                let mut why = "the message requires TLS to a host that is proved to be the right \
                               one, and neither DNSSEC nor MTA-STS says so of this one"
                    .to_owned();
                let mut flaw = Flaw::ValidationFailure;
                if let Some((wrong, said)) = &sts.flaw {
                    why = format!("{why}: {said}");
                    flaw = *wrong;
                }
                return Err(Unfit::no_proof(flaw, why));
            }
            if !matches!(asked.level, Level::Authority) {
                asked.level = Level::Authority;
                asked.basis = Basis::Required;
            }
        }
        Ok(asked)
    }

    async fn by_dane_alone(&self, route: &Route, host: &Host) -> Result<Asked, Unfit> {
        let (flaw, why) = match self.by_dane(route, host).await? {
            Some(asked) if matches!(asked.level, Level::Dane(_)) => return Ok(asked),
            Some(_) => (
                Flaw::TlsaInvalid,
                "the settings ask for DANE, and no TLSA record can be used",
            ),
            None => (
                Flaw::DaneRequired,
                "the settings ask for DANE, and DNS proves no TLSA record",
            ),
        };
        Err(Unfit::no_proof(flaw, why.into()))
    }

    /// What TLSA records ask for
    /// ([RFC 7672 §2.2](https://www.rfc-editor.org/rfc/rfc7672#section-2.2)); `None`
    /// without such records.
    async fn by_dane(&self, route: &Route, host: &Host) -> Result<Option<Asked>, Unfit> {
        // RFC 7672 §2.2.1: who put another host's name into an answer could also put
        // in one that has records.
        if !host.proof.chosen {
            return Ok(None);
        }
        let (domain, port) = match &route.to {
            Hop::Mx(domain) => (Some(domain), 25),
            Hop::Fixed(RouteTarget::Host { port, .. }) => (None, *port),
            Hop::Fixed(_) | Hop::Literal(_) => return Ok(None),
        };
        for base in &host.proof.bases {
            let records = match self.tlsa(base, port).await {
                Ok(records) if records.is_empty() => continue,
                Ok(records) => records,
                // RFC 7672 §2.1.1, §2.2: an answer that is forged or missing is no
                // reason to do without.
                Err(error) => {
                    let why = format!("its TLSA records are not known: {error}");
                    return Err(Unfit::no_proof(Flaw::DnssecInvalid, why));
                }
            };
            let names = [Some(base.as_str()), domain.map(String::as_str)];
            let names: Vec<&str> = names.into_iter().flatten().collect();
            return Ok(Some(Asked {
                level: match Dane::new(&records, &names) {
                    Some(dane) => Level::Dane(Arc::new(dane)),
                    None => Level::Encrypted,
                },
                basis: Basis::Dane,
                name: base.clone(),
                chosen: true,
            }));
        }
        Ok(None)
    }

    /// The records that DNSSEC proves.
    async fn tlsa(&self, base: &str, port: u16) -> dns::Result<Vec<Tlsa>> {
        let answer = self.resolver.tlsa(&format!("_{port}._tcp.{base}")).await?;
        Ok(match answer.secure {
            true => answer.records,
            false => Vec::new(),
        })
    }
}
