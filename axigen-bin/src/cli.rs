//! What the command line takes.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A mail server: SMTP, LMTP, IMAP and POP3 over one durable store.
///
/// To look at it: `axigen demo`. To run it: `axigen init /srv/mail`, edit the
/// axigen.cfg it wrote, `axigen account add`, `axigen serve`.
#[derive(Debug, Parser)]
#[command(name = "axigen", version, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 all is well, 1 it failed (the reason is printed), 2 the command line is wrong."
)]
pub(crate) struct Cli {
    /// What is logged to standard error: error, warn, info, debug, or a filter like info,axigen_core=debug
    #[arg(long, global = true, default_value = "warn", value_name = "LEVEL")]
    pub(crate) log: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a server to look at, on this machine only, and say how to use it
    Demo(Demo),
    /// Write a commented axigen.cfg into a directory
    Init(Init),
    /// Run the server until SIGTERM or Ctrl-C
    Serve(Config),
    /// Say what is wrong with a configuration file
    Check(Config),
    /// Add, list, change and remove accounts (while the server is stopped)
    Account(Account),
    /// Add, list and remove domains (while the server is stopped)
    Domain(Domain),
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Keep everything in this directory; without it, a temporary one that is removed at exit
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Add this to every port
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) port_offset: u16,
    /// Also add the accounts u1 to uN, with the same password
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) accounts: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Where the file goes; the directory is made if it is not there
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// The server's host name
    #[arg(long, value_name = "NAME", default_value = "mail.example.org")]
    pub(crate) hostname: String,
}

#[derive(Debug, Args)]
pub(crate) struct Config {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "axigen.cfg")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Account {
    #[command(flatten)]
    pub(crate) config: Config,
    #[command(subcommand)]
    pub(crate) command: AccountCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Add an account; its domain is added if it is new
    Add {
        /// local@domain
        address: String,
        /// The person's name
        #[arg(long, default_value = "")]
        name: String,
        #[command(flatten)]
        password: Password,
    },
    /// List all accounts with what they hold
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Change a password
    Passwd {
        /// local@domain
        address: String,
        #[command(flatten)]
        password: Password,
    },
    /// Remove an account with all its mail
    Remove {
        /// local@domain
        address: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Password {
    /// Read the password from the first line of this file; `-` is standard input. Without it, it is asked for
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Domain {
    #[command(flatten)]
    pub(crate) config: Config,
    #[command(subcommand)]
    pub(crate) command: DomainCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DomainCommand {
    /// Add a domain
    Add {
        /// Its name
        name: String,
    },
    /// List all domains
    List,
    /// Remove a domain that has no accounts
    Remove {
        /// Its name
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
