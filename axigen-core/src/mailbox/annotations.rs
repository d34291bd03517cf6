//! Notes about mailboxes and accounts, as METADATA keeps them
//! ([RFC 5464](https://www.rfc-editor.org/rfc/rfc5464)): small values under names,
//! shared by all who may see the mailbox, or private to one reader.
//!
//! They are in the range of the account that the mailbox is in. Under
//! `24 mailbox reader name` stands the value of a mailbox's, with reader 0 for a
//! shared one; under `25 name` that of a private one of the account itself.

use std::collections::BTreeMap;

use axigen_proto::imap::extensions::metadata::EntryName;
use axigen_store::{AccountId, Expect};
use bytes::Bytes;

use super::{
    Mailboxes,
    draft::{Draft, TRIES, contended},
    error::{Error, Result},
    keys,
    log::Record,
    types::{MailboxId, SpecialUse},
    view::View,
};

/// How much may be noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnotationLimits {
    /// Largest value, in bytes.
    pub size: u64,
    /// Most shared entries of a mailbox, and most private ones of one reader.
    pub entries: u32,
}

/// Names and values of entries.
pub type Annotations = BTreeMap<EntryName, Bytes>;

/// Entries and their new values; `None` removes one.
pub type Annotating<'v> = &'v [(EntryName, Option<Bytes>)];

impl Mailboxes {
    /// The entries of a mailbox that a reader sees: shared ones and its own.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`], [`Error::Store`].
    pub async fn annotations(&self, view: &View) -> Result<Annotations> {
        self.must_exist(view.account, view.mailbox).await?;
        let mut all = Annotations::new();
        for reader in [AccountId(0), view.reader] {
            let (from, to) = keys::annotations(view.mailbox, reader);
            for (key, value) in self.store.scan(view.account, from, to).await? {
                all.insert(name(&key, keys::ANNOTATION_NAME)?, value);
            }
        }
        Ok(all)
    }

    /// The private entries of an account itself.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn account_annotations(&self, account: AccountId) -> Result<Annotations> {
        let (from, to) = keys::all(keys::ACCOUNT_ANNOTATION);
        let rows = self.store.scan(account, from, to).await?;
        let entry = |(key, value): (Bytes, Bytes)| Ok((name(&key, 1)?, value));
        rows.into_iter().map(entry).collect()
    }

    /// Sets and removes entries of a mailbox, all or none, durable on `Ok`.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`]; [`Error::AnnotationTooLarge`];
    /// [`Error::TooMany`] entries; [`Error::Store`].
    pub async fn annotate(
        &self,
        view: &View,
        values: Annotating<'_>,
        limits: AnnotationLimits,
    ) -> Result<()> {
        fits(values, limits)?;
        let reader = |entry: &EntryName| match entry.is_private() {
            true => view.reader,
            false => AccountId(0),
        };
        for _ in 0..TRIES {
            let before = self.annotations(view).await?;
            bounded(&before, values, limits)?;
            let mut draft = Draft::new(view.account);
            draft.mailbox_exists(view.mailbox);
            for (entry, value) in values {
                let key = keys::annotation(view.mailbox, reader(entry), entry.as_str());
                draft.expect(key.clone(), as_it_was(&before, entry));
                put(&mut draft, key, value.as_ref());
                draft.log(Record::annotated(
                    view.mailbox,
                    reader(entry),
                    entry.as_str(),
                ));
            }
            if self.commit(vec![draft]).await?.is_some() {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Sets and removes private entries of an account itself, all or none.
    ///
    /// # Errors
    /// [`Error::AnnotationTooLarge`]; [`Error::TooMany`] entries; [`Error::Store`].
    pub async fn annotate_account(
        &self,
        account: AccountId,
        values: Annotating<'_>,
        limits: AnnotationLimits,
    ) -> Result<()> {
        fits(values, limits)?;
        for _ in 0..TRIES {
            let before = self.account_annotations(account).await?;
            bounded(&before, values, limits)?;
            let mut draft = Draft::new(account);
            for (entry, value) in values {
                let key = keys::account_annotation(entry.as_str());
                draft.expect(key.clone(), as_it_was(&before, entry));
                put(&mut draft, key, value.as_ref());
                draft.log(Record::annotated(MailboxId(0), account, entry.as_str()));
            }
            if self.commit(vec![draft]).await?.is_some() {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Gives a mailbox another use, or none.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`], [`Error::Store`].
    pub async fn set_special_use(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        special_use: Option<SpecialUse>,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let mut folder = self.record(account, mailbox).await?;
            let mut draft = Draft::new(account);
            draft.expect(keys::mailbox(mailbox), Expect::Equals(folder.encode()));
            folder.special_use = special_use;
            draft.set(keys::mailbox(mailbox), folder.encode());
            draft.log(Record::folder(mailbox));
            if self.commit(vec![draft]).await?.is_some() {
                return Ok(());
            }
        }
        Err(contended())
    }
}

fn name(key: &[u8], at: usize) -> Result<EntryName> {
    let name = key
        .get(at..)
        .and_then(|name| std::str::from_utf8(name).ok());
    let name = name.and_then(EntryName::new);
    name.ok_or_else(|| Error::corrupt("the name of an annotation"))
}

fn as_it_was(before: &Annotations, entry: &EntryName) -> Expect {
    match before.get(entry) {
        Some(value) => Expect::Equals(value.clone()),
        None => Expect::Absent,
    }
}

fn put(draft: &mut Draft, key: Bytes, value: Option<&Bytes>) {
    match value {
        Some(value) => draft.set(key, value.clone()),
        None => draft.delete(key),
    }
}

fn fits(values: Annotating<'_>, limits: AnnotationLimits) -> Result<()> {
    let sizes = values.iter().flat_map(|(_, value)| value);
    match sizes
        .into_iter()
        .all(|value| value.len() as u64 <= limits.size)
    {
        true => Ok(()),
        false => Err(Error::AnnotationTooLarge(limits.size)),
    }
}

/// Neither of the private entries nor of the shared ones there will be too many.
fn bounded(before: &Annotations, values: Annotating<'_>, limits: AnnotationLimits) -> Result<()> {
    let mut names: BTreeMap<&EntryName, bool> = before.keys().map(|entry| (entry, true)).collect();
    names.extend(values.iter().map(|(entry, value)| (entry, value.is_some())));
    for private in [false, true] {
        let there = names
            .iter()
            .filter(|(entry, there)| **there && entry.is_private() == private);
        let grows = values.iter().any(|(entry, value)| {
            value.is_some() && entry.is_private() == private && !before.contains_key(entry)
        });
        if grows && there.count() > limits.entries as usize {
            return Err(Error::TooMany("annotations of one mailbox"));
        }
    }
    Ok(())
}
