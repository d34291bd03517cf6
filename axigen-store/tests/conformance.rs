//! The public suite and random steps, on the backends of this crate.
#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use async_trait::async_trait;
use axigen_store::conformance::{self, Subject};
use axigen_store::store::{Engine, Options};
use axigen_store::{Result, Store};
use proptest::prelude::*;
use tempfile::TempDir;

/// The embedded backends, each store in its own directory.
struct Embedded {
    engine: Engine,
    last: Mutex<Option<TempDir>>,
}

impl Embedded {
    fn on(engine: Engine) -> Self {
        let last = Mutex::default();
        Embedded { engine, last }
    }

    async fn open(&self) -> Result<Store> {
        let path = self
            .last
            .lock()
            .unwrap()
            .as_ref()
            .unwrap()
            .path()
            .join("store");
        let mut options = Options::default();
        options.engine = self.engine;
        // Small packs, so that the tests see them change.
        options.pack = 100_000;
        Store::open_with(&path, options).await
    }
}

#[async_trait]
impl Subject for Embedded {
    async fn fresh(&self) -> Result<Store> {
        *self.last.lock().unwrap() = Some(TempDir::new().unwrap());
        self.open().await
    }

    async fn reopen(&self) -> Option<Result<Store>> {
        Some(self.open().await)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory() {
    conformance::run(&Store::memory).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn embedded() {
    let subject = Embedded::on(Engine::Fjall);
    conformance::run(&subject).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn embedded_on_redb() {
    let subject = Embedded::on(Engine::Redb);
    conformance::run(&subject).await.unwrap();
}

fn play(subject: &dyn Subject, seeds: &[u64]) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(conformance::play(subject, seeds))
        .map_err(|failure| TestCaseError::fail(failure.to_string()))
}

// 50 times up to 400 steps, on average 200: ten thousand, and each of the
// commits among them is of up to five batches.
proptest! {
    #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_steps_in_memory(seeds in prop::collection::vec(any::<u64>(), 1..400)) {
        play(&Store::memory, &seeds)?;
    }

    #[test]
    fn random_steps_embedded(seeds in prop::collection::vec(any::<u64>(), 1..400)) {
        play(&Embedded::on(Engine::Fjall), &seeds)?;
    }

    #[test]
    fn random_steps_on_redb(seeds in prop::collection::vec(any::<u64>(), 1..400)) {
        play(&Embedded::on(Engine::Redb), &seeds)?;
    }
}
