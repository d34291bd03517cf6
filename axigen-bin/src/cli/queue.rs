//! What `axigen queue` takes.

use std::path::PathBuf;

use axigen_core::queue::State;
use axigen_core::settings::Span;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Queue {
    #[command(flatten)]
    pub(crate) at: Where,
    #[command(subcommand)]
    pub(crate) command: QueueCommand,
}

/// Which running server is meant.
#[derive(Debug, Args)]
pub(crate) struct Where {
    /// The server's directory: what `directory` is in axigen.cfg, or DIR of `axigen demo --dir DIR`
    #[arg(long, global = true, value_name = "DIR", display_order = 98)]
    pub(crate) dir: Option<PathBuf>,
    /// The configuration file of the server, if --dir does not say where it is
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "axigen.cfg",
        display_order = 99
    )]
    pub(crate) config: PathBuf,
}

/// How entries are named, for help texts.
const NAMES: &str = "An entry is named as `axigen queue list` shows it (1042-0). A number (1042) or the id of a message \
    in the log means all entries of the message. Several conditions all have to hold.";

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// Say how many entries, recipients and bytes there are
    Stat {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List the entries: one for each message and way it goes
    #[command(after_help = NAMES)]
    List {
        #[command(flatten)]
        which: Which,
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        /// Begin with this entry
        #[arg(long, value_name = "ID")]
        from: Option<String>,
        /// As JSON, an object a line
        #[arg(long)]
        json: bool,
    },
    /// Show all that is known of entries
    #[command(after_help = NAMES)]
    Show {
        /// Entries
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// With the message's header
        #[arg(long)]
        header: bool,
        /// As JSON, an object a line
        #[arg(long)]
        json: bool,
    },
    /// Try entries now, also where hosts could not be reached a moment ago
    #[command(after_help = NAMES)]
    Retry(Change),
    /// Keep entries from being tried, and from expiring, until they are released
    #[command(after_help = NAMES)]
    Hold(Change),
    /// Let entries be tried that were held
    #[command(after_help = NAMES)]
    Release(Change),
    /// Remove entries; nobody is told
    #[command(after_help = NAMES)]
    Drop(Change),
    /// Send entries back: their senders are told that they failed, and they are gone
    #[command(after_help = NAMES)]
    Bounce {
        #[command(flatten)]
        change: Change,
        /// What the senders are told as the reason
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// Which entries are meant.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Of this sender: an address or @domain; "" for notices
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) sender: Option<String>,
    /// To this recipient: an address or @domain
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) recipient: Option<String>,
    /// To recipients in this domain
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Option<String>,
    /// By this way: a domain, or `=` and the target of a route
    #[arg(long, value_name = "LANE")]
    pub(crate) lane: Option<String>,
    /// Of the message with this id, as in the log
    #[arg(long, value_name = "ID")]
    pub(crate) message: Option<String>,
    /// active (being sent), held, due, or deferred
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<State>,
    /// That came longer ago: 30m, 2h, 1d
    #[arg(long, value_name = "TIME")]
    pub(crate) older: Option<Span>,
    /// That came no longer ago
    #[arg(long, value_name = "TIME")]
    pub(crate) newer: Option<Span>,
}

/// Entries that are to be changed.
#[derive(Debug, Args)]
pub(crate) struct Change {
    /// Entries
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) which: Which,
    /// All there are
    #[arg(long)]
    pub(crate) all: bool,
    /// Do not ask, where conditions say what is dropped or sent back
    #[arg(long)]
    pub(crate) yes: bool,
    /// As JSON, an object a line for each entry
    #[arg(long)]
    pub(crate) json: bool,
}
