//! Our client and our server, talking to each other without a network.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use proptest::test_runner::{Config as Cases, TestRunner};

use super::client::{User, config};
use super::drive::open;
use super::{reading, values};
use crate::imap::client::{Config, Event, Failure, StartTls};
use crate::imap::command::{
    Append, Command, Fetch, FetchAttribute, Partial, Section, SectionText, Select,
};
use crate::imap::extensions::condstore::{FetchModifiers, SelectParameters};
use crate::imap::response::{Code, FetchItem, Response, Status};
use crate::imap::sequence::SequenceSet;
use crate::imap::server::{Config as Serving, Event as Asked, Server};
use crate::sasl::client::Credentials;
use crate::sasl::{Answer, Ask, Mechanism, Refusal, ScramKeys};
use crate::session::{Close, Input, Output, Session, TlsInfo, Upgrade};

/// The server with an application, and what it heard.
struct Host {
    server: Server,
    /// Commands that reached the application.
    commands: Vec<Command>,
    /// Messages that were appended.
    messages: Vec<Vec<u8>>,
    /// Messages to be fetched.
    bodies: Vec<Bytes>,
    /// What NOOP and IDLE are answered with.
    news: Vec<Response>,
    upgrades: Vec<Upgrade>,
    close: Option<Close>,
    now: Instant,
}

impl Host {
    fn new(config: Serving) -> Self {
        Self {
            server: Server::new(Arc::new(config), [3; 32]),
            commands: Vec::new(),
            messages: Vec::new(),
            bodies: Vec::new(),
            news: Vec::new(),
            upgrades: Vec::new(),
            close: None,
            now: Instant::now(),
        }
    }

    fn hear(&mut self, text: &[u8], chunk: usize) -> (Vec<u8>, Option<Upgrade>) {
        let mut sent = self.settle();
        for piece in text.chunks(chunk) {
            if self.close.is_some() {
                break;
            }
            self.server
                .handle_input(self.now, Input::Bytes(BytesMut::from(piece)));
            let (more, upgrade) = self.settle();
            sent.0.extend(more);
            sent.1 = sent.1.or(upgrade);
        }
        sent
    }

    fn settle(&mut self) -> (Vec<u8>, Option<Upgrade>) {
        let (mut sent, mut wanted) = (Vec::new(), None);
        loop {
            match self.server.poll_output(self.now) {
                Output::Transmit(bytes) => sent.extend_from_slice(&bytes),
                Output::Event(event) => self.decide(event),
                Output::Upgrade(upgrade) => {
                    self.upgrades.push(upgrade);
                    wanted = Some(upgrade);
                }
                Output::Wait(_) => return (sent, wanted),
                Output::Close(close) => {
                    self.close = Some(close);
                    return (sent, wanted);
                }
            }
        }
    }

    fn decide(&mut self, event: Asked) {
        let server = &mut self.server;
        let known = |name: &str| name == "ann";
        match event {
            Asked::Connected => server.greet().unwrap(),
            Asked::Auth(ask) => {
                let answer = match ask {
                    Ask::Password {
                        authcid, password, ..
                    } if known(&authcid) && password.as_str() == "secret" => Answer::Accept,
                    Ask::Keys { authcid } if known(&authcid) => {
                        let keys = ScramKeys::derive("secret", b"0123456789abcdef", 4096);
                        Answer::Keys(Some(keys))
                    }
                    Ask::Keys { .. } => Answer::Keys(None),
                    Ask::Authorize { authcid, .. } if known(&authcid) => Answer::Accept,
                    Ask::Token { token, .. } if token.as_str() == "secret" => {
                        Answer::AcceptAs("ann".into())
                    }
                    Ask::External { .. } => Answer::AcceptAs("ann".into()),
                    _ => Answer::Refuse(Refusal::BadCredentials),
                };
                server.answer(answer).unwrap();
            }
            Asked::AppendStart { append, tag, .. } if append.mailbox.as_str() == "Nowhere" => {
                let status = Status::no("no such mailbox").with(Code::TryCreate);
                server.finish(&tag, status).unwrap();
            }
            Asked::AppendStart { .. } => {
                self.messages.push(Vec::new());
                server.proceed().unwrap();
            }
            Asked::AppendBody(bytes) => self.messages.last_mut().unwrap().extend(bytes),
            Asked::AppendEnd { tag } => {
                let code = Code::AppendUid {
                    uid_validity: 1,
                    uids: std::iter::once(7).collect(),
                };
                server.finish(&tag, Status::ok("kept").with(code)).unwrap();
            }
            Asked::IdleStart { .. } => {
                for response in &self.news {
                    server.untagged(response).unwrap();
                }
            }
            Asked::IdleEnd { tag } => server.finish(&tag, Status::ok("idled")).unwrap(),
            Asked::Command { tag, command } => {
                match &command {
                    Command::Fetch(fetch) => fetched(server, fetch, &self.bodies),
                    Command::Noop => {
                        for response in &self.news {
                            server.untagged(response).unwrap();
                        }
                    }
                    _ => {}
                }
                server.finish(&tag, Status::ok("done")).unwrap();
                self.commands.push(command);
            }
            Asked::AppendNext { .. } | Asked::AppendText { .. } | Asked::AppendUrl { .. } => {
                server.proceed().unwrap();
            }
            Asked::LoggedIn(_)
            | Asked::ClientId(_)
            | Asked::NothingSaved
            | Asked::AppendAborted => {}
        }
    }
}

/// The bodies, each as the message of its place; in pieces, as a service does.
fn fetched(server: &mut Server, fetch: &Fetch, bodies: &[Bytes]) {
    for (seq, body) in (1u32..).zip(bodies) {
        server.fetch_begin(seq).unwrap();
        server.fetch_item(&FetchItem::Uid(seq + 100)).unwrap();
        for attribute in &fetch.attributes {
            match attribute {
                FetchAttribute::Flags => {
                    server.fetch_item(&FetchItem::Flags(vec![])).unwrap();
                }
                FetchAttribute::BodySection {
                    partial: Some(partial),
                    ..
                } => {
                    let part = partial.of(body);
                    server
                        .fetch_data(attribute, part.len() as u64, false)
                        .unwrap();
                    server.body(part).unwrap();
                }
                attribute => {
                    server
                        .fetch_data(attribute, body.len() as u64, false)
                        .unwrap();
                    for piece in body.chunks(1000) {
                        server.body(Bytes::copy_from_slice(piece)).unwrap();
                    }
                }
            }
        }
        server.fetch_end().unwrap();
    }
}

/// Carries bytes between the two, in pieces, until nobody has more to say.
fn pair(user: &mut User, host: &mut Host, up: usize, down: usize) {
    let (mut heard, _) = host.settle();
    loop {
        // The client says what it has to say to what it has heard so far.
        let (mut sent, mut upgrade) = user.poll();
        for piece in std::mem::take(&mut heard).chunks(down) {
            user.client
                .handle_input(user.now, Input::Bytes(BytesMut::from(piece)));
            let (more, wanted) = user.poll();
            sent.extend(more);
            upgrade = upgrade.or(wanted);
        }
        match upgrade {
            Some(Upgrade::Tls) => {
                assert_eq!(host.upgrades, [Upgrade::Tls]);
                assert!(sent.is_empty());
                host.server.handle_input(host.now, Input::Upgraded(tls()));
                user.client.handle_input(user.now, Input::Upgraded(tls()));
                continue;
            }
            Some(Upgrade::Deflate) => {
                // Both sides changed at the same place; here the bytes stay as they are.
                assert_eq!(host.upgrades.last(), Some(&Upgrade::Deflate));
                let (more, _) = user.poll();
                sent.extend(more);
            }
            None => {}
        }
        (heard, _) = host.hear(&sent, up);
        if sent.is_empty() && heard.is_empty() {
            return;
        }
    }
}

const CUTS: [(usize, usize); 6] = [(1, 1), (1, 999), (2, 3), (7, 5), (999, 1), (9999, 9999)];

fn logged_in(up: usize, down: usize) -> (User, Host) {
    let mut user = User::new(config());
    let mut host = Host::new(open());
    pair(&mut user, &mut host, up, down);
    assert!(user.is_ready(), "{:?}", user.events);
    user.events.clear();
    (user, host)
}

fn fetch(attributes: Vec<FetchAttribute>) -> Command {
    Command::Fetch(Fetch {
        uid: false,
        set: SequenceSet::parse(b"1:*").unwrap(),
        attributes,
        modifiers: FetchModifiers::default(),
    })
}

fn select() -> Command {
    Command::Select(Select {
        mailbox: "INBOX".into(),
        parameters: SelectParameters::default(),
    })
}

/// What both sides know of the TLS between them.
fn tls() -> TlsInfo {
    TlsInfo {
        exporter: Some(Bytes::from_static(b"0123456789abcdef0123456789abcdef")),
        client_certificate: Some(Bytes::from_static(b"a certificate")),
        ..TlsInfo::default()
    }
}

fn credentials(mechanism: Mechanism, secret: &str) -> Credentials {
    match mechanism {
        Mechanism::OAuthBearer | Mechanism::XOAuth2 => Credentials::token("ann", secret).unwrap(),
        Mechanism::External => Credentials::certificate().acting_as("ann").unwrap(),
        _ => Credentials::new("ann", secret).unwrap(),
    }
}

#[test]
fn login_by_each_mechanism() {
    for mechanism in Mechanism::ALL {
        for secret in ["secret", "wrong"] {
            for (up, down) in CUTS {
                let config = Config {
                    starttls: StartTls::Required,
                    credentials: Some(credentials(mechanism, secret)),
                    mechanisms: vec![mechanism],
                    ..Config::default()
                };
                let mut user = User::new(config);
                let mut host = Host::new(Serving {
                    mechanisms: Mechanism::ALL.to_vec(),
                    ..open()
                });
                pair(&mut user, &mut host, up, down);
                assert_eq!(user.client.tls(), Some(&tls()));
                if secret == "secret" || mechanism == Mechanism::External {
                    assert!(user.is_ready(), "{mechanism}: {:?}", user.events);
                    assert_eq!(host.server.identity().unwrap().authzid, "ann");
                    assert!(user.client.capabilities().has("IDLE"));
                } else {
                    let failure = user.failure();
                    assert!(
                        matches!(failure, Some(Failure::AuthRefused(_))),
                        "{mechanism}: {failure:?}"
                    );
                    assert!(host.server.identity().is_none());
                }
            }
        }
    }
    // Without TLS.
    for mechanism in [Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login] {
        let mut user = User::new(Config {
            mechanisms: vec![mechanism],
            ..config()
        });
        let mut host = Host::new(open());
        pair(&mut user, &mut host, 3, 3);
        assert!(user.is_ready(), "{mechanism}: {:?}", user.events);
    }
    // The command LOGIN, where nothing else is offered.
    let serving = Serving {
        mechanisms: vec![],
        ..open()
    };
    let mut user = User::new(config());
    let mut host = Host::new(serving);
    pair(&mut user, &mut host, 3, 3);
    assert!(user.is_ready());
}

#[test]
fn a_server_that_wants_tls_gets_it_or_nothing() {
    let serving = Serving {
        allow_plaintext_login: false,
        ..open()
    };
    let mut user = User::new(Config {
        mechanisms: vec![Mechanism::Plain, Mechanism::Login],
        ..config()
    });
    let mut host = Host::new(serving.clone());
    pair(&mut user, &mut host, 7, 7);
    assert_eq!(user.failure(), Some(&Failure::NoMechanism));
    let mut user = User::new(Config {
        implicit_tls: true,
        ..config()
    });
    let mut host = Host::new(Serving {
        implicit_tls: true,
        ..serving
    });
    user.settle();
    host.settle();
    user.client.handle_input(user.now, Input::Upgraded(tls()));
    host.server.handle_input(host.now, Input::Upgraded(tls()));
    pair(&mut user, &mut host, 7, 7);
    assert!(user.is_ready());
}

#[test]
fn bodies_arrive_as_they_are() {
    let bodies: Vec<Bytes> = [
        &b""[..],
        b")",
        b"a\r\n* 1 EXISTS\r\nA1 OK no\r\n",
        b"\0\xff{5}\r\n",
    ]
    .into_iter()
    .map(Bytes::from_static)
    .chain([Bytes::from(b"0123456789\r\n".repeat(900))])
    .collect();
    let section = |text, partial| FetchAttribute::BodySection {
        section: Section {
            part: vec![1, 2],
            text,
        },
        partial,
        peek: true,
    };
    let partial = Partial {
        offset: 2,
        length: 9,
    };
    let attributes = vec![
        section(SectionText::Full, None),
        FetchAttribute::Flags,
        section(
            SectionText::HeaderFields(vec!["TO".into(), "X \"(]Y".into()]),
            Some(partial),
        ),
        FetchAttribute::Binary {
            part: vec![],
            partial: None,
            peek: false,
        },
        FetchAttribute::Rfc822Text,
    ];
    for (up, down) in CUTS {
        let (mut user, mut host) = logged_in(up, down);
        host.bodies.clone_from(&bodies);
        user.client.send(&select()).unwrap();
        user.client.send(&fetch(attributes.clone())).unwrap();
        user.client.logout().unwrap();
        pair(&mut user, &mut host, up, down);
        assert_eq!(user.close, Some(Close::Finish));
        assert_eq!(host.close, Some(Close::Finish));
        // Each body four times, one of them in part.
        let mut told: Vec<(u32, Vec<u8>)> = Vec::new();
        let mut left = 0;
        for event in &user.events {
            match event {
                Event::BodyStart { seq, uid, size, .. } => {
                    let seq = seq.unwrap();
                    assert_eq!(*uid, Some(seq + 100));
                    told.push((seq, Vec::new()));
                    left = *size;
                }
                Event::BodyPart(bytes) => {
                    told.last_mut().unwrap().1.extend_from_slice(bytes);
                    left -= bytes.len() as u64;
                }
                Event::BodyEnd => assert_eq!(left, 0),
                _ => {}
            }
        }
        let want: Vec<(u32, Vec<u8>)> = (1u32..)
            .zip(&bodies)
            .flat_map(|(seq, body)| {
                let all = body.to_vec();
                let some = partial.of(body).to_vec();
                [all.clone(), some, all.clone(), all].map(|body| (seq, body))
            })
            .collect();
        assert!(told == want, "{up} {down}");
    }
}

#[test]
fn messages_are_appended_as_they_are() {
    for literal_plus in [true, false] {
        for (up, down) in CUTS {
            let mut user = User::new(config());
            let mut host = Host::new(Serving {
                literal_plus,
                ..open()
            });
            pair(&mut user, &mut host, up, down);
            let messages = [
                b"x".to_vec(),
                b"A9 NOOP\r\n\0\xff)".to_vec(),
                b"0123456789\r\n".repeat(700),
            ];
            for (n, message) in messages.iter().enumerate() {
                for name in ["INBOX", "Nowhere"] {
                    let append = Append {
                        mailbox: name.into(),
                        replaces: None,
                        pieces: Vec::new(),
                        flags: vec![],
                        date: None,
                    };
                    // What will be refused is asked for first, and never given.
                    let size = if name == "INBOX" {
                        message.len() as u64
                    } else {
                        5_000_000
                    };
                    user.client.append(&append, size, n == 1).unwrap();
                }
            }
            user.messages = messages.to_vec();
            user.piece = 500;
            pair(&mut user, &mut host, up, down);
            assert!(host.messages == messages, "{up} {down}");
            let ends: Vec<bool> = user
                .events
                .iter()
                .filter_map(|event| match event {
                    Event::Done { status, .. } => Some(status.code == Some(Code::TryCreate)),
                    _ => None,
                })
                .collect();
            assert_eq!(ends, [false, true, false, true, false, true]);
        }
    }
}

#[test]
fn idle_and_compression() {
    for (up, down) in CUTS {
        let mut user = User::new(Config {
            compress: true,
            ..config()
        });
        let mut host = Host::new(open());
        pair(&mut user, &mut host, up, down);
        assert!(user.is_ready() && user.client.is_compressed());
        host.news = vec![Response::Exists(3), Response::Expunge(1)];
        user.client.send(&select()).unwrap();
        user.client.idle().unwrap();
        pair(&mut user, &mut host, up, down);
        user.events.clear();
        // Changes come while it idles.
        host.server.untagged(&Response::Exists(4)).unwrap();
        pair(&mut user, &mut host, up, down);
        assert_eq!(user.events, [Event::Response(Response::Exists(4))]);
        user.client.send(&Command::Noop).unwrap();
        pair(&mut user, &mut host, up, down);
        let done: Vec<&str> = user
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Done { status, .. } => Some(&*status.text),
                _ => None,
            })
            .collect();
        assert_eq!(done, ["idled", "done"]);
        assert_eq!(user.upgrades, [Upgrade::Deflate]);
    }
}

/// Any command reaches the server as it was meant, any response the client.
#[test]
fn anything_that_can_be_said() {
    let mut runner = TestRunner::new(Cases::with_cases(300));
    let what = (
        proptest::collection::vec(values::command(), 1..4),
        proptest::collection::vec(reading::every(), 0..4),
        0..CUTS.len(),
        proptest::bool::ANY,
    );
    runner
        .run(&what, |(commands, news, cut, literal_plus)| {
            let (up, down) = CUTS[cut];
            let mut user = User::new(config());
            let mut host = Host::new(Serving {
                literal_plus,
                ..open()
            });
            pair(&mut user, &mut host, up, down);
            user.client.send(&select()).unwrap();
            let mut sent = Vec::new();
            for command in commands {
                // What the session or the server does by itself, and what changes the state.
                let reaches = !matches!(
                    command,
                    Command::Capability
                        | Command::Id(_)
                        | Command::Enable(_)
                        | Command::Select(_)
                        | Command::Examine(_)
                        | Command::Close
                        | Command::Unselect
                        | Command::Noop
                ) && !command.needs_qresync();
                if reaches && user.client.send(&command).is_ok() {
                    sent.push(command);
                }
            }
            host.news = news
                .into_iter()
                .filter(|response| !matches!(response, Response::Bye(_)))
                .collect();
            user.client.send(&Command::Noop).unwrap();
            pair(&mut user, &mut host, up, down);
            let heard = &host.commands[1..host.commands.len() - 1];
            assert_eq!(format!("{heard:?}"), format!("{sent:?}"));
            assert_eq!(user.client.under_way(), 0);
            assert_eq!(user.failure(), None);
            let told = user.events.iter().filter(|event| {
                matches!(event, Event::Response(response) if !matches!(response, Response::Other(_)))
            });
            let known = host.news.iter().filter(|r| !matches!(r, Response::Other(_)));
            // SELECT is followed by nothing here, so these are all.
            assert_eq!(told.count(), known.count(), "{:?}", user.events);
            Ok(())
        })
        .unwrap();
}
