//! Who may connect: ordered allow and deny rules, and limits on how many.
//!
//! [`Gate`] decides by itself, without a clock or a socket, so that every case
//! can be put into a table.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::settings::{AccessRule, Action, ConnectionLimits};

/// Peers whose intervals are remembered; beyond it those without a connection
/// are forgotten.
pub const REMEMBERED_PEERS: usize = 100_000;

/// An interval where nothing says how long it is.
const INTERVAL: Duration = Duration::from_secs(60);

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
    /// The peer is banned for its faults.
    Banned,
}

/// Decides about the connections of one listener. Cheap to clone; all clones
/// are one gate.
#[derive(Debug, Clone)]
pub struct Gate {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    rules: Vec<Rule>,
    limits: ConnectionLimits,
    /// The group of the next rule with limits of its own.
    next_group: Group,
    groups: HashMap<Group, Count>,
    peers: HashMap<(Group, IpAddr), Count>,
    /// Peers are looked through when there are so many.
    sweep_at: usize,
}

#[derive(Debug)]
struct Rule {
    rule: AccessRule,
    /// Those it lets in are counted apart.
    group: Option<Group>,
}

/// Connections that are counted together: all of the listener, or those that
/// one rule let in.
type Group = u32;
const ALL: Group = 0;

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    open: u32,
    /// When the interval began, if there was one.
    began: Option<Timestamp>,
    /// New ones since then.
    new: u32,
}

impl Count {
    /// New ones in the interval that runs now; begins one if none does.
    fn new_in(&mut self, now: Timestamp, length: Duration) -> u32 {
        if !self.runs(now, length) {
            self.began = Some(now);
            self.new = 0;
        }
        self.new
    }

    fn runs(&self, now: Timestamp, length: Duration) -> bool {
        // A clock that was set back begins anew: it must not keep anybody out for long.
        self.began.is_some_and(|began| {
            Duration::try_from(now.duration_since(began)).is_ok_and(|age| age < length)
        })
    }
}

/// A connection that was let in; it counts until it is dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Gate,
    groups: Vec<Group>,
    peer: Option<IpAddr>,
}

impl Gate {
    /// A gate with the rules of several levels, the first level first, and
    /// limits (nothing left open).
    pub fn new(levels: &[&[AccessRule]], limits: ConnectionLimits) -> Gate {
        let gate = Gate {
            inner: Arc::new(Mutex::new(Inner {
                rules: Vec::new(),
                limits: ConnectionLimits::default(),
                next_group: ALL + 1,
                groups: HashMap::new(),
                peers: HashMap::new(),
                sweep_at: REMEMBERED_PEERS,
            })),
        };
        gate.change(levels, limits);
        gate
    }

    /// Other rules and limits from now on. Who is in stays in, and what was
    /// counted goes on counting, for rules as long as they name the same peers.
    pub fn change(&self, levels: &[&[AccessRule]], limits: ConnectionLimits) {
        let mut inner = self.inner.lock();
        let mut old = std::mem::take(&mut inner.rules);
        for level in levels {
            let mut rules = level.to_vec();
            rules.sort_by_key(|rule| rule.priority);
            for rule in rules {
                let apart = rule.action == Action::Allow && rule.limits != Default::default();
                let same = old
                    .iter_mut()
                    .filter(|old| old.rule.peers == rule.peers)
                    .find_map(|old| old.group.take());
                let group = match (apart, same) {
                    (false, _) => None,
                    (true, Some(same)) => Some(same),
                    (true, None) => {
                        inner.next_group = inner.next_group.wrapping_add(1).max(ALL + 1);
                        Some(inner.next_group)
                    }
                };
                inner.rules.push(Rule { rule, group });
            }
        }
        inner.limits = limits;
        let used: Vec<Group> = inner.rules.iter().filter_map(|rule| rule.group).collect();
        let wanted = |group: Group| group == ALL || used.contains(&group);
        inner
            .groups
            .retain(|group, count| count.open > 0 || wanted(*group));
        inner
            .peers
            .retain(|(group, _), count| count.open > 0 || wanted(*group));
    }

    /// Lets a peer in, or not.
    ///
    /// # Errors
    /// Why not.
    pub fn enter(&self, peer: IpAddr, now: Timestamp) -> Result<Pass, Denied> {
        let mut pass = self.pass();
        pass.admit(peer, now)?;
        Ok(pass)
    }

    /// Lets somebody in whose address is not known yet: a proxy will say. It
    /// counts among all connections; what else holds is for
    /// `admit`.
    ///
    /// # Errors
    /// [`Denied::TooMany`].
    pub fn hold(&self) -> Result<Pass, Denied> {
        let mut pass = self.pass();
        let mut inner = self.inner.lock();
        // The most that all rules together allow: which one will hold is not known.
        let most = inner.rules.iter().map(|rule| &rule.rule.limits);
        let most = most.filter_map(|limits| limits.connections);
        let most = inner
            .limits
            .connections
            .map(|of_all| most.fold(of_all, |most, more| most.saturating_add(more)));
        let all = inner.groups.entry(ALL).or_default();
        if most.is_some_and(|most| all.open >= most) {
            return Err(Denied::TooMany);
        }
        all.open += 1;
        pass.groups.push(ALL);
        drop(inner);
        Ok(pass)
    }

    fn pass(&self) -> Pass {
        Pass {
            gate: self.clone(),
            groups: Vec::new(),
            peer: None,
        }
    }

    /// Connections that are open now.
    pub fn open(&self) -> u32 {
        let inner = self.inner.lock();
        inner.groups.get(&ALL).map_or(0, |all| all.open)
    }
}

impl Pass {
    /// Decides about the peer, whose address is known now.
    ///
    /// # Errors
    /// Why it may not come in.
    pub(crate) fn admit(&mut self, peer: IpAddr, now: Timestamp) -> Result<(), Denied> {
        let mut inner = self.gate.inner.lock();
        let named = |rule: &&Rule| rule.rule.peers.iter().any(|peers| peers.contains(peer));
        let rule = inner.rules.iter().find(named);
        let (group, own) = match rule {
            Some(rule) if rule.rule.action == Action::Deny => return Err(Denied::Rule),
            Some(rule) => (rule.group, rule.rule.limits.clone()),
            None => (None, ConnectionLimits::default()),
        };
        let peer = network(peer);
        let limits = inner.limits.clone();
        inner.sweep(now);
        let held = self.groups.contains(&ALL);
        // What a rule leaves open is the listener's, and counts with all others.
        let rest = ConnectionLimits {
            connections: limits.connections.filter(|_| own.connections.is_none()),
            peer_connections: limits
                .peer_connections
                .filter(|_| own.peer_connections.is_none()),
            interval_connections: limits
                .interval_connections
                .filter(|_| own.interval_connections.is_none()),
            peer_interval_connections: limits
                .peer_interval_connections
                .filter(|_| own.peer_interval_connections.is_none()),
            interval: limits.interval,
        };
        let own = ConnectionLimits {
            interval: own.interval.or(limits.interval),
            ..own
        };
        inner.check(ALL, peer, &rest, now, u32::from(held))?;
        if let Some(group) = group {
            inner.check(group, peer, &own, now, 0)?;
        }
        for group in [Some(ALL), group].into_iter().flatten() {
            let opened = u32::from(!(held && group == ALL));
            let count = inner.groups.entry(group).or_default();
            count.open += opened;
            count.new = count.new.saturating_add(1);
            let count = inner.peers.entry((group, peer)).or_default();
            count.open += 1;
            count.new = count.new.saturating_add(1);
            if opened > 0 {
                self.groups.push(group);
            }
        }
        self.peer = Some(peer);
        Ok(())
    }
}

impl Inner {
    /// Whether one more may come in, `already` counted ones not counted.
    fn check(
        &mut self,
        group: Group,
        peer: IpAddr,
        limits: &ConnectionLimits,
        now: Timestamp,
        already: u32,
    ) -> Result<(), Denied> {
        let length = limits.interval.map_or(INTERVAL, |span| span.0);
        let full = |open: u32, limit: Option<u32>| limit.is_some_and(|limit| open >= limit);
        let fast =
            |new: u32, limit: Option<u32>| limit.is_some_and(|limit| limit > 0 && new >= limit);
        let all = self.groups.entry(group).or_default();
        if full(all.open - already.min(all.open), limits.connections) {
            return Err(Denied::TooMany);
        }
        if fast(all.new_in(now, length), limits.interval_connections) {
            return Err(Denied::TooFast);
        }
        let of_peer = self.peers.entry((group, peer)).or_default();
        if full(of_peer.open, limits.peer_connections) {
            return Err(Denied::TooManyOfPeer);
        }
        if fast(
            of_peer.new_in(now, length),
            limits.peer_interval_connections,
        ) {
            return Err(Denied::TooFastOfPeer);
        }
        Ok(())
    }

    /// Forgets peers when there are too many: first those whose interval is
    /// over, then all that have no connection.
    fn sweep(&mut self, now: Timestamp) {
        if self.peers.len() < self.sweep_at {
            return;
        }
        let of_rules = self
            .rules
            .iter()
            .filter_map(|rule| rule.rule.limits.interval);
        let longest = of_rules.chain(self.limits.interval).max();
        let longest = longest.map_or(INTERVAL, |span| span.0);
        self.peers
            .retain(|_, peer| peer.open > 0 || peer.runs(now, longest));
        if self.peers.len() >= REMEMBERED_PEERS {
            self.peers.retain(|_, peer| peer.open > 0);
        }
        // Those that have connections are not looked at for each new one.
        self.sweep_at = REMEMBERED_PEERS.max(self.peers.len() + self.peers.len() / 4);
    }
}

/// Who is counted as one: an IPv4 address, or an IPv6 network of 64 bits, the
/// smallest that is handed out: its addresses cost whoever has it nothing.
pub(crate) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inner = self.gate.inner.lock();
        for group in &self.groups {
            if let Some(count) = inner.groups.get_mut(group) {
                count.open = count.open.saturating_sub(1);
            }
            let of_peer = self
                .peer
                .and_then(|peer| inner.peers.get_mut(&(*group, peer)));
            if let Some(count) = of_peer {
                count.open = count.open.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests;
