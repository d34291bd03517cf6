//! `axigen store reindex`: the search index made anew from the mail.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use axigen_core::engine::Engine;
use axigen_core::search::feed::Feeder;
use axigen_core::store::Store;

use crate::command::say;
use crate::failure::Failure;

/// How often progress is shown.
const STEP: Duration = Duration::from_millis(200);

pub(crate) async fn run(dir: &Path) -> Result<(), Failure> {
    // To open what is not there would make it.
    if !dir.join("FORMAT").is_file() {
        return Err(Failure::new(format!(
            "there is no store in {}",
            dir.display()
        )));
    }
    let store = Store::open(dir).await?;
    let engine = Engine::builder(store).build()?;
    let done = reindex(&engine).await;
    engine.shutdown().await?;
    done
}

async fn reindex(engine: &Engine) -> Result<(), Failure> {
    let mut total = 0;
    let mailboxes = engine.mailboxes();
    for account in engine.directory().accounts().await? {
        let (_, messages) = mailboxes
            .usage(account.id)
            .await
            .map_err(|error| Failure::new(error.to_string()))?;
        total += messages;
    }
    let begin = Instant::now();
    let shown = std::io::stderr().is_terminal();
    let (mut last, mut indexed) = (begin, 0);
    let progress = |messages| {
        indexed = messages;
        if shown && last.elapsed() >= STEP {
            last = Instant::now();
            let _ = write!(std::io::stderr(), "\r{messages} of {total} messages");
        }
    };
    engine.search().rebuild();
    let (index, directory) = (engine.search().clone(), engine.directory().clone());
    let done = Feeder::catch_up(index, mailboxes.clone(), directory, progress).await;
    if shown {
        // The line is made empty again.
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    done.map_err(|why| Failure::new(format!("the index was not made: {why}")))?;
    let seconds = begin.elapsed().as_secs_f64();
    say(format!("{indexed} messages indexed in {seconds:.1} s"));
    Ok(())
}
