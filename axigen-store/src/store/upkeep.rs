//! What the store does by itself now and then.

use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};

use super::{Inner, Options, Store};
use crate::error::{Error, Result};

/// A thread that wakes up now and then. Ends with the store.
#[derive(Debug)]
pub(super) struct Upkeep(Arc<(Mutex<bool>, Condvar)>);

impl Upkeep {
    pub(super) fn start(store: Weak<Inner>, options: &Options) -> Result<Self> {
        let every = options.upkeep;
        let (sweep, scrub) = (options.sweep.clone(), options.scrub.clone());
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let stopped = Arc::clone(&stop);
        let runtime = tokio::runtime::Handle::try_current().ok();
        std::thread::Builder::new()
            .name("store upkeep".into())
            .spawn(move || {
                let _runtime = runtime.as_ref().map(|runtime| runtime.enter());
                let (stopped, wake) = &*stopped;
                loop {
                    let mut now = stopped.lock();
                    if !*now {
                        wake.wait_for(&mut now, every);
                    }
                    if *now {
                        return;
                    }
                    drop(now);
                    let Some(inner) = store.upgrade() else { return };
                    let store = Store { inner };
                    match store.sweep_here(&sweep) {
                        Ok(_) => {}
                        Err(Error::Closed | Error::Poisoned(_)) => return,
                        Err(error) => tracing::error!(%error, "a sweep failed"),
                    }
                    match store.scrub_if_due(&scrub) {
                        Ok(()) => {}
                        Err(Error::Closed | Error::Poisoned(_)) => return,
                        Err(error) => tracing::error!(%error, "a scrub failed"),
                    }
                }
            })
            .map_err(|error| Error::io("starting the store's upkeep", error))?;
        Ok(Upkeep(stop))
    }

    pub(super) fn stop(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stop();
    }
}
