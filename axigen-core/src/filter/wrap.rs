//! What can be put around any filter.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    Connection, Disposition, Error, Filter, Message, NextHop, Recipient, Result, Transaction,
    Verdict,
};

/// Lets mail pass when `filter` fails. Without it a failure is `451 4.7.1`.
pub fn fail_open(filter: impl Filter) -> impl Filter {
    FailOpen(filter)
}

/// Makes `filter` fail when a stage takes longer than `limit`.
pub fn with_timeout(limit: Duration, filter: impl Filter) -> impl Filter {
    WithTimeout(limit, filter)
}

#[derive(Debug)]
struct FailOpen<F>(F);

#[derive(Debug)]
struct WithTimeout<F>(Duration, F);

impl<F: Filter> FailOpen<F> {
    fn open<T>(&self, otherwise: T, result: Result<T>) -> Result<T> {
        Ok(result.unwrap_or_else(|error| {
            tracing::warn!(filter = self.0.name(), %error, "a filter failed and is passed over");
            otherwise
        }))
    }
}

impl<F: Filter> WithTimeout<F> {
    async fn bound<T>(&self, stage: impl Future<Output = Result<T>>) -> Result<T> {
        match tokio::time::timeout(self.0, stage).await {
            Ok(result) => result,
            Err(_) => Err(Error(format!("no answer within {:?}", self.0))),
        }
    }
}

#[async_trait]
impl<F: Filter> Filter for FailOpen<F> {
    fn name(&self) -> &str {
        self.0.name()
    }
    async fn connect(&self, conn: &mut Connection) -> Result<Verdict> {
        self.open(Verdict::Continue, self.0.connect(conn).await)
    }
    async fn helo(&self, conn: &mut Connection) -> Result<Verdict> {
        self.open(Verdict::Continue, self.0.helo(conn).await)
    }
    async fn mail(&self, tx: &mut Transaction) -> Result<Verdict> {
        self.open(Verdict::Continue, self.0.mail(tx).await)
    }
    async fn rcpt(&self, tx: &mut Transaction, rcpt: &mut Recipient) -> Result<Verdict> {
        self.open(Verdict::Continue, self.0.rcpt(tx, rcpt).await)
    }
    async fn data(&self, tx: &mut Transaction) -> Result<Verdict> {
        self.open(Verdict::Continue, self.0.data(tx).await)
    }
    async fn end_of_message(&self, tx: &mut Transaction, msg: &mut Message) -> Result<Verdict> {
        self.open(Verdict::Continue, self.0.end_of_message(tx, msg).await)
    }
    async fn pre_delivery(&self, msg: &Message, rcpt: &mut Recipient) -> Result<Disposition> {
        self.open(Disposition::Continue, self.0.pre_delivery(msg, rcpt).await)
    }
    async fn pre_send(&self, msg: &mut Message, hop: &mut NextHop) -> Result<Disposition> {
        self.open(Disposition::Continue, self.0.pre_send(msg, hop).await)
    }
}

#[async_trait]
impl<F: Filter> Filter for WithTimeout<F> {
    fn name(&self) -> &str {
        self.1.name()
    }
    async fn connect(&self, conn: &mut Connection) -> Result<Verdict> {
        self.bound(self.1.connect(conn)).await
    }
    async fn helo(&self, conn: &mut Connection) -> Result<Verdict> {
        self.bound(self.1.helo(conn)).await
    }
    async fn mail(&self, tx: &mut Transaction) -> Result<Verdict> {
        self.bound(self.1.mail(tx)).await
    }
    async fn rcpt(&self, tx: &mut Transaction, rcpt: &mut Recipient) -> Result<Verdict> {
        self.bound(self.1.rcpt(tx, rcpt)).await
    }
    async fn data(&self, tx: &mut Transaction) -> Result<Verdict> {
        self.bound(self.1.data(tx)).await
    }
    async fn end_of_message(&self, tx: &mut Transaction, msg: &mut Message) -> Result<Verdict> {
        self.bound(self.1.end_of_message(tx, msg)).await
    }
    async fn pre_delivery(&self, msg: &Message, rcpt: &mut Recipient) -> Result<Disposition> {
        self.bound(self.1.pre_delivery(msg, rcpt)).await
    }
    async fn pre_send(&self, msg: &mut Message, hop: &mut NextHop) -> Result<Disposition> {
        self.bound(self.1.pre_send(msg, hop)).await
    }
}
