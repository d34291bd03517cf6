//! Tests of the sessions, without a network.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod auth;
mod client;
mod dialogues;
mod differential;
mod noise;
mod peer;
mod transfer;
