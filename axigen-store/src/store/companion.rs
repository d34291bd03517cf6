//! State of those who use a store, shared by all of them.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Store;

type Companion = Arc<dyn Any + Send + Sync>;

/// One value of each type.
#[derive(Default)]
pub(super) struct Companions(Mutex<HashMap<TypeId, Companion>>);

impl fmt::Debug for Companions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Companions({})", self.0.lock().len())
    }
}

impl Store {
    /// What goes with this store as long as it is open, one value of each type:
    /// made when it is first asked for, and the same for all who ask. For what
    /// is known in memory about the rows, and must be known to everybody who
    /// writes them.
    pub fn companion<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let mut companions = self.inner.companions.0.lock();
        let known = companions
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Arc::<T>::default());
        // There is none of another type under this one's number.
        Arc::clone(known).downcast().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

    use super::*;

    #[tokio::test]
    async fn all_clones_share_it() {
        let store = Store::memory().await.unwrap();
        store.companion::<AtomicU32>().store(7, Relaxed);
        assert_eq!(store.clone().companion::<AtomicU32>().load(Relaxed), 7);
        assert_eq!(store.companion::<AtomicU64>().load(Relaxed), 0);
        let other = Store::memory().await.unwrap();
        assert_eq!(other.companion::<AtomicU32>().load(Relaxed), 0);
    }
}
