//! The keys of transport security in the system's range; this module owns 0x40
//! to 0x4f.
//!
//! | key | value |
//! |---|---|
//! | `40 domain` | a policy of MTA-STS, see [`sts`](super::sts) |

use axigen_store::Key;
use bytes::Bytes;

const POLICY: u8 = 0x40;

pub(super) fn policy(domain: &str) -> Key {
    [&[POLICY], domain.as_bytes()].concat().into()
}

/// First and end of all policies.
pub(super) fn policies() -> (Key, Key) {
    (
        Bytes::copy_from_slice(&[POLICY]),
        Bytes::copy_from_slice(&[POLICY + 1]),
    )
}

/// The domain of a policy's key.
pub(super) fn domain_of(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(1..)?).ok()
}
