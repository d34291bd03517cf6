//! A queue whose one consumer takes everything that waits: the group of a
//! group commit is whatever came while the last one was being synced.
//!
//! An item that is *patient* waits a moment for one that is not, so that both
//! are in one group: about as long as a group takes, and no longer than
//! [`PATIENCE`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Most items in one group.
const GROUP_ITEMS: usize = 256;
/// Most bytes in one group, unless a single item has more.
const GROUP_BYTES: usize = 4 << 20;
/// Longest wait of a patient item for others.
const PATIENCE: Duration = Duration::from_millis(2);
/// A patient item waits so many times as long as the last group took.
const GROUPS: u32 = 2;

/// See the module.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    wake: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<Item<T>>,
    /// Those of them that are not patient.
    hurried: usize,
    /// How long a patient one waits now.
    patience: Duration,
    closed: bool,
}

#[derive(Debug)]
struct Item<T> {
    item: T,
    bytes: usize,
    /// If it is patient, until when.
    until: Option<Instant>,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Queue {
            state: Mutex::new(State {
                items: VecDeque::new(),
                hurried: 0,
                patience: Duration::ZERO,
                closed: false,
            }),
            wake: Condvar::new(),
        }
    }

    /// Adds an item of so many bytes; gives it back if the queue is closed.
    pub(super) fn push(&self, item: T, bytes: usize, patient: bool) -> Result<(), T> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(item);
        }
        let until = patient.then(|| Instant::now() + state.patience);
        state.hurried += usize::from(!patient);
        state.items.push_back(Item { item, bytes, until });
        // Behind others who wait patiently, another one changes nothing.
        let matters = !patient || state.items.len() == 1 || state.items.len() >= GROUP_ITEMS;
        drop(state);
        if matters {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits for items and takes what is there. `None` once the queue is
    /// closed and empty.
    pub(super) fn take(&self) -> Option<Vec<T>> {
        let mut state = self.state.lock();
        loop {
            let Some(first) = state.items.front() else {
                if state.closed {
                    return None;
                }
                self.wake.wait(&mut state);
                continue;
            };
            match first.until {
                Some(until)
                    if state.hurried == 0
                        && !state.closed
                        && state.items.len() < GROUP_ITEMS
                        && Instant::now() < until =>
                {
                    self.wake.wait_until(&mut state, until);
                }
                _ => break,
            }
        }
        let mut group = Vec::with_capacity(state.items.len().min(GROUP_ITEMS));
        let mut total = 0;
        while let Some(next) = state.items.front() {
            total += next.bytes;
            if !group.is_empty() && (total > GROUP_BYTES || group.len() == GROUP_ITEMS) {
                break;
            }
            let Some(next) = state.items.pop_front() else {
                break;
            };
            state.hurried -= usize::from(next.until.is_none());
            group.push(next.item);
        }
        Some(group)
    }

    /// A group took so long.
    pub(super) fn took(&self, time: Duration) {
        self.state.lock().patience = (time * GROUPS).min(PATIENCE);
    }

    /// No more items; those that wait are still taken.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_all();
    }

    /// No more items, and those that wait are given back.
    pub(super) fn kill(&self) -> Vec<T> {
        let mut state = self.state.lock();
        state.closed = true;
        state.hurried = 0;
        let items = state.items.drain(..).map(|item| item.item).collect();
        drop(state);
        self.wake.notify_all();
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_all_that_waits_within_its_caps() {
        let queue = Queue::new();
        for n in 0..300 {
            assert!(queue.push(n, 1, false).is_ok());
        }
        assert_eq!(queue.take().map(|g| g.len()), Some(GROUP_ITEMS));
        assert_eq!(queue.take(), Some((256..300).collect()));
        for n in 0..3 {
            assert!(queue.push(n, GROUP_BYTES / 2 + 1, false).is_ok());
        }
        assert_eq!(queue.take(), Some(vec![0]));
        assert!(queue.push(9, 100 * GROUP_BYTES, false).is_ok());
        queue.close();
        assert_eq!(queue.push(10, 1, false), Err(10));
        assert_eq!(queue.take(), Some(vec![1]));
        assert_eq!(queue.take(), Some(vec![2]));
        assert_eq!(queue.take(), Some(vec![9]));
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn who_is_patient_waits_for_others_and_not_for_ever() {
        let queue = Queue::new();
        let hour = Duration::from_secs(3600);
        // At first nothing is known of groups, and nobody waits.
        assert!(queue.push(0, 1, true).is_ok());
        assert_eq!(queue.take(), Some(vec![0]));
        queue.took(hour);
        assert_eq!(queue.state.lock().patience, PATIENCE);
        let began = Instant::now();
        assert!(queue.push(1, 1, true).is_ok());
        assert_eq!(queue.take(), Some(vec![1]));
        assert!(began.elapsed() >= PATIENCE);
        // One that hurries takes those along that wait.
        queue.state.lock().patience = hour;
        for n in 0..3 {
            assert!(queue.push(n, 1, n != 1).is_ok());
        }
        assert_eq!(queue.take(), Some(vec![0, 1, 2]));
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| queue.take());
            assert!(queue.push(3, 1, true).is_ok());
            std::thread::sleep(Duration::from_millis(20));
            assert!(!taken.is_finished());
            assert!(queue.push(4, 1, false).is_ok());
            assert_eq!(taken.join().ok(), Some(Some(vec![3, 4])));
        });
        // So does a full group, and the end.
        for n in 0..GROUP_ITEMS {
            assert!(queue.push(n, 1, true).is_ok());
        }
        assert_eq!(queue.take().map(|group| group.len()), Some(GROUP_ITEMS));
        assert!(queue.push(5, 1, true).is_ok());
        queue.close();
        assert_eq!(queue.take(), Some(vec![5]));
        assert_eq!(queue.take(), None);
    }
}
