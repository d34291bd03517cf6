#![allow(clippy::unwrap_used)]
use super::*;
use crate::settings::Span;

fn rule(action: Action, peers: &str, priority: u16) -> AccessRule {
    AccessRule {
        action,
        peers: peers
            .split(' ')
            .map(|peers| peers.parse().unwrap())
            .collect(),
        priority,
        limits: ConnectionLimits::default(),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

fn after(seconds: u64) -> Timestamp {
    now() + Duration::from_secs(seconds)
}

fn peer(n: u32) -> IpAddr {
    IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n))
}

#[test]
fn the_smallest_priority_that_names_the_peer_decides() {
    let (allow, deny) = (Action::Allow, Action::Deny);
    let table: [(&[AccessRule], &str, bool); 12] = [
        (&[], "192.0.2.1", true),
        (&[rule(deny, "192.0.2.0/24", 500)], "192.0.2.1", false),
        (&[rule(deny, "192.0.2.0/24", 500)], "192.0.3.1", true),
        (
            &[
                rule(deny, "192.0.2.0/24", 500),
                rule(allow, "192.0.2.1", 100),
            ],
            "192.0.2.1",
            true,
        ),
        (
            &[
                rule(deny, "192.0.2.0/24", 100),
                rule(allow, "192.0.2.1", 500),
            ],
            "192.0.2.1",
            false,
        ),
        // Of two that are equal the one that stands first.
        (
            &[rule(allow, "192.0.2.1", 500), rule(deny, "0.0.0.0/0", 500)],
            "192.0.2.1",
            true,
        ),
        (
            &[rule(deny, "0.0.0.0/0", 500), rule(allow, "192.0.2.1", 500)],
            "192.0.2.1",
            false,
        ),
        (&[rule(deny, "192.0.2.0/24", 5)], "::ffff:192.0.2.1", false),
        (&[rule(deny, "::/0", 1)], "2001:db8::1", false),
        (&[rule(deny, "::/0", 1)], "192.0.2.1", true),
        (
            &[rule(deny, "192.0.2.5-192.0.2.9 198.51.100.1", 1)],
            "192.0.2.9",
            false,
        ),
        (
            &[rule(deny, "192.0.2.5-192.0.2.9 198.51.100.1", 1)],
            "192.0.2.10",
            true,
        ),
    ];
    for (n, (rules, peer, allowed)) in table.into_iter().enumerate() {
        let gate = Gate::new(&[rules], ConnectionLimits::default());
        assert_eq!(gate.enter(ip(peer), now()).is_ok(), allowed, "case {n}");
    }
}

/// Every combination of what three levels may say of a peer: nothing, or a rule
/// that allows or denies it, with one of two priorities, alone or with another
/// of the opposite kind. An independent reading of the documentation says what
/// should come of it.
#[test]
fn every_combination_of_levels_actions_and_priorities() {
    let peers = "192.0.2.0/24";
    let mut sets: Vec<Vec<AccessRule>> = vec![vec![], vec![rule(Action::Deny, "198.51.100.1", 1)]];
    for (first, second) in [(Action::Allow, Action::Deny), (Action::Deny, Action::Allow)] {
        for priority in [1, 1000] {
            sets.push(vec![rule(first, peers, priority)]);
            for other in [1, 500, 1000] {
                sets.push(vec![
                    rule(first, peers, priority),
                    rule(second, peers, other),
                ]);
            }
        }
    }
    let says = |rules: &[AccessRule]| {
        let mut best: Option<&AccessRule> = None;
        for rule in rules
            .iter()
            .filter(|rule| rule.peers[0].contains(ip("192.0.2.7")))
        {
            if best.is_none_or(|best| rule.priority < best.priority) {
                best = Some(rule);
            }
        }
        best.map(|rule| rule.action)
    };
    let mut tried = 0;
    for server in &sets {
        for listener in &sets {
            for service in &sets {
                let gate = Gate::new(&[server, listener, service], ConnectionLimits::default());
                let want = says(server).or(says(listener)).or(says(service));
                let got = gate.enter(ip("192.0.2.7"), now());
                match want {
                    Some(Action::Deny) => assert_eq!(got.unwrap_err(), Denied::Rule),
                    _ => drop(got.unwrap()),
                }
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 18 * 18 * 18);
}

/// Each limit, at the listener and at a rule of each level, lets exactly as many
/// in as it says and names itself when it does not.
#[test]
fn every_limit_at_every_level_is_exact() {
    type Set = fn(&mut ConnectionLimits, u32);
    let limits: [(&str, Set, Denied); 4] = [
        (
            "connections",
            |l, n| l.connections = Some(n),
            Denied::TooMany,
        ),
        (
            "peer_connections",
            |l, n| l.peer_connections = Some(n),
            Denied::TooManyOfPeer,
        ),
        (
            "interval_connections",
            |l, n| l.interval_connections = Some(n),
            Denied::TooFast,
        ),
        (
            "peer_interval_connections",
            |l, n| l.peer_interval_connections = Some(n),
            Denied::TooFastOfPeer,
        ),
    ];
    for (name, set, denied) in limits {
        let of_peer = name.starts_with("peer");
        let fast = name.contains("interval");
        // 3 is the rule's level, where there is one.
        for level in 0..4 {
            for most in [1, 2, 5] {
                let case = format!("{name} = {most} at {level}");
                let mut of_listener = ConnectionLimits {
                    interval: Some(Span(Duration::from_secs(60))),
                    ..ConnectionLimits::default()
                };
                let mut allow = rule(Action::Allow, "192.0.2.0/24", 500);
                if level == 3 {
                    set(&mut of_listener, most);
                } else {
                    // What the rule says holds, though the listener is narrower, or wider.
                    set(&mut of_listener, if most == 5 { 1 } else { 100 });
                    set(&mut allow.limits, most);
                }
                let rules = vec![allow];
                let mut levels: [&[AccessRule]; 3] = [&[], &[], &[]];
                if level < 3 {
                    levels[level] = &rules;
                }
                let gate = Gate::new(&levels, of_listener);
                let inside = |n: u32| match of_peer {
                    true => ip("192.0.2.1"),
                    false => IpAddr::from([192, 0, 2, u8::try_from(n).unwrap()]),
                };
                let mut passes: Vec<Pass> = (0..most)
                    .map(|n| gate.enter(inside(n), now()).unwrap())
                    .collect();
                for _ in 0..3 {
                    assert_eq!(gate.enter(inside(99), now()).unwrap_err(), denied, "{case}");
                }
                assert_eq!(gate.open(), most, "{case}");
                if of_peer {
                    // Another peer has its own.
                    passes.push(gate.enter(ip("192.0.2.200"), now()).unwrap());
                }
                let going = passes.remove(0);
                drop(going);
                let again = gate.enter(inside(1), now());
                match fast {
                    true => assert_eq!(again.unwrap_err(), denied, "{case}"),
                    false => drop(again.unwrap()),
                }
                assert_eq!(gate.enter(inside(1), after(59)).is_err(), fast, "{case}");
                drop(gate.enter(inside(1), after(60)).unwrap());
                drop(passes);
                assert_eq!(gate.open(), 0, "{case}");
            }
        }
    }
}

#[test]
fn nobody_and_no_limit() {
    for (limits, lets_in) in [
        (
            ConnectionLimits {
                connections: Some(0),
                ..ConnectionLimits::default()
            },
            false,
        ),
        (
            ConnectionLimits {
                peer_connections: Some(0),
                ..ConnectionLimits::default()
            },
            false,
        ),
        (
            ConnectionLimits {
                interval_connections: Some(0),
                peer_interval_connections: Some(0),
                ..ConnectionLimits::default()
            },
            true,
        ),
    ] {
        let gate = Gate::new(&[], limits);
        assert_eq!(gate.enter(peer(1), now()).is_ok(), lets_in);
    }
}

/// Two intervals of different length do not disturb each other.
#[test]
fn what_a_rule_does_not_limit_counts_for_all() {
    let mut quick = rule(Action::Allow, "198.51.100.0/24", 500);
    quick.limits.interval = Some(Span(Duration::from_secs(1)));
    quick.limits.peer_interval_connections = Some(1);
    let limits = ConnectionLimits {
        connections: Some(100),
        interval_connections: Some(4),
        peer_interval_connections: Some(2),
        interval: Some(Span(Duration::from_secs(60))),
        ..ConnectionLimits::default()
    };
    let gate = Gate::new(&[&[quick]], limits);
    gate.enter(peer(1), now()).unwrap();
    gate.enter(peer(1), now()).unwrap();
    gate.enter(ip("198.51.100.1"), now()).unwrap();
    let again = gate.enter(ip("198.51.100.1"), now()).unwrap_err();
    assert_eq!(again, Denied::TooFastOfPeer);
    gate.enter(ip("198.51.100.1"), after(2)).unwrap();
    // The rule's second did not begin a new minute for the others.
    assert_eq!(gate.enter(peer(1), after(3)).unwrap_err(), Denied::TooFast);
    assert_eq!(
        gate.enter(ip("198.51.100.1"), after(4)).unwrap_err(),
        Denied::TooFast,
        "all of the listener"
    );
    gate.enter(peer(1), after(60)).unwrap();
}

#[test]
fn an_ipv6_network_is_one_peer() {
    let limits = ConnectionLimits {
        peer_connections: Some(2),
        ..ConnectionLimits::default()
    };
    let gate = Gate::new(&[], limits);
    let _a = gate.enter(ip("2001:db8:1:2::1"), now()).unwrap();
    let b = gate.enter(ip("2001:db8:1:2:ffff::7"), now()).unwrap();
    assert_eq!(
        gate.enter(ip("2001:db8:1:2::3"), now()).unwrap_err(),
        Denied::TooManyOfPeer
    );
    let _other = gate.enter(ip("2001:db8:1:3::1"), now()).unwrap();
    drop(b);
    let _c = gate.enter(ip("2001:db8:1:2::3"), now()).unwrap();
    assert_eq!(gate.open(), 3);
}

#[test]
fn peers_that_are_gone_are_forgotten() {
    let limits = ConnectionLimits {
        interval: Some(Span(Duration::from_secs(60))),
        ..ConnectionLimits::default()
    };
    let gate = Gate::new(&[], limits);
    let kept = gate.enter(ip("192.0.2.1"), now()).unwrap();
    for n in 0..150_000u32 {
        let at = now() + Duration::from_millis(n.into());
        gate.enter(peer(n), at).unwrap();
        assert!(gate.inner.lock().peers.len() <= REMEMBERED_PEERS);
    }
    let inner = gate.inner.lock();
    assert!(inner.peers.contains_key(&(ALL, kept.peer.unwrap())));
}

#[test]
fn a_clock_that_is_set_back_keeps_nobody_out_for_long() {
    let limits = ConnectionLimits {
        interval_connections: Some(1),
        ..ConnectionLimits::default()
    };
    let gate = Gate::new(&[], limits);
    gate.enter(peer(1), after(86_400)).unwrap();
    gate.enter(peer(1), now()).unwrap();
    assert_eq!(gate.enter(peer(1), after(1)).unwrap_err(), Denied::TooFast);
    gate.enter(peer(1), after(60)).unwrap();
}

#[test]
fn a_change_forgets_nobody_who_is_there() {
    let limits = |connections| ConnectionLimits {
        connections: Some(connections),
        peer_interval_connections: Some(3),
        ..ConnectionLimits::default()
    };
    let mut allow = rule(Action::Allow, "198.51.100.0/24", 500);
    allow.limits.connections = Some(2);
    let gate = Gate::new(&[&[], &[allow.clone()]], limits(10));
    let mut open: Vec<Pass> = (0..3)
        .map(|_| gate.enter(peer(1), now()).unwrap())
        .collect();
    open.push(gate.enter(ip("198.51.100.1"), now()).unwrap());
    // Fewer than there are: they stay, nobody else comes in.
    gate.change(
        &[&[rule(Action::Deny, "10.0.0.2", 1)], &[allow.clone()]],
        limits(4),
    );
    assert_eq!(gate.open(), 4);
    assert_eq!(gate.enter(peer(2), now()).unwrap_err(), Denied::Rule);
    assert_eq!(gate.enter(peer(3), now()).unwrap_err(), Denied::TooMany);
    gate.change(&[&[], &[allow.clone()]], limits(100));
    assert_eq!(
        gate.enter(peer(1), now()).unwrap_err(),
        Denied::TooFastOfPeer,
        "its interval goes on"
    );
    // The rule has other limits and another priority; those it let in count.
    allow.limits.connections = Some(1);
    allow.priority = 7;
    gate.change(&[&[allow.clone()]], limits(100));
    assert_eq!(
        gate.enter(ip("198.51.100.2"), now()).unwrap_err(),
        Denied::TooMany
    );
    gate.change(&[], limits(100));
    let _one_more = gate.enter(ip("198.51.100.2"), now()).unwrap();
    drop(open);
    gate.change(&[], limits(100));
    assert_eq!(gate.open(), 1);
    assert!(gate.inner.lock().groups.keys().all(|group| *group == ALL));
}

#[test]
fn who_is_held_counts_once() {
    let mut deny = vec![rule(Action::Deny, "192.0.2.66", 1)];
    deny.push(rule(Action::Allow, "198.51.100.0/24", 2));
    deny[1].limits.connections = Some(1);
    let limits = ConnectionLimits {
        connections: Some(2),
        peer_connections: Some(1),
        ..ConnectionLimits::default()
    };
    let gate = Gate::new(&[&deny], limits);
    let mut one = gate.hold().unwrap();
    let mut two = gate.hold().unwrap();
    // There is room for one of the rule, whoever it will be.
    let mut three = gate.hold().unwrap();
    assert_eq!(gate.hold().unwrap_err(), Denied::TooMany);
    assert_eq!(gate.open(), 3);
    assert_eq!(one.admit(ip("192.0.2.66"), now()), Err(Denied::Rule));
    three.admit(ip("198.51.100.1"), now()).unwrap();
    assert_eq!(gate.open(), 3, "whoever is denied counts until it is gone");
    drop(one);
    two.admit(ip("192.0.2.1"), now()).unwrap();
    assert_eq!(gate.open(), 2);
    assert_eq!(
        gate.enter(ip("198.51.100.2"), now()).unwrap_err(),
        Denied::TooMany
    );
    drop((two, three));
    assert_eq!(gate.open(), 0);
    let inner = gate.inner.lock();
    assert!(inner.peers.values().all(|count| count.open == 0));
    assert!(inner.groups.values().all(|count| count.open == 0));
}

proptest::proptest! {
    /// Whatever comes and goes, and however the rules change in between, nobody
    /// is counted who is gone.
    #[test]
    fn counts_come_back_to_nothing(steps in proptest::collection::vec((0u8..6, 0u32..6), 1..200)) {
        let gate = Gate::new(&[], ConnectionLimits { connections: Some(10), ..ConnectionLimits::default() });
        let mut open: Vec<Pass> = Vec::new();
        for (step, n) in steps {
            match step {
                0 | 1 => open.extend(gate.enter(peer(n), now())),
                2 => open.extend(gate.hold()),
                3 => {
                    if let Some(pass) = open.iter_mut().find(|pass| pass.peer.is_none()) {
                        let _ = pass.admit(peer(n), now());
                    }
                }
                4 => drop((!open.is_empty()).then(|| open.swap_remove(n as usize % open.len()))),
                _ => {
                    let mut allow = rule(Action::Allow, "10.0.0.0-10.0.0.2", 5);
                    allow.limits.connections = Some(n);
                    allow.limits.peer_connections = Some(2);
                    let more = ConnectionLimits { connections: Some(n + 3), ..ConnectionLimits::default() };
                    let rules = if n % 2 == 0 { vec![] } else { vec![allow] };
                    gate.change(&[&rules], more);
                }
            }
            proptest::prop_assert_eq!(gate.open() as usize, open.len());
        }
        drop(open);
        let inner = gate.inner.lock();
        proptest::prop_assert!(inner.groups.values().all(|count| count.open == 0));
        proptest::prop_assert!(inner.peers.values().all(|count| count.open == 0));
    }
}
