//! Verify, repair, salvage: what is found, what is set right, what is lost.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use axigen_store::blob::{Note, Piece, Recipe};
use axigen_store::store::{Options, Problem, References};
use axigen_store::{AccountId, Batch, BlobIn, BlobRef, Error, Op, Part, Store};
use bytes::Bytes;
use tempfile::TempDir;

const ONE: AccountId = AccountId(1);

fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut noise = blake3::Hasher::new().update(&[seed]).finalize_xof();
    noise.fill(&mut bytes);
    bytes
}

async fn commit(store: &Store, ops: Vec<Op>) {
    let part = Part {
        account: ONE,
        ops,
        advance: true,
        ..Part::default()
    };
    store.commit(Batch { parts: vec![part] }).await.unwrap();
}

/// Ten mails with one attachment, some short ones; two are released.
async fn filled(dir: &Path) -> (Vec<(BlobRef, Bytes)>, References) {
    let store = Store::open(dir).await.unwrap();
    let attachment = noise(0, 50_000);
    let mut kept = Vec::new();
    for n in 0..20u8 {
        let head = format!("mail {n}\r\n");
        let mut content = head.clone().into_bytes();
        let mut pieces = Vec::new();
        if n % 2 == 0 {
            content.extend_from_slice(&attachment);
            pieces.push(Piece {
                range: head.len()..content.len(),
                recipe: Recipe::Plain,
                apart: true,
            });
        }
        let content = Bytes::from(content);
        let blob = BlobIn {
            bytes: content.clone(),
            label: format!("label {n}").into(),
            pieces,
        };
        let blob = store.put(vec![blob]).await.unwrap().remove(0);
        commit(&store, vec![Op::Retain(blob.clone())]).await;
        if n % 5 == 4 {
            commit(&store, vec![Op::Release(blob.clone())]).await;
            let note = Note {
                about: vec![blob.hash],
                bytes: "gone".into(),
            };
            store.note(note).await.unwrap();
        } else {
            kept.push((blob, content));
        }
    }
    // Short and without a label: in its row.
    let short = BlobIn::new("a structure", "");
    let short = store.put(vec![short]).await.unwrap().remove(0);
    commit(
        &store,
        vec![Op::Retain(short.clone()), Op::Retain(short.clone())],
    )
    .await;
    let mut references: References = kept.iter().map(|(blob, _)| (blob.hash, 1)).collect();
    references.insert(short.hash, 2);
    store.close().await.unwrap();
    (kept, references)
}

async fn problems(store: &Store, references: &References) -> Vec<Problem> {
    let report = store.verify(references, true, |_, _| {}).await.unwrap();
    assert_eq!(report.problem_count, report.problems.len() as u64);
    report.problems
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_agree_is_found_and_set_right() {
    let dir = TempDir::new().unwrap();
    let (kept, mut references) = filled(dir.path()).await;
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(problems(&store, &references).await, []);
    // The caller has one reference less, and one more, than the rows say.
    references.remove(&kept[0].0.hash);
    references.insert(kept[1].0.hash, 7);
    references.insert([9; 32], 1);
    let found = problems(&store, &references).await;
    for wanted in [
        Problem::References {
            hash: kept[0].0.hash,
            row: 1,
            counted: 0,
        },
        Problem::References {
            hash: kept[1].0.hash,
            row: 1,
            counted: 7,
        },
        Problem::Missing { hash: [9; 32] },
    ] {
        assert!(found.contains(&wanted), "{found:?}");
        assert!(!wanted.to_string().is_empty());
    }
    assert_eq!(found.len(), 3);
    let lost = store.repair(&references, true, |_, _| {}).await.unwrap();
    assert_eq!(lost, [[9; 32]]);
    references.remove(&[9; 32]);
    assert_eq!(problems(&store, &references).await, []);
    for (blob, content) in &kept {
        assert_eq!(store.read(blob, 0..u64::MAX).await.unwrap(), content);
    }
    store.close().await.unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(problems(&store, &references).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_and_what_it_hit_is_named() {
    let dir = TempDir::new().unwrap();
    let (kept, references) = filled(dir.path()).await;
    let pack = dir.path().join("packs/00/0000000000000000.pack");
    let mut bytes = fs::read(&pack).unwrap();
    let hit = bytes
        .windows(6)
        .position(|window| window == b"mail 3")
        .expect("stored as it is");
    bytes[hit] ^= 4;
    fs::write(&pack, bytes).unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let hash = *blake3::hash(b"mail 3\r\n").as_bytes();
    match &problems(&store, &references).await[..] {
        [Problem::Damaged { hash: found, .. }] => assert_eq!(*found, hash),
        other => panic!("{other:?}"),
    }
    let lost = store.repair(&references, true, |_, _| {}).await.unwrap();
    assert_eq!(lost, [hash]);
    let left: References = references
        .into_iter()
        .filter(|(known, _)| *known != hash)
        .collect();
    assert_eq!(problems(&store, &left).await, []);
    for (blob, content) in kept.iter().filter(|(blob, _)| blob.hash != hash) {
        assert_eq!(store.read(blob, 0..u64::MAX).await.unwrap(), content);
    }
}

async fn salvaged(dir: &Path) -> HashMap<[u8; 32], Vec<String>> {
    let salvage = Store::salvage(dir, Options::default(), |_, _| {})
        .await
        .unwrap();
    assert_eq!(salvage.report().lost, Vec::<String>::new());
    let store = salvage.store();
    let mut said: HashMap<[u8; 32], Vec<String>> = HashMap::new();
    let mut from = (0, 0);
    loop {
        let page = store.list_blobs(from, 7).await.unwrap();
        for blob in page.blobs.iter().filter(|blob| !blob.label.is_empty()) {
            let label = String::from_utf8(blob.label.to_vec()).unwrap();
            said.entry(blob.loc.hash).or_default().push(label);
            let blob = BlobRef {
                hash: blob.loc.hash,
                len: blob.raw_len,
            };
            commit(store, vec![Op::Retain(blob)]).await;
        }
        for note in page.notes {
            let text = String::from_utf8(note.bytes.to_vec()).unwrap();
            said.entry(note.about[0]).or_default().push(text);
        }
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    salvage.finish().await.unwrap();
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn without_metadata_everything_that_has_a_label_comes_back() {
    let dir = TempDir::new().unwrap();
    let (kept, _) = filled(dir.path()).await;
    fs::remove_dir_all(dir.path().join("meta")).unwrap();
    let error = Store::open(dir.path()).await.unwrap_err();
    assert!(matches!(&error, Error::Corrupt(_)), "{error}");
    assert!(error.to_string().contains("salvage"), "{error}");
    // Broken off, and begun again; then even FORMAT and the name are lost.
    let broken = Store::salvage(dir.path(), Options::default(), |_, _| {}).await;
    drop(broken.unwrap());
    for name in ["FORMAT", "store.id"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    let said = salvaged(dir.path()).await;
    assert_eq!(said.len(), 20);
    let store = Store::open(dir.path()).await.unwrap();
    for (blob, content) in &kept {
        assert_eq!(store.read(blob, 0..u64::MAX).await.unwrap(), content);
        assert!(said[&blob.hash][0].starts_with("label"));
    }
    let gone = said.values().filter(|said| said.len() == 2);
    assert!(gone.clone().all(|said| said[1] == "gone"));
    assert_eq!(gone.count(), 4);
    let references = said.keys().map(|hash| (*hash, 1)).collect();
    assert_eq!(problems(&store, &references).await, []);
    store.close().await.unwrap();
    // With metadata there, it is put aside, not thrown away.
    salvaged(dir.path()).await;
    let aside = fs::read_dir(dir.path()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("meta.before-salvage-")
    });
    assert_eq!(aside.count(), 1);
}
