//! Following an account's change log, for what is made from its mail
//! afterwards, as a search index is.

use std::collections::{BTreeMap, BTreeSet};

use axigen_store::{AccountId, Expect, Key, Range};

use super::{
    Mailboxes,
    draft::Draft,
    error::{Error, Result},
    keys,
    log::Record,
    types::MailboxId,
};

/// Records read together.
const PAGE: usize = 1000;

/// UIDs by mailbox.
pub type Places = BTreeMap<MailboxId, BTreeSet<u32>>;

/// A stretch of an account's change log. What came may be gone again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stretch {
    /// It holds all changes up to this number.
    pub upto: u64,
    /// Whether there are later ones.
    pub more: bool,
    /// Messages that came.
    pub came: Places,
    /// Messages that went.
    pub gone: Places,
    /// Mailboxes in which flags changed.
    pub flagged: BTreeSet<MailboxId>,
    /// What others than the owner have seen changed: by mailbox and reader the
    /// UIDs.
    pub seen: BTreeMap<(MailboxId, AccountId), BTreeSet<u32>>,
    /// Mailboxes that were made, renamed or deleted, or whose access lists
    /// changed.
    pub folders: BTreeSet<MailboxId>,
    /// Whether a subscription changed, or somebody shares mailboxes with the
    /// account who did not before.
    pub subscriptions: bool,
    /// Notes that changed: of which mailbox (0 is the account itself), whose (0 is
    /// everyone's), and their names.
    pub annotated: Vec<(MailboxId, AccountId, String)>,
}

impl Mailboxes {
    /// What happened after the change `after`: about `most` messages and
    /// records, or a few more so that no change is torn. `None` if the log
    /// does not reach back so far, and what follows it must begin anew.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn follow(
        &self,
        account: AccountId,
        after: u64,
        most: usize,
    ) -> Result<Option<Stretch>> {
        let now = self.store.seq(account).await?;
        let mut stretch = Stretch {
            upto: after,
            ..Stretch::default()
        };
        let mut from = keys::log(after.saturating_add(1));
        let to: Key = keys::all(keys::LOG).1;
        let mut seen = 0;
        'log: loop {
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
                if seq != stretch.upto && seen >= most {
                    stretch.more = true;
                    break 'log;
                }
                stretch.upto = seq;
                seen += 1 + stretch.put(Record::decode(bytes)?);
            }
            match page.next {
                Some(next) => from = next,
                None => break,
            }
        }
        // Read after the log: if it was cut meanwhile, what was read is not all.
        if after < self.log_floor(account).await? {
            return Ok(None);
        }
        if !stretch.more {
            // Changes that nobody must hear of have numbers too.
            stretch.upto = stretch.upto.max(now);
        }
        Ok(Some(stretch))
    }

    /// The mailboxes an account has, by id; none if the account is gone.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn mailbox_ids(&self, account: AccountId) -> Result<Vec<MailboxId>> {
        let ids = self.scan_marks(account, keys::all(keys::MAILBOX)).await?;
        Ok(ids.into_iter().map(MailboxId).collect())
    }

    /// Bytes made at random when they are asked for the first time. Metadata
    /// that was lost and put together again has others, as its numbers may
    /// differ from what they were.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn epoch(&self) -> Result<[u8; 16]> {
        let key = keys::epoch();
        loop {
            let wanted = std::slice::from_ref(&key);
            let got = self.store.get(AccountId::SYSTEM, wanted).await?;
            if let [Some(bytes)] = got.as_slice() {
                let epoch = bytes.as_ref().try_into();
                return epoch.map_err(|_| Error::corrupt("the epoch"));
            }
            let mut epoch = [0; 16];
            getrandom::fill(&mut epoch).map_err(|error| {
                let error = std::io::Error::other(error.to_string());
                axigen_store::Error::io("random bytes", error)
            })?;
            let mut draft = Draft::new(AccountId::SYSTEM).quiet();
            draft.expect(key.clone(), Expect::Absent);
            draft.set(key.clone(), epoch.to_vec());
            // On a conflict another call made it.
            self.commit(vec![draft]).await?;
        }
    }

    /// Begins another [`epoch`](Mailboxes::epoch): nothing that was made from
    /// the mail so far counts.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn end_epoch(&self) -> Result<()> {
        let mut draft = Draft::new(AccountId::SYSTEM).quiet();
        draft.delete(keys::epoch());
        // Nothing is asserted.
        self.commit(vec![draft]).await?;
        Ok(())
    }

    /// The number of an account's last change.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn last_change(&self, account: AccountId) -> Result<u64> {
        Ok(self.store.seq(account).await?)
    }
}

impl Stretch {
    /// Takes a record in; how many messages it is about.
    fn put(&mut self, record: Record) -> usize {
        match record {
            Record::Added {
                mailbox,
                last,
                count,
            } => {
                let came = self.came.entry(mailbox).or_default();
                came.extend(last - count + 1..=last);
                count as usize
            }
            Record::Vanished { mailbox, uids } => {
                let gone = self.gone.entry(mailbox).or_default();
                let count = uids.len();
                gone.extend(uids);
                count
            }
            Record::Folder { mailbox } => {
                match mailbox.0 {
                    0 => self.subscriptions = true,
                    _ => drop(self.folders.insert(mailbox)),
                }
                0
            }
            Record::Annotated {
                mailbox,
                reader,
                name,
            } => {
                self.annotated.push((mailbox, reader, name));
                0
            }
            Record::Seen {
                mailbox,
                reader,
                uids,
            } => {
                let count = uids.len();
                self.seen.entry((mailbox, reader)).or_default().extend(uids);
                count
            }
            Record::Flags { mailbox, .. } => {
                self.flagged.insert(mailbox);
                0
            }
        }
    }
}
