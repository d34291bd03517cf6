//! Loads a running mail server over loopback and says what it cost.
//!
//! ```text
//! load smtp --addr 127.0.0.1:2525 [--lmtp] --sessions 10 --count 5000 --size 10240 --accounts 10 [--pid PID]
//! load idle --addr 127.0.0.1:2143 [--tls] --connections 1000 --accounts 100 --pid PID [--smtp 127.0.0.1:2525]
//! ```
//! `smtp` prints messages per second until the last 250 and, with `--pid` (several with commas), the CPU
//! time of those processes for each message. `idle` logs in, selects INBOX, idles, and prints the growth
//! of the resident memory for each connection. With `--smtp` it then sends a mail to each account, one after
//! the other, and says how long after its 250 the last session of that account was told; then one mail to
//! each account at once, and when the last session of all was told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use axigen_core::net::trust;
use rustls::{ClientConnection, StreamOwned};

fn main() {
    let mut args = std::env::args().skip(1);
    let mode = args.next().unwrap_or_default();
    let mut options: HashMap<String, String> = HashMap::new();
    let mut args = args.peekable();
    while let Some(name) = args.next() {
        let value = args
            .next_if(|v| !v.starts_with("--"))
            .unwrap_or_else(|| "yes".into());
        options.insert(name.trim_start_matches("--").to_owned(), value);
    }
    match mode.as_str() {
        "smtp" => smtp(&options),
        "idle" => idle(&options),
        _ => {
            println!(
                "usage: load smtp|idle --addr HOST:PORT ... (see the head of benches/load.rs)"
            );
            std::process::exit(2);
        }
    }
}

fn number(options: &HashMap<String, String>, name: &str, default: usize) -> usize {
    options.get(name).map_or(default, |v| {
        v.parse()
            .unwrap_or_else(|_| panic!("--{name} wants a number"))
    })
}

/// CPU time of the processes in milliseconds, all threads, and resident KB.
fn cost(pids: &str) -> (f64, u64) {
    let mut cpu = 0.0;
    let mut resident = 0;
    for pid in pids.split(',').filter(|p| !p.is_empty()) {
        let stat =
            std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process of that id");
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        // Fields 14 and 15 of proc(5) in ticks of 10 ms; two went before the ')'.
        cpu += (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) * 10.0;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let rss = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        resident += rss
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap();
    }
    (cpu, resident)
}

fn expect(reader: &mut impl BufRead, code: &str) {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(
            reader.read_line(&mut line).expect("a reply") > 0,
            "closed while waiting for {code}"
        );
        if line.as_bytes().get(3) != Some(&b'-') {
            assert!(line.starts_with(code), "wanted {code}, got {line}");
            return;
        }
    }
}

fn smtp(options: &HashMap<String, String>) {
    let addr = options
        .get("addr")
        .cloned()
        .unwrap_or_else(|| "127.0.0.1:2525".into());
    let sessions = number(options, "sessions", 10);
    let count = number(options, "count", 2000);
    let size = number(options, "size", 10_240);
    let accounts = number(options, "accounts", 10);
    let lmtp = options.contains_key("lmtp");
    let pids = options.get("pid").cloned().unwrap_or_default();
    let next = Arc::new(AtomicUsize::new(0));
    let barrier = Arc::new(Barrier::new(sessions + 1));
    let threads: Vec<_> = (0..sessions)
        .map(|_| {
            let (addr, next, barrier) = (addr.clone(), next.clone(), barrier.clone());
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(&addr).expect("connect");
                stream.set_nodelay(true).unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                expect(&mut reader, "220");
                stream
                    .write_all(if lmtp {
                        b"LHLO load.test\r\n"
                    } else {
                        b"EHLO load.test\r\n"
                    })
                    .unwrap();
                expect(&mut reader, "250");
                barrier.wait();
                let mut worst = Duration::ZERO;
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        break;
                    }
                    let began = Instant::now();
                    let mail = mail(n, size);
                    let user = n % accounts + 1;
                    write!(
                        stream,
                        "MAIL FROM:<load@load.test>\r\nRCPT TO:<u{user}@example.test>\r\nDATA\r\n"
                    )
                    .unwrap();
                    expect(&mut reader, "250");
                    expect(&mut reader, "250");
                    expect(&mut reader, "354");
                    stream.write_all(&mail).unwrap();
                    expect(&mut reader, "250");
                    worst = worst.max(began.elapsed());
                }
                stream.write_all(b"QUIT\r\n").unwrap();
                worst
            })
        })
        .collect();
    barrier.wait();
    let (cpu, _) = cost(&pids);
    let began = Instant::now();
    let worst = threads
        .into_iter()
        .map(|t| t.join().expect("a sender"))
        .max()
        .unwrap_or_default();
    let took = began.elapsed();
    let (after, resident) = cost(&pids);
    println!(
        "{} sessions={sessions} size={size} count={count}: {:.0} msg/s, {:.3} CPU ms/msg, slowest {} ms, resident {} MB",
        if lmtp { "LMTP" } else { "SMTP" },
        count as f64 / took.as_secs_f64(),
        (after - cpu) / count as f64,
        worst.as_millis(),
        resident / 1024
    );
}

/// A mail of about `size` bytes, different for every `n`, with its final dot.
fn mail(n: usize, size: usize) -> Vec<u8> {
    let mut mail = format!(
        "From: load <load@load.test>\r\nTo: someone <u@example.test>\r\nSubject: load {n}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{n}.{}@load.test>\r\n\r\n",
        std::process::id()
    )
    .into_bytes();
    let mut state = n as u64 + 1;
    while mail.len() + 2 < size {
        // Words, not noise: compressible as mail is.
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let word = [
            "mail", "queue", "deliver", "store", "message", "sync", "index", "flag",
        ][(state >> 61) as usize];
        mail.extend_from_slice(word.as_bytes());
        mail.extend_from_slice(format!("{:x}", (state >> 40) & 0xfff).as_bytes());
        mail.extend_from_slice(if (state >> 33).is_multiple_of(9) {
            b"\r\n"
        } else {
            b" "
        });
    }
    mail.extend_from_slice(b"\r\n.\r\n");
    mail
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn idle(options: &HashMap<String, String>) {
    let addr = options
        .get("addr")
        .cloned()
        .unwrap_or_else(|| "127.0.0.1:2143".into());
    let connections = number(options, "connections", 1000);
    let accounts = number(options, "accounts", 10);
    let tls = options.contains_key("tls");
    let pids = options.get("pid").cloned().expect("--pid");
    let config = trust::anybody().expect("TLS");
    let open = |n: usize| -> BufReader<Box<dyn Stream>> {
        let tcp = TcpStream::connect(&addr).expect("connect");
        // A line is written in pieces, each of which would wait for the one before.
        tcp.set_nodelay(true).expect("no delay");
        let stream: Box<dyn Stream> = if tls {
            let session =
                ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
            Box::new(StreamOwned::new(session, tcp))
        } else {
            Box::new(tcp)
        };
        let mut stream = BufReader::with_capacity(4096, stream);
        let until = |stream: &mut BufReader<Box<dyn Stream>>, start: &str| {
            let mut line = String::new();
            while !line.starts_with(start) {
                line.clear();
                assert!(
                    stream.read_line(&mut line).expect("a line") > 0,
                    "closed while waiting for {start}"
                );
            }
        };
        until(&mut stream, "* OK");
        write!(
            stream.get_mut(),
            "A LOGIN u{}@example.test demo\r\n",
            n % accounts + 1
        )
        .unwrap();
        until(&mut stream, "A OK");
        stream.get_mut().write_all(b"B SELECT INBOX\r\n").unwrap();
        until(&mut stream, "B OK");
        stream.get_mut().write_all(b"C IDLE\r\n").unwrap();
        until(&mut stream, "+ ");
        stream
    };
    // The first ones pay for what all share.
    let warm: Vec<_> = (0..accounts).map(open).collect();
    std::thread::sleep(Duration::from_secs(1));
    let (_, before) = cost(&pids);
    let held: Vec<_> = (0..connections).map(open).collect();
    std::thread::sleep(Duration::from_secs(2));
    let (_, after) = cost(&pids);
    println!(
        "idle {} x{connections}: {:.1} KB for each connection, resident {} MB",
        if tls { "TLS" } else { "plain" },
        (after as f64 - before as f64) / connections as f64,
        after / 1024
    );
    if let Some(smtp) = options.get("smtp") {
        let mut sessions: Vec<Vec<_>> = (0..accounts).map(|_| Vec::new()).collect();
        for (n, session) in warm.into_iter().chain(held).enumerate() {
            // As `open` chose their accounts.
            let n = if n < accounts { n } else { n - accounts };
            sessions[n % accounts].push(session);
        }
        wake(smtp, &mut sessions, &pids);
    }
}

/// Mails to accounts whose sessions idle.
fn wake<R: BufRead>(smtp: &str, sessions: &mut [Vec<R>], pids: &str) {
    let mut stream = TcpStream::connect(smtp).expect("connect");
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    expect(&mut reader, "220");
    stream.write_all(b"EHLO load.test\r\n").unwrap();
    expect(&mut reader, "250");
    let mut send = |account: usize| {
        write!(
            stream,
            "MAIL FROM:<load@load.test>\r\nRCPT TO:<u{}@example.test>\r\nDATA\r\n",
            account + 1
        )
        .unwrap();
        for code in ["250", "250", "354"] {
            expect(&mut reader, code);
        }
        stream.write_all(&mail(account, 2048)).unwrap();
        expect(&mut reader, "250");
    };
    let told = |sessions: &mut [R]| {
        for session in sessions {
            let mut line = String::new();
            while !line.ends_with(" EXISTS\r\n") {
                line.clear();
                assert!(session.read_line(&mut line).expect("a line") > 0, "closed");
            }
        }
    };
    let (before, _) = cost(pids);
    let mut took = Vec::new();
    for (account, sessions) in sessions.iter_mut().enumerate() {
        send(account);
        let sent = Instant::now();
        told(sessions);
        took.push(sent.elapsed());
    }
    took.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let of = |part: usize| ms(took[(took.len() - 1) * part / 100]);
    println!(
        "told after the 250, the last of {} sessions of an account: median {:.2} ms, 99 % {:.2} ms, worst {:.2} ms",
        sessions[0].len(),
        of(50),
        of(99),
        of(100),
    );
    let began = Instant::now();
    (0..sessions.len()).for_each(&mut send);
    let sent = Instant::now();
    sessions.iter_mut().for_each(|sessions| told(sessions));
    let (after, _) = cost(pids);
    let all: usize = sessions.iter().map(Vec::len).sum();
    println!(
        "{} mails in {:.0} ms; the last of all {all} sessions told {:.1} ms after the last 250; {:.0} CPU us for each session and mail",
        sessions.len(),
        ms(sent - began),
        ms(sent.elapsed()),
        (after - before) * 1000.0 / (2 * all) as f64
    );
}
