//! Commands on their way out: one after the other, with literals for which the
//! server is asked or not, messages, and IDLE.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Client, Event, Failure, Kind, Phase, Sent};
use crate::imap::command::{Append, Command};
use crate::imap::encode::Encoder;
use crate::imap::extensions::literal::announced;
use crate::imap::extensions::multiappend::AppendPiece;
use crate::imap::response::Status;
use crate::imap::types::Tag;
use crate::session::{Close, Misuse};

/// A command that awaits its turn.
#[derive(Debug)]
pub(super) struct Outgoing {
    tag: Tag,
    kind: Kind,
    /// It is written when it goes: an ENABLE before it changes how.
    command: Command,
    message: Option<Message>,
    /// Of IDLE, whether it is to end at once.
    ends: bool,
}

/// The message of an APPEND.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    size: u64,
    binary: bool,
    /// Whether the server is asked to take it.
    asks: bool,
}

/// The command that is not complete on the wire.
#[derive(Debug)]
pub(super) enum Writing {
    /// The server is asked to take what comes next. Behind the last piece the
    /// message follows, if there is one.
    Pieces {
        tag: Tag,
        pieces: VecDeque<Bytes>,
        message: Option<Message>,
    },
    /// The server is asked to take a message of this size.
    Message(Tag, u64),
    /// The message.
    Body {
        tag: Tag,
        left: u64,
        /// Whether the application has been asked for the next piece.
        asked: bool,
        /// How the command ended before its message was sent.
        ended: Option<Status>,
    },
}

/// An IDLE that has been sent.
#[derive(Debug)]
pub(super) struct Idle {
    tag: Tag,
    /// Whether the server has agreed.
    begun: bool,
    /// Whether it is to end.
    ends: bool,
}

impl Idle {
    /// Whether changes are awaited, and nothing else.
    pub(super) fn runs(&self) -> bool {
        self.begun && !self.ends
    }
}

impl Client {
    /// Sends a command, or puts it behind those that are not out yet. Its end
    /// comes as [`Event::Done`] of this tag. An IDLE that runs is ended for it.
    ///
    /// # Errors
    /// [`Misuse`] before [`Event::Ready`], and for commands that the session
    /// sends by itself or has a method for: CAPABILITY may be sent, but STARTTLS,
    /// AUTHENTICATE, LOGIN, COMPRESS, UNAUTHENTICATE, APPEND, IDLE and LOGOUT
    /// may not.
    pub fn send(&mut self, command: &Command) -> Result<Tag, Misuse> {
        self.check_ready()?;
        let kind = match command {
            Command::StartTls
            | Command::Authenticate { .. }
            | Command::Login { .. }
            | Command::Compress
            | Command::Unauthenticate
            | Command::Append(_)
            | Command::Idle
            | Command::Logout => return Err(Misuse("this command is not sent with `send`")),
            Command::Enable(_) => Kind::Enable,
            _ => Kind::Plain,
        };
        Ok(self.enqueue(command.clone(), kind, None))
    }

    /// Appends a message of `size` bytes, which [`Event::WantBody`] asks for. It
    /// goes as a literal8 if it is `binary`, which it has to be when it holds NUL
    /// ([RFC 3516](https://www.rfc-editor.org/rfc/rfc3516)).
    ///
    /// A server that does not take the message ends the command before it is
    /// asked for, unless the message is small enough to be sent
    /// [without asking](crate::limits::ImapClientLimits::append_unasked).
    ///
    /// # Errors
    /// [`Misuse`] before [`Event::Ready`].
    pub fn append(&mut self, append: &Append, size: u64, binary: bool) -> Result<Tag, Misuse> {
        self.check_ready()?;
        let unasked = self.capabilities.unasked_literal();
        let message = Message {
            size,
            binary,
            asks: size > unasked.min(self.config.limits.append_unasked),
        };
        let command = Command::Append(Append {
            pieces: vec![AppendPiece::Literal],
            ..append.clone()
        });
        Ok(self.enqueue(command, Kind::Plain, Some(message)))
    }

    /// The next piece of the message, of any size. Large ones are not copied.
    ///
    /// # Errors
    /// [`Misuse`] when no message is wanted, and for more bytes than it has.
    pub fn body(&mut self, bytes: Bytes) -> Result<(), Misuse> {
        if self.close.is_some() {
            return Ok(());
        }
        let Some(Writing::Body { left, asked, .. }) = &mut self.writing else {
            return Err(Misuse("no message is wanted"));
        };
        *left = left
            .checked_sub(bytes.len() as u64)
            .ok_or(Misuse("more bytes than the message has"))?;
        *asked = false;
        self.rearm = true;
        self.out.push(bytes);
        self.end_body();
        Ok(())
    }

    /// Waits for changes ([RFC 2177](https://www.rfc-editor.org/rfc/rfc2177)):
    /// [`Event::Idling`], then changes as [`Event::Response`]. It ends by
    /// [`Client::done`], by the next command, and after
    /// [a while](crate::limits::ImapClientLimits::idle_refresh) by itself.
    ///
    /// # Errors
    /// [`Misuse`] before [`Event::Ready`].
    pub fn idle(&mut self) -> Result<Tag, Misuse> {
        self.check_ready()?;
        Ok(self.enqueue(Command::Idle, Kind::Idle, None))
    }

    /// Ends an IDLE; [`Event::Done`] follows.
    ///
    /// # Errors
    /// [`Misuse`] when there is none.
    pub fn done(&mut self) -> Result<(), Misuse> {
        if self.close.is_some() {
            return Ok(());
        }
        let waiting = self.queue.iter_mut().find(|next| next.kind == Kind::Idle);
        match (&self.idle, waiting) {
            (Some(_), _) => self.end_idle(),
            (None, Some(waiting)) => waiting.ends = true,
            (None, None) => return Err(Misuse("there is no IDLE to end")),
        }
        Ok(())
    }

    /// Says goodbye once the commands before have been sent;
    /// [`Close::Finish`] follows when the server has answered.
    ///
    /// # Errors
    /// [`Misuse`] before [`Event::Ready`].
    pub fn logout(&mut self) -> Result<(), Misuse> {
        self.check_ready()?;
        self.enqueue(Command::Logout, Kind::Logout, None);
        Ok(())
    }

    /// Commands that have not ended.
    pub fn under_way(&self) -> usize {
        self.sent.len() + self.queue.len()
    }

    /// A command of the opening, which waits for nothing.
    pub(super) fn command(&mut self, command: Command, kind: Kind) {
        let unasked = self.capabilities.unasked_literal();
        self.begin_with(command, kind, unasked);
    }

    /// The same, with literals of up to so many bytes sent without asking.
    pub(super) fn begin_with(&mut self, command: Command, kind: Kind, unasked: u64) {
        let outgoing = self.outgoing(command, kind, None);
        self.begin(outgoing, unasked);
    }

    /// LOGOUT without awaiting anything.
    pub(super) fn say_goodbye(&mut self) {
        let tag = self.next_tag();
        let utf8 = self.utf8;
        self.out
            .write(|out| Encoder::new(out, utf8).command(&tag, &Command::Logout));
    }

    fn outgoing(&mut self, command: Command, kind: Kind, message: Option<Message>) -> Outgoing {
        Outgoing {
            tag: self.next_tag(),
            kind,
            command,
            message,
            ends: false,
        }
    }

    fn next_tag(&mut self) -> Tag {
        self.tags += 1;
        Tag::numbered(self.tags)
    }

    fn enqueue(&mut self, command: Command, kind: Kind, message: Option<Message>) -> Tag {
        let outgoing = self.outgoing(command, kind, message);
        let tag = outgoing.tag.clone();
        self.queue.push_back(outgoing);
        if self.idle.is_some() {
            self.end_idle();
        }
        self.pump();
        tag
    }

    /// Sends what may be sent.
    pub(super) fn pump(&mut self) {
        while self.close.is_none()
            && self.phase == Phase::Ready
            && self.writing.is_none()
            && self.idle.is_none()
            && self.sent.len() < self.config.limits.pipeline
            // What is enabled changes how names are written in the next command.
            && !self.sent.iter().any(|sent| sent.kind == Kind::Enable)
        {
            match self.queue.pop_front() {
                Some(outgoing) => self.begin(outgoing, self.capabilities.unasked_literal()),
                None => return,
            }
        }
    }

    fn begin(&mut self, outgoing: Outgoing, unasked: u64) {
        let mut bytes = BytesMut::new();
        Encoder::new(&mut bytes, self.utf8).command(&outgoing.tag, &outgoing.command);
        if let Some(Message { size, binary, asks }) = outgoing.message {
            let tilde = if binary { "~" } else { "" };
            let plus = if asks { "" } else { "+" };
            // The space before it has been written.
            bytes.put_slice(format!("{tilde}{{{size}{plus}}}\r\n").as_bytes());
        }
        let mut pieces = cut(bytes.freeze(), unasked);
        let Some(first) = pieces.pop_front() else {
            return;
        };
        if self.sent.is_empty() {
            self.rearm = true;
        }
        self.out.push(first);
        let tag = outgoing.tag.clone();
        match outgoing.kind {
            Kind::Idle => {
                self.idle = Some(Idle {
                    tag: tag.clone(),
                    begun: false,
                    ends: outgoing.ends,
                });
            }
            Kind::Logout => self.phase = Phase::Leaving,
            _ => {}
        }
        self.sent.push(Sent {
            tag: tag.clone(),
            kind: outgoing.kind,
        });
        self.write_on(tag, pieces, outgoing.message);
    }

    /// So much of a command is not out yet.
    fn write_on(&mut self, tag: Tag, pieces: VecDeque<Bytes>, message: Option<Message>) {
        match message {
            _ if !pieces.is_empty() => {
                self.writing = Some(Writing::Pieces {
                    tag,
                    pieces,
                    message,
                });
            }
            None => {}
            Some(Message {
                size, asks: true, ..
            }) => self.writing = Some(Writing::Message(tag, size)),
            Some(Message {
                size, asks: false, ..
            }) => self.begin_body(tag, size),
        }
    }

    fn begin_body(&mut self, tag: Tag, size: u64) {
        self.writing = Some(Writing::Body {
            tag,
            left: size,
            asked: false,
            ended: None,
        });
        self.end_body();
    }

    /// Ends the line behind a message that is complete.
    fn end_body(&mut self) {
        if !matches!(self.writing, Some(Writing::Body { left: 0, .. })) {
            return;
        }
        self.out.push(Bytes::from_static(b"\r\n"));
        if let Some(Writing::Body {
            tag,
            ended: Some(status),
            ..
        }) = self.writing.take()
        {
            self.ended(&tag, status);
        }
        self.pump();
    }

    /// Asks for the next piece of a message, once the last has left.
    pub(super) fn want_body(&mut self) -> Option<Event> {
        match &mut self.writing {
            Some(Writing::Body {
                tag, left, asked, ..
            }) if !*asked => {
                *asked = true;
                Some(Event::WantBody {
                    tag: tag.clone(),
                    left: *left,
                })
            }
            _ => None,
        }
    }

    pub(super) fn end_idle(&mut self) {
        let Some(idle) = &mut self.idle else {
            return;
        };
        if idle.runs() {
            self.out.push(Bytes::from_static(b"DONE\r\n"));
            self.rearm = true;
        }
        idle.ends = true;
    }

    /// `+`: the server agrees to what it was asked.
    pub(super) fn go_on(&mut self, text: &str) {
        if self.login.is_some() {
            return self.challenge(text);
        }
        if let Some(idle) = self.idle.as_mut().filter(|idle| !idle.begun) {
            idle.begun = true;
            let tag = idle.tag.clone();
            self.rearm = true;
            if idle.ends {
                self.out.push(Bytes::from_static(b"DONE\r\n"));
            }
            self.events.push_back(Event::Idling { tag });
            return;
        }
        match self.writing.take() {
            Some(Writing::Pieces {
                tag,
                mut pieces,
                message,
            }) => {
                if let Some(next) = pieces.pop_front() {
                    self.out.push(next);
                }
                self.write_on(tag, pieces, message);
                self.pump();
            }
            Some(Writing::Message(tag, size)) => self.begin_body(tag, size),
            other => {
                self.writing = other;
                self.fail(Failure::Unexpected("the server asks to go on with nothing"));
            }
        }
    }

    /// A command ended.
    pub(super) fn tagged(&mut self, tag: &Tag, status: Status) {
        match &mut self.writing {
            // The literal is announced, so it has to follow.
            Some(Writing::Body {
                tag: open, ended, ..
            }) if open == tag => {
                *ended = Some(status);
                return;
            }
            Some(Writing::Pieces { tag: open, .. } | Writing::Message(open, _)) if open == tag => {
                self.writing = None;
            }
            _ => {}
        }
        self.ended(tag, status);
        self.pump();
    }

    fn ended(&mut self, tag: &Tag, status: Status) {
        let Some(at) = self.sent.iter().position(|sent| sent.tag == *tag) else {
            return self.fail(Failure::Unexpected(
                "the end of a command that was not sent",
            ));
        };
        let Sent { tag, kind } = self.sent.remove(at);
        match kind {
            Kind::StartTls | Kind::Login | Kind::Compress => return self.opened(kind, status),
            Kind::Capability => return self.opened(kind, status),
            Kind::Logout => return self.end(Close::Finish),
            Kind::Idle => self.idle = None,
            Kind::Enable | Kind::Plain => self.learn_from(&status),
        }
        self.events.push_back(Event::Done { tag, status });
    }
}

/// Cuts a command where the server has to be asked for a literal. Those of up
/// to `unasked` bytes it takes without.
fn cut(command: Bytes, unasked: u64) -> VecDeque<Bytes> {
    let mut pieces = VecDeque::new();
    let mut piece = BytesMut::new();
    let mut rest = command;
    loop {
        // A quoted string holds no line end, so the first one ends a line.
        let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
            piece.extend_from_slice(&rest);
            pieces.push_back(piece.freeze());
            return pieces;
        };
        let line = rest.split_to(end);
        let Some(literal) = announced(&line) else {
            piece.extend_from_slice(&line);
            piece.extend_from_slice(&rest);
            pieces.push_back(piece.freeze());
            return pieces;
        };
        // The announcement of a message stands at the end, as it is to be.
        let asks = literal.size > unasked && rest.len() > 2;
        if asks {
            piece.extend_from_slice(line.strip_suffix(b"+}").unwrap_or(&line));
            piece.put_u8(b'}');
        } else {
            piece.extend_from_slice(&line);
        }
        piece.extend_from_slice(b"\r\n");
        if rest.len() == 2 {
            pieces.push_back(piece.freeze());
            return pieces;
        }
        if asks {
            pieces.push_back(piece.split().freeze());
        }
        // The line end, and the literal.
        let size = usize::try_from(literal.size).unwrap_or(usize::MAX);
        let skipped = rest.split_to(2 + size.min(rest.len().saturating_sub(2)));
        piece.extend_from_slice(skipped.get(2..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(command: &'static str, unasked: u64) -> Vec<String> {
        let pieces = cut(Bytes::from_static(command.as_bytes()), unasked);
        let text = |piece: &Bytes| String::from_utf8_lossy(piece).into_owned();
        pieces.iter().map(text).collect()
    }

    #[test]
    fn where_the_server_is_asked() {
        let login = "A1 LOGIN {5+}\r\na\r\n{3 {2+}\r\n\u{e4} x\r\n";
        assert_eq!(
            pieces(login, 0),
            ["A1 LOGIN {5}\r\n", "a\r\n{3 {2}\r\n", "\u{e4} x\r\n"]
        );
        assert_eq!(
            pieces(login, 2),
            ["A1 LOGIN {5}\r\n", "a\r\n{3 {2+}\r\n\u{e4} x\r\n"]
        );
        assert_eq!(pieces(login, 5), [login]);
        assert_eq!(pieces("A1 NOOP\r\n", 0), ["A1 NOOP\r\n"]);
        assert_eq!(
            pieces("A1 APPEND {1+}\r\n\u{7f} {9+}\r\n", 0),
            ["A1 APPEND {1}\r\n", "\u{7f} {9+}\r\n"]
        );
    }
}
