//! A backup of a store while it is written to, and the store made of it again.
#![allow(clippy::print_stdout)]
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use axigen_store::store::{BackupOptions, RestoreOptions};
use axigen_store::{AccountId, Batch, BlobIn, Op, Part, Store};
use bytes::Bytes;

const ACCOUNT: AccountId = AccountId(1);

/// A blob and a row that refers to it, in one batch.
async fn deliver(store: &Store, n: u32) -> axigen_store::Result<()> {
    let content = format!("mail number {n}\r\n").repeat(200);
    let blob = store.put(vec![BlobIn::new(content, "a label")]).await?;
    let row = Op::Set {
        key: Bytes::from(format!("mail/{n:08}")).into(),
        val: Bytes::copy_from_slice(&n.to_be_bytes()).into(),
    };
    let retain = blob.into_iter().map(Op::Retain);
    let part = Part {
        account: ACCOUNT,
        ops: std::iter::once(row).chain(retain).collect(),
        advance: true,
        ..Part::default()
    };
    let batch = Batch { parts: vec![part] };
    store.commit(batch).await.map(drop)
}

async fn count(store: &Store) -> axigen_store::Result<usize> {
    let rows = store.scan(ACCOUNT, "mail/".into(), "mail0".into()).await?;
    Ok(rows.len())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::TempDir::new()?;
    let at = |name: &str| dir.path().join(name);
    let store = Store::open(&at("store")).await?;
    for n in 0..50 {
        deliver(&store, n).await?;
    }

    // A writer that does not stop for the backup.
    let end = Arc::new(AtomicBool::new(false));
    let (working, stop) = (store.clone(), Arc::clone(&end));
    let writer = tokio::spawn(async move {
        let mut n = 50;
        while !stop.load(Relaxed) {
            deliver(&working, n).await?;
            n += 1;
        }
        Ok::<u32, axigen_store::Error>(n)
    });
    let made = store
        .backup(&at("backup"), BackupOptions::default(), |_| {})
        .await?;
    end.store(true, Relaxed);
    let written = writer.await??;
    println!("backed up while {written} mails were written: {made:?}");
    store.close().await?;

    let restored = restore(&at("backup"), &at("again")).await?;
    let mails = count(&restored).await?;
    // One moment: as many changes as rows, each of which can be read.
    assert_eq!(restored.seq(ACCOUNT).await?, mails as u64);
    println!("restored as it was with {mails} mails");
    Ok(restored.close().await?)
}

async fn restore(backup: &Path, to: &Path) -> axigen_store::Result<Store> {
    let options = RestoreOptions::default();
    let found = Store::check_backup(backup, options.clone(), |_| {}).await?;
    assert_eq!(found.damaged_count, 0);
    Store::restore(backup, to, options, |_| {}).await?;
    Store::open(to).await
}
