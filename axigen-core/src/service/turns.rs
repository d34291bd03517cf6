//! Accounts take turns where what one connection does must not be counted twice by
//! another.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

/// Accounts that take turns; two may share one, which costs a wait and nothing
/// else. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<[Arc<Mutex<()>>]>);

const TURNS: u64 = 64;

impl Default for Turns {
    fn default() -> Turns {
        Turns((0..TURNS).map(|_| Arc::default()).collect())
    }
}

impl Turns {
    /// Waits for an account's turn, which lasts until what this gives is dropped.
    pub(super) async fn of(&self, account: u64) -> Option<OwnedMutexGuard<()>> {
        let at = usize::try_from(account % TURNS).unwrap_or_default();
        match self.0.get(at) {
            Some(turn) => Some(Arc::clone(turn).lock_owned().await),
            None => None,
        }
    }
}
