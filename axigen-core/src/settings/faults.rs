//! What faults cost a peer.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::{Peers, loopback};
use super::values::Span;

/// What faults cost a peer: commands that are none, failed logins, whatever
/// counts for `errors` of a service. Within a connection the answers to further
/// ones wait longer and longer; over all connections and services too many lead
/// to a ban, and each ban of the same peer lasts twice as long as the one before.
/// An IPv6 network of 64 bits counts as one peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FaultSettings {
    /// Faults of one connection that cost nothing.
    pub free: u32,
    /// How long nothing more is read after the first fault beyond that; each
    /// further one costs twice as long. "0s" is no wait.
    pub wait: Span,
    /// The longest of these waits.
    pub longest_wait: Span,
    /// So many faults ban a peer; 0 bans nobody.
    pub ban_after: u32,
    /// How long after its last fault all of a peer's faults are forgotten.
    pub interval: Span,
    /// How long the first ban lasts.
    pub ban: Span,
    /// The longest ban.
    pub longest_ban: Span,
    /// How long after its end a ban makes the next one longer.
    pub forget: Span,
    /// Peers whose faults cost nothing and that are never banned.
    pub trusted: Vec<Peers>,
    /// Most peers that are remembered; those with the fewest faults are forgotten
    /// first, those that are banned last.
    pub remembered: usize,
}

impl Default for FaultSettings {
    fn default() -> FaultSettings {
        FaultSettings {
            free: 5,
            wait: Span(Duration::from_secs(1)),
            longest_wait: Span(Duration::from_secs(15)),
            ban_after: 100,
            interval: Span(Duration::from_secs(3600)),
            ban: Span(Duration::from_secs(600)),
            longest_ban: Span(Duration::from_secs(86_400)),
            forget: Span(Duration::from_secs(7 * 86_400)),
            trusted: loopback(),
            remembered: 50_000,
        }
    }
}
