//! COMPRESS, UNAUTHENTICATE and APPENDLIMIT of the real server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use axigen_tests::demo::{Demo, Port};
use axigen_tests::wire::Wire;

const USER: &str = "u1@example.test";

fn compressed(demo: &Demo) -> Wire {
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), USER, "demo");
    assert!(imap.ok("CAPABILITY").contains(" COMPRESS=DEFLATE"));
    imap.ok("COMPRESS DEFLATE");
    imap.start_deflate()
}

#[test]
fn all_there_is_works_compressed() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = compressed(&demo);
    assert!(imap.ask("COMPRESS DEFLATE").contains("[COMPRESSIONACTIVE]"));
    let line = "0123456789 abcdefghij\r\n".repeat(50_000);
    let mail = format!("Subject: large\r\n\r\n{line}");
    for _ in 0..3 {
        let said = imap.append("INBOX", "", &mail);
        assert!(said.contains("T OK"), "{said}");
    }
    imap.ok("SELECT INBOX");
    let said = imap.imap("FETCH 1:3 BODY.PEEK[]");
    let found = said
        .windows(mail.len())
        .filter(|part| *part == mail.as_bytes());
    assert_eq!(found.count(), 3);
    // The connection rests, the compressor goes, another takes over.
    std::thread::sleep(Duration::from_millis(2500));
    assert!(imap.ok("FETCH 2 UID").contains("* 2 FETCH (UID 2)"));
    // Changes come while it waits.
    imap.send("T IDLE\r\n");
    assert!(imap.line().starts_with("+ "));
    std::thread::sleep(Duration::from_millis(2500));
    let mut other = compressed(&demo);
    other.append("INBOX", "", "Subject: new\r\n\r\nx\r\n");
    assert_eq!(imap.line(), "* 4 EXISTS\r\n");
    imap.send("DONE\r\n");
    assert!(imap.imap_until("T ").ends_with(b"IDLE is over\r\n"));
    imap.ok("LOGOUT");
    assert!(imap.rest().is_empty());
}

#[test]
fn compressed_inside_tls() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = Wire::connect(&demo.addr(Port::Imap));
    assert!(imap.line().starts_with("* OK"));
    imap.ok("STARTTLS");
    let mut imap = imap.start_tls();
    imap.ok(&format!("LOGIN {USER} demo"));
    imap.ok("COMPRESS DEFLATE");
    let mut imap = imap.start_deflate();
    assert!(imap.ok("SELECT INBOX").contains("* 0 EXISTS"));
    imap.send("T NOOP\r\nU NOOP\r\n");
    assert!(imap.imap_until("U ").ends_with(b"U OK done\r\n"));
}

#[test]
fn garbage_ends_the_connection_and_nothing_else() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), USER, "demo");
    imap.ok("COMPRESS DEFLATE");
    imap.send(b"\xff\xff this is not compressed\r\n");
    imap.rest();
    compressed(&demo).ok("SELECT INBOX");
}

#[test]
fn a_bomb_meets_the_limits_of_every_other_input() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = compressed(&demo);
    imap.ok("NOOP");
    let before = demo.peak_kb();
    // 256 MB in a line without an end, and in a literal that nobody asked for: a
    // thousandth of it comes over the wire.
    let line = vec![b'a'; 1 << 20];
    imap.send("T SEARCH TEXT ");
    for _ in 0..256 {
        if imap.try_send(&line).is_err() {
            break;
        }
    }
    let _ = imap.try_send("\r\n");
    let said = String::from_utf8_lossy(&imap.try_line().unwrap_or_default()).into_owned();
    assert!(
        said.contains("BAD") || said.contains("BYE") || said.is_empty(),
        "{said}"
    );
    let mut imap = compressed(&demo);
    imap.send("T CREATE {268435456+}\r\n");
    for _ in 0..256 {
        if imap.try_send(&line).is_err() {
            break;
        }
    }
    let grown = demo.peak_kb().saturating_sub(before);
    assert!(grown < 32 * 1024, "{} MB", grown / 1024);
    compressed(&demo).ok("SELECT INBOX");
}

#[test]
fn blocks_that_give_no_bytes() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), USER, "demo");
    imap.ok("COMPRESS DEFLATE");
    let before = demo.peak_kb();
    // Stored blocks of no length, megabytes of them; others are served meanwhile.
    let empty = b"\x00\x00\x00\xff\xff".repeat(100_000);
    for _ in 0..20 {
        imap.send(&empty);
    }
    compressed(&demo).ok("SELECT INBOX");
    imap.send(b"\x00\x08\x00\xf7\xffT NOOP\r\n");
    let mut imap = imap.start_deflate();
    assert!(imap.imap_until("T ").ends_with(b"T OK done\r\n"));
    let grown = demo.peak_kb().saturating_sub(before);
    assert!(grown < 32 * 1024, "{} MB", grown / 1024);
}

#[test]
fn another_account_on_the_same_connection() {
    let demo = Demo::start(&["--accounts", "2"]);
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), USER, "demo");
    imap.append("INBOX", "", "Subject: of u1\r\n\r\nx\r\n");
    assert!(imap.ok("SELECT INBOX").contains("* 1 EXISTS"));
    imap.ok("ENABLE QRESYNC");
    let said = imap.ok("UNAUTHENTICATE");
    assert!(
        said.contains("[CAPABILITY ") && said.contains(" AUTH="),
        "{said}"
    );
    assert!(imap.ask("FETCH 1 FLAGS").starts_with("T BAD"));
    assert!(imap.ask("LOGIN u2@example.test wrong").starts_with("T NO"));
    imap.ok("LOGIN u2@example.test demo");
    assert!(imap.ask("FETCH 1 FLAGS").starts_with("T BAD"));
    assert!(imap.ok("SELECT INBOX").contains("* 0 EXISTS"));
    assert!(
        imap.ask("SELECT INBOX (QRESYNC (1 1))")
            .starts_with("T BAD")
    );
}

#[test]
fn how_large_a_message_may_be() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), USER, "demo");
    let said = imap.ok("CAPABILITY");
    let limit = said.split(" APPENDLIMIT=").nth(1).unwrap();
    let limit: u64 = limit.split_whitespace().next().unwrap().parse().unwrap();
    let said = imap.ok("STATUS INBOX (APPENDLIMIT MESSAGES)");
    assert!(
        said.contains(&format!("(APPENDLIMIT {limit} MESSAGES 0)")),
        "{said}"
    );
    let said = imap.ok("LIST \"\" INBOX RETURN (STATUS (APPENDLIMIT))");
    assert!(said.contains(&format!("(APPENDLIMIT {limit})")), "{said}");
    let said = imap.ask(&format!("APPEND INBOX {{{}}}", limit + 1));
    assert!(said.starts_with("T NO [TOOBIG]"), "{said}");
}
