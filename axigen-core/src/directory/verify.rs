//! Whether addresses, accounts and counts agree; setting right what does not.

use std::collections::{BTreeMap, BTreeSet};

use axigen_store::{AccountId, Op};
use bytes::Bytes;

use super::records::{Record, Scram, decode, encode};
use super::{Changed, Directory, Domain, Error, Result, keys, normalise};

/// Where accounts get their addresses whose own are lost and that belong to no
/// domain that is known
/// ([RFC 6761 §6.4](https://www.rfc-editor.org/rfc/rfc6761#section-6.4)).
const NOWHERE: &str = "salvaged.invalid";

/// What is wrong, and the steps that set it right.
#[derive(Default)]
struct Wrong {
    lines: Vec<String>,
    ops: Vec<Op>,
}

impl Directory {
    /// What does not agree, in sentences. `with_mail` are the accounts that
    /// have mailboxes.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn verify(&self, with_mail: &[AccountId]) -> Result<Vec<String>> {
        let mut lines = self.wrong().await?.lines;
        for account in self.nameless(with_mail).await? {
            lines.push(format!("account {} has mail and no address", account.0));
        }
        Ok(lines)
    }

    /// Sets right what [`verify`](Directory::verify) finds; says what was done.
    /// An account that has mail and no address gets one, and is closed.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn repair(&self, with_mail: &[AccountId]) -> Result<Vec<String>> {
        let wrong = self.wrong().await?;
        if !wrong.ops.is_empty() {
            self.change(Vec::new(), wrong.ops).await?;
        }
        let mut lines = wrong.lines;
        for account in self.nameless(with_mail).await? {
            let address = self.adopt(account).await?;
            lines.push(format!(
                "account {} had no address: it is {address} now, closed and without a password",
                account.0
            ));
        }
        Ok(lines)
    }

    /// Puts rows as they were noted beside the contents, see
    /// [`label`](crate::mailbox::label).
    pub(crate) async fn restore(&self, rows: Vec<(Bytes, Bytes)>) -> Result<()> {
        let ops = rows.into_iter().map(|(key, val)| Op::Set {
            key: key.into(),
            val: val.into(),
        });
        self.change(Vec::new(), ops.collect()).await?;
        Ok(())
    }

    async fn nameless(&self, with_mail: &[AccountId]) -> Result<Vec<AccountId>> {
        let mut named: BTreeSet<u64> = self.records().await?.into_keys().collect();
        let public = self.all_public_folders().await?;
        named.extend(public.iter().map(|(_, account)| account.0));
        let nameless = with_mail.iter().filter(|id| !named.contains(&id.0));
        Ok(nameless.copied().collect())
    }

    /// Account records that can be read.
    async fn records(&self) -> Result<BTreeMap<u64, Record>> {
        let (from, to) = keys::all(b'i');
        let rows = self.store.scan(AccountId::SYSTEM, from, to).await?;
        let read = |(key, value): (Bytes, Bytes)| {
            let record: Record = decode("an account", &value).ok()?;
            Some((keys::number(key.last_chunk::<8>()), record))
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    async fn wrong(&self) -> Result<Wrong> {
        let mut wrong = Wrong::default();
        let records = self.records().await?;
        let mut members: BTreeMap<String, i64> = BTreeMap::new();
        let mut wanted = BTreeMap::new();
        for (id, record) in &records {
            if let Ok((local, domain)) = normalise(&record.address) {
                let address = (record.address.clone(), *id);
                wanted.insert(keys::address(&local, &domain), address);
                *members.entry(domain).or_default() += 1;
            }
        }
        let (from, to) = keys::all(b'i');
        for (key, _) in self.store.scan(AccountId::SYSTEM, from, to).await? {
            let id = keys::number(key.last_chunk::<8>());
            if !records.contains_key(&id) {
                wrong
                    .lines
                    .push(format!("the record of account {id} cannot be read"));
                wrong.ops.push(Op::Delete(key));
            }
        }
        let (from, to) = keys::all(b'a');
        for (key, value) in self.store.scan(AccountId::SYSTEM, from, to).await? {
            let id = keys::number(value.first_chunk::<8>());
            match wanted.get(&key) {
                Some((_, of)) if *of == id => drop(wanted.remove(&key)),
                Some(_) => {}
                None => {
                    let name = String::from_utf8_lossy(key.get(6..).unwrap_or_default());
                    let name = name.replace('\0', " ");
                    wrong
                        .lines
                        .push(format!("the address {name:?} leads to no account"));
                    wrong.ops.push(Op::Delete(key));
                }
            }
        }
        for (key, (address, id)) in wanted {
            wrong
                .lines
                .push(format!("{address} does not lead to its account {id}"));
            wrong.ops.push(Op::Set {
                key: key.into(),
                val: id.to_be_bytes().to_vec().into(),
            });
        }
        let (from, to) = keys::all(b'x');
        for (key, _) in self.store.scan(AccountId::SYSTEM, from.clone(), to).await? {
            let address = key.get(from.len()..).unwrap_or_default();
            let domain = address.split(|byte| *byte == 0).next().unwrap_or_default();
            let domain = String::from_utf8_lossy(domain).into_owned();
            *members.entry(domain).or_default() += 1;
        }
        let public = self.all_public_folders().await?;
        for (domain, _) in &public {
            *members.entry(domain.clone()).or_default() += 1;
        }
        let domains: BTreeSet<String> = self.domains().await?.into_iter().map(|d| d.name).collect();
        let missing = members.keys().filter(|name| !domains.contains(*name));
        for name in missing {
            wrong
                .lines
                .push(format!("the domain {name} has members and no record"));
            let domain = Domain {
                name: name.clone(),
                ..Domain::default()
            };
            wrong.ops.push(Op::Set {
                key: keys::domain(name).into(),
                val: encode(&domain)?.into(),
            });
        }
        for name in domains.iter().chain(members.keys()) {
            let counted = members.get(name).copied().unwrap_or(0);
            self.number_is(keys::members(name), counted, false, &mut wrong, || {
                format!("the number of addresses of {name}")
            })
            .await?;
        }
        let last = records.keys().next_back().copied();
        let last = last.into_iter().chain(public.iter().map(|(_, id)| id.0));
        let last = last.max().unwrap_or(0) as i64;
        let next = Bytes::from_static(keys::NEXT_ID);
        self.number_is(next, last, true, &mut wrong, || {
            "the last account's number".to_owned()
        })
        .await?;
        Ok(wrong)
    }

    async fn number_is(
        &self,
        key: Bytes,
        should: i64,
        at_least: bool,
        wrong: &mut Wrong,
        what: impl FnOnce() -> String,
    ) -> Result<()> {
        let is = self.read(key.clone()).await?;
        let is = is.and_then(|bytes| Some(i64::from_be_bytes(*bytes.first_chunk::<8>()?)));
        let is = is.unwrap_or(0);
        if is == should || at_least && is > should {
            return Ok(());
        }
        wrong
            .lines
            .push(format!("{} is {is}, should be {should}", what()));
        wrong.ops.push(Op::Set {
            key: key.into(),
            val: should.to_be_bytes().to_vec().into(),
        });
        Ok(())
    }

    /// A record for an account whose own is lost.
    async fn adopt(&self, id: AccountId) -> Result<String> {
        let domain = match self.domains().await?.into_iter().next() {
            Some(domain) => domain.name,
            None => NOWHERE.to_owned(),
        };
        let mut local = format!("account-{}", id.0);
        while self.read(keys::address(&local, &domain)).await?.is_some() {
            local.push_str("-lost");
        }
        let address = format!("{local}@{domain}");
        let record = Record {
            address: address.clone(),
            name: String::new(),
            enabled: false,
            class: None,
            settings: crate::settings::AccountSettings::default(),
            // Neither is the hash of anything.
            password: String::new(),
            scram: Scram::none(),
        };
        let ops = vec![
            Op::Set {
                key: keys::address(&local, &domain).into(),
                val: id.0.to_be_bytes().to_vec().into(),
            },
            Op::Set {
                key: keys::account(id.0).into(),
                val: encode(&record)?.into(),
            },
        ];
        match self.change(Vec::new(), ops).await? {
            Changed::Done => {}
            _ => return Err(Error::Exists(address)),
        }
        // The domain, its count and the last number follow.
        let wrong = self.wrong().await?;
        self.change(Vec::new(), wrong.ops).await?;
        Ok(address)
    }
}
