//! Names of accounts and domains are names: no path, no pattern, no line, and nobody
//! else's, whichever letters they are made of.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use axigen_tests::served::{House, IMAP, PLAIN, POP3, SMTP};
use axigen_tests::wire::Wire;

/// Addresses that could be read as something else. All of them are valid.
const ODD: [&str; 9] = [
    "a/b@example.test",
    "/etc/passwd@example.test",
    "{x}@example.test",
    "'or'1'='1@example.test",
    "*@example.test",
    "%s%n@example.test",
    "$id`id`|id@example.test",
    "\"../../../etc/passwd\"@example.test",
    "\"a b\\\\\"@example.test",
];

fn files(dir: &Path, out: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out);
        }
        out.insert(path);
    }
}

/// No file or folder is named after an account, a domain or a mailbox, and none is made
/// outside of the store.
#[test]
fn names_are_no_paths() {
    let house = House::with(PLAIN);
    house.add("u1@example.test", "demo");
    let around = || {
        let mut found = BTreeSet::new();
        files(house.dir.path(), &mut found);
        let inside = |path: &&PathBuf| !path.starts_with(house.store());
        let outside: BTreeSet<PathBuf> = found.iter().filter(inside).cloned().collect();
        (found, outside)
    };
    let (_, before) = around();
    let mut taken = 0;
    for name in ODD {
        let args = ["account", "add", name, "--password-file", "-"];
        let said = house.run_with(&args, "secret\n");
        taken += usize::from(said.code == Some(0));
    }
    assert!(taken >= 7, "{taken}");
    for domain in [
        "../evil",
        "..",
        "a/b",
        "/",
        "a\\b",
        "example.test/../..",
        "",
    ] {
        let said = house.run_with(
            &[
                "account",
                "add",
                &format!("x@{domain}"),
                "--password-file",
                "-",
            ],
            "secret\n",
        );
        assert!(said.code != Some(0), "{domain}");
    }
    let served = house.serve();
    let mut imap = Wire::imap_login(&house.addr(IMAP), "a/b@example.test", "secret");
    for mailbox in ["Work/~root", "...x", "a\\b"] {
        imap.ok(&format!("CREATE {{{}+}}\r\n{mailbox}", mailbox.len()));
        imap.append(
            &format!("{{{}+}}\r\n{mailbox}", mailbox.len()),
            "",
            "Subject: x\r\n\r\nx\r\n",
        );
    }
    for name in ODD.iter().filter(|name| !name.starts_with('"')) {
        let said = Wire::deliver(&house.addr(SMTP), name, "Subject: x\r\n\r\nx\r\n");
        assert!(said.starts_with("250"), "{name}: {said}");
    }
    drop(imap);
    served.signal("TERM");
    let mut served = served;
    served.ended();
    let (all, outside) = around();
    assert_eq!(outside, before);
    for path in all {
        let name = path.strip_prefix(house.dir.path()).unwrap();
        let text = name.to_string_lossy();
        for word in ["passwd", "example", "{x}", "root", "...", "%s", "$i"] {
            assert!(!text.contains(word), "{text}");
        }
    }
    house.verify();
}

/// A name is looked up as it is: no quote, bracket, star or byte in front of it makes
/// another of it, in no protocol.
#[test]
fn a_login_means_one_account() {
    let house = House::with(PLAIN);
    house.add("u1@example.test", "demo");
    let _served = house.serve();
    let said = |user: &[u8], password: &[u8]| {
        let mut imap = Wire::connect(&house.addr(IMAP));
        imap.line();
        imap.send(format!("a LOGIN {{{}+}}\r\n", user.len()));
        imap.send(user);
        imap.send(format!(" {{{}+}}\r\n", password.len()));
        imap.send(password);
        imap.send("\r\n");
        imap.line()
    };
    assert!(said(b"u1@example.test", b"demo").starts_with("a OK"));
    for (user, password) in [
        (&b"*"[..], &b"demo"[..]),
        (b"u*@example.test", b"demo"),
        (b"u1@example.test)(uid=*", b"demo"),
        (b"x' OR '1'='1", b"x' OR '1'='1"),
        (b"u1@example.test' --", b"demo"),
        (b"\\u1@example.test", b"demo"),
        // The first byte of a character that never comes, before a quote.
        (b"\xbf'OR 1=1 --", b"demo"),
        (b"u1@example.test\xbf\x5c", b"demo"),
        (b"u1@example.test\0", b"demo"),
        (b"u1@example.test", b"demo\0"),
        (b"u1@example.test\tu2", b"demo"),
        (b"u1@example.test\nx", b"demo"),
        (b"u1@example.test", b"*"),
        (b"u1@example.test", b"demo\t"),
        (b"u1@example.test", b""),
        (b"\0u1@example.test\0demo", b"demo"),
        (b"../u1@example.test", b"demo"),
        (b"u1@../example.test", b"demo"),
        (b"u1%00@example.test", b"demo"),
    ] {
        let said = said(user, password);
        assert!(
            said.starts_with("a NO ") || said.starts_with("a BAD "),
            "{user:?} {password:?}: {said}"
        );
    }
    let mut pop = Wire::connect(&house.addr(POP3));
    pop.line();
    for user in ["*", "u1@example.test\0", "u1@example.test\t"] {
        pop.send(format!("USER {user}\r\nPASS demo\r\n"));
        let (user_said, pass_said) = (pop.line(), pop.line());
        assert!(
            pass_said.starts_with("-ERR"),
            "{user:?}: {user_said}{pass_said}"
        );
    }
}
