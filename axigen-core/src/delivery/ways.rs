//! Which mailboxes a message goes into: the accounts its recipients lead to, what
//! filters say for each of them, and where they send it on to.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use axigen_store::AccountId;
use bytes::Bytes;

use super::conclude::unquoted;
use super::track::{Step, Track};
use super::{
    ACCOUNTS_PER_MESSAGE, Accepted, Answers, Delivery, Envelope, Fullness, Outcome, Refused, Remote,
};
use crate::directory;
use crate::filter::{Disposition, Message, Recipient};
use crate::mailbox::{self, Flags, Place, Quota, Target, names};

/// How often in a row filters may send a message on before it stays where it is.
pub const REDIRECTS: usize = 10;

/// Addresses that are named in the log; beyond it they are counted.
const LOGGED: usize = 20;

/// An account that is to get the message, and which recipients lead to it.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) target: Target,
    pub(super) wanted: Vec<usize>,
    /// What is answered when it is full.
    pub(super) full: Fullness,
}

/// Where a message goes.
#[derive(Debug)]
pub(super) struct Ways<'r> {
    pub(super) plan: Vec<Planned>,
    /// Of recipients that get nothing, or have been dealt with.
    pub(super) outcomes: Vec<Option<Outcome>>,
    /// Where recipients lead, after filters have sent some of them on.
    pub(super) recipients: Cow<'r, [Accepted]>,
    pub(super) redirects: Vec<Redirected>,
}

impl<'r> Ways<'r> {
    /// Nothing is known yet.
    pub(super) fn undecided(recipients: &'r [Accepted]) -> Ways<'r> {
        Ways {
            plan: Vec::new(),
            outcomes: vec![None; recipients.len()],
            recipients: Cow::Borrowed(recipients),
            redirects: Vec::new(),
        }
    }
}

/// A recipient that a filter has sent on.
#[derive(Debug)]
pub(super) struct Redirected {
    at: usize,
    /// The account it was for.
    from: String,
    to: Vec<String>,
}

impl Redirected {
    /// A line of the log, if it has come to that.
    pub(super) fn track(
        &self,
        envelope: &Envelope,
        recipients: &[Accepted],
        outcomes: &[Option<Outcome>],
    ) {
        let outcome = outcomes.get(self.at).and_then(Option::as_ref);
        if !outcome.is_some_and(Outcome::is_taken) {
            return;
        }
        let named: Vec<&str> = self.to.iter().take(LOGGED).map(String::as_str).collect();
        let more = match self.to.len().saturating_sub(named.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let why = format!(
            "a filter of {} sends it on to {}{more}",
            self.from,
            named.join(", ")
        );
        let track = Track {
            id: &envelope.id,
            entry: None,
            sender: &envelope.sender,
            recipient: recipients.get(self.at).map_or("", |to| to.address.as_str()),
            host: None,
            tls: None,
            why: &why,
        };
        track.step(Step::Redirected);
    }
}

/// What filters have decided for an account.
#[derive(Debug)]
struct Decided {
    /// What the account itself gets: a place, or why there is none.
    keeps: Option<Result<Place, Outcome>>,
    on: Option<On>,
}

/// Where an account's mail is sent on to.
#[derive(Debug, Clone, Default)]
struct On {
    named: Vec<String>,
    deliveries: Vec<directory::Delivery>,
    remote: Vec<Remote>,
}

/// What one message's recipients lead to, as far as it is known.
struct Planning<'p> {
    delivery: &'p Delivery,
    message: Message,
    decided: BTreeMap<AccountId, Decided>,
    plan: BTreeMap<AccountId, Planned>,
    recipients: Cow<'p, [Accepted]>,
    redirects: Vec<Redirected>,
    /// What filters sent on: the recipient, where to, and how often it was sent on.
    more: VecDeque<(usize, directory::Delivery, usize)>,
    /// The accounts a recipient that was sent on has met.
    met: BTreeMap<usize, BTreeSet<AccountId>>,
    /// The account that was the first to send a recipient on.
    first: BTreeMap<usize, directory::Delivery>,
    /// Addresses elsewhere that filters have added.
    elsewhere: usize,
}

impl Delivery {
    /// Each account once, however many recipients lead to it. Recipients that
    /// get nothing have their outcome already.
    pub(super) async fn ways<'r>(
        &'r self,
        raw: &Bytes,
        recipients: &'r [Accepted],
        answers: Answers,
    ) -> Ways<'r> {
        let mut planning = Planning {
            delivery: self,
            message: Message::new(raw.clone()),
            decided: BTreeMap::new(),
            plan: BTreeMap::new(),
            recipients: Cow::Borrowed(recipients),
            redirects: Vec::new(),
            more: VecDeque::new(),
            met: BTreeMap::new(),
            first: BTreeMap::new(),
            elsewhere: 0,
        };
        for (at, recipient) in recipients.iter().enumerate() {
            for delivery in &recipient.deliveries {
                planning.step(at, delivery, 0).await;
            }
        }
        while let Some((at, delivery, times)) = planning.more.pop_front() {
            planning.step(at, &delivery, times).await;
        }
        planning.around_in_circles();
        planning.finish(answers)
    }

    /// What filters say of one account.
    async fn decide(
        &self,
        message: &Message,
        delivery: &directory::Delivery,
        times: usize,
        room: usize,
    ) -> Decided {
        let settings = delivery.settings.effective(&self.defaults.load());
        let only = |keeps| Decided {
            keeps: Some(keeps),
            on: None,
        };
        let size = message.raw().len() as u64;
        if settings.message_size.is_some_and(|most| size > most) {
            return only(Err(Outcome::AboveLimit));
        }
        let inbox = Place::Named(names::INBOX.into());
        let mut recipient = Recipient {
            address: delivery.address.clone(),
            account: Some(delivery.account),
        };
        match self.filters.pre_delivery(message, &mut recipient).await {
            Disposition::Continue => {}
            Disposition::FileInto(name) => {
                if let Ok(found) = self.mailboxes.find(delivery.account, &name).await {
                    return only(Ok(Place::Id(found.id)));
                }
                return only(Ok(match self.mailboxes.new_name(&name) {
                    Ok(name) => Place::Named(name),
                    Err(error) => {
                        tracing::warn!(name, %error, "a filter wants a folder that cannot be");
                        inbox
                    }
                }));
            }
            Disposition::Discard => return only(Err(Outcome::Discarded)),
            Disposition::Defer(_) => return only(Err(Outcome::Deferred)),
            // The peer still waits: refusing now makes the peer tell the sender.
            Disposition::Bounce(reply) => return only(Err(Outcome::Rejected(reply))),
            Disposition::Redirect(_) if times >= REDIRECTS => {
                let account = &delivery.address;
                tracing::warn!(account, "a message was sent on too often; it stays here");
            }
            Disposition::Redirect(addresses) => {
                return match self.sent_on(delivery, addresses, room).await {
                    Ok((on, itself)) => Decided {
                        keeps: itself.then_some(Ok(inbox)),
                        on: Some(on),
                    },
                    Err(Some(outcome)) => only(Err(outcome)),
                    // Better here than nowhere.
                    Err(None) => only(Ok(inbox)),
                };
            }
        }
        if let Some(detail) = &delivery.detail
            && settings.plus_folders
            && let Some(id) = self.folder(delivery.account, detail).await
        {
            return only(Ok(Place::Id(id)));
        }
        only(Ok(inbox))
    }

    /// Where the addresses that a filter names lead to, and whether the account
    /// itself is among them.
    ///
    /// # Errors
    /// Why the message cannot be sent on now; `None` if it never can.
    async fn sent_on(
        &self,
        from: &directory::Delivery,
        addresses: Vec<String>,
        room: usize,
    ) -> Result<(On, bool), Option<Outcome>> {
        let account = &from.address;
        let mut on = On::default();
        let mut itself = false;
        for address in addresses.into_iter().take(room.saturating_add(1)) {
            let (local, domain) = address.rsplit_once('@').unwrap_or_default();
            let local = unquoted(local);
            let to = match self.reachable(Some((&local, domain)), true).await {
                Ok(to) => to,
                Err(Refused::Failed) => return Err(Some(Outcome::Failed)),
                Err(why) => {
                    tracing::warn!(account, address, ?why, "a filter sends mail to nobody");
                    continue;
                }
            };
            for delivery in to.deliveries {
                if delivery.account == from.account {
                    itself = true;
                } else {
                    on.deliveries.push(delivery);
                }
            }
            on.remote.extend(to.remote);
            on.named.push(address);
        }
        let count = on.deliveries.len() + on.remote.len();
        if count > room {
            tracing::warn!(account, "a filter sends mail to too many; it stays here");
            return Err(None);
        }
        match count == 0 && !itself {
            true => Err(None),
            false => Ok((on, itself)),
        }
    }

    /// The folder a detail names, if it exists.
    async fn folder(&self, account: AccountId, detail: &str) -> Option<mailbox::MailboxId> {
        let name = names::normalise(detail).ok()?;
        let found = self.mailboxes.find_in_any_case(account, &name).await;
        found.ok().map(|found| found.id)
    }
}

impl<'p> Planning<'p> {
    /// How many more accounts and addresses the message may go to.
    fn room(&self) -> usize {
        let taken = self.plan.len() + self.more.len() + self.elsewhere;
        ACCOUNTS_PER_MESSAGE.saturating_sub(taken)
    }

    /// A recipient leads to an account, after filters have sent it on so often.
    async fn step(&mut self, at: usize, delivery: &directory::Delivery, times: usize) {
        let account = delivery.account;
        // Around in a circle.
        if times > 0 && !self.met.entry(at).or_default().insert(account) {
            return;
        }
        if !self.decided.contains_key(&account) {
            let room = self.room();
            let decided = self.delivery.decide(&self.message, delivery, times, room);
            let decided = decided.await;
            self.decided.insert(account, decided);
        }
        let Some(decided) = self.decided.get(&account) else {
            return;
        };
        let keeps = decided.keeps.clone();
        if let Some(on) = decided.on.clone() {
            self.send_on(at, delivery, on, times, keeps.is_some());
        }
        if let Some(place) = keeps {
            if times > 0 {
                self.leads_to(at, delivery);
            }
            self.wants(at, delivery, place.ok());
        }
    }

    /// A filter has sent a recipient on.
    fn send_on(
        &mut self,
        at: usize,
        from: &directory::Delivery,
        on: On,
        times: usize,
        keeps: bool,
    ) {
        self.met.entry(at).or_default().insert(from.account);
        self.first.entry(at).or_insert_with(|| from.clone());
        self.elsewhere += on.remote.len();
        let Some(to) = self.recipients.to_mut().get_mut(at) else {
            return;
        };
        if !keeps {
            to.deliveries.retain(|known| known.account != from.account);
        }
        if !on.remote.is_empty() && to.hands_on.is_none() {
            let domain = from.address.rsplit_once('@').map(|(_, domain)| domain);
            to.hands_on = domain.map(str::to_lowercase);
        }
        to.remote.extend(on.remote);
        let deliveries = on.deliveries.into_iter();
        self.more
            .extend(deliveries.map(|delivery| (at, delivery, times + 1)));
        self.redirects.push(Redirected {
            at,
            from: from.address.clone(),
            to: on.named,
        });
    }

    /// A recipient leads to an account that it did not lead to before.
    fn leads_to(&mut self, at: usize, delivery: &directory::Delivery) {
        if let Some(to) = self.recipients.to_mut().get_mut(at)
            && !to
                .deliveries
                .iter()
                .any(|of| of.account == delivery.account)
        {
            to.deliveries.push(delivery.clone());
        }
    }

    /// A recipient wants an account to have the message, in this place.
    fn wants(&mut self, at: usize, delivery: &directory::Delivery, place: Option<Place>) {
        let account = delivery.account;
        if let Some(planned) = self.plan.get_mut(&account) {
            planned.wanted.push(at);
            return;
        }
        let settings = delivery.settings.effective(&self.delivery.defaults.load());
        let target = Target {
            account,
            mailbox: place.unwrap_or_else(|| Place::Named(names::INBOX.into())),
            flags: Flags::default(),
            quota: settings.quota,
        };
        let planned = Planned {
            target,
            wanted: vec![at],
            full: Fullness::of(&settings),
        };
        self.plan.insert(account, planned);
    }

    /// What filters have sent on until nobody was left: who was the first keeps it.
    fn around_in_circles(&mut self) {
        for (at, delivery) in std::mem::take(&mut self.first) {
            let led = self.recipients.get(at);
            if led.is_none_or(|to| to.accounts() > 0) {
                continue;
            }
            let account = &delivery.address;
            tracing::warn!(account, "filters send a message around; it stays here");
            let inbox = Place::Named(names::INBOX.into());
            let keeps = Decided {
                keeps: Some(Ok(inbox.clone())),
                on: None,
            };
            self.decided.insert(delivery.account, keeps);
            self.redirects.retain(|redirected| redirected.at != at);
            self.leads_to(at, &delivery);
            self.wants(at, &delivery, Some(inbox));
        }
    }

    fn finish(self, answers: Answers) -> Ways<'p> {
        let Planning {
            decided,
            mut plan,
            recipients,
            redirects,
            ..
        } = self;
        let mut outcomes: Vec<Option<Outcome>> = vec![None; recipients.len()];
        for (account, planned) in &plan {
            // A discard stops nobody else.
            if let Some(Some(Err(outcome))) = decided.get(account).map(|of| &of.keeps)
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
            return Ways {
                plan: Vec::new(),
                outcomes: vec![Some(outcome); recipients.len()],
                recipients,
                redirects,
            };
        }
        let stopped: BTreeSet<usize> = (0..outcomes.len())
            .filter(|&at| outcomes.get(at).is_some_and(Option::is_some))
            .collect();
        plan.retain(|account, planned| {
            planned.wanted.retain(|at| !stopped.contains(at));
            let keeps = decided.get(account).and_then(|of| of.keeps.as_ref());
            keeps.is_some_and(Result::is_ok) && !planned.wanted.is_empty()
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
        Ways {
            plan,
            outcomes,
            recipients,
            redirects,
        }
    }
}
