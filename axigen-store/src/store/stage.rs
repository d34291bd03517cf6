//! A queue whose one consumer takes everything that waits: the group of a
//! group commit is whatever came while the last one was being synced.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

/// Most items in one group.
const GROUP_ITEMS: usize = 256;
/// Most bytes in one group, unless a single item has more.
const GROUP_BYTES: usize = 4 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    wake: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, usize)>,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Queue {
            state: Mutex::new(State {
                items: VecDeque::new(),
                closed: false,
            }),
            wake: Condvar::new(),
        }
    }

    /// Adds an item of so many bytes; gives it back if the queue is closed.
    pub(super) fn push(&self, item: T, bytes: usize) -> Result<(), T> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(item);
        }
        state.items.push_back((item, bytes));
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Waits for items and takes what is there. `None` once the queue is
    /// closed and empty.
    pub(super) fn take(&self) -> Option<Vec<T>> {
        let mut state = self.state.lock();
        while state.items.is_empty() {
            if state.closed {
                return None;
            }
            self.wake.wait(&mut state);
        }
        let mut group = Vec::with_capacity(state.items.len().min(GROUP_ITEMS));
        let mut total = 0;
        while let Some((_, bytes)) = state.items.front() {
            total += bytes;
            if !group.is_empty() && (total > GROUP_BYTES || group.len() == GROUP_ITEMS) {
                break;
            }
            group.extend(state.items.pop_front().map(|(item, _)| item));
        }
        Some(group)
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
        let items = state.items.drain(..).map(|(item, _)| item).collect();
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
            assert!(queue.push(n, 1).is_ok());
        }
        assert_eq!(queue.take().map(|g| g.len()), Some(GROUP_ITEMS));
        assert_eq!(queue.take(), Some((256..300).collect()));
        for n in 0..3 {
            assert!(queue.push(n, GROUP_BYTES / 2 + 1).is_ok());
        }
        assert_eq!(queue.take(), Some(vec![0]));
        assert!(queue.push(9, 100 * GROUP_BYTES).is_ok());
        queue.close();
        assert_eq!(queue.push(10, 1), Err(10));
        assert_eq!(queue.take(), Some(vec![1]));
        assert_eq!(queue.take(), Some(vec![2]));
        assert_eq!(queue.take(), Some(vec![9]));
        assert_eq!(queue.take(), None);
    }
}
