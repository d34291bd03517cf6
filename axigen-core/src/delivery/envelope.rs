//! What is known of a message beside its bytes.

use axigen_store::BlobRef;
use bytes::Bytes;
use jiff::Timestamp;

use super::{Accepted, Outgoing};
use crate::queue::entry::{Body, Entry, Notices, Recipient};

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

    /// The queue's entries for recipients elsewhere, a lane and not too many
    /// recipients each.
    pub(super) fn entries<'a>(
        &self,
        outgoing: &Outgoing,
        recipients: impl Iterator<Item = &'a Accepted>,
        raw: &Bytes,
        content: &BlobRef,
    ) -> Vec<Entry> {
        let routes = outgoing.routes.load();
        let schedule = routes.schedule();
        let now = outgoing.queue.clock().now();
        let notice = self.sender.is_empty();
        let body = self.body(raw);
        let mut lanes: Vec<(&str, Vec<Recipient>)> = Vec::new();
        for accepted in recipients {
            for remote in &accepted.remote {
                let recipient = Recipient {
                    address: remote.address.clone(),
                    notify: accepted.notify,
                    original: accepted.original.clone(),
                    last: None,
                };
                match lanes.iter_mut().find(|(lane, _)| *lane == remote.lane) {
                    // Two aliases may lead to one address: it gets the message once.
                    Some((_, to)) if to.iter().any(|to| to.address == recipient.address) => {}
                    Some((_, to)) => to.push(recipient),
                    None => lanes.push((&remote.lane, vec![recipient])),
                }
            }
        }
        let most = routes.settings().recipients.max(1);
        let mut entries = Vec::with_capacity(lanes.len());
        for (lane, recipients) in lanes {
            for recipients in recipients.chunks(most) {
                entries.push(Entry {
                    mail: self.id.clone(),
                    sender: self.sender.clone(),
                    lane: lane.to_owned(),
                    recipients: recipients.to_vec(),
                    content: content.clone(),
                    skip: u32::try_from(self.own).unwrap_or_default(),
                    came: now,
                    expires: schedule.expires(now, notice),
                    due: self.not_before.map_or(now, |at| at.max(now)),
                    attempts: 0,
                    last: None,
                    held: false,
                    tell: schedule.tells(now, notice),
                    body,
                    utf8: self.utf8,
                    notices: self.notices.clone(),
                    user: self.user.clone(),
                    require_tls: self.require_tls,
                    priority: self.priority,
                    owed: Vec::new(),
                });
            }
        }
        entries
    }
}
