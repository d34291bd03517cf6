//! Dialogues on the bare session, cut at every chunk size.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::drive::{Act, bytes, every_chunk, lines, open, run, yes};
use crate::imap::command::{Command, FetchAttribute, Section, SectionText};
use crate::imap::response::{Code, FetchItem, Response, Status};
use crate::imap::server::{Config, Event, Server, State};
use crate::imap::structure::{Address, BodyStructure, Envelope, Extension, Part, PartKind};
use crate::imap::types::{Date, DateTime, Flag, Tag};
use crate::sasl;
use crate::session::{Close, Input, Misuse, Output, Session, TlsInfo, Upgrade, Violation, Wait};

const HEADER: &str = "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.washington.edu>\r\nSubject: IMAP4rev2 WG mtg summary and minutes\r\nTo: imap@cac.washington.edu\r\nCc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\nMessage-Id: <B27397-0100000@cac.washington.ed>\r\nMIME-Version: 1.0\r\nContent-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n";

fn address(name: Option<&str>, mailbox: &str, host: &str) -> Address {
    Address {
        name: name.map(bytes),
        adl: None,
        mailbox: Some(bytes(mailbox)),
        host: Some(bytes(host)),
    }
}

fn sample_envelope() -> Envelope {
    let terry = vec![address(Some("Terry Gray"), "gray", "cac.washington.edu")];
    Envelope {
        date: Some(bytes("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)")),
        subject: Some(bytes("IMAP4rev2 WG mtg summary and minutes")),
        from: terry.clone(),
        sender: terry.clone(),
        reply_to: terry,
        to: vec![address(None, "imap", "cac.washington.edu")],
        cc: vec![
            address(None, "minutes", "CNRI.Reston.VA.US"),
            address(Some("John Klensin"), "KLENSIN", "MIT.EDU"),
        ],
        bcc: Vec::new(),
        in_reply_to: None,
        message_id: Some(bytes("<B27397-0100000@cac.washington.ed>")),
    }
}

pub(super) fn sample_body() -> BodyStructure {
    BodyStructure::Single(Box::new(Part {
        media_type: bytes("TEXT"),
        subtype: bytes("PLAIN"),
        params: vec![(bytes("CHARSET"), bytes("US-ASCII"))],
        id: None,
        description: None,
        encoding: bytes("7BIT"),
        size: 3028,
        kind: PartKind::Text { lines: 92 },
        md5: None,
        extension: Extension::default(),
    }))
}

/// The server of the sample connection (RFC 9051 §8).
fn sample(server: &mut Server, event: &Event) {
    let Event::Command { tag, command } = event else {
        return;
    };
    let done = match command {
        Command::Select { .. } => {
            let flags = vec![
                Flag::Answered,
                Flag::Flagged,
                Flag::Deleted,
                Flag::Seen,
                Flag::Draft,
            ];
            for response in [
                Response::Exists(18),
                Response::Flags(flags.clone()),
                Response::Recent(2),
                Response::ok(Code::Unseen(17), "Message 17 is the first unseen message"),
                Response::ok(Code::UidValidity(3_857_529_045), "UIDs valid"),
                Response::ok(
                    Code::PermanentFlags {
                        flags,
                        keywords: true,
                    },
                    "Limited",
                ),
            ] {
                server.untagged(&response).unwrap();
            }
            "SELECT completed"
        }
        Command::Fetch { attributes, .. } if attributes.len() == 5 => {
            let date = Date::new(1996, 7, 17).unwrap();
            let items = vec![
                FetchItem::Flags(vec![Flag::Seen]),
                FetchItem::InternalDate(DateTime::new(date, 2, 44, 25, -420).unwrap()),
                FetchItem::Rfc822Size(4286),
                FetchItem::Envelope(sample_envelope()),
                FetchItem::Body(sample_body()),
            ];
            server
                .untagged(&Response::Fetch { seq: 12, items })
                .unwrap();
            "FETCH completed"
        }
        Command::Fetch { attributes, .. } => {
            // Streamed, in pieces.
            server.fetch_begin(12).unwrap();
            server
                .fetch_data(&attributes[0], HEADER.len() as u64)
                .unwrap();
            for piece in HEADER.as_bytes().chunks(100) {
                server
                    .body(bytes(std::str::from_utf8(piece).unwrap()))
                    .unwrap();
            }
            server.fetch_end().unwrap();
            "FETCH completed"
        }
        Command::Store { .. } => {
            let items = vec![FetchItem::Flags(vec![Flag::Seen, Flag::Deleted])];
            server
                .untagged(&Response::Fetch { seq: 12, items })
                .unwrap();
            "+FLAGS completed"
        }
        other => panic!("{other:?}"),
    };
    server.finish(tag, Status::ok(done)).unwrap();
}

#[test]
fn the_sample_connection_of_rfc_3501() {
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a001 login mrc secret",
            "a002 select inbox",
            "a003 fetch 12 full",
            "a004 fetch 12 body[header]",
            "a005 store 12 +flags \\deleted",
            "a006 logout",
        ]),
        &mut sample,
    );
    let text = outcome.text();
    let (greeting, rest) = text.split_once("\r\n").unwrap();
    assert_eq!(
        greeting,
        "* OK [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ENABLE ID SASL-IR STARTTLS AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN] imap.example.test IMAP server ready"
    );
    let want = format!(
        "a001 OK [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ENABLE ID SASL-IR BINARY CHILDREN CREATE-SPECIAL-USE ESEARCH IDLE LIST-EXTENDED LIST-STATUS MOVE NAMESPACE SEARCHRES SPECIAL-USE STATUS=SIZE UIDPLUS UNSELECT] Logged in\r\n\
         * 18 EXISTS\r\n\
         * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n\
         * 2 RECENT\r\n\
         * OK [UNSEEN 17] Message 17 is the first unseen message\r\n\
         * OK [UIDVALIDITY 3857529045] UIDs valid\r\n\
         * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Limited\r\n\
         a002 OK [READ-WRITE] SELECT completed\r\n\
         * 12 FETCH (FLAGS (\\Seen) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 4286 ENVELOPE (\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev2 WG mtg summary and minutes\" ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL \"imap\" \"cac.washington.edu\")) ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \"<B27397-0100000@cac.washington.ed>\") BODY (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3028 92))\r\n\
         a003 OK FETCH completed\r\n\
         * 12 FETCH (BODY[HEADER] {{{}}}\r\n{HEADER})\r\n\
         a004 OK FETCH completed\r\n\
         * 12 FETCH (FLAGS (\\Seen \\Deleted))\r\n\
         a005 OK +FLAGS completed\r\n\
         * BYE Logging out\r\n\
         a006 OK LOGOUT completed\r\n",
        HEADER.len()
    );
    assert_eq!(rest, want);
    assert_eq!(outcome.close, Some(Close::Finish));
}

#[test]
fn the_same_with_rev2() {
    // RFC 9051: no RECENT, no UNSEEN once it is enabled.
    let outcome = every_chunk(
        open(),
        &lines(&[
            "1 login mrc secret",
            "2 enable imap4rev2 foo",
            "3 select inbox",
            "4 enable imap4rev2",
        ]),
        &mut sample,
    );
    let answers = outcome.answers();
    assert_eq!(answers[1], "* ENABLED IMAP4rev2");
    assert_eq!(answers[2], "2 OK ENABLE completed");
    assert_eq!(answers[5], "* OK Message 17 is the first unseen message");
    assert!(!outcome.text().contains("RECENT"));
    assert!(outcome.text().contains("* ENABLED\r\n4 OK"));
}

#[test]
fn login_by_literals_and_append() {
    // RFC 9051 §6.3.12, and a message that holds what looks like commands.
    let message = "Date: x\r\n\r\nA9 LOGOUT\r\n{5}\r\n\0\u{fc}";
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a LOGIN {5}",
            "alice {6+}",
            "secret",
            &format!(
                "b APPEND \"saved messages\" (\\Seen $Junk) \" 7-Feb-1994 21:52:25 -0800\" {{{}}}",
                message.len()
            ),
            message,
            "c APPEND {5+}",
            &format!("Notes ~{{{}+}}", message.len()),
            message,
            "d APPEND INBOX {0}",
            "",
            "e NOOP",
        ]),
        &mut yes,
    );
    assert_eq!(
        outcome.answers()[..2],
        ["+ Go on".to_owned(), outcome.answers()[1].clone()]
    );
    assert_eq!(
        outcome.answers()[2..],
        [
            "+ Ready for the message",
            "b OK Done",
            "c OK Done",
            "+ Ready for the message",
            "d OK Done",
            "e OK Done"
        ]
    );
    let bodies: Vec<_> = outcome
        .events
        .iter()
        .filter_map(|event| match event {
            Event::AppendBody(body) => Some(body.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(bodies, [bytes(message), bytes(message)]);
    let Some(Event::AppendStart { append, size, .. }) = outcome.events.get(3) else {
        panic!("{:?}", outcome.events)
    };
    assert_eq!(append.mailbox.as_str(), "saved messages");
    assert_eq!(append.flags, [Flag::Seen, Flag::Keyword("$Junk".into())]);
    assert_eq!(
        append.date.unwrap().to_string(),
        " 7-Feb-1994 21:52:25 -0800"
    );
    assert_eq!(*size, message.len() as u64);
}

#[test]
fn append_that_is_refused() {
    let mut app = |server: &mut Server, event: &Event| match event {
        Event::AppendStart { tag, .. } => server
            .finish(tag, Status::no("No such mailbox").with(Code::TryCreate))
            .unwrap(),
        event => yes(server, event),
    };
    let config = || {
        let mut config = open();
        config.limits.message_size = 1000;
        config
    };
    let outcome = every_chunk(
        config(),
        &lines(&[
            "a LOGIN alice secret",
            "b APPEND nowhere {10}",
            "c APPEND nowhere {10+}",
            "0123456789 {3+}",
            "abc",
            "d APPEND INBOX {1001}",
            "e APPEND INBOX {1001+}",
            &"x".repeat(1001),
            "f NOOP",
            "g APPEND INBOX {99999999999}",
            "h APPEND INBOX {99999999999+}",
            "i NOOP",
        ]),
        &mut app,
    );
    assert_eq!(
        outcome.answers()[1..],
        [
            "b NO [TRYCREATE] No such mailbox",
            "c NO [TRYCREATE] No such mailbox",
            "d NO [TOOBIG] A message may have at most 1000 bytes",
            "e NO [TOOBIG] A message may have at most 1000 bytes",
            "f OK Done",
            "g NO [TOOBIG] A message may have at most 1000 bytes",
            "* BYE [TOOBIG] A literal is far too large",
        ]
    );
    assert_eq!(outcome.close, Some(Close::Violate(Violation::TooLarge)));

    // The application gives up in the middle of the message.
    let mut app = |server: &mut Server, event: &Event| match event {
        Event::AppendBody(_) if matches!(server.state(), State::Authenticated) => {
            // A second end would be misuse.
            let _ = server.finish(&Tag::new("b").unwrap(), Status::no("The disk is full"));
        }
        event => yes(server, event),
    };
    let acts = lines(&[
        "a LOGIN alice secret",
        "b APPEND INBOX {10+}",
        "0123456789",
        "c NOOP",
    ]);
    let config = Arc::new(config());
    for chunk in 1..90 {
        let outcome = run(&config, &acts, chunk, &mut app);
        assert_eq!(
            outcome.answers()[1..],
            ["b NO The disk is full", "c OK Done"]
        );
    }
}

#[test]
fn append_with_something_behind() {
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a LOGIN alice secret",
            "b APPEND INBOX {3+}",
            "abc def",
            "c APPEND INBOX {3+}",
            "abc {3}",
            "d APPEND INBOX {3+}",
            "abc {5+}",
            "NOOP ",
            "e NOOP",
            "f APPEND INBOX",
            "g APPEND INBOX \"x\"",
            "h APPEND INBOX (\\Seen) {3",
        ]),
        &mut yes,
    );
    let bad = "BAD Expected the end of the line behind the message";
    let answers = outcome.answers();
    assert_eq!(answers[1], format!("b {bad}"));
    assert_eq!(answers[2], format!("c {bad}"));
    assert_eq!(answers[3], format!("d {bad}"));
    assert_eq!(answers[4], "e OK Done");
    for (line, tag) in answers[5..].iter().zip(["f", "g", "h"]) {
        assert!(line.starts_with(&format!("{tag} BAD Expected")), "{line}");
    }
    let aborted = outcome
        .events
        .iter()
        .filter(|e| **e == Event::AppendAborted);
    assert_eq!(aborted.count(), 3);
}

#[test]
fn authenticate() {
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a AUTHENTICATE PLAIN",
            "AGFsaWNlAHNlY3JldA",
            "b AUTHENTICATE PLAIN",
            "*",
            "c AUTHENTICATE PLAIN AGFsaWNlAHdyb25n",
            "d AUTHENTICATE PLAIN =",
            "e AUTHENTICATE GSSAPI",
            "f AUTHENTICATE LOGIN",
            "YWxpY2U=",
            "c2VjcmV0",
            "g AUTHENTICATE PLAIN",
        ]),
        &mut yes,
    );
    let answers = outcome.answers();
    assert_eq!(answers[0], "+ ");
    assert_eq!(answers[1], "a BAD The response is not valid base64");
    assert_eq!(answers[3], "b BAD AUTHENTICATE was cancelled");
    assert_eq!(
        answers[4],
        "c NO [AUTHENTICATIONFAILED] The user name or the password is wrong"
    );
    assert!(
        answers[5].starts_with("d BAD AUTHENTICATE: "),
        "{}",
        answers[5]
    );
    assert_eq!(answers[6], "e NO [CANNOT] This mechanism is not offered");
    assert_eq!(answers[7], "+ VXNlcm5hbWU6");
    assert!(
        answers[9].starts_with("f OK [CAPABILITY "),
        "{}",
        answers[9]
    );
    assert_eq!(answers[10], "g BAD You have logged in already");
    let identity = sasl::Identity {
        authcid: "alice".to_owned(),
        authzid: "alice".to_owned(),
    };
    assert!(outcome.events.contains(&Event::LoggedIn(identity)));
}

#[test]
fn scram_of_an_unknown_user_is_refused_at_the_end() {
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a AUTHENTICATE SCRAM-SHA-256 biwsbj1ib2Iscj1yT3ByTkdmd0ViZVJXZ2JORWtxTw==",
            "Yz1iaXdzLHI9eA==",
            "b NOOP",
        ]),
        &mut yes,
    );
    let answers = outcome.answers();
    assert!(answers[0].starts_with("+ "), "{answers:?}");
    assert!(
        answers[1].starts_with("a NO") || answers[1].starts_with("a BAD"),
        "{answers:?}"
    );
    assert_eq!(answers[2], "b OK NOOP completed");
}

#[test]
fn passwords_need_tls() {
    let config = Config {
        allow_plaintext_login: false,
        ..open()
    };
    let mut acts = lines(&[
        "a CAPABILITY",
        "b LOGIN alice secret",
        "c AUTHENTICATE PLAIN",
        "d STARTTLS",
    ]);
    acts.push(Act::Tls);
    acts.extend(lines(&[
        "e CAPABILITY",
        "f STARTTLS",
        "g LOGIN alice secret",
    ]));
    let outcome = every_chunk(config, &acts, &mut yes);
    let answers = outcome.answers();
    assert_eq!(
        answers[..9],
        [
            "* CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ENABLE ID SASL-IR STARTTLS LOGINDISABLED AUTH=SCRAM-SHA-256",
            "a OK CAPABILITY completed",
            "b NO [PRIVACYREQUIRED] A password may only be sent inside TLS",
            "c NO [PRIVACYREQUIRED] A password may only be sent inside TLS",
            "d OK Begin TLS now",
            "* CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ENABLE ID SASL-IR AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN",
            "e OK CAPABILITY completed",
            "f BAD TLS is active already",
            answers[8].as_str(),
        ]
    );
    assert!(answers[8].starts_with("g OK"));
}

#[test]
fn nothing_may_follow_starttls() {
    // CVE-2011-0411, CVE-2021-33515
    let config = Arc::new(open());
    let acts = lines(&["a STARTTLS", "b LOGIN alice secret"]);
    for chunk in 1..40 {
        let outcome = run(&config, &acts, chunk, &mut yes);
        assert_eq!(
            outcome.close,
            Some(Close::Violate(Violation::PlaintextAfterStartTls))
        );
        assert_eq!(outcome.events, [Event::Connected]);
    }
}

#[test]
fn states() {
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a SELECT INBOX",
            "b FETCH 1 FLAGS",
            "c IDLE",
            "d ENABLE IMAP4rev2",
            "e NOOP",
            "f ID (\"name\" \"x\")",
            "g LOGIN alice secret",
            "h FETCH 1 FLAGS",
            "i CLOSE",
            "j EXAMINE INBOX",
            "k STORE 1 +FLAGS (\\Seen)",
            "l UID EXPUNGE 1",
            "m UID MOVE 1 x",
            "n COPY 1 x",
            "o SELECT INBOX",
            "p STORE 1 +FLAGS (\\Seen)",
            "q UNSELECT",
            "r CHECK",
            "s STARTTLS",
        ]),
        &mut yes,
    );
    assert_eq!(
        outcome.answers()[..7],
        [
            "a BAD You have to log in first",
            "b BAD You have to log in first",
            "c BAD You have to log in first",
            "d BAD You have to log in first",
            "e OK NOOP completed",
            "* ID NIL",
            "f OK ID completed",
        ]
    );
    assert_eq!(
        outcome.answers()[8..],
        [
            "h BAD No mailbox is selected",
            "i BAD No mailbox is selected",
            "j OK [READ-ONLY] Done",
            "k NO The mailbox is open read-only",
            "l NO The mailbox is open read-only",
            "m NO The mailbox is open read-only",
            "n OK Done",
            "* OK [CLOSED] The previous mailbox is closed",
            "o OK [READ-WRITE] Done",
            "p OK Done",
            "q OK Done",
            "r BAD No mailbox is selected",
            "s BAD You have logged in already",
        ]
    );
}

#[test]
fn a_select_that_fails_selects_nothing() {
    let mut app = |server: &mut Server, event: &Event| match event {
        Event::Command {
            tag,
            command: Command::Select { mailbox },
        } if !mailbox.is_inbox() => server
            .finish(tag, Status::no("No such mailbox").with(Code::NonExistent))
            .unwrap(),
        event => yes(server, event),
    };
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a LOGIN x secret",
            "b SELECT inbox",
            "c SELECT gone",
            "d EXPUNGE",
        ]),
        &mut app,
    );
    assert_eq!(
        outcome.answers()[2..],
        [
            "* OK [CLOSED] The previous mailbox is closed",
            "c NO [NONEXISTENT] No such mailbox",
            "d BAD No mailbox is selected"
        ]
    );
}

#[test]
fn idle() {
    let mut app = |server: &mut Server, event: &Event| match event {
        Event::IdleStart { .. } => server.untagged(&Response::Exists(4)).unwrap(),
        Event::IdleEnd { tag } => {
            server.untagged(&Response::Expunge(3)).unwrap();
            server.finish(tag, Status::ok("IDLE completed")).unwrap();
        }
        event => yes(server, event),
    };
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a LOGIN x secret",
            "b IDLE",
            "done",
            "c IDLE",
            "d NOOP",
            "e NOOP",
            "f IDLE x",
        ]),
        &mut app,
    );
    assert_eq!(
        outcome.answers()[1..],
        [
            "+ Waiting for changes; end with DONE",
            "* 4 EXISTS",
            "* 3 EXPUNGE",
            "b OK IDLE completed",
            "+ Waiting for changes; end with DONE",
            "* 4 EXISTS",
            "* 3 EXPUNGE",
            "c BAD Expected DONE to end IDLE",
            "e OK Done",
            "f BAD Expected the end of the command at column 7",
        ]
    );
}

#[test]
fn id_is_answered() {
    let config = Config {
        id: vec![("name".to_owned(), "Axigen".to_owned())],
        ..open()
    };
    let outcome = every_chunk(
        config,
        &lines(&["a ID (\"name\" \"x\" \"os\" NIL)"]),
        &mut yes,
    );
    assert_eq!(outcome.answers()[0], "* ID (\"name\" \"Axigen\")");
    assert_eq!(
        outcome.events[1],
        Event::ClientId(vec![
            ("name".to_owned(), Some("x".to_owned())),
            ("os".to_owned(), None)
        ])
    );
}

#[test]
fn implicit_tls_says_nothing_before_the_handshake() {
    let config = Config {
        implicit_tls: true,
        allow_plaintext_login: false,
        ..open()
    };
    let now = Instant::now();
    let mut server = Server::new(config, [0; 32]);
    assert!(matches!(
        server.poll_output(now),
        Output::Wait(Wait {
            read: false,
            deadline: Some(_)
        })
    ));
    server.handle_input(now, Input::Upgraded(TlsInfo::default()));
    assert!(matches!(
        server.poll_output(now),
        Output::Event(Event::Connected)
    ));
    server.greet().unwrap();
    let Output::Transmit(greeting) = server.poll_output(now) else {
        panic!()
    };
    let greeting = String::from_utf8_lossy(&greeting).into_owned();
    assert!(
        greeting.contains("AUTH=PLAIN") && !greeting.contains("STARTTLS"),
        "{greeting}"
    );
}

/// A session that has logged in.
fn logged_in(config: Config, now: Instant) -> Server {
    let mut server = Server::new(config, [0; 32]);
    server.handle_input(now, Input::Bytes(BytesMut::from("a LOGIN x secret\r\n")));
    loop {
        match server.poll_output(now) {
            Output::Event(Event::Connected) => server.greet().unwrap(),
            Output::Event(Event::Auth(_)) => server.answer(sasl::Answer::Accept).unwrap(),
            Output::Wait(_) => return server,
            Output::Close(close) => panic!("{close:?}"),
            _ => {}
        }
    }
}

fn said(server: &mut Server, now: Instant) -> (String, Option<Close>) {
    let mut text = String::new();
    loop {
        match server.poll_output(now) {
            Output::Transmit(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
            Output::Event(_) | Output::Upgrade(Upgrade::Tls | Upgrade::Deflate) => {}
            Output::Wait(_) => return (text, None),
            Output::Close(close) => return (text, Some(close)),
        }
    }
}

#[test]
fn time_runs_out() {
    let start = Instant::now();
    let mut server = Server::new(open(), [0; 32]);
    assert!(matches!(server.poll_output(start), Output::Event(_)));
    server.greet().unwrap();
    said(&mut server, start);
    // Dribbling does not help before login.
    let later = start + Duration::from_secs(59);
    server.handle_input(later, Input::Bytes(BytesMut::from("a NOO")));
    let Output::Wait(Wait { deadline, .. }) = server.poll_output(later) else {
        panic!()
    };
    assert_eq!(deadline, Some(start + Duration::from_secs(60)));
    server.handle_input(later, Input::Timeout);
    assert_eq!(said(&mut server, later), (String::new(), None));
    let end = start + Duration::from_secs(60);
    server.handle_input(end, Input::Timeout);
    let (text, close) = said(&mut server, end);
    assert_eq!(text, "* BYE The login took too long\r\n");
    assert_eq!(close, Some(Close::TimedOut));

    let mut server = logged_in(open(), start);
    let half = start + Duration::from_secs(29 * 60);
    server.handle_input(half, Input::Bytes(BytesMut::from("b IDLE\r\n")));
    said(&mut server, half);
    let Output::Wait(wait) = server.poll_output(half) else {
        panic!()
    };
    assert_eq!(wait.deadline, Some(half + Duration::from_secs(30 * 60)));
    assert!(wait.read);
    let end = half + Duration::from_secs(30 * 60);
    server.handle_input(end, Input::Timeout);
    let (text, close) = said(&mut server, end);
    assert_eq!(text, "* BYE Nothing was heard for too long\r\n");
    assert_eq!(close, Some(Close::TimedOut));
    assert_eq!(server.state(), State::Logout);
    // What comes too late does no harm.
    server.untagged(&Response::Exists(1)).unwrap();
    assert_eq!(server.pending_output(), 0);
}

#[test]
fn one_command_at_a_time() {
    let now = Instant::now();
    let mut server = logged_in(open(), now);
    server.handle_input(now, Input::Bytes(BytesMut::from("b NOOP\r\nc NOOP\r\n")));
    server.handle_input(now, Input::Eof);
    for name in ["b", "c"] {
        let Output::Event(Event::Command { tag, .. }) = server.poll_output(now) else {
            panic!()
        };
        assert_eq!(tag.as_str(), name);
        assert_eq!(
            said(&mut server, now),
            (String::new(), None),
            "nothing goes on before the command is finished"
        );
        assert!(matches!(
            server.poll_output(now),
            Output::Wait(Wait {
                read: false,
                deadline: None
            })
        ));
        server.finish(&tag, Status::ok("Done")).unwrap();
        assert!(matches!(server.poll_output(now), Output::Transmit(_)) || name == "b");
    }
    assert_eq!(said(&mut server, now).1, Some(Close::PeerGone));
}

#[test]
fn misuse() {
    let now = Instant::now();
    let mut server = Server::new(open(), [0; 32]);
    assert!(server.greet().is_err());
    assert!(server.untagged(&Response::Exists(1)).is_err());
    assert!(server.answer(sasl::Answer::Accept).is_err());
    let mut server = logged_in(open(), now);
    assert!(server.proceed().is_err());
    assert!(server.unselect().is_err());
    let tag = Tag::new("b").unwrap();
    assert!(server.finish(&tag, Status::ok("")).is_err());
    server.handle_input(now, Input::Bytes(BytesMut::from("b NOOP\r\n")));
    assert!(matches!(server.poll_output(now), Output::Event(_)));
    assert!(
        server
            .finish(&Tag::new("c").unwrap(), Status::ok(""))
            .is_err()
    );
    let attribute = FetchAttribute::BodySection {
        section: Section {
            part: vec![],
            text: SectionText::Full,
        },
        partial: None,
        peek: true,
    };
    assert!(server.fetch_item(&FetchItem::Uid(1)).is_err());
    assert!(server.fetch_end().is_err());
    server.fetch_begin(1).unwrap();
    assert!(server.fetch_begin(2).is_err());
    server.fetch_item(&FetchItem::Uid(1)).unwrap();
    server.fetch_data(&attribute, 3).unwrap();
    assert!(server.fetch_end().is_err());
    assert!(server.fetch_item(&FetchItem::Uid(1)).is_err());
    assert!(server.body(bytes("abcd")).is_err());
    server.body(bytes("ab")).unwrap();
    assert!(server.untagged(&Response::Exists(1)).is_err());
    assert_eq!(
        server.finish(&tag, Status::ok("")),
        Err(Misuse("a FETCH response is open"))
    );
    server.body(bytes("c")).unwrap();
    server.fetch_data(&attribute, 0).unwrap();
    server.fetch_end().unwrap();
    server.finish(&tag, Status::ok("")).unwrap();
    let (text, _) = said(&mut server, now);
    assert_eq!(
        text,
        "* 1 FETCH (UID 1 BODY[] {3}\r\nabc BODY[] {0}\r\n)\r\nb OK Done\r\n"
    );
}

#[test]
fn large_bodies_are_not_copied_and_counted() {
    let now = Instant::now();
    let mut server = logged_in(open(), now);
    server.handle_input(now, Input::Bytes(BytesMut::from("b NOOP\r\n")));
    assert!(matches!(server.poll_output(now), Output::Event(_)));
    let big = bytes(&"x".repeat(100_000));
    server.fetch_begin(1).unwrap();
    server.fetch_data(&FetchAttribute::Rfc822, 200_000).unwrap();
    server.body(big.clone()).unwrap();
    assert!(server.pending_output() >= 100_000);
    let Output::Transmit(head) = server.poll_output(now) else {
        panic!()
    };
    assert_eq!(head, bytes("* 1 FETCH (RFC822 {200000}\r\n"));
    let Output::Transmit(body) = server.poll_output(now) else {
        panic!()
    };
    assert_eq!(body.as_ptr(), big.as_ptr(), "the very same bytes");
    assert_eq!(server.pending_output(), 0);
    // A failure in the middle: no BYE, which the client would take for data.
    server.bye(Status::ok("Shutting down"));
    assert_eq!(said(&mut server, now), (String::new(), Some(Close::Finish)));
}

#[test]
fn the_server_says_goodbye() {
    let now = Instant::now();
    let mut server = logged_in(open(), now);
    assert!(server.is_idle());
    server.bye(Status::ok("Shutting down"));
    server.bye(Status::ok("Twice"));
    assert_eq!(
        said(&mut server, now),
        ("* BYE Shutting down\r\n".to_owned(), Some(Close::Finish))
    );
    assert!(matches!(
        server.poll_output(now),
        Output::Close(Close::Finish)
    ));
}

#[test]
fn the_selected_mailbox_goes_away() {
    let now = Instant::now();
    let mut server = logged_in(open(), now);
    server.handle_input(now, Input::Bytes(BytesMut::from("b SELECT x\r\n")));
    assert!(matches!(server.poll_output(now), Output::Event(_)));
    server
        .finish(&Tag::new("b").unwrap(), Status::ok("").with(Code::ReadOnly))
        .unwrap();
    assert_eq!(server.state(), State::Selected { read_only: true });
    server.unselect().unwrap();
    assert_eq!(server.state(), State::Authenticated);
    assert!(
        said(&mut server, now)
            .0
            .ends_with("* OK [CLOSED] The mailbox is closed\r\n")
    );
}
