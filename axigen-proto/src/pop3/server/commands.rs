//! Commands: read, and answered where the application is not needed.

use zeroize::Zeroizing;

use super::{Event, Expire, FLUSH, Message, Phase, Server};
use crate::frame::Line;
use crate::pop3::command::Command;
use crate::pop3::parse;
use crate::pop3::text::{Language, Text};
use crate::sasl;
use crate::session::Close;

impl Server {
    /// Reads one line. `false` when there is nothing to do.
    pub(super) fn read(&mut self) -> bool {
        let in_sasl = match &self.phase {
            Phase::Authorization | Phase::Transaction => false,
            Phase::Sasl { asked: false, .. } => true,
            _ => return false,
        };
        let limits = &self.config.limits;
        let limit = if in_sasl {
            limits.auth_line
        } else {
            limits.command_line.max(limits.auth_line)
        };
        let Some(line) = self.input.line(limit) else {
            return false;
        };
        self.rearm = true;
        let line = match line {
            Line::Complete(line) => line,
            Line::BareLf(_) => {
                self.phase_after_fault();
                self.complain(Text::BareLf);
                return true;
            }
            Line::TooLong => {
                self.phase_after_fault();
                self.complain(Text::LineTooLong);
                return true;
            }
        };
        if in_sasl {
            self.sasl_line(&line);
            return true;
        }
        // RFC 2449 §4: only AUTH may be longer than the others.
        let is_auth = line
            .get(..4)
            .is_some_and(|word| word.eq_ignore_ascii_case(b"AUTH"));
        if line.len() > self.config.limits.command_line && !is_auth {
            self.complain(Text::LineTooLong);
            return true;
        }
        match parse::command(&line) {
            Ok(command) => self.command(command),
            Err(parse::Error::Unknown) => self.complain(Text::UnknownCommand),
            Err(parse::Error::Arguments(text)) => self.complain(text),
        }
        true
    }

    fn phase_after_fault(&mut self) {
        if matches!(self.phase, Phase::Sasl { .. }) {
            self.phase = Phase::Authorization;
        }
    }

    fn command(&mut self, command: Command) {
        let logged_in = matches!(self.phase, Phase::Transaction);
        match command {
            Command::Capa => self.capa(logged_in),
            Command::Quit if logged_in => {
                let marks = self.deleted.iter().zip(&self.fetched).enumerate();
                let (mut deleted, mut fetched) = (Vec::new(), Vec::new());
                for (at, marks) in marks {
                    match marks {
                        (true, _) => deleted.push(at),
                        (false, true) => fetched.push(at),
                        (false, false) => {}
                    }
                }
                self.phase = Phase::Update;
                self.events.push_back(Event::Quit { deleted, fetched });
            }
            Command::Quit => {
                self.ok(Text::Goodbye);
                self.end(Close::Finish);
            }
            Command::User(_)
            | Command::Pass(_)
            | Command::Auth { .. }
            | Command::Apop
            | Command::Stls
            | Command::Utf8
                if logged_in =>
            {
                self.complain(Text::LoggedInAlready);
            }
            Command::User(name) if self.may_send_password() => {
                self.user = Some(name);
                // Whether the name exists is not told.
                self.ok(Text::NowPassword);
            }
            Command::User(_) | Command::Pass(_) if !self.may_send_password() => {
                self.complain(Text::StartTlsFirst);
            }
            Command::User(_) => {}
            Command::Pass(password) => self.pass(&password.0),
            Command::Auth {
                mechanism: None, ..
            } => self.list_mechanisms(),
            Command::Auth {
                mechanism: Some(name),
                initial,
            } => {
                let initial = initial
                    .map(|initial| sasl::decode_line(initial.0.as_bytes()).map(Zeroizing::new));
                match initial.transpose() {
                    Ok(initial) => {
                        self.authenticate(&name, initial.as_ref().map(|bytes| bytes.as_slice()))
                    }
                    Err(_) => self.complain(Text::BadBase64),
                }
            }
            // RFC 1939 §7: a server without APOP has no timestamp in its greeting.
            Command::Apop => self.complain(Text::NoApop),
            Command::Stls => self.stls(),
            Command::Utf8 => {
                self.utf8 = true;
                self.ok(Text::Utf8On);
            }
            Command::Lang(range) => self.lang(range.as_deref()),
            _ if !logged_in => self.complain(Text::LogInFirst),
            Command::Noop => self.say("+OK"),
            Command::Rset => {
                self.deleted.fill(false);
                self.say("+OK");
            }
            Command::Stat => {
                let (count, size) = self.total();
                let text = format!("+OK {count} {size}");
                self.say(&text);
            }
            Command::List(number) => self.listing(number, |message| message.size.to_string()),
            Command::Uidl(number) => self.listing(number, |message| message.uid.clone()),
            Command::Retr(number) => self.retrieve(number, None),
            Command::Top(number, lines) => self.retrieve(number, Some(lines)),
            Command::Dele(number) => {
                if let Some(index) = self.find(number) {
                    if let Some(mark) = self.deleted.get_mut(index) {
                        *mark = true;
                    }
                    self.ok(Text::Marked);
                }
            }
        }
    }

    /// [RFC 2449 §5](https://www.rfc-editor.org/rfc/rfc2449#section-5)
    fn capa(&mut self, logged_in: bool) {
        self.ok(Text::Capabilities);
        // RFC 6856 §2.2: names and passwords of USER and PASS may be UTF-8; RFC 3206 §5.
        let mut lines: Vec<String> = [
            "TOP",
            "UIDL",
            "RESP-CODES",
            "AUTH-RESP-CODE",
            "PIPELINING",
            "UTF8 USER",
            "LANG",
        ]
        .map(String::from)
        .into();
        // RFC 2449 §6.2, §6.3: the same before and after login.
        if self.may_send_password() {
            lines.push("USER".into());
        }
        let mechanisms = self.offered();
        if !mechanisms.is_empty() {
            let names: Vec<_> = mechanisms.iter().map(|name| name.name()).collect();
            lines.push(format!("SASL {}", names.join(" ")));
        }
        // RFC 2595 §4: before login only.
        if !logged_in && self.config.stls && self.tls.is_none() {
            lines.push("STLS".into());
        }
        // RFC 2449 §6.5
        if self.config.login_delay > 0 {
            lines.push(format!("LOGIN-DELAY {}", self.config.login_delay));
        }
        // RFC 2449 §6.7: before the login what holds for all, or the least of anybody.
        let (expire, user) = match logged_in {
            true => (self.expire, ""),
            false if self.config.expire_varies => (self.config.expire, " USER"),
            false => (self.config.expire, ""),
        };
        lines.push(match expire {
            Expire::Never => format!("EXPIRE NEVER{user}"),
            Expire::Days(days) => format!("EXPIRE {days}{user}"),
        });
        if !self.config.implementation.is_empty() {
            lines.push(format!("IMPLEMENTATION {}", self.config.implementation));
        }
        for line in lines {
            self.say(&line);
        }
        self.say(".");
    }

    /// [RFC 6856 §3.2](https://www.rfc-editor.org/rfc/rfc6856#section-3.2)
    fn lang(&mut self, range: Option<&str>) {
        let Some(range) = range else {
            self.ok(Text::Languages);
            for language in Language::ALL {
                self.say(&format!("{} {}", language.tag(), language.name()));
            }
            return self.say(".");
        };
        let found = match range {
            "*" => Some(self.config.language),
            range => Language::find(range),
        };
        match found {
            Some(language) => {
                self.language = language;
                let text = Text::LanguageChanged.in_language(language);
                self.say(&format!("+OK {} {text}", language.tag()));
            }
            None => self.complain(Text::UnknownLanguage),
        }
    }

    /// Messages and bytes that are not marked.
    fn total(&self) -> (usize, u64) {
        let left = self
            .maildrop
            .iter()
            .zip(&self.deleted)
            .filter(|(_, deleted)| !**deleted);
        left.fold((0, 0), |(count, size), (message, _)| {
            (count + 1, size + message.size)
        })
    }

    /// A message that exists and is not marked; complains otherwise.
    fn find(&mut self, number: u32) -> Option<usize> {
        let index = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
        match index.and_then(|index| self.deleted.get(index).map(|deleted| (index, *deleted))) {
            Some((index, false)) => Some(index),
            Some((_, true)) => {
                self.complain(Text::IsMarked);
                None
            }
            None => {
                self.complain(Text::NoSuchMessage);
                None
            }
        }
    }

    fn listing(&mut self, number: Option<u32>, show: fn(&Message) -> String) {
        if let Some(number) = number {
            if let Some(index) = self.find(number)
                && let Some(message) = self.maildrop.get(index)
            {
                let text = format!("+OK {number} {}", show(message));
                self.say(&text);
            }
            return;
        }
        self.say("+OK");
        self.phase = Phase::Listing { show, next: 0 };
    }

    /// Goes on with a listing until there is enough to send: the list of a
    /// maildrop of a million messages is never in memory as a whole.
    pub(super) fn list_on(&mut self, show: fn(&Message) -> String, from: usize) {
        for index in from..self.maildrop.len() {
            if self.line.len() >= FLUSH {
                self.phase = Phase::Listing { show, next: index };
                return;
            }
            if let (Some(message), Some(false)) =
                (self.maildrop.get(index), self.deleted.get(index))
            {
                let text = format!("{} {}", index + 1, show(message));
                self.say(&text);
            }
        }
        self.say(".");
        self.phase = Phase::Transaction;
    }

    fn retrieve(&mut self, number: u32, lines: Option<u64>) {
        if let Some(index) = self.find(number) {
            self.phase = Phase::Sending(None, lines);
            self.sending = lines.is_none().then_some(index);
            self.events.push_back(Event::Retrieve {
                index,
                top: lines.is_some(),
            });
        }
    }
}
