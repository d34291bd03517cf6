//! What was held (RFC 4865), into mailboxes.

use bytes::Bytes;

use super::conclude::unquoted;
use super::plan::Also;
use super::track::{Step, Track};
use super::{Answers, Delivery, Envelope, Outcome, Refused};
use crate::queue::entry::{Body, Entry, EntryId};
use crate::queue::{self, Settled};

impl Delivery {
    /// Delivers to the first recipient of an entry, which is gone in the same
    /// batch when the outcome is [`Outcome::Delivered`] or [`Outcome::Queued`],
    /// and is as it was otherwise.
    ///
    /// # Errors
    /// Of the store; the entry is as it was.
    pub(crate) async fn arrive(
        &self,
        id: EntryId,
        entry: &Entry,
        row: &Bytes,
    ) -> queue::Result<Result<Outcome, Refused>> {
        let (Some(outgoing), Some(recipient)) = (self.outgoing(), entry.recipients.first()) else {
            return Err(queue::Error::NotFound(id));
        };
        let (local, domain) = recipient.address.rsplit_once('@').unwrap_or_default();
        let local = unquoted(local);
        let address = Some((local.as_str(), domain)).filter(|_| !domain.is_empty());
        let mut accepted = match self.reachable(address, true).await {
            Ok(accepted) => accepted,
            Err(refused) => return Ok(Err(refused)),
        };
        accepted.notify = recipient.notify;
        accepted.original.clone_from(&recipient.original);
        let (ops, unchanged) = outgoing.queue.settling(id, entry, row, &Settled::Gone)?;
        let also = Also {
            ops,
            asserts: vec![unchanged],
            beyond_quota: false,
        };
        let raw = outgoing.queue.whole(entry).await?;
        let envelope = Envelope {
            own: usize::try_from(entry.skip).unwrap_or_default(),
            binary: entry.body == Body::Binary,
            utf8: entry.utf8,
            notices: entry.notices.clone(),
            user: entry.user.clone(),
            require_tls: entry.require_tls,
            priority: entry.priority,
            by: entry.by,
            ..Envelope::new(entry.mail.clone(), entry.sender.clone())
        };
        let outcomes = self
            .deliver_also(raw, &envelope, &[accepted], Answers::Each, &also)
            .await;
        let outcome = outcomes.into_iter().next().unwrap_or(Outcome::Failed);
        let track = Track {
            id: &entry.mail,
            entry: Some(id),
            sender: &entry.sender,
            recipient: &recipient.address,
            host: None,
            tls: None,
            why: "it was held until now",
        };
        match outcome {
            Outcome::Delivered => track.step(Step::Delivered),
            Outcome::Queued => track.step(Step::Queued),
            // The rest is settled, and told, by the service.
            _ => {}
        }
        Ok(Ok(outcome))
    }
}
