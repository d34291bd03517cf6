#![allow(clippy::unwrap_used)]
use super::*;
use crate::clock::ManualClock;
use crate::settings::Span;

const HOUR: Duration = Duration::from_secs(3600);

struct World {
    store: Store,
    clock: ManualClock,
    bans: Bans,
}

fn settings() -> FaultSettings {
    FaultSettings {
        ban_after: 10,
        interval: Span(HOUR),
        ban: Span(Duration::from_secs(600)),
        longest_ban: Span(Duration::from_secs(2400)),
        forget: Span(24 * HOUR),
        ..FaultSettings::default()
    }
}

async fn world(faults: FaultSettings) -> World {
    let store = Store::memory().await.unwrap();
    let clock = ManualClock::new("2026-11-28T12:00:00Z".parse().unwrap());
    let bans = table(&store, &clock, faults);
    bans.load().await.unwrap();
    World { store, clock, bans }
}

fn table(store: &Store, clock: &ManualClock, faults: FaultSettings) -> Bans {
    let settings = Settings {
        faults,
        ..Settings::default()
    };
    Bans::new(
        store.clone(),
        Arc::new(clock.clone()),
        Arc::new(ArcSwap::from_pointee(settings)),
    )
}

impl World {
    /// As after a restart.
    async fn again(&self) -> Bans {
        // What is written in the background has been written when nobody writes.
        tokio::task::yield_now().await;
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(self.bans.inner.writing.lock().await);
        }
        let bans = table(&self.store, &self.clock, settings());
        bans.load().await.unwrap();
        bans
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const PEER: &str = "192.0.2.1";

#[tokio::test]
async fn so_many_faults_ban_and_each_ban_is_longer() {
    let World { clock, bans, .. } = world(settings()).await;
    for (times, minutes) in [(1, 10), (2, 20), (3, 40), (4, 40)] {
        for _ in 0..9 {
            assert!(!bans.fault(ip(PEER), 1));
        }
        assert!(!bans.is_banned(ip(PEER)));
        assert!(bans.fault(ip(PEER), 1));
        assert!(bans.is_banned(ip(PEER)));
        assert!(!bans.is_banned(ip("192.0.2.2")));
        let list = bans.list();
        let length = Duration::from_secs(minutes * 60);
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].peer.to_string(), "192.0.2.1/32");
        assert_eq!((list[0].times, list[0].faults), (times, 10));
        assert_eq!(list[0].since, clock.now());
        assert_eq!(list[0].until, clock.now() + length);
        clock.advance(length - Duration::from_secs(1));
        assert!(bans.is_banned(ip(PEER)));
        clock.advance(Duration::from_secs(1));
        assert!(!bans.is_banned(ip(PEER)));
        assert_eq!(bans.list(), []);
    }
    // A day after the end of the last nothing is left of them.
    clock.advance(24 * HOUR);
    assert!(bans.fault(ip(PEER), 10));
    assert_eq!(bans.list()[0].times, 1);
}

#[tokio::test]
async fn faults_are_forgotten() {
    let World { clock, bans, .. } = world(settings()).await;
    assert!(!bans.fault(ip(PEER), 9));
    clock.advance(HOUR - Duration::from_secs(1));
    // Each one keeps those before it.
    assert!(bans.fault(ip(PEER), 1));
    let other = ip("192.0.2.2");
    assert!(!bans.fault(other, 9));
    clock.advance(HOUR);
    assert!(!bans.fault(other, 9));
}

#[tokio::test]
async fn a_network_of_64_bits_is_one_peer() {
    let World { bans, .. } = world(settings()).await;
    for n in 0..10 {
        bans.fault(ip(&format!("2001:db8:0:1:{n}::{n}")), 1);
    }
    assert!(bans.is_banned(ip("2001:db8:0:1::99")));
    assert!(!bans.is_banned(ip("2001:db8:0:2::1")));
    assert_eq!(bans.list()[0].peer.to_string(), "2001:db8:0:1::/64");
    // An IPv4 address is one however it is written.
    bans.fault(ip("::ffff:192.0.2.1"), 10);
    assert!(bans.is_banned(ip(PEER)));
    assert!(bans.lift(ip("2001:db8:0:1:7::")).await.unwrap());
    assert!(!bans.is_banned(ip("2001:db8:0:1::99")));
}

#[tokio::test]
async fn who_is_trusted_is_never_banned_and_never_waits() {
    let mut trusting = settings();
    trusting.trusted = vec!["198.51.100.0/24".parse().unwrap(), "::1".parse().unwrap()];
    let World { bans, clock, store } = world(trusting.clone()).await;
    for peer in ["198.51.100.7", "::ffff:198.51.100.7", "::1"] {
        assert!(!bans.fault(ip(peer), 1000), "{peer}");
        assert!(!bans.is_banned(ip(peer)), "{peer}");
        assert_eq!(bans.wait(ip(peer), 1000), Duration::ZERO);
    }
    assert!(bans.fault(ip("127.0.0.1"), 1000));
    assert_eq!(bans.list().len(), 1);
    // Who is trusted from now on is let in at once.
    let mut settings = Settings {
        faults: trusting,
        ..Settings::default()
    };
    settings.faults.trusted.push("127.0.0.0/8".parse().unwrap());
    bans.inner.settings.store(Arc::new(settings));
    assert!(!bans.is_banned(ip("127.0.0.1")));
    assert_eq!(bans.list(), []);
    // 0 bans nobody.
    let never = FaultSettings {
        ban_after: 0,
        ..FaultSettings::default()
    };
    let bans = table(&store, &clock, never);
    assert!(!bans.fault(ip(PEER), u32::MAX));
    assert!(!bans.is_banned(ip(PEER)));
}

#[tokio::test]
async fn waits_grow() {
    let World { bans, .. } = world(settings()).await;
    let waits: Vec<u64> = (0..13).map(|n| bans.wait(ip(PEER), n).as_secs()).collect();
    assert_eq!(waits, [0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 15, 15, 15]);
    assert_eq!(bans.wait(ip(PEER), u32::MAX).as_secs(), 15);
}

#[tokio::test]
async fn a_restart_lifts_no_ban() {
    let world = world(settings()).await;
    let (four, six) = (ip(PEER), ip("2001:db8::1"));
    world.bans.fault(four, 10);
    world.clock.advance(Duration::from_secs(5));
    world.bans.fault(six, 12);
    let before = world.bans.list();
    assert_eq!(before.len(), 2);
    let again = world.again().await;
    assert_eq!(again.list(), before);
    assert!(again.is_banned(four) && again.is_banned(ip("2001:db8::2")));
    // One that is over still makes the next one longer.
    world.clock.advance(2 * HOUR);
    let again = world.again().await;
    assert_eq!(again.list(), []);
    again.fault(four, 10);
    assert_eq!(again.list()[0].times, 2);
    // What was lifted does not come back, nor what is long over.
    let again = world.again().await;
    assert!(again.lift(four).await.unwrap());
    assert!(!again.lift(four).await.unwrap());
    assert_eq!(world.again().await.list(), []);
    world.clock.advance(48 * HOUR);
    world.again().await;
    assert_eq!(world.bans.rows().await.unwrap(), []);
}

#[tokio::test]
async fn all_can_be_lifted() {
    let world = world(settings()).await;
    for n in 0..2500u32 {
        let peer = IpAddr::from((0x0a00_0000u32 + n).to_be_bytes());
        world.bans.fault(peer, 10);
    }
    assert_eq!(world.bans.list().len(), 2500);
    assert_eq!(world.bans.clear().await.unwrap(), 2500);
    assert_eq!(world.bans.list(), []);
    world.again().await;
    assert_eq!(world.bans.rows().await.unwrap(), []);
    assert_eq!(world.bans.clear().await.unwrap(), 0);
}

#[tokio::test]
async fn the_table_is_bounded_and_keeps_the_worst() {
    let mut few = settings();
    few.remembered = 1000;
    let world = world(few).await;
    let bans = &world.bans;
    bans.fault(ip(PEER), 10);
    for n in 0..20_000u32 {
        let peer = IpAddr::from((0x0a00_0000u32 + n).to_be_bytes());
        bans.fault(peer, 1 + n % 3);
        assert!(bans.inner.table.lock().len() <= 1000);
    }
    assert!(bans.is_banned(ip(PEER)));
    // Also where all of them are banned.
    for n in 0..3000u32 {
        let peer = IpAddr::from((0x0b00_0000u32 + n).to_be_bytes());
        bans.fault(peer, 10);
    }
    assert!(bans.list().len() <= 1000);
    world.again().await;
    assert!(bans.rows().await.unwrap().len() <= 1000);
}

#[test]
fn rows_are_read_as_they_were_written() {
    let time = |second| Timestamp::from_second(second).unwrap();
    let ban = Sentence {
        since: time(1_795_867_200),
        until: time(1_795_867_800),
        times: 3,
        faults: u32::MAX,
    };
    let row = ban.encode();
    assert_eq!(row.len(), ROW);
    assert_eq!(Sentence::decode(&row), Some(ban));
    for end in 0..row.len() {
        assert_eq!(Sentence::decode(&row[..end]), None);
    }
    assert_eq!(Sentence::decode(&[&row[..], b"x"].concat()), None);
    assert_eq!(
        Sentence::decode(&[0xff; ROW]).map(|ban| ban.times),
        Some(u32::MAX)
    );
    for peer in [PEER, "2001:db8:0:1::"] {
        assert_eq!(peer_of(&key(ip(peer))), Some(ip(peer)));
    }
    assert_eq!(peer_of(&[TAG; 16]), None);
}
