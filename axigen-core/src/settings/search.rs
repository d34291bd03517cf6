//! Settings of the search index.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::{Size, Span};

/// The index of words that makes searches fast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SearchSettings {
    /// Whether there is an index. Without it searches find the same, but read
    /// every message for it.
    pub enable: bool,
    /// Memory for indexing, while mail is being indexed; 15 MB to 2 GB. One
    /// shard is written at a time, so this is all there is.
    pub memory: Size,
    /// Most messages that are indexed before they are written to disk together,
    /// 1 to 100,000.
    pub batch: u32,
    /// How long changes are collected before they are indexed. Until then
    /// searches read the new messages; a short time costs more disk writes.
    pub delay: Span,
    /// Larger messages are not indexed; searches read them every time.
    pub largest: Size,
}

impl Default for SearchSettings {
    fn default() -> SearchSettings {
        SearchSettings {
            enable: true,
            memory: Size(32 << 20),
            batch: 2000,
            delay: Span(Duration::from_secs(5)),
            largest: Size(32 << 20),
        }
    }
}
