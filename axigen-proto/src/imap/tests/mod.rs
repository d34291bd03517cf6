//! Tests of the whole room: values, grammar, encoder, session.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod abuse;
mod dialogue;
mod differential;
mod drive;
mod examples;
mod responses;
mod round_trip;
mod values;
