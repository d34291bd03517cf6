//! Keys by which URLs carry the right to read a mailbox
//! ([RFC 4467 §2.2](https://www.rfc-editor.org/rfc/rfc4467#section-2.2)).
//!
//! Each user has a key of its own for each mailbox it made URLs for, its own or
//! another's; it lies in the user's range, under `27 owner mailbox`. Whoever
//! forgets it makes all those URLs worthless.

use axigen_store::{AccountId, Expect};
use bytes::Bytes;

use super::{
    Mailboxes,
    draft::{Draft, TRIES, contended},
    error::{Error, Result},
    keys,
    types::MailboxId,
};

/// A key's length in bytes.
const LENGTH: usize = 32;

/// A secret by which tokens are made.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey([u8; LENGTH]);

impl AccessKey {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for AccessKey {
    /// Without its bytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessKey(..)")
    }
}

impl Mailboxes {
    /// A user's key for a mailbox of an owner; `None` if it made no URL for it
    /// since it was last forgotten.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn access_key(
        &self,
        user: AccountId,
        owner: AccountId,
        mailbox: MailboxId,
    ) -> Result<Option<AccessKey>> {
        let key = keys::access_key(owner, mailbox);
        let got = self.store.get(user, &[key]).await?.pop().flatten();
        got.map(|value| {
            let bytes = <[u8; LENGTH]>::try_from(value.as_ref());
            bytes
                .map(AccessKey)
                .map_err(|_| Error::corrupt("a key of URLAUTH"))
        })
        .transpose()
    }

    /// The same, made if there is none; durable on `Ok`.
    ///
    /// # Errors
    /// [`Error::Store`], also where there is no randomness.
    pub async fn make_access_key(
        &self,
        user: AccountId,
        owner: AccountId,
        mailbox: MailboxId,
    ) -> Result<AccessKey> {
        for _ in 0..TRIES {
            if let Some(known) = self.access_key(user, owner, mailbox).await? {
                return Ok(known);
            }
            let new: [u8; LENGTH] = crate::directory::random().map_err(|error| {
                Error::Store(axigen_store::Error::Unavailable(error.to_string()))
            })?;
            let key = keys::access_key(owner, mailbox);
            let mut draft = Draft::new(user).quiet();
            draft.expect(key.clone(), Expect::Absent);
            draft.set(key, Bytes::copy_from_slice(&new));
            if self.commit(vec![draft]).await?.is_some() {
                return Ok(AccessKey(new));
            }
        }
        Err(contended())
    }

    /// Forgets a user's key for one mailbox, or all of them; durable on `Ok`.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn forget_access_keys(
        &self,
        user: AccountId,
        only: Option<(AccountId, MailboxId)>,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let mut draft = Draft::new(user).quiet();
            match only {
                Some((owner, mailbox)) => draft.delete(keys::access_key(owner, mailbox)),
                None => draft.delete_range(keys::all(keys::ACCESS_KEY)),
            }
            if self.commit(vec![draft]).await?.is_some() {
                return Ok(());
            }
        }
        Err(contended())
    }
}
