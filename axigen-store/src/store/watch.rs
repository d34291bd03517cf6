//! Who waits for changes of which account.

use std::collections::HashMap;
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
            .is_some_and(|sender| sender.receiver_count() <= 1)
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

/// What a watcher of every account has not taken yet.
#[derive(Debug, Default)]
struct Waiting {
    changes: Mutex<HashMap<AccountId, u64>>,
    some: Notify,
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

const SHARDS: usize = 16;
type Shard = Mutex<HashMap<AccountId, watch::Sender<u64>>>;

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
            .or_insert_with(|| watch::Sender::new(0))
            .subscribe();
        Watcher {
            account,
            changes,
            watchers: self.clone(),
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
            let mut changes = waiting.changes.lock();
            let seq = changes.entry(change.account).or_default();
            *seq = change.seq.max(*seq);
            drop(changes);
            waiting.some.notify_one();
        }
        if let Some(sender) = self.shard(change.account).lock().get(&change.account) {
            sender.send_modify(|seq| *seq = change.seq.max(*seq));
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
