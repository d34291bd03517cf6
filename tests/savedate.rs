//! SAVEDATE of the real server (RFC 8514): when a message came into its mailbox.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axigen_proto::imap::types::{Date, DateTime};
use axigen_tests::demo::{Demo, Port};
use axigen_tests::wire::Wire;

const MAIL: &str = "Subject: x\r\n\r\nhello\r\n";

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64
}

/// The save date of the first message that is told of, as it stands.
fn saved(said: &str) -> String {
    let (_, rest) = said.split_once("SAVEDATE \"").expect(said);
    rest.split('"').next().unwrap().to_owned()
}

/// Whether a date stands for a moment from `from` until now.
fn within(date: &str, from: i64) -> bool {
    (from..=now()).any(|unix| DateTime { unix, zone: 0 }.to_string() == date)
}

#[test]
fn a_message_is_saved_when_it_comes() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), "u1@example.test", "demo");
    let offered = imap.ok("CAPABILITY");
    assert!(offered.split_whitespace().any(|word| word == "SAVEDATE"));
    imap.ok("CREATE Old");
    let began = now();
    // The internal date is the client's, the save date is not.
    let size = MAIL.len();
    let append = format!("APPEND INBOX \"01-Jan-2001 01:01:01 +0100\" {{{size}+}}\r\n{MAIL}");
    imap.ok(&append);
    imap.ok("SELECT INBOX");
    let said = imap.ok("FETCH 1 (SAVEDATE INTERNALDATE)");
    let first = saved(&said);
    assert!(within(&first, began), "{said}");
    assert!(said.contains("INTERNALDATE \" 1-Jan-2001"), "{said}");
    let days: Vec<Date> = (0..4)
        .map(|day| Date::from_days(now() / 86_400 - 1 + day))
        .collect();
    let [yesterday, today, tomorrow, ..] = days.as_slice() else {
        unreachable!()
    };
    for (keys, found) in [
        ("SAVEDATESUPPORTED".to_owned(), true),
        (format!("SAVEDON {today}"), true),
        (format!("SAVEDSINCE {today}"), true),
        (format!("SAVEDBEFORE {tomorrow}"), true),
        (format!("SAVEDBEFORE {today}"), false),
        (format!("SAVEDON {yesterday}"), false),
        (format!("NOT SAVEDSINCE {tomorrow}"), true),
        ("ON 1-Jan-2001".to_owned(), true),
    ] {
        let said = imap.ok(&format!("SEARCH {keys}"));
        assert_eq!(said.starts_with("* SEARCH 1\r\n"), found, "{keys}: {said}");
    }
    // Flags change nothing; a copy and a move are saved anew.
    std::thread::sleep(Duration::from_millis(1100));
    imap.ok("STORE 1 +FLAGS (\\Flagged)");
    assert_eq!(saved(&imap.ok("FETCH 1 SAVEDATE")), first);
    let copied = now();
    imap.ok("COPY 1 Old");
    imap.ok("MOVE 1 Old");
    imap.ok("SELECT Old");
    for message in 1..=2 {
        let said = imap.ok(&format!("FETCH {message} (SAVEDATE INTERNALDATE FLAGS)"));
        assert!(within(&saved(&said), copied), "{said}");
        assert!(said.contains("INTERNALDATE \" 1-Jan-2001"), "{said}");
    }
}
