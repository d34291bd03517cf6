//! What others than the owner have seen of a mailbox.
//!
//! `\Seen` is kept for each reader apart, so that one who reads a shared mailbox
//! takes nothing from the others; all other flags are common
//! ([RFC 4314 §4](https://www.rfc-editor.org/rfc/rfc4314#section-4)). A mark is a
//! byte (1 for seen) and the modification number it was set with. Messages
//! without a mark are unseen. How many a reader has seen is counted in the same
//! batch; marks go with their messages.

use std::collections::{BTreeMap, HashMap};

use axigen_store::{AccountId, Expect, Key, Patch, Slot, Template};
use bytes::Bytes;

use super::{
    Mailboxes,
    draft::Draft,
    error::{Error, Result},
    keys,
    log::Record,
    select::uid_of,
    types::{Flags, MailboxId, Row},
};

/// A range is read whole if at least one in this many of its UIDs is asked for.
const DENSE: u64 = 4;

/// A reader's mark of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) seen: bool,
    pub(super) modseq: u64,
}

fn decode(bytes: &[u8]) -> Result<Mark> {
    let corrupt = || Error::corrupt("a reader's mark");
    let (&seen, rest) = bytes.split_first().ok_or_else(corrupt)?;
    let modseq = <[u8; 8]>::try_from(rest).map_err(|_| corrupt())?;
    Ok(Mark {
        seen: seen == 1,
        modseq: u64::from_be_bytes(modseq),
    })
}

/// A mark, with the modification number given at commit.
fn encode(seen: bool) -> Template {
    Template {
        bytes: Bytes::copy_from_slice(&[u8::from(seen), 0, 0, 0, 0, 0, 0, 0, 0]),
        patches: vec![Patch {
            at: 1,
            width: 8,
            slot: Slot::Seq,
        }],
    }
}

/// Shows rows as a reader sees them.
pub(super) fn show(rows: &mut [Row], marks: &HashMap<u32, Mark>) {
    for row in rows {
        let mark = marks.get(&row.uid).copied().unwrap_or_default();
        row.flags.system &= !Flags::SEEN;
        if mark.seen {
            row.flags.system |= Flags::SEEN;
        }
        row.modseq = row.modseq.max(mark.modseq);
    }
}

impl Mailboxes {
    /// A reader's marks of these messages, ascending UIDs.
    pub(super) async fn marks(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        reader: AccountId,
        uids: &[u32],
    ) -> Result<HashMap<u32, Mark>> {
        let (Some(&first), Some(&last)) = (uids.first(), uids.last()) else {
            return Ok(HashMap::new());
        };
        let key = |uid| keys::seen(mailbox, reader, uid);
        let mut marks = HashMap::with_capacity(uids.len());
        if u64::from(last - first) < DENSE * uids.len() as u64 {
            let to = keys::after(&key(last));
            for (key, bytes) in self.store.scan(account, key(first), to).await? {
                marks.insert(uid_of(&key)?, decode(&bytes)?);
            }
            return Ok(marks);
        }
        for uids in uids.chunks(1000) {
            let wanted: Vec<_> = uids.iter().map(|uid| key(*uid)).collect();
            let got = self.store.get(account, &wanted).await?;
            for (uid, bytes) in uids.iter().zip(got) {
                if let Some(bytes) = bytes {
                    marks.insert(*uid, decode(&bytes)?);
                }
            }
        }
        Ok(marks)
    }

    /// How many messages of a mailbox a reader has seen.
    pub(super) async fn seen_by(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        reader: AccountId,
    ) -> Result<u32> {
        let key = keys::reader(mailbox, reader);
        let got = self.store.get(account, &[key]).await?;
        let seen = got.first().map_or(0, keys::number);
        Ok(u32::try_from(seen.max(0)).unwrap_or(u32::MAX))
    }

    /// Marks of messages that are not there, and counts that are wrong: what is
    /// wrong, the key, and the value it should have.
    pub(super) async fn wrong_marks(
        &self,
        account: AccountId,
        is_there: impl Fn(u32, u32) -> bool,
    ) -> Result<Vec<(String, Key, Option<Bytes>)>> {
        let mut wrong = Vec::new();
        let mut seen: BTreeMap<(u32, AccountId), i64> = BTreeMap::new();
        let (from, to) = keys::all(keys::SEEN);
        for (key, mark) in self.store.scan(account, from, to).await? {
            let place = keys::mailbox_of(&key).zip(keys::reader_of(&key));
            let (mailbox, reader) = place.ok_or_else(|| Error::corrupt("a key"))?;
            let uid = uid_of(&key)?;
            if !is_there(mailbox, uid) {
                let what =
                    format!("a reader's mark of UID {uid} of mailbox {mailbox}, which is gone");
                wrong.push((what, key, None));
            } else if decode(&mark)?.seen {
                *seen.entry((mailbox, reader)).or_default() += 1;
            }
        }
        let (from, to) = keys::all(keys::READER);
        for (key, count) in self.store.scan(account, from, to).await? {
            let place = keys::mailbox_of(&key).zip(keys::reader_of(&key));
            if let Some(place) = place {
                let is = keys::number(&Some(count));
                let should = seen.remove(&place).unwrap_or(0);
                if is != should {
                    wrong.push(miscounted(place, is, should));
                }
            }
        }
        wrong.extend(
            seen.into_iter()
                .map(|(place, should)| miscounted(place, 0, should)),
        );
        Ok(wrong)
    }

    /// The marks that readers have of messages go with them.
    pub(super) async fn forget_marks(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
        draft: &mut Draft,
    ) -> Result<()> {
        let (from, to) = keys::of_mailbox(keys::READER, mailbox);
        let readers = self.store.scan(account, from, to).await?;
        let changes = keys::readers(mailbox);
        let known = readers.iter().find(|(key, _)| *key == changes);
        let known = known.map(|(_, value)| value.clone());
        // Nobody sets another mark meanwhile.
        draft.expect(changes, known.map_or(Expect::Absent, Expect::Equals));
        for reader in readers.iter().filter_map(|(key, _)| keys::reader_of(key)) {
            let mut seen = 0;
            for (uid, mark) in self.marks(account, mailbox, reader, uids).await? {
                if uids.binary_search(&uid).is_ok() {
                    draft.delete(keys::seen(mailbox, reader, uid));
                    seen += i64::from(mark.seen);
                }
            }
            if seen > 0 {
                draft.add_to_key(keys::reader(mailbox, reader), -seen);
            }
        }
        Ok(())
    }
}

fn miscounted(
    (mailbox, reader): (u32, AccountId),
    is: i64,
    should: i64,
) -> (String, Key, Option<Bytes>) {
    let what = format!(
        "what account {} has seen of mailbox {mailbox} is {is}, counted {should}",
        reader.0
    );
    let value = Bytes::copy_from_slice(&should.to_be_bytes());
    (what, keys::reader(MailboxId(mailbox), reader), Some(value))
}

/// Sets a reader's marks in a batch that asserts the messages' rows.
/// `before` is what the marks were, and is asserted too.
pub(super) fn set_marks(
    draft: &mut Draft,
    mailbox: MailboxId,
    reader: AccountId,
    before: &HashMap<u32, Mark>,
    marks: &[(u32, bool)],
) {
    if marks.is_empty() {
        return;
    }
    let mut change = 0;
    for &(uid, seen) in marks {
        let key = keys::seen(mailbox, reader, uid);
        let old = before.get(&uid);
        draft.expect(
            key.clone(),
            match old {
                None => Expect::Absent,
                Some(mark) => {
                    let mut bytes = vec![u8::from(mark.seen)];
                    bytes.extend_from_slice(&mark.modseq.to_be_bytes());
                    Expect::Equals(bytes.into())
                }
            },
        );
        draft.set(key, encode(seen));
        change += i64::from(seen) - i64::from(old.is_some_and(|mark| mark.seen));
    }
    draft.add_to_key(keys::reader(mailbox, reader), change);
    draft.add_to_key(keys::readers(mailbox), 1);
    draft.touch(mailbox);
    let mut uids: Vec<u32> = marks.iter().map(|(uid, _)| *uid).collect();
    uids.sort_unstable();
    draft.log(Record::seen(mailbox, reader, &uids));
}
