//! `axigen domain`: domains, while the server is stopped.

use axigen_core::directory::{self, Directory};

use super::{offline, options, say};
use crate::cli::{Domain, DomainCommand};
use crate::failure::Failure;

pub(crate) async fn run(options: Domain) -> Result<(), Failure> {
    offline(&options.config.config, async |engine| {
        execute(engine.directory(), options.command).await
    })
    .await
}

async fn execute(directory: &Directory, command: DomainCommand) -> Result<(), Failure> {
    match command {
        DomainCommand::Add { name } => {
            let domain = directory.add_domain(&name).await?;
            say(format!("added the domain {}", domain.name));
        }
        DomainCommand::List => {
            for domain in directory.domains().await? {
                say(domain.name);
            }
        }
        DomainCommand::Show { name } => {
            let domain = find(directory, &name).await?;
            say(format!(
                "{:17} {}",
                "postmaster",
                domain.postmaster.as_deref().unwrap_or("-")
            ));
            say(format!(
                "{:17} {}",
                "catch_all",
                domain.catch_all.as_deref().unwrap_or("-")
            ));
            options::set_here(&domain.settings);
        }
        DomainCommand::Set { name, option } => {
            let mut domain = find(directory, &name).await?;
            match option.option.as_str() {
                "postmaster" => {
                    let (local, at) = directory::normalise(&option.value)?;
                    domain.postmaster = Some(format!("{local}@{at}"));
                }
                "catch_all" => {
                    let (local, at) = directory::normalise(&option.value)?;
                    domain.catch_all = Some(format!("{local}@{at}"));
                }
                other => domain.settings.set(other, &option.value)?,
            }
            directory.set_domain(&domain).await?;
            say(format!(
                "set {} of the domain {} to {}",
                option.option, domain.name, option.value
            ));
        }
        DomainCommand::Unset { name, option } => {
            let mut domain = find(directory, &name).await?;
            match option.as_str() {
                "postmaster" => domain.postmaster = None,
                "catch_all" => domain.catch_all = None,
                other => domain.settings.unset(other)?,
            }
            directory.set_domain(&domain).await?;
            say(format!("unset {option} of the domain {}", domain.name));
        }
        DomainCommand::Remove { name } => {
            directory.remove_domain(&name).await?;
            say(format!("removed the domain {name}"));
        }
    }
    Ok(())
}

async fn find(directory: &Directory, name: &str) -> Result<directory::Domain, Failure> {
    let found = directory.domain(name).await?;
    Ok(found.ok_or_else(|| directory::Error::NotOurDomain(name.to_owned()))?)
}
