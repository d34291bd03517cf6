//! Mail for mailboxes of this server that was held for a while: it goes into
//! them when it is due, and out of the queue in the same batch.

use bytes::Bytes;
use jiff::Timestamp;

use super::SmtpOut;
use super::outcome::{Host, Tried};
use super::transaction::of;
use crate::delivery::Outcome;
use crate::queue;
use crate::queue::entry::{Entry, EntryId};
use crate::service::smtp_in::replies;

impl SmtpOut {
    pub(super) async fn arrive(
        &self,
        id: EntryId,
        entry: &Entry,
        row: &Bytes,
    ) -> queue::Result<Option<Timestamp>> {
        if entry.recipients.len() > 1 {
            return self.part(id, entry, row, 1).await;
        }
        let reply = match self.delivery.arrive(id, entry, row).await? {
            // It is settled already.
            Ok(Outcome::Delivered | Outcome::Queued) => return Ok(None),
            Ok(Outcome::Discarded) => {
                return self.settle(id, entry, row, Tried::Discarded).await;
            }
            Ok(outcome) => replies::outcome(&outcome, &entry.mail),
            Err(refused) => replies::recipient(refused),
        };
        let host = Host {
            name: self.routes.hostname().to_owned(),
            lmtp: true,
            notifies: false,
            tls: "none: it stayed here".into(),
        };
        let tried = Tried::Answered(host, vec![of(&reply)]);
        self.settle(id, entry, row, tried).await
    }
}
