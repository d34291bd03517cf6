//! `axigen serve`: the server, until it is told to stop.

use std::path::Path;

use axigen_core::engine::Engine;
use axigen_core::settings::Settings;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::say;
use crate::failure::Failure;

pub(crate) async fn run(config: &Path, settings: Settings) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    let mut again = signal(SignalKind::hangup()).map_err(not_received)?;
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
            loop {
                tokio::select! {
                    () = stop.told() => break,
                    _ = again.recv() => reload(&engine, config).await,
                }
            }
            say("stopping");
            Ok(())
        }
        Err(error) => Err(error.into()),
    };
    stop.end(&engine).await?;
    outcome
}

/// SIGHUP: the file is read again. If anything is wrong with it, the server goes
/// on as before.
async fn reload(engine: &Engine, config: &Path) {
    let applied = match super::load(config) {
        Ok(settings) => engine.apply(settings).await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    match applied {
        Ok(()) => say(format!("{} was read again", config.display())),
        Err(failure) => {
            crate::failure::print(&failure);
            say(format!(
                "{} was not taken: nothing has changed",
                config.display()
            ));
        }
    }
}

fn not_received(error: std::io::Error) -> Failure {
    Failure::new(format!("signals cannot be received: {error}"))
}

/// SIGTERM and SIGINT, from the moment this is made.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    pub(super) fn listen() -> Result<Stop, Failure> {
        Ok(Stop {
            terminate: signal(SignalKind::terminate()).map_err(not_received)?,
            interrupt: signal(SignalKind::interrupt()).map_err(not_received)?,
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
