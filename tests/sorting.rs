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
