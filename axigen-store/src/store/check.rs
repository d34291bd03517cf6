//! What a caller may ask for.

use crate::backend::{Limits, Request};
use crate::batch::{AccountId, Op};
use crate::blob::Place;
use crate::error::{Error, Result};

pub(super) fn account(account: AccountId) -> Result<()> {
    if account == AccountId::STORE {
        return Err(Error::Invalid(format!(
            "account {} is the store's own",
            account.0
        )));
    }
    Ok(())
}

pub(super) fn key(key: &[u8], limits: &Limits) -> Result<()> {
    if key.is_empty() {
        return Err(Error::Invalid("an empty key".into()));
    }
    if key.len() > limits.key {
        return Err(Error::TooLarge(format!(
            "a key of {} bytes, at most {} are allowed",
            key.len(),
            limits.key
        )));
    }
    Ok(())
}

/// Checks a batch; gives about how many bytes it will write.
pub(super) fn request(request: &Request, limits: &Limits) -> Result<usize> {
    let mut total = 0;
    for part in &request.batch.parts {
        account(part.account)?;
        total += 64;
        for (name, _) in &part.asserts {
            key(name, limits)?;
        }
        for op in &part.ops {
            total += match op {
                Op::Set { key: name, val } => {
                    key(&name.bytes, limits)?;
                    if val.bytes.len() > limits.value {
                        return Err(Error::TooLarge(format!(
                            "a value of {} bytes, at most {} are allowed",
                            val.bytes.len(),
                            limits.value
                        )));
                    }
                    name.bytes.len() + val.bytes.len()
                }
                Op::Delete(name) | Op::Add { key: name, .. } => {
                    key(name, limits)?;
                    name.len() + 16
                }
                Op::DeleteRange(from, to) => from.len() + to.len(),
                Op::Retain(_) | Op::Release(_) => 100,
            };
        }
    }
    for (_, row) in &request.fresh {
        if let Place::Inline { label, bytes } = &row.place {
            total += label.len() + bytes.len();
        }
    }
    if total > limits.batch {
        return Err(Error::TooLarge(format!(
            "a batch of {total} bytes, at most {} are allowed",
            limits.batch
        )));
    }
    Ok(total)
}
