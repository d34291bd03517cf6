//! A small application behind a server session, and drivers that move bytes.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::sasl::{Answer, Ask, Refusal, ScramKeys};
use crate::session::{Close, Input, Misuse, Output, Session, TlsInfo, Wait};
use crate::smtp::command::{Mail, Rcpt};
use crate::smtp::reply::Reply;
use crate::smtp::server::{Config, Event, Role, Server};
use crate::smtp::standard;

/// A message that the application accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Received {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) body: Vec<u8>,
}

/// Decides by names: the local part `nobody` does not exist, `later` is not
/// there now, `full` has no room (LMTP), and so on.
#[derive(Debug, Default)]
pub(super) struct App {
    pub(super) messages: Vec<Received>,
    pub(super) resets: usize,
    /// What MAIL and RCPT said, accepted or not.
    pub(super) mails: Vec<Mail>,
    pub(super) rcpts: Vec<Rcpt>,
    pub(super) connect: Option<Reply>,
    pub(super) open: Received,
    pub(super) next: usize,
    pub(super) taken: bool,
}

/// The one user who can log in.
pub(super) const USER: &str = "alice";
pub(super) const PASSWORD: &str = "demo";

impl App {
    /// Answers an event.
    pub(super) fn decide(&mut self, server: &mut Server, event: &Event) -> Result<(), Misuse> {
        match event {
            Event::Connected => {
                let reply = self.connect.clone().unwrap_or_else(Reply::ok);
                server.reply(reply)
            }
            Event::Hello(hello) => server.reply(match hello.name.as_str() {
                "spammer" => Reply::new(550, (5, 7, 1), "go away"),
                _ => Reply::ok(),
            }),
            Event::Auth(ask) => server.answer(answer(ask)),
            Event::Mail(mail) => {
                let from = mail.from.to_string();
                self.mails.push(mail.clone());
                self.open = Received::default();
                let reply = match from.as_str() {
                    "<refused@x.test>" => Reply::new(550, (5, 7, 1), "not you"),
                    "<bye@x.test>" => standard::SHUTTING_DOWN.into(),
                    _ => standard::SENDER_OK.into(),
                };
                self.open.from = from;
                server.reply(reply)
            }
            Event::Rcpt(rcpt) => {
                let to = rcpt.to.to_string();
                self.rcpts.push(rcpt.clone());
                if to.starts_with("<nobody") {
                    return server.reply(standard::NO_SUCH_USER.into());
                }
                if to.starts_with("<later") {
                    return server.reply(standard::LOCAL_ERROR.into());
                }
                self.open.to.push(to);
                server.reply(standard::RECIPIENT_OK.into())
            }
            Event::Data => server.reply(match self.open.from.as_str() {
                "<nodata@x.test>" => Reply::new(554, (5, 7, 1), "no message from you"),
                _ => Reply::ok(),
            }),
            Event::Body(bytes) => {
                assert!(!bytes.is_empty());
                self.open.body.extend_from_slice(bytes);
                Ok(())
            }
            Event::EndOfMessage => {
                let lmtp = server.config().role == Role::Lmtp;
                let reply = if self.open.body.starts_with(b"X-Reject") {
                    Reply::new(554, (5, 6, 0), "content refused")
                } else if lmtp && self.open.to[self.next].starts_with("<full") {
                    Reply::new(452, (4, 2, 2), "mailbox full")
                } else {
                    Reply::ok()
                };
                self.next += 1;
                self.taken |= reply.is_positive();
                let all = !lmtp || self.next == self.open.to.len();
                if all {
                    self.next = 0;
                    if std::mem::take(&mut self.taken) {
                        self.messages.push(std::mem::take(&mut self.open));
                    }
                }
                server.reply(reply)?;
                if all {
                    Ok(())
                } else {
                    self.decide(server, event)
                }
            }
            Event::Vrfy(text) => server.reply(match text.as_str() {
                "nobody" => standard::NO_SUCH_USER.into(),
                text => Reply::new(250, (2, 1, 5), format!("<{text}@mx.test>")),
            }),
            Event::Expn(_) => server.reply(Reply::new(250, (2, 1, 5), "<a@b>\n<c@d>")),
            Event::Etrn(node) => server.reply(match node.to_string().as_str() {
                "@d.test" => standard::QUEUE_STARTED.into(),
                "#busy" => standard::CANNOT_START_QUEUE.into(),
                _ => standard::NODE_NOT_ALLOWED.into(),
            }),
            Event::Reset => {
                self.resets += 1;
                Ok(())
            }
        }
    }
}

fn answer(ask: &Ask) -> Answer {
    match ask {
        Ask::Password {
            authcid, password, ..
        } => match (authcid.as_str(), password.as_str()) {
            (USER, PASSWORD) => Answer::Accept,
            ("locked", _) => Answer::Refuse(Refusal::Disabled),
            ("busy", _) => Answer::Refuse(Refusal::TooMany),
            _ => Answer::Refuse(Refusal::BadCredentials),
        },
        Ask::Keys { authcid } if authcid == USER => {
            Answer::Keys(Some(ScramKeys::derive(PASSWORD, b"0123456789abcdef", 4096)))
        }
        Ask::Keys { .. } => Answer::Keys(None),
        // A wrong proof is refused whatever is said.
        Ask::Authorize { .. } | Ask::WrongProof { .. } => Answer::Accept,
        Ask::Token { .. } | Ask::External { .. } => Answer::Refuse(Refusal::BadCredentials),
    }
}

/// A server with its application, and what it said.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) server: Server,
    pub(super) app: App,
    pub(super) said: Vec<u8>,
    pub(super) close: Option<Close>,
    pub(super) wait: Option<Wait>,
    pub(super) now: Instant,
    pub(super) most_held: usize,
}

impl Peer {
    pub(super) fn new(config: Config) -> Self {
        Self::with_app(config, App::default())
    }

    pub(super) fn with_app(config: Config, app: App) -> Self {
        Self {
            server: Server::new(config, [7; 32]),
            app,
            said: Vec::new(),
            close: None,
            wait: None,
            now: Instant::now(),
            most_held: 0,
        }
    }

    /// Polls until the session waits for input or is closed.
    pub(super) fn settle(&mut self) {
        loop {
            match self.server.poll_output(self.now) {
                Output::Transmit(bytes) => self.said.extend_from_slice(&bytes),
                Output::Event(event) => {
                    let awaits = !matches!(event, Event::Body(_) | Event::Reset);
                    if awaits {
                        // Until it is answered nothing moves, and no input is wanted.
                        let wait = Wait {
                            read: false,
                            deadline: None,
                        };
                        match self.server.poll_output(self.now) {
                            Output::Wait(got) => assert_eq!(got, wait, "{event:?}"),
                            other => panic!("{event:?} is unanswered: {other:?}"),
                        }
                    }
                    self.app.decide(&mut self.server, &event).unwrap();
                }
                Output::Upgrade(_) => {
                    self.said.extend_from_slice(b"<TLS>\r\n");
                    self.server
                        .handle_input(self.now, Input::Upgraded(TlsInfo::default()));
                }
                Output::Wait(wait) => {
                    self.most_held = self.most_held.max(self.server.held());
                    self.wait = Some(wait);
                    return;
                }
                Output::Close(close) => {
                    self.close = Some(close);
                    self.wait = None;
                    return;
                }
            }
        }
    }

    /// Gives bytes in pieces of `chunk` and polls after each.
    pub(super) fn give(&mut self, bytes: &[u8], chunk: usize) {
        self.settle();
        for piece in bytes.chunks(chunk.max(1)) {
            if self.close.is_some() {
                return;
            }
            self.server
                .handle_input(self.now, Input::Bytes(BytesMut::from(piece)));
            self.settle();
        }
    }

    pub(super) fn eof(&mut self) {
        self.settle();
        self.server.handle_input(self.now, Input::Eof);
        self.settle();
    }

    /// Lets time pass, as a driver with a timer would.
    pub(super) fn pass(&mut self, time: Duration) {
        self.settle();
        self.now += time;
        if let Some(deadline) = self.wait.and_then(|wait| wait.deadline)
            && self.now >= deadline
        {
            self.server.handle_input(self.now, Input::Timeout);
            self.settle();
        }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.said.clone()).unwrap()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let text = self.text();
        assert!(text.is_empty() || text.ends_with("\r\n"), "{text:?}");
        text.split_terminator("\r\n").map(str::to_owned).collect()
    }
}

/// Plays a dialogue at every chunk size; each segment starts a chunk of its
/// own. The server must say the same each time, line by line what is wanted
/// (`…` at the end of a line stands for anything).
pub(super) fn dialogue(config: &Config, segments: &[&[u8]], want: &[&str]) -> Peer {
    let longest = segments.iter().map(|s| s.len()).max().unwrap_or(1);
    let mut last: Option<Peer> = None;
    for chunk in (1..=longest.min(200)).chain([longest]) {
        let mut peer = Peer::new(config.clone());
        for segment in segments {
            peer.give(segment, chunk);
        }
        let lines = peer.lines();
        for (n, want) in want.iter().enumerate() {
            let got = lines.get(n).map_or("(nothing)", String::as_str);
            let good = match want.strip_suffix('…') {
                Some(start) => got.starts_with(start),
                None => got == *want,
            };
            assert!(
                good,
                "chunk size {chunk}, line {n}: wanted {want:?}, got {got:?}\n{lines:#?}"
            );
        }
        assert_eq!(lines.len(), want.len(), "chunk size {chunk}: {lines:#?}");
        if let Some(last) = &last {
            assert_eq!(peer.app.messages, last.app.messages, "chunk size {chunk}");
            assert_eq!(peer.app.resets, last.app.resets, "chunk size {chunk}");
            assert_eq!(peer.app.mails, last.app.mails, "chunk size {chunk}");
            assert_eq!(peer.app.rcpts, last.app.rcpts, "chunk size {chunk}");
            assert_eq!(peer.close, last.close, "chunk size {chunk}");
        }
        last = Some(peer);
    }
    last.unwrap()
}

/// An MX with the short answer to EHLO, for dialogues.
pub(super) fn mx() -> Config {
    bare(Role::Mx)
}

/// A server of this role that offers nothing in its answer to EHLO, though
/// all extensions that need no announcement work.
pub(super) fn bare(role: Role) -> Config {
    Config::new(role, "mx.test")
}

/// The shortest answer to EHLO that has enhanced codes, for dialogues about
/// one extension.
pub(super) fn quiet(role: Role) -> Config {
    let mut config = bare(role);
    config.extensions.pipelining = false;
    config.extensions.size = false;
    config.extensions.eight_bit_mime = false;
    config.extensions.smtputf8 = false;
    config.extensions.chunking = false;
    config
}

/// Plays a dialogue of a [`quiet`] server behind the greeting and EHLO or
/// LHLO, whose answer has these lines besides `ENHANCEDSTATUSCODES`.
pub(super) fn after_hello(
    config: &Config,
    offered: &[&str],
    commands: &[u8],
    want: &[&str],
) -> Peer {
    let lmtp = config.role == Role::Lmtp;
    let hello: &[u8] = if lmtp { b"LHLO a\r\n" } else { b"EHLO a\r\n" };
    let greeting = format!("220 mx.test {}", config.greeting);
    let mut lines = vec!["mx.test", "ENHANCEDSTATUSCODES"];
    lines.extend(offered);
    let last = lines.len() - 1;
    let answer: Vec<String> = lines
        .iter()
        .enumerate()
        .map(|(n, line)| format!("250{}{line}", if n == last { ' ' } else { '-' }))
        .collect();
    let mut all = vec![greeting.as_str()];
    all.extend(answer.iter().map(String::as_str));
    all.extend(want);
    dialogue(config, &[&[hello, commands].concat()], &all)
}
