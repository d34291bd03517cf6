//! kill -9 while 50 senders deliver: nothing acknowledged is lost, doubled or torn.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axigen_tests::demo::{Demo, Port};
use axigen_tests::wire::Wire;

const SENDERS: usize = 50;
const ACCOUNTS: usize = 10;
const ROUNDS: usize = 30;

/// A mail that carries its name all the way through, so that a torn one is seen.
fn mail(name: &str) -> String {
    let mut body = String::new();
    // Sizes differ: some small enough to lie beside the metadata, some not.
    let lines = 1 + name.bytes().map(usize::from).sum::<usize>() % 200;
    for n in 0..lines {
        body.push_str(&format!("{name} line {n} of {lines}\r\n"));
    }
    format!("Subject: {name}\r\nMessage-ID: <{name}@crash.test>\r\n\r\n{body}")
}

/// Sends until the server dies; returns the names that got 250, with their recipients.
fn send(
    addr: &str,
    round: usize,
    sender: usize,
    stop: &AtomicBool,
    acked: &Mutex<Vec<(String, Vec<usize>)>>,
) {
    let mut wire = Wire::connect(addr);
    let go = |wire: &mut Wire, bytes: &str, want: &str| -> Option<()> {
        wire.try_send(bytes).ok()?;
        loop {
            let line = wire.try_line().ok()?;
            if line.get(3) == Some(&b'-') {
                continue;
            }
            return line.starts_with(want.as_bytes()).then_some(());
        }
    };
    let mut session = || -> Option<()> {
        wire.try_line().ok()?;
        go(&mut wire, "EHLO crash.test\r\n", "250")?;
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let name = format!("r{round}s{sender}n{n}");
            // Every fourth mail has three recipients: all of them get it, or none.
            let first = (sender + n) % ACCOUNTS;
            let rcpts: Vec<usize> = if n % 4 == 0 {
                (0..3).map(|k| (first + k) % ACCOUNTS).collect()
            } else {
                vec![first]
            };
            go(&mut wire, "MAIL FROM:<sender@crash.test>\r\n", "250")?;
            for r in &rcpts {
                go(
                    &mut wire,
                    &format!("RCPT TO:<u{}@example.test>\r\n", r + 1),
                    "250",
                )?;
            }
            go(&mut wire, "DATA\r\n", "354")?;
            go(&mut wire, &format!("{}.\r\n", mail(&name)), "250")?;
            acked.lock().unwrap().push((name, rcpts));
        }
        None
    };
    session();
}

#[test]
fn kill_9_loses_doubles_and_tears_nothing() {
    let mut demo = Demo::start(&["--accounts", &ACCOUNTS.to_string()]);
    // What each account must hold, and what it was seen to hold: UID -> name.
    let mut promised: HashMap<usize, HashSet<String>> = HashMap::new();
    let mut seen: Vec<BTreeMap<u32, String>> = vec![BTreeMap::new(); ACCOUNTS];
    let mut random = 0x9e37_79b9_7f4a_7c15u64 ^ u64::from(std::process::id());
    let mut total = 0;
    for round in 0..ROUNDS {
        let stop = Arc::new(AtomicBool::new(false));
        let acked = Arc::new(Mutex::new(Vec::new()));
        let addr = demo.addr(Port::Smtp);
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (stop, acked, addr) = (stop.clone(), acked.clone(), addr.clone());
                std::thread::spawn(move || send(&addr, round, sender, &stop, &acked))
            })
            .collect();
        random = random
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        // From "the first are connecting" to "a thousand are in".
        std::thread::sleep(Duration::from_millis(50 + (random >> 33) % 700));
        demo.kill();
        stop.store(true, Ordering::Relaxed);
        // A sender may have failed to connect, as it should when nobody listens.
        for sender in senders {
            let _ = sender.join();
        }
        for (name, rcpts) in acked.lock().unwrap().drain(..) {
            total += 1;
            for r in rcpts {
                promised.entry(r).or_default().insert(name.clone());
            }
        }
        demo.restart();
        for (account, seen) in seen.iter_mut().enumerate() {
            check(
                &demo,
                account,
                seen,
                promised.entry(account).or_default(),
                round,
            );
        }
    }
    assert!(
        total > ROUNDS * 10,
        "only {total} mails were acknowledged: this run proves nothing"
    );
    println!("{ROUNDS} kills, {total} mails acknowledged, none lost, doubled or torn");
    assert!(demo.stop().success());
}

fn check(
    demo: &Demo,
    account: usize,
    seen: &mut BTreeMap<u32, String>,
    promised: &mut HashSet<String>,
    round: usize,
) {
    let user = format!("u{}@example.test", account + 1);
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), &user, "demo");
    let from = seen.last_key_value().map_or(1, |(uid, _)| uid + 1);
    // Old mails by name, new ones by content: each round reads what it added.
    let all = subjects(&mut imap);
    for (uid, name) in seen.iter() {
        assert_eq!(
            all.get(uid),
            Some(name),
            "round {round}: {user} UID {uid} changed"
        );
    }
    let names: HashSet<&String> = all.values().collect();
    assert_eq!(
        names.len(),
        all.len(),
        "round {round}: {user} has a mail twice"
    );
    for name in promised.iter() {
        assert!(
            names.contains(name),
            "round {round}: {user} lost {name}, which got 250"
        );
    }
    assert_eq!(
        all.range(..from).count(),
        seen.len(),
        "round {round}: {user}: a new mail got an old UID"
    );
    for (uid, name) in all.range(from..) {
        let said = imap.imap(&format!("UID FETCH {uid} (BODY.PEEK[])"));
        let want = mail(name);
        let whole = said.windows(want.len()).any(|w| w == want.as_bytes());
        assert!(
            whole,
            "round {round}: {user} UID {uid} ({name}) is torn:\n{}",
            String::from_utf8_lossy(&said)
        );
    }
    *seen = all;
}

/// UID and subject of every mail in INBOX.
fn subjects(imap: &mut Wire) -> BTreeMap<u32, String> {
    imap.imap("EXAMINE INBOX");
    let said = imap.imap("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    let said = String::from_utf8_lossy(&said).into_owned();
    let mut subjects = BTreeMap::new();
    for part in said
        .split("\r\n* ")
        .flat_map(|p| p.strip_prefix("* ").or(Some(p)))
    {
        let (Some(uid), Some(subject)) =
            (part.split("UID ").nth(1), part.split("Subject: ").nth(1))
        else {
            continue;
        };
        let uid: String = uid.chars().take_while(char::is_ascii_digit).collect();
        let subject: String = subject.chars().take_while(|c| !c.is_whitespace()).collect();
        subjects.insert(uid.parse().unwrap(), subject);
    }
    subjects
}
