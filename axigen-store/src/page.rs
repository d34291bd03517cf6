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
    /// Most rows in one page; 0 gives an empty page.
    pub limit: usize,
    /// From the end to the start.
    pub reverse: bool,
    /// Without values.
    pub keys_only: bool,
}

/// Rows of a range, in order. The rows of a page may share one allocation,
/// which lives as long as any of them: copy a row that is kept for long.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Key and value (empty with `keys_only`).
    pub rows: Vec<(Key, Bytes)>,
    /// Where to go on: the next page's `from` (or, in reverse, its `to`).
    /// `None` after the last page.
    pub next: Option<Key>,
}

impl Page {
    /// For backends: cuts rows that were read with one more than `limit`, and
    /// gives [`Page::next`].
    pub fn cut(rows: &mut Vec<(Key, Bytes)>, limit: usize, reverse: bool) -> Option<Key> {
        if rows.len() <= limit {
            return None;
        }
        rows.truncate(limit + 1);
        let beyond = rows.pop();
        if reverse {
            rows.last().map(|(key, _)| key.clone())
        } else {
            beyond.map(|(key, _)| key)
        }
    }
}
