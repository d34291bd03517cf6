//! Transactions of the client, against a script.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::sender::{EHLO, Sender, config, envelope, job, script};
use crate::session::{Close, Input, Output, Session};
use crate::smtp::client::{
    Client, Delivery, Event, Failure, LineEnds, Omitted, Refusal, Role, Stage,
};
use crate::smtp::command::{BodyType, Submitter};
use crate::smtp::reply::Reply;

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
                }],
                omitted: Omitted::default(),
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

proptest! {
    /// Whatever the bytes of a message are, and however they come, the end of DATA goes out once:
    /// no reader, however lenient, finds another one or a command behind it.
    #[test]
    fn a_message_ends_once(
        body in vec(prop_oneof![
            6 => proptest::sample::select(&b"\r\n.\0a"[..]),
            1 => any::<u8>(),
        ], 0..80),
        piece in 1usize..9,
        refuse in any::<bool>(),
    ) {
        let mut config = config(Role::Smtp);
        config.line_ends = if refuse { LineEnds::Refuse } else { LineEnds::Normalise };
        let mut client = Client::new(config, [0; 32]);
        let now = Instant::now();
        let mut replies = [
            "220 x\r\n", "250 x\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 ok\r\n", "221 bye\r\n",
        ].iter();
        let (mut message, mut inside, mut failed) = (Vec::new(), false, false);
        loop {
            match client.poll_output(now) {
                Output::Transmit(bytes) if inside => message.extend_from_slice(&bytes),
                Output::Transmit(_) => {}
                Output::Event(Event::Ready(_)) => client.send(envelope(&["c@d"])).unwrap(),
                Output::Event(Event::WantBody) => {
                    inside = true;
                    // Once the session has failed nothing more is taken.
                    for piece in body.chunks(piece) {
                        let _ = client.body(Bytes::copy_from_slice(piece));
                    }
                    let _ = client.finish();
                }
                Output::Event(Event::Sent { .. }) => {
                    inside = false;
                    client.quit().unwrap();
                }
                Output::Event(Event::Failed(failure)) => {
                    prop_assert!(matches!(failure, Failure::BareLineEnd | Failure::Nul));
                    failed = true;
                }
                Output::Event(_) => {}
                Output::Wait(_) => {
                    let reply = replies.next().unwrap().as_bytes();
                    client.handle_input(now, Input::Bytes(BytesMut::from(reply)));
                }
                Output::Close(_) => break,
                other => prop_assert!(false, "{:?}", other),
            }
        }
        for (n, byte) in message.iter().enumerate() {
            match byte {
                0 => prop_assert!(false, "a NUL went out"),
                b'\n' => prop_assert!(n > 0 && message[n - 1] == b'\r'),
                // The LF of a line end may not be out yet when the session fails.
                b'\r' => prop_assert!(message.get(n + 1) == Some(&b'\n')),
                _ => {}
            }
        }
        let lines: Vec<&[u8]> = message.split(|&b| b == b'\n').collect();
        let ends = lines.iter().filter(|line| **line == b".\r").count();
        prop_assert_eq!(ends, usize::from(!failed));
        prop_assert!(failed || message.ends_with(b"\r\n.\r\n") || message == b".\r\n");
        let strays = body.iter().enumerate().any(|(n, byte)| match byte {
            0 => true,
            b'\n' => n == 0 || body[n - 1] != b'\r',
            b'\r' => body.get(n + 1) != Some(&b'\n'),
            _ => false,
        });
        prop_assert_eq!(failed, refuse && strays);
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
