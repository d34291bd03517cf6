//! What `axigen bans` takes.

use std::net::IpAddr;

use clap::{Args, Subcommand};

use super::Where;

#[derive(Debug, Args)]
pub(crate) struct Bans {
    #[command(flatten)]
    pub(crate) at: Where,
    #[command(subcommand)]
    pub(crate) command: BansCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BansCommand {
    /// List who is banned, and for how much longer
    List {
        /// As JSON, an object a line
        #[arg(long)]
        json: bool,
    },
    /// Let a peer in again, and forget its faults
    Lift {
        /// Its address; one of IPv6 stands for its network of 64 bits
        peer: IpAddr,
    },
    /// Let everybody in again, and forget all faults
    Clear,
}
