//! What decisions and failures sound like to the peer: the one place where
//! they become replies.

use axigen_proto::smtp::reply::{EnhancedCode, Reply};
use axigen_proto::smtp::standard;

use crate::delivery::{Failure, Outcome, Refused};
use crate::filter::Verdict;

/// A verdict as the reply to a command. `Continue`, `Accept` and `Discard` are
/// a yes.
pub(super) fn verdict(verdict: Verdict) -> Reply {
    match verdict {
        Verdict::Accept | Verdict::Continue | Verdict::Discard => Reply::ok(),
        Verdict::Reject(reply) if reply.is_negative() => reply,
        Verdict::Reject(_) => refused(),
        // 421 is the reply that ends a session.
        Verdict::Disconnect(reply) => Reply {
            code: 421,
            enhanced: reply
                .enhanced
                .map(|enhanced| EnhancedCode {
                    class: 4,
                    ..enhanced
                })
                .or(Some((4, 7, 0).into())),
            text: reply.text,
        },
    }
}

/// A recipient that was not taken.
pub(crate) fn recipient(refused: Refused) -> Reply {
    match refused {
        Refused::NoSuchUser => standard::NO_SUCH_USER.into(),
        Refused::Disabled => Reply::new(550, (5, 2, 1), "this account takes no mail"),
        Refused::Relay => standard::RELAY_DENIED.into(),
        Refused::NoOutgoing => Reply::new(
            550,
            (5, 1, 2),
            "this server does not send mail to other hosts",
        ),
        Refused::BadDomain => Reply::new(553, (5, 1, 2), "there can be no host of this name"),
        Refused::OverQuota(failure) => over_quota(failure),
        Refused::TooLarge => above_limit(),
        Refused::AliasTooLarge => {
            Reply::new(452, (4, 5, 3), "this address leads to too many others")
        }
        Refused::Failed => standard::LOCAL_ERROR.into(),
    }
}

/// The end of a message. Whoever gets a 250 may rely on it.
pub(crate) fn outcome(outcome: &Outcome, id: &str) -> Reply {
    match outcome {
        Outcome::Delivered | Outcome::Queued | Outcome::Discarded => taken(id),
        Outcome::Rejected(reply) if reply.is_negative() => reply.clone(),
        Outcome::Rejected(_) => refused(),
        Outcome::Deferred => Reply::new(451, (4, 7, 1), "not now, try again later"),
        Outcome::OverQuota(failure) => over_quota(*failure),
        Outcome::AboveLimit => above_limit(),
        Outcome::Full => Reply::new(452, (4, 3, 1), "no space left, try again later"),
        Outcome::TooLarge => Reply::new(552, (5, 3, 4), "the message is too large for the store"),
        Outcome::Failed => standard::LOCAL_ERROR.into(),
    }
}

/// A message that we answer for from now on.
pub(super) fn taken(id: &str) -> Reply {
    Reply::new(250, (2, 0, 0), format!("message {id} is safe"))
}

/// The sender is not one of the account's own addresses (RFC 6409 §6.1).
pub(super) fn not_yours() -> Reply {
    Reply::new(553, (5, 7, 1), "this address is not yours to send from")
}

/// The budget for messages on their way in is used up.
pub(super) fn starved() -> Reply {
    Reply::new(
        452,
        (4, 3, 1),
        "too many messages at the same time, try again later",
    )
}

/// RFC 5321 §6.3
pub(super) fn looping() -> Reply {
    Reply::new(554, (5, 4, 6), "too many hops: this message is looping")
}

/// RFC 3463 §3.3: X.2.2 is a full mailbox.
fn over_quota(failure: Failure) -> Reply {
    match failure {
        Failure::Transient => Reply::new(452, (4, 2, 2), "the mailbox is full"),
        Failure::Permanent => Reply::new(552, (5, 2, 2), "the mailbox is full"),
    }
}

/// RFC 3463 §3.3: X.2.3 is a message that is too long for a mailbox.
fn above_limit() -> Reply {
    Reply::new(
        552,
        (5, 2, 3),
        "the message is larger than this account may get",
    )
}

fn refused() -> Reply {
    Reply::new(550, (5, 7, 1), "refused")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_agree_with_their_enhanced_codes() {
        let filter = || Reply::new(550, (5, 7, 1), "no");
        let mut replies = vec![not_yours(), starved(), looping(), taken("x")];
        replies.extend(
            [
                Verdict::Accept,
                Verdict::Continue,
                Verdict::Discard,
                Verdict::Disconnect(filter()),
                Verdict::Disconnect(Reply::plain(554, "no")),
                Verdict::Reject(filter()),
                Verdict::Reject(Reply::ok()),
            ]
            .map(verdict),
        );
        replies.extend(
            [
                Refused::NoSuchUser,
                Refused::Disabled,
                Refused::Relay,
                Refused::NoOutgoing,
                Refused::BadDomain,
                Refused::OverQuota(Failure::Transient),
                Refused::OverQuota(Failure::Permanent),
                Refused::TooLarge,
                Refused::AliasTooLarge,
                Refused::Failed,
            ]
            .map(recipient),
        );
        replies.extend(
            [
                Outcome::Delivered,
                Outcome::Queued,
                Outcome::Discarded,
                Outcome::Rejected(filter()),
                Outcome::Rejected(Reply::ok()),
                Outcome::Deferred,
                Outcome::OverQuota(Failure::Transient),
                Outcome::OverQuota(Failure::Permanent),
                Outcome::AboveLimit,
                Outcome::Full,
                Outcome::TooLarge,
                Outcome::Failed,
            ]
            .map(|of| outcome(&of, "x")),
        );
        for reply in replies {
            let class = reply.enhanced.map(|enhanced| u16::from(enhanced.class));
            assert_eq!(class, Some(reply.code / 100), "{reply}");
            assert!(matches!(reply.code / 100, 2 | 4 | 5), "{reply}");
        }
    }

    #[test]
    fn a_failure_is_never_a_yes() {
        for of in [
            Outcome::Rejected(Reply::ok()),
            Outcome::Deferred,
            Outcome::OverQuota(Failure::Transient),
            Outcome::OverQuota(Failure::Permanent),
            Outcome::AboveLimit,
            Outcome::Full,
            Outcome::TooLarge,
            Outcome::Failed,
        ] {
            assert!(!of.is_taken() && outcome(&of, "x").is_negative(), "{of:?}");
        }
        assert!(verdict(Verdict::Reject(Reply::ok())).is_negative());
    }
}
