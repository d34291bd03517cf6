//! SEARCH: rows in pages, structures and bodies only for those that need them.

use axigen_proto::imap::command::Search as Command;
use axigen_proto::imap::response::{Response, Status};
use axigen_proto::imap::sequence::NumberSet;
use axigen_proto::imap::types::Tag;
use axigen_store::AccountId;

use super::{Done, ImapConn, Talk, status};
use crate::mailbox::search::{Answer, Candidate, Context, HEADER, Search};
use crate::mailbox::{Error, Mailboxes, Row};

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
        for page in selected.uids().chunks(PAGE) {
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
                match matches(&self.context.mailboxes, account, &search, seq, row).await {
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

/// Whether a message matches; loads what the answer depends on. A message that
/// went meanwhile does not.
async fn matches(
    mailboxes: &Mailboxes,
    account: AccountId,
    search: &Search,
    seq: u32,
    row: &Row,
) -> Result<bool, Error> {
    let (mut structure, mut header, mut raw) = (None, None, None);
    loop {
        let candidate = Candidate {
            seq,
            row,
            structure: structure.as_deref(),
            header: header.as_deref(),
            raw: raw.as_deref(),
        };
        let answer = search.matches(&candidate);
        if matches!(answer, Answer::Yes | Answer::No) {
            return Ok(answer == Answer::Yes);
        }
        if structure.is_none() {
            structure = match mailboxes.structure(account, row.item).await {
                Ok(structure) => Some(structure),
                Err(Error::NoSuchMessage) => return Ok(false),
                Err(error) => return Err(error),
            };
        }
        let range = match (answer, &structure) {
            (Answer::NeedsHeader, Some(structure)) => {
                let range = structure.header();
                range.start..range.end.min(range.start + HEADER)
            }
            (Answer::NeedsBody, _) => 0..row.size,
            _ => continue,
        };
        let bytes = match mailboxes.body(account, row.item, range).await {
            Ok(bytes) => bytes,
            Err(Error::NoSuchMessage) => return Ok(false),
            Err(error) => return Err(error),
        };
        match answer {
            Answer::NeedsHeader => header = Some(bytes),
            _ => raw = Some(bytes),
        }
    }
}
