//! What the top-level tests share: the real server as a process, a small
//! blocking wire client, and the mails that everything is tried with.
//!
//! Files of tests stand beside this one, each named after what it proves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

pub mod any_certificate;
pub mod client_issuer;
pub mod demo;
pub mod doors;
pub mod engines;
pub mod machine;
pub mod mails;
pub mod odd;
pub mod served;
pub mod sink;
pub mod tool;
pub mod verify;
pub mod wire;
