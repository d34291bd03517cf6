//! `axigen store migrate` and `maintain` on the directory of a real server: all
//! mail, flags and UIDs are the same on the other engine, also when the
//! migration is killed; a store gets smaller and nothing of it is lost.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, Stdio};
use std::time::Duration;

use axigen_tests::demo::{Demo, Port, binary};
use axigen_tests::tool::{Said, run};
use axigen_tests::wire::Wire;

const USERS: [&str; 2] = ["u1@example.test", "u2@example.test"];
const MAILBOXES: [&str; 3] = ["INBOX", "Archive", "Kept"];

fn store(demo: &Demo, args: &[&str]) -> Said {
    let dir = demo.dir().to_str().unwrap();
    let mut all = vec!["store", args[0], "--dir", dir];
    all.extend(&args[1..]);
    run(binary().to_str().unwrap(), &all, b"")
}

fn mail(n: usize) -> String {
    format!(
        "From: bob@example.test\r\nTo: u1@example.test\r\nSubject: number {n}\r\n\r\n\
         The quarterly report of department {n} says that all is well.\r\n{}",
        "It goes on for a while, and then it ends.\r\n".repeat(n % 40)
    )
}

/// Delivers, flags, moves, copies and removes.
fn work(demo: &Demo, from: usize, count: usize) {
    for n in from..from + count {
        Wire::deliver(&demo.addr(Port::Smtp), USERS[n % 2], &mail(n));
    }
    for user in USERS {
        let mut imap = Wire::imap_login(&demo.addr(Port::Imap), user, "demo");
        if from == 0 {
            imap.ok("CREATE Kept");
        }
        imap.ok("SELECT INBOX");
        imap.ok("STORE 1:2 +FLAGS.SILENT (\\Seen $Label)");
        imap.ok("STORE 3 +FLAGS.SILENT (\\Deleted)");
        imap.ok("EXPUNGE");
        imap.ok("COPY 1 Kept");
        imap.ok("MOVE 2 Archive");
    }
}

/// Everything a client can know of the mail.
fn everything(demo: &Demo) -> Vec<String> {
    let mut seen = Vec::new();
    for user in USERS {
        let mut imap = Wire::imap_login(&demo.addr(Port::Imap), user, "demo");
        for mailbox in MAILBOXES {
            seen.push(imap.ok(&format!(
                "STATUS {mailbox} (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)"
            )));
            imap.ok(&format!("SELECT {mailbox}"));
            if !seen.last().unwrap().contains("MESSAGES 0") {
                seen.push(imap.ok("FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])"));
            }
        }
    }
    // Who looked first is told so, and nobody after it.
    seen.iter()
        .map(|said| said.replace(" \\Recent", ""))
        .collect()
}

/// Without printing all of it.
fn same(now: &[String], before: &[String]) {
    for (now, before) in now.iter().zip(before) {
        let differs = now.lines().zip(before.lines()).find(|(a, b)| a != b);
        assert!(now == before, "{differs:?}");
    }
    assert_eq!(now.len(), before.len());
}

#[test]
fn another_engine_has_the_same_mail() {
    let mut demo = Demo::start(&["--accounts", "2"]);
    work(&demo, 0, 12);
    let before = everything(&demo);
    store(&demo, &["migrate", "--to", "redb"]).refused(&["in use", "stop the server"]);
    assert!(demo.stop().success());
    let said = store(&demo, &["migrate", "--to", "redb"]).ok();
    assert!(said.text.contains("from fjall to redb"), "{}", said.text);
    assert!(demo.dir().join("meta.redb").exists());
    assert!(!demo.dir().join("meta").exists());
    let said = store(&demo, &["migrate", "--to", "redb"]).ok();
    assert!(said.text.contains("nothing to do"), "{}", said.text);
    store(&demo, &["verify"]).ok();
    demo.restart();
    same(&everything(&demo), &before);
    // It goes on, on this one, also after kill -9.
    work(&demo, 12, 8);
    let after = everything(&demo);
    demo.kill();
    store(&demo, &["verify"]).ok();
    let said = store(&demo, &["stat"]).ok();
    assert!(
        !said.text.contains("metadata              0 B"),
        "{}",
        said.text
    );
    demo.restart();
    same(&everything(&demo), &after);
    assert!(demo.stop().success());
    let said = store(&demo, &["migrate", "--to", "fjall"]).ok();
    assert!(said.text.contains("from redb to fjall"), "{}", said.text);
    store(&demo, &["verify"]).ok();
    demo.restart();
    same(&everything(&demo), &after);
    assert!(demo.stop().success());
}

#[test]
fn an_engine_that_there_is_not_and_a_store_that_there_is_not() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().to_str().unwrap();
    let program = binary().to_str().unwrap();
    let said = run(
        program,
        &["store", "migrate", "--dir", path, "--to", "redb"],
        b"",
    );
    said.refused(&[path]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let args = ["store", "migrate", "--dir", path, "--to", "mysql"];
    let said = run(program, &args, b"");
    assert_eq!(said.code, Some(2), "{}", said.text);
    assert!(said.text.contains("fjall"), "{}", said.text);
}

#[test]
fn a_migration_that_is_killed_leaves_a_whole_store_and_is_done_again() {
    let mut demo = Demo::start(&["--accounts", "2"]);
    work(&demo, 0, 12);
    let before = everything(&demo);
    assert!(demo.stop().success());
    let dir = demo.dir().to_str().unwrap().to_owned();
    let (mut from, mut to) = ("fjall", "redb");
    let mut done = 0;
    for round in 0..24u64 {
        let mut child = Command::new(binary())
            .args(["store", "migrate", "--dir", &dir, "--to", to])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It takes some ten milliseconds: before, in the midst, and behind.
        std::thread::sleep(Duration::from_millis(4 * round));
        child.kill().unwrap();
        let finished = child.wait().unwrap().success();
        let format = std::fs::read_to_string(demo.dir().join("FORMAT")).unwrap();
        let now = if format.contains(to) { to } else { from };
        assert!(!finished || now == to, "{format}");
        store(&demo, &["verify"]).ok();
        if round % 6 == 5 {
            demo.restart();
            same(&everything(&demo), &before);
            assert!(demo.stop().success());
        }
        if now == to {
            done += 1;
            // What is left of the old rows goes with the next one.
            store(&demo, &["migrate", "--to", to]).ok();
            let names = ["meta", "meta.redb"].map(|name| demo.dir().join(name).exists());
            assert_eq!(names.iter().filter(|there| **there).count(), 1);
            (from, to) = (to, from);
        }
    }
    assert!(done > 0);
    store(&demo, &["migrate", "--to", to]).ok();
    store(&demo, &["verify"]).ok();
    demo.restart();
    same(&everything(&demo), &before);
    assert!(demo.stop().success());
}

#[test]
fn maintain_makes_a_store_smaller_and_keeps_all_of_it() {
    let mut demo = Demo::start(&["--accounts", "2"]);
    for n in 0..600 {
        if n % 100 == 0 {
            // One connection takes many.
            let addr = demo.addr(Port::Imap);
            let mut imap = Wire::imap_login(&addr, USERS[0], "demo");
            for n in n..n + 100 {
                let said = imap.append("INBOX", "", &mail(n));
                assert!(said.contains("OK"), "{said}");
            }
        }
    }
    work(&demo, 0, 12);
    let before = everything(&demo);
    store(&demo, &["maintain"]).refused(&["in use"]);
    assert!(demo.stop().success());
    let size = |demo: &Demo| -> u64 {
        let files = std::fs::read_dir(demo.dir().join("packs/00")).unwrap();
        files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum()
    };
    let full = size(&demo);
    let said = store(&demo, &["maintain", "--recompress"]).ok();
    assert!(
        said.text.contains("dictionary 2, trained on"),
        "{}",
        said.text
    );
    assert!(size(&demo) < full, "{} {full}", size(&demo));
    store(&demo, &["verify"]).ok();
    demo.restart();
    same(&everything(&demo), &before);
    demo.kill();
    // With its packs alone, and with one of the two files of the dictionary.
    std::fs::remove_dir_all(demo.dir().join("meta")).unwrap();
    std::fs::remove_file(demo.dir().join("packs/dict/0002.copy")).unwrap();
    store(&demo, &["salvage"]).ok();
    store(&demo, &["verify"]).ok();
    assert!(demo.dir().join("packs/dict/0002.copy").exists());
}
