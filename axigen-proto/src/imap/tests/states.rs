//! What each state allows, IDLE, ID.

use super::drive::{every_chunk, lines, open, yes};
use crate::imap::command::{Command, Select};
use crate::imap::response::{Code, Response, Status};
use crate::imap::server::{Config, Event, Server};

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
            command: Command::Select(Select { mailbox, .. }),
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
fn another_separator_is_seen_on_the_wire_only() {
    use crate::imap::response::{ListItem, Namespace};
    use crate::imap::separator::Separator;
    let config = Config {
        separator: Separator::Dot,
        ..open()
    };
    let script = lines(&[
        "a LOGIN alice secret",
        "b SELECT v1/2.notes",
        "c LIST a. \"%.b*\"",
        "d RENAME &AOQ-.x y.",
        "e NAMESPACE",
    ]);
    let outcome = every_chunk(config, &script, &mut |server, event| {
        let Event::Command { tag, command } = event else {
            return;
        };
        match command {
            Command::Select(select) => assert_eq!(select.mailbox.as_str(), "v1.2/notes"),
            Command::List(list) => {
                assert_eq!(list.reference, "a/");
                assert_eq!(list.patterns[0].0, "%/b*");
                let item = ListItem {
                    attributes: Vec::new(),
                    delimiter: Some('/'),
                    name: "v1.2/ä".into(),
                    child_subscribed: false,
                    old_name: Some("a/b".into()),
                };
                server.untagged(&Response::List(item)).unwrap();
            }
            Command::Rename { from, to } => assert_eq!((from.as_str(), to.as_str()), ("ä/x", "y/")),
            Command::Namespace => {
                let personal = vec![Namespace {
                    prefix: "Other/".to_owned(),
                    delimiter: Some('/'),
                }];
                let none = Vec::new();
                let (other, shared) = (none.clone(), none);
                let response = Response::Namespace {
                    personal,
                    other,
                    shared,
                };
                server.untagged(&response).unwrap();
            }
            other => panic!("{other:?}"),
        }
        server.finish(tag, Status::ok("Done")).unwrap();
    });
    let answers = outcome.answers();
    let untagged: Vec<&str> = answers
        .iter()
        .map(String::as_str)
        .filter(|line| line.starts_with("* LIST") || line.starts_with("* NAMESPACE"))
        .collect();
    assert_eq!(
        untagged,
        [
            "* LIST () \".\" \"v1/2.&AOQ-\" (\"OLDNAME\" (a.b))",
            "* NAMESPACE ((\"Other.\" \".\")) NIL NIL",
        ]
    );
}

#[test]
fn idle_is_not_silent_and_ends() {
    use std::time::{Duration, Instant};

    use bytes::BytesMut;

    use super::drive::open as config;
    use crate::sasl::Answer;
    use crate::session::{Close, Input, Output, Session};
    let mut config = config();
    config.limits.idle_remark = Duration::from_secs(120);
    config.limits.idle_timeout = Duration::from_secs(1800);
    let start = Instant::now();
    let mut server = Server::new(config, [7; 32]);
    let turn = |server: &mut Server, now: Instant| {
        let mut text = String::new();
        loop {
            match server.poll_output(now) {
                Output::Transmit(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
                Output::Event(Event::Connected) => server.greet().unwrap(),
                Output::Event(Event::Auth(_)) => server.answer(Answer::Accept).unwrap(),
                Output::Event(event) => yes(server, &event),
                Output::Wait(wait) => return (text, Ok(wait.deadline)),
                Output::Close(close) => return (text, Err(close)),
                Output::Upgrade(_) => {}
            }
        }
    };
    assert!(turn(&mut server, start).1.is_ok());
    let script = b"a LOGIN alice secret\r\nb IDLE\r\n";
    server.handle_input(start, Input::Bytes(BytesMut::from(&script[..])));
    let (_, mut wait) = turn(&mut server, start);
    let mut remarks = 0;
    let (now, last) = loop {
        let now = wait.unwrap().expect("there is always a deadline");
        server.handle_input(now, Input::Timeout);
        let (text, next) = turn(&mut server, now);
        if next.is_err() {
            assert_eq!(next, Err(Close::TimedOut));
            break (now, text);
        }
        assert_eq!(text, "* OK Still here\r\n");
        remarks += 1;
        wait = next;
    };
    // RFC 9051 §5.4: half an hour, in which 14 remarks fit.
    assert_eq!(now - start, Duration::from_secs(1800));
    assert_eq!(remarks, 14);
    assert!(last.starts_with("* BYE "), "{last}");
}
