//! One connection: what the service says to each event.

use axigen_proto::TlsInfo;
use axigen_proto::sasl::{Answer, Ask, Refusal};
use axigen_proto::smtp::address::ReversePath;
use axigen_proto::smtp::command::{Hello, HelloVerb, Mail, Rcpt};
use axigen_proto::smtp::reply::Reply;
use axigen_proto::smtp::server::{Event, Role, Server};
use axigen_proto::smtp::standard;

use tokio::sync::OwnedMutexGuard;

use super::message::{Incoming, Times, message_id};
use super::{questions, replies};
use crate::delivery::ACCOUNTS_PER_MESSAGE;
use crate::directory::{Login, Resolution};
use crate::filter::{Connection, Recipient, Transaction, Verdict};
use crate::mailbox::Quota;
use crate::queue::entry::Notify;
use crate::queue::schedule::later;
use crate::service::Context;
use crate::service::counted::{Connections, Counted};
use crate::service::guesses::Guesses;
use crate::service::turns::Turns;
use crate::settings::Holding;

/// One connection.
pub(super) struct Talk<'c> {
    pub(super) role: Role,
    pub(super) context: &'c Context,
    pub(super) hostname: &'c str,
    pub(super) max_received: usize,
    pub(super) connection: Connection,
    pub(super) login: Option<Login>,
    /// Connections of accounts that have logged in.
    open: Connections,
    counted: Option<Counted>,
    /// Largest message of whoever has logged in; `None` is the service's limit.
    pub(super) own_limit: Option<u64>,
    /// What else the account may send as.
    send_as: Vec<String>,
    /// Whether it wants a copy of what it sends, and what it may hold.
    pub(super) sent_copy: Option<Quota>,
    /// What it may have held.
    hold: Option<Holding>,
    holds: Turns,
    /// EHLO instead of HELO.
    pub(super) extended: bool,
    guesses: Guesses,
    /// A filter wants whatever comes over this connection thrown away.
    discard: bool,
    /// The transaction that is open.
    incoming: Option<Incoming>,
}

pub(super) type Done = Result<(), axigen_proto::Misuse>;

impl<'c> Talk<'c> {
    pub(super) fn new(
        role: Role,
        context: &'c Context,
        hostname: &'c str,
        max_received: usize,
        connection: Connection,
        (open, holds): (Connections, Turns),
    ) -> Talk<'c> {
        Talk {
            role,
            context,
            hostname,
            max_received,
            guesses: Guesses::of(connection.peer),
            connection,
            login: None,
            open,
            counted: None,
            own_limit: None,
            send_as: Vec::new(),
            sent_copy: None,
            hold: None,
            holds,
            extended: true,
            discard: false,
            incoming: None,
        }
    }

    pub(super) fn in_transaction(&self) -> bool {
        self.incoming.is_some()
    }

    /// What is known of TLS now.
    pub(super) fn encrypted(&mut self, tls: Option<&TlsInfo>) {
        self.connection.tls = tls.cloned();
    }

    pub(super) async fn event(&mut self, session: &mut Server, event: Event) -> Done {
        match event {
            Event::Connected => {
                let verdict = self.context.filters.connect(&mut self.connection).await;
                self.discard |= verdict == Verdict::Discard;
                session.reply(replies::verdict(verdict))
            }
            Event::Hello(hello) => {
                let logged_in = session.identity().is_some();
                let reply = self.hello(hello, logged_in).await;
                session.reply(reply)
            }
            Event::Auth(ask) => {
                let answer = self.auth(&ask).await;
                session.answer(answer)
            }
            Event::Mail(mail) => {
                let reply = self.mail(mail).await;
                session.reply(reply)
            }
            Event::Rcpt(rcpt) => {
                let reply = self.rcpt(rcpt).await;
                session.reply(reply)
            }
            Event::Vrfy(who) => {
                let reply = questions::vrfy(self.context, &who).await;
                session.reply(reply)
            }
            Event::Expn(list) => {
                let reply = questions::expn(self.context, &list).await;
                session.reply(reply)
            }
            Event::Etrn(node) => {
                let reply = questions::etrn(self.context, &node).await;
                session.reply(reply)
            }
            Event::Data => {
                let reply = self.data().await;
                session.reply(reply)
            }
            Event::Body(bytes) => {
                if let Some(incoming) = &mut self.incoming {
                    incoming.push(&self.context.in_flight, &bytes);
                }
                Ok(())
            }
            Event::EndOfMessage => {
                let replies = match self.incoming.take() {
                    Some(incoming) => self.end_of_message(incoming).await,
                    None => vec![standard::LOCAL_ERROR.into()],
                };
                for reply in replies {
                    let last = reply.code == 421;
                    session.reply(reply)?;
                    // It has ended the session; LMTP may have more replies to give.
                    if last {
                        break;
                    }
                }
                Ok(())
            }
            Event::Reset => {
                if let Some(incoming) = self.incoming.take() {
                    tracing::debug!(id = incoming.tx.id, "a transaction was given up");
                }
                Ok(())
            }
        }
    }

    async fn hello(&mut self, hello: Hello, logged_in: bool) -> Reply {
        self.incoming = None;
        self.extended = hello.verb != HelloVerb::Helo;
        self.connection.helo = Some(hello.name.as_str().to_owned());
        if !logged_in {
            // RFC 3207 §4.2: what was known before STARTTLS is forgotten.
            self.login = None;
            self.counted = None;
            self.own_limit = None;
            self.send_as = Vec::new();
            self.sent_copy = None;
            self.hold = None;
            self.connection.authenticated = None;
        }
        let verdict = self.context.filters.helo(&mut self.connection).await;
        self.discard |= verdict == Verdict::Discard;
        replies::verdict(verdict)
    }

    async fn auth(&mut self, ask: &Ask) -> Answer {
        let tls = self.connection.tls.as_ref();
        let (answer, login) = self.guesses.answer(self.context, tls, ask).await;
        let answer = match login {
            Some(login) => self.admit(login, answer).await,
            None => answer,
        };
        if let Answer::Refuse(refusal) = &answer {
            tracing::info!(?ask, ?refusal, "a login was refused");
        }
        self.guesses.decided(self.context, ask, &answer).await;
        answer
    }

    /// The directory knows the user; may this account submit mail?
    async fn admit(&mut self, login: Login, yes: Answer) -> Answer {
        let address = &login.account.address;
        let settings = match self.context.directory.account_settings(address).await {
            Ok(settings) => settings.effective(&self.context.settings.load().accounts),
            Err(error) => {
                tracing::error!(%error, "the settings of an account could not be read");
                return Answer::Refuse(Refusal::Unavailable);
            }
        };
        if !settings.submission {
            return Answer::Refuse(Refusal::NotAuthorized);
        }
        let most = settings.submission_connections;
        let Some(counted) = self.open.one_more(login.account.id, most) else {
            return Answer::Refuse(Refusal::TooMany);
        };
        self.counted = Some(counted);
        tracing::info!(user = address, "logged in");
        self.connection.authenticated = Some(address.clone());
        self.own_limit = settings.message_size;
        self.sent_copy = settings.sent_copy.then_some(settings.quota);
        self.hold = Some(settings.hold);
        self.send_as = settings.send_as;
        self.login = Some(login);
        yes
    }

    async fn mail(&mut self, mail: Mail) -> Reply {
        if self.role == Role::Submission {
            match self.may_send_as(&mail.from).await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::info!(sender = %mail.from, "a sender was refused");
                    return replies::not_yours();
                }
                Err(reply) => return reply,
            }
            if self.too_large(mail.size.unwrap_or(0)) {
                return standard::MESSAGE_TOO_LARGE.into();
            }
        }
        let times = Times::of(&mail, self.context.delivery.now());
        // RFC 4865 §4.2: held until it is too late.
        if let (Some(held), Some(by)) = (times.not_before, times.by)
            && held >= by.at
        {
            return standard::HELD_BEYOND_BY.into();
        }
        if let Some(until) = times.not_before {
            let longest = self.hold.and_then(|hold| hold.time);
            let now = self.context.delivery.now();
            if longest.is_some_and(|longest| until > later(now, longest)) {
                return standard::HELD_TOO_LONG.into();
            }
            if let Err(reply) = self.may_hold(mail.size.unwrap_or(0)).await {
                return reply;
            }
        }
        let sender = mail.from.mailbox().map(ToString::to_string);
        let sender = sender.unwrap_or_default();
        let mut tx = Transaction::new(self.connection.clone(), message_id(), sender);
        tx.declared_size = mail.size;
        let verdict = self.context.filters.mail(&mut tx).await;
        let discard = self.discard || verdict == Verdict::Discard;
        let reply = replies::verdict(verdict);
        if !reply.is_positive() {
            tracing::info!(id = tx.id, sender = tx.sender, %reply, "a sender was refused");
            return reply;
        }
        let share = self.context.in_flight.share();
        self.incoming = Some(Incoming::new(tx, mail, times, discard, share));
        standard::SENDER_OK.into()
    }

    /// Whether who has logged in may have so many bytes more held (RFC 4865 §6). As
    /// long as the turn lasts, it is nobody else's.
    pub(super) async fn may_hold(&self, size: u64) -> Result<Option<OwnedMutexGuard<()>>, Reply> {
        let (Some(login), Some(hold)) = (&self.login, &self.hold) else {
            return Err(standard::UNKNOWN_PARAMETER.into());
        };
        let account = login.account.id;
        let turn = self.holds.of(account.0).await;
        match self.context.delivery.held_by(account).await {
            Ok(held) if hold.admits(held, (1, size)) => Ok(turn),
            Ok(_) => {
                tracing::info!(user = login.account.address, "too much is held already");
                Err(standard::HELD_TOO_MUCH.into())
            }
            Err(error) => {
                tracing::error!(%error, "what an account has held could not be counted");
                Err(standard::LOCAL_ERROR.into())
            }
        }
    }

    /// Larger than whoever has logged in may send.
    pub(super) fn too_large(&self, size: u64) -> bool {
        self.own_limit.is_some_and(|most| size > most)
    }

    /// RFC 6409 §6.1: only in one's own name, which is the account's address,
    /// with or without a detail, an alias that leads to it, or one it may send as
    /// by its settings. The null sender
    /// is for receipts (RFC 8098 §2.1 wants it for them).
    async fn may_send_as(&self, sender: &ReversePath) -> Result<bool, Reply> {
        let Some(login) = &self.login else {
            return Ok(false);
        };
        let Some(mailbox) = sender.mailbox() else {
            return Ok(true);
        };
        let domain = mailbox.domain().to_string();
        let written = mailbox.to_string().to_lowercase();
        let allowed = |known: &String| match known.strip_prefix('@') {
            Some(known) => known.eq_ignore_ascii_case(&domain),
            None => known.to_lowercase() == written,
        };
        if self.send_as.iter().any(allowed) {
            return Ok(true);
        }
        match self
            .context
            .directory
            .resolve(mailbox.local(), &domain)
            .await
        {
            Ok(Resolution::Found { local, .. }) => {
                Ok(local.iter().any(|to| to.account == login.account.id))
            }
            Ok(_) => Ok(false),
            Err(error) => {
                tracing::error!(%error, "a sender could not be resolved");
                Err(standard::LOCAL_ERROR.into())
            }
        }
    }

    async fn rcpt(&mut self, rcpt: Rcpt) -> Reply {
        let Some(incoming) = &mut self.incoming else {
            return standard::LOCAL_ERROR.into();
        };
        let domain = rcpt.to.mailbox().map(|to| to.domain().to_string());
        let wanted = rcpt.to.mailbox().zip(domain.as_deref());
        let taken = self
            .context
            .delivery
            .accept(
                wanted.map(|(to, domain)| (to.local(), domain)),
                self.login.is_some(),
                incoming.tx.declared_size,
            )
            .await;
        let refused = |reply: Reply| {
            tracing::info!(id = incoming.tx.id, recipient = %rcpt.to, %reply, "a recipient was refused");
            reply
        };
        let mut accepted = match taken {
            Ok(accepted) => accepted,
            Err(why) => return refused(replies::recipient(why)),
        };
        accepted.notify = rcpt.notify.map(|wanted| Notify {
            success: wanted.success,
            failure: wanted.failure,
            delay: wanted.delay,
        });
        accepted.original = rcpt.orcpt.as_ref().map(ToString::to_string);
        let accounts = incoming.accounts() + accepted.accounts();
        if accounts > ACCOUNTS_PER_MESSAGE && !incoming.accepted.is_empty() {
            return refused(standard::TOO_MANY_RECIPIENTS.into());
        }
        let mut recipient = Recipient {
            address: accepted.address.clone(),
            account: None,
        };
        let filters = &self.context.filters;
        let verdict = filters.rcpt(&mut incoming.tx, &mut recipient).await;
        incoming.discard |= verdict == Verdict::Discard;
        let reply = replies::verdict(verdict);
        if !reply.is_positive() {
            tracing::info!(id = incoming.tx.id, recipient = %rcpt.to, %reply, "a recipient was refused");
            return reply;
        }
        incoming.tx.recipients.push(recipient);
        incoming.accepted.push(accepted);
        standard::RECIPIENT_OK.into()
    }

    async fn data(&mut self) -> Reply {
        let Some(mut incoming) = self.incoming.take() else {
            return standard::LOCAL_ERROR.into();
        };
        let verdict = self.context.filters.data(&mut incoming.tx).await;
        incoming.discard |= verdict == Verdict::Discard;
        let reply = replies::verdict(verdict);
        if reply.is_positive() {
            let trace = self.trace(&incoming);
            incoming.begin(&trace);
        } else {
            tracing::info!(id = incoming.tx.id, %reply, "a message was refused before it came");
        }
        // After a no the session may still ask for another try.
        self.incoming = Some(incoming);
        reply
    }
}
