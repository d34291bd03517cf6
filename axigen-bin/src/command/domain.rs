//! `axigen domain`: domains, while the server is stopped.

use axigen_core::engine::Engine;

use super::{assign, load, say, set_options, stopped};
use crate::cli::{Domain, DomainCommand};
use crate::failure::Failure;

pub(crate) async fn run(options: Domain) -> Result<(), Failure> {
    let settings = load(&options.config.config)?;
    let engine = stopped(&settings).await?;
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
                say(format!("{}{}", domain.name, set_options(&domain.settings)));
            }
        }
        DomainCommand::Set { name, option } => {
            let name = name.to_lowercase();
            let Some(mut domain) = directory.domain(&name).await? else {
                return Err(Failure::new(format!("there is no domain {name}")));
            };
            assign(&mut domain.settings, &option)?;
            directory.set_domain(&domain).await?;
            say(format!("{name}{}", set_options(&domain.settings)));
        }
        DomainCommand::Remove { name } => {
            directory.remove_domain(&name).await?;
            say(format!("removed {name}"));
        }
    }
    Ok(())
}
