//! A storage backend of your own, on SQLite: passes the public tests, survives kill -9, holds a mailbox.
#![allow(clippy::print_stdout)]

mod blobs;
mod database;
mod kill;
mod rows;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use async_trait::async_trait;
use axigen_core::delivery::{Answers, Envelope, Outcome};
use axigen_core::directory::NewAccount;
use axigen_core::engine::Engine;
use axigen_store::blocking::Blocking;
use axigen_store::conformance::{self, Subject};
use axigen_store::store::Options;
use axigen_store::{Error, Result, Store};
use bytes::Bytes;

use blobs::Blobs;
use rows::Rows;

/// Reads of up to this many rows run where the caller stands. A row that is in
/// SQLite's cache costs 2 us, going on in another thread 20 to 50 us.
const DIRECT: usize = 16;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The store in a directory, made if it is not there.
async fn open(dir: &Path) -> Result<Store> {
    let dir = dir.to_owned();
    let open = move || {
        let failed = |error| Error::io(format!("making {}", dir.display()), error);
        std::fs::create_dir_all(&dir).map_err(failed)?;
        let lock = rows::lock(&dir)?;
        let blobs = Blobs::open(&dir.join("blobs.sqlite"))?;
        let rows = Rows::open(&dir.join("rows.sqlite"), lock)?;
        // SQLite syncs the names of its files; that of the directory is ours.
        if let Some(parent) = dir.parent().filter(|parent| parent.is_dir()) {
            let synced = std::fs::File::open(parent).and_then(|parent| parent.sync_all());
            synced.map_err(failed)?;
        }
        Ok((rows, blobs))
    };
    // To open means to read what the last process left in the logs.
    let opening = tokio::task::spawn_blocking(open).await;
    let (rows, blobs) =
        opening.map_err(|error| Error::io("opening the store", std::io::Error::other(error)))??;
    let backend = Blocking::new(rows, DIRECT);
    Store::over(Arc::new(backend), Arc::new(blobs), Options::default()).await
}

/// What the conformance suite is run on: each store in its own directory.
struct Sqlite {
    dir: PathBuf,
    made: AtomicU32,
}

impl Sqlite {
    fn last(&self) -> PathBuf {
        self.dir.join(self.made.load(Relaxed).to_string())
    }
}

#[async_trait]
impl Subject for Sqlite {
    async fn fresh(&self) -> Result<Store> {
        self.made.fetch_add(1, Relaxed);
        open(&self.last()).await
    }

    async fn reopen(&self) -> Option<Result<Store>> {
        Some(open(&self.last()).await)
    }
}

/// A mail server over it: an account and a message, there after a restart.
async fn mailbox(dir: &Path) -> Result<(), Failed> {
    let engine = Engine::builder(open(dir).await?).build()?;
    engine.directory().add_domain("example.test").await?;
    let ann = NewAccount {
        address: "ann@example.test".into(),
        password: "secret".into(),
        ..NewAccount::default()
    };
    engine.directory().add_account(ann).await?;
    let raw = Bytes::from_static(b"Subject: hello\r\n\r\nkept in SQLite\r\n");
    let to = engine
        .delivery()
        .accept(Some(("ann", "example.test")), false, None)
        .await;
    let to = to.map_err(|refused| format!("{refused:?}"))?;
    let envelope = Envelope::new("example", "bob@elsewhere.test");
    let outcomes = engine
        .delivery()
        .deliver(raw.clone(), &envelope, &[to], Answers::One)
        .await;
    if outcomes != [Outcome::Delivered] {
        return Err(format!("not delivered: {outcomes:?}").into());
    }
    engine.shutdown().await?;

    let engine = Engine::builder(open(dir).await?).build()?;
    let ann = engine.directory().account("ann@example.test").await?.id;
    let inbox = engine.mailboxes().find(ann, "INBOX").await?.id;
    let (uids, _) = engine.mailboxes().uids(ann, inbox).await?;
    let rows = engine.mailboxes().rows(ann, inbox, &uids).await?;
    let [row] = &rows[..] else {
        return Err(format!("{} messages, not one", rows.len()).into());
    };
    let body = engine.mailboxes().body(ann, row.item, 0..row.size).await?;
    if body != raw {
        return Err(format!("another message: {body:?}").into());
    }
    println!("UID {} of ann's INBOX, after a restart: {body:?}", row.uid);
    Ok(engine.shutdown().await?)
}

const USAGE: &str = "custom_store [DIR] | custom_store write DIR ROUND";

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // What the example starts, and kills.
    if let ["write", dir, round] = args[..] {
        return kill::write(&open(Path::new(dir)).await?, round.parse()?).await;
    }
    let temporary = tempfile::tempdir()?;
    let dir = match args[..] {
        [] => temporary.path(),
        [dir] if !dir.starts_with('-') => Path::new(dir),
        _ => return Err(USAGE.into()),
    };
    if dir.join("conformance").exists() {
        return Err(format!("{} was used before; give an empty directory", dir.display()).into());
    }
    let subject = Sqlite {
        dir: dir.join("conformance"),
        made: AtomicU32::new(0),
    };
    conformance::run(&subject).await?;
    println!("the backend passes the conformance suite");
    kill::rounds(&dir.join("killed")).await?;
    mailbox(&dir.join("mail")).await
}
