//! Counting again, after a test: counters, names, UIDs, references, and every
//! byte of every message.

use std::path::Path;
use std::process::Command;

use axigen_core::mailbox::Mailboxes;
use axigen_store::store::References;
use axigen_store::{AccountId, Store};

use crate::demo::binary;
use crate::tool::finish;

/// `axigen store verify` on the directory of a server that has ended, however
/// it did: everything must be in order.
#[track_caller]
pub fn verify(dir: &Path) {
    let mut command = Command::new(binary());
    command.args(["store", "verify", "--dir"]).arg(dir);
    finish(command, b"").ok();
}

/// What does not agree in a store that is open, in sentences; these must be all accounts. `damaged`:
/// contents may be damaged, which is then not reported.
pub async fn problems(
    store: &Store,
    mailboxes: &Mailboxes,
    accounts: &[AccountId],
    damaged: bool,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut references = References::new();
    let mut messages = 0;
    for account in accounts {
        let report = mailboxes.verify(*account).await.expect("verify");
        let problems = report.problems.iter();
        found.extend(problems.map(|problem| format!("account {}: {problem}", account.0)));
        for info in mailboxes.list(*account).await.expect("the mailboxes") {
            let (uids, _) = mailboxes.uids(*account, info.id).await.expect("UIDs");
            let rows = mailboxes.rows(*account, info.id, &uids).await;
            for row in rows.expect("rows") {
                messages += 1;
                match mailboxes.body(*account, row.item, 0..u64::MAX).await {
                    Ok(body) => {
                        let hash = *blake3::hash(&body).as_bytes();
                        *references.entry(hash).or_default() += 1;
                    }
                    Err(_) if damaged => {}
                    Err(error) => found.push(format!("{} UID {}: {error}", info.name, row.uid)),
                }
            }
        }
    }
    if damaged {
        // What it refers to cannot be read, so only how often can be compared.
        let space = store.space().await.expect("the blobs' rows");
        if space.references != messages {
            found.push(format!("{messages} messages, {space:?}"));
        }
        return found;
    }
    let report = store.verify(&references, true, |_, _| {}).await;
    let problems = report.expect("verify").problems;
    found.extend(problems.iter().map(ToString::to_string));
    found
}
