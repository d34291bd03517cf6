//! A client: what it was told, and whether it may be told so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axigen_core::net::Stream;
use axigen_core::net::conn::{HANDSHAKE_TIMEOUT, WRITE_TIMEOUT};
use axigen_core::service::imap::Imap;
use axigen_core::service::{Context, Peer, Service};
use axigen_core::settings::{ListenerSettings, TlsMode};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::io::{DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::reply::{Fetched, Untagged, code, untagged};

/// Longest wait for a line of the server.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a client asks for when it has logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Rev2,
    Condstore,
    Qresync,
}

/// A connection.
pub(super) struct Line {
    write: WriteHalf<DuplexStream>,
    read: BufReader<ReadHalf<DuplexStream>>,
    serving: JoinHandle<()>,
    _stop: watch::Sender<bool>,
    tags: u32,
}

impl Line {
    pub(super) async fn login(context: &Context) -> Line {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut listener = ListenerSettings::new(address, TlsMode::None);
        listener.plaintext_login = true;
        let (stop, stopped) = watch::channel(false);
        let peer = Peer {
            addr: address,
            local: address,
            tls: None,
            listener: Arc::new(listener),
            stop: stopped,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            bans: None,
        };
        let service = Imap::new(context.clone());
        let serving = tokio::spawn(async move { service.serve(Stream::new(theirs), peer).await });
        let (read, write) = tokio::io::split(ours);
        let mut line = Line {
            write,
            read: BufReader::new(read),
            serving,
            _stop: stop,
            tags: 0,
        };
        let greeting = line.read().await;
        assert!(greeting.starts_with(b"* OK"));
        line.ask("LOGIN ann@example.test secret").await.ok();
        line
    }

    /// One response, its literals included; empty at the end.
    pub(super) async fn read(&mut self) -> Vec<u8> {
        let reading = async {
            let mut line = Vec::new();
            loop {
                self.read.read_until(b'\n', &mut line).await.unwrap();
                let Some(open) = line.iter().rposition(|&b| b == b'{') else {
                    return line;
                };
                let Some(digits) = line[open + 1..].strip_suffix(b"}\r\n") else {
                    return line;
                };
                let length: usize = std::str::from_utf8(digits).unwrap().parse().unwrap();
                let start = line.len();
                line.resize(start + length, 0);
                self.read.read_exact(&mut line[start..]).await.unwrap();
            }
        };
        timeout(PATIENCE, reading)
            .await
            .expect("the server is silent")
    }

    pub(super) async fn send(&mut self, text: &[u8]) {
        self.write.write_all(text).await.unwrap();
        self.write.flush().await.unwrap();
    }

    /// Sends a command; what comes up to its tagged response.
    pub(super) async fn ask(&mut self, command: impl AsRef<[u8]>) -> Reply {
        self.tags += 1;
        let tag = format!("t{} ", self.tags);
        self.send(&[tag.as_bytes(), command.as_ref(), b"\r\n"].concat())
            .await;
        let mut lines = Vec::new();
        loop {
            let line = self.read().await;
            if let Some(status) = line.strip_prefix(tag.as_bytes()) {
                let text = String::from_utf8_lossy(status).trim_end().to_owned();
                let what = String::from_utf8_lossy(command.as_ref()).into_owned();
                return Reply { what, lines, text };
            }
            let star = line.strip_prefix(b"* ");
            let star = star.unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(&line)));
            lines.push(untagged(star));
        }
    }

    /// Goes, and waits until the server has seen it.
    pub(super) async fn leave(self) {
        let Line {
            write,
            read,
            serving,
            ..
        } = self;
        drop((write, read));
        let ended = timeout(PATIENCE, serving).await.expect("the service ends");
        ended.expect("the service does not panic");
    }
}

/// The answer to a command.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) what: String,
    pub(super) lines: Vec<Untagged>,
    pub(super) text: String,
}

impl Reply {
    /// Whether the size of the mailbox was told.
    pub(super) fn exists(&self) -> bool {
        let told = |line: &Untagged| matches!(line, Untagged::Exists(_));
        self.lines.iter().any(told)
    }

    #[track_caller]
    pub(super) fn ok(self) -> Reply {
        assert!(self.text.starts_with("OK"), "{}: {}", self.what, self.text);
        self
    }

    /// The value of a response code, tagged or not.
    pub(super) fn code(&self, wanted: &str) -> Option<String> {
        let tagged = code(&self.text).filter(|(name, _)| name == wanted);
        let of_line = |line: &Untagged| match line {
            Untagged::Code(name, value) if name == wanted => Some(value.clone()),
            _ => None,
        };
        tagged
            .map(|(_, value)| value)
            .or_else(|| self.lines.iter().rev().find_map(of_line))
    }

    pub(super) fn found(&self) -> Option<(&[u32], Option<u64>)> {
        self.lines.iter().find_map(|line| match line {
            Untagged::Found(found, highest) => Some((found.as_slice(), *highest)),
            _ => None,
        })
    }

    pub(super) fn fetched(&self) -> impl Iterator<Item = (u32, &Fetched)> {
        self.lines.iter().filter_map(|line| match line {
            Untagged::Fetch(seq, fetched) => Some((*seq, fetched)),
            _ => None,
        })
    }
}

/// A message as a client counts it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// Told, or concluded.
    pub(super) uid: u32,
    pub(super) flags: Option<BTreeSet<String>>,
}

/// A mailbox that is open.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) name: usize,
    pub(super) read_only: bool,
    pub(super) view: Vec<Seen>,
    pub(super) recent: BTreeSet<u32>,
    pub(super) keywords: BTreeSet<String>,
    /// Up to which modification number all is known (QRESYNC).
    pub(super) highest: u64,
    /// All up to this UID were fetched.
    pub(super) fetched: u32,
}

/// What a client keeps of a mailbox when it goes (RFC 7162 §6).
#[derive(Debug, Clone, Default)]
pub(super) struct Cache {
    pub(super) validity: u32,
    pub(super) highest: u64,
    pub(super) messages: BTreeMap<u32, BTreeSet<String>>,
    /// All up to this UID were fetched.
    pub(super) fetched: u32,
}

impl Open {
    pub(super) fn seq(&self, uid: u32) -> Option<u32> {
        let at = self.view.iter().position(|seen| seen.uid == uid)?;
        Some(at as u32 + 1)
    }

    pub(super) fn last_uid(&self) -> u32 {
        self.view.last().map_or(0, |seen| seen.uid)
    }
}
