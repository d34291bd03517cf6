//! Several sessions on one mailbox of the real server: what each is told of the others' changes, and when.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use axigen_tests::demo::{Demo, Port};
use axigen_tests::wire::Wire;

/// What somebody does to the mailbox.
type Change<'d> = Box<dyn FnMut(&mut Wire) + 'd>;

const USER: &str = "u1@example.test";

fn login(demo: &Demo) -> Wire {
    Wire::imap_login(&demo.addr(Port::Imap), USER, "demo")
}

fn selected(demo: &Demo) -> Wire {
    let mut imap = login(demo);
    assert!(ask(&mut imap, "SELECT INBOX").contains("T OK"));
    imap
}

/// Sends a command; everything up to its tagged line.
fn ask(imap: &mut Wire, command: &str) -> String {
    String::from_utf8_lossy(&imap.imap(command)).into_owned()
}

/// As `ask`, and it must be OK.
fn ok(imap: &mut Wire, command: &str) -> String {
    let said = ask(imap, command);
    assert!(
        said.lines().last().unwrap().starts_with("T OK"),
        "{command}: {said}"
    );
    said
}

fn append(imap: &mut Wire, subject: &str) -> String {
    let mail = format!("Subject: {subject}\r\n\r\n{subject}\r\n");
    ok(imap, &format!("APPEND INBOX {{{}+}}\r\n{mail}", mail.len()))
}

fn send(addr: &str, lmtp: bool, to: &[&str], mail: &str) -> Vec<String> {
    let mut smtp = Wire::connect(addr);
    smtp.smtp_reply();
    smtp.smtp(if lmtp { "LHLO x.test" } else { "EHLO x.test" });
    assert!(
        smtp.smtp("MAIL FROM:<someone@elsewhere.test>")
            .starts_with("250")
    );
    let mut replies: Vec<String> = to
        .iter()
        .map(|to| smtp.smtp(&format!("RCPT TO:<{to}>")))
        .collect();
    let taken = replies
        .iter()
        .filter(|reply| reply.starts_with("250"))
        .count();
    replies.retain(|reply| !reply.starts_with("250"));
    if taken > 0 {
        assert!(smtp.smtp("DATA").starts_with("354"));
        smtp.send(format!("{mail}\r\n.\r\n"));
        let answers = if lmtp { taken } else { 1 };
        replies.extend((0..answers).map(|_| smtp.smtp_reply()));
    }
    replies
}

#[test]
fn idle_wakes_at_once() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut watcher = selected(&demo);
    let mut other = selected(&demo);
    watcher.send("W IDLE\r\n");
    assert!(watcher.line().starts_with('+'));
    let mut changes: Vec<(&str, &str, Change<'_>)> = vec![
        (
            "delivery",
            "* 1 EXISTS",
            Box::new(|_| {
                let replies = send(
                    &demo.addr(Port::Smtp),
                    false,
                    &[USER],
                    "Subject: x\r\n\r\nx",
                );
                assert!(replies[0].starts_with("250"), "{replies:?}");
            }),
        ),
        (
            "append",
            "* 2 EXISTS",
            Box::new(|imap| drop(append(imap, "second"))),
        ),
        (
            "flags",
            "* 1 FETCH",
            Box::new(|imap| drop(ok(imap, "STORE 1 +FLAGS.SILENT (\\Flagged \\Deleted)"))),
        ),
        (
            "expunge",
            "* 1 EXPUNGE",
            Box::new(|imap| drop(ok(imap, "EXPUNGE"))),
        ),
        (
            "move",
            "* 1 EXPUNGE",
            Box::new(|imap| drop(ok(imap, "MOVE 1 Trash"))),
        ),
    ];
    for (what, want, change) in &mut changes {
        ok(&mut other, "NOOP");
        change(&mut other);
        let changed = Instant::now();
        let said = String::from_utf8_lossy(&watcher.imap_until(want)).into_owned();
        let late = changed.elapsed();
        assert!(
            late < Duration::from_millis(500),
            "{what} after {late:?}: {said}"
        );
    }
    watcher.send("DONE\r\n");
    assert!(String::from_utf8_lossy(&watcher.imap_until("W ")).contains("W OK"));
    let said = ok(&mut watcher, "STATUS Trash (MESSAGES)");
    assert!(said.contains("MESSAGES 1"), "{said}");
}

/// RFC 9051 §7.5.1: no EXPUNGE while a command that uses sequence numbers runs.
#[test]
fn expunge_waits_for_its_moment() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut one = selected(&demo);
    for n in 1..=5 {
        append(&mut one, &format!("mail {n}"));
    }
    let mut two = selected(&demo);
    ok(&mut one, "STORE 2,4 +FLAGS (\\Deleted)");
    ok(&mut one, "EXPUNGE");
    // The numbers of before still hold here, and what is gone is not mistaken for what came after it.
    let fetched = ask(&mut two, "FETCH 1:5 (UID)");
    assert!(!fetched.contains(" EXPUNGE\r\n"), "{fetched}");
    assert!(fetched.contains("T NO [EXPUNGEISSUED]"), "{fetched}");
    assert!(fetched.contains("* 5 FETCH (UID 5)"), "{fetched}");
    let found = ok(&mut two, "SEARCH ALL");
    assert!(!found.contains("EXPUNGE"), "{found}");
    let stored = ask(&mut two, "STORE 5 +FLAGS (\\Seen)");
    assert!(!stored.contains("EXPUNGE"), "{stored}");
    let noop = ok(&mut two, "NOOP");
    assert!(
        noop.contains("* 2 EXPUNGE") && noop.contains("EXPUNGE\r\n"),
        "{noop}"
    );
    assert_eq!(noop.matches("EXPUNGE").count(), 2, "{noop}");
    let uids = ok(&mut two, "UID SEARCH ALL");
    assert!(uids.contains("* SEARCH 1 3 5"), "{uids}");
    // UID commands may tell it at once.
    ok(&mut one, "STORE 1 +FLAGS (\\Deleted)");
    ok(&mut one, "EXPUNGE");
    let said = ok(&mut two, "UID FETCH 3,5 (FLAGS)");
    assert!(said.contains("UID 3") && said.contains("UID 5"), "{said}");
}

#[test]
fn a_mailbox_that_goes_away_and_comes_back_is_another() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut one = login(&demo);
    ok(&mut one, "CREATE Work");
    let validity = |said: &str| -> u64 {
        let at = said.find("UIDVALIDITY ").expect("UIDVALIDITY") + 12;
        said[at..]
            .chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
            .parse()
            .unwrap()
    };
    let mut two = login(&demo);
    let before = validity(&ok(&mut two, "SELECT Work"));
    ok(&mut one, "DELETE Work");
    // Another session has it open: it lives on as an empty one or says goodbye, but never panics.
    let said = ask(&mut two, "NOOP");
    assert!(said.contains("T OK") || said.contains("BYE"), "{said}");
    ok(&mut one, "CREATE Work");
    let after = validity(&ok(&mut one, "STATUS Work (UIDVALIDITY)"));
    assert!(after > before, "{after} > {before}");
}

#[test]
fn an_account_that_is_full_says_so_everywhere() {
    let config = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(&["--accounts", "3"]);
    // The demo's store, changed by the command line while it stands still.
    demo.stop();
    let file = config.path().join("axigen.cfg");
    std::fs::write(&file, format!("directory = {:?}\n", demo.dir())).unwrap();
    let set = std::process::Command::new(axigen_tests::demo::binary())
        .args(["account", "set", USER, "quota", "2KB", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        set.status.success(),
        "{}",
        String::from_utf8_lossy(&set.stderr)
    );
    demo.restart();

    let mail = format!(
        "Subject: big\r\n\r\n{}",
        "x".repeat(60)
            .repeat(40)
            .replace("xxxxxxxxxx", "xxxxxxxx\r\n")
    );
    let over = |reply: &str| reply.starts_with("452 4.2.2") || reply.starts_with("552 5.2.2");
    let replies = send(&demo.addr(Port::Smtp), false, &[USER], &mail);
    assert!(over(&replies[0]), "{replies:?}");
    // LMTP: one is full, the others get it.
    let to = ["u2@example.test", USER, "u3@example.test"];
    let replies = send(&demo.addr(Port::Lmtp), true, &to, &mail);
    assert_eq!(replies.len(), 3, "{replies:?}");
    assert_eq!(
        replies.iter().filter(|reply| over(reply)).count(),
        1,
        "{replies:?}"
    );
    for user in ["u2@example.test", "u3@example.test"] {
        let mut imap = Wire::imap_login(&demo.addr(Port::Imap), user, "demo");
        assert!(ok(&mut imap, "STATUS INBOX (MESSAGES)").contains("MESSAGES 1"));
    }
    let mut imap = login(&demo);
    let said = ask(
        &mut imap,
        &format!("APPEND INBOX {{{}+}}\r\n{mail}", mail.len()),
    );
    assert!(said.contains("NO [OVERQUOTA]"), "{said}");
    assert!(ok(&mut imap, "STATUS INBOX (MESSAGES)").contains("MESSAGES 0"));
    append(&mut imap, "small");
    ok(&mut imap, "SELECT INBOX");
    // Copies count: at some point they no longer fit.
    let refused = (0..100)
        .map(|_| ask(&mut imap, "COPY 1 INBOX"))
        .find(|said| said.contains("T NO"));
    assert!(refused.expect("a full account").contains("[OVERQUOTA]"));
}

#[test]
fn a_maildrop_is_locked_and_emptied_at_quit_only() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = login(&demo);
    append(&mut imap, "one");
    append(&mut imap, "two");
    let open = || {
        let mut pop = Wire::connect(&demo.addr(Port::Pop3));
        assert!(pop.line().starts_with("+OK"));
        pop.send(format!("USER {USER}\r\nPASS demo\r\n"));
        assert!(pop.line().starts_with("+OK"));
        let answer = pop.line();
        (pop, answer)
    };
    let (mut first, answer) = open();
    assert!(answer.starts_with("+OK 2"), "{answer}");
    let (_, answer) = open();
    assert!(answer.starts_with("-ERR [IN-USE]"), "{answer}");
    first.send("DELE 1\r\n");
    assert!(first.line().starts_with("+OK"));
    // Gone without QUIT: nothing is deleted.
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut second = loop {
        let (pop, answer) = open();
        if answer.starts_with("+OK 2") {
            break pop;
        }
        assert!(
            answer.starts_with("-ERR [IN-USE]") && Instant::now() < deadline,
            "{answer}"
        );
    };
    second.send("DELE 1\r\nQUIT\r\n");
    assert!(second.line().starts_with("+OK"));
    assert!(second.line().starts_with("+OK"));
    assert!(ok(&mut imap, "STATUS INBOX (MESSAGES)").contains("MESSAGES 1"));
    let left = imap.imap_messages("INBOX");
    assert!(left[0].1.ends_with(b"two\r\n") && left[0].0 == 2);
}
