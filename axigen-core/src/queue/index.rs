//! Entries by name: by the lane they go by, and by the domains of those who have
//! not got them yet. So what is asked about a domain costs what goes there, and
//! not what the queue holds.
//!
//! The rows of an entry travel in the batches that put it into the queue, change
//! it and take it out. A store that was written before there was such an index
//! gets it once, piece by piece, beside everything else; what is written
//! meanwhile has its rows already.

use std::collections::BTreeSet;

use axigen_store::{AccountId, Expect, Op};
use bytes::Bytes;

use super::entry::{Entry, EntryId};
use super::list::PAGE;
use super::{Queue, Result, keys};

/// The names that an entry is found by, in lower case: its lane, and the domains
/// of its recipients.
pub(super) fn names(entry: &Entry) -> BTreeSet<String> {
    let domains = entry.recipients.iter().map(|to| domain(&to.address));
    let mut names: BTreeSet<String> = domains.flatten().collect();
    names.insert(entry.lane.to_lowercase());
    names
}

/// The domain of an address, or of `@domain`, as it is a name here.
pub(super) fn domain(address: &str) -> Option<String> {
    let (_, domain) = address.rsplit_once('@')?;
    Some(domain.to_lowercase())
}

/// What a batch does to the rows of an entry that becomes another one.
pub(super) fn changed(id: EntryId, old: &Entry, new: &Entry) -> Vec<Op> {
    if old.lane == new.lane && old.recipients.len() == new.recipients.len() {
        // Whoever waits for it only becomes fewer, unless it is made another.
        let mut pairs = old.recipients.iter().zip(&new.recipients);
        if pairs.all(|(old, new)| old.address == new.address) {
            return Vec::new();
        }
    }
    let (old, new) = (names(old), names(new));
    let gone = old.difference(&new);
    let gone = gone.map(|name| Op::Delete(keys::of_name(name, id)));
    let come = new.difference(&old);
    let come = come.map(|name| Op::Set {
        key: keys::of_name(name, id).into(),
        val: Bytes::new().into(),
    });
    gone.chain(come).collect()
}

/// How far the index of a store is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Of all entries.
    Whole,
    /// Of those before this one, and of those that came or changed since.
    Before(EntryId),
}

impl Progress {
    /// What is written down of it.
    pub(super) fn decode(row: Option<&[u8]>) -> Progress {
        match row {
            Some([]) => Progress::Whole,
            // Nothing, or what is none: from the beginning.
            other => Progress::Before(other.and_then(keys::id_of).unwrap_or(EntryId::FIRST)),
        }
    }
}

impl Queue {
    /// Returns once the index is whole, which it is but once after a new version.
    /// It goes on where it was when the server stopped.
    ///
    /// # Errors
    /// [`Error::Store`](super::Error::Store).
    pub(crate) async fn indexed(&self) -> Result<()> {
        let made = self.inner.indexed.get_or_try_init(|| self.make_index());
        made.await?;
        Ok(())
    }

    async fn make_index(&self) -> Result<()> {
        let store = &self.inner.store;
        let got = store.get(AccountId::SYSTEM, &[keys::indexed()]).await?;
        let progress = Progress::decode(got.into_iter().flatten().next().as_deref());
        let Progress::Before(id) = progress else {
            return Ok(());
        };
        let (mut from, (_, end)) = (keys::entry(id), keys::all(keys::ENTRY));
        let (mut limit, mut count) = (PAGE, 0u64);
        loop {
            let page = self.rows(from.clone(), end.clone(), limit, false).await?;
            let (mut ops, mut asserts) = (Vec::new(), Vec::new());
            for (key, row) in &page.rows {
                let Some(id) = keys::id_of(key) else { continue };
                // What cannot be read is a matter for verify.
                let Ok(entry) = Entry::decode(id, row) else {
                    continue;
                };
                asserts.push((key.clone(), Expect::Equals(row.clone())));
                ops.extend(names(&entry).iter().map(|name| Op::Set {
                    key: keys::of_name(name, id).into(),
                    val: Bytes::new().into(),
                }));
            }
            let next = page.next.clone();
            let goes_on = next.as_deref().and_then(keys::id_of);
            let row = goes_on.map_or(Bytes::new(), |id| Bytes::copy_from_slice(&id.encode()));
            ops.push(Op::Set {
                key: keys::indexed().into(),
                val: row.into(),
            });
            match self.commit(ops, asserts).await {
                Ok(_) => {}
                // Somebody was faster with one of them; the fewer they are, the less often.
                Err(error) if error.is_conflict() => {
                    limit = (limit / 2).max(1);
                    continue;
                }
                Err(error) => return Err(error),
            }
            count += page.rows.len() as u64;
            limit = PAGE;
            match next {
                Some(next) => from = next,
                None => break,
            }
        }
        if count > 0 {
            tracing::info!(entries = count, "the queue has an index by domain now");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::entry::Recipient;

    #[test]
    fn names_of_an_entry() {
        let mut entry = super::super::entry::tests::entry();
        entry.lane = "=smtp://Relay.test".into();
        entry.recipients = ["a@One.test", "b@one.test", "\"x@y\"@two.test"]
            .map(Recipient::new)
            .into();
        let wanted = ["=smtp://relay.test", "one.test", "two.test"];
        assert_eq!(names(&entry), wanted.map(String::from).into());
        assert_eq!(domain("@Three.test").as_deref(), Some("three.test"));
        assert_eq!(domain("three.test"), None);
    }

    #[test]
    fn only_what_changes_is_written() {
        let mut old = super::super::entry::tests::entry();
        old.lane = "=relay".into();
        old.recipients = ["a@one.test", "b@two.test"].map(Recipient::new).into();
        let id = EntryId {
            message: 7,
            part: 1,
        };
        let mut new = old.clone();
        new.attempts += 1;
        new.held = true;
        assert!(changed(id, &old, &new).is_empty());
        new.recipients.remove(0);
        let ops = changed(id, &old, &new);
        assert!(
            matches!(ops.as_slice(), [Op::Delete(key)] if *key == keys::of_name("one.test", id)),
            "{ops:?}"
        );
        new.lane = "two.test".into();
        assert_eq!(changed(id, &old, &new).len(), 2);
        assert_eq!(changed(id, &new, &old).len(), 2);
    }

    #[test]
    fn progress_is_read_back() {
        let id = EntryId {
            message: 7,
            part: 1,
        };
        assert_eq!(Progress::decode(Some(&[])), Progress::Whole);
        assert_eq!(Progress::decode(Some(&id.encode())), Progress::Before(id));
        for none in [None, Some(&b"?"[..])] {
            assert_eq!(Progress::decode(none), Progress::Before(EntryId::FIRST));
        }
    }
}
