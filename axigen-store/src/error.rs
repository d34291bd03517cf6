//! Errors, by kind.

use std::sync::Arc;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in a store, by kind. Cloneable, because one failed sync
/// is the answer to a whole group of writers.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An assert did not hold. Nothing of the batch was done: read again and
    /// decide anew.
    #[error("assert {index} of part {part} did not hold")]
    Conflict {
        /// Which part of the batch.
        part: usize,
        /// Which assert of the part.
        index: usize,
    },
    /// A counter would leave its bounds. Nothing of the batch was done.
    #[error("counter in op {index} of part {part} would leave its bounds")]
    Bound {
        /// Which part of the batch.
        part: usize,
        /// Which op of the part.
        index: usize,
    },
    /// Bytes on disk are not what was written. Never served as data.
    #[error("corrupt: {0}")]
    Corrupt(String),
    /// No space left (disk or quota of the file system).
    #[error("no space left on the device")]
    Full,
    /// A key, value or batch beyond [`Limits`](crate::backend::Limits).
    #[error("too large: {0}")]
    TooLarge(String),
    /// The caller asked for something that has no meaning, as an empty key or
    /// a patch outside its template. Nothing was done.
    #[error("invalid: {0}")]
    Invalid(String),
    /// A blob that is not there.
    #[error("not found")]
    NotFound,
    /// An earlier write or sync failed; nothing is acknowledged any more until
    /// the store is opened again.
    #[error("the store is poisoned by an earlier failure: {0}")]
    Poisoned(String),
    /// The backend cannot be reached now.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// Another process has the store open.
    #[error("the store at {0} is in use by another process")]
    Locked(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// Any other failure of the operating system or engine.
    #[error("{context}: {source}")]
    Io {
        /// What was being done.
        context: String,
        /// The cause.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// A failure of the operating system: no space left becomes
    /// [`Error::Full`], anything else [`Error::Io`].
    pub fn io(context: impl Into<String>, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Error::Full,
            _ => Error::Io {
                context: context.into(),
                source: Arc::new(source),
            },
        }
    }

    /// Whether nothing may be acknowledged after this: what is on disk is no
    /// longer known.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Error::Io { .. } | Error::Poisoned(_))
    }
}
