//! Errors as tagged responses, in one table.

use axigen_proto::imap::response::{Code, Status};

use crate::mailbox::Error;

/// What the client is told of an error. `create_helps` is set where making the
/// mailbox first would help (APPEND, COPY, MOVE).
pub(super) fn of(error: &Error, create_helps: bool) -> Status {
    use axigen_store::Error as Store;
    match error {
        Error::NoSuchMailbox if create_helps => {
            Status::no("there is no mailbox of that name").with(Code::TryCreate)
        }
        Error::NoSuchMailbox => Status::no(error.to_string()).with(Code::NonExistent),
        Error::AlreadyExists => Status::no(error.to_string()).with(Code::AlreadyExists),
        Error::BadName(_) | Error::BadKeyword(_) | Error::InboxIsPermanent => {
            Status::no(error.to_string()).with(Code::Cannot)
        }
        Error::HasChildren => Status::no(error.to_string()).with(Code::HasChildren),
        Error::OverQuota { .. } => Status::no(error.to_string()).with(Code::OverQuota),
        Error::TooMany(_) => Status::no(error.to_string()).with(Code::Limit),
        Error::NoSuchMessage => Status::no(error.to_string()).with(Code::ExpungeIssued),
        Error::Store(store) => {
            tracing::error!(%error, "the store failed");
            match store {
                Store::Full => Status::no("no space is left on the server").with(Code::OverQuota),
                Store::Corrupt(_) => Status::no("the message is damaged").with(Code::Corruption),
                Store::Unavailable(_) | Store::Conflict { .. } => {
                    Status::no("the store is busy, try again").with(Code::Unavailable)
                }
                _ => Status::no("the server failed").with(Code::ServerBug),
            }
        }
        #[allow(unreachable_patterns)]
        _ => Status::no("the server failed").with(Code::ServerBug),
    }
}
