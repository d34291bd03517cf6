//! What a client is told when a batch fails: that nothing was done where nothing
//! was, and that it was done where only what follows is missing.
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

/// What a guest has seen is noted after a message was copied, in a batch of its
/// own. If that batch fails, the copy is there all the same, and is answered so:
/// who was told that it is not would bring it a second time.
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

/// RFC 1939 §6: no +OK for messages that were not removed; they are all there.
#[test]
fn deletions_that_fail_are_refused_and_none_is_done() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let machine = Machine::with_directory(Path::new(DIR));
    let engine = runtime.block_on(engine(&machine));
    let _guard = runtime.enter();
    let serve = |service: &str| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = engine.serve(service, listener, TlsMode::None).unwrap();
        addr.to_string()
    };
    let (imap, pop3) = (serve("imap"), serve("pop3"));
    let mut ann = Wire::imap_login(&imap, "ann@example.test", "demo");
    // More than a thousand: they are one batch all the same.
    let literal = format!("{{{}+}}\r\n{MAIL}", MAIL.len());
    for _ in 0..3 {
        let all = vec![literal.as_str(); 500].join(" ");
        ann.ok(&format!("APPEND INBOX {all}"));
    }
    let open = || {
        let mut pop = Wire::connect(&pop3);
        assert!(pop.line().starts_with("+OK"));
        for command in ["USER ann@example.test", "PASS demo"] {
            pop.send(format!("{command}\r\n"));
            let line = pop.line();
            assert!(line.starts_with("+OK"), "{line}");
        }
        pop
    };
    let delete_all = |pop: &mut Wire| {
        for n in 1..=1500 {
            pop.send(format!("DELE {n}\r\n"));
            assert!(pop.line().starts_with("+OK"));
        }
    };
    let quit = |mut pop: Wire| {
        pop.send("QUIT\r\n");
        pop.line()
    };
    let mut pop = open();
    delete_all(&mut pop);
    machine.fail_at(machine.steps().len(), Fault::Full);
    let said = quit(pop);
    assert!(said.starts_with("-ERR [SYS/TEMP]"), "{said}");
    assert!(
        ann.ok("STATUS INBOX (MESSAGES)")
            .contains("(MESSAGES 1500)")
    );
    pop = open();
    delete_all(&mut pop);
    let at = machine.steps().len();
    let said = quit(pop);
    assert!(said.starts_with("+OK"), "{said}");
    let steps = machine.steps();
    let commits = steps.iter().skip(at).filter(|kind| **kind == Kind::Commit);
    assert_eq!(commits.count(), 1);
    assert!(ann.ok("STATUS INBOX (MESSAGES)").contains("(MESSAGES 0)"));
    drop(ann);
    runtime.block_on(engine.shutdown()).unwrap();
}
