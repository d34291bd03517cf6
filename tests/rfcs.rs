//! `docs/rfcs.tsv` is true to the code: every RFC that is cited stands in it,
//! and every "yes" is cited.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use axigen_tests::demo::root;

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != ".git" {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

/// Numbers behind "RFC " in a text.
fn cited(text: &str) -> BTreeSet<u32> {
    text.split("RFC ")
        .skip(1)
        .filter_map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        })
        .collect()
}

#[test]
fn the_table_of_rfcs_is_true() {
    let mut table = BTreeMap::new();
    let text = std::fs::read_to_string(root().join("docs/rfcs.tsv")).expect("docs/rfcs.tsv");
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [number, status, title, _place] = fields.as_slice() else {
            panic!("four fields: {line}")
        };
        assert!(["yes", "partial", "no"].contains(status), "{line}");
        assert!(!title.is_empty(), "{line}");
        let number: u32 = number.parse().expect("a number");
        assert!(
            table.insert(number, *status == "yes").is_none(),
            "RFC {number} stands there twice"
        );
    }
    let mut files = Vec::new();
    sources(root(), &mut files);
    let mut used = BTreeSet::new();
    for file in files {
        let numbers = cited(&std::fs::read_to_string(&file).expect("a source"));
        for number in &numbers {
            assert!(
                table.contains_key(number),
                "{} cites RFC {number}, which docs/rfcs.tsv does not list",
                file.display()
            );
        }
        used.extend(numbers);
    }
    for (number, yes) in &table {
        assert!(
            !yes || used.contains(number),
            "docs/rfcs.tsv says yes to RFC {number}, but nothing cites it"
        );
    }
    println!("{} RFCs, {} cited", table.len(), used.len());
}
