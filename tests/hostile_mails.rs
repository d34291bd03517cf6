//! Mails made to hurt: each is kept byte for byte, and everything that IMAP and
//! POP3 can ask of them is answered within limits of size, memory and time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use axigen_core::mailbox::structure::{ADDRESSES, PARTS, TEXTS};
use axigen_tests::demo::{Demo, Port};
use axigen_tests::wire::Wire;

const USER: &str = "u1@example.test";

/// Longest answer about a structure: its texts, twice quoted and once more for
/// Sender and Reply-To, and what stands around each part and address.
const LONGEST: usize = 4 * TEXTS + 200 * (PARTS + ADDRESSES);
/// Longest time for one command, with a program that was not optimised.
const PATIENCE: Duration = Duration::from_secs(30);
/// Memory that may be used above what an idle server has, in KB.
const MEMORY: u64 = 400 * 1024;

fn mails() -> Vec<(&'static str, Vec<u8>)> {
    let head = "From: a@b.test\r\nSubject: hostile\r\nMIME-Version: 1.0\r\n";
    let multipart = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    let with = |more: String| format!("{head}{more}").into_bytes();
    let pieces: String = (0..100_000).map(|n| format!(";\r\n name*{n}*=x")).collect();
    let own = |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    vec![
        (
            "100,000 fields of addresses",
            with("To: a@b.test, c@d.test\r\n".repeat(100_000) + "\r\nx\r\n"),
        ),
        (
            "a field of 100,000 addresses",
            with(format!(
                "Cc: {}z@b.test\r\n\r\nx\r\n",
                "\"a\\\" b\" <a@b.test>,\r\n ".repeat(100_000)
            )),
        ),
        (
            "a field of megabytes",
            with(format!(
                "X-Long: {}\r\nKeywords: y\r\n\r\nx\r\n",
                "word\r\n ".repeat(1 << 20)
            )),
        ),
        (
            "a hundred thousand fields",
            with("X-A: b\r\n".repeat(300_000) + "\r\nx\r\n"),
        ),
        (
            "a name in 100,000 pieces",
            with(format!("Content-Type: application/x{pieces}\r\n\r\nx\r\n")),
        ),
        (
            "fifty thousand parts",
            with(format!(
                "{multipart}{}--b--\r\n",
                "--b\r\n\r\nx\r\n".repeat(50_000)
            )),
        ),
        (
            "thousands of parts with long headers",
            with(format!(
                "{multipart}{}--b--\r\n",
                format!(
                    "--b\r\nContent-Description: {}\r\n\r\nx\r\n",
                    "d".repeat(900)
                )
                .repeat(8000)
            )),
        ),
        (
            "ten thousand messages within each other",
            with("Content-Type: message/rfc822\r\n\r\n".repeat(10_000) + "x\r\n"),
        ),
        (
            "ten thousand multiparts within each other",
            with((0..10_000).map(own).collect::<String>() + "\r\nx\r\n"),
        ),
        (
            "comments that end in a backslash",
            with(format!(
                "To: a@b (c \\\r\nCc: {}\r\nContent-Type: text/plain (\\\r\nContent-Disposition: (((\\\r\n\r\nx\r\n",
                "(\\".repeat(100_000)
            )),
        ),
        (
            "words that begin and never end",
            with(format!(
                "Comments: {}\r\n\r\nx\r\n",
                "=?x?q? ".repeat(300_000)
            )),
        ),
        (
            "a subject of lists",
            format!(
                "From: a@b.test\r\nSubject: {}y\r\n\r\nx\r\n",
                "[x]".repeat(20_000)
            )
            .into_bytes(),
        ),
        (
            "a hundred thousand references",
            with(format!(
                "References: {}\r\n\r\nx\r\n",
                "<a@b.test>\r\n ".repeat(100_000)
            )),
        ),
        (
            "base64 and quoted-printable without sense",
            with(format!(
                "{multipart}--b\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{}\r\n--b--\r\n",
                "=A!=".repeat(100_000),
                "=\r\n==X".repeat(100_000)
            )),
        ),
    ]
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let made = run();
    assert!(begun.elapsed() < PATIENCE, "{what}: {:?}", begun.elapsed());
    made
}

/// The lines of a POP3 answer in several lines.
fn pop_lines(pop: &mut Wire, command: &str) -> Vec<String> {
    pop.send(format!("{command}\r\n"));
    let first = pop.line();
    assert!(first.starts_with("+OK"), "{command}: {first}");
    let mut lines = Vec::new();
    loop {
        let line = String::from_utf8_lossy(&pop.try_line().unwrap()).into_owned();
        match line.as_str() {
            ".\r\n" => return lines,
            _ => lines.push(line),
        }
    }
}

#[test]
fn all_that_can_be_asked_of_them_is_answered_within_limits() {
    let mut demo = Demo::start(&["--accounts", "1"]);
    let before = demo.peak_kb();
    let mails = mails();
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), USER, "demo");
    for (name, mail) in &mails {
        timed(name, || imap.append_bytes("INBOX", mail));
    }
    imap.ok("SELECT INBOX");
    let fields: String = (0..4000).map(|n| format!("X-Field-{n} ")).collect();
    for (n, (name, mail)) in (1..).zip(&mails) {
        for items in [
            "ENVELOPE".to_owned(),
            "BODYSTRUCTURE".to_owned(),
            "BODY".to_owned(),
            "PREVIEW".to_owned(),
            format!("BODY.PEEK[HEADER.FIELDS ({}Subject)]", fields),
        ] {
            let said = timed(name, || imap.imap(&format!("FETCH {n} ({items})")));
            assert!(said.ends_with(b"fetched\r\n"), "{name} {items}");
            assert!(said.len() <= LONGEST, "{name}: {} of {items}", said.len());
        }
        let said = timed(name, || imap.imap(&format!("FETCH {n} BODY.PEEK[]")));
        assert!(
            said.windows(mail.len()).any(|part| part == mail),
            "{name} is not what came"
        );
    }
    for search in [
        "SEARCH FROM \"a@b.test\"",
        "SEARCH CC \"nobody\"",
        "SEARCH SUBJECT \"hostile\"",
        "SEARCH HEADER Comments \"nothing\"",
        "SEARCH NOT TEXT \"no such text\"",
        "SEARCH NOT BODY \"no such text\"",
        "SEARCH SENTSINCE 1-Jan-2020",
        "SORT (SUBJECT FROM TO CC DATE) UTF-8 ALL",
        "SORT (DISPLAYFROM REVERSE DISPLAYTO) UTF-8 ALL",
        "THREAD REFERENCES UTF-8 ALL",
        "THREAD ORDEREDSUBJECT UTF-8 ALL",
    ] {
        let said = timed(search, || imap.ok(search));
        assert!(said.len() < 10_000, "{search}: {said}");
    }
    let found = imap.ok("SEARCH NOT TEXT \"no such text\"");
    let found = found
        .lines()
        .find_map(|line| line.strip_prefix("* SEARCH "));
    assert_eq!(found.unwrap().split(' ').count(), mails.len());

    let mut pop = Wire::connect(&demo.addr(Port::Pop3));
    pop.line();
    pop.send(format!("USER {USER}\r\nPASS demo\r\n"));
    assert!(pop.line().starts_with("+OK") && pop.line().starts_with("+OK"));
    assert_eq!(pop_lines(&mut pop, "UIDL").len(), mails.len());
    for (n, (name, mail)) in (1..).zip(&mails) {
        let top = timed(name, || pop_lines(&mut pop, &format!("TOP {n} 3")));
        let blank = top.iter().position(|line| line == "\r\n").unwrap();
        assert!(top.len() <= blank + 4, "{name}");
        let all = timed(name, || pop_lines(&mut pop, &format!("RETR {n}")));
        let all: usize = all.iter().map(String::len).sum();
        assert!(all >= mail.len(), "{name}: {all} of {}", mail.len());
    }
    let grown = demo.peak_kb().saturating_sub(before);
    assert!(grown < MEMORY, "{} MB", grown / 1024);
    assert!(demo.is_alive());
}
