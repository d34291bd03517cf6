//! Who may log in. An unknown user costs what a wrong password costs.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axigen_proto::sasl::{Answer, Ask, Refusal, ScramKeys, prepare};
use axigen_store::{AccountId, Expect, Op};
use bytes::Bytes;
use zeroize::Zeroizing;

use super::{
    Account, Directory, Error, HASH_WAIT_SECONDS, REMEMBERED_LOGINS, REMEMBERED_SECONDS, Result,
    keys, password, random,
};

/// A login that was good.
#[derive(Debug, Clone, PartialEq)]
pub struct Login {
    /// The account the session acts as.
    pub account: Account,
}

impl Directory {
    /// Answers what an authentication asks, for every service. A login is
    /// given with [`Answer::Accept`] only.
    pub async fn answer(&self, ask: &Ask) -> (Answer, Option<Login>) {
        let outcome = match ask {
            Ask::Password {
                authzid,
                authcid,
                password,
            } => self.login(authzid, authcid, password).await.map(Some),
            Ask::Authorize { authzid, authcid } => self.authorize(authzid, authcid).await.map(Some),
            Ask::Keys { authcid } => match self.scram_keys(authcid).await {
                Ok(keys) => return (Answer::Keys(Some(keys)), None),
                Err(error) => Err(error),
            },
            Ask::WrongProof { .. } => Ok(None),
            // What is neither a password nor made of one is no matter of the directory:
            // `crate::login` asks for the account once it knows whose it is.
            Ask::Token { .. } | Ask::External { .. } => {
                return (Answer::Refuse(Refusal::Unavailable), None);
            }
        };
        match outcome {
            Ok(Some(Ok(login))) => (Answer::Accept, Some(login)),
            Ok(Some(Err(refusal))) => (Answer::Refuse(refusal), None),
            Ok(None) => (Answer::Refuse(Refusal::BadCredentials), None),
            Err(error) => {
                tracing::error!(%error, "the directory could not be asked");
                (Answer::Refuse(Refusal::Unavailable), None)
            }
        }
    }

    /// Checks a password. The user is `local@domain`.
    ///
    /// # Errors
    /// [`Error::Store`] and the like; a wrong password is `Ok(Err(…))`.
    pub async fn login(
        &self,
        authzid: &str,
        authcid: &str,
        password: &str,
    ) -> Result<Result<Login, Refusal>> {
        // Not every protocol has prepared it. What cannot be prepared is never
        // right (RFC 4616 §2), and neither is the empty password.
        let password = Zeroizing::new(prepare(password).unwrap_or_default());
        let record = match self.record(authcid).await {
            Ok((id, record, _)) => Some((id, record)),
            Err(Error::NotFound(_) | Error::BadAddress(_)) => None,
            Err(error) => return Err(error),
        };
        let digest = self.digest(
            authcid,
            &password,
            record.as_ref().map(|(_, record)| record.password.as_str()),
        );
        let good = match &record {
            Some((id, _)) if self.is_remembered(&digest, *id) => true,
            _ => {
                let hash = record.as_ref().map_or_else(
                    || password::DECOY.to_owned(),
                    |(_, record)| record.password.clone(),
                );
                let password = password.clone();
                let turn = self.shared.hashing.clone().acquire_owned();
                let wait = Duration::from_secs(HASH_WAIT_SECONDS);
                let Ok(turn) = tokio::time::timeout(wait, turn).await else {
                    tracing::warn!("more logins than can be checked: one was refused");
                    return Ok(Err(Refusal::TooMany));
                };
                self.shared.hashed.fetch_add(1, Ordering::Relaxed);
                let checked = tokio::task::spawn_blocking(move || {
                    let _turn = turn;
                    password::verify(&password, &hash)
                });
                checked
                    .await
                    .map_err(|error| Error::Hash(error.to_string()))?
            }
        };
        let Some((id, record)) = record.filter(|_| good) else {
            return Ok(Err(Refusal::BadCredentials));
        };
        self.remember(digest, id);
        Ok(admit(authzid, record.account(id)))
    }

    /// After SCRAM has proved the password: may this user in?
    ///
    /// # Errors
    /// [`Error::Store`] and the like.
    pub async fn authorize(&self, authzid: &str, authcid: &str) -> Result<Result<Login, Refusal>> {
        match self.account(authcid).await {
            Ok(account) => Ok(admit(authzid, account)),
            Err(Error::NotFound(_) | Error::BadAddress(_)) => Ok(Err(Refusal::BadCredentials)),
            Err(error) => Err(error),
        }
    }

    /// The SCRAM keys of a user; for an unknown one keys that nobody knows a
    /// password for, always the same.
    ///
    /// # Errors
    /// [`Error::Store`] and the like.
    pub async fn scram_keys(&self, user: &str) -> Result<ScramKeys> {
        let secret = *self
            .shared
            .decoy_secret
            .get_or_try_init(|| self.secret(keys::DECOY_SECRET))
            .await?;
        match self.record(user).await {
            Ok((_, record, _)) => Ok(record.scram.into()),
            Err(Error::NotFound(_) | Error::BadAddress(_)) => {
                Ok(ScramKeys::decoy(&secret, &user.to_lowercase()))
            }
            Err(error) => Err(error),
        }
    }

    /// What the names of rewritten senders are made with.
    ///
    /// # Errors
    /// [`Error::Random`], [`Error::Store`].
    pub(crate) async fn sender_secret(&self) -> Result<[u8; 32]> {
        self.secret(keys::SENDER_SECRET).await
    }

    /// A secret is the store's, so that it outlives a restart.
    async fn secret(&self, key: &'static [u8]) -> Result<[u8; 32]> {
        let key = Bytes::from_static(key);
        let fresh: [u8; 32] = random()?;
        let ops = vec![Op::Set {
            key: key.clone().into(),
            val: Bytes::copy_from_slice(&fresh).into(),
        }];
        // Whoever comes first sets it; all others read what he set.
        self.change(vec![(key.clone(), Expect::Absent)], ops)
            .await?;
        let kept = self.read(key).await?.unwrap_or_default();
        <[u8; 32]>::try_from(kept.as_ref())
            .map_err(|error| Error::Corrupt("a secret".into(), error.to_string()))
    }

    /// What a login is remembered by. The stored hash is part of it, so a new
    /// password forgets the old one.
    fn digest(&self, user: &str, password: &str, hash: Option<&str>) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.shared.remember_key);
        for field in [
            user.to_lowercase().as_bytes(),
            password.as_bytes(),
            hash.unwrap_or("").as_bytes(),
        ] {
            hasher.update(&(field.len() as u64).to_be_bytes());
            hasher.update(field);
        }
        hasher.finalize().into()
    }

    fn is_remembered(&self, digest: &[u8; 32], id: AccountId) -> bool {
        let remembered = self.shared.remembered.lock();
        remembered.get(digest).is_some_and(|(known, since)| {
            *known == id && since.elapsed() < Duration::from_secs(REMEMBERED_SECONDS)
        })
    }

    fn remember(&self, digest: [u8; 32], id: AccountId) {
        let mut remembered = self.shared.remembered.lock();
        if remembered.len() >= REMEMBERED_LOGINS {
            remembered
                .retain(|_, (_, since)| since.elapsed() < Duration::from_secs(REMEMBERED_SECONDS));
            if remembered.len() >= REMEMBERED_LOGINS {
                remembered.clear();
            }
        }
        remembered
            .entry(digest)
            .or_insert_with(|| (id, Instant::now()));
    }

    pub(super) fn forget_logins(&self, id: AccountId) {
        self.shared
            .remembered
            .lock()
            .retain(|_, (known, _)| *known != id);
    }
}

fn admit(authzid: &str, account: Account) -> Result<Login, Refusal> {
    if !account.enabled {
        return Err(Refusal::Disabled);
    }
    // Acting as somebody else comes with delegation, which is not there yet.
    if !authzid.is_empty() && !authzid.eq_ignore_ascii_case(&account.address) {
        return Err(Refusal::NotAuthorized);
    }
    Ok(Login { account })
}
