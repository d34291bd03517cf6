//! What the command line takes.

mod bans;
mod queue;

use std::path::PathBuf;

use axigen_core::settings::AccountSettings;
use axigen_core::store::store::Engine;
use clap::{Args, Parser, Subcommand};

pub(crate) use bans::{Bans, BansCommand};
pub(crate) use queue::{Change, Queue, QueueCommand, Where, Which};

/// A mail server: SMTP, LMTP, IMAP and POP3 over one durable store.
#[derive(Debug, Parser)]
#[command(name = "axigen", version, arg_required_else_help = true)]
#[command(after_help = "\
To look at it:  axigen demo
To run it:      axigen init /srv/mail
                (edit /srv/mail/axigen.cfg)
                axigen check --config /srv/mail/axigen.cfg
                axigen account add you@example.org --config /srv/mail/axigen.cfg
                axigen serve --config /srv/mail/axigen.cfg

Exit codes: 0 all is well, 1 it failed (the reason is printed), 2 the command line is wrong.")]
pub(crate) struct Cli {
    /// What is logged to standard error: off, error, warn, info, debug, trace, or a filter like info,axigen_core=debug
    #[arg(
        long,
        global = true,
        default_value = "warn",
        value_name = "LEVEL",
        display_order = 100
    )]
    #[arg(value_parser = crate::logging::checked)]
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
    /// Run the server until SIGTERM or Ctrl-C; SIGHUP reads the configuration again
    Serve(Config),
    /// Say what is wrong with a configuration file
    Check(Config),
    /// Accounts: add, list, show, change, remove (while the server is stopped)
    Account(Account),
    /// Account classes: settings that accounts share (while the server is stopped)
    Class(Class),
    /// Domains: add, list, show, change, remove (while the server is stopped)
    Domain(Domain),
    /// Say what a domain should publish in DNS for its mail, as lines of a zone file
    DnsRecords(DnsRecords),
    /// Aliases: addresses that lead to others (while the server is stopped)
    Alias(Alias),
    /// Public folders of a domain: add, list, grant, rename, remove (while the server is stopped)
    Public(Public),
    /// The queue of mail to other hosts (while the server runs): list, show, retry, hold, send back
    Queue(Queue),
    /// Peers that may not connect for their faults (while the server runs): list, lift, clear
    Bans(Bans),
    /// The store itself (while the server is stopped)
    Store(Store),
    /// Write the manual pages of this program and of axigen.cfg
    Man(Man),
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The directory they go below, as man1/axigen-queue.1 and man5/axigen.cfg.5
    #[arg(value_name = "DIR", default_value = "man")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Keep everything in this directory; without it, a temporary one that is removed at exit
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Add this to every port
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) port_offset: u16,
    /// What separates the levels of mailbox names in IMAP: / or .
    #[arg(long, value_name = "CHARACTER", default_value_t = '/', value_parser = separator)]
    pub(crate) separator: char,
    /// Also send mail to other hosts, found by this zone file instead of DNS
    #[arg(long, value_name = "FILE")]
    pub(crate) zone: Option<PathBuf>,
    /// The port of those hosts, which is 25 everywhere but in tests
    #[arg(long, value_name = "PORT", default_value_t = 25, requires = "zone")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) mx_port: u16,
    /// Also add the accounts u1 to uN, with the same password
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) accounts: u32,
}

fn separator(text: &str) -> Result<char, String> {
    match text {
        "/" => Ok('/'),
        "." => Ok('.'),
        _ => Err("it is / or .".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct DnsRecords {
    /// The domain
    #[arg(value_name = "DOMAIN")]
    pub(crate) domain: String,
    /// A name of this server that takes the domain's mail, instead of its hostname; may be
    /// given several times, the preferred first
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Vec<String>,
    /// Another address of this server, as the world sees it; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Vec<std::net::IpAddr>,
    #[command(flatten)]
    pub(crate) config: Config,
    /// The directory axigen.cfg is in
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub(crate) dir: Option<PathBuf>,
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
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "axigen.cfg",
        display_order = 99
    )]
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
        #[arg(long, default_value = "", hide_default_value = true)]
        name: String,
        /// The account's class
        #[arg(long)]
        class: Option<String>,
        #[command(flatten)]
        password: Password,
    },
    /// List all accounts with what they hold
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show an account: every option, its value and where it comes from
    Show {
        /// local@domain
        address: String,
    },
    /// Set an option of an account
    #[command(after_help = options("\n  name              The person's name.\n  class             The account's class.\n  enabled           Whether it may log in and gets mail."))]
    Set {
        /// local@domain
        address: String,
        #[command(flatten)]
        option: Setting,
    },
    /// Leave an option of an account to its class, its domain and the server again
    Unset {
        /// local@domain
        address: String,
        /// The option's name
        option: String,
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
pub(crate) struct Setting {
    /// The option's name
    pub(crate) option: String,
    /// Its value: a size as 64KB or 2GB, true or false, a number
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: String,
}

#[derive(Debug, Args)]
pub(crate) struct Password {
    /// Read the password from the first line of this file; - is standard input. Without it, it is asked for
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Class {
    #[command(flatten)]
    pub(crate) config: Config,
    #[command(subcommand)]
    pub(crate) command: ClassCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClassCommand {
    /// Add a class
    Add {
        /// Its name
        name: String,
    },
    /// List all classes
    List,
    /// Show what is set for a class
    Show {
        /// Its name
        name: String,
    },
    /// Set an option for all accounts of a class
    #[command(after_help = options(""))]
    Set {
        /// The class
        name: String,
        #[command(flatten)]
        option: Setting,
    },
    /// Leave an option to the domains and the server again
    Unset {
        /// The class
        name: String,
        /// The option's name
        option: String,
    },
    /// Remove a class that no account has
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Public {
    #[command(flatten)]
    pub(crate) config: Config,
    #[command(subcommand)]
    pub(crate) command: PublicCommand,
}

/// What the letters mean, for help texts.
const RIGHTS: &str = "RIGHTS are letters: l list, r read, s keep what one has seen, w flags, \
    i add messages, p post, k make folders below, x delete the folder, t mark as deleted, \
    e expunge, a give rights. +LETTERS adds, -LETTERS takes away, \"\" takes all.\n\
    WHO is an address, `authenticated` or `anyone`; -WHO takes rights away from somebody \
    whoever else gives them.";

#[derive(Debug, Subcommand)]
pub(crate) enum PublicCommand {
    /// Add a folder, and those above it
    Add {
        /// The domain whose users find it
        domain: String,
        /// Its name; levels are separated by /
        name: String,
        /// Who may read it and keep what they have seen (rights lrs)
        #[arg(long, value_name = "WHO", default_value = "authenticated")]
        readers: String,
    },
    /// List the folders of all domains, or of one
    List {
        /// The domain
        domain: Option<String>,
    },
    /// Say who may do what with a folder
    #[command(after_help = RIGHTS)]
    Grant {
        /// The domain
        domain: String,
        /// The folder's name
        name: String,
        /// Who
        #[arg(allow_hyphen_values = true)]
        who: String,
        /// Letters
        #[arg(allow_hyphen_values = true)]
        rights: String,
    },
    /// Give a folder, and those below it, another name
    Rename {
        /// The domain
        domain: String,
        /// The old name
        name: String,
        /// The new name
        new: String,
    },
    /// Remove a folder with its mail, or all of a domain
    Remove {
        /// The domain
        domain: String,
        /// The folder's name; without it, all are removed
        name: Option<String>,
    },
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
    /// Show what is set for a domain
    Show {
        /// Its name
        name: String,
    },
    /// Set an option for all accounts of a domain
    #[command(after_help = options("\n  postmaster        Where mail for postmaster goes if there is no account of that name.\n  catch_all         Where mail goes that is for nobody of the domain; without it it is refused."))]
    Set {
        /// The domain
        name: String,
        #[command(flatten)]
        option: Setting,
    },
    /// Leave an option to the server again
    Unset {
        /// The domain
        name: String,
        /// The option's name
        option: String,
    },
    /// Remove a domain that has no accounts and no aliases
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Alias {
    #[command(flatten)]
    pub(crate) config: Config,
    #[command(subcommand)]
    pub(crate) command: AliasCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AliasCommand {
    /// Let an address lead to others
    Add {
        /// local@domain, a domain of this server
        address: String,
        /// Where it leads: local@domain
        #[arg(required = true)]
        targets: Vec<String>,
    },
    /// List the aliases of all domains
    List,
    /// Remove an alias
    Remove {
        /// local@domain
        address: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Store {
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Say what takes space: raw, deduplicated, compressed, dead
    Stat(StoreDir),
    /// Read everything and compare: checksums, references, counters, UIDs; exit code 1 if something is wrong
    Verify(StoreDir),
    /// Set right what verify finds; say what is lost
    Repair(StoreDir),
    /// Make lost metadata anew from the packs: accounts, mailboxes, mail
    Salvage(StoreDir),
    /// Make it smaller: train a dictionary on the mail that is there, rewrite packs that are mostly dead, compact the metadata
    Maintain(StoreMaintain),
    /// Have another engine hold the metadata. Killed at any moment, the store is whole; call it again to go on
    Migrate(StoreMigrate),
    /// Make the search index anew from the mail
    Reindex(StoreDir),
}

#[derive(Debug, Args)]
pub(crate) struct StoreDir {
    /// The store's directory: what `directory` is in axigen.cfg, or DIR of `axigen demo --dir DIR`
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct StoreMaintain {
    #[command(flatten)]
    pub(crate) store: StoreDir,
    /// Rewrite all packs, compressed harder; takes about a minute per gigabyte
    #[arg(long)]
    pub(crate) recompress: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StoreMigrate {
    #[command(flatten)]
    pub(crate) store: StoreDir,
    /// fjall: a log-structured tree, quicker to write; redb: a B-tree in one file
    #[arg(long, value_name = "ENGINE")]
    pub(crate) to: Engine,
}

/// The options there are, for a help text.
fn options(more: &str) -> String {
    let list: Vec<String> = AccountSettings::options()
        .iter()
        .map(|(name, text)| format!("  {name:17} {text}"))
        .collect();
    format!("Options that can be set:\n{}{more}", list.join("\n"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
