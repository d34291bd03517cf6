//! Filters: what looks at mail on its way in and out, and may stop or change it.
//!
//! Implement [`Filter`] for the stages you care about; every stage does nothing
//! by default. Give it to the engine's builder, or wrap it first:
//! [`fail_open`] lets mail pass when the filter fails, [`with_timeout`] bounds
//! its time.
//!
//! A filter runs while the peer waits (its [`Verdict`] is the reply the peer
//! reads), or after the mail became ours (its [`Disposition`] may bounce it).
//! The two are different types because after our 250 a refusal is a bounce.

mod chain;
mod context;
mod verdict;
mod wrap;

use std::fmt::Debug;

use async_trait::async_trait;

pub use chain::{Chain, Level};
pub use context::{Connection, Edit, Message, NextHop, Recipient, Transaction};
pub(crate) use context::{header_fields, is_named};
pub use verdict::{Disposition, Verdict};
pub use wrap::{fail_open, with_timeout};

/// A failure of a filter. Without [`fail_open`] it becomes `451 4.7.1`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// A result of a filter.
pub type Result<T> = std::result::Result<T, Error>;

/// What looks at mail on its way in and out.
#[async_trait]
pub trait Filter: Debug + Send + Sync + 'static {
    /// A short name for logs.
    fn name(&self) -> &str;

    /// A peer has connected.
    async fn connect(&self, conn: &mut Connection) -> Result<Verdict> {
        let _ = conn;
        Ok(Verdict::Continue)
    }

    /// The peer has introduced itself; its name is in `conn.helo`.
    async fn helo(&self, conn: &mut Connection) -> Result<Verdict> {
        let _ = conn;
        Ok(Verdict::Continue)
    }

    /// A transaction begins; the sender is in `tx.sender`.
    async fn mail(&self, tx: &mut Transaction) -> Result<Verdict> {
        let _ = tx;
        Ok(Verdict::Continue)
    }

    /// One more recipient.
    async fn rcpt(&self, tx: &mut Transaction, rcpt: &mut Recipient) -> Result<Verdict> {
        let _ = (tx, rcpt);
        Ok(Verdict::Continue)
    }

    /// The message is about to come.
    async fn data(&self, tx: &mut Transaction) -> Result<Verdict> {
        let _ = tx;
        Ok(Verdict::Continue)
    }

    /// The message is here, the peer awaits the final reply.
    async fn end_of_message(&self, tx: &mut Transaction, msg: &mut Message) -> Result<Verdict> {
        let _ = (tx, msg);
        Ok(Verdict::Continue)
    }

    /// The message is about to go to one local recipient.
    async fn pre_delivery(&self, msg: &Message, rcpt: &mut Recipient) -> Result<Disposition> {
        let _ = (msg, rcpt);
        Ok(Disposition::Continue)
    }

    /// The message is about to go to another host: asked before each try.
    /// [`Disposition::FileInto`] and [`Disposition::Redirect`] have no meaning
    /// here.
    async fn pre_send(&self, msg: &mut Message, hop: &mut NextHop) -> Result<Disposition> {
        let _ = (msg, hop);
        Ok(Disposition::Continue)
    }
}
