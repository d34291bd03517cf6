//! STORE, COPY, MOVE, EXPUNGE.

use axigen_proto::imap::command::{Store, StoreAction};
use axigen_proto::imap::extensions::acl::Rights;
use axigen_proto::imap::response::{Code, FetchItem, Response, Status};
use axigen_proto::imap::sequence::{NumberSet, SequenceSet};
use axigen_proto::imap::types::Tag;

use super::namespace::no_permission;
use super::selected::kept;
use super::{Done, ImapConn, Talk, limit, status};
use crate::mailbox::{Copied, FlagChange, Flags, View, WhenGone};

const NONE_OPEN: &str = "no mailbox is open";
const BEYOND: &str = "there is no message of that number";

impl Talk<'_> {
    pub(super) async fn store(&mut self, conn: &mut ImapConn, store: &Store) -> Done<Status> {
        let enabled = conn.session().enabled();
        let Some(selected) = &mut self.selected else {
            return Ok(Status::bad(NONE_OPEN));
        };
        let Some(flags) = kept(&store.flags) else {
            return Ok(Status::bad("there is no such system flag"));
        };
        let Some(mut uids) = selected.resolve(&store.set, store.uid) else {
            return Ok(Status::bad(BEYOND));
        };
        let lowest = limit::cut(&mut uids, self.message_limit.of_messages());
        let view = selected.view;
        if !may_store(&view, &flags) {
            return Ok(no_permission());
        }
        let change = match store.action {
            StoreAction::Replace => FlagChange::Replace(flags),
            StoreAction::Add => FlagChange::Add(flags),
            StoreAction::Remove => FlagChange::Remove(flags),
        };
        let mailboxes = &self.context.mailboxes;
        let since = store.unchanged_since;
        let stored = mailboxes.store_flags_of(&view, &uids, &change, since);
        let stored = match stored.await {
            Ok(stored) => stored,
            Err(error) => return Ok(status::of(&error, false)),
        };
        for response in selected.new_keywords(&stored.rows) {
            conn.session().untagged(&response)?;
        }
        let mut shown: Vec<_> = stored.rows.iter().zip(&stored.before).collect();
        if lowest.is_some() {
            // RFC 9738 §3.1: from the highest down.
            shown.reverse();
        }
        for (row, &before) in shown {
            if selected.seq(row.uid).is_none() {
                continue;
            }
            let items = match store.silent {
                // The client knows what the flags are now, unless another
                // session changed them too: then it is told of it afterwards.
                true if before > selected.told_up_to() => continue,
                true if !enabled.condstore || (row.modseq == before && since.is_none()) => {
                    Vec::new()
                }
                true if enabled.uidonly => vec![selected.modseq_of(row)],
                true => vec![FetchItem::Uid(row.uid), selected.modseq_of(row)],
                false if store.uid || enabled.condstore => selected.flags_of(row, enabled),
                false => vec![FetchItem::Flags(selected.flags(row, enabled.rev2))],
            };
            selected.tell(row);
            if items.is_empty() {
                continue;
            }
            if let Some(response) = selected.fetched(row.uid, items, enabled) {
                conn.session().untagged(&response)?;
            }
            if conn.session().pending_output() > crate::net::conn::UNSENT_LOW {
                conn.flush().await?;
            }
        }
        // RFC 7162 §3.1.3: what stood in the way is shown, so that nobody has to ask.
        let in_the_way = match mailboxes.rows_of(&view, &stored.modified).await {
            Ok(rows) => rows,
            Err(error) => return Ok(status::of(&error, false)),
        };
        for response in selected.new_keywords(&in_the_way) {
            conn.session().untagged(&response)?;
        }
        for row in &in_the_way {
            let items = selected.flags_of(row, enabled);
            if let Some(response) = selected.fetched(row.uid, items, enabled) {
                selected.tell(row);
                conn.session().untagged(&response)?;
            }
        }
        let there = stored.rows.len() + stored.modified.len();
        // By UID, one that is gone is ignored (RFC 9051 §6.4.9). By number, the
        // others are changed, and with .SILENT that is enough (RFC 2180 §4.2.1);
        // otherwise FETCH responses tell of the others, and NO of those that are
        // gone (§4.2.2, §4.2.3).
        let mut status = match there < uids.len() && !store.uid {
            true if store.silent && stored.modified.is_empty() => some_gone(Status::ok),
            true => some_gone(Status::no),
            false if stored.modified.is_empty() => Status::ok("stored"),
            false => Status::ok("some of the messages had changed"),
        };
        if !stored.modified.is_empty() {
            let modified = stored.modified.iter();
            let modified = modified.filter_map(|&of| match store.uid {
                true => Some(of),
                false => selected.seq(of),
            });
            status = status.with(Code::Modified(modified.collect()));
        }
        self.went_down_to(lowest);
        Ok(status)
    }

    pub(super) async fn copy(
        &mut self,
        conn: &mut ImapConn,
        tag: &Tag,
        uid: bool,
        set: &SequenceSet,
        name: &str,
    ) -> Done<Status> {
        let (from, uids, to) = match self.both(uid, set, name).await {
            Ok(both) => both,
            Err(status) => return Ok(status),
        };
        let limit = self.message_limit.of_saves();
        if let (Some(limit), Some(lowest)) = (limit, limit::lowest(&uids, limit)) {
            return Ok(limit::too_many(limit, Some(lowest)));
        }
        let quota = match self.quota_for(&to).await {
            Ok(quota) => quota,
            Err(status) => return Ok(status),
        };
        self.progress.begin(0);
        let copying = self
            .context
            .mailboxes
            .copy_of(&from, &uids, &to, quota, when_gone(uid));
        Ok(match self.work(conn, tag, copying).await? {
            Ok(copied) => {
                self.brought(&to, copied.uids.iter().map(|(_, new)| *new));
                match copied.uids.is_empty() {
                    true => Status::ok("nothing to copy"),
                    false => Status::ok("copied").with(copy_uid(&copied)),
                }
            }
            Err(error) => status::of(&error, true),
        })
    }

    pub(super) async fn move_(
        &mut self,
        conn: &mut ImapConn,
        tag: &Tag,
        uid: bool,
        set: &SequenceSet,
        name: &str,
    ) -> Done<Status> {
        let (from, mut uids, to) = match self.both(uid, set, name).await {
            Ok(both) => both,
            Err(status) => return Ok(status),
        };
        // RFC 6851 §4.3: a move removes what it copied.
        let removing = Rights::DELETE_MESSAGES.with(Rights::EXPUNGE);
        if !from.rights.has(removing) {
            return Ok(no_permission());
        }
        let quota = match self.quota_for(&to).await {
            Ok(quota) => quota,
            Err(status) => return Ok(status),
        };
        let lowest = limit::cut(&mut uids, self.message_limit.of_messages());
        self.progress.begin(0);
        let moving = self
            .context
            .mailboxes
            .move_of(&from, &uids, &to, quota, when_gone(uid));
        match self.work(conn, tag, moving).await? {
            Ok(copied) => {
                self.brought(&to, copied.uids.iter().map(|(_, new)| *new));
                let gone: Vec<u32> = copied.uids.iter().map(|(old, _)| *old).collect();
                if let Some(selected) = &mut self.selected {
                    selected.removed(&gone);
                }
                if !copied.uids.is_empty() {
                    // RFC 6851 §4.3: COPYUID comes before the EXPUNGE responses.
                    conn.session()
                        .untagged(&Response::ok(copy_uid(&copied), "moved"))?;
                }
                self.went_down_to(lowest);
                // RFC 6851 §3.3: what could not be moved stays as it is, and the answer
                // is NO.
                Ok(match uid || copied.uids.len() == uids.len() {
                    true => Status::ok("done"),
                    false => some_gone(Status::no),
                })
            }
            Err(error) => Ok(status::of(&error, true)),
        }
    }

    /// This connection put messages into a mailbox.
    pub(super) fn brought(&mut self, to: &View, uids: impl Iterator<Item = u32>) {
        if let Some(notify) = &mut self.notify {
            notify.brought((to.account, to.mailbox), uids);
        }
    }

    /// Where messages come from, which, and where they go.
    async fn both(
        &self,
        uid: bool,
        set: &SequenceSet,
        name: &str,
    ) -> Result<(View, Vec<u32>, View), Status> {
        let Some(selected) = &self.selected else {
            return Err(Status::bad(NONE_OPEN));
        };
        let Some(uids) = selected.resolve(set, uid) else {
            return Err(Status::bad(BEYOND));
        };
        let (to, _) = self.mailbox_for(name, Rights::INSERT, true).await?;
        Ok((selected.view, uids, to))
    }

    pub(super) async fn expunge(&mut self, set: Option<&SequenceSet>) -> Status {
        let Some(selected) = &mut self.selected else {
            return Status::bad(NONE_OPEN);
        };
        let view = selected.view;
        if !view.rights.has(Rights::EXPUNGE) {
            return no_permission();
        }
        let mut uids = match set {
            Some(set) => match selected.resolve(set, true) {
                Some(uids) => Some(uids),
                None => return Status::bad(BEYOND),
            },
            None => None,
        };
        let mailboxes = &self.context.mailboxes;
        let mut lowest = None;
        if let (Some(uids), Some(limit)) = (&mut uids, self.message_limit.of_messages())
            && uids.len() > limit as usize
        {
            // RFC 9738 §3.1: those count that are removed.
            match mailboxes.deleted(view.account, view.mailbox).await {
                Ok(deleted) => uids.retain(|uid| deleted.binary_search(uid).is_ok()),
                Err(error) => return status::of(&error, false),
            }
            lowest = limit::cut(uids, Some(limit));
        }
        match mailboxes
            .expunge(view.account, view.mailbox, uids.as_deref())
            .await
        {
            Ok(removed) => {
                selected.removed(&removed);
                self.went_down_to(lowest);
                Status::ok("expunged")
            }
            Err(error) => status::of(&error, false),
        }
    }
}

/// Whether one of these flags may be changed
/// ([RFC 4314 §4](https://www.rfc-editor.org/rfc/rfc4314#section-4), STORE:
/// those that may not are left alone, and only if there are no others it fails).
fn may_store(view: &View, flags: &Flags) -> bool {
    let cut = view.cut(flags);
    let named = flags.system != 0 || !flags.keywords.is_empty();
    let may = cut.system != 0 || !cut.keywords.is_empty();
    match named {
        true => may,
        // FLAGS () takes off what may be taken off.
        false => view.flags() != 0,
    }
}

/// By number, nothing is copied or moved if one of the messages was expunged by
/// another session: the client cannot know which (RFC 2180 §4.4.1; RFC 9051
/// §6.4.7, COPY is all or nothing). By UID, one that is gone is ignored (RFC 9051
/// §6.4.9).
fn when_gone(uid: bool) -> WhenGone {
    match uid {
        true => WhenGone::LeaveOut,
        false => WhenGone::Refuse,
    }
}

/// RFC 5530 §3: EXPUNGEISSUED says that the client should ask what is gone.
fn some_gone(kind: fn(&'static str) -> Status) -> Status {
    kind("some of the messages are gone").with(Code::ExpungeIssued)
}

/// RFC 4315 §3: the two sets go in the same order.
fn copy_uid(copied: &Copied) -> Code {
    let from: NumberSet = copied.uids.iter().map(|(from, _)| *from).collect();
    let to: NumberSet = copied.uids.iter().map(|(_, to)| *to).collect();
    Code::CopyUid {
        uid_validity: copied.uid_validity,
        from,
        to,
    }
}
