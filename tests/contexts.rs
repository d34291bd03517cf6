//! Results that are kept up to date, and commands that take long, of the real
//! server. RFC 5267, RFC 9585.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::demo::{Demo, Port};
use axigen_tests::served::{House, IMAP, PLAIN};
use axigen_tests::wire::Wire;

const USER: &str = "u1@example.test";

fn login(demo: &Demo) -> Wire {
    Wire::imap_login(&demo.addr(Port::Imap), USER, "demo")
}

fn mail(subject: &str) -> String {
    format!("Subject: {subject}\r\n\r\nx\r\n")
}

/// Runs a command under a tag of its own; all it says.
fn tagged(imap: &mut Wire, tag: &str, command: &str) -> String {
    imap.send(format!("{tag} {command}\r\n"));
    String::from_utf8(imap.imap_until(&format!("{tag} "))).unwrap()
}

/// Untagged lines in their order.
fn lines(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.starts_with('*')).collect()
}

#[test]
fn a_search_is_kept_up_to_date() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = login(&demo);
    let offered = imap.ok("CAPABILITY");
    for word in ["CONTEXT=SEARCH", "CONTEXT=SORT", "INPROGRESS"] {
        assert!(offered.contains(&format!(" {word} ")), "{word}: {offered}");
    }
    for number in 1..=4 {
        imap.append("INBOX", "", &mail(&format!("{number}")));
    }
    imap.ok("SELECT INBOX");
    imap.ok("UID STORE 2 +FLAGS (\\Flagged)");
    let said = tagged(&mut imap, "S1", "SEARCH RETURN (UPDATE ALL) FLAGGED");
    assert!(said.contains("* ESEARCH (TAG \"S1\") ALL 2\r\n"), "{said}");
    let said = tagged(
        &mut imap,
        "S2",
        "UID SEARCH RETURN (UPDATE COUNT) UNFLAGGED",
    );
    assert!(
        said.contains("* ESEARCH (TAG \"S2\") UID COUNT 3\r\n"),
        "{said}"
    );
    let said = tagged(&mut imap, "S2", "UID SEARCH RETURN (UPDATE COUNT) ALL");
    assert!(said.starts_with("S2 BAD"), "{said}");

    // A flag moves a message from one to the other, and is told first.
    let mut other = login(&demo);
    other.ok("SELECT INBOX");
    other.ok("STORE 3:4 +FLAGS.SILENT (\\Flagged)");
    let said = imap.ok("NOOP");
    let told = lines(&said);
    assert!(told[0].starts_with("* 3 FETCH ("), "{said}");
    assert!(told[1].starts_with("* 4 FETCH ("), "{said}");
    assert_eq!(
        told[2..],
        [
            "* ESEARCH (TAG \"S1\") ADDTO (0 3:4)",
            "* ESEARCH (TAG \"S2\") UID REMOVEFROM (0 3:4)",
        ]
    );
    // What its own command changed, too.
    let said = imap.ok("STORE 3 -FLAGS.SILENT (\\Flagged)");
    assert_eq!(
        lines(&said),
        [
            "* ESEARCH (TAG \"S1\") REMOVEFROM (0 3)",
            "* ESEARCH (TAG \"S2\") UID ADDTO (0 3)",
        ]
    );
    // Sequence numbers mean what they meant before the EXPUNGE, and after EXISTS.
    other.ok("UID STORE 1:2 +FLAGS.SILENT (\\Deleted)");
    other.ok("EXPUNGE");
    other.append("INBOX", "\\Flagged", &mail("new"));
    let said = imap.ok("NOOP");
    let told: Vec<&str> = lines(&said)
        .into_iter()
        .filter(|line| !line.ends_with("RECENT"))
        .collect();
    assert_eq!(
        told,
        [
            "* ESEARCH (TAG \"S1\") REMOVEFROM (0 2)",
            "* ESEARCH (TAG \"S2\") UID REMOVEFROM (0 1)",
            "* 2 EXPUNGE",
            "* 1 EXPUNGE",
            "* 3 EXISTS",
            "* ESEARCH (TAG \"S1\") ADDTO (0 3)",
        ]
    );
    let said = tagged(&mut imap, "C1", "CANCELUPDATE \"S1\" \"S3\"");
    assert!(said.starts_with("C1 BAD"), "{said}");
    imap.ok("CANCELUPDATE \"S1\"");
    let said = imap.ok("STORE 3 -FLAGS.SILENT (\\Flagged)");
    assert_eq!(lines(&said), ["* ESEARCH (TAG \"S2\") UID ADDTO (0 5)"]);
    // Another mailbox ends them all.
    imap.ok("SELECT INBOX");
    let said = tagged(&mut imap, "C2", "CANCELUPDATE \"S2\"");
    assert!(said.starts_with("C2 BAD"), "{said}");
    assert!(lines(&imap.ok("STORE 3 +FLAGS.SILENT (\\Flagged)")).is_empty());
}

#[test]
fn a_sort_is_kept_up_to_date_in_idle() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = login(&demo);
    for subject in ["d", "b", "f", "h"] {
        imap.append("INBOX", "", &mail(subject));
    }
    imap.ok("SELECT INBOX");
    let said = tagged(
        &mut imap,
        "S1",
        "UID SORT RETURN (UPDATE ALL) (REVERSE SUBJECT) UTF-8 UNDELETED",
    );
    assert!(
        said.contains("* ESEARCH (TAG \"S1\") UID ALL 4,3,1:2\r\n"),
        "{said}"
    );
    imap.send("I IDLE\r\n");
    assert!(imap.line().starts_with('+'));
    let mut other = login(&demo);
    other.ok("SELECT INBOX");
    let mut hear = |what: &str| loop {
        let line = imap.line();
        if line.contains("ESEARCH") {
            break assert_eq!(
                line.trim_end(),
                format!("* ESEARCH (TAG \"S1\") UID {what}")
            );
        }
    };
    // 4 h, 3 f, 1 d, 2 b
    for (subject, what) in [
        ("e", "ADDTO (3 5)"),
        ("z", "ADDTO (1 6)"),
        ("a", "ADDTO (7 7)"),
        // Equal ones stand by their numbers.
        ("f", "ADDTO (4 8)"),
    ] {
        other.append("INBOX", "", &mail(subject));
        hear(what);
    }
    // 6 z, 4 h, 3 f, 8 f, 5 e, 1 d, 2 b, 7 a
    other.ok("UID STORE 8 +FLAGS.SILENT (\\Deleted)");
    hear("REMOVEFROM (4 8)");
    other.ok("EXPUNGE");
    other.ok("UID STORE 6,2 +FLAGS.SILENT (\\Deleted)");
    hear("REMOVEFROM (6 2 1 6)");
    other.ok("UID STORE 2 -FLAGS.SILENT (\\Deleted)");
    hear("ADDTO (5 2)");
}

#[test]
fn what_is_not_kept_up_to_date() {
    let house = House::with(&PLAIN.replace(
        "[imap]\nenable = true\n",
        "[imap]\nenable = true\nsearch_contexts = 2\n",
    ));
    house.add(USER, "demo");
    let _served = house.serve();
    let mut imap = Wire::imap_login(&house.addr(IMAP), USER, "demo");
    imap.append("INBOX", "", &mail("x"));
    imap.ok("SELECT INBOX");
    for keys in [
        "YOUNGER 100",
        "NOT OLDER 5",
        "1:*",
        "UID 1:*",
        "OR SEEN UID $",
    ] {
        let said = tagged(
            &mut imap,
            "N1",
            &format!("SEARCH RETURN (UPDATE ALL) {keys}"),
        );
        assert!(said.contains("* ESEARCH (TAG \"N1\")"), "{keys}: {said}");
        assert!(said.contains("* NO [NOUPDATE \"N1\"] "), "{keys}: {said}");
        assert!(said.contains("\r\nN1 OK "), "{keys}: {said}");
    }
    for tag in ["S1", "S2"] {
        let said = tagged(&mut imap, tag, "UID SEARCH RETURN (UPDATE) UID 1:5");
        assert!(
            said.contains(&format!("* ESEARCH (TAG \"{tag}\") UID\r\n")),
            "{said}"
        );
        assert!(!said.contains("NOUPDATE"), "{said}");
    }
    let said = tagged(
        &mut imap,
        "S3",
        "SORT RETURN (UPDATE COUNT) (DATE) UTF-8 ALL",
    );
    assert!(
        said.contains("* ESEARCH (TAG \"S3\") COUNT 1\r\n"),
        "{said}"
    );
    assert!(said.contains("* NO [NOUPDATE \"S3\"] "), "{said}");
    imap.ok("CANCELUPDATE \"S1\"");
    let said = tagged(
        &mut imap,
        "S3",
        "SORT RETURN (UPDATE COUNT) (DATE) UTF-8 ALL",
    );
    assert!(!said.contains("NOUPDATE"), "{said}");
}

#[test]
fn a_long_search_says_how_far_it_is() {
    let house = House::with(&PLAIN.replace(
        "[imap]\nenable = true\n",
        "[imap]\nenable = true\nprogress_interval = \"1s\"\n",
    ));
    house.add(USER, "demo");
    let _served = house.serve();
    let mut imap = Wire::imap_login(&house.addr(IMAP), USER, "demo");
    // Letters that are not ASCII cannot be compared as they are.
    let line = "Žluťoučký kůň úpěl ďábelské ódy\r\n".repeat(20_000);
    let text = format!("Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{line}");
    imap.append("INBOX", "", &text);
    imap.ok("SELECT INBOX");
    for _ in 0..6 {
        imap.ok("COPY 1:* INBOX");
        imap.ok("NOOP");
    }
    let said = imap.ok("SEARCH BODY \"nothing of the kind\"");
    let told: Vec<(u32, u32)> = lines(&said)
        .into_iter()
        .filter_map(|line| line.strip_prefix("* OK [INPROGRESS (\"T\" "))
        .map(|rest| {
            let numbers = rest.split(')').next().unwrap();
            let (done, goal) = numbers.split_once(' ').unwrap();
            (done.parse().unwrap(), goal.parse().unwrap())
        })
        .collect();
    assert!(!told.is_empty(), "{said}");
    assert!(
        told.iter().all(|&(done, goal)| done <= 64 && goal == 64),
        "{told:?}"
    );
    assert!(told.is_sorted(), "{told:?}");
    // One that is quick says nothing.
    assert!(!imap.ok("SEARCH SEEN").contains("INPROGRESS"));
}
