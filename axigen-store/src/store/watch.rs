//! Who waits for changes of which account.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

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

const SHARDS: usize = 16;
type Shard = Mutex<HashMap<AccountId, watch::Sender<u64>>>;

/// The watchers of all accounts. An account that nobody watches takes no room.
#[derive(Debug, Clone, Default)]
pub(super) struct Watchers {
    shards: Arc<[Shard; SHARDS]>,
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

    pub(super) fn announce(&self, change: Change) {
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
