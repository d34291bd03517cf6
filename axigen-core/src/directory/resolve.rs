//! From an address to accounts: aliases, plus-addresses, postmaster.

use std::collections::{BTreeSet, VecDeque};

use axigen_store::{AccountId, Key, Page, Range};

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

/// Accounts that are looked at to find one for a postmaster.
const CARETAKERS: usize = 16;

/// Where aliases lead to in the end.
#[derive(Debug, Default)]
struct Found {
    local: Vec<Delivery>,
    remote: Vec<String>,
    disabled: bool,
}

impl Found {
    fn is_nothing(&self) -> bool {
        self.local.is_empty() && self.remote.is_empty()
    }
}

/// What stands under a name.
enum Entry {
    Account(AccountId, Box<Record>),
    Alias(Vec<String>),
    Nothing,
}

/// An address that is still to be looked up.
struct Step {
    /// In the case it came in; only the detail's matters.
    local: String,
    domain: String,
    /// The detail of the alias that led here.
    detail: Option<String>,
}

impl Directory {
    /// What `local@domain` leads to. `user+detail` is `user` unless it exists
    /// itself (RFC 5233); an alias hands its detail on. `postmaster` always
    /// leads to somebody
    /// ([RFC 5321 §4.5.1](https://www.rfc-editor.org/rfc/rfc5321#section-4.5.1)),
    /// as long as the server has an account.
    ///
    /// # Errors
    /// [`Error::AliasTooLarge`], [`Error::Corrupt`], [`Error::Store`].
    pub async fn resolve(&self, local: &str, domain: &str) -> Result<Resolution> {
        let domain = domain.to_lowercase();
        let Some(home) = self.domain(&domain).await? else {
            return Ok(Resolution::NotLocal);
        };
        let mut found = self.follow(local, &domain).await?;
        let postmaster = local.split('+').next().unwrap_or_default();
        if found.is_nothing() && postmaster.eq_ignore_ascii_case("postmaster") {
            if let Some((local, domain)) = split(home.postmaster.as_deref().unwrap_or_default()) {
                found = self.follow(local, domain).await?;
            }
            if found.is_nothing()
                && let Some((id, record)) = self.caretaker(&domain).await?
            {
                let settings = self.settings_of(&record, &home).await?;
                found.local.push(Delivery {
                    account: id,
                    address: record.address,
                    detail: None,
                    settings,
                });
            }
        }
        if found.is_nothing() && !found.disabled {
            found = self.catch_all(&home).await?;
        }
        Ok(match (found.is_nothing(), found.disabled) {
            (false, _) => Resolution::Found {
                local: found.local,
                remote: found.remote,
            },
            (true, true) => Resolution::Disabled,
            (true, false) => Resolution::NoSuchUser,
        })
    }

    /// Who gets what is for nobody of a domain, if that is set.
    async fn catch_all(&self, home: &Domain) -> Result<Found> {
        match split(home.catch_all.as_deref().unwrap_or_default()) {
            Some((local, domain)) => self.follow(local, domain).await,
            None => Ok(Found::default()),
        }
    }

    /// Follows aliases to their ends. A loop ends by itself: each address is
    /// looked up once.
    async fn follow(&self, local: &str, domain: &str) -> Result<Found> {
        let mut queue = VecDeque::from([Step {
            local: local.to_owned(),
            domain: domain.to_lowercase(),
            detail: None,
        }]);
        let mut seen = BTreeSet::new();
        let mut found = Found::default();
        // Accounts that keep nothing, should nothing take it.
        let mut empty_handed = Vec::new();
        while let Some(step) = queue.pop_front() {
            let Step { local, domain, .. } = &step;
            let handed_on = step.detail.clone();
            if !seen.insert((local.to_lowercase(), domain.clone())) {
                continue;
            }
            if seen.len() > ALIAS_STEPS {
                return Err(Error::AliasTooLarge);
            }
            let Some(home) = self.domain(domain).await? else {
                found.remote.push(format!("{local}@{domain}"));
                continue;
            };
            let (entry, detail) = self.entry(local, domain).await?;
            let detail = detail.or(handed_on);
            match entry {
                Entry::Account(id, record) if record.enabled => {
                    if found.local.iter().any(|known| known.account == id) {
                        continue;
                    }
                    let settings = self.settings_of(&record, &home).await?;
                    let on = settings.forward.clone().unwrap_or_default().0;
                    let keeps = on.is_empty() || settings.forward_keep.unwrap_or(true);
                    for (local, domain) in on.iter().filter_map(|target| split(target)) {
                        queue.push_back(Step {
                            local: local.to_owned(),
                            domain: domain.to_lowercase(),
                            detail: None,
                        });
                    }
                    let delivery = Delivery {
                        account: id,
                        address: record.address,
                        detail,
                        settings,
                    };
                    match keeps {
                        true => found.local.push(delivery),
                        false => empty_handed.push(delivery),
                    }
                }
                Entry::Account(..) => found.disabled = true,
                Entry::Alias(targets) => {
                    for (local, domain) in targets.iter().filter_map(|target| split(target)) {
                        queue.push_back(Step {
                            local: local.to_owned(),
                            domain: domain.to_owned(),
                            detail: detail.clone(),
                        });
                    }
                }
                Entry::Nothing if seen.len() > 1 => {
                    tracing::warn!("an alias leads to {local}@{domain}, which does not exist");
                }
                Entry::Nothing => {}
            }
        }
        if found.is_nothing() {
            found.local = empty_handed;
        }
        Ok(found)
    }

    /// `postmaster` without a domain: the first domain's, by name (RFC 5321
    /// §4.5.1).
    ///
    /// # Errors
    /// As [`resolve`](Directory::resolve).
    pub async fn resolve_postmaster(&self) -> Result<Resolution> {
        let (from, to) = keys::all(b'd');
        match self.page(from, to, 1).await?.rows.first() {
            Some((_, value)) => {
                let domain: Domain = decode("a domain", value)?;
                self.resolve("postmaster", &domain.name).await
            }
            None => Ok(Resolution::NoSuchUser),
        }
    }

    /// What holds for an account: its own settings, its class's, its domain's.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Store`].
    pub async fn account_settings(&self, address: &str) -> Result<AccountSettings> {
        let (_, record, _) = self.record(address).await?;
        let (_, domain) = split(address).unwrap_or_default();
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
    async fn entry(&self, local: &str, domain: &str) -> Result<(Entry, Option<String>)> {
        let entry = self.exact(&local.to_lowercase(), domain).await?;
        if let (Entry::Nothing, Some((user, detail))) = (&entry, local.split_once('+')) {
            let entry = self.exact(&user.to_lowercase(), domain).await?;
            return Ok((entry, Some(detail.to_owned())));
        }
        Ok((entry, None))
    }

    /// Who reads a postmaster's mail when nobody was named: the domain's
    /// oldest account, else one of the domain, else the server's oldest.
    async fn caretaker(&self, domain: &str) -> Result<Option<(AccountId, Record)>> {
        let (from, to) = keys::all(b'i');
        let mut oldest = None;
        for (key, value) in self.page(from, to, CARETAKERS).await?.rows {
            let record: Record = decode("an account", &value)?;
            let id = AccountId(keys::number(key.last_chunk::<8>()));
            if record.enabled && split(&record.address).is_some_and(|(_, of)| of == domain) {
                return Ok(Some((id, record)));
            }
            if record.enabled && oldest.is_none() {
                oldest = Some((id, record));
            }
        }
        let (from, to) = keys::addresses(domain);
        for (_, id) in self.page(from, to, CARETAKERS).await?.rows {
            let id = keys::number(id.first_chunk::<8>());
            if let Some(value) = self.read(keys::account(id)).await? {
                let record: Record = decode("an account", &value)?;
                if record.enabled {
                    return Ok(Some((AccountId(id), record)));
                }
            }
        }
        Ok(oldest)
    }

    async fn page(&self, from: Key, to: Key, limit: usize) -> Result<Page> {
        let range = Range {
            account: AccountId::SYSTEM,
            from,
            to,
            limit,
            reverse: false,
            keys_only: false,
        };
        Ok(self.store.range(range).await?)
    }

    async fn exact(&self, local: &str, domain: &str) -> Result<Entry> {
        let wanted = [keys::address(local, domain), keys::alias(local, domain)];
        let mut got = self
            .store
            .get(AccountId::SYSTEM, &wanted)
            .await?
            .into_iter();
        if let Some(id) = got.next().flatten() {
            let id = keys::number(id.first_chunk::<8>());
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

/// Local part and domain.
fn split(address: &str) -> Option<(&str, &str)> {
    address.rsplit_once('@')
}
