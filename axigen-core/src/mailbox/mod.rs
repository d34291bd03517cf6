//! Mailbox rules, written once above the store: mailboxes, items, flags, UIDs,
//! modification numbers, counters, quota.
//!
//! The public face is free of store keys: it is also the in-process API for
//! embedders.
//!
//! Three rules hold everywhere here. Every change is one batch, and its
//! counters, its numbers and its entry in the account's change log are in it.
//! Numbers (UID, item, modification number) are given at commit, so deliveries
//! never wait for each other. What was read to decide a change is asserted in
//! its batch; if it does not hold, it is read and decided again.
//!
//! | file | what it is |
//! |---|---|
//! | `types` | the values of the API |
//! | `folders`, `create`, `rename`, `delete` | mailboxes |
//! | [`names`] | what a mailbox may be called |
//! | `append`, `parts` | messages in |
//! | `select`, `item` | reading: UIDs and rows; structure and content |
//! | `flags`, `copy`, `expunge` | changing |
//! | [`annotations`] | notes about mailboxes |
//! | `access_keys` | keys of URLs that carry rights |
//! | [`acl`], `view`, `seen` | what others may do with a mailbox, how they see it, what they have seen |
//! | `listed` | UIDs of mailboxes that were listed lately |
//! | `changes`, `follow` | what changed since, in a mailbox, in an account |
//! | [`search`], `matches` | what a search asks, and whether a message has it |
//! | `fuzzy` | how well a text answers an inexact search |
//! | [`sort`], [`thread`], `subject`, `casemap` | found messages in an order, in trees |
//! | `objectid`, `preview` | what a mailbox and a message are called for ever; how a message begins |
//! | `quota` | what an account holds |
//! | [`verify`], [`repair`] | counting again, setting right |
//! | [`label`] | what salvage reads |
//! | `draft` | a batch being put together, its counters and retries |
//! | `fold` | rows into blocks |
//! | `keys`, `row`, `block`, `log`, [`label`], [`keywords`] | what the store sees |

use std::{collections::HashMap, sync::Arc};

use axigen_store::{AccountId, Store};
use parking_lot::Mutex;
use tokio::sync::{Mutex as Turns, OwnedMutexGuard};

mod access_keys;
pub mod acl;
pub mod annotations;
mod append;
mod beside;
mod block;
pub mod brief;
mod casemap;
mod changes;
mod copy;
mod create;
mod delete;
mod draft;
mod error;
pub mod excerpt;
mod expunge;
mod flags;
mod fold;
mod folders;
mod follow;
mod fuzzy;
mod item;
mod keys;
pub mod keywords;
pub mod label;
mod listed;
mod log;
mod matches;
pub mod names;
mod needle;
mod objectid;
mod parts;
mod preview;
mod quota;
mod rename;
pub mod repair;
mod rewrite;
mod row;
pub mod search;
mod seen;
mod select;
pub mod sort;
pub mod structure;
mod subject;
#[cfg(test)]
mod tests;
pub mod thread;
mod types;
pub mod verify;
mod view;

pub use access_keys::AccessKey;
pub use changes::Knows;
pub use copy::WhenGone;
pub use error::{Error, Result};
pub use expunge::REMOVED_AT_ONCE;
pub use follow::{Places, Stretch};
pub use item::Content;
pub use objectid::mailbox_object;
pub use preview::PREVIEW;
pub use types::{
    Appended, Changes, Copied, FlagChange, Flagged, Flags, ItemId, MailboxId, MailboxInfo,
    NewMessage, Options, Place, Quota, Replaces, Row, SpecialUse, Target, Touched,
};
pub use view::View;

/// All mailboxes of all accounts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mailboxes {
    store: Store,
    shared: Arc<Shared>,
}

/// What all clones share: nothing that the store does not know better.
#[derive(Debug)]
struct Shared {
    options: Options,
    /// Keywords by account.
    tables: Mutex<HashMap<AccountId, Arc<keywords::Table>>>,
    /// Those who make mailboxes in an account take turns, so that they do not
    /// spoil each other's batch again and again; correctness does not need it.
    turns: Vec<Arc<Turns<()>>>,
    /// What stands beside the blocks of mailboxes.
    beside: Arc<beside::AllBeside>,
    /// The UIDs of mailboxes that were listed lately.
    listed: Arc<listed::Listed>,
    /// One mailbox is folded at a time.
    folding: Turns<()>,
}

impl Mailboxes {
    /// Mailboxes in a store, with the default limits.
    pub fn new(store: Store) -> Self {
        Self::with_options(store, Options::default())
    }

    /// Mailboxes in a store, with limits of your own.
    pub fn with_options(store: Store, options: Options) -> Self {
        let shared = Shared {
            options,
            tables: Mutex::default(),
            turns: (0..64).map(|_| Arc::default()).collect(),
            beside: store.companion(),
            listed: store.companion(),
            folding: Turns::default(),
        };
        Self {
            store,
            shared: Arc::new(shared),
        }
    }

    /// Woken when anything of the account changes.
    pub fn watch(&self, account: AccountId) -> axigen_store::store::Watcher {
        self.store.watch(account)
    }

    /// Woken when anything of the accounts that are added to it changes.
    pub fn watch_some(&self) -> axigen_store::store::SomeWatcher {
        self.store.watch_some()
    }

    /// Woken when anything of any account changes.
    pub fn watch_all(&self) -> axigen_store::store::AllWatcher {
        self.store.watch_all()
    }

    /// Waits for the account's turn.
    async fn turn(&self, account: AccountId) -> Vec<OwnedMutexGuard<()>> {
        self.turns([account]).await
    }

    /// Waits for the turn of all these accounts, in one order for all callers.
    async fn turns(
        &self,
        accounts: impl IntoIterator<Item = AccountId>,
    ) -> Vec<OwnedMutexGuard<()>> {
        let count = self.shared.turns.len() as u64;
        let wanted: std::collections::BTreeSet<u64> = accounts
            .into_iter()
            .map(|account| account.0 % count)
            .collect();
        let mut turns = Vec::with_capacity(wanted.len());
        for at in wanted {
            if let Some(turn) = self.shared.turns.get(at as usize) {
                turns.push(turn.clone().lock_owned().await);
            }
        }
        turns
    }
}
