//! Log lines to standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Starts logging. `filter` was [`checked`].
pub(crate) fn start(filter: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse_lossy(filter))
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
}

/// A level, or a list like `info,axigen_core=debug`.
pub(crate) fn checked(filter: &str) -> Result<String, String> {
    for part in filter.split(',') {
        // A bare word that is no level would be taken for the name of a module,
        // and nothing would be logged.
        let is_level = !part.is_empty() && part.parse::<LevelFilter>().is_ok();
        if !part.contains(['=', '[', ':']) && !is_level {
            return Err(format!(
                "{part:?} is not a level: off, error, warn, info, debug or trace"
            ));
        }
    }
    match EnvFilter::builder().parse(filter) {
        Ok(_) => Ok(filter.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::checked;

    #[test]
    fn levels_and_filters() {
        for good in [
            "warn",
            "off",
            "info,axigen_core=debug",
            "axigen_core::net=trace",
        ] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in ["", "verbose", "info,axigen_core", "axigen_core=loud"] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}
