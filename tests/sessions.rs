//! Several sessions on one mailbox of the real server: what each is told of
//! the others' changes, and when; full accounts; the maildrop's lock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axigen_tests::demo::{Demo, Port};
use axigen_tests::served::House;
use axigen_tests::wire::Wire;

const USER: &str = "u1@example.test";

fn server() -> Demo {
    Demo::start(&["--accounts", "2"])
}

fn login(demo: &Demo) -> Wire {
    Wire::imap_login(&demo.addr(Port::Imap), USER, "demo")
}

fn selected(demo: &Demo) -> Wire {
    let mut imap = login(demo);
    imap.ok("SELECT INBOX");
    imap
}

#[track_caller]
fn append(imap: &mut Wire, subject: &str) {
    let said = imap.append(
        "INBOX",
        "",
        &format!("Subject: {subject}\r\n\r\n{subject}\r\n"),
    );
    assert!(said.contains("T OK [APPENDUID"), "{said}");
}

/// The number behind a word of an answer.
fn number(said: &str, word: &str) -> u32 {
    let at = said
        .find(word)
        .unwrap_or_else(|| panic!("no {word}: {said}"))
        + word.len();
    let digits = said[at..]
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().unwrap()
}

/// The UIDs a session sees, in order.
fn uids(imap: &mut Wire) -> Vec<u32> {
    let said = imap.ok("UID SEARCH ALL");
    let line = said.lines().find_map(|line| line.strip_prefix("* SEARCH"));
    let words = line.unwrap_or_default().split_whitespace();
    words.map(|uid| uid.parse().unwrap()).collect()
}

/// A change made by somebody else, and the line an idle session reads of it.
type Change = (&'static str, &'static str, fn(&Demo, &mut Wire));

/// What can happen to a mailbox that begins with two messages.
const CHANGES: [Change; 8] = [
    ("SMTP", "* 3 EXISTS", |demo, _| {
        let reply = Wire::deliver(&demo.addr(Port::Smtp), USER, "Subject: x\r\n\r\nx");
        assert!(reply.starts_with("250"), "{reply}");
    }),
    ("LMTP", "* 3 EXISTS", |demo, _| {
        let replies = transaction(&demo.addr(Port::Lmtp), "LHLO", "", &[USER], "Subject: x");
        assert!(replies[0].starts_with("250"), "{replies:?}");
    }),
    ("APPEND", "* 3 EXISTS", |_, imap| append(imap, "third")),
    ("COPY", "* 3 EXISTS", |_, imap| {
        drop(imap.ok("COPY 1 INBOX"))
    }),
    ("STORE", "* 2 FETCH", |_, imap| {
        drop(imap.ok("STORE 2 +FLAGS.SILENT (\\Flagged)"));
    }),
    ("EXPUNGE", "* 1 EXPUNGE", |_, imap| {
        imap.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
        imap.ok("EXPUNGE");
    }),
    ("UID MOVE", "* 2 EXPUNGE", |_, imap| {
        let uids = uids(imap);
        imap.ok(&format!("UID MOVE {} Trash", uids[1]));
    }),
    ("POP3", "* 2 EXPUNGE", |demo, _| {
        let mut pop = maildrop(demo).0;
        pop.send("DELE 2\r\nQUIT\r\n");
        assert!(pop.line().starts_with("+OK") && pop.line().starts_with("+OK"));
    }),
];

/// Each change is told to sessions that idle, plain and TLS. How soon is the
/// best of a few: a session that looked only now and then would be late each
/// time, a busy machine is not.
#[test]
fn idle_wakes_at_once() {
    const ROUNDS: usize = 4;
    let demo = server();
    let mut best = BTreeMap::new();
    for _ in 0..ROUNDS {
        for (what, want, change) in CHANGES {
            let mut other = selected(&demo);
            if !uids(&mut other).is_empty() {
                other.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)");
                other.ok("EXPUNGE");
            }
            append(&mut other, "first");
            append(&mut other, "second");
            let tls = Wire::connect_tls(&demo.addr(Port::ImapTls));
            let mut watchers = [selected(&demo), tls];
            watchers[1].line();
            watchers[1].ok(&format!("LOGIN {USER} demo"));
            watchers[1].ok("SELECT INBOX");
            for watcher in &mut watchers {
                watcher.send("W IDLE\r\n");
                assert!(watcher.line().starts_with('+'));
            }
            change(&demo, &mut other);
            let changed = Instant::now();
            let mut late = Duration::ZERO;
            for watcher in &mut watchers {
                watcher.imap_until(want);
                late = late.max(changed.elapsed());
            }
            let best = best.entry(what).or_insert(late);
            *best = late.min(*best);
            for watcher in &mut watchers {
                watcher.send("DONE\r\n");
                let said = watcher.imap_until("W ");
                assert!(String::from_utf8_lossy(&said).contains("W OK"));
            }
        }
    }
    println!("told after, at best: {best:?}");
    assert_eq!(best.len(), CHANGES.len());
    for (what, late) in best {
        assert!(late < Duration::from_millis(100), "{what} after {late:?}");
    }
}

/// RFC 9051 §7.5.1: no EXPUNGE while FETCH, STORE or SEARCH run, for their
/// numbers would change, and none when no command runs.
#[test]
fn expunge_waits_for_its_moment() {
    let demo = server();
    for (command, may_tell) in [
        ("FETCH 1 (FLAGS)", false),
        ("STORE 1 +FLAGS (\\Seen)", false),
        ("STORE 1 +FLAGS.SILENT (\\Seen)", false),
        ("SEARCH ALL", false),
        ("UID FETCH 1:* (FLAGS)", true),
        ("UID STORE 1:* +FLAGS (\\Seen)", true),
        ("UID SEARCH ALL", true),
        ("NOOP", true),
        ("CHECK", true),
        ("COPY 1 Trash", true),
        ("STATUS Trash (MESSAGES)", true),
        ("EXPUNGE", true),
        ("CREATE x", true),
        ("DELETE x", true),
    ] {
        let mut one = selected(&demo);
        for n in 1..=3 {
            append(&mut one, &format!("mail {n}"));
        }
        one.ok("NOOP");
        let mut two = selected(&demo);
        one.ok("STORE 2 +FLAGS.SILENT (\\Deleted)");
        two.ok("NOOP");
        one.ok("EXPUNGE");
        assert!(
            two.is_silent(Duration::from_millis(20)),
            "told without a command"
        );
        let said = two.ok(command);
        assert_eq!(said.contains("* 2 EXPUNGE"), may_tell, "{command}: {said}");
        let later = two.ok("NOOP");
        assert_eq!(
            later.contains("* 2 EXPUNGE"),
            !may_tell,
            "{command}: {later}"
        );
        one.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)");
        one.ok("EXPUNGE");
    }
}

/// What is gone and not yet told is not mistaken for what came after it.
#[test]
fn numbers_hold_until_the_client_is_told() {
    let demo = server();
    let mut one = selected(&demo);
    for n in 1..=5 {
        append(&mut one, &format!("mail {n}"));
    }
    let mut two = selected(&demo);
    one.ok("STORE 2,4 +FLAGS (\\Deleted)");
    one.ok("EXPUNGE");
    append(&mut one, "mail 6");
    let fetched = two.ask("FETCH 1:5 (UID RFC822.SIZE)");
    assert!(!fetched.contains(" EXPUNGE\r\n"), "{fetched}");
    assert!(fetched.contains("T NO [EXPUNGEISSUED]"), "{fetched}");
    assert!(fetched.contains("* 5 FETCH (UID 5 "), "{fetched}");
    let stored = two.ask("STORE 5 +FLAGS (\\Seen)");
    assert!(stored.contains("* 5 FETCH (FLAGS (\\Seen"), "{stored}");
    let stored = two.ask("STORE 4 +FLAGS (\\Seen)");
    assert!(stored.contains("T NO [EXPUNGEISSUED]"), "{stored}");
    let noop = two.ok("NOOP");
    // From the end, so each number is the one the client knows.
    let told: Vec<&str> = noop
        .lines()
        .filter(|line| line.ends_with("EXPUNGE"))
        .collect();
    assert_eq!(told, ["* 4 EXPUNGE", "* 2 EXPUNGE"], "{noop}");
    assert_eq!(uids(&mut two), [1, 3, 5, 6]);
    let seen = one.ok("UID SEARCH SEEN");
    assert!(seen.contains("* SEARCH 5\r\n"), "{seen}");
}

/// What a client knows that only listens: UID and flags by number.
#[derive(Default)]
struct Mirror(Vec<(Option<u32>, String)>);

impl Mirror {
    /// Reads up to the line that begins with `end`.
    fn follow(&mut self, imap: &mut Wire, end: &str) {
        let said = String::from_utf8(imap.imap_until(end)).unwrap();
        for line in said.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            let [_, number, what, rest @ ..] = words.as_slice() else {
                continue;
            };
            let Ok(number) = number.parse::<usize>() else {
                continue;
            };
            match *what {
                "EXISTS" => {
                    assert!(number >= self.0.len(), "EXISTS takes messages away: {line}");
                    self.0.resize(number, (None, String::new()));
                }
                "EXPUNGE" => drop(self.0.remove(number - 1)),
                "FETCH" => {
                    let entry = &mut self.0[number - 1];
                    let uid = crate::number(rest[0], "UID ");
                    assert!(
                        entry.0.is_none_or(|known| known == uid),
                        "{line}: was {entry:?}"
                    );
                    *entry = (Some(uid), flags(rest[0]));
                }
                _ => {}
            }
        }
    }
}

/// The flags of a FETCH response, in order, `\Recent` left out: one session
/// alone is told of it.
fn flags(fetch: &str) -> String {
    let (_, rest) = fetch.split_once("FLAGS (").unwrap();
    let (list, _) = rest.split_once(')').unwrap();
    let mut list: Vec<&str> = list
        .split_whitespace()
        .filter(|flag| *flag != "\\Recent")
        .collect();
    list.sort_unstable();
    list.join(" ")
}

/// Whatever others do, a session that only follows what it is told knows the
/// mailbox as it is.
#[test]
fn who_listens_knows_the_mailbox() {
    let demo = server();
    let mut imap = selected(&demo);
    imap.ok("CREATE Other");
    append(&mut imap, "first");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for worker in 0..3u64 {
            let (demo, stop) = (&demo, &stop);
            scope.spawn(move || {
                let mut random = 0x9e37_79b9_7f4a_7c15 ^ worker;
                let mut next = |below: u64| {
                    random = u64::wrapping_mul(random, 6364136223846793005).wrapping_add(1);
                    (random >> 33) % below
                };
                let mut imap = selected(demo);
                while !stop.load(Ordering::Relaxed) {
                    let all = uids(&mut imap);
                    let some = |n: u64| match all.get(n as usize % all.len().max(1)) {
                        Some(uid) => uid.to_string(),
                        None => "1".into(),
                    };
                    let (low, high) = (some(next(1000)), some(next(1000)));
                    let command = match next(9) {
                        0 | 1 => {
                            append(&mut imap, "another");
                            continue;
                        }
                        2 => format!("UID STORE {low}:{high} FLAGS (\\Seen k{worker})"),
                        3 => format!("UID STORE {low} +FLAGS (\\Flagged)"),
                        4 => format!("UID STORE {low} +FLAGS.SILENT (\\Deleted)"),
                        5 => "EXPUNGE".into(),
                        6 => format!("UID COPY {low} INBOX"),
                        7 => format!("UID MOVE {low}:{high} Other"),
                        _ => "NOOP".into(),
                    };
                    // Somebody else may have been faster; no answer is a BAD.
                    let said = imap.ask(&command);
                    let last = said.lines().last().unwrap();
                    assert!(
                        last.starts_with("T OK") || last.starts_with("T NO"),
                        "{command}: {said}"
                    );
                }
            });
        }
        let mut mirror = Mirror::default();
        let mut watcher = login(&demo);
        watcher.send("A SELECT INBOX\r\n");
        mirror.follow(&mut watcher, "A OK");
        watcher.send("A UID FETCH 1:* (FLAGS)\r\n");
        mirror.follow(&mut watcher, "A OK");
        let until = Instant::now() + Duration::from_secs(4);
        let mut round = 0;
        while Instant::now() < until {
            round += 1;
            match round % 4 {
                0 => {
                    watcher.send("A NOOP\r\n");
                    mirror.follow(&mut watcher, "A OK");
                }
                // Answered NO when some of them are gone already.
                1 => {
                    watcher.send("A FETCH 1:* (UID FLAGS)\r\n");
                    mirror.follow(&mut watcher, "A ");
                }
                _ => {
                    watcher.send("A IDLE\r\n");
                    watcher.imap_until("+");
                    std::thread::sleep(Duration::from_millis(50));
                    watcher.send("DONE\r\n");
                    mirror.follow(&mut watcher, "A OK");
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        println!("{round} rounds");
        // Let them finish what they do.
        let mut truth = Vec::new();
        for attempt in 0.. {
            std::thread::sleep(Duration::from_millis(200));
            watcher.send("A UID FETCH 1:* (FLAGS)\r\n");
            mirror.follow(&mut watcher, "A OK");
            let said = selected(&demo).ok("UID FETCH 1:* (FLAGS)");
            truth = said
                .lines()
                .filter(|line| line.contains(" FETCH ("))
                .map(|line| (Some(number(line, "UID ")), flags(line)))
                .collect();
            if truth == mirror.0 || attempt > 20 {
                break;
            }
        }
        assert!(
            number(&selected(&demo).ok("STATUS INBOX (UIDNEXT)"), "UIDNEXT ") > 20,
            "nothing was done"
        );
        assert_eq!(mirror.0, truth);
    });
}

#[test]
fn copies_and_moves_are_whole_and_seen_by_others() {
    let demo = server();
    let mut one = selected(&demo);
    one.ok("CREATE Work");
    let message = "Subject: moved\r\n\r\nbody\r\n";
    let said = one.ask(&format!(
        "APPEND INBOX (\\Flagged $Work) \"21-Feb-2026 10:11:12 +0300\" {{{}+}}\r\n{message}",
        message.len()
    ));
    assert!(said.contains("T OK"), "{said}");
    let mut there = login(&demo);
    there.ok("SELECT Work");
    let said = one.ok("UID COPY 1 Work");
    let validity = number(&said, "[COPYUID ");
    assert!(
        said.contains(&format!("[COPYUID {validity} 1 1]")),
        "{said}"
    );
    assert!(there.ok("NOOP").contains("* 1 EXISTS"));
    let mut idle = selected(&demo);
    let said = one.ok("UID MOVE 1 Work");
    // RFC 6851 §4.3: COPYUID before EXPUNGE.
    let copied = said
        .find(&format!("* OK [COPYUID {validity} 1 2]"))
        .expect(&said);
    assert!(copied < said.find("* 1 EXPUNGE").expect(&said), "{said}");
    assert!(idle.ok("NOOP").contains("* 1 EXPUNGE"));
    assert!(there.ok("NOOP").contains("* 2 EXISTS"));
    for uid in [1, 2] {
        let said = there.ok(&format!("UID FETCH {uid} (FLAGS INTERNALDATE BODY.PEEK[])"));
        for part in [
            "\\Flagged",
            "$Work",
            "\"21-Feb-2026 10:11:12 +0300\"",
            message,
        ] {
            assert!(said.contains(part), "{uid}: {said}");
        }
    }
    assert!(uids(&mut one).is_empty());
}

/// Two sessions move the same messages at the same moment: each arrives once.
#[test]
fn a_message_is_moved_once() {
    const ROUNDS: usize = 15;
    let demo = server();
    let mut imap = selected(&demo);
    imap.ok("CREATE Work");
    for _ in 0..ROUNDS {
        for n in 0..3 {
            append(&mut imap, &format!("mail {n}"));
        }
        let together = Barrier::new(2);
        let told: Vec<String> = std::thread::scope(|scope| {
            let move_all = || {
                let mut imap = selected(&demo);
                together.wait();
                imap.ask("MOVE 1:3 Work")
            };
            let both = [scope.spawn(move_all), scope.spawn(move_all)];
            both.map(|thread| thread.join().unwrap()).into()
        });
        let moved: usize = told.iter().filter(|said| said.contains("[COPYUID")).count();
        assert!(moved >= 1, "{told:?}");
        imap.ok("NOOP");
        assert!(uids(&mut imap).is_empty(), "{told:?}");
    }
    imap.ok("SELECT Work");
    assert_eq!(uids(&mut imap).len(), 3 * ROUNDS);
}

#[test]
fn a_mailbox_that_goes_away_and_comes_back_is_another() {
    let demo = server();
    let mut one = login(&demo);
    one.ok("CREATE Work");
    let message = "Subject: x\r\n\r\nx\r\n";
    assert!(one.append("Work", "", message).contains("T OK"));
    let mut two = login(&demo);
    let before = number(&two.ok("SELECT Work"), "UIDVALIDITY ");
    let mut idle = login(&demo);
    idle.ok("SELECT Work");
    idle.send("W IDLE\r\n");
    assert!(idle.line().starts_with('+'));
    one.ok("DELETE Work");
    one.ok("CREATE Work");
    let after = number(&one.ok("STATUS Work (UIDVALIDITY)"), "UIDVALIDITY ");
    assert!(after > before, "{after} > {before}");
    assert!(one.append("Work", "", message).contains("T OK"));
    // Whoever had the old one open never sees the new one's messages under
    // the old one's name.
    for imap in [&mut two, &mut idle] {
        if let Some(line) = imap
            .is_silent(Duration::from_millis(50))
            .then_some("T NOOP\r\n")
        {
            imap.send(line);
        } else {
            imap.send("DONE\r\nT NOOP\r\n");
        }
        let said = String::from_utf8_lossy(&imap.imap_until("T ")).into_owned();
        assert!(said.contains("[CLOSED]"), "{said}");
        assert!(
            !said.contains("EXISTS") && !said.contains("FETCH"),
            "{said}"
        );
        let said = imap.ask("FETCH 1 (UID)");
        assert!(said.starts_with("T BAD"), "{said}");
        assert_eq!(number(&imap.ok("SELECT Work"), "UIDVALIDITY "), after);
    }
    // A name that is left and taken again is another mailbox too.
    one.ok("RENAME Work Old");
    one.ok("CREATE Work");
    let third = number(&one.ok("STATUS Work (UIDVALIDITY)"), "UIDVALIDITY ");
    assert!(third > after, "{third} > {after}");
    assert_eq!(
        number(&one.ok("STATUS Old (UIDVALIDITY)"), "UIDVALIDITY "),
        after
    );
}

/// A transaction by hand: the replies to RCPT that are not 250, then those to
/// the message, if it was sent.
fn transaction(addr: &str, hello: &str, mail: &str, to: &[&str], message: &str) -> Vec<String> {
    let mut smtp = Wire::connect(addr);
    smtp.smtp_reply();
    smtp.smtp(&format!("{hello} client.test"));
    let reply = smtp.smtp(&format!("MAIL FROM:<someone@elsewhere.test>{mail}"));
    assert!(reply.starts_with("250"), "{reply}");
    let replies: Vec<String> = to
        .iter()
        .map(|to| smtp.smtp(&format!("RCPT TO:<{to}>")))
        .collect();
    let (taken, mut replies): (Vec<String>, _) = replies
        .into_iter()
        .partition(|reply| reply.starts_with("250"));
    if !taken.is_empty() {
        assert!(smtp.smtp("DATA").starts_with("354"));
        smtp.send(format!("{message}\r\n.\r\n"));
        let answers = if hello == "LHLO" { taken.len() } else { 1 };
        replies.extend((0..answers).map(|_| smtp.smtp_reply()));
    }
    replies
}

const FULL: &str = r#"
hostname = "mail.example.test"
[accounts]
quota = "4KB"
[smtp_in]
enable = true
[[smtp_in.listeners]]
address = "127.0.0.1:PORT+2525"
tls = "none"
[lmtp]
enable = true
[[lmtp.listeners]]
address = "127.0.0.1:PORT+2424"
tls = "none"
[imap]
enable = true
[[imap.listeners]]
address = "127.0.0.1:PORT+2143"
tls = "none"
plaintext_login = true
"#;

#[test]
fn an_account_that_is_full_says_so_everywhere() {
    let small = "Subject: small\r\n\r\nx";
    let big = format!("Subject: big\r\n\r\n{}", "0123456789abcdef\r\n".repeat(300));
    for (how, over) in [
        ("", "452 4.2.2"),
        ("over_quota = \"refuse\"\n", "552 5.2.2"),
    ] {
        let house = House::with(&FULL.replace("[smtp_in]\n", &format!("{how}[smtp_in]\n")));
        for user in ["u1", "u2", "u3"] {
            house.add(&format!("{user}@example.test"), "demo");
        }
        house
            .run(&["account", "set", "u3@example.test", "quota", "0"])
            .ok();
        let mut served = house.serve();
        let (smtp, lmtp) = (house.addr(2525), house.addr(2424));
        let one = |mail: &str, to: &[&str], message: &str| {
            let replies = transaction(&smtp, "EHLO", mail, to, message);
            replies.into_iter().next().unwrap()
        };
        // At RCPT, when the client says how large it is; else at the end.
        assert!(one(" SIZE=5000", &[USER], &big).starts_with(over));
        assert!(one("", &[USER], &big).starts_with(over));
        assert!(one(" SIZE=5000", &["u3@example.test"], &big).starts_with("250"));
        // LMTP: each for himself.
        let to = [USER, "u2@example.test", "u3@example.test"];
        let replies = transaction(&lmtp, "LHLO", "", &to, &big);
        let firsts: Vec<&str> = replies.iter().map(|reply| &reply[..9]).collect();
        assert_eq!(firsts, [over, over, "250 2.0.0"]);
        let mut imap = Wire::imap_login(&house.addr(2143), USER, "demo");
        let said = imap.append("INBOX", "", &big);
        assert!(said.contains("T NO [OVERQUOTA]"), "{said}");
        imap.send(format!("T APPEND INBOX {{{}}}\r\n", big.len()));
        assert!(
            imap.line().starts_with("T NO [OVERQUOTA]"),
            "before the message comes"
        );
        assert!(imap.ok("STATUS INBOX (MESSAGES)").contains("MESSAGES 0"));
        // What fits goes in, until it no longer does: at RCPT, and for a copy.
        let mut replies = (0..200).map(|_| one("", &[USER], small));
        let refused = replies.find(|reply| !reply.starts_with("250"));
        assert!(refused.unwrap().starts_with(over));
        assert!(one(" SIZE=4000", &[USER], small).starts_with(over));
        imap.ok("SELECT INBOX");
        let count = uids(&mut imap).len();
        assert!(count > 3, "{count}");
        let said = imap.ask("COPY 1:* INBOX");
        assert!(said.contains("T NO [OVERQUOTA]"), "{said}");
        assert_eq!(uids(&mut imap).len(), count, "half a copy");
        // A move needs no room, and what is expunged makes some.
        imap.ok("MOVE 1 Trash");
        imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)");
        imap.ok("EXPUNGE");
        assert!(one("", &[USER], small).starts_with("250"));
        served.signal("TERM");
        assert!(served.ended().0.success());
    }
}

/// A POP3 session of [`USER`], and the answer to its login.
fn maildrop(demo: &Demo) -> (Wire, String) {
    let mut pop = Wire::connect(&demo.addr(Port::Pop3));
    assert!(pop.line().starts_with("+OK"));
    pop.send(format!("USER {USER}\r\nPASS demo\r\n"));
    assert!(pop.line().starts_with("+OK"));
    let answer = pop.line();
    (pop, answer)
}

#[test]
fn a_maildrop_is_locked_and_emptied_at_quit_only() {
    let demo = server();
    let mut imap = selected(&demo);
    for subject in ["one", "two", "three"] {
        append(&mut imap, subject);
    }
    let (mut first, answer) = maildrop(&demo);
    assert!(answer.starts_with("+OK 3"), "{answer}");
    let (_, answer) = maildrop(&demo);
    assert!(answer.starts_with("-ERR [IN-USE]"), "{answer}");
    let mut say = |command: &str| {
        first.send(format!("{command}\r\n"));
        first.line()
    };
    assert!(say("DELE 1").starts_with("+OK"));
    assert!(say("RETR 1").starts_with("-ERR"));
    assert!(say("STAT").starts_with("+OK 2 "));
    // Others still see it, and a mail that comes now is not in this maildrop.
    assert_eq!(uids(&mut imap).len(), 3);
    append(&mut imap, "four");
    assert!(say("STAT").starts_with("+OK 2 "));
    // Gone without QUIT: nothing is deleted (RFC 1939 §3).
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut second = loop {
        let (pop, answer) = maildrop(&demo);
        if answer.starts_with("+OK 4") {
            break pop;
        }
        assert!(
            answer.starts_with("-ERR [IN-USE]") && Instant::now() < deadline,
            "{answer}"
        );
    };
    let mut say = |command: &str| {
        second.send(format!("{command}\r\n"));
        second.line()
    };
    assert!(say("DELE 1").starts_with("+OK"));
    assert!(say("DELE 2").starts_with("+OK"));
    assert!(say("RSET").starts_with("+OK"));
    assert!(say("DELE 3").starts_with("+OK"));
    // Somebody else expunges one of them: the others keep their numbers.
    imap.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    imap.ok("EXPUNGE");
    assert!(say("RETR 1").starts_with("-ERR"));
    assert!(say("LIST 4").starts_with("+OK 4 "));
    assert!(say("QUIT").starts_with("+OK"));
    let left: BTreeSet<u32> = login(&demo)
        .imap_messages("INBOX")
        .into_iter()
        .map(|(uid, _)| uid)
        .collect();
    assert_eq!(left, BTreeSet::from([2, 4]));
    // The maildrop is free as soon as QUIT is answered.
    let (_, answer) = maildrop(&demo);
    assert!(answer.starts_with("+OK 2"), "{answer}");
}

/// RFC 9051 §6.3.3: a mailbox opened with EXAMINE is changed by nothing.
#[test]
fn who_examines_changes_nothing() {
    let demo = server();
    let mut one = selected(&demo);
    append(&mut one, "mail");
    one.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    let mut two = login(&demo);
    assert!(two.ok("EXAMINE INBOX").contains("[READ-ONLY]"));
    for command in [
        "STORE 1 +FLAGS (\\Seen)",
        "EXPUNGE",
        "MOVE 1 Trash",
        "UID EXPUNGE 1",
    ] {
        let said = two.ask(command);
        assert!(said.contains("T NO"), "{command}: {said}");
    }
    two.ok("FETCH 1 (BODY[])");
    two.ok("COPY 1 Trash");
    two.ok("CLOSE");
    let said = one.ok("FETCH 1 (FLAGS)");
    assert!(
        !said.contains("\\Seen") && said.contains("\\Deleted"),
        "{said}"
    );
    assert_eq!(uids(&mut one).len(), 1);
}

/// A keyword is told before it is shown (RFC 3501 §7.2.6): first to the
/// session that made it, then to the others, each once.
#[test]
fn keywords_are_told_before_they_are_shown() {
    let demo = server();
    let mut one = selected(&demo);
    append(&mut one, "first");
    append(&mut one, "second");
    one.ok("NOOP");
    let mut two = selected(&demo);
    two.ok("ENABLE QRESYNC");
    let mut three = login(&demo);
    three.ok("EXAMINE INBOX");
    let place = |said: &str, word: &str| {
        said.find(word)
            .unwrap_or_else(|| panic!("no {word}: {said}"))
    };
    for (word, command) in [
        ("$stored", "STORE 1 +FLAGS ($stored)"),
        ("$silent", "STORE 1 +FLAGS.SILENT ($silent)"),
        ("$second", "UID STORE 2 +FLAGS ($second)"),
    ] {
        let said = one.ok(command);
        let flags = place(&said, "* FLAGS (");
        assert!(place(&said, "[PERMANENTFLAGS (") > flags, "{said}");
        assert!(place(&said, word) > flags, "{said}");
        if let Some(shown) = said.find("FETCH (") {
            assert!(shown > place(&said, "[PERMANENTFLAGS ("), "{said}");
        }
        assert!(!one.ok(command).contains("* FLAGS"), "told twice");
    }
    for other in [&mut two, &mut three] {
        let said = other.ok("NOOP");
        let flags = place(&said, "* FLAGS (");
        for word in ["$stored", "$silent", "$second"] {
            assert!(place(&said, word) > flags, "{said}");
        }
        assert!(place(&said, "FETCH (") > flags, "{said}");
        assert!(!other.ok("FETCH 1:* FLAGS").contains("* FLAGS"));
    }
    // Nothing can be kept in a mailbox that is only looked at.
    one.ok("STORE 2 +FLAGS ($third)");
    let said = three.ok("FETCH 2 FLAGS");
    assert!(place(&said, "FETCH (") > place(&said, "* FLAGS ("));
    assert!(!said.contains("PERMANENTFLAGS"), "{said}");
}

/// RFC 2180 §4.1: a message that is gone for others is still counted here. Its
/// UID is known; what is not is refused, and the rest shown.
#[test]
fn messages_that_are_gone_but_not_yet_told() {
    let demo = server();
    let mut one = selected(&demo);
    for subject in ["first", "second", "third"] {
        append(&mut one, subject);
    }
    one.ok("NOOP");
    let mut two = selected(&demo);
    one.ok("STORE 2 +FLAGS (\\Deleted)");
    one.ok("EXPUNGE");
    let said = two.ok("FETCH 1:3 UID");
    for seq in 1..=3 {
        assert!(
            said.contains(&format!("* {seq} FETCH (UID {seq})")),
            "{said}"
        );
    }
    let said = two.ask("FETCH 1:3 (UID FLAGS)");
    assert!(said.contains("NO [EXPUNGEISSUED]"), "{said}");
    assert!(said.contains("* 1 FETCH (") && said.contains("* 3 FETCH ("));
    assert!(!said.contains("* 2 FETCH (") && !said.contains("EXPUNGE\r\n"));
    assert!(two.ok("NOOP").contains("* 2 EXPUNGE"));
    assert!(two.ok("FETCH 1:* UID").contains("* 2 FETCH (UID 3)"));
}

/// RFC 2180 §4, RFC 9051 §6.4.7 to §6.4.9: what commands do that name messages
/// another session has expunged meanwhile.
#[test]
fn commands_on_messages_that_are_gone() {
    let demo = server();
    let mut one = selected(&demo);
    one.ok("CREATE Fred");
    for n in 1..=4 {
        append(&mut one, &format!("mail {n}"));
    }
    one.ok("NOOP");
    let expunged = |one: &mut Wire, uid: u32| {
        let two = selected(&demo);
        one.ok(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"));
        one.ok(&format!("UID EXPUNGE {uid}"));
        two
    };
    let in_fred = |one: &mut Wire| {
        let said = one.ok("STATUS Fred (MESSAGES)");
        let (_, count) = said.split_once("(MESSAGES ").unwrap();
        count.split_once(')').unwrap().0.parse::<u32>().unwrap()
    };
    let mut two = expunged(&mut one, 2);
    // §4.2.2: of one that is gone nothing but NO is told.
    let said = two.ask("STORE 2 +FLAGS (\\Flagged)");
    assert!(said.starts_with("T NO [EXPUNGEISSUED] "), "{said}");
    // §4.2.3: the others are changed and shown.
    let said = two.ask("STORE 1:3 +FLAGS (\\Flagged)");
    assert!(said.contains("* 1 FETCH (") && said.contains("* 3 FETCH ("));
    assert!(!said.contains("* 2 FETCH (") && !said.contains("EXPUNGE\r\n"));
    assert!(said.contains("T NO [EXPUNGEISSUED] "), "{said}");
    // §4.2.1: with .SILENT it is enough that they are changed.
    let said = two.ask("STORE 1:3 +FLAGS.SILENT (\\Answered)");
    assert!(said.starts_with("T OK [EXPUNGEISSUED] "), "{said}");
    let said = one.ok("UID SEARCH ANSWERED FLAGGED");
    assert!(said.contains("* SEARCH 1 3\r\n"), "{said}");
    // §4.4.1: nothing is copied, and the client is told why.
    let said = two.ask("COPY 1:4 Fred");
    assert!(
        said.contains("* 2 EXPUNGE\r\n") && said.contains("T NO [EXPUNGEISSUED] "),
        "{said}"
    );
    assert_eq!(in_fred(&mut one), 0);
    let said = two.ok("COPY 1:3 Fred");
    assert!(said.contains(" 1,3:4 1:3] "), "{said}");
    let mut two = expunged(&mut one, 3);
    let said = two.ask("MOVE 1:3 Fred");
    assert!(
        said.contains("* 2 EXPUNGE\r\n") && said.contains("T NO [EXPUNGEISSUED] "),
        "{said}"
    );
    assert!(!said.contains("* 1 EXPUNGE"), "{said}");
    assert_eq!(in_fred(&mut one), 3);
    // By UID, what is gone is ignored.
    let mut two = expunged(&mut one, 4);
    assert_eq!(two.ok("UID FETCH 4 UID").matches("* 2 FETCH").count(), 1);
    let said = two.ok("UID STORE 1,4 +FLAGS (\\Seen)");
    assert!(said.contains("* 1 FETCH ("), "{said}");
    let said = two.ok("UID COPY 1,4 Fred");
    assert!(said.contains(" 1 4] "), "{said}");
    let said = two.ok("UID MOVE 1:4 Fred");
    assert!(said.contains(" 1 5] "), "{said}");
    let said = two.ok("UID COPY 1:4 Fred");
    assert!(said.contains("T OK "), "{said}");
    assert_eq!(in_fred(&mut one), 5);
}
