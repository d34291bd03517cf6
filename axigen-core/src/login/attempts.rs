//! Failed logins of peers and accounts over all connections: who has too many
//! waits, in line with all others that try the same.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::net::rules::network;
use crate::settings::LoginSettings;

/// How long a peer that has logged in to an account is known to belong to it.
const KNOWN: Duration = Duration::from_secs(30 * 86_400);

/// Everything that is remembered of failed logins. Bounded, and only in memory:
/// a restart forgets it.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    table: Mutex<HashMap<Key, Entry>>,
}

/// Whose failed logins are counted. Names of accounts are there as hashes: they
/// are as long as a peer likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Peer(IpAddr),
    Account([u8; 16]),
    /// A peer that has logged in to an account.
    Known(IpAddr, [u8; 16]),
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    failures: u32,
    /// When it last failed; for [`Key::Known`], when it last succeeded.
    last: Instant,
    /// When the last of those who wait has had its turn.
    turn: Instant,
}

impl Attempts {
    /// How long a login waits before it is looked at; `None` if too many wait
    /// already.
    pub(crate) fn wait(
        &self,
        peer: IpAddr,
        account: Option<&str>,
        settings: &LoginSettings,
        now: Instant,
    ) -> Option<Duration> {
        let trusted = is_trusted(peer, settings);
        let peer = network(peer);
        let account = account.map(hash);
        let longest = settings.longest_wait.0;
        let mut table = self.table.lock();
        let mut paying: Vec<(Key, Instant)> = Vec::new();
        let is_known = account.is_some_and(|account| {
            let known = table.get(&Key::Known(peer, account));
            known.is_some_and(|known| now.saturating_duration_since(known.last) < KNOWN)
        });
        let free = [
            (!trusted).then_some((Key::Peer(peer), settings.peer_failures)),
            account
                .filter(|_| !is_known)
                .map(|account| (Key::Account(account), settings.account_failures)),
        ];
        for (key, free) in free.into_iter().flatten() {
            let Some(entry) = table.get(&key) else {
                continue;
            };
            if now.saturating_duration_since(entry.last) >= settings.forget.0 {
                table.remove(&key);
                continue;
            }
            let Some(beyond) = entry.failures.checked_sub(free) else {
                continue;
            };
            let factor = 2u32.saturating_pow(beyond);
            let delay = settings.wait.0.saturating_mul(factor).min(longest);
            let begin = entry.turn.max(now);
            if begin.saturating_duration_since(now) > longest {
                return None;
            }
            paying.push((key, begin + delay));
        }
        let mut wait = Duration::ZERO;
        for (key, turn) in paying {
            if let Some(entry) = table.get_mut(&key) {
                entry.turn = turn;
            }
            wait = wait.max(turn.saturating_duration_since(now));
        }
        Some(wait)
    }

    /// A login has failed.
    pub(crate) fn failed(
        &self,
        peer: IpAddr,
        account: Option<&str>,
        settings: &LoginSettings,
        now: Instant,
    ) {
        let trusted = is_trusted(peer, settings);
        let peer = network(peer);
        let keys = [
            (!trusted).then_some(Key::Peer(peer)),
            account.map(|account| Key::Account(hash(account))),
        ];
        let mut table = self.table.lock();
        for key in keys.into_iter().flatten() {
            make_room(&mut table, settings, now);
            let entry = table.entry(key).or_insert(Entry {
                failures: 0,
                last: now,
                turn: now,
            });
            if now.saturating_duration_since(entry.last) >= settings.forget.0 {
                entry.failures = 0;
            }
            entry.failures = entry.failures.saturating_add(1);
            entry.last = now;
        }
    }

    /// A login was good: from here on the peer is known to belong to the account,
    /// and the account's failures were its own typing errors.
    pub(crate) fn succeeded(
        &self,
        peer: IpAddr,
        account: &str,
        settings: &LoginSettings,
        now: Instant,
    ) {
        let account = hash(account);
        let mut table = self.table.lock();
        make_room(&mut table, settings, now);
        table.insert(
            Key::Known(network(peer), account),
            Entry {
                failures: 0,
                last: now,
                turn: now,
            },
        );
        // The peer's own failures stay: whoever guesses at many accounts may have one.
        table.remove(&Key::Account(account));
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.table.lock().len()
    }
}

/// Makes room for one more: first what has expired goes, then an eighth of all,
/// those that failed least and longest ago.
fn make_room(table: &mut HashMap<Key, Entry>, settings: &LoginSettings, now: Instant) {
    let most = settings.remembered.max(8);
    if table.len() < most {
        return;
    }
    table.retain(|key, entry| {
        let age = now.saturating_duration_since(entry.last);
        match key {
            Key::Known(..) => age < KNOWN,
            Key::Peer(_) | Key::Account(_) => age < settings.forget.0,
        }
    });
    let keep = most - most / 8;
    if table.len() > keep {
        let mut order: Vec<(u32, Instant, Key)> = table
            .iter()
            .map(|(key, entry)| (entry.failures, entry.last, *key))
            .collect();
        order.sort_unstable_by_key(|(failures, last, _)| (*failures, *last));
        for (_, _, key) in order.iter().take(table.len() - keep) {
            table.remove(key);
        }
    }
}

fn is_trusted(peer: IpAddr, settings: &LoginSettings) -> bool {
    settings.trusted.iter().any(|peers| peers.contains(peer))
}

fn hash(account: &str) -> [u8; 16] {
    let full = blake3::hash(account.to_lowercase().as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&full.as_bytes()[..16]);
    short
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::Ipv6Addr;

    use super::*;
    use crate::settings::Span;

    const ANN: Option<&str> = Some("ann@example.test");

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn settings() -> LoginSettings {
        LoginSettings {
            peer_failures: 3,
            account_failures: 2,
            ..LoginSettings::default()
        }
    }

    /// Guesses until one would be refused; the waits, in seconds.
    fn waits(attempts: &Attempts, from: impl Fn(u8) -> IpAddr, account: Option<&str>) -> Vec<u64> {
        let (settings, now) = (settings(), Instant::now());
        let mut waits = Vec::new();
        for n in 0..12 {
            let Some(wait) = attempts.wait(from(n), account, &settings, now) else {
                break;
            };
            waits.push(wait.as_secs());
            attempts.failed(from(n), account, &settings, now);
        }
        waits
    }

    #[test]
    fn guesses_from_one_peer_cost_more_and_more() {
        let attempts = Attempts::default();
        // All at the same moment: each waits for those before it.
        assert_eq!(
            waits(&attempts, |_| peer(1), None),
            [0, 0, 0, 1, 3, 7, 15, 30]
        );
        let now = Instant::now();
        let other = attempts.wait(peer(2), None, &settings(), now);
        assert_eq!(other, Some(Duration::ZERO));
    }

    #[test]
    fn guesses_at_one_account_from_everywhere() {
        let attempts = Attempts::default();
        assert_eq!(waits(&attempts, peer, ANN), [0, 0, 1, 3, 7, 15, 30]);
        let now = Instant::now();
        let capitals = Some("Ann@Example.Test");
        assert_eq!(attempts.wait(peer(99), capitals, &settings(), now), None);
        let other = Some("bob@example.test");
        assert_eq!(
            attempts.wait(peer(99), other, &settings(), now),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn the_owner_is_not_locked_out() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        attempts.succeeded(peer(200), "ann@example.test", &settings(), now);
        waits(&attempts, peer, ANN);
        assert_eq!(
            attempts.wait(peer(200), ANN, &settings(), now),
            Some(Duration::ZERO)
        );
        assert_eq!(attempts.wait(peer(201), ANN, &settings(), now), None);
        // Once in, the account's failures are history.
        attempts.succeeded(peer(201), "ann@example.test", &settings(), now);
        assert_eq!(
            attempts.wait(peer(202), ANN, &settings(), now),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn failures_are_forgotten() {
        let (attempts, settings) = (Attempts::default(), settings());
        waits(&attempts, peer, ANN);
        let later = Instant::now() + settings.forget.0;
        assert_eq!(
            attempts.wait(peer(1), ANN, &settings, later),
            Some(Duration::ZERO)
        );
        attempts.failed(peer(1), ANN, &settings, later);
        assert_eq!(
            attempts.wait(peer(1), ANN, &settings, later),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn trusted_peers_are_not_counted_but_accounts_are() {
        let attempts = Attempts::default();
        let home = |_| IpAddr::from([127, 0, 0, 1]);
        assert_eq!(waits(&attempts, home, None).len(), 12);
        assert_eq!(waits(&attempts, home, ANN), [0, 0, 1, 3, 7, 15, 30]);
        let attempts = Attempts::default();
        let home = |_| IpAddr::from(Ipv6Addr::LOCALHOST);
        assert_eq!(waits(&attempts, home, None), [0; 12]);
    }

    #[test]
    fn a_network_of_64_bits_is_one_peer() {
        let attempts = Attempts::default();
        let inside = |n: u8| IpAddr::from([0x2001, 0xdb8, 0, 1, n.into(), n.into(), 0, 1]);
        assert_eq!(waits(&attempts, inside, None), [0, 0, 0, 1, 3, 7, 15, 30]);
        // And an IPv4 address is one however it is written.
        let attempts = Attempts::default();
        let mapped = |n: u8| match n % 2 {
            0 => peer(1),
            _ => IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201]),
        };
        assert_eq!(waits(&attempts, mapped, None), [0, 0, 0, 1, 3, 7, 15, 30]);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_worst() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let settings = LoginSettings {
            remembered: 800,
            wait: Span(Duration::from_secs(1)),
            ..settings()
        };
        for _ in 0..10 {
            attempts.failed(peer(7), None, &settings, now);
        }
        for n in 0..10_000u32 {
            let other = IpAddr::from(0x0a00_0000u32.wrapping_add(n).to_be_bytes());
            attempts.failed(other, Some(&format!("u{n}@example.test")), &settings, now);
            assert!(attempts.len() <= 800);
        }
        let wait = attempts.wait(peer(7), None, &settings, now).unwrap();
        assert!(wait > Duration::ZERO, "it is still known");
    }
}
