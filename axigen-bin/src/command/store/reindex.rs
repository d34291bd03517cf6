//! `axigen store reindex`: the search index made anew from the mail.

use std::path::Path;
use std::time::Instant;

use axigen_core::engine::Engine;
use axigen_core::search::feed::Feeder;

use crate::command::say;
use crate::failure::Failure;
use crate::terminal::Bar;

pub(crate) async fn run(dir: &Path) -> Result<(), Failure> {
    let store = super::open(dir).await?;
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
    let mut bar = Bar::new();
    let mut indexed = 0;
    let progress = |messages| {
        indexed = messages;
        bar.show("messages", messages, total);
    };
    engine.search().rebuild();
    let (index, directory) = (engine.search().clone(), engine.directory().clone());
    let done = Feeder::catch_up(index, mailboxes.clone(), directory, progress).await;
    bar.clear();
    done.map_err(|why| Failure::new(format!("the index was not made: {why}")))?;
    let seconds = begin.elapsed().as_secs_f64();
    say(format!("{indexed} messages indexed in {seconds:.1} s"));
    Ok(())
}
