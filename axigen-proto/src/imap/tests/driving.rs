//! What the driver and the application do: deadlines, streamed bodies, ends, mistakes.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::drive::{bytes, open};
use crate::imap::command::{FetchAttribute, Section, SectionText};
use crate::imap::response::{Code, FetchItem, Response, Status};
use crate::imap::server::{Config, Event, Server, State};
use crate::imap::types::Tag;
use crate::sasl;
use crate::session::{Close, Input, Misuse, Output, Session, TlsInfo, Upgrade, Wait};

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
    // In IDLE the next remark comes first.
    assert_eq!(wait.deadline, Some(half + Duration::from_secs(2 * 60)));
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
    server.fetch_data(&attribute, 3, false).unwrap();
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
    server.fetch_data(&attribute, 0, false).unwrap();
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
    server
        .fetch_data(&FetchAttribute::Rfc822, 200_000, false)
        .unwrap();
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

#[test]
fn an_upgrade_counts_only_where_one_is_due() {
    let config = || Config {
        allow_plaintext_login: false,
        ..open()
    };
    let now = Instant::now();
    let mut server = Server::new(config(), [0; 32]);
    assert!(matches!(server.poll_output(now), Output::Event(_)));
    server.greet().unwrap();
    said(&mut server, now);
    server.handle_input(now, Input::Upgraded(TlsInfo::default()));
    assert!(server.tls().is_none());
    server.handle_input(now, Input::Bytes(BytesMut::from("a LOGIN x secret\r\n")));
    assert!(
        said(&mut server, now)
            .0
            .starts_with("a NO [PRIVACYREQUIRED]")
    );

    // Before the greeting it is another way to say that TLS began with the connection; what came
    // before it did not come inside.
    let mut server = Server::new(config(), [0; 32]);
    server.handle_input(now, Input::Bytes(BytesMut::from("a LOGIN x secret\r\n")));
    server.handle_input(now, Input::Upgraded(TlsInfo::default()));
    assert!(server.tls().is_some());
    assert!(matches!(server.poll_output(now), Output::Event(_)));
    server.greet().unwrap();
    assert!(said(&mut server, now).0.starts_with("* OK"));
    assert!(matches!(server.poll_output(now), Output::Wait(_)));
}

#[test]
fn deadlines_beyond_all_time() {
    let mut config = open();
    config.limits.login_timeout = Duration::MAX;
    config.limits.idle_timeout = Duration::MAX;
    let now = Instant::now();
    let mut server = logged_in(config, now);
    let Output::Wait(wait) = server.poll_output(now) else {
        panic!()
    };
    assert_eq!(wait.deadline, None);
    server.handle_input(now, Input::Timeout);
    assert_eq!(said(&mut server, now), (String::new(), None));
}
