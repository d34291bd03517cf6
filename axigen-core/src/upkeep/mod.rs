//! What an administrator does to a store that is not being served: look
//! whether everything is there and agrees ([`verify`]), set right what does not
//! ([`repair`]), and make the metadata anew from the packs when it is lost
//! ([`salvage`]).

mod salvage;
mod verify;

pub use salvage::{Salvaged, salvage};
pub use verify::{Report, repair, verify};

use crate::{directory, mailbox};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] axigen_store::Error),
    /// A mailbox could not be read or written.
    #[error(transparent)]
    Mailbox(#[from] mailbox::Error),
    /// The directory could not be read or written.
    #[error(transparent)]
    Directory(#[from] directory::Error),
    /// The queue could not be read or written.
    #[error(transparent)]
    Queue(#[from] crate::queue::Error),
}

/// What is being done, with how much of it is done and how much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// In a word or three.
    pub what: &'static str,
    /// Done.
    pub done: u64,
    /// All.
    pub all: u64,
}

/// Result of this module.
pub type Result<T> = std::result::Result<T, Error>;
