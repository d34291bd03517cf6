//! With the index and without it: the same answers, whatever happens to it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use axigen_proto::imap::command::SearchKey;
use axigen_proto::imap::sequence::{NumberSet, SequenceSet};
use axigen_store::Store;
use base64::Engine as _;
use bytes::Bytes;
use proptest::prelude::*;

use super::feed::Feeder;
use super::*;
use crate::directory::{Directory, NewAccount};
use crate::mailbox::search::Context;
use crate::mailbox::{FlagChange, Flags, NewMessage, Place, Quota, Target};

struct World {
    mailboxes: Mailboxes,
    directory: Directory,
    dir: tempfile::TempDir,
    account: AccountId,
    settings: SearchSettings,
    index: SearchIndex,
}

impl World {
    async fn new() -> World {
        let store = Store::memory().await.unwrap();
        let mailboxes = Mailboxes::new(store.clone());
        let directory = Directory::new(store, mailboxes.clone()).unwrap();
        directory.add_domain("x.test").await.unwrap();
        let account = add_account(&directory, "a@x.test").await;
        let dir = tempfile::tempdir().unwrap();
        let settings = SearchSettings {
            batch: 3,
            ..SearchSettings::default()
        };
        let index = SearchIndex::open(dir.path(), settings.clone());
        World {
            mailboxes,
            directory,
            dir,
            account,
            settings,
            index,
        }
    }

    async fn put(&self, mailbox: &str, raw: &str) -> u32 {
        self.put_for(self.account, mailbox, raw).await
    }

    async fn put_for(&self, account: AccountId, mailbox: &str, raw: &str) -> u32 {
        let message = NewMessage {
            raw: Bytes::copy_from_slice(raw.as_bytes()),
            internal_date: 0,
            internal_zone: 0,
        };
        let target = Target {
            account,
            mailbox: Place::Named(mailbox.into()),
            flags: Flags::default(),
            quota: Quota::NONE,
        };
        let done = self.mailboxes.append(message, &[target]).await.unwrap();
        done[0].uid
    }

    async fn id(&self, mailbox: &str) -> MailboxId {
        let got = self.mailboxes.find(self.account, mailbox).await;
        got.unwrap().id
    }

    async fn feed(&self) {
        let (index, mailboxes) = (self.index.clone(), self.mailboxes.clone());
        Feeder::catch_up(index, mailboxes, self.directory.clone(), |_| {})
            .await
            .unwrap();
    }

    /// As after a restart.
    fn reopen(&mut self) {
        self.index = SearchIndex::open(self.dir.path(), self.settings.clone());
    }

    async fn candidates(&self, mailbox: &str, key: SearchKey) -> Option<Vec<u32>> {
        let mailbox = self.id(mailbox).await;
        let (uids, _) = self.mailboxes.uids(self.account, mailbox).await.unwrap();
        let mut search = search(&[key], &uids);
        self.index
            .narrow(&self.mailboxes, self.account, mailbox, &mut search, &uids)
            .await
    }

    /// UIDs that match, by the index and by reading all messages.
    async fn both(&self, mailbox: &str, key: &SearchKey) -> (Vec<u32>, Vec<u32>) {
        let of = self.id(mailbox).await;
        let (uids, _) = self.mailboxes.uids(self.account, of).await.unwrap();
        let mut search = search(std::slice::from_ref(key), &uids);
        let mut all = Vec::new();
        for row in self.mailboxes.rows(self.account, of, &uids).await.unwrap() {
            let seq = 1 + uids.iter().position(|uid| *uid == row.uid).unwrap() as u32;
            let yes = self.mailboxes.matches(self.account, &search, seq, &row);
            if yes.await.unwrap() {
                all.push(row.uid);
            }
        }
        let narrowed = self
            .index
            .narrow(&self.mailboxes, self.account, of, &mut search, &uids);
        let candidates = narrowed.await.unwrap_or(uids.clone());
        let mut found = Vec::new();
        for row in self
            .mailboxes
            .rows(self.account, of, &candidates)
            .await
            .unwrap()
        {
            let seq = 1 + uids.iter().position(|uid| *uid == row.uid).unwrap() as u32;
            // With what the search has learned.
            let yes = self.mailboxes.matches(self.account, &search, seq, &row);
            if yes.await.unwrap() {
                found.push(row.uid);
            }
        }
        (found, all)
    }

    fn shard_dir(&self) -> PathBuf {
        let number = shard_of(self.account);
        self.dir.path().join(format!("{number:02}"))
    }
}

async fn add_account(directory: &Directory, address: &str) -> AccountId {
    let new = NewAccount {
        address: address.into(),
        password: "secret".into(),
        ..NewAccount::default()
    };
    directory.add_account(new).await.unwrap().id
}

fn search(keys: &[SearchKey], uids: &[u32]) -> Search {
    let none = NumberSet::new();
    let context = Context {
        messages: uids.len() as u32,
        largest_uid: uids.last().copied().unwrap_or(0),
        now: 0,
        saved: &none,
        recent: &none,
    };
    Search::new(keys, &context)
}

fn body(text: &str) -> SearchKey {
    SearchKey::Body(text.into())
}

fn simple(subject: &str, text: &str) -> String {
    format!(
        "From: Ann <ann@x.test>\r\nSubject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    )
}

#[tokio::test]
async fn the_index_narrows() {
    let mut world = World::new().await;
    let mut uids = Vec::new();
    for text in [
        "Viele Grüße aus Köln",
        "Greetings from Cologne",
        "Donaudampfschifffahrtsgesellschaftskapitän",
        "order a81f-4471 is 日本語のメール",
        "the end of a line, and\r\nthe beginning of another",
    ] {
        uids.push(world.put("INBOX", &simple("Hello", text)).await);
    }
    assert_eq!(world.candidates("INBOX", body("köln")).await, None);
    world.feed().await;
    for _ in 0..2 {
        for (text, want) in [
            ("KÖLN", vec![0]),
            ("ol", vec![0, 1, 2, 3, 4]), // too short to look for
            ("öl", vec![0]),             // three characters, decomposed
            ("from", vec![1]),
            ("ologn", vec![1]),
            ("kapitän", vec![2]),
            ("dampfschifffahrtsgesell", vec![2]),
            ("4471", vec![3]),
            ("a81", vec![3]),
            ("本語", vec![3]),
            ("本語の", vec![3]),
            ("line, and\r\nthe", vec![4]),
            ("of a l", vec![4]),
            ("nothing", vec![]),
            ("kölnx", vec![]),
            // One candidate is few enough: the rest of the string is not asked for.
            ("aus kölnx", vec![0]),
        ] {
            let want: Vec<u32> = want.into_iter().map(|at: usize| uids[at]).collect();
            let got = world.candidates("INBOX", body(text)).await;
            assert_eq!(got.unwrap_or(uids.clone()), want, "{text:?}");
        }
        let not = SearchKey::Not(Box::new(body("köln")));
        assert_eq!(world.candidates("INBOX", not.clone()).await, None);
        let or = |a: SearchKey, b: SearchKey| SearchKey::Or(Box::new(a), Box::new(b));
        let got = world.candidates("INBOX", or(body("köln"), not)).await;
        assert_eq!(got, None);
        let got = world.candidates("INBOX", or(body("köln"), body("cologne")));
        assert_eq!(got.await.unwrap(), uids[..2]);
        let both = SearchKey::And(vec![body("the"), SearchKey::Subject("ell".into())]);
        assert_eq!(world.candidates("INBOX", both).await.unwrap(), uids[4..]);
        let got = world.candidates("INBOX", SearchKey::Subject("köln".into()));
        assert_eq!(got.await, Some(vec![]));
        world.reopen();
        world.feed().await;
    }
}

#[tokio::test]
async fn what_is_not_in_yet_is_a_candidate() {
    let world = World::new().await;
    world.put("INBOX", &simple("one", "apple")).await;
    world.feed().await;
    let late = world.put("INBOX", &simple("two", "banana")).await;
    let got = world.candidates("INBOX", body("cherry")).await;
    assert_eq!(got.unwrap(), [late]);
    world.feed().await;
    let got = world.candidates("INBOX", body("cherry")).await;
    assert_eq!(got, Some(vec![]));
}

#[tokio::test]
async fn moved_removed_and_deleted_messages_follow() {
    let mut world = World::new().await;
    let m = world.mailboxes.clone();
    let of = world.account;
    for n in 0..10 {
        world
            .put("INBOX", &simple("x", &format!("apple n{n}")))
            .await;
        world.put("Old", &simple("x", "apple")).await;
    }
    let inbox = world.id("INBOX").await;
    let old = world.id("Old").await;
    world.feed().await;
    let messages = |world: &World| -> u64 {
        world
            .index
            .status()
            .iter()
            .map(|shard| shard.messages)
            .sum()
    };
    assert_eq!(messages(&world), 20);
    let seen = FlagChange::Add(Flags::from(Flags::SEEN));
    m.create(of, "New", None).await.unwrap();
    let new = world.id("New").await;
    m.move_(of, inbox, &[1, 2], new).await.unwrap();
    m.copy(of, inbox, &[3], new, Quota::NONE).await.unwrap();
    m.remove(of, inbox, &[4, 5]).await.unwrap();
    m.store_flags(of, inbox, &[6], &seen, None).await.unwrap();
    m.delete(of, "Old").await.unwrap();
    world.feed().await;
    assert_eq!(messages(&world), 9);
    let got = world.candidates("New", body("apple")).await;
    assert_eq!(got.unwrap(), [1, 2, 3]);
    let got = world.candidates("INBOX", body("apple")).await;
    assert_eq!(got.unwrap(), [3, 6, 7, 8, 9, 10]);
    assert!(!m.mailbox_ids(of).await.unwrap().contains(&old));
    // A log that does not reach back: begun anew.
    world.put("INBOX", &simple("x", "melon")).await;
    m.cut_log(of, u64::MAX).await.unwrap();
    assert_eq!(world.candidates("INBOX", body("melon")).await, None);
    world.feed().await;
    let got = world.candidates("INBOX", body("melon")).await;
    assert_eq!(got.unwrap(), [11]);
    assert_eq!(messages(&world), 10);

    // An account that is removed, before and after a restart.
    let other = add_account(&world.directory, "b@x.test").await;
    let third = add_account(&world.directory, "c@x.test").await;
    for account in [other, third] {
        world.put_for(account, "INBOX", &simple("x", "apple")).await;
    }
    world.feed().await;
    assert_eq!(messages(&world), 12);
    world.directory.remove_account("b@x.test").await.unwrap();
    world.feed().await;
    assert_eq!(messages(&world), 11);
    world.directory.remove_account("c@x.test").await.unwrap();
    world.reopen();
    world.feed().await;
    assert_eq!(messages(&world), 10);
}

#[tokio::test]
async fn a_damaged_index_is_built_anew() {
    let mut world = World::new().await;
    for n in 0..30 {
        let text = format!("apple number{n} {}", "word ".repeat(n));
        world.put("INBOX", &simple("x", &text)).await;
    }
    world.feed().await;
    let dir = world.shard_dir();
    let names = || {
        let names = fs::read_dir(&dir).unwrap();
        let mut names: Vec<PathBuf> = names.map(|file| file.unwrap().path()).collect();
        names.sort();
        names
    };
    // Names differ after each time, but not how many kinds there are.
    for kind in [
        "VERSION",
        "meta.json",
        ".managed.json",
        "term",
        "idx",
        "pos",
        "fast",
        "store",
    ] {
        for damage in 0..4 {
            let is_one = |path: &PathBuf| path.to_string_lossy().ends_with(kind);
            let Some(path) = names().into_iter().find(is_one) else {
                continue;
            };
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            match damage {
                0 => bytes[middle] ^= 0x55,
                1 => bytes.truncate(middle),
                2 => bytes.clear(),
                _ => {}
            }
            match damage {
                3 => fs::remove_file(&path).unwrap(),
                _ => fs::write(&path, &bytes).unwrap(),
            }
            world.reopen();
            world.feed().await;
            let got = world.candidates("INBOX", body("umber7")).await;
            assert_eq!(got, Some(vec![8]), "{kind} {damage}");
        }
    }
    fs::remove_dir_all(&dir).unwrap();
    world.reopen();
    world.feed().await;
    let got = world.candidates("INBOX", body("umber7")).await;
    assert_eq!(got, Some(vec![8]));
}

#[tokio::test]
async fn an_index_that_breaks_while_it_is_used_narrows_nothing() {
    let world = World::new().await;
    for n in 0..400 {
        let text: String = (0..40)
            .map(|k| format!("w{}x ", (n * 41 + k) * 7919 % 99_991))
            .collect();
        world
            .put("INBOX", &simple("x", &format!("apple {text}")))
            .await;
    }
    world.feed().await;
    assert!(world.candidates("INBOX", body("pple")).await.is_some());
    // Large files are opened for each read; the small ones are in memory.
    let large = |path: &Path| fs::metadata(path).unwrap().len() > 16 * 1024;
    let mut cut = 0;
    for file in fs::read_dir(world.shard_dir()).unwrap() {
        let path = file.unwrap().path();
        if large(&path) {
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_len(5000).unwrap();
            cut += 1;
        }
    }
    assert!(cut > 0);
    assert_eq!(world.candidates("INBOX", body("pple")).await, None);
    let status = &world.index.status()[shard_of(world.account)];
    assert!(matches!(status.state, ShardState::Broken(_)), "{status:?}");
    world.feed().await;
    let got = world.candidates("INBOX", body("pple")).await;
    assert_eq!(got.unwrap().len(), 400);
    world.index.rebuild();
    assert_eq!(world.candidates("INBOX", body("pple")).await, None);
    world.feed().await;
    assert!(world.candidates("INBOX", body("pple")).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_asked_while_it_is_fed() {
    let world = Arc::new(World::new().await);
    let text = |n: usize| -> String {
        let word = |k: usize| format!("w{}x ", (n * 3001 + k) * 7919 % 999_983);
        (0..3000).map(word).collect()
    };
    world.put("INBOX", &simple("x", &text(0))).await;
    world.feed().await;
    let fed = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let (world, fed) = (world.clone(), fed.clone());
        async move {
            let mut asked = 0;
            while !fed.load(Ordering::Acquire) {
                let got = world.candidates("INBOX", body("7919")).await;
                assert!(got.is_some(), "it broke");
                asked += 1;
            }
            asked
        }
    });
    for n in 1..30 {
        world.put("INBOX", &simple("x", &text(n))).await;
        world.feed().await;
        let status = &world.index.status()[shard_of(world.account)];
        assert_eq!(status.state, ShardState::Ready);
        assert_eq!(status.messages, 1 + n as u64);
    }
    fed.store(true, Ordering::Release);
    assert!(asking.await.unwrap() > 10);
    // What was joined is not kept for ever.
    let files = fs::read_dir(world.shard_dir()).unwrap().count();
    assert!(files < 200, "{files} files");
    let opened = shard::Shard::open(&world.shard_dir(), world.mailboxes.epoch().await.unwrap());
    assert_eq!(opened.unwrap().view().unwrap().documents(), 31);
}

#[tokio::test]
async fn huge_and_unreadable_messages_are_candidates() {
    let mut world = World::new().await;
    world.settings.largest = crate::settings::Size(2000);
    world.reopen();
    world.put("INBOX", &simple("x", "apple")).await;
    let large = world
        .put("INBOX", &simple("x", &"pear ".repeat(1000)))
        .await;
    world.feed().await;
    let got = world.candidates("INBOX", body("plum")).await;
    assert_eq!(got.unwrap(), [large]);
    let (by_index, all) = world.both("INBOX", &body("ear p")).await;
    assert_eq!(by_index, all);
    assert_eq!(all, [large]);
}

/// Text with words that are alike, words of two scripts, long and short ones,
/// numbers, and boundaries of all kinds.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => "[a-c]{1,4}",
        2 => "(Müller|straße|STRASSE|İstanbul|ΣΟΦΟΣ|Ωmega|kʼa)",
        2 => "[a-b0-2]{3,7}",
        1 => "[a-c]{18,26}",
        1 => "(日本語|ไทย|한국어|e\u{301}a)",
    ];
    let gap = prop_oneof![
        5 => Just(" ".to_owned()),
        1 => "[-_.,!@/ ]{1,3}",
        1 => Just("\r\n".to_owned()),
        1 => Just(String::new()),
    ];
    prop::collection::vec((word, gap), 0..12)
        .prop_map(|words| words.into_iter().map(|(word, gap)| word + &gap).collect())
}

fn mail() -> impl Strategy<Value = String> {
    (text(), text(), text(), 0..6u8).prop_map(|(subject, name, text, kind)| {
        let subject = match kind % 2 {
            0 => subject.replace("\r\n", " "),
            _ => encoded_word(&subject),
        };
        let head = format!(
            "From: {} <a@x.test>\r\nTo: b@x.test\r\nSubject: {subject}\r\nX-Id: <{}@a0b1c2>\r\n",
            encoded_word(&name),
            name.len() * 7919,
        );
        let base64 = |text: &str| {
            let coded = base64::engine::general_purpose::STANDARD.encode(text);
            let lines: Vec<&str> = coded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
            lines.join("\r\n")
        };
        match kind {
            0 => format!("{head}\r\n{text}"),
            1 => format!("{head}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n", base64(&text)),
            2 => format!("{head}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{}\r\n", quoted(&text)),
            3 => format!("{head}Content-Type: multipart/mixed; boundary=zz\r\n\r\n--zz\r\nContent-Type: text/html\r\n\r\n<p class=\"abc\">{text}</p>\r\n--zz\r\nContent-Type: application/x; name=\"aab.bin\"\r\n\r\n{text}\r\n--zz\r\nContent-Type: message/rfc822\r\n\r\nSubject: {}\r\n\r\n{text}\r\n--zz--\r\n", text.replace("\r\n", " ")),
            4 => format!("{head}Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe {}\r\n", quoted(&text)),
            _ => format!("no header at all {text}\r\n\r\n{text}\r\n"),
        }
    })
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    for (at, byte) in text.bytes().enumerate() {
        if at % 20 == 19 {
            out.push_str("=\r\n");
        }
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'\r' | b'\n' => out.push(char::from(byte)),
            other => out.push_str(&format!("={other:02X}")),
        }
    }
    out
}

fn encoded_word(text: &str) -> String {
    format!(
        "=?utf-8?B?{}?=",
        base64::engine::general_purpose::STANDARD.encode(text)
    )
}

/// A string to look for: a piece of some text, or any text.
fn asked() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (text(), any::<(u8, u8)>()).prop_map(|(text, (from, length))| {
            let chars: Vec<char> = text.chars().collect();
            let from = usize::from(from) % (chars.len() + 1);
            chars[from..].iter().take(1 + usize::from(length) % 7).collect()
        }),
        2 => "[a-c0-1]{1,4}",
        1 => "[-_. ,]{0,2}",
        1 => text(),
    ]
}

fn key() -> impl Strategy<Value = SearchKey> {
    let leaf = prop_oneof![
        4 => asked().prop_map(SearchKey::Body),
        4 => asked().prop_map(SearchKey::Text),
        2 => asked().prop_map(SearchKey::Subject),
        2 => asked().prop_map(SearchKey::From),
        1 => asked().prop_map(|text| SearchKey::Header("X-Id".into(), text)),
        1 => asked().prop_map(|text| SearchKey::Header("content-type".into(), text)),
        1 => Just(SearchKey::Seen),
        1 => Just(SearchKey::Sequence(SequenceSet::Saved)),
        1 => Just(SearchKey::Larger(300)),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|key| SearchKey::Not(Box::new(key))),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| SearchKey::Or(Box::new(a), Box::new(b))),
            prop::collection::vec(inner, 1..4).prop_map(SearchKey::And),
        ]
    })
}

/// How many cases, if it is not said otherwise: each is a store of its own.
fn cases() -> u32 {
    let said = std::env::var("PROPTEST_CASES").ok();
    said.and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Index on is index off, for any mails and any keys, while some mails are
    /// indexed, some are not yet, some are gone, and after a restart.
    #[test]
    fn answers_do_not_depend_on_the_index(
        mails in prop::collection::vec(mail(), 1..24),
        late in prop::collection::vec(mail(), 0..4),
        gone in prop::collection::vec(1..24u32, 0..4),
        keys in prop::collection::vec(key(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for raw in &mails {
                world.put("INBOX", raw).await;
            }
            world.feed().await;
            for raw in &late {
                world.put("INBOX", raw).await;
            }
            let inbox = world.id("INBOX").await;
            world.mailboxes.remove(world.account, inbox, &gone).await.unwrap();
            for round in 0..2 {
                for key in &keys {
                    let (found, all) = world.both("INBOX", key).await;
                    prop_assert_eq!(found, all, "{:?} in round {}", key, round);
                }
                world.reopen();
                world.feed().await;
            }
            Ok(())
        })?;
    }
}
