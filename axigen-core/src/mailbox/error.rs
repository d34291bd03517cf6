//! What can go wrong with a mailbox.

/// A result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a mailbox. Each has one meaning, so that a service
/// can choose its protocol's code for it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No mailbox has that name or id (any more).
    #[error("there is no mailbox of that name")]
    NoSuchMailbox,
    /// The name is taken.
    #[error("a mailbox of that name exists already")]
    AlreadyExists,
    /// The name breaks a rule; see [`names`](super::names).
    #[error("a mailbox name may not {0}")]
    BadName(&'static str),
    /// INBOX always exists.
    #[error("INBOX cannot be deleted")]
    InboxIsPermanent,
    /// Only for a name that is itself no mailbox any more
    /// ([RFC 9051 §6.3.5](https://www.rfc-editor.org/rfc/rfc9051#section-6.3.5)).
    #[error("the name has children and is itself no mailbox")]
    HasChildren,
    /// The item was expunged, perhaps a moment ago.
    #[error("the message is gone")]
    NoSuchMessage,
    /// The keyword is not an atom.
    #[error("a keyword may not {0}")]
    BadKeyword(&'static str),
    /// The account would hold more bytes than it may.
    #[error("the account is over its quota")]
    OverQuota {
        /// Index of the target whose quota is used up; 0 where there is but
        /// one.
        target: usize,
    },
    /// A note about a mailbox is larger than so many bytes.
    #[error("an annotation has at most {0} bytes")]
    AnnotationTooLarge(u64),
    /// A limit of [`Options`](super::Options) or of the format.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] axigen_store::Error),
}

impl Error {
    /// A record that this program cannot have written.
    pub(super) fn corrupt(what: &str) -> Self {
        Error::Store(axigen_store::Error::Corrupt(what.to_owned()))
    }
}
