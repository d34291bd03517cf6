//! Names of mailboxes at the real server: spellings, INBOX, limits, trees.
//! RFC 9051 §5.1, §6.3.4 to §6.3.6, §6.3.9.7.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::served::{House, IMAP, PLAIN};
use axigen_tests::wire::Wire;

const USER: &str = "u1@example.test";
const MAIL: &str = "Subject: x\r\n\r\ny\r\n";

fn house(settings: &str) -> House {
    let house = House::with(&format!("{PLAIN}\n{settings}"));
    house.add(USER, "demo");
    house
}

fn login(house: &House) -> Wire {
    Wire::imap_login(&house.addr(IMAP), USER, "demo")
}

#[test]
fn spellings_of_one_text_are_one_mailbox() {
    let house = house("");
    let _served = house.serve();
    let mut imap = login(&house);
    imap.ok("ENABLE IMAP4rev2");
    // `u` and a combining diaeresis.
    let said = imap.ok("CREATE \"Entwu\u{308}rfe\"");
    assert!(
        said.contains(
            "* LIST (\\HasNoChildren) \"/\" \"Entwürfe\" (\"OLDNAME\" (\"Entwu\u{308}rfe\"))"
        ),
        "{said}"
    );
    let said = imap.ask("CREATE \"Entwürfe\"");
    assert!(said.contains("T NO [ALREADYEXISTS]"), "{said}");
    let said = imap.ok("SELECT \"Entwu\u{308}rfe\"");
    assert!(
        said.contains("(\"OLDNAME\" (\"Entwu\u{308}rfe\"))"),
        "{said}"
    );
    assert!(!imap.ok("SELECT \"Entwürfe\"").contains("OLDNAME"));
    let said = imap.ok("RENAME \"Entwu\u{308}rfe\" \"A\u{30a}\"");
    assert!(
        said.contains("\"Å\" (\"OLDNAME\" (\"A\u{30a}\"))"),
        "{said}"
    );
    let said = imap.ok("DELETE \"A\u{30a}\"");
    assert!(said.contains("\\NonExistent"), "{said}");
    assert!(imap.ask("DELETE \"Å\"").contains("T NO [NONEXISTENT]"));

    // The same in modified UTF-7, whose other forms are none.
    let mut imap = login(&house);
    let said = imap.ok("CREATE Entwu&Awg-rfe");
    assert!(
        said.contains("\"Entw&APw-rfe\" (\"OLDNAME\" (\"Entwu&Awg-rfe\"))"),
        "{said}"
    );
    imap.ok("STATUS Entw&APw-rfe (MESSAGES)");
    for bad in ["x&", "x&APw", "&AGE-", "&2D0-", "&AP-", "&U/BTFw-"] {
        let said = imap.ask(&format!("CREATE {bad}"));
        assert!(said.starts_with("T NO [CANNOT]"), "{bad} {said}");
    }
}

#[test]
fn inbox_in_any_case() {
    let house = house("");
    let _served = house.serve();
    let mut imap = login(&house);
    imap.ok("CREATE iNboX/Below");
    for name in ["INBOX/Below", "inbox/Below", "Inbox/Below"] {
        imap.ok(&format!("SELECT {name}"));
    }
    assert!(imap.ask("SELECT INBOX/below").contains("T NO"));
    for pattern in ["inbox/%", "INBOX/*", "iNbOx*w"] {
        let said = imap.ok(&format!("LIST \"\" {pattern}"));
        assert!(said.contains(" INBOX/Below\r\n"), "{pattern} {said}");
    }
    let said = imap.ask("CREATE inbox");
    assert!(said.contains("T NO [ALREADYEXISTS]"), "{said}");
    assert!(imap.ask("DELETE inbox").contains("T NO [CANNOT]"));

    let mut other = login(&house);
    other.ok("NOTIFY SET (mailboxes inbox/Below (MessageNew MessageExpunge))");
    assert!(imap.append("INBOX/Below", "", MAIL).contains("T OK"));
    assert!(other.line().starts_with("* STATUS INBOX/Below "));

    // RFC 9051 §6.3.6: its messages move, it stays, and so does what is below it.
    assert!(imap.append("INBOX", "", MAIL).contains("T OK"));
    imap.ok("RENAME inbox Old/Mail");
    assert!(imap.ok("STATUS INBOX (MESSAGES)").contains("(MESSAGES 0)"));
    assert!(
        imap.ok("STATUS Old/Mail (MESSAGES)")
            .contains("(MESSAGES 1)")
    );
    assert!(
        imap.ok("STATUS INBOX/Below (MESSAGES)")
            .contains("(MESSAGES 1)")
    );
}

#[test]
fn trees_are_renamed_and_names_come_back_as_others() {
    let house = house("");
    let _served = house.serve();
    let mut imap = login(&house);
    imap.ok("CREATE a/b/c/");
    assert!(imap.append("a/b/c", "", MAIL).contains("T OK"));
    let said = imap.ask("RENAME a a/b/x");
    assert!(said.contains("T NO [CANNOT]"), "{said}");
    imap.ok("RENAME a x/y");
    assert!(
        imap.ok("STATUS x/y/b/c (MESSAGES)")
            .contains("(MESSAGES 1)")
    );
    assert!(imap.ask("SELECT a/b/c").contains("T NO [NONEXISTENT]"));

    // RFC 9051 §6.3.5: what is below stays, and the name is a parent only.
    imap.ok("DELETE x/y/b");
    let said = imap.ok("LIST \"\" x/y/%");
    assert!(
        said.contains("\\NonExistent") && said.contains("\\HasChildren"),
        "{said}"
    );
    assert!(imap.ask("DELETE x/y/b").contains("T NO [HASCHILDREN]"));

    let validity = |imap: &mut Wire| imap.ok("STATUS x/y/b/c (UIDVALIDITY)");
    let before = validity(&mut imap);
    imap.ok("DELETE x/y/b/c");
    imap.ok("CREATE x/y/b/c");
    assert_ne!(validity(&mut imap), before);
}

#[test]
fn what_no_name_may_be() {
    let house = house("");
    let served = house.serve();
    let mut imap = login(&house);
    imap.ok("ENABLE IMAP4rev2");
    for bad in [
        "..",
        "../../etc/passwd",
        "a/../b",
        "./a",
        "/a",
        "/",
        "a//b",
        "a*",
        "a%b",
        "a\u{1}b",
        "a\u{7f}",
        "a\u{85}b",
        "a\u{2028}b",
        "",
    ] {
        for command in ["CREATE", "RENAME Sent"] {
            let said = imap.ask(&format!("{command} \"{bad}\""));
            assert!(
                said.starts_with("T NO [CANNOT]"),
                "{command} {bad:?} {said}"
            );
        }
    }
    // A NUL or a line break inside of a literal, and a name of a megabyte.
    for bad in ["a\0b", "a\r\nb"] {
        imap.send(format!("T CREATE {{{}+}}\r\n{bad}\r\n", bad.len()));
        let line = imap.line();
        assert!(
            line.starts_with("T NO ") || line.starts_with("T BAD "),
            "{line}"
        );
    }
    imap.send(format!("T CREATE {{{}}}\r\n", 1 << 20));
    let line = imap.line();
    assert!(line.starts_with("T BAD [TOOBIG]"), "{line}");
    let deep = ["d"; 33].join("/");
    let (long, wide) = ("n/".repeat(500) + "n", "w".repeat(256));
    for bad in [deep, long, wide] {
        let said = imap.ask(&format!("CREATE {bad}"));
        assert!(said.starts_with("T NO [CANNOT]"), "{said}");
    }
    imap.ok(&format!("CREATE {}", ["d"; 32].join("/")));
    assert_eq!(imap.ok("LIST \"\" %").matches("* LIST").count(), 7);
    served.signal("TERM");
}

#[test]
fn limits_are_settings() {
    let house = house("[mailboxes]\ncount = 9\nname_size = 20\nlevel_size = 16\nlevels = 3\n");
    let _served = house.serve();
    let mut imap = login(&house);
    for bad in ["1/2/3/4", "12345678901234567", "1234567890/1234567890"] {
        let said = imap.ask(&format!("CREATE {bad}"));
        assert!(said.starts_with("T NO [CANNOT]"), "{said}");
    }
    imap.ok("CREATE 1/2/3");
    let said = imap.ask("CREATE 4");
    assert!(said.starts_with("T NO [LIMIT]"), "{said}");
    // Also of what is below a name that gets longer.
    let said = imap.ask("RENAME 1 5/6");
    assert!(said.starts_with("T NO [CANNOT]"), "{said}");
    house.configure(&format!(
        "{PLAIN}\n[mailboxes]\nname_size = 2000\nlevels = 0\n"
    ));
    house
        .run(&["check"])
        .refused(&["mailboxes.name_size", "mailboxes.levels"]);
}
