//! Mailboxes: listed, made, removed, renamed, subscribed.

use std::collections::{BTreeMap, BTreeSet};

use axigen_proto::imap::command::{List, ListPattern};
use axigen_proto::imap::response::{Code, ListItem, MailboxAttribute, Namespace, Response, Status};
use axigen_proto::imap::types::{MailboxName, SpecialUse as Use, StatusItem};
use axigen_store::AccountId;

use super::notify::Notify;
use super::quota::units;
use super::{Done, ImapConn, Talk, status};
use crate::mailbox::{MailboxInfo, SpecialUse, mailbox_object, names};

pub(super) const DELIMITER: char = '/';

fn use_of(special: Use) -> SpecialUse {
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

fn shown(special: SpecialUse) -> Use {
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
    pub(super) async fn create(
        &mut self,
        account: AccountId,
        name: &str,
        special_use: &[Use],
    ) -> Status {
        let special = match special_use {
            [] => None,
            // What these two show is not one mailbox's content here.
            [Use::All | Use::Flagged] => {
                return Status::no("no mailbox can have that use").with(Code::UseAttr);
            }
            [one] => Some(use_of(*one)),
            _ => return Status::no("a mailbox has one use").with(Code::UseAttr),
        };
        let mailboxes = &self.context.mailboxes;
        let info = match mailboxes.create(account, name, special).await {
            Ok(info) => info,
            Err(error) => return status::of(&error, false),
        };
        let id = mailbox_object(account, info.id);
        if let Some(notify) = &mut self.notify {
            notify.made(info);
        }
        let made = Status::ok("made");
        match id {
            // RFC 8474 §4.1
            Some(id) => made.with(Code::MailboxId(id)),
            None => made,
        }
    }

    pub(super) async fn delete(&mut self, account: AccountId, name: &str) -> Status {
        match self.context.mailboxes.delete(account, name).await {
            Ok(()) => {
                self.own_change(|notify| notify.removed(&normalised(name)));
                Status::ok("deleted")
            }
            Err(error) => status::of(&error, false),
        }
    }

    pub(super) async fn rename(&mut self, account: AccountId, from: &str, to: &str) -> Status {
        match self.context.mailboxes.rename(account, from, to).await {
            Ok(()) => {
                self.own_change(|notify| notify.renamed(&normalised(from), &normalised(to)));
                Status::ok("renamed")
            }
            Err(error) => status::of(&error, false),
        }
    }

    pub(super) async fn subscribe(&mut self, account: AccountId, name: &str, on: bool) -> Status {
        match self.context.mailboxes.subscribe(account, name, on).await {
            Ok(()) => {
                self.own_change(|notify| notify.subscribed(&normalised(name), on));
                Status::ok(if on { "subscribed" } else { "unsubscribed" })
            }
            Err(error) => status::of(&error, false),
        }
    }

    /// RFC 5465 §5: what this client did itself is no news for it.
    fn own_change(&mut self, change: impl FnOnce(&mut Notify)) {
        if let Some(notify) = &mut self.notify {
            change(notify);
        }
    }

    pub(super) fn namespace(&mut self, conn: &mut ImapConn) -> Done<Status> {
        let personal = vec![Namespace {
            prefix: String::new(),
            delimiter: Some(DELIMITER),
        }];
        conn.session().untagged(&Response::Namespace {
            personal,
            other: Vec::new(),
            shared: Vec::new(),
        })?;
        Ok(Status::ok("done"))
    }

    pub(super) async fn mailbox_status(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        mailbox: MailboxName,
        items: &[StatusItem],
    ) -> Done<Status> {
        let info = match self.context.mailboxes.find(account, mailbox.as_str()).await {
            Ok(info) => info,
            Err(error) => return Ok(status::of(&error, false)),
        };
        let append_limit = conn.session().append_limit();
        let counters = self.counters(account, mailbox, &info, items, append_limit);
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
        let all = match self.all(account).await {
            Ok(all) => all,
            Err(error) => return Ok(status::of(&error, false)),
        };
        for (name, entry) in &all {
            let mailbox = MailboxName::new(name.clone());
            if !list
                .patterns
                .iter()
                .any(|pattern| pattern.matches(&list.reference, &mailbox, Some(DELIMITER)))
            {
                continue;
            }
            let Some(response) = selected_response(name, entry, list) else {
                continue;
            };
            conn.session().untagged(&Response::List(response))?;
            if !list.returns.status.is_empty()
                && let Some(info) = &entry.info
            {
                let append_limit = conn.session().append_limit();
                let items = &list.returns.status;
                let counters = self.counters(account, mailbox, info, items, append_limit);
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
            entry.info = Some(info);
        }
        let existing: Vec<String> = all.keys().cloned().collect();
        for name in &existing {
            for parent in names::parents(name) {
                if let Some(entry) = all.get_mut(parent) {
                    entry.children = true;
                }
            }
        }
        for name in subscribed {
            for parent in names::parents(&name) {
                all.entry(parent.to_owned()).or_default().subscribed_below = true;
            }
            all.entry(name).or_default().subscribed = true;
        }
        Ok(all)
    }
}

/// A name as it is kept.
fn normalised(name: &str) -> String {
    names::normalise(name).map_or_else(|_| name.to_owned(), Into::into)
}

/// What is known of a name.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The mailbox; `None` for a name that is only a parent, or only subscribed.
    pub(super) info: Option<MailboxInfo>,
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
fn selected_response(name: &str, entry: &Entry, list: &List) -> Option<ListItem> {
    let select = &list.select;
    let mut child_subscribed = false;
    if select.subscribed {
        // RFC 5258 §3.5: a name above a subscribed one is shown for its sake.
        child_subscribed = select.recursive_match && entry.subscribed_below;
        if !entry.subscribed && !child_subscribed {
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
    Some(ListItem {
        child_subscribed,
        ..item(attributes(entry, subscribed), name)
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
