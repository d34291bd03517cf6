//! Tests that others wrote for their own clients, unmodified, against the real
//! server, and a client that needs QRESYNC.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::process::Command;

use axigen_tests::demo::{Demo, Port, root};
use axigen_tests::tool::finish;
use axigen_tests::wire::Wire;
use tempfile::TempDir;

fn user(number: usize) -> String {
    format!("u{number}@example.test")
}

fn python(args: &[&str]) -> Command {
    let path = root().join("target/clients/python");
    let mut command = Command::new("python3");
    command
        .args(["-W", "ignore"])
        .args(args)
        .env("PYTHONPATH", path);
    command
}

/// IMAPClient's tests against a live server. Those that fail fail anywhere, or
/// want what the standard does not:
const LIVE: [(&str, &str); 5] = [
    (
        "test_small_connection_timeout_fail",
        "wants a server that is more than a millisecond away",
    ),
    (
        "test_small_read_timeout_fail",
        "wants a server that needs more than 10 microseconds",
    ),
    ("test_getacl", "reads its own configuration in a wrong way"),
    (
        "test_move",
        "without UIDs: calls a function of imaplib that is not there",
    ),
    (
        "test_fetch",
        "by UID: compares an envelope as a list, which it is not; by number: wants no UID after ENABLE CONDSTORE, \
         against RFC 7162 §3.2.4",
    ),
];

#[test]
fn imapclient_tests_itself() {
    let demo = Demo::start(&["--accounts", "1"]);
    let dir = TempDir::new().unwrap();
    let ini = dir.path().join("live.ini");
    let text = format!(
        "[DEFAULT]\nhost = 127.0.0.1\nport = {}\nusername = {}\npassword = demo\nssl = true\n\
         ssl_check_hostname = false\nssl_verify_cert = false\n",
        demo.port(Port::ImapTls),
        user(1)
    );
    std::fs::write(&ini, text).unwrap();
    let said = finish(
        python(&["-m", "imapclient.livetest", ini.to_str().unwrap()]),
        b"",
    );
    assert!(said.text.contains("Ran 59 tests"), "{}", said.text);
    for line in said.text.lines() {
        let failed = line
            .strip_prefix("ERROR: ")
            .or_else(|| line.strip_prefix("FAIL: "));
        let Some(name) = failed.and_then(|rest| rest.split(' ').next()) else {
            continue;
        };
        let why = LIVE.iter().find(|(known, _)| *known == name);
        assert!(why.is_some(), "{name} failed:\n{}", said.text);
    }
}

/// What imaplib2 does when it is run as a program.
#[test]
fn imaplib2_tests_itself() {
    let demo = Demo::start(&["--accounts", "1"]);
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("test.data"), "words ".repeat(100)).unwrap();
    let program = root().join("target/clients/python/imaplib2/imaplib2.py");
    let port = demo.port(Port::Imap).to_string();
    let mut command = python(&[program.to_str().unwrap(), "-p", &port, "127.0.0.1"]);
    command.current_dir(dir.path()).env("LOGNAME", user(1));
    let said = finish(command, b"demo\n");
    assert!(said.text.contains("All tests OK."), "{}", said.text);
}

/// Subjects and flags of the mails in a mailbox.
fn content(demo: &Demo, number: usize, mailbox: &str) -> Vec<String> {
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), &user(number), "demo");
    imap.ok(&format!("EXAMINE {mailbox}"));
    let mut all: Vec<String> = imap
        .ok("FETCH 1:* (FLAGS ENVELOPE)")
        .lines()
        .filter(|line| line.contains("ENVELOPE"))
        .map(|line| {
            let subject = line.split('"').nth(1).unwrap_or_default();
            let flags = line.split("FLAGS (").nth(1).unwrap_or_default();
            let flags = flags.split(')').next().unwrap_or_default();
            let mut flags: Vec<&str> = flags.split(' ').filter(|f| *f != "\\Recent").collect();
            flags.sort_unstable();
            format!("{subject} {}", flags.join(" "))
        })
        .collect();
    all.sort();
    all
}

/// InterIMAP keeps two accounts in step by QRESYNC alone.
#[test]
fn interimap_keeps_two_accounts_in_step() {
    let demo = Demo::start(&["--accounts", "2"]);
    let home = TempDir::new().unwrap();
    let port = demo.port(Port::Imap);
    let mut text = "database = both.db\n".to_owned();
    for (side, number) in [("local", 1), ("remote", 2)] {
        text.push_str(&format!(
            "[{side}]\ntype = imap\nhost = 127.0.0.1\nport = {port}\nusername = {}\npassword = demo\n\
             STARTTLS = NO\nauth = PLAIN LOGIN\n",
            user(number)
        ));
    }
    for folder in [".config/interimap", ".local/share/interimap"] {
        std::fs::create_dir_all(home.path().join(folder)).unwrap();
    }
    let config = home.path().join(".config/interimap/config");
    std::fs::write(&config, text).unwrap();
    let synchronise = || {
        let mut command = Command::new("interimap");
        command
            .env("HOME", home.path())
            .env("XDG_CONFIG_HOME", home.path().join(".config"))
            .env("XDG_DATA_HOME", home.path().join(".local/share"));
        finish(command, b"").ok()
    };
    let login = |number| Wire::imap_login(&demo.addr(Port::Imap), &user(number), "demo");
    let mail = |subject: &str| format!("Subject: {subject}\r\n\r\ntext\r\n");
    let (mut one, mut two) = (login(1), login(2));
    for number in 0..4 {
        one.append("INBOX", "\\Seen", &mail(&format!("one {number}")));
        two.append("INBOX", "", &mail(&format!("two {number}")));
    }
    one.ok("CREATE Work");
    one.append("Work", "", &mail("work"));
    synchronise();
    assert_eq!(content(&demo, 1, "INBOX").len(), 8);
    assert_eq!(content(&demo, 1, "INBOX"), content(&demo, 2, "INBOX"));
    assert_eq!(content(&demo, 2, "Work").len(), 1);

    // Flags here, removals there, new mail on both sides.
    one.ok("SELECT INBOX");
    one.ok("STORE 1:2 +FLAGS (\\Flagged $label)");
    two.ok("SELECT INBOX");
    two.ok("STORE 1 +FLAGS (\\Deleted)");
    two.ok("EXPUNGE");
    two.append("INBOX", "\\Answered", &mail("new two"));
    one.append("Work", "", &mail("new work"));
    synchronise();
    synchronise();
    let here = content(&demo, 1, "INBOX");
    assert_eq!(here, content(&demo, 2, "INBOX"));
    assert_eq!(here.len(), 8, "{here:?}");
    assert!(here.iter().any(|of| of.starts_with("new two")), "{here:?}");
    assert!(!here.iter().any(|of| of.starts_with("two 0")), "{here:?}");
    let flagged = here.iter().filter(|of| of.contains("\\Flagged")).count();
    assert_eq!(flagged, 2, "{here:?}");
    assert_eq!(content(&demo, 2, "Work").len(), 2);
}
