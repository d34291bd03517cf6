//! IDLE ([RFC 2177](https://www.rfc-editor.org/rfc/rfc2177)).

use super::{Event, Kind, Phase, Server};
use crate::frame::Line;
use crate::imap::extensions::idle::is_done;
use crate::imap::response::Status;
use crate::imap::types::Tag;
use crate::session::{Close, Violation};

impl Server {
    pub(super) fn idle(&mut self, tag: Tag) {
        self.out.proceed("Waiting for changes; end with DONE");
        self.phase = Phase::Idle { tag: tag.clone() };
        self.events.push_back(Event::IdleStart { tag });
    }

    pub(super) fn read_idle(&mut self) -> bool {
        let limit = self.command_limit();
        let Phase::Idle { tag } = &self.phase else {
            return false;
        };
        let Some(line) = self.input.line(limit) else {
            return false;
        };
        let done = matches!(&line, Line::Complete(line) if is_done(line));
        if self
            .input
            .announced(&line)
            .is_some_and(|literal| !literal.synchronising)
        {
            // A command without DONE before it, and what it sends next would be taken for more.
            self.end(
                Some(Status::bad("Expected DONE to end IDLE")),
                Close::Violate(Violation::LostSync),
            );
            return true;
        }
        let tag = tag.clone();
        self.phase = Phase::Busy {
            tag: tag.clone(),
            kind: if done { Kind::Plain } else { Kind::BrokenIdle },
        };
        self.events.push_back(Event::IdleEnd { tag });
        true
    }
}
