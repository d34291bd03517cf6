//! What the examples share. `AXIGEN_EXAMPLE_SECONDS` ends those that would
//! otherwise wait for Ctrl-C.

/// Waits for Ctrl-C, or as long as `AXIGEN_EXAMPLE_SECONDS` says.
pub async fn wait_for_ctrl_c() {
    let seconds = std::env::var("AXIGEN_EXAMPLE_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok());
    match seconds {
        Some(seconds) => tokio::time::sleep(std::time::Duration::from_secs(seconds)).await,
        None => drop(tokio::signal::ctrl_c().await),
    }
}
