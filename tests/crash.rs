//! kill -9 while 50 senders deliver, while IMAP sessions append, flag, move and
//! expunge, and inside commands that bring several messages or put one in the
//! place of another: nothing acknowledged is lost, doubled or torn.
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
    demo.verify();
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

/// Accounts, and sessions of each that work on messages of their own.
const WORKERS: usize = 8;
const TOGETHER: usize = 2;
const IMAP_ROUNDS: usize = 12;
const MAILBOXES: [&str; 2] = ["INBOX", "Archive"];

/// Where a message is and what its flags are, without `\Recent`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    mailbox: usize,
    uid: u32,
    flags: String,
}

/// What a session knows of its own messages, by name. A message that is not
/// there is none.
#[derive(Debug, Default)]
struct Known {
    acked: BTreeMap<String, Option<State>>,
    /// The change that was under way: before or after, both are right. A UID
    /// of 0 is not known yet.
    pending: Option<(String, Option<State>)>,
    done: usize,
}

impl Known {
    /// What may be there now.
    fn allows(&self, name: &str, found: Option<&State>) -> bool {
        let acked = self.acked.get(name).and_then(Option::as_ref);
        let pending = self.pending.as_ref().filter(|(of, _)| of == name);
        let same = |wanted: Option<&State>| match (wanted, found) {
            (None, None) => true,
            (Some(wanted), Some(found)) => {
                wanted.mailbox == found.mailbox
                    && wanted.flags == found.flags
                    && (wanted.uid == 0 || wanted.uid == found.uid)
            }
            _ => false,
        };
        same(acked) || pending.is_some_and(|(_, pending)| same(pending.as_ref()))
    }
}

/// Works on messages of its own until the server dies.
fn work(addr: &str, round: usize, worker: usize, known: &mut Known) -> Option<()> {
    let mut random = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul((round * 100 + worker + 1) as u64);
    let mut next = |below: usize| {
        random = random
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (random >> 33) as usize % below
    };
    let mut wire = Wire::connect(addr);
    let mut ask = |command: &str| -> Option<String> {
        wire.try_send(format!("T {command}\r\n")).ok()?;
        let mut copied = String::new();
        loop {
            let line = wire.try_line().ok()?;
            let line = String::from_utf8(line).ok()?;
            // The end of the stream, or half a line before it.
            if !line.ends_with('\n') {
                return None;
            }
            // A move tells its UIDs before the tagged line.
            if line.starts_with("* OK [COPYUID") {
                copied.clone_from(&line);
            }
            if line.starts_with("T ") {
                assert!(!line.starts_with("T BAD"), "{command}: {line}");
                return Some(line + &copied);
            }
        }
    };
    let user = format!("u{}@example.test", worker % (WORKERS / TOGETHER) + 1);
    ask(&format!("LOGIN {user} demo"))?;
    let mut open = 0;
    ask(&format!("SELECT {}", MAILBOXES[open]))?;
    for n in 0.. {
        let mine: Vec<(String, State)> = known
            .acked
            .iter()
            .filter_map(|(name, state)| Some((name.clone(), state.clone()?)))
            .collect();
        let what = if mine.len() < 5 { 0 } else { next(6) };
        let (name, mut state) = if what < 2 {
            let state = State {
                mailbox: next(2),
                uid: 0,
                flags: "\\Flagged".into(),
            };
            (format!("r{round}w{worker}n{n}"), state)
        } else {
            mine[next(mine.len())].clone()
        };
        if what >= 2 && state.mailbox != open {
            open = state.mailbox;
            ask(&format!("SELECT {}", MAILBOXES[open]))?;
        }
        let uid = state.uid;
        let (command, after) = match what {
            0 | 1 => {
                let mail = mail(&name);
                let (mailbox, size) = (MAILBOXES[state.mailbox], mail.len());
                let command = format!("APPEND {mailbox} (\\Flagged) {{{size}+}}\r\n{mail}");
                (command, Some(state))
            }
            2 | 3 => {
                state.flags = format!("\\Seen k{}", next(5));
                let command = format!("UID STORE {uid} FLAGS.SILENT ({})", state.flags);
                (command, Some(state))
            }
            4 => {
                state.mailbox = 1 - open;
                state.uid = 0;
                let command = format!("UID MOVE {uid} {}", MAILBOXES[state.mailbox]);
                (command, Some(state))
            }
            _ => {
                state.flags = "\\Deleted".into();
                known.pending = Some((name.clone(), Some(state.clone())));
                let said = ask(&format!("UID STORE {uid} FLAGS.SILENT (\\Deleted)"))?;
                assert!(said.starts_with("T OK"), "{said}");
                known.acked.insert(name.clone(), Some(state));
                (format!("UID EXPUNGE {uid}"), None)
            }
        };
        known.pending = Some((name.clone(), after.clone()));
        let said = ask(&command)?;
        let mut after = after;
        assert!(said.starts_with("T OK"), "{command}: {said}");
        if let Some(code) = said.split(['[', ']']).nth(1)
            && let Some(state) = &mut after
            && state.uid == 0
        {
            // APPENDUID and COPYUID both end in the new UID.
            let uid = code.rsplit(' ').next()?.parse();
            state.uid = uid.unwrap_or_else(|_| panic!("{command}: {said}"));
        }
        known.acked.insert(name, after);
        known.pending = None;
        known.done += 1;
    }
    None
}

#[test]
fn kill_9_keeps_what_imap_acknowledged() {
    let mut demo = Demo::start(&["--accounts", &(WORKERS / TOGETHER).to_string()]);
    let mut known: Vec<Known> = (0..WORKERS).map(|_| Known::default()).collect();
    // UIDs never come back: the largest that each mailbox has had.
    let mut largest: HashMap<(usize, usize), u32> = HashMap::new();
    let mut validity: HashMap<(usize, usize), String> = HashMap::new();
    for round in 0..IMAP_ROUNDS {
        let addr = demo.addr(Port::Imap);
        std::thread::scope(|scope| {
            for (worker, known) in known.iter_mut().enumerate() {
                let addr = &addr;
                scope.spawn(move || work(addr, round, worker, known));
            }
            std::thread::sleep(Duration::from_millis(150 + 37 * round as u64));
            demo.kill();
        });
        demo.restart();
        for account in 0..WORKERS / TOGETHER {
            let user = format!("u{}@example.test", account + 1);
            let mut imap = Wire::imap_login(&demo.addr(Port::Imap), &user, "demo");
            let mut found: HashMap<String, State> = HashMap::new();
            for (at, mailbox) in MAILBOXES.iter().enumerate() {
                let said = imap.ok(&format!("STATUS {mailbox} (UIDVALIDITY)"));
                let known = validity.entry((account, at)).or_insert(said.clone());
                assert_eq!(*known, said);
                for (name, state) in contents(&mut imap, at) {
                    let twice = found.insert(name.clone(), state);
                    assert!(twice.is_none(), "round {round}: {user} has {name} twice");
                }
            }
            let mut of_account = known.iter_mut().skip(account).step_by(WORKERS / TOGETHER);
            let mut names: HashSet<String> = HashSet::new();
            for known in of_account.by_ref() {
                let mine: HashSet<String> = known
                    .acked
                    .keys()
                    .cloned()
                    .chain(known.pending.iter().map(|(name, _)| name.clone()))
                    .collect();
                for name in &mine {
                    let state = found.get(name);
                    assert!(
                        known.allows(name, state),
                        "round {round}: {user}: {name} is {state:?}, but was {:?}, then perhaps {:?}",
                        known.acked.get(name),
                        known.pending
                    );
                    known.acked.insert(name.clone(), state.cloned());
                }
                known.pending = None;
                // What is gone is not looked at again, except that it stays gone.
                names.extend(mine);
            }
            for name in found.keys() {
                assert!(
                    names.contains(name),
                    "round {round}: {user}: {name} came from nowhere"
                );
            }
            for state in found.values() {
                let most = largest.entry((account, state.mailbox)).or_default();
                *most = state.uid.max(*most);
            }
            // A new message gets a UID that none ever had here.
            for (at, mailbox) in MAILBOXES.iter().enumerate() {
                let said = imap.ok(&format!("STATUS {mailbox} (UIDNEXT)"));
                let next = said.split("UIDNEXT ").nth(1).unwrap();
                let next: String = next.chars().take_while(char::is_ascii_digit).collect();
                let most = largest.entry((account, at)).or_default();
                assert!(
                    next.parse::<u32>().unwrap() > *most,
                    "round {round}: {said}"
                );
                *most = next.parse::<u32>().unwrap() - 1;
            }
        }
    }
    let done: usize = known.iter().map(|known| known.done).sum();
    let kept: usize = known
        .iter()
        .map(|known| known.acked.values().flatten().count())
        .sum();
    println!("{IMAP_ROUNDS} kills, {done} changes acknowledged, {kept} messages there");
    assert!(
        done > IMAP_ROUNDS * 50,
        "only {done} changes: this run proves nothing"
    );
    assert!(demo.stop().success());
    demo.verify();
}

/// Every message of a mailbox by name, its content compared.
fn contents(imap: &mut Wire, mailbox: usize) -> Vec<(String, State)> {
    imap.ok(&format!("EXAMINE {}", MAILBOXES[mailbox]));
    let said = imap.ok("UID FETCH 1:* (FLAGS BODY.PEEK[])");
    let mut found = Vec::new();
    for part in said
        .split("* ")
        .filter(|part| part.contains(" FETCH (UID "))
    {
        let words = part.split("UID ").nth(1).unwrap();
        let uid: String = words.chars().take_while(char::is_ascii_digit).collect();
        let (_, flags) = part.split_once("FLAGS (").unwrap();
        let (flags, rest) = flags.split_once(')').unwrap();
        let flags: Vec<&str> = flags
            .split(' ')
            .filter(|flag| *flag != "\\Recent")
            .collect();
        let name = rest.split("Subject: ").nth(1).unwrap();
        let (name, _) = name.split_once('\r').unwrap();
        assert!(rest.contains(&mail(name)), "{name} is torn:\n{rest}");
        let state = State {
            mailbox,
            uid: uid.parse().unwrap(),
            flags: flags.join(" "),
        };
        found.push((name.to_owned(), state));
    }
    found
}

const WRITERS: usize = 4;
const WRITER_ROUNDS: usize = 16;

/// What one session wrote, by names.
#[derive(Debug, Default)]
struct Written {
    /// Messages of a MULTIAPPEND that was acknowledged.
    groups: Vec<Vec<String>>,
    /// Those of one that was under way.
    pending: Vec<String>,
    /// The draft that was acknowledged last, and the one that takes its place.
    draft: Option<String>,
    next: Option<String>,
    replaced: usize,
}

/// Brings several messages by one command, and replaces a draft, in turns, until
/// the server dies.
fn write(addr: &str, round: usize, writer: usize, written: &mut Written) -> Option<()> {
    let mut wire = Wire::connect(addr);
    wire.try_line().ok()?;
    let mut ask = |command: &str| -> Option<String> {
        wire.try_send(format!("T {command}\r\n")).ok()?;
        let mut said = String::new();
        loop {
            let line = String::from_utf8(wire.try_line().ok()?).ok()?;
            if !line.ends_with('\n') {
                return None;
            }
            said += &line;
            if line.starts_with("T ") {
                assert!(line.starts_with("T OK"), "{line}");
                return Some(said);
            }
        }
    };
    let literal = |name: &str| {
        let mail = mail(name);
        format!("(\\Flagged) {{{}+}}\r\n{mail}", mail.len())
    };
    ask(&format!("LOGIN u{}@example.test demo", writer + 1))?;
    for n in 0.. {
        let name = |m: usize| format!("r{round}w{writer}n{n}m{m}");
        // Some fit into one segment, some take a while to come.
        let names: Vec<String> = (0..2 + (n * 7 + writer) % 30).map(name).collect();
        let literals: Vec<String> = names.iter().map(|name| literal(name)).collect();
        written.pending.clone_from(&names);
        ask(&format!("APPEND INBOX {}", literals.join(" ")))?;
        written.groups.push(names);
        written.pending.clear();
        // The draft goes to and fro between two mailboxes.
        let open = MAILBOXES[n % 2];
        let other = MAILBOXES[(n + 1) % 2];
        let draft = format!("draft-r{round}w{writer}n{n}");
        let Some(old) = written.draft.clone() else {
            written.next = Some(draft.clone());
            ask(&format!("APPEND {other} {}", literal(&draft)))?;
            written.draft = written.next.take();
            continue;
        };
        for mailbox in [open, other] {
            ask(&format!("SELECT {mailbox}"))?;
            let found = ask(&format!("UID SEARCH SUBJECT {old}"))?;
            let (_, rest) = found.split_once("SEARCH").unwrap();
            let uid: String = rest
                .trim()
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            if uid.is_empty() {
                continue;
            }
            written.next = Some(draft.clone());
            ask(&format!("UID REPLACE {uid} {other} {}", literal(&draft)))?;
            written.draft = written.next.take();
            written.replaced += 1;
            break;
        }
    }
    None
}

/// RFC 3502: all messages of a command or none of them. RFC 8508 §3.3: of the old
/// message and the new one exactly one.
#[test]
fn kill_9_tears_no_command_of_several_messages() {
    let mut demo = Demo::start(&["--accounts", &WRITERS.to_string()]);
    let mut all: Vec<Written> = (0..WRITERS).map(|_| Written::default()).collect();
    let (mut came, mut stayed_out, mut old, mut new) = (0, 0, 0, 0);
    for round in 0..WRITER_ROUNDS {
        let addr = demo.addr(Port::Imap);
        std::thread::scope(|scope| {
            for (writer, written) in all.iter_mut().enumerate() {
                let addr = &addr;
                scope.spawn(move || write(addr, round, writer, written));
            }
            std::thread::sleep(Duration::from_millis(200 + 29 * round as u64));
            demo.kill();
        });
        demo.restart();
        for (writer, written) in all.iter_mut().enumerate() {
            let user = format!("u{}@example.test", writer + 1);
            let mut imap = Wire::imap_login(&demo.addr(Port::Imap), &user, "demo");
            let mut names: Vec<String> = Vec::new();
            for at in 0..MAILBOXES.len() {
                names.extend(contents(&mut imap, at).into_iter().map(|(name, _)| name));
            }
            let count = |name: &String| names.iter().filter(|of| *of == name).count();
            let what = format!("round {round}, {user}");
            for name in written.groups.iter().flatten() {
                assert_eq!(count(name), 1, "{what}: {name}");
            }
            let there: usize = written.pending.iter().map(count).sum();
            assert!(
                there == 0 || written.pending.iter().all(|name| count(name) == 1),
                "{what}: {there} of {}",
                written.pending.len()
            );
            if !written.pending.is_empty() {
                let group = std::mem::take(&mut written.pending);
                match there {
                    0 => stayed_out += 1,
                    _ => {
                        came += 1;
                        written.groups.push(group);
                    }
                }
            }
            let drafts: Vec<&String> = names
                .iter()
                .filter(|name| name.starts_with("draft-"))
                .collect();
            let next = written.next.take();
            let wanted: Vec<&String> = written.draft.iter().chain(&next).collect();
            match (drafts.as_slice(), &written.draft) {
                ([], None) => {}
                ([one], _) if wanted.contains(one) => {
                    if let Some(next) = next {
                        match **one == next {
                            true => new += 1,
                            false => old += 1,
                        }
                    }
                    written.draft = Some((*one).clone());
                }
                _ => panic!("{what}: {drafts:?}, not one of {wanted:?}"),
            }
            let whole = written.groups.iter().map(Vec::len).sum::<usize>() + drafts.len();
            assert_eq!(names.len(), whole, "{what}: some came from nowhere");
        }
    }
    let groups: usize = all.iter().map(|written| written.groups.len()).sum();
    let replaced: usize = all.iter().map(|written| written.replaced).sum();
    println!(
        "{WRITER_ROUNDS} kills, {groups} commands with several messages, {replaced} messages \
         replaced; of those killed inside: came {came}, did not {stayed_out}; replaced {new}, \
         not {old}"
    );
    assert!(
        groups > WRITER_ROUNDS * 10 && replaced > WRITER_ROUNDS,
        "only {groups} and {replaced}: this run proves nothing"
    );
    assert!(
        came + stayed_out + old + new > WRITER_ROUNDS,
        "few were killed inside: this run proves nothing"
    );
    assert!(demo.stop().success());
    demo.verify();
}
