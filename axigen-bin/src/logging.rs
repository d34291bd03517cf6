//! Log lines to standard error.

use tracing_subscriber::EnvFilter;

/// Starts logging. `filter` is a level or a list like `info,axigen_core=debug`.
pub(crate) fn start(filter: &str) {
    let filter = EnvFilter::builder().parse_lossy(filter);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
}
