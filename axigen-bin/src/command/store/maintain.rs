//! `axigen store maintain`: what makes a store smaller and is worth waiting
//! for.

use std::path::Path;
use std::time::Duration;

use axigen_core::store::Error;
use axigen_core::store::backend::Maintain;
use axigen_core::store::blob::{SweepOptions, SweepReport};
use axigen_core::store::store::{Store, TrainOptions, Trained};

use crate::command::say;
use crate::failure::Failure;
use crate::terminal::Bar;

/// How often it is looked how far a sweep is.
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn run(dir: &Path, recompress: bool) -> Result<(), Failure> {
    let store = super::open(dir).await?;
    let done = maintain(&store, recompress).await;
    store.close().await?;
    done
}

async fn maintain(store: &Store, recompress: bool) -> Result<(), Failure> {
    let mut bar = Bar::new();
    bar.show("training a dictionary", 0, 0);
    let trained = store.train(TrainOptions::default()).await;
    bar.clear();
    say(match trained? {
        Trained {
            kept: Some(number),
            before,
            with,
            samples,
        } => format!(
            "dictionary {number}, trained on {samples} blobs: {:.1} % less for blobs like them",
            100.0 - with as f64 * 100.0 / before.max(1) as f64
        ),
        Trained { with: 0, .. } => "too little mail to train a dictionary on".into(),
        Trained { .. } => {
            "no new dictionary: it would not be much better than the current one".into()
        }
    });
    let mut sweep = SweepOptions::default();
    // Nobody waits but the one who asked for it.
    sweep.rate = u64::MAX;
    if recompress {
        sweep.percent = 101;
        sweep.tail = true;
    }
    let swept = swept(store, sweep).await?;
    say(format!(
        "{} forgotten, {} blobs rewritten, {} packs removed; packs {}",
        swept.forgotten,
        swept.moved,
        swept.removed,
        less(swept.freed, swept.written)
    ));
    if swept.damaged > 0 {
        return Err(Failure::new(format!(
            "{} packs are damaged and were left alone; `axigen store verify` says what is wrong",
            swept.damaged
        )));
    }
    let rows = store.maintain(Maintain::Compact).await?;
    say(format!("metadata {}", less(rows.before, rows.after)));
    Ok(())
}

/// Sweeps, and shows how much was written so far.
async fn swept(store: &Store, options: SweepOptions) -> Result<SweepReport, Error> {
    let all = store.space().await?.held;
    let before = store.stat().blobs.bytes;
    let mut bar = Bar::new();
    let sweep = store.sweep(options);
    tokio::pin!(sweep);
    let done = loop {
        match tokio::time::timeout(LOOK, &mut sweep).await {
            Ok(done) => break done,
            Err(_) => bar.show("bytes rewritten", store.stat().blobs.bytes - before, all),
        }
    };
    bar.clear();
    done
}

fn less(before: u64, after: u64) -> String {
    match before.checked_sub(after) {
        Some(less) => format!("{} less", super::stat::human(less)),
        None => format!("{} more", super::stat::human(after - before)),
    }
}
