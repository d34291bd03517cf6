//! `axigen class`: settings that accounts share, while the server is stopped.

use axigen_core::directory::{self, Directory};

use super::{offline, options, say};
use crate::cli::{Class, ClassCommand};
use crate::failure::Failure;

pub(crate) async fn run(options: Class) -> Result<(), Failure> {
    offline(&options.config.config, async |engine| {
        execute(engine.directory(), options.command).await
    })
    .await
}

async fn execute(directory: &Directory, command: ClassCommand) -> Result<(), Failure> {
    match command {
        ClassCommand::Add { name } => {
            if name.is_empty() {
                return Err(Failure::new("a class needs a name"));
            }
            if directory.class(&name).await?.is_some() {
                return Err(directory::Error::Exists(format!("the class {name}")).into());
            }
            let class = directory::Class {
                name,
                ..directory::Class::default()
            };
            directory.set_class(&class).await?;
            say(format!("added the class {}", class.name));
        }
        ClassCommand::List => {
            for class in directory.classes().await? {
                say(class.name);
            }
        }
        ClassCommand::Show { name } => options::set_here(&find(directory, &name).await?.settings),
        ClassCommand::Set { name, option } => {
            let mut class = find(directory, &name).await?;
            class.settings.set(&option.option, &option.value)?;
            directory.set_class(&class).await?;
            say(format!(
                "set {} of the class {name} to {}",
                option.option, option.value
            ));
        }
        ClassCommand::Unset { name, option } => {
            let mut class = find(directory, &name).await?;
            class.settings.unset(&option)?;
            directory.set_class(&class).await?;
            say(format!("unset {option} of the class {name}"));
        }
        ClassCommand::Remove { name } => {
            directory.remove_class(&name).await?;
            say(format!("removed the class {name}"));
        }
    }
    Ok(())
}

async fn find(directory: &Directory, name: &str) -> Result<directory::Class, Failure> {
    let found = directory.class(name).await?;
    Ok(found.ok_or_else(|| directory::Error::NotFound(format!("class {name}")))?)
}
