//! The open transaction, and the message on its way in by DATA or BDAT.

use std::mem;

use super::{Awaiting, BodyPolicy, Config, Event, Phase, Role, Server};
use crate::session::{Close, Violation};
use crate::smtp::command::{BodyType, Mail};
use crate::smtp::data::{Checks, DotReader, Fault, LineCheck, Piece};
use crate::smtp::reply::Reply;
use crate::smtp::standard::{self, Standard};

/// What is swallowed of a message that is refused, beyond twice the limit.
const GRACE: u64 = 1024 * 1024;

/// What MAIL opened.
#[derive(Debug)]
pub(super) struct Transaction {
    body: Option<BodyType>,
    smtputf8: bool,
    accepted: usize,
    refused: bool,
    chunks: bool,
    size: u64,
    check: LineCheck,
}

impl Transaction {
    pub(super) fn new(config: &Config, mail: &Mail) -> Self {
        let binary = mail.body == Some(BodyType::BinaryMime);
        Self {
            body: mail.body,
            smtputf8: mail.smtputf8,
            accepted: 0,
            refused: false,
            chunks: false,
            size: 0,
            check: LineCheck::new(checks(config, binary)),
        }
    }

    /// A recipient was accepted or refused.
    pub(super) fn recipient(&mut self, accepted: bool) {
        if accepted {
            self.accepted += 1;
        } else {
            self.refused = true;
        }
    }

    pub(super) fn recipients(&self) -> usize {
        self.accepted
    }

    pub(super) fn any_refused(&self) -> bool {
        self.refused
    }

    pub(super) fn has_chunks(&self) -> bool {
        self.chunks
    }

    pub(super) fn smtputf8(&self) -> bool {
        self.smtputf8
    }

    pub(super) fn body(&self) -> Option<BodyType> {
        self.body
    }
}

/// A BDAT chunk that is being read.
#[derive(Debug)]
pub(super) struct Chunk {
    left: u64,
    last: bool,
    refusal: Option<Refusal>,
}

/// Why a chunk is swallowed.
#[derive(Debug)]
struct Refusal {
    reply: Reply,
    /// Whether the transaction ends with it. (Otherwise the chunk did not
    /// belong to one.)
    aborts: bool,
}

impl Server {
    /// The application has decided about DATA.
    pub(super) fn data_decided(&mut self, yes: bool, reply: &Reply) {
        if yes {
            self.say_standard(standard::START_DATA);
            let reader = DotReader::new(checks(&self.config, false));
            self.phase = Phase::Data(Box::new(reader));
        } else {
            self.say(reply);
        }
    }

    /// Reads on in a dot-stuffed message. `false` when there is nothing to do.
    pub(super) fn read_data(&mut self) -> bool {
        let Phase::Data(reader) = &mut self.phase else {
            return false;
        };
        let limit = self.config.limits.message_size;
        let piece = reader.next(&mut self.input);
        let Some(transaction) = &mut self.transaction else {
            return false;
        };
        if reader.consumed() > drain_bound(limit) {
            self.say_standard(standard::MESSAGE_TOO_LARGE);
            self.end(Close::Violate(Violation::TooLarge));
            return true;
        }
        match piece {
            None => false,
            Some(Piece::Body(bytes)) => {
                transaction.size = transaction.size.saturating_add(bytes.len() as u64);
                if limit != 0 && transaction.size > limit {
                    reader.discard();
                } else {
                    self.events.push_back(Event::Body(bytes));
                }
                true
            }
            Some(Piece::End) => {
                let row = if limit != 0 && transaction.size > limit {
                    Some(standard::MESSAGE_TOO_LARGE)
                } else {
                    reader.fault().map(fault_reply)
                };
                self.phase = Phase::Command;
                match row {
                    None => self.message_complete(),
                    Some(row) => self.message_refused(&row.into()),
                }
                true
            }
        }
    }

    /// BDAT. `barrier` is a reason to refuse that has nothing to do with BDAT.
    pub(super) fn bdat(&mut self, size: u64, last: bool, barrier: Option<Standard>) {
        let refusal = match barrier {
            Some(row) => Some((row, false)),
            None => self.check_chunk(size),
        };
        if let Some((row, _)) = refusal
            && size > drain_bound(self.config.limits.message_size)
        {
            self.say_standard(row);
            self.end(Close::Violate(Violation::TooLarge));
            return;
        }
        let first = match &mut self.transaction {
            Some(open) if refusal.is_none() => {
                open.size = open.size.saturating_add(size);
                !mem::replace(&mut open.chunks, true)
            }
            _ => false,
        };
        self.phase = Phase::Chunk(Chunk {
            left: size,
            last,
            refusal: refusal.map(|(row, aborts)| {
                self.errors += 1;
                Refusal {
                    reply: row.into(),
                    aborts,
                }
            }),
        });
        if first {
            self.ask(Event::Data, Awaiting::Chunk);
        }
    }

    /// Why a chunk cannot be taken, and whether that ends the transaction.
    fn check_chunk(&self, size: u64) -> Option<(Standard, bool)> {
        if !self.config.extensions.chunking {
            return Some((standard::NOT_IMPLEMENTED, false));
        }
        let limit = self.config.limits.message_size;
        match self.check_recipients() {
            Err(row) => Some((row, false)),
            Ok(open) if limit != 0 && open.size.saturating_add(size) > limit => {
                Some((standard::MESSAGE_TOO_LARGE, true))
            }
            Ok(_) => None,
        }
    }

    /// The application has decided about the first BDAT.
    pub(super) fn chunk_decided(&mut self, yes: bool, reply: Reply) {
        if let Phase::Chunk(chunk) = &mut self.phase
            && !yes
        {
            chunk.refusal = Some(Refusal {
                reply,
                aborts: true,
            });
        }
    }

    /// Reads on in a chunk. `false` when there is nothing to do.
    pub(super) fn read_chunk(&mut self) -> bool {
        let Phase::Chunk(chunk) = &mut self.phase else {
            return false;
        };
        if chunk.left > 0 {
            if self.input.is_empty() {
                return false;
            }
            let bytes = self
                .input
                .take(usize::try_from(chunk.left).unwrap_or(usize::MAX));
            chunk.left -= bytes.len() as u64;
            if chunk.refusal.is_some() {
                return true;
            }
            let fault = match &mut self.transaction {
                Some(open) => open.check.feed(&bytes),
                None => None,
            };
            match fault {
                Some(fault) => refuse_chunk(chunk, fault),
                None => self.events.push_back(Event::Body(bytes)),
            }
            return true;
        }
        if chunk.last
            && chunk.refusal.is_none()
            && let Some(open) = &mut self.transaction
            && let Some(fault) = open.check.end()
        {
            refuse_chunk(chunk, fault);
        }
        self.chunk_complete();
        true
    }

    fn chunk_complete(&mut self) {
        let Phase::Chunk(chunk) = mem::replace(&mut self.phase, Phase::Command) else {
            return;
        };
        self.rearm = true;
        match chunk.refusal {
            None if chunk.last => self.message_complete(),
            None => self.say_standard(standard::CHUNK_OK),
            Some(refusal) if refusal.aborts && chunk.last => self.message_refused(&refusal.reply),
            Some(refusal) => {
                if refusal.aborts {
                    self.reset();
                }
                self.say(&refusal.reply);
            }
        }
        if self.errors > self.config.limits.errors {
            self.say_standard(standard::TOO_MANY_ERRORS);
            self.end(Close::Violate(Violation::TooManyErrors));
        }
    }

    fn message_complete(&mut self) {
        let left = self.replies_due();
        self.ask(Event::EndOfMessage, Awaiting::EndOfMessage { left });
    }

    /// The session itself refuses a message that was read to its end.
    fn message_refused(&mut self, reply: &Reply) {
        for _ in 0..self.replies_due() {
            self.say(reply);
        }
        self.reset();
    }

    /// RFC 2033 §4.2: in LMTP one reply for each accepted recipient.
    fn replies_due(&self) -> usize {
        match self.config.role {
            Role::Lmtp => self.recipients().max(1),
            Role::Mx | Role::Submission => 1,
        }
    }
}

fn refuse_chunk(chunk: &mut Chunk, fault: Fault) {
    chunk.refusal = Some(Refusal {
        reply: fault_reply(fault).into(),
        aborts: true,
    });
}

fn fault_reply(fault: Fault) -> Standard {
    match fault {
        Fault::BareLineEnd => standard::BARE_LINE_END_IN_MESSAGE,
        Fault::Nul => standard::NUL_IN_MESSAGE,
    }
}

fn checks(config: &Config, binary: bool) -> Checks {
    Checks {
        bare_line_ends: !binary && config.bare_line_ends == BodyPolicy::Refuse,
        nul: !binary && config.nul == BodyPolicy::Refuse,
    }
}

/// How much of a message is swallowed before the connection is given up.
fn drain_bound(limit: u64) -> u64 {
    if limit == 0 {
        u64::MAX
    } else {
        limit.saturating_mul(2).saturating_add(GRACE)
    }
}
