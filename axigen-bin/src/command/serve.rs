//! `axigen serve`: the server, until it is told to stop.

use axigen_core::engine::Engine;
use axigen_core::settings::Settings;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::say;
use crate::failure::Failure;

pub(crate) async fn run(settings: Settings) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    let store = super::open_store(&settings).await?;
    let engine = Engine::builder(store).settings(settings).build()?;
    let outcome = match engine.start().await {
        Ok(()) => {
            for name in engine.running() {
                let addresses: Vec<String> = engine
                    .listeners(name)
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                say(match addresses.is_empty() {
                    // The one that listens nowhere.
                    true => format!("{name} sends"),
                    false => format!("{name} listens on {}", addresses.join(", ")),
                });
            }
            say("ready");
            stop.told().await;
            say("stopping");
            Ok(())
        }
        Err(error) => Err(error.into()),
    };
    stop.end(&engine).await?;
    outcome
}

/// SIGTERM and SIGINT, from the moment this is made.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    pub(super) fn listen() -> Result<Stop, Failure> {
        let failed =
            |error: std::io::Error| Failure::new(format!("signals cannot be received: {error}"));
        Ok(Stop {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    /// Waits for a signal.
    pub(super) async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Ends an engine: commands in flight are finished. Another signal ends
    /// the wait for them.
    pub(super) async fn end(&mut self, engine: &Engine) -> Result<(), Failure> {
        tokio::select! {
            ended = engine.shutdown() => Ok(ended?),
            () = self.told() => Err(Failure::new(
                "told twice to stop: connections were cut off; nothing that was acknowledged is lost",
            )),
        }
    }
}
