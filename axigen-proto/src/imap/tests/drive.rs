//! Drives a bare session with a script, cut into pieces of any size.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::imap::server::{Config, Event, Server};
use crate::sasl;
use crate::session::{Close, Input, Output, Session, TlsInfo, Upgrade};

/// What a peer does.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Shakes hands.
    Tls,
    /// Goes away.
    Eof,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) sent: Vec<u8>,
    pub(super) events: Vec<Event>,
    pub(super) upgrades: Vec<Upgrade>,
    pub(super) close: Option<Close>,
}

impl Outcome {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.sent).into_owned()
    }

    /// The lines that were sent, without the greeting.
    pub(super) fn answers(&self) -> Vec<String> {
        self.text().lines().skip(1).map(str::to_owned).collect()
    }

    fn note(&mut self, event: Event) {
        if let (Some(Event::AppendBody(have)), Event::AppendBody(more)) =
            (self.events.last_mut(), &event)
        {
            let mut joined = BytesMut::from(&have[..]);
            joined.extend_from_slice(more);
            *have = joined.freeze();
            return;
        }
        self.events.push(event);
    }
}

/// A configuration with everything open.
pub(super) fn open() -> Config {
    Config {
        hostname: "imap.example.test".to_owned(),
        starttls: true,
        allow_plaintext_login: true,
        mechanisms: sasl::Mechanism::PASSWORD.to_vec(),
        ..Config::default()
    }
}

/// Greets, lets in who has the password `secret`, takes appended messages and
/// calls `app` for the rest.
pub(super) fn run(
    config: &Arc<Config>,
    acts: &[Act],
    chunk: usize,
    app: &mut dyn FnMut(&mut Server, &Event),
) -> Outcome {
    let now = Instant::now();
    let mut server = Server::new(Arc::clone(config), [7; 32]);
    let mut outcome = Outcome::default();
    let most = config.limits.command + config.limits.literal + 8;
    poll(&mut server, now, &mut outcome, app);
    for act in acts {
        match act {
            Act::Send(bytes) => {
                for piece in bytes.chunks(chunk) {
                    server.handle_input(now, Input::Bytes(BytesMut::from(piece)));
                    poll(&mut server, now, &mut outcome, app);
                    assert!(server.held() <= most + piece.len(), "{}", server.held());
                }
            }
            Act::Tls => {
                server.handle_input(now, Input::Upgraded(TlsInfo::default()));
                poll(&mut server, now, &mut outcome, app);
            }
            Act::Eof => {
                server.handle_input(now, Input::Eof);
                poll(&mut server, now, &mut outcome, app);
            }
        }
    }
    outcome
}

fn poll(
    server: &mut Server,
    now: Instant,
    outcome: &mut Outcome,
    app: &mut dyn FnMut(&mut Server, &Event),
) {
    loop {
        match server.poll_output(now) {
            Output::Transmit(bytes) => outcome.sent.extend_from_slice(&bytes),
            Output::Event(event) => {
                decide(server, &event, app);
                outcome.note(event);
            }
            Output::Upgrade(upgrade) => outcome.upgrades.push(upgrade),
            Output::Wait(_) => return,
            Output::Close(close) => {
                outcome.close = Some(close);
                return;
            }
        }
    }
}

fn decide(server: &mut Server, event: &Event, app: &mut dyn FnMut(&mut Server, &Event)) {
    match event {
        Event::Connected => server.greet().unwrap(),
        Event::Auth(sasl::Ask::Password { password, .. }) => {
            let answer = if password.as_str() == "secret" {
                sasl::Answer::Accept
            } else {
                sasl::Answer::Refuse(sasl::Refusal::BadCredentials)
            };
            server.answer(answer).unwrap();
        }
        Event::Auth(sasl::Ask::Keys { .. }) => server.answer(sasl::Answer::Keys(None)).unwrap(),
        // A wrong proof is refused whatever is said.
        Event::Auth(_) => server.answer(sasl::Answer::Accept).unwrap(),
        event => app(server, event),
    }
}

/// A script: what the client sends, line by line; CRLF is added.
pub(super) fn lines(lines: &[&str]) -> Vec<Act> {
    let mut bytes = Vec::new();
    for line in lines {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    vec![Act::Send(bytes)]
}

/// Runs a script in one piece and in pieces of every size; all have to give the same.
pub(super) fn every_chunk(
    config: Config,
    acts: &[Act],
    app: &mut dyn FnMut(&mut Server, &Event),
) -> Outcome {
    let config = Arc::new(config);
    let longest = acts
        .iter()
        .map(|act| match act {
            Act::Send(bytes) => bytes.len(),
            Act::Tls | Act::Eof => 1,
        })
        .max()
        .unwrap_or(1)
        .max(1);
    let whole = run(&config, acts, longest, app);
    for chunk in 1..longest.min(400) {
        let cut = run(&config, acts, chunk, app);
        assert_eq!(cut.text(), whole.text(), "chunk size {chunk}");
        assert_eq!(cut, whole, "chunk size {chunk}");
    }
    whole
}

/// Ends every command with OK and takes every message.
pub(super) fn yes(server: &mut Server, event: &Event) {
    use crate::imap::response::Status;
    match event {
        Event::Command { tag, .. } | Event::AppendEnd { tag } | Event::IdleEnd { tag } => {
            server.finish(tag, Status::ok("Done")).unwrap();
        }
        Event::AppendStart { .. }
        | Event::AppendNext { .. }
        | Event::AppendText { .. }
        | Event::AppendUrl { .. } => server.proceed().unwrap(),
        _ => {}
    }
}

/// Bytes of a text.
pub(super) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
