//! Tests of the whole room: values, grammar, encoder, session.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod abuse;
mod acl;
mod append;
mod client;
mod client_and_server;
mod compress;
mod differential;
mod drive;
mod driving;
mod examples;
mod login;
mod metadata;
mod numbers;
mod reading;
mod responses;
mod round_trip;
mod said;
mod sample;
mod searching;
mod states;
mod values;
