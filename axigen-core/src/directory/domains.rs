//! Domains, and the classes whose settings accounts share.

use axigen_proto::smtp::address::DomainName;
use axigen_store::{AccountId, Expect, Op};

use super::records::{decode, encode};
use super::{Changed, Class, Directory, Domain, Error, Result, keys};

impl Directory {
    /// Adds a domain.
    ///
    /// # Errors
    /// [`Error::BadDomain`], [`Error::Exists`], [`Error::Store`].
    pub async fn add_domain(&self, name: &str) -> Result<Domain> {
        let name = DomainName::new(name)
            .map_err(|_| Error::BadDomain(name.to_owned()))?
            .as_str()
            .to_lowercase();
        let domain = Domain {
            name: name.clone(),
            ..Domain::default()
        };
        let key = keys::domain(&name);
        let ops = vec![Op::Set {
            key: key.clone().into(),
            val: encode(&domain)?.into(),
        }];
        match self.change(vec![(key, Expect::Absent)], ops).await? {
            Changed::Done => Ok(domain),
            _ => Err(Error::Exists(format!("the domain {name}"))),
        }
    }

    /// Replaces a domain's record.
    ///
    /// # Errors
    /// [`Error::NotOurDomain`], [`Error::Store`].
    pub async fn set_domain(&self, domain: &Domain) -> Result<()> {
        let key = keys::domain(&domain.name);
        let ops = vec![Op::Set {
            key: key.clone().into(),
            val: encode(domain)?.into(),
        }];
        match self.change(vec![(key, Expect::Present)], ops).await? {
            Changed::Done => Ok(()),
            _ => Err(Error::NotOurDomain(domain.name.clone())),
        }
    }

    /// Removes a domain that has no accounts and no aliases.
    ///
    /// # Errors
    /// [`Error::NotOurDomain`], [`Error::NotEmpty`], [`Error::Store`].
    pub async fn remove_domain(&self, name: &str) -> Result<()> {
        let name = name.to_lowercase();
        let key = keys::domain(&name);
        let ops = vec![
            // The counter is in the batch of every change of the domain's
            // addresses, so none can be added while the domain goes.
            Op::Add {
                key: keys::members(&name),
                delta: 0,
                min: None,
                max: Some(0),
                slot: None,
            },
            Op::Delete(keys::members(&name)),
            Op::Delete(key.clone()),
        ];
        match self.change(vec![(key, Expect::Present)], ops).await? {
            Changed::Done => Ok(()),
            Changed::OutOfBounds => Err(Error::NotEmpty(format!("the domain {name}"))),
            Changed::Conflict(_) => Err(Error::NotOurDomain(name)),
        }
    }

    /// All domains, by name.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Store`].
    pub async fn domains(&self) -> Result<Vec<Domain>> {
        let (from, to) = keys::all(b'd');
        let rows = self.store.scan(AccountId::SYSTEM, from, to).await?;
        rows.iter()
            .map(|(_, value)| decode("a domain", value))
            .collect()
    }

    /// One domain, if it is one of this server's.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Store`].
    pub async fn domain(&self, name: &str) -> Result<Option<Domain>> {
        let got = self.read(keys::domain(&name.to_lowercase())).await?;
        got.map(|value| decode(name, &value)).transpose()
    }

    /// A class, if it is there.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Store`].
    pub async fn class(&self, name: &str) -> Result<Option<Class>> {
        let got = self.read(keys::class(name)).await?;
        got.map(|value| decode(name, &value)).transpose()
    }

    /// Adds or replaces a class.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn set_class(&self, class: &Class) -> Result<()> {
        let ops = vec![Op::Set {
            key: keys::class(&class.name).into(),
            val: encode(class)?.into(),
        }];
        self.change(Vec::new(), ops).await.map(drop)
    }

    /// All classes, by name.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Store`].
    pub async fn classes(&self) -> Result<Vec<Class>> {
        let (from, to) = keys::all(b'c');
        let rows = self.store.scan(AccountId::SYSTEM, from, to).await?;
        rows.iter()
            .map(|(_, value)| decode("a class", value))
            .collect()
    }

    /// Removes a class that no account has.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotEmpty`], [`Error::Store`].
    pub async fn remove_class(&self, name: &str) -> Result<()> {
        let accounts = self.accounts().await?;
        if accounts
            .iter()
            .any(|account| account.class.as_deref() == Some(name))
        {
            return Err(Error::NotEmpty(format!("the class {name}")));
        }
        let key = keys::class(name);
        let ops = vec![Op::Delete(key.clone())];
        match self.change(vec![(key, Expect::Present)], ops).await? {
            Changed::Done => Ok(()),
            _ => Err(Error::NotFound(format!("class {name}"))),
        }
    }
}
