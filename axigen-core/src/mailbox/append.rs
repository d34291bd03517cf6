//! Messages in: each content once, one batch, any number of mailboxes.

use std::collections::BTreeSet;

use axigen_store::{AccountId, BlobRef, Expect, Part, Slot, batch::CommitPart, blob::BlobIn};
use bytes::Bytes;
use futures_util::future::try_join_all;

use super::{
    Mailboxes, brief,
    create::Making,
    draft::{CHUNK, Draft, TRIES, contended},
    error::{Error, Result},
    folders::{self, Folder, id_bytes},
    item::{self, Item, Kept},
    keys::{self, Account},
    keywords::{self, Words},
    label::{Arrival, Event, Label, now},
    log::Record,
    names, parts,
    row::{Read, Stored},
    types::{Appended, Flags, ItemId, MailboxId, NewMessage, Place, Replaces, Target},
};

/// What a batch that brings a message does in the system's range, given where
/// the message's content is.
pub(crate) type Beside<'b> = dyn Fn(&BlobRef) -> axigen_store::Result<Part> + Send + Sync + 'b;

const ITEM: u8 = 0;
/// Mailboxes of one account one message can go to: the slots left.
const MAILBOXES: usize = 15;

/// The targets of one account.
#[derive(Debug)]
struct Group<'t> {
    account: AccountId,
    wanted: Vec<Wanted<'t>>,
}

/// One message in one mailbox.
#[derive(Debug)]
struct Wanted<'t> {
    /// Index of the target.
    index: usize,
    /// Index of the message.
    message: usize,
    /// Where it goes, names normalised.
    place: Place,
    target: &'t Target,
}

/// A message that goes when others come.
#[derive(Debug)]
struct Replaced {
    account: AccountId,
    mailbox: MailboxId,
    name: String,
    row: Read,
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

    /// [`append`](Mailboxes::append) of several messages, each to its target, in
    /// one batch: all or nothing
    /// ([RFC 3502](https://www.rfc-editor.org/rfc/rfc3502)). `replaces` goes in the
    /// same batch, whatever its flags
    /// ([RFC 8508](https://www.rfc-editor.org/rfc/rfc8508)); what it took counts
    /// as free.
    ///
    /// # Errors
    /// As [`append`](Mailboxes::append); [`Error::TooMany`] messages;
    /// [`Error::NoSuchMessage`] if the one that is replaced is gone.
    pub async fn append_all(
        &self,
        messages: &[(NewMessage, Target)],
        replaces: Option<&Replaces>,
    ) -> Result<Vec<Appended>> {
        if messages.len() > CHUNK {
            return Err(Error::TooMany("messages in one command"));
        }
        let (messages, targets): (Vec<NewMessage>, Vec<(usize, Target)>) = messages
            .iter()
            .enumerate()
            .map(|(at, (message, target))| (message.clone(), (at, target.clone())))
            .unzip();
        let targets: Vec<_> = targets.iter().map(|(at, target)| (*at, target)).collect();
        let (appended, _) = self
            .bring_in(&messages, &targets, true, replaces, None)
            .await?;
        Ok(appended)
    }

    /// [`append`](Mailboxes::append), and in the same batch what `beside` says
    /// of the system's range, given where the content is. What that part of the
    /// batch was given comes back too.
    pub(crate) async fn append_beside(
        &self,
        message: NewMessage,
        targets: &[Target],
        beside: &Beside<'_>,
    ) -> Result<CommitPart> {
        let targets: Vec<_> = targets.iter().map(|target| (0, target)).collect();
        let (_, part) = self
            .bring_in(&[message], &targets, true, None, Some(beside))
            .await?;
        part.ok_or_else(|| Error::corrupt("an answer of the store"))
    }

    async fn append_as(
        &self,
        message: NewMessage,
        targets: &[Target],
        labelled: bool,
    ) -> Result<Vec<Appended>> {
        let targets: Vec<_> = targets.iter().map(|target| (0, target)).collect();
        let (appended, _) = self
            .bring_in(&[message], &targets, labelled, None, None)
            .await?;
        Ok(appended)
    }

    /// Puts messages where their targets say; each target names its message.
    async fn bring_in(
        &self,
        messages: &[NewMessage],
        targets: &[(usize, &Target)],
        labelled: bool,
        replaces: Option<&Replaces>,
        beside: Option<&Beside<'_>>,
    ) -> Result<(Vec<Appended>, Option<CommitPart>)> {
        let groups = group(targets)?;
        let mut items: Option<Vec<Item>> = None;
        let mut turns = Vec::new();
        for _ in 0..TRIES {
            let replaced = match replaces {
                Some(replaces) => Some(self.replaced(replaces).await?),
                None => None,
            };
            let plans = groups
                .iter()
                .map(|group| self.plan(group, messages, replaced.as_ref()));
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
            let items = match &items {
                Some(items) => items,
                None => items.insert(
                    self.put_contents(messages, &groups, &plans, labelled)
                        .await?,
                ),
            };
            let mut drafts = Vec::with_capacity(groups.len() + 1);
            for (group, plan) in groups.iter().zip(&plans) {
                drafts.push(self.draft(group, plan, messages, items)?);
            }
            if let Some(replaced) = &replaced {
                self.take_replaced(replaced, &mut drafts).await?;
            }
            let system = match (beside, items.first()) {
                (Some(beside), Some(item)) => Some(beside(&item.content)?),
                _ => None,
            };
            let has_system = system.is_some();
            if let Some(mut commit) = self.commit_beside(drafts, system).await? {
                let mut appended: Vec<(usize, Appended)> = Vec::with_capacity(targets.len());
                for ((group, plan), part) in groups.iter().zip(&plans).zip(&commit.parts) {
                    appended.extend(answers(group, plan, part));
                }
                appended.sort_unstable_by_key(|(index, _)| *index);
                let appended = appended.into_iter().map(|(_, appended)| appended).collect();
                let system = commit.parts.pop().filter(|_| has_system);
                return Ok((appended, system));
            }
        }
        Err(contended())
    }

    /// The message that is replaced, as it is now.
    async fn replaced(&self, replaces: &Replaces) -> Result<Replaced> {
        let Replaces {
            account,
            mailbox,
            uid,
        } = *replaces;
        let name = self.record(account, mailbox).await?.name;
        let mut rows = self.read_rows(account, mailbox, &[uid]).await?;
        let row = rows.pop().ok_or(Error::NoSuchMessage)?;
        Ok(Replaced {
            account,
            mailbox,
            name,
            row,
        })
    }

    /// Takes out what is replaced, in the same batch: in the part of its account,
    /// or in one of its own.
    async fn take_replaced(&self, replaced: &Replaced, drafts: &mut Vec<Draft>) -> Result<()> {
        let (account, mailbox) = (replaced.account, replaced.mailbox);
        if !drafts.iter().any(|draft| draft.account() == account) {
            drafts.push(Draft::new(account));
        }
        let Some(draft) = drafts.iter_mut().find(|draft| draft.account() == account) else {
            return Ok(());
        };
        draft.mailbox_exists(mailbox);
        let row = std::slice::from_ref(&replaced.row);
        let hashes = self.take_out(account, mailbox, row, draft).await?;
        let event = Event::Removed {
            account,
            from: replaced.name.clone(),
        };
        draft.note(event, hashes);
        draft.log(Record::vanished(mailbox, &[replaced.row.uid]));
        Ok(())
    }

    /// Finds the group's mailboxes and sees whether they have room. `None` if
    /// a mailbox came or went between two looks: look again.
    async fn plan(
        &self,
        group: &Group<'_>,
        messages: &[NewMessage],
        replaced: Option<&Replaced>,
    ) -> Result<Option<Plan>> {
        let account = group.account;
        let mut wanted = vec![
            keys::account(Account::Bytes),
            keys::account(Account::Messages),
        ];
        wanted.extend(group.wanted.iter().map(|wanted| match &wanted.place {
            Place::Id(id) => keys::mailbox(*id),
            Place::Named(name) => keys::name(name),
        }));
        let mut got = self.store.get(account, &wanted).await?.into_iter();
        let mut held = || keys::number(&got.next().flatten()).max(0) as u64;
        let held = (held(), held());
        // The store enforces the quota; this only saves writing the content
        // of a message that will be refused.
        let sizes = group.wanted.iter().map(|wanted| size(messages, wanted));
        let more = (sizes.sum::<u64>(), group.wanted.len() as u64);
        let freed = replaced
            .filter(|replaced| replaced.account == account)
            .map_or((0, 0), |replaced| (replaced.row.row.size, 1));
        let held = (
            held.0.saturating_sub(freed.0),
            held.1.saturating_sub(freed.1),
        );
        let grows = more.0 > freed.0 || more.1 > freed.1;
        for wanted in &group.wanted {
            if grows && !wanted.target.quota.admits(held, more) {
                return Err(Error::OverQuota {
                    target: wanted.index,
                });
            }
        }

        let places: Vec<(&Place, Option<Bytes>)> = group
            .wanted
            .iter()
            .map(|wanted| &wanted.place)
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
            .flat_map(|wanted| wanted.target.flags.keywords.iter().cloned())
            .collect();
        let mut words = self.words(account, &keywords, &[]).await?;
        let numbers = group
            .wanted
            .iter()
            .map(|wanted| words.numbers(&wanted.target.flags.keywords))
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

    /// Parses the messages and makes their contents durable.
    async fn put_contents(
        &self,
        messages: &[NewMessage],
        groups: &[Group<'_>],
        plans: &[Plan],
        labelled: bool,
    ) -> Result<Vec<Item>> {
        let mut blobs = Vec::with_capacity(messages.len());
        let mut structures = Vec::with_capacity(messages.len());
        for (at, message) in messages.iter().enumerate() {
            let parsed = item::parse(message.raw.clone()).await;
            let pieces = parts::pieces(&parsed, &message.raw);
            let structure = Bytes::from(parsed.encode());
            let brief = brief::kept(&parsed, &message.raw);
            let label = match labelled {
                true => label_of(at, message, groups, plans).encode().into(),
                false => Bytes::new(),
            };
            blobs.push(BlobIn {
                bytes: message.raw.clone(),
                label,
                pieces,
            });
            if structure.len() > item::MOST_INLINE {
                // Without a label: it can be made again from the message.
                blobs.push(BlobIn::new(structure.clone(), Bytes::new()));
            }
            structures.push((structure, brief));
        }
        let mut stored = self.store.put(blobs).await?.into_iter();
        let mut next = || {
            let missing = || Error::corrupt("an answer of the store");
            stored.next().ok_or_else(missing)
        };
        structures
            .into_iter()
            .map(|(structure, brief)| {
                Ok(Item {
                    content: next()?,
                    structure: match structure.len() > item::MOST_INLINE {
                        true => Kept::Apart(next()?),
                        false => Kept::Inline(structure),
                    },
                    brief,
                })
            })
            .collect()
    }

    fn draft(
        &self,
        group: &Group<'_>,
        plan: &Plan,
        messages: &[NewMessage],
        items: &[Item],
    ) -> Result<Draft> {
        let records: Vec<_> = items.iter().map(Item::encode).collect();
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
        for ((wanted, &at), words) in group.wanted.iter().zip(&plan.goes).zip(&plan.numbers) {
            let (Some(mailbox), Some(message), Some(item), Some(record)) = (
                plan.mailboxes.get(at),
                messages.get(wanted.message),
                items.get(wanted.message),
                records.get(wanted.message),
            ) else {
                return Err(Error::corrupt("a message that is to be delivered"));
            };
            draft.quota(wanted.target.quota, wanted.index);
            let uid = draft.next_uid(mailbox.id, slot_of(at));
            let id = draft.next_item(ITEM);
            let row = Stored {
                modseq: 0,
                item: ItemId(0),
                system: wanted.target.flags.system & Flags::SYSTEM,
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
        Ok(draft)
    }
}

/// Targets by account, names and flags checked.
fn group<'t>(targets: &[(usize, &'t Target)]) -> Result<Vec<Group<'t>>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut known = std::collections::HashMap::new();
    for (index, &(message, target)) in targets.iter().enumerate() {
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
            group.wanted.push(Wanted {
                index,
                message,
                place,
                target,
            });
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
        .filter_map(move |((wanted, &at), item)| {
            let mailbox = plan.mailboxes.get(at)?;
            let next = next.get_mut(at)?;
            let uid = *next;
            *next += 1;
            Some((
                wanted.index,
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

fn size(messages: &[NewMessage], wanted: &Wanted<'_>) -> u64 {
    let message = messages.get(wanted.message);
    message.map_or(0, |message| message.raw.len() as u64)
}

/// What stands beside a message for the day the metadata is lost.
fn label_of(at: usize, message: &NewMessage, groups: &[Group<'_>], plans: &[Plan]) -> Label {
    let mut places = Vec::new();
    for (group, plan) in groups.iter().zip(plans) {
        for (wanted, mailbox) in group.wanted.iter().zip(&plan.goes) {
            let mailbox = plan.mailboxes.get(*mailbox);
            let mailbox = mailbox.filter(|_| wanted.message == at);
            places.extend(mailbox.map(|mailbox| Arrival {
                account: plan.account,
                mailbox: mailbox.folder.name.clone(),
                flags: wanted.target.flags.system & Flags::SYSTEM,
            }));
        }
    }
    Label::now(Event::Delivered {
        internal_date: message.internal_date,
        internal_zone: message.internal_zone,
        places,
    })
}

/// The slot of a mailbox's UIDs; slot 0 is the items'.
fn slot_of(mailbox: usize) -> u8 {
    mailbox as u8 + 1
}
