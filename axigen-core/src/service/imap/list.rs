//! Mailboxes: listed, made, removed, renamed, subscribed.

use std::collections::{BTreeMap, BTreeSet};

use axigen_proto::imap::command::{List, ListPattern};
use axigen_proto::imap::extensions::acl::{AclResponse, Rights};
use axigen_proto::imap::extensions::metadata::{Depth, MetadataResponse};
use axigen_proto::imap::response::{Code, ListItem, MailboxAttribute, Response, Status};
use axigen_proto::imap::types::{MailboxName, SpecialUse as Use, StatusItem};
use axigen_store::AccountId;

use super::metadata::chosen;
use super::namespace::no_permission;
use super::notify::Notify;
use super::quota::units;
use super::{Done, ImapConn, Talk, status};
use crate::mailbox::{Error, MailboxInfo, SpecialUse, View, mailbox_object, names};

pub(super) const DELIMITER: char = '/';

pub(super) fn use_of(special: Use) -> SpecialUse {
    match special {
        Use::All => SpecialUse::All,
        Use::Archive => SpecialUse::Archive,
        Use::Drafts => SpecialUse::Drafts,
        Use::Flagged => SpecialUse::Flagged,
        Use::Junk => SpecialUse::Junk,
        Use::Sent => SpecialUse::Sent,
        Use::Trash => SpecialUse::Trash,
    }
}

pub(super) fn shown(special: SpecialUse) -> Use {
    match special {
        SpecialUse::All => Use::All,
        SpecialUse::Archive => Use::Archive,
        SpecialUse::Drafts => Use::Drafts,
        SpecialUse::Flagged => Use::Flagged,
        SpecialUse::Junk => Use::Junk,
        SpecialUse::Sent => Use::Sent,
        SpecialUse::Trash => Use::Trash,
    }
}

impl Talk<'_> {
    pub(super) async fn create(&mut self, name: &str, special_use: &[Use]) -> Status {
        let special = match special_use {
            [] => None,
            // What these two show is not one mailbox's content here.
            [Use::All | Use::Flagged] => {
                return Status::no("no mailbox can have that use").with(Code::UseAttr);
            }
            [one] => Some(use_of(*one)),
            _ => return Status::no("a mailbox has one use").with(Code::UseAttr),
        };
        let trimmed = name.strip_suffix(DELIMITER).unwrap_or(name);
        let located = match self.locate(trimmed).await {
            Ok(located) => located,
            // Another namespace, in which nothing is made.
            Err(Error::NoSuchMailbox) => return no_permission(),
            Err(error) => return status::of(&error, false),
        };
        let own = located.prefix.is_empty();
        if !own && special.is_some() {
            return Status::no("a use is for mailboxes of one's own").with(Code::UseAttr);
        }
        if let Err(status) = self.may_create(&located).await {
            return status;
        }
        let mailboxes = &self.context.mailboxes;
        let created = match own {
            true => mailboxes.create(located.account, name, special).await,
            false => {
                mailboxes
                    .create_beside(located.account, &located.name)
                    .await
            }
        };
        let info = match created {
            Ok(info) => info,
            Err(error) => return status::of(&error, false),
        };
        let id = mailbox_object(located.account, info.id);
        let readable = match (own, &self.user) {
            (true, _) => true,
            (false, Some(user)) => {
                let rights = mailboxes.rights(located.account, info.id, user.account);
                rights.await.is_ok_and(|rights| rights.has(Rights::READ))
            }
            (false, None) => false,
        };
        self.own_change(|notify| {
            let name = located.shown(&info.name);
            let info = MailboxInfo { name, ..info };
            notify.made(located.account, info, readable);
        });
        let made = Status::ok("made");
        match id {
            // RFC 8474 §4.1
            Some(id) => made.with(Code::MailboxId(id)),
            None => made,
        }
    }

    pub(super) async fn delete(&mut self, name: &str) -> Status {
        let located = match self.locate(name).await {
            Ok(located) => located,
            Err(error) => return status::of(&error, false),
        };
        if !located.prefix.is_empty()
            && let Err(status) = self.mailbox_for(name, Rights::DELETE, false).await
        {
            return status;
        }
        let mailboxes = &self.context.mailboxes;
        match mailboxes.delete(located.account, &located.name).await {
            Ok(()) => {
                let name = located.shown(&normalised(&located.name));
                self.own_change(|notify| notify.removed(located.account, &name));
                Status::ok("deleted")
            }
            Err(error) => status::of(&error, false),
        }
    }

    pub(super) async fn rename(&mut self, from: &str, to: &str) -> Status {
        let (old, new) = match (self.locate(from).await, self.locate(to).await) {
            (Ok(old), Ok(new)) => (old, new),
            (Err(error), _) => return status::of(&error, false),
            (_, Err(Error::NoSuchMailbox)) => return no_permission(),
            (_, Err(error)) => return status::of(&error, false),
        };
        if !old.prefix.is_empty()
            && let Err(status) = self.mailbox_for(from, Rights::DELETE, false).await
        {
            return status;
        }
        if old.account != new.account {
            return Status::no("a mailbox stays with its owner").with(Code::Cannot);
        }
        if let Err(status) = self.may_create(&new).await {
            return status;
        }
        let mailboxes = &self.context.mailboxes;
        match mailboxes.rename(old.account, &old.name, &new.name).await {
            Ok(()) => {
                let from = old.shown(&normalised(&old.name));
                let to = new.shown(&normalised(&new.name));
                self.own_change(|notify| notify.renamed(old.account, &from, &to));
                Status::ok("renamed")
            }
            Err(error) => status::of(&error, false),
        }
    }

    /// RFC 9051 §6.3.7 leaves it to the server to look whether the mailbox is
    /// there; a name that is none would only come up as one in lists of clients.
    pub(super) async fn subscribe(&mut self, account: AccountId, name: &str, on: bool) -> Status {
        if on {
            match self.seen_by_user(name).await {
                Ok(_) => {}
                Err(Error::NoSuchMailbox) => match self.is_level(account, name).await {
                    Ok(true) => {}
                    Ok(false) => return status::of(&Error::NoSuchMailbox, false),
                    Err(error) => return status::of(&error, false),
                },
                Err(error) => return status::of(&error, false),
            }
        }
        match self.context.mailboxes.subscribe(account, name, on).await {
            Ok(()) => {
                self.own_change(|notify| notify.subscribed(&normalised(name), on));
                Status::ok(if on { "subscribed" } else { "unsubscribed" })
            }
            Err(error) => status::of(&error, false),
        }
    }

    /// Whether mailboxes of the user stand below this name.
    async fn is_level(&self, account: AccountId, name: &str) -> Result<bool, Error> {
        let above = format!("{}/", normalised(name));
        let all = self.context.mailboxes.list(account).await?;
        Ok(all.iter().any(|info| info.name.starts_with(&above)))
    }

    /// RFC 5465 §5: what this client did itself is no news for it.
    fn own_change(&mut self, change: impl FnOnce(&mut Notify)) {
        if let Some(notify) = &mut self.notify {
            change(notify);
        }
    }

    pub(super) async fn mailbox_status(
        &mut self,
        conn: &mut ImapConn,
        mailbox: MailboxName,
        items: &[StatusItem],
    ) -> Done<Status> {
        let (view, info) = match self
            .mailbox_for(mailbox.as_str(), Rights::READ, false)
            .await
        {
            Ok(found) => found,
            Err(status) => return Ok(status),
        };
        let append_limit = conn.session().append_limit();
        let counters = self.counters(view.account, mailbox, &info, items, append_limit);
        match counters.await {
            Ok(response) => conn.session().untagged(&response)?,
            Err(error) => return Ok(status::of(&error, false)),
        }
        Ok(Status::ok("done"))
    }

    async fn counters(
        &self,
        account: AccountId,
        mailbox: MailboxName,
        info: &MailboxInfo,
        items: &[StatusItem],
        append_limit: u64,
    ) -> crate::mailbox::Result<Response> {
        let mut values = Vec::with_capacity(items.len());
        let mut id = None;
        for item in items {
            let value = match item {
                StatusItem::MailboxId => {
                    id = mailbox_object(account, info.id);
                    continue;
                }
                StatusItem::Messages => u64::from(info.messages),
                StatusItem::UidNext => u64::from(info.uid_next),
                StatusItem::UidValidity => u64::from(info.uid_validity),
                StatusItem::Unseen => u64::from(info.unseen),
                StatusItem::Deleted => u64::from(info.deleted),
                StatusItem::Size => info.size,
                // RFC 7162 §7: 0 would say that there are no such numbers.
                StatusItem::DeletedStorage => {
                    let deleted = self.context.mailboxes.deleted_size(account, info.id);
                    units(deleted.await?)
                }
                StatusItem::AppendLimit => append_limit,
                StatusItem::HighestModSeq => info.highest_modseq.max(1),
                StatusItem::Recent => {
                    let floor = self
                        .context
                        .mailboxes
                        .recent(account, info.id, false)
                        .await?;
                    match floor >= info.uid_next {
                        true => 0,
                        false => {
                            let (uids, _) = self.context.mailboxes.uids(account, info.id).await?;
                            uids.iter().filter(|&&uid| uid >= floor).count() as u64
                        }
                    }
                }
            };
            values.push((*item, value));
        }
        Ok(Response::MailboxStatus {
            mailbox,
            items: values,
            id,
        })
    }

    pub(super) async fn list(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        list: &List,
    ) -> Done<Status> {
        // RFC 9051 §6.3.9: an empty pattern asks for the delimiter alone.
        if let [ListPattern(pattern)] = list.patterns.as_slice()
            && pattern.is_empty()
            && !list.extended
        {
            conn.session()
                .untagged(&Response::List(item(vec![MailboxAttribute::NoSelect], "")))?;
            return Ok(Status::ok("done"));
        }
        let mut all = match self.all(account).await {
            Ok(all) => all,
            Err(error) => return Ok(status::of(&error, false)),
        };
        if let Err(error) = self.add_shared(list, &mut all).await {
            return Ok(status::of(&error, false));
        }
        let matches = |mailbox: &MailboxName| {
            let mut patterns = list.patterns.iter();
            patterns.any(|pattern| pattern.matches(&list.reference, mailbox, Some(DELIMITER)))
        };
        // RFC 5258 §3.3: names above one that is wanted, but not listed itself.
        let hidden = all.iter().filter(|(name, entry)| {
            list.select.recursive_match
                && entry.subscribed
                && !matches(&MailboxName::new(name.as_str()))
        });
        let above: BTreeSet<&str> = hidden.flat_map(|(name, _)| names::parents(name)).collect();
        for (name, entry) in &all {
            let mailbox = MailboxName::new(name.clone());
            if !matches(&mailbox) {
                continue;
            }
            let above_hidden = above.contains(name.as_str());
            let Some(response) = selected_response(name, entry, list, above_hidden) else {
                continue;
            };
            conn.session().untagged(&Response::List(response))?;
            // RFC 5819 §4, RFC 8440 §4, RFC 9590 §4: of a name that is listed only
            // for those below it no more is told.
            if list.select.subscribed && !entry.subscribed {
                continue;
            }
            if list.returns.my_rights
                && let Some(view) = &entry.view
            {
                // RFC 8440 §3
                let rights = view.rights;
                conn.session()
                    .untagged(&Response::Acl(AclResponse::MyRights { mailbox, rights }))?;
            }
            if !list.returns.metadata.is_empty()
                && let Some(info) = &entry.info
                && let Some(view) = &entry.view
            {
                // RFC 9590 §3
                let all = match self.entries_for(view, info).await {
                    Ok(all) => all.unwrap_or_default(),
                    Err(Error::NoSuchMailbox) => continue,
                    Err(error) => return Ok(status::of(&error, false)),
                };
                let mailbox = MailboxName::new(name.clone());
                let (values, _) = chosen(&all, None, Depth::Zero, &list.returns.metadata);
                let values = MetadataResponse::Values { mailbox, values };
                conn.session().untagged(&Response::Metadata(values))?;
            }
            let mailbox = MailboxName::new(name.clone());
            if !list.returns.status.is_empty()
                && let Some(info) = &entry.info
                && let Some(view) = &entry.view
                // RFC 5819 §2: those that may not be asked for are left out.
                && view.rights.has(Rights::READ)
            {
                let append_limit = conn.session().append_limit();
                let items = &list.returns.status;
                let counters = self.counters(view.account, mailbox, info, items, append_limit);
                match counters.await {
                    Ok(response) => conn.session().untagged(&response)?,
                    Err(error) => return Ok(status::of(&error, false)),
                }
            }
            if conn.session().pending_output() > crate::net::conn::UNSENT_LOW {
                conn.flush().await?;
            }
        }
        Ok(Status::ok("done"))
    }

    /// Subscribed names (RFC 3501 §6.3.9).
    pub(super) async fn lsub(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        reference: &str,
        pattern: &ListPattern,
    ) -> Done<Status> {
        let names = match self.context.mailboxes.subscriptions(account).await {
            Ok(names) => names,
            Err(error) => return Ok(status::of(&error, false)),
        };
        let mut shown: BTreeMap<String, Vec<MailboxAttribute>> = BTreeMap::new();
        for name in &names {
            let mailbox = MailboxName::new(name.clone());
            if pattern.matches(reference, &mailbox, Some(DELIMITER)) {
                shown.insert(name.clone(), Vec::new());
                continue;
            }
            // A `%` that stops above a subscribed name shows its parent.
            if pattern.0.ends_with('%') {
                for parent in names::parents(name) {
                    if pattern.matches(reference, &MailboxName::new(parent), Some(DELIMITER)) {
                        shown
                            .entry(parent.to_owned())
                            .or_insert_with(|| vec![MailboxAttribute::NoSelect]);
                    }
                }
            }
        }
        for name in &names {
            if let Some(attributes) = shown.get_mut(name) {
                attributes.clear();
            }
        }
        for (name, attributes) in shown {
            conn.session()
                .untagged(&Response::Lsub(item(attributes, &name)))?;
        }
        Ok(Status::ok("done"))
    }

    /// Every name there is something to say of.
    pub(super) async fn all(
        &self,
        account: AccountId,
    ) -> crate::mailbox::Result<BTreeMap<String, Entry>> {
        let mailboxes = self.context.mailboxes.list(account).await?;
        let subscribed: BTreeSet<String> = self
            .context
            .mailboxes
            .subscriptions(account)
            .await?
            .into_iter()
            .collect();
        let mut all: BTreeMap<String, Entry> = BTreeMap::new();
        for name in names::missing_parents(&mailboxes) {
            all.entry(name).or_default();
        }
        for info in mailboxes {
            let entry = all.entry(info.name.clone()).or_default();
            entry.special_use = info.special_use;
            entry.view = Some(View::own(account, info.id));
            entry.info = Some(info);
        }
        tell_parents(&mut all);
        for name in subscribed {
            for parent in names::parents(&name) {
                all.entry(parent.to_owned()).or_default().subscribed_below = true;
            }
            all.entry(name).or_default().subscribed = true;
        }
        Ok(all)
    }
}

/// Adds a mailbox of another account, with the names above it.
pub(super) fn add_foreign(all: &mut BTreeMap<String, Entry>, view: View, info: MailboxInfo) {
    for parent in names::parents(&info.name) {
        all.entry(parent.to_owned()).or_default().children = true;
    }
    let entry = all.entry(info.name.clone()).or_default();
    entry.view = Some(view);
    entry.info = Some(info);
}

/// Notes which names have others below them.
fn tell_parents(all: &mut BTreeMap<String, Entry>) {
    let existing = all.iter().filter(|(_, entry)| entry.info.is_some());
    let existing: Vec<String> = existing.map(|(name, _)| name.clone()).collect();
    for name in &existing {
        for parent in names::parents(name) {
            if let Some(entry) = all.get_mut(parent) {
                entry.children = true;
            }
        }
    }
}

/// A name as it is kept.
pub(super) fn normalised(name: &str) -> String {
    names::normalise(name).map_or_else(|_| name.to_owned(), Into::into)
}

/// What is known of a name.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The mailbox; `None` for a name that is only a parent, or only subscribed.
    pub(super) info: Option<MailboxInfo>,
    /// Whose it is, and what the user may do with it.
    pub(super) view: Option<View>,
    special_use: Option<SpecialUse>,
    children: bool,
    subscribed: bool,
    subscribed_below: bool,
}

fn item(attributes: Vec<MailboxAttribute>, name: &str) -> ListItem {
    ListItem {
        attributes,
        delimiter: Some(DELIMITER),
        name: MailboxName::new(name),
        child_subscribed: false,
        old_name: None,
    }
}

/// The response for a name, with all there is to say; `None` for a name that
/// nothing is known of.
pub(super) fn entry_response(name: &str, entry: Option<&Entry>) -> ListItem {
    let unknown = Entry::default();
    let entry = entry.unwrap_or(&unknown);
    item(attributes(entry, true), name)
}

/// The response for a name, or none if the selection leaves it out.
fn selected_response(
    name: &str,
    entry: &Entry,
    list: &List,
    above_hidden: bool,
) -> Option<ListItem> {
    let select = &list.select;
    let mut child_subscribed = false;
    if select.subscribed {
        // RFC 5258 §3.3: a name above a subscribed one is shown for its sake,
        // if that is not shown.
        child_subscribed = select.recursive_match && entry.subscribed_below;
        if !entry.subscribed && !above_hidden {
            return None;
        }
    } else if entry.info.is_none() && !entry.children {
        // Subscribed, but neither a mailbox nor above one.
        return None;
    }
    if select.special_use && entry.special_use.is_none() {
        return None;
    }
    let subscribed = select.subscribed || list.returns.subscribed;
    let mut attributes = attributes(entry, subscribed);
    if list.extended {
        // RFC 9051 §7.3.1: \NonExistent implies it, and who asks so knows that.
        attributes.retain(|attribute| *attribute != MailboxAttribute::NoSelect);
    }
    Some(ListItem {
        child_subscribed,
        ..item(attributes, name)
    })
}

fn attributes(entry: &Entry, subscribed: bool) -> Vec<MailboxAttribute> {
    let mut attributes = Vec::new();
    if entry.info.is_none() {
        attributes.push(MailboxAttribute::NonExistent);
        // RFC 9051 §7.3.1: \NonExistent implies it; IMAP4rev1 clients know only this.
        attributes.push(MailboxAttribute::NoSelect);
    }
    attributes.push(match entry.children {
        true => MailboxAttribute::HasChildren,
        false => MailboxAttribute::HasNoChildren,
    });
    if entry.subscribed && subscribed {
        attributes.push(MailboxAttribute::Subscribed);
    }
    if let Some(special) = entry.special_use {
        attributes.push(MailboxAttribute::SpecialUse(shown(special)));
    }
    attributes
}
