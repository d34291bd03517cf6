//! Mail that an application carries elsewhere by itself.

use async_trait::async_trait;
use axigen_proto::smtp::reply::Reply;
use bytes::Bytes;

use crate::queue::entry::{Entry, EntryId};

/// Carries mail elsewhere: to a hub of messages, another kind of network, an
/// archive. A route leads to it by its name:
///
/// ```toml
/// [[smtp_out.routes]]
/// domains = ["fax.example.org"]
/// to = "transport:fax"
/// ```
///
/// The queue, its schedule, notices to senders and its commands are the same as
/// for other hosts.
#[async_trait]
pub trait Transport: std::fmt::Debug + Send + Sync + 'static {
    /// Its name in routes: letters, digits, `-` and `_`.
    fn name(&self) -> &str;

    /// Carries a message to its recipients. One reply for each of them, in their
    /// order, as an SMTP server gives it: 2xx says that the message is safe with
    /// the transport, 4xx that it is to be tried again, 5xx that it cannot be
    /// done. A reply that is missing counts as 4xx.
    ///
    /// After a crash the same message may come again: the id tells. A message
    /// that must travel under TLS ([`Entry::require_tls`]) is the transport's to
    /// protect or to refuse.
    async fn carry(&self, parcel: &Parcel<'_>) -> Vec<Reply>;
}

/// A message on its way to a transport.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Parcel<'p> {
    /// Names it; never used for another one.
    pub id: EntryId,
    /// Sender, recipients and what else is known of it.
    pub entry: &'p Entry,
    /// The message, lines ending in CR LF.
    pub message: Bytes,
}

impl<'p> Parcel<'p> {
    pub(crate) fn new(id: EntryId, entry: &'p Entry, message: Bytes) -> Parcel<'p> {
        Parcel { id, entry, message }
    }
}
