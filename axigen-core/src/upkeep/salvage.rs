//! Mail, mailboxes and directory made anew from the packs alone.
//!
//! Labels and notes stand beside the contents ([`label`](crate::mailbox::label)).
//! Read in the order of their times they tell where each message was. What
//! comes back is each message, byte for byte, in its mailbox, with its date and
//! the flags it arrived with; accounts with their passwords and settings,
//! domains, classes, aliases; and mail on its way to other hosts, held. Not:
//! flags that were changed later, keywords, subscriptions, UIDs (clients read
//! the mailboxes anew).

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axigen_store::store::Options;
use axigen_store::{AccountId, BlobRef, Store};
use bytes::Bytes;
use futures_util::StreamExt;

use super::{Progress, Result};
use crate::clock::SystemClock;
use crate::directory::Directory;
use crate::mailbox::label::{Event, Label};
use crate::mailbox::{self, Flags, Mailboxes, NewMessage, Place, Quota, Target, names::INBOX};
use crate::queue::entry::Entry;
use crate::queue::{self, Queue};

/// Blobs and notes read at a time.
const PAGE: usize = 1000;
/// Accounts filled at the same time.
const AT_ONCE: usize = 32;

/// What [`salvage`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Accounts that have mail again.
    pub accounts: u64,
    /// Messages in their mailboxes.
    pub messages: u64,
    /// Blobs that were found whole.
    pub blobs: u64,
    /// What is lost, and what was done besides, in sentences.
    pub lines: Vec<String>,
    /// Messages that should have been there, and whose content is lost.
    pub lost: u64,
    /// Entries of the queue, each held: the last of what was sent before the
    /// metadata was lost may be among them.
    pub queued: u64,
    /// Where the old metadata is kept, if there was some.
    pub aside: Option<PathBuf>,
}

/// A message that is to be put into a mailbox.
#[derive(Debug, Clone)]
struct Message {
    content: BlobRef,
    date: i64,
    zone: i16,
    flags: u8,
}

/// An account as the labels and notes tell.
#[derive(Debug, Default)]
struct Account {
    mailboxes: BTreeMap<String, Vec<Message>>,
    ended: bool,
}

#[derive(Debug, Default)]
struct Replay {
    accounts: BTreeMap<AccountId, Account>,
    directory: BTreeMap<Bytes, Bytes>,
    /// What waits for other hosts, by the queue's id of the message.
    queue: BTreeMap<String, Vec<Entry>>,
}

/// Makes the metadata of a store directory anew. The old, if there is some, is
/// put aside. A salvage that is broken off changes nothing and is begun again.
///
/// # Errors
/// [`Error`](super::Error): the directory has no packs, is in use, or cannot be
/// written. What cannot be read is in the report.
pub async fn salvage(
    dir: &Path,
    options: Options,
    progress: impl FnMut(Progress) + Send + 'static,
) -> Result<Salvaged> {
    let progress = Arc::new(parking_lot::Mutex::new(progress));
    let tell = progress.clone();
    let salvage = Store::salvage(dir, options, move |done, all| {
        let what = "blobs";
        (tell.lock())(Progress { what, done, all });
    })
    .await?;
    let store = salvage.store().clone();
    let mut report = Salvaged {
        blobs: salvage.report().blobs,
        lines: salvage.report().lost.clone(),
        ..Salvaged::default()
    };
    let events = events(&store).await?;
    let mut replay = Replay::default();
    for event in events {
        replay.apply(event);
    }
    let mailboxes = Mailboxes::new(store.clone());
    let directory = Directory::new(store.clone(), mailboxes.clone())?;
    let rows: Vec<_> = replay.directory.into_iter().collect();
    for rows in rows.chunks(500) {
        directory.restore(rows.to_vec()).await?;
    }
    let accounts: Vec<_> = replay
        .accounts
        .into_iter()
        .filter(|(_, account)| !account.ended)
        .collect();
    let with_mail: Vec<AccountId> = accounts.iter().map(|(id, _)| *id).collect();
    let all = accounts.len() as u64;
    let fills = accounts
        .into_iter()
        .map(|(id, account)| fill(&store, &mailboxes, id, account));
    let mut fills = futures_util::stream::iter(fills).buffer_unordered(AT_ONCE);
    while let Some(filled) = fills.next().await {
        let (messages, lost) = filled?;
        report.accounts += 1;
        report.messages += messages;
        report.lost += lost;
        let (what, done) = ("accounts", report.accounts);
        (progress.lock())(Progress { what, done, all });
    }
    drop(fills);
    let queue = Queue::new(store.clone(), Arc::new(SystemClock));
    for entry in replay.queue.into_values().flatten() {
        let to = entry.recipients.len();
        let mail = entry.mail.clone();
        match queue::label::restore(&queue, &store, entry).await? {
            true => report.queued += 1,
            false => {
                report.lost += 1;
                report.lines.push(format!(
                    "queue: message {mail}, to {to} recipients elsewhere, is lost"
                ));
            }
        }
    }
    report.lines.extend(directory.repair(&with_mail).await?);
    report.aside = salvage.finish().await?;
    Ok(report)
}

/// What happened, in the order of time. Of what happened at the same moment, a
/// message's arrival comes first.
async fn events(store: &Store) -> Result<Vec<(Label, Vec<BlobRef>)>> {
    let mut events = Vec::new();
    let mut lengths = BTreeMap::new();
    let mut labelled = HashSet::new();
    let mut notes = Vec::new();
    let mut from = (0, 0);
    loop {
        let page = store.list_blobs(from, PAGE).await?;
        for blob in page.blobs {
            let content = BlobRef {
                hash: blob.loc.hash,
                len: blob.raw_len,
            };
            lengths.insert(content.hash, content.len);
            // A blob may be there twice, with one label, while packs are
            // rewritten.
            if let Some(label) = Label::decode(&blob.label)
                && labelled.insert((content.hash, blob.label.clone()))
            {
                events.push((label, vec![content]));
            }
        }
        notes.extend(page.notes);
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    let mut seen = HashSet::new();
    for note in notes {
        if !seen.insert((note.about.clone(), note.bytes.clone())) {
            continue;
        }
        let Some(label) = Label::decode(&note.bytes) else {
            continue;
        };
        let about = note.about.iter().map(|hash| BlobRef {
            hash: *hash,
            len: lengths.get(hash).copied().unwrap_or(0),
        });
        events.push((label, about.collect()));
    }
    let later = |event: &Event| match event {
        Event::Delivered { .. } | Event::Queued { .. } => 0,
        Event::Left { .. } => 2,
        _ => 1,
    };
    events.sort_by_key(|(label, _)| (label.at, later(&label.event)));
    Ok(events)
}

impl Replay {
    fn apply(&mut self, (label, contents): (Label, Vec<BlobRef>)) {
        match label.event {
            Event::Delivered {
                internal_date,
                internal_zone,
                places,
            } => {
                for place in places {
                    for content in &contents {
                        let message = Message {
                            content: content.clone(),
                            date: internal_date,
                            zone: internal_zone,
                            flags: place.flags,
                        };
                        self.mailbox(place.account, &place.mailbox).push(message);
                    }
                }
            }
            Event::Copied { account, from, to } => {
                for content in contents {
                    let there = self.mailbox(account, &from).iter();
                    let message = there.rev().find(|m| m.content == content).cloned();
                    let message = message.unwrap_or_else(|| unknown(content, label.at));
                    self.mailbox(account, &to).push(message);
                }
            }
            Event::Moved { account, from, to } => {
                for content in contents {
                    let message = self.take(account, &from, &content);
                    let message = message.unwrap_or_else(|| unknown(content, label.at));
                    self.mailbox(account, &to).push(message);
                }
            }
            Event::Removed { account, from } => {
                for content in contents {
                    self.take(account, &from, &content);
                }
            }
            Event::Created { account, names } => {
                for name in names {
                    self.mailbox(account, &name);
                }
            }
            Event::Renamed { account, from, to } => {
                let mailboxes = &mut self.accounts.entry(account).or_default().mailboxes;
                let names: Vec<String> = mailboxes.keys().cloned().collect();
                let mut moved = Vec::new();
                for name in names {
                    let rest = name.strip_prefix(&from);
                    let Some(rest) = rest.filter(|r| r.is_empty() || r.starts_with('/')) else {
                        continue;
                    };
                    let messages = mailboxes.remove(&name).unwrap_or_default();
                    moved.push((format!("{to}{rest}"), messages));
                }
                for (name, messages) in moved {
                    mailboxes.entry(name).or_default().extend(messages);
                }
            }
            Event::Deleted { account, name } => {
                let account = self.accounts.entry(account).or_default();
                account.mailboxes.remove(&name);
            }
            Event::Ended { account } => {
                let account = self.accounts.entry(account).or_default();
                account.mailboxes.clear();
                account.ended = true;
            }
            Event::Directory { rows } => {
                for (key, value) in rows {
                    match value {
                        Some(value) => drop(self.directory.insert(key, value)),
                        None => drop(self.directory.remove(&key)),
                    }
                }
            }
            Event::Queued { entries } => {
                for envelope in &entries {
                    for content in &contents {
                        // Of another version of this program, most likely.
                        let Ok(entry) = queue::label::read(envelope, content) else {
                            continue;
                        };
                        if !entry.recipients.is_empty() {
                            self.queue
                                .entry(entry.mail.clone())
                                .or_default()
                                .push(entry);
                        }
                    }
                }
            }
            Event::Left { messages } => {
                for (mail, addresses) in messages {
                    let Some(entries) = self.queue.get_mut(&mail) else {
                        continue;
                    };
                    let left: HashSet<&String> = addresses.iter().collect();
                    for entry in entries.iter_mut() {
                        entry.recipients.retain(|to| !left.contains(&to.address));
                    }
                    entries.retain(|entry| !entry.recipients.is_empty());
                    if entries.is_empty() {
                        self.queue.remove(&mail);
                    }
                }
            }
        }
    }

    fn mailbox(&mut self, account: AccountId, name: &str) -> &mut Vec<Message> {
        let mailboxes = &mut self.accounts.entry(account).or_default().mailboxes;
        mailboxes.entry(name.to_owned()).or_default()
    }

    fn take(&mut self, account: AccountId, from: &str, content: &BlobRef) -> Option<Message> {
        let mailbox = self.mailbox(account, from);
        let at = mailbox.iter().position(|m| m.content == *content)?;
        Some(mailbox.remove(at))
    }
}

/// A message whose arrival nothing tells of.
fn unknown(content: BlobRef, at: u64) -> Message {
    Message {
        content,
        date: (at / 1000) as i64,
        zone: 0,
        flags: 0,
    }
}

/// Fills the mailboxes of an account; gives how many messages are there, and
/// how many are lost.
async fn fill(
    store: &Store,
    mailboxes: &Mailboxes,
    id: AccountId,
    account: Account,
) -> Result<(u64, u64)> {
    mailboxes.create_account(id).await?;
    let (mut done, mut lost) = (0, 0);
    for (name, messages) in account.mailboxes {
        match mailboxes.create(id, &name, None).await {
            Ok(_) | Err(mailbox::Error::AlreadyExists | mailbox::Error::BadName(_)) => {}
            Err(error) => return Err(error.into()),
        }
        for message in messages {
            let raw = match store.read(&message.content, 0..u64::MAX).await {
                Ok(raw) => raw,
                Err(axigen_store::Error::NotFound | axigen_store::Error::Corrupt(_)) => {
                    lost += 1;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let new = NewMessage {
                raw,
                internal_date: message.date,
                internal_zone: message.zone,
            };
            let target = |mailbox: &str| Target {
                account: id,
                mailbox: Place::Named(mailbox.to_owned()),
                flags: Flags::new(message.flags, []),
                quota: Quota::NONE,
            };
            let put = mailboxes.append_known(new.clone(), &[target(&name)]).await;
            match put {
                Ok(_) => {}
                Err(mailbox::Error::BadName(_)) => {
                    mailboxes.append_known(new, &[target(INBOX)]).await?;
                }
                Err(error) => return Err(error.into()),
            }
            done += 1;
        }
    }
    Ok((done, lost))
}
