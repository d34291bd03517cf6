//! Mail that a transport of the application carries.

use bytes::Bytes;
use jiff::Timestamp;

use super::SmtpOut;
use super::outcome::{Host, Tried};
use super::transaction::{Answer, Source, of, ours};
use crate::delivery::{Parcel, Transport};
use crate::queue;
use crate::queue::entry::{Entry, EntryId};

impl SmtpOut {
    /// Hands an entry to a transport, and settles it.
    pub(super) async fn carry(
        &self,
        transport: &dyn Transport,
        id: EntryId,
        entry: &Entry,
        row: &Bytes,
        source: &Source<'_>,
    ) -> queue::Result<Option<Timestamp>> {
        let message = match source {
            Source::Whole(raw) => raw.clone(),
            Source::Stored(queue) => match queue.message(entry).await {
                Ok(raw) => raw,
                Err(error) if error.is_damage() => {
                    return self.settle(id, entry, row, Tried::Damaged).await;
                }
                Err(error) => return Err(error),
            },
        };
        let parcel = Parcel::new(id, entry, message);
        let mut replies = transport.carry(&parcel).await.into_iter();
        let silent = || Answer::NotNow(ours((4, 3, 0), "the transport said nothing"));
        let answers = entry
            .recipients
            .iter()
            .map(|_| replies.next().map_or_else(silent, |reply| of(&reply)))
            .collect();
        let host = Host {
            name: transport.name().to_owned(),
            lmtp: false,
            notifies: false,
            tls: "by the transport".into(),
        };
        self.settle(id, entry, row, Tried::Answered(host, answers))
            .await
    }
}
