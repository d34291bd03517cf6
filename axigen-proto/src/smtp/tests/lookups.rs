//! VRFY, EXPN and ETRN on both sides.

use std::time::Instant;

use bytes::BytesMut;

use super::peer::{after_hello, dialogue, quiet};
use super::sender::config;
use crate::session::{Input, Output, Session};
use crate::smtp::client::{self, Client, Event, Question};
use crate::smtp::reply::Reply;
use crate::smtp::server::{Lookups, Role};

#[test]
fn lookups_follow_the_policy() {
    for role in [Role::Mx, Role::Lmtp] {
        let mut config = quiet(role);
        after_hello(
            &config,
            &[],
            b"VRFY joe\r\nEXPN list\r\nVRFY\r\nEXPN\r\n",
            &["252 2.5.0 …", "252 2.5.0 …", "501 5.5.4 …", "501 5.5.4 …"],
        );
        config.vrfy = Lookups::Refuse;
        config.expn = Lookups::Refuse;
        after_hello(
            &config,
            &[],
            b"VRFY joe\r\nEXPN list\r\n",
            &["502 5.5.1 …", "502 5.5.1 …"],
        );
        config.vrfy = Lookups::Ask;
        config.expn = Lookups::Ask;
        after_hello(
            &config,
            &["EXPN"],
            b"VRFY joe\r\nVRFY nobody\r\nEXPN list\r\nMAIL FROM:<a@b>\r\nVRFY joe\r\nRCPT TO:<c@d>\r\n",
            &[
                "250 2.1.5 <joe@mx.test>",
                "550 5.1.1…",
                "250-2.1.5 <a@b>",
                "250 2.1.5 <c@d>",
                "250 2.1.0…",
                "250 2.1.5 <joe@mx.test>",
                "250 2.1.5…",
            ],
        );
    }
    let mut submission = quiet(Role::Submission);
    submission.vrfy = Lookups::Ask;
    submission.extensions.etrn = true;
    after_hello(
        &submission,
        &["ETRN"],
        b"VRFY joe\r\nETRN d.test\r\nEXPN x\r\n",
        &[
            "530 5.7.0 authentication required",
            "530 5.7.0 authentication required",
            "252 2.5.0 …",
        ],
    );
}

#[test]
fn etrn_has_its_place_and_its_answers() {
    let mut config = quiet(Role::Mx);
    config.extensions.etrn = true;
    after_hello(
        &config,
        &["ETRN"],
        b"ETRN\r\nETRN a b\r\nETRN @\r\netrn @d.test\r\nETRN #busy\r\nETRN d.test\r\n\
          MAIL FROM:<a@b>\r\nETRN d.test\r\nRSET\r\nHELO a\r\nETRN d.test\r\n",
        &[
            "501 5.5.4 …",
            "501 5.5.4 …",
            "501 5.5.4 …",
            "250 2.0.0 sending what waits for this node",
            "458 4.3.0 cannot send what waits for this node now",
            "459 4.7.1 this node is not allowed",
            "250 2.1.0…",
            "503 5.5.1 ETRN is not allowed inside a transaction",
            "250 2.0.0…",
            "250 mx.test",
            "503 5.5.1 introduce yourself first",
        ],
    );
    dialogue(
        &quiet(Role::Mx),
        &[b"HELO a\r\nETRN d.test\r\n"],
        &[
            "220 mx.test ESMTP ready",
            "250 mx.test",
            "502 5.5.1 command not implemented",
        ],
    );
}

/// What the client says next, and its event.
fn turn(client: &mut Client, reply: &str) -> (String, Option<Event>) {
    let now = Instant::now();
    client.handle_input(now, Input::Bytes(BytesMut::from(reply.as_bytes())));
    let (mut said, mut event) = (String::new(), None);
    loop {
        match client.poll_output(now) {
            Output::Transmit(bytes) => said.push_str(std::str::from_utf8(&bytes).unwrap()),
            Output::Event(got) => event = Some(got),
            Output::Wait(_) => return (said, event),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_client_asks_between_transactions() {
    let mut client = Client::new(config(client::Role::Smtp), [0; 32]);
    assert!(client.ask(Question::Vrfy("joe".to_owned())).is_err());
    turn(&mut client, "220 x\r\n250-x\r\n250 ETRN\r\n");
    for bad in ["", " ", "joe\r\nQUIT", "joe\0"] {
        assert!(
            client.ask(Question::Vrfy(bad.to_owned())).is_err(),
            "{bad:?}"
        );
        assert!(
            client.ask(Question::Expn(bad.to_owned())).is_err(),
            "{bad:?}"
        );
    }
    for (question, line) in [
        (Question::Vrfy("joe".to_owned()), "VRFY joe\r\n"),
        (Question::Expn("list".to_owned()), "EXPN list\r\n"),
        (
            Question::Etrn("@d.test".parse().unwrap()),
            "ETRN @d.test\r\n",
        ),
    ] {
        client.ask(question.clone()).unwrap();
        assert!(client.ask(question).is_err());
        assert_eq!(turn(&mut client, ""), (line.to_owned(), None));
        let (said, event) = turn(&mut client, "253 2.0.0 three\r\n");
        assert_eq!(said, "");
        assert_eq!(
            event,
            Some(Event::Answer(Reply::new(253, (2, 0, 0), "three")))
        );
    }
    let mut client = Client::new(config(client::Role::Smtp), [0; 32]);
    turn(&mut client, "220 x\r\n250 x\r\n");
    assert!(
        client
            .ask(Question::Etrn("d.test".parse().unwrap()))
            .is_err()
    );
}
