//! A transaction: MAIL, RCPT, and the message by DATA or BDAT.

use bytes::Bytes;

use super::plan::Plan;
use super::{
    Client, Delivery, Envelope, Event, Expect, Failure, LineEnds, Phase, Refusal, Role, Stage,
};
use crate::smtp::command::{BodyType, Command};
use crate::smtp::encode;
use crate::smtp::reply::Reply;
use crate::smtp::stuffing::{Outbox, Stuffer, Unsendable};

/// A chunk of BDAT is sent when this much is there, in bytes.
const CHUNK: u64 = 256 * 1024;

/// What is known of the transaction that is going on.
#[derive(Debug)]
pub(super) struct Transaction {
    envelope: Envelope,
    plan: Plan,
    mail_sent: bool,
    mail_accepted: bool,
    /// How many RCPT were sent.
    sent: usize,
    accepted: Vec<usize>,
    data_sent: bool,
    /// Why nobody gets the message.
    refusal: Option<(Stage, Refusal)>,
    stuffer: Stuffer,
    chunk: Outbox,
    /// The application has given the whole message.
    complete: bool,
    replies: Vec<Delivery>,
}

impl Client {
    pub(super) fn start(&mut self, envelope: Envelope) {
        match self.plan(&envelope) {
            Ok(plan) => {
                let line_ends = self.config.line_ends;
                let binary = plan.mail.body == Some(BodyType::BinaryMime);
                self.transaction = Some(Transaction {
                    stuffer: stuffer(line_ends, plan.chunking, binary),
                    envelope,
                    plan,
                    mail_sent: false,
                    mail_accepted: false,
                    sent: 0,
                    accepted: Vec::new(),
                    data_sent: false,
                    refusal: None,
                    chunk: Outbox::default(),
                    complete: false,
                    replies: Vec::new(),
                });
                self.phase = Phase::Envelope;
                self.pump();
            }
            Err(refusal) => self.events.push_back(Event::Refused {
                stage: Stage::Mail,
                refusal,
            }),
        }
    }

    /// Whether another command may go out before its predecessors are answered.
    fn window_is_open(&self) -> bool {
        let pipelining = self.config.pipelining && self.capabilities.pipelining;
        self.expect.is_empty() || (pipelining && self.expect.len() < self.config.limits.pipeline)
    }

    /// Sends what can be sent now.
    pub(super) fn pump(&mut self) {
        while self.window_is_open() && self.pump_one() {}
    }

    fn pump_one(&mut self) -> bool {
        let Some(transaction) = &self.transaction else {
            return false;
        };
        if transaction.refusal.is_some() {
            return false;
        }
        let next = transaction.envelope.recipients.get(transaction.sent);
        let next = next.map(|rcpt| self.recipient(rcpt));
        let Some(transaction) = &mut self.transaction else {
            return false;
        };
        let (command, expect) = if std::mem::take(&mut self.needs_reset) {
            (Command::Rset, Expect::Rset)
        } else if !transaction.mail_sent {
            transaction.mail_sent = true;
            self.mails = self.mails.saturating_add(1);
            (Command::Mail(transaction.plan.mail.clone()), Expect::Mail)
        } else if let Some(rcpt) = next {
            let index = transaction.sent;
            transaction.sent += 1;
            let limits = self.capabilities.limits;
            if let (Some(Some(_)), Some(mailbox)) =
                (limits.map(|limits| limits.rcpt_domain), rcpt.to.mailbox())
            {
                self.domains.insert(mailbox.domain().clone());
            }
            (Command::Rcpt(rcpt), Expect::Rcpt(index))
        } else if !transaction.plan.chunking && !transaction.data_sent {
            // In LMTP a 354 without recipients could not be got rid of, so DATA waits there
            // (RFC 2033 §4.2).
            if self.config.role == Role::Lmtp && !self.expect.is_empty() {
                return false;
            }
            transaction.data_sent = true;
            (Command::Data, Expect::Data)
        } else {
            return self.pump_chunk();
        };
        self.command(&command, expect);
        true
    }

    fn pump_chunk(&mut self) -> bool {
        let Some(transaction) = &mut self.transaction else {
            return false;
        };
        let last = transaction.complete;
        let size = transaction.chunk.len();
        let nothing_due = !transaction.plan.chunking || self.phase != Phase::Body;
        if nothing_due || (!last && size < CHUNK) {
            return false;
        }
        // In LMTP the number of answers to the last chunk depends on the others' success.
        if self.config.role == Role::Lmtp && !self.expect.is_empty() {
            return false;
        }
        let chunk = std::mem::take(&mut transaction.chunk);
        let recipients = transaction.accepted.len();
        self.out
            .write(|out| encode::command(&Command::Bdat { size, last }, out));
        self.out.append(chunk);
        if last {
            self.expect_final(recipients);
        } else {
            self.expect.push_back(Expect::Chunk);
        }
        true
    }

    /// The message is out.
    fn expect_final(&mut self, recipients: usize) {
        self.phase = Phase::Ending;
        let replies = match self.config.role {
            Role::Smtp => 1,
            // RFC 2033 §4.2
            Role::Lmtp => recipients,
        };
        self.expect.extend((0..replies).map(Expect::Final));
    }

    pub(super) fn transaction_reply(&mut self, expect: Expect, reply: Reply) {
        let Some(transaction) = &mut self.transaction else {
            return self.fail(Failure::UnexpectedReply(reply));
        };
        if reply.is_intermediate() && expect != Expect::Data {
            return self.fail(Failure::UnexpectedReply(reply));
        }
        match expect {
            Expect::Mail if reply.is_positive() => transaction.mail_accepted = true,
            Expect::Mail => refuse(transaction, Stage::Mail, reply),
            // Without MAIL the answers to RCPT mean nothing.
            Expect::Rcpt(_) if !transaction.mail_accepted => {}
            Expect::Rcpt(index) => {
                if reply.is_positive() {
                    transaction.accepted.push(index);
                }
                let last = transaction.accepted.is_empty()
                    && transaction.sent == transaction.envelope.recipients.len()
                    && !self.expect.iter().any(|e| matches!(e, Expect::Rcpt(_)));
                if last {
                    refuse(transaction, Stage::Rcpt, reply.clone());
                }
                self.events.push_back(Event::Rcpt { index, reply });
            }
            Expect::Data => return self.data_reply(reply),
            Expect::Chunk if reply.is_positive() => {}
            Expect::Chunk => refuse(transaction, Stage::Data, reply),
            Expect::Final(n) if transaction.refusal.is_none() => {
                match self.config.role {
                    Role::Smtp => {
                        let all = transaction.accepted.iter();
                        transaction.replies = all
                            .map(|&recipient| Delivery {
                                recipient,
                                reply: reply.clone(),
                            })
                            .collect();
                    }
                    Role::Lmtp => {
                        if let Some(&recipient) = transaction.accepted.get(n) {
                            transaction.replies.push(Delivery { recipient, reply });
                        }
                    }
                }
                if self.expect.is_empty() {
                    let replies = std::mem::take(&mut transaction.replies);
                    let omitted = transaction.plan.omitted;
                    self.transaction = None;
                    self.phase = Phase::Idle;
                    self.events.push_back(Event::Sent { replies, omitted });
                    return;
                }
            }
            _ => {}
        }
        self.proceed();
    }

    /// The answer to DATA. It was sent ahead of the answers to RCPT when
    /// pipelining, so it may come for nobody (RFC 2920 §3.1).
    fn data_reply(&mut self, reply: Reply) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        if reply.code == 354 {
            if transaction.accepted.is_empty() {
                self.out.write(|out| out.extend_from_slice(b".\r\n"));
                self.expect.push_back(Expect::Void);
            } else {
                self.phase = Phase::Body;
                self.events.push_back(Event::WantBody);
            }
        } else if reply.is_negative() {
            refuse(transaction, Stage::Data, reply);
            self.proceed();
        } else {
            self.fail(Failure::UnexpectedReply(reply));
        }
    }

    /// After a reply: on to the message, to the next command, or to the end.
    fn proceed(&mut self) {
        self.pump();
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        if !self.expect.is_empty() {
            return;
        }
        if let Some((stage, refusal)) = transaction.refusal.take() {
            self.needs_reset = transaction.mail_accepted;
            self.transaction = None;
            self.phase = Phase::Idle;
            self.events.push_back(Event::Refused { stage, refusal });
        } else if self.phase == Phase::Envelope && transaction.plan.chunking {
            self.phase = Phase::Body;
            self.events.push_back(Event::WantBody);
        }
    }

    pub(super) fn body_piece(&mut self, bytes: Bytes) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        // The rest of a message whose beginning was refused; the event is on its way.
        if transaction.refusal.is_some() || transaction.complete {
            return;
        }
        let out = if transaction.plan.chunking {
            &mut transaction.chunk
        } else {
            &mut self.out
        };
        match transaction.stuffer.write(bytes, out) {
            Ok(()) => self.pump(),
            Err(why) => self.fail(unsendable(why)),
        }
    }

    pub(super) fn body_end(&mut self) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        if transaction.refusal.is_some() || transaction.complete {
            return;
        }
        transaction.complete = true;
        let out = if transaction.plan.chunking {
            &mut transaction.chunk
        } else {
            &mut self.out
        };
        if let Err(why) = transaction.stuffer.finish(out) {
            return self.fail(unsendable(why));
        }
        if transaction.plan.chunking {
            self.pump();
        } else {
            let recipients = transaction.accepted.len();
            self.expect_final(recipients);
        }
    }
}

fn stuffer(line_ends: LineEnds, chunking: bool, binary: bool) -> Stuffer {
    if chunking {
        Stuffer::counted((!binary).then_some(line_ends))
    } else {
        Stuffer::dots(line_ends)
    }
}

fn unsendable(why: Unsendable) -> Failure {
    match why {
        Unsendable::BareLineEnd => Failure::BareLineEnd,
        Unsendable::Nul => Failure::Nul,
    }
}

/// The first refusal counts; those that follow from it do not.
fn refuse(transaction: &mut Transaction, stage: Stage, reply: Reply) {
    if transaction.refusal.is_none() {
        transaction.refusal = Some((stage, Refusal::Reply(reply)));
    }
}
