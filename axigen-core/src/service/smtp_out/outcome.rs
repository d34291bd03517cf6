//! What becomes of an entry after a try, and what its sender is told.

use std::time::Duration;

use axigen_proto::smtp::reply::{EnhancedCode, Reply};
use bytes::Bytes;
use jiff::Timestamp;

use super::SmtpOut;
use super::transaction::{Answer, ours};
use crate::delivery::Conclusion;
use crate::delivery::track::{Step, Track};
use crate::queue::entry::{Action, Attempt, Entry, EntryId, Fate, Notify, Recipient, Said};
use crate::queue::schedule::later;
use crate::queue::{self, Settled, Trouble};

/// What a sender hears of a message that is damaged.
const DAMAGED: &str = "the message was damaged on this server and has to be sent again";

/// How a try ended.
#[derive(Debug)]
pub(super) enum Tried {
    /// A host answered for each recipient.
    Answered(Host, Vec<Answer>),
    /// The connection broke in the middle.
    Broken(String, String),
    /// No host of the lane can be reached.
    Unreached(Trouble),
    /// No host of the lane is fit for the message, now: its TLS is not what is
    /// asked for.
    Unfit(Option<String>, EnhancedCode, String),
    /// There is no host, and there will be none.
    NoHost(Option<String>, EnhancedCode, String),
    /// The message itself cannot be read any more.
    Damaged,
    /// A filter sends it back.
    Refused(Reply),
    /// A filter throws it away.
    Discarded,
    /// This server wants it later, and why.
    Deferred(Duration, &'static str),
    /// There is nothing to send, only something to tell.
    Told,
}

/// A host that answered.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    /// It put the message into mailboxes itself (RFC 2033 §4.2).
    pub(super) lmtp: bool,
    /// It knows which notices are wanted, and sends them (RFC 3461 §5.2.1).
    pub(super) notifies: bool,
    /// How the way to it was protected, for the log.
    pub(super) tls: String,
}

/// What is known of each recipient, put together.
struct Verdicts {
    fates: Vec<Fate>,
    left: Vec<Recipient>,
}

impl SmtpOut {
    /// Settles an entry after a try; says when it is due again, if it is.
    pub(super) async fn settle(
        &self,
        id: EntryId,
        entry: &Entry,
        row: &Bytes,
        tried: Tried,
    ) -> queue::Result<Option<Timestamp>> {
        let now = self.queue.clock().now();
        let schedule = self.routes.schedule();
        let attempts = entry.attempts.saturating_add(1);
        let mut wait = schedule.wait(attempts, queue::salt(&id.message.to_be_bytes()));
        let mut with_lane = false;
        if let Tried::Deferred(by, _) = &tried {
            wait = *by;
        }
        let last = attempt(&tried, now);
        if let Tried::Unreached(_) = &tried {
            with_lane = true;
        }
        let tls = match &tried {
            Tried::Answered(host, _) => Some(host.tls.clone()),
            _ => None,
        };
        let mut verdicts = verdicts(entry, tried);
        for fate in &verdicts.fates {
            let track = Track {
                host: fate.host.as_deref(),
                tls: tls.as_deref(),
                ..track(entry, id, &fate.recipient, &fate.said.words)
            };
            track.step(fate.action.into());
        }
        let expired = now >= entry.expires;
        if expired {
            verdicts.expire();
        }
        for recipient in &verdicts.left {
            let why = recipient
                .last
                .as_ref()
                .map_or("", |said| said.words.as_str());
            track(entry, id, recipient, why).step(Step::Deferred);
        }
        let mut tell = entry.tell;
        if !verdicts.left.is_empty() && tell.is_some_and(|tell| tell <= now) {
            tell = None;
            verdicts.delay();
        }
        let settled = match verdicts.left.is_empty() {
            true => Settled::Gone,
            false => Settled::Waits(Box::new(Entry {
                recipients: verdicts.left,
                attempts,
                last,
                tell,
                // With its lane it comes back when that moves; it is parked until then.
                due: match with_lane {
                    true => now,
                    false => later(now, wait).min(entry.expires.max(now)),
                },
                owed: Vec::new(),
                ..entry.clone()
            })),
        };
        let told = entry_as_tried(entry, &settled, now);
        loop {
            let conclusion = Conclusion {
                id,
                entry: &told,
                row,
                fates: verdicts.fates.clone(),
                settled: settled.clone(),
            };
            match self.delivery.conclude(conclusion).await {
                Ok(due) => return Ok(due),
                // Somebody else changed it: what they did stands.
                Err(error) if error.is_conflict() => return Err(error),
                // What a host has answered is not asked again while it can be kept
                // here: to send once more would be a second copy.
                Err(error) => {
                    tracing::error!(entry = %id, %error, "an entry of the queue could not be settled");
                    tokio::time::sleep(super::STORE_PAUSE).await;
                }
            }
        }
    }

    /// An entry whose lane rests, and whose sender must be told something.
    pub(super) async fn overdue(&self, id: EntryId) {
        let done = match self.queue.read(id).await {
            Ok((entry, row)) => {
                let trouble = self.dispatcher.trouble(&entry.lane);
                let trouble = trouble.unwrap_or_else(|| Trouble {
                    host: None,
                    what: "it was not tried yet".into(),
                });
                self.settle(id, &entry, &row, Tried::Unreached(trouble))
                    .await
            }
            Err(queue::Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        };
        match done {
            Ok(due) => self.dispatcher.settled(id, due),
            Err(error) => {
                tracing::error!(entry = %id, %error, "an entry of the queue could not be settled");
                self.dispatcher.unsettled(id);
            }
        }
    }

    /// An entry with more recipients than a host takes at a time.
    pub(super) async fn part(
        &self,
        id: EntryId,
        entry: &Entry,
        row: &Bytes,
        most: usize,
    ) -> queue::Result<Option<Timestamp>> {
        let now = self.queue.clock().now();
        let mut parts = entry.recipients.chunks(most.max(1)).map(|some| Entry {
            recipients: some.to_vec(),
            due: now,
            ..entry.clone()
        });
        if let Some(first) = parts.next() {
            let others = parts.collect();
            self.queue.divide(id, entry, row, first, others).await?;
        }
        Ok(Some(now))
    }

    /// An entry whose recipients go other ways than when it came: the routes
    /// were changed.
    pub(super) async fn detour(
        &self,
        id: EntryId,
        entry: &Entry,
        row: &Bytes,
    ) -> queue::Result<Option<Timestamp>> {
        let now = self.queue.clock().now();
        let mut lanes: Vec<(String, Vec<Recipient>)> = Vec::new();
        let mut nowhere = Vec::new();
        for recipient in &entry.recipients {
            let domain = recipient.address.rsplit_once('@').map(|(_, domain)| domain);
            match self.routes.lane(domain.unwrap_or_default()) {
                Ok(lane) => match lanes.iter_mut().find(|(known, _)| *known == lane) {
                    Some((_, recipients)) => recipients.push(recipient.clone()),
                    None => lanes.push((lane, vec![recipient.clone()])),
                },
                Err(_) => nowhere.push(recipient.clone()),
            }
        }
        let mut parts = lanes.into_iter().map(|(lane, recipients)| Entry {
            lane,
            recipients,
            due: now,
            ..entry.clone()
        });
        let Some(first) = parts.next() else {
            let why = "there can be no host of this name".to_owned();
            return self
                .settle(id, entry, row, Tried::NoHost(None, (5, 1, 2).into(), why))
                .await;
        };
        let mut first = first;
        // What goes nowhere is found out by the first of the parts.
        first.recipients.extend(nowhere);
        self.queue
            .divide(id, entry, row, first, parts.collect())
            .await?;
        Ok(Some(now))
    }
}

/// The entry as notices see it: with this try as the last one.
fn entry_as_tried(entry: &Entry, settled: &Settled, now: Timestamp) -> Entry {
    let last = match settled {
        Settled::Waits(new) => new.last.clone(),
        Settled::Gone => None,
    };
    let last = last.or_else(|| {
        Some(Attempt {
            at: now,
            host: None,
            what: String::new(),
        })
    });
    Entry {
        last,
        ..entry.clone()
    }
}

fn attempt(tried: &Tried, at: Timestamp) -> Option<Attempt> {
    let (host, what) = match tried {
        Tried::Answered(host, answers) => {
            let said = answers.iter().find_map(|answer| match answer {
                Answer::NotNow(said) => Some(said.words.clone()),
                Answer::Taken(_) | Answer::Never(_) => None,
            });
            (Some(host.name.clone()), said.unwrap_or_default())
        }
        Tried::Broken(host, why) => (Some(host.clone()), why.clone()),
        Tried::Unreached(trouble) => (trouble.host.clone(), trouble.what.clone()),
        Tried::NoHost(host, _, why) | Tried::Unfit(host, _, why) => (host.clone(), why.clone()),
        Tried::Damaged => (None, DAMAGED.into()),
        Tried::Refused(reply) => (None, reply.to_string()),
        Tried::Deferred(_, why) => (None, (*why).into()),
        Tried::Discarded | Tried::Told => return None,
    };
    Some(Attempt { at, host, what })
}

fn verdicts(entry: &Entry, tried: Tried) -> Verdicts {
    let mut verdicts = Verdicts {
        fates: Vec::new(),
        left: Vec::new(),
    };
    let recipients = entry.recipients.iter().cloned();
    match tried {
        Tried::Answered(host, answers) => {
            let taken = match host.lmtp {
                true => Action::Delivered,
                false => Action::Relayed,
            };
            for (mut recipient, answer) in recipients.zip(answers) {
                let (action, said) = match answer {
                    Answer::Taken(said) => {
                        if host.notifies
                            && let Some(notify) = &mut recipient.notify
                        {
                            notify.success = false;
                        }
                        trace(entry, &mut recipient, host.lmtp);
                        (taken, said)
                    }
                    Answer::Never(said) => (Action::Failed, said),
                    Answer::NotNow(said) => {
                        recipient.last = Some(said);
                        verdicts.left.push(recipient);
                        continue;
                    }
                };
                verdicts.fates.push(Fate {
                    recipient,
                    action,
                    said,
                    host: Some(host.name.clone()),
                });
            }
        }
        Tried::Broken(host, why) => {
            let said = ours((4, 4, 2), &format!("the connection to {host} broke: {why}"));
            verdicts.keep(recipients, &said);
        }
        Tried::Unreached(trouble) => {
            let said = ours((4, 4, 1), &trouble.what);
            verdicts.keep(recipients, &said);
        }
        Tried::Unfit(_, status, why) => {
            let said = Said {
                status,
                ..ours((4, 7, 0), &why)
            };
            verdicts.keep(recipients, &said);
        }
        Tried::Deferred(_, why) => verdicts.keep(recipients, &ours((4, 3, 0), why)),
        Tried::NoHost(host, status, why) => {
            let said = Said {
                status,
                ..ours((5, 0, 0), &why)
            };
            verdicts.fail(recipients, &said, host.as_deref());
        }
        // RFC 3463 §3.4: X.3.0 is a failure of the mail system.
        Tried::Damaged => verdicts.fail(recipients, &ours((5, 3, 0), DAMAGED), None),
        Tried::Refused(reply) => {
            let status = reply.enhanced.unwrap_or((5, 7, 1).into());
            let said = Said {
                status,
                ..ours((5, 7, 1), &reply.to_string())
            };
            verdicts.fail(recipients, &said, None);
        }
        Tried::Discarded | Tried::Told => {}
    }
    verdicts
}

/// RFC 2852 §4.1.4.3: who wants a trace is told of each relay, unless no notice at
/// all is wanted.
fn trace(entry: &Entry, recipient: &mut Recipient, lmtp: bool) {
    let traced = entry.by.is_some_and(|by| by.trace) && !lmtp;
    let never = recipient.notify == Some(Notify::default());
    if traced && !never {
        let notify = recipient.notify.get_or_insert(Notify {
            failure: true,
            ..Notify::default()
        });
        notify.success = true;
    }
}

impl Verdicts {
    fn keep(&mut self, recipients: impl Iterator<Item = Recipient>, said: &Said) {
        for mut recipient in recipients {
            recipient.last = Some(said.clone());
            self.left.push(recipient);
        }
    }

    fn fail(
        &mut self,
        recipients: impl Iterator<Item = Recipient>,
        said: &Said,
        host: Option<&str>,
    ) {
        for recipient in recipients {
            self.fates.push(Fate {
                recipient,
                action: Action::Failed,
                said: said.clone(),
                host: host.map(str::to_owned),
            });
        }
    }

    /// RFC 3463 §3.5: X.4.7 is a message that was tried for too long.
    fn expire(&mut self) {
        for recipient in std::mem::take(&mut self.left) {
            let words = recipient
                .last
                .as_ref()
                .map_or("", |said| said.words.as_str());
            let said = ours(
                (5, 4, 7),
                &format!("it was tried for too long; the last answer was: {words}"),
            );
            self.fates.push(Fate {
                recipient,
                action: Action::Failed,
                said,
                host: None,
            });
        }
    }

    fn delay(&mut self) {
        for recipient in &self.left {
            let said = recipient.last.clone();
            self.fates.push(Fate {
                recipient: recipient.clone(),
                action: Action::Delayed,
                said: said.unwrap_or_else(|| ours((4, 0, 0), "not yet")),
                host: None,
            });
        }
    }
}

/// A step for a recipient.
fn track<'t>(entry: &'t Entry, id: EntryId, recipient: &'t Recipient, why: &'t str) -> Track<'t> {
    Track {
        id: &entry.mail,
        entry: Some(id),
        sender: &entry.sender,
        recipient: &recipient.address,
        host: None,
        tls: None,
        why,
    }
}
