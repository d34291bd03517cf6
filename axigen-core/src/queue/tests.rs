//! The queue over a store in memory, its senders played by the test.
#![allow(clippy::unwrap_used)]

mod by_name;

use std::collections::BTreeSet;
use std::time::Duration;

use super::dispatch::{LANE, Lanes, WINDOW};
use super::entry::Recipient;
use super::lane::LaneLimits;
use super::list::{Filter, Listed, Stat};
use super::*;
use crate::clock::ManualClock;

/// Many sessions, rests of a minute for each failure.
struct Plain;

impl Lanes for Plain {
    fn limits(&self, _: &str) -> LaneLimits {
        LaneLimits {
            sessions: 1000,
            pace: Duration::ZERO,
        }
    }
    fn rest(&self, _: &str, failures: u32) -> Duration {
        Duration::from_secs(60) * failures
    }
}

struct House {
    clock: ManualClock,
    queue: Queue,
}

async fn house() -> House {
    let clock = ManualClock::new("2026-11-28T12:00:00Z".parse().unwrap());
    let store = Store::memory().await.unwrap();
    House {
        queue: Queue::new(store, Arc::new(clock.clone())),
        clock,
    }
}

impl House {
    fn entry(&self, lane: &str, content: &axigen_store::BlobRef) -> Entry {
        let now = self.clock.now();
        Entry {
            lane: lane.into(),
            recipients: vec![Recipient::new(format!("x@{lane}"))],
            content: content.clone(),
            came: now,
            expires: schedule::later(now, Duration::from_secs(5 * 86_400)),
            due: now,
            ..entry::tests::entry()
        }
    }

    /// Messages to these lanes, one entry each.
    async fn add(&self, lanes: &[&str]) {
        let entries = |content: &axigen_store::BlobRef| {
            lanes.iter().map(|lane| self.entry(lane, content)).collect()
        };
        self.queue
            .enqueue(Bytes::from_static(b"mail"), entries, Vec::new(), Vec::new())
            .await
            .unwrap();
    }

    async fn count(&self) -> u64 {
        self.queue.stat().await.unwrap().entries
    }

    fn dispatcher(&self) -> Dispatcher {
        Dispatcher::new(self.queue.clone(), Box::new(Plain))
    }
}

/// What a lane has ready now.
fn ready(dispatcher: &Dispatcher, lane: &str) -> Option<(EntryId, Claim)> {
    match dispatcher.next(&lane.into()) {
        Work::Try(ready, claim) => Some((ready.id, claim)),
        _ => None,
    }
}

async fn done(house: &House, dispatcher: &Dispatcher, id: EntryId) {
    let (entry, row) = house.queue.read(id).await.unwrap();
    let settled = house.queue.settle(id, &entry, &row, &Settled::Gone);
    settled.await.unwrap();
    dispatcher.settled(id, None);
}

#[tokio::test]
async fn entries_come_and_go_and_leave_nothing() {
    let house = house().await;
    house.add(&["a.test", "b.test"]).await;
    house.add(&["a.test"]).await;
    let stat = house.queue.stat().await.unwrap();
    let want = Stat {
        entries: 3,
        held: 0,
        recipients: 3,
        // The first twenty bytes of each do not travel; there are only four.
        bytes: 0,
    };
    assert_eq!(stat, want);
    let dispatcher = house.dispatcher();
    dispatcher.fill().await.unwrap();
    for (lane, count) in [("a.test", 2), ("b.test", 1)] {
        for _ in 0..count {
            let (id, _claim) = ready(&dispatcher, lane).unwrap();
            done(&house, &dispatcher, id).await;
        }
        assert!(ready(&dispatcher, lane).is_none());
    }
    assert_eq!(house.queue.stat().await.unwrap(), Stat::default());
    let left = house
        .queue
        .inner
        .store
        .scan(AccountId::SYSTEM, vec![0x31].into(), vec![0x40].into())
        .await
        .unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn more_than_a_lane_takes_waits_beside_the_schedule() {
    let house = house().await;
    let many: Vec<&str> = std::iter::repeat_n("slow.test", LANE * 5 / 2).collect();
    house.add(&many).await;
    house.add(&["quick.test"]).await;
    let dispatcher = house.dispatcher();
    dispatcher.fill().await.unwrap();
    let (id, _claim) = ready(&dispatcher, "quick.test").unwrap();
    done(&house, &dispatcher, id).await;
    let mut seen = BTreeSet::new();
    while seen.len() < many.len() {
        let mut some = 0;
        while let Some((id, _claim)) = ready(&dispatcher, "slow.test") {
            assert!(seen.insert(id), "{id} twice");
            done(&house, &dispatcher, id).await;
            some += 1;
        }
        assert!(some <= LANE, "{some}");
        dispatcher.fill().await.unwrap();
    }
    assert_eq!(house.count().await, 0);
}

/// Nobody waits until all of a long queue was looked at.
#[tokio::test]
async fn a_long_schedule_is_read_by_and_by() {
    let house = house().await;
    let many: Vec<&str> = std::iter::repeat_n("slow.test", LANE * 12).collect();
    for some in many.chunks(4000) {
        house.add(some).await;
    }
    house.add(&["quick.test"]).await;
    let dispatcher = house.dispatcher();
    let next = dispatcher.fill().await.unwrap();
    assert_eq!(next, Some(house.clock.now()), "there is more");
    assert!(ready(&dispatcher, "slow.test").is_some());
    assert!(ready(&dispatcher, "quick.test").is_none());
    let mut steps = 1;
    while ready(&dispatcher, "quick.test").is_none() {
        dispatcher.fill().await.unwrap();
        steps += 1;
        assert!(steps < 5);
    }
    assert_ne!(dispatcher.fill().await.unwrap(), Some(house.clock.now()));
}

#[tokio::test]
async fn a_lane_in_trouble_holds_up_nobody_and_comes_back() {
    let house = house().await;
    let dispatcher = house.dispatcher();
    for _ in 0..50 {
        house.add(&["down.test", "up.test"]).await;
    }
    dispatcher.fill().await.unwrap();
    let lane: Arc<str> = "down.test".into();
    let (id, claim) = ready(&dispatcher, "down.test").unwrap();
    let trouble = Trouble {
        host: None,
        what: "no connection".into(),
    };
    dispatcher.failed(&lane, trouble.clone());
    let (entry, row) = house.queue.read(id).await.unwrap();
    let waits = Settled::Waits(Box::new(entry.clone()));
    house.queue.settle(id, &entry, &row, &waits).await.unwrap();
    drop(claim);
    dispatcher.settled(id, Some(entry.due));
    let next = dispatcher.fill().await.unwrap().unwrap();
    assert_eq!(
        next,
        schedule::later(house.clock.now(), Duration::from_secs(60))
    );
    assert!(ready(&dispatcher, "down.test").is_none());
    assert_eq!(dispatcher.trouble("down.test"), Some(trouble));
    for _ in 0..50 {
        let (id, _claim) = ready(&dispatcher, "up.test").unwrap();
        done(&house, &dispatcher, id).await;
    }
    for (lane, waits) in [("down.test", true), ("up.test", false)] {
        assert_eq!(house.queue.is_waiting(lane).await.unwrap(), waits);
    }
    // What comes meanwhile waits with the others.
    house.add(&["down.test"]).await;
    dispatcher.fill().await.unwrap();
    assert!(ready(&dispatcher, "down.test").is_none());
    house.clock.advance(Duration::from_secs(60));
    dispatcher.fill().await.unwrap();
    let mut seen = BTreeSet::new();
    while let Some((id, _claim)) = ready(&dispatcher, "down.test") {
        seen.insert(id);
        done(&house, &dispatcher, id).await;
    }
    assert_eq!(seen.len(), 51);
    assert_eq!(house.count().await, 0);
}

#[tokio::test]
async fn a_restart_finds_what_was_parked() {
    let house = house().await;
    let first = house.dispatcher();
    house.add(&["down.test"]).await;
    first.fill().await.unwrap();
    let lane: Arc<str> = "down.test".into();
    let trouble = Trouble {
        host: None,
        what: "no connection".into(),
    };
    first.failed(&lane, trouble);
    house.add(&["down.test", "up.test"]).await;
    first.fill().await.unwrap();
    assert!(ready(&first, "down.test").is_none());
    drop(first);
    let second = house.dispatcher();
    second.fill().await.unwrap();
    for lane in ["down.test", "down.test", "up.test"] {
        let (id, _claim) = ready(&second, lane).unwrap();
        done(&house, &second, id).await;
    }
    assert_eq!(house.count().await, 0);
}

#[tokio::test]
async fn senders_are_told_though_a_lane_rests() {
    let house = house().await;
    let dispatcher = house.dispatcher();
    house.add(&["down.test"]).await;
    dispatcher.fill().await.unwrap();
    let trouble = Trouble {
        host: None,
        what: "no connection".into(),
    };
    for _ in 0..3 {
        dispatcher.failed(&"down.test".into(), trouble.clone());
        dispatcher.fill().await.unwrap();
        assert!(dispatcher.overdue().is_none());
    }
    house.clock.advance(Duration::from_secs(5 * 86_400));
    dispatcher.fill().await.unwrap();
    let (overdue, _claim) = dispatcher.overdue().unwrap();
    assert!(house.queue.get(overdue).await.unwrap().expires <= house.clock.now());
    assert!(
        ready(&dispatcher, "down.test").is_none(),
        "not at the same time"
    );
}

#[tokio::test]
async fn held_released_retried_dropped() {
    let house = house().await;
    let dispatcher = house.dispatcher();
    house.add(&["a.test", "b.test", "c.test"]).await;
    let all = house
        .queue
        .list(&Filter::default(), None, 10)
        .await
        .unwrap();
    let ids: Vec<EntryId> = all.entries.iter().map(|listed| listed.id).collect();
    let [a, b, c] = ids.as_slice() else {
        panic!("{ids:?}");
    };
    house.queue.hold(*a).await.unwrap();
    let held = Filter {
        state: Some(State::Held),
        ..Filter::default()
    };
    let listing = house.queue.list(&held, None, 10).await.unwrap();
    assert_eq!(listing.entries.len(), 1);
    assert_eq!(house.queue.stat().await.unwrap().held, 1);
    dispatcher.fill().await.unwrap();
    // It was handed over before it was held; whoever takes it reads it again.
    if let Some((id, _claim)) = ready(&dispatcher, "a.test") {
        assert!(house.queue.get(id).await.unwrap().held);
        dispatcher.settled(id, None);
    }
    let (id, claim) = ready(&dispatcher, "b.test").unwrap();
    assert_eq!(id, *b);
    assert!(matches!(house.queue.hold(*b).await, Err(Error::Busy(_))));
    // It is tried again in an hour, unless somebody wants it now.
    let (entry, row) = house.queue.read(id).await.unwrap();
    let hour = schedule::later(house.clock.now(), Duration::from_secs(3600));
    let later = Entry {
        due: hour,
        ..entry.clone()
    };
    let waits = Settled::Waits(Box::new(later));
    house.queue.settle(id, &entry, &row, &waits).await.unwrap();
    drop(claim);
    dispatcher.settled(id, Some(hour));
    assert_eq!(dispatcher.fill().await.unwrap(), Some(hour));
    assert!(ready(&dispatcher, "b.test").is_none());
    assert!(house.queue.is_waiting("b.test").await.unwrap());
    assert!(
        !house.queue.is_waiting("a.test").await.unwrap(),
        "it is held"
    );
    assert_eq!(house.queue.retry_lane("a.test").await.unwrap(), 0);
    assert_eq!(house.queue.retry_lane("b.test").await.unwrap(), 1);
    dispatcher.fill().await.unwrap();
    let (id, _claim) = ready(&dispatcher, "b.test").unwrap();
    done(&house, &dispatcher, id).await;
    house.queue.release(*a).await.unwrap();
    dispatcher.fill().await.unwrap();
    let (id, _claim) = ready(&dispatcher, "a.test").unwrap();
    done(&house, &dispatcher, id).await;
    house.queue.drop_entry(*c).await.unwrap();
    assert!(matches!(
        house.queue.drop_entry(*c).await,
        Err(Error::NotFound(_))
    ));
    assert_eq!(house.queue.stat().await.unwrap(), Stat::default());
    assert!(house.queue.of_message("65ab").await.unwrap().is_empty());
}

#[tokio::test]
async fn the_window_is_bounded_and_everything_has_its_turn() {
    let house = house().await;
    let names: Vec<String> = (0..25).map(|n| format!("d{n}.test")).collect();
    let lanes: Vec<&str> = names
        .iter()
        .flat_map(|name| std::iter::repeat_n(name.as_str(), LANE))
        .collect();
    for some in lanes.chunks(5000) {
        house.add(some).await;
    }
    assert!(lanes.len() > WINDOW);
    let dispatcher = house.dispatcher();
    let mut seen = 0;
    while seen < lanes.len() {
        dispatcher.fill().await.unwrap();
        assert!(format!("{dispatcher:?}").contains("known"));
        let before = seen;
        for name in &names {
            while let Some((id, _claim)) = ready(&dispatcher, name) {
                done(&house, &dispatcher, id).await;
                seen += 1;
            }
        }
        assert!(seen > before, "{seen} of {}", lanes.len());
        assert!(seen - before <= WINDOW);
    }
    assert_eq!(house.count().await, 0);
}

#[tokio::test]
async fn verify_and_repair_know_the_queue() {
    let house = house().await;
    house.add(&["a.test", "b.test"]).await;
    let store = &house.queue.inner.store;
    let counted = async || {
        let mut references = axigen_store::store::References::new();
        upkeep::references(store, &mut references).await.unwrap();
        let report = store.verify(&references, true, |_, _| {}).await.unwrap();
        (references.values().sum::<u64>(), report.problem_count)
    };
    assert_eq!(counted().await, (2, 0));
    assert!(upkeep::verify(store).await.unwrap().is_empty());
    // A counter that is wrong, and an entry that nobody would ever look at.
    let listing = house.queue.list(&Filter::default(), None, 1).await.unwrap();
    let Listed { id, entry, .. } = listing.entries.first().unwrap().clone();
    let damage = vec![
        Op::Delete(keys::due(millis(entry.due), id)),
        Op::Add {
            key: keys::counter(Counter::Recipients),
            delta: 5,
            min: None,
            max: None,
            slot: None,
        },
    ];
    house.queue.commit(damage, Vec::new()).await.unwrap();
    let said = upkeep::verify(store).await.unwrap();
    assert_eq!(said.len(), 2, "{said:?}");
    upkeep::repair(store, &HashSet::new()).await.unwrap();
    assert!(upkeep::verify(store).await.unwrap().is_empty());
    let dispatcher = house.dispatcher();
    dispatcher.fill().await.unwrap();
    assert!(ready(&dispatcher, "a.test").is_some());
    // What cannot be sent any more is named, and goes.
    let lost = HashSet::from([entry.content.hash]);
    let said = upkeep::repair(store, &lost).await.unwrap();
    assert!(
        said.iter().any(|line| line.contains("x@a.test")),
        "{said:?}"
    );
    assert!(upkeep::verify(store).await.unwrap().is_empty());
    assert_eq!(house.queue.stat().await.unwrap(), Stat::default());
}
