//! QUOTA of the real server: what is told of limits, and that they hold. RFC 9208.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::served::{House, IMAP, PLAIN, SMTP};
use axigen_tests::wire::Wire;

const USER: &str = "u1@example.test";
const MAIL: &str = "Subject: x\r\n\r\n";

#[test]
fn limits_are_told_and_hold() {
    let house = House::with(&format!("{PLAIN}\n[accounts]\nquota = \"64KB\"\n"));
    house.add(USER, "demo");
    house
        .run(&["account", "set", USER, "quota_messages", "5"])
        .ok();
    house.add("free@example.test", "demo");
    house
        .run(&["account", "set", "free@example.test", "quota", "0"])
        .ok();
    let _served = house.serve();
    let mut imap = Wire::imap_login(&house.addr(IMAP), USER, "demo");
    let said = imap.ok("CAPABILITY");
    for word in [
        "QUOTA",
        "QUOTA=RES-STORAGE",
        "QUOTA=RES-MESSAGE",
        "QUOTA=RES-MAILBOX",
    ] {
        assert!(said.split_whitespace().any(|known| known == word), "{word}");
    }
    assert!(!said.contains("QUOTASET"));
    let body = "0123456789abcdef\r\n".repeat(100);
    let big = format!("{MAIL}{body}");
    for _ in 0..2 {
        assert!(imap.append("INBOX", "\\Deleted", &big).contains("T OK"));
    }
    // 3.6 KB are four units.
    let units = (2 * big.len()).div_ceil(1024);
    let said = imap.ok("GETQUOTAROOT INBOX");
    let mailboxes = imap.ok("LIST \"\" *").matches("* LIST").count();
    assert_eq!(
        said.lines().collect::<Vec<_>>()[..2],
        [
            "* QUOTAROOT INBOX \"\"".to_owned(),
            format!("* QUOTA \"\" (STORAGE {units} 64 MESSAGE 2 5 MAILBOX {mailboxes} 10000)"),
        ]
    );
    // One that is not there yet would fall under the same.
    assert!(
        imap.ok("GETQUOTAROOT new/one")
            .contains("* QUOTAROOT new/one \"\"")
    );
    assert!(imap.ok("GETQUOTA \"\"").contains("MESSAGE 2 5"));
    let said = imap.ask("GETQUOTA other");
    assert!(said.starts_with("T NO [NONEXISTENT]"), "{said}");
    let said = imap.ok("STATUS INBOX (DELETED DELETED-STORAGE)");
    assert!(
        said.contains(&format!("(DELETED 2 DELETED-STORAGE {units})")),
        "{said}"
    );

    // The number of messages holds, whoever brings them.
    for _ in 0..2 {
        assert!(imap.append("INBOX", "", MAIL).contains("T OK"));
    }
    imap.ok("SELECT INBOX");
    let said = imap.ask("COPY 3:4 Drafts");
    assert!(said.contains("T NO [OVERQUOTA]"), "{said}");
    imap.ok("MOVE 3:4 Drafts");
    let said = Wire::deliver(&house.addr(SMTP), USER, MAIL);
    assert!(said.starts_with("250"), "{said}");
    let said = Wire::deliver(&house.addr(SMTP), USER, MAIL);
    assert!(said.starts_with("452 4.2.2"), "{said}");
    let said = imap.append("INBOX", "", MAIL);
    assert!(said.contains("T NO [OVERQUOTA]"), "{said}");
    assert!(imap.ok("GETQUOTA \"\"").contains("MESSAGE 5 5"));
    imap.ok("EXPUNGE");
    assert!(imap.ok("GETQUOTA \"\"").contains("MESSAGE 3 5"));
    assert!(imap.append("INBOX", "", MAIL).contains("T OK"));

    // Where nothing is limited, nothing is told but what holds for all.
    let mut imap = Wire::imap_login(&house.addr(IMAP), "free@example.test", "demo");
    let said = imap.ok("GETQUOTA \"\"");
    assert!(said.starts_with("* QUOTA \"\" (MAILBOX "), "{said}");
}
