//! The mailboxes of an account: listing, finding, subscribing.
//!
//! A mailbox's record is a version byte, its UID validity (4 bytes), its
//! special use (1 byte, 0 for none) and its name.

use std::collections::{BTreeMap, BTreeSet};

use axigen_store::{AccountId, Expect};
use bytes::Bytes;

use super::{
    Mailboxes,
    draft::{Draft, TRIES, contended},
    error::{Error, Result},
    keys::{self, Account, COUNTERS},
    log::Record,
    names,
    types::{MailboxId, MailboxInfo, SpecialUse},
};

const VERSION: u8 = 1;

/// What a mailbox is, without its counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    pub(super) uid_validity: u32,
    pub(super) special_use: Option<SpecialUse>,
    pub(super) name: String,
}

impl Folder {
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(6 + self.name.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.uid_validity.to_be_bytes());
        bytes.push(match self.special_use {
            None => 0,
            Some(SpecialUse::All) => 1,
            Some(SpecialUse::Archive) => 2,
            Some(SpecialUse::Drafts) => 3,
            Some(SpecialUse::Flagged) => 4,
            Some(SpecialUse::Junk) => 5,
            Some(SpecialUse::Sent) => 6,
            Some(SpecialUse::Trash) => 7,
        });
        bytes.extend_from_slice(self.name.as_bytes());
        bytes.into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Folder> {
        decode(bytes).ok_or_else(|| Error::corrupt("a mailbox's record"))
    }

    /// With its counters (in the order of [`COUNTERS`]).
    fn info(self, id: MailboxId, counters: [i64; 7], subscribed: bool) -> MailboxInfo {
        let [last_uid, messages, unseen, deleted, size, modseq, _recent] =
            counters.map(|value| value.max(0) as u64);
        MailboxInfo {
            id,
            name: self.name,
            uid_validity: self.uid_validity,
            uid_next: (last_uid + 1) as u32,
            highest_modseq: modseq,
            messages: messages as u32,
            unseen: unseen as u32,
            deleted: deleted as u32,
            size,
            special_use: self.special_use,
            subscribed,
        }
    }
}

fn decode(bytes: &[u8]) -> Option<Folder> {
    let (&version, rest) = bytes.split_first()?;
    let (uid_validity, rest) = rest.split_first_chunk::<4>()?;
    let (&special, name) = rest.split_first()?;
    if version != VERSION {
        return None;
    }
    Some(Folder {
        uid_validity: u32::from_be_bytes(*uid_validity),
        special_use: match special {
            0 => None,
            1 => Some(SpecialUse::All),
            2 => Some(SpecialUse::Archive),
            3 => Some(SpecialUse::Drafts),
            4 => Some(SpecialUse::Flagged),
            5 => Some(SpecialUse::Junk),
            6 => Some(SpecialUse::Sent),
            7 => Some(SpecialUse::Trash),
            _ => return None,
        },
        name: std::str::from_utf8(name).ok()?.to_owned(),
    })
}

impl Mailboxes {
    /// All mailboxes, INBOX first, then level by level, with counters. Names
    /// that are only parents of others are not among them; see
    /// [`names::missing_parents`]. Messages are not read.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list(&self, account: AccountId) -> Result<Vec<MailboxInfo>> {
        let (from, to) = keys::all(keys::MAILBOX);
        let folders = self.store.scan(account, from, to).await?;
        let (from, to) = keys::all(keys::COUNTER);
        let mut counters: BTreeMap<u32, [i64; 7]> = BTreeMap::new();
        for (key, value) in self.store.scan(account, from, to).await? {
            let [_, a, b, c, d, which] = *key else {
                return Err(Error::corrupt("a counter's key"));
            };
            let of = counters
                .entry(u32::from_be_bytes([a, b, c, d]))
                .or_default();
            if let Some(counter) = of.get_mut(usize::from(which)) {
                *counter = keys::number(&Some(value));
            }
        }
        let subscribed: BTreeSet<String> = self.subscriptions(account).await?.into_iter().collect();
        let mut list = Vec::with_capacity(folders.len());
        for (key, record) in folders {
            let id = keys::trailing_u32(&key).ok_or_else(|| Error::corrupt("a key"))?;
            let folder = Folder::decode(&record)?;
            let is_subscribed = subscribed.contains(&folder.name);
            let counters = counters.get(&id).copied().unwrap_or_default();
            list.push(folder.info(MailboxId(id), counters, is_subscribed));
        }
        list.sort_by(|a, b| names::order(&a.name, &b.name));
        Ok(list)
    }

    /// A mailbox by name; INBOX in any case.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`], [`Error::Store`].
    pub async fn find(&self, account: AccountId, name: &str) -> Result<MailboxInfo> {
        let name = self.kept_name(account, name).await?;
        let id = self.id_of(account, &name).await?;
        self.info_named(account, id.ok_or(Error::NoSuchMailbox)?, Some(&name))
            .await
    }

    /// A mailbox by a name out of an address or a login: by its very name, else
    /// in any case of letters, for those seldom keep theirs.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`], [`Error::Store`].
    pub async fn find_in_any_case(&self, account: AccountId, name: &str) -> Result<MailboxInfo> {
        match self.find(account, name).await {
            Err(Error::NoSuchMailbox) => {}
            found => return found,
        }
        let lower = name.to_lowercase();
        let mailboxes = self.list(account).await?;
        let mut same = mailboxes
            .into_iter()
            .filter(|mailbox| mailbox.name.to_lowercase() == lower);
        same.next().ok_or(Error::NoSuchMailbox)
    }

    /// A mailbox by id.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`], [`Error::Store`].
    pub async fn info(&self, account: AccountId, mailbox: MailboxId) -> Result<MailboxInfo> {
        self.info_named(account, mailbox, None).await
    }

    /// The same; one who has just found it by its name need not ask twice.
    async fn info_named(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        name: Option<&str>,
    ) -> Result<MailboxInfo> {
        let mut wanted = vec![keys::mailbox(mailbox)];
        wanted.extend(COUNTERS.map(|which| keys::counter(mailbox, which)));
        wanted.extend(name.map(keys::subscription));
        let got = self.store.get(account, &wanted).await?;
        let Some((Some(record), values)) = got.split_first() else {
            return Err(Error::NoSuchMailbox);
        };
        let folder = Folder::decode(record)?;
        let mut counters = [0; 7];
        for (counter, value) in counters.iter_mut().zip(values) {
            *counter = keys::number(value);
        }
        let subscribed = match values.get(counters.len()) {
            // It may have been renamed meanwhile.
            Some(subscribed) if name == Some(&*folder.name) => subscribed.is_some(),
            _ => {
                let key = keys::subscription(&folder.name);
                let subscribed = self.store.get(account, &[key]).await?;
                matches!(subscribed.as_slice(), [Some(_)])
            }
        };
        Ok(folder.info(mailbox, counters, subscribed))
    }

    /// Subscribed names in order, also of mailboxes that are gone
    /// ([RFC 9051 §6.3.7](https://www.rfc-editor.org/rfc/rfc9051#section-6.3.7):
    /// a server must not take a name from the list on its own).
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn subscriptions(&self, account: AccountId) -> Result<Vec<String>> {
        let (from, to) = keys::all(keys::SUBSCRIPTION);
        let rows = self.store.scan(account, from, to).await?;
        let mut names = Vec::with_capacity(rows.len());
        for (key, _) in rows {
            names.push(name_of(&key)?);
        }
        Ok(names)
    }

    /// Subscribes a name, whether or not there is such a mailbox, or takes it
    /// from the list. Nothing happens if it is so already.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::TooMany`] beyond twice as many names as
    /// the account may have mailboxes, [`Error::Store`].
    pub async fn subscribe(&self, account: AccountId, name: &str, on: bool) -> Result<()> {
        let name = names::normalise(name)?;
        let key = keys::subscription(&name);
        for _ in 0..TRIES {
            let got = self.store.get(account, std::slice::from_ref(&key)).await?;
            if matches!(got.as_slice(), [Some(_)]) == on {
                return Ok(());
            }
            let mut draft = Draft::new(account);
            self.write_subscription(&name, on, &mut draft);
            draft.log(Record::folder(MailboxId(0)));
            if self.commit(vec![draft]).await?.is_some() {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Puts the name on the list or takes it off; it must be the other way.
    pub(super) fn write_subscription(&self, name: &str, on: bool, draft: &mut Draft) {
        let key = keys::subscription(name);
        if on {
            let most = self.shared.options.mailboxes.saturating_mul(2);
            draft.expect(key.clone(), Expect::Absent);
            draft.set(key, &b""[..]);
            draft.add_within(Account::Subscriptions, 1, most, "subscriptions");
        } else {
            draft.expect(key.clone(), Expect::Present);
            draft.delete(key);
            draft.add(Account::Subscriptions, -1);
        }
    }

    /// How a name is kept, if there is such a mailbox: mailboxes that were made
    /// before names were normalised keep theirs until they are renamed.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`] for what cannot be a name, [`Error::Store`].
    pub async fn kept_name(&self, account: AccountId, name: &str) -> Result<String> {
        let normal = names::normalise(name).map_err(|_| Error::NoSuchMailbox)?;
        match names::as_given(name) {
            Ok(given)
                if given != normal
                    && self.id_of(account, &normal).await?.is_none()
                    && self.id_of(account, &given).await?.is_some() =>
            {
                Ok(given)
            }
            _ => Ok(normal),
        }
    }

    /// The id of a name in its kept form.
    pub(super) async fn id_of(&self, account: AccountId, name: &str) -> Result<Option<MailboxId>> {
        let got = self.store.get(account, &[keys::name(name)]).await?;
        got.into_iter().flatten().next().map(id).transpose()
    }

    /// What a mailbox is.
    pub(super) async fn record(&self, account: AccountId, mailbox: MailboxId) -> Result<Folder> {
        let got = self.store.get(account, &[keys::mailbox(mailbox)]).await?;
        match got.as_slice() {
            [Some(record)] => Folder::decode(record),
            _ => Err(Error::NoSuchMailbox),
        }
    }

    /// Names below this one with their ids, in order.
    pub(super) async fn below(
        &self,
        account: AccountId,
        name: &str,
    ) -> Result<Vec<(String, MailboxId)>> {
        let (from, to) = keys::names_below(name);
        let rows = self.store.scan(account, from, to).await?;
        let mut names = Vec::with_capacity(rows.len());
        for (key, value) in rows {
            names.push((name_of(&key)?, id(value)?));
        }
        Ok(names)
    }
}

/// The id in the value of a name's key.
pub(super) fn id(value: Bytes) -> Result<MailboxId> {
    match <[u8; 4]>::try_from(&value[..]) {
        Ok(id) => Ok(MailboxId(u32::from_be_bytes(id))),
        Err(_) => Err(Error::corrupt("a mailbox's id")),
    }
}

/// The value of a name's key.
pub(super) fn id_bytes(id: MailboxId) -> Bytes {
    Bytes::copy_from_slice(&id.0.to_be_bytes())
}

fn name_of(key: &[u8]) -> Result<String> {
    key.get(1..)
        .and_then(|name| std::str::from_utf8(name).ok())
        .map(str::to_owned)
        .ok_or_else(|| Error::corrupt("a mailbox's name"))
}

/// Removes the counters of a mailbox.
pub(super) fn delete_counters(mailbox: MailboxId, draft: &mut Draft) {
    for which in COUNTERS {
        draft.delete(keys::counter(mailbox, which));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_survive() {
        for special_use in [
            None,
            Some(SpecialUse::All),
            Some(SpecialUse::Archive),
            Some(SpecialUse::Drafts),
            Some(SpecialUse::Flagged),
            Some(SpecialUse::Junk),
            Some(SpecialUse::Sent),
            Some(SpecialUse::Trash),
        ] {
            let folder = Folder {
                uid_validity: 0xfedc_ba98,
                special_use,
                name: "Entwürfe/1".into(),
            };
            assert_eq!(Folder::decode(&folder.encode()).unwrap(), folder);
        }
        assert!(Folder::decode(b"\x01\0\0\0").is_err());
        assert!(Folder::decode(b"\x01\0\0\0\x01\x09x").is_err());
        assert!(Folder::decode(b"\x02\0\0\0\x01\0x").is_err());
    }
}
