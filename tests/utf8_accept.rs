//! UTF8=ACCEPT of the real server: RFC 9755, and RFC 6855 where its clients
//! differ. What a client that has not enabled it sees, too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

use axigen_tests::demo::{Demo, Port, root};
use axigen_tests::served::{House, IMAP, PLAIN};
use axigen_tests::tool::finish;
use axigen_tests::wire::Wire;

const ANN: &str = "u1@example.test";
const BOB: &str = "u2@example.test";
/// All of its header is as RFC 6532 allows it.
const MAIL: &str =
    "Subject: Grüße\r\nFrom: Jörg <jörg@example.test>\r\nTo: Ann <ann@example.test>\r\n\r\nä\r\n";

fn login(demo: &Demo, user: &str) -> Wire {
    Wire::imap_login(&demo.addr(Port::Imap), user, "demo")
}

/// A server that keeps to the letter of RFC 9755 §8.
fn strict() -> House {
    let house = House::with(&PLAIN.replace(
        "[imap]\nenable = true\n",
        "[imap]\nenable = true\nascii_headers = true\n",
    ));
    house.add(ANN, "demo");
    house
}

fn enabled(demo: &Demo, user: &str) -> Wire {
    let mut imap = login(demo, user);
    let said = imap.ok("ENABLE UTF8=ACCEPT");
    assert!(said.starts_with("* ENABLED UTF8=ACCEPT\r\n"), "{said}");
    imap
}

#[track_caller]
fn bad(imap: &mut Wire, command: &str) {
    let said = imap.ask(command);
    assert!(said.contains("T BAD "), "{command}: {said}");
}

#[test]
fn imaplib_of_python() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut python = Command::new("python3");
    python
        .arg(root().join("tests/clients/utf8_imaplib.py"))
        .env("IMAP", demo.port(Port::Imap).to_string())
        .env("U", ANN)
        .env("PW", "demo");
    finish(python, b"").ok();
}

#[test]
fn names_are_utf8_wherever_they_stand() {
    let demo = Demo::start(&["--accounts", "2"]);
    let mut old = login(&demo, ANN);
    let mut rev2 = login(&demo, ANN);
    rev2.ok("ENABLE IMAP4rev2");
    let mut new = enabled(&demo, ANN);
    let mut bob = enabled(&demo, BOB);
    new.ok("CREATE \"Entwürfe\"");
    let (utf8, utf7) = ("\"Entwürfe\"", "\"Entw&APw-rfe\"");
    for (imap, name) in [(&mut old, utf7), (&mut rev2, utf8), (&mut new, utf8)] {
        for (command, start) in [
            ("LIST \"\" NAME", "* LIST (\\HasNoChildren) \"/\" NAME"),
            ("STATUS NAME (MESSAGES)", "* STATUS NAME (MESSAGES 0)"),
            ("GETQUOTAROOT NAME", "* QUOTAROOT NAME"),
            ("GETACL NAME", "* ACL NAME"),
            ("MYRIGHTS NAME", "* MYRIGHTS NAME"),
            ("LISTRIGHTS NAME anyone", "* LISTRIGHTS NAME"),
            ("SETMETADATA NAME (/private/comment \"x\")", "T OK"),
            ("GETMETADATA NAME /private/comment", "* METADATA NAME"),
        ] {
            let said = imap.ok(&command.replace("NAME", name));
            let start = start.replace("NAME", name);
            assert!(said.contains(&start), "{command}: {said}");
        }
    }
    // Another's name below a prefix, and NAMESPACE itself.
    new.ok(&format!("SETACL {utf8} {BOB} lrs"));
    let said = bob.ok("LIST \"\" \"Other Users/*\"");
    assert!(
        said.contains(&format!("\"Other Users/{ANN}/Entwürfe\"")),
        "{said}"
    );
    bob.ok(&format!("EXAMINE \"Other Users/{ANN}/Entwürfe\""));
    assert!(bob.ok("NAMESPACE").contains("\"Other Users/\""));
    // What is told by itself.
    let mut watching = enabled(&demo, ANN);
    watching.ok("NOTIFY SET (personal (MailboxName MessageNew MessageExpunge))");
    old.ok("CREATE \"&ZeVnLIqe-\"");
    let told = watching.line();
    assert!(told.ends_with("\"/\" \"日本語\"\r\n"), "{told}");
    // What is no UTF-8 is BAD, in a literal NO: it is a name that cannot be.
    for bytes in [&b"\xc0\xaf"[..], b"\xed\xa0\xbd", b"a\xff"] {
        new.send([b"T SELECT \"", bytes, b"\"\r\n"].concat());
        assert!(new.line().starts_with("T BAD "));
        new.send(format!("T SELECT {{{}+}}\r\n", bytes.len()));
        new.send([bytes, b"\r\n"].concat());
        let said = new.line();
        assert!(said.starts_with("T NO [CANNOT]"), "{said}");
    }
    // Until it is taken back.
    new.ok("UNAUTHENTICATE");
    new.ok(&format!("LOGIN {ANN} demo"));
    assert!(new.ok("LIST \"\" \"Entw*\"").contains(utf7));
    let said = new.ask(&format!("SELECT {utf8}"));
    assert!(said.contains("T NO [CANNOT]"), "{said}");
}

#[test]
fn messages_come_in_every_form() {
    let house = strict();
    let _served = house.serve();
    let size = MAIL.len();
    let mut imap = Wire::imap_login(&house.addr(IMAP), ANN, "demo");
    // RFC 9755 §4: NO for such a header, whatever brings it; RFC 6855 §4.
    let said = imap.append("INBOX", "", MAIL);
    assert!(
        said.contains("T NO ") && said.contains("UTF8=ACCEPT"),
        "{said}"
    );
    bad(
        &mut imap,
        &format!("APPEND INBOX UTF8 (~{{{size}+}}\r\n{MAIL})"),
    );
    let parts =
        format!("APPEND INBOX CATENATE (TEXT {{9+}}\r\nSubject:  TEXT {{{size}+}}\r\n{MAIL})");
    assert!(imap.ask(&parts).contains("T NO "));
    let two = format!("APPEND INBOX {{8+}}\r\nA: b\r\n\r\n {{{size}+}}\r\n{MAIL}");
    assert!(imap.ask(&two).contains("T NO "));
    assert!(imap.ok("STATUS INBOX (MESSAGES)").contains("(MESSAGES 0)"));
    // Text beyond ASCII was always allowed.
    assert!(
        imap.append("INBOX", "", "Subject: x\r\n\r\nä\r\n")
            .contains("T OK")
    );

    imap.ok("ENABLE UTF8=ACCEPT");
    imap.ok("COMPRESS DEFLATE");
    let mut imap = imap.start_deflate();
    let wrapped = format!("UTF8 (~{{{size}+}}\r\n{MAIL})");
    let part = format!("UTF8 (~{{{size}+}}\r\n{MAIL})");
    for command in [
        format!("APPEND INBOX {{{size}+}}\r\n{MAIL}"),
        format!("APPEND INBOX {wrapped}"),
        format!("APPEND INBOX (\\Seen) {wrapped} (\\Flagged) {wrapped}"),
        format!("APPEND INBOX CATENATE ({part})"),
        format!(
            "APPEND INBOX CATENATE (UTF8 (~{{13+}}\r\nSubject: ä\r\n) TEXT {{5+}}\r\n\r\nx\r\n)"
        ),
    ] {
        imap.ok(&command);
    }
    bad(
        &mut imap,
        &format!("APPEND INBOX UTF8 ({{{size}+}}\r\n{MAIL})"),
    );
    imap.ok("SELECT INBOX");
    imap.ok(&format!("REPLACE 2 INBOX {wrapped}"));
    imap.ok(&format!("UID REPLACE 3 INBOX CATENATE ({part})"));
    let said = imap.ok("SEARCH SUBJECT \"grüße\" FROM \"jörg\"");
    assert!(said.starts_with("* SEARCH 2 3 4 6 7\r\n"), "{said}");
    for number in [2, 3, 4, 6, 7] {
        let said = imap.ok(&format!("FETCH {number} BODY.PEEK[]"));
        assert!(said.contains(&format!("{{{size}}}\r\n{MAIL})")), "{said}");
    }
    let said = imap.ok("FETCH 2 (RFC822.SIZE ENVELOPE)");
    assert!(said.contains(&format!("RFC822.SIZE {size} ")), "{said}");
    assert!(
        said.contains("(\"Jörg\" NIL \"jörg\" \"example.test\")"),
        "{said}"
    );
    // RFC 9755 §3: SEARCH has no charset any more; SORT has no form without one.
    bad(&mut imap, "SEARCH CHARSET UTF-8 ALL");
    bad(&mut imap, "UID SEARCH RETURN (COUNT) CHARSET US-ASCII ALL");
    imap.ok("SORT (SUBJECT) UTF-8 SUBJECT \"ü\"");
}

#[test]
fn logins_and_strings_before() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = Wire::connect(&demo.addr(Port::Imap));
    imap.line();
    // RFC 9755 §5 wants AUTHENTICATE for these; whoever sends them by LOGIN is not shut out.
    let said = imap.ask("LOGIN u1@example.test \"pässword\"");
    assert!(said.contains("T NO [AUTHENTICATIONFAILED]"), "{said}");
    imap.ok(&format!("LOGIN {ANN} demo"));
    imap.append(
        "INBOX",
        "",
        "Content-Type: text/plain; charset=utf-8\r\n\r\nGrüße\r\n",
    );
    imap.ok("SELECT INBOX");
    assert!(
        imap.ok("SEARCH CHARSET UTF-8 BODY \"grüße\"")
            .contains("* SEARCH 1")
    );
    assert!(
        imap.ok("SEARCH CHARSET UTF-8 BODY {7+}\r\ngrüße")
            .contains("* SEARCH 1")
    );
    imap.ok("UNSELECT");
    imap.ok("ENABLE UTF8=ACCEPT");
    imap.ok("SELECT INBOX");
    assert!(imap.ok("SEARCH BODY \"grüße\"").contains("* SEARCH 1"));
    assert!(imap.ok("SEARCH BODY {7+}\r\ngrüße").contains("* SEARCH 1"));
}

#[test]
fn clients_that_do_not_know_it() {
    let house = strict();
    let _served = house.serve();
    let body = "--b\r\nContent-Type: text/plain; name=\"Grün.txt\"\r\n\r\nx\r\n--b--\r\n";
    let mail = format!(
        "Subject: Grüße\r\nFrom: Jörg <jörg@example.test>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n{body}"
    );
    let size = mail.len();
    let mut new = Wire::imap_login(&house.addr(IMAP), ANN, "demo");
    new.ok("ENABLE UTF8=ACCEPT");
    assert!(new.append("INBOX", "", &mail).contains("T OK"));
    let mut old = Wire::imap_login(&house.addr(IMAP), ANN, "demo");
    old.ok("EXAMINE INBOX");
    for (item, shown) in [
        (
            "ENVELOPE",
            "\"=?utf-8?B?R3LDvMOfZQ==?=\" ((\"=?utf-8?B?SsO2cmc=?=\" NIL \"removed\" \"internationalized-address.invalid\"))",
        ),
        ("BODYSTRUCTURE", "\"name*\" \"utf-8''Gr%C3%BCn.txt\""),
        ("BODY", "\"name*\" \"utf-8''Gr%C3%BCn.txt\""),
        (
            "BODY.PEEK[HEADER]",
            "Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\nFrom: =?utf-8?B?SsO2cmc=?=\r\n <removed@",
        ),
        ("RFC822.HEADER", "Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n"),
        (
            "BODY.PEEK[HEADER.FIELDS (SUBJECT)]",
            "{37}\r\nSubject: =?utf-8?B?R3LDvMOfZQ==?=\r\n\r\n)",
        ),
        (
            "BODY.PEEK[HEADER.FIELDS (SUBJECT)]<9.7>",
            "<9> {7}\r\n=?utf-8)",
        ),
        ("BODY.PEEK[HEADER.FIELDS.NOT (FROM)]", "Subject: =?utf-8?B?"),
        (
            "BODY.PEEK[1.MIME]",
            "Content-Type: text/plain;\r\n name*=utf-8''Gr%C3%BCn.txt\r\n",
        ),
    ] {
        let said = old.ok(&format!("FETCH 1 {item}"));
        assert!(said.is_ascii(), "{item}: {said}");
        assert!(said.contains(shown), "{item}: {said}");
    }
    // All of it is as it is, of the size that was told: mirrors and signatures need that.
    let said = old.ok("FETCH 1 (RFC822.SIZE BODY.PEEK[])");
    assert!(
        said.contains(&format!("RFC822.SIZE {size} BODY[] {{{size}}}\r\n{mail})")),
        "{said}"
    );
    // Who knows it sees the header as it came.
    new.ok("EXAMINE INBOX");
    for item in [
        "ENVELOPE",
        "BODY.PEEK[HEADER]",
        "BODY.PEEK[HEADER.FIELDS (SUBJECT)]",
    ] {
        assert!(
            new.ok(&format!("FETCH 1 {item}")).contains("Grüße"),
            "{item}"
        );
    }
    assert!(new.ok("FETCH 1 BODYSTRUCTURE").contains("\"Grün.txt\""));
    assert!(
        new.ok("FETCH 1 ENVELOPE")
            .contains("(\"Jörg\" NIL \"jörg\" \"example.test\")")
    );
}

/// Without the setting every client brings and gets headers as they are.
#[test]
fn headers_as_they_are() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = login(&demo, ANN);
    assert!(imap.append("INBOX", "", MAIL).contains("T OK"));
    imap.ok("EXAMINE INBOX");
    let said = imap.ok("FETCH 1 (ENVELOPE BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[])");
    assert!(said.contains("Subject: Grüße\r\n\r\n"), "{said}");
    assert!(said.contains("jörg") && said.contains(MAIL), "{said}");
}
