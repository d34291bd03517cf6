//! SEARCH: rows in pages, structures and bodies only for those that need them,
//! and none for those that the index rules out.

use std::time::UNIX_EPOCH;

use axigen_proto::imap::command::{Search as Command, SearchKey, SearchReturn};
use axigen_proto::imap::extensions::uidbatches::UidBatches;
use axigen_proto::imap::response::{Response, Status};
use axigen_proto::imap::sequence::NumberSet;
use axigen_proto::imap::types::Tag;

use super::context::Asked;
use super::selected::Selected;
use super::{Done, ImapConn, Talk, limit, status};
use crate::mailbox::search::{Context, Search};
use crate::mailbox::{Error, Row, View};

/// Rows read together.
const PAGE: usize = 1000;

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    UNIX_EPOCH
        .elapsed()
        .map_or(0, |since| since.as_secs() as i64)
}

/// Where is searched.
pub(super) struct Place<'p> {
    pub(super) view: &'p View,
    /// By sequence number, ascending.
    pub(super) uids: &'p [u32],
    pub(super) context: Context<'p>,
    /// Most messages that are looked at, those of the highest UIDs.
    pub(super) limit: Option<u32>,
}

impl Place<'_> {
    pub(super) fn seq(&self, uid: u32) -> Option<u32> {
        let at = self.uids.binary_search(&uid).ok()?;
        u32::try_from(at + 1).ok()
    }
}

/// What a search found, in the order of the mailbox.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) uids: Vec<u32>,
    /// Of each, if they are asked for.
    modseqs: Option<Vec<u64>>,
    /// How well each answers, if that is asked for.
    pub(super) relevancies: Vec<u8>,
    asks_relevancy: bool,
    /// The lowest UID that was looked at, if not all were.
    pub(super) lowest: Option<u32>,
}

impl Found {
    /// Nothing yet.
    pub(super) fn for_what(keys: &[SearchKey], returns: SearchReturn) -> Found {
        let asks_modseq = keys.iter().any(SearchKey::asks_modseq);
        Found {
            modseqs: asks_modseq.then(Vec::new),
            asks_relevancy: returns.relevancy,
            ..Found::default()
        }
    }

    pub(super) fn note(&mut self, row: &Row, relevancy: u8) {
        self.uids.push(row.uid);
        if let Some(modseqs) = &mut self.modseqs {
            modseqs.push(row.modseq);
        }
        if self.asks_relevancy {
            self.relevancies.push(relevancy);
        }
    }

    /// RFC 4731 §3.2: the highest number of those that are told.
    pub(super) fn modseq(&self, returns: SearchReturn) -> Option<u64> {
        let modseqs = self.modseqs.as_ref()?;
        let told = returns.told(self.uids.len());
        let highest = told
            .iter()
            .filter_map(|range| modseqs.get(range.clone())?.iter().max());
        highest.max().copied()
    }

    /// What SAVE keeps.
    pub(super) fn saved(&self, returns: SearchReturn) -> NumberSet {
        let told = returns.told(self.uids.len());
        let saved = told.iter().filter_map(|range| self.uids.get(range.clone()));
        let mut saved: Vec<u32> = saved.flatten().copied().collect();
        saved.sort_unstable();
        saved.into_iter().collect()
    }
}

impl Talk<'_> {
    pub(super) async fn search(
        &mut self,
        conn: &mut ImapConn,
        tag: &Tag,
        command: &Command,
    ) -> Done<Status> {
        let rev2 = conn.session().is_rev2();
        if self.tag_is_taken(tag, command.returns) {
            return Ok(Status::bad("results are kept under that tag"));
        }
        let looking = self.find_open(&command.keys, command.returns);
        let found = self.work(conn, tag, looking).await?;
        let returns = command.returns.unwrap_or_default();
        let Some(selected) = &mut self.selected else {
            return Ok(Status::bad("no mailbox is open"));
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                self.forget_saved(command.returns);
                return Ok(status::of(&error, false));
            }
        };
        let modseq = found.modseq(returns);
        if returns.save {
            selected.saved = found.saved(returns);
        }
        let (uids, lowest) = (found.uids, found.lowest);
        let numbers: Vec<u32> = match command.uid {
            true => uids.clone(),
            false => uids.iter().filter_map(|&uid| selected.seq(uid)).collect(),
        };
        if let Some(mut response) = Response::found(tag, command, rev2, &numbers, modseq) {
            if let Response::Esearch(esearch) = &mut response {
                esearch.relevancy = returns.scores(&found.relevancies);
            }
            conn.session().untagged(&response)?;
        }
        if returns.update {
            let asked = Asked {
                tag,
                uid: command.uid,
                keys: &command.keys,
                criteria: None,
                found_in: None,
                items: &command.update_items,
                whole: lowest.is_none(),
            };
            self.keep(conn, asked, uids)?;
        }
        self.went_down_to(lowest);
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
            now: now(),
            saved: &selected.saved,
            recent: &selected.recent,
        }
    }

    /// A search is answered with NO. RFC 5182 §2.1: if its result was to be
    /// saved, nothing is.
    pub(super) fn forget_saved(&mut self, returns: Option<SearchReturn>) {
        if let Some(selected) = &mut self.selected
            && returns.is_some_and(|returns| returns.save)
        {
            selected.saved = NumberSet::new();
        }
    }

    /// Where the open mailbox is searched.
    pub(super) fn searched_place(&self) -> Option<Place<'_>> {
        let selected = self.selected.as_ref()?;
        Some(Place {
            view: &selected.view,
            uids: selected.uids(),
            context: self.surroundings(selected),
            limit: None,
        })
    }

    /// What of the open mailbox matches, and what is to be told of it.
    async fn find_open(
        &self,
        keys: &[SearchKey],
        returns: Option<SearchReturn>,
    ) -> Result<Found, Error> {
        let mut found = Found::for_what(keys, returns.unwrap_or_default());
        if let Some(mut place) = self.searched_place() {
            place.limit = self.message_limit.of_messages();
            let see = |row, relevancy| found.note(&row, relevancy);
            found.lowest = self.find_in(&place, keys, true, see).await?;
        }
        Ok(found)
    }

    /// Shows the messages of the open mailbox that match, in their order. The
    /// index, where there is one, says which need not be looked at.
    pub(super) async fn find(
        &self,
        keys: &[SearchKey],
        see: impl FnMut(Row, u8),
    ) -> Result<(), Error> {
        match self.searched_place() {
            Some(place) => self.find_in(&place, keys, true, see).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// [`find`](Self::find) in any mailbox. `alone` if nothing else is looked
    /// at for the same command: the client is told how far that is. The lowest
    /// UID that was looked at, if there were more than may be.
    pub(super) async fn find_in(
        &self,
        place: &Place<'_>,
        keys: &[SearchKey],
        alone: bool,
        mut see: impl FnMut(Row, u8),
    ) -> Result<Option<u32>, Error> {
        let mut search = Search::new(keys, &place.context);
        let mailboxes = &self.context.mailboxes;
        let (account, mailbox) = (place.view.account, place.view.mailbox);
        let lowest = limit::lowest_searched(place, keys, place.limit);
        let from = place
            .uids
            .partition_point(|&uid| lowest.is_some_and(|lowest| uid < lowest));
        let uids = place.uids.get(from..).unwrap_or_default();
        let index = &self.context.search;
        let narrowed = index.narrow(mailboxes, account, mailbox, &mut search, uids);
        let narrowed = narrowed.await;
        let candidates = narrowed.as_deref().unwrap_or(uids);
        if alone {
            self.progress.begin(candidates.len());
        }
        for page in candidates.chunks(PAGE) {
            for row in mailboxes.rows_of(place.view, page).await? {
                let Some(seq) = place.seq(row.uid) else {
                    continue;
                };
                self.progress.step().await;
                if let Some(relevancy) = mailboxes.relevancy(account, &search, seq, &row).await? {
                    see(row, relevancy);
                }
            }
        }
        Ok(lowest)
    }
}
