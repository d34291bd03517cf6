//! The client: against a script, and against our own server.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::peer::{App, Peer, Received, bare, mx};
use crate::sasl::Mechanism;
use crate::sasl::client::{ClientError, Credentials};
use crate::session::{Close, Input, Output, Session, TlsInfo, Violation};
use crate::smtp::address::{ForwardPath, HelloName, ReversePath};
use crate::smtp::client::{
    Client, Config, Delivery, Envelope, Event, Failure, LineEnds, Refusal, Role, Stage, StartTls,
};
use crate::smtp::command::{BodyType, Submitter};
use crate::smtp::reply::Reply;
use crate::smtp::server::{self, StartTls as ServerStartTls};

/// What an application does with the session.
#[derive(Debug, Clone)]
struct Job {
    envelopes: Vec<Envelope>,
    body: Vec<u8>,
    piece: usize,
}

/// A client with its application, and what it said and heard.
#[derive(Debug)]
struct Sender {
    client: Client,
    job: Job,
    said: Vec<u8>,
    events: Vec<Event>,
    close: Option<Close>,
    deadline: Option<Instant>,
    now: Instant,
}

impl Sender {
    fn new(config: Config, job: Job) -> Self {
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
    fn settle(&mut self) -> (Vec<u8>, bool) {
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
                        Event::Rcpt { .. } | Event::Failed(_) => {}
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
    fn hear(&mut self, text: &[u8], chunk: usize) -> Vec<u8> {
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

    fn failure(&self) -> Option<&Failure> {
        self.events.iter().find_map(|event| match event {
            Event::Failed(failure) => Some(failure),
            _ => None,
        })
    }
}

fn path(text: &str) -> ForwardPath {
    ForwardPath::Mailbox(text.parse().unwrap())
}

fn envelope(to: &[&str]) -> Envelope {
    let from = ReversePath::Mailbox("a@b.test".parse().unwrap());
    Envelope::new(from, to.iter().map(|to| path(to)).collect())
}

fn job(to: &[&str], body: &[u8]) -> Job {
    Job {
        envelopes: vec![envelope(to)],
        body: body.to_vec(),
        piece: 7,
    }
}

fn config(role: Role) -> Config {
    Config::new(role, HelloName::new("client.test").unwrap())
}

/// Plays a script at every chunk size: what the server says, and what the
/// client must have sent when it has heard that.
fn script(config: &Config, job: &Job, turns: &[(&str, &str)]) -> Sender {
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

const EHLO: (&str, &str) = ("220 mx.test\r\n", "EHLO client.test\r\n");

#[test]
fn one_command_at_a_time_without_pipelining() {
    let sender = script(
        &config(Role::Smtp),
        &job(&["c@d.test", "e@d.test"], b"x\r\n.y\n"),
        &[
            EHLO,
            ("250 mx.test\r\n", "MAIL FROM:<a@b.test>\r\n"),
            ("250 2.1.0 ok\r\n", "RCPT TO:<c@d.test>\r\n"),
            (
                "550-5.1.1 no\r\n550 5.1.1 such user\r\n",
                "RCPT TO:<e@d.test>\r\n",
            ),
            ("250 ok\r\n", "DATA\r\n"),
            ("354 go on\r\n", "x\r\n..y\r\n.\r\n"),
            ("250 2.0.0 queued\r\n", "QUIT\r\n"),
            ("221 bye\r\n", ""),
        ],
    );
    assert_eq!(sender.close, Some(Close::Finish));
    assert_eq!(
        sender.events[1..],
        [
            Event::Rcpt {
                index: 0,
                reply: Reply::new(550, (5, 1, 1), "no\nsuch user")
            },
            Event::Rcpt {
                index: 1,
                reply: Reply::plain(250, "ok")
            },
            Event::WantBody,
            Event::Sent {
                replies: vec![Delivery {
                    recipient: 1,
                    reply: Reply::new(250, (2, 0, 0), "queued")
                }]
            },
        ]
    );
}

const PIPELINING: &str = "250-mx.test\r\n250 PIPELINING\r\n";

#[test]
fn everything_up_to_data_goes_at_once_with_pipelining() {
    let group = "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nRCPT TO:<e@d.test>\r\nDATA\r\n";
    let to = ["c@d.test", "e@d.test"];
    script(
        &config(Role::Smtp),
        &job(&to, b"x"),
        &[
            EHLO,
            (PIPELINING, group),
            ("250 ok\r\n250 ok\r\n450 later\r\n354 go\r\n", "x\r\n.\r\n"),
            ("250 ok\r\n", "QUIT\r\n"),
        ],
    );
    // RFC 2920 §3.1: 354 though nobody was accepted; an empty message follows.
    let mut twice = job(&to, b"x");
    twice.envelopes.push(envelope(&["f@d.test"]));
    let sender = script(
        &config(Role::Smtp),
        &twice,
        &[
            EHLO,
            (PIPELINING, group),
            ("250 ok\r\n550 no\r\n550 no\r\n354 go\r\n", ".\r\n"),
            (
                "554 nobody\r\n",
                "RSET\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<f@d.test>\r\nDATA\r\n",
            ),
            ("250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", "x\r\n.\r\n"),
            ("250 ok\r\n", "QUIT\r\n"),
        ],
    );
    assert!(sender.events.contains(&Event::Refused {
        stage: Stage::Rcpt,
        refusal: Refusal::Reply(Reply::plain(550, "no")),
    }));
    // MAIL refused: what follows from it is not reported.
    let sender = script(
        &config(Role::Smtp),
        &job(&to, b"x"),
        &[
            EHLO,
            (PIPELINING, group),
            (
                "550 5.7.1 not you\r\n503 a\r\n503 b\r\n503 c\r\n",
                "QUIT\r\n",
            ),
        ],
    );
    assert_eq!(
        sender.events[1..],
        [Event::Refused {
            stage: Stage::Mail,
            refusal: Refusal::Reply(Reply::new(550, (5, 7, 1), "not you")),
        }]
    );
    // DATA refused.
    let sender = script(
        &config(Role::Smtp),
        &job(&to, b"x"),
        &[
            EHLO,
            (PIPELINING, group),
            ("250 a\r\n250 b\r\n250 c\r\n451 not now\r\n", "QUIT\r\n"),
        ],
    );
    assert_eq!(
        sender.events.last(),
        Some(&Event::Refused {
            stage: Stage::Data,
            refusal: Refusal::Reply(Reply::plain(451, "not now")),
        })
    );
}

#[test]
fn the_pipeline_has_a_bound() {
    let mut config = config(Role::Smtp);
    config.limits.pipeline = 3;
    let to: Vec<String> = (0..10).map(|n| format!("u{n}@d.test")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let mut sender = Sender::new(config, job(&to, b"x"));
    sender.hear(b"220 x\r\n", 99);
    let sent = sender.hear(PIPELINING.as_bytes(), 99);
    assert_eq!(String::from_utf8_lossy(&sent).lines().count(), 3);
    for _ in 0..8 {
        let sent = sender.hear(b"250 ok\r\n", 99);
        assert_eq!(String::from_utf8_lossy(&sent).lines().count(), 1);
    }
}

#[test]
fn a_server_without_ehlo_is_asked_with_helo() {
    let mut job = job(&["c@d.test"], b"x");
    job.envelopes[0].size = Some(1);
    script(
        &config(Role::Smtp),
        &job,
        &[
            EHLO,
            ("502 what?\r\n", "HELO client.test\r\n"),
            ("250 mx.test\r\n", "MAIL FROM:<a@b.test>\r\n"),
        ],
    );
    let sender = script(
        &config(Role::Lmtp),
        &job,
        &[
            ("220 mx.test\r\n", "LHLO client.test\r\n"),
            ("500 what?\r\n", "QUIT\r\n"),
        ],
    );
    assert_eq!(
        sender.failure(),
        Some(&Failure::Refused(Reply::plain(500, "what?")))
    );
}

#[test]
fn a_session_that_is_refused() {
    for greeting in ["554 5.3.2 no service\r\n", "421 later\r\n"] {
        let sender = script(
            &config(Role::Smtp),
            &job(&["c@d"], b""),
            &[(greeting, "QUIT\r\n")],
        );
        assert!(matches!(sender.failure(), Some(Failure::Refused(_))));
        assert_eq!(sender.close, Some(Close::Finish));
    }
    let turns = [EHLO, ("451 later\r\n", "QUIT\r\n")];
    let sender = script(&config(Role::Smtp), &job(&["c@d"], b""), &turns);
    assert!(matches!(sender.failure(), Some(Failure::Refused(_))));
    // 421 at any time.
    let turns = [
        EHLO,
        ("250 x\r\n", "MAIL FROM:<a@b.test>\r\n"),
        ("421 bye\r\n", ""),
    ];
    let sender = script(&config(Role::Smtp), &job(&["c@d"], b""), &turns);
    assert_eq!(
        sender.failure(),
        Some(&Failure::Closing(Reply::plain(421, "bye")))
    );
}

#[test]
fn starttls_as_the_policy_says() {
    let mut required = config(Role::Smtp);
    required.starttls = StartTls::Required;
    let job = job(&["c@d"], b"");
    let sender = script(&required, &job, &[EHLO, ("250 mx.test\r\n", "QUIT\r\n")]);
    assert_eq!(sender.failure(), Some(&Failure::TlsNotOffered));
    let offer = "250-mx.test\r\n250-PIPELINING\r\n250 STARTTLS\r\n";
    let sender = script(
        &required,
        &job,
        &[EHLO, (offer, "STARTTLS\r\n"), ("454 no\r\n", "QUIT\r\n")],
    );
    assert!(matches!(sender.failure(), Some(Failure::TlsRefused(_))));
    script(
        &config(Role::Smtp),
        &job,
        &[
            EHLO,
            (offer, "STARTTLS\r\n"),
            (
                "454 no\r\n",
                "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
            ),
        ],
    );
    let mut never = config(Role::Smtp);
    never.starttls = StartTls::Never;
    script(
        &never,
        &job,
        &[
            EHLO,
            (offer, "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
        ],
    );
    // What was offered before the handshake is forgotten: no pipelining here.
    let sender = script(
        &required,
        &job,
        &[
            EHLO,
            (offer, "STARTTLS\r\n"),
            ("220 go\r\n", "EHLO client.test\r\n"),
            ("250 mx.test\r\n", "MAIL FROM:<a@b.test>\r\n"),
        ],
    );
    assert!(sender.client.tls().is_some());
}

#[test]
fn replies_behind_starttls_are_never_believed() {
    let mut config = config(Role::Smtp);
    config.starttls = StartTls::Required;
    let mut sender = Sender::new(config, job(&["c@d"], b""));
    sender.hear(b"220 x\r\n", 99);
    sender.hear(b"250-x\r\n250 STARTTLS\r\n", 99);
    sender.hear(b"220 go\r\n250-x\r\n250 AUTH PLAIN\r\n", 99);
    assert_eq!(sender.failure(), Some(&Failure::PlaintextAfterStartTls));
    assert_eq!(
        sender.close,
        Some(Close::Violate(Violation::PlaintextAfterStartTls))
    );
}

#[test]
fn logins() {
    let credentials = Credentials::new("alice", "demo").unwrap();
    let mut plain = config(Role::Smtp);
    plain.credentials = Some(credentials);
    let job = job(&["c@d"], b"");
    let offer = "250-mx.test\r\n250 AUTH LOGIN PLAIN\r\n";
    let sender = script(&plain, &job, &[EHLO, (offer, "QUIT\r\n")]);
    assert_eq!(sender.failure(), Some(&Failure::NoMechanism));
    plain.plaintext_password = true;
    script(
        &plain,
        &job,
        &[
            EHLO,
            (offer, "AUTH PLAIN AGFsaWNlAGRlbW8=\r\n"),
            ("235 ok\r\n", "MAIL FROM:<a@b.test>\r\n"),
        ],
    );
    let sender = script(
        &plain,
        &job,
        &[
            EHLO,
            (offer, "AUTH PLAIN AGFsaWNlAGRlbW8=\r\n"),
            ("535 5.7.8 no\r\n", "QUIT\r\n"),
        ],
    );
    assert!(matches!(sender.failure(), Some(Failure::AuthRefused(_))));
    plain.mechanisms = vec![Mechanism::Login];
    script(
        &plain,
        &job,
        &[
            EHLO,
            (offer, "AUTH LOGIN\r\n"),
            ("334 VXNlcm5hbWU6\r\n", "YWxpY2U=\r\n"),
            ("334 UGFzc3dvcmQ6\r\n", "ZGVtbw==\r\n"),
            ("235 ok\r\n", "MAIL FROM:<a@b.test>\r\n"),
        ],
    );
    // A server that says yes before it has proved that it knows the password.
    plain.mechanisms = vec![Mechanism::ScramSha256];
    let offer = "250-mx.test\r\n250 AUTH SCRAM-SHA-256\r\n";
    let mut sender = Sender::new(plain.clone(), job.clone());
    sender.hear(b"220 x\r\n", 99);
    sender.hear(offer.as_bytes(), 99);
    sender.hear(b"235 welcome\r\n", 99);
    assert_eq!(
        sender.failure(),
        Some(&Failure::Auth(ClientError::ServerNotProved))
    );
    let mut sender = Sender::new(plain, job);
    sender.hear(b"220 x\r\n", 99);
    sender.hear(offer.as_bytes(), 99);
    sender.hear(b"334 !\r\n", 99);
    assert!(matches!(sender.failure(), Some(Failure::BadReply(_))));
}

#[test]
fn a_long_login_waits_for_the_challenge() {
    let mut config = config(Role::Smtp);
    config.plaintext_password = true;
    config.credentials = Some(Credentials::new("alice", "x".repeat(500)).unwrap());
    let mut sender = Sender::new(config, job(&["c@d"], b""));
    sender.hear(b"220 x\r\n", 99);
    let sent = sender.hear(b"250-x\r\n250 AUTH PLAIN\r\n", 99);
    assert_eq!(sent, b"AUTH PLAIN\r\n");
    let sent = sender.hear(b"334 \r\n", 99);
    assert!(sent.starts_with(b"AGFsaWNlAHh4"));
}

#[test]
fn parameters_go_where_they_are_known() {
    let mut full = job(&["jörg@d.test"], b"");
    full.envelopes[0].size = Some(10);
    full.envelopes[0].body = Some(BodyType::EightBitMime);
    full.envelopes[0].submitter = Some(Submitter::Unknown);
    let offer = "250-x\r\n250-SIZE 10\r\n250-8BITMIME\r\n250-AUTH PLAIN\r\n250 SMTPUTF8\r\n";
    script(
        &config(Role::Smtp),
        &full,
        &[
            EHLO,
            (
                offer,
                "MAIL FROM:<a@b.test> SIZE=10 BODY=8BITMIME SMTPUTF8 AUTH=<>\r\n",
            ),
            ("250 ok\r\n", "RCPT TO:<jörg@d.test>\r\n"),
        ],
    );
    for (offer, refusal) in [
        ("250 x\r\n", Refusal::NeedsSmtpUtf8),
        (
            "250-x\r\n250 SMTPUTF8\r\n",
            Refusal::NeedsBodyType(BodyType::EightBitMime),
        ),
        (
            "250-x\r\n250-SMTPUTF8\r\n250-8BITMIME\r\n250 SIZE 9\r\n",
            Refusal::TooLarge(9),
        ),
    ] {
        let sender = script(&config(Role::Smtp), &full, &[EHLO, (offer, "QUIT\r\n")]);
        let stage = Stage::Mail;
        assert_eq!(sender.events[1], Event::Refused { stage, refusal });
    }
}

#[test]
fn garbage_from_a_server_is_an_error_in_words() {
    let huge = "250-x\r\n".repeat(300);
    let long = format!("250 {}\r\n", "x".repeat(5000));
    for text in [
        "hello\r\n",
        "\r\n",
        "250\n",
        "250-a\r\n251 b\r\n",
        "250-a\r\nb\r\n",
        "999 x\r\n",
        "\u{16}\u{3}\u{1}\r\n",
        "25\r\n",
        &huge,
        &long,
    ] {
        let mut sender = Sender::new(config(Role::Smtp), job(&["c@d"], b""));
        sender.hear(b"220 x\r\n", 99);
        sender.hear(text.as_bytes(), 1000);
        assert!(
            matches!(sender.failure(), Some(Failure::BadReply(_))),
            "{text:?}"
        );
        assert_eq!(
            sender.close,
            Some(Close::Violate(Violation::NotThisProtocol))
        );
    }
    // Replies in the wrong place.
    for turns in [
        &[("354 go\r\n", "")][..],
        &[EHLO, ("334 x\r\n", "")],
        &[
            EHLO,
            ("250 x\r\n", "MAIL FROM:<a@b.test>\r\n"),
            ("354 x\r\n", ""),
        ],
        &[(
            "220 x\r\n250 y\r\n250 z\r\n250 z\r\n250 z\r\n250 z\r\n",
            "EHLO client.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
        )],
    ] {
        let mut sender = Sender::new(config(Role::Smtp), job(&["c@d"], b""));
        for (server, client) in turns {
            let sent = sender.hear(server.as_bytes(), 99);
            assert_eq!(String::from_utf8_lossy(&sent), *client);
        }
        assert!(
            matches!(sender.failure(), Some(Failure::UnexpectedReply(_))),
            "{turns:?} {:?}",
            sender.events
        );
    }
}

#[test]
fn control_characters_of_a_server_are_not_passed_on() {
    let mut sender = Sender::new(config(Role::Smtp), job(&["c@d"], b""));
    sender.hear(b"554 \x1b[2J\0\xff\r\n", 99);
    let Some(Failure::Refused(reply)) = sender.failure() else {
        panic!("{:?}", sender.events);
    };
    assert_eq!(reply.text, "?[2J?\u{fffd}");
}

#[test]
fn silence_and_hanging_up() {
    let mut sender = Sender::new(config(Role::Smtp), job(&["c@d"], b""));
    sender.settle();
    assert_eq!(sender.deadline, Some(sender.now + Duration::from_secs(300)));
    // A trickle is no answer.
    sender.hear(b"22", 1);
    sender.now += Duration::from_secs(300);
    sender.client.handle_input(sender.now, Input::Timeout);
    sender.settle();
    assert_eq!(sender.failure(), Some(&Failure::TimedOut));
    assert_eq!(sender.close, Some(Close::TimedOut));
    let mut sender = Sender::new(config(Role::Smtp), job(&["c@d"], b""));
    sender.hear(b"220 x\r\n", 99);
    sender.client.handle_input(sender.now, Input::Eof);
    sender.settle();
    assert_eq!(sender.failure(), Some(&Failure::PeerGone));
    assert_eq!(sender.close, Some(Close::PeerGone));
    // After QUIT that is fine.
    let mut sender = Sender::new(
        config(Role::Smtp),
        Job {
            envelopes: Vec::new(),
            body: Vec::new(),
            piece: 1,
        },
    );
    sender.hear(b"220 x\r\n250 x\r\n", 7);
    sender.client.handle_input(sender.now, Input::Eof);
    sender.settle();
    assert_eq!(sender.failure(), None);
    assert_eq!(sender.close, Some(Close::Finish));
}

#[test]
fn a_message_with_bare_line_ends_can_be_refused() {
    let mut refusing = config(Role::Smtp);
    refusing.line_ends = LineEnds::Refuse;
    let mut sender = Sender::new(
        refusing,
        job(&["c@d"], b"Subject: x\n.\nMAIL FROM:<evil@x>\n"),
    );
    sender.job.piece = 1000;
    sender.hear(b"220 x\r\n", 99);
    sender.hear(b"250 x\r\n", 99);
    sender.hear(b"250 x\r\n", 99);
    sender.hear(b"250 x\r\n", 99);
    // The application's `finish` comes too late: the session is over.
    sender
        .client
        .handle_input(sender.now, Input::Bytes(BytesMut::from(&b"354 go\r\n"[..])));
    loop {
        match sender.client.poll_output(sender.now) {
            Output::Event(Event::WantBody) => {
                let body = Bytes::from(sender.job.body.clone());
                sender.client.body(body).unwrap();
                assert!(sender.client.finish().is_err());
            }
            Output::Event(Event::Failed(failure)) => {
                assert_eq!(failure, Failure::BareLineEnd);
                break;
            }
            Output::Transmit(bytes) => assert!(!bytes.ends_with(b".\r\n"), "{bytes:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_application_that_errs_is_told() {
    let mut client = Client::new(config(Role::Smtp), [0; 32]);
    assert!(client.send(envelope(&["c@d"])).is_err());
    assert!(client.body(Bytes::new()).is_err());
    assert!(client.finish().is_err());
    assert!(client.quit().is_err());
    let now = Instant::now();
    client.handle_input(
        now,
        Input::Bytes(BytesMut::from(&b"220 x\r\n250 x\r\n"[..])),
    );
    while !matches!(client.poll_output(now), Output::Event(Event::Ready(_))) {}
    assert!(client.send(envelope(&[])).is_err());
    client.send(envelope(&["c@d"])).unwrap();
    assert!(client.quit().is_err());
    client.abort();
    assert!(client.send(envelope(&["c@d"])).is_err());
    while !matches!(client.poll_output(now), Output::Close(Close::Finish)) {}
}

/// Moves bytes between a client and a server, in pieces, until both are done.
fn pair(sender: &mut Sender, peer: &mut Peer, up: usize, down: usize) {
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

/// The bodies that have gone wrong somewhere.
fn bodies() -> Vec<(Vec<u8>, Vec<u8>)> {
    let same = |body: &[u8]| (body.to_vec(), body.to_vec());
    let mut long = b"Subject: long\r\n\r\n".to_vec();
    for n in 0..400 {
        long.extend_from_slice(format!(".line {n}\r\n..\r\n.\r\n").as_bytes());
    }
    vec![
        same(b""),
        same(b".\r\n"),
        same(b"..\r\n.\r\n...\r\n"),
        same(b"Subject: x\r\n\r\nbody\r\n"),
        same("Subject: Grüße\r\n\r\n\u{1f600}\r\n".as_bytes()),
        same(&long),
        (b"no end".to_vec(), b"no end\r\n".to_vec()),
        (
            b"a\n.\nb\r.\rc".to_vec(),
            b"a\r\n.\r\nb\r\n.\r\nc\r\n".to_vec(),
        ),
    ]
}

#[test]
fn what_our_client_sends_our_server_takes() {
    for (body, want) in bodies() {
        for (up, down) in [
            (1, 1),
            (1, 999),
            (2, 3),
            (7, 5),
            (999, 1),
            (100_000, 100_000),
        ] {
            let mut sender =
                Sender::new(config(Role::Smtp), job(&["c@d", "nobody@d", "e@d"], &body));
            sender.job.envelopes.push(envelope(&["nobody@d"]));
            sender.job.envelopes.push(envelope(&["f@d"]));
            let mut peer = Peer::new(mx());
            pair(&mut sender, &mut peer, up, down);
            assert_eq!(sender.close, Some(Close::Finish), "{:?}", sender.events);
            assert_eq!(peer.close, Some(Close::Finish));
            let received = |to: &[&str]| Received {
                from: "<a@b.test>".to_owned(),
                to: to.iter().map(|&to| to.to_owned()).collect(),
                body: want.clone(),
            };
            assert_eq!(
                peer.app.messages,
                [received(&["<c@d>", "<e@d>"]), received(&["<f@d>"])]
            );
        }
    }
}

#[test]
fn the_same_with_bdat() {
    for (body, _) in bodies() {
        for binary in [false, true] {
            for (up, down) in [(1, 1), (7, 5), (100_000, 100_000)] {
                let mut config = config(Role::Smtp);
                config.chunking = true;
                let mut sender = Sender::new(config, job(&["c@d"], &body));
                if binary {
                    sender.job.envelopes[0].body = Some(BodyType::BinaryMime);
                }
                let mut peer = Peer::new(mx());
                pair(&mut sender, &mut peer, up, down);
                let got = &peer.app.messages[0].body;
                if binary {
                    assert_eq!(*got, body);
                } else {
                    let lines = String::from_utf8(body.clone()).unwrap();
                    let lines = lines.replace("\r\n", "\n").replace('\r', "\n");
                    assert_eq!(*got, lines.replace('\n', "\r\n").into_bytes());
                }
                assert!(sender.said.windows(5).any(|w| w == b"BDAT "));
            }
        }
    }
}

#[test]
fn large_messages_go_in_several_chunks() {
    for lmtp in [false, true] {
        let (role, server) = if lmtp {
            (Role::Lmtp, server::Role::Lmtp)
        } else {
            (Role::Smtp, server::Role::Mx)
        };
        let mut chunked = config(role);
        chunked.chunking = true;
        let body = b"0123456789012345678901234567890123456789\r\n".repeat(30_000);
        let mut big = job(&["c@d", "full@d"], &body);
        big.piece = 10_000;
        let mut sender = Sender::new(chunked.clone(), big.clone());
        let mut peer = Peer::new(bare(server));
        pair(&mut sender, &mut peer, 4096, 4096);
        let Some(Event::Sent { replies }) = sender.events.last() else {
            panic!("{:?}", sender.events);
        };
        let codes: Vec<u16> = replies.iter().map(|d| d.reply.code).collect();
        assert_eq!(codes, if lmtp { [250, 452] } else { [250, 250] });
        assert!(peer.app.messages[0].body == body);
        // Too large for the server, which says so at the chunk that is too much.
        let mut config = bare(server);
        config.limits.message_size = 600_000;
        config.extensions.size = false;
        let mut sender = Sender::new(chunked, big);
        let mut peer = Peer::new(config);
        pair(&mut sender, &mut peer, 4096, 4096);
        match sender.events.last() {
            Some(Event::Refused {
                stage: Stage::Data,
                refusal: Refusal::Reply(reply),
            }) if !lmtp => assert_eq!(reply.code, 552),
            // In LMTP all that was given waits for the first chunk's answer and goes as the last.
            Some(Event::Sent { replies }) if lmtp => {
                let codes: Vec<u16> = replies.iter().map(|d| d.reply.code).collect();
                assert_eq!(codes, [552, 552]);
            }
            other => panic!("{other:?}"),
        }
        assert!(peer.app.messages.is_empty());
        assert_eq!(sender.close, Some(Close::Finish));
    }
}

#[test]
fn lmtp_between_our_two_sides() {
    for pipelining in [true, false] {
        for (up, down) in [(1, 1), (3, 2), (999, 999)] {
            let mut config = config(Role::Lmtp);
            config.pipelining = pipelining;
            let to = ["c@d", "nobody@d", "full@d", "e@d"];
            let mut sender = Sender::new(config, job(&to, b"x\r\n"));
            sender.job.envelopes.push(envelope(&["nobody@d"]));
            let mut peer = Peer::new(bare(server::Role::Lmtp));
            pair(&mut sender, &mut peer, up, down);
            let sent = sender
                .events
                .iter()
                .find_map(|event| match event {
                    Event::Sent { replies } => Some(replies),
                    _ => None,
                })
                .unwrap();
            let codes: Vec<(usize, u16)> = sent
                .iter()
                .map(|delivery| (delivery.recipient, delivery.reply.code))
                .collect();
            assert_eq!(codes, [(0, 250), (2, 452), (3, 250)]);
            assert!(matches!(
                sender.events.last(),
                Some(Event::Refused {
                    stage: Stage::Rcpt,
                    ..
                })
            ));
            assert_eq!(sender.close, Some(Close::Finish));
        }
    }
}

#[test]
fn starttls_and_login_between_our_two_sides() {
    for mechanism in Mechanism::ALL {
        for password in ["demo", "wrong"] {
            let mut serving = bare(server::Role::Submission);
            serving.starttls = ServerStartTls::Required;
            let mut config = config(Role::Smtp);
            config.starttls = StartTls::Required;
            config.mechanisms = vec![mechanism];
            config.credentials = Some(Credentials::new("alice", password).unwrap());
            let mut sender = Sender::new(config, job(&["c@d"], b"x\r\n"));
            let mut peer = Peer::with_app(serving, App::default());
            pair(&mut sender, &mut peer, 4096, 4096);
            if password == "demo" {
                assert_eq!(
                    peer.app.messages.len(),
                    1,
                    "{mechanism} {:?}",
                    sender.events
                );
                assert_eq!(peer.server.identity().unwrap().authcid, "alice");
            } else {
                assert!(matches!(sender.failure(), Some(Failure::AuthRefused(_))));
                assert!(peer.app.messages.is_empty());
            }
        }
    }
}
