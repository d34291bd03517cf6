//! Full-text search: an index of words beside the mail, which tells SEARCH
//! which messages it need not look at.
//!
//! The answer of a search never depends on the index. What it names are
//! candidates; whether a message matches is decided by its text, as
//! [`mailbox::search`](crate::mailbox::search) says. Messages that are not in
//! yet are candidates all of them, and an index that is missing, damaged or
//! being built narrows nothing. So it is fed after the fact, never before an
//! acknowledgement, and is thrown away and built anew when anything is wrong
//! with it.
//!
//! | file | what it is |
//! |---|---|
//! | `words` | how text is cut, for the index and for asking it |
//! | `shard` | one index on disk: documents, terms, cursors |
//! | `files` | its files, for tantivy |
//! | `ask` | which documents can match |
//! | [`feed`] | the background task that follows the change logs |
//!
//! Accounts are spread over [`SHARDS`] indexes below `search/` in the store's
//! directory. An index for each account would be as many open dictionaries as
//! there are accounts, and a commit for each that got a mail; a single one
//! could only be checked, joined and rebuilt as a whole. With sixteen a damaged
//! file costs a sixteenth, and a commit, about ten small files and their syncs,
//! serves a sixteenth of all accounts.

mod ask;
pub mod feed;
mod files;
mod shard;
#[cfg(test)]
mod tests;
mod words;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axigen_store::AccountId;
use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::mailbox::search::{Search, Wanted};
use crate::mailbox::{MailboxId, Mailboxes};
use crate::settings::SearchSettings;
use shard::{Cursor, Fault, LEAST_MEMORY, MOST_MEMORY, Shard, View};

/// How many indexes the accounts are spread over. Another number means that
/// all are built anew.
pub const SHARDS: usize = 16;
/// Messages not yet in the index up to which a search is still narrowed.
const TAIL: usize = 100_000;

/// Memory for indexing that can be set, in bytes: 15 MB to 2 GB.
pub const MEMORY: std::ops::RangeInclusive<u64> = LEAST_MEMORY..=MOST_MEMORY;

/// The index of all accounts. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct SearchIndex {
    /// `None`: there is none, and nothing is ever narrowed.
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    settings: SearchSettings,
    slots: Vec<RwLock<Slot>>,
    /// A shard was found damaged, or all are to be built anew.
    wake: Notify,
    again: AtomicBool,
}

/// A shard as searches see it.
#[derive(Debug, Default)]
struct Slot {
    state: State,
    /// How far each account is; those of the view, or later if nothing of what
    /// happened since is indexed.
    cursors: HashMap<AccountId, Cursor>,
}

#[derive(Debug, Clone, Default)]
enum State {
    /// Not looked at yet.
    #[default]
    Closed,
    /// No account of it has mail.
    Absent,
    /// It can be asked.
    Ready(Arc<Shard>, Arc<View>),
    /// It cannot be used, and this is why.
    Broken(String),
}

/// What a shard is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardState {
    /// Not opened and checked yet, or search is off.
    Closed,
    /// No account of it has mail yet.
    Absent,
    /// It narrows searches.
    Ready,
    /// It cannot be used and will be built anew; the reason.
    Broken(String),
}

/// How a shard is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardStatus {
    /// What it is.
    pub state: ShardState,
    /// Accounts in it.
    pub accounts: usize,
    /// Messages in it.
    pub messages: u64,
}

impl SearchIndex {
    /// The index below a directory, which is the store's directory joined with
    /// `search`. Nothing is read or written until a [`feed::Feeder`] runs.
    pub fn open(dir: &Path, settings: SearchSettings) -> SearchIndex {
        if !settings.enable {
            return SearchIndex::off();
        }
        let inner = Inner {
            dir: dir.to_owned(),
            settings,
            slots: (0..SHARDS).map(|_| RwLock::default()).collect(),
            wake: Notify::new(),
            again: AtomicBool::new(false),
        };
        SearchIndex {
            inner: Some(Arc::new(inner)),
        }
    }

    /// No index: every search reads the messages.
    pub fn off() -> SearchIndex {
        SearchIndex { inner: None }
    }

    /// Of `uids` (ascending), those that a search must look at, which are all
    /// that match and mostly few more. `None` means all of them: the search
    /// says nothing that words could tell, or the index is not at hand. Of
    /// those that match for certain, the search [learns](Search::learn).
    ///
    /// Messages that came after `uids` were read may be left out.
    pub async fn narrow(
        &self,
        mailboxes: &Mailboxes,
        account: AccountId,
        mailbox: MailboxId,
        search: &mut Search,
        uids: &[u32],
    ) -> Option<Vec<u32>> {
        let inner = self.inner.as_ref()?;
        let wanted = search.wanted();
        if !narrows(&wanted) {
            return None;
        }
        let number = shard_of(account);
        // Before the change log: what comes in between is in what it says.
        let (view, cursor) = {
            let slot = inner.slots.get(number)?.read();
            let State::Ready(_, view) = &slot.state else {
                return None;
            };
            (view.clone(), *slot.cursors.get(&account)?)
        };
        let tail = match mailboxes.follow(account, cursor.seq, TAIL).await {
            Ok(Some(stretch)) if !stretch.more => stretch,
            Ok(_) => return None,
            Err(error) => {
                tracing::debug!(account = account.0, %error, "the change log cannot be read");
                return None;
            }
        };
        let asked = tokio::task::spawn_blocking(move || {
            // Damaged bytes make tantivy panic here and there.
            let ask = || ask::narrow(&view, account, mailbox, &wanted);
            catch_unwind(AssertUnwindSafe(ask))
                .unwrap_or_else(|_| Err(Fault::Damaged("it cannot be read".into())))
        });
        let said = match asked.await.ok()? {
            Ok(said) => said?,
            Err(fault) => {
                inner.broke(number, &fault);
                return None;
            }
        };
        let late = tail.came.get(&mailbox);
        let is_late = |uid: &u32| late.is_some_and(|late| late.contains(uid));
        for (wanted, uids) in &said.sure {
            search.learn(wanted, uids);
        }
        let mut known = said.candidates.into_iter().peekable();
        let mut is_known = |uid: u32| {
            while known.next_if(|known| *known < uid).is_some() {}
            known.peek() == Some(&uid)
        };
        let candidates = uids.iter().copied();
        let candidates = candidates
            .filter(|uid| is_known(*uid) || !cursor.reaches((mailbox, *uid)) || is_late(uid));
        let candidates: Vec<u32> = candidates.collect();
        tracing::debug!(
            account = account.0,
            mailbox = mailbox.0,
            candidates = candidates.len(),
            of = uids.len(),
            "a search was narrowed"
        );
        Some(candidates)
    }

    /// Throws all shards away; the feeder builds them anew, at once if it runs.
    pub fn rebuild(&self) {
        let Some(inner) = &self.inner else {
            return;
        };
        for number in 0..SHARDS {
            inner.set_broken(number, "it is to be built anew".into());
        }
        inner.again.store(true, Ordering::Release);
        inner.wake.notify_one();
    }

    /// How each shard is.
    pub fn status(&self) -> Vec<ShardStatus> {
        let Some(inner) = &self.inner else {
            return Vec::new();
        };
        let status = inner.slots.iter().map(|slot| {
            let slot = slot.read();
            let (state, documents) = match &slot.state {
                State::Closed => (ShardState::Closed, 0),
                State::Absent => (ShardState::Absent, 0),
                State::Ready(_, view) => (ShardState::Ready, view.documents()),
                State::Broken(why) => (ShardState::Broken(why.clone()), 0),
            };
            let accounts = slot.cursors.len();
            ShardStatus {
                state,
                accounts,
                messages: documents.saturating_sub(accounts as u64),
            }
        });
        status.collect()
    }
}

impl Inner {
    fn dir_of(&self, number: usize) -> PathBuf {
        self.dir.join(format!("{number:02}"))
    }

    /// A search or the feeder found a shard damaged.
    fn broke(&self, number: usize, fault: &Fault) {
        tracing::warn!(
            shard = number,
            %fault,
            "a search index cannot be used and will be built anew; searches read the messages until then"
        );
        self.set_broken(number, fault.to_string());
        self.again.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    fn set_broken(&self, number: usize, why: String) {
        if let Some(slot) = self.slots.get(number) {
            let mut slot = slot.write();
            slot.state = State::Broken(why);
            slot.cursors.clear();
        }
    }
}

fn shard_of(account: AccountId) -> usize {
    // The product's top bits are spread, whether numbers are dense or random.
    (account.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize % SHARDS
}

/// Whether there is anything in it to ask for.
fn narrows(wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Anything => false,
        Wanted::Text(..) => true,
        Wanted::All(all) => all.iter().any(narrows),
        Wanted::Either(a, b) => narrows(a) && narrows(b),
    }
}
