//! APPEND: its message streams past, it is never held.

use super::commands::too_big_to_come_unasked;
use super::{Event, Kind, Phase, Server};
use crate::frame::Line;
use crate::imap::command::Append;
use crate::imap::extensions::literal::Literal;
use crate::imap::response::{Code, Status};
use crate::imap::types::Tag;
use crate::session::Misuse;

impl Server {
    /// The answer to [`Event::AppendStart`]: the message may come.
    ///
    /// # Errors
    /// [`Misuse`] when no APPEND awaits its decision.
    pub fn proceed(&mut self) -> Result<(), Misuse> {
        let (tag, literal) = match &self.phase {
            Phase::AppendAsked { tag, literal } => (tag.clone(), *literal),
            Phase::Closed => return Ok(()),
            _ => return Err(Misuse("no APPEND awaits its decision")),
        };
        if literal.synchronising {
            self.out.proceed("Ready for the message");
        }
        self.rearm = true;
        self.phase = if literal.size == 0 {
            Phase::AppendTail { tag }
        } else {
            Phase::AppendBody {
                tag,
                left: literal.size,
            }
        };
        Ok(())
    }

    /// APPEND has come to its message.
    pub(super) fn append(&mut self, tag: Tag, append: Append, literal: Literal) {
        let limit = self.append_limit();
        if literal.size > limit {
            // RFC 7889 §5
            let status = Status::no(format!("A message may have at most {limit} bytes"));
            return self.refuse_literal(Some(tag), status.with(Code::TooBig), literal);
        }
        if !literal.synchronising && literal.size > self.unasked_limit() {
            return self.refuse_literal(Some(tag), too_big_to_come_unasked(), literal);
        }
        self.input.forget();
        self.phase = Phase::AppendAsked {
            tag: tag.clone(),
            literal,
        };
        self.events.push_back(Event::AppendStart {
            tag,
            append,
            size: literal.size,
        });
    }

    /// The application ends APPEND before its message has been read.
    pub(super) fn refuse_append(&mut self, status: Status) {
        let (tag, left) = match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::AppendAsked { tag, literal } if literal.synchronising => {
                return self.tagged(&tag, &status);
            }
            Phase::AppendAsked { tag, literal } => (tag, literal.size),
            Phase::AppendBody { tag, left } => (tag, left),
            Phase::AppendTail { tag } => (tag, 0),
            other => {
                self.phase = other;
                return;
            }
        };
        let budget = self.discard_limit();
        self.input.discard(Some(tag), status, left, budget);
    }

    pub(super) fn read_message(&mut self) -> bool {
        let Phase::AppendBody { tag, left } = &mut self.phase else {
            return false;
        };
        let bytes = self.input.message(*left);
        if bytes.is_empty() {
            return false;
        }
        *left -= bytes.len() as u64;
        if *left == 0 {
            self.phase = Phase::AppendTail { tag: tag.clone() };
        }
        self.events.push_back(Event::AppendBody(bytes));
        true
    }

    /// Behind the message nothing may stand but the end of the line.
    pub(super) fn read_tail(&mut self) -> bool {
        let limit = self.command_limit();
        let Phase::AppendTail { tag } = &self.phase else {
            return false;
        };
        let Some(line) = self.input.line(limit) else {
            return false;
        };
        let tag = tag.clone();
        if matches!(&line, Line::Complete(rest) if rest.is_empty()) {
            self.phase = Phase::Busy {
                tag: tag.clone(),
                kind: Kind::Plain,
            };
            self.events.push_back(Event::AppendEnd { tag });
            return true;
        }
        self.phase = Phase::Command;
        self.events.push_back(Event::AppendAborted);
        let status = Status::bad("Expected the end of the line behind the message");
        let literal = self.input.announced(&line);
        self.refuse_line(Some(tag), status, literal);
        true
    }
}
