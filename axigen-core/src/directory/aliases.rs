//! Aliases: addresses that lead to other addresses.

use axigen_store::{AccountId, Expect, Op};

use super::records::{decode, encode};
use super::{ALIAS_STEPS, Changed, Directory, Error, Result, keys, normalise};

/// An address that leads to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The address, in lower case.
    pub address: String,
    /// Where it leads, inside or outside of this server.
    pub targets: Vec<String>,
}

impl Directory {
    /// Lets an address lead to others, inside or outside. Mail for an alias
    /// that leads outside is refused as long as nothing is sent to other hosts.
    ///
    /// # Errors
    /// [`Error::BadAddress`], [`Error::NotOurDomain`], [`Error::Exists`],
    /// [`Error::AliasTooLarge`] for none or more than [`ALIAS_STEPS`] targets,
    /// [`Error::Store`].
    pub async fn add_alias(&self, address: &str, targets: &[String]) -> Result<()> {
        let (local, domain) = normalise(address)?;
        if targets.is_empty() || targets.len() > ALIAS_STEPS {
            return Err(Error::AliasTooLarge);
        }
        let targets = targets
            .iter()
            .map(|target| normalise(target).map(|(local, domain)| format!("{local}@{domain}")))
            .collect::<Result<Vec<String>>>()?;
        let key = keys::alias(&local, &domain);
        let asserts = vec![
            (keys::domain(&domain), Expect::Present),
            (keys::address(&local, &domain), Expect::Absent),
            (key.clone(), Expect::Absent),
        ];
        let ops = vec![
            Op::Set {
                key: key.into(),
                val: encode(&targets)?.into(),
            },
            keys::count_member(&domain, 1),
        ];
        match self.change(asserts, ops).await? {
            Changed::Done => Ok(()),
            Changed::Conflict(0) => Err(Error::NotOurDomain(domain)),
            _ => Err(Error::Exists(format!("{local}@{domain}"))),
        }
    }

    /// Removes an alias.
    ///
    /// # Errors
    /// [`Error::BadAddress`], [`Error::NotFound`], [`Error::Store`].
    pub async fn remove_alias(&self, address: &str) -> Result<()> {
        let (local, domain) = normalise(address)?;
        let key = keys::alias(&local, &domain);
        let ops = vec![Op::Delete(key.clone()), keys::count_member(&domain, -1)];
        match self.change(vec![(key, Expect::Present)], ops).await? {
            Changed::Done => Ok(()),
            _ => Err(Error::NotFound(format!("alias {address}"))),
        }
    }

    /// The aliases of a domain, by local part.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Store`].
    pub async fn aliases(&self, domain: &str) -> Result<Vec<Alias>> {
        let domain = domain.to_lowercase();
        let (from, to) = keys::aliases(&domain);
        let prefix = from.len();
        let rows = self.store.scan(AccountId::SYSTEM, from, to).await?;
        rows.iter()
            .map(|(key, value)| {
                let local = String::from_utf8_lossy(key.get(prefix..).unwrap_or_default());
                Ok(Alias {
                    address: format!("{local}@{domain}"),
                    targets: decode("an alias", value)?,
                })
            })
            .collect()
    }
}
