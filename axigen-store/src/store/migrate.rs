//! From one engine to another.
//!
//! The rows are copied beside the old ones, read again and compared, and then
//! FORMAT is replaced by one that names the new engine: that rename is the
//! switch. Killed before it, the store has its old rows and an unfinished copy,
//! which the next migration begins anew; killed after it, it has its new rows
//! and the old ones, which the next migration removes. The directory is locked
//! all the time, so nothing changes meanwhile. Blobs stay where they are.

use std::collections::BTreeMap;
use std::path::Path;

use super::open::Root;
use super::rows::{Sum, each_page};
use super::{Engine, Options, engine::reopen};
use crate::blocking;
use crate::error::{Error, Result};

/// Bytes of rows after which they are written, durably, as one batch.
const BATCH: usize = 8 << 20;
/// Rows compared between two reports.
const SAY: u64 = 20_000;

/// What a migration is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// What an earlier one left is removed.
    Clearing,
    /// The rows are copied.
    Copying,
    /// The copy is read again and compared.
    Verifying,
    /// The store changes over to the copy.
    Switching,
    /// The old rows are removed.
    Removing,
    /// All is done.
    Done,
}

/// How far a migration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// Rows copied or compared so far.
    pub rows: u64,
    /// How many there are: about, while they are copied.
    pub of: Option<u64>,
}

/// What a migration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Which engine held the rows before. The same as the new one if there was
    /// nothing to do but to remove what an earlier migration left.
    pub from: Engine,
    /// Rows copied.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// Has another engine hold the rows of the store in a directory. Blocks; the
/// store must not be open. Needs room for the rows once more. `progress` is
/// called before each stage, and now and then within the long ones. Whenever it
/// is killed, the store opens with all its rows, and it can be called again.
///
/// # Errors
/// [`Error::Locked`] while the store is open; [`Error::Invalid`] if there is
/// none; [`Error::Full`]; [`Error::Corrupt`] if a row cannot be read, or the
/// copy is not what was read; [`Error::Io`]. After an error the store is as it
/// was, unless the error came while old rows were removed.
pub fn migrate(dir: &Path, to: Engine, mut progress: impl FnMut(Progress)) -> Result<Migrated> {
    let mut root = Root::existing(dir)?;
    let from = root.engine();
    let mut say = |stage, rows, of| progress(Progress { stage, rows, of });
    say(Stage::Clearing, 0, None);
    for other in Engine::ALL.into_iter().filter(|other| *other != from) {
        other.remove(dir)?;
    }
    let mut sum = Sum::default();
    if from != to {
        if let Err(error) = copy(&root, to, &mut say, &mut sum) {
            // Room for who runs short of it. If this fails too, the next
            // migration does it.
            let _ = to.remove(dir);
            return Err(error);
        }
        say(Stage::Switching, sum.rows, Some(sum.rows));
        root.switch(to)?;
        say(Stage::Removing, sum.rows, Some(sum.rows));
        from.remove(dir)?;
    }
    say(Stage::Done, sum.rows, Some(sum.rows));
    Ok(Migrated {
        from,
        rows: sum.rows,
        bytes: sum.key_and_value_bytes(),
    })
}

type Say<'s> = dyn FnMut(Stage, u64, Option<u64>) + 's;

/// Makes the new rows, durably, and compares.
fn copy(root: &Root, to: Engine, say: &mut Say<'_>, sum: &mut Sum) -> Result<()> {
    let options = Options::default();
    let path = root.dir().join(to.entry());
    let old = root.engine().bare(&root.rows(), &options)?;
    let new = to.bare(&path, &options)?;
    fill(&*old, &*new, say, sum)?;
    old.close()?;
    new.close()?;
    drop((old, new));
    // Opened again, so that it is what is in the files that is compared, and
    // not what is in memory.
    let new = reopen(|| to.bare(&path, &options))?;
    verify(&*new, say, sum)?;
    new.close()
}

fn fill(
    old: &dyn blocking::Engine,
    new: &dyn blocking::Engine,
    say: &mut Say<'_>,
    sum: &mut Sum,
) -> Result<()> {
    let about = old.rows();
    say(Stage::Copying, 0, about);
    let mut batch = BTreeMap::new();
    let mut waiting = 0;
    let snapshot = old.snapshot()?;
    let read = |range: &_| old.range(range, Some(&snapshot));
    each_page(read, |rows| {
        for (key, value) in rows {
            sum.add(&key, &value);
            waiting += key.len() + value.len();
            batch.insert(key, Some(value));
            if waiting >= BATCH {
                new.write(&[], &std::mem::take(&mut batch))?;
                waiting = 0;
                say(Stage::Copying, sum.rows, about);
            }
        }
        Ok(())
    })?;
    match batch.is_empty() {
        true => Ok(()),
        false => new.write(&[], &batch),
    }
}

/// Compares what is there with what was given.
fn verify(new: &dyn blocking::Engine, say: &mut Say<'_>, given: &Sum) -> Result<()> {
    let mut got = Sum::default();
    let mut said = 0;
    say(Stage::Verifying, 0, Some(given.rows));
    let snapshot = new.snapshot()?;
    let read = |range: &_| new.range(range, Some(&snapshot));
    each_page(read, |rows| {
        for (key, value) in rows {
            got.add(&key, &value);
        }
        if got.rows - said >= SAY {
            said = got.rows;
            say(Stage::Verifying, said, Some(given.rows));
        }
        Ok(())
    })?;
    if !got.is(given) {
        return Err(Error::Corrupt(format!(
            "the copy has {} rows of {} bytes and is not the {} rows of {} bytes that were copied; the store is as it was",
            got.rows, got.bytes, given.rows, given.bytes
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;

    use super::*;
    use crate::batch::AccountId;

    #[test]
    fn a_copy_that_is_not_the_same_is_noticed() {
        let dir = tempfile::TempDir::new().unwrap();
        let options = Options::default();
        let open = |engine: Engine| engine.bare(&dir.path().join(engine.name()), &options);
        let (old, new) = (open(Engine::Fjall).unwrap(), open(Engine::Redb).unwrap());
        let key = |n: u64| crate::backend::key::flat(AccountId(n % 7), &n.to_be_bytes());
        let value = |n: u64| Bytes::from(vec![n as u8; n as usize % 50]);
        let points: BTreeMap<_, _> = (0..1000).map(|n| (key(n), Some(value(n)))).collect();
        old.write(&[], &points).unwrap();
        let mut sum = Sum::default();
        let mut calls = 0;
        let mut say = |_, _, _| calls += 1;
        fill(&*old, &*new, &mut say, &mut sum).unwrap();
        assert_eq!(sum.rows, 1000);
        verify(&*new, &mut say, &sum).unwrap();
        let moved = Bytes::from([&key(520)[..], &value(520)[..1]].concat());
        let shorter = value(520).slice(1..);
        for changed in [
            vec![(key(0), None)],
            vec![(key(2000), Some(Bytes::new()))],
            vec![(key(520), Some(value(521)))],
            vec![(key(520), Some(value(470)))],
            // The same bytes, cut elsewhere.
            vec![(key(520), None), (moved, Some(shorter))],
        ] {
            let back: BTreeMap<_, _> = changed
                .iter()
                .map(|(key, _)| (key.clone(), points.get(key).cloned().flatten()))
                .collect();
            new.write(&[], &changed.into_iter().collect()).unwrap();
            let noticed = verify(&*new, &mut say, &sum);
            assert!(matches!(noticed, Err(Error::Corrupt(_))), "{noticed:?}");
            new.write(&[], &back).unwrap();
            verify(&*new, &mut say, &sum).unwrap();
        }
        assert!(calls > 10);
    }
}
