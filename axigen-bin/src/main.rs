//! `axigen`: the reference mail server. A thin composition of `axigen-core`;
//! an application replaces it in an afternoon.

mod cli;
mod command;
mod failure;
mod logging;
mod terminal;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

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
    match command {
        Command::Man(options) => command::man::run(&options),
        Command::Init(options) => command::init::run(&options),
        Command::Check(options) => command::check::run(&options),
        Command::DnsRecords(options) => command::dns_records::run(&options),
        Command::Demo(options) => runtime(0)?.block_on(command::demo::run(options)),
        Command::Serve(options) => {
            let settings = command::load(&options.config)?;
            let running = command::serve::run(&options.config, settings.clone());
            runtime(settings.threads)?.block_on(running)
        }
        Command::Account(options) => runtime(0)?.block_on(command::account::run(options)),
        Command::Class(options) => runtime(0)?.block_on(command::class::run(options)),
        Command::Public(options) => runtime(0)?.block_on(command::public::run(options)),
        Command::Domain(options) => runtime(0)?.block_on(command::domain::run(options)),
        Command::Alias(options) => runtime(0)?.block_on(command::alias::run(options)),
        Command::Bans(options) => runtime(0)?.block_on(command::bans::run(options)),
        Command::Queue(options) => runtime(0)?.block_on(command::queue::run(options)),
        Command::Store(options) => runtime(0)?.block_on(command::store::run(options.command)),
    }
}

/// The threads that services share; 0 means one a core.
fn runtime(threads: usize) -> Result<Runtime, Failure> {
    let mut builder = Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the runtime cannot be started: {error}")))
}
