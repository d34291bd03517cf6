//! A queue of a million: what a start, a look, a change and a message through it
//! cost, beside a queue of ten thousand.
//!
//! ```text
//! big_queue [--entries 1000000] [--dir DIR]
//! ```
//! Half of the entries are due, over a thousand domains; the others wait for
//! tomorrow. Then the same with all of them to one domain. The hosts of all
//! domains are a sink in this process.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axigen_core::delivery::{Accepted, Answers, Envelope, Outcome};
use axigen_core::dns::{self, Answer, Mx, Resolver, Tlsa};
use axigen_core::engine::Engine;
use axigen_core::queue::entry::EntryId;
use axigen_core::queue::list::Filter;
use axigen_core::settings::{Settings, TlsPolicy};
use axigen_store::Store;
use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Entries of a message.
const BATCH: usize = 1000;
const SMALL: usize = 10_000;

fn option(name: &str) -> Option<String> {
    let mut args = std::env::args();
    args.find(|arg| arg == name)?;
    args.next()
}

/// MB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kb: u64 = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kb / 1024
}

/// All names are here.
#[derive(Debug)]
struct Here;

#[async_trait]
impl Resolver for Here {
    async fn mx(&self, name: &str) -> dns::Result<Answer<Mx>> {
        Ok(Answer::none(name, true, false))
    }
    async fn addresses(&self, name: &str) -> dns::Result<Answer<IpAddr>> {
        Ok(Answer {
            records: vec![Ipv4Addr::LOCALHOST.into()],
            ttl: Duration::from_secs(3600),
            ..Answer::none(name, true, false)
        })
    }
    async fn texts(&self, name: &str) -> dns::Result<Answer<Vec<u8>>> {
        Ok(Answer::none(name, true, false))
    }
    async fn tlsa(&self, name: &str) -> dns::Result<Answer<Tlsa>> {
        Ok(Answer::none(name, true, false))
    }
    async fn names(&self, _: IpAddr) -> dns::Result<Answer<String>> {
        Ok(Answer::none("", true, false))
    }
}

/// Takes everything.
async fn sink(stream: TcpStream, count: Arc<AtomicU64>) -> Option<()> {
    let (from, mut to) = stream.into_split();
    let mut lines = BufReader::new(from);
    to.write_all(b"220 sink.test\r\n").await.ok()?;
    let (mut line, mut data) = (Vec::new(), false);
    while lines.read_until(b'\n', &mut line).await.ok()? > 0 {
        let reply: &[u8] = match line.get(..4).unwrap_or(&line) {
            _ if data && line != b".\r\n" => b"",
            _ if data => {
                data = false;
                count.fetch_add(1, Ordering::Relaxed);
                b"250 2.0.0 taken\r\n"
            }
            b"DATA" => {
                data = true;
                b"354 go on\r\n"
            }
            b"EHLO" => b"250-sink.test\r\n250 PIPELINING\r\n",
            _ => b"250 ok\r\n",
        };
        to.write_all(reply).await.ok()?;
        line.clear();
    }
    None
}

async fn engine(dir: &Path, port: u16) -> Engine {
    let store = Store::open(dir).await.unwrap();
    let mut settings = Settings {
        hostname: "mail.here.test".into(),
        ..Settings::default()
    };
    settings.smtp_out.enable = true;
    settings.smtp_out.mx_port = port;
    settings.smtp_out.tls = TlsPolicy::None;
    settings.smtp_out.recipients = 1;
    Engine::builder(store)
        .settings(settings)
        .resolver(Here)
        .build()
        .unwrap()
}

fn message(n: usize) -> Bytes {
    let lines = "A line of this text, as there are many.\r\n".repeat(20);
    format!("From: ann@here.test\r\nSubject: message {n}\r\n\r\n{lines}").into()
}

async fn deliver(engine: &Engine, n: usize, to: &[Accepted], later: bool) {
    let mut envelope = Envelope::new(format!("m{n}"), "ann@elsewhere.test");
    if later {
        let clock = engine.queue().clock();
        let tomorrow = clock.now().checked_add(Duration::from_secs(86_400));
        envelope.not_before = Some(tomorrow.unwrap());
    }
    let done = engine
        .delivery()
        .deliver(message(n), &envelope, to, Answers::One)
        .await;
    assert!(done.iter().all(|done| *done == Outcome::Queued), "{done:?}");
}

async fn accepted(engine: &Engine, user: usize, domain: usize) -> Accepted {
    let (user, domain) = (format!("u{user}"), format!("d{domain}.test"));
    let accepted = engine.delivery().accept(Some((&user, &domain)), true, None);
    accepted.await.unwrap()
}

fn say(what: &str, of: Duration, count: u32) {
    let each = of.as_secs_f64() * 1e6 / f64::from(count);
    println!("  {what}: {each:.0} us");
}

async fn measure(dir: &Path, entries: usize, domains: usize, port: u16, count: &AtomicU64) {
    println!("{entries} entries to {domains} domains");
    let first = engine(dir, port).await;
    // As the service does it at its first start: the index is there from then on.
    assert!(!first.queue().is_waiting("d0.test").await.unwrap());
    let mut all = Vec::new();
    for user in 0..BATCH {
        all.push(accepted(&first, user, user % domains).await);
    }
    let start = Instant::now();
    for n in 0..entries / BATCH {
        deliver(&first, n, &all, n % 2 == 1).await;
    }
    println!("  filled, a thousand in a batch: {:.1?}", start.elapsed());
    first.shutdown().await.unwrap();
    drop(first);

    let start = Instant::now();
    let engine = engine(dir, port).await;
    println!(
        "  opened: {:.1?}, resident {} MB",
        start.elapsed(),
        resident()
    );
    let queue = engine.queue();
    let start = Instant::now();
    assert_eq!(queue.stat().await.unwrap().entries as usize, entries);
    say("stat, cold", start.elapsed(), 1);
    let start = Instant::now();
    for n in 0..100u64 {
        let message = n * 7 % (entries / BATCH) as u64 + 1;
        let from = EntryId { message, part: 500 };
        let page = queue.list(&Filter::default(), Some(from), 100).await;
        assert!(page.unwrap().entries.len() == 100 || message as usize == entries / BATCH);
    }
    say("a page of 100", start.elapsed(), 100);
    let nobody = Filter {
        sender: Some("eve@nowhere.test".into()),
        ..Filter::default()
    };
    let start = Instant::now();
    let page = queue.list(&nobody, None, 100).await.unwrap();
    assert!(page.entries.is_empty());
    say("a page in which nothing is meant", start.elapsed(), 1);
    let domain = Filter {
        domain: Some("d0.test".into()),
        ..Filter::default()
    };
    let start = Instant::now();
    let page = queue.list(&domain, None, 100).await.unwrap();
    say("a page of 100 of one domain", start.elapsed(), 1);
    assert_eq!(page.entries.len(), 100.min(entries / domains));
    let start = Instant::now();
    let (mut from, mut seen) = (None, 0);
    loop {
        let page = queue.list(&Filter::default(), from, 500).await.unwrap();
        seen += page.entries.len();
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, entries);
    println!(
        "  all listed: {:.1?}, resident {} MB",
        start.elapsed(),
        resident()
    );
    let start = Instant::now();
    for part in 0..200 {
        let id = EntryId { message: 2, part };
        queue.hold(id).await.unwrap();
        queue.release(id).await.unwrap();
    }
    say("hold or release one", start.elapsed(), 400);
    let start = Instant::now();
    if domains > 1 {
        let retried = queue.retry_lane("d7.test").await.unwrap();
        println!(
            "  a domain retried, {retried} entries: {:.1?}",
            start.elapsed()
        );
    }
    let one = [accepted(&engine, 7, 7).await];
    let start = Instant::now();
    for n in 0..400 {
        deliver(&engine, entries + n, &one, true).await;
    }
    say("a message into it", start.elapsed(), 400);

    let before = count.load(Ordering::Relaxed);
    let start = Instant::now();
    engine.start_service("smtp_out").await.unwrap();
    while count.load(Ordering::Relaxed) == before {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    println!(
        "  from the start of sending to the first message out: {:.1?}",
        start.elapsed()
    );
    let mut most = 0;
    let (start, before) = (Instant::now(), count.load(Ordering::Relaxed));
    while start.elapsed() < Duration::from_secs(20)
        && (count.load(Ordering::Relaxed) as usize) < entries / 2
    {
        most = most.max(resident());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let sent = count.load(Ordering::Relaxed) - before;
    println!(
        "  sent while it runs: {:.0} a second, resident {most} MB at most",
        sent as f64 / start.elapsed().as_secs_f64()
    );
    engine.shutdown().await.unwrap();
    count.store(0, Ordering::Relaxed);
}

#[tokio::main]
async fn main() {
    let entries = option("--entries").map_or(1_000_000, |n| n.parse().unwrap());
    let temp = tempfile::tempdir().unwrap();
    let dir = option("--dir").map_or_else(|| temp.path().to_owned(), PathBuf::from);
    let count = Arc::new(AtomicU64::new(0));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let counter = count.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(sink(stream, counter.clone()));
        }
    });
    measure(&dir.join("small"), SMALL, BATCH, port, &count).await;
    measure(&dir.join("big"), entries, BATCH, port, &count).await;
    measure(&dir.join("one"), entries, 1, port, &count).await;
}
