//! What is known of a message beside its bytes.

use axigen_store::{AccountId, BlobRef};
use bytes::Bytes;
use jiff::Timestamp;

use super::headers::tls_optional;
use super::{Accepted, Delivery, Outgoing};
use crate::directory;
use crate::mailbox::Quota;
use crate::queue::entry::{Action, Body, By, Entry, Fate, Hold, Notices, Notify, Recipient, Said};
use crate::queue::route::HERE;

/// What is known of a message beside its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Our id of the message.
    pub id: String,
    /// Where notices go; empty for a message nobody is to be told of.
    pub sender: String,
    /// So many bytes at the message's beginning stay here when it travels on: a
    /// `Return-Path`, which only the last server adds
    /// ([RFC 5321 §4.4](https://www.rfc-editor.org/rfc/rfc5321#section-4.4)).
    pub own: usize,
    /// Whether it was declared to be binary (RFC 3030).
    pub binary: bool,
    /// Whether it was declared to need SMTPUTF8 (RFC 6531).
    pub utf8: bool,
    /// How its sender wants notices (RFC 3461).
    pub notices: Notices,
    /// Who submitted it.
    pub user: Option<String>,
    /// It may travel under TLS only (RFC 8689).
    pub require_tls: bool,
    /// −9 to 9 (RFC 6710).
    pub priority: i8,
    /// Not to be sent before (RFC 4865).
    pub not_before: Option<Timestamp>,
    /// The account whose limits count for what is held.
    pub holder: Option<AccountId>,
    /// By when it must be there (RFC 2852).
    pub by: Option<By>,
    /// The account that wants a copy of what it sent, and what it may hold.
    pub sent_copy: Option<(AccountId, Quota)>,
}

impl Envelope {
    /// An envelope without anything special.
    pub fn new(id: impl Into<String>, sender: impl Into<String>) -> Envelope {
        Envelope {
            id: id.into(),
            sender: sender.into(),
            ..Envelope::default()
        }
    }

    /// What kind of bytes the message has, by looking at them: what a client
    /// declares is a promise, and some do not keep it.
    fn body(&self, raw: &[u8]) -> Body {
        match raw.get(self.own..).is_none_or(<[u8]>::is_ascii) {
            _ if self.binary => Body::Binary,
            true => Body::Seven,
            false => Body::Eight,
        }
    }

    /// The queue's entries: for recipients elsewhere a lane, a sender and not too
    /// many recipients each; and one for what its sender is to be told at once.
    pub(super) fn entries<'a>(
        &self,
        outgoing: &Outgoing,
        recipients: impl Iterator<Item = &'a Accepted>,
        senders: &Senders,
        told: &[Fate],
        raw: &Bytes,
        content: &BlobRef,
    ) -> Vec<Entry> {
        let routes = outgoing.routes.load();
        let mut ways: Vec<(&str, &str, Vec<Recipient>)> = Vec::new();
        let later = self.waits(outgoing);
        let mut entries = Vec::new();
        for accepted in recipients {
            // Where it leads is seen when it goes on.
            if later && !accepted.deliveries.is_empty() {
                entries.push(Entry {
                    lane: HERE.to_owned(),
                    recipients: vec![accepted.recipient()],
                    ..self.entry(outgoing, raw, content)
                });
                continue;
            }
            let sender = senders.of(accepted).unwrap_or(&self.sender);
            for remote in &accepted.remote {
                let recipient = Recipient {
                    address: remote.address.clone(),
                    notify: accepted.notify_elsewhere(),
                    original: accepted.original.clone(),
                    last: None,
                };
                let same = |way: &&mut (&str, &str, Vec<Recipient>)| {
                    (way.0, way.1) == (remote.lane.as_str(), sender)
                };
                match ways.iter_mut().find(same) {
                    // Two aliases may lead to one address: it gets the message once.
                    Some((.., to)) if to.iter().any(|to| to.address == recipient.address) => {}
                    Some((.., to)) => to.push(recipient),
                    None => ways.push((&remote.lane, sender, vec![recipient])),
                }
            }
        }
        let most = routes.settings().recipients.max(1);
        for (lane, sender, recipients) in ways {
            for recipients in recipients.chunks(most) {
                entries.push(Entry {
                    sender: sender.to_owned(),
                    lane: lane.to_owned(),
                    recipients: recipients.to_vec(),
                    ..self.entry(outgoing, raw, content)
                });
            }
        }
        if !told.is_empty() {
            let entry = self.entry(outgoing, raw, content);
            entries.push(Entry {
                lane: HERE.to_owned(),
                due: entry.came,
                tell: None,
                owed: told.to_vec(),
                ..entry
            });
        }
        entries
    }

    /// Whether it is held before it goes to anybody (RFC 4865).
    pub(super) fn waits(&self, outgoing: &Outgoing) -> bool {
        let now = outgoing.queue.clock().now();
        self.not_before.is_some_and(|at| at > now)
    }

    /// An entry without recipients.
    fn entry(&self, outgoing: &Outgoing, raw: &Bytes, content: &BlobRef) -> Entry {
        let schedule = outgoing.routes.load().schedule();
        let now = outgoing.queue.clock().now();
        let notice = self.sender.is_empty();
        let due = self.not_before.map_or(now, |at| at.max(now));
        let (mut expires, mut tell) = (schedule.expires(due, notice), schedule.tells(due, notice));
        match self.by {
            Some(by) if by.returns => expires = expires.min(by.at),
            // RFC 2852 §4.1.4: told when the time is over, and not before.
            Some(by) if !notice => tell = Some(by.at),
            _ => {}
        }
        Entry {
            mail: self.id.clone(),
            sender: self.sender.clone(),
            lane: String::new(),
            recipients: Vec::new(),
            content: content.clone(),
            skip: u32::try_from(self.own).unwrap_or_default(),
            came: now,
            expires,
            due,
            attempts: 0,
            last: None,
            held: false,
            tell,
            body: self.body(raw),
            utf8: self.utf8,
            notices: self.notices.clone(),
            user: self.user.clone(),
            require_tls: self.require_tls,
            // RFC 8689 §4.1: who asks for both is given the stricter.
            tls_optional: !self.require_tls && tls_optional(raw),
            priority: self.priority,
            by: self.by,
            hold: self.holder.filter(|_| due > now).map(|account| Hold {
                account: account.0,
                until: due,
            }),
            owed: Vec::new(),
        }
    }
}

/// In whose name what is handed on travels, by the domain that hands it on.
#[derive(Debug, Default)]
pub(super) struct Senders(Vec<(String, String)>);

impl Senders {
    fn of(&self, accepted: &Accepted) -> Option<&str> {
        let domain = accepted.hands_on.as_deref()?;
        let known = self.0.iter().find(|(of, _)| of == domain);
        known.map(|(_, sender)| sender.as_str())
    }
}

impl Accepted {
    /// What becomes of it at once, if its sender wants to know
    /// ([RFC 3461 §5.2.7](https://www.rfc-editor.org/rfc/rfc3461#section-5.2.7)):
    /// it is in all mailboxes, or an alias has made several of it. What one
    /// address elsewhere makes of it is known later.
    pub(super) fn fate(&self) -> Option<Fate> {
        let (action, words) = match (self.deliveries.is_empty(), self.remote.len()) {
            _ if !self.wants_success() => return None,
            (true, 0 | 1) => return None,
            (false, 0) => (Action::Delivered, "it is in the mailbox"),
            _ => (Action::Expanded, "it went on to several addresses"),
        };
        Some(Fate {
            recipient: self.recipient(),
            action,
            said: Said {
                // RFC 3463 §3.2: X.1.5 is a destination address that is valid.
                status: (2, 1, 5).into(),
                words: words.to_owned(),
                remote: false,
            },
            host: None,
        })
    }

    /// As it was given, in the queue.
    fn recipient(&self) -> Recipient {
        Recipient {
            address: self.address.clone(),
            notify: self.notify,
            original: self.original.clone(),
            last: None,
        }
    }

    /// Which notices other hosts are asked for. Of success, none where one
    /// recipient has become several: their sender was told of that
    /// (RFC 3461 §5.2.7.3).
    fn notify_elsewhere(&self) -> Option<Notify> {
        let several = self.accounts() > 1;
        self.notify.map(|notify| Notify {
            success: notify.success && !several,
            ..notify
        })
    }
}

impl Delivery {
    /// In whose name what is handed on travels. One of our own users' needs no
    /// other: we may send in it.
    pub(super) async fn senders<'a>(
        &self,
        outgoing: &Outgoing,
        sender: &str,
        recipients: impl Iterator<Item = &'a Accepted>,
    ) -> directory::Result<Senders> {
        let mut senders = Senders::default();
        for domain in recipients.filter_map(|to| to.hands_on.as_deref()) {
            if senders.0.iter().any(|(known, _)| known == domain) {
                continue;
            }
            if self.is_ours(sender).await? {
                break;
            }
            let now = outgoing.queue.clock().now();
            match self.srs().await?.rewrite(sender, domain, now) {
                Some(rewritten) => senders.0.push((domain.to_owned(), rewritten)),
                None => tracing::warn!(sender, domain, "a sender is too long to be rewritten"),
            }
        }
        Ok(senders)
    }
}
