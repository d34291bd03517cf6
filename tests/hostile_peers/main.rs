//! Peers that come in thousands, are slow or mean harm, at listeners with real
//! sockets. Memory is that of the whole process, so one test runs at a time, and
//! the others of listeners are in a program of their own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod load;
mod slow;

use axigen_tests::doors as world;

use tokio::sync::{Mutex, MutexGuard};

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Nobody else uses memory as long as this is held.
async fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().await
}

/// Memory that the process has now, in bytes.
pub(crate) fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse::<usize>().unwrap() * 1024
}
