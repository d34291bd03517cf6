//! MESSAGELIMIT and SAVELIMIT: how many messages one command may be about.
//! [RFC 9738](https://www.rfc-editor.org/rfc/rfc9738)
//!
//! A command that reads, changes or moves more deals with those of the highest
//! UIDs and says how far down it came; one that makes copies does nothing, as it
//! does all or nothing. EXPUNGE and CLOSE have no limit (§3.1).

use axigen_proto::imap::command::SearchKey;
use axigen_proto::imap::response::{Code, Response, Status, StatusKind};
use axigen_proto::imap::sequence::SequenceSet;

use super::search::Place;
use super::{Done, ImapConn, Talk};

/// The lowest UID that can be dealt with, of ascending ones, if there are more
/// than may be.
pub(super) fn lowest(uids: &[u32], limit: Option<u32>) -> Option<u32> {
    let at = uids.len().checked_sub(limit? as usize)?;
    uids.get(at).copied().filter(|_| at > 0)
}

/// Leaves the highest of ascending UIDs, as many as may be; the lowest of them
/// if there were more.
pub(super) fn cut(uids: &mut Vec<u32>, limit: Option<u32>) -> Option<u32> {
    let lowest = lowest(uids, limit)?;
    uids.retain(|&uid| uid >= lowest);
    Some(lowest)
}

/// NO: nothing was done, as it would have been too much.
pub(super) fn too_many(limit: u32, lowest: Option<u32>) -> Status {
    let text = format!("one command may be about {limit} messages at most");
    Status::no(text).with(Code::MessageLimit { limit, lowest })
}

/// The lowest UID of what a search can look at, if it would look at more
/// messages than may be. These are the messages that the keys name which all have to match.
/// Whether there is an index makes no difference.
pub(super) fn lowest_searched(
    place: &Place<'_>,
    keys: &[SearchKey],
    limit: Option<u32>,
) -> Option<u32> {
    // Mostly that is enough.
    lowest(place.uids, limit)?;
    let mut uids = place.uids.to_vec();
    leave_named(keys, place, &mut uids);
    lowest(&uids, limit)
}

fn leave_named(keys: &[SearchKey], place: &Place<'_>, uids: &mut Vec<u32>) {
    let context = &place.context;
    for key in keys {
        match key {
            SearchKey::And(keys) => leave_named(keys, place, uids),
            SearchKey::Sequence(SequenceSet::Saved) | SearchKey::Uid(SequenceSet::Saved) => {
                uids.retain(|&uid| context.saved.contains(uid));
            }
            SearchKey::Sequence(set) => {
                let set = set.resolve(context.messages);
                uids.retain(|&uid| place.seq(uid).is_some_and(|seq| set.contains(seq)));
            }
            SearchKey::Uid(set) => {
                let set = set.resolve(context.largest_uid);
                uids.retain(|&uid| set.contains(uid));
            }
            SearchKey::UidAfter(than) => uids.retain(|uid| uid > than),
            SearchKey::UidBefore(than) => uids.retain(|uid| uid < than),
            _ => {}
        }
    }
}

impl Talk<'_> {
    /// A command dealt with these only, down to a UID: its end will say so.
    pub(super) fn went_down_to(&mut self, lowest: Option<u32>) {
        let limit = self.message_limit.of_messages();
        if let (Some(limit), Some(_)) = (limit, lowest) {
            self.limited = Some(Code::MessageLimit { limit, lowest });
        }
    }

    /// SORT and THREAD give all or nothing
    /// ([RFC 9738 §3.3](https://www.rfc-editor.org/rfc/rfc9738#section-3.3)): the
    /// answer if they would look at too many messages.
    pub(super) fn too_many_searched(&self, keys: &[SearchKey]) -> Option<Status> {
        let limit = self.message_limit.of_messages()?;
        let place = self.searched_place()?;
        lowest_searched(&place, keys, Some(limit)).map(|_| too_many(limit, None))
    }

    /// Ends a command with word of what it left. RFC 9738 §3.1: where another
    /// code stands at its end, that comes before it in a NO of its own.
    pub(super) fn with_limit(&mut self, conn: &mut ImapConn, status: Status) -> Done<Status> {
        let Some(code) = self.limited.take() else {
            return Ok(status);
        };
        match (status.kind, &status.code) {
            (StatusKind::Ok, None) => Ok(status.with(code)),
            (StatusKind::Ok, Some(_)) | (StatusKind::No, Some(Code::ExpungeIssued)) => {
                let left = Status::no("not all of the messages were dealt with").with(code);
                conn.session().untagged(&Response::Status(left))?;
                Ok(status)
            }
            _ => Ok(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_are_left() {
        for (uids, limit, left, lowest) in [
            (vec![1, 3, 5, 9], Some(2), vec![5, 9], Some(5)),
            (vec![1, 3, 5, 9], Some(1), vec![9], Some(9)),
            (vec![1, 3], Some(2), vec![1, 3], None),
            (vec![1], Some(2), vec![1], None),
            (vec![], Some(2), vec![], None),
            (vec![1, 3, 5], None, vec![1, 3, 5], None),
        ] {
            let mut cut_to = uids.clone();
            assert_eq!(cut(&mut cut_to, limit), lowest, "{uids:?} {limit:?}");
            assert_eq!(cut_to, left, "{uids:?} {limit:?}");
        }
    }
}
