//! What happened in mailboxes that are not open, told.

use std::collections::BTreeSet;

use axigen_proto::imap::response::{Code, Response};
use axigen_store::AccountId;

use super::super::{Done, ImapConn, Talk};
use super::scope::Seen;
use super::{Doings, Notify};
use crate::mailbox::{Error, MailboxId, Stretch};
use crate::net::conn::UNSENT_LOW;

/// Messages and records read from a log at a time.
const STRETCH: usize = 10_000;

impl Talk<'_> {
    /// Tells what happened in mailboxes that are not open.
    pub(in super::super) async fn tell_others(&mut self, conn: &mut ImapConn) -> Done {
        let Some(account) = self.user.as_ref().map(|user| user.account) else {
            return Ok(());
        };
        let Some(mut notify) = self.notify.take_if(|notify| notify.watches_others()) else {
            if let Some(notify) = &mut self.notify {
                notify.did = Doings::default();
            }
            return Ok(());
        };
        match self.others(conn, account, &mut notify).await? {
            Ok(true) => {
                notify.did = Doings::default();
                self.notify = Some(notify);
            }
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

    /// False if there is more than can be told.
    async fn others(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        notify: &mut Notify,
    ) -> Done<Result<bool, Error>> {
        if let Some(watcher) = notify.watcher() {
            let changed = watcher.take();
            notify.pending.extend(changed);
        }
        match self.follow(conn, account, notify).await? {
            Ok(true) => {}
            other => return Ok(other),
        }
        if notify.pending.remove(&AccountId::SYSTEM)
            && let Err(error) = self.look_around(conn, notify).await?
        {
            return Ok(Err(error));
        }
        while let Some(other) = notify.pending.first().copied() {
            match self.follow(conn, other, notify).await? {
                Ok(true) => {}
                other => return Ok(other),
            }
            notify.pending.remove(&other);
        }
        Ok(Ok(!self.is_too_much(notify)))
    }

    /// Looks again which accounts are named by the groups; mailboxes of one that
    /// has begun to share them are told as new.
    async fn look_around(
        &mut self,
        conn: &mut ImapConn,
        notify: &mut Notify,
    ) -> Done<Result<(), Error>> {
        let scope = match self.scope(notify).await {
            Ok(scope) => scope,
            Err(error) => return Ok(Err(error)),
        };
        let new = match self.watch(notify, scope).await {
            Ok(new) => new,
            Err(error) => return Ok(Err(error)),
        };
        for (other, shares) in new {
            if self.is_too_much(notify) {
                break;
            }
            if !shares {
                if let Err(error) = self.know(notify, other).await {
                    return Ok(Err(error));
                }
                continue;
            }
            let lists = match self.context.mailboxes.access_lists(other).await {
                Ok(lists) => lists,
                Err(error) => return Ok(Err(error)),
            };
            let stretch = Stretch {
                folders: lists.into_iter().map(|(id, _)| id).collect(),
                ..Stretch::default()
            };
            if let Err(error) = self.tell_stretch(conn, other, notify, &stretch).await? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Reads an account's log from where it was read last. False if it does not
    /// reach back so far.
    async fn follow(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        notify: &mut Notify,
    ) -> Done<Result<bool, Error>> {
        let mailboxes = &self.context.mailboxes;
        loop {
            let Some(watched) = notify.accounts.get(&account) else {
                return Ok(Ok(true));
            };
            let after = watched.after;
            let mut stretch = match mailboxes.follow(account, after, STRETCH).await {
                Ok(Some(stretch)) => stretch,
                Ok(None) => return Ok(Ok(false)),
                Err(error) => return Ok(Err(error)),
            };
            let is_own = Some(account) == notify.reader;
            let nothing = Stretch {
                upto: stretch.upto,
                ..Stretch::default()
            };
            if !is_own && stretch == nothing && !watched.known.is_empty() {
                // Something changed that the log does not tell of: the account
                // may be gone.
                match mailboxes.mailbox_ids(account).await {
                    Ok(ids) if ids.is_empty() => {
                        stretch.folders = watched.known.keys().copied().collect();
                    }
                    Ok(_) => {}
                    Err(error) => return Ok(Err(error)),
                }
            }
            if let Some(watched) = notify.accounts.get_mut(&account) {
                watched.after = stretch.upto;
            }
            if let Err(error) = self.tell_stretch(conn, account, notify, &stretch).await? {
                return Ok(Err(error));
            }
            if is_own
                && stretch.subscriptions
                && let Err(error) = self.look_around(conn, notify).await?
            {
                return Ok(Err(error));
            }
            if conn.session().pending_output() > UNSENT_LOW {
                conn.flush().await?;
            }
            if !stretch.more {
                return Ok(Ok(true));
            }
        }
    }

    /// Tells what a stretch of an account's log holds.
    async fn tell_stretch(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        notify: &mut Notify,
        stretch: &Stretch,
    ) -> Done<Result<(), Error>> {
        let mailboxes = &self.context.mailboxes;
        let enabled = conn.session().enabled();
        let open = self.open_place();
        let reader = notify.reader.unwrap_or(account);
        let mut touched: BTreeSet<MailboxId> = stretch.flagged.clone();
        touched.extend(stretch.came.keys());
        touched.extend(stretch.gone.keys());
        let marked = stretch.seen.keys().filter(|(_, by)| *by == reader);
        touched.extend(marked.map(|(id, _)| *id));
        let is_own = account == reader;
        let mut granted = BTreeSet::new();
        if !stretch.folders.is_empty() || (is_own && stretch.subscriptions) {
            let told = self.tell_folders(conn, account, notify, &stretch.folders);
            match told.await? {
                // RFC 5465 §5.9: they are watched from here on.
                Ok(now) => granted = now,
                Err(error) => return Ok(Err(error)),
            }
        }
        touched.extend(&granted);
        let entries = notify.wanted_entries(account, stretch);
        let prefix = notify.accounts.get(&account).map(|of| of.prefix.clone());
        let prefix = prefix.unwrap_or_default();
        self.announce(conn, account, &prefix, entries).await?;
        for id in touched {
            if notify
                .known(account, id)
                .is_none_or(|known| !known.readable)
            {
                continue;
            }
            let info = match is_own {
                true => match mailboxes.info(account, id).await {
                    Ok(info) => info,
                    Err(Error::NoSuchMailbox) => continue,
                    Err(error) => return Ok(Err(error)),
                },
                false => match self.seen(account, id, &prefix).await {
                    Ok(Seen::Shown(known)) if known.readable => known.info,
                    // What was taken meanwhile stands further on in the log.
                    Ok(_) => continue,
                    Err(error) => return Ok(Err(error)),
                },
            };
            // If the mailbox is newer than this stretch, others may have done
            // something, too.
            let own = !granted.contains(&id)
                && info.highest_modseq <= stretch.upto
                && notify.did_all(account, id, stretch);
            match notify.difference(account, info, own, enabled) {
                Some(response) if Some((account, id)) != open => {
                    conn.session().untagged(&response)?;
                }
                _ => {}
            }
        }
        Ok(Ok(()))
    }
}
