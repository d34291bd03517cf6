//! What a client missed while it was away: QRESYNC of SELECT, and VANISHED of
//! UID FETCH. [RFC 7162 §3.2](https://www.rfc-editor.org/rfc/rfc7162#section-3.2)

use axigen_proto::imap::extensions::condstore::Resync;
use axigen_proto::imap::response::Response;
use axigen_proto::imap::sequence::NumberSet;

use super::selected::Selected;
use super::{Done, ImapConn, Talk};
use crate::mailbox::{Result, Touched};
use crate::net::conn::UNSENT_LOW;

/// Rows read together.
const PAGE: usize = 500;

impl Talk<'_> {
    /// Tells a client that opens a mailbox what happened there since it left:
    /// VANISHED (EARLIER), then FETCH with flags.
    pub(super) async fn resync(
        &mut self,
        conn: &mut ImapConn,
        client: &Resync,
    ) -> Done<Result<()>> {
        let enabled = conn.session().enabled();
        let mailboxes = &self.context.mailboxes;
        let Some(selected) = &mut self.selected else {
            return Ok(Ok(()));
        };
        // §3.2.5: with another UIDVALIDITY all that the client knows is void.
        if client.uid_validity != selected.uid_validity {
            return Ok(Ok(()));
        }
        let touched = mailboxes.touched_of(&selected.view, client.modseq);
        let touched = match touched.await {
            Ok(touched) => touched,
            Err(error) => return Ok(Err(error)),
        };
        let mut wanted = NumberSet::new();
        wanted.push_range(1, touched.last_uid);
        if let Some(known) = &client.known {
            wanted = wanted.intersection(known);
        }
        let changed = touched.changed.iter().copied();
        let changed = changed.filter(|&uid| wanted.contains(uid) && selected.seq(uid).is_some());
        let changed: Vec<u32> = changed.collect();
        let mut unknown = NumberSet::new();
        unknown.push_range(selected.agreed_up_to(client).saturating_add(1), u32::MAX);
        let response = selected.vanished(&touched, &wanted.intersection(&unknown));
        conn.session().untagged(&response)?;
        for page in changed.chunks(PAGE) {
            let rows = match mailboxes.rows_of(&selected.view, page).await {
                Ok(rows) => rows,
                Err(error) => return Ok(Err(error)),
            };
            for response in selected.new_keywords(&rows) {
                conn.session().untagged(&response)?;
            }
            for row in rows.iter().filter(|row| row.modseq > client.modseq) {
                let items = selected.flags_of(row, enabled);
                let Some(response) = selected.fetched(row.uid, items, enabled) else {
                    continue;
                };
                selected.tell(row);
                conn.session().untagged(&response)?;
            }
            if conn.session().pending_output() > UNSENT_LOW {
                conn.flush().await?;
            }
        }
        Ok(Ok(()))
    }
}

impl Selected {
    /// VANISHED (EARLIER) for those of `wanted` that are gone. What the client
    /// still counts is told of as any other change.
    pub(super) fn vanished(&self, touched: &Touched, wanted: &NumberSet) -> Response {
        let counted: NumberSet = self.uids().iter().copied().collect();
        let gone = touched.vanished.intersection(wanted).difference(&counted);
        Response::Vanished {
            earlier: true,
            uids: gone,
        }
    }

    /// The largest UID up to which the client has the same messages: one that
    /// it knows by its sequence number of today
    /// ([RFC 7162 §3.2.5.2](https://www.rfc-editor.org/rfc/rfc7162#section-3.2.5.2)).
    fn agreed_up_to(&self, client: &Resync) -> u32 {
        let Some((numbers, uids)) = &client.matched else {
            return 0;
        };
        // Both ascend, so nothing beyond the mailbox is ever looked at.
        let pairs = numbers.iter().zip(uids.iter());
        let there = pairs.take_while(|(number, _)| *number <= self.count());
        there
            .filter(|(number, uid)| self.seq(*uid) == Some(*number))
            .last()
            .map_or(0, |(_, uid)| uid)
    }
}
