//! Shared mailboxes of the real server: who sees what, who may do what, and
//! what each has seen. RFC 4314, RFC 2342.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::served::{House, IMAP, PLAIN};
use axigen_tests::wire::Wire;

const MAIL: &str = "Subject: x\r\n\r\nhello\r\n";
const WORK: &str = "\"Other Users/ann@example.test/Work\"";

fn house(more: &str) -> House {
    let house = House::with(&format!("{PLAIN}\n{more}"));
    for user in ["ann", "bob", "cy"] {
        house.add(&format!("{user}@example.test"), "demo");
    }
    house.add("dan@other.test", "demo");
    house
}

fn login(house: &House, user: &str) -> Wire {
    Wire::imap_login(&house.addr(IMAP), user, "demo")
}

/// The answer, without `\\Recent`.
#[track_caller]
fn told(wire: &mut Wire, command: &str) -> String {
    let said = wire.ok(command).replace(" \\Recent", "");
    said.replace("\\Recent ", "").replace("\\Recent", "")
}

/// Appends to a name in quotes.
fn append(wire: &mut Wire, name: &str, flags: &str) -> String {
    wire.append(name.trim_matches('"'), flags, MAIL)
}

#[track_caller]
fn refused(wire: &mut Wire, command: &str, code: &str) {
    let said = wire.ask(command);
    assert!(
        said.contains(&format!("T NO [{code}]")),
        "{command}: {said}"
    );
}

#[track_caller]
fn says(wire: &mut Wire, command: &str, wanted: &str) {
    let said = wire.ok(command);
    assert!(
        said.lines().any(|line| line == wanted),
        "{command}: {said}, not {wanted}"
    );
}

#[test]
fn nobody_sees_what_is_not_shared() {
    let house = house("");
    let _served = house.serve();
    let mut ann = login(&house, "ann@example.test");
    let offered = ann.ok("CAPABILITY");
    for word in ["ACL", "RIGHTS=texk", "LIST-MYRIGHTS", "NAMESPACE"] {
        assert!(
            offered.split_whitespace().any(|known| known == word),
            "{word}"
        );
    }
    says(
        &mut ann,
        "NAMESPACE",
        "* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) ((\"Public/\" \"/\"))",
    );
    ann.ok("CREATE Work");
    ann.append("Work", "", MAIL);
    says(
        &mut ann,
        "MYRIGHTS Work",
        "* MYRIGHTS Work \"lrswipkxteacd\"",
    );
    says(
        &mut ann,
        "GETACL Work",
        "* ACL Work \"ann@example.test\" \"lrswipkxteacd\"",
    );
    says(
        &mut ann,
        "LISTRIGHTS Work bob@example.test",
        "* LISTRIGHTS Work \"bob@example.test\" \"\" \"l\" \"r\" \"s\" \"w\" \"i\" \"p\" \"k\" \"x\" \"t\" \"e\" \"a\" \"c\" \"d\"",
    );
    says(
        &mut ann,
        "LISTRIGHTS Work ann",
        "* LISTRIGHTS Work \"ann\" \"lrswipkxteacd\"",
    );
    // Bob is told the same of what is there and of what is not.
    let mut bob = login(&house, "bob@example.test");
    let nowhere = "\"Other Users/ann@example.test/Nowhere\"";
    let nobody = "\"Other Users/nobody@example.test/Work\"";
    for name in [WORK, nowhere, nobody] {
        for command in [
            format!("SELECT {name}"),
            format!("EXAMINE {name}"),
            format!("STATUS {name} (MESSAGES)"),
            format!("DELETE {name}"),
            format!("RENAME {name} Mine"),
            format!("MYRIGHTS {name}"),
            format!("GETACL {name}"),
            format!("LISTRIGHTS {name} bob@example.test"),
            format!("SETACL {name} bob@example.test lr"),
            format!("DELETEACL {name} bob@example.test"),
        ] {
            refused(&mut bob, &command, "NONEXISTENT");
        }
        let said = append(&mut bob, name, "");
        assert!(said.contains("T NO [TRYCREATE]"), "{said}");
    }
    bob.ok("SELECT INBOX");
    bob.append("INBOX", "", MAIL);
    bob.ok("NOOP");
    for name in [WORK, nowhere] {
        refused(&mut bob, &format!("COPY 1 {name}"), "TRYCREATE");
        refused(&mut bob, &format!("MOVE 1 {name}"), "TRYCREATE");
        refused(&mut bob, &format!("CREATE {name}"), "NOPERM");
    }
    assert!(!bob.ok("LIST \"\" *").contains("Other Users"));
    // Nor do names lead out of the namespace.
    for name in [
        "\"Other Users\"",
        "\"Other Users/ann@example.test\"",
        "\"Other Users/../ann@example.test/Work\"",
        "\"Other Users//Work\"",
        "Public",
        "Public/News",
    ] {
        refused(&mut bob, &format!("SELECT {name}"), "NONEXISTENT");
    }
    // What the two begin with is nobody's own mailbox.
    refused(&mut bob, "CREATE Public/Mine", "NOPERM");
    refused(&mut bob, "CREATE \"Other Users\"", "NOPERM");
    refused(&mut bob, "RENAME INBOX Public/Mine", "NOPERM");
}

/// What a command answers about a mailbox, its name and the command's tag left out.
fn about(wire: &mut Wire, command: &str, name: &str) -> String {
    let said = wire.ask(&command.replace("NAME", name));
    said.replace(name, "NAME")
        .replace(name.trim_matches('"'), "NAME")
}

/// A mailbox that is there and may not be looked up, one that is not there, and one
/// of a user who is not there: no command tells which is which.
#[test]
fn no_command_is_an_oracle() {
    let house = house("");
    let _served = house.serve();
    let mut ann = login(&house, "ann@example.test");
    ann.ok("CREATE Work");
    ann.ok("CREATE Work/Below");
    ann.append("Work", "", MAIL);
    ann.ok("SETMETADATA Work (/shared/comment \"secret\")");
    let mut bob = login(&house, "bob@example.test");
    bob.ok("SELECT INBOX");
    bob.append("INBOX", "", MAIL);
    bob.ok("NOOP");
    let names = [
        WORK,
        "\"Other Users/ann@example.test/Nope\"",
        "\"Other Users/none@example.test/Work\"",
    ];
    // With rights that are none of looking up, it is the same.
    for rights in [None, Some("p"), Some("swte")] {
        if let Some(rights) = rights {
            ann.ok(&format!("SETACL Work bob@example.test {rights}"));
        }
        bob.ok("UNSELECT");
        for command in [
            "EXAMINE NAME",
            "STATUS NAME (MESSAGES UIDNEXT HIGHESTMODSEQ SIZE)",
            "LIST \"\" NAME",
            "LIST \"\" NAME RETURN (STATUS (MESSAGES) MYRIGHTS CHILDREN)",
            "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" NAME",
            "LIST \"\" NAME RETURN (METADATA (/shared/comment))",
            "LSUB \"\" NAME",
            "MYRIGHTS NAME",
            "GETACL NAME",
            "LISTRIGHTS NAME bob@example.test",
            "LISTRIGHTS NAME anyone",
            "SETACL NAME bob@example.test lra",
            "DELETEACL NAME bob@example.test",
            "GETMETADATA NAME /shared/comment",
            "GETMETADATA (DEPTH infinity) NAME /shared",
            "SETMETADATA NAME (/private/comment \"x\")",
            "SETMETADATA NAME (/shared/comment \"x\")",
            "GETQUOTAROOT NAME",
            "DELETE NAME",
            "RENAME NAME Mine",
            "NOTIFY SET (mailboxes NAME (MessageNew MessageExpunge))",
            "NOTIFY SET STATUS (subtree NAME (MessageNew MessageExpunge))",
            "UNSUBSCRIBE NAME",
        ] {
            // Names have one length, so nothing else differs.
            let told: Vec<String> = names
                .iter()
                .map(|name| about(&mut bob, command, name))
                .collect();
            assert_eq!(told[0], told[1], "{command} with {rights:?}");
            assert_eq!(told[0], told[2], "{command} with {rights:?}");
            assert!(!told[0].contains("secret"), "{command}");
        }
        bob.ok("SELECT INBOX");
        if rights.is_none() {
            for command in ["COPY 1 NAME", "MOVE 1 NAME", "CREATE NAME"] {
                let told: Vec<String> = names
                    .iter()
                    .take(2)
                    .map(|name| about(&mut bob, command, name))
                    .collect();
                assert_eq!(told[0], told[1], "{command}");
            }
        }
    }
    // Who may read, but not administer, does not hear who else may.
    ann.ok("SETACL Work bob@example.test lrswipkxte");
    for command in ["GETACL", "LISTRIGHTS"] {
        let who = if command == "GETACL" {
            ""
        } else {
            " ann@example.test"
        };
        refused(&mut bob, &format!("{command} {WORK}{who}"), "NOPERM");
    }
}

#[test]
fn rights_are_given_and_taken() {
    let house = house("");
    let _served = house.serve();
    let mut ann = login(&house, "ann@example.test");
    let mut bob = login(&house, "bob@example.test");
    ann.ok("CREATE Work");
    for _ in 0..3 {
        ann.append("Work", "", MAIL);
    }
    ann.ok("SETACL Work bob@example.test lr");
    says(
        &mut ann,
        "GETACL Work",
        "* ACL Work \"ann@example.test\" \"lrswipkxteacd\" \"bob@example.test\" \"lr\"",
    );
    let list = bob.ok("LIST \"\" * RETURN (MYRIGHTS STATUS (MESSAGES UNSEEN))");
    for line in [
        "* LIST (\\NonExistent \\HasChildren) \"/\" \"Other Users\"",
        "* LIST (\\HasNoChildren) \"/\" \"Other Users/ann@example.test/Work\"",
        "* MYRIGHTS \"Other Users/ann@example.test/Work\" \"lr\"",
        "* STATUS \"Other Users/ann@example.test/Work\" (MESSAGES 3 UNSEEN 3)",
    ] {
        assert!(
            list.lines().any(|said| said == line),
            "{line} not in {list}"
        );
    }
    assert!(
        list.contains("* MYRIGHTS INBOX \"lrswipkxteacd\""),
        "{list}"
    );
    says(
        &mut bob,
        "LIST \"\" \"Other Users/%\"",
        "* LIST (\\NonExistent \\Noselect \\HasChildren) \"/\" \"Other Users/ann@example.test\"",
    );
    assert!(!bob.ok("LIST \"\" In*").contains("Other Users"));
    // With `lr` it is read-only, and everything else is refused by name.
    let said = bob.ok(&format!("SELECT {WORK}"));
    assert!(said.contains("T OK [READ-ONLY]"), "{said}");
    assert!(said.contains("[PERMANENTFLAGS ()]"), "{said}");
    assert!(told(&mut bob, "FETCH 1 (FLAGS BODY[])").contains("hello"));
    assert!(told(&mut bob, "FETCH 1 (FLAGS)").contains("FLAGS ()"));
    for (command, code) in [
        (format!("GETACL {WORK}"), "NOPERM"),
        (format!("SETACL {WORK} bob@example.test a"), "NOPERM"),
        (format!("DELETE {WORK}"), "NOPERM"),
        (
            format!("CREATE \"{}/Sub\"", WORK.trim_matches('"')),
            "NOPERM",
        ),
    ] {
        refused(&mut bob, &command, code);
    }
    bob.ok("UNSELECT");
    let said = append(&mut bob, WORK, "");
    assert!(said.contains("T NO [NOPERM]"), "{said}");

    // s and w: flags are common, \Seen is everybody's own; \Deleted is not given.
    ann.ok("SETACL Work bob@example.test +sw");
    let said = bob.ok(&format!("SELECT {WORK}"));
    assert!(said.contains("T OK [READ-WRITE]"), "{said}");
    assert!(
        said.contains("[PERMANENTFLAGS (\\Answered \\Flagged \\Seen \\Draft \\*)]"),
        "{said}"
    );
    told(&mut bob, "FETCH 1 BODY[]");
    bob.ok("STORE 2 +FLAGS (\\Seen \\Flagged \\Deleted $Mine)");
    let said = told(&mut bob, "FETCH 1:3 FLAGS");
    assert!(said.contains("* 1 FETCH (FLAGS (\\Seen))"), "{said}");
    assert!(
        said.contains("* 2 FETCH (FLAGS (\\Flagged \\Seen $Mine))"),
        "{said}"
    );
    refused(&mut bob, "STORE 2 +FLAGS (\\Deleted)", "NOPERM");
    refused(&mut bob, "EXPUNGE", "NOPERM");
    ann.ok("SELECT Work");
    let said = told(&mut ann, "FETCH 1:3 FLAGS");
    assert!(said.contains("* 1 FETCH (FLAGS ())"), "{said}");
    assert!(
        said.contains("* 2 FETCH (FLAGS (\\Flagged $Mine))"),
        "{said}"
    );
    says(&mut ann, "STATUS Work (UNSEEN)", "* STATUS Work (UNSEEN 3)");
    says(
        &mut bob,
        &format!("STATUS {WORK} (UNSEEN)"),
        "* STATUS \"Other Users/ann@example.test/Work\" (UNSEEN 1)",
    );
    assert!(bob.ok("SEARCH UNSEEN").contains("* SEARCH 3\r\n"));
    assert!(ann.ok("SEARCH UNSEEN").contains("* SEARCH 1 2 3\r\n"));
    // Replacing flags leaves what one may not change, and the others' \Seen.
    ann.ok("STORE 2 FLAGS (\\Deleted)");
    bob.ok("NOOP");
    bob.ok("STORE 2 FLAGS (\\Answered)");
    assert!(told(&mut bob, "FETCH 2 FLAGS").contains("FLAGS (\\Answered \\Deleted)"));
    bob.ok("STORE 1 -FLAGS (\\Seen)");
    assert!(bob.ok("SEARCH UNSEEN").contains("* SEARCH 1 2 3\r\n"));

    // i: messages come; t and e: they go, with what was seen of them.
    ann.ok("SETACL Work bob@example.test +ite");
    let said = append(&mut bob, WORK, "\\Seen \\Flagged");
    assert!(said.contains("T OK [APPENDUID"), "{said}");
    bob.ok("NOOP");
    assert!(told(&mut bob, "FETCH 4 FLAGS").contains("FLAGS (\\Flagged \\Seen"));
    ann.ok("NOOP");
    assert!(!told(&mut ann, "FETCH 4 FLAGS").contains("\\Seen"));
    bob.ok("STORE 4 +FLAGS (\\Deleted)");
    bob.ok("EXPUNGE");
    says(
        &mut bob,
        &format!("STATUS {WORK} (MESSAGES UNSEEN)"),
        "* STATUS \"Other Users/ann@example.test/Work\" (MESSAGES 2 UNSEEN 2)",
    );

    // What was taken away is taken away at once, also in an open mailbox.
    ann.ok("SETACL Work -bob@example.test r");
    let said = bob.ask("FETCH 1 BODY[]");
    assert!(
        said.contains("[CLOSED]") && !said.contains("hello"),
        "{said}"
    );
    refused(&mut bob, &format!("SELECT {WORK}"), "NOPERM");
    ann.ok("DELETEACL Work -bob@example.test");
    ann.ok("DELETEACL Work bob@example.test");
    refused(&mut bob, &format!("SELECT {WORK}"), "NONEXISTENT");
    assert!(!bob.ok("LIST \"\" *").contains("Other Users"));
    // The owner stays the owner.
    refused(&mut ann, "SETACL Work ann@example.test lr", "CANNOT");
    refused(&mut ann, "DELETEACL Work ann@example.test", "CANNOT");
    assert!(ann.ask("SETACL Work bob@example.test lQ").contains("T BAD"));
}

#[test]
fn messages_go_from_one_account_to_another() {
    let house = house("");
    let _served = house.serve();
    let mut ann = login(&house, "ann@example.test");
    let mut bob = login(&house, "bob@example.test");
    ann.ok("CREATE Work");
    ann.ok("SETACL Work bob@example.test lrswit");
    for flags in ["\\Seen $A", "", "\\Flagged"] {
        bob.append("INBOX", flags, MAIL);
    }
    let said = bob.ok("SELECT INBOX");
    assert!(said.contains("* 3 EXISTS"));
    // Copied: flags and dates go along, \Seen for the one who has seen it.
    let said = bob.ok(&format!("COPY 1:3 {WORK}"));
    assert!(said.contains("[COPYUID "), "{said}");
    let mut other = login(&house, "bob@example.test");
    other.ok(&format!("SELECT {WORK}"));
    let said = told(&mut other, "FETCH 1:3 (FLAGS RFC822.SIZE)");
    assert!(
        said.contains("* 1 FETCH (FLAGS (\\Seen $A) RFC822.SIZE 21)"),
        "{said}"
    );
    assert!(said.contains("* 3 FETCH (FLAGS (\\Flagged) "), "{said}");
    ann.ok("SELECT Work");
    let said = told(&mut ann, "FETCH 1:3 FLAGS");
    assert!(said.contains("* 1 FETCH (FLAGS ($A))"), "{said}");
    assert!(told(&mut ann, "FETCH 1 BODY.PEEK[]").contains("hello"));
    // Back: as the reader saw it.
    refused(&mut other, "MOVE 1 INBOX", "NOPERM");
    ann.ok("SETACL Work bob@example.test +e");
    let said = other.ok("MOVE 1:2 Archive");
    assert!(
        said.contains("* OK [COPYUID ") && said.contains("* 1 EXPUNGE"),
        "{said}"
    );
    other.ok("SELECT Archive");
    let said = told(&mut other, "FETCH 1:2 (FLAGS BODY.PEEK[TEXT])");
    assert!(
        said.contains("FLAGS (\\Seen $A)") && said.contains("hello"),
        "{said}"
    );
    ann.ok("NOOP");
    assert!(ann.ok("SEARCH ALL").contains("* SEARCH 1\r\n"));
    // And into it, away from one's own.
    bob.ok(&format!("MOVE 2:3 {WORK}"));
    assert!(bob.ok("SEARCH ALL").contains("* SEARCH 1\r\n"));
    ann.ok("NOOP");
    assert!(ann.ok("SEARCH ALL").contains("* SEARCH 1 2 3\r\n"));
    drop((ann, bob, other));
}

#[test]
fn the_owners_quota_counts() {
    let house = house("");
    house
        .run(&["account", "set", "ann@example.test", "quota_messages", "2"])
        .ok();
    let _served = house.serve();
    let mut ann = login(&house, "ann@example.test");
    let mut bob = login(&house, "bob@example.test");
    ann.ok("SETACL INBOX bob@example.test lrsi");
    let inbox = "\"Other Users/ann@example.test/INBOX\"";
    for _ in 0..3 {
        bob.append("INBOX", "", MAIL);
    }
    bob.ok("SELECT INBOX");
    refused(&mut bob, &format!("COPY 1:3 {inbox}"), "OVERQUOTA");
    refused(&mut bob, &format!("MOVE 1:3 {inbox}"), "OVERQUOTA");
    bob.ok(&format!("COPY 1:2 {inbox}"));
    let said = append(&mut bob, inbox, "");
    assert!(said.contains("T NO [OVERQUOTA]"), "{said}");
    says(
        &mut bob,
        &format!("GETQUOTAROOT {inbox}"),
        "* QUOTAROOT \"Other Users/ann@example.test/INBOX\"",
    );
    refused(&mut bob, &format!("GETQUOTAROOT {WORK}"), "NONEXISTENT");
    says(
        &mut ann,
        "STATUS INBOX (MESSAGES)",
        "* STATUS INBOX (MESSAGES 2)",
    );
}

#[test]
fn a_session_sees_what_others_do_there() {
    let house = house("");
    let _served = house.serve();
    let mut ann = login(&house, "ann@example.test");
    let mut bob = login(&house, "bob@example.test");
    let mut again = login(&house, "bob@example.test");
    ann.ok("CREATE Work");
    ann.append("Work", "", MAIL);
    ann.ok("SETACL Work bob@example.test lrswite");
    for session in [&mut bob, &mut again] {
        session.ok("ENABLE QRESYNC");
        session.ok(&format!("SELECT {WORK}"));
    }
    // IDLE wakes for a change in the other's account.
    again.send("I IDLE\r\n");
    assert!(again.line().starts_with('+'));
    ann.append("Work", "", MAIL);
    assert_eq!(again.line(), "* 2 EXISTS\r\n");
    assert_eq!(again.line(), "* 1 RECENT\r\n");
    // What one session of Bob's has seen the other is told, with a number.
    bob.ok("NOOP");
    bob.ok("UID STORE 1 +FLAGS (\\Seen)");
    let line = again.line();
    assert!(
        line.starts_with("* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ ("),
        "{line}"
    );
    // Ann is not told of it: her flags are as they were.
    ann.ok("SELECT Work");
    bob.ok("UID STORE 2 +FLAGS (\\Seen)");
    again.line();
    let said = ann.ok("NOOP");
    assert!(!said.contains("FETCH"), "{said}");
    again.send("DONE\r\n");
    assert!(again.line().starts_with("I OK"));
    // Resynchronised: from a number on, what this reader missed.
    let said = again.ok(&format!("STATUS {WORK} (UIDVALIDITY HIGHESTMODSEQ)"));
    let number = |word: &str| {
        let (_, rest) = said.split_once(word).unwrap();
        let digits = rest.trim_start();
        digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap()].to_owned()
    };
    let (validity, modseq) = (number("UIDVALIDITY"), number("HIGHESTMODSEQ"));
    again.ok("UNSELECT");
    bob.ok("UID STORE 1 -FLAGS (\\Seen)");
    let said = again.ok(&format!("SELECT {WORK} (QRESYNC ({validity} {modseq}))"));
    assert!(
        said.contains("* 1 FETCH (UID 1 FLAGS () MODSEQ ("),
        "{said}"
    );
    assert!(!said.contains("* 2 FETCH"), "{said}");
    let said = bob.ok(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq})"));
    assert!(
        said.contains("* 1 FETCH (UID 1 ") && !said.contains("* 2 FETCH"),
        "{said}"
    );
    // A conditional STORE knows of it.
    let said = bob.ask(&format!(
        "UID STORE 1 (UNCHANGEDSINCE {modseq}) +FLAGS (\\Seen)"
    ));
    assert!(said.contains("[MODIFIED 1]"), "{said}");
}

#[test]
fn what_is_made_below_is_shared_alike() {
    let house = house("");
    let _served = house.serve();
    let mut ann = login(&house, "ann@example.test");
    let mut bob = login(&house, "bob@example.test");
    ann.ok("CREATE Work");
    ann.ok("SETACL Work bob@example.test lrkx");
    ann.ok("SETACL Work cy@example.test lr");
    ann.ok("CREATE Work/A/B");
    says(
        &mut ann,
        "GETACL Work/A/B",
        "* ACL Work/A/B \"ann@example.test\" \"lrswipkxteacd\" \"bob@example.test\" \"lrkxc\" \"cy@example.test\" \"lr\"",
    );
    let base = WORK.trim_matches('"');
    bob.ok(&format!("CREATE \"{base}/C\""));
    bob.ok(&format!("RENAME \"{base}/C\" \"{base}/D\""));
    refused(&mut bob, &format!("RENAME \"{base}/D\" Mine"), "CANNOT");
    says(
        &mut ann,
        "LIST \"\" Work/D",
        "* LIST (\\HasNoChildren) \"/\" Work/D",
    );
    let mut cy = login(&house, "cy@example.test");
    let said = cy.ok(&format!("LIST \"\" \"{base}/*\""));
    assert!(
        said.contains("Work/D") && said.contains("Work/A/B"),
        "{said}"
    );
    refused(&mut cy, &format!("DELETE \"{base}/D\""), "NOPERM");
    bob.ok(&format!("DELETE \"{base}/D\""));
    assert!(!cy.ok(&format!("LIST \"\" \"{base}/*\"")).contains("Work/D"));
    // Subscribed like one's own, and shown as gone when it is.
    cy.ok(&format!("SUBSCRIBE {WORK}"));
    says(
        &mut cy,
        "LIST (SUBSCRIBED) \"\" *Work",
        "* LIST (\\HasChildren \\Subscribed) \"/\" \"Other Users/ann@example.test/Work\"",
    );
    ann.ok("DELETEACL Work cy@example.test");
    says(
        &mut cy,
        "LIST (SUBSCRIBED) \"\" *Work",
        "* LIST (\\NonExistent \\HasChildren \\Subscribed) \"/\" \"Other Users/ann@example.test/Work\"",
    );
}

#[test]
fn not_with_everyone_and_not_beyond_the_domain() {
    let house = house("");
    let mut served = house.serve();
    let mut ann = login(&house, "ann@example.test");
    refused(&mut ann, "SETACL INBOX anyone lr", "NOPERM");
    refused(&mut ann, "SETACL INBOX authenticated lr", "NOPERM");
    // Whether there is such a user elsewhere is not told.
    refused(&mut ann, "SETACL INBOX dan@other.test lr", "NONEXISTENT");
    refused(&mut ann, "SETACL INBOX nobody@other.test lr", "NONEXISTENT");
    for user in ["dan@other.test", "nobody@other.test"] {
        for command in ["LISTRIGHTS INBOX", "DELETEACL INBOX", "DELETEACL INBOX -"] {
            let space = if command.ends_with('-') { "" } else { " " };
            refused(&mut ann, &format!("{command}{space}{user}"), "NONEXISTENT");
        }
        refused(&mut ann, &format!("SETACL INBOX -{user} r"), "NONEXISTENT");
    }
    ann.ok("SETACL INBOX bob lr");
    served.signal("TERM");
    served.ended();
    house.configure(&PLAIN.replace(
        "[imap]",
        "[imap]\nother_users = \"Shared\"\npublic_folders = \"\"\nshare_with_anyone = true\nshare_across_domains = true",
    ));
    let _served = house.serve();
    let mut ann = login(&house, "ann@example.test");
    says(
        &mut ann,
        "NAMESPACE",
        "* NAMESPACE ((\"\" \"/\")) ((\"Shared/\" \"/\")) NIL",
    );
    ann.ok("SETACL INBOX dan@other.test lr");
    ann.ok("CREATE All");
    ann.ok("SETACL All anyone lr");
    let mut dan = login(&house, "dan@other.test");
    let said = dan.ok("LIST \"\" Shared/*");
    for name in ["INBOX", "All"] {
        assert!(
            said.contains(&format!("\"/\" \"Shared/ann@example.test/{name}\"")),
            "{said}"
        );
    }
    dan.ok("EXAMINE Shared/ann@example.test/All");
}

/// RFC 8508 §4.3 with the rights of RFC 4314: a message goes in one account and
/// its successor comes in another, in one step.
#[test]
fn replace_from_one_account_into_another() {
    let house = house("");
    let _served = house.serve();
    let mut ann = login(&house, "ann@example.test");
    let mut bob = login(&house, "bob@example.test");
    ann.ok("CREATE Work");
    ann.ok("SETACL Work bob@example.test lrs");
    append(&mut bob, "INBOX", "");
    append(&mut bob, "INBOX", "");
    append(&mut ann, "Work", "");
    let new = "Subject: new\r\n\r\nnewer\r\n";
    let literal = format!("(\\Seen \\Flagged) {{{}+}}\r\n{new}", new.len());
    bob.ok("SELECT INBOX");
    // Without the right to insert nothing comes, and nothing goes.
    let said = bob.ask(&format!("REPLACE 1 {WORK} {literal}"));
    assert!(said.contains("T NO [NOPERM]"), "{said}");
    assert!(bob.ok("STATUS INBOX (MESSAGES)").contains("(MESSAGES 2)"));
    ann.ok("SETACL Work bob@example.test lrsi");
    let said = bob.ok(&format!("REPLACE 1 {WORK} {literal}"));
    assert!(said.starts_with("* OK [APPENDUID "), "{said}");
    assert!(
        said.contains(" 2] ") && said.contains("* 1 EXPUNGE"),
        "{said}"
    );
    assert!(bob.ok("STATUS INBOX (MESSAGES)").contains("(MESSAGES 1)"));
    // Bob may not set \\Flagged there; what he has seen is his own.
    says(
        &mut bob,
        &format!("STATUS {WORK} (MESSAGES UNSEEN)"),
        &format!("* STATUS {WORK} (MESSAGES 2 UNSEEN 1)"),
    );
    says(
        &mut ann,
        "STATUS Work (MESSAGES UNSEEN)",
        "* STATUS Work (MESSAGES 2 UNSEEN 2)",
    );
    ann.ok("SELECT Work");
    let said = told(&mut ann, "FETCH 2 (FLAGS BODY.PEEK[TEXT])");
    assert!(
        said.contains("FLAGS ()") && said.contains("newer\r\n"),
        "{said}"
    );
    // The other way the right to remove is needed.
    bob.ok(&format!("SELECT {WORK}"));
    let said = bob.ask(&format!("REPLACE 1 INBOX {literal}"));
    assert!(said.contains("T NO [NOPERM]"), "{said}");
    ann.ok("SETACL Work bob@example.test lrsite");
    let said = bob.ok(&format!("REPLACE 1 INBOX {literal}"));
    assert!(said.contains("* 1 EXPUNGE"), "{said}");
    assert!(ann.ok("NOOP").contains("* 1 EXPUNGE"));
    says(
        &mut bob,
        "STATUS INBOX (MESSAGES UNSEEN)",
        "* STATUS INBOX (MESSAGES 2 UNSEEN 1)",
    );
    // What Ann has expunged meanwhile is not replaced, and nothing comes.
    ann.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    ann.ok("EXPUNGE");
    let said = bob.ask(&format!("REPLACE 1 INBOX {literal}"));
    assert!(said.contains("T NO [EXPUNGEISSUED]"), "{said}");
    assert!(bob.ok("STATUS INBOX (MESSAGES)").contains("(MESSAGES 2)"));
    drop(_served);
    house.verify();
}
