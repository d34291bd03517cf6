//! NOTIFY: what a client is told without asking, also of mailboxes that are
//! not open. [RFC 5465](https://www.rfc-editor.org/rfc/rfc5465)
//!
//! What happened is read from the change logs of the accounts that are watched:
//! the user's own, and those whose mailboxes a group names. A commit wakes only
//! sessions that watch its account, and only that account's log is read then,
//! so the work is proportional to what changed. What the client knows already
//! is kept for each mailbox, and only what differs from it is told.
//!
//! | file | what it is |
//! |---|---|
//! | `notify` | what is wanted, and what the client knows |
//! | `scope` | which accounts and mailboxes are watched |
//! | `tell` | changes told: STATUS, METADATA |
//! | `folders` | changes told: LIST |

mod folders;
mod scope;
mod tell;

use std::collections::{BTreeMap, BTreeSet};

use axigen_proto::imap::command::FetchAttribute;
use axigen_proto::imap::extensions::enable::Enabled;
use axigen_proto::imap::extensions::metadata::EntryName;
use axigen_proto::imap::extensions::notify::{
    EventGroup, Notify as Command, NotifyEvent, NotifyMailboxes,
};
use axigen_proto::imap::response::{Code, ListItem, MailboxAttribute, Response, Status};
use axigen_proto::imap::types::{MailboxName, StatusItem};
use axigen_store::AccountId;
use axigen_store::store::SomeWatcher;

use super::list::DELIMITER;
use super::metadata::{Changed, news};
use super::selected::Told;
use super::{Done, ImapConn, Talk, status};
use crate::mailbox::{MailboxId, MailboxInfo, Stretch};
use crate::net::conn::UNSENT_LOW;

/// A mailbox of an account.
pub(super) type Place = (AccountId, MailboxId);

/// What a client wants to hear, and what it knows.
#[derive(Debug, Default)]
pub(super) struct Notify {
    /// Names in them are as they are shown, whichever way they were written.
    groups: Vec<EventGroup>,
    /// Whose client it is.
    reader: Option<AccountId>,
    /// The user's account and those of others that are watched.
    accounts: BTreeMap<AccountId, Watched>,
    /// Wakes for those of others.
    watcher: Option<SomeWatcher>,
    /// Accounts of others whose logs are still to be read.
    pending: BTreeSet<AccountId>,
    /// Subscribed names as the client knows them.
    subscribed: BTreeSet<String>,
    /// The same as they are shown: one of another user can be written with any
    /// of that user's addresses.
    covered: BTreeSet<String>,
    /// What this connection did itself since the last telling, which is no
    /// news for it (RFC 5465 §5).
    did: Doings,
}

/// An account that is watched.
#[derive(Debug, Default)]
struct Watched {
    /// What stands before its names, for the user.
    prefix: String,
    /// Up to this change of it all was told.
    after: u64,
    /// Its mailboxes as the client knows them; of others' those that the user
    /// may look up.
    known: BTreeMap<MailboxId, Known>,
    /// Those the client was told that it may not look up any more.
    lost: BTreeSet<MailboxId>,
}

/// A mailbox as the client knows it.
#[derive(Debug, Clone)]
struct Known {
    /// The name is as the user sees it.
    info: MailboxInfo,
    /// Whether the user may read it: every event needs that, besides looking it
    /// up (RFC 5465 §5).
    readable: bool,
}

/// What one connection did itself.
#[derive(Debug, Default)]
struct Doings {
    brought: BTreeMap<Place, BTreeSet<u32>>,
    removed: BTreeMap<Place, BTreeSet<u32>>,
    entries: BTreeMap<AccountId, Changed>,
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

impl Events {
    fn any(self) -> bool {
        self.messages || self.flags || self.names || self.subscriptions || self.entries
    }
}

/// A mailbox of which the client knows nothing yet.
fn unknown(info: &MailboxInfo) -> MailboxInfo {
    MailboxInfo {
        messages: 0,
        uid_next: 1,
        unseen: 0,
        highest_modseq: 0,
        ..info.clone()
    }
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

    /// Those of new messages of the open mailbox that others brought.
    pub(super) fn of_others(&mut self, open: Place, mut new: Vec<u32>) -> Vec<u32> {
        if let Some(own) = self.did.brought.get(&open) {
            new.retain(|uid| !own.contains(uid));
        }
        new
    }

    /// This connection put messages into a mailbox.
    pub(super) fn brought(&mut self, place: Place, uids: impl Iterator<Item = u32>) {
        self.did.brought.entry(place).or_default().extend(uids);
    }

    /// This connection took messages out of a mailbox that is not open.
    pub(super) fn took(&mut self, place: Place, uids: &[u32]) {
        self.did.removed.entry(place).or_default().extend(uids);
    }

    /// This connection made a mailbox; its name is as the user sees it.
    pub(super) fn made(&mut self, account: AccountId, info: MailboxInfo, readable: bool) {
        if let Some(watched) = self.accounts.get_mut(&account) {
            watched.known.insert(info.id, Known { info, readable });
        }
    }

    /// This connection removed a mailbox.
    pub(super) fn removed(&mut self, account: AccountId, name: &str) {
        if let Some(watched) = self.accounts.get_mut(&account) {
            watched.known.retain(|_, known| known.info.name != name);
        }
    }

    /// This connection gave a mailbox, and those below it, another name.
    pub(super) fn renamed(&mut self, account: AccountId, from: &str, to: &str) {
        let Some(watched) = self.accounts.get_mut(&account) else {
            return;
        };
        for known in watched.known.values_mut() {
            let rest = known.info.name.strip_prefix(from);
            let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with(DELIMITER));
            if let Some(rest) = rest {
                known.info.name = format!("{to}{rest}");
            }
        }
    }

    /// This connection changed entries of METADATA.
    pub(super) fn annotated(
        &mut self,
        (account, mailbox): Place,
        entries: impl Iterator<Item = EntryName>,
    ) {
        let of_account = self.did.entries.entry(account).or_default();
        of_account.entry(mailbox).or_default().extend(entries);
    }

    /// This connection subscribed to a name, or no longer. What that means for
    /// the groups is found when the log is read.
    pub(super) fn subscribed(&mut self, name: &str, on: bool) {
        match on {
            true => self.subscribed.insert(name.to_owned()),
            false => self.subscribed.remove(name),
        };
    }

    /// Wakes when another account that is watched has changed.
    pub(super) fn watcher(&mut self) -> Option<&mut SomeWatcher> {
        self.watcher.as_mut()
    }

    /// Those of changed entries that are wanted
    /// (RFC 5465 §5.6, §5.7).
    fn wanted_entries(&mut self, account: AccountId, stretch: &Stretch) -> Changed {
        let Some(reader) = self.reader else {
            return Changed::new();
        };
        let own = self.did.entries.entry(account).or_default();
        let mut changed = news(reader, stretch, own);
        let mut groups = self.groups.iter();
        let server = groups.any(|of| of.events.contains(&NotifyEvent::ServerMetadataChange));
        changed.retain(|id, _| match id {
            MailboxId(0) => server && account == reader,
            id => {
                let known = self.known(account, *id);
                known.is_some_and(|known| known.readable && self.wanted(account, known).entries)
            }
        });
        changed
    }

    fn known(&self, account: AccountId, id: MailboxId) -> Option<&Known> {
        self.accounts.get(&account)?.known.get(&id)
    }

    fn wanted(&self, account: AccountId, known: &Known) -> Events {
        self.events(account, &known.info.name)
    }

    /// Mailboxes of others that are watched; an account without any counts as
    /// one.
    fn of_others_watched(&self) -> usize {
        let others = self.accounts.iter();
        let others = others.filter(|(account, _)| Some(**account) != self.reader);
        others.map(|(_, watched)| watched.known.len().max(1)).sum()
    }

    /// Whether all that happened to a mailbox was this connection's doing.
    fn did_all(&self, account: AccountId, id: MailboxId, stretch: &Stretch) -> bool {
        let place = (account, id);
        let all = |happened: Option<&BTreeSet<u32>>, own: Option<&BTreeSet<u32>>| {
            happened.is_none_or(|uids| own.is_some_and(|own| uids.is_subset(own)))
        };
        let seen = self.reader.and_then(|of| stretch.seen.get(&(id, of)));
        !stretch.flagged.contains(&id)
            && all(stretch.came.get(&id), self.did.brought.get(&place))
            && all(stretch.gone.get(&id), self.did.removed.get(&place))
            && all(seen, self.did.brought.get(&place))
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

    /// What is wanted of a mailbox of this account that is not open.
    fn events(&self, account: AccountId, name: &str) -> Events {
        let mut wanted = Events::default();
        for group in &self.groups {
            let below = |top: &MailboxName| {
                let rest = name.strip_prefix(top.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(DELIMITER))
            };
            let covers = match &group.mailboxes {
                NotifyMailboxes::Selected | NotifyMailboxes::SelectedDelayed => false,
                // Mail can be filed into any mailbox.
                NotifyMailboxes::Inboxes | NotifyMailboxes::Personal => {
                    Some(account) == self.reader
                }
                NotifyMailboxes::Subscribed => self.covered.contains(name),
                NotifyMailboxes::Subtree(tops) => tops.iter().any(below),
                // Of ESEARCH only.
                NotifyMailboxes::SubtreeOne(_) => false,
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
    /// that is wanted does. `own` says that all of it was this connection's
    /// doing.
    fn difference(
        &mut self,
        account: AccountId,
        now: MailboxInfo,
        own: bool,
        enabled: Enabled,
    ) -> Option<Response> {
        let wanted = self.events(account, &now.name);
        let known = self.accounts.get_mut(&account)?.known.get_mut(&now.id)?;
        let before = std::mem::replace(&mut known.info, now.clone());
        if own {
            return None;
        }
        let moved = |of: fn(&MailboxInfo) -> u64| of(&before) != of(&now);
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

    /// The open mailbox.
    pub(super) fn open_place(&self) -> Option<Place> {
        let view = self.selected.as_ref()?.view;
        Some((view.account, view.mailbox))
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
            Ok(Some(notify)) => notify,
            // RFC 5465 §3.1: it may be refused for what it would cost.
            Ok(None) => {
                let text = "these are too many mailboxes of others to watch";
                return Ok(Status::no(text).with(Code::NotificationOverflow));
            }
            Err(error) => return Ok(status::of(&error, false)),
        };
        for (account, watched) in &notify.accounts {
            for known in watched.known.values() {
                self.introduce(conn, &notify, *account, known, *status)?;
                if conn.session().pending_output() > UNSENT_LOW {
                    conn.flush().await?;
                }
            }
        }
        self.notify = Some(notify);
        Ok(Status::ok("changes are told"))
    }

    /// What NOTIFY SET says of a mailbox: with STATUS what it holds, and always
    /// that it may not be read (RFC 5465 §3.1).
    fn introduce(
        &self,
        conn: &mut ImapConn,
        notify: &Notify,
        account: AccountId,
        known: &Known,
        status: bool,
    ) -> Done {
        let info = &known.info;
        let wanted = notify.wanted(account, known);
        if !known.readable {
            if wanted.any() {
                let item = no_access(&info.name);
                conn.session().untagged(&Response::List(item))?;
            }
            return Ok(());
        }
        if !status || !wanted.messages || Some((account, info.id)) == self.open_place() {
            return Ok(());
        }
        let mut items = vec![
            (StatusItem::Messages, u64::from(info.messages)),
            (StatusItem::UidNext, u64::from(info.uid_next)),
            (StatusItem::UidValidity, u64::from(info.uid_validity)),
        ];
        if wanted.flags || conn.session().enabled().condstore {
            items.push((StatusItem::HighestModSeq, info.highest_modseq.max(1)));
        }
        conn.session().untagged(&Response::MailboxStatus {
            mailbox: MailboxName::new(info.name.clone()),
            items,
            id: None,
        })?;
        Ok(())
    }
}

/// A mailbox that can be listed and not read.
fn no_access(name: &str) -> ListItem {
    ListItem {
        attributes: vec![MailboxAttribute::NoAccess],
        delimiter: Some(DELIMITER),
        name: MailboxName::new(name),
        child_subscribed: false,
        old_name: None,
    }
}
