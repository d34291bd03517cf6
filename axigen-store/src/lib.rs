//! An ordered map of bytes with atomic, durable batches, and blobs beside it.
//!
//! This crate knows no mail. It keeps ordered keys with values, and large
//! pieces of bytes (blobs) by content address; mail rules are written once,
//! above it. Nothing is acknowledged before it is safely on disk, and many
//! writers share one sync.
//!
//! | module | what it is |
//! |---|---|
//! | [`store`] | [`Store`]: group commit, single instance, compression, above any backend |
//! | [`backend`] | the trait a backend implements, and the backends of this crate |
//! | [`blob`] | the trait a blob store implements |
//! | [`pack`] | blobs in append-only files |
//! | [`blocking`] | makes a backend of an engine that blocks |
//! | [`batch`] | what one atomic change consists of |
//! | [`disk`] | the files below the packs |
//! | [`page`] | ranges and their results |
//! | [`error`] | errors, by kind |
//! | [`conformance`] | the tests every backend must pass |

pub mod backend;
pub mod batch;
pub mod blob;
pub mod blocking;
pub mod conformance;
pub mod disk;
pub mod error;
pub mod pack;
pub mod page;
pub mod store;

pub use batch::{
    AccountId, Batch, Commit, CommitPart, Expect, Key, Op, Part, Patch, Slot, Template,
};
pub use blob::{BlobIn, BlobRef};
pub use error::{Error, Result};
pub use page::{Page, Range};
pub use store::Store;
pub use store::migrate::{Migrated, Progress, Stage, migrate};
