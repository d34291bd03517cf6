//! The keys of transport security in the system's range; this module owns 0x40
//! to 0x4f.
//!
//! | key | value |
//! |---|---|
//! | `40 domain` | a policy of MTA-STS, see [`sts`](super::sts) |
//! | `41 day domain` | what was counted for a report, see [`report`](super::report) |

use axigen_store::Key;
use bytes::Bytes;

const POLICY: u8 = 0x40;
const REPORT: u8 = 0x41;

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

/// What was counted of a domain on a day.
pub(super) fn report(day: u32, domain: &str) -> Key {
    [&[REPORT], &day.to_be_bytes()[..], domain.as_bytes()]
        .concat()
        .into()
}

/// First and end of what was counted before a day.
pub(super) fn reports_before(day: u32) -> (Key, Key) {
    (Bytes::copy_from_slice(&[REPORT]), report(day, ""))
}

/// The day and the domain of a key of [`report`].
pub(super) fn report_of(key: &[u8]) -> Option<(u32, &str)> {
    let (day, domain) = key.get(1..)?.split_first_chunk::<4>()?;
    let domain = std::str::from_utf8(domain).ok()?;
    Some((u32::from_be_bytes(*day), domain))
}
