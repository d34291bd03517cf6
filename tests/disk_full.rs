//! A disk that fills up: refused is what needs space, with the standard's
//! codes; what frees space, and reading, go on; nothing acknowledged is lost;
//! and when there is space again, the service goes on without a restart.
//!
//! The real server on a small file system in memory. The test starts itself
//! again where it may mount one (`unshare`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use axigen_tests::served::{House, IMAP, PLAIN, POP3, SMTP};
use axigen_tests::wire::Wire;

const INSIDE: &str = "AXIGEN_DISK_FULL";
const LMTP: u16 = 2424;
const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";
const MB: u64 = 1 << 20;
/// The store's own default.
const RESERVE: u64 = 64 * MB;
const SIZE: u64 = 320 * MB;

#[test]
fn a_full_disk_refuses_and_goes_on() {
    if std::env::var_os(INSIDE).is_some() {
        return full();
    }
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let namespace = if root { "-m" } else { "-rm" };
    let inside = Command::new("unshare")
        .arg(namespace)
        .arg(std::env::current_exe().unwrap())
        .args(["a_full_disk_refuses_and_goes_on", "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare, of util-linux");
    assert!(
        inside.success(),
        "see above; it must be allowed to mount a tmpfs"
    );
}

/// A file that takes the space that is wanted by nobody.
struct Ballast {
    dir: PathBuf,
}

impl Ballast {
    fn free(&self) -> u64 {
        let said = Command::new("stat")
            .args(["-f", "-c", "%a %S"])
            .arg(&self.dir)
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let (blocks, size) = said.trim().split_once(' ').unwrap();
        blocks.parse::<u64>().unwrap() * size.parse::<u64>().unwrap()
    }

    /// Leaves so much room.
    fn leave(&self, bytes: u64) {
        let path = self.path();
        let _ = fs::remove_file(&path);
        let take = self.free().saturating_sub(bytes);
        // Written, as a hole takes nothing.
        let chunk = vec![1; MB as usize];
        let mut file = fs::File::create(&path).unwrap();
        for _ in 0..take.div_ceil(MB) {
            // The server writes at the same time: it may be full before.
            if std::io::Write::write_all(&mut file, &chunk).is_err() {
                break;
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.join("ballast")
    }
}

/// A mail of this size that nothing compresses.
fn mail(name: &str, len: usize) -> String {
    let mut text = format!("Subject: {name}\r\nContent-Type: application/octet-stream\r\n\r\n");
    let mut state = name.bytes().fold(7u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    }) | 1;
    while text.len() < len {
        for _ in 0..76 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push(char::from(b'!' + (state >> 32) as u8 % 90));
        }
        text.push_str("\r\n");
    }
    // A dot may stand at the beginning of a line.
    text.replace("\r\n.", "\r\n:")
}

/// What was acknowledged: by subject, the text.
#[derive(Default)]
struct Acked(BTreeMap<String, String>);

impl Acked {
    fn add(&mut self, name: &str, text: &str) {
        assert!(self.0.insert(name.to_owned(), text.to_owned()).is_none());
    }

    /// Everything is there once, whole, and nothing else.
    fn check(&self, house: &House, mailbox: &str, context: &str) {
        let mut imap = Wire::imap_login(&house.addr(IMAP), ALICE, "secret");
        let mut found = BTreeMap::new();
        for (_, message) in imap.imap_messages(mailbox) {
            let text = String::from_utf8(message).unwrap();
            let (_, name) = text.split_once("Subject: ").unwrap();
            let name = name.split('\r').next().unwrap().to_owned();
            let whole = text.trim_end().ends_with(self.0[&name].trim_end());
            assert!(whole, "{context}: {name} is torn");
            assert!(found.insert(name, ()).is_none(), "{context}: twice");
        }
        let wanted: Vec<_> = self.0.keys().collect();
        assert_eq!(found.keys().collect::<Vec<_>>(), wanted, "{context}");
    }
}

fn send(house: &House, name: &str, len: usize) -> (String, String) {
    let text = mail(name, len);
    (Wire::deliver(&house.addr(SMTP), ALICE, &text), text)
}

fn lmtp(house: &House, name: &str) -> (String, String) {
    let text = mail(name, 2_000);
    let mut wire = Wire::connect(&house.addr(LMTP));
    wire.smtp_reply();
    wire.smtp("LHLO client.test");
    wire.smtp("MAIL FROM:<bob@elsewhere.test>");
    assert!(wire.smtp(&format!("RCPT TO:<{ALICE}>")).starts_with("250"));
    wire.smtp("DATA");
    (wire.smtp(&format!("{text}\r\n.")), text)
}

fn full() {
    let house = House::with(&format!(
        "{PLAIN}\n[lmtp]\nenable = true\n[[lmtp.listeners]]\naddress = \"127.0.0.1:PORT+2424\"\ntls = \"none\"\n"
    ));
    let dir = house.store();
    fs::create_dir_all(&dir).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={SIZE}"), "tmpfs"])
        .arg(&dir)
        .status()
        .unwrap();
    assert!(mounted.success(), "no tmpfs can be mounted here");
    // The store does not take a directory with other things in it.
    let ballast = Ballast {
        dir: dir.join("packs"),
    };
    house.add(ALICE, "secret");
    house.add(BOB, "secret");
    let mut served = house.serve();
    let mut acked = Acked::default();
    for number in 0..6 {
        let name = format!("early {number}");
        let (said, text) = send(&house, &name, 3_000);
        assert!(said.starts_with("250"), "{said}");
        acked.add(&name, &text);
    }
    let mut imap = Wire::imap_login(&house.addr(IMAP), ALICE, "secret");
    imap.ok("SELECT INBOX");

    // It fills up, by mails.
    ballast.leave(RESERVE + 6 * MB);
    let mut refused = None;
    for number in 0..30 {
        let name = format!("large {number}");
        let (said, text) = send(&house, &name, MB as usize);
        match said.starts_with("250") {
            true => acked.add(&name, &text),
            false => {
                refused = Some(said);
                break;
            }
        }
    }
    let refused = refused.expect("it is never full");
    assert!(refused.starts_with("452 4.3.1"), "{refused}");
    assert!(acked.0.len() > 8, "{} mails", acked.0.len());
    let (said, _) = send(&house, "short", 500);
    assert!(said.starts_with("452 4.3.1"), "{said}");
    let (said, _) = lmtp(&house, "lmtp");
    assert!(said.starts_with("452 4.3.1"), "{said}");
    let said = imap.append("INBOX", "", &mail("appended", 2_000));
    assert!(said.contains("T NO [OVERQUOTA]"), "{said}");
    acked.check(&house, "INBOX", "full for mails");
    // What is there can be copied and changed.
    imap.ok("CREATE Copies");
    imap.ok("COPY 1 Copies");
    imap.ok("STORE 1 +FLAGS (\\Flagged)");

    // Fuller, by something else.
    ballast.leave(RESERVE / 2 - 4 * MB);
    let said = imap.ask("COPY 2 Copies");
    assert!(said.contains("T NO [OVERQUOTA]"), "{said}");
    let (said, _) = send(&house, "still", 500);
    assert!(said.starts_with("452 4.3.1"), "{said}");
    // Everything that frees space works.
    imap.ok("STORE 1 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    acked.0.remove("early 0");
    let mut pop3 = Wire::connect(&house.addr(POP3));
    assert!(pop3.line().starts_with("+OK"));
    for command in [&format!("USER {ALICE}"), "PASS secret", "DELE 1", "QUIT"] {
        pop3.send(format!("{command}\r\n"));
        let said = pop3.line();
        assert!(said.starts_with("+OK"), "{command}: {said}");
    }
    acked.0.remove("early 1");
    acked.check(&house, "INBOX", "no room for references");
    let copies = imap.ok("STATUS Copies (MESSAGES)");
    assert!(copies.contains("MESSAGES 1"), "{copies}");

    // Nothing is left at all.
    ballast.leave(0);
    for command in ["COPY 1 Copies", "STORE 1 +FLAGS (\\Seen)", "CREATE More"] {
        let said = imap.ask(command);
        assert!(said.contains("T NO [OVERQUOTA]"), "{command}: {said}");
    }
    let (said, _) = send(&house, "never", 500);
    assert!(said.starts_with("452 4.3.1"), "{said}");
    let (said, _) = lmtp(&house, "never by lmtp");
    assert!(said.starts_with("452 4.3.1"), "{said}");
    acked.check(&house, "INBOX", "no room at all");

    // There is room again: nobody has to do anything.
    fs::remove_file(ballast.path()).unwrap();
    let (said, text) = send(&house, "late", MB as usize);
    assert!(said.starts_with("250"), "{said}");
    acked.add("late", &text);
    let (said, text) = lmtp(&house, "late by lmtp");
    assert!(said.starts_with("250"), "{said}");
    acked.add("late by lmtp", &text);
    let text = mail("late by IMAP", 2_000);
    let said = imap.append("INBOX", "", &text);
    assert!(said.contains("T OK [APPENDUID"), "{said}");
    acked.add("late by IMAP", &text);
    imap.ok("COPY 1 Copies");
    acked.check(&house, "INBOX", "room again");

    filling_at_any_moment(&house, &ballast, &mut acked);
    served.signal("TERM");
    let (status, _) = served.ended();
    assert!(status.success());
    house.verify();
    let _served = house.serve();
    acked.check(&house, "INBOX", "after a restart");
}

/// Somebody fills the disk to the last byte while mails come, again and again.
fn filling_at_any_moment(house: &House, ballast: &Ballast, acked: &mut Acked) {
    let stop = AtomicBool::new(false);
    let (mut taken, mut refused) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let stop = &stop;
                scope.spawn(move || {
                    let (mut taken, mut refused) = (Vec::new(), 0);
                    for number in 0.. {
                        if stop.load(Relaxed) {
                            break;
                        }
                        let name = format!("beside {sender} {number}");
                        let (said, text) = send(house, &name, 6_000);
                        if said.starts_with("250") {
                            taken.push((name, text));
                        } else {
                            assert!(said.starts_with("452 4.3.1"), "{said}");
                            refused += 1;
                        }
                    }
                    (taken, refused)
                })
            })
            .collect();
        for _ in 0..4 {
            ballast.leave(0);
            std::thread::sleep(Duration::from_millis(200));
            let _ = fs::remove_file(ballast.path());
            std::thread::sleep(Duration::from_millis(200));
        }
        stop.store(true, Relaxed);
        for sender in senders {
            let (more, no) = sender.join().unwrap();
            taken.extend(more);
            refused += no;
        }
    });
    println!("{} taken, {refused} refused", taken.len());
    assert!(
        taken.len() > 20 && refused > 20,
        "{} {refused}",
        taken.len()
    );
    for (name, text) in taken {
        acked.add(&name, &text);
    }
    acked.check(house, "INBOX", "filled at any moment");
}
