//! Commands as they come: framing, state, and those the session carries out itself.

use bytes::Bytes;

use super::{AccountLimits, Event, Kind, Phase, Server};
use crate::imap::command::Command;
use crate::imap::command::name::{Name, Needs};
use crate::imap::extensions::enable::Enabled;
use crate::imap::extensions::literal::{LITERAL_MINUS, Literal};
use crate::imap::extensions::multiappend::AppendPiece;
use crate::imap::extensions::uidonly;
use crate::imap::frame::Frame;
use crate::imap::parse::{self, Grammar};
use crate::imap::response::{Code, Response, Status, StatusKind};
use crate::imap::types::Tag;
use crate::session::{Close, Upgrade, Violation};

impl Server {
    /// Reads on in a command; whether anything happened.
    pub(super) fn read_command(&mut self) -> bool {
        let Some(frame) = self.input.next(self.command_limit()) else {
            return false;
        };
        match frame {
            Frame::Command(bytes) => self.command(&bytes),
            Frame::Literal(literal) => self.literal(literal),
            Frame::TooLong(tag, literal) => {
                let status = Status::bad("The command is too long").with(Code::TooBig);
                self.refuse_line(tag, status, literal);
            }
            // RFC 9051 §2.2: all lines end with CRLF.
            Frame::BareLf(tag, literal) => {
                let status = Status::bad("A line has to end with CRLF, not with LF alone");
                self.refuse_line(tag, status, literal);
            }
            Frame::Discarded(tag, status) => self.complain(tag.as_ref(), status),
            Frame::Flood => self.too_large(),
        }
        true
    }

    /// Longest command in the present state.
    pub(super) fn command_limit(&self) -> usize {
        let limits = &self.config.limits;
        if self.identity.is_some() {
            limits
                .command
                .min(self.of_account.command.unwrap_or(usize::MAX))
        } else {
            limits.command_before_login
        }
    }

    /// How much of a refused command is thrown away before we hang up.
    pub(super) fn discard_limit(&self) -> u64 {
        if self.identity.is_some() {
            self.config.limits.message_size.saturating_mul(2)
        } else {
            self.config.limits.command_before_login as u64
        }
    }

    pub(super) fn too_large(&mut self) {
        self.end(
            Some(Status::bad("A literal is far too large").with(Code::TooBig)),
            Close::Violate(Violation::TooLarge),
        );
    }

    /// Largest literal that needs no permission.
    pub(super) fn unasked_limit(&self) -> u64 {
        if self.config.literal_plus {
            u64::MAX
        } else {
            LITERAL_MINUS
        }
    }

    /// Decides on a literal that is announced. What will be refused anyway is
    /// refused now, before the client sends it.
    fn literal(&mut self, literal: Literal) {
        let so_far = self.input.so_far();
        let (tag, decision) = match parse::head(so_far) {
            Err(rejection) => (rejection.tag, Err(rejection.status)),
            Ok(head) => {
                let tag = head.tag.clone();
                let append = (head.name.appends() && self.check_state(head.name).is_ok())
                    .then(|| parse::arguments(&self.grammar(), head.name, so_far, head.rest));
                match append {
                    Some(Ok(Command::Append(append)))
                        if append
                            .pieces
                            .last()
                            .is_some_and(AppendPiece::awaits_literal) =>
                    {
                        return self.append(tag, append, Some(literal));
                    }
                    // Well formed, but a mailbox that cannot be: the literal would not mend it.
                    Some(Err(status)) if status.kind == StatusKind::No => (Some(tag), Err(status)),
                    _ => {
                        let state = self.check_state(head.name);
                        (Some(tag), state.and_then(|()| self.check_literal(literal)))
                    }
                }
            }
        };
        match decision {
            Ok(size) => {
                self.input.accept(size);
                if literal.synchronising {
                    self.out.proceed("Go on");
                }
            }
            Err(status) => self.refuse_literal(tag, status, literal),
        }
    }

    /// Whether a literal that is no message may come; gives its size.
    pub(super) fn check_literal(&self, literal: Literal) -> Result<usize, Status> {
        if literal.binary {
            // RFC 3516 §4.4: literal8 is only for the message of APPEND.
            return Err(Status::bad("A literal8 is not allowed here"));
        }
        let limits = &self.config.limits;
        let limit = limits.literal.min(match self.identity {
            Some(_) => self.of_account.literal.unwrap_or(usize::MAX),
            None => limits.command_before_login,
        });
        let (count, bytes) = self.input.taken();
        if count >= limits.literals {
            return Err(Status::bad("The command holds too many literals").with(Code::TooBig));
        }
        if !literal.synchronising && literal.size > self.unasked_limit() {
            return Err(too_big_to_come_unasked());
        }
        // All literals of a command share the limit of one.
        match usize::try_from(literal.size) {
            Ok(size) if size <= limit - bytes.min(limit) => Ok(size),
            _ => Err(Status::bad("The literal is too large").with(Code::TooBig)),
        }
    }

    /// Refuses a command at its literal: a client that waits is told at once,
    /// one that does not has sent the literal already.
    pub(super) fn refuse_literal(&mut self, tag: Option<Tag>, status: Status, literal: Literal) {
        if literal.synchronising {
            self.input.forget();
            self.complain(tag.as_ref(), status);
        } else {
            let budget = self.discard_limit();
            self.input.discard(tag, status, literal.size, budget);
        }
    }

    /// Refuses a line, with the literal that it announces if it does.
    pub(super) fn refuse_line(
        &mut self,
        tag: Option<Tag>,
        status: Status,
        literal: Option<Literal>,
    ) {
        match literal {
            Some(literal) => self.refuse_literal(tag, status, literal),
            None => self.complain(tag.as_ref(), status),
        }
    }

    pub(super) fn grammar(&self) -> Grammar {
        Grammar {
            rev2: self.enabled.rev2,
            utf8_accept: self.enabled.utf8_accept,
            nesting: self.config.limits.nesting,
            separator: self.config.separator,
        }
    }

    /// Whether the state allows a command.
    fn check_state(&self, name: Name) -> Result<(), Status> {
        let logged_in = self.identity.is_some();
        match name.needs() {
            Needs::NotAuthenticated if logged_in => Err(Status::bad("You have logged in already")),
            Needs::Authenticated | Needs::Selected if !logged_in => {
                Err(Status::bad("You have to log in first"))
            }
            Needs::Selected if self.selected.is_none() => {
                Err(Status::bad("No mailbox is selected"))
            }
            Needs::Selected if self.selected == Some(true) && name.writes() => {
                Err(Status::no("The mailbox is open read-only"))
            }
            _ => Ok(()),
        }
    }

    /// Carries out a complete command, or hands it to the application.
    fn command(&mut self, bytes: &Bytes) {
        if self.identity.is_none() && is_http(bytes) {
            return self.end(
                Some(Status::bad("This is IMAP, not HTTP")),
                Close::Violate(Violation::NotThisProtocol),
            );
        }
        let head = match parse::head(bytes) {
            Ok(head) => head,
            Err(rejection) => return self.complain(rejection.tag.as_ref(), rejection.status),
        };
        // The state first: before login nothing large is ever parsed (CVE-2026-27857).
        let command = self
            .check_state(head.name)
            .and_then(|()| parse::arguments(&self.grammar(), head.name, bytes, head.rest));
        match command {
            Ok(command) => self.run(head.tag, command),
            Err(status) => {
                let refused = status.kind == StatusKind::No;
                if refused && parse::saves(&self.grammar(), head.name, head.rest) {
                    self.events.push_back(Event::NothingSaved);
                }
                self.complain(Some(&head.tag), status);
            }
        }
    }

    fn run(&mut self, tag: Tag, command: Command) {
        // RFC 7162 §3.2.3
        if !self.enabled.qresync && command.needs_qresync() {
            let status = Status::bad("This needs ENABLE QRESYNC before it");
            return self.complain(Some(&tag), status);
        }
        // RFC 7377 §2.2
        if let Command::MultiSearch(search) = &command
            && search.needs_selected()
            && self.selected.is_none()
        {
            return self.complain(Some(&tag), Status::bad("No mailbox is selected"));
        }
        // RFC 9586 §3
        if self.enabled.uidonly && command.uses_sequence_numbers() {
            return self.complain(Some(&tag), uidonly::refusal());
        }
        self.enabled.condstore |= command.enables_condstore();
        match command {
            Command::Capability => {
                let capabilities = self.capabilities();
                self.say(&Response::Capability(capabilities));
                self.tagged(&tag, &Status::ok("CAPABILITY completed"));
            }
            Command::Noop if self.identity.is_none() => {
                self.tagged(&tag, &Status::ok("NOOP completed"));
            }
            Command::Logout => {
                self.say(&Response::Bye(Status::ok("Logging out")));
                self.tagged(&tag, &Status::ok("LOGOUT completed"));
                self.end(None, Close::Finish);
            }
            Command::StartTls => self.starttls(&tag),
            Command::Login { user, password } => self.login(tag, &user, &password),
            Command::Authenticate { mechanism, initial } => {
                self.authenticate(tag, &mechanism, initial.as_ref());
            }
            Command::Enable(names) => self.enable(tag, names),
            Command::Id(pairs) => {
                let ours = self.config.id.iter();
                let ours = ours.map(|(name, value)| (name.clone(), Some(value.clone())));
                let response = Response::Id(ours.collect());
                self.say(&response);
                self.tagged(&tag, &Status::ok("ID completed"));
                self.events.push_back(Event::ClientId(pairs));
            }
            Command::Append(append) => {
                if append.pieces.last().is_none_or(AppendPiece::awaits_literal) {
                    let status =
                        Status::bad("Expected the message as a literal at the end of the line");
                    return self.complain(Some(&tag), status);
                }
                self.append(tag, append, None);
            }
            Command::Compress => self.compress(&tag),
            Command::Unauthenticate => self.hand_over(tag, command, Kind::Forget),
            Command::Idle => self.idle(tag),
            Command::Select(_) => self.select(tag, command, false),
            Command::Examine(_) => self.select(tag, command, true),
            Command::Close | Command::Unselect => self.hand_over(tag, command, Kind::Leave),
            _ => self.hand_over(tag, command, Kind::Plain),
        }
    }

    fn hand_over(&mut self, tag: Tag, command: Command, kind: Kind) {
        self.phase = Phase::Busy {
            tag: tag.clone(),
            kind,
        };
        self.events.push_back(Event::Command { tag, command });
    }

    fn select(&mut self, tag: Tag, command: Command, examine: bool) {
        // RFC 9051 §6.3.2: the mailbox selected before is closed, also if this
        // fails; §7.1: CLOSED marks where its responses end.
        if self.selected.take().is_some() {
            self.say(&Response::ok(
                Code::Closed,
                "The previous mailbox is closed",
            ));
        }
        self.hand_over(tag, command, Kind::Select { examine });
    }

    /// Ends a command with what its end changes.
    pub(super) fn finish_kind(&mut self, tag: &Tag, kind: Kind, mut status: Status) {
        let ok = status.kind == StatusKind::Ok;
        match kind {
            Kind::Plain => {}
            Kind::Select { examine } if ok => {
                let read_only = examine || status.code == Some(Code::ReadOnly);
                self.selected = Some(read_only);
                // RFC 9051 §6.3.2, §6.3.3
                status.code.get_or_insert(if read_only {
                    Code::ReadOnly
                } else {
                    Code::ReadWrite
                });
            }
            Kind::Select { .. } => self.selected = None,
            Kind::Leave if ok => self.selected = None,
            Kind::Forget if ok => return self.forget(tag, &status),
            Kind::Forget => {}
            Kind::Leave => {}
            Kind::BrokenIdle => {
                return self.complain(Some(tag), Status::bad("Expected DONE to end IDLE"));
            }
        }
        self.tagged(tag, &status);
    }

    /// [RFC 9051 §6.2.1](https://www.rfc-editor.org/rfc/rfc9051#section-6.2.1)
    fn starttls(&mut self, tag: &Tag) {
        if self.tls.is_some() {
            return self.complain(Some(tag), Status::bad("TLS is active already"));
        }
        if !self.config.starttls {
            return self.complain(Some(tag), Status::bad("STARTTLS is not available"));
        }
        if !self.input.is_empty() {
            // CVE-2011-0411, CVE-2021-33515: commands sent behind STARTTLS would
            // count as sent inside TLS.
            self.tagged(tag, &Status::bad("Nothing may follow STARTTLS before TLS"));
            return self.end(
                Some(Status::bad("Plaintext behind STARTTLS")),
                Close::Violate(Violation::PlaintextAfterStartTls),
            );
        }
        self.tagged(tag, &Status::ok("Begin TLS now"));
        self.input.clear();
        self.phase = Phase::Handshake { greeted: true };
        self.upgrade = Some(Upgrade::Tls);
    }

    /// [RFC 4978 §3](https://www.rfc-editor.org/rfc/rfc4978#section-3)
    fn compress(&mut self, tag: &Tag) {
        if self.compressed {
            let status = Status::no("Compression is active already");
            return self.complain(Some(tag), status.with(Code::CompressionActive));
        }
        if !self.config.compress {
            return self.complain(Some(tag), Status::no("Compression is not available"));
        }
        if !self.input.is_empty() {
            // Nobody could tell whether it is compressed.
            let status = Status::bad("Nothing may follow COMPRESS before its answer");
            return self.complain(Some(tag), status);
        }
        self.tagged(tag, &Status::ok("All that follows is compressed"));
        self.compressed = true;
        self.upgrade = Some(Upgrade::Deflate);
    }

    /// UNAUTHENTICATE has ended: all that came with the login is void, TLS and
    /// compression stay
    /// ([RFC 8437 §4.1](https://www.rfc-editor.org/rfc/rfc8437#section-4.1)).
    fn forget(&mut self, tag: &Tag, status: &Status) {
        self.identity = None;
        self.selected = None;
        self.append_limit = None;
        self.of_account = AccountLimits::default();
        self.enabled = Enabled::default();
        // The time for the next login begins now.
        self.started = None;
        let code = Code::Capability(self.capabilities());
        self.tagged(tag, &status.clone().with(code));
    }

    /// [RFC 9051 §6.3.1](https://www.rfc-editor.org/rfc/rfc9051#section-6.3.1): what is unknown is ignored.
    fn enable(&mut self, tag: Tag, names: Vec<String>) {
        let told_before = self.enabled.metadata;
        let new = self.enabled.enable(&names, self.config.rev2);
        self.say(&Response::Enabled(new));
        if self.selected.is_some() || self.enabled.metadata != told_before {
            // The application may have something to say of the open mailbox, and
            // has to know from when on changes of METADATA are told.
            return self.hand_over(tag, Command::Enable(names), Kind::Plain);
        }
        self.tagged(&tag, &Status::ok("ENABLE completed"));
    }
}

/// RFC 7888 §5: a client of LITERAL- may send 4096 bytes unasked.
pub(super) fn too_big_to_come_unasked() -> Status {
    Status::bad("A non-synchronising literal may have at most 4096 bytes").with(Code::TooBig)
}

/// A request line of a browser that someone has led here.
fn is_http(line: &[u8]) -> bool {
    line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")
}
