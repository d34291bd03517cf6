//! Tests of the sessions, without a network.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod auth;
mod client_and_server;
mod client_opening;
mod client_transaction;
mod deliver_by;
mod dialogues;
mod differential;
mod dsn;
mod future_release;
mod limits;
mod lookups;
mod noise;
mod peer;
mod priority;
mod requiretls;
mod sender;
mod smuggling;
mod solicit;
mod transfer;
