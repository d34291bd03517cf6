//! The index by lane and domain: used, made for an old store, verified, repaired.
#![allow(clippy::unwrap_used)]

use super::super::index::Progress;
use super::*;
use axigen_store::Template;

impl House {
    /// As it is in a store of a version that knew no index; or in one whose index
    /// was made of what is before `from`, without the rows of that.
    async fn forget_names(&self, from: Option<EntryId>) {
        let store = &self.queue.inner.store;
        let (first, end) = keys::all(keys::OF_NAME);
        let mark = match from {
            Some(id) => Op::Set {
                key: keys::indexed().into(),
                val: Template::from(Bytes::copy_from_slice(&id.encode())),
            },
            None => Op::Delete(keys::indexed()),
        };
        let ops = vec![Op::DeleteRange(first, end), mark];
        self.queue.commit(ops, Vec::new()).await.unwrap();
        assert!(upkeep::verify(store).await.unwrap().is_empty());
    }

    /// The same store, opened again.
    fn again(&self) -> House {
        House {
            clock: self.clock.clone(),
            queue: Queue::new(self.queue.inner.store.clone(), Arc::new(self.clock.clone())),
        }
    }

    async fn to(&self, domain: &str) -> Vec<EntryId> {
        let filter = Filter {
            domain: Some(domain.into()),
            ..Filter::default()
        };
        let listing = self.queue.list(&filter, None, 5000).await.unwrap();
        assert_eq!(listing.next, None);
        listing.entries.iter().map(|listed| listed.id).collect()
    }

    async fn progress(&self) -> Progress {
        let store = &self.queue.inner.store;
        let row = store.get(AccountId::SYSTEM, &[keys::indexed()]).await;
        Progress::decode(row.unwrap()[0].as_deref())
    }

    async fn complaints(&self) -> Vec<String> {
        upkeep::verify(&self.queue.inner.store).await.unwrap()
    }
}

#[tokio::test]
async fn what_goes_to_a_domain_is_found_among_many() {
    let house = house().await;
    // More than one page of a listing looks at.
    for _ in 0..4 {
        house.add(&["other.test"; 3000]).await;
    }
    house.add(&["a.test", "other.test", "a.test"]).await;
    assert_eq!(house.to("A.test").await.len(), 2);
    for (recipient, count) in [("x@a.test", 2), ("@a.test", 2), ("y@a.test", 0)] {
        let filter = Filter {
            recipient: Some(recipient.into()),
            ..Filter::default()
        };
        let listing = house.queue.list(&filter, None, 9).await.unwrap();
        assert_eq!((listing.entries.len(), listing.next), (count, None));
    }
    let lane = Filter {
        lane: Some("other.test".into()),
        ..Filter::default()
    };
    // By the page: none is missed, none is there twice.
    let (mut from, mut seen) = (None, BTreeSet::new());
    loop {
        let page = house.queue.list(&lane, from, 999).await.unwrap();
        assert!(page.entries.len() <= 999);
        assert!(page.entries.iter().all(|listed| seen.insert(listed.id)));
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    assert_eq!(seen.len(), 12_001);
    // Held ones, and those that are being sent, are found without a look at the others.
    let last = *house.to("a.test").await.last().unwrap();
    house.queue.hold(last).await.unwrap();
    let (active, _claim) = (
        *seen.last().unwrap(),
        house.queue.claim(*seen.last().unwrap()),
    );
    for (state, id) in [(State::Held, last), (State::Active, active)] {
        let filter = Filter {
            state: Some(state),
            ..Filter::default()
        };
        let listing = house.queue.list(&filter, None, 9).await.unwrap();
        let ids: Vec<EntryId> = listing.entries.iter().map(|listed| listed.id).collect();
        assert_eq!((ids, listing.next), (vec![id], None));
    }
    assert!(house.queue.is_waiting("a.test").await.unwrap());
    for id in house.to("a.test").await {
        house.queue.drop_entry(id).await.unwrap();
    }
    assert!(!house.queue.is_waiting("a.test").await.unwrap());
    assert!(house.complaints().await.is_empty());
}

#[tokio::test]
async fn an_entry_is_found_by_those_who_wait_for_it() {
    let house = house().await;
    house.add(&["=smtp://relay.test:25"]).await;
    let id = EntryId {
        message: 1,
        part: 0,
    };
    let to = |domains: &[&str]| -> Vec<Recipient> {
        let to = domains.iter();
        to.map(|domain| Recipient::new(format!("x@{domain}")))
            .collect()
    };
    let mut before: Vec<&str> = Vec::new();
    for domains in [
        &["a.test", "b.test"][..],
        &["b.test"],
        &["c.test", "b.test"],
        &[],
    ] {
        let (entry, row) = house.queue.read(id).await.unwrap();
        let new = Entry {
            recipients: to(domains),
            ..entry.clone()
        };
        let settled = Settled::Waits(Box::new(new));
        house
            .queue
            .settle(id, &entry, &row, &settled)
            .await
            .unwrap();
        for domain in domains {
            assert_eq!(house.to(domain).await, [id], "{domain}");
        }
        for gone in before.iter().filter(|gone| !domains.contains(gone)) {
            assert!(house.to(gone).await.is_empty(), "{gone}");
        }
        assert!(house.complaints().await.is_empty());
        before = domains.to_vec();
    }
    assert!(
        house
            .queue
            .is_waiting("=smtp://relay.test:25")
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn an_old_store_gets_its_index_once() {
    let house = house().await;
    for n in 0..30 {
        house
            .add(&[["d0.test", "d1.test", "d2.test"][n % 3]; 40])
            .await;
    }
    house.forget_names(None).await;
    let house = house.again();
    // What comes before it is made has its names already.
    house.add(&["d1.test"]).await;
    assert_eq!(house.to("d1.test").await.len(), 401);
    assert_eq!(house.progress().await, Progress::Whole);
    assert!(house.complaints().await.is_empty());
    // It is not made anew.
    let house = house.again();
    let row = keys::of_name("d1.test", house.to("d1.test").await[0]);
    let ops = vec![Op::Delete(row)];
    house.queue.commit(ops, Vec::new()).await.unwrap();
    assert_eq!(house.again().to("d1.test").await.len(), 400);
    assert_eq!(house.complaints().await.len(), 1);
}

#[tokio::test]
async fn an_index_that_was_broken_off_goes_on() {
    let house = house().await;
    for _ in 0..30 {
        house.add(&["a.test"; 40]).await;
    }
    let middle = EntryId {
        message: 16,
        part: 7,
    };
    house.forget_names(Some(middle)).await;
    let house = house.again();
    house.queue.indexed().await.unwrap();
    let made = house.to("a.test").await;
    assert_eq!(made.first(), Some(&middle));
    let (first, end) = keys::all_of_name("a.test");
    let store = &house.queue.inner.store;
    let rows = store.scan(AccountId::SYSTEM, first, end).await.unwrap();
    assert_eq!(rows.len(), 14 * 40 + 33);
}

#[tokio::test]
async fn the_index_is_made_beside_everything_else() {
    let house = house().await;
    for _ in 0..40 {
        house.add(&["a.test"; 50]).await;
    }
    house.forget_names(None).await;
    let house = house.again();
    let others = async {
        for message in 1..=40 {
            let gone = EntryId { message, part: 3 };
            house.queue.drop_entry(gone).await.unwrap();
            house.queue.hold(EntryId { part: 4, ..gone }).await.unwrap();
            house.add(&["b.test"]).await;
        }
    };
    let (made, ()) = tokio::join!(house.queue.indexed(), others);
    made.unwrap();
    assert_eq!(house.progress().await, Progress::Whole);
    assert_eq!(house.to("b.test").await.len(), 40);
    assert!(house.complaints().await.is_empty());
}

#[tokio::test]
async fn verify_and_repair_know_the_index() {
    let house = house().await;
    house.add(&["a.test", "b.test"]).await;
    house.queue.indexed().await.unwrap();
    assert!(house.complaints().await.is_empty());
    let a = house.to("a.test").await[0];
    let gone = EntryId {
        message: 99,
        part: 0,
    };
    let set = |key: Key| Op::Set {
        key: key.into(),
        val: Bytes::new().into(),
    };
    let damage = vec![
        Op::Delete(keys::of_name("a.test", a)),
        set(keys::of_name("c.test", a)),
        set(keys::of_name("b.test", gone)),
    ];
    house.queue.commit(damage, Vec::new()).await.unwrap();
    let said = house.complaints().await;
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(house.to("a.test").await.is_empty());
    // What leads nowhere is no entry.
    assert_eq!(house.to("b.test").await.len(), 1);
    assert!(house.to("c.test").await.is_empty());
    let store = &house.queue.inner.store;
    assert_eq!(upkeep::repair(store, &HashSet::new()).await.unwrap(), said);
    assert!(house.complaints().await.is_empty());
    assert_eq!(house.to("a.test").await, [a]);
    // With what is lost go its names.
    let content = house.queue.get(a).await.unwrap().content.hash;
    upkeep::repair(store, &HashSet::from([content]))
        .await
        .unwrap();
    let (first, end) = keys::all(keys::OF_NAME);
    let rows = store.scan(AccountId::SYSTEM, first, end).await.unwrap();
    assert!(rows.is_empty(), "{rows:?}");
}
