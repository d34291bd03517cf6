//! Searching a mailbox of 100,000 messages, with the index and without it, and
//! what making the index costs.
//!
//! ```text
//! search [--messages 100000] [--dir DIR]
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axigen_core::directory::{Directory, NewAccount};
use axigen_core::mailbox::search::{Context, Search};
use axigen_core::mailbox::{Flags, MailboxId, Mailboxes, NewMessage, Place, Quota, Target};
use axigen_core::search::SearchIndex;
use axigen_core::search::feed::Feeder;
use axigen_core::settings::SearchSettings;
use axigen_proto::imap::command::SearchKey;
use axigen_proto::imap::sequence::NumberSet;
use axigen_store::{AccountId, Store};
use bytes::Bytes;

/// Words that occur, the n-th with a frequency of about 1/n.
const WORDS: usize = 60_000;
/// Messages on their way to the store at a time.
const TOGETHER: usize = 64;
const ADDRESS: &str = "alice@example.test";

fn option(name: &str) -> Option<String> {
    let mut args = std::env::args();
    args.find(|arg| arg == name)?;
    args.next()
}

/// Numbers that look random and are always the same.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Small numbers more often than large ones.
    fn rank(&mut self) -> usize {
        let share = self.below(1 << 20) as f64 / f64::from(1 << 20);
        ((WORDS as f64).powf(share) as usize).min(WORDS - 1)
    }

    fn token(&mut self, length: usize) -> String {
        const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        (0..length)
            .map(|_| char::from(DIGITS[self.below(DIGITS.len())]))
            .collect()
    }
}

fn vocabulary() -> Vec<String> {
    const BEGIN: [&str; 18] = [
        "b", "br", "d", "f", "g", "gr", "h", "k", "l", "m", "n", "p", "r", "s", "sch", "st", "t",
        "w",
    ];
    const MIDDLE: [&str; 9] = ["a", "e", "i", "o", "u", "ei", "ä", "ö", "ü"];
    const END: [&str; 8] = ["", "n", "r", "l", "ng", "s", "t", "ch"];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut words = Vec::with_capacity(WORDS);
    let mut known = std::collections::HashSet::new();
    while words.len() < WORDS {
        let mut word = String::new();
        for _ in 0..1 + dice.below(4) {
            word.push_str(BEGIN[dice.below(BEGIN.len())]);
            word.push_str(MIDDLE[dice.below(MIDDLE.len())]);
            word.push_str(END[dice.below(END.len())]);
        }
        if known.insert(word.clone()) {
            words.push(word);
        }
    }
    words
}

fn message(n: usize, words: &[String]) -> NewMessage {
    let mut dice = Dice(n as u64 * 0x9e37_79b9 + 88_172_645_463_325_252);
    let mut text = String::new();
    for at in 0..100 + dice.below(300) {
        text.push_str(&words[dice.rank()]);
        text.push_str(if at % 12 == 11 { ".\r\n" } else { " " });
        if dice.below(60) == 0 {
            let token = dice.token(24);
            text.push_str(&format!("https://www.example.test/click?id={token} "));
        }
    }
    if n.is_multiple_of(20_000) {
        text.push_str("\r\nThe zanzibarische report is in the annex.\r\n");
    }
    let from = words[dice.rank()].clone();
    let subject: Vec<&str> = (0..5).map(|_| words[dice.rank()].as_str()).collect();
    let head = format!(
        "Received: from mx.{from}.test by mail.example.test with ESMTPS id {}; Mon, 23 Nov 2026 10:00:00 +0000\r\nDKIM-Signature: v=1; a=rsa-sha256; d={from}.test; s=k1; h=from:to:subject; bh={}=; b={}==\r\nFrom: {from} <{from}@{from}.test>\r\nTo: {ADDRESS}\r\nSubject: {}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{}@{from}.test>\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        dice.token(12),
        dice.token(43),
        dice.token(342),
        subject.join(" "),
        dice.token(30),
    );
    NewMessage {
        raw: Bytes::from(head + &text),
        internal_date: 1_790_000_000 + n as i64,
        internal_zone: 0,
    }
}

async fn fill(mailboxes: &Mailboxes, account: AccountId, wanted: usize) {
    let words = std::sync::Arc::new(vocabulary());
    let mut tasks = tokio::task::JoinSet::new();
    for first in 0..TOGETHER {
        let (mailboxes, words) = (mailboxes.clone(), words.clone());
        tasks.spawn(async move {
            for n in (first..wanted).step_by(TOGETHER) {
                let target = Target {
                    account,
                    mailbox: Place::Named("INBOX".into()),
                    flags: Flags::default(),
                    quota: Quota::NONE,
                };
                mailboxes
                    .append(message(n, &words), &[target])
                    .await
                    .unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    let size = |entry: std::fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => size_of(&entry.path()),
        false => entry.metadata().unwrap().len(),
    };
    entries.map(|entry| size(entry.unwrap())).sum()
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    let kb: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kb / 1024
}

struct World {
    mailboxes: Mailboxes,
    account: AccountId,
    inbox: MailboxId,
    uids: Vec<u32>,
}

/// What was found, how many messages were looked at, and how long it took.
struct Found {
    uids: Vec<u32>,
    seen: usize,
    took: Duration,
}

impl World {
    /// As the IMAP service searches.
    async fn search(&self, index: &SearchIndex, key: &SearchKey) -> Found {
        let start = Instant::now();
        let none = NumberSet::new();
        let context = Context {
            messages: self.uids.len() as u32,
            largest_uid: *self.uids.last().unwrap(),
            now: 0,
            saved: &none,
            recent: &none,
        };
        let mut search = Search::new(std::slice::from_ref(key), &context);
        let narrowed = index
            .narrow(
                &self.mailboxes,
                self.account,
                self.inbox,
                &mut search,
                &self.uids,
            )
            .await;
        let candidates = narrowed.as_deref().unwrap_or(&self.uids);
        let mut uids = Vec::new();
        for page in candidates.chunks(1000) {
            let rows = self.mailboxes.rows(self.account, self.inbox, page);
            for row in rows.await.unwrap() {
                let seq = self.uids.partition_point(|uid| *uid < row.uid) as u32 + 1;
                let yes = self.mailboxes.matches(self.account, &search, seq, &row);
                if yes.await.unwrap() {
                    uids.push(row.uid);
                }
            }
        }
        Found {
            uids,
            seen: candidates.len(),
            took: start.elapsed(),
        }
    }
}

#[tokio::main]
async fn main() {
    let wanted = option("--messages").map_or(100_000, |n| n.parse().unwrap());
    let temp = tempfile::tempdir().unwrap();
    let dir = option("--dir").map_or_else(|| temp.path().join("store"), PathBuf::from);
    let store = Store::open(&dir).await.unwrap();
    let mailboxes = Mailboxes::new(store.clone());
    let directory = Directory::new(store.clone(), mailboxes.clone()).unwrap();
    let start = Instant::now();
    let account = match directory.account(ADDRESS).await {
        Ok(account) => account.id,
        Err(_) => {
            directory.add_domain("example.test").await.unwrap();
            let new = NewAccount {
                address: ADDRESS.into(),
                password: "secret".into(),
                ..NewAccount::default()
            };
            let account = directory.add_account(new).await.unwrap().id;
            fill(&mailboxes, account, wanted).await;
            account
        }
    };
    let inbox = mailboxes.find(account, "INBOX").await.unwrap();
    println!(
        "{} messages of {} bytes on average, filled in {:.1?}, {} MB on disk, resident {} MB",
        inbox.messages,
        inbox.size / u64::from(inbox.messages),
        start.elapsed(),
        size_of(&dir) >> 20,
        resident()
    );
    let search_dir = dir.join("search");
    let _ = std::fs::remove_dir_all(&search_dir);
    let index = SearchIndex::open(&search_dir, SearchSettings::default());
    let start = Instant::now();
    let feed = Feeder::catch_up(index, mailboxes.clone(), directory.clone(), |_| {});
    feed.await.unwrap();
    let took = start.elapsed();
    println!(
        "indexed in {took:.1?}, {:.0} messages a second, index {} MB, resident {} MB",
        f64::from(inbox.messages) / took.as_secs_f64(),
        size_of(&search_dir) >> 20,
        resident()
    );
    let index = SearchIndex::open(&search_dir, SearchSettings::default());
    let start = Instant::now();
    let feed = Feeder::catch_up(index.clone(), mailboxes.clone(), directory, |_| {});
    feed.await.unwrap();
    println!("opened and checked in {:.1?}", start.elapsed());

    let (uids, _) = mailboxes.uids(account, inbox.id).await.unwrap();
    let world = World {
        mailboxes,
        account,
        inbox: inbox.id,
        uids,
    };
    let words = vocabulary();
    let rare = words[WORDS / 2].clone();
    let middle = words[WORDS / 20].clone();
    let inner: String = middle.chars().skip(1).collect();
    let body = |text: &str| SearchKey::Body(text.into());
    let keys = [
        ("BODY, in 5 messages", body("zanzibarische")),
        ("BODY, inside that word", body("nzibarisch")),
        ("BODY, several words", body("the zanzibarische rep")),
        ("BODY, in none", body("xylophonmusik")),
        ("BODY, a rare word", body(&rare)),
        ("BODY, a word of the middle", body(&middle)),
        ("BODY, inside it", body(&inner)),
        (
            "TEXT, in 5 messages",
            SearchKey::Text("zanzibarische".into()),
        ),
        (
            "SUBJECT, a word of the middle",
            SearchKey::Subject(middle.clone()),
        ),
        ("FROM, a rare word", SearchKey::From(rare.clone())),
        ("BODY, two letters", body("sx")),
        (
            "NOT SUBJECT",
            SearchKey::Not(Box::new(SearchKey::Subject(middle.clone()))),
        ),
    ];
    println!(
        "{:32}{:>9}{:>12}{:>14}{:>16}",
        "", "found", "looked at", "with", "without"
    );
    for (name, key) in keys {
        let cold = world.search(&index, &key).await;
        let warm = world.search(&index, &key).await;
        let without = world.search(&SearchIndex::off(), &key).await;
        assert_eq!(warm.uids, without.uids, "{name}");
        assert_eq!(cold.uids, without.uids, "{name}");
        println!(
            "{name:32}{:>9}{:>12}{:>11.1} ms{:>13.0} ms",
            warm.uids.len(),
            warm.seen,
            warm.took.as_secs_f64() * 1e3,
            without.took.as_secs_f64() * 1e3
        );
    }
    println!("resident {} MB", resident());
    drop(world);
    store.close().await.unwrap();
}
