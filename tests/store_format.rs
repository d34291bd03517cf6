//! `docs/store-format.md` is true: a reader in another language that knows
//! nothing else gets every message back, and the pack it shows is a real one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use axigen_store::store::{Options, TrainOptions};
use axigen_store::{AccountId, Batch, BlobIn, Op, Part, Store};
use axigen_tests::demo::{Demo, Port, root};
use axigen_tests::tool::run;
use axigen_tests::wire::Wire;
use base64::Engine as _;

const USER: &str = "u1@example.test";

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_be_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

fn base64(bytes: &[u8], line: usize) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines = text.as_bytes().chunks(line);
    let lines: Vec<&str> = lines.map(|l| std::str::from_utf8(l).unwrap()).collect();
    lines.join("\r\n")
}

fn mail(subject: &str, parts: &[String]) -> String {
    let part = |body: &String| {
        format!(
            "--b\r\nContent-Type: application/octet-stream\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{body}\r\n"
        )
    };
    let parts: String = parts.iter().map(part).collect();
    format!(
        "From: bob@example.test\r\nTo: {USER}\r\nSubject: {subject}\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\n\r\nHello, this is {subject}.\r\n{parts}--b--\r\n"
    )
}

/// Reads the packs with the other program, into a directory: hash and content.
fn read(store: &Path) -> Vec<(String, Vec<u8>)> {
    let out = tempfile::TempDir::new().unwrap();
    let script = root().join("tests/clients/read_pack.py");
    let mail = root().join("axigen-store/src/blob/mail.zdict");
    let args = [&script, store, &mail, out.path()].map(|path| path.to_str().unwrap());
    run("python3", &args, b"").ok();
    let files = fs::read_dir(out.path()).unwrap();
    files
        .map(|file| {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            (name, fs::read(file.path()).unwrap())
        })
        .collect()
}

#[test]
fn another_program_reads_every_message() {
    let mut demo = Demo::start(&["--accounts", "2"]);
    // Of every kind: short; with a short part in base64, which stays within; a
    // long one, apart, twice; one that is not what base64 makes; long text.
    let large = base64(&noise(1, 60_000), 76);
    let uneven = large.replacen("\r\n", "\r\n\r\n", 3);
    let mails = [
        mail("short", &[]),
        mail("within", &[base64(&noise(2, 3_000), 72)]),
        mail("apart", std::slice::from_ref(&large)),
        mail("again", &[large, base64(&noise(3, 900), 60)]),
        mail("uneven", &[uneven]),
    ];
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), USER, "demo");
    for mail in &mails {
        let said = imap.append("INBOX", "", mail);
        assert!(said.contains("OK"), "{said}");
    }
    let text = format!(
        "Subject: text\r\n\r\n{}",
        "A line of text, again.\r\n".repeat(30_000)
    );
    assert!(imap.append("INBOX", "", &text).contains("OK"));
    Wire::deliver(&demo.addr(Port::Smtp), "u2@example.test", &mails[1]);
    drop(imap);
    demo.kill();
    let blobs = read(demo.dir());
    for mail in mails.iter().chain([&text]) {
        let there = blobs.iter().any(|(_, content)| content == mail.as_bytes());
        assert!(there, "{} of {} bytes", &mail[..120], mail.len());
    }
    // The attachment, decoded, once.
    let attachment = noise(1, 60_000);
    let found = blobs.iter().filter(|(_, content)| *content == attachment);
    assert_eq!(found.count(), 1);
    let to_other = blobs.iter().filter(|(_, content)| {
        let content = String::from_utf8_lossy(content);
        content.contains("u2@example.test") && content.contains("this is within")
    });
    assert_eq!(to_other.count(), 1);
}

async fn one(dir: &Path, content: &'static [u8]) -> Store {
    let mut options = Options::default();
    options.upkeep = Duration::ZERO;
    options.reserve = 0;
    let store = Store::open_with(dir, options).await.unwrap();
    put(&store, vec![BlobIn::new(content, "label")]).await;
    store
}

async fn put(store: &Store, blobs: Vec<BlobIn>) {
    let refs = store.put(blobs).await.unwrap();
    let part = Part {
        account: AccountId(1),
        ops: refs.into_iter().map(Op::Retain).collect(),
        ..Part::default()
    };
    store.commit(Batch { parts: vec![part] }).await.unwrap();
}

#[tokio::test]
async fn it_reads_what_was_compressed_with_the_stores_own_dictionary() {
    let dir = tempfile::TempDir::new().unwrap();
    let store = one(dir.path(), b"the first").await;
    let texts: Vec<String> = (0..700)
        .map(|n| format!("zeppelin::{n}::quartz::oyster::{}::lantern::violin", n * 7))
        .collect();
    let blobs = |texts: &[String]| {
        let blob = |text: &String| BlobIn::new(text.clone(), "");
        texts.iter().map(blob).collect::<Vec<_>>()
    };
    put(&store, blobs(&texts)).await;
    let trained = store.train(TrainOptions::default()).await.unwrap();
    assert_eq!(trained.kept, Some(2));
    let long = texts.join("\n");
    put(&store, vec![BlobIn::new(long.clone(), "label")]).await;
    store.close().await.unwrap();
    let found = read(dir.path());
    assert!(found.iter().any(|(_, content)| *content == long.as_bytes()));
}

/// As `xxd` shows it: the bytes, sixteen in a line.
fn dump(bytes: &[u8]) -> String {
    let line = |(at, line): (usize, &[u8])| {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = line.iter().map(|&byte| match byte {
            b' '..=b'~' => char::from(byte),
            _ => '.',
        });
        let text: String = text.collect();
        format!("{:02x}  {:47}  {text}\n", at * 16, hex.join(" "))
    };
    bytes.chunks(16).enumerate().map(line).collect()
}

#[tokio::test]
async fn the_pack_it_shows_is_a_real_one() {
    let dir = tempfile::TempDir::new().unwrap();
    let store = one(dir.path(), b"Subject: hi\r\n\r\nHello.\r\n").await;
    store.close().await.unwrap();
    let pack = fs::read(dir.path().join("packs/00/0000000000000000.pack")).unwrap();
    let document = fs::read_to_string(root().join("docs/store-format.md")).unwrap();
    let dump = dump(&pack);
    assert!(document.contains(&dump), "it should show\n{dump}");
}
