//! The tests every backend must pass, ours and theirs.
//!
//! They see a backend as everybody does, through a [`Store`]:
//!
//! ```
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! use axigen_store::{Store, conformance};
//!
//! conformance::run(&|| Store::memory()).await.unwrap();
//! # });
//! ```
//!
//! A backend that outlives its process implements [`Subject`] and gives
//! [`Subject::reopen`]; what no test inside a process can show (kill -9, loss
//! of power) is up to its author.

mod batches;
mod blobs;
mod model;
mod rows;
mod several;

use async_trait::async_trait;
use bytes::Bytes;

use crate::batch::{AccountId, Batch, Key, Op, Part};
use crate::error::{Error, Result};
use crate::store::Store;

/// What is tested: a way to make stores. Any `Fn() -> Future` that gives a
/// fresh store is one.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A fresh, empty store, independent of all before it.
    async fn fresh(&self) -> Result<Store>;

    /// Opens once more what [`Subject::fresh`] gave last. By then it is closed,
    /// or all its clones are dropped. `None` if nothing outlives a close.
    async fn reopen(&self) -> Option<Result<Store>> {
        None
    }
}

#[async_trait]
impl<F, R> Subject for F
where
    F: Fn() -> R + Send + Sync,
    R: Future<Output = Result<Store>> + Send,
{
    async fn fresh(&self) -> Result<Store> {
        self().await
    }
}

/// A test that failed.
#[derive(Debug, thiserror::Error)]
#[error("conformance, {test}: {what}")]
pub struct Failure {
    /// Which test.
    pub test: &'static str,
    /// What went wrong.
    pub what: String,
}

/// Runs all tests; stops at the first that fails. Called within a tokio
/// runtime with its timer on, best one with several threads.
///
/// # Errors
/// The first failure.
pub async fn run(subject: &dyn Subject) -> Result<(), Failure> {
    macro_rules! tests {
        ($($module:ident :: $test:ident),* $(,)?) => {$(
            $module::$test(subject).await.map_err(|wrong| Failure {
                test: stringify!($test),
                what: wrong.0,
            })?;
        )*};
    }
    tests![
        rows::order_and_ranges,
        rows::pages,
        rows::long_ranges,
        rows::limits,
        rows::snapshots,
        batches::asserts,
        batches::counters,
        batches::templates,
        batches::ops_go_in_order,
        batches::all_or_nothing,
        batches::sequence_numbers,
        blobs::parts,
        blobs::single_instance,
        blobs::references,
        blobs::pieces,
        blobs::pieces_within,
        blobs::own_dictionary,
        blobs::pieces_by_many,
        blobs::sweeping,
        blobs::sweeping_beside_everything,
        several::sequence_without_gaps,
        several::counters_never_lose,
        several::failures_leave_no_trace,
        several::readers_see_whole_batches,
        several::changes_are_announced,
        several::closing,
        several::reopening,
    ];
    let seeds: Vec<u64> = (0..2_000).collect();
    play(subject, &seeds).await
}

/// Plays random steps against the store and a model in memory, which must
/// agree. Each seed stands for one step: a few batches at once, or reads, or a
/// reopening. So a failing list can be made shorter by leaving seeds out.
///
/// # Errors
/// The first difference.
pub async fn play(subject: &dyn Subject, seeds: &[u64]) -> Result<(), Failure> {
    model::play(subject, seeds).await.map_err(|wrong| Failure {
        test: "model",
        what: wrong.0,
    })
}

/// What a test found wrong.
struct Wrong(String);

type Outcome = Result<(), Wrong>;

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Wrong(format!("unexpected error: {error}"))
    }
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Wrong(what())) }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Outcome {
    ensure(got == wanted, || {
        format!("{what}: got {got:?}, wanted {wanted:?}")
    })
}

const ONE: AccountId = AccountId(1);
const TWO: AccountId = AccountId(2);

fn key(text: impl Into<Vec<u8>>) -> Key {
    Bytes::from(text.into())
}

fn set(name: impl Into<Vec<u8>>, val: impl Into<Vec<u8>>) -> Op {
    Op::Set {
        key: key(name).into(),
        val: key(val).into(),
    }
}

fn add(name: &str, delta: i64) -> Op {
    Op::Add {
        key: key(name),
        delta,
        min: None,
        max: None,
        slot: None,
    }
}

fn part(account: AccountId, ops: Vec<Op>) -> Part {
    Part {
        account,
        ops,
        advance: true,
        ..Part::default()
    }
}

fn batch(account: AccountId, ops: Vec<Op>) -> Batch {
    Batch {
        parts: vec![part(account, ops)],
    }
}

async fn value(store: &Store, account: AccountId, name: &str) -> Result<Option<Bytes>> {
    let values = store.get(account, &[key(name)]).await?;
    Ok(values.into_iter().next().flatten())
}

async fn counter(store: &Store, account: AccountId, name: &str) -> Result<i64> {
    let value = value(store, account, name).await?;
    Ok(value
        .and_then(|value| value[..].try_into().ok())
        .map_or(0, i64::from_be_bytes))
}

/// Numbers that look random and are the same every time (SplitMix64).
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    fn noise(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.roll() as u8).collect()
    }
}
