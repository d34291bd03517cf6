//! UIDONLY and UIDBATCHES of the real server. RFC 9586, RFC 10022.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::demo::{Demo, Port};
use axigen_tests::wire::Wire;

const USER: &str = "u1@example.test";

fn login(demo: &Demo) -> Wire {
    Wire::imap_login(&demo.addr(Port::Imap), USER, "demo")
}

#[test]
fn messages_have_only_uids() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = login(&demo);
    let offered = imap.ok("CAPABILITY");
    assert!(offered.contains(" UIDONLY "), "{offered}");
    for number in 1..=4 {
        imap.append("INBOX", "", &format!("Subject: {number}\r\n\r\nx\r\n"));
    }
    imap.ok("SELECT INBOX");
    imap.ok("UID STORE 1 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    let said = imap.ok("SELECT INBOX");
    assert!(said.contains("[UNSEEN 1]"), "{said}");

    let said = imap.ok("ENABLE UIDONLY");
    assert!(said.contains("* ENABLED UIDONLY\r\n"), "{said}");
    assert!(imap.ok("ENABLE UIDONLY").contains("* ENABLED\r\n"));
    let said = imap.ok("SELECT INBOX");
    assert!(!said.contains("UNSEEN"), "{said}");
    assert!(said.contains("* 3 EXISTS\r\n"), "{said}");
    for line in [
        "FETCH 1 FLAGS",
        "STORE 1 FLAGS (\\Seen)",
        "COPY 1 INBOX",
        "MOVE 1 INBOX",
        "SEARCH ALL",
        "SORT (DATE) UTF-8 ALL",
        "THREAD REFERENCES UTF-8 ALL",
        "UID SEARCH 1:2",
    ] {
        let said = imap.ask(line);
        assert!(said.starts_with("T BAD [UIDREQUIRED] "), "{line}: {said}");
    }

    let said = imap.ok("UID FETCH 2:3 (FLAGS)");
    assert!(said.contains("* 2 UIDFETCH (FLAGS ("), "{said}");
    assert!(said.contains("* 3 UIDFETCH (FLAGS ("), "{said}");
    let said = imap.ok("UID FETCH 4 (UID BODY.PEEK[TEXT])");
    assert!(
        said.contains("* 4 UIDFETCH (UID 4 BODY[TEXT] {3}\r\nx\r\n)\r\n"),
        "{said}"
    );
    assert!(
        imap.ok("UID FETCH 4 UID")
            .contains("* 4 UIDFETCH (UID 4)\r\n")
    );
    let said = imap.ok("UID STORE 2 FLAGS (\\Seen)");
    assert!(said.contains("* 2 UIDFETCH (FLAGS (\\Seen"), "{said}");
    let said = imap.ok("UID STORE 2 (UNCHANGEDSINCE 99999) +FLAGS.SILENT (\\Flagged)");
    assert!(said.contains("* 2 UIDFETCH (MODSEQ ("), "{said}");
    assert!(imap.ok("UID SEARCH SEEN").contains("* SEARCH 2\r\n"));

    // What another session does.
    let mut other = login(&demo);
    other.ok("SELECT INBOX");
    other.ok("UID STORE 3 +FLAGS (\\Answered)");
    other.ok("UID STORE 4 +FLAGS (\\Deleted)");
    other.ok("EXPUNGE");
    let said = imap.ok("NOOP");
    assert!(said.contains("* VANISHED 4\r\n"), "{said}");
    assert!(said.contains("* 3 UIDFETCH (FLAGS (\\Answered"), "{said}");
    assert!(!said.contains("EXPUNGE"), "{said}");
    assert!(!said.contains(" FETCH"), "{said}");
    imap.ok("UID STORE 3 +FLAGS.SILENT (\\Deleted)");
    assert!(imap.ok("EXPUNGE").contains("* VANISHED 3\r\n"));

    // Without the numbers that a client remembers, QRESYNC works.
    imap.ok("ENABLE QRESYNC");
    let validity = imap.ok("STATUS INBOX (UIDVALIDITY)");
    let validity = validity.split("UIDVALIDITY ").nth(1).unwrap();
    let validity = validity.split(')').next().unwrap();
    let said = imap.ask(&format!("SELECT INBOX (QRESYNC ({validity} 1 1:4 (1 2)))"));
    assert!(said.starts_with("T BAD [UIDREQUIRED]"), "{said}");
    let said = imap.ok(&format!("SELECT INBOX (QRESYNC ({validity} 1 1:4))"));
    assert!(said.contains("* VANISHED (EARLIER) 1,3:4\r\n"), "{said}");
    assert!(said.contains("* 2 UIDFETCH (FLAGS ("), "{said}");

    // A new login begins with sequence numbers.
    imap.ok("UNAUTHENTICATE");
    imap.ok("LOGIN u1@example.test demo");
    imap.ok("SELECT INBOX");
    assert!(imap.ok("FETCH 1 UID").contains("* 1 FETCH (UID 2)\r\n"));
}

#[test]
fn news_while_idle() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = login(&demo);
    imap.append("INBOX", "", "Subject: x\r\n\r\nx\r\n");
    imap.ok("ENABLE UIDONLY");
    imap.ok("SELECT INBOX");
    imap.send("I IDLE\r\n");
    assert!(imap.line().starts_with('+'));
    let mut other = login(&demo);
    other.ok("SELECT INBOX");
    other.ok("STORE 1 +FLAGS (\\Deleted)");
    let said = imap.line();
    assert!(said.starts_with("* 1 UIDFETCH (FLAGS (\\Deleted"), "{said}");
    other.ok("EXPUNGE");
    assert_eq!(imap.line().trim_end(), "* VANISHED 1");
}

#[test]
fn batches() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = login(&demo);
    assert!(imap.ok("CAPABILITY").contains(" UIDBATCHES "));
    let said = imap.ask("UIDBATCHES 500");
    assert!(said.starts_with("T BAD"), "{said}");
    imap.ok("SELECT INBOX");
    assert!(
        imap.ok("UIDBATCHES 500")
            .contains("* UIDBATCHES (TAG \"T\")\r\n")
    );
    for number in 0..3 {
        imap.append("INBOX", "", &format!("Subject: {number}\r\n\r\nx\r\n"));
    }
    imap.ok("SELECT INBOX");
    // 3, 6, 12 ... messages by copying: 1536 of them, UIDs 1 to 1536.
    for _ in 0..9 {
        imap.ok("COPY 1:* INBOX");
        imap.ok("NOOP");
    }
    imap.ok("UID STORE 1000:1035 +FLAGS.SILENT (\\Deleted)");
    imap.ok("EXPUNGE");
    imap.ok("UID SEARCH RETURN (SAVE) UID 7");
    let said = imap.ok("UIDBATCHES 500");
    assert!(
        said.contains("* UIDBATCHES (TAG \"T\") 1536:1037,1036:501,500:1\r\n"),
        "{said}"
    );
    let said = imap.ok("UIDBATCHES 500 2:2");
    assert!(said.contains("(TAG \"T\") 1036:501\r\n"), "{said}");
    let said = imap.ok("UIDBATCHES 500 4:9");
    assert!(said.contains("* UIDBATCHES (TAG \"T\")\r\n"), "{said}");
    assert!(
        imap.ok("SEARCH $").contains("* SEARCH 7\r\n"),
        "the saved result stays"
    );
    for (line, answer) in [
        ("UIDBATCHES 499", "T NO [TOOFEW]"),
        ("UIDBATCHES 1000 1:101", "T NO [TOOMANY]"),
        ("UIDBATCHES 500 3:2", "T BAD [CLIENTBUG]"),
    ] {
        let said = imap.ask(line);
        assert!(said.starts_with(answer), "{line}: {said}");
    }
}
