//! `axigen`: the reference mail server. A thin composition of `axigen-core`;
//! an application replaces it in an afternoon.

mod cli;
mod command;
mod failure;
mod logging;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(&cli.log);
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure::print(&failure);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the runtime cannot be started: {error}")))?;
    runtime.block_on(async {
        match command {
            Command::Demo(options) => command::demo::run(options).await,
            Command::Init(options) => command::init::run(&options),
            Command::Serve(options) => command::serve::run(&options).await,
            Command::Check(options) => command::check::run(&options),
            Command::Account(options) => command::account::run(options).await,
            Command::Domain(options) => command::domain::run(options).await,
        }
    })
}
