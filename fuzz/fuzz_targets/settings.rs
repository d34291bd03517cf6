//! Any `axigen.cfg` is read or refused with sentences.
#![no_main]

use axigen_core::settings;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Err(problems) = settings::parse(text)
    {
        assert!(!problems.is_empty());
    }
});
