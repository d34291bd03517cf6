//! Every crash point of the queue: each write, sync and commit of entries that
//! come, are held, let go, tried again and removed, and of the index that an old
//! store gets, fails or is the last one before the power goes. Each time what was
//! acknowledged is there, what is found by an index is what a look at everything
//! finds, and verify has nothing to say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axigen_core::delivery::{Answers, Envelope, Outcome};
use axigen_core::engine::Engine;
use axigen_core::queue::list::{Filter, Listed, State};
use axigen_core::settings::Settings;
use axigen_core::upkeep;
use axigen_store::pack::Packs;
use axigen_store::{AccountId, Batch, Op, Part, Store, store};
use axigen_tests::machine::{Fault, Machine, Survives};
use bytes::Bytes;

const DIR: &str = "/packs";
/// Domains of a large message, one entry each: more than the index of an old store
/// is made of in one step.
const DOMAINS: usize = 700;
const SURVIVALS: [Survives; 3] = [Survives::Synced, Survives::Everything, Survives::Some(1)];
const FAULTS: [Fault; 4] = [
    Fault::Fails,
    Fault::StopsBefore,
    Fault::StopsAmid,
    Fault::StopsAfter,
];

/// Messages by our id of them.
#[derive(Debug, Default, Clone)]
struct Known {
    /// They are there for sure.
    there: BTreeSet<String>,
    /// They were removed for sure.
    gone: BTreeSet<String>,
}

struct House {
    store: Store,
    engine: Engine,
}

async fn open(machine: &Machine) -> Option<House> {
    let packs = Packs::open_on(machine.disk(), Path::new(DIR), 1 << 20, 0).ok()?;
    let mut options = store::Options::default();
    options.upkeep = Duration::ZERO;
    let store = Store::over(machine.rows(), Arc::new(packs), options)
        .await
        .ok()?;
    let mut settings = Settings {
        hostname: "mail.here.test".into(),
        ..Settings::default()
    };
    settings.smtp_out.enable = true;
    settings.smtp_out.recipients = 1;
    let builder = Engine::builder(store.clone()).settings(settings);
    let engine = builder.build().ok()?;
    Some(House { store, engine })
}

/// Queues a message; whether it was acknowledged.
async fn send(engine: &Engine, id: &str, to: &[String], later: bool) -> bool {
    let mut envelope = Envelope::new(id, "ann@elsewhere.test");
    if later {
        let now = engine.queue().clock().now();
        envelope.not_before = Some(now.checked_add(Duration::from_secs(3600)).unwrap());
    }
    let mut accepted = Vec::new();
    for domain in to {
        let to = engine.delivery().accept(Some(("x", domain)), true, None);
        match to.await {
            Ok(to) => accepted.push(to),
            Err(_) => return false,
        }
    }
    let raw = Bytes::from(format!("Subject: {id}\r\n\r\n{}", "text\r\n".repeat(300)));
    let done = engine
        .delivery()
        .deliver(raw, &envelope, &accepted, Answers::One)
        .await;
    !done.is_empty() && done.iter().all(|done| *done == Outcome::Queued)
}

/// Everything that is done to a queue, until the machine is off.
async fn work(engine: &Engine) -> Known {
    let mut known = Known::default();
    let queue = engine.queue();
    let domains = |names: &[&str]| -> Vec<String> {
        let names = names.iter();
        names.map(|name| (*name).to_owned()).collect()
    };
    for (id, to, later) in [
        ("one", domains(&["a.test", "b.test"]), false),
        ("two", domains(&["a.test"]), true),
        ("three", domains(&["c.test"]), false),
    ] {
        if send(engine, id, &to, later).await {
            known.there.insert(id.to_owned());
        }
    }
    for id in queue.of_message("one").await.unwrap_or_default() {
        let _ = queue.hold(id).await;
    }
    for id in queue
        .of_message("one")
        .await
        .unwrap_or_default()
        .iter()
        .take(1)
    {
        let _ = queue.release(*id).await;
    }
    let _ = queue.retry_lane("a.test").await;
    known.there.remove("three");
    let three = queue.of_message("three").await.unwrap_or_default();
    if let [id] = three.as_slice()
        && queue.drop_entry(*id).await.is_ok()
    {
        known.gone.insert("three".to_owned());
    }
    known
}

async fn all(engine: &Engine, filter: &Filter) -> Vec<Listed> {
    let (mut from, mut found) = (None, Vec::new());
    loop {
        let page = engine.queue().list(filter, from, 100).await.unwrap();
        found.extend(page.entries);
        match page.next {
            Some(next) => from = Some(next),
            None => return found,
        }
    }
}

/// What is found by an index is what a look at everything finds.
async fn agree(engine: &Engine, context: &str) -> Vec<Listed> {
    let found = all(engine, &Filter::default()).await;
    let far = format!("d{}.test", DOMAINS - 1);
    for domain in ["a.test", "b.test", "c.test", "d0.test", &far] {
        let filter = Filter {
            domain: Some(domain.into()),
            ..Filter::default()
        };
        let address = format!("x@{domain}");
        let is_meant = |listed: &&Listed| {
            let mut to = listed.entry.recipients.iter();
            to.any(|to| to.address == address)
        };
        let wanted: Vec<&Listed> = found.iter().filter(is_meant).collect();
        let named = all(engine, &filter).await;
        // What the others say of the time is later than what the first ones say.
        let of = |listed: &Listed| (listed.id, listed.entry.clone());
        let named: Vec<_> = named.iter().map(of).collect();
        let asked: Vec<_> = wanted.iter().copied().map(of).collect();
        assert_eq!(named, asked, "{context}: {domain}");
        let waiting = wanted.iter().any(|listed| !listed.entry.held);
        let said = engine.queue().is_waiting(domain).await.unwrap();
        assert_eq!(said, waiting, "{context}: {domain}");
    }
    let held = Filter {
        state: Some(State::Held),
        ..Filter::default()
    };
    let wanted = found.iter().filter(|listed| listed.entry.held).count();
    assert_eq!(all(engine, &held).await.len(), wanted, "{context}");
    found
}

async fn verify(house: &House, context: &str) {
    let of = house.engine.context();
    let report = upkeep::verify(&house.store, &of.mailboxes, &of.directory, |_| {}).await;
    let report = report.unwrap();
    assert_eq!(report.count, 0, "{context}: {:?}", report.lines);
}

/// Opens what survived, looks at it, and empties the queue by the index.
async fn look(machine: &Machine, known: &Known, context: &str) {
    let house = open(machine).await.expect("it opens");
    let engine = &house.engine;
    verify(&house, context).await;
    let found = agree(engine, context).await;
    let there: BTreeSet<&str> = found.iter().map(|of| of.entry.mail.as_str()).collect();
    for id in &known.there {
        assert!(there.contains(id.as_str()), "{context}: {id} is lost");
    }
    for id in &known.gone {
        assert!(
            !there.contains(id.as_str()),
            "{context}: {id} is there again"
        );
    }
    verify(&house, context).await;
    for domain in ["a.test", "b.test", "c.test"] {
        let filter = Filter {
            domain: Some(domain.into()),
            ..Filter::default()
        };
        for listed in all(engine, &filter).await {
            engine.queue().drop_entry(listed.id).await.unwrap();
        }
        assert!(!engine.queue().is_waiting(domain).await.unwrap());
    }
    assert!(send(engine, "more", &["a.test".to_owned()], false).await);
    agree(engine, context).await;
    verify(&house, context).await;
}

/// Visits the crash points of what `act` does on a machine.
async fn visit(name: &str, machine: &Machine, act: impl AsyncFn(&Engine) -> Known) {
    let unharmed = machine.fork();
    let house = open(&unharmed).await.unwrap();
    let opened = unharmed.steps().len();
    act(&house.engine).await;
    verify(&house, name).await;
    let steps = unharmed.steps();
    assert!(steps.len() > opened, "{name} does nothing");
    let mut starts = 0;
    for (at, kind) in steps.into_iter().enumerate().skip(opened) {
        for fault in FAULTS.into_iter().filter(|fault| fault.happens_to(kind)) {
            let harmed = machine.fork();
            harmed.fail_at(at, fault);
            let house = open(&harmed).await.expect("nothing has happened yet");
            let known = act(&house.engine).await;
            drop(house);
            for survives in SURVIVALS {
                let context = format!("{name}: step {at} ({kind:?}) {fault:?}, then {survives:?}");
                let again = harmed.fork();
                again.restart(survives);
                look(&again, &known, &context).await;
                starts += 1;
            }
        }
    }
    println!("{name}: {starts} starts");
}

/// With a message to so many domains.
async fn machine(domains: usize) -> Machine {
    let machine = Machine::with_directory(Path::new(DIR));
    let house = open(&machine).await.unwrap();
    let many: Vec<String> = (0..domains).map(|n| format!("d{n}.test")).collect();
    assert!(send(&house.engine, "many", &many, true).await);
    agree(&house.engine, "at first").await;
    house.store.close().await.unwrap();
    drop(house);
    machine.restart(Survives::Synced);
    machine
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_come_change_and_go() {
    let machine = machine(3).await;
    visit("the queue", &machine, async |engine| work(engine).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_store_gets_its_index() {
    let machine = machine(DOMAINS).await;
    let house = open(&machine).await.unwrap();
    let known = work(&house.engine).await;
    // Keys as in `axigen-core/src/queue/keys.rs`: the index, and how far it is there.
    let key = Bytes::from_static;
    let part = Part {
        account: AccountId::SYSTEM,
        asserts: Vec::new(),
        ops: vec![
            Op::DeleteRange(key(b"\x36"), key(b"\x37")),
            Op::Delete(key(b"\x30\x05")),
        ],
        advance: false,
    };
    let batch = Batch { parts: vec![part] };
    house.store.commit(batch).await.unwrap();
    house.store.close().await.unwrap();
    drop(house);
    machine.restart(Survives::Synced);
    visit("an old store", &machine, async |engine| {
        let asked = Filter {
            domain: Some("a.test".into()),
            ..Filter::default()
        };
        // It fails, or the index is there.
        if let Ok(listing) = engine.queue().list(&asked, None, 9).await {
            assert_eq!(listing.entries.len(), 2);
        }
        known.clone()
    })
    .await;
}
