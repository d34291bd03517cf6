//! Messages in: one content, one batch, any number of mailboxes.

use std::collections::BTreeSet;

use axigen_store::{AccountId, Expect, Slot, batch::CommitPart, blob::BlobIn};
use bytes::Bytes;
use futures_util::future::try_join_all;

use super::{
    Mailboxes, brief,
    create::Making,
    draft::{Draft, TRIES, contended},
    error::{Error, Result},
    folders::{self, Folder, id_bytes},
    item::{self, Item, Kept},
    keys::{self, Account},
    keywords::{self, Words},
    label::{Arrival, Event, Label, now},
    log::Record,
    names, parts,
    row::Stored,
    types::{Appended, Flags, ItemId, MailboxId, NewMessage, Place, Target},
};

const ITEM: u8 = 0;
/// Mailboxes of one account one message can go to: the slots left.
const MAILBOXES: usize = 15;

/// The targets of one account.
#[derive(Debug)]
struct Group<'t> {
    account: AccountId,
    /// Index of the target, where it goes, its flags.
    wanted: Vec<(usize, Place, &'t Target)>,
}

/// A group whose mailboxes are known.
#[derive(Debug)]
struct Plan {
    account: AccountId,
    making: Making,
    /// The mailboxes; their index and 1 is the slot of their UIDs.
    mailboxes: Vec<Destination>,
    /// For each of the group's targets its mailbox.
    goes: Vec<usize>,
    words: Words,
    /// For each of the group's targets its keywords.
    numbers: Vec<Vec<u16>>,
}

#[derive(Debug)]
struct Destination {
    id: MailboxId,
    folder: Folder,
    /// Found by name: it must still have it.
    named: bool,
    new: bool,
    count: u32,
}

impl Mailboxes {
    /// Puts one message into all targets: its content is stored once, and one
    /// batch puts it into every mailbox, all or nothing, durable on `Ok`. The
    /// answers are in the order of the targets; a mailbox named twice gets it
    /// twice. SMTP, LMTP, APPEND and everything else that brings a message use
    /// this.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`] for a [`Place::Id`] that is gone;
    /// [`Error::BadName`], [`Error::BadKeyword`]; [`Error::OverQuota`];
    /// [`Error::TooMany`] mailboxes, keywords, or more than 15 mailboxes of
    /// one account; [`Error::Store`]. Nothing was delivered then.
    pub async fn append(&self, message: NewMessage, targets: &[Target]) -> Result<Vec<Appended>> {
        self.append_as(message, targets, true).await
    }

    /// [`append`](Mailboxes::append) of a message that is in the store with its
    /// label: a second one would tell of a second arrival.
    pub(crate) async fn append_known(
        &self,
        message: NewMessage,
        targets: &[Target],
    ) -> Result<Vec<Appended>> {
        self.append_as(message, targets, false).await
    }

    async fn append_as(
        &self,
        message: NewMessage,
        targets: &[Target],
        labelled: bool,
    ) -> Result<Vec<Appended>> {
        let groups = group(targets)?;
        let mut item = None;
        let mut turns = Vec::new();
        for _ in 0..TRIES {
            let plans = groups.iter().map(|group| self.plan(group, &message));
            let plans = try_join_all(plans).await?;
            let Some(plans) = plans.into_iter().collect::<Option<Vec<Plan>>>() else {
                continue;
            };
            // INBOX always exists: who comes first makes it, and what else an
            // account begins with.
            if let Some(plan) = plans.iter().find(|plan| plan.making.is_first()) {
                turns.clear();
                self.create_account(plan.account).await?;
                continue;
            }
            if turns.is_empty() && plans.iter().any(|plan| !plan.making.folders.is_empty()) {
                // Making mailboxes is the one thing that conflicts with
                // another delivery: take turns, and look again.
                turns = self.turns(groups.iter().map(|group| group.account)).await;
                continue;
            }
            let item = match &item {
                Some(item) => item,
                None => item.insert(
                    self.put_content(&message, &groups, &plans, labelled)
                        .await?,
                ),
            };
            let drafts = groups
                .iter()
                .zip(&plans)
                .map(|(group, plan)| self.draft(group, plan, &message, item))
                .collect();
            if let Some(commit) = self.commit(drafts).await? {
                let mut appended: Vec<(usize, Appended)> = Vec::with_capacity(targets.len());
                for ((group, plan), part) in groups.iter().zip(&plans).zip(&commit.parts) {
                    appended.extend(answers(group, plan, part));
                }
                appended.sort_unstable_by_key(|(index, _)| *index);
                return Ok(appended.into_iter().map(|(_, appended)| appended).collect());
            }
        }
        Err(contended())
    }

    /// Finds the group's mailboxes and sees whether they have room. `None` if
    /// a mailbox came or went between two looks: look again.
    async fn plan(&self, group: &Group<'_>, message: &NewMessage) -> Result<Option<Plan>> {
        let account = group.account;
        let mut wanted = vec![
            keys::account(Account::Bytes),
            keys::account(Account::Messages),
        ];
        wanted.extend(group.wanted.iter().map(|(_, place, _)| match place {
            Place::Id(id) => keys::mailbox(*id),
            Place::Named(name) => keys::name(name),
        }));
        let mut got = self.store.get(account, &wanted).await?.into_iter();
        let mut held = || keys::number(&got.next().flatten()).max(0) as u64;
        let held = (held(), held());
        // The store enforces the quota; this only saves writing the content
        // of a message that will be refused.
        let count = group.wanted.len() as u64;
        let more = (count.saturating_mul(message.raw.len() as u64), count);
        for (target, _, wanted) in &group.wanted {
            if !wanted.quota.admits(held, more) {
                return Err(Error::OverQuota { target: *target });
            }
        }

        let places: Vec<(&Place, Option<Bytes>)> = group
            .wanted
            .iter()
            .map(|(_, place, _)| place)
            .zip(got)
            .collect();
        let missing: BTreeSet<String> = places
            .iter()
            .filter_map(|(place, value)| match (place, value) {
                (Place::Named(name), None) => Some(name.clone()),
                _ => None,
            })
            .collect();
        let making = self.making(account, &missing).await?;
        let mut mailboxes: Vec<Destination> = Vec::new();
        let mut goes = Vec::with_capacity(places.len());
        for (place, value) in places {
            let (id, name) = match (place, value) {
                (Place::Id(id), Some(_)) => (*id, None),
                (Place::Id(_), None) => return Err(Error::NoSuchMailbox),
                (Place::Named(name), Some(value)) => (folders::id(value)?, Some(name)),
                (Place::Named(name), None) => {
                    let made = making.folders.iter().find(|(_, made)| made.name == *name);
                    match made {
                        Some((id, _)) => (*id, Some(name)),
                        None => return Ok(None),
                    }
                }
            };
            let at = match mailboxes.iter().position(|known| known.id == id) {
                Some(at) => at,
                None => {
                    let made = making.folders.iter().find(|(made, _)| *made == id);
                    let folder = match made {
                        Some((_, folder)) => folder.clone(),
                        None => match (self.record(account, id).await, name) {
                            (Ok(folder), None) => folder,
                            (Ok(folder), Some(name)) if folder.name == *name => folder,
                            (Ok(_) | Err(Error::NoSuchMailbox), Some(_)) => return Ok(None),
                            (Err(error), _) => return Err(error),
                        },
                    };
                    mailboxes.push(Destination {
                        id,
                        folder,
                        named: name.is_some(),
                        new: made.is_some(),
                        count: 0,
                    });
                    mailboxes.len() - 1
                }
            };
            if let Some(mailbox) = mailboxes.get_mut(at) {
                mailbox.count += 1;
            }
            goes.push(at);
        }
        if mailboxes.len() > MAILBOXES {
            return Err(Error::TooMany("mailboxes of one account for one message"));
        }

        let keywords: Vec<_> = group
            .wanted
            .iter()
            .flat_map(|(_, _, target)| target.flags.keywords.iter().cloned())
            .collect();
        let mut words = self.words(account, &keywords, &[]).await?;
        let numbers = group
            .wanted
            .iter()
            .map(|(_, _, target)| words.numbers(&target.flags.keywords))
            .collect::<Result<_>>()?;
        Ok(Some(Plan {
            account,
            making,
            mailboxes,
            goes,
            words,
            numbers,
        }))
    }

    /// Parses the message and makes its content durable.
    async fn put_content(
        &self,
        message: &NewMessage,
        groups: &[Group<'_>],
        plans: &[Plan],
        labelled: bool,
    ) -> Result<Item> {
        let parsed = item::parse(message.raw.clone()).await;
        let pieces = parts::pieces(&parsed, &message.raw);
        let structure = Bytes::from(parsed.encode());
        let brief = brief::kept(&parsed, &message.raw);
        let mut places = Vec::new();
        for (group, plan) in groups.iter().zip(plans) {
            for ((_, _, wanted), at) in group.wanted.iter().zip(&plan.goes) {
                let mailbox = plan.mailboxes.get(*at);
                places.extend(mailbox.map(|mailbox| Arrival {
                    account: plan.account,
                    mailbox: mailbox.folder.name.clone(),
                    flags: wanted.flags.system & Flags::SYSTEM,
                }));
            }
        }
        let label = Label::now(Event::Delivered {
            internal_date: message.internal_date,
            internal_zone: message.internal_zone,
            places,
        });
        let mut blobs = vec![BlobIn {
            bytes: message.raw.clone(),
            label: match labelled {
                true => label.encode().into(),
                false => Bytes::new(),
            },
            pieces,
        }];
        let apart = structure.len() > item::MOST_INLINE;
        if apart {
            // Without a label: it can be made again from the message.
            blobs.push(BlobIn::new(structure.clone(), Bytes::new()));
        }
        let mut stored = self.store.put(blobs).await?.into_iter();
        let mut next = || {
            let missing = || Error::corrupt("an answer of the store");
            stored.next().ok_or_else(missing)
        };
        Ok(Item {
            content: next()?,
            structure: match apart {
                true => Kept::Apart(next()?),
                false => Kept::Inline(structure),
            },
            brief,
        })
    }

    fn draft(&self, group: &Group<'_>, plan: &Plan, message: &NewMessage, item: &Item) -> Draft {
        let record = item.encode();
        let mut draft = Draft::new(plan.account);
        for mailbox in plan.mailboxes.iter().filter(|mailbox| !mailbox.new) {
            // A name that is there has its mailbox there.
            match mailbox.named {
                true => draft.expect(
                    keys::name(&mailbox.folder.name),
                    Expect::Equals(id_bytes(mailbox.id)),
                ),
                false => draft.mailbox_exists(mailbox.id),
            }
        }
        self.make(&plan.making, &mut draft);
        plan.words.write(&mut draft);
        for (((target, _, wanted), &at), words) in
            group.wanted.iter().zip(&plan.goes).zip(&plan.numbers)
        {
            let Some(mailbox) = plan.mailboxes.get(at) else {
                continue;
            };
            draft.quota(wanted.quota, *target);
            let uid = draft.next_uid(mailbox.id, slot_of(at));
            let id = draft.next_item(ITEM);
            let row = Stored {
                modseq: 0,
                item: ItemId(0),
                system: wanted.flags.system & Flags::SYSTEM,
                words: words.clone(),
                internal_date: message.internal_date,
                internal_zone: message.internal_zone,
                saved: now(),
                size: message.raw.len() as u64,
            };
            draft.add_row(mailbox.id, uid, &row, Some(id));
            draft.set(keys::new_item(id), record.clone());
            item.retain(&mut draft);
        }
        for (at, mailbox) in plan.mailboxes.iter().enumerate() {
            let last = Slot::Counter(slot_of(at));
            draft.log(Record::added(mailbox.id, last, mailbox.count));
        }
        draft
    }
}

/// Targets by account, names and flags checked.
fn group(targets: &[Target]) -> Result<Vec<Group<'_>>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut known = std::collections::HashMap::new();
    for (index, target) in targets.iter().enumerate() {
        keywords::check_flags(&target.flags)?;
        let place = match &target.mailbox {
            Place::Id(id) => Place::Id(*id),
            Place::Named(name) => Place::Named(names::normalise_new(name)?),
        };
        let at = *known.entry(target.account).or_insert_with(|| {
            groups.push(Group {
                account: target.account,
                wanted: Vec::new(),
            });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(at) {
            group.wanted.push((index, place, target));
        }
    }
    Ok(groups)
}

/// What each target of a group was given: numbers follow each other up to the
/// slot's value.
fn answers<'p>(
    group: &'p Group<'_>,
    plan: &'p Plan,
    part: &'p CommitPart,
) -> impl Iterator<Item = (usize, Appended)> + 'p {
    let slot = |slot: u8| part.slots.get(usize::from(slot)).copied().unwrap_or(0);
    let mut next: Vec<i64> = plan
        .mailboxes
        .iter()
        .enumerate()
        .map(|(at, mailbox)| slot(slot_of(at)) - i64::from(mailbox.count) + 1)
        .collect();
    let first_item = slot(ITEM) - group.wanted.len() as i64 + 1;
    group
        .wanted
        .iter()
        .zip(&plan.goes)
        .zip(first_item..)
        .filter_map(move |(((index, _, _), &at), item)| {
            let mailbox = plan.mailboxes.get(at)?;
            let next = next.get_mut(at)?;
            let uid = *next;
            *next += 1;
            Some((
                *index,
                Appended {
                    mailbox: mailbox.id,
                    uid_validity: mailbox.folder.uid_validity,
                    uid: uid as u32,
                    item: ItemId(item as u64),
                    modseq: part.seq,
                },
            ))
        })
}

/// The slot of a mailbox's UIDs; slot 0 is the items'.
fn slot_of(mailbox: usize) -> u8 {
    mailbox as u8 + 1
}
