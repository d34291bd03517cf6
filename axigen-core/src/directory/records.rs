//! What is kept of a domain, an account, an account class.

use axigen_proto::sasl::ScramKeys;
use axigen_store::AccountId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Error, Result};
use crate::settings::AccountSettings;

/// A domain this server takes mail for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Domain {
    /// The name, in lower case.
    pub name: String,
    /// Where mail for `postmaster@` goes when there is neither an account nor an
    /// alias of that name; without it, to the oldest account of the domain,
    /// failing that of the server.
    pub postmaster: Option<String>,
    /// Where mail goes that is for nobody of the domain; without it it is
    /// refused, which is what its senders are helped by.
    pub catch_all: Option<String>,
    /// What the domain's accounts inherit.
    pub settings: AccountSettings,
}

/// A class of accounts that share settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Class {
    /// The name.
    pub name: String,
    /// What the class's accounts inherit.
    pub settings: AccountSettings,
}

/// An account, without its secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Its id in the store.
    pub id: AccountId,
    /// Its address, in lower case: `local@domain`.
    pub address: String,
    /// The name of the person.
    pub name: String,
    /// Whether it may log in and get mail.
    pub enabled: bool,
    /// Its class.
    pub class: Option<String>,
    /// What is set for this account alone.
    pub settings: AccountSettings,
}

/// An account as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) address: String,
    #[serde(default)]
    pub(super) name: String,
    pub(super) enabled: bool,
    #[serde(default)]
    pub(super) class: Option<String>,
    #[serde(default)]
    pub(super) settings: AccountSettings,
    /// PHC string of argon2id.
    pub(super) password: String,
    pub(super) scram: Scram,
}

/// SCRAM-SHA-256 keys as they are kept.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Scram {
    salt: Vec<u8>,
    iterations: u32,
    stored_key: [u8; 32],
    server_key: [u8; 32],
}

impl From<ScramKeys> for Scram {
    fn from(keys: ScramKeys) -> Scram {
        Scram {
            salt: keys.salt.to_vec(),
            iterations: keys.iterations,
            stored_key: keys.stored_key,
            server_key: keys.server_key,
        }
    }
}

impl Scram {
    /// Keys that no password fits.
    pub(super) fn none() -> Scram {
        Scram {
            salt: vec![0; 16],
            iterations: 4096,
            stored_key: [0; 32],
            server_key: [0; 32],
        }
    }
}

impl From<Scram> for ScramKeys {
    fn from(kept: Scram) -> ScramKeys {
        ScramKeys {
            salt: kept.salt.into(),
            iterations: kept.iterations,
            stored_key: kept.stored_key,
            server_key: kept.server_key,
        }
    }
}

impl Record {
    pub(super) fn account(&self, id: AccountId) -> Account {
        Account {
            id,
            address: self.address.clone(),
            name: self.name.clone(),
            enabled: self.enabled,
            class: self.class.clone(),
            settings: self.settings.clone(),
        }
    }
}

pub(super) fn encode(record: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec(record)
        .map(Bytes::from)
        .map_err(|error| Error::Corrupt("a new record".into(), error.to_string()))
}

pub(super) fn decode<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::Corrupt(what.to_owned(), error.to_string()))
}
