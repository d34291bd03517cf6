//! MULTISEARCH of the real server: several mailboxes in one search, one's own
//! and those of others. RFC 7377.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::served::{House, IMAP, PLAIN};
use axigen_tests::wire::Wire;

fn house(more: &str) -> House {
    let house = House::with(&format!("{PLAIN}\n{more}"));
    for user in ["ann", "bob"] {
        house.add(&format!("{user}@example.test"), "demo");
    }
    house
}

fn login(house: &House, user: &str) -> Wire {
    Wire::imap_login(&house.addr(IMAP), &format!("{user}@example.test"), "demo")
}

fn mail(subject: &str) -> String {
    format!("Subject: {subject}\r\n\r\ntext of {subject}\r\n")
}

/// The ESEARCH responses of an answer, with `V` for what UIDVALIDITY is.
fn responses(said: &str) -> Vec<String> {
    let lines = said.lines().filter(|line| line.starts_with("* ESEARCH "));
    let plain = |line: &str| {
        let (before, rest) = line.split_once("UIDVALIDITY ").expect(line);
        let (number, rest) = rest.split_once(')').expect(line);
        assert!(number.parse::<u32>().unwrap() > 0);
        format!("{before}UIDVALIDITY V){rest}")
    };
    lines.map(plain).collect()
}

/// What is found in which mailbox.
#[track_caller]
fn found(wire: &mut Wire, command: &str) -> Vec<String> {
    let plain = |line: String| {
        let line = line.strip_prefix("* ESEARCH (TAG \"T\" MAILBOX ").unwrap();
        line.replace(" UIDVALIDITY V) UID", "")
    };
    let said = wire.ok(command);
    responses(&said).into_iter().map(plain).collect()
}

/// Mailboxes with one message of each of these subjects.
fn fill(wire: &mut Wire, mailboxes: &[(&str, &[&str])]) {
    for (mailbox, subjects) in mailboxes {
        if *mailbox != "INBOX" {
            wire.ok(&format!("CREATE \"{mailbox}\""));
        }
        for subject in *subjects {
            wire.append(mailbox, "", &mail(subject));
        }
    }
}

#[test]
fn which_mailboxes_are_searched() {
    let house = house("");
    let _served = house.serve();
    let mut ann = login(&house, "ann");
    assert!(ann.ok("CAPABILITY").contains(" MULTISEARCH "));
    fill(
        &mut ann,
        &[
            ("INBOX", &["red", "blue", "red"]),
            ("Work", &["red"]),
            ("Work/Deep", &["blue", "red"]),
            ("Work/Deep/Er", &["red", "green"]),
            ("Workshop", &["red"]),
            ("B&APw-cher", &["green"]),
        ],
    );
    // A name that is no mailbox, above one that is.
    fill(&mut ann, &[("Gone", &[]), ("Gone/Child", &["red"])]);
    ann.ok("DELETE Gone");
    ann.ok("SUBSCRIBE Work/Deep");
    ann.ok("CREATE Nowhere");
    ann.ok("SUBSCRIBE Nowhere");
    ann.ok("DELETE Nowhere");
    for (sources, wanted) in [
        ("mailboxes INBOX", &["INBOX ALL 1,3"][..]),
        (
            "mailboxes (Workshop \"inbox\" Nowhere Workshop)",
            &["Workshop ALL 1", "INBOX ALL 1,3"],
        ),
        (
            "subtree Work",
            &["Work ALL 1", "Work/Deep ALL 2", "Work/Deep/Er ALL 1"],
        ),
        ("subtree-one Work", &["Work ALL 1", "Work/Deep ALL 2"]),
        ("subtree-one (Gone Nowhere)", &["Gone/Child ALL 1"]),
        // INBOX is so from the beginning.
        ("subscribed", &["INBOX ALL 1,3", "Work/Deep ALL 2"]),
        (
            "subtree Work/Deep mailboxes Work",
            &["Work/Deep ALL 2", "Work/Deep/Er ALL 1", "Work ALL 1"],
        ),
        ("mailboxes Nowhere", &[]),
        ("mailboxes \"Public/News\"", &[]),
        ("subtree \"Other Users\"", &[]),
    ] {
        let command = format!("ESEARCH IN ({sources}) SUBJECT red");
        assert_eq!(found(&mut ann, &command), wanted, "{sources}");
    }
    for sources in ["personal", "inboxes", "personal subtree Work inboxes"] {
        let mut all = found(&mut ann, &format!("ESEARCH IN ({sources}) SUBJECT red"));
        all.sort_unstable();
        let wanted = [
            "Gone/Child ALL 1",
            "INBOX ALL 1,3",
            "Work ALL 1",
            "Work/Deep ALL 2",
            "Work/Deep/Er ALL 1",
            "Workshop ALL 1",
        ];
        assert_eq!(all, wanted, "{sources}");
    }
    let said = found(&mut ann, "ESEARCH IN (personal) SUBJECT green");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said.contains(&"\"B&APw-cher\" ALL 1".to_owned()),
        "{said:?}"
    );
    // Nothing was opened by that, and nothing need be.
    assert!(ann.ask("FETCH 1 FLAGS").starts_with("T BAD "));
    assert_eq!(
        responses(&ann.ok("ESEARCH IN (mailboxes INBOX) ALL")),
        ["* ESEARCH (TAG \"T\" MAILBOX INBOX UIDVALIDITY V) UID ALL 1:3"]
    );
}

#[test]
fn what_is_returned() {
    let house = house("");
    let _served = house.serve();
    let mut ann = login(&house, "ann");
    fill(
        &mut ann,
        &[
            ("INBOX", &["red", "blue", "red", "red"]),
            ("Work", &["blue"]),
            ("Lists", &["red"]),
        ],
    );
    for (returns, keys, wanted) in [
        (
            "COUNT",
            "SUBJECT red",
            &["INBOX COUNT 3", "Lists COUNT 1"][..],
        ),
        (
            "MIN MAX COUNT",
            "SUBJECT red",
            &["INBOX MIN 1 MAX 4 COUNT 3", "Lists MIN 1 MAX 1 COUNT 1"],
        ),
        ("", "SUBJECT red", &["INBOX ALL 1,3:4", "Lists ALL 1"]),
        (
            "PARTIAL 2:3",
            "SUBJECT red",
            &["INBOX PARTIAL (2:3 3:4)", "Lists PARTIAL (2:3 NIL)"],
        ),
        // Sequence numbers are those of each mailbox.
        ("ALL", "2:* SUBJECT red", &["INBOX ALL 3:4", "Lists ALL 1"]),
        // RFC 7377 §2: no error beyond the end.
        ("ALL", "2:200", &["INBOX ALL 2:4"]),
        ("ALL", "100:200", &[]),
        ("COUNT", "SUBJECT violet", &[]),
        (
            "RELEVANCY ALL",
            "FUZZY SUBJECT red",
            &[
                "INBOX ALL 1,3:4 RELEVANCY (100 100 100)",
                "Lists ALL 1 RELEVANCY (100)",
            ],
        ),
        (
            "ALL",
            "RECENT SUBJECT red",
            &["INBOX ALL 1,3:4", "Lists ALL 1"],
        ),
        ("ALL", "OLD", &[]),
    ] {
        let command = format!("ESEARCH IN (mailboxes (INBOX Lists)) RETURN ({returns}) {keys}");
        assert_eq!(found(&mut ann, &command), wanted, "{command}");
    }
    let said = found(
        &mut ann,
        "ESEARCH IN (mailboxes (INBOX Work)) RETURN (COUNT) CHARSET UTF-8 MODSEQ 1",
    );
    assert_eq!(said.len(), 2);
    assert!(said[0].starts_with("INBOX COUNT 4 MODSEQ "), "{said:?}");
    let said = ann.ask("ESEARCH IN (personal) CHARSET KOI8-R SUBJECT x");
    assert!(said.starts_with("T NO [BADCHARSET "), "{said}");
    for wrong in [
        "ESEARCH IN () ALL",
        "ESEARCH IN (personal",
        "ESEARCH IN (selected-delayed) ALL",
        "ESEARCH IN (mailboxes) ALL",
        "ESEARCH IN (\"personal\") ALL",
        "ESEARCH IN (personal (depth 1)) ALL",
        "ESEARCH IN (everything) ALL",
        "ESEARCH IN (personal) RETURN (SAVE) ALL",
        "ESEARCH IN (personal) $",
        "ESEARCH IN (selected) ALL",
        "ESEARCH ALL",
        "ESEARCH IN (personal) RETURN (UPDATE) ALL",
        "UID ESEARCH IN (personal) ALL",
        "ESEARCH",
    ] {
        let said = ann.ask(wrong);
        assert!(said.starts_with("T BAD "), "{wrong}: {said}");
    }
    ann.ok("ENABLE UIDONLY");
    let said = ann.ask("ESEARCH IN (personal) 1:5");
    assert!(said.starts_with("T BAD [UIDREQUIRED] "), "{said}");
    let said = found(&mut ann, "ESEARCH IN (personal) SUBJECT blue");
    assert_eq!(said, ["INBOX ALL 2", "Work ALL 1"]);
}

#[test]
fn the_open_mailbox() {
    let house = house("");
    let _served = house.serve();
    let mut ann = login(&house, "ann");
    fill(
        &mut ann,
        &[("INBOX", &["red", "blue", "red"]), ("Work", &["red"])],
    );
    ann.ok("SELECT INBOX");
    for command in ["ESEARCH SUBJECT red", "ESEARCH IN (selected) SUBJECT red"] {
        assert_eq!(found(&mut ann, command), ["INBOX ALL 1,3"]);
    }
    assert_eq!(
        found(&mut ann, "ESEARCH RETURN (SAVE COUNT) SUBJECT red"),
        ["INBOX COUNT 2"]
    );
    assert_eq!(
        found(&mut ann, "ESEARCH IN (selected) RETURN (ALL) $"),
        ["INBOX ALL 1,3"]
    );
    assert_eq!(
        found(&mut ann, "ESEARCH RETURN (SAVE) SUBJECT violet"),
        [""; 0]
    );
    assert_eq!(found(&mut ann, "ESEARCH RETURN (ALL) $"), [""; 0]);
    // What this session was not told of yet has no number in it.
    let mut other = login(&house, "ann");
    other.ok("SELECT INBOX");
    other.append("INBOX", "", &mail("red"));
    other.ok("UID STORE 1 +FLAGS.SILENT (\\Deleted)");
    other.ok("EXPUNGE");
    assert_eq!(
        found(
            &mut ann,
            "ESEARCH IN (mailboxes (INBOX Work)) 1:* SUBJECT red"
        ),
        ["INBOX ALL 3", "Work ALL 1"]
    );
    assert_eq!(
        found(&mut ann, "ESEARCH IN (mailboxes (INBOX Work)) SUBJECT red"),
        ["INBOX ALL 3:4", "Work ALL 1"]
    );
    // UPDATE is about the open one.
    let said = ann.ok("ESEARCH IN (mailboxes Work) RETURN (UPDATE) SUBJECT red");
    assert!(said.contains("* NO [NOUPDATE \"T\"] "), "{said}");
    let said =
        ann.ok("ESEARCH IN (subscribed selected mailboxes Work) RETURN (UPDATE COUNT) SUBJECT red");
    assert!(!said.contains("NOUPDATE"), "{said}");
    assert_eq!(responses(&said).len(), 2, "{said}");
    other.append("Work", "", &mail("red"));
    other.append("INBOX", "", &mail("red"));
    let said = ann.ok("NOOP");
    assert_eq!(
        responses(&said),
        ["* ESEARCH (TAG \"T\" MAILBOX INBOX UIDVALIDITY V) UID ADDTO (0 5)"]
    );
    ann.ok("CANCELUPDATE \"T\"");
    // It has the name that it has now.
    other.ok("CREATE Old");
    ann.ok("SELECT Work");
    other.ok("RENAME Work Play");
    assert_eq!(found(&mut ann, "ESEARCH SUBJECT red"), ["Play ALL 1:2"]);
    other.ok("DELETE Play");
    assert_eq!(found(&mut ann, "ESEARCH IN (mailboxes Play) ALL"), [""; 0]);
}

#[test]
fn mailboxes_of_others() {
    let house = house("");
    let _served = house.serve();
    let (mut ann, mut bob) = (login(&house, "ann"), login(&house, "bob"));
    fill(
        &mut ann,
        &[
            ("INBOX", &["red"]),
            ("Read", &["red", "blue"]),
            ("Read/Listed", &["red"]),
            ("Read/Hidden", &["red"]),
            ("Read/Looked", &["red"]),
            ("Secret", &["red"]),
        ],
    );
    for (mailbox, rights) in [
        ("Read", "lrsw"),
        ("Read/Listed", "lr"),
        // Readable, but not listed.
        ("Read/Hidden", "r"),
        // Listed, but not readable.
        ("Read/Looked", "l"),
    ] {
        ann.ok(&format!("SETACL {mailbox} bob@example.test {rights}"));
    }
    fill(&mut bob, &[("INBOX", &["red"])]);
    let of_ann = |name: &str| format!("\"Other Users/ann@example.test/{name}\"");
    let all = |name: &str| format!("{} ALL 1", of_ann(name));
    for (sources, wanted) in [
        // What is named needs `r`.
        (format!("mailboxes {}", of_ann("Read")), vec![all("Read")]),
        (
            format!("mailboxes ({} INBOX)", of_ann("Read/Hidden")),
            vec![all("Read/Hidden"), "INBOX ALL 1".to_owned()],
        ),
        (format!("mailboxes {}", of_ann("Read/Looked")), vec![]),
        (format!("mailboxes {}", of_ann("Secret")), vec![]),
        (format!("mailboxes {}", of_ann("Nowhere")), vec![]),
        (
            "mailboxes \"Other Users/nobody@example.test/Secret\"".to_owned(),
            vec![],
        ),
        // What is not named needs `l` besides.
        (
            format!("subtree {}", of_ann("Read")),
            vec![all("Read"), all("Read/Listed")],
        ),
        (
            "subtree \"Other Users/ann@example.test\"".to_owned(),
            vec![all("Read"), all("Read/Listed")],
        ),
        (
            "subtree \"Other Users\"".to_owned(),
            vec![all("Read"), all("Read/Listed")],
        ),
        (
            "subtree-one \"Other Users/ann@example.test\"".to_owned(),
            vec![all("Read")],
        ),
        ("subtree-one \"Other Users\"".to_owned(), vec![]),
        ("personal".to_owned(), vec!["INBOX ALL 1".to_owned()]),
        ("subscribed".to_owned(), vec!["INBOX ALL 1".to_owned()]),
    ] {
        let command = format!("ESEARCH IN ({sources}) SUBJECT red");
        assert_eq!(found(&mut bob, &command), wanted, "{sources}");
    }
    // No word tells what may not be read from what is not there.
    for name in ["Secret", "Read/Looked", "Nowhere"] {
        let said = bob.ask(&format!("ESEARCH IN (mailboxes {}) ALL", of_ann(name)));
        assert_eq!(
            said,
            bob.ask("ESEARCH IN (mailboxes Nothing) ALL"),
            "{name}"
        );
    }
    // What is subscribed may be taken away later.
    ann.ok("SETACL Secret bob@example.test lr");
    for name in ["Read", "Read/Hidden", "Secret"] {
        bob.ok(&format!("SUBSCRIBE {}", of_ann(name)));
    }
    ann.ok("DELETEACL Secret bob@example.test");
    let refused = bob.ask(&format!("SUBSCRIBE {}", of_ann("Secret")));
    assert!(refused.contains("NO [NONEXISTENT]"), "{refused}");
    assert_eq!(
        found(&mut bob, "ESEARCH IN (subscribed) SUBJECT red"),
        ["INBOX ALL 1".to_owned(), all("Read")]
    );
    // Each reader has seen what it has seen.
    ann.ok("SELECT Read");
    ann.ok("STORE 1:2 +FLAGS (\\Seen)");
    let unseen = format!("ESEARCH IN (mailboxes {}) UNSEEN", of_ann("Read"));
    let name = of_ann("Read");
    assert_eq!(found(&mut bob, &unseen), [format!("{name} ALL 1:2")]);
    bob.ok(&format!("SELECT {name}"));
    bob.ok("STORE 2 +FLAGS (\\Seen)");
    assert_eq!(found(&mut bob, &unseen), [format!("{name} ALL 1")]);
    assert_eq!(found(&mut bob, "ESEARCH UNSEEN"), [format!("{name} ALL 1")]);
    ann.ok("DELETEACL Read bob@example.test");
    bob.ok("UNSELECT");
    assert_eq!(found(&mut bob, &unseen), [""; 0]);
}

#[test]
fn not_too_many_at_once() {
    let house = House::with(&PLAIN.replace(
        "[imap]\nenable = true\n",
        "[imap]\nenable = true\nsearch_mailboxes = 3\n",
    ));
    house.add("ann@example.test", "demo");
    let _served = house.serve();
    let mut ann = login(&house, "ann");
    fill(
        &mut ann,
        &[("INBOX", &["red"]), ("a", &["red"]), ("b", &[])],
    );
    let command = "ESEARCH IN (mailboxes (INBOX a b a b)) SUBJECT red";
    assert_eq!(found(&mut ann, command), ["INBOX ALL 1", "a ALL 1"]);
    ann.ok("CREATE c");
    let said = ann.ask("ESEARCH IN (mailboxes (INBOX a b c)) SUBJECT red");
    assert!(said.starts_with("T NO [LIMIT] "), "{said}");
}

#[test]
fn one_who_leaves_is_not_searched_for() {
    let house = house("");
    let _served = house.serve();
    let mut ann = login(&house, "ann");
    for number in 0..40 {
        ann.ok(&format!("CREATE m{number}"));
        ann.append(&format!("m{number}"), "", &mail("red"));
    }
    // Pipelined, in the order in which they were asked.
    let said =
        ann.ask("ESEARCH IN (personal) RETURN (COUNT) ALL\r\nT2 ESEARCH IN (mailboxes m1) ALL");
    assert_eq!(responses(&said).len(), 40);
    let said = ann.ok("NOOP");
    assert!(said.contains("MAILBOX m1 "), "{said}");
    for _ in 0..20 {
        let mut leaves = login(&house, "ann");
        leaves.send("T ESEARCH IN (personal) TEXT red\r\n");
        drop(leaves);
    }
    assert_eq!(
        found(&mut ann, "ESEARCH IN (mailboxes m7) ALL"),
        ["m7 ALL 1"]
    );
}
