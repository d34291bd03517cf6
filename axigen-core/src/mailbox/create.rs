//! Making mailboxes.

use std::{
    collections::BTreeSet,
    time::{SystemTime, UNIX_EPOCH},
};

use axigen_store::{AccountId, Expect};
use bytes::Bytes;

use super::{
    Mailboxes,
    draft::{Draft, TRIES, contended},
    error::{Error, Result},
    folders::{Folder, id_bytes},
    keys::{self, Account},
    label::Event,
    log::Record,
    names::{self, INBOX},
    types::{MailboxId, MailboxInfo, SpecialUse},
};

/// What every account begins with; all are subscribed.
const INITIAL: [(&str, Option<SpecialUse>); 6] = [
    (INBOX, None),
    ("Archive", Some(SpecialUse::Archive)),
    ("Drafts", Some(SpecialUse::Drafts)),
    ("Junk", Some(SpecialUse::Junk)),
    ("Sent", Some(SpecialUse::Sent)),
    ("Trash", Some(SpecialUse::Trash)),
];

/// Mailboxes that a batch is to make, with the ids they will have if no one
/// else makes one first.
#[derive(Debug, Default)]
pub(super) struct Making {
    pub(super) folders: Vec<(MailboxId, Folder)>,
    /// Who may do what with them, as with their parents.
    access: Vec<(MailboxId, Bytes)>,
    last_id: Option<Bytes>,
    validity_delta: i64,
}

impl Making {
    /// Whether the account never had a mailbox before.
    pub(super) fn is_first(&self) -> bool {
        self.last_id.is_none() && !self.folders.is_empty()
    }
}

impl Mailboxes {
    /// Gives a new account INBOX and the usual special-use mailboxes,
    /// subscribed, and finishes deletions that were interrupted. An account
    /// that has an INBOX is otherwise left as it is, so this may be called at
    /// every login.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn create_account(&self, account: AccountId) -> Result<()> {
        for _ in 0..TRIES {
            if self.id_of(account, INBOX).await?.is_some() {
                return self.finish_deletions(account).await;
            }
            let _turn = self.turn(account).await;
            let wanted = INITIAL.map(|(name, _)| name.to_owned()).into();
            let mut making = self.making(account, &wanted).await?;
            if !making
                .folders
                .iter()
                .any(|(_, folder)| folder.name == INBOX)
            {
                continue;
            }
            for (_, folder) in &mut making.folders {
                let special = INITIAL.iter().find(|(name, _)| *name == folder.name);
                folder.special_use = special.and_then(|(_, special)| *special);
            }
            let subscribed = self.subscriptions(account).await?;
            let mut draft = Draft::new(account);
            self.make(&making, &mut draft);
            for (_, folder) in &making.folders {
                if !subscribed.contains(&folder.name) {
                    self.write_subscription(&folder.name, true, &mut draft);
                }
            }
            if self.commit(vec![draft]).await?.is_some() {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Creates a mailbox and its missing parents. One `/` at the end of the
    /// name is ignored
    /// ([RFC 9051 §6.3.4](https://www.rfc-editor.org/rfc/rfc9051#section-6.3.4)).
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::AlreadyExists`], [`Error::TooMany`]
    /// mailboxes, [`Error::Store`].
    pub async fn create(
        &self,
        account: AccountId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxInfo> {
        let name = self.new_name(name)?;
        self.create_account(account).await?;
        self.create_named(account, name, special_use).await
    }

    /// [`create`](Mailboxes::create) in an account of which nobody is the user,
    /// as that of public folders: it has no INBOX.
    ///
    /// # Errors
    /// As [`create`](Mailboxes::create).
    pub async fn create_beside(&self, account: AccountId, name: &str) -> Result<MailboxInfo> {
        let name = self.new_name(name)?;
        if name.split(names::SEPARATOR).next() == Some(INBOX) {
            return Err(Error::BadName("be INBOX, which is somebody's"));
        }
        self.create_named(account, name, None).await
    }

    /// The kept form of a name that a mailbox is to be made with.
    ///
    /// # Errors
    /// [`Error::BadName`], also beyond the limits of [`Options`](super::Options).
    pub fn new_name(&self, name: &str) -> Result<String> {
        let name = names::normalise_new(name)?;
        self.shared.options.names.check(&name)?;
        Ok(name)
    }

    async fn create_named(
        &self,
        account: AccountId,
        name: String,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxInfo> {
        let _turn = self.turn(account).await;
        for _ in 0..TRIES {
            let mut making = self
                .making(account, &BTreeSet::from([name.clone()]))
                .await?;
            let Some((id, folder)) = making
                .folders
                .iter_mut()
                .find(|(_, folder)| folder.name == name)
            else {
                return Err(Error::AlreadyExists);
            };
            folder.special_use = special_use;
            let id = *id;
            let mut draft = Draft::new(account);
            self.make(&making, &mut draft);
            if self.commit(vec![draft]).await?.is_some() {
                return self.info(account, id).await;
            }
        }
        Err(contended())
    }

    /// What must be made so that these names and their parents are there.
    pub(super) async fn making(
        &self,
        account: AccountId,
        wanted: &BTreeSet<String>,
    ) -> Result<Making> {
        if wanted.is_empty() {
            return Ok(Making::default());
        }
        let all: BTreeSet<&str> = wanted
            .iter()
            .flat_map(|name| names::parents(name).chain([name.as_str()]))
            .collect();
        let mut keys = vec![
            keys::account(Account::Mailbox),
            keys::account(Account::Validity),
        ];
        keys.extend(all.iter().map(|name| keys::name(name)));
        let got = self.store.get(account, &keys).await?;
        let [last_id, validity, present @ ..] = got.as_slice() else {
            return Err(Error::corrupt("an answer of the store"));
        };
        let mut id = keys::number(last_id) as u32;
        let old_validity = keys::number(validity);
        let mut uid_validity = old_validity.max(self.first_validity() - 1);
        let mut folders = Vec::new();
        for (name, present) in all.into_iter().zip(present) {
            if present.is_some() {
                continue;
            }
            id = id
                .checked_add(1)
                .ok_or(Error::TooMany("mailboxes were ever made in the account"))?;
            uid_validity += 1;
            folders.push((
                MailboxId(id),
                Folder {
                    // RFC 9051 §2.3.1.1: nonzero, and greater than any that
                    // a mailbox of this name had before.
                    uid_validity: u32::try_from(uid_validity)
                        .map_err(|_| Error::TooMany("mailboxes were ever made in the account"))?,
                    special_use: None,
                    name: name.to_owned(),
                },
            ));
        }
        let access = self.inherited(account, &folders).await?;
        Ok(Making {
            folders,
            access,
            last_id: last_id.clone(),
            validity_delta: uid_validity - old_validity,
        })
    }

    /// Puts the making of mailboxes into a batch.
    pub(super) fn make(&self, making: &Making, draft: &mut Draft) {
        if making.folders.is_empty() {
            return;
        }
        let count = making.folders.len() as i64;
        // Ids and UID validities were chosen by reading; this holds them.
        draft.expect(
            keys::account(Account::Mailbox),
            making
                .last_id
                .clone()
                .map_or(Expect::Absent, Expect::Equals),
        );
        draft.add(Account::Mailbox, count);
        draft.add(Account::Validity, making.validity_delta);
        draft.add_within(
            Account::Mailboxes,
            count,
            self.shared.options.mailboxes,
            "mailboxes in the account",
        );
        for (id, folder) in &making.folders {
            draft.expect(keys::name(&folder.name), Expect::Absent);
            draft.set(keys::name(&folder.name), id_bytes(*id));
            draft.set(keys::mailbox(*id), folder.encode());
            draft.touch(*id);
            draft.log(Record::folder(*id));
        }
        for (id, access) in &making.access {
            draft.set(keys::access(*id), access.clone());
        }
        let names = making.folders.iter().map(|(_, folder)| folder.name.clone());
        let event = Event::Created {
            account: draft.account(),
            names: names.collect(),
        };
        draft.note(event, Vec::new());
    }

    /// The smallest UID validity a mailbox made now may have.
    pub(super) fn first_validity(&self) -> i64 {
        let first = self.shared.options.uid_validity.map_or_else(
            || {
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(1, |now| now.as_secs() as i64)
            },
            i64::from,
        );
        first.clamp(1, i64::from(u32::MAX))
    }
}
