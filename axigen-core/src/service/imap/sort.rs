//! SORT and THREAD: what a search finds, in an order or in trees.
//! [RFC 5256](https://www.rfc-editor.org/rfc/rfc5256)

use std::collections::HashMap;

use axigen_proto::imap::command::SearchKey;
use axigen_proto::imap::extensions::sort::{Sort, Thread};
use axigen_proto::imap::response::{Esearch, Numbers, Response, Status};
use axigen_proto::imap::types::Tag;

use super::context::Asked;
use super::{Done, ImapConn, Talk, status};
use crate::mailbox::brief::Brief;
use crate::mailbox::search::BEST;
use crate::mailbox::sort::Sorter;
use crate::mailbox::thread::{ANCESTORS, Message, threads};
use crate::mailbox::{Error, Row};

/// Messages looked at together.
const PAGE: usize = 2048;

/// What is sorted.
struct Sorted {
    /// In their order.
    uids: Vec<u32>,
    /// Modification numbers, if these are asked for.
    modseqs: HashMap<u32, u64>,
    /// How well they answer, if that is asked for.
    scores: HashMap<u32, u8>,
}

impl Talk<'_> {
    pub(super) async fn sort(
        &mut self,
        conn: &mut ImapConn,
        tag: &Tag,
        command: &Sort,
    ) -> Done<Status> {
        if self.tag_is_taken(tag, command.returns) {
            return Ok(Status::bad("results are kept under that tag"));
        }
        let asks_modseq = command.keys.iter().any(SearchKey::asks_modseq);
        if let Some(status) = self.too_many_searched(&command.keys) {
            self.forget_saved(command.returns);
            return Ok(status);
        }
        let sorting = self.sorted(command);
        let Sorted {
            uids,
            modseqs,
            scores,
        } = match self.work(conn, tag, sorting).await? {
            Ok(sorted) => sorted,
            Err(error) => {
                self.forget_saved(command.returns);
                return Ok(status::of(&error, false));
            }
        };
        let returns = command.returns.unwrap_or_default();
        let told = returns.told(uids.len());
        let of_told = told
            .iter()
            .filter_map(|range| uids.get(range.clone()))
            .flatten();
        let modseq = of_told.clone().filter_map(|uid| modseqs.get(uid)).max();
        let modseq = modseq.copied().filter(|_| asks_modseq);
        if returns.save {
            let mut saved: Vec<u32> = of_told.copied().collect();
            saved.sort_unstable();
            if let Some(selected) = &mut self.selected {
                selected.saved = saved.into_iter().collect();
            }
        }
        let numbers = uids.iter();
        let numbers: Vec<u32> = numbers
            .filter_map(|&uid| self.number(command.uid, uid))
            .collect();
        let response = match command.returns {
            None => Some(Response::Sort(Numbers { numbers, modseq })),
            Some(returns) => {
                Esearch::new(tag, command.uid, returns, &numbers, modseq).map(Response::Esearch)
            }
        };
        if let Some(mut response) = response {
            if let Response::Esearch(esearch) = &mut response {
                let scores = uids.iter().filter_map(|uid| scores.get(uid).copied());
                esearch.relevancy = returns.scores(&scores.collect::<Vec<_>>());
            }
            conn.session().untagged(&response)?;
        }
        if returns.update {
            let asked = Asked {
                tag,
                uid: command.uid,
                keys: &command.keys,
                criteria: Some(&command.criteria),
                found_in: None,
                items: &command.update_items,
                whole: true,
            };
            self.keep(conn, asked, uids)?;
        }
        Ok(Status::ok("sorted"))
    }

    pub(super) async fn thread(
        &mut self,
        conn: &mut ImapConn,
        tag: &Tag,
        command: &Thread,
    ) -> Done<Status> {
        if let Some(status) = self.too_many_searched(&command.keys) {
            return Ok(status);
        }
        let threading = self.threaded(command);
        let messages = match self.work(conn, tag, threading).await? {
            Ok(messages) => messages,
            Err(error) => return Ok(status::of(&error, false)),
        };
        let threads = threads(command.algorithm, &messages);
        conn.session().untagged(&Response::Thread(threads))?;
        Ok(Status::ok("threaded"))
    }

    async fn sorted(&self, command: &Sort) -> Result<Sorted, Error> {
        let mut sorter = Sorter::new(&command.criteria);
        let (mut modseqs, mut scores) = (HashMap::new(), HashMap::new());
        let asks_relevancy = command.returns.is_some_and(|returns| returns.relevancy);
        let asks_modseq = command.keys.iter().any(SearchKey::asks_modseq);
        let mut note = |row: &Row, relevancy: u8| {
            if asks_relevancy {
                scores.insert(row.uid, relevancy);
            }
            if asks_modseq {
                modseqs.insert(row.uid, row.modseq);
            }
        };
        if !sorter.needs_brief() {
            let found = self.find(&command.keys, |row, relevancy| {
                note(&row, relevancy);
                sorter.push(&row, None, relevancy);
            });
            found.await?;
            return Ok(Sorted {
                uids: sorter.sorted(),
                modseqs,
                scores,
            });
        }
        let (mut rows, mut relevancies) = (Vec::new(), HashMap::new());
        let found = self.find(&command.keys, |row, relevancy| {
            note(&row, relevancy);
            // The best is what there is without FUZZY.
            if relevancy < BEST {
                relevancies.insert(row.uid, relevancy);
            }
            rows.push(row);
        });
        found.await?;
        let see = |row: &Row, brief: &Brief<'_>| {
            let relevancy = relevancies.get(&row.uid).copied().unwrap_or(BEST);
            sorter.push(row, Some(brief), relevancy);
        };
        self.briefs(&rows, see).await?;
        Ok(Sorted {
            uids: sorter.sorted(),
            modseqs,
            scores,
        })
    }

    async fn threaded(&self, command: &Thread) -> Result<Vec<Message>, Error> {
        let mut rows = Vec::new();
        self.find(&command.keys, |row, _| rows.push(row)).await?;
        let mut messages = Vec::with_capacity(rows.len());
        let mut room = ANCESTORS;
        let see = |row: &Row, brief: &Brief<'_>| {
            let number = self.number(command.uid, row.uid);
            messages.extend(number.map(|number| Message::new(number, row, brief, &mut room)));
        };
        self.briefs(&rows, see).await?;
        Ok(messages)
    }

    /// Shows messages of the open mailbox in brief, in their order.
    pub(super) async fn briefs<'r>(
        &self,
        rows: &'r [Row],
        mut see: impl FnMut(&'r Row, &Brief<'_>),
    ) -> Result<(), Error> {
        let Some(selected) = &self.selected else {
            return Ok(());
        };
        let (account, mailbox) = (selected.view.account, selected.view.mailbox);
        self.progress.without_goal();
        for page in rows.chunks(PAGE) {
            let mailboxes = &self.context.mailboxes;
            mailboxes.briefs(account, mailbox, page, &mut see).await?;
            for _ in page {
                self.progress.step().await;
            }
        }
        Ok(())
    }

    /// What the client knows a message as.
    fn number(&self, uid: bool, of: u32) -> Option<u32> {
        match uid {
            true => Some(of),
            false => self.selected.as_ref()?.seq(of),
        }
    }
}
