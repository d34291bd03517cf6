//! `axigen serve`: the server, until it is told to stop.

use axigen_core::engine::Engine;
use axigen_core::store::Store;

use super::{load, say};
use crate::cli::Config;
use crate::failure::Failure;

pub(crate) async fn run(options: &Config) -> Result<(), Failure> {
    let settings = load(&options.config)?;
    let store = Store::open(&settings.directory).await?;
    let engine = Engine::builder(store).settings(settings).build()?;
    engine.start().await?;
    for name in engine.running() {
        let addresses: Vec<String> = engine
            .addresses(name)
            .iter()
            .map(ToString::to_string)
            .collect();
        say(format!("{name} listens on {}", addresses.join(", ")));
    }
    say("ready");
    until_told_to_stop().await?;
    say("stopping");
    engine.shutdown().await?;
    Ok(())
}

/// Waits for SIGTERM or SIGINT.
pub(super) async fn until_told_to_stop() -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed =
        |error: std::io::Error| Failure::new(format!("signals cannot be received: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
