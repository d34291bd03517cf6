//! Who may connect: ordered allow and deny rules, and limits on how many.
//!
//! [`Gate`] decides by itself, without a clock or a socket, so that every case
//! can be put into a table.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::settings::{AccessRule, Action, ConnectionLimits};

/// Peers whose intervals are remembered; the oldest are forgotten beyond it.
pub const REMEMBERED_PEERS: usize = 100_000;

/// Why a connection is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// A deny rule names the peer.
    Rule,
    /// The listener has as many connections as it may.
    TooMany,
    /// The peer (an IPv4 address, an IPv6 /64) has as many connections as it may.
    TooManyOfPeer,
    /// Too many new connections in this interval.
    TooFast,
    /// Too many new connections of this peer in this interval.
    TooFastOfPeer,
}

/// Decides about the connections of one listener. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gate {
    rules: Arc<Vec<AccessRule>>,
    limits: ConnectionLimits,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    open: u32,
    interval: Interval,
    peers: HashMap<IpAddr, Peer>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Peer {
    open: u32,
    interval: Interval,
}

/// New connections since the interval began.
#[derive(Debug, Default, Clone, Copy)]
struct Interval {
    began: Option<Instant>,
    count: u32,
}

impl Interval {
    fn count(&mut self, now: Instant, length: Duration) -> u32 {
        match self.began {
            Some(began) if now.duration_since(began) < length => {}
            _ => {
                self.began = Some(now);
                self.count = 0;
            }
        }
        self.count
    }
}

/// A connection that was let in; it counts until it is dropped.
#[derive(Debug)]
pub struct Pass {
    peer: IpAddr,
    counts: Arc<Mutex<Counts>>,
}

impl Gate {
    /// A gate with rules and limits (nothing left open).
    pub fn new(rules: &[AccessRule], limits: ConnectionLimits) -> Gate {
        let mut rules = rules.to_vec();
        rules.sort_by_key(|rule| rule.priority);
        Gate {
            rules: Arc::new(rules),
            limits,
            counts: Arc::default(),
        }
    }

    /// Lets a peer in, or not.
    ///
    /// # Errors
    /// Why not.
    pub fn enter(&self, peer: IpAddr, now: Instant) -> Result<Pass, Denied> {
        let peer = peer.to_canonical();
        let rule = self
            .rules
            .iter()
            .find(|rule| rule.peers.iter().any(|net| net.contains(&peer)));
        let limits = match rule {
            Some(AccessRule {
                action: Action::Deny,
                ..
            }) => return Err(Denied::Rule),
            Some(rule) => rule.limits.clone().or(&self.limits),
            None => self.limits.clone(),
        };
        let length = limits
            .interval
            .map_or(Duration::from_secs(60), |span| span.0);
        let reached = |count: u32, limit: Option<u32>| limit.is_some_and(|limit| count >= limit);
        let fast =
            |count: u32, limit: Option<u32>| limit.is_some_and(|limit| limit > 0 && count >= limit);
        let mut counts = self.counts.lock();
        if counts.peers.len() >= REMEMBERED_PEERS {
            counts.peers.retain(|_, peer| {
                peer.open > 0
                    || peer
                        .interval
                        .began
                        .is_some_and(|began| now.duration_since(began) < length)
            });
            if counts.peers.len() >= REMEMBERED_PEERS {
                counts.peers.retain(|_, peer| peer.open > 0);
            }
        }
        if reached(counts.open, limits.connections) {
            return Err(Denied::TooMany);
        }
        if fast(
            counts.interval.count(now, length),
            limits.interval_connections,
        ) {
            return Err(Denied::TooFast);
        }
        let peer = who(peer);
        let of_peer = counts.peers.entry(peer).or_default();
        if reached(of_peer.open, limits.peer_connections) {
            return Err(Denied::TooManyOfPeer);
        }
        if fast(
            of_peer.interval.count(now, length),
            limits.peer_interval_connections,
        ) {
            return Err(Denied::TooFastOfPeer);
        }
        of_peer.open += 1;
        of_peer.interval.count += 1;
        counts.open += 1;
        counts.interval.count += 1;
        Ok(Pass {
            peer,
            counts: self.counts.clone(),
        })
    }

    /// Connections that are open now.
    pub fn open(&self) -> u32 {
        self.counts.lock().open
    }
}

/// Who is counted as one: an IPv4 address, or an IPv6 network of 64 bits, the
/// smallest that is handed out: its addresses cost whoever has it nothing.
fn who(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        counts.open = counts.open.saturating_sub(1);
        if let Some(peer) = counts.peers.get_mut(&self.peer) {
            peer.open = peer.open.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::settings::Span;

    fn rule(action: Action, peers: &str, priority: u16) -> AccessRule {
        AccessRule {
            action,
            peers: vec![peers.parse().unwrap()],
            priority,
            limits: ConnectionLimits::default(),
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_smallest_priority_that_names_the_peer_decides() {
        let table: [(&[AccessRule], &str, bool); 7] = [
            (&[], "192.0.2.1", true),
            (
                &[rule(Action::Deny, "192.0.2.0/24", 500)],
                "192.0.2.1",
                false,
            ),
            (
                &[rule(Action::Deny, "192.0.2.0/24", 500)],
                "192.0.3.1",
                true,
            ),
            (
                &[
                    rule(Action::Deny, "192.0.2.0/24", 500),
                    rule(Action::Allow, "192.0.2.1/32", 100),
                ],
                "192.0.2.1",
                true,
            ),
            (
                &[
                    rule(Action::Deny, "192.0.2.0/24", 100),
                    rule(Action::Allow, "192.0.2.1/32", 500),
                ],
                "192.0.2.1",
                false,
            ),
            (
                &[rule(Action::Deny, "192.0.2.0/24", 500)],
                "::ffff:192.0.2.1",
                false,
            ),
            (&[rule(Action::Deny, "::/0", 1)], "2001:db8::1", false),
        ];
        for (n, (rules, peer, allowed)) in table.into_iter().enumerate() {
            let gate = Gate::new(rules, ConnectionLimits::default());
            assert_eq!(
                gate.enter(ip(peer), Instant::now()).is_ok(),
                allowed,
                "case {n}"
            );
        }
    }

    #[test]
    fn limits_count_and_forget() {
        let limits = ConnectionLimits {
            connections: Some(3),
            peer_connections: Some(2),
            interval_connections: Some(0),
            peer_interval_connections: Some(4),
            interval: Some(Span(Duration::from_secs(60))),
        };
        let mut allow = rule(Action::Allow, "198.51.100.0/24", 500);
        allow.limits.peer_connections = Some(1);
        let gate = Gate::new(&[allow], limits);
        let now = Instant::now();
        let a = gate.enter(ip("192.0.2.1"), now).unwrap();
        let b = gate.enter(ip("192.0.2.1"), now).unwrap();
        assert_eq!(
            gate.enter(ip("192.0.2.1"), now).unwrap_err(),
            Denied::TooManyOfPeer
        );
        let c = gate.enter(ip("198.51.100.1"), now).unwrap();
        assert_eq!(
            gate.enter(ip("192.0.2.2"), now).unwrap_err(),
            Denied::TooMany
        );
        assert_eq!(gate.open(), 3);
        drop((a, b));
        assert_eq!(
            gate.enter(ip("198.51.100.1"), now).unwrap_err(),
            Denied::TooManyOfPeer,
            "the rule's own limit"
        );
        drop(c);
        for _ in 0..2 {
            gate.enter(ip("192.0.2.1"), now).unwrap();
        }
        assert_eq!(
            gate.enter(ip("192.0.2.1"), now).unwrap_err(),
            Denied::TooFastOfPeer
        );
        gate.enter(ip("192.0.2.1"), now + Duration::from_secs(60))
            .unwrap();
        assert_eq!(gate.open(), 0);
    }

    #[test]
    fn an_ipv6_network_is_one_peer() {
        let limits = ConnectionLimits {
            peer_connections: Some(2),
            ..ConnectionLimits::default()
        };
        let gate = Gate::new(&[], limits);
        let now = Instant::now();
        let _a = gate.enter(ip("2001:db8:1:2::1"), now).unwrap();
        let b = gate.enter(ip("2001:db8:1:2:ffff::7"), now).unwrap();
        assert_eq!(
            gate.enter(ip("2001:db8:1:2::3"), now).unwrap_err(),
            Denied::TooManyOfPeer
        );
        let _other = gate.enter(ip("2001:db8:1:3::1"), now).unwrap();
        drop(b);
        let _c = gate.enter(ip("2001:db8:1:2::3"), now).unwrap();
        assert_eq!(gate.open(), 3);
    }

    #[test]
    fn peers_that_are_gone_are_forgotten() {
        let limits = ConnectionLimits {
            interval: Some(Span(Duration::from_secs(60))),
            ..ConnectionLimits::default()
        };
        let gate = Gate::new(&[], limits);
        let now = Instant::now();
        let kept = gate.enter(ip("192.0.2.1"), now).unwrap();
        for n in 0..150_000u32 {
            let peer = IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n));
            gate.enter(peer, now + Duration::from_millis(n.into()))
                .unwrap();
            assert!(gate.counts.lock().peers.len() <= REMEMBERED_PEERS);
        }
        assert!(gate.counts.lock().peers.contains_key(&kept.peer));
    }
}
