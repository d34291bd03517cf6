//! A bit flips somewhere on the disk, between two runs: whatever it was, each
//! row and each blob is served as it was written, or an error says what is
//! corrupt and where. Nothing else is served, nothing is silently missing, and
//! nothing panics.
//!
//! A part of all bytes is tried; `AXIGEN_FLIPS=all` tries each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axigen_store::blob::{BlobStore, SweepOptions};
use axigen_store::pack::Packs;
use axigen_store::store::Options;
use axigen_store::{AccountId, Batch, BlobIn, BlobRef, Error, Op, Part, Store};
use bytes::Bytes;
use tempfile::TempDir;

const ACCOUNTS: u64 = 3;
const PACK: u64 = 12_000;

fn noise(seed: usize, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    blake3::Hasher::new()
        .update(&seed.to_be_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes.into()
}

/// Content by number: text and noise, short ones ride in their row.
fn content(number: usize) -> Bytes {
    match number % 4 {
        0 => noise(number, 300),
        1 => noise(number, 5_000),
        2 => format!("{number} words again and again, ")
            .repeat(300)
            .into(),
        _ => noise(number, 1_500),
    }
}

async fn open(dir: &Path) -> Result<Store, Error> {
    let mut options = Options::default();
    options.pack = PACK;
    options.reserve = 0;
    options.upkeep = Duration::ZERO;
    Store::open_with(dir, options).await
}

async fn change(store: &Store, account: AccountId, ops: Vec<Op>) {
    let part = Part {
        account,
        ops,
        advance: true,
        ..Part::default()
    };
    store.commit(Batch { parts: vec![part] }).await.unwrap();
}

async fn deliver(store: &Store, number: usize) {
    let account = AccountId(number as u64 % ACCOUNTS);
    let label = match number % 4 {
        0 => Bytes::new(),
        _ => Bytes::from(format!("label {number}")),
    };
    let blob = BlobIn::new(content(number), label);
    let blob = store.put(vec![blob]).await.unwrap().remove(0);
    let ops = vec![
        Op::Set {
            key: Bytes::from(format!("m/{number:04}")).into(),
            val: blob.hash.to_vec().into(),
        },
        Op::Add {
            key: "count".into(),
            delta: 1,
            min: None,
            max: None,
            slot: None,
        },
        Op::Retain(blob),
    ];
    change(store, account, ops).await;
}

async fn remove(store: &Store, number: usize) {
    let content = content(number);
    let blob = BlobRef {
        hash: *blake3::hash(&content).as_bytes(),
        len: content.len() as u64,
    };
    let account = AccountId(number as u64 % ACCOUNTS);
    let ops = vec![
        Op::Delete(Bytes::from(format!("m/{number:04}"))),
        Op::Release(blob),
    ];
    change(store, account, ops).await;
}

type Rows = Vec<(Bytes, Bytes)>;

/// All that callers see.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    rows: BTreeMap<u64, (u64, Rows)>,
}

async fn rows(store: &Store) -> Result<Seen, Error> {
    let mut rows = BTreeMap::new();
    for number in 0..ACCOUNTS {
        let account = AccountId(number);
        let seq = store.seq(account).await?;
        let all = store.scan(account, "".into(), "z".into()).await?;
        rows.insert(number, (seq, all));
    }
    Ok(Seen { rows })
}

/// Every file of a directory.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(inner) = dirs.pop() {
        for entry in fs::read_dir(inner).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => dirs.push(path),
                false => {
                    let name = path.strip_prefix(dir).unwrap().to_owned();
                    files.insert(name, fs::read(&path).unwrap());
                }
            }
        }
    }
    files
}

fn restore(dir: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (name, now) in tree(dir) {
        if files.get(&name) != Some(&now) {
            fs::remove_file(dir.join(name)).unwrap();
        }
    }
    for (name, bytes) in files {
        let path = dir.join(name);
        if !path.exists() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

/// A store with packs of every kind, indexes, tables and a journal.
async fn make(dir: &Path) {
    let store = open(dir).await.unwrap();
    for number in 0..32 {
        deliver(&store, number).await;
    }
    for number in [1, 2, 5, 13, 17, 18] {
        remove(&store, number).await;
    }
    let mut options = SweepOptions::default();
    options.grace = Duration::ZERO;
    let report = store.sweep(options).await.unwrap();
    assert!(report.moved > 0, "{report:?}");
    store.close().await.unwrap();
    drop(store);
    // The engine writes tables only when there is much: here it is told to.
    let db = fjall::Database::builder(dir.join("meta")).open().unwrap();
    let options = fjall::KeyspaceCreateOptions::default;
    let rows = db.keyspace("rows", options).unwrap();
    rows.rotate_memtable_and_wait().unwrap();
    drop((rows, db));
    let store = open(dir).await.unwrap();
    for number in 32..48 {
        deliver(&store, number).await;
    }
    remove(&store, 32).await;
    remove(&store, 7).await;
    store.close().await.unwrap();
    // Listing what is kept makes the indexes.
    let packs = Packs::open(&dir.join("packs"), PACK, 0).unwrap();
    let listing = packs.list((0, 0), usize::MAX).await.unwrap();
    assert!(listing.blobs.len() > 20, "{}", listing.blobs.len());
}

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    flips: usize,
    harmless: usize,
    refused: usize,
    reported: usize,
}

/// One bit of one file.
#[derive(Debug)]
struct Flip<'a> {
    name: &'a Path,
    at: usize,
    bit: u8,
}

/// The bits to be tried, always the same for the same files.
fn flips(good: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<Flip<'_>> {
    let all = std::env::var("AXIGEN_FLIPS").is_ok_and(|flips| flips == "all");
    let mut flips = Vec::new();
    for (name, bytes) in good {
        let step = if all { 1 } else { (bytes.len() / 300).max(1) };
        // Every byte of a beginning is a header's.
        let early = 0..bytes.len().min(96);
        let late = (early.end..bytes.len()).step_by(step);
        flips.extend(early.chain(late).map(|at| Flip {
            name,
            at,
            bit: (at / step % 8) as u8,
        }));
    }
    flips
}

fn kind(name: &Path) -> String {
    let text = name.to_str().unwrap();
    match name.extension().and_then(|kind| kind.to_str()) {
        Some(kind) => kind.to_owned(),
        None if text.contains("tables/") => "table".into(),
        None => text.to_owned(),
    }
}

const DIR: &str = "AXIGEN_FLIP_DIR";
const FROM: &str = "AXIGEN_FLIP_FROM";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// The child: tries one bit after the other and says what came of it. Does
/// nothing unless the parent set its variables.
#[test]
fn child() {
    let (Ok(dir), Ok(from)) = (std::env::var(DIR), std::env::var(FROM)) else {
        return;
    };
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    std::panic::set_hook(Box::new(|info| {
        PANICS.fetch_add(1, SeqCst);
        say(&format!("panic {info}"));
    }));
    let dir = Path::new(&dir);
    let good = tree(&dir.join("good"));
    let work = dir.join("work");
    let runtime = runtime();
    let wanted = runtime.block_on(async {
        restore(&work, &good);
        let store = open(&work).await.unwrap();
        let wanted = rows(&store).await.unwrap();
        store.close().await.unwrap();
        wanted
    });
    for flip in flips(&good).iter().skip(from.parse().unwrap()) {
        restore(&work, &good);
        let mut bad = good[flip.name].clone();
        bad[flip.at] ^= 1 << flip.bit;
        fs::write(work.join(flip.name), &bad).unwrap();
        let before = PANICS.load(SeqCst);
        let looked = runtime.block_on(look(&work, &wanted));
        if PANICS.load(SeqCst) > before {
            say("done panicked");
            continue;
        }
        match looked {
            Ok(Found::Harmless) => say("done harmless"),
            Ok(Found::Refused) => say("done refused"),
            Ok(Found::Reported) => say("done reported"),
            Err(what) => say(&format!("done wrong {what}")),
        }
    }
    say("end");
}

fn say(what: &str) {
    let line = what.replace('\n', " ");
    std::io::stderr()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

#[test]
fn a_flipped_bit_is_harmless_or_reported() {
    // Thousands of openings, each with syncs: better not on a real disk.
    let memory = Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => TempDir::new_in(memory).unwrap(),
        false => TempDir::new().unwrap(),
    };
    let path = dir.path().join("good");
    runtime().block_on(async {
        make(&path).await;
        // Opened once more, the journal ends where its content does.
        let store = open(&path).await.unwrap();
        let seen = rows(&store).await.unwrap();
        let mails: usize = seen.rows.values().map(|(_, rows)| rows.len() - 1).sum();
        assert_eq!(mails, 32 + 16 - 8);
        store.close().await.unwrap();
    });
    fs::create_dir(dir.path().join("work")).unwrap();
    let good = tree(&path);
    let flips = flips(&good);
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut at = 0;
    while at < flips.len() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path())
            .env(FROM, at.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut panics = String::new();
        let mut ended = false;
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            ended |= line == "end";
            let Some(done) = line.strip_prefix("done ") else {
                if line.starts_with("panic") {
                    panics = line;
                }
                continue;
            };
            let Flip {
                name, at: place, ..
            } = flips[at];
            let tally = tallies.entry(kind(name)).or_default();
            tally.flips += 1;
            match done {
                "harmless" => tally.harmless += 1,
                "refused" => tally.refused += 1,
                "reported" => tally.reported += 1,
                what => wrong.push(format!("{} at {place}: {what} {panics}", name.display())),
            }
            panics.clear();
            at += 1;
        }
        child.wait().unwrap();
        if !ended && at < flips.len() {
            let Flip {
                name, at: place, ..
            } = flips[at];
            wrong.push(format!("{} at {place}: ended {panics}", name.display()));
            at += 1;
        }
    }
    for (kind, tally) in &tallies {
        println!("{kind}: {tally:?}");
    }
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Everything is served.
    Harmless,
    /// The store does not open.
    Refused,
    /// Something is not served.
    Reported,
}

impl Found {
    fn and(self, other: Found) -> Found {
        match self {
            Found::Harmless => other,
            found => found,
        }
    }
}

/// An error that is right for damage.
fn reported(error: &Error) -> Result<(), String> {
    match error {
        Error::Corrupt(what) if what.len() > 10 => Ok(()),
        error => Err(format!("{error:?}")),
    }
}

async fn look(dir: &Path, wanted: &Seen) -> Result<Found, String> {
    let store = match open(dir).await {
        Ok(store) => store,
        // What names the layout says itself what it is.
        Err(Error::Invalid(what)) if what.contains("FORMAT") => return Ok(Found::Refused),
        Err(error) => {
            reported(&error)?;
            return Ok(Found::Refused);
        }
    };
    let looked = look_inside(&store, wanted).await;
    let _ = store.close().await;
    looked
}

async fn look_inside(store: &Store, wanted: &Seen) -> Result<Found, String> {
    let mut found = Found::Harmless;
    match rows(store).await {
        Ok(rows) if rows == *wanted => {}
        Ok(rows) => return Err(difference(&rows, wanted)),
        Err(error) => {
            reported(&error)?;
            found = Found::Reported;
        }
    }
    found = found.and(contents(store, wanted).await?);
    if let Err(error) = store.space().await {
        reported(&error)?;
        found = Found::Reported;
    }
    // A sweep that rewrites everything removes nothing that is wanted, whatever
    // it believes.
    let mut options = SweepOptions::default();
    options.grace = Duration::ZERO;
    options.percent = 100;
    options.recompress = false;
    options.rate = u64::MAX;
    let swept = store.sweep(options).await;
    if let Err(error) = &swept {
        reported(error)?;
        found = Found::Reported;
    }
    let after = contents(store, wanted).await?;
    match (found, after) {
        (Found::Harmless, Found::Reported) => Err(format!("the sweep broke something: {swept:?}")),
        _ => Ok(found),
    }
}

/// Each row by its key, each blob as a whole and in part.
async fn contents(store: &Store, wanted: &Seen) -> Result<Found, String> {
    let mut found = Found::Harmless;
    for (number, (_, rows)) in &wanted.rows {
        for (key, value) in rows {
            match store
                .get(AccountId(*number), std::slice::from_ref(key))
                .await
            {
                Ok(got) if got[0].as_ref() == Some(value) => {}
                Ok(got) => return Err(format!("the row {key:?} is {got:?}")),
                Err(error) => {
                    reported(&error)?;
                    found = Found::Reported;
                }
            }
            let Some(mail) = key.strip_prefix(b"m/") else {
                continue;
            };
            let mail: usize = std::str::from_utf8(mail).unwrap().parse().unwrap();
            let content = content(mail);
            let blob = BlobRef {
                hash: value[..].try_into().unwrap(),
                len: content.len() as u64,
            };
            for range in [0..u64::MAX, 100..250] {
                let end = (range.end.min(blob.len)) as usize;
                match store.read(&blob, range.clone()).await {
                    Ok(got) if got == content[range.start as usize..end] => {}
                    Ok(_) => return Err(format!("mail {mail} is served wrong")),
                    Err(error) => {
                        reported(&error)?;
                        found = Found::Reported;
                    }
                }
            }
        }
    }
    Ok(found)
}

fn difference(found: &Seen, wanted: &Seen) -> String {
    let mut what = String::new();
    for (account, (seq, rows)) in &wanted.rows {
        let (now, there) = &found.rows[account];
        if seq != now || rows.len() != there.len() {
            what += &format!(
                "account {account}: sequence {now}, not {seq}; {} rows, not {}. ",
                there.len(),
                rows.len()
            );
        }
    }
    format!("silently other rows: {what}")
}
