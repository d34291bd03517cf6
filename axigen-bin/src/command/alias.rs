//! `axigen alias`: addresses that lead to others, while the server is stopped.

use axigen_core::directory::Directory;

use super::{offline, say};
use crate::cli::{Alias, AliasCommand};
use crate::failure::Failure;

pub(crate) async fn run(options: Alias) -> Result<(), Failure> {
    offline(&options.config.config, async |engine| {
        execute(engine.directory(), options.command).await
    })
    .await
}

async fn execute(directory: &Directory, command: AliasCommand) -> Result<(), Failure> {
    match command {
        AliasCommand::Add { address, targets } => {
            directory.add_alias(&address, &targets).await?;
            say(format!("{address} leads to {}", targets.join(", ")));
        }
        AliasCommand::List => {
            for domain in directory.domains().await? {
                for alias in directory.aliases(&domain.name).await? {
                    say(format!(
                        "{} leads to {}",
                        alias.address,
                        alias.targets.join(", ")
                    ));
                }
            }
        }
        AliasCommand::Remove { address } => {
            directory.remove_alias(&address).await?;
            say(format!("removed {address}"));
        }
    }
    Ok(())
}
