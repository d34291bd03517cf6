//! Connections of accounts, counted, so that there are never too many.

use std::collections::HashMap;
use std::sync::Arc;

use axigen_store::AccountId;
use parking_lot::Mutex;

/// How many connections of a service each account has. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections {
    open: Arc<Mutex<HashMap<AccountId, u32>>>,
}

/// A connection that counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    account: AccountId,
    all: Connections,
}

impl Connections {
    /// Counts one more, unless there are `most` already.
    pub(crate) fn one_more(&self, account: AccountId, most: u32) -> Option<Counted> {
        let mut open = self.open.lock();
        let count = open.get(&account).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        open.insert(account, count + 1);
        Some(Counted {
            account,
            all: self.clone(),
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.all.open.lock();
        if let Some(count) = open.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_more_than_allowed_and_given_back() {
        let (all, ann) = (Connections::default(), AccountId(1));
        let first = all.one_more(ann, 2).unwrap();
        let second = all.one_more(ann, 2).unwrap();
        assert!(all.one_more(ann, 2).is_none());
        assert!(all.one_more(AccountId(2), 1).is_some());
        drop(first);
        assert!(all.one_more(ann, 2).is_some());
        drop(second);
        assert!(all.one_more(ann, 0).is_none());
        assert!(all.open.lock().is_empty());
    }
}
