//! STORE, COPY, MOVE, EXPUNGE.

use axigen_proto::imap::command::StoreAction;
use axigen_proto::imap::response::{Code, FetchItem, Response, Status};
use axigen_proto::imap::sequence::{NumberSet, SequenceSet};
use axigen_proto::imap::types::Flag;
use axigen_store::AccountId;

use super::selected::kept;
use super::{Done, ImapConn, Talk, status};
use crate::mailbox::{Copied, FlagChange, MailboxId};

const NONE_OPEN: &str = "no mailbox is open";
const BEYOND: &str = "there is no message of that number";

impl Talk<'_> {
    #[allow(clippy::too_many_arguments)]
    pub(super) async fn store(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        uid: bool,
        set: &SequenceSet,
        action: StoreAction,
        silent: bool,
        flags: &[Flag],
    ) -> Done<Status> {
        let rev2 = conn.session().is_rev2();
        let Some(selected) = &mut self.selected else {
            return Ok(Status::bad(NONE_OPEN));
        };
        let Some(flags) = kept(flags) else {
            return Ok(Status::bad("there is no such system flag"));
        };
        let Some(uids) = selected.resolve(set, uid) else {
            return Ok(Status::bad(BEYOND));
        };
        let change = match action {
            StoreAction::Replace => FlagChange::Replace(flags),
            StoreAction::Add => FlagChange::Add(flags),
            StoreAction::Remove => FlagChange::Remove(flags),
        };
        let (rows, _) = match self
            .context
            .mailboxes
            .store_flags(account, selected.mailbox, &uids, &change, None)
            .await
        {
            Ok(stored) => stored,
            Err(error) => return Ok(status::of(&error, false)),
        };
        selected.tell(&rows);
        if !silent {
            for row in &rows {
                let Some(seq) = selected.seq(row.uid) else {
                    continue;
                };
                let mut items = Vec::with_capacity(2);
                if uid {
                    items.push(FetchItem::Uid(row.uid));
                }
                items.push(FetchItem::Flags(selected.flags(row, rev2)));
                conn.session().untagged(&Response::Fetch { seq, items })?;
                if conn.session().pending_output() > crate::net::conn::UNSENT_LOW {
                    conn.flush().await?;
                }
            }
        }
        if rows.len() < uids.len() && !uid {
            return Ok(Status::no("some of the messages are gone").with(Code::ExpungeIssued));
        }
        Ok(Status::ok("stored"))
    }

    pub(super) async fn copy(
        &mut self,
        account: AccountId,
        uid: bool,
        set: &SequenceSet,
        name: &str,
    ) -> Status {
        let (from, uids, to) = match self.both(account, uid, set, name).await {
            Ok(both) => both,
            Err(status) => return status,
        };
        let quota = self.user.as_ref().and_then(|user| user.settings.quota);
        match self
            .context
            .mailboxes
            .copy(account, from, &uids, to, quota)
            .await
        {
            Ok(copied) => match copied.uids.is_empty() {
                true => Status::ok("nothing to copy"),
                false => Status::ok("copied").with(copy_uid(&copied)),
            },
            Err(error) => status::of(&error, true),
        }
    }

    pub(super) async fn move_(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        uid: bool,
        set: &SequenceSet,
        name: &str,
    ) -> Done<Status> {
        let (from, uids, to) = match self.both(account, uid, set, name).await {
            Ok(both) => both,
            Err(status) => return Ok(status),
        };
        match self.context.mailboxes.move_(account, from, &uids, to).await {
            Ok(copied) => {
                if !copied.uids.is_empty() {
                    // RFC 6851 §4.3: COPYUID comes before the EXPUNGE responses.
                    conn.session()
                        .untagged(&Response::ok(copy_uid(&copied), "moved"))?;
                }
                Ok(Status::ok("done"))
            }
            Err(error) => Ok(status::of(&error, true)),
        }
    }

    /// Where messages come from, which, and where they go.
    async fn both(
        &self,
        account: AccountId,
        uid: bool,
        set: &SequenceSet,
        name: &str,
    ) -> Result<(MailboxId, Vec<u32>, MailboxId), Status> {
        let Some(selected) = &self.selected else {
            return Err(Status::bad(NONE_OPEN));
        };
        let Some(uids) = selected.resolve(set, uid) else {
            return Err(Status::bad(BEYOND));
        };
        let to = self
            .context
            .mailboxes
            .find(account, name)
            .await
            .map_err(|error| status::of(&error, true))?;
        Ok((selected.mailbox, uids, to.id))
    }

    pub(super) async fn expunge(
        &mut self,
        account: AccountId,
        set: Option<&SequenceSet>,
    ) -> Status {
        let Some(selected) = &self.selected else {
            return Status::bad(NONE_OPEN);
        };
        let uids = match set {
            Some(set) => match selected.resolve(set, true) {
                Some(uids) => Some(uids),
                None => return Status::bad(BEYOND),
            },
            None => None,
        };
        match self
            .context
            .mailboxes
            .expunge(account, selected.mailbox, uids.as_deref())
            .await
        {
            Ok(_) => Status::ok("expunged"),
            Err(error) => status::of(&error, false),
        }
    }
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
