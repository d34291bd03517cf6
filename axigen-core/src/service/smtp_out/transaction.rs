//! One message over a connection, and what was said about each recipient.

use axigen_proto::seven_bit::{self, Plan, Survey, Writer};
use axigen_proto::smtp::address::{ForwardPath, Mailbox, ReversePath};
use axigen_proto::smtp::client::{Envelope, Event, Failure, Refusal};
use axigen_proto::smtp::command::{BodyType, Rcpt};
use axigen_proto::smtp::deliver_by::{ByMode, DeliverBy};
use axigen_proto::smtp::dsn::{EnvelopeId, Notify, OriginalRecipient, Ret};
use axigen_proto::smtp::priority::Priority;
use axigen_proto::smtp::reply::{EnhancedCode, Reply};
use bytes::Bytes;
use jiff::Timestamp;

use super::connect::Link;
use crate::queue::entry::{Body, By, Entry, Said};
use crate::queue::{self, Queue};

/// A message is read and handed over in pieces of this many bytes.
const PIECE: u64 = 256 * 1024;

/// Where the bytes of a message come from.
#[derive(Debug)]
pub(super) enum Source<'s> {
    /// They are at hand.
    Whole(Bytes),
    /// They are read as they are sent.
    Stored(&'s Queue),
}

impl Source<'_> {
    fn size(&self, entry: &Entry) -> u64 {
        match self {
            Source::Whole(raw) => raw.len() as u64,
            Source::Stored(_) => entry.size(),
        }
    }

    async fn piece(&self, entry: &Entry, from: u64, to: u64) -> queue::Result<Bytes> {
        match self {
            Source::Whole(raw) => Ok(raw.slice(from as usize..to as usize)),
            Source::Stored(queue) => queue.piece(entry, from..to).await,
        }
    }
}

/// What was said about a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The host answers for it now.
    Taken(Said),
    /// Not now.
    NotNow(Said),
    /// Never.
    Never(Said),
}

/// How a transaction ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// What was said about each recipient, in their order; and whether the host
    /// heard which notices are wanted, and will send them.
    Answered(Vec<Answer>, bool),
    /// The host takes no more recipients than this at a time, and heard of none.
    TooMany(usize),
    /// The connection was of no use any more before the host said anything about
    /// this message: another one may be.
    Unheard(String),
    /// The connection broke in the middle: nothing is known.
    Broken(String),
    /// The message could not be read to its end, and the host was not told that
    /// it has one; whether there is any hope for it.
    Unread(String, bool),
}

/// Sends a message.
pub(super) async fn send(
    link: &mut Link,
    entry: &Entry,
    source: &Source<'_>,
    now: Timestamp,
) -> Ended {
    // A server that takes no bytes beyond ASCII gets the message without them.
    let eight = entry.body == Body::Eight && !entry.utf8;
    let mut plan = None;
    if eight && !link.conn.session().capabilities().eight_bit_mime {
        match survey(entry, source).await {
            Ok(found) => plan = Some(found),
            Err(ended) => return ended,
        }
    }
    let mut envelope = match envelope(entry, source.size(entry), !link.local, now) {
        Ok(envelope) => envelope,
        Err(said) => return all(entry, &Answer::Never(said)),
    };
    if plan.is_some() {
        envelope.body = Some(BodyType::SevenBit);
        // How long it becomes is seen when it is written.
        envelope.size = None;
    }
    if link.conn.session().send(envelope).is_err() {
        return Ended::Unheard("the connection is not ready for a message".into());
    }
    let mut answers: Vec<Option<Answer>> = vec![None; entry.recipients.len()];
    let mut heard = false;
    loop {
        let event = match link.conn.next().await {
            Ok(Some(event)) => event,
            Ok(None) => return broken(heard, "the host closed the connection".into()),
            Err(error) => return broken(heard, error.to_string()),
        };
        match event {
            Event::Ready(_) | Event::Answer(_) => {}
            Event::Rcpt { index, reply } => {
                heard = true;
                if !reply.is_positive()
                    && let Some(slot) = answers.get_mut(index)
                {
                    *slot = Some(of_recipient(&reply));
                }
            }
            Event::WantBody => {
                heard = true;
                if let Err(ended) = body(link, entry, source, plan.take()).await {
                    return ended;
                }
            }
            Event::Sent { replies, omitted } => {
                link.sent += 1;
                for delivery in replies {
                    if let Some(slot) = answers.get_mut(delivery.recipient) {
                        *slot = Some(of(&delivery.reply));
                    }
                }
                let unsaid = || Answer::NotNow(ours((4, 4, 2), "the host said nothing"));
                let answers = answers.into_iter();
                let answers = answers.map(|said| said.unwrap_or_else(unsaid)).collect();
                return Ended::Answered(answers, !omitted.dsn);
            }
            Event::Refused { refusal, .. } => {
                match refusal {
                    // RFC 9422 §4.2, §4.3
                    Refusal::TooManyRecipients(most) | Refusal::TooManyDomains(most)
                        if entry.recipients.len() > 1 =>
                    {
                        let most = usize::try_from(most).unwrap_or(usize::MAX);
                        return Ended::TooMany(most.clamp(1, entry.recipients.len() - 1));
                    }
                    // RFC 9422 §4.1
                    Refusal::TooManyTransactions(_) => {
                        return Ended::Unheard(refusal.to_string());
                    }
                    _ => {}
                }
                link.sent += 1;
                let for_all = refused(&refusal);
                let answers = answers.into_iter();
                let answers = answers.map(|said| said.unwrap_or_else(|| for_all.clone()));
                return Ended::Answered(answers.collect(), false);
            }
            Event::Failed(failure) => {
                return match failure {
                    Failure::Closing(_) | Failure::PeerGone if !heard => {
                        Ended::Unheard(failure.to_string())
                    }
                    _ => Ended::Broken(failure.to_string()),
                };
            }
        }
    }
}

/// The message, as it is, or without bytes beyond ASCII if there is a plan for it.
async fn body(
    link: &mut Link,
    entry: &Entry,
    source: &Source<'_>,
    plan: Option<Plan>,
) -> Result<(), Ended> {
    let bug = |misuse: axigen_proto::Misuse| Ended::Broken(misuse.to_string());
    let changed = |error: seven_bit::Error| Ended::Unread(error.to_string(), false);
    let mut writer = plan.map(Writer::new);
    let mut pieces = Pieces::of(entry, source);
    while let Some(piece) = pieces.next().await? {
        let piece = match &mut writer {
            None => piece,
            Some(writer) => writer.push(&piece).map_err(changed)?.into(),
        };
        link.conn.session().body(piece).map_err(bug)?;
        // An answer before the end (a refusal) is read by the next event.
        if let Err(error) = link.conn.flush().await {
            return Err(Ended::Broken(error.to_string()));
        }
    }
    if let Some(writer) = writer {
        let rest = writer.finish().map_err(changed)?;
        link.conn.session().body(rest.into()).map_err(bug)?;
    }
    link.conn.session().finish().map_err(bug)
}

/// A message, piece by piece.
struct Pieces<'p> {
    entry: &'p Entry,
    source: &'p Source<'p>,
    at: u64,
}

impl<'p> Pieces<'p> {
    fn of(entry: &'p Entry, source: &'p Source<'p>) -> Pieces<'p> {
        Pieces {
            entry,
            source,
            at: 0,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Ended> {
        let size = self.source.size(self.entry);
        if self.at >= size {
            return Ok(None);
        }
        let end = size.min(self.at + PIECE);
        let wanted = end - self.at;
        let piece = match self.source.piece(self.entry, self.at, end).await {
            Ok(piece) if piece.len() as u64 == wanted => piece,
            Ok(_) => return Err(Ended::Unread("it is shorter than it was".into(), false)),
            Err(error) => return Err(Ended::Unread(error.to_string(), !error.is_damage())),
        };
        self.at = end;
        Ok(Some(piece))
    }
}

/// How a message is written for a server without 8BITMIME
/// ([RFC 6152 §3](https://www.rfc-editor.org/rfc/rfc6152#section-3)); if it cannot be,
/// it comes back.
async fn survey(entry: &Entry, source: &Source<'_>) -> Result<Plan, Ended> {
    let cannot = |error: seven_bit::Error| {
        let why = format!(
            "the server takes no 8-bit message, and this cannot be made one of 7 bits: {error}"
        );
        all(entry, &Answer::Never(ours((5, 6, 3), &why)))
    };
    let mut survey = Survey::default();
    let mut pieces = Pieces::of(entry, source);
    while let Some(piece) = pieces.next().await? {
        survey.push(&piece).map_err(cannot)?;
    }
    survey.finish().map_err(cannot)
}

/// What of the time is left (RFC 2852 §4.1.4).
fn left(by: By, now: Timestamp) -> Option<DeliverBy> {
    let seconds = by.at.as_second().saturating_sub(now.as_second());
    let most = 999_999_999;
    let seconds = i32::try_from(seconds.clamp(-most, most)).ok()?;
    let mode = match by.returns {
        true => ByMode::Return,
        false => ByMode::Notify,
    };
    DeliverBy::new(seconds, mode, by.trace).ok()
}

fn envelope(entry: &Entry, size: u64, remote: bool, now: Timestamp) -> Result<Envelope, Said> {
    let bad = |address: &str| {
        ours(
            (5, 1, 3),
            &format!("{address:?} cannot be written as an address"),
        )
    };
    let from = match entry.sender.as_str() {
        "" => ReversePath::Null,
        sender => {
            let mailbox: Mailbox = sender.parse().map_err(|_| {
                ours(
                    (5, 1, 7),
                    &format!("{sender:?} cannot be written as an address"),
                )
            })?;
            ReversePath::Mailbox(mailbox)
        }
    };
    let to = entry
        .recipients
        .iter()
        .map(|recipient| -> Result<Rcpt, Said> {
            let mailbox: Mailbox = recipient
                .address
                .parse()
                .map_err(|_| bad(&recipient.address))?;
            let mut rcpt = Rcpt::new(ForwardPath::Mailbox(mailbox));
            rcpt.notify = recipient.notify.map(|notify| Notify {
                success: notify.success,
                failure: notify.failure,
                delay: notify.delay,
            });
            let original = recipient
                .original
                .as_ref()
                .and_then(|text| text.split_once(';'));
            rcpt.orcpt = original.and_then(|(kind, text)| OriginalRecipient::new(kind, text).ok());
            Ok(rcpt)
        });
    let mut envelope = Envelope::new(from, to.collect::<Result<Vec<_>, _>>()?);
    envelope.ret = entry.notices.full.map(|full| match full {
        true => Ret::Full,
        false => Ret::Headers,
    });
    let id = entry.notices.envelope_id.as_deref();
    envelope.envid = id.and_then(|id| EnvelopeId::new(id).ok());
    envelope.require_tls = entry.require_tls && remote;
    envelope.priority = Some(entry.priority)
        .filter(|&priority| priority != 0)
        .and_then(|priority| Priority::new(priority).ok());
    envelope.by = entry.by.and_then(|by| left(by, now));
    envelope.size = Some(size);
    envelope.body = Some(match entry.body {
        Body::Seven => BodyType::SevenBit,
        Body::Eight => BodyType::EightBitMime,
        Body::Binary => BodyType::BinaryMime,
    });
    envelope.smtputf8 = entry.utf8;
    Ok(envelope)
}

/// What we say ourselves.
pub(super) fn ours(status: (u8, u16, u16), words: &str) -> Said {
    Said {
        status: status.into(),
        words: words.to_owned(),
        remote: false,
    }
}

fn all(entry: &Entry, answer: &Answer) -> Ended {
    Ended::Answered(vec![answer.clone(); entry.recipients.len()], false)
}

fn broken(heard: bool, why: String) -> Ended {
    match heard {
        true => Ended::Broken(why),
        false => Ended::Unheard(why),
    }
}

fn said(reply: &Reply) -> Said {
    // RFC 3464 §2.3.4 wants a status from those who say none too.
    let class = u8::try_from(reply.code / 100).unwrap_or(5);
    let plain = EnhancedCode {
        class,
        subject: 0,
        detail: 0,
    };
    Said {
        status: reply.enhanced.unwrap_or(plain),
        words: reply.to_string(),
        remote: true,
    }
}

pub(super) fn of(reply: &Reply) -> Answer {
    let said = said(reply);
    match reply.code / 100 {
        2 => Answer::Taken(said),
        5 => Answer::Never(said),
        _ => Answer::NotNow(said),
    }
}

/// RFC 5321 §4.5.3.1.10: 552 to RCPT means too many of them, which is no
/// matter of this recipient.
fn of_recipient(reply: &Reply) -> Answer {
    match (reply.code, reply.enhanced) {
        (552, None) => Answer::NotNow(Said {
            status: (4, 5, 3).into(),
            ..said(reply)
        }),
        _ => of(reply),
    }
}

fn refused(refusal: &Refusal) -> Answer {
    match refusal {
        Refusal::Reply(reply) => of(reply),
        // RFC 6531 §3.6: without SMTPUTF8 there is no way for it.
        Refusal::NeedsSmtpUtf8 => Answer::Never(ours((5, 6, 7), &refusal.to_string())),
        Refusal::NeedsBodyType(_) => Answer::Never(ours((5, 6, 3), &refusal.to_string())),
        Refusal::TooLarge(_) => Answer::Never(ours((5, 3, 4), &refusal.to_string())),
        // RFC 8689 §4.2.1: another try finds the same host as it is.
        Refusal::NeedsRequireTls { tls: false } => {
            Answer::Never(ours((5, 7, 10), &refusal.to_string()))
        }
        Refusal::NeedsRequireTls { tls: true } => {
            Answer::Never(ours((5, 7, 30), &refusal.to_string()))
        }
        // RFC 2852 §4.1.4.1: it would not be there in time.
        Refusal::NeedsDeliverBy | Refusal::DeliverByTooSoon(_) => {
            Answer::Never(ours((5, 4, 7), &refusal.to_string()))
        }
        _ => Answer::Never(ours((5, 5, 0), &refusal.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_by_their_codes() {
        let reply = |code, enhanced| Reply {
            code,
            enhanced,
            text: "x".into(),
        };
        assert!(matches!(of(&reply(250, None)), Answer::Taken(_)));
        assert!(matches!(of(&reply(452, None)), Answer::NotNow(_)));
        assert!(matches!(of(&reply(552, None)), Answer::Never(_)));
        assert!(matches!(of_recipient(&reply(552, None)), Answer::NotNow(_)));
        let full = reply(552, Some((5, 2, 2).into()));
        assert!(matches!(of_recipient(&full), Answer::Never(_)));
        let Answer::Never(said) = of(&reply(550, None)) else {
            panic!();
        };
        assert_eq!(said.status.to_string(), "5.0.0");
        assert_eq!(said.words, "550 x");
    }
}
