//! What the benchmarks share.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/any_certificate.rs"]
mod any_certificate;
pub use any_certificate::any_certificate;
