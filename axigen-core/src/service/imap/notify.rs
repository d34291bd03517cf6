//! NOTIFY: what a client is told without asking, also of mailboxes that are
//! not open. [RFC 5465](https://www.rfc-editor.org/rfc/rfc5465)
//!
//! What happened is read from the account's change log, so the work is
//! proportional to what changed. What the client knows already is kept for each
//! mailbox, and only what differs from it is told.

use std::collections::{BTreeMap, BTreeSet};

use axigen_proto::imap::command::FetchAttribute;
use axigen_proto::imap::extensions::enable::Enabled;
use axigen_proto::imap::extensions::metadata::EntryName;
use axigen_proto::imap::extensions::notify::{
    EventGroup, Notify as Command, NotifyEvent, NotifyMailboxes,
};
use axigen_proto::imap::response::{Code, Response, Status};
use axigen_proto::imap::types::{MailboxName, StatusItem};
use axigen_store::AccountId;

use super::list::{DELIMITER, entry_response};
use super::metadata::{Changed, news};
use super::selected::Told;
use super::{Done, ImapConn, Talk, status};
use crate::mailbox::{Error, MailboxId, MailboxInfo, Stretch};
use crate::net::conn::UNSENT_LOW;

/// Messages and records read from the log at a time.
const STRETCH: usize = 10_000;

/// What a client wants to hear, and what it knows.
#[derive(Debug, Default)]
pub(super) struct Notify {
    groups: Vec<EventGroup>,
    /// Up to this change of the account all was told.
    after: u64,
    /// Mailboxes as the client knows them.
    known: BTreeMap<MailboxId, MailboxInfo>,
    /// Subscribed names as the client knows them.
    subscribed: BTreeSet<String>,
    /// UIDs that this connection put into the open mailbox.
    own: BTreeSet<u32>,
    /// Entries of METADATA that this connection changed.
    own_entries: Changed,
}

/// Events of one mailbox.
#[derive(Debug, Clone, Copy, Default)]
struct Events {
    messages: bool,
    flags: bool,
    names: bool,
    subscriptions: bool,
    entries: bool,
}

impl Notify {
    /// What is told of the open mailbox.
    pub(super) fn of_selected(&self) -> Told {
        let Some(group) = self.selected_group() else {
            return Told::Nothing;
        };
        let has = |wanted: &NotifyEvent| group.events.contains(wanted);
        match (
            has(&NotifyEvent::MessageExpunge),
            has(&NotifyEvent::FlagChange),
        ) {
            (false, _) => Told::Nothing,
            (true, false) => Told::Messages,
            (true, true) => Told::All,
        }
    }

    /// Whether EXPUNGE may come at any moment (RFC 5465 §6.1.1).
    pub(super) fn is_immediate(&self) -> bool {
        self.selected_group()
            .is_some_and(|group| group.mailboxes == NotifyMailboxes::Selected)
    }

    /// What is told of each new message of the open mailbox.
    pub(super) fn items(&self) -> &[FetchAttribute] {
        let events = self.selected_group().map(|group| group.events.as_slice());
        let items = events
            .unwrap_or_default()
            .iter()
            .find_map(|event| match event {
                NotifyEvent::MessageNew(items) => Some(items.as_slice()),
                _ => None,
            });
        items.unwrap_or_default()
    }

    /// Those of new messages that others brought.
    pub(super) fn of_others(&mut self, mut new: Vec<u32>) -> Vec<u32> {
        new.retain(|uid| !self.own.remove(uid));
        new
    }

    /// This connection put a message into a mailbox: that is no news for it
    /// (RFC 5465 §5).
    pub(super) fn brought(&mut self, mailbox: MailboxId, open: bool, uids: &[u32]) {
        if open {
            self.own.extend(uids);
        } else if let Some(known) = self.known.get_mut(&mailbox) {
            known.messages += u32::try_from(uids.len()).unwrap_or(u32::MAX);
            let next = uids.iter().max().map_or(0, |last| last + 1);
            known.uid_next = known.uid_next.max(next);
        }
    }

    /// This connection made a mailbox.
    pub(super) fn made(&mut self, info: MailboxInfo) {
        self.known.insert(info.id, info);
    }

    /// This connection removed a mailbox.
    pub(super) fn removed(&mut self, name: &str) {
        self.known.retain(|_, info| info.name != name);
    }

    /// This connection gave a mailbox, and those below it, another name.
    pub(super) fn renamed(&mut self, from: &str, to: &str) {
        for info in self.known.values_mut() {
            let rest = info.name.strip_prefix(from);
            let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with(DELIMITER));
            if let Some(rest) = rest {
                info.name = format!("{to}{rest}");
            }
        }
    }

    /// This connection changed entries of METADATA.
    pub(super) fn annotated(
        &mut self,
        mailbox: MailboxId,
        entries: impl Iterator<Item = EntryName>,
    ) {
        self.own_entries.entry(mailbox).or_default().extend(entries);
    }

    /// Those of changed entries that are wanted
    /// (RFC 5465 §5.6, §5.7).
    fn wanted_entries(&mut self, account: AccountId, stretch: &Stretch) -> Changed {
        let mut changed = news(account, stretch, &mut self.own_entries);
        let mut groups = self.groups.iter();
        let server = groups.any(|of| of.events.contains(&NotifyEvent::ServerMetadataChange));
        changed.retain(|id, _| match id {
            MailboxId(0) => server,
            id => {
                let known = self.known.get(id);
                known.is_some_and(|info| self.events(&info.name).entries)
            }
        });
        changed
    }

    /// This connection subscribed to a name, or no longer.
    pub(super) fn subscribed(&mut self, name: &str, on: bool) {
        match on {
            true => self.subscribed.insert(name.to_owned()),
            false => self.subscribed.remove(name),
        };
    }

    fn selected_group(&self) -> Option<&EventGroup> {
        self.groups.iter().find(|group| {
            matches!(
                group.mailboxes,
                NotifyMailboxes::Selected | NotifyMailboxes::SelectedDelayed
            )
        })
    }

    /// Whether other mailboxes than the open one are watched.
    fn watches_others(&self) -> bool {
        let others = self.groups.len() - usize::from(self.selected_group().is_some());
        others > 0
    }

    /// What is wanted of a mailbox that is not open.
    fn events(&self, name: &str) -> Events {
        let mut wanted = Events::default();
        for group in &self.groups {
            let below = |top: &MailboxName| {
                let rest = name.strip_prefix(top.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(DELIMITER))
            };
            let covers = match &group.mailboxes {
                NotifyMailboxes::Selected | NotifyMailboxes::SelectedDelayed => false,
                // Mail can be filed into any mailbox.
                NotifyMailboxes::Inboxes | NotifyMailboxes::Personal => true,
                NotifyMailboxes::Subscribed => self.subscribed.contains(name),
                NotifyMailboxes::Subtree(tops) => tops.iter().any(below),
                NotifyMailboxes::Mailboxes(names) => names.iter().any(|of| of.as_str() == name),
            };
            if !covers {
                continue;
            }
            for event in &group.events {
                match event {
                    NotifyEvent::MessageNew(_) | NotifyEvent::MessageExpunge => {
                        wanted.messages = true;
                    }
                    NotifyEvent::FlagChange => wanted.flags = true,
                    NotifyEvent::MailboxName => wanted.names = true,
                    NotifyEvent::SubscriptionChange => wanted.subscriptions = true,
                    NotifyEvent::MailboxMetadataChange => wanted.entries = true,
                    // Asked of all groups at once.
                    NotifyEvent::ServerMetadataChange => {}
                }
            }
        }
        wanted
    }

    /// The STATUS response that tells what differs in a mailbox, if anything
    /// that is wanted does.
    fn difference(&mut self, now: MailboxInfo, enabled: Enabled) -> Option<Response> {
        let wanted = self.events(&now.name);
        let before = self.known.insert(now.id, now.clone());
        let moved = |of: fn(&MailboxInfo) -> u64| {
            before.as_ref().is_none_or(|before| of(before) != of(&now))
        };
        let counts = moved(|info| u64::from(info.messages)) || moved(|info| info.uid_next.into());
        let mut items = Vec::new();
        if wanted.messages && counts {
            items.push((StatusItem::UidNext, u64::from(now.uid_next)));
            items.push((StatusItem::Messages, u64::from(now.messages)));
        }
        let flags = moved(|info| info.highest_modseq);
        if wanted.flags && flags && !enabled.condstore && moved(|info| info.unseen.into()) {
            items.push((StatusItem::Unseen, u64::from(now.unseen)));
        }
        // RFC 5465 §5.1 to §5.3
        if enabled.condstore && (!items.is_empty() || (wanted.flags && flags)) {
            items.push((StatusItem::HighestModSeq, now.highest_modseq.max(1)));
        }
        if wanted.flags && !items.is_empty() {
            items.push((StatusItem::UidValidity, u64::from(now.uid_validity)));
        }
        (!items.is_empty()).then(|| Response::MailboxStatus {
            mailbox: MailboxName::new(now.name),
            items,
            id: None,
        })
    }
}

impl Talk<'_> {
    /// Whether changes are told between commands.
    pub(super) fn is_notified(&self) -> bool {
        self.notify
            .as_ref()
            .is_some_and(|notify| !notify.groups.is_empty())
    }

    /// The open mailbox, if it is one of the user's own.
    pub(super) fn open_own(&self) -> Option<MailboxId> {
        let view = self.selected.as_ref()?.view;
        view.guest().is_none().then_some(view.mailbox)
    }

    pub(super) async fn notify(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        command: &Command,
    ) -> Done<Status> {
        let Command::Set { status, groups } = command else {
            self.notify = Some(Notify::default());
            return Ok(Status::ok("nothing is told"));
        };
        // RFC 5465 §3.1: a NOOP is part of it.
        self.update(conn, true).await?;
        let notify = match self.begin(account, groups).await {
            Ok(notify) => notify,
            Err(error) => return Ok(status::of(&error, false)),
        };
        let enabled = conn.session().enabled();
        let open = self.open_own();
        for info in notify.known.values().filter(|_| *status) {
            let wanted = notify.events(&info.name);
            if !wanted.messages || Some(info.id) == open {
                continue;
            }
            let mut items = vec![
                (StatusItem::Messages, u64::from(info.messages)),
                (StatusItem::UidNext, u64::from(info.uid_next)),
                (StatusItem::UidValidity, u64::from(info.uid_validity)),
            ];
            if wanted.flags || enabled.condstore {
                items.push((StatusItem::HighestModSeq, info.highest_modseq.max(1)));
            }
            let mailbox = MailboxName::new(info.name.clone());
            conn.session().untagged(&Response::MailboxStatus {
                mailbox,
                items,
                id: None,
            })?;
            if conn.session().pending_output() > UNSENT_LOW {
                conn.flush().await?;
            }
        }
        self.notify = Some(notify);
        Ok(Status::ok("changes are told"))
    }

    async fn begin(&self, account: AccountId, groups: &[EventGroup]) -> Result<Notify, Error> {
        let mailboxes = &self.context.mailboxes;
        // Before the rest: what comes meanwhile is looked at again.
        let after = mailboxes.last_change(account).await?;
        let known = mailboxes.list(account).await?;
        Ok(Notify {
            groups: groups.to_vec(),
            after,
            known: known.into_iter().map(|info| (info.id, info)).collect(),
            subscribed: mailboxes
                .subscriptions(account)
                .await?
                .into_iter()
                .collect(),
            own: BTreeSet::new(),
            own_entries: Changed::new(),
        })
    }

    /// Tells what happened in mailboxes that are not open.
    pub(super) async fn tell_others(&mut self, conn: &mut ImapConn) -> Done {
        let Some(account) = self.user.as_ref().map(|user| user.account) else {
            return Ok(());
        };
        let Some(mut notify) = self.notify.take_if(|notify| notify.watches_others()) else {
            return Ok(());
        };
        match self.others(conn, account, &mut notify).await? {
            Ok(true) => self.notify = Some(notify),
            Ok(false) => {
                // RFC 5465 §5.8
                self.notify = Some(Notify::default());
                let code = Code::NotificationOverflow;
                conn.session()
                    .untagged(&Response::ok(code, "too much happened, look for yourself"))?;
            }
            Err(error) => {
                tracing::error!(%error, "changes could not be read");
                self.notify = Some(notify);
            }
        }
        Ok(())
    }

    /// False if the log does not reach back to what was told last.
    async fn others(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        notify: &mut Notify,
    ) -> Done<Result<bool, Error>> {
        let mailboxes = &self.context.mailboxes;
        let enabled = conn.session().enabled();
        let open = self.open_own();
        loop {
            let stretch = match mailboxes.follow(account, notify.after, STRETCH).await {
                Ok(Some(stretch)) => stretch,
                Ok(None) => return Ok(Ok(false)),
                Err(error) => return Ok(Err(error)),
            };
            notify.after = stretch.upto;
            if !stretch.folders.is_empty() || stretch.subscriptions {
                let told = self.tell_folders(conn, account, notify, &stretch.folders);
                if let Err(error) = told.await? {
                    return Ok(Err(error));
                }
            }
            let entries = notify.wanted_entries(account, &stretch);
            self.announce(conn, account, entries).await?;
            let mut touched: BTreeSet<MailboxId> = stretch.flagged;
            touched.extend(stretch.came.keys());
            touched.extend(stretch.gone.keys());
            for id in touched {
                let info = match mailboxes.info(account, id).await {
                    Ok(info) => info,
                    Err(Error::NoSuchMailbox) => continue,
                    Err(error) => return Ok(Err(error)),
                };
                match notify.difference(info, enabled) {
                    Some(response) if Some(id) != open => conn.session().untagged(&response)?,
                    _ => {}
                }
            }
            if conn.session().pending_output() > UNSENT_LOW {
                conn.flush().await?;
            }
            if !stretch.more {
                return Ok(Ok(true));
            }
        }
    }

    /// LIST responses for mailboxes that were made, removed, renamed, and for
    /// subscriptions (RFC 5465 §5.4, §5.5).
    async fn tell_folders(
        &self,
        conn: &mut ImapConn,
        account: AccountId,
        notify: &mut Notify,
        folders: &BTreeSet<MailboxId>,
    ) -> Done<Result<(), Error>> {
        let mailboxes = &self.context.mailboxes;
        let (all, subscribed) = match (
            self.all(account).await,
            mailboxes.subscriptions(account).await,
        ) {
            (Ok(all), Ok(subscribed)) => (all, subscribed),
            (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
        };
        // Names to be shown, with the name they had.
        let mut shown: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut renamed: Vec<(String, String)> = Vec::new();
        let parent = |name: &str| {
            name.rsplit_once(DELIMITER)
                .map(|(parent, _)| parent.to_owned())
        };
        for &id in folders {
            let mut infos = all.values().filter_map(|entry| entry.info.as_ref());
            let now = infos.find(|info| info.id == id).cloned();
            let before = match &now {
                Some(info) => notify.known.insert(id, info.clone()),
                None => notify.known.remove(&id),
            };
            let (before, now) = (before.map(|info| info.name), now.map(|info| info.name));
            match (before, now) {
                (Some(before), Some(now)) if before != now => renamed.push((before, now)),
                (None, Some(one)) | (Some(one), None) => {
                    if let Some(parent) = parent(&one) {
                        shown.entry(parent).or_default();
                    }
                    shown.entry(one).or_default();
                }
                _ => {}
            }
        }
        // What moved with its parent is not mentioned by itself.
        let with_parent = |before: &str, now: &str| {
            renamed.iter().any(|(from, to)| {
                let (old, new) = (before.strip_prefix(from), now.strip_prefix(to));
                old.zip(new)
                    .is_some_and(|(old, new)| old == new && old.starts_with(DELIMITER))
            })
        };
        for (before, now) in &renamed {
            if !with_parent(before, now) {
                shown.insert(now.clone(), Some(before.clone()));
            }
        }
        shown.retain(|name, before| {
            let of = |name: &str| notify.events(name).names;
            of(name) || before.as_deref().is_some_and(of)
        });
        let subscribed: BTreeSet<String> = subscribed.into_iter().collect();
        let before = std::mem::replace(&mut notify.subscribed, subscribed);
        for name in before.symmetric_difference(&notify.subscribed) {
            // One that has just left the list was on it.
            if notify.events(name).subscriptions
                || notify.groups.iter().any(|group| {
                    group.mailboxes == NotifyMailboxes::Subscribed
                        && group.events.contains(&NotifyEvent::SubscriptionChange)
                })
            {
                shown.entry(name.clone()).or_default();
            }
        }
        for (name, before) in shown {
            let mut item = entry_response(&name, all.get(&name));
            item.old_name = before.map(MailboxName::new);
            conn.session().untagged(&Response::List(item))?;
        }
        Ok(Ok(()))
    }
}
