//! From an address to accounts: aliases, plus-addresses, postmaster.

use std::collections::{BTreeSet, VecDeque};

use axigen_store::AccountId;

use super::records::{Record, decode};
use super::{ALIAS_STEPS, Directory, Domain, Error, Result, keys};
use crate::settings::AccountSettings;

/// What an address leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolution {
    /// Accounts of this server, each once, and addresses elsewhere.
    Found {
        /// Accounts of this server.
        local: Vec<Delivery>,
        /// Addresses elsewhere that an alias leads to.
        remote: Vec<String>,
    },
    /// The domain is ours, the user is not known.
    NoSuchUser,
    /// The account takes no mail.
    Disabled,
    /// The domain is not one of this server's.
    NotLocal,
}

/// An account that mail goes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The account.
    pub account: AccountId,
    /// Its own address.
    pub address: String,
    /// What stands behind the plus, if anything.
    pub detail: Option<String>,
    /// What holds for the account, inheritance resolved, server left out.
    pub settings: AccountSettings,
}

/// What stands under a name.
enum Entry {
    Account(AccountId, Box<Record>),
    Alias(Vec<String>),
    Nothing,
}

impl Directory {
    /// What `local@domain` leads to. `user+detail` is `user` unless it exists
    /// itself (RFC 5233); `postmaster` always exists (RFC 5321 §4.5.1).
    ///
    /// # Errors
    /// [`Error::AliasTooLarge`], [`Error::Corrupt`], [`Error::Store`].
    pub async fn resolve(&self, local: &str, domain: &str) -> Result<Resolution> {
        let mut queue = VecDeque::from([(local.to_lowercase(), domain.to_lowercase())]);
        let mut seen = BTreeSet::new();
        let mut found: Vec<Delivery> = Vec::new();
        let mut remote = Vec::new();
        let mut disabled = false;
        let mut first = true;
        while let Some((local, domain)) = queue.pop_front() {
            let asked = std::mem::replace(&mut first, false);
            if !seen.insert((local.clone(), domain.clone())) {
                continue;
            }
            if seen.len() > ALIAS_STEPS {
                return Err(Error::AliasTooLarge);
            }
            let Some(home) = self.domain(&domain).await? else {
                if asked {
                    return Ok(Resolution::NotLocal);
                }
                remote.push(format!("{local}@{domain}"));
                continue;
            };
            let (entry, detail) = self.entry(&local, &home).await?;
            match entry {
                Entry::Account(id, record) if record.enabled => {
                    if found.iter().all(|known| known.account != id) {
                        let settings = self.settings_of(&record, &home).await?;
                        found.push(Delivery {
                            account: id,
                            address: record.address,
                            detail,
                            settings,
                        });
                    }
                }
                Entry::Account(..) => disabled = true,
                Entry::Alias(targets) => {
                    for target in targets {
                        if let Some((local, domain)) = target.rsplit_once('@') {
                            queue.push_back((local.to_owned(), domain.to_owned()));
                        }
                    }
                }
                Entry::Nothing => {}
            }
        }
        Ok(match (found.is_empty() && remote.is_empty(), disabled) {
            (false, _) => Resolution::Found {
                local: found,
                remote,
            },
            (true, true) => Resolution::Disabled,
            (true, false) => Resolution::NoSuchUser,
        })
    }

    /// `postmaster` without a domain: the first domain's (RFC 5321 §4.5.1).
    ///
    /// # Errors
    /// As [`resolve`](Directory::resolve).
    pub async fn resolve_postmaster(&self) -> Result<Resolution> {
        match self.domains().await?.first() {
            Some(domain) => self.resolve("postmaster", &domain.name).await,
            None => Ok(Resolution::NoSuchUser),
        }
    }

    /// What holds for an account: its own settings, its class's, its domain's.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Store`].
    pub async fn account_settings(&self, address: &str) -> Result<AccountSettings> {
        let (_, record, _) = self.record(address).await?;
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        let home = self.domain(domain).await?.unwrap_or_default();
        self.settings_of(&record, &home).await
    }

    async fn settings_of(&self, record: &Record, home: &Domain) -> Result<AccountSettings> {
        let class = match &record.class {
            Some(name) => self.class(name).await?,
            None => None,
        };
        let mut settings = record.settings.clone();
        if let Some(class) = class {
            settings = settings.or(&class.settings);
        }
        Ok(settings.or(&home.settings))
    }

    /// What stands under a name, with the detail behind the plus.
    async fn entry(&self, local: &str, home: &Domain) -> Result<(Entry, Option<String>)> {
        match self.exact(local, &home.name).await? {
            Entry::Nothing => {}
            entry => return Ok((entry, None)),
        }
        if let Some((user, detail)) = local.split_once('+') {
            match self.exact(user, &home.name).await? {
                Entry::Nothing => {}
                entry => return Ok((entry, Some(detail.to_owned()))),
            }
        }
        if local == "postmaster" {
            if let Some(address) = &home.postmaster {
                return Ok((Entry::Alias(vec![address.clone()]), None));
            }
            let (from, to) = keys::addresses(&home.name);
            let mut ids: Vec<u64> = self
                .store
                .scan(AccountId::SYSTEM, from, to)
                .await?
                .iter()
                .filter_map(|(_, value)| value.first_chunk::<8>().map(|id| u64::from_be_bytes(*id)))
                .collect();
            ids.sort_unstable();
            for id in ids {
                if let Some(value) = self.read(keys::account(id)).await? {
                    let record: Record = decode("an account", &value)?;
                    if record.enabled {
                        return Ok((Entry::Account(AccountId(id), Box::new(record)), None));
                    }
                }
            }
        }
        Ok((Entry::Nothing, None))
    }

    async fn exact(&self, local: &str, domain: &str) -> Result<Entry> {
        let wanted = [keys::address(local, domain), keys::alias(local, domain)];
        let mut got = self
            .store
            .get(AccountId::SYSTEM, &wanted)
            .await?
            .into_iter();
        if let Some(id) = got.next().flatten() {
            let id = id
                .first_chunk::<8>()
                .map_or(0, |id| u64::from_be_bytes(*id));
            if let Some(value) = self.read(keys::account(id)).await? {
                return Ok(Entry::Account(
                    AccountId(id),
                    Box::new(decode("an account", &value)?),
                ));
            }
        }
        match got.next().flatten() {
            Some(targets) => Ok(Entry::Alias(decode("an alias", &targets)?)),
            None => Ok(Entry::Nothing),
        }
    }
}
