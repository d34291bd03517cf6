//! Tests of the mailbox rules over the store in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod blocks;
mod folders;
mod messages;
mod model;
mod parts;
mod repair;
mod shared;
mod together;

use axigen_store::{AccountId, Store};
use bytes::Bytes;

use super::*;

const ALICE: AccountId = AccountId(7);
const BOB: AccountId = AccountId(8);

/// Mailboxes in memory, with alice's and bob's accounts. Rows go into tiny
/// blocks soon, so that all of them meet in every test.
async fn fresh() -> Mailboxes {
    fresh_with(Options {
        uid_validity: Some(1000),
        block_rows: 3,
        rewrite_at: 2,
        fold_at: 5,
        ..Options::default()
    })
    .await
}

async fn fresh_with(options: Options) -> Mailboxes {
    let mailboxes = Mailboxes::with_options(Store::memory().await.unwrap(), options);
    mailboxes.create_account(ALICE).await.unwrap();
    mailboxes.create_account(BOB).await.unwrap();
    mailboxes
}

fn message(text: &str) -> NewMessage {
    NewMessage {
        raw: Bytes::from(format!("Subject: {text}\r\n\r\n{text}\r\n")),
        internal_date: 1_700_000_000,
        internal_zone: 120,
    }
}

fn to(account: AccountId, mailbox: &str) -> Target {
    Target {
        account,
        mailbox: Place::Named(mailbox.to_owned()),
        flags: Flags::default(),
        quota: Quota::NONE,
    }
}

fn flagged(account: AccountId, mailbox: &str, flags: Flags) -> Target {
    Target {
        flags,
        ..to(account, mailbox)
    }
}

fn words(system: u8, keywords: &[&str]) -> Flags {
    Flags::new(system, keywords.iter().map(|&word| word.into()))
}

/// Appends `count` messages to alice's mailbox.
async fn fill(mailboxes: &Mailboxes, mailbox: &str, count: usize) -> MailboxId {
    for number in 0..count {
        let message = message(&format!("message {number}"));
        let target = [to(ALICE, mailbox)];
        mailboxes.append(message, &target).await.unwrap();
    }
    mailboxes.find(ALICE, mailbox).await.unwrap().id
}

async fn names(mailboxes: &Mailboxes, account: AccountId) -> Vec<String> {
    let list = mailboxes.list(account).await.unwrap();
    list.into_iter().map(|info| info.name).collect()
}

async fn uids(mailboxes: &Mailboxes, mailbox: MailboxId) -> Vec<u32> {
    mailboxes.uids(ALICE, mailbox).await.unwrap().0
}

/// Everything adds up.
async fn sound(mailboxes: &Mailboxes, account: AccountId) -> verify::Report {
    let report = mailboxes.verify(account).await.unwrap();
    assert!(!report.unstable);
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.problem_count, 0);
    report
}
