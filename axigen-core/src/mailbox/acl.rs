//! Who but its owner may do what with a mailbox
//! ([RFC 4314](https://www.rfc-editor.org/rfc/rfc4314)).
//!
//! The owner, whose account the mailbox is in, may everything. For the others
//! there is a list for each mailbox: a version byte, then for each entry a byte
//! for who is meant, the account (8 bytes, 0 if none), and the rights (2
//! bytes). It is one value, so it is read and changed as a whole.

use axigen_proto::imap::extensions::acl::{Change, Rights};
use axigen_store::{AccountId, Expect};
use bytes::Bytes;

use super::{
    Mailboxes,
    draft::{Draft, TRIES, contended},
    error::{Error, Result},
    folders::Folder,
    keys,
    log::Record,
    names,
    types::MailboxId,
};

const VERSION: u8 = 1;
const ENTRY: usize = 11;
/// Takes rights away instead of giving them.
const NEGATIVE: u8 = 0x80;
const ANYONE: u8 = 0;
const AUTHENTICATED: u8 = 1;
const ACCOUNT: u8 = 2;
/// Most entries of one mailbox's list.
pub const ENTRIES: usize = 1000;

/// Who is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Everyone, logged in or not (`anyone`).
    Anyone,
    /// Everyone who has logged in (`authenticated`).
    Authenticated,
    /// One account.
    Account(AccountId),
}

/// An entry of an access list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Who is meant.
    pub who: Who,
    /// Whether the rights are taken away, whoever else gives them
    /// ([RFC 4314 §2](https://www.rfc-editor.org/rfc/rfc4314#section-2)).
    pub negative: bool,
    /// The rights.
    pub rights: Rights,
}

/// Who may do what with a mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessList {
    /// Ordered by who is meant, what is given before what is taken away.
    pub entries: Vec<Entry>,
}

impl AccessList {
    /// What an account, which is not the owner, may do: all that is given to
    /// it, to everyone who has logged in and to anyone, less what is taken away.
    pub fn of(&self, reader: AccountId) -> Rights {
        let sum = |negative: bool| {
            let meant = self.entries.iter().filter(|entry| {
                entry.negative == negative
                    && match entry.who {
                        Who::Anyone | Who::Authenticated => true,
                        Who::Account(account) => account == reader,
                    }
            });
            meant.fold(Rights::NONE, |sum, entry| sum.with(entry.rights))
        };
        sum(false).without(sum(true))
    }

    /// What an entry holds; nothing if there is none.
    pub fn held(&self, who: Who, negative: bool) -> Rights {
        let entry = self.entries.iter().find(|entry| is(entry, who, negative));
        entry.map_or(Rights::NONE, |entry| entry.rights)
    }

    /// Changes an entry; one without rights goes.
    fn change(&mut self, who: Who, negative: bool, change: Change, rights: Rights) {
        let held = self.held(who, negative);
        let rights = match change {
            Change::Replace => rights,
            Change::Add => held.with(rights),
            Change::Remove => held.without(rights),
        };
        self.entries.retain(|entry| !is(entry, who, negative));
        if !rights.is_empty() {
            self.entries.push(Entry {
                who,
                negative,
                rights,
            });
            self.entries
                .sort_by_key(|entry| (entry.who, entry.negative));
        }
    }

    fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(1 + ENTRY * self.entries.len());
        bytes.push(VERSION);
        for entry in &self.entries {
            let (kind, account) = match entry.who {
                Who::Anyone => (ANYONE, 0),
                Who::Authenticated => (AUTHENTICATED, 0),
                Who::Account(account) => (ACCOUNT, account.0),
            };
            bytes.push(if entry.negative {
                kind | NEGATIVE
            } else {
                kind
            });
            bytes.extend_from_slice(&account.to_be_bytes());
            bytes.extend_from_slice(&entry.rights.bits().to_be_bytes());
        }
        bytes.into()
    }

    fn decode(bytes: &[u8]) -> Result<AccessList> {
        decode(bytes).ok_or_else(|| Error::corrupt("an access list"))
    }
}

fn is(entry: &Entry, who: Who, negative: bool) -> bool {
    entry.who == who && entry.negative == negative
}

fn decode(bytes: &[u8]) -> Option<AccessList> {
    let (&version, rest) = bytes.split_first()?;
    let entries = rest.chunks_exact(ENTRY);
    if version != VERSION || !entries.remainder().is_empty() {
        return None;
    }
    let entries = entries.map(|entry| {
        let (&kind, rest) = entry.split_first()?;
        let (account, rest) = rest.split_first_chunk::<8>()?;
        Some(Entry {
            who: match kind & !NEGATIVE {
                ANYONE => Who::Anyone,
                AUTHENTICATED => Who::Authenticated,
                ACCOUNT => Who::Account(AccountId(u64::from_be_bytes(*account))),
                _ => return None,
            },
            negative: kind & NEGATIVE != 0,
            rights: Rights::from_bits(u16::from_be_bytes(rest.try_into().ok()?)),
        })
    });
    Some(AccessList {
        entries: entries.collect::<Option<_>>()?,
    })
}

impl Mailboxes {
    /// Who may do what with a mailbox.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`], [`Error::Store`].
    pub async fn access(&self, account: AccountId, mailbox: MailboxId) -> Result<AccessList> {
        let wanted = [keys::mailbox(mailbox), keys::access(mailbox)];
        let got = self.store.get(account, &wanted).await?;
        match got.as_slice() {
            [Some(_), Some(list)] => AccessList::decode(list),
            [Some(_), None] => Ok(AccessList::default()),
            _ => Err(Error::NoSuchMailbox),
        }
    }

    /// What a reader may do with a mailbox; its owner may everything.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`], [`Error::Store`].
    pub async fn rights(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        reader: AccountId,
    ) -> Result<Rights> {
        if account == reader {
            return Ok(Rights::ALL);
        }
        Ok(self.access(account, mailbox).await?.of(reader))
    }

    /// The access lists of an account's mailboxes that have one, by id.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn access_lists(&self, account: AccountId) -> Result<Vec<(MailboxId, AccessList)>> {
        let (from, to) = keys::all(keys::ACCESS);
        let rows = self.store.scan(account, from, to).await?;
        rows.iter()
            .map(|(key, list)| {
                let id = keys::trailing_u32(key).ok_or_else(|| Error::corrupt("a key"))?;
                Ok((MailboxId(id), AccessList::decode(list)?))
            })
            .collect()
    }

    /// Changes an entry of a mailbox's access list, durable on `Ok`; one
    /// without rights goes.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`], [`Error::TooMany`] beyond [`ENTRIES`],
    /// [`Error::Store`].
    pub async fn set_access(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        (who, negative): (Who, bool),
        change: Change,
        rights: Rights,
    ) -> Result<()> {
        let key = keys::access(mailbox);
        for _ in 0..TRIES {
            let got = self.store.get(account, std::slice::from_ref(&key)).await?;
            let old = got.into_iter().next().flatten();
            let mut list = match &old {
                Some(bytes) => AccessList::decode(bytes)?,
                None => AccessList::default(),
            };
            list.change(who, negative, change, rights);
            if list.entries.len() > ENTRIES {
                return Err(Error::TooMany("entries in the access list"));
            }
            let mut draft = Draft::new(account);
            draft.mailbox_exists(mailbox);
            draft.expect(key.clone(), old.map_or(Expect::Absent, Expect::Equals));
            match list.entries.is_empty() {
                true => draft.delete(key.clone()),
                false => draft.set(key.clone(), list.encode()),
            }
            draft.log(Record::folder(mailbox));
            let mut drafts = vec![draft];
            // So that the other finds it without looking at every account.
            let told = match who {
                Who::Account(reader) => reader,
                Who::Anyone | Who::Authenticated => AccountId::SYSTEM,
            };
            if !negative && told != account {
                let key = keys::shared(account);
                let known = self.store.get(told, std::slice::from_ref(&key)).await?;
                // The first time it is news for the other, or for everyone.
                let mut hint = match (known.as_slice(), told) {
                    ([Some(_)], _) => Draft::new(told).quiet(),
                    (_, AccountId::SYSTEM) => Draft::new(told),
                    _ => {
                        let mut hint = Draft::new(told);
                        hint.log(Record::folder(MailboxId(0)));
                        hint
                    }
                };
                hint.set(key, &b""[..]);
                drafts.push(hint);
            }
            if self.commit(drafts).await?.is_some() {
                return Ok(());
            }
            self.must_exist(account, mailbox).await?;
        }
        Err(contended())
    }

    /// Accounts that share, or once shared, mailboxes with this one or with
    /// everyone, ascending.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn sharers(&self, reader: AccountId) -> Result<Vec<AccountId>> {
        let mut owners = std::collections::BTreeSet::new();
        for of in [reader, AccountId::SYSTEM] {
            let (from, to) = keys::all(keys::SHARED);
            for (key, _) in self.store.scan(of, from, to).await? {
                let owner = key.last_chunk::<8>().map(|id| u64::from_be_bytes(*id));
                owners.extend(owner.map(AccountId).filter(|owner| *owner != reader));
            }
        }
        Ok(owners.into_iter().collect())
    }

    /// The access lists that new mailboxes take over from the nearest mailbox
    /// above them
    /// ([RFC 4314 §3](https://www.rfc-editor.org/rfc/rfc4314#section-3)).
    pub(super) async fn inherited(
        &self,
        account: AccountId,
        made: &[(MailboxId, Folder)],
    ) -> Result<Vec<(MailboxId, Bytes)>> {
        let mut inherited: Vec<(MailboxId, Bytes)> = Vec::new();
        for (id, folder) in made {
            for parent in names::parents(&folder.name)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
            {
                let new = made.iter().find(|(_, other)| other.name == parent);
                let list = match new {
                    // Made just now, before this one.
                    Some((new, _)) => inherited.iter().find(|(of, _)| of == new),
                    None => {
                        let Some(above) = self.id_of(account, parent).await? else {
                            continue;
                        };
                        let got = self.store.get(account, &[keys::access(above)]).await?;
                        let list = got.into_iter().next().flatten();
                        inherited.extend(list.map(|list| (*id, list)));
                        break;
                    }
                };
                let list = list.map(|(_, list)| (*id, list.clone()));
                inherited.extend(list);
                break;
            }
        }
        Ok(inherited)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rights(letters: &str) -> Rights {
        Rights::parse(letters).unwrap()
    }

    #[test]
    fn what_is_taken_away_is_gone_whoever_gives_it() {
        let (ann, bob) = (AccountId(7), AccountId(8));
        let mut list = AccessList::default();
        list.change(Who::Account(ann), false, Change::Replace, rights("lrs"));
        list.change(Who::Anyone, false, Change::Add, rights("lp"));
        list.change(Who::Account(ann), true, Change::Add, rights("ps"));
        assert_eq!(list.of(ann), rights("lr"));
        assert_eq!(list.of(bob), rights("lp"));
        list.change(Who::Authenticated, false, Change::Add, rights("i"));
        assert_eq!(list.of(bob), rights("lpi"));
        assert_eq!(AccessList::decode(&list.encode()).unwrap(), list);
        list.change(Who::Account(ann), true, Change::Remove, rights("ps"));
        assert_eq!(list.entries.len(), 3);
        assert_eq!(list.held(Who::Account(ann), false), rights("lrs"));
        assert_eq!(list.held(Who::Account(ann), true), Rights::NONE);
        for bad in [&b""[..], b"\x02", b"\x01x", b"\x01\x05\0\0\0\0\0\0\0\0\0\0"] {
            assert!(AccessList::decode(bad).is_err());
        }
    }
}
