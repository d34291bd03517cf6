//! Results of SEARCH and SORT that are kept up to date: RETURN (UPDATE).
//! [RFC 5267 §4](https://www.rfc-editor.org/rfc/rfc5267#section-4)
//!
//! What changed in the mailbox is looked at once for each of them, together with
//! what the client is told of it, so the work is proportional to what changed.

use axigen_proto::imap::command::{FetchAttribute, SearchKey, SearchReturn};
use axigen_proto::imap::extensions::context::Shift;
use axigen_proto::imap::extensions::multisearch::FoundIn;
use axigen_proto::imap::extensions::sort::{SortBy, SortCriterion};
use axigen_proto::imap::response::{Code, Esearch, Response, Status};
use axigen_proto::imap::sequence::SequenceSet;
use axigen_proto::imap::types::Tag;

use super::{Done, ImapConn, Talk};
use crate::mailbox::brief::Brief;
use crate::mailbox::search::{BEST, Search};
use crate::mailbox::sort::Sorter;
use crate::mailbox::{Error, Row};

/// The results of one command.
#[derive(Debug)]
pub(super) struct Context {
    tag: Tag,
    /// The mailbox, for results of ESEARCH.
    found_in: Option<FoundIn>,
    /// Whether the client knows messages by their UIDs.
    uid: bool,
    keys: Vec<SearchKey>,
    /// Of SORT.
    criteria: Option<Vec<SortCriterion>>,
    /// What is told of new messages (RFC 5465 §7).
    items: Vec<FetchAttribute>,
    /// UIDs in their order.
    found: Vec<u32>,
}

/// A command whose results may be kept.
#[derive(Debug, Clone)]
pub(super) struct Asked<'c> {
    pub(super) tag: &'c Tag,
    pub(super) uid: bool,
    pub(super) keys: &'c [SearchKey],
    pub(super) criteria: Option<&'c [SortCriterion]>,
    pub(super) found_in: Option<FoundIn>,
    pub(super) items: &'c [FetchAttribute],
    /// Whether all messages were looked at.
    pub(super) whole: bool,
}

impl Context {
    fn esearch(&self, remove_from: Vec<Shift>, add_to: Vec<Shift>) -> Response {
        Response::Esearch(Esearch {
            tag: Some(self.tag.clone()),
            found_in: self.found_in.clone(),
            uid: self.uid,
            remove_from,
            add_to,
            ..Esearch::default()
        })
    }

    /// Where a message is among the results.
    fn find(&self, uid: u32) -> Option<usize> {
        match self.criteria {
            None => self.found.binary_search(&uid).ok(),
            Some(_) => self.found.iter().position(|&found| found == uid),
        }
    }

    /// A place as the client is told of it: those of SEARCH stand in the order
    /// of the mailbox, and have none (RFC 5267 §4.3.3).
    fn position(&self, at: usize) -> u32 {
        match self.criteria {
            None => 0,
            Some(_) => u32::try_from(at + 1).unwrap_or(u32::MAX),
        }
    }

    /// Takes messages out of the results; what the client is told of it.
    fn remove(&mut self, uids: &[u32], number: impl Fn(u32) -> Option<u32>) -> Option<Response> {
        let mut shifts: Vec<Shift> = Vec::new();
        for &uid in uids {
            let (Some(at), Some(number)) = (self.find(uid), number(uid)) else {
                continue;
            };
            let position = self.position(at);
            self.found.remove(at);
            join(&mut shifts, position, number);
        }
        (!shifts.is_empty()).then(|| self.esearch(shifts, Vec::new()))
    }

    /// Results of SEARCH need no places, so that many go at once.
    fn remove_gone(
        &mut self,
        gone: &[u32],
        number: impl Fn(u32) -> Option<u32>,
    ) -> Option<Response> {
        if self.criteria.is_some() {
            return self.remove(gone, number);
        }
        let is_gone = |uid: &u32| gone.binary_search(uid).is_ok();
        let left: Vec<u32> = self.found.iter().copied().filter(is_gone).collect();
        let numbers: Vec<u32> = left.into_iter().filter_map(number).collect();
        if numbers.is_empty() {
            return None;
        }
        self.found.retain(|uid| !is_gone(uid));
        let position = 0;
        Some(self.esearch(vec![Shift { position, numbers }], Vec::new()))
    }
}

/// Adds to what is told: what has no place goes together.
fn join(shifts: &mut Vec<Shift>, position: u32, number: u32) {
    match shifts.last_mut() {
        Some(last) if position == 0 => last.numbers.push(number),
        _ => shifts.push(Shift {
            position,
            numbers: vec![number],
        }),
    }
}

/// REMOVEFROM for messages that are gone, to be told before the client hears
/// that: sequence numbers still mean them (RFC 5267 §4.3.4). `gone` ascends.
pub(super) fn remove_gone(
    contexts: &mut [Context],
    gone: &[u32],
    seq: impl Fn(u32) -> Option<u32>,
) -> Vec<Response> {
    let told = contexts.iter_mut().filter_map(|context| match context.uid {
        true => context.remove_gone(gone, Some),
        false => context.remove_gone(gone, &seq),
    });
    told.collect()
}

/// Whether results can change although nothing happens to a message, or mean
/// other messages later.
fn drifts(key: &SearchKey) -> bool {
    match key {
        SearchKey::Younger(_) | SearchKey::Older(_) | SearchKey::Sequence(_) => true,
        // `*` is another message later.
        SearchKey::Uid(set) => match set {
            SequenceSet::Saved => true,
            SequenceSet::Ranges(_) => set.resolve(1) != set.resolve(2),
        },
        _ => false,
    }
}

impl Talk<'_> {
    /// Whether the results of a command are to be kept, under a tag that is free.
    pub(super) fn tag_is_taken(&self, tag: &Tag, returns: Option<SearchReturn>) -> bool {
        let contexts = self.selected.as_ref().map(|selected| &selected.contexts);
        returns.is_some_and(|returns| returns.update)
            && contexts.is_some_and(|of| of.iter().any(|context| context.tag == *tag))
    }

    /// Keeps results up to date from now on, if that can be done; the client is
    /// told if not (RFC 5267 §4.3.1). `found` are all of them in their order, as
    /// UIDs.
    pub(super) fn keep(&mut self, conn: &mut ImapConn, asked: Asked<'_>, found: Vec<u32>) -> Done {
        let most = self.context.settings.load().imap.search_contexts as usize;
        let Some(selected) = &mut self.selected else {
            return Ok(());
        };
        // How well others answer is not kept.
        let by_relevancy = asked.criteria.is_some_and(|criteria| {
            let relevancy = |of: &SortCriterion| of.by == SortBy::Relevancy;
            criteria.iter().any(relevancy)
        });
        let refused =
            match !asked.whole || by_relevancy || asked.keys.iter().any(|key| key.any(&drifts)) {
                true => Some("such results are not kept up to date"),
                false => {
                    (selected.contexts.len() >= most).then_some("too many results are kept already")
                }
            };
        if let Some(why) = refused {
            let status = Status::no(why).with(Code::NoUpdate(asked.tag.clone()));
            conn.session().untagged(&Response::Status(status))?;
            return Ok(());
        }
        selected.contexts.push(Context {
            tag: asked.tag.clone(),
            found_in: asked.found_in,
            uid: asked.uid,
            keys: asked.keys.to_vec(),
            criteria: asked.criteria.map(<[SortCriterion]>::to_vec),
            items: asked.items.to_vec(),
            found,
        });
        Ok(())
    }

    /// CANCELUPDATE (RFC 5267 §4.3.5)
    pub(super) fn cancel_update(&mut self, tags: &[Tag]) -> Status {
        let Some(selected) = &mut self.selected else {
            return Status::bad("no mailbox is open");
        };
        let contexts = &mut selected.contexts;
        let known = |tag: &Tag| contexts.iter().any(|context| context.tag == *tag);
        if !tags.iter().all(known) {
            return Status::bad("no results are kept under that tag");
        }
        contexts.retain(|context| !tags.contains(&context.tag));
        Status::ok("they are no longer kept up to date")
    }

    /// Tells what messages that came or changed mean to results that are kept:
    /// REMOVEFROM, then ADDTO. Of those that are `new`, what UPDATE asked for is
    /// told before (RFC 5465 §7).
    pub(super) async fn tell_contexts(
        &mut self,
        conn: &mut ImapConn,
        rows: &[Row],
        new: &[u32],
    ) -> Done {
        let Some(selected) = &mut self.selected else {
            return Ok(());
        };
        if rows.is_empty() || selected.contexts.is_empty() {
            return Ok(());
        }
        let mut new = new.to_vec();
        new.sort_unstable();
        let mut contexts = std::mem::take(&mut selected.contexts);
        for context in &mut contexts {
            match self.changed_in(context, rows).await {
                Ok((responses, mut came)) => {
                    came.retain(|uid| new.binary_search(uid).is_ok());
                    self.show(conn, came, &context.items).await?;
                    for response in &responses {
                        conn.session().untagged(response)?;
                    }
                }
                Err(error) => tracing::error!(%error, "results could not be kept up to date"),
            }
        }
        if let Some(selected) = &mut self.selected {
            selected.contexts = contexts;
        }
        Ok(())
    }

    /// What is told of the results, and the UIDs of messages that came to them.
    async fn changed_in(
        &self,
        of: &mut Context,
        rows: &[Row],
    ) -> Result<(Vec<Response>, Vec<u32>), Error> {
        let Some(selected) = &self.selected else {
            return Ok(Default::default());
        };
        let account = selected.view.account;
        let search = Search::new(&of.keys, &self.surroundings(selected));
        let (mut left, mut came) = (Vec::new(), Vec::new());
        for row in rows {
            let Some(seq) = selected.seq(row.uid) else {
                continue;
            };
            let mailboxes = &self.context.mailboxes;
            let matches = mailboxes.matches(account, &search, seq, row).await?;
            match (of.find(row.uid).is_some(), matches) {
                (true, false) => left.push(row.uid),
                (false, true) => came.push(row),
                _ => {}
            }
        }
        let (uid, mut responses) = (of.uid, Vec::new());
        let numbered = |of: u32| match uid {
            true => Some(of),
            false => selected.seq(of),
        };
        responses.extend(of.remove(&left, numbered));
        let uids = came.iter().map(|row| row.uid).collect();
        let mut shifts = Vec::new();
        for row in came {
            let at = match &of.criteria {
                None => of.found.partition_point(|&uid| uid < row.uid),
                Some(criteria) => self.place(criteria, &of.found, row).await?,
            };
            let Some(number) = numbered(row.uid) else {
                continue;
            };
            join(&mut shifts, of.position(at), number);
            of.found.insert(at, row.uid);
        }
        if !shifts.is_empty() {
            responses.push(of.esearch(Vec::new(), shifts));
        }
        Ok((responses, uids))
    }

    /// Where a message belongs among sorted ones: a few of them are looked at.
    async fn place(
        &self,
        criteria: &[SortCriterion],
        sorted: &[u32],
        new: &Row,
    ) -> Result<usize, Error> {
        let (mut low, mut high) = (0, sorted.len());
        while low < high {
            let middle = low + (high - low) / 2;
            // One that is gone, but not yet told, says nothing: the next does.
            let mut seen = None;
            for at in middle..high {
                let Some(&uid) = sorted.get(at) else { break };
                if let Some(before) = self.is_before(criteria, uid, new).await? {
                    seen = Some((at, before));
                    break;
                }
            }
            match seen {
                Some((at, true)) => low = at + 1,
                Some((_, false)) | None => high = middle,
            }
        }
        Ok(low)
    }

    /// Whether a message stands before another; `None` if it is gone.
    async fn is_before(
        &self,
        criteria: &[SortCriterion],
        uid: u32,
        new: &Row,
    ) -> Result<Option<bool>, Error> {
        let Some(selected) = &self.selected else {
            return Ok(None);
        };
        let mut pair = self
            .context
            .mailboxes
            .rows_of(&selected.view, &[uid])
            .await?;
        if pair.is_empty() {
            return Ok(None);
        }
        pair.push(new.clone());
        // RFC 5256 §3: equal ones by sequence number.
        pair.sort_unstable_by_key(|row| row.uid);
        let mut sorter = Sorter::new(criteria);
        if sorter.needs_brief() {
            let mut seen = 0;
            let see = |row: &Row, brief: &Brief<'_>| {
                seen += 1;
                sorter.push(row, Some(brief), BEST);
            };
            self.briefs(&pair, see).await?;
            if seen < pair.len() {
                return Ok(None);
            }
        } else {
            pair.iter().for_each(|row| sorter.push(row, None, BEST));
        }
        Ok(Some(sorter.sorted().first() == Some(&uid)))
    }
}
