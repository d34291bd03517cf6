//! What failed logins cost.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::{Peers, loopback};
use super::values::Span;

/// How often one may try to log in. Failed logins are counted for each peer
/// address and for each account, by all services and over all connections; who
/// has too many waits before the next is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoginSettings {
    /// Failed logins of one peer address that cost nothing; an IPv6 network of 64
    /// bits counts as one peer.
    pub peer_failures: u32,
    /// Failed logins of one account that cost nothing, wherever they come from. A
    /// peer that has logged in to the account does not pay for those of others.
    pub account_failures: u32,
    /// How long the first login beyond that waits; each further one waits twice as
    /// long.
    pub wait: Span,
    /// The longest a login waits. When this much waits in line already, it is
    /// refused for now.
    pub longest_wait: Span,
    /// How long after the last failed login all of them are forgotten.
    pub forget: Span,
    /// Peers whose failed logins are not counted by address, as "127.0.0.1" or
    /// "10.0.0.0/8": proxies and web mail, behind which many people are.
    pub trusted: Vec<Peers>,
    /// Most peers and accounts that are remembered; those with the fewest failed
    /// logins are forgotten first.
    pub remembered: usize,
}

impl Default for LoginSettings {
    fn default() -> LoginSettings {
        LoginSettings {
            peer_failures: 20,
            account_failures: 10,
            wait: Span(Duration::from_secs(1)),
            longest_wait: Span(Duration::from_secs(15)),
            forget: Span(Duration::from_secs(15 * 60)),
            trusted: loopback(),
            remembered: 50_000,
        }
    }
}
