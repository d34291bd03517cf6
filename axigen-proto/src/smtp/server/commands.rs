//! What each command does.

use std::sync::Arc;

use super::{Awaiting, Event, Lookups, Phase, Role, Server, StartTls, is_extended};
use crate::sasl;
use crate::session::{Close, Violation};
use crate::smtp::capability::{Capabilities, Limits};
use crate::smtp::command::{BodyType, Command, Hello, HelloVerb, Mail, Rcpt};
use crate::smtp::deliver_by::ByMode;
use crate::smtp::encode;
use crate::smtp::future_release::{FutureRelease, Hold};
use crate::smtp::parse::{self, SyntaxError};
use crate::smtp::reply::Reply;
use crate::smtp::standard::{self, Standard};

/// The methods of HTTP, and the first word of HTTP/2. A web page that makes a
/// browser post to a mail port must not get further than this.
const NOT_OURS: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"CONNECT ",
    b"TRACE ",
    b"PATCH ",
    b"PRI ",
];

impl Server {
    /// Takes a complete command line.
    pub(super) fn command_line(&mut self, line: &[u8]) {
        if NOT_OURS.iter().any(|word| line.starts_with(word)) {
            self.say_standard(standard::NOT_THIS_PROTOCOL);
            self.end(Close::Violate(Violation::NotThisProtocol));
            return;
        }
        match parse::command(line) {
            Ok(command) => self.command(command, line.is_ascii()),
            Err(SyntaxError(row)) => {
                self.complain(row);
                // What follows a BDAT of unknown length cannot be told from commands.
                if line
                    .get(..4)
                    .is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
                {
                    self.end(Close::Violate(Violation::LostSync));
                }
            }
        }
    }

    /// `ascii`: whether the whole line is.
    fn command(&mut self, command: Command, ascii: bool) {
        let barrier = self.barrier(&command);
        match command {
            // The chunk must be swallowed whatever the answer is.
            Command::Bdat { size, last } => self.bdat(size, last, barrier),
            _ if barrier.is_some() => {
                if let Some(row) = barrier {
                    self.complain(row);
                }
            }
            Command::Hello(hello) => self.hello_command(hello),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(rcpt) => self.rcpt(rcpt, ascii),
            Command::Data => match self.check_data() {
                Ok(()) => self.ask(Event::Data, Awaiting::Data),
                Err(row) => self.complain(row),
            },
            Command::Rset => {
                self.reset();
                self.say_standard(standard::OK);
            }
            Command::Noop => self.say_standard(standard::OK),
            Command::Vrfy(text) => {
                self.lookup(self.config.vrfy, standard::CANNOT_VRFY, Event::Vrfy(text));
            }
            Command::Expn(text) => {
                self.lookup(self.config.expn, standard::CANNOT_EXPN, Event::Expn(text));
            }
            Command::Etrn(node) => match self.check_etrn() {
                Ok(()) => self.ask(Event::Etrn(node), Awaiting::Lookup),
                Err(row) => self.complain(row),
            },
            Command::Help => self.help(),
            Command::Quit => {
                self.say_standard(standard::GOODBYE);
                self.end(Close::Finish);
            }
            Command::StartTls => self.starttls(),
            Command::Auth { mechanism, initial } => self.auth(&mechanism, initial),
        }
    }

    /// What stands before every command, if something does.
    fn barrier(&self, command: &Command) -> Option<Standard> {
        if matches!(self.phase, Phase::Refused) {
            // RFC 5321 §3.1
            return (*command != Command::Quit).then_some(standard::SERVICE_REFUSED);
        }
        if self.config.starttls == StartTls::Required && self.tls.is_none() {
            // RFC 3207 §4
            return match command {
                Command::Hello(_) | Command::Noop | Command::StartTls | Command::Quit => None,
                _ => Some(standard::TLS_REQUIRED),
            };
        }
        None
    }

    fn hello_command(&mut self, hello: Hello) {
        let lmtp = self.config.role == Role::Lmtp;
        match hello.verb {
            HelloVerb::Lhlo if !lmtp => self.complain(standard::NO_LHLO_IN_SMTP),
            // RFC 2033 §4.1
            HelloVerb::Ehlo | HelloVerb::Helo if lmtp => self.complain(standard::NO_HELO_IN_LMTP),
            _ => self.ask(Event::Hello(hello.clone()), Awaiting::Hello(hello)),
        }
    }

    /// The application has decided about EHLO, HELO or LHLO.
    pub(super) fn hello_decided(&mut self, hello: Hello, yes: bool, reply: &Reply) {
        if !yes {
            self.say(reply);
            return;
        }
        // RFC 5321 §4.1.4: a second EHLO resets as RSET does.
        self.reset();
        let extended = hello.verb != HelloVerb::Helo;
        self.hello = Some(hello);
        let text = if extended {
            self.capabilities().lines().join("\n")
        } else {
            self.config.hostname.clone()
        };
        // RFC 2034 §4: the answer to EHLO has no enhanced code.
        encode::reply(&Reply::plain(250, text), false, &mut self.out);
    }

    /// The commands of this server.
    fn help(&mut self) {
        let on = |on: bool, word: &'static str| on.then_some(word);
        let words = [
            Some(match self.config.role {
                Role::Lmtp => "LHLO",
                Role::Mx | Role::Submission => "EHLO HELO",
            }),
            Some("MAIL RCPT DATA"),
            on(self.config.extensions.chunking, "BDAT"),
            Some("RSET NOOP"),
            on(self.config.vrfy != Lookups::Refuse, "VRFY"),
            on(self.config.expn != Lookups::Refuse, "EXPN"),
            on(self.config.extensions.etrn, "ETRN"),
            Some("HELP QUIT"),
            on(self.config.starttls != StartTls::Unavailable, "STARTTLS"),
            on(self.has_auth(), "AUTH"),
        ];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        let text = format!("{}\nsee RFC 5321", words.join(" "));
        self.say(&Reply::new(214, (2, 0, 0), text));
    }

    /// What is offered in the present state.
    pub(super) fn capabilities(&self) -> Capabilities {
        let on = &self.config.extensions;
        Capabilities {
            hostname: self.config.hostname.clone(),
            pipelining: on.pipelining,
            size: on
                .size
                .then_some(Some(self.config.limits.message_size).filter(|&limit| limit != 0)),
            eight_bit_mime: on.eight_bit_mime,
            smtputf8: on.smtputf8,
            chunking: on.chunking,
            binarymime: on.chunking && on.binarymime,
            enhanced_status_codes: on.enhanced_status_codes,
            // RFC 3207 §4.2: not inside TLS.
            starttls: self.config.starttls != StartTls::Unavailable && self.tls.is_none(),
            dsn: on.dsn,
            etrn: on.etrn,
            expn: self.config.expn == Lookups::Ask,
            // RFC 8689 §2: not in the clear.
            requiretls: on.requiretls && self.tls.is_some(),
            deliver_by: on
                .deliver_by
                .map(|least| Some(least).filter(|&least| least != 0)),
            future_release: self.future_release(),
            mt_priority: on.mt_priority.clone(),
            limits: self.announced_limits(),
            no_soliciting: on.no_soliciting.clone(),
            auth: if self.identity.is_none() && !self.must_start_tls() {
                self.mechanisms()
            } else {
                Vec::new()
            },
            other: Vec::new(),
        }
    }

    /// RFC 4865 §4.2 (2): on the submission port only.
    fn future_release(&self) -> Option<FutureRelease> {
        let submission = self.config.role == Role::Submission;
        self.config.extensions.future_release.filter(|_| submission)
    }

    fn must_start_tls(&self) -> bool {
        self.config.starttls == StartTls::Required && self.tls.is_none()
    }

    /// VRFY and EXPN.
    fn lookup(&mut self, policy: Lookups, evasive: Standard, event: Event) {
        match policy {
            Lookups::Refuse => self.complain(standard::NOT_IMPLEMENTED),
            Lookups::Evade => self.say_standard(evasive),
            Lookups::Ask if self.needs_login() => self.complain(standard::AUTH_REQUIRED),
            Lookups::Ask => self.ask(event, Awaiting::Lookup),
        }
    }

    fn check_etrn(&self) -> Result<(), Standard> {
        if !self.config.extensions.etrn {
            return Err(standard::NOT_IMPLEMENTED);
        }
        if !is_extended(&self.hello) {
            return Err(standard::HELLO_FIRST);
        }
        if self.needs_login() {
            return Err(standard::AUTH_REQUIRED);
        }
        // RFC 1985 §5
        if self.transaction.is_some() {
            return Err(standard::ETRN_IN_TRANSACTION);
        }
        Ok(())
    }

    fn needs_login(&self) -> bool {
        self.config.auth_required && self.identity.is_none()
    }

    fn announced_limits(&self) -> Option<Limits> {
        let limits = &self.config.limits;
        let (mail, rcpt) = (limits.transactions, limits.recipients);
        Limits::announced(mail, rcpt, limits.recipient_domains)
            .filter(|_| self.config.extensions.limits)
    }

    fn mail(&mut self, mail: Mail) {
        // RFC 9422 §4.1: those that fail count too.
        self.mails = self.mails.saturating_add(1);
        let most = self.config.limits.transactions;
        if most != 0 && self.mails > most {
            self.say_standard(standard::TOO_MANY_TRANSACTIONS);
            self.end(Close::Finish);
            return;
        }
        if let Err(row) = self.check_mail(&mail) {
            return self.complain(row);
        }
        if let (Some(is), Some(Some(unwanted))) =
            (&mail.solicit, &self.config.extensions.no_soliciting)
            && let Some(keyword) = is.first_of(unwanted)
        {
            // RFC 3865 §2.4: the reply repeats what it is about.
            let text = format!("SOLICIT={keyword} is not wanted here");
            return self.say(&Reply::new(550, (5, 7, 1), text));
        }
        let event = Event::Mail(mail.clone());
        self.ask(event, Awaiting::Mail(Box::new(mail)));
    }

    fn check_mail(&self, mail: &Mail) -> Result<(), Standard> {
        let on = &self.config.extensions;
        let limit = self.config.limits.message_size;
        if self.hello.is_none() {
            return Err(standard::HELLO_FIRST);
        }
        if self.needs_login() {
            return Err(standard::AUTH_REQUIRED);
        }
        if self.transaction.is_some() {
            return Err(standard::NESTED_MAIL);
        }
        if mail.has_parameters() && !is_extended(&self.hello) {
            return Err(standard::PARAMETER_NEEDS_EHLO);
        }
        let known = match mail.body {
            None => true,
            Some(BodyType::SevenBit | BodyType::EightBitMime) => on.eight_bit_mime,
            Some(BodyType::BinaryMime) => on.chunking && on.binarymime,
        };
        if !known
            || (mail.size.is_some() && !on.size)
            || (mail.smtputf8 && !on.smtputf8)
            || (mail.auth.is_some() && !self.has_auth())
            || ((mail.ret.is_some() || mail.envid.is_some()) && !on.dsn)
            || (mail.by.is_some() && on.deliver_by.is_none())
            || (mail.solicit.is_some() && on.no_soliciting.is_none())
            || (mail.require_tls && !on.requiretls)
            || (mail.priority.is_some() && on.mt_priority.is_none())
            || (mail.hold.is_some() && self.future_release().is_none())
        {
            return Err(standard::UNKNOWN_PARAMETER);
        }
        if mail.require_tls && self.tls.is_none() {
            return Err(standard::REQUIRETLS_NEEDS_TLS);
        }
        if !mail.smtputf8 && !mail.from.is_ascii() {
            return Err(standard::NON_ASCII_ADDRESS);
        }
        if let (Some(by), Some(least)) = (mail.by, on.deliver_by)
            && by.mode() == ByMode::Return
            && i64::from(by.seconds()) < i64::from(least)
        {
            return Err(standard::BY_TOO_SOON);
        }
        if let (Some(hold), Some(limits)) = (mail.hold, self.future_release()) {
            if !limits.allows(hold) {
                return Err(standard::HELD_TOO_LONG);
            }
            // RFC 4865 §5.2.2
            if let (Hold::For(interval), Some(by)) = (hold, mail.by)
                && i64::from(interval.seconds()) > i64::from(by.seconds())
            {
                return Err(standard::HELD_BEYOND_BY);
            }
        }
        // RFC 1870 §6.1
        if limit != 0 && mail.size.is_some_and(|size| size > limit) {
            return Err(standard::MESSAGE_TOO_LARGE);
        }
        Ok(())
    }

    fn rcpt(&mut self, rcpt: Rcpt, ascii: bool) {
        let limit = self.config.limits.recipients;
        let row = match &self.transaction {
            None if self.hello.is_none() => standard::HELLO_FIRST,
            None => standard::MAIL_FIRST,
            Some(open) if open.has_chunks() => standard::RCPT_AFTER_BDAT,
            Some(_) if rcpt.has_parameters() && !is_extended(&self.hello) => {
                standard::PARAMETER_NEEDS_EHLO
            }
            Some(_) if rcpt.has_parameters() && !self.config.extensions.dsn => {
                standard::UNKNOWN_PARAMETER
            }
            // RFC 6533 §3: ORCPT too is in ASCII where SMTPUTF8 is not in use.
            Some(open) if !open.smtputf8() && !ascii => standard::NON_ASCII_ADDRESS,
            Some(open) if open.recipients() >= limit => {
                // No fault of the peer: it will send the rest in another transaction
                // (RFC 5321 §4.5.3.1.10).
                self.say_standard(standard::TOO_MANY_RECIPIENTS);
                return;
            }
            Some(_) => {
                if self.takes_domain(&rcpt) {
                    self.ask(Event::Rcpt(rcpt), Awaiting::Rcpt);
                } else {
                    self.say_standard(standard::TOO_MANY_DOMAINS);
                }
                return;
            }
        };
        self.complain(row);
    }

    /// RFC 9422 §4.3: remembers the recipient's domain if the session may have
    /// one more.
    fn takes_domain(&mut self, rcpt: &Rcpt) -> bool {
        let most = self.config.limits.recipient_domains;
        let Some(mailbox) = rcpt.to.mailbox().filter(|_| most != 0) else {
            return true;
        };
        if self.domains.contains(mailbox.domain()) {
            return true;
        }
        let room = self.domains.len() < most;
        if room {
            self.domains.insert(mailbox.domain().clone());
        }
        room
    }

    fn check_data(&self) -> Result<(), Standard> {
        let open = self.check_recipients()?;
        if open.has_chunks() {
            return Err(standard::DATA_AFTER_BDAT);
        }
        // RFC 3030 §3
        if open.body() == Some(BodyType::BinaryMime) {
            return Err(standard::BINARYMIME_NEEDS_BDAT);
        }
        Ok(())
    }

    /// The transaction, if a message may come now.
    pub(super) fn check_recipients(&self) -> Result<&super::Transaction, Standard> {
        match &self.transaction {
            None if self.hello.is_none() => Err(standard::HELLO_FIRST),
            None => Err(standard::MAIL_FIRST),
            Some(open) if open.recipients() > 0 => Ok(open),
            // RFC 5321 §3.3 allows 503 and 554; RFC 2033 §4.2 wants 503.
            Some(open) if open.any_refused() => Err(standard::NO_VALID_RECIPIENTS),
            Some(_) => Err(standard::RCPT_FIRST),
        }
    }

    fn starttls(&mut self) {
        if self.tls.is_some() {
            self.complain(standard::TLS_ACTIVE);
        } else if self.config.starttls == StartTls::Unavailable {
            self.complain(standard::NOT_IMPLEMENTED);
        } else if !is_extended(&self.hello) {
            self.complain(standard::HELLO_FIRST);
        } else if self.transaction.is_some() {
            self.complain(standard::STARTTLS_IN_TRANSACTION);
        } else if !self.input.is_empty() {
            // CVE-2011-0411: whoever can write into the connection could put commands here that
            // would count as sent inside TLS.
            self.say_standard(standard::PLAINTEXT_AFTER_STARTTLS);
            self.end(Close::Violate(Violation::PlaintextAfterStartTls));
        } else {
            self.say_standard(standard::READY_FOR_TLS);
            self.upgrade = true;
            self.phase = Phase::Handshake;
        }
    }

    /// Whether any login is possible at all.
    pub(super) fn has_auth(&self) -> bool {
        !self.config.auth_plaintext.is_empty() || !self.config.auth_tls.is_empty()
    }

    /// The mechanisms that are allowed in the present state.
    pub(super) fn mechanisms(&self) -> Vec<sasl::Mechanism> {
        let config = Arc::as_ref(&self.config);
        let allowed = match self.tls {
            Some(_) => &config.auth_tls,
            None => &config.auth_plaintext,
        };
        // What may go without TLS stands in a list of its own.
        sasl::offered(allowed, self.tls.as_ref(), true)
    }
}
