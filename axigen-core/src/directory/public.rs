//! Public folders: mailboxes that belong to a domain and to nobody in it.
//!
//! They are in an account of their own that has no address and that nobody can
//! log in to. What people may do with them stands in their access lists, see
//! [`mailbox::acl`](crate::mailbox::acl).

use axigen_store::{AccountId, Batch, Expect, Op, Part};
use bytes::Bytes;

use super::records::{Record, decode};
use super::{Changed, Directory, Error, Result, keys};
use crate::settings::AccountSettings;

impl Directory {
    /// The account that holds a domain's public folders, if it has some.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn public_folders(&self, domain: &str) -> Result<Option<AccountId>> {
        let got = self.read(keys::public(&domain.to_lowercase())).await?;
        Ok(got.map(|id| AccountId(keys::number(id.first_chunk::<8>()))))
    }

    /// The same; it is made if it is not there.
    ///
    /// # Errors
    /// [`Error::NotOurDomain`], [`Error::Store`].
    pub async fn make_public_folders(&self, domain: &str) -> Result<AccountId> {
        let domain = domain.to_lowercase();
        if let Some(account) = self.public_folders(&domain).await? {
            return Ok(account);
        }
        let part = Part {
            account: AccountId::SYSTEM,
            asserts: vec![
                (keys::domain(&domain), Expect::Present),
                (keys::public(&domain), Expect::Absent),
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
                    key: keys::public(&domain).into(),
                    val: keys::new_id(0),
                },
                keys::count_member(&domain, 1),
            ],
            advance: true,
        };
        match self.store.commit(Batch { parts: vec![part] }).await {
            Ok(_) => {}
            Err(axigen_store::Error::Conflict { index: 0, .. }) => {
                return Err(Error::NotOurDomain(domain));
            }
            // Another call made it.
            Err(axigen_store::Error::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.note(vec![
            Bytes::from_static(keys::NEXT_ID),
            keys::public(&domain),
            keys::members(&domain),
        ])
        .await?;
        let made = self.public_folders(&domain).await?;
        made.ok_or_else(|| Error::NotFound(format!("public folder of {domain}")))
    }

    /// Removes all public folders of a domain, with their mail.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Store`].
    pub async fn remove_public_folders(&self, domain: &str) -> Result<()> {
        let domain = domain.to_lowercase();
        let missing = || Error::NotFound(format!("public folder of {domain}"));
        let account = self.public_folders(&domain).await?.ok_or_else(missing)?;
        let key = keys::public(&domain);
        let value = Bytes::copy_from_slice(&account.0.to_be_bytes());
        let ops = vec![Op::Delete(key.clone()), keys::count_member(&domain, -1)];
        let asserts = vec![(key, Expect::Equals(value))];
        if self.change(asserts, ops).await? != Changed::Done {
            return Err(missing());
        }
        self.mailboxes.remove_account(account).await?;
        Ok(())
    }

    /// The accounts of all public folders, by their domains.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn all_public_folders(&self) -> Result<Vec<(String, AccountId)>> {
        let (from, to) = keys::all(b'p');
        let rows = self.store.scan(AccountId::SYSTEM, from.clone(), to).await?;
        let domain = |key: &Bytes| {
            let name = key.get(from.len()..).unwrap_or_default();
            String::from_utf8_lossy(name).into_owned()
        };
        let rows = rows.iter().map(|(key, id)| {
            let id = keys::number(id.first_chunk::<8>());
            (domain(key), AccountId(id))
        });
        Ok(rows.collect())
    }

    /// An account's address; `None` if there is no such account, or it holds
    /// public folders.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Store`].
    pub async fn address_of(&self, account: AccountId) -> Result<Option<String>> {
        Ok(self.record_of(account).await?.map(|record| record.address))
    }

    /// What is set for an account, its class and its domain; for public folders
    /// what is set for their domain.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`], [`Error::Store`].
    pub async fn settings_of_account(&self, account: AccountId) -> Result<AccountSettings> {
        if let Some(record) = self.record_of(account).await? {
            return self.account_settings(&record.address).await;
        }
        let all = self.all_public_folders().await?;
        let found = all.into_iter().find(|(_, id)| *id == account);
        let missing = || Error::NotFound(format!("account {}", account.0));
        let (domain, _) = found.ok_or_else(missing)?;
        Ok(self.domain(&domain).await?.unwrap_or_default().settings)
    }

    async fn record_of(&self, account: AccountId) -> Result<Option<Record>> {
        let record = self.read(keys::account(account.0)).await?;
        record.map(|value| decode("an account", &value)).transpose()
    }
}
