//! What stands beside the blocks of mailboxes, as far as it is known: how much,
//! and from which UID on. Readers do not walk over what was folded and deleted.
//!
//! A writer says what it will write before it does, and what it wrote afterwards;
//! so at no moment is something beside the blocks that is lower than what is
//! known. All who write rows into one store share this.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axigen_store::AccountId;
use parking_lot::Mutex;

use super::types::MailboxId;

/// Mailboxes of which something is remembered.
const MAILBOXES: usize = 100_000;

type Place = (AccountId, MailboxId);

/// What was, or will be, written beside the blocks of a mailbox.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Written {
    /// How many single rows and marks.
    pub(super) count: u32,
    /// The lowest UID, but for new messages, which are higher than all others.
    pub(super) lowest: Option<u32>,
}

/// Of all mailboxes of a store.
#[derive(Debug, Default)]
pub(super) struct AllBeside {
    all: Mutex<HashMap<Place, Beside>>,
    looks: AtomicU64,
}

/// Of one mailbox.
#[derive(Debug)]
struct Beside {
    /// How many single rows and marks were written since the last fold.
    count: u32,
    /// Nothing that was written has a lower UID, ...
    low: u32,
    /// ... nor has what is being written.
    writing: Vec<u32>,
    /// For each who looks at the moment, the lowest that was written meanwhile.
    looking: Vec<(u64, u32)>,
    /// Of a writer that went away: it may come yet.
    lost: u32,
}

impl Default for Beside {
    /// Nothing is known.
    fn default() -> Self {
        Beside {
            count: 0,
            low: 0,
            writing: Vec::new(),
            looking: Vec::new(),
            lost: u32::MAX,
        }
    }
}

impl Beside {
    fn wrote(&mut self, uid: u32) {
        self.low = self.low.min(uid);
        for (_, lowest) in &mut self.looking {
            *lowest = uid.min(*lowest);
        }
    }
}

impl AllBeside {
    /// The UID below which nothing stands beside the mailbox's blocks.
    pub(super) fn low(&self, account: AccountId, mailbox: MailboxId) -> u32 {
        let all = self.all.lock();
        let known = all.get(&(account, mailbox));
        known.map_or(0, |known| {
            let writing = known.writing.iter().copied().min();
            known.low.min(known.lost).min(writing.unwrap_or(u32::MAX))
        })
    }

    /// Nothing is known of an account any more: its rows are being mended.
    pub(super) fn forget(&self, account: AccountId) {
        let mut all = self.all.lock();
        let known = all.iter_mut().filter(|((of, _), _)| *of == account);
        known.for_each(|(_, known)| known.wrote(0));
    }

    /// Something will be written from these UIDs on.
    pub(super) fn writing(self: &Arc<Self>, places: impl Iterator<Item = (Place, u32)>) -> Writing {
        let places: Vec<(Place, u32)> = places.collect();
        let mut all = self.all.lock();
        for (place, uid) in &places {
            if all.len() > MAILBOXES {
                all.retain(|_, known| !known.writing.is_empty() || !known.looking.is_empty());
            }
            all.entry(*place).or_default().writing.push(*uid);
        }
        Writing {
            all: self.clone(),
            places,
            outcome: Outcome::Unknown,
        }
    }

    /// Whether it is time to fold the mailbox, now that so much more was
    /// written.
    pub(super) fn is_due(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        written: u32,
        at: u32,
    ) -> bool {
        let mut all = self.all.lock();
        let known = all.entry((account, mailbox)).or_default();
        known.count = known.count.saturating_add(written);
        let due = known.count >= at;
        if due {
            known.count = 0;
        }
        due
    }

    /// Somebody begins to look what stands beside the mailbox's blocks.
    pub(super) fn look(self: &Arc<Self>, account: AccountId, mailbox: MailboxId) -> Look {
        let from = self.low(account, mailbox);
        let place = (account, mailbox);
        let number = self.looks.fetch_add(1, Relaxed);
        let mut all = self.all.lock();
        let known = all.entry(place).or_default();
        known.looking.push((number, u32::MAX));
        Look {
            all: self.clone(),
            place,
            number,
            from,
        }
    }
}

/// A batch on its way.
#[derive(Debug)]
pub(super) struct Writing {
    all: Arc<AllBeside>,
    places: Vec<(Place, u32)>,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    Unknown,
    Written,
    Refused,
}

impl Writing {
    /// It was committed.
    pub(super) fn written(mut self) {
        self.outcome = Outcome::Written;
    }

    /// It was not, and will not be.
    pub(super) fn refused(mut self) {
        self.outcome = Outcome::Refused;
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut all = self.all.all.lock();
        for (place, uid) in &self.places {
            let known = all.entry(*place).or_default();
            if let Some(at) = known.writing.iter().position(|writing| writing == uid) {
                known.writing.swap_remove(at);
            }
            match self.outcome {
                Outcome::Written => known.wrote(*uid),
                Outcome::Refused => {}
                // Whoever waited for it is gone; the batch may be not.
                Outcome::Unknown => known.lost = known.lost.min(*uid),
            }
        }
    }
}

/// Somebody who looks, or folds.
#[derive(Debug)]
pub(super) struct Look {
    all: Arc<AllBeside>,
    place: Place,
    number: u64,
    /// What is lower is not beside the blocks, but for what is written
    /// meanwhile.
    pub(super) from: u32,
}

impl Look {
    /// `from` is what was found.
    pub(super) fn end(self) {
        let mut all = self.all.all.lock();
        let Some(known) = all.get_mut(&self.place) else {
            return;
        };
        let mine = known
            .looking
            .iter()
            .find(|(number, _)| *number == self.number);
        if let Some((_, meanwhile)) = mine {
            known.low = known.low.max(self.from.min(*meanwhile));
        }
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        if let Some(known) = self.all.all.lock().get_mut(&self.place) {
            known.looking.retain(|(number, _)| *number != self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_below_what_is_known() {
        let all = Arc::new(AllBeside::default());
        let (account, mailbox) = (AccountId(1), MailboxId(2));
        let place = (account, mailbox);
        let low = || all.low(account, mailbox);
        let fold = |to| {
            let mut look = all.look(account, mailbox);
            look.from = to;
            look.end();
        };
        let write = |uid| all.writing([(place, uid)].into_iter());
        assert_eq!(low(), 0);
        fold(100);
        assert_eq!(low(), 100);
        write(120).written();
        assert_eq!(low(), 100);
        write(50).refused();
        assert_eq!(low(), 100);
        // From before it is written, and after.
        let writing = write(50);
        assert_eq!(low(), 50);
        // A fold that does not see it yet.
        fold(130);
        assert_eq!(low(), 50);
        writing.written();
        assert_eq!(low(), 50);
        // Written while a fold runs.
        let mut running = all.look(account, mailbox);
        write(20).written();
        running.from = 130;
        running.end();
        assert_eq!(low(), 20);
        // A fold that ends early.
        drop(all.look(account, mailbox));
        assert_eq!(low(), 20);
        fold(130);
        drop(write(70));
        assert_eq!(low(), 70);
        fold(130);
        assert_eq!(low(), 70);
    }
}
