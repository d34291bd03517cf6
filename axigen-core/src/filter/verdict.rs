//! What a filter decides.

use std::time::Duration;

use axigen_proto::smtp::reply::Reply;

/// A decision while the peer waits and will read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Take it, and ask no further filter at this stage.
    Accept,
    /// No objection; the next filter decides.
    Continue,
    /// Say yes and throw the message away. For traps; a user never wants this.
    Discard,
    /// Say this and end the session.
    Disconnect(Reply),
    /// Refuse this command or message.
    Reject(Reply),
}

/// A decision when the mail is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Send it back to its sender with this reason. While the peer still
    /// waits, it is refused instead: no backscatter.
    Bounce(Reply),
    /// No objection; the next filter decides.
    Continue,
    /// Try again later.
    Defer(Duration),
    /// Throw it away for this recipient.
    Discard,
    /// Put it into this mailbox of the recipient, made if it is not there.
    FileInto(String),
    /// Send it to these addresses instead, here or elsewhere; the account's own
    /// among them keeps a copy in its INBOX. Filters of those it reaches here have
    /// their say as well. Mail that would go around in a circle, was sent on
    /// [`REDIRECTS`](crate::delivery::REDIRECTS) times, or that none of the
    /// addresses can get stays in the account's INBOX.
    Redirect(Vec<String>),
}
