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
    let message = "Date: x\r\n\r\nA9 LOGOUT\r\n{5}\r\n\u{1}\u{fc}";
    let binary = message.replace('\u{1}', "\0");
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
            &binary,
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
    assert_eq!(bodies, [bytes(message), bytes(&binary)]);
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

/// RFC 9051 §4.3, RFC 3516 §4.4: only a literal8 may hold NUL.
#[test]
fn a_nul_in_a_literal_breaks_the_command() {
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a LOGIN alice secret",
            "b APPEND x {5+}",
            "a\0b\0c",
            "c APPEND x ~{3+}",
            "a\0b {4+}",
            "abc\0 {2+}",
            "de",
            "d APPEND x CATENATE (TEXT {1+}",
            "\0 TEXT ~{1+}",
            "\0)",
            "e APPEND x CATENATE (TEXT ~{1+}",
            "\0)",
            "f NOOP",
        ]),
        &mut yes,
    );
    let answers = outcome.answers();
    let kinds: Vec<&str> = answers[1..].iter().map(|line| &line[..4]).collect();
    assert_eq!(kinds, ["b BA", "c BA", "d BA", "e OK", "f OK"]);
    assert!(answers[1].contains("NUL"), "{}", answers[1]);
    let aborted = |event: &&Event| **event == Event::AppendAborted;
    assert_eq!(outcome.events.iter().filter(aborted).count(), 3);
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
            "abc{3}",
            "d APPEND INBOX {3+}",
            "abc{5+}",
            "NOOP ",
            "e NOOP",
            "f APPEND INBOX",
            "g APPEND INBOX \"x\"",
            "h APPEND INBOX (\\Seen) {3",
        ]),
        &mut yes,
    );
    let answers = outcome.answers();
    for (line, tag) in answers[1..4].iter().zip(["b", "c", "d"]) {
        assert!(line.starts_with(&format!("{tag} BAD Expected")), "{line}");
    }
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

/// What the application was told of the messages, without their bytes.
fn told(events: &[Event]) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for event in events {
        match event {
            Event::AppendStart { append, size, .. } => {
                told.push(format!("start {} {size}", append.mailbox.as_str()));
            }
            Event::AppendNext { flags, size, .. } => told.push(format!("next {flags:?} {size}")),
            Event::AppendText { size, .. } => told.push(format!("text {size}")),
            Event::AppendUrl { url, .. } => told.push(format!("url {url}")),
            Event::AppendEnd { .. } => told.push("end".to_owned()),
            Event::AppendAborted => told.push("aborted".to_owned()),
            _ => {}
        }
    }
    told
}

#[test]
fn several_messages() {
    // RFC 3502 §6.3.11, with each form of literal.
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a LOGIN alice secret",
            "A003 APPEND saved-messages (\\Seen) {8}",
            "one\r\n\r\n1 (\\Seen) \" 7-Feb-1994 22:43:04 -0800\" {4+}",
            "two\n ~{0}",
            "",
            "A004 NOOP",
        ]),
        &mut yes,
    );
    assert_eq!(
        outcome.answers()[1..],
        [
            "+ Ready for the message",
            "+ Ready for the message",
            "A003 OK Done",
            "A004 OK Done"
        ]
    );
    assert_eq!(
        told(&outcome.events),
        [
            "start saved-messages 8",
            "next [Seen] 4",
            "next [] 0",
            "end"
        ]
    );
}

#[test]
fn parts() {
    // RFC 4469 §3, a URL as a literal, and other messages before and behind.
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a LOGIN alice secret",
            "A003 APPEND Drafts (\\Seen \\Draft $MDNSent) CATENATE (URL \"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER\" TEXT {4+}",
            "\r\n-- URL \"/a/;UID=1\" URL {10+}\r\n/b c/;UID= TEXT ~{2+}",
            "--) (\\Flagged) {3+}",
            "abc CATENATE (URL x)",
            "A004 APPEND Drafts CATENATE (URL \"/x\" URL y)",
            "A005 NOOP",
        ]),
        &mut yes,
    );
    assert_eq!(
        outcome.answers()[1..],
        ["A003 OK Done", "A004 OK Done", "A005 OK Done"]
    );
    assert_eq!(
        told(&outcome.events),
        [
            "start Drafts 0",
            "url /Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER",
            "text 4",
            "url /a/;UID=1",
            "url /b c/;UID=",
            "text 2",
            "next [Flagged] 3",
            "next [] 0",
            "url x",
            "end",
            "start Drafts 0",
            "url /x",
            "url y",
            "end",
        ]
    );
}

#[test]
fn replace() {
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a LOGIN alice secret",
            "b REPLACE 1 Drafts {1}",
            "c SELECT Drafts",
            "d REPLACE 4 Drafts (\\Seen \\Draft) {3}",
            "abc",
            "e UID REPLACE 7 Drafts CATENATE (TEXT {3+}",
            "abc)",
            "f REPLACE 4 Drafts {3+}",
            "abc {3+}",
            "abc",
            "g REPLACE 4:5 Drafts {3+}",
            "abc",
            "h EXAMINE Drafts",
            "i REPLACE 4 Drafts {3+}",
            "abc",
        ]),
        &mut yes,
    );
    let answers = outcome.answers();
    let tagged: Vec<String> = answers
        .iter()
        .filter(|line| !line.starts_with(['*', '+']))
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        tagged[1..],
        [
            "b BAD", "c OK", "d OK", "e OK", "f BAD", "g BAD", "h OK", "i NO"
        ]
    );
    assert_eq!(
        told(&outcome.events),
        [
            "start Drafts 3",
            "end",
            "start Drafts 0",
            "text 3",
            "end",
            "start Drafts 3",
            "aborted"
        ]
    );
}

#[test]
fn what_breaks_in_the_middle() {
    let mut config = open();
    config.limits.message_size = 100;
    let big = "x".repeat(101);
    let outcome = every_chunk(
        config,
        &lines(&[
            "a LOGIN alice secret",
            "b APPEND x {1+}",
            "a {101+}",
            &big,
            "c APPEND x {1+}",
            "a {101}",
            "d APPEND x CATENATE (TEXT {1+}",
            "a TEXT {1+}",
            "b TEXT",
            "e APPEND x CATENATE (TEXT {1+}",
            "a URL",
            "f APPEND x CATENATE (TEXT {1+}",
            "a",
            "g APPEND x CATENATE ()",
            "h APPEND x {1+}",
            "a{1+}",
            "b",
            "i APPEND x UTF8 ({1+}",
            "b)",
            "j NOOP",
        ]),
        &mut yes,
    );
    let answers: Vec<String> = outcome.answers()[1..]
        .iter()
        .map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(answers[..2], ["b NO [TOOBIG]", "c NO [TOOBIG]"]);
    let kinds: Vec<&str> = answers[2..].iter().map(|line| &line[..4]).collect();
    assert_eq!(
        kinds,
        ["d BA", "e BA", "f BA", "g BA", "h BA", "i BA", "j OK"]
    );
    let aborted = told(&outcome.events)
        .iter()
        .filter(|event| *event == "aborted")
        .count();
    assert_eq!(aborted, 6);
}

#[test]
fn the_application_stops_it_at_any_piece() {
    for stop in ["next", "text", "url"] {
        let mut app = |server: &mut Server, event: &Event| match event {
            Event::AppendNext { tag, .. } if stop == "next" => {
                server.finish(tag, Status::no("stop")).unwrap();
            }
            Event::AppendText { tag, .. } if stop == "text" => {
                server.finish(tag, Status::no("stop")).unwrap();
            }
            Event::AppendUrl { tag, .. } if stop == "url" => {
                server.finish(tag, Status::no("stop")).unwrap();
            }
            event => yes(server, event),
        };
        let outcome = every_chunk(
            open(),
            &lines(&[
                "a LOGIN alice secret",
                "b APPEND x {1+}",
                "a CATENATE (URL u TEXT {1+}",
                "t URL {1+}",
                "u) {3+}",
                "abc",
                "c NOOP",
            ]),
            &mut app,
        );
        assert_eq!(outcome.answers()[1..], ["b NO stop", "c OK Done"], "{stop}");
    }
}
