//! Renaming mailboxes.

use std::collections::BTreeSet;

use axigen_store::{AccountId, Expect};

use super::{
    Mailboxes,
    draft::{Draft, TRIES, contended},
    error::{Error, Result},
    folders::{Folder, id_bytes},
    keys,
    label::Event,
    log::Record,
    names::{self, INBOX},
};

impl Mailboxes {
    /// Renames a mailbox and all below it, in one batch; missing parents of
    /// the new name are made. INBOX stays, empty, and its messages move into a
    /// new mailbox; what is below it stays too
    /// ([RFC 9051 §6.3.6](https://www.rfc-editor.org/rfc/rfc9051#section-6.3.6)).
    /// Subscriptions stay as they are.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`], [`Error::AlreadyExists`], [`Error::BadName`]
    /// also when a name below would become too long, [`Error::TooMany`]
    /// mailboxes, [`Error::Store`].
    pub async fn rename(&self, account: AccountId, from: &str, to: &str) -> Result<()> {
        let from = self.kept_name(account, from).await?;
        let to = self.new_name(to)?;
        if from == INBOX {
            return self.rename_inbox(account, &to).await;
        }
        if from != to && below(&to, &from).is_some() {
            return Err(Error::BadName("lie below the mailbox that gets it"));
        }
        let _turn = self.turn(account).await;
        for _ in 0..TRIES {
            if self.try_rename(account, &from, &to).await? {
                return Ok(());
            }
        }
        Err(contended())
    }

    async fn try_rename(&self, account: AccountId, from: &str, to: &str) -> Result<bool> {
        let mut old = self.below(account, from).await?;
        if let Some(id) = self.id_of(account, from).await? {
            old.insert(0, (from.to_owned(), id));
        }
        if old.is_empty() {
            return Err(Error::NoSuchMailbox);
        }
        let leaving: BTreeSet<&str> = old.iter().map(|(name, _)| name.as_str()).collect();
        let mut new = Vec::with_capacity(old.len());
        for (name, _) in &old {
            let rest = name.strip_prefix(from).unwrap_or_default();
            new.push(self.new_name(&format!("{to}{rest}"))?);
        }
        let mut wanted: Vec<_> = new.iter().map(|name| keys::name(name)).collect();
        wanted.extend(old.iter().map(|(_, id)| keys::mailbox(*id)));
        let got = self.store.get(account, &wanted).await?;
        let (taken, records) = got.split_at(got.len().min(new.len()));
        let is_taken =
            |(name, id): (&String, &Option<_>)| id.is_some() && !leaving.contains(name.as_str());
        if self.id_of(account, to).await?.is_some() || new.iter().zip(taken).any(is_taken) {
            return Err(Error::AlreadyExists);
        }

        let mut draft = Draft::new(account);
        for ((name, id), record) in old.iter().zip(records) {
            let Some(record) = record else {
                return Ok(false); // deleted just now
            };
            draft.expect(keys::name(name), Expect::Equals(id_bytes(*id)));
            draft.expect(keys::mailbox(*id), Expect::Equals(record.clone()));
            draft.delete(keys::name(name));
        }
        for ((name, (_, id)), record) in new.iter().zip(&old).zip(records) {
            let Some(record) = record else { continue };
            if !leaving.contains(name.as_str()) {
                draft.expect(keys::name(name), Expect::Absent);
            }
            let folder = Folder {
                name: name.clone(),
                ..Folder::decode(record)?
            };
            draft.set(keys::name(name), id_bytes(*id));
            draft.set(keys::mailbox(*id), folder.encode());
            draft.log(Record::folder(*id));
        }
        let event = Event::Renamed {
            account,
            from: from.to_owned(),
            to: to.to_owned(),
        };
        draft.note(event, Vec::new());
        let parents = names::parents(to).map(str::to_owned).collect();
        let making = self.making(account, &parents).await?;
        self.make(&making, &mut draft);
        match self.commit(vec![draft]).await {
            Err(Error::Store(axigen_store::Error::TooLarge(_))) => {
                Err(Error::TooMany("mailboxes below it to rename at once"))
            }
            done => Ok(done?.is_some()),
        }
    }

    async fn rename_inbox(&self, account: AccountId, to: &str) -> Result<()> {
        let inbox = self.id_of(account, INBOX).await?;
        let inbox = inbox.ok_or(Error::NoSuchMailbox)?;
        let target = self.create(account, to, None).await?;
        let (uids, _) = self.uids(account, inbox).await?;
        self.move_(account, inbox, &uids, target.id).await?;
        Ok(())
    }
}

/// What of `name` lies below `parent`.
fn below<'n>(name: &'n str, parent: &str) -> Option<&'n str> {
    name.strip_prefix(parent)?.strip_prefix(names::SEPARATOR)
}
