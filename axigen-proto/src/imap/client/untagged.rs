//! What the server says: told apart, kept where the session needs it, and
//! handed on.

use super::frame::{Frame, Start};
use super::{Capabilities, Client, Event, Failure, Phase};
use crate::imap::parse::response::{self, Reply, ResponseGrammar};
use crate::imap::response::{FetchItem, Response};
use bytes::Bytes;

impl Client {
    pub(super) fn framed(&mut self, frame: Frame) {
        match frame {
            Frame::Response(bytes) => self.response(&bytes),
            Frame::Start(Start {
                seq,
                uid,
                attribute,
                size,
            }) => self.tell(Event::BodyStart {
                seq,
                uid,
                attribute,
                size,
            }),
            Frame::Part(bytes) => self.tell(Event::BodyPart(bytes)),
            Frame::End => self.tell(Event::BodyEnd),
            Frame::Fault(violation) => self.fail(Failure::BadResponse(violation)),
        }
    }

    /// What comes before the login is of no use to anybody, and may have been
    /// put there by whoever sits in between.
    fn tell(&mut self, event: Event) {
        if self.logged_in || self.phase == Phase::Ready {
            self.events.push_back(event);
        }
    }

    fn response(&mut self, bytes: &Bytes) {
        let limits = &self.config.limits;
        let grammar = ResponseGrammar {
            utf8: self.utf8,
            nesting: limits.nesting,
            items: limits.items,
            numbers: limits.numbers,
        };
        let reply = match response::response(&grammar, bytes) {
            Ok(reply) => reply,
            Err(violation) => return self.fail(Failure::BadResponse(violation)),
        };
        match reply {
            Reply::Untagged(response) if self.phase == Phase::Greeting => self.greeting(response),
            Reply::Untagged(response) => self.untagged(response),
            _ if self.phase == Phase::Greeting => {
                self.fail(Failure::Unexpected("no greeting comes first"));
            }
            Reply::Tagged(tag, status) => self.tagged(&tag, status),
            Reply::Continue(text) => self.go_on(&text),
        }
    }

    fn untagged(&mut self, response: Response) {
        match response {
            Response::Bye(_) if self.phase == Phase::Leaving => return,
            Response::Bye(status) => return self.fail(Failure::Closing(status)),
            Response::Capability(ref names) => {
                self.capabilities = Capabilities::new(names.iter().map(|name| &**name));
            }
            Response::Enabled(ref names) => {
                let utf8 = |name: &str| {
                    name.eq_ignore_ascii_case("IMAP4rev2")
                        || name.eq_ignore_ascii_case("UTF8=ACCEPT")
                };
                self.utf8 |= names.iter().any(|name| utf8(name));
            }
            Response::Status(ref status) => self.learn_from(status),
            Response::Fetch { seq, items } => {
                let uid = items.iter().find_map(|item| match item {
                    FetchItem::Uid(uid) => Some(*uid),
                    _ => None,
                });
                let items = self.fetched(Some(seq), uid, items);
                return self.tell(Event::Response(Response::Fetch { seq, items }));
            }
            Response::UidFetch { uid, items } => {
                let items = self.fetched(None, Some(uid), items);
                return self.tell(Event::Response(Response::UidFetch { uid, items }));
            }
            _ => {}
        }
        self.tell(Event::Response(response));
    }

    /// Bytes of a message that came as a quoted string are told as those of a
    /// literal are.
    fn fetched(
        &mut self,
        seq: Option<u32>,
        uid: Option<u32>,
        items: Vec<FetchItem>,
    ) -> Vec<FetchItem> {
        let mut rest = Vec::with_capacity(items.len());
        for item in items {
            match item {
                FetchItem::Data {
                    attribute,
                    data: Some(data),
                } => {
                    self.tell(Event::BodyStart {
                        seq,
                        uid,
                        attribute,
                        size: data.len() as u64,
                    });
                    if !data.is_empty() {
                        self.tell(Event::BodyPart(data));
                    }
                    self.tell(Event::BodyEnd);
                }
                item => rest.push(item),
            }
        }
        rest
    }
}
