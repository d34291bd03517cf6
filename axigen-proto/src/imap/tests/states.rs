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
