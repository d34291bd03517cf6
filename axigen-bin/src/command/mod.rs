//! One file a command.

pub(crate) mod account;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod domain;
pub(crate) mod init;
pub(crate) mod serve;

use std::path::Path;

use axigen_core::settings::{self, Settings};

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

/// A line for a person.
#[allow(clippy::print_stdout)]
fn say(line: impl AsRef<str>) {
    use std::io::Write;
    println!("{}", line.as_ref());
    // A pipe that nobody reads any more is not our failure.
    let _ = std::io::stdout().flush();
}
