//! Options of accounts, classes and domains: setting and showing them.

use axigen_core::settings::{AccountSettings, explain};

use super::say;
use crate::failure::Failure;

/// `true` or `false`.
pub(super) fn truth(option: &str, value: &str) -> Result<bool, Failure> {
    value
        .parse()
        .map_err(|_| Failure::new(format!("{option}: {value:?} is neither true nor false")))
}

/// Every option with what holds, and who says so: the first of `levels`.
pub(super) fn effective(levels: &[(&str, &AccountSettings)]) {
    for (option, _) in AccountSettings::options() {
        if let Some((from, value)) = explain(&option, levels) {
            say(format!("{option:17} {value:12} {from}"));
        }
    }
}

/// Every option with what is set here, `-` where nothing is.
pub(super) fn set_here(settings: &AccountSettings) {
    for (option, _) in AccountSettings::options() {
        let value = match explain(&option, &[("here", settings)]) {
            Some((from, value)) if from == "here" => value,
            _ => "-".into(),
        };
        say(format!("{option:17} {value}"));
    }
}
