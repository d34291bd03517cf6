//! LIST responses for mailboxes that were made, removed, renamed, that may be
//! looked up or no longer, and for subscriptions (RFC 5465 §5.4, §5.5, §5.9).

use std::collections::{BTreeMap, BTreeSet};

use axigen_proto::imap::extensions::notify::{NotifyEvent, NotifyMailboxes};
use axigen_proto::imap::response::{MailboxAttribute, Response};
use axigen_proto::imap::types::MailboxName;
use axigen_store::AccountId;

use super::super::list::{DELIMITER, Entry, entry_response};
use super::super::{Done, ImapConn, Talk};
use super::scope::Seen;
use super::{Known, Notify, unknown};
use crate::mailbox::{Error, MailboxId};

/// What a LIST response says besides what LIST says.
#[derive(Debug, Default)]
struct More {
    /// The name the mailbox had.
    old_name: Option<String>,
    /// That it may not be used any more.
    no_access: bool,
    /// It is told whether or not names are watched.
    always: bool,
}

impl Talk<'_> {
    /// Tells what became of these mailboxes; gives those that may be read now
    /// and could not before.
    pub(super) async fn tell_folders(
        &self,
        conn: &mut ImapConn,
        account: AccountId,
        notify: &mut Notify,
        folders: &BTreeSet<MailboxId>,
    ) -> Done<Result<BTreeSet<MailboxId>, Error>> {
        let told = self.what_became(account, notify, folders).await;
        let (shown, all, granted) = match told {
            Ok(told) => told,
            Err(error) => return Ok(Err(error)),
        };
        for (name, more) in shown {
            let mut item = entry_response(&name, all.get(&name));
            if more.no_access {
                item.attributes.push(MailboxAttribute::NoAccess);
            }
            item.old_name = more.old_name.map(MailboxName::new);
            conn.session().untagged(&Response::List(item))?;
        }
        Ok(Ok(granted))
    }

    #[allow(clippy::type_complexity)]
    async fn what_became(
        &self,
        account: AccountId,
        notify: &mut Notify,
        folders: &BTreeSet<MailboxId>,
    ) -> Result<
        (
            BTreeMap<String, More>,
            BTreeMap<String, Entry>,
            BTreeSet<MailboxId>,
        ),
        Error,
    > {
        let Some(reader) = notify.reader else {
            return Ok(Default::default());
        };
        let is_own = account == reader;
        let mailboxes = &self.context.mailboxes;
        let mut all = self.all(reader).await?;
        let mut granted = BTreeSet::new();
        // Names to be shown.
        let mut shown: BTreeMap<String, More> = BTreeMap::new();
        let mut renamed: Vec<(String, String)> = Vec::new();
        let wanted = |notify: &Notify, name: &str| notify.events(account, name);
        for &id in folders {
            let now = match is_own {
                true => match mailboxes.info(account, id).await {
                    Ok(info) => Seen::Shown(Known {
                        info,
                        readable: true,
                    }),
                    Err(Error::NoSuchMailbox) => Seen::Gone,
                    Err(error) => return Err(error),
                },
                false => {
                    let prefix = notify.accounts.get(&account).map(|of| of.prefix.clone());
                    self.seen(account, id, &prefix.unwrap_or_default()).await?
                }
            };
            let Some(watched) = notify.accounts.get_mut(&account) else {
                continue;
            };
            let before = watched.known.remove(&id);
            let mut was_lost = false;
            let (is_hidden, now) = match now {
                Seen::Gone => (false, None),
                Seen::Hidden => (true, None),
                Seen::Shown(known) => {
                    was_lost = watched.lost.remove(&id);
                    // Only the name and what may be done are news here: counters are
                    // told by STATUS.
                    let info = match &before {
                        Some(before) if before.readable => {
                            let name = known.info.name.clone();
                            let mut info = before.info.clone();
                            info.name = name;
                            info
                        }
                        _ => unknown(&known.info),
                    };
                    let readable = known.readable;
                    watched.known.insert(id, Known { info, readable });
                    (false, Some(known))
                }
            };
            match (before, now) {
                (None, Some(now)) => {
                    let name = now.info.name;
                    if now.readable && !is_own {
                        granted.insert(id);
                    }
                    let always = wanted(notify, &name).any() && (was_lost || !now.readable);
                    add_parent(&mut shown, &name);
                    let more = shown.entry(name).or_default();
                    more.always |= always;
                    more.no_access = !now.readable;
                }
                (Some(before), None) => {
                    let name = before.info.name;
                    // What the user may not look up any more is gone for the user, and
                    // the client is told why.
                    let no_access = is_hidden && wanted(notify, &name).any();
                    if no_access && let Some(watched) = notify.accounts.get_mut(&account) {
                        watched.lost.insert(id);
                    }
                    add_parent(&mut shown, &name);
                    let more = shown.entry(name).or_default();
                    more.always |= no_access;
                    more.no_access = no_access;
                }
                (Some(before), Some(now)) => {
                    let (old, new) = (before.info.name, now.info.name);
                    if before.readable != now.readable {
                        if now.readable {
                            granted.insert(id);
                        }
                        let more = shown.entry(new.clone()).or_default();
                        more.always |= wanted(notify, &new).any();
                        more.no_access = !now.readable;
                    }
                    if old != new {
                        renamed.push((old, new));
                    }
                }
                (None, None) => {}
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
                shown.entry(now.clone()).or_default().old_name = Some(before.clone());
            }
        }
        shown.retain(|name, more| {
            let of = |name: &str| wanted(notify, name).names;
            more.always || of(name) || more.old_name.as_deref().is_some_and(of)
        });
        if is_own {
            self.add_subscriptions(notify, &mut shown).await?;
        }
        // Names of others are in their accounts.
        let mut accounts = BTreeMap::new();
        for name in shown.keys().filter(|name| self.is_foreign(name)) {
            match self.locate(name).await {
                Ok(located) => drop(accounts.insert(located.account, located.prefix)),
                Err(Error::NoSuchMailbox) => {}
                Err(error) => return Err(error),
            }
        }
        for (account, prefix) in accounts {
            let prefix = prefix.trim_end_matches(DELIMITER);
            self.add_account(account, prefix, &mut all).await?;
        }
        Ok((shown, all, granted))
    }

    /// Names that were subscribed, or are no longer.
    async fn add_subscriptions(
        &self,
        notify: &mut Notify,
        shown: &mut BTreeMap<String, More>,
    ) -> Result<(), Error> {
        let Some(reader) = notify.reader else {
            return Ok(());
        };
        let subscribed = self.context.mailboxes.subscriptions(reader).await?;
        let before = std::mem::replace(&mut notify.subscribed, subscribed.into_iter().collect());
        self.cover(notify).await?;
        // One that has just left the list was on it.
        let of_list = notify.groups.iter().any(|group| {
            group.mailboxes == NotifyMailboxes::Subscribed
                && group.events.contains(&NotifyEvent::SubscriptionChange)
        });
        for name in before.symmetric_difference(&notify.subscribed) {
            // Whose it is matters only for one's own.
            let of = match self.is_foreign(name) {
                true => AccountId::SYSTEM,
                false => reader,
            };
            if of_list || notify.events(of, name).subscriptions {
                shown.entry(name.clone()).or_default();
            }
        }
        Ok(())
    }
}

/// The name above one that came or went is affected, too.
fn add_parent(shown: &mut BTreeMap<String, More>, name: &str) {
    if let Some((parent, _)) = name.rsplit_once(DELIMITER) {
        shown.entry(parent.to_owned()).or_default();
    }
}
