//! What a domain is told of TLS to it: each session counts, well or not
//! ([RFC 8460 §4.2](https://www.rfc-editor.org/rfc/rfc8460#section-4.2)).

use axigen_proto::mta_sts::Mode;

use super::SmtpOut;
use super::connect::{Failed, Link, Outcome, Try};
use super::hosts::Host;
use super::security::{Unfit, Wish};
use crate::queue::route::{Hop, Route};
use crate::transport::report::Session;
use crate::transport::report::format::Identity;
use crate::transport::sts::Found;
use crate::transport::{Basis, Flaw, Level};

impl SmtpOut {
    /// Counts a try to reach a host, as far as it says something about TLS.
    pub(super) fn report(
        &self,
        one: &Try<'_>,
        sts: &Found,
        outcome: &Outcome,
        reached: &Result<Link, Failed>,
    ) {
        let Hop::Mx(domain) = &one.route.to else {
            return;
        };
        // Without what the domain asks for there is nothing to tell it.
        if one.wish == Wish::Optional || matches!(one.asked.level, Level::Plain) {
            return;
        }
        let basis = one.asked.basis;
        let testing = basis == Basis::Sts(Mode::Testing);
        let unnamed = sts
            .policy
            .as_ref()
            .is_some_and(|kept| !kept.policy.names(&one.host.name));
        let failure = match reached {
            Err(Failed::Other(_)) => return,
            Err(Failed::Unfit(unfit) | Failed::Tls(unfit)) => Some((unfit.flaw, unfit.why.clone())),
            Ok(_) => match (&outcome.failed, outcome.tls, &outcome.seen.authority) {
                (Some(unfit), ..) => Some((unfit.flaw, unfit.why.clone())),
                (None, false, _) => {
                    let why = "the host does not offer STARTTLS";
                    Some((Flaw::StartTlsNotSupported, why.to_owned()))
                }
                (None, true, Some(Err(error))) if testing => {
                    Some((Flaw::of(error), error.to_string()))
                }
                (None, true, _) if testing && unnamed => {
                    let why = "the policy does not name this host";
                    Some((Flaw::ValidationFailure, why.to_owned()))
                }
                (None, true, _) => None,
            },
        };
        if let (true, Some((flaw, why))) = (testing, &failure) {
            tracing::warn!(
                host = one.host.name,
                domain,
                flaw = flaw.as_str(),
                why,
                "the MTA-STS policy, which is in testing, is not kept by this host"
            );
        }
        let policy = match (basis, &one.asked.level) {
            (Basis::Dane, Level::Dane(dane)) => tlsa(domain, &one.asked.name, dane.texts()),
            (Basis::Dane, _) => tlsa(domain, &one.asked.name, Vec::new()),
            _ => of_domain(domain, sts),
        };
        let why = failure.as_ref().map(|(flaw, why)| (*flaw, why.as_str()));
        self.reports.note(Session {
            policy,
            failure: why,
            host: Some(&one.host.name),
            ours: outcome.ours,
            theirs: one.address.map(|address| address.ip()),
        });
    }

    /// Counts a host that is not even tried.
    pub(super) fn report_unfit(&self, route: &Route, host: &Host, sts: &Found, unfit: &Unfit) {
        let Hop::Mx(domain) = &route.to else { return };
        let policy = match unfit.flaw {
            Flaw::DnssecInvalid | Flaw::TlsaInvalid | Flaw::DaneRequired => {
                tlsa(domain, &host.name, Vec::new())
            }
            _ => of_domain(domain, sts),
        };
        self.reports.note(Session {
            policy,
            failure: Some((unfit.flaw, &unfit.why)),
            host: Some(&host.name),
            ours: None,
            theirs: None,
        });
    }

    /// Counts a policy that cannot be had.
    pub(super) fn report_policy(&self, domain: &str, sts: &Found) {
        if let Some((flaw, why)) = &sts.flaw {
            self.reports.note(Session {
                policy: of_domain(domain, sts),
                failure: Some((*flaw, why)),
                host: None,
                ours: None,
                theirs: None,
            });
        }
    }
}

fn tlsa(domain: &str, host: &str, records: Vec<String>) -> Identity {
    Identity {
        policy_type: "tlsa".into(),
        policy_string: records,
        policy_domain: domain.to_owned(),
        mx_host: vec![host.to_owned()],
    }
}

/// The domain's policy of MTA-STS, or that it has none.
fn of_domain(domain: &str, sts: &Found) -> Identity {
    let kind = match (&sts.policy, &sts.flaw) {
        (None, None) => "no-policy-found",
        _ => "sts",
    };
    let policy = sts.policy.as_ref().map(|kept| &kept.policy);
    let lines = policy.map(|policy| policy.to_string()).unwrap_or_default();
    Identity {
        policy_type: kind.into(),
        policy_string: lines.lines().map(str::to_owned).collect(),
        policy_domain: domain.to_owned(),
        mx_host: policy.map_or_else(Vec::new, |policy| {
            policy.mx.iter().map(ToString::to_string).collect()
        }),
    }
}
