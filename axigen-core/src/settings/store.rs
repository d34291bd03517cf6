//! Settings of the store.

use std::time::Duration;

use axigen_store::store::{Engine, Options, ScrubOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Size, Span};

/// Where mail, accounts and everything else is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// Which engine holds the metadata of a new store. One that is there keeps
    /// its own until `axigen store migrate` changes it.
    pub engine: StoreEngine,
    /// Memory for metadata that was read, at least 1 MB.
    pub memory: Size,
    /// With less room than this on the device no mail is taken, until there is
    /// more again.
    pub reserve: Size,
    /// How often space is given back, and more is read through; 0 for never.
    pub upkeep: Span,
    /// How often all mail is read through, to find damage to the disk early; 0
    /// for never. Needs `upkeep`.
    pub scrub: Span,
    /// How much is read in a second at most for that.
    pub scrub_rate: Size,
}

/// What holds the metadata of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoreEngine {
    /// A log-structured tree: the faster one.
    #[default]
    Fjall,
    /// A B-tree in one file.
    Redb,
}

impl Default for StoreSettings {
    fn default() -> StoreSettings {
        let options = Options::default();
        StoreSettings {
            engine: StoreEngine::default(),
            memory: Size(options.cache),
            reserve: Size(options.reserve),
            upkeep: Span(options.upkeep),
            scrub: Span(options.scrub.every),
            scrub_rate: Size(options.scrub.rate),
        }
    }
}

impl StoreSettings {
    /// The engine that a new store gets.
    pub fn engine(&self) -> Engine {
        match self.engine {
            StoreEngine::Fjall => Engine::Fjall,
            StoreEngine::Redb => Engine::Redb,
        }
    }

    /// How a store is opened with these settings.
    pub fn options(&self) -> Options {
        let mut options = Options::default();
        options.engine = self.engine();
        options.cache = self.memory.0;
        options.reserve = self.reserve.0;
        options.upkeep = self.upkeep.0;
        let mut scrub = ScrubOptions::default();
        scrub.every = self.scrub.0;
        scrub.rate = self.scrub_rate.0;
        // A turn is not longer than the time between two.
        scrub.turn = scrub.turn.min(self.upkeep.0.max(Duration::from_secs(1)));
        options.scrub = scrub;
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn what_the_store_cannot_work_with_is_named() {
        let wrong = |memory, scrub_rate| {
            let settings = Settings {
                store: StoreSettings {
                    memory: Size(memory),
                    scrub_rate: Size(scrub_rate),
                    ..StoreSettings::default()
                },
                ..Settings::default()
            };
            let problems = settings.problems();
            let named = problems.iter().map(ToString::to_string);
            named.filter(|text| text.contains("store.")).count()
        };
        assert_eq!(wrong(64 << 20, 8 << 20), 0);
        assert_eq!(wrong(1000, 0), 2);
    }

    #[test]
    fn they_are_what_the_store_is_opened_with() {
        let settings = StoreSettings {
            engine: StoreEngine::Redb,
            scrub: Span(Duration::ZERO),
            upkeep: Span(Duration::from_secs(30)),
            ..StoreSettings::default()
        };
        let options = settings.options();
        assert_eq!(options.engine, Engine::Redb);
        assert!(options.scrub.every.is_zero());
        assert_eq!(options.scrub.turn, Duration::from_secs(30));
    }
}
