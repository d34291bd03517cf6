//! The mailboxes a message goes into, and the message into them: one content,
//! one batch.

use std::collections::{BTreeMap, BTreeSet};

use axigen_proto::smtp::reply::Reply;
use axigen_store::{AccountId, BlobRef, Expect, Key, Op, Part};
use bytes::Bytes;

use super::envelope::Senders;
use super::{Accepted, Delivery, Envelope};
use crate::directory;
use crate::filter::{Disposition, Message, Recipient};
use crate::mailbox::{self, Flags, NewMessage, Place, Quota, SpecialUse, Target, names};
use crate::queue;
use crate::queue::entry::Fate;
use crate::settings::OverQuota;

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
    /// The account is full; what the sender is to make of it.
    OverQuota(OverQuota),
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

/// An account that is to get the message, and which recipients lead to it.
#[derive(Debug)]
struct Planned {
    target: Target,
    wanted: Vec<usize>,
    over_quota: OverQuota,
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
        if let Some(reports) = &self.reports {
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
        let outgoing = self.outgoing.as_ref();
        let waits = outgoing.is_some_and(|outgoing| envelope.waits(outgoing));
        let (mut plan, mut outcomes) = match waits {
            true => (Vec::new(), vec![None; recipients.len()]),
            false => self.plan(&raw, recipients, answers).await,
        };
        // Whose outcome is open has local mailboxes, addresses elsewhere, or both.
        let travels: Vec<&Accepted> = recipients
            .iter()
            .zip(&outcomes)
            .filter(|(to, outcome)| (waits || !to.remote.is_empty()) && outcome.is_none())
            .map(|(to, _)| to)
            .collect();
        let senders = match &self.outgoing {
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
        outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or(Outcome::Failed))
            .collect()
    }

    /// Each account once, however many recipients lead to it. Recipients that
    /// get nothing have their outcome already.
    async fn plan(
        &self,
        raw: &Bytes,
        recipients: &[Accepted],
        answers: Answers,
    ) -> (Vec<Planned>, Vec<Option<Outcome>>) {
        let message = Message::new(raw.clone());
        let mut places: BTreeMap<AccountId, Result<Place, Outcome>> = BTreeMap::new();
        let mut plan: BTreeMap<AccountId, Planned> = BTreeMap::new();
        for (at, recipient) in recipients.iter().enumerate() {
            for delivery in &recipient.deliveries {
                if let Some(planned) = plan.get_mut(&delivery.account) {
                    planned.wanted.push(at);
                    continue;
                }
                let settings = delivery.settings.effective(&self.defaults);
                let size = raw.len() as u64;
                let place = match settings.message_size.is_some_and(|most| size > most) {
                    true => Err(Outcome::AboveLimit),
                    false => self.place(&message, delivery).await,
                };
                let mailbox = match &place {
                    Ok(place) => place.clone(),
                    Err(_) => Place::Named(names::INBOX.into()),
                };
                places.insert(delivery.account, place);
                let target = Target {
                    account: delivery.account,
                    mailbox,
                    flags: Flags::default(),
                    quota: settings.quota,
                };
                let planned = Planned {
                    target,
                    wanted: vec![at],
                    over_quota: settings.over_quota,
                };
                plan.insert(delivery.account, planned);
            }
        }
        let mut outcomes: Vec<Option<Outcome>> = vec![None; recipients.len()];
        for (account, planned) in &plan {
            // A discard stops nobody else.
            if let Some(Err(outcome)) = places.get(account)
                && !outcome.is_taken()
            {
                for &at in &planned.wanted {
                    if let Some(slot @ None) = outcomes.get_mut(at) {
                        *slot = Some(outcome.clone());
                    }
                }
            }
        }
        if answers == Answers::One
            && let Some(outcome) = outcomes.iter().flatten().next().cloned()
        {
            return (Vec::new(), vec![Some(outcome); recipients.len()]);
        }
        let stopped: BTreeSet<usize> = (0..outcomes.len())
            .filter(|&at| outcomes.get(at).is_some_and(Option::is_some))
            .collect();
        plan.retain(|account, planned| {
            planned.wanted.retain(|at| !stopped.contains(at));
            matches!(places.get(account), Some(Ok(_))) && !planned.wanted.is_empty()
        });
        let delivered: BTreeSet<usize> = plan
            .values()
            .flat_map(|planned| planned.wanted.iter().copied())
            .collect();
        for (at, slot) in outcomes.iter_mut().enumerate() {
            let travels = recipients.get(at).is_some_and(|to| !to.remote.is_empty());
            if slot.is_none() && !delivered.contains(&at) && !travels {
                *slot = Some(Outcome::Discarded);
            }
        }
        let travels = recipients.iter().any(|to| !to.remote.is_empty());
        let one_account = plan.len() == 1 && !travels;
        let mut plan: Vec<Planned> = plan.into_values().collect();
        for planned in &mut plan {
            // Where an answer stands for several accounts, one that is full
            // must not keep the others from it, and none may be left out.
            let alone = |&at: &usize| recipients.get(at).is_some_and(|to| to.accounts() == 1);
            let has_answer = match answers {
                Answers::One => one_account,
                Answers::Each => planned.wanted.iter().all(alone),
            };
            if !has_answer {
                planned.target.quota = Quota::NONE;
            }
        }
        (plan, outcomes)
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
                    set(
                        outcomes,
                        &planned.wanted,
                        &Outcome::OverQuota(planned.over_quota),
                    );
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
        let outgoing = match &self.outgoing {
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
                set(
                    outcomes,
                    &planned.wanted,
                    &Outcome::OverQuota(planned.over_quota),
                );
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
            over_quota: OverQuota::default(),
        })
    }

    /// The mailbox an account's copy goes into, or why there is none.
    async fn place(
        &self,
        message: &Message,
        delivery: &directory::Delivery,
    ) -> Result<Place, Outcome> {
        let inbox = Place::Named(names::INBOX.into());
        let mut recipient = Recipient {
            address: delivery.address.clone(),
            account: Some(delivery.account),
        };
        match self.filters.pre_delivery(message, &mut recipient).await {
            Disposition::Continue => {}
            Disposition::FileInto(name) => {
                if let Ok(found) = self.mailboxes.find(delivery.account, &name).await {
                    return Ok(Place::Id(found.id));
                }
                return Ok(match self.mailboxes.new_name(&name) {
                    Ok(name) => Place::Named(name),
                    Err(error) => {
                        tracing::warn!(name, %error, "a filter wants a folder that cannot be");
                        inbox
                    }
                });
            }
            Disposition::Discard => return Err(Outcome::Discarded),
            Disposition::Defer(_) => return Err(Outcome::Deferred),
            // The peer still waits: refusing now makes the peer tell the sender.
            Disposition::Bounce(reply) => return Err(Outcome::Rejected(reply)),
            Disposition::Redirect(_) => {
                tracing::warn!("a filter redirects, which is not done yet");
                return Err(Outcome::Deferred);
            }
        }
        if let Some(detail) = &delivery.detail
            && delivery.settings.effective(&self.defaults).plus_folders
            && let Some(id) = self.folder(delivery.account, detail).await
        {
            return Ok(Place::Id(id));
        }
        Ok(inbox)
    }

    /// The folder a detail names, if it exists.
    async fn folder(&self, account: AccountId, detail: &str) -> Option<mailbox::MailboxId> {
        let name = names::normalise(detail).ok()?;
        let found = self.mailboxes.find_in_any_case(account, &name).await;
        found.ok().map(|found| found.id)
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
