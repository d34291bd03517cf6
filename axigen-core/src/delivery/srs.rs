//! Senders of mail that is handed on: the Sender Rewriting Scheme.
//!
//! A host that asks SPF (RFC 7208) whether we may send in a stranger's name is
//! told no, so what an alias or an account sends on to another host goes out in
//! the name of our own domain. A notice that comes back to that name finds its
//! way to the stranger by what the name holds, if it is whole and not too old:
//! nobody else can make one, so this is no open relay.
//!
//! ```text
//! SRS0=hash=day=domain=local@ours            the sender was local@domain
//! SRS1=hash=host==hash=day=domain=local@ours it was rewritten by host before
//! ```

use axigen_proto::smtp::address::Mailbox;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Characters of the hash: 40 bits.
const HASH: usize = 8;
/// Notices come back within so many days.
const DAYS: i64 = 21;
/// Days are counted up to here, and from nought again: two characters.
const ROUND: i64 = 1024;
const DAY: i64 = 86_400;
/// Case is lost on the way by some, so it must not matter.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// What may stand behind SRS0 and SRS1.
const SEPARATORS: [char; 3] = ['=', '+', '-'];

/// Rewrites senders, and knows again what it has rewritten.
pub(super) struct Srs {
    secret: [u8; 32],
}

/// Without its secret.
impl std::fmt::Debug for Srs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Srs").finish_non_exhaustive()
    }
}

impl Srs {
    pub(super) fn new(secret: [u8; 32]) -> Srs {
        Srs { secret }
    }

    /// A sender in the name of one of our domains; `None` if the name would be
    /// longer than an address may be, or the sender is none.
    pub(super) fn rewrite(&self, sender: &str, ours: &str, now: Timestamp) -> Option<String> {
        let mailbox: Mailbox = sender.parse().ok()?;
        let (local, domain) = (mailbox.local(), mailbox.domain().to_string());
        let local = match (tagged(local, "SRS0"), tagged(local, "SRS1")) {
            (Some(rest), _) => {
                // The separator stays: it tells the other host's way of writing.
                let separator = local.chars().nth(4).unwrap_or('=');
                let rest = format!("{separator}{rest}");
                let hash = self.hash(&[&domain, &rest]);
                format!("SRS1={hash}={domain}={rest}")
            }
            (None, Some(rest)) => {
                let (_, rest) = rest.split_once('=')?;
                let (host, rest) = rest.split_once('=')?;
                let hash = self.hash(&[host, rest]);
                format!("SRS1={hash}={host}={rest}")
            }
            (None, None) => {
                let day = day(now);
                let hash = self.hash(&[&day, &domain, local]);
                format!("SRS0={hash}={day}={domain}={local}")
            }
        };
        let ours = ours.parse().ok()?;
        Some(Mailbox::new(&local, ours).ok()?.to_string())
    }

    /// Whom a name of ours stands for: `None` if it is not one of ours, or too
    /// old.
    pub(super) fn original(&self, local: &str, now: Timestamp) -> Option<String> {
        if let Some(rest) = tagged(local, "SRS0") {
            let (hash, rest) = rest.split_once('=')?;
            let (then, rest) = rest.split_once('=')?;
            let (domain, local) = rest.split_once('=')?;
            let known = self.is(hash, &[then, domain, local]) && is_recent(then, now);
            return known.then(|| address(local, domain)).flatten();
        }
        let rest = tagged(local, "SRS1")?;
        let (hash, rest) = rest.split_once('=')?;
        let (host, rest) = rest.split_once('=')?;
        let known = self.is(hash, &[host, rest]);
        known
            .then(|| address(&format!("SRS0{rest}"), host))
            .flatten()
    }

    fn hash(&self, parts: &[&str]) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else {
            return String::new();
        };
        for part in parts {
            let part = part.to_lowercase();
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        let bytes = mac.finalize().into_bytes();
        let mut bits = bytes
            .iter()
            .take(5)
            .fold(0u64, |all, &byte| (all << 8) | u64::from(byte));
        let mut text = Vec::with_capacity(HASH);
        for _ in 0..HASH {
            text.push(character(bits & 31));
            bits >>= 5;
        }
        text.into_iter().collect()
    }

    /// In constant time.
    fn is(&self, hash: &str, parts: &[&str]) -> bool {
        let (given, ours) = (hash.to_lowercase(), self.hash(parts));
        !ours.is_empty() && ours.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

/// Whether a local part is one of this scheme, of any server.
pub(super) fn is_rewritten(local: &str) -> bool {
    tagged(local, "SRS0").is_some() || tagged(local, "SRS1").is_some()
}

fn tagged<'l>(local: &'l str, tag: &str) -> Option<&'l str> {
    let (start, rest) = local.split_at_checked(tag.len())?;
    let rest = rest.strip_prefix(SEPARATORS)?;
    start.eq_ignore_ascii_case(tag).then_some(rest)
}

fn address(local: &str, domain: &str) -> Option<String> {
    let domain = domain.parse().ok()?;
    Some(Mailbox::new(local, domain).ok()?.to_string())
}

fn character(of: u64) -> char {
    let at = usize::try_from(of & 31).unwrap_or_default();
    char::from(ALPHABET.get(at).copied().unwrap_or(b'a'))
}

/// The day, in two characters.
fn day(now: Timestamp) -> String {
    let day = now
        .as_second()
        .div_euclid(DAY)
        .rem_euclid(ROUND)
        .unsigned_abs();
    [character(day >> 5), character(day)].into_iter().collect()
}

fn is_recent(then: &str, now: Timestamp) -> bool {
    let digit = |byte: u8| {
        let lower = byte.to_ascii_lowercase();
        ALPHABET.iter().position(|&known| known == lower)
    };
    let &[high, low] = then.as_bytes() else {
        return false;
    };
    let (Some(high), Some(low)) = (digit(high), digit(low)) else {
        return false;
    };
    let then = i64::try_from(high * 32 + low).unwrap_or_default();
    let today = now.as_second().div_euclid(DAY).rem_euclid(ROUND);
    // A clock may be a day ahead of another.
    (today - then + 1).rem_euclid(ROUND) <= DAYS + 1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * DAY + 7).unwrap()
    }

    #[test]
    fn there_and_back() {
        let srs = Srs::new([7; 32]);
        for sender in [
            "ann@far.test",
            "\"a b\"@far.test",
            "a=b+c@far.test",
            "jörg@bücher.test",
        ] {
            let ours = srs.rewrite(sender, "ours.test", at(100)).unwrap();
            let mailbox: Mailbox = ours.parse().unwrap();
            assert!(
                ours.ends_with("@ours.test") && is_rewritten(mailbox.local()),
                "{ours}"
            );
            for now in [99, 100, 121] {
                let back = srs.original(mailbox.local(), at(now));
                assert_eq!(back.as_deref(), Some(sender), "{now}");
            }
            for now in [98, 122, 500] {
                assert_eq!(srs.original(mailbox.local(), at(now)), None, "{now}");
            }
            // Case is no matter, what is written is.
            let upper = mailbox.local().replace("SRS0", "srs0");
            assert!(srs.original(&upper, at(100)).is_some());
            let other = mailbox.local().replace(".test", ".victim");
            assert_eq!(srs.original(&other, at(100)), None);
            assert_eq!(Srs::new([8; 32]).original(mailbox.local(), at(100)), None);
        }
    }

    #[test]
    fn from_hand_to_hand() {
        let (first, second, third) = (Srs::new([1; 32]), Srs::new([2; 32]), Srs::new([3; 32]));
        let one = first.rewrite("ann@far.test", "one.test", at(1)).unwrap();
        let two = second.rewrite(&one, "two.test", at(1)).unwrap();
        let three = third.rewrite(&two, "three.test", at(1)).unwrap();
        assert!(
            three.starts_with("SRS1=") && three.contains("=one.test=="),
            "{three}"
        );
        // Straight back to the first, which knows the sender.
        for (srs, address) in [(&second, &two), (&third, &three)] {
            let local = address.rsplit_once('@').unwrap().0;
            assert_eq!(srs.original(local, at(1)).as_deref(), Some(one.as_str()));
        }
        let local = one.rsplit_once('@').unwrap().0;
        assert_eq!(
            first.original(local, at(1)).as_deref(),
            Some("ann@far.test")
        );
    }

    #[test]
    fn around_the_end_of_the_count() {
        let srs = Srs::new([7; 32]);
        let ours = srs.rewrite("a@far.test", "o.test", at(ROUND - 1)).unwrap();
        let local = ours.rsplit_once('@').unwrap().0;
        assert!(srs.original(local, at(ROUND + 5)).is_some());
        assert!(srs.original(local, at(ROUND + 25)).is_none());
    }

    #[test]
    fn what_would_be_too_long_stays() {
        let srs = Srs::new([7; 32]);
        let sender = format!("{}@far.test", "a".repeat(240));
        assert_eq!(srs.rewrite(&sender, "ours.test", at(1)), None);
        assert_eq!(srs.rewrite("", "ours.test", at(1)), None);
    }

    proptest! {
        #[test]
        fn nothing_made_up_is_taken(local in "(?i)SRS[01][=+-][a-z2-7=.@-]{0,60}") {
            prop_assert_eq!(Srs::new([7; 32]).original(&local, at(1)), None);
        }
    }
}
