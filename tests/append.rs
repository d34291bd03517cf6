//! APPEND of several messages (RFC 3502), REPLACE (RFC 8508) and CATENATE
//! (RFC 4469) of the real server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::served::{House, IMAP, PLAIN};
use axigen_tests::wire::Wire;

const USER: &str = "u1@example.test";

fn house(more: &str) -> House {
    let text = match more.strip_prefix("[imap]\n") {
        Some(imap) => PLAIN.replacen("[imap]\n", &format!("[imap]\n{imap}"), 1),
        None => format!("{PLAIN}\n{more}"),
    };
    let house = House::with(&text);
    house.add(USER, "demo");
    house
}

fn login(house: &House) -> Wire {
    Wire::imap_login(&house.addr(IMAP), USER, "demo")
}

/// A literal that needs no permission.
fn literal(text: &str) -> String {
    format!("{{{}+}}\r\n{text}", text.len())
}

fn mail(n: usize) -> String {
    format!("Subject: {n}\r\n\r\ntext {n}\r\n")
}

#[test]
fn several_messages_come_together_or_not_at_all() {
    let house =
        house("[imap]\nappend_messages = 5\nappend_size = \"4KB\"\nmessage_size = \"3KB\"\n");
    let _served = house.serve();
    let mut imap = login(&house);
    let said = imap.ok("CAPABILITY");
    for word in ["MULTIAPPEND", "CATENATE", "REPLACE"] {
        assert!(said.split_whitespace().any(|known| known == word), "{word}");
    }
    imap.ok("SELECT INBOX");
    // RFC 3502 §6.3.11: each has flags and a date of its own.
    let said = imap.ok(&format!(
        "APPEND INBOX (\\Seen) {} (\\Flagged $x) \" 7-Feb-1994 22:43:04 -0800\" {} {}",
        literal(&mail(1)),
        literal(&mail(2)),
        literal(&mail(3)),
    ));
    assert!(said.contains("* 3 EXISTS"), "{said}");
    assert!(said.contains("T OK [APPENDUID "), "{said}");
    assert!(said.contains(" 1:3] "), "{said}");
    let said = imap.ok("FETCH 1:3 (FLAGS INTERNALDATE BODY.PEEK[TEXT])");
    assert!(said.contains(" 7-Feb-1994 22:43:04 -0800"), "{said}");
    assert!(said.contains("\\Flagged") && said.contains("$x"), "{said}");
    assert!(said.contains("text 3"), "{said}");

    // Whatever is wrong with one, none comes.
    let big = "x".repeat(3500);
    let half = "x".repeat(2500);
    let good = literal(&mail(4));
    for (rest, code) in [
        (literal(&big), "NO [TOOBIG]"),
        (
            format!("{} {}", literal(&half), literal(&half)),
            "NO [TOOBIG]",
        ),
        (format!("{good} {good} {good} {good} {good}"), "NO [LIMIT]"),
        (format!("(\\Nonsense) {good}"), "BAD"),
        (format!("{good} nonsense"), "BAD"),
        ("~{3+}\r\na\0b".to_owned(), "NO [UNKNOWN-CTE]"),
        (
            "CATENATE (URL \"/INBOX/;UID=99\")".to_owned(),
            "NO [BADURL /INBOX/;UID=99]",
        ),
    ] {
        let said = imap.ask(&format!("APPEND INBOX {good} {rest}"));
        assert!(said.contains(&format!("T {code}")), "{rest}: {said}");
    }
    assert!(
        imap.ok("STATUS INBOX (MESSAGES UIDNEXT)")
            .contains("(MESSAGES 3 UIDNEXT 4)")
    );
    let said = imap.ask(&format!("APPEND nowhere {good} {good}"));
    assert!(said.contains("T NO [TRYCREATE]"), "{said}");

    // A client that is gone in the middle has brought nothing.
    let mut gone = login(&house);
    gone.send(format!("T APPEND INBOX {good} {{100+}}\r\nhalf of it"));
    gone.shut();
    drop(gone);
    // With permission asked for each.
    imap.send("T APPEND INBOX {3}\r\n");
    assert!(imap.line().starts_with("+ "));
    imap.send("a\r\n {4}\r\n");
    assert!(imap.line().starts_with("+ "));
    imap.send("bcde\r\n");
    let said = String::from_utf8(imap.imap_until("T ")).unwrap();
    assert!(
        said.contains("T OK [APPENDUID ") && said.contains(" 4:5] "),
        "{said}"
    );
    assert!(imap.ok("STATUS INBOX (MESSAGES)").contains("(MESSAGES 5)"));
}

#[test]
fn a_quota_counts_all_of_them() {
    let house = house("[accounts]\nquota = \"8KB\"\nquota_messages = 3\n");
    let _served = house.serve();
    let mut imap = login(&house);
    let text = "x".repeat(3000);
    let one = literal(&text);
    let said = imap.ask(&format!("APPEND INBOX {one} {one} {one}"));
    assert!(said.contains("T NO [OVERQUOTA]"), "{said}");
    let one = literal("a\r\n");
    let said = imap.ask(&format!("APPEND INBOX {one} {one} {one} {one}"));
    assert!(said.contains("T NO [OVERQUOTA]"), "{said}");
    imap.ok(&format!("APPEND INBOX {} {one}", literal(&text)));
    let usage = imap.ok("GETQUOTA \"\"");
    assert!(usage.contains("MESSAGE 2 3"), "{usage}");
    imap.ok(&format!("APPEND INBOX {one}"));
    // What is replaced makes room.
    imap.ok("SELECT INBOX");
    imap.ok(&format!("REPLACE 1 INBOX {}", literal(&"y".repeat(7000))));
    let usage = imap.ok("GETQUOTA \"\"");
    assert!(usage.contains("MESSAGE 3 3"), "{usage}");
    // But no more than it held; and what stays counts. Nothing has changed then.
    let before = imap.ok("GETQUOTA \"\"");
    for command in [
        format!("REPLACE 1 INBOX {}", literal(&"y".repeat(8200))),
        format!("REPLACE 2 INBOX {}", literal(&"y".repeat(3000))),
        "REPLACE 2 INBOX CATENATE (URL \"/INBOX/;UID=4\" URL \"/INBOX/;UID=4\")".to_owned(),
        "APPEND INBOX CATENATE (TEXT {1+}\r\nx)".to_owned(),
        "COPY 2 Sent".to_owned(),
        "UID COPY 1:* INBOX".to_owned(),
    ] {
        let said = imap.ask(&command);
        assert!(said.contains("T NO [OVERQUOTA]"), "{command:.60}: {said}");
    }
    assert_eq!(imap.ok("GETQUOTA \"\""), before);
    assert!(imap.ok("STATUS INBOX (MESSAGES)").contains("(MESSAGES 3)"));
    // Bytes that come out of other messages count as those that are sent.
    imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)");
    imap.ok("EXPUNGE");
    imap.ok(&format!("APPEND INBOX {}", literal(&"z".repeat(3000))));
    let url = "URL \"/INBOX/;UID=*\"";
    let uid = imap.ok("UID SEARCH RETURN (MAX) ALL");
    let uid = uid.split("MAX ").nth(1).unwrap();
    let uid = uid.split([' ', '\r']).next().unwrap();
    let url = url.replace('*', uid);
    let said = imap.ask(&format!("APPEND INBOX CATENATE ({url} {url})"));
    assert!(said.contains("T NO [OVERQUOTA]"), "{said}");
    imap.ok(&format!("APPEND INBOX CATENATE ({url})"));
}

#[test]
fn replace_is_one_step() {
    let house = house("");
    let _served = house.serve();
    let mut imap = login(&house);
    for n in 1..=4 {
        assert!(imap.append("Drafts", "", &mail(n)).contains("T OK"));
    }
    imap.ok("SELECT Drafts");
    // RFC 8508 §4.3: APPENDUID, then EXISTS, then EXPUNGE.
    let said = imap.ok(&format!(
        "REPLACE 2 Drafts (\\Seen \\Draft) {}",
        literal(&mail(5))
    ));
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("* OK [APPENDUID "), "{said}");
    assert!(lines[0].contains(" 5] "), "{said}");
    let at = |text: &str| lines.iter().position(|line| *line == text).expect(text);
    assert!(at("* 5 EXISTS") < at("* 2 EXPUNGE"), "{said}");
    assert!(lines.last().unwrap().starts_with("T OK "), "{said}");
    let said = imap.ok("FETCH 1:* (UID FLAGS BODY.PEEK[TEXT])");
    assert!(said.contains("* 4 FETCH (UID 5"), "{said}");
    assert!(
        said.contains("\\Draft") && said.contains("text 5"),
        "{said}"
    );
    assert!(!said.contains("text 2"), "{said}");

    // Into another mailbox; by UID; by the last; with CATENATE of itself.
    let said = imap.ok(&format!("UID REPLACE 1 INBOX {}", literal(&mail(6))));
    assert!(
        said.contains("* 1 EXPUNGE") && !said.contains("EXISTS"),
        "{said}"
    );
    assert!(imap.ok("STATUS INBOX (MESSAGES)").contains("(MESSAGES 1)"));
    let said = imap.ok(&format!(
        "REPLACE * Drafts CATENATE (URL \";UID=5/;SECTION=HEADER\" TEXT {})",
        literal("new\r\n")
    ));
    assert!(
        said.contains("* 4 EXISTS") && said.contains("* 3 EXPUNGE"),
        "{said}"
    );
    let said = imap.ok("FETCH 3 BODY.PEEK[]");
    assert!(said.contains("Subject: 5\r\n\r\nnew\r\n"), "{said}");

    // Nothing happens where anything is wrong.
    let good = literal(&mail(7));
    for (command, code) in [
        (format!("REPLACE 9 Drafts {good}"), "BAD"),
        (format!("UID REPLACE 99 Drafts {good}"), "NO [NONEXISTENT]"),
        (format!("REPLACE 1 nowhere {good}"), "NO [TRYCREATE]"),
        (format!("REPLACE 1 Drafts {good} {good}"), "BAD"),
        (format!("REPLACE 1:2 Drafts {good}"), "BAD"),
        (
            "REPLACE 1 Drafts CATENATE (URL \";UID=99\")".to_owned(),
            "NO [BADURL ;UID=99]",
        ),
    ] {
        let said = imap.ask(&command);
        assert!(said.contains(&format!("T {code}")), "{command}: {said}");
    }
    assert!(imap.ok("STATUS Drafts (MESSAGES)").contains("(MESSAGES 3)"));
    // What another session has expunged cannot be replaced.
    let mut other = login(&house);
    other.ok("SELECT Drafts");
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    other.ok("EXPUNGE");
    let said = imap.ask(&format!("REPLACE 1 Drafts {good}"));
    assert!(said.contains("T NO [EXPUNGEISSUED]"), "{said}");
    // Those who know of QRESYNC are told by UID.
    imap.ok("ENABLE QRESYNC");
    imap.ok("NOOP");
    let said = imap.ok(&format!("REPLACE 1 Drafts {good}"));
    assert!(said.contains("* VANISHED 4"), "{said}");
    assert!(said.contains("T OK [HIGHESTMODSEQ "), "{said}");
    other.ok("NOOP");
    let said = other.ok("FETCH 1:* UID");
    assert!(said.contains("UID 6)") && said.contains("UID 7)"), "{said}");
    imap.ok("EXAMINE Drafts");
    let said = imap.ask(&format!("REPLACE 1 Drafts {good}"));
    assert!(said.contains("T NO"), "{said}");
}

#[test]
fn parts_of_messages() {
    let house = house("[imap]\nmessage_size = \"20KB\"\n");
    let _served = house.serve();
    let mut imap = login(&house);
    let source = "Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain\r\n\r\nfirst\r\n--b\r\nContent-Type: text/html\r\n\r\n<b>second</b>\r\n--b--\r\n";
    assert!(imap.append("Sent", "", source).contains("T OK"));
    let validity = imap.ok("STATUS Sent (UIDVALIDITY)");
    let validity: String = validity
        .split("UIDVALIDITY ")
        .nth(1)
        .unwrap()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let host = "mail.example.test";
    // RFC 4469 §3: absolute and relative URLs, texts between them.
    imap.ok(&format!(
        "APPEND Drafts (\\Draft) CATENATE (TEXT {} URL \"/Sent;UIDVALIDITY={validity}/;UID=1/;SECTION=1\" TEXT {} \
         URL \"imap://u1%40example.test@{host}/Sent/;UID=1/;SECTION=2\" URL {})",
        literal("Subject: new\r\n\r\n"),
        literal(" and "),
        literal("/Sent/;UID=1/;SECTION=HEADER/;PARTIAL=0.7"),
    ));
    imap.ok("SELECT Drafts");
    let said = imap.ok("FETCH 1 (FLAGS BODY.PEEK[])");
    assert!(
        said.contains("Subject: new\r\n\r\nfirst and <b>second</b>Subject"),
        "{said}"
    );
    // Of the mailbox that is open.
    imap.ok("APPEND Drafts CATENATE (URL \"/;UID=1\")");
    let other = format!(
        "/Sent;UIDVALIDITY={}/;UID=1",
        validity.parse::<u64>().unwrap() + 1
    );
    for url in [
        "/Sent/;UID=1/;SECTION=3",
        "/Sent/;UID=2",
        "/Sent",
        "/nowhere/;UID=1",
        &other,
        ";UID=7",
        "imap://other.example/Sent/;UID=1",
        &format!("imap://eve@{host}/Sent/;UID=1"),
        "nonsense",
        "/Other%20Users/u2@example.test/INBOX/;UID=1",
    ] {
        let said = imap.ask(&format!("APPEND Drafts CATENATE (URL \"{url}\")"));
        assert!(
            said.contains(&format!("T NO [BADURL {url}]")),
            "{url}: {said}"
        );
    }
    // The message as a whole is too large, whatever its parts are.
    let text = literal(&"x".repeat(8000));
    let said = imap.ask(&format!(
        "APPEND Drafts CATENATE (TEXT {text} TEXT {text} TEXT {text})"
    ));
    assert!(said.contains("T NO [TOOBIG]"), "{said}");
    let big = "y".repeat(15000);
    assert!(imap.append("Sent", "", &big).contains("T OK"));
    let said = imap.ask("APPEND Drafts CATENATE (URL \"/Sent/;UID=2\" URL \"/Sent/;UID=2\")");
    assert!(said.contains("T NO [TOOBIG]"), "{said}");
    assert!(imap.ok("STATUS Drafts (MESSAGES)").contains("(MESSAGES 2)"));
}

#[test]
fn many_parts_end_somewhere() {
    let house = house("[imap]\nappend_parts = 100\n");
    let _served = house.serve();
    let mut imap = login(&house);
    let parts = |count| format!(" TEXT {}", literal("x")).repeat(count);
    let said = imap.ask(&format!(
        "APPEND Drafts CATENATE ({})",
        parts(10_000).trim_start()
    ));
    assert!(said.contains("T NO [LIMIT]"), "{said}");
    imap.ok(&format!(
        "APPEND Drafts CATENATE ({})",
        parts(100).trim_start()
    ));
    assert!(imap.ok("STATUS Drafts (MESSAGES)").contains("(MESSAGES 1)"));
}

/// RFC 3516 §4.4: NUL bytes come by literal8, in every form of APPEND, and are
/// what BINARY shows; nobody else sees a NUL.
#[test]
fn nul_bytes_are_kept() {
    let house = house("");
    let _served = house.serve();
    let mut imap = login(&house);
    let body = "\0\x01\0\r\n\0".repeat(1000);
    let whole = format!("Content-Transfer-Encoding: binary\r\n\r\n{body}");
    let part = format!(
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n\
         Content-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\n{body}\r\n--b--\r\n"
    );
    let literal8 = |text: &str| format!("~{{{}+}}\r\n{text}", text.len());
    let (head, tail) = whole.split_at(37);
    imap.ok(&format!("APPEND INBOX {}", literal8(&whole)));
    imap.ok(&format!(
        "APPEND INBOX {} (\\Seen) {}",
        literal8(&whole),
        literal8(&part)
    ));
    imap.ok(&format!(
        "APPEND INBOX CATENATE (TEXT {{37+}}\r\n{head} TEXT {})",
        literal8(tail)
    ));
    imap.ok("SELECT INBOX");
    imap.ok(&format!("REPLACE 1 INBOX {}", literal8(&whole)));
    let size = body.len();
    for (number, place) in [(1, "1"), (2, "2"), (3, "1"), (4, "1")] {
        let said = imap.ok(&format!(
            "FETCH {number} (BINARY.SIZE[{place}] BINARY.PEEK[{place}])"
        ));
        let shown = format!("BINARY.SIZE[{place}] {size} BINARY[{place}] ~{{{size}}}\r\n{body})");
        assert!(said.contains(&shown), "{number}: {}", said.escape_debug());
        let said = imap.ok(&format!("FETCH {number} BODY.PEEK[]"));
        assert!(!said.contains('\0') && said.contains("base64"), "{said}");
    }
    assert!(
        imap.ok("FETCH 2 BINARY.PEEK[1]")
            .contains("BINARY[1] {4}\r\ntext)")
    );
    // In a literal that is none of BINARY a NUL breaks the command, wherever it comes.
    let said = imap.ask("APPEND INBOX {3+}\r\na\0b");
    assert!(said.contains("T BAD ") && said.contains("NUL"), "{said}");
    let said = imap.ask(&format!("APPEND INBOX {} {{3+}}\r\na\0b", literal8(&whole)));
    assert!(said.contains("T BAD "), "{said}");
    let said = imap.ask("APPEND INBOX CATENATE (TEXT {3+}\r\na\0b)");
    assert!(said.contains("T BAD "), "{said}");
    let said = imap.ask(&format!(
        "APPEND INBOX {}",
        literal8("Subject: \0\r\n\r\nx")
    ));
    assert!(said.contains("T NO [UNKNOWN-CTE]"), "{said}");
    assert!(imap.ok("STATUS INBOX (MESSAGES)").contains("(MESSAGES 4)"));
}
