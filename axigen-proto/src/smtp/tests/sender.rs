//! The client session with an application, and what drives the two of them.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::peer::Peer;
use crate::session::{Close, Input, Output, Session, TlsInfo};
use crate::smtp::address::{ForwardPath, HelloName, ReversePath};
use crate::smtp::client::{Client, Config, Envelope, Event, Failure, Role};

/// What an application does with the session.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) envelopes: Vec<Envelope>,
    pub(super) body: Vec<u8>,
    pub(super) piece: usize,
}

/// A client with its application, and what it said and heard.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) client: Client,
    pub(super) job: Job,
    pub(super) said: Vec<u8>,
    pub(super) events: Vec<Event>,
    pub(super) close: Option<Close>,
    pub(super) deadline: Option<Instant>,
    pub(super) now: Instant,
}

impl Sender {
    pub(super) fn new(config: Config, job: Job) -> Self {
        Self {
            client: Client::new(config, [9; 32]),
            job,
            said: Vec::new(),
            events: Vec::new(),
            close: None,
            deadline: None,
            now: Instant::now(),
        }
    }

    fn next(&mut self) {
        if self.job.envelopes.is_empty() {
            self.client.quit().unwrap();
        } else {
            self.client.send(self.job.envelopes.remove(0)).unwrap();
        }
    }

    /// Polls until the session waits; returns what it sent and whether it
    /// wants TLS.
    pub(super) fn settle(&mut self) -> (Vec<u8>, bool) {
        let mut sent = Vec::new();
        let mut upgrade = false;
        loop {
            match self.client.poll_output(self.now) {
                Output::Transmit(bytes) => {
                    assert!(!bytes.is_empty());
                    sent.extend_from_slice(&bytes);
                }
                Output::Event(event) => {
                    self.events.push(event.clone());
                    match event {
                        Event::Ready(_) | Event::Sent { .. } | Event::Refused { .. } => self.next(),
                        Event::WantBody => {
                            let body = self.job.body.clone();
                            for piece in body.chunks(self.job.piece) {
                                self.client.body(Bytes::copy_from_slice(piece)).unwrap();
                            }
                            self.client.finish().unwrap();
                        }
                        Event::Rcpt { .. } | Event::Answer(_) | Event::Failed(_) => {}
                    }
                }
                Output::Upgrade(_) => {
                    upgrade = true;
                }
                Output::Wait(wait) => {
                    self.deadline = wait.deadline;
                    break;
                }
                Output::Close(close) => {
                    self.close = Some(close);
                    break;
                }
            }
        }
        self.said.extend_from_slice(&sent);
        (sent, upgrade)
    }

    /// The server says this, in pieces.
    pub(super) fn hear(&mut self, text: &[u8], chunk: usize) -> Vec<u8> {
        let (mut sent, _) = self.settle();
        for piece in text.chunks(chunk) {
            self.client
                .handle_input(self.now, Input::Bytes(BytesMut::from(piece)));
            let (more, upgrade) = self.settle();
            sent.extend(more);
            if upgrade {
                self.client
                    .handle_input(self.now, Input::Upgraded(TlsInfo::default()));
                sent.extend(self.settle().0);
            }
        }
        sent
    }

    pub(super) fn failure(&self) -> Option<&Failure> {
        self.events.iter().find_map(|event| match event {
            Event::Failed(failure) => Some(failure),
            _ => None,
        })
    }
}

pub(super) fn path(text: &str) -> ForwardPath {
    ForwardPath::Mailbox(text.parse().unwrap())
}

pub(super) fn envelope(to: &[&str]) -> Envelope {
    let from = ReversePath::Mailbox("a@b.test".parse().unwrap());
    Envelope::new(from, to.iter().map(|to| path(to)))
}

pub(super) fn job(to: &[&str], body: &[u8]) -> Job {
    Job {
        envelopes: vec![envelope(to)],
        body: body.to_vec(),
        piece: 7,
    }
}

pub(super) fn config(role: Role) -> Config {
    Config::new(role, HelloName::new("client.test").unwrap())
}

/// Plays a script at every chunk size: what the server says, and what the
/// client must have sent when it has heard that.
pub(super) fn script(config: &Config, job: &Job, turns: &[(&str, &str)]) -> Sender {
    let mut last: Option<Sender> = None;
    for chunk in 1..60 {
        let mut sender = Sender::new(config.clone(), job.clone());
        sender.settle();
        for (server, client) in turns {
            let sent = sender.hear(server.as_bytes(), chunk);
            assert_eq!(
                String::from_utf8_lossy(&sent),
                *client,
                "after {server:?} by {chunk}: {:?}",
                sender.events
            );
        }
        if let Some(last) = &last {
            assert_eq!(sender.events, last.events, "chunk size {chunk}");
            assert_eq!(sender.close, last.close, "chunk size {chunk}");
        }
        last = Some(sender);
    }
    last.unwrap()
}

pub(super) const EHLO: (&str, &str) = ("220 mx.test\r\n", "EHLO client.test\r\n");

/// Moves bytes between a client and a server, in pieces, until both are done.
pub(super) fn pair(sender: &mut Sender, peer: &mut Peer, up: usize, down: usize) {
    let mut heard = 0;
    loop {
        let (sent, upgrade) = sender.settle();
        if upgrade {
            // The server has asked for it too; both sides of the test count as inside TLS now.
            assert!(peer.text().ends_with("<TLS>\r\n"));
            heard = peer.said.len();
            sender
                .client
                .handle_input(sender.now, Input::Upgraded(TlsInfo::default()));
            continue;
        }
        peer.give(&sent, up);
        let fresh: Vec<u8> = peer.said[heard..].to_vec();
        heard = peer.said.len();
        let fresh = fresh
            .strip_suffix(b"<TLS>\r\n")
            .map_or(fresh.clone(), <[u8]>::to_vec);
        if fresh.is_empty() && sent.is_empty() {
            return;
        }
        for (n, piece) in fresh.chunks(down).enumerate() {
            sender
                .client
                .handle_input(sender.now, Input::Bytes(BytesMut::from(piece)));
            if (n + 1) * down < fresh.len() {
                let (sent, upgrade) = sender.settle();
                assert!(!upgrade);
                peer.give(&sent, up);
            }
        }
    }
}
