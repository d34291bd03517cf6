//! The mailbox while a session has it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use axigen_proto::pop3::server::{Failure, Message, Server};
use axigen_proto::pop3::text::Text;
use axigen_store::AccountId;
use parking_lot::Mutex;

use super::Broken;
use crate::mailbox::{Error, FlagChange, Flags, ItemId, MailboxId, Mailboxes};
use crate::net::Conn;
use crate::net::conn::UNSENT_LOW;
use crate::service::Context;
use crate::settings::Retention;

/// Bytes of a message read and sent at a time.
const PIECE: u64 = 256 * 1024;
/// Bytes read at a time for TOP, which seldom wants more than the header.
const TOP_PIECE: u64 = 32 * 1024;
/// Messages whose rows are read at a time when a maildrop is opened.
const ROWS: usize = 4096;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// Mailboxes that a session has for itself. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Locks(Arc<Mutex<HashSet<(AccountId, MailboxId)>>>);

/// A mailbox this session has for itself; given back when dropped.
#[derive(Debug)]
struct Lock {
    of: (AccountId, MailboxId),
    locks: Locks,
}

impl Locks {
    fn take(&self, of: (AccountId, MailboxId)) -> Option<Lock> {
        self.0.lock().insert(of).then(|| Lock {
            of,
            locks: self.clone(),
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.locks.0.lock().remove(&self.of);
    }
}

/// What happens at QUIT to what was not deleted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    /// How long what was fetched may stay.
    pub(super) retention: Retention,
    /// Whether what was fetched counts as read.
    pub(super) seen: bool,
}

/// An open maildrop.
#[derive(Debug)]
pub(super) struct Maildrop {
    account: AccountId,
    mailbox: MailboxId,
    entries: Vec<Entry>,
    policy: Policy,
    _lock: Option<Lock>,
}

/// What is kept of a message while the maildrop is open.
#[derive(Debug)]
struct Entry {
    uid: u32,
    item: ItemId,
    size: u64,
    arrived: i64,
    seen: bool,
}

impl Maildrop {
    /// Opens a mailbox, for this session alone if there are locks.
    pub(super) async fn open(
        mailboxes: &Mailboxes,
        account: AccountId,
        name: &str,
        locks: Option<&Locks>,
        policy: Policy,
    ) -> Result<(Maildrop, Vec<Message>), (Failure, Text)> {
        let failed = |error: Error| match error {
            Error::NoSuchMailbox => (Failure::Permanent, Text::NoMailbox),
            error => {
                tracing::error!(%error, "a maildrop could not be opened");
                (Failure::Temporary, Text::CannotOpen)
            }
        };
        let info = mailboxes.find_in_any_case(account, name).await;
        let info = info.map_err(failed)?;
        let lock = match locks {
            // RFC 1939 §4
            Some(locks) => match locks.take((account, info.id)) {
                None => return Err((Failure::InUse, Text::InUse)),
                lock => lock,
            },
            None => None,
        };
        let (uids, _) = mailboxes.uids(account, info.id).await.map_err(failed)?;
        let mut entries = Vec::with_capacity(uids.len());
        for uids in uids.chunks(ROWS) {
            let rows = mailboxes.rows(account, info.id, uids).await;
            entries.extend(rows.map_err(failed)?.iter().map(|row| Entry {
                uid: row.uid,
                item: row.item,
                size: row.size,
                arrived: row.internal_date,
                seen: row.flags.has(Flags::SEEN),
            }));
        }
        // RFC 1939 §7: the same in every session, and never another message's: a mailbox that is
        // made anew has another UIDVALIDITY.
        let messages = entries
            .iter()
            .map(|entry| Message {
                size: entry.size,
                uid: format!("{}.{}", info.uid_validity, entry.uid),
            })
            .collect();
        let maildrop = Maildrop {
            account,
            mailbox: info.id,
            entries,
            policy,
            _lock: lock,
        };
        Ok((maildrop, messages))
    }

    /// Sends a message.
    pub(super) async fn retrieve(
        &self,
        context: &Context,
        conn: &mut Conn<Server>,
        index: usize,
        top: bool,
    ) -> Result<(), Broken> {
        let step = if top { TOP_PIECE } else { PIECE };
        let Some(entry) = self.entries.get(index) else {
            conn.session()
                .fail(Failure::Temporary, Text::NoSuchMessage)?;
            return Ok(());
        };
        let items = [entry.item];
        let contents = context.mailboxes.content_of(self.account, &items).await;
        let content = match contents {
            Ok(contents) => contents.into_iter().flatten().next(),
            Err(error) => {
                tracing::error!(%error, "a message cannot be found");
                conn.session().fail(Failure::Temporary, Text::CannotRead)?;
                return Ok(());
            }
        };
        let Some(content) = content else {
            conn.session().fail(Failure::Temporary, Text::MessageGone)?;
            return Ok(());
        };
        let mut reading = context.mailboxes.reading(&content);
        let mut at = 0;
        let mut begun = false;
        while at < entry.size || !begun {
            let end = entry.size.min(at + step);
            match reading.read(at..end).await {
                Ok(piece) if piece.len() as u64 == end - at => {
                    if !std::mem::replace(&mut begun, true) {
                        conn.session().begin(entry.size)?;
                    }
                    if !conn.session().body(&piece)? {
                        break;
                    }
                }
                Ok(_) | Err(axigen_store::Error::NotFound) => {
                    conn.session().fail(Failure::Temporary, Text::MessageGone)?;
                    return Ok(());
                }
                Err(error) => {
                    tracing::error!(%error, "a message cannot be read");
                    conn.session().fail(Failure::Temporary, Text::CannotRead)?;
                    return Ok(());
                }
            }
            at = end;
            if conn.session().pending_output() > UNSENT_LOW {
                conn.flush().await?;
            }
        }
        conn.session().end_message()?;
        Ok(())
    }

    /// RFC 1939 §6: the UPDATE state. What is deleted goes, with what may not stay
    /// any longer; the rest that was fetched counts as read. The maildrop is free
    /// afterwards.
    ///
    /// All of it goes or nothing, up to
    /// [`REMOVED_AT_ONCE`](crate::mailbox::REMOVED_AT_ONCE) messages. Of more, some
    /// may be gone after an error: §6 allows that, as long as the answer is -ERR
    /// and nothing goes that was not deleted.
    pub(super) async fn update(
        self,
        context: &Context,
        deleted: &[usize],
        fetched: &[usize],
    ) -> Result<(), Text> {
        let mut gone: HashSet<usize> = deleted.iter().copied().collect();
        gone.extend(self.expired(fetched));
        let uids_of = |indexes: &mut dyn Iterator<Item = usize>| -> Vec<u32> {
            let entries = indexes.filter_map(|index| self.entries.get(index));
            let mut uids: Vec<u32> = entries.map(|entry| entry.uid).collect();
            uids.sort_unstable();
            uids
        };
        let stays = |index: &usize| {
            let unread = self.entries.get(*index).is_some_and(|entry| !entry.seen);
            unread && !gone.contains(index)
        };
        let mailboxes = &context.mailboxes;
        if self.policy.seen {
            let read = uids_of(&mut fetched.iter().copied().filter(stays));
            let seen = FlagChange::Add(Flags::from(Flags::SEEN));
            if !read.is_empty()
                && let Err(error) = mailboxes
                    .store_flags(self.account, self.mailbox, &read, &seen, None)
                    .await
            {
                // Not what the client asked for.
                tracing::warn!(%error, "messages could not be marked as read");
            }
        }
        let uids = uids_of(&mut gone.iter().copied());
        if uids.is_empty() {
            return Ok(());
        }
        match mailboxes.remove(self.account, self.mailbox, &uids).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::error!(%error, "messages could not be deleted");
                Err(Text::CannotDelete)
            }
        }
    }

    /// RFC 2449 §6.7: what may not stay any longer. Only what was read can expire,
    /// in this session or before it; nothing goes that nobody has seen.
    fn expired(&self, fetched: &[usize]) -> Vec<usize> {
        let Retention::Days(days) = self.policy.retention else {
            return Vec::new();
        };
        if days == 0 {
            return fetched.to_vec();
        }
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        let oldest = now.saturating_sub(DAY.saturating_mul(i64::from(days)));
        let fetched: HashSet<usize> = fetched.iter().copied().collect();
        self.entries
            .iter()
            .enumerate()
            .filter(|(index, entry)| entry.seen || fetched.contains(index))
            .filter(|(_, entry)| entry.arrived < oldest)
            .map(|(index, _)| index)
            .collect()
    }
}
