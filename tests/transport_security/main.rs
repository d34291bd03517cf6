//! TLS on the way to other hosts: what settings, domains and senders ask for,
//! and what becomes of mail where it cannot be had; what hosts get that take no
//! bytes beyond ASCII.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod all_the_way;
mod certificates;
mod commands;
mod dane;
mod dns;
mod dns_lies;
mod host;
mod name_server;
mod policy;
mod reports;
mod requiretls;
mod seven_bit;
mod sts;
mod web;
mod world;
