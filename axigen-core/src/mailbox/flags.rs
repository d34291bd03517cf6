//! Changing flags.

use std::collections::HashMap;

use axigen_store::AccountId;

use super::{
    Mailboxes,
    draft::{Draft, TRIES, contended},
    error::Result,
    keywords::{self, Words},
    log::Record,
    rewrite::Rewrite,
    row::{Read, Stored},
    seen,
    select::ascending,
    types::{FlagChange, Flagged, Flags, MailboxId},
    view::{Allowed, View},
};

/// Most messages one batch changes: eight blocks, mostly, of a few kilobytes each.
const BATCH: usize = 4096;
/// How often blocks are tried to be written again in one piece.
const WHOLE: usize = 3;

impl Mailboxes {
    /// Changes flags. Flags that are already so write nothing and take no
    /// modification number.
    ///
    /// With `unchanged_since`, rows changed after it are left alone
    /// ([RFC 7162 §3.1.3](https://www.rfc-editor.org/rfc/rfc7162#section-3.1.3)).
    /// There is one number for all flags of a message; so only 0 tells flags
    /// apart, with which keywords are added where they are not set yet.
    ///
    /// Up to four thousand messages are one batch; more are several, so another
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
        let view = View::own(account, mailbox);
        self.store_flags_of(&view, uids, change, unchanged_since)
            .await
    }

    /// [`store_flags`](Mailboxes::store_flags) by one who may have only some
    /// rights: flags that the reader may not change stay as they are. `\Seen` is
    /// kept for each reader apart.
    ///
    /// # Errors
    /// As [`store_flags`](Mailboxes::store_flags).
    pub async fn store_flags_of(
        &self,
        view: &View,
        uids: &[u32],
        change: &FlagChange,
        unchanged_since: Option<u64>,
    ) -> Result<Flagged> {
        // What is taken away need not be a keyword that could be set.
        if let FlagChange::Replace(flags) | FlagChange::Add(flags) = change {
            keywords::check_flags(flags)?;
        }
        self.must_exist(view.account, view.mailbox).await?;
        let uids = ascending(uids);
        let mut flagged = Flagged::default();
        let mut rest = &uids[..];
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(self.chunk(view, rest).await?);
            self.store_chunk(view, chunk, change, unchanged_since, &mut flagged)
                .await?;
            rest = behind;
        }
        Ok(flagged)
    }

    /// How many of these UIDs one batch changes. It ends where a block ends: of one
    /// that is cut in two, a few rows would be left to stand beside it.
    async fn chunk(&self, view: &View, uids: &[u32]) -> Result<usize> {
        let Some(&next) = uids.get(BATCH) else {
            return Ok(uids.len());
        };
        let block = self.block_at(view.account, view.mailbox, next).await?;
        let end = block.map_or(0, |block| uids.partition_point(|uid| *uid < block));
        // A block may be longer than what is changed at once.
        Ok(if end > BATCH / 2 { end } else { BATCH })
    }

    async fn store_chunk(
        &self,
        view: &View,
        uids: &[u32],
        change: &FlagChange,
        unchanged_since: Option<u64>,
        flagged: &mut Flagged,
    ) -> Result<()> {
        let (account, mailbox) = (view.account, view.mailbox);
        let mut allowed = view.allowed();
        let may_see = allowed.system & Flags::SEEN != 0;
        if view.guest().is_some() {
            // What the row says is the owner's.
            allowed.system &= !Flags::SEEN;
        }
        let (FlagChange::Replace(flags) | FlagChange::Add(flags) | FlagChange::Remove(flags)) =
            change;
        for attempt in 0..TRIES {
            let modseq = self.kept_modseq(account, mailbox).await?;
            let marks = match view.guest() {
                Some(guest) => self.marks(account, mailbox, guest, uids).await?,
                None => HashMap::new(),
            };
            let old = self.read_rows(account, mailbox, uids).await?;
            let mut words = self.words(account, &flags.keywords, &old).await?;
            // In a mailbox that changes all the time, rows change by themselves.
            let mut rewrite = match attempt < WHOLE {
                true => self.rewrite(account, mailbox, &old, modseq).await?,
                false => Rewrite::none(),
            };
            let mut draft = Draft::new(account);
            draft.mailbox_exists(mailbox);
            let mut modified = Vec::new();
            let mut changed = Vec::new();
            let mut rows = Vec::with_capacity(old.len());
            let mut marked = Vec::new();
            for read in &old {
                let mark = marks.get(&read.uid).copied().unwrap_or_default();
                let before = read.row.modseq.max(mark.modseq);
                let changed_after = unchanged_since.is_some_and(|since| before > since);
                if changed_after && !(unchanged_since == Some(0) && lacks(change, read, &words)) {
                    modified.push(read.uid);
                    continue;
                }
                let new = apply(change, &read.row, allowed, &mut words)?;
                let seen = match may_see {
                    true => sees(change, mark.seen),
                    false => mark.seen,
                };
                let marks_it = view.guest().is_some() && seen != mark.seen;
                if new != read.row {
                    draft.change_row_in(&mut rewrite, mailbox, read, &new);
                    changed.push(read.uid);
                } else if marks_it {
                    draft.expect_row(mailbox, read);
                }
                if marks_it {
                    marked.push((read.uid, seen));
                }
                let touched = new != read.row || marks_it;
                rows.push((read.uid, new, before, seen, touched));
            }
            let mut seq = 0;
            if !changed.is_empty() || !marked.is_empty() {
                words.write(&mut draft);
                draft.write_again(mailbox, rewrite)?;
                if !changed.is_empty() {
                    draft.log(Record::flags(mailbox, &changed));
                }
                if let Some(guest) = view.guest() {
                    seen::set_marks(&mut draft, mailbox, guest, &marks, &marked);
                }
                match self.commit(vec![draft]).await? {
                    Some(commit) => seq = commit.parts.first().map_or(0, |part| part.seq),
                    None => {
                        self.must_exist(account, mailbox).await?;
                        continue;
                    }
                }
            }
            for (uid, row, before, seen, touched) in rows {
                let modseq = if touched { seq } else { before };
                let mut row = words.row(uid, modseq, &row)?;
                if view.guest().is_some() {
                    row.flags.system &= !Flags::SEEN;
                    row.flags.system |= if seen { Flags::SEEN } else { 0 };
                }
                flagged.rows.push(row);
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

/// Whether a message that was seen, or not, is so after a change.
fn sees(change: &FlagChange, seen: bool) -> bool {
    match change {
        FlagChange::Replace(flags) => flags.has(Flags::SEEN),
        FlagChange::Add(flags) => seen || flags.has(Flags::SEEN),
        FlagChange::Remove(flags) => seen && !flags.has(Flags::SEEN),
    }
}

/// The row with those of its flags changed that may be.
fn apply(change: &FlagChange, row: &Stored, allowed: Allowed, words: &mut Words) -> Result<Stored> {
    let mut new = row.clone();
    let system = match change {
        FlagChange::Replace(flags) => flags.system & Flags::SYSTEM,
        FlagChange::Add(flags) => row.system | flags.system & Flags::SYSTEM,
        FlagChange::Remove(flags) => row.system & !flags.system,
    };
    new.system = (system & allowed.system) | (row.system & !allowed.system);
    if !allowed.keywords {
        return Ok(new);
    }
    match change {
        FlagChange::Replace(flags) => new.words = words.numbers(&flags.keywords)?,
        FlagChange::Add(flags) => {
            let more = words.numbers(&flags.keywords)?;
            keywords::join(&mut new.words, &more)?;
        }
        FlagChange::Remove(flags) => {
            let gone = words.known(&flags.keywords);
            new.words.retain(|word| !gone.contains(word));
        }
    }
    Ok(new)
}
