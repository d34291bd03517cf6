//! A session says the same however its input is cut, and never panics.
#![no_main]

use std::sync::Arc;
use std::time::Instant;

use axigen_proto::imap::response::{Response, Status};
use axigen_proto::imap::server::{Config, Event, Server};
use axigen_proto::sasl::{Answer, Ask};
use axigen_proto::{Close, Input, Output, Session};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

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
    let done = match event {
        Event::Connected => server.greet(),
        Event::Auth(Ask::Keys { .. }) => server.answer(Answer::Keys(None)),
        Event::Auth(_) => server.answer(Answer::Accept),
        Event::AppendStart { .. }
        | Event::AppendNext { .. }
        | Event::AppendText { .. }
        | Event::AppendUrl { .. } => server.proceed(),
        Event::IdleStart { .. } => server.untagged(&Response::Exists(1)),
        Event::Command { tag, .. } | Event::AppendEnd { tag } | Event::IdleEnd { tag } => {
            server.finish(&tag, Status::ok("Done"))
        }
        Event::LoggedIn(_)
        | Event::ClientId(_)
        | Event::NothingSaved
        | Event::AppendBody(_)
        | Event::AppendAborted => Ok(()),
    };
    done.expect("the events are answered as they ask");
}

fuzz_target!(|data: &[u8]| {
    let mut config = Config {
        allow_plaintext_login: true,
        // What comes behind COMPRESS in one piece is refused, so the cut matters.
        compress: false,
        literal_plus: data.first().is_some_and(|b| b % 2 == 0),
        ..Config::default()
    };
    config.limits.command = 200;
    config.limits.literal = 50;
    config.limits.message_size = 100;
    config.limits.nesting = 5;
    let config = Arc::new(config);
    for login in [&b""[..], b"z LOGIN x y\r\ny SELECT z\r\n"] {
        let input = [login, data].concat();
        let whole = run(&config, &input, input.len().max(1));
        assert_eq!(whole, run(&config, &input, 1));
        assert_eq!(whole, run(&config, &input, 7));
    }
});
