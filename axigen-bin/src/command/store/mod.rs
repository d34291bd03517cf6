//! `axigen store`: work on a store that no server has open.

mod reindex;

use crate::cli::StoreCommand;
use crate::failure::Failure;

pub(crate) async fn run(command: StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Reindex { dir } => reindex::run(&dir).await,
    }
}
