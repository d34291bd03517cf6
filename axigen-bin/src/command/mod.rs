//! One file a command.

pub(crate) mod account;
pub(crate) mod check;
pub(crate) mod class;
pub(crate) mod demo;
pub(crate) mod domain;
pub(crate) mod init;
pub(crate) mod serve;

use std::path::Path;

use axigen_core::engine::Engine;
use axigen_core::settings::{self, AccountSettings, Settings};
use axigen_core::store::Store;

use crate::cli::SetOption;
use crate::failure::Failure;

/// The settings of a file, or everything that is wrong with it.
fn load(path: &Path) -> Result<Settings, Failure> {
    settings::load(path).map_err(|problems| {
        let problems: Vec<String> = problems
            .iter()
            .map(|problem| format!("{}: {problem}", path.display()))
            .collect();
        Failure::new(problems.join("\naxigen: "))
    })
}

/// An engine that serves nobody, for a command that works on the store.
async fn stopped(settings: &Settings) -> Result<Engine, Failure> {
    let store = Store::open(&settings.directory).await?;
    Ok(Engine::builder(store).build()?)
}

/// Sets an option of accounts, or leaves it open.
fn assign(settings: &mut AccountSettings, option: &SetOption) -> Result<(), Failure> {
    settings
        .assign(&option.option, option.value.as_deref())
        .map_err(Failure::new)
}

/// What these settings set, to stand behind a name.
fn set_options(settings: &AccountSettings) -> String {
    AccountSettings::options()
        .iter()
        .filter_map(|option| settings::explain(option, &[("", settings)]).zip(Some(option)))
        .filter(|((level, _), _)| level.is_empty())
        .map(|((_, value), option)| format!("  {option} = {value}"))
        .collect()
}

/// A line for a person.
#[allow(clippy::print_stdout)]
fn say(line: impl AsRef<str>) {
    use std::io::Write;
    println!("{}", line.as_ref());
    // A pipe that nobody reads any more is not our failure.
    let _ = std::io::stdout().flush();
}
