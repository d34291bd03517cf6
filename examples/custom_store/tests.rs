//! What goes wrong has the right kind, and the store goes on where it can.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use axigen_store::blocking::Engine;
use axigen_store::{Error, Key};
use bytes::Bytes;

use crate::rows::{self, Rows};

fn rows(dir: &std::path::Path) -> Rows {
    Rows::open(&dir.join("rows.sqlite"), rows::lock(dir).unwrap()).unwrap()
}

fn one(key: &'static str, value: Vec<u8>) -> BTreeMap<Key, Option<Bytes>> {
    BTreeMap::from([(Key::from(key), Some(Bytes::from(value)))])
}

#[test]
fn a_full_disk_is_no_broken_disk() {
    let dir = tempfile::tempdir().unwrap();
    let rows = rows(dir.path());
    rows.write(&[], &one("before", vec![1; 10])).unwrap();
    let pages = |count: u32| {
        rows.database()
            .with_writer(|writer| writer.pragma_update(None, "max_page_count", count))
            .unwrap()
            .unwrap();
    };
    pages(1);
    let mut large = one("large", vec![2; 1 << 20]);
    large.insert(Key::from("aaa"), Some(Bytes::from_static(b"small")));
    let failed = rows.write(&[], &large).unwrap_err();
    assert!(matches!(failed, Error::Full), "{failed:?}");
    assert!(!failed.is_fatal());
    let keys = ["before", "aaa", "large"].map(Key::from);
    let found: Vec<bool> = rows
        .get(&keys)
        .unwrap()
        .iter()
        .map(Option::is_some)
        .collect();
    assert_eq!(found, [true, false, false]);
    pages(u32::MAX - 1);
    rows.write(&[], &large).unwrap();
    assert!(rows.get(&keys).unwrap().iter().all(Option::is_some));
}

#[test]
fn a_damaged_file_is_said_to_be_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let first = rows(dir.path());
    for n in 0..200u32 {
        let points = BTreeMap::from([(
            Key::from(format!("{n:04}")),
            Some(Bytes::from(vec![3; 1000])),
        )]);
        first.write(&[], &points).unwrap();
    }
    first.close().unwrap();
    let path = dir.path().join("rows.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    // All pages but the first, where the tables are named.
    for page in bytes[4096..].chunks_mut(4096) {
        page[..16].fill(0xee);
    }
    std::fs::write(&path, &bytes).unwrap();
    let failed = rows(dir.path()).get(&[Key::from("0100")]).unwrap_err();
    assert!(matches!(failed, Error::Corrupt(_)), "{failed:?}");
    std::fs::write(&path, b"something else that is not SQLite's, ".repeat(99)).unwrap();
    let failed = Rows::open(&path, rows::lock(dir.path()).unwrap()).unwrap_err();
    assert!(matches!(failed, Error::Corrupt(_)), "{failed:?}");
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = rows(dir.path());
    let second = rows::lock(dir.path());
    assert!(matches!(second, Err(Error::Locked(_))), "{second:?}");
    first.close().unwrap();
    assert!(matches!(first.get(&[Key::from("a")]), Err(Error::Closed)));
    rows::lock(dir.path()).unwrap();
}

#[test]
fn what_is_deleted_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let rows = rows(dir.path());
    for n in 0..20 {
        let points = BTreeMap::from([(
            Key::from(format!("{n:04}")),
            Some(Bytes::from(vec![3; 100_000])),
        )]);
        rows.write(&[], &points).unwrap();
    }
    let doomed = (Key::from("0001"), Key::from("9"));
    rows.write(&[doomed], &BTreeMap::new()).unwrap();
    let report = rows
        .maintain(axigen_store::backend::Maintain::Compact)
        .unwrap();
    assert!(report.before > 2_000_000, "{report:?}");
    assert!(report.after < 300_000, "{report:?}");
    assert!(
        std::fs::metadata(dir.path().join("rows.sqlite"))
            .unwrap()
            .len()
            < 300_000
    );
    assert!(rows.get(&[Key::from("0000")]).unwrap()[0].is_some());
}
