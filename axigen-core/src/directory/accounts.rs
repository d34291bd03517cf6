//! Accounts: adding, listing, changing and removing them.

use axigen_proto::sasl::{ITERATIONS, PASSWORD_LIMIT, ScramKeys, prepare};
use axigen_store::{AccountId, Batch, Expect, Op, Part};
use bytes::Bytes;

use super::records::{Record, Scram, decode, encode};
use super::{Account, Changed, Directory, Error, Result, keys, normalise, password, random};
use crate::settings::AccountSettings;

/// Times a change is tried again when another one came in between.
const TRIES: usize = 20;

/// What an account begins with.
#[derive(Debug, Clone, Default)]
pub struct NewAccount {
    /// `local@domain`; the domain must be one of this server's.
    pub address: String,
    /// The name of the person.
    pub name: String,
    /// The password, in the clear; it is hashed here and not kept.
    pub password: String,
    /// The account's class.
    pub class: Option<String>,
    /// What is set for this account alone.
    pub settings: AccountSettings,
}

impl Directory {
    /// Adds an account, with its mailboxes.
    ///
    /// # Errors
    /// [`Error::BadAddress`], [`Error::BadPassword`], [`Error::NotOurDomain`],
    /// [`Error::Exists`], [`Error::NotFound`] for the class, [`Error::Store`].
    pub async fn add_account(&self, new: NewAccount) -> Result<Account> {
        let secrets = Secrets::of(&new.password).await?;
        self.add_account_with(new, &secrets).await
    }

    /// Adds accounts that share one password: it is hashed once. For load
    /// tests and demos.
    ///
    /// # Errors
    /// As [`add_account`](Directory::add_account); those before the error stay.
    pub async fn add_accounts(&self, password: &str, addresses: &[String]) -> Result<Vec<Account>> {
        let secrets = Secrets::of(password).await?;
        let mut accounts = Vec::with_capacity(addresses.len());
        for chunk in addresses.chunks(64) {
            let added = chunk.iter().map(|address| {
                let new = NewAccount {
                    address: address.clone(),
                    ..NewAccount::default()
                };
                self.add_account_with(new, &secrets)
            });
            accounts.extend(futures_util::future::try_join_all(added).await?);
        }
        Ok(accounts)
    }

    async fn add_account_with(&self, new: NewAccount, secrets: &Secrets) -> Result<Account> {
        let (local, domain) = normalise(&new.address)?;
        self.check_class(new.class.as_deref()).await?;
        let address = format!("{local}@{domain}");
        let record = Record {
            address: address.clone(),
            name: new.name,
            enabled: true,
            class: new.class,
            settings: new.settings,
            password: secrets.hash.clone(),
            scram: secrets.scram.clone(),
        };
        let part = Part {
            account: AccountId::SYSTEM,
            asserts: vec![
                (keys::domain(&domain), Expect::Present),
                (keys::address(&local, &domain), Expect::Absent),
                (keys::alias(&local, &domain), Expect::Absent),
            ],
            ops: vec![
                Op::Add {
                    key: Bytes::from_static(keys::NEXT_ID),
                    delta: 1,
                    min: None,
                    max: None,
                    slot: Some(0),
                },
                Op::Set {
                    key: keys::address(&local, &domain).into(),
                    val: keys::new_id(0),
                },
                Op::Set {
                    key: keys::new_account(0),
                    val: encode(&record)?.into(),
                },
                keys::count_member(&domain, 1),
            ],
            advance: true,
        };
        let id = match self.store.commit(Batch { parts: vec![part] }).await {
            Ok(commit) => commit
                .parts
                .first()
                .and_then(|part| part.slots.first())
                .copied()
                .unwrap_or(0),
            Err(axigen_store::Error::Conflict { index: 0, .. }) => {
                return Err(Error::NotOurDomain(domain));
            }
            Err(axigen_store::Error::Conflict { .. }) => return Err(Error::Exists(address)),
            Err(error) => return Err(error.into()),
        };
        let id = AccountId(id.unsigned_abs());
        self.note(vec![
            Bytes::from_static(keys::NEXT_ID),
            keys::address(&local, &domain),
            keys::account(id.0),
            keys::members(&domain),
        ])
        .await?;
        self.mailboxes.create_account(id).await?;
        Ok(record.account(id))
    }

    /// All accounts, by domain and local part.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Store`].
    pub async fn accounts(&self) -> Result<Vec<Account>> {
        let (from, to) = keys::all(b'i');
        let mut accounts = Vec::new();
        for (key, value) in self.store.scan(AccountId::SYSTEM, from, to).await? {
            let id = keys::number(key.last_chunk::<8>());
            let record: Record = decode("an account", &value)?;
            accounts.push(record.account(AccountId(id)));
        }
        accounts.sort_by(|a, b| {
            let by_domain = |address: &str| {
                address
                    .rsplit_once('@')
                    .map(|(l, d)| (d.to_owned(), l.to_owned()))
            };
            by_domain(&a.address).cmp(&by_domain(&b.address))
        });
        Ok(accounts)
    }

    /// One account by its address.
    ///
    /// # Errors
    /// [`Error::BadAddress`], [`Error::NotFound`], [`Error::Store`].
    pub async fn account(&self, address: &str) -> Result<Account> {
        let (id, record, _) = self.record(address).await?;
        Ok(record.account(id))
    }

    /// Gives an account another password; remembered logins are forgotten.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BadPassword`], [`Error::Hash`],
    /// [`Error::Store`].
    pub async fn set_password(&self, address: &str, password: &str) -> Result<()> {
        let secrets = Secrets::of(password).await?;
        self.update(address, |record| {
            record.password = secrets.hash.clone();
            record.scram = secrets.scram.clone();
        })
        .await
    }

    /// Opens or closes an account for logins and mail.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Store`].
    pub async fn set_enabled(&self, address: &str, enabled: bool) -> Result<()> {
        self.update(address, |record| record.enabled = enabled)
            .await
    }

    /// Replaces what is set for an account alone.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Store`].
    pub async fn set_account_settings(
        &self,
        address: &str,
        settings: &AccountSettings,
    ) -> Result<()> {
        self.update(address, |record| record.settings = settings.clone())
            .await
    }

    /// Removes an account with all its mail.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Store`].
    pub async fn remove_account(&self, address: &str) -> Result<()> {
        let (local, domain) = normalise(address)?;
        let (id, _, value) = self.record(address).await?;
        let asserts = vec![(keys::account(id.0), Expect::Equals(value))];
        let ops = vec![
            Op::Delete(keys::account(id.0)),
            Op::Delete(keys::address(&local, &domain)),
            keys::count_member(&domain, -1),
        ];
        if self.change(asserts, ops).await? != Changed::Done {
            return Err(Error::NotFound(format!("account {address}")));
        }
        self.forget_logins(id);
        // Nothing leads to the mail any more; a crash here leaves bytes, not an account.
        self.mailboxes.remove_account(id).await?;
        Ok(())
    }

    /// Puts an account into a class, or into none.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the account or the class, [`Error::Store`].
    pub async fn set_account_class(&self, address: &str, class: Option<&str>) -> Result<()> {
        self.check_class(class).await?;
        self.update(address, |record| record.class = class.map(str::to_owned))
            .await
    }

    /// Changes the name of the person.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Store`].
    pub async fn set_account_name(&self, address: &str, name: &str) -> Result<()> {
        self.update(address, |record| name.clone_into(&mut record.name))
            .await
    }

    async fn check_class(&self, class: Option<&str>) -> Result<()> {
        match class {
            Some(name) if self.class(name).await?.is_none() => {
                Err(Error::NotFound(format!("class {name}")))
            }
            _ => Ok(()),
        }
    }

    /// An account's id, its record, and the record's bytes.
    pub(super) async fn record(&self, address: &str) -> Result<(AccountId, Record, Bytes)> {
        let (local, domain) = normalise(address)?;
        let missing = || Error::NotFound(format!("account {address}"));
        let id = self
            .read(keys::address(&local, &domain))
            .await?
            .ok_or_else(missing)?;
        let id = keys::number(id.first_chunk::<8>());
        let value = self.read(keys::account(id)).await?.ok_or_else(missing)?;
        let record = decode(address, &value)?;
        Ok((AccountId(id), record, value))
    }

    async fn update(&self, address: &str, change: impl Fn(&mut Record)) -> Result<()> {
        for _ in 0..TRIES {
            let (id, mut record, before) = self.record(address).await?;
            change(&mut record);
            let key = keys::account(id.0);
            let ops = vec![Op::Set {
                key: key.clone().into(),
                val: encode(&record)?.into(),
            }];
            let asserts = vec![(key, Expect::Equals(before))];
            if self.change(asserts, ops).await? == Changed::Done {
                self.forget_logins(id);
                return Ok(());
            }
        }
        Err(Error::Store(axigen_store::Error::Unavailable(
            "too many changes at once".into(),
        )))
    }
}

/// What is kept of a password.
struct Secrets {
    hash: String,
    scram: Scram,
}

impl Secrets {
    async fn of(password: &str) -> Result<Secrets> {
        // What no login could ever send must not become a password; the empty
        // one would let everybody in.
        let password = prepare(password).map_err(|_| Error::BadPassword)?;
        if password.is_empty() || password.len() > PASSWORD_LIMIT {
            return Err(Error::BadPassword);
        }
        let password = zeroize::Zeroizing::new(password);
        let salt: [u8; 16] = random()?;
        let made = tokio::task::spawn_blocking(move || {
            let scram = ScramKeys::derive(&password, &salt, ITERATIONS).into();
            password::hash(&password).map(|hash| Secrets { hash, scram })
        });
        made.await.map_err(|error| Error::Hash(error.to_string()))?
    }
}
