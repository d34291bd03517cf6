//! SEARCH finds what is in the mail, exactly, whatever state its index is in:
//! not made yet, half made, killed, deleted, damaged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axigen_tests::demo::{Demo, Port, binary, signal};
use axigen_tests::served::{House, IMAP, PLAIN, SMTP};
use axigen_tests::tool;
use axigen_tests::wire::Wire;
use base64::Engine as _;
use unicode_normalization::UnicodeNormalization;

/// A mail, and what of it can be searched.
struct Mail {
    raw: String,
    subject: String,
    /// Of each part that is text, decoded.
    texts: Vec<String>,
}

fn base64(text: &[u8]) -> String {
    let coded = base64::engine::general_purpose::STANDARD.encode(text);
    let lines = coded.as_bytes().chunks(76);
    let lines: Vec<&str> = lines.map(|l| std::str::from_utf8(l).unwrap()).collect();
    lines.join("\r\n")
}

/// Quoted-printable with a soft line break every few bytes.
fn quoted(text: &[u8]) -> String {
    let mut out = String::new();
    for (at, &byte) in text.iter().enumerate() {
        if at % 15 == 14 {
            out.push_str("=\r\n");
        }
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b' ' => out.push(char::from(byte)),
            other => out.push_str(&format!("={other:02X}")),
        }
    }
    out
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(c as u32).unwrap())
        .collect()
}

fn mails() -> Vec<Mail> {
    let mut mails = Vec::new();
    let words = [
        "Donaudampfschifffahrt",
        "Größe",
        "invoice",
        "Rechnung 2026/4711",
        "Straße",
        "naïve",
        "日本語のメール",
        "Привет, мир",
        "a-b_c.d@e",
        "überprüfen Sie",
        "Überweisung",
        "42",
        "https://www.test/x?id=a81f44c0ffee99",
        "end. Begin",
        "ﬁnal",
        "x",
    ];
    for (n, word) in words.iter().enumerate() {
        let next = words[(n + 1) % words.len()];
        let text = format!("Line one of {n}: {word}\r\nand then {next}, the end\r\n");
        let subject = format!("About {word}");
        let head = format!(
            "From: sender{n}@elsewhere.test\r\nSubject: =?utf-8?B?{}?=\r\nMIME-Version: 1.0\r\n",
            base64(subject.as_bytes()).replace("\r\n", "")
        );
        let plain = "Content-Type: text/plain; charset=utf-8\r\n";
        let (body, texts) = match n % 4 {
            0 => (
                format!(
                    "{plain}Content-Transfer-Encoding: base64\r\n\r\n{}\r\n",
                    base64(text.as_bytes())
                ),
                vec![text],
            ),
            1 => (
                format!(
                    "{plain}Content-Transfer-Encoding: quoted-printable\r\n\r\n{}\r\n",
                    quoted(text.as_bytes())
                ),
                vec![text],
            ),
            2 => {
                let html = format!("<p class=\"big\">{word}</p>\r\n");
                let body = format!(
                    "Content-Type: multipart/mixed; boundary=zz\r\n\r\n--zz\r\n{plain}Content-Transfer-Encoding: 8bit\r\n\r\n{text}\r\n--zz\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--zz\r\nContent-Type: application/octet-stream; name=secret.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--zz--\r\n",
                    base64(html.as_bytes()),
                    base64(b"hiddenneedle")
                );
                (body, vec![text, html])
            }
            _ if word.chars().all(|c| (c as u32) < 256)
                && next.chars().all(|c| (c as u32) < 256) =>
            {
                (
                    format!(
                        "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{}\r\n",
                        quoted(&latin1(&text))
                    ),
                    vec![text],
                )
            }
            _ => (
                format!("{plain}Content-Transfer-Encoding: 8bit\r\n\r\n{text}"),
                vec![text],
            ),
        };
        mails.push(Mail {
            raw: format!("{head}{body}"),
            subject,
            texts,
        });
    }
    mails
}

/// What is asked for: words, parts of words, across words and lines, nothing.
const ASKED: [&str; 37] = [
    "Donau",
    "dampf",
    "SCHIFF",
    "größe",
    "gro\u{308}ße",
    "gro",
    "①",
    "GRÖSSE",
    "röß",
    "invoice",
    "nvoic",
    "4711",
    "/47",
    "2026/4711",
    "straße",
    "naïve",
    "ïv",
    "日本",
    "語の",
    "привет",
    "ПРИВЕТ, МИР",
    "b_c",
    "a-b_c.d@e",
    "überpr",
    "üfen sie",
    "Überweisung",
    "42",
    "c0ffee",
    "a81f44c0ffee99",
    "end. beg",
    "\r\nand then",
    "of 7: a",
    "ﬁn",
    "hiddenneedle",
    "class=\"big",
    "",
    "...",
];

/// A text as i;unicode-casemap compares it (RFC 5051 §2), made in another way
/// than the server does.
fn folded(text: &str) -> String {
    let capital = |c: char| {
        let mut upper = c.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(one), None) => one,
            _ => c,
        }
    };
    let capitals: String = text.chars().map(capital).collect();
    capitals.nfkd().collect()
}

/// Asks for a string in three places, and compares with what is in the mails.
/// `uids` are the mails' UIDs.
fn compare(wire: &mut Wire, mails: &[Mail], uids: &[u32], when: &str) {
    for asked in ASKED {
        let is_in = |text: &String| folded(text).contains(&folded(asked));
        let found = |yes: &dyn Fn(&Mail) -> bool| -> Vec<u32> {
            let all = mails.iter().zip(uids);
            all.filter(|(mail, _)| yes(mail))
                .map(|(_, uid)| *uid)
                .collect()
        };
        let in_body = found(&|mail| mail.texts.iter().any(is_in));
        let in_subject = found(&|mail| is_in(&mail.subject));
        assert_eq!(
            search(wire, "BODY", asked),
            in_body,
            "BODY {asked:?} {when}"
        );
        // With an empty string it is asked whether there is a subject.
        assert_eq!(
            search(wire, "SUBJECT", asked),
            in_subject,
            "SUBJECT {asked:?} {when}"
        );
        let in_text = search(wire, "TEXT", asked);
        let known: Vec<u32> = in_body.iter().chain(&in_subject).copied().collect();
        assert!(
            known.iter().all(|uid| in_text.contains(uid)),
            "TEXT {asked:?} {when}"
        );
        let not = search(wire, "NOT BODY", asked);
        let rest: Vec<u32> = uids
            .iter()
            .filter(|uid| !in_body.contains(uid))
            .copied()
            .collect();
        assert_eq!(not, rest, "NOT BODY {asked:?} {when}");
        let or = search(wire, "OR SUBJECT invoice BODY", asked);
        let either =
            found(&|mail| mail.subject.contains("invoice") || mail.texts.iter().any(is_in));
        assert_eq!(or, either, "OR {asked:?} {when}");
    }
    // What is in no text but in a header of a part.
    let name = search(wire, "TEXT", "secret.bin");
    let parts = mails
        .iter()
        .zip(uids)
        .filter(|(mail, _)| mail.raw.contains("secret.bin"));
    assert_eq!(
        name,
        parts.map(|(_, uid)| *uid).collect::<Vec<_>>(),
        "{when}"
    );
}

fn search(wire: &mut Wire, key: &str, text: &str) -> Vec<u32> {
    let said = wire.ok(&format!(
        "UID SEARCH CHARSET UTF-8 {key} {{{}+}}\r\n{text}",
        text.len()
    ));
    let line = said
        .lines()
        .find(|line| line.starts_with("* SEARCH"))
        .expect("an answer");
    let numbers = line.split_whitespace().skip(2);
    numbers.map(|number| number.parse().unwrap()).collect()
}

/// All files of the index.
fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.push(path),
        }
    }
    all
}

/// Waits until an index was made and nothing is written to it any more.
fn settled(dir: &Path) {
    let state = || -> HashMap<PathBuf, SystemTime> {
        let time = |path: PathBuf| {
            let changed = fs::metadata(&path).and_then(|meta| meta.modified()).ok()?;
            Some((path, changed))
        };
        files(dir).into_iter().filter_map(time).collect()
    };
    let begin = Instant::now();
    let mut last = (state(), Instant::now());
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let now = state();
        if now != last.0 {
            last = (now, Instant::now());
        }
        let is_made = last.0.keys().any(|path| path.ends_with("meta.json"));
        if is_made && last.1.elapsed() > Duration::from_millis(1500) {
            return;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "no index is made"
        );
    }
}

fn alice(demo: &Demo) -> Wire {
    let mut wire = Wire::imap_login(&demo.addr(Port::Imap), "alice@example.test", "demo");
    wire.ok("SELECT INBOX");
    wire
}

#[test]
fn searches_are_exact_whatever_happens_to_the_index() {
    let mut demo = Demo::start(&[]);
    let index = demo.dir().join("search");
    let mails = mails();
    let mut wire = alice(&demo);
    // The demo's own mails are not ours.
    wire.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)");
    wire.ok("EXPUNGE");
    for mail in &mails {
        let said = Wire::deliver(
            &demo.addr(Port::Smtp),
            "alice@example.test",
            mail.raw.trim_end_matches("\r\n"),
        );
        assert!(said.starts_with("250"), "{said}");
    }
    let mut wire = alice(&demo);
    let uids = search(&mut wire, "ALL TEXT", "");
    assert_eq!(uids.len(), mails.len());
    compare(&mut wire, &mails, &uids, "before there is an index");
    settled(&index);
    compare(&mut wire, &mails, &uids, "with the index");

    demo.kill();
    demo.restart();
    compare(&mut alice(&demo), &mails, &uids, "after kill -9");

    // Cut short under the running server, then found by it or at the start.
    for path in files(&index) {
        let length = fs::metadata(&path).unwrap().len();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_len(length / 2).unwrap();
    }
    compare(&mut alice(&demo), &mails, &uids, "with its files cut short");
    demo.kill();
    demo.restart();
    compare(
        &mut alice(&demo),
        &mails,
        &uids,
        "after its files were cut short",
    );
    settled(&index);
    compare(&mut alice(&demo), &mails, &uids, "built anew");

    for path in files(&index) {
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().step_by(97).for_each(|byte| *byte ^= 0x41);
        fs::write(&path, bytes).unwrap();
    }
    demo.kill();
    demo.restart();
    compare(
        &mut alice(&demo),
        &mails,
        &uids,
        "after its bytes were changed",
    );
    settled(&index);

    // Gone under the running server: what comes is found, and the index comes back.
    fs::remove_dir_all(&index).unwrap();
    compare(&mut alice(&demo), &mails, &uids, "without its files");
    let extra = "Subject: one more\r\n\r\nA latecomer\r\n";
    Wire::deliver(&demo.addr(Port::Smtp), "alice@example.test", extra);
    let mut wire = alice(&demo);
    let last = search(&mut wire, "BODY", "latecom");
    assert_eq!(last.len(), 1);
    settled(&index);
    wire.ok(&format!("UID STORE {} +FLAGS.SILENT (\\Deleted)", last[0]));
    wire.ok("EXPUNGE");
    compare(&mut wire, &mails, &uids, "after it came back");

    // By hand; a repair makes an index of other mail of it.
    assert!(demo.stop().success());
    let mut repair = std::process::Command::new(binary());
    repair.args(["store", "repair", "--dir"]).arg(demo.dir());
    tool::finish(repair, b"").ok();
    demo.restart();
    compare(&mut alice(&demo), &mails, &uids, "after store repair");
    assert!(demo.stop().success());
    let mut reindex = std::process::Command::new(binary());
    reindex.args(["store", "reindex", "--dir"]).arg(demo.dir());
    let said = tool::finish(reindex, b"").ok();
    assert!(said.text.contains("messages indexed"), "{}", said.text);
    demo.restart();
    compare(&mut alice(&demo), &mails, &uids, "after store reindex");
}

#[test]
fn reindex_makes_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let mut reindex = std::process::Command::new(binary());
    reindex.args(["store", "reindex", "--dir"]).arg(dir.path());
    tool::finish(reindex, b"").refused(&["there is no store"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Delivers until told to stop or the server is gone; what got its 250.
fn deliver(addr: &str, sender: usize, round: usize, stop: &AtomicBool, done: &Mutex<Vec<String>>) {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let token = format!("token{}", ["alpha", "beta", "gamma", "delta"][sender]);
        let token = format!("{token}{}", "xy".repeat(round + 1)) + &letters(n);
        let body = base64(format!("All have common words, and one has {token} too\r\n").as_bytes());
        let text = format!("Subject: s\r\nContent-Transfer-Encoding: base64\r\n\r\n{body}");
        let sent = std::panic::catch_unwind(|| {
            Wire::deliver(addr, "alice@example.test", &text).starts_with("250")
        });
        match sent {
            Ok(true) => done.lock().unwrap().push(token),
            _ => return,
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A number in letters, so that it is a word of the dictionary.
fn letters(mut n: usize) -> String {
    let mut text = String::from("z");
    while n > 0 {
        text.push(char::from(b'a' + (n % 20) as u8));
        n /= 20;
    }
    text + "z"
}

#[test]
fn kill_9_while_it_is_made_hides_no_message() {
    const ROUNDS: usize = 8;
    let house = House::with(&format!("{PLAIN}\n[search]\nbatch = 3\ndelay = \"0s\"\n"));
    house.add("alice@example.test", "secret");
    let index = house.store().join("search");
    let mut promised: Vec<String> = Vec::new();
    for round in 0..ROUNDS {
        let mut served = house.serve();
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let (addr, stop, done) = (house.addr(SMTP), stop.clone(), Arc::clone(&done));
                std::thread::spawn(move || deliver(&addr, sender, round, &stop, &done))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300 + 170 * round as u64));
        signal(served.pid(), "KILL");
        stop.store(true, Ordering::Relaxed);
        for sender in senders {
            sender.join().unwrap();
        }
        drop(served.ended());
        promised.append(&mut done.lock().unwrap());

        let mut served = house.serve();
        if round % 2 == 1 {
            settled(&index);
        }
        let mut wire = Wire::imap_login(&house.addr(IMAP), "alice@example.test", "secret");
        wire.ok("SELECT INBOX");
        // Not a matter of words.
        let all = search(&mut wire, "ALL SUBJECT", "");
        assert_eq!(search(&mut wire, "BODY", "ve common word"), all);
        for token in promised.iter().rev().take(60) {
            let found = search(&mut wire, "BODY", &token[2..]);
            assert_eq!(found.len(), 1, "{token} in round {round}");
        }
        served.signal("TERM");
        assert!(served.ended().0.success());
    }
    assert!(
        promised.len() > 50,
        "only {} were delivered",
        promised.len()
    );
    println!("{} mails, killed {ROUNDS} times", promised.len());
}
