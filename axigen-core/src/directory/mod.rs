//! Who exists: domains, accounts, aliases, and who may log in.
//!
//! Everything is kept in the store's system range, in atomic batches with
//! asserts, so that no two accounts ever get the same address.
//!
//! | file | what it is |
//! |---|---|
//! | `records` | what is kept of a domain, an account, a class |
//! | `domains`, `accounts`, `aliases` | adding, listing, changing, removing |
//! | `identifiers` | names in access lists |
//! | `public` | the account of a domain's public folders |
//! | `resolve` | an address to accounts: aliases, plus-addresses, postmaster |
//! | `login` | passwords and SCRAM, at the same cost for everyone |
//! | [`password`] | argon2id hashes |

mod accounts;
mod aliases;
mod domains;
mod identifiers;
mod keys;
mod login;
pub mod password;
mod public;
mod records;
mod resolve;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axigen_store::{AccountId, Batch, Expect, Key, Op, Part, Store};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};

use crate::mailbox::Mailboxes;
use crate::mailbox::label::{self, Event};

pub use accounts::NewAccount;
pub use aliases::Alias;
pub use login::Login;
pub use records::{Account, Class, Domain};
pub use resolve::{Delivery, Resolution};

/// Most logins that are hashed at the same time; more wait.
pub const HASHES_AT_ONCE: usize = 4;
/// Longest wait for one's turn to be hashed, in seconds. A login that waits
/// longer is refused for now, so that a flood of them is cut off.
pub const HASH_WAIT_SECONDS: u64 = 20;
/// Most logins remembered, so that a client that connects again and again does
/// not pay for the hash each time.
pub const REMEMBERED_LOGINS: usize = 10_000;
/// How long a login is remembered, in seconds.
pub const REMEMBERED_SECONDS: u64 = 300;
/// Most addresses that are looked up for one recipient, itself and everything
/// its aliases lead to; also the most targets of one alias.
pub const ALIAS_STEPS: usize = 100;

/// What can go wrong in the directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is not of the form `local@domain`.
    #[error("{0:?} is not an address of the form local@domain")]
    BadAddress(String),
    /// The domain is not a domain name.
    #[error("{0:?} is not a domain name")]
    BadDomain(String),
    /// Something of that name exists already.
    #[error("{0} exists already")]
    Exists(String),
    /// Nothing of that name exists.
    #[error("there is no {0}")]
    NotFound(String),
    /// The domain is not one of this server's.
    #[error("{0} is not a domain of this server")]
    NotOurDomain(String),
    /// A domain that still has accounts or aliases, a class that still has
    /// accounts.
    #[error("{0} is still in use")]
    NotEmpty(String),
    /// An alias leads nowhere, or through more than [`ALIAS_STEPS`] addresses.
    #[error("an alias leads to at least one and at most {ALIAS_STEPS} addresses")]
    AliasTooLarge,
    /// Nobody could log in with this password, or everybody.
    #[error(
        "a password has 1 to {} bytes and no control characters",
        axigen_proto::sasl::PASSWORD_LIMIT
    )]
    BadPassword,
    /// A record cannot be read.
    #[error("the record of {0} cannot be read: {1}")]
    Corrupt(String, String),
    /// A password could not be hashed.
    #[error("the password could not be hashed: {0}")]
    Hash(String),
    /// The operating system gave no random numbers.
    #[error("no random numbers: {0}")]
    Random(String),
    /// The account's mailboxes could not be made or removed.
    #[error(transparent)]
    Mailbox(#[from] crate::mailbox::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] axigen_store::Error),
}

/// A result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Directory {
    store: Store,
    mailboxes: Mailboxes,
    shared: Arc<Shared>,
}

struct Shared {
    hashing: Arc<Semaphore>,
    hashed: AtomicU64,
    /// Digests of logins that were good, under a key of this process.
    remembered: Mutex<HashMap<[u8; 32], (AccountId, Instant)>>,
    remember_key: [u8; 32],
    decoy_secret: OnceCell<[u8; 32]>,
}

impl std::fmt::Debug for Shared {
    /// Without secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Directory {
    /// The directory kept in a store.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn new(store: Store, mailboxes: Mailboxes) -> Result<Directory> {
        let shared = Shared {
            hashing: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
            hashed: AtomicU64::new(0),
            remembered: Mutex::default(),
            remember_key: random()?,
            decoy_secret: OnceCell::new(),
        };
        Ok(Directory {
            store,
            mailboxes,
            shared: Arc::new(shared),
        })
    }

    /// Passwords hashed for logins since the start, for monitoring.
    pub fn passwords_hashed(&self) -> u64 {
        self.shared.hashed.load(Ordering::Relaxed)
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changed {
    /// It is durable.
    Done,
    /// The assert of this index did not hold.
    Conflict(usize),
    /// A counter would have left its bounds.
    OutOfBounds,
}

impl Directory {
    async fn read(&self, key: Key) -> Result<Option<Bytes>> {
        let got = self.store.get(AccountId::SYSTEM, &[key]).await?;
        Ok(got.into_iter().next().flatten())
    }

    /// Notes beside the contents what these rows are now, so that salvage knows
    /// whose mail it was.
    async fn note(&self, keys: Vec<Key>) -> Result<()> {
        let values = self.store.get(AccountId::SYSTEM, &keys).await?;
        let rows = keys.into_iter().zip(values).collect();
        label::note(&self.store, Event::Directory { rows }, Vec::new()).await;
        Ok(())
    }

    /// One batch in the system range.
    async fn change(&self, asserts: Vec<(Key, Expect)>, ops: Vec<Op>) -> Result<Changed> {
        let part = Part {
            account: AccountId::SYSTEM,
            asserts,
            ops,
            advance: true,
        };
        let keys = touched(&part.ops);
        match self.store.commit(Batch { parts: vec![part] }).await {
            Ok(_) => {
                self.note(keys).await?;
                Ok(Changed::Done)
            }
            Err(axigen_store::Error::Conflict { index, .. }) => Ok(Changed::Conflict(index)),
            Err(axigen_store::Error::Bound { .. }) => Ok(Changed::OutOfBounds),
            Err(error) => Err(error.into()),
        }
    }
}

/// The keys that these steps set or remove.
fn touched(ops: &[Op]) -> Vec<Key> {
    let key = |op: &Op| match op {
        Op::Set { key, .. } => Some(key.bytes.clone()),
        Op::Delete(key) | Op::Add { key, .. } => Some(key.clone()),
        Op::DeleteRange(..) | Op::Retain(_) | Op::Release(_) => None,
    };
    ops.iter().filter_map(key).collect()
}

/// Fresh, unpredictable bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::Random(error.to_string()))?;
    Ok(bytes)
}

/// Splits an address and folds its case: `Local@Domain` is `local@domain`.
/// Local parts of this server's addresses do not depend on case.
///
/// # Errors
/// [`Error::BadAddress`].
pub fn normalise(address: &str) -> Result<(String, String)> {
    let bad = || Error::BadAddress(address.to_owned());
    let (local, domain) = address.rsplit_once('@').ok_or_else(bad)?;
    if local.is_empty()
        || local.len() > 255
        || local.chars().any(|c| c.is_control() || c.is_whitespace())
    {
        return Err(bad());
    }
    let domain = axigen_proto::smtp::address::DomainName::new(domain).map_err(|_| bad())?;
    Ok((local.to_lowercase(), domain.as_str().to_lowercase()))
}
