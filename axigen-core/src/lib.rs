//! An embeddable mail server: engine, listeners, services, filters, mailboxes,
//! directory, settings.
//!
//! Start at [`engine::Engine`]. The state machines of the protocols are in
//! [`proto`], the store is in [`store`]; both are usable alone.

pub mod clock;
pub mod delivery;
pub mod directory;
pub mod dns;
pub mod engine;
pub mod error;
pub mod filter;
pub mod login;
pub mod mailbox;
pub mod net;
pub mod queue;
pub mod search;
pub mod service;
pub mod settings;
pub mod upkeep;

pub use axigen_proto as proto;
pub use axigen_store as store;
