//! What changed since a client last looked.

use std::collections::BTreeSet;

use axigen_store::{AccountId, Expect, Key, Range};

use super::{
    Mailboxes,
    draft::{Draft, TRIES, contended},
    error::{Error, Result},
    keys::{self, Account, Counter},
    log::Record,
    types::{Changes, MailboxId, Touched},
};

/// Records of one page of the log.
const PAGE: usize = 1000;

/// Whether a reader knows the flags that a message, by its UID, had when this
/// change was done, or has newer ones.
pub type Knows<'t> = &'t (dyn Fn(u32, u64) -> bool + Sync);

impl Mailboxes {
    /// What changed in a mailbox since `modseq`, from the account's change
    /// log: work is proportional to what changed in the account, and nothing
    /// is read if the mailbox did not change.
    ///
    /// If `modseq` is older than the log reaches back, all rows are compared
    /// with it, and every UID that is not there counts as vanished, which
    /// [RFC 7162 §3.2.5.1](https://www.rfc-editor.org/rfc/rfc7162#section-3.2.5.1)
    /// allows.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`], [`Error::Store`].
    pub async fn changes(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        modseq: u64,
    ) -> Result<Changes> {
        let touched = self.touched(account, mailbox, modseq).await?;
        let mut rows = self.rows(account, mailbox, &touched.changed).await?;
        rows.retain(|row| row.modseq > modseq);
        Ok(Changes {
            modseq: touched.modseq,
            rows,
            vanished: touched.vanished,
            highest_modseq: touched.highest_modseq,
        })
    }

    /// Which messages [`changes`](Mailboxes::changes) is about, for a caller
    /// who reads their rows in pages. Not every one of them has changed.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`], [`Error::Store`].
    pub async fn touched(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        modseq: u64,
    ) -> Result<Touched> {
        self.touched_by(account, mailbox, modseq, None, &|_, _| false)
            .await
    }

    /// The same, with what a reader who is not the owner has marked, and without
    /// what the reader [knows](Knows) of already.
    pub(super) async fn touched_by(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        modseq: u64,
        guest: Option<AccountId>,
        knows: Knows<'_>,
    ) -> Result<Touched> {
        let now = self.store.seq(account).await?;
        let wanted = [
            keys::mailbox(mailbox),
            keys::counter(mailbox, Counter::Modseq),
            keys::counter(mailbox, Counter::LastUid),
        ];
        let got = self.store.get(account, &wanted).await?;
        let [Some(_), highest, last_uid] = got.as_slice() else {
            return Err(Error::NoSuchMailbox);
        };
        let highest = keys::number(highest) as u64;
        let mut touched = Touched {
            modseq: now.max(modseq),
            highest_modseq: highest.min(now),
            last_uid: keys::number(last_uid) as u32,
            ..Touched::default()
        };
        // Read after `now`, so no change up to `now` is missed.
        if highest <= modseq {
            return Ok(touched);
        }
        let (mut changed, mut vanished) = (BTreeSet::new(), BTreeSet::new());
        self.each_record(account, modseq, |seq, record| match record {
            Record::Added {
                mailbox: of,
                last,
                count,
            } if of == mailbox => changed.extend(last - count + 1..=last),
            Record::Flags { mailbox: of, uids } if of == mailbox => {
                changed.extend(uids.into_iter().filter(|uid| !knows(*uid, seq)));
            }
            Record::Vanished { mailbox: of, uids } if of == mailbox => vanished.extend(uids),
            Record::Seen {
                mailbox: of,
                reader,
                uids,
            } if of == mailbox && guest == Some(reader) => {
                changed.extend(uids.into_iter().filter(|uid| !knows(*uid, seq)));
            }
            _ => {}
        })
        .await?;
        // Read after the log: if it was cut meanwhile, what was read is not all.
        if modseq < self.log_floor(account).await? {
            touched.changed = self.scan_uids(account, mailbox).await?;
            touched.vanished.push_range(1, touched.last_uid);
            let there = touched.changed.iter().copied().collect();
            touched.vanished = touched.vanished.difference(&there);
        } else {
            touched.changed = changed.difference(&vanished).copied().collect();
            touched.vanished = vanished.into_iter().collect();
        }
        Ok(touched)
    }

    /// Changes up to this number are no longer in the log.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn log_floor(&self, account: AccountId) -> Result<u64> {
        let got = self
            .store
            .get(account, &[keys::account(Account::Floor)])
            .await?;
        Ok(got.first().map_or(0, keys::number) as u64)
    }

    /// Forgets what changed up to and with `modseq`; a client that comes with
    /// an older number is given a full comparison.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn cut_log(&self, account: AccountId, modseq: u64) -> Result<()> {
        let key = keys::account(Account::Floor);
        for _ in 0..TRIES {
            let modseq = modseq.min(self.store.seq(account).await?);
            let got = self.store.get(account, std::slice::from_ref(&key)).await?;
            let floor = got.first().cloned().flatten();
            if keys::number(&floor) as u64 >= modseq {
                return Ok(());
            }
            let mut draft = Draft::new(account).quiet();
            draft.expect(key.clone(), floor.map_or(Expect::Absent, Expect::Equals));
            draft.set(key.clone(), modseq.to_be_bytes().to_vec());
            draft.delete_range((keys::log(0), keys::log(modseq + 1)));
            if self.commit(vec![draft]).await?.is_some() {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Shows each record of the log after `modseq`, in order, with its change's number.
    pub(super) async fn each_record(
        &self,
        account: AccountId,
        modseq: u64,
        mut see: impl FnMut(u64, Record),
    ) -> Result<()> {
        let mut from = keys::log(modseq.saturating_add(1));
        let to: Key = keys::all(keys::LOG).1;
        loop {
            let page = self
                .store
                .range(Range {
                    account,
                    from,
                    to: to.clone(),
                    limit: PAGE,
                    reverse: false,
                    keys_only: false,
                })
                .await?;
            for (key, bytes) in &page.rows {
                let seq = keys::log_seq(key).ok_or_else(|| Error::corrupt("a key"))?;
                see(seq, Record::decode(bytes)?);
            }
            match page.next {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }
}
