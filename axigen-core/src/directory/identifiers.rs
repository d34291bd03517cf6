//! Names in access lists: `anyone`, `authenticated`, an address, each with `-` in
//! front of it to take rights away
//! ([RFC 4314 §2](https://www.rfc-editor.org/rfc/rfc4314#section-2)).

use super::{Directory, Error, Result};
use crate::mailbox::acl::{Entry, Who};

const ANYONE: &str = "anyone";
const AUTHENTICATED: &str = "authenticated";

impl Directory {
    /// Who an identifier means, and whether it takes rights away. A name
    /// without a domain is one of `home`.
    ///
    /// # Errors
    /// [`Error::BadAddress`], [`Error::NotFound`], [`Error::Store`].
    pub async fn identify(&self, identifier: &str, home: &str) -> Result<(Who, bool)> {
        let (name, negative) = match identifier.strip_prefix('-') {
            Some(name) => (name, true),
            None => (identifier, false),
        };
        let who = match name {
            ANYONE => Who::Anyone,
            AUTHENTICATED => Who::Authenticated,
            name if name.contains('@') => Who::Account(self.account(name).await?.id),
            name => Who::Account(self.account(&format!("{name}@{home}")).await?.id),
        };
        Ok((who, negative))
    }

    /// The identifier of an entry; `None` if it is of an account that is gone.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn identifier(&self, entry: &Entry) -> Result<Option<String>> {
        let name = match entry.who {
            Who::Anyone => Some(ANYONE.to_owned()),
            Who::Authenticated => Some(AUTHENTICATED.to_owned()),
            Who::Account(account) => match self.address_of(account).await {
                // `verify` tells of a record that cannot be read.
                Err(Error::Corrupt(..)) => None,
                address => address?,
            },
        };
        let sign = if entry.negative { "-" } else { "" };
        Ok(name.map(|name| format!("{sign}{name}")))
    }
}
