//! METADATA of the real server: notes about mailboxes and the server, and who is
//! told of them. RFC 5464, RFC 9590, RFC 6154 §4.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::served::{House, IMAP, PLAIN};
use axigen_tests::wire::Wire;

fn house() -> House {
    let house = House::with(&PLAIN.replace(
        "[imap]",
        "[imap]\ncomment = \"A test\"\nannotation_size = \"100B\"\nannotations = 3",
    ));
    for user in ["ann", "bob"] {
        house.add(&format!("{user}@example.test"), "demo");
    }
    house
}

fn login(house: &House, user: &str) -> Wire {
    Wire::imap_login(&house.addr(IMAP), &format!("{user}@example.test"), "demo")
}

#[track_caller]
fn says(wire: &mut Wire, command: &str, wanted: &[&str]) {
    let said = wire.ok(command);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..lines.len() - 1], *wanted, "{command}");
}

#[track_caller]
fn refused(wire: &mut Wire, command: &str, code: &str) {
    let said = wire.ask(command);
    assert!(
        said.contains(&format!("T NO [{code}]")),
        "{command}: {said}"
    );
}

#[test]
fn entries_are_kept() {
    let house = house();
    let mut served = house.serve();
    let mut ann = login(&house, "ann");
    let offered = ann.ok("CAPABILITY");
    for word in ["METADATA", "METADATA-SERVER", "LIST-METADATA"] {
        assert!(
            offered.split_whitespace().any(|known| known == word),
            "{word}"
        );
    }
    says(
        &mut ann,
        "GETMETADATA \"\" (/shared/comment /shared/admin)",
        &["* METADATA \"\" (/shared/admin NIL /shared/comment \"A test\")"],
    );
    refused(
        &mut ann,
        "SETMETADATA \"\" (/shared/comment \"mine\")",
        "NOPERM",
    );
    ann.ok("SETMETADATA \"\" (/private/comment \"my own\")");
    ann.ok("CREATE Work");
    ann.ok("SETMETADATA Work (/private/comment \"mine\" /shared/a/b/c {4+}\r\na\r\nb /shared/A/b \"x\")");
    says(
        &mut ann,
        "GETMETADATA (DEPTH infinity) Work (/shared/a /private)"
            .replace("/private)", "/private/comment)")
            .as_str(),
        &[
            "* METADATA Work (/private/comment \"mine\" /shared/a/b \"x\" /shared/a/b/c {4}",
            "a",
            "b)",
        ],
    );
    says(
        &mut ann,
        "GETMETADATA (DEPTH 1) Work /shared/a",
        &["* METADATA Work (/shared/a/b \"x\")"],
    );
    says(
        &mut ann,
        "GETMETADATA Work /shared/a",
        &["* METADATA Work (/shared/a NIL)"],
    );
    let said = ann.ok("GETMETADATA Work (MAXSIZE 3 DEPTH infinity) (/shared/a /private/comment)");
    assert!(
        said.starts_with("* METADATA Work (/shared/a/b \"x\")\r\n"),
        "{said}"
    );
    assert!(said.contains("T OK [METADATA LONGENTRIES 4]"), "{said}");
    refused(&mut ann, "GETMETADATA Nowhere /shared/a", "NONEXISTENT");

    // Limits: all or nothing.
    let long = "x".repeat(101);
    refused(
        &mut ann,
        &format!("SETMETADATA Work (/shared/one \"x\" /shared/long \"{long}\")"),
        "METADATA MAXSIZE 100",
    );
    says(
        &mut ann,
        "GETMETADATA Work /shared/one",
        &["* METADATA Work (/shared/one NIL)"],
    );
    refused(
        &mut ann,
        "SETMETADATA Work (/shared/d \"x\" /shared/e \"x\")",
        "METADATA TOOMANY",
    );
    ann.ok("SETMETADATA Work (/shared/d \"x\" /shared/a/b NIL /private/d \"x\")");

    // They follow the mailbox, and go with it.
    ann.ok("RENAME Work Play");
    says(
        &mut ann,
        "LIST \"\" (Play Drafts) RETURN (METADATA (/shared/d /private/specialuse))",
        &[
            "* LIST (\\HasNoChildren \\Drafts) \"/\" Drafts",
            "* METADATA Drafts (/private/specialuse \"\\\\Drafts\" /shared/d NIL)",
            "* LIST (\\HasNoChildren) \"/\" Play",
            "* METADATA Play (/private/specialuse NIL /shared/d \"x\")",
        ],
    );
    // A use by METADATA.
    ann.ok("SETMETADATA Play (/private/specialuse \"\\\\Archive\")");
    says(
        &mut ann,
        "LIST (SPECIAL-USE) \"\" Play",
        &["* LIST (\\HasNoChildren \\Archive) \"/\" Play"],
    );
    refused(
        &mut ann,
        "SETMETADATA Play (/private/specialuse \"\\\\All\")",
        "USEATTR",
    );
    refused(
        &mut ann,
        "SETMETADATA Play (/private/specialuse \"\\\\Odd\")",
        "USEATTR",
    );
    ann.ok("SETMETADATA Play (/private/specialuse NIL)");
    assert_eq!(ann.ok("LIST (SPECIAL-USE) \"\" Play").lines().count(), 1);
    ann.ok("DELETE Play");
    ann.ok("CREATE Play");
    says(
        &mut ann,
        "GETMETADATA Play /shared/d",
        &["* METADATA Play (/shared/d NIL)"],
    );
    drop(ann);
    served.signal("TERM");
    served.ended();
    house.verify();
    let _served = house.serve();
    let mut ann = login(&house, "ann");
    says(
        &mut ann,
        "GETMETADATA \"\" /private/comment",
        &["* METADATA \"\" (/private/comment \"my own\")"],
    );
}

#[test]
fn of_shared_mailboxes() {
    let house = house();
    let _served = house.serve();
    let mut ann = login(&house, "ann");
    let mut bob = login(&house, "bob");
    let inbox = "\"Other Users/ann@example.test/INBOX\"";
    ann.ok("SETMETADATA INBOX (/private/comment \"hers\" /shared/comment \"ours\")");
    refused(
        &mut bob,
        &format!("GETMETADATA {inbox} /shared/comment"),
        "NONEXISTENT",
    );
    ann.ok("SETACL INBOX bob l");
    refused(
        &mut bob,
        &format!("GETMETADATA {inbox} /shared/comment"),
        "NOPERM",
    );
    ann.ok("SETACL INBOX bob lr");
    says(
        &mut bob,
        &format!("GETMETADATA {inbox} (/shared/comment /private/comment)"),
        &[
            "* METADATA \"Other Users/ann@example.test/INBOX\" (/private/comment NIL /shared/comment \"ours\")",
        ],
    );
    bob.ok(&format!("SETMETADATA {inbox} (/private/comment \"his\")"));
    refused(
        &mut bob,
        &format!("SETMETADATA {inbox} (/shared/comment \"no\")"),
        "NOPERM",
    );
    refused(
        &mut bob,
        &format!("SETMETADATA {inbox} (/private/specialuse \"\\\\Sent\")"),
        "USEATTR",
    );
    ann.ok("SETACL INBOX bob lrw");
    bob.ok(&format!("SETMETADATA {inbox} (/shared/comment \"both\")"));
    says(
        &mut ann,
        "GETMETADATA INBOX (/shared/comment /private/comment)",
        &["* METADATA INBOX (/private/comment \"hers\" /shared/comment \"both\")"],
    );
}

#[test]
fn others_are_told() {
    let house = house();
    let _served = house.serve();
    let mut one = login(&house, "ann");
    let mut two = login(&house, "ann");
    let mut three = login(&house, "ann");
    let mut bob = login(&house, "bob");
    one.ok("CREATE Work");
    // Nobody is told who has not asked for it.
    one.ok("SETMETADATA Work (/shared/a \"x\")");
    says(&mut two, "NOOP", &[]);
    let said = two.ok("ENABLE METADATA");
    assert!(said.contains("* ENABLED METADATA"), "{said}");
    three.ok("NOTIFY SET (personal (MailboxMetadataChange ServerMetadataChange))");
    one.ok("SETMETADATA Work (/shared/a \"y\" /private/b \"z\")");
    one.ok("SETMETADATA \"\" (/private/c \"z\")");
    says(
        &mut two,
        "NOOP",
        &[
            "* METADATA \"\" /private/c",
            "* METADATA Work /private/b /shared/a",
        ],
    );
    says(&mut two, "NOOP", &[]);
    let mut said = vec![three.line(), three.line()];
    said.sort();
    assert_eq!(
        said,
        [
            "* METADATA \"\" /private/c\r\n",
            "* METADATA Work /private/b /shared/a\r\n"
        ]
    );
    // What one does oneself is no news, and others' private entries are neither.
    two.ok("SETMETADATA Work (/shared/a \"0\")");
    says(&mut two, "NOOP", &[]);
    assert_eq!(three.line(), "* METADATA Work /shared/a\r\n");
    one.ok("SETACL Work bob lr");
    bob.ok("SETMETADATA \"Other Users/ann@example.test/Work\" (/private/x \"y\")");
    says(&mut two, "NOOP", &[]);
    // In IDLE.
    two.send("I IDLE\r\n");
    assert!(two.line().starts_with('+'));
    one.ok("SETMETADATA Work (/shared/a NIL)");
    assert_eq!(two.line(), "* METADATA Work /shared/a\r\n");
}
