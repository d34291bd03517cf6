//! The mailboxes a message goes into, and the message into them: one content,
//! one batch.

use std::collections::{BTreeMap, BTreeSet};

use axigen_proto::smtp::reply::Reply;
use axigen_store::AccountId;
use bytes::Bytes;

use super::{Accepted, Delivery};
use crate::directory;
use crate::filter::{Disposition, Message, Recipient};
use crate::mailbox::{self, Flags, NewMessage, Place, Quota, Target, names};
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
        matches!(self, Outcome::Delivered | Outcome::Discarded)
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
        recipients: &[Accepted],
        answers: Answers,
    ) -> Vec<Outcome> {
        let (plan, mut outcomes) = self.plan(&raw, recipients, answers).await;
        self.append(raw, plan, &mut outcomes).await;
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
            if slot.is_none() && !delivered.contains(&at) {
                *slot = Some(Outcome::Discarded);
            }
        }
        let one_account = plan.len() == 1;
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
    async fn append(&self, raw: Bytes, mut plan: Vec<Planned>, outcomes: &mut [Option<Outcome>]) {
        let message = NewMessage {
            internal_date: jiff::Timestamp::now().as_second(),
            internal_zone: 0,
            raw,
        };
        self.leave_out_full(&message, &mut plan, outcomes).await;
        let mut to_inbox = false;
        while !plan.is_empty() {
            let targets: Vec<Target> = plan.iter().map(|planned| planned.target.clone()).collect();
            let error = match self.mailboxes.append(message.clone(), &targets).await {
                Ok(_) => {
                    for planned in plan {
                        set(outcomes, &planned.wanted, &Outcome::Delivered);
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
            return;
        }
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
                tracing::warn!("a filter redirects, but nothing is sent to other hosts yet");
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
