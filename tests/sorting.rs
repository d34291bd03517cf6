//! SORT and THREAD of the real server, what they answer and when they refuse.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::demo::{Demo, Port};
use axigen_tests::wire::Wire;

const USER: &str = "u1@example.test";

fn login(demo: &Demo) -> Wire {
    Wire::imap_login(&demo.addr(Port::Imap), USER, "demo")
}

/// The untagged line of this name, without it.
#[track_caller]
fn answer(imap: &mut Wire, command: &str) -> String {
    let name = command.trim_start_matches("UID ");
    let name = name.split(' ').next().unwrap();
    let said = imap.ok(command);
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix(&format!("* {name}")))
        .unwrap_or_else(|| panic!("{command}: {said}"));
    line.trim_start().to_owned()
}

fn fill(imap: &mut Wire) {
    for mail in [
        "From: zoe@x.test\r\nTo: Bob <b@x.test>\r\nDate: Tue, 03 Mar 2026 10:00:00 +0000\r\nSubject: Plans\r\nMessage-ID: <1@x>\r\n\r\nfirst\r\n",
        "From: =?utf-8?q?=C3=84nne?= <q@x.test>\r\nTo: a@x.test\r\nDate: Mon, 02 Mar 2026 23:30:00 -0200\r\nSubject: Re: plans\r\nMessage-ID: <2@x>\r\nReferences: <1@x>\r\n\r\nsecond, longer than the first\r\n",
        "From: Bob <b@x.test>\r\nDate: Wed, 04 Mar 2026 10:00:00 +0000\r\nSubject: =?utf-8?b?QcOEQg==?=\r\nMessage-ID: <3@x>\r\n\r\nthird\r\n",
        "From: zoe@x.test\r\nTo: b@x.test\r\nDate: Thu, 05 Mar 2026 10:00:00 +0000\r\nSubject: [list] RE: Plans (fwd)\r\nMessage-ID: <4@x>\r\nIn-Reply-To: <2@x> of mine\r\n\r\n4\r\n",
        "From: carl@x.test\r\nDate: Fri, 06 Mar 2026 10:00:00 +0000\r\nSubject: Re: plans\r\n\r\nwithout an identifier, and the longest of all of them\r\n",
    ] {
        let said = imap.append("INBOX", "", mail);
        assert!(said.contains("T OK"), "{said}");
    }
}

#[test]
fn sorted_and_threaded() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = login(&demo);
    fill(&mut imap);
    imap.ok("SELECT INBOX");
    for (command, want) in [
        ("SORT (ARRIVAL) UTF-8 ALL", "1 2 3 4 5"),
        ("SORT (REVERSE DATE) UTF-8 2:4", "4 3 2"),
        ("SORT (DATE) US-ASCII ALL", "2 1 3 4 5"),
        ("SORT (SUBJECT) UTF-8 ALL", "3 1 2 4 5"),
        ("SORT (SUBJECT REVERSE DATE) utf-8 ALL", "3 5 4 1 2"),
        ("SORT (FROM) UTF-8 ALL", "3 5 2 1 4"),
        ("SORT (DISPLAYFROM) UTF-8 ALL", "2 3 5 1 4"),
        ("SORT (DISPLAYTO ARRIVAL) UTF-8 ALL", "3 5 2 4 1"),
        ("SORT (SIZE) UTF-8 TEXT first", "1 2"),
        (
            "SORT (SUBJECT) UTF-8 YOUNGER 3600 NOT OLDER 3600 3:*",
            "3 4 5",
        ),
        ("SORT (SUBJECT) UTF-8 TEXT nowhere", ""),
        ("THREAD REFERENCES UTF-8 ALL", "(1 (2 4)(5))(3)"),
        ("THREAD REFERENCES UTF-8 NOT 2", "(1 (4)(5))(3)"),
        ("THREAD ORDEREDSUBJECT UTF-8 ALL", "(2 (1)(4)(5))(3)"),
        ("THREAD REFERENCES UTF-8 TEXT nowhere", ""),
    ] {
        assert_eq!(answer(&mut imap, command), want, "{command}");
    }
    // UIDs, once they are other numbers.
    imap.ok(r"STORE 1 +FLAGS (\Deleted)");
    imap.ok("EXPUNGE");
    assert_eq!(answer(&mut imap, "SORT (DATE) UTF-8 ALL"), "1 2 3 4");
    let sorted = answer(&mut imap, "UID SORT (REVERSE DATE) UTF-8 ALL");
    assert_eq!(sorted, "5 4 3 2");
    // 1 is gone: 2 names it still, and 5 comes to it by its subject.
    let threads = answer(&mut imap, "UID THREAD REFERENCES UTF-8 ALL");
    assert_eq!(threads, "((2 4)(5))(3)");
}

#[test]
fn refused_with_a_reason() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = login(&demo);
    let capabilities = imap.ok("CAPABILITY");
    for word in [
        "SORT",
        "SORT=DISPLAY",
        "THREAD=REFERENCES",
        "THREAD=ORDEREDSUBJECT",
    ] {
        assert!(
            capabilities.split_whitespace().any(|known| known == word),
            "{word}"
        );
    }
    for (command, want) in [
        ("SORT (DATE) UTF-8 ALL", "T BAD"),
        ("THREAD REFERENCES UTF-8 ALL", "T BAD"),
    ] {
        assert!(
            imap.ask(command).starts_with(want),
            "{command} selects nothing"
        );
    }
    imap.ok("SELECT INBOX");
    assert_eq!(answer(&mut imap, "SORT (DATE) UTF-8 ALL"), "");
    assert_eq!(answer(&mut imap, "THREAD REFERENCES UTF-8 ALL"), "");
    for (command, want) in [
        (
            "SORT (DATE) KOI8-R ALL",
            "T NO [BADCHARSET (US-ASCII UTF-8)]",
        ),
        (
            "THREAD REFERENCES KOI8-R ALL",
            "T NO [BADCHARSET (US-ASCII UTF-8)]",
        ),
        ("SORT () UTF-8 ALL", "T BAD"),
        ("SORT (COLOUR) UTF-8 ALL", "T BAD"),
        ("SORT (REVERSE) UTF-8 ALL", "T BAD"),
        ("SORT (DATE) UTF-8", "T BAD"),
        ("THREAD REFS UTF-8 ALL", "T BAD"),
        ("THREAD REFERENCES ALL", "T NO [BADCHARSET"),
    ] {
        let said = imap.ask(command);
        assert!(said.starts_with(want), "{command}: {said}");
    }
}

/// RFC 3501 §7.4.1, RFC 5256 §3: numbers stay what they are while a command
/// that answers with them runs; with UIDs the news may come.
#[test]
fn what_others_expunge_is_told_later() {
    let demo = Demo::start(&["--accounts", "1"]);
    let (mut imap, mut other) = (login(&demo), login(&demo));
    fill(&mut imap);
    imap.ok("SELECT INBOX");
    other.ok("SELECT INBOX");
    other.ok(r"STORE 2 +FLAGS (\Deleted)");
    other.ok("EXPUNGE");
    for command in ["SORT (DATE) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL"] {
        let said = imap.ok(command);
        assert!(!said.contains("EXPUNGE"), "{command}: {said}");
    }
    let said = imap.ok("UID SORT (ARRIVAL) UTF-8 ALL");
    assert!(said.contains("* SORT 1 3 4 5\r\n"), "{said}");
    assert!(said.contains("* 2 EXPUNGE"), "{said}");
}

/// The untagged line that a command is answered with.
#[track_caller]
fn esearch(imap: &mut Wire, command: &str) -> String {
    let said = imap.ok(command);
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("* ESEARCH (TAG \"T\")"));
    line.unwrap_or_else(|| panic!("{command}: {said}"))
        .trim()
        .to_owned()
}

#[test]
fn some_of_what_is_found() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = login(&demo);
    fill(&mut imap);
    imap.ok("SELECT INBOX");
    for (command, want) in [
        // RFC 5267: in the order asked for.
        ("SORT RETURN () (REVERSE DATE) UTF-8 ALL", "ALL 5,4,3,1:2"),
        ("SORT RETURN (ALL) (DATE) UTF-8 ALL", "ALL 2,1,3:5"),
        (
            "SORT RETURN (MIN MAX COUNT) (DATE) UTF-8 ALL",
            "MIN 2 MAX 5 COUNT 5",
        ),
        (
            "UID SORT RETURN (MIN) (REVERSE DATE) UTF-8 1:4",
            "UID MIN 4",
        ),
        (
            "SORT RETURN (COUNT ALL) (DATE) UTF-8 TEXT nowhere",
            "COUNT 0",
        ),
        // RFC 9394
        ("SEARCH RETURN (PARTIAL 2:3) ALL", "PARTIAL (2:3 2:3)"),
        ("SEARCH RETURN (PARTIAL -1:-2) ALL", "PARTIAL (-1:-2 4:5)"),
        (
            "SEARCH RETURN (PARTIAL 4:9 COUNT) NOT 2",
            "PARTIAL (4:9 5) COUNT 4",
        ),
        (
            "UID SEARCH RETURN (PARTIAL 9:6) ALL",
            "UID PARTIAL (6:9 NIL)",
        ),
        (
            "SORT RETURN (PARTIAL 1:3) (REVERSE DATE) UTF-8 ALL",
            "PARTIAL (1:3 5,4,3)",
        ),
        (
            "SORT RETURN (PARTIAL -1:-2) (REVERSE DATE) UTF-8 ALL",
            "PARTIAL (-1:-2 1:2)",
        ),
    ] {
        assert_eq!(esearch(&mut imap, command), want, "{command}");
    }
    // What is kept (RFC 9394 §3.2).
    for (command, want) in [
        ("SEARCH RETURN (SAVE PARTIAL 2:3) ALL", "2:3"),
        ("SEARCH RETURN (SAVE PARTIAL 2:3 MAX) ALL", "2:3,5"),
        ("SEARCH RETURN (SAVE PARTIAL 2:3 MIN MAX) ALL", "1:3,5"),
        ("SEARCH RETURN (SAVE PARTIAL 2:3 COUNT) ALL", "1:5"),
        ("SORT RETURN (SAVE MIN) (DATE) UTF-8 ALL", "2"),
        ("SORT RETURN (SAVE) (DATE) UTF-8 3:*", "3:5"),
    ] {
        imap.ok(command);
        let saved = esearch(&mut imap, "SEARCH RETURN () $");
        assert_eq!(saved, format!("ALL {want}"), "{command}");
    }
    // The last two of those named, and of these what changed.
    let said = imap.ok("UID FETCH 1:4 (UID) (PARTIAL -1:-2)");
    assert!(
        said.starts_with("* 3 FETCH (UID 3)\r\n* 4 FETCH (UID 4)\r\nT OK"),
        "{said}"
    );
    imap.ok("STORE 1,4 +FLAGS (\\Seen)");
    let said = imap.ok("FETCH 3 MODSEQ");
    let since = said.split("3 FETCH (MODSEQ (").nth(1).unwrap();
    let since = since.split(')').next().unwrap();
    let said = imap.ok(&format!(
        "UID FETCH 1:4 (UID) (PARTIAL 2:4 CHANGEDSINCE {since})"
    ));
    assert!(said.starts_with("* 4 FETCH (UID 4 MODSEQ ("), "{said}");
    assert_eq!(said.matches("FETCH (").count(), 1, "{said}");
}
