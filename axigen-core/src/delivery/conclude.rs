//! An entry of the queue settled, and its sender told, in one batch.

use bytes::Bytes;
use jiff::Timestamp;

use super::headers::date;
use super::notice::Notice;
use super::plan::Also;
use super::{Accepted, Answers, Delivery, Envelope, Outcome, Outgoing, Refused};
use crate::queue::entry::{Action, Entry, EntryId, Fate, Notify, Said};
use crate::queue::schedule::later;
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

/// Whether a sender was told.
enum Told {
    /// In the batch that settled the entry.
    Sender,
    /// There is nobody to be told; nothing is settled yet.
    Nobody,
    /// It cannot be stored now; nothing is settled yet.
    NotYet,
}

/// What a sender hears of mail that an administrator sends back, if nothing
/// else is said.
const SENT_BACK: &str = "an administrator of this server has taken it out of the queue";

/// Longest reason of an administrator's, in bytes.
pub const LONGEST_REASON: usize = 500;

impl Delivery {
    /// Sends an entry back now: its sender is told, in the standard's form, that
    /// it failed for all who have not got it, and it is gone. Whoever asked for
    /// no notices gets none. `why` stands in the notice, cut at
    /// [`LONGEST_REASON`]. Gives the entry as it was.
    ///
    /// # Errors
    /// [`queue::Error::NotFound`], [`queue::Error::Busy`], [`queue::Error::Store`];
    /// [`queue::Error::NotSending`] where mail does not go out at all.
    pub async fn bounce(&self, id: EntryId, why: Option<&str>) -> queue::Result<Entry> {
        let outgoing = self.outgoing().ok_or(queue::Error::NotSending)?;
        let queue = &outgoing.queue;
        let claim = queue.take(id)?;
        let (entry, row) = queue.read(id).await?;
        let why = why.unwrap_or(SENT_BACK);
        let end = why.floor_char_boundary(LONGEST_REASON);
        let said = Said {
            // RFC 3463 §3.1: X.0.0 where only the class is known.
            status: (5, 0, 0).into(),
            words: why.get(..end).unwrap_or_default().to_owned(),
            remote: false,
        };
        let fates = entry.recipients.iter().map(|recipient| Fate {
            recipient: recipient.clone(),
            action: Action::Failed,
            said: said.clone(),
            host: None,
        });
        let conclusion = Conclusion {
            id,
            entry: &entry,
            row: &row,
            fates: fates.collect(),
            settled: Settled::Gone,
        };
        let due = self.conclude(conclusion).await;
        drop(claim);
        // Also if it stays, or what is owed: who dispatches may have passed it by.
        queue.stir();
        due?;
        tracing::info!(id = entry.mail, entry = %id, sender = entry.sender, why, "a message was sent back");
        Ok(entry)
    }

    /// Settles an entry, and says when it is due again, if it is. Whoever is to
    /// be told gets the notice in the same batch; if the notice cannot be stored
    /// now, the entry keeps what is owed.
    ///
    /// # Errors
    /// Of the store; the entry is as it was.
    pub(crate) async fn conclude(
        &self,
        conclusion: Conclusion<'_>,
    ) -> queue::Result<Option<Timestamp>> {
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
        let told = match wanted.is_empty() || entry.sender.is_empty() {
            // RFC 5321 §4.5.5: nobody is told of a notice's fate.
            true => Told::Nobody,
            false => {
                let (ops, unchanged) = queue.settling(id, entry, row, &settled)?;
                let also = Also {
                    ops,
                    asserts: vec![unchanged],
                    beyond_quota: true,
                };
                self.tell(outgoing, entry, &wanted, &also).await?
            }
        };
        let schedule = outgoing.routes.load().schedule();
        let now = queue.clock().now();
        let settled = match told {
            Told::Sender => {
                queue.left(entry, &settled);
                return Ok(settled.due());
            }
            Told::Nobody => settled,
            Told::NotYet if now >= later(entry.expires, schedule.expire_notice) => {
                tracing::error!(
                    id = entry.mail,
                    sender = entry.sender,
                    "a sender could not be told for too long"
                );
                settled
            }
            Told::NotYet => {
                let mut owing = match settled {
                    Settled::Waits(waiting) => waiting,
                    Settled::Gone => Box::new(Entry {
                        recipients: Vec::new(),
                        ..entry.clone()
                    }),
                };
                owing.owed = wanted;
                owing.due = later(now, schedule.wait(1, id.message));
                Settled::Waits(owing)
            }
        };
        queue.settle(id, entry, row, &settled).await?;
        Ok(settled.due())
    }

    /// Tells the sender, and does the rest of the batch, if that can be.
    async fn tell(
        &self,
        outgoing: &Outgoing,
        entry: &Entry,
        fates: &[Fate],
        also: &Also,
    ) -> queue::Result<Told> {
        let reader = match self.reader(&entry.sender).await {
            Ok(reader) => reader,
            Err(Refused::Failed) => return Ok(Told::NotYet),
            Err(why) => {
                tracing::warn!(
                    id = entry.mail,
                    sender = entry.sender,
                    ?why,
                    "a notice has no reader"
                );
                return Ok(Told::Nobody);
            }
        };
        let original = match outgoing.queue.message(entry).await {
            Ok(original) => original,
            // Then its sender hears of it without seeing it again.
            Err(error) if error.is_damage() => Bytes::new(),
            Err(error) => return Err(error),
        };
        let recipients = [reader];
        let whole = outgoing.routes.load().settings().notice_size.0;
        // Where the whole is too much, the header will do.
        for whole in [Some(whole), None] {
            let (raw, envelope) = self.written(outgoing, entry, fates, &original, whole);
            let outcomes = self
                .deliver_also(raw, &envelope, &recipients, Answers::One, also)
                .await;
            return Ok(match outcomes.first() {
                Some(Outcome::Delivered | Outcome::Queued) => Told::Sender,
                // A filter of the reader's wants nothing of it.
                Some(Outcome::Discarded | Outcome::Rejected(_)) => Told::Nobody,
                Some(Outcome::AboveLimit | Outcome::TooLarge) if whole.is_some() => continue,
                _ => Told::NotYet,
            });
        }
        Ok(Told::NotYet)
    }

    /// Who reads notices to a sender.
    async fn reader(&self, sender: &str) -> Result<Accepted, Refused> {
        let address = sender.rsplit_once('@');
        let local = address
            .map(|(local, _)| unquoted(local))
            .unwrap_or_default();
        let domain = address.map(|(_, domain)| domain).unwrap_or_default();
        let mut reader = self.reachable(Some((&local, domain)), true).await?;
        // RFC 3461 §6.1: no notices about notices.
        reader.notify = Some(Notify::default());
        Ok(reader)
    }

    fn written(
        &self,
        outgoing: &Outgoing,
        entry: &Entry,
        fates: &[Fate],
        original: &Bytes,
        whole: Option<u64>,
    ) -> (Bytes, Envelope) {
        let now = outgoing.queue.clock().now();
        let routes = outgoing.routes.load();
        let hostname = routes.hostname();
        let id = crate::service::smtp_in::message_id();
        // RFC 8689 §5: what is said of a message that requires TLS requires it too, and
        // returns none of its content.
        let whole = whole.filter(|_| !entry.require_tls);
        let notice = Notice {
            hostname,
            id: &id,
            now,
            entry,
            fates,
            original,
            whole,
        };
        let trace = format!(
            "Return-Path: <>\r\nReceived: by {} id {id};\r\n\t{}\r\n",
            hostname,
            date(now)
        );
        let own = trace.find("\r\n").map_or(0, |end| end + 2);
        let raw = [trace.as_bytes(), &notice.compose()].concat().into();
        let envelope = Envelope {
            own,
            require_tls: entry.require_tls,
            utf8: entry.utf8 || !entry.sender.is_ascii(),
            ..Envelope::new(id, "")
        };
        (raw, envelope)
    }
}

/// A local part without its quotes, as the directory knows it.
pub(super) fn unquoted(local: &str) -> String {
    match local
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => local.to_owned(),
    }
}
