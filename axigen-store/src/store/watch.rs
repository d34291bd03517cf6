//! Who waits for changes of which account.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use crate::batch::AccountId;

/// Says that an account changed. Several changes may come as one, and one may
/// be lost: the account's own rows are the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub account: AccountId,
    /// The latest sequence number seen.
    pub seq: u64,
}

/// Receives the changes of one account, from the moment it was made.
#[derive(Debug)]
pub struct Watcher {
    account: AccountId,
    changes: watch::Receiver<u64>,
    watchers: Watchers,
}

impl Watcher {
    /// Waits for the next change. Cancel safe. Never comes back once the store
    /// is closed, for then nothing changes any more.
    pub async fn changed(&mut self) -> Change {
        if self.changes.changed().await.is_err() {
            return std::future::pending().await;
        }
        let seq = *self.changes.borrow_and_update();
        Change {
            account: self.account,
            seq,
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut shard = self.watchers.shard(self.account).lock();
        // This watcher's own receiver still counts.
        if shard
            .get(&self.account)
            .is_some_and(|watched| watched.one.receiver_count() <= 1 && watched.some.is_empty())
        {
            shard.remove(&self.account);
        }
    }
}

/// Receives the changes of every account, from the moment it was made.
#[derive(Debug)]
pub struct AllWatcher {
    waiting: Arc<Waiting>,
}

/// What a watcher of many accounts has not taken yet.
#[derive(Debug, Default)]
struct Waiting {
    changes: Mutex<HashMap<AccountId, u64>>,
    some: Notify,
}

impl Waiting {
    fn put(&self, change: Change) {
        let mut changes = self.changes.lock();
        let seq = changes.entry(change.account).or_default();
        *seq = change.seq.max(*seq);
        drop(changes);
        self.some.notify_one();
    }
}

impl AllWatcher {
    /// Waits for changes and takes all there are, one for each account. Cancel
    /// safe: what was not taken stays.
    pub async fn changed(&mut self) -> Vec<Change> {
        loop {
            let changes = std::mem::take(&mut *self.waiting.changes.lock());
            if !changes.is_empty() {
                let change = |(account, seq)| Change { account, seq };
                return changes.into_iter().map(change).collect();
            }
            self.waiting.some.notified().await;
        }
    }
}

/// Receives the changes of several accounts, each from the moment it was added.
/// A change of another account costs it nothing.
#[derive(Debug)]
pub struct SomeWatcher {
    accounts: BTreeSet<AccountId>,
    waiting: Arc<Waiting>,
    watchers: Watchers,
}

impl SomeWatcher {
    /// Watches this account too, from now on.
    pub fn add(&mut self, account: AccountId) {
        if self.accounts.insert(account) {
            let mut shard = self.watchers.shard(account).lock();
            let watched = shard.entry(account).or_insert_with(Watched::new);
            watched.some.push(self.waiting.clone());
        }
    }

    /// Watches this account no longer.
    pub fn remove(&mut self, account: AccountId) {
        if self.accounts.remove(&account) {
            self.watchers.leave(account, &self.waiting);
            self.waiting.changes.lock().remove(&account);
        }
    }

    /// Waits until one of them has changed. Cancel safe: nothing is taken.
    pub async fn changed(&mut self) {
        loop {
            if !self.waiting.changes.lock().is_empty() {
                return;
            }
            self.waiting.some.notified().await;
        }
    }

    /// Takes the accounts that have changed, ascending.
    pub fn take(&mut self) -> BTreeSet<AccountId> {
        std::mem::take(&mut *self.waiting.changes.lock())
            .into_keys()
            .collect()
    }
}

impl Drop for SomeWatcher {
    fn drop(&mut self) {
        for account in std::mem::take(&mut self.accounts) {
            self.watchers.leave(account, &self.waiting);
        }
    }
}

/// Who watches one account.
#[derive(Debug)]
struct Watched {
    one: watch::Sender<u64>,
    some: Vec<Arc<Waiting>>,
}

impl Watched {
    fn new() -> Watched {
        Watched {
            one: watch::Sender::new(0),
            some: Vec::new(),
        }
    }
}

const SHARDS: usize = 16;
type Shard = Mutex<HashMap<AccountId, Watched>>;

/// The watchers of all accounts. An account that nobody watches takes no room.
#[derive(Debug, Clone, Default)]
pub(super) struct Watchers {
    shards: Arc<[Shard; SHARDS]>,
    /// Few, for the life of the program.
    all: Arc<RwLock<Vec<Weak<Waiting>>>>,
}

impl Watchers {
    fn shard(&self, account: AccountId) -> &Shard {
        // Account numbers may be dense or random; either way the product's top bits are spread.
        let mixed = account.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        &self.shards[mixed as usize % SHARDS]
    }

    pub(super) fn watch(&self, account: AccountId) -> Watcher {
        let changes = self
            .shard(account)
            .lock()
            .entry(account)
            .or_insert_with(Watched::new)
            .one
            .subscribe();
        Watcher {
            account,
            changes,
            watchers: self.clone(),
        }
    }

    pub(super) fn watch_some(&self) -> SomeWatcher {
        SomeWatcher {
            accounts: BTreeSet::new(),
            waiting: Arc::default(),
            watchers: self.clone(),
        }
    }

    /// One that watches several accounts does no longer watch this one.
    fn leave(&self, account: AccountId, waiting: &Arc<Waiting>) {
        let mut shard = self.shard(account).lock();
        let Some(watched) = shard.get_mut(&account) else {
            return;
        };
        watched.some.retain(|other| !Arc::ptr_eq(other, waiting));
        if watched.some.is_empty() && watched.one.receiver_count() == 0 {
            shard.remove(&account);
        }
    }

    pub(super) fn watch_all(&self) -> AllWatcher {
        let waiting = Arc::<Waiting>::default();
        let mut all = self.all.write();
        all.retain(|watcher| watcher.strong_count() > 0);
        all.push(Arc::downgrade(&waiting));
        AllWatcher { waiting }
    }

    pub(super) fn announce(&self, change: Change) {
        for waiting in self.all.read().iter().filter_map(Weak::upgrade) {
            waiting.put(change);
        }
        if let Some(watched) = self.shard(change.account).lock().get(&change.account) {
            watched.one.send_modify(|seq| *seq = change.seq.max(*seq));
            for waiting in &watched.some {
                waiting.put(change);
            }
        }
    }

    #[cfg(test)]
    fn watched(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn one_that_watches_all_hears_of_each_account_once() {
        let watchers = Watchers::default();
        let mut all = watchers.watch_all();
        for (account, seq) in [(7, 1), (8, 5), (7, 2)] {
            let account = AccountId(account);
            watchers.announce(Change { account, seq });
        }
        let mut changes = all.changed().await;
        changes.sort_by_key(|change| change.account);
        let pairs: Vec<_> = changes.iter().map(|c| (c.account.0, c.seq)).collect();
        assert_eq!(pairs, [(7, 2), (8, 5)]);
        let soon = Duration::from_millis(20);
        assert!(timeout(soon, all.changed()).await.is_err());
        watchers.announce(Change {
            account: AccountId(9),
            seq: 1,
        });
        assert_eq!(all.changed().await.len(), 1);
        drop(all);
        let _next = watchers.watch_all();
        assert_eq!(watchers.all.read().len(), 1);
    }

    #[tokio::test]
    async fn one_that_watches_some_hears_of_them_alone() {
        let watchers = Watchers::default();
        let mut some = watchers.watch_some();
        let own = watchers.watch(AccountId(8));
        for account in [7, 8] {
            some.add(AccountId(account));
            some.add(AccountId(account));
        }
        assert_eq!(watchers.watched(), 2);
        for (account, seq) in [(8, 1), (9, 1), (7, 2), (7, 3)] {
            let account = AccountId(account);
            watchers.announce(Change { account, seq });
        }
        some.changed().await;
        // Waiting takes nothing.
        some.changed().await;
        let taken: Vec<_> = some.take().into_iter().map(|account| account.0).collect();
        assert_eq!(taken, [7, 8]);
        let soon = Duration::from_millis(20);
        assert!(timeout(soon, some.changed()).await.is_err());
        some.remove(AccountId(8));
        for account in [8, 7] {
            let account = AccountId(account);
            watchers.announce(Change { account, seq: 9 });
        }
        some.changed().await;
        assert_eq!(some.take().len(), 1);
        drop(some);
        assert_eq!(watchers.watched(), 1);
        drop(own);
        assert_eq!(watchers.watched(), 0);
    }

    #[tokio::test]
    async fn changes_come_as_one_and_only_to_their_watchers() {
        let watchers = Watchers::default();
        let account = AccountId(7);
        let mut one = watchers.watch(account);
        let mut other = watchers.watch(AccountId(8));
        for seq in [1, 2, 3] {
            watchers.announce(Change { account, seq });
        }
        assert_eq!(one.changed().await, Change { account, seq: 3 });
        let soon = Duration::from_millis(20);
        assert!(timeout(soon, one.changed()).await.is_err());
        assert!(timeout(soon, other.changed()).await.is_err());
        watchers.announce(Change { account, seq: 4 });
        assert_eq!(one.changed().await.seq, 4);
    }

    #[tokio::test]
    async fn an_account_nobody_watches_takes_no_room() {
        let watchers = Watchers::default();
        let a = watchers.watch(AccountId(1));
        let b = watchers.watch(AccountId(1));
        let c = watchers.watch(AccountId(2));
        assert_eq!(watchers.watched(), 2);
        drop((a, c));
        assert_eq!(watchers.watched(), 1);
        drop(b);
        assert_eq!(watchers.watched(), 0);
    }
}
