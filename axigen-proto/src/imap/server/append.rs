//! APPEND and REPLACE: messages stream past, they are never held.

use std::collections::VecDeque;

use super::commands::too_big_to_come_unasked;
use super::{Event, Kind, Open, Phase, Server};
use crate::imap::command::Append;
use crate::imap::extensions::catenate;
use crate::imap::extensions::literal::Literal;
use crate::imap::extensions::multiappend::{AppendPiece, Inside, follow};
use crate::imap::extensions::uidonly;
use crate::imap::frame::Frame;
use crate::imap::parse::fault::{expected, failed};
use crate::imap::response::{Code, Status};
use crate::imap::types::Tag;
use crate::session::Misuse;

impl Server {
    /// The answer to [`Event::AppendStart`], [`Event::AppendNext`],
    /// [`Event::AppendText`] and [`Event::AppendUrl`]: go on.
    ///
    /// # Errors
    /// [`Misuse`] when no APPEND awaits its decision.
    pub fn proceed(&mut self) -> Result<(), Misuse> {
        let (open, mut pieces, literal) = match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::AppendAsked {
                open,
                pieces,
                literal,
            } => (open, pieces, literal),
            Phase::Closed => {
                self.phase = Phase::Closed;
                return Ok(());
            }
            other => {
                self.phase = other;
                return Err(Misuse("no APPEND awaits its decision"));
            }
        };
        self.rearm = true;
        match pieces.front() {
            Some(piece) if piece.awaits_literal() => {
                self.phase = match literal {
                    Some(literal) if literal.size > 0 => Phase::AppendBody {
                        open,
                        left: literal.size,
                        binary: literal.binary,
                    },
                    _ => Phase::AppendTail { open },
                };
                if literal.is_some_and(|literal| literal.synchronising) {
                    self.out.proceed("Ready for the message");
                }
            }
            Some(AppendPiece::Url(_)) => {
                pieces.pop_front();
                self.next_piece(open, pieces, literal);
            }
            _ => self.next_piece(open, pieces, literal),
        }
        Ok(())
    }

    /// APPEND has come to its first message.
    pub(super) fn append(&mut self, tag: Tag, mut append: Append, literal: Option<Literal>) {
        let pieces = std::mem::take(&mut append.pieces);
        let numbered = append.replaces.is_some_and(|replaced| !replaced.uid);
        // RFC 9586 §3
        let checked = match self.enabled.uidonly && numbered {
            true => Err(uidonly::refusal()),
            false => self.check_message(&pieces, literal),
        };
        if let Err(status) = checked {
            return self.refuse_piece(tag, status, literal);
        }
        self.input.forget();
        let size = size_of(pieces.first(), literal);
        self.phase = Phase::AppendAsked {
            open: Open {
                tag: tag.clone(),
                inside: Inside::behind(&pieces),
                single: append.replaces.is_some(),
            },
            pieces: pieces.into(),
            literal,
        };
        self.events
            .push_back(Event::AppendStart { tag, append, size });
    }

    /// Whether a literal of a message may come.
    fn check_message(
        &self,
        pieces: &[AppendPiece],
        literal: Option<Literal>,
    ) -> Result<(), Status> {
        let Some(literal) = literal else {
            return Ok(());
        };
        if matches!(pieces.last(), Some(AppendPiece::Utf8)) {
            // RFC 6855 §4. RFC 9755 has it no more; clients of the one before still send it.
            if !self.enabled.utf8_accept {
                return Err(Status::bad("UTF8 needs ENABLE UTF8=ACCEPT before it"));
            }
            if !literal.binary {
                return Err(Status::bad("UTF8 needs a literal8"));
            }
        }
        let limit = self.append_limit();
        if literal.size > limit {
            // RFC 7889 §5
            let status = Status::no(format!("A message may have at most {limit} bytes"));
            return Err(status.with(Code::TooBig));
        }
        if !literal.synchronising && literal.size > self.unasked_limit() {
            return Err(too_big_to_come_unasked());
        }
        Ok(())
    }

    fn refuse_piece(&mut self, tag: Tag, status: Status, literal: Option<Literal>) {
        self.phase = Phase::Command;
        self.refuse_line(Some(tag), status, literal);
    }

    /// Tells of the next piece that needs a decision.
    fn next_piece(
        &mut self,
        open: Open,
        mut pieces: VecDeque<AppendPiece>,
        literal: Option<Literal>,
    ) {
        let tag = open.tag.clone();
        let event = loop {
            let Some(piece) = pieces.front() else {
                self.phase = Phase::Busy {
                    tag: tag.clone(),
                    kind: Kind::Plain,
                };
                self.events.push_back(Event::AppendEnd { tag });
                return;
            };
            match piece {
                // What has data stays, for `proceed`.
                AppendPiece::Url(url) => {
                    let url = url.clone();
                    break Event::AppendUrl { tag, url };
                }
                AppendPiece::Text | AppendPiece::Utf8 | AppendPiece::Literal => {
                    let size = literal.map_or(0, |literal| literal.size);
                    break Event::AppendText { tag, size };
                }
                AppendPiece::Catenate | AppendPiece::End => drop(pieces.pop_front()),
                AppendPiece::Message { .. } => {
                    let Some(AppendPiece::Message { flags, date }) = pieces.pop_front() else {
                        continue;
                    };
                    let size = size_of(pieces.front(), literal);
                    break Event::AppendNext {
                        tag,
                        flags,
                        date,
                        size,
                    };
                }
            }
        };
        self.phase = Phase::AppendAsked {
            open,
            pieces,
            literal,
        };
        self.events.push_back(event);
    }

    /// The application ends APPEND before all has been read.
    pub(super) fn refuse_append(&mut self, status: Status) {
        let (tag, left) = match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::AppendAsked { open, literal, .. } => match literal {
                Some(literal) if !literal.synchronising => (open.tag, literal.size),
                // The client waits, or has said all.
                _ => return self.tagged(&open.tag, &status),
            },
            Phase::AppendBody { open, left, .. } => (open.tag, left),
            Phase::AppendTail { open } => (open.tag, self.input.wanted() as u64),
            other => {
                self.phase = other;
                return;
            }
        };
        let budget = self.discard_limit();
        self.input.discard(Some(tag), status, left, budget);
    }

    pub(super) fn read_message(&mut self) -> bool {
        let Phase::AppendBody { open, left, binary } = &mut self.phase else {
            return false;
        };
        let bytes = self.input.message(*left);
        if bytes.is_empty() {
            return false;
        }
        *left -= bytes.len() as u64;
        // RFC 9051 §4.3: a literal has no NUL; a literal8 may (RFC 3516 §4.4).
        let nul = memchr::memchr(0, &bytes).filter(|_| !*binary);
        if let Some(at) = nul {
            let (tag, left) = (open.tag.clone(), *left);
            let status = Status::bad("A literal holds a NUL byte, which only a literal8 may");
            let budget = self.discard_limit();
            if at > 0 {
                self.events.push_back(Event::AppendBody(bytes.slice(..at)));
            }
            self.events.push_back(Event::AppendAborted);
            self.phase = Phase::Command;
            self.input.discard(Some(tag), status, left, budget);
            return true;
        }
        if *left == 0 {
            self.phase = Phase::AppendTail { open: open.clone() };
        }
        self.events.push_back(Event::AppendBody(bytes));
        true
    }

    /// Behind a literal the command ends, or goes on up to the next.
    pub(super) fn read_tail(&mut self) -> bool {
        let limit = self.command_limit();
        let Phase::AppendTail { open } = &self.phase else {
            return false;
        };
        let open = open.clone();
        let Some(frame) = self.input.next(limit) else {
            return false;
        };
        let (status, literal) = match frame {
            Frame::Command(text) => match self.tail(&open, &text, None) {
                Ok(()) => return true,
                Err(status) => (status, None),
            },
            Frame::Literal(literal) => {
                let text = self.input.so_far().to_vec();
                match self.tail(&open, &text, Some(literal)) {
                    Ok(()) => return true,
                    Err(status) => (status, Some(literal)),
                }
            }
            Frame::TooLong(_, literal) => {
                let status = Status::bad("The command is too long").with(Code::TooBig);
                (status, literal)
            }
            Frame::BareLf(_, literal) => {
                let status = Status::bad("A line has to end with CRLF, not with LF alone");
                (status, literal)
            }
            Frame::Discarded(_, status) => (status, None),
            Frame::Flood => {
                self.too_large();
                return true;
            }
        };
        self.events.push_back(Event::AppendAborted);
        self.refuse_piece(open.tag, status, literal);
        true
    }

    /// Goes on with the text behind a literal.
    fn tail(&mut self, open: &Open, text: &[u8], literal: Option<Literal>) -> Result<(), Status> {
        let read = follow(open.inside, open.single, text);
        let pieces = match read {
            Ok((b"", pieces)) => pieces,
            // RFC 4469 §5: a URL is an astring, so it may be a literal too.
            Err(_) if literal.is_some() && catenate::awaits_url(text) => {
                if let Some(literal) = literal {
                    let size = self.check_literal(literal)?;
                    self.input.accept(size);
                    if literal.synchronising {
                        self.out.proceed("Go on");
                    }
                }
                return Ok(());
            }
            Ok((rest, _)) => return Err(failed(text, expected(rest, "the end of the command"))),
            Err(error) => return Err(failed(text, error)),
        };
        let awaits = pieces.last().is_some_and(AppendPiece::awaits_literal);
        match (awaits, literal) {
            (true, None) => return Err(Status::bad("Expected a literal at the end of the line")),
            (false, Some(_)) => return Err(Status::bad("Expected a space before the literal")),
            _ => self.check_message(&pieces, literal)?,
        }
        self.input.forget();
        let mut open = open.clone();
        open.inside = pieces.iter().fold(open.inside, Inside::then);
        self.next_piece(open, pieces.into(), literal);
        Ok(())
    }
}

/// How large a message is, if its data is a literal as a whole.
fn size_of(first: Option<&AppendPiece>, literal: Option<Literal>) -> u64 {
    match first {
        Some(AppendPiece::Literal | AppendPiece::Utf8) => literal.map_or(0, |at| at.size),
        _ => 0,
    }
}
