//! An entry of the queue settled, and its sender told, in one batch.

use bytes::Bytes;

use super::notice::Notice;
use super::plan::Also;
use super::{Accepted, Answers, Delivery, Envelope, Outgoing, Refused};
use crate::delivery::headers::date;
use crate::queue::entry::{Entry, EntryId, Fate, Notify};
use crate::queue::{self, Settled};

/// How an entry is settled.
#[derive(Debug)]
pub(crate) struct Conclusion<'c> {
    pub(crate) id: EntryId,
    /// The entry and its row as they were read.
    pub(crate) entry: &'c Entry,
    pub(crate) row: &'c Bytes,
    /// What its sender may be told.
    pub(crate) fates: Vec<Fate>,
    /// What becomes of it.
    pub(crate) settled: Settled,
}

impl Delivery {
    /// Settles an entry. Whoever is to be told gets the notice in the same
    /// batch; if the notice cannot be stored, the entry keeps what is owed.
    ///
    /// # Errors
    /// Of the store; the entry is as it was.
    pub(crate) async fn conclude(&self, conclusion: Conclusion<'_>) -> queue::Result<()> {
        let Conclusion {
            id,
            entry,
            row,
            fates,
            settled,
        } = conclusion;
        let Some(outgoing) = &self.outgoing else {
            return Err(queue::Error::NotFound(id));
        };
        let owed = entry.owed.iter().cloned();
        let wanted: Vec<Fate> = owed.chain(fates).filter(Fate::is_wanted).collect();
        let queue = &outgoing.queue;
        if wanted.is_empty() || entry.sender.is_empty() {
            // RFC 5321 §4.5.5: nobody is told of a notice's fate.
            return queue.settle(id, entry, row, &settled).await;
        }
        let reader = match self.reader(&entry.sender).await {
            Ok(reader) => reader,
            Err(why) => {
                tracing::warn!(
                    id = entry.mail,
                    sender = entry.sender,
                    ?why,
                    "a notice has no reader"
                );
                return queue.settle(id, entry, row, &settled).await;
            }
        };
        let (ops, unchanged) = queue.settling(id, entry, row, &settled)?;
        let original = queue.message(entry).await?;
        let (raw, envelope) = self.written(outgoing, entry, &wanted, &original);
        let also = Also {
            ops,
            asserts: vec![unchanged],
            beyond_quota: true,
        };
        let outcomes = self
            .deliver_also(raw, &envelope, &[reader], Answers::One, &also)
            .await;
        match outcomes.first() {
            Some(outcome) if outcome.is_taken() && *outcome != super::Outcome::Discarded => Ok(()),
            // A filter of the reader's wants nothing of it.
            Some(super::Outcome::Discarded | super::Outcome::Rejected(_)) => {
                queue.settle(id, entry, row, &settled).await
            }
            _ => {
                let mut later = match settled {
                    Settled::Waits(later) => later,
                    Settled::Gone => Box::new(Entry {
                        recipients: Vec::new(),
                        ..entry.clone()
                    }),
                };
                later.owed = wanted;
                let wait = outgoing.routes.load().schedule().wait(1, id.message);
                later.due = queue::schedule::later(queue.clock().now(), wait);
                queue.settle(id, entry, row, &Settled::Waits(later)).await
            }
        }
    }

    /// Who reads notices to a sender.
    async fn reader(&self, sender: &str) -> Result<Accepted, Refused> {
        let address = sender.rsplit_once('@');
        let local = address
            .map(|(local, _)| unquoted(local))
            .unwrap_or_default();
        let domain = address.map(|(_, domain)| domain).unwrap_or_default();
        let mut reader = self.accept(Some((&local, domain)), true, None).await?;
        // RFC 3461 §6.2: no notices about notices.
        reader.notify = Some(Notify::default());
        Ok(reader)
    }

    fn written(
        &self,
        outgoing: &Outgoing,
        entry: &Entry,
        fates: &[Fate],
        original: &Bytes,
    ) -> (Bytes, Envelope) {
        let now = outgoing.queue.clock().now();
        let id = crate::service::smtp_in::message_id();
        let notice = Notice {
            hostname: &outgoing.hostname,
            id: &id,
            now,
            entry,
            fates,
            original,
            whole: outgoing.routes.load().settings().notice_size.0,
        };
        let trace = format!(
            "Return-Path: <>\r\nReceived: by {} id {id};\r\n\t{}\r\n",
            outgoing.hostname,
            date(now)
        );
        let own = trace.find("\r\n").map_or(0, |end| end + 2);
        let raw = [trace.as_bytes(), &notice.compose()].concat().into();
        let envelope = Envelope {
            own,
            utf8: entry.utf8 || !entry.sender.is_ascii(),
            ..Envelope::new(id, "")
        };
        (raw, envelope)
    }
}

/// A local part without its quotes, as the directory knows it.
fn unquoted(local: &str) -> String {
    match local
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => local.to_owned(),
    }
}
