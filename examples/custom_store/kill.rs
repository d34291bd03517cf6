//! kill -9: what was acknowledged is there afterwards, and nothing by half.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use axigen_store::blob::BlobIn;
use axigen_store::{AccountId, Batch, BlobRef, Key, Op, Part, Store};
use bytes::Bytes;

use crate::Failed;

const ONE: AccountId = AccountId(1);
const TWO: AccountId = AccountId(2);
const WRITERS: usize = 8;
const ROUNDS: u64 = 6;

/// Writes for ever, and says of each batch when it is acknowledged.
pub(crate) async fn write(store: &Store, round: u64) -> Result<(), Failed> {
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let name = format!("{round}/{writer}/{n}");
                let blob = BlobIn::new(content(&name), Bytes::new());
                let blob = store.put(vec![blob]).await?.remove(0);
                store.commit(batch(&name, &blob)).await?;
                println!("{name}");
            }
            Ok::<(), axigen_store::Error>(())
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await??;
    }
    Ok(())
}

/// Kills writers, round after round, and looks at what they leave.
pub(crate) async fn rounds(dir: &Path) -> Result<(), Failed> {
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let mut writer = Command::new(std::env::current_exe()?)
            .arg("write")
            .arg(dir)
            .arg(round.to_string())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = writer.stdout.take().ok_or("no pipe")?;
        let mut said = BufReader::new(said);
        let mut line = String::new();
        // From the first acknowledgement to some hundreds of them.
        said.read_line(&mut line)?;
        std::thread::sleep(Duration::from_millis(round * 97));
        // SIGKILL on Unix, TerminateProcess on Windows.
        writer.kill()?;
        writer.wait()?;
        // A line that the kill cut off is not counted.
        while let Some(name) = line.strip_suffix('\n') {
            acknowledged.push(name.to_owned());
            line.clear();
            said.read_line(&mut line)?;
        }
        let store = crate::open(dir).await?;
        check(&store, &acknowledged).await?;
        store.close().await?;
    }
    if acknowledged.len() < 100 {
        return Err("hardly anything was acknowledged: this shows nothing".into());
    }
    println!(
        "{ROUNDS} kills, {} batches acknowledged, none lost or torn",
        acknowledged.len()
    );
    Ok(())
}

/// Sometimes short enough to lie in its row, sometimes of several pieces.
fn content(name: &str) -> Bytes {
    let times = [3, 900, 90_000][name.len() % 3];
    Bytes::from(name.repeat(times))
}

/// One row and one count in each of two accounts, and a blob.
fn batch(name: &str, blob: &BlobRef) -> Batch {
    let part = |account| Part {
        account,
        advance: true,
        ops: vec![
            Op::Set {
                key: Key::from(format!("k{name}")).into(),
                val: Bytes::copy_from_slice(&blob.hash).into(),
            },
            Op::Add {
                key: Key::from_static(b"n"),
                delta: 1,
                min: None,
                max: None,
                slot: None,
            },
            Op::Retain(blob.clone()),
        ],
        ..Part::default()
    };
    Batch {
        parts: vec![part(ONE), part(TWO)],
    }
}

async fn check(store: &Store, acknowledged: &[String]) -> Result<(), Failed> {
    let (from, to) = (Key::from_static(b"k"), Key::from_static(b"l"));
    let one = store.scan(ONE, from.clone(), to.clone()).await?;
    if one != store.scan(TWO, from, to).await? {
        return Err("of a batch only a part is there".into());
    }
    for account in [ONE, TWO] {
        let count = store.get(account, &[Key::from_static(b"n")]).await?;
        let count = match count.into_iter().next().flatten() {
            Some(count) => i64::from_be_bytes(count[..].try_into()?),
            None => 0,
        };
        let seq = store.seq(account).await?;
        if count as usize != one.len() || seq as usize != one.len() {
            return Err(format!(
                "{} rows, but the counter is {count}, the sequence {seq}",
                one.len()
            )
            .into());
        }
    }
    let rows: BTreeMap<Key, Bytes> = one.into_iter().collect();
    for name in acknowledged {
        if !rows.contains_key(format!("k{name}").as_bytes()) {
            return Err(format!("{name} was acknowledged, and is lost").into());
        }
    }
    // Of every batch that is there, acknowledged or not, the blob is too.
    for (key, hash) in &rows {
        let wanted = content(std::str::from_utf8(&key[1..])?);
        let blob = BlobRef {
            hash: hash[..].try_into()?,
            len: wanted.len() as u64,
        };
        if store.read(&blob, 0..u64::MAX).await? != wanted {
            return Err(format!("the blob of {key:?} is another").into());
        }
    }
    Ok(())
}
