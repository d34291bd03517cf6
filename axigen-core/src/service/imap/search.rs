//! SEARCH: rows in pages, structures and bodies only for those that need them,
//! and none for those that the index rules out.

use axigen_proto::imap::command::Search as Command;
use axigen_proto::imap::response::{Response, Status};
use axigen_proto::imap::sequence::NumberSet;
use axigen_proto::imap::types::Tag;
use axigen_store::AccountId;

use super::{Done, ImapConn, Talk, status};
use crate::mailbox::search::{Context, Search};

/// Rows read together.
const PAGE: usize = 1000;

impl Talk<'_> {
    pub(super) async fn search(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        tag: &Tag,
        command: &Command,
    ) -> Done<Status> {
        let rev2 = conn.session().is_rev2();
        let Some(selected) = &mut self.selected else {
            return Ok(Status::bad("no mailbox is open"));
        };
        let context = Context {
            messages: selected.count(),
            largest_uid: selected.largest_uid(),
            saved: &selected.saved,
            recent: &selected.recent,
        };
        let search = Search::new(&command.keys, &context);
        let mut uids = Vec::new();
        let index = &self.context.search;
        let narrowed = index
            .narrow(
                &self.context.mailboxes,
                account,
                selected.mailbox,
                &search,
                selected.uids(),
            )
            .await;
        let candidates = narrowed.as_deref().unwrap_or(selected.uids());
        for page in candidates.chunks(PAGE) {
            let rows = match self
                .context
                .mailboxes
                .rows(account, selected.mailbox, page)
                .await
            {
                Ok(rows) => rows,
                Err(error) => {
                    selected.saved = NumberSet::new();
                    return Ok(status::of(&error, false));
                }
            };
            for row in &rows {
                let Some(seq) = selected.seq(row.uid) else {
                    continue;
                };
                let mailboxes = &self.context.mailboxes;
                match mailboxes.matches(account, &search, seq, row).await {
                    Ok(true) => uids.push(row.uid),
                    Ok(false) => {}
                    Err(error) => {
                        // RFC 5182 §2.1: a search that fails saves nothing.
                        selected.saved = NumberSet::new();
                        return Ok(status::of(&error, false));
                    }
                }
            }
        }
        if let Some(returns) = command.returns.filter(|returns| returns.save) {
            // RFC 5182 §2.4: with MIN or MAX alone only these are saved.
            let only_ends = (returns.min || returns.max) && !returns.all && !returns.count;
            selected.saved = match only_ends {
                false => uids.iter().copied().collect(),
                true => {
                    let ends = [
                        uids.first().filter(|_| returns.min),
                        uids.last().filter(|_| returns.max),
                    ];
                    ends.into_iter().flatten().copied().collect()
                }
            };
        }
        let found: Vec<u32> = match command.uid {
            true => uids,
            false => uids.iter().filter_map(|&uid| selected.seq(uid)).collect(),
        };
        if let Some(response) = Response::found(tag, command, rev2, &found) {
            conn.session().untagged(&response)?;
        }
        Ok(Status::ok("searched"))
    }
}
