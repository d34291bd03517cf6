//! The delivery plan: from an envelope to the mailboxes a message goes into.
//!
//! Recipients are resolved while the peer waits for each RCPT; when the
//! message is complete, one append puts it into every mailbox, each account
//! once, and only then is it acknowledged.

pub mod headers;

use std::collections::BTreeMap;

use axigen_store::AccountId;
use bytes::Bytes;

use crate::directory::{self, Directory, Resolution};
use crate::filter::{Chain, Disposition, Message, Recipient};
use crate::mailbox::{self, Flags, Mailboxes, NewMessage, Place, Target};
use crate::settings::AccountSettings;

/// Delivers messages to local mailboxes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Delivery {
    mailboxes: Mailboxes,
    directory: Directory,
    filters: Chain,
    /// What accounts inherit from the server.
    defaults: AccountSettings,
}

/// Why a recipient is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// 550 5.1.1
    NoSuchUser,
    /// 550 5.2.1
    Disabled,
    /// 550 5.7.1: not ours, and the peer has not logged in.
    Relay,
    /// 550 5.1.2: not ours, and nothing is sent to other hosts yet.
    NoOutgoing,
    /// 452 4.2.2
    OverQuota,
    /// 452 4.5.3: an alias leads to too many.
    AliasTooLarge,
    /// 451 4.3.0
    Failed,
}

/// A recipient that was taken: the accounts it leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The address as the peer gave it.
    pub address: String,
    deliveries: Vec<directory::Delivery>,
}

/// What became of the message for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is safe on disk.
    Delivered,
    /// A filter threw it away for this recipient.
    Discarded,
    /// A filter refused it.
    Rejected,
    /// A filter wants it later.
    Deferred,
    /// The account is full.
    OverQuota,
    /// The disk is full.
    Full,
    /// Something failed; trying again later may help.
    Failed,
}

impl Delivery {
    /// Delivers into these mailboxes.
    pub fn new(
        mailboxes: Mailboxes,
        directory: Directory,
        filters: Chain,
        defaults: AccountSettings,
    ) -> Delivery {
        Delivery {
            mailboxes,
            directory,
            filters,
            defaults,
        }
    }

    /// Whether mail for an address is taken. `local` and `domain` are as the
    /// peer gave them; `None` is `<Postmaster>` without a domain.
    /// `size` is what the client declared.
    pub async fn accept(
        &self,
        address: Option<(&str, &str)>,
        authenticated: bool,
        size: Option<u64>,
    ) -> Result<Accepted, Refused> {
        let resolved = match address {
            Some((local, domain)) => self.directory.resolve(local, domain).await,
            None => self.directory.resolve_postmaster().await,
        };
        let deliveries = match resolved {
            Ok(Resolution::Found { local, .. }) if !local.is_empty() => local,
            // An alias to other hosts only.
            Ok(Resolution::Found { .. }) => return Err(Refused::NoOutgoing),
            Ok(Resolution::NoSuchUser) => return Err(Refused::NoSuchUser),
            Ok(Resolution::Disabled) => return Err(Refused::Disabled),
            Ok(Resolution::NotLocal) if authenticated => return Err(Refused::NoOutgoing),
            Ok(Resolution::NotLocal) => return Err(Refused::Relay),
            Err(directory::Error::AliasTooLarge) => return Err(Refused::AliasTooLarge),
            Err(error) => {
                tracing::error!(%error, "a recipient could not be resolved");
                return Err(Refused::Failed);
            }
        };
        // One recipient, one account that is full already: say so before the
        // message comes. The store decides for good when it is appended.
        if let [only] = deliveries.as_slice()
            && let Some(quota) = only.settings.effective(&self.defaults).quota
        {
            match self.mailboxes.usage(only.account).await {
                Ok((bytes, _)) if bytes.saturating_add(size.unwrap_or(0)) > quota => {
                    return Err(Refused::OverQuota);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "the usage of an account could not be read");
                    return Err(Refused::Failed);
                }
            }
        }
        let address = address.map_or_else(
            || "postmaster".to_owned(),
            |(local, domain)| format!("{local}@{domain}"),
        );
        Ok(Accepted {
            address,
            deliveries,
        })
    }

    /// Puts a message into the mailboxes of all recipients, in one batch. The
    /// outcomes are in the order of the recipients; `Delivered` means it is
    /// durable. `raw` is the whole message with its trace headers.
    pub async fn deliver(&self, raw: Bytes, recipients: &[Accepted]) -> Vec<Outcome> {
        let message = Message::new(raw.clone());
        let mut outcomes = vec![Outcome::Discarded; recipients.len()];
        // Each account once, however many addresses lead to it.
        let mut plan: BTreeMap<AccountId, (Target, Vec<usize>)> = BTreeMap::new();
        for (at, recipient) in recipients.iter().enumerate() {
            for delivery in &recipient.deliveries {
                if let Some((_, wanted)) = plan.get_mut(&delivery.account) {
                    wanted.push(at);
                    continue;
                }
                match self.place(&message, delivery).await {
                    Ok(place) => {
                        let target = Target {
                            account: delivery.account,
                            mailbox: place,
                            flags: Flags::default(),
                            quota: delivery.settings.effective(&self.defaults).quota,
                        };
                        plan.insert(delivery.account, (target, vec![at]));
                    }
                    Err(outcome) => set(&mut outcomes, &[at], outcome),
                }
            }
        }
        let mut plan: Vec<(Target, Vec<usize>)> = plan.into_values().collect();
        let now = jiff::Timestamp::now().as_second();
        while !plan.is_empty() {
            let targets: Vec<Target> = plan.iter().map(|(target, _)| target.clone()).collect();
            let message = NewMessage {
                raw: raw.clone(),
                internal_date: now,
                internal_zone: 0,
            };
            match self.mailboxes.append(message, &targets).await {
                Ok(_) => {
                    for (_, wanted) in &plan {
                        set(&mut outcomes, wanted, Outcome::Delivered);
                    }
                    break;
                }
                // All or nothing: leave out the one that is full and try again.
                Err(mailbox::Error::OverQuota { target }) if target < plan.len() => {
                    let (_, wanted) = plan.remove(target);
                    set(&mut outcomes, &wanted, Outcome::OverQuota);
                }
                Err(error) => {
                    tracing::error!(%error, "a message could not be stored");
                    let outcome = match error {
                        mailbox::Error::Store(axigen_store::Error::Full) => Outcome::Full,
                        _ => Outcome::Failed,
                    };
                    for (_, wanted) in &plan {
                        set(&mut outcomes, wanted, outcome);
                    }
                    break;
                }
            }
        }
        outcomes
    }

    /// The mailbox an account's copy goes into.
    async fn place(
        &self,
        message: &Message,
        delivery: &directory::Delivery,
    ) -> Result<Place, Outcome> {
        let mut recipient = Recipient {
            address: delivery.address.clone(),
            account: Some(delivery.account),
        };
        match self.filters.pre_delivery(message, &mut recipient).await {
            Disposition::Continue => {}
            Disposition::FileInto(name) if mailbox::names::normalise_new(&name).is_ok() => {
                return Ok(Place::Named(name));
            }
            Disposition::FileInto(name) => {
                tracing::warn!(
                    name,
                    "a filter wants a mailbox that cannot be: INBOX instead"
                );
            }
            Disposition::Discard => return Err(Outcome::Discarded),
            Disposition::Defer(_) => return Err(Outcome::Deferred),
            // The peer still waits: refusing now makes the peer tell the sender.
            Disposition::Bounce(_) => return Err(Outcome::Rejected),
            Disposition::Redirect(_) => {
                tracing::warn!("a filter redirects, but nothing is sent to other hosts yet");
                return Err(Outcome::Deferred);
            }
        }
        if let Some(detail) = &delivery.detail
            && delivery.settings.effective(&self.defaults).plus_folders
            && let Some(name) = self.folder(delivery.account, detail).await
        {
            return Ok(Place::Named(name));
        }
        Ok(Place::Named("INBOX".into()))
    }

    /// The folder a detail names, if it exists; addresses do not keep case, so
    /// neither does this.
    async fn folder(&self, account: AccountId, detail: &str) -> Option<String> {
        if mailbox::names::normalise(detail).is_err() {
            return None;
        }
        let mailboxes = self.mailboxes.list(account).await.ok()?;
        mailboxes
            .into_iter()
            .map(|mailbox| mailbox.name)
            .find(|name| name.to_lowercase() == detail.to_lowercase())
    }
}

/// A recipient that leads to several accounts is delivered when all of them
/// are; what went wrong is reported otherwise.
fn set(outcomes: &mut [Outcome], wanted: &[usize], outcome: Outcome) {
    for &at in wanted {
        if let Some(slot) = outcomes.get_mut(at)
            && (*slot == Outcome::Discarded
                || outcome != Outcome::Delivered && *slot == Outcome::Delivered)
        {
            *slot = outcome;
        }
    }
}
