//! One message: its bytes as they come, and what happens at its end.

use std::net::IpAddr;

use axigen_proto::smtp::command::{BodyType, Mail};
use axigen_proto::smtp::deliver_by::ByMode;
use axigen_proto::smtp::dsn::Ret;
use axigen_proto::smtp::future_release::Hold;
use axigen_proto::smtp::reply::Reply;
use axigen_proto::smtp::server::Role;
use axigen_proto::smtp::standard;
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;

use super::replies;
use super::talk::Talk;
use crate::delivery::headers::{Trace, received_count, submitted};
use crate::delivery::track::{Step, Track};
use crate::delivery::{Accepted, Answers, Envelope, Outcome};
use crate::filter::{Message, Transaction, Verdict};
use crate::queue::entry::{By, Notices};
use crate::service::{InFlight, Share};

/// Of what the client declares, this much room is made before it comes.
const DECLARED_ROOM: u64 = 64 * 1024;
/// Recipients that are named in the log; beyond it they are counted.
const LOGGED_RECIPIENTS: usize = 20;

/// When a message is to go on, counted from MAIL.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    /// Not before (RFC 4865).
    pub(super) not_before: Option<Timestamp>,
    /// To be there by then (RFC 2852).
    pub(super) by: Option<By>,
}

impl Times {
    pub(super) fn of(mail: &Mail, now: Timestamp) -> Times {
        let at = |seconds: i64| Timestamp::from_second(seconds).ok();
        let after = |seconds: i64| at(now.as_second().saturating_add(seconds));
        Times {
            not_before: mail.hold.and_then(|hold| match hold {
                Hold::For(interval) => after(interval.seconds().into()),
                Hold::Until(moment) => at(moment.unix()),
            }),
            by: mail.by.and_then(|by| {
                Some(By {
                    at: after(by.seconds().into())?,
                    returns: by.mode() == ByMode::Return,
                    trace: by.trace(),
                })
            }),
        }
    }
}

/// A transaction that is open.
pub(super) struct Incoming {
    pub(super) tx: Transaction,
    pub(super) accepted: Vec<Accepted>,
    /// A filter wants it thrown away.
    pub(super) discard: bool,
    mail: Mail,
    times: Times,
    /// The trace headers, then the message as it came: in most cases these
    /// bytes are what is stored, without another copy.
    bytes: BytesMut,
    trace: usize,
    /// Of these, what stays here when the message travels on: `Return-Path`.
    own: usize,
    share: Share,
    /// The budget for messages on their way in was used up.
    starved: bool,
}

impl Incoming {
    pub(super) fn new(
        tx: Transaction,
        mail: Mail,
        times: Times,
        discard: bool,
        share: Share,
    ) -> Incoming {
        Incoming {
            tx,
            accepted: Vec::new(),
            discard,
            mail,
            times,
            bytes: BytesMut::new(),
            trace: 0,
            own: 0,
            share,
            starved: false,
        }
    }

    /// How many accounts the recipients lead to.
    pub(super) fn accounts(&self) -> usize {
        self.accepted.iter().map(Accepted::accounts).sum()
    }

    /// The message is about to come.
    pub(super) fn begin(&mut self, trace: &str) {
        let declared = self.tx.declared_size.unwrap_or(0).min(DECLARED_ROOM);
        let room = usize::try_from(declared).unwrap_or(0);
        self.bytes = BytesMut::with_capacity(trace.len() + room);
        self.bytes.extend_from_slice(trace.as_bytes());
        self.trace = trace.len();
        self.own = trace.find("\r\n").map_or(0, |end| end + 2);
    }

    /// A piece of the message. Beyond the budget all of it is dropped.
    pub(super) fn push(&mut self, in_flight: &InFlight, piece: &Bytes) {
        if self.starved {
            return;
        }
        if in_flight.grow(&mut self.share, piece.len() as u64) {
            self.bytes.extend_from_slice(piece);
        } else {
            self.starved = true;
            self.bytes = BytesMut::new();
        }
    }
}

impl Talk<'_> {
    /// One reply; in LMTP one for each recipient.
    pub(super) async fn end_of_message(&self, mut incoming: Incoming) -> Vec<Reply> {
        let size = incoming.bytes.len().saturating_sub(incoming.trace);
        let decided = self.decide(&mut incoming).await;
        let id = &incoming.tx.id;
        let replies = match (&decided, self.role) {
            (Err(reply), Role::Lmtp) => vec![reply.clone(); incoming.accepted.len()],
            (Err(reply), Role::Mx | Role::Submission) => vec![reply.clone()],
            (Ok(outcomes), Role::Lmtp) => outcomes
                .iter()
                .map(|outcome| replies::outcome(outcome, id))
                .collect(),
            // All or nothing: the first that was not taken speaks for all.
            (Ok(outcomes), Role::Mx | Role::Submission) => {
                let failed = outcomes.iter().find(|outcome| !outcome.is_taken());
                vec![failed.map_or_else(
                    || replies::taken(id),
                    |outcome| replies::outcome(outcome, id),
                )]
            }
        };
        self.track(&incoming, &decided, &replies);
        let mut answers: Vec<String> = replies.iter().map(Reply::to_string).collect();
        answers.dedup();
        let recipients = incoming.accepted.iter().take(LOGGED_RECIPIENTS);
        tracing::info!(
            id,
            sender = incoming.tx.sender,
            recipients = ?recipients.map(|to| &to.address).collect::<Vec<_>>(),
            count = incoming.accepted.len(),
            size,
            user = incoming.tx.connection.authenticated,
            discarded = incoming.discard,
            answer = answers.join(" / "),
            "message"
        );
        replies
    }

    /// A line for each recipient. In SMTP all of them are told the same.
    fn track(&self, incoming: &Incoming, decided: &Result<Vec<Outcome>, Reply>, replies: &[Reply]) {
        let spoken: Vec<String> = replies.iter().map(Reply::to_string).collect();
        let taken = replies.iter().all(Reply::is_positive);
        for (at, to) in incoming.accepted.iter().enumerate() {
            let outcome = decided.as_ref().ok().and_then(|outcomes| outcomes.get(at));
            let step = match outcome {
                _ if self.role != Role::Lmtp && !taken => Step::Refused,
                Some(Outcome::Delivered) => Step::Delivered,
                Some(Outcome::Queued) => Step::Queued,
                Some(Outcome::Discarded) => Step::Discarded,
                _ => Step::Refused,
            };
            let track = Track {
                id: &incoming.tx.id,
                entry: None,
                sender: &incoming.tx.sender,
                recipient: &to.address,
                host: None,
                tls: None,
                why: spoken.get(at).or(spoken.last()).map_or("", String::as_str),
            };
            track.step(step);
        }
    }

    /// What becomes of the message for each recipient, or for all.
    async fn decide(&self, incoming: &mut Incoming) -> Result<Vec<Outcome>, Reply> {
        if incoming.starved {
            return Err(replies::starved());
        }
        let whole = std::mem::take(&mut incoming.bytes).freeze();
        let came = whole.slice(incoming.trace..);
        if self.too_large(came.len() as u64) {
            return Err(standard::MESSAGE_TOO_LARGE.into());
        }
        if received_count(&came) > self.max_received {
            return Err(replies::looping());
        }
        let raw = match self.role {
            Role::Submission => {
                let now = jiff::Timestamp::now();
                submitted(came.clone(), &incoming.tx.id, self.hostname, now)
            }
            Role::Mx | Role::Lmtp => came.clone(),
        };
        let mut message = Message::new(raw);
        let filters = &self.context.filters;
        let verdict = filters.end_of_message(&mut incoming.tx, &mut message).await;
        incoming.discard |= verdict == Verdict::Discard;
        let reply = replies::verdict(verdict);
        if !reply.is_positive() {
            return Err(reply);
        }
        if incoming.discard {
            return Ok(vec![Outcome::Discarded; incoming.accepted.len()]);
        }
        let raw = message.raw();
        let unchanged = raw.len() == came.len() && raw.as_ptr() == came.as_ptr();
        let raw = if unchanged {
            whole
        } else {
            let trace = whole.get(..incoming.trace).unwrap_or_default();
            [trace, raw].concat().into()
        };
        let answers = match self.role {
            Role::Mx | Role::Submission => Answers::One,
            Role::Lmtp => Answers::Each,
        };
        let delivery = &self.context.delivery;
        let envelope = self.envelope(incoming);
        // So that what comes at the same time does not fit into the same room.
        let _turn = match incoming.times.not_before {
            Some(_) => Some(self.may_hold(came.len() as u64).await?),
            None => None,
        };
        Ok(delivery
            .deliver(raw, &envelope, &incoming.accepted, answers)
            .await)
    }

    /// What travels with the message.
    fn envelope(&self, incoming: &Incoming) -> Envelope {
        Envelope {
            own: incoming.own,
            binary: incoming.mail.body == Some(BodyType::BinaryMime),
            utf8: incoming.mail.smtputf8,
            notices: Notices {
                envelope_id: incoming
                    .mail
                    .envid
                    .as_ref()
                    .map(|id| id.as_str().to_owned()),
                full: incoming.mail.ret.map(|ret| ret == Ret::Full),
            },
            require_tls: incoming.mail.require_tls,
            priority: self.priority(&incoming.mail),
            not_before: incoming.times.not_before,
            holder: self.login.as_ref().map(|login| login.account.id),
            by: incoming.times.by,
            sent_copy: self.sent_copy.and_then(|quota| {
                let login = self.login.as_ref();
                login.map(|login| (login.account.id, quota))
            }),
            user: incoming.tx.connection.authenticated.clone(),
            ..Envelope::new(incoming.tx.id.clone(), incoming.tx.sender.clone())
        }
    }

    /// RFC 6710 §4.1: who is not known may not push ahead.
    fn priority(&self, mail: &Mail) -> i8 {
        let most = if self.login.is_some() { i8::MAX } else { 0 };
        mail.priority.map_or(0, |priority| priority.get().min(most))
    }

    /// The trace headers, once all recipients are known.
    pub(super) fn trace(&self, incoming: &Incoming) -> String {
        let peer = match self.connection.peer.to_canonical() {
            IpAddr::V4(v4) => v4.to_string(),
            // RFC 5321 §4.1.3
            IpAddr::V6(v6) => format!("IPv6:{v6}"),
        };
        let tls = self.connection.tls.as_ref();
        let trace = Trace {
            helo: self.connection.helo.as_deref().unwrap_or("unknown"),
            peer: &peer,
            hostname: self.hostname,
            id: &incoming.tx.id,
            lmtp: self.role == Role::Lmtp,
            extended: self.extended,
            tls: tls.map(|tls| (tls.version.as_str(), tls.cipher.as_str())),
            authenticated: self.login.is_some(),
            utf8: incoming.mail.smtputf8,
            recipient: match incoming.accepted.as_slice() {
                [only] => Some(&only.address),
                _ => None,
            },
        };
        trace.headers(&incoming.tx.sender, jiff::Timestamp::now())
    }
}

/// An id for a message: time and randomness, short enough for a log line.
pub(crate) fn message_id() -> String {
    let random: [u8; 5] = crate::directory::random().unwrap_or_default();
    let micros = jiff::Timestamp::now().as_microsecond();
    let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{micros:x}{random}")
}
