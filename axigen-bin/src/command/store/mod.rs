//! `axigen store`: work on a store that no server has open.

mod maintain;
mod migrate;
mod reindex;
mod rescue;
mod stat;

use std::path::Path;

use axigen_core::store::Store;

use crate::cli::StoreCommand;
use crate::failure::Failure;

pub(crate) async fn run(command: StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Maintain(options) => {
            maintain::run(&options.store.dir, options.recompress).await
        }
        StoreCommand::Migrate(options) => migrate::run(&options.store.dir, options.to).await,
        StoreCommand::Stat(options) => stat::run(&options.dir).await,
        StoreCommand::Verify(options) => rescue::verify(&options.dir).await,
        StoreCommand::Repair(options) => rescue::repair(&options.dir).await,
        StoreCommand::Salvage(options) => rescue::salvage(&options.dir).await,
        StoreCommand::Reindex(options) => reindex::run(&options.dir).await,
    }
}

/// A store that is there: to open one that is not would make it.
async fn open(dir: &Path) -> Result<Store, Failure> {
    if !dir.join("FORMAT").is_file() {
        return Err(Failure::new(format!(
            "there is no store in {}",
            dir.display()
        )));
    }
    let mut options = axigen_core::store::store::Options::default();
    // Nothing happens to it but what was asked for.
    options.upkeep = std::time::Duration::ZERO;
    Ok(Store::open_with(dir, options).await?)
}
