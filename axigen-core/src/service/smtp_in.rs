//! SMTP Incoming, submission and LMTP: one event loop for the three.
//!
//! Filters have their say at each stage while the peer waits; a message is
//! acknowledged when it is durable in every mailbox it goes to.

use std::sync::Arc;

use async_trait::async_trait;
use axigen_proto::TlsInfo;
use axigen_proto::sasl::Mechanism;
use axigen_proto::smtp::command::{HelloVerb, Mail, Rcpt};
use axigen_proto::smtp::reply::Reply;
use axigen_proto::smtp::server::{Config, Event, Role, Server, StartTls};
use axigen_proto::smtp::standard;
use bytes::{Bytes, BytesMut};

use super::{Context, Peer, Service, Share, nonce};
use crate::delivery::headers::{Trace, received_count, submitted};
use crate::delivery::{Accepted, Outcome, Refused};
use crate::directory::Login;
use crate::filter::{Connection, Message, Recipient, Transaction, Verdict};
use crate::net::{Conn, Stream};
use crate::settings::{SmtpSettings, TlsMode};

/// SMTP Incoming, submission or LMTP.
#[derive(Debug)]
pub struct SmtpIn {
    role: Role,
    context: Context,
}

impl SmtpIn {
    /// Takes mail from other servers.
    pub fn mx(context: Context) -> SmtpIn {
        SmtpIn {
            role: Role::Mx,
            context,
        }
    }

    /// Takes mail from the server's own users.
    pub fn submission(context: Context) -> SmtpIn {
        SmtpIn {
            role: Role::Submission,
            context,
        }
    }

    /// Takes mail from a server in front.
    pub fn lmtp(context: Context) -> SmtpIn {
        SmtpIn {
            role: Role::Lmtp,
            context,
        }
    }

    fn config(&self, settings: &SmtpSettings, hostname: &str, peer: &Peer) -> Config {
        let mut config = Config::new(self.role, hostname);
        config.limits = settings.session_limits();
        config.implicit_tls = peer.implicit_tls();
        config.starttls = match peer.listener.tls {
            TlsMode::Starttls if self.context.tls.is_some() => StartTls::Offered,
            _ => StartTls::Unavailable,
        };
        if self.role == Role::Submission {
            config.auth_plaintext = match peer.listener.plaintext_login {
                true => Mechanism::ALL.to_vec(),
                false => Vec::new(),
            };
        }
        config
    }
}

#[async_trait]
impl Service for SmtpIn {
    fn name(&self) -> &'static str {
        match self.role {
            Role::Mx => "smtp_in",
            Role::Submission => "submission",
            Role::Lmtp => "lmtp",
        }
    }

    async fn serve(&self, stream: Stream, mut peer: Peer) {
        let Some(nonce) = nonce() else { return };
        let all = self.context.settings.load_full();
        let settings = match self.role {
            Role::Mx => &all.smtp_in,
            Role::Submission => &all.submission,
            Role::Lmtp => &all.lmtp,
        };
        let session = Server::new(Arc::new(self.config(settings, &all.hostname, &peer)), nonce);
        let mut conn = match (peer.implicit_tls(), self.context.tls.clone()) {
            (true, Some(tls)) => Conn::server_tls(stream, session, tls),
            (true, None) => return,
            (false, tls) => Conn::server(stream, session, tls),
        };
        let mut talk = Talk {
            role: self.role,
            context: &self.context,
            hostname: &all.hostname,
            max_received: settings.received_headers,
            connection: Connection {
                peer: peer.addr.ip(),
                service: self.name().to_owned(),
                helo: None,
                tls: None,
                authenticated: None,
            },
            login: None,
            extended: true,
            open: None,
        };
        let mut stopping = false;
        loop {
            let event = tokio::select! {
                event = conn.next() => event,
                () = peer.stopped(), if !stopping => {
                    stopping = true;
                    // Between two transactions; a message that is coming is taken first.
                    if conn.session().is_idle() || talk.open.is_none() {
                        conn.session().close(&standard::SHUTTING_DOWN.into());
                    }
                    continue;
                }
            };
            let tls = conn.tls_info().cloned();
            let done = match event {
                Ok(Some(event)) => talk.event(conn.session(), tls, event).await,
                Ok(None) => {
                    tracing::debug!(service = self.name(), peer = %peer.addr, why = ?conn.close_reason(), "closed");
                    return;
                }
                Err(error) => {
                    tracing::debug!(service = self.name(), peer = %peer.addr, %error, "the connection failed");
                    return;
                }
            };
            if let Err(misuse) = done {
                tracing::error!(service = self.name(), %misuse, "a bug in the service: the connection is closed");
                return;
            }
            if stopping && talk.open.is_none() {
                conn.session().close(&standard::SHUTTING_DOWN.into());
            }
        }
    }
}

/// One connection.
struct Talk<'c> {
    role: Role,
    context: &'c Context,
    hostname: &'c str,
    max_received: usize,
    connection: Connection,
    login: Option<Login>,
    extended: bool,
    open: Option<Open>,
}

/// A transaction that is open.
struct Open {
    tx: Transaction,
    mail: Mail,
    accepted: Vec<Accepted>,
    body: BytesMut,
    share: Share,
    /// The budget for messages on their way in was used up.
    starved: bool,
    /// A filter wants it thrown away.
    discard: bool,
}

type Done = Result<(), axigen_proto::Misuse>;

impl Talk<'_> {
    async fn event(&mut self, session: &mut Server, tls: Option<TlsInfo>, event: Event) -> Done {
        self.connection.tls = tls;
        match event {
            Event::Connected => {
                let verdict = self.context.filters.connect(&mut self.connection).await;
                session.reply(early(verdict))
            }
            Event::Hello(hello) => {
                self.open = None;
                self.extended = hello.verb != HelloVerb::Helo;
                self.connection.helo = Some(hello.name.as_str().to_owned());
                let verdict = self.context.filters.helo(&mut self.connection).await;
                session.reply(early(verdict))
            }
            Event::Auth(ask) => {
                let (mut answer, login) = self.context.directory.answer(&ask).await;
                if let Some(login) = login {
                    let defaults = &self.context.settings.load().accounts;
                    let settings = self
                        .context
                        .directory
                        .account_settings(&login.account.address)
                        .await;
                    match settings.map(|settings| settings.effective(defaults)) {
                        Ok(settings) if settings.submission => {
                            tracing::info!(
                                service = "submission",
                                user = login.account.address,
                                "logged in"
                            );
                            self.connection.authenticated = Some(login.account.address.clone());
                            self.login = Some(login);
                        }
                        Ok(_) => {
                            answer = axigen_proto::sasl::Answer::Refuse(
                                axigen_proto::sasl::Refusal::NotAuthorized,
                            )
                        }
                        Err(_) => {
                            answer = axigen_proto::sasl::Answer::Refuse(
                                axigen_proto::sasl::Refusal::Unavailable,
                            )
                        }
                    }
                }
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
            Event::Data => {
                let Some(open) = &mut self.open else {
                    return session.reply(standard::LOCAL_ERROR.into());
                };
                let verdict = self.context.filters.data(&mut open.tx).await;
                open.discard |= verdict == Verdict::Discard;
                session.reply(early(verdict))
            }
            Event::Body(bytes) => {
                self.body(&bytes);
                Ok(())
            }
            Event::EndOfMessage => {
                let replies = self.end_of_message().await;
                for reply in replies {
                    session.reply(reply)?;
                }
                Ok(())
            }
            Event::Reset => {
                self.open = None;
                Ok(())
            }
        }
    }

    async fn mail(&mut self, mail: Mail) -> Reply {
        let sender = mail
            .from
            .mailbox()
            .map(ToString::to_string)
            .unwrap_or_default();
        if self.role == Role::Submission {
            // RFC 6409 §6.1: only in one's own name. The null sender is for servers.
            match self.may_send_as(&sender).await {
                Ok(true) => {}
                Ok(false) => {
                    return Reply::new(553, (5, 7, 1), "this address is not yours to send from");
                }
                Err(reply) => return reply,
            }
        }
        let mut tx = Transaction::new(self.connection.clone(), message_id(), sender);
        tx.declared_size = mail.size;
        let verdict = self.context.filters.mail(&mut tx).await;
        let discard = verdict == Verdict::Discard;
        let reply = match early(verdict) {
            reply if reply.is_positive() => standard::SENDER_OK.into(),
            reply => return reply,
        };
        self.open = Some(Open {
            tx,
            mail,
            accepted: Vec::new(),
            body: BytesMut::new(),
            share: self.context.in_flight.share(),
            starved: false,
            discard,
        });
        reply
    }

    /// The account's own address, with or without a detail, or an alias that
    /// leads to it.
    async fn may_send_as(&self, sender: &str) -> Result<bool, Reply> {
        let Some(login) = &self.login else {
            return Ok(false);
        };
        let Some((local, domain)) = sender.rsplit_once('@') else {
            return Ok(false);
        };
        use crate::directory::Resolution;
        match self.context.directory.resolve(local, domain).await {
            Ok(Resolution::Found { local, .. }) => {
                Ok(local.iter().any(|d| d.account == login.account.id))
            }
            Ok(_) => Ok(false),
            Err(error) => {
                tracing::error!(%error, "a sender could not be resolved");
                Err(standard::LOCAL_ERROR.into())
            }
        }
    }

    async fn rcpt(&mut self, rcpt: Rcpt) -> Reply {
        let Some(open) = &mut self.open else {
            return standard::LOCAL_ERROR.into();
        };
        let mailbox = rcpt.to.mailbox();
        let (local, domain) = match mailbox {
            Some(mailbox) => (mailbox.local().to_owned(), mailbox.domain().to_string()),
            None => (String::new(), String::new()),
        };
        let wanted = mailbox.map(|_| (local.as_str(), domain.as_str()));
        let taken = self
            .context
            .delivery
            .accept(wanted, self.login.is_some(), open.mail.size)
            .await;
        let accepted = match taken {
            Ok(accepted) => accepted,
            Err(refused) => {
                tracing::info!(id = open.tx.id, recipient = %rcpt.to, ?refused, "a recipient was refused");
                return refused.into();
            }
        };
        let mut recipient = Recipient {
            address: accepted.address.clone(),
            account: None,
        };
        let verdict = self
            .context
            .filters
            .rcpt(&mut open.tx, &mut recipient)
            .await;
        open.discard |= verdict == Verdict::Discard;
        match early(verdict) {
            reply if reply.is_positive() => {
                open.tx.recipients.push(recipient);
                open.accepted.push(accepted);
                standard::RECIPIENT_OK.into()
            }
            reply => reply,
        }
    }

    fn body(&mut self, bytes: &Bytes) {
        let Some(open) = &mut self.open else { return };
        if open.starved {
            return;
        }
        if !self
            .context
            .in_flight
            .grow(&mut open.share, bytes.len() as u64)
        {
            open.starved = true;
            open.body = BytesMut::new();
            return;
        }
        open.body.extend_from_slice(bytes);
    }

    /// One reply; in LMTP one for each recipient.
    async fn end_of_message(&mut self) -> Vec<Reply> {
        let Some(mut open) = self.open.take() else {
            return vec![standard::LOCAL_ERROR.into()];
        };
        let count = match self.role {
            Role::Lmtp => open.accepted.len(),
            Role::Mx | Role::Submission => 1,
        };
        let all = |reply: Reply| vec![reply; count];
        if open.starved {
            return all(Reply::new(
                452,
                (4, 3, 1),
                "too many messages at the same time, try again later",
            ));
        }
        let raw = std::mem::take(&mut open.body).freeze();
        let size = raw.len();
        if received_count(&raw) > self.max_received {
            tracing::warn!(id = open.tx.id, "a message was refused as looping");
            return all(Reply::new(
                554,
                (5, 4, 6),
                "too many hops: this message is looping",
            ));
        }
        let now = jiff::Timestamp::now();
        let raw = match self.role {
            Role::Submission => submitted(raw, &open.tx.id, self.hostname, now),
            Role::Mx | Role::Lmtp => raw,
        };
        let mut message = Message::new(raw);
        let verdict = self
            .context
            .filters
            .end_of_message(&mut open.tx, &mut message)
            .await;
        open.discard |= verdict == Verdict::Discard;
        let reply = early(verdict);
        if !reply.is_positive() {
            return all(reply);
        }
        let queued = || Reply::new(250, (2, 0, 0), format!("message {} is safe", open.tx.id));
        if open.discard {
            tracing::info!(
                id = open.tx.id,
                size,
                "a message was thrown away by a filter"
            );
            return all(queued());
        }
        let raw = self.with_trace(&open, message.raw(), now);
        let outcomes = self.context.delivery.deliver(raw, &open.accepted).await;
        tracing::info!(
            id = open.tx.id,
            sender = open.tx.sender,
            recipients = ?open.accepted.iter().map(|accepted| &accepted.address).collect::<Vec<_>>(),
            size,
            ?outcomes,
            "message"
        );
        if self.role == Role::Lmtp {
            return outcomes
                .into_iter()
                .map(|outcome| outcome.reply(&queued))
                .collect();
        }
        // SMTP has one reply for all. Once it is in one mailbox it is ours: a
        // failure for the others would make the peer send it to all again.
        let taken = outcomes
            .iter()
            .any(|o| matches!(o, Outcome::Delivered | Outcome::Discarded));
        let worst = outcomes
            .iter()
            .find(|o| !matches!(o, Outcome::Delivered | Outcome::Discarded));
        match worst {
            Some(outcome) if !taken => vec![outcome.reply(&queued)],
            Some(outcome) => {
                tracing::warn!(
                    id = open.tx.id,
                    ?outcome,
                    "a message could not be delivered to some of its recipients"
                );
                vec![queued()]
            }
            None => vec![queued()],
        }
    }

    fn with_trace(&self, open: &Open, raw: &Bytes, now: jiff::Timestamp) -> Bytes {
        let peer = self.connection.peer.to_canonical();
        let peer = match peer {
            std::net::IpAddr::V4(v4) => v4.to_string(),
            std::net::IpAddr::V6(v6) => format!("IPv6:{v6}"),
        };
        let trace = Trace {
            helo: self.connection.helo.as_deref().unwrap_or("unknown"),
            peer: &peer,
            hostname: self.hostname,
            id: &open.tx.id,
            lmtp: self.role == Role::Lmtp,
            extended: self.extended,
            tls: self
                .connection
                .tls
                .as_ref()
                .map(|tls| (tls.version.as_str(), tls.cipher.as_str())),
            authenticated: self.login.is_some(),
            utf8: open.mail.smtputf8,
            recipient: match open.accepted.as_slice() {
                [only] => Some(&only.address),
                _ => None,
            },
        };
        let headers = trace.headers(&open.tx.sender, now);
        let mut whole = BytesMut::with_capacity(headers.len() + raw.len());
        whole.extend_from_slice(headers.as_bytes());
        whole.extend_from_slice(raw);
        whole.freeze()
    }
}

/// A verdict as the reply to a command.
fn early(verdict: Verdict) -> Reply {
    match verdict {
        Verdict::Accept | Verdict::Continue | Verdict::Discard => Reply::ok(),
        Verdict::Reject(reply) if reply.is_negative() => reply,
        Verdict::Reject(_) => Reply::new(550, (5, 7, 1), "refused"),
        // 421 is the reply that ends a session.
        Verdict::Disconnect(reply) => Reply { code: 421, ..reply },
    }
}

impl From<Refused> for Reply {
    fn from(refused: Refused) -> Reply {
        match refused {
            Refused::NoSuchUser => standard::NO_SUCH_USER.into(),
            Refused::Disabled => Reply::new(550, (5, 2, 1), "this account takes no mail"),
            Refused::Relay => standard::RELAY_DENIED.into(),
            Refused::NoOutgoing => Reply::new(
                550,
                (5, 1, 2),
                "this server does not send mail to other hosts yet",
            ),
            Refused::OverQuota => Reply::new(452, (4, 2, 2), "the mailbox is full"),
            Refused::AliasTooLarge => {
                Reply::new(452, (4, 5, 3), "this address leads to too many others")
            }
            Refused::Failed => standard::LOCAL_ERROR.into(),
        }
    }
}

impl Outcome {
    /// The reply to the end of the message.
    fn reply(self, queued: &impl Fn() -> Reply) -> Reply {
        match self {
            Outcome::Delivered | Outcome::Discarded => queued(),
            Outcome::Rejected => Reply::new(550, (5, 7, 1), "the message was refused"),
            Outcome::Deferred => Reply::new(451, (4, 7, 1), "try again later"),
            Outcome::OverQuota => Reply::new(452, (4, 2, 2), "the mailbox is full"),
            Outcome::Full => Reply::new(452, (4, 3, 1), "no space left, try again later"),
            Outcome::Failed => standard::LOCAL_ERROR.into(),
        }
    }
}

/// An id for a message: time and randomness, short enough for a log line.
fn message_id() -> String {
    let random: [u8; 5] = crate::directory::random().unwrap_or_default();
    let micros = jiff::Timestamp::now().as_microsecond();
    let random = random
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    format!("{micros:x}{random}")
}
