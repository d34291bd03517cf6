//! CONDSTORE and QRESYNC of the real server: what is told when, and clients
//! that leave at any moment and come back. RFC 7162.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use axigen_tests::demo::{Demo, Port};
use axigen_tests::wire::Wire;

const USER: &str = "u1@example.test";
const MAIL: &str = "Subject: x\r\n\r\ny\r\n";

fn login(demo: &Demo) -> Wire {
    Wire::imap_login(&demo.addr(Port::Imap), USER, "demo")
}

fn fill(imap: &mut Wire, count: usize) {
    for _ in 0..count {
        let said = imap.append("INBOX", "", MAIL);
        assert!(said.contains("T OK"), "{said}");
    }
}

/// The number behind a word.
#[track_caller]
fn number(text: &str, word: &str) -> u64 {
    let behind = text.split(word).nth(1);
    let behind = behind.unwrap_or_else(|| panic!("no {word} in {text}"));
    let digits = behind.trim_start_matches([' ', '(']);
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[track_caller]
fn holds(text: &str, wanted: &[&str]) {
    for part in wanted {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[track_caller]
fn lacks(text: &str, unwanted: &[&str]) {
    for part in unwanted {
        assert!(!text.contains(part), "{part:?} in {text}");
    }
}

#[test]
fn condstore_is_told_once_it_is_wanted() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = login(&demo);
    let capabilities = imap.ok("CAPABILITY");
    holds(&capabilities, &[" CONDSTORE ", " QRESYNC "]);
    // A mailbox without messages has a number too.
    assert!(number(&imap.ok("STATUS INBOX (HIGHESTMODSEQ)"), "HIGHESTMODSEQ") > 0);
    fill(&mut imap, 4);
    for first in [
        "FETCH 1 MODSEQ",
        "FETCH 1:* FLAGS (CHANGEDSINCE 1)",
        "SEARCH MODSEQ 0",
        "STORE 1 (UNCHANGEDSINCE 1) +FLAGS.SILENT (\\Seen)",
        "STATUS INBOX (HIGHESTMODSEQ)",
        "SORT (DATE) UTF-8 MODSEQ 1",
        "ENABLE CONDSTORE",
    ] {
        let mut imap = login(&demo);
        let opened = imap.ok("SELECT INBOX");
        let highest = number(&opened, "HIGHESTMODSEQ");
        let plain = imap.ok("STORE 1 +FLAGS (\\Flagged)");
        lacks(&plain, &["MODSEQ", "UID"]);
        let said = imap.ok(first);
        assert!(number(&said, "[HIGHESTMODSEQ") >= highest, "{first}");
        lacks(&imap.ok("FETCH 1 FLAGS"), &["MODSEQ", "UID"]);
        let said = imap.ok("STORE 1 -FLAGS (\\Flagged)");
        holds(&said, &["* 1 FETCH (UID 1 FLAGS", "MODSEQ ("]);
        lacks(&said, &["HIGHESTMODSEQ"]);
    }
    let mut imap = login(&demo);
    imap.ok("SELECT INBOX (CONDSTORE)");
    let said = imap.ok("STORE 2 +FLAGS.SILENT (\\Seen)");
    holds(&said, &["* 2 FETCH (UID 2 MODSEQ ("]);
    // What is so already changes no number.
    lacks(&imap.ok("STORE 2 +FLAGS.SILENT (\\Seen)"), &["FETCH"]);
    // Reading sets \Seen: told with all there is.
    let said = imap.ok("FETCH 3 BODY[]");
    holds(&said, &["UID 3", "FLAGS (\\Seen", "MODSEQ ("]);
}

#[test]
fn stores_under_a_condition() {
    let demo = Demo::start(&["--accounts", "1"]);
    let (mut one, mut other) = (login(&demo), login(&demo));
    fill(&mut one, 9);
    let since = number(&one.ok("SELECT INBOX (CONDSTORE)"), "HIGHESTMODSEQ");
    other.ok("SELECT INBOX");
    other.ok("STORE 7,9 +FLAGS (\\Answered)");
    let store = format!("STORE 7,5,9 (UNCHANGEDSINCE {since}) +FLAGS.SILENT (\\Deleted)");
    let said = one.ok(&store);
    holds(
        &said,
        &[
            "* 5 FETCH (UID 5 MODSEQ (",
            "* 7 FETCH (UID 7 FLAGS (\\Answered",
            "T OK [MODIFIED 7,9]",
        ],
    );
    let store = format!("UID STORE 1,7:9 (UNCHANGEDSINCE {since}) FLAGS (\\Seen)");
    holds(
        &one.ok(&store),
        &["* 1 FETCH (UID 1 FLAGS (\\Seen", "[MODIFIED 7,9]"],
    );
    // RFC 7162, examples 7 and 8: a keyword that nobody has set yet.
    let claim = "STORE 2 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($MDNSent)";
    lacks(&one.ok(claim), &["MODIFIED"]);
    holds(&other.ok(claim), &["[MODIFIED 2]"]);
    // Another session's change is not lost by a silent one.
    one.ok("NOOP");
    other.ok("STORE 3 +FLAGS (\\Draft)");
    let said = one.ok("STORE 3 +FLAGS.SILENT (\\Seen)");
    holds(&said, &["* 3 FETCH (UID 3 FLAGS (", "\\Seen", "\\Draft"]);
    // Some are gone, one has changed.
    other.ok("STORE 8 +FLAGS (\\Deleted \\Answered)");
    other.ok("UID EXPUNGE 8");
    let said = one.ask(&format!(
        "STORE 6:8 (UNCHANGEDSINCE {since}) +FLAGS (\\Seen)"
    ));
    holds(&said, &["T NO [MODIFIED 7]"]);
    lacks(&said, &["EXPUNGE\r\n"]);
}

#[test]
fn searches_know_the_numbers() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut imap = login(&demo);
    fill(&mut imap, 5);
    let opened = imap.ok("SELECT INBOX");
    let since = number(&opened, "HIGHESTMODSEQ") + 1;
    imap.ok("STORE 4 +FLAGS (\\Seen)");
    imap.ok("STORE 2 +FLAGS (\\Seen)");
    let of = |imap: &mut Wire, seq: u32| number(&imap.ok(&format!("FETCH {seq} MODSEQ")), "MODSEQ");
    let (two, four) = (of(&mut imap, 2), of(&mut imap, 4));
    assert!(two > four);
    let said = imap.ok(&format!("SEARCH MODSEQ {since}"));
    holds(&said, &[&format!("* SEARCH 2 4 (MODSEQ {two})\r\n")]);
    let said = imap.ok(&format!(
        "SEARCH MODSEQ \"/flags/\\\\seen\" all {since} NOT 2"
    ));
    holds(&said, &[&format!("* SEARCH 4 (MODSEQ {four})\r\n")]);
    holds(&imap.ok("SEARCH MODSEQ 99999999"), &["* SEARCH\r\n"]);
    let said = imap.ok(&format!("SEARCH RETURN (ALL) MODSEQ {since}"));
    holds(&said, &[&format!("ALL 2,4 MODSEQ {two}\r\n")]);
    let said = imap.ok(&format!("SEARCH RETURN (MAX) MODSEQ {since}"));
    holds(&said, &[&format!("MAX 4 MODSEQ {four}\r\n")]);
    let said = imap.ok(&format!("SEARCH RETURN (MIN COUNT) MODSEQ {since}"));
    holds(&said, &[&format!("MIN 2 COUNT 2 MODSEQ {two}\r\n")]);
    let said = imap.ok(&format!("SORT (REVERSE ARRIVAL) UTF-8 MODSEQ {since}"));
    holds(&said, &["* SORT ", &format!(" (MODSEQ {two})\r\n")]);
    lacks(&imap.ok("THREAD REFERENCES UTF-8 MODSEQ 1"), &["MODSEQ"]);
    let said = imap.ok(&format!("FETCH 1:* FLAGS (CHANGEDSINCE {four})"));
    holds(&said, &["* 2 FETCH", &format!("MODSEQ ({two})")]);
    assert_eq!(said.matches("FETCH (").count(), 1, "{said}");
}

#[test]
fn vanished_instead_of_expunge() {
    let demo = Demo::start(&["--accounts", "1"]);
    let (mut one, mut other) = (login(&demo), login(&demo));
    fill(&mut one, 12);
    other.ok("SELECT INBOX");
    for command in [
        "SELECT INBOX (QRESYNC (1 1))",
        "UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)",
    ] {
        assert!(other.ask(command).starts_with("T BAD"), "{command}");
    }
    assert_eq!(
        one.ok("ENABLE QRESYNC CONDSTORE").lines().next(),
        Some("* ENABLED QRESYNC CONDSTORE")
    );
    let opened = one.ok("SELECT INBOX");
    let (validity, start) = (
        number(&opened, "UIDVALIDITY"),
        number(&opened, "HIGHESTMODSEQ"),
    );

    one.ok("STORE 3:4,7 +FLAGS.SILENT (\\Deleted)");
    let said = one.ok("EXPUNGE");
    holds(&said, &["* VANISHED 3:4,7\r\n", "T OK [HIGHESTMODSEQ "]);
    lacks(&said, &[" EXPUNGE\r\n"]);
    lacks(&one.ok("EXPUNGE"), &["HIGHESTMODSEQ", "VANISHED"]);
    one.ok("UID STORE 8 +FLAGS.SILENT (\\Deleted)");
    holds(
        &one.ok("UID EXPUNGE 8"),
        &["* VANISHED 8\r\n", "T OK [HIGHESTMODSEQ "],
    );
    one.ok("CREATE Elsewhere");
    let said = one.ok("UID MOVE 9 Elsewhere");
    holds(
        &said,
        &["COPYUID", "* VANISHED 9\r\n", "T OK [HIGHESTMODSEQ "],
    );

    // Without QRESYNC it is EXPUNGE, from the end.
    holds(
        &other.ok("NOOP"),
        &["* 9 EXPUNGE", "* 3 EXPUNGE", "* 3 EXPUNGE"],
    );

    // Held back while numbers count, and no higher number is believed meanwhile.
    let known = number(&one.ok("STATUS INBOX (HIGHESTMODSEQ)"), "HIGHESTMODSEQ");
    other.ok("UID STORE 10 +FLAGS.SILENT (\\Deleted)");
    other.ok("EXPUNGE");
    other.ok("UID STORE 1 +FLAGS (\\Flagged)");
    let said = one.ask("FETCH 1:* (MODSEQ)");
    holds(&said, &["T NO [EXPUNGEISSUED]"]);
    lacks(&said, &["VANISHED"]);
    assert!(number(&said, "[HIGHESTMODSEQ") <= known, "{said}");
    let said = one.ok("UID SEARCH 1:3");
    lacks(&said, &["VANISHED"]);
    holds(&one.ok("NOOP"), &["* VANISHED 10\r\n"]);

    let changed = "UID FETCH 1:* (FLAGS) (CHANGEDSINCE";
    let said = one.ok(&format!("{changed} {start} VANISHED)"));
    holds(
        &said,
        &["* VANISHED (EARLIER) 3:4,7:10\r\n* 1 FETCH (UID 1 FLAGS"],
    );
    let said = one.ok(&format!(
        "UID FETCH 4:8 (FLAGS) (CHANGEDSINCE {start} VANISHED)"
    ));
    holds(&said, &["* VANISHED (EARLIER) 4,7:8\r\n"]);
    lacks(&said, &["FETCH ("]);
    // `*` reaches to the last UID there was.
    one.ok("UID STORE 12 +FLAGS.SILENT (\\Deleted)");
    one.ok("EXPUNGE");
    let said = one.ok(&format!("{changed} {start} VANISHED)"));
    holds(&said, &["* VANISHED (EARLIER) 3:4,7:10,12\r\n"]);

    // Coming back.
    let mut back = login(&demo);
    back.ok("ENABLE QRESYNC");
    let select = format!("SELECT INBOX (QRESYNC ({validity} {start}");
    let said = back.ok(&format!("{select}))"));
    holds(
        &said,
        &["* VANISHED (EARLIER) 3:4,7:10,12\r\n* 1 FETCH (UID 1 FLAGS (\\Flagged"],
    );
    let said = back.ok(&format!("{select} 2:8,11:12))"));
    holds(&said, &["[CLOSED]", "* VANISHED (EARLIER) 3:4,7:8,12\r\n"]);
    lacks(&said, &["FETCH ("]);
    // The third is still 5, so nothing up to there is news; what is beyond the mailbox is none.
    let said = back.ok(&format!("{select} 1:12 (1,3,4000000000 1,5,4000000001)))"));
    holds(&said, &["* VANISHED (EARLIER) 7:10,12\r\n"]);
    let other_validity = validity + 1;
    let said = back.ok(&format!(
        "SELECT INBOX (QRESYNC ({other_validity} {start}))"
    ));
    lacks(&said, &["VANISHED", "FETCH ("]);
    // CLOSE tells no number, but the expunge is remembered.
    back.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    let before = number(&back.ok("STATUS INBOX (HIGHESTMODSEQ)"), "HIGHESTMODSEQ");
    lacks(&back.ok("CLOSE"), &["MODSEQ"]);
    let said = back.ok(&format!("SELECT INBOX (QRESYNC ({validity} {before}))"));
    holds(&said, &["* VANISHED (EARLIER) 1\r\n"]);
}

/// A client that keeps what it was told, by the rules of RFC 7162 §6.
#[derive(Debug, Default)]
struct Cache {
    validity: u64,
    highest: u64,
    messages: BTreeMap<u32, String>,
    /// UIDs by sequence number in this session; 0 for one that is not known.
    open: Vec<u32>,
    /// All up to this UID were fetched.
    fetched: u32,
    /// Since the last tagged response: HIGHESTMODSEQ, and the highest MODSEQ.
    told: Option<u64>,
    seen: u64,
}

fn uids(set: &str) -> Vec<u32> {
    let ranges = set.trim().split(',');
    let ends = ranges.map(|range| match range.split_once(':') {
        Some((low, high)) => low.parse().unwrap()..=high.parse().unwrap(),
        None => range.parse().unwrap()..=range.parse().unwrap(),
    });
    ends.flatten().collect()
}

impl Cache {
    fn take(&mut self, line: &str) {
        if let Some(set) = line.strip_prefix("* VANISHED (EARLIER) ") {
            for uid in uids(set) {
                self.messages.remove(&uid);
                assert!(!self.open.contains(&uid), "{line}");
            }
        } else if let Some(set) = line.strip_prefix("* VANISHED ") {
            for uid in uids(set) {
                let at = self.open.iter().position(|open| *open == uid);
                let at = at.unwrap_or_else(|| {
                    // One of those that are not known, behind the last lower one.
                    let lower = self.open.iter().rposition(|open| (1..uid).contains(open));
                    let at = lower.map_or(0, |lower| lower + 1);
                    assert_eq!(self.open.get(at), Some(&0), "{line} {:?}", self.open);
                    at
                });
                self.open.remove(at);
                self.messages.remove(&uid);
            }
        } else if line.contains(" EXISTS") {
            let count = number(line, "* ") as usize;
            assert!(count >= self.open.len(), "{line}");
            self.open.resize(count, 0);
        } else if line.contains("[HIGHESTMODSEQ") {
            self.told = Some(number(line, "[HIGHESTMODSEQ"));
        } else if line.contains(" FETCH (") {
            let uid = number(line, "UID ") as u32;
            let seq = number(line, "* ") as usize;
            let known = &mut self.open[seq - 1];
            assert!([0, uid].contains(known), "{line}: {known}");
            *known = uid;
            self.seen = self.seen.max(number(line, "MODSEQ ("));
            if let Some((_, flags)) = line.split_once("FLAGS (") {
                let flags = flags.split(')').next().unwrap();
                let mut flags: Vec<&str> = flags.split(' ').collect();
                flags.retain(|flag| !flag.is_empty() && *flag != "\\Recent");
                self.messages.insert(uid, flags.join(" "));
            }
        }
    }

    fn tagged(&mut self) {
        let told = self.told.take();
        let seen = std::mem::take(&mut self.seen);
        self.highest = told.unwrap_or(self.highest.max(seen));
    }

    /// Sends a command, and stops listening after some lines; whether all was
    /// heard.
    fn hear(&mut self, imap: &mut Wire, command: &str, lines: usize) -> bool {
        imap.send(format!("T {command}\r\n"));
        for _ in 0..lines {
            let line = imap.line();
            self.take(&line);
            if line.starts_with("T ") {
                assert!(
                    line.starts_with("T OK") || line.contains("[EXPUNGEISSUED]"),
                    "{command}: {line}"
                );
                self.tagged();
                return true;
            }
        }
        false
    }

    /// Opens the mailbox and fetches what is new.
    fn open(&mut self, demo: &Demo) -> Wire {
        let mut imap = login(demo);
        imap.ok("ENABLE QRESYNC");
        let qresync = match (self.highest, self.messages.is_empty()) {
            (0, _) => String::new(),
            (highest, true) => format!(" (QRESYNC ({} {highest}))", self.validity),
            (highest, false) => {
                let known: Vec<String> = self.messages.keys().map(u32::to_string).collect();
                let known = known.join(",");
                format!(" (QRESYNC ({} {highest} {known}))", self.validity)
            }
        };
        imap.send(format!("T SELECT INBOX{qresync}\r\n"));
        self.open.clear();
        self.told = None;
        self.seen = 0;
        let mut lines = Vec::new();
        while lines
            .last()
            .is_none_or(|line: &String| !line.starts_with("T "))
        {
            lines.push(imap.line());
        }
        let all = lines.concat();
        self.validity = number(&all, "[UIDVALIDITY");
        // Only once what is new is there, too, the number counts.
        let highest = number(&all, "[HIGHESTMODSEQ");
        for line in &lines {
            self.take(line);
        }
        self.fetch_new(&mut imap);
        self.highest = highest;
        // All that is known now stands where it is.
        if !self.open.is_empty() {
            for line in imap.ok("FETCH 1:* (UID MODSEQ)").lines() {
                self.take(line);
            }
        }
        self.told = None;
        self.seen = 0;
        imap
    }

    fn fetch_new(&mut self, imap: &mut Wire) {
        let next = self.fetched + 1;
        let command = format!("UID FETCH {next}:* (UID FLAGS MODSEQ)");
        for line in imap.ok(&command).lines() {
            self.take(line);
        }
        let last = self.messages.keys().last().copied().unwrap_or(0);
        self.fetched = last.max(self.fetched);
    }
}

fn truth(demo: &Demo) -> BTreeMap<u32, String> {
    let mut imap = login(demo);
    imap.ok("EXAMINE INBOX (CONDSTORE)");
    let mut cache = Cache {
        open: vec![0; 1000],
        ..Cache::default()
    };
    for line in imap.ok("UID FETCH 1:* (UID FLAGS MODSEQ)").lines() {
        cache.take(line);
    }
    cache.messages
}

/// The same numbers for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

/// One change by somebody else.
fn disturb(imap: &mut Wire, random: &mut Random) {
    let all = imap.ok("UID SEARCH ALL");
    let all: Vec<&str> = all.lines().next().unwrap().split(' ').skip(2).collect();
    let uid = match all.as_slice() {
        [] => return fill(imap, 3),
        all => all[random.below(all.len())],
    };
    let flags = ["\\Seen", "\\Flagged", "\\Answered", "$Work"];
    let flag = flags[random.below(flags.len())];
    match random.below(10) {
        0..=4 => {
            let sign = ["+", "-"][random.below(2)];
            imap.ok(&format!("UID STORE {uid} {sign}FLAGS ({flag})"));
        }
        5..=6 => {
            imap.ok(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"));
            imap.ok(&format!("UID EXPUNGE {uid}"));
        }
        _ => fill(imap, 1),
    }
}

#[test]
fn who_leaves_at_any_moment_and_comes_back_misses_nothing() {
    let demo = Demo::start(&["--accounts", "1"]);
    let mut other = login(&demo);
    fill(&mut other, 30);
    other.ok("SELECT INBOX");
    for seed in 0..16 {
        let mut random = Random(seed);
        let mut cache = Cache::default();
        for _ in 0..12 {
            let mut imap = cache.open(&demo);
            while random.below(2) > 0 {
                for _ in 0..random.below(6) {
                    disturb(&mut other, &mut random);
                }
                let uid = 1 + random.below(90);
                let command = match random.below(8) {
                    0 => "NOOP".to_owned(),
                    1..=2 if !cache.open.is_empty() => "FETCH 1:* (UID MODSEQ)".to_owned(),
                    3 if !cache.open.is_empty() => "STORE 1 +FLAGS.SILENT (\\Draft)".to_owned(),
                    4 => format!("UID STORE {uid} +FLAGS (\\Deleted)"),
                    5 => "EXPUNGE".to_owned(),
                    6 => format!("UID FETCH {uid}:* (FLAGS MODSEQ)"),
                    _ => "UID SEARCH ALL".to_owned(),
                };
                let lines = match random.below(4) {
                    0 => random.below(5),
                    _ => usize::MAX,
                };
                if !cache.hear(&mut imap, &command, lines) {
                    break;
                }
                // What a silent STORE set is known without a word.
                if command.starts_with("STORE 1 +FLAGS.SILENT") {
                    let Some(&first) = cache.open.first() else {
                        continue;
                    };
                    let said = imap.ok(&format!("UID FETCH {first} (UID FLAGS MODSEQ)"));
                    for line in said.lines() {
                        cache.take(line);
                    }
                    cache.tagged();
                }
                if cache.open.contains(&0) {
                    cache.fetch_new(&mut imap);
                    cache.tagged();
                }
            }
            drop(imap);
        }
        disturb(&mut other, &mut random);
        drop(cache.open(&demo));
        assert_eq!(cache.messages, truth(&demo), "seed {seed}");
    }
}
