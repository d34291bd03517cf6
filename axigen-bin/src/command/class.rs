//! `axigen class`: settings that accounts share, while the server is stopped.

use axigen_core::directory;
use axigen_core::engine::Engine;

use super::{assign, load, say, set_options, stopped};
use crate::cli::{Class, ClassCommand};
use crate::failure::Failure;

pub(crate) async fn run(options: Class) -> Result<(), Failure> {
    let settings = load(&options.config.config)?;
    let engine = stopped(&settings).await?;
    let done = execute(&engine, options.command).await;
    engine.shutdown().await?;
    done
}

async fn execute(engine: &Engine, command: ClassCommand) -> Result<(), Failure> {
    let directory = engine.directory();
    match command {
        ClassCommand::Set { name, option } => {
            let mut class = directory
                .class(&name)
                .await?
                .unwrap_or_else(|| directory::Class {
                    name: name.clone(),
                    ..directory::Class::default()
                });
            assign(&mut class.settings, &option)?;
            directory.set_class(&class).await?;
            say(format!("{name}{}", set_options(&class.settings)));
        }
        ClassCommand::List => {
            for class in directory.classes().await? {
                say(format!("{}{}", class.name, set_options(&class.settings)));
            }
        }
        ClassCommand::Remove { name } => {
            directory.remove_class(&name).await?;
            say(format!("removed the class {name}"));
        }
    }
    Ok(())
}
