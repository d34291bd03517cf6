//! What a guest has seen is noted after a message was copied, in a batch of its
//! own. If that batch fails, the copy is there all the same, and is answered so:
//! who was told that it is not would bring it a second time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axigen_core::directory::NewAccount;
use axigen_core::engine::Engine;
use axigen_core::settings::TlsMode;
use axigen_store::pack::Packs;
use axigen_store::{Store, store};
use axigen_tests::machine::{Fault, Kind, Machine};
use axigen_tests::wire::Wire;

const MAIL: &str = "Subject: x\r\n\r\nhello\r\n";
const WORK: &str = "\"Other Users/ann@example.test/Work\"";
const DIR: &str = "/packs";

async fn engine(machine: &Machine) -> Engine {
    let packs = Packs::open_on(machine.disk(), Path::new(DIR), 1 << 20, 0).unwrap();
    let mut options = store::Options::default();
    // Nothing by itself: every step is one of a command.
    options.upkeep = Duration::ZERO;
    let store = Store::over(machine.rows(), Arc::new(packs), options)
        .await
        .unwrap();
    let engine = Engine::builder(store).build().unwrap();
    let directory = engine.directory();
    directory.add_domain("example.test").await.unwrap();
    for user in ["ann", "bob"] {
        let account = NewAccount {
            address: format!("{user}@example.test"),
            password: "demo".into(),
            ..NewAccount::default()
        };
        directory.add_account(account).await.unwrap();
    }
    engine
}

#[test]
fn a_copy_that_is_done_is_answered_ok_without_its_mark() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let machine = Machine::with_directory(Path::new(DIR));
    let engine = runtime.block_on(engine(&machine));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _guard = runtime.enter();
    let addr = engine.serve("imap", listener, TlsMode::None).unwrap();
    let login =
        |user: &str| Wire::imap_login(&addr.to_string(), &format!("{user}@example.test"), "demo");
    let (mut ann, mut bob) = (login("ann"), login("bob"));
    ann.ok("CREATE Work");
    ann.ok("SETACL Work bob@example.test lrsi");
    for _ in 0..3 {
        bob.append("INBOX", "\\Seen", MAIL);
    }
    bob.ok("SELECT INBOX");
    let commits = |from: usize| -> Vec<usize> {
        let steps = machine.steps();
        let steps = steps.iter().enumerate().skip(from);
        let commits = steps.filter(|(_, kind)| **kind == Kind::Commit);
        commits.map(|(at, _)| at - from).collect()
    };
    // Unharmed: the copy, then the mark.
    let before = machine.steps().len();
    bob.ok(&format!("COPY 1 {WORK}"));
    let unharmed = commits(before);
    let [copy, mark] = *unharmed.as_slice() else {
        panic!("not two batches: {unharmed:?}");
    };
    let holds = |bob: &mut Wire, wanted: &str| {
        let said = bob.ok(&format!("STATUS {WORK} (MESSAGES UNSEEN)"));
        assert!(said.contains(wanted), "{said}");
    };
    holds(&mut bob, "(MESSAGES 1 UNSEEN 0)");
    // The second batch finds no space.
    machine.fail_at(machine.steps().len() + mark, Fault::Full);
    let said = bob.ok(&format!("COPY 2 {WORK}"));
    assert!(
        said.contains("T OK [COPYUID ") && said.contains(" 2 2] "),
        "{said}"
    );
    holds(&mut bob, "(MESSAGES 2 UNSEEN 1)");
    // The first: nothing is there, and that is said.
    machine.fail_at(machine.steps().len() + copy, Fault::Full);
    let said = bob.ask(&format!("COPY 3 {WORK}"));
    assert!(said.starts_with("T NO "), "{said}");
    holds(&mut bob, "(MESSAGES 2 UNSEEN 1)");
    // The same for a message that is appended.
    let before = machine.steps().len();
    let name = WORK.trim_matches('"');
    bob.append(name, "\\Seen", MAIL);
    let unharmed = commits(before);
    let [.., mark] = *unharmed.as_slice() else {
        panic!("no batch: {unharmed:?}");
    };
    assert!(unharmed.len() > 1, "{unharmed:?}");
    machine.fail_at(machine.steps().len() + mark, Fault::Full);
    let said = bob.append(name, "\\Seen", MAIL);
    assert!(said.contains("T OK [APPENDUID "), "{said}");
    holds(&mut bob, "(MESSAGES 4 UNSEEN 2)");
    // It works again, and the mark can be set.
    bob.ok(&format!("SELECT {WORK}"));
    bob.ok("STORE 2,4 +FLAGS (\\Seen)");
    holds(&mut bob, "(MESSAGES 4 UNSEEN 0)");
    drop((ann, bob));
    runtime.block_on(engine.shutdown()).unwrap();
}
