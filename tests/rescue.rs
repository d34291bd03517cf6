//! `axigen store stat`, `verify`, `repair` and `salvage` on the directory of a
//! real server: what is damaged is found, what is lost is named, and mail comes
//! back from the packs alone into the mailboxes it was in.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use axigen_tests::demo::{Demo, Port, binary};
use axigen_tests::tool::{Said, run};
use axigen_tests::wire::Wire;

const MAILBOXES: [&str; 6] = ["INBOX", "Archive", "Trash", "Work/2027", "Work/2027/x", "Ä"];

fn store(demo: &Demo, command: &str) -> Said {
    let dir = demo.dir().to_str().unwrap();
    let program = binary().to_str().unwrap();
    run(program, &["store", command, "--dir", dir], b"")
}

fn attachment(seed: u64) -> String {
    let mut state = seed;
    (0..700)
        .map(|_| {
            let line: String = (0..76)
                .map(|_| {
                    state = state
                        .wrapping_mul(6364136223846793005)
                        .wrapping_add(1442695040888963407);
                    char::from(b'A' + (state >> 60) as u8)
                })
                .collect();
            line + "\r\n"
        })
        .collect()
}

fn mail(subject: &str, attached: bool) -> String {
    let attachment = match attached {
        true => attachment(5),
        false => "cGxhaW4=\r\n".to_owned(),
    };
    format!(
        "From: bob@example.test\r\nTo: u1@example.test\r\nSubject: {subject}\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\n\r\nHello from {subject}.\r\n--b\r\nContent-Type: application/pdf\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{attachment}--b--\r\n"
    )
}

/// A server in which mail was delivered, moved, copied, removed, and mailboxes
/// were made, renamed and deleted.
fn used() -> Demo {
    let demo = Demo::start(&["--accounts", "2"]);
    for n in 0..12 {
        let addr = demo.addr(Port::Smtp);
        let to = format!("u{}@example.test", n % 2 + 1);
        Wire::deliver(&addr, &to, &mail(&format!("mail {n}"), n % 3 == 0));
    }
    for user in ["u1@example.test", "u2@example.test"] {
        let mut imap = Wire::imap_login(&demo.addr(Port::Imap), user, "demo");
        imap.ok("CREATE Work/2026/x");
        imap.ok("CREATE Gone");
        imap.ok("CREATE &AMQ-");
        let answer = imap.append("&AMQ-", "\\Seen", &mail("appended", true));
        assert!(answer.contains("T OK"), "{answer}");
        imap.ok("SELECT INBOX");
        imap.ok("MOVE 1 Work/2026");
        imap.ok("COPY 1:2 Work/2026/x");
        imap.ok("COPY 2 Gone");
        imap.ok("MOVE 2 Archive");
        imap.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
        imap.ok("EXPUNGE");
        imap.ok("RENAME Work/2026 Work/2027");
        imap.ok("DELETE Gone");
        imap.ok("SELECT Work/2027/x");
        imap.ok("MOVE 1 Trash");
    }
    demo
}

/// Every message by mailbox, in order.
fn everything(demo: &Demo, user: &str) -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), user, "demo");
    let list = imap.ok("LIST \"\" *");
    assert!(!list.contains("Gone"), "{list}");
    let of = |mailbox: &'static str, imap: &mut Wire| {
        let name = mailbox.replace('Ä', "&AMQ-");
        let messages = imap.imap_messages(&name);
        messages.into_iter().map(|(_, raw)| raw).collect()
    };
    MAILBOXES
        .into_iter()
        .map(|name| (name, of(name, &mut imap)))
        .collect()
}

fn both(demo: &Demo) -> [BTreeMap<&'static str, Vec<Vec<u8>>>; 2] {
    ["u1@example.test", "u2@example.test"].map(|user| everything(demo, user))
}

#[test]
fn mail_comes_back_from_the_packs_alone_into_its_mailboxes() {
    let mut demo = used();
    let before = both(&demo);
    let count: usize = before[0].values().map(Vec::len).sum();
    assert_eq!(count, 8, "{:?}", before[0].keys());
    store(&demo, "verify").refused(&["in use", "stop the server"]);
    demo.kill();
    let said = store(&demo, "verify").ok();
    assert!(said.text.contains("everything is there and agrees"));
    let said = store(&demo, "stat").ok();
    for word in ["raw", "deduplicated", "compressed", "dead", "on disk"] {
        assert!(said.text.contains(word), "{}", said.text);
    }
    fs::remove_dir_all(demo.dir().join("meta")).unwrap();
    store(&demo, "verify").refused(&["metadata", "salvage"]);
    let said = store(&demo, "salvage").ok();
    assert!(said.text.contains("messages of"), "{}", said.text);
    store(&demo, "verify").ok();
    demo.restart();
    assert_eq!(both(&demo), before);
    // Salvage of what was salvaged, and went on: the same again.
    Wire::deliver(
        &demo.addr(Port::Smtp),
        "u1@example.test",
        &mail("after", false),
    );
    let before = both(&demo);
    demo.kill();
    let said = store(&demo, "salvage").ok();
    assert!(said.text.contains("old metadata is kept"), "{}", said.text);
    store(&demo, "verify").ok();
    demo.restart();
    assert_eq!(both(&demo), before);
    assert!(demo.stop().success());
}

fn packs(demo: &Demo) -> Vec<PathBuf> {
    let dir = fs::read_dir(demo.dir().join("packs/00")).unwrap();
    let paths = dir.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "pack"))
        .collect()
}

#[test]
fn what_a_damaged_pack_held_is_named_and_the_rest_goes_on() {
    let mut demo = used();
    assert!(demo.stop().success());
    store(&demo, "verify").ok();
    // The attachment that several messages share.
    for path in packs(&demo) {
        let mut bytes = fs::read(&path).unwrap();
        let from = bytes.len() / 4;
        for byte in &mut bytes[from..from + 60] {
            *byte ^= 0x55;
        }
        fs::write(&path, bytes).unwrap();
    }
    let said = store(&demo, "verify").refused(&["problems", "repair"]);
    assert!(said.text.contains("blob"), "{}", said.text);
    let said = store(&demo, "repair").ok();
    assert!(said.text.contains("lost: "), "{}", said.text);
    let said = store(&demo, "verify").ok();
    assert!(said.text.contains("everything is there and agrees"));
    let said = store(&demo, "repair").ok();
    assert!(said.text.contains("nothing was wrong"), "{}", said.text);
    demo.restart();
    let left: usize = both(&demo)
        .iter()
        .flat_map(|b| b.values())
        .map(Vec::len)
        .sum();
    assert!((1..16).contains(&left), "{left}");
    Wire::deliver(
        &demo.addr(Port::Smtp),
        "u1@example.test",
        &mail("after", true),
    );
    assert!(demo.stop().success());
    store(&demo, "verify").ok();
}

#[test]
fn a_directory_that_is_no_store_is_left_alone() {
    let dir = tempfile::TempDir::new().unwrap();
    for command in ["stat", "verify", "repair", "salvage"] {
        let path = dir.path().to_str().unwrap();
        let program = binary().to_str().unwrap();
        let said = run(program, &["store", command, "--dir", path], b"");
        said.refused(&[path]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{command}");
    }
}
