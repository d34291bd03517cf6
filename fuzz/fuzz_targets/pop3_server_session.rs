//! A session says the same however its input is cut, and never panics.
#![no_main]

use std::sync::Arc;
use std::time::Instant;

use axigen_proto::pop3::server::{Config, Event, Expire, Message, Server};
use axigen_proto::sasl::{Answer, Ask};
use axigen_proto::{Close, Input, Output, Session};
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;

const MAIL: &[u8] = b"Subject: \xc3\xa4\r\n\r\n.dot\r\n..\r\nlast";

fn run(config: &Arc<Config>, input: &[u8], chunk: usize) -> (Vec<u8>, Option<Close>) {
    let now = Instant::now();
    let mut server = Server::new(Arc::clone(config), [1; 32]);
    let mut sent = Vec::new();
    let pieces = std::iter::once(&b""[..]).chain(input.chunks(chunk));
    for piece in pieces {
        server.handle_input(now, Input::Bytes(BytesMut::from(piece)));
        if let Some(close) = poll(&mut server, now, &mut sent) {
            return (sent, Some(close));
        }
    }
    server.handle_input(now, Input::Eof);
    let close = poll(&mut server, now, &mut sent);
    (sent, close)
}

fn poll(server: &mut Server, now: Instant, sent: &mut Vec<u8>) -> Option<Close> {
    loop {
        match server.poll_output(now) {
            Output::Transmit(bytes) => sent.extend_from_slice(&bytes),
            Output::Event(event) => decide(server, event),
            Output::Upgrade(_) => {}
            Output::Wait(_) => return None,
            Output::Close(close) => return Some(close),
        }
    }
}

fn decide(server: &mut Server, event: Event) {
    match event {
        Event::Connected => server.greet().expect("asked"),
        Event::Auth(Ask::Keys { .. }) => server.answer(Answer::Keys(None)).expect("asked"),
        Event::Auth(_) => server.answer(Answer::Accept).expect("asked"),
        Event::LoggedIn(_) => {
            let message = |n: usize| Message { size: MAIL.len() as u64, uid: format!("1.{n}") };
            server.open((1..=3).map(message).collect(), Expire::Days(0)).expect("asked");
        }
        Event::Retrieve { index, .. } => {
            assert!(index < 3);
            server.begin(MAIL.len() as u64).expect("asked");
            for piece in MAIL.chunks(5) {
                if !server.body(&Bytes::from_static(piece)).expect("begun") {
                    break;
                }
            }
            server.end_message().expect("begun");
        }
        Event::Quit { deleted, fetched } => {
            assert!(deleted.iter().chain(&fetched).all(|&index| index < 3));
            assert!(!deleted.iter().any(|index| fetched.contains(index)));
            server.finish(Ok(())).expect("asked");
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut config = Config { allow_plaintext_login: true, ..Config::default() };
    config.limits.command_line = 60;
    config.limits.auth_line = 100;
    let config = Arc::new(config);
    for login in [&b""[..], b"USER a\r\nPASS b\r\n", b"UTF8\r\nLANG fr\r\nUSER a\r\nPASS b\r\n"] {
        let input = [login, data].concat();
        let whole = run(&config, &input, input.len().max(1));
        assert_eq!(whole, run(&config, &input, 1));
        assert_eq!(whole, run(&config, &input, 7));
    }
});
