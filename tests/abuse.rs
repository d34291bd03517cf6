//! Bad input against the real server: the standard's error, bounded memory, and the server lives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::time::{Duration, Instant};

use axigen_tests::demo::{Demo, Port};
use axigen_tests::wire::Wire;

const EVERY_PORT: [Port; 8] = [
    Port::Smtp,
    Port::Lmtp,
    Port::Submission,
    Port::SubmissionTls,
    Port::Imap,
    Port::ImapTls,
    Port::Pop3,
    Port::Pop3Tls,
];

/// A session works from greeting to mail: the server is in order.
fn assert_serves(demo: &mut Demo) {
    assert!(demo.is_alive(), "the server died");
    let mut smtp = Wire::connect(&demo.addr(Port::Smtp));
    assert!(smtp.smtp_reply().starts_with("220"));
    assert!(smtp.smtp("EHLO x.test").starts_with("250"));
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), "u1@example.test", "demo");
    assert!(text(&imap.imap("SELECT INBOX")).contains("T OK"));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn smtp(demo: &Demo) -> Wire {
    let mut wire = Wire::connect(&demo.addr(Port::Smtp));
    assert!(wire.smtp_reply().starts_with("220"));
    assert!(wire.smtp("EHLO client.test").starts_with("250"));
    wire
}

fn imap(demo: &Demo) -> Wire {
    let mut wire = Wire::connect(&demo.addr(Port::Imap));
    assert!(wire.line().starts_with("* OK"));
    wire
}

#[test]
fn smtp_answers_every_wrong_sequence_as_the_standard_says() {
    let mut demo = Demo::start(&["--accounts", "1"]);
    for (commands, want) in [
        (vec!["RCPT TO:<u1@example.test>"], "503 5.5.1"),
        (vec!["DATA"], "503 5.5.1"),
        (
            vec!["MAIL FROM:<a@b.test>", "MAIL FROM:<a@b.test>"],
            "503 5.5.1",
        ),
        (vec!["MAIL FROM:<a@b.test>", "DATA"], "503 5.5.1"),
        (vec!["MAIL FROM:a@b.test"], "501 5.5"),
        (vec!["MAIL FROM:<a@b.test> FOO=BAR"], "555 5.5.4"),
        (vec!["MAIL FROM:<a@b.test> SIZE=x"], "501 5.5.4"),
        (vec!["MAIL FROM:<a@b.test> SIZE=99999999999"], "552 5.3.4"),
        (
            vec!["MAIL FROM:<a@b.test> SIZE=99999999999999999999999999"],
            "5",
        ),
        (vec!["MAIL FROM:<a@b.test>", "RCPT TO:<>"], "501 5.1.3"),
        (
            vec!["MAIL FROM:<a@b.test>", "RCPT TO:<nobody@example.test>"],
            "550 5.1.1",
        ),
        (
            vec!["MAIL FROM:<a@b.test>", "RCPT TO:<x@elsewhere.test>"],
            "550 5.7.1",
        ),
        (vec!["FROB"], "500 5.5.1"),
        (vec!["BDAT 5"], "503 5.5.1"),
        (vec!["VRFY u1"], "252"),
        (vec!["NOOP anything"], "250"),
        (vec!["HELP"], "214"),
        (vec!["RSET"], "250"),
    ] {
        let mut wire = smtp(&demo);
        if commands[0] == "BDAT 5" {
            wire.send("BDAT 5\r\nhello");
            assert!(wire.smtp_reply().starts_with(want), "BDAT out of sequence");
            assert!(
                wire.smtp("NOOP").starts_with("250"),
                "the chunk was swallowed"
            );
            continue;
        }
        let mut last = String::new();
        for command in &commands {
            last = wire.smtp(command);
        }
        assert!(
            last.starts_with(want),
            "{commands:?}: wanted {want}, got {last}"
        );
        assert!(
            wire.smtp("NOOP").starts_with("250"),
            "{commands:?}: the session goes on"
        );
    }
    // Before EHLO nothing but EHLO, HELO, NOOP, RSET, HELP, VRFY, QUIT.
    let mut wire = Wire::connect(&demo.addr(Port::Smtp));
    wire.smtp_reply();
    assert!(wire.smtp("MAIL FROM:<a@b.test>").starts_with("503 5.5.1"));
    assert_serves(&mut demo);
}

#[test]
fn commands_sent_behind_starttls_are_never_executed() {
    let mut demo = Demo::start(&["--accounts", "1"]);
    for (port, starttls, injected, done) in [
        (
            Port::Submission,
            "STARTTLS\r\n",
            "EHLO injected.test\r\n",
            "250",
        ),
        (Port::Smtp, "STARTTLS\r\n", "EHLO injected.test\r\n", "250"),
        (Port::Imap, "A STARTTLS\r\n", "B CAPABILITY\r\n", "B OK"),
        (Port::Pop3, "STLS\r\n", "CAPA\r\n", "+OK Cap"),
    ] {
        let mut wire = Wire::connect(&demo.addr(port));
        if matches!(port, Port::Submission | Port::Smtp) {
            wire.smtp_reply();
            let said = wire.smtp("EHLO client.test");
            assert!(said.contains("STARTTLS"), "{port:?}: {said}");
        } else {
            wire.line();
        }
        wire.send(format!("{starttls}{injected}"));
        let said = text(&wire.rest());
        assert!(!said.contains(done), "{port:?}: {said}");
    }
    assert_serves(&mut demo);
}

#[test]
fn memory_stays_bounded_whatever_is_sent_before_login() {
    let mut demo = Demo::start(&["--accounts", "1"]);
    assert_serves(&mut demo);
    let before = demo.resident_kb();
    let flood = vec![b'a'; 1 << 20];
    let mut held = Vec::new();
    for _ in 0..8 {
        // A line without an end.
        for port in [
            Port::Smtp,
            Port::Submission,
            Port::Imap,
            Port::Pop3,
            Port::Lmtp,
        ] {
            let mut wire = Wire::connect(&demo.addr(port));
            wire.line();
            for _ in 0..8 {
                if wire.try_send(&flood).is_err() {
                    break;
                }
            }
            held.push(wire);
        }
        // Literals that promise much, parentheses without end, a long ID list.
        for start in [
            "A LOGIN {1000000000}\r\n".to_owned(),
            "A LOGIN {1000000000+}\r\n".to_owned(),
            "A LOGIN {99999999999999999999999}\r\n".to_owned(),
            format!("A SEARCH {}", "(".repeat(1 << 20)),
            format!("A ID ({}", "\"a\" \"b\" ".repeat(100_000)),
            format!("A AUTHENTICATE PLAIN {}", "A".repeat(1 << 20)),
        ] {
            let mut wire = imap(&demo);
            if wire.try_send(&start).is_ok() {
                for _ in 0..8 {
                    if wire.try_send(&flood).is_err() {
                        break;
                    }
                }
            }
            held.push(wire);
        }
    }
    let after = demo.resident_kb();
    assert!(
        after < before + 64 * 1024,
        "{} MB for {} hostile connections",
        (after - before) / 1024,
        held.len()
    );
    assert_serves(&mut demo);
}

#[test]
fn bad_base64_hurts_no_other_login() {
    let mut demo = Demo::start(&["--accounts", "1"]);
    let mut others: Vec<Wire> = (0..5).map(|_| imap(&demo)).collect();
    for other in &mut others {
        other.send("A AUTHENTICATE PLAIN\r\n");
        assert!(other.line().starts_with("+ "));
    }
    for bad in [
        "!!!!",
        "=",
        "AAA",
        "AHUxQGV4YW1wbGUudGVzdABkZW1v=",
        "\u{e4}\u{e4}",
        "A\tA=",
    ] {
        let mut wire = imap(&demo);
        wire.send(format!("A AUTHENTICATE PLAIN\r\n{bad}\r\n"));
        assert!(wire.line().starts_with("+ "));
        let said = wire.line();
        assert!(said.starts_with("A BAD "), "{bad}: {said}");
        let mut wire = Wire::connect(&demo.addr(Port::Pop3));
        wire.line();
        wire.send(format!("AUTH PLAIN {bad}\r\n"));
        let said = wire.line();
        assert!(said.starts_with("-ERR"), "{bad}: {said}");
    }
    for other in &mut others {
        // u1@example.test and demo.
        other.send("AHUxQGV4YW1wbGUudGVzdABkZW1v\r\n");
        assert!(other.line().starts_with("A OK"));
    }
    assert_serves(&mut demo);
}

#[test]
fn oversize_input_gets_the_standards_error_and_the_session_goes_on() {
    let mut demo = Demo::start(&["--accounts", "1"]);
    // SMTP: a long line, then business as usual.
    let mut wire = smtp(&demo);
    wire.send(format!("NOOP {}\r\n", "x".repeat(100_000)));
    assert!(wire.smtp_reply().starts_with("500 5.5"));
    assert!(wire.smtp("NOOP").starts_with("250"));
    // SMTP: a message beyond the limit is swallowed and refused.
    wire.smtp("MAIL FROM:<a@b.test>");
    wire.smtp("RCPT TO:<u1@example.test>");
    wire.smtp("DATA");
    let line = "0123456789abcdef".repeat(60) + "\r\n";
    let block = line.repeat(1000);
    for _ in 0..56 {
        wire.send(&block);
    }
    wire.send(".\r\n");
    assert!(wire.smtp_reply().starts_with("552 5.3.4"));
    assert!(wire.smtp("NOOP").starts_with("250"));
    // IMAP: a literal too large is refused instead of awaited.
    let mut wire = Wire::imap_login(&demo.addr(Port::Imap), "u1@example.test", "demo");
    let said = text(&wire.imap("APPEND INBOX {999999999999}"));
    assert!(
        said.starts_with("T NO") || said.starts_with("T BAD"),
        "{said}"
    );
    let said = text(&wire.imap("CREATE {5000000}"));
    assert!(
        said.starts_with("T BAD") || said.starts_with("T NO"),
        "{said}"
    );
    assert!(text(&wire.imap("NOOP")).contains("T OK"));
    let said = text(&wire.imap(&format!(
        "SEARCH {}ALL{}",
        "(".repeat(5000),
        ")".repeat(5000)
    )));
    assert!(said.contains("T BAD"), "{said}");
    // POP3: a long line.
    let mut wire = Wire::connect(&demo.addr(Port::Pop3));
    wire.line();
    wire.send(format!("USER {}\r\n", "x".repeat(100_000)));
    assert!(wire.line().starts_with("-ERR"));
    assert_serves(&mut demo);
}

#[test]
fn noise_and_silence_leave_the_server_alive() {
    let mut demo = Demo::start(&["--accounts", "1"]);
    let mut state = 42u64;
    let mut held = Vec::new();
    for round in 0..20 {
        for port in EVERY_PORT {
            let mut wire = Wire::connect(&demo.addr(port));
            let noise: Vec<u8> = (0..2000 * (round + 1))
                .map(|_| {
                    state = state
                        .wrapping_mul(6364136223846793005)
                        .wrapping_add(1442695040888963407);
                    // Line ends now and then, so that the noise becomes commands.
                    match state >> 58 {
                        0 => b'\n',
                        1 => b'\r',
                        _ => (state >> 48) as u8,
                    }
                })
                .collect();
            let _ = wire.try_send(&noise);
            if round % 3 == 0 {
                wire.shut();
            }
            // Some stay open and say no more.
            if round % 3 == 1 {
                held.push(wire);
            }
        }
    }
    assert_serves(&mut demo);
    // A peer that sends one byte at a time is served all the same.
    let mut slow = Wire::connect(&demo.addr(Port::Smtp));
    slow.smtp_reply();
    for byte in b"EHLO slow.test\r\n" {
        slow.send([*byte]);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(slow.smtp_reply().starts_with("250"));
}

#[test]
fn a_peer_that_does_not_read_holds_nobody_up() {
    let mut demo = Demo::start(&["--accounts", "1"]);
    let mut wire = Wire::imap_login(&demo.addr(Port::Imap), "u1@example.test", "demo");
    let mail = format!(
        "Subject: big\r\n\r\n{}",
        ("x".repeat(78) + "\r\n").repeat(100_000)
    );
    wire.send(format!("T APPEND INBOX {{{}+}}\r\n{mail}\r\n", mail.len()));
    wire.imap_until("T ");
    let before = demo.resident_kb();
    let mut deaf = Vec::new();
    for _ in 0..10 {
        let mut wire = Wire::imap_login(&demo.addr(Port::Imap), "u1@example.test", "demo");
        wire.imap("SELECT INBOX");
        for n in 0..20 {
            wire.send(format!("A{n} FETCH 1 (BODY.PEEK[])\r\n"));
        }
        deaf.push(wire);
    }
    std::thread::sleep(Duration::from_secs(2));
    let grown = demo.resident_kb().saturating_sub(before);
    assert!(
        grown < 100 * 1024,
        "{} MB for ten deaf peers that asked for 160 MB each",
        grown / 1024
    );
    let began = Instant::now();
    assert_serves(&mut demo);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn mailbox_names_lead_nowhere() {
    let mut demo = Demo::start(&["--accounts", "1"]);
    let mut wire = Wire::imap_login(&demo.addr(Port::Imap), "u1@example.test", "demo");
    for name in [
        "../../etc/passwd",
        "..",
        ".",
        "/abs",
        "a//b",
        "a/../b",
        "",
        "a*b",
        "a%b",
        "&Jjo",
        "&AGE-",
        "a\u{7f}b",
    ] {
        let said = text(&wire.imap(&format!("CREATE \"{name}\"")));
        assert!(
            said.contains("T NO") || said.contains("T BAD"),
            "{name:?}: {said}"
        );
    }
    for name in [&b"a\0b"[..], b"a\rb", b"a\nb", b"\x01"] {
        wire.send(format!("T CREATE {{{}+}}\r\n", name.len()));
        wire.send(name);
        wire.send("\r\n");
        let said = text(&wire.imap_until("T "));
        assert!(
            said.contains("T NO") || said.contains("T BAD"),
            "{name:?}: {said}"
        );
    }
    let long = "x".repeat(5000);
    let said = text(&wire.imap(&format!("CREATE \"{long}\"")));
    assert!(
        said.contains("T NO") || said.contains("T BAD"),
        "a long name: {said}"
    );
    let deep = vec!["d"; 400].join("/");
    let said = text(&wire.imap(&format!("CREATE \"{deep}\"")));
    assert!(said.contains("T NO"), "a deep name: {said}");
    assert!(text(&wire.imap("CREATE \"ok\"")).contains("T OK"));
    assert!(
        text(&wire.imap("RENAME \"ok\" \"ok/inside\"")).contains("T NO"),
        "a mailbox cannot go into its own child"
    );
    assert!(
        text(&wire.imap("CREATE \"inbox\"")).contains("T NO"),
        "INBOX is there, in any case of letters"
    );
    assert!(text(&wire.imap("DELETE \"iNbOx\"")).contains("T NO"));
    let said = text(&wire.imap("LIST \"\" \"*\""));
    assert!(!said.contains("..") && !said.contains("passwd"), "{said}");
    assert_serves(&mut demo);
}
