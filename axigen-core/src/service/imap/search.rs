//! SEARCH: rows in pages, structures and bodies only for those that need them,
//! and none for those that the index rules out.

use std::time::UNIX_EPOCH;

use axigen_proto::imap::command::{Search as Command, SearchKey};
use axigen_proto::imap::extensions::uidbatches::UidBatches;
use axigen_proto::imap::response::{Response, Status};
use axigen_proto::imap::sequence::NumberSet;
use axigen_proto::imap::types::Tag;
use axigen_store::AccountId;

use super::context::Asked;
use super::selected::Selected;
use super::{Done, ImapConn, Talk, status};
use crate::mailbox::search::{Context, Search};
use crate::mailbox::{Error, Row};

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
        if self.tag_is_taken(tag, command.returns) {
            return Ok(Status::bad("results are kept under that tag"));
        }
        let mut uids = Vec::new();
        let mut modseqs = Vec::new();
        let asks_modseq = command.keys.iter().any(SearchKey::asks_modseq);
        let mut relevancies = Vec::new();
        let asks_relevancy = command.returns.is_some_and(|returns| returns.relevancy);
        let found = self.find(account, &command.keys, |row, relevancy| {
            uids.push(row.uid);
            if asks_relevancy {
                relevancies.push(relevancy);
            }
            if asks_modseq {
                modseqs.push(row.modseq);
            }
        });
        let failed = self.work(conn, tag, found).await?.err();
        let Some(selected) = &mut self.selected else {
            return Ok(Status::bad("no mailbox is open"));
        };
        if let Some(error) = failed {
            // RFC 5182 §2.1: a search that fails saves nothing.
            selected.saved = NumberSet::new();
            return Ok(status::of(&error, false));
        }
        let returns = command.returns.unwrap_or_default();
        let told = returns.told(uids.len());
        // RFC 4731 §3.2: the highest number of those that are told.
        let modseq = told
            .iter()
            .filter_map(|range| modseqs.get(range.clone())?.iter().max());
        let modseq = modseq.max().copied();
        if returns.save {
            let saved = told.iter().filter_map(|range| uids.get(range.clone()));
            let mut saved: Vec<u32> = saved.flatten().copied().collect();
            saved.sort_unstable();
            selected.saved = saved.into_iter().collect();
        }
        let found: Vec<u32> = match command.uid {
            true => uids.clone(),
            false => uids.iter().filter_map(|&uid| selected.seq(uid)).collect(),
        };
        if let Some(mut response) = Response::found(tag, command, rev2, &found, modseq) {
            if let Response::Esearch(esearch) = &mut response {
                esearch.relevancy = returns.scores(&relevancies);
            }
            conn.session().untagged(&response)?;
        }
        if returns.update {
            let asked = Asked {
                tag,
                uid: command.uid,
                keys: &command.keys,
                criteria: None,
            };
            self.keep(conn, asked, uids)?;
        }
        Ok(Status::ok("searched"))
    }

    /// Ranges of UIDs that hold as many messages each. The saved result stays as
    /// it is.
    pub(super) fn uid_batches(
        &self,
        conn: &mut ImapConn,
        tag: &Tag,
        command: UidBatches,
    ) -> Done<Status> {
        let Some(selected) = &self.selected else {
            return Ok(Status::bad("no mailbox is open"));
        };
        if let Some(status) = command.refusal() {
            return Ok(status);
        }
        let batches = command.of(selected.uids());
        let tag = tag.clone();
        conn.session()
            .untagged(&Response::UidBatches { tag, batches })?;
        Ok(Status::ok("these are the batches"))
    }

    /// What surrounds a search in the open mailbox.
    pub(super) fn surroundings<'s>(&self, selected: &'s Selected) -> Context<'s> {
        Context {
            messages: selected.count(),
            largest_uid: selected.largest_uid(),
            now: UNIX_EPOCH
                .elapsed()
                .map_or(0, |since| since.as_secs() as i64),
            saved: &selected.saved,
            recent: &selected.recent,
        }
    }

    /// Shows the messages of the open mailbox that match, in their order. The
    /// index, where there is one, says which need not be looked at.
    pub(super) async fn find(
        &self,
        account: AccountId,
        keys: &[SearchKey],
        mut see: impl FnMut(Row, u8),
    ) -> Result<(), Error> {
        let Some(selected) = &self.selected else {
            return Ok(());
        };
        let mut search = Search::new(keys, &self.surroundings(selected));
        let mailboxes = &self.context.mailboxes;
        let (mailbox, uids) = (selected.view.mailbox, selected.uids());
        let index = &self.context.search;
        let narrowed = index.narrow(mailboxes, account, mailbox, &mut search, uids);
        let narrowed = narrowed.await;
        let candidates = narrowed.as_deref().unwrap_or(uids);
        self.progress.begin(candidates.len());
        for page in candidates.chunks(PAGE) {
            for row in mailboxes.rows_of(&selected.view, page).await? {
                let Some(seq) = selected.seq(row.uid) else {
                    continue;
                };
                self.progress.step().await;
                if let Some(relevancy) = mailboxes.relevancy(account, &search, seq, &row).await? {
                    see(row, relevancy);
                }
            }
        }
        Ok(())
    }
}
