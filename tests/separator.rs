//! Another hierarchy separator than `/`, as the client sees it, and names in
//! which it stands.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::demo::{Demo, Port};
use axigen_tests::served::{House, IMAP, PLAIN};
use axigen_tests::wire::Wire;

#[track_caller]
fn says(wire: &mut Wire, command: &str, wanted: &[&str]) {
    let said = wire.ok(command);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..lines.len() - 1], *wanted, "{command}");
}

#[test]
fn a_dot() {
    let house = House::with(&PLAIN.replace("[imap]", "[imap]\nseparator = \".\""));
    for user in ["u1", "u2"] {
        house.add(&format!("{user}@example.test"), "demo");
    }
    let mut served = house.serve();
    let login = |user| Wire::imap_login(&house.addr(IMAP), user, "demo");
    let mut imap = login("u1@example.test");
    says(
        &mut imap,
        "NAMESPACE",
        &["* NAMESPACE ((\"\" \".\")) ((\"Other Users.\" \".\")) ((\"Public.\" \".\"))"],
    );
    says(
        &mut imap,
        "LIST \"\" \"\"",
        &["* LIST (\\Noselect) \".\" \"\""],
    );
    imap.ok("CREATE Work.2026.May.");
    imap.ok("CREATE a/b.c");
    imap.ok("CREATE inbox.Sub");
    says(
        &mut imap,
        "LIST \"\" Work.%",
        &["* LIST (\\HasChildren) \".\" Work.2026"],
    );
    says(
        &mut imap,
        "LIST Work. *",
        &[
            "* LIST (\\HasChildren) \".\" Work.2026",
            "* LIST (\\HasNoChildren) \".\" Work.2026.May",
        ],
    );
    says(
        &mut imap,
        "LIST \"\" a/%",
        &["* LIST (\\HasChildren) \".\" a/b"],
    );
    says(
        &mut imap,
        "LIST \"\" INBOX.%",
        &["* LIST (\\HasNoChildren) \".\" INBOX.Sub"],
    );
    imap.ok("SUBSCRIBE a/b.c");
    says(&mut imap, "LSUB \"\" a%.%", &["* LSUB () \".\" a/b.c"]);
    imap.ok("RENAME Work Play.Work");
    says(
        &mut imap,
        "STATUS Play.Work.2026 (MESSAGES)",
        &["* STATUS Play.Work.2026 (MESSAGES 0)"],
    );
    assert!(
        imap.append("a/b.c", "", "Subject: x\r\n\r\nx\r\n")
            .contains("T OK")
    );
    imap.ok("SELECT a/b.c");
    imap.ok("COPY 1 Play.Work");
    imap.ok("MOVE 1 INBOX.Sub");
    let said = imap.ok("GETQUOTAROOT a/b.c");
    assert!(said.starts_with("* QUOTAROOT a/b.c \"\"\r\n"), "{said}");
    says(
        &mut imap,
        "MYRIGHTS INBOX.Sub",
        &["* MYRIGHTS INBOX.Sub \"lrswipkxteacd\""],
    );
    let url = imap.ok("STATUS a/b.c (UIDVALIDITY)");
    assert!(url.starts_with("* STATUS a/b.c"), "{url}");
    imap.append("a/b.c", "", "Subject: y\r\n\r\ny\r\n");
    imap.ok("APPEND Play.Work CATENATE (URL \"/a%2Fb.c/;UID=2\")");
    imap.ok("SETMETADATA Play.Work (/shared/comment \"x\")");
    says(
        &mut imap,
        "GETMETADATA Play.Work /shared/comment",
        &["* METADATA Play.Work (/shared/comment \"x\")"],
    );
    // Levels that are none, and path tricks.
    for name in ["a..b", ".a", "/.x", "..", "a.//.b"] {
        let said = imap.ask(&format!("CREATE \"{name}\""));
        assert!(said.contains("T NO [CANNOT]"), "{name}: {said}");
    }
    // Others' mailboxes: a dot of an address is no separator.
    imap.ok("SETACL Play.Work u2@example.test lr");
    let mut other = login("u2@example.test");
    says(
        &mut other,
        "LIST \"\" \"Other Users.%.Play.*\"",
        &["* LIST (\\HasNoChildren) \".\" \"Other Users.u1@example/test.Play.Work\""],
    );
    other.ok("SELECT \"Other Users.u1@example/test.Play.Work\"");
    // The same mail under the other separator.
    drop((imap, other));
    served.signal("TERM");
    served.ended();
    house.configure(PLAIN);
    let _served = house.serve();
    let mut imap = login("u1@example.test");
    says(
        &mut imap,
        "LIST \"\" Play/*",
        &[
            "* LIST (\\HasChildren) \"/\" Play/Work",
            "* LIST (\\HasChildren) \"/\" Play/Work/2026",
            "* LIST (\\HasNoChildren) \"/\" Play/Work/2026/May",
        ],
    );
    says(
        &mut imap,
        "STATUS a.b/c (MESSAGES)",
        &["* STATUS a.b/c (MESSAGES 1)"],
    );
}

#[test]
fn of_the_demo() {
    let demo = Demo::start(&["--separator", "."]);
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), "alice@example.test", "demo");
    says(
        &mut imap,
        "LIST \"\" \"\"",
        &["* LIST (\\Noselect) \".\" \"\""],
    );
    let house = House::with(&PLAIN.replace("[imap]", "[imap]\nseparator = \"-\""));
    house.run(&["check"]).refused(&["imap.separator"]);
}
