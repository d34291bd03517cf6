//! Verify and repair of a whole store.

use std::collections::{BTreeMap, HashSet};

use axigen_store::store::References;
use axigen_store::{AccountId, Store};

use super::{Progress, Result};
use crate::directory::Directory;
use crate::mailbox::Mailboxes;
use crate::queue::upkeep as queue;

/// What [`verify`] found, or [`repair`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Accounts seen.
    pub accounts: u64,
    /// Mailboxes seen.
    pub mailboxes: u64,
    /// Messages seen.
    pub messages: u64,
    /// Blobs seen.
    pub blobs: u64,
    /// Bytes of contents that were read and agreed with their checksums.
    pub bytes: u64,
    /// In sentences, what is wrong, or what was done about it; the first few
    /// hundred.
    pub lines: Vec<String>,
    /// How many such lines there are.
    pub count: u64,
    /// Messages that are lost: account and mailbox, and UID.
    pub lost: Vec<(String, u32)>,
    /// Messages that were in no mailbox and are in INBOX now.
    pub recovered: u64,
}

/// Lines beyond this many are counted only.
const LINES: usize = 500;

impl Report {
    fn say(&mut self, lines: impl IntoIterator<Item = String>) {
        for line in lines {
            self.count += 1;
            if self.lines.len() < LINES {
                self.lines.push(line);
            }
        }
    }
}

/// Looks at everything: checksums of all blobs, references to them, rows,
/// counters, indexes, UIDs of all accounts, addresses of the directory. Changes
/// nothing. For a store that nobody uses meanwhile.
///
/// # Errors
/// [`Error`](super::Error) when the store cannot be read at all; what is wrong
/// with what can be read is in the report.
pub async fn verify(
    store: &Store,
    mailboxes: &Mailboxes,
    directory: &Directory,
    mut progress: impl FnMut(Progress),
) -> Result<Report> {
    let mut report = Report::default();
    let mut references = References::new();
    let mut with_mail = Vec::new();
    let accounts = accounts(store).await?;
    for (done, account) in accounts.iter().enumerate() {
        let all = accounts.len() as u64;
        let done = done as u64;
        progress(Progress {
            what: "accounts",
            done,
            all,
        });
        let found = mailboxes.verify(*account).await?;
        if found.mailboxes > 0 || found.messages > 0 {
            with_mail.push(*account);
        }
        report.accounts += 1;
        report.mailboxes += found.mailboxes;
        report.messages += found.messages;
        let of = |line: &String| format!("account {}: {line}", account.0);
        report.say(found.problems.iter().map(of));
        report.count += found.problem_count - found.problems.len() as u64;
        mailboxes.references(*account, &mut references).await?;
    }
    queue::references(store, &mut references).await?;
    report.say(queue::verify(store).await?);
    let blobs = store
        .verify(&references, true, |done, all| {
            progress(Progress {
                what: "blobs",
                done,
                all,
            });
        })
        .await?;
    report.blobs = blobs.blobs;
    report.bytes = blobs.bytes;
    report.say(blobs.problems.iter().map(ToString::to_string));
    report.count += blobs.problem_count - blobs.problems.len() as u64;
    let problems = directory.verify(&with_mail).await?;
    report.say(problems);
    Ok(report)
}

/// Sets right what [`verify`] finds. What is lost, and was in which mailbox, is
/// in the report; messages whose mailbox is lost come into INBOX. For a store
/// that nobody uses meanwhile; afterwards verify finds nothing.
///
/// # Errors
/// As [`verify`]. Nothing is worse than before; calling it again goes on.
pub async fn repair(
    store: &Store,
    mailboxes: &Mailboxes,
    directory: &Directory,
    mut progress: impl FnMut(Progress),
) -> Result<Report> {
    let mut report = Report::default();
    // What was made from the mail is made anew from what the mail is then.
    mailboxes.end_epoch().await?;
    let accounts = accounts(store).await?;
    let before = references(store, mailboxes, &accounts).await?;
    let lost = store
        .repair(&before, true, |done, all| {
            progress(Progress {
                what: "blobs",
                done,
                all,
            });
        })
        .await?;
    let lost: HashSet<[u8; 32]> = lost.into_iter().collect();
    let mut with_mail = Vec::new();
    let names: BTreeMap<AccountId, String> = directory
        .accounts()
        .await
        .unwrap_or_default()
        .into_iter()
        .map(|account| (account.id, account.address))
        .collect();
    for (done, account) in accounts.iter().enumerate() {
        let all = accounts.len() as u64;
        progress(Progress {
            what: "accounts",
            done: done as u64,
            all,
        });
        let done = mailboxes.repair(*account, &lost).await?;
        if !mailboxes.list(*account).await?.is_empty() {
            with_mail.push(*account);
        }
        let name = names.get(account).cloned();
        let name = name.unwrap_or_else(|| format!("account {}", account.0));
        report.accounts += 1;
        report.recovered += done.recovered;
        report.say(done.mended.iter().map(|line| format!("{name}: {line}")));
        let place = |(mailbox, uid)| (format!("{name}: {mailbox}"), uid);
        report.lost.extend(done.lost.into_iter().map(place));
    }
    report.say(directory.repair(&with_mail).await?);
    report.say(queue::repair(store, &lost).await?);
    let after = references(store, mailboxes, &accounts).await?;
    // Their bytes were read just now.
    store.repair(&after, false, |_, _| {}).await?;
    Ok(report)
}

async fn references(
    store: &Store,
    mailboxes: &Mailboxes,
    accounts: &[AccountId],
) -> Result<References> {
    let mut references = References::new();
    for account in accounts {
        mailboxes.references(*account, &mut references).await?;
    }
    queue::references(store, &mut references).await?;
    Ok(references)
}

/// Accounts with mail.
async fn accounts(store: &Store) -> Result<Vec<AccountId>> {
    let mut accounts = store.accounts().await?;
    accounts.retain(|account| *account != AccountId::SYSTEM);
    Ok(accounts)
}
