//! A POP3 session over a large maildrop: how long it takes to open, to list, and
//! to delete everything in one step, and what memory that takes.
//!
//! ```text
//! maildrop [--messages 100000] [--dir DIR]
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Instant;

use axigen_core::directory::NewAccount;
use axigen_core::engine::Engine;
use axigen_core::mailbox::{Flags, NewMessage, Place, Quota, Target};
use axigen_core::settings::TlsMode;
use axigen_store::Store;
use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const USER: &str = "ann@example.test";
/// Messages of one batch.
const TOGETHER: usize = 1000;
/// DELE commands sent at once.
const PIPELINED: usize = 500;

fn option(name: &str) -> Option<String> {
    let mut args = std::env::args();
    args.find(|arg| arg == name)?;
    args.next()
}

/// Memory of this process in KB: now (`VmRSS`), or the most so far (`VmHWM`).
fn memory(which: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(which));
    let value = line.and_then(|line| line.split_whitespace().nth(1));
    value.unwrap().parse().unwrap()
}

async fn fill(store: &Store, wanted: usize) {
    let engine = Engine::builder(store.clone()).build().unwrap();
    let directory = engine.directory();
    directory.add_domain("example.test").await.unwrap();
    let account = NewAccount {
        address: USER.into(),
        password: "secret".into(),
        ..NewAccount::default()
    };
    let account = directory.add_account(account).await.unwrap().id;
    let target = Target {
        account,
        mailbox: Place::Named("INBOX".into()),
        flags: Flags::default(),
        quota: Quota::NONE,
    };
    let message = |n: usize| NewMessage {
        raw: Bytes::from(format!(
            "From: Bob <bob@example.test>\r\nSubject: message {n}\r\nMessage-ID: <{n}@example.test>\r\n\r\nThe text of message {n}.\r\n"
        )),
        internal_date: 1_790_000_000 + n as i64,
        internal_zone: 0,
    };
    for from in (0..wanted).step_by(TOGETHER) {
        let numbers = from..wanted.min(from + TOGETHER);
        let messages: Vec<_> = numbers.map(|n| (message(n), target.clone())).collect();
        let mailboxes = engine.mailboxes();
        mailboxes.append_all(&messages, None).await.unwrap();
    }
    let mailboxes = engine.mailboxes();
    let inbox = mailboxes.find(account, "INBOX").await.unwrap().id;
    mailboxes.fold(account, inbox).await.unwrap();
}

struct Client(BufReader<TcpStream>);

impl Client {
    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line
    }

    async fn ask(&mut self, command: &str) -> String {
        let command = format!("{command}\r\n");
        self.0
            .get_mut()
            .write_all(command.as_bytes())
            .await
            .unwrap();
        let line = self.line().await;
        assert!(line.starts_with("+OK"), "{command}{line}");
        line
    }

    /// Lines up to the dot.
    async fn list(&mut self, command: &str) -> usize {
        self.ask(command).await;
        let mut lines = 0;
        while self.line().await != ".\r\n" {
            lines += 1;
        }
        lines
    }
}

#[tokio::main]
async fn main() {
    let wanted = option("--messages").map_or(100_000, |n| n.parse().unwrap());
    let temp = tempfile::tempdir().unwrap();
    let dir = option("--dir").map_or_else(|| temp.path().join("store"), PathBuf::from);
    let start = Instant::now();
    let store = Store::open(&dir).await.unwrap();
    fill(&store, wanted).await;
    store.close().await.unwrap();
    println!("filled with {wanted} messages in {:.1?}", start.elapsed());

    let store = Store::open(&dir).await.unwrap();
    let engine = Engine::builder(store.clone()).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = engine.serve("pop3", listener, TlsMode::None).unwrap();
    for round in ["cold", "warm"] {
        let stream = TcpStream::connect(addr).await.unwrap();
        let mut client = Client(BufReader::new(stream));
        client.line().await;
        client.ask(&format!("USER {USER}")).await;
        let start = Instant::now();
        client.ask("PASS secret").await;
        println!("{round}: logged in and opened in {:.0?}", start.elapsed());
        let start = Instant::now();
        let said = client.ask("STAT").await;
        println!("  STAT {:.0?}: {}", start.elapsed(), said.trim_end());
        for command in ["LIST", "UIDL"] {
            let start = Instant::now();
            let lines = client.list(command).await;
            println!("  {command} of {lines} in {:.0?}", start.elapsed());
        }
        println!("  resident {} MB", memory("VmRSS") / 1024);
        if round == "cold" {
            client.ask("QUIT").await;
            continue;
        }
        let start = Instant::now();
        for from in (1..=wanted).step_by(PIPELINED) {
            let numbers = from..(from + PIPELINED).min(wanted + 1);
            let commands: String = numbers.clone().map(|n| format!("DELE {n}\r\n")).collect();
            client
                .0
                .get_mut()
                .write_all(commands.as_bytes())
                .await
                .unwrap();
            for _ in numbers {
                assert!(client.line().await.starts_with("+OK"));
            }
        }
        println!("  DELE of all, pipelined, in {:.1?}", start.elapsed());
        let (now, most) = (memory("VmRSS"), memory("VmHWM"));
        let start = Instant::now();
        client.ask("QUIT").await;
        println!(
            "  QUIT, which removes them, in {:.1?}; resident {} MB before, at most {} MB (before it {} MB)",
            start.elapsed(),
            now / 1024,
            memory("VmHWM") / 1024,
            most / 1024
        );
    }
    engine.shutdown().await.unwrap();
}
