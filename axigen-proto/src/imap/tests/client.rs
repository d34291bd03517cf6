//! The client session against a server that is a script.

mod opening;

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::drive::bytes;
use crate::imap::client::{Client, Config, Event, Failure, StartTls};
use crate::imap::command::{Append, Command, Fetch, FetchAttribute, ListPattern, Section, Select};
use crate::imap::extensions::condstore::{FetchModifiers, SelectParameters};
use crate::imap::response::{FetchItem, Response, Status};
use crate::imap::sequence::SequenceSet;
use crate::imap::types::{Flag, Tag};
use crate::sasl::Mechanism;
use crate::sasl::client::{ClientError, Credentials};
use crate::session::{Close, Input, Output, Session, TlsInfo, Upgrade, Violation, Wait};

/// A client, and what it said and heard.
#[derive(Debug)]
pub(super) struct User {
    pub(super) client: Client,
    pub(super) events: Vec<Event>,
    pub(super) upgrades: Vec<Upgrade>,
    pub(super) close: Option<Close>,
    pub(super) wait: Option<Wait>,
    pub(super) now: Instant,
    /// Messages to give, in the order they are asked for, and in what pieces.
    pub(super) messages: Vec<Vec<u8>>,
    pub(super) piece: usize,
}

impl User {
    pub(super) fn new(config: Config) -> Self {
        Self {
            client: Client::new(config, [9; 32]),
            events: Vec::new(),
            upgrades: Vec::new(),
            close: None,
            wait: None,
            now: Instant::now(),
            messages: Vec::new(),
            piece: 5,
        }
    }

    /// The same as text.
    pub(super) fn settle(&mut self) -> (String, Option<Upgrade>) {
        let (sent, upgrade) = self.poll();
        (String::from_utf8(sent).unwrap(), upgrade)
    }

    /// Polls until the session waits or wants an upgrade; what it sent.
    pub(super) fn poll(&mut self) -> (Vec<u8>, Option<Upgrade>) {
        let mut sent = Vec::new();
        let upgrade = loop {
            match self.client.poll_output(self.now) {
                Output::Transmit(bytes) => {
                    assert!(!bytes.is_empty());
                    sent.extend_from_slice(&bytes);
                }
                Output::Event(event) => self.note(event),
                Output::Upgrade(upgrade) => {
                    // Whatever is said from here on is said in the new way.
                    assert!(sent.is_empty() && !self.is_ready());
                    self.upgrades.push(upgrade);
                    break Some(upgrade);
                }
                Output::Wait(wait) => {
                    self.wait = Some(wait);
                    break None;
                }
                Output::Close(close) => {
                    self.close = Some(close);
                    break None;
                }
            }
        };
        (sent, upgrade)
    }

    fn note(&mut self, event: Event) {
        match (self.events.last_mut(), &event) {
            (Some(Event::BodyPart(have)), Event::BodyPart(more)) => {
                *have = [&have[..], &more[..]].concat().into();
            }
            (_, Event::WantBody { left, .. }) => {
                let message = self.messages.first_mut().expect("no message to give");
                assert_eq!(*left, message.len() as u64);
                let rest = message.split_off(self.piece.min(message.len()));
                let piece = std::mem::replace(message, rest);
                if message.is_empty() {
                    self.messages.remove(0);
                }
                self.client.body(piece.into()).unwrap();
            }
            _ => self.events.push(event),
        }
    }

    /// The server says this, in pieces; what the client says to it.
    pub(super) fn hear(&mut self, text: &str, chunk: usize) -> String {
        let mut sent = self.settle().0;
        for piece in text.as_bytes().chunks(chunk) {
            self.client
                .handle_input(self.now, Input::Bytes(BytesMut::from(piece)));
            loop {
                let (more, upgrade) = self.settle();
                sent += &more;
                match upgrade {
                    Some(Upgrade::Tls) => self
                        .client
                        .handle_input(self.now, Input::Upgraded(TlsInfo::default())),
                    Some(Upgrade::Deflate) => {}
                    None => break,
                }
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

    pub(super) fn is_ready(&self) -> bool {
        self.events.iter().any(|e| matches!(e, Event::Ready(_)))
    }
}

/// No TLS, and somebody to log in.
pub(super) fn config() -> Config {
    Config {
        starttls: StartTls::Never,
        credentials: Some(Credentials::new("ann", "secret").unwrap()),
        plaintext_password: true,
        ..Config::default()
    }
}

/// Plays a script at every chunk size: what the server says, and what the
/// client must have said when it has heard that. `start` runs once the session
/// is ready.
fn script(
    config: &Config,
    messages: &[&str],
    start: &dyn Fn(&mut Client),
    turns: &[(&str, &str)],
) -> User {
    let mut last: Option<User> = None;
    let longest = turns.iter().map(|(server, _)| server.len()).max();
    for chunk in 1..=longest.unwrap_or(1).min(200) {
        let mut user = User::new(config.clone());
        user.messages = messages.iter().map(|m| m.as_bytes().to_vec()).collect();
        let mut started = false;
        for (server, client) in turns {
            let mut sent = user.hear(server, chunk);
            if user.is_ready() && !std::mem::replace(&mut started, true) {
                start(&mut user.client);
                sent += &user.settle().0;
            }
            assert_eq!(
                sent, *client,
                "after {server:?} by {chunk}: {:?}",
                user.events
            );
        }
        if let Some(last) = &last {
            assert_eq!(user.events, last.events, "chunk size {chunk}");
            assert_eq!(user.close, last.close, "chunk size {chunk}");
            assert_eq!(user.upgrades, last.upgrades, "chunk size {chunk}");
        }
        last = Some(user);
    }
    last.unwrap()
}

/// A greeting with capabilities, and nobody who logs in.
fn ready(capabilities: &str) -> (Config, String) {
    let config = Config {
        credentials: None,
        ..config()
    };
    let greeting = format!("* PREAUTH [CAPABILITY {capabilities}] hello\r\n");
    (config, greeting)
}

fn nothing(_: &mut Client) {}

fn send(command: Command) -> impl Fn(&mut Client) {
    move |client| drop(client.send(&command).unwrap())
}

fn select(name: &str) -> Command {
    Command::Select(Select {
        mailbox: name.into(),
        parameters: SelectParameters::default(),
    })
}

fn whole() -> FetchAttribute {
    FetchAttribute::BodySection {
        section: Section::default(),
        partial: None,
        peek: false,
    }
}

fn done(tag: &str, status: Status) -> Event {
    Event::Done {
        tag: Tag::new(tag).unwrap(),
        status,
    }
}

#[test]
fn commands_in_a_row_and_what_comes_of_them() {
    let (config, greeting) = ready("IMAP4rev1");
    let start = |client: &mut Client| {
        let fetch = Command::Fetch(Fetch {
            uid: true,
            set: SequenceSet::parse(b"1:*").unwrap(),
            attributes: vec![FetchAttribute::Flags, whole()],
            modifiers: FetchModifiers::default(),
        });
        assert_eq!(client.send(&select("INBOX")).unwrap().as_str(), "A1");
        assert_eq!(client.send(&fetch).unwrap().as_str(), "A2");
        assert_eq!(client.send(&Command::Noop).unwrap().as_str(), "A3");
        assert_eq!(client.under_way(), 3);
    };
    let user = script(
        &config,
        &[],
        &start,
        &[
            (
                &greeting,
                "A1 SELECT \"INBOX\"\r\nA2 UID FETCH 1:* (FLAGS BODY[])\r\nA3 NOOP\r\n",
            ),
            (
                "* 2 EXISTS\r\nA1 OK [READ-WRITE] ok\r\n* 1 FETCH (UID 7 BODY[] {6}\r\nab\r\n()\
                  FLAGS (\\Seen))\r\n* 2 FETCH (BODY[] {0}\r\n FLAGS () UID 9)\r\n* 3 FETCH (UID 4 BODY[] \"x\")\
                 \r\n* 4 FETCH (BODY[] NIL)\r\n* XNEW 7\r\nA3 OK\r\nA2 OK fetched\r\n",
                "",
            ),
        ],
    );
    let start = |seq, uid, size| Event::BodyStart {
        seq: Some(seq),
        uid,
        attribute: whole(),
        size,
    };
    let fetch = |seq, items| Event::Response(Response::Fetch { seq, items });
    let ok = Status {
        code: Some(crate::imap::response::Code::ReadWrite),
        ..Status::ok("ok")
    };
    assert_eq!(
        user.events[1..],
        [
            Event::Response(Response::Exists(2)),
            done("A1", ok),
            start(1, Some(7), 6),
            Event::BodyPart(bytes("ab\r\n()")),
            Event::BodyEnd,
            fetch(
                1,
                vec![FetchItem::Uid(7), FetchItem::Flags(vec![Flag::Seen])]
            ),
            start(2, None, 0),
            Event::BodyEnd,
            fetch(2, vec![FetchItem::Flags(vec![]), FetchItem::Uid(9)]),
            start(3, Some(4), 1),
            Event::BodyPart(bytes("x")),
            Event::BodyEnd,
            fetch(3, vec![FetchItem::Uid(4)]),
            fetch(
                4,
                vec![FetchItem::Data {
                    attribute: whole(),
                    data: None
                }]
            ),
            Event::Response(Response::Other(bytes("XNEW 7"))),
            done("A3", Status::ok("")),
            done("A2", Status::ok("fetched")),
        ]
    );
    assert_eq!(user.client.under_way(), 0);
}

#[test]
fn literals_as_the_server_takes_them() {
    let long = "x\r\n".repeat(2000);
    let start = |client: &mut Client| {
        for text in ["a\r\n", &long] {
            let command = Command::GetQuota { root: text.into() };
            client.send(&command).unwrap();
        }
    };
    for (capabilities, turns) in [
        (
            "LITERAL+",
            vec![format!(
                "A1 GETQUOTA {{3+}}\r\na\r\n\r\nA2 GETQUOTA {{6000+}}\r\n{long}\r\n"
            )],
        ),
        (
            "IMAP4rev2",
            vec![
                "A1 GETQUOTA {3+}\r\na\r\n\r\nA2 GETQUOTA {6000}\r\n".to_owned(),
                format!("{long}\r\n"),
            ],
        ),
        (
            "IMAP4rev1",
            vec![
                "A1 GETQUOTA {3}\r\n".to_owned(),
                "a\r\n\r\nA2 GETQUOTA {6000}\r\n".to_owned(),
                format!("{long}\r\n"),
            ],
        ),
    ] {
        let (config, greeting) = ready(capabilities);
        let mut script_turns = vec![(greeting.as_str(), turns[0].as_str())];
        script_turns.extend(turns[1..].iter().map(|sent| ("+ go on\r\n", sent.as_str())));
        script(&config, &[], &start, &script_turns);
    }
    // A literal that is refused is not sent, and the next command is.
    let (config, greeting) = ready("IMAP4rev1");
    let user = script(
        &config,
        &[],
        &start,
        &[
            (&greeting, "A1 GETQUOTA {3}\r\n"),
            ("A1 NO never\r\n", "A2 GETQUOTA {6000}\r\n"),
            ("A2 NO never\r\n", ""),
        ],
    );
    assert_eq!(user.events[1], done("A1", Status::no("never")));
}

#[test]
fn names_are_written_as_was_enabled() {
    let (config, greeting) = ready("IMAP4rev1 IMAP4rev2");
    let start = |client: &mut Client| {
        client.send(&select("\u{e4}")).unwrap();
        client
            .send(&Command::Enable(vec!["IMAP4REV2".into()]))
            .unwrap();
        // Waits until it is known which form it has to have.
        client.send(&select("\u{e4}")).unwrap();
    };
    let user = script(
        &config,
        &[],
        &start,
        &[
            (&greeting, "A1 SELECT \"&AOQ-\"\r\nA2 ENABLE IMAP4REV2\r\n"),
            (
                "A1 OK\r\n* ENABLED IMAP4rev2\r\nA2 OK\r\n",
                "A3 SELECT \"\u{e4}\"\r\n",
            ),
            ("* LIST () \"/\" \"\u{e4}&AOQ-\"\r\n", ""),
        ],
    );
    let Some(Event::Response(Response::List(item))) = user.events.last() else {
        panic!("{:?}", user.events);
    };
    assert_eq!(item.name.as_str(), "\u{e4}&AOQ-");
}

fn append(name: &str) -> Append {
    Append {
        mailbox: name.into(),
        replaces: None,
        pieces: Vec::new(),
        flags: vec![Flag::Seen],
        date: None,
    }
}

#[test]
fn messages_leave_in_pieces() {
    let start = |client: &mut Client| {
        client.append(&append("x"), 12, false).unwrap();
        client.send(&Command::Noop).unwrap();
        client.append(&append("y"), 0, true).unwrap();
        client.append(&append("y"), 3, true).unwrap();
    };
    // Asked for.
    let (config, greeting) = ready("IMAP4rev1");
    script(
        &config,
        &["0123456789\r\n", "a\0b"],
        &start,
        &[
            (&greeting, "A1 APPEND \"x\" (\\Seen) {12}\r\n"),
            (
                "+ go on\r\n",
                "0123456789\r\n\r\nA2 NOOP\r\nA3 APPEND \"y\" (\\Seen) ~{0+}\r\n\r\n\
                 A4 APPEND \"y\" (\\Seen) ~{3}\r\n",
            ),
            ("A1 OK\r\nA2 OK\r\n+\r\n", "a\0b\r\n"),
            ("A3 OK\r\nA4 OK\r\n", ""),
        ],
    );
    // Not asked for.
    let (config, greeting) = ready("LITERAL+");
    let user = script(
        &config,
        &["0123456789\r\n", "a\0b"],
        &start,
        &[(
            &greeting,
            "A1 APPEND \"x\" (\\Seen) {12+}\r\n0123456789\r\n\r\nA2 NOOP\r\n\
             A3 APPEND \"y\" (\\Seen) ~{0+}\r\n\r\nA4 APPEND \"y\" (\\Seen) ~{3+}\r\na\0b\r\n",
        )],
    );
    assert!(user.messages.is_empty());
    // Refused: nothing of it is sent.
    let (config, greeting) = ready("IMAP4rev1");
    let one = |client: &mut Client| {
        client.append(&append("x"), 12, false).unwrap();
        client.send(&Command::Noop).unwrap();
    };
    let user = script(
        &config,
        &["0123456789\r\n"],
        &one,
        &[
            (&greeting, "A1 APPEND \"x\" (\\Seen) {12}\r\n"),
            ("A1 NO [TRYCREATE] no x\r\n", "A2 NOOP\r\n"),
        ],
    );
    assert_eq!(user.messages.len(), 1);
}

/// RFC 7888 §4: what was announced without asking has to follow, whatever the
/// server says meanwhile; the end of the command is told when it has.
#[test]
fn a_message_refused_while_it_leaves() {
    let (config, greeting) = ready("LITERAL+");
    let mut user = User::new(config);
    user.hear(&greeting, 100);
    let tag = user.client.append(&append("x"), 4, false).unwrap();
    let mut sent = String::new();
    loop {
        match user.client.poll_output(user.now) {
            Output::Transmit(bytes) => sent.push_str(std::str::from_utf8(&bytes).unwrap()),
            Output::Event(Event::WantBody { left: 4, .. }) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(user.hear("A1 NO [OVERQUOTA] full\r\n", 3), "");
    assert_eq!(user.events.len(), 1);
    user.client.body(Bytes::from_static(b"ab")).unwrap();
    assert!(user.client.body(Bytes::from_static(b"cde")).is_err());
    user.messages.push(b"cd".to_vec());
    assert_eq!(user.settle().0, "abcd\r\n");
    assert!(matches!(&user.events[1..], [Event::Done { tag: ended, .. }] if *ended == tag));
    assert!(user.client.body(Bytes::from_static(b"x")).is_err());
}

#[test]
fn idle_until_somebody_wants_more() {
    let (config, greeting) = ready("IMAP4rev1 IDLE");
    let idle = |client: &mut Client| drop(client.idle().unwrap());
    for end in 0..3 {
        let user = script(
            &config,
            &[],
            &idle,
            &[
                (&greeting, "A1 IDLE\r\n"),
                ("+ idling\r\n* 3 EXISTS\r\n", ""),
            ],
        );
        let mut user = user;
        let idling = Event::Idling {
            tag: Tag::new("A1").unwrap(),
        };
        assert_eq!(
            user.events[1..],
            [idling, Event::Response(Response::Exists(3))]
        );
        match end {
            0 => user.client.done().unwrap(),
            1 => drop(user.client.send(&Command::Noop).unwrap()),
            // RFC 2177 §3: before half an hour is over.
            _ => {
                let deadline = user.wait.unwrap().deadline.unwrap();
                assert_eq!(deadline - user.now, Duration::from_secs(29 * 60));
                user.client.handle_input(deadline, Input::Timeout);
            }
        }
        assert_eq!(user.settle().0, "DONE\r\n");
        let next = if end == 1 { "A2 NOOP\r\n" } else { "" };
        assert_eq!(user.hear("* 4 EXISTS\r\nA1 OK\r\n", 4), next);
        assert!(user.client.done().is_err());
    }
    // Ended before it began.
    let at_once = |client: &mut Client| {
        client.idle().unwrap();
        client.done().unwrap();
        client.send(&Command::Noop).unwrap();
    };
    script(
        &config,
        &[],
        &at_once,
        &[
            (&greeting, "A1 IDLE\r\n"),
            ("+ idling\r\n", "DONE\r\n"),
            ("A1 OK\r\n", "A2 NOOP\r\n"),
        ],
    );
    // Not understood.
    let user = script(
        &config,
        &[],
        &idle,
        &[(&greeting, "A1 IDLE\r\n"), ("A1 BAD what\r\n", "")],
    );
    assert_eq!(user.events[1], done("A1", Status::bad("what")));
}

#[test]
fn goodbye() {
    let (config, greeting) = ready("IMAP4rev1");
    let leave = |client: &mut Client| {
        client.send(&Command::Noop).unwrap();
        client.logout().unwrap();
        assert!(client.send(&Command::Noop).is_err());
    };
    for end in ["* BYE bye\r\nA1 OK\r\nA2 OK\r\n", "* BYE bye\r\nA2 OK\r\n"] {
        let user = script(
            &config,
            &[],
            &leave,
            &[(&greeting, "A1 NOOP\r\nA2 LOGOUT\r\n"), (end, "")],
        );
        assert_eq!(user.close, Some(Close::Finish));
        assert_eq!(user.failure(), None);
    }
    let mut user = script(
        &config,
        &[],
        &leave,
        &[(&greeting, "A1 NOOP\r\nA2 LOGOUT\r\n")],
    );
    user.client.handle_input(user.now, Input::Eof);
    user.settle();
    assert_eq!((user.close, user.failure()), (Some(Close::Finish), None));
}

/// Whatever a server does, the session ends with a reason.
#[test]
fn faults_of_a_server() {
    let (mut config, greeting) = ready("IMAP4rev1");
    config.limits.response = 100;
    config.limits.literal = 20;
    config.limits.items = 5;
    config.limits.numbers = 5;
    let not_imap = Close::Violate(Violation::NotThisProtocol);
    let too_large = Close::Violate(Violation::TooLarge);
    for (said, close) in [
        ("220 mx.example.test ESMTP\r\n", not_imap),
        ("* 3 EXISTS\r\n", not_imap),
        ("* NO hello\r\n", not_imap),
        ("A1 OK\r\n", not_imap),
        ("+ go on\r\n", not_imap),
        ("* OK hello\n", not_imap),
        ("* BYE too many connections\r\n", Close::Finish),
    ] {
        let user = script(&config, &[], &nothing, &[(said, "")]);
        assert_eq!(user.close, Some(close), "{said}");
        assert!(user.failure().is_some() && !user.is_ready(), "{said}");
    }
    let long = format!("* XFOO {}\r\n", "x".repeat(100));
    let literals = format!("* XFOO{}\r\n", " {20}\r\n12345678901234567890".repeat(5));
    for (said, close) in [
        ("A7 OK\r\n", not_imap),
        ("+ go on\r\n", not_imap),
        ("\r\n", not_imap),
        ("garbage\r\n", not_imap),
        ("A1 MAYBE\r\n", not_imap),
        ("* 1 EXISTS\n", not_imap),
        ("* BYE going down\r\n", Close::Finish),
        (&long, too_large),
        (&literals, too_large),
        ("* LIST () \"/\" {21}\r\n", too_large),
        ("* SEARCH 1 2 3 4 5 6\r\n", too_large),
        ("* ESEARCH ALL 1:4294967295\r\n", too_large),
        ("* FLAGS (a b c d e f)\r\n", too_large),
    ] {
        let user = script(
            &config,
            &[],
            &send(Command::Noop),
            &[(&greeting, "A1 NOOP\r\n"), (said, "")],
        );
        assert_eq!(user.close, Some(close), "{said}");
        assert!(user.failure().is_some(), "{said}");
    }
    // And one that says nothing, or goes.
    let mut user = User::new(config.clone());
    user.settle();
    let deadline = user.wait.unwrap().deadline.unwrap();
    user.client.handle_input(deadline, Input::Timeout);
    user.settle();
    assert_eq!(user.close, Some(Close::TimedOut));
    let mut user = User::new(config);
    user.client.handle_input(user.now, Input::Eof);
    user.settle();
    assert_eq!(user.close, Some(Close::PeerGone));
}

/// A body of any size is never held.
#[test]
fn a_large_body_holds_no_memory() {
    let (config, greeting) = ready("IMAP4rev1");
    let mut user = User::new(config);
    user.hear(&greeting, 100);
    user.hear("* 1 FETCH (UID 1 BODY[] {10737418240}\r\n", 100);
    let mut told = 0;
    for _ in 0..200 {
        let piece = BytesMut::from(&[b'\n'; 50_000][..]);
        user.client.handle_input(user.now, Input::Bytes(piece));
        loop {
            assert!(user.client.held() <= 50_100);
            match user.client.poll_output(user.now) {
                Output::Event(Event::BodyPart(bytes)) => told += bytes.len(),
                Output::Wait(_) => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(user.client.held() < 100);
    }
    assert_eq!(told, 10_000_000);
}

#[test]
fn what_the_session_does_itself_is_not_sent() {
    let (config, greeting) = ready("IMAP4rev1");
    let mut user = User::new(config);
    assert!(user.client.send(&Command::Noop).is_err());
    user.hear(&greeting, 100);
    for command in [
        Command::StartTls,
        Command::Compress,
        Command::Logout,
        Command::Idle,
        Command::Unauthenticate,
        Command::Append(append("x")),
        Command::Login {
            user: "a".into(),
            password: "b".to_owned().into(),
        },
    ] {
        assert!(user.client.send(&command).is_err(), "{command:?}");
    }
    assert!(user.client.body(Bytes::new()).is_err());
    let lsub = Command::Lsub {
        reference: String::new(),
        pattern: ListPattern("*".into()),
    };
    user.client.send(&lsub).unwrap();
    assert_eq!(user.settle().0, "A1 LSUB \"\" \"*\"\r\n");
}
