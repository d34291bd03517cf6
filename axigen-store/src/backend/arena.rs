//! The rows of a page in one piece of memory.

use bytes::{Bytes, BytesMut};

use crate::batch::Key;

/// Rows one behind the other, cut apart when all are there.
#[derive(Default)]
pub(super) struct Arena {
    bytes: BytesMut,
    lengths: Vec<(usize, usize)>,
}

impl Arena {
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.lengths.push((key.len(), value.len()));
    }

    /// How many rows.
    pub(super) fn len(&self) -> usize {
        self.lengths.len()
    }

    pub(super) fn rows(self) -> Vec<(Key, Bytes)> {
        let mut rest = self.bytes.freeze();
        self.lengths
            .into_iter()
            .map(|(key, value)| (rest.split_to(key), rest.split_to(value)))
            .collect()
    }
}
