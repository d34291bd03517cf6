//! What a client session is about to send.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Bytes on their way out: large ones as they are, small ones joined.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Bytes>,
    joined: BytesMut,
    length: u64,
}

/// Slices shorter than this are copied together.
const SMALL: usize = 1024;

impl Outbox {
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.len() < SMALL {
            self.joined().extend_from_slice(&bytes);
            self.length += bytes.len() as u64;
        } else {
            self.flush();
            self.length += bytes.len() as u64;
            self.queue.push_back(bytes);
        }
    }

    /// Writes with a function that appends to a buffer.
    pub(crate) fn write(&mut self, writer: impl FnOnce(&mut BytesMut)) {
        let joined = self.joined();
        let before = joined.len();
        writer(joined);
        let written = joined.len() - before;
        self.length += written as u64;
    }

    /// Moves everything out of another box.
    pub(crate) fn append(&mut self, mut other: Outbox) {
        while let Some(bytes) = other.pop() {
            self.push(bytes);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        if self.queue.is_empty() {
            self.flush();
        }
        let bytes = self.queue.pop_front()?;
        self.length -= bytes.len() as u64;
        Some(bytes)
    }

    /// Bytes in the box.
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    fn joined(&mut self) -> &mut BytesMut {
        // Bounded pieces, so that a buffer never grows by copying itself.
        if self.joined.len() >= 16 * SMALL {
            self.flush();
        }
        &mut self.joined
    }

    fn flush(&mut self) {
        if !self.joined.is_empty() {
            self.queue.push_back(self.joined.split().freeze());
        }
    }
}
