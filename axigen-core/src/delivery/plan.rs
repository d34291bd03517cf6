//! A message into the mailboxes it goes to: one content, one batch.

use std::collections::BTreeSet;

use axigen_proto::smtp::reply::Reply;
use axigen_store::{AccountId, BlobRef, Expect, Key, Op, Part};
use bytes::Bytes;

use super::envelope::Senders;
use super::ways::{Planned, Ways};
use super::{Accepted, Delivery, Envelope, Failure, Fullness};
use crate::mailbox::{self, Flags, NewMessage, Place, Quota, SpecialUse, Target, names};
use crate::queue;
use crate::queue::entry::Fate;

/// How many answers the peer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// One for all recipients (SMTP). So it is all or nothing: a message that
    /// one recipient cannot get goes to nobody, and the peer or its user learns
    /// of it. Only a quota does not stop it: with several accounts, those that
    /// were not full at RCPT get the message even if that fills them beyond it.
    One,
    /// One for each recipient (LMTP). A recipient that cannot get the message
    /// is left out. Accounts that share a recipient (an alias) share its fate.
    Each,
}

/// What became of the message for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is safe on disk.
    Delivered,
    /// It is safe on disk, and travels on.
    Queued,
    /// A filter threw it away for this recipient.
    Discarded,
    /// A filter refused it, with these words.
    Rejected(Reply),
    /// A filter wants it later.
    Deferred,
    /// The account is full.
    OverQuota(Failure),
    /// The account takes no message of this size.
    AboveLimit,
    /// The disk is full.
    Full,
    /// The store cannot take a message of this size.
    TooLarge,
    /// Something failed; trying again later may help.
    Failed,
}

impl Outcome {
    /// Whether we answer for the message from now on.
    pub fn is_taken(&self) -> bool {
        matches!(
            self,
            Outcome::Delivered | Outcome::Queued | Outcome::Discarded
        )
    }
}

/// What else a batch does in the system's range.
#[derive(Debug, Clone, Default)]
pub(super) struct Also {
    pub(super) ops: Vec<Op>,
    pub(super) asserts: Vec<(Key, Expect)>,
    /// A notice arrives, however full its reader's account is.
    pub(super) beyond_quota: bool,
}

/// A message that is to be put where it goes.
struct Letter<'l> {
    raw: &'l Bytes,
    envelope: &'l Envelope,
    recipients: &'l [Accepted],
    /// Recipients that lead elsewhere too.
    travels: Vec<&'l Accepted>,
    senders: Senders,
    /// Nobody gets it now.
    waits: bool,
    also: &'l Also,
}

impl Letter<'_> {
    /// What the sender is told at once of recipients whose outcome is open: they
    /// get the message now.
    fn told(&self, outcomes: &[Option<Outcome>]) -> Vec<Fate> {
        if self.envelope.sender.is_empty() || self.waits {
            return Vec::new();
        }
        let open = self.recipients.iter().zip(outcomes);
        open.filter(|(_, outcome)| outcome.is_none())
            .filter_map(|(to, _)| to.fate())
            .collect()
    }
}

impl Delivery {
    /// Puts a message into the mailboxes of all recipients, in one batch. The
    /// outcomes are in the order of the recipients; `Delivered` means it is
    /// durable. `raw` is the whole message with its trace headers.
    pub async fn deliver(
        &self,
        raw: Bytes,
        envelope: &Envelope,
        recipients: &[Accepted],
        answers: Answers,
    ) -> Vec<Outcome> {
        let none = Also::default();
        let outcomes = self
            .deliver_also(raw.clone(), envelope, recipients, answers, &none)
            .await;
        if let Some(reports) = self.reports.load_full() {
            let each = recipients.iter().zip(&outcomes);
            let taken = each.filter(|(_, outcome)| outcome.is_taken());
            reports.delivered(&raw, taken.map(|(to, _)| to.address.as_str()));
        }
        outcomes
    }

    /// [`deliver`](Delivery::deliver), and something else in the same batch.
    pub(super) async fn deliver_also(
        &self,
        raw: Bytes,
        envelope: &Envelope,
        recipients: &[Accepted],
        answers: Answers,
        also: &Also,
    ) -> Vec<Outcome> {
        let outgoing = self.outgoing();
        let waits = outgoing.is_some_and(|outgoing| envelope.waits(outgoing));
        let Ways {
            mut plan,
            mut outcomes,
            recipients,
            redirects,
        } = match waits {
            true => Ways::undecided(recipients),
            false => self.ways(&raw, recipients, answers).await,
        };
        let recipients = recipients.as_ref();
        // Whose outcome is open has local mailboxes, addresses elsewhere, or both.
        let travels: Vec<&Accepted> = recipients
            .iter()
            .zip(&outcomes)
            .filter(|(to, outcome)| (waits || !to.remote.is_empty()) && outcome.is_none())
            .map(|(to, _)| to)
            .collect();
        let senders = match outgoing {
            Some(outgoing) => {
                let travel = travels.iter().copied();
                match self.senders(outgoing, &envelope.sender, travel).await {
                    Ok(senders) => senders,
                    Err(error) => {
                        tracing::error!(%error, "senders could not be rewritten");
                        return vec![Outcome::Failed; recipients.len()];
                    }
                }
            }
            None => Senders::default(),
        };
        let letter = Letter {
            raw: &raw,
            envelope,
            recipients,
            travels,
            senders,
            waits,
            also,
        };
        if outcomes.iter().any(Option::is_none)
            && let Some((account, quota)) = envelope.sent_copy
        {
            plan.extend(self.sent_copy(account, quota).await);
        }
        self.append(&letter, plan, &mut outcomes).await;
        for (to, outcome) in recipients.iter().zip(&mut outcomes) {
            if *outcome == Some(Outcome::Delivered) && (waits || !to.remote.is_empty()) {
                *outcome = Some(Outcome::Queued);
            }
        }
        for redirect in redirects {
            redirect.track(envelope, recipients, &outcomes);
        }
        outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or(Outcome::Failed))
            .collect()
    }

    /// One append. Who is over quota is left out; everybody else is served.
    async fn append(
        &self,
        letter: &Letter<'_>,
        mut plan: Vec<Planned>,
        outcomes: &mut [Option<Outcome>],
    ) {
        let message = NewMessage {
            internal_date: jiff::Timestamp::now().as_second(),
            internal_zone: 0,
            raw: letter.raw.clone(),
        };
        if letter.also.beyond_quota {
            for planned in &mut plan {
                planned.target.quota = Quota::NONE;
            }
        }
        self.leave_out_full(&message, &mut plan, outcomes).await;
        let mut to_inbox = false;
        while !plan.is_empty() || !letter.travels.is_empty() {
            let targets: Vec<Target> = plan.iter().map(|planned| planned.target.clone()).collect();
            let told = letter.told(outcomes);
            let error = match self.commit(letter, &message, &targets, &told).await {
                Ok(()) => {
                    for planned in plan {
                        set(outcomes, &planned.wanted, &Outcome::Delivered);
                    }
                    for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
                        *outcome = Some(Outcome::Delivered);
                    }
                    return;
                }
                Err(error) => error,
            };
            let outcome = match error {
                mailbox::Error::OverQuota { target } if target < plan.len() => {
                    let planned = plan.remove(target);
                    let failure = self.over_quota(planned.target.account, planned.full).await;
                    set(outcomes, &planned.wanted, &Outcome::OverQuota(failure));
                    continue;
                }
                mailbox::Error::Store(axigen_store::Error::Full) => Outcome::Full,
                mailbox::Error::Store(axigen_store::Error::TooLarge(_)) => Outcome::TooLarge,
                mailbox::Error::Store(_) => Outcome::Failed,
                // A folder that went away a moment ago or cannot be made:
                // everybody has an INBOX.
                _ if !to_inbox => {
                    tracing::warn!(%error, "a message goes into INBOX instead of a folder");
                    to_inbox = true;
                    for planned in &mut plan {
                        planned.target.mailbox = Place::Named(names::INBOX.into());
                    }
                    continue;
                }
                _ => Outcome::Failed,
            };
            tracing::error!(%error, "a message could not be stored");
            for planned in plan {
                set(outcomes, &planned.wanted, &outcome);
            }
            for slot in outcomes.iter_mut().filter(|slot| slot.is_none()) {
                *slot = Some(outcome.clone());
            }
            return;
        }
    }

    /// The batch: mailboxes, the queue, and what else there is.
    async fn commit(
        &self,
        letter: &Letter<'_>,
        message: &NewMessage,
        targets: &[Target],
        told: &[Fate],
    ) -> mailbox::Result<()> {
        let raw = letter.raw;
        let alone = letter.travels.is_empty() && letter.also.ops.is_empty() && told.is_empty();
        let outgoing = match self.outgoing() {
            Some(outgoing) if !alone => outgoing,
            _ => {
                self.mailboxes.append(message.clone(), targets).await?;
                return Ok(());
            }
        };
        let entries = |content: &BlobRef| {
            let recipients = letter.travels.iter().copied();
            let senders = &letter.senders;
            letter
                .envelope
                .entries(outgoing, recipients, senders, told, raw, content)
        };
        let asserts = letter.also.asserts.clone();
        if targets.is_empty() {
            return outgoing
                .queue
                .enqueue(raw.clone(), entries, letter.also.ops.clone(), asserts)
                .await
                .map_err(of_store);
        }
        // Made once: what is queued is what the dispatcher hears of.
        let made = std::sync::Mutex::new(Vec::new());
        let beside = |content: &BlobRef| {
            let entries = entries(content);
            let mut ops = letter.also.ops.clone();
            ops.extend(outgoing.queue.additions(&entries).map_err(to_store)?);
            if let Ok(mut made) = made.lock() {
                *made = entries;
            }
            Ok(Part {
                account: AccountId::SYSTEM,
                asserts: asserts.clone(),
                ops,
                advance: false,
            })
        };
        let part = self
            .mailboxes
            .append_beside(message.clone(), targets, &beside)
            .await?;
        let entries = made.into_inner().unwrap_or_default();
        outgoing.queue.note_queued(&entries).await;
        outgoing.queue.added(&part, entries, raw);
        Ok(())
    }

    /// Looks once, so that many full accounts do not cost many appends.
    async fn leave_out_full(
        &self,
        message: &NewMessage,
        plan: &mut Vec<Planned>,
        outcomes: &mut [Option<Outcome>],
    ) {
        let size = message.raw.len() as u64;
        let mut full = BTreeSet::new();
        for planned in plan.iter() {
            let quota = planned.target.quota;
            if quota != Quota::NONE
                && let Ok(held) = self.mailboxes.usage(planned.target.account).await
                && !quota.admits(held, (size, 1))
            {
                full.insert(planned.target.account);
                let failure = self.over_quota(planned.target.account, planned.full).await;
                set(outcomes, &planned.wanted, &Outcome::OverQuota(failure));
            }
        }
        plan.retain(|planned| !full.contains(&planned.target.account));
    }

    /// A copy for who sent it, if there is room for one.
    async fn sent_copy(&self, account: AccountId, quota: Quota) -> Option<Planned> {
        let all = match self.mailboxes.list(account).await {
            Ok(all) => all,
            Err(error) => {
                tracing::error!(%error, "the mailbox for sent mail was not found");
                return None;
            }
        };
        let sent = all
            .iter()
            .find(|of| of.special_use == Some(SpecialUse::Sent));
        let sent = sent.map_or_else(|| Place::Named("Sent".into()), |of| Place::Id(of.id));
        Some(Planned {
            target: Target {
                account,
                mailbox: sent,
                flags: Flags::new(Flags::SEEN, Vec::new()),
                quota,
            },
            wanted: Vec::new(),
            full: Fullness::default(),
        })
    }
}

/// A failure of the queue as one of the store.
fn to_store(error: queue::Error) -> axigen_store::Error {
    match error {
        queue::Error::Store(error) => error,
        other => axigen_store::Error::Corrupt(other.to_string()),
    }
}

fn of_store(error: queue::Error) -> mailbox::Error {
    to_store(error).into()
}

/// What is worse stays: a recipient that leads to several accounts is
/// delivered when all of them are.
fn set(outcomes: &mut [Option<Outcome>], wanted: &[usize], outcome: &Outcome) {
    for &at in wanted {
        if let Some(slot) = outcomes.get_mut(at)
            && slot.as_ref().is_none_or(Outcome::is_taken)
        {
            *slot = Some(outcome.clone());
        }
    }
}
