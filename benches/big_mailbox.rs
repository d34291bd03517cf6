//! A mailbox of a million: what listing, reading and changing it costs, beside an empty one.
//!
//! ```text
//! big_mailbox [--messages 1000000] [--dir DIR]
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::PathBuf;
use std::time::Instant;

use axigen_core::mailbox::{
    FlagChange, Flags, MailboxId, Mailboxes, NewMessage, Place, Quota, Target,
};
use axigen_store::{AccountId, Store};
use bytes::Bytes;

const ACCOUNT: AccountId = AccountId(1);

fn option(name: &str) -> Option<String> {
    let mut args = std::env::args();
    args.find(|arg| arg == name)?;
    args.next()
}

fn message(n: usize) -> NewMessage {
    let text = format!(
        "From: Alice <alice@example.test>\r\nTo: bob@example.test\r\nSubject: message {n}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{n}@example.test>\r\n\r\nThe text of message {n}.\r\n"
    );
    NewMessage {
        raw: Bytes::from(text),
        internal_date: 1_790_000_000 + n as i64,
        internal_zone: 0,
    }
}

fn target(mailbox: &str) -> Target {
    Target {
        account: ACCOUNT,
        mailbox: Place::Named(mailbox.into()),
        flags: Flags::default(),
        quota: Quota::NONE,
    }
}

/// What `count` deliveries one after the other take, in microseconds each.
async fn deliveries(mailboxes: &Mailboxes, mailbox: &str, count: usize) -> f64 {
    let start = Instant::now();
    for n in 0..count {
        mailboxes
            .append(message(n), &[target(mailbox)])
            .await
            .unwrap();
    }
    start.elapsed().as_secs_f64() * 1e6 / count as f64
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn fill(mailboxes: &Mailboxes, wanted: usize) -> MailboxId {
    for n in 0..1000 {
        mailboxes
            .append(message(n), &[target("Seed")])
            .await
            .unwrap();
    }
    let seed = mailboxes.find(ACCOUNT, "Seed").await.unwrap().id;
    let inbox = mailboxes.find(ACCOUNT, "INBOX").await.unwrap().id;
    let (uids, _) = mailboxes.uids(ACCOUNT, seed).await.unwrap();
    for _ in 0..wanted.div_ceil(1000) {
        mailboxes
            .copy(ACCOUNT, seed, &uids, inbox, Quota::NONE)
            .await
            .unwrap();
    }
    inbox
}

#[tokio::main]
async fn main() {
    let wanted = option("--messages").map_or(1_000_000, |n| n.parse().unwrap());
    let temp = tempfile::tempdir().unwrap();
    let dir = option("--dir").map_or_else(|| temp.path().join("store"), PathBuf::from);

    let start = Instant::now();
    let store = Store::open(&dir).await.unwrap();
    let mailboxes = Mailboxes::new(store.clone());
    mailboxes.create_account(ACCOUNT).await.unwrap();
    let inbox = fill(&mailboxes, wanted).await;
    println!("filled with {wanted} copies in {:.1?}", start.elapsed());
    let start = Instant::now();
    mailboxes.fold(ACCOUNT, inbox).await.unwrap();
    println!("what was left to fold: {:.1?}", start.elapsed());
    drop(mailboxes);
    store.close().await.unwrap();

    let start = Instant::now();
    let store = Store::open(&dir).await.unwrap();
    let mailboxes = Mailboxes::new(store.clone());
    println!(
        "opened in {:.1?}, resident {} MB",
        start.elapsed(),
        resident() / 1024
    );
    let start = Instant::now();
    let (uids, _) = mailboxes.uids(ACCOUNT, inbox).await.unwrap();
    println!(
        "{} UIDs listed, cold, in {:.1?}",
        uids.len(),
        start.elapsed()
    );
    let start = Instant::now();
    let mut rows = 0;
    for page in uids.chunks(1000) {
        rows += mailboxes.rows(ACCOUNT, inbox, page).await.unwrap().len();
    }
    println!(
        "{rows} rows read in {:.1?}, resident {} MB",
        start.elapsed(),
        resident() / 1024
    );
    let start = Instant::now();
    let mut subjects = 0;
    for page in uids.chunks(1000) {
        let rows = mailboxes.rows(ACCOUNT, inbox, page).await.unwrap();
        let items: Vec<_> = rows.iter().map(|row| row.item).collect();
        let structures = mailboxes.structures(ACCOUNT, &items).await.unwrap();
        subjects += structures.iter().flatten().count();
    }
    println!(
        "{subjects} envelopes read (what FETCH ENVELOPE does) in {:.1?}, resident {} MB",
        start.elapsed(),
        resident() / 1024
    );
    let start = Instant::now();
    for n in 0..1000 {
        let uid = uids[(n * 997) % uids.len()];
        let change = FlagChange::Add(Flags::from(Flags::SEEN));
        mailboxes
            .store_flags(ACCOUNT, inbox, &[uid], &change, None)
            .await
            .unwrap();
    }
    println!(
        "a flag of one message: {:.0} us",
        start.elapsed().as_secs_f64() * 1e3
    );
    let start = Instant::now();
    let change = FlagChange::Add(Flags::from(Flags::FLAGGED));
    mailboxes
        .store_flags(
            ACCOUNT,
            inbox,
            &uids[..uids.len().min(100_000)],
            &change,
            None,
        )
        .await
        .unwrap();
    println!("flags of 100,000 messages: {:.1?}", start.elapsed());
    deliveries(&mailboxes, "Empty", 200).await;
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let empty = deliveries(&mailboxes, "Empty", 400).await;
        let large = deliveries(&mailboxes, "INBOX", 400).await;
        ratios.push(large / empty);
        println!(
            "a delivery: {empty:.0} us into a small mailbox, {large:.0} us into the large one"
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2}", ratios[2]);
    drop(mailboxes);
    store.close().await.unwrap();
}
