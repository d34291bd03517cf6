//! Ranges and their results.

use bytes::Bytes;

use crate::batch::{AccountId, Key};

/// A range of keys of one account.
#[derive(Debug, Clone)]
pub struct Range {
    /// Whose keys.
    pub account: AccountId,
    /// First key, inclusive.
    pub from: Key,
    /// End, exclusive.
    pub to: Key,
    /// Most rows in one page.
    pub limit: usize,
    /// From the end to the start.
    pub reverse: bool,
    /// Without values.
    pub keys_only: bool,
}

/// Rows of a range, in order.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Key and value (empty with `keys_only`).
    pub rows: Vec<(Key, Bytes)>,
    /// Where to go on: the next page's `from` (or, in reverse, its `to`).
    /// `None` after the last page.
    pub next: Option<Key>,
}
