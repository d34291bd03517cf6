//! `axigen store migrate`: another engine holds the rows.

use std::path::Path;
use std::time::Instant;

use axigen_core::store::store::Engine;
use axigen_core::store::{Error, Progress, Stage, migrate};

use crate::command::say;
use crate::failure::Failure;
use crate::terminal::Bar;

pub(super) async fn run(dir: &Path, to: Engine) -> Result<(), Failure> {
    let begin = Instant::now();
    let mut bar = Bar::new();
    let work = {
        let dir = dir.to_owned();
        move || {
            let done = migrate(&dir, to, |progress| show(&mut bar, progress));
            bar.clear();
            done
        }
    };
    let done = tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::new(format!("the migration broke off: {error}")))?;
    let done = done.map_err(|error| failure(dir, to, error))?;
    say(match done.from == to {
        true => format!("the rows are held by {to} already; nothing to do"),
        false => format!(
            "{} rows of {} went from {} to {to} in {:.1} s",
            done.rows,
            super::stat::human(done.bytes),
            done.from,
            begin.elapsed().as_secs_f64()
        ),
    });
    Ok(())
}

fn show(bar: &mut Bar, progress: Progress) {
    let what = match progress.stage {
        Stage::Clearing => "removing what an earlier migration left",
        Stage::Copying => "rows copied",
        Stage::Verifying => "rows read again and compared",
        Stage::Switching => "rows; changing over",
        Stage::Removing => "rows; removing the old ones",
        Stage::Done => "rows",
    };
    bar.show(what, progress.rows, progress.of.unwrap_or(0));
}

fn failure(dir: &Path, to: Engine, error: Error) -> Failure {
    match error {
        Error::Full => Failure::new(format!(
            "{error}; the store is as it was. Make room for the rows once more, then `axigen store migrate --dir {} --to {to}`",
            dir.display()
        )),
        other => other.into(),
    }
}
