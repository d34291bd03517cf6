//! `axigen store verify`, `repair`, `salvage`.

use std::path::Path;

use axigen_core::directory::Directory;
use axigen_core::mailbox::Mailboxes;
use axigen_core::store::store::Options;
use axigen_core::upkeep::{self, Progress, Report};

use crate::command::say;
use crate::failure::Failure;
use crate::terminal::Bar;

pub(super) async fn verify(dir: &Path) -> Result<(), Failure> {
    let store = super::open(dir).await?;
    let mailboxes = Mailboxes::new(store.clone());
    let directory = Directory::new(store.clone(), mailboxes.clone())?;
    let mut bar = Bar::new();
    let found = upkeep::verify(&store, &mailboxes, &directory, |progress| {
        show(&mut bar, progress);
    })
    .await;
    bar.clear();
    store.close().await?;
    let report = found.map_err(failure)?;
    list(&report);
    say(format!(
        "{} accounts, {} mailboxes, {} messages; {} blobs, {} bytes read and compared",
        report.accounts, report.mailboxes, report.messages, report.blobs, report.bytes
    ));
    match report.count {
        0 => {
            say("everything is there and agrees");
            Ok(())
        }
        count => Err(Failure::new(format!(
            "{count} problems; `axigen store repair --dir {}` sets right what can be",
            dir.display()
        ))),
    }
}

pub(super) async fn repair(dir: &Path) -> Result<(), Failure> {
    let store = super::open(dir).await?;
    let mailboxes = Mailboxes::new(store.clone());
    let directory = Directory::new(store.clone(), mailboxes.clone())?;
    let mut bar = Bar::new();
    let done = upkeep::repair(&store, &mailboxes, &directory, |progress| {
        show(&mut bar, progress);
    })
    .await;
    bar.clear();
    store.close().await?;
    let report = done.map_err(failure)?;
    list(&report);
    for (mailbox, uid) in &report.lost {
        say(format!("lost: {mailbox}, UID {uid}"));
    }
    match (report.count, report.lost.len(), report.recovered) {
        (0, 0, 0) => say("nothing was wrong"),
        (count, lost, recovered) => say(format!(
            "{count} things set right, {recovered} messages put back into INBOX, {lost} lost"
        )),
    }
    Ok(())
}

pub(super) async fn salvage(dir: &Path) -> Result<(), Failure> {
    let mut bar = Bar::new();
    let progress = move |progress| show(&mut bar, progress);
    let done = upkeep::salvage(dir, Options::default(), progress).await;
    Bar::new().clear();
    let report = done.map_err(failure)?;
    for line in &report.lines {
        say(line);
    }
    if let Some(aside) = &report.aside {
        say(format!("the old metadata is kept in {}", aside.display()));
    }
    say(format!(
        "{} messages of {} accounts are back, from {} blobs",
        report.messages, report.accounts, report.blobs
    ));
    if report.queued > 0 {
        say(format!(
            "{} entries of the queue are back, held: the last of what was sent may be among them; \
             look with `axigen queue list --state held`, and let go with `axigen queue release`",
            report.queued
        ));
    }
    match report.lost {
        0 => Ok(()),
        lost => Err(Failure::new(format!(
            "{lost} messages are lost: their contents could not be read"
        ))),
    }
}

fn show(bar: &mut Bar, progress: Progress) {
    bar.show(progress.what, progress.done, progress.all);
}

fn list(report: &Report) {
    for line in &report.lines {
        say(line);
    }
    let more = report.count - report.lines.len() as u64;
    if more > 0 {
        say(format!("and {more} more"));
    }
}

fn failure(error: upkeep::Error) -> Failure {
    Failure::new(error.to_string())
}
