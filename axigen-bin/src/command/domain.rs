//! `axigen domain`: domains, while the server is stopped.

use axigen_core::engine::Engine;
use axigen_core::store::Store;

use super::{load, say};
use crate::cli::{Domain, DomainCommand};
use crate::failure::Failure;

pub(crate) async fn run(options: Domain) -> Result<(), Failure> {
    let settings = load(&options.config.config)?;
    let store = Store::open(&settings.directory).await?;
    let engine = Engine::builder(store).build()?;
    let done = execute(&engine, options.command).await;
    engine.shutdown().await?;
    done
}

async fn execute(engine: &Engine, command: DomainCommand) -> Result<(), Failure> {
    let directory = engine.directory();
    match command {
        DomainCommand::Add { name } => {
            let domain = directory.add_domain(&name).await?;
            say(format!("added {}", domain.name));
        }
        DomainCommand::List => {
            for domain in directory.domains().await? {
                say(domain.name);
            }
        }
        DomainCommand::Remove { name } => {
            directory.remove_domain(&name).await?;
            say(format!("removed {name}"));
        }
    }
    Ok(())
}
