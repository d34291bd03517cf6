//! FETCH: rows in pages, what is large in pieces.

use std::cmp::Reverse;
use std::sync::Arc;

use axigen_proto::imap::command::{Fetch, FetchAttribute};
use axigen_proto::imap::extensions::acl::Rights;
use axigen_proto::imap::response::{Code, FetchItem, Status};
use axigen_proto::imap::structure::BodyStructure;
use axigen_proto::imap::types::DateTime;
use axigen_proto::surrogate;
use axigen_store::AccountId;

use super::data::{Data, Source, is_whole};
use super::{Done, ImapConn, Talk, limit, status};
use crate::mailbox::structure::Structure;
use crate::mailbox::{Content, Error, FlagChange, Flags, Row};
use crate::net::conn::{STREAMED, UNSENT_LOW};

/// Rows read together.
const PAGE: usize = 1000;
/// Structures, or places of contents, read together.
const ITEMS: usize = 100;

/// A message to be shown, as far as it was read.
struct Item<'r> {
    row: &'r Row,
    structure: Option<Arc<Structure>>,
    content: Option<Content>,
    /// Whether it is \Seen because of this.
    newly_seen: bool,
}

impl Talk<'_> {
    pub(super) async fn fetch(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        command: &Fetch,
        limit: Option<u32>,
    ) -> Done<Status> {
        let uid = command.uid;
        let Some(selected) = &self.selected else {
            return Ok(Status::bad("no mailbox is open"));
        };
        let Some(mut uids) = selected.resolve(&command.set, uid) else {
            return Ok(Status::bad("there is no message of that number"));
        };
        let mut wanted = command.attributes.clone();
        if let Some(range) = command.modifiers.partial {
            // RFC 9738 §3.1: too many are refused as they are asked for.
            if let Some(limit) = limit.filter(|&limit| range.to - range.from >= limit) {
                return Ok(limit::too_many(limit, None));
            }
            uids = uids.get(range.of(uids.len())).unwrap_or_default().to_vec();
        }
        let since = command.modifiers.changed_since;
        if let Some(since) = since {
            // RFC 7162 §3.1.4.1: CHANGEDSINCE asks for MODSEQ.
            if !wanted.contains(&FetchAttribute::ModSeq) {
                wanted.push(FetchAttribute::ModSeq);
            }
            let mailboxes = &self.context.mailboxes;
            let touched = mailboxes.touched_of(&selected.view, since).await;
            let touched = match touched {
                Ok(touched) => touched,
                Err(error) => return Ok(status::of(&error, false)),
            };
            uids.retain(|uid| touched.changed.binary_search(uid).is_ok());
            if command.modifiers.vanished {
                // `*` is the last UID there ever was: it may be gone.
                let named = command.set.resolve(touched.last_uid);
                conn.session()
                    .untagged(&selected.vanished(&touched, &named))?;
            }
        }
        let lowest = limit::cut(&mut uids, limit);
        if lowest.is_some() {
            // RFC 9738 §3.1: from the highest down.
            uids.reverse();
        }
        // RFC 9051 §6.4.9: a UID FETCH always shows the UID; UIDFETCH does so by
        // itself (RFC 9586 §3.3).
        let uidonly = conn.session().enabled().uidonly;
        if uid && !uidonly && !wanted.contains(&FetchAttribute::Uid) {
            wanted.insert(0, FetchAttribute::Uid);
        }
        let sets_seen = !selected.read_only
            // RFC 4314 §4: without the right to, \Seen stays as it is.
            && selected.view.rights.has(Rights::SEEN)
            && wanted.iter().any(FetchAttribute::sets_seen);
        let needs_structure = wanted.iter().any(|attribute| {
            !matches!(
                attribute,
                FetchAttribute::Flags
                    | FetchAttribute::InternalDate
                    | FetchAttribute::SaveDate
                    | FetchAttribute::ModSeq
                    | FetchAttribute::EmailId
                    | FetchAttribute::ThreadId
                    | FetchAttribute::Rfc822Size
                    | FetchAttribute::Uid
            ) && is_whole(attribute).is_none()
        });
        if wanted
            .iter()
            .all(|attribute| *attribute == FetchAttribute::Uid)
        {
            // RFC 2180 §4.1.2: this is known even of messages that are gone.
            self.went_down_to(lowest);
            return self.uids(conn, &uids).await;
        }
        let shows_flags = wanted.contains(&FetchAttribute::Flags);
        let needs_content = wanted.iter().any(|attribute| is_whole(attribute).is_some());
        let at_once = match needs_structure || needs_content {
            true => ITEMS,
            false => PAGE,
        };
        self.went_down_to(lowest);
        let mut missing = 0;
        // What becomes \Seen is shown soon.
        for page in uids.chunks(if sets_seen { ITEMS } else { PAGE }) {
            let mut rows = match self.rows(page).await {
                Ok(rows) => rows,
                Err(status) => return Ok(status),
            };
            missing += page.len() - rows.len();
            if lowest.is_some() {
                rows.sort_unstable_by_key(|row| Reverse(row.uid));
            }
            rows.retain(|row| since.is_none_or(|since| row.modseq > since));
            let newly_seen = match sets_seen {
                true => match self.mark_seen(&mut rows).await {
                    Ok(newly_seen) => newly_seen,
                    Err(status) => return Ok(status),
                },
                false => Vec::new(),
            };
            if (shows_flags || !newly_seen.is_empty())
                && let Some(selected) = &mut self.selected
            {
                for response in selected.new_keywords(&rows) {
                    conn.session().untagged(&response)?;
                }
            }
            for rows in rows.chunks(at_once) {
                let items: Vec<_> = rows.iter().map(|row| row.item).collect();
                let mailboxes = &self.context.mailboxes;
                let structures = match needs_structure {
                    true => match mailboxes.structures(account, &items).await {
                        Ok(structures) => structures,
                        Err(error) => return Ok(status::of(&error, false)),
                    },
                    false => vec![None; rows.len()],
                };
                let contents = match needs_content {
                    true => match mailboxes.content_of(account, &items).await {
                        Ok(contents) => contents,
                        Err(error) => return Ok(status::of(&error, false)),
                    },
                    false => vec![None; rows.len()],
                };
                for ((row, structure), content) in rows.iter().zip(structures).zip(contents) {
                    let gone = (needs_structure && structure.is_none())
                        || (needs_content && content.is_none());
                    if gone {
                        missing += 1;
                        continue;
                    }
                    let item = Item {
                        row,
                        structure,
                        content,
                        newly_seen: newly_seen.contains(&row.uid),
                    };
                    if let Some(status) = self.one(conn, account, item, &wanted).await? {
                        return Ok(status);
                    }
                    if conn.session().pending_output() > STREAMED {
                        conn.flush().await?;
                    }
                }
            }
        }
        if missing > 0 && !uid {
            // RFC 2180 §4.1.3: what was there is shown, and the rest admitted. By
            // UID, one that is gone is ignored (RFC 9051 §6.4.9).
            return Ok(Status::no("some of the messages are gone").with(Code::ExpungeIssued));
        }
        Ok(Status::ok("fetched"))
    }

    /// FETCH of nothing but UIDs.
    async fn uids(&mut self, conn: &mut ImapConn, uids: &[u32]) -> Done<Status> {
        let enabled = conn.session().enabled();
        for &uid in uids {
            let items = vec![FetchItem::Uid(uid)];
            let of = self.selected.as_ref();
            if let Some(response) = of.and_then(|of| of.fetched(uid, items, enabled)) {
                conn.session().untagged(&response)?;
            }
            if conn.session().pending_output() > UNSENT_LOW {
                conn.flush().await?;
            }
        }
        Ok(Status::ok("fetched"))
    }

    async fn rows(&self, uids: &[u32]) -> Result<Vec<Row>, Status> {
        let Some(selected) = &self.selected else {
            return Ok(Vec::new());
        };
        let rows = self.context.mailboxes.rows_of(&selected.view, uids).await;
        rows.map_err(|error| status::of(&error, false))
    }

    /// Sets \Seen where it is missing; the UIDs it was set on.
    async fn mark_seen(&mut self, rows: &mut [Row]) -> Result<Vec<u32>, Status> {
        let Some(selected) = &mut self.selected else {
            return Ok(Vec::new());
        };
        let unseen: Vec<u32> = rows
            .iter()
            .filter(|row| !row.flags.has(Flags::SEEN))
            .map(|row| row.uid)
            .collect();
        if unseen.is_empty() {
            return Ok(unseen);
        }
        let change = FlagChange::Add(Flags::from(Flags::SEEN));
        let stored = self
            .context
            .mailboxes
            .store_flags_of(&selected.view, &unseen, &change, None)
            .await;
        let stored = stored.map_err(|error| status::of(&error, false))?;
        for row in stored.rows {
            selected.tell(&row);
            if let Some(shown) = rows.iter_mut().find(|shown| shown.uid == row.uid) {
                *shown = row;
            }
        }
        Ok(unseen)
    }

    /// One FETCH response. A status ends the command.
    async fn one(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        item: Item<'_>,
        wanted: &[FetchAttribute],
    ) -> Done<Option<Status>> {
        let Item {
            row,
            structure,
            content,
            newly_seen,
        } = item;
        let enabled = conn.session().enabled();
        let Some(selected) = &mut self.selected else {
            return Ok(None);
        };
        let Some(seq) = selected.seq(row.uid) else {
            return Ok(None);
        };
        let ascii = !enabled.utf8() && self.context.settings.load().imap.ascii_headers;
        let source = Source {
            mailboxes: &self.context.mailboxes,
            account,
            row,
            structure: structure.as_deref(),
            content: content.as_ref(),
            ascii,
        };
        let mut items = Vec::with_capacity(wanted.len());
        // Data first, without sending anything: an error is then a clean NO.
        let mut data = Vec::new();
        if newly_seen {
            let mut flags = selected.flags_of(row, enabled);
            // RFC 7162 §3.2.4: UID and MODSEQ only for those who want the numbers.
            flags.retain(|item| match item {
                FetchItem::Uid(_) => enabled.condstore && !wanted.contains(&FetchAttribute::Uid),
                FetchItem::ModSeq(_) => !wanted.contains(&FetchAttribute::ModSeq),
                _ => !wanted.contains(&FetchAttribute::Flags),
            });
            items.extend(flags);
        }
        for attribute in wanted {
            match attribute {
                FetchAttribute::Flags => {
                    items.push(FetchItem::Flags(selected.flags(row, enabled.rev2)));
                }
                FetchAttribute::ModSeq => items.push(selected.modseq_of(row)),
                FetchAttribute::EmailId => {
                    match self.context.mailboxes.email_id(account, row.item).await {
                        Ok(id) => items.push(FetchItem::EmailId(id)),
                        Err(Error::NoSuchMessage) => return Ok(None),
                        Err(error) => return Ok(Some(status::of(&error, false))),
                    }
                }
                // RFC 8474 §5.2: NIL where there is no such identifier.
                FetchAttribute::ThreadId => items.push(FetchItem::ThreadId(None)),
                FetchAttribute::Preview { .. } => {
                    let Some(structure) = &structure else {
                        continue;
                    };
                    let preview = self.context.mailboxes.preview(account, row.item, structure);
                    match preview.await {
                        Ok(text) => items.push(FetchItem::Preview(Some(text))),
                        Err(Error::NoSuchMessage) => return Ok(None),
                        Err(error) => return Ok(Some(status::of(&error, false))),
                    }
                }
                FetchAttribute::Uid => items.push(FetchItem::Uid(row.uid)),
                FetchAttribute::SaveDate => items.push(FetchItem::SaveDate(Some(DateTime {
                    unix: row.saved,
                    zone: 0,
                }))),
                FetchAttribute::InternalDate => items.push(FetchItem::InternalDate(DateTime {
                    unix: row.internal_date,
                    zone: row.internal_zone,
                })),
                FetchAttribute::Rfc822Size => items.push(FetchItem::Rfc822Size(row.size)),
                FetchAttribute::Envelope => {
                    if let Some(structure) = &structure {
                        let mut envelope = structure.envelope().clone();
                        if ascii {
                            surrogate::envelope(&mut envelope);
                        }
                        items.push(FetchItem::Envelope(envelope));
                    }
                }
                FetchAttribute::Body => {
                    if let Some(structure) = &structure {
                        items.push(FetchItem::Body(body_structure(structure, ascii)));
                    }
                }
                FetchAttribute::BodyStructure => {
                    if let Some(structure) = &structure {
                        let body = body_structure(structure, ascii);
                        items.push(FetchItem::BodyStructure(body));
                    }
                }
                attribute => match source.open(attribute).await {
                    Ok(opened) => data.push((attribute, opened)),
                    Err(Error::NoSuchMessage) => return Ok(None),
                    Err(error) => return Ok(Some(status::of(&error, false))),
                },
            }
        }
        if data
            .iter()
            .any(|(_, data)| matches!(data, Data::UnknownEncoding))
        {
            return Ok(Some(
                Status::no("the part's encoding is not known").with(Code::UnknownCte),
            ));
        }
        if data.is_empty() {
            if let Some(response) = selected.fetched(row.uid, items, enabled) {
                conn.session().untagged(&response)?;
            }
            return Ok(None);
        }
        match enabled.uidonly {
            true => conn.session().uid_fetch_begin(row.uid)?,
            false => conn.session().fetch_begin(seq)?,
        }
        for item in &items {
            conn.session().fetch_item(item)?;
        }
        for (attribute, data) in data {
            if !source.send(conn, attribute, data).await? {
                // In the middle of announced bytes there is no way to say so.
                conn.session().abort();
                return Ok(Some(Status::no("the message is damaged")));
            }
        }
        conn.session().fetch_end()?;
        Ok(None)
    }
}

/// The body structure, as the client can read it.
fn body_structure(structure: &Structure, ascii: bool) -> BodyStructure {
    let mut body = structure.body_structure();
    if ascii {
        surrogate::body_structure(&mut body);
    }
    body
}
