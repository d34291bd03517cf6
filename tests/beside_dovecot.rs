//! The same mails and the same commands: what Dovecot says and what we say.
//! Where they differ stands in a table, with the reason; another difference
//! is a mistake, and so is a line of the table that is no longer true.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::process::Command;

use axigen_tests::demo::{Demo, Port, root};
use axigen_tests::odd::{odd, shared};
use axigen_tests::tool::finish;
use axigen_tests::{mails, odd};
use serde_json::Value;
use tempfile::TempDir;

/// One line of the table: a mail, an item (`*` at the end stands for anything),
/// the reason.
#[derive(Debug)]
struct Known {
    mail: String,
    item: String,
}

impl Known {
    fn fits(&self, mail: &str, item: &str) -> bool {
        let like = |pattern: &str, text: &str| match pattern.strip_suffix('*') {
            Some(start) => text.starts_with(start),
            None => text == pattern,
        };
        like(&self.mail, mail) && like(&self.item, item)
    }
}

fn table() -> Vec<Known> {
    let text = std::fs::read_to_string(root().join("tests/beside_dovecot.tsv")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            let [mail, item, reason] = cells.as_slice() else {
                panic!("{line:?} has not three cells");
            };
            assert!(reason.contains("RFC "), "{line:?} names no standard");
            Known {
                mail: (*mail).to_owned(),
                item: (*item).to_owned(),
            }
        })
        .collect()
}

fn compare(cases: &[(String, Vec<u8>)]) -> (Vec<Value>, Value) {
    let demo = Demo::start(&["--accounts", "1"]);
    let dir = TempDir::new().unwrap();
    let (put, work) = (dir.path().join("mails"), dir.path().join("work"));
    std::fs::create_dir(&put).unwrap();
    std::fs::create_dir(&work).unwrap();
    for (name, mail) in cases {
        let name: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "-. ".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        std::fs::write(put.join(name), mail).unwrap();
    }
    // Dovecot does not run as root: others must be able to go in.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    let mut python = Command::new("python3");
    python
        .arg(root().join("tests/clients/beside_dovecot.py"))
        .args([&put, &work])
        .env("IMAP", demo.port(Port::Imap).to_string())
        .env("U", "u1@example.test")
        .env("PW", "demo");
    let said = finish(python, b"").ok();
    let mut lines: Vec<Value> = String::from_utf8_lossy(&said.out)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let sum = lines.pop().unwrap();
    (lines, sum)
}

/// The differences that the table does not know; marks what it does.
fn unknown(differences: &[Value], table: &[Known], used: &mut BTreeSet<usize>) -> Vec<String> {
    let mut out = Vec::new();
    for difference in differences {
        let (mail, item) = (
            difference["mail"].as_str().unwrap(),
            difference["item"].as_str().unwrap(),
        );
        match table.iter().position(|known| known.fits(mail, item)) {
            Some(at) => drop(used.insert(at)),
            None => out.push(format!(
                "{mail}\t{item}\n  Dovecot {}\n  ours    {}",
                difference["dovecot"], difference["ours"]
            )),
        }
    }
    out
}

#[test]
fn our_own_mails() {
    let cases: Vec<(String, Vec<u8>)> = mails::ordinary()
        .into_iter()
        .map(|mail| (mail.name.to_owned(), mail.bytes))
        .chain(
            odd()
                .into_iter()
                .filter(|(_, mail)| odd::is_transportable(mail)),
        )
        .collect();
    let (differences, sum) = compare(&cases);
    println!("{sum}, {} differences", differences.len());
    let table = table();
    let mut used = BTreeSet::new();
    let unknown = unknown(&differences, &table, &mut used);
    assert!(
        unknown.is_empty(),
        "{} unknown:\n{}",
        unknown.len(),
        unknown.join("\n")
    );
    let stale: Vec<&Known> = table
        .iter()
        .enumerate()
        .filter(|(at, known)| !used.contains(at) && !known.mail.starts_with("beside-"))
        .map(|(_, known)| known)
        .collect();
    assert!(stale.is_empty(), "these differ no more: {stale:?}");
}

/// Mails of other projects, where they lie beside this one.
#[test]
fn mails_of_others() {
    let cases: Vec<(String, Vec<u8>)> = shared()
        .into_iter()
        .filter(|(_, mail)| odd::is_transportable(mail))
        .map(|(path, mail)| {
            let name = path
                .rsplit_once("/mime/")
                .map_or(path.as_str(), |(_, name)| name);
            (format!("beside-{}", name.replace('/', "-")), mail)
        })
        .collect();
    if cases.is_empty() {
        println!("none are beside the project");
        return;
    }
    let (differences, sum) = compare(&cases);
    println!("{sum}, {} differences", differences.len());
    let unknown = unknown(&differences, &table(), &mut BTreeSet::new());
    assert!(
        unknown.is_empty(),
        "{} unknown:\n{}",
        unknown.len(),
        unknown.join("\n")
    );
}
