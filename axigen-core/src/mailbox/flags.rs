//! Changing flags.

use axigen_store::AccountId;

use super::{
    Mailboxes,
    draft::{CHUNK, Draft, TRIES, contended},
    error::Result,
    keywords::{self, Words},
    log::Record,
    row::{Read, Stored},
    select::ascending,
    types::{FlagChange, Flagged, Flags, MailboxId},
};

impl Mailboxes {
    /// Changes flags. Flags that are already so write nothing and take no
    /// modification number.
    ///
    /// With `unchanged_since`, rows changed after it are left alone
    /// ([RFC 7162 §3.1.3](https://www.rfc-editor.org/rfc/rfc7162#section-3.1.3)).
    /// There is one number for all flags of a message; so only 0 tells flags
    /// apart, with which keywords are added where they are not set yet.
    ///
    /// Up to a thousand messages are one batch; more are several, so another
    /// session may see the first before the last.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`](super::Error::NoSuchMailbox),
    /// [`Error::BadKeyword`](super::Error::BadKeyword),
    /// [`Error::TooMany`](super::Error::TooMany) keywords,
    /// [`Error::Store`](super::Error::Store).
    pub async fn store_flags(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
        change: &FlagChange,
        unchanged_since: Option<u64>,
    ) -> Result<Flagged> {
        // What is taken away need not be a keyword that could be set.
        if let FlagChange::Replace(flags) | FlagChange::Add(flags) = change {
            keywords::check_flags(flags)?;
        }
        self.must_exist(account, mailbox).await?;
        let uids = ascending(uids);
        let mut flagged = Flagged::default();
        for chunk in uids.chunks(CHUNK) {
            self.store_chunk(
                account,
                mailbox,
                chunk,
                change,
                unchanged_since,
                &mut flagged,
            )
            .await?;
        }
        Ok(flagged)
    }

    async fn store_chunk(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
        change: &FlagChange,
        unchanged_since: Option<u64>,
        flagged: &mut Flagged,
    ) -> Result<()> {
        let (FlagChange::Replace(flags) | FlagChange::Add(flags) | FlagChange::Remove(flags)) =
            change;
        for _ in 0..TRIES {
            let old = self.read_rows(account, mailbox, uids).await?;
            let mut words = self.words(account, &flags.keywords, &old).await?;
            let mut draft = Draft::new(account);
            draft.mailbox_exists(mailbox);
            let mut modified = Vec::new();
            let mut changed = Vec::new();
            let mut rows = Vec::with_capacity(old.len());
            for read in &old {
                let changed_after = unchanged_since.is_some_and(|since| read.row.modseq > since);
                if changed_after && !(unchanged_since == Some(0) && lacks(change, read, &words)) {
                    modified.push(read.uid);
                    continue;
                }
                let new = apply(change, &read.row, &mut words)?;
                if new != read.row {
                    draft.change_row(mailbox, read, &new);
                    changed.push(read.uid);
                }
                rows.push((read.uid, new, read.row.modseq));
            }
            let mut seq = 0;
            if !changed.is_empty() {
                words.write(&mut draft);
                draft.log(Record::flags(mailbox, &changed));
                match self.commit(vec![draft]).await? {
                    Some(commit) => seq = commit.parts.first().map_or(0, |part| part.seq),
                    None => {
                        self.must_exist(account, mailbox).await?;
                        continue;
                    }
                }
            }
            let mut changed = changed.into_iter().peekable();
            for (uid, row, before) in rows {
                let modseq = match changed.next_if_eq(&uid) {
                    Some(_) => seq,
                    None => before,
                };
                flagged.rows.push(words.row(uid, modseq, &row)?);
                flagged.before.push(before);
            }
            flagged.modified.extend(modified);
            return Ok(());
        }
        Err(contended())
    }
}

/// Whether keywords, and nothing else, are added, and the row has none of them.
fn lacks(change: &FlagChange, read: &Read, words: &Words) -> bool {
    match change {
        FlagChange::Add(flags) if flags.system == 0 => {
            let known = words.known(&flags.keywords);
            !read.row.words.iter().any(|word| known.contains(word))
        }
        _ => false,
    }
}

/// The row with its flags changed.
fn apply(change: &FlagChange, row: &Stored, words: &mut Words) -> Result<Stored> {
    let mut new = row.clone();
    match change {
        FlagChange::Replace(flags) => {
            new.system = flags.system & Flags::SYSTEM;
            new.words = words.numbers(&flags.keywords)?;
        }
        FlagChange::Add(flags) => {
            new.system |= flags.system & Flags::SYSTEM;
            let more = words.numbers(&flags.keywords)?;
            keywords::join(&mut new.words, &more)?;
        }
        FlagChange::Remove(flags) => {
            new.system &= !flags.system;
            let gone = words.known(&flags.keywords);
            new.words.retain(|word| !gone.contains(word));
        }
    }
    Ok(new)
}
