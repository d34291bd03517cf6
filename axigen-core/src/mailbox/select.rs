//! Reading a mailbox: its UIDs and the rows behind them.

use axigen_store::{AccountId, Expect, Range};

use super::{
    Mailboxes,
    draft::{Draft, TRIES, contended},
    error::{Error, Result},
    keys::{self, Counter},
    row::{Read, Stored},
    types::{MailboxId, Row},
};

/// UIDs looked up together.
const BATCH: usize = 1000;
/// A range is read whole if at least one in this many of its UIDs is asked for.
const DENSE: u64 = 4;
/// Rows of one page of a scan.
const PAGE: usize = 10_000;

impl Mailboxes {
    /// All UIDs, ascending, and the modification number they stand for: every
    /// change after it is still to be asked for with
    /// [`changes`](Mailboxes::changes).
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`], [`Error::Store`].
    pub async fn uids(&self, account: AccountId, mailbox: MailboxId) -> Result<(Vec<u32>, u64)> {
        let mut left = 3;
        loop {
            let modseq = self.store.seq(account).await?;
            let uids = self.scan_uids(account, mailbox).await?;
            let wanted = [
                keys::mailbox(mailbox),
                keys::counter(mailbox, Counter::Modseq),
            ];
            let got = self.store.get(account, &wanted).await?;
            let [Some(_), highest] = got.as_slice() else {
                return Err(Error::NoSuchMailbox);
            };
            left -= 1;
            // If the mailbox changed meanwhile, what was read may be partly
            // newer than `modseq`. Changes since then are reported again and
            // say the same, so after some attempts that is good enough.
            if keys::number(highest) as u64 <= modseq || left == 0 {
                return Ok((uids, modseq));
            }
        }
    }

    /// Rows of these UIDs, ascending; UIDs that are gone are left out. Work is
    /// proportional to `uids`; dense sets are read as one range.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn rows(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
    ) -> Result<Vec<Row>> {
        let uids = ascending(uids);
        let read = self.read_rows(account, mailbox, &uids).await?;
        self.shown(account, &read).await
    }

    /// The first UID that no session has been told of as `\Recent`; with
    /// `take`, all that are there now count as told, and no other caller gets
    /// them again
    /// ([RFC 3501 §2.3.2](https://www.rfc-editor.org/rfc/rfc3501#section-2.3.2)).
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`], [`Error::Store`].
    pub async fn recent(&self, account: AccountId, mailbox: MailboxId, take: bool) -> Result<u32> {
        let floor_key = keys::counter(mailbox, Counter::Recent);
        let wanted = [
            keys::mailbox(mailbox),
            floor_key.clone(),
            keys::counter(mailbox, Counter::LastUid),
        ];
        for _ in 0..TRIES {
            let got = self.store.get(account, &wanted).await?;
            let [Some(_), floor, last] = got.as_slice() else {
                return Err(Error::NoSuchMailbox);
            };
            let first = keys::number(floor).max(1);
            let next = keys::number(last).saturating_add(1);
            if !take || next <= first {
                return Ok(first as u32);
            }
            let mut draft = Draft::new(account).quiet();
            draft.mailbox_exists(mailbox);
            draft.expect(
                floor_key.clone(),
                floor.clone().map_or(Expect::Absent, Expect::Equals),
            );
            draft.set(floor_key.clone(), next.to_be_bytes().to_vec());
            if self.commit(vec![draft]).await?.is_some() {
                return Ok(first as u32);
            }
        }
        Err(contended())
    }

    /// Rows as they are stored; `uids` must ascend.
    pub(super) async fn read_rows(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
    ) -> Result<Vec<Read>> {
        let mut rows = Vec::with_capacity(uids.len());
        let mut rest = uids;
        while let (Some(&first), Some(&last)) = (rest.first(), rest.last()) {
            let span = u64::from(last - first) + 1;
            if rest.len() > 4 && span <= DENSE * rest.len() as u64 {
                let from = keys::row(mailbox, first);
                let to = keys::after(&keys::row(mailbox, last));
                let mut wanted = rest.iter().copied().peekable();
                for (key, bytes) in self.store.scan(account, from, to).await? {
                    let uid = uid_of(&key)?;
                    while wanted.next_if(|&next| next < uid).is_some() {}
                    if wanted.next_if_eq(&uid).is_some() {
                        rows.push(read(uid, bytes)?);
                    }
                }
                break;
            }
            let (now, later) = rest.split_at(rest.len().min(BATCH));
            let keys: Vec<_> = now.iter().map(|&uid| keys::row(mailbox, uid)).collect();
            let got = self.store.get(account, &keys).await?;
            for (&uid, bytes) in now.iter().zip(got) {
                if let Some(bytes) = bytes {
                    rows.push(read(uid, bytes)?);
                }
            }
            rest = later;
        }
        Ok(rows)
    }

    /// [`Error::NoSuchMailbox`] unless it is there.
    pub(super) async fn must_exist(&self, account: AccountId, mailbox: MailboxId) -> Result<()> {
        let got = self.store.get(account, &[keys::mailbox(mailbox)]).await?;
        match got.as_slice() {
            [Some(_)] => Ok(()),
            _ => Err(Error::NoSuchMailbox),
        }
    }

    async fn scan_uids(&self, account: AccountId, mailbox: MailboxId) -> Result<Vec<u32>> {
        self.scan_marks(account, keys::of_mailbox(keys::ROW, mailbox))
            .await
    }

    /// The numbers at the end of the keys of a range, without values.
    pub(super) async fn scan_marks(
        &self,
        account: AccountId,
        (mut from, to): (axigen_store::Key, axigen_store::Key),
    ) -> Result<Vec<u32>> {
        let mut uids = Vec::new();
        loop {
            let page = self
                .store
                .range(Range {
                    account,
                    from,
                    to: to.clone(),
                    limit: PAGE,
                    reverse: false,
                    keys_only: true,
                })
                .await?;
            for (key, _) in &page.rows {
                uids.push(uid_of(key)?);
            }
            match page.next {
                Some(next) => from = next,
                None => return Ok(uids),
            }
        }
    }
}

/// UIDs in order, each once.
pub(super) fn ascending(uids: &[u32]) -> Vec<u32> {
    let mut uids = uids.to_vec();
    uids.sort_unstable();
    uids.dedup();
    uids
}

fn read(uid: u32, bytes: bytes::Bytes) -> Result<Read> {
    let row = Stored::decode(&bytes)?;
    Ok(Read { uid, bytes, row })
}

fn uid_of(key: &[u8]) -> Result<u32> {
    keys::trailing_u32(key).ok_or_else(|| Error::corrupt("a key"))
}
