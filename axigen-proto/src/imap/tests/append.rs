//! Literals and APPEND.

use std::sync::Arc;

use super::drive::{bytes, every_chunk, lines, open, run, yes};
use crate::imap::response::{Code, Status};
use crate::imap::server::{Event, Server, State};
use crate::imap::types::{Flag, Tag};
use crate::session::{Close, Violation};

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
fn append_to_a_name_that_cannot_be() {
    let big = "x".repeat(100_000);
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a LOGIN alice secret",
            "b APPEND a&b {100000}",
            "c NOOP",
            "d APPEND {3+}",
            "a&b ~{5}",
            "e NOOP",
        ]),
        &mut yes,
    );
    let answers = outcome.answers();
    let no = "NO [CANNOT] The mailbox name is not valid modified UTF-7";
    assert_eq!(
        answers[1..],
        [
            format!("b {no}"),
            "c OK Done".into(),
            format!("d {no}"),
            "e OK Done".into()
        ]
    );
    let config = Arc::new(open());
    let acts = lines(&[
        "a LOGIN alice secret",
        "b APPEND a&b {100000+}",
        &big,
        "c NOOP",
    ]);
    for chunk in [1, 1000, 200_000] {
        let outcome = run(&config, &acts, chunk, &mut yes);
        assert_eq!(
            outcome.answers()[1..],
            [format!("b {no}"), "c OK Done".into()]
        );
    }
}
