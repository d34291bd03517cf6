//! Tracking: one line of the log for each recipient and step, so that the way of
//! every message can be told from the log alone, also with many recipients.
//!
//! The lines have the target `track`: `--log warn,track=info` shows them and
//! nothing else below a warning.

use std::fmt;

use crate::queue::entry::{Action, EntryId};

/// What has become of a message for a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is in the mailboxes.
    Delivered,
    /// It travels on, or waits for its time.
    Queued,
    /// Another host has it.
    Sent,
    /// It is tried again later.
    Deferred,
    /// It will not arrive; who sent it is told, if that is wanted.
    Bounced,
    /// It was not taken, and the peer knows.
    Refused,
    /// A filter threw it away.
    Discarded,
    /// A filter sent it to other addresses instead.
    Redirected,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Delivered => "delivered",
            Step::Queued => "queued",
            Step::Sent => "sent",
            Step::Deferred => "deferred",
            Step::Bounced => "bounced",
            Step::Refused => "refused",
            Step::Discarded => "discarded",
            Step::Redirected => "redirected",
        })
    }
}

impl From<Action> for Step {
    fn from(action: Action) -> Step {
        match action {
            Action::Failed => Step::Bounced,
            Action::Delayed => Step::Deferred,
            Action::Delivered => Step::Delivered,
            Action::Relayed => Step::Sent,
            Action::Expanded => Step::Queued,
        }
    }
}

/// A step on the way of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Track<'t> {
    /// Our id of the message.
    pub(crate) id: &'t str,
    /// Its entry in the queue, if it is there.
    pub(crate) entry: Option<EntryId>,
    pub(crate) sender: &'t str,
    pub(crate) recipient: &'t str,
    /// The other host.
    pub(crate) host: Option<&'t str>,
    /// How the way to it was protected.
    pub(crate) tls: Option<&'t str>,
    /// In words: what the host said, or why.
    pub(crate) why: &'t str,
}

impl Track<'_> {
    pub(crate) fn step(&self, step: Step) {
        tracing::info!(
            target: "track",
            id = self.id,
            entry = self.entry.map(tracing::field::display),
            sender = self.sender,
            recipient = self.recipient,
            host = self.host,
            tls = self.tls,
            why = self.why,
            "{step}"
        );
    }
}
