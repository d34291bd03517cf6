//! OBJECTID and PREVIEW of the real server. RFC 8474, RFC 8970.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::demo::{Demo, Port};
use axigen_tests::wire::Wire;

const USER: &str = "u1@example.test";

fn login(demo: &Demo) -> Wire {
    Wire::imap_login(&demo.addr(Port::Imap), USER, "demo")
}

/// What stands in parentheses behind a word.
#[track_caller]
fn id(text: &str, word: &str) -> String {
    let behind = text.split(&format!("{word} (")).nth(1);
    let behind = behind.unwrap_or_else(|| panic!("no {word} in {text}"));
    let id = behind.split(')').next().unwrap().to_owned();
    assert!(
        id.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)),
        "{id}"
    );
    id
}

#[test]
fn names_outlive_renaming_and_copying() {
    let demo = Demo::start(&["--accounts", "2"]);
    let mut imap = login(&demo);
    let offered = imap.ok("CAPABILITY");
    for word in ["OBJECTID", "PREVIEW"] {
        assert!(offered.contains(&format!(" {word} ")), "{word}: {offered}");
    }
    let made = id(&imap.ok("CREATE Work"), "MAILBOXID");
    assert_eq!(id(&imap.ok("SELECT Work"), "MAILBOXID"), made);
    assert_eq!(id(&imap.ok("STATUS Work (MAILBOXID)"), "MAILBOXID"), made);
    imap.ok("RENAME Work Play");
    assert_eq!(
        id(&imap.ok("STATUS Play (MESSAGES MAILBOXID)"), "MAILBOXID"),
        made
    );
    let said = imap.ok("LIST \"\" Play RETURN (STATUS (MAILBOXID))");
    assert_eq!(id(&said, "MAILBOXID"), made);
    imap.ok("DELETE Play");
    assert_ne!(id(&imap.ok("CREATE Play"), "MAILBOXID"), made);
    let inbox = id(&imap.ok("EXAMINE INBOX"), "MAILBOXID");
    let mut other = Wire::imap_login(&demo.addr(Port::Imap), "u2@example.test", "demo");
    assert_ne!(id(&other.ok("EXAMINE INBOX"), "MAILBOXID"), inbox);

    imap.append("INBOX", "", "Subject: one\r\n\r\nx\r\n");
    imap.append("INBOX", "", "Subject: two\r\n\r\nx\r\n");
    imap.append("INBOX", "", "Subject: one\r\n\r\nx\r\n");
    imap.ok("SELECT INBOX");
    let of = |imap: &mut Wire, seq: u32| id(&imap.ok(&format!("FETCH {seq} EMAILID")), "EMAILID");
    let (one, two) = (of(&mut imap, 1), of(&mut imap, 2));
    assert_ne!(one, two);
    assert_eq!(of(&mut imap, 3), one, "the same content");
    assert!(imap.ok("FETCH 1 THREADID").contains("(THREADID NIL)"));
    imap.ok("COPY 2 Play");
    assert!(
        imap.ok(&format!("SEARCH EMAILID {one}"))
            .contains("* SEARCH 1 3\r\n")
    );
    assert!(
        imap.ok(&format!("SEARCH NOT EMAILID {one} ALL"))
            .contains("* SEARCH 2\r\n")
    );
    assert!(imap.ok("SEARCH THREADID T1").contains("* SEARCH\r\n"));
    imap.ok("SELECT Play");
    assert_eq!(of(&mut imap, 1), two);
}

#[test]
fn how_messages_begin() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = login(&demo);
    let mixed = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nattached\r\n\
        --b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
        --c\r\nContent-Type: text/html\r\n\r\n<p>in <b>colour</b></p>\r\n\
        --c\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        Gr=C3=BC=C3=9Fe,\r\n  \\\"you\\\"\r\n--c--\r\n--b--\r\n";
    imap.append("INBOX", "", mixed);
    imap.append("INBOX", "", "Subject: x\r\n\r\nshort\r\n");
    imap.append(
        "INBOX",
        "",
        "Subject: x\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n",
    );
    imap.ok("SELECT INBOX");
    let said = imap.ok("FETCH 1 (UID PREVIEW)");
    assert!(
        said.contains("PREVIEW {16}\r\nGrüße, \\\"you\\\")"),
        "{said}"
    );
    let said = imap.ok("FETCH 2:3 (PREVIEW (LAZY) FLAGS)");
    assert!(
        said.contains("* 2 FETCH (PREVIEW \"short\" FLAGS ("),
        "{said}"
    );
    assert!(said.contains("* 3 FETCH (PREVIEW \"\" FLAGS ("), "{said}");
    assert!(!said.contains("\\Seen"), "looking is not reading");
    // With IMAP4rev2 it is a plain string.
    imap.ok("ENABLE IMAP4rev2");
    let said = imap.ok("FETCH 1 PREVIEW");
    assert!(said.contains("PREVIEW \"Grüße, "), "{said}");
}
