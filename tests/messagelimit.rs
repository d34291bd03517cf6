//! MESSAGELIMIT and SAVELIMIT of the real server. RFC 9738.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::served::{House, IMAP, PLAIN, Served};
use axigen_tests::wire::Wire;

const USER: &str = "u1@example.test";

/// A server with these settings of IMAP, and a client that has put six messages
/// into INBOX and one into Work.
fn served(settings: &str, more: &str) -> (House, Served, Wire) {
    let of_imap = format!("[imap]\nenable = true\n{settings}\n");
    let plain = PLAIN.replace("[imap]\nenable = true\n", &of_imap);
    let house = House::with(&format!("{plain}\n{more}"));
    house.add(USER, "demo");
    let served = house.serve();
    let mut imap = Wire::imap_login(&house.addr(IMAP), USER, "demo");
    for subject in ["a", "b", "c", "d", "e", "f"] {
        imap.append("INBOX", "", &mail(subject));
    }
    imap.ok("CREATE Work");
    imap.append("Work", "", &mail("a"));
    (house, served, imap)
}

fn mail(subject: &str) -> String {
    format!("Subject: {subject}\r\n\r\ntext\r\n")
}

/// The numbers of FETCH, UIDFETCH or EXPUNGE responses, in their order.
fn numbers(said: &str, of: &str) -> Vec<u32> {
    let lines = said.lines().filter(|line| line.contains(of));
    let number = |line: &str| line.split(' ').nth(1).unwrap().parse().unwrap();
    lines.map(number).collect()
}

#[test]
fn nobody_meets_it_as_it_is_set_at_first() {
    let (_house, _served, mut imap) = served("", "");
    let said = imap.ok("CAPABILITY");
    assert!(said.contains(" MESSAGELIMIT=10000000"), "{said}");
    assert!(!said.contains("SAVELIMIT"), "{said}");
    imap.ok("SELECT INBOX");
    let said = imap.ok("FETCH 1:* FLAGS");
    assert_eq!(numbers(&said, " FETCH "), [1, 2, 3, 4, 5, 6]);
    assert!(!said.contains("MESSAGELIMIT"), "{said}");
    let said = imap.ok("UID SEARCH UIDAFTER 2 UIDBEFORE 5");
    assert!(said.contains("* SEARCH 3 4\r\n"), "{said}");
}

#[test]
fn without_a_limit_none_is_told() {
    let (_house, _served, mut imap) = served("message_limit = 0", "");
    let said = imap.ok("CAPABILITY");
    assert!(!said.contains(" MESSAGELIMIT=") && !said.contains(" SAVELIMIT="));
}

#[test]
fn it_can_be_walked_down() {
    let (_house, _served, mut imap) = served("message_limit = 4", "");
    imap.ok("SELECT INBOX");
    let said = imap.ok("UID FETCH 1:* (FLAGS)");
    assert_eq!(numbers(&said, " FETCH "), [6, 5, 4, 3]);
    assert!(said.contains("T OK [MESSAGELIMIT 4 3] "), "{said}");
    let said = imap.ok("UID FETCH 1:2 (FLAGS)");
    assert_eq!(numbers(&said, " FETCH "), [1, 2]);
    assert!(!said.contains("MESSAGELIMIT"), "{said}");
    // Also of what is known without a look at the messages.
    let said = imap.ok("FETCH 1:* (UID)");
    assert_eq!(numbers(&said, " FETCH "), [6, 5, 4, 3]);
    assert!(said.contains("T OK [MESSAGELIMIT 4 3] "), "{said}");
    // Texts in their pieces, from the highest down too.
    let said = imap.ok("FETCH 1:* (BODY.PEEK[TEXT])");
    assert_eq!(numbers(&said, " FETCH "), [6, 5, 4, 3]);
    assert!(said.contains("T OK [MESSAGELIMIT 4 3] "), "{said}");
    // \Deleted ones count where they are removed, whatever was named.
    imap.ok("UID STORE 1:4 +FLAGS.SILENT (\\Deleted)");
    let said = imap.ok("UID EXPUNGE 1:*");
    assert_eq!(numbers(&said, " EXPUNGE").len(), 4);
    assert!(!said.contains("MESSAGELIMIT"), "{said}");
    // STATUS tells of all.
    for subject in ["g", "h", "i", "j"] {
        imap.append("INBOX", "", &mail(subject));
    }
    let said = imap.ok("STATUS INBOX (MESSAGES UNSEEN)");
    assert!(said.contains("MESSAGES 6 UNSEEN 6"), "{said}");
    for range in ["1:3", "4:6"] {
        imap.ok(&format!("STORE {range} +FLAGS.SILENT (\\Deleted)"));
    }
    let said = imap.ok("EXPUNGE");
    assert_eq!(numbers(&said, " EXPUNGE").len(), 6);
    assert!(!said.contains("MESSAGELIMIT"), "{said}");
}

#[test]
fn where_another_code_stands_at_the_end() {
    let (_house, _served, mut imap) = served("message_limit = 3", "");
    imap.ok("ENABLE QRESYNC");
    imap.ok("SELECT INBOX");
    let said = imap.ok("UID STORE 1:* (UNCHANGEDSINCE 1) +FLAGS (\\Flagged)");
    assert!(said.contains("* NO [MESSAGELIMIT 3 4] "), "{said}");
    assert!(said.contains("T OK [MODIFIED 4:6] "), "{said}");
    let said = imap.ok("UID MOVE 1:* Work");
    let (told, ended) = (
        said.find("* NO [MESSAGELIMIT 3 4] "),
        said.find("T OK [HIGHESTMODSEQ "),
    );
    assert!(told.unwrap() < ended.unwrap(), "{said}");
    assert!(said.contains("* VANISHED 4:6\r\n"), "{said}");
    let said = imap.ok("UID MOVE 1:* Work");
    assert!(!said.contains("MESSAGELIMIT"), "{said}");
    let said = imap.ok("STATUS Work (MESSAGES)");
    assert!(said.contains("MESSAGES 7"), "{said}");
}

#[test]
fn with_uidonly() {
    let (_house, _served, mut imap) = served("message_limit = 3", "");
    imap.ok("ENABLE UIDONLY");
    imap.ok("SELECT INBOX");
    let said = imap.ok("UID FETCH 1:* (FLAGS)");
    assert_eq!(numbers(&said, " UIDFETCH "), [6, 5, 4]);
    assert!(said.contains("T OK [MESSAGELIMIT 3 4] "), "{said}");
    let said = imap.ok("UID STORE 2:* +FLAGS (\\Seen)");
    assert_eq!(numbers(&said, " UIDFETCH "), [6, 5, 4]);
    assert!(said.contains("T OK [MESSAGELIMIT 3 4] "), "{said}");
}

#[test]
fn searches() {
    for index in [true, false] {
        let (_house, _served, mut imap) = served(
            "message_limit = 3",
            &format!("[search]\nenable = {index}\n"),
        );
        imap.ok("SELECT INBOX");
        // The same with the index and without it.
        let said = imap.ok("UID SEARCH SUBJECT a");
        assert!(said.contains("* SEARCH\r\n"), "{said}");
        assert!(said.contains("T OK [MESSAGELIMIT 3 4] "), "{said}");
        let said = imap.ok("UID SEARCH UIDBEFORE 4 SUBJECT a");
        assert!(said.contains("* SEARCH 1\r\nT OK searched"), "{said}");
        let said = imap.ok("SEARCH (2:5 (NOT SEEN)) UID 1:4");
        assert!(said.contains("* SEARCH 2 3 4\r\nT OK searched"), "{said}");
        let said = imap.ok("SEARCH RETURN (MIN MAX COUNT) OR UID 1 UID 6");
        assert!(said.contains(" MIN 6 MAX 6 COUNT 1\r\n"), "{said}");
        assert!(said.contains("T OK [MESSAGELIMIT 3 4] "), "{said}");
        let said = imap.ok("SEARCH RETURN (UPDATE COUNT) UNSEEN");
        assert!(said.contains("* NO [NOUPDATE \"T\"] "), "{said}");
        assert!(said.contains("T OK [MESSAGELIMIT 3 4] "), "{said}");
        // What SORT was to save is forgotten with it.
        imap.ok("SEARCH RETURN (SAVE) UID 6");
        let said = imap.ask("SORT RETURN (SAVE) (SUBJECT) UTF-8 ALL");
        assert!(said.starts_with("T NO [MESSAGELIMIT 3] "), "{said}");
        assert!(imap.ok("SEARCH RETURN (COUNT) $").contains(" COUNT 0\r\n"));
        let said = imap.ok("ESEARCH RETURN (COUNT) ALL");
        assert!(said.contains(" COUNT 3\r\n"), "{said}");
        assert!(said.contains("T OK [MESSAGELIMIT 3 4] "), "{said}");
        let said = imap.ask("ESEARCH IN (mailboxes (Work INBOX)) RETURN (COUNT) ALL");
        assert!(said.contains("MAILBOX Work "), "{said}");
        assert!(!said.contains("MAILBOX INBOX "), "{said}");
        assert!(said.contains("T NO [MESSAGELIMIT 3] "), "{said}");
        let said = imap.ok("ESEARCH IN (mailboxes (Work INBOX)) RETURN (COUNT) UIDBEFORE 4");
        assert!(said.contains("MAILBOX INBOX "), "{said}");
        assert!(said.contains("T OK searched"), "{said}");
    }
}

#[test]
fn savelimit() {
    let (_house, _served, mut imap) = served("message_limit = 0\nsave_limit = 3", "");
    let said = imap.ok("CAPABILITY");
    assert!(said.contains(" SAVELIMIT=3"), "{said}");
    assert!(!said.contains("MESSAGELIMIT"), "{said}");
    imap.ok("SELECT INBOX");
    let said = imap.ok("FETCH 1:* FLAGS");
    assert_eq!(numbers(&said, " FETCH "), [1, 2, 3, 4, 5, 6]);
    assert!(
        imap.ok("SORT (ARRIVAL) UTF-8 ALL")
            .contains("* SORT 1 2 3 4 5 6")
    );
    let said = imap.ask("COPY 2:6 Work");
    assert!(said.starts_with("T NO [MESSAGELIMIT 3 4] "), "{said}");
    assert!(imap.ok("STATUS Work (MESSAGES)").contains("MESSAGES 1"));
    assert!(imap.ok("COPY 4:6 Work").contains("[COPYUID "));
    let said = imap.ask("APPEND Work {1+}\r\na {1+}\r\nb {1+}\r\nc {1+}\r\nd");
    assert!(said.starts_with("T NO [MESSAGELIMIT 3] "), "{said}");
    assert!(imap.ok("STATUS Work (MESSAGES)").contains("MESSAGES 4"));
    imap.ok("APPEND Work {1+}\r\na {1+}\r\nb {1+}\r\nc");
    let said = imap.ok("MOVE 1:* Work");
    assert!(!said.contains("MESSAGELIMIT"), "{said}");
    assert!(imap.ok("STATUS INBOX (MESSAGES)").contains("MESSAGES 0"));
}
