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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn what_the_index_cannot_work_with_is_named() {
        let wrong = |memory, batch| {
            let settings = Settings {
                search: SearchSettings {
                    memory: Size(memory),
                    batch,
                    ..SearchSettings::default()
                },
                ..Settings::default()
            };
            let problems = settings.problems();
            let named = problems.iter().map(ToString::to_string);
            named.filter(|text| text.contains("search.")).count()
        };
        assert_eq!(wrong(32 << 20, 2000), 0);
        assert_eq!(wrong(1 << 20, 0), 2);
        assert_eq!(wrong(3 << 30, 100_001), 2);
    }
}
