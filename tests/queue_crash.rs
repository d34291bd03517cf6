//! kill -9 while mail is accepted into the queue and leaves it: everything that
//! was acknowledged arrives, and nothing arrives again of which the server knew
//! that it was taken.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

use axigen_tests::sink::{self, ANN, Arrived, SUBMISSION, Sink};
use axigen_tests::wire::Wire;

const SENDERS: usize = 8;
/// The server is killed when so many hundredths of the messages have arrived.
const KILLS: [usize; 6] = [5, 20, 40, 55, 75, 92];
/// Sessions to the sink.
const SESSIONS: usize = 20;

/// 2,000 messages, or as many as this environment variable says.
fn wanted() -> usize {
    let given = std::env::var("AXIGEN_QUEUE_CRASH_MESSAGES").ok();
    given.map_or(2000, |given| given.parse().expect("a number of messages"))
}

/// What was sent, by its answer.
#[derive(Default)]
struct Sent {
    acknowledged: BTreeSet<String>,
    /// The server was killed before it answered.
    unanswered: BTreeSet<String>,
}

/// Sends over one connection until there is nothing more to send or the server
/// dies; `None` then.
fn session(addr: &str, next: &AtomicUsize, wanted: usize, sent: &Mutex<Sent>) -> Option<()> {
    // It may be down at this moment.
    std::net::TcpStream::connect(addr).ok()?;
    let mut wire = Wire::connect(addr);
    let mut answer = |bytes: &str, wants: &[&str]| -> Option<()> {
        wire.try_send(bytes).ok()?;
        for want in wants {
            loop {
                let line = wire.try_line().ok()?;
                if line.get(3) != Some(&b'-') {
                    if line.is_empty() {
                        return None;
                    }
                    let text = String::from_utf8_lossy(&line);
                    // What it says when it is told to stop; it never is here.
                    assert!(text.starts_with(want), "{text} instead of {want}");
                    break;
                }
            }
        }
        Some(())
    };
    answer("", &["220"])?;
    answer("EHLO client.test\r\n", &["250"])?;
    // NUL, the user, NUL, the password, in base64.
    answer("AUTH PLAIN AGFubkBoZXJlLnRlc3QAc2VjcmV0\r\n", &["235"])?;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= wanted {
            return Some(());
        }
        let name = format!("message {number}");
        // Some stand beside the metadata, some in packs.
        let lines = "a line of some length, to be sent on\r\n".repeat(1 + number % 60);
        let text = format!("From: {ANN}\r\nSubject: {name}\r\n\r\n{lines}.\r\n");
        let envelope = format!("MAIL FROM:<{ANN}>\r\nRCPT TO:<x@there.test>\r\nDATA\r\n");
        let done = answer(&envelope, &["250", "250", "354"]).and_then(|()| answer(&text, &["250"]));
        let mut sent = sent.lock().unwrap();
        match done {
            Some(()) => drop(sent.acknowledged.insert(name)),
            None => {
                sent.unanswered.insert(name);
                return None;
            }
        }
    }
}

fn by_name(arrived: Vec<Arrived>) -> BTreeMap<String, Vec<Arrived>> {
    let mut names: BTreeMap<String, Vec<Arrived>> = BTreeMap::new();
    for mail in arrived {
        let subject = mail
            .text
            .lines()
            .find_map(|line| line.strip_prefix("Subject: "));
        names
            .entry(subject.unwrap().to_owned())
            .or_default()
            .push(mail);
    }
    names
}

#[test]
fn what_was_acknowledged_arrives_once_whenever_the_server_is_killed() {
    let wanted = wanted();
    let began = Instant::now();
    let sink = Sink::start();
    let house = sink::house(sink.port(), &format!("lane_sessions = {SESSIONS}"));
    let (next, sent) = (AtomicUsize::new(0), Mutex::new(Sent::default()));
    let served = RwLock::new(Some(house.serve()));
    let addr = house.addr(SUBMISSION);
    let kills = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                while session(&addr, &next, wanted, &sent).is_none() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        for at in KILLS {
            let from = Instant::now();
            while sink.count() < wanted * at / 100 {
                assert!(from.elapsed() < Duration::from_secs(600), "nothing moves");
                std::thread::sleep(Duration::from_millis(2));
            }
            let mut served = served.write().unwrap();
            // Dropped, it is killed with -9.
            drop(served.take());
            kills.fetch_add(1, Ordering::Relaxed);
            *served = Some(house.serve());
        }
    });
    let sent = sent.into_inner().unwrap();
    let accepted = began.elapsed();
    let empty = || {
        let stat = house.run(&["queue", "stat", "--json"]).ok();
        String::from_utf8_lossy(&stat.out).contains("\"entries\":0,")
    };
    let from = Instant::now();
    while !empty() {
        assert!(
            from.elapsed() < Duration::from_secs(300),
            "the queue does not empty"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let names = by_name(sink.arrived());
    let lost: Vec<&String> = sent
        .acknowledged
        .iter()
        .filter(|name| !names.contains_key(*name))
        .collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let mut again = 0;
    for (name, arrivals) in &names {
        assert!(
            sent.acknowledged.contains(name) || sent.unanswered.contains(name),
            "{name} was never sent"
        );
        let (last, before) = arrivals.split_last().unwrap();
        again += before.len();
        // Once the server has gone on, it has settled what was taken.
        let known = before.iter().filter(|mail| mail.known).count();
        assert_eq!(known, 0, "{name} came {} times", arrivals.len());
        for mail in before {
            assert_eq!(mail.text, last.text, "{name}");
        }
        assert!(last.text.ends_with("to be sent on\r\n"), "{name} is torn");
    }
    let kills = kills.into_inner();
    let extra = sent
        .unanswered
        .iter()
        .filter(|name| names.contains_key(*name));
    println!(
        "{} messages acknowledged in {accepted:?}, {kills} kills: all arrived, {again} of them again \
         because the server was killed after they were taken and before it knew; {} without an \
         answer, {} of these arrived",
        sent.acknowledged.len(),
        sent.unanswered.len(),
        extra.count()
    );
    assert!(again <= kills * SESSIONS, "{again}");
    assert_eq!(
        sent.acknowledged.len() + sent.unanswered.len(),
        wanted,
        "not all were sent"
    );
    let mut served = served.into_inner().unwrap().unwrap();
    served.signal("TERM");
    assert!(served.ended().0.success());
    house.verify();
}
