//! Which accounts NOTIFY watches, and which of their mailboxes the user sees.

use std::collections::{BTreeMap, BTreeSet};

use axigen_proto::imap::extensions::acl::Rights;
use axigen_proto::imap::extensions::notify::{EventGroup, NotifyMailboxes};
use axigen_proto::imap::types::MailboxName;
use axigen_store::AccountId;

use super::super::Talk;
use super::super::list::{DELIMITER, normalised};
use super::{Doings, Known, Notify, Watched};
use crate::mailbox::{Error, MailboxId, View};

/// Accounts of others that groups name.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// What stands before their names.
    accounts: BTreeMap<AccountId, String>,
    /// Whether they are those that share anything: who begins to is news.
    sharers: bool,
}

/// A mailbox of another account, for the user.
#[derive(Debug)]
pub(super) enum Seen {
    /// It is not there.
    Gone,
    /// The user may not look it up.
    Hidden,
    Shown(Known),
}

impl Talk<'_> {
    /// What is watched from now on; `None` if it is too much.
    pub(super) async fn begin(
        &self,
        account: AccountId,
        groups: &[EventGroup],
    ) -> Result<Option<Notify>, Error> {
        let mailboxes = &self.context.mailboxes;
        // Before the rest: what comes meanwhile is looked at again.
        let after = mailboxes.last_change(account).await?;
        let of_own = |info| {
            let readable = true;
            Known { info, readable }
        };
        let known = mailboxes.list(account).await?.into_iter();
        let own = Watched {
            after,
            known: known.map(|info| (info.id, of_own(info))).collect(),
            ..Watched::default()
        };
        let mut notify = Notify {
            groups: groups.to_vec(),
            reader: Some(account),
            accounts: BTreeMap::from([(account, own)]),
            ..Notify::default()
        };
        for group in &mut notify.groups {
            if let NotifyMailboxes::Subtree(names) | NotifyMailboxes::Mailboxes(names) =
                &mut group.mailboxes
            {
                for name in names {
                    *name = MailboxName::new(self.as_shown(name.as_str()).await?);
                }
            }
        }
        let subscribed = mailboxes.subscriptions(account).await?;
        notify.subscribed = subscribed.into_iter().collect();
        self.cover(&mut notify).await?;
        let scope = self.scope(&notify).await?;
        let new = self.watch(&mut notify, scope).await?;
        for (other, _) in new {
            self.know(&mut notify, other).await?;
            if self.is_too_much(&notify) {
                return Ok(None);
            }
        }
        notify.did = Doings::default();
        Ok(Some(notify))
    }

    /// Whether more of others is watched than one session may.
    pub(super) fn is_too_much(&self, notify: &Notify) -> bool {
        let most = self.context.settings.load().imap.notify_mailboxes;
        notify.of_others_watched() > most
    }

    /// A name as it is shown; one of nothing as it is written.
    async fn as_shown(&self, name: &str) -> Result<String, Error> {
        let own = || normalised(name);
        let (other, _) = self.tops();
        if let Some((top, address)) = name.rsplit_once(DELIMITER)
            && top == other
            && !other.is_empty()
        {
            let (_, prefix) = match self.sharer(address).await? {
                Some(found) => found,
                None => return Ok(own()),
            };
            return Ok(prefix.trim_end_matches(DELIMITER).to_owned());
        }
        match self.locate(name).await {
            Ok(located) if located.prefix.is_empty() => Ok(own()),
            Ok(located) => Ok(located.shown(&located.name)),
            Err(Error::NoSuchMailbox) => Ok(own()),
            Err(error) => Err(error),
        }
    }

    /// Another user's account, and what stands before its names.
    async fn sharer(&self, address: &str) -> Result<Option<(AccountId, String)>, Error> {
        let (other, _) = self.tops();
        // Any name below will do: that there is one is not asked.
        let name = format!("{other}{DELIMITER}{address}{DELIMITER}INBOX");
        match self.locate(&name).await {
            Ok(located) => Ok(Some((located.account, located.prefix))),
            Err(Error::NoSuchMailbox) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Finds what the subscribed names mean.
    pub(super) async fn cover(&self, notify: &mut Notify) -> Result<(), Error> {
        let mut covered = BTreeSet::new();
        for name in &notify.subscribed {
            covered.insert(match self.is_foreign(name) {
                true => self.as_shown(name).await?,
                false => name.clone(),
            });
        }
        notify.covered = covered;
        Ok(())
    }

    /// The accounts of others that the groups name. One that is not there is
    /// left out (RFC 5465 §3.1); of one that is, it does not matter yet what
    /// the user may do there, since that can change (§5.9).
    pub(super) async fn scope(&self, notify: &Notify) -> Result<Scope, Error> {
        let mut scope = Scope::default();
        let (other, public) = self.tops();
        let mut names: BTreeSet<&str> = BTreeSet::new();
        for group in notify.groups.iter().filter(|of| !of.events.is_empty()) {
            match &group.mailboxes {
                NotifyMailboxes::Subscribed => {
                    names.extend(notify.covered.iter().map(String::as_str));
                }
                NotifyMailboxes::Mailboxes(of) => names.extend(of.iter().map(MailboxName::as_str)),
                NotifyMailboxes::Subtree(tops) => {
                    for top in tops.iter().map(MailboxName::as_str) {
                        if top == other && !other.is_empty() {
                            scope.sharers = true;
                        } else if top == public && !public.is_empty() {
                            self.add_public(&mut scope, &public).await?;
                        } else if let Some((above, address)) = top.rsplit_once(DELIMITER)
                            && above == other
                        {
                            scope.accounts.extend(self.sharer(address).await?);
                        } else {
                            names.insert(top);
                        }
                    }
                }
                _ => {}
            }
        }
        for name in names {
            if !self.is_foreign(name) {
                continue;
            }
            match self.locate(name).await {
                Ok(located) => drop(scope.accounts.insert(located.account, located.prefix)),
                Err(Error::NoSuchMailbox) => {}
                Err(error) => return Err(error),
            }
        }
        if scope.sharers
            && let Some(reader) = notify.reader
        {
            for owner in self.context.mailboxes.sharers(reader).await? {
                // Of an account that is gone there is nothing to show.
                if let Ok(Some(address)) = self.context.directory.address_of(owner).await {
                    let prefix = format!("{other}{DELIMITER}{address}{DELIMITER}");
                    scope.accounts.insert(owner, prefix);
                }
            }
        }
        // One's own mailboxes are watched by their own names.
        scope.accounts.retain(|of, _| Some(*of) != notify.reader);
        Ok(scope)
    }

    async fn add_public(&self, scope: &mut Scope, public: &str) -> Result<(), Error> {
        if let Some(account) = self.public_account().await? {
            let prefix = format!("{public}{DELIMITER}");
            scope.accounts.insert(account, prefix);
        }
        Ok(())
    }

    /// Watches these accounts of others and no more; gives those that are new,
    /// of which nothing is known yet, and whether they began to share something.
    pub(super) async fn watch(
        &self,
        notify: &mut Notify,
        scope: Scope,
    ) -> Result<Vec<(AccountId, bool)>, Error> {
        let mailboxes = &self.context.mailboxes;
        if scope.accounts.is_empty() && !scope.sharers && notify.watcher.is_none() {
            return Ok(Vec::new());
        }
        let mut watcher = match notify.watcher.take() {
            Some(watcher) => watcher,
            None => mailboxes.watch_some(),
        };
        let reader = notify.reader;
        notify.accounts.retain(|account, _| {
            let stays = Some(*account) == reader || scope.accounts.contains_key(account);
            if !stays {
                watcher.remove(*account);
            }
            stays
        });
        match scope.sharers {
            // There it is noted who shares something with everyone.
            true => watcher.add(AccountId::SYSTEM),
            false => watcher.remove(AccountId::SYSTEM),
        }
        let mut new = Vec::new();
        for (account, prefix) in scope.accounts {
            watcher.add(account);
            if let Some(watched) = notify.accounts.get_mut(&account) {
                watched.prefix = prefix;
                continue;
            }
            let watched = Watched {
                prefix,
                after: mailboxes.last_change(account).await?,
                ..Watched::default()
            };
            notify.accounts.insert(account, watched);
            new.push((account, scope.sharers));
        }
        notify.watcher = Some(watcher);
        Ok(new)
    }

    /// Reads what the user may look up of a watched account, as what the client
    /// knows.
    pub(super) async fn know(&self, notify: &mut Notify, account: AccountId) -> Result<(), Error> {
        let Some(watched) = notify.accounts.get_mut(&account) else {
            return Ok(());
        };
        for (id, _) in self.context.mailboxes.access_lists(account).await? {
            if let Seen::Shown(known) = self.seen(account, id, &watched.prefix).await? {
                watched.known.insert(id, known);
            }
        }
        Ok(())
    }

    /// A mailbox of another account as the user sees it now.
    pub(super) async fn seen(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        prefix: &str,
    ) -> Result<Seen, Error> {
        let Some(user) = &self.user else {
            return Ok(Seen::Hidden);
        };
        let mailboxes = &self.context.mailboxes;
        let rights = match mailboxes.rights(account, mailbox, user.account).await {
            Ok(rights) => rights,
            Err(Error::NoSuchMailbox) => return Ok(Seen::Gone),
            Err(error) => return Err(error),
        };
        if !rights.has(Rights::LOOKUP) {
            return Ok(Seen::Hidden);
        }
        let view = View {
            account,
            mailbox,
            reader: user.account,
            rights,
        };
        match mailboxes.info_of(&view).await {
            Ok(mut info) => {
                info.name = format!("{prefix}{}", info.name);
                let readable = rights.has(Rights::READ);
                Ok(Seen::Shown(Known { info, readable }))
            }
            Err(Error::NoSuchMailbox) => Ok(Seen::Gone),
            Err(error) => Err(error),
        }
    }
}
