//! All rows of a store, whatever holds them: read in order, and summed up.

use bytes::Bytes;

use crate::backend::KeyRange;
use crate::backend::embedded::NUMBER;
use crate::batch::Key;
use crate::error::Result;
use crate::page::Page;

/// Rows read at a time.
const PAGE: usize = 256;

/// All rows, in order, a page at a time.
pub(super) fn each_page(
    read: impl Fn(&KeyRange) -> Result<Page>,
    mut each: impl FnMut(Vec<(Key, Bytes)>) -> Result<()>,
) -> Result<()> {
    let mut range = KeyRange {
        from: Key::new(),
        // Beyond every key: what follows the last account is a letter.
        to: Bytes::from_static(&[0xff; 9]),
        limit: PAGE,
        reverse: false,
        keys_only: false,
    };
    loop {
        let page = read(&range)?;
        let mut rows = page.rows;
        // Not a row of the store: fjall counts its own batches there.
        rows.retain(|(key, _)| key != NUMBER);
        each(rows)?;
        match page.next {
            Some(next) => range.from = next,
            None => return Ok(()),
        }
    }
}

/// A running checksum of rows, in order.
#[derive(Debug, Default, Clone)]
pub(super) struct Sum {
    pub(super) rows: u64,
    /// Of the rows, each with the two lengths of 4 bytes that stand before it in
    /// a dump.
    pub(super) bytes: u64,
    hash: blake3::Hasher,
}

impl Sum {
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        self.bytes += (8 + key.len() + value.len()) as u64;
        self.hash.update(&(key.len() as u32).to_be_bytes());
        self.hash.update(&(value.len() as u32).to_be_bytes());
        self.hash.update(key);
        self.hash.update(value);
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        *self.hash.finalize().as_bytes()
    }

    /// Bytes of keys and values.
    pub(super) fn key_and_value_bytes(&self) -> u64 {
        self.bytes - 8 * self.rows
    }

    /// Whether the same rows were added to both.
    pub(super) fn is(&self, other: &Sum) -> bool {
        (self.rows, self.bytes, self.hash()) == (other.rows, other.bytes, other.hash())
    }
}
