//! An embeddable mail server.
pub mod mailbox;
pub use axigen_proto as proto;
pub use axigen_store as store;
