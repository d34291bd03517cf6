//! One file a command.

pub(crate) mod account;
pub(crate) mod alias;
pub(crate) mod bans;
pub(crate) mod check;
pub(crate) mod class;
pub(crate) mod demo;
pub(crate) mod dns_records;
pub(crate) mod domain;
pub(crate) mod init;
pub(crate) mod man;
mod options;
pub(crate) mod public;
pub(crate) mod queue;
pub(crate) mod serve;
pub(crate) mod store;

use std::path::Path;

use axigen_core::engine::Engine;
use axigen_core::settings::{self, Settings};
use axigen_core::store::Store;

use crate::failure::Failure;

/// The settings of a file, or everything that is wrong with it.
pub(crate) fn load(path: &Path) -> Result<Settings, Failure> {
    settings::load(path).map_err(|problems| {
        let mut problems: Vec<String> = problems
            .iter()
            .map(|problem| format!("{}: {problem}", path.display()))
            .collect();
        if !path.exists() {
            problems.push("`axigen init DIR` writes one into a directory".into());
        }
        Failure::new(problems.join("\naxigen: "))
    })
}

/// The store of a file, made if it is not there.
async fn open_store(settings: &Settings) -> Result<Store, Failure> {
    let store = Store::open_with(&settings.directory, settings.store.options()).await?;
    let wanted = settings.store.engine();
    if let Some(has) = store.engine().filter(|has| *has != wanted) {
        tracing::info!(
            "the metadata is held by {has}, not {wanted}; `axigen store migrate --dir {} --to {wanted}` changes that",
            settings.directory.display()
        );
    }
    Ok(store)
}

/// Does something with the engine of a file's store while nothing is served.
async fn offline<T>(
    config: &Path,
    work: impl AsyncFnOnce(&Engine) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let settings = load(config)?;
    let store = open_store(&settings).await?;
    let engine = Engine::builder(store).settings(settings).build()?;
    let done = work(&engine).await;
    engine.shutdown().await?;
    done
}

/// A line for a person.
fn say(line: impl AsRef<str>) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    // A pipe that nobody reads any more is not our failure.
    let _ = writeln!(out, "{}", line.as_ref()).and_then(|()| out.flush());
}
